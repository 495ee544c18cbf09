package ticketing

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// overviewItems is how many incidents and alerts the overview shows.
const overviewItems = 10

// Overview counts within a reach for a user.
func (s *Service) Overview(ctx context.Context, r reach.Reach, username string) (Overview, error) {
	now := s.now()
	out := Overview{BySeverity: map[string]int{}}
	for _, l := range detections.Levels {
		out.BySeverity[string(l)] = 0
	}
	scoped := func(model any, alias string) *bun.SelectQuery {
		return r.Within(s.db.NewSelect().Model(model).Where("status <> 'closed'"), alias)
	}
	fail := func(err error) (Overview, error) { return Overview{}, fmt.Errorf("ticketing: overview: %w", err) }

	var open []incidentRow
	if err := scoped(&open, "i").Column("opened_at", "ack_due", "resolve_due", "acked_at", "resolved_at", "assignee").Scan(ctx); err != nil {
		return fail(err)
	}
	out.IncidentsOpen = len(open)
	for i := range open {
		if username != "" && open[i].Assignee == username {
			out.IncidentsMine++
		}
		if st := open[i].clock().State(now); st == "breached" || st == "due_soon" {
			out.IncidentsBreaching++
		}
	}
	var counts []struct {
		Severity int    `bun:"severity"`
		Status   Status `bun:"status"`
		N        int    `bun:"n"`
	}
	if err := scoped((*alertRow)(nil), "a").Column("severity", "status").ColumnExpr("count(*) AS n").Group("severity", "status").Scan(ctx, &counts); err != nil {
		return fail(err)
	}
	for _, c := range counts {
		out.AlertsOpen += c.N
		out.BySeverity[string(severityOf(c.Severity))] += c.N
		if c.Status == StatusOpen {
			out.Unacknowledged += c.N
		}
	}
	var top []incidentRow
	if err := scoped(&top, "i").OrderExpr("due, id").Limit(overviewItems).Scan(ctx); err != nil {
		return fail(err)
	}
	var latest []alertRow
	if err := scoped(&latest, "a").OrderExpr("last_seen DESC, id DESC").Limit(overviewItems).Scan(ctx); err != nil {
		return fail(err)
	}
	var err error
	if out.Incidents, err = incidentViews(top, now); err != nil {
		return fail(err)
	}
	if err := s.countAlerts(ctx, r, out.Incidents); err != nil {
		return Overview{}, err
	}
	if out.LatestAlerts, err = s.alertViews(latest); err != nil {
		return fail(err)
	}
	for n := range out.Incidents {
		out.Incidents[n].veiled(r.Veil())
	}
	for n := range out.LatestAlerts {
		out.LatestAlerts[n].veiled(r.Veil())
	}
	return out, nil
}
