package relation

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"
)

// Direction is where a trace goes in time.
type Direction string

// The directions of a trace.
const (
	Backward Direction = "backward" // to what could have led here
	Forward  Direction = "forward"  // to what could have come of it
)

// Trace asks for the threat path of an entity.
type Trace struct {
	From      Ref
	At        time.Time // the fact: nothing after it counts backward, nothing before it forward
	Direction Direction
	MaxHops   int // of a path
	MaxNodes  int // that are looked at
	MaxPaths  int // that are told
}

// Bounds of a Trace.
const (
	MaxTraceHops  = 32
	MaxTraceNodes = 300
)

// Check tells what is wrong with the question.
func (t *Trace) Check() error {
	switch {
	case t.Direction != Backward && t.Direction != Forward:
		return fmt.Errorf("%w: direction %q: want backward or forward", ErrInvalid, t.Direction)
	case t.MaxHops < 1 || t.MaxHops > MaxTraceHops:
		return fmt.Errorf("%w: %d hops: want 1 to %d", ErrInvalid, t.MaxHops, MaxTraceHops)
	case t.MaxNodes < 1 || t.MaxNodes > MaxTraceNodes:
		return fmt.Errorf("%w: %d nodes: want 1 to %d", ErrInvalid, t.MaxNodes, MaxTraceNodes)
	case t.MaxPaths < 1:
		return fmt.Errorf("%w: %d paths: want at least 1", ErrInvalid, t.MaxPaths)
	case t.At.IsZero():
		return fmt.Errorf("%w: the time of the fact is missing", ErrInvalid)
	}
	return nil
}

// Expand tells of one entity the edges that lie before the time given, for a
// trace backward, or from it on, for one forward.
type Expand func(ctx context.Context, of Ref, at time.Time) (Graph, error)

// Step is one edge of a path, in the order of time.
type Step struct {
	Edge string    `json:"edge" doc:"Id of an edge"`
	From string    `json:"from" doc:"Id of a node"`
	To   string    `json:"to" doc:"Id of a node"`
	At   time.Time `json:"at" doc:"When it can have happened: backward the latest, forward the earliest time that fits the path"`
	Why  []string  `json:"why" nullable:"false" doc:"Why the edge is on the path: alert, signin, a kind of abnormal access, or only for an ordinary connection that nothing speaks for but its time"`
}

// Path is a way that a threat can have taken.
type Path struct {
	Origin string `json:"origin" doc:"Id of the node at the other end: where it came from, or where it went"`
	Steps  []Step `json:"steps" nullable:"false" doc:"In the order of time"`
	Hops   int    `json:"hops" doc:"Steps, without those between two names of one machine"`
	Weak   bool   `json:"weak" doc:"Every step is an ordinary connection: nothing speaks for it but time"`
	Cut    bool   `json:"cut" doc:"It may go on: a bound of the trace was reached"`
	Cost   int    `json:"cost" doc:"The less, the more speaks for it"`
}

// Traced is the outcome of a trace.
type Traced struct {
	Graph
	Paths   []Path `json:"paths" nullable:"false" doc:"The most telling first"`
	Looked  int    `json:"looked" doc:"Nodes that were looked at"`
	Bounded bool   `json:"bounded" doc:"The bound of nodes or hops was reached: there may be more"`
}

// Progress is how far a trace is.
type Progress struct {
	Looked int    `json:"looked" doc:"Nodes that were looked at"`
	Most   int    `json:"most" doc:"That will be looked at"`
	Edges  int    `json:"edges" doc:"Considered so far"`
	Hops   int    `json:"hops" doc:"How far from the entity it is"`
	Node   string `json:"node" doc:"Id of the node that is looked at"`
}

// cost is what a step along an edge costs: the less, the more speaks for it.
func cost(e *Edge) int {
	switch {
	case e.Kind == Same:
		return 0
	case e.Kind == Alert:
		return 1
	case e.Kind == SignIn && e.Outcome != "failure":
		return 2
	case slices.ContainsFunc(e.Abnormal, telling):
		return 3
	case e.Kind == SignIn, e.Kind == Started:
		return 4
	case e.Kind == Relation:
		return 9
	}
	return ordinary
}

const ordinary = 8

// telling tells whether a kind of abnormal access speaks for a step. That it
// comes from outside or goes there, or that it was refused, does not: most of
// what happens is so.
func telling(a string) bool {
	switch a {
	case Alerted, FirstTime, Rare, RemoteAccess, Database, Sweep, Bulk:
		return true
	}
	return false
}

func why(e *Edge) (list []string) {
	switch e.Kind {
	case Alert:
		list = append(list, "alert")
	case SignIn:
		list = append(list, "signin")
	case Same:
		return []string{"same"}
	case Started:
		list = append(list, "process")
	}
	for _, a := range e.Abnormal {
		if e.Kind != Alert || a != Alerted {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		list = []string{"only"}
	}
	return list
}

// label is a way to a node: by when it must have been left or can have been
// reached, and what it cost.
type label struct {
	node       string
	at         time.Time
	cost, hops int
	prev       *label
	edge       *Edge
	kids       int
	cut        bool
	order      int
}

type queue []*label

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(a.cost-b.cost, a.hops-b.hops, a.order-b.order) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*label)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// Follow grows the threat path of an entity: step by step to what lies nearest
// by cost, along edges whose times fit one after the other. Of several ways to
// a node it knows each that is cheaper, shorter or leaves more time than the
// others, so that the cheapest path to every node within the bounds is found.
// An edge that was seen from its first to its last time can have happened at any
// time between. told hears of each node that is looked at; it may be nil.
func Follow(ctx context.Context, t Trace, expand Expand, told func(Progress) error) (Traced, error) {
	out := Traced{Graph: Graph{Nodes: []Node{}, Edges: []Edge{}, Partial: []Partial{}}, Paths: []Path{}}
	if err := t.Check(); err != nil {
		return out, err
	}
	all, nodes, err := out.grow(ctx, t, expand, told)
	if err != nil {
		return out, err
	}
	out.tell(all, nodes, t)
	return out, nil
}

// grow finds the ways, and all nodes that it met.
func (out *Traced) grow(ctx context.Context, t Trace, expand Expand, told func(Progress) error) (all []*label, nodes map[string]Node, err error) {
	back := t.Direction == Backward
	// roomier tells whether a leaves at least as much time as b.
	roomier := func(a, b time.Time) bool {
		if back {
			return !a.Before(b)
		}
		return !a.After(b)
	}
	nodes = map[string]Node{t.From.ID(): NodeOf(t.From)}
	settled := map[string][]*label{}
	dominated := func(l *label) bool {
		return slices.ContainsFunc(settled[l.node], func(s *label) bool {
			return s.cost <= l.cost && s.hops <= l.hops && roomier(s.at, l.at)
		})
	}
	open := &queue{{node: t.From.ID(), at: t.At}}
	edges, order, hops := 0, 0, 0
	partial := map[Partial]bool{}
	for open.Len() > 0 {
		if err = ctx.Err(); err != nil {
			return nil, nil, err
		}
		l := heap.Pop(open).(*label)
		if dominated(l) {
			continue
		}
		settled[l.node] = append(settled[l.node], l)
		all = append(all, l)
		if l.prev != nil && l.edge.Kind != Same {
			// A machine goes on where one of its names does.
			for p := l.prev; p != nil; p = p.prev {
				p.kids++
				if p.edge == nil || p.edge.Kind != Same {
					break
				}
			}
		}
		hops = max(hops, l.hops)
		ref, err := ParseRef(l.node)
		if err != nil || nodes[l.node].Masked {
			continue // hidden from the caller: the path ends here
		}
		if out.Looked >= t.MaxNodes {
			l.cut, out.Bounded = true, true
			continue
		}
		if told != nil {
			if err := told(Progress{Looked: out.Looked, Most: t.MaxNodes, Edges: edges, Hops: hops, Node: l.node}); err != nil {
				return nil, nil, err
			}
		}
		g, err := expand(ctx, ref, l.at)
		if err != nil {
			return nil, nil, err
		}
		out.Looked++
		for _, p := range g.Partial {
			if !partial[p] {
				partial[p] = true
				out.Partial = append(out.Partial, p)
			}
		}
		for _, n := range g.Nodes {
			if n.ID != l.node {
				n.More, n.AtLeast = 0, false
			}
			nodes[n.ID] = fuller(nodes[n.ID], n)
		}
		for i := range g.Edges {
			e := &g.Edges[i]
			next, at, ok := step(e, l.node, l.at, back)
			if !ok {
				continue
			}
			edges++
			h := l.hops
			if e.Kind != Same {
				h++
			}
			if h > t.MaxHops {
				l.cut, out.Bounded = true, true
				continue
			}
			order++
			n := &label{node: next, at: at, cost: l.cost + cost(e), hops: h, prev: l, edge: e, order: order}
			if !dominated(n) {
				heap.Push(open, n)
			}
		}
	}
	return all, nodes, nil
}

// step tells where an edge leads from a node, and when, if its times fit.
func step(e *Edge, node string, at time.Time, back bool) (next string, then time.Time, ok bool) {
	if e.Kind == Same {
		return e.other(node), at, e.From == node || e.To == node
	}
	if e.Kind == Relation || e.FirstSeen.IsZero() || e.From == e.To {
		return "", at, false
	}
	if back {
		if e.To != node || e.FirstSeen.After(at) {
			return "", at, false
		}
		if e.LastSeen.Before(at) {
			at = e.LastSeen
		}
		return e.From, at, true
	}
	if e.From != node || e.LastSeen.Before(at) {
		return "", at, false
	}
	if e.FirstSeen.After(at) {
		at = e.FirstSeen
	}
	return e.To, at, true
}

// tell makes paths of the ways that were found: one for each node where they
// end, the most telling first, and the graph of all that lies on them.
func (out *Traced) tell(all []*label, nodes map[string]Node, t Trace) {
	back := t.Direction == Backward
	best := map[string]Path{}
	means := map[string]float64{}
	used := map[string]map[string]*Edge{}
	mean := func(p *Path) float64 { return float64(p.Cost) / float64(max(p.Hops, 1)) }
	for _, l := range all {
		if l.prev == nil || l.kids > 0 || l.edge.Kind == Same {
			continue
		}
		p := Path{Origin: l.node, Hops: l.hops, Cost: l.cost, Cut: l.cut, Weak: true, Steps: []Step{}}
		on := map[string]*Edge{}
		for at := l; at.prev != nil; at = at.prev {
			e := at.edge
			on[e.ID] = e
			s := Step{Edge: e.ID, From: at.node, To: at.prev.node, At: at.at, Why: why(e)}
			if !back {
				s.From, s.To = at.prev.node, at.node
			}
			p.Steps = append(p.Steps, s)
			if e.Kind != Same && cost(e) < ordinary {
				p.Weak = false
			}
		}
		if !back {
			slices.Reverse(p.Steps)
		}
		if m := mean(&p); means[l.node] == 0 || m < means[l.node] {
			best[l.node], means[l.node], used[l.node] = p, m, on
		}
	}
	for _, p := range best {
		out.Paths = append(out.Paths, p)
	}
	slices.SortFunc(out.Paths, func(a, b Path) int {
		if a.Weak != b.Weak {
			if a.Weak {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(mean(&a), mean(&b)), cmp.Compare(b.Hops, a.Hops), cmp.Compare(a.Origin, b.Origin))
	})
	out.Paths = out.Paths[:min(len(out.Paths), t.MaxPaths)]
	have := map[string]bool{}
	point := func(id string) {
		if !have[id] {
			have[id] = true
			out.Nodes = append(out.Nodes, nodes[id])
		}
	}
	point(t.From.ID())
	drawn := map[string]bool{}
	for _, p := range out.Paths {
		for _, s := range p.Steps {
			point(s.From)
			point(s.To)
			if !drawn[s.Edge] {
				drawn[s.Edge] = true
				out.Edges = append(out.Edges, *used[p.Origin][s.Edge])
			}
		}
	}
}
