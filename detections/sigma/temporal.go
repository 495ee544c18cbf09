package sigma

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxCases bounds the cases that a temporal correlation's expression has
	// once it is written out.
	maxCases = 256
	// maxExpression bounds the expression's text in bytes.
	maxExpression = 16 << 10
)

// Case is one way to satisfy an expression over rules: these match within the
// window and those do not. The numbers are places in Correlation.Rules, in
// ascending order.
type Case struct{ Present, Absent []int }

// readExpression reads "a and (b or not c)" over the names of rules into
// cases. Where the correlation lists no rules they are those of the
// expression, in its order.
func (c *Correlation) readExpression(n *yaml.Node) *Error {
	if len(n.Value) > maxExpression {
		return errorf(n.Line, "the condition is longer than %d bytes", maxExpression)
	}
	p := &ruleExpression{tokens: tokens(n.Value), rules: c.Rules, open: len(c.Rules) == 0, line: n.Line}
	cases, err := p.or(0, false)
	switch {
	case err != nil:
		return err
	case p.at < len(p.tokens):
		return errorf(n.Line, "condition %q: %q is not expected where it stands", n.Value, p.tokens[p.at])
	case len(cases) == 0:
		return errorf(n.Line, "condition %q can never be met", n.Value)
	}
	if c.Type == "temporal_ordered" && !slices.ContainsFunc(cases, func(one Case) bool { return len(one.Present) > 0 }) {
		return errorf(n.Line, "condition %q: a temporal_ordered correlation needs a rule that is not negated, whose match a window begins with", n.Value)
	}
	for i, name := range p.rules {
		if !slices.Contains(p.used, i) {
			return errorf(n.Line, "the condition says nothing of the rule %q", name)
		}
	}
	c.Rules, c.Cases = p.rules, cases
	return nil
}

// tokens cuts at spaces and around brackets.
func tokens(s string) []string {
	return strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s))
}

// ruleExpression reads an expression; not binds closest, then and.
type ruleExpression struct {
	tokens []string
	at     int
	rules  []string
	used   []int
	open   bool // rules are found on the way
	line   int
}

func (p *ruleExpression) is(word string) bool {
	if p.at < len(p.tokens) && strings.EqualFold(p.tokens[p.at], word) {
		p.at++
		return true
	}
	return false
}

// or and the methods below read a part and give its cases, those of its
// opposite where it is negated.
func (p *ruleExpression) or(depth int, negated bool) ([]Case, *Error) {
	return p.joined("or", depth, negated, negated, p.and)
}

func (p *ruleExpression) and(depth int, negated bool) ([]Case, *Error) {
	return p.joined("and", depth, negated, !negated, p.not)
}

func (p *ruleExpression) joined(word string, depth int, negated, all bool, part func(int, bool) ([]Case, *Error)) ([]Case, *Error) {
	cases, err := part(depth, negated)
	for err == nil && p.is(word) {
		var more []Case
		if more, err = part(depth, negated); err == nil {
			if all {
				cases = both(cases, more)
			} else {
				cases = append(cases, more...)
			}
		}
		if len(cases) > maxCases {
			return nil, errorf(p.line, "the condition has more than %d cases once it is written out: divide it into several correlations", maxCases)
		}
	}
	return cases, err
}

func (p *ruleExpression) not(depth int, negated bool) ([]Case, *Error) {
	for p.is("not") {
		negated = !negated
	}
	if p.is("(") {
		if depth > 50 {
			return nil, errorf(p.line, "the condition has brackets more than 50 deep")
		}
		cases, err := p.or(depth+1, negated)
		if err == nil && !p.is(")") {
			err = errorf(p.line, "the condition has a bracket that is not closed")
		}
		return cases, err
	}
	if p.at == len(p.tokens) {
		return nil, errorf(p.line, "the condition ends where a rule is expected")
	}
	name := p.tokens[p.at]
	p.at++
	switch strings.ToLower(name) {
	case "and", "or", ")":
		return nil, errorf(p.line, "the condition has %q where a rule is expected", name)
	}
	i := slices.Index(p.rules, name)
	if i < 0 && !p.open {
		return nil, errorf(p.line, "the condition names the rule %q, which is not among the correlation's rules", name)
	}
	if i < 0 {
		i = len(p.rules)
		p.rules = append(p.rules, name)
	}
	p.used = append(p.used, i)
	if negated {
		return []Case{{Absent: []int{i}}}, nil
	}
	return []Case{{Present: []int{i}}}, nil
}

// both joins each case of one part with each of the other. Those that
// contradict themselves fall away.
func both(a, b []Case) []Case {
	var out []Case
	for _, x := range a {
		for _, y := range b {
			one := Case{Present: union(x.Present, y.Present), Absent: union(x.Absent, y.Absent)}
			if !slices.ContainsFunc(one.Present, func(i int) bool { return slices.Contains(one.Absent, i) }) {
				out = append(out, one)
			}
		}
	}
	return out
}

func union(a, b []int) []int {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
