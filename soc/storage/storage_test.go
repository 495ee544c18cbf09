package storage

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/lake/partition"
	"icewatch/soc/retention"
	"icewatch/soc/state"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestGrowthAndDaysLeft(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	line := func(hours int, perDay float64, bump func(i int) int64) (out []Sample) {
		for i := range hours + 1 {
			s := Sample{now.Add(time.Duration(i) * time.Hour), int64(5*gib + perDay*float64(i)/24)}
			if bump != nil {
				s.Bytes += bump(i)
			}
			out = append(out, s)
		}
		return out
	}
	f := func(samples []Sample, wantPerDay float64, ok bool, free, reserve int64, wantDays float64, left bool) {
		t.Helper()
		perDay, known := Growth(samples)
		if known != ok || math.Abs(perDay-wantPerDay) > math.Abs(wantPerDay)*0.01 {
			t.Errorf("growth %.0f, %v; want %.0f, %v", perDay, known, wantPerDay, ok)
		}
		days, limited := DaysLeft(free, reserve, perDay)
		if limited != left || math.Abs(days-wantDays) > wantDays*0.01 {
			t.Errorf("%.2f days left, %v; want %.2f, %v", days, limited, wantDays, left)
		}
	}
	f(line(168, 10*gib, nil), 10*gib, true, 105*gib, 5*gib, 10, true)
	f(line(24, 10*gib, nil), 10*gib, true, 4*gib, 5*gib, 0, true)
	f(line(168, 0, nil), 0, true, 100*gib, 0, 0, false)
	f(line(168, -gib, nil), -gib, true, 100*gib, 0, 0, false)
	f(line(168, 1000, nil), 1000, true, 100*gib, 0, 0, false) // more than ten years
	f(line(1, 10*gib, nil)[:1], 0, false, 100*gib, 0, 0, false)
	// A burst that is gone an hour later hardly counts.
	f(line(168, 10*gib, func(i int) int64 {
		if i == 84 {
			return 50 * gib
		}
		return 0
	}), 10*gib, true, 100*gib, 0, 10, true)
	short := []Sample{{now, 0}, {now.Add(10 * time.Minute), gib}, {now.Add(20 * time.Minute), 2 * gib}}
	f(short, 0, false, 100*gib, 0, 0, false)
}

func TestSamples(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := OpenSamples(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	at := now.Add(-3 * 24 * time.Hour)
	for ; !at.After(now); at = at.Add(10 * time.Minute) {
		if err := s.Add(t.Context(), at, map[string]int64{"bus": at.Unix(), "lake/standard": 1}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Since(t.Context(), now.Add(-History))
	if err != nil {
		t.Fatal(err)
	}
	// A day by the hour, two by ten minutes.
	if n := len(got["bus"]); n != 24+2*144+1 || !got["bus"][n-1].At.Equal(now) || got["bus"][0].Bytes != now.Add(-3*24*time.Hour).Unix() {
		t.Errorf("%d samples from %v", n, got["bus"][0])
	}
}

func TestDisks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disks, err := Disks(map[string]string{"bus": dir, "lake": filepath.Join(dir, "not", "there", "yet")}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(disks) != 1 || !slices.Equal(disks[0].Holds, []string{"bus", "lake"}) || disks[0].Reserve != 1000 {
		t.Fatalf("disks %+v", disks)
	}
	d := disks[0]
	if d.Total <= 0 || d.Free <= 0 || d.Used <= 0 || d.Used+d.Free > d.Total || d.Percent <= 0 || d.Percent > 100 || !strings.HasPrefix(dir, d.Mount) {
		t.Errorf("disk %+v of %s", d, dir)
	}
	if got := mountOf("/data/lake", []string{"/", "/data", "/da", "/data/other"}); got != "/data" {
		t.Errorf("/data/lake is on %s", got)
	}
}

func keeping() *retention.Policy {
	return &retention.Policy{Classes: []retention.Class{{Name: "standard", Keep: 200 * retention.Day}, {Name: "short", Keep: 30 * retention.Day}, {Name: "long", Keep: 365 * retention.Day}}}
}

func TestCheckPolicy(t *testing.T) {
	t.Parallel()
	f := func(change func(p *Policy), want string) {
		t.Helper()
		p := DefaultPolicy
		change(&p)
		err := p.Check(keeping())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	f(func(*Policy) {}, "")
	f(func(p *Policy) {
		p.ClearPercent = 5
		p.ClassDays = map[string]int{"long": 400}
		p.LogsDays = 180
		p.FlowsDays = 7
	}, "")
	f(func(p *Policy) { p.ClearPercent = 15 }, "the alarm comes first")
	f(func(p *Policy) { p.AlertBytes, p.ClearBytes = 10, 10 }, "the alarm comes first")
	f(func(p *Policy) { p.AlertPercent = -1 }, "alert_free_percent: -1")
	f(func(p *Policy) { p.AlertDays = 4000 }, "alert_days_left")
	f(func(p *Policy) { p.ClassDays = map[string]int{"weekly": 7} }, `no retention class "weekly"`)
	f(func(p *Policy) { p.ClassDays = map[string]int{"standard": 90} }, "article 21")
	f(func(p *Policy) { p.LogsDays = 179 }, "article 21")
	f(func(p *Policy) { p.FlowsDays = -1 }, "flows_days")
	p := Policy{ClassDays: map[string]int{"short": 10}, LogsDays: 300, FlowsDays: 7}
	k := p.Keeping(keeping())
	if c, _ := k.Class("short"); c.Days() != 10 {
		t.Errorf("short keeps %d days", c.Days())
	}
	if c, _ := k.Class("standard"); c.Days() != 300 || k.For("tax", "standard", "flow.netflow") != "flows" {
		t.Errorf("standard keeps %d days, flows go to %q", c.Days(), k.For("tax", "standard", "flow.netflow"))
	}
	if c, _ := keeping().Class("standard"); c.Days() != 200 {
		t.Error("the configuration itself was changed")
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	f := func(p Policy, free, want int64, low bool) {
		t.Helper()
		d := Disk{Total: 1100 << 20, Used: (1000 - free) << 20, Free: free << 20, Percent: float64(free) / 10}
		if got := p.Target(d) >> 20; got != want || (p.Low(d) != "") != low {
			t.Errorf("%d MiB free under %+v: free %d, low %q; want %d, %v", free, p, got, p.Low(d), want, low)
		}
	}
	f(DefaultPolicy, 1, 0, true)
	f(DefaultPolicy, 150, 0, false)
	f(Policy{ClearPercent: 10}, 100, 0, false)
	f(Policy{ClearPercent: 10}, 60, 50, false)
	f(Policy{ClearBytes: 200 << 20, AlertBytes: 300 << 20}, 100, 110, true)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	day := func(daysAgo int) string { return now.AddDate(0, 0, -daysAgo).Format(time.DateOnly) }
	var list []partition.Partition
	for _, x := range []struct {
		class string
		ago   int
	}{{"long", 300}, {"standard", 190}, {"standard", 150}, {"short", 29}, {"short", 1}, {"standard", 0}} {
		list = append(list, partition.Partition{Class: x.class, Day: day(x.ago), Rows: 1, Bytes: 100})
	}
	f := func(p Policy, target int64, want string, refused int) {
		t.Helper()
		clear, no := p.Plan(list, keeping(), target, now)
		var got []string
		for _, x := range clear {
			got = append(got, x.Class+x.Day)
		}
		if strings.Join(got, " ") != want || len(no) != refused {
			t.Errorf("for %d bytes go %q, %d are refused; want %q, %d", target, got, len(no), want, refused)
		}
	}
	f(Policy{}, 0, "", 0)
	f(Policy{}, 101, "long"+day(300)+" standard"+day(190), 0)
	f(Policy{}, 300, "long"+day(300)+" standard"+day(190)+" short"+day(29), 0)
	f(Policy{}, 301, "long"+day(300)+" standard"+day(190)+" short"+day(29), 3)
	f(Policy{BelowMinimum: true}, 301, "long"+day(300)+" standard"+day(190)+" standard"+day(150)+" short"+day(29), 0)
	f(Policy{BelowMinimum: true}, 500, "long"+day(300)+" standard"+day(190)+" standard"+day(150)+" short"+day(29), 2)
}
