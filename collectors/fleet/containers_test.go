package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// TestContainers lists what inventories tell of containers, over a restart, within reach.
func TestContainers(t *testing.T) {
	t.Parallel()
	f := fleettest.Start(t)
	token := f.Token(t, fleet.TokenDraft{Uses: 10})
	c := enrolled(t, f, token, facts)
	take := func(inv wire.Inventory) {
		t.Helper()
		data, err := json.Marshal(inv)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.TakeInventory(t.Context(), c.ID, data); err != nil {
			t.Fatal(err)
		}
	}
	take(wire.Inventory{Taken: 1, Facts: facts})
	if got := f.Containers(fleettest.Admin, fleet.ContainerQuery{}); got == nil || len(got) != 0 {
		t.Errorf("%+v", got)
	}
	take(wire.Inventory{Taken: 1_800_000_000, Facts: facts, Containers: []wire.Container{
		{ID: "abc1", Name: "cache", Image: "redis:7", State: "running", Engine: "docker", Service: "redis", Health: "unhealthy", Services: []wire.ContainerService{{Protocol: "tcp", Port: 6379, Process: "redis-server", Service: "redis", Published: "0.0.0.0:16379", Listening: true}, {Protocol: "tcp", Port: 9121, Service: "prometheus", Listening: true}}},
		{ID: "abd2", Name: "job", Image: "busybox", State: "exited", Engine: "docker", ExitCode: 1},
		{ID: "abe3", Name: "web", Image: "nginx:1.27", State: "running", Engine: "kubernetes", Pod: "shop-1", Namespace: "city", Service: "nginx"}}})
	f.Restart(t)
	for _, x := range []struct {
		q    fleet.ContainerQuery
		want string
	}{
		{fleet.ContainerQuery{}, "cache job web"}, {fleet.ContainerQuery{State: "running"}, "cache web"}, {fleet.ContainerQuery{Service: "prometheus"}, "cache"}, {fleet.ContainerQuery{Service: "nginx"}, "web"},
		{fleet.ContainerQuery{Engine: "kubernetes"}, "web"}, {fleet.ContainerQuery{Text: "REDIS 16379"}, "cache"}, {fleet.ContainerQuery{Text: "6379"}, "cache"}, {fleet.ContainerQuery{Text: "web-1"}, "cache job web"}, {fleet.ContainerQuery{Text: "shop city"}, "web"},
		{fleet.ContainerQuery{Text: "abd2"}, "job"}, {fleet.ContainerQuery{Agent: "x"}, ""}, {fleet.ContainerQuery{Tenant: "seal"}, ""},
	} {
		var names []string
		for _, y := range f.Containers(fleettest.Admin, x.q) {
			names = append(names, y.Name)
			if y.Host != "web-1" || y.Tenant != "egov" || y.Agent != c.ID || y.Taken.Unix() != 1_800_000_000 {
				t.Errorf("%+v", y)
			}
		}
		if got := strings.Join(names, " "); got != x.want {
			t.Errorf("%+v: %q, want %q", x.q, got, x.want)
		}
	}
	n := f.ContainerFigures(fleettest.Admin)
	if n.Total != 3 || n.Hosts != 1 || n.Images != 3 || n.Unwell != 1 || n.States["running"] != 2 || n.Services["redis"] != 1 || n.Services["prometheus"] != 1 || n.Services["nginx"] != 1 {
		t.Errorf("%+v", n)
	}
	other := fleet.Asker{Name: "other", Within: reach.Tenants("seal")}
	if got := f.Containers(other, fleet.ContainerQuery{}); len(got) != 0 || f.ContainerFigures(other).Total != 0 {
		t.Errorf("%+v", got)
	}
	// What could not be read this time stays as it was; none is none.
	take(wire.Inventory{Taken: 2, Facts: facts, Errors: []wire.Reason{{Part: "containers", Text: "no answer"}}})
	if n := len(f.Containers(fleettest.Admin, fleet.ContainerQuery{})); n != 3 {
		t.Errorf("%d containers", n)
	}
	take(wire.Inventory{Taken: 3, Facts: facts})
	if n := len(f.Containers(fleettest.Admin, fleet.ContainerQuery{})); n != 0 {
		t.Errorf("%d containers", n)
	}
}
