package sla

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestState(t *testing.T) {
	t.Parallel()
	open := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	f := func(name string, acked, resolved, now time.Duration, want State) {
		t.Helper()
		c := Default().Start("P1", open)
		if acked > 0 {
			c.Acked = open.Add(acked)
		}
		if resolved > 0 {
			c.Resolved = open.Add(resolved)
		}
		if got := c.State(open.Add(now)); got != want {
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
	open := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	targets := Default()
	c := targets.Start("P3", open)
	now := open.Add(time.Hour)
	if !targets.Raise(&c, "P1", now) {
		t.Fatal("raising P3 to P1 after an hour moved nothing")
	}
	if want := now.Add(15 * time.Minute); !c.AckDue.Equal(want) {
		t.Errorf("acknowledgement due %s, want %s", c.AckDue, want)
	}
	if got := c.State(now); got == Breached {
		t.Error("raising the priority broke the clock at once")
	}
	before := c
	if targets.Raise(&c, "P4", now) || c != before {
		t.Error("a less urgent priority put a due time off")
	}
	c.Acked = now
	if targets.Raise(&c, "P1", now.Add(-time.Minute)); !c.AckDue.Equal(before.AckDue) {
		t.Error("the due time of an acknowledgement that was given moved")
	}
}

// TestOracle compares State with the definition written out in words.
func TestOracle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	open := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for range 20000 {
		c := Default().Start([]string{"P1", "P2", "P3", "P4"}[r.IntN(4)], open)
		at := func() time.Time { return open.Add(time.Duration(r.Int64N(int64(8 * 24 * time.Hour)))) }
		now := at()
		if x := at(); r.IntN(2) == 0 && !x.After(now) {
			c.Acked = x
		}
		if x := at(); r.IntN(2) == 0 && !x.After(now) && !x.Before(c.Acked) {
			c.Resolved = x
		}
		firstResponse, end := now, now
		if !c.Resolved.IsZero() {
			firstResponse, end = c.Resolved, c.Resolved
		}
		if !c.Acked.IsZero() {
			firstResponse = c.Acked
		}
		broken := firstResponse.After(c.AckDue) || end.After(c.ResolveDue)
		got := c.State(now)
		if broken != (got == Breached) {
			t.Fatalf("%+v at %s: state %q, broken is %v", c, now, got, broken)
		}
		if !broken && (got == Met) != !c.Resolved.IsZero() {
			t.Fatalf("%+v at %s: state %q", c, now, got)
		}
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
