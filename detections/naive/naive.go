// Package naive evaluates one Sigma rule on one event the slow way: it follows
// the sentences of the Sigma specification (2.1.0: "Sigma Rules Specification"
// and "Sigma Modifiers", quoted below by their sections) one after the other
// and has no index, no shared predicate and no folding in advance. It is the
// measure of detections/match, with which it shares no code: tests and benches
// compare the two, nothing else may import it.
//
// Where the specification leaves room, the decisions are those of
// docs/sigma.md; each stands at the function that takes it.
package naive

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rule is one detection rule.
type Rule struct {
	ID, Title string
	// Also holds further names of fields: a rule that speaks of a field looks
	// at the values of all its names together.
	Also map[string][]string

	product, category, service string
	selections                 []selection
	conditions                 []condition
}

// selection is a search identifier with its search.
type selection struct {
	name   string
	search search
}

// search tells whether an event is what a part of a detection describes.
type search func(r *Rule, ev *Event) bool

// Parse reads the YAML text of one rule without placeholders.
func Parse(source []byte) (*Rule, error) { return ParseWith(source, nil) }

// ParseWith reads the YAML text of one rule; placeholders hold the values for
// the modifier expand by name, without the percent signs.
func ParseWith(source []byte, placeholders map[string][]string) (*Rule, error) {
	var doc struct {
		ID        string `yaml:"id"`
		Title     string `yaml:"title"`
		Logsource struct {
			Product, Category, Service string
		} `yaml:"logsource"`
		Detection yaml.Node `yaml:"detection"`
	}
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return nil, fmt.Errorf("rule: %w", err)
	}
	r := &Rule{ID: doc.ID, Title: doc.Title, product: doc.Logsource.Product, category: doc.Logsource.Category, service: doc.Logsource.Service}
	if doc.Detection.Kind != yaml.MappingNode {
		return nil, errors.New("rule: detection is no map")
	}
	p := &parser{placeholders: placeholders}
	var texts []*yaml.Node
	for key, val := range pairs(&doc.Detection) {
		switch key.Value {
		case "condition":
			texts = list(val)
		case "timeframe": // of Sigma 1, says nothing of one event
		default:
			s, err := p.selection(val)
			if err != nil {
				return nil, fmt.Errorf("selection %q: %w", key.Value, err)
			}
			r.selections = append(r.selections, selection{key.Value, s})
		}
	}
	for _, t := range texts {
		c, err := parseCondition(t.Value, r.selections)
		if err != nil {
			return nil, fmt.Errorf("condition %q: %w", t.Value, err)
		}
		r.conditions = append(r.conditions, c)
	}
	if len(r.conditions) == 0 {
		return nil, errors.New("rule: there is no condition")
	}
	return r, nil
}

// Match tells whether the rule matches the event. Rules Specification,
// Condition: "The condition can be a list, in this case, each of them generates
// a query. They are logically linked with OR."
func (r *Rule) Match(ev *Event) bool {
	for _, c := range r.conditions {
		if c(r, ev) {
			return true
		}
	}
	return false
}

type parser struct{ placeholders map[string][]string }

// selection reads a search identifier. Rules Specification, Search-Identifier:
// "A definition that can consist of two different data structures - lists and
// maps." A loose text is a list of one.
func (p *parser) selection(n *yaml.Node) (search, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return p.fields(n)
	case yaml.SequenceNode:
		return p.list(n)
	}
	return p.item("", nil, []*yaml.Node{n})
}

// list reads a list. Lists: "strings that are applied to the full log message
// and are linked with a logical 'OR'" and "maps. All map items of a list are
// logically linked with 'OR'."
func (p *parser) list(n *yaml.Node) (search, error) {
	var any []search
	for _, e := range list(n) {
		s, err := p.selection(e)
		if err != nil {
			return nil, err
		}
		any = append(any, s)
	}
	if len(any) == 0 {
		return nil, errors.New("the list is empty")
	}
	return func(r *Rule, ev *Event) bool {
		for _, s := range any {
			if s(r, ev) {
				return true
			}
		}
		return false
	}, nil
}

// fields reads a map. Maps: "All elements of a map are joined with a logical
// 'AND'."
func (p *parser) fields(n *yaml.Node) (search, error) {
	var all []search
	for key, val := range pairs(n) {
		names := strings.Split(key.Value, "|")
		s, err := p.item(names[0], names[1:], list(val))
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", key.Value, err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, errors.New("the map is empty")
	}
	return func(r *Rule, ev *Event) bool {
		for _, s := range all {
			if !s(r, ev) {
				return false
			}
		}
		return true
	}, nil
}

// item reads one field with its modifiers and values. Maps: the values of one
// key are alternatives ("Event ID 517 or Event ID 1102"). Modifiers, Generic
// Modifiers: all "changes this to AND"; neq: "The field is different from the
// specified values", which also holds where the field is absent. What one
// written value expands to (base64offset, expand) is linked with OR among
// itself, also under all: "a single, multiple or-linked values or patterns".
func (p *parser) item(field string, mods []string, values []*yaml.Node) (search, error) {
	if len(values) == 0 {
		return nil, errors.New("there is no value")
	}
	m, err := readChain(mods, field == "", p.placeholders)
	if err != nil {
		return nil, err
	}
	var written [][]test
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a value is a list or a map", v.Line)
		}
		alternatives, err := m.tests(v)
		if err != nil {
			return nil, fmt.Errorf("value %q: %w", v.Value, err)
		}
		written = append(written, alternatives)
	}
	return func(r *Rule, ev *Event) bool {
		subject := r.subject(field, ev)
		found := m.has("all")
		for _, alternatives := range written {
			met := false
			for _, t := range alternatives {
				if met = t(r, ev, subject); met {
					break
				}
			}
			if met != m.has("all") {
				found = met
				break
			}
		}
		return found != m.has("neq")
	}, nil
}

// subject is what a field's values are compared to: its values in the event,
// and whether the field is there at all.
type subject struct {
	values []*value
	there  bool
}

// subject finds the values of a field under all its names, exactly written.
// Keywords search: without a field "It's a matter of searching for keywords
// across an entire event": every value of every field, and the text beside the
// fields, but never the names.
func (r *Rule) subject(field string, ev *Event) subject {
	if field == "" {
		return subject{ev.all, true}
	}
	values, there := ev.fields[field]
	for _, name := range r.Also[field] {
		more, also := ev.fields[name]
		values, there = append(values[:len(values):len(values)], more...), there || also
	}
	return subject{values, there}
}

// pairs are the keys and values of a map, in the order of the text.
func pairs(n *yaml.Node) func(yield func(key, val *yaml.Node) bool) {
	return func(yield func(key, val *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], behind(n.Content[i+1])) {
				return
			}
		}
	}
}

// list is the elements of a list, or the one value that is none.
func list(n *yaml.Node) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	var out []*yaml.Node
	for _, e := range n.Content {
		out = append(out, behind(e))
	}
	return out
}

// behind is the node that an alias stands for.
func behind(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
