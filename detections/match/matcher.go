package match

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unsafe"

	"icewatch/detections"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Matcher runs a program over events, one at a time. It belongs to one
// goroutine.
//
// What is found of an event is marked with the event's number, its epoch, so
// that nothing has to be cleared between events.
type Matcher struct {
	p     *Program
	ev    *event.Event
	epoch uint32

	forms  []foldedValue // by position
	terms  []uint32      // by term: epoch in which it was found
	lists  []uint32      // by long list: epoch in which one of its terms was found
	checks []uint32      // by check: epoch, and the answer in the lowest bits
	asked  []uint32      // by rule: epoch in which it became a candidate
	hits   []hit
	cands  []int32
	hold   []int32 // rules that match
	off    []bool  // by rule: not asked
	broken map[int32]string
	now    int32 // rule that is evaluated
	known  int   // bytes at the end of the value at hand of which all columns were asked already
	arena  arena
	router router
	memory memoriser
	meter  meter
}

// hit is where a term was found.
type hit struct{ term, at int32 }

// foldedValue is a folded value.
type foldedValue struct {
	epoch         uint32
	start, length int
	ascii         bool
}

// NewMatcher makes a matcher for the program.
func (p *Program) NewMatcher() *Matcher {
	m := &Matcher{p: p, terms: make([]uint32, len(p.terms)), lists: make([]uint32, p.lists), checks: make([]uint32, len(p.checks)),
		asked: make([]uint32, len(p.rules)), off: make([]bool, len(p.rules)), broken: map[int32]string{}, memory: newMemoriser(len(p.terms)), meter: newMeter(len(p.rules))}
	m.router.init(p)
	return m
}

// Disabled lists the rules that panicked, with what they said. Each was taken
// out when it did.
func (m *Matcher) Disabled() map[int32]string { return m.broken }

// SetAside says whether a rule is left out: it is neither evaluated nor
// matched while off is true. A rule that panicked stays out.
func (m *Matcher) SetAside(rule int, off bool) {
	_, broken := m.broken[int32(rule)]
	m.off[rule] = off || broken
}

// Match calls emit for every rule that matches, in the order of the rules.
// evidence may be called only before emit returns.
func (m *Matcher) Match(ev *event.Event, emit func(rule int, evidence func() []detections.Match)) {
	m.begin(ev)
	m.find(m.router.plan(m))
	m.meter.event()
	for at := 0; at < len(m.cands); {
		at = m.run(at)
	}
	if len(m.hold) > 0 {
		slices.Sort(m.hold)
		for _, r := range m.hold {
			m.meter.costs[r].Hits++
			emit(int(r), func() []detections.Match { return m.evidence(r) })
		}
	}
	m.ev = nil
}

func (m *Matcher) begin(ev *event.Event) {
	m.ev = ev
	m.arena.reset()
	// The two lowest bits of a mark hold an answer, so the epoch counts by
	// four. After an overflow old marks could look fresh: wipe them.
	if m.epoch += 4; m.epoch == 0 {
		for _, marks := range [][]uint32{m.terms, m.lists, m.checks, m.asked} {
			clear(marks)
		}
		clear(m.forms)
		m.epoch = 4
	}
	if n := len(ev.Fields) + 1; n > len(m.forms) { // the raw text is one value more
		m.forms = append(m.forms, make([]foldedValue, n-len(m.forms))...)
	}
	m.cands, m.hold, m.hits = m.cands[:0], m.hold[:0], m.hits[:0]
}

// find marks every term that the event holds, and makes candidates of the
// rules that wait for them.
func (m *Matcher) find(pl *plan) {
	m.used(pl)
	m.candidates(pl.always)
	for i := range m.ev.Fields {
		if columns := pl.of(m.ev.Fields[i].ID); len(columns) > 0 {
			m.look(pl, columns, int32(i))
		}
	}
	if len(pl.keywords) > 0 && m.rawCounts() {
		m.known = m.repeated()
		for _, c := range pl.keywords {
			m.column(c, int32(len(m.ev.Fields)))
		}
		m.known = 0
	}
}

// repeated is how many bytes the raw text ends with that are the message too,
// which was searched for the same keywords.
func (m *Matcher) repeated() int {
	for i := range m.ev.Fields {
		if f := &m.ev.Fields[i]; f.ID == event.Message && f.Kind != event.Null && strings.HasSuffix(m.ev.Raw, f.Value) {
			return len(f.Value)
		}
	}
	return 0
}

// ours tells whether we added a field to the event: such are not searched for
// keywords.
func ours(id event.FieldID) bool { return event.Marks <= id && id <= event.DestInternal }

// rawCounts tells whether the raw text is a value of its own: that of a JSON
// event is its fields once more, with their names.
func (m *Matcher) rawCounts() bool { return m.ev.Raw != "" && !strings.HasPrefix(m.ev.Raw, "{") }

func (m *Matcher) column(c *column, i int32) {
	m.foundAll(c.there, i)
	if m.kind(i) == event.Null {
		return
	}
	m.foundAll(c.any, i)
	value := m.value(i)
	if len(c.numeric) > 0 {
		m.number(c, value, i)
	}
	if len(c.networks) > 0 {
		m.network(c, value, i)
	}
	if !c.texts() {
		return
	}
	if value == "" {
		m.foundAll(c.empty, i)
		return
	}
	if !m.fold(i) {
		m.foundAll(c.loose, i)
	}
	m.scan(c, i)
}

func (m *Matcher) number(c *column, value string, i int32) {
	n, ok := sigma.ParseNumber(value)
	if !ok {
		return
	}
	if n.Integer {
		if c.numbers != nil {
			m.foundAll(c.numbers[n.Int], i)
		}
		for _, at := range c.fraction {
			if n.Compare(m.p.terms[at].number) == 0 {
				m.found(at, i)
			}
		}
		return
	}
	for _, at := range c.numeric {
		if n.Compare(m.p.terms[at].number) == 0 {
			m.found(at, i)
		}
	}
}

func (m *Matcher) network(c *column, value string, i int32) {
	if len(value) < 2 || len(value) > 64 {
		return
	}
	a, err := netip.ParseAddr(value)
	if err != nil {
		return
	}
	a = a.WithZone("")
	for _, addr := range [...]netip.Addr{a, a.Unmap()} {
		for k := range c.networks {
			n := &c.networks[k]
			if n.six != addr.Is6() {
				continue
			}
			if p, err := addr.Prefix(n.bits); err == nil {
				m.foundAll(n.terms[p], i)
			}
		}
		if !a.Is4In6() {
			return
		}
	}
}

func (m *Matcher) foundAll(terms []int32, i int32) {
	for _, t := range terms {
		m.found(t, i)
	}
}

// found marks a term, once an event, or writes it down where a value is looked
// at for the memory.
func (m *Matcher) found(at, i int32) {
	if m.memory.writing {
		m.memory.note(at)
		return
	}
	if m.terms[at] == m.epoch {
		return
	}
	m.terms[at] = m.epoch
	m.hits = append(m.hits, hit{at, i})
	t := &m.p.terms[at]
	for _, l := range t.lists {
		m.lists[l] = m.epoch
	}
	m.candidates(t.watchers)
}

func (m *Matcher) candidates(rules []int32) {
	for _, r := range rules {
		if m.asked[r] != m.epoch {
			m.asked[r] = m.epoch
			m.cands = append(m.cands, r)
		}
	}
}

// run evaluates candidates from position at on and returns the next position:
// the end, or the one after a rule that panicked.
func (m *Matcher) run(at int) (next int) {
	defer func() {
		if p := recover(); p != nil {
			m.broken[m.now] = fmt.Sprint(p)
			m.off[m.now] = true
			next = at + 1
		}
	}()
	for ; at < len(m.cands); at++ {
		r := m.cands[at]
		if m.off[r] {
			continue
		}
		m.now = r
		m.meter.costs[r].Asked++
		if m.meter.sampled {
			m.meter.start()
		}
		if m.holds(m.p.rules[r].root) {
			m.hold = append(m.hold, r)
		}
		if m.meter.sampled {
			m.meter.stop(r)
		}
	}
	return at
}

func (m *Matcher) holds(at int32) bool {
	n := &m.p.nodes[at]
	switch n.op {
	case opTerms:
		for _, t := range n.terms {
			if m.terms[t] == m.epoch {
				return true
			}
		}
		if n.list >= 0 && m.lists[n.list] == m.epoch {
			return true
		}
		for _, c := range n.checks {
			if m.check(c) {
				return true
			}
		}
		return false
	case opAnd:
		for k := n.from; k < n.to; k++ {
			if !m.holds(k) {
				return false
			}
		}
		return true
	case opOr:
		for k := n.from; k < n.to; k++ {
			if m.holds(k) {
				return true
			}
		}
		return false
	case opNot:
		return !m.holds(n.from)
	}
	count := int32(0)
	for k := n.from; k < n.to; k++ {
		if m.holds(k) {
			if count++; count >= n.n {
				return true
			}
		}
	}
	return count >= n.n
}

// check makes a comparison once an event.
func (m *Matcher) check(at int32) bool {
	if s := m.checks[at]; s&^3 == m.epoch {
		return s&1 == 1
	}
	c := &m.p.checks[at]
	ok := m.possible(c) && m.where(c.slot, &c.test) != nowhere
	if m.checks[at] = m.epoch; ok {
		m.checks[at]++
	}
	return ok
}

// possible tells whether a term of each gate was found.
func (m *Matcher) possible(c *check) bool {
	for _, set := range c.gates {
		if !slices.ContainsFunc(set, func(g int32) bool { return m.terms[g] == m.epoch }) {
			return false
		}
	}
	return true
}

// next is the position of the slot's value that follows position i; -1 begins.
func (m *Matcher) next(slot, i int32) int32 {
	ids := m.p.slots[slot].ids
	n := int32(len(m.ev.Fields))
	for i++; i < n; i++ {
		id := m.ev.Fields[i].ID
		switch len(ids) {
		case 0:
			if !ours(id) {
				return i
			}
		case 1:
			if id == ids[0] {
				return i
			}
		default:
			if slices.Contains(ids, id) {
				return i
			}
		}
	}
	if i == n && len(ids) == 0 && m.rawCounts() {
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

// fold folds the value at i once an event and tells whether it is plain ASCII.
func (m *Matcher) fold(i int32) bool {
	f := &m.forms[i]
	if f.epoch != m.epoch {
		f.start, f.length, f.ascii = m.arena.fold(m.value(i))
		f.epoch = m.epoch
	}
	return f.ascii
}

// shaped is the value at i in the form a test wants.
func (m *Matcher) shaped(i int32, f form) string {
	switch f {
	case asIs:
		return m.value(i)
	case asIsDash:
		return undash(m.value(i))
	}
	m.fold(i)
	text := ""
	if at := &m.forms[i]; at.length > 0 {
		text = unsafe.String(&m.arena.buf[at.start], at.length)
	}
	if f == foldedDash {
		return undash(text)
	}
	return text
}
