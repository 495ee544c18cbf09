package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/valyala/fastjson"
)

// MaxDepth bounds how deep a request's JSON may be nested.
const MaxDepth = 64

// Decode reads one JSON object with nothing behind it.
func Decode(b []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return map[string]any{}, nil
	}
	depth := 0
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return nil, Invalid("parsing_exception", "the request is nested deeper than %d levels", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, Invalid("parsing_exception", "the request is no JSON object: %s", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, Invalid("parsing_exception", "something follows the JSON object of the request")
	}
	if keys, ok := m["sort"].(map[string]any); ok && len(keys) > 1 {
		m["sort"] = inOrder(b, keys)
	}
	return m, nil
}

// inOrder makes a list of the keys of a sort that were given as one object, as
// Grafana does: their order counts.
func inOrder(b []byte, keys map[string]any) []any {
	var list []any
	v, err := fastjson.ParseBytes(b)
	if err != nil {
		return []any{keys}
	}
	v.GetObject("sort").Visit(func(name []byte, _ *fastjson.Value) {
		list = append(list, map[string]any{string(name): keys[string(name)]})
	})
	return list
}

// Object reads an object of a request member by member and refuses those that
// nobody asked for. The first thing wrong is kept for Done.
type Object struct {
	what    string // how errors name it, such as [range]
	Members map[string]any
	seen    map[string]bool
	err     error
}

// NewObject begins to read an object; what is how errors name it.
func NewObject(what string, m map[string]any) *Object {
	return &Object{what: what, Members: m, seen: map[string]bool{}}
}

// AsObject takes a value for an object.
func AsObject(what string, v any) (*Object, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, Invalid("parsing_exception", "[%s] must be an object, not %s", what, KindOf(v))
	}
	return NewObject(what, m), nil
}

// KindOf says in words what a JSON value is.
func KindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	}
	return "an object"
}

// Fail notes what is wrong, unless something was before.
func (o *Object) Fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// Has takes a member that is there and not null.
func (o *Object) Has(name string) (any, bool) {
	o.seen[name] = true
	v, ok := o.Members[name]
	return v, ok && v != nil
}

// Text takes a string, or a number or boolean as one.
func (o *Object) Text(name, otherwise string) string {
	v, ok := o.Has(name)
	if !ok {
		return otherwise
	}
	s, ok := Plain(v)
	if !ok {
		o.Fail(Invalid("parsing_exception", "[%s] of [%s] must be a string, not %s", name, o.what, KindOf(v)))
	}
	return s
}

// Flag takes a boolean, which may be given as text.
func (o *Object) Flag(name string, otherwise bool) bool {
	v, ok := o.Has(name)
	if !ok {
		return otherwise
	}
	switch v {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	o.Fail(Invalid("parsing_exception", "[%s] of [%s] must be true or false, not %v", name, o.what, v))
	return otherwise
}

// Number takes a number, which may be given as text.
func (o *Object) Number(name string, otherwise float64) float64 {
	v, ok := o.Has(name)
	if !ok {
		return otherwise
	}
	s, _ := Plain(v)
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n != n {
		o.Fail(Invalid("parsing_exception", "[%s] of [%s] must be a number, not %v", name, o.what, v))
		return otherwise
	}
	return n
}

// Integer takes a whole number from least to most.
func (o *Object) Integer(name string, otherwise, least, most int) int {
	v, ok := o.Has(name)
	if !ok {
		return otherwise
	}
	s, _ := Plain(v)
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		o.Fail(Invalid("illegal_argument_exception", "[%s] of [%s] must be a whole number from %d to %d, not %v", name, o.what, least, most, v))
		return otherwise
	}
	return n
}

// List takes a member for a list; a single value is a list of one.
func (o *Object) List(name string) []any {
	v, ok := o.Has(name)
	if !ok {
		return nil
	}
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// Texts is list of strings.
func (o *Object) Texts(name string) (out []string) {
	for _, v := range o.List(name) {
		s, ok := Plain(v)
		if !ok {
			o.Fail(Invalid("parsing_exception", "[%s] of [%s] must hold strings, not %s", name, o.what, KindOf(v)))
		}
		out = append(out, s)
	}
	return out
}

// Ignore takes members that change nothing here, such as those of scores.
func (o *Object) Ignore(names ...string) {
	for _, n := range names {
		o.seen[n] = true
	}
}

// Done is the first thing that was wrong, or the first member left over.
func (o *Object) Done() error {
	if o.err != nil {
		return o.err
	}
	for _, name := range slices.Sorted(maps.Keys(o.Members)) {
		if !o.seen[name] {
			return Unsupported("[%s] of [%s]", name, o.what)
		}
	}
	return nil
}

// Only takes an object of one member, as {"term": {…}} is.
func Only(what string, v any) (string, any, error) {
	o, err := AsObject(what, v)
	if err != nil {
		return "", nil, err
	}
	if len(o.Members) != 1 {
		return "", nil, Invalid("parsing_exception", "[%s] must name exactly one thing; it names %d", what, len(o.Members))
	}
	for name, inner := range o.Members {
		return name, inner, nil
	}
	return "", nil, nil
}

// Plain is the text of a string, number or boolean.
func Plain(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return fmt.Sprint(v), false
}
