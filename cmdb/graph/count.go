package graph

// Count counts the edges both of whose ends may be seen. One that is there
// several times, of different origins, counts as often.
func (g *Graph) Count(visible func(facts uint32) bool) int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	known := map[uint32]bool{}
	sees := func(n Node) bool {
		if n.Class == 0 {
			return false
		}
		may, ok := known[n.Facts]
		if !ok {
			may = visible(n.Facts)
			known[n.Facts] = may
		}
		return may
	}
	count := 0
	for at := range int32(len(g.nodes)) {
		if !sees(g.nodes[at]) {
			continue
		}
		g.each(at, true, func(to int32, _ uint16) bool {
			if sees(g.node(to)) {
				count++
			}
			return true
		})
	}
	return count
}
