package match

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lower folds letter case: each character to its lower-case one, so that the
// count of characters stays the same. Bytes that are not UTF-8 stay as they
// are.
func lower(s string) string {
	if !needsFold(s) {
		return s
	}
	return string(appendLower(make([]byte, 0, len(s)), s))
}

// needsFold tells whether folding could change s.
func needsFold(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

func appendLower(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, c)
		} else {
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
		i += n
	}
	return b
}

// oneDash writes each of sigma.Dashes as the first of them.
var oneDash = strings.NewReplacer("/", "-", "\u2013", "-", "\u2014", "-", "\u2015", "-")

// undash makes the characters that windash holds equal one. Bytes that are not
// UTF-8 stay as they are.
func undash(s string) string { return oneDash.Replace(s) }

// arena keeps the folded values of one event without an allocation each. A
// zero byte stands before each of them and margin zero bytes behind. Texts
// stay valid until reset; a grown arena leaves earlier texts in the old
// memory, which lives as long as they do.
type arena struct{ buf []byte }

func (a *arena) reset() {
	if cap(a.buf) > 1<<20 {
		a.buf = nil // one huge event must not keep its memory forever
	}
	a.buf = append(a.buf[:0], 0)
}

const (
	every  = 0x0101010101010101
	tops   = 0x80 * every
	lowers = 0x7f * every
)

// lower8 folds eight ASCII bytes at once; others stay as they are.
func lower8(x uint64) uint64 {
	t := x & lowers
	upper := (t + (0x80-'A')*every) &^ (t + (0x80-'Z'-1)*every) &^ x & tops
	return x | upper>>2
}

// fold appends s folded and tells where it begins, how long it is, and whether
// s is plain ASCII.
func (a *arena) fold(s string) (start, length int, plain bool) {
	start, length = len(a.buf), len(s)
	if cap(a.buf)-start < length+margin {
		grown := make([]byte, start, 2*cap(a.buf)+length+margin+1024)
		copy(grown, a.buf)
		a.buf = grown
	}
	out := a.buf[start : start+length+margin]
	copy(out, s)
	var seen uint64
	i := 0
	for ; i+8 <= length; i += 8 {
		x := binary.LittleEndian.Uint64(out[i:])
		seen |= x
		binary.LittleEndian.PutUint64(out[i:], lower8(x))
	}
	for ; i < length; i++ {
		c := out[i]
		seen |= uint64(c)
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	if plain = seen&tops == 0; !plain {
		a.buf = appendLower(a.buf, s)
		length = len(a.buf) - start
		var zero [margin]byte
		a.buf = append(a.buf, zero[:]...)
		return start, length, plain
	}
	binary.LittleEndian.PutUint64(out[length:], 0)
	a.buf = a.buf[:start+length+margin]
	return start, length, plain
}
