// Package topology tells which of the items that fail at about the same time
// fail together, and which of them brought the others down. It is given who
// fails, since when, and whose failure may reach whom; it keeps nothing and
// asks nobody, so that the same failures give the same groups in whatever order
// they became known.
//
// A failure that no other failing item explains is a root. Items that fail and
// can bring each other down, as two switches with a cable between them, count
// as one, and the likeliest of them is the root. Every other item belongs to
// the root that explains it; where several do, to the one that explains most.
// Where a root is missing, because a switch that is dead tells of nothing, it is
// inferred: an item that did not fail as far as anybody knows, but most of whose
// dependents did, all at once.
package topology

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Cause is an item whose failure may be why another fails.
type Cause struct {
	Item int32
	// Mutual tells that one relation alone joins the two, whose failures go
	// both ways.
	Mutual bool
}

// Failure is an item that fails.
type Failure struct {
	Item        int32
	First, Last int64   // when it began and was told of last, Unix milliseconds
	Causes      []Cause // items whose failure may be the reason
}

// Options bound what is put together.
type Options struct {
	// Window is how long after a cause its consequences may begin; as long
	// before, since whoever watches the cause may be slower.
	Window time.Duration
	// Least is how many dependents of a silent item must fail at once before it
	// is inferred to be their root; 0 infers none.
	Least int
	// Share is the least share of its dependents that must fail for that.
	Share float64
	// Dependents counts the items that directly depend on one. Required where
	// Least is not 0, and for choosing among items that bring each other down.
	Dependents func(item int32) int
}

// Why an item is thought to be the root.
type Why string

// The reasons, the surest first.
const (
	Alone    Why = "alone"    // nothing else fails with it
	Upstream Why = "upstream" // all that fails with it depends on it, and nothing that it depends on fails
	Earliest Why = "earliest" // of items that bring each other down it failed first
	Central  Why = "central"  // of such items it is the nearest to all others
	Inferred Why = "inferred" // it tells nothing itself, but most of what depends on it fails
)

// Group is what fails together.
type Group struct {
	Root  int32
	Why   Why
	Items []int32 // that fail, in order; the root is among them unless it is inferred
	// Affected is how many of these, the root apart, lie downstream of it.
	Affected int
	// Around is how many items fail that have to do with the root, through any
	// number of others: Affected of these it explains.
	Around int
	// Dependents and Failing are, of an inferred root, how many items depend on
	// it directly and how many of these fail.
	Dependents, Failing int
}

// Partition puts failures into groups, each into one. The groups come ordered by
// how many items they have, the largest first, then by their roots.
func Partition(failures []Failure, o Options) []Group {
	p := newPlan(failures, o)
	p.connect()
	p.condense()
	p.infer()
	return p.assign()
}

// node is an item that fails, or is inferred to.
type node struct {
	Failure
	down, up []int // by place: what it may bring down, and what may have brought it down
	part     int   // its component
}

// component is one item, or several that bring each other down.
type component struct {
	nodes    []int // by place
	down, up []int // components
	root     int   // place of the likeliest root of it
	why      Why
	dependents,
	failing int // of an inferred one
}

type plan struct {
	o     Options
	nodes []node
	place map[int32]int
	parts []component
}

func newPlan(failures []Failure, o Options) *plan {
	p := &plan{o: o, place: make(map[int32]int, len(failures))}
	for _, f := range slices.SortedFunc(slices.Values(failures), func(a, b Failure) int { return cmp.Compare(a.Item, b.Item) }) {
		if at, there := p.place[f.Item]; there {
			n := &p.nodes[at]
			n.First, n.Last = min(n.First, f.First), max(n.Last, f.Last)
			continue
		}
		p.place[f.Item] = len(p.nodes)
		p.nodes = append(p.nodes, node{Failure: f})
	}
	return p
}

// follows tells whether a failure may be a consequence of another by its time.
func (p *plan) follows(cause, effect *Failure) bool {
	w := p.o.Window.Milliseconds()
	return effect.First >= cause.First-w && effect.First <= max(cause.First, cause.Last)+w
}

// connect draws an edge from each failing item to those it may have brought down.
func (p *plan) connect() {
	edges := map[[2]int]bool{}
	draw := func(from, to int) {
		if from != to && p.follows(&p.nodes[from].Failure, &p.nodes[to].Failure) && !edges[[2]int{from, to}] {
			edges[[2]int{from, to}] = true
			p.nodes[from].down, p.nodes[to].up = append(p.nodes[from].down, to), append(p.nodes[to].up, from)
		}
	}
	for at := range p.nodes {
		for _, c := range p.nodes[at].Causes {
			if from, fails := p.place[c.Item]; fails {
				draw(from, at)
				if c.Mutual {
					draw(at, from)
				}
			}
		}
	}
	for at := range p.nodes {
		slices.Sort(p.nodes[at].down)
		slices.Sort(p.nodes[at].up)
	}
}

// condense finds the strongly connected components (Tarjan, without recursion,
// since a storm may be a long chain) and what joins them.
func (p *plan) condense() {
	n := len(p.nodes)
	index, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	next := 0
	type frame struct{ at, edge int }
	for start := range n {
		if index[start] != 0 {
			continue
		}
		frames := []frame{{at: start}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			if f.edge == 0 {
				next++
				index[f.at], low[f.at], on[f.at] = next, next, true
				stack = append(stack, f.at)
			}
			if f.edge < len(p.nodes[f.at].down) {
				to := p.nodes[f.at].down[f.edge]
				f.edge++
				switch {
				case index[to] == 0:
					frames = append(frames, frame{at: to})
				case on[to]:
					low[f.at] = min(low[f.at], index[to])
				}
				continue
			}
			at := f.at
			if low[at] == index[at] {
				var c component
				for {
					top := stack[len(stack)-1]
					stack = stack[:len(stack)-1]
					on[top] = false
					p.nodes[top].part = len(p.parts)
					c.nodes = append(c.nodes, top)
					if top == at {
						break
					}
				}
				slices.Sort(c.nodes)
				p.parts = append(p.parts, c)
			}
			if frames = frames[:len(frames)-1]; len(frames) > 0 {
				above := frames[len(frames)-1].at
				low[above] = min(low[above], low[at])
			}
		}
	}
	for at := range p.nodes {
		for _, to := range p.nodes[at].down {
			if a, b := p.nodes[at].part, p.nodes[to].part; a != b {
				p.parts[a].down, p.parts[b].up = append(p.parts[a].down, b), append(p.parts[b].up, a)
			}
		}
	}
	for i := range p.parts {
		c := &p.parts[i]
		slices.Sort(c.down)
		slices.Sort(c.up)
		c.down, c.up = slices.Compact(c.down), slices.Compact(c.up)
		p.choose(c)
	}
}

// clearly is by how much an item must have failed before others that it brings
// down, and that bring it down, to be their root by its time alone: whoever
// watches them looks every so often.
const clearly = 30 * time.Second

// choose names the likeliest root among items that bring each other down.
func (p *plan) choose(c *component) {
	c.root, c.why = c.nodes[0], Upstream
	if len(c.nodes) == 1 {
		return
	}
	inside := func(at int) (n int) {
		for _, to := range p.nodes[at].down {
			if p.nodes[to].part == p.nodes[at].part {
				n++
			}
		}
		return n
	}
	degree := make(map[int]int, len(c.nodes))
	var inner []int // whose failure reaches several: an item at the edge explains nothing
	for _, at := range c.nodes {
		if degree[at] = inside(at); degree[at] >= 2 {
			inner = append(inner, at)
		}
	}
	if len(inner) == 0 {
		inner = c.nodes
	}
	byTime := slices.SortedFunc(slices.Values(inner), func(a, b int) int {
		return cmp.Or(cmp.Compare(p.nodes[a].First, p.nodes[b].First), cmp.Compare(a, b))
	})
	if len(byTime) > 1 && p.nodes[byTime[0]].First+clearly.Milliseconds() <= p.nodes[byTime[1]].First {
		c.root, c.why = byTime[0], Earliest
		return
	}
	reach := p.reaches(c, inner, degree)
	c.root, c.why = slices.MinFunc(inner, func(a, b int) int {
		return cmp.Or(cmp.Compare(reach[a], reach[b]), cmp.Compare(degree[b], degree[a]), cmp.Compare(p.dependents(b), p.dependents(a)),
			cmp.Compare(p.nodes[a].First, p.nodes[b].First), cmp.Compare(a, b))
	}), Central
}

func (p *plan) dependents(at int) int {
	if p.o.Dependents == nil {
		return 0
	}
	return p.o.Dependents(p.nodes[at].Item)
}

// maxCentral is for how many items of a component it is worked out how far the
// others are: those that bring most others down.
const maxCentral = 32

// reaches tells of items of a component how many steps away the farthest other
// of it is; of those that are not looked at, more than any.
func (p *plan) reaches(c *component, inner []int, degree map[int]int) map[int]int {
	out := make(map[int]int, len(inner))
	for _, at := range inner {
		out[at] = len(c.nodes)
	}
	most := slices.SortedFunc(slices.Values(inner), func(a, b int) int { return cmp.Or(cmp.Compare(degree[b], degree[a]), cmp.Compare(a, b)) })
	for _, from := range most[:min(len(most), maxCentral)] {
		seen := map[int]bool{from: true}
		ring, steps := []int{from}, 0
		for {
			var next []int
			for _, at := range ring {
				for _, to := range p.nodes[at].down {
					if p.nodes[to].part == p.nodes[from].part && !seen[to] {
						seen[to] = true
						next = append(next, to)
					}
				}
			}
			if len(next) == 0 {
				break
			}
			ring, steps = next, steps+1
		}
		out[from] = steps
	}
	return out
}

// infer adds items that fail without saying so: most of what depends on them
// fails, and nothing that fails explains it.
func (p *plan) infer() {
	if p.o.Least <= 0 || p.o.Dependents == nil {
		return
	}
	under := map[int32][]int{} // roots that directly depend on an item, by its number
	for i := range p.parts {
		if len(p.parts[i].up) > 0 {
			continue
		}
		for _, at := range p.parts[i].nodes {
			for _, c := range p.nodes[at].Causes {
				if _, fails := p.place[c.Item]; !fails {
					under[c.Item] = append(under[c.Item], at)
				}
			}
		}
	}
	type silent struct {
		item          int32
		failing       []int
		first, last   int64
		dependents, n int
	}
	var found []silent
	for item, places := range under {
		places = p.together(places)
		if len(places) < p.o.Least {
			continue
		}
		s := silent{item: item, failing: places, n: len(places)}
		if s.dependents = p.o.Dependents(item); float64(s.n) < p.o.Share*float64(s.dependents) {
			continue
		}
		s.first, s.last = p.nodes[places[0]].First, p.nodes[places[0]].Last
		for _, at := range places {
			s.first, s.last = min(s.first, p.nodes[at].First), max(s.last, p.nodes[at].Last)
		}
		found = append(found, s)
	}
	// The one that explains most, and of those the nearest: the cabinet rather
	// than the room that holds it alone.
	slices.SortFunc(found, func(a, b silent) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.dependents, b.dependents), cmp.Compare(a.item, b.item))
	})
	explained := map[int]bool{} // components
	for _, s := range found {
		parts := map[int]bool{}
		for _, at := range s.failing {
			if part := p.nodes[at].part; !explained[part] {
				parts[part] = true
			}
		}
		if len(parts) < p.o.Least {
			continue
		}
		at, own := len(p.nodes), len(p.parts)
		p.nodes = append(p.nodes, node{Failure: Failure{Item: s.item, First: s.first, Last: s.last}, part: own})
		p.parts = append(p.parts, component{nodes: []int{at}, down: slices.Sorted(maps.Keys(parts)), root: at, why: Inferred,
			dependents: s.dependents, failing: s.n})
		for part := range parts {
			explained[part] = true
			p.parts[part].up = append(p.parts[part].up, own)
		}
	}
}

// together keeps the largest number of failures that began within a window; they
// come ordered by place.
func (p *plan) together(places []int) []int {
	slices.SortFunc(places, func(a, b int) int {
		return cmp.Or(cmp.Compare(p.nodes[a].First, p.nodes[b].First), cmp.Compare(a, b))
	})
	places = slices.Compact(places)
	from, best, length := 0, 0, 0
	for to := range places {
		for p.nodes[places[to]].First-p.nodes[places[from]].First > p.o.Window.Milliseconds() {
			from++
		}
		if to-from+1 > length {
			best, length = from, to-from+1
		}
	}
	out := slices.Clone(places[best : best+length])
	slices.Sort(out)
	return out
}

// assign gives each component to the root that explains most.
func (p *plan) assign() []Group {
	var roots []int
	for i := range p.parts {
		if len(p.parts[i].up) == 0 {
			roots = append(roots, i)
		}
	}
	covers := make(map[int][]int, len(roots))
	size := make(map[int]int, len(roots))
	for _, r := range roots {
		covers[r] = p.below(r)
		for _, part := range covers[r] {
			size[r] += len(p.parts[part].nodes)
		}
	}
	first := func(r int) int64 { return p.nodes[p.parts[r].root].First }
	item := func(r int) int32 { return p.nodes[p.parts[r].root].Item }
	slices.SortFunc(roots, func(a, b int) int {
		return cmp.Or(cmp.Compare(size[b], size[a]), cmp.Compare(first(a), first(b)), cmp.Compare(item(a), item(b)))
	})
	taken := make([]bool, len(p.parts))
	around := p.around()
	var out []Group
	for _, r := range roots {
		c := &p.parts[r]
		g := Group{Root: item(r), Why: c.why, Dependents: c.dependents, Failing: c.failing, Around: around[r]}
		for _, part := range covers[r] {
			if taken[part] {
				continue
			}
			taken[part] = true
			for _, at := range p.parts[part].nodes {
				if c.why == Inferred && at == c.root {
					continue
				}
				g.Items = append(g.Items, p.nodes[at].Item)
				if at != c.root {
					g.Affected++
				}
			}
		}
		if len(g.Items) == 1 && c.why != Inferred {
			g.Why = Alone
		}
		slices.Sort(g.Items)
		out = append(out, g)
	}
	slices.SortStableFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(len(b.Items), len(a.Items)), cmp.Compare(a.Root, b.Root))
	})
	return out
}

// around counts for each component how many items fail that have to do with it,
// itself apart.
func (p *plan) around() []int {
	out := make([]int, len(p.parts))
	seen := make([]bool, len(p.parts))
	for start := range p.parts {
		if seen[start] {
			continue
		}
		seen[start] = true
		list, n := []int{start}, 0
		for i := 0; i < len(list); i++ {
			if p.parts[list[i]].why != Inferred {
				n += len(p.parts[list[i]].nodes)
			}
			for _, to := range slices.Concat(p.parts[list[i]].down, p.parts[list[i]].up) {
				if !seen[to] {
					seen[to] = true
					list = append(list, to)
				}
			}
		}
		for _, part := range list {
			if out[part] = n; p.parts[part].why != Inferred {
				out[part]--
			}
		}
	}
	return out
}

// below lists a component and all that it may have brought down.
func (p *plan) below(root int) []int {
	seen, list := map[int]bool{root: true}, []int{root}
	for i := 0; i < len(list); i++ {
		for _, to := range p.parts[list[i]].down {
			if !seen[to] {
				seen[to] = true
				list = append(list, to)
			}
		}
	}
	return list
}
