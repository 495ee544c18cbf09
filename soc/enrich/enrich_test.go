package enrich

import (
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"icewatch/soc/event"
)

// town is a small city: a firewall and a scanner of the city's, two tenants
// with hosts, and an isolated zone that uses the same addresses.
func town() Snapshot {
	return Snapshot{
		Version: 7,
		Networks: []Network{
			{Zone: "default", CIDR: "10.0.0.0/8", Name: "intranet"},
			{Zone: "default", CIDR: "10.1.0.0/16", Name: "seal", Tenant: "e-seal"},
			{Zone: "default", CIDR: "10.1.9.0/24", Name: "seal's shared corner"},
			{Zone: "default", CIDR: "203.0.113.0/24", Name: "own public range"},
			{Zone: "default", CIDR: "2001:db8:1::/48", Name: "seal v6", Tenant: "e-seal"},
			{Zone: "isolated", CIDR: "10.1.0.0/16", Name: "licences", Tenant: "e-licence"},
			{Zone: "isolated", CIDR: "0.0.0.0/0", Name: "all", Tenant: "e-licence"},
		},
		Items: []Item{
			{ID: "bs-e-seal", Class: "business_system", Name: "电子印章", Tenant: "e-seal", Criticality: 4, Owner: "王", SystemID: "bs-e-seal", SystemName: "电子印章"},
			{ID: "bs-e-licence", Class: "business_system", Name: "电子证照", Tenant: "e-licence", Criticality: 4, SystemID: "bs-e-licence", SystemName: "电子证照"},
			{ID: "web", Class: "host", Name: "seal-web-1", Tenant: "e-seal", Zone: "default", Addresses: []string{"10.1.0.5", "2001:db8:1::5"},
				Hostnames: []string{"seal-web-1", "seal-web-1.gov.example"}, Criticality: 5, Owner: "李", Labels: []string{"public", "linux"}, SystemID: "bs-e-seal", SystemName: "电子印章"},
			{ID: "db", Class: "host", Name: "db-1", Tenant: "e-seal", Zone: "default", Addresses: []string{"10.1.0.6"}, Hostnames: []string{"db-1.seal.gov.example"}, Criticality: 5, SystemID: "bs-e-seal", SystemName: "电子印章"},
			{ID: "iso", Class: "host", Name: "lic-1", Tenant: "e-licence", Zone: "isolated", Addresses: []string{"10.1.0.5"}, Hostnames: []string{"lic-1"}, Criticality: 3, SystemID: "bs-e-licence", SystemName: "电子证照"},
			{ID: "lic2", Class: "host", Name: "db-1", Tenant: "e-licence", Zone: "default", Addresses: []string{"10.2.0.6"}, Hostnames: []string{"db-1.lic.gov.example"}, Criticality: 2},
			{ID: "fw", Class: "host", Name: "fw-1", Tenant: "city", Zone: "default", Addresses: []string{"10.0.0.1"}, Hostnames: []string{"fw-1"}, Criticality: 3},
			{ID: "scan", Class: "host", Name: "scanner", Zone: "default", Addresses: []string{"10.0.0.9"}, Criticality: 1, Labels: []string{"approved-scanner"}},
			{ID: "hop", Class: "host", Name: "hop", Tenant: "city", Zone: "default", Addresses: []string{"10.0.0.7"}, Labels: []string{"relay"}},
		},
	}
}

func mustIndex(t testing.TB, s Snapshot) *Index {
	t.Helper()
	x, err := NewIndex(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTenant(t *testing.T) {
	t.Parallel()
	x := mustIndex(t, town())
	f := func(zone, addr, hostname, want string) {
		t.Helper()
		a, _ := netip.ParseAddr(addr)
		got, ok := x.Tenant(zone, a, hostname)
		if got != want || ok != (want != "") {
			t.Errorf("Tenant(%q, %s, %q) = %q, %v; want %q", zone, addr, hostname, got, ok, want)
		}
	}
	f("", "10.1.0.5", "", "e-seal")              // by address, "" is the default zone
	f("default", "10.1.0.5", "", "e-seal")       //
	f("isolated", "10.1.0.5", "", "e-licence")   // the same address elsewhere
	f("nowhere", "10.1.0.5", "", "")             // an unknown zone
	f("", "::ffff:10.1.0.5", "", "e-seal")       // IPv4-mapped
	f("", "10.1.0.5", "lic-1", "e-seal")         // address before name
	f("", "198.51.100.1", "LIC-1.", "e-licence") // name alone, whatever its case
	f("", "10.1.7.7", "lic-1", "e-licence")      // name before network
	f("", "10.1.7.7", "", "e-seal")              // network
	f("", "10.1.9.7", "", "")                    // the narrowest network is shared
	f("", "10.200.0.1", "", "")                  // the only network is shared
	f("", "2001:db8:1:2::1", "", "e-seal")       // IPv6 network
	f("isolated", "8.8.8.8", "", "e-licence")    // the network of all addresses
	f("", "10.0.0.1", "", "city")                //
	f("", "10.0.0.9", "", "")                    // a shared item
	f("", "10.0.0.7", "seal-web-1", "e-seal")    // a relay passes on
	f("", "10.0.0.7", "unheard-of", "city")      //
	f("", "", "", "")
	f("", "", "db-1", "") // two tenants have a db-1
	f("", "", "db-1.seal.gov.example", "e-seal")
	f("", "", "seal-web-1.other.example", "e-seal") // known by its first label
	f("", "", "db-1.other.example", "")             // db-1.seal is not db-1.other
	f("", "", "10.1.0.6", "e-seal")                 // an address where a name should be
}

func newEvent(tenant string, fields ...string) *event.Event {
	reg := event.NewRegistry(0)
	ev := &event.Event{Tenant: tenant}
	for i := 0; i < len(fields); i += 2 {
		id, _ := reg.Intern(fields[i])
		ev.Add(id, fields[i+1])
	}
	return ev
}

// flat renders the fields Apply sets, in order.
func flat(ev *event.Event) string {
	reg := event.NewRegistry(0)
	var out []string
	for _, f := range ev.Fields {
		if f.ID >= event.CIID && f.ID <= event.DestInternal {
			out = append(out, strings.TrimPrefix(reg.Name(f.ID), "icewatch.")+"="+f.Value)
		}
	}
	return strings.Join(out, " ")
}

func TestApply(t *testing.T) {
	t.Parallel()
	x := mustIndex(t, town())
	const web = "ci.id=web ci.name=seal-web-1 ci.class=host ci.criticality=5 ci.owner=李 ci.labels=public ci.labels=linux ci.system.id=bs-e-seal ci.system.name=电子印章"
	const seal = "ci.id=bs-e-seal ci.name=电子印章 ci.class=business_system ci.criticality=4 ci.owner=王 ci.system.id=bs-e-seal ci.system.name=电子印章"
	const fw = "ci.id=fw ci.name=fw-1 ci.class=host ci.criticality=3"
	f := func(what, tenant, about, want string, fields ...string) {
		t.Helper()
		ev := newEvent(tenant, fields...)
		got := x.Apply(ev)
		if got != about || flat(ev) != want {
			t.Errorf("%s: about %q, fields\n  %s\nwant %q\n  %s", what, got, flat(ev), about, want)
		}
		// Applying again changes nothing.
		if x.Apply(ev); flat(ev) != want {
			t.Errorf("%s: applied twice: %s", what, flat(ev))
		}
	}
	f("by host.ip", "e-seal", "web", web, "host.ip", "192.0.2.1", "host.ip", "10.1.0.5", "host.name", "db-1")
	f("by host.name", "e-seal", "web", web, "host.name", "SEAL-WEB-1.gov.example", "icewatch.peer", "10.1.0.6")
	f("by short name, the tenant decides", "e-licence", "lic2", "ci.id=lic2 ci.name=db-1 ci.class=host ci.criticality=2", "host.name", "db-1")
	f("by peer", "e-seal", "web", web, "icewatch.peer", "10.1.0.5")
	f("by peer, host name unknown", "e-seal", "web", web, "icewatch.peer", "10.1.0.5", "host.name", "localhost")
	f("a relay is not where it happened", "e-seal", "bs-e-seal", seal, "icewatch.peer", "10.0.0.7", "host.name", "unheard-of")
	f("by zone", "e-licence", "iso", "ci.id=iso ci.name=lic-1 ci.class=host ci.criticality=3 ci.system.id=bs-e-licence ci.system.name=电子证照", "icewatch.zone", "isolated", "host.ip", "10.1.0.5")
	f("the tenant's system at last", "e-seal", "bs-e-seal", seal, "host.name", "new-host")
	f("nothing known", "unassigned", "", "", "host.name", "new-host")
	f("broken addresses", "unassigned", "", "", "host.ip", "x", "source.ip", "1.2.3", "destination.ip", "", "icewatch.peer", ":")

	f("sign-in from outside", "e-seal", "web", "source.internal=false "+web, "host.name", "seal-web-1", "event.category", "authentication", "source.ip", "198.51.100.7")
	f("own public range is internal", "e-seal", "web", "source.internal=true "+web, "host.name", "seal-web-1", "source.ip", "203.0.113.7")
	f("private, no network", "e-seal", "web", "source.internal=true "+web, "host.name", "seal-web-1", "source.ip", "192.168.1.7")
	f("link-local with interface", "e-seal", "web", "source.internal=true "+web, "host.name", "seal-web-1", "source.ip", "fe80::1%eth0")
	f("approved scanner", "e-seal", "web", "source.internal=true source.ci.id=scan source.ci.name=scanner source.ci.labels=approved-scanner "+web,
		"host.name", "seal-web-1", "source.ip", "10.0.0.9", "icewatch.source.internal", "spoofed")

	webOfCity := strings.Replace(web, "ci.owner=李", "ci.owner=李 ci.tenant=e-seal", 1)
	// What a firewall sees is about the server.
	f("scan from outside", "city", "web", "source.internal=false destination.internal=true destination.ci.id=web destination.ci.name=seal-web-1 destination.ci.labels=public destination.ci.labels=linux "+webOfCity,
		"host.name", "fw-1", "event.category", "network", "source.ip", "198.51.100.7", "destination.ip", "10.1.0.5")
	f("connection out", "city", "web", "source.internal=true source.ci.id=web source.ci.name=seal-web-1 source.ci.labels=public source.ci.labels=linux destination.internal=false "+webOfCity,
		"observer.name", "fw-1", "event.category", "network", "source.ip", "10.1.0.5", "destination.ip", "198.51.100.7")
	f("inside to inside is about the destination", "city", "web", "source.internal=true source.ci.id=db source.ci.name=db-1 destination.internal=true destination.ci.id=web destination.ci.name=seal-web-1 destination.ci.labels=public destination.ci.labels=linux "+webOfCity,
		"host.name", "fw-1", "event.category", "intrusion_detection", "source.ip", "10.1.0.6", "destination.ip", "10.1.0.5")
	f("between strangers it is about the firewall", "city", "fw", "source.internal=false destination.internal=false "+fw,
		"host.name", "fw-1", "event.category", "network", "source.ip", "198.51.100.7", "destination.ip", "192.0.2.7")
	f("to the firewall itself", "city", "fw", "source.internal=true source.ci.id=db source.ci.name=db-1 destination.internal=true destination.ci.id=fw destination.ci.name=fw-1 "+fw,
		"host.name", "fw-1", "event.category", "network", "source.ip", "10.1.0.6", "destination.ip", "10.0.0.1")
	f("a host's own packet filter", "e-seal", "web", "source.internal=true source.ci.id=web source.ci.name=seal-web-1 source.ci.labels=public source.ci.labels=linux destination.internal=true destination.ci.id=db destination.ci.name=db-1 "+web,
		"host.name", "seal-web-1", "event.category", "network", "source.ip", "10.1.0.5", "destination.ip", "10.1.0.6")
	f("a web log is about the web server", "e-seal", "web", "source.internal=true source.ci.id=db source.ci.name=db-1 destination.internal=true destination.ci.id=db destination.ci.name=db-1 "+web,
		"host.name", "seal-web-1", "event.category", "web", "source.ip", "10.1.0.6", "destination.ip", "10.1.0.6")

	// A tenant's events say nothing of another tenant's items.
	f("another tenant's server", "e-licence", "bs-e-licence", "source.internal=true destination.internal=true ci.id=bs-e-licence ci.name=电子证照 ci.class=business_system ci.criticality=4 ci.system.id=bs-e-licence ci.system.name=电子证照",
		"host.name", "seal-web-1", "event.category", "network", "source.ip", "10.1.0.6", "destination.ip", "10.1.0.5", "icewatch.peer", "10.1.0.5")
	f("what the sender claims is taken away", "unassigned", "", "", "icewatch.ci.id", "web", "icewatch.ci.criticality", "1")
}

func TestNewIndexRefuses(t *testing.T) {
	t.Parallel()
	f := func(s Snapshot, want string) {
		t.Helper()
		_, err := NewIndex(s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(Snapshot{Items: []Item{{ID: "a", Addresses: []string{"10.0.0"}}}}, `item "a": address "10.0.0"`)
	f(Snapshot{Items: []Item{{ID: "a", Addresses: []string{"10.0.0.1"}}, {ID: "b", Zone: "default", Addresses: []string{"::ffff:10.0.0.1"}}}}, `of item "a" and of item "b"`)
	f(Snapshot{Networks: []Network{{Name: "n", CIDR: "10.0.0.0"}}}, `network "n"`)
	f(Snapshot{Networks: []Network{{CIDR: "10.0.0.0/8"}, {CIDR: "10.0.0.0/8"}}}, "there twice")
}

func TestSystemOfATenant(t *testing.T) {
	t.Parallel()
	sys := func(id string) Item { return Item{ID: id, Class: "business_system", Name: id, Tenant: "x"} }
	f := func(want string, items ...Item) {
		t.Helper()
		if got := mustIndex(t, Snapshot{Items: items}).Apply(&event.Event{Tenant: "x"}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("")
	f("a", sys("a"))
	f("", sys("a"), sys("b"))
	f("bs-x", sys("a"), sys("b"), sys("bs-x"))
	f("bs-x", sys("bs-x"), sys("a"), sys("b"))
}

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	want := town()
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Decode(data[:len(data)/2]); err == nil {
		t.Error("half a snapshot was taken")
	}
	if got, err := Decode([]byte(`{"version":3}`)); err != nil || got.Version != 3 {
		t.Errorf("plain JSON: %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	data, _ := town().Encode()
	f.Add(data)
	f.Add([]byte(`{"version":1,"networks":[{"cidr":"10.0.0.0/8"}],"items":[{"id":"a","class":"business_system","tenant":"t","addresses":["::1"],"hostnames":["a.b"]}]}`))
	f.Add([]byte(`{"items":[{"hostnames":[".",""]}]}`))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		x, err := NewIndex(s)
		if err != nil {
			return
		}
		for _, it := range s.Items {
			for _, h := range append(it.Hostnames, it.Name) {
				x.Tenant(it.Zone, netip.Addr{}, h)
				x.Apply(newEvent(it.Tenant, "host.name", h, "icewatch.zone", it.Zone, "source.ip", "10.0.0.1"))
			}
		}
	})
}

func FuzzApply(f *testing.F) {
	x := mustIndex(f, town())
	owner := map[string]string{}
	for _, it := range town().Items {
		owner[it.ID] = it.Tenant
	}
	f.Add("e-seal", "", "seal-web-1", "10.1.0.5", "10.0.0.1", "network")
	f.Add("", "isolated", "10.1.0.5", "fe80::1%eth0", "::ffff:1.2.3.4", "")
	f.Add("x", "default", "ÄÖ.", "", ":", "web")
	f.Fuzz(func(t *testing.T, tenant, zone, host, a, b, category string) {
		ev := newEvent(tenant, "icewatch.zone", zone, "host.name", host, "source.ip", a, "destination.ip", b, "event.category", category, "icewatch.peer", b)
		it := owner[x.Apply(ev)]
		if tenant != "" && tenant != "city" && tenant != "unassigned" && it != tenant && it != "" && it != "city" {
			t.Errorf("an event of %q is about an item of %q", tenant, it)
		}
	})
}

// bigTown has n hosts in 50 zones' worth of addresses and 2,000 networks.
func bigTown(n int) Snapshot {
	s := Snapshot{Version: 1}
	for i := range 2000 {
		s.Networks = append(s.Networks, Network{Zone: "default", CIDR: fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), Tenant: "e-seal"})
	}
	s.Networks = append(s.Networks, Network{Zone: "default", CIDR: "10.0.0.0/8"}, Network{Zone: "default", CIDR: "172.16.0.0/12"})
	for i := range n {
		s.Items = append(s.Items, bigItem(i))
	}
	return s
}

func bigItem(i int) Item {
	return Item{
		ID: fmt.Sprintf("host-%d", i), Class: "host", Name: fmt.Sprintf("h-%d", i), Tenant: "e-seal", Zone: "default",
		Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)},
		Hostnames: []string{fmt.Sprintf("h-%d.seal.gov.example", i), fmt.Sprintf("h-%d", i)}, Criticality: 3, Owner: "王",
		Labels: []string{"linux"}, SystemID: "bs-e-seal", SystemName: "电子印章",
	}
}

func TestApplyAllocatesNothing(t *testing.T) {
	x := mustIndex(t, bigTown(10_000))
	ev := newEvent("city", "host.name", "FW-1.gov.example", "event.category", "network", "source.ip", "198.51.100.7", "destination.ip", "10.0.5.9",
		"observer.name", "nobody", "icewatch.peer", "10.255.0.1", "host.ip", "2001:db8::1")
	n := len(ev.Fields)
	x.Apply(ev)
	if got := testing.AllocsPerRun(1000, func() {
		ev.Fields = ev.Fields[:n]
		x.Apply(ev)
		x.Tenant("default", netip.AddrFrom4([4]byte{10, 0, 5, 9}), "H-77.seal.gov.example")
	}); got != 0 {
		t.Errorf("%v allocations an event, want 0", got)
	}
}

func BenchmarkNewIndex100k(b *testing.B) {
	s := bigTown(100_000)
	b.ReportAllocs()
	for b.Loop() {
		mustIndex(b, s)
	}
}

// BenchmarkMemory tells what an item needs in the index: one with an address, two
// host names, an owner and a label.
func BenchmarkMemory(b *testing.B) {
	const items, size = 1_000_000, 1024
	for b.Loop() {
		before := heap()
		x := EmptyIndex()
		for at := 0; at < items; at += size {
			s := Snapshot{Part: int32(at / size)}
			for i := at; i < min(at+size, items); i++ {
				s.Items = append(s.Items, bigItem(i))
			}
			if err := x.Update(s); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/items, "B/item")
		runtime.KeepAlive(x)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkApply(b *testing.B) {
	x := mustIndex(b, bigTown(100_000))
	ev := newEvent("e-seal", "host.name", "h-77", "event.category", "authentication", "source.ip", "198.51.100.7", "destination.ip", "10.0.5.9",
		"icewatch.peer", "10.0.0.1", "process.name", "sshd", "user.name", "root", "event.action", "ssh_login")
	n := len(ev.Fields)
	x.Apply(ev)
	b.ReportAllocs()
	for b.Loop() {
		ev.Fields = ev.Fields[:n]
		x.Apply(ev)
	}
}

func BenchmarkTenant(b *testing.B) {
	x := mustIndex(b, bigTown(100_000))
	addr := netip.MustParseAddr("10.0.5.9")
	b.ReportAllocs()
	for b.Loop() {
		x.Tenant("default", addr, "")
	}
}
