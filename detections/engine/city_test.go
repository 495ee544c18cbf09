package engine

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"icewatch/detections"
	"icewatch/detections/verdict"
	"icewatch/soc/event"
)

// scanRules count refused packets: the same rule for each tenant alone, over
// all, and over two.
const scanRules = `title: Denied
id: denied
logsource: {product: t}
detection:
  s: {event.outcome: failure}
  condition: s
---
title: Own Scan
id: own
correlation:
  type: value_count
  rules: [denied]
  group-by: [source.ip, destination.ip]
  timespan: 5m
  condition: {field: destination.port, gte: 4}
---
title: City Scan
id: city
correlation:
  type: value_count
  rules: [denied]
  group-by: [source.ip, destination.ip]
  timespan: 5m
  condition: {field: destination.port, gte: 4}
tags: [attack.discovery]
icewatch: {scope: city}
---
title: Scan of Two
id: two
correlation:
  type: value_count
  rules: [denied]
  group-by: [source.ip, destination.ip]
  timespan: 5m
  condition: {field: destination.port, gte: 4}
icewatch: {scope: city, tenants: [city, tax]}
`

// bureaus is a CMDB of two servers of two tenants and a machine of a third.
// Each tenant knows of its own.
func bureaus(_, tenant string, addr netip.Addr) verdict.Place {
	for ip, p := range map[string]verdict.Place{
		"10.1.0.5": {Internal: true, Item: "tax-web", Name: "tax-web-1", System: "Tax Returns", Tenant: "tax"},
		"10.2.0.5": {Internal: true, Item: "seal-web", Name: "seal-web-1", Tenant: "seal"},
		"10.3.0.5": {Internal: true, Item: "bus-pc", Name: "bus-pc-1", Tenant: "bus"},
	} {
		if ip == addr.String() && (tenant == "" || tenant == p.Tenant || tenant == "city") {
			return p
		}
	}
	return verdict.Place{Internal: addr.IsPrivate()}
}

// TestAScanOverTenants splits a port scan over the log of the city's firewall
// and that of the server, which is a bureau's.
func TestAScanOverTenants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source, destination string
		tenants             []string // of the events, one after the other
		fires               string   // rules and the tenant of the firing
	}{
		"one tenant's log alone":        {"203.0.113.9", "10.1.0.5", []string{"tax", "tax", "tax", "tax"}, "own tax, city tax, two tax"},
		"firewall and server":           {"203.0.113.9", "10.1.0.5", []string{"city", "tax", "city", "tax"}, "city tax, two tax"},
		"the firewall's alone":          {"203.0.113.9", "10.1.0.5", []string{"city", "city", "city", "city"}, "own city, city tax, two tax"},
		"the last event is another's":   {"203.0.113.9", "10.1.0.5", []string{"city", "tax", "tax", "bus", "city"}, "city tax, two tax"},
		"a tenant that does not count":  {"203.0.113.9", "10.2.0.5", []string{"city", "seal", "seal", "city"}, "city seal"},
		"from one bureau to another":    {"10.3.0.5", "10.1.0.5", []string{"bus", "city", "bus", "tax"}, "city tax"},
		"the victim is nobody's":        {"203.0.113.9", "10.9.0.9", []string{"city", "tax", "city", "tax"}, "city tax, two tax"},
		"the victim is nobody's either": {"203.0.113.9", "10.9.0.9", []string{"tax", "tax", "tax", "city"}, "city city, two city"},
	} {
		reg := event.NewRegistry(0)
		port, _ := reg.Intern("destination.port")
		destination, _ := reg.Intern("destination.ip")
		enriched, _ := reg.Intern("icewatch.source.ci.name")
		e := New(Options{Registry: reg, Log: quiet, Places: bureaus, Enrich: enrich})
		e.Swap(compileFiles(t, reg, map[string]string{"a.yml": scanRules}))
		s := newStream()
		var events []*event.Event
		for i, tenant := range c.tenants {
			ev := s.next(time.Second, c.source)
			ev.Tenant = tenant
			ev.Delete(event.HostName)
			ev.Set(event.ReachUnit, tenant+"-unit")
			ev.Set(event.EventOutcome, "failure")
			ev.Set(destination, c.destination)
			ev.Set(port, fmt.Sprint(1000+i))
			if tenant == "bus" || tenant == "city" {
				ev.Set(enriched, "bus-pc-1")
			}
			events = append(events, ev)
		}
		var fires []string
		for _, o := range collect(e, events...) {
			fires = append(fires, o.Rule.ID+" "+o.Tenant)
			checkParties(t, name, &o)
		}
		if got := strings.Join(fires, ", "); got != c.fires {
			t.Errorf("%s: %q fires, not %q", name, got, c.fires)
		}
	}
}

// enrich names the item that an event goes to, to the tenant whose it is.
func enrich(ev *event.Event) {
	to, err := netip.ParseAddr(ev.Text(event.DestIP))
	if err != nil {
		return
	}
	if p := bureaus("", ev.Tenant, to); p.Item != "" {
		ev.Set(event.CIID, p.Item)
		ev.Set(event.CIOwner, p.Tenant+" owner")
		ev.Set(event.ReachUnit, p.Tenant+"-unit")
	}
}

// checkParties fails where a bureau is told of another's machines.
func checkParties(t *testing.T, name string, o *detections.Occurrence) {
	t.Helper()
	foreign := map[string]string{"tax": "seal bus", "seal": "tax bus", "bus": "tax seal", "city": ""}[o.Tenant]
	told := fmt.Sprintf("%v %v %+v %+v", o.Fields, o.Rule.Sentence, o.Attacker, o.Victim)
	for _, other := range strings.Fields(foreign) {
		if strings.Contains(told, other+"-") {
			t.Errorf("%s: %s tells %s of a machine of %s: %s", name, o.Rule.ID, o.Tenant, other, told)
		}
	}
	if o.Rule.ID != "city" || o.Victim == nil || o.Victim.Item == "" {
		return
	}
	if o.Victim.Tenant != o.Tenant || o.Fields["icewatch.ci.id"] != o.Victim.Item && o.Fields["icewatch.ci.id"] != "" || o.Fields["icewatch.tenant"] != o.Tenant {
		t.Errorf("%s: the firing is of %s, its victim %+v, its fields %v", name, o.Tenant, o.Victim, o.Fields)
	}
	if owner := o.Fields["icewatch.ci.owner"]; owner != "" && owner != o.Tenant+" owner" {
		t.Errorf("%s: the firing of %s names the owner %q", name, o.Tenant, owner)
	}
}

// TestATenantsOwnCorrelation never sees the events of another.
func TestATenantsOwnCorrelation(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	e, _ := fresh(t, reg, map[string]string{"a.yml": story})
	s := newStream()
	var events []*event.Event
	for i := range 300 {
		ev := s.next(time.Second, "10.0.0.1")
		ev.Tenant = fmt.Sprint("tenant-", i%100) // three failures each, too far apart
		ev.Set(event.EventOutcome, "failure")
		events = append(events, ev)
	}
	if got := collect(e, events...); len(got) != 0 {
		t.Fatalf("failures of a hundred tenants add up: %d fire, the first %+v", len(got), got[0])
	}
	// The same for chains: guessed at one tenant, signed in at another.
	for i, tenant := range []string{"a", "a", "a", "b", "a"} {
		ev := s.next(time.Second, "10.0.0.2")
		ev.Tenant = tenant
		ev.Set(event.EventOutcome, map[bool]string{true: "failure", false: "success"}[i < 3])
		got := collect(e, ev)
		if want := tenant == "a" && i == 4; (len(got) == 1) != want {
			t.Fatalf("event %d, of %s: %d fire", i, tenant, len(got))
		}
		for _, o := range got {
			if o.Tenant != "a" {
				t.Errorf("the firing is of %q", o.Tenant)
			}
		}
	}
}
