package ticketing

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/ticketing/outbox"
)

// Linked is the incident that a notification's link acknowledges, as somebody of
// the reach sees it. It is outbox.ErrLinkOver where the incident was opened anew
// since: what was told before is not what is to be looked after now.
func (s *Service) Linked(ctx context.Context, within reach.Reach, l outbox.Link) (Incident, error) {
	i, err := s.Incident(ctx, within, l.Incident)
	if err != nil {
		return Incident{}, err
	}
	return i.Incident, s.linkHolds(ctx, s.db, l)
}

func (s *Service) linkHolds(ctx context.Context, db bun.IDB, l outbox.Link) error {
	anew, err := db.NewSelect().Model((*timelineRow)(nil)).Where("object = ? AND kind = 'reopened' AND at > ?", l.Incident, l.Made.UnixMilli()).Exists(ctx)
	if err != nil {
		return fmt.Errorf("ticketing: read when %s was opened anew: %w", l.Incident, err)
	}
	if anew {
		return fmt.Errorf("incident %s was opened anew: %w", l.Incident, outbox.ErrLinkOver)
	}
	return nil
}

// UseLink acknowledges the incident of a link, and marks the link as used, both
// or neither. It is Conflict where the incident is acknowledged already.
func (s *Service) UseLink(ctx context.Context, by Actor, l outbox.Link) (Incident, error) {
	return s.oneIncident(ctx, by, l.Incident, "acknowledge", "by the link of a notification to "+l.Receiver, func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if err := s.linkHolds(ctx, tx, l); err != nil {
			return nil, err
		}
		entries, err := acknowledge(i, by, "", now)
		if err != nil {
			return nil, err
		}
		return entries, s.out.UseLink(ctx, tx, l, by.Name)
	})
}
