package aggregation

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
)

// figures answers the metrics of a scope in one question.
func (a *runner) figures(sc scope, list []*agg) (func(group string, out map[string]any), error) {
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

// plan gathers the figures of several metrics into one question.
type plan struct {
	pre     []string
	figures []string
	starts  []int // where each metric's figures begin
}

func (p *plan) add(g *agg) {
	p.starts = append(p.starts, len(p.figures))
	c := dsl.Quote(g.column)
	there := ""
	if f := dsl.Present(g.column); f != dsl.Everything {
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
		if f, ok := dsl.Number(of[i]); ok {
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
		if g.kind == dsl.Date {
			t, ok := dates.Stored(of[0])
			if !ok {
				return map[string]any{"value": nil}
			}
			shown, _ := dates.Format(t, g.format, time.UTC)
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
	squares, ok := dsl.Number(of[5])
	sum, ok2 := dsl.Number(of[4])
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
