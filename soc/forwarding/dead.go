package forwarding

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/valyala/fastjson"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// A dead letter is an event that a target does not want, whatever one does:
// its mapping refuses a value, or it is too large. Only its id is kept; the
// event itself stays in the lake, for as long as that keeps it.

type deadRow struct {
	bun.BaseModel `bun:"table:forward_dead,alias:d"`

	ID     int64  `bun:"id,pk,autoincrement"`
	Target string `bun:"target"`
	Event  string `bun:"event"`
	Reason string `bun:"reason"`
	At     int64  `bun:"at"`
}

// Letter is a dead letter.
type Letter struct {
	ID     int64     `json:"id"`
	Event  string    `json:"event" doc:"event.id"`
	Reason string    `json:"reason" doc:"Why the target does not want it, in its words"`
	At     time.Time `json:"at"`
}

// Choice picks dead letters.
type Choice struct {
	IDs []int64 `json:"ids,omitempty" maxItems:"10000"`
	All bool    `json:"all,omitempty"`
}

// Done is how dead letters fared.
type Done struct {
	Done   int `json:"done"`
	Failed int `json:"failed" doc:"Still not wanted, or not there any more"`
}

// Letters lists the dead letters of a target, oldest first, after the one with
// an id. next is "" where there are no more.
func (s *Service) Letters(ctx context.Context, a Asker, id, cursor string, limit int) (list []Letter, total int, next string, err error) {
	if _, err := s.get(ctx, a, id); err != nil {
		return nil, 0, "", err
	}
	after := int64(0)
	if cursor != "" {
		if after, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", ErrInvalid)
		}
	}
	var rows []deadRow
	err = s.db.NewSelect().Model(&rows).Where("target = ?", id).Where("id > ?", after).Order("id").Limit(int64(limit + 1)).Scan(ctx)
	if err == nil {
		total, err = s.deadOf(ctx, id)
	}
	if err != nil {
		return nil, 0, "", fmt.Errorf("forward: list the dead letters: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = strconv.FormatInt(rows[limit-1].ID, 10)
	}
	list = []Letter{}
	for _, r := range rows {
		list = append(list, Letter{r.ID, r.Event, r.Reason, time.UnixMilli(r.At).UTC()})
	}
	return list, total, next, nil
}

// deadOf counts the dead letters of a target.
func (s *Service) deadOf(ctx context.Context, id string) (int, error) {
	n, err := s.db.NewSelect().Model((*deadRow)(nil)).Where("target = ?", id).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("forward: count the dead letters of %s: %w", id, err)
	}
	return int(n), nil
}

// chosen reads some dead letters.
func (s *Service) chosen(ctx context.Context, id string, c Choice) ([]deadRow, error) {
	var rows []deadRow
	q := s.db.NewSelect().Model(&rows).Where("target = ?", id).Order("id")
	switch {
	case c.All == (len(c.IDs) > 0):
		return nil, fmt.Errorf("%w: ids or all is right, and not both", ErrInvalid)
	case !c.All:
		q = q.Where("id IN (?)", bun.List(c.IDs))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("forward: read dead letters: %w", err)
	}
	return rows, nil
}

// Discard gives dead letters up.
func (s *Service) Discard(ctx context.Context, a Asker, id string, c Choice) (Done, error) {
	if _, err := s.get(ctx, a, id); err != nil {
		return Done{}, err
	}
	rows, err := s.chosen(ctx, id, c)
	if err != nil {
		return Done{}, err
	}
	return Done{Done: len(rows)}, s.bury(ctx, rows)
}

// bury removes dead letters.
func (s *Service) bury(ctx context.Context, rows []deadRow) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), 500)]
		rows = rows[len(part):]
		ids := make([]int64, len(part))
		for i, r := range part {
			ids[i] = r.ID
		}
		if _, err := s.db.NewDelete().Model((*deadRow)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
			return fmt.Errorf("forward: remove dead letters: %w", err)
		}
	}
	return nil
}

// Retry sends dead letters again, as the owner sees their events now.
func (s *Service) Retry(ctx context.Context, a Asker, id string, c Choice) (done Done, err error) {
	t, err := s.get(ctx, a, id)
	if err != nil {
		return done, err
	}
	if t.content.Kind == RemoteWrite {
		return done, fmt.Errorf("%w: samples that were refused are not kept and cannot be sent again", ErrConflict)
	}
	rows, err := s.chosen(ctx, id, c)
	if err != nil || len(rows) == 0 {
		return done, err
	}
	within, _, err := s.as(ctx, t.owner, t.content.Tenant, "", time.Time{})
	if err != nil {
		return done, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	snd, err := open(&t.content, t.secrets, s.deps.Dial, s.host)
	if err != nil {
		return done, err
	}
	defer snd.Close()
	var parser fastjson.Parser
	for len(rows) > 0 {
		part := rows[:min(len(rows), maxEvents/4)]
		rows = rows[len(part):]
		var of []deadRow
		var events []Event
		for _, r := range part {
			row, err := s.deps.Event(ctx, within, r.Event)
			eid, ok := event.ParseID(r.Event)
			if errors.Is(err, search.ErrNotFound) || !ok {
				done.Failed++
				if err := s.renew(ctx, r, "the event is not there any more, or not within the owner's reach"); err != nil {
					return done, err
				}
				continue
			}
			if err != nil {
				return done, err
			}
			e, err := newEvent(&parser, search.ArrivedEvent{ID: eid, Row: row}, t.content.Original)
			if err != nil {
				return done, err
			}
			of, events = append(of, r), append(events, e)
		}
		b := newBatch(events)
		serr := snd.Send(ctx, b)
		refused := map[int]string{}
		for _, x := range b.refused {
			refused[x.at] = x.reason
		}
		var gone []deadRow
		for i, settled := range b.settled {
			reason, again := refused[i]
			switch {
			case !settled:
			case again:
				done.Failed++
				if err := s.renew(ctx, of[i], reason); err != nil {
					return done, err
				}
			default:
				done.Done++
				gone = append(gone, of[i])
			}
		}
		if err := s.bury(ctx, gone); err != nil {
			return done, err
		}
		if serr != nil {
			return done, fmt.Errorf("%w: %d dead letters were sent, then: %w", ErrConflict, done.Done, serr)
		}
	}
	return done, nil
}

// renew says anew why an event is a dead letter.
func (s *Service) renew(ctx context.Context, r deadRow, reason string) error {
	r.Reason, r.At = reason, time.Now().UnixMilli()
	if _, err := s.db.NewUpdate().Model(&r).Column("reason", "at").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	return nil
}
