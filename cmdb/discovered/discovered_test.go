package discovered

import (
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

func TestAHostStaysTheItemThatItIs(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		ctx := t.Context()
		cmdbtest.Import(t, items, `{"id":"h1","class":"vm","name":"印章平台一号","tenant":"a","zone":"default","addresses":["10.1.2.3"],"owner":"周敏"}
{"id":"h2","class":"host","name":"other","tenant":"b","zone":"default","addresses":["10.1.2.4"]}`)
		f := New(items, "default")
		facts := wire.Facts{Hostname: "web-1", OS: "linux", Platform: "debian", Release: "12", Cores: 4, Memory: 8 << 30, Addresses: []string{"10.1.2.3", "fe80::1"}, Virtual: "kvm"}
		inv := wire.Inventory{Facts: facts, Ports: []wire.Port{{Protocol: "tcp", Port: 5432, Service: "postgresql", Version: "15.4"}, {Protocol: "tcp", Port: 22, Service: "ssh"}}}
		a := fleet.Agent{ID: "01AGENT", Tenant: "a", Name: "web-1", Facts: facts}
		id, err := f.Take(ctx, a, &inv)
		if err != nil || id != "h1" {
			t.Fatal("the item of the address was not found:", id, err)
		}
		get := func() cmdb.Item {
			t.Helper()
			it, err := items.Get(ctx, reach.All(), id)
			if err != nil {
				t.Fatal(err)
			}
			return it
		}
		it := get()
		if it.Name != "印章平台一号" || it.Owner != "周敏" || it.Attributes["os"] != "debian" || it.Attributes["memory_gib"] != "8" || it.Hostnames[0] != "web-1" {
			t.Errorf("%+v", it)
		}
		revision := it.Revision
		if _, err := f.Take(ctx, a, &inv); err != nil || get().Revision != revision {
			t.Error("the same again changed the item", err)
		}
		all := func() int {
			t.Helper()
			page, err := items.Items(ctx, reach.Tenants("a"), cmdb.Filter{Classes: []string{"host", "vm", "container", "database", "middleware"}, Tenants: []string{"a"}})
			if err != nil {
				t.Fatal(err)
			}
			return page.Total
		}
		if n := all(); n != 2 {
			t.Fatalf("%d items: want the host and its database", n)
		}
		// A new name and new addresses.
		a.Item, a.Name = id, "web-9"
		a.Facts.Hostname, a.Facts.Addresses = "web-9", []string{"10.9.9.9"}
		inv.Facts, inv.Ports[0].Version = a.Facts, "16.1"
		if again, err := f.Take(ctx, a, &inv); err != nil || again != id {
			t.Fatal(again, err)
		}
		if it := get(); it.Addresses[0] != "10.9.9.9" || it.Hostnames[0] != "web-9" || it.Name != "印章平台一号" {
			t.Errorf("%+v", it)
		}
		if n := all(); n != 2 {
			t.Errorf("%d items after a new name and address", n)
		}
		// The address of another tenant's host is not its item.
		b := fleet.Agent{ID: "01OTHER", Tenant: "a", Name: "new", Facts: wire.Facts{Hostname: "new", OS: "linux", Addresses: []string{"10.1.2.4"}}}
		made, err := f.Take(ctx, b, &wire.Inventory{})
		if err == nil || made == "" || made == "h2" {
			t.Fatal("that its address is another's is not said:", made, err)
		}
		if it, err := items.Get(ctx, reach.All(), made); err != nil || it.Class != "host" || it.Tenant != "a" {
			t.Errorf("%+v %v", it, err)
		}
	})
}
