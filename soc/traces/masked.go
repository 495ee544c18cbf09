package traces

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Where parts of events are masked for the caller, the lake and the veil hide
// them in the row's fields and in its original. In the original a value may be
// written otherwise than in its field, escaped or as a number, or be too short
// to be looked for in a text. So the attributes that are read from it are shown
// as the fields are that they lie in, and the original itself not at all.

// mask shows what was read of the row's original as the caller may see it.
func (rd *reader) mask(r row, s *Span) {
	if rd.veil == nil {
		return
	}
	s.Original = nil
	rd.maskAll(r, s.Attributes)
	rd.maskAll(r, s.ScopeTags)
	s.Scope, s.ScopeVersion = rd.shown(r, "otel.scope.name", s.Scope), rd.shown(r, "otel.scope.version", s.ScopeVersion)
	s.TraceState = rd.shown(r, "w3c.tracestate", s.TraceState)
	for i := range s.Events {
		s.Events[i].Name = rd.shown(r, "span.event.name", s.Events[i].Name)
		rd.maskAll(r, s.Events[i].Attributes)
	}
	for i := range s.Links {
		s.Links[i].TraceState = rd.shown(r, "w3c.tracestate", s.Links[i].TraceState)
		rd.maskAll(r, s.Links[i].Attributes)
	}
}

func (rd *reader) maskAll(r row, list []Attribute) {
	if rd.veil == nil {
		return
	}
	for i := range list {
		a := &list[i]
		if a.Type == TypeJSON {
			var v any
			text, _ := a.Value.(string)
			d := json.NewDecoder(strings.NewReader(text))
			d.UseNumber()
			if d.Decode(&v) == nil {
				if b, err := json.Marshal(rd.leaves(r, a.Key, v)); err == nil {
					text = string(b)
				}
			}
			a.Value = rd.shown(r, a.Key, text)
			continue
		}
		text := ""
		switch v := a.Value.(type) {
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			text = fmt.Sprint(v)
		}
		if shown := rd.shown(r, a.Key, text); shown != text {
			a.Type, a.Value = TypeString, shown
		}
	}
}

// leaves masks the leaves of an array or a map, which lie in fields of their own.
func (rd *reader) leaves(r row, key string, v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = rd.leaves(r, key, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = rd.leaves(r, key+"."+name, v[name])
		}
	case nil:
	default:
		text := fmt.Sprint(v)
		if shown := rd.shown(r, key, text); shown != text {
			return shown
		}
	}
	return v
}

// shown is how an attribute's value is shown.
func (rd *reader) shown(r row, key, text string) string {
	columns := columnsOf(key)
	for _, c := range columns { // an address is an IP, too
		if host, ok := strings.CutSuffix(c, ".address"); ok {
			columns = append(columns, host+".ip")
		}
	}
	for _, c := range columns {
		if rd.veil.Hides(c) && text != "" {
			if own := r.text(c); own != "" {
				return own
			}
			return rd.veil.Value(c, text)
		}
	}
	for _, c := range columns {
		text = rd.veil.Value(c, text)
	}
	return text
}
