package traces

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/veil"
)

// Types of an attribute's value, as Jaeger names them.
const (
	TypeString = "string"
	TypeBool   = "bool"
	TypeInt    = "int64"
	TypeFloat  = "float64"
	TypeBinary = "binary" // Value is base64
	TypeJSON   = "json"   // an array or a map; Value is its JSON as a text
)

// Attribute is a named value of a span, an event, a link or a resource.
type Attribute struct {
	Key   string `json:"key"`
	Type  string `json:"type" enum:"string,bool,int64,float64,binary,json"`
	Value any    `json:"value" doc:"A text, a boolean or a number as type says; the JSON of arrays and maps as a text"`
}

// Event is something that happened during a span.
type Event struct {
	Name       string
	Time       time.Time
	Attributes []Attribute
}

// Link points from a span to one of another trace, or of the same.
type Link struct {
	TraceID    string // in full
	SpanID     string
	TraceState string
	Attributes []Attribute
}

// Resource is what brings forth spans: a process of a service.
type Resource struct {
	Service    string
	Attributes []Attribute // without service.name, in order of their keys
}

// How a span went.
const (
	Unset = "unset"
	OK    = "ok"
	Error = "error"
)

// Span is one span of a trace. What a row does not say is "" or nil.
type Span struct {
	TraceID      string // in full
	ID           string
	Parent       string // "" at the root
	Name         string
	Kind         string
	Start        time.Time
	Duration     time.Duration
	Outcome      string // OK, Error or Unset: the status, or where that is not set what the status of HTTP says
	Status       string // OK, Error or Unset, as the sender set it
	Message      string // of the status
	TraceState   string
	Resource     *Resource // never nil; spans of one process share it
	Scope        string
	ScopeVersion string
	Attributes   []Attribute // in order of their keys
	ScopeTags    []Attribute
	Events       []Event // in order of time
	Links        []Link
	Tenant       string
	EventID      string

	// Original is the OTLP/JSON of which the row was made, an object with
	// resource, scope and span; nil where the row has none, or none any more
	// since parts of it are masked.
	Original []byte
}

// reader makes spans of rows. Rows of one process share their resource, which
// is told by its JSON.
type reader struct {
	parser    fastjson.Parser
	resources map[string]*Resource
	veil      *veil.Veil // what the caller may not see, nil for nothing
}

// span reads a row as it is stored.
func (rd *reader) span(r row) *Span {
	s := &Span{
		TraceID: full(r.text("trace.id")), ID: r.text("span.id"), Parent: r.text("parent.id"), Name: r.text("span.name"), Kind: r.text("span.kind"),
		Start: r.time("@timestamp"), Duration: time.Duration(r.number("event.duration")), Message: r.text("span.status.message"),
		Tenant: r.text("icewatch.tenant"), EventID: r.text("event.id"), Outcome: Unset,
	}
	switch r.text("event.outcome") {
	case "failure":
		s.Outcome = Error
	case "success":
		s.Outcome = OK
	}
	s.Status = s.Outcome
	service := r.text("service.name")
	original := r.bytes("event.original")
	if v, err := rd.parser.ParseBytes(original); err == nil && v.GetObject("span") != nil {
		s.Original = slices.Clone(original)
		rd.otlp(r, s, service, v)
		rd.mask(r, s)
		return s
	}
	// A span that did not come by OTLP, or whose text is masked: the row's own
	// fields are its attributes.
	r.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		if name := string(key); !structural(name) {
			s.Attributes = append(s.Attributes, Attribute{strings.TrimPrefix(name, "labels."), TypeString, string(v.GetStringBytes())})
		}
	})
	byKey(s.Attributes)
	s.Resource = rd.resource(service, service, func() (list []Attribute) {
		return nil
	})
	return s
}

// structural tells whether a field says what a Span has a place of its own
// for, or is about the row rather than the span.
func structural(name string) bool {
	switch name {
	case "@timestamp", "trace.id", "span.id", "parent.id", "span.name", "span.kind", "span.status.message", "service.name", "message":
		return true
	}
	return strings.HasPrefix(name, "icewatch.") || strings.HasPrefix(name, "event.") || strings.HasPrefix(name, "data_stream.")
}

// resource finds the resource that a text tells, or makes it.
func (rd *reader) resource(service, text string, attributes func() []Attribute) *Resource {
	key := service + "\x00" + text
	if r := rd.resources[key]; r != nil {
		return r
	}
	r := &Resource{Service: service, Attributes: attributes()}
	if rd.resources == nil {
		rd.resources = map[string]*Resource{}
	}
	rd.resources[key] = r
	return r
}

// otlp reads what the row's original says beyond the row's fields.
func (rd *reader) otlp(r row, s *Span, service string, v *fastjson.Value) {
	resource, span, scope := v.Get("resource"), v.Get("span"), v.Get("scope")
	var text []byte
	if resource != nil {
		text = resource.MarshalTo(nil)
	}
	s.Resource = rd.resource(service, string(text), func() []Attribute {
		list := attributes(resource.GetArray("attributes"))
		list = slices.DeleteFunc(list, func(a Attribute) bool { return a.Key == "service.name" })
		rd.maskAll(r, list)
		return list
	})
	s.Scope, s.ScopeVersion = string(scope.GetStringBytes("name")), string(scope.GetStringBytes("version"))
	s.ScopeTags = attributes(scope.GetArray("attributes"))
	s.Status = status(span.Get("status", "code"))
	s.TraceState = string(span.GetStringBytes("traceState"))
	s.Attributes = attributes(span.GetArray("attributes"))
	for _, e := range span.GetArray("events") {
		s.Events = append(s.Events, Event{Name: string(e.GetStringBytes("name")), Time: time.Unix(0, integer(e.Get("timeUnixNano"))).UTC(),
			Attributes: attributes(e.GetArray("attributes"))})
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	for _, l := range span.GetArray("links") {
		s.Links = append(s.Links, Link{TraceID: full(string(l.GetStringBytes("traceId"))), SpanID: string(l.GetStringBytes("spanId")),
			TraceState: string(l.GetStringBytes("traceState")), Attributes: attributes(l.GetArray("attributes"))})
	}
}

// status reads the code of OTLP's Status, a number or, as some senders have it,
// its name.
func status(code *fastjson.Value) string {
	switch text := string(code.GetStringBytes()); {
	case code.GetInt() == 1, text == "STATUS_CODE_OK":
		return OK
	case code.GetInt() == 2, text == "STATUS_CODE_ERROR":
		return Error
	}
	return Unset
}

// full is a trace's id in full, as far as it is one.
func full(id string) string {
	if id == "" {
		return ""
	}
	if f, err := ParseID(id); err == nil {
		return f
	}
	return id
}

// integer reads a 64-bit integer of OTLP/JSON, which is a text or a number.
func integer(v *fastjson.Value) int64 {
	if v == nil {
		return 0
	}
	if v.Type() == fastjson.TypeNumber {
		n, _ := v.Int64()
		return n
	}
	text := string(v.GetStringBytes())
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > math.MaxInt64 {
		return math.MaxInt64
	}
	return 0
}

// attributes reads a list of OTLP's KeyValue.
func attributes(list []*fastjson.Value) []Attribute {
	if len(list) == 0 {
		return nil
	}
	out := make([]Attribute, 0, len(list))
	for _, kv := range list {
		a := Attribute{Key: string(kv.GetStringBytes("key"))}
		a.Type, a.Value = value(kv.Get("value"))
		out = append(out, a)
	}
	byKey(out)
	return out
}

func byKey(list []Attribute) {
	slices.SortStableFunc(list, func(a, b Attribute) int { return strings.Compare(a.Key, b.Key) })
}

// value reads OTLP's AnyValue; one without a value is the empty text.
func value(v *fastjson.Value) (kind string, of any) {
	switch {
	case v.Exists("stringValue"):
		return TypeString, string(v.GetStringBytes("stringValue"))
	case v.Exists("boolValue"):
		return TypeBool, v.GetBool("boolValue")
	case v.Exists("intValue"):
		return TypeInt, integer(v.Get("intValue"))
	case v.Exists("doubleValue"):
		return float(v.Get("doubleValue"))
	case v.Exists("bytesValue"):
		return TypeBinary, string(v.GetStringBytes("bytesValue"))
	case v.Exists("arrayValue"), v.Exists("kvlistValue"):
		b, err := json.Marshal(plain(v, 0))
		if err != nil {
			return TypeString, ""
		}
		return TypeJSON, string(b)
	}
	return TypeString, ""
}

// float reads a double of OTLP/JSON. What JSON has no number for is a text.
func float(v *fastjson.Value) (string, any) {
	if v.Type() == fastjson.TypeNumber {
		f, err := v.Float64()
		if err == nil && !math.IsInf(f, 0) {
			return TypeFloat, f
		}
	}
	text := string(v.GetStringBytes())
	if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		return TypeFloat, f
	}
	return TypeString, text
}

// maxDepth bounds how deep a value may nest.
const maxDepth = 32

// plain is an AnyValue as plain JSON has it.
func plain(v *fastjson.Value, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch {
	case v.Exists("arrayValue"):
		list := []any{}
		for _, x := range v.GetArray("arrayValue", "values") {
			list = append(list, plain(x, depth+1))
		}
		return list
	case v.Exists("kvlistValue"):
		m := map[string]any{}
		for _, kv := range v.GetArray("kvlistValue", "values") {
			m[string(kv.GetStringBytes("key"))] = plain(kv.Get("value"), depth+1)
		}
		return m
	case v.Exists("bytesValue"):
		text := string(v.GetStringBytes("bytesValue"))
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return ""
		}
		return text
	}
	kind, of := value(v)
	if kind == TypeString && of == "" && !v.Exists("stringValue") {
		return nil
	}
	return of
}
