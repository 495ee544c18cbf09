package jaeger

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"icewatch/soc/traces"
)

// The JSON of Jaeger's query service, as its user interface and Grafana read it
// (jaeger internal/uimodel). Times and durations are in microseconds.

type trace struct {
	TraceID   string             `json:"traceID"`
	Spans     []span             `json:"spans"`
	Processes map[string]process `json:"processes"`
	Warnings  []string           `json:"warnings"`
}

type span struct {
	TraceID       string      `json:"traceID"`
	SpanID        string      `json:"spanID"`
	OperationName string      `json:"operationName"`
	References    []reference `json:"references"`
	StartTime     int64       `json:"startTime"`
	Duration      int64       `json:"duration"`
	Tags          []tag       `json:"tags"`
	Logs          []log       `json:"logs"`
	ProcessID     string      `json:"processID"`
	Warnings      []string    `json:"warnings"`
}

type reference struct {
	RefType string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type process struct {
	ServiceName string `json:"serviceName"`
	Tags        []tag  `json:"tags"`
}

type log struct {
	Timestamp int64 `json:"timestamp"`
	Fields    []tag `json:"fields"`
}

type tag struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// safeInteger is the largest integer that JavaScript has exactly; larger ones
// go as texts.
const safeInteger = 1<<53 - 1

func tagOf(a traces.Attribute) tag {
	switch n, ok := a.Value.(int64); {
	case a.Type == traces.TypeJSON:
		return tag{a.Key, traces.TypeString, a.Value}
	case ok && (n > safeInteger || n < -safeInteger):
		return tag{a.Key, a.Type, strconv.FormatInt(n, 10)}
	}
	return tag{a.Key, a.Type, a.Value}
}

func tagsOf(list []traces.Attribute) []tag {
	out := make([]tag, 0, len(list)+5)
	for _, a := range list {
		out = append(out, tagOf(a))
	}
	return out
}

func byKey(tags []tag) []tag {
	slices.SortStableFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

// shortID is a trace's id as Jaeger writes it: 64-bit ids in 16 digits.
func shortID(id string) string {
	if short, ok := strings.CutPrefix(id, "0000000000000000"); ok && len(short) == 16 {
		return short
	}
	return id
}

// noService is what Jaeger calls the service of a span that names none.
const noService = "OTLPResourceNoServiceName"

// traceOf is a trace in Jaeger's form.
func traceOf(t *traces.Trace) trace {
	out := trace{TraceID: shortID(t.ID), Spans: make([]span, 0, len(t.Spans)), Processes: map[string]process{}}
	if t.Truncated {
		out.Warnings = []string{fmt.Sprintf("The trace has more spans than are shown here: these are %d of them.", len(t.Spans))}
	}
	processes := map[*traces.Resource]string{}
	known := make(map[string]bool, len(t.Spans))
	for _, s := range t.Spans {
		known[s.ID] = true
	}
	for _, s := range t.Spans {
		id, ok := processes[s.Resource]
		if !ok {
			id = "p" + strconv.Itoa(len(processes)+1)
			processes[s.Resource] = id
			p := process{s.Resource.Service, tagsOf(s.Resource.Attributes)}
			if p.ServiceName == "" {
				p.ServiceName = noService
			}
			out.Processes[id] = p
		}
		x := spanOf(s)
		x.ProcessID = id
		if s.Parent != "" && !known[s.Parent] {
			x.Warnings = append(x.Warnings, "The parent span "+s.Parent+" is not among the spans of this trace.")
		}
		out.Spans = append(out.Spans, x)
	}
	return out
}

func spanOf(s *traces.Span) span {
	out := span{TraceID: shortID(s.TraceID), SpanID: s.ID, OperationName: s.Name, References: []reference{},
		StartTime: s.Start.UnixMicro(), Duration: s.Duration.Microseconds(), Tags: tagsOf(s.Attributes), Logs: make([]log, 0, len(s.Events))}
	add := func(key, value string) {
		if value != "" {
			out.Tags = append(out.Tags, tag{key, traces.TypeString, value})
		}
	}
	add("otel.scope.name", s.Scope)
	add("otel.scope.version", s.ScopeVersion)
	add("span.kind", s.Kind)
	switch s.Status {
	case traces.Error:
		add("otel.status_code", "ERROR")
		out.Tags = append(out.Tags, tag{"error", traces.TypeBool, true})
	case traces.OK:
		add("otel.status_code", "OK")
	}
	add("otel.status_description", s.Message)
	add("w3c.tracestate", s.TraceState)
	byKey(out.Tags)
	if s.Parent != "" {
		out.References = append(out.References, reference{"CHILD_OF", shortID(s.TraceID), s.Parent})
	}
	for _, l := range s.Links {
		kind := "FOLLOWS_FROM"
		if slices.ContainsFunc(l.Attributes, func(a traces.Attribute) bool { return a.Key == "opentracing.ref_type" && a.Value == "child_of" }) {
			kind = "CHILD_OF"
		}
		if s.Parent != "" && l.TraceID == s.TraceID && l.SpanID == s.Parent {
			out.References[0].RefType = kind // a link to the parent says how it is one
			continue
		}
		out.References = append(out.References, reference{kind, shortID(l.TraceID), l.SpanID})
	}
	for _, e := range s.Events {
		fields := tagsOf(e.Attributes)
		if e.Name != "" && !slices.ContainsFunc(e.Attributes, func(a traces.Attribute) bool { return a.Key == "event" }) {
			fields = slices.Insert(fields, 0, tag{"event", traces.TypeString, e.Name})
		}
		out.Logs = append(out.Logs, log{e.Time.UnixMicro(), fields})
	}
	return out
}
