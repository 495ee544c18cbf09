package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/observable"
)

// Involved is how alerts tell of one thing: what is given are alternatives.
type Involved struct {
	Address   string                  // it is the source, the attacker or the victim
	Attackers []string                // addresses, one of which attacks
	Victims   []string                // addresses, one of which is attacked
	About     []string                // ids of items and business systems that the alert is about
	Seen      []observable.Observable // the index of observables has it in the alert
}

// Kinds of the index that no list of observables shows: they are what alerts of
// a machine, an account of an application and a mail address are found by.
const (
	seenHost    = "host"
	seenAccount = "account"
	seenMail    = "mail"
)

// SeenHost, SeenAccount and SeenMail are what an Involved looks for by the name
// of a machine, the id of an account and a mail address.
func SeenHost(name string) observable.Observable {
	return observable.Observable{Type: seenHost, Value: strings.ToLower(name)}
}

// SeenAccount is as SeenHost.
func SeenAccount(id string) observable.Observable {
	return observable.Observable{Type: seenAccount, Value: id}
}

// SeenMail is as SeenHost.
func SeenMail(address string) observable.Observable {
	return observable.Observable{Type: seenMail, Value: strings.ToLower(address)}
}

// indexed are the fields whose values the index has beside observables.
var indexed = map[string]func(string) observable.Observable{
	"host.name": SeenHost, "host.hostname": SeenHost, "observer.name": SeenHost,
	"user.id": SeenAccount, "user.target.id": SeenAccount, "url.username": SeenAccount,
	"email.from.address": SeenMail, "email.to.address": SeenMail, "email.sender.address": SeenMail, "user.email": SeenMail,
}

// more are what of the alert the index has beside observables.
func (a *alert) more() (out []observable.Observable) {
	for name, as := range indexed {
		v := a.doc.Fields[name]
		if v == "" || len(v) > 512 {
			continue
		}
		values := []string{v}
		if list := []string{}; json.Unmarshal([]byte(v), &list) == nil { // as several values of a field are written
			values = list
		}
		for _, v := range values[:min(len(values), 20)] {
			if o := as(v); !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// addresses are all that it names.
func (i *Involved) addresses() []string {
	return slices.Concat([]string{i.Address}, i.Attackers, i.Victims)
}

// involving narrows a query of alerts.
func involving(q *bun.SelectQuery, i *Involved) *bun.SelectQuery {
	if i == nil {
		return q
	}
	return q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("1 = 0")
		if i.Address != "" {
			q = q.WhereOr("source_ip = ?", i.Address).WhereOr("attacker = ?", i.Address).WhereOr("victim = ?", i.Address)
		}
		if len(i.Attackers) > 0 {
			q = q.WhereOr("attacker IN (?)", bun.In(i.Attackers))
		}
		if len(i.Victims) > 0 {
			q = q.WhereOr("victim IN (?)", bun.In(i.Victims))
		}
		if len(i.About) > 0 {
			q = q.WhereOr("ci_id IN (?)", bun.In(i.About)).WhereOr("system_id IN (?)", bun.In(i.About))
		}
		for _, o := range i.Seen {
			q = q.WhereOr("a.id IN (SELECT alert FROM observable_seen WHERE type = ? AND value = ?)", o.Type, o.Value)
		}
		return q
	})
}

// maxInvolved is how many incidents a thing's alerts name, the latest.
const maxInvolved = 1000

// incidentsInvolving are the ids of the incidents with alerts in reach that tell
// of what the query asks for; nil where it does not ask.
func (s *Service) incidentsInvolving(ctx context.Context, query IncidentQuery) ([]string, error) {
	if query.Alerts == nil {
		return nil, nil
	}
	q, err := filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", AlertQuery{Reach: query.Reach, Involved: query.Alerts})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	if err := q.Column("incident_id").Where("incident_id <> ''").Group("incident_id").OrderExpr("max(last_seen) DESC").Limit(maxInvolved).Scan(ctx, &ids); err != nil {
		return nil, fmt.Errorf("ticketing: incidents of alerts: %w", err)
	}
	return ids, nil
}

// Portrait is what alerts say of a thing, together.
type Portrait struct {
	Alerts     int                `json:"alerts"`
	Events     int                `json:"events" doc:"Behind these alerts"`
	Open       int                `json:"open"`
	Handled    int                `json:"acknowledged"`
	Closed     int                `json:"closed"`
	True       int                `json:"true_positives" doc:"Closed as true ones"`
	False      int                `json:"false_positives"`
	Incidents  int                `json:"incidents"`
	Severity   []Facet            `json:"severities" nullable:"false"`
	Verdicts   []Facet            `json:"verdicts" nullable:"false"`
	Phases     []Facet            `json:"phases" nullable:"false" doc:"The furthest of each alert"`
	Techniques []Facet            `json:"techniques" nullable:"false" doc:"Of ATT&CK"`
	Tactics    []Facet            `json:"tactics" nullable:"false"`
	Attacks    []Facet            `json:"attacks" nullable:"false" doc:"Ids of types of attack"`
	Others     []Facet            `json:"others" nullable:"false" doc:"Addresses at the other end, 20 at most; none where addresses are masked"`
	Rules      []RuleCount        `json:"rules" nullable:"false" doc:"20 at most"`
	FirstSeen  *Time              `json:"first_seen,omitempty" format:"date-time"`
	LastSeen   *Time              `json:"last_seen,omitempty" format:"date-time"`
	Chain      []ChainLink        `json:"chain" nullable:"false" doc:"The alerts in the order in which they began: the first 200"`
	Judged     []PortraitDecision `json:"judged" nullable:"false" doc:"How alerts were closed, the latest first, 50 at most"`
}

// RuleCount is a rule and how many alerts it raised.
type RuleCount struct {
	Rule   string          `json:"rule"`
	Title  detections.Text `json:"title"`
	Alerts int             `json:"alerts"`
}

// ChainLink is an alert in a chain of events.
type ChainLink struct {
	ID         string             `json:"id"`
	Title      detections.Text    `json:"title"`
	Severity   detections.Level   `json:"severity"`
	Verdict    detections.Verdict `json:"verdict,omitempty"`
	Status     Status             `json:"status"`
	Phase      string             `json:"phase,omitempty"`
	Tactics    []string           `json:"tactics" nullable:"false"`
	Techniques []string           `json:"techniques" nullable:"false"`
	Attacker   *detections.Party  `json:"attacker,omitempty"`
	Victim     *detections.Party  `json:"victim,omitempty"`
	Direction  string             `json:"direction,omitempty"`
	Incident   string             `json:"incident_id,omitempty"`
	FirstSeen  Time               `json:"first_seen" format:"date-time"`
	LastSeen   Time               `json:"last_seen" format:"date-time"`
	Count      int                `json:"count"`
}

// PortraitDecision is how an alert was closed.
type PortraitDecision struct {
	Alert      string          `json:"alert"`
	Title      detections.Text `json:"title"`
	Resolution string          `json:"resolution"`
	By         string          `json:"by"`
	At         Time            `json:"at" format:"date-time"`
}

// Bounds of a portrait.
const (
	maxPortrayed = 50_000 // alerts whose columns are read
	maxChain     = 200
	maxDecisions = 50
	maxPortrait  = 20 // values of a kind
)

// Portray sums up the alerts of a query. partial tells that there were more
// alerts than are looked at for techniques: the rest counts them all.
func (s *Service) Portray(ctx context.Context, query AlertQuery) (p Portrait, partial bool, err error) {
	fail := func(err error) (Portrait, bool, error) {
		return Portrait{}, false, fmt.Errorf("ticketing: portray: %w", err)
	}
	var rows []alertRow
	q, err := filter(s.db.NewSelect().Model(&rows), "a", query)
	if err != nil {
		return Portrait{}, false, err
	}
	err = q.Column("id", "tenant", "rule_id", "rule_title", "severity", "status", "first_seen", "last_seen", "count", "incident_id", "closed_at", "closed_by", "resolution",
		"tactics", "techniques", "verdict", "phase", "attack", "attacker", "victim").OrderExpr("first_seen, id").Limit(maxPortrayed + 1).Scan(ctx)
	if err != nil {
		return fail(err)
	}
	if partial = len(rows) > maxPortrayed; partial {
		rows = rows[:maxPortrayed]
	}
	counts := map[string]map[string]int{}
	count := func(kind, value string) {
		if value == "" {
			return
		}
		if counts[kind] == nil {
			counts[kind] = map[string]int{}
		}
		counts[kind][value]++
	}
	titles, incidents := map[string]string{}, map[string]bool{}
	hidden := query.Reach.Veil()
	masked := slices.ContainsFunc(addressFields, hidden.Touches)
	var own []string
	if query.Involved != nil {
		own = query.Involved.addresses()
	}
	var first, last int64
	for i := range rows {
		r := &rows[i]
		p.Alerts++
		p.Events += r.Count
		switch r.Status {
		case StatusOpen:
			p.Open++
		case StatusAcknowledged:
			p.Handled++
		case StatusClosed:
			p.Closed++
		}
		switch r.Resolution {
		case "true_positive":
			p.True++
		case "false_positive":
			p.False++
		}
		if r.IncidentID != "" {
			incidents[r.IncidentID] = true
		}
		count("severity", string(severityOf(r.Severity)))
		count("verdict", string(verdictOf(r.Verdict)))
		count("phase", r.Phase)
		count("attack", r.Attack)
		count("rule", r.RuleID)
		titles[r.RuleID] = r.RuleTitle
		for _, t := range splitList(r.Techniques) {
			count("technique", t)
		}
		for _, t := range splitList(r.Tactics) {
			count("tactic", t)
		}
		if !masked {
			for _, ip := range []string{r.Attacker, r.Victim} {
				if !slices.Contains(own, ip) {
					count("other", ip)
				}
			}
		}
		if first == 0 || r.FirstSeen < first {
			first = r.FirstSeen
		}
		last = max(last, r.LastSeen)
	}
	facets := func(kind string, most int) []Facet {
		out := []Facet{}
		for v, n := range counts[kind] {
			out = append(out, Facet{v, n})
		}
		slices.SortFunc(out, func(a, b Facet) int { return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(a.Value, b.Value)) })
		return out[:min(len(out), most)]
	}
	p.Severity, p.Verdicts, p.Phases, p.Techniques = facets("severity", maxPortrait), facets("verdict", maxPortrait), facets("phase", maxPortrait), facets("technique", 200)
	p.Tactics, p.Attacks, p.Others = facets("tactic", maxPortrait), facets("attack", maxPortrait), facets("other", maxPortrait)
	p.Rules = []RuleCount{}
	for _, f := range facets("rule", maxPortrait) {
		p.Rules = append(p.Rules, RuleCount{f.Value, textIn(titles[f.Value]), f.Alerts})
	}
	p.Incidents = len(incidents)
	if p.Alerts > 0 {
		f, l := at(first), at(last)
		p.FirstSeen, p.LastSeen = &f, &l
	}
	p.Judged = []PortraitDecision{}
	closed := slices.Clone(rows)
	slices.SortFunc(closed, func(a, b alertRow) int { return cmp.Compare(b.ClosedAt, a.ClosedAt) })
	for _, r := range closed {
		if r.ClosedAt == 0 || len(p.Judged) == maxDecisions {
			break
		}
		p.Judged = append(p.Judged, PortraitDecision{r.ID, textIn(r.RuleTitle), r.Resolution, r.ClosedBy, at(r.ClosedAt)})
	}
	p.Chain, err = s.chain(ctx, query, rows[:min(len(rows), maxChain)])
	return p, partial, err
}

// chain reads the alerts of a chain whole, as they may be seen.
func (s *Service) chain(ctx context.Context, query AlertQuery, rows []alertRow) ([]ChainLink, error) {
	out := []ChainLink{}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	if len(ids) == 0 {
		return out, nil
	}
	list, err := readAlerts(ctx, s.db, ids)
	if err != nil {
		return nil, fmt.Errorf("ticketing: read a chain: %w", err)
	}
	slices.SortFunc(list, func(a, b *alert) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.ID, b.ID))
	})
	for _, a := range list {
		v := a.view()
		v.veiled(query.Reach.Veil())
		out = append(out, ChainLink{v.ID, v.Title, v.Severity, v.Verdict, v.Status, a.Phase, v.Tactics, v.Techniques, v.Attacker, v.Victim, v.Direction, v.IncidentID, v.FirstSeen, v.LastSeen, v.Count})
	}
	return out, nil
}

// Confirmed is an attacker of an alert that somebody closed as a true one.
type Confirmed struct {
	Tenant   string
	Attacker detections.Party
	Alert    string
	Rule     detections.Text
	Severity detections.Level
	ClosedAt time.Time
}

// ConfirmedAttackers lists the attackers of alerts that were closed as true ones
// after a time, the longest closed first.
func (s *Service) ConfirmedAttackers(ctx context.Context, since time.Time, limit int) ([]Confirmed, error) {
	var rows []alertRow
	after := int64(0)
	if !since.IsZero() {
		after = since.UnixMilli()
	}
	err := s.db.NewSelect().Model(&rows).Where("status = ? AND resolution = 'true_positive' AND attacker <> '' AND closed_at > ?", StatusClosed, after).
		OrderExpr("closed_at, id").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: attackers of confirmed alerts: %w", err)
	}
	out := make([]Confirmed, 0, len(rows))
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return nil, err
		}
		if a.doc.Attacker != nil {
			out = append(out, Confirmed{a.Tenant, *a.doc.Attacker, a.ID, a.doc.Rule.Title, severityOf(a.Severity), when(a.ClosedAt)})
		}
	}
	return out, nil
}
