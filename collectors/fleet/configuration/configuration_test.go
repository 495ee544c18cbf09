package configuration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet/wire"
)

func TestRollout(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	fresh := func() Rollout {
		return Rollout{Version: 2, Previous: 1, State: Rolling, Percent: FirstPercent, Soak: 60}
	}
	r := fresh()
	stage := []Standing{{ID: "a", Online: true}, {ID: "b"}}
	if r.Step(stage, now) || r.Percent != FirstPercent {
		t.Fatal("it went on before the first stage took it")
	}
	stage[0].Applied = true
	r.Step(stage, now)
	if r.Step(stage, now.Add(59*time.Second)) {
		t.Fatal("it went on before it soaked")
	}
	if !r.Step(stage, now.Add(61*time.Second)) || r.Percent != 100 || r.State != Rolling {
		t.Fatal("it did not go on", r)
	}
	r.Step(stage, now.Add(62*time.Second))
	if r.Step(stage, now.Add(123*time.Second)); r.State != Done {
		t.Fatal("it did not end", r)
	}
	r = fresh()
	stage[0] = Standing{ID: "a", Host: "web-1", Online: true, Applied: true, Unwell: "nginx: refused"}
	if !r.Step(stage, now) || r.State != RolledBack || r.Host != "web-1" || r.Reason != "nginx: refused" {
		t.Fatal(r)
	}
	c := Configuration{Rollout: r}
	if c.VersionFor("a", nil) != 1 {
		t.Fatal("the version before is not given")
	}
	c.Rollout = fresh()
	agents := []string{}
	for i := range 57 {
		agents = append(agents, fmt.Sprint(i))
	}
	first := First(agents, func(a string) bool { return a == "7" }, 2)
	if len(first) != 6 || !first["7"] {
		t.Fatalf("%d of 57 are first: %v", len(first), first)
	}
	n := 0
	for _, a := range agents {
		if c.VersionFor(a, first) == 2 {
			n++
		}
	}
	if n != 6 {
		t.Fatal(n)
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	out := Rollout{Version: 1, State: Done}
	all := []*Configuration{
		{ID: "base", Tenant: "", Selector: Selector{Everybody: true}, Rollout: out},
		{ID: "web", Tenant: "egov", Priority: 5, Selector: Selector{Labels: []string{"role=web"}}, Rollout: out},
		{ID: "other", Tenant: "seal", Priority: 9, Selector: Selector{Everybody: true}, Rollout: out},
		{ID: "named", Tenant: "egov", Rollout: out},
	}
	for _, x := range []struct {
		a    Subject
		want string
	}{
		{Subject{Tenant: "egov"}, "base"},
		{Subject{Tenant: "egov", Labels: []string{"x", "role=web"}}, "web"},
		{Subject{Tenant: "egov", Labels: []string{"role=web"}, Configuration: "named"}, "named"},
		{Subject{Tenant: "egov", Configuration: "other"}, ""}, // of another tenant
	} {
		got := ""
		if c := Choose(all, x.a); c != nil {
			got = c.ID
		}
		if got != x.want {
			t.Errorf("%+v: %q, want %q", x.a, got, x.want)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	if _, err := wire.ParseDocument([]byte(Default)); err != nil {
		t.Fatal(err)
	}
	text, err := Merge([]Part{{"default", Default}, {"redis-7", "inputs:\n  - {plugin: redis, settings: {servers: ['tcp://127.0.0.1:6379']}}\n  - {plugin: cpu}\nlabels: {app: seal}\n"}})
	if err != nil {
		t.Fatal(err)
	}
	d, err := wire.ParseDocument([]byte(text))
	if err != nil || len(d.Inputs) != 9 || d.Inputs[8].Name != "cpu-redis-7" || d.Inputs[7].Labels["app"] != "seal" || d.Inputs[0].Labels["app"] != "" || d.Inventory == nil {
		t.Fatalf("%s\n%v", text, err)
	}
	if _, err := Merge([]Part{{"a", Default}, {"b", "inputs: [{plugin: 1}, {}]"}}); err == nil || !strings.HasPrefix(err.Error(), "b: ") {
		t.Fatal(err)
	}
}
