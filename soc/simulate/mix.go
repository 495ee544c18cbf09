package simulate

import (
	"fmt"
	"net/netip"
	"time"

	"icewatch/soc/intake"
)

// Mix returns n messages of the city's everyday telemetry as the collectors hand
// them over at a time, in the order of sending: syslog messages, documents of
// _bulk and lines of Loki. The same seed gives the same messages.
func Mix(seed int64, n int, at time.Time) []intake.Record {
	b := newBackground(NewCity(seed, ""), fmt.Sprintf("mix-%d", seed))
	list := make([]intake.Record, n)
	for i := range list {
		o := b.next(at)
		r := intake.Record{Peer: netip.MustParseAddr("127.0.0.1"), Received: at.UnixNano()}
		switch o.channel {
		case ChannelElastic:
			r.Collector, r.Format, r.Tenant, r.Data = "elastic-bulk", intake.JSON, o.entry.tenant, o.entry.line
		case ChannelLoki:
			r.Collector, r.Format, r.Tenant, r.Data = "loki-push", intake.Line, o.entry.tenant, o.entry.line
		default:
			r.Collector, r.Format = "syslog-tcp", intake.Syslog
			r.Data = syslogHeader(o.modern, o.facility, o.severity, o.host.Name, o.app, o.pid, o.text, at)
		}
		list[i] = r
	}
	return list
}

// NetFlow returns export packets of NetFlow v9 with so many flows each, two for
// each connection, as the city's border firewall sends them. The first holds the
// template too.
func NetFlow(seed int64, packets, flows int, at time.Time) [][]byte {
	c := NewCity(seed, "")
	b := newBackground(c, "flows")
	s := &flowSender{exporter: netip.MustParseAddr(b.host(RoleFirewall).Address), domain: uint32(seed), started: at.Add(-time.Hour)}
	var waiting []connection
	var list [][]byte
	for len(list) < packets {
		for len(waiting) < flows/2 {
			o := b.next(at)
			if o.channel != ChannelElastic && o.channel != ChannelLoki {
				waiting = append(waiting, c.connections(o.host, o.app, o.text, b.rnd)...)
			}
		}
		list = append(list, s.message(waiting[:flows/2], at))
		waiting = waiting[flows/2:]
	}
	return list
}
