// Package graph holds the CMDB's relations in memory, so that a path between
// two items of a million is found in milliseconds. Items are numbers; relations
// lie in two sorted arrays (compressed sparse rows, one for each direction), 12
// bytes a relation, and changes since in small maps beside them, which are
// folded in when they have grown. What an item is to a search, its class and
// what decides who may see it, is one small number each.
package graph

import (
	"slices"
	"sync"
)

// MaxNodes is one above the largest number of an item.
const MaxNodes = 1 << 30

// Relation types, classes and facts are numbers that the graph's owner gives.
type (
	// Node is what a search must know of an item.
	Node struct {
		Class uint16 // 0 is no item
		Facts uint32 // what decides who may see it
	}
	// Edge is one relation.
	Edge struct {
		From, To int32
		Type     uint16
	}
)

// half is an edge as one of its ends sees it.
type half struct {
	to  int32
	typ uint16
}

// rows are the edges of one direction in compressed sparse rows.
type rows struct {
	start []uint32 // of each node, one more at the end
	to    []int32
	typ   []uint16
}

// Graph is safe for concurrent use: searches run side by side, changes wait for
// them.
type Graph struct {
	mu    sync.RWMutex
	nodes []Node
	out   rows
	in    rows
	// Changes since the rows were made. An edge may be there several times,
	// of different origins: added and removed count.
	addedOut, addedIn map[int32][]half
	removed           map[Edge]int
	changes           int
	edges             int

	scratch sync.Pool
}

// New makes a graph of nodes, by their numbers, and edges. It keeps nodes and
// sorts edges.
func New(nodes []Node, edges []Edge) *Graph {
	g := &Graph{nodes: nodes}
	g.build(edges)
	return g
}

func (g *Graph) build(edges []Edge) {
	n := len(g.nodes)
	for _, e := range edges {
		n = max(n, int(e.From)+1, int(e.To)+1)
	}
	for len(g.nodes) < n {
		g.nodes = append(g.nodes, Node{})
	}
	g.out = makeRows(n, edges, func(e Edge) (int32, half) { return e.From, half{e.To, e.Type} })
	g.in = makeRows(n, edges, func(e Edge) (int32, half) { return e.To, half{e.From, e.Type} })
	g.addedOut, g.addedIn, g.removed, g.changes = map[int32][]half{}, map[int32][]half{}, map[Edge]int{}, 0
	g.edges = len(edges)
}

// makeRows sorts edges by counting, which needs no comparison and no more
// memory than the outcome.
func makeRows(n int, edges []Edge, of func(Edge) (int32, half)) rows {
	r := rows{start: make([]uint32, n+1), to: make([]int32, len(edges)), typ: make([]uint16, len(edges))}
	for _, e := range edges {
		at, _ := of(e)
		r.start[at+1]++
	}
	for i := range n {
		r.start[i+1] += r.start[i]
	}
	next := slices.Clone(r.start[:n])
	for _, e := range edges {
		at, h := of(e)
		r.to[next[at]], r.typ[next[at]] = h.to, h.typ
		next[at]++
	}
	return r
}

// Stats are the graph's sizes.
type Stats struct {
	Nodes, Edges int
	Bytes        int // of the arrays; the changes since come on top
}

// Stats returns the graph's sizes.
func (g *Graph) Stats() Stats {
	g.mu.RLock()
	defer g.mu.RUnlock()
	s := Stats{Edges: g.edges}
	for _, n := range g.nodes {
		if n.Class != 0 {
			s.Nodes++
		}
	}
	s.Bytes = cap(g.nodes) * 8
	for _, r := range []rows{g.out, g.in} {
		s.Bytes += cap(r.start)*4 + cap(r.to)*4 + cap(r.typ)*2
	}
	return s
}

// Changes are what a commit changed.
type Changes struct {
	Nodes   map[int32]Node // new or other; Class 0 takes the item away
	Removed []Edge
	Added   []Edge
}

// Apply makes changes, all at once to those who search.
func (g *Graph) Apply(c Changes) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for at, n := range c.Nodes {
		g.grow(at)
		g.nodes[at] = n
	}
	for _, e := range c.Removed {
		g.remove(e)
	}
	for _, e := range c.Added {
		g.grow(max(e.From, e.To))
		g.addedOut[e.From] = append(g.addedOut[e.From], half{e.To, e.Type})
		g.addedIn[e.To] = append(g.addedIn[e.To], half{e.From, e.Type})
		g.edges++
		g.changes++
	}
	// The maps cost several times what the rows do, and a walk looks into
	// them at each step.
	if g.changes > 10_000+g.edges/10 {
		g.build(g.all())
	}
}

func (g *Graph) grow(at int32) {
	for int(at) >= len(g.nodes) {
		g.nodes = append(g.nodes, Node{})
	}
}

// remove takes away one edge that is there: one added since, else one of the
// rows.
func (g *Graph) remove(e Edge) {
	g.edges--
	g.changes++
	if i := slices.Index(g.addedOut[e.From], half{e.To, e.Type}); i >= 0 {
		g.addedOut[e.From] = slices.Delete(g.addedOut[e.From], i, i+1)
		j := slices.Index(g.addedIn[e.To], half{e.From, e.Type})
		g.addedIn[e.To] = slices.Delete(g.addedIn[e.To], j, j+1)
		return
	}
	g.removed[e]++
}

// all lists the edges there are.
func (g *Graph) all() []Edge {
	edges := make([]Edge, 0, g.edges)
	for at := range int32(len(g.nodes)) {
		g.each(at, true, func(to int32, typ uint16) bool {
			edges = append(edges, Edge{at, to, typ})
			return true
		})
	}
	return edges
}

// each calls fn for the edges of a node in one direction until it returns
// false.
func (g *Graph) each(at int32, forward bool, fn func(to int32, typ uint16) bool) {
	r, added := &g.out, g.addedOut
	if !forward {
		r, added = &g.in, g.addedIn
	}
	if int(at)+1 < len(r.start) {
		var gone map[Edge]int // how many of each were left out already
		for i := r.start[at]; i < r.start[at+1]; i++ {
			if len(g.removed) > 0 {
				e := Edge{at, r.to[i], r.typ[i]}
				if !forward {
					e.From, e.To = e.To, e.From
				}
				if n := g.removed[e]; n > 0 && gone[e] < n {
					if gone == nil {
						gone = map[Edge]int{}
					}
					gone[e]++
					continue
				}
			}
			if !fn(r.to[i], r.typ[i]) {
				return
			}
		}
	}
	if len(added) == 0 {
		return
	}
	for _, h := range added[at] {
		if !fn(h.to, h.typ) {
			return
		}
	}
}

// node is what is known of a number.
func (g *Graph) node(at int32) Node {
	if at < 0 || int(at) >= len(g.nodes) {
		return Node{}
	}
	return g.nodes[at]
}
