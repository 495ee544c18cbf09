package rulecli

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// MatchOptions are the flags of `icectl rules match`.
type MatchOptions struct {
	Rules   []string // --rules DIR or FILE, repeatable
	Events  string   // --events FILE.jsonl or .jsonl.gz; "-" is standard input
	Routing bool     // --routing on|off, default off
}

// maxLine bounds one event in bytes.
const maxLine = 64 << 20

// Match writes one JSON line a match to out, {"event":<0-based line>,
// "rule":"<id>","title":"…"}, and the summary to errw. Field names are matched
// as they stand in the events; nested objects are flat with dots. Without
// routing every rule is asked about every event, as an evaluator does that
// knows rules and events only.
func Match(out, errw io.Writer, opts MatchOptions) error {
	start := time.Now()
	bundle, err := load(opts.Rules)
	if err != nil {
		return err
	}
	reg := event.NewRegistry(0)
	set, problems := ruleset.CompileWith(bundle, reg, ruleset.Options{Unrouted: !opts.Routing, Lenient: true})
	in, err := open(opts.Events)
	if err != nil {
		return err
	}
	defer in.Close()

	w := bufio.NewWriterSize(out, 1<<16)
	m := newRun(set, reg, w)
	events, broken, err := m.read(in, errw)
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		return fmt.Errorf("match events of %s: %w", opts.Events, err)
	}
	if m.err != nil {
		return fmt.Errorf("write matches: %w", m.err)
	}
	fmt.Fprintf(errw, "events: %d\n", events)
	if broken > 0 {
		fmt.Fprintf(errw, "events that are not JSON objects: %d\n", broken)
	}
	fmt.Fprintf(errw, "rules loaded: %d\n", len(set.Detections())+len(set.Correlations()))
	fmt.Fprintf(errw, "rules rejected: %d\n", len(problems))
	for _, p := range problems {
		fmt.Fprintf(errw, "  %s\n", p)
	}
	for at, why := range m.matcher.Disabled() {
		fmt.Fprintf(errw, "rule disabled: %s: %s\n", set.Detections()[at].ID, why)
	}
	fmt.Fprintf(errw, "matches: %d\n", m.matches)
	fmt.Fprintf(errw, "seconds: %.2f\n", time.Since(start).Seconds())
	return nil
}

// open opens the events, compressed or not by their first bytes.
func open(name string) (io.ReadCloser, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
	}
	b := bufio.NewReaderSize(f, 1<<16)
	magic, _ := b.Peek(2)
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("events %s: %w", name, err)
		}
		return readCloser{z, f}, nil
	}
	return readCloser{b, f}, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// run is one pass of events over rules.
type run struct {
	set     *ruleset.Set
	matcher matcher
	decode  *decoder
	state   *correlation.State
	out     *bufio.Writer
	lines   [][]byte // by detection: the JSON after the event's number
	counts  [][]byte // by correlation
	matches int
	err     error
}

type matcher interface {
	Match(*event.Event, func(int, func() []detections.Match))
	Disabled() map[int32]string
}

func newRun(set *ruleset.Set, reg *event.Registry, out *bufio.Writer) *run {
	r := &run{set: set, matcher: set.Program().NewMatcher(), decode: newDecoder(reg), out: out}
	for _, d := range set.Detections() {
		r.lines = append(r.lines, tail(d))
	}
	for _, c := range set.Correlations() {
		r.counts = append(r.counts, tail(c))
	}
	if len(r.counts) > 0 {
		r.decode.learn(set)
		r.state = correlation.New(set.StateRules(), 0, 0)
	}
	return r
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

// read matches every line. Empty lines count as lines, not as events.
func (r *run) read(in io.Reader, errw io.Writer) (events, broken int, err error) {
	br := bufio.NewReaderSize(in, 1<<20)
	var long []byte
	for number := 0; ; number++ {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long[:0], line...)
			for errors.Is(err, bufio.ErrBufferFull) && len(long) <= maxLine {
				line, err = br.ReadSlice('\n')
				long = append(long, line...)
			}
			if len(long) > maxLine {
				return events, broken, fmt.Errorf("line %d is longer than %d MiB", number, maxLine>>20)
			}
			line = long
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return events, broken, err
		}
		if len(strings.TrimSpace(string(line))) > 0 {
			ev, bad := r.decode.event(line)
			if bad != nil {
				if broken++; broken <= 10 {
					fmt.Fprintf(errw, "line %d: %v\n", number, bad)
				}
			} else {
				events++
				r.one(number, ev)
			}
		}
		if err != nil || r.err != nil {
			return events, broken, nil
		}
	}
}

func (r *run) one(number int, ev *event.Event) {
	r.matcher.Match(ev, func(at int, _ func() []detections.Match) {
		d := r.set.Detections()[at]
		if !d.Silent {
			r.print(number, r.lines[at])
		}
		for _, f := range d.Feeds {
			r.count(number, ev, f)
		}
	})
}

// count feeds correlations; events without a time cannot be counted in windows.
func (r *run) count(number int, ev *event.Event, f ruleset.Feed) {
	if ev.Time == 0 {
		return
	}
	m := correlation.Match{Time: ev.Time, Group: r.decode.values(ev, f.GroupBy), Values: r.decode.values(ev, f.Fields),
		Fields: func() map[string]string { return nil }}
	if empty(m.Group) || empty(m.Values) {
		return
	}
	r.state.Add(f.Correlation, m, func(fired correlation.Firing) { r.print(number, r.counts[fired.Rule]) })
}

// empty tells whether there are values and none of them says anything.
func empty(list []string) bool {
	for _, v := range list {
		if v != "" {
			return false
		}
	}
	return len(list) > 0
}

func (r *run) print(number int, tail []byte) {
	r.matches++
	b := fmt.Appendf(r.out.AvailableBuffer(), `{"event":%d`, number)
	if _, err := r.out.Write(append(b, tail...)); err != nil {
		r.err = err
	}
}
