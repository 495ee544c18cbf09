package otlp

import "icewatch/soc/intake"

// form is how a field is written, in protobuf and in JSON.
type form uint8

const (
	text     form = iota // UTF-8; JSON's string
	boolean              // varint
	enum                 // varint; JSON's number
	counter              // varint without sign; JSON's number
	fixed32              // JSON's number
	fixed64              // unsigned; JSON's string of digits
	integer              // signed varint of 64 bits; JSON's string of digits
	double               // JSON's number, or the string NaN, Infinity or -Infinity
	bytes                // JSON's string in base64
	hexID                // bytes; JSON's string of hex digits, as OTLP departs from protobuf's rule
	compound             // another message
)

// field is one field of a message.
type field struct {
	number   int
	name     string // in lowerCamelCase, as JSON has it
	form     form
	repeated bool
	of       *message // of a compound
}

// message is a message of OTLP as far as it is taken in. What is not named
// here is passed over, as the protocol wants of a receiver.
type message struct {
	fields []field // by number
	// oneof says that at most one field is set: of several, the last counts.
	oneof bool
}

// maxField is the highest number of a field.
const maxField = 16

// field returns the field of a number, nil for one that is not known.
func (m *message) field(number int) *field {
	for i := range m.fields {
		if m.fields[i].number == number {
			return &m.fields[i]
		}
	}
	return nil
}

// The messages that are kept whole: those of opentelemetry/proto/{common,
// resource,logs,trace}/v1, release 1.11. A test holds them against the
// descriptors that OpenTelemetry publishes.
var resource, scope, logRecord, span = messages()

func messages() (resource, scope, logRecord, span *message) {
	anyValue := &message{oneof: true} // contains itself
	keyValue := &message{fields: []field{
		{number: 1, name: "key", form: text},
		{number: 2, name: "value", form: compound, of: anyValue},
	}}
	anyValue.fields = []field{
		{number: 1, name: "stringValue", form: text},
		{number: 2, name: "boolValue", form: boolean},
		{number: 3, name: "intValue", form: integer},
		{number: 4, name: "doubleValue", form: double},
		{number: 5, name: "arrayValue", form: compound, of: &message{fields: []field{{number: 1, name: "values", form: compound, repeated: true, of: anyValue}}}},
		{number: 6, name: "kvlistValue", form: compound, of: &message{fields: []field{{number: 1, name: "values", form: compound, repeated: true, of: keyValue}}}},
		{number: 7, name: "bytesValue", form: bytes},
	}
	attributes := func(number int) field {
		return field{number: number, name: "attributes", form: compound, repeated: true, of: keyValue}
	}
	entityRef := &message{fields: []field{
		{number: 1, name: "schemaUrl", form: text},
		{number: 2, name: "type", form: text},
		{number: 3, name: "idKeys", form: text, repeated: true},
		{number: 4, name: "descriptionKeys", form: text, repeated: true},
	}}
	resource = &message{fields: []field{
		attributes(1),
		{number: 2, name: "droppedAttributesCount", form: counter},
		{number: 3, name: "entityRefs", form: compound, repeated: true, of: entityRef},
	}}
	scope = &message{fields: []field{
		{number: 1, name: "name", form: text},
		{number: 2, name: "version", form: text},
		attributes(3),
		{number: 4, name: "droppedAttributesCount", form: counter},
	}}
	logRecord = &message{fields: []field{
		{number: logTime, name: "timeUnixNano", form: fixed64},
		{number: 2, name: "severityNumber", form: enum},
		{number: 3, name: "severityText", form: text},
		{number: 5, name: "body", form: compound, of: anyValue},
		attributes(6),
		{number: 7, name: "droppedAttributesCount", form: counter},
		{number: 8, name: "flags", form: fixed32},
		{number: 9, name: "traceId", form: hexID},
		{number: 10, name: "spanId", form: hexID},
		{number: logObserved, name: "observedTimeUnixNano", form: fixed64},
		{number: 12, name: "eventName", form: text},
	}}
	spanEvent := &message{fields: []field{
		{number: 1, name: "timeUnixNano", form: fixed64},
		{number: 2, name: "name", form: text},
		attributes(3),
		{number: 4, name: "droppedAttributesCount", form: counter},
	}}
	spanLink := &message{fields: []field{
		{number: 1, name: "traceId", form: hexID},
		{number: 2, name: "spanId", form: hexID},
		{number: 3, name: "traceState", form: text},
		attributes(4),
		{number: 5, name: "droppedAttributesCount", form: counter},
		{number: 6, name: "flags", form: fixed32},
	}}
	spanStatus := &message{fields: []field{
		{number: 2, name: "message", form: text},
		{number: 3, name: "code", form: enum},
	}}
	span = &message{fields: []field{
		{number: spanTrace, name: "traceId", form: hexID},
		{number: spanID, name: "spanId", form: hexID},
		{number: 3, name: "traceState", form: text},
		{number: 4, name: "parentSpanId", form: hexID},
		{number: 5, name: "name", form: text},
		{number: 6, name: "kind", form: enum},
		{number: spanStart, name: "startTimeUnixNano", form: fixed64},
		{number: 8, name: "endTimeUnixNano", form: fixed64},
		attributes(9),
		{number: 10, name: "droppedAttributesCount", form: counter},
		{number: 11, name: "events", form: compound, repeated: true, of: spanEvent},
		{number: 12, name: "droppedEventsCount", form: counter},
		{number: 13, name: "links", form: compound, repeated: true, of: spanLink},
		{number: 14, name: "droppedLinksCount", form: counter},
		{number: 15, name: "status", form: compound, of: spanStatus},
		{number: 16, name: "flags", form: fixed32},
	}}
	return resource, scope, logRecord, span
}

// Fields that are looked at.
const (
	logTime, logObserved         = 1, 11
	spanTrace, spanID, spanStart = 1, 2, 7
)

// signal is a kind of data: its messages, of which the outer ones are of the
// same shape for all.
type signal struct {
	name     string // in paths, such as "logs"
	groups   string // JSON's name of the resources' list
	scopes   string // of the scopes' list
	records  string // of the records' list
	rejected string // JSON's name of the count in a partial success
	record   *message
	member   string // name of the record in what is stored
	format   intake.Format
}

var (
	logs = &signal{name: "logs", groups: "resourceLogs", scopes: "scopeLogs", records: "logRecords",
		rejected: "rejectedLogRecords", record: logRecord, member: "log", format: intake.OTLPLog}
	traces = &signal{name: "traces", groups: "resourceSpans", scopes: "scopeSpans", records: "spans",
		rejected: "rejectedSpans", record: span, member: "span", format: intake.OTLPSpan}
	metricData = &signal{name: "metrics", rejected: "rejectedDataPoints"}
)
