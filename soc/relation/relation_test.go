package relation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"ip:gov|10.1.2.3": "ip:gov|10.1.2.3", "ip:10.1.2.3": "ip:10.1.2.3", "ip:|10.1.2.3": "ip:default|10.1.2.3",
		"ip:gov|::ffff:10.1.2.3": "ip:gov|10.1.2.3", "ip:2001:DB8:0::1": "ip:2001:db8::1", "host:web-01": "host:web-01",
		"user:CORP\\li": "user:CORP\\li", "process:web-01|sshd": "process:web-01|sshd", "domain:Example.ORG.": "domain:example.org", "item:seal-1": "item:seal-1",
		"ip:": "", "ip:300.1.1.1": "", "ip:gov|web": "", "process:sshd": "", "planet:mars": "", "": "", "host:a\x00b": "", "host": "",
	} {
		r, err := ParseRef(id)
		if want == "" {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q is read %v, %v", id, r, err)
			}
			continue
		}
		if err != nil || r.ID() != want {
			t.Errorf("%q is read %q, %v; want %q", id, r.ID(), err, want)
		}
		if again, err := ParseRef(r.ID()); err != nil || again != r {
			t.Errorf("%q is not read back: %v, %v", r.ID(), again, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"ip:gov|10.1.2.3", "ip:fe80::1%eth0", "process:a|b", "domain:x.", "user:张三"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r, err := ParseRef(id)
		if err != nil {
			return
		}
		if again, err := ParseRef(r.ID()); err != nil || again != r {
			t.Errorf("%q is read %q and then %q, %v", id, r.ID(), again.ID(), err)
		}
		NodeOf(r)
	})
}

func TestParsePorts(t *testing.T) {
	t.Parallel()
	got, err := ParsePorts(" 22, 8000-8999,443 ")
	if err != nil || !slices.Equal(got, []Ports{{22, 22}, {8000, 8999}, {443, 443}}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"ssh", "70000", "9-1", "-", "1-2-3", "-5"} {
		if _, err := ParsePorts(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is taken: %v", bad, err)
		}
	}
}

// fixed is a source that says the same each time.
type fixed struct {
	found Found
	err   error
}

func (f fixed) Name() string                                   { return "fixed" }
func (f fixed) Edges(context.Context, Question) (Found, error) { return f.found, f.err }

// TestMark names what is unusual, each kind with an edge one step beside it
// that is not.
func TestMark(t *testing.T) {
	t.Parallel()
	end := minute(0)
	ago := func(d time.Duration) time.Time { return end.Add(-d) }
	usual := Edge{From: ip(1).ID(), To: ip(2).ID(), Kind: Flow, Port: 443, Count: 500, FirstSeen: ago(72 * time.Hour), LastSeen: ago(time.Hour), Days: 3, FromInside: true, ToInside: true}
	with := func(change func(e *Edge)) Edge { e := usual; change(&e); return e }
	for name, c := range map[string]struct {
		yes, no Edge
	}{
		Refused:      {with(func(e *Edge) { e.Outcome = "failure" }), with(func(e *Edge) { e.Outcome = "mixed" })},
		FailedSignIn: {with(func(e *Edge) { e.Kind, e.Outcome = SignIn, "mixed" }), with(func(e *Edge) { e.Kind, e.Outcome = SignIn, "success" })},
		FirstTime:    {with(func(e *Edge) { e.FirstSeen = ago(23 * time.Hour) }), with(func(e *Edge) { e.FirstSeen, e.Since = ago(23*time.Hour), ago(24*time.Hour) })},
		Rare:         {with(func(e *Edge) { e.Count, e.Days = 3, 1 }), with(func(e *Edge) { e.Count, e.Days = 4, 1 })},
		FromOutside:  {with(func(e *Edge) { e.FromInside = false }), with(func(e *Edge) { e.FromInside, e.ToInside = false, false })},
		ToOutside:    {with(func(e *Edge) { e.ToInside = false }), usual},
		RemoteAccess: {with(func(e *Edge) { e.FromInside, e.Port = false, 3389 }), with(func(e *Edge) { e.Port = 3389 })},
		Database:     {with(func(e *Edge) { e.FromInside, e.Port = false, 5432 }), with(func(e *Edge) { e.FromInside = false })},
		Bulk:         {with(func(e *Edge) { e.ToInside, e.Bytes = false, 1<<30 }), with(func(e *Edge) { e.Bytes = 1 << 30 })},
		OffHours: {with(func(e *Edge) { e.FirstSeen, e.LastSeen = ago(13*time.Hour), ago(7*time.Hour) }), // 23:00 to 05:00
			with(func(e *Edge) { e.FirstSeen, e.LastSeen = ago(13*time.Hour), ago(5*time.Hour) })},
	} {
		list := []Edge{c.yes, c.no}
		mark(list, end, time.UTC)
		if !slices.Contains(list[0].Abnormal, name) || slices.Contains(list[1].Abnormal, name) {
			t.Errorf("%s: %v and %v", name, list[0].Abnormal, list[1].Abnormal)
		}
	}
	sweep := func(peers int) []Edge {
		var list []Edge
		for i := range peers {
			list = append(list, with(func(e *Edge) { e.To = ip(i + 10).ID() }))
		}
		mark(list, end, time.UTC)
		return list
	}
	if a, b := sweep(20), sweep(19); !slices.Contains(a[0].Abnormal, Sweep) || slices.Contains(b[0].Abnormal, Sweep) {
		t.Errorf("sweeps: %v, %v", a[0].Abnormal, b[0].Abnormal)
	}
	list := []Edge{usual, with(func(e *Edge) { e.To = ip(3).ID() }), {From: ip(2).ID(), To: ip(1).ID(), Kind: Alert, Phases: []string{"delivery"}}}
	mark(list, end, time.UTC)
	if !slices.Contains(list[0].Abnormal, Alerted) || !slices.Equal(list[0].Phases, []string{"delivery"}) || slices.Contains(list[1].Abnormal, Alerted) {
		t.Errorf("an alert marks what lies between its two: %+v", list)
	}
}

// TestNeighbours merges sources, keeps the neighbours that matter most and
// says how many it left out.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	var flows []Edge
	for i := range 30 {
		flows = append(flows, Edge{ID: fmt.Sprint("f", i), From: ip(1).ID(), To: ip(i + 10).ID(), Kind: Flow, Port: 443, Transport: "tcp", Count: int64(100 + i), Bytes: int64(1000 + i),
			FirstSeen: minute(-9000), LastSeen: minute(-1), FromInside: true, ToInside: true, Days: 7})
	}
	flows = append(flows, Edge{ID: "elsewhere", From: ip(77).ID(), To: ip(78).ID(), Kind: Flow})
	alert := Edge{ID: "a", From: ip(200).ID(), To: ip(1).ID(), Kind: Alert, Phases: []string{"exploitation"}, Count: 1, FirstSeen: minute(-5), LastSeen: minute(-5)}
	sources := []Source{fixed{found: Found{Edges: flows, Nodes: map[string]Node{ip(1).ID(): {ID: ip(1).ID(), Name: "web-01", Item: "web-1"}}}}, fixed{found: Found{Edges: []Edge{alert}}},
		fixed{err: fmt.Errorf("%w: addresses are masked", ErrSkipped)}}
	ask := func(q Question) Graph {
		t.Helper()
		q.Start, q.End = minute(-9999), minute(0)
		g, err := Neighbours(context.Background(), sources, q, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g := ask(Question{Nodes: []Ref{ip(1)}, Limit: 5})
	// The alert first, then the largest; 30 + 1 neighbours, 5 of them shown.
	if len(g.Nodes) != 6 || g.Nodes[0].Name != "web-01" || g.Nodes[0].More != 26 || g.Nodes[0].AtLeast || len(g.Edges) != 5 || g.Edges[0].ID != "a" || g.Edges[1].ID != "f29" {
		t.Errorf("%+v", g)
	}
	if len(g.Partial) != 1 || g.Partial[0].Source != "fixed" {
		t.Errorf("what is lacking: %+v", g.Partial)
	}
	if g := ask(Question{Nodes: []Ref{ip(1)}, Limit: 50, Filter: Filter{Kinds: []Kind{Alert}}}); len(g.Edges) != 1 || g.Nodes[0].More != 0 {
		t.Errorf("alerts alone: %+v", g)
	}
	if g := ask(Question{Nodes: []Ref{ip(1)}, Limit: 50, Filter: Filter{Phases: []string{"exploitation"}}}); len(g.Edges) != 1 {
		t.Errorf("of a phase: %+v", g)
	}
	if g := ask(Question{Nodes: []Ref{ip(1)}, Limit: 50, Filter: Filter{Ports: []Ports{{1, 442}}}}); len(g.Edges) != 0 || len(g.Nodes) != 1 {
		t.Errorf("of a port that nobody used: %+v", g)
	}
	if g := ask(Question{Nodes: []Ref{ip(1), ip(12)}, Limit: 1}); !slices.ContainsFunc(g.Edges, func(e Edge) bool { return e.ID == "f2" }) {
		t.Errorf("what connects two that were asked about is there whatever the limit: %+v", g.Edges)
	}
	for _, bad := range []Question{{}, {Nodes: []Ref{ip(1)}, Limit: 0}, {Nodes: []Ref{ip(1)}, Limit: 9999}, {Nodes: []Ref{ip(1)}, Limit: 5, Filter: Filter{Abnormal: []string{"odd"}}}} {
		bad.Start, bad.End = minute(-1), minute(0)
		if _, err := Neighbours(context.Background(), sources, bad, time.UTC); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v is taken: %v", bad, err)
		}
	}
	if _, err := Neighbours(context.Background(), []Source{fixed{err: errors.New("the engine is not available")}}, Question{Nodes: []Ref{ip(1)}, Limit: 5, Start: minute(-1), End: minute(0)}, time.UTC); err == nil {
		t.Error("an error of a source is swallowed")
	}
}
