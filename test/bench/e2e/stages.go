package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/detections"
	rulesengine "icewatch/detections/engine"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/lake/partition"
	"icewatch/soc/pipeline"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
	"icewatch/soc/pipeline/workshop"
	"icewatch/soc/retention"
)

// Where the time goes: the same events run through the engine's stages in this
// process, one after the other on one thread, and the CPU time of each is told.
// What other programs do meanwhile hardly changes it.

const perBatch = 500 // records of a batch on the bus, about

// newIndex is the city as the centre hands it to the engine.
func (c *city) index() (*enrich.Index, error) {
	var s enrich.Snapshot
	for i, t := range tenants {
		s.Networks = append(s.Networks, enrich.Network{Zone: enrich.DefaultZone, CIDR: fmt.Sprintf("10.%d.0.0/16", 10+i), Tenant: t})
	}
	for _, list := range [][]host{c.servers, c.windows, c.firewalls} {
		for _, h := range list {
			s.Items = append(s.Items, enrich.Item{ID: "h-" + h.name, Class: "host", Name: h.name, Tenant: tenants[h.tenant], Zone: enrich.DefaultZone,
				Addresses: []string{h.address}, Hostnames: []string{h.name + ".gov.example", h.name}, Criticality: 3, Owner: "运维组", SystemID: "bs-1", SystemName: "业务系统"})
		}
	}
	return enrich.NewIndex(s)
}

// records are a chunk as the collectors hand it over.
func (c *chunk) records(now time.Time) (list []intake.Record) {
	text := bytes.Clone(c.text)
	restamp(text, c.stamps, now)
	base := intake.Record{Collector: "syslog-tcp", Format: intake.Syslog, Peer: netip.MustParseAddr("127.0.0.1"), Received: now.UnixNano()}
	if c.way == bulk {
		base.Collector, base.Format, base.Tenant = "elastic-bulk", intake.JSON, tenants[c.tenant]
	}
	for n, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if c.way == bulk && n%2 == 0 {
			continue // the action
		}
		rec := base
		rec.Data = line
		list = append(list, rec)
	}
	return list
}

// used is the CPU time on one of the clocks that count it.
func used(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// stages prints the CPU time of each stage an event. profile is the file for a
// profile; "" is none.
func (b *bench) stages(c *corpus, city *city, folder, profile string) error {
	debug.SetGCPercent(400) // as the engine has it
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	keeping := &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: 180 * 24 * time.Hour}}}
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(b.dir, "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: keeping.Classes[0].Keep}}, FlushInterval: 5 * time.Second})
	if err != nil {
		return err
	}
	reg := event.NewRegistry(50_000)
	set, _ := ruleset.Compile(ruleset.Load([]ruleset.Source{{Name: "builtin", FS: rules.FS}, {Name: folder, FS: os.DirFS(folder)}}), reg)
	packs := &pack.Live{}
	known, _ := pack.Compile(workshop.Sources(), reg)
	packs.Store(known)
	newPipeline := func(o parse.Options) *pipeline.Pipeline {
		return pipeline.New(pipeline.Options{Registry: reg, Keeping: keeping, Future: lake.FutureLimit, Relays: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Parse: o})
	}
	pipe, bare := newPipeline(parse.Options{Packs: packs}), newPipeline(parse.Options{})
	index, err := city.index()
	if err != nil {
		return err
	}
	pipe.SetIndex(index)
	bare.SetIndex(index)
	places := pipeline.Directory{pipeline.Unassigned: {Account: 1}}
	for i, t := range tenants {
		places[t] = pipeline.Place{Account: uint32(2 + i), Class: retention.Standard}
	}
	pipe.SetDirectory(places)
	bare.SetDirectory(places)
	detect := rulesengine.New(rulesengine.Options{Registry: reg, Log: slog.New(slog.DiscardHandler)})
	detect.Swap(set)
	writer := lk.NewWriter(reg)

	const (
		encode = iota
		decode
		without
		reading
		matching
		rows
		handing
		stageCount
	)
	names := [stageCount]string{"encode a batch for the bus", "decode it", "the next without packs, beside", "parse, own, bound and enrich", "detect", "lay out rows", "hand them to the lake"}
	var (
		took    [stageCount]time.Duration
		events  []event.Event
		places2 []pipeline.Place
		recs    []intake.Record
		batch   []byte
		total   int
		fired   = map[string]int{}
		all     time.Duration
	)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ticked := time.Now()
	// The first round fills caches and buffers.
	const rounds = 3
	for n := 0; n < rounds*len(c.chunks); n += perBatch / perChunk {
		if n == len(c.chunks)/(perBatch/perChunk)*(perBatch/perChunk) {
			took, total, all = [stageCount]time.Duration{}, 0, 0
			clear(fired)
		}
		var in []intake.Record
		for i := n; i < n+perBatch/perChunk; i++ {
			in = append(in, c.chunks[i%len(c.chunks)].records(time.Now())...)
		}
		begun := used(unix.CLOCK_PROCESS_CPUTIME_ID)
		last := used(unix.CLOCK_THREAD_CPUTIME_ID)
		lap := func(stage int) {
			now := used(unix.CLOCK_THREAD_CPUTIME_ID)
			took[stage] += now - last
			last = now
		}
		batch = intake.AppendBatch(batch[:0], in)
		lap(encode)
		if recs, err = intake.DecodeBatch(recs[:0], batch); err != nil {
			return err
		}
		lap(decode)
		for len(events) < len(recs) {
			events, places2 = append(events, event.Event{}), append(places2, pipeline.Place{})
		}
		for i := range recs {
			bare.Fill(&recs[i], event.ID{Epoch: "bench", Sequence: uint64(n), Index: uint32(i)}, &events[i])
		}
		lap(without)
		for i := range recs {
			places2[i] = pipe.Fill(&recs[i], event.ID{Epoch: "bench", Sequence: uint64(n), Index: uint32(i)}, &events[i])
		}
		lap(reading)
		for i := range recs {
			detect.Process(&events[i], func(o detections.Occurrence) { fired[o.Rule.Title.EN]++ })
		}
		lap(matching)
		for i := range recs {
			if err := writer.Add(&events[i], lake.Space{Account: places2[i].Account, Class: places2[i].Class}, pipe.Stream(&events[i])); err != nil {
				return err
			}
		}
		lap(rows)
		// As the engine does at full speed while nobody reads the lake.
		const wait = 10 * time.Second
		writer.Waiting(wait, time.Now())
		before := time.Time{}
		if time.Since(ticked) >= 250*time.Millisecond {
			ticked = time.Now()
			before = ticked.Add(-wait)
		}
		if writer.Full() || !before.IsZero() {
			if err := writer.Take(before).Hand(); err != nil {
				return err
			}
		}
		lap(handing)
		total += len(recs)
		all += used(unix.CLOCK_PROCESS_CPUTIME_ID) - begun
	}
	sum := time.Duration(0)
	for i, name := range names {
		sum += took[i]
		fmt.Printf("%-32s %7.2f µs an event\n", name, float64(took[i].Microseconds())/float64(total))
	}
	fmt.Printf("%-32s %7.2f µs an event\n", "besides: merging, collecting", float64((all-sum).Microseconds())/float64(total))
	if err := writer.Flush(); err != nil {
		return err
	}
	lk.Close()
	size, err := partition.Size(filepath.Join(b.dir, "lake"))
	if err != nil {
		return err
	}
	fmt.Printf("%32s %7.1f bytes an event on the disk\n", "", float64(size)/float64(rounds*len(c.chunks)*perChunk))
	fmt.Printf("%d events; firings: %v\n", total, fired)
	return nil
}
