package lake

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/search"
)

// insideName is the name under which a field is stored.
func insideName(field string) string {
	switch field {
	case "@timestamp":
		return "_time"
	case "event.original":
		return "_msg"
	}
	return field
}

// summed runs pipes over the rows that the query's filter picks, and returns
// the outcome's rows. Pipes of the query are left out.
func (l *Lake) summed(ctx context.Context, q Query, pipes func(column func(field string) string) string) ([]map[string]string, error) {
	base, err := l.parseFilter(q)
	if err != nil || len(q.Accounts) == 0 {
		return nil, err
	}
	var before strings.Builder
	then := pipes(func(field string) string {
		first, column := l.listed(q, base, insideName(field))
		before.WriteString(first)
		return strconv.Quote(column)
	})
	p, err := q.with(base, before.String()+then)
	if err != nil {
		return nil, err
	}
	if err := q.confine(p, q.Start, q.End); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var rows []map[string]string
	err = l.run(ctx, q.Accounts, p, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		for i := range db.RowsCount() {
			row := make(map[string]string, len(db.Columns))
			for _, c := range db.Columns {
				row[strings.Clone(c.Name)] = strings.Clone(c.Values[i])
			}
			rows = append(rows, row)
		}
	})
	if err != nil {
		return nil, queryFailed(ctx, q.LogsQL, err)
	}
	return rows, nil
}

// oneField refuses a name that the library takes for all fields that begin so.
func oneField(q Query, name string) error {
	if strings.HasSuffix(name, "*") {
		return queryError(q.LogsQL, "%q is no field: name one, without * at the end", name)
	}
	return nil
}

// Facets lists the most frequent values of several fields, in the order of the
// fields; those that no row has are left out. Pipes of the query are left out.
func (l *Lake) Facets(ctx context.Context, q Query, fields []string, limit int) (search.Facets, error) {
	out := search.Facets{Facets: []search.Facet{}}
	for _, f := range fields {
		if err := oneField(q, f); err != nil {
			return out, err
		}
	}
	if len(fields) == 0 {
		return out, nil
	}
	rows, err := l.summed(ctx, q, func(column func(string) string) string {
		var b strings.Builder
		b.WriteString("stats count() facet_total")
		for i, f := range fields {
			fmt.Fprintf(&b, ", count(%s) facet_%d", column(f), i)
		}
		return b.String()
	})
	if err != nil || len(rows) == 0 {
		return out, err
	}
	number := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n }
	out.Total = number(rows[0]["facet_total"])
	for i, f := range fields {
		n := number(rows[0]["facet_"+strconv.Itoa(i)])
		if n == 0 {
			continue
		}
		// One field at a time: a field is a column of its own, so each column
		// is read once, and only one field's values are held in memory.
		values, err := l.Values(ctx, q, f, limit)
		if err != nil {
			return out, err
		}
		facet := search.Facet{Field: f, Rows: n, Values: values, Others: n}
		for _, v := range values {
			facet.Others -= min(v.Hits, facet.Others)
		}
		if facet.Values == nil {
			facet.Values = []search.ValueHits{}
		}
		out.Facets = append(out.Facets, facet)
	}
	return out, nil
}

// maxDistinct is how many values of a field are told apart in its statistics.
const maxDistinct = 200_000

// FieldStats sums up one field of the matching rows. Pipes of the query are
// left out.
func (l *Lake) FieldStats(ctx context.Context, q Query, field string, limit int) (search.FieldStats, error) {
	out := search.FieldStats{Field: field, Values: []search.ValueHits{}}
	if err := oneField(q, field); err != nil {
		return out, err
	}
	pipes := func(text string) func(func(string) string) string {
		return func(column func(string) string) string {
			return strings.NewReplacer("F", column(field), "D", strconv.Itoa(maxDistinct)).Replace(text)
		}
	}
	rows, err := l.summed(ctx, q, pipes(
		`stats count() total, count(F) present, count_uniq(F) limit D uniq, count() if (F:range[-inf, inf]) numbers, `+
			`sum(F) total_sum, avg(F) mean, quantile(0.5, F) q50, quantile(0.95, F) q95, quantile(0.99, F) q99`))
	if err != nil || len(rows) == 0 {
		return out, err
	}
	r := rows[0]
	number := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n }
	out.Total, out.Rows, out.Distinct = number(r["total"]), number(r["present"]), number(r["uniq"])
	out.Missing = out.Total - min(out.Rows, out.Total)
	out.DistinctExact = out.Distinct < maxDistinct
	if out.Rows == 0 {
		return out, nil
	}
	// Events without the field have the least of all values for the library.
	ends, err := l.summed(ctx, q, pipes(`filter F:* | stats min(F) low, max(F) high`))
	if err != nil {
		return out, err
	}
	for _, end := range ends {
		out.Min, out.Max = end["low"], end["high"]
	}
	if out.Numeric = number(r["numbers"]) == out.Rows; out.Numeric {
		for to, from := range map[**float64]string{&out.Sum: "total_sum", &out.Average: "mean", &out.P50: "q50", &out.P95: "q95", &out.P99: "q99"} {
			if v, err := strconv.ParseFloat(r[from], 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				*to = &v
			}
		}
	}
	values, err := l.Values(ctx, q, field, limit)
	if err != nil {
		return out, err
	}
	out.Values = slices.Concat(out.Values, values)
	return out, nil
}
