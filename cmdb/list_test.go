package cmdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// Nobody sees or changes what is not in scope, on any road.
func TestScope(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	mustImport(t, s, CSV, ledger)
	mustImport(t, s, YAML, "- {id: hb, class: host, name: hb, tenant: b, addresses: 10.5.5.5}\n- {id: org, class: organisation, name: Shared}\n- {id: sb, class: host, name: shared-box, organisation: org}")
	b := reach.Tenants("b")

	p, err := s.Items(ctx, b, Filter{})
	if err != nil || p.Total != 2 || len(p.Items) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, f := range []Filter{{Tenants: []string{"a"}}, {Query: "web-1"}, {Address: "10.1.0.5"}, {Label: "public"}, {Classes: []string{Organisation}}, {System: "bs-a"}, {Zone: "office"}} {
		if p, err := s.Items(ctx, b, f); err != nil || p.Total != 0 || len(p.Items) != 0 {
			t.Errorf("%+v: %+v, %v", f, p, err)
		}
		if out := export(t, s, CSV, b, f); strings.Count(out, "\n") != 1 {
			t.Errorf("%+v: exported %s", f, out)
		}
	}
	notFound := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	for _, scope := range []reach.Reach{b, {}, reach.Tenants("x")} {
		for _, id := range []string{"bs-a", "org", "nothing"} {
			_, err = s.Get(ctx, scope, id)
			notFound("get "+id, err)
			_, err = s.Card(ctx, scope, id)
			notFound("card "+id, err)
			_, err = s.Relations(ctx, scope, id)
			notFound("relations "+id, err)
			notFound("delete "+id, s.Delete(ctx, scope, "b", id))
			if h, err := s.History(ctx, scope, id, 0, 0); err != nil || len(h) != 0 {
				t.Errorf("history of %s: %v, %v", id, h, err)
			}
		}
	}
	if p, err := s.Items(ctx, reach.None(), Filter{}); err != nil || p.Total != 0 {
		t.Errorf("nobody sees %+v, %v", p, err)
	}

	f := func(what, text, column string) {
		t.Helper()
		r := doImport(t, s, YAML, text, ImportOptions{Within: b})
		if len(r.Errors) != 1 || r.Errors[0].Column != column || strings.Contains(r.Errors[0].Message, "web-1") || strings.Contains(r.Errors[0].Message, "of tenant") {
			t.Errorf("%s: %+v", what, r)
		}
	}
	f("another tenant's", "- {class: host, name: x, tenant: a}", "tenant")
	f("another's id", "- {id: bs-a, class: business_system, name: x, tenant: b}", "id")
	f("another's system", "- {class: host, name: x, tenant: b, system: Seal}", "system")
	f("another's system by id", "- {class: host, name: x, tenant: b, system: bs-a}", "system")
	f("taken address", "- {class: host, name: x, tenant: b, zone: office, addresses: 10.1.0.5}", "addresses")
	if _, err := s.Upsert(ctx, b, "b", Item{ID: "hb", Class: Host, Name: "hb", Tenant: "a"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("moved out of scope: %v", err)
	}
	if _, err := s.Upsert(ctx, b, "b", Item{Class: Host, Name: "h"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a shared item by a tenant's user: %v", err)
	}
	// What names no tenant is the tenant's that the caller is bound to, and a
	// shared organisation may be named.
	r := doImport(t, s, CSV, "class,name,tenant,organisation\nhost,mine,,Shared\n", ImportOptions{Within: b})
	if r.Created != 1 {
		t.Errorf("%+v", r)
	}
	rel, err := s.Relations(ctx, reach.All(), "org")
	if err != nil || len(rel.Members) != 2 || rel.Counts[Host] != 2 {
		t.Errorf("%+v, %v", rel, err)
	}
	rel, err = s.Relations(ctx, b, "bs-b")
	if err != nil || len(rel.Members) != 0 || rel.Members == nil {
		t.Errorf("%+v, %v", rel, err)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	ctx := t.Context()
	var text strings.Builder
	text.WriteString("class,name,tenant,zone,addresses,labels,system\n")
	for i := range 130 {
		fmt.Fprintf(&text, "host,h-%03d,a,z%d,10.0.0.%d,%s,bs-a\n", i, i%2, i, []string{"odd_x", "100%"}[i%2])
	}
	mustImport(t, s, CSV, text.String())
	f := func(want int, filter Filter) {
		t.Helper()
		var got []string
		filter.Limit = 17
		for {
			p, err := s.Items(ctx, reach.All(), filter)
			if err != nil || p.Total != want || len(p.Items) > 17 {
				t.Fatalf("%+v: %d of %d, %v; want %d", filter, len(p.Items), p.Total, err, want)
			}
			for _, it := range p.Items {
				got = append(got, it.Class+it.Name)
			}
			if p.Next == "" {
				break
			}
			filter.Cursor = p.Next
		}
		seen := map[string]bool{}
		for i, n := range got {
			if seen[n] || i > 0 && got[i-1] > n {
				t.Fatalf("%+v: %s twice or out of order", filter, n)
			}
			seen[n] = true
		}
		if len(got) != want {
			t.Errorf("%+v: %d on all pages, want %d", filter, len(got), want)
		}
	}
	f(132, Filter{})
	f(130, Filter{Classes: []string{Host, Network}})
	f(2, Filter{Classes: []string{BusinessSystem}})
	f(1, Filter{Tenants: []string{"b"}})
	f(65, Filter{Zone: "z0"})
	f(1, Filter{Address: "10.0.0.7"})
	f(1, Filter{Address: " ::ffff:10.0.0.7"})
	f(65, Filter{Label: "100%"})
	f(65, Filter{Query: "100%"})
	f(65, Filter{Query: "odd_"})
	f(0, Filter{Query: "oddxx"})
	f(1, Filter{Query: "H-007 100%"})
	f(130, Filter{System: "bs-a"})
	f(0, Filter{System: "bs-b"})
	for _, bad := range []string{"x", "!!!", "W10"} {
		if _, err := s.Items(ctx, reach.All(), Filter{Cursor: bad}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}
