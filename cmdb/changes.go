package cmdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

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
	After        int64 // ID of an entry: those that follow it are listed, oldest first; 0 is none, Beginning all
	Limit        int   // 50 where 0, at most 1000
}

// Beginning is a ChangeFilter's After that all entries follow.
const Beginning = -1

// Changes lists what happened to items, newest first or, after an entry, oldest
// first, as each entry's History would show it.
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
	order := "h.id DESC"
	if f.After != 0 {
		q, order = q.Where("h.id > ?", f.After), "h.id"
	}
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	if err := q.Order(order).Limit(int64(min(f.Limit, maxLimit))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: list changes: %w", err)
	}
	return entries(rows)
}

// LastChange is the ID of the newest entry, of any item; 0 where there is none.
// Entries become visible in the order of their IDs.
func (s *Service) LastChange(ctx context.Context) (last int64, err error) {
	if err := s.db.NewSelect().Model((*historyRow)(nil)).ColumnExpr("coalesce(max(h.id), 0)").Scan(ctx, &last); err != nil {
		return 0, fmt.Errorf("cmdb: the newest change: %w", err)
	}
	return last, nil
}

// SomeChanges returns those of some entries that a reach is told of now, in the
// order of their IDs.
func (s *Service) SomeChanges(ctx context.Context, r reach.Reach, ids []int64) ([]HistoryEntry, error) {
	var out []HistoryEntry
	for part := range slices.Chunk(ids, chunk) {
		var rows []historyRow
		if err := s.told(r, s.db.NewSelect().Model(&rows)).Where("h.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read %d changes: %w", len(ids), err)
		}
		list, err := entries(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	slices.SortFunc(out, func(a, b HistoryEntry) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// ChangesWait is Changes after an entry, which waits for the first one until
// ctx or the time is over; it then returns none. Tables that another process
// changes are looked at every few seconds.
func (s *Service) ChangesWait(ctx context.Context, r reach.Reach, f ChangeFilter, most time.Duration) ([]HistoryEntry, error) {
	over := time.NewTimer(most)
	defer over.Stop()
	for {
		stir := s.Stir()
		list, err := s.Changes(ctx, r, f)
		if err != nil || len(list) > 0 {
			return list, err
		}
		look := time.NewTimer(otherWriters)
		select {
		case <-stir:
		case <-look.C:
		case <-over.C:
			look.Stop()
			return list, nil
		case <-s.life.Done():
			look.Stop()
			return list, nil
		case <-ctx.Done():
			look.Stop()
			return nil, fmt.Errorf("cmdb: wait for changes: %w", context.Cause(ctx))
		}
		look.Stop()
	}
}

// otherWriters is how often tables are looked at that another process may have
// changed.
const otherWriters = 3 * time.Second

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
