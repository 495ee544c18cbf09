// Package pipeline rewrites Sigma rules for the events at hand: it maps the
// field names that a rule uses to those that the events have, narrows rules
// and changes values. The files are pySigma's processing pipelines (YAML), so
// that pipelines made for other tools work here; what has a meaning only for
// query languages is refused by name. The rewriting happens once, before a
// rule is compiled: events are never changed.
//
// Two things go beyond pySigma. A field that maps to several names stays one
// item with several names (Also of sigma.Item), and keep: true on the field
// name transformations leaves the old names among them. And there are two
// more transformations: any_of makes alternatives of an item, split_field
// spreads a value such as DOMAIN\user over two fields.
package pipeline

import (
	"cmp"
	"fmt"
	"slices"

	"icewatch/detections/sigma"
)

// Folder is how a folder of pipelines is called among rules.
const Folder = "pipelines"

// Pipeline is one parsed file. It is immutable and safe for concurrent use.
type Pipeline struct {
	Name     string
	Priority int // pipelines run in ascending order
	steps    []*step
	vars     map[string][]string // values of placeholders
}

// Apply rewrites a rule: it returns a changed copy, or the rule itself where
// no transformation is for it. An error says that the rule cannot be used with
// this pipeline, because a rule_failure or its kin says so or because a
// transformation cannot be carried out on it.
//
// The fields of a correlation keep their names, because they belong to events
// of the rules it refers to: ask Names about those.
func (p *Pipeline) Apply(r *sigma.Rule) (*sigma.Rule, error) { return Chain{p}.Apply(r) }

// Chain is pipelines that run one after the other as if they were one.
type Chain []*Pipeline

// Order returns the pipelines by ascending priority; those of the same
// priority keep their order.
func Order(list []*Pipeline) Chain {
	c := slices.Clone(list)
	slices.SortStableFunc(c, func(a, b *Pipeline) int { return cmp.Compare(a.Priority, b.Priority) })
	return c
}

// Apply is Apply of all pipelines in turn.
func (c Chain) Apply(r *sigma.Rule) (*sigma.Rule, error) {
	out, _, err := c.run(r, nil)
	return out, err
}

// Names tells under which names each of the fields, called as rules call them,
// is found in the events of a rule: at least one for each, the likeliest first.
func (c Chain) Names(r *sigma.Rule, fields []string) ([][]string, error) {
	_, names, err := c.run(r, fields)
	return names, err
}

func (c Chain) run(r *sigma.Rule, fields []string) (*sigma.Rule, [][]string, error) {
	t := &run{rule: r, original: r, asked: each(fields), applied: map[string]bool{}}
	for _, p := range c {
		for _, s := range p.steps {
			if err := t.step(p, s); err != nil {
				return nil, nil, fmt.Errorf("pipeline %q: %w", p.Name, err)
			}
		}
	}
	if err := t.finish(); err != nil {
		return nil, nil, err
	}
	return t.rule, t.asked, nil
}

// each makes a list of one name of every name.
func each(fields []string) [][]string {
	out := make([][]string, len(fields))
	for i, f := range fields {
		out[i] = []string{f}
	}
	return out
}

// step is one transformation with the conditions under which it applies.
type step struct {
	id     string
	line   int
	kind   string
	rule   gate[*run]
	item   gate[itemAt]
	field  gate[fieldAt]
	action action
}

// action is what a step does to the rule of a run.
type action interface {
	apply(t *run, s *step) error
}

// run is one rule on its way through the pipelines.
type run struct {
	pipeline *Pipeline
	original *sigma.Rule
	rule     *sigma.Rule    // the original until the first step applies, then a copy
	roots    []*sigma.Group // the items that steps see

	// Fields that are mapped beside the items, each with its names: the rule's
	// fields, those that group its alerts and those that Names is asked for.
	listed, grouped, asked [][]string

	applied map[string]bool                 // ids of steps
	fields  map[string]map[string]bool      // ids of the steps that a field name went through
	items   map[*sigma.Item]map[string]bool // ids of the steps that an item went through
	mapped  map[string]bool                 // names that a mapping gave or kept
	state   map[string]string
	custom  map[string]string
}

func (t *run) step(p *Pipeline, s *step) error {
	t.pipeline = p
	if !s.rule.open(t) {
		return nil
	}
	t.copy()
	if err := s.action.apply(t, s); err != nil {
		return fmt.Errorf("transformation of line %d (%s): %w", s.line, s.kind, err)
	}
	if s.id != "" {
		t.applied[s.id] = true
	}
	return nil
}

// copy makes the rule the run's own before the first change.
func (t *run) copy() {
	if t.rule != t.original {
		return
	}
	r := *t.original
	r.Tags = slices.Clone(r.Tags)
	if r.Detection != nil {
		d := *r.Detection
		d.Selections = make([]*sigma.Selection, len(d.Selections))
		for i, s := range r.Detection.Selections {
			d.Selections[i] = &sigma.Selection{Name: s.Name, Line: s.Line, Root: cloneGroup(s.Root)}
			t.roots = append(t.roots, d.Selections[i].Root)
		}
		r.Detection = &d
	}
	t.rule = &r
	t.fields = map[string]map[string]bool{}
	t.items = map[*sigma.Item]map[string]bool{}
	t.mapped = map[string]bool{}
	t.state = map[string]string{}
	t.custom = map[string]string{}
	t.listed, t.grouped = each(r.Fields), each(r.Custom.GroupBy)
}

// names sends the names of every field beside the items through f.
func (t *run) names(f func(field []string) ([]string, error)) error {
	for _, list := range [][][]string{t.listed, t.grouped, t.asked} {
		for i := range list {
			changed, err := f(list[i])
			if err != nil {
				return err
			}
			list[i] = changed
		}
	}
	return nil
}

// finish puts what was mapped beside the items back into the rule and takes
// out of the condition what has no item left.
func (t *run) finish() error {
	if t.rule == t.original {
		return nil
	}
	t.rule.Fields, t.rule.Custom.GroupBy = flat(t.listed), flat(t.grouped)
	if t.rule.Detection != nil {
		return prune(t.rule.Detection)
	}
	return nil
}

func flat(lists [][]string) []string {
	var out []string
	for _, list := range lists {
		for _, name := range list {
			out = appendNew(out, name)
		}
	}
	return out
}

func cloneGroup(g *sigma.Group) *sigma.Group {
	out := &sigma.Group{All: g.All, Items: make([]*sigma.Item, len(g.Items)), Groups: make([]*sigma.Group, len(g.Groups))}
	for i, it := range g.Items {
		out.Items[i] = cloneItem(it)
	}
	for i, sub := range g.Groups {
		out.Groups[i] = cloneGroup(sub)
	}
	return out
}

// cloneItem copies an item. Patterns are shared: they are replaced, never changed.
func cloneItem(it *sigma.Item) *sigma.Item {
	c := *it
	c.Also = slices.Clone(it.Also)
	c.Values = slices.Clone(it.Values)
	return &c
}

// fork is cloneItem for an item of the run: the copy went through the same steps.
func (t *run) fork(it *sigma.Item) *sigma.Item {
	c := cloneItem(it)
	for id := range t.items[it] {
		t.mark(c, id)
	}
	return c
}

func (t *run) mark(it *sigma.Item, id string) {
	if id == "" {
		return
	}
	if t.items[it] == nil {
		t.items[it] = map[string]bool{}
	}
	t.items[it][id] = true
}

// namesOf an item, the first one first.
func namesOf(it *sigma.Item) []string { return append([]string{it.Field}, it.Also...) }
