// Package logsource is the routing table: it says by which fields of an event
// a rule's log source (product, category, service) shows. The table is
// content (rules/logsources.yml) and rule folders may extend it.
package logsource

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// FileName is how a table is called in a rule folder.
const FileName = "logsources.yml"

// Condition compares one field of an event with values: any of them, in any
// letter case, with Sigma's wildcards.
type Condition struct {
	Field  string
	Values []string
}

// Clause is what one entry of the table asks: any alternative, all of its
// conditions. A condition on a field that the event does not have says
// nothing; where no alternative says anything, the clause holds. So routing
// never hides a match of an event that does not tell where it came from.
type Clause struct {
	Alternatives [][]Condition
	// Trust holds even in a strict table for an event that says nothing.
	Trust bool
}

type entry struct {
	source sigma.Logsource
	clause Clause
}

// Table maps log sources to clauses.
type Table struct {
	entries []entry
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

type file struct {
	Unspecific map[string]list `yaml:"unspecific"`
	Named      list            `yaml:"named"`
	Logsources []struct {
		Product  string            `yaml:"product"`
		Category string            `yaml:"category"`
		Service  string            `yaml:"service"`
		Any      []map[string]list `yaml:"any"`
		Trust    bool              `yaml:"trust"`
	} `yaml:"logsources"`
}

// list is one value or several.
type list []string

// UnmarshalYAML takes a scalar as a list of one.
func (l *list) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = list{n.Value}
		return nil
	}
	var many []yaml.Node
	if err := n.Decode(&many); err != nil {
		return err
	}
	for _, v := range many {
		if v.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: a value has to be a text or a number", v.Line)
		}
		*l = append(*l, v.Value)
	}
	return nil
}

// Parse reads a table.
func Parse(data []byte) (*Table, error) {
	var f file
	if err := yaml.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("logsource table: %w", err)
	}
	t := &Table{Unspecific: map[string][]string{}}
	for field, values := range f.Unspecific {
		t.Unspecific[field] = values
	}
	for i, src := range f.Logsources {
		e := entry{source: sigma.Logsource{Product: src.Product, Category: src.Category, Service: src.Service}, clause: Clause{Trust: src.Trust}}
		if e.source == (sigma.Logsource{}) || len(src.Any) == 0 {
			return nil, fmt.Errorf("logsource table: entry %d needs product, category or service, and any", i+1)
		}
		for _, alt := range src.Any {
			var conds []Condition
			for field, values := range alt {
				conds = append(conds, Condition{Field: field, Values: values})
			}
			if len(conds) == 0 {
				return nil, fmt.Errorf("logsource table: entry %d (%s) has an empty alternative", i+1, e.source)
			}
			slices.SortFunc(conds, func(a, b Condition) int { return compare(a.Field, b.Field) })
			e.clause.Alternatives = append(e.clause.Alternatives, conds)
		}
		t.entries = append(t.entries, e)
	}
	for _, product := range f.Named {
		t.entries = append(t.entries, entry{source: sigma.Logsource{Product: product}, clause: byName(product)})
	}
	return t, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Extend adds another table: alternatives of an entry for the same log source
// are added to it, other entries are new.
func (t *Table) Extend(more *Table) {
	for field, values := range more.Unspecific {
		t.Unspecific[field] = append(slices.Clip(t.Unspecific[field]), values...)
	}
next:
	for _, e := range more.entries {
		for i := range t.entries {
			if t.entries[i].source == e.source {
				t.entries[i].clause.Alternatives = append(slices.Clip(t.entries[i].clause.Alternatives), e.clause.Alternatives...)
				t.entries[i].clause.Trust = t.entries[i].clause.Trust || e.clause.Trust
				continue next
			}
		}
		t.entries = append(t.entries, e)
	}
}

// Resolve returns the clauses of every entry whose parts are all among those
// of the log source. None means that the table knows nothing to ask.
func (t *Table) Resolve(ls sigma.Logsource) []Clause {
	var out []Clause
	for _, e := range t.entries {
		if within(e.source.Product, ls.Product) && within(e.source.Category, ls.Category) && within(e.source.Service, ls.Service) {
			out = append(out, e.clause)
		}
	}
	return out
}

// byName is the clause of a product that shows by its own name.
func byName(name string) Clause {
	values := []string{name, name + ".*", "*." + name}
	var c Clause
	for _, field := range []string{"event.module", "event.dataset", "event.provider", "event.category", "service.type", "observer.product", "observer.vendor", "cloud.provider"} {
		c.Alternatives = append(c.Alternatives, []Condition{{Field: field, Values: values}})
	}
	return c
}

func within(entry, rule string) bool { return entry == "" || entry == rule }
