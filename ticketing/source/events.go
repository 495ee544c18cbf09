package source

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/search"
)

// How events are read: so many are looked at at a time, and so often where there
// were no more.
const (
	eventsPerLook = 2000
	eventPause    = time.Second
)

// readEvents makes messages of the events that pass the source's filter, in the
// order in which they came, until ctx ends. The place is noted in the
// transaction that takes them in, so that each is taken once.
func (s *Service) readEvents(ctx context.Context, t *task) error {
	one := t.source
	within, err := s.deps.Reach(one.Tenant)
	if err != nil {
		return err
	}
	var h healthRow
	if err := s.db.NewSelect().Model(&h).Where("source = ?", one.ID).Scan(ctx); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	var place search.Place
	if h.Place != "" {
		if err := json.Unmarshal([]byte(h.Place), &place); err != nil {
			return fmt.Errorf("source: the place of %s: %w", one.Name, err)
		}
	} else {
		end := search.Newest
		if one.content.Events.From == "beginning" {
			end = search.Oldest
		}
		if place, err = s.deps.Arrivals.Locate(ctx, end); err != nil {
			return fmt.Errorf("where it begins is not known yet: %w", err)
		}
	}
	for {
		got, err := s.deps.Arrivals.Arrivals(ctx, search.Arriving{Reach: within, Query: one.content.Events.Filter, From: place, Events: eventsPerLook})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("events cannot be read: %w", err)
		}
		if got.Lost {
			s.deps.Log.Error("alert sources: the bus began anew: events before that are no alerts any more", "source", one.Name, "place", place, "next", got.Next)
		}
		if current := s.byID(one.ID); current != nil {
			one = current // its template may have changed meanwhile
		}
		var done []mapped
		now := s.now()
		for _, e := range got.Events {
			if !got.Lost && place.Before(e.ID) {
				continue
			}
			m := one.work(ctx, Message{Body: e.Row, Meta: map[string]string{"event": e.ID.String()}}, now)
			if ctx.Err() != nil {
				return nil
			}
			done = append(done, m)
		}
		if got.Next != place || len(done) > 0 {
			text, _ := json.Marshal(got.Next) // texts and numbers always encode
			note := func(ctx context.Context, tx bun.Tx) error {
				_, err := tx.NewUpdate().Model((*healthRow)(nil)).Set("place = ?", string(text)).Where("source = ?", one.ID).Exec(ctx)
				return err
			}
			if len(done) > 0 {
				err = s.keep(ctx, one, done, now, note)
			} else {
				err = s.db.RunInTx(ctx, nil, note)
			}
			if err != nil {
				return err
			}
			place = got.Next
		}
		t.fine(s.now())
		if !got.More && !sleep(ctx, eventPause) {
			return nil
		}
	}
}
