package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseFilter reads a filter. An error is a *SyntaxError.
func ParseFilter(text string) (*Expr, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	e, err := p.or(0)
	if err == nil && !p.end() {
		err = p.fail("%s: want and, or, or the end", p.here())
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// ParsePath reads a path. An error is a *SyntaxError.
func ParsePath(text string) (Path, error) {
	p, err := newParser(text)
	if err != nil {
		return Path{}, err
	}
	var out Path
	if out.From, err = p.node(0); err != nil {
		return Path{}, err
	}
	if out.Steps, err = p.steps(0); err != nil {
		return Path{}, err
	}
	if !p.end() {
		return Path{}, p.fail("%s: want a step such as -runs_on-> host, or the end", p.here())
	}
	return out, nil
}

type parser struct {
	text       string
	at         int // byte
	conditions int
}

func newParser(text string) (*parser, error) {
	switch {
	case len(text) > maxText:
		return nil, &SyntaxError{1, fmt.Sprintf("the text is longer than %d bytes", maxText)}
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return nil, &SyntaxError{1, "the text is no valid UTF-8, or holds a NUL"}
	}
	return &parser{text: text}, nil
}

func (p *parser) fail(format string, args ...any) error { return p.failAt(p.at, format, args...) }

func (p *parser) failAt(at int, format string, args ...any) error {
	return &SyntaxError{utf8.RuneCountInString(p.text[:at]) + 1, fmt.Sprintf(format, args...)}
}

// pos is the place of the next thing, as errors tell it.
func (p *parser) pos() int {
	p.space()
	return utf8.RuneCountInString(p.text[:p.at]) + 1
}

func (p *parser) space() {
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(r) {
			return
		}
		p.at += n
	}
}

func (p *parser) end() bool {
	p.space()
	return p.at == len(p.text)
}

// here says what stands at the place, for errors.
func (p *parser) here() string {
	if p.end() {
		return "the text ends"
	}
	rest := []rune(p.text[p.at:])
	return fmt.Sprintf("%q", string(rest[:min(len(rest), 12)]))
}

// sign takes a sign that stands at the place.
func (p *parser) sign(s string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], s) {
		return false
	}
	p.at += len(s)
	return true
}

func nameRune(r rune) bool {
	return r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// keyword takes a word of the language, in any case, that stands at the place.
func (p *parser) keyword(word string) bool {
	p.space()
	rest := p.text[p.at:]
	if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(rest[len(word):]); len(rest) > len(word) && (nameRune(r) || r == '.') {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) or(depth int) (*Expr, error)  { return p.list(depth, Or, p.and) }
func (p *parser) and(depth int) (*Expr, error) { return p.list(depth, And, p.not) }

func (p *parser) list(depth int, word string, next func(int) (*Expr, error)) (*Expr, error) {
	pos := p.pos()
	first, err := next(depth)
	if err != nil {
		return nil, err
	}
	kids := []*Expr{first}
	for p.keyword(word) {
		k, err := next(depth)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k)
	}
	if len(kids) == 1 {
		return first, nil
	}
	return &Expr{Kind: word, Kids: kids, Pos: pos}, nil
}

func (p *parser) not(depth int) (*Expr, error) {
	if depth > maxDepth {
		return nil, p.fail("brackets are nested deeper than %d", maxDepth)
	}
	pos := p.pos()
	switch {
	case p.keyword(Not):
		k, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return &Expr{Kind: Not, Kids: []*Expr{k}, Pos: pos}, nil
	case p.sign("("):
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.sign(")") {
			return nil, p.fail("%s: want )", p.here())
		}
		return e, nil
	case p.keyword(Has):
		steps, err := p.steps(depth + 1)
		if err != nil {
			return nil, err
		}
		if len(steps) == 0 {
			return nil, p.fail("%s: want a step after has, such as -runs_on-> host", p.here())
		}
		return &Expr{Kind: Has, Steps: steps, Pos: pos}, nil
	}
	return p.condition(pos)
}

// field takes a name, which may hold '.' and '-'.
func (p *parser) field() string {
	p.space()
	start := p.at
	for p.at < len(p.text) {
		r := rune(p.text[p.at])
		if !nameRune(r) && (p.at == start || r != '.' && r != '-') {
			break
		}
		p.at++
	}
	return p.text[start:p.at]
}

func (p *parser) condition(pos int) (*Expr, error) {
	if p.conditions++; p.conditions > maxConditions {
		return nil, p.fail("more than %d conditions", maxConditions)
	}
	start := p.at
	name := p.field()
	if name == "" {
		return nil, p.fail("%s: want a condition such as name = \"web-1\"", p.here())
	}
	switch strings.ToLower(name) {
	case And, Or, In, Exists:
		return nil, p.failAt(start, "%q: want a condition such as name = \"web-1\"", name)
	}
	e := &Expr{Kind: Condition, Field: name, Pos: pos}
	for _, of := range []string{"system", "organisation"} {
		if rest, ok := strings.CutPrefix(name, of+"."); ok {
			if rest == "" {
				return nil, p.fail("%s: want a field after %s.", p.here(), of)
			}
			e.Of, e.Field = of, rest
		}
	}
	if p.keyword(Exists) {
		e.Op = Exists
		return e, nil
	}
	negated := p.keyword(Not)
	if p.keyword(In) {
		if err := p.values(e); err != nil {
			return nil, err
		}
		if negated {
			return &Expr{Kind: Not, Kids: []*Expr{e}, Pos: pos}, nil
		}
		return e, nil
	}
	if negated {
		return nil, p.fail("%s: want in after not", p.here())
	}
	// The longer signs first.
	for _, op := range []string{NotEqual, Prefix, LessEqual, GreaterEqual, Equal, Contains, Less, Greater} {
		if p.sign(op) {
			e.Op = op
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			e.Values = []string{v}
			return e, nil
		}
	}
	return nil, p.fail("%s: want one of =, !=, ~, ^=, <, <=, >, >=, in or exists after %s", p.here(), name)
}

func (p *parser) values(e *Expr) error {
	e.Op = In
	if !p.sign("(") {
		return p.fail("%s: want ( after in", p.here())
	}
	for {
		v, err := p.value()
		if err != nil {
			return err
		}
		if e.Values = append(e.Values, v); len(e.Values) > maxAny {
			return p.fail("more than %d values", maxAny)
		}
		switch {
		case p.sign(","):
		case p.sign(")"):
			return nil
		default:
			return p.fail("%s: want , or )", p.here())
		}
	}
}

// value takes a quoted text, or a bare one without spaces and brackets.
func (p *parser) value() (string, error) {
	p.space()
	if p.at == len(p.text) {
		return "", p.fail("the text ends: want a value")
	}
	if q := p.text[p.at]; q == '"' || q == '\'' {
		return p.quoted(q)
	}
	start := p.at
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if unicode.IsSpace(r) || strings.ContainsRune(`()[],"'<>=!~`, r) {
			break
		}
		p.at += n
	}
	if p.at == start {
		return "", p.fail("%s: want a value", p.here())
	}
	return p.text[start:p.at], nil
}

func (p *parser) quoted(q byte) (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case q:
			p.at++
			return b.String(), nil
		case '\\':
			if p.at++; p.at < len(p.text) {
				b.WriteByte(p.text[p.at])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", p.failAt(start, "the quote is not closed")
}

// names takes words joined by '|'.
func (p *parser) names() ([]string, error) {
	var out []string
	for {
		p.space()
		start := p.at
		for p.at < len(p.text) && nameRune(rune(p.text[p.at])) {
			p.at++
		}
		switch {
		case p.at == start && len(out) == 0:
			return nil, nil
		case p.at == start:
			return nil, p.fail("%s: want a name after |", p.here())
		}
		if name := p.text[start:p.at]; !slices.Contains(out, name) {
			out = append(out, name)
		}
		if !p.sign("|") {
			return out, nil
		}
	}
}

func (p *parser) node(depth int) (Node, error) {
	var n Node
	var err error
	any := p.sign("*")
	if !any {
		if n.Classes, err = p.names(); err != nil {
			return Node{}, err
		}
	}
	if p.sign("[") {
		if n.Filter, err = p.or(depth + 1); err != nil {
			return Node{}, err
		}
		if !p.sign("]") {
			return Node{}, p.fail("%s: want ]", p.here())
		}
	}
	if len(n.Classes) == 0 && n.Filter == nil && !any {
		return Node{}, p.fail("%s: want a class, a filter in brackets, or *", p.here())
	}
	return n, nil
}

func (p *parser) steps(depth int) ([]Step, error) {
	var out []Step
	for {
		s := Step{Min: 1, Max: 1, Pos: p.pos()}
		back := p.sign("<-")
		if !back && !p.sign("-") {
			return out, nil
		}
		if len(out) == maxSteps {
			return nil, p.fail("more than %d steps", maxSteps)
		}
		var err error
		if s.Types, err = p.names(); err != nil {
			return nil, err
		}
		if p.sign("*") {
			if err := p.repeat(&s); err != nil {
				return nil, err
			}
		}
		switch {
		case p.sign("->"):
			if back {
				return nil, p.fail("a step goes one way: want <-…- , -…-> or -…-")
			}
			s.Forward = true
		case p.sign("-"):
			s.Forward, s.Backward = !back, true
		default:
			return nil, p.fail("%s: want -> or - at the end of a step", p.here())
		}
		if s.To, err = p.node(depth); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
}

// repeat takes how many relations a step takes: n, or n..m.
func (p *parser) repeat(s *Step) error {
	number := func() (int, error) {
		p.space()
		start := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		n, err := strconv.Atoi(p.text[start:p.at])
		if err != nil || n < 1 || n > maxRepeat {
			return 0, p.failAt(start, "%q: want a number of relations from 1 to %d", p.text[start:p.at], maxRepeat)
		}
		return n, nil
	}
	var err error
	if s.Min, err = number(); err != nil {
		return err
	}
	s.Max = s.Min
	if p.sign("..") {
		if s.Max, err = number(); err != nil {
			return err
		}
		if s.Max < s.Min {
			return p.fail("%d..%d: want the smaller number first", s.Min, s.Max)
		}
	}
	return nil
}
