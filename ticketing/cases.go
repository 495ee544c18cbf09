package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Attacker is an address that attacks, and what became of it.
type Attacker struct {
	Attacker   string           `json:"attacker"`
	Alerts     int              `json:"alerts"`
	Events     int              `json:"events" doc:"Attacks: events behind its alerts"`
	Open       int              `json:"open"`
	Handled    int              `json:"acknowledged"`
	Closed     int              `json:"closed"`
	False      int              `json:"false_positives"`
	Severity   detections.Level `json:"severity" doc:"The gravest" enum:"critical,high,medium,low,informational"`
	Risks      []string         `json:"risks" nullable:"false" doc:"Codes of classes of risk"`
	Attacks    []string         `json:"attacks" nullable:"false" doc:"Ids of types of attack"`
	Tenants    []string         `json:"tenants" nullable:"false"`
	FirstSeen  Time             `json:"first_seen" format:"date-time"`
	LastSeen   Time             `json:"last_seen" format:"date-time"`
	Techniques []string         `json:"techniques" nullable:"false"`
}

// maxAttackers is how many attackers are listed.
const maxAttackers = 1000

// Attackers sums alerts up by who attacks, most alerts first, of limit attackers
// at most. Whoever addresses are masked for gets none.
func (s *Service) Attackers(ctx context.Context, query AlertQuery, limit int) ([]Attacker, error) {
	if slices.ContainsFunc(addressFields, query.Reach.Veil().Touches) {
		return nil, fmt.Errorf("%w: addresses are masked for you: alerts cannot be counted by attacker", ErrInvalid)
	}
	var rows []struct {
		Attacker   string `bun:"attacker"`
		Alerts     int    `bun:"alerts"`
		Events     int    `bun:"events"`
		Open       int    `bun:"open"`
		Handled    int    `bun:"handled"`
		Closed     int    `bun:"closed"`
		False      int    `bun:"misled"`
		Severity   int    `bun:"gravest"`
		Risks      string `bun:"risks"`
		Attacks    string `bun:"attacks"`
		Tenants    string `bun:"tenants"`
		Techniques string `bun:"every"`
		First      int64  `bun:"first"`
		Last       int64  `bun:"last"`
	}
	q, err := filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", query)
	if err != nil {
		return nil, err
	}
	err = q.ColumnExpr("attacker, count(*) AS alerts, sum(count) AS events, sum(status = 'open') AS open, sum(status = 'acknowledged') AS handled, sum(status = 'closed') AS closed").
		ColumnExpr("sum(resolution = 'false_positive') AS misled, max(severity) AS gravest, min(first_seen) AS first, max(last_seen) AS last").
		ColumnExpr("group_concat(DISTINCT risk) AS risks, group_concat(DISTINCT attack) AS attacks, group_concat(DISTINCT a.tenant) AS tenants, group_concat(DISTINCT techniques) AS every").
		Where("attacker <> ''").Group("attacker").OrderExpr("alerts DESC, attacker").Limit(int64(min(max(limit, 1), maxAttackers))).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count alerts by attacker: %w", err)
	}
	set := func(text string) []string { return orEmpty(union(nil, strings.Split(text, ",")...)) }
	out := make([]Attacker, 0, len(rows))
	for _, r := range rows {
		out = append(out, Attacker{Attacker: r.Attacker, Alerts: r.Alerts, Events: r.Events, Open: r.Open, Handled: r.Handled, Closed: r.Closed, False: r.False, Severity: severityOf(r.Severity),
			Risks: set(r.Risks), Attacks: set(r.Attacks), Tenants: set(r.Tenants), Techniques: set(r.Techniques), FirstSeen: at(r.First), LastSeen: at(r.Last)})
	}
	return out, nil
}

// Record is one thing that somebody did to an alert or incident.
type Record struct {
	Seq    int64  `json:"seq"`
	Object string `json:"object" doc:"Id of the alert or incident"`
	Of     string `json:"of" enum:"alert,incident"`
	Tenant string `json:"tenant"`
	Title  string `json:"title" doc:"Of the rule or incident"`
	TimelineEntry
}

// RecordQuery filters records. Empty fields do not filter.
type RecordQuery struct {
	Reach  reach.Reach
	Kinds  []string
	Actor  string
	Object string
	Q      string // part of the text
	From   time.Time
	To     time.Time
	Before int64 // seq of the last one of the page before; 0 for the first page
	Limit  int
	System bool // also what the suite did by itself
}

// Records lists what was done to alerts and incidents in reach, newest first:
// acknowledged, assigned, closed as false or ignored, undone, tasks done. What
// texts of alerts may tell is masked as in timelines, so that whoever parts are
// masked for finds nothing by words.
func (s *Service) Records(ctx context.Context, query RecordQuery) (out []Record, total int, err error) {
	within := func(alias, table string) (string, []any) {
		where, args := query.Reach.SQL(reach.Columns{Tenant: alias + ".tenant", Unit: alias + ".reach_unit", Region: alias + ".reach_region", Industry: alias + ".reach_industry", Labels: alias + ".reach_labels"})
		return "SELECT " + alias + ".id FROM " + table + " AS " + alias + " WHERE " + where, args
	}
	alerts, alertArgs := within("a", "ticketing_alerts")
	incidents, incidentArgs := within("i", "ticketing_incidents")
	q := s.db.NewSelect().Model((*timelineRow)(nil)).
		Where("(t.object IN ("+alerts+") OR t.object IN ("+incidents+"))", append(alertArgs, incidentArgs...)...)
	if !query.System {
		q = q.Where("t.actor <> ?", SystemActor)
	}
	if len(query.Kinds) > 0 {
		q = q.Where("t.kind IN (?)", bun.In(query.Kinds))
	}
	for column, value := range map[string]string{"actor": query.Actor, "object": query.Object} {
		if value != "" {
			q = q.Where("? = ?", bun.Ident("t."+column), value)
		}
	}
	if query.Q != "" {
		if query.Reach.Veil() != nil {
			return nil, 0, fmt.Errorf("%w: parts of events are masked for you: records cannot be looked for by words", ErrInvalid)
		}
		q = q.Where("instr(lower(t.text), lower(?)) > 0", query.Q)
	}
	if !query.From.IsZero() {
		q = q.Where("t.at >= ?", query.From.UnixMilli())
	}
	if !query.To.IsZero() {
		q = q.Where("t.at < ?", query.To.UnixMilli())
	}
	n, err := q.Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("ticketing: count records: %w", err)
	}
	if query.Before > 0 {
		q = q.Where("t.seq < ?", query.Before)
	}
	var rows []struct {
		timelineRow
		AlertTenant    string `bun:"alert_tenant"`
		AlertTitle     string `bun:"alert_title"`
		IncidentTenant string `bun:"incident_tenant"`
		IncidentDoc    string `bun:"incident_doc"`
	}
	err = q.ColumnExpr("t.*, coalesce(ta.tenant, '') AS alert_tenant, coalesce(ta.rule_title, '') AS alert_title, coalesce(ti.tenant, '') AS incident_tenant, coalesce(json_extract(ti.doc, '$.title'), '') AS incident_doc").
		Join("LEFT JOIN ticketing_alerts AS ta ON ta.id = t.object").Join("LEFT JOIN ticketing_incidents AS ti ON ti.id = t.object").
		OrderExpr("t.seq DESC").Limit(int64(min(max(query.Limit, 1), maxLimit))).Scan(ctx, &rows)
	if err != nil {
		return nil, 0, fmt.Errorf("ticketing: list records: %w", err)
	}
	out = make([]Record, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		rec := Record{Seq: r.Seq, Object: r.Object, Of: "alert", Tenant: r.AlertTenant, Title: titleIn(r.AlertTitle), TimelineEntry: r.view()}
		if r.IncidentTenant != "" {
			rec.Of, rec.Tenant, rec.Title = "incident", r.IncidentTenant, titleIn(r.IncidentDoc)
		}
		if query.Reach.Veil() != nil {
			rec.Title, rec.Text, rec.Data = "", detections.Text{}, nil // texts cite what alerts say
		} else if rec.Of == "incident" && !query.Reach.CoversWhole(rec.Tenant) {
			if rec.Data["alert_id"] != nil || rec.Data["alert_ids"] != nil {
				rec.Text = detections.Text{}
			}
			rec.Title, rec.Data = "", nil // of alerts that may not be in reach
		}
		out = append(out, rec)
	}
	return out, int(n), nil
}

// titleIn reads a title as SQL keeps it; in Chinese, or where there is none in
// English.
func titleIn(text string) string {
	t := textIn(text)
	return firstOf(t.ZH, t.EN)
}

// textIn reads a text as SQL keeps it.
func textIn(text string) (t detections.Text) {
	_ = json.Unmarshal([]byte(text), &t) // an empty one where it is none
	return t
}

// Conclusions is how the alerts of a rule ended.
type Conclusions struct {
	Rule    string  `json:"rule"`
	Alerts  int     `json:"alerts" doc:"All of them, open ones too"`
	True    int     `json:"true_positive"`
	False   int     `json:"false_positive"`
	Benign  int     `json:"benign"`
	Test    int     `json:"test"`
	Others  int     `json:"others" doc:"Duplicates, and those that recovered by themselves"`
	Precise float64 `json:"precision" doc:"Share of true ones among those that were judged true, false or benign; 0 where none was"`
	Weeks   []Week  `json:"weeks,omitempty" nullable:"false" doc:"Of one rule: by week of the closing, oldest first"`
}

// Week is how the alerts of a rule ended that were closed in a week.
type Week struct {
	From  Time `json:"from" format:"date-time"`
	True  int  `json:"true_positive"`
	False int  `json:"false_positive"`
}

func (c *Conclusions) weigh() {
	if n := c.True + c.False + c.Benign; n > 0 {
		c.Precise = float64(c.True) / float64(n)
	}
}

// Conclude counts how alerts in reach that were seen since a time ended, by
// rule, those with the most false ones first; rule "" is all of them.
func (s *Service) Conclude(ctx context.Context, r reach.Reach, rule string, since time.Time) ([]Conclusions, error) {
	out := []Conclusions{}
	var rows []struct {
		Rule       string `bun:"rule_id"`
		Resolution string `bun:"resolution"`
		Closed     bool   `bun:"closed"`
		N          int    `bun:"n"`
	}
	q := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("rule_id, resolution, status = 'closed' AS closed, count(*) AS n").
		Where("last_seen >= ?", since.UnixMilli()).GroupExpr("rule_id, resolution, status = 'closed'").OrderExpr("rule_id")
	if rule != "" {
		q = q.Where("rule_id = ?", rule)
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("ticketing: count how alerts ended: %w", err)
	}
	for _, row := range rows {
		if len(out) == 0 || out[len(out)-1].Rule != row.Rule {
			out = append(out, Conclusions{Rule: row.Rule, Weeks: []Week{}})
		}
		c := &out[len(out)-1]
		c.Alerts += row.N
		switch {
		case !row.Closed:
		case row.Resolution == "true_positive":
			c.True += row.N
		case row.Resolution == "false_positive":
			c.False += row.N
		case row.Resolution == "benign":
			c.Benign += row.N
		case row.Resolution == "test":
			c.Test += row.N
		default:
			c.Others += row.N
		}
	}
	for i := range out {
		out[i].weigh()
	}
	slices.SortStableFunc(out, func(a, b Conclusions) int { return b.False - a.False })
	if rule == "" || len(out) == 0 {
		return out, nil
	}
	const week = 7 * 24 * int64(time.Hour/time.Millisecond)
	var weeks []struct {
		Week  int64 `bun:"week"`
		True  int   `bun:"sound"`
		False int   `bun:"misled"`
	}
	err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("closed_at / ? AS week, sum(resolution = 'true_positive') AS sound, sum(resolution = 'false_positive') AS misled", week).
		Where("rule_id = ? AND status = 'closed' AND closed_at >= ?", rule, since.UnixMilli()).GroupExpr("week").OrderExpr("week").Scan(ctx, &weeks)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count how alerts of %s ended by week: %w", rule, err)
	}
	for _, w := range weeks {
		out[0].Weeks = append(out[0].Weeks, Week{From: at(w.Week * week), True: w.True, False: w.False})
	}
	return out, nil
}

// Case is what of an incident another one is compared by.
type Case struct {
	Incident
	Rules []string // ids of the rules of its alerts in reach
}

// Cases returns the latest incidents in reach with their rules, so many at
// most, for comparisons.
func (s *Service) Cases(ctx context.Context, r reach.Reach, limit int) ([]Case, error) {
	var rows []incidentRow
	if err := r.Within(s.db.NewSelect().Model(&rows), "i").OrderExpr("opened_at DESC, id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read incidents to compare: %w", err)
	}
	views, err := incidentViews(rows, s.now())
	if err != nil {
		return nil, err
	}
	if err := s.countAlerts(ctx, r, views); err != nil {
		return nil, err
	}
	out := make([]Case, 0, len(views))
	at := map[string]int{}
	ids := make([]string, 0, len(views))
	for n := range views {
		at[views[n].ID] = n
		ids = append(ids, views[n].ID)
		out = append(out, Case{Incident: views[n]})
		if !r.CoversWhole(views[n].Tenant) {
			out[n].Actors = []string{} // of alerts that may not be in reach
		}
	}
	for part := range slices.Chunk(ids, idsPerStatement) {
		var rules []struct {
			Incident string `bun:"incident_id"`
			Rule     string `bun:"rule_id"`
		}
		err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("DISTINCT incident_id, rule_id").Where("incident_id IN (?)", bun.In(part)).Scan(ctx, &rules)
		if err != nil {
			return nil, fmt.Errorf("ticketing: read the rules of %d incidents: %w", len(part), err)
		}
		for _, x := range rules {
			c := &out[at[x.Incident]]
			c.Rules = union(c.Rules, x.Rule)
		}
	}
	return out, nil
}

// IncidentsOf returns the incidents in reach that hold some of the alerts that
// are in reach, and how many of them.
func (s *Service) IncidentsOf(ctx context.Context, r reach.Reach, alerts []string) (map[string]int, error) {
	out := map[string]int{}
	for part := range slices.Chunk(alerts, idsPerStatement) {
		var rows []struct {
			Incident string `bun:"incident_id"`
			N        int    `bun:"n"`
		}
		err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("incident_id, count(*) AS n").Where("id IN (?) AND incident_id <> ''", bun.In(part)).Group("incident_id").Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("ticketing: look for the incidents of %d alerts: %w", len(part), err)
		}
		for _, x := range rows {
			out[x.Incident] += x.N
		}
	}
	return out, nil
}

// RulesOf returns the ids of the rules of an incident's alerts in reach.
func (s *Service) RulesOf(ctx context.Context, r reach.Reach, incident string) ([]string, error) {
	rules := []string{}
	err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("DISTINCT rule_id").Where("incident_id = ?", incident).OrderExpr("rule_id").Scan(ctx, &rules)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read the rules of %s: %w", incident, err)
	}
	return rules, nil
}
