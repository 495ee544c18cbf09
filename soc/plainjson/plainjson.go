// Package plainjson writes texts and objects of texts in JSON onto what is there
// already, as encoding/json writes them but for letters that only HTML cares
// for. It is for what is written thousands of times a second.
package plainjson

import (
	"maps"
	"slices"
	"unicode/utf8"
)

// Text writes a text. What is not UTF-8 becomes U+FFFD.
func Text(buf []byte, s string) []byte {
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				buf = append(append(buf, s[from:i]...), `\ufffd`...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		buf = append(buf, s[from:i]...)
		switch c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, '\\', 'n')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(buf, s[from:]...), '"')
}

// Object writes texts by names, in the order of these; nil is null.
func Object(buf []byte, m map[string]string) []byte {
	if m == nil {
		return append(buf, "null"...)
	}
	var room [64]string
	names := slices.AppendSeq(room[:0], maps.Keys(m))
	slices.Sort(names)
	buf = append(buf, '{')
	for i, name := range names {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(Text(buf, name), ':')
		buf = Text(buf, m[name])
	}
	return append(buf, '}')
}
