package ticketing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// Override is an analyst's own priority for an incident, in place of the one
// that follows from its alerts.
type Override struct {
	Priority string `json:"priority" enum:"P1,P2,P3,P4"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
	At       Time   `json:"at" format:"date-time"`
}

// Priorities lists the priorities, the most urgent first.
var Priorities = []string{"P1", "P2", "P3", "P4"}

// OverridePriority sets an incident's priority, whatever its alerts say, until
// the override is undone. The targets of response follow: a more urgent priority
// counts from now on, a less urgent one from the incident's opening.
func (s *Service) OverridePriority(ctx context.Context, by Actor, id, priority, reason string) (Incident, error) {
	if !slices.Contains(Priorities, priority) {
		return Incident{}, fmt.Errorf("priority %q: want one of %v: %w", priority, Priorities, ErrInvalid)
	}
	if err := checkText("reason", reason, maxComment, true); err != nil {
		return Incident{}, err
	}
	return s.oneIncident(ctx, by, id, "prioritize", priority, func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, incidentConflict(i, "given another priority")
		}
		before := priorityOf(i.Priority)
		if i.doc.Override == nil || i.doc.Judged == 0 {
			i.doc.Judged = i.Priority
		}
		i.doc.Override = &Override{Priority: priority, Reason: reason, By: by.Name, At: Time{now}}
		s.reprioritize(i, priorityRank(priority, ""), now)
		return []timelineRow{entry(i.ID, now, "priority", by.Name, detections.Text{
			ZH: fmt.Sprintf("优先级由 %s 改为 %s：%s", before, priority, reason), EN: fmt.Sprintf("Priority %s in place of %s: %s", priority, before, reason),
		}, map[string]any{"from": before, "to": priority, "reason": reason})}, nil
	})
}

// UndoOverride gives an incident back the priority that follows from its alerts.
func (s *Service) UndoOverride(ctx context.Context, by Actor, id string) (Incident, error) {
	return s.oneIncident(ctx, by, id, "prioritize", "undo", func(_ context.Context, _ bun.Tx, i *incident, now time.Time) ([]timelineRow, error) {
		if i.Status == StatusClosed {
			return nil, incidentConflict(i, "given another priority")
		}
		if i.doc.Override == nil {
			return nil, &Conflict{Object: i.ID, Status: i.Status, Reason: fmt.Sprintf("incident %s has the priority of its alerts: there is no override to undo", i.ID)}
		}
		before := priorityOf(i.Priority)
		i.doc.Override = nil
		s.reprioritize(i, i.doc.Judged, now)
		after := priorityOf(i.Priority)
		return []timelineRow{entry(i.ID, now, "priority", by.Name, detections.Text{
			ZH: fmt.Sprintf("撤销人工优先级 %s，恢复为 %s", before, after), EN: fmt.Sprintf("The override %s is undone: %s follows from the alerts", before, after),
		}, map[string]any{"from": before, "to": after})}, nil
	})
}

// reprioritize gives an incident a priority by hand, and moves its clock.
func (s *Service) reprioritize(i *incident, rank int, now time.Time) {
	before := i.Priority
	i.Priority = rank
	if rank == before {
		return
	}
	clock := i.clock()
	if rank < before {
		s.sla().Raise(&clock, priorityOf(rank), now)
	} else {
		s.sla().Lower(&clock, priorityOf(rank))
	}
	i.setClock(clock)
	i.tellLater(now, s.cfg.GroupInterval)
}
