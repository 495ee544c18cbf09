package elastic

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

// maxDepth bounds how deep a request's JSON may be nested.
const maxDepth = 64

// decode reads one JSON object with nothing behind it.
func decode(b []byte) (map[string]any, error) {
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
			if depth++; depth > maxDepth {
				return nil, invalid("parsing_exception", "the request is nested deeper than %d levels", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return nil, invalid("parsing_exception", "the request is no JSON object: %s", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, invalid("parsing_exception", "something follows the JSON object of the request")
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

// object reads an object of a request member by member and refuses those that
// nobody asked for. The first thing wrong is kept in err.
type object struct {
	what string // how errors name it, such as [range]
	m    map[string]any
	seen map[string]bool
	err  error
}

func newObject(what string, m map[string]any) *object {
	return &object{what: what, m: m, seen: map[string]bool{}}
}

// asObject takes a value for an object.
func asObject(what string, v any) (*object, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("parsing_exception", "[%s] must be an object, not %s", what, kindOf(v))
	}
	return newObject(what, m), nil
}

func kindOf(v any) string {
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

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// has takes a member that is there and not null.
func (o *object) has(name string) (any, bool) {
	o.seen[name] = true
	v, ok := o.m[name]
	return v, ok && v != nil
}

func (o *object) text(name, otherwise string) string {
	v, ok := o.has(name)
	if !ok {
		return otherwise
	}
	s, ok := plain(v)
	if !ok {
		o.fail(invalid("parsing_exception", "[%s] of [%s] must be a string, not %s", name, o.what, kindOf(v)))
	}
	return s
}

func (o *object) flag(name string, otherwise bool) bool {
	v, ok := o.has(name)
	if !ok {
		return otherwise
	}
	switch v {
	case true, "true":
		return true
	case false, "false":
		return false
	}
	o.fail(invalid("parsing_exception", "[%s] of [%s] must be true or false, not %v", name, o.what, v))
	return otherwise
}

func (o *object) number(name string, otherwise float64) float64 {
	v, ok := o.has(name)
	if !ok {
		return otherwise
	}
	s, _ := plain(v)
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n != n {
		o.fail(invalid("parsing_exception", "[%s] of [%s] must be a number, not %v", name, o.what, v))
		return otherwise
	}
	return n
}

func (o *object) integer(name string, otherwise, least, most int) int {
	v, ok := o.has(name)
	if !ok {
		return otherwise
	}
	s, _ := plain(v)
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		o.fail(invalid("illegal_argument_exception", "[%s] of [%s] must be a whole number from %d to %d, not %v", name, o.what, least, most, v))
		return otherwise
	}
	return n
}

// list takes a member for a list; a single value is a list of one.
func (o *object) list(name string) []any {
	v, ok := o.has(name)
	if !ok {
		return nil
	}
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// texts is list of strings.
func (o *object) texts(name string) (out []string) {
	for _, v := range o.list(name) {
		s, ok := plain(v)
		if !ok {
			o.fail(invalid("parsing_exception", "[%s] of [%s] must hold strings, not %s", name, o.what, kindOf(v)))
		}
		out = append(out, s)
	}
	return out
}

// ignore takes members that change nothing here, such as those of scores.
func (o *object) ignore(names ...string) {
	for _, n := range names {
		o.seen[n] = true
	}
}

// done is the first thing that was wrong, or the first member left over.
func (o *object) done() error {
	if o.err != nil {
		return o.err
	}
	for _, name := range slices.Sorted(maps.Keys(o.m)) {
		if !o.seen[name] {
			return unsupported("[%s] of [%s]", name, o.what)
		}
	}
	return nil
}

// only takes an object of one member, as {"term": {…}} is.
func only(what string, v any) (string, any, error) {
	o, err := asObject(what, v)
	if err != nil {
		return "", nil, err
	}
	if len(o.m) != 1 {
		return "", nil, invalid("parsing_exception", "[%s] must name exactly one thing; it names %d", what, len(o.m))
	}
	for name, inner := range o.m {
		return name, inner, nil
	}
	return "", nil, nil
}

// plain is the text of a string, number or boolean.
func plain(v any) (string, bool) {
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
