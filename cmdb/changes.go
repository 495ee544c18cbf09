package cmdb

import (
	"context"
	"fmt"
	"time"

	"icewatch/soc/reach"
)

// ChangeFilter narrows a list of changes of any items. Empty fields do not
// narrow.
type ChangeFilter struct {
	Since, Until time.Time // from the first on, before the second
	Action       string    // "created", "updated" or "deleted"
	Class        string
	Actor        string
	Before       int64 // ID of the last entry of the page before
	Limit        int   // 50 where 0, at most 1000
}

// Changes lists what happened to items, newest first, as each entry's History
// would show it.
func (s *Service) Changes(ctx context.Context, r reach.Reach, f ChangeFilter) ([]HistoryEntry, error) {
	var rows []historyRow
	q := s.told(r, s.db.NewSelect().Model(&rows))
	if !f.Since.IsZero() {
		q = q.Where("h.time >= ?", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		q = q.Where("h.time < ?", f.Until.UnixMilli())
	}
	for column, value := range map[string]string{"action": f.Action, "class": f.Class, "actor": f.Actor} {
		if value != "" {
			q = q.Where("h."+column+" = ?", value)
		}
	}
	if f.Before > 0 {
		q = q.Where("h.id < ?", f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	if err := q.Order("h.id DESC").Limit(int64(min(f.Limit, maxLimit))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: list changes: %w", err)
	}
	return entries(rows)
}

// maxLabels is how many labels are told.
const maxLabels = 1000

// LabelCount is a label and how many items carry it.
type LabelCount struct {
	Label string `json:"label" bun:"label"`
	Items int    `json:"items" bun:"n"`
}

// Labels counts the items in reach by their labels, the most used first, at
// most 1000.
func (s *Service) Labels(ctx context.Context, r reach.Reach) ([]LabelCount, error) {
	var out []LabelCount
	q := s.db.NewSelect().TableExpr("cmdb_labels AS l").Join("JOIN cmdb_items AS i ON i.id = l.item_id").ColumnExpr("l.label AS label, count(*) AS n")
	if err := r.Within(q, "i").GroupExpr("l.label").OrderExpr("n DESC, l.label").Limit(maxLabels).Scan(ctx, &out); err != nil {
		return nil, fmt.Errorf("cmdb: count labels: %w", err)
	}
	return out, nil
}
