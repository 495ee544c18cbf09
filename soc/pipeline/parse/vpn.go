package parse

import (
	"strings"

	"icewatch/soc/event"
)

// openvpn reads who came over the server's tunnel, from where, and which
// address the tunnel gave: "li/203.0.113.9:50310 MULTI_sva: pool returned
// IPv4=10.8.0.6, IPv6=(Not enabled)" (OpenVPN's src/openvpn/multi.c). What else
// the daemon says stays text.
func (p *Parser) openvpn(text string) bool {
	who, rest, ok := strings.Cut(text, " MULTI_sva: pool returned IPv4=")
	if !ok {
		return false
	}
	user, peer, ok := strings.Cut(who, "/")
	if !ok {
		return false
	}
	given, _, _ := strings.Cut(rest, ",")
	p.dataset("openvpn.log", "openvpn")
	p.put(event.EventAction, "vpn_connected")
	p.put(event.EventCategory, "network")
	p.put(event.EventCategory, "session")
	p.put(event.EventType, "start")
	p.put(event.EventOutcome, "success")
	p.put(event.UserName, user)
	if i := strings.LastIndexByte(peer, ':'); i > 0 && isPort(peer[i+1:]) && peer[i+1:] != "" {
		p.putNumber(event.SourcePort, peer[i+1:])
		peer = peer[:i]
	}
	p.putSource(strings.Trim(peer, "[]"))
	if isIP(given) {
		p.put(p.names.assigned, given)
	}
	return true
}
