package retention

import (
	"strings"
	"testing"
	"time"
)

func policy() *Policy {
	return &Policy{Classes: []Class{{Name: "standard", Keep: 200 * Day}, {Name: "short", Keep: 30 * Day}, {Name: "legal", Keep: 180 * Day}, {Name: "long", Keep: 365 * Day}},
		Flows: "short", Security: []string{"*.auth", "icewatch.*"}, Tenants: []string{"audit-office"}}
}

func TestFor(t *testing.T) {
	t.Parallel()
	p := policy()
	route := p.Router()
	f := func(tenant, class, dataset, want string) {
		t.Helper()
		for range 2 { // the second answer is a remembered one
			if got := route(tenant, class, dataset); got != want {
				t.Errorf("%s of %s in %s goes to %q, want %q", dataset, tenant, class, got, want)
			}
		}
	}
	f("tax", "short", "nginx.access", "short")
	f("tax", "short", "sshd.auth", "legal")
	f("tax", "short", "icewatch.audit", "legal")
	f("tax", "long", "sshd.auth", "long")
	f("tax", "long", "flow.netflow", "short")
	f("tax", "gone", "nginx.access", "standard")
	f("city", "short", "nginx.access", "legal")
	f("unassigned", "short", "", "legal")
	f("audit-office", "short", "nginx.access", "legal")
	p.Flows = ""
	if got := p.For("tax", "long", "flow.sflow"); got != "long" {
		t.Errorf("without a class of their own flows go to %q", got)
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	p := policy()
	f := func(tenant, class, want string) {
		t.Helper()
		err := p.Allows(tenant, class)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s in %s: %v", tenant, class, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s in %s: %v, want an error with %q", tenant, class, err, want)
		}
	}
	f("tax", "short", "")
	f("tax", "weekly", "no retention class")
	f("city", "short", "article 21")
	f("unassigned", "short", "180 days")
	f("audit-office", "short", "30 days")
	f("audit-office", "legal", "")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	if faults := policy().Check(); len(faults) > 0 {
		t.Fatalf("a good policy: %v", faults)
	}
	f := func(change func(p *Policy), option, reason string) {
		t.Helper()
		p := policy()
		change(p)
		faults := p.Check()
		if len(faults) != 1 || faults[0].Option != option || !strings.Contains(faults[0].Reason, reason) {
			t.Errorf("faults %v, want one of %s with %q", faults, option, reason)
		}
	}
	f(func(p *Policy) { p.Classes[0].Keep = 179 * Day }, "lake.retention", "article 21")
	f(func(p *Policy) { p.Classes[1].Name, p.Flows = "Short", "" }, "lake.classes[0].name", "lower-case")
	f(func(p *Policy) { p.Classes[2].Name = "long" }, "lake.classes[2].name", "twice")
	f(func(p *Policy) { p.Classes[1].Name, p.Flows = "standard", "" }, "lake.classes[0].name", "twice")
	f(func(p *Policy) { p.Classes[1].Keep = 36 * time.Hour }, "lake.classes[0].keep", "whole days")
	f(func(p *Policy) { p.Classes[1].Keep = Longest + Day }, "lake.classes[0].keep", "hundred years")
	f(func(p *Policy) { p.Flows = "weekly" }, "lake.flows_class", "standard, short, legal, long")
	f(func(p *Policy) { p.Security[0] = "[" }, "lake.security_datasets[0]", "pattern")
	f(func(p *Policy) { p.Tenants[0] = "No Slug" }, "lake.security_tenants[0]", "slug")
}
