package discovered

import (
	"strings"
	"testing"

	"icewatch/cmdb"
	"icewatch/cmdb/cmdbtest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// TestContainersOfAHost makes items of containers that run, below their host, and of what listens in them.
func TestContainersOfAHost(t *testing.T) {
	t.Parallel()
	cmdbtest.OnBoth(t, func(t *testing.T, items *cmdb.Service) {
		ctx := t.Context()
		f := New(items, "default")
		facts := wire.Facts{Hostname: "Node-1", OS: "linux", Addresses: []string{"10.1.2.3"}, Virtual: "kvm"}
		redis := wire.ContainerService{Protocol: "tcp", Port: 6379, PID: 9, Process: "redis-server", Service: "redis", Version: "7.2", Listening: true}
		inv := wire.Inventory{Facts: facts, Ports: []wire.Port{{Protocol: "tcp", Port: 5432, PID: 7, Service: "postgresql"}}, Containers: []wire.Container{
			{ID: "1", Name: "cache", Image: "redis:7.2", State: "running", Addresses: []string{"172.17.0.2"}, Services: []wire.ContainerService{redis, {Protocol: "tcp", Port: 26379, Service: "redis"}}},
			{ID: "2", Name: "db", Image: "postgres:16", State: "running", Services: []wire.ContainerService{{Protocol: "tcp", Port: 5432, PID: 7, Service: "postgresql", Listening: true}}},
			{ID: "3", Name: "job", Image: "busybox", State: "exited"},
			{ID: "4", Name: "web", Image: "nginx:1.27", State: "running", Pod: "shop-7d9f8b6c54-x2x8q", Namespace: "city"},
		}}
		a := fleet.Agent{ID: "01AGENT", Tenant: "a", Name: "Node-1", Facts: facts}
		host, err := f.Take(ctx, a, &inv)
		if err != nil {
			t.Fatal(err)
		}
		list := func() map[string]cmdb.Item {
			t.Helper()
			page, err := items.Items(ctx, reach.Tenants("a"), cmdb.Filter{Classes: []string{"container", "database", "middleware"}, Tenants: []string{"a"}})
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]cmdb.Item{}
			for _, it := range page.Items {
				out[it.Name] = it
			}
			return out
		}
		got := list()
		cache, db, web := got["cache@node-1"], got["db@node-1"], got["city/shop/web@node-1"]
		if len(got) != 5 || cache.Attributes["image"] != "redis:7.2" || cache.Attributes["node"] != host || db.Attributes["node"] != host || web.Attributes["namespace"] != "city" || len(cache.Addresses) != 0 {
			t.Fatalf("%+v", got)
		}
		// The database with the host's own network is the host's, that in its own network the container's.
		if r, p := got["Redis cache@node-1:6379"], got["PostgreSQL node-1:5432"]; r.Attributes["host"] != cache.ID || r.Attributes["version"] != "7.2" || p.Attributes["host"] != host {
			t.Errorf("%+v %+v", r, p)
		}
		// Another image and another pod of the same: the same items.
		a.Item = host
		inv.Containers[0].Image, inv.Containers[3].Pod, inv.Containers[3].ID = "redis:7.4", "shop-6c5d4b7f9d-9zq4k", "5"
		if _, err := f.Take(ctx, a, &inv); err != nil {
			t.Fatal(err)
		}
		again := list()
		if len(again) != 5 || again["cache@node-1"].Attributes["image"] != "redis:7.4" || again["cache@node-1"].ID != cache.ID || again["city/shop/web@node-1"].Revision != web.Revision {
			t.Errorf("%+v", again)
		}
		revision := again["cache@node-1"].Revision
		if _, err := f.Take(ctx, a, &inv); err != nil || list()["cache@node-1"].Revision != revision {
			t.Error("the same again changed the item", err)
		}
	})
}

func TestContainerNames(t *testing.T) {
	t.Parallel()
	for pod, want := range map[string]string{"shop-7d9f8b6c54-x2x8q": "n/shop/c@h", "proxy-x2x8q": "n/proxy/c@h", "db-0": "n/db-0/c@h", "kube-apiserver-master": "n/kube-apiserver-master/c@h", "": "c@h"} {
		if got := containerName("h", &wire.Container{Name: "C", Pod: pod, Namespace: "n"}); got != strings.ToLower(want) {
			t.Errorf("%s: %s", pod, got)
		}
	}
}
