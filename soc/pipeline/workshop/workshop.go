// Package workshop is where packs are tried: it reads lines by the packs of
// some folders, says by which type of log and into which fields, and runs the
// samples of packs against the events that they should become. The engine does
// the same with the events that come in; here nothing is stored.
package workshop

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
)

// Builtin names the packs that come with the suite.
const Builtin = "builtin"

// Sources are the suite's own packs and those of further folders, of which the
// later go before the earlier.
func Sources(folders ...pack.Source) []pack.Source {
	return append([]pack.Source{{Name: Builtin, FS: rules.Parsers()}}, folders...)
}

// Workshop reads lines by a set of packs. It is safe for concurrent use.
type Workshop struct {
	sources  []pack.Source
	set      *pack.Set
	problems []pack.Problem
	reg      *event.Registry
	location *time.Location

	mu     sync.Mutex
	parser *parse.Parser
}

// maxNames bounds the field names that lines may bring.
const maxNames = 50_000

// Open compiles the packs of the sources. location is the zone of times
// without one; nil is this machine's.
func Open(sources []pack.Source, location *time.Location) *Workshop {
	w := &Workshop{sources: sources, reg: event.NewRegistry(maxNames), location: location}
	w.set, w.problems = pack.Compile(sources, w.reg)
	w.parser = w.fresh()
	return w
}

func (w *Workshop) fresh() *parse.Parser {
	live := &pack.Live{}
	live.Store(w.set)
	return parse.New(w.reg, parse.Options{Location: w.location, Packs: live})
}

// Packs lists the packs in force.
func (w *Workshop) Packs() []pack.Info { return w.set.Packs() }

// Problems lists what is wrong with packs, and therefore not in force.
func (w *Workshop) Problems() []pack.Problem { return w.problems }

// Reading is what became of a line.
type Reading struct {
	Pack    string // <vendor>/<product>; "" where no pack knows the line
	Log     string // <vendor>/<product>/<name>
	Dataset string
	Unread  bool   // nothing but a header was read
	Event   []byte // the event as one JSON object

	parts []byte // the event without the line itself, which event.original and often message have
}

// Generic names what reads a line that no pack knows.
func (r *Reading) Generic() string {
	if r.Unread {
		return "(unrecognised)"
	}
	return "(generic) " + r.Dataset
}

// Read reads a line that was received at a time.
func (w *Workshop) Read(line []byte, received time.Time) Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read(w.parser, line, received)
}

func (w *Workshop) read(p *parse.Parser, line []byte, received time.Time) Reading {
	format := intake.Line
	if len(line) > 0 && line[0] == '<' {
		format = intake.Syslog
	}
	var ev event.Event
	p.Parse(&intake.Record{Format: format, Received: received.UnixNano(), Data: line}, &ev)
	r := Reading{Dataset: ev.Text(event.EventDataset), Unread: p.Unrecognised(), Event: event.AppendObject(nil, &ev, w.reg)}
	text := ev.Raw
	ev.Raw = ""
	if ev.Text(event.Message) == text {
		ev.Fields = slices.DeleteFunc(ev.Fields, func(f event.Field) bool { return f.ID == event.Message })
	}
	r.parts = bytes.Replace(event.AppendObject(nil, &ev, w.reg), []byte(`,"event.original":""`), nil, 1)
	l, ok := w.set.Log(ev.Text(event.LogType))
	if !ok {
		l, ok = w.set.BuiltIn(r.Dataset)
	}
	if ok {
		r.Pack, r.Log = l.Pack, l.ID
	}
	return r
}

// Fault is a sample that does not become what it should.
type Fault struct {
	Pack   string
	Line   int // of samples.log
	Reason string
}

// At is the moment at which samples are received, and Zone the zone of times
// without one in them.
var (
	At   = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	Zone = time.FixedZone("UTC+8", 8*3600)
)

// Test reads the samples of the packs and compares with the events beside
// them: each sample must fall to its own pack, each type of log must have one.
// It writes the events anew instead where write is given.
func (w *Workshop) Test(write func(source, file string, data []byte) error) (samples int, faults []Fault, err error) {
	for _, info := range w.set.Packs() {
		i := slices.IndexFunc(w.sources, func(s pack.Source) bool { return s.Name == info.Source })
		n, found, err := w.test(info, w.sources[i], write)
		if err != nil {
			return samples, faults, err
		}
		samples += n
		faults = append(faults, found...)
	}
	return samples, faults, nil
}

func (w *Workshop) test(info pack.Info, src pack.Source, write func(source, file string, data []byte) error) (n int, faults []Fault, err error) {
	fail := func(line int, format string, args ...any) {
		faults = append(faults, Fault{info.ID, line, fmt.Sprintf(format, args...)})
	}
	text, err := fs.ReadFile(src.FS, path.Join(info.ID, pack.Samples))
	if errors.Is(err, fs.ErrNotExist) {
		fail(0, "it has no %s: a line of each type of log, as the product writes it", pack.Samples)
		return 0, faults, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("samples of %s: %w", info.ID, err)
	}
	golden, err := fs.ReadFile(src.FS, path.Join(info.ID, pack.Golden))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, nil, fmt.Errorf("events of %s: %w", info.ID, err)
	}
	want := bytes.Split(golden, []byte("\n"))
	saved := w.location
	w.location = Zone
	p := w.fresh()
	w.location = saved
	seen := map[string]bool{}
	var got bytes.Buffer
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			continue
		}
		r := w.read(p, line, At)
		if write == nil && (n >= len(want) || !bytes.Equal(want[n], r.parts) && !bytes.Equal(want[n], r.Event)) {
			expected := "nothing"
			if n < len(want) && len(want[n]) > 0 {
				expected = string(want[n])
			}
			fail(number, "it becomes\n%s\nwhere %s has\n%s", r.parts, pack.Golden, expected)
		}
		n++
		got.Write(append(r.parts, '\n'))
		switch {
		case strings.HasSuffix(r.Dataset, ".header"):
		case !bytes.Contains(r.Event, []byte(`,"event.category":`)):
			fail(number, "it gets no event.category")
		case bytes.Contains(r.Event, []byte(parse.MarkInvalidValue)), bytes.Contains(r.Event, []byte(parse.MarkBadTime)):
			fail(number, "a value of it cannot be what its field holds\n%s", r.Event)
		case r.Pack == "":
			fail(number, "no pack knows it: it is read as %s", r.Generic())
		case r.Pack != info.ID:
			fail(number, "%s claims it", r.Log)
		default:
			seen[r.Log] = true
		}
	}
	for _, l := range info.Logs {
		if !seen[l.ID] {
			fail(0, "%s has no sample", l.ID)
		}
	}
	if write == nil {
		return n, faults, nil
	}
	return n, faults, write(src.Name, path.Join(info.ID, pack.Golden), got.Bytes())
}

// Count is how many lines fell to a pack or a generic parser.
type Count struct {
	Name  string
	Lines int
}

// Tally counts readings by pack.
type Tally struct{ by map[string]int }

// Add counts a reading.
func (t *Tally) Add(r *Reading) {
	if t.by == nil {
		t.by = map[string]int{}
	}
	t.by[cmp.Or(r.Log, r.Generic())]++
}

// Counts lists the counts, the largest first.
func (t *Tally) Counts() []Count {
	out := make([]Count, 0, len(t.by))
	for name, n := range t.by {
		out = append(out, Count{name, n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Lines, a.Lines), strings.Compare(a.Name, b.Name))
	})
	return out
}
