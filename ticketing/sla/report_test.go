package sla

import (
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	t.Parallel()
	a := agreed(t, nil)
	now := opened.Add(30 * 24 * time.Hour)
	kase := func(group string, ack, resolve time.Duration) Case {
		c := a.Start("P1", opened)
		if ack > 0 {
			c.Acked = opened.Add(ack)
		}
		if resolve > 0 {
			c.Resolved = opened.Add(resolve)
		}
		return Case{Group: group, Clock: c}
	}
	paused := kase("b", time.Minute, 3*time.Hour)
	paused.Paused = time.Hour
	fault := kase("b", time.Minute, time.Hour)
	if err := a.Confirm(&fault.Clock, Online, opened); err != nil {
		t.Fatal(err)
	}
	fresh := Case{Group: "a", Clock: a.Start("P1", now)}
	got := Report([]Case{kase("a", 10*time.Minute, 2*time.Hour), kase("a", 20*time.Minute, 5*time.Hour), kase("a", 0, 0), fresh, paused, fault}, now)
	if len(got) != 3 || got[0].Group != "a" || got[2].Group != "" {
		t.Fatalf("%+v", got)
	}
	if l := got[0]; l.Incidents != 4 || l.Running != 2 || l.AckMet != 1 || l.AckMissed != 2 || l.ResolveMet != 1 || l.ResolveMissed != 2 || l.AckMean != 15*60 {
		t.Errorf("%+v", l)
	}
	if l := got[1]; l.ResolveMean != 90*60 || l.PausedSeconds != 3600 || l.ProposeMet != 1 || l.AckShare != 100 {
		t.Errorf("%+v", l)
	}
	if l := got[2]; l.Incidents != 6 || l.AckShare != 60 || l.ResolveShare != 60 {
		t.Errorf("%+v", l)
	}
	if l := Report(nil, now); len(l) != 1 || l[0].AckShare != 100 {
		t.Errorf("of nothing: %+v", l)
	}
}
