package unread

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestBookCountsBySourceAndKeepsExamples(t *testing.T) {
	t.Parallel()
	var b Book
	a := Source{Tenant: "water", Peer: netip.MustParseAddr("10.1.2.3"), Program: "boilerd"}
	for i := range 500 {
		b.Add(a, fmt.Sprintf("valve %d moved to %d%%", i, i%100), int64(1000+i))
	}
	b.Add(a, "valve stuck", 5000)
	b.Add(Source{Tenant: "tax"}, "hello", 1)
	all := b.Reports(func(tenant string) bool { return tenant == "water" })
	if len(all) != 1 {
		t.Fatalf("%d sources are shown", len(all))
	}
	r := all[0]
	if r.Lines != 501 || r.Peer != "10.1.2.3" || r.First.UnixNano() != 1000 || r.Last.UnixNano() != 5000 {
		t.Errorf("%+v", r)
	}
	if len(r.Examples) != 1 || len(r.Drafts) != 1 || r.Drafts[0].Pattern != "valve {number:int} moved to {number_2:int}%" {
		t.Errorf("examples %q, drafts %+v", r.Examples, r.Drafts)
	}
}

func TestBookIsBounded(t *testing.T) {
	t.Parallel()
	var b Book
	for i := range maxSources + 10 {
		b.Add(Source{Tenant: fmt.Sprint(i)}, "x", 1)
	}
	if n := len(b.Reports(func(string) bool { return true })); n != maxSources || b.beyond != 10 {
		t.Errorf("%d sources, %d beyond", n, b.beyond)
	}
	one := Source{Tenant: "0"}
	for i := range 80 {
		b.Add(one, strings.Repeat("word ", i+1), 1)
	}
	for _, r := range b.Reports(func(tenant string) bool { return tenant == "0" }) {
		if len(r.Examples) != maxShapes {
			t.Errorf("%d examples", len(r.Examples))
		}
	}
}
