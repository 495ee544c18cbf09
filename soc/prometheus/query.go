package prometheus

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/prometheus/promql/parser"

	"icewatch/soc/metrics"
)

// result is the data of a query's answer.
type result struct {
	ResultType string `json:"resultType"`
	Result     any    `json:"result"`
}

// text is a string as the value of a query: a time and the text.
type text struct {
	at    time.Time
	value string
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{float64(t.at.UnixMilli()) / 1000, t.value})
}

// expression reads a query: as PromQL, which tells its type, or else as
// MetricsQL. Where it is neither, Prometheus' own words say what is wrong.
func (r *room) expression(query string) (parser.Expr, error) {
	if len(query) > metrics.MaxQuery {
		return nil, bad("query", "it has %d bytes; %d is the most", len(query), metrics.MaxQuery)
	}
	expr, err := r.promql.ParseExpr(query)
	if err == nil {
		return expr, nil
	}
	if _, also := metricsql.Parse(query); also != nil {
		return nil, bad("query", "%v", err)
	}
	return nil, nil
}

// query answers /query.
func (r *room) query(c *fiber.Ctx) error {
	query, err := r.parameter(c, "query")
	if err != nil {
		return r.fail(c, err)
	}
	at, err := r.time(c, "time", r.now())
	if err != nil {
		return r.fail(c, err)
	}
	most, err := limit(c)
	if err != nil {
		return r.fail(c, err)
	}
	expr, err := r.expression(query)
	if err != nil {
		return r.fail(c, err)
	}
	if s, is := bare(expr).(*parser.StringLiteral); is {
		return ok(c, result{"string", text{at, s.Val}})
	}
	ctx, cancel, err := within(c)
	if err != nil {
		return r.fail(c, err)
	}
	defer cancel()
	a, warnings, err := r.read(c, ctx, metrics.Read{Kind: metrics.KindQuery, Query: engineQuery(expr, query), Time: at})
	if err != nil {
		return r.fail(c, err)
	}
	switch {
	case expr != nil && expr.Type() == parser.ValueTypeScalar:
		return ok(c, result{"scalar", scalar(a, at)}, warnings...)
	case a.ResultType == "matrix":
		dropStale(&a)
	}
	dropNames(expr, &a)
	a.Result, warnings = shorten(a.Result, most, warnings)
	return ok(c, result{a.ResultType, rows(a)}, warnings...)
}

// engineQuery is what the engine is asked. Only PromQL is written anew: whoever
// writes MetricsQL means what that says.
func engineQuery(expr parser.Expr, query string) string {
	if expr == nil || expr.Type() == parser.ValueTypeMatrix {
		return query
	}
	return withLookback(query)
}

// bare is an expression without the parentheses around it.
func bare(e parser.Expr) parser.Expr {
	for {
		p, is := e.(*parser.ParenExpr)
		if !is {
			return e
		}
		e = p.Expr
	}
}

// scalar is the answer to an expression that is one number; the engine knows
// vectors only, and leaves out what is not a number.
func scalar(a metrics.Answer, at time.Time) metrics.Point {
	if len(a.Result) == 1 && a.Result[0].Value != nil {
		return metrics.Point{Time: at, Value: a.Result[0].Value.Value}
	}
	return metrics.Point{Time: at, Value: math.NaN()}
}

// dropStale takes the marks of series that went stale out of raw samples, as
// Prometheus does.
func dropStale(a *metrics.Answer) {
	for i := range a.Result {
		a.Result[i].Values = slices.DeleteFunc(a.Result[i].Values, func(p metrics.Point) bool { return math.IsNaN(p.Value) })
	}
	a.Result = slices.DeleteFunc(a.Result, func(row metrics.Row) bool { return len(row.Values) == 0 })
}

// dropNames takes the metric's name out of what a function of PromQL made, as
// Prometheus does: MetricsQL keeps it where the function does not change what
// the value means. Where series would then be the same it stays.
func dropNames(e parser.Expr, a *metrics.Answer) {
	if named(e) {
		return
	}
	seen := map[string]bool{}
	var key []byte
	for _, row := range a.Result {
		key = key[:0]
		for _, l := range slices.Sorted(maps.Keys(row.Metric)) {
			if l != metrics.LabelName {
				key = fmt.Appendf(key, "%q%q", l, row.Metric[l])
			}
		}
		if seen[string(key)] {
			return
		}
		seen[string(key)] = true
	}
	for _, row := range a.Result {
		delete(row.Metric, metrics.LabelName)
	}
}

// named tells whether the series of an expression may have a name in
// Prometheus. Only functions are looked at: all else is the same in MetricsQL.
func named(e parser.Expr) bool {
	call, is := bare(e).(*parser.Call)
	if !is {
		return true
	}
	switch call.Func.Name {
	case "last_over_time", "first_over_time", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "label_replace", "label_join":
		return true
	}
	return false
}

// rows are the rows of an answer, never null.
func rows(a metrics.Answer) []metrics.Row {
	if a.Result == nil {
		return []metrics.Row{}
	}
	return a.Result
}

// queryRange answers /query_range.
func (r *room) queryRange(c *fiber.Ctx) error {
	for _, name := range []string{"query", "start", "end", "step"} {
		if _, err := r.parameter(c, name); err != nil {
			return r.fail(c, err)
		}
	}
	start, end, err := r.span(c, time.Time{})
	if err != nil {
		return r.fail(c, err)
	}
	step, err := parseDuration(one(c, "step"))
	switch {
	case err != nil:
		return r.fail(c, bad("step", "%v", err))
	case step <= 0:
		return r.fail(c, bad("step", "zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case step < time.Millisecond:
		return r.fail(c, bad("step", "%s is less than a millisecond, the least there is", step))
	case end.Sub(start)/step >= metrics.MaxPoints:
		return r.fail(c, &failure{http.StatusBadRequest, badData, "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"})
	}
	most, err := limit(c)
	if err != nil {
		return r.fail(c, err)
	}
	query := one(c, "query")
	expr, err := r.expression(query)
	if err != nil {
		return r.fail(c, err)
	}
	if expr != nil && expr.Type() != parser.ValueTypeVector && expr.Type() != parser.ValueTypeScalar {
		return r.fail(c, bad("query", "invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(expr.Type())))
	}
	ctx, cancel, err := within(c)
	if err != nil {
		return r.fail(c, err)
	}
	defer cancel()
	a, warnings, err := r.read(c, ctx, metrics.Read{Kind: metrics.KindQueryRange, Query: engineQuery(expr, query), Start: start, End: end, Step: step})
	if err != nil {
		return r.fail(c, err)
	}
	dropNames(expr, &a)
	a.Result, warnings = shorten(a.Result, most, warnings)
	return ok(c, result{"matrix", rows(a)}, warnings...)
}

// format answers /format_query.
func (r *room) format(c *fiber.Ctx) error {
	query, err := r.parameter(c, "query")
	if err != nil {
		return r.fail(c, err)
	}
	expr, err := r.expression(query)
	if err != nil {
		return r.fail(c, err)
	}
	if expr != nil {
		return ok(c, expr.Pretty(0))
	}
	pretty, err := metricsql.Prettify(query)
	if err != nil {
		return r.fail(c, bad("query", "%v", err))
	}
	return ok(c, pretty)
}
