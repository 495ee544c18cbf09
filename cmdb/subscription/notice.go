package subscription

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

type noticeRow struct {
	bun.BaseModel `bun:"table:cmdb_notices,alias:n"`
	Owner         string `bun:"owner,pk"`
	Entry         int64  `bun:"entry,pk"`
	Subscription  string `bun:"subscription"`
	Read          bool   `bun:"read"`
}

// Notice is a change that somebody is told of in the console.
type Notice struct {
	Change       cmdb.HistoryEntry `json:"change"`
	Kind         string            `json:"kind" enum:"created,updated,deleted,related"`
	Subscription string            `json:"subscription" doc:"Id of the first one that told of it"`
	Read         bool              `json:"read"`
}

// notice notes changes for a subscription's owner, and forgets his oldest
// notices where there are too many. A change that two subscriptions tell of is
// noted once.
func notice(ctx context.Context, tx bun.Tx, r *row, list []cmdb.HistoryEntry) error {
	rows := make([]noticeRow, len(list))
	for i, h := range list {
		rows[i] = noticeRow{Owner: r.Owner, Entry: h.ID, Subscription: r.ID}
	}
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (owner, entry) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("note %d changes: %w", len(list), err)
	}
	_, err := tx.NewDelete().Model((*noticeRow)(nil)).Where("owner = ?", r.Owner).
		Where("entry <= (SELECT entry FROM cmdb_notices WHERE owner = ? ORDER BY entry DESC LIMIT 1 OFFSET ?)", r.Owner, keep).Exec(ctx)
	if err != nil {
		return fmt.Errorf("forget old notices: %w", err)
	}
	return nil
}

// Notices lists what a person is told in the console, newest first, as far as
// it is within his reach now. before is the entry of the last one of the page
// before, 0 for the first page.
func (s *Service) Notices(ctx context.Context, user string, within reach.Reach, unread bool, before int64, limit int) ([]Notice, error) {
	out := []Notice{}
	for {
		var rows []noticeRow
		q := s.db.NewSelect().Model(&rows).Where("owner = ?", user).OrderExpr("entry DESC").Limit(int64(limit))
		if before > 0 {
			q = q.Where("entry < ?", before)
		}
		if unread {
			q = q.Where("NOT read")
		}
		if err := q.Scan(ctx); err != nil {
			return nil, fmt.Errorf("subscription: list notices: %w", err)
		}
		ids := make([]int64, len(rows))
		for i, r := range rows {
			ids[i] = r.Entry
		}
		list, err := s.deps.Items.SomeChanges(ctx, within, ids)
		if err != nil {
			return nil, err
		}
		seen := make(map[int64]*cmdb.HistoryEntry, len(list))
		for i := range list {
			seen[list[i].ID] = &list[i]
		}
		for _, r := range rows {
			before = r.Entry
			h := seen[r.Entry]
			if h == nil {
				continue
			}
			if out = append(out, Notice{Change: *h, Kind: kindOf(h), Subscription: r.Subscription, Read: r.Read}); len(out) == limit {
				return out, nil
			}
		}
		if len(rows) < limit {
			return out, nil
		}
	}
}

// Mark marks notices of a person as read or as unread, by their entries; none
// named means all. It returns how many changed.
func (s *Service) Mark(ctx context.Context, user string, entries []int64, read bool) (int, error) {
	q := s.db.NewUpdate().Model((*noticeRow)(nil)).Set("read = ?", read).Where("owner = ? AND read <> ?", user, read)
	if len(entries) > 0 {
		q = q.Where("entry IN (?)", bun.In(entries))
	}
	done, err := q.Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("subscription: mark notices: %w", err)
	}
	n, err := done.RowsAffected()
	return int(n), err
}
