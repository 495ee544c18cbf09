package loki

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/grafana/loki/v3/pkg/loghttp"
	lokiql "github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/grafana/loki/v3/pkg/util/httpreq"
	"github.com/grafana/loki/v3/pkg/util/marshal"
	"github.com/prometheus/prometheus/model/labels"

	"icewatch/soc/loki/logql"
)

// query answers an instant query.
func (s service) query(ctx context.Context, r *request) error {
	in, err := loghttp.ParseInstantQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	p, err := logql.Params(in.Query, in.Ts, in.Ts, 0, 0, in.Direction, in.Limit)
	if err != nil {
		return bad(err)
	}
	if _, ok := p.GetExpression().(syntax.SampleExpr); !ok {
		return logqlmodel.ErrUnsupportedSyntaxForInstantQuery
	}
	return s.run(ctx, r, p)
}

// queryRange answers a query over a time.
func (s service) queryRange(ctx context.Context, r *request) error {
	in, err := loghttp.ParseRangeQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	p, err := logql.Params(in.Query, in.Start, in.End, in.Step, in.Interval, in.Direction, in.Limit)
	if err != nil {
		return bad(err)
	}
	if _, ok := p.GetExpression().(syntax.SampleExpr); ok {
		// Loki's front end has points lie on multiples of the step.
		start, end := aligned(in.Start, in.End, in.Step)
		if p, err = logql.Params(in.Query, start, end, in.Step, in.Interval, in.Direction, in.Limit); err != nil {
			return bad(err)
		}
	}
	return s.run(ctx, r, p)
}

// aligned widens a time to multiples of a step since 1970. What cannot be told
// in nanoseconds stays as it is: there are no lines then.
func aligned(start, end time.Time, step time.Duration) (time.Time, time.Time) {
	if start.Year() < 1679 || end.Year() > 2261 {
		return start, end
	}
	n := step.Nanoseconds()
	past := func(t time.Time) int64 { return (t.UnixNano()%n + n) % n }
	start = start.Add(-time.Duration(past(start)))
	if rest := past(end); rest != 0 {
		end = end.Add(time.Duration(n - rest))
	}
	return start, end
}

func (s service) run(ctx context.Context, r *request, p lokiql.Params) error {
	ctx = httpreq.AddEncodingFlagsToContext(ctx, r.flags)
	res, err := s.Engine.Query(ctx, r.within, p)
	if err != nil {
		return err
	}
	return marshal.WriteQueryResponseJSON(res.Data, res.Warnings, res.Statistics, r, r.flags)
}

// labels lists the names of labels.
func (s service) labels(ctx context.Context, r *request) error {
	names := map[string]bool{}
	err := s.streams(ctx, r, func(st *logql.Stream) {
		st.Labels.Range(func(l labels.Label) { names[l.Name] = true })
	})
	if err != nil {
		return err
	}
	return marshal.WriteLabelResponseJSON(sorted(names), r)
}

// values lists the values of a label.
func (s service) values(ctx context.Context, r *request) error {
	values := map[string]bool{}
	err := s.streams(ctx, r, func(st *logql.Stream) {
		if v := st.Labels.Get(r.name); v != "" {
			values[v] = true
		}
	})
	if err != nil {
		return err
	}
	return marshal.WriteLabelResponseJSON(sorted(values), r)
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for v := range set {
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

// streams hands over the streams that a request for labels is about.
func (s service) streams(ctx context.Context, r *request, emit func(*logql.Stream)) error {
	in, err := loghttp.ParseLabelQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	if in.End.Before(*in.Start) {
		return bad(errors.New("end timestamp must not be before or equal to start time"))
	}
	list, err := matchers(in.Query)
	if err != nil {
		return err
	}
	var groups [][]*labels.Matcher
	if len(list) > 0 {
		groups = append(groups, list)
	}
	found, err := s.Engine.Streams(ctx, r.within, groups, *in.Start, in.End.Add(aheadOfClock))
	if err != nil {
		return err
	}
	for i := range found {
		emit(&found[i])
	}
	return nil
}

// series lists the sets of labels that match.
func (s service) series(ctx context.Context, r *request) error {
	in, err := loghttp.ParseSeriesQuery(r.Request)
	if err != nil {
		return bad(err)
	}
	groups, err := lokiql.MatchForSeriesRequest(in.Groups)
	if err != nil {
		return bad(err)
	}
	found, err := s.Engine.Streams(ctx, r.within, groups, in.Start, in.End.Add(aheadOfClock))
	if err != nil {
		return err
	}
	slices.SortFunc(found, func(a, b logql.Stream) int { return labels.Compare(a.Labels, b.Labels) })
	data := make([]map[string]string, len(found))
	for i := range found {
		data[i] = found[i].Labels.Map()
	}
	return r.json(map[string]any{"status": "success", "data": data})
}

// formatQuery writes a query as Loki's own formatter does.
func (s service) formatQuery(_ context.Context, r *request) error {
	expr, err := syntax.ParseExpr(r.Form.Get("query"))
	if err != nil {
		return bad(err)
	}
	return r.json(map[string]string{"status": "success", "data": syntax.Prettify(expr)})
}

// labelsOf reads labels as LogQL writes them.
func labelsOf(text string) (labels.Labels, error) {
	set, err := syntax.ParseLabels(text)
	if err != nil {
		return labels.EmptyLabels(), fmt.Errorf("the labels %s of a stream: %w", text, err)
	}
	return set, nil
}
