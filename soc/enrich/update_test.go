package enrich

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"icewatch/soc/event"
)

// TestUpdatesEqualAnIndexMadeAnew moves items between parts, addresses between
// items and changes all else of them, and compares every answer with that of an
// index which is made of the outcome.
func TestUpdatesEqualAnIndexMadeAnew(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	const parts = 4
	live := EmptyIndex()
	zones := []string{"", "default", "isolated"}
	for round := range 150 {
		// A city anew: who has which address and range is drawn each time.
		var city [parts]Snapshot
		addrs := map[string]bool{}
		for i := range 40 {
			if rnd.IntN(4) == 0 {
				continue
			}
			it := Item{ID: fmt.Sprint("i", i), Class: []string{"host", "vm", systemClass}[rnd.IntN(3)], Name: fmt.Sprint("n", rnd.IntN(9)), Tenant: []string{"", "a", "b", "city"}[rnd.IntN(4)],
				Zone: zones[rnd.IntN(3)], Criticality: rnd.IntN(6)}
			if rnd.IntN(6) == 0 {
				it.ID = "bs-" + it.Tenant
				if addrs[it.ID] {
					continue
				}
				addrs[it.ID] = true
			}
			for range rnd.IntN(3) {
				a := fmt.Sprintf("10.0.%d.%d", rnd.IntN(2), rnd.IntN(20))
				if k := zoneName(it.Zone) + a; !addrs[k] {
					addrs[k] = true
					it.Addresses = append(it.Addresses, a)
				}
				it.Hostnames = append(it.Hostnames, []string{"web", "web.a.org", "web.b.org", "db", "DB."}[rnd.IntN(5)])
			}
			if rnd.IntN(5) == 0 {
				it.Labels = []string{RelayLabel}
			}
			p := rnd.IntN(parts)
			city[p].Items = append(city[p].Items, it)
		}
		for i := range 8 {
			n := Network{Zone: zones[rnd.IntN(3)], CIDR: fmt.Sprintf("10.0.%d.0/%d", rnd.IntN(2), 22+2*rnd.IntN(3)), Tenant: []string{"", "a", "b"}[rnd.IntN(3)], Name: fmt.Sprint("net", i)}
			p := netip.MustParsePrefix(n.CIDR).Masked()
			if k := zoneName(n.Zone) + p.String(); !addrs[k] {
				addrs[k] = true
				at := rnd.IntN(parts)
				city[at].Networks = append(city[at].Networks, n)
			}
		}
		var whole Snapshot
		for _, p := range rnd.Perm(parts) {
			city[p].Part = int32(p)
			// The index keeps what it is given.
			whole.Networks = append(whole.Networks, city[p].Networks...)
			whole.Items = append(whole.Items, city[p].Items...)
			if err := live.Update(city[p]); err != nil {
				t.Fatal(err)
			}
		}
		// An address that moved to a part which came first, from one which came
		// last, is where it moved to: a second time changes nothing.
		anew := mustIndex(t, whole)
		for _, zone := range zones {
			for i := range 40 {
				addr := netip.AddrFrom4([4]byte{10, 0, byte(i / 20), byte(i % 20)})
				for _, host := range []string{"", "web", "web.a.org", "web.c.org", "db"} {
					got, ok := live.Tenant(zone, addr, host)
					want, wantOK := anew.Tenant(zone, addr, host)
					if got != want || ok != wantOK {
						t.Fatalf("round %d: Tenant(%q, %s, %q) = %q, %v; made anew %q, %v", round, zone, addr, host, got, ok, want, wantOK)
					}
				}
				if got, want := live.Place(zone, "a", addr), anew.Place(zone, "a", addr); !reflect.DeepEqual(got, want) {
					t.Fatalf("round %d: Place(%q, %s) = %+v; made anew %+v", round, zone, addr, got, want)
				}
			}
		}
		for _, tenant := range []string{"a", "b", "city", "c"} {
			one, other := newEvent(tenant, "host.name", "web.a.org", "source.ip", "10.0.0.7"), newEvent(tenant, "host.name", "web.a.org", "source.ip", "10.0.0.7")
			live.Apply(one)
			anew.Apply(other)
			if flat(one) != flat(other) {
				t.Fatalf("round %d: %s; made anew %s", round, flat(one), flat(other))
			}
		}
	}
	for p := range parts {
		if err := live.Update(Snapshot{Part: int32(p)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(live.names) + len(live.systems) + len(live.parts) + live.words.inUse() + live.labels.inUse() + live.owners.inUse() + live.facts.inUse(); n != 0 || len(live.freeItems) != len(live.items) || len(live.freeEntries) != len(live.entries) {
		t.Errorf("%d names, systems, parts and texts are left of nothing", n)
	}
}

// TestAnUpdateThatCannotBeReadChangesNothing keeps what was in force.
func TestAnUpdateThatCannotBeReadChangesNothing(t *testing.T) {
	t.Parallel()
	x := mustIndex(t, town())
	s := town()
	s.Items[2].Addresses = append(s.Items[2].Addresses, "10.1.0")
	if err := x.Update(s); err == nil || !strings.Contains(err.Error(), `item "web": address "10.1.0"`) {
		t.Error(err)
	}
	s = town()
	s.Networks[0].CIDR = "10"
	if err := x.Update(s); err == nil || !strings.Contains(err.Error(), `network "intranet"`) {
		t.Error(err)
	}
	if it := x.Apply(newEvent("e-seal", "host.ip", "10.1.0.5")); it != "web" {
		t.Errorf("%q", it)
	}
}

// TestReadersSeeWholeUpdates looks things up while parts come.
func TestReadersSeeWholeUpdates(t *testing.T) {
	t.Parallel()
	x := EmptyIndex()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			s := Snapshot{Items: []Item{{ID: "w", Class: "host", Name: "w", Tenant: "a", Addresses: []string{fmt.Sprintf("10.0.0.%d", i%2)}, Hostnames: []string{"w"}, Owner: fmt.Sprint(i)}}}
			if err := x.Update(s); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		ev := &event.Event{Tenant: "a"}
		x.Apply(ev)
		if it, ok := x.At("", netip.MustParseAddr("10.0.0.1")); ok && it.ID != "w" {
			t.Errorf("%+v", it)
		}
	}
}

// BenchmarkUpdateOfAMillion changes one item of a million.
func BenchmarkUpdateOfAMillion(b *testing.B) {
	x := EmptyIndex()
	city := bigTown(1_000_000)
	size := 1024
	parts := make([]Snapshot, 0, len(city.Items)/size+1)
	for at := 0; at < len(city.Items); at += size {
		parts = append(parts, Snapshot{Part: int32(len(parts)), Items: city.Items[at:min(at+size, len(city.Items))]})
	}
	for _, p := range parts {
		if err := x.Update(p); err != nil {
			b.Fatal(err)
		}
	}
	data, err := parts[7].Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		s.Items[3].Criticality++
		if err := x.Update(s); err != nil {
			b.Fatal(err)
		}
	}
}
