package match

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"icewatch/detections/sigma"
)

// termKind is how a value is compared to a term.
type termKind uint8

const (
	termExact termKind = iota
	termPrefix
	termSuffix
	termContains
	termGate    // a text that a check needs; found like termContains
	termNumber  // equal as a number
	termNetwork // an address inside a network
	termAny     // any value that is not null
	termPresent // any value, null included
)

// term is one comparison that is made for all values of a field in one pass.
type term struct {
	kind     termKind
	cased    bool
	slot     int32
	text     string // as it is searched: folded, unless cased
	number   sigma.Number
	network  sigma.Prefix
	watchers []int32 // rules to evaluate where it is found
	lists    []int32 // long lists it belongs to
	uses     int32   // leaves that name it
	share    float64 // guessed share of events that hold it
}

type termKey struct {
	kind    termKind
	cased   bool
	slot    int32
	text    string
	number  sigma.Number
	network sigma.Prefix
}

// check is one comparison made only when a rule asks for it, remembered for
// the event.
type check struct {
	test test
	slot int32
	// gates are sets of terms: one of each has to be found for the check to
	// hold. Regular expressions fold letters beyond ASCII in ways of their own:
	// their gates count as found there.
	gates [][]int32
	// floor is termAny of the field, for a check without gates that needs a
	// value; -1 where it may hold without one.
	floor int32
}

const (
	sizeNode  = unsafe.Sizeof(node{})
	sizeMeta  = unsafe.Sizeof(meta{})
	sizeTerm  = unsafe.Sizeof(term{})
	sizeCheck = unsafe.Sizeof(check{})
)

func (c *compiler) term(g *groupCompiler, t term) int32 {
	key := termKey{kind: t.kind, cased: t.cased, slot: t.slot, text: t.text, number: t.number, network: t.network}
	at, ok := g.terms[key]
	if !ok {
		at = int32(len(c.p.terms))
		g.terms[key] = at
		g.mine = append(g.mine, at)
		c.p.terms = append(c.p.terms, t)
	}
	c.p.terms[at].uses++
	return at
}

// value adds what one value of an item compares to a leaf.
func (c *compiler) value(g *groupCompiler, slot int32, v *sigma.Value, into *tree) error {
	add := func(t term) {
		t.slot = slot
		into.terms = append(into.terms, c.term(g, t))
	}
	switch v.Op {
	case sigma.OpPattern:
		c.pattern(g, slot, v, into)
		return nil
	case sigma.OpNumber:
		add(term{kind: termNumber, number: v.Number})
		return nil
	case sigma.OpCIDR:
		add(term{kind: termNetwork, network: v.CIDR})
		return nil
	case sigma.OpExists:
		if v.Exists {
			add(term{kind: termPresent})
			return nil
		}
	}
	t, err := c.test(v)
	if err != nil {
		return err
	}
	ck := check{test: t, slot: slot}
	if t.kind == testRegex {
		for _, set := range requiredLiterals(v.Regex) {
			ck.gates = append(ck.gates, c.gate(g, termGate, slot, set))
		}
	}
	c.check(g, ck, checkKey(slot, v), into)
	return nil
}

func (c *compiler) gate(g *groupCompiler, kind termKind, slot int32, texts []string) []int32 {
	out := make([]int32, len(texts))
	for i, text := range texts {
		out[i] = c.term(g, term{kind: kind, slot: slot, text: text})
	}
	return out
}

func (c *compiler) check(g *groupCompiler, ck check, key string, into *tree) {
	at, ok := g.checks[key]
	if !ok {
		ck.floor = -1
		if k := ck.test.kind; len(ck.gates) == 0 && k != testNull && k != testExists {
			ck.floor = c.term(g, term{kind: termAny, slot: ck.slot})
		}
		at = int32(len(c.p.checks))
		g.checks[key] = at
		c.p.checks = append(c.p.checks, ck)
	}
	into.checks = append(into.checks, at)
}

func checkKey(slot int32, v *sigma.Value) string {
	k := *v
	k.Line, k.Text = 0, ""
	return fmt.Sprintf("%d %#v", slot, k)
}

// maxDashes is how many dashes of a pattern are written out in all their
// shapes. A pattern with more is compared with the dashes made one.
const maxDashes = 2

// pattern adds a text with wildcards: as terms where it is one text at one
// place, else as a check behind a gate.
func (c *compiler) pattern(g *groupCompiler, slot int32, v *sigma.Value, into *tree) {
	t := compilePattern(v)
	kind, simple := termKind(0), true
	switch t.kind {
	case testExact:
		kind = termExact
	case testPrefix:
		kind = termPrefix
	case testSuffix:
		kind = termSuffix
	case testContains:
		kind = termContains
	case testAny:
		into.terms = append(into.terms, c.term(g, term{kind: termAny, slot: slot}))
		return
	default:
		simple = false
	}
	switch {
	case simple && t.form == folded:
		into.terms = append(into.terms, c.term(g, term{kind: kind, slot: slot, text: t.text}))
		return
	case simple && t.form == asIs && ascii(t.text):
		into.terms = append(into.terms, c.term(g, term{kind: kind, slot: slot, text: t.text, cased: true}))
		return
	case simple && t.form == foldedDash && strings.Count(t.text, "-") <= maxDashes:
		for _, text := range dashed(t.text) {
			into.terms = append(into.terms, c.term(g, term{kind: kind, slot: slot, text: text}))
		}
		return
	}
	ck := check{test: t, slot: slot}
	for _, text := range t.gates() {
		ck.gates = append(ck.gates, c.gate(g, termContains, slot, []string{text}))
	}
	c.check(g, ck, checkKey(slot, v), into)
}

// dashed writes a text out with each dash in all its shapes.
func dashed(text string) []string {
	head, tail, found := strings.Cut(text, "-")
	if !found {
		return []string{text}
	}
	var out []string
	for _, rest := range dashed(tail) {
		for _, d := range sigma.Dashes {
			out = append(out, head+string(d)+rest)
		}
	}
	return out
}

// gates are texts, folded, all of which a value has to hold for the pattern to
// match: the longest ones.
func (t *test) gates() []string {
	var out []string
	take := func(s string) {
		if t.form == asIs || t.form == asIsDash {
			if s = lower(s); !ascii(s) {
				return
			}
		}
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	texts := []string{t.text}
	for _, part := range t.pattern {
		if part.Wild == sigma.Literal {
			texts = append(texts, part.Text)
		}
	}
	for _, s := range texts {
		if t.form == foldedDash || t.form == asIsDash {
			for _, run := range strings.Split(s, "-") {
				take(run)
			}
			continue
		}
		take(s)
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	for len(out) > 1 && (len(out) > maxSets || len(out[len(out)-1]) < 2) {
		out = out[:len(out)-1]
	}
	return out
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// guess fills the share of events that each term of a group is thought to be
// found in: long texts seldom, and a text that many rules name is named
// because it is common.
func (c *compiler) guess(g *groupCompiler) {
	for _, at := range g.mine {
		t := &c.p.terms[at]
		switch t.kind {
		case termAny, termPresent:
			t.share = 0.5
			continue
		case termNumber, termNetwork:
			t.share = 0.05
		case termPrefix:
			t.share = 0.1
		case termExact, termSuffix:
			t.share = 0.01
		default:
			t.share = [...]float64{1, 0.6, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01}[min(len(t.text), 8)]
		}
		t.share *= float64(t.uses)
	}
}

// witnesses returns terms of which an event must hold at least one for the
// tree to hold. ok is false where nothing of the kind can be said.
func (c *compiler) witnesses(t *tree) (out []int32, ok bool) {
	switch t.op {
	case opNot:
		return nil, false
	case opTerms:
		out = t.terms
		for _, at := range t.checks {
			w := c.needs(&c.p.checks[at])
			if len(w) == 0 {
				return nil, false
			}
			out = append(out[:len(out):len(out)], w...)
		}
		return out, len(out) > 0
	case opAnd:
		best := 0.0
		for _, k := range t.kids {
			if w, fine := c.witnesses(k); fine {
				if s := c.share(w); !ok || s < best {
					out, best, ok = w, s, true
				}
			}
		}
		return out, ok
	}
	// One of at least n kids that hold is among any len-n+1 of them: all will do.
	for _, k := range t.kids {
		w, fine := c.witnesses(k)
		if !fine {
			return nil, false
		}
		out = append(out[:len(out):len(out)], w...)
	}
	return out, len(out) > 0
}

// needs is the best of a check's gates, or what stands for a value.
func (c *compiler) needs(ck *check) (best []int32) {
	if ck.floor >= 0 {
		return []int32{ck.floor}
	}
	for _, set := range ck.gates {
		if best == nil || c.share(set) < c.share(best) {
			best = set
		}
	}
	return best
}

func (c *compiler) share(terms []int32) float64 {
	s := 0.0
	for _, t := range terms {
		s += c.p.terms[t].share
	}
	return s
}
