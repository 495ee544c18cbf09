package ticketing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/ticketing/scenario"
)

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
