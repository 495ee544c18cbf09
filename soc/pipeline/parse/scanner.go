package parse

import (
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks the JSON text that a collector of ours wrote, of which only some
// members count.
type scanner struct {
	p *Parser
	s string
	i int
}

// space skips blanks and tells whether anything follows.
func (s *scanner) space() bool {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
			continue
		}
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.s) && isDigit(s.s[s.i]) {
		s.i++
	}
	return s.i > from
}

// number reads RFC 8259's grammar, so that the literal can be stored and
// written out again as it stands.
func (s *scanner) number() bool {
	if s.s[s.i] == '-' {
		s.i++
	}
	zero := s.i < len(s.s) && s.s[s.i] == '0'
	from := s.i
	if !s.digits() || zero && s.i > from+1 {
		return false
	}
	if s.i < len(s.s) && s.s[s.i] == '.' {
		s.i++
		if !s.digits() {
			return false
		}
	}
	if s.i < len(s.s) && s.s[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.s) && (s.s[s.i] == '+' || s.s[s.i] == '-') {
			s.i++
		}
		return s.digits()
	}
	return true
}

// text reads a string whose quote is next.
func (s *scanner) text() (string, bool) {
	s.i++
	from := s.i
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			text := s.s[from:s.i]
			s.i++
			return text, true
		case '\\':
			return s.escaped(from)
		}
		s.i++
	}
	return "", false
}

// escaped reads on in a string in which an escape was met.
func (s *scanner) escaped(from int) (string, bool) {
	end := s.i
	for end < len(s.s) && s.s[end] != '"' {
		if s.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.s) {
		return "", false
	}
	b := s.p.arena.grab(end - from)
	b = append(b, s.s[from:s.i]...)
	for s.i < end {
		c := s.s[s.i]
		if c != '\\' {
			b = append(b, c)
			s.i++
			continue
		}
		c = s.s[s.i+1]
		s.i += 2
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := s.hex4(end)
			if !ok {
				return "", false
			}
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if hasPrefix(s.s[s.i:end], `\u`) {
					s.i += 2
					if low, ok = s.hex4(end); !ok {
						return "", false
					}
					if r = utf16.DecodeRune(r, low); r == utf8.RuneError && !utf16.IsSurrogate(low) {
						b = utf8.AppendRune(b, r)
						r = low
					}
				} else {
					r = utf8.RuneError
				}
			}
			if r == 0 {
				s.p.ev.Mark(MarkNUL)
				b = append(b, `\u0000`...)
			} else {
				b = utf8.AppendRune(b, r)
			}
		default:
			return "", false
		}
	}
	s.i = end + 1
	return s.p.arena.keep(b), true
}

func (s *scanner) hex4(end int) (rune, bool) {
	if s.i+4 > end {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.s[s.i : s.i+4]) {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	s.i += 4
	return r, true
}

// skip passes over an object or array by its brackets alone.
func (s *scanner) skip() bool {
	depth := 0
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				s.i++
				return true
			}
		case '"':
			for s.i++; s.i < len(s.s) && s.s[s.i] != '"'; s.i++ {
				if s.s[s.i] == '\\' {
					s.i++
				}
			}
		}
		s.i++
	}
	return false
}
