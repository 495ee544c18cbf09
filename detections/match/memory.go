package match

import (
	"hash/maphash"

	"icewatch/soc/event"
)

// Most fields of an event hold one of few values: the program, the severity, the
// outcome, the browser. What such a value holds is the same each time, so it is
// remembered, and its next pass is one look-up. Fields whose values hardly come
// again are found out by their misses and are passed over for a while.

const (
	memoryBits    = 13  // 2 to it is how many values a matcher remembers, at most
	worthAfter    = 32  // events that a plan has had before anything is remembered for it
	maxMemory     = 256 // bytes of a value that is remembered
	maxMemorised  = 32  // terms that such a value holds
	worthAtFirst  = 16  // misses that a field has before it is passed over
	worthAtMost   = 64
	worthAgain    = 4    // the same, when it is tried again
	worthTryAgain = 4096 // events of the plan after which that is

	recentValue = 40       // bytes of a value that is kept at its field
	recentTerms = 4        // terms that such a value holds
	maxRecent   = 1<<8 - 1 // fields of a plan of which one is kept
)

// memory is what a value of a field was found to hold, for the columns of one
// plan.
type memory struct {
	plan  uint32 // number of the plan; 0: the place is free
	field event.FieldID
	value []byte
	terms []int32
}

// field is what a plan knows of a field.
type field struct {
	worth  int8  // above 0: its values are worth remembering
	recent uint8 // place of its last value among the plan's; 0: none
}

// recent is the last value of a field and what it holds. Four of five values
// that are remembered are the same as in the event of the plan before, and those
// of an event's fields lie side by side here: one line of the cache each.
type recent struct {
	field       event.FieldID
	size, count uint8
	terms       [recentTerms]int32
	value       [recentValue]byte
}

// noField is the field of the place that stands for none.
const noField = ^event.FieldID(0)

// keep makes a value the last one of its field, where it is small.
func (pl *plan) keep(at *field, f *event.Field, terms []int32) {
	if len(f.Value) > recentValue || len(terms) > recentTerms {
		return
	}
	if at.recent == 0 {
		if len(pl.recent) > maxRecent {
			return
		}
		at.recent = uint8(len(pl.recent))
		pl.recent = append(pl.recent, recent{})
	}
	r := &pl.recent[at.recent]
	r.field, r.size, r.count = f.ID, uint8(copy(r.value[:], f.Value)), uint8(copy(r.terms[:], terms))
}

// memoriser is the memory of a matcher: a table in which each value has one
// place, so that a newer one displaces an older one.
type memoriser struct {
	seed  maphash.Seed
	table []memory // made when there is something to remember

	// What the value at hand holds is written down apart from what was found of
	// the event so far.
	writing bool
	round   uint32
	noted   []uint32 // by term: round in which it was written down
	terms   []int32
}

func newMemoriser(terms int) memoriser {
	return memoriser{seed: maphash.MakeSeed(), noted: make([]uint32, terms)}
}

// note writes a term down, once a round.
func (y *memoriser) note(term int32) {
	if y.noted[term] != y.round {
		y.noted[term] = y.round
		y.terms = append(y.terms, term)
	}
}

// begin starts a round.
func (y *memoriser) begin() {
	if y.round++; y.round == 0 {
		clear(y.noted)
		y.round = 1
	}
	y.writing, y.terms = true, y.terms[:0]
}

// look finds what the columns have of the value at position i, by what is
// remembered where that is worth it.
func (m *Matcher) look(pl *plan, columns []*column, i int32) {
	f := &m.ev.Fields[i]
	at := &pl.fields[uint(f.ID)%uint(len(pl.fields))]
	if at.worth <= 0 || f.Kind == event.Null || len(f.Value) > maxMemory {
		for _, c := range columns {
			m.column(c, i)
		}
		return
	}
	if r := &pl.recent[at.recent]; r.field == f.ID && string(r.value[:r.size]) == f.Value {
		at.worth = min(at.worth+2, worthAtMost)
		m.foundAll(r.terms[:r.count], i)
		return
	}
	y := &m.memory
	key := maphash.String(y.seed, f.Value) ^ (uint64(pl.number)<<32|uint64(uint32(f.ID)))*0x9E3779B97F4A7C15
	known := &y.table[key>>(64-memoryBits)]
	if known.plan == pl.number && known.field == f.ID && string(known.value) == f.Value {
		at.worth = min(at.worth+2, worthAtMost)
		pl.keep(at, f, known.terms)
		m.foundAll(known.terms, i)
		return
	}
	at.worth--
	y.begin()
	for _, c := range columns {
		m.column(c, i)
	}
	y.writing = false
	if len(y.terms) <= maxMemorised {
		known.plan, known.field = pl.number, f.ID
		known.value, known.terms = append(known.value[:0], f.Value...), append(known.terms[:0], y.terms...)
	}
	pl.keep(at, f, y.terms)
	m.foundAll(y.terms, i)
}

// remember lets the values of a plan's fields be remembered from now on.
func (m *Matcher) remember(pl *plan) {
	if m.memory.table == nil {
		m.memory.table = make([]memory, 1<<memoryBits)
	}
	for i := range pl.fields {
		pl.fields[i].worth = worthAtFirst
	}
	pl.recent = []recent{{field: noField}}
}

// used counts an event of a plan, and does what is worth it only for a plan that
// has many.
func (m *Matcher) used(pl *plan) {
	pl.uses++
	switch {
	case pl.uses == worthAfter:
		m.remember(pl)
	case pl.uses == joinAfter:
		m.router.join(pl)
	case pl.uses%worthTryAgain == 0:
		for i := range pl.fields {
			if at := &pl.fields[i]; at.worth <= 0 {
				at.worth = worthAgain
			}
		}
	}
}
