package prometheus

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metricsql"
)

// lookback is how long a series without newer samples shows its last, as in
// Prometheus.
const lookback = 5 * time.Minute

// withLookback writes a query of PromQL so that a series without newer samples
// shows its last for five minutes, or until its mark that it went stale: where a
// selector names no window, MetricsQL guesses one by how far apart the samples
// are. A query that cannot be written anew stays as it is.
func withLookback(query string) string {
	e, err := metricsql.Parse(query)
	if err != nil {
		return query
	}
	window, err := metricsql.Parse(fmt.Sprintf("x[%ds]", int(lookback.Seconds())))
	if err != nil {
		return query
	}
	r, is := window.(*metricsql.RollupExpr)
	if !is {
		return query
	}
	return string(lookingBack{r.Window}.expr(e).AppendString(nil))
}

// lookingBack puts a window to the selectors that have none.
type lookingBack struct{ window *metricsql.DurationExpr }

func (l lookingBack) expr(e metricsql.Expr) metricsql.Expr {
	switch x := e.(type) {
	case *metricsql.MetricExpr:
		return l.rolled(&metricsql.RollupExpr{Expr: x})
	case *metricsql.RollupExpr:
		_, selector := x.Expr.(*metricsql.MetricExpr)
		switch {
		case !selector, x.Step != nil, x.InheritStep: // a subquery, or an offset of a whole expression
			x.Expr = l.expr(x.Expr)
		case x.Window == nil:
			return l.rolled(x)
		}
	case *metricsql.FuncExpr:
		// absent takes labels out of the selector that stands in it.
		l.args(x.Args, metricsql.IsRollupFunc(x.Name) || x.Name == "absent")
	case *metricsql.AggrFuncExpr:
		l.args(x.Args, false)
	case *metricsql.BinaryOpExpr:
		x.Left, x.Right = l.expr(x.Left), l.expr(x.Right)
	}
	return e
}

// args looks at the arguments of a function. Where it wants a selector itself, as
// timestamp(up) does, a plain one is left alone.
func (l lookingBack) args(list []metricsql.Expr, selector bool) {
	for i, arg := range list {
		if selector && plain(arg) {
			continue
		}
		list[i] = l.expr(arg)
	}
}

// plain tells a selector without a window.
func plain(e metricsql.Expr) bool {
	if r, is := e.(*metricsql.RollupExpr); is && r.Window == nil && r.Step == nil && !r.InheritStep {
		e = r.Expr
	}
	_, is := e.(*metricsql.MetricExpr)
	return is
}

// rolled is default_rollup over the window, of which MetricsQL says that it
// minds the marks of series that went stale.
func (l lookingBack) rolled(r *metricsql.RollupExpr) metricsql.Expr {
	r.Window = l.window
	return &metricsql.FuncExpr{Name: "default_rollup", Args: []metricsql.Expr{r}}
}
