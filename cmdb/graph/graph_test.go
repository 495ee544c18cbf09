package graph

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// reference is a graph without any art.
type reference struct {
	nodes []Node
	edges []Edge
}

func (r *reference) distance(from, to int32, hops int, o Options) int {
	k := &gate{o: &o, seen: map[uint32]bool{}}
	if !k.visible(r.nodes[from]) || !k.visible(r.nodes[to]) {
		return -1
	}
	dist := map[int32]int{from: 0}
	queue := []int32{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at == to {
			return dist[at]
		}
		if dist[at] == hops || at != from && !k.passes(r.nodes[at]) {
			continue
		}
		for _, e := range r.edges {
			for _, way := range []struct {
				a, b int32
				need Direction
			}{{e.From, e.To, Forward}, {e.To, e.From, Backward}} {
				if way.a != at || o.follow(e.Type)&way.need == 0 {
					continue
				}
				if _, seen := dist[way.b]; !seen && k.visible(r.nodes[way.b]) {
					dist[way.b] = dist[at] + 1
					queue = append(queue, way.b)
				}
			}
		}
	}
	return -1
}

// TestAgainstReference changes random graphs and compares each path with the
// one that a plain search finds: as long, made of relations there are, through
// items that may be seen and passed.
func TestAgainstReference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 5 + rnd.IntN(40)
		ref := &reference{nodes: make([]Node, n)}
		for i := range ref.nodes {
			ref.nodes[i] = Node{uint16(1 + rnd.IntN(3)), uint32(rnd.IntN(4))}
		}
		edge := func() Edge {
			return Edge{int32(rnd.IntN(n)), int32(rnd.IntN(n)), uint16(rnd.IntN(3))}
		}
		for range n + rnd.IntN(n) {
			ref.edges = append(ref.edges, edge())
		}
		g := New(slices.Clone(ref.nodes), slices.Clone(ref.edges))
		for round := range 30 {
			if round == 20 {
				g.mu.Lock()
				g.build(g.all())
				g.mu.Unlock()
			}
			c := Changes{Nodes: map[int32]Node{}}
			for range rnd.IntN(4) {
				if len(ref.edges) > 0 {
					i := rnd.IntN(len(ref.edges))
					c.Removed = append(c.Removed, ref.edges[i])
					ref.edges = slices.Delete(ref.edges, i, i+1)
				}
			}
			for range rnd.IntN(4) {
				e := edge()
				c.Added, ref.edges = append(c.Added, e), append(ref.edges, e)
			}
			if at := int32(rnd.IntN(n)); rnd.IntN(3) == 0 {
				c.Nodes[at] = Node{uint16(rnd.IntN(4)), uint32(rnd.IntN(4))}
				ref.nodes[at] = c.Nodes[at]
			}
			g.Apply(c)
			if s := g.Stats(); s.Edges != len(ref.edges) {
				t.Fatalf("seed %d: %d edges, want %d", seed, s.Edges, len(ref.edges))
			}
			o := Options{Else: Both}
			if rnd.IntN(2) == 0 {
				o.Follow = []Direction{Forward, Both, Direction(rnd.IntN(4))}
			}
			if rnd.IntN(2) == 0 {
				o.Classes = []bool{false, true, rnd.IntN(2) == 0, true}
			}
			if rnd.IntN(2) == 0 {
				hidden := uint32(rnd.IntN(4))
				o.Visible = func(f uint32) bool { return f != hidden }
			}
			from, to, hops := int32(rnd.IntN(n)), int32(rnd.IntN(n)), 1+rnd.IntN(8)
			path, found, err := g.Path(t.Context(), from, to, hops, o)
			if err != nil {
				t.Fatal(err)
			}
			want := ref.distance(from, to, hops, o)
			if found != (want >= 0) || found && len(path) != want {
				t.Fatalf("seed %d, round %d: from %d to %d within %d: %v, %v; want a path of %d", seed, round, from, to, hops, path, found, want)
			}
			checkPath(t, ref, path, from, to, o, found)
			checkPaths(t, g, ref, from, to, hops, want, o)
		}
	}
}

// checkPaths compares all shortest paths with those that going every way finds,
// and fewer with some of them.
func checkPaths(t *testing.T, g *Graph, ref *reference, from, to int32, hops, want int, o Options) {
	t.Helper()
	find := func(most int) (map[string]bool, bool) {
		t.Helper()
		paths, more, err := g.Paths(t.Context(), from, to, hops, most, o)
		if err != nil || len(paths) > most || (len(paths) > 0) != (want >= 0) {
			t.Fatalf("from %d to %d within %d: %d of at most %d paths, %v; want paths of %d", from, to, hops, len(paths), most, err, want)
		}
		out := map[string]bool{}
		for _, p := range paths {
			if len(p) != want {
				t.Fatalf("%v has %d steps, want %d", p, len(p), want)
			}
			checkPath(t, ref, p, from, to, o, true)
			var nodes []int32
			for _, s := range p {
				nodes = append(nodes, s.Node)
			}
			out[fmt.Sprint(nodes)] = true
		}
		if len(out) != len(paths) {
			t.Fatalf("%v: the same items twice", paths)
		}
		return out, more
	}
	all, more := find(100_000)
	if more {
		t.Fatal("there are more than all")
	}
	if want >= 0 && want <= 4 { // else there are too many ways to go
		if reference := ref.paths(from, to, want, o); !maps.Equal(all, reference) {
			t.Fatalf("from %d to %d: %v, want %v", from, to, all, reference)
		}
	}
	some, more := find(2)
	if len(some) != min(2, len(all)) || more != (len(all) > 2) {
		t.Fatalf("%d of %d paths, more: %v", len(some), len(all), more)
	}
	for p := range some {
		if !all[p] {
			t.Fatalf("%s is none of %v", p, all)
		}
	}
}

// paths are the items of all ways of so many steps.
func (r *reference) paths(from, to int32, steps int, o Options) map[string]bool {
	k := &gate{o: &o, seen: map[uint32]bool{}}
	out := map[string]bool{}
	var onward func(at int32, way []int32)
	onward = func(at int32, way []int32) {
		if len(way) == steps {
			if at == to {
				out[fmt.Sprint(way)] = true
			}
			return
		}
		if at != from && !k.passes(r.nodes[at]) {
			return
		}
		for _, e := range r.edges {
			if e.From == at && o.follow(e.Type)&Forward != 0 && k.visible(r.nodes[e.To]) {
				onward(e.To, append(slices.Clip(way), e.To))
			}
			if e.To == at && o.follow(e.Type)&Backward != 0 && k.visible(r.nodes[e.From]) {
				onward(e.From, append(slices.Clip(way), e.From))
			}
		}
	}
	onward(from, nil)
	return out
}

func checkPath(t *testing.T, ref *reference, path []Step, from, to int32, o Options, found bool) {
	t.Helper()
	if !found {
		return
	}
	k := &gate{o: &o, seen: map[uint32]bool{}}
	at := from
	for i, s := range path {
		e, need := Edge{at, s.Node, s.Type}, Forward
		if !s.Forward {
			e, need = Edge{s.Node, at, s.Type}, Backward
		}
		if !slices.Contains(ref.edges, e) || o.follow(s.Type)&need == 0 {
			t.Fatalf("step %d of %v from %d is no relation that may be followed", i, path, from)
		}
		if n := ref.nodes[s.Node]; i < len(path)-1 && !k.passes(n) || !k.visible(n) {
			t.Fatalf("step %d of %v leads through an item that may not be passed", i, path)
		}
		at = s.Node
	}
	if at != to {
		t.Fatalf("%v from %d ends at %d, not %d", path, from, at, to)
	}
}

func TestWalk(t *testing.T) {
	t.Parallel()
	// 1 → 2 → 3, 4 → 2, 3 → 5 by another type; 6 is hidden and leads to 7.
	nodes := []Node{{}, {1, 0}, {1, 0}, {2, 0}, {1, 0}, {1, 0}, {1, 9}, {1, 0}}
	g := New(nodes, []Edge{{1, 2, 0}, {2, 3, 0}, {4, 2, 0}, {3, 5, 1}, {2, 6, 0}, {6, 7, 0}})
	reached := func(o Options, depth, limit int) (out []int32, more bool) {
		list, more, err := g.Walk(t.Context(), 1, depth, limit, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			out = append(out, r.Node)
		}
		return out, more
	}
	see := func(f uint32) bool { return f != 9 }
	for _, c := range []struct {
		o            Options
		depth, limit int
		want         []int32
		more         bool
	}{
		{Options{Else: Forward, Visible: see}, 8, 100, []int32{2, 3, 5}, false},
		{Options{Else: Forward}, 8, 100, []int32{2, 3, 6, 5, 7}, false},
		{Options{Else: Forward}, 1, 100, []int32{2}, false},
		{Options{Else: Backward}, 8, 100, nil, false},
		{Options{Else: Both, Visible: see}, 8, 100, []int32{2, 3, 4, 5}, false},
		{Options{Follow: []Direction{Forward}, Visible: see}, 8, 100, []int32{2, 3}, false},
		{Options{Else: Forward, Classes: []bool{false, true}, Visible: see}, 8, 100, []int32{2}, false},
		{Options{Else: Forward}, 8, 2, []int32{2, 3}, true},
	} {
		if got, more := reached(c.o, c.depth, c.limit); !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%+v: %v, %v; want %v, %v", c.o, got, more, c.want, c.more)
		}
	}
}

func TestSearchEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	g := New([]Node{{}, {1, 0}, {1, 0}, {1, 0}}, []Edge{{1, 2, 0}, {2, 3, 0}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := g.Path(ctx, 1, 3, 8, Options{Else: Both}); !errors.Is(err, context.Canceled) {
		t.Errorf("path: %v", err)
	}
	if _, _, err := g.Walk(ctx, 1, 8, 10, Options{Else: Both}); !errors.Is(err, context.Canceled) {
		t.Errorf("walk: %v", err)
	}
}

// BenchmarkPath looks for paths of at most 8 relations in a graph of a million
// items and five million relations, hubs among them.
func BenchmarkPath(b *testing.B) {
	const n = 1_000_000
	rnd := rand.New(rand.NewPCG(1, 1))
	nodes := make([]Node, n)
	edges := make([]Edge, 0, 5*n)
	for i := range nodes {
		nodes[i] = Node{uint16(1 + i%20), uint32(i % 300)}
		edges = append(edges, Edge{int32(i), int32(i / 1000), 0})
		for range 4 {
			edges = append(edges, Edge{int32(i), int32(rnd.IntN(n)), 1})
		}
	}
	g := New(nodes, edges)
	b.ReportMetric(float64(g.Stats().Bytes)/(1<<20), "MiB")
	for b.Loop() {
		if _, _, err := g.Path(b.Context(), int32(rnd.IntN(n)), int32(rnd.IntN(n)), 8, Options{Else: Both, Visible: func(f uint32) bool { return f%7 != 0 }}); err != nil {
			b.Fatal(err)
		}
	}
}
