package ticketing

import (
	"context"
	"fmt"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing/sla"
)

// Measure is what an incident says about how well it was looked after.
type Measure struct {
	ID, Tenant, Unit, System, Team string
	Priority                       string
	Assignee, AckedBy, ClosedBy    string
	Clock                          sla.Clock
	Paused                         time.Duration // of the pauses that are over
	State                          sla.State     // at the time of asking
}

// maxMeasures bounds what is read at once.
const maxMeasures = 500_000

// Measures reads the incidents within reach that opened from from until to, and
// are of the team where one is named, as they stand now.
func (s *Service) Measures(ctx context.Context, within reach.Reach, team string, from, to time.Time) ([]Measure, error) {
	var rows []incidentRow
	q := s.db.NewSelect().Model(&rows).
		Column("id", "tenant", "reach_unit", "system_id", "team", "priority", "status", "assignee", "acknowledged_by", "closed_by", "opened_at", "ack_due", "ack_warn",
			"resolve_due", "resolve_warn", "acked_at", "resolved_at", "calendar", "paused_at", "paused_ms", "fault", "propose_due", "proposed_at").
		Where("opened_at >= ? AND opened_at < ?", from.UnixMilli(), to.UnixMilli()).OrderExpr("opened_at, id").Limit(maxMeasures)
	if team != "" {
		q = q.Where("team = ?", team)
	}
	if err := within.Within(q, "i").Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read the incidents from %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
	}
	now := s.now()
	out := make([]Measure, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		c := r.clock()
		out = append(out, Measure{ID: r.ID, Tenant: r.Tenant, Unit: r.Unit, System: r.SystemID, Team: r.Team, Priority: priorityOf(r.Priority), Assignee: r.Assignee,
			AckedBy: r.AcknowledgedBy, ClosedBy: r.ClosedBy, Clock: c, Paused: time.Duration(r.PausedMS) * time.Millisecond, State: c.State(now)})
	}
	return out, nil
}

// Brief is an incident as a hand-over tells of it.
type Brief struct {
	ID       string      `json:"id"`
	Title    string      `json:"title"`
	TitleEN  string      `json:"title_en"`
	Priority string      `json:"priority"`
	Status   Status      `json:"status"`
	Assignee string      `json:"assignee,omitempty"`
	Due      *Time       `json:"due,omitempty" doc:"What comes due next"`
	Tenant   string      `json:"tenant"`
	Facts    reach.Facts `json:"facts"` // who may see it
}

// TeamIncidents lists the incidents of a team within reach that are open, or
// were touched since a time: the most urgent first.
func (s *Service) TeamIncidents(ctx context.Context, within reach.Reach, team string, since time.Time) (opened, closed, open []Brief, err error) {
	var rows []incidentRow
	ms := since.UnixMilli()
	q := s.db.NewSelect().Model(&rows).Where("team = ? AND (status <> ? OR opened_at >= ? OR closed_at >= ?)", team, StatusClosed, ms, ms).
		OrderExpr("priority, opened_at, id").Limit(maxTeamIncidents)
	if err := within.Within(q, "i").Scan(ctx); err != nil {
		return nil, nil, nil, fmt.Errorf("ticketing: read the incidents of the team %s: %w", team, err)
	}
	opened, closed, open = []Brief{}, []Brief{}, []Brief{}
	for _, r := range rows {
		i := incident{incidentRow: r}
		if err := i.unpack(); err != nil {
			return nil, nil, nil, err
		}
		b := Brief{ID: i.ID, Title: i.doc.Title.ZH, TitleEN: i.doc.Title.EN, Priority: priorityOf(i.Priority), Status: i.Status, Assignee: i.Assignee,
			Due: maybe(i.Due), Tenant: i.Tenant, Facts: i.FactsOf(i.Tenant)}
		if i.OpenedAt >= ms {
			opened = append(opened, b)
		}
		if i.ClosedAt >= ms && i.Status == StatusClosed {
			closed = append(closed, b)
		}
		if i.Status != StatusClosed {
			open = append(open, b)
		}
	}
	return opened, closed, open, nil
}

const maxTeamIncidents = 2000
