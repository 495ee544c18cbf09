package parse

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
)

// builtin compiles the suite's own packs, once for a registry that all share.
var builtin = sync.OnceValue(func() *builtinPacks {
	b := &builtinPacks{reg: event.NewRegistry(0)}
	set, problems := pack.Compile([]pack.Source{{Name: "rules/parsers", FS: rules.Parsers()}}, b.reg)
	b.live.Store(set)
	b.problems = problems
	return b
})

type builtinPacks struct {
	reg      *event.Registry
	live     pack.Live
	problems []pack.Problem
}

func (b *builtinPacks) parser() *Parser {
	return New(b.reg, Options{Location: shanghai, Packs: &b.live})
}

// packOf names the type of log that an event was recognised as.
func packOf(set *pack.Set, ev *event.Event) (*pack.Log, bool) {
	if id := ev.Text(event.LogType); id != "" {
		return set.Log(id)
	}
	return set.BuiltIn(ev.Text(event.EventDataset))
}

func TestPacksAreSound(t *testing.T) {
	t.Parallel()
	b := builtin()
	for _, p := range b.problems {
		t.Errorf("%s:%d: %s", p.Path, p.Line, p.Reason)
	}
	types := 0
	for _, p := range b.live.Load().Packs() {
		types += len(p.Logs)
	}
	t.Logf("%d products, %d types of log", len(b.live.Load().Packs()), types)
}

// TestPackGolden reads the samples of every pack: each must fall to that pack
// and to no other, become the event beside it, and each type of log must have a
// sample.
func TestPackGolden(t *testing.T) {
	t.Parallel()
	b := builtin()
	set := b.live.Load()
	for _, info := range set.Packs() {
		t.Run(info.ID, func(t *testing.T) {
			t.Parallel()
			samples, err := fs.ReadFile(rules.Parsers(), path.Join(info.ID, pack.Samples))
			if err != nil {
				t.Fatal(err)
			}
			p := b.parser()
			seen := map[string]bool{}
			var got bytes.Buffer
			var ev event.Event
			for line := range bytes.Lines(samples) {
				line = bytes.TrimRight(line, "\r\n")
				if len(line) == 0 {
					continue
				}
				ev.Reset()
				p.Parse(&intake.Record{Format: intake.Line, Received: received, Data: line}, &ev)
				shown := render(&ev, b.reg)
				got.WriteString(shown + "\n")
				if strings.HasSuffix(ev.Text(event.EventDataset), ".header") {
					continue
				}
				l, ok := packOf(set, &ev)
				switch {
				case !ok:
					t.Errorf("not recognised: %s\n%s", line, shown)
				case l.Pack != info.ID:
					t.Errorf("%s claims %s\n%s", l.ID, line, shown)
				default:
					seen[l.ID] = true
				}
				if !ev.Has(event.EventCategory) {
					t.Errorf("no event.category: %s\n%s", line, shown)
				}
				for _, f := range ev.Fields {
					if f.ID == event.Marks && (f.Value == MarkInvalidValue || f.Value == MarkBadTime) {
						t.Errorf("%s: %s\n%s", f.Value, line, shown)
					}
				}
			}
			for _, l := range info.Logs {
				if !seen[l.ID] {
					t.Errorf("%s has no sample", l.ID)
				}
			}
			compareGolden(t, info.ID, samples, got.Bytes())
		})
	}
}

func compareGolden(t *testing.T, id string, samples, got []byte) {
	t.Helper()
	file := filepath.Join("../../../rules/parsers", filepath.FromSlash(id), pack.Golden)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	if len(g) != len(w) {
		t.Errorf("%d events, the golden file has %d", len(g)-1, len(w)-1)
	}
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
}
