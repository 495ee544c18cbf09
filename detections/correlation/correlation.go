// Package correlation counts the matches of rules in windows of event time, per
// group: all of Sigma's correlation types, correlations of correlations, and
// the absence of events. docs/correlation.md tells what each means.
//
// What fires depends on the set of events and not on their order, as long as
// none is later than the lateness. There are three ways to judge:
//
//   - A condition that stays met when events are added (rising) fires at once.
//     Time is cut into cells as long as the timespan; a group fires at most once
//     for the windows that begin in a cell, so that the cell names the firing.
//   - Any other condition is judged when its window is over and nothing that is
//     still in time can change it. Windows of a group follow each other; each
//     begins with the first event behind the one before.
//   - Absence is judged in the same way, for the time behind each event.
//
// State is bounded and can be taken out and put back. A firing's identity is
// derived from rule, window and group, so that a replay raises the same one.
package correlation

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// Defaults of the bounds.
const (
	DefaultMaxBytes = 512 << 20
	DefaultLateness = 5 * time.Minute

	maxEntries        = 4096 // events kept per group at least, where they are needed
	minCompact        = 32   // entries before it is tried to keep fewer
	maxEventIDs       = 100
	maxGroupValueSize = 1024 // bytes of one group-by value
)

// Options sets bounds. Zero values take the defaults.
type Options struct {
	MaxBytes  int64         // of all groups, as estimated
	MaxGroups int           // of all rules together; default: as many as fit
	Lateness  time.Duration // how far behind its group's newest event one may be; rules may say otherwise
}

// Rule is one correlation as the engine runs it.
type Rule struct {
	ID          string
	Fingerprint string // of what it counts: windows of a rule with another one are closed
	Terms       string // of how it judges: windows of a rule with others go on where they hold all events
	Sigma       *sigma.Correlation
	City        bool    // counts over all tenants
	Silent      bool    // fires only for the correlations that count it
	Over        bool    // counts correlations, alone or beside detections
	Then        []Input // the correlations that count this one; no rule may reach itself this way
}

// Input is a place among the rules that a correlation counts.
type Input struct {
	Rule  int // index of the correlation
	Place int // in its list of rules
}

// Match is one match on its way into a window.
type Match struct {
	Time    int64 // event time, Unix nanoseconds
	Arrived int64 // when the event reached us, Unix nanoseconds; 0 where unknown
	Event   event.ID
	Place   int // which of the correlation's rules matched
	Tenant  string
	Group   []string // values of group-by
	Values  []string // values of the fields of value_…
	Weight  int      // how many events this one stands for, at least 1
	// Fields are the flat fields of the event, each name once. They are read when
	// a window fires, or where the window is judged only when over; the texts are
	// copied.
	Fields iter.Seq2[string, string]
	// Then makes what the correlations of Rule.Then look at, in their order. It
	// is nil where there are none.
	Then func() []Link
}

// Link is an event as one more correlation of a chain sees it.
type Link struct {
	None          bool // it does not count: it has nothing to group by, or no value
	Group, Values []string
	Then          []Link // for those that count that correlation
}

// Firing is a window whose condition is met.
type Firing struct {
	Rule   int
	ID     string // hex, derived from rule, window and group
	Tenant string // "" where the rule counts over all tenants
	Group  []string
	From   int64   // event time of the first event in the window
	To     int64   // event time of the last; for absence when the time was over
	Count  float64 // what the condition is about: events, values, rules, or a number made of values
	Events int     // events in the window
	IDs    []string
	Fields map[string]string // of an event of the window: that which met the condition, else the last that is known
}

// Stats are counters, since the start but for the first two.
type Stats struct {
	Groups     int
	Bytes      int64             // of the groups, as estimated
	Evicted    uint64            // groups dropped because of the bounds
	EvictedBy  map[string]uint64 // Evicted by rule id
	Late       uint64            // events too late to count
	Duplicates uint64            // events that were there already
	Cut        uint64            // events dropped from a group that held too many
	NoNumber   uint64            // events whose value is none, where a number or a place is needed
}

// State runs correlations. It belongs to one goroutine.
type State struct {
	opts   Options
	rules  []*ruleState
	order  []*ruleState // each behind those that it counts
	index  index        // of the groups
	epochs []string     // names of the bus epochs that entries refer to
	epoch  map[string]uint16
	clock  int64 // newest arrival
	swept  int64 // arrival at which silent groups were last looked for
	groups int
	bytes  int64
	stats  Stats

	now     content // of the event that Add saw last
	slack   int     // entries of a group before compaction is tried
	scratch []byte  // key of the group looked for last
	written int     // bytes of the last snapshot
	values  []uint64
	numbers []weighted
}

// New makes a state for the rules.
func New(rules []Rule, opts Options) *State {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	if opts.MaxGroups <= 0 {
		opts.MaxGroups = math.MaxInt
	}
	if opts.Lateness <= 0 {
		opts.Lateness = DefaultLateness
	}
	s := &State{opts: opts, slack: minCompact, epoch: map[string]uint16{}, index: newIndex()}
	for _, r := range rules {
		s.rules = append(s.rules, newRule(r, int64(cmp.Or(r.Sigma.Lateness, opts.Lateness))))
	}
	s.arrange()
	return s
}

// arrange puts the rules in an order in which each stands behind those that it
// counts, and gives each the time that these take: what a correlation finds
// late is late for those that count it.
func (s *State) arrange() {
	seen := make([]bool, len(s.rules))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		for _, next := range s.rules[i].Then {
			visit(next.Rule)
		}
		s.order = append(s.order, s.rules[i])
	}
	for i := range s.rules {
		visit(i)
	}
	slices.Reverse(s.order)
	for _, r := range s.order {
		delay := r.late
		if !r.rising {
			// Its windows may last twice the span, events come late into them, and
			// silence is waited for before they are judged.
			delay = 2*r.span + 3*r.late
		}
		for _, next := range r.Then {
			s.rules[next.Rule].late = max(s.rules[next.Rule].late, delay)
		}
	}
}

// Stats returns the counters.
func (s *State) Stats() Stats {
	st := s.stats
	st.Groups, st.Bytes, st.EvictedBy = s.groups, s.bytes, map[string]uint64{}
	for _, r := range s.rules {
		if r.evicted > 0 {
			st.EvictedBy[r.ID] = r.evicted
		}
	}
	return st
}

// Limit is how many bytes the groups may take.
func (s *State) Limit() int64 { return s.opts.MaxBytes }

// found is a match as it goes into a group.
type found struct {
	entry
	arrived int64  // when news of the group came last; older than now where silence told it
	tenant  string // of the event
	fields  *content
	then    func() []Link
}

// Add counts a match for a rule and emits what fires.
func (s *State) Add(rule int, m Match, emit func(Firing)) {
	arrived := min(cmp.Or(m.Arrived, m.Time), maxTime)
	s.Advance(arrived, emit)
	r := s.rules[rule]
	if m.Time > arrived+r.late { // a clock that is wrong by so much says nothing
		m.Time = arrived
	}
	m.Time = min(max(m.Time, -maxTime), maxTime)
	g := s.find(r, m.Tenant, m.Group)
	if g != nil && s.silent(r, g) { // whether it was looked for in time must not matter
		s.sweep(emit)
		g = s.find(r, m.Tenant, m.Group)
	}
	f := found{entry: entry{time: m.Time, seq: m.Event.Sequence, index: m.Event.Index, epoch: s.intern(m.Event.Epoch), weight: uint32(min(max(1, m.Weight), math.MaxUint32))},
		arrived: s.clock, tenant: m.Tenant, fields: &s.now, then: m.Then}
	if s.now.fields = m.Fields; !s.now.of.same(&f.entry) { // else another rule counts it too
		s.now.of, s.now.encoded = f.entry, ""
	}
	if !s.valued(r, &f.entry, m.Values, m.Place, nil) {
		return
	}
	s.add(r, g, &f, emit)
	s.evict(r.last)
}

// valued puts into an entry what the rule counts; false where there is nothing.
// from is the identity of the firing that is counted, nil for an event.
func (s *State) valued(r *ruleState, e *entry, values []string, at int, from []byte) bool {
	switch r.kind {
	case counts, absence:
	case distinct:
		switch {
		case r.Sigma.Type == "value_count":
			e.value = hashValues(values)
		case from != nil:
			e.value = binary.BigEndian.Uint64(from)
		default:
			h := sha256.New()
			h.Write([]byte(s.epochs[e.epoch]))
			h.Write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, e.seq), e.index))
			e.value = binary.BigEndian.Uint64(h.Sum(nil))
		}
	case temporal, ordered:
		e.value = uint64(at)
	case travel:
		if len(values) == 0 {
			return false
		}
		var ok bool
		if e.value, ok = place(values[0]); !ok {
			s.stats.NoNumber++
			return false
		}
	default:
		if len(values) == 0 {
			return false
		}
		v, err := strconv.ParseFloat(values[0], 64)
		if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
			s.stats.NoNumber++
			return false
		}
		e.value = math.Float64bits(v)
	}
	return true
}

// add puts an entry into its group, as find gives it, and judges that.
func (s *State) add(r *ruleState, g *group, f *found, emit func(Firing)) {
	if g == nil {
		g = &group{newest: f.time, touched: f.arrived, queued: f.arrived}
		s.keep(r, s.scratch, g)
	} else {
		r.touch(g, f.arrived)
	}
	if f.time < g.newest-r.late {
		s.stats.Late++
		return
	}
	at, there := g.place(&f.entry)
	if there {
		s.stats.Duplicates++
		return
	}
	g.newest = max(g.newest, f.time)
	before := g.size()
	s.remember(r, g, at, f)
	g.insert(at, f.entry)
	if r.rising {
		s.rise(r, g, at, f, emit)
	} else {
		s.close(r, g, g.newest-r.late, emit)
	}
	s.prune(r, g)
	s.bytes += g.size() - before
}

// silent tells whether so much time has passed since anything came for the
// group that nothing in it matters to what may still come.
func (s *State) silent(r *ruleState, g *group) bool { return g.touched+r.span+r.late < s.clock }

// Advance tells the time of arrival, before which nothing arrives any more:
// windows of silent groups close, and these are forgotten. Add calls it.
func (s *State) Advance(arrived int64, emit func(Firing)) {
	s.clock = max(s.clock, arrived)
	if s.clock-s.swept < int64(time.Second) {
		return
	}
	s.sweep(emit)
	s.evict(nil)
}

// sweep forgets silent groups, those of a rule before those that count it.
func (s *State) sweep(emit func(Firing)) {
	s.swept = s.clock
	for _, r := range s.order {
		for g := r.first; g != nil && g.queued+r.span+r.late < s.clock; {
			next := g.after
			if s.silent(r, g) {
				s.finish(r, g, emit)
				s.drop(r, g)
			}
			g = next
		}
	}
}

// Finish judges the windows that are still open, as if time went on without
// events: for input that has an end. Absence is not judged: that the input
// ends says nothing about what would have come.
func (s *State) Finish(emit func(Firing)) {
	for _, r := range s.order {
		for g := r.first; g != nil; g = r.first {
			if r.kind != absence {
				s.finish(r, g, emit)
			}
			s.drop(r, g)
		}
	}
}

// evict drops the groups that have been silent longest, but never spare.
func (s *State) evict(spare *group) {
	for s.groups > s.opts.MaxGroups || s.bytes > s.opts.MaxBytes {
		var oldest *group
		var of *ruleState
		for _, r := range s.rules {
			if g := r.first; g != nil && g != spare && (oldest == nil || g.queued < oldest.queued) {
				oldest, of = g, r
			}
		}
		if oldest == nil {
			return
		}
		s.drop(of, oldest)
		of.evicted++
		s.stats.Evicted++
	}
}

// intern gives the number of an epoch's name. There is one as long as the bus
// keeps its data; the last number stands for all where there are very many.
func (s *State) intern(epoch string) uint16 {
	if n := len(s.epochs); n > 0 && s.epochs[n-1] == epoch { // mostly
		return uint16(n - 1)
	}
	if i, ok := s.epoch[epoch]; ok {
		return i
	}
	if len(s.epochs) == math.MaxUint16 {
		return math.MaxUint16 - 1
	}
	i := uint16(len(s.epochs))
	epoch = string([]byte(epoch)) // the event's memory is reused
	s.epochs = append(s.epochs, epoch)
	s.epoch[epoch] = i
	return i
}

// fire emits a window that holds entries lo to hi of its group.
func (s *State) fire(r *ruleState, g *group, lo, hi int, count float64, fields map[string]string, emit func(Firing)) {
	if r.Silent {
		return
	}
	f := Firing{Rule: slices.Index(s.rules, r), From: g.entries[lo].time, To: g.entries[hi-1].time, Count: count, Fields: fields}
	f.ID = hex.EncodeToString(r.identity(g, f.From))
	f.Tenant, f.Group = splitKey(g.cell.key)
	if r.kind == absence {
		f.To += r.span
	}
	for i := lo; i < hi; i++ {
		if i == lo || !g.entries[i].same(&g.entries[i-1]) {
			f.Events += int(g.entries[i].weight)
			f.IDs = append(f.IDs, event.ID{Epoch: s.epochs[g.entries[i].epoch], Sequence: g.entries[i].seq, Index: g.entries[i].index}.String())
		}
	}
	f.IDs = f.IDs[max(0, len(f.IDs)-maxEventIDs):]
	emit(f)
}

// chain hands what a window found to the correlations that count it: id is
// the window, e the event that shows it.
func (s *State) chain(r *ruleState, g *group, id []byte, e entry, tenant string, links []Link, fields *content, emit func(Firing)) {
	for i, next := range r.Then {
		if i >= len(links) || links[i].None {
			continue
		}
		to, l := s.rules[next.Rule], links[i]
		f := found{entry: e, arrived: g.touched, tenant: tenant, fields: fields, then: func() []Link { return l.Then }}
		f.extra = 0
		if s.valued(to, &f.entry, l.Values, next.Place, id) {
			s.add(to, s.find(to, tenant, l.Group), &f, emit)
		}
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
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

// search gives the first entry at or behind a time.
func (g *group) search(t int64) int {
	if n := len(g.entries); n == 0 || g.entries[n-1].time < t {
		return n
	}
	return sort.Search(len(g.entries), func(i int) bool { return g.entries[i].time >= t })
}
