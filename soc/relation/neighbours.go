package relation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Question asks for what the nodes met.
type Question struct {
	Nodes      []Ref
	Start, End time.Time // [Start, End)
	// Exact has first and last seen of edges be those of the range, and nothing
	// counted that lies outside: what a trace needs.
	Exact  bool
	Filter Filter
	Limit  int // neighbours of each node
}

// Bounds of a Question.
const (
	MaxNodes = 50
	MaxLimit = 2000
)

// Check tells what is wrong with the question.
func (q *Question) Check() error {
	switch {
	case len(q.Nodes) == 0 || len(q.Nodes) > MaxNodes:
		return fmt.Errorf("%w: %d nodes: want 1 to %d", ErrInvalid, len(q.Nodes), MaxNodes)
	case q.Limit < 1 || q.Limit > MaxLimit:
		return fmt.Errorf("%w: limit %d: want 1 to %d neighbours of each node", ErrInvalid, q.Limit, MaxLimit)
	case !q.Start.Before(q.End):
		return fmt.Errorf("%w: the range begins at %s and ends at %s", ErrInvalid, q.Start.Format(time.RFC3339), q.End.Format(time.RFC3339))
	}
	return q.Filter.Check()
}

// Found is what a Source says.
type Found struct {
	Edges []Edge
	// Nodes are what the source knows about ends of the edges, by id.
	Nodes map[string]Node
	More  bool // there are edges that were not told
}

// Source knows edges of one origin. It may tell edges that the filter refuses,
// and edges that touch none of the nodes asked about: they are left out.
type Source interface {
	Name() string
	Edges(ctx context.Context, q Question) (Found, error)
}

// ErrSkipped is what a Source answers that cannot tell, for a reason that the
// caller may know; the error that wraps it says which. The others are asked all
// the same, and the graph says what it lacks.
var ErrSkipped = errors.New("not asked")

// Neighbours asks all sources for what the nodes of a question met, and keeps
// of each node the neighbours that matter most. Nights are those of local.
func Neighbours(ctx context.Context, sources []Source, q Question, local *time.Location) (Graph, error) {
	g := Graph{Nodes: []Node{}, Edges: []Edge{}, Partial: []Partial{}}
	if err := q.Check(); err != nil {
		return g, err
	}
	asked := map[string]*Node{}
	known := map[string]Node{}
	for _, r := range q.Nodes {
		n := NodeOf(r)
		asked[n.ID] = &n
		known[n.ID] = n
	}
	edges := map[string]Edge{}
	more := false
	for _, s := range sources {
		found, err := s.Edges(ctx, q)
		if errors.Is(err, ErrSkipped) {
			g.Partial = append(g.Partial, Partial{Source: s.Name(), Reason: err.Error()})
			continue
		}
		if err != nil {
			return g, fmt.Errorf("relations of %s: %w", s.Name(), err)
		}
		more = more || found.More
		for _, e := range found.Edges {
			if e.From != e.To && (asked[e.From] != nil || asked[e.To] != nil) {
				edges[e.ID] = e
			}
		}
		for id, n := range found.Nodes {
			known[id] = fuller(known[id], n)
		}
	}
	list := slices.Collect(maps.Values(edges))
	mark(list, q.End, local)
	list = slices.DeleteFunc(list, func(e Edge) bool { return !q.Filter.Match(&e) })
	slices.SortFunc(list, func(a, b Edge) int { return compare(&a, &b) })

	shown := map[string]bool{}
	for id := range asked {
		shown[id] = true
	}
	for _, r := range q.Nodes {
		id := r.ID()
		kept := map[string]bool{}
		left := map[string]bool{}
		for i := range list {
			e := &list[i]
			if e.From != id && e.To != id {
				continue
			}
			other := e.other(id)
			switch {
			case asked[other] != nil || kept[other]:
			case len(kept) < q.Limit:
				kept[other], shown[other] = true, true
			default:
				left[other] = true
			}
		}
		n := known[id]
		n.More, n.AtLeast = len(left), more
		known[id] = n
	}
	for _, e := range list {
		if shown[e.From] && shown[e.To] {
			g.Edges = append(g.Edges, e)
		}
	}
	for id := range shown {
		n, ok := known[id]
		if !ok {
			r, err := ParseRef(id)
			if err != nil { // a value that is hidden
				t, value := cutID(id)
				n = NodeOf(Ref{t, value})
				n.Masked = true
			} else {
				n = NodeOf(r)
			}
		}
		g.Nodes = append(g.Nodes, n)
	}
	slices.SortFunc(g.Nodes, func(a, b Node) int {
		x, y := asked[a.ID] != nil, asked[b.ID] != nil
		if x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return g, nil
}

func cutID(id string) (Type, string) {
	for i := range len(id) {
		if id[i] == ':' {
			return Type(id[:i]), id[i+1:]
		}
	}
	return "", id
}

// fuller is what two sources know about a node, put together.
func fuller(a, b Node) Node {
	if a.ID == "" {
		return b
	}
	if a.Name == "" || a.Item == "" && b.Item != "" {
		a.Name = cmp.Or(b.Name, a.Name)
	}
	a.Class, a.Item, a.System, a.Tenant = cmp.Or(a.Class, b.Class), cmp.Or(a.Item, b.Item), cmp.Or(a.System, b.System), cmp.Or(a.Tenant, b.Tenant)
	a.Criticality, a.Internal = max(a.Criticality, b.Criticality), a.Internal || b.Internal
	return a
}

// compare puts first what an analyst looks at first: what could be part of an
// attack, then what carried or counted most.
func compare(a, b *Edge) int {
	return cmp.Or(cmp.Compare(cost(a), cost(b)), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID))
}
