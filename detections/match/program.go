// Package match evaluates compiled Sigma rules over events. A Program is the
// whole rule set compiled once, a group of rules for each log source. In a
// group every text that any rule compares a field to stands once, in one
// index a field; one pass over a value finds all of them. Each rule names
// texts of which an event must hold at least one (its witnesses): only rules
// whose witness was found are evaluated. A Matcher runs a Program over one
// event at a time and allocates nothing for events that match nothing.
package match

import (
	"fmt"
	"slices"

	"icewatch/detections/logsource"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Program is an immutable compiled rule set, safe for concurrent use.
type Program struct {
	reg    *event.Registry
	rules  []rule
	nodes  []node
	meta   []meta // by node
	terms  []term
	lists  int // how many long lists of terms there are
	checks []check
	slots  []slot
	groups []group
	routes routes
	size   int

	columns int // how many there are in all groups
}

// rule is where a rule's condition begins, and its group; root is -1 for a
// rule that could not be compiled.
type rule struct {
	root  int32
	group int32
}

// slot is a field as rules see it: the values of all of its names together.
// A slot without names is the keyword search: every value of the event.
type slot struct{ ids []event.FieldID }

// group is the rules of one log source.
type group struct {
	route   int32 // -1: applies to every event
	columns []*column
	always  []int32 // rules without a witness
}

type op uint8

const (
	opTerms op = iota // any of the terms, the list, the checks
	opAnd
	opOr
	opNot
	opAtLeast
)

// node is one step of a condition. Its operands are nodes[from:to], or for
// opTerms terms named by the lists.
type node struct {
	op       op
	n        int32 // opAtLeast
	from, to int32
	list     int32   // opTerms: a long list, -1 for none
	terms    []int32 // opTerms: few terms, looked up one by one
	checks   []int32 // opTerms: comparisons made only when asked
}

// meta is what evidence needs of a node.
type meta struct {
	selection string      // name of the selection that starts here
	item      *sigma.Item // item this node is
	slot      int32       // of the item
	all       []int32     // opTerms: every term, those of the long list included
}

// longList is how many terms a list may have before finding one of them marks
// the list itself.
const longList = 8

// Compile compiles rules in their order: a match names a rule by its index.
// A rule that cannot be compiled gets an error at its index and never
// matches. table may be nil: then every rule applies to every event.
func Compile(rules []*sigma.Rule, reg *event.Registry, table *logsource.Table) (*Program, []error) {
	c := newCompiler(rules, reg, table)
	errs := make([]error, len(rules))
	for i, r := range rules {
		c.p.rules[i] = rule{root: -1}
		if r.Detection == nil {
			errs[i] = fmt.Errorf("rule %s has no detection", r.ID)
			continue
		}
		errs[i] = c.rule(int32(i), r)
	}
	c.finish()
	return c.p, errs
}

// Len is the number of rules.
func (p *Program) Len() int { return len(p.rules) }

// Size is about how many bytes the program keeps.
func (p *Program) Size() int { return p.size }

// tree is a node while a rule is compiled.
type tree struct {
	op        op
	n         int
	kids      []*tree
	terms     []int32
	checks    []int32
	cost      int
	selection string
	item      *sigma.Item
	slot      int32
}

type compiler struct {
	p      *Program
	table  *logsource.Table
	slots  map[string]int32
	groups map[int32]*groupCompiler // by route
	byLogs map[sigma.Logsource]int32
	order  []*groupCompiler
}

// groupCompiler gathers what the rules of one log source compare.
type groupCompiler struct {
	at     int32
	route  int32
	terms  map[termKey]int32
	checks map[string]int32
	lists  map[string]int32
	rules  []compiled
	mine   []int32 // terms in order
}

type compiled struct {
	at   int32
	root *tree
}

func newCompiler(rules []*sigma.Rule, reg *event.Registry, table *logsource.Table) *compiler {
	return &compiler{p: &Program{reg: reg, rules: make([]rule, len(rules))}, table: table,
		slots: map[string]int32{}, groups: map[int32]*groupCompiler{}, byLogs: map[sigma.Logsource]int32{}}
}

// slot is the field of some names; none is the keyword search.
func (c *compiler) slot(names ...string) (int32, error) {
	key := ""
	for _, n := range names {
		key += n + "\x00"
	}
	if at, ok := c.slots[key]; ok {
		return at, nil
	}
	var s slot
	for _, n := range names {
		id, ok := c.p.reg.Intern(n)
		if !ok {
			return 0, fmt.Errorf("field %q: the registry of field names is full", n)
		}
		if !slices.Contains(s.ids, id) {
			s.ids = append(s.ids, id)
		}
	}
	at := int32(len(c.p.slots))
	c.p.slots = append(c.p.slots, s)
	c.slots[key] = at
	return at, nil
}

func (c *compiler) itemSlot(it *sigma.Item) (int32, error) {
	if it.Field == "" {
		return c.slot()
	}
	return c.slot(append([]string{it.Field}, it.Also...)...)
}

func (c *compiler) rule(at int32, r *sigma.Rule) error {
	route, err := c.route(r.Logsource)
	if err != nil {
		return err
	}
	g := c.groups[route]
	if g == nil {
		g = &groupCompiler{at: int32(len(c.order)), route: route, terms: map[termKey]int32{}, checks: map[string]int32{}, lists: map[string]int32{}}
		c.groups[route] = g
		c.order = append(c.order, g)
	}
	selections := make([]*tree, len(r.Detection.Selections))
	for i, s := range r.Detection.Selections {
		n, err := c.selection(g, s.Root)
		if err != nil {
			return fmt.Errorf("selection %q: %w", s.Name, err)
		}
		selections[i] = &tree{op: opAnd, kids: []*tree{n}, selection: s.Name}
	}
	root := expression(r.Detection.Condition, selections)
	root.arrange()
	g.rules = append(g.rules, compiled{at: at, root: root})
	return nil
}

func (c *compiler) selection(g *groupCompiler, s *sigma.Group) (*tree, error) {
	n := &tree{op: opOr}
	if s.All {
		n.op = opAnd
	}
	for _, it := range s.Items {
		k, err := c.item(g, it)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, k)
	}
	for _, sub := range s.Groups {
		k, err := c.selection(g, sub)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, k)
	}
	return n, nil
}

// item is the tree of a field and its values: any of them, all of them for
// the modifier all, turned round for neq.
func (c *compiler) item(g *groupCompiler, it *sigma.Item) (*tree, error) {
	slot, err := c.itemSlot(it)
	if err != nil {
		return nil, err
	}
	any := &tree{op: opTerms, item: it, slot: slot}
	each := []*tree{}
	for i := range it.Values {
		into := any
		if it.All {
			into = &tree{op: opTerms, item: it, slot: slot}
			each = append(each, into)
		}
		if err := c.value(g, slot, &it.Values[i], into); err != nil {
			return nil, err
		}
	}
	n := any
	if it.All {
		n = &tree{op: opAnd, kids: each}
	}
	if it.Negate {
		n = &tree{op: opNot, kids: []*tree{n}, item: it, slot: slot}
	}
	return n, nil
}

func expression(e *sigma.Expr, selections []*tree) *tree {
	if e.Op == sigma.ExprSelection {
		return selections[e.Selection]
	}
	n := &tree{n: e.N}
	switch e.Op {
	case sigma.ExprAnd:
		n.op = opAnd
	case sigma.ExprOr:
		n.op = opOr
	case sigma.ExprNot:
		n.op = opNot
	default:
		n.op = opAtLeast
	}
	for _, a := range e.Args {
		n.kids = append(n.kids, expression(a, selections))
	}
	return n
}

// arrange puts cheap operands first; the result of and, or does not depend on
// it. A selection that the condition names twice is arranged twice: no harm.
func (n *tree) arrange() {
	n.cost = len(n.terms) + 50*len(n.checks)
	for _, k := range n.kids {
		k.arrange()
		n.cost += k.cost
	}
	slices.SortStableFunc(n.kids, func(a, b *tree) int { return a.cost - b.cost })
}

// finish lays everything out and chooses the witnesses.
func (c *compiler) finish() {
	for _, g := range c.order {
		out := group{route: g.route}
		for _, r := range g.rules {
			c.p.rules[r.at] = rule{root: c.lay(g, r.root), group: g.at}
		}
		c.guess(g)
		for _, r := range g.rules {
			witnesses, ok := c.witnesses(r.root)
			if !ok {
				out.always = append(out.always, r.at)
				continue
			}
			for _, t := range witnesses {
				w := &c.p.terms[t].watchers
				if !slices.Contains(*w, r.at) {
					*w = append(*w, r.at)
				}
			}
		}
		out.columns = c.columns(g)
		for _, col := range out.columns {
			col.at = int32(c.p.columns)
			c.p.columns++
		}
		c.p.groups = append(c.p.groups, out)
	}
	c.p.size = c.p.measure()
}

// lay writes a tree into the program's nodes and returns where it begins.
func (c *compiler) lay(g *groupCompiler, t *tree) int32 {
	at := c.reserve(1)
	c.write(g, at, t)
	return at
}

func (c *compiler) reserve(n int) int32 {
	at := int32(len(c.p.nodes))
	c.p.nodes = append(c.p.nodes, make([]node, n)...)
	c.p.meta = append(c.p.meta, make([]meta, n)...)
	return at
}

func (c *compiler) write(g *groupCompiler, at int32, t *tree) {
	n := node{op: t.op, n: int32(t.n), list: -1}
	m := meta{selection: t.selection, item: t.item, slot: t.slot}
	if t.op == opTerms {
		m.all = t.terms
		n.checks = t.checks
		if len(t.terms) <= longList {
			n.terms = t.terms
		} else {
			n.list = c.list(g, t.terms)
		}
	} else {
		n.from = c.reserve(len(t.kids))
		n.to = n.from + int32(len(t.kids))
		for i, k := range t.kids {
			c.write(g, n.from+int32(i), k)
		}
	}
	c.p.nodes[at], c.p.meta[at] = n, m
}

// list is the mark of a long list of terms; equal lists share one.
func (c *compiler) list(g *groupCompiler, terms []int32) int32 {
	sorted := slices.Clone(terms)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	key := fmt.Sprint(sorted)
	if at, ok := g.lists[key]; ok {
		return at
	}
	at := int32(c.p.lists)
	c.p.lists++
	g.lists[key] = at
	for _, t := range sorted {
		c.p.terms[t].lists = append(c.p.terms[t].lists, at)
	}
	return at
}

// measure adds up what the program's tables keep.
func (p *Program) measure() int {
	n := len(p.rules)*8 + len(p.nodes)*int(sizeNode) + len(p.meta)*int(sizeMeta) + len(p.terms)*int(sizeTerm) + len(p.checks)*int(sizeCheck)
	for i := range p.nodes {
		n += 4 * (len(p.nodes[i].terms) + len(p.nodes[i].checks))
	}
	for i := range p.terms {
		n += len(p.terms[i].text) + 4*(cap(p.terms[i].watchers)+cap(p.terms[i].lists))
	}
	for i := range p.groups {
		for _, c := range p.groups[i].columns {
			n += c.size()
		}
	}
	return n
}
