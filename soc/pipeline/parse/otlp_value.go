package parse

import (
	"strconv"

	"icewatch/soc/event"
)

// otlpAttributes is the state of reading one record's attributes.
type otlpAttributes struct {
	kind       int  // of the span; 0 of a log record
	mappedOnly bool // leave out what the table does not name
	repeated   bool // the value is a further one of the same attribute
}

// maxPlainDepth bounds how deep a value that is kept as JSON may go: somewhat
// more than what collectors/otlp lets in.
const maxPlainDepth = 64

// otlpAttributes makes fields of a list of attributes, [{"key":"…",
// "value":{…}}, …].
func (p *Parser) otlpAttributes(o *otlpAttributes, text string) bool {
	if text == "" {
		return true
	}
	s := scanner{p: p, s: text}
	if !s.open('[') {
		return false
	}
	for {
		more, ok := s.element()
		if !ok || !more {
			return ok && !s.space()
		}
		key, value, ok := s.keyValue()
		if !ok || !p.otlpAttribute(o, key, value, 1) {
			return false
		}
	}
}

// keyValue reads {"key":"…","value":{…}}; an attribute without value is null.
func (s *scanner) keyValue() (key, value string, ok bool) {
	if !s.open('{') {
		return "", "", false
	}
	for {
		name, more, ok := s.member()
		if !ok || !more {
			return key, value, ok
		}
		switch name {
		case "key":
			key, ok = s.scalar()
		case "value":
			value, ok = s.raw()
		default:
			_, ok = s.raw()
		}
		if !ok {
			return "", "", false
		}
	}
}

// otlpAttribute makes fields of one attribute: several of a list of scalars,
// and one for each leaf of an object. What lies too deep is kept as JSON text.
func (p *Parser) otlpAttribute(o *otlpAttributes, key, text string, depth int) bool {
	v, ok := p.anyValue(text)
	switch {
	case !ok:
		return false
	case v.object != "" && depth < p.opts.MaxDepth:
		s := scanner{p: p, s: v.object}
		if !s.open('[') {
			return false
		}
		for {
			more, ok := s.element()
			if !ok || !more {
				return ok
			}
			name, value, ok := s.keyValue()
			if !ok || !p.otlpAttribute(o, key+"."+name, value, depth+1) {
				return false
			}
		}
	case v.list != "":
		return p.otlpList(o, key, text, v.list)
	case v.object != "":
		plain, ok := p.plain(text)
		p.otlpField(o, key, plain, event.String)
		return ok
	}
	p.otlpField(o, key, v.text, v.kind)
	return true
}

// otlpList makes a field of a list: with as many values, where they are
// scalars, else of its JSON text.
func (p *Parser) otlpList(o *otlpAttributes, key, text, list string) bool {
	var values [32]anyValue
	n := 0
	s := scanner{p: p, s: list}
	if !s.open('[') {
		return false
	}
	for {
		more, ok := s.element()
		if !ok {
			return false
		}
		if !more {
			break
		}
		one, ok := s.raw()
		if !ok {
			return false
		}
		v, ok := p.anyValue(one)
		if !ok {
			return false
		}
		if n == len(values) || v.list != "" || v.object != "" {
			plain, ok := p.plain(text)
			p.otlpField(o, key, plain, event.String)
			return ok
		}
		values[n] = v
		n++
	}
	if n == 0 {
		p.otlpField(o, key, "", event.Null)
	}
	for i := range values[:n] {
		o.repeated = i > 0
		p.otlpField(o, key, values[i].text, values[i].kind)
	}
	o.repeated = false
	return true
}

// plain is a value of OTLP's JSON form as plain JSON.
func (p *Parser) plain(text string) (string, bool) {
	b, ok := p.appendPlain(p.arena.grab(len(text)), text, 1)
	return p.arena.keep(b), ok
}

// anyValue is one value of OTLP, of which at most one member is set.
type anyValue struct {
	text   string
	kind   event.Kind
	list   string // JSON text of a list of values
	object string // JSON text of a list of keys and values
}

// anyValue reads {"stringValue":"…"} and its like.
func (p *Parser) anyValue(text string) (v anyValue, ok bool) {
	v.kind = event.Null
	if text == "" {
		return v, true
	}
	s := scanner{p: p, s: text}
	if !s.open('{') {
		return v, false
	}
	for {
		key, more, ok := s.member()
		if !ok || !more {
			return v, ok && !s.space()
		}
		switch key {
		case "stringValue", "bytesValue":
			v.text, ok = s.scalar()
			v.kind = event.String
		case "intValue":
			v.text, ok = s.scalar()
			v.kind = event.Number
			ok = ok && wholeNumber(v.text) // of null it is none
		case "doubleValue":
			ok = s.space()
			quoted := ok && s.s[s.i] == '"' // NaN and Infinity are
			v.text, ok = s.scalar()
			switch v.kind = event.Number; {
			case quoted:
				v.kind = event.String
			case v.text == "":
				v.kind = event.Null
			default:
				ok = ok && v.text != "true" && v.text != "false"
			}
		case "boolValue":
			v.text, ok = s.scalar()
			v.kind = event.Bool
			ok = ok && (v.text == "true" || v.text == "false")
		case "arrayValue":
			ok = s.values(&v.list)
		case "kvlistValue":
			ok = s.values(&v.object)
		default:
			_, ok = s.raw()
		}
		if !ok {
			return v, false
		}
	}
}

// values reads {"values":[…]} and gives the list, which may be empty.
func (s *scanner) values(to *string) bool {
	raw, ok := s.raw()
	if !ok {
		return false
	}
	if *to, ok = s.p.otlpMember(raw, "values"); *to == "" {
		*to = "[]"
	}
	return ok
}

// wholeNumber tells whether s is a whole number that JSON can hold as it is.
func wholeNumber(s string) bool {
	if hasPrefix(s, "-") {
		s = s[1:]
	}
	return isDigits(s) && (len(s) == 1 || s[0] != '0')
}

// appendPlain writes a value of OTLP's JSON form as plain JSON.
func (p *Parser) appendPlain(b []byte, text string, depth int) ([]byte, bool) {
	v, ok := p.anyValue(text)
	if !ok || depth > maxPlainDepth {
		return b, false
	}
	list, open, end := v.list, byte('['), byte(']')
	if v.object != "" {
		list, open, end = v.object, '{', '}'
	}
	if list == "" {
		switch v.kind {
		case event.String:
			return event.AppendJSON(b, v.text), true
		case event.Null:
			return append(b, "null"...), true
		}
		return append(b, v.text...), true
	}
	b = append(b, open)
	s := scanner{p: p, s: list}
	if !s.open('[') {
		return b, false
	}
	for first := true; ; first = false {
		more, ok := s.element()
		if !ok {
			return b, false
		}
		if !more {
			return append(b, end), true
		}
		if !first {
			b = append(b, ',')
		}
		var value string
		if open == '{' {
			var key string
			if key, value, ok = s.keyValue(); !ok {
				return b, false
			}
			b = append(event.AppendJSON(b, key), ':')
		} else if value, ok = s.raw(); !ok {
			return b, false
		}
		if b, ok = p.appendPlain(b, value, depth+1); !ok {
			return b, false
		}
	}
}

// open passes an opening bracket.
func (s *scanner) open(bracket byte) bool {
	if !s.space() || s.s[s.i] != bracket {
		return false
	}
	s.i++
	return true
}

// member reads the name of the next member up to its value; more is false at
// the object's end, which it passes.
func (s *scanner) member() (key string, more, ok bool) {
	more, ok = s.item('}')
	if !ok || !more {
		return "", false, ok
	}
	if s.s[s.i] != '"' {
		return "", false, false
	}
	if key, ok = s.text(); !ok || !s.space() || s.s[s.i] != ':' {
		return "", false, false
	}
	s.i++
	return key, true, true
}

// element goes to the next element of an array; more is false at its end,
// which it passes.
func (s *scanner) element() (more, ok bool) { return s.item(']') }

// item passes the comma between two items, or the bracket behind the last.
func (s *scanner) item(end byte) (more, ok bool) {
	if !s.space() {
		return false, false
	}
	before := s.i - 1
	for before > 0 && (s.s[before] == ' ' || s.s[before] == '\t' || s.s[before] == '\n' || s.s[before] == '\r') {
		before--
	}
	first := s.s[before] == end-2 // '[' and ']', '{' and '}' are two apart
	switch s.s[s.i] {
	case end:
		s.i++
		return false, true
	case ',':
		if first {
			return false, false
		}
		s.i++
		return true, s.space()
	}
	return true, first
}

// raw passes any value and returns its text.
func (s *scanner) raw() (string, bool) {
	if !s.space() {
		return "", false
	}
	from := s.i
	switch c := s.s[s.i]; {
	case c == '{' || c == '[':
		if !s.skip() {
			return "", false
		}
	case c == '"':
		for s.i++; s.i < len(s.s) && s.s[s.i] != '"'; s.i++ {
			if s.s[s.i] == '\\' {
				s.i++
			}
		}
		if s.i++; s.i > len(s.s) {
			return "", false
		}
	default:
		if _, ok := s.literal(); !ok {
			return "", false
		}
	}
	return s.s[from:s.i], true
}

// scalar reads a string, or the text of a number or a word.
func (s *scanner) scalar() (string, bool) {
	if !s.space() {
		return "", false
	}
	if s.s[s.i] == '"' {
		return s.text()
	}
	return s.literal()
}

// literal reads a number, true, false or null, which is "".
func (s *scanner) literal() (string, bool) {
	from := s.i
	for _, word := range [...]string{"true", "false", "null"} {
		if hasPrefix(s.s[s.i:], word) {
			s.i += len(word)
			if word == "null" {
				return "", true
			}
			return word, true
		}
	}
	if c := s.s[s.i]; c != '-' && !isDigit(c) || !s.number() {
		return "", false
	}
	return s.s[from:s.i], true
}

// unsigned reads a number of 64 bits, as JSON's string or number.
func (s *scanner) unsigned() (uint64, bool) {
	text, ok := s.scalar()
	if !ok || text == "" {
		return 0, ok
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// enum reads the number of an enumeration; one that is out of all bounds is 0.
func (s *scanner) enum() (int, bool) {
	text, ok := s.scalar()
	return max(small(text), 0), ok
}
