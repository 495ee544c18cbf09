package correlation

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// kind is how entries are judged.
type kind uint8

const (
	counts   kind = iota // events
	distinct             // values, or firings of the correlations below
	temporal
	ordered
	sum
	average
	percentile
	median
	absence
	travel // places that nobody gets between in the time
)

type ruleState struct {
	Rule
	kind      kind
	rising    bool
	span      int64
	late      int64 // how late an event may be, time that correlations below take included
	threshold int64 // least count that can meet a rising condition
	cases     []maskCase
	openers   uint64 // places whose matches open a window; ordered with "not" only
	stored    bool   // entries keep what the correlations of Then look at
	least     int    // entries below which a rising condition is not met, unless they stand for several events
	live      int    // groups
	first     *group // least recently touched, about
	last      *group
	evicted   uint64
}

// maskCase is a sigma.Case as bits of places.
type maskCase struct{ present, absent uint64 }

func newRule(r Rule, late int64) *ruleState {
	threshold, rising := r.Sigma.Rising()
	kinds := map[string]kind{"event_count": counts, "value_count": distinct, "temporal": temporal, "temporal_ordered": ordered, "value_sum": sum,
		"value_avg": average, "value_percentile": percentile, "value_median": median}
	s := &ruleState{Rule: r, kind: kinds[r.Sigma.Type], rising: rising, span: int64(r.Sigma.Timespan), late: late, threshold: threshold,
		stored: len(r.Then) > 0}
	switch {
	case r.Sigma.Absent:
		s.kind, s.rising = absence, false
	case r.Sigma.Travel != nil:
		s.kind = travel
	case s.kind == counts && r.Over:
		s.kind = distinct // a firing shows in many events and is one
	}
	switch {
	case !rising || len(r.Sigma.Cases) > 0:
	case s.kind == counts, s.kind == distinct, s.kind == temporal, s.kind == ordered, s.kind == travel:
		s.least = int(min(threshold, math.MaxInt32))
	}
	for _, c := range r.Sigma.Cases {
		m := maskCase{placesOf(c.Present), placesOf(c.Absent)}
		s.cases = append(s.cases, m)
		s.openers |= m.present
	}
	if s.rising || s.kind != ordered || s.openers == 0 {
		s.openers = math.MaxUint64
	}
	return s
}

func placesOf(places []int) (mask uint64) {
	for _, p := range places {
		mask |= 1 << p
	}
	return mask
}

// touch tells that something came for a group. It goes to the end of the list
// only when a part of the timespan has passed since it last did: the groups
// beside it in the list are seldom in the processor's cache.
func (r *ruleState) touch(g *group, arrived int64) {
	g.touched = max(g.touched, arrived)
	if g.touched-g.queued <= r.span/64 {
		return
	}
	r.unlink(g)
	g.queued = g.touched
	r.link(g)
}

// link puts a group behind those of its rule that were queued before it:
// mostly all, and where silence of another rule's group told of it only few.
func (r *ruleState) link(g *group) {
	at := r.last
	if at != nil && at.queued > g.queued {
		at = nil
		for next := r.first; next.queued <= g.queued; next = next.after {
			at = next
		}
	}
	g.before = at
	if at != nil {
		g.after, at.after = at.after, g
	} else {
		g.after, r.first = r.first, g
	}
	if g.after != nil {
		g.after.before = g
	} else {
		r.last = g
	}
}

func (r *ruleState) unlink(g *group) {
	if g.before != nil {
		g.before.after = g.after
	} else {
		r.first = g.after
	}
	if g.after != nil {
		g.after.before = g.before
	} else {
		r.last = g.before
	}
}

// identity names a window by rule, group and the cell in which it begins.
func (r *ruleState) identity(g *group, from int64) []byte {
	h := sha256.New()
	h.Write([]byte(r.ID))
	h.Write([]byte{0})
	h.Write([]byte(g.cell.key))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(floorDiv(from, r.span)))
	h.Write(b[:])
	return h.Sum(nil)[:16]
}
