package naive

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Table is the routing table rules/logsources.yml: by which fields of an event
// a rule's log source shows.
type Table struct {
	// Strict asks that an event shows where it comes from.
	Strict     bool
	entries    []entry
	unspecific map[string][]pattern
}

type entry struct {
	product, category, service string
	trust                      bool
	any                        []map[string][]pattern
}

// ParseTable reads the table.
func ParseTable(source []byte) (*Table, error) {
	var doc struct {
		Named      []string             `yaml:"named"`
		Unspecific map[string]yaml.Node `yaml:"unspecific"`
		Logsources []struct {
			Product, Category, Service string
			Trust                      bool
			Any                        []map[string]yaml.Node
		}
	}
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return nil, fmt.Errorf("logsource table: %w", err)
	}
	t := &Table{unspecific: map[string][]pattern{}}
	for field, values := range doc.Unspecific {
		t.unspecific[field] = anyOf(&values)
	}
	for _, l := range doc.Logsources {
		e := entry{product: l.Product, category: l.Category, service: l.Service, trust: l.Trust}
		for _, alternative := range l.Any {
			conditions := map[string][]pattern{}
			for field, values := range alternative {
				conditions[field] = anyOf(&values)
			}
			e.any = append(e.any, conditions)
		}
		t.entries = append(t.entries, e)
	}
	for _, product := range doc.Named {
		e := entry{product: product}
		for _, field := range []string{"event.module", "event.dataset", "event.provider", "event.category",
			"service.type", "observer.product", "observer.vendor", "cloud.provider"} {
			e.any = append(e.any, map[string][]pattern{field: {smallPattern(product), smallPattern(product + ".*"), smallPattern("*." + product)}})
		}
		t.entries = append(t.entries, e)
	}
	return t, nil
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
// does one on a field with only unspecific values; where none says anything,
// the entry holds for a table that is not strict or an entry that trusts.
func (t *Table) holds(e entry, ev *Event) bool {
	anySaid := false
	for _, alternative := range e.any {
		said, fits := false, true
		for field, values := range alternative {
			if !t.speaks(field, ev) {
				continue
			}
			said, anySaid = true, true
			fits = fits && slices.ContainsFunc(ev.fields[field], func(v *value) bool { return !v.null && fitsAny(values, v) })
		}
		if said && fits {
			return true
		}
	}
	return !anySaid && (e.trust || !t.Strict)
}

// speaks tells whether a field has a value that says where the event is from.
func (t *Table) speaks(field string, ev *Event) bool {
	return slices.ContainsFunc(ev.fields[field], func(v *value) bool {
		return !v.null && v.text != "" && !fitsAny(t.unspecific[field], v)
	})
}

func fitsAny(patterns []pattern, v *value) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool { return p.fits(v.small) })
}
