package ticketing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/ticketing/maintenance"
)

// judgeFunc is a priority policy in Go.
type judgeFunc func(a policy.Alert) (policy.Judgement, error)

func (f judgeFunc) Priority(_ context.Context, a policy.Alert) (policy.Judgement, error) { return f(a) }

// TestJudgedAsAGroup: the policy is asked about the alert with all its firings,
// and its answer of now counts: priority, verdict and labels follow it up and
// down.
func TestJudgedAsAGroup(t *testing.T) {
	t.Parallel()
	c := newClock()
	judge := judgeFunc(func(a policy.Alert) (policy.Judgement, error) {
		if a.Count > 8 {
			return policy.Judgement{}, errors.New("boom")
		}
		j := policy.Judgement{Priority: "P3", Reasons: []detections.Text{{ZH: "次", EN: fmt.Sprintf("%d events", a.Count)}}}
		if a.Count > 3 {
			j.Priority, j.Verdict, j.Labels = "P2", "success", map[string]string{"team": "night", "tenant": "another"}
		}
		return j, nil
	})
	s := openService(t, openDB(t), c, Deps{Judge: judge})
	check := func(what, priority, verdict, team, reason string) {
		t.Helper()
		list := allAlerts(t, s)
		if len(list) != 1 {
			t.Fatalf("%s: %d alerts", what, len(list))
		}
		a := list[0]
		if a.Priority != priority || string(a.Verdict) != verdict || a.Routing["team"] != team || reason != "" && a.Reasons[0].EN != reason {
			t.Errorf("%s: %s, verdict %q, routing %v, reasons %v", what, a.Priority, a.Verdict, a.Routing, a.Reasons)
		}
	}
	first := fire(ruleGuess, sealWeb, "203.0.113.7", 0, nil)
	first.Verdict = detections.Attempt
	ingest(t, s, first)
	check("three events", "P3", "attempt", "", "3 events")
	mute(t, s, time.Hour, "team=night")
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", time.Minute, nil))
	check("six", "P2", "success", "night", "6 events")
	if a := allAlerts(t, s)[0]; len(a.SilencedBy) != 1 || a.Labels["tenant"] != sealWeb.tenant {
		t.Errorf("a silence knows the label, and no label hides another: %+v", a)
	}
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.7", 2*time.Minute, nil))
	if st := s.Stats(); st.JudgeErrors != 1 {
		t.Errorf("%d failures counted", st.JudgeErrors)
	}
	check("a policy that fails leaves the alert with its level's priority", "P3", "attempt", "", "")
}

// realJudge is the suite's own priority policy.
func realJudge() Judge { return realPolicy() }

// TestMaintenanceWindow: an alert in a window is kept and marked, and nobody is
// told of its incident; when it fires after the window its receivers learn of it.
func TestMaintenanceWindow(t *testing.T) {
	t.Parallel()
	h, c, db := newHook(t, nil), newClock(), openDB(t)
	window := maintenance.Window{ID: "w1", Name: "upgrade", Start: start.Add(-time.Hour), End: start.Add(time.Hour), Items: []string{sealWeb.id}}
	deps := Deps{Config: hookConfig(h), Judge: realJudge(), Maintenance: maintenance.New(maintenance.Schedule{Windows: []maintenance.Window{window}})}
	s := openService(t, db, c, deps)
	stop := running(t, s)
	ingest(t, s, fire(criticalRule(""), sealWeb, "203.0.113.7", 0, nil))
	check := func(what string, muted bool) Alert {
		t.Helper()
		a := allAlerts(t, s)[0]
		if a.Muted != muted || (len(a.Maintenance) == 1) != muted || len(a.SilencedBy) > 0 || a.Status != StatusOpen || a.IncidentID == "" {
			t.Errorf("%s: %+v", what, a)
		}
		return a
	}
	a := check("in the window", true)
	if a.Maintenance[0].ID != "w1" || !strings.Contains(fmt.Sprint(a.Reasons), "maintenance window") {
		t.Errorf("marked by %+v, reasons %+v", a.Maintenance, a.Reasons)
	}
	quiet(t, h, 0)
	d, err := s.Incident(t.Context(), reach.All(), a.IncidentID)
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for _, e := range d.Timeline {
		if e.Kind == "notified" {
			told += e.Text.EN + fmt.Sprint(e.Data["maintenance"])
		}
	}
	if told != "Its alerts fall into a maintenance window: nobody is told[w1]" {
		t.Errorf("the timeline says %q", told)
	}
	stop()
	s = openService(t, db, c, deps)
	running(t, s)
	c.forward(30 * time.Minute)
	s.nudge()
	quiet(t, h, 0)
	ingest(t, s, fire(criticalRule(""), sealWeb, "203.0.113.7", 2*time.Hour, nil))
	check("after the window", false)
	c.forward(10 * time.Minute)
	s.nudge()
	h.await(t, 1)
}

func TestOverridePriority(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := openService(t, openDB(t), c, Deps{})
	ingest(t, s, fire(criticalRule("P2"), sealWeb, "203.0.113.7", 0, nil))
	id := allIncidents(t, s)[0].ID
	li := Actor{Name: "li", Reach: reach.All()}
	check := func(what, priority, judged, reason string) Incident {
		t.Helper()
		i := allIncidents(t, s)[0]
		if i.Priority != priority || i.Judged != judged || (i.Override != nil) != (reason != "") || reason != "" && (i.Override.Reason != reason || i.Override.By != "li") {
			t.Errorf("%s: %s judged %s, %+v", what, i.Priority, i.Judged, i.Override)
		}
		return i
	}
	before := check("before", "P2", "P2", "")
	for _, bad := range []struct{ priority, reason, want string }{{"P5", "x", "P5"}, {"", "x", "want one of"}, {"P1", " ", "reason"}} {
		if _, err := s.OverridePriority(t.Context(), li, id, bad.priority, bad.reason); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := s.OverridePriority(t.Context(), Actor{Name: "else", Reach: reach.Tenants("tax")}, id, "P4", "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("by somebody who does not see it: %v", err)
	}
	if _, err := s.OverridePriority(t.Context(), li, id, "P4", "a drill"); err != nil {
		t.Fatal(err)
	}
	lower := check("lowered", "P4", "P2", "a drill")
	if !lower.SLA.AckDue.After(before.SLA.AckDue.Time) {
		t.Errorf("a less urgent incident has until %v, before until %v", lower.SLA.AckDue, before.SLA.AckDue)
	}
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", time.Minute, nil))
	check("its alerts become more urgent", "P4", "P1", "a drill")
	c.forward(time.Minute)
	if _, err := s.OverridePriority(t.Context(), li, id, "P1", "it is real"); err != nil {
		t.Fatal(err)
	}
	if raised := check("raised", "P1", "P1", "it is real"); !raised.SLA.AckDue.Before(lower.SLA.AckDue.Time) {
		t.Errorf("a more urgent incident has until %v, before until %v", raised.SLA.AckDue, lower.SLA.AckDue)
	}
	if _, err := s.UndoOverride(t.Context(), li, id); err != nil {
		t.Fatal(err)
	}
	check("undone", "P1", "P1", "")
	var conflict *Conflict
	if _, err := s.UndoOverride(t.Context(), li, id); !errors.As(err, &conflict) {
		t.Errorf("undone twice: %v", err)
	}
	d, err := s.Incident(t.Context(), reach.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range d.Timeline {
		if e.Kind == "priority" && e.Actor == "li" {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d entries in the timeline", n)
	}
}

// TestTheVeryNextAlert changes how critical a host is and has an alert on it at
// once, from an event that was enriched before the change: each is judged by
// what the host is by then, and says so.
func TestTheVeryNextAlert(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		cmdbtest.Import(t, items, `{"id":"web","class":"host","name":"web","tenant":"a","criticality":1}`)
		s := openService(t, openDB(t), newClock(), Deps{Judge: realJudge(), Criticalities: items})
		stale := map[string]string{fieldCriticality: "1"}
		for i := range 200 {
			want, priority := 1+4*(i%2), []string{"P3", "P1"}[i%2]
			if _, err := items.Upsert(t.Context(), reach.All(), "li", cmdb.Item{ID: "web", Class: "host", Name: "web", Tenant: "a", Criticality: want}); err != nil {
				t.Fatal(err)
			}
			o := fire(ruleGuess, host{id: "web", name: "web", tenant: "a"}, "203.0.113.7", time.Duration(i)*time.Second, stale)
			o.Key += fmt.Sprint(i)
			ingest(t, s, o)
			list, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Limit: 1, Sort: "-last_seen"}})
			if err != nil || total != i+1 {
				t.Fatalf("%d: %d alerts, %v", i, total, err)
			}
			if a := list[0]; a.Priority != priority || a.CI.Criticality != want || a.Fields[fieldCriticality] != fmt.Sprint(want) {
				t.Fatalf("%d: a host of criticality %d has an alert of priority %s that says %d and %s", i, want, a.Priority, a.CI.Criticality, a.Fields[fieldCriticality])
			}
		}
	})
}
