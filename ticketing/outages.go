package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"icewatch/soc/reach"
)

// Outage is a fault of a business system, as an incident tells of it.
type Outage struct {
	System   string // id; of an item that belongs to no system, the item's
	Tenant   string
	Incident string
	From     time.Time
	To       time.Time // zero: it lasts
}

// maxOutages bounds what is read at once.
const maxOutages = 500_000

// Outages lists the faults of business systems within reach that lasted at some time
// from from until to. A fault of any item of a system is one of the system: which of
// them it can do without is not known here. In each incident it lasts from the first
// of the system's alerts of faults until the last of them is closed (as when its
// sender says that it is over) or the incident is solved, whichever is first. An
// incident that somebody confirmed to be a device fault counts from its beginning to
// its solution. What was concluded to be none (false, benign, a test) is none.
func (s *Service) Outages(ctx context.Context, within reach.Reach, from, to time.Time) ([]Outage, error) {
	var rows []struct {
		System   string `bun:"system_id"`
		Tenant   string `bun:"tenant"`
		Incident string `bun:"incident_id"`
		First    int64  `bun:"first"`
		Last     int64  `bun:"last"`
		Open     int    `bun:"unclosed"`
		Resolved int64  `bun:"resolved"`
	}
	// An alert about a business system itself names it as its item.
	const system = "CASE WHEN a.system_id = '' THEN a.ci_id ELSE a.system_id END"
	const none = "('false_positive', 'benign', 'test')"
	q := within.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").
		Join("JOIN ticketing_incidents AS i ON i.id = a.incident_id").
		ColumnExpr(system+" AS system_id, a.tenant, a.incident_id, min(a.first_seen) AS first, max(a.closed_at) AS last, sum(a.status <> ?) AS unclosed, max(i.resolved_at) AS resolved", StatusClosed).
		Where("a.fault = 1 AND a.ci_id <> '' AND a.first_seen < ?", to.UnixMilli()).
		Where("(i.resolved_at = 0 OR i.resolved_at > ?)", from.UnixMilli()).
		Where("a.resolution NOT IN " + none + " AND i.resolution NOT IN " + none).
		GroupExpr("a.incident_id, " + system + ", a.tenant").OrderExpr("1, first").Limit(maxOutages)
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("ticketing: read the faults from %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
	}
	out := make([]Outage, 0, len(rows))
	add := func(o Outage) {
		if o.To.IsZero() || o.To.After(from) && o.To.After(o.From) {
			out = append(out, o)
		}
	}
	for _, r := range rows {
		end := r.Resolved
		if r.Open == 0 && (end == 0 || r.Last < end) {
			end = r.Last
		}
		add(Outage{System: r.System, Tenant: r.Tenant, Incident: r.Incident, From: when(r.First), To: when(end)})
	}
	var confirmed []incidentRow
	iq := within.Within(s.db.NewSelect().Model(&confirmed), "i").Column("id", "tenant", "ci_id", "system_id", "opened_at", "resolved_at").
		Where("fault <> '' AND (system_id <> '' OR ci_id <> '') AND opened_at < ? AND (resolved_at = 0 OR resolved_at > ?)", to.UnixMilli(), from.UnixMilli()).
		Where("resolution NOT IN " + none).Limit(maxOutages)
	if err := iq.Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read the confirmed faults from %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), err)
	}
	for i := range confirmed {
		r := &confirmed[i]
		add(Outage{System: cmp.Or(r.SystemID, r.CIID), Tenant: r.Tenant, Incident: r.ID, From: when(r.OpenedAt), To: when(r.ResolvedAt)})
	}
	return out, nil
}
