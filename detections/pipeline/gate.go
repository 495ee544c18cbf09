package pipeline

import (
	"icewatch/detections/sigma"
)

// itemAt is what the conditions on detection items look at.
type itemAt struct {
	run  *run
	item *sigma.Item
}

// fieldAt is what the conditions on field names look at. item is nil for a
// name that is looked at by itself, as field name transformations do.
type fieldAt struct {
	run  *run
	name string
	item *sigma.Item
}

// gate is the conditions of one kind of a step. Without any it is open.
type gate[T any] struct {
	test func(T) bool
}

func (g *gate[T]) open(t T) bool { return g.test == nil || g.test(t) }

// link joins conditions as the keys *_cond_op and *_cond_not say.
func link[T any](conds []func(T) bool, any, not bool) gate[T] {
	if len(conds) == 0 {
		return gate[T]{}
	}
	return gate[T]{func(t T) bool {
		for _, c := range conds {
			if c(t) == any {
				return any != not
			}
		}
		return any == not
	}}
}

// expression joins named conditions by an expression of and, or, not and
// parentheses, as the keys *_cond_expr hold it.
func expression[T any](text string, conds map[string]func(T) bool, line int) (func(T) bool, *sigma.Error) {
	p := &exprParser[T]{conds: conds, line: line, used: map[string]bool{}}
	p.tokens(text)
	e, err := p.or(0)
	if err == nil && len(p.toks) > 0 {
		err = errorf(line, "condition expression %q: %q does not belong there", text, p.toks[0])
	}
	if err != nil {
		return nil, err
	}
	for name := range conds {
		if !p.used[name] {
			return nil, errorf(line, "condition expression %q does not use the condition %q", text, name)
		}
	}
	return e, nil
}

type exprParser[T any] struct {
	toks  []string
	conds map[string]func(T) bool
	used  map[string]bool
	line  int
}

func (p *exprParser[T]) tokens(text string) {
	word := ""
	flush := func() {
		if word != "" {
			p.toks = append(p.toks, word)
			word = ""
		}
	}
	for _, c := range text {
		switch c {
		case ' ', '\t', '\n', '\r':
			flush()
		case '(', ')':
			flush()
			p.toks = append(p.toks, string(c))
		default:
			word += string(c)
		}
	}
	flush()
}

func (p *exprParser[T]) next(word string) bool {
	if len(p.toks) > 0 && p.toks[0] == word {
		p.toks = p.toks[1:]
		return true
	}
	return false
}

func (p *exprParser[T]) or(depth int) (func(T) bool, *sigma.Error) {
	return p.chain(depth, "or", true, p.and)
}

func (p *exprParser[T]) and(depth int) (func(T) bool, *sigma.Error) {
	return p.chain(depth, "and", false, p.not)
}

func (p *exprParser[T]) chain(depth int, word string, any bool, operand func(int) (func(T) bool, *sigma.Error)) (func(T) bool, *sigma.Error) {
	first, err := operand(depth)
	if err != nil {
		return nil, err
	}
	list := []func(T) bool{first}
	for p.next(word) {
		e, err := operand(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if len(list) == 1 {
		return first, nil
	}
	g := link(list, any, false)
	return g.test, nil
}

func (p *exprParser[T]) not(depth int) (func(T) bool, *sigma.Error) {
	switch {
	case depth > maxNesting:
		return nil, errorf(p.line, "condition expression: nested deeper than %d", maxNesting)
	case p.next("not"):
		e, err := p.not(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(t T) bool { return !e(t) }, nil
	case p.next("("):
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if !p.next(")") {
			return nil, errorf(p.line, "condition expression: a closing parenthesis is missing")
		}
		return e, nil
	case len(p.toks) == 0:
		return nil, errorf(p.line, "condition expression ends where a condition is expected")
	}
	name := p.toks[0]
	c, ok := p.conds[name]
	if !ok {
		return nil, errorf(p.line, "condition expression names %q, which is not among the conditions", name)
	}
	p.toks = p.toks[1:]
	p.used[name] = true
	return c, nil
}
