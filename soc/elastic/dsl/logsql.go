package dsl

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/event"
)

// Quote writes a text or name for LogsQL.
func Quote(s string) string { return strconv.Quote(s) }

// Exactly asks a column for a value.
func Exactly(column, value string) string { return Quote(column) + ":=" + Quote(value) }

// Present asks a column for any value.
func Present(column string) string {
	if column == "_time" {
		return Everything // every row has it, and LogsQL would read a duration
	}
	// Not column:* : in conditions of stats, if (column:*), the library finds no
	// number by it (1.121.0).
	return "!" + Exactly(column, "")
}

// Matches asks a column for an expression, every column where it is AnyField.
func Matches(column, expression string) string {
	if column == AnyField {
		return "~" + Quote(expression)
	}
	return Quote(column) + ":~" + Quote(expression)
}

// Among is the expression for an element of an array as the lake keeps it.
func Among(element string) string { return `(?s)^\[(?:.*,)?` + element + `(?:,.*)?\]$` }

// idIs finds the event of an id: that of the suite, or that which the sender
// gave, whatever the index.
func idIs(id string) string {
	return "(" + Exactly(ColumnID, id) + " or " + Matches(ColumnSender, `(?s)^[^/]*/`+regexp.QuoteMeta(id)+"$") + ")"
}

// JSONText is a text as it stands in an array.
func JSONText(s string) string { return string(event.AppendJSON(nil, s)) }

// Filters that every row, or none, meets.
const (
	Everything = "*"
	nothing    = "!*"
)

// And joins filters that must all be met.
func And(parts ...string) string {
	var kept []string
	for _, p := range parts {
		switch p {
		case Everything:
		case nothing:
			return nothing
		default:
			kept = append(kept, p)
		}
	}
	switch len(kept) {
	case 0:
		return Everything
	case 1:
		return kept[0]
	}
	return "(" + strings.Join(kept, " ") + ")"
}

// Or joins filters of which one must be met.
func Or(parts ...string) string {
	var kept []string
	for _, p := range parts {
		switch p {
		case Everything:
			return Everything
		case nothing:
		default:
			kept = append(kept, p)
		}
	}
	switch len(kept) {
	case 0:
		return nothing
	case 1:
		return kept[0]
	}
	return "(" + strings.Join(kept, " or ") + ")"
}

// Not turns a filter round.
func Not(part string) string {
	switch part {
	case Everything:
		return nothing
	case nothing:
		return Everything
	}
	return "!(" + part + ")"
}

// TimeFilter is the LogsQL filter for rows of a time; zero values are open.
func TimeFilter(from, to time.Time) string {
	if from.IsZero() && to.IsZero() {
		return Everything
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }
	if from.IsZero() {
		from = time.Unix(0, 0)
	}
	if to.IsZero() {
		to = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return fmt.Sprintf("_time:[%s,%s)", stamp(from), stamp(to))
}

// later and earlier take the zero value for no bound.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
