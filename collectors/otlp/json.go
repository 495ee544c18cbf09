package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

// json writes a message that comes as JSON (OTLP 1.x, "JSON Protobuf
// Encoding"): ids in hex, integers of 64 bits as strings or as numbers. Names
// in lower_snake_case are read too, as protobuf's rules for JSON ask. Members
// that are not known are passed over.
func (w *writer) json(m *message, v *fastjson.Value, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	o, err := v.Object()
	if err != nil {
		return fmt.Errorf("must be an object, not %s", v.Type())
	}
	w.b = append(w.b, '{')
	first, list := true, 0
	for i := range m.fields {
		f := &m.fields[i]
		member := get(o, f.name)
		if member == nil {
			continue
		}
		if m.oneof && !first {
			return fmt.Errorf("has more than one value: %s is the second", f.name)
		}
		if !f.repeated {
			w.begin(f, first, &list)
			start := len(w.b)
			if err := w.jsonValue(f, member, depth); err != nil {
				return within(f.name, -1, err)
			}
			if depth == 1 {
				w.at[f.number] = extent{start, len(w.b)}
			}
		} else {
			values, err := member.Array()
			if err != nil {
				return within(f.name, -1, fmt.Errorf("must be an array, not %s", member.Type()))
			}
			w.begin(f, first, &list)
			for i, one := range values {
				if i > 0 {
					w.b = append(w.b, ',')
				}
				if err := w.jsonValue(f, one, depth); err != nil {
					return within(f.name, i, err)
				}
			}
		}
		first = false
	}
	w.end(list)
	return nil
}

// get returns a member by its name in lowerCamelCase, or else in
// lower_snake_case; nil where it is missing or null.
func get(o *fastjson.Object, name string) *fastjson.Value {
	v := o.Get(name)
	if v == nil && strings.ContainsFunc(name, isUpper) {
		v = o.Get(snake(name))
	}
	if v != nil && v.Type() == fastjson.TypeNull {
		return nil
	}
	return v
}

func isUpper(r rune) bool { return r >= 'A' && r <= 'Z' }

func snake(name string) string {
	var room [40]byte
	b := room[:0]
	for _, r := range name {
		if isUpper(r) {
			b = append(b, '_', byte(r)|0x20)
		} else {
			b = append(b, byte(r))
		}
	}
	return string(b)
}

func (w *writer) jsonValue(f *field, v *fastjson.Value, depth int) error {
	switch f.form {
	case compound:
		return w.json(f.of, v, depth+1)
	case boolean:
		b, err := v.Bool()
		if err != nil {
			return fmt.Errorf("must be true or false, not %s", v.Type())
		}
		w.b = strconv.AppendBool(w.b, b)
		return nil
	case double:
		return w.jsonDouble(v)
	case enum, counter, fixed32, fixed64, integer:
		return w.jsonNumber(f.form, v)
	}
	s, err := v.StringBytes()
	if err != nil {
		return fmt.Errorf("must be a string, not %s", v.Type())
	}
	switch f.form {
	case bytes:
		raw, err := decodeBase64(string(s))
		if err != nil {
			return fmt.Errorf("%q is not base64", clip(string(s)))
		}
		w.bytes(raw)
	case hexID:
		var room [32]byte
		raw, err := hex.AppendDecode(room[:0], s)
		if err != nil {
			return fmt.Errorf("%q is not an id in hex digits", clip(string(s)))
		}
		w.identity(raw)
	default:
		w.text(s)
	}
	return nil
}

// jsonNumber reads an integer: a number, or its digits in a string.
func (w *writer) jsonNumber(as form, v *fastjson.Value) error {
	s, bits := v.String(), 64
	if v.Type() == fastjson.TypeString {
		s = string(v.GetStringBytes())
	}
	if as == enum || as == counter || as == fixed32 {
		bits = 32
	}
	if as == integer || as == enum {
		n, err := strconv.ParseInt(s, 10, bits)
		if err != nil {
			return fmt.Errorf("%s is not a whole number of %d bits", clip(s), bits)
		}
		if as == integer {
			w.signed(n)
		} else {
			w.b = strconv.AppendInt(w.b, n, 10)
		}
		return nil
	}
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return fmt.Errorf("%s is not a number of %d bits without sign", clip(s), bits)
	}
	if as == fixed64 {
		w.unsigned(n)
	} else {
		w.b = strconv.AppendUint(w.b, n, 10)
	}
	return nil
}

func (w *writer) jsonDouble(v *fastjson.Value) error {
	s := v.String() // the library's own reading is inexact in the last digit
	if v.Type() == fastjson.TypeString {
		s = string(v.GetStringBytes())
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%s is not a number", clip(v.String()))
	}
	w.double(n)
	return nil
}

// decodeBase64 reads both alphabets, with padding and without.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// pathError says where in the request something is wrong.
type pathError struct {
	path string
	err  error
}

func (e *pathError) Error() string { return e.path + ": " + e.err.Error() }

func (e *pathError) Unwrap() error { return e.err }

// within puts a name, and the index where it is not negative, before the path
// of an error.
func within(name string, index int, err error) error {
	if index >= 0 {
		name += "[" + strconv.Itoa(index) + "]"
	}
	if inner, ok := err.(*pathError); ok {
		return &pathError{name + "." + inner.path, inner.err}
	}
	return &pathError{name, err}
}
