// Package match evaluates compiled Sigma rules over events. A Program is the
// whole rule set compiled once: predicates shared between rules, an index of
// what each rule needs in an event before it is worth asking, and the
// conditions of its log source. A Matcher runs a Program over one event at a
// time and allocates nothing for events that match nothing.
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
	slots  []int32 // by field id: slot + 1
	preds  []predicate
	rules  []rule
	routes []route
	always []int32     // rules that any event may match
	needs  []slotIndex // by slot
	reg    *event.Registry
}

type rule struct {
	cond  node
	route int32 // -1: applies to every event
}

// slotIndex lists the rules that need something of a field.
type slotIndex struct {
	present []int32            // that the field is there
	texts   map[string][]int32 // that a value is this text, folded
	numbers map[int64][]int32  // that a value is this whole number
}

type nodeOp uint8

const (
	opPred nodeOp = iota
	opAnd
	opOr
	opNot
	opAtLeast
)

// node is a condition's tree over predicates.
type node struct {
	op        nodeOp
	n         int
	pred      int32
	cost      int
	kids      []node
	selection string // name of the selection that starts at this node
	item      *sigma.Item
}

// route is a log source as conditions: all clauses hold.
type route struct{ clauses []clause }

// clause is one entry of the routing table. trust is whether it holds for an
// event that says nothing of it.
type clause struct {
	alternatives [][]condition
	trust        bool
}

type condition struct {
	slot       int32
	tests      []test
	unspecific []test
}

// Compile compiles rules in their order: a match names a rule by its index.
// A rule that cannot be compiled gets an error at its index and never
// matches. table may be nil: then every rule applies to every event.
func Compile(rules []*sigma.Rule, reg *event.Registry, table *logsource.Table) (*Program, []error) {
	c := &compiler{p: &Program{rules: make([]rule, len(rules)), reg: reg}, reg: reg, preds: map[string]int32{}, routes: map[sigma.Logsource]int32{}}
	errs := make([]error, len(rules))
	for i, r := range rules {
		if r.Detection == nil {
			errs[i] = fmt.Errorf("rule %s has no detection", r.ID)
			continue
		}
		if errs[i] = c.rule(i, r, table); errs[i] != nil {
			c.p.rules[i] = rule{}
		}
	}
	return c.p, errs
}

// Len is the number of rules.
func (p *Program) Len() int { return len(p.rules) }

type compiler struct {
	p      *Program
	reg    *event.Registry
	preds  map[string]int32
	routes map[sigma.Logsource]int32
}

func (c *compiler) slotOf(name string) (int32, error) {
	id, ok := c.reg.Intern(name)
	if !ok {
		return 0, fmt.Errorf("field %q: the registry of field names is full", name)
	}
	for int(id) >= len(c.p.slots) {
		c.p.slots = append(c.p.slots, 0)
	}
	if c.p.slots[id] == 0 {
		c.p.needs = append(c.p.needs, slotIndex{})
		c.p.slots[id] = int32(len(c.p.needs))
	}
	return c.p.slots[id] - 1, nil
}

func (c *compiler) rule(i int, r *sigma.Rule, table *logsource.Table) error {
	sels := make([]node, len(r.Detection.Selections))
	for j, s := range r.Detection.Selections {
		n, err := c.group(s.Root)
		if err != nil {
			return fmt.Errorf("selection %q: %w", s.Name, err)
		}
		// A selection that is one item gets a node of its own, so that the
		// name does not stick to an item shared with other selections.
		sels[j] = node{op: opAnd, kids: []node{n}, cost: n.cost, selection: s.Name}
	}
	cond := c.expr(r.Detection.Condition, sels)
	rt, err := c.route(r.Logsource, table)
	if err != nil {
		return err
	}
	c.p.rules[i] = rule{cond: cond, route: rt}
	c.index(int32(i), &cond)
	return nil
}

func (c *compiler) group(g *sigma.Group) (node, error) {
	n := node{op: opOr}
	if g.All {
		n.op = opAnd
	}
	for _, it := range g.Items {
		p, err := compileItem(it, c.slotOf)
		if err != nil {
			return n, err
		}
		key := p.key(it)
		at, ok := c.preds[key]
		if !ok {
			at = int32(len(c.p.preds))
			c.preds[key] = at
			c.p.preds = append(c.p.preds, p)
		}
		n.kids = append(n.kids, node{op: opPred, pred: at, cost: p.cost, item: it})
	}
	for _, sub := range g.Groups {
		k, err := c.group(sub)
		if err != nil {
			return n, err
		}
		n.kids = append(n.kids, k)
	}
	return n.ordered(), nil
}

func (c *compiler) expr(e *sigma.Expr, sels []node) node {
	if e.Op == sigma.ExprSelection {
		return sels[e.Selection]
	}
	n := node{n: e.N}
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
		n.kids = append(n.kids, c.expr(a, sels))
	}
	return n.ordered()
}

// ordered puts cheap operands first; the result of and, or does not depend on it.
func (n node) ordered() node {
	slices.SortStableFunc(n.kids, func(a, b node) int { return a.cost - b.cost })
	n.cost = 0
	for _, k := range n.kids {
		n.cost += k.cost
	}
	return n
}

func (c *compiler) route(ls sigma.Logsource, table *logsource.Table) (int32, error) {
	if table == nil {
		return -1, nil
	}
	if at, ok := c.routes[ls]; ok {
		return at, nil
	}
	var rt route
	for _, cl := range table.Resolve(ls) {
		out := clause{trust: cl.Trust || !table.Strict}
		for _, alt := range cl.Alternatives {
			var conds []condition
			for _, cond := range alt {
				slot, err := c.slotOf(cond.Field)
				if err != nil {
					return -1, err
				}
				conds = append(conds, condition{slot: slot, tests: patterns(cond.Values), unspecific: patterns(table.Unspecific[cond.Field])})
			}
			out.alternatives = append(out.alternatives, conds)
		}
		rt.clauses = append(rt.clauses, out)
	}
	at := int32(-1)
	if len(rt.clauses) > 0 {
		at = int32(len(c.p.routes))
		c.p.routes = append(c.p.routes, rt)
	}
	c.routes[ls] = at
	return at, nil
}

func patterns(values []string) []test {
	var out []test
	for _, v := range values {
		out = append(out, compilePattern(&sigma.Value{Pattern: sigma.ParsePattern(v)}))
	}
	return out
}

// need is something an event must have before a rule can match: a field, a
// text or a whole number as its value.
type need struct {
	slot   int32
	text   string
	number int64
	kind   uint8 // 0 present, 1 text, 2 number
}

func (c *compiler) index(at int32, cond *node) {
	needs, ok := c.needs(cond)
	if !ok {
		c.p.always = append(c.p.always, at)
		return
	}
	for _, n := range needs {
		ix := &c.p.needs[n.slot]
		switch n.kind {
		case 0:
			ix.present = appendOnce(ix.present, at)
		case 1:
			if ix.texts == nil {
				ix.texts = map[string][]int32{}
			}
			ix.texts[n.text] = appendOnce(ix.texts[n.text], at)
		case 2:
			if ix.numbers == nil {
				ix.numbers = map[int64][]int32{}
			}
			ix.numbers[n.number] = appendOnce(ix.numbers[n.number], at)
		}
	}
}

func appendOnce(list []int32, at int32) []int32 {
	if len(list) > 0 && list[len(list)-1] == at {
		return list
	}
	return append(list, at)
}

// needs returns things of which an event must have at least one for the node
// to hold. ok is false where nothing of the kind can be said.
func (c *compiler) needs(n *node) (out []need, ok bool) {
	switch n.op {
	case opPred:
		return c.predNeeds(&c.p.preds[n.pred])
	case opNot:
		return nil, false
	case opAnd:
		best := -1
		for i := range n.kids {
			if k, fine := c.needs(&n.kids[i]); fine {
				if w := weight(k); best < 0 || w < best {
					out, best, ok = k, w, true
				}
			}
		}
		return out, ok
	}
	for i := range n.kids {
		k, fine := c.needs(&n.kids[i])
		if !fine {
			return nil, false
		}
		out = append(out, k...)
	}
	return out, len(out) > 0
}

// weight guesses how often needs are met: presence of a field far more often
// than one of its values.
func weight(needs []need) int {
	w := 0
	for _, n := range needs {
		if n.kind == 0 {
			w += 100
		} else {
			w++
		}
	}
	return w
}

func (c *compiler) predNeeds(p *predicate) ([]need, bool) {
	if !p.positive() {
		return nil, false
	}
	present := []need{{slot: p.slot}}
	if p.all {
		return present, true
	}
	var out []need
	for text := range p.texts {
		out = append(out, need{slot: p.slot, kind: 1, text: text})
	}
	for _, t := range p.tests {
		switch {
		case t.kind == testExact && t.form == folded:
			out = append(out, need{slot: p.slot, kind: 1, text: t.text})
		case t.kind == testNumber && t.number.Integer:
			out = append(out, need{slot: p.slot, kind: 2, number: t.number.Int})
		default:
			return present, true
		}
	}
	return out, true
}
