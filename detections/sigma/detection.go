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
	// KeepPlaceholders leaves a placeholder without values in the pattern, for
	// a pipeline to resolve, in place of refusing the rule.
	KeepPlaceholders bool
}

// reader reads one document.
type reader struct {
	opts     *Options
	room     int // bytes that the document's values may still take
	warnings []*Error
}

func (r *reader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, errorf(line, format, args...))
}

// maxNesting bounds lists in lists of a selection.
const maxNesting = 16

// detection reads the searches of a rule, or with filter those of a filter.
func (r *reader) detection(n *yaml.Node, filter bool) (*Detection, *Error) {
	what := "detection"
	if filter {
		what = "filter"
	}
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "%s has to be a map of selections", what)
	}
	d := &Detection{}
	var condition *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], resolve(n.Content[i+1])
		switch {
		case key.Value == "condition":
			condition = val
		case key.Value == "rules" && filter:
		case key.Value == "timeframe" && val.Kind == yaml.ScalarNode:
			r.warn(key.Line, "timeframe belonged to the aggregations of Sigma 1 and does nothing: a correlation rule has a timespan")
		default:
			g, err := r.group(val, 0)
			if err != nil {
				return nil, err
			}
			d.Selections = append(d.Selections, &Selection{Name: key.Value, Line: key.Line, Root: g})
		}
	}
	if condition == nil {
		return nil, errorf(n.Line, "%s has no condition", what)
	}
	if len(d.Selections) == 0 {
		return nil, errorf(n.Line, "%s has no selection", what)
	}
	texts := []*yaml.Node{condition}
	if condition.Kind == yaml.SequenceNode && !filter {
		texts = texts[:0]
		for _, c := range condition.Content {
			texts = append(texts, resolve(c))
		}
	}
	var args []*Expr
	for _, t := range texts {
		if t.Kind != yaml.ScalarNode {
			if filter {
				return nil, errorf(t.Line, "a filter's condition has to be a text")
			}
			return nil, errorf(t.Line, "condition has to be a text or a list of texts")
		}
		e, err := parseCondition(t.Value, t.Line, d.Selections)
		if err != nil {
			return nil, err
		}
		args = append(args, e)
	}
	switch len(args) {
	case 0:
		return nil, errorf(condition.Line, "condition has to be a text or a list of texts")
	case 1:
		d.Condition = args[0]
	default:
		d.Condition = &Expr{Op: ExprOr, Args: args}
	}
	r.warnings = append(r.warnings, d.unused()...)
	return d, nil
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

// group reads a selection: a map (all of its fields), a list (any of its
// entries) or a single keyword.
func (r *reader) group(n *yaml.Node, depth int) (*Group, *Error) {
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
			item, values, err := r.item(n.Content[i], resolve(n.Content[i+1]))
			if err != nil {
				return nil, err
			}
			g.add(Spread(item, values))
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
				sub, err := r.group(c, depth+1)
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
			values, err := r.values(&modifiers{}, []*yaml.Node{c}, true)
			if err != nil {
				return nil, err
			}
			words.Values = append(words.Values, values[0]...)
		}
		return g, nil
	case yaml.ScalarNode:
		values, err := r.values(&modifiers{}, []*yaml.Node{n}, true)
		if err != nil {
			return nil, err
		}
		return &Group{All: true, Items: []*Item{{Line: n.Line, Values: values[0]}}}, nil
	}
	return nil, errorf(n.Line, "selection has to be a map, a list or a text")
}

// item reads a field with its modifiers and values. The values come by the
// written value that they are made of.
func (r *reader) item(key, val *yaml.Node) (*Item, [][]Value, *Error) {
	parts := strings.Split(key.Value, "|")
	m, err := readModifiers(parts[1:], key.Line)
	if err != nil {
		return nil, nil, err
	}
	var nodes []*yaml.Node
	switch val.Kind {
	case yaml.ScalarNode:
		nodes = []*yaml.Node{val}
	case yaml.SequenceNode:
		for _, c := range val.Content {
			c = resolve(c)
			if c.Kind != yaml.ScalarNode {
				return nil, nil, errorf(c.Line, "a value of field %q has to be a text, number, boolean or null", parts[0])
			}
			if c.ShortTag() == "!!null" && len(val.Content) > 1 && m.as == asText {
				r.warn(c.Line, "null among the values of field %q: the specification wants a selection of its own for it", parts[0])
			}
			nodes = append(nodes, c)
		}
	}
	if len(nodes) == 0 {
		return nil, nil, errorf(val.Line, "field %q has to have a value or a list of values", parts[0])
	}
	item := &Item{Field: parts[0], Line: key.Line, All: m.all, Negate: m.negate}
	if item.Field == "" && (m.as == asPresence || m.as == asReference || m.as == asNumber) {
		return nil, nil, errorf(key.Line, "modifier %q needs a field", m)
	}
	if m.all && len(nodes) == 1 {
		r.warn(key.Line, "modifier \"all\" with one value does nothing, and the specification does not allow it")
	}
	values, err := r.values(m, nodes, item.Field == "")
	if err != nil {
		return nil, nil, err
	}
	if m.as == asPresence && len(values) > 1 {
		return nil, nil, errorf(key.Line, "modifier \"exists\" takes one value")
	}
	return item, values, nil
}

// Spread gives an item its values, each written value having become one or
// several of which any may be met. Where modifier all asks for every written
// value and one of them became several, it takes an item for each.
func Spread(item *Item, written [][]Value) *Group {
	several := false
	for _, values := range written {
		several = several || len(values) > 1
		item.Values = append(item.Values, values...)
	}
	if !item.All || !several {
		return &Group{All: true, Items: []*Item{item}}
	}
	g := &Group{All: !item.Negate} // not all of them: any of them not
	for _, values := range written {
		each := *item
		each.All, each.Values = false, values
		g.Items = append(g.Items, &each)
	}
	return g
}

// add joins what both have to hold.
func (g *Group) add(more *Group) {
	if more.All {
		g.Items = append(g.Items, more.Items...)
		return
	}
	g.Groups = append(g.Groups, more)
}
