package sigma

import (
	"strconv"
	"strings"
)

// Bounds of a condition: of the nesting of parentheses and nots, so that a
// hostile one cannot exhaust the stack, and of the nodes of its tree, which
// patterns multiply.
const (
	maxConditionDepth = 200
	maxConditionNodes = 200_000
)

// parseCondition reads one condition over the given selections. Binding, from
// loosest: or, and, not, "x of", parentheses.
func parseCondition(text string, line int, sels []*Selection) (*Expr, *Error) {
	p := &conditionParser{line: line, sels: sels, at: make(map[string]int, len(sels))}
	for i, s := range sels {
		p.at[s.Name] = i
	}
	if err := p.tokenize(text); err != nil {
		return nil, err
	}
	if len(p.toks) == 0 {
		return nil, errorf(line, "condition is empty")
	}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.toks) {
		return nil, errorf(line, "condition: unexpected %q after a complete expression", p.toks[p.pos])
	}
	return e, nil
}

type conditionParser struct {
	toks   []string
	pos    int
	line   int
	sels   []*Selection
	at     map[string]int // by name
	nodes  int
	visits int // of selections by patterns
}

// grow counts nodes of the tree.
func (p *conditionParser) grow(n int) *Error {
	if p.nodes += n; p.nodes > maxConditionNodes {
		return errorf(p.line, "condition has more than %d parts", maxConditionNodes)
	}
	return nil
}

func (p *conditionParser) tokenize(s string) *Error {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')':
			p.toks = append(p.toks, s[i:i+1])
			i++
		case c == '|':
			return errorf(p.line, "condition: aggregations after %q left Sigma with version 2: write a correlation rule", "|")
		default:
			j := i
			for j < len(s) && !strings.ContainsRune(" \t\r\n()|", rune(s[j])) {
				j++
			}
			p.toks = append(p.toks, s[i:j])
			i = j
		}
	}
	return nil
}

func (p *conditionParser) peek() string {
	if p.pos < len(p.toks) {
		return p.toks[p.pos]
	}
	return ""
}

func (p *conditionParser) word(w string) bool {
	if strings.EqualFold(p.peek(), w) {
		p.pos++
		return true
	}
	return false
}

func (p *conditionParser) or(depth int) (*Expr, *Error) {
	return p.chain(depth, "or", ExprOr, p.and)
}

func (p *conditionParser) and(depth int) (*Expr, *Error) {
	return p.chain(depth, "and", ExprAnd, p.not)
}

func (p *conditionParser) chain(depth int, word string, op ExprOp, next func(int) (*Expr, *Error)) (*Expr, *Error) {
	first, err := next(depth)
	if err != nil {
		return nil, err
	}
	args := []*Expr{first}
	for p.word(word) {
		e, err := next(depth)
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	if len(args) == 1 {
		return first, nil
	}
	return &Expr{Op: op, Args: args}, nil
}

func (p *conditionParser) not(depth int) (*Expr, *Error) {
	if depth > maxConditionDepth {
		return nil, errorf(p.line, "condition: nested deeper than %d", maxConditionDepth)
	}
	if p.word("not") {
		e, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return &Expr{Op: ExprNot, Args: []*Expr{e}}, nil
	}
	return p.primary(depth)
}

func (p *conditionParser) primary(depth int) (*Expr, *Error) {
	tok := p.peek()
	switch {
	case tok == "":
		return nil, errorf(p.line, "condition ends where a selection is expected")
	case tok == "(":
		p.pos++
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.peek() != ")" {
			return nil, errorf(p.line, "condition: a closing parenthesis is missing")
		}
		p.pos++
		return e, nil
	case tok == ")":
		return nil, errorf(p.line, "condition: %q where a selection is expected", tok)
	}
	if p.pos+1 < len(p.toks) && strings.EqualFold(p.toks[p.pos+1], "of") {
		return p.quantified(tok)
	}
	switch strings.ToLower(tok) {
	case "and", "or", "not", "of":
		return nil, errorf(p.line, "condition: %q where a selection is expected", tok)
	}
	p.pos++
	if i, ok := p.at[tok]; ok {
		return &Expr{Op: ExprSelection, Selection: i}, p.grow(1)
	}
	if strings.EqualFold(tok, "near") {
		return nil, errorf(p.line, "condition: %q left Sigma with version 2: write a temporal correlation rule", tok)
	}
	if strings.Contains(tok, "*") {
		return nil, errorf(p.line, "condition: the pattern %q needs \"1 of\" or \"all of\" before it", tok)
	}
	return nil, errorf(p.line, "condition names the selection %q, which is not defined", tok)
}

// quantified reads "1 of x*", "all of them", "any of selection*", "2 of x*".
func (p *conditionParser) quantified(quantity string) (*Expr, *Error) {
	p.pos += 2
	target := p.peek()
	if target == "" || target == "(" || target == ")" {
		return nil, errorf(p.line, "condition: \"%s of\" needs a selection pattern or them", quantity)
	}
	p.pos++
	if p.visits += len(p.sels); p.visits > 10*maxConditionNodes {
		return nil, errorf(p.line, "condition asks too often for too many selections")
	}
	var args []*Expr
	for i, s := range p.sels {
		if selected(target, s.Name) {
			args = append(args, &Expr{Op: ExprSelection, Selection: i})
		}
	}
	if len(args) == 0 {
		return nil, errorf(p.line, "condition: no selection fits \"%s of %s\"", quantity, target)
	}
	if err := p.grow(len(args)); err != nil {
		return nil, err
	}
	op, n := ExprOr, 1
	switch strings.ToLower(quantity) {
	case "all":
		op = ExprAnd
	case "1", "any":
	default:
		var err error
		if n, err = strconv.Atoi(quantity); err != nil || n < 1 {
			return nil, errorf(p.line, "condition: %q before \"of\" is neither all, any nor a number", quantity)
		}
		if n > len(args) {
			return nil, errorf(p.line, "condition: \"%s of %s\" can never be true, only %d selections fit", quantity, target, len(args))
		}
		op = ExprAtLeast
	}
	if len(args) == 1 {
		return args[0], nil
	}
	return &Expr{Op: op, N: n, Args: args}, nil
}

// selected tells whether "of target" includes the selection. By convention a
// name with a leading underscore is only included where the pattern has one.
func selected(target, name string) bool {
	if strings.EqualFold(target, "them") {
		return !strings.HasPrefix(name, "_")
	}
	if strings.HasPrefix(name, "_") && !strings.HasPrefix(target, "_") {
		return false
	}
	return starMatch(target, name)
}

// starMatch matches a pattern in which * is any text, exactly and cased.
func starMatch(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
