package surface

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"testing"
	"time"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/cmdb/inbox"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/reach"
)

const items = `{"id":"web-1","class":"host","name":"web-1","tenant":"a","zone":"default","addresses":["10.0.0.1"],"hostnames":["web-1"],"attributes":{"os":"Kylin V10"}}
{"id":"other","class":"host","name":"other","tenant":"b","zone":"default","addresses":["10.0.0.9"]}
`

type world struct {
	*Service
	t       *testing.T
	cmdb    *cmdb.Service
	at      time.Time
	offered []inbox.Offered
	n       int
}

func onBoth(t *testing.T, test func(w *world)) {
	cmdbtest.OnBoth(t, func(t *testing.T, c *cmdb.Service) {
		w := &world{t: t, cmdb: c, at: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
		cmdbtest.Import(t, c, items)
		var err error
		w.Service, err = Open(t.Context(), Deps{Database: c.Database(), Items: c, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.at },
			Offer: func(_ context.Context, _, _, _ string, list []inbox.Offered) (int, error) {
				w.offered = list
				return len(list), nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		test(w)
	})
}

// see takes a run of a task in a zone.
func (w *world) see(task, zone, mode string, hosts ...scan.Seen) scan.ScanDiscovery {
	w.t.Helper()
	w.n++
	w.at = w.at.Add(time.Hour)
	got, err := w.Take(w.t.Context(), scan.ScanRun{ID: fmt.Sprintf("run-%d", w.n), Task: task, Name: task, Tenant: "a", Zone: zone, EndState: "done"}, mode, hosts)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) item(zone, address string) cmdb.Item {
	w.t.Helper()
	page, err := w.cmdb.Items(w.t.Context(), reach.All(), cmdb.Filter{Zone: zone, Address: address, Limit: 2})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range page.Items {
		if slices.Contains(it.Addresses, address) {
			return it
		}
	}
	return cmdb.Item{}
}

func (w *world) kinds() []string {
	w.t.Helper()
	list, _, err := w.Changes(w.t.Context(), reach.Tenants("a"), ChangeQuestion{Run: fmt.Sprintf("run-%d", w.n), Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, c := range list {
		out = append(out, c.Kind+" "+c.Address)
	}
	slices.Sort(out)
	return out
}

func seen(address, mac, name string, ports ...int) scan.Seen {
	x := scan.Seen{Host: wire.Host{Address: address, MAC: mac, OS: "Linux", Found: []string{"ping"}}}
	if name != "" {
		x.Names = []string{name}
	}
	for _, p := range ports {
		x.Services = append(x.Services, wire.Service{Address: address, Port: p, Protocol: "tcp", Name: byPort[p]})
	}
	return x
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		hosts := []scan.Seen{seen("10.0.0.1", "", "web-1", 80), seen("10.0.0.2", "aa:00:00:00:00:02", "db-2", 22, 6379), seen("10.0.0.9", "", "", 22)}
		first := w.see("t", "default", scan.Create, hosts...)
		if first.Created != 1 || first.Known != 1 || first.Software != 1 || first.Conflicts != 1 || first.Changes != 1 {
			w.t.Fatalf("%+v", first)
		}
		if it := w.item("default", "10.0.0.1"); it.Attributes["os"] != "Kylin V10" || it.Attributes["open_ports"] != "80" || it.Attributes["discovery_type"] != "active" {
			w.t.Errorf("what people wrote was changed, or what was found is missing: %+v", it)
		}
		db := w.item("default", "10.0.0.2")
		if db.Name != "db-2" || db.Attributes["os"] != "Linux" || db.Attributes["mac"] != "aa:00:00:00:00:02" {
			w.t.Fatalf("%+v", db)
		}
		// A second discovery changes nothing.
		again := w.see("t", "default", scan.Create, hosts...)
		if again.Created+again.Updated+again.Software+again.Changes != 0 || again.Known != 2 {
			w.t.Errorf("%+v", again)
		}
		if it := w.item("default", "10.0.0.2"); !reflect.DeepEqual(it, db) {
			w.t.Errorf("%+v is not %+v", it, db)
		}
		// A run that is taken twice, after a restart, is taken once.
		if got, err := w.Take(w.t.Context(), scan.ScanRun{ID: "run-1", Task: "t", Tenant: "a", Zone: "default", EndState: "done"}, scan.Create, nil); err != nil || !reflect.DeepEqual(got, first) {
			w.t.Errorf("%+v, %v", got, err)
		}
		// A host that is renamed, and one that moved to another address, keep what they are.
		hosts[1] = seen("10.0.0.3", "aa:00:00:00:00:02", "db-new", 22, 6379)
		w.see("t", "default", scan.Create, hosts...)
		if it := w.item("default", "10.0.0.3"); it.ID != db.ID || !slices.Equal(it.Addresses, []string{"10.0.0.3"}) || !slices.Contains(it.Hostnames, "db-new") {
			w.t.Errorf("%+v is not %s", it, db.ID)
		}
		// One address in two zones is two hosts.
		w.see("z", "dmz", scan.Create, seen("10.0.0.3", "aa:00:00:00:00:33", "edge", 443))
		if it := w.item("dmz", "10.0.0.3"); it.ID == "" || it.ID == db.ID {
			w.t.Errorf("%+v", it)
		}
		if w.item("default", "10.0.0.3").ID != db.ID {
			w.t.Error("the other zone's host took the item")
		}
		// One that falls silent is stale, then vanished, and back.
		var d scan.ScanDiscovery
		for range DefaultPolicy.Stale {
			d = w.see("t", "default", scan.Create, hosts[0], hosts[2])
		}
		if it := w.item("default", "10.0.0.3"); d.Stale != 1 || it.Attributes["discovery_state"] != Stale || !slices.Contains(w.kinds(), HostSilent+" 10.0.0.3") {
			w.t.Errorf("%+v, %+v, %v", d, it, w.kinds())
		}
		// A task that does not look there says nothing about it.
		if d := w.see("elsewhere", "default", scan.Create, hosts[0]); d.Stale+d.Vanished != 0 {
			w.t.Errorf("%+v", d)
		}
		for range DefaultPolicy.Vanished - DefaultPolicy.Stale {
			d = w.see("t", "default", scan.Create, hosts[0], hosts[2])
		}
		if d.Vanished != 1 {
			w.t.Errorf("%+v", d)
		}
		w.see("t", "default", scan.Create, hosts...)
		if it := w.item("default", "10.0.0.3"); it.Attributes["discovery_state"] != Present || !slices.Contains(w.kinds(), HostBack+" 10.0.0.3") {
			w.t.Errorf("%+v, %v", it, w.kinds())
		}
	})
}

func TestInboxAndImport(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		d := w.see("t", "default", scan.ToInbox, seen("10.0.0.1", "", "", 80), seen("10.0.0.2", "", "db-2", 22, 3306))
		if d.Offered != 1 || d.Created != 0 || len(w.offered) != 1 || w.offered[0].Host != "db-2" || !slices.Equal(w.offered[0].Ports, []int{22, 3306}) {
			w.t.Fatalf("%+v, %+v", d, w.offered)
		}
		place := []HostPlace{{Tenant: "a", Zone: "default", Address: "10.0.0.2"}}
		if _, err := w.Import(ctx, reach.Tenants("b"), "li", place, true); err == nil {
			w.t.Error("another tenant's host was imported")
		}
		got, err := w.Import(ctx, reach.Tenants("a"), "li", place, true)
		if err != nil || got.Hosts != 1 || got.Software != 1 || got.Import == 0 || len(got.Refused) != 0 {
			w.t.Fatalf("%+v, %v", got, err)
		}
		if again, err := w.Import(ctx, reach.Tenants("a"), "li", place, true); err != nil || again.Hosts+again.Software != 0 || again.Known != 1 {
			w.t.Errorf("%+v, %v", again, err)
		}
		if list, n, err := w.Hosts(ctx, reach.Tenants("a"), HostQuestion{Words: "mysql", Limit: 10}); err != nil || n != 1 || list[0].Item == "" || list[0].Services[1].Category != "database" {
			w.t.Errorf("%+v, %v", list, err)
		}
		if _, n, err := w.Hosts(ctx, reach.Tenants("b"), HostQuestion{Limit: 10}); err != nil || n != 0 {
			w.t.Errorf("another tenant sees %d hosts, %v", n, err)
		}
	})
}

func TestChanges(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *world) {
		ctx := w.t.Context()
		site := func(title, fingerprint string, days int) scan.Seen {
			x := seen("10.0.0.1", "", "", 22, 443)
			x.Services[1].HTTP = &wire.HTTP{URL: "https://10.0.0.1/", Status: 200, Title: title}
			x.Services[1].TLS = &wire.TLS{Subject: "CN=web", Fingerprint: fingerprint, NotAfter: w.at.AddDate(0, 0, days).Unix()}
			return x
		}
		w.see("t", "default", scan.Nothing, site("Welcome", "f1", 90))
		if got := w.kinds(); len(got) != 0 {
			w.t.Errorf("the first discovery: %v", got)
		}
		w.see("t", "default", scan.Nothing, site("Welcome", "f1", 90))
		if got := w.kinds(); len(got) != 0 {
			w.t.Errorf("nothing changed: %v", got)
		}
		x := site("Hacked", "f2", 10)
		x.Services[0].Port, x.Services[0].Name = 23, "telnet"
		w.see("t", "default", scan.Nothing, x, seen("10.0.0.7", "", "", 22))
		want := []string{CertChanged + " 10.0.0.1", CertExpiring + " 10.0.0.1", HostNew + " 10.0.0.7", HostUnknown + " 10.0.0.7", PortClosed + " 10.0.0.1", PortOpened + " 10.0.0.1", SiteChanged + " 10.0.0.1"}
		if got := w.kinds(); !slices.Equal(got, want) {
			w.t.Errorf("%v, want %v", got, want)
		}
		alarms, err := w.Alarms(ctx)
		if err != nil || len(alarms) != 4 {
			w.t.Errorf("%+v, %v", alarms, err)
		}
		// A task of other ports closes none.
		w.see("other", "default", scan.Nothing, seen("10.0.0.1", "", "", 8080))
		if list, _, _ := w.Hosts(ctx, reach.All(), HostQuestion{Words: "10.0.0.1", Limit: 5}); len(list) != 1 || len(list[0].Services) != 3 {
			w.t.Errorf("%+v", list)
		}
		list, _, err := w.Changes(ctx, reach.All(), ChangeQuestion{Open: true, Limit: 100})
		if err != nil {
			w.t.Fatal(err)
		}
		var ids []int64
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if err := w.Acknowledge(ctx, reach.Tenants("b"), "li", ids); err == nil {
			w.t.Error("another tenant's changes were acknowledged")
		}
		if err := w.Acknowledge(ctx, reach.All(), "li", ids); err != nil {
			w.t.Fatal(err)
		}
		if alarms, err := w.Alarms(ctx); err != nil || len(alarms) != 0 {
			w.t.Errorf("%+v, %v", alarms, err)
		}
		if f, err := w.Figures(ctx, reach.All()); err != nil || f.Hosts != 2 || f.Unknown != 1 || f.Open != 0 || f.Categories["remote"] == 0 {
			w.t.Errorf("%+v, %v", f, err)
		}
		diff := Compare(&scan.ScanRun{ID: "1", Tenant: "a", Zone: "default", EndedAt: w.at}, &scan.ScanRun{ID: "2", Tenant: "a", Zone: "default"}, []scan.Seen{seen("10.0.0.1", "", "", 22), seen("10.0.0.2", "", "", 22)}, []scan.Seen{seen("10.0.0.1", "", "", 80)}, w.at, 30)
		if len(diff) != 3 || diff[2].Kind != HostSilent {
			w.t.Errorf("%+v", diff)
		}
	})
}
