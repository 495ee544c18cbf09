package scrub_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/damage"
	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/lake/scrub"
)

// world is a lake of a few days with sums beside it.
type world struct {
	t     *testing.T
	dir   string
	store *scrub.Store
	rows  int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: dir, store: &scrub.Store{Dir: filepath.Join(dir, "lake"), Sums: filepath.Join(dir, "sums"),
		Damaged: filepath.Join(dir, "damaged"), Log: slog.New(slog.DiscardHandler)}}
	for range 3 {
		w.with(func(l *lake.Lake) { w.fill(l) })
	}
	return w
}

func (w *world) with(f func(*lake.Lake)) {
	w.t.Helper()
	l, err := lake.Open(lake.Options{Dir: filepath.Join(w.dir, "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: 30 * 24 * time.Hour}}, Memory: 64 << 20})
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	f(l)
}

// fill adds events of three days.
func (w *world) fill(l *lake.Lake) {
	w.t.Helper()
	writer := l.NewWriter(event.NewRegistry(0))
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	for day := range 3 {
		for i := range 400 {
			w.rows++
			ev := event.Event{ID: event.ID{Epoch: "e", Sequence: uint64(w.rows)}, Time: noon.Add(-time.Duration(day)*24*time.Hour + time.Duration(i)*time.Second).UnixNano(),
				Created: time.Now().UnixNano(), Tenant: "a", Raw: fmt.Sprintf("event %d of day %d %x", i, day, i*i*7919)}
			ev.Set(event.EventDataset, "test.log")
			ev.Set(event.Message, ev.Raw)
			if err := writer.Add(&ev, lake.Space{Account: 100}, "host"); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	writer.Flush()
}

// count is how many events the lake finds.
func (w *world) count() (n int) {
	w.t.Helper()
	w.with(func(l *lake.Lake) {
		q := lake.Query{Accounts: []uint32{100}, LogsQL: "*", Start: time.Now().Add(-20 * 24 * time.Hour), End: time.Now(), Limit: 1_000_000}
		if err := l.Rows(w.t.Context(), q, func([]byte) error { n++; return nil }); err != nil {
			w.t.Fatal(err)
		}
	})
	return n
}

// sum takes the sums of all parts.
func (w *world) sum() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan struct{})
	go func() {
		w.store.Run(ctx, scrub.Options{Look: 50 * time.Millisecond}, func(f scrub.Finding) { w.t.Errorf("found %s in a good lake", f) })
		close(ended)
	}()
	var parts []string
	for _, table := range []string{"datadb", "indexdb"} {
		found, err := filepath.Glob(filepath.Join(w.store.Dir, "*/partitions/*", table, "????????????????"))
		if err != nil || len(found) == 0 {
			w.t.Fatalf("no parts of %s: %v", table, err)
		}
		for _, path := range found {
			part, err := filepath.Rel(w.store.Dir, path)
			if err != nil {
				w.t.Fatal(err)
			}
			parts = append(parts, part)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, unknown, err := w.store.Parts(ctx, parts)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(unknown) == 0 {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no sums of %q", unknown)
		}
	}
	cancel()
	<-ended
}

// file finds a file of the lake by a pattern below the partitions.
func (w *world) file(pattern string) string {
	w.t.Helper()
	var found []string
	_ = filepath.WalkDir(w.store.Dir, func(path string, d os.DirEntry, _ error) error {
		if d.IsDir() && filepath.Base(path) == "partitions" {
			more, _ := filepath.Glob(filepath.Join(path, pattern))
			found = append(found, more...)
		}
		return nil
	})
	if len(found) == 0 {
		w.t.Fatalf("no file %s", pattern)
	}
	slices.Sort(found)
	return found[len(found)/2]
}

func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 0x40
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsFoundAndSetAside damages one file of a lake at a time. What the
// quick look or the comparison finds is set aside, and the library opens what
// is left: all events but those of the damaged part.
func TestDamageIsFoundAndSetAside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		pattern string
		harm    func(*testing.T, string)
		mended  bool // nothing is missing afterwards
	}{
		{name: "values flipped", pattern: "*/datadb/*/values.bin0", harm: flip},
		{name: "values cut", pattern: "*/datadb/*/values.bin0", harm: cut},
		{name: "bloom flipped", pattern: "*/datadb/*/bloom.bin0", harm: flip},
		{name: "bloom missing", pattern: "*/datadb/*/message_bloom.bin", harm: remove},
		{name: "index flipped", pattern: "*/datadb/*/index.bin", harm: flip},
		{name: "index cut", pattern: "*/datadb/*/metaindex.bin", harm: cut},
		{name: "times flipped", pattern: "*/datadb/*/timestamps.bin", harm: flip},
		{name: "columns flipped", pattern: "*/datadb/*/columns_header.bin", harm: flip},
		{name: "names flipped", pattern: "*/datadb/*/column_names.bin", harm: flip},
		{name: "metadata flipped", pattern: "*/datadb/*/metadata.json", harm: flip, mended: true},
		{name: "metadata missing", pattern: "*/datadb/*/metadata.json", harm: remove, mended: true},
		{name: "part missing", pattern: "*/datadb/????????????????", harm: remove},
		{name: "list flipped", pattern: "*/datadb/parts.json", harm: flip, mended: true},
		{name: "list cut", pattern: "*/datadb/parts.json", harm: cut, mended: true},
		{name: "list missing", pattern: "*/datadb/parts.json", harm: remove, mended: true},
		{name: "stream index flipped", pattern: "*/indexdb/*/items.bin", harm: flip, mended: true},
		{name: "stream index cut", pattern: "*/indexdb/*/index.bin", harm: cut, mended: true},
		{name: "stream index metadata", pattern: "*/indexdb/*/metadata.json", harm: cut, mended: true},
		{name: "stream index list", pattern: "*/indexdb/parts.json", harm: cut, mended: true},
		{name: "stream index missing", pattern: "*/indexdb", harm: remove, mended: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sum()
			if f, err := w.store.Quick(); err != nil || len(f) != 0 {
				t.Fatalf("a good lake: %v %v", f, err)
			}
			path := w.file(c.pattern)
			c.harm(t, path)
			findings, err := w.store.Quick()
			if err != nil || len(findings) == 0 {
				t.Fatalf("nothing found of %s: %v", path, err)
			}
			done, err := w.store.SetAside(findings)
			if err != nil {
				t.Fatal(err)
			}
			lost := 0
			for _, f := range done {
				if !f.Mended {
					lost += int(f.Rows)
				}
				if !f.Mended && f.Rows > 0 && (f.From.IsZero() || f.To.Before(f.From)) {
					t.Errorf("%s: from %s to %s", f, f.From, f.To)
				}
			}
			if got := w.count(); got != w.rows-lost {
				t.Errorf("%d events are found, want %d less %d", got, w.rows, lost)
			}
			if c.mended != (lost == 0) {
				t.Errorf("%d events lost: %v", lost, done)
			}
			notes, err := damage.Notes(w.store.Damaged)
			if err != nil || len(notes) != 1 || len(notes[0].Items) != len(findings) || !strings.Contains(notes[0].Text.EN, done[0].Path) || notes[0].Text.ZH == "" {
				t.Errorf("notes %+v %v", notes, err)
			}
			if f, err := w.store.Quick(); err != nil || len(f) != 0 {
				t.Errorf("afterwards still: %v %v", f, err)
			}
		})
	}
}

// TestRotIsFoundWhileTheLakeRuns flips a bit of a file that is too large for
// the look at a start: the slow pass finds it, and the next start sets it aside.
func TestRotIsFoundWhileTheLakeRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sum()
	path := w.file("*/datadb/*/values.bin0")
	flip(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var found []scrub.Finding
	w.store.Run(ctx, scrub.Options{Look: 20 * time.Millisecond, Period: time.Millisecond}, func(f scrub.Finding) {
		found = append(found, f)
		if err := w.store.Suspect(f.Path); err != nil {
			t.Error(err)
		}
		cancel()
	})
	if len(found) != 1 || found[0].File != "values.bin0" || found[0].Rows == 0 {
		t.Fatalf("found %v", found)
	}
	if got := w.store.Suspects(); len(got) != 1 || filepath.Join(w.store.Dir, got[0]) != filepath.Dir(path) {
		t.Fatalf("suspects %v, damaged is %s", got, path)
	}
	damaged, unknown, err := w.store.Parts(t.Context(), w.store.Suspects())
	if err != nil || len(damaged) != 1 || len(unknown) != 0 {
		t.Fatalf("%v %v %v", damaged, unknown, err)
	}
	w.store.ClearSuspects()
	if len(w.store.Suspects()) != 0 {
		t.Fatal("suspects remain")
	}
	all, err := w.store.All(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %v", all, err)
	}
}

// TestDamagedSumsSpeakAgainstNoPart damages the ledgers themselves.
func TestDamagedSumsSpeakAgainstNoPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sum()
	n := 0
	_ = filepath.WalkDir(w.store.Sums, func(path string, d os.DirEntry, _ error) error {
		if d.Name() == "sums.json" {
			n++
			flip(t, path)
		}
		return nil
	})
	if n == 0 {
		t.Fatal("no ledger")
	}
	if f, err := w.store.Quick(); err != nil || len(f) != 0 {
		t.Fatalf("%v %v", f, err)
	}
}

// TestWithoutSumsSizesStillTell cuts a file of a part that was never summed.
func TestWithoutSumsSizesStillTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cut(t, w.file("*/datadb/*/values.bin0"))
	f, err := w.store.Quick()
	if err != nil || len(f) != 1 || f[0].Rows == 0 {
		t.Fatalf("%v %v", f, err)
	}
}

func TestNamedReadsPartsFromLastWords(t *testing.T) {
	t.Parallel()
	s := &scrub.Store{Dir: "/data/engine/lake"}
	for text, want := range map[string][]string{
		"": nil,
		"panic: FATAL: /data/engine/lake/30d/partitions/20261126/datadb/18EB6FA17651178A: cannot unmarshal timestamps: x": {"30d/partitions/20261126/datadb/18EB6FA17651178A"},
		`FATAL: cannot parse "/data/engine/lake/logs/partitions/20261126/datadb/18EB6FA17651178A/metadata.json": bad`:     {"logs/partitions/20261126/datadb/18EB6FA17651178A"},
		"cannot read [/data/engine/lake/logs/partitions/20261126/indexdb/18EB6FA1765069B1/items.bin]":                     {"logs/partitions/20261126/indexdb/18EB6FA1765069B1"},
		"/data/engine/lake/../../etc/passwd /data/engine/lake/x/datadb/zz /data/engine/lake/":                             nil,
	} {
		if got := s.Named(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzNamed(f *testing.F) {
	f.Add("/data/lake/p/datadb/18EB6FA17651178A")
	f.Fuzz(func(t *testing.T, text string) {
		s := &scrub.Store{Dir: "/data/lake"}
		for _, p := range s.Named(text) {
			if !filepath.IsLocal(p) {
				t.Fatalf("%q leads out of the lake", p)
			}
		}
	})
}
