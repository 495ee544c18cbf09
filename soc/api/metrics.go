package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
)

// Metrics is what the API asks of the metric lake.
type Metrics interface {
	// ReadMetrics answers a read of the tenants that the reach covers whole.
	ReadMetrics(ctx context.Context, within reach.Reach, r metrics.Read) (metrics.Answer, error)
}

const (
	metricPoints = 250              // of a series, where a range names no step
	metricStep   = 15 * time.Second // the least step then
	metricBack   = time.Hour        // how far a range without start reaches back
)

// QueryAnswer is the answer to a query of metrics, as the Prometheus API has it
// under "data".
type QueryAnswer struct {
	ResultType string        `json:"resultType" enum:"vector,matrix"`
	Result     []metrics.Row `json:"result" nullable:"false"`
	TookMS     int64         `json:"took_ms"`
}

// MetricListInput is what all lists of metrics take.
type MetricListInput struct {
	TimeInput
	Match  []string `query:"match" doc:"Selector of series, such as up{job=\"x\"}; all by default"`
	Tenant string   `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
	Limit  int      `query:"limit" minimum:"1" maximum:"20000" default:"1000"`
}

func (s *Server) metricRoutes() {
	// A point is an array of a number and a text.
	s.huma.OpenAPI().Components.Schemas.RegisterTypeAlias(typeOf[metrics.Point](), typeOf[[]any]())

	Register(s, huma.Operation{OperationID: "query-metrics", Method: http.MethodGet, Path: "/metrics/query", Tags: []string{"metrics"},
		Summary: "Ask the metrics at one time, in MetricsQL or PromQL", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			Query  string `query:"query" required:"true" minLength:"1" maxLength:"16384" doc:"MetricsQL, of which PromQL is a part"`
			Time   string `query:"time" doc:"RFC 3339, a Unix time, or a duration before now; now by default"`
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
		}) (*Body[QueryAnswer], error) {
			r := metrics.Read{Kind: metrics.KindQuery, Query: in.Query, Time: time.Now()}
			if in.Time != "" {
				at, err := ParseTime(in.Time, time.Now())
				if err != nil {
					return nil, Problem(http.StatusBadRequest, "time: %s", err)
				}
				r.Time = at
			}
			return s.queryMetrics(ctx, in.Tenant, r)
		})

	Register(s, huma.Operation{OperationID: "query-metrics-range", Method: http.MethodGet, Path: "/metrics/query_range", Tags: []string{"metrics"},
		Summary: "Ask the metrics over a range of time, in MetricsQL or PromQL", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TimeInput
			Query  string `query:"query" required:"true" minLength:"1" maxLength:"16384" doc:"MetricsQL, of which PromQL is a part"`
			Step   string `query:"step" doc:"Time between two points: a duration or seconds; by default what makes about 250 points, 15s at least"`
			Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
		}) (*Body[QueryAnswer], error) {
			r := metrics.Read{Kind: metrics.KindQueryRange, Query: in.Query}
			var err error
			if r.Start, r.End, err = in.timeRange(time.Now(), metricBack); err != nil {
				return nil, err
			}
			if r.Step, err = step(in.Step, r.End.Sub(r.Start)); err != nil {
				return nil, Problem(http.StatusBadRequest, "step: %s", err)
			}
			return s.queryMetrics(ctx, in.Tenant, r)
		})

	list := func(id, path, summary, kind string) {
		Register(s, huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"metrics"}, Summary: summary,
			Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
			func(ctx context.Context, in *MetricListInput) (*Body[Page[string]], error) {
				a, err := s.listMetrics(ctx, *in, kind, "")
				if err != nil {
					return nil, err
				}
				return Reply(PageOf(a.Items, len(a.Items), "")), nil
			})
	}
	list("metric-labels", "/metrics/labels", "The names of labels of metrics", metrics.KindLabels)
	Register(s, huma.Operation{OperationID: "metric-label-values", Method: http.MethodGet, Path: "/metrics/label-values", Tags: []string{"metrics"},
		Summary: "The values of a label of metrics; __name__ lists the metrics", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			MetricListInput
			Label string `query:"label" required:"true" minLength:"1" maxLength:"256"`
		}) (*Body[Page[string]], error) {
			a, err := s.listMetrics(ctx, in.MetricListInput, metrics.KindLabelValues, in.Label)
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(a.Items, len(a.Items), "")), nil
		})
	Register(s, huma.Operation{OperationID: "metric-series", Method: http.MethodGet, Path: "/metrics/series", Tags: []string{"metrics"},
		Summary: "The series of metrics, as their labels", Errors: []int{400, 429, 503, 504}}, identity.ScopeRead,
		func(ctx context.Context, in *MetricListInput) (*Body[Page[map[string]string]], error) {
			a, err := s.listMetrics(ctx, *in, metrics.KindSeries, "")
			if err != nil {
				return nil, err
			}
			return Reply(PageOf(a.Series, len(a.Series), "")), nil
		})
}

// step reads the time between two points of a range.
func step(text string, span time.Duration) (time.Duration, error) {
	if text == "" {
		return max(metricStep, (span / metricPoints).Round(time.Second)), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return ParseDuration(text)
}

func (s *Server) queryMetrics(ctx context.Context, tenant string, r metrics.Read) (*Body[QueryAnswer], error) {
	begun := time.Now()
	a, err := s.readMetrics(ctx, tenant, r)
	if err != nil {
		return nil, err
	}
	if a.Result == nil {
		a.Result = []metrics.Row{}
	}
	return Reply(QueryAnswer{a.ResultType, a.Result, time.Since(begun).Milliseconds()}), nil
}

func (s *Server) listMetrics(ctx context.Context, in MetricListInput, kind, label string) (metrics.Answer, error) {
	r := metrics.Read{Kind: kind, Match: in.Match, Label: label, Limit: in.Limit}
	var err error
	if r.Start, r.End, err = in.timeRange(time.Now(), metricBack); err != nil {
		return metrics.Answer{}, err
	}
	return s.readMetrics(ctx, in.Tenant, r)
}

// readMetrics answers a read within the caller's reach. It takes one of the
// places of searches.
func (s *Server) readMetrics(ctx context.Context, tenant string, r metrics.Read) (metrics.Answer, error) {
	if s.deps.Metrics == nil {
		return metrics.Answer{}, unavailable("metrics")
	}
	within, err := Reach(ctx, tenant)
	if err != nil {
		return metrics.Answer{}, err
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return metrics.Answer{}, err
	}
	defer leave()
	a, err := s.deps.Metrics.ReadMetrics(ctx, within, r)
	var qe *metrics.QueryError
	if errors.As(err, &qe) {
		return a, Problem(http.StatusBadRequest, "query: %s", qe.Reason)
	}
	return a, err
}
