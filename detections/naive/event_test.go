package naive_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/match"
	"icewatch/detections/naive"
	"icewatch/soc/event"
)

// sample is an event in the order of its values; values of one name need not
// stand side by side.
type sample struct {
	values []named
	raw    string
}

type named struct {
	name  string
	value any // string, json.Number, bool or nil
}

func (s sample) String() string {
	var b strings.Builder
	for _, v := range s.values {
		text, _ := json.Marshal(v.value)
		fmt.Fprintf(&b, "  %q: %s (%T)\n", v.name, text, v.value)
	}
	if s.raw != "" {
		fmt.Fprintf(&b, "  raw text: %q\n", s.raw)
	}
	return b.String()
}

// slow is the sample for the naive evaluator.
func (s sample) slow() *naive.Event {
	fields := map[string][]any{}
	for _, v := range s.values {
		fields[v.name] = append(fields[v.name], v.value)
	}
	return naive.NewEvent(fields, s.raw)
}

// fast is the sample for the matcher. Names that no rule uses stay without a
// number, as rulecli's decoder leaves them.
func (s sample) fast(reg *event.Registry) *event.Event {
	ev := &event.Event{Raw: s.raw}
	for _, v := range s.values {
		id, _ := reg.Lookup(v.name)
		f := event.Field{ID: id, Value: fmt.Sprint(v.value)}
		switch v.value.(type) {
		case nil:
			f.Kind, f.Value = event.Null, ""
		case json.Number:
			f.Kind = event.Number
		case bool:
			f.Kind = event.Bool
		}
		ev.Fields = append(ev.Fields, f)
	}
	return ev
}

// flatten adds a decoded JSON value as the engine's decoder does.
func (s *sample) flatten(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			if name != "" {
				key = name + "." + key
			}
			s.flatten(key, e)
		}
		if len(v) == 0 && name != "" {
			s.values = append(s.values, named{name, nil})
		}
	case []any:
		for _, e := range v {
			s.flatten(name, e)
		}
		if len(v) == 0 {
			s.values = append(s.values, named{name, nil})
		}
	default:
		s.values = append(s.values, named{name, v})
	}
}

func fromJSON(t testing.TB, text string) sample {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var s sample
	s.flatten("", v)
	return s
}

// matched is which rules the matcher finds in the event; into is reused.
func matched(m *match.Matcher, ev *event.Event, into []bool) []bool {
	clear(into)
	m.Match(ev, func(rule int, evidence func() []detections.Match) {
		into[rule] = true
		evidence() // must not disturb what follows
	})
	return into
}
