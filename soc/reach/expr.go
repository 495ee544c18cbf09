package reach

import (
	"strings"
)

// A fact is what a condition looks at.
type fact string

// The facts, by the names that the language has for them.
const (
	organisation fact = "organisation" // the id of a unit
	region       fact = "region"
	industry     fact = "industry"
	tenant       fact = "tenant" // the slug
	label        fact = "label"  // any of the row's labels
)

var facts = []fact{organisation, region, industry, tenant, label}

type operator uint8

const (
	opAnd operator = iota + 1
	opOr
	opNot
	opIn       // the fact is one of the values; written = where there is one
	opUnder    // the organisation is one of the values or lies below one
	opContains // the fact's text holds one of the values
	opExists
)

// node is one part of an expression: a condition on one fact, or and, or, not
// over kids. Nodes are not changed once they are made.
type node struct {
	op     operator
	kids   []*node
	fact   fact
	values []string
}

// Expr is an expression of the language, as Parse read it. The zero value is
// no expression: Compile makes nothing of it.
type Expr struct{ root *node }

// String writes the expression in its canonical form, which Parse reads as the
// same expression: lower-case words, quoted values, no bracket too many.
func (e Expr) String() string {
	if e.root == nil {
		return ""
	}
	var b strings.Builder
	e.root.write(&b, 0)
	return b.String()
}

// write renders n inside of an operator; brackets are needed where that binds
// more tightly.
func (n *node) write(b *strings.Builder, around operator) {
	switch n.op {
	case opAnd, opOr:
		word := " and "
		if n.op == opOr {
			word = " or "
		}
		brackets := around == opNot || around == opAnd && n.op == opOr
		if brackets {
			b.WriteByte('(')
		}
		for i, k := range n.kids {
			if i > 0 {
				b.WriteString(word)
			}
			k.write(b, n.op)
		}
		if brackets {
			b.WriteByte(')')
		}
	case opNot:
		if k := n.kids[0]; k.op == opAnd || k.op == opOr {
			b.WriteString("not ")
			k.write(b, opNot)
		} else {
			k.condition(b, true)
		}
	default:
		n.condition(b, false)
	}
}

func (n *node) condition(b *strings.Builder, negated bool) {
	b.WriteString(string(n.fact))
	single := n.op == opIn && len(n.values) == 1
	switch {
	case single && negated:
		b.WriteString(" != ")
	case single:
		b.WriteString(" = ")
	default:
		if negated {
			b.WriteString(" not")
		}
		b.WriteString(map[operator]string{opIn: " in ", opUnder: " under ", opContains: " contains ", opExists: " exists"}[n.op])
	}
	if n.op == opExists {
		return
	}
	list := len(n.values) > 1
	if list {
		b.WriteByte('(')
	}
	for i, v := range n.values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('"')
		for _, r := range v {
			if r == '"' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
		b.WriteByte('"')
	}
	if list {
		b.WriteByte(')')
	}
}

// each calls f for every condition.
func (n *node) each(f func(*node)) {
	if n == nil {
		return
	}
	if n.op > opNot {
		f(n)
	}
	for _, k := range n.kids {
		k.each(f)
	}
}
