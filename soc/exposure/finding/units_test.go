package finding

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/soc/reach"
)

// TestProgressByUnit closes findings of two units in two weeks and holds the figures.
func TestProgressByUnit(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all := t.Context(), reach.All()
		start := k.at // a Monday, 8 o'clock
		weak := func(address, check string) Sighting {
			return Sighting{Address: address, Port: 22, Engine: "nessus", Check: check, Title: detections.Text{EN: "weak"}, Level: detections.Critical, At: k.at}
		}
		take(t, s, Take{Within: all, Looked: []Place{{Host: "10.0.0.2"}}}, weak("10.0.0.1", "1"), weak("10.0.0.1", "2"), weak("10.0.0.3", "3"))
		end := func(days int, check string) {
			k.at = start.AddDate(0, 0, days)
			for _, f := range list(t, s, all, Question{Weakness: "nessus:" + check}) {
				if _, err := s.Change(ctx, all, "li", []string{f.ID}, FindingChange{State: Closed, Comment: "patched"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		end(2, "1")
		end(8, "2") // three days are the deadline of what is critical
		take(t, s, Take{Within: all}, weak("10.0.0.2", "4"))
		k.at = start.AddDate(0, 0, 10)
		got, err := s.Progress(ctx, all, 3, nil)
		if err != nil || len(got) != 2 {
			t.Fatal(got, err)
		}
		tax, none := got[0], got[1]
		if tax.Unit == "" {
			tax, none = none, tax
		}
		if tax.Name != "税务局" || tax.Counting != 1 || tax.Closed != 2 || tax.Late != 1 || tax.Days != 5 || tax.Known != 2 || tax.Ages != (UnitLookAges{Week: 1, Month: 1}) || !tax.Last.Equal(start.AddDate(0, 0, 8)) {
			t.Errorf("%+v", tax)
		}
		if w := tax.Weeks; len(w) != 3 || w[0] != (UnitWeek{Week: "2026-02-23"}) || w[1] != (UnitWeek{"2026-03-02", 2, 1, 2}) || w[2] != (UnitWeek{"2026-03-09", 1, 1, 8}) {
			t.Errorf("%+v", w)
		}
		if none.Unit != "" || none.Counting != 1 || none.Overdue != 1 || none.Closed != 0 || none.Days != 0 || none.Known != 1 || none.Ages != (UnitLookAges{Month: 1}) {
			t.Errorf("%+v", none)
		}
		unit := "org-1"
		if got, err := s.Progress(ctx, all, 1, &unit); err != nil || len(got) != 1 || got[0].Closed != 1 || got[0].Weeks[0].New != 1 {
			t.Errorf("one unit: %+v, %v", got, err)
		}
		// Nothing of another tenant is counted.
		if got, err := s.Progress(ctx, reach.Tenants("b"), 3, nil); err != nil || len(got) != 1 || got[0].Unit != "" || got[0].Known != 1 {
			t.Errorf("another tenant: %+v, %v", got, err)
		}
		// What was looked at long ago is told so, and what never was.
		k.at = start.AddDate(0, 0, 100)
		cmdbtest.Import(t, c, `{"id":"new","class":"host","name":"new","tenant":"b","addresses":["10.0.0.4"]}`)
		if got, err := s.Progress(ctx, reach.Tenants("b"), 3, nil); err != nil || got[0].Ages != (UnitLookAges{Older: 1, Never: 1}) {
			t.Errorf("later: %+v, %v", got, err)
		}
		for _, weeks := range []int{0, 54} {
			if _, err := s.Progress(ctx, all, weeks, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("%d weeks: %v", weeks, err)
			}
		}
	})
}

// TestOpenAtTheEndOfDays holds what counted on each day against what happened.
func TestOpenAtTheEndOfDays(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		ctx, all, start := t.Context(), reach.All(), k.at
		see := func(check string, level detections.Level) {
			take(t, s, Take{}, Sighting{Address: "10.0.0.1", Port: 22, Engine: "nessus", Check: check, Title: detections.Text{EN: "weak"}, Level: level, At: k.at})
		}
		set := func(check string, change FindingChange) {
			t.Helper()
			for _, f := range list(t, s, all, Question{Weakness: "nessus:" + check}) {
				if _, err := s.Change(ctx, all, "li", []string{f.ID}, change); err != nil {
					t.Fatal(err)
				}
			}
		}
		see("old", detections.High)
		k.at = start.AddDate(0, 0, 40)
		see("closed", detections.Critical)
		see("excepted", detections.Critical)
		see("false", detections.High)
		k.at = k.at.AddDate(0, 0, 2)
		set("closed", FindingChange{State: Closed, Comment: "patched"})
		k.at = k.at.AddDate(0, 0, 1)
		set("excepted", FindingChange{State: Exception, Until: k.at.AddDate(0, 1, 0), Comment: "no patch"})
		set("false", FindingChange{State: FalsePositive, Comment: "a trap"})
		k.at = k.at.AddDate(0, 0, 1)
		got, err := s.Figures(ctx, all)
		if err != nil {
			t.Fatal(err)
		}
		days := map[string]map[string]int{}
		for _, d := range got.Trend {
			days[d.Day] = d.Open
		}
		for after, want := range map[int]map[string]int{39: {"high": 1}, 40: {"critical": 2, "high": 2}, 41: {"critical": 2, "high": 2}, 42: {"critical": 1, "high": 2}, 43: {"high": 1}, 44: {"high": 1}} {
			if d := start.AddDate(0, 0, after).Format("2006-01-02"); !maps.Equal(days[d], want) {
				t.Errorf("%s: %v, want %v", d, days[d], want)
			}
		}
		if today := got.Trend[len(got.Trend)-1]; !maps.Equal(today.Open, got.ByLevel) {
			t.Errorf("today %v, by level %v", today.Open, got.ByLevel)
		}
	})
}

// TestByTypeAndGroupOfAssets narrows and counts by class and label of the CMDB's items.
func TestByTypeAndGroupOfAssets(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		s, k := setup(t, c)
		cmdbtest.Import(t, c, `{"id":"sw","class":"network_device","name":"sw","tenant":"a","addresses":["10.0.0.5"],"labels":["core","edge"]}
{"id":"away","class":"network_device","name":"away","tenant":"b","addresses":["10.0.0.6"],"labels":["core"]}`)
		take(t, s, Take{Tenant: "a"}, log4j("nessus", "10.0.0.1", k.at), log4j("nessus", "10.0.0.5", k.at), log4j("nessus", "10.0.0.6", k.at), log4j("nessus", "10.9.9.9", k.at))
		onlyA := reach.Tenants("a")
		for name, x := range map[string]struct {
			q    Question
			want string
		}{
			"type":           {Question{Classes: []string{"network_device"}}, "sw"},
			"types":          {Question{Classes: []string{"host", "network_device"}}, "sw web-1"},
			"group":          {Question{Group: "edge"}, "sw"},
			"type and group": {Question{Classes: []string{"host"}, Group: "core"}, ""},
		} {
			var ids []string
			for _, f := range list(t, s, onlyA, x.q) {
				ids = append(ids, f.Item)
			}
			slices.Sort(ids)
			if got := strings.Join(ids, " "); got != x.want {
				t.Errorf("%s: %s, want %s", name, got, x.want)
			}
		}
		got, err := s.Figures(t.Context(), onlyA)
		if err != nil || !maps.Equal(got.ByType, map[string]int{"host": 1, "network_device": 1, "": 1}) || !slices.Equal(got.ByGroup, []GroupFigures{{"core", 1, 1}, {"edge", 1, 1}}) {
			t.Errorf("%+v, %+v, %v", got.ByType, got.ByGroup, err)
		}
	})
}
