package engine

import (
	"net/netip"

	judging "icewatch/detections/verdict"
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
