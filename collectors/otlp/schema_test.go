package otlp

import (
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestSchemaIsThatOfOpenTelemetry holds the table of messages against the
// descriptors that OpenTelemetry publishes: number, name and form of every field.
func TestSchemaIsThatOfOpenTelemetry(t *testing.T) {
	t.Parallel()
	// Of profiles, which refer to a table of texts that logs and traces have not.
	ofProfiles := map[protoreflect.Name]bool{"string_value_strindex": true, "key_strindex": true}
	seen := map[*message]bool{}
	var compare func(m *message, d protoreflect.MessageDescriptor)
	compare = func(m *message, d protoreflect.MessageDescriptor) {
		if seen[m] {
			return
		}
		seen[m] = true
		if m.oneof != (d.Oneofs().Len() == 1) {
			t.Errorf("%s: oneof is %v", d.FullName(), m.oneof)
		}
		names := map[string]bool{}
		for i := range d.Fields().Len() {
			fd := d.Fields().Get(i)
			if ofProfiles[fd.Name()] {
				continue
			}
			names[fd.JSONName()] = true
			f := m.field(int(fd.Number()))
			if f == nil {
				t.Errorf("%s: %s (%d) is missing", d.FullName(), fd.JSONName(), fd.Number())
				continue
			}
			if f.name != fd.JSONName() || f.repeated != fd.IsList() || !f.form.is(fd) || f.number > maxField {
				t.Errorf("%s: %+v is not %s, %s", d.FullName(), *f, fd.JSONName(), fd.Kind())
			}
			if s := snake(f.name); s != string(fd.Name()) {
				t.Errorf("%s: the name %s becomes %s", fd.FullName(), f.name, s)
			}
			if f.form == compound {
				compare(f.of, fd.Message())
			}
		}
		for _, f := range m.fields {
			if !names[f.name] {
				t.Errorf("%s has no field %s", d.FullName(), f.name)
			}
		}
	}
	compare(span, (&tracepb.Span{}).ProtoReflect().Descriptor())
	compare(logRecord, (&logspb.LogRecord{}).ProtoReflect().Descriptor())
	for _, d := range []protoreflect.MessageDescriptor{(&tracepb.ResourceSpans{}).ProtoReflect().Descriptor(), (&logspb.ResourceLogs{}).ProtoReflect().Descriptor()} {
		compare(resource, d.Fields().ByName("resource").Message())
		inner := d.Fields().ByNumber(2).Message()
		compare(scope, inner.Fields().ByName("scope").Message())
		if d.Fields().ByName("schema_url").Number() != 3 || inner.Fields().ByName("schema_url").Number() != 3 || inner.Fields().ByNumber(2).Message() == nil {
			t.Errorf("%s has other numbers", d.FullName())
		}
	}
}

// is tells whether the form is that of a field.
func (f form) is(fd protoreflect.FieldDescriptor) bool {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return f == text
	case protoreflect.BoolKind:
		return f == boolean
	case protoreflect.EnumKind:
		return f == enum
	case protoreflect.Uint32Kind:
		return f == counter
	case protoreflect.Fixed32Kind:
		return f == fixed32
	case protoreflect.Fixed64Kind:
		return f == fixed64
	case protoreflect.Int64Kind:
		return f == integer
	case protoreflect.DoubleKind:
		return f == double
	case protoreflect.BytesKind:
		return f == bytes || f == hexID
	case protoreflect.MessageKind:
		return f == compound
	}
	return false
}
