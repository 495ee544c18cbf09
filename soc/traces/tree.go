package traces

import (
	"slices"
	"time"
)

// Tree is a trace laid out for reading: its spans depth first, each below its
// parent, those of one parent in order of their beginning.
type Tree struct {
	Nodes []TreeNode
	Depth int // levels
}

// TreeNode is a span and its place.
type TreeNode struct {
	*Span
	Depth    int // 0 at the top
	Children int // right below it
	// Orphan says that the span names a parent that is not among the spans.
	Orphan bool
	// Self is how much of the duration no child covers.
	Self time.Duration
	// Critical says that the trace would have ended earlier had the span done
	// its own part faster: nothing else ran at the end of some stretch of it.
	Critical bool
}

// End is when the span ended.
func (s *Span) End() time.Time { return s.Start.Add(s.Duration) }

// End is when the last span ended.
func (t *Trace) End() time.Time {
	end := t.Spans[0].End()
	for _, s := range t.Spans[1:] {
		if e := s.End(); e.After(end) {
			end = e
		}
	}
	return end
}

// Tree lays the trace out. A span whose parent is not there, or whose parents
// lead back to itself, stands at the top.
func (t *Trace) Tree() Tree {
	b := builder{spans: t.Spans, below: make([][]int, len(t.Spans)), placed: make([]int, len(t.Spans))}
	// Zipkin's clients have both sides of a call in one id: children belong to
	// the side that served it.
	byID := make(map[string]int, len(t.Spans))
	for i, s := range t.Spans {
		b.placed[i] = -1
		if at, ok := byID[s.ID]; s.ID != "" && (!ok || t.Spans[at].Kind == "client" && s.Kind == "server") {
			byID[s.ID] = i
		}
	}
	var tops []int
	orphan := make([]bool, len(t.Spans))
	for i, s := range t.Spans {
		parent, ok := byID[s.Parent]
		switch {
		case s.Parent == "":
			tops = append(tops, i)
		case !ok:
			orphan[i] = true
			tops = append(tops, i)
		default:
			b.below[parent] = append(b.below[parent], i)
		}
	}
	b.out.Nodes = make([]TreeNode, 0, len(t.Spans))
	for _, i := range tops {
		b.place(i)
	}
	for i := range t.Spans { // rings, which nothing leads to from a top
		if b.placed[i] < 0 {
			b.place(i)
		}
	}
	for at := range b.out.Nodes {
		n := &b.out.Nodes[at]
		b.out.Depth = max(b.out.Depth, n.Depth+1)
		n.Orphan = orphan[b.order[at]]
	}
	b.critical()
	return b.out
}

type builder struct {
	spans  []*Span
	below  [][]int // children by span, in order of time as the spans are
	placed []int   // the place of each span in out.Nodes, -1 while it has none
	order  []int   // the span of each node
	out    Tree
}

// place puts a span and all below it at the end.
func (b *builder) place(top int) {
	type step struct{ span, depth int }
	stack := []step{{top, 0}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if b.placed[s.span] >= 0 {
			continue
		}
		b.placed[s.span] = len(b.out.Nodes)
		b.order = append(b.order, s.span)
		children := b.below[s.span]
		b.out.Nodes = append(b.out.Nodes, TreeNode{Span: b.spans[s.span], Depth: s.depth, Children: len(children), Self: b.self(s.span)})
		for _, c := range slices.Backward(children) {
			stack = append(stack, step{c, s.depth + 1})
		}
	}
}

// self is the duration of a span without what its children cover of it.
func (b *builder) self(span int) time.Duration {
	s := b.spans[span]
	rest, from, end := s.Duration, s.Start, s.End()
	for _, c := range b.below[span] { // in order of their beginning
		start, stop := b.spans[c].Start, b.spans[c].End()
		if start.Before(from) {
			start = from
		}
		if stop.After(end) {
			stop = end
		}
		if stop.After(start) {
			rest -= stop.Sub(start)
			from = stop
		}
	}
	return rest
}

// critical marks the critical path: from the end of the first top span
// backwards, always by the child that ended last before the moment reached.
// What a child did after its parent had ended did not hold that up.
func (b *builder) critical() {
	if len(b.order) == 0 {
		return
	}
	type stretch struct {
		span  int
		until time.Time
	}
	first := b.order[0]
	stack := []stretch{{first, b.spans[first].End()}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		node := &b.out.Nodes[b.placed[s.span]]
		if node.Critical {
			continue
		}
		node.Critical = true
		end := func(c int) time.Time {
			if e := b.spans[c].End(); e.Before(b.spans[s.span].End()) {
				return e
			}
			return b.spans[s.span].End()
		}
		children := slices.Clone(b.below[s.span])
		slices.SortStableFunc(children, func(x, y int) int { return end(y).Compare(end(x)) })
		at := s.until
		for _, c := range children {
			if e := end(c); !e.After(at) && b.spans[c].Start.Before(at) {
				stack = append(stack, stretch{c, e})
				at = b.spans[c].Start
			}
		}
	}
}
