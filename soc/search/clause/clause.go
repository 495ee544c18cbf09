// Package clause is the tree of conditions that the console builds by clicks,
// and its way to LogsQL and back. What LogsQL says and the tree cannot is kept
// in it as text, so that nothing is lost on the way; a tree that would not mean
// the same as its query is never handed out. The package also widens queries
// for Chinese text, which LogsQL's words do not fit (Widen).
package clause

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// How the clauses of a group are joined.
const (
	All = "all" // every one holds; none at all is everything
	Any = "any" // one of them holds
	Not = "not" // the only one does not hold
)

// Clause is one condition. It is a group (Join and Clauses), a comparison
// (Field, Operator and Values) or text (Text), a filter of LogsQL that the tree
// cannot express.
type Clause struct {
	Join     string   `json:"join,omitempty" enum:"all,any,not"`
	Clauses  []Clause `json:"clauses,omitempty"`
	Field    string   `json:"field,omitempty" maxLength:"512" doc:"Empty is the whole text of the event"`
	Operator string   `json:"operator,omitempty" doc:"Id of an operator"`
	Values   []string `json:"values,omitempty"`
	Text     string   `json:"text,omitempty" doc:"A filter of LogsQL as it is"`
}

// Limits of a tree, so that one of a stranger cannot exhaust the suite.
const (
	maxDepth   = 50
	maxClauses = 2000
)

// Error says which part of a tree cannot be written as LogsQL.
type Error struct {
	Path    string // of the part, like clauses[1].values[0]; "" is the whole
	Message string
}

// Error names the part and the fault.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Render writes the tree as a filter of LogsQL; nil is everything. Errors are
// of the type *Error.
func Render(c *Clause) (string, error) {
	if c == nil {
		return "*", nil
	}
	left := maxClauses
	if c.Join == "" && c.Operator == "" && c.Text != "" {
		return text(c, "") // alone it needs no brackets
	}
	s, _, err := render(c, "", 0, &left)
	return s, err
}

// How tightly a filter holds together, the loosest first.
const (
	looseAny = iota
	looseAll
	tight
)

func render(c *Clause, path string, depth int, left *int) (s string, binds int, err error) {
	fail := func(format string, args ...any) (string, int, error) {
		return "", 0, &Error{path, fmt.Sprintf(format, args...)}
	}
	if *left--; *left < 0 {
		return fail("there are more than %d conditions", maxClauses)
	}
	if depth > maxDepth {
		return fail("conditions are nested deeper than %d", maxDepth)
	}
	forms := 0
	for _, is := range []bool{c.Join != "", c.Operator != "", c.Text != ""} {
		if is {
			forms++
		}
	}
	if forms != 1 || c.Join == "" && len(c.Clauses) > 0 || c.Operator == "" && (c.Field != "" || len(c.Values) > 0) {
		return fail("a condition is one of three: a group (join and clauses), a comparison (field, operator and values) or text")
	}
	switch {
	case c.Text != "":
		bracketed := Clause{Text: "(" + c.Text + ")"}
		if _, err := text(c, path); err != nil {
			return "", 0, err
		}
		s, err := text(&bracketed, path)
		return s, tight, err
	case c.Operator != "":
		s, err := compare(c, path)
		return s, tight, err
	}
	if c.Join == Not && len(c.Clauses) != 1 {
		return fail("not is about exactly one condition, here are %d", len(c.Clauses))
	}
	if c.Join == Any && len(c.Clauses) == 0 {
		return fail("any of no conditions never holds")
	}
	if c.Join == All && len(c.Clauses) == 0 {
		return "*", tight, nil
	}
	within := map[string]int{All: looseAll, Any: looseAny, Not: tight}
	loosest, ok := within[c.Join]
	if !ok {
		return fail("conditions are joined by %q; it must be one of all, any and not", c.Join)
	}
	parts := make([]string, len(c.Clauses))
	for i := range c.Clauses {
		at := fmt.Sprintf("clauses[%d]", i)
		if path != "" {
			at = path + "." + at
		}
		part, binds, err := render(&c.Clauses[i], at, depth+1, left)
		if err != nil {
			return "", 0, err
		}
		if len(c.Clauses) == 1 && c.Join != Not {
			return part, binds, nil
		}
		if binds < loosest {
			part = "(" + part + ")"
		}
		parts[i] = part
	}
	switch c.Join {
	case Not:
		return "!" + parts[0], tight, nil
	case Any:
		return strings.Join(parts, " or "), looseAny, nil
	}
	return strings.Join(parts, " and "), looseAll, nil
}

// text is a text clause, which must be a filter of its own: brackets of it that
// close what stands around it would turn the tree into another one.
func text(c *Clause, path string) (string, error) {
	if _, err := logstorage.ParseFilter(c.Text); err != nil {
		return "", &Error{path, fmt.Sprintf("%q is not a filter of LogsQL: %s", c.Text, err)}
	}
	return c.Text, nil
}

func compare(c *Clause, path string) (string, error) {
	op, ok := byID[c.Operator]
	if !ok {
		return "", &Error{path, fmt.Sprintf("there is no operator %q", c.Operator)}
	}
	if n := len(c.Values); n < op.Least || op.Most >= 0 && n > op.Most {
		want := strconv.Itoa(op.Least)
		switch {
		case op.Most < 0:
			want += " or more"
		case op.Most > op.Least:
			want += " to " + strconv.Itoa(op.Most)
		}
		return "", &Error{path, fmt.Sprintf("the operator %s takes %s values, here are %d", op.ID, want, n)}
	}
	if c.Field == "" && op.NeedsField {
		return "", &Error{path, fmt.Sprintf("the operator %s needs a field", op.ID)}
	}
	s, err := op.render(prefix(c.Field), c.Values)
	if err != nil {
		return "", &Error{path, err.Error()}
	}
	// What LogsQL makes of it decides: a number that is none, an expression
	// that does not compile.
	if _, err := logstorage.ParseFilter(s); err != nil {
		return "", &Error{path, fmt.Sprintf("the operator %s cannot take %q: %s", op.ID, c.Values, err)}
	}
	return s, nil
}

// prefix writes a field before its filter.
func prefix(field string) string {
	switch field {
	case "", "_msg":
		return ""
	case "@timestamp":
		return "_time:"
	}
	if plain(field) {
		return field + ":"
	}
	return strconv.Quote(field) + ":"
}

// plain tells whether LogsQL takes the name without quotes.
func plain(name string) bool {
	if strings.ContainsFunc(name, func(r rune) bool { return r != '.' && !wordRune(r) }) {
		return false
	}
	f, err := logstorage.ParseFilter(name + ":x")
	return err == nil && f.String() == name+":x"
}
