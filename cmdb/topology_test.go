package cmdb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// city is a small city of two tenants: a system on applications on virtual
// machines on hosts in cabinets, and a second tenant whose host stands between.
const city = `
- {id: org, class: organisation, name: 大数据局}
- {id: room, class: room, name: 机房}
- {id: cab, class: cabinet, name: C1, attributes: {room: 机房}}
- {id: h1, class: host, name: h1, tenant: a, zone: z, addresses: [10.1.0.1], attributes: {cabinet: C1, cpu_cores: "64", os: Kylin V10}}
- {id: h2, class: host, name: h2, tenant: b, zone: z, addresses: [10.1.0.2], attributes: {cabinet: C1, cpu_cores: "8"}}
- {id: v1, class: vm, name: v1, tenant: a, zone: z, addresses: [10.1.1.1], system: bs-a, attributes: {hypervisor: h1, os: openEuler}}
- {id: v2, class: vm, name: v2, tenant: a, zone: z, addresses: [10.2.0.1], system: bs-a, attributes: {hypervisor: h1, cpu_cores: "4"}}
- {id: db, class: database, name: db, tenant: a, zone: z, addresses: [10.1.1.9], system: bs-a, attributes: {host: v2, port: "5432"}}
- {id: app, class: application, name: app, tenant: a, system: bs-a}
- {id: svc, class: service, name: svc, tenant: a, system: bs-a, attributes: {application: app}}
- {id: n16, class: network, name: n16, tenant: a, zone: z, addresses: [10.1.0.0/16]}
- {id: n24, class: network, name: n24, tenant: a, zone: z, addresses: [10.1.1.0/24]}
`

func openCity(t testing.TB) *Service {
	t.Helper()
	s := openNew(t, "a", "b")
	mustImport(t, s, YAML, city)
	mustRelate(t, s, "app", "runs_on", "v1", "app", "depends_on", "db")
	return s
}

func mustRelate(t testing.TB, s *Service, links ...string) {
	t.Helper()
	var list []Link
	for l := range slices.Chunk(links, 3) {
		list = append(list, Link{l[0], l[1], l[2]})
	}
	if n, err := s.Relate(t.Context(), reach.All(), "tester", list); err != nil || n != len(list) {
		t.Fatalf("%d of %d relations: %v", n, len(list), err)
	}
}

// related lists an item's relations in short.
func related(t testing.TB, s *Service, r reach.Reach, id string) []string {
	t.Helper()
	var out []string
	f := RelationFilter{Limit: 2}
	for {
		p, err := s.RelationsOf(t.Context(), r, id, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range p.Relations {
			sign := "<"
			if x.Forward {
				sign = ">"
			}
			out = append(out, sign+x.Type+" "+x.Item.ID)
		}
		if f.Cursor = p.Next; f.Cursor == "" {
			return out
		}
	}
}

func path(t testing.TB, s *Service, r reach.Reach, from, to string, hops int, scope Scope) string {
	t.Helper()
	p, err := s.KeyPath(t.Context(), r, from, to, hops, scope)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Found {
		return "none"
	}
	out := p.From.ID
	for _, st := range p.Steps {
		arrow := " <-" + st.Type + "- "
		if st.Forward {
			arrow = " -" + st.Type + "-> "
		}
		out += arrow + st.Item.ID
	}
	return out
}

func TestRelations(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	want := []string{">belongs_to_system bs-a", ">in_network n24", ">runs_on h1", "<runs_on app"}
	if got := related(t, s, reach.All(), "v1"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// What a field says goes with the field, what a rule says with the address.
	mustImport(t, s, YAML, "- {id: v1, class: vm, addresses: [10.1.2.1], system: '', attributes: {}}")
	if got := related(t, s, reach.All(), "v1"); !slices.Equal(got, []string{">in_network n16", "<runs_on app"}) {
		t.Errorf("%v", got)
	}
	// A range that goes leaves its addresses to the wider one, and takes them
	// back when it comes.
	if err := s.Delete(t.Context(), reach.All(), "tester", "n24"); err != nil {
		t.Fatal(err)
	}
	if got := related(t, s, reach.All(), "db"); !slices.Contains(got, ">in_network n16") {
		t.Errorf("%v", got)
	}
	mustImport(t, s, YAML, "- {id: n24, class: network, name: n24, tenant: a, zone: z, addresses: [10.1.1.0/24]}")
	if got := related(t, s, reach.All(), "db"); !slices.Contains(got, ">in_network n24") || slices.Contains(got, ">in_network n16") {
		t.Errorf("%v", got)
	}
	// The same address in another zone is none of it.
	mustImport(t, s, YAML, "- {id: far, class: host, name: far, tenant: a, zone: y, addresses: [10.1.1.1]}")
	if got := related(t, s, reach.All(), "far"); len(got) != 0 {
		t.Errorf("an address of another zone: %v", got)
	}
	h, err := s.History(t.Context(), reach.All(), "app", 0, 1)
	if err != nil || len(h) != 1 || !slices.Equal(h[0].Changes, []Change{{Field: "relation.depends_on", After: "db"}}) {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestRelateRefuses(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	for _, c := range []struct {
		r     reach.Reach
		link  Link
		fault string
	}{
		{reach.All(), Link{"app", "eats", "db"}, "unknown relation type"},
		{reach.All(), Link{"app", "runs_on", "nowhere"}, `no item "nowhere"`},
		{reach.Tenants("a"), Link{"app", "runs_on", "h2"}, "not within your reach"},
		{reach.All(), Link{"app", "runs_on", "app"}, "to itself"},
		{reach.All(), Link{"app", "in_network", "h1"}, "leads to [network]"},
		{reach.All(), Link{"h1", "calls", "db"}, "starts from"},
		{reach.All(), Link{"h1", "placed_in", "room"}, "already, which is many_to_one"},
		{reach.All(), Link{"h1", "belongs_to_system", "bs-a"}, "field"},
	} {
		ok := Link{"svc", "depends_on", "db"}
		_, err := s.Relate(t.Context(), c.r, "tester", []Link{ok, c.link})
		var e *LinkError
		if !errors.As(err, &e) || e.Row != 2 || !strings.Contains(e.Message, c.fault) {
			t.Errorf("%+v: %v, want %q", c.link, err, c.fault)
		}
		if got := related(t, s, reach.All(), "svc"); slices.Contains(got, ">depends_on db") {
			t.Fatal("half of the relations were made")
		}
	}
	if n, err := s.Relate(t.Context(), reach.All(), "tester", []Link{{"app", "runs_on", "v1"}, {"app", "runs_on", "v1"}}); n != 0 || err != nil {
		t.Errorf("relations there are: %d new, %v", n, err)
	}
	if err := s.Unrelate(t.Context(), reach.All(), "tester", Link{"v1", "runs_on", "h1"}); !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "the field hypervisor") {
		t.Errorf("a field's relation: %v", err)
	}
	if err := s.Unrelate(t.Context(), reach.All(), "tester", Link{"app", "runs_on", "v1"}); err != nil {
		t.Error(err)
	}
	if err := s.Unrelate(t.Context(), reach.All(), "tester", Link{"app", "runs_on", "v1"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a relation taken away twice: %v", err)
	}
	if err := s.Delete(t.Context(), reach.All(), "tester", "h1"); !errors.Is(err, ErrConflict) {
		t.Errorf("a host that machines run on was deleted: %v", err)
	}
}

// TestKeyPaths finds all ways of the shortest length, and says where there are
// more than were asked for.
func TestKeyPaths(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	mustImport(t, s, CSV, "class,id,name,tenant,zone\nhost,from,from,a,\nhost,to,to,a,\nhost,x,x,a,\nhost,y,y,a,\nhost,z,z,a,\n")
	for _, id := range []string{"x", "y", "z"} {
		mustRelate(t, s, "from", "connects_to", id)
		mustRelate(t, s, "from", "depends_on", id) // the same items once more
		mustRelate(t, s, id, "connects_to", "to")
	}
	for _, c := range []struct {
		most, paths int
		more        bool
	}{{1, 1, false}, {2, 2, true}, {3, 3, false}, {20, 3, false}} {
		p, err := s.KeyPaths(t.Context(), reach.All(), "from", "to", 8, c.most, Scope{})
		if err != nil || !p.Found || p.Hops != 2 || 1+len(p.Others) != c.paths || p.More != c.more {
			t.Errorf("at most %d: %+v, %v", c.most, p, err)
			continue
		}
		over := map[string]bool{p.Steps[0].Item.ID: true}
		for _, steps := range p.Others {
			over[steps[0].Item.ID] = true
			if len(steps) != 2 || steps[1].Item.ID != "to" {
				t.Errorf("%+v", steps)
			}
		}
		if len(over) != c.paths {
			t.Errorf("at most %d lead over %v", c.most, over)
		}
	}
	for _, most := range []int{0, MaxPaths + 1} {
		if _, err := s.KeyPaths(t.Context(), reach.All(), "from", "to", 8, most, Scope{}); !errors.Is(err, ErrQuery) {
			t.Errorf("%d paths: %v", most, err)
		}
	}
}

func TestKeyPath(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	all := reach.All()
	for _, c := range []struct {
		r        reach.Reach
		from, to string
		hops     int
		scope    Scope
		want     string
	}{
		{all, "app", "room", 8, Scope{}, "app -runs_on-> v1 -runs_on-> h1 -placed_in-> cab -placed_in-> room"},
		{all, "app", "room", 3, Scope{}, "none"},
		{all, "app", "h1", 8, Scope{Types: []string{"depends_on", "runs_on"}}, "app -runs_on-> v1 -runs_on-> h1"},
		{all, "app", "h1", 8, Scope{Types: []string{"depends_on"}}, "none"},
		{all, "app", "h1", 8, Scope{Classes: []string{"database", "computer"}}, "app -runs_on-> v1 -runs_on-> h1"},
		{all, "app", "h1", 8, Scope{Classes: []string{"database"}}, "none"},
		{all, "h1", "h2", 8, Scope{}, "h1 -placed_in-> cab <-placed_in- h2"},
		{all, "h2", "h2", 8, Scope{}, "h2"},
		// The cabinet is the whole city's: who sees tenants only does not see it.
		{reach.Tenants("a", "b"), "h1", "h2", 2, Scope{}, "none"},
	} {
		if got := path(t, s, c.r, c.from, c.to, c.hops, c.scope); got != c.want {
			t.Errorf("%s to %s within %d, %+v: %s, want %s", c.from, c.to, c.hops, c.scope, got, c.want)
		}
	}
	if _, err := s.KeyPath(t.Context(), reach.Tenants("a"), "h1", "h2", 8, Scope{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a path to an item out of reach: %v", err)
	}
	for _, scope := range []Scope{{Types: []string{"eats"}}, {Classes: []string{"eggs"}}} {
		if _, err := s.KeyPath(t.Context(), all, "app", "h1", 8, scope); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", scope, err)
		}
	}
	// The relations in memory follow each change.
	mustRelate(t, s, "svc", "connects_to", "room")
	if got := path(t, s, all, "svc", "room", 1, Scope{}); got != "svc -connects_to-> room" {
		t.Error(got)
	}
	if err := s.Unrelate(t.Context(), all, "tester", Link{"svc", "connects_to", "room"}); err != nil {
		t.Fatal(err)
	}
	if got := path(t, s, all, "svc", "room", 1, Scope{}); got != "none" {
		t.Error(got)
	}
}

func TestWalks(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	walk := func(id, kind string) []string {
		w, err := s.Walk(t.Context(), reach.All(), id, kind, 8, Scope{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, st := range w.Steps {
			out = append(out, fmt.Sprintf("%s%d", st.Item.ID, st.Depth))
		}
		slices.Sort(out)
		return out
	}
	// A host takes down its machines, these what runs on them, all of that
	// their system.
	if got, want := walk("h1", Impact), []string{"app2", "bs-a2", "db2", "v11", "v21"}; !slices.Equal(got, want) {
		t.Errorf("impact of h1: %v, want %v", got, want)
	}
	// An application fails with what it runs on and depends on, down to the
	// room, and with its parts; never with the system that it is itself part of.
	if got, want := walk("app", RootCause), []string{"cab3", "db1", "h12", "n163", "n242", "room4", "svc1", "v11", "v22"}; !slices.Equal(got, want) {
		t.Errorf("root causes of app: %v, want %v", got, want)
	}
	if _, err := s.Walk(t.Context(), reach.All(), "h1", "sideways", 8, Scope{}); !errors.Is(err, ErrQuery) {
		t.Errorf("an unknown walk: %v", err)
	}
}

// TestGraphFollows changes a CMDB at random and compares the relations in
// memory, which followed each change, with those read anew.
func TestGraphFollows(t *testing.T) {
	t.Parallel()
	s := openCity(t)
	rnd := rand.New(rand.NewPCG(7, 7))
	ids := []string{"h1", "h2", "v1", "v2", "db", "app", "svc", "x1", "x2", "x3"}
	snapshot := func() string {
		var out []string
		for _, from := range ids {
			w, err := s.Walk(t.Context(), reach.All(), from, Around, 3, Scope{})
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range w.Steps {
				out = append(out, fmt.Sprintf("%s %d %s", from, st.Depth, st.Item.ID))
			}
		}
		slices.Sort(out)
		return strings.Join(out, "\n")
	}
	snapshot()
	for round := range 60 {
		a, b := ids[rnd.IntN(len(ids))], ids[rnd.IntN(len(ids))]
		var err error
		switch rnd.IntN(5) {
		case 0:
			_, err = s.Relate(t.Context(), reach.All(), "t", []Link{{a, "connects_to", b}})
		case 1:
			err = s.Unrelate(t.Context(), reach.All(), "t", Link{a, "connects_to", b})
		case 2:
			err = s.Delete(t.Context(), reach.All(), "t", a)
		case 3:
			_, err = s.Upsert(t.Context(), reach.All(), "t", Item{ID: fmt.Sprintf("x%d", 1+rnd.IntN(3)), Class: "vm", Name: fmt.Sprintf("x%d", rnd.IntN(5)), Tenant: "a", Zone: "z",
				Addresses: []string{fmt.Sprintf("10.%d.1.%d", 1+rnd.IntN(2), rnd.IntN(9))}, Attributes: map[string]string{"hypervisor": "h1"}})
		case 4:
			_, err = s.Upsert(t.Context(), reach.All(), "t", Item{ID: "n24", Class: "network", Name: "n24", Tenant: "a", Zone: "z", Addresses: []string{fmt.Sprintf("10.%d.1.0/24", 1+rnd.IntN(2))}})
		}
		if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		if round%10 != 9 {
			continue
		}
		followed := snapshot()
		s.topology.memory.forget()
		if anew := snapshot(); followed != anew {
			t.Fatalf("round %d: in memory\n%s\n\nin the tables\n%s", round, followed, anew)
		}
	}
}
