package sigma

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// filter reads the attribute filter: the rules it is for, selections and a
// condition that an event has to meet beside the rule's own.
func (r *reader) filter(n *yaml.Node) (*Filter, *Error) {
	if n.Kind != yaml.MappingNode {
		return nil, errorf(n.Line, "filter has to be a map of rules, selections and a condition")
	}
	f := &Filter{Line: n.Line}
	var rules *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Value == "rules" {
			rules = resolve(n.Content[i+1])
			names, err := texts(key, rules)
			if err != nil {
				return nil, err
			}
			f.Rules = names
		}
	}
	if rules == nil {
		return nil, errorf(n.Line, "filter names no rules: give a list of ids or names, or any")
	}
	seen := map[string]bool{}
	for _, name := range f.Rules {
		switch {
		case name == "":
			return nil, errorf(rules.Line, "filter.rules holds an empty name")
		case seen[name]:
			r.warn(rules.Line, "filter.rules names %q twice", name)
		}
		seen[name] = true
	}
	switch {
	case len(f.Rules) == 0:
		return nil, errorf(rules.Line, "filter.rules is empty: give ids or names of rules, or any")
	case len(f.Rules) == 1 && strings.EqualFold(f.Rules[0], "any"):
		f.Any, f.Rules = true, nil
	case seen["any"]:
		return nil, errorf(rules.Line, "filter.rules is either any or a list of rules, not both")
	}
	var err *Error
	if f.Detection, err = r.detection(n, true); err != nil {
		return nil, err
	}
	if !negates(f.Detection.Condition) && !f.Detection.negates() {
		r.warn(n.Line, "the filter's condition keeps only the matches that meet it; to take matches away write \"not selection\"")
	}
	return f, nil
}

// negates tells whether a not stands anywhere in the condition.
func negates(e *Expr) bool {
	if e.Op == ExprNot {
		return true
	}
	for _, a := range e.Args {
		if negates(a) {
			return true
		}
	}
	return false
}

// negates tells whether an item of the selections has the modifier neq.
func (d *Detection) negates() bool {
	var in func(g *Group) bool
	in = func(g *Group) bool {
		return slices.ContainsFunc(g.Items, func(it *Item) bool { return it.Negate }) || slices.ContainsFunc(g.Groups, in)
	}
	return slices.ContainsFunc(d.Selections, func(s *Selection) bool { return in(s.Root) })
}

// Apply returns the rule with the filter's condition joined to its own by
// "and". The rule itself stays as it is.
func (f *Rule) Apply(rule *Rule) *Rule {
	out, d := *rule, *rule.Detection
	offset := len(d.Selections)
	d.Selections = append(d.Selections[:offset:offset], make([]*Selection, 0, len(f.Filter.Detection.Selections))...)
	for _, s := range f.Filter.Detection.Selections {
		d.Selections = append(d.Selections, &Selection{Name: f.Title + ": " + s.Name, Line: s.Line, Root: s.Root})
	}
	d.Condition = &Expr{Op: ExprAnd, Args: []*Expr{d.Condition, f.Filter.Detection.Condition.shift(offset)}}
	out.Detection = &d
	out.Filters = append(rule.Filters[:len(rule.Filters):len(rule.Filters)], f)
	return &out
}

// shift returns the tree with its selections further down the list.
func (e *Expr) shift(by int) *Expr {
	out := *e
	if e.Op == ExprSelection {
		out.Selection += by
	}
	out.Args = nil
	for _, a := range e.Args {
		out.Args = append(out.Args, a.shift(by))
	}
	return &out
}

// Covers tells whether every part that l names is the same in the other: a
// filter for Windows covers a rule for process creation on Windows.
func (l Logsource) Covers(other Logsource) bool {
	part := func(mine, its string) bool { return mine == "" || strings.EqualFold(mine, its) }
	return part(l.Category, other.Category) && part(l.Product, other.Product) && part(l.Service, other.Service)
}
