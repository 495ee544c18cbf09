package correlation

import (
	"cmp"
	"math"
	"slices"
	"unsafe"
)

// group is the events of one rule that have the same values to group by.
type group struct {
	cell          *cell
	entries       []entry // by time, then identity
	newest        int64   // event time
	touched       int64   // arrival
	queued        int64   // touched when it was put into the rule's list; seldom much less
	quiet         int64   // close has nothing to do until this time; 0 where it is not known
	before, after *group  // of the same rule, by queued
	extras        *extras // what few entries keep
	due           uint32  // number of entries at which compaction is tried again
	thinned       bool    // entries were dropped that another condition would need
	heavy         bool    // entries stand for several events
}

// entry is an event in a group. An event may have several in a group of a
// temporal correlation, one for each rule it matched, and of a chain, one for
// each window it shows.
type entry struct {
	time   int64
	seq    uint64
	value  uint64 // hash of what is told apart, place among the rules, or bits of a number
	index  uint32
	weight uint32
	extra  uint32 // what it keeps in group.extras, 0 for nothing
	epoch  uint16
}

// size is what a group takes beside its cell.
func (g *group) size() int64 {
	return int64(unsafe.Sizeof(*g)) + int64(cap(g.entries))*int64(unsafe.Sizeof(entry{})) + g.extras.size()
}

// order sorts entries in a way that does not depend on their arrival.
func (e *entry) order(o *entry) int {
	return cmp.Or(cmp.Compare(e.time, o.time), cmp.Compare(e.epoch, o.epoch), cmp.Compare(e.seq, o.seq), cmp.Compare(e.index, o.index),
		cmp.Compare(e.value, o.value))
}

// same tells whether both are of one event.
func (e *entry) same(o *entry) bool {
	return e.time == o.time && e.seq == o.seq && e.index == o.index && e.epoch == o.epoch
}

// place finds where an entry belongs, and whether it is there already.
func (g *group) place(e *entry) (at int, there bool) {
	if n := len(g.entries); n == 0 || g.newest < e.time || g.entries[n-1].time < e.time {
		return n, false
	}
	return slices.BinarySearchFunc(g.entries, e, func(a entry, b *entry) int { return a.order(b) })
}

// insert puts an entry at a place.
func (g *group) insert(at int, e entry) {
	g.heavy = g.heavy || e.weight > 1
	if at == 0 {
		g.quiet = 0
	}
	if at == len(g.entries) { // mostly
		g.entries = append(g.entries, e)
		return
	}
	g.entries = slices.Insert(g.entries, at, e)
}

// cut removes the entries from lo to hi.
func (g *group) cut(lo, hi int) {
	for i := lo; i < hi; i++ {
		g.release(&g.entries[i])
	}
	if lo == 0 && hi == len(g.entries) && cap(g.entries) > 8 {
		g.entries = nil
		return
	}
	g.entries = slices.Delete(g.entries, lo, hi)
	if n := len(g.entries); cap(g.entries) > 64 && n < cap(g.entries)/4 {
		g.entries = append(make([]entry, 0, n+n/4+1), g.entries...)
	}
}

// retain keeps the entries that keep says, in their order.
func (g *group) retain(keep func(i int) bool) {
	n := 0
	for i := range g.entries {
		if keep(i) {
			g.entries[n] = g.entries[i]
			n++
			continue
		}
		g.release(&g.entries[i])
	}
	clear(g.entries[n:])
	g.entries = g.entries[:n]
}

func (g *group) hasFired(cell int64) bool {
	return g.extras != nil && slices.Contains(g.extras.fired, cell)
}

// remember keeps what the entry's firings need later. Fields are kept of the
// last event in each cell only: every window holds at least one such.
func (s *State) remember(r *ruleState, g *group, at int, f *found) {
	var x extra
	if r.stored && f.then != nil {
		x.links = encodeLinks(f.tenant, f.then())
	}
	if !r.rising && f.fields != nil && f.fields.fields != nil {
		cell := floorDiv(f.time, r.span)
		if at == len(g.entries) || floorDiv(g.entries[at].time, r.span) != cell {
			x.fields = f.fields.encode()
			if at > 0 && floorDiv(g.entries[at-1].time, r.span) == cell {
				g.forget(&g.entries[at-1])
			}
		}
	}
	if x != (extra{}) {
		f.extra = g.hold(x)
	}
}

// prune drops entries that matter to no window any more, and keeps a group
// from growing without end.
func (s *State) prune(r *ruleState, g *group) {
	if r.rising {
		limit := g.newest - r.late - r.span // no window reaches so far back
		if g.entries[0].time <= limit {
			g.cut(0, g.search(limit+1))
		}
		if first := floorDiv(limit, r.span); g.extras != nil {
			g.extras.fired = slices.DeleteFunc(g.extras.fired, func(c int64) bool { return c < first })
		}
	}
	if len(g.entries) < max(s.slack, int(g.due)) {
		return
	}
	if n := len(g.entries); !r.stored {
		s.compact(r, g)
		g.thinned = g.thinned || len(g.entries) < n
	}
	cells := r.late/r.span + 3
	most := max(maxEntries, int(min(cells*min(r.threshold, 1<<20), 1<<20)))
	if over := len(g.entries) - most; over > 0 {
		over += most / 4 // not with every event
		if r.kind == counts && !r.rising {
			over -= g.fold(over)
		}
		s.stats.Cut += uint64(over)
		g.cut(0, over)
		g.thinned = true
	}
	g.due = uint32(min(2*len(g.entries), most+1))
}

// fold joins the first n entries pairwise where only their number matters.
func (g *group) fold(n int) (gone int) {
	n = min(n, len(g.entries)/2)
	g.retain(func(i int) bool {
		if i < 2*n && i%2 == 1 {
			g.entries[(i-1)/2].weight += g.entries[i].weight
			g.heavy = true
			gone++
			return false
		}
		return true
	})
	return gone
}

// compact drops entries without which every window is judged the same, now
// and with whatever may still come:
//
//   - Where a cell has fired, only windows that begin in the cell before look
//     at it, and these at its beginning; where that one has fired too, none.
//   - Of several entries of one cell that count the same, a window sees the
//     first or the last wherever it sees any.
func (s *State) compact(r *ruleState, g *group) {
	switch {
	case r.kind == absence:
		// What has another one within the span before and behind is no end.
		last := 0
		g.retain(func(i int) bool {
			// retain has moved the entries before i to the front by now.
			keep := i == 0 || i == len(g.entries)-1 || g.entries[i].extra != 0 || g.entries[i+1].time-g.entries[last].time > r.span
			if keep && i > 0 {
				last++
			}
			return keep
		})
		return
	case !r.rising:
		return
	}
	n := len(g.entries)
	cell := make([]int64, n)
	for i := range g.entries {
		cell[i] = floorDiv(g.entries[i].time, r.span)
	}
	drop := make([]bool, n)
	for lo := 0; lo < n; {
		hi := lo
		for hi < n && cell[hi] == cell[lo] {
			hi++
		}
		fired := g.hasFired(cell[lo])
		switch {
		case fired && g.hasFired(cell[lo]-1):
			for i := lo; i < hi; i++ {
				drop[i] = true
			}
		case r.kind == counts || r.kind == sum:
			total := 0.0
			for i := lo; i < hi && fired; i++ {
				drop[i] = r.Sigma.Met(total)
				total += r.share(&g.entries[i])
			}
		case r.kind == ordered || r.kind == travel:
			// Only where nothing comes between them any more: else it would stand
			// behind one that is gone.
			settled := g.newest - r.late
			for i := lo + 1; i < hi-1 && g.entries[i+1].time < settled; i++ {
				drop[i] = g.entries[i].value == g.entries[i-1].value && g.entries[i].value == g.entries[i+1].value
			}
		default:
			first, last := map[uint64]bool{}, map[uint64]bool{}
			for i := lo; i < hi; i++ {
				drop[i] = first[g.entries[i].value] || fired && int64(len(first)) >= r.threshold && r.kind == distinct
				first[g.entries[i].value] = true
			}
			for i := hi - 1; i >= lo && !fired; i-- {
				if !last[g.entries[i].value] {
					drop[i] = false
				}
				last[g.entries[i].value] = true
			}
		}
		lo = hi
	}
	g.retain(func(i int) bool { return !drop[i] })
}

// share is what an entry adds to a rising count or sum.
func (r *ruleState) share(e *entry) float64 {
	if r.kind == sum {
		return max(0, math.Float64frombits(e.value)) * float64(e.weight)
	}
	return float64(e.weight)
}
