package pipeline

import (
	"net/netip"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
)

// exporter decides who exported a flow: the sender, or, behind a relay, the
// device that the flow names. Any other sender is the device itself, whatever
// it names.
func (p *Pipeline) exporter(ev *event.Event, peer netip.Addr, relayed bool) netip.Addr {
	if !relayed && peer.IsValid() {
		ev.Set(event.ObserverIP, p.addresses.name(peer))
		return peer
	}
	addr, err := netip.ParseAddr(ev.Text(event.ObserverIP))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// flowTenant tells whose a flow is that a device of everybody's exported: that
// of the end that serves, else that of the end that asks. A device that the
// CMDB does not know decides nothing: anybody can send datagrams.
func flowTenant(x *enrich.Index, zone string, exporter netip.Addr, ev *event.Event) (slug string, ok bool) {
	if !x.Known(zone, exporter) {
		return "", false
	}
	for _, end := range [...]event.FieldID{event.ServerIP, event.ClientIP} {
		addr, err := netip.ParseAddr(ev.Text(end))
		if err != nil {
			continue
		}
		if slug, ok := x.Tenant(zone, addr, ""); ok {
			return slug, true
		}
	}
	return "", false
}

// direct says how a flow lies to the city's networks: which way it was through
// an interface, as exporters say it, is in the raw record.
func direct(rec *intake.Record, ev *event.Event) {
	if rec.Format != intake.Flow && ev.Text(event.EventDataset) != parse.DatasetSensor || !ev.Has(event.SourceInternal) || !ev.Has(event.DestInternal) {
		return
	}
	from, to := ev.Text(event.SourceInternal) == "true", ev.Text(event.DestInternal) == "true"
	switch {
	case from && to:
		ev.Set(event.NetworkDirection, "internal")
	case from:
		ev.Set(event.NetworkDirection, "outbound")
	case to:
		ev.Set(event.NetworkDirection, "inbound")
	default:
		ev.Set(event.NetworkDirection, "external")
	}
}
