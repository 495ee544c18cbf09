package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// ThreatView is a way of looking at alerts: which of them it is about.
type ThreatView struct {
	ID string
	// The lists of an AlertQuery that choose the alerts; empty ones do not choose.
	Threats, Phases, Attacks, Risks []string
	// Attacked alone: alerts that name an attacker.
	Attacked bool
}

// ThreatViews are the views that threats are analysed by, in the order in which
// the console lists them. Types of attack are those of rules/taxonomy.yml.
var ThreatViews = []ThreatView{
	{ID: "deception", Attacks: []string{"deception"}},
	{ID: "advanced", Phases: []string{"installation", "command-and-control", "actions-on-objectives"}},
	{ID: "external", Threats: []string{"external"}},
	{ID: "lateral", Threats: []string{"lateral"}},
	{ID: "outbound", Threats: []string{"outbound"}},
	{ID: "tunnel", Threats: []string{"tunnel"}},
	{ID: "website-trojan", Attacks: []string{"web-trojan", "web-shell"}},
	{ID: "search-hijack", Attacks: []string{"search-hijack"}},
	{ID: "sensitive-words", Risks: []string{"ICSI"}},
	{ID: "availability", Attacks: []string{"fault", "denial-of-service"}},
	{ID: "attackers", Attacked: true},
	{ID: "exposure", Attacks: []string{"scan", "web-scan", "information-leak", "remote-exploit"}},
}

// Within narrows a query to the view's alerts.
func (v ThreatView) Within(q AlertQuery) AlertQuery {
	q.Threats, q.Phases, q.Attacks, q.Risks, q.Attacked = v.Threats, v.Phases, v.Attacks, v.Risks, v.Attacked
	return q
}

// ThreatSum is how much a view is about.
type ThreatSum struct {
	View    string `json:"view"`
	Alerts  int    `json:"alerts"`
	Open    int    `json:"open" doc:"Alerts that are not closed"`
	Events  int    `json:"events" doc:"Behind the alerts"`
	Grave   int    `json:"grave" doc:"Alerts not closed that are critical or high"`
	Reached int    `json:"reached" doc:"Alerts whose attack succeeded or whose victim is compromised"`
}

// ThreatFigures is what a view's alerts are made of.
type ThreatFigures struct {
	ThreatSum
	False      int           `json:"false_positives" doc:"Alerts closed as false"`
	Attackers  int           `json:"attackers" doc:"Different addresses that attack"`
	Victims    int           `json:"victims" doc:"Different addresses that are attacked"`
	Severities []Facet       `json:"severities" nullable:"false"`
	Verdicts   []Facet       `json:"verdicts" nullable:"false" doc:"The worst first; the empty value is none"`
	Phases     []Facet       `json:"phases" nullable:"false"`
	Attacks    []Facet       `json:"attacks" nullable:"false" doc:"Ids of types of attack"`
	Tenants    []Facet       `json:"tenants" nullable:"false"`
	By         []Facet       `json:"by" nullable:"false" doc:"Addresses that attack, most alerts first; none for whom addresses are masked"`
	On         []Facet       `json:"on" nullable:"false" doc:"Addresses that are attacked, most alerts first; none for whom addresses are masked"`
	Masked     bool          `json:"masked,omitempty" doc:"Addresses are masked for the caller"`
	Systems    []NamedFacet  `json:"systems" nullable:"false" doc:"Business systems, most alerts first"`
	Rules      []NamedFacet  `json:"rules" nullable:"false" doc:"Most alerts first"`
	Course     []ThreatSpell `json:"course" nullable:"false" doc:"Alerts by when they were last seen, in 24 equal parts of the span"`
}

// NamedFacet is a value with its name and how many alerts have it.
type NamedFacet struct {
	Value  string          `json:"value"`
	Name   detections.Text `json:"name"`
	Alerts int             `json:"alerts"`
}

// ThreatSpell is a part of the span.
type ThreatSpell struct {
	From   Time `json:"from" format:"date-time"`
	Alerts int  `json:"alerts"`
}

const (
	maxThreatFacets = 10
	courseParts     = 24
)

// ThreatSums sums every view up, over the alerts of a query.
func (s *Service) ThreatSums(ctx context.Context, query AlertQuery) ([]ThreatSum, error) {
	out := make([]ThreatSum, 0, len(ThreatViews))
	for _, v := range ThreatViews {
		sum, err := s.threatSum(ctx, v.ID, v.Within(query))
		if err != nil {
			return nil, err
		}
		out = append(out, sum)
	}
	return out, nil
}

func (s *Service) threatSum(ctx context.Context, id string, query AlertQuery) (ThreatSum, error) {
	q, err := filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", query)
	if err != nil {
		return ThreatSum{}, err
	}
	out := ThreatSum{View: id}
	err = q.ColumnExpr("count(*), coalesce(sum(status <> 'closed'), 0), coalesce(sum(count), 0)").
		ColumnExpr("coalesce(sum(status <> 'closed' AND severity >= ?), 0)", severityRank(detections.High)).
		ColumnExpr("coalesce(sum(verdict >= ?), 0)", detections.Success.Rank()).
		Scan(ctx, &out.Alerts, &out.Open, &out.Events, &out.Grave, &out.Reached)
	if err != nil {
		return ThreatSum{}, fmt.Errorf("ticketing: sum threats of %s up: %w", id, err)
	}
	return out, nil
}

// Threats tells what a view's alerts of a query are made of, and their course
// from its Since until now.
func (s *Service) Threats(ctx context.Context, view ThreatView, query AlertQuery, now time.Time) (ThreatFigures, error) {
	query = view.Within(query)
	sum, err := s.threatSum(ctx, view.ID, query)
	if err != nil {
		return ThreatFigures{}, err
	}
	out := ThreatFigures{ThreatSum: sum, Masked: slices.ContainsFunc(addressFields, query.Reach.Veil().Touches)}
	fail := func(what string, err error) (ThreatFigures, error) {
		return ThreatFigures{}, fmt.Errorf("ticketing: count %s by %s: %w", view.ID, what, err)
	}
	// A query is for one use: each question is made anew.
	filtered := func() (*bun.SelectQuery, error) {
		return filter(s.db.NewSelect().Model((*alertRow)(nil)), "a", query)
	}
	q, err := filtered()
	if err != nil {
		return ThreatFigures{}, err
	}
	err = q.ColumnExpr("coalesce(sum(resolution = 'false_positive'), 0), count(DISTINCT nullif(attacker, '')), count(DISTINCT nullif(victim, ''))").Scan(ctx, &out.False, &out.Attackers, &out.Victims)
	if err != nil {
		return fail("attacker", err)
	}
	for _, f := range []struct {
		column string
		into   *[]Facet
		some   bool // the empty value says nothing
		veiled bool
		worst  bool // a rank: the worst first
	}{
		{column: "severity", into: &out.Severities, worst: true}, {column: "verdict", into: &out.Verdicts, worst: true}, {column: "phase", into: &out.Phases}, {column: "attack", into: &out.Attacks}, {column: "tenant", into: &out.Tenants, some: true},
		{column: "attacker", into: &out.By, some: true, veiled: true}, {column: "victim", into: &out.On, some: true, veiled: true},
	} {
		*f.into = []Facet{}
		if f.veiled && out.Masked {
			continue
		}
		if q, err = filtered(); err != nil {
			return ThreatFigures{}, err
		}
		if f.some {
			q = q.Where("a.? <> ''", bun.Ident(f.column))
		}
		order := "alerts DESC, value"
		if f.worst {
			order = "value DESC"
		}
		if err := q.ColumnExpr("a.? AS value", bun.Ident(f.column)).ColumnExpr("count(*) AS alerts").GroupExpr("a.?", bun.Ident(f.column)).OrderExpr(order).Limit(maxThreatFacets).Scan(ctx, f.into); err != nil {
			return fail(f.column, err)
		}
	}
	for i := range out.Severities {
		out.Severities[i].Value = severityNamed(out.Severities[i].Value)
	}
	for i := range out.Verdicts {
		out.Verdicts[i].Value = named(out.Verdicts[i].Value)
	}
	for _, f := range []struct {
		column string
		into   *[]NamedFacet
		name   func(a *alert) detections.Text
	}{
		{"rule_id", &out.Rules, func(a *alert) detections.Text { return a.doc.Rule.Title }},
		{"system_id", &out.Systems, func(a *alert) detections.Text {
			if a.doc.System == nil {
				return detections.Text{}
			}
			return detections.Text{ZH: a.doc.System.Name, EN: a.doc.System.Name}
		}},
	} {
		if *f.into, err = s.namedFacets(ctx, f.column, f.name, filtered); err != nil {
			return fail(f.column, err)
		}
	}
	if out.Course, err = s.course(ctx, query.Since, now, filtered); err != nil {
		return fail("time", err)
	}
	return out, nil
}

// namedFacets counts by a column, and takes each value's name from its latest alert.
func (s *Service) namedFacets(ctx context.Context, column string, name func(a *alert) detections.Text, filtered func() (*bun.SelectQuery, error)) ([]NamedFacet, error) {
	q, err := filtered()
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Value  string `bun:"value"`
		Alerts int    `bun:"alerts"`
		Latest string `bun:"latest"`
		Last   int64  `bun:"last"`
	}
	// Beside max() SQLite gives the other columns of the row that has it.
	err = q.ColumnExpr("a.? AS value, count(*) AS alerts, a.doc AS latest, max(last_seen) AS last", bun.Ident(column)).Where("a.? <> ''", bun.Ident(column)).
		GroupExpr("a.?", bun.Ident(column)).OrderExpr("alerts DESC, value").Limit(maxThreatFacets).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	out := make([]NamedFacet, 0, len(rows))
	for _, r := range rows {
		a := &alert{}
		if err := json.Unmarshal([]byte(r.Latest), &a.doc); err != nil {
			return nil, fmt.Errorf("the latest alert of %s: %w", r.Value, err)
		}
		out = append(out, NamedFacet{Value: r.Value, Name: name(a), Alerts: r.Alerts})
	}
	return out, nil
}

// course counts alerts by when they were last seen, in equal parts of a span.
func (s *Service) course(ctx context.Context, from, to time.Time, filtered func() (*bun.SelectQuery, error)) ([]ThreatSpell, error) {
	step := to.Sub(from) / courseParts
	out := []ThreatSpell{}
	if from.IsZero() || step < time.Millisecond {
		return out, nil
	}
	q, err := filtered()
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Part   int `bun:"part"`
		Alerts int `bun:"alerts"`
	}
	if err := q.ColumnExpr("(last_seen - ?) / ? AS part, count(*) AS alerts", from.UnixMilli(), step.Milliseconds()).Group("part").Scan(ctx, &rows); err != nil {
		return nil, err
	}
	for i := range courseParts {
		out = append(out, ThreatSpell{From: at(from.Add(step * time.Duration(i)).UnixMilli())})
	}
	for _, r := range rows {
		// What came while this was asked, or of clocks that run ahead, is of the last part.
		out[min(max(r.Part, 0), courseParts-1)].Alerts += r.Alerts
	}
	return out, nil
}

// severityNamed reads the severity's rank as the column has it.
func severityNamed(rank string) string {
	if len(rank) != 1 {
		return ""
	}
	return string(severityOf(int(rank[0] - '0')))
}
