// Package correlation counts the matches of base rules in windows of event
// time, per group: Sigma's event_count and value_count. State is bounded and
// can be taken out and put back, and a firing's identity is derived from rule,
// window and group, so that a replay raises the same one again.
//
// Windows slide: a condition that stays met as the count grows (gt, gte) fires
// when some span of the rule's length first holds enough events, and then not
// again before that window is over; further events in it extend what has
// fired. A condition with an upper bound (lt, lte, eq, neq) can only be judged
// when its window is over: such a window opens with a group's first event.
package correlation

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sort"
	"time"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Defaults of the bounds.
const (
	DefaultMaxGroups  = 200_000
	DefaultLateness   = 5 * time.Minute
	maxEntries        = 4096 // events kept per window
	maxEventIDs       = 100
	maxGroupValueSize = 1024 // bytes of one group-by value
)

// Rule is one correlation as the engine runs it.
type Rule struct {
	ID          string
	Fingerprint string // state of a rule with another one is not taken over
	Sigma       *sigma.Correlation
}

// Match is one base-rule match on its way into a window.
type Match struct {
	Time    int64 // event time, Unix nanoseconds
	Arrived int64 // when the event reached us, Unix nanoseconds; 0 where unknown
	Event   event.ID
	Tenant  string   // "" where the rule counts over all tenants
	Group   []string // values of group-by
	Values  []string // values of the counted fields; value_count only
	Weight  int      // how many events this one stands for, at least 1
	// Fields makes the flat fields of the event. It is called when a window
	// fires, or where the window is judged only when over.
	Fields func() map[string]string
}

// Firing is a window whose condition is met.
type Firing struct {
	Rule   int
	ID     string // hex, derived from rule, window and group
	Tenant string
	Group  []string
	From   int64 // event time of the first event in the window
	To     int64 // event time of the last
	Count  int64 // events or distinct values, whatever the rule counts
	Events int   // events in the window
	IDs    []string
	Fields map[string]string // of the last event
}

// Stats are counters.
type Stats struct {
	Groups  int
	Evicted uint64 // windows dropped because there were too many
	Late    uint64 // events too late to count
	Cut     uint64 // events dropped from a window that held too many
}

// State runs correlations. It belongs to one goroutine.
type State struct {
	maxGroups int
	lateness  int64
	rules     []*ruleState
	groups    int
	clock     int64 // newest arrival
	swept     int64 // arrival at which silent groups were last looked for
	stats     Stats
}

type ruleState struct {
	rule      Rule
	span      int64
	threshold int64
	rising    bool
	distinct  bool
	groups    map[string]*group
	order     *list.List // of *group, least recently touched first
}

type group struct {
	rule     int
	key      string
	tenant   string
	values   []string
	entries  []entry        // by time
	weight   int64          // of all entries
	distinct map[uint64]int // entries by value; value_count only
	until    int64          // latched: events before this belong to a window that fired
	newest   int64          // event time
	touched  int64          // arrival
	pending  *pending
	place    *list.Element
}

type entry struct {
	time   int64
	value  uint64 // hash of the counted value
	weight int
	id     event.ID
}

// pending is a window that is judged when it is over.
type pending struct {
	from   int64
	last   int64             // event time of the last event in the window
	fields map[string]string // of that event
	after  map[string]string // of the newest event behind the window
}

// New makes a state for the rules. maxGroups and lateness may be zero for the
// defaults.
func New(rules []Rule, maxGroups int, lateness time.Duration) *State {
	if maxGroups <= 0 {
		maxGroups = DefaultMaxGroups
	}
	if lateness <= 0 {
		lateness = DefaultLateness
	}
	s := &State{maxGroups: maxGroups, lateness: int64(lateness)}
	for _, r := range rules {
		threshold, rising := r.Sigma.Rising()
		s.rules = append(s.rules, &ruleState{rule: r, span: int64(r.Sigma.Timespan), threshold: threshold, rising: rising,
			distinct: r.Sigma.Type == "value_count", groups: map[string]*group{}, order: list.New()})
	}
	return s
}

// Stats returns the counters.
func (s *State) Stats() Stats {
	st := s.stats
	st.Groups = s.groups
	return st
}

// Add counts a match for a rule and emits what fires.
func (s *State) Add(rule int, m Match, emit func(Firing)) {
	r := s.rules[rule]
	arrived := m.Arrived
	if arrived == 0 {
		arrived = m.Time
	}
	s.Advance(arrived, emit)

	key := groupKey(m.Tenant, m.Group)
	g := r.groups[key]
	if g == nil {
		g = &group{rule: rule, key: key, tenant: m.Tenant, newest: m.Time}
		for _, v := range m.Group {
			if len(v) > maxGroupValueSize {
				v = v[:maxGroupValueSize]
			}
			g.values = append(g.values, string([]byte(v))) // the event's memory is reused
		}
		if r.distinct {
			g.distinct = map[uint64]int{}
		}
		s.keep(g)
		g.touched = s.clock
		s.evict(g)
	} else {
		r.order.MoveToBack(g.place)
		g.touched = s.clock
	}

	if m.Time < g.newest-r.span-s.lateness {
		s.stats.Late++
		return
	}
	g.newest = max(g.newest, m.Time)
	if r.rising && m.Time < g.until && m.Time >= g.until-r.span {
		return // extends a window that has fired
	}
	e := entry{time: m.Time, weight: max(1, m.Weight), id: m.Event}
	e.id.Epoch = string([]byte(e.id.Epoch))
	if r.distinct {
		e.value = hashValues(m.Values)
	}
	g.insert(e)
	if r.rising {
		s.judgeRising(r, g, e, m, emit)
	} else {
		s.extendPending(r, g, m, emit)
	}
	s.prune(r, g)
}

// insert keeps entries in the order of time; equal times in that of arrival.
func (g *group) insert(e entry) {
	at := len(g.entries)
	if at > 0 && g.entries[at-1].time > e.time {
		at = sort.Search(len(g.entries), func(i int) bool { return g.entries[i].time > e.time })
	}
	g.entries = append(g.entries, entry{})
	copy(g.entries[at+1:], g.entries[at:])
	g.entries[at] = e
	g.weight += int64(e.weight)
	if g.distinct != nil {
		g.distinct[e.value]++
	}
}

// cut removes the entries from lo to hi.
func (g *group) cut(lo, hi int) {
	for _, e := range g.entries[lo:hi] {
		g.weight -= int64(e.weight)
		if g.distinct != nil {
			if g.distinct[e.value]--; g.distinct[e.value] == 0 {
				delete(g.distinct, e.value)
			}
		}
	}
	g.entries = append(g.entries[:lo], g.entries[hi:]...)
}

// upper is the most that any window of the group can count.
func (g *group) upper() int64 {
	if g.distinct != nil {
		return int64(len(g.distinct))
	}
	return g.weight
}

// judgeRising looks for a window holding the new entry that has enough.
func (s *State) judgeRising(r *ruleState, g *group, e entry, m Match, emit func(Firing)) {
	if g.upper() < r.threshold {
		return
	}
	// The windows that may have become full start within one span before the
	// entry. Two ends run over them.
	lo := sort.Search(len(g.entries), func(i int) bool { return g.entries[i].time > e.time-r.span })
	c := newCounter(r.distinct)
	hi := lo
	for ; lo < len(g.entries) && g.entries[lo].time <= e.time; lo++ {
		for hi < len(g.entries) && g.entries[hi].time < g.entries[lo].time+r.span {
			c.add(g.entries[hi])
			hi++
		}
		if c.count() >= r.threshold && r.rule.Sigma.Met(c.count()) {
			s.fire(r, g, lo, hi, c.count(), m.Fields(), emit)
			g.until = g.entries[lo].time + r.span
			g.cut(lo, hi) // what the fired window holds is spent
			return
		}
		c.remove(g.entries[lo])
	}
}

// extendPending opens a window at the group's first event and closes it when
// an event lies behind it.
func (s *State) extendPending(r *ruleState, g *group, m Match, emit func(Firing)) {
	if g.pending == nil {
		g.pending = &pending{from: g.entries[0].time, last: m.Time}
	}
	p := g.pending
	p.from = min(p.from, g.entries[0].time) // a late event opens it earlier
	switch {
	case m.Time >= p.from+r.span:
		if m.Time >= g.newest {
			p.after = m.Fields()
		}
	case m.Time >= p.last || p.fields == nil:
		p.last, p.fields = m.Time, m.Fields()
	}
	for g.pending != nil && g.newest >= g.pending.from+r.span+s.lateness {
		s.closePending(r, g, emit)
	}
}

// closePending judges the open window and opens the next one where events
// behind it are there already.
func (s *State) closePending(r *ruleState, g *group, emit func(Firing)) {
	end := g.pending.from + r.span
	hi := sort.Search(len(g.entries), func(i int) bool { return g.entries[i].time >= end })
	c := newCounter(r.distinct)
	for _, e := range g.entries[:hi] {
		c.add(e)
	}
	if hi > 0 && r.rule.Sigma.Met(c.count()) {
		s.fire(r, g, 0, hi, c.count(), g.pending.fields, emit)
	}
	g.cut(0, hi)
	after := g.pending.after
	g.pending = nil
	if len(g.entries) > 0 {
		g.pending = &pending{from: g.entries[0].time, last: g.entries[len(g.entries)-1].time, fields: after, after: after}
	}
}

func (s *State) fire(r *ruleState, g *group, lo, hi int, count int64, fields map[string]string, emit func(Firing)) {
	f := Firing{Rule: g.rule, Tenant: g.tenant, Group: g.values, From: g.entries[lo].time, To: g.entries[hi-1].time,
		Count: count, Fields: fields}
	for i := lo; i < hi; i++ {
		f.Events += g.entries[i].weight
		if i >= hi-maxEventIDs {
			f.IDs = append(f.IDs, g.entries[i].id.String())
		}
	}
	// At most one window of a group fires per span, so the span in which it
	// starts names it, whichever of its events a replay sees first.
	h := sha256.New()
	h.Write([]byte(r.rule.ID))
	h.Write([]byte{0})
	h.Write([]byte(g.key))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(floorDiv(f.From, r.span)))
	h.Write(b[:])
	f.ID = hex.EncodeToString(h.Sum(nil)[:16])
	emit(f)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// prune drops entries that no later event can share a window with, and keeps
// a window from growing without end.
func (s *State) prune(r *ruleState, g *group) {
	if r.rising {
		limit := g.newest - r.span - s.lateness
		if len(g.entries) > 0 && g.entries[0].time <= limit {
			g.cut(0, sort.Search(len(g.entries), func(i int) bool { return g.entries[i].time > limit }))
		}
	}
	most := max(maxEntries, int(min(2*r.threshold, 1<<20)))
	if len(g.entries) <= most {
		return
	}
	if r.distinct {
		g.compact()
	} else if !r.rising {
		g.fold(len(g.entries) / 2)
	}
	if over := len(g.entries) - most; over > 0 {
		s.stats.Cut += uint64(over)
		g.cut(0, over)
	}
}

// compact keeps of each value the latest entry: earlier ones only matter to
// windows that lie in the past.
func (g *group) compact() {
	seen := make(map[uint64]bool, len(g.distinct))
	keep := len(g.entries)
	for i := len(g.entries) - 1; i >= 0; i-- {
		if e := g.entries[i]; !seen[e.value] {
			seen[e.value] = true
			keep--
			g.entries[keep] = e
		}
	}
	g.entries = append(g.entries[:0], g.entries[keep:]...)
	g.weight = 0
	for _, e := range g.entries {
		g.weight += int64(e.weight)
		g.distinct[e.value] = 1
	}
}

// fold makes one entry of the first n, which lie in the window that is open.
func (g *group) fold(n int) {
	for _, e := range g.entries[1:n] {
		g.entries[0].weight += e.weight
	}
	g.entries = append(g.entries[:1], g.entries[n:]...)
}

// Advance tells the time of arrival: windows that are over close, groups that
// have been silent are forgotten. Add calls it by itself.
func (s *State) Advance(arrived int64, emit func(Firing)) {
	s.clock = max(s.clock, arrived)
	if s.clock-s.swept < int64(time.Second) {
		return
	}
	s.swept = s.clock
	for _, r := range s.rules {
		for el := r.order.Front(); el != nil; el = r.order.Front() {
			g := el.Value.(*group)
			if g.touched+r.span+s.lateness >= s.clock {
				break
			}
			for g.pending != nil {
				s.closePending(r, g, emit)
			}
			s.drop(g)
		}
	}
}

// evict drops the group that has been silent longest, but never spare.
func (s *State) evict(spare *group) {
	for s.groups > s.maxGroups {
		var oldest *group
		for _, r := range s.rules {
			if el := r.order.Front(); el != nil {
				if g := el.Value.(*group); g != spare && (oldest == nil || g.touched < oldest.touched) {
					oldest = g
				}
			}
		}
		if oldest == nil {
			return
		}
		s.drop(oldest)
		s.stats.Evicted++
	}
}

func (s *State) keep(g *group) {
	r := s.rules[g.rule]
	r.groups[g.key] = g
	g.place = r.order.PushBack(g)
	s.groups++
}

func (s *State) drop(g *group) {
	r := s.rules[g.rule]
	r.order.Remove(g.place)
	delete(r.groups, g.key)
	s.groups--
}

// groupKey is injective: each part is preceded by its length.
func groupKey(tenant string, values []string) string {
	b := make([]byte, 0, 64)
	b = binary.AppendUvarint(b, uint64(len(tenant)))
	b = append(b, tenant...)
	for _, v := range values {
		if len(v) > maxGroupValueSize {
			v = v[:maxGroupValueSize]
		}
		b = binary.AppendUvarint(b, uint64(len(v)))
		b = append(b, v...)
	}
	return string(b)
}

func hashValues(values []string) uint64 {
	h := sha256.New()
	for _, v := range values {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(len(v)))
		h.Write(b[:])
		h.Write([]byte(v))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// counter counts events, or distinct values.
type counter struct {
	events int64
	values map[uint64]int
}

func newCounter(distinct bool) *counter {
	if distinct {
		return &counter{values: map[uint64]int{}}
	}
	return &counter{}
}

func (c *counter) add(e entry) {
	c.events += int64(e.weight)
	if c.values != nil {
		c.values[e.value]++
	}
}

func (c *counter) remove(e entry) {
	c.events -= int64(e.weight)
	if c.values != nil {
		if c.values[e.value]--; c.values[e.value] == 0 {
			delete(c.values, e.value)
		}
	}
}

func (c *counter) count() int64 {
	if c.values != nil {
		return int64(len(c.values))
	}
	return c.events
}
