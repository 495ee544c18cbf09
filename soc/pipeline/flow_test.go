package pipeline

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/intake"
)

func TestWhoseAFlowIs(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	x, err := enrich.NewIndex(enrich.Snapshot{
		Networks: []enrich.Network{{Zone: "gov", CIDR: "10.1.0.0/16", Tenant: "seal"}, {Zone: "gov", CIDR: "10.2.0.0/16", Tenant: "hall"}},
		Items: []enrich.Item{
			{ID: "r1", Class: "network_device", Name: "border", Zone: "gov", Addresses: []string{"10.90.0.1"}},
			{ID: "r2", Class: "network_device", Name: "hall-sw", Tenant: "hall", Zone: "gov", Addresses: []string{"10.90.0.2"}},
			{ID: "h1", Class: "host", Name: "seal-web-1", Tenant: "seal", Zone: "gov", Addresses: []string{"10.1.0.5"}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	p.SetIndex(x)
	f := func(what, peer, agent, from string, fromPort int, to string, toPort int, tenant, observer, direction string) {
		t.Helper()
		text := fmt.Sprintf(`{"type":"sflow","exporter":%q,"agent":%q,"domain":0,"sequence":1,"flow":{"sourceIPv4Address":%q,"destinationIPv4Address":%q,`+
			`"sourceTransportPort":%d,"destinationTransportPort":%d,"protocolIdentifier":6,"octetDeltaCount":100,"packetDeltaCount":1}}`, peer, agent, from, to, fromPort, toPort)
		ev := fill(p, intake.Record{Zone: "gov", Format: intake.Flow, Peer: netip.MustParseAddr(peer), Received: time.Now().UnixNano(), Data: []byte(text)})
		if ev.Tenant != tenant || ev.Text(event.ObserverIP) != observer || ev.Text(event.NetworkDirection) != direction || ev.Has(event.Marks) {
			t.Errorf("%s: tenant %q, observer %q, direction %q, marks %q; want %q, %q, %q", what, ev.Tenant, ev.Text(event.ObserverIP), ev.Text(event.NetworkDirection), ev.Text(event.Marks), tenant, observer, direction)
		}
	}
	f("of a tenant's exporter", "10.90.0.2", "10.90.0.2", "203.0.113.9", 50000, "10.1.0.5", 443, "hall", "10.90.0.2", "inbound")
	f("of everybody's: of the end that serves", "10.90.0.1", "10.90.0.1", "203.0.113.9", 50000, "10.1.0.5", 443, "seal", "10.90.0.1", "inbound")
	f("the way back", "10.90.0.1", "10.90.0.1", "10.1.0.5", 443, "203.0.113.9", 50000, "seal", "10.90.0.1", "outbound")
	f("else of the end that asks", "10.90.0.1", "10.90.0.1", "10.2.0.9", 50000, "203.0.113.9", 443, "hall", "10.90.0.1", "outbound")
	f("between two tenants", "10.90.0.1", "10.90.0.1", "10.2.0.9", 50000, "10.1.0.5", 443, "seal", "10.90.0.1", "internal")
	f("a stranger decides nothing", "203.0.113.66", "10.90.0.1", "10.2.0.9", 50000, "10.1.0.5", 443, Unassigned, "203.0.113.66", "internal")
	f("a relay hands on the agent", "127.0.0.1", "10.90.0.1", "203.0.113.9", 50000, "10.1.0.5", 443, "seal", "10.90.0.1", "inbound")
	f("between strangers", "10.90.0.1", "10.90.0.1", "203.0.113.9", 50000, "203.0.113.10", 443, Unassigned, "10.90.0.1", "external")
}
