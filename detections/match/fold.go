package match

import (
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"icewatch/detections/sigma"
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

// undash makes the characters that windash holds equal one.
func undash(s string) string {
	if !strings.ContainsAny(s, sigma.Dashes[1:]) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '/', '\u2013', '\u2014', '\u2015':
			return '-'
		}
		return r
	}, s)
}

// arena keeps folded texts of one event without an allocation each. Texts
// stay valid until reset; a grown arena leaves earlier texts in the old
// memory, which lives as long as they do.
type arena struct{ buf []byte }

func (a *arena) reset() {
	if cap(a.buf) > 1<<20 {
		a.buf = nil // one huge event must not keep its memory forever
		return
	}
	a.buf = a.buf[:0]
}

// lower folds s and tells whether it is plain ASCII.
func (a *arena) lower(s string) (folded string, ascii bool) {
	if !needsFold(s) {
		return s, true
	}
	start := len(a.buf)
	a.buf = appendLower(a.buf, s)
	folded = unsafe.String(&a.buf[start], len(a.buf)-start) // not empty: s had something to fold
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return folded, false
		}
	}
	return folded, true
}
