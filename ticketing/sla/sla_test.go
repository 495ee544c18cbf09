package sla

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"icewatch/ticketing/workdays"
)

var opened = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) // a Monday, 16:00 in Shanghai

func agreed(t *testing.T, f func(*Terms)) *Agreement {
	t.Helper()
	terms := DefaultTerms(nil)
	if f != nil {
		f(&terms)
	}
	a, err := terms.Compile(workdays.Published().Compile())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestState(t *testing.T) {
	t.Parallel()
	a := agreed(t, nil)
	f := func(name string, acked, resolved, now time.Duration, want State) {
		t.Helper()
		c := a.Start("P1", opened)
		if acked > 0 {
			c.Acked = opened.Add(acked)
		}
		if resolved > 0 {
			c.Resolved = opened.Add(resolved)
		}
		if got := c.State(opened.Add(now)); got != want {
			t.Errorf("%s: state %q, want %q", name, got, want)
		}
	}
	f("just opened", 0, 0, 0, OK)
	f("a quarter of the time left", 0, 0, 11*time.Minute+15*time.Second, DueSoon)
	f("due this instant is in time", 0, 0, 15*time.Minute, DueSoon)
	f("not acknowledged in time", 0, 0, 15*time.Minute+time.Millisecond, Breached)
	f("acknowledged, the solution far", 10*time.Minute, 0, time.Hour, OK)
	f("acknowledged, the solution near", 10*time.Minute, 0, 3*time.Hour+time.Minute, DueSoon)
	f("acknowledged late stays a breach", 16*time.Minute, 0, time.Hour, Breached)
	f("resolved in time", 10*time.Minute, time.Hour, 48*time.Hour, Met)
	f("resolved late", 10*time.Minute, 5*time.Hour, 48*time.Hour, Breached)
	f("resolved at once without acknowledging", 0, 5*time.Minute, time.Hour, Met)
	f("resolved after the acknowledgement was due", 0, 20*time.Minute, time.Hour, Breached)
	f("not resolved", 10*time.Minute, 0, 5*time.Hour, Breached)
}

func TestRaise(t *testing.T) {
	t.Parallel()
	a := agreed(t, func(terms *Terms) { terms.Promises[2].AckMinutes = 240 })
	c := a.Start("P3", opened)
	now := opened.Add(time.Hour)
	if !a.Raise(&c, "P1", now) {
		t.Fatal("raising P3 to P1 after an hour moved nothing")
	}
	if want := now.Add(15 * time.Minute); !c.AckDue.Equal(want) {
		t.Errorf("acknowledgement due %s, want %s", c.AckDue, want)
	}
	if got := c.State(now); got == Breached {
		t.Error("raising the priority broke the clock at once")
	}
	before := c
	if a.Raise(&c, "P4", now) || c != before {
		t.Error("a less urgent priority put a due time off")
	}
	c.Acked = now
	if a.Raise(&c, "P1", now.Add(-time.Minute)); !c.AckDue.Equal(before.AckDue) {
		t.Error("the due time of an acknowledgement that was given moved")
	}
}

// TestTheTendersFigures holds the default terms to what is agreed.
func TestTheTendersFigures(t *testing.T) {
	t.Parallel()
	a := agreed(t, nil)
	for p, most := range map[string]time.Duration{"P1": 15 * time.Minute, "P2": 15 * time.Minute, "P3": time.Hour, "P4": time.Hour} {
		if c := a.Start(p, opened); c.AckDue.Sub(opened) > most {
			t.Errorf("%s is responded to within %s, want %s at most", p, c.AckDue.Sub(opened), most)
		}
	}
	for kind, want := range map[string][2]time.Duration{Online: {time.Hour, 2 * time.Hour}, Offline: {4 * time.Hour, 6 * time.Hour}} {
		c, now := a.Start("P4", opened), opened.Add(30*time.Minute)
		if err := a.Confirm(&c, kind, now); err != nil {
			t.Fatal(err)
		}
		if c.ResolveWarn.Sub(now) != want[0] || c.ResolveDue.Sub(now) != want[1] || c.ProposeDue.Sub(now) != 2*time.Hour {
			t.Errorf("%s: warned after %s, due after %s, a solution proposed within %s", kind, c.ResolveWarn.Sub(now), c.ResolveDue.Sub(now), c.ProposeDue.Sub(now))
		}
		c.Acked = now
		if got := c.State(now.Add(2*time.Hour + time.Second)); got != Breached {
			t.Errorf("%s without a proposal after two hours: %s", kind, got)
		}
		c.Proposed = now.Add(time.Hour)
		if got := c.State(now.Add(90 * time.Minute)); (kind == Online) != (got == DueSoon) {
			t.Errorf("%s after 90 minutes: %s", kind, got)
		}
	}
	if err := a.Confirm(&Clock{}, "elsewhere", opened); err == nil {
		t.Error("a kind of fault that does not exist is taken")
	}
}

// TestOracle runs clocks of random terms with random pauses, rises and
// calendars, and counts minute by minute when their time is used up.
func TestOracle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		spec := workdays.WorkingHours()
		spec.Zone = []string{"Asia/Shanghai", "Europe/Berlin", "America/Los_Angeles"}[r.IntN(3)]
		if r.IntN(3) == 0 {
			spec.Windows, spec.Holidays = []workdays.Window{{Days: []int{1, 2, 3, 4, 5, 6, 7}, From: "21:00", To: "05:30"}}, false
		}
		calendar := []string{"", "own"}[r.IntN(2)]
		promised := 1 + r.IntN(40*60)
		a := agreed(t, func(terms *Terms) {
			terms.Calendars = append(terms.Calendars, NamedCalendar{"own", terms.Calendars[0].Name, spec})
			terms.Promises[3] = Promise{"P4", 1, promised, calendar}
			terms.WarnPercent = r.IntN(101)
		})
		cal, err := spec.Compile(workdays.Published().Compile())
		if err != nil {
			t.Fatal(err)
		}
		if calendar == "" {
			cal = nil
		}
		start := time.Date(2026, time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		c := a.Start("P4", start)
		c.Acked = start
		used, paused, spent := 0, false, time.Time{}
		for now := start; now.Before(start.Add(12 * 24 * time.Hour)); now = now.Add(time.Minute) {
			if r.IntN(500) == 0 {
				if paused {
					if got := a.Resume(&c, now); got < 0 {
						t.Fatalf("paused for %s", got)
					}
				} else {
					c.Pause(now)
				}
				paused = !paused
			}
			if used >= promised && spent.IsZero() {
				spent = now
			}
			late := !spent.IsZero() && now.After(spent) && (!paused || c.Paused.After(spent))
			if got := c.State(now); (got == Breached) != late {
				t.Fatalf("promised %d min by %q, counted %d at %s: state %s, %+v", promised, calendar, used, now, got, c)
			}
			if !paused && cal.Open(now) {
				used++
			}
		}
		if paused {
			a.Resume(&c, start.Add(12*24*time.Hour))
		}
		if !spent.IsZero() && !c.ResolveDue.Equal(spent) && cal.Between(c.ResolveDue, spent) != 0 {
			t.Fatalf("promised %d min by %q: due %s, counted %s", promised, calendar, c.ResolveDue, spent)
		}
	}
}

func TestPauseAndRaise(t *testing.T) {
	t.Parallel()
	a := agreed(t, nil)
	c := a.Start("P3", opened)
	c.Acked = opened
	c.Pause(opened.Add(time.Hour))
	if got := c.State(opened.Add(30 * 24 * time.Hour)); got != Paused {
		t.Errorf("a paused clock: %s", got)
	}
	if !c.Due().IsZero() {
		t.Errorf("a paused clock is due at %s", c.Due())
	}
	a.Raise(&c, "P1", opened.Add(5*time.Hour))
	if got := a.Resume(&c, opened.Add(6*time.Hour)); got != 5*time.Hour {
		t.Errorf("paused for %s", got)
	}
	if want := opened.Add(10 * time.Hour); !c.ResolveDue.Equal(want) {
		t.Errorf("raised while paused it is due at %s, want four hours after it goes on, %s", c.ResolveDue, want)
	}
	if got := a.Resume(&c, opened.Add(7*time.Hour)); got != 0 {
		t.Errorf("what is not paused goes on after %s", got)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	f := func(t0 Targets, valid bool) {
		t.Helper()
		if err := t0.Validate(); (err == nil) != valid {
			t.Errorf("%v: error %v, want valid %v", t0, err, valid)
		}
	}
	f(nil, true)
	f(Targets{"P1": {Ack: time.Minute}}, true)
	f(Targets{"P1": {Ack: 5 * time.Hour}}, false)
	f(Targets{"P9": {Ack: time.Minute}}, false)
	f(Targets{"P1": {Resolve: -1}}, false)
	if got := (Targets{"P1": {Ack: time.Minute}}).Merge()["P1"]; got != (Target{time.Minute, 4 * time.Hour}) {
		t.Errorf("merged target %v", got)
	}
}

func TestTermsRefuse(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]func(*Terms){
		"P4 is missing":            func(x *Terms) { x.Promises = x.Promises[:3] },
		"given twice":              func(x *Terms) { x.Promises[3].Priority = "P1" },
		"want P1, P2":              func(x *Terms) { x.Promises[0].Priority = "P0" },
		"is less than":             func(x *Terms) { x.Promises[0].AckMinutes = 1000 },
		"want 1 to":                func(x *Terms) { x.Promises[0].AckMinutes = 0 },
		"no calendar \"moon\"":     func(x *Terms) { x.Promises[0].Calendar = "moon" },
		"calendars[0].windows[0]":  func(x *Terms) { x.Calendars[0].Windows[0].From = "9" },
		"calendars[0].name":        func(x *Terms) { x.Calendars[0].Name.EN = "" },
		"reasons[0].key":           func(x *Terms) { x.Reasons[0].Key = "A b" },
		"warn_percent":             func(x *Terms) { x.WarnPercent = 101 },
		"fault":                    func(x *Terms) { x.Fault.OnlineWarnMinutes = 200 },
		"calendars[1].key: \"work": func(x *Terms) { x.Calendars = append(x.Calendars, x.Calendars[0]) },
	} {
		terms := DefaultTerms(nil)
		f(&terms)
		if err := terms.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
