package silence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

type row struct {
	bun.BaseModel `bun:"table:silence_silences,alias:s"`
	ID            string `bun:"id,pk"`
	Matchers      string `bun:"matchers"`
	StartsAt      int64  `bun:"starts_at"`
	EndsAt        int64  `bun:"ends_at"`
	UpdatedAt     int64  `bun:"updated_at"`
	CreatedBy     string `bun:"created_by"`
	Comment       string `bun:"comment"`
	Annotations   string `bun:"annotations"`
	Reach         string `bun:"reach"`
	Rule          string `bun:"rrule"`
	Lasts         int64  `bun:"lasts"`
	Zone          string `bun:"zone"`
	NoData        bool   `bun:"no_data"`
	Dropped       int    `bun:"dropped"`
	Owner         string `bun:"owner"`
	Receiver      string `bun:"receiver"`
	Noticed       string `bun:"noticed"`
}

func (s *Store) read(ctx context.Context, q *bun.SelectQuery) ([]*Silence, error) {
	var rows []row
	if err := q.Model(&rows).OrderExpr("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("silence: read silences: %w", err)
	}
	list := make([]*Silence, 0, len(rows))
	for _, r := range rows {
		l := &Silence{ID: r.ID, StartsAt: time.UnixMilli(r.StartsAt).UTC(), EndsAt: time.UnixMilli(r.EndsAt).UTC(),
			UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), CreatedBy: r.CreatedBy, Comment: r.Comment, NoData: r.NoData, Dropped: r.Dropped, Owner: r.Owner, Receiver: r.Receiver}
		err := errors.Join(json.Unmarshal([]byte(r.Matchers), &l.Matchers), json.Unmarshal([]byte(r.Reach), &l.Terms))
		if r.Rule != "" {
			l.Recurrence = &Recurrence{Rule: r.Rule, Lasts: time.Duration(r.Lasts) * time.Millisecond, Zone: r.Zone}
			err = errors.Join(err, l.Recurrence.compile(l.StartsAt))
		}
		if r.Annotations != "" {
			err = errors.Join(err, json.Unmarshal([]byte(r.Annotations), &l.Annotations))
		}
		if err != nil {
			return nil, fmt.Errorf("silence: read silence %s: %w", r.ID, err)
		}
		list = append(list, l)
	}
	return list, nil
}

func write(ctx context.Context, db bun.IDB, l *Silence) error {
	matchers, err1 := json.Marshal(l.Matchers)
	terms, err2 := json.Marshal(l.Terms)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("silence: encode silence %s: %w", l.ID, err)
	}
	r := row{ID: l.ID, Matchers: string(matchers), StartsAt: l.StartsAt.UnixMilli(), EndsAt: l.EndsAt.UnixMilli(), UpdatedAt: l.UpdatedAt.UnixMilli(),
		CreatedBy: l.CreatedBy, Comment: l.Comment, Reach: string(terms), NoData: l.NoData, Dropped: l.Dropped, Owner: l.Owner, Receiver: l.Receiver}
	if l.Recurrence != nil {
		r.Rule, r.Lasts, r.Zone = l.Recurrence.Rule, l.Recurrence.Lasts.Milliseconds(), l.Recurrence.Zone
	}
	if len(l.Annotations) > 0 {
		a, err := json.Marshal(l.Annotations)
		if err != nil {
			return fmt.Errorf("silence: encode silence %s: %w", l.ID, err)
		}
		r.Annotations = string(a)
	}
	_, err := db.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("matchers = EXCLUDED.matchers, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at, updated_at = EXCLUDED.updated_at, created_by = EXCLUDED.created_by, comment = EXCLUDED.comment, annotations = EXCLUDED.annotations, reach = EXCLUDED.reach, rrule = EXCLUDED.rrule, lasts = EXCLUDED.lasts, zone = EXCLUDED.zone, no_data = EXCLUDED.no_data, owner = EXCLUDED.owner, receiver = EXCLUDED.receiver, noticed = ''").
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("silence: write silence %s: %w", l.ID, err)
	}
	return nil
}
