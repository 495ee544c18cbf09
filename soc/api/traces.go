package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/traces"
)

// tracesBack is how far questions about traces reach back by default.
const tracesBack = time.Hour

// TraceInput is what questions about traces take.
type TraceInput struct {
	TimeInput
	Tenant string `query:"tenant" maxLength:"4096" doc:"Tenants, separated by commas; all within reach by default"`
}

// TraceList is the answer to a search for traces.
type TraceList struct {
	Items     []traces.Summary `json:"items" nullable:"false" doc:"The latest first"`
	Truncated bool             `json:"truncated" doc:"There are more than these"`
	TookMS    int64            `json:"took_ms"`
}

// TraceView is one trace, ready to be drawn.
type TraceView struct {
	TraceID   string               `json:"trace_id"`
	Start     time.Time            `json:"start"`
	Duration  int64                `json:"duration_ns"`
	Depth     int                  `json:"depth" doc:"Levels of spans"`
	Services  []traces.ServicePart `json:"services" nullable:"false" doc:"In the order of their first spans"`
	Resources []ResourceView       `json:"resources" nullable:"false"`
	Spans     []SpanView           `json:"spans" nullable:"false" doc:"Depth first, those of one parent in order of their beginning"`
	Truncated bool                 `json:"truncated" doc:"The trace has more spans than these"`
	Logs      TraceLogs            `json:"logs"`
}

// ResourceView is a process that spans come from.
type ResourceView struct {
	Service    string             `json:"service"`
	Attributes []traces.Attribute `json:"attributes" nullable:"false"`
}

// SpanView is one span of a TraceView.
type SpanView struct {
	SpanID     string             `json:"span_id"`
	ParentID   string             `json:"parent_id"`
	Depth      int                `json:"depth"`
	Children   int                `json:"children" doc:"Spans right below it"`
	Orphan     bool               `json:"orphan" doc:"Its parent is not among the spans"`
	Name       string             `json:"name"`
	Kind       string             `json:"kind"`
	Service    string             `json:"service"`
	Resource   int                `json:"resource" doc:"Its place in resources"`
	Start      time.Time          `json:"start"`
	Offset     int64              `json:"offset_ns" doc:"From the beginning of the trace"`
	Duration   int64              `json:"duration_ns"`
	Self       int64              `json:"self_ns" doc:"Of the duration, what no span below it covers"`
	Critical   bool               `json:"critical" doc:"On the critical path"`
	Status     string             `json:"status" enum:"ok,error,unset" doc:"As the sender set it, or else what the status of HTTP says"`
	Message    string             `json:"status_message"`
	Tenant     string             `json:"tenant"`
	EventID    string             `json:"event_id" doc:"Of the event that the span is stored as"`
	Attributes []traces.Attribute `json:"attributes" nullable:"false"`
	Scope      ScopeView          `json:"scope"`
	Events     []SpanEvent        `json:"events" nullable:"false"`
	Links      []SpanLink         `json:"links" nullable:"false"`
}

// ScopeView is the instrumentation that made a span.
type ScopeView struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// SpanEvent is something that happened during a span.
type SpanEvent struct {
	Name       string             `json:"name"`
	Offset     int64              `json:"offset_ns" doc:"From the beginning of the trace"`
	Attributes []traces.Attribute `json:"attributes" nullable:"false"`
}

// SpanLink points to another span.
type SpanLink struct {
	TraceID    string             `json:"trace_id"`
	SpanID     string             `json:"span_id"`
	Attributes []traces.Attribute `json:"attributes" nullable:"false"`
}

// TraceLogs are the events beside the spans that carry the trace's id.
type TraceLogs struct {
	Count uint64    `json:"count"`
	Query string    `json:"query" doc:"LogsQL that finds them"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// askTraces answers a question about traces within the bounds of searches.
func askTraces[T any](s *Server, ctx context.Context, in TraceInput, ask func(ctx context.Context, r traces.Range) (T, error)) (*Body[T], error) {
	if s.deps.Traces == nil {
		return nil, unavailable("the analysis of traces")
	}
	within, err := Reach(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	r := traces.Range{Reach: within}
	if r.Start, r.End, err = in.timeRange(time.Now(), tracesBack); err != nil {
		return nil, err
	}
	if in.End == "" {
		r.End = r.End.Add(aheadOfClock)
	}
	ctx, leave, err := s.enterSearch(ctx, s.deps.SearchTimeout)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer, err := ask(ctx, r)
	switch {
	case errors.Is(err, traces.ErrInvalid):
		return nil, Problem(http.StatusBadRequest, "%s", err)
	case errors.Is(err, traces.ErrNotFound):
		return nil, Problem(http.StatusNotFound, "%s", err)
	case err != nil:
		return nil, err
	}
	return Reply(answer), nil
}

// spanDuration reads a duration such as 100ms; "" is none.
func spanDuration(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, Problem(http.StatusBadRequest, "%s: %q is no duration: give one like 500us, 100ms or 1.5s", name, clip(text, 64))
	}
	return d, nil
}

// traceRoutes registers the questions about traces.
func (s *Server) traceRoutes() {
	operation := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"traces"}, Summary: summary, Errors: []int{400, 404, 429, 503, 504}}
	}
	Register(s, operation("traces-search", "/traces", "Search traces: those of which one span meets all conditions"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TraceInput
			Service     string `query:"service" maxLength:"1024"`
			Operation   string `query:"operation" maxLength:"1024" doc:"The name of a span"`
			Kind        string `query:"kind" enum:"internal,server,client,producer,consumer"`
			Tags        string `query:"tags" maxLength:"8192" doc:"name=value, separated by spaces, with quotes around values that have spaces; names as OpenTelemetry has them"`
			MinDuration string `query:"min_duration" maxLength:"64" doc:"Such as 100ms"`
			MaxDuration string `query:"max_duration" maxLength:"64" doc:"Such as 1.5s"`
			Errors      bool   `query:"errors" doc:"Only spans that failed"`
			Query       string `query:"query" maxLength:"16384" doc:"LogsQL without pipes, to narrow the spans further"`
			Limit       int    `query:"limit" minimum:"1" maximum:"500" default:"20"`
		}) (*Body[TraceList], error) {
			f := traces.Filter{Service: in.Service, Operation: in.Operation, Kind: in.Kind, Failed: in.Errors, LogsQL: in.Query}
			var err error
			if f.MinDuration, err = spanDuration("min_duration", in.MinDuration); err != nil {
				return nil, err
			}
			if f.MaxDuration, err = spanDuration("max_duration", in.MaxDuration); err != nil {
				return nil, err
			}
			if f.Tags, err = traces.ParseTags(in.Tags); err != nil {
				return nil, Problem(http.StatusBadRequest, "%s", err)
			}
			began := time.Now()
			return askTraces(s, ctx, in.TraceInput, func(ctx context.Context, r traces.Range) (TraceList, error) {
				list, more, err := s.deps.Traces.Search(ctx, r, f, in.Limit)
				if list == nil {
					list = []traces.Summary{}
				}
				return TraceList{list, more, time.Since(began).Milliseconds()}, err
			})
		})
	Register(s, operation("traces-services", "/traces/services", "The services that have spans"), identity.ScopeRead,
		func(ctx context.Context, in *TraceInput) (*Body[Page[traces.ServiceFigures]], error) {
			return askTraces(s, ctx, *in, func(ctx context.Context, r traces.Range) (Page[traces.ServiceFigures], error) {
				list, err := s.deps.Traces.Services(ctx, r)
				return PageOf(list, len(list), ""), err
			})
		})
	Register(s, operation("traces-operations", "/traces/operations", "The operations of a service"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TraceInput
			Service string `query:"service" required:"true" minLength:"1" maxLength:"1024"`
			Kind    string `query:"kind" enum:"internal,server,client,producer,consumer"`
		}) (*Body[Page[traces.Operation]], error) {
			return askTraces(s, ctx, in.TraceInput, func(ctx context.Context, r traces.Range) (Page[traces.Operation], error) {
				list, err := s.deps.Traces.Operations(ctx, r, in.Service, in.Kind)
				return PageOf(list, len(list), ""), err
			})
		})
	Register(s, operation("traces-map", "/traces/map", "Which service calls which"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TraceInput
			Service string `query:"service" maxLength:"1024" doc:"Only this one and its neighbours"`
		}) (*Body[traces.Map], error) {
			return askTraces(s, ctx, in.TraceInput, func(ctx context.Context, r traces.Range) (traces.Map, error) {
				return s.deps.Traces.Map(ctx, r, in.Service)
			})
		})
	Register(s, operation("trace-get", "/traces/{id}", "One trace; without times it is looked for in all that is kept"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			TraceInput
			ID string `path:"id" minLength:"1" maxLength:"64" doc:"1 to 32 hexadecimal digits"`
		}) (*Body[TraceView], error) {
			hinted := in.Start != "" || in.End != "" || in.Since != ""
			return askTraces(s, ctx, in.TraceInput, func(ctx context.Context, r traces.Range) (TraceView, error) {
				if !hinted {
					r.Start, r.End = time.Time{}, time.Time{}
				}
				t, err := s.deps.Traces.Trace(ctx, r.Reach, in.ID, r.Start, r.End)
				if err != nil {
					return TraceView{}, err
				}
				view := viewOf(t)
				view.Logs, err = s.logsOf(ctx, r.Reach, t)
				return view, err
			})
		})
}

// logsOf counts what was logged during a trace and five minutes around it.
func (s *Server) logsOf(ctx context.Context, within reach.Reach, t *traces.Trace) (TraceLogs, error) {
	logs := TraceLogs{Query: `trace.id:=` + strconv.Quote(t.ID) + ` !` + traces.Spans, Start: t.Start().Add(-5 * time.Minute), End: t.End().Add(5 * time.Minute)}
	h, err := s.deps.Search.Histogram(ctx, search.Request{Reach: within, Query: logs.Query, Start: logs.Start, End: logs.End}, 1)
	logs.Count = h.Total
	return logs, err
}

func listed(list []traces.Attribute) []traces.Attribute {
	if list == nil {
		return []traces.Attribute{}
	}
	return list
}

// viewOf lays a trace out.
func viewOf(t *traces.Trace) TraceView {
	tree := t.Tree()
	start := t.Start()
	v := TraceView{TraceID: t.ID, Start: start, Duration: t.End().Sub(start).Nanoseconds(), Depth: tree.Depth, Truncated: t.Truncated,
		Services: []traces.ServicePart{}, Resources: []ResourceView{}, Spans: make([]SpanView, 0, len(tree.Nodes))}
	resources := map[*traces.Resource]int{}
	for _, n := range tree.Nodes {
		at, ok := resources[n.Resource]
		if !ok {
			at = len(v.Resources)
			resources[n.Resource] = at
			v.Resources = append(v.Resources, ResourceView{n.Resource.Service, listed(n.Resource.Attributes)})
		}
		service := n.Resource.Service
		i := slices.IndexFunc(v.Services, func(p traces.ServicePart) bool { return p.Name == service })
		if i < 0 {
			i = len(v.Services)
			v.Services = append(v.Services, traces.ServicePart{Name: service})
		}
		v.Services[i].Spans++
		if n.Outcome == traces.Error {
			v.Services[i].Errors++
		}
		x := SpanView{SpanID: n.ID, ParentID: n.Parent, Depth: n.Depth, Children: n.Children, Orphan: n.Orphan, Name: n.Name, Kind: n.Kind, Service: service,
			Resource: at, Start: n.Start, Offset: n.Start.Sub(start).Nanoseconds(), Duration: n.Duration.Nanoseconds(), Self: n.Self.Nanoseconds(), Critical: n.Critical,
			Status: n.Outcome, Message: n.Message, Tenant: n.Tenant, EventID: n.EventID, Attributes: listed(n.Attributes), Scope: ScopeView{n.Scope, n.ScopeVersion},
			Events: make([]SpanEvent, 0, len(n.Events)), Links: make([]SpanLink, 0, len(n.Links))}
		for _, e := range n.Events {
			x.Events = append(x.Events, SpanEvent{e.Name, e.Time.Sub(start).Nanoseconds(), listed(e.Attributes)})
		}
		for _, l := range n.Links {
			x.Links = append(x.Links, SpanLink{l.TraceID, l.SpanID, listed(l.Attributes)})
		}
		v.Spans = append(v.Spans, x)
	}
	return v
}
