package ticketing

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/scenario"
)

// Page asks for a part of a list.
type Page struct {
	Sort   string // a column, "-" before it for descending; "" for the list's own order
	Limit  int    // items at most; 0 for 50, at most 1000
	Cursor string // the next of the page before
}

// AlertQuery filters alerts. Empty fields do not filter; several values of a
// field are alternatives.
type AlertQuery struct {
	Reach      reach.Reach // the zero value shows nothing
	Statuses   []string
	Severities []string
	Priorities []string
	Incident   string
	CI         string   // id
	System     string   // id
	About      []string // ids of items and business systems; about any of them
	Rule       string   // id
	Assignee   string
	SourceIP   string
	Verdicts   []string
	Phases     []string // of the kill chain
	Directions []string
	Threats    []string
	Attacks    []string // types of attack
	Risks      []string // codes of a class, subclass or type, with dots between them
	Attacker   string   // address
	Victim     string   // address
	Attacked   bool     // those alone that name an attacker
	Tag        string
	Suppressed string    // SuppressedNone, SuppressedOnly, or the id of a suppression; "" for all
	Flapping   bool      // those alone that flap
	Focus      bool      // those alone of a risk of focus
	Gathered   time.Time // those alone that the policy of generation keeps from people at that moment
	KeyAsset   bool      // those alone that are about key assets
	DataLevels []int     // of the data that they are about; 0: those of none that is known
	UnreadBy   string    // those alone that this person has not looked at
	Q          string    // words that must all occur in title, rule, item, system, address, user or id
	Since      time.Time // last seen at or after
	Until      time.Time // first seen at or before
	Units      []string  // ids of organisations: those of the alerts' own facts, and below them tenants that have none of their own
	OfUnits    []string  // slugs of the tenants whose alerts without an organisation of their own belong to Units
	IP         string    // address of the attacker, the victim or the source
	Scenario   *scenario.Clause
	AboutOnly  bool      // nothing where About is empty
	archived   string    // of incidents
	Involved   *Involved // those alone that tell of it; of alerts
	ids        []string  // these alone; nil for all
	Page
}

// IncidentQuery filters incidents, as AlertQuery does alerts.
type IncidentQuery struct {
	Reach      reach.Reach
	Statuses   []string
	Severities []string
	Priorities []string
	CI         string
	System     string
	About      []string // as an AlertQuery's
	Assignee   string
	Verdicts   []string
	Phases     []string // of the kill chain, the furthest
	Q          string
	Since      time.Time // last seen at or after
	Until      time.Time // first seen before
	Archived   string    // ArchivedNone, ArchivedOnly or ArchivedToo
	KeyAsset   bool      // those alone that are about key assets
	DataLevels []int     // of the data that they are about; 0: those of none that is known
	Alerts     *Involved // those alone that have an alert within reach that tells of it
	Page
}

// The columns lists sort by, under the names the API gives them.
var (
	alertSorts = map[string]string{
		"last_seen": "last_seen", "first_seen": "first_seen", "created_at": "created_at",
		"severity": "severity", "priority": "priority", "count": "count", "verdict": "verdict", "focus": focusFirst,
	}
	incidentSorts = map[string]string{
		"opened_at": "opened_at", "last_seen": "last_seen", "first_seen": "first_seen", "severity": "severity",
		"priority": "priority", "due": "due", "alert_count": "alert_count",
	}
)

// focusFirst orders alerts of a risk of focus before all others, and each by when
// they were seen last.
const focusFirst = "(focus * 100000000000000 + last_seen)"

const (
	defaultLimit = 50
	maxLimit     = 1000
	maxQuery     = 1000 // bytes of Q
)

// cursor stands for the last item of a page: the value it was sorted by, and
// its id.
type cursor struct {
	Sort  string `json:"s"`
	Value int64  `json:"v"`
	ID    string `json:"i"`
}

// order is a page's sort, read.
type order struct {
	name   string // as given
	column string
	desc   bool
	after  *cursor
	limit  int
}

func (p Page) read(sorts map[string]string, byDefault string) (order, error) {
	o := order{name: p.Sort, limit: p.Limit}
	if o.name == "" {
		o.name = byDefault
	}
	name, desc := strings.CutPrefix(o.name, "-")
	o.desc = desc
	column, ok := sorts[name]
	if !ok {
		known := make([]string, 0, len(sorts))
		for k := range sorts {
			known = append(known, k)
		}
		slices.Sort(known)
		return o, fmt.Errorf("%w: sort %q: want one of %s, with \"-\" before it for descending", ErrInvalid, p.Sort, strings.Join(known, ", "))
	}
	o.column = column
	if o.limit <= 0 {
		o.limit = defaultLimit
	}
	o.limit = min(o.limit, maxLimit)
	if p.Cursor != "" {
		data, err := base64.RawURLEncoding.DecodeString(p.Cursor)
		c := &cursor{}
		if err == nil {
			err = json.Unmarshal(data, c)
		}
		if err != nil || c.ID == "" {
			return o, fmt.Errorf("%w: cursor: it is not one that a list of this kind gave", ErrInvalid)
		}
		if c.Sort != o.name {
			return o, fmt.Errorf("%w: cursor: it belongs to the sort %q, not %q", ErrInvalid, c.Sort, o.name)
		}
		o.after = c
	}
	return o, nil
}

// apply orders a query and begins it after the cursor. It asks for one row
// more than the page holds, which tells whether another page follows.
func (o order) apply(q *bun.SelectQuery) *bun.SelectQuery {
	var column any = bun.Ident(o.column)
	if o.column == focusFirst {
		column = bun.Safe(focusFirst)
	}
	dir, cmp := "ASC", ">"
	if o.desc {
		dir, cmp = "DESC", "<"
	}
	if o.after != nil {
		q = q.Where("(?, id) "+cmp+" (?, ?)", column, o.after.Value, o.after.ID)
	}
	return q.OrderExpr("? "+dir+", id "+dir, column).Limit(int64(o.limit) + 1)
}

func (o order) next(value int64, id string) string {
	data, _ := json.Marshal(cursor{Sort: o.name, Value: value, ID: id})
	return base64.RawURLEncoding.EncodeToString(data)
}

// filter adds the conditions of a query to one of the table with the alias.
func filter(q *bun.SelectQuery, alias string, query AlertQuery) (*bun.SelectQuery, error) {
	q = query.Reach.Within(q, alias)
	if len(query.Statuses) > 0 {
		for _, s := range query.Statuses {
			if s != string(StatusOpen) && s != string(StatusAcknowledged) && s != string(StatusClosed) {
				return nil, fmt.Errorf("%w: status %q: want open, acknowledged or closed", ErrInvalid, s)
			}
		}
		q = q.Where("status IN (?)", bun.In(query.Statuses))
	}
	if len(query.Severities) > 0 {
		ranks := make([]int, 0, len(query.Severities))
		for _, s := range query.Severities {
			if !slices.Contains(detections.Levels, detections.Level(s)) {
				return nil, fmt.Errorf("%w: severity %q: want critical, high, medium, low or informational", ErrInvalid, s)
			}
			ranks = append(ranks, severityRank(detections.Level(s)))
		}
		q = q.Where("severity IN (?)", bun.In(ranks))
	}
	if len(query.Priorities) > 0 {
		ranks := make([]int, 0, len(query.Priorities))
		for _, p := range query.Priorities {
			if len(p) != 2 || p[0] != 'P' || p[1] < '1' || p[1] > '4' {
				return nil, fmt.Errorf("%w: priority %q: want P1, P2, P3 or P4", ErrInvalid, p)
			}
			ranks = append(ranks, int(p[1]-'0'))
		}
		q = q.Where("priority IN (?)", bun.In(ranks))
	}
	q, err := judgedBy(q, query)
	if err != nil {
		return nil, err
	}
	if len(query.Q) > maxQuery {
		return nil, fmt.Errorf("%w: q: %d bytes, at most %d", ErrInvalid, len(query.Q), maxQuery)
	}
	// Nobody finds out by asking what is hidden from him.
	hidden, searched := query.Reach.Veil(), bun.Safe("search")
	if hidden != nil {
		if searched = "lower(id)"; alias == "a" {
			searched = "lower(rule_title || ' ' || rule_id || ' ' || id)"
		}
	}
	if slices.ContainsFunc(addressFields, hidden.Touches) && query.SourceIP+query.Attacker+query.Victim+query.IP != "" {
		return nil, fmt.Errorf("%w: addresses are masked for you: alerts cannot be looked for by source_ip, attacker, victim or ip", ErrInvalid)
	}
	for _, word := range strings.Fields(strings.ToLower(query.Q)) {
		word = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(word)
		q = q.Where(`? LIKE ? ESCAPE '\'`, searched, "%"+word+"%")
	}
	for _, is := range [][2]string{
		{"incident_id", query.Incident}, {"ci_id", query.CI}, {"system_id", query.System}, {"rule_id", query.Rule},
		{"assignee", query.Assignee}, {"source_ip", query.SourceIP},
		{"attacker", query.Attacker}, {"victim", query.Victim},
	} {
		if is[1] != "" {
			q = q.Where("? = ?", bun.Ident(is[0]), is[1])
		}
	}
	if query.Suppressed != "" && alias == "a" {
		q = suppressedBy(q, query.Suppressed)
	}
	if query.Attacked {
		q = q.Where("attacker <> ''")
	}
	if query.Flapping {
		q = q.Where("flapping = 1 AND status <> 'closed'")
	}
	if query.Focus && alias == "a" {
		q = q.Where("focus = 1")
	}
	if !query.Gathered.IsZero() && alias == "a" {
		q = q.Where("(gathered = ? OR gathered > ?) AND status <> 'closed'", keptOnly, query.Gathered.UnixMilli())
	}
	if query.Scenario != nil && alias == "a" {
		q = q.Where(query.Scenario.Where, query.Scenario.Args...)
	}
	if len(query.Units) > 0 {
		if len(query.OfUnits) > 0 {
			q = q.Where("(reach_unit IN (?) OR reach_unit = '' AND tenant IN (?))", bun.In(query.Units), bun.In(query.OfUnits))
		} else {
			q = q.Where("reach_unit IN (?)", bun.In(query.Units))
		}
	}
	if query.IP != "" {
		q = q.Where("(source_ip = ? OR attacker = ? OR victim = ?)", query.IP, query.IP, query.IP)
	}
	if len(query.About) == 0 && query.AboutOnly {
		q = q.Where("1 = 0")
	}
	if len(query.About) > 0 {
		q = q.Where("(ci_id IN (?) OR system_id IN (?))", bun.In(query.About), bun.In(query.About))
	}
	if query.KeyAsset {
		q = q.Where("key_asset = 1")
	}
	if len(query.DataLevels) > 0 {
		q = q.Where("data_level IN (?)", bun.In(query.DataLevels))
	}
	if query.UnreadBy != "" && alias == "a" {
		q = q.Where("NOT EXISTS (SELECT 1 FROM ticketing_reads AS r WHERE r.person = ? AND r.alert = a.id)", query.UnreadBy)
	}
	if alias == "i" {
		if q, err = archived(q, query.archived); err != nil {
			return nil, err
		}
	}
	if query.Tag != "" {
		q = q.Where("instr(',' || tags || ',', ?) > 0", ","+query.Tag+",")
	}
	if !query.Since.IsZero() {
		q = q.Where("last_seen >= ?", query.Since.UnixMilli())
	}
	if !query.Until.IsZero() {
		q = q.Where("first_seen <= ?", query.Until.UnixMilli())
	}
	if alias == "a" && query.Involved != nil {
		masked := func(ip string) bool {
			return hidden.Value("message", ip) != ip || slices.ContainsFunc(addressFields, func(f string) bool { return hidden.Value(f, ip) != ip })
		}
		if slices.ContainsFunc(query.Involved.addresses(), masked) {
			return nil, fmt.Errorf("%w: the address is masked for you: alerts cannot be looked for by it", ErrInvalid)
		}
		q = involving(q, query.Involved)
	}
	if query.ids != nil {
		q = q.Where("id IN (?)", bun.In(query.ids))
	}
	return q, nil
}

// listed is a row of a list: its id, and its values in the columns that the
// list sorts by, which are what a cursor keeps.
type listed interface {
	place() (id string, values map[string]int64)
}

func (r alertRow) place() (string, map[string]int64) {
	return r.ID, map[string]int64{
		"last_seen": r.LastSeen, "first_seen": r.FirstSeen, "created_at": r.CreatedAt,
		"severity": int64(r.Severity), "priority": int64(r.Priority), "count": int64(r.Count), "verdict": int64(r.Verdict), focusFirst: r.ranked(),
	}
}

// ranked is the value of focusFirst.
func (r alertRow) ranked() int64 {
	if r.Focus {
		return 100000000000000 + r.LastSeen
	}
	return r.LastSeen
}

func (r incidentRow) place() (string, map[string]int64) {
	return r.ID, map[string]int64{
		"opened_at": r.OpenedAt, "last_seen": r.LastSeen, "first_seen": r.FirstSeen, "severity": int64(r.Severity),
		"priority": int64(r.Priority), "due": r.Due, "alert_count": int64(r.AlertCount),
	}
}

// list reads a page of rows, how many match in all, and the cursor of the next
// page or "".
func list[R listed](ctx context.Context, s *Service, what, alias string, sorts map[string]string, byDefault string, query AlertQuery) (rows []R, total int, next string, err error) {
	o, err := query.Page.read(sorts, byDefault)
	if err != nil {
		return nil, 0, "", err
	}
	if o.column == focusFirst {
		// Where none is of focus, the order is that of an index, and the cursors are the same.
		some, err := s.db.NewSelect().Model((*alertRow)(nil)).Where("focus = 1").Exists(ctx)
		if err != nil {
			return nil, 0, "", fmt.Errorf("ticketing: look for alerts of focus: %w", err)
		}
		if !some {
			o.column = "last_seen"
		}
	}
	q, err := filter(s.db.NewSelect().Model(&rows).ExcludeColumn("search"), alias, query)
	if err != nil {
		return nil, 0, "", err
	}
	// Counting comes first: the total does not depend on the cursor.
	n, err := q.Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("ticketing: count %s: %w", what, err)
	}
	if err := o.apply(q).Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("ticketing: list %s: %w", what, err)
	}
	if len(rows) > o.limit {
		rows = rows[:o.limit]
		id, values := rows[o.limit-1].place()
		next = o.next(values[o.column], id)
	}
	return rows, int(n), next, nil
}

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

func (s *Service) timeline(ctx context.Context, object string) ([]TimelineEntry, error) {
	var rows []timelineRow
	if err := s.db.NewSelect().Model(&rows).Where("object = ?", object).OrderExpr("seq").Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: read the timeline of %s: %w", object, err)
	}
	out := make([]TimelineEntry, 0, len(rows))
	for i := range rows {
		out = append(out, rows[i].view())
	}
	return out, nil
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

// visibleEntries leaves out of an incident's timeline what tells of alerts that
// are not in reach.
func (s *Service) visibleEntries(ctx context.Context, r reach.Reach, timeline []TimelineEntry) ([]TimelineEntry, error) {
	alertsOf := func(e *TimelineEntry) (ids []string) {
		if id, ok := e.Data["alert_id"].(string); ok {
			ids = append(ids, id)
		}
		list, _ := e.Data["alert_ids"].([]any)
		for _, v := range list {
			if id, ok := v.(string); ok {
				ids = append(ids, id)
			}
		}
		return ids
	}
	var all []string
	for n := range timeline {
		all = append(all, alertsOf(&timeline[n])...)
	}
	visible := map[string]bool{}
	for part := range slices.Chunk(all, idsPerStatement) {
		var ids []string
		if err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").Column("id").Where("id IN (?)", bun.In(part)).Scan(ctx, &ids); err != nil {
			return nil, fmt.Errorf("ticketing: which of %d alerts are in reach: %w", len(part), err)
		}
		for _, id := range ids {
			visible[id] = true
		}
	}
	out := timeline[:0]
	for _, e := range timeline {
		ids := alertsOf(&e)
		seen := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !visible[id] })
		switch {
		case len(ids) > 0 && len(seen) == 0:
			continue
		case len(seen) < len(ids):
			e.Text, e.Data = takenIn(len(seen)), map[string]any{"alert_ids": seen}
		}
		out = append(out, e)
	}
	return out, nil
}

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
