package rulecli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
	"icewatch/soc/event/flatjson"
)

// run is one pass of events over rules. Workers match batches of lines; what
// they found is put in order by whoever called all, who also counts for the
// correlations, since these depend on the order of events.
type run struct {
	set      *ruleset.Set
	reg      *event.Registry
	workers  []*worker
	fields   *fields
	state    *correlation.State // nil where there are no correlations
	lines    [][]byte           // by detection: the JSON behind the event's number
	counts   [][]byte           // by correlation
	out      *bufio.Writer
	errw     io.Writer
	progress *progress

	events, broken, matches int
	last                    int // line of the last event that a correlation looked at
}

func newRun(set *ruleset.Set, reg *event.Registry, threads int) *run {
	r := &run{set: set, reg: reg, progress: &progress{}}
	for _, d := range set.Detections() {
		r.lines = append(r.lines, tail(d))
	}
	for _, c := range set.Correlations() {
		r.counts = append(r.counts, tail(c))
	}
	if len(r.counts) > 0 {
		r.fields = newFields(set, reg)
		r.state = correlation.New(set.StateRules(), correlation.Options{})
	}
	for range threads {
		r.workers = append(r.workers, &worker{run: r, matcher: set.Program().NewMatcher(), decoder: r.newDecoder()})
	}
	return r
}

// newDecoder gives names that no rule uses the number 0: only searches over all
// values look at them.
func (r *run) newDecoder() *flatjson.Decoder {
	return flatjson.New(flatjson.Options{Registry: r.reg})
}

// tail is what is the same in every line about a rule.
func tail(r *ruleset.Rule) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A struct of two texts always encodes.
	_ = enc.Encode(struct {
		Rule  string `json:"rule"`
		Title string `json:"title"`
	}{r.ID, r.Title})
	return []byte("," + b.String()[1:])
}

// batch is some lines, and then what was found in them.
type batch struct {
	text   []byte
	number int // of the first line
	done   chan struct{}

	events, broken, matches int
	faults                  []fault
	found                   []byte // lines to print
	feeds                   []feed
}

func (b *batch) reset() {
	b.events, b.broken, b.matches = 0, 0, 0
	clear(b.feeds)
	b.faults, b.found, b.feeds = b.faults[:0], b.found[:0], b.feeds[:0]
}

// fault is a line that is no event.
type fault struct {
	line int
	err  error
}

// maxFaults bounds how many of them are named.
const maxFaults = 10

// feed is a match that a correlation counts. What the correlation says to it
// belongs behind the first at bytes of the batch's lines.
type feed struct {
	at, line    int
	correlation int
	match       correlation.Match
}

// all matches all lines. Where there is one worker everything happens in the
// caller's goroutine.
func (r *run) all(in *lines) error {
	if len(r.workers) == 1 {
		b := &batch{}
		for {
			text, number, err := in.next(b.text)
			if err != nil {
				return ended(err)
			}
			b.text, b.number = text, number
			r.workers[0].match(b)
			if err := r.take(b); err != nil {
				return err
			}
		}
	}
	return r.spread(in)
}

// ended turns the end of the input into no error.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// spread shares the lines among several workers.
func (r *run) spread(in *lines) error {
	ahead := 2 * len(r.workers)
	free, work, ordered := make(chan *batch, ahead), make(chan *batch, ahead), make(chan *batch, ahead)
	quit := make(chan struct{})
	for range ahead {
		free <- &batch{done: make(chan struct{}, 1)}
	}
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(func() {
			for b := range work {
				w.match(b)
				b.done <- struct{}{}
			}
		})
	}
	var readErr error
	wg.Go(func() {
		defer close(ordered)
		defer close(work)
		for {
			select {
			case <-quit:
				return
			case b := <-free:
				text, number, err := in.next(b.text)
				if err != nil {
					readErr = ended(err)
					return
				}
				b.text, b.number = text, number
				work <- b // Neither blocks: there are no more batches than places.
				ordered <- b
			}
		}
	})
	for b := range ordered {
		<-b.done
		if err := r.take(b); err != nil {
			close(quit) // Without waiting: the input may have nothing to read for long.
			return err
		}
		free <- b
	}
	wg.Wait()
	return readErr
}

// take writes what was found in the next batch.
func (r *run) take(b *batch) error {
	for _, f := range b.faults[:min(len(b.faults), max(0, maxFaults-r.broken))] {
		fmt.Fprintf(r.errw, "line %d is not a JSON object: %v\n", f.line, f.err)
	}
	r.events, r.broken, r.matches = r.events+b.events, r.broken+b.broken, r.matches+b.matches
	written := 0
	for i := range b.feeds {
		f := &b.feeds[i]
		if _, err := r.out.Write(b.found[written:f.at]); err != nil {
			return fmt.Errorf("write matches: %w", err)
		}
		written = f.at
		var err error
		r.state.Add(f.correlation, f.match, func(fired correlation.Firing) {
			r.matches++
			_, err = r.out.Write(appendLine(r.out.AvailableBuffer(), f.line, r.counts[fired.Rule]))
		})
		if err != nil {
			return fmt.Errorf("write matches: %w", err)
		}
	}
	if _, err := r.out.Write(b.found[written:]); err != nil {
		return fmt.Errorf("write matches: %w", err)
	}
	if n := len(b.feeds); n > 0 {
		r.last = b.feeds[n-1].line
	}
	r.progress.show(r.events, r.matches)
	return nil
}

// finish judges the windows that the end of the events leaves open. Their
// lines are those of the last event that a correlation looked at.
func (r *run) finish() error {
	if r.state == nil {
		return nil
	}
	var err error
	r.state.Finish(func(fired correlation.Firing) {
		r.matches++
		if _, failed := r.out.Write(appendLine(r.out.AvailableBuffer(), r.last, r.counts[fired.Rule])); failed != nil {
			err = fmt.Errorf("write matches: %w", failed)
		}
	})
	return err
}

func appendLine(b []byte, line int, tail []byte) []byte {
	b = append(b, `{"event":`...)
	b = strconv.AppendInt(b, int64(line), 10)
	return append(b, tail...)
}

// worker matches lines. Several share a program, each with a matcher.
type worker struct {
	run     *run
	matcher matcher
	decoder *flatjson.Decoder
	ev      event.Event
}

type matcher interface {
	Match(*event.Event, func(int, func() []detections.Match))
	Disabled() map[int32]string
}

// match fills a batch's results. Empty lines count as lines, not as events.
func (w *worker) match(b *batch) {
	b.reset()
	number := b.number - 1
	for line := range bytes.Lines(b.text) {
		number++
		if blank(line) {
			continue
		}
		if err := w.decode(view(line)); err != nil {
			if b.broken++; b.broken <= maxFaults {
				b.faults = append(b.faults, fault{number, err})
			}
			continue
		}
		b.events++
		w.event(b, number)
	}
}

func blank(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }

// decode reads an event, which is valid until the next and as long as line.
func (w *worker) decode(line string) error {
	w.ev.Reset()
	w.decoder.Rewind()
	return w.decoder.Event(line, &w.ev)
}

// view is bytes as a string, as long as they do not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// event asks the rules about the decoded event.
func (w *worker) event(b *batch, number int) {
	r := w.run
	time := int64(0)
	if r.fields != nil {
		time = r.fields.time(&w.ev)
	}
	w.matcher.Match(&w.ev, func(at int, _ func() []detections.Match) {
		d := r.set.Detections()[at]
		if !d.Silent {
			b.matches++
			b.found = appendLine(b.found, number, r.lines[at])
		}
		if time == 0 {
			return // Events without a time cannot be counted in windows.
		}
		for i, f := range d.Feeds {
			if m, ok := r.fields.match(&w.ev, at, i); ok {
				m.Time, m.Place = time, f.Place
				m.Event = event.ID{Sequence: uint64(number)}
				b.feeds = append(b.feeds, feed{at: len(b.found), line: number, correlation: f.Correlation, match: m})
			}
		}
	})
}
