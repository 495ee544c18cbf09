package parse

import (
	"strings"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/pack"
)

// byPrefix recognises the formats that name themselves: ArcSight's Common Event
// Format and IBM's Log Event Extended Format. A syslog header may have taken
// the name for a program.
func (p *Parser) byPrefix(text string) bool {
	i := strings.Index(text, "CEF:")
	switch {
	case i >= 0 && i <= 256:
		return p.cef(strings.TrimLeft(text[i+len("CEF:"):], " "))
	case p.program == "CEF":
		return p.cef(text)
	}
	if i = strings.Index(text, "LEEF:"); i >= 0 && i <= 256 {
		return p.leef(text[i+len("LEEF:"):])
	}
	if p.program == "LEEF" {
		return p.leef(text)
	}
	return false
}

// bars reads n parts that end at bars; a backslash protects a bar.
func (p *Parser) bars(s string, parts []string) (rest string, ok bool) {
	for i := range parts {
		end, escaped := -1, false
		for j := 0; j < len(s); j++ {
			if s[j] == '\\' {
				escaped = true
				j++
			} else if s[j] == '|' {
				end = j
				break
			}
		}
		if end < 0 {
			return s, false
		}
		if parts[i] = s[:end]; escaped {
			parts[i] = p.unescapeCEF(parts[i])
		}
		s = s[end+1:]
	}
	return s, true
}

// cef reads "0|vendor|product|version|signature|name|severity|extension"
// (ArcSight Common Event Format, version 0.1 and 1.x).
func (p *Parser) cef(text string) bool {
	var part [7]string
	rest, ok := p.bars(text, part[:])
	if !ok || !isDigits(strings.ReplaceAll(part[0], ".", "")) || len(part[0]) > 4 {
		return false
	}
	p.put(event.ObserverVendor, part[1])
	p.put(event.ObserverProduct, part[2])
	p.put(p.names.observerVersion, part[3])
	p.put(event.EventCode, part[4])
	p.put(event.RuleName, part[5])
	p.put(event.EventSeverity, cefSeverity(part[6]))
	p.base = len(p.ev.Fields)
	p.extension(rest)
	p.base = 0
	p.byMembers(pack.CEF)
	p.exchanged("cef")
	return true
}

// exchanged fills what is left to fill of an event in a format for exchange.
func (p *Parser) exchanged(module string) {
	p.settle()
	if p.ev.Has(event.SourceIP) && p.ev.Has(event.DestIP) {
		p.ev.SetDefault(event.EventCategory, "network")
	}
	p.dataset(module+".log", module)
}

// cefSeverity gives the words for severities their number.
func cefSeverity(s string) string {
	switch strings.ToLower(s) {
	case "low":
		return "3"
	case "medium":
		return "6"
	case "high":
		return "8"
	case "very-high", "critical":
		return "10"
	}
	if isDigits(s) && len(s) < 3 {
		return s
	}
	return ""
}

// extension reads key=value pairs whose values may hold blanks: a value ends
// where the next key begins.
func (p *Parser) extension(s string) {
	key, start := "", 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			j := i
			for j > start && isCEFKey(s[j-1]) {
				j--
			}
			if j == i || j > 0 && s[j-1] != ' ' {
				continue // An equals sign within a value that is not escaped.
			}
			if key != "" {
				p.extend(key, s[start:max(start, j-1)])
			}
			key, start = s[j:i], i+1
		}
	}
	if key != "" {
		p.extend(key, s[start:])
	}
}

func isCEFKey(c byte) bool { return isWordByte(c) || c == '.' || c == '-' || c == '[' || c == ']' }

// extend takes one pair of an extension, CEF's or LEEF's.
func (p *Parser) extend(key, value string) {
	value = trimSpace(value)
	if value == "" {
		return
	}
	if indexByte(value, '\\') >= 0 {
		value = p.unescapeCEF(value)
	}
	d := p.names.exchange[key]
	switch d.kind {
	case exchangeTime:
		if t, ok := anyTime(value, p.opts.Location, p.rec.Received); ok {
			p.setTime(t)
		}
		return
	case exchangeAddress:
		if isIP(value) {
			p.put(d.id, value)
			return
		}
	case exchangeNumber:
		if isDigits(value) && len(value) < 19 {
			p.putNumber(d.id, value)
			return
		}
	case exchangeOutcome:
		switch strings.ToLower(value) {
		case "success", "failure", "unknown":
			p.put(event.EventOutcome, strings.ToLower(value))
			return
		}
	case exchangeTransport:
		if t := transport(value); t != "" {
			p.put(event.NetworkTransport, t)
			return
		}
		p.put(event.NetworkProtocol, strings.ToLower(value))
		return
	case exchangeURL:
		p.target(value)
		return
	case exchangeText:
		p.put(d.id, value)
		return
	}
	p.free(key, value, event.String)
}

func (p *Parser) unescapeCEF(s string) string {
	b := p.arena.grab(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			switch s[i+1] {
			case '\\', '=', '|':
				i++
				c = s[i]
			case 'n':
				i++
				c = '\n'
			case 'r':
				i++
				c = '\r'
			}
		}
		b = append(b, c)
	}
	return p.arena.keep(b)
}

// leef reads "1.0|vendor|product|version|event|key=value⇥…", in version 2.0
// with the separator of the pairs as a sixth part: a character or x09.
func (p *Parser) leef(text string) bool {
	var part [5]string
	rest, ok := p.bars(trimSpace(text), part[:])
	if !ok || part[0] != "1.0" && part[0] != "2.0" && part[0] != "1" && part[0] != "2" {
		return false
	}
	separator := "\t"
	if part[0][0] == '2' {
		if given, after, ok := strings.Cut(rest, "|"); ok && len(given) <= 5 && !strings.Contains(given, "=") {
			rest = after
			separator = leefSeparator(given)
		}
	}
	p.put(event.ObserverVendor, part[1])
	p.put(event.ObserverProduct, part[2])
	p.put(p.names.observerVersion, part[3])
	p.put(event.EventCode, part[4])
	p.base = len(p.ev.Fields)
	if !strings.Contains(rest, separator) && strings.Count(rest, "=") > 1 {
		p.extension(rest) // Relays turn tabs into blanks.
	} else {
		for pair := range strings.SplitSeq(rest, separator) {
			if key, value, ok := strings.Cut(pair, "="); ok {
				p.extend(trimSpace(key), value)
			}
		}
	}
	p.base = 0
	p.byMembers(pack.LEEF)
	p.exchanged("leef")
	return true
}

func leefSeparator(s string) string {
	switch {
	case len(s) == 1:
		return s
	case hasPrefix(s, "0x") || hasPrefix(s, "x"):
		n := 0
		for _, c := range []byte(strings.TrimPrefix(strings.TrimPrefix(s, "0"), "x")) {
			d := strings.IndexByte("0123456789abcdef", c|0x20)
			if isDigit(c) {
				d = int(c - '0')
			}
			if d < 0 {
				return "\t"
			}
			n = n<<4 | d
		}
		if n > 0 && n < 0x80 {
			return string(rune(n))
		}
	}
	return "\t"
}

// What the keys of the formats for exchange are.
const (
	exchangeOther = iota
	exchangeText
	exchangeAddress
	exchangeNumber
	exchangeTime
	exchangeOutcome
	exchangeTransport
	exchangeURL
)

type exchangeKey struct {
	id   event.FieldID
	kind int
}

// exchangeKeys maps the dictionaries of CEF (Micro Focus, "Extension
// Dictionary") and of LEEF (IBM, "Predefined LEEF event attributes") to ECS.
func exchangeKeys(id func(string) event.FieldID) map[string]exchangeKey {
	m := map[string]exchangeKey{}
	add := func(kind int, field, keys string) {
		for _, k := range strings.Fields(keys) {
			m[k] = exchangeKey{id(field), kind}
		}
	}
	add(exchangeAddress, "source.ip", "src c6a2")
	add(exchangeAddress, "destination.ip", "dst c6a3")
	add(exchangeAddress, "observer.ip", "dvc")
	add(exchangeAddress, "source.nat.ip", "sourceTranslatedAddress srcPostNAT")
	add(exchangeAddress, "destination.nat.ip", "destinationTranslatedAddress dstPostNAT")
	add(exchangeNumber, "source.port", "spt srcPort")
	add(exchangeNumber, "destination.port", "dpt dstPort")
	add(exchangeNumber, "source.nat.port", "sourceTranslatedPort srcPostNATPort")
	add(exchangeNumber, "destination.nat.port", "destinationTranslatedPort dstPostNATPort")
	add(exchangeNumber, "source.bytes", "in srcBytes")
	add(exchangeNumber, "destination.bytes", "out dstBytes")
	add(exchangeNumber, "source.packets", "srcPackets")
	add(exchangeNumber, "destination.packets", "dstPackets")
	add(exchangeNumber, "process.pid", "spid dvcpid")
	add(exchangeNumber, "file.size", "fsize")
	add(exchangeNumber, "event.severity", "sev")
	add(exchangeTransport, "network.transport", "proto")
	add(exchangeOutcome, "event.outcome", "outcome")
	add(exchangeTime, "@timestamp", "rt devTime deviceReceiptTime")
	add(exchangeURL, "url.original", "request url")
	add(exchangeText, "event.action", "act")
	add(exchangeText, "event.reason", "reason")
	add(exchangeText, "message", "msg")
	add(exchangeText, "network.application", "app")
	add(exchangeText, "user.name", "suser usrName")
	add(exchangeText, "user.id", "suid")
	add(exchangeText, "user.domain", "sntdom")
	add(exchangeText, "user.target.name", "duser")
	add(exchangeText, "user.target.id", "duid")
	add(exchangeText, "source.domain", "shost")
	add(exchangeText, "destination.domain", "dhost")
	add(exchangeText, "source.mac", "smac srcMAC")
	add(exchangeText, "destination.mac", "dmac dstMAC")
	add(exchangeText, "host.name", "dvchost identHostName")
	add(exchangeText, "http.request.method", "requestMethod")
	add(exchangeText, "user_agent.original", "requestClientApplication")
	add(exchangeText, "http.request.referrer", "requestContext")
	add(exchangeText, "file.name", "fname")
	add(exchangeText, "file.path", "filePath")
	add(exchangeText, "process.name", "sproc")
	add(exchangeText, "rule.category", "cat")
	add(exchangeText, "rule.ruleset", "policy")
	add(exchangeText, "observer.ingress.interface.name", "deviceInboundInterface")
	add(exchangeText, "observer.egress.interface.name", "deviceOutboundInterface")
	return m
}
