package event

import (
	"time"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSON appends s to b as a JSON string (RFC 8259). Bytes that are not
// UTF-8 become U+FFFD.
func AppendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = append(b, "\ufffd"...)
			i++
			start = i
			continue
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// AppendObject appends e to b as one JSON object: @timestamp, then the fields
// under their dotted names in the order in which each first stands, with an
// array where a field has several values, and event.original.
func AppendObject(b []byte, e *Event, reg *Registry) []byte {
	b = append(b, `{"@timestamp":"`...)
	b = e.Timestamp().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for i, f := range e.Fields {
		first, more := true, false
		for j, g := range e.Fields {
			if g.ID == f.ID && j < i {
				first = false
				break
			}
			more = more || g.ID == f.ID && j > i
		}
		if !first {
			continue
		}
		b = append(b, ',')
		b = AppendJSON(b, reg.Name(f.ID))
		b = append(b, ':')
		if !more {
			b = appendValue(b, f)
			continue
		}
		sep := byte('[')
		for _, g := range e.Fields[i:] {
			if g.ID == f.ID {
				b = appendValue(append(b, sep), g)
				sep = ','
			}
		}
		b = append(b, ']')
	}
	b = append(b, `,"event.original":`...)
	return append(AppendJSON(b, e.Raw), '}')
}

func appendValue(b []byte, f Field) []byte {
	switch f.Kind {
	case Number, Bool:
		return append(b, f.Value...)
	case Null:
		return append(b, "null"...)
	}
	return AppendJSON(b, f.Value)
}
