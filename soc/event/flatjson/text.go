package flatjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Texts are scanned eight bytes at a time, a byte in each lane of a word. The
// tests set the high bit of a lane in which they find something; borrows can
// only set wrong bits above a right one, so the lowest is always exact.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

func load(s string, i int) uint64 {
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), len(s))[i : i+8])
}

// suspects finds quotes, backslashes and control characters among the ASCII
// lanes; in other lanes it may find anything.
func suspects(x uint64) uint64 {
	return (x - ' '*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)
}

// special tells whether a byte needs a look within a text.
func special(c byte) bool { return c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf }

// string reads a text whose opening quote is before i.
func (d *Decoder) string(i int) (string, int) {
	s, from := d.text, i
	for len(s)-i >= 8 {
		x := load(s, i)
		if found := (suspects(x) | x) & highs; found != 0 {
			i += bits.TrailingZeros64(found) >> 3
			if s[i] == '"' {
				return s[from:i], i + 1
			}
			return d.unusual(from, i)
		}
		i += 8
	}
	for i < len(s) && !special(s[i]) {
		i++
	}
	if i < len(s) && s[i] == '"' {
		return s[from:i], i + 1
	}
	return d.unusual(from, i)
}

// unusual reads on in a text whose bytes up to i are plain ASCII and may stay
// where they are, as long as no escape follows.
func (d *Decoder) unusual(from, i int) (string, int) {
	s := d.text
	for i < len(s) {
		if len(s)-i >= 8 {
			x := load(s, i)
			found := suspects(x) &^ x & highs
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) >> 3
		}
		switch c := s[i]; {
		case c == '"':
			text := s[from:i]
			if !utf8.ValidString(text) {
				text = repair(text)
			}
			return text, i + 1
		case c == '\\':
			return d.unescape(from, i)
		case c < ' ' && !d.opts.Controls:
			return "", d.control(i)
		}
		i++
	}
	return "", d.unclosed(from)
}

func (d *Decoder) unclosed(from int) int {
	return d.fail(from-1, "the text that begins here has no closing quote")
}

func (d *Decoder) control(i int) int {
	return d.fail(i, fmt.Sprintf("the control character %U must be escaped in a text", d.text[i]))
}

// short are the characters that escapes of one letter stand for.
var short = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape reads a text, whose first escape is at i, into the arena. What comes
// out is never longer than what stands in the line, so the room that one line
// can need is reserved with its first escape.
func (d *Decoder) unescape(from, i int) (string, int) {
	s := d.text
	out := d.room(len(s) - from)
	w := copy(out, s[from:i])
	high := uint64(highs) // The bytes before i were not looked at for UTF-8.
	if i-from < 8 {
		high = 0
		for _, c := range out[:w] {
			high |= uint64(c) & 0x80
		}
	}
	for i < len(s) {
		if len(s)-i >= 8 {
			x := load(s, i)
			binary.LittleEndian.PutUint64(out[w:], x)
			high |= x & highs
			found := suspects(x) &^ x & highs
			if found == 0 {
				i, w = i+8, w+8
				continue
			}
			n := bits.TrailingZeros64(found) >> 3
			i, w = i+n, w+n
		}
		c := s[i]
		switch {
		case c == '"':
			text := view(out[:w])
			d.arena = d.arena[:len(d.arena)+w]
			if high != 0 && !utf8.ValidString(text) {
				text = repair(text)
			}
			return text, i + 1
		case c == '\\':
			if i+1 >= len(s) {
				return "", d.unclosed(from)
			}
			if e := short[s[i+1]]; e != 0 {
				out[w] = e
				i, w = i+2, w+1
				continue
			}
			r, end := d.rune(i)
			if end < 0 {
				return "", -1
			}
			if r == 0 {
				d.nul = true
				if d.opts.NULText {
					w += copy(out[w:], `\u0000`)
					i = end
					continue
				}
			}
			i, w = end, w+utf8.EncodeRune(out[w:w+utf8.UTFMax], r)
			continue
		case c < ' ' && !d.opts.Controls:
			return "", d.control(i)
		}
		out[w] = c
		high |= uint64(c) & 0x80
		i, w = i+1, w+1
	}
	return "", d.unclosed(from)
}

// rune reads the escape \uXXXX at i, and a second one that makes a pair of
// surrogates with it. A surrogate alone is U+FFFD.
func (d *Decoder) rune(i int) (rune, int) {
	r, ok := hex4(d.text, i)
	if !ok {
		rest := d.text[i+1:]
		if rest[0] == 'u' {
			return 0, d.fail(i, `four hexadecimal digits were expected behind \u`)
		}
		return 0, d.fail(i, fmt.Sprintf(`a backslash and %s are no escape: \" \\ \/ \b \f \n \r \t and \u are`, found(rest)))
	}
	i += 6
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(d.text, i); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, i + 6
			}
		}
		r = utf8.RuneError
	}
	return r, i
}

// hex4 reads an escape \uXXXX.
func hex4(s string, i int) (r rune, ok bool) {
	if len(s)-i < 6 || s[i] != '\\' || s[i+1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(s[i+2 : i+6]) {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// pass reads a text whose opening quote is before i, and keeps nothing of it.
func (d *Decoder) pass(i int) int {
	s, from := d.text, i
	for i < len(s) {
		if len(s)-i >= 8 {
			x := load(s, i)
			found := suspects(x) &^ x & highs
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) >> 3
		}
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i+1 >= len(s) {
				return d.unclosed(from)
			}
			if short[s[i+1]] != 0 {
				i++
			} else if _, i = d.rune(i); i < 0 {
				return -1
			} else {
				continue
			}
		case c < ' ' && !d.opts.Controls:
			return d.control(i)
		}
		i++
	}
	return d.unclosed(from)
}

// block is how much the arena takes at a time, and slack what is written beyond
// the end of a text and then over again.
const (
	block = 32 << 10
	slack = 8
)

// room returns the free end of the arena, at least n bytes and the slack.
func (d *Decoder) room(n int) []byte {
	used := len(d.arena)
	if cap(d.arena)-used < n+slack {
		d.arena = make([]byte, 0, max(block, n+slack))
		used = 0
	}
	return d.arena[used:cap(d.arena)]
}

// repair replaces each byte that is not UTF-8 by U+FFFD.
func repair(s string) string {
	b := make([]byte, 0, len(s)+16)
	for _, r := range s {
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}
