package graph

import (
	"context"
	"slices"
)

// Direction says which way a search follows the relations of a type.
type Direction uint8

// The directions; they add up.
const (
	Forward  Direction = 1 << iota // from the first item to the second
	Backward                       // from the second to the first
	Both     = Forward | Backward
)

// Options narrow a search.
type Options struct {
	// Follow says which way relations of a type are followed, by the type's
	// number; 0 is not at all. A type beyond the list is followed as Else.
	Follow []Direction
	Else   Direction
	// Classes says which classes a search may pass through, by the class's
	// number; nil is all. The ends of a path may be of any.
	Classes []bool
	// Visible tells whether the caller may see items of these facts. It is
	// asked once for each; nil is everything. A search never passes through
	// an item that is not to be seen, and never ends at one.
	Visible func(facts uint32) bool
}

func (o *Options) follow(typ uint16) Direction {
	if int(typ) < len(o.Follow) {
		return o.Follow[typ]
	}
	return o.Else
}

// Step is one relation of a path, with the item it leads to.
type Step struct {
	Node    int32
	Type    uint16
	Forward bool // the relation goes from the item before to this one
}

// gate decides which items a search may enter.
type gate struct {
	o    *Options
	seen map[uint32]bool
}

func (k *gate) visible(n Node) bool {
	if n.Class == 0 {
		return false
	}
	if k.o.Visible == nil {
		return true
	}
	v, known := k.seen[n.Facts]
	if !known {
		v = k.o.Visible(n.Facts)
		k.seen[n.Facts] = v
	}
	return v
}

func (k *gate) passes(n Node) bool {
	if k.o.Classes != nil && (int(n.Class) >= len(k.o.Classes) || !k.o.Classes[n.Class]) {
		return false
	}
	return k.visible(n)
}

// mark is how a search came to a node.
type mark struct {
	round uint32 // of the search that left the mark
	from  int32
	typ   uint16
	fwd   bool
	side  uint8
	depth uint8 // relations from the side's end
}

// scratch is what a search writes on. Marks of earlier searches are told apart
// by their round, so that nothing need be wiped.
type scratch struct {
	round uint32
	marks []mark
}

func (g *Graph) borrow() *scratch {
	s, _ := g.scratch.Get().(*scratch)
	if s == nil {
		s = &scratch{}
	}
	if len(s.marks) < len(g.nodes) || s.round == ^uint32(0) {
		s.marks, s.round = make([]mark, len(g.nodes)), 0
	}
	s.round++
	return s
}

// checkEvery is how many nodes a search expands before it looks whether anybody
// still waits for it.
const checkEvery = 4096

// Path finds a shortest path of at most hops relations between two items, from
// both ends at once. It is empty where from is to, and nil, false where there
// is none. The error is the context's.
func (g *Graph) Path(ctx context.Context, from, to int32, hops int, o Options) ([]Step, bool, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	k := &gate{o: &o, seen: map[uint32]bool{}}
	if !k.visible(g.node(from)) || !k.visible(g.node(to)) {
		return nil, false, nil
	}
	if from == to {
		return []Step{}, true, nil
	}
	s := g.borrow()
	defer g.scratch.Put(s)
	s.marks[from] = mark{round: s.round, from: -1, side: 0}
	s.marks[to] = mark{round: s.round, from: -1, side: 1}
	frontier := [2][]int32{{from}, {to}}
	for depth := 0; depth < hops; depth++ {
		// The smaller side grows.
		side := uint8(0)
		if len(frontier[1]) < len(frontier[0]) {
			side = 1
		}
		if len(frontier[side]) == 0 {
			return nil, false, nil
		}
		next, met, err := g.expand(ctx, s, k, side, frontier[side], false)
		if err != nil {
			return nil, false, err
		}
		if len(met) > 0 {
			return s.path(met[0], side), true, nil
		}
		frontier[side] = next
	}
	return nil, false, nil
}

// meeting is the relation on which the two sides met: from the growing side's
// node to the other side's.
type meeting struct {
	near, far int32
	typ       uint16
	fwd       bool // the relation goes from near to far
}

// expand expands one side by one relation. It ends where the sides meet, unless
// all meetings are asked for.
func (g *Graph) expand(ctx context.Context, s *scratch, k *gate, side uint8, frontier []int32, all bool) (next []int32, met []meeting, err error) {
	for i, at := range frontier {
		if i%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
		}
		for _, fwd := range [2]bool{true, false} {
			need := needed(fwd, side)
			g.each(at, fwd, func(to int32, typ uint16) bool {
				if k.o.follow(typ)&need == 0 {
					return true
				}
				if m := &s.marks[to]; m.round == s.round {
					if m.side != side {
						met = append(met, meeting{at, to, typ, fwd})
						return all
					}
					return true
				}
				if !k.passes(g.node(to)) {
					return true
				}
				s.marks[to] = mark{s.round, at, typ, fwd, side, s.marks[at].depth + 1}
				next = append(next, to)
				return true
			})
			if len(met) > 0 && !all {
				return nil, met, nil
			}
		}
	}
	return next, met, nil
}

// needed is which way a relation must be followed where a side goes along it or
// against it: the side of the goal walks against the way that is allowed.
func needed(fwd bool, side uint8) Direction {
	if fwd == (side == 0) {
		return Forward
	}
	return Backward
}

// path puts the halves of a path together.
func (s *scratch) path(m meeting, side uint8) []Step {
	start, end := m.near, m.far
	fwd := m.fwd
	if side == 1 {
		start, end, fwd = m.far, m.near, !m.fwd
	}
	var steps []Step
	for at := start; s.marks[at].from >= 0; at = s.marks[at].from {
		steps = append(steps, Step{at, s.marks[at].typ, s.marks[at].fwd})
	}
	slices.Reverse(steps)
	steps = append(steps, Step{end, m.typ, fwd})
	// On the goal's side marks lead on to the goal.
	for at := end; s.marks[at].from >= 0; at = s.marks[at].from {
		steps = append(steps, Step{s.marks[at].from, s.marks[at].typ, !s.marks[at].fwd})
	}
	return steps
}

// Reached is an item that a walk came to.
type Reached struct {
	Step
	From  int32 // the item the walk came from
	Depth int
}

// Walk visits the items around one, nearest first, up to depth relations away
// and at most limit of them; more tells that there were more. The first item
// itself is not among them.
func (g *Graph) Walk(ctx context.Context, from int32, depth, limit int, o Options) (list []Reached, more bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	k := &gate{o: &o, seen: map[uint32]bool{}}
	if !k.visible(g.node(from)) {
		return nil, false, nil
	}
	s := g.borrow()
	defer g.scratch.Put(s)
	s.marks[from] = mark{round: s.round, from: -1}
	frontier := []int32{from}
	for d := 1; d <= depth && len(frontier) > 0 && !more; d++ {
		ring := len(list)
		if list, more, err = g.ring(ctx, k, s, frontier, d, limit, list); err != nil {
			return nil, false, err
		}
		frontier = frontier[:0]
		for _, r := range list[ring:] {
			frontier = append(frontier, r.Node)
		}
	}
	return list, more, nil
}

// ring adds the items one relation away from any of some that were not reached
// before, at most limit in all.
func (g *Graph) ring(ctx context.Context, k *gate, s *scratch, from []int32, depth, limit int, list []Reached) (_ []Reached, more bool, err error) {
	for i, at := range from {
		if i%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return nil, false, err
			}
		}
		for _, fwd := range [2]bool{true, false} {
			need := Forward
			if !fwd {
				need = Backward
			}
			g.each(at, fwd, func(to int32, typ uint16) bool {
				if k.o.follow(typ)&need == 0 || s.marks[to].round == s.round || !k.passes(g.node(to)) {
					return true
				}
				if len(list) == limit {
					more = true
					return false
				}
				s.marks[to] = mark{round: s.round, from: at}
				list = append(list, Reached{Step{to, typ, fwd}, at, depth})
				return true
			})
		}
	}
	return list, more, nil
}

// Neighbours lists the items one relation away from any of some, each once and
// at most limit of them; more tells that there were more. Only visible items of
// the allowed classes are among them.
func (g *Graph) Neighbours(ctx context.Context, from []int32, limit int, o Options) (list []Reached, more bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	k := &gate{o: &o, seen: map[uint32]bool{}}
	s := g.borrow()
	defer g.scratch.Put(s)
	return g.ring(ctx, k, s, from, 1, limit, nil)
}
