package ticketing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

// Who has looked at an alert knows it: lists tell what is new to the reader from
// what is not. It is the reader's own affair, no step of handling: no timeline
// tells of it.

const (
	maxMarked = 1000                 // alerts marked at once
	readsFor  = 400 * 24 * time.Hour // how long it is remembered
)

// MarkRead notes that somebody has looked at alerts that he sees, or that they are
// to be as new to him again. It returns how many he sees of them.
func (s *Service) MarkRead(ctx context.Context, by Actor, ids []string, read bool) (int, error) {
	if len(ids) == 0 || len(ids) > maxMarked {
		return 0, fmt.Errorf("%w: ids: %d, want 1 to %d", ErrInvalid, len(ids), maxMarked)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var seen []string
	if err := by.Reach.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").Column("id").Where("id IN (?)", bun.In(ids)).OrderExpr("id").Scan(ctx, &seen); err != nil {
		return 0, fmt.Errorf("ticketing: read which of %d alerts are in reach: %w", len(ids), err)
	}
	if len(seen) == 0 {
		return 0, nil
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if !read {
			_, err := tx.NewDelete().Table("ticketing_reads").Where("person = ? AND alert IN (?)", by.Name, bun.In(seen)).Exec(ctx)
			return err
		}
		put := state.NewPut(tx, "ticketing_reads", []string{"person", "alert", "at"}, "ON CONFLICT DO NOTHING")
		defer put.Close()
		for _, id := range seen {
			if err := put.Row(ctx, by.Name, id, s.now().UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ticketing: mark %d alerts: %w", len(seen), err)
	}
	return len(seen), nil
}

// MarkUnread says of alerts which of them are new to somebody.
func (s *Service) MarkUnread(ctx context.Context, person string, list []Alert) error {
	for part := range slices.Chunk(list, idsPerStatement) {
		ids := make([]string, 0, len(part))
		for i := range part {
			ids = append(ids, part[i].ID)
		}
		var read []string
		if err := s.db.NewSelect().Table("ticketing_reads").Column("alert").Where("person = ? AND alert IN (?)", person, bun.In(ids)).OrderExpr("alert").Scan(ctx, &read); err != nil {
			return fmt.Errorf("ticketing: read which alerts %s has looked at: %w", person, err)
		}
		for i := range part {
			_, known := slices.BinarySearchFunc(read, part[i].ID, strings.Compare)
			part[i].Unread = !known
		}
	}
	return nil
}

// pruneReads forgets who looked at what long ago.
func (s *Service) pruneReads(ctx context.Context, now time.Time) error {
	_, err := s.db.NewDelete().Table("ticketing_reads").Where("at < ?", now.Add(-readsFor).UnixMilli()).Exec(ctx)
	return err
}
