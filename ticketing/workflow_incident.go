package ticketing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/transition"
)

// incidentStep changes an incident and returns what enters timelines. It may
// change alerts through tx.
type incidentStep func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error)

func (s *Service) oneIncident(ctx context.Context, by Actor, id, action, detail string, step incidentStep) (Incident, error) {
	now := s.now()
	var out *incident
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := readIncidents(ctx, tx, []string{id})
		if err != nil {
			return err
		}
		if len(list) == 0 || !by.Reach.Match(list[0].FactsOf(list[0].Tenant)) {
			return fmt.Errorf("incident %q: %w", id, ErrNotFound)
		}
		out = list[0]
		before := out.Status
		entries, err := step(ctx, tx, out, now)
		if err == nil {
			err = s.mayMove(ctx, transition.Incident, before, out.Status)
		}
		if err != nil {
			return err
		}
		entries = append(entries, s.late(out, now)...)
		if err := s.saveIncident(ctx, tx, out); err != nil {
			return err
		}
		return saveTimeline(ctx, tx, entries)
	})
	if err != nil {
		return Incident{}, fmt.Errorf("ticketing: %s incident: %w", action, err)
	}
	s.note(ctx, Change{Actor: by.Name, Action: "incident." + action, Object: id, Tenant: out.Tenant, Detail: detail})
	s.nudge()
	s.out.Wake()
	v := out.view(now)
	if !by.Reach.CoversWhole(v.Tenant) {
		v.asSeen(nil) // the detail has what is in reach
	}
	v.veiled(by.Reach.Veil())
	return v, nil
}

func incidentConflict(i *incident, verb string) error {
	return conflict("incident", i.ID, verb, i.Status, i.AcknowledgedBy, i.AcknowledgedAt, i.ClosedBy, i.ClosedAt)
}

// AcknowledgeIncident says that somebody looks after an incident, and stops
// the clock of the first response.
func (s *Service) AcknowledgeIncident(ctx context.Context, by Actor, id, comment string) (Incident, error) {
	if err := checkText("comment", comment, maxComment, false); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "acknowledge", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		return acknowledge(i, by, comment, now)
	})
}

func acknowledge(i *incident, by Actor, comment string, now time.Time) ([]timelineRow, error) {
	if i.Status != StatusOpen {
		return nil, incidentConflict(i, "acknowledged")
	}
	i.Status, i.AcknowledgedAt, i.AcknowledgedBy = StatusAcknowledged, now.UnixMilli(), by.Name
	if i.AckedAt == 0 {
		i.AckedAt = now.UnixMilli()
	}
	return []timelineRow{entry(i.ID, now, "acknowledged", by.Name, withComment("已确认", "Acknowledged", comment), nil)}, nil
}

// AssignIncident gives an incident to somebody; an empty assignee takes it
// back.
func (s *Service) AssignIncident(ctx context.Context, by Actor, id, assignee string) (Incident, error) {
	if err := checkText("assignee", assignee, maxAssignee, false); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "assign", assignee, func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, incidentConflict(i, "assigned")
		}
		i.Assignee = assignee
		return []timelineRow{assigned(i.ID, now, by, assignee)}, nil
	})
}

// CommentIncident adds a comment, in whatever state the incident is.
func (s *Service) CommentIncident(ctx context.Context, by Actor, id, text string) (Incident, error) {
	if err := checkText("text", text, maxComment, true); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "comment", "", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		return []timelineRow{entry(i.ID, now, "comment", by.Name, detections.Text{ZH: text, EN: text}, nil)}, nil
	})
}

// CloseIncident ends an incident, tells the receivers that want to know, and
// closes its alerts unless told to keep them.
func (s *Service) CloseIncident(ctx context.Context, by Actor, id string, c Close) (Incident, error) {
	if err := c.check(); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "close", c.Resolution, s.closeIncident(by, c))
}

func (s *Service) closeIncident(by Actor, c Close) incidentStep {
	return func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, incidentConflict(i, "closed")
		}
		var entries []timelineRow
		if i.PausedAt > 0 {
			entries = append(entries, s.resume(i, by, now, ""))
		}
		i.Status, i.ClosedAt, i.ClosedBy, i.Resolution = StatusClosed, now.UnixMilli(), by.Name, c.Resolution
		i.ResolvedAt, i.TellAt, i.ToldAt = now.UnixMilli(), 0, now.UnixMilli()
		zh, en := resolutionText(c.Resolution)
		var rows []alertRow
		// Only those that the actor may touch end with it.
		if err := by.Reach.Within(tx.NewSelect().Model(&rows).Column("id", "tenant", "severity", "status", "rule_id", "rule_title", "created_at").Where("incident_id = ? AND status <> ?", i.ID, StatusClosed), "a").
			OrderExpr("id").Scan(ctx); err != nil {
			return nil, fmt.Errorf("read the open alerts of %s: %w", i.ID, err)
		}
		ids := make([]string, len(rows))
		for n := range rows {
			ids[n] = rows[n].ID
		}
		data := map[string]any{"resolution": c.Resolution, "alerts_closed": len(ids)}
		if c.KeepAlerts {
			data["alerts_closed"] = 0
		}
		entries = append(entries, entry(i.ID, now, "closed", by.Name, withComment("已关闭："+zh, "Closed: "+en, c.Comment), data))
		// The alerts are no longer held: what goes on after this opens anew.
		if _, err := tx.NewUpdate().Model((*alertRow)(nil)).Where("incident_id = ? AND status <> ?", i.ID, StatusClosed).Set("held = ?", false).Exec(ctx); err != nil {
			return nil, fmt.Errorf("let go of the alerts of %s: %w", i.ID, err)
		}
		if !c.KeepAlerts {
			for part := range slices.Chunk(ids, idsPerStatement) {
				_, err := tx.NewUpdate().Model((*alertRow)(nil)).Where("id IN (?)", bun.In(part)).
					Set("status = ?", StatusClosed).Set("closed_at = ?", now.UnixMilli()).Set("closed_by = ?", by.Name).
					Set("resolution = ?", c.Resolution).Set("judge = ?", false).Exec(ctx)
				if err != nil {
					return nil, fmt.Errorf("close the alerts of %s: %w", i.ID, err)
				}
			}
			for n, a := range ids {
				was := rows[n].stands()
				rows[n].Status = StatusClosed
				s.standing.stage(was, rows[n].stands(), false)
				entries = append(entries, entry(a, now, "closed", by.Name,
					detections.Text{ZH: "随事件 " + i.ID + " 关闭：" + zh, EN: "Closed with incident " + i.ID + ": " + en},
					map[string]any{"resolution": c.Resolution, "incident_id": i.ID}))
			}
		}
		s.live.forget() // its alerts are not what they were
		return entries, s.tell(ctx, tx, i, "resolved", strconv.FormatInt(now.UnixMilli(), 10), now)
	}
}

// ReopenIncident undoes closing or acknowledging. The clock goes on as if the
// incident had never been closed, and the alerts that were closed with it open
// with it, save those that something newer is open for.
func (s *Service) ReopenIncident(ctx context.Context, by Actor, id string) (Incident, error) {
	return s.oneIncident(ctx, by, id, "reopen", "", func(ctx context.Context, tx bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusOpen {
			return nil, incidentConflict(i, "reopened")
		}
		wasClosed, closedAt := i.Status == StatusClosed, i.ClosedAt
		i.Status, i.AcknowledgedAt, i.AcknowledgedBy = StatusOpen, 0, ""
		i.ClosedAt, i.ClosedBy, i.Resolution, i.ResolvedAt = 0, "", "", 0
		i.ArchivedAt, i.ArchivedBy = 0, ""
		entries := []timelineRow{entry(i.ID, now, "reopened", by.Name, detections.Text{ZH: "重新打开", EN: "Reopened"}, nil)}
		if !wasClosed {
			return entries, nil
		}
		var ids []string
		if err := by.Reach.Within(tx.NewSelect().Model((*alertRow)(nil)).Column("id").
			Where("incident_id = ? AND status = ? AND closed_at = ?", i.ID, StatusClosed, closedAt).
			Where("NOT EXISTS (SELECT 1 FROM ticketing_alerts AS b WHERE b.key = a.key AND b.status <> 'closed')"), "a").
			OrderExpr("id").Scan(ctx, &ids); err != nil {
			return nil, fmt.Errorf("read the alerts closed with %s: %w", i.ID, err)
		}
		alerts, err := readAlerts(ctx, tx, ids)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, a := range alerts {
			if seen[a.Key] {
				continue
			}
			seen[a.Key] = true
			reopenRow(&a.alertRow)
			entries = append(entries, entry(a.ID, now, "reopened", by.Name,
				detections.Text{ZH: "随事件 " + i.ID + " 重新打开", EN: "Reopened with incident " + i.ID}, map[string]any{"incident_id": i.ID}))
		}
		if err := saveAlerts(ctx, tx, alerts); err != nil {
			return nil, err
		}
		if _, err := tx.NewUpdate().Model((*alertRow)(nil)).Where("incident_id = ? AND status <> ?", i.ID, StatusClosed).
			Set("held = ?", true).Exec(ctx); err != nil {
			return nil, fmt.Errorf("take back the alerts of %s: %w", i.ID, err)
		}
		s.live.forget()
		i.tellLater(now, s.cfg.GroupInterval)
		return entries, nil
	})
}
