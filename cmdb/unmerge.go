package cmdb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// Merges lists merges whose item that stays is in reach, the newest first. item narrows
// it to those of an item, whichever of the two it was, where it is not empty. before is
// the time of the last one of the page before, zero for the first page.
func (s *Service) Merges(ctx context.Context, r reach.Reach, item string, before time.Time, limit int) ([]Merge, error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	var rows []mergeRow
	stays := r.Within(s.db.NewSelect().TableExpr("cmdb_items AS i").ColumnExpr("1").Where("i.id = m.keep_id"), "i")
	q := s.db.NewSelect().Model(&rows).Where("EXISTS (?)", stays)
	if item != "" {
		q = q.Where("(m.keep_id = ? OR m.gone_id = ?)", item, item)
	}
	if !before.IsZero() {
		q = q.Where("m.time < ?", before.UnixMilli())
	}
	if err := q.Order("m.time DESC", "m.id").Limit(int64(min(limit, maxLimit))).Scan(ctx); err != nil {
		return nil, fmt.Errorf("cmdb: list merges: %w", err)
	}
	out := make([]Merge, len(rows))
	for i := range rows {
		d, err := rows[i].told()
		if err != nil {
			return nil, err
		}
		out[i] = d.Merge
	}
	return out, nil
}

// UndoMerge takes a merge back: both items, what referred to them and their relations
// are what they were. What agents and discoveries wrote since is theirs to write again;
// where a person changed a field that the merge had changed, or one of the items is
// gone, the error is ErrConflict and nothing is changed. The revisions of items go on.
func (s *Service) UndoMerge(ctx context.Context, r reach.Reach, actor, id string) (Merge, error) {
	var out Merge
	err := s.write(ctx, actor, func(ctx context.Context, w *writer) error {
		var rows []mergeRow
		if err := w.tx.NewSelect().Model(&rows).Where("m.id = ?", id).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: read the merge %q: %w", id, err)
		}
		if len(rows) == 0 {
			return fmt.Errorf("%w: merge %q", ErrNotFound, cutText(id, 64))
		}
		doc, err := rows[0].told()
		if err != nil {
			return err
		}
		if _, err := getRow(ctx, w.tx, r, doc.Keep.ID); err != nil {
			return err
		}
		if doc.UndoneAt != nil {
			return fmt.Errorf("%w: the merge was taken back by %s at %s", ErrConflict, doc.UndoneBy, doc.UndoneAt.Format(time.RFC3339))
		}
		if err := w.unmerge(ctx, r, doc); err != nil {
			return err
		}
		rows[0].UndoneAt, rows[0].UndoneBy = s.now().UnixMilli(), actor
		if _, err := w.tx.NewUpdate().Model(&rows[0]).Column("undone_at", "undone_by").WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: note that the merge %q was taken back: %w", id, err)
		}
		if doc, err = rows[0].told(); err == nil {
			out = doc.Merge
		}
		return err
	})
	return out, err
}

func (w *writer) unmerge(ctx context.Context, r reach.Reach, doc *mergeDoc) error {
	refs := make([]Ref, len(doc.Before))
	for i := range doc.Before {
		it := &doc.Before[i]
		refs[i] = Ref{ID: it.ID, Class: it.Class, Name: it.Name}
		if err := w.s.busy(it.Class); err != nil {
			return err
		}
	}
	if err := w.s.guard(refs); err != nil {
		return err
	}
	if _, err := getRow(ctx, w.tx, reach.All(), doc.Gone.ID); err == nil {
		return fmt.Errorf("%w: there is an item %q again", ErrConflict, doc.Gone.ID)
	}
	var drafts []*draft
	untouched := map[string]time.Time{} // when those were changed last that nobody changed since
	for i := range doc.Before {
		was := doc.Before[i]
		if was.ID == doc.Gone.ID {
			drafts = append(drafts, wholeDraft(was))
			untouched[was.ID] = was.UpdatedAt
			continue
		}
		at := slices.IndexFunc(doc.After, func(it Item) bool { return it.ID == was.ID })
		if at < 0 {
			continue // the merge did not change it
		}
		now, err := w.asBefore(ctx, r, &was, &doc.After[at])
		if err != nil {
			return err
		}
		if len(diff(&was, &now)) == 0 {
			untouched[was.ID] = was.UpdatedAt
		}
		drafts = append(drafts, wholeDraft(now))
	}
	if err := w.restore(ctx, r, drafts, doc, untouched); err != nil {
		return err
	}
	return w.restoreRelations(ctx, doc)
}

// asBefore is an item as it is, with the fields that a merge changed as they were.
func (w *writer) asBefore(ctx context.Context, r reach.Reach, was, after *Item) (Item, error) {
	row, err := getRow(ctx, w.tx, r, was.ID)
	if err != nil {
		return Item{}, fmt.Errorf("%w: %s %q is gone, or out of your reach", ErrConflict, was.Class, was.Name)
	}
	now, err := row.item()
	if err != nil {
		return Item{}, err
	}
	from, err := w.sources(ctx, was.ID)
	if err != nil {
		return Item{}, err
	}
	merged := diff(was, after)
	for _, c := range diff(after, &now) {
		ours := slices.ContainsFunc(merged, func(m Change) bool { return m.Field == c.Field })
		if ours && worth(from[c.Field]) == bySomebody {
			return Item{}, fmt.Errorf("%w: %s changed the field %s of %s %q since", ErrConflict, from[c.Field], c.Field, was.Class, was.Name)
		}
	}
	return now, now.undo(merged)
}

// restore stores the items of a merge as they were before it.
func (w *writer) restore(ctx context.Context, r reach.Reach, drafts []*draft, doc *mergeDoc, untouched map[string]time.Time) error {
	p := &planner{db: w.tx, model: w.s.Model(), tenants: w.s.tenants, within: r, now: w.s.now(), back: true, drafts: drafts}
	if err := p.run(ctx); err != nil {
		return err
	}
	if p.errs.total > 0 {
		return &InvalidError{Errors: p.errs.list}
	}
	seq, err := w.numbers(ctx, 1)
	if err != nil {
		return err
	}
	changes := make([]itemChange, len(drafts))
	ids := make([]string, len(drafts))
	for i, d := range drafts {
		if d.old == nil {
			// Defaults of the class are none of what it was.
			d.final = d.want
			d.final.identity, d.final.seq = identityOf(d.class, &d.final), seq
			d.final.Revision = doc.Before[1].Revision + 2 // its end was one
		} else {
			d.final.Revision = d.old.Revision + 1
		}
		d.final.UpdatedAt = p.now
		if at, ok := untouched[d.final.ID]; ok {
			d.final.UpdatedAt = at
		}
		d.final.fill()
		ids[i] = d.final.ID
		changes[i] = itemChange{old: d.old, new: &d.final, class: d.class}
	}
	if err := w.storeItems(ctx, changes, p.seqOf, p.now); err != nil {
		return err
	}
	hidden, err := outside(ctx, w.tx, r, ids)
	if err == nil && len(hidden) > 0 {
		err = fmt.Errorf("%w: an item of the merge would lie outside of your reach", ErrConflict)
	}
	return err
}

// restoreRelations gives the items of a merge the relations that they had.
func (w *writer) restoreRelations(ctx context.Context, doc *mergeDoc) error {
	var ids []string
	for _, list := range [][]keptRelation{doc.Held, doc.Moved} {
		for _, r := range list {
			ids = append(ids, r.From, r.To)
		}
	}
	seqs, err := seqsOf(ctx, w.tx, ids)
	if err != nil {
		return err
	}
	for _, r := range doc.Moved {
		if err := w.dropRelations(ctx, "from_seq = ? AND type = ? AND to_seq = ? AND origin = ?", seqs[r.From], r.Type, seqs[r.To], r.Origin); err != nil {
			return err
		}
	}
	var add []relationRow
	for _, r := range doc.Held {
		from, to := seqs[r.From], seqs[r.To]
		if from == 0 || to == 0 {
			continue // its other end went since
		}
		if slices.Contains(byHand, r.Origin) {
			if r.From == doc.Gone.ID || r.To == doc.Gone.ID {
				add = append(add, relationRow{From: from, Type: r.Type, To: to, Origin: r.Origin, Actor: r.Actor, CreatedAt: r.CreatedAt})
			}
			continue
		}
		// Those that follow from fields and rules were made anew: who made them first,
		// and when, is as it was.
		q := w.tx.NewUpdate().Model((*relationRow)(nil)).Set("actor = ?, created_at = ?", r.Actor, r.CreatedAt)
		if _, err := q.Where("from_seq = ? AND type = ? AND to_seq = ? AND origin = ?", from, r.Type, to, r.Origin).Exec(ctx); err != nil {
			return fmt.Errorf("cmdb: give relations back: %w", err)
		}
	}
	if err := w.addRelations(ctx, add); err != nil {
		return err
	}
	ends, err := w.idsOf(ctx, add)
	if err != nil {
		return err
	}
	now := w.s.now()
	var history []historyRow
	for _, r := range add {
		a, b := ends[r.From], ends[r.To]
		history = append(history, linked(a, relationPrefix+r.Type, "", b.ID, w.actor, now), linked(b, relatedPrefix+r.Type, "", a.ID, w.actor, now))
	}
	if err := keepHistory(ctx, w.tx, history, nil); err != nil {
		return fmt.Errorf("cmdb: store history: %w", err)
	}
	return nil
}

// OnlyDiscovered tells of items which of them nobody but discoveries made and changed.
func (s *Service) OnlyDiscovered(ctx context.Context, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for part := range slices.Chunk(ids, chunk) {
		var rows []struct {
			ItemID string `bun:"item_id"`
			Actor  string `bun:"actor"`
		}
		if err := s.db.NewSelect().Model((*historyRow)(nil)).ColumnExpr("DISTINCT h.item_id AS item_id, h.actor AS actor").Where("h.item_id IN (?)", bun.In(part)).Scan(ctx, &rows); err != nil {
			return nil, fmt.Errorf("cmdb: who changed items: %w", err)
		}
		for _, r := range rows {
			known, ok := out[r.ItemID]
			out[r.ItemID] = (known || !ok) && strings.HasPrefix(r.Actor, "scan ")
		}
	}
	return out, nil
}
