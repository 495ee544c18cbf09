package ticketing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
)

// Linked are the incidents that a notification's link acknowledges, as somebody
// of the reach sees them: ErrNotFound where he sees none. It is
// outbox.ErrLinkOver where all that he sees were opened anew since: what was told
// before is not what is to be looked after now.
func (s *Service) Linked(ctx context.Context, within reach.Reach, l outbox.Link) ([]Incident, error) {
	var out []Incident
	var refused error
	for _, id := range l.Incidents {
		i, err := s.Incident(ctx, within, id)
		if err == nil {
			err = s.linkHolds(ctx, s.db, id, l)
		}
		switch {
		case err == nil:
			out = append(out, i.Incident)
		case errors.Is(err, ErrNotFound), errors.Is(err, outbox.ErrLinkOver):
			refused = graver(refused, err)
		default:
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, refused
	}
	return out, nil
}

// graver chooses which refusal says more of a link none of whose incidents is
// left: that somebody looks after one, then that one was opened anew, then that
// none is seen.
func graver(a, b error) error {
	rank := func(err error) int {
		var conflict *Conflict
		switch {
		case errors.As(err, &conflict):
			return 3
		case errors.Is(err, outbox.ErrLinkOver):
			return 2
		case err != nil:
			return 1
		}
		return 0
	}
	if rank(a) >= rank(b) {
		return a
	}
	return b
}

func (s *Service) linkHolds(ctx context.Context, db bun.IDB, incident string, l outbox.Link) error {
	anew, err := db.NewSelect().Model((*timelineRow)(nil)).Where("object = ? AND kind = 'reopened' AND at > ?", incident, l.Made.UnixMilli()).Exists(ctx)
	if err != nil {
		return fmt.Errorf("ticketing: read when %s was opened anew: %w", incident, err)
	}
	if anew {
		return fmt.Errorf("incident %s was opened anew: %w", incident, outbox.ErrLinkOver)
	}
	return nil
}

// UseLink acknowledges those of a link's incidents that wait for it and that the
// actor may acknowledge, and returns them. With the last of them, in one
// transaction, the link is used: what is left of others' stays for them. It is
// Conflict where all that he sees are acknowledged already.
func (s *Service) UseLink(ctx context.Context, by Actor, l outbox.Link) ([]Incident, error) {
	var done []Incident
	var refused error
	for _, id := range l.Incidents {
		i, err := s.oneIncident(ctx, by, id, "acknowledge", "by the link of a notification to "+l.Receiver, func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
			if err := s.linkHolds(ctx, tx, i.ID, l); err != nil {
				return nil, err
			}
			entries, err := acknowledge(i, by, "", now)
			if err != nil {
				return nil, err
			}
			more, err := tx.NewSelect().Model((*incidentRow)(nil)).Where("id IN (?) AND id <> ? AND status = ?", bun.In(l.Incidents), i.ID, StatusOpen).Exists(ctx)
			if err != nil {
				return nil, fmt.Errorf("look for what else waits for the link: %w", err)
			}
			return entries, s.out.UseLink(ctx, tx, l, by.Name, more)
		})
		var conflict *Conflict
		switch {
		case err == nil:
			done = append(done, i)
		case errors.Is(err, ErrNotFound), errors.Is(err, outbox.ErrLinkOver), errors.As(err, &conflict):
			refused = graver(refused, err)
		default:
			return done, err
		}
	}
	if len(done) == 0 {
		return nil, refused
	}
	return done, nil
}
