package engine

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"icewatch/detections"
	"icewatch/detections/verdict"
)

// city tells whether the rule counts over tenants.
func (c *compiled) city() bool { return c.Correlation != nil && c.Custom.Scope == "city" }

// within tells whether the events of a tenant count for the correlation.
func (c *compiled) within(tenant string) bool {
	return len(c.Custom.Tenants) == 0 || slices.Contains(c.Custom.Tenants, tenant)
}

// others are the fields by which enrichment tells of configuration items. What
// they hold is for those who see the event, which is of one tenant.
var others = []string{"icewatch.ci.", "icewatch.source.ci.", "icewatch.destination.ci."}

// settle gives the firing of a rule that counts over tenants to the tenant whose
// machine is the victim, wherever the event came from that met the condition:
// the log of the city's firewall tells of an attack on a bureau's server, and
// the bureau has to see it. What the CMDB said of other machines to those who
// see that event does not go along. Where the victim is nobody's, the firing
// stays with the event's tenant.
func (e *Engine) settle(c *compiled, o *detections.Occurrence) {
	j := e.set.Taxonomy().Judge(&c.class, o, e.everywhere())
	if j.Victim == nil || j.Victim.Tenant == "" || j.Victim.Tenant == o.Tenant {
		return
	}
	o.Tenant = j.Victim.Tenant
	maps.DeleteFunc(o.Fields, func(name, _ string) bool {
		return slices.ContainsFunc(others, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
	o.Fields["icewatch.tenant"] = o.Tenant
	if j.Victim.Item != "" {
		o.Fields["icewatch.ci.id"], o.Fields["icewatch.ci.name"], o.Fields["icewatch.ci.tenant"] = j.Victim.Item, j.Victim.Name, o.Tenant
		if j.Victim.System != "" {
			o.Fields["icewatch.ci.system.name"] = j.Victim.System
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
