package parse

import (
	"unicode/utf16"
	"unicode/utf8"

	"icewatch/soc/event"
)

// json flattens one JSON object into fields with dotted names: members of
// nested objects by path, the elements of an array as repeated values. It
// returns false, and leaves the event as it was, where text is not exactly one
// valid object.
func (p *Parser) json(text string) bool {
	fields, content, marks := len(p.ev.Fields), p.content, p.overflow
	if len(p.ev.Fields) > 0 && !p.soft {
		p.saved = append(p.saved[:0], p.ev.Fields...)
	}
	if marks.used() {
		marks.buf = append([]byte(nil), marks.buf...)
	}
	p.base = fields
	p.jsonTime, p.jsonTimeRank = "", 0
	s := scanner{p: p, s: text}
	p.path = p.path[:0]
	ok := s.space() && s.s[s.i] == '{' && s.object(1)
	if ok && s.space() {
		ok = false // Something follows the object.
	}
	if !ok {
		if !p.soft {
			p.ev.Fields = append(p.ev.Fields[:0], p.saved...)
			if fields == 0 {
				p.ev.Fields = p.ev.Fields[:0]
			}
		} else {
			p.ev.Fields = p.ev.Fields[:fields]
		}
		p.content, p.overflow, p.base = content, marks, 0
		p.saved = p.saved[:0]
		p.deferred = p.deferred[:0]
		return false
	}
	first := p.base
	p.base = 0
	p.saved = p.saved[:0]
	p.sensorFlow(first)
	p.settle()
	if p.jsonTime != "" && !(p.soft && p.timed) {
		if t, ok := anyTime(p.jsonTime, p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		} else if p.jsonTimeRank == rankTimestamp {
			p.ev.Mark(MarkBadTime)
			p.ev.SetDefault(event.TimeOriginal, p.jsonTime)
		}
	}
	p.nested(text)
	return true
}

// nested recognises the message within a JSON object, as shippers send it: the
// line of a log file with metadata around.
func (p *Parser) nested(text string) {
	message := p.ev.Text(event.Message)
	if message != "" && message != text && p.depth < 2 && !p.ev.Has(event.EventDataset) {
		soft := p.soft
		p.soft = true
		p.depth++
		p.line(message)
		p.depth--
		p.soft = soft
	}
	p.putMessage(text)
	p.dataset("json.log", "json")
}

// Ranks of the members that can give the time: the higher one wins.
const (
	rankOther = iota + 1
	rankTime
	rankTimestamp
)

func timeRank(name string) int {
	switch name {
	case "@timestamp":
		return rankTimestamp
	case "timestamp", "time", "_time":
		return rankTime
	case "ts", "datetime", "date", "eventTime", "event_time", "TimeCreated", "EventTime":
		return rankOther
	}
	return 0
}

// scanner walks JSON text.
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

// object reads an object whose brace is next.
func (s *scanner) object(depth int) bool {
	s.i++
	if !s.space() {
		return false
	}
	if s.s[s.i] == '}' {
		s.i++
		return true
	}
	for {
		if !s.space() || s.s[s.i] != '"' {
			return false
		}
		key, ok := s.text()
		if !ok || !s.space() || s.s[s.i] != ':' {
			return false
		}
		s.i++
		path := len(s.p.path)
		if path > 0 {
			s.p.path = append(s.p.path, '.')
		}
		s.p.path = append(s.p.path, key...)
		if !s.value(depth) {
			return false
		}
		s.p.path = s.p.path[:path]
		if !s.space() {
			return false
		}
		c := s.s[s.i]
		s.i++
		if c == '}' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	s.i++
	if !s.space() {
		return false
	}
	if s.s[s.i] == ']' {
		s.i++
		return true
	}
	for {
		if !s.value(depth) || !s.space() {
			return false
		}
		c := s.s[s.i]
		s.i++
		if c == ']' {
			return true
		}
		if c != ',' {
			return false
		}
	}
}

// value reads any value and makes scalars fields under the present path.
func (s *scanner) value(depth int) bool {
	if !s.space() {
		return false
	}
	switch c := s.s[s.i]; {
	case c == '{' || c == '[':
		if depth >= s.p.opts.MaxDepth {
			from := s.i
			if !s.skip() {
				return false
			}
			s.p.member(s.s[from:s.i], event.String)
			return true
		}
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case c == '"':
		text, ok := s.text()
		if ok {
			s.p.member(text, event.String)
		}
		return ok
	case c == 't':
		return s.word("true", event.Bool)
	case c == 'f':
		return s.word("false", event.Bool)
	case c == 'n':
		return s.word("null", event.Null)
	case c == '-' || isDigit(c):
		from := s.i
		if !s.number() {
			return false
		}
		s.p.member(s.s[from:s.i], event.Number)
		return true
	}
	return false
}

func (s *scanner) word(text string, kind event.Kind) bool {
	if !hasPrefix(s.s[s.i:], text) {
		return false
	}
	s.i += len(text)
	if kind == event.Null {
		text = ""
	}
	s.p.member(text, kind)
	return true
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

// member takes a scalar at the present path.
func (p *Parser) member(value string, kind event.Kind) {
	name := view(p.path)
	if rank := timeRank(name); rank > 0 && kind != event.Null && kind != event.Bool {
		if rank > p.jsonTimeRank {
			p.jsonTime, p.jsonTimeRank = value, rank
		}
		if name == "@timestamp" || name == "_time" {
			return // It becomes the event's time.
		}
	}
	if name == "_msg" && !p.ev.Has(event.Message) {
		p.ev.Fields = append(p.ev.Fields, event.Field{ID: event.Message, Value: value})
		return
	}
	p.free(name, value, kind)
}
