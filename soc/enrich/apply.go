package enrich

import (
	"net/netip"
	"strings"

	"icewatch/soc/event"
)

// criticalities are the values of icewatch.ci.criticality, made once.
var criticalities = [...]string{"0", "1", "2", "3", "4", "5"}

// Apply adds who and what to ev and returns the id of the item the event is
// about, "" where it is about none we know. ev.Tenant must be decided already: only items
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
func (x *Index) Apply(ev *event.Event) (item string) {
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
		if i := x.visible(z.byAddress(peer), ev.Tenant); i != none && !x.items[i].relay {
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
		return ""
	}
	it := &x.items[about]
	id, name := x.idAndName(it)
	add(ev, event.CIID, id)
	add(ev, event.CIName, name)
	add(ev, event.CIClass, x.words.list[it.class])
	if it.criticality > 0 && int(it.criticality) < len(criticalities) {
		ev.Fields = append(ev.Fields, event.Field{ID: event.CICriticality, Kind: event.Number, Value: criticalities[it.criticality]})
	}
	add(ev, event.CIOwner, x.words.list[it.owner])
	if tenant := x.words.list[it.tenant]; tenant != ev.Tenant {
		add(ev, event.CITenant, tenant)
	}
	x.addLabels(ev, event.CILabels, it)
	system, facts := &x.owners.list[it.system], &x.facts.list[it.facts]
	add(ev, event.CISystem, system.id)
	add(ev, event.CISystemName, system.name)
	add(ev, event.ReachUnit, facts.unit)
	add(ev, event.ReachRegion, facts.region)
	add(ev, event.ReachIndustry, facts.industry)
	add(ev, event.ReachLabels, facts.labels)
	return id
}

func (x *Index) addLabels(ev *event.Event, id event.FieldID, it *record) {
	for l := range strings.SplitSeq(x.labels.list[it.labels], labelSeparator) {
		add(ev, id, l)
	}
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
		it := &x.items[at]
		itemID, itemName := x.idAndName(it)
		add(ev, id, itemID)
		add(ev, name, itemName)
		x.addLabels(ev, labels, it)
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
