package elastic

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
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
	kind   kind
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
	top      *request
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

// interval is the width of buckets.
type interval struct {
	step     float64       // of numbers
	shift    float64       // offset of numbers
	fixed    time.Duration // of times
	calendar byte          // of times, by the calendar
	offset   time.Duration
	zone     *time.Location
}

// aggReader reads aggregations.
type aggReader struct {
	c     *compiler
	count int
}

func (a *aggReader) all(v any, depth int) ([]*agg, error) {
	if depth > maxAggDepth {
		return nil, invalid("parsing_exception", "aggregations are nested deeper than %d levels", maxAggDepth)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("parsing_exception", "[aggs] must be an object, not %s", kindOf(v))
	}
	var list []*agg
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.ContainsAny(name, "[]>") {
			return nil, invalid("parsing_exception", "Invalid aggregation name [%s]. Aggregation names cannot contain [, ] or >", name)
		}
		if a.count++; a.count > maxAggs {
			return nil, invalid("too_many_clauses", "the request has more than %d aggregations", maxAggs)
		}
		g, err := a.one(name, m[name], depth)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

func (a *aggReader) one(name string, v any, depth int) (*agg, error) {
	o, err := asObject("aggs."+name, v)
	if err != nil {
		return nil, err
	}
	g := &agg{name: name, least: -1}
	var body any
	for key, inner := range o.m {
		switch key {
		case "aggs", "aggregations":
			if g.subs, err = a.all(inner, depth+1); err != nil {
				return nil, err
			}
		case "meta":
			g.meta = inner
		default:
			if g.how != "" {
				return nil, invalid("parsing_exception", "Found two aggregation type definitions in [%s]: [%s] and [%s]", name, g.how, key)
			}
			g.how, body = key, inner
		}
	}
	if g.how == "" {
		return nil, invalid("parsing_exception", "Missing definition for aggregation [%s]", name)
	}
	if g.how == "filter" {
		f, err := a.c.filterOf(body)
		g.buckets = []condition{{filter: f}}
		return g, err
	}
	if o, err = asObject(g.how, body); err != nil {
		return nil, err
	}
	if _, scripted := o.m["script"]; scripted {
		return nil, unsupported("[script] of [%s]", g.how)
	}
	if g.field = o.text("field", ""); g.field != "" {
		if err := oneField(g.field); err != nil {
			return nil, err
		}
		if g.column, g.kind = resolved(g.field); g.field == fieldIndex || g.field == fieldID {
			return nil, unsupported("[%s] of the field [%s]", g.how, g.field)
		}
		if g.kind == text && g.how != "value_count" && g.how != "missing" {
			return nil, invalid("illegal_argument_exception", "Text fields are not optimised for operations that require per-document field data like aggregations and sorting: [%s]", g.field)
		}
	} else if g.how != "filters" && g.how != "top_hits" {
		if readerOf(g.how) != nil {
			return nil, invalid("illegal_argument_exception", "Required one of fields [field, script], but none were specified. ")
		}
	}
	g.format = o.text("format", "")
	read := readerOf(g.how)
	if read == nil {
		return nil, unsupported("the aggregation [%s]", g.how)
	}
	if err := read(a, g, o); err != nil {
		return nil, err
	}
	if len(g.subs) > 0 && g.metric() {
		return nil, invalid("aggregation_initialization_exception", "Aggregator [%s] of type [%s] cannot accept sub-aggregations", g.name, g.how)
	}
	return g, o.done()
}

// filterOf compiles a query that makes a bucket.
func (c *compiler) filterOf(v any) (string, error) {
	against := c.against
	c.against = true // what makes buckets is not highlighted
	defer func() { c.against = against }()
	return c.apart(func() (string, error) { return c.query(v) })
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
func readerOf(how string) func(*aggReader, *agg, *object) error {
	figure := func(_ *aggReader, g *agg, o *object) error {
		o.ignore("precision_threshold", "tdigest", "hdr", "execution_hint")
		if v, ok := o.has("missing"); ok {
			// Grafana sends "null" where nothing is chosen.
			if s, _ := plain(v); s != "" && s != "null" {
				return unsupported("[missing] of [%s]", g.how)
			}
		}
		if g.kind == date && g.how != "min" && g.how != "max" && g.how != "value_count" && g.how != "cardinality" {
			return unsupported("[%s] of the date field [%s]", g.how, g.field)
		}
		if (g.kind == ip || g.kind == boolean) && g.how != "value_count" && g.how != "cardinality" {
			return invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [%s]", g.field, g.kind, g.how)
		}
		return nil
	}
	return map[string]func(*aggReader, *agg, *object) error{
		"avg": figure, "sum": figure, "min": figure, "max": figure, "value_count": figure, "cardinality": figure, "stats": figure,
		"extended_stats": func(a *aggReader, g *agg, o *object) error {
			if o.number("sigma", 2) != 2 {
				return unsupported("a [sigma] other than 2 of [extended_stats]")
			}
			return figure(a, g, o)
		},
		"percentiles": func(a *aggReader, g *agg, o *object) error {
			g.keyed = o.flag("keyed", true)
			for _, v := range o.list("percents") {
				s, _ := plain(v)
				p, err := strconv.ParseFloat(s, 64)
				if err != nil || !(p >= 0 && p <= 100) {
					return invalid("illegal_argument_exception", "percent must be in [0,100], got [%s]: [%s]", s, g.name)
				}
				g.percents = append(g.percents, p)
			}
			if g.percents == nil {
				g.percents = []float64{1, 5, 25, 50, 75, 95, 99}
			}
			if len(g.percents) > 50 {
				return unsupported("more than 50 [percents]")
			}
			slices.Sort(g.percents)
			return figure(a, g, o)
		},
		"top_hits":       (*aggReader).topHits,
		"terms":          (*aggReader).terms,
		"date_histogram": (*aggReader).dateHistogram,
		"histogram":      (*aggReader).histogram,
		"range":          (*aggReader).ranges,
		"date_range":     (*aggReader).ranges,
		"filters":        (*aggReader).filters,
		"missing": func(_ *aggReader, g *agg, o *object) error {
			g.buckets = []condition{{filter: not(present(g.column))}}
			return nil
		},
	}[how]
}

func (a *aggReader) topHits(g *agg, o *object) error {
	r := &request{c: a.c, size: o.integer("size", 3, 0, maxTopHits), from: o.integer("from", 0, 0, maxTopHits)}
	var err error
	if v, ok := o.has("sort"); ok {
		if r.sort, err = readSort(v); err != nil {
			return err
		}
	}
	if v, ok := o.has("_source"); ok {
		if r.source, r.noSource, err = readSource(v); err != nil {
			return err
		}
	}
	if r.fields, err = readShown("fields", o.list("fields")); err != nil {
		return err
	}
	if r.docvalues, err = readShown("docvalue_fields", o.list("docvalue_fields")); err != nil {
		return err
	}
	g.top = r
	return nil
}

func (a *aggReader) order(g *agg, o *object, otherwise ...bucketOrder) error {
	for _, v := range o.list("order") {
		by, dir, err := only("order", v)
		if err != nil {
			return err
		}
		s, _ := plain(dir)
		if s = strings.ToLower(s); s != "asc" && s != "desc" {
			return invalid("parsing_exception", "Unknown order direction [%s]", s)
		}
		if by == "_term" || by == "_time" {
			by = "_key"
		}
		if by != "_count" && by != "_key" {
			head, _, _ := strings.Cut(by, ".")
			if !slices.ContainsFunc(g.subs, func(s *agg) bool { return s.name == head && s.metric() && s.how != "top_hits" }) {
				return invalid("aggregation_execution_exception", "Invalid aggregator order path [%s]. The provided aggregation [%s] either does not exist, or is not a metric beside the buckets", by, head)
			}
		}
		g.order = append(g.order, bucketOrder{by, s == "desc"})
	}
	if g.order == nil {
		g.order = otherwise
	}
	return nil
}

func (a *aggReader) terms(g *agg, o *object) error {
	o.ignore("shard_size", "shard_min_doc_count", "execution_hint", "collect_mode", "show_term_doc_count_error", "value_type")
	g.size, g.least = o.integer("size", 10, 1, maxBuckets), o.integer("min_doc_count", 1, 0, math.MaxInt32)
	if v, ok := o.has("missing"); ok {
		g.missing, _ = plain(v)
		g.absent = true
	}
	var parts []string
	for _, name := range []string{"include", "exclude"} {
		v, ok := o.has(name)
		if !ok {
			continue
		}
		var f string
		switch v := v.(type) {
		case string:
			e, err := luceneExpression(v, "ALL")
			if err != nil {
				return err
			}
			f = matches(g.column, "(?s)^(?:"+e+")$")
		case []any:
			var values []string
			for _, x := range v {
				s, _ := plain(x)
				values = append(values, exactly(g.column, s))
			}
			f = or(values...)
		default:
			return unsupported("[%s] of [terms] with %s", name, kindOf(v))
		}
		if name == "exclude" {
			f = not(f)
		}
		parts = append(parts, f)
	}
	g.chosen = and(parts...)
	return a.order(g, o, bucketOrder{"_count", true})
}

// zoneOf reads time_zone.
func zoneOf(o *object) (*time.Location, error) {
	name := o.text("time_zone", "")
	zone, ok := parseZone(name)
	if !ok {
		return nil, invalid("illegal_argument_exception", "the time zone [%s] is not known: give an offset such as +08:00 or a name such as Asia/Shanghai", name)
	}
	return zone, nil
}

// calendars are the calendar intervals by their names.
var calendars = map[string]byte{"1m": 'm', "minute": 'm', "1h": 'h', "hour": 'h', "1d": 'd', "day": 'd', "1w": 'w', "week": 'w', "1M": 'M', "month": 'M', "1y": 'y', "year": 'y', "1s": 's', "second": 's'}

func (a *aggReader) dateHistogram(g *agg, o *object) error {
	if g.kind != date {
		return invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [date_histogram]", g.field, g.kind)
	}
	var err error
	if g.interval.zone, err = zoneOf(o); err != nil {
		return err
	}
	fixed, calendar, either := o.text("fixed_interval", ""), o.text("calendar_interval", ""), o.text("interval", "")
	if either != "" && fixed == "" && calendar == "" {
		if _, known := calendars[either]; known {
			calendar = either
		} else {
			fixed = either
		}
	}
	switch {
	case fixed != "" && calendar != "":
		return invalid("illegal_argument_exception", "Cannot use [calendar_interval] with [fixed_interval] configuration option.")
	case calendar != "":
		unit, known := calendars[calendar]
		if !known {
			return unsupported("the calendar_interval [%s]", calendar)
		}
		g.interval.calendar = unit
	case fixed != "":
		if g.interval.fixed, err = duration(fixed); err != nil || g.interval.fixed <= 0 {
			return invalid("parsing_exception", "[%s] is no fixed_interval: expected a number with ms, s, m, h or d", fixed)
		}
	default:
		return invalid("illegal_argument_exception", "Required one of fields [interval, calendar_interval, fixed_interval], but none were specified")
	}
	if s := o.text("offset", ""); s != "" {
		sign := time.Duration(1)
		if rest, minus := strings.CutPrefix(s, "-"); minus {
			sign, s = -1, rest
		}
		d, err := duration(strings.TrimPrefix(s, "+"))
		if err != nil {
			return invalid("parsing_exception", "[%s] is no offset: expected a number with ms, s, m, h or d", s)
		}
		g.interval.offset = sign * d
	}
	if g.format != "" {
		if _, err := formatDate(oldest, g.format, time.UTC); err != nil {
			return err
		}
	}
	return a.histogramRest(g, o)
}

func (a *aggReader) histogramRest(g *agg, o *object) error {
	g.least, g.keyed = o.integer("min_doc_count", 0, 0, math.MaxInt32), o.flag("keyed", false)
	if v, ok := o.has("missing"); ok {
		if s, _ := plain(v); s != "" && s != "null" {
			return unsupported("[missing] of [%s]", g.how)
		}
	}
	for name, ends := range map[string][2]*string{"extended_bounds": {&g.low, &g.high}, "hard_bounds": {&g.hardLow, &g.hardHigh}} {
		v, ok := o.has(name)
		if !ok {
			continue
		}
		b, err := asObject(name, v)
		if err != nil {
			return err
		}
		*ends[0], *ends[1] = b.text("min", ""), b.text("max", "")
		if err := b.done(); err != nil {
			return err
		}
		for _, end := range ends {
			if *end == "" {
				continue
			}
			if _, err := g.bound(*end, a.c.now); err != nil {
				return err
			}
		}
	}
	return a.order(g, o, bucketOrder{"_key", false})
}

// bound reads an end of a histogram: milliseconds for times.
func (g *agg) bound(s string, now time.Time) (float64, error) {
	if g.kind != date {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, invalid("number_format_exception", "For input string: \"%s\" in the bounds of [%s]", s, g.name)
		}
		return n, nil
	}
	format := "strict_date_optional_time||epoch_millis"
	if g.format == "epoch_millis" || g.format == "epoch_second" {
		format = g.format
	}
	m, err := parseMoment(s, format, g.interval.zone, now)
	return float64(m.from.UnixMilli()), err
}

func (a *aggReader) histogram(g *agg, o *object) error {
	if g.kind == date || g.kind == ip || g.kind == boolean {
		return unsupported("[histogram] of the %s field [%s]", g.kind, g.field)
	}
	g.interval.step, g.interval.shift = o.number("interval", 0), o.number("offset", 0)
	if !(g.interval.step > 0) || math.IsInf(g.interval.step, 0) {
		return invalid("illegal_argument_exception", "[interval] must be >0 for histogram aggregation [%s]", g.name)
	}
	whole := func(f float64) bool { return f == math.Trunc(f) && math.Abs(f) < 1e15 }
	if !whole(g.interval.step) && g.interval.step > 1 || !whole(g.interval.shift) {
		return unsupported("an [interval] above 1, or an [offset], that is no whole number, of [histogram]")
	}
	return a.histogramRest(g, o)
}

func (a *aggReader) ranges(g *agg, o *object) error {
	g.keyed = o.flag("keyed", false)
	dates := g.how == "date_range"
	if dates != (g.kind == date) || g.kind == ip || g.kind == boolean {
		return invalid("illegal_argument_exception", "Field [%s] of type [%s] is not supported for aggregation [%s]", g.field, g.kind, g.how)
	}
	zone, err := zoneOf(o)
	if err != nil {
		return err
	}
	list := o.list("ranges")
	if len(list) == 0 || len(list) > 200 {
		return invalid("illegal_argument_exception", "[%s] needs from 1 to 200 [ranges]; it has %d", g.name, len(list))
	}
	for _, v := range list {
		r, err := asObject("ranges", v)
		if err != nil {
			return err
		}
		c := condition{key: r.text("key", ""), dates: dates}
		var b bounds
		for name, to := range map[string]struct {
			bound **string
			at    **float64
		}{"from": {&b.gte, &c.from}, "to": {&b.lt, &c.to}} {
			v, ok := r.has(name)
			if !ok {
				continue
			}
			s, _ := plain(v)
			*to.bound = &s
			var at float64
			if dates {
				m, err := parseMoment(s, "", zone, a.c.now)
				if err != nil {
					return err
				}
				at = float64(m.from.UnixMilli())
				exact := millis(m.from)
				*to.bound = &exact
			} else if at, err = strconv.ParseFloat(s, 64); err != nil {
				return invalid("number_format_exception", "For input string: \"%s\" in the ranges of [%s]", s, g.name)
			}
			*to.at = &at
		}
		if err := r.done(); err != nil {
			return err
		}
		if c.filter, err = a.c.apart(func() (string, error) { return a.c.span(g.field, b, "", zone) }); err != nil {
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
		s, err := formatDate(time.UnixMilli(int64(*f)), format, time.UTC)
		if err != nil {
			return millis(time.UnixMilli(int64(*f)))
		}
		return s
	}
	return decimal(*f)
}

// decimal writes a number as Java writes a double.
func decimal(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e7 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	if math.Abs(f) >= 1e7 {
		s := strconv.FormatFloat(f, 'E', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "E" + strings.TrimLeft(exponent, "+0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func (a *aggReader) filters(g *agg, o *object) error {
	v, ok := o.has("filters")
	if !ok {
		return invalid("parsing_exception", "[filters] of [%s] must be given", g.name)
	}
	g.others = o.text("other_bucket_key", "")
	if o.flag("other_bucket", false) && g.others == "" {
		g.others = "_other_"
	}
	add := func(key string, q any) error {
		f, err := a.c.filterOf(q)
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
		return invalid("parsing_exception", "[filters] of [%s] must be an object or an array, not %s", g.name, kindOf(v))
	}
	if g.others != "" {
		var none []string
		for _, b := range g.buckets {
			none = append(none, b.filter)
		}
		g.buckets = append(g.buckets, condition{key: g.others, filter: not(or(none...))})
	}
	return nil
}

// duration reads 30s, 1.5h, 7d.
func duration(s string) (time.Duration, error) {
	at := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	if at > 0 {
		if unit, known := units[s[at:]]; known {
			n, err := strconv.ParseFloat(s[:at], 64)
			if d := n * float64(unit); err == nil && d < float64(1<<62) {
				return time.Duration(d), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no duration", s)
}
