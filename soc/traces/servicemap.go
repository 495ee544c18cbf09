package traces

import (
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Map is which service calls which.
type Map struct {
	Nodes []Node `json:"nodes" nullable:"false"`
	Edges []Edge `json:"edges" nullable:"false"`
	// Share is of how large a share of the traces the edges were made: 1, or
	// less where there are very many spans. Their counts are estimates then.
	Share      float64 `json:"share" doc:"1, or the share of the traces that were looked at; counts of edges are estimates then"`
	Unresolved int64   `json:"unresolved" doc:"Spans whose parent is not stored in this range, as far as they were looked at"`
}

// Node is a service in a Map.
type Node struct {
	Service string `json:"service"`
	Figures
}

// Edge says that spans of one service have a span of another as their parent.
type Edge struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Calls  int64  `json:"calls"`
	Errors int64  `json:"errors" doc:"Of the child's spans"`
	P50    int64  `json:"p50_ns" doc:"Of the child's spans: half of them took at most so long"`
	P95    int64  `json:"p95_ns" doc:"Of the child's spans: 95 of a hundred took at most so long"`
}

// Map makes the map of the services that have spans in the range, edges with
// the most calls first; with a service, of it and its neighbours.
//
// A span and its parent are rows of their own, so the edges are put together
// here, of a few columns of each row. Where there are more spans than
// maxMapSpans, a share of the traces is looked at, chosen by the last digits of
// their ids, which are random: an edge needs both of its ends, so whole traces
// are left out rather than spans.
func (s *Service) Map(ctx context.Context, r Range, service string) (Map, error) {
	return s.mapOf(ctx, r, service, maxMapSpans)
}

func (s *Service) mapOf(ctx context.Context, r Range, service string, most int64) (Map, error) {
	m := Map{Nodes: []Node{}, Edges: []Edge{}, Share: 1}
	services, err := s.Services(ctx, r)
	if err != nil {
		return m, err
	}
	var total int64
	for _, f := range services {
		m.Nodes = append(m.Nodes, Node{f.Name, f.Figures})
		total += f.Spans
	}
	halvings := 0
	for total>>halvings > most {
		halvings++
	}
	for ; ; halvings++ {
		j := joiner{traces: map[string]uint32{}, names: map[string]uint32{}, spans: map[spanKey]uint32{}}
		query := fmt.Sprintf(`%s%s "service.name":* | fields "trace.id", "span.id", "parent.id", "service.name", "event.duration", "event.outcome"`, Spans, share(halvings))
		left := maxBytes
		cut, err := s.ask(ctx, r, query, &left, j.add)
		if err != nil {
			return m, err
		}
		if !cut || halvings == 40 { // one trace larger than any: some of its edges
			m.Edges, m.Unresolved = j.edges(halvings)
			m.Share = 1 / float64(uint64(1)<<halvings)
			break
		}
	}
	if service != "" {
		m.Edges = slices.DeleteFunc(m.Edges, func(e Edge) bool { return e.Parent != service && e.Child != service })
		m.Nodes = slices.DeleteFunc(m.Nodes, func(n Node) bool {
			return n.Service != service && !slices.ContainsFunc(m.Edges, func(e Edge) bool { return e.Parent == n.Service || e.Child == n.Service })
		})
	}
	return m, nil
}

// share is a filter that leaves one of 2^halvings of the traces, "" for all.
func share(halvings int) string {
	if halvings == 0 {
		return ""
	}
	rest := [...]string{"", "[0-7]", "[0-3]", "[01]"}[halvings%4]
	return ` "trace.id":~` + strconv.Quote(rest+strings.Repeat("0", halvings/4)+"$")
}

// joiner puts spans and their parents together.
type joiner struct {
	traces, names map[string]uint32
	spans         map[spanKey]uint32 // the service of each span
	children      []child
	services      []string // by their number in names
}

// spanKey is a span of a trace.
type spanKey struct {
	span  uint64
	trace uint32
}

// child is a span that has a parent.
type child struct {
	parent   spanKey
	service  uint32
	failed   bool
	duration int64
}

func number(of map[string]uint32, name []byte) (n uint32, known bool) {
	if n, known = of[string(name)]; !known { // the look-up makes no string
		n = uint32(len(of))
		of[string(name)] = n
	}
	return n, known
}

func (j *joiner) add(m row) error {
	id, err := strconv.ParseUint(string(m.bytes("span.id")), 16, 64)
	if err != nil {
		return nil // nothing can refer to it
	}
	service, known := number(j.names, m.bytes("service.name"))
	if !known {
		j.services = append(j.services, m.text("service.name"))
	}
	trace, _ := number(j.traces, m.bytes("trace.id"))
	j.spans[spanKey{id, trace}] = service
	if parent, err := strconv.ParseUint(string(m.bytes("parent.id")), 16, 64); err == nil && parent != 0 {
		j.children = append(j.children, child{spanKey{parent, trace}, service, string(m.bytes("event.outcome")) == "failure", m.number("event.duration")})
	}
	return nil
}

func (j *joiner) edges(halvings int) (list []Edge, unresolved int64) {
	type calls struct {
		errors    int64
		durations []int64
	}
	found := map[[2]uint32]*calls{}
	for _, c := range j.children {
		parent, ok := j.spans[c.parent]
		if !ok {
			unresolved++
			continue
		}
		if parent == c.service {
			continue
		}
		at := found[[2]uint32{parent, c.service}]
		if at == nil {
			at = &calls{}
			found[[2]uint32{parent, c.service}] = at
		}
		if c.failed {
			at.errors++
		}
		at.durations = append(at.durations, c.duration)
	}
	list = make([]Edge, 0, len(found))
	for ends, at := range found {
		slices.Sort(at.durations)
		list = append(list, Edge{Parent: j.services[ends[0]], Child: j.services[ends[1]], Calls: scaled(int64(len(at.durations)), halvings),
			Errors: scaled(at.errors, halvings), P50: quantile(at.durations, 0.5), P95: quantile(at.durations, 0.95)})
	}
	slices.SortFunc(list, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Parent, b.Parent), strings.Compare(a.Child, b.Child))
	})
	return list, unresolved
}

func scaled(n int64, halvings int) int64 {
	if bits.Len64(uint64(n))+halvings > 62 {
		return 1 << 62
	}
	return n << halvings
}

// quantile is the value that a share q of the sorted list does not exceed.
func quantile(sorted []int64, q float64) int64 {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
