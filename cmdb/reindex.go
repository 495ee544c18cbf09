package cmdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// indexAll makes the index rows and relations of the items that a migration
// left without.
func (s *Service) indexAll(ctx context.Context) error {
	for {
		var seqs []int32
		if err := s.db.NewSelect().Table("cmdb_unindexed").Column("seq").Order("seq").Limit(maxLimit).Scan(ctx, &seqs); err != nil {
			return fmt.Errorf("cmdb: read what to index: %w", err)
		}
		if len(seqs) == 0 {
			return nil
		}
		err := s.write(ctx, shippedActor, func(ctx context.Context, w *writer) error {
			if err := w.index(ctx, seqs); err != nil {
				return err
			}
			_, err := w.tx.NewDelete().Table("cmdb_unindexed").Where("seq IN (?)", bun.In(seqs)).Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("cmdb: index items: %w", err)
		}
	}
}

// index adds the values and relations of items that have none yet.
func (w *writer) index(ctx context.Context, seqs []int32) error {
	w.dirty = true
	var rows []itemRow
	if err := w.tx.NewSelect().Model(&rows).Where("i.seq IN (?)", bun.In(seqs)).Scan(ctx); err != nil {
		return err
	}
	list, err := items(rows)
	if err != nil {
		return err
	}
	m := w.s.Model()
	var ids []string
	for i := range list {
		ids = append(ids, referencesOf(m.Class(list[i].Class), &list[i])...)
	}
	known, err := seqsOf(ctx, w.tx, ids)
	if err != nil {
		return err
	}
	var values []valueRow
	var relations []relationRow
	for i := range list {
		it, c := &list[i], m.Class(list[i].Class)
		values = slices.AppendSeq(values, maps.Keys(w.s.valuesOf(c, it)))
		for _, l := range linksOf(c, it, func(id string) int32 { return known[id] }) {
			l.Actor, l.CreatedAt = w.actor, it.UpdatedAt.UnixMilli()
			relations = append(relations, l)
		}
	}
	if err := w.reindex(ctx, nil, values); err != nil {
		return err
	}
	if err := w.addRelations(ctx, relations); err != nil {
		return err
	}
	return w.generate(ctx, seqs, nil)
}

// seqsOf reads the numbers of items by their ids.
func seqsOf(ctx context.Context, db bun.IDB, ids []string) (map[string]int32, error) {
	slices.Sort(ids)
	out := map[string]int32{}
	for part := range slices.Chunk(slices.Compact(ids), chunk) {
		var rows []itemRow
		if err := db.NewSelect().Model(&rows).Column("id", "seq").Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read the numbers of items: %w", err)
		}
		for i := range rows {
			out[rows[i].ID] = rows[i].Seq
		}
	}
	return out, nil
}

// ruledFields are the fields whose values are kept for the rules of a model: the
// others that rules look at have columns or tables of their own.
func ruledFields(m *model.Model) map[string]bool {
	out := map[string]bool{}
	for i := range m.Rules {
		for _, c := range m.Rules[i].Where {
			for _, field := range []string{c.From, c.To} {
				if c.Op == model.Equal && !slices.Contains([]string{colName, colZone, colAddress, colLabel}, field) {
					out[field] = true
				}
			}
		}
	}
	return out
}

// startValues keeps the values that the rules of the model in force look at,
// and no others.
func (s *Service) startValues(ctx context.Context) error {
	var have []string
	if err := s.db.NewSelect().Table("cmdb_valued").Column("attribute").Scan(ctx, &have); err != nil {
		return fmt.Errorf("cmdb: read whose values are kept: %w", err)
	}
	needed, valued := ruledFields(s.Model()), map[string]bool{}
	var surplus []string
	for _, field := range have {
		if needed[field] {
			valued[field] = true
		} else {
			surplus = append(surplus, field)
		}
	}
	s.valued.Store(&valued)
	if len(surplus) > 0 {
		err := s.write(ctx, shippedActor, func(ctx context.Context, w *writer) error {
			for _, table := range []string{"cmdb_valued", "cmdb_values"} {
				if _, err := w.tx.NewDelete().Table(table).Where("attribute IN (?)", bun.In(surplus)).Exec(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cmdb: give up the values of %s: %w", strings.Join(surplus, ", "), err)
		}
	}
	return s.keepValues(ctx, needed)
}

// keepValues keeps the values of some fields as well from now on, and brings in
// those that items have already.
func (s *Service) keepValues(ctx context.Context, fields map[string]bool) error {
	valued := maps.Clone(*s.valued.Load())
	var fresh []string
	for field := range fields {
		if !valued[field] {
			valued[field] = true
			fresh = append(fresh, field)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	slices.Sort(fresh)
	// From here on every change keeps them. They count as kept only at the
	// end: a start after a crash begins anew.
	s.valued.Store(&valued)
	for after, more := int32(0), true; more; {
		err := s.write(ctx, shippedActor, func(ctx context.Context, w *writer) error {
			var rows []itemRow
			if err := w.tx.NewSelect().Model(&rows).Where("i.seq > ?", after).Order("i.seq").Limit(maxLimit).Scan(ctx); err != nil {
				return err
			}
			list, err := items(rows)
			if err != nil {
				return err
			}
			var values []valueRow
			for i := range list {
				after = list[i].seq
				values = slices.AppendSeq(values, maps.Keys(s.valuesOf(s.Model().Class(list[i].Class), &list[i])))
			}
			more = len(list) == maxLimit
			return w.reindex(ctx, nil, values)
		})
		if err != nil {
			return fmt.Errorf("cmdb: bring in the values of %s: %w", strings.Join(fresh, ", "), err)
		}
	}
	return s.write(ctx, shippedActor, func(ctx context.Context, w *writer) error {
		for _, field := range fresh {
			if _, err := w.tx.ExecContext(ctx, "INSERT INTO cmdb_valued (attribute) VALUES (?) ON CONFLICT DO NOTHING", field); err != nil {
				return fmt.Errorf("cmdb: note that the values of %s are kept: %w", field, err)
			}
		}
		return nil
	})
}
