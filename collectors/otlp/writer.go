package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"icewatch/collectors"
	"icewatch/soc/event"
)

// maxDepth bounds how deep messages lie within each other; a value in a map in
// a map takes three more for each map. Python's and Java's own parsers end at
// 100.
const maxDepth = 64

var (
	errDeep      = fmt.Errorf("its values lie more than %d messages deep", maxDepth)
	errMalformed = errors.New("the body is not valid protobuf")
)

// writer writes messages in the JSON form of OTLP, from protobuf and from JSON.
type writer struct {
	b       []byte
	clip    int  // longest text in bytes, where it is over nought
	clipped bool // a text was longer
	altered bool // a text was not valid UTF-8
	// at says where in b the fields of the outermost message stand.
	at [maxField + 1]extent
}

type extent struct{ from, to int }

// value returns what was written of a field of the outermost message, without
// quotes; "" where it was not there.
func (w *writer) value(number int) []byte {
	at := w.at[number]
	v := w.b[at.from:at.to]
	if len(v) > 1 && v[0] == '"' {
		v = v[1 : len(v)-1]
	}
	return v
}

// wire writes a message that comes in protobuf.
func (w *writer) wire(m *message, data []byte, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	from := len(w.b)
	w.b = append(w.b, '{')
	seen, list := uint32(0), 0
	for rest := data; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return errMalformed
		}
		rest = rest[n:]
		f := m.field(int(number))
		if f == nil || kind != f.form.wire() {
			if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
				return errMalformed
			}
			rest = rest[n:]
			continue
		}
		bit := uint32(1) << f.number
		if f.number == list {
			w.b = append(w.b, ',')
		} else {
			if seen&bit != 0 || m.oneof && seen != 0 {
				// Lawful, though no encoder writes so.
				ordered, err := m.ordered(data)
				if err != nil {
					return err
				}
				w.b = w.b[:from]
				return w.wire(m, ordered, depth)
			}
			w.begin(f, seen == 0, &list)
		}
		seen |= bit
		start := len(w.b)
		n, err := w.wireValue(f, rest, depth)
		if err != nil {
			return err
		}
		rest = rest[n:]
		if depth == 1 {
			w.at[f.number] = extent{start, len(w.b)}
		}
	}
	w.end(list)
	return nil
}

// begin writes the name of a field; list is the number of the list that is
// open, 0 for none.
func (w *writer) begin(f *field, first bool, list *int) {
	if *list != 0 {
		w.b = append(w.b, ']')
	}
	if !first {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, f.name...)
	w.b = append(w.b, '"', ':')
	*list = 0
	if f.repeated {
		w.b = append(w.b, '[')
		*list = f.number
	}
}

func (w *writer) end(list int) {
	if list != 0 {
		w.b = append(w.b, ']')
	}
	w.b = append(w.b, '}')
}

// wire is how protobuf writes the form.
func (f form) wire() protowire.Type {
	switch f {
	case boolean, enum, counter, integer:
		return protowire.VarintType
	case fixed32:
		return protowire.Fixed32Type
	case fixed64, double:
		return protowire.Fixed64Type
	}
	return protowire.BytesType
}

// wireValue writes one value and tells how many bytes it had.
func (w *writer) wireValue(f *field, data []byte, depth int) (n int, err error) {
	var v uint64
	var b []byte
	switch f.form.wire() {
	case protowire.VarintType:
		v, n = protowire.ConsumeVarint(data)
	case protowire.Fixed32Type:
		var v32 uint32
		v32, n = protowire.ConsumeFixed32(data)
		v = uint64(v32)
	case protowire.Fixed64Type:
		v, n = protowire.ConsumeFixed64(data)
	default:
		b, n = protowire.ConsumeBytes(data)
	}
	if n < 0 {
		return 0, errMalformed
	}
	switch f.form {
	case text:
		w.text(b)
	case boolean:
		w.b = strconv.AppendBool(w.b, v != 0)
	case enum:
		w.b = strconv.AppendInt(w.b, int64(int32(v)), 10)
	case counter, fixed32:
		w.b = strconv.AppendUint(w.b, uint64(uint32(v)), 10)
	case fixed64:
		w.unsigned(v)
	case integer:
		w.signed(int64(v))
	case double:
		w.double(math.Float64frombits(v))
	case bytes:
		w.bytes(b)
	case hexID:
		w.identity(b)
	case compound:
		err = w.wire(f.of, b, depth+1)
	}
	return n, err
}

// ordered writes a message anew: the values of a list together, and of a field
// that is given several times the last value only.
func (m *message) ordered(data []byte) ([]byte, error) {
	type part struct {
		number int
		raw    []byte
	}
	var parts []part
	for rest := data; len(rest) > 0; {
		number, kind, tag := protowire.ConsumeTag(rest)
		if tag < 0 {
			return nil, errMalformed
		}
		n := protowire.ConsumeFieldValue(number, kind, rest[tag:])
		if n < 0 {
			return nil, errMalformed
		}
		if f := m.field(int(number)); f != nil && kind == f.form.wire() {
			if m.oneof {
				parts = parts[:0]
			} else if !f.repeated {
				parts = slices.DeleteFunc(parts, func(p part) bool { return p.number == f.number })
			}
			parts = append(parts, part{f.number, rest[:tag+n]})
		}
		rest = rest[tag+n:]
	}
	slices.SortStableFunc(parts, func(a, b part) int { return a.number - b.number })
	out := make([]byte, 0, len(data))
	for _, p := range parts {
		out = append(out, p.raw...)
	}
	return out, nil
}

func (w *writer) text(s []byte) {
	if w.clip > 0 && len(s) > w.clip {
		s = collectors.Cut(s, w.clip)
		w.clipped = true
	}
	if !utf8.Valid(s) {
		w.altered = true
	}
	w.b = event.AppendJSON(w.b, view(s))
}

func (w *writer) unsigned(v uint64) {
	w.b = append(w.b, '"')
	w.b = strconv.AppendUint(w.b, v, 10)
	w.b = append(w.b, '"')
}

func (w *writer) signed(v int64) {
	w.b = append(w.b, '"')
	w.b = strconv.AppendInt(w.b, v, 10)
	w.b = append(w.b, '"')
}

func (w *writer) double(v float64) {
	switch {
	case math.IsNaN(v):
		w.b = append(w.b, `"NaN"`...)
	case math.IsInf(v, 1):
		w.b = append(w.b, `"Infinity"`...)
	case math.IsInf(v, -1):
		w.b = append(w.b, `"-Infinity"`...)
	default:
		w.b = strconv.AppendFloat(w.b, v, 'g', -1, 64)
	}
}

func (w *writer) bytes(b []byte) {
	if w.clip > 0 && len(b) > w.clip {
		b = b[:w.clip]
		w.clipped = true
	}
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, b)
	w.b = append(w.b, '"')
}

func (w *writer) identity(b []byte) {
	w.b = append(w.b, '"')
	w.b = hex.AppendEncode(w.b, b)
	w.b = append(w.b, '"')
}
