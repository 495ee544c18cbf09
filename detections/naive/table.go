package naive

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Table is the routing table rules/logsources.yml: by which fields of an event
// a rule's log source shows.
type Table struct {
	// Strict asks that an event shows where it comes from.
	Strict     bool
	entries    []*entry
	fields     map[string][]string // what the file's names of fields stand for
	unspecific map[string][]pattern
}

type entry struct {
	product, category, service string
	trust                      bool
	any                        [][]asked // alternatives, each with all of its conditions
}

// asked is a condition of an alternative.
type asked struct {
	fields []string
	values []pattern
	needed bool
}

// ParseTable reads the table.
func ParseTable(source []byte) (*Table, error) {
	var doc struct {
		Fields     map[string]yaml.Node
		Named      []string
		Unspecific map[string]yaml.Node
		Logsources []struct {
			Product, Category, Service string
			Trust                      bool
			Any                        []map[string]yaml.Node
		}
	}
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return nil, fmt.Errorf("logsource table: %w", err)
	}
	t := &Table{fields: map[string][]string{}, unspecific: map[string][]pattern{}}
	for name, stands := range doc.Fields {
		for _, field := range list(&stands) {
			t.fields[name] = append(t.fields[name], field.Value)
		}
	}
	for field, values := range doc.Unspecific {
		t.unspecific[field] = anyOf(&values)
	}
	for _, l := range doc.Logsources {
		e := &entry{product: l.Product, category: l.Category, service: l.Service, trust: l.Trust}
		for _, alternative := range l.Any {
			var conditions []asked
			for name, values := range alternative {
				name, needed := strings.CutSuffix(name, "!")
				fields := t.fields[name]
				if fields == nil {
					fields = []string{name}
				}
				conditions = append(conditions, asked{fields, anyOf(&values), needed})
			}
			e.any = append(e.any, conditions)
		}
		t.entries = append(t.entries, e)
	}
	for _, product := range doc.Named {
		t.named(product)
	}
	return t, nil
}

// named adds that a product shows by its own name, in an entry of its own or in
// the one that is there.
func (t *Table) named(product string) {
	i := slices.IndexFunc(t.entries, func(e *entry) bool { return e.product == product && e.category == "" && e.service == "" })
	if i < 0 {
		i = len(t.entries)
		t.entries = append(t.entries, &entry{product: product})
	}
	for _, field := range []string{"event.module", "event.dataset", "event.provider", "event.category",
		"service.type", "observer.product", "observer.vendor", "cloud.provider"} {
		t.entries[i].any = append(t.entries[i].any, []asked{{fields: []string{field}, values: []pattern{
			smallPattern(product), smallPattern(product + ".*"), smallPattern(product + "_*"), smallPattern("*." + product)}}})
	}
}

func anyOf(n *yaml.Node) []pattern {
	var out []pattern
	for _, v := range list(n) {
		out = append(out, smallPattern(v.Value))
	}
	return out
}

func smallPattern(s string) pattern { return newPattern(small(wildcards(s))) }

// Applies tells whether the rule's log source is that of the event: every entry
// whose product, category and service are among the rule's own holds.
func (t *Table) Applies(r *Rule, ev *Event) bool {
	for _, e := range t.entries {
		if (e.product == "" || e.product == r.product) && (e.category == "" || e.category == r.category) &&
			(e.service == "" || e.service == r.service) && !t.holds(e, ev) {
			return false
		}
	}
	return true
}

// holds: an entry holds where one of its alternatives does, with all of its
// conditions. A condition on a field that the event lacks says nothing, nor
// does one on a field with only unspecific values; an alternative fails where a
// needed one says nothing. Where none says anything, the entry holds for a
// table that is not strict or an entry that trusts.
func (t *Table) holds(e *entry, ev *Event) bool {
	anySaid := false
	for _, alternative := range e.any {
		said, fits := false, true
		for _, c := range alternative {
			values := c.in(ev)
			switch {
			case t.speaks(c.fields, values):
				said = true
				fits = fits && slices.ContainsFunc(values, func(v *value) bool { return fitsAny(c.values, v) })
			case c.needed:
				fits = false
			}
		}
		if said && fits {
			return true
		}
		anySaid = anySaid || said
	}
	return !anySaid && (e.trust || !t.Strict)
}

// in are the values of a condition's field that are not null.
func (c asked) in(ev *Event) []*value {
	var out []*value
	for _, field := range c.fields {
		for _, v := range ev.fields[field] {
			if !v.null {
				out = append(out, v)
			}
		}
	}
	return out
}

// speaks tells whether there is a value that says where the event is from.
func (t *Table) speaks(fields []string, values []*value) bool {
	return slices.ContainsFunc(values, func(v *value) bool {
		return v.text != "" && !slices.ContainsFunc(fields, func(f string) bool { return fitsAny(t.unspecific[f], v) })
	})
}

func fitsAny(patterns []pattern, v *value) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool { return p.fits(v.small) })
}
