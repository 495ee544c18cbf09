package reach

import (
	"slices"
	"strings"
)

// Tenant is what a tenant says of all of its rows.
type Tenant struct {
	Slug     string
	Unit     string // id of the organisation it belongs to, "" where it does not say
	Region   string
	Industry string
	Labels   []string
}

// Unit is an organisation in the tree of organisations.
type Unit struct {
	ID       string
	Parent   string // "" at the top
	Code     string // another name that expressions may call it by; "" where it has none
	Names    []string
	Region   string
	Industry string
}

// Directory is all tenants and organisations at one time. It is not changed
// once it is made; NewDirectory makes one.
type Directory struct {
	tenants []Tenant
	units   []Unit
	byID    map[string]int
	byCode  map[string]int
	below   map[string][]string // ids of the units right below
	removed []string            // tenants that nobody sees any more
}

// WithRemoved adds the tenants that were removed: nothing that is compiled with
// the directory covers them, not even what covers everything. It returns d.
func (d *Directory) WithRemoved(slugs ...string) *Directory {
	d.removed = slugs
	return d
}

// NewDirectory puts the tenants and units in order. A tenant without a region
// or an industry has those of its organisation, or of the nearest above that
// has one.
func NewDirectory(tenants []Tenant, units []Unit) *Directory {
	d := &Directory{tenants: slices.Clone(tenants), units: slices.Clone(units),
		byID: make(map[string]int, len(units)), byCode: make(map[string]int, len(units)), below: make(map[string][]string, len(units))}
	for i, u := range d.units {
		d.byID[u.ID] = i
		if u.Code != "" {
			d.byCode[u.Code] = i
		}
		d.below[u.Parent] = append(d.below[u.Parent], u.ID)
	}
	for i := range d.tenants {
		t := &d.tenants[i]
		// Bounded, so that a ring of parents ends.
		id := t.Unit
		for range 64 {
			at, ok := d.byID[id]
			if !ok || t.Region != "" && t.Industry != "" {
				break
			}
			u := d.units[at]
			if t.Region == "" {
				t.Region = u.Region
			}
			if t.Industry == "" {
				t.Industry = u.Industry
			}
			id = u.Parent
		}
	}
	return d
}

// resolve returns the id of the unit that goes by this id or code. What nobody
// knows is taken as an id: rows may name a unit that has been removed.
func (d *Directory) resolve(name string) (string, bool) {
	if _, ok := d.byID[name]; ok {
		return name, true
	}
	if at, ok := d.byCode[name]; ok {
		return d.units[at].ID, true
	}
	return name, false
}

// under returns the ids of the units and of all below them.
func (d *Directory) under(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	list := slices.Clone(ids)
	for i := 0; i < len(list); i++ {
		if seen[list[i]] {
			continue
		}
		seen[list[i]] = true
		list = append(list, d.below[list[i]]...)
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// called returns the ids of the units whose id, code or name holds one of texts.
func (d *Directory) called(texts []string) []string {
	var ids []string
	for _, u := range d.units {
		holds := func(s string) bool {
			return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(s, t) })
		}
		if holds(u.ID) || holds(u.Code) || slices.ContainsFunc(u.Names, holds) {
			ids = append(ids, u.ID)
		}
	}
	return ids
}

// Unknown lists the tenants and organisations that the expression names and
// the directory does not know: a hint that a name is misspelt, not an error.
func (e Expr) Unknown(d *Directory) []string {
	var out []string
	e.root.each(func(n *node) {
		if n.op != opIn && n.op != opUnder {
			return
		}
		for _, v := range n.values {
			known := true
			switch n.fact {
			case organisation:
				_, known = d.resolve(v)
			case tenant:
				known = slices.ContainsFunc(d.tenants, func(t Tenant) bool { return t.Slug == v })
			}
			if !known && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	})
	return out
}

// Units lists the ids of the organisations that the expression's conditions
// stand for, with those below where they say under.
func (e Expr) Units(d *Directory) []string {
	c := compiler{dir: d, units: map[*node][]string{}}
	var ids []string
	e.root.each(func(n *node) {
		if n.fact == organisation && n.op != opExists {
			for _, id := range c.unitsOf(n) {
				if _, known := d.byID[id]; known {
					ids = append(ids, id)
				}
			}
		}
	})
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Compile makes a Reach of the expression for the tenants and organisations
// there are. A tenant that comes later is not in it: compile again then.
func (e Expr) Compile(d *Directory) Reach {
	if e.root == nil || d == nil {
		return Reach{}
	}
	c := compiler{dir: d, plain: map[*node]*test{}, withAbsent: map[*node]*test{}, units: map[*node][]string{}}
	tests := make(map[string]*test, len(d.tenants))
	for i := range d.tenants {
		if t := c.compile(e.root, &d.tenants[i]); t != no {
			tests[d.tenants[i].Slug] = t
		}
	}
	r := newReach(tests)
	if r.v != nil {
		r.terms = &Terms{Expressions: []string{e.String()}}
	}
	return r
}

// compiler compiles one expression. What a condition asks of rows is the same
// for all tenants but for the outcome on rows that say nothing, so each is made
// at most twice.
type compiler struct {
	dir               *Directory
	plain, withAbsent map[*node]*test
	units             map[*node][]string
}

func (c *compiler) compile(n *node, t *Tenant) *test {
	switch n.op {
	case opAnd, opOr:
		kind := every
		if n.op == opOr {
			kind = either
		}
		parts := make([]*test, len(n.kids))
		for i, k := range n.kids {
			parts[i] = c.compile(k, t)
		}
		return combine(kind, parts...)
	case opNot:
		return not(c.compile(n.kids[0], t))
	}
	values := n.values
	kind := map[operator]testKind{opIn: isOneOf, opUnder: isOneOf, opContains: holds, opExists: present}[n.op]
	if n.fact == organisation && n.op != opExists {
		values, kind = c.unitsOf(n), isOneOf
	}
	// What the tenant says counts for every row that says nothing itself;
	// labels add up.
	probe := &test{kind: kind, values: values}
	says := func(value string) bool {
		if kind == isOneOf {
			return slices.Contains(values, value)
		}
		return value != "" && probe.matchValue(value)
	}
	switch n.fact {
	case tenant:
		if says(t.Slug) {
			return yes
		}
		return no
	case label:
		if slices.ContainsFunc(t.Labels, says) {
			return yes
		}
		return c.rows(n, kind, values, false)
	}
	own := map[fact]string{organisation: t.Unit, region: t.Region, industry: t.Industry}[n.fact]
	if kind == present && own != "" {
		return yes
	}
	return c.rows(n, kind, values, own != "" && says(own))
}

func (c *compiler) rows(n *node, kind testKind, values []string, absent bool) *test {
	made := c.plain
	if absent {
		made = c.withAbsent
	}
	t, ok := made[n]
	if !ok {
		t = newTest(kind, n.fact, values, absent)
		made[n] = t
	}
	return t
}

// unitsOf returns the ids that a condition on the organisation stands for.
func (c *compiler) unitsOf(n *node) []string {
	ids, ok := c.units[n]
	if ok {
		return ids
	}
	if n.op == opContains {
		ids = c.dir.called(n.values)
	} else {
		for _, v := range n.values {
			id, _ := c.dir.resolve(v)
			ids = append(ids, id)
		}
		if n.op == opUnder {
			ids = c.dir.under(ids)
		}
	}
	c.units[n] = ids
	return ids
}
