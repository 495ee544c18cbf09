package aggregation

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
	"icewatch/soc/elastic/wire"
)

// bucket is a group of rows with its key.
type bucket struct {
	group   string // with the keys above
	value   string // of its own key, as the lake has it
	number  float64
	count   uint64
	figures map[string]string
}

// values answers buckets by the values of a field.
func (a *runner) values(sc scope, g *agg) (func(group string) map[string]any, error) {
	key, err := a.key(g)
	if err != nil {
		return nil, err
	}
	inner := scope{filter: sc.filter, keys: append(slices.Clone(sc.keys), key), pipes: sc.pipes}
	if g.how == "terms" {
		if dsl.IsList(g.column) {
			inner.pipes += " | unroll if (" + dsl.Matches(g.column, `^\[`) + ") by (" + dsl.Quote(g.column) + ")"
		}
		if g.chosen != dsl.Everything {
			inner.pipes += " | filter " + g.chosen
		}
	}
	if !g.absent {
		inner.filter = dsl.And(inner.filter, dsl.Present(g.column))
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
			inner.filter = dsl.And(inner.filter, onlyValues(g, by))
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
			if b.value == "" || dsl.IsList(g.column) || b.value == "*" {
				return dsl.Everything
			}
			if !seen[b.value] {
				seen[b.value] = true
				values = append(values, dsl.Quote(b.value))
			}
		}
	}
	if len(values) == 0 || len(values) > 1000 {
		return dsl.Everything
	}
	slices.Sort(values)
	return dsl.Quote(g.column) + ":in(" + strings.Join(values, ",") + ")"
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
		if s, ok := wire.Plain(v); ok {
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
		if g.how != "terms" || g.kind == dsl.Long || g.kind == dsl.Double || g.kind == dsl.Date {
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
	case g.kind == dsl.Date:
		t, ok := dates.Stored(b.value)
		if !ok {
			return false
		}
		b.number = float64(t.UnixMilli())
	case g.how == "histogram" || g.kind == dsl.Long || g.kind == dsl.Double:
		n, ok := dsl.Number(b.value)
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
	case g.kind == dsl.Date:
		zone := g.interval.zone
		if zone == nil {
			zone = time.UTC
		}
		shown, _ := dates.Format(time.UnixMilli(int64(b.number)), g.format, zone)
		out["key"], out["key_as_string"] = int64(b.number), shown
		return shown
	case g.how == "histogram":
		out["key"] = javaDouble(b.number)
		return decimal(b.number)
	case g.kind == dsl.Long || g.kind == dsl.Double:
		out["key"] = json.Number(b.value)
		if g.kind == dsl.Double {
			out["key"] = javaDouble(b.number)
		}
	case g.kind == dsl.Boolean:
		out["key"], out["key_as_string"] = map[bool]int{true: 1}[b.value == "true"], b.value
	default:
		out["key"] = b.value
	}
	return b.value
}

// conditions answers buckets that filters make.
func (a *runner) conditions(sc scope, g *agg) (func(group string) map[string]any, error) {
	var figures []string
	for _, b := range g.buckets {
		if b.filter == dsl.Everything {
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
		inner.filter = dsl.And(sc.filter, b.filter)
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
