package logql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grafana/dskit/user"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/querier/plan"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/reach"
	"icewatch/soc/search"
)

// Engine answers LogQL. It is safe for concurrent use.
type Engine struct {
	store  search.Store
	limits Limits
}

// New makes an Engine over what store holds.
func New(store search.Store, limits Limits) *Engine {
	limits.Fill()
	return &Engine{store: store, limits: limits}
}

// Limits are those in force.
func (e *Engine) Limits() Limits { return e.limits }

// Params makes the engine's parameters of a query's; start equals end, and step
// is 0, for an instant. The error is a logqlmodel.ParseError where the query is
// none.
func Params(query string, start, end time.Time, step, interval time.Duration, direction logproto.Direction, limit uint32) (logql.Params, error) {
	return logql.NewLiteralParams(query, start, end, step, interval, direction, limit, nil, nil)
}

// Query answers a query within a reach. Errors are Loki's own, or those of
// search.Store.
func (e *Engine) Query(ctx context.Context, within reach.Reach, p logql.Params) (logqlmodel.Result, error) {
	if err := e.check(p); err != nil {
		return logqlmodel.Result{}, err
	}
	q := e.question(within, p.GetExpression())
	if sample, ok := p.GetExpression().(syntax.SampleExpr); ok {
		pushed, err := syntax.Clone(sample)
		if err != nil {
			return logqlmodel.Result{}, err
		}
		pushed.Walk(func(x syntax.Expr) bool {
			if r, ok := x.(*syntax.RangeAggregationExpr); ok {
				q.push(r, p.Start(), p.End(), p.Step())
			}
			return true
		})
		p = logql.ParamsWithExpressionOverride{Params: p, ExpressionOverride: pushed}
	}
	// Loki's engine wants the name of a tenant; the reach decides whose rows it sees.
	ctx = user.InjectOrgID(ctx, "icewatch")
	res, err := logql.NewEngine(logql.EngineOpts{}, q, engineLimits{e.limits}, nil).Query(p).Exec(ctx)
	return res, settle(err)
}

// settle makes an error of the store one that its readers know: the engine
// joins those of its iterators.
func settle(err error) error {
	var wrong *search.QueryError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return fmt.Errorf("the lake did not understand the query: %w", err)
	}
	return err
}

func (e *Engine) question(within reach.Reach, expr syntax.Expr) *question {
	return &question{store: e.store, within: within, limits: e.limits, named: named(expr)}
}

// check applies the limits that Loki applies before it looks at anything.
func (e *Engine) check(p logql.Params) error {
	if span := p.End().Sub(p.Start()); span > e.limits.Range {
		return limitError{fmt.Errorf("the query time range exceeds the limit (query length: %s, limit: %s)", span, e.limits.Range)}
	}
	if _, ok := p.GetExpression().(syntax.LogSelectorExpr); ok && int(p.Limit()) > e.limits.Entries {
		return limitError{fmt.Errorf("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", p.Limit(), e.limits.Entries)}
	}
	return nil
}

// Line is one line of a log query.
type Line struct {
	Time   time.Time
	ID     string // event.id
	Text   string
	Labels string // as LogQL writes them: of the stream, structured metadata and parsed ones
	Hash   uint64 // of the stream
	// The same by where they come from, but for those of the stream.
	Metadata, Parsed []logproto.LabelAdapter

	Set   labels.Labels // Labels once more
	Event []byte        // the row that it comes from, for Lines
}

// newLine makes a line of what the pipeline made of a record.
func newLine(rec *record, text string, set log.LabelsResult) *Line {
	return &Line{Time: time.Unix(0, rec.time), ID: rec.id, Text: strings.Clone(text), Labels: set.String(), Set: set.Labels(),
		Metadata: logproto.FromLabelsToLabelAdapters(set.StructuredMetadata()),
		Parsed:   logproto.FromLabelsToLabelAdapters(set.Parsed())}
}

// Lines hands over the lines that a log query selects, in its direction and no
// more than its limit, each with the event that it is of. more tells whether
// there are further ones.
func (e *Engine) Lines(ctx context.Context, within reach.Reach, p logql.Params, emit func(Line) error) (more bool, err error) {
	if err := e.check(p); err != nil {
		return false, err
	}
	expr, ok := p.GetExpression().(syntax.LogSelectorExpr)
	if !ok {
		return false, errors.New("logql: a metric query has no lines")
	}
	ctx, cancel := context.WithTimeout(ctx, e.limits.Timeout)
	defer cancel()
	it, err := e.question(within, expr).lines(ctx, logql.SelectLogParams{QueryRequest: &logproto.QueryRequest{Start: p.Start(), End: p.End(),
		Limit: p.Limit(), Direction: p.Direction(), Plan: planOf(expr)}})
	if err != nil {
		return false, settle(err)
	}
	it.events = true
	for n := uint32(0); it.Next(); n++ {
		if n == p.Limit() {
			return true, nil
		}
		if err := emit(*it.line()); err != nil {
			return false, err
		}
	}
	return false, settle(it.Err())
}

// planOf is a plan of one expression.
func planOf(e syntax.Expr) *plan.QueryPlan { return &plan.QueryPlan{AST: e} }
