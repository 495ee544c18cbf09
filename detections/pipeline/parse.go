package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// Bounds of what a file may hold.
const (
	maxNesting = 16 // transformations in transformations, parentheses
)

func errorf(line int, format string, args ...any) *sigma.Error {
	return &sigma.Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// Parse reads a pipeline file: one YAML document in the format of pySigma's
// processing pipelines. The error is a *sigma.Error with the line.
func Parse(data []byte) (*Pipeline, error) {
	root, err := sigma.Document(data, "pipeline")
	if err != nil {
		return nil, err
	}
	p, fault := parseFile(root)
	if fault != nil {
		return nil, fault
	}
	return p, nil
}

func parseFile(n *yaml.Node) (*Pipeline, *sigma.Error) {
	m := read(n, "the pipeline")
	p := &Pipeline{vars: map[string][]string{}}
	p.Name = m.text("name", "")
	p.Priority = m.number("priority", 0)
	m.take("allowed_backends") // says which query languages the pipeline is for
	for _, key := range []string{"postprocessing", "finalizers"} {
		if n := m.take(key); n != nil && len(n.Content) > 0 {
			return nil, errorf(n.Line, "%s change the text of queries; rules are not made into queries here", key)
		}
	}
	if vars := m.sub("vars"); vars != nil {
		for _, name := range vars.keys {
			p.vars[name] = vars.texts(name)
		}
		m.fail(vars.done())
	}
	list := m.list("transformations")
	if err := m.done(); err != nil {
		return nil, err
	}
	steps, err := parseSteps(list, 0)
	p.steps = steps
	return p, err
}

func parseSteps(list []*yaml.Node, depth int) ([]*step, *sigma.Error) {
	var out []*step
	for _, n := range list {
		if depth > maxNesting {
			return nil, errorf(n.Line, "transformations are nested deeper than %d", maxNesting)
		}
		s, err := parseStep(n, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func parseStep(n *yaml.Node, depth int) (*step, *sigma.Error) {
	m := read(n, "a transformation")
	s := &step{line: n.Line}
	s.id = m.text("id", "")
	if s.kind = m.text("type", ""); s.kind == "" {
		m.fail(errorf(m.line, "a transformation has no type"))
	}
	m.what = "the transformation " + s.kind
	s.rule = readGate(m, "rule", ruleConditions)
	s.item = readGate(m, "detection_item", itemConditions)
	s.field = readGate(m, "field_name", fieldConditions)
	if m.err != nil {
		return nil, m.err
	}
	if why, known := unsupported[s.kind]; known {
		return nil, errorf(m.line, "the transformation type %q is not supported: %s", s.kind, why)
	}
	build, ok := actions[s.kind]
	switch {
	case ok:
		s.action = build(m)
	case s.kind == "nest" || s.kind == "any_of":
		s.action = parseNested(m, s.kind, depth)
	default:
		return nil, errorf(m.line, "the transformation type %q is unknown", s.kind)
	}
	return s, m.done()
}

// parseNested reads the transformations within nest, or the alternatives
// within any_of: a list of lists of transformations.
func parseNested(m *members, kind string, depth int) action {
	if kind == "nest" {
		steps, err := parseSteps(m.list("items"), depth+1)
		m.fail(err)
		return nest(steps)
	}
	var a alternatives
	for _, n := range m.list("alternatives") {
		if n = resolve(n); n.Kind != yaml.SequenceNode {
			m.fail(errorf(n.Line, "an alternative of any_of has to be a list of transformations"))
			break
		}
		steps, err := parseSteps(n.Content, depth+1)
		if err == nil {
			err = onlyItems(steps)
		}
		m.fail(err)
		a = append(a, steps)
	}
	return a
}

// onlyItems refuses transformations of whole rules within an alternative for
// one item.
func onlyItems(steps []*step) *sigma.Error {
	for _, s := range steps {
		switch a := s.action.(type) {
		case nest:
			if err := onlyItems(a); err != nil {
				return err
			}
		case whole, addedCondition:
			return errorf(s.line, "%s changes the rule as a whole and cannot be in an alternative of any_of", s.kind)
		}
	}
	return nil
}

// readGate reads the conditions of one kind: a list, or a map of named ones
// with an expression over the names.
func readGate[T any](m *members, kind string, known map[string]func(*members) func(T) bool) gate[T] {
	n := m.take(kind + "_conditions")
	op, not := m.text(kind+"_cond_op", ""), m.boolean(kind+"_cond_not", false)
	expr := m.take(kind + "_cond_expr")
	if op != "" && op != "and" && op != "or" {
		m.fail(errorf(m.line, "%s_cond_op is and or or, not %q", kind, op))
	}
	if n == nil {
		if expr != nil {
			m.fail(errorf(expr.Line, "%s_cond_expr needs %s_conditions", kind, kind))
		}
		return gate[T]{}
	}
	var list []func(T) bool
	named := map[string]func(T) bool{}
	add := func(name string, n *yaml.Node) {
		c := read(n, "a condition of "+m.what)
		t := c.text("type", "")
		build, ok := known[t]
		if !ok {
			if c.err == nil {
				c.err = errorf(n.Line, "the %s condition type %q is unknown; known are %s", strings.ReplaceAll(kind, "_", " "), t, keys(known))
			}
			m.fail(c.err)
			return
		}
		c.what = "the condition " + t
		f := build(c)
		m.fail(c.done())
		list = append(list, f)
		named[name] = f
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			add("", resolve(c))
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			add(n.Content[i].Value, resolve(n.Content[i+1]))
		}
	default:
		m.fail(errorf(n.Line, "%s_conditions has to be a list, or a map of named conditions", kind))
	}
	if m.err != nil {
		return gate[T]{}
	}
	if expr == nil {
		return link(list, op == "or", not)
	}
	if op != "" || n.Kind != yaml.MappingNode {
		m.fail(errorf(expr.Line, "%s_cond_expr goes with named conditions and without %s_cond_op", kind, kind))
		return gate[T]{}
	}
	f, err := expression(expr.Value, named, expr.Line)
	m.fail(err)
	return link([]func(T) bool{f}, false, not)
}

func keys[V any](m map[string]V) string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
