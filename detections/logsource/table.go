// Package logsource is the routing table: it says by which fields of an event
// a rule's log source (product, category, service) shows. The table is
// content (rules/logsources.yml) and rule folders may extend it.
package logsource

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"icewatch/detections/sigma"
)

// FileName is how a table is called in a rule folder.
const FileName = "logsources.yml"

// Condition compares a field of an event with values: any of them, in any
// letter case, with Sigma's wildcards. The field may have several names; their
// values count together.
type Condition struct {
	Fields []string
	Values []string
	Needed bool // the alternative fails where the event lacks the field
}

// Clause is what one entry of the table asks: any alternative, all of its
// conditions. A condition on a field that the event does not have says
// nothing, unless it is needed; where no alternative says anything, the clause holds. So routing
// never hides a match of an event that does not tell where it came from.
type Clause struct {
	Alternatives [][]Condition
	// Trust holds even in a strict table for an event that says nothing.
	Trust bool
}

// Table maps log sources to clauses.
type Table struct {
	entries []*entry
	// fields are further names of fields by the name that entries use.
	fields map[string][]string
	// Unspecific lists values by field that tell nothing of the log source,
	// such as the dataset of plain JSON.
	Unspecific map[string][]string
	// Strict asks that an event shows where it came from: a clause of which the
	// event says nothing fails, unless it trusts. Without it such an event
	// gets the benefit of the doubt, which suits a folder of events in hand and
	// would flood a running suite. A log source that the table does not know
	// is taken on trust either way.
	Strict bool
}

// entry is one log source of a table.
type entry struct {
	source       sigma.Logsource
	line         int
	alternatives []alternative
	trust        *bool // nil: says nothing
	replace      bool
}

// alternative is conditions by the name that the file has for a field.
type alternative struct {
	line   int
	values map[string][]string
	needed map[string]bool // those written with an exclamation mark
}

// Extend adds another table: alternatives of an entry for the same log source
// are added to it, or take their place where that entry says replace; other
// entries are new, and names of fields add up. What it says twice or against
// what is there already is returned, and left out.
func (t *Table) Extend(more *Table) []*sigma.Error {
	var faults []*sigma.Error
	for field, values := range more.Unspecific {
		t.Unspecific[field] = append(slices.Clip(t.Unspecific[field]), values...)
	}
	for name, list := range more.fields {
		for _, field := range list {
			if !slices.Contains(t.fields[name], field) {
				t.fields[name] = append(slices.Clip(t.fields[name]), field)
			}
		}
	}
	for _, e := range more.entries {
		had := t.entry(e.source)
		switch {
		case had == nil && e.replace:
			faults = append(faults, errorf(e.line, "replace: there is no entry for %s to replace", e.source))
		case had == nil:
			t.entries = append(t.entries, e)
		case e.replace:
			*had = *e
		default:
			faults = append(faults, had.extend(e)...)
		}
	}
	return faults
}

func (t *Table) entry(ls sigma.Logsource) *entry {
	for _, e := range t.entries {
		if e.source == ls {
			return e
		}
	}
	return nil
}

func (e *entry) extend(more *entry) (faults []*sigma.Error) {
	if more.trust != nil {
		if e.trust != nil && *e.trust != *more.trust {
			faults = append(faults, errorf(more.line, "the entry for %s says trust: %v, and the one it extends says trust: %v; with replace: true it takes its place", e.source, *more.trust, *e.trust))
		} else {
			e.trust = more.trust
		}
	}
	for _, a := range more.alternatives {
		if slices.ContainsFunc(e.alternatives, a.same) {
			faults = append(faults, errorf(a.line, "the table has this alternative for %s already", e.source))
			continue
		}
		e.alternatives = append(slices.Clip(e.alternatives), a)
	}
	return faults
}

func (a alternative) same(b alternative) bool {
	return maps.Equal(a.needed, b.needed) && maps.EqualFunc(a.values, b.values, func(x, y []string) bool {
		return slices.EqualFunc(x, y, strings.EqualFold)
	})
}

// Resolve returns the clauses of every entry whose parts are all among those
// of the log source. None means that the table knows nothing to ask.
func (t *Table) Resolve(ls sigma.Logsource) []Clause {
	var out []Clause
	for _, e := range t.entries {
		if !e.source.Covers(ls) {
			continue
		}
		c := Clause{Trust: e.trust != nil && *e.trust}
		for _, a := range e.alternatives {
			var conds []Condition
			for _, field := range slices.Sorted(maps.Keys(a.values)) {
				conds = append(conds, Condition{Fields: t.names(field), Values: a.values[field], Needed: a.needed[field]})
			}
			c.Alternatives = append(c.Alternatives, conds)
		}
		out = append(out, c)
	}
	return out
}

// names are the fields that a name in an entry stands for.
func (t *Table) names(field string) []string {
	if list := t.fields[field]; len(list) > 0 {
		return list
	}
	return []string{field}
}

func errorf(line int, format string, args ...any) *sigma.Error {
	return &sigma.Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}
