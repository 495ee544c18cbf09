package ticketing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Alerts lists alerts: the page, how many match in all, and the cursor of the
// next page or "".
func (s *Service) Alerts(ctx context.Context, query AlertQuery) (items []Alert, total int, next string, err error) {
	rows, total, next, err := list[alertRow](ctx, s, "alerts", "a", alertSorts, "-last_seen", query)
	if err != nil {
		return nil, 0, "", err
	}
	items, err = s.alertViews(rows)
	for n := range items {
		items[n].veiled(query.Reach.Veil())
	}
	return items, total, next, err
}

func (s *Service) alertViews(rows []alertRow) ([]Alert, error) {
	items := make([]Alert, 0, len(rows))
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := s.docs.unpack(a); err != nil {
			return nil, err
		}
		items = append(items, s.shown(a))
	}
	return items, nil
}

// Alert returns one alert in reach with its latest firings and its timeline.
func (s *Service) Alert(ctx context.Context, r reach.Reach, id string) (AlertDetail, error) {
	list, err := readAlerts(ctx, s.db, []string{id})
	if err != nil {
		return AlertDetail{}, fmt.Errorf("ticketing: %w", err)
	}
	if len(list) == 0 || !r.Match(list[0].FactsOf(list[0].Tenant)) {
		return AlertDetail{}, fmt.Errorf("alert %q: %w", id, ErrNotFound)
	}
	a := list[0]
	d := AlertDetail{Alert: s.shown(a), OccurrencesTotal: a.Occurrences, Occurrences: orEmpty(a.doc.Recent)}
	d.Timeline, err = s.timeline(ctx, a.ID)
	if err != nil {
		return AlertDetail{}, err
	}
	// That an alert was opened stands in its row; it needs no entry beside it.
	opened := TimelineEntry{Time: at(a.CreatedAt), Kind: "opened", Actor: SystemActor, Text: detections.Text{
		ZH: "规则触发：" + d.Rule.Title.ZH, EN: "Raised by rule: " + d.Rule.Title.EN}, Data: map[string]any{"rule_id": a.RuleID}}
	d.Timeline = append([]TimelineEntry{opened}, d.Timeline...)
	d.Alert.veiled(r.Veil()).timeline(d.Timeline)
	return d, nil
}

// Incidents lists incidents, as Alerts does alerts. What they can be filtered
// by is a part of what alerts can.
func (s *Service) Incidents(ctx context.Context, query IncidentQuery) (items []Incident, total int, next string, err error) {
	ids, err := s.incidentsInvolving(ctx, query)
	if err != nil || query.Alerts != nil && len(ids) == 0 {
		return []Incident{}, 0, "", err
	}
	rows, total, next, err := list[incidentRow](ctx, s, "incidents", "i", incidentSorts, "-opened_at", AlertQuery{
		Reach: query.Reach, Statuses: query.Statuses, Severities: query.Severities, Priorities: query.Priorities,
		CI: query.CI, System: query.System, About: query.About, Assignee: query.Assignee, Verdicts: query.Verdicts, Phases: query.Phases, Q: query.Q, Since: query.Since, Until: query.Until, archived: query.Archived, KeyAsset: query.KeyAsset, DataLevels: query.DataLevels, ids: ids, Page: query.Page})
	if err != nil {
		return nil, 0, "", err
	}
	if items, err = incidentViews(rows, s.now()); err != nil {
		return nil, 0, "", err
	}
	err = s.countAlerts(ctx, query.Reach, items)
	for n := range items {
		items[n].veiled(query.Reach.Veil())
	}
	return items, total, next, err
}

// countAlerts makes the incidents count those of their alerts that are in
// reach, where that may be fewer than all.
func (s *Service) countAlerts(ctx context.Context, r reach.Reach, list []Incident) error {
	at := map[string]*Incident{}
	var ids []string
	for n := range list {
		if i := &list[n]; !r.CoversWhole(i.Tenant) {
			at[i.ID], ids = i, append(ids, i.ID)
			i.AlertCount = 0
			i.Attackers, i.Victims = []detections.Party{}, []detections.Party{} // the detail has those that are in reach
		}
	}
	for part := range slices.Chunk(ids, idsPerStatement) {
		var counts []struct {
			ID string `bun:"incident_id"`
			N  int    `bun:"n"`
		}
		err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").Column("incident_id").ColumnExpr("count(*) AS n").
			Where("incident_id IN (?)", bun.In(part)).Group("incident_id").Scan(ctx, &counts)
		if err != nil {
			return fmt.Errorf("ticketing: count the alerts of %d incidents: %w", len(part), err)
		}
		for _, c := range counts {
			at[c.ID].AlertCount = c.N
		}
	}
	return nil
}

func incidentViews(rows []incidentRow, now time.Time) ([]Incident, error) {
	items := make([]Incident, 0, len(rows))
	for _, r := range rows {
		i := &incident{incidentRow: r}
		if err := i.unpack(); err != nil {
			return nil, err
		}
		items = append(items, i.view(now))
	}
	return items, nil
}

// maxIncidentAlerts is how many alerts an incident's detail shows.
const maxIncidentAlerts = 200

// Incident returns one incident in reach with its timeline and those of its
// alerts that are in reach, too: an intrusion may touch items beyond it.
func (s *Service) Incident(ctx context.Context, r reach.Reach, id string) (IncidentDetail, error) {
	i := &incident{}
	err := s.db.NewSelect().Model(&i.incidentRow).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !r.Match(i.FactsOf(i.Tenant)) {
		return IncidentDetail{}, fmt.Errorf("incident %q: %w", id, ErrNotFound)
	}
	if err == nil {
		err = i.unpack()
	}
	if err != nil {
		return IncidentDetail{}, fmt.Errorf("ticketing: read incident %q: %w", id, err)
	}
	one := []Incident{i.view(s.now())}
	if err := s.countAlerts(ctx, r, one); err != nil {
		return IncidentDetail{}, err
	}
	d := IncidentDetail{Incident: one[0]}
	var rows []alertRow
	if err := r.Within(s.db.NewSelect().Model(&rows), "a").Where("incident_id = ?", id).OrderExpr("severity DESC, first_seen, id").
		Limit(maxIncidentAlerts).Scan(ctx); err != nil {
		return IncidentDetail{}, fmt.Errorf("ticketing: read the alerts of %s: %w", id, err)
	}
	if err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("coalesce(sum(counted), 0)").Where("incident_id = ?", id).Scan(ctx, &d.Counted); err != nil {
		return IncidentDetail{}, fmt.Errorf("ticketing: sum up what was counted of %s: %w", id, err)
	}
	if d.Alerts, err = s.alertViews(rows); err != nil {
		return IncidentDetail{}, err
	}
	if !r.CoversWhole(i.Tenant) {
		d.asSeen(d.Alerts)
	}
	if d.Timeline, err = s.timeline(ctx, id); err == nil && !r.CoversWhole(i.Tenant) {
		d.Timeline, err = s.visibleEntries(ctx, r, d.Timeline)
	}
	d.veiled(r.Veil())
	return d, err
}
