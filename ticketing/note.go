package ticketing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Note writes an entry into the timeline of an alert or incident, through the
// transaction of whoever did what it tells of: the rooms that keep evidence,
// tasks and reports of incidents.
func (s *Service) Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error {
	row := entry(object, s.now(), kind, actor, text, data)
	if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("ticketing: enter %s into the timeline of %s: %w", kind, object, err)
	}
	return nil
}

// Heading returns an incident in reach without its alerts and its timeline.
func (s *Service) Heading(ctx context.Context, r reach.Reach, id string) (Incident, error) {
	i := &incident{}
	err := s.db.NewSelect().Model(&i.incidentRow).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !r.Match(i.FactsOf(i.Tenant)) {
		return Incident{}, fmt.Errorf("incident %q: %w", id, ErrNotFound)
	}
	if err == nil {
		err = i.unpack()
	}
	if err != nil {
		return Incident{}, fmt.Errorf("ticketing: read incident %q: %w", id, err)
	}
	one := []Incident{i.view(s.now())}
	if err := s.countAlerts(ctx, r, one); err != nil {
		return Incident{}, err
	}
	one[0].veiled(r.Veil())
	return one[0], nil
}

// Now is the service's clock.
func (s *Service) Now() time.Time { return s.now() }
