package cmdb

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"
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
		for _, v := range valuesOf(c, it) {
			values = append(values, v)
		}
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
	return w.generate(ctx, seqs)
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
