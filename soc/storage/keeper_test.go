package storage

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
	"icewatch/soc/state"
	"icewatch/soc/watch"
)

// suite is a folder laid out as the suite's.
type suite struct {
	*Keeper
	dir    string
	policy Policy
	at     time.Time
	starts int
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{dir: t.TempDir(), policy: DefaultPolicy, at: now}
	s.write(t, "bus/block", 10_000)
	db, err := state.Open(t.Context(), filepath.Join(s.dir, "state", "icewatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s.Keeper, err = Open(t.Context(), db, Deps{Data: s.dir, Cold: filepath.Join(t.TempDir(), "cold"), Base: keeping(), Policy: func() Policy { return s.policy }, Log: slog.New(slog.DiscardHandler),
		Restart: func() { // the engine, as it starts
			s.starts++
			if _, err := partition.Clear(s.engine(), s.lake()); err != nil {
				t.Error(err)
			}
			if _, err := s.cold().Settle(t.Context()); err != nil {
				t.Error(err)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return s.at }
	return s
}

func (s *suite) write(t *testing.T, name string, size int) {
	t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

// day writes a day of a class as the lake's library lays it out.
func (s *suite) day(t *testing.T, class string, ago, size int) partition.Partition {
	t.Helper()
	day := s.at.AddDate(0, 0, -ago)
	s.write(t, filepath.Join("engine/lake", class, "partitions", day.Format("20060102"), "datadb/P/values.bin"), size)
	return partition.Partition{Class: class, Day: day.Format(time.DateOnly)}
}

func TestKeeperForecasts(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	v, err := s.View()
	if err != nil || v.DaysLeft != nil || v.Growth != nil || len(v.Disks) == 0 {
		t.Fatalf("before anything is known: %+v, %v", v, err)
	}
	const perHour = 1 << 20
	for i := range 4 {
		s.day(t, "standard", 0, (i+1)*perHour)
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.at = s.at.Add(time.Hour)
	}
	if v, err = s.View(); err != nil {
		t.Fatal(err)
	}
	if v.Growth == nil || v.DaysLeft == nil {
		t.Fatalf("nothing is known after three hours: %+v", v)
	}
	if g := *v.Growth / perHour; g < 23 || g > 26 {
		t.Errorf("it grows by %.1f MiB a day, want about 24", g)
	}
	free := float64(v.Disks[0].Free)
	if want := free / *v.Growth; *v.DaysLeft < want*0.99 || *v.DaysLeft > want*1.01 {
		t.Errorf("%.1f days are left, want %.1f", *v.DaysLeft, want)
	}
	if v.Parts["lake/standard"] < 4*perHour || v.Parts["engine"] > perHour || v.Parts["bus"] < 10_000 || v.Parts["state"] == 0 {
		t.Errorf("the parts hold %v", v.Parts)
	}
	s.policy.AlertDays, s.policy.AlertPercent, s.policy.AlertBytes = *v.DaysLeft+1, 0, v.Disks[0].Total
	list, err := s.Alarms()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{}
	for _, a := range list {
		kinds = append(kinds, a.Kind)
		if !slices.ContainsFunc(watch.Kinds, func(k watch.Kind) bool { return k.Name == a.Kind }) {
			t.Errorf("the kind %q is not known", a.Kind)
		}
	}
	if !slices.Contains(kinds, "disk-low") || !slices.Contains(kinds, "disk-days") {
		t.Errorf("alarms %q, want both", kinds)
	}
}

func TestKeeperClears(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	old, young, short := s.day(t, "long", 300, 5000), s.day(t, "standard", 20, 5000), s.day(t, "short", 20, 5000)
	if p, err := s.Plan(); err != nil || p.Target != 0 || len(p.Clear) != 0 {
		t.Errorf("without a threshold the plan is %+v, %v", p, err)
	}
	v, err := s.View()
	if err != nil {
		t.Fatal(err)
	}
	s.policy.ClearBytes = v.Disks[0].Total // more than there can be
	p, err := s.Plan()
	if err != nil || p.Target <= 0 || len(p.Clear) != 2 || len(p.Refused) != 1 || p.Refused[0].Class != "standard" {
		t.Errorf("the plan is %+v, %v", p, err)
	}
	if _, err := s.Clear(t.Context(), []partition.Partition{old, young}); !errors.Is(err, ErrProtected) || !strings.Contains(err.Error(), "article 21") {
		t.Errorf("a protected day: %v", err)
	}
	if _, err := s.Clear(t.Context(), []partition.Partition{{Class: "long", Day: "2001-01-01"}}); !errors.Is(err, ErrNoPartition) {
		t.Errorf("a day that is not there: %v", err)
	}
	if s.starts != 0 {
		t.Error("the engine was restarted for nothing")
	}
	gone, err := s.Clear(t.Context(), []partition.Partition{old, short})
	if err != nil || len(gone) != 2 || s.starts != 1 {
		t.Errorf("gone %+v at %d restarts, %v", gone, s.starts, err)
	}
	days, err := s.Days("")
	if err != nil || len(days) != 1 || days[0].Class != "standard" || !days[0].Protected || days[0].Reason == "" {
		t.Errorf("left %+v, %v", days, err)
	}
}

func TestKeeperCools(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.Base = &retention.Policy{Classes: []retention.Class{{Name: "standard", Keep: 200 * retention.Day, Cold: 30 * retention.Day}, {Name: "short", Keep: 30 * retention.Day}}}
	old, next := s.day(t, "standard", 31, 5000), s.day(t, "standard", 32, 5000)
	s.day(t, "standard", 30, 5000) // its last hour is not that old
	s.day(t, "short", 25, 5000)
	due, err := s.Due()
	if err != nil || len(due) != 2 || due[0].Day != next.Day || due[1].Day != old.Day {
		t.Fatalf("due are %+v, %v", due, err)
	}
	moved, err := s.Cool(t.Context())
	if err != nil || len(moved) != 2 || s.starts != 1 {
		t.Fatalf("moved %+v after %d starts, %v", moved, s.starts, err)
	}
	if due, err = s.Due(); err != nil || len(due) != 0 {
		t.Errorf("still due are %+v, %v", due, err)
	}
	if moved, err = s.Cool(t.Context()); err != nil || len(moved) != 0 || s.starts != 1 {
		t.Errorf("again: moved %+v after %d starts, %v", moved, s.starts, err)
	}
	if err := s.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := s.View()
	if err != nil || v.Parts["cold/standard"] < 10_000 || v.Parts["lake/standard"] > 10_000 || !slices.ContainsFunc(v.Disks, func(d Fill) bool { return slices.Contains(d.Holds, "cold") }) {
		t.Errorf("the view is %+v, %v", v, err)
	}
	// Cleared like every other day, with what lies on the other disk.
	s.policy.BelowMinimum = true
	if gone, err := s.Clear(t.Context(), coldest(s, t)); err != nil || len(gone) != 1 {
		t.Errorf("cleared %+v, %v", gone, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Deps.Cold, "standard", "*")); len(left) != 1 {
		t.Errorf("the cold folder holds %q", left)
	}
	// No room: the day stays, and the reason is said.
	s.Reserve = 1 << 60
	s.day(t, "standard", 40, 5000)
	if moved, err = s.Cool(t.Context()); !errors.Is(err, ErrNoRoom) || len(moved) != 0 {
		t.Errorf("moved %+v, %v", moved, err)
	}
}

// coldest is the oldest day that is cold.
func coldest(s *suite, t *testing.T) []partition.Partition {
	t.Helper()
	days, err := s.Days("standard")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(days, func(d Day) bool { return d.Cold })
	return []partition.Partition{days[i].Partition}
}
