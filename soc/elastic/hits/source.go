package hits

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/valyala/fastjson"

	"icewatch/soc/elastic/dates"
	"icewatch/soc/elastic/dsl"
)

// typed is a stored value in the type of its field; like is the value that the
// sender gave, nil where that is not known, and decides where the field is of
// no known type.
func typed(k dsl.Kind, value string, like *fastjson.Value) any {
	if len(value) > 1 && value[0] == '[' && value[len(value)-1] == ']' && (like == nil || like.Type() == fastjson.TypeArray) {
		if list, ok := elements(k, value); ok {
			return list
		}
	}
	number := k == dsl.Long || k == dsl.Double
	flag := k == dsl.Boolean
	if like != nil && like.Type() == fastjson.TypeArray {
		// The lake keeps an array of one value as the value.
		if inner := like.GetArray(); len(inner) > 0 {
			return []any{typed(k, value, inner[0])}
		}
		like = nil
	}
	if like != nil && k == dsl.Keyword {
		number = like.Type() == fastjson.TypeNumber
		flag = like.Type() == fastjson.TypeTrue || like.Type() == fastjson.TypeFalse
	}
	switch {
	case number && dsl.IsNumber(value):
		return json.Number(value)
	case flag && (value == "true" || value == "false"):
		return value == "true"
	}
	return value
}

// elements reads an array as the lake keeps it.
func elements(k dsl.Kind, value string) ([]any, bool) {
	var raw []any
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if d.Decode(&raw) != nil || d.More() {
		return nil, false
	}
	for i, v := range raw {
		switch v := v.(type) {
		case string:
			if k != dsl.Keyword && k != dsl.Text {
				raw[i] = typed(k, v, nil)
			}
		case json.Number, bool:
		default:
			return nil, false
		}
	}
	return raw, true
}

// source nests the fields of a row as documents have them. sent is the document
// as it was sent, nil where that is not known.
func source(row map[string]string, sent *fastjson.Value, keep func(name string) bool) map[string]any {
	out := map[string]any{}
	names := make([]string, 0, len(row))
	for name := range row {
		if keep(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		like := sentValue(sent, name)
		if v, ok := sameTime(name, row[name], like); ok {
			place(out, name, v)
			continue
		}
		place(out, name, typed(dsl.TypeOf(name), row[name], like))
	}
	return out
}

// sameTime is a time as the sender wrote it, where it is that of the event.
func sameTime(name, value string, like *fastjson.Value) (string, bool) {
	if like == nil || like.Type() != fastjson.TypeString || dsl.TypeOf(name) != dsl.Date {
		return "", false
	}
	text := string(like.GetStringBytes())
	at, ok := dates.Stored(value)
	given, ok2 := dates.Stored(text)
	return text, ok && ok2 && at.Equal(given)
}

// place puts a value where its dotted name says. Where a value stands in the
// way, as with both a and a.b, the rest of the name stays dotted.
func place(out map[string]any, name string, v any) {
	for {
		head, rest, more := strings.Cut(name, ".")
		if !more || head == "" || rest == "" {
			break
		}
		inner, taken := out[head]
		if !taken {
			inner = map[string]any{}
			out[head] = inner
		}
		m, ok := inner.(map[string]any)
		if !ok {
			break
		}
		out, name = m, rest
	}
	if _, taken := out[name]; !taken {
		out[name] = v
	}
}

// sentValue finds a field in the document that was sent, nested or dotted.
func sentValue(sent *fastjson.Value, name string) *fastjson.Value {
	if sent == nil {
		return nil
	}
	if v := sent.Get(name); v != nil {
		return v
	}
	for at := range len(name) {
		if name[at] != '.' {
			continue
		}
		if inner := sent.Get(name[:at]); inner != nil && inner.Type() == fastjson.TypeObject {
			if v := sentValue(inner, name[at+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// sent is the document that a row was sent as, nil where it was none or is not
// to be seen.
func sent(p *fastjson.Parser, row map[string]string) *fastjson.Value {
	raw := row[dsl.ColumnRaw]
	if raw == "" || raw[0] != '{' {
		return nil
	}
	v, err := p.Parse(raw)
	if err != nil || v.Type() != fastjson.TypeObject {
		return nil
	}
	return v
}
