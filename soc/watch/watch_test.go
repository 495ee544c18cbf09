package watch

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/state"
)

// tickets is ticketing as the watch sees it; it fails while down is set.
type tickets struct {
	down   error
	told   []string // "raise <key> <severity>" and "over <key>"
	events map[string]bool
}

func (f *tickets) Ingest(_ context.Context, occs []detections.Occurrence) error {
	if f.down != nil {
		return f.down
	}
	for _, o := range occs {
		if f.events[o.ID] {
			continue
		}
		f.events[o.ID] = true
		f.told = append(f.told, "raise "+o.Key+" "+string(o.Rule.Level))
	}
	return nil
}

func (f *tickets) Recover(_ context.Context, tenant, key string, _ detections.Text) error {
	if f.down != nil {
		return f.down
	}
	f.told = append(f.told, "over "+key)
	return nil
}

func (f *tickets) LastAlert(_ context.Context, tenant, key string) (string, error) {
	return "alert of " + tenant + "/" + key, f.down
}

func open(t *testing.T, db *state.DB, f *tickets) *Watch {
	t.Helper()
	w, err := Open(t.Context(), db, f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWatch(t *testing.T) (*Watch, *tickets, *state.DB) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	f := &tickets{events: map[string]bool{}}
	return open(t, db, f), f, db
}

func expect(t *testing.T, f *tickets, want ...string) {
	t.Helper()
	if !slices.Equal(f.told, want) {
		t.Errorf("told %q, want %q", f.told, want)
	}
}

func TestRaiseAndClear(t *testing.T) {
	t.Parallel()
	w, f, _ := newWatch(t)
	ctx := t.Context()
	for range 3 {
		w.Raise(ctx, Alarm{Kind: "disk-low", Key: "disk-low:/data", Fields: map[string]string{"free": "1"}})
	}
	expect(t, f, "raise icewatch-self-disk-low/disk-low:/data high")
	w.Raise(ctx, Alarm{Kind: "disk-low", Key: "disk-low:/data", Severity: detections.Critical})
	list := w.Active()
	if len(list) != 1 || list[0].Severity != detections.Critical || list[0].AlertID == "" || list[0].Advice.ZH == "" {
		t.Fatalf("active %+v", list)
	}
	w.Clear("disk-low:/data")
	w.Clear("disk-low:/data")
	w.Clear("never")
	w.settle(ctx)
	expect(t, f, "raise icewatch-self-disk-low/disk-low:/data high", "raise icewatch-self-disk-low/disk-low:/data critical", "over icewatch-self-disk-low/disk-low:/data")
	past, total, err := w.Past(ctx, 10, 0)
	if err != nil || total != 1 || past[0].ClearedAt == nil || past[0].Severity != detections.Critical || len(w.Active()) != 0 {
		t.Errorf("past %+v of %d, %v; active %+v", past, total, err, w.Active())
	}
}

// TestHold: what a source does not name any more is over; what others raised stays.
func TestHold(t *testing.T) {
	t.Parallel()
	w, f, _ := newWatch(t)
	ctx := t.Context()
	w.Raise(ctx, Alarm{Kind: "backup-failed"})
	w.Hold(ctx, "engine", []Alarm{{Kind: "damage", Key: "a"}, {Kind: "damage", Key: "b"}})
	f.told = nil
	w.Hold(ctx, "engine", []Alarm{{Kind: "damage", Key: "b"}})
	expect(t, f, "over icewatch-self-damage/a")
	w.Hold(ctx, "centre", nil)
	if n := len(w.Active()); n != 2 {
		t.Errorf("%d are active, want b and the backup", n)
	}
}

// TestRestart: what lasted goes on under the same alert, and is over when its
// source does not name it after the restart.
func TestRestart(t *testing.T) {
	t.Parallel()
	w, f, db := newWatch(t)
	ctx := t.Context()
	w.Hold(ctx, "engine", []Alarm{{Kind: "damage", Key: "a"}})
	before := w.Active()[0]
	w = open(t, db, f)
	w.Hold(ctx, "engine", []Alarm{{Kind: "damage", Key: "a"}})
	if after := w.Active()[0]; after.ID != before.ID || !after.Since.Equal(before.Since) || after.AlertID != before.AlertID {
		t.Errorf("after the restart %+v, before %+v", after, before)
	}
	expect(t, f, "raise icewatch-self-damage/a critical")
	w = open(t, db, f)
	w.Hold(ctx, "engine", nil)
	expect(t, f, "raise icewatch-self-damage/a critical", "over icewatch-self-damage/a")
}

// TestLater: what ticketing cannot take now is told once it can, in order,
// though the key went and came meanwhile.
func TestLater(t *testing.T) {
	t.Parallel()
	w, f, _ := newWatch(t)
	ctx := t.Context()
	w.now = func() time.Time { return time.UnixMilli(1000) }
	w.Raise(ctx, Alarm{Kind: "disk-full"})
	f.down = errors.New("the database is full")
	w.Clear("disk-full")
	w.settle(ctx)
	w.now = func() time.Time { return time.UnixMilli(2000) }
	w.Raise(ctx, Alarm{Kind: "disk-full"})
	if len(w.Active()) != 1 {
		t.Fatal("what cannot be told is forgotten")
	}
	expect(t, f, "raise icewatch-self-disk-full/disk-full critical")
	f.down = nil
	w.settle(ctx)
	w.settle(ctx)
	expect(t, f, "raise icewatch-self-disk-full/disk-full critical", "over icewatch-self-disk-full/disk-full", "raise icewatch-self-disk-full/disk-full critical")
}

// TestNobodyHeard: what came and went before ticketing heard of it makes no alert.
func TestNobodyHeard(t *testing.T) {
	t.Parallel()
	w, f, _ := newWatch(t)
	f.down = errors.New("down")
	w.Raise(t.Context(), Alarm{Kind: "bus-lag"})
	w.Clear("bus-lag")
	f.down = nil
	w.settle(t.Context())
	expect(t, f)
	if _, total, err := w.Past(t.Context(), 1, 0); err != nil || total != 1 {
		t.Errorf("%d are listed as over, %v", total, err)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range Kinds {
		if k.Name == "" || seen[k.Name] || k.Title.ZH == "" || k.Title.EN == "" || k.Advice.ZH == "" || k.Advice.EN == "" || !slices.Contains(detections.Levels, k.Severity) {
			t.Errorf("the kind %+v is not whole, or there twice", k)
		}
		seen[k.Name] = true
	}
}
