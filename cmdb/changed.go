package cmdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/columns"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// CheckChangeFilter tells what is wrong with a filter of ChangedBy; the error
// is ErrQuery.
func (s *Service) CheckChangeFilter(ctx context.Context, expression string) error {
	_, err := s.ChangedBy(ctx, reach.None(), expression, nil)
	return err
}

// ChangedBy tells which of some entries of histories are about an item that a
// filter selects, before or after the change: an item that leaves the filter is
// told of once more, and one that is deleted, too. What an item belonged to is
// looked at as it is now, within reach. How items are related cannot be asked.
func (s *Service) ChangedBy(ctx context.Context, r reach.Reach, expression string, list []HistoryEntry) ([]bool, error) {
	e, err := query.ParseFilter(expression)
	if err != nil {
		return nil, asFilterError(err)
	}
	if has := relational(e); has != nil {
		return nil, &FilterError{has.Pos, "changes are told by what the item itself says, and its system or organisation: a relation has no past to look at"}
	}
	states, err := s.statesOf(ctx, list)
	if err != nil {
		return nil, err
	}
	t := newIndex()
	m := s.Model()
	var seq int32
	put := func(c columns.Editor, it Item) {
		it.seq = seq
		putItem(c, m.Class(it.Class), &it)
		seq++
	}
	above, err := s.aboveOf(ctx, states)
	if err != nil {
		return nil, err
	}
	failed := error(nil)
	t.Change(func(c columns.Editor) {
		for _, st := range states {
			put(c, st.before)
			put(c, st.after)
		}
		for i := range above {
			it, err := above[i].item()
			if err != nil {
				failed = err
				return
			}
			put(c, it)
			c.Text(seq-1, colFacts, factsText(it.Tenant, above[i].Kept))
		}
	})
	if failed != nil {
		return nil, failed
	}
	out := make([]bool, len(list))
	err = t.Read(func(v columns.View) error {
		found, err := (&finder{s: s, m: m, within: r, v: v}).items(e)
		if err != nil {
			return err
		}
		for i, st := range states {
			out[i] = st.before.ID != "" && found.Test(uint(2*i)) || st.after.ID != "" && found.Test(uint(2*i+1))
		}
		return nil
	})
	return out, err
}

// relational is the first part of a filter that follows relations, nil where
// none does.
func relational(e *query.Expr) *query.Expr {
	if e.Kind == query.Has {
		return e
	}
	for _, k := range e.Kids {
		if found := relational(k); found != nil {
			return found
		}
	}
	return nil
}

// around is what an item was before and after a change; one without an ID was
// not there.
type around struct{ before, after Item }

// statesOf goes back from what the items are now to what they were around some
// changes.
func (s *Service) statesOf(ctx context.Context, list []HistoryEntry) ([]around, error) {
	out := make([]around, len(list))
	if len(list) == 0 {
		return out, nil
	}
	at := make(map[int64]int, len(list))
	first := list[0].ID
	var ids []string
	seen := map[string]bool{}
	for i, h := range list {
		at[h.ID], first = i, min(first, h.ID)
		if !seen[h.ItemID] {
			seen[h.ItemID] = true
			ids = append(ids, h.ItemID)
		}
	}
	items := make(map[string]Item, len(ids))
	var rows []historyRow
	// Both are of one moment: an entry between the two would be undone from an
	// item that does not have it yet.
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for start := 0; start < len(ids); start += chunk {
			part := ids[start:min(start+chunk, len(ids))]
			var now []itemRow
			if err := tx.NewSelect().Model(&now).Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
				return fmt.Errorf("read %d items: %w", len(ids), err)
			}
			for i := range now {
				it, err := now[i].item()
				if err != nil {
					return err
				}
				items[it.ID] = it
			}
			var past []historyRow
			if err := tx.NewSelect().Model(&past).Where("h.item_id IN (?) AND h.id >= ?", bun.In(part), first).Order("h.id DESC").Scan(ctx); err != nil {
				return fmt.Errorf("read what changed since entry %d: %w", first, err)
			}
			rows = append(rows, past...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cmdb: what items were: %w", err)
	}
	past, err := entries(rows)
	if err != nil {
		return nil, err
	}
	for _, h := range past {
		it := items[h.ItemID]
		i, asked := at[h.ID]
		if asked {
			out[i].after = it
		}
		switch h.Action {
		case actionCreated:
			it = Item{}
		case actionDeleted:
			it = Item{ID: h.ItemID, Class: h.Class}
			fallthrough
		default:
			if err := it.undo(h.Changes); err != nil {
				return nil, fmt.Errorf("cmdb: history entry %d of %q: %w", h.ID, h.ItemID, err)
			}
		}
		it.Revision = h.Revision - 1
		if asked {
			out[i].before = it
		}
		items[h.ItemID] = it
	}
	return out, nil
}

// aboveOf reads the systems and organisations of items.
func (s *Service) aboveOf(ctx context.Context, states []around) ([]itemRow, error) {
	var ids []string
	seen := map[string]bool{"": true}
	for i := range states {
		for _, id := range []string{states[i].before.System, states[i].before.Organisation, states[i].after.System, states[i].after.Organisation} {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return s.rowsOf(ctx, ids)
}

// Relates tells whether an entry is of a relation that was made or taken away,
// by hand.
func (h *HistoryEntry) Relates() bool {
	for _, c := range h.Changes {
		if strings.HasPrefix(c.Field, relationPrefix) || strings.HasPrefix(c.Field, relatedPrefix) {
			return true
		}
	}
	return false
}
