// Package query reads the CMDB's two small languages: filters, which say what
// items must be, and paths, which say how items must hang together. It knows
// nothing of tables; see docs/cmdb.md for the languages with examples.
//
//	class = host and (criticality >= 4 or label = "核心") and has -runs_on-> host[os ~ kylin]
//	business_system[cii = true] <-belongs_to_system- application -runs_on*1..3-> host
package query

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of one text.
const (
	maxText       = 8192 // bytes
	maxDepth      = 32
	maxConditions = 200
	maxSteps      = 8
	maxRepeat     = 16
	maxAny        = 1000 // values of one "in"
)

// The operators of conditions.
const (
	Equal        = "="
	NotEqual     = "!="
	Contains     = "~"
	Prefix       = "^="
	Less         = "<"
	LessEqual    = "<="
	Greater      = ">"
	GreaterEqual = ">="
	In           = "in"
	Exists       = "exists"
)

// The kinds of expressions.
const (
	And       = "and"
	Or        = "or"
	Not       = "not"
	Condition = "condition"
	Has       = "has"
)

// Expr is a filter, or a part of one.
type Expr struct {
	Kind string
	Kids []*Expr // of And, Or and Not

	// Of a Condition. Of is "system" or "organisation" where it looks at what
	// the item belongs to, else "".
	Of, Field, Op string
	Values        []string // several of In, none of Exists

	Steps []Step // of Has

	Pos int // character in the text, from 1 on
}

// Step is one step of a path: along relations to other items.
type Step struct {
	Types    []string // relation types; all where empty
	Forward  bool     // along the relations
	Backward bool     // against them
	Min, Max int      // how many relations it takes
	To       Node
	Pos      int
}

// Node says which items a path may come to.
type Node struct {
	Classes []string // all where empty
	Filter  *Expr    // nil is all
}

// Path is a path query.
type Path struct {
	From  Node
	Steps []Step
}

// SyntaxError says where a text cannot be understood, and why.
type SyntaxError struct {
	Position int    `json:"position"` // character, from 1 on
	Reason   string `json:"reason"`
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("at character %d: %s", e.Position, e.Reason)
}

// String writes the filter in its canonical form.
func (e *Expr) String() string {
	var b strings.Builder
	e.write(&b, "")
	return b.String()
}

func (e *Expr) write(b *strings.Builder, around string) {
	switch e.Kind {
	case And, Or:
		brackets := around == Not || around == And && e.Kind == Or || around == e.Kind
		if brackets {
			b.WriteByte('(')
		}
		for i, k := range e.Kids {
			if i > 0 {
				b.WriteString(" " + e.Kind + " ")
			}
			k.write(b, e.Kind)
		}
		if brackets {
			b.WriteByte(')')
		}
	case Not:
		b.WriteString("not ")
		e.Kids[0].write(b, Not)
	case Has:
		b.WriteString("has")
		writeSteps(b, e.Steps)
	case Condition:
		if e.Of != "" {
			b.WriteString(e.Of + ".")
		}
		b.WriteString(e.Field + " " + e.Op)
		if e.Op == Exists {
			return
		}
		b.WriteByte(' ')
		if e.Op == In {
			b.WriteByte('(')
		}
		for i, v := range e.Values {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(Quote(v))
		}
		if e.Op == In {
			b.WriteByte(')')
		}
	}
}

// String writes the path in its canonical form.
func (p Path) String() string {
	var b strings.Builder
	p.From.write(&b)
	writeSteps(&b, p.Steps)
	return b.String()
}

func (n Node) write(b *strings.Builder) {
	if len(n.Classes) == 0 && n.Filter == nil {
		b.WriteByte('*')
	}
	b.WriteString(strings.Join(n.Classes, "|"))
	if n.Filter != nil {
		b.WriteByte('[')
		n.Filter.write(b, "")
		b.WriteByte(']')
	}
}

func writeSteps(b *strings.Builder, steps []Step) {
	for _, s := range steps {
		b.WriteString(" ")
		if s.Backward && !s.Forward {
			b.WriteByte('<')
		}
		b.WriteString("-" + strings.Join(s.Types, "|"))
		if s.Min != 1 || s.Max != 1 {
			b.WriteString("*" + strconv.Itoa(s.Min) + ".." + strconv.Itoa(s.Max))
		}
		b.WriteByte('-')
		if s.Forward && !s.Backward {
			b.WriteByte('>')
		}
		b.WriteByte(' ')
		s.To.write(b)
	}
}

// Quote writes a value so that it is read as it is.
func Quote(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}
