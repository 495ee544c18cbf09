// Command correlate measures what correlations cost: the memory of a million
// live groups, and the CPU time that a hundred correlations take on top of the
// detection engine. Each figure is of a process of its own, this command
// started again. It prints BENCH lines; make bench-correlate runs it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"icewatch/detections"
	"icewatch/detections/engine"
	"icewatch/soc/event"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-correlate:", err)
		os.Exit(1)
	}
}

// kinds are the types of correlation that hold the groups, in equal parts.
const kinds = 5

// plan is what a run measures.
type plan struct {
	groups, count, rate int
	events, rounds      int
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("correlate", flag.ExitOnError)
	p := plan{}
	part := flags.String("part", "", "measure this alone, in this process: groups, bare (the engine without correlations) or counting")
	flags.IntVar(&p.groups, "groups", 1_000_000, "live groups")
	flags.IntVar(&p.count, "correlations", 100, "correlations in force for the overhead")
	flags.IntVar(&p.rate, "rate", 50_000, "events a second that the overhead is told for")
	flags.IntVar(&p.events, "events", 3_000_000, "events to take the overhead from, after a fifth as many that are not measured")
	flags.IntVar(&p.rounds, "rounds", 3, "measure so often in turn; figures are medians")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if min(p.groups, p.count, p.rate, p.events, p.rounds) < 1 {
		return fmt.Errorf("-groups %d, -correlations %d, -rate %d, -events %d and -rounds %d: all must be above 0", p.groups, p.count, p.rate, p.events, p.rounds)
	}
	if p.groups%kinds != 0 {
		return fmt.Errorf("-groups %d: correlations of %d types hold them in equal parts", p.groups, kinds)
	}
	var m measured
	var err error
	switch *part {
	case "":
		return p.all(ctx)
	case "groups":
		m, err = p.fill()
	case "bare":
		m, err = p.stream(0)
	case "counting":
		m, err = p.stream(p.count)
	default:
		return fmt.Errorf("-part %q: it is groups, bare or counting", *part)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// measured is what one process found.
type measured struct {
	CPU      float64 // seconds, of user and system
	Events   int     // for which they were spent
	Resident float64 // MB, at most
	Heap     float64 // MB that live at the end
	Stats    engine.Stats
	Counted  uint64 // matches that correlations were given
}

// all measures each part in a process of its own, in turn, so that what else
// the machine does meets all alike.
func (p *plan) all(ctx context.Context) error {
	fmt.Printf("%s, %d cores\n", runtime.Version(), runtime.NumCPU())
	var memory, overhead []float64
	for round := range p.rounds {
		groups, err := p.part(ctx, "groups")
		if err != nil {
			return err
		}
		bare, err := p.part(ctx, "bare")
		if err != nil {
			return err
		}
		counting, err := p.part(ctx, "counting")
		if err != nil {
			return err
		}
		if groups.Stats.Groups != p.groups {
			return fmt.Errorf("%d groups live, not %d: %+v", groups.Stats.Groups, p.groups, groups.Stats)
		}
		more := (counting.CPU - bare.CPU) / float64(p.events) * float64(p.rate)
		memory, overhead = append(memory, groups.Resident), append(overhead, more)
		fmt.Printf("round %d: %d groups %.0f MB resident at most, %.0f live, %.0f by the engine's own account; ",
			round+1, groups.Stats.Groups, groups.Resident, groups.Heap, float64(groups.Stats.GroupBytes)/1e6)
		fmt.Printf("%.2f µs of CPU an event without correlations, %.2f with %d: each event counted in %.2f, %d fired, %d groups live at the end\n",
			1e6*bare.CPU/float64(bare.Events), 1e6*counting.CPU/float64(counting.Events), p.count,
			float64(counting.Counted)/float64(counting.Stats.Events), counting.Stats.Occurrences, counting.Stats.Groups)
	}
	fmt.Printf("\nBENCH correlate.groups_mb %.0f MB\nBENCH correlate.overhead %.3f ratio\n", median(memory), median(overhead))
	return nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// part starts this program again for one part.
func (p *plan) part(ctx context.Context, name string) (m measured, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	var failed bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-part", name, fmt.Sprintf("-groups=%d", p.groups), fmt.Sprintf("-correlations=%d", p.count), fmt.Sprintf("-events=%d", p.events), fmt.Sprintf("-rate=%d", p.rate))
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("the part %s: %w: %s", name, err, strings.TrimSpace(failed.String()))
	}
	if err := json.Unmarshal(out, &m); err != nil {
		return m, fmt.Errorf("the part %s: %w", name, err)
	}
	return m, nil
}

func (m *measured) finish(e *engine.Engine, counted func(id string) bool) error {
	m.Stats = e.Stats()
	for id, c := range e.Report().Costs {
		if counted(id) {
			m.Counted += c.Asked
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return fmt.Errorf("getrusage: %w", err)
	}
	m.Resident = float64(usage.Maxrss) * 1024 / 1e6
	runtime.GC()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	m.Heap = float64(heap.HeapAlloc) / 1e6
	runtime.KeepAlive(e)
	return nil
}

// cpu is the CPU time of this process so far.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// fill makes live groups by way of the engine: of five types of correlation in
// equal parts, three events each.
func (p *plan) fill() (m measured, err error) {
	reg := event.NewRegistry(0)
	files := map[string]string{"seen.yml": "title: Seen\nid: seen\nlogsource: {product: city}\ndetection:\n  s: {event.category: network}\n  condition: s\n",
		"never.yml": "title: Never\nid: never\nlogsource: {product: city}\ndetection:\n  s: {event.category: none}\n  condition: s\n"}
	for i, what := range []string{
		"type: event_count\n  condition: {gte: 100}", "type: value_count\n  condition: {field: destination.port, gte: 100}",
		"type: value_sum\n  condition: {field: source.bytes, gte: 1000000}", "type: value_avg\n  condition: {field: source.bytes, gte: 1000000}",
		"type: temporal\n  condition: {gte: 2}",
	} {
		files[fmt.Sprintf("%d.yml", i)] = fmt.Sprintf("title: Count %d\nid: count_%d\ncorrelation:\n  rules: [seen, never]\n  group-by: [source.ip]\n  timespan: 1h\n  %s\n", i, i, what)
	}
	set, err := compile(reg, files)
	if err != nil {
		return m, err
	}
	e := engine.New(engine.Options{Registry: reg, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), MaxGroups: p.groups, MaxBytes: 4 << 30})
	e.Swap(set)
	port, _ := reg.Intern("destination.port")
	size, _ := reg.Intern("source.bytes")
	var ev event.Event
	each := p.groups / kinds
	for i := range 3 * each {
		g := i % each
		ev.Reset()
		ev.ID, ev.Tenant = event.ID{Epoch: "bench", Sequence: uint64(i)}, "tenant"
		ev.Time = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC).UnixNano() + int64(i)*int64(time.Microsecond)
		ev.Created = ev.Time
		ev.Add(event.EventModule, "city")
		ev.Add(event.EventCategory, "network")
		ev.Add(event.HostName, "firewall-1")
		ev.Add(event.SourceIP, fmt.Sprintf("10.%d.%d.%d", g>>16&255, g>>8&255, g&255))
		ev.Add(port, fmt.Sprint(1+i%60_000))
		ev.Add(size, fmt.Sprint(i%1000))
		e.Process(&ev, func(detections.Occurrence) {})
	}
	m.Events = 3 * each
	return m, m.finish(e, func(id string) bool { return id != "seen" })
}

// stream has the engine work through a city's events with so many correlations
// in force; without any the rules that they count are not there either.
func (p *plan) stream(count int) (m measured, err error) {
	reg := event.NewRegistry(0)
	files := correlations(count)
	if count == 0 {
		files = nil
	}
	set, err := compile(reg, files)
	if err != nil {
		return m, err
	}
	e := engine.New(engine.Options{Registry: reg, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	e.Swap(set)
	debug.SetGCPercent(400) // as the suite's engine does
	ring := city(reg)
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC).UnixNano()
	warm := p.events / 5
	var begun time.Duration
	for i := range warm + p.events {
		if i == warm {
			if begun, err = cpu(); err != nil {
				return m, err
			}
		}
		ev := &ring[i%len(ring)]
		at += int64(time.Second) / int64(p.rate)
		ev.Time, ev.Created, ev.ID.Sequence = at, at, uint64(i)
		e.Process(ev, func(detections.Occurrence) {})
	}
	ended, err := cpu()
	if err != nil {
		return m, err
	}
	m.CPU, m.Events = (ended - begun).Seconds(), p.events
	return m, m.finish(e, func(id string) bool { return strings.HasPrefix(id, "count_") })
}
