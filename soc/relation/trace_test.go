package relation

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func ip(n int) Ref { return AtPlace("gov", fmt.Sprintf("10.0.0.%d", n)) }

// expandOver answers from a fixed set of edges, as a source does that tells
// exactly what lies before or after a time.
func expandOver(edges []Edge, back bool) Expand {
	return func(_ context.Context, of Ref, at time.Time) (g Graph, err error) {
		for _, e := range edges {
			if e.From != of.ID() && e.To != of.ID() {
				continue
			}
			if !e.FirstSeen.IsZero() && (back && e.FirstSeen.After(at) || !back && e.LastSeen.Before(at)) {
				continue
			}
			g.Edges = append(g.Edges, e)
			for _, id := range []string{e.From, e.To} {
				r, err := ParseRef(id)
				if err != nil {
					return g, err
				}
				g.Nodes = append(g.Nodes, NodeOf(r))
			}
		}
		return g, nil
	}
}

// cheapest is the oracle: it walks every path there is, edge by edge.
func cheapest(edges []Edge, at string, when time.Time, back bool, spent, hops, most int, on []string, found map[string]int) {
	if have, ok := found[at]; !ok || spent < have {
		found[at] = spent
	}
	for i := range edges {
		e := &edges[i]
		far, then, used := "", when, 1
		switch {
		case e.Kind == Relation:
			continue
		case e.Kind == Same && (e.From == at || e.To == at):
			far, used = e.From, 0
			if far == at {
				far = e.To
			}
		case e.Kind == Same:
			continue
		case back && e.To == at && !e.FirstSeen.After(when):
			far = e.From
			if e.LastSeen.Before(when) {
				then = e.LastSeen
			}
		case !back && e.From == at && !e.LastSeen.Before(when):
			far = e.To
			if e.FirstSeen.After(when) {
				then = e.FirstSeen
			}
		default:
			continue
		}
		if hops+used > most || slices.Contains(on, far) {
			continue
		}
		cheapest(edges, far, then, back, spent+cost(e), hops+used, most, append(slices.Clone(on), far), found)
	}
}

// TestFollowAgainstOracle holds the trace of random graphs against all paths
// that there are: it reaches the same nodes, each at the least cost, and each
// path that it tells is one whose edges join and whose times fit.
func TestFollowAgainstOracle(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(7, 11))
	kinds := []Kind{Flow, Flow, Access, SignIn, Alert, Request, Same, Relation}
	longest := 0
	for round := range 600 {
		back := round%2 == 0
		nodes := 5 + dice.IntN(5)
		var edges []Edge
		for i := range 8 + dice.IntN(12) {
			a, b := dice.IntN(nodes), dice.IntN(nodes)
			if a == b {
				continue
			}
			first := dice.IntN(60)
			e := Edge{ID: fmt.Sprint(i), From: ip(a).ID(), To: ip(b).ID(), Kind: kinds[dice.IntN(len(kinds))], FirstSeen: minute(first), LastSeen: minute(first + dice.IntN(20)*dice.IntN(2))}
			if dice.IntN(3) == 0 {
				e.Abnormal = []string{AbnormalKinds[dice.IntN(len(AbnormalKinds))]}
			}
			if e.Kind == Same || e.Kind == Relation {
				e.FirstSeen, e.LastSeen = time.Time{}, time.Time{}
			}
			edges = append(edges, e)
		}
		tr := Trace{From: ip(0), At: minute(58), Direction: Backward, MaxHops: 1 + dice.IntN(8), MaxNodes: MaxTraceNodes, MaxPaths: 100}
		if !back {
			tr.At, tr.Direction = minute(5), Forward
		}
		want := map[string]int{}
		cheapest(edges, tr.From.ID(), tr.At, back, 0, 0, tr.MaxHops, []string{tr.From.ID()}, want)
		var grown Traced
		all, _, err := grown.grow(context.Background(), tr, expandOver(edges, back), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, l := range all {
			if have, ok := got[l.node]; !ok || l.cost < have {
				got[l.node] = l.cost
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d, %s, %d hops: %v, want %v\n%+v", round, tr.Direction, tr.MaxHops, got, want, edges)
		}
		traced, err := Follow(context.Background(), tr, expandOver(edges, back), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range traced.Paths {
			longest = max(longest, p.Hops)
			checkPath(t, tr, edges, p)
		}
	}
	if longest < 4 {
		t.Errorf("the longest path had %d hops: the graphs are too small to tell anything", longest)
	}
}

// checkPath walks a path as it is told: edges join, and times grow.
func checkPath(t *testing.T, tr Trace, edges []Edge, p Path) {
	t.Helper()
	byID := map[string]*Edge{}
	for i := range edges {
		byID[edges[i].ID] = &edges[i]
	}
	at, hops, spent := p.Origin, 0, 0
	if tr.Direction == Forward {
		at = tr.From.ID()
	}
	var last time.Time
	for _, s := range p.Steps {
		e := byID[s.Edge]
		if s.From != at || len(s.Why) == 0 {
			t.Fatalf("the step %+v does not join %s: %+v", s, at, p)
		}
		at, spent = s.To, spent+cost(e)
		if e.Kind == Same {
			continue
		}
		hops++
		if e.From != s.From || e.To != s.To || s.At.Before(last) || s.At.Before(e.FirstSeen) || s.At.After(e.LastSeen) {
			t.Fatalf("the step %+v does not fit %+v after %s", s, e, last)
		}
		if tr.Direction == Backward && s.At.After(tr.At) || tr.Direction == Forward && s.At.Before(tr.At) {
			t.Fatalf("the step %+v lies on the wrong side of %s", s, tr.At)
		}
		last = s.At
	}
	end := tr.From.ID()
	if tr.Direction == Forward {
		end = p.Origin
	}
	if at != end || hops != p.Hops || spent != p.Cost {
		t.Fatalf("the path ends at %s after %d hops at the cost of %d: %+v", at, hops, spent, p)
	}
}

// TestFollowPrefersWhatTells finds the intrusion, not the backup server that
// connects every night.
func TestFollowPrefersWhatTells(t *testing.T) {
	t.Parallel()
	outside := AtPlace("gov", "203.0.113.9")
	long := func(e Edge) Edge { e.FirstSeen, e.LastSeen, e.Count = minute(-9000), minute(55), 4000; return e }
	at := func(e Edge, n int) Edge { e.FirstSeen, e.LastSeen, e.Count = minute(n), minute(n), 1; return e }
	edges := []Edge{
		long(Edge{ID: "backup", From: ip(9).ID(), To: ip(1).ID(), Kind: Flow}),
		at(Edge{ID: "lateral", From: ip(2).ID(), To: ip(1).ID(), Kind: SignIn, Outcome: "success"}, 40),
		at(Edge{ID: "exploit", From: outside.ID(), To: ip(2).ID(), Kind: Alert}, 20),
		at(Edge{ID: "too late", From: ip(3).ID(), To: ip(1).ID(), Kind: Alert}, 50),
		at(Edge{ID: "after the sign-in", From: ip(4).ID(), To: ip(2).ID(), Kind: Alert}, 42),
		{ID: "cable", From: ip(5).ID(), To: ip(1).ID(), Kind: Relation},
	}
	got, err := Follow(context.Background(), Trace{From: ip(1), At: minute(45), Direction: Backward, MaxHops: 12, MaxNodes: 50, MaxPaths: 5}, expandOver(edges, true), nil)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, p := range got.Paths {
		for _, s := range p.Steps {
			told = append(told, s.Edge)
		}
		told = append(told, p.Origin, fmt.Sprint(p.Weak))
	}
	want := []string{"exploit", "lateral", outside.ID(), "false", "backup", ip(9).ID(), "true"}
	if !slices.Equal(told, want) {
		t.Errorf("paths %q, want %q", told, want)
	}
	if len(got.Nodes) != 4 || len(got.Edges) != 3 || got.Bounded {
		t.Errorf("%d nodes, %d edges: %+v", len(got.Nodes), len(got.Edges), got)
	}
}

// TestFollowIsBounded looks at no more nodes than it may, and says that there
// may be more.
func TestFollowIsBounded(t *testing.T) {
	t.Parallel()
	var edges []Edge
	for i := range 40 {
		edges = append(edges, Edge{ID: fmt.Sprint(i), From: ip(i + 1).ID(), To: ip(i).ID(), Kind: Flow, FirstSeen: minute(40 - i), LastSeen: minute(40 - i)})
	}
	for _, c := range []struct{ hops, nodes, wantHops int }{{32, 5, 5}, {13, 300, 13}} {
		steps := 0
		got, err := Follow(context.Background(), Trace{From: ip(0), At: minute(60), Direction: Backward, MaxHops: c.hops, MaxNodes: c.nodes, MaxPaths: 3}, expandOver(edges, true), func(p Progress) error {
			if p.Looked != steps || p.Most != c.nodes {
				return fmt.Errorf("told of %+v at step %d", p, steps)
			}
			steps++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Paths) != 1 || got.Paths[0].Hops != c.wantHops || !got.Paths[0].Cut || !got.Bounded || got.Looked > c.nodes {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Follow(gone, Trace{From: ip(0), At: minute(60), Direction: Backward, MaxHops: 3, MaxNodes: 5, MaxPaths: 3}, expandOver(edges, true), nil); err == nil {
		t.Error("a trace goes on when nobody waits for it")
	}
}
