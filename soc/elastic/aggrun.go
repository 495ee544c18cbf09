package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/reach"
)

// aggregation runs the aggregations of one request. Each level of buckets is
// one question to the lake: stats by the keys of all buckets above and of its
// own, with the figures beside. Buckets are put in order and cut here.
type aggregation struct {
	s       *Server
	ctx     context.Context
	within  reach.Reach
	r       *request
	void    bool // the time asked for is empty
	queries int
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
func (a *aggregation) stats(sc scope, pre, figures []string, tail string, emit func(row map[string]string) error) error {
	if a.void {
		return nil
	}
	if a.queries++; a.queries > maxQueries {
		return invalid("too_many_buckets_exception", "the aggregations need more than %d questions to the lake; ask for fewer buckets with conditions or top_hits in them", maxQueries)
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
	return a.s.rows(a.ctx, a.s.base(a.within, a.r, b.String()), emit)
}

// level runs aggregations in one scope.
func (a *aggregation) level(sc scope, list []*agg) (results, error) {
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
func (a *aggregation) nameOf(g *agg) string {
	if !a.r.typedKeys {
		return g.name
	}
	how := g.how
	switch how {
	case "terms":
		how = map[kind]string{long: "lterms", double: "dterms"}[g.kind]
		if how == "" {
			how = "sterms"
		}
	case "percentiles":
		how = "tdigest_percentiles"
	}
	return how + "#" + g.name
}

// figures answers the metrics of a scope in one question.
func (a *aggregation) figures(sc scope, list []*agg) (func(group string, out map[string]any), error) {
	p := plan{}
	for _, g := range list {
		p.add(g)
	}
	rows := map[string]map[string]string{}
	err := a.stats(sc, p.pre, p.figures, limitTo(maxBuckets+1), func(row map[string]string) error {
		rows[sc.groupOf(row)] = row
		return tooMany(len(rows))
	})
	if err != nil {
		return nil, err
	}
	return func(group string, out map[string]any) {
		for i, g := range list {
			v := g.figure(p.of(i, rows[group]))
			if g.meta != nil {
				v["meta"] = g.meta
			}
			out[a.nameOf(g)] = v
		}
	}, nil
}

func limitTo(n int) string { return " | limit " + strconv.Itoa(n) }

func tooMany(n int) error {
	if n > maxBuckets {
		return invalid("too_many_buckets_exception", "Trying to create too many buckets. Must be less than or equal to: [%d].", maxBuckets)
	}
	return nil
}

// plan gathers the figures of several metrics into one question.
type plan struct {
	pre     []string
	figures []string
	starts  []int // where each metric's figures begin
}

func (p *plan) add(g *agg) {
	p.starts = append(p.starts, len(p.figures))
	c := quote(g.column)
	there := ""
	if f := present(g.column); f != everything {
		there = " if (" + f + ")"
	}
	switch g.how {
	case "avg":
		p.figures = append(p.figures, "avg("+c+")", "count("+c+")")
	case "sum":
		p.figures = append(p.figures, "sum("+c+")")
	case "min", "max":
		p.figures = append(p.figures, g.how+"("+c+")"+there)
	case "value_count":
		p.figures = append(p.figures, "count("+c+")")
	case "cardinality":
		p.figures = append(p.figures, "count_uniq("+c+")")
	case "stats", "extended_stats":
		p.figures = append(p.figures, "count("+c+")", "min("+c+")"+there, "max("+c+")"+there, "avg("+c+")", "sum("+c+")")
		if g.how == "extended_stats" {
			square := "icewatch_square_" + strconv.Itoa(len(p.pre))
			p.pre = append(p.pre, "math ("+c+" * "+c+") as "+square)
			p.figures = append(p.figures, "sum("+square+")"+there)
		}
	case "percentiles":
		p.figures = append(p.figures, "count("+c+")")
		for _, percent := range g.percents {
			p.figures = append(p.figures, "quantile("+strconv.FormatFloat(percent/100, 'f', -1, 64)+", "+c+")"+there)
		}
	}
}

// of are the figures of the i-th metric in a row, which may be none.
func (p *plan) of(i int, row map[string]string) []string {
	end := len(p.figures)
	if i+1 < len(p.starts) {
		end = p.starts[i+1]
	}
	var list []string
	for n := p.starts[i]; n < end; n++ {
		list = append(list, row[columnOfFigure(n)])
	}
	return list
}

// figure words the figures of a metric.
func (g *agg) figure(of []string) map[string]any {
	value := func(i int) any {
		if f, ok := number(of[i]); ok {
			return javaDouble(f)
		}
		return nil
	}
	count := func(i int) uint64 { n, _ := strconv.ParseUint(of[i], 10, 64); return n }
	switch g.how {
	case "value_count", "cardinality":
		return map[string]any{"value": count(0)}
	case "sum":
		if value(0) == nil {
			return map[string]any{"value": javaDouble(0)}
		}
		return map[string]any{"value": value(0)}
	case "min", "max":
		if g.kind == date {
			t, ok := timeOf(of[0])
			if !ok {
				return map[string]any{"value": nil}
			}
			shown, _ := formatDate(t, g.format, time.UTC)
			return map[string]any{"value": javaDouble(float64(t.UnixMilli())), "value_as_string": shown}
		}
		return map[string]any{"value": value(0)}
	case "avg":
		if count(1) == 0 {
			return map[string]any{"value": nil}
		}
		return map[string]any{"value": value(0)}
	case "stats", "extended_stats":
		n := count(0)
		out := map[string]any{"count": n, "min": nil, "max": nil, "avg": nil, "sum": javaDouble(0)}
		if n > 0 {
			out["min"], out["max"], out["avg"], out["sum"] = value(1), value(2), value(3), value(4)
		}
		if g.how == "extended_stats" {
			g.deviation(out, n, of)
		}
		return out
	case "percentiles":
		if g.keyed {
			values := map[string]any{}
			for i, p := range g.percents {
				values[decimal(p)] = value(i + 1)
			}
			return map[string]any{"values": values}
		}
		values := []any{}
		for i, p := range g.percents {
			values = append(values, map[string]any{"key": javaDouble(p), "value": value(i + 1)})
		}
		return map[string]any{"values": values}
	}
	return map[string]any{}
}

// deviation adds what extended_stats knows beyond stats.
func (g *agg) deviation(out map[string]any, n uint64, of []string) {
	for _, name := range []string{"sum_of_squares", "variance", "variance_population", "variance_sampling", "std_deviation", "std_deviation_population", "std_deviation_sampling"} {
		out[name] = nil
	}
	ends := map[string]any{}
	out["std_deviation_bounds"] = ends
	for _, name := range []string{"upper", "lower", "upper_population", "lower_population", "upper_sampling", "lower_sampling"} {
		ends[name] = nil
	}
	squares, ok := number(of[5])
	sum, ok2 := number(of[4])
	if n == 0 || !ok || !ok2 {
		return
	}
	mean := sum / float64(n)
	population := max(0, squares/float64(n)-mean*mean)
	set := func(suffix string, variance float64, known bool) {
		if !known {
			return
		}
		deviation := math.Sqrt(variance)
		out["variance"+suffix], out["std_deviation"+suffix] = javaDouble(variance), javaDouble(deviation)
		ends["upper"+suffix], ends["lower"+suffix] = javaDouble(mean+2*deviation), javaDouble(mean-2*deviation)
	}
	out["sum_of_squares"] = javaDouble(squares)
	set("", population, true)
	set("_population", population, true)
	set("_sampling", (squares-sum*mean)/float64(max(n, 2)-1), n > 1)
}

// javaDouble writes a number as Elasticsearch does: with a point.
func javaDouble(f float64) json.Number { return json.Number(decimal(f)) }

// bucket is a group of rows with its key.
type bucket struct {
	group   string // with the keys above
	value   string // of its own key, as the lake has it
	number  float64
	count   uint64
	figures map[string]string
}

// values answers buckets by the values of a field.
func (a *aggregation) values(sc scope, g *agg) (func(group string) map[string]any, error) {
	key, err := a.key(g)
	if err != nil {
		return nil, err
	}
	inner := scope{filter: sc.filter, keys: append(slices.Clone(sc.keys), key), pipes: sc.pipes}
	if g.how == "terms" {
		if lists[g.column] {
			inner.pipes += " | unroll if (" + matches(g.column, `^\[`) + ") by (" + quote(g.column) + ")"
		}
		if g.chosen != everything {
			inner.pipes += " | filter " + g.chosen
		}
	}
	if !g.absent {
		inner.filter = and(inner.filter, present(g.column))
	}
	var figures []*agg
	for _, sub := range g.subs {
		if sub.metric() && sub.how != "top_hits" {
			figures = append(figures, sub)
		}
	}
	p := plan{figures: []string{"count()"}}
	for _, f := range figures {
		p.add(f)
	}
	tail := limitTo(maxBuckets + 1)
	top := g.how == "terms" && len(sc.keys) == 0 && len(g.order) == 1 && g.order[0] == bucketOrder{"_count", true}
	if top {
		// The lake keeps the most frequent; a few more decide between equals.
		tail = fmt.Sprintf(" | sort by (%s desc) limit %d", columnOfFigure(0), g.size+1000)
	}
	by := map[string][]*bucket{}
	total := map[string]uint64{}
	n := 0
	err = a.stats(inner, p.pre, p.figures, tail, func(row map[string]string) error {
		b := &bucket{group: inner.groupOf(row), value: row[key.column], figures: row}
		b.count, _ = strconv.ParseUint(row[columnOfFigure(0)], 10, 64)
		if !g.read(b) {
			return nil
		}
		parent := sc.groupOf(row)
		by[parent] = append(by[parent], b)
		total[parent] += b.count
		n++
		return tooMany(n)
	})
	if err != nil {
		return nil, err
	}
	if top && n >= g.size+1000 {
		err := a.stats(scope{filter: inner.filter, pipes: inner.pipes}, nil, []string{"count()"}, "", func(row map[string]string) error {
			total[""], _ = strconv.ParseUint(row[columnOfFigure(0)], 10, 64)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for parent, list := range by {
		g.sort(list, func(path string, b *bucket) float64 { return pathValue(path, figures, &p, b) })
		list = slices.DeleteFunc(list, func(b *bucket) bool { return int64(b.count) < int64(g.least) })
		if g.how == "terms" && len(list) > g.size {
			list = list[:g.size]
		}
		by[parent] = list
	}
	rest := slices.DeleteFunc(slices.Clone(g.subs), func(s *agg) bool { return slices.Contains(figures, s) })
	below := func(string) map[string]any { return map[string]any{} }
	if len(rest) > 0 {
		for _, parent := range sortedKeys(by) {
			for _, b := range by[parent] {
				inner.groups = append(inner.groups, b.group)
			}
		}
		if g.how == "terms" {
			inner.filter = and(inner.filter, onlyValues(g, by))
		}
		if below, err = a.level(inner, rest); err != nil {
			return nil, err
		}
	}
	if g.how == "date_histogram" || g.how == "histogram" {
		if err := a.fill(g, sc, by); err != nil {
			return nil, err
		}
	}
	return func(parent string) map[string]any {
		var list []any
		keyed := map[string]any{}
		shown := uint64(0)
		for _, b := range by[parent] {
			out := below(b.group)
			for i, f := range figures {
				v := f.figure(p.of(i, b.figures))
				if f.meta != nil {
					v["meta"] = f.meta
				}
				out[a.nameOf(f)] = v
			}
			shown += b.count
			out["doc_count"] = b.count
			name := g.named(b, out)
			keyed[name] = out
			list = append(list, out)
		}
		result := map[string]any{"buckets": append([]any{}, list...)}
		if g.keyed {
			result["buckets"] = keyed
		}
		if g.how == "terms" {
			result["doc_count_error_upper_bound"], result["sum_other_doc_count"] = 0, total[parent]-min(shown, total[parent])
		}
		return result
	}, nil
}

func sortedKeys(m map[string][]*bucket) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// onlyValues is the filter for the rows of the buckets chosen, so that those
// below count no others. Of very many it is left out: it only saves work.
func onlyValues(g *agg, by map[string][]*bucket) string {
	seen := map[string]bool{}
	var values []string
	for _, list := range by {
		for _, b := range list {
			if b.value == "" || lists[g.column] || b.value == "*" {
				return everything
			}
			if !seen[b.value] {
				seen[b.value] = true
				values = append(values, quote(b.value))
			}
		}
	}
	if len(values) == 0 || len(values) > 1000 {
		return everything
	}
	slices.Sort(values)
	return quote(g.column) + ":in(" + strings.Join(values, ",") + ")"
}

// pathValue is the figure that an order names, such as m or m.avg or m.95.
func pathValue(path string, figures []*agg, p *plan, b *bucket) float64 {
	name, part, _ := strings.Cut(path, ".")
	for i, f := range figures {
		if f.name != name {
			continue
		}
		out := f.figure(p.of(i, b.figures))
		v := out["value"]
		if part != "" && part != "value" {
			v = out[part]
			if values, ok := out["values"].(map[string]any); ok {
				if at, err := strconv.ParseFloat(part, 64); err == nil {
					v = values[decimal(at)]
				}
			}
		}
		if s, ok := plain(v); ok {
			if n, err := strconv.ParseFloat(s, 64); err == nil {
				return n
			}
		}
		if n, ok := v.(uint64); ok {
			return float64(n)
		}
	}
	return math.NaN()
}

// sort puts buckets in the order asked for; equals by their keys.
func (g *agg) sort(list []*bucket, figure func(path string, b *bucket) float64) {
	compareKeys := func(a, b *bucket) int {
		if g.how != "terms" || g.kind == long || g.kind == double || g.kind == date {
			switch {
			case a.number < b.number:
				return -1
			case a.number > b.number:
				return 1
			}
		}
		return strings.Compare(a.value, b.value)
	}
	slices.SortFunc(list, func(a, b *bucket) int {
		for _, o := range g.order {
			d := 0
			switch o.by {
			case "_count":
				if a.count != b.count {
					d = 1
					if a.count < b.count {
						d = -1
					}
				}
			case "_key":
				d = compareKeys(a, b)
			default:
				x, y := figure(o.by, a), figure(o.by, b)
				switch {
				case math.IsNaN(x) && math.IsNaN(y):
				case math.IsNaN(x):
					return 1 // without a figure: last, whatever the order
				case math.IsNaN(y):
					return -1
				case x < y:
					d = -1
				case x > y:
					d = 1
				}
			}
			if d != 0 {
				if o.desc {
					return -d
				}
				return d
			}
		}
		return compareKeys(a, b)
	})
}

// read takes in the value of a bucket; false leaves it out.
func (g *agg) read(b *bucket) bool {
	switch {
	case b.value == "":
		return g.how == "terms" && g.absent
	case g.kind == date:
		t, ok := timeOf(b.value)
		if !ok {
			return false
		}
		b.number = float64(t.UnixMilli())
	case g.how == "histogram" || g.kind == long || g.kind == double:
		n, ok := number(b.value)
		if !ok {
			return false
		}
		b.number = n
	}
	return true
}

// named writes the key of a bucket and gives its name among keyed ones.
func (g *agg) named(b *bucket, out map[string]any) string {
	switch {
	case b.value == "" && g.how == "terms":
		out["key"] = g.missing
		return g.missing
	case g.kind == date:
		zone := g.interval.zone
		if zone == nil {
			zone = time.UTC
		}
		shown, _ := formatDate(time.UnixMilli(int64(b.number)), g.format, zone)
		out["key"], out["key_as_string"] = int64(b.number), shown
		return shown
	case g.how == "histogram":
		out["key"] = javaDouble(b.number)
		return decimal(b.number)
	case g.kind == long || g.kind == double:
		out["key"] = json.Number(b.value)
		if g.kind == double {
			out["key"] = javaDouble(b.number)
		}
	case g.kind == boolean:
		out["key"], out["key_as_string"] = map[bool]int{true: 1}[b.value == "true"], b.value
	default:
		out["key"] = b.value
	}
	return b.value
}

// key is how the lake groups by the field of an aggregation.
func (a *aggregation) key(g *agg) (groupKey, error) {
	k := groupKey{expression: quote(g.column), column: outside(g.column)}
	k.holds = func(value string) string { return exactly(g.column, value) }
	switch g.how {
	case "terms":
		if lists[g.column] {
			k.holds = func(value string) string {
				return or(exactly(g.column, value), matches(g.column, among(regexp.QuoteMeta(jsonText(value)))))
			}
		}
	case "histogram":
		step := strconv.FormatFloat(g.interval.step, 'f', -1, 64)
		k.expression += ":" + step
		if g.interval.shift != 0 {
			k.expression += " offset " + strconv.FormatFloat(math.Mod(g.interval.shift, g.interval.step), 'f', -1, 64)
		}
		k.holds = func(value string) string {
			n, _ := number(value)
			return fmt.Sprintf("%s:>=%s %s:<%s", quote(g.column), value, quote(g.column), strconv.FormatFloat(n+g.interval.step, 'f', -1, 64))
		}
	case "date_histogram":
		shift, err := a.zoneShift(g)
		if err != nil {
			return k, err
		}
		switch {
		case g.interval.fixed > 0:
			k.expression += ":" + strconv.FormatInt(g.interval.fixed.Nanoseconds(), 10)
			shift %= g.interval.fixed
		default:
			k.expression += ":" + map[byte]string{'s': "second", 'm': "minute", 'h': "hour", 'd': "day", 'w': "week", 'M': "month", 'y': "year"}[g.interval.calendar]
		}
		if shift != 0 {
			k.expression += " offset " + strconv.FormatInt(shift.Nanoseconds(), 10)
		}
		k.holds = func(value string) string {
			t, _ := timeOf(value)
			next := time.UnixMilli(int64(g.next(float64(t.UnixMilli()))))
			if g.column == "_time" {
				return timeFilter(t, next)
			}
			return fmt.Sprintf("(%s:>=%q %s:<%q)", quote(g.column), millis(t), quote(g.column), millis(next))
		}
	}
	return k, nil
}

// zoneShift is by how much buckets are shifted for the time zone and the offset.
// The lake shifts all by the same: a zone whose clock changes within the time
// searched cannot be served.
func (a *aggregation) zoneShift(g *agg) (time.Duration, error) {
	zone := g.interval.zone
	if zone == time.UTC || a.void {
		return g.interval.offset, nil
	}
	base := a.s.base(a.within, a.r, a.r.filter+" | stats min(_time) low, max(_time) high")
	low, high := base.Start, base.End
	if low.Equal(oldest) {
		err := a.s.rows(a.ctx, base, func(row map[string]string) error {
			if t, ok := timeOf(row["low"]); ok {
				low = t
			}
			if t, ok := timeOf(row["high"]); ok {
				high = t
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	_, until := low.In(zone).ZoneBounds()
	_, offset := low.In(zone).Zone()
	if !until.IsZero() && until.Before(high) {
		if _, next := until.In(zone).Zone(); g.interval.fixed == 0 || time.Duration(next-offset)*time.Second%g.interval.fixed != 0 {
			return 0, unsupported("a [date_histogram] over a change of the clock in the time zone [%s] (%s); give an offset such as +08:00, or a shorter range,", zone, until.Format(time.RFC3339))
		}
	}
	return g.interval.offset - time.Duration(offset)*time.Second, nil
}

// next is the key behind a key of a histogram.
func (g *agg) next(at float64) float64 {
	switch {
	case g.how == "histogram":
		return math.Round((at+g.interval.step)*1e9) / 1e9
	case g.interval.fixed > 0:
		return at + float64(g.interval.fixed.Milliseconds())
	}
	t := time.UnixMilli(int64(at)).In(g.interval.zone).Add(-g.interval.offset)
	return float64(shift(t, g.interval.calendar, 1).Add(g.interval.offset).UnixMilli())
}

// floorOf is the key of the bucket that a value lies in.
func (g *agg) floorOf(v float64) float64 {
	switch {
	case g.how == "histogram":
		return math.Floor((v-g.interval.shift)/g.interval.step)*g.interval.step + g.interval.shift
	case g.interval.fixed > 0:
		_, zone := time.UnixMilli(int64(v)).In(g.interval.zone).Zone()
		shift := float64(g.interval.offset.Milliseconds()) - float64(zone)*1000
		step := float64(g.interval.fixed.Milliseconds())
		return math.Floor((v-shift)/step)*step + shift
	}
	t := time.UnixMilli(int64(v)).In(g.interval.zone).Add(-g.interval.offset)
	return float64(floor(t, g.interval.calendar).Add(g.interval.offset).UnixMilli())
}

// fill puts empty buckets between those that are there, and up to the bounds.
func (a *aggregation) fill(g *agg, sc scope, by map[string][]*bucket) error {
	if g.hardLow != "" || g.hardHigh != "" {
		low, high := math.Inf(-1), math.Inf(1)
		if g.hardLow != "" {
			low, _ = g.bound(g.hardLow, a.r.c.now)
			low = g.floorOf(low)
		}
		if g.hardHigh != "" {
			high, _ = g.bound(g.hardHigh, a.r.c.now)
		}
		for parent, list := range by {
			by[parent] = slices.DeleteFunc(list, func(b *bucket) bool { return b.number < low || b.number > high })
		}
	}
	if g.least > 0 {
		return nil
	}
	low, high := math.NaN(), math.NaN()
	if g.low != "" {
		low, _ = g.bound(g.low, a.r.c.now)
		low = g.floorOf(low)
	}
	if g.high != "" {
		high, _ = g.bound(g.high, a.r.c.now)
		high = g.floorOf(high)
	}
	if !math.IsNaN(low) && !math.IsNaN(high) {
		if len(sc.keys) == 0 {
			by[""] = append([]*bucket(nil), by[""]...)
		}
		for _, parent := range sc.groups {
			by[parent] = append([]*bucket(nil), by[parent]...)
		}
	}
	made := 0
	for parent, list := range by {
		first, last := low, high
		at := map[float64]*bucket{}
		for _, b := range list {
			at[b.number] = b
			if !(first <= b.number) {
				first = b.number
			}
			if !(last >= b.number) {
				last = b.number
			}
		}
		if math.IsNaN(first) || math.IsNaN(last) {
			continue
		}
		full := []*bucket{}
		for v := first; v <= last; v = g.next(v) {
			b := at[v]
			if b == nil {
				b = &bucket{number: v, value: strconv.FormatFloat(v, 'f', -1, 64), group: parent + separator + "none"}
			}
			delete(at, v)
			full = append(full, b)
			if made++; made > maxBuckets {
				return tooMany(made)
			}
		}
		for _, b := range at { // keys that are no multiples, by a rounding of floats
			full = append(full, b)
		}
		slices.SortFunc(full, func(a, b *bucket) int { return int(math.Copysign(1, a.number-b.number)) })
		if len(g.order) == 1 && g.order[0] == (bucketOrder{"_key", true}) {
			slices.Reverse(full)
		}
		by[parent] = full
	}
	return nil
}

// conditions answers buckets that filters make.
func (a *aggregation) conditions(sc scope, g *agg) (func(group string) map[string]any, error) {
	var figures []string
	for _, b := range g.buckets {
		if b.filter == everything {
			figures = append(figures, "count()")
			continue
		}
		figures = append(figures, "count() if ("+b.filter+")")
	}
	rows := map[string]map[string]string{}
	err := a.stats(sc, nil, figures, limitTo(maxBuckets+1), func(row map[string]string) error {
		rows[sc.groupOf(row)] = row
		return tooMany(len(rows) * len(figures))
	})
	if err != nil {
		return nil, err
	}
	below := make([]results, len(g.buckets))
	for i, b := range g.buckets {
		if len(g.subs) == 0 {
			continue
		}
		inner := sc
		inner.filter = and(sc.filter, b.filter)
		if below[i], err = a.level(inner, g.subs); err != nil {
			return nil, err
		}
	}
	return func(group string) map[string]any {
		var list []any
		keyed := map[string]any{}
		for i, b := range g.buckets {
			out := map[string]any{}
			if below[i] != nil {
				out = below[i](group)
			}
			n, _ := strconv.ParseUint(rows[group][columnOfFigure(i)], 10, 64)
			out["doc_count"] = n
			if g.how == "filter" || g.how == "missing" {
				return out
			}
			if g.how != "filters" {
				out["key"] = b.key
				for name, end := range map[string]*float64{"from": b.from, "to": b.to} {
					if end != nil {
						out[name] = javaDouble(*end)
						if b.dates {
							out[name+"_as_string"] = b.end(end, g.format)
						}
					}
				}
			} else if !g.keyed && b.key != "" && b.key == g.others {
				out["key"] = b.key
			}
			if g.keyed {
				delete(out, "key")
				keyed[b.key] = out
			}
			list = append(list, out)
		}
		if g.keyed {
			return map[string]any{"buckets": keyed}
		}
		return map[string]any{"buckets": append([]any{}, list...)}
	}, nil
}

// topHits answers the first events of each group.
func (a *aggregation) topHits(sc scope, g *agg) (func(group string) map[string]any, error) {
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
			return nil, invalid("too_many_buckets_exception", "[top_hits] in more than %d buckets is not supported", maxQueries)
		}
		r := *g.top
		r.c, r.filter = a.r.c, and(filter...)
		r.total = -1
		out := map[string]any{"hits": map[string]any{"total": map[string]any{"value": 0, "relation": "eq"}, "max_score": nil, "hits": []any{}}}
		if !a.void {
			var err error
			if out, err = a.s.run(a.ctx, a.within, &r); err != nil {
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
