package ticketing

import (
	"slices"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/inhibition"
	"icewatch/ticketing/silence"
)

// TestInhibited: nobody is told of an alert while another one fires that
// inhibits it; once that is over they are, also over a restart.
func TestInhibited(t *testing.T) {
	t.Parallel()
	h, c, db := newHook(t, nil), newClock(), openDB(t)
	s := openService(t, db, c, Deps{Config: hookConfig(h)})
	stop := running(t, s)
	by := Actor{Name: "zhang", Reach: reach.All()}
	source, err1 := silence.ParseMatchers([]string{"alertname=CoreDown"})
	target, err2 := silence.ParseMatchers([]string{"severity=critical"})
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	rule, err := s.SetInhibition(t.Context(), by, inhibition.Rule{Name: "core", Source: source, Target: target, Equal: []string{"tenant"}})
	if err != nil {
		t.Fatal(err)
	}
	core := pushedAlert("sw", "CoreDown", "1", detections.Low, start)
	ingest(t, s, core)
	ingest(t, s, fire(criticalRule("P1"), sealWeb, "203.0.113.7", 0, nil))
	quiet(t, h, 0)
	muted := func(s *Service) []Inhibited {
		i := slices.IndexFunc(allAlerts(t, s), func(a Alert) bool { return a.Severity == detections.Critical })
		return allAlerts(t, s)[i].InhibitedBy
	}
	if got := muted(s); len(got) != 1 || got[0].RuleID != rule.ID || got[0].Rule != "core" || got[0].AlertID == "" {
		t.Fatalf("inhibited by %+v", got)
	}
	stop()
	s = openService(t, db, c, Deps{Config: hookConfig(h)})
	if got := muted(s); len(got) != 1 {
		t.Fatalf("after a restart inhibited by %+v", got)
	}
	running(t, s)
	if err := s.Recover(t.Context(), core.Tenant, core.Key, detections.Text{EN: "It works again."}); err != nil {
		t.Fatal(err)
	}
	c.forward(time.Minute)
	s.nudge()
	h.await(t, 1)
	if got := muted(s); len(got) != 0 {
		t.Errorf("inhibited by %+v after the end", got)
	}
	// A unit changes no rule that mutes others' alerts.
	unit := Actor{Name: "li", Reach: reach.Tenants("e-seal")}
	if err := s.DeleteInhibition(t.Context(), unit, rule.ID); err == nil {
		t.Error("a unit deleted the city's rule")
	}
	rule.ID, rule.Tenants = "", []string{"tax"}
	if _, err := s.SetInhibition(t.Context(), unit, rule); err == nil {
		t.Error("a unit made a rule for another")
	}
}
