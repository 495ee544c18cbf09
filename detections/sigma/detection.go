package sigma

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

var errNotUTF8 = errors.New("is not UTF-8")

// Options are what reading rules depends on beside their text.
type Options struct {
	// Placeholders hold the values for the modifier expand, by name without
	// the percent signs.
	Placeholders map[string][]string
}

// maxNesting bounds lists in lists of a selection.
const maxNesting = 16

func parseDetection(n *yaml.Node, opts *Options) (*Detection, []*Error, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, nil, errorf(n.Line, "detection has to be a map of selections")
	}
	d := &Detection{}
	var condition *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		switch key.Value {
		case "condition":
			condition = val
		case "timeframe": // belonged to the aggregations of Sigma 1
		default:
			g, err := parseGroup(val, opts, 0)
			if err != nil {
				return nil, nil, err
			}
			d.Selections = append(d.Selections, &Selection{Name: key.Value, Line: key.Line, Root: g})
		}
	}
	if condition == nil {
		return nil, nil, errorf(n.Line, "detection has no condition")
	}
	if len(d.Selections) == 0 {
		return nil, nil, errorf(n.Line, "detection has no selection")
	}
	var texts []*yaml.Node
	switch condition.Kind {
	case yaml.ScalarNode:
		texts = []*yaml.Node{condition}
	case yaml.SequenceNode:
		for _, c := range condition.Content {
			texts = append(texts, resolve(c))
		}
	}
	var args []*Expr
	for _, t := range texts {
		if t.Kind != yaml.ScalarNode {
			return nil, nil, errorf(t.Line, "condition has to be a text or a list of texts")
		}
		e, err := parseCondition(t.Value, t.Line, d.Selections)
		if err != nil {
			return nil, nil, err
		}
		args = append(args, e)
	}
	switch len(args) {
	case 0:
		return nil, nil, errorf(condition.Line, "condition has to be a text or a list of texts")
	case 1:
		d.Condition = args[0]
	default:
		d.Condition = &Expr{Op: ExprOr, Args: args}
	}
	return d, d.unused(), nil
}

// unused warns of selections that no condition reaches.
func (d *Detection) unused() []*Error {
	seen := make([]bool, len(d.Selections))
	var walk func(e *Expr)
	walk = func(e *Expr) {
		if e.Op == ExprSelection {
			seen[e.Selection] = true
		}
		for _, a := range e.Args {
			walk(a)
		}
	}
	walk(d.Condition)
	var out []*Error
	for i, s := range d.Selections {
		if !seen[i] {
			out = append(out, errorf(s.Line, "selection %q is never reached by the condition", s.Name))
		}
	}
	return out
}

// parseGroup reads a selection: a map (all of its fields), a list (any of its
// entries) or a single keyword.
func parseGroup(n *yaml.Node, opts *Options, depth int) (*Group, *Error) {
	if depth > maxNesting {
		return nil, errorf(n.Line, "selection is nested deeper than %d", maxNesting)
	}
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 {
			return nil, errorf(n.Line, "selection is empty")
		}
		g := &Group{All: true}
		for i := 0; i+1 < len(n.Content); i += 2 {
			item, err := parseItem(n.Content[i], resolve(n.Content[i+1]), opts)
			if err != nil {
				return nil, err
			}
			g.Items = append(g.Items, item)
		}
		return g, nil
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return nil, errorf(n.Line, "selection is empty")
		}
		g := &Group{}
		var words *Item
		for _, c := range n.Content {
			c = resolve(c)
			if c.Kind != yaml.ScalarNode {
				sub, err := parseGroup(c, opts, depth+1)
				if err != nil {
					return nil, err
				}
				g.Groups = append(g.Groups, sub)
				continue
			}
			if words == nil {
				words = &Item{Line: c.Line}
				g.Items = append(g.Items, words)
			}
			values, err := (&modifiers{}).values([]*yaml.Node{c}, true, opts)
			if err != nil {
				return nil, err
			}
			words.Values = append(words.Values, values...)
		}
		return g, nil
	case yaml.ScalarNode:
		values, err := (&modifiers{}).values([]*yaml.Node{n}, true, opts)
		if err != nil {
			return nil, err
		}
		return &Group{All: true, Items: []*Item{{Line: n.Line, Values: values}}}, nil
	}
	return nil, errorf(n.Line, "selection has to be a map, a list or a text")
}

func parseItem(key, val *yaml.Node, opts *Options) (*Item, *Error) {
	if key.Kind != yaml.ScalarNode {
		return nil, errorf(key.Line, "a field name has to be a text")
	}
	parts := strings.Split(key.Value, "|")
	m, err := readModifiers(parts[1:], key.Line)
	if err != nil {
		return nil, err
	}
	var nodes []*yaml.Node
	switch val.Kind {
	case yaml.ScalarNode:
		nodes = []*yaml.Node{val}
	case yaml.SequenceNode:
		for _, c := range val.Content {
			c = resolve(c)
			if c.Kind != yaml.ScalarNode {
				return nil, errorf(c.Line, "a value of field %q has to be a text, number, boolean or null", parts[0])
			}
			nodes = append(nodes, c)
		}
	}
	if len(nodes) == 0 {
		return nil, errorf(val.Line, "field %q has to have a value or a list of values", parts[0])
	}
	item := &Item{Field: parts[0], Line: key.Line, All: m.all, Negate: m.negate}
	if item.Field == "" && (m.exists || m.compare || m.fieldref || m.time != NoTime) {
		return nil, errorf(key.Line, "modifier %q needs a field", strings.Join(m.names, "|"))
	}
	if item.Values, err = m.values(nodes, item.Field == "", opts); err != nil {
		return nil, err
	}
	if m.exists && len(item.Values) > 1 {
		return nil, errorf(key.Line, "modifier \"exists\" takes one value")
	}
	return item, nil
}

// values sends the nodes through the chain of modifiers.
func (m *modifiers) values(nodes []*yaml.Node, keyword bool, opts *Options) ([]Value, *Error) {
	var out []Value
	for _, n := range nodes {
		tag := n.ShortTag()
		switch tag {
		case "!!str", "!!int", "!!float", "!!bool", "!!null":
		default: // dates and whatever else YAML knows are text to Sigma
			tag = "!!str"
		}
		if len(n.Value) > 64<<10 {
			return nil, errorf(n.Line, "a value is longer than 64 KiB")
		}
		list := []*scalar{{node: n, tag: tag, raw: n.Value}}
		for _, name := range m.names {
			switch name {
			case "re":
				for _, s := range list {
					s.regex = true
				}
				continue
			case "cidr":
				for _, s := range list {
					s.cidr = true
				}
				continue
			}
			f, ok := transforms[name]
			if !ok || m.fieldref {
				continue
			}
			var next []*scalar
			for _, s := range list {
				if s.tag == "!!null" {
					return nil, errorf(n.Line, "modifier %q cannot be applied to null", name)
				}
				if s.cidr || s.regex && name != "contains" && name != "startswith" && name != "endswith" {
					return nil, errorf(n.Line, "modifier %q cannot follow cidr or re", name)
				}
				made, err := f(s, opts)
				if err != nil {
					return nil, err
				}
				next = append(next, made...)
			}
			if list = next; len(list) > maxExpansion {
				return nil, errorf(n.Line, "modifiers make more than %d values of %q", maxExpansion, n.Value)
			}
		}
		for _, s := range list {
			v, err := m.value(s, keyword)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
	}
	return out, nil
}
