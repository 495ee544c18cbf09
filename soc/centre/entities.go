package centre

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"icewatch/detections"
	"icewatch/soc/api"
	"icewatch/soc/entity"
)

// openEntities opens what is judged of entities, after ticketing and the engine.
func (c *centre) openEntities(ctx context.Context) (*api.Entities, error) {
	store, err := entity.Open(ctx, c.db)
	if err != nil {
		return nil, err
	}
	watch := entity.NewWatch(store, entity.WatchDeps{
		Search: c.slow.Watch(c.engine, bySchedule), Log: c.log,
		Raise: func(ctx context.Context, o detections.Occurrence) error {
			data, err := json.Marshal([]detections.Occurrence{o})
			if err != nil {
				return fmt.Errorf("centre: raise a sighting: %w", err)
			}
			return c.client.PublishOccurrences(ctx, data)
		},
		Confirmed: func(ctx context.Context, since time.Time, limit int) ([]entity.Confirmed, error) {
			list, err := c.tickets.ConfirmedAttackers(ctx, since, limit)
			out := make([]entity.Confirmed, len(list))
			for i, x := range list {
				out[i] = entity.Confirmed{Tenant: x.Tenant, Attacker: x.Attacker, Alert: x.Alert, Rule: cmp.Or(x.Rule.ZH, x.Rule.EN), Severity: x.Severity, ClosedAt: x.ClosedAt}
			}
			return out, err
		},
	})
	c.background(watch.Run)
	return &api.Entities{Judgements: store, Tickets: c.tickets}, nil
}
