package rulecli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"icewatch/detections"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// benchmark is what a measured run is told.
type benchmark struct {
	opts     MatchOptions
	compiled time.Duration
	rejected []ruleset.Problem
}

// share is how many events a worker takes at a time.
const share = 256

// bench reads all events into memory, matches them once as a plain run does,
// which also warms up, and then loops over them: over decoded events, and over
// their lines. Correlations count in the first pass only. It fails where a loop
// finds other matches than the plain run.
func (r *run) bench(out, errw io.Writer, in io.Reader, how benchmark) error {
	heap := liveHeap()
	// Only the matchers are to run: as many threads as they are, the garbage
	// collector included.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(r.workers)))

	l := &loop{run: r}
	if err := l.read(newLines(in), errw); err != nil {
		return fmt.Errorf("read events of %s: %w", how.opts.Events, err)
	}
	if len(l.events) == 0 {
		return fmt.Errorf("there is no event in %s to measure with", how.opts.Events)
	}
	fmt.Fprintf(out, "events: %d, %d bytes, %.1f fields each\n", len(l.events), l.bytes, float64(l.fields)/float64(len(l.events)))
	r.summary(errw, how.rejected)
	fmt.Fprintf(out, "rules: %d, routing %s, threads: %d\n", len(r.set.Detections())+len(r.set.Correlations()), onOff(how.opts.Routing), len(r.workers))
	fmt.Fprintf(out, "read and compile rules: %.2f s\n", how.compiled.Seconds())
	fmt.Fprintf(out, "live heap after compile: %.1f MB\n", float64(heap)/1e6)
	for _, kind := range []struct {
		name string
		work pass
	}{
		{"without JSON decoding", l.decoded},
		{"with JSON decoding", l.undecoded},
	} {
		before := cpuTime()
		passes, took, err := l.measure(how.opts.Bench, kind.work)
		if err != nil {
			return fmt.Errorf("bench %s: %w", kind.name, err)
		}
		rate := float64(passes) / took.Seconds()
		fmt.Fprintf(out, "%s: %.0f events/s, %.0f bytes/s (%d passes in %.2f s, %.2f s of CPU, %d matches a pass)\n",
			kind.name, rate*float64(len(l.events)), rate*float64(l.bytes), passes, took.Seconds(), (cpuTime() - before).Seconds(), l.matches)
	}
	fmt.Fprintf(out, "matches of a plain run: %d\n", r.matches)
	fmt.Fprintf(out, "peak memory: %s\n", peakMemory())
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// liveHeap is what is in use after a collection, in bytes.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // What finalizers and pools held goes with the second.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cpuTime is what the process has used. Where it is less than the time that
// passed, other processes had the CPUs for the rest.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most that the process had in memory at any time.
func peakMemory() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown: " + err.Error()
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
			return fmt.Sprintf("%.1f MB", kb*1024/1e6)
		}
	}
	return "unknown: /proc/self/status has no VmHWM"
}

// loop is a run over events that are in memory.
type loop struct {
	run     *run
	lines   []string
	events  [][]event.Field
	bytes   int64
	fields  int
	matches int // of a pass, correlations left out
}

// read matches all lines as a plain run does, and keeps those that are events.
func (l *loop) read(in *lines, errw io.Writer) error {
	r := l.run
	r.out, r.errw = bufio.NewWriter(io.Discard), errw
	decoder := r.newDecoder()
	var slab []event.Field
	for turn := 0; ; turn++ {
		text, number, err := in.next(nil)
		if err != nil {
			return ended(err)
		}
		b := &batch{text: text, number: number}
		r.workers[turn%len(r.workers)].match(b)
		l.matches += b.matches
		if err := r.take(b); err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			if blank(line) {
				continue
			}
			var ev event.Event
			if cap(slab)-len(slab) < 1024 {
				slab = make([]event.Field, 0, 1<<15)
			}
			ev.Fields = slab[len(slab):]
			text := view(line)
			if decoder.Event(text, &ev) != nil {
				continue
			}
			n := len(ev.Fields)
			ev.Fields = ev.Fields[:n:n]
			if len(slab)+n <= cap(slab) {
				slab = slab[:len(slab)+n]
			}
			l.events, l.lines = append(l.events, ev.Fields), append(l.lines, text)
			l.bytes += int64(len(line))
			l.fields += n
		}
	}
}

// pass asks a worker's rules about a part of the events.
type pass func(w *worker, from, to int, emit func(int, func() []detections.Match)) error

// decoded asks the rules about events that are decoded.
func (l *loop) decoded(w *worker, from, to int, emit func(int, func() []detections.Match)) error {
	var ev event.Event
	for _, fields := range l.events[from:to] {
		ev.Fields = fields
		w.matcher.Match(&ev, emit)
	}
	return nil
}

// undecoded decodes the lines first, one after the other.
func (l *loop) undecoded(w *worker, from, to int, emit func(int, func() []detections.Match)) error {
	for i := from; i < to; i++ {
		if err := w.decode(l.lines[i]); err != nil {
			return err
		}
		w.matcher.Match(&w.ev, emit)
	}
	return nil
}

// measure passes over all events until the time is over and the pass at an end.
func (l *loop) measure(least time.Duration, work pass) (passes int, took time.Duration, err error) {
	var (
		mu      sync.Mutex
		next    int
		over    bool
		matches int
		wg      sync.WaitGroup
	)
	began := time.Now()
	// take gives out the next share of a pass.
	take := func() (from int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= len(l.events) {
			next, passes = 0, passes+1
			over = over || time.Since(began) >= least
		}
		from = next
		if !over {
			next += share
		}
		return from, !over
	}
	for _, w := range l.run.workers {
		wg.Go(func() {
			found := 0
			emit := func(rule int, _ func() []detections.Match) {
				if !l.run.set.Detections()[rule].Silent {
					found++
				}
			}
			for from, ok := take(); ok; from, ok = take() {
				if fault := work(w, from, min(from+share, len(l.events)), emit); fault != nil {
					mu.Lock()
					over, err = true, fault
					mu.Unlock()
				}
			}
			mu.Lock()
			matches += found
			mu.Unlock()
		})
	}
	wg.Wait()
	took = time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	if matches != passes*l.matches {
		return 0, 0, fmt.Errorf("%d passes found %d matches; a plain run finds %d in each", passes, matches, l.matches)
	}
	return passes, took, nil
}
