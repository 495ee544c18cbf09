package dsl

import (
	"regexp"
)

// How a query asks for what a highlight marks.
type markKind uint8

const (
	markWord            markKind = iota // a word of a text
	markPrefix                          // the beginning of a word, or of a value
	markWhole                           // the whole value
	markExpression                      // words of a text, by an expression
	markWholeExpression                 // the whole value, by an expression
)

// Mark is something that a query looks for: a whole value, or words of a text.
type Mark struct {
	Column string
	Whole  *regexp.Regexp // nil where words are looked for
	Words  string         // an expression
	// Bounded tells that the ends of what is found must be ends of words.
	Bounded bool
}

// maxMarks bounds what is highlighted of one query.
const maxMarks = 200

// mark notes what is looked for in a column. What must not be found is not
// shown.
func (c *Compiler) mark(column string, k Kind, how markKind, said string) {
	if c.against || len(c.Marks) >= maxMarks || said == "" {
		return
	}
	m := Mark{Column: column}
	e := said
	if how != markExpression && how != markWholeExpression {
		e = regexp.QuoteMeta(said)
	}
	var err error
	switch {
	case k == Text || column == AnyField:
		if how == markPrefix {
			e += `[\pL\p{Nd}_]*`
		}
		m.Words = "(?:" + e + ")"
		if !unspaced(said) {
			m.Bounded = true
		}
		_, err = regexp.Compile(m.Words)
	case how == markPrefix:
		m.Whole, err = regexp.Compile("(?s)^" + e)
	default:
		m.Whole, err = regexp.Compile("(?s)^(?:" + e + ")$")
	}
	if err != nil {
		return // what cannot be read was refused by the query
	}
	c.Marks = append(c.Marks, m)
}
