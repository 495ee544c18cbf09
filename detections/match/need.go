package match

import "icewatch/soc/event"

// NeedKind is how a Need's text stands in a value.
type NeedKind uint8

// The kinds of needs.
const (
	NeedAny      NeedKind = iota // any value
	NeedExact                    // the value is the text
	NeedPrefix                   // the value begins with it
	NeedSuffix                   // the value ends with it
	NeedContains                 // the value holds it
)

// Need is one thing that an event may have: a value of one of the fields in
// which the text stands. The text is in lower case, as letters' case does not
// matter, unless Cased.
type Need struct {
	Fields []event.FieldID
	Kind   NeedKind
	Text   string
	Cased  bool
}

// Needs is what an event must have for a rule of one log source to match it: a
// need of each list. Without lists nothing can be said: any event may match.
type Needs [][]Need

// Needs tells, by log source, what events must have for any rule of the program
// to match them. Whoever looks for matches among stored events need not look at
// others; an event that has it may still match nothing. An empty list says that
// no event matches.
func (p *Program) Needs() []Needs {
	byGroup := make([][]Need, len(p.groups))
	whole := make([]bool, len(p.groups)) // rules wait for nothing that can be named
	used := make([]bool, len(p.groups))
	for _, r := range p.rules {
		if r.root >= 0 {
			used[r.group] = true
		}
	}
	for g := range p.groups {
		whole[g] = len(p.groups[g].always) > 0
	}
	for i := range p.terms {
		t := &p.terms[i]
		if len(t.watchers) == 0 {
			continue
		}
		g := p.rules[t.watchers[0]].group // a term belongs to one group
		n, ok := p.need(t)
		if !ok {
			whole[g] = true
			continue
		}
		byGroup[g] = append(byGroup[g], n)
	}
	var out []Needs
	for g := range p.groups {
		if !used[g] {
			continue
		}
		var n Needs
		if !whole[g] && len(byGroup[g]) > 0 {
			n = append(n, byGroup[g])
		}
		if at := p.groups[g].route; at >= 0 {
			for i := range p.routes.list[at] {
				if list, ok := p.clauseNeeds(&p.routes.list[at][i]); ok {
					n = append(n, list)
				}
			}
		}
		out = append(out, n)
	}
	return out
}

// need is a term as a need; ok is false for keywords, which stand in any field.
func (p *Program) need(t *term) (n Need, ok bool) {
	n = Need{Fields: p.slots[t.slot].ids, Text: t.text, Cased: t.cased}
	switch t.kind {
	case termExact:
		n.Kind = NeedExact
	case termPrefix:
		n.Kind = NeedPrefix
	case termSuffix:
		n.Kind = NeedSuffix
	case termContains, termGate:
		n.Kind = NeedContains
	default: // numbers are written in many ways, and null is not kept
		n.Text = ""
	}
	// Letters beyond ASCII fold in ways of their own.
	if n.Text == "" || !ascii(n.Text) {
		n.Kind, n.Text, n.Cased = NeedAny, "", false
	}
	empty := t.text == "" && (t.kind == termExact || t.kind == termPrefix || t.kind == termSuffix)
	return n, len(n.Fields) > 0 && !empty && t.kind != termPresent
}

// clauseNeeds is what an event must have to be of a log source by one clause of
// the routing table.
func (p *Program) clauseNeeds(c *clause) (out []Need, ok bool) {
	if c.trust {
		return nil, false
	}
	for _, alt := range c.alternatives {
		some := false
		for pass := range 2 {
			for i := range alt {
				cond := &alt[i]
				if pass == 0 && !cond.needed {
					continue
				}
				for j := range cond.tests {
					n, ok := p.testNeed(cond.slot, &cond.tests[j])
					if !ok {
						return nil, false
					}
					out = append(out, n)
				}
				some = true
				if pass == 0 {
					break // one that is needed is enough to look for
				}
			}
			if some {
				break
			}
		}
		if !some {
			return nil, false
		}
	}
	return out, len(out) > 0
}

func (p *Program) testNeed(slot int32, t *test) (Need, bool) {
	n := Need{Fields: p.slots[slot].ids, Text: t.text, Cased: t.form == asIs}
	if len(n.Fields) == 0 {
		return n, false
	}
	switch t.kind {
	case testExact:
		n.Kind = NeedExact
	case testPrefix:
		n.Kind = NeedPrefix
	case testSuffix:
		n.Kind = NeedSuffix
	case testContains:
		n.Kind = NeedContains
	case testGlob:
		n.Kind, n.Cased = NeedContains, false
		if g := t.gates(); len(g) > 0 {
			n.Text = g[0]
		}
	case testAny:
	default:
		return n, false
	}
	if n.Text == "" && t.kind == testExact {
		return n, false
	}
	if n.Text == "" || !ascii(n.Text) || t.form == foldedDash || t.form == asIsDash {
		n.Kind, n.Text, n.Cased = NeedAny, "", false
	}
	return n, true
}
