package graph

import (
	"context"
	"slices"
)

// Paths finds the shortest paths of at most hops relations between two items,
// no two by the same items in the same order, and at most most of them; more
// tells that there are others. Where several relations join two items on the
// way, one of them is told. The outcome is none where Path finds none, and one
// without steps where from is to. The error is the context's.
func (g *Graph) Paths(ctx context.Context, from, to int32, hops, most int, o Options) (paths [][]Step, more bool, err error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	k := &gate{o: &o, seen: map[uint32]bool{}}
	if !k.visible(g.node(from)) || !k.visible(g.node(to)) {
		return nil, false, nil
	}
	if from == to {
		return [][]Step{{}}, false, nil
	}
	s := g.borrow()
	defer g.scratch.Put(s)
	s.marks[from] = mark{round: s.round, from: -1, side: 0}
	s.marks[to] = mark{round: s.round, from: -1, side: 1}
	frontier := [2][]int32{{from}, {to}}
	for range hops {
		side := uint8(0)
		if len(frontier[1]) < len(frontier[0]) {
			side = 1
		}
		next, met, err := g.expand(ctx, s, k, side, frontier[side], true)
		if err != nil {
			return nil, false, err
		}
		if len(met) > 0 {
			paths := g.join(s, k, side, met, most+1)
			return paths[:min(len(paths), most)], len(paths) > most, nil
		}
		if frontier[side] = next; len(next) == 0 {
			return nil, false, nil
		}
	}
	return nil, false, nil
}

// join puts the paths together that lead over meetings, at most most of them.
// The sides have met for the first time, so all are equally long.
func (g *Graph) join(s *scratch, k *gate, side uint8, met []meeting, most int) (paths [][]Step) {
	type ends struct{ near, far int32 }
	seen := map[ends]bool{}
	for _, m := range met {
		if seen[ends{m.near, m.far}] {
			continue // by another relation
		}
		seen[ends{m.near, m.far}] = true
		start, end, fwd := m.near, m.far, m.fwd
		if side == 1 {
			start, end, fwd = m.far, m.near, !m.fwd
		}
		g.back(s, k, start, nil, func(first []Step) bool {
			return g.back(s, k, end, nil, func(last []Step) bool {
				// The steps of the start's side lead away from it.
				path := slices.Clone(first)
				slices.Reverse(path)
				path = append(path, Step{end, m.typ, fwd})
				paths = append(paths, append(path, last...))
				return len(paths) < most
			})
		})
		if len(paths) >= most {
			break
		}
	}
	return paths
}

// back calls found for each way from an item back to the end of its side, with
// the steps of the way: for the start's side those that lead from the start, the
// last first, for the goal's those that lead to the goal, in their order. It
// answers false once found does.
func (g *Graph) back(s *scratch, k *gate, at int32, way []Step, found func([]Step) bool) bool {
	m := s.marks[at]
	if m.depth == 0 {
		return found(way)
	}
	var before []Step // by Node, the items that led here; the rest as they step here
	for _, fwd := range [2]bool{true, false} {
		need := needed(fwd, m.side)
		g.each(at, !fwd, func(other int32, typ uint16) bool {
			o := &s.marks[other]
			if o.round == s.round && o.side == m.side && o.depth+1 == m.depth && k.o.follow(typ)&need != 0 &&
				!slices.ContainsFunc(before, func(b Step) bool { return b.Node == other }) {
				before = append(before, Step{other, typ, fwd})
			}
			return true
		})
	}
	for _, b := range before {
		step := Step{at, b.Type, b.Forward}
		if m.side == 1 {
			step = Step{b.Node, b.Type, !b.Forward}
		}
		if !g.back(s, k, b.Node, append(slices.Clip(way), step), found) {
			return false
		}
	}
	return true
}
