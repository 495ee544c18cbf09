package engine

import (
	"net/netip"

	judging "icewatch/detections/verdict"
	"icewatch/soc/event"
)

// place is what the CMDB knows of an address, for who attacks whom.
func (e *Engine) place(zone, tenant string, addr netip.Addr) judging.Place {
	x := e.pipe.Index()
	if x == nil {
		return judging.Place{}
	}
	p := x.Place(zone, tenant, addr)
	return judging.Place{Internal: p.Internal, Zone: p.Zone, Item: p.Item.ID, Name: p.Item.Name, System: p.Item.SystemName, Tenant: p.Tenant}
}

// enrich says of an event what the CMDB knows to its tenant.
func (e *Engine) enrich(ev *event.Event) {
	if x := e.pipe.Index(); x != nil {
		x.Apply(ev)
	}
}
