package engine

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/detections/verdict"
	"icewatch/soc/event"
)

// city tells whether the rule counts over tenants.
func (c *compiled) city() bool { return c.Correlation != nil && c.Custom.Scope == "city" }

// within tells whether the events of a tenant count for the correlation.
func (c *compiled) within(tenant string) bool {
	return len(c.Custom.Tenants) == 0 || slices.Contains(c.Custom.Tenants, tenant)
}

// told is how the fields begin by which enrichment tells of configuration items.
// What they hold is for those who see the event, which is of one tenant.
var told = []string{"icewatch.ci.", "icewatch.source.ci.", "icewatch.destination.ci.", "icewatch.reach."}

// asked are the fields that enrichment goes by.
var asked = []event.FieldID{event.Zone, event.HostName, event.HostIP, event.ObserverName, event.ObserverIP, event.EventCategory, event.SourceIP, event.DestIP, event.Peer}

// settle gives the firing of a rule that counts over tenants to the tenant whose
// machine is the victim, wherever the event came from that met the condition:
// the log of the city's firewall tells of an attack on a bureau's server, and
// the bureau has to see it, with what the CMDB says to the bureau and not to
// those who see that event. Where the victim is nobody's, the firing stays with
// the event's tenant.
func (e *Engine) settle(c *compiled, o *detections.Occurrence) {
	j := e.set.Taxonomy().Judge(&c.class, o, e.everywhere())
	if j.Victim == nil || j.Victim.Tenant == "" || j.Victim.Tenant == o.Tenant {
		return
	}
	o.Tenant = j.Victim.Tenant
	maps.DeleteFunc(o.Fields, func(name, _ string) bool {
		return slices.ContainsFunc(told, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
	o.Fields["icewatch.tenant"] = o.Tenant
	if e.opts.Enrich == nil {
		return
	}
	ev := &event.Event{Tenant: o.Tenant}
	for _, id := range asked {
		for _, value := range policy.Values(o.Fields[e.reg.Name(id)]) {
			ev.Fields = append(ev.Fields, event.Field{ID: id, Value: value})
		}
	}
	e.opts.Enrich(ev)
	for name, value := range e.flat(ev) {
		if slices.ContainsFunc(told, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			o.Fields[name] = value
		}
	}
}

// everywhere looks addresses up as somebody who may know of all tenants.
func (e *Engine) everywhere() verdict.Places {
	if e.opts.Places == nil {
		return nil
	}
	return func(zone, _ string, addr netip.Addr) verdict.Place { return e.opts.Places(zone, "", addr) }
}
