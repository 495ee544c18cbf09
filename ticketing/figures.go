package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/sla"
)

// The dimensions by which figures are told apart.
const (
	ByStatus     = "status"
	BySeverity   = "severity"
	ByPriority   = "priority"
	ByTenant     = "tenant"
	ByUnit       = "unit"
	BySystem     = "system"
	ByHandler    = "handler"
	ByTeam       = "team"
	BySource     = "source"
	ByResolution = "resolution"
	ByKeyAsset   = "key_asset"
	ByDataLevel  = "data_level"
	ByEventLevel = "event_level"
	ByCategory   = "data_category"
	ByActivity   = "data_activity"
)

// Dimensions lists them in the order in which they are shown.
var Dimensions = []string{ByStatus, BySeverity, ByPriority, BySource, ByTenant, ByUnit, BySystem, ByHandler, ByTeam, ByResolution, ByKeyAsset, ByDataLevel, ByEventLevel, ByCategory, ByActivity}

// maxShares is how many values of a dimension are named; the others are summed
// up under Others.
const (
	maxShares = 50
	Others    = "*"
)

// Tally counts the incidents that opened within a time, as they stand now, and
// the alerts that were raised within it.
type Tally struct {
	Incidents    int   `json:"incidents" doc:"That opened within the time"`
	Open         int   `json:"open" doc:"Of these, nobody has acknowledged"`
	Acknowledged int   `json:"acknowledged" doc:"Of these, somebody works on"`
	Closed       int   `json:"closed" doc:"Of these, closed by now"`
	Breached     int   `json:"breached" doc:"Of these, a due time was missed"`
	MTTA         int64 `json:"mtta_seconds" doc:"Mean time to acknowledge of those that were; 0 where none was"`
	MTTR         int64 `json:"mttr_seconds" doc:"Mean time to resolve without pauses of those that were; 0 where none was"`
	Alerts       int   `json:"alerts" doc:"Raised within the time"`
	AlertsOpen   int   `json:"alerts_open" doc:"Of these, not closed"`
	False        int   `json:"false_positives" doc:"Alerts of the time that were closed as false"`
	Events       int   `json:"events" doc:"Behind the alerts of the time"`

	acked, resolved int
	ack, resolve    time.Duration
}

// Share is the tally of one value of a dimension.
type Share struct {
	Key  string `json:"key" doc:"Value of the dimension: an id, a name or a word; empty where there is none, * for all that are not named"`
	Name string `json:"name,omitempty" doc:"What people call it, where that is another thing"`
	Tally
}

// FigureDay is the tally of one day of the caller's zone.
type FigureDay struct {
	Day string `json:"day" format:"date"`
	Tally
	ClosedOn int `json:"closed_on" doc:"Incidents closed on the day, whenever they opened"`
}

// Dimension is the shares of one dimension, the largest first.
type Dimension struct {
	By     string  `json:"by" enum:"status,severity,priority,source,tenant,unit,system,handler,team,resolution,key_asset,data_level,event_level,data_category,data_activity"`
	Shares []Share `json:"shares" nullable:"false"`
}

// Figures sum up what happened within a time, and within the time of the same
// length before it.
type Figures struct {
	From    Time        `json:"from" format:"date-time"`
	To      Time        `json:"to" format:"date-time"`
	Total   Tally       `json:"total"`
	Before  Tally       `json:"before" doc:"Of the time of the same length before, as it stands now"`
	Backlog int         `json:"backlog" doc:"Incidents that are not closed, whenever they opened"`
	Days    []FigureDay `json:"days" nullable:"false" doc:"Oldest first, those without anything too"`
	By      []Dimension `json:"by" nullable:"false"`
}

// FiguresQuery asks for figures.
type FiguresQuery struct {
	Reach reach.Reach
	To    time.Time
	Days  int            // days of the calendar, the last one being that of To; 1 to 92
	Zone  *time.Location // whose days
}

// maxFigureDays bounds what is summed up at once.
const maxFigureDays = 92

// sourceExpr is where an alert comes from: the name of the source that sent it,
// or the suite's own rules.
const sourceExpr = `CASE WHEN a.rule_id LIKE 'source-%' THEN coalesce(nullif(json_extract(a.doc, '$.fields."event.provider"'), ''), a.rule_id)
	ELSE coalesce(nullif(json_extract(a.doc, '$.rule.kind'), ''), 'rules') END`

// Figures sums up what is within reach.
func (s *Service) Figures(ctx context.Context, q FiguresQuery) (Figures, error) {
	if q.Days < 1 || q.Days > maxFigureDays {
		return Figures{}, fmt.Errorf("%w: days: %d, want 1 to %d", ErrInvalid, q.Days, maxFigureDays)
	}
	if q.Zone == nil {
		q.Zone = s.zone
	}
	last := q.To.In(q.Zone)
	first := time.Date(last.Year(), last.Month(), last.Day()-q.Days+1, 0, 0, 0, 0, q.Zone)
	before := time.Date(last.Year(), last.Month(), last.Day()-2*q.Days+1, 0, 0, 0, 0, q.Zone)
	f := &figuring{Figures: Figures{From: at(first.UnixMilli()), To: at(q.To.UnixMilli()), By: []Dimension{}}, now: s.now(), zone: q.Zone,
		days: map[string]*FigureDay{}, by: map[string]map[string]*Share{}}
	for n := range q.Days {
		day := time.Date(first.Year(), first.Month(), first.Day()+n, 12, 0, 0, 0, q.Zone).Format(time.DateOnly)
		f.Days = append(f.Days, FigureDay{Day: day})
	}
	for n := range f.Days {
		f.days[f.Days[n].Day] = &f.Days[n]
	}
	for _, d := range Dimensions {
		f.by[d] = map[string]*Share{}
	}
	if err := s.figureIncidents(ctx, q, f, before, first); err != nil {
		return Figures{}, err
	}
	if err := s.figureAlerts(ctx, q, f, before, first); err != nil {
		return Figures{}, err
	}
	n, err := q.Reach.Within(s.db.NewSelect().Model((*incidentRow)(nil)), "i").Where("status <> ?", StatusClosed).Count(ctx)
	if err != nil {
		return Figures{}, fmt.Errorf("ticketing: count the incidents that are open: %w", err)
	}
	f.Backlog = int(n)
	return f.done(), nil
}

// figuring is figures as they are summed up.
type figuring struct {
	Figures
	now  time.Time
	zone *time.Location
	days map[string]*FigureDay
	by   map[string]map[string]*Share
}

func (f *figuring) share(by, key, name string) *Tally {
	sh := f.by[by][key]
	if sh == nil {
		sh = &Share{Key: key}
		f.by[by][key] = sh
	}
	if name != "" && name != key {
		sh.Name = name
	}
	return &sh.Tally
}

func (f *figuring) day(ms int64) *FigureDay {
	return f.days[time.UnixMilli(ms).In(f.zone).Format(time.DateOnly)]
}

func (t *Tally) incident(r *incidentRow, now time.Time) {
	t.clocked(r.clock(), r.Status, time.Duration(r.PausedMS)*time.Millisecond, now)
}

func (t *Tally) clocked(c sla.Clock, status Status, paused time.Duration, now time.Time) {
	t.Incidents++
	switch status {
	case StatusOpen:
		t.Open++
	case StatusAcknowledged:
		t.Acknowledged++
	default:
		t.Closed++
	}
	if c.AckLate(now) || c.ResolveLate(now) {
		t.Breached++
	}
	if !c.Acked.IsZero() {
		t.acked, t.ack = t.acked+1, t.ack+c.Acked.Sub(c.Opened)
	}
	if !c.Resolved.IsZero() {
		t.resolved, t.resolve = t.resolved+1, t.resolve+max(0, c.Resolved.Sub(c.Opened)-paused)
	}
}

func (t *Tally) done() {
	if t.acked > 0 {
		t.MTTA = int64(t.ack / time.Duration(t.acked) / time.Second)
	}
	if t.resolved > 0 {
		t.MTTR = int64(t.resolve / time.Duration(t.resolved) / time.Second)
	}
}

func (s *Service) figureIncidents(ctx context.Context, q FiguresQuery, f *figuring, before, first time.Time) error {
	var rows []struct {
		incidentRow
		SystemName string `bun:"system_name"`
		EventLevel int    `bun:"event_level"`
		Category   string `bun:"data_category"`
		Activity   string `bun:"data_activity"`
	}
	from, to := before.UnixMilli(), q.To.UnixMilli()
	err := q.Reach.Within(s.db.NewSelect().Model((*incidentRow)(nil)), "i").
		Column("id", "tenant", "reach_unit", "system_id", "team", "severity", "priority", "status", "assignee", "resolution", "key_asset", "data_level", "opened_at", "closed_at", "ack_due", "ack_warn",
			"resolve_due", "resolve_warn", "acked_at", "resolved_at", "calendar", "paused_at", "paused_ms", "fault", "propose_due", "proposed_at").
		ColumnExpr(`coalesce(json_extract(i.doc, '$.system.name'), '') AS system_name`).
		ColumnExpr("coalesce(v.level, 0) AS event_level").ColumnExpr("coalesce(v.category, '') AS data_category").ColumnExpr("coalesce(v.activity, '') AS data_activity").
		Join("LEFT JOIN ticketing_event_levels AS v ON v.incident = i.id").
		Where("opened_at BETWEEN ? AND ? OR closed_at BETWEEN ? AND ?", from, to, from, to).OrderExpr("opened_at, id").Limit(maxMeasures).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("ticketing: read the incidents since %s: %w", before.Format(time.RFC3339), err)
	}
	for i := range rows {
		r := &rows[i].incidentRow
		if r.Status == StatusClosed && r.ClosedAt >= first.UnixMilli() && r.ClosedAt <= to {
			if d := f.day(r.ClosedAt); d != nil {
				d.ClosedOn++
			}
		}
		switch {
		case r.OpenedAt < from || r.OpenedAt > to:
			continue
		case r.OpenedAt < first.UnixMilli():
			f.Before.incident(r, f.now)
			continue
		}
		tallies := []*Tally{&f.Total, f.share(ByStatus, string(r.Status), ""), f.share(BySeverity, string(severityOf(r.Severity)), ""),
			f.share(ByPriority, priorityOf(r.Priority), ""), f.share(ByTenant, r.Tenant, ""), f.share(ByUnit, r.Unit, ""),
			f.share(BySystem, r.SystemID, rows[i].SystemName), f.share(ByHandler, r.Assignee, ""), f.share(ByTeam, r.Team, ""), f.share(ByResolution, r.Resolution, ""), f.share(ByKeyAsset, keyShare(r.KeyAsset), ""), f.share(ByDataLevel, levelShare(r.DataLevel), "")}
		if n := rows[i].EventLevel; n > 0 { // of data-security events alone
			tallies = append(tallies, f.share(ByEventLevel, strconv.Itoa(n), s.eventLevelName(n)), f.share(ByCategory, rows[i].Category, ""), f.share(ByActivity, rows[i].Activity, s.activityName(rows[i].Activity)))
		}
		if d := f.day(r.OpenedAt); d != nil {
			tallies = append(tallies, &d.Tally)
		}
		for _, t := range tallies {
			t.incident(r, f.now)
		}
	}
	return s.figureSources(ctx, q, f, first)
}

// figureSources tells the incidents apart by where their alerts come from: one
// with alerts of two sources counts for both.
func (s *Service) figureSources(ctx context.Context, q FiguresQuery, f *figuring, first time.Time) error {
	var rows []struct {
		Source string `bun:"source"`
		incidentRow
	}
	within := q.Reach.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("DISTINCT a.incident_id AS id").ColumnExpr(sourceExpr+" AS source").
		Where("a.incident_id IN (SELECT id FROM ticketing_incidents WHERE opened_at BETWEEN ? AND ?)", first.UnixMilli(), q.To.UnixMilli())
	err := q.Reach.Within(s.db.NewSelect().Model((*incidentRow)(nil)), "i").ColumnExpr("o.source AS source").
		Column("i.id", "status", "opened_at", "ack_due", "resolve_due", "acked_at", "resolved_at", "calendar", "paused_at", "paused_ms", "fault", "propose_due", "proposed_at").
		Join("JOIN (?) AS o ON o.id = i.id", within).OrderExpr("i.id, o.source").Limit(maxMeasures).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("ticketing: read the sources of incidents since %s: %w", first.Format(time.RFC3339), err)
	}
	for i := range rows {
		f.share(BySource, rows[i].Source, "").incident(&rows[i].incidentRow, f.now)
	}
	return nil
}

func (s *Service) figureAlerts(ctx context.Context, q FiguresQuery, f *figuring, before, first time.Time) error {
	var rows []struct {
		Day      int64  `bun:"slot"`
		Tenant   string `bun:"tenant"`
		Unit     string `bun:"reach_unit"`
		System   string `bun:"system_id"`
		Severity int    `bun:"severity"`
		Priority int    `bun:"priority"`
		Status   Status `bun:"status"`
		Source   string `bun:"source"`
		Ended    string `bun:"resolution"`
		KeyAsset bool   `bun:"key_asset"`
		Level    int    `bun:"data_level"`
		N        int    `bun:"n"`
		Events   int    `bun:"events"`
	}
	// Days begin at quarters of an hour in every zone there is.
	const quarter = int64(15 * time.Minute / time.Millisecond)
	err := q.Reach.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").
		ColumnExpr("created_at / ? AS slot, tenant, reach_unit, system_id, severity, priority, status, resolution, key_asset, data_level, "+sourceExpr+" AS source, count(*) AS n, sum(count) AS events", quarter).
		Where("created_at BETWEEN ? AND ?", before.UnixMilli(), q.To.UnixMilli()).
		GroupExpr("slot, tenant, reach_unit, system_id, severity, priority, status, resolution, key_asset, data_level, source").Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("ticketing: count the alerts since %s: %w", before.Format(time.RFC3339), err)
	}
	for _, r := range rows {
		ms := r.Day * quarter
		tallies := []*Tally{&f.Before}
		if ms >= first.UnixMilli() {
			tallies = []*Tally{&f.Total, f.share(ByStatus, string(r.Status), ""), f.share(BySeverity, string(severityOf(r.Severity)), ""), f.share(ByPriority, priorityOf(r.Priority), ""),
				f.share(ByTenant, r.Tenant, ""), f.share(ByUnit, r.Unit, ""), f.share(BySystem, r.System, ""), f.share(BySource, r.Source, ""), f.share(ByResolution, r.Ended, ""), f.share(ByKeyAsset, keyShare(r.KeyAsset), ""), f.share(ByDataLevel, levelShare(r.Level), "")}
			if d := f.day(ms); d != nil {
				tallies = append(tallies, &d.Tally)
			}
		}
		for _, t := range tallies {
			t.Alerts, t.Events = t.Alerts+r.N, t.Events+r.Events
			if r.Status != StatusClosed {
				t.AlertsOpen += r.N
			}
			if r.Ended == "false_positive" {
				t.False += r.N
			}
		}
	}
	return nil
}

// eventLevelName and activityName are what the table of factors calls them, in both
// languages.
func (s *Service) eventLevelName(n int) string {
	if s.eventTerms == nil || n > len(s.eventTerms().Levels) {
		return ""
	}
	return bothNames(s.eventTerms().Levels[n-1].Name)
}

func (s *Service) activityName(key string) string {
	if s.eventTerms != nil {
		for _, a := range s.eventTerms().Activities {
			if a.Key == key {
				return bothNames(a.Name)
			}
		}
	}
	return ""
}

// bothNames are the names with a line break between them, where there are two.
func bothNames(t detections.Text) string {
	if t.ZH == "" || t.EN == "" {
		return t.ZH + t.EN
	}
	return t.ZH + "\n" + t.EN
}

// levelShare is the value of ByDataLevel.
func levelShare(level int) string {
	if level == 0 {
		return ""
	}
	return strconv.Itoa(level)
}

// keyShare is the value of ByKeyAsset.
func keyShare(key bool) string {
	if key {
		return "key"
	}
	return "other"
}

// done works out means and orders the shares.
func (f *figuring) done() Figures {
	f.Total.done()
	f.Before.done()
	for n := range f.Days {
		f.Days[n].done()
	}
	for _, by := range Dimensions {
		shares := make([]Share, 0, len(f.by[by]))
		for _, key := range slices.Sorted(maps.Keys(f.by[by])) {
			shares = append(shares, *f.by[by][key])
		}
		slices.SortStableFunc(shares, func(a, b Share) int {
			return cmp.Or(cmp.Compare(b.Incidents, a.Incidents), cmp.Compare(b.Alerts, a.Alerts), strings.Compare(a.Key, b.Key))
		})
		if len(shares) > maxShares {
			rest := Share{Key: Others}
			for _, sh := range shares[maxShares-1:] {
				rest.add(&sh.Tally)
			}
			shares = append(shares[:maxShares-1], rest)
		}
		for n := range shares {
			shares[n].done()
		}
		f.By = append(f.By, Dimension{By: by, Shares: shares})
	}
	return f.Figures
}

func (t *Tally) add(o *Tally) {
	t.Incidents, t.Open, t.Acknowledged, t.Closed, t.Breached = t.Incidents+o.Incidents, t.Open+o.Open, t.Acknowledged+o.Acknowledged, t.Closed+o.Closed, t.Breached+o.Breached
	t.Alerts, t.AlertsOpen, t.False, t.Events = t.Alerts+o.Alerts, t.AlertsOpen+o.AlertsOpen, t.False+o.False, t.Events+o.Events
	t.acked, t.resolved, t.ack, t.resolve = t.acked+o.acked, t.resolved+o.resolved, t.ack+o.ack, t.resolve+o.resolve
}

// Happening is an entry of a timeline, as those read it that follow what happens
// to all alerts and incidents.
type Happening struct {
	Seq    int64
	Object string // id of an alert or incident
	TimelineEntry
}

// Happened reads what happened to alerts and incidents after an entry, oldest
// first; whoever calls it sees everything. Entries are written in the
// transactions of what they tell of, so that who remembers the last one that he
// has dealt with misses nothing.
func (s *Service) Happened(ctx context.Context, after int64, limit int) ([]Happening, error) {
	var rows []timelineRow
	if err := s.db.NewSelect().Model(&rows).Where("seq > ?", after).OrderExpr("seq").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read what happened after entry %d: %w", after, err)
	}
	out := make([]Happening, 0, len(rows))
	for i := range rows {
		out = append(out, Happening{Seq: rows[i].Seq, Object: rows[i].Object, TimelineEntry: rows[i].view()})
	}
	return out, nil
}

// LastHappened is the number of the last entry of all timelines.
func (s *Service) LastHappened(ctx context.Context) (seq int64, err error) {
	if err := s.db.NewSelect().Model((*timelineRow)(nil)).ColumnExpr("coalesce(max(seq), 0)").Scan(ctx, &seq); err != nil {
		return 0, fmt.Errorf("ticketing: read the last entry of timelines: %w", err)
	}
	return seq, nil
}

// TopItem is an item of the CMDB and how many alerts were raised about it.
type TopItem struct {
	ID       string
	Name     string
	System   string
	Alerts   int
	Severity detections.Level // the gravest
}

// TopItems are the items within reach about which the most alerts were raised
// within a time, the most first.
func (s *Service) TopItems(ctx context.Context, within reach.Reach, from, to time.Time, limit int) ([]TopItem, error) {
	var rows []struct {
		ID       string `bun:"ci_id"`
		Name     string `bun:"name"`
		System   string `bun:"system"`
		N        int    `bun:"n"`
		Severity int    `bun:"severity"`
	}
	err := within.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").
		ColumnExpr("ci_id, count(*) AS n, max(severity) AS severity, max(coalesce(json_extract(a.doc, '$.ci.name'), ci_id)) AS name, max(coalesce(json_extract(a.doc, '$.system.name'), system_id)) AS system").
		Where("created_at >= ? AND created_at < ? AND ci_id <> ''", from.UnixMilli(), to.UnixMilli()).GroupExpr("ci_id").OrderExpr("n DESC, severity DESC, ci_id").Limit(int64(limit)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("ticketing: count the alerts of items since %s: %w", from.Format(time.RFC3339), err)
	}
	out := make([]TopItem, 0, len(rows))
	for _, r := range rows {
		out = append(out, TopItem{ID: r.ID, Name: r.Name, System: r.System, Alerts: r.N, Severity: severityOf(r.Severity)})
	}
	return out, nil
}
