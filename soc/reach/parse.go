package reach

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an expression.
const (
	MaxText  = 16 << 10 // bytes
	maxDepth = 50       // brackets and negations inside one another
)

// SyntaxError says what is wrong with an expression, where, and what would be
// right.
type SyntaxError struct {
	Text     string
	Position int // characters before the fault
	Reason   string
}

// Error names the place and the fault.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("data scope, at character %d: %s", e.Position+1, e.Reason)
}

type tokenKind uint8

const (
	end    tokenKind = iota
	word             // a bare word, which may be a word of the language
	quoted           // a value
	sign             // ( ) , = !=
)

type token struct {
	kind tokenKind
	text string
	at   int // byte offset
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case quoted:
		return fmt.Sprintf("the value %q", t.text)
	}
	return fmt.Sprintf("%q", t.text)
}

// is tells whether the token is this word of the language, in any case.
func (t token) is(w string) bool { return t.kind == word && strings.EqualFold(t.text, w) }

func (t token) sign(s string) bool { return t.kind == sign && t.text == s }

// words are the words of the language, which a value must be quoted to be.
var words = []string{"and", "or", "not", "in", "under", "contains", "exists"}

type parser struct {
	text  string
	next  int // where the next token begins
	tok   token
	depth int
}

// Parse reads an expression. Every error is a *SyntaxError.
func Parse(text string) (Expr, error) {
	p := &parser{text: text}
	root, err := p.expression()
	if err != nil {
		return Expr{}, err
	}
	return Expr{root}, nil
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &SyntaxError{Text: p.text, Position: utf8.RuneCountInString(p.text[:at]), Reason: fmt.Sprintf(format, args...)}
}

func (p *parser) expression() (*node, error) {
	if len(p.text) > MaxText {
		return nil, &SyntaxError{Text: p.text[:64], Reason: fmt.Sprintf("the expression has %d bytes; %d are the most", len(p.text), MaxText)}
	}
	if !utf8.ValidString(p.text) {
		return nil, &SyntaxError{Text: strings.ToValidUTF8(p.text, "�"), Reason: "the expression is not valid UTF-8"}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.fail(p.tok.at, "want and, or, or the end, not %s", p.tok)
	}
	return n, nil
}

func (p *parser) or() (*node, error)  { return p.chain("or", opOr, p.and) }
func (p *parser) and() (*node, error) { return p.chain("and", opAnd, p.not) }

// chain reads parts with one operator between them, and makes one node of them
// all, so that the depth of a node is that of its brackets.
func (p *parser) chain(operatorWord string, op operator, part func() (*node, error)) (*node, error) {
	var kids []*node
	for {
		k, err := part()
		if err != nil {
			return nil, err
		}
		if k.op == op {
			kids = append(kids, k.kids...)
		} else {
			kids = append(kids, k)
		}
		if !p.tok.is(operatorWord) {
			break
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if len(kids) == 1 {
		return kids[0], nil
	}
	return &node{op: op, kids: kids}, nil
}

func (p *parser) not() (*node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, p.fail(p.tok.at, "brackets and negations lie more than %d deep", maxDepth)
	}
	at := p.tok.at
	switch {
	case p.tok.is("not"):
		if err := p.advance(); err != nil {
			return nil, err
		}
		k, err := p.not()
		if err != nil {
			return nil, err
		}
		return negate(k), nil
	case p.tok.sign("("):
		if err := p.advance(); err != nil {
			return nil, err
		}
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.tok.sign(")") {
			return nil, p.fail(p.tok.at, "want ) for the ( at character %d, not %s", utf8.RuneCountInString(p.text[:at])+1, p.tok)
		}
		return n, p.advance()
	}
	return p.condition()
}

func (p *parser) condition() (*node, error) {
	f := fact(strings.ToLower(p.tok.text))
	if p.tok.kind != word || !slices.Contains(facts, f) {
		return nil, p.fail(p.tok.at, "want a condition that begins with organisation, region, industry, tenant or label, not %s", p.tok)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, negated := &node{fact: f}, false
	if p.tok.is("not") {
		negated = true
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	t := p.tok
	switch {
	case !negated && (t.sign("=") || t.sign("!=")):
		n.op, negated = opIn, t.text == "!="
	case t.is("in"):
		n.op = opIn
	case t.is("contains"):
		n.op = opContains
	case t.is("exists"):
		n.op = opExists
	case t.is("under") && f == organisation:
		n.op = opUnder
	case t.is("under"):
		return nil, p.fail(t.at, "only an organisation lies under another, a %s does not: want =, in, contains or exists", f)
	case negated:
		return nil, p.fail(t.at, "want in, under, contains or exists after %s not, not %s", f, t)
	default:
		return nil, p.fail(t.at, "want =, !=, in, not in, under, contains or exists after %s, not %s", f, t)
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if n.op != opExists {
		var err error
		switch {
		case !p.tok.sign("(") && t.is("in"):
			err = p.fail(p.tok.at, "want a list of values in brackets after in, as in (\"a\", \"b\"), not %s", p.tok)
		case p.tok.sign("(") && t.kind == sign:
			err = p.fail(p.tok.at, "want one value after %s; a list follows in", t.text)
		case p.tok.sign("("):
			err = p.list(n)
		default:
			err = p.value(n)
		}
		if err != nil {
			return nil, err
		}
	}
	if negated {
		return negate(n), nil
	}
	return n, nil
}

// negate leaves no negation of a negation.
func negate(n *node) *node {
	if n.op == opNot {
		return n.kids[0]
	}
	return &node{op: opNot, kids: []*node{n}}
}

// list reads values in brackets.
func (p *parser) list(n *node) error {
	for {
		if err := p.advance(); err != nil {
			return err
		}
		if err := p.value(n); err != nil {
			return err
		}
		if p.tok.sign(")") {
			return p.advance()
		}
		if !p.tok.sign(",") {
			return p.fail(p.tok.at, "want , or ) after a value of the list, not %s", p.tok)
		}
	}
}

func (p *parser) value(n *node) error {
	t := p.tok
	switch {
	case t.kind == word && slices.ContainsFunc(words, t.is):
		return p.fail(t.at, "want a value, not the word %s; quote it if it is meant: %q", t.text, t.text)
	case t.kind != word && t.kind != quoted:
		return p.fail(t.at, "want a value, not %s", t)
	case t.text == "":
		return p.fail(t.at, "the value is empty; write %s not exists for what has none", n.fact)
	}
	if !slices.Contains(n.values, t.text) {
		n.values = append(n.values, t.text)
	}
	return p.advance()
}

// halfWidth are the signs of a Chinese keyboard that mean the same.
var halfWidth = map[rune]string{'(': "(", ')': ")", ',': ",", '=': "=", '（': "(", '）': ")", '，': ",", '、': ",", '＝': "="}

// advance reads the next token.
func (p *parser) advance() error {
	rest := strings.TrimLeftFunc(p.text[p.next:], unicode.IsSpace)
	at := len(p.text) - len(rest)
	r, size := utf8.DecodeRuneInString(rest)
	switch {
	case rest == "":
		p.tok, p.next = token{end, "", at}, at
		return nil
	case strings.HasPrefix(rest, "!="):
		p.tok, p.next = token{sign, "!=", at}, at+2
		return nil
	case halfWidth[r] != "":
		p.tok, p.next = token{sign, halfWidth[r], at}, at+size
		return nil
	case r == '"' || r == '\'' || r == '“':
		return p.quoted(at, size)
	case !isBare(r):
		return p.fail(at, "%q has no meaning here; values with other signs than letters, digits and _ - . : / @ are quoted", r)
	}
	length := strings.IndexFunc(rest, func(r rune) bool { return !isBare(r) })
	if length < 0 {
		length = len(rest)
	}
	p.tok, p.next = token{word, rest[:length], at}, at+length
	return nil
}

func isBare(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("_-.:/@", r)
}

// quoted reads a value between quotation marks; a backslash takes the sign
// behind it as it is.
func (p *parser) quoted(at, size int) error {
	closing := rune(p.text[at])
	if size > 1 {
		closing = '”'
	}
	var b strings.Builder
	escaped := false
	for i, r := range p.text[at+size:] {
		switch {
		case unicode.IsControl(r):
			return p.fail(at+size+i, "the value has the control character %U", r)
		case escaped:
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == closing:
			p.tok, p.next = token{quoted, b.String(), at}, at+size+i+utf8.RuneLen(r)
			return nil
		default:
			b.WriteRune(r)
		}
	}
	return p.fail(at, "the quotation mark is not closed: want a second %c", closing)
}
