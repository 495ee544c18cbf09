package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/logqlmodel"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"icewatch/soc/identity"
	"icewatch/soc/loki/logql"
	"icewatch/soc/search"
)

// logqlAnswer is the answer to a query in LogQL: lines of a log query, series
// of a metric query.
type logqlAnswer struct {
	Type string `json:"type" enum:"logs,matrix"`

	Limit     int         `json:"limit,omitempty" doc:"Of logs"`
	Truncated bool        `json:"truncated,omitempty" doc:"There are more lines than these"`
	Events    []logqlLine `json:"events,omitempty"`

	StepMS int64         `json:"step_ms,omitempty" doc:"Of a matrix"`
	Start  *time.Time    `json:"start,omitempty"`
	End    *time.Time    `json:"end,omitempty"`
	Series []logqlSeries `json:"series,omitempty"`
}

// logqlLine is a line as the query made it, and the event that it comes from.
type logqlLine struct {
	Time    time.Time         `json:"time"`
	EventID string            `json:"event_id"`
	Line    string            `json:"line" doc:"As the query's stages left it"`
	Labels  map[string]string `json:"labels" doc:"Of the stream, of structured metadata and of what the query parsed"`
	Event   map[string]any    `json:"event"`
}

// logqlSeries is a series of a metric query.
type logqlSeries struct {
	Labels map[string]string `json:"labels"`
	Points [][2]any          `json:"points" doc:"Time and value; null where the value is no number"`
}

// pointsOfMatrix is how many points a metric query has by default, about.
const pointsOfMatrix = 120

func (s *Server) logqlRoutes() {
	Register(s, huma.Operation{OperationID: "search-logql", Method: http.MethodGet, Path: "/search/logql", Tags: []string{"search"},
		Summary: "Search events with LogQL, Grafana Loki's query language", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TimeInput
			Query     string `query:"query" required:"true" minLength:"1" maxLength:"16384" doc:"LogQL"`
			Tenant    string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
			Limit     int    `query:"limit" minimum:"1" maximum:"5000" default:"200" doc:"Lines of a log query"`
			Direction string `query:"direction" enum:"backward,forward" default:"backward"`
			Step      string `query:"step" maxLength:"32" doc:"Between the points of a metric query, like 30s; about 120 points by default"`
		}) (*Body[logqlAnswer], error) {
			if s.deps.LogQL == nil {
				return nil, unavailable("LogQL")
			}
			within, err := Reach(ctx, in.Tenant)
			if err != nil {
				return nil, err
			}
			start, end, err := in.timeRange(time.Now(), time.Hour)
			if err != nil {
				return nil, err
			}
			step := search.Step(end.Sub(start), pointsOfMatrix)
			if in.Step != "" {
				if step, err = ParseDuration(in.Step); err != nil || step <= 0 {
					return nil, Problem(http.StatusBadRequest, "step: %q is no length of time; give one like 30s or 5m", in.Step)
				}
			}
			if n := end.Sub(start) / step; n > maxPoints {
				return nil, Problem(http.StatusBadRequest, "step: %s would make %d points, which are too many; at most %d", step, n, maxPoints)
			}
			direction := logproto.BACKWARD
			if in.Direction == "forward" {
				direction = logproto.FORWARD
			}
			p, err := logql.Params(in.Query, start, end, step, 0, direction, uint32(in.Limit))
			if err != nil {
				return nil, logqlProblem(in.Query, err)
			}
			ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
			if err != nil {
				return nil, err
			}
			defer leave()
			if _, ok := p.GetExpression().(syntax.SampleExpr); !ok {
				answer := logqlAnswer{Type: "logs", Limit: in.Limit, Events: []logqlLine{}}
				answer.Truncated, err = s.deps.LogQL.Lines(ctx, within, p, func(l logql.Line) error {
					line := logqlLine{Time: l.Time.UTC(), EventID: l.ID, Line: l.Text, Labels: l.Set.Map()}
					answer.Events = append(answer.Events, line)
					return json.Unmarshal(l.Event, &answer.Events[len(answer.Events)-1].Event)
				})
				if err != nil {
					return nil, logqlProblem(in.Query, err)
				}
				return Reply(answer), nil
			}
			res, err := s.deps.LogQL.Query(ctx, within, p)
			if err != nil {
				return nil, logqlProblem(in.Query, err)
			}
			answer := logqlAnswer{Type: "matrix", StepMS: step.Milliseconds(), Start: &start, End: &end, Series: []logqlSeries{}}
			matrix, _ := res.Data.(promql.Matrix)
			for _, series := range matrix {
				answer.Series = append(answer.Series, logqlSeries{Labels: labelsOf(series.Metric), Points: pointsOf(series.Floats)})
			}
			return Reply(answer), nil
		})
}

// maxPoints bounds the points of a series, as Loki does.
const maxPoints = 11_000

func labelsOf(set labels.Labels) map[string]string {
	if set.IsEmpty() {
		return map[string]string{}
	}
	return set.Map()
}

func pointsOf(list []promql.FPoint) [][2]any {
	points := make([][2]any, len(list))
	for i, p := range list {
		points[i][0] = time.UnixMilli(p.T).UTC()
		if !math.IsNaN(p.F) && !math.IsInf(p.F, 0) {
			points[i][1] = p.F
		}
	}
	return points
}

// faultPlace is where Loki's parser says that a fault is.
var faultPlace = regexp.MustCompile(`^parse error at line (\d+), col (\d+): `)

// logqlProblem words what is wrong with a query in LogQL as Loki does, and says
// where.
func logqlProblem(query string, err error) error {
	switch {
	case errors.Is(err, logqlmodel.ErrParse), errors.Is(err, logqlmodel.ErrPipeline), errors.Is(err, logqlmodel.ErrLimit), errors.Is(err, logqlmodel.ErrIntervalLimit):
	default:
		return err
	}
	position := -1
	if m := faultPlace.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		column, _ := strconv.Atoi(m[2])
		position = 0
		for rest := query; line > 1; line-- {
			_, after, ok := strings.Cut(rest, "\n")
			if !ok {
				break
			}
			position += len(rest) - len(after)
			rest = after
		}
		position = min(position+max(column-1, 0), len(query))
	}
	p := &huma.ErrorModel{Status: http.StatusBadRequest, Title: http.StatusText(http.StatusBadRequest), Detail: strings.TrimSpace(err.Error())}
	d := &huma.ErrorDetail{Location: "query.query", Message: p.Detail}
	if position >= 0 {
		d.Value = Facts{"position": position}
	}
	p.Errors = append(p.Errors, d)
	return p
}
