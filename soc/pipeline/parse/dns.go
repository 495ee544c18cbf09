package parse

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"icewatch/soc/event"
)

// question fills what all records of a question to a name server have.
func (p *Parser) question(dataset, product, client, name, kind string) {
	p.dataset(dataset, product)
	p.put(event.EventAction, "dns_query")
	p.put(event.EventCategory, "network")
	p.put(event.EventType, "protocol")
	p.put(event.NetworkProtocol, "dns")
	p.putSource(client)
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	p.put(p.names.dnsName, name)
	p.put(p.names.dnsType, kind)
	// The name that somebody registered: what stands below it is their own doing.
	// Not every question is for such a name.
	if len(name) <= 253 {
		if registered, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
			p.put(p.names.dnsRegistered, registered)
		}
	}
}

// named reads a line of BIND's query log: "queries: info: client @0x7f06
// 10.1.2.3#5353 (example.com): query: example.com IN TXT +E(0)K (10.0.0.53)"
// (lib/ns/query.c, log_query).
func (p *Parser) named(text string) bool {
	i := strings.Index(text, "client ")
	j := strings.Index(text, ": query: ")
	if i < 0 || j < i {
		return false
	}
	client := text[i+len("client "):]
	if hasPrefix(client, "@") {
		_, client = word(client)
	}
	client, _, ok := strings.Cut(client, "#")
	if !ok || !isIP(client) {
		return false
	}
	name, rest := word(text[j+len(": query: "):])
	class, rest := word(rest)
	kind, _ := word(rest)
	if class != "IN" || kind == "" {
		return false
	}
	p.question("bind.query", "bind", client, name, kind)
	return true
}

// dnsmasq reads "query[TXT] example.com from 10.1.2.3", with the request's
// number and the client before it where log-queries=extra is set.
func (p *Parser) dnsmasq(text string) bool {
	_, rest, ok := strings.Cut(text, "query[")
	if !ok {
		return false
	}
	kind, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return false
	}
	name, client, ok := strings.Cut(rest, " from ")
	if !ok || strings.ContainsAny(name, " ") || !isIP(client) {
		return false
	}
	p.question("dnsmasq.query", "dnsmasq", client, name, kind)
	return true
}

// unbound reads "[812:0] info: 10.1.2.3 example.com. TXT IN".
func (p *Parser) unbound(text string) bool {
	_, rest, ok := strings.Cut(text, " info: ")
	if !ok {
		return false
	}
	client, rest := word(rest)
	name, rest := word(rest)
	kind, rest := word(rest)
	class, _ := word(rest)
	if !isIP(client) || class != "IN" {
		return false
	}
	p.question("unbound.query", "unbound", client, name, kind)
	return true
}

// sensorDNS gives a record of Zeek's dns.log and of Suricata's dns events the
// fields that questions have. Their own members stay as they are.
func (p *Parser) sensorDNS() {
	if p.ev.Has(event.EventDataset) {
		return
	}
	if name := p.ev.Text(p.names.zeekQuery); name != "" && p.ev.Has(p.names.zeekQueryType) && p.ev.Has(p.names.origHost) {
		p.question("zeek.dns", "zeek", p.ev.Text(p.names.origHost), name, p.ev.Text(p.names.zeekQueryType))
		return
	}
	if p.ev.Text(p.names.eventType) == "dns" {
		if name := p.ev.Text(p.names.suricataQuery); name != "" {
			p.question("suricata.dns", "suricata", p.ev.Text(p.names.suricataSource), name, p.ev.Text(p.names.suricataQueryType))
		}
	}
}
