package jaeger

import (
	"encoding/json"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fastjson"

	"icewatch/soc/reach"
	"icewatch/soc/traces"
)

// Version 3 of the API has spans in OTLP's JSON, the form in which the lake
// keeps what they were made of.

func (h *handler) servicesV3(c *fiber.Ctx, to reach.Reach) error {
	list, err := h.service.ServiceNames(c.UserContext(), h.names(to))
	if err != nil {
		return err
	}
	return c.JSON(fiber.Map{"services": some(list)})
}

func (h *handler) operationsV3(c *fiber.Ctx, to reach.Reach) error {
	list, err := h.listOperations(c, to, c.Query("service"), c.Query("span_kind"))
	if err != nil {
		return err
	}
	type named struct {
		Name     string `json:"name"`
		SpanKind string `json:"spanKind,omitempty"` // left out where it is "", as by protobuf's JSON
	}
	out := make([]named, 0, len(list))
	for _, o := range list {
		out = append(out, named(o))
	}
	return c.JSON(fiber.Map{"operations": out})
}

func (h *handler) searchV3(c *fiber.Ctx, to reach.Reach) error {
	p := params{c: c}
	f := traces.Filter{Service: p.text("query.service_name"), Operation: p.text("query.operation_name"), Tags: p.tags("query.tag", "query.attributes"),
		MinDuration: p.duration("query.duration_min"), MaxDuration: p.duration("query.duration_max")}
	r := traces.Range{Reach: to, Start: p.timeV3("query.start_time_min", true), End: p.timeV3("query.start_time_max", true)}
	limit := p.whole("query.num_traces", defaultLimit, 1, traces.MaxTraces)
	if c.Query("query.search_depth") != "" { // as later releases of Jaeger call it
		limit = p.whole("query.search_depth", defaultLimit, 1, traces.MaxTraces)
	}
	if p.err != nil {
		return p.err
	}
	if err := checkRange(r.Start, r.End); err != nil {
		return err
	}
	list, err := h.service.Find(c.UserContext(), r, f, int(limit))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return refuse(c, fiber.StatusNotFound, noTraces)
	}
	return sendOTLP(c, list)
}

func (h *handler) traceV3(c *fiber.Ctx, to reach.Reach) error {
	p := params{c: c}
	start, end := p.timeV3("start_time", false), p.timeV3("end_time", false)
	if p.err != nil {
		return p.err
	}
	t, err := h.service.Trace(c.UserContext(), to, c.Params("id"), start, end)
	if err != nil {
		return err
	}
	return sendOTLP(c, []*traces.Trace{t})
}

func sendOTLP(c *fiber.Ctx, list []*traces.Trace) error {
	body, err := otlp(list)
	if err != nil {
		return err
	}
	return c.JSON(fiber.Map{"result": body})
}

type resourceSpans struct {
	Resource   json.RawMessage `json:"resource"`
	ScopeSpans []*scopeSpans   `json:"scopeSpans"`
	byScope    map[string]*scopeSpans
}

type scopeSpans struct {
	Scope json.RawMessage   `json:"scope"`
	Spans []json.RawMessage `json:"spans"`
}

type tracesData struct {
	ResourceSpans []*resourceSpans `json:"resourceSpans"`
}

// otlp puts spans together by resource and scope, for each trace of its own.
func otlp(list []*traces.Trace) (tracesData, error) {
	out := tracesData{ResourceSpans: []*resourceSpans{}}
	var parser fastjson.Parser
	for _, t := range list {
		byResource := map[string]*resourceSpans{}
		for _, s := range t.Spans {
			resource, scope, text, err := parts(&parser, s)
			if err != nil {
				return out, err
			}
			r := byResource[string(resource)]
			if r == nil {
				r = &resourceSpans{Resource: resource, byScope: map[string]*scopeSpans{}}
				byResource[string(resource)] = r
				out.ResourceSpans = append(out.ResourceSpans, r)
			}
			in := r.byScope[string(scope)]
			if in == nil {
				in = &scopeSpans{Scope: scope}
				r.byScope[string(scope)] = in
				r.ScopeSpans = append(r.ScopeSpans, in)
			}
			in.Spans = append(in.Spans, text)
		}
	}
	return out, nil
}

// parts are a span's resource, its scope and itself in OTLP's JSON.
func parts(parser *fastjson.Parser, s *traces.Span) (resource, scope, text json.RawMessage, err error) {
	if s.Original != nil {
		v, err := parser.ParseBytes(s.Original)
		if err != nil {
			return nil, nil, nil, err
		}
		part := func(name string) json.RawMessage {
			if p := v.Get(name); p != nil {
				return p.MarshalTo(nil)
			}
			return json.RawMessage("{}")
		}
		return part("resource"), part("scope"), part("span"), nil
	}
	type keyValue struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
	attributes := func(list []traces.Attribute) []keyValue {
		out := []keyValue{}
		for _, a := range list {
			kind, value := "stringValue", a.Value // lists and maps as the JSON text that they are here
			switch v := a.Value.(type) {
			case bool:
				kind = "boolValue"
			case int64:
				kind, value = "intValue", strconv.FormatInt(v, 10)
			case float64:
				kind = "doubleValue"
			case string:
				if a.Type == traces.TypeBinary {
					kind = "bytesValue"
				}
			}
			out = append(out, keyValue{a.Key, map[string]any{kind: value}})
		}
		return out
	}
	of := s.Resource.Attributes
	if s.Resource.Service != "" {
		of = append([]traces.Attribute{{Key: "service.name", Type: traces.TypeString, Value: s.Resource.Service}}, of...)
	}
	if resource, err = json.Marshal(map[string]any{"attributes": attributes(of)}); err != nil {
		return nil, nil, nil, err
	}
	span := map[string]any{"traceId": s.TraceID, "spanId": s.ID, "name": s.Name, "kind": kinds[s.Kind], "attributes": attributes(s.Attributes),
		"startTimeUnixNano": strconv.FormatInt(s.Start.UnixNano(), 10), "endTimeUnixNano": strconv.FormatInt(s.End().UnixNano(), 10),
		"status": map[string]any{"code": codes[s.Status], "message": s.Message}}
	if s.Parent != "" {
		span["parentSpanId"] = s.Parent
	}
	if s.TraceState != "" {
		span["traceState"] = s.TraceState
	}
	var events, links []map[string]any
	for _, e := range s.Events {
		events = append(events, map[string]any{"name": e.Name, "timeUnixNano": strconv.FormatInt(e.Time.UnixNano(), 10), "attributes": attributes(e.Attributes)})
	}
	for _, l := range s.Links {
		links = append(links, map[string]any{"traceId": l.TraceID, "spanId": l.SpanID, "traceState": l.TraceState, "attributes": attributes(l.Attributes)})
	}
	if events != nil {
		span["events"] = events
	}
	if links != nil {
		span["links"] = links
	}
	if text, err = json.Marshal(span); err != nil {
		return nil, nil, nil, err
	}
	scope, err = json.Marshal(map[string]any{"name": s.Scope, "version": s.ScopeVersion, "attributes": attributes(s.ScopeTags)})
	return resource, scope, text, err
}

// OTLP's numbers of kinds and of status codes.
var (
	kinds = map[string]int{"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
	codes = map[string]int{traces.Unset: 0, traces.OK: 1, traces.Error: 2}
)
