package centre

import (
	"context"
	"time"

	"icewatch/cmdb/risk"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/ticketing"
)

// maxHeard is how many items the risk is told of that sent logs within minutes.
const maxHeard = 100_000

// openRisk keeps the risk of assets, systems and units up to date.
func (c *centre) openRisk(ctx context.Context) error {
	policy, err := settings.Declare(ctx, c.settings, "asset-risk", identity.ScopeSystem, risk.DefaultPolicy, risk.Policy.Check)
	if err != nil {
		return err
	}
	if c.risk, err = risk.Open(ctx, risk.Deps{Items: c.cmdb, Alerts: riskAlerts{c.tickets}, Findings: finding.ForRisk{Service: c.exposure.findings}, Heard: c.heard, Policy: policy.Get, Log: c.log}); err != nil {
		return err
	}
	c.background(c.risk.Run)
	return nil
}

// heard names the items that events of a time are about.
func (c *centre) heard(ctx context.Context, from, to time.Time) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.engine.Heard(ctx, from, to, maxHeard)
}

// riskAlerts tells the risk of ticketing's alerts.
type riskAlerts struct{ *ticketing.Service }

// About implements risk.Alerts.
func (a riskAlerts) About(ctx context.Context, ids []string, since time.Time) ([]risk.Alert, error) {
	list, err := a.ThreatsTo(ctx, ids, since)
	if err != nil {
		return nil, err
	}
	out := make([]risk.Alert, len(list))
	for i, t := range list {
		out[i] = risk.Alert{Item: t.CI, System: t.System, IncidentID: t.Incident, Threat: risk.Threat{ID: t.ID, Name: t.Rule, Severity: t.Severity, Verdict: t.Verdict, At: t.LastSeen,
			Closed: t.Status == ticketing.StatusClosed, Real: t.Closed == "true_positive", Incident: t.Incident != ""}}
	}
	return out, nil
}
