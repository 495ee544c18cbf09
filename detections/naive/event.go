package naive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Event is an event as names to values.
type Event struct {
	fields map[string][]*value
	all    []*value
}

// value is one value of an event: its text as characters, as it is and with
// small letters.
type value struct {
	null  bool
	text  string
	plain []rune
	small []rune
}

// NewEvent makes an event of names and their values: string, json.Number, bool
// or nil; several values are an array. raw is a text beside the fields that
// keywords are searched in, too; "" is none.
func NewEvent(fields map[string][]any, raw string) *Event {
	ev := &Event{fields: map[string][]*value{}}
	for name, values := range fields {
		for _, v := range values {
			ev.add(name, v)
		}
	}
	if raw != "" {
		ev.all = append(ev.all, newValue(raw))
	}
	return ev
}

// FromJSON makes an event of a JSON object. Objects in it become dotted names,
// arrays several values of one name; an empty object or array is there but has
// no value, as null.
func FromJSON(line []byte) (*Event, error) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("event: there is more than one JSON value: %v", err)
	}
	ev := &Event{fields: map[string][]*value{}}
	for name, v := range object {
		ev.flatten(name, v)
	}
	return ev, nil
}

func (ev *Event) flatten(name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			ev.flatten(name+"."+key, e)
		}
		if len(v) == 0 {
			ev.add(name, nil)
		}
	case []any:
		for _, e := range v {
			ev.flatten(name, e)
		}
		if len(v) == 0 {
			ev.add(name, nil)
		}
	default:
		ev.add(name, v)
	}
}

func (ev *Event) add(name string, v any) {
	made := &value{null: true}
	if v != nil {
		made = newValue(fmt.Sprint(v))
	}
	ev.fields[name] = append(ev.fields[name], made)
	ev.all = append(ev.all, made)
}

func newValue(text string) *value {
	plain := characters(text)
	return &value{text: text, plain: plain, small: small(plain)}
}
