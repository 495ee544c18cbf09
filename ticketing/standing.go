package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/detections"
)

// The times that figures of the standing look back over.
const (
	standingDay   = 24 * time.Hour
	standingMonth = 30 * 24 * time.Hour
)

// ruleAlerts is the metric of which only the maxRuleAlerts greatest are written:
// its series come and go, and are not remembered.
const (
	ruleAlerts    = "icewatch_rule_alerts_last_day"
	maxRuleAlerts = 20
)

// standingRest is how many times as long as the last look at the tables took is
// waited before the next: figures then take a twentieth of one core at most,
// however many alerts there are.
const standingRest = 20

// standings remember how alerts and incidents stood at the last look, and every
// series it ever wrote, so that one that came to nothing is written as 0: a
// series that just ends stands still in a chart for five minutes.
type standings struct {
	mu    sync.Mutex
	known map[string]map[string]float64 // by name of the metric and its labels
	next  time.Time
}

// WriteStanding writes how alerts and incidents stand, by tenant, in Prometheus'
// text format: those that are open, what the last day raised, what is late, and
// the sums of which the mean times of the last thirty days are made. They are
// read from the tables, so a restart changes none of them. The series are bounded
// by tenants × severities.
func (s *Service) WriteStanding(ctx context.Context, w io.Writer) error {
	st := &s.standing
	st.mu.Lock()
	defer st.mu.Unlock()
	if began := s.clock(); !began.Before(st.next) {
		fresh, err := s.stand(ctx, began)
		if err != nil {
			return err
		}
		st.take(fresh)
		st.next = began.Add(min(standingRest*max(0, s.clock().Sub(began)), 5*time.Minute))
	}
	for _, name := range slices.Sorted(maps.Keys(st.known)) {
		for _, labels := range slices.Sorted(maps.Keys(st.known[name])) {
			if _, err := fmt.Fprintf(w, "%s{%s} %g\n", name, labels, st.known[name][labels]); err != nil {
				return err
			}
		}
	}
	return nil
}

// take puts fresh figures in place of those known.
func (st *standings) take(fresh map[string]map[string]float64) {
	for _, series := range st.known {
		for labels := range series {
			series[labels] = 0
		}
	}
	if st.known == nil {
		st.known = map[string]map[string]float64{}
	}
	delete(st.known, ruleAlerts)
	for name, series := range fresh {
		if st.known[name] == nil {
			st.known[name] = map[string]float64{}
		}
		maps.Copy(st.known[name], series)
	}
}

// stand counts.
func (s *Service) stand(ctx context.Context, now time.Time) (map[string]map[string]float64, error) {
	out := map[string]map[string]float64{}
	add := func(name, labels string, v float64) {
		if out[name] == nil {
			out[name] = map[string]float64{}
		}
		out[name][labels] += v
	}
	var alerts []struct {
		Tenant   string `bun:"tenant"`
		Severity int    `bun:"severity"`
		Status   Status `bun:"status"`
		N        int64  `bun:"n"`
	}
	err := s.db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("tenant, severity, status, count(*) AS n").Where("status <> ?", StatusClosed).
		GroupExpr("tenant, severity, status").Scan(ctx, &alerts)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count the open alerts: %w", err)
	}
	for _, r := range alerts {
		add("icewatch_alerts", fmt.Sprintf("tenant=%q,severity=%q,state=%q", r.Tenant, severityOf(r.Severity), r.Status), float64(r.N))
	}
	alerts = nil
	err = s.db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("tenant, severity, count(*) AS n").Where("created_at >= ?", now.Add(-standingDay).UnixMilli()).
		GroupExpr("tenant, severity").Scan(ctx, &alerts)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count the alerts of the last day: %w", err)
	}
	for _, r := range alerts {
		add("icewatch_alerts_raised_last_day", fmt.Sprintf("tenant=%q,severity=%q", r.Tenant, severityOf(r.Severity)), float64(r.N))
	}
	var rules []struct {
		ID    string `bun:"rule_id"`
		Title string `bun:"title"`
		N     int64  `bun:"n"`
	}
	err = s.db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("rule_id, max(rule_title) AS title, count(*) AS n").Where("created_at >= ?", now.Add(-standingDay).UnixMilli()).
		GroupExpr("rule_id").OrderExpr("n DESC, rule_id").Limit(maxRuleAlerts).Scan(ctx, &rules)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count the alerts of rules: %w", err)
	}
	for _, r := range rules {
		var title detections.Text
		if json.Unmarshal([]byte(r.Title), &title) != nil { // one of a single language
			title = detections.Text{ZH: r.Title, EN: r.Title}
		}
		add(ruleAlerts, fmt.Sprintf(`rule="%s",title="%s",title_en="%s"`, quoted(r.ID), quoted(cmp.Or(title.ZH, title.EN)), quoted(cmp.Or(title.EN, title.ZH))), float64(r.N))
	}
	var rows []incidentRow
	err = s.db.NewSelect().Model(&rows).Column("id", "tenant", "severity", "status", "opened_at", "ack_due", "ack_warn", "resolve_due", "resolve_warn", "acked_at", "resolved_at",
		"calendar", "paused_at", "paused_ms", "fault", "propose_due", "proposed_at").
		Where("status <> ? OR opened_at >= ?", StatusClosed, now.Add(-standingMonth).UnixMilli()).Limit(maxMeasures).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read the incidents of the last month: %w", err)
	}
	for i := range rows {
		r := &rows[i]
		tenant, clock := fmt.Sprintf("tenant=%q", r.Tenant), r.clock()
		if r.Status != StatusClosed {
			add("icewatch_incidents", fmt.Sprintf("%s,severity=%q,state=%q", tenant, severityOf(r.Severity), r.Status), 1)
			add("icewatch_incidents_sla", fmt.Sprintf("%s,state=%q", tenant, clock.State(now)), 1)
		}
		if r.OpenedAt < now.Add(-standingMonth).UnixMilli() {
			continue
		}
		var t Tally
		t.incident(r, now)
		add("icewatch_incidents_month_opened", tenant, 1)
		add("icewatch_incidents_month_closed", tenant, float64(t.Closed))
		add("icewatch_incidents_month_late", tenant, float64(t.Breached))
		add("icewatch_incidents_month_acknowledged", tenant, float64(t.acked))
		add("icewatch_incidents_month_acknowledge_seconds", tenant, t.ack.Seconds())
		add("icewatch_incidents_month_resolved", tenant, float64(t.resolved))
		add("icewatch_incidents_month_resolve_seconds", tenant, t.resolve.Seconds())
	}
	return out, nil
}

// maxQuoted bounds a label's value, in characters.
const maxQuoted = 200

// quoted is a text as the value of a label: others may have written it, and one
// escape that the format does not know costs a scraper the whole page.
func quoted(text string) string {
	if r := []rune(text); len(r) > maxQuoted {
		text = string(r[:maxQuoted-1]) + "…"
	}
	return labelEscapes.Replace(strings.ToValidUTF8(text, "\ufffd"))
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
