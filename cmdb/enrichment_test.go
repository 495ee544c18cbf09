package cmdb

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"icewatch/soc/enrich"
	"icewatch/soc/reach"
)

// TestChangesNameTheirParts makes one change at a time and expects the parts of
// all items that enrichment says something else of, and of no other.
func TestChangesNameTheirParts(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a")
	var csv strings.Builder
	csv.WriteString("class,id,name,tenant,zone,addresses,system\nbusiness_system,sys,S,a,,,\n")
	for i := range 2*partItems + 10 {
		system := ""
		if i == 5 || i == partItems+5 {
			system = "sys"
		}
		fmt.Fprintf(&csv, "host,h%d,h%d,a,z,10.0.%d.%d,%s\n", i, i, i>>8, i&255, system)
	}
	mustImport(t, s, CSV, csv.String())
	if got := s.ChangedParts(); !slices.Equal(got, []int32{0, 1, 2}) {
		t.Fatalf("an import: %v", got)
	}
	// What a listener keeps that takes each part named, and nothing else.
	live := map[int32]enrich.Snapshot{}
	take := func(parts ...int32) {
		for _, p := range parts {
			snap, err := s.Part(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			live[p] = snap
		}
	}
	take(0, 1, 2)
	part := func(id string) int32 { it := mustGet(t, s, id); return it.seq / partItems }
	change := func(what string, want []int32, fn func() error) {
		t.Helper()
		if err := fn(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		got := s.ChangedParts()
		if !slices.Equal(got, want) {
			t.Errorf("%s: parts %v, want %v", what, got, want)
		}
		take(got...)
		for p := range int32(3) {
			now, err := s.Part(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			have := live[p]
			now.Version, have.Version = 0, 0
			if !reflect.DeepEqual(now, have) {
				t.Errorf("%s: part %d is not what the listener has", what, p)
			}
		}
	}
	upsert := func(it Item) func() error {
		return func() error { _, err := s.Upsert(t.Context(), reach.All(), "t", it); return err }
	}
	change("one item", []int32{part("h7")}, upsert(Item{ID: "h7", Class: Host, Name: "h7", Tenant: "a", Zone: "z", Criticality: 5}))
	change("a system's owner", []int32{part("sys"), part("h5"), part(fmt.Sprint("h", partItems+5))}, upsert(Item{ID: "sys", Class: BusinessSystem, Name: "S", Tenant: "a", Owner: "Li"}))
	change("a system's business line", []int32{part("sys"), part("h5"), part(fmt.Sprint("h", partItems+5))},
		upsert(Item{ID: "sys", Class: BusinessSystem, Name: "S", Tenant: "a", Attributes: map[string]string{"business_line": "tax"}}))
	last := fmt.Sprint("h", 2*partItems+9)
	change("an item that goes", []int32{part(last)}, func() error { return s.Delete(t.Context(), reach.All(), "t", last) })
	change("nothing", nil, upsert(Item{ID: "h7", Class: Host, Name: "h7", Tenant: "a", Zone: "z", Criticality: 5}))
	s.Retell([]int32{2, 1})
	<-s.Changed()
	if got := s.ChangedParts(); !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("told again: %v", got)
	}
	// All parts together are the snapshot.
	whole, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range live {
		n += len(p.Items)
	}
	if len(whole.Items) != n || n != 2*partItems+9+2 {
		t.Errorf("%d items in parts, %d in all", n, len(whole.Items))
	}
}
