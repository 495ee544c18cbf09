package parse

import (
	"math"
	"strconv"
	"strings"

	"icewatch/soc/event"
)

// Datasets of what comes by OpenTelemetry's protocol.
const (
	DatasetOTLPLog  = "otlp.log" // unless the body is recognised as something
	DatasetOTLPSpan = "otlp.span"
)

// Numbers of OTLP's enumerations (opentelemetry/proto/trace/v1/trace.proto).
const (
	spanServer    = 2
	spanConsumer  = 5
	statusOK      = 1
	statusError   = 2
	traceIDDigits = 32
	spanIDDigits  = 16
)

// spanKinds are the names of Span.kind as the event shows them.
var spanKinds = [6]string{1: "internal", spanServer: "server", 3: "client", 4: "producer", spanConsumer: "consumer"}

// otlpMessage are the members of a span or of a log record. What is compound
// is kept as its JSON text and read when its turn has come: what the record
// says itself goes before what its scope and its resource say.
type otlpMessage struct {
	traceID, spanID, parentID string
	name, eventName           string
	kind                      int
	start, end                uint64 // of a log record: its time, and that of its observation
	severity                  int
	severityText              string
	body, attributes          string
	status, events            string
}

// otlpSpan reads a span as collectors/otlp writes it, {"resource":{…},
// "scope":{…},"span":{…}} in the JSON form of OTLP 1.x.
func (p *Parser) otlpSpan(text string) bool {
	resource, scope, m, ok := p.otlpRecord(text, "span")
	if !ok {
		return false
	}
	p.put(event.DataStreamType, "traces")
	p.dataset(DatasetOTLPSpan, "otlp")
	p.put(event.EventKind, "event")
	p.putIdentity(&m)
	p.put(event.ParentID, identity(m.parentID, spanIDDigits))
	p.put(event.SpanName, m.name)
	if m.kind > 0 && m.kind < len(spanKinds) {
		p.put(event.SpanKind, spanKinds[m.kind])
	}
	p.putUnix(m.start)
	switch {
	case m.start == 0 || m.end == 0:
	case m.end >= m.start && m.end-m.start <= math.MaxInt64:
		p.putInt(event.EventDuration, int64(m.end-m.start))
	default:
		p.ev.Mark(MarkBadTime) // It ended before it began; event.original has both.
	}
	code := p.otlpStatus(m.status)
	o := otlpAttributes{kind: m.kind}
	ok = p.otlpAttributes(&o, m.attributes) && p.otlpException(m.events) && p.otlpScope(&o, scope) && p.otlpResource(&o, resource)
	p.putOutcome(code, m.kind)
	p.putMessage(m.name)
	return ok
}

// otlpLog reads a log record as collectors/otlp writes it.
func (p *Parser) otlpLog(text string) bool {
	resource, scope, m, ok := p.otlpRecord(text, "log")
	if !ok {
		return false
	}
	// The body first: it may be an object, whose fields are the event's own.
	message, ok := p.otlpBody(m.body)
	if m.start == 0 {
		m.start = m.end
	}
	p.putUnix(m.start)
	p.putIdentity(&m)
	if level := otlpLevel(m.severityText, m.severity); level != "" {
		p.ev.Set(event.LogLevel, level)
	}
	if m.severity > 0 {
		p.putInt(event.EventSeverity, int64(m.severity))
	}
	soft := p.soft
	p.soft = true
	p.put(event.EventAction, m.eventName)
	var o otlpAttributes
	ok = p.otlpAttributes(&o, m.attributes) && p.otlpScope(&o, scope) && p.otlpResource(&o, resource) && ok
	if message != "" && !p.ev.Has(event.EventDataset) {
		p.depth++
		p.line(message)
		p.depth--
	}
	p.soft = soft
	p.dataset(DatasetOTLPLog, "otlp")
	return ok
}

// otlpRecord takes a record apart.
func (p *Parser) otlpRecord(text, kind string) (resource, scope string, m otlpMessage, ok bool) {
	s := scanner{p: p, s: text}
	if !s.open('{') {
		return "", "", m, false
	}
	found := false
	for {
		key, more, good := s.member()
		if !good {
			return "", "", m, false
		}
		if !more {
			return resource, scope, m, found && !s.space()
		}
		switch key {
		case "resource":
			resource, ok = s.raw()
		case "scope":
			scope, ok = s.raw()
		case kind:
			found = true
			ok = s.otlpMessage(&m)
		default:
			_, ok = s.raw()
		}
		if !ok {
			return "", "", m, false
		}
	}
}

// otlpMessage reads the members of a span or log record.
func (s *scanner) otlpMessage(m *otlpMessage) bool {
	if !s.open('{') {
		return false
	}
	for {
		key, more, ok := s.member()
		if !ok || !more {
			return ok
		}
		switch key {
		case "traceId":
			m.traceID, ok = s.scalar()
		case "spanId":
			m.spanID, ok = s.scalar()
		case "parentSpanId":
			m.parentID, ok = s.scalar()
		case "name":
			m.name, ok = s.scalar()
		case "eventName":
			m.eventName, ok = s.scalar()
		case "severityText":
			m.severityText, ok = s.scalar()
		case "startTimeUnixNano", "timeUnixNano":
			m.start, ok = s.unsigned()
		case "endTimeUnixNano", "observedTimeUnixNano":
			m.end, ok = s.unsigned()
		case "kind":
			m.kind, ok = s.enum()
		case "severityNumber":
			m.severity, ok = s.enum()
		case "body":
			m.body, ok = s.raw()
		case "attributes":
			m.attributes, ok = s.raw()
		case "status":
			m.status, ok = s.raw()
		case "events":
			m.events, ok = s.raw()
		default:
			_, ok = s.raw()
		}
		if !ok {
			return false
		}
	}
}

// putIdentity fills the ids that join logs and spans to a trace.
func (p *Parser) putIdentity(m *otlpMessage) {
	p.put(event.TraceID, identity(m.traceID, traceIDDigits))
	p.put(event.SpanID, identity(m.spanID, spanIDDigits))
}

// identity is an id that says something: W3C Trace Context forbids one of
// zeros only, which stands for none.
func identity(id string, digits int) string {
	if len(id) != digits || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

// putUnix sets the event's time to Unix nanoseconds; 0 is none.
func (p *Parser) putUnix(t uint64) {
	switch {
	case t == 0:
	case t > math.MaxInt64:
		p.ev.Mark(MarkBadTime)
		p.ev.SetDefault(event.TimeOriginal, strconv.FormatUint(t, 10))
	default:
		p.setTime(int64(t))
	}
}

// otlpStatus reads {"code":2,"message":"…"} and returns the code.
func (p *Parser) otlpStatus(text string) (code int) {
	s := scanner{p: p, s: text}
	if !s.open('{') {
		return 0
	}
	for {
		key, more, ok := s.member()
		if !ok || !more {
			return code
		}
		switch key {
		case "code":
			code, ok = s.enum()
		case "message":
			var message string
			message, ok = s.scalar()
			p.put(event.SpanStatusMessage, message)
		default:
			_, ok = s.raw()
		}
		if !ok {
			return code
		}
	}
}

// putOutcome fills event.outcome: by the status where it is set, which most
// instrumentation does for failures only, else by the status of HTTP. Of the
// numbers, a server answers for the 5xx alone, a client for the 4xx too
// (semantic conventions for HTTP spans, "Status").
func (p *Parser) putOutcome(code, kind int) {
	outcome := "unknown"
	switch code {
	case statusOK:
		outcome = "success"
	case statusError:
		outcome = "failure"
	default:
		if n := small(p.ev.Text(event.HTTPResponseStatus)); n >= 100 {
			outcome = "success"
			if n >= 500 || n >= 400 && kind != spanServer {
				outcome = "failure"
			}
		}
	}
	p.put(event.EventOutcome, outcome)
}

// otlpLevel is log.level: the text as the source has it, in small letters, else
// the name of the number's range (opentelemetry/proto/logs/v1/logs.proto).
func otlpLevel(text string, number int) string {
	if text != "" {
		return strings.ToLower(text)
	}
	if number < 1 || number > 24 {
		return ""
	}
	return [6]string{"trace", "debug", "info", "warn", "error", "fatal"}[(number-1)/4]
}

// otlpBody reads a log record's body. An object becomes fields as one of JSON
// intake does; anything else is the message, which is returned where it may be
// recognised further.
func (p *Parser) otlpBody(text string) (message string, ok bool) {
	if text == "" {
		return "", true
	}
	v, ok := p.anyValue(text)
	if !ok {
		return "", false
	}
	switch {
	case v.list != "" || v.object != "":
		plain, ok := p.plain(text)
		if !ok {
			return "", false
		}
		if v.object == "" || !p.json(plain) {
			p.putMessage(plain)
		}
		return "", true
	case v.kind == event.String:
		p.putMessage(v.text)
		return v.text, true
	}
	p.putMessage(v.text)
	return "", true
}

// otlpScope reads what emitted the record.
func (p *Parser) otlpScope(o *otlpAttributes, text string) bool {
	if text == "" {
		return true
	}
	s := scanner{p: p, s: text}
	if !s.open('{') {
		return false
	}
	attributes := ""
	for {
		key, more, ok := s.member()
		if !ok {
			return false
		}
		if !more {
			return p.otlpAttributes(o, attributes)
		}
		var value string
		switch key {
		case "name":
			value, ok = s.scalar()
			p.otlpField(o, "otel.scope.name", value, event.String)
		case "version":
			value, ok = s.scalar()
			p.otlpField(o, "otel.scope.version", value, event.String)
		case "attributes":
			attributes, ok = s.raw()
		default:
			_, ok = s.raw()
		}
		if !ok {
			return false
		}
	}
}

// otlpResource reads whose record it is.
func (p *Parser) otlpResource(o *otlpAttributes, text string) bool {
	if text == "" {
		return true
	}
	attributes, ok := p.otlpMember(text, "attributes")
	return ok && p.otlpAttributes(o, attributes)
}

// otlpException gives a span the fields of the last exception among its events.
func (p *Parser) otlpException(text string) bool {
	if text == "" {
		return true
	}
	s := scanner{p: p, s: text}
	if !s.open('[') {
		return false
	}
	attributes := ""
	for {
		more, ok := s.element()
		if !ok {
			return false
		}
		if !more {
			break
		}
		one, ok := s.raw()
		if !ok {
			return false
		}
		if !strings.Contains(one, `"name":"exception"`) {
			continue
		}
		if attributes, ok = p.otlpMember(one, "attributes"); !ok {
			return false
		}
	}
	return attributes == "" || p.otlpAttributes(&otlpAttributes{mappedOnly: true}, attributes)
}

// otlpMember is the JSON text of one member of an object, "" where it has none.
func (p *Parser) otlpMember(text, name string) (value string, ok bool) {
	s := scanner{p: p, s: text}
	if !s.open('{') {
		return "", false
	}
	for {
		key, more, ok := s.member()
		if !ok || !more {
			return value, ok
		}
		raw, ok := s.raw()
		if !ok {
			return "", false
		}
		if key == name {
			value = raw
		}
	}
}
