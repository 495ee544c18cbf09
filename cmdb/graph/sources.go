package graph

import "github.com/bits-and-blooms/bitset"

// Sources are the nodes that a followed edge leads from to one of targets:
// forward along the edge, backward against it.
func (g *Graph) Sources(targets *bitset.BitSet, follow []Direction) *bitset.BitSet {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := bitset.New(uint(len(g.nodes)))
	for _, way := range []struct {
		direction Direction
		rows      *rows
		forward   bool
	}{{Forward, &g.in, false}, {Backward, &g.out, true}} {
		wanted := make([]bool, 1<<16)
		any := false
		for typ, d := range follow {
			wanted[typ] = d&way.direction != 0
			any = any || wanted[typ]
		}
		if !any {
			continue
		}
		for at, ok := targets.NextSet(0); ok && int(at) < len(g.nodes); at, ok = targets.NextSet(at + 1) {
			if g.changes == 0 && int(at)+1 < len(way.rows.start) {
				for i := way.rows.start[at]; i < way.rows.start[at+1]; i++ {
					if wanted[way.rows.typ[i]] {
						out.Set(uint(way.rows.to[i]))
					}
				}
				continue
			}
			g.each(int32(at), way.forward, func(to int32, typ uint16) bool {
				if wanted[typ] {
					out.Set(uint(to))
				}
				return true
			})
		}
	}
	return out
}
