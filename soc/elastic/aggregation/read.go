package aggregation

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/hits"
	"icewatch/soc/elastic/wire"
)

// Bounds of aggregations.
const (
	maxBuckets  = 65_536 // of one aggregation, as Elasticsearch has it
	maxAggDepth = 10
	maxAggs     = 100 // in one request
	maxQueries  = 300 // that one request may cost the lake
)

// agg is one aggregation of a request.
type agg struct {
	name, how string
	meta      any
	subs      []*agg

	field  string
	column string
	kind   dsl.Kind
	format string
	keyed  bool

	// Of buckets by value.
	size     int
	order    []bucketOrder
	least    int    // min_doc_count
	missing  string // the key of events without the field
	absent   bool   // missing was given
	chosen   string // include and exclude, as a filter
	interval interval
	low      string // extended_bounds, as given
	high     string
	hardLow  string
	hardHigh string

	// Of buckets by condition.
	buckets []condition
	others  string // key of other_bucket of filters

	percents []float64
	top      *hits.Page
}

// condition is a bucket that a filter makes.
type condition struct {
	key      string
	filter   string
	from, to *float64
	dates    bool
}

// bucketOrder is by what buckets are sorted.
type bucketOrder struct {
	by   string // _count, _key or the path of a metric
	desc bool
}

// reader reads aggregations.
type reader struct {
	c     *dsl.Compiler
	count int
}

// Tree is the aggregations of a request, each with those below it.
type Tree []*agg

// Read reads what a request has under "aggs"; c compiles the queries in it.
func Read(c *dsl.Compiler, v any) (Tree, error) {
	a := reader{c: c}
	return a.all(v, 0)
}

func (a *reader) all(v any, depth int) ([]*agg, error) {
	if depth > maxAggDepth {
		return nil, wire.Invalid("parsing_exception", "aggregations are nested deeper than %d levels", maxAggDepth)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, wire.Invalid("parsing_exception", "[aggs] must be an object, not %s", wire.KindOf(v))
	}
	var list []*agg
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.ContainsAny(name, "[]>") {
			return nil, wire.Invalid("parsing_exception", "Invalid aggregation name [%s]. Aggregation names cannot contain [, ] or >", name)
		}
		if a.count++; a.count > maxAggs {
			return nil, wire.Invalid("too_many_clauses", "the request has more than %d aggregations", maxAggs)
		}
		g, err := a.one(name, m[name], depth)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

func (a *reader) one(name string, v any, depth int) (*agg, error) {
	o, err := wire.AsObject("aggs."+name, v)
	if err != nil {
		return nil, err
	}
	g := &agg{name: name, least: -1}
	var body any
	for key, inner := range o.Members {
		switch key {
		case "aggs", "aggregations":
			if g.subs, err = a.all(inner, depth+1); err != nil {
				return nil, err
			}
		case "meta":
			g.meta = inner
		default:
			if g.how != "" {
				return nil, wire.Invalid("parsing_exception", "Found two aggregation type definitions in [%s]: [%s] and [%s]", name, g.how, key)
			}
			g.how, body = key, inner
		}
	}
	if g.how == "" {
		return nil, wire.Invalid("parsing_exception", "Missing definition for aggregation [%s]", name)
	}
	if g.how == "filter" {
		f, err := a.c.FilterOf(body)
		g.buckets = []condition{{filter: f}}
		return g, err
	}
	if o, err = wire.AsObject(g.how, body); err != nil {
		return nil, err
	}
	if _, scripted := o.Members["script"]; scripted {
		return nil, wire.Unsupported("[script] of [%s]", g.how)
	}
	if g.field = o.Text("field", ""); g.field != "" {
		if err := dsl.OneField(g.field); err != nil {
			return nil, err
		}
		if g.column, g.kind = dsl.Resolve(g.field); g.field == dsl.FieldIndex || g.field == dsl.FieldID {
			return nil, wire.Unsupported("[%s] of the field [%s]", g.how, g.field)
		}
		if g.kind == dsl.Text && g.how != "value_count" && g.how != "missing" {
			return nil, wire.Invalid("illegal_argument_exception", "Text fields are not optimised for operations that require per-document field data like aggregations and sorting: [%s]", g.field)
		}
	} else if g.how != "filters" && g.how != "top_hits" {
		if readerOf(g.how) != nil {
			return nil, wire.Invalid("illegal_argument_exception", "Required one of fields [field, script], but none were specified. ")
		}
	}
	g.format = o.Text("format", "")
	read := readerOf(g.how)
	if read == nil {
		return nil, wire.Unsupported("the aggregation [%s]", g.how)
	}
	if err := read(a, g, o); err != nil {
		return nil, err
	}
	if len(g.subs) > 0 && g.metric() {
		return nil, wire.Invalid("aggregation_initialization_exception", "Aggregator [%s] of type [%s] cannot accept sub-aggregations", g.name, g.how)
	}
	return g, o.Done()
}

// metric tells whether the aggregation gives figures, not buckets.
func (g *agg) metric() bool {
	switch g.how {
	case "avg", "sum", "min", "max", "value_count", "cardinality", "stats", "extended_stats", "percentiles", "top_hits":
		return true
	}
	return false
}

// readerOf gives what reads the members of one kind of aggregation, nil where
// the kind is not known.
func readerOf(how string) func(*reader, *agg, *wire.Object) error {
	figure := func(_ *reader, g *agg, o *wire.Object) error {
		o.Ignore("precision_threshold", "tdigest", "hdr", "execution_hint")
		if v, ok := o.Has("missing"); ok {
			// Grafana sends "null" where nothing is chosen.
			if s, _ := wire.Plain(v); s != "" && s != "null" {
				return wire.Unsupported("[missing] of [%s]", g.how)
			}
		}
		if g.kind == dsl.Date && g.how != "min" && g.how != "max" && g.how != "value_count" && g.how != "cardinality" {
			return wire.Unsupported("[%s] of the date field [%s]", g.how, g.field)
		}
		if (g.kind == dsl.IP || g.kind == dsl.Boolean) && g.how != "value_count" && g.how != "cardinality" {
			return wire.Invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [%s]", g.field, g.kind, g.how)
		}
		return nil
	}
	return map[string]func(*reader, *agg, *wire.Object) error{
		"avg": figure, "sum": figure, "min": figure, "max": figure, "value_count": figure, "cardinality": figure, "stats": figure,
		"extended_stats": func(a *reader, g *agg, o *wire.Object) error {
			if o.Number("sigma", 2) != 2 {
				return wire.Unsupported("a [sigma] other than 2 of [extended_stats]")
			}
			return figure(a, g, o)
		},
		"percentiles": func(a *reader, g *agg, o *wire.Object) error {
			g.keyed = o.Flag("keyed", true)
			for _, v := range o.List("percents") {
				s, _ := wire.Plain(v)
				p, err := strconv.ParseFloat(s, 64)
				if err != nil || !(p >= 0 && p <= 100) {
					return wire.Invalid("illegal_argument_exception", "percent must be in [0,100], got [%s]: [%s]", s, g.name)
				}
				g.percents = append(g.percents, p)
			}
			if g.percents == nil {
				g.percents = []float64{1, 5, 25, 50, 75, 95, 99}
			}
			if len(g.percents) > 50 {
				return wire.Unsupported("more than 50 [percents]")
			}
			slices.Sort(g.percents)
			return figure(a, g, o)
		},
		"top_hits":       (*reader).topHits,
		"terms":          (*reader).terms,
		"date_histogram": (*reader).dateHistogram,
		"histogram":      (*reader).histogram,
		"range":          (*reader).ranges,
		"date_range":     (*reader).ranges,
		"filters":        (*reader).filters,
		"missing": func(_ *reader, g *agg, o *wire.Object) error {
			g.buckets = []condition{{filter: dsl.Not(dsl.Present(g.column))}}
			return nil
		},
	}[how]
}

func (a *reader) topHits(g *agg, o *wire.Object) (err error) {
	g.top, err = hits.ReadTop(a.c, o)
	return err
}

func (a *reader) order(g *agg, o *wire.Object, otherwise ...bucketOrder) error {
	for _, v := range o.List("order") {
		by, dir, err := wire.Only("order", v)
		if err != nil {
			return err
		}
		s, _ := wire.Plain(dir)
		if s = strings.ToLower(s); s != "asc" && s != "desc" {
			return wire.Invalid("parsing_exception", "Unknown order direction [%s]", s)
		}
		if by == "_term" || by == "_time" {
			by = "_key"
		}
		if by != "_count" && by != "_key" {
			head, _, _ := strings.Cut(by, ".")
			if !slices.ContainsFunc(g.subs, func(s *agg) bool { return s.name == head && s.metric() && s.how != "top_hits" }) {
				return wire.Invalid("aggregation_execution_exception", "Invalid aggregator order path [%s]. The provided aggregation [%s] either does not exist, or is not a metric beside the buckets", by, head)
			}
		}
		g.order = append(g.order, bucketOrder{by, s == "desc"})
	}
	if g.order == nil {
		g.order = otherwise
	}
	return nil
}

func (a *reader) terms(g *agg, o *wire.Object) error {
	o.Ignore("shard_size", "shard_min_doc_count", "execution_hint", "collect_mode", "show_term_doc_count_error", "value_type")
	g.size, g.least = o.Integer("size", 10, 1, maxBuckets), o.Integer("min_doc_count", 1, 0, math.MaxInt32)
	if v, ok := o.Has("missing"); ok {
		g.missing, _ = wire.Plain(v)
		g.absent = true
	}
	var parts []string
	for _, name := range []string{"include", "exclude"} {
		v, ok := o.Has(name)
		if !ok {
			continue
		}
		var f string
		switch v := v.(type) {
		case string:
			e, err := dsl.Expression(v, "ALL")
			if err != nil {
				return err
			}
			f = dsl.Matches(g.column, "(?s)^(?:"+e+")$")
		case []any:
			var values []string
			for _, x := range v {
				s, _ := wire.Plain(x)
				values = append(values, dsl.Exactly(g.column, s))
			}
			f = dsl.Or(values...)
		default:
			return wire.Unsupported("[%s] of [terms] with %s", name, wire.KindOf(v))
		}
		if name == "exclude" {
			f = dsl.Not(f)
		}
		parts = append(parts, f)
	}
	g.chosen = dsl.And(parts...)
	return a.order(g, o, bucketOrder{"_count", true})
}

func (a *reader) ranges(g *agg, o *wire.Object) error {
	g.keyed = o.Flag("keyed", false)
	ofTimes := g.how == "date_range"
	if ofTimes != (g.kind == dsl.Date) || g.kind == dsl.IP || g.kind == dsl.Boolean {
		return wire.Invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [%s]", g.field, g.kind, g.how)
	}
	zone, err := zoneOf(o)
	if err != nil {
		return err
	}
	list := o.List("ranges")
	if len(list) == 0 || len(list) > 200 {
		return wire.Invalid("illegal_argument_exception", "[%s] needs from 1 to 200 [ranges]; it has %d", g.name, len(list))
	}
	for _, v := range list {
		r, err := wire.AsObject("ranges", v)
		if err != nil {
			return err
		}
		c := condition{key: r.Text("key", ""), dates: ofTimes}
		var b dsl.Bounds
		for name, to := range map[string]struct {
			bound **string
			at    **float64
		}{"from": {&b.GTE, &c.from}, "to": {&b.LT, &c.to}} {
			v, ok := r.Has(name)
			if !ok {
				continue
			}
			s, _ := wire.Plain(v)
			*to.bound = &s
			var at float64
			if ofTimes {
				m, err := dates.Parse(s, "", zone, a.c.Now)
				if err != nil {
					return err
				}
				at = float64(m.From.UnixMilli())
				exact := dates.Millis(m.From)
				*to.bound = &exact
			} else if at, err = strconv.ParseFloat(s, 64); err != nil {
				return wire.Invalid("number_format_exception", "For input string: \"%s\" in the ranges of [%s]", s, g.name)
			}
			*to.at = &at
		}
		if err := r.Done(); err != nil {
			return err
		}
		if c.filter, err = a.c.Apart(func() (string, error) { return a.c.Span(g.field, b, "", zone) }); err != nil {
			return err
		}
		if c.key == "" {
			c.key = c.end(c.from, g.format) + "-" + c.end(c.to, g.format)
		}
		g.buckets = append(g.buckets, c)
	}
	slices.SortStableFunc(g.buckets, func(a, b condition) int {
		low := func(f *float64, open float64) float64 {
			if f == nil {
				return open
			}
			return *f
		}
		if d := low(a.from, math.Inf(-1)) - low(b.from, math.Inf(-1)); d != 0 && !math.IsNaN(d) {
			return int(math.Copysign(1, d))
		}
		if d := low(a.to, math.Inf(1)) - low(b.to, math.Inf(1)); d != 0 && !math.IsNaN(d) {
			return int(math.Copysign(1, d))
		}
		return 0
	})
	return nil
}

// end writes an end of a range as its key has it.
func (c condition) end(f *float64, format string) string {
	switch {
	case f == nil:
		return "*"
	case c.dates:
		s, err := dates.Format(time.UnixMilli(int64(*f)), format, time.UTC)
		if err != nil {
			return dates.Millis(time.UnixMilli(int64(*f)))
		}
		return s
	}
	return decimal(*f)
}

func (a *reader) filters(g *agg, o *wire.Object) error {
	v, ok := o.Has("filters")
	if !ok {
		return wire.Invalid("parsing_exception", "[filters] of [%s] must be given", g.name)
	}
	g.others = o.Text("other_bucket_key", "")
	if o.Flag("other_bucket", false) && g.others == "" {
		g.others = "_other_"
	}
	add := func(key string, q any) error {
		f, err := a.c.FilterOf(q)
		g.buckets = append(g.buckets, condition{key: key, filter: f})
		return err
	}
	switch v := v.(type) {
	case map[string]any:
		g.keyed = true
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := add(key, v[key]); err != nil {
				return err
			}
		}
	case []any:
		for _, q := range v {
			if err := add("", q); err != nil {
				return err
			}
		}
	default:
		return wire.Invalid("parsing_exception", "[filters] of [%s] must be an object or an array, not %s", g.name, wire.KindOf(v))
	}
	if g.others != "" {
		var none []string
		for _, b := range g.buckets {
			none = append(none, b.filter)
		}
		g.buckets = append(g.buckets, condition{key: g.others, filter: dsl.Not(dsl.Or(none...))})
	}
	return nil
}
