package match

import (
	"encoding/json"
	"fmt"
	"sort"

	"icewatch/soc/event"
)

// flatEvent is an event as names to values; a value is string, json.Number,
// bool or nil.
type flatEvent map[string][]any

// flatten makes a flat event of decoded JSON; numbers keep their text.
func flatten(prefix string, v any, into flatEvent) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			name := k
			if prefix != "" {
				name = prefix + "." + k
			}
			flatten(name, e, into)
		}
	case []any:
		for _, e := range v {
			flatten(prefix, e, into)
		}
	default:
		into[prefix] = append(into[prefix], v)
	}
}

// toEvent brings a flat event into the engine's form.
func toEvent(ev flatEvent, reg *event.Registry) *event.Event {
	out := &event.Event{}
	names := make([]string, 0, len(ev))
	for name := range ev {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		id, _ := reg.Intern(name)
		for _, v := range ev[name] {
			f := event.Field{ID: id, Value: fmt.Sprint(v)}
			switch v.(type) {
			case nil:
				f.Kind, f.Value = event.Null, ""
			case json.Number:
				f.Kind = event.Number
			case bool:
				f.Kind = event.Bool
			}
			out.Fields = append(out.Fields, f)
		}
	}
	return out
}
