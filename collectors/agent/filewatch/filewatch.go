// Package filewatch follows log files and systemd's journal on a host, with the
// suite's own collectors for both, and makes their lines durable in the agent's
// queue before it moves on. A full queue makes the sources wait; nothing is
// dropped.
package filewatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/fleet/wire"
	"icewatch/collectors/journal"
	"icewatch/collectors/places"
	"icewatch/soc/intake"
)

// Collector is the Record.Collector of lines; the server writes its own over it.
const Collector = "agent"

// Watcher runs the sources of a document.
type Watcher struct {
	dir  string // of positions
	sink *Sink
	log  *slog.Logger

	mu      sync.Mutex
	sources []*source
}

// New keeps positions in dir, which it makes.
func New(dir string, sink *Sink, log *slog.Logger) (*Watcher, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("filewatch: %w", err)
	}
	return &Watcher{dir: dir, sink: sink, log: log}, nil
}

// source is one entry of a document.
type source struct {
	name, kind, part, key string
	make                  func() (collectors.Collector, error)
	collector             collectors.Collector
	running               bool
	paused                bool
}

func (s *source) start(ctx context.Context) error {
	c, err := s.make()
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		return &wire.DocumentError{Part: s.part, Text: err.Error()}
	}
	s.collector, s.running = c, true
	return nil
}

func (s *source) stop(ctx context.Context) error {
	if !s.running {
		return nil
	}
	s.running = false
	return s.collector.Stop(ctx)
}

// Prepared is a checked set of sources that waits to be put in force.
type Prepared struct{ sources []*source }

// Prepare makes the sources of a document and checks their settings, without
// touching what runs. The error is a *wire.DocumentError.
func (w *Watcher) Prepare(d *wire.Document) (*Prepared, error) {
	p := &Prepared{}
	for _, f := range d.Files {
		p.sources = append(p.sources, w.files(f))
	}
	if d.Journal != nil {
		p.sources = append(p.sources, w.journal(*d.Journal))
	}
	for _, s := range p.sources {
		if _, err := s.make(); err != nil {
			return nil, &wire.DocumentError{Part: s.part, Text: err.Error()}
		}
	}
	return p, nil
}

func keyOf(v any) string {
	text, _ := json.Marshal(v) // Plain structs: it cannot fail.
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

func (w *Watcher) files(f wire.Files) *source {
	s := &source{name: f.Name, kind: "files", part: "files." + f.Name, key: keyOf(f)}
	s.make = func() (collectors.Collector, error) {
		cfg, _ := filetail.NewFactory().DefaultConfig().(*filetail.Config)
		cfg.ID, cfg.Paths, cfg.Exclude, cfg.Multiline = f.Name, f.Paths, f.Exclude, f.Multiline
		cfg.PositionFile = filepath.Join(w.dir, "files-"+keyOf(f.Name)+".json")
		cfg.MaxLine = 1 << 20
		if f.Encoding != "" {
			cfg.Encoding = f.Encoding
		}
		if f.ReadFrom != "" {
			cfg.ReadFrom = f.ReadFrom
		}
		to := &marked{sink: w.sink, format: formats[f.Format], attrs: labelAttrs(f.Labels)}
		if f.Dataset != "" {
			to.attrs = append(to.attrs, intake.Attr{Name: "event.dataset", Value: f.Dataset})
		}
		return filetail.New(*cfg, collectors.Deps{Sink: to, Log: w.log})
	}
	return s
}

var formats = map[string]intake.Format{"": intake.Line, "line": intake.Line, "json": intake.JSON, "syslog": intake.Syslog}

func (w *Watcher) journal(j wire.Journal) *source {
	s := &source{name: "journal", kind: "journal", part: "journal", key: keyOf(j)}
	s.make = func() (collectors.Collector, error) {
		cfg, _ := journal.NewFactory().DefaultConfig().(*journal.Config)
		cfg.Units, cfg.Priority, cfg.ReadFrom = j.Units, j.Priority, "end"
		if j.ReadFrom != "" {
			cfg.ReadFrom = j.ReadFrom
		}
		return journal.New(*cfg, collectors.Deps{Sink: w.sink, Log: w.log, Places: places.Dir(w.dir)})
	}
	return s
}

// marked puts what a document says of files on their lines.
type marked struct {
	sink   intake.Sink
	format intake.Format
	attrs  []intake.Attr
}

// Append implements intake.Sink.
func (m *marked) Append(ctx context.Context, recs []intake.Record) error {
	own := slices.Clone(recs)
	for i := range own {
		own[i].Collector = Collector
		if !slices.Contains(own[i].Marks, collectors.MarkTruncated) {
			own[i].Format = m.format // What was cut is no object any more.
		}
		own[i].Attrs = append(own[i].Attrs[:len(own[i].Attrs):len(own[i].Attrs)], m.attrs...)
	}
	return m.sink.Append(ctx, own)
}

// Swap puts a set in force: entries that did not change go on, the others stop
// first and start then. Where one cannot start, what ran before runs again.
func (w *Watcher) Swap(ctx context.Context, p *Prepared) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.sources
	var next []*source
	for _, s := range p.sources {
		if i := slices.IndexFunc(old, func(o *source) bool { return o.part == s.part && o.key == s.key }); i >= 0 {
			s = old[i]
		}
		next = append(next, s)
	}
	var stopped, started []*source
	for _, o := range old {
		if !slices.Contains(next, o) && o.running {
			if err := o.stop(ctx); err != nil {
				w.log.Warn("a source gave records up", "source", o.name, "error", err)
			}
			stopped = append(stopped, o)
		}
	}
	for _, s := range next {
		if s.running || s.paused {
			continue
		}
		if err := s.start(ctx); err != nil {
			for _, n := range started {
				_ = n.stop(ctx)
			}
			for _, o := range stopped {
				if again := o.start(ctx); again != nil {
					w.log.Error("a source that ran before cannot be started again", "source", o.name, "error", again)
				}
			}
			return err
		}
		started = append(started, s)
	}
	w.sources = next
	return nil
}

// Pause stops the source of that name, or starts it again. ok is false where
// there is none.
func (w *Watcher) Pause(ctx context.Context, name string, on bool) (ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sources {
		if s.name != name && s.part != name {
			continue
		}
		s.paused = on
		if on {
			return true, s.stop(ctx)
		}
		if s.running {
			return true, nil
		}
		return true, s.start(ctx)
	}
	return false, nil
}

// States tell how the sources fare.
func (w *Watcher) States() []wire.InputState {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []wire.InputState
	for _, s := range w.sources {
		st := wire.InputState{Name: s.name, Plugin: s.kind, State: "stopped"}
		if s.running {
			h := s.collector.Health()
			st.State = "running"
			switch {
			case w.sink.Held():
				st.State = "held"
			case h.State == collectors.StateError:
				st.State, st.Error = "failing", h.Error
			}
		}
		out = append(out, st)
	}
	return out
}

// Lines is how many records were taken in by the sources that run.
func (w *Watcher) Lines() (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sources {
		if s.collector != nil {
			n += s.collector.Health().Received
		}
	}
	return n
}

// Stop ends all sources.
func (w *Watcher) Stop(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sources {
		if err := s.stop(ctx); err != nil {
			w.log.Warn("a source gave records up", "source", s.name, "error", err)
		}
	}
}
