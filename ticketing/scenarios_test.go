package ticketing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/veil"
	"icewatch/ticketing/scenario"
)

func scenarioSource(s *Service, within reach.Reach) *scenario.Source {
	return &scenario.Source{Values: func(ctx context.Context, column string) ([]string, error) {
		return s.ScenarioValues(ctx, within, time.Time{}, column)
	}}
}

// TestScenarioFigures counts what belongs to a scenario, within reach and time.
func TestScenarioFigures(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := openService(t, openDB(t), c, Deps{Taxonomy: shippedTaxonomy(t)})
	guess := judged("guess", "brute-force", "exploitation", "inbound", detections.Failed, stranger, 0)
	hit := judged("guessed", "brute-force", "exploitation", "inbound", detections.Success, stranger, time.Minute)
	hit.Rule.Level = detections.High
	weak := judged("weak", "information-leak", "", "inbound", "", "", 2*time.Minute)
	weak.Risk = detections.Risk{Class: "IDI", Subclass: "ILEI", Type: "misconfiguration"}
	other := judged("sqli", "sql-injection", "exploitation", "inbound", detections.Failed, stranger, 0)
	ingest(t, s, guess, hit, weak, other)

	compile := func(lines ...[]string) *scenario.Clause {
		t.Helper()
		clause, err := scenario.Compile(t.Context(), lines, scenarioSource(s, reach.All()))
		if err != nil {
			t.Fatal(err)
		}
		return &clause
	}
	ask := func(change func(q *ScenarioQuery)) ScenarioFigures {
		t.Helper()
		q := ScenarioQuery{Alerts: AlertQuery{Reach: reach.All(), Since: start.Add(-24 * time.Hour), Until: start.Add(time.Hour),
			Scenario: compile([]string{`attack="brute-force"`}, []string{`risk="IDI.ILEI"`})}, Risks: compile([]string{`risk="IDI"`, `verdict="none"`}), Zone: time.UTC, Items: true}
		if change != nil {
			change(&q)
		}
		f, err := s.ScenarioFigures(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := ask(func(q *ScenarioQuery) {
		q.Facts = func(tenant, unit, region string) (string, string) { return "unit of " + tenant, "南山" }
	})
	if f.Alerts != 3 || f.Open != 3 || f.Risks != 1 || f.Succeeded != 2 || f.Severity != detections.High || f.Before != 0 {
		t.Errorf("%+v", f.ScenarioCounts)
	}
	if len(f.Days) != 2 || f.Days[1].Alerts != 3 || f.Days[1].Risks != 1 || f.Days[0].Alerts != 0 {
		t.Errorf("days %+v", f.Days)
	}
	if len(f.Systems) != 1 || f.Systems[0].Key != sealWeb.systemID || f.Systems[0].Alerts != 3 || len(f.Units) != 1 || f.Units[0].Key != "unit of "+sealWeb.tenant || len(f.Regions) != 1 || f.Regions[0].Name != "南山" {
		t.Errorf("systems %+v units %+v regions %+v", f.Systems, f.Units, f.Regions)
	}
	if len(f.Accounts) != 1 || f.Accounts[0].Key != "deploy" || f.Accounts[0].Risks != 1 || f.Accounts[0].Alerts != 3 || len(f.Items) != 1 || f.Items[0].Name != sealWeb.name {
		t.Errorf("accounts %+v items %+v", f.Accounts, f.Items)
	}
	incidents := map[string]bool{}
	for _, a := range allAlerts(t, s) {
		if a.IncidentID != "" && a.Attack != "sql-injection" {
			incidents[a.IncidentID] = true
		}
	}
	if len(incidents) == 0 || f.Incidents != len(incidents) {
		t.Errorf("%d incidents, want %d", f.Incidents, len(incidents))
	}

	// Whoever sees nothing of it counts nothing, and no account is told where these are masked.
	if f := ask(func(q *ScenarioQuery) { q.Alerts.Reach = reach.Tenants("another") }); f.Alerts+f.Incidents+len(f.Systems)+len(f.Accounts) != 0 {
		t.Errorf("beyond reach: %+v", f)
	}
	hidden, err := veil.New([]veil.Rule{{ID: "m", Fields: []string{"user.name"}, Method: veil.Full}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := ask(func(q *ScenarioQuery) { q.Alerts.Reach = reach.All().WithVeil(hidden) }); f.Alerts != 3 || len(f.Accounts) != 0 {
		t.Errorf("masked: %+v", f.Accounts)
	}
	// The combined search: by address, time, system.
	if f := ask(func(q *ScenarioQuery) { q.Alerts.IP = stranger }); f.Alerts != 2 {
		t.Errorf("by address: %+v", f.ScenarioCounts)
	}
	if f := ask(func(q *ScenarioQuery) { q.Alerts.Until = start.Add(30 * time.Second) }); f.Alerts != 1 {
		t.Errorf("before the second: %+v", f.ScenarioCounts)
	}
	if f := ask(func(q *ScenarioQuery) { q.Alerts.AboutOnly = true }); f.Alerts != 0 {
		t.Errorf("about no item: %+v", f.ScenarioCounts)
	}
	if f := ask(func(q *ScenarioQuery) { q.Alerts.Units = []string{"u1"}; q.Alerts.OfUnits = []string{sealWeb.tenant} }); f.Alerts != 3 {
		t.Errorf("of the tenant's unit: %+v", f.ScenarioCounts)
	}
	if f := ask(func(q *ScenarioQuery) { q.Alerts.Since, q.Alerts.Until = start.Add(time.Hour), start.Add(2*time.Hour) }); f.Alerts != 0 || f.Before != 3 {
		t.Errorf("an hour later: %+v, %d before", f.ScenarioCounts, f.Before)
	}
	if _, err := s.ScenarioFigures(t.Context(), ScenarioQuery{Alerts: AlertQuery{Reach: reach.All()}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a time: %v", err)
	}
}

// TestScenarioReach holds the texts of scenarios to a reach.
func TestScenarioReach(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, simplePolicy)
	chief := Actor{Name: "chief", Reach: reach.All()}
	mine, theirs := Actor{Name: "amy", Reach: reach.Tenants("a")}, reach.Tenants("b")
	sc := scenario.Scenario{Content: scenario.Content{Name: detections.Text{ZH: "甲"}, Any: [][]string{{`attack="mining"`}}}}
	if _, err := s.SetScenarios(t.Context(), mine, []scenario.Scenario{sc}); !errors.Is(err, scenario.ErrInvalid) || !strings.Contains(err.Error(), "tenants") {
		t.Errorf("for all tenants by one of a: %v", err)
	}
	sc.Tenants = []string{"a"}
	made, err := s.SetScenarios(t.Context(), mine, []scenario.Scenario{sc})
	if err != nil {
		t.Fatal(err)
	}
	id := made[0].ID
	for _, c := range []struct {
		r    reach.Reach
		want bool
	}{{reach.All(), true}, {mine.Reach, true}, {theirs, false}, {reach.None(), false}} {
		_, err := s.Scenario(t.Context(), c.r, id)
		_, ofVersions := s.ScenarioVersions(t.Context(), c.r, id)
		list, _ := s.Scenarios(t.Context(), c.r)
		there := strings.Contains(fmt.Sprint(list), id)
		if (err == nil) != c.want || (ofVersions == nil) != c.want || there != c.want {
			t.Errorf("%s: %v, %v, listed %v", c.r.Key(), err, ofVersions, there)
		}
	}
	other := Actor{Name: "bob", Reach: theirs}
	taken := scenario.Scenario{ID: made[0].ID, Content: made[0].Content}
	taken.Tenants = []string{"b"}
	if _, err := s.SetScenarios(t.Context(), other, []scenario.Scenario{taken}); !errors.Is(err, scenario.ErrNotFound) {
		t.Errorf("taken over: %v", err)
	}
	if err := s.DeleteScenario(t.Context(), other, id); !errors.Is(err, scenario.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	if _, err := s.RestoreScenario(t.Context(), other, id, made[0].Version); !errors.Is(err, scenario.ErrNotFound) {
		t.Errorf("restored: %v", err)
	}
	shipped, err := s.Scenario(t.Context(), theirs, "mining")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetScenarios(t.Context(), other, []scenario.Scenario{{ID: shipped.ID, Content: shipped.Content}}); !errors.Is(err, scenario.ErrInvalid) {
		t.Errorf("a shipped one changed for all: %v", err)
	}
	if err := s.DeleteScenario(t.Context(), chief, id); err != nil {
		t.Error(err)
	}
}
