package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/verdict"
)

// What is counted of alerts' fields, at most.
const (
	maxCounted = 2000 // alerts, the latest
	maxNamed   = 20   // fields that are asked for
	maxValues  = 10   // of a field, the most frequent
)

// Attacks is what attacks there are, and how far they got.
type Attacks struct {
	Alerts     int           `json:"alerts" doc:"That the filters let through"`
	Counted    int           `json:"counted" doc:"Of these the latest, whose fields are counted"`
	Attacks    []AttackGroup `json:"attacks" doc:"By type of attack, most alerts first"`
	Verdicts   []Facet       `json:"verdicts"`
	Phases     []Facet       `json:"phases" doc:"By the furthest phase"`
	Directions []Facet       `json:"directions"`
	Threats    []Facet       `json:"threats"`
	Risks      []Facet       `json:"risks" doc:"By the codes of class, subclass and type, with dots between them"`
}

// Facet is a value and how many alerts have it; the empty value is none.
type Facet struct {
	Value  string `json:"value" bun:"value"`
	Alerts int    `json:"alerts" bun:"alerts"`
}

// AttackGroup gathers the alerts of one type of attack.
type AttackGroup struct {
	Attack      string              `json:"attack" doc:"Id of the type; empty for alerts of none"`
	Name        detections.Text     `json:"name"`
	Alerts      int                 `json:"alerts"`
	Events      int                 `json:"events"`
	Open        int                 `json:"open" doc:"Alerts that are not closed"`
	LastSeen    Time                `json:"last_seen" format:"date-time"`
	Verdicts    []Facet             `json:"verdicts"`
	Information []AttackInformation `json:"information" doc:"The fields that tell attacks of this type apart, or those that were asked for"`
}

// AttackInformation is a field and its most frequent values.
type AttackInformation struct {
	Field  string  `json:"field"`
	Values []Facet `json:"values"`
}

// Taxonomy is how alerts are classed just now.
func (s *Service) Taxonomy() *verdict.Taxonomy {
	if s.taxonomy != nil {
		if t := s.taxonomy(); t != nil {
			return t
		}
	}
	return &verdict.Taxonomy{}
}

// classed classes what came without a judgement: alerts that others sent, and
// those of searches and of the suite itself.
func (s *Service) classed(o *detections.Occurrence) {
	if s.taxonomy == nil || o.Judgement != (detections.Judgement{}) {
		return
	}
	t := s.Taxonomy()
	class := s.classes.of(t, &o.Rule)
	o.Judgement = t.Judge(&class, o, nil)
}

// classes remember how rules are classed by a taxonomy.
type classes struct {
	mu    sync.Mutex
	by    *verdict.Taxonomy
	known map[string]verdict.Rule // by all that classing looks at
}

// maxClasses bounds what is remembered; beyond it all is worked out again.
const maxClasses = 4096

func (c *classes) of(t *verdict.Taxonomy, r *detections.RuleRef) verdict.Rule {
	var room [512]byte
	key := append(append(append(append(room[:0], r.ID...), 0), r.Level...), 0)
	key = append(append(append(append(key, r.Title.EN...), 0), r.Title.ZH...), 0)
	for _, l := range [][]string{r.Tags, r.Tactics, r.Techniques} {
		for _, v := range l {
			key = append(append(key, v...), 0)
		}
		key = append(key, 1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by != t || len(c.known) >= maxClasses {
		c.by, c.known = t, map[string]verdict.Rule{}
	}
	class, known := c.known[string(key)]
	if !known {
		class = t.Classify(r, verdict.Claims{})
		c.known[string(key)] = class
	}
	return class
}

// Attacks groups the alerts of a query by type of attack and by what tells the
// attacks of a type apart: the fields given, else those of the taxonomy.
func (s *Service) Attacks(ctx context.Context, query AlertQuery, fields []string) (Attacks, error) {
	if len(fields) > maxNamed {
		return Attacks{}, fmt.Errorf("%w: fields: %d of them, at most %d", ErrInvalid, len(fields), maxNamed)
	}
	fail := func(what string, err error) (Attacks, error) {
		return Attacks{}, fmt.Errorf("ticketing: count alerts by %s: %w", what, err)
	}
	// filtered makes the question anew each time: a query is for one use.
	filtered := func(model any) (*bun.SelectQuery, error) { return filter(s.db.NewSelect().Model(model), "a", query) }
	var out Attacks
	for _, f := range []struct {
		column string
		into   *[]Facet
	}{{"verdict", &out.Verdicts}, {"phase", &out.Phases}, {"direction", &out.Directions}, {"threat", &out.Threats}, {"risk", &out.Risks}} {
		q, err := filtered((*alertRow)(nil))
		if err != nil {
			return Attacks{}, err
		}
		*f.into = []Facet{}
		if err := q.ColumnExpr("? AS value", bun.Ident(f.column)).ColumnExpr("count(*) AS alerts").Group(f.column).OrderExpr("alerts DESC, value").Scan(ctx, f.into); err != nil {
			return fail(f.column, err)
		}
	}
	for i := range out.Verdicts {
		out.Verdicts[i].Value = named(out.Verdicts[i].Value)
	}
	for i := range out.Risks {
		out.Risks[i].Value = dotted(out.Risks[i].Value)
	}
	q, err := filtered((*alertRow)(nil))
	if err != nil {
		return Attacks{}, err
	}
	var rows []struct {
		Attack  string `bun:"attack"`
		Verdict string `bun:"verdict"`
		Alerts  int    `bun:"alerts"`
		Events  int    `bun:"events"`
		Open    int    `bun:"open"`
		Last    int64  `bun:"last"`
	}
	err = q.Column("attack", "verdict").ColumnExpr("count(*) AS alerts").ColumnExpr("sum(count) AS events").
		ColumnExpr("sum(CASE WHEN status <> 'closed' THEN 1 ELSE 0 END) AS open").ColumnExpr("max(last_seen) AS last").
		Group("attack", "verdict").OrderExpr("verdict DESC").Scan(ctx, &rows)
	if err != nil {
		return fail("attack", err)
	}
	t, groups := s.Taxonomy(), map[string]*AttackGroup{}
	for _, r := range rows {
		g := groups[r.Attack]
		if g == nil {
			g = &AttackGroup{Attack: r.Attack, Information: []AttackInformation{}}
			if a := t.Attack(r.Attack); a != nil {
				g.Name = a.Name
			}
			groups[r.Attack] = g
		}
		g.Alerts, g.Events, g.Open, out.Alerts = g.Alerts+r.Alerts, g.Events+r.Events, g.Open+r.Open, out.Alerts+r.Alerts
		g.LastSeen = at(max(r.Last, millis(g.LastSeen.Time)))
		g.Verdicts = append(g.Verdicts, Facet{named(r.Verdict), r.Alerts})
	}
	if err := s.information(ctx, query, fields, groups, &out); err != nil {
		return Attacks{}, err
	}
	out.Attacks = []AttackGroup{}
	for _, g := range groups {
		out.Attacks = append(out.Attacks, *g)
	}
	slices.SortFunc(out.Attacks, func(a, b AttackGroup) int {
		return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(a.Attack, b.Attack))
	})
	return out, nil
}

// information counts the values of fields of the latest alerts.
func (s *Service) information(ctx context.Context, query AlertQuery, fields []string, groups map[string]*AttackGroup, out *Attacks) error {
	var rows []alertRow
	q, err := filter(s.db.NewSelect().Model(&rows), "a", query)
	if err != nil {
		return err
	}
	if err := q.Column("attack", "doc").OrderExpr("last_seen DESC, id").Limit(maxCounted).Scan(ctx); err != nil {
		return fmt.Errorf("ticketing: read the fields of alerts: %w", err)
	}
	t := s.Taxonomy()
	counts := map[string]map[string]map[string]int{} // by attack, field, value
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return err
		}
		out.Counted++
		v := a.view()
		cover := query.Reach.Veil().Over(v.said())
		want := fields
		if len(want) == 0 {
			if of := t.Attack(r.Attack); of != nil {
				want = of.Fields
			}
		}
		for _, field := range want {
			value := cover(field, a.doc.Fields[field])
			if value == "" {
				continue
			}
			by := counts[r.Attack]
			if by == nil {
				by = map[string]map[string]int{}
				counts[r.Attack] = by
			}
			if by[field] == nil {
				by[field] = map[string]int{}
			}
			by[field][clipLabel(value)]++
		}
	}
	for id, by := range counts {
		want := fields
		if of := t.Attack(id); len(want) == 0 && of != nil {
			want = of.Fields
		}
		for _, field := range want {
			values := []Facet{}
			for v, n := range by[field] {
				values = append(values, Facet{v, n})
			}
			slices.SortFunc(values, func(a, b Facet) int { return cmp.Or(cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(a.Value, b.Value)) })
			if g := groups[id]; g != nil && len(values) > 0 {
				g.Information = append(g.Information, AttackInformation{field, values[:min(len(values), maxValues)]})
			}
		}
	}
	return nil
}

// named reads the verdict's rank as the column has it.
func named(rank string) string {
	if len(rank) != 1 {
		return ""
	}
	return string(verdictOf(int(rank[0] - '0')))
}
