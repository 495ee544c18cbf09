package cmdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/uptrace/bun"

	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// Bounds of searches in the topology.
const (
	// MaxHops is the longest path that is looked for, in relations.
	MaxHops = 16
	// maxWalk is how many items a walk names.
	maxWalk = 5000
)

// topology is the relations in memory.
type topology struct {
	memory memory[*graph.Graph]

	names   sync.RWMutex // of the numbers below
	types   numbers[string]
	classes numbers[string]
	facts   numbers[reachFacts]
}

// reachFacts are what decides who may see an item.
type reachFacts struct {
	tenant string
	reach.Kept
}

// numbers gives each value a number, from 1 on.
type numbers[T comparable] struct {
	of   map[T]uint32
	list []T
}

func (n *numbers[T]) number(v T) uint32 {
	if at, ok := n.of[v]; ok {
		return at
	}
	if n.of == nil {
		n.of = map[T]uint32{}
	}
	n.list = append(n.list, v)
	n.of[v] = uint32(len(n.list))
	return n.of[v]
}

func (n *numbers[T]) value(at uint32) (v T) {
	if at == 0 || int(at) > len(n.list) {
		return v
	}
	return n.list[at-1]
}

func (t *topology) node(class, tenant string, kept reach.Kept) graph.Node {
	return graph.Node{Class: uint16(t.classes.number(class)), Facts: t.facts.number(reachFacts{tenant, kept})}
}

func (t *topology) edge(r *relationRow) graph.Edge {
	return graph.Edge{From: r.From, To: r.To, Type: uint16(t.types.number(r.Type))}
}

// apply makes the changes of a commit.
func (t *topology) apply(g *graph.Graph, w *writer) {
	t.names.Lock()
	c := graph.Changes{Nodes: make(map[int32]graph.Node, len(w.nodes)+len(w.gone))}
	for _, n := range w.nodes {
		c.Nodes[n.seq] = t.node(n.class, n.tenant, n.facts)
	}
	for _, seq := range w.gone {
		c.Nodes[seq] = graph.Node{}
	}
	for i := range w.removed {
		c.Removed = append(c.Removed, t.edge(&w.removed[i]))
	}
	for i := range w.added {
		c.Added = append(c.Added, t.edge(&w.added[i]))
	}
	t.names.Unlock()
	g.Apply(c)
}

// topologyGraph returns the relations in memory.
func (s *Service) topologyGraph(ctx context.Context) (*graph.Graph, error) {
	if err := s.fresh(ctx); err != nil {
		return nil, err
	}
	return s.topology.memory.get(ctx, s.life)
}

// readTopology makes the graph of the tables.
func (s *Service) readTopology(ctx context.Context) (*graph.Graph, int64, error) {
	t := &s.topology
	var version int64
	var nodes []graph.Node
	var edges []graph.Edge
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		var size int
		if err := tx.QueryRowContext(ctx, "SELECT version, next_seq FROM cmdb_version WHERE id = 1").Scan(&version, &size); err != nil {
			return fmt.Errorf("read the version: %w", err)
		}
		nodes = make([]graph.Node, size)
		t.names.Lock()
		defer t.names.Unlock()
		rows, err := tx.QueryContext(ctx, "SELECT seq, class, tenant, reach_unit, reach_region, reach_industry, reach_labels FROM cmdb_items")
		if err != nil {
			return fmt.Errorf("read the items: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var seq int32
			var class, tenant string
			var k reach.Kept
			if err := rows.Scan(&seq, &class, &tenant, &k.Unit, &k.Region, &k.Industry, &k.Labels); err != nil {
				return fmt.Errorf("read the items: %w", err)
			}
			nodes[seq] = t.node(class, tenant, k)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read the items: %w", err)
		}
		rows, err = tx.QueryContext(ctx, "SELECT from_seq, type, to_seq FROM cmdb_relations")
		if err != nil {
			return fmt.Errorf("read the relations: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var r relationRow
			if err := rows.Scan(&r.From, &r.Type, &r.To); err != nil {
				return fmt.Errorf("read the relations: %w", err)
			}
			edges = append(edges, t.edge(&r))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, 0, fmt.Errorf("cmdb: bring the relations into memory: %w", err)
	}
	return graph.New(nodes, edges), version, nil
}

// TopologyStats returns the sizes of the relations in memory.
func (s *Service) TopologyStats(ctx context.Context) (graph.Stats, error) {
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return graph.Stats{}, err
	}
	return g.Stats(), nil
}

// Scope narrows a search in the topology.
type Scope struct {
	Types   []string // relation types it may follow; all where empty
	Classes []string // classes, or classes they extend, of items on the way; all where empty
}

// options makes the options of a search. way says which way relations of a type
// are followed.
func (s *Service) options(r reach.Reach, scope Scope, way func(*model.RelationType) graph.Direction) (graph.Options, error) {
	m, t := s.Model(), &s.topology
	for _, name := range scope.Types {
		if m.Relation(name) == nil {
			return graph.Options{}, fmt.Errorf("%w: unknown relation type %q", ErrQuery, name)
		}
	}
	for _, name := range scope.Classes {
		if m.Class(name) == nil {
			return graph.Options{}, fmt.Errorf("%w: unknown class %q: want one of %s", ErrQuery, name, classNames(m))
		}
	}
	t.names.RLock()
	defer t.names.RUnlock()
	o := graph.Options{Follow: make([]graph.Direction, len(t.types.list)+1)}
	for i, name := range t.types.list {
		if rel := m.Relation(name); rel != nil && (len(scope.Types) == 0 || slices.Contains(scope.Types, name)) {
			o.Follow[i+1] = way(rel)
		}
	}
	if len(scope.Classes) > 0 {
		allowed := m.Concrete(scope.Classes...)
		o.Classes = make([]bool, len(t.classes.list)+1)
		for i, name := range t.classes.list {
			o.Classes[i+1] = slices.Contains(allowed, name)
		}
	}
	if !r.Everything() || r.Nothing() {
		o.Visible = func(facts uint32) bool {
			t.names.RLock()
			f := t.facts.value(facts)
			t.names.RUnlock()
			return r.Match(f.FactsOf(f.tenant))
		}
	}
	return o, nil
}

// ErrQuery says that a search or a filter asks for what there is not.
var ErrQuery = errors.New("cmdb: invalid query")

// bothWays follows all relations either way.
func bothWays(*model.RelationType) graph.Direction { return graph.Both }

// PathStep is one relation of a path, with the item that it leads to.
type PathStep struct {
	Type    string `json:"type"`
	Forward bool   `json:"forward" doc:"The relation goes from the item before to this one"`
	Item    Ref    `json:"item"`
}

// Path is a shortest path between two items.
type Path struct {
	Found bool       `json:"found"`
	From  Ref        `json:"from"`
	To    Ref        `json:"to"`
	Hops  int        `json:"hops"`
	Steps []PathStep `json:"steps" nullable:"false"`
	// Others are further paths of the same length, by other items.
	Others [][]PathStep `json:"others,omitempty" doc:"Further paths of the same length, by other items"`
	More   bool         `json:"more,omitempty" doc:"There are more paths of that length than were asked for"`
}

// KeyPath is KeyPaths for one path.
func (s *Service) KeyPath(ctx context.Context, r reach.Reach, from, to string, hops int, scope Scope) (Path, error) {
	return s.KeyPaths(ctx, r, from, to, hops, 1, scope)
}

// MaxPaths is how many paths one search tells of at most.
const MaxPaths = 20

// KeyPaths finds shortest paths between two items in reach, of at most hops
// relations whichever way they go. It never runs through an item out of reach.
func (s *Service) KeyPaths(ctx context.Context, r reach.Reach, from, to string, hops, most int, scope Scope) (Path, error) {
	if hops < 1 || hops > MaxHops {
		return Path{}, fmt.Errorf("%w: %d hops: want 1 to %d", ErrQuery, hops, MaxHops)
	}
	if most < 1 || most > MaxPaths {
		return Path{}, fmt.Errorf("%w: %d paths: want 1 to %d", ErrQuery, most, MaxPaths)
	}
	a, err := s.Get(ctx, r, from)
	if err != nil {
		return Path{}, err
	}
	b, err := s.Get(ctx, r, to)
	if err != nil {
		return Path{}, err
	}
	out := Path{From: *refOf(&a), To: *refOf(&b), Steps: []PathStep{}}
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return Path{}, err
	}
	o, err := s.options(r, scope, bothWays)
	if err != nil {
		return Path{}, err
	}
	var paths [][]graph.Step
	if most == 1 {
		// One is found sooner than it is known which there are.
		var steps []graph.Step
		var found bool
		if steps, found, err = g.Path(ctx, a.seq, b.seq, hops, o); found {
			paths = [][]graph.Step{steps}
		}
	} else {
		paths, out.More, err = g.Paths(ctx, a.seq, b.seq, hops, most, o)
	}
	if err != nil {
		return Path{}, fmt.Errorf("cmdb: look for a path from %q to %q: %w", from, to, err)
	}
	var seqs []int32
	for _, steps := range paths {
		for _, st := range steps {
			seqs = append(seqs, st.Node)
		}
	}
	slices.Sort(seqs)
	refs, err := s.refs(ctx, r, slices.Compact(seqs))
	if err != nil {
		return Path{}, err
	}
	for _, steps := range paths {
		told := make([]PathStep, 0, len(steps))
		for _, st := range steps {
			if ref, ok := refs[st.Node]; ok {
				told = append(told, PathStep{s.topology.typeName(st.Type), st.Forward, ref})
			}
		}
		switch {
		case len(told) < len(steps):
			// An item on it was deleted, or went out of reach, this very moment.
		case !out.Found:
			out.Found, out.Hops, out.Steps = true, len(steps), told
		default:
			out.Others = append(out.Others, told)
		}
	}
	return out, nil
}

func (t *topology) typeName(n uint16) string {
	t.names.RLock()
	defer t.names.RUnlock()
	return t.types.value(uint32(n))
}

// refs reads the names of items in reach by their numbers.
func (s *Service) refs(ctx context.Context, r reach.Reach, seqs []int32) (map[int32]Ref, error) {
	out := make(map[int32]Ref, len(seqs))
	for part := range slices.Chunk(seqs, chunk) {
		var rows []itemRow
		q := s.db.NewSelect().Model(&rows).Column(append([]string{"id", "class", "name", "tenant", "criticality", "owner", "seq"}, reach.KeptColumns...)...)
		if err := q.Where("i.seq IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read the items of a path: %w", err)
		}
		for i := range rows {
			if !r.Match(rows[i].FactsOf(rows[i].Tenant)) {
				continue
			}
			out[rows[i].Seq] = Ref{ID: rows[i].ID, Class: rows[i].Class, Name: rows[i].Name, Criticality: rows[i].Criticality, Owner: rows[i].Owner}
		}
	}
	return out, nil
}

// What a walk looks for.
const (
	Impact    = "impact"     // what fails when the item fails
	RootCause = "root_cause" // what the item's failure may come from
	Around    = "around"     // what is near, whichever way
)

// WalkStep is an item that a walk came to.
type WalkStep struct {
	Item    Ref    `json:"item"`
	From    string `json:"from" doc:"Id of the item that the walk came from"`
	Type    string `json:"type"`
	Forward bool   `json:"forward" doc:"The relation goes from the item before to this one"`
	Depth   int    `json:"depth"`
}

// Walk is what lies around an item.
type Walk struct {
	Item   Ref            `json:"item"`
	Steps  []WalkStep     `json:"steps" nullable:"false" doc:"Nearest first"`
	Counts map[string]int `json:"counts" nullable:"false" doc:"Class → items reached"`
	More   bool           `json:"more" doc:"There are more items than are told"`
}

// Walk follows the relations from an item in reach: kind says whether to what
// it would take down (Impact), to what could take it down (RootCause), or to
// all that is near (Around), up to depth relations away.
func (s *Service) Walk(ctx context.Context, r reach.Reach, id, kind string, depth int, scope Scope) (Walk, error) {
	if depth < 1 || depth > MaxHops {
		return Walk{}, fmt.Errorf("%w: depth %d: want 1 to %d", ErrQuery, depth, MaxHops)
	}
	it, err := s.Get(ctx, r, id)
	if err != nil {
		return Walk{}, err
	}
	way := bothWays
	switch kind {
	case Impact:
		way = func(rel *model.RelationType) graph.Direction { return impactWay[rel.Impact] }
	case RootCause:
		way = func(rel *model.RelationType) graph.Direction { return against(impactWay[rel.Impact]) }
	case Around:
	default:
		return Walk{}, fmt.Errorf("%w: a walk looks for impact, root_cause or around, not for %q", ErrQuery, kind)
	}
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return Walk{}, err
	}
	o, err := s.options(r, scope, way)
	if err != nil {
		return Walk{}, err
	}
	list, more, err := g.Walk(ctx, it.seq, depth, maxWalk, o)
	if err != nil {
		return Walk{}, fmt.Errorf("cmdb: walk from %q: %w", id, err)
	}
	seqs := make([]int32, len(list))
	for i := range list {
		seqs[i] = list[i].Node
	}
	refs, err := s.refs(ctx, r, seqs)
	if err != nil {
		return Walk{}, err
	}
	refs[it.seq] = *refOf(&it)
	out := Walk{Item: *refOf(&it), Steps: []WalkStep{}, Counts: map[string]int{}, More: more}
	for _, x := range list {
		ref, ok := refs[x.Node]
		from, known := refs[x.From]
		if !ok || !known {
			continue // it was deleted this very moment
		}
		out.Steps = append(out.Steps, WalkStep{ref, from.ID, s.topology.typeName(x.Type), x.Forward, x.Depth})
		out.Counts[ref.Class]++
	}
	return out, nil
}

var impactWay = map[string]graph.Direction{model.Forward: graph.Forward, model.Backward: graph.Backward, model.Both: graph.Both}

func against(d graph.Direction) graph.Direction {
	switch d {
	case graph.Forward:
		return graph.Backward
	case graph.Backward:
		return graph.Forward
	}
	return d
}
