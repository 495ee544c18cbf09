package centre

import (
	"context"

	"icewatch/detections"
	"icewatch/soc/api"
	"icewatch/soc/backtest"
	"icewatch/soc/backtest/book"
	"icewatch/soc/reach"
)

// openBacktests opens the backtests that people ask for, and runs them.
func (c *centre) openBacktests(ctx context.Context) (*api.Backtests, error) {
	b, err := book.Open(ctx, c.db, c.log)
	if err != nil {
		return nil, err
	}
	c.background(b.Run)
	return &api.Backtests{Book: b, Run: c.engine.Backtest, Joins: c.joins}, nil
}

// joins tells of alerts that a backtest raised which incidents of then would have
// taken them in.
func (c *centre) joins(ctx context.Context, within reach.Reach, list []backtest.FiredAlert) error {
	occs := make([]detections.Occurrence, len(list))
	for i := range list {
		a := &list[i]
		occs[i] = detections.Occurrence{Key: a.Key, Tenant: a.Tenant, From: a.First, Time: a.Last, Group: a.Group, Fields: a.Facts, Rule: detections.RuleRef{ID: a.Rule}}
	}
	found, err := c.tickets.WouldJoin(ctx, within, occs)
	for i := range found {
		if found[i].ID != "" {
			list[i].Incident = &backtest.JoinedIncident{ID: found[i].ID, Title: found[i].Title, By: found[i].By}
		}
	}
	return err
}
