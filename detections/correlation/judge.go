package correlation

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// rise looks for windows whose condition the new entry at a place may have
// met. Where such a window ends with an event, the condition is met at that
// event: for each of them it is enough to look at the longest window that
// begins in a cell.
func (s *State) rise(r *ruleState, g *group, at int, f *found, emit func(Firing)) {
	if len(g.entries) < r.least && !g.heavy {
		return
	}
	added := f.time
	for i := at; i < len(g.entries) && g.entries[i].time < added+r.span; {
		t := g.entries[i].time
		end := i + 1
		for end < len(g.entries) && g.entries[end].time == t {
			end++
		}
		this := floorDiv(t, r.span)
		for _, cell := range [...]int64{this - 1, this} {
			had := g.hasFired(cell)
			if had && !r.stored {
				continue
			}
			lo := g.search(max(cell*r.span, t-r.span+1))
			if g.entries[lo].time >= (cell+1)*r.span || g.entries[lo].time > added {
				continue // no window begins there, or none with the new entry
			}
			var count float64
			var met bool
			if r.kind == travel && !had && lo < at {
				// A window that others begin was met when a pair without the new entry came.
				count, met = r.travelled(g.entries[lo:end], at-lo)
			} else {
				count, met = s.measure(r, g.entries[lo:end])
			}
			if !met {
				continue
			}
			if !had {
				more := g.more()
				more.fired = append(more.fired, cell)
				s.fire(r, g, lo, end, count, f.fields.copy(), emit)
			}
			if r.stored {
				id := r.identity(g, cell*r.span)
				from := end - 1
				for from > 0 && g.entries[from-1].time == t {
					from--
				}
				for _, e := range slices.Clone(g.entries[from:end]) {
					tenant, links := decodeLinks(g.extra(&e).links)
					s.chain(r, g, id, e, tenant, links, f.fields, emit)
				}
			}
		}
		i = end
	}
}

// close judges the windows that end at or before a time, behind which
// everything is there.
func (s *State) close(r *ruleState, g *group, until int64, emit func(Firing)) {
	if until < g.quiet {
		return
	}
	g.quiet = 0
	for len(g.entries) > 0 {
		if r.kind == absence {
			if over := g.entries[0].time + r.span; over >= until {
				g.quiet = over + 1
				return
			}
			if len(g.entries) == 1 || g.entries[1].time-g.entries[0].time > r.span {
				s.over(r, g, 0, 1, 0, emit)
			}
			g.cut(0, 1)
			continue
		}
		open := 0
		for open < len(g.entries) && r.openers>>g.opener(r, open)&1 == 0 {
			open++
		}
		if open > 0 && (open == len(g.entries) || g.entries[open].time > g.entries[0].time) {
			// What does not open a window is needed until none can begin before it.
			n := 0
			for n < open && g.entries[n].time < until && (open == len(g.entries) || g.entries[n].time < g.entries[open].time) {
				n++
			}
			if n > 0 {
				g.cut(0, n)
				continue
			}
		}
		if open == len(g.entries) {
			return
		}
		from := g.entries[open].time
		if over := from + r.span; over > until {
			if open == 0 {
				g.quiet = over
			}
			return
		}
		lo, hi := g.search(from), g.search(from+r.span)
		if count, met := s.measure(r, g.entries[lo:hi]); met {
			s.over(r, g, lo, hi, count, emit)
		}
		g.cut(0, hi)
	}
}

// opener gives the place of an entry's rule where places open windows.
func (g *group) opener(r *ruleState, at int) uint64 {
	if r.openers == math.MaxUint64 {
		return 0
	}
	return g.entries[at].value
}

// over fires a window that is over. The correlations that count it see its last
// event.
func (s *State) over(r *ruleState, g *group, lo, hi int, count float64, emit func(Firing)) {
	known := hi - 1
	for known > lo && g.extra(&g.entries[known]).fields == "" {
		known--
	}
	fields := decodeFields(g.extra(&g.entries[known]).fields)
	s.fire(r, g, lo, hi, count, fields, emit)
	if r.stored {
		e := g.entries[hi-1]
		tenant, links := decodeLinks(g.extra(&e).links)
		if r.kind == absence {
			e.time += r.span
		}
		s.chain(r, g, r.identity(g, g.entries[lo].time), e, tenant, links, &content{fields: inOrder(fields)}, emit)
	}
}

// finish judges all windows of a group that gets no more events.
func (s *State) finish(r *ruleState, g *group, emit func(Firing)) {
	if !r.rising {
		before := g.size()
		s.close(r, g, math.MaxInt64, emit)
		s.bytes += g.size() - before
	}
}

// measure gives what a window's entries count, and whether that meets the
// rule's condition. The entries are in the order of time.
func (s *State) measure(r *ruleState, es []entry) (count float64, met bool) {
	switch r.kind {
	case counts:
		n := int64(0)
		for i := range es {
			n += int64(es[i].weight)
		}
		count = float64(n)
	case distinct:
		if r.rising && int64(len(es)) < r.threshold {
			return 0, false
		}
		s.values = s.values[:0]
		for i := range es {
			s.values = append(s.values, es[i].value)
		}
		slices.Sort(s.values)
		count = float64(len(slices.Compact(s.values)))
	case temporal:
		mask := uint64(0)
		for i := range es {
			mask |= 1 << es[i].value
		}
		if len(r.cases) > 0 {
			return float64(bits.OnesCount64(mask)), slices.ContainsFunc(r.cases, func(c maskCase) bool { return mask&c.present == c.present && mask&c.absent == 0 })
		}
		count = float64(bits.OnesCount64(mask))
	case ordered:
		if len(r.cases) > 0 {
			return r.orderedCases(es)
		}
		count = float64(longest(es, len(r.Sigma.Rules)))
	case travel:
		return r.farApart(es)
	default:
		count = s.number(r, es)
	}
	return count, r.Sigma.Met(count)
}

// longest is the most rules that match one behind the other in the order of
// the list. Matches of the same time are in order.
func longest(es []entry, rules int) int {
	var best [64]int // longest run that ends with a rule
	for i := 0; i < len(es); {
		var here uint64
		for at := es[i].time; i < len(es) && es[i].time == at; i++ {
			here |= 1 << es[i].value
		}
		for ; here != 0; here &= here - 1 {
			p, before := bits.TrailingZeros64(here), 0
			for _, n := range best[:p] {
				before = max(before, n)
			}
			best[p] = max(best[p], before+1)
		}
	}
	return slices.Max(best[:rules])
}

// orderedCases tells whether in a case the rules that have to be there match
// one behind the other.
func (r *ruleState) orderedCases(es []entry) (count float64, met bool) {
	mask := uint64(0)
	for i := range es {
		mask |= 1 << es[i].value
	}
	for _, c := range r.cases {
		if mask&c.present != c.present || mask&c.absent != 0 {
			continue
		}
		in := es
		left := c.present
		for left != 0 && len(in) > 0 {
			next := uint64(bits.TrailingZeros64(left)) // place of the lowest bit
			i := slices.IndexFunc(in, func(e entry) bool { return e.value == next })
			if i < 0 {
				break
			}
			at := in[i].time
			left &= left - 1
			k := i
			for k > 0 && in[k-1].time == at {
				k--
			}
			in = in[k:]
		}
		if left == 0 {
			return float64(bits.OnesCount64(c.present)), true
		}
	}
	return float64(bits.OnesCount64(mask)), false
}

type weighted struct {
	value  float64
	weight int64
}

// number is what a window's values make.
func (s *State) number(r *ruleState, es []entry) float64 {
	total, n := 0.0, int64(0)
	s.numbers = s.numbers[:0]
	for i := range es {
		v := math.Float64frombits(es[i].value)
		n += int64(es[i].weight)
		if r.kind == sum || r.kind == average {
			if r.kind == sum && r.rising {
				v = max(v, 0) // else a sum that was met could be undone
			}
			total += v * float64(es[i].weight)
			continue
		}
		s.numbers = append(s.numbers, weighted{v, int64(es[i].weight)})
	}
	switch r.kind {
	case sum:
		return total
	case average:
		return total / float64(n)
	}
	slices.SortFunc(s.numbers, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	if r.kind == median {
		return (s.rank((n+1)/2) + s.rank(n/2+1)) / 2
	}
	return s.rank(max(1, int64(math.Ceil(r.Sigma.Percentile/100*float64(n)))))
}

// rank is the value that stands at a place, from 1, of the sorted numbers.
func (s *State) rank(place int64) float64 {
	for _, w := range s.numbers {
		if place -= w.weight; place <= 0 {
			return w.value
		}
	}
	return s.numbers[len(s.numbers)-1].value
}
