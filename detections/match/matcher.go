package match

import (
	"fmt"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Matcher runs a program over events, one at a time. It belongs to one
// goroutine.
type Matcher struct {
	p     *Program
	ev    *event.Event
	epoch uint32

	heads    []head  // by slot: first value in the event
	next     []int32 // by position: next value of the same field
	forms    []forms // by position
	preds    []uint32
	routes   []uint32
	seen     []uint32 // by rule: epoch in which it was a candidate
	cands    []int32
	matched  []int32
	disabled map[int32]string
	current  int32
	arena    arena
	costs    []Cost
	aside    []bool // by rule; nil while none is
	events   uint64
}

type head struct {
	epoch uint32
	first int32
	last  int32
}

type forms struct {
	foldedEpoch, dashEpoch uint32
	folded, dash           string
	ascii                  bool
}

// NewMatcher makes a matcher for the program.
func (p *Program) NewMatcher() *Matcher {
	return &Matcher{p: p, heads: make([]head, len(p.needs)), preds: make([]uint32, len(p.preds)),
		routes: make([]uint32, len(p.routes)), seen: make([]uint32, len(p.rules)), costs: make([]Cost, len(p.rules)), disabled: map[int32]string{}}
}

// Disabled lists the rules that panicked, with what they said. Each was taken
// out when it did.
func (m *Matcher) Disabled() map[int32]string { return m.disabled }

// Match calls emit for every rule that matches, in the order of the rules.
// evidence may be called only before emit returns.
func (m *Matcher) Match(ev *event.Event, emit func(rule int, evidence func() []detections.Match)) {
	m.begin(ev)
	for at := 0; at < len(m.cands); {
		at = m.run(at)
	}
	if len(m.matched) > 0 {
		slices.Sort(m.matched)
		for _, r := range m.matched {
			emit(int(r), func() []detections.Match { return m.evidence(r) })
		}
	}
	m.ev = nil
}

// begin lays the event out by slots and collects the candidates.
func (m *Matcher) begin(ev *event.Event) {
	m.ev = ev
	m.events++
	m.arena.reset()
	// The two lowest bits of a stamp hold a truth value, so the epoch counts
	// by four. After an overflow stale stamps could look fresh: wipe them.
	if m.epoch += 4; m.epoch == 0 {
		clear(m.heads)
		clear(m.preds)
		clear(m.routes)
		clear(m.seen)
		clear(m.forms)
		m.epoch = 4
	}
	n := len(ev.Fields) + 1 // the raw text is one value more
	if n > len(m.next) {
		m.next = append(m.next, make([]int32, n-len(m.next))...)
		m.forms = append(m.forms, make([]forms, n-len(m.forms))...)
	}
	m.cands, m.matched = m.cands[:0], m.matched[:0]
	m.candidates(m.p.always)
	for i := range ev.Fields {
		f := &ev.Fields[i]
		m.next[i] = -1
		if int(f.ID) >= len(m.p.slots) || m.p.slots[f.ID] == 0 {
			continue
		}
		slot := m.p.slots[f.ID] - 1
		h := &m.heads[slot]
		if h.epoch != m.epoch {
			*h = head{epoch: m.epoch, first: int32(i), last: int32(i)}
			m.candidates(m.p.needs[slot].present)
		} else {
			m.next[h.last] = int32(i)
			h.last = int32(i)
		}
		m.byValue(&m.p.needs[slot], int32(i), f)
	}
}

func (m *Matcher) byValue(ix *slotIndex, i int32, f *event.Field) {
	if f.Kind == event.Null {
		return
	}
	if ix.texts != nil {
		m.candidates(ix.texts[m.shaped(i, folded)])
	}
	if ix.numbers != nil {
		if n, ok := sigma.ParseNumber(f.Value); ok && n.Integer {
			m.candidates(ix.numbers[n.Int])
		}
	}
}

func (m *Matcher) candidates(rules []int32) {
	for _, r := range rules {
		if m.seen[r] != m.epoch {
			m.seen[r] = m.epoch
			m.cands = append(m.cands, r)
		}
	}
}

// run evaluates candidates from position at on and returns the next position:
// the end, or the one after a rule that panicked.
func (m *Matcher) run(at int) (next int) {
	defer func() {
		if p := recover(); p != nil {
			m.disabled[m.current] = fmt.Sprint(p)
			next = at + 1
		}
	}()
	for ; at < len(m.cands); at++ {
		m.current = m.cands[at]
		if len(m.disabled) > 0 {
			if _, off := m.disabled[m.current]; off {
				continue
			}
		}
		if m.aside != nil && m.aside[m.current] {
			continue
		}
		r := &m.p.rules[m.current]
		if r.route >= 0 && !m.routed(r.route) {
			continue
		}
		if m.ask(m.current) {
			m.matched = append(m.matched, m.current)
		}
	}
	return at
}

func (m *Matcher) holds(n *node) bool {
	switch n.op {
	case opPred:
		return m.pred(n.pred)
	case opAnd:
		for i := range n.kids {
			if !m.holds(&n.kids[i]) {
				return false
			}
		}
		return true
	case opOr:
		for i := range n.kids {
			if m.holds(&n.kids[i]) {
				return true
			}
		}
		return false
	case opNot:
		return !m.holds(&n.kids[0])
	}
	count := 0
	for i := range n.kids {
		if m.holds(&n.kids[i]) {
			if count++; count >= n.n {
				return true
			}
		}
	}
	return false
}

// pred evaluates a predicate once per event.
func (m *Matcher) pred(at int32) bool {
	if s := m.preds[at]; s&^3 == m.epoch {
		return s&1 == 1
	}
	ok := m.eval(&m.p.preds[at])
	if m.preds[at] = m.epoch; ok {
		m.preds[at]++
	}
	return ok
}

// routed evaluates a log source once per event. A field that the event does
// not have, or that holds an unspecific value, says nothing for or against it.
func (m *Matcher) routed(at int32) bool {
	if s := m.routes[at]; s&^3 == m.epoch {
		return s&1 == 1
	}
	ok := true
	for i := range m.p.routes[at].clauses {
		if ok = m.clause(&m.p.routes[at].clauses[i]); !ok {
			break
		}
	}
	if m.routes[at] = m.epoch; ok {
		m.routes[at]++
	}
	return ok
}

func (m *Matcher) clause(c *clause) bool {
	spoke := false
	for _, alt := range c.alternatives {
		fits, said := true, false
		for i := range alt {
			cond := &alt[i]
			value := m.specific(cond)
			if value == nowhere {
				continue
			}
			said, spoke = true, true
			if fits = m.anyOf(cond.tests, cond.slot); !fits {
				break
			}
		}
		if fits && said {
			return true
		}
	}
	return !spoke && c.trust
}

// specific finds a value of the condition's field that says something.
func (m *Matcher) specific(c *condition) int32 {
	for i := m.first(c.slot); i >= 0; i = m.following(c.slot, i) {
		if m.kind(i) == event.Null || m.value(i) == "" {
			continue
		}
		said := true
		for j := range c.unspecific {
			if m.meets(&c.unspecific[j], i) {
				said = false
				break
			}
		}
		if said {
			return i
		}
	}
	return nowhere
}

func (m *Matcher) anyOf(tests []test, slot int32) bool {
	for i := m.first(slot); i >= 0; i = m.following(slot, i) {
		for j := range tests {
			if m.kind(i) != event.Null && m.meets(&tests[j], i) {
				return true
			}
		}
	}
	return false
}

// first is the position of a field's first value, or of the first value of
// all for a keyword search.
func (m *Matcher) first(slot int32) int32 {
	if slot == anyField {
		return m.following(anyField, -1)
	}
	if h := &m.heads[slot]; h.epoch == m.epoch {
		return h.first
	}
	return nowhere
}

func (m *Matcher) following(slot, i int32) int32 {
	if slot != anyField {
		return m.next[i]
	}
	for i++; int(i) < len(m.ev.Fields); i++ {
		// What we added ourselves is not part of the message.
		if id := m.ev.Fields[i].ID; id < event.Marks || id > event.DestInternal {
			return i
		}
	}
	// The raw text of a JSON event is its fields once more, with their names.
	if int(i) == len(m.ev.Fields) && m.ev.Raw != "" && !strings.HasPrefix(m.ev.Raw, "{") {
		return i
	}
	return nowhere
}

func (m *Matcher) kind(i int32) event.Kind {
	if int(i) == len(m.ev.Fields) {
		return event.String
	}
	return m.ev.Fields[i].Kind
}

func (m *Matcher) value(i int32) string {
	if int(i) == len(m.ev.Fields) {
		return m.ev.Raw
	}
	return m.ev.Fields[i].Value
}

// shaped is the value at i in the form a test wants, made once per event.
func (m *Matcher) shaped(i int32, f form) string {
	v := m.value(i)
	fm := &m.forms[i]
	switch f {
	case asIs:
		return v
	case asIsDash:
		return undash(v)
	}
	if fm.foldedEpoch != m.epoch {
		fm.folded, fm.ascii = m.arena.lower(v)
		fm.foldedEpoch = m.epoch
	}
	if f == folded {
		return fm.folded
	}
	if fm.dashEpoch != m.epoch {
		fm.dash, fm.dashEpoch = undash(fm.folded), m.epoch
	}
	return fm.dash
}
