package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/pipeline/workshop"
	"icewatch/soc/simulate"
)

// parsing measures the parser with all of the suite's packs in force on one
// core, by the CPU time of its thread: on the simulator's mix, and on lines of
// sources that nobody knows.
func (b *bench) parsing(context.Context) error {
	reg := event.NewRegistry(50_000)
	set, problems := pack.Compile(workshop.Sources(), reg)
	if len(problems) > 0 {
		return fmt.Errorf("a pack is not in force: %v", problems[0])
	}
	live := &pack.Live{}
	live.Store(set)
	const distinct = 20_000
	now := time.Now()
	unknown := make([]intake.Record, distinct)
	for i := range unknown {
		unknown[i] = intake.Record{Collector: "syslog-tcp", Format: intake.Syslog, Peer: netip.MustParseAddr("127.0.0.1"), Received: now.UnixNano(), Data: unknownLine(i, now)}
	}
	figure := func(recs []intake.Record) (rate float64, read int) {
		p := parse.New(reg, parse.Options{Packs: live})
		var ev event.Event
		run := func() (read int) {
			for i := range recs {
				ev.Reset()
				p.Parse(&recs[i], &ev)
				if !p.Unrecognised() {
					read++
				}
			}
			return read
		}
		read = run() // fills what the parser remembers, too
		var rates []float64
		for range b.rounds {
			begun, lines := threadTime(), 0
			for threadTime()-begun < 300*time.Millisecond {
				run()
				lines += len(recs)
			}
			rates = append(rates, float64(lines)/(threadTime()-begun).Seconds())
		}
		return median(rates), read
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mix := simulate.Mix(b.seed, distinct, now)
	known, read := figure(mix)
	others, readToo := figure(unknown)
	fmt.Printf("parsing: %d packs in force; of %d lines of the simulator's mix %d were recognised, of %d of unknown sources %d were\n", len(set.Packs()), len(mix), read, len(unknown), readToo)
	fmt.Printf("BENCH collectors.parse %.0f lines/s\n", known)
	fmt.Printf("BENCH collectors.parse_unknown %.0f lines/s\n", others)
	b.aim("parsing", known, aimParse, "lines a second and core")
	b.aim("parsing of unknown sources", others, aimUnknown, "lines a second and core")
	if readToo > distinct/10 {
		b.faults = append(b.faults, fmt.Sprintf("%d of %d lines are not of an unknown source", readToo, distinct))
	}
	return nil
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// unknownLine is a line of a source that has no pack: of a program, of a device
// that names none, or of text that looks like what packs know.
func unknownLine(i int, now time.Time) []byte {
	at := now.Format(time.Stamp)
	switch i % 4 {
	case 0:
		return fmt.Appendf(nil, "<13>%s plant-%d boilerd[%d]: valve %d moved to %d%% by schedule %q after %d ms, pressure steady", at, i%7, 100+i, i%40, i%100, "night", i)
	case 1:
		return fmt.Appendf(nil, "<30>1 %s lift-%d controller %d - - cabin %d stopped at floor %d, door cycle took %d ms; next call from floor %d", now.UTC().Format(time.RFC3339), i%30, i%9000, i%4, i%22, 900+i%400, i%18)
	case 2:
		return fmt.Appendf(nil, "<14>%s meter-%d metering: READ-6-DONE unit %d reported %d.%02d kWh over line %d (crc ok), retries 0", at, i%50, i%400, i%9000, i%100, i%8)
	}
	return bytes.TrimSpace(fmt.Appendf(nil, "<12>%s pump-%d [%d] WARN  hydraulics.Loop - flow of circuit %d is %d l/min, expected %d; waiting for the next cycle", at, i%12, i%999, i%6, 100+i%50, 120))
}
