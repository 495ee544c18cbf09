package engine

import (
	"context"
	"net/netip"

	judging "icewatch/detections/verdict"
	"icewatch/soc/event"
	"icewatch/soc/geo"
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

// openPlaces opens the databases of where addresses are. Without them events are
// taken in as well: they say nothing of it then, and the log says why.
func (e *Engine) openPlaces() {
	if len(e.opts.GeoFiles) == 0 {
		return
	}
	x, err := geo.Open(geo.Options{Files: e.opts.GeoFiles, English: e.opts.GeoEnglish, Registry: e.reg, Log: e.log})
	if err != nil {
		e.log.Error("engine: events do not say where addresses are: a database is not usable; mend geo.files and start the suite again", "error", err)
		return
	}
	e.pipe.SetPlaces(x)
	e.geo = x
}

// runPlaces follows these files until ctx ends.
func (e *Engine) runPlaces(ctx context.Context) {
	if e.geo != nil {
		e.geo.Run(ctx)
	}
}
