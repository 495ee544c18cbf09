package duty

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/ticketing/workdays"
)

var holidays = workdays.Published().Compile()

func shanghai(t *testing.T, s string) time.Time {
	t.Helper()
	loc, err := workdays.Zone("")
	if err != nil {
		t.Fatal(err)
	}
	v, err := time.ParseInLocation("2006-01-02 15:04", s, loc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// groups makes turns of one person each.
func groups(people ...string) [][]string {
	var out [][]string
	for _, p := range people {
		out = append(out, strings.Fields(p))
	}
	return out
}

func checked(t *testing.T, c Content) Content {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return c
}

func every(days ...int) []int { return days }

func TestWhoIsOnDuty(t *testing.T) {
	t.Parallel()
	week := every(1, 2, 3, 4, 5, 6, 7)
	c := checked(t, Content{Name: Text{ZH: "安全运营"}, Head: "zhao", Lines: []Line{
		{Key: "first", Name: Text{ZH: "一线"}, Layers: []Layer{
			{Name: "nights", From: "2026-11-02", Turn: Turn{Unit: Week}, People: groups("qian", "sun li"), Windows: []workdays.Window{{Days: week, From: "18:00", To: "09:00"}}},
			{Name: "days", From: "2026-11-02", Turn: Turn{Handover: "09:00"}, People: groups("zhou", "wu", "zheng"), Days: Workdays, Windows: []workdays.Window{{Days: every(1, 2, 3, 4, 5), From: "09:00", To: "18:00"}}},
			{Name: "rest", From: "2026-01-01", People: groups("wang"), Days: RestDays, Windows: []workdays.Window{{Days: every(6, 7), From: "09:00", To: "18:00"}}},
		}},
		{Key: "second", Name: Text{ZH: "二线"}, Layers: []Layer{{From: "2026-01-05", Turn: Turn{Unit: Week, Every: 2}, People: groups("feng", "chen")}}},
		{Key: "clock", Name: Text{ZH: "三班"}, Layers: []Layer{{From: "2026-11-01", Turn: Turn{Unit: Hour, Every: 8, Handover: "00:00"}, People: groups("a", "b", "c")}}},
		{Key: "odd", Name: Text{ZH: "七小时"}, Layers: []Layer{{From: "2026-11-01", Until: "2026-11-03", Turn: Turn{Unit: Hour, Every: 7, Handover: "00:00"}, People: groups("a", "", "c")}}},
	}})
	r := &Roster{Teams: []Team{{ID: "soc", Content: c}}, Holidays: holidays, Overrides: []Override{
		{ID: "1", Team: "soc", Line: "first", From: shanghai(t, "2026-11-26 12:00"), To: shanghai(t, "2026-11-26 15:00"), People: []string{"shen"}, By: "wu"},
		{ID: "2", Team: "soc", Line: "first", From: shanghai(t, "2026-11-26 14:00"), To: shanghai(t, "2026-11-26 20:00"), Replaces: "shen", People: []string{"han"}, By: "shen", Swap: "x"},
	}}
	for _, f := range []struct{ line, at, want string }{
		{"first", "2026-11-02 09:00", "zhou"},
		{"first", "2026-11-02 08:59", ""},
		{"first", "2026-11-03 10:00", "wu"},
		{"first", "2026-11-02 18:00", "qian"},
		{"first", "2026-11-09 08:59", "qian"}, // the night's turn ends with its hand-over
		{"first", "2026-11-09 19:00", "sun li"},
		{"first", "2026-11-07 10:00", "wang"}, // a Saturday
		{"first", "2026-10-10 10:00", ""},     // a Saturday that makes up: a working day, and nobody yet
		{"first", "2026-10-01 10:00", "wang"}, // a Thursday off counts as a Sunday
		{"first", "2026-11-26 12:00", "shen"}, // an override
		{"first", "2026-11-26 14:30", "han"},  // a swap of it
		{"first", "2026-11-26 15:00", "zhou"}, // the swap has nobody to stand in for
		{"second", "2026-01-05 09:00", "feng"},
		{"second", "2026-01-19 08:59", "feng"},
		{"second", "2026-01-19 09:00", "chen"},
		{"clock", "2026-11-01 08:00", "b"},
		{"clock", "2026-11-02 00:00", "a"},
		{"clock", "2026-11-02 16:00", "c"},
		{"odd", "2026-11-01 06:59", "a"},
		{"odd", "2026-11-01 07:00", ""},
		{"odd", "2026-11-02 00:00", "a"}, // 24 hours are three turns and three hours
		{"odd", "2026-11-04 00:00", ""},
	} {
		l, ok := c.Line(f.line)
		if !ok {
			t.Fatal(f.line)
		}
		got := r.On(&r.Teams[0], l, shanghai(t, f.at))
		if strings.Join(got.People, " ") != f.want {
			t.Errorf("%s at %s: %v, want %q; %v", f.line, f.at, got.People, f.want, got.Why)
		}
	}
	a := r.OnDuty(Question{Tenant: "x", Priority: "P1", At: shanghai(t, "2026-10-10 10:00")})
	if !slices.Equal(a.People, []string{"feng"}) && !slices.Equal(a.People, []string{"chen"}) {
		t.Errorf("where the first line has nobody the second is called: %+v", a)
	}
}

func TestRouting(t *testing.T) {
	t.Parallel()
	team := func(id string, c Content) Team {
		c.Name = Text{ZH: id}
		c.Lines = []Line{{Key: "first", Name: Text{ZH: "一线"}, Layers: []Layer{{From: "2026-01-01", People: groups(id + "-user")}}}}
		return Team{ID: id, Content: checked(t, c)}
	}
	r := &Roster{Teams: []Team{
		team("all", Content{}),
		team("urgent", Content{Priorities: []string{"P1"}}),
		team("tax", Content{Tenants: []string{"tax"}}),
		team("tax-db", Content{Tenants: []string{"tax"}, Systems: []string{"ledger"}}),
		team("network", Content{Owners: []string{"网络组"}, Systems: []string{"core"}}),
	}}
	at := shanghai(t, "2026-11-26 12:00")
	for _, f := range []struct {
		q    Question
		want string
	}{
		{Question{Tenant: "edu", Priority: "P3"}, "all"},
		{Question{Tenant: "edu", Priority: "P1"}, "urgent"},
		{Question{Tenant: "tax", Priority: "P1"}, "tax"},
		{Question{Tenant: "tax", Priority: "P1", System: "s1", SysName: "ledger"}, "tax-db"},
		{Question{Tenant: "edu", Priority: "P1", System: "core"}, "network"},
		{Question{Tenant: "tax", Priority: "P1", System: "ledger", Owners: []string{"", "网络组"}}, "network"},
		{Question{Tenant: "edu", Priority: "P2", Owners: []string{"tax"}}, "all"}, // an owner does not reach into another's tenants
		{Question{Tenant: "tax", Priority: "P2", Owners: []string{"tax-db"}}, "tax-db"},
	} {
		f.q.At = at
		a := r.OnDuty(f.q)
		if a.Team == nil || a.Team.ID != f.want || len(a.Why) < 2 {
			t.Errorf("%+v: %+v, want %s", f.q, a.Team, f.want)
		}
	}
	if a := (&Roster{}).OnDuty(Question{Tenant: "edu", At: at}); a.Team != nil || len(a.Why) == 0 || a.People == nil {
		t.Errorf("without teams: %+v", a)
	}
	if a := (&Roster{Teams: []Team{{ID: "x", Content: Content{Head: "boss", Lines: []Line{{Key: "first"}}}}}}).OnDuty(Question{At: at}); !slices.Equal(a.People, []string{"boss"}) {
		t.Errorf("where nobody is on duty the head is called: %+v", a)
	}
}

// TestStretchesAgreeWithOn asks minute by minute what Stretches says at once:
// random layers, overrides and zones, over changes of clocks too.
func TestStretchesAgreeWithOn(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 14))
	clock := func() string { return fmt.Sprintf("%02d:%02d", r.IntN(24), 15*r.IntN(4)) }
	zones := []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	starts := []time.Time{time.Date(2026, 9, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 27, 5, 0, 0, 0, time.UTC), time.Date(2026, 10, 23, 1, 0, 0, 0, time.UTC), time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC)}
	for n := range 80 {
		start := starts[n%len(starts)]
		end := start.Add(5 * 24 * time.Hour)
		c := Content{Name: Text{ZH: "a"}, Zone: zones[r.IntN(len(zones))], Lines: []Line{{Key: "l", Name: Text{ZH: "l"}}}}
		for range 1 + r.IntN(3) {
			l := Layer{From: workdays.DateOf(start.AddDate(0, 0, r.IntN(20)-17)), Turn: Turn{Every: 1 + r.IntN(12), Unit: []string{Hour, Day, Week}[r.IntN(3)], Handover: clock()},
				People: groups("a", "b c", "", "d")[:1+r.IntN(4)], Days: []string{AllDays, Workdays, RestDays}[r.IntN(3)]}
			if r.IntN(2) == 0 {
				l.Windows = []workdays.Window{{Days: every(1, 3, 5, 7), From: clock(), To: clock()}, {Days: every(2, 4, 6), From: clock(), To: "24:00"}}
			}
			if r.IntN(6) == 0 {
				l = Layer{Shifts: []Shift{{From: start.Add(7 * time.Hour), To: start.Add(30 * time.Hour), People: []string{"p"}}, {From: start.Add(29 * time.Hour), To: start.Add(31 * time.Hour), People: []string{}}}}
			}
			c.Lines[0].Layers = append(c.Lines[0].Layers, l)
		}
		roster := &Roster{Teams: []Team{{ID: "t", Content: checked(t, c)}}, Holidays: holidays}
		for i := range r.IntN(3) {
			from := start.Add(time.Duration(r.IntN(100*60)) * time.Minute)
			roster.Overrides = append(roster.Overrides, Override{ID: fmt.Sprint(i), Team: "t", Line: "l", From: from, To: from.Add(time.Duration(1+r.IntN(2000)) * time.Minute), People: []string{"o"}, Replaces: []string{"", "a", "b"}[r.IntN(3)]})
		}
		team := &roster.Teams[0]
		list := roster.Stretches(team, &team.Lines[0], start, end)
		if !list[0].From.Equal(start) || !list[len(list)-1].To.Equal(end) {
			t.Fatalf("the stretches do not fill the time: %+v", list)
		}
		i := 0
		for at := start; at.Before(end); at = at.Add(time.Minute) {
			if !at.Before(list[i].To) {
				if i++; !list[i].From.Equal(at) && list[i].From.Second() == 0 {
					t.Fatalf("between the stretches %d and %d is a hole", i-1, i)
				}
			}
			on := roster.On(team, &team.Lines[0], at)
			if !slices.Equal(on.People, list[i].People) {
				t.Fatalf("round %d, %s: %v, the stretch %+v says otherwise; zone %s, %+v, %+v", n, at, on.People, list[i], c.Zone, c.Lines[0].Layers, roster.Overrides)
			}
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	line := func(key string, people ...string) Line {
		return Line{Key: key, Name: Text{ZH: key}, Layers: []Layer{{From: "2026-01-01", Turn: Turn{Handover: "00:00"}, People: groups(people...)}}}
	}
	a := Team{ID: "a", Content: checked(t, Content{Name: Text{ZH: "a"}, Lines: []Line{line("first", "x", "y"), line("second", "y", "y")}})}
	b := Team{ID: "b", Content: checked(t, Content{Name: Text{ZH: "b"}, Lines: []Line{line("first", "x")}})}
	r := &Roster{Teams: []Team{a, b}}
	got := r.Conflicts(&r.Teams[0], r.Teams, shanghai(t, "2026-01-01 00:00"), shanghai(t, "2026-01-03 00:00"))
	if len(got) != 2 || got[0].Person != "x" || got[1].Person != "y" || !slices.Equal(got[0].Places, []string{"a/first", "b/first"}) || !slices.Equal(got[1].Places, []string{"a/first", "a/second"}) {
		t.Errorf("conflicts: %+v", got)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	layer := Layer{From: "2026-01-01", People: groups("a")}
	with := func(f func(c *Content, l *Layer)) Content {
		l := layer
		c := Content{Name: Text{EN: "n"}}
		f(&c, &l)
		if c.Lines == nil {
			c.Lines = []Line{{Key: "first", Name: Text{ZH: "l"}, Layers: []Layer{l}}}
		}
		return c
	}
	for want, c := range map[string]Content{
		"name: it is empty":   with(func(c *Content, _ *Layer) { c.Name = Text{} }),
		"lines: it is empty":  {Name: Text{ZH: "n"}},
		"zone":                with(func(c *Content, _ *Layer) { c.Zone = "Mars" }),
		"priorities[0]":       with(func(c *Content, _ *Layer) { c.Priorities = []string{"P5"} }),
		"lines[0].key":        with(func(c *Content, _ *Layer) { c.Lines = []Line{{Key: "A b"}} }),
		"is given twice":      with(func(c *Content, l *Layer) { one := Line{Key: "a", Name: Text{ZH: "a"}}; c.Lines = []Line{one, one} }),
		"layers[0].from":      with(func(_ *Content, l *Layer) { l.From = "tomorrow" }),
		"layers[0].until":     with(func(_ *Content, l *Layer) { l.Until = "2025-01-01" }),
		"turn.unit":           with(func(_ *Content, l *Layer) { l.Turn.Unit = "month" }),
		"turn.handover":       with(func(_ *Content, l *Layer) { l.Turn.Handover = "24:00" }),
		"turn.every":          with(func(_ *Content, l *Layer) { l.Turn.Every = -1 }),
		"people: it is empty": with(func(_ *Content, l *Layer) { l.People = nil }),
		"named twice":         with(func(_ *Content, l *Layer) { l.People = groups("a a") }),
		"not both":            with(func(_ *Content, l *Layer) { l.Shifts = []Shift{{}} }),
		"windows[0]": with(func(_ *Content, l *Layer) {
			l.Windows = []workdays.Window{{Days: every(8), From: "09:00", To: "10:00"}}
		}),
		"days":                  with(func(_ *Content, l *Layer) { l.Days = "sometimes" }),
		"policies[0].steps: it": with(func(c *Content, _ *Layer) { c.Policies = []Policy{{}} }),
		"calls nobody":          with(func(c *Content, _ *Layer) { c.Policies = []Policy{{Steps: []Step{{}}}} }),
		"no line":               with(func(c *Content, _ *Layer) { c.Policies = []Policy{{Steps: []Step{{Lines: []string{"x"}}}}} }),
		"no head":               with(func(c *Content, _ *Layer) { c.Policies = []Policy{{Steps: []Step{{Head: true}}}} }),
		"repeat": with(func(c *Content, _ *Layer) {
			c.Policies = []Policy{{Repeat: 3, Steps: []Step{{Lines: []string{"first"}}}}}
		}),
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
