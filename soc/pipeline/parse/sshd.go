package parse

import (
	"strings"

	"icewatch/soc/event"
)

// sshd reads the messages of OpenSSH's server (auth.c, auth2.c, packet.c,
// sshd.c of its source, releases 3 to 10). Every line gets an action. Only the
// verdict on an attempt to sign in has the action ssh_login: the lines around
// it (invalid user, PAM, disconnect) have actions of their own, so that one
// attempt counts once.
//
// A user name is chosen by the peer and may hold anything, "from 10.0.0.1"
// too; addresses are therefore looked for from the end.
func (p *Parser) sshd(text string) bool {
	p.dataset("sshd.auth", "sshd")
	if n, inner, ok := repeated(text); ok {
		p.putNumber(p.names.repeat, n)
		text = inner
	}
	if hasPrefix(text, "error: ") || hasPrefix(text, "fatal: ") {
		word := text[:5]
		text = text[7:]
		if word == "fatal" {
			word = "critical"
		}
		p.putBetter(event.LogLevel, word)
	}
	text = strings.TrimSuffix(trimSpace(text), " [preauth]")
	if hasPrefix(text, "pam_") {
		return p.pamLine("sshd", text)
	}
	switch text[0] {
	case 'A':
		if hasPrefix(text, "Accepted ") {
			p.sshVerdict(text[len("Accepted "):], "success")
			return true
		}
	case 'F':
		if hasPrefix(text, "Failed ") {
			p.sshVerdict(text[len("Failed "):], "failure")
			return true
		}
	case 'P':
		switch {
		case hasPrefix(text, "Postponed "):
			p.sshVerdict(text[len("Postponed "):], "unknown")
			p.ev.Set(event.EventAction, "ssh_login_postponed")
			return true
		case hasPrefix(text, "Partial "):
			p.sshVerdict(text[len("Partial "):], "unknown")
			p.ev.Set(event.EventAction, "ssh_login_partial")
			return true
		case hasPrefix(text, "PAM "):
			return p.sshPAM(text)
		}
	case 'I', 'i':
		if hasPrefix(text, "Invalid user ") || hasPrefix(text, "Illegal user ") {
			user, tail, _ := sshFrom(text[len("Invalid user "):])
			p.ssh("ssh_invalid_user", "failure", "info")
			p.put(event.UserName, trimSpace(user))
			p.sshPeer(tail)
			return true
		}
		if rest, ok := strings.CutPrefix(text, "input_userauth_request: invalid user "); ok {
			p.ssh("ssh_invalid_user_request", "failure", "info")
			p.put(event.UserName, trimSpace(rest))
			return true
		}
	case 'm', 'M':
		if rest, ok := strings.CutPrefix(text, "maximum authentication attempts exceeded for "); ok {
			user, tail, _ := sshFrom(rest)
			p.ssh("ssh_max_attempts", "failure", "info")
			p.put(event.UserName, strings.TrimPrefix(user, "invalid user "))
			p.sshPeer(tail)
			return true
		}
	case 'C', 'D', 'R':
		if p.sshConnection(text) {
			return true
		}
	case 'U':
		if rest, ok := strings.CutPrefix(text, "User "); ok {
			return p.sshUser(rest)
		}
	case 'S':
		if rest, ok := strings.CutPrefix(text, "Server listening on "); ok {
			_, port, _ := strings.Cut(rest, " port ")
			p.ssh("ssh_server_started", "", "start")
			p.ev.Set(event.EventCategory, "process")
			port = strings.TrimSuffix(port, ".")
			if isPort(port) {
				p.putNumber(event.DestPort, port)
			}
			return true
		}
	}
	p.sshOther(text)
	return true
}

// ssh fills what all messages of the daemon have.
func (p *Parser) ssh(action, outcome, kind string) {
	p.put(event.EventAction, action)
	p.put(event.EventCategory, "authentication")
	p.put(event.EventType, kind)
	p.put(event.EventOutcome, outcome)
	p.put(event.NetworkProtocol, "ssh")
}

// sshVerdict reads "password for [invalid user ]NAME from ADDR port N ssh2[: KEY]".
func (p *Parser) sshVerdict(text, outcome string) {
	p.ssh("ssh_login", outcome, "start")
	method, rest, ok := strings.Cut(text, " for ")
	if !ok {
		return
	}
	p.put(p.names.sshMethod, method)
	user, tail, ok := sshFrom(rest)
	if !ok {
		user = rest
	}
	for _, prefix := range []string{"invalid user ", "illegal user "} {
		if name, found := strings.CutPrefix(user, prefix); found {
			user = name
			p.put(event.EventReason, "invalid user")
			break
		}
	}
	p.put(event.UserName, trimSpace(user))
	if rest := p.sshPeer(tail); rest != "" {
		if _, key, ok := strings.Cut(rest, ": "); ok {
			p.put(p.names.sshSignature, key)
		}
	}
}

// sshFrom splits "NAME from ADDR port N …" at the last " from " that an
// address with a port follows, else at the last one that ends the text so.
func sshFrom(s string) (before, tail string, ok bool) {
	without := -1
	for end := len(s); ; {
		i := strings.LastIndex(s[:end], " from ")
		if i < 0 {
			break
		}
		addr, rest := word(s[i+6:])
		if hasPrefix(rest, "port ") {
			return s[:i], s[i+6:], true
		}
		if without < 0 && (rest == "" || isIP(addr)) {
			without = i
		}
		end = i
	}
	switch {
	case without >= 0:
		return s[:without], s[without+6:], true
	case hasPrefix(s, "from "): // An empty name.
		return "", s[5:], true
	}
	return s, "", false
}

// sshPeer reads "ADDR[ port N][ …]" and returns what follows.
func (p *Parser) sshPeer(s string) string {
	if s == "" {
		return ""
	}
	addr, rest := word(s)
	addr = strings.TrimSuffix(addr, ":")
	if isIP(strings.TrimPrefix(addr, "::ffff:")) {
		p.putSource(addr)
	} else if addr != "UNKNOWN" {
		p.put(event.SourceAddress, addr)
		p.put(event.SourceDomain, addr)
	}
	if tail, ok := strings.CutPrefix(rest, "port "); ok {
		n := 0
		for n < len(tail) && isDigit(tail[n]) {
			n++
		}
		if isPort(tail[:n]) {
			p.putNumber(event.SourcePort, tail[:n])
		}
		rest = strings.TrimLeft(tail[n:], " ")
	}
	return rest
}

// sshConnection reads the messages about connections that come and go.
func (p *Parser) sshConnection(text string) bool {
	for _, c := range []struct{ prefix, action string }{
		{"Connection closed by ", "ssh_connection_closed"},
		{"Connection reset by ", "ssh_connection_reset"},
		{"Connection from ", "ssh_connection"},
		{"Disconnected from ", "ssh_disconnected"},
		{"Received disconnect from ", "ssh_disconnect"},
		{"Disconnecting ", "ssh_disconnecting"},
		{"Did not receive identification string from ", "ssh_no_identification"},
		{"Close session: user ", "ssh_session_closed"},
	} {
		rest, ok := strings.CutPrefix(text, c.prefix)
		if !ok {
			continue
		}
		p.ssh(c.action, "", "end")
		switch c.action {
		case "ssh_connection":
			p.ev.Set(event.EventType, "start")
			p.sshPeer(rest)
		case "ssh_no_identification":
			p.sshPeer(rest)
		case "ssh_session_closed":
			user, tail, _ := sshFrom(rest)
			p.put(event.UserName, user)
			p.sshPeer(tail)
		case "ssh_disconnect": // ADDR[ port N]: CODE: REASON
			reason := p.sshPeer(rest)
			p.put(event.EventReason, strings.TrimPrefix(reason, ":"))
		default:
			p.sshWho(rest)
		}
		return true
	}
	if rest, ok := strings.CutPrefix(text, "Disconnecting: "); ok {
		p.ssh("ssh_disconnecting", "", "end")
		if user, ok := strings.CutPrefix(rest, "Too many authentication failures for "); ok {
			user, tail, _ := sshFrom(user)
			p.put(event.UserName, user)
			p.sshPeer(tail)
			rest = rest[:len("Too many authentication failures")]
		}
		p.put(event.EventReason, rest)
		return true
	}
	return false
}

// sshWho reads "[authenticating |invalid ]user NAME ADDR port N[: REASON]" or
// the address alone.
func (p *Parser) sshWho(s string) {
	head := s
	if i := strings.LastIndex(s, " port "); i >= 0 {
		tail := s[i+6:]
		n := 0
		for n < len(tail) && isDigit(tail[n]) {
			n++
		}
		if isPort(tail[:n]) {
			p.putNumber(event.SourcePort, tail[:n])
		}
		if reason, ok := strings.CutPrefix(tail[n:], ": "); ok {
			p.put(event.EventReason, reason)
		}
		head = s[:i]
	}
	head, addr := lastWord(head)
	addr = strings.TrimSuffix(addr, ":")
	if isIP(strings.TrimPrefix(addr, "::ffff:")) {
		p.putSource(addr)
	} else if addr != "UNKNOWN" && addr != "" {
		p.put(event.SourceAddress, addr)
	}
	if head == "" {
		return
	}
	if i := strings.Index(head, "user "); i >= 0 {
		if kind := trimSpace(head[:i]); kind != "" && kind != "authenticating" {
			p.put(event.EventReason, kind+" user")
		}
		p.put(event.UserName, head[i+5:])
	}
}

// sshUser reads "NAME from HOST not allowed because …" and its kin.
func (p *Parser) sshUser(rest string) bool {
	if i := strings.Index(rest, " not allowed because "); i >= 0 {
		user, tail, ok := sshFrom(rest[:i])
		p.ssh("ssh_user_not_allowed", "failure", "denied")
		p.put(event.UserName, user)
		if ok {
			p.sshPeer(tail)
		}
		p.put(event.EventReason, rest[i+len(" not allowed because "):])
		return true
	}
	user, what := word(rest)
	p.ssh("ssh_message", "", "info")
	p.put(event.UserName, user)
	p.put(event.EventReason, what)
	return true
}

// sshPAM reads the lines in which the daemon speaks of PAM itself: "PAM 5 more
// authentication failures; …", "PAM service(sshd) ignoring max retries; 6 > 3",
// "PAM: Authentication failure for root from 10.0.0.1".
func (p *Parser) sshPAM(text string) bool {
	rest := text[len("PAM "):]
	n, after := word(rest)
	if isDigits(n) && hasPrefix(after, "more authentication failure") {
		p.ssh("pam_auth_more", "failure", "info")
		p.putNumber(p.names.repeat, n)
		p.pamPairs(after)
		return true
	}
	p.ssh("pam_message", "", "info")
	return true
}

// sshOther finds the peer in the less usual messages and names the usual ones
// among them.
func (p *Parser) sshOther(text string) {
	action, outcome := "ssh_message", ""
	switch {
	case hasPrefix(text, "reverse mapping checking getaddrinfo"), hasPrefix(text, "Address "), hasPrefix(text, "Nasty PTR record"):
		action = "ssh_reverse_mapping"
	case hasPrefix(text, "PAM: "):
		action, outcome = "pam_auth", "failure"
	case hasPrefix(text, "Unable to negotiate with "), hasPrefix(text, "Protocol major versions differ"):
		action, outcome = "ssh_negotiation_failed", "failure"
	case hasPrefix(text, "Bad protocol version identification"), hasPrefix(text, "banner exchange:"), hasPrefix(text, "kex_exchange_identification:"),
		hasPrefix(text, "kex_protocol_error"), hasPrefix(text, "Magic value check failed"), hasPrefix(text, "Bad packet length"):
		action, outcome = "ssh_bad_protocol", "failure"
	case hasPrefix(text, "Timeout before authentication"), hasPrefix(text, "Timeout, client not responding"):
		action, outcome = "ssh_timeout", "failure"
	case hasPrefix(text, "refused connect from "), hasPrefix(text, "drop connection "), hasPrefix(text, "beginning MaxStartups"), hasPrefix(text, "exited MaxStartups"):
		action, outcome = "ssh_connection_refused", "failure"
	case hasPrefix(text, "subsystem request for "):
		action = "ssh_subsystem"
	case hasPrefix(text, "Starting session: "):
		action = "ssh_session_started"
	case hasPrefix(text, "Authentication refused: "), hasPrefix(text, "ROOT LOGIN REFUSED"), hasPrefix(text, "Authentication tried for "), hasPrefix(text, "Authentication key "):
		action, outcome = "ssh_login_refused", "failure"
	}
	p.ssh(action, outcome, "info")
	if action == "ssh_reverse_mapping" {
		if i := indexByte(text, '['); i >= 0 {
			if n := indexByte(text[i:], ']'); n > 0 && isIP(text[i+1:i+n]) {
				p.put(event.SourceDomain, lastOf(trimSpace(text[:i])))
				p.putSource(text[i+1 : i+n])
				return
			}
		}
	}
	if _, tail, ok := strings.Cut(text, " by user "); ok && action == "ssh_subsystem" {
		p.put(event.UserName, strings.TrimSuffix(tail, ","))
	}
	if _, tail, ok := strings.Cut(text, " for "); ok && action == "ssh_session_started" {
		name, _ := word(tail)
		p.put(event.UserName, name)
	} else if _, tail, ok := strings.Cut(text, "failure for "); ok && action == "pam_auth" {
		user, _, _ := sshFrom(tail)
		p.put(event.UserName, strings.TrimPrefix(user, "illegal user "))
	}
	p.anyPeer(text)
}

func lastOf(s string) string {
	_, tail := lastWord(s)
	return tail
}

// anyPeer takes the first address among the words of text, with its port.
func (p *Parser) anyPeer(text string) {
	for rest := text; rest != ""; {
		var w string
		w, rest = word(rest)
		w = strings.Trim(w, "[](),;'\"")
		w = strings.TrimSuffix(w, ":")
		if len(w) < 3 {
			continue
		}
		if !isIP(w) {
			if i := strings.LastIndexByte(w, ':'); i > 0 && isPort(w[i+1:]) && isIP(strings.Trim(w[:i], "[]")) {
				p.putSource(strings.Trim(w[:i], "[]"))
				p.putNumber(event.SourcePort, w[i+1:])
				return
			}
			continue
		}
		p.putSource(w)
		if tail, ok := strings.CutPrefix(rest, "port "); ok {
			n := 0
			for n < len(tail) && isDigit(tail[n]) {
				n++
			}
			if isPort(tail[:n]) {
				p.putNumber(event.SourcePort, tail[:n])
			}
		}
		return
	}
}

// repeated reads rsyslog's "message repeated N times: [ TEXT]".
func repeated(text string) (n, inner string, ok bool) {
	rest, ok := strings.CutPrefix(text, "message repeated ")
	if !ok {
		return "", text, false
	}
	n, rest = word(rest)
	rest, ok = strings.CutPrefix(rest, "times: [")
	if !ok || !isDigits(n) {
		return "", text, false
	}
	inner = trimSpace(strings.TrimSuffix(trimSpace(rest), "]"))
	return n, inner, inner != ""
}

// putBetter puts a value in place of that
// of the syslog header: a program knows better how bad its message is.
func (p *Parser) putBetter(id event.FieldID, value string) {
	if p.soft {
		p.put(id, value)
		return
	}
	p.ev.Set(id, value)
}
