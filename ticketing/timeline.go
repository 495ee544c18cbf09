package ticketing

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

func (s *Service) timeline(ctx context.Context, object string) ([]TimelineEntry, error) {
	var rows []timelineRow
	if err := s.db.NewSelect().Model(&rows).Where("object = ?", object).OrderExpr("seq").Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read the timeline of %s: %w", object, err)
	}
	out := make([]TimelineEntry, 0, len(rows))
	for i := range rows {
		out = append(out, rows[i].view())
	}
	return out, nil
}

// visibleEntries leaves out of an incident's timeline what tells of alerts that
// are not in reach.
func (s *Service) visibleEntries(ctx context.Context, r reach.Reach, timeline []TimelineEntry) ([]TimelineEntry, error) {
	alertsOf := func(e *TimelineEntry) (ids []string) {
		if id, ok := e.Data["alert_id"].(string); ok {
			ids = append(ids, id)
		}
		list, _ := e.Data["alert_ids"].([]any)
		for _, v := range list {
			if id, ok := v.(string); ok {
				ids = append(ids, id)
			}
		}
		return ids
	}
	var all []string
	for n := range timeline {
		all = append(all, alertsOf(&timeline[n])...)
	}
	visible := map[string]bool{}
	for part := range slices.Chunk(all, idsPerStatement) {
		var ids []string
		if err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").Column("id").Where("id IN (?)", bun.In(part)).Scan(ctx, &ids); err != nil {
			return nil, fmt.Errorf("ticketing: which of %d alerts are in reach: %w", len(part), err)
		}
		for _, id := range ids {
			visible[id] = true
		}
	}
	out := timeline[:0]
	for _, e := range timeline {
		ids := alertsOf(&e)
		seen := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !visible[id] })
		switch {
		case len(ids) > 0 && len(seen) == 0:
			continue
		case len(seen) < len(ids):
			e.Text, e.Data = takenIn(len(seen)), map[string]any{"alert_ids": seen}
		}
		out = append(out, e)
	}
	return out, nil
}
