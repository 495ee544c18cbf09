package logsource

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// Parse reads a table. The error is a *sigma.Error with the line.
//
// A table by itself need not be complete: names of fields that it uses may be
// given by the one that it extends.
func Parse(data []byte) (*Table, error) {
	root, err := sigma.Document(data, "table")
	if err != nil {
		return nil, err
	}
	p := &parser{t: &Table{fields: map[string][]string{}, Unspecific: map[string][]string{}}}
	p.file(root)
	if p.err != nil {
		return nil, p.err
	}
	return p.t, nil
}

// parser keeps the first mistake.
type parser struct {
	t   *Table
	err *sigma.Error
}

func (p *parser) fail(line int, format string, args ...any) {
	if p.err == nil {
		p.err = errorf(line, format, args...)
	}
}

// each goes through a map.
func (p *parser) each(n *yaml.Node, what string, f func(key, value *yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, "%s has to be a map", what)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && p.err == nil; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if at, twice := seen[key.Value]; twice {
			p.fail(key.Line, "%q stands twice in %s, first in line %d", key.Value, what, at)
		}
		seen[key.Value] = key.Line
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		f(key, value)
	}
}

// values reads one value or several.
func (p *parser) values(n *yaml.Node, what string) []string {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var out []string
	for _, v := range nodes {
		if v.Kind != yaml.ScalarNode || v.ShortTag() == "!!null" {
			p.fail(v.Line, "a value of %s has to be a text or a number", what)
			return nil
		}
		if slices.ContainsFunc(out, func(had string) bool { return strings.EqualFold(had, v.Value) }) {
			p.fail(v.Line, "%q stands twice among the values of %s", v.Value, what)
		}
		out = append(out, v.Value)
	}
	if len(out) == 0 {
		p.fail(n.Line, "%s has no value", what)
	}
	return out
}

func (p *parser) file(n *yaml.Node) {
	var entries, named *yaml.Node
	p.each(n, "the table", func(key, value *yaml.Node) {
		switch key.Value {
		case "fields", "unspecific":
			into := p.t.fields
			if key.Value == "unspecific" {
				into = p.t.Unspecific
			}
			p.each(value, key.Value, func(key, value *yaml.Node) { into[key.Value] = p.values(value, strconv.Quote(key.Value)) })
		case "named":
			named = value
		case "logsources":
			entries = value
		default:
			p.fail(key.Line, "%q is not known; known are fields, unspecific, named and logsources", key.Value)
		}
	})
	for name, list := range p.t.fields {
		for _, field := range list {
			if len(p.t.fields[field]) > 0 && field != name {
				p.fail(n.Line, "%q of fields stands for %q, which stands for others itself", name, field)
			}
		}
	}
	if entries != nil {
		if entries.Kind != yaml.SequenceNode {
			p.fail(entries.Line, "logsources has to be a list")
			return
		}
		for _, e := range entries.Content {
			p.entry(e)
		}
	}
	if named != nil {
		for _, product := range p.values(named, "named") {
			p.named(product, named.Line)
		}
	}
}

func (p *parser) entry(n *yaml.Node) {
	e := &entry{line: n.Line}
	p.each(n, "an entry", func(key, value *yaml.Node) {
		switch key.Value {
		case "product":
			e.source.Product = p.text(key, value)
		case "category":
			e.source.Category = p.text(key, value)
		case "service":
			e.source.Service = p.text(key, value)
		case "trust":
			b := p.boolean(key, value)
			e.trust = &b
		case "replace":
			e.replace = p.boolean(key, value)
		case "any":
			if value.Kind != yaml.SequenceNode {
				p.fail(value.Line, "any has to be a list of alternatives")
				return
			}
			for _, a := range value.Content {
				p.alternative(e, a)
			}
		default:
			p.fail(key.Line, "an entry has no %q; known are product, category, service, any, trust and replace", key.Value)
		}
	})
	if p.err != nil {
		return
	}
	if e.source == (sigma.Logsource{}) || len(e.alternatives) == 0 {
		p.fail(n.Line, "an entry needs product, category or service, and at least one alternative in any")
		return
	}
	if had := p.t.entry(e.source); had != nil {
		p.fail(n.Line, "%s has an entry in line %d already: put the alternatives there", e.source, had.line)
		return
	}
	p.t.entries = append(p.t.entries, e)
}

func (p *parser) text(key, value *yaml.Node) string {
	if value.Kind != yaml.ScalarNode || value.Value == "" {
		p.fail(key.Line, "%s has to be a text", key.Value)
	}
	return value.Value
}

func (p *parser) boolean(key, value *yaml.Node) (b bool) {
	if value.ShortTag() != "!!bool" || value.Decode(&b) != nil {
		p.fail(key.Line, "%s is true or false", key.Value)
	}
	return b
}

func (p *parser) alternative(e *entry, n *yaml.Node) {
	a := alternative{line: n.Line, values: map[string][]string{}, needed: map[string]bool{}}
	p.each(n, "an alternative", func(key, value *yaml.Node) {
		name, needed := strings.CutSuffix(key.Value, "!")
		if needed {
			a.needed[name] = true
		}
		for other := range a.values {
			if slices.ContainsFunc(p.t.names(other), func(f string) bool { return slices.Contains(p.t.names(name), f) }) {
				p.fail(key.Line, "%q and %q of one alternative are the same field", other, name)
			}
		}
		a.values[name] = p.values(value, strconv.Quote(name))
	})
	if len(a.values) == 0 {
		p.fail(n.Line, "an alternative has no condition")
	}
	if i := slices.IndexFunc(e.alternatives, a.same); i >= 0 && p.err == nil {
		p.fail(n.Line, "the alternative is the same as that of line %d", e.alternatives[i].line)
	}
	e.alternatives = append(e.alternatives, a)
}

// nameFields are where a product shows by its own name.
var nameFields = []string{"event.module", "event.dataset", "event.provider", "event.category", "service.type", "observer.product", "observer.vendor", "cloud.provider"}

// named adds that a product shows by a module, dataset, provider or vendor of
// its own name.
func (p *parser) named(product string, line int) {
	values := []string{product, product + ".*", product + "_*", "*." + product}
	e := &entry{source: sigma.Logsource{Product: product}, line: line}
	for _, field := range nameFields {
		e.alternatives = append(e.alternatives, alternative{line: line, values: map[string][]string{field: values}})
	}
	if had := p.t.entry(e.source); had != nil {
		had.alternatives = append(had.alternatives, e.alternatives...)
		return
	}
	p.t.entries = append(p.t.entries, e)
}
