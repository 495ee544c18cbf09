// Package aggregation answers the aggregations of a search. They are read with
// all that is wrong in them refused, and then run level by level: the lake counts
// by the keys of buckets, and what it counted is put in order, filled up and
// worded here.
package aggregation

import (
	"context"
	"strconv"
	"strings"

	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/wire"
	"icewatch/soc/reach"
)

// runner runs the aggregations of one request. Each level of buckets is
// one question to the lake: stats by the keys of all buckets above and of its
// own, with the figures beside. Buckets are put in order and cut here.
type runner struct {
	lake      *hits.Lake
	ctx       context.Context
	within    reach.Reach
	page      *hits.Page // its filter and the time of its query confine what is counted
	typedKeys bool
	void      bool // the time asked for is empty
	queries   int
}

// Answer runs the aggregations over the events of a page's filter, however few
// of them the page shows. typedKeys puts the type in front of the names.
func (t Tree) Answer(ctx context.Context, l *hits.Lake, within reach.Reach, p *hits.Page, typedKeys bool) (map[string]any, error) {
	a := &runner{lake: l, ctx: ctx, within: within, page: p, typedKeys: typedKeys, void: l.Void(within, p)}
	of, err := a.level(scope{filter: p.Filter}, t)
	if err != nil {
		return nil, err
	}
	return of(""), nil
}

// scope is where aggregations run: the rows of a filter, in groups by keys.
type scope struct {
	filter string
	keys   []groupKey
	pipes  string   // before stats, such as those that part arrays
	groups []string // the tuples of keys in question, where there are keys
}

// groupKey is a key of groups as stats by writes it.
type groupKey struct {
	expression string
	column     string                    // its name in the rows of the answer
	holds      func(value string) string // the filter for the rows of a group
}

// results are the answers of aggregations by the group they are about.
type results func(group string) map[string]any

// columnOfFigure names the n-th figure of a question.
func columnOfFigure(n int) string { return "icewatch_figure_" + strconv.Itoa(n) }

// separator parts the values of a group's keys.
const separator = "\x00"

func (sc scope) groupOf(row map[string]string) string {
	parts := make([]string, len(sc.keys))
	for i, k := range sc.keys {
		parts[i] = row[k.column]
	}
	return strings.Join(parts, separator)
}

// stats asks for figures of each group; pre are pipes that they need, tail are
// pipes that follow.
func (a *runner) stats(sc scope, pre, figures []string, tail string, emit func(row map[string]string) error) error {
	if a.void {
		return nil
	}
	if a.queries++; a.queries > maxQueries {
		return wire.Invalid("too_many_buckets_exception", "the aggregations need more than %d questions to the lake; ask for fewer buckets with conditions or top_hits in them", maxQueries)
	}
	var b strings.Builder
	b.WriteString(sc.filter)
	b.WriteString(sc.pipes)
	for _, p := range pre {
		b.WriteString(" | " + p)
	}
	b.WriteString(" | stats ")
	if len(sc.keys) > 0 {
		b.WriteString("by (")
		for i, k := range sc.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(k.expression)
		}
		b.WriteString(") ")
	}
	for i, f := range figures {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f + " as " + columnOfFigure(i))
	}
	b.WriteString(tail)
	return a.lake.Rows(a.ctx, a.lake.Question(a.within, a.page, b.String()), emit)
}

// level runs aggregations in one scope.
func (a *runner) level(sc scope, list []*agg) (results, error) {
	var parts []func(group string, out map[string]any)
	var figures []*agg
	for _, g := range list {
		if g.metric() && g.how != "top_hits" {
			figures = append(figures, g)
		}
	}
	if len(figures) > 0 {
		of, err := a.figures(sc, figures)
		if err != nil {
			return nil, err
		}
		parts = append(parts, of)
	}
	for _, g := range list {
		var of func(group string) map[string]any
		var err error
		switch {
		case g.how == "top_hits":
			of, err = a.topHits(sc, g)
		case g.metric():
			continue
		case len(g.buckets) > 0:
			of, err = a.conditions(sc, g)
		default:
			of, err = a.values(sc, g)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, func(group string, out map[string]any) {
			v := of(group)
			if g.meta != nil {
				v["meta"] = g.meta
			}
			out[a.nameOf(g)] = v
		})
	}
	return func(group string) map[string]any {
		out := map[string]any{}
		for _, part := range parts {
			part(group, out)
		}
		return out
	}, nil
}

// nameOf is the name of an answer: with its type where the client asks for it.
func (a *runner) nameOf(g *agg) string {
	if !a.typedKeys {
		return g.name
	}
	how := g.how
	switch how {
	case "terms":
		how = map[dsl.Kind]string{dsl.Long: "lterms", dsl.Double: "dterms"}[g.kind]
		if how == "" {
			how = "sterms"
		}
	case "percentiles":
		how = "tdigest_percentiles"
	}
	return how + "#" + g.name
}

func limitTo(n int) string { return " | limit " + strconv.Itoa(n) }

func tooMany(n int) error {
	if n > maxBuckets {
		return wire.Invalid("too_many_buckets_exception", "Trying to create too many buckets. Must be less than or equal to: [%d].", maxBuckets)
	}
	return nil
}

// topHits answers the first events of each group.
func (a *runner) topHits(sc scope, g *agg) (func(group string) map[string]any, error) {
	found := map[string]map[string]any{}
	groups := sc.groups
	if len(sc.keys) == 0 {
		groups = []string{""}
	}
	for _, group := range groups {
		filter := []string{sc.filter}
		if len(sc.keys) > 0 {
			for i, value := range strings.Split(group, separator) {
				filter = append(filter, sc.keys[i].holds(value))
			}
		}
		if a.queries++; a.queries > maxQueries {
			return nil, wire.Invalid("too_many_buckets_exception", "[top_hits] in more than %d buckets is not supported", maxQueries)
		}
		r := *g.top
		r.Filter = dsl.And(filter...)
		out := map[string]any{"hits": map[string]any{"total": map[string]any{"value": 0, "relation": "eq"}, "max_score": nil, "hits": []any{}}}
		if !a.void {
			var err error
			if out, err = a.lake.Search(a.ctx, a.within, &r); err != nil {
				return nil, err
			}
		}
		found[group] = out
	}
	return func(group string) map[string]any {
		if out, ok := found[group]; ok {
			return out
		}
		return map[string]any{"hits": map[string]any{"total": map[string]any{"value": 0, "relation": "eq"}, "max_score": nil, "hits": []any{}}}
	}, nil
}
