package forwarding

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fastjson"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// fieldOriginal is the text as it came in.
const fieldOriginal = "event.original"

// Event is one event on its way out.
type Event struct {
	ID     event.ID
	Key    string // ID as text: event.id
	Time   time.Time
	fields []field // without Key and Time, by name
}

type field struct{ name, value string }

// text is a field's value, "" where there is none.
func (e *Event) text(name string) string {
	for i := range e.fields {
		if e.fields[i].name == name {
			return e.fields[i].value
		}
	}
	return ""
}

// first is the value of the first of the fields that has one.
func (e *Event) first(names ...string) string {
	for _, name := range names {
		if v := e.text(name); v != "" {
			return v
		}
	}
	return ""
}

// word fills in a pattern.
func (e *Event) word(name string) string {
	switch name {
	case "tenant":
		return e.text("icewatch.tenant")
	case "dataset":
		return e.text("event.dataset")
	case "date":
		return e.Time.Format("2006.01.02")
	}
	return ""
}

// newEvent reads a row of the lake.
func newEvent(p *fastjson.Parser, a search.ArrivedEvent, original bool) (Event, error) {
	e := Event{ID: a.ID, Key: a.ID.String()}
	v, err := p.ParseBytes(a.Row)
	if err != nil {
		return e, fmt.Errorf("the row of %s: %w", e.Key, err)
	}
	o, err := v.Object()
	if err != nil {
		return e, fmt.Errorf("the row of %s: %w", e.Key, err)
	}
	e.fields = make([]field, 0, o.Len())
	o.Visit(func(key []byte, v *fastjson.Value) {
		text, _ := v.StringBytes() // rows hold texts only
		switch name := string(key); name {
		case "@timestamp":
			if e.Time, err = time.Parse(time.RFC3339Nano, string(text)); err != nil {
				err = fmt.Errorf("the time of %s: %w", e.Key, err)
			}
		case "event.id":
		case fieldOriginal:
			if original {
				e.fields = append(e.fields, field{name, string(text)})
			}
		default:
			e.fields = append(e.fields, field{name, string(text)})
		}
	})
	e.Time = e.Time.UTC()
	// By name, so that an event that is sent again is the same text: the lake's
	// order is that of its parts.
	slices.SortFunc(e.fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return e, err
}

// document writes the event as ECS JSON with dotted names: numbers where ECS
// has numbers, lists where a field has several values.
func (e *Event) document(b []byte) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","event.id":`...)
	b = event.AppendJSON(b, e.Key)
	for i := range e.fields {
		f := &e.fields[i]
		b = append(b, ',')
		b = event.AppendJSON(b, f.name)
		b = append(b, ':')
		switch kind := kindOf(f.name); {
		case kind == number && isNumber(f.value), kind == boolean && (f.value == "true" || f.value == "false"):
			b = append(b, f.value...)
		case isList(f.name, f.value):
			b = append(b, f.value...)
		default:
			b = event.AppendJSON(b, f.value)
		}
	}
	return append(b, '}')
}

// lists are the fields that may have several values in ECS, or in ours.
var lists = []string{"tags", "event.category", "event.type", "host.ip", "host.mac", "icewatch.marks", "related.ip", "related.user", "related.hosts", "related.hash"}

// isList tells whether a value is a list, which the lake keeps as JSON.
func isList(name, value string) bool {
	return strings.HasPrefix(value, `["`) && slices.Contains(lists, name) && fastjson.Validate(value) == nil
}

// isNumber tells whether a text is a number as JSON has it.
func isNumber(s string) bool {
	if s == "" || len(s) > 32 || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	return fastjson.Validate(s) == nil
}

// testEvent is the marked event of a test of a target.
func testEvent(now time.Time) Event {
	id := event.ID{Epoch: "test", Sequence: uint64(now.UnixMilli())}
	return Event{ID: id, Key: id.String(), Time: now.UTC(), fields: []field{
		{"event.action", "connection-test"}, {"event.dataset", "icewatch.test"}, {"event.kind", "event"}, {"event.module", "icewatch"},
		{"icewatch.tenant", "city"}, {"message", "icewatch tests this connection; nothing happened"}, {"tags", `["test"]`},
	}}
}
