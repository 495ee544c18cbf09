package enrich

import (
	"net/netip"

	"icewatch/soc/event"
)

// criticalities are the values of icewatch.ci.criticality, made once.
var criticalities = [...]string{"0", "1", "2", "3", "4", "5"}

// Apply adds who and what to ev and returns the item the event is about, or nil
// where it is about none we know. ev.Tenant must be decided already: only items
// of that tenant, of the city and shared ones are named, so that a tenant's
// events tell it nothing of another's items.
//
// icewatch.source.* and icewatch.destination.* name the items at source.ip and
// destination.ip and whether the address is internal. icewatch.ci.* is the item
// the event is about:
//
//   - first the device is looked for that the event happened on: host.ip,
//     host.name, observer.ip, observer.name, and at last the sender's address
//     (icewatch.peer), unless that is labelled a relay;
//   - what a device merely watched passing by (event.category network or
//     intrusion_detection, and the device is neither end of it) is about the
//     destination where that is one of ours, else about the source where that
//     is: a scan seen by a firewall is about the server that is scanned, a
//     connection out is about the server that makes it;
//   - where no item is found at all, the event is about the business system
//     that stands for its tenant.
//
// icewatch.reach.* is what data scopes see of that item; without them the
// event counts as its tenant's.
//
// Fields of these names that came with the event are taken away first: only the
// CMDB says who is who. Beyond growing ev.Fields, Apply allocates nothing.
func (x *Index) Apply(ev *event.Event) *Item {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var (
		zoneName, hostName, observerName string
		source, dest, peer               netip.Addr
		hostIP, observerIP               = none, none
		watched, foreign                 bool
	)
	// One pass over the fields instead of a dozen.
	for i := range ev.Fields {
		f := &ev.Fields[i]
		switch f.ID {
		case event.Zone:
			zoneName = first(zoneName, f.Value)
		case event.HostName:
			hostName = first(hostName, f.Value)
		case event.ObserverName:
			observerName = first(observerName, f.Value)
		case event.EventCategory:
			watched = watched || f.Value == "network" || f.Value == "intrusion_detection"
		case event.SourceIP:
			source = firstAddr(source, f.Value)
		case event.DestIP:
			dest = firstAddr(dest, f.Value)
		case event.Peer:
			peer = firstAddr(peer, f.Value)
		default:
			foreign = foreign || f.ID >= event.CIID && f.ID <= event.DestInternal
		}
	}
	if foreign {
		strip(ev)
	}
	z := x.zoneOf(zoneName)
	for i := range ev.Fields {
		f := &ev.Fields[i]
		switch {
		case f.ID == event.HostIP && hostIP == none:
			hostIP = x.visible(z.byAddress(parseAddr(f.Value)), ev.Tenant)
		case f.ID == event.ObserverIP && observerIP == none:
			observerIP = x.visible(z.byAddress(parseAddr(f.Value)), ev.Tenant)
		}
	}

	device := hostIP
	if device == none {
		device = x.byName(hostName, zoneName, ev.Tenant)
	}
	if device == none {
		device = observerIP
	}
	if device == none {
		device = x.byName(observerName, zoneName, ev.Tenant)
	}
	if device == none {
		if i := x.visible(z.byAddress(peer), ev.Tenant); i != none && !x.relay[i] {
			device = i
		}
	}

	from := x.endpoint(ev, z, source, event.SourceCIID, event.SourceCIName, event.SourceCILabels, event.SourceInternal)
	to := x.endpoint(ev, z, dest, event.DestCIID, event.DestCIName, event.DestCILabels, event.DestInternal)

	about := device
	if watched && (device == none || device != from && device != to) {
		switch {
		case to != none:
			about = to
		case from != none:
			about = from
		}
	}
	if about == none {
		about = x.systemOf(ev.Tenant)
	}
	if about == none {
		return nil
	}
	it := x.items[about]
	add(ev, event.CIID, it.ID)
	add(ev, event.CIName, it.Name)
	add(ev, event.CIClass, it.Class)
	if it.Criticality > 0 && it.Criticality < len(criticalities) {
		ev.Fields = append(ev.Fields, event.Field{ID: event.CICriticality, Kind: event.Number, Value: criticalities[it.Criticality]})
	}
	add(ev, event.CIOwner, it.Owner)
	if it.Tenant != ev.Tenant {
		add(ev, event.CITenant, it.Tenant)
	}
	for _, l := range it.Labels {
		add(ev, event.CILabels, l)
	}
	add(ev, event.CISystem, it.SystemID)
	add(ev, event.CISystemName, it.SystemName)
	add(ev, event.ReachUnit, it.Unit)
	add(ev, event.ReachRegion, it.Region)
	add(ev, event.ReachIndustry, it.Industry)
	add(ev, event.ReachLabels, it.ReachLabels)
	return it
}

// endpoint adds what is known of one end of a connection and returns its item.
func (x *Index) endpoint(ev *event.Event, z *zone, addr netip.Addr, id, name, labels, internal event.FieldID) int32 {
	if !addr.IsValid() {
		return none
	}
	at := z.byAddress(addr)
	value := "false"
	if at != none || isInternal(z, addr) {
		value = "true"
	}
	ev.Fields = append(ev.Fields, event.Field{ID: internal, Kind: event.Bool, Value: value})
	at = x.visible(at, ev.Tenant)
	if at != none {
		it := x.items[at]
		add(ev, id, it.ID)
		add(ev, name, it.Name)
		for _, l := range it.Labels {
			add(ev, labels, l)
		}
	}
	return at
}

// isInternal tells whether an address is the city's: in a network of the zone,
// or of the ranges that are never routed on the Internet (RFC 1918, RFC 4193,
// loopback, link-local). A network of length 0 says nothing, it holds all.
func isInternal(z *zone, addr netip.Addr) bool {
	if _, bits, ok := z.network(addr); ok && bits > 0 {
		return true
	}
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
}

// strip takes away fields that only Apply may set.
func strip(ev *event.Event) {
	rest := ev.Fields[:0]
	for _, f := range ev.Fields {
		if f.ID < event.CIID || f.ID > event.DestInternal {
			rest = append(rest, f)
		}
	}
	ev.Fields = rest
}

func add(ev *event.Event, id event.FieldID, value string) {
	if value != "" {
		ev.Fields = append(ev.Fields, event.Field{ID: id, Value: value})
	}
}

func first(have, value string) string {
	if have != "" {
		return have
	}
	return value
}

func firstAddr(have netip.Addr, value string) netip.Addr {
	if have.IsValid() {
		return have
	}
	return parseAddr(value)
}

// parseAddr reads an address and drops its interface name, or returns the
// invalid one.
func parseAddr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}
