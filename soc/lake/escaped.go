package lake

import (
	"strings"

	"icewatch/soc/event"
)

// A value with quotes, backslashes or line ends is no substring of the JSON that
// it came in, where it stands escaped: Windows' paths, command lines and messages
// would be kept twice. References to such values are refTimeUnix with one of
// these arguments, which as digits of a time there are none of, and the field's
// place as a second one.
const (
	refEscaped     = maxArgument     // "value"
	refEscapedText = maxArgument - 1 // "name":"value"
	refEscapedLeaf = maxArgument - 2 // "leaf":"value"
)

// escapedBy is the argument of a value that stands as op says.
func escapedBy(op byte) int {
	switch op {
	case refText:
		return refEscapedText
	case refLeafText:
		return refEscapedLeaf
	}
	return refEscaped
}

// maxEscaped bounds the values with escapes that are referred to in one event.
const maxEscaped = 64

// lone is a value that is not in the raw text as it is.
type lone struct {
	value string
	field int // place among the row's fields
}

// referEscaped finds the values that stand escaped in a JSON text.
func (w *Writer) referEscaped(ev *event.Event) {
	raw := ev.Raw
	for from, found := 0, 0; found < maxEscaped; found++ {
		// Backslashes are in strings alone, and those before this one have none
		// that is not passed yet: the last quote before it opens the string.
		at := strings.IndexByte(raw[from:], '\\')
		if at < 0 {
			return
		}
		at += from
		open := strings.LastIndexByte(raw[from:at], '"')
		if open < 0 {
			return
		}
		off := from + open + 1
		size := 0 // of the value
		for size = at - off; at < len(raw) && raw[at] != '"'; size++ {
			if raw[at] == '\\' {
				at++
				if at < len(raw) && raw[at] == 'u' {
					at += 4
				}
			}
			at++
		}
		if at >= len(raw) {
			return
		}
		from = at + 1
		best := -1
		for i := range w.lone {
			l := &w.lone[i]
			if len(l.value) != size || !escapedAs(l.value, raw[off:at]) {
				continue
			}
			if best < 0 {
				best = l.field
			}
			if op, _, _ := bracket(raw, reference{off: off, size: at - off, field: l.field}, w.fields[l.field].Name); op != refValue {
				best = l.field
				break
			}
		}
		if best >= 0 {
			w.refs = append(w.refs, reference{off: off, size: at - off, field: best, escaped: true})
		}
	}
}

// escapes are the letters of the short escapes, by byte.
var escapes = [256]byte{'"': '"', '\\': '\\', '\n': 'n', '\r': 'r', '\t': 't', '\b': 'b', '\f': 'f'}

const hexDigits = "0123456789abcdef"

// escapedAs tells whether appendEscaped writes a value as text.
func escapedAs(value, text string) bool {
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			if text == "" || text[0] != c {
				return false
			}
			text = text[1:]
			continue
		}
		var room [6]byte
		e := appendEscaped(room[:0], value[i:i+1])
		if len(text) < len(e) || text[:len(e)] != string(e) {
			return false
		}
		text = text[len(e):]
	}
	return text == ""
}

// appendEscaped writes a value as it stands between the quotes of a JSON string,
// with the shortest escapes of what must be escaped alone.
func appendEscaped(b []byte, value string) []byte {
	start := 0
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, value[start:i]...)
		start = i + 1
		if e := escapes[c]; e != 0 {
			b = append(b, '\\', e)
		} else {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, value[start:]...)
}
