package parse

import (
	"strings"

	"icewatch/soc/event"
)

// firewall reads what the kernel's LOG and nftables' log targets write
// (net/netfilter/nf_log_syslog.c): "[12.3] PREFIX IN=eth0 OUT= MAC=… SRC=…
// DST=… LEN=… TTL=… ID=… DF PROTO=TCP SPT=… DPT=… … SYN URGP=0", with UFW's
// and others' prefixes, for IPv4, IPv6 and ICMP.
func (p *Parser) firewall(text string) bool {
	i := strings.Index(text, "IN=")
	if i < 0 || i > 256 || strings.Index(text[i:], " OUT=") < 0 || strings.Index(text[i:], " SRC=") < 0 {
		return false
	}
	if i > 0 && text[i-1] != ' ' && text[i-1] != ':' && text[i-1] != ']' && text[i-1] != '-' {
		// PREFIXIN=: a prefix without a blank behind is common too, but not
		// any word that ends so, such as PHYSIN=.
		if hasPrefix(text[max(0, i-4):], "PHYS") {
			return false
		}
	}
	p.dataset("iptables.log", "iptables")
	p.put(event.EventCategory, "network")
	p.firewallAction(text[:i])

	in, out := "", ""
	var length, id bool
	for rest := text[i:]; rest != ""; {
		if rest[0] == '[' { // An ICMP error quotes the packet it is about.
			n := indexByte(rest, ']')
			if n < 0 {
				break
			}
			rest = strings.TrimLeft(rest[n+1:], " ")
			continue
		}
		var w string
		w, rest = word(rest)
		name, value, pair := strings.Cut(w, "=")
		if !pair {
			switch w {
			case "SYN", "ACK", "FIN", "RST", "PSH", "URG", "ECE", "CWR":
				p.ev.Fields = append(p.ev.Fields, event.Field{ID: p.names.flags, Value: w})
			}
			continue
		}
		if value == "" {
			continue
		}
		switch name {
		case "IN":
			in = value
		case "OUT":
			out = value
		case "MAC":
			p.frameHeader(value)
		case "SRC":
			p.put(event.SourceIP, value)
			if indexByte(value, ':') >= 0 {
				p.put(event.NetworkType, "ipv6")
			} else {
				p.put(event.NetworkType, "ipv4")
			}
		case "DST":
			p.put(event.DestIP, value)
		case "SPT":
			p.port(event.SourcePort, value)
		case "DPT":
			p.port(event.DestPort, value)
		case "PROTO":
			if t := transport(value); t != "" {
				p.put(event.NetworkTransport, t)
			} else {
				p.put(event.NetworkTransport, strings.ToLower(value))
			}
			if isDigits(value) {
				p.put(p.names.ianaNumber, value)
			}
		case "TYPE":
			p.number(p.names.icmpType, value)
		case "CODE":
			p.number(p.names.icmpCode, value)
		case "TTL", "HOPLIMIT":
			p.number(p.names.ttl, value)
		case "LEN":
			if !length { // UDP has a second one.
				length = true
				p.number(p.names.length, value)
				p.number(event.NetworkBytes, value)
			}
		case "ID":
			if !id { // ICMP has a second one.
				id = true
				p.number(p.names.packetID, value)
			}
		case "UID":
			p.put(event.UserID, value)
		}
	}
	p.put(event.ObserverIngress, in)
	p.put(event.ObserverEgress, out)
	switch {
	case in != "" && out == "":
		p.put(event.NetworkDirection, "ingress")
	case in == "" && out != "":
		p.put(event.NetworkDirection, "egress")
	}
	return true
}

func (p *Parser) port(id event.FieldID, value string) {
	if isPort(value) {
		p.putNumber(id, value)
	}
}

func (p *Parser) number(id event.FieldID, value string) {
	if isDigits(value) && len(value) < 19 {
		p.putNumber(id, value)
	}
}

// firewallAction turns the administrator's prefix into the action and, where
// its words say so, the verdict.
func (p *Parser) firewallAction(prefix string) {
	prefix = trimSpace(prefix)
	if hasPrefix(prefix, "[") { // The kernel's clock: [   203.842973]
		if n := indexByte(prefix, ']'); n > 0 && isClock(prefix[1:n]) {
			prefix = prefix[n+1:]
		}
	}
	prefix = strings.Trim(prefix, " :-_[]<>=*,;()\"'")
	if prefix == "" && p.program != "" && p.program != "kernel" && p.program != "ulogd" {
		prefix = p.program // "host FW-DROP: IN=…": the prefix stands where the program does.
	}
	if prefix == "" {
		p.put(event.EventAction, "packet")
		p.put(event.EventType, "connection")
		return
	}
	p.put(event.EventAction, prefix)
	p.put(event.RuleName, prefix)
	p.put(event.EventType, "connection")
	switch verdict(prefix) {
	case denied:
		p.ev.Fields = append(p.ev.Fields, event.Field{ID: event.EventType, Value: "denied"})
	case allowed:
		p.ev.Fields = append(p.ev.Fields, event.Field{ID: event.EventType, Value: "allowed"})
	}
}

// What a prefix says about the packet's fate.
const (
	unsaid = iota
	allowed
	denied
)

// verdict looks for the words by which administrators name a packet's fate.
func verdict(prefix string) int {
	for i := 0; i < len(prefix); {
		j := i
		for j < len(prefix) && (prefix[j]|0x20 >= 'a' && prefix[j]|0x20 <= 'z') {
			j++
		}
		switch w := prefix[i:j]; len(w) {
		case 0:
		case 4, 5, 6, 7, 8:
			for _, d := range [...]string{"drop", "dropped", "deny", "denied", "block", "blocked", "reject", "rejected", "discard"} {
				if strings.EqualFold(w, d) {
					return denied
				}
			}
			for _, a := range [...]string{"accept", "accepted", "allow", "allowed", "permit", "pass", "passed"} {
				if strings.EqualFold(w, a) {
					return allowed
				}
			}
		}
		i = j + 1
	}
	return unsaid
}

func isClock(s string) bool {
	s = trimSpace(s)
	whole, frac, ok := strings.Cut(s, ".")
	return ok && isDigits(whole) && isDigits(frac)
}

// frameHeader reads MAC=: destination, source and type of the Ethernet frame.
func (p *Parser) frameHeader(s string) {
	if len(s) >= 35 && s[17] == ':' {
		p.put(event.DestMAC, s[:17])
		p.put(event.SourceMAC, s[18:35])
	}
}
