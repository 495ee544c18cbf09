package ticketing

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Recovered is the resolution of an alert whose source says that what it told
// of is over. Nobody closes an alert as that by hand, so it is not one of
// Resolutions.
const Recovered = "recovered"

// Recover closes the open alert of a key because what it told of is over: the
// disk has room again, the engine runs. why enters the timeline. An incident
// all of whose alerts have recovered closes with them, and its receivers are
// told; in any other it is noted. A key without an open alert is no error, so
// that the call may be repeated.
//
// An alert that flaps is held open: see flapping.go.
func (s *Service) Recover(ctx context.Context, tenant, key string, why detections.Text) error {
	return s.recover(ctx, tenant, key, why, true)
}

// recover is Recover, which closes even what flaps unless it is damped.
func (s *Service) recover(ctx context.Context, tenant, key string, why detections.Text, damped bool) error {
	system := Actor{Name: SystemActor, Reach: reach.All()}
	why = bothLanguages(why)
	now := s.now()
	var last alertRow
	closed, flaps := false, false
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		last, closed, flaps = alertRow{}, false, false
		rows := []alertRow{}
		if err := tx.NewSelect().Model(&rows).Where("key = ?", tenant+"/"+key).OrderExpr("generation DESC").Limit(1).Scan(ctx); err != nil {
			return fmt.Errorf("read the last alert of the key %q: %w", key, err)
		}
		if len(rows) == 0 {
			return nil
		}
		a := &alert{alertRow: rows[0]}
		last = a.alertRow
		if a.Status == StatusClosed {
			return nil
		}
		if err := a.unpack(); err != nil {
			return err
		}
		if damped {
			var err error
			if flaps, err = s.dampRecovery(ctx, tx, a, now); err != nil || flaps {
				return err
			}
		}
		closed = true
		a.Status, a.ClosedAt, a.ClosedBy, a.Resolution, a.Judge = StatusClosed, now.UnixMilli(), SystemActor, Recovered, false
		if err := saveAlerts(ctx, tx, []*alert{a}); err != nil {
			return err
		}
		s.live.drop(a)
		return saveTimeline(ctx, tx, []timelineRow{entry(a.ID, now, "closed", SystemActor, why, map[string]any{"resolution": Recovered})})
	})
	if err != nil {
		return fmt.Errorf("ticketing: recover: %w", err)
	}
	if flaps {
		s.out.Wake()
		return nil
	}
	if closed {
		s.note(ctx, Change{Actor: SystemActor, Action: "alert.close", Object: last.ID, Tenant: last.Tenant, Detail: Recovered})
	}
	if last.IncidentID == "" || !last.Held {
		return nil
	}
	_, err = s.oneIncident(ctx, system, last.IncidentID, "recover", Recovered, func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, nil
		}
		left, err := tx.NewSelect().Model((*alertRow)(nil)).Where("incident_id = ?", i.ID).
			Where("status <> ? OR resolution <> ?", StatusClosed, Recovered).Count(ctx)
		if err != nil {
			return nil, fmt.Errorf("count the alerts of %s that have not recovered: %w", i.ID, err)
		}
		if left == 0 {
			return s.closeIncident(system, Close{Resolution: Recovered})(ctx, tx, i, now)
		}
		if !closed {
			return nil, nil
		}
		return []timelineRow{entry(i.ID, now, "alert", SystemActor,
			detections.Text{ZH: "告警已恢复：" + why.ZH, EN: "An alert has recovered: " + why.EN}, map[string]any{"alert_id": last.ID})}, nil
	})
	return err
}

// LastAlert returns the id of the newest alert of a key, closed or not; "" where
// there is none.
func (s *Service) LastAlert(ctx context.Context, tenant, key string) (string, error) {
	var ids []string
	err := s.db.NewSelect().Model((*alertRow)(nil)).Column("id").Where("key = ?", tenant+"/"+key).OrderExpr("generation DESC").Limit(1).Scan(ctx, &ids)
	if err != nil {
		return "", fmt.Errorf("ticketing: look for the alert of the key %q: %w", key, err)
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}
