package ticketing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/ticketing/generation"
)

// generating is a policy in force that a test may change.
func generating(t testing.TB, p *generation.RaisingPolicy) func() *generation.Compiled {
	t.Helper()
	return func() *generation.Compiled {
		c, err := p.Compile(time.UTC)
		if err != nil {
			t.Error(err)
		}
		return c
	}
}

var opensAll = policyFunc(func(policy.IncidentInput) (policy.Decision, error) {
	return policy.Decision{Open: true, Join: true}, nil
})

// TestFocus: an alert of a risk of focus is marked, one level graver once, told at
// once although the rest is gathered, and comes first.
func TestFocus(t *testing.T) {
	t.Parallel()
	p := generation.RaisingPolicy{
		Focus:   []generation.RiskOfFocus{{Name: "口令猜测", When: []string{"technique=T1110"}, Raise: true, Tenants: []string{"e-seal"}}},
		Periods: []generation.RaisingPeriod{{Name: "其余", Mode: generation.Every, Minutes: 60}},
	}
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Policy: opensAll, Judge: realJudge(), Generation: generating(t, &p)})
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.9", 0, nil), fire(ruleGuess, taxWeb, "203.0.113.9", 0, nil), fire(ruleScan, sealWeb, "203.0.113.9", time.Minute, nil))
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.9", 30*time.Second, nil)) // it fires again: raised no further
	of := func(tenant, rule string) Alert {
		t.Helper()
		for _, a := range allAlerts(t, s) {
			if a.Tenant == tenant && a.Rule.ID == rule {
				return a
			}
		}
		t.Fatalf("no alert of %s by %s", tenant, rule)
		return Alert{}
	}
	a := of("e-seal", "guess")
	if a.Focus != "口令猜测" || a.Severity != detections.High || a.FocusFrom != detections.Medium || a.GatheredUntil != nil || !strings.Contains(a.Reasons[len(a.Reasons)-1].EN, "A risk of focus") {
		t.Errorf("of focus: %q, %s from %q, until %v, %v", a.Focus, a.Severity, a.FocusFrom, a.GatheredUntil, a.Reasons)
	}
	if a := of("tax", "guess"); a.Focus != "" || a.Severity != detections.Medium || a.GatheredUntil == nil || !a.GatheredUntil.Equal(c.now().Truncate(time.Hour).Add(time.Hour)) || a.Period != "其余" {
		t.Errorf("of a tenant that the focus is not for: %+v", a)
	}
	list, total, next, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Sort: "-focus", Limit: 1}})
	if err != nil || total != 3 || list[0].ID != a.ID {
		t.Fatalf("first of all: %+v, %d, %v", list, total, err)
	}
	var rest []string
	for next != "" {
		if list, _, next, err = s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Page: Page{Sort: "-focus", Limit: 1, Cursor: next}}); err != nil {
			t.Fatal(err)
		}
		rest = append(rest, list[0].ID)
	}
	if want := []string{of("e-seal", "scan").ID, of("tax", "guess").ID}; !slices.Equal(rest, want) {
		t.Errorf("then by when they were seen last: %v, want %v", rest, want)
	}
	if _, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Focus: true}); err != nil || total != 1 {
		t.Errorf("those of focus: %d, %v", total, err)
	}
	if _, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Gathered: c.now()}); err != nil || total != 2 {
		t.Errorf("those that wait: %d, %v", total, err)
	}
	if _, total, _, err := s.Alerts(t.Context(), AlertQuery{Reach: reach.All(), Gathered: c.now().Add(time.Hour)}); err != nil || total != 0 {
		t.Errorf("those that wait in an hour: %d, %v", total, err)
	}
}

// TestGathered: nobody is told of what is gathered before its period ends, also
// over a restart; then once. What is kept only nobody is told of at all, until it
// has become grave enough to be of no such period.
func TestGathered(t *testing.T) {
	t.Parallel()
	h, c, db := newHook(t, nil), newClock(), openDB(t)
	p := generation.RaisingPolicy{Periods: []generation.RaisingPeriod{
		{Name: "minor", When: []string{"severity=low"}, Mode: generation.Keep},
		{Name: "morning", When: []string{"severity!=critical"}, Mode: generation.At, Times: []string{"09:00"}},
	}}
	deps := Deps{Config: hookConfig(h), Policy: opensAll, Generation: generating(t, &p)}
	s := openService(t, db, c, deps)
	stop := running(t, s)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.9", 0, nil), fire(ruleProbe, taxWeb, "203.0.113.10", 0, nil))
	if n := len(allIncidents(t, s)); n != 2 {
		t.Fatalf("%d incidents: what is gathered is correlated all the same", n)
	}
	quiet(t, h, 0)
	critical := ruleGuess
	critical.id, critical.level = "worse", detections.Critical
	ingest(t, s, fire(critical, sealDB, "203.0.113.11", 0, nil))
	h.await(t, 1) // told of at once
	stop()
	s = openService(t, db, c, deps)
	running(t, s)
	quiet(t, h, 1)
	c.forward(59 * time.Minute)
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.9", 59*time.Minute, nil)) // by firing again it neither waits longer nor less
	quiet(t, h, 1)
	c.forward(2 * time.Minute)
	s.nudge()
	if got := h.await(t, 2)[1]; len(got.Alerts) != 1 || got.Alerts[0].Labels["rule_id"] != "guess" {
		t.Errorf("told at the end: %+v", got)
	}
	ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113.9", 62*time.Minute, nil))
	for _, a := range allAlerts(t, s) {
		switch a.Rule.ID {
		case "guess":
			if a.GatheredUntil != nil {
				t.Errorf("told of, and gathered again until %s", a.GatheredUntil)
			}
		case "probe":
			if !a.KeptOnly || a.Period != "minor" {
				t.Errorf("kept only: %+v", a)
			}
		}
	}
	graver := ruleProbe
	graver.level = detections.Critical
	ingest(t, s, fire(graver, taxWeb, "203.0.113.10", 63*time.Minute, nil))
	h.await(t, 3)
	for _, i := range allIncidents(t, s) {
		d, err := s.Incident(t.Context(), reach.All(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		held := slices.ContainsFunc(d.Timeline, func(e TimelineEntry) bool {
			return e.Kind == "notified" && strings.Contains(e.Text.EN, "gathered by the policy")
		})
		if held != (i.Tenant == "tax" || i.CI.ID == sealWeb.id) {
			t.Errorf("incident of %s: its timeline says that it was gathered: %v", i.CI.Name, held)
		}
	}
}

// TestPreviewGeneration: what a policy would have made of last week's alerts, also
// where one was in force, and within reach alone.
func TestPreviewGeneration(t *testing.T) {
	t.Parallel()
	c, now := newClock(), generation.RaisingPolicy{Focus: []generation.RiskOfFocus{{Name: "all guesses", When: []string{"rule=guess"}, Raise: true}}}
	s := openService(t, openDB(t), c, Deps{Generation: generating(t, &now)})
	for n := range 6 {
		ingest(t, s, fire(ruleGuess, sealWeb, "203.0.113."+string(rune('1'+n)), 0, nil), fire(ruleProbe, taxWeb, "203.0.113."+string(rune('1'+n)), 0, nil))
		c.forward(10 * time.Minute)
	}
	p := generation.RaisingPolicy{
		Focus:   []generation.RiskOfFocus{{Name: "high", When: []string{"severity=high"}, Raise: true}, {Name: "scan", When: []string{"rule=scan"}}},
		Periods: []generation.RaisingPeriod{{Name: "half hours", When: []string{"tenant=e-seal"}, Mode: generation.Every, Minutes: 30}, {Name: "rest", Mode: generation.Keep}},
	}
	got, err := s.PreviewGeneration(t.Context(), reach.All(), p)
	if err != nil {
		t.Fatal(err)
	}
	// None is high by itself: they are so by the policy in force.
	if got.Alerts != 12 || got.Focus != 0 || got.Gathered != 6 || got.Kept != 6 || got.AtOnce != 0 || got.Tellings != 2 || got.ByPeriod[0].Times != 2 || got.ByPeriod[1].Alerts != 6 || len(got.ByPeriod[0].Sample) != 5 || len(got.ByFocus) != 2 {
		t.Errorf("%+v", got)
	}
	p.Focus[0].When = []string{"severity=medium"}
	if got, err = s.PreviewGeneration(t.Context(), reach.Tenants("e-seal"), p); err != nil || got.Alerts != 6 || got.Focus != 6 || got.ByFocus[0].Raised != 6 || got.Tellings != 6 {
		t.Errorf("a tenant's: %+v, %v", got, err)
	}
	if _, err := s.PreviewGeneration(t.Context(), reach.All(), generation.RaisingPolicy{Periods: []generation.RaisingPeriod{{Name: "x", Mode: "never"}}}); err == nil {
		t.Error("a policy that cannot be is taken")
	}
	c.forward(8 * 24 * time.Hour)
	if got, err = s.PreviewGeneration(t.Context(), reach.All(), p); err != nil || got.Alerts != 0 {
		t.Errorf("a week later: %+v, %v", got, err)
	}
}
