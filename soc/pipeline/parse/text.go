package parse

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"unicode/utf8"
	"unsafe"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// maxBase64 bounds the texts whose bytes are kept as sent beside their
// repaired form, in bytes.
const maxBase64 = 32 << 10

// view shows bytes as a string without copying.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// sanitise returns the text of a record as it may be stored: valid UTF-8
// without NUL. What it must change it marks.
func (p *Parser) sanitise(data []byte) string {
	text := view(data)
	if !utf8.ValidString(text) {
		p.ev.Mark(MarkInvalidUTF8)
		if len(data) <= maxBase64 {
			p.put(p.names.originalBase64, base64.StdEncoding.EncodeToString(data))
		}
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	if strings.IndexByte(text, 0) >= 0 {
		p.ev.Mark(MarkNUL)
		text = strings.ReplaceAll(text, "\x00", `\u0000`)
	}
	// Repair can make a text longer than its record was.
	if len(text) > intake.MaxData {
		p.ev.Mark("truncated")
		text = cutText(text, intake.MaxData)
	}
	return text
}

// cutText returns a prefix of at most limit bytes that ends between characters.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func hasPrefix(s, prefix string) bool { return strings.HasPrefix(s, prefix) }

func indexByte(s string, c byte) int { return strings.IndexByte(s, c) }

// trimSpace cuts blanks and line ends off both sides.
func trimSpace(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t' || s[0] == '\r' || s[0] == '\n') {
		s = s[1:]
	}
	for s != "" {
		switch s[len(s)-1] {
		case ' ', '\t', '\r', '\n':
			s = s[:len(s)-1]
			continue
		}
		break
	}
	return s
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// isPort tells whether s is a port number.
func isPort(s string) bool { return len(s) <= 5 && isDigits(s) }

// isIP tells whether s is an address, without building an error where not.
func isIP(s string) bool {
	if len(s) < 2 || len(s) > 64 {
		return false
	}
	colons, dots := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ':':
			colons++
		case c == '.':
			dots++
		case c == '%':
			if colons < 2 {
				return false
			}
			i = len(s)
		case isDigit(c):
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			if colons == 0 && i > 3 {
				return false
			}
		default:
			return false
		}
	}
	if colons < 2 && dots != 3 {
		return false
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

// word returns the text up to the next blank, and what follows the blanks.
func word(s string) (head, rest string) {
	i := indexByte(s, ' ')
	if i < 0 {
		return s, ""
	}
	head, rest = s[:i], s[i+1:]
	for rest != "" && rest[0] == ' ' {
		rest = rest[1:]
	}
	return head, rest
}

// lastWord returns the text after the last blank, and what is before it.
func lastWord(s string) (rest, tail string) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}

func baseName(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 && i+1 < len(path) && path[0] == '/' {
		return path[i+1:]
	}
	return path
}

// arena hands out memory for the texts that had to be unescaped. It never
// takes memory back, so that texts live as long as someone holds them.
type arena struct{ buf []byte }

const arenaChunk = 32 << 10

// grab returns an empty slice with room for n bytes.
func (a *arena) grab(n int) []byte {
	if n > arenaChunk/4 {
		return make([]byte, 0, n)
	}
	if cap(a.buf)-len(a.buf) < n {
		a.buf = make([]byte, 0, arenaChunk)
	}
	return a.buf[len(a.buf):len(a.buf):cap(a.buf)]
}

// keep makes b, which grew from the last grab within its room, permanent.
func (a *arena) keep(b []byte) string {
	if cap(b) > 0 && len(a.buf) < cap(a.buf) && len(b) > 0 && unsafe.SliceData(b) == unsafe.SliceData(a.buf[len(a.buf):cap(a.buf)]) {
		a.buf = a.buf[:len(a.buf)+len(b)]
	}
	return view(b)
}

// peerNames remembers the text of senders' addresses.
type peerNames struct{ seen map[netip.Addr]string }

const maxPeerNames = 4096

func (n *peerNames) name(a netip.Addr) string {
	if s, ok := n.seen[a]; ok {
		return s
	}
	if n.seen == nil || len(n.seen) >= maxPeerNames {
		n.seen = make(map[netip.Addr]string)
	}
	s := a.Unmap().WithZone("").String()
	n.seen[a] = s
	return s
}

// names are the fields of this package that the registry does not know by
// constant.
type names struct {
	eventSequence, originalBase64, repeat                        event.FieldID
	sshMethod, sshSignature                                      event.FieldID
	ianaNumber, icmpType, icmpCode, ttl, length, packetID, flags event.FieldID
	sudoError, tty, remoteUser                                   event.FieldID
	connState, origHost, eventType, flowBytesToServer            event.FieldID
	winlogChannel, channel, eventID                              event.FieldID
	winlogEventID, winlogProvider, providerName, sourceName      event.FieldID
	windowsMessage, computer, hostname, winlogComputer           event.FieldID
	namespace, queryText, assigned                               event.FieldID
	pgSeverity, pgBackend, pgState, pgDatabase, pgRemote         event.FieldID
	dnsName, dnsType, dnsRegistered, zeekQuery, zeekQueryType    event.FieldID
	suricataQuery, suricataQueryType, suricataSource             event.FieldID
	sensor                                                       map[event.FieldID]sensorPart
	aliases                                                      map[string]event.FieldID
	stream                                                       event.FieldID
	gelf                                                         struct{ version, host, short, full, level event.FieldID }
	otel                                                         map[string]otelField
	observerVersion                                              event.FieldID
	exchange                                                     map[string]exchangeKey
	journalMessage, journalTransport, journalCursor, journalBoot event.FieldID
	journalSource, journalTime                                   event.FieldID
	journal                                                      map[event.FieldID]event.FieldID
}

func (n *names) init(reg *event.Registry) {
	id := func(name string) event.FieldID {
		id, _ := reg.Intern(name) // The registry is fresh at start: its limit is not reached.
		return id
	}
	n.eventSequence = id("event.sequence")
	n.observerVersion = id("observer.version")
	n.exchange = exchangeKeys(id)
	n.originalBase64 = id("icewatch.original_base64")
	n.repeat = id("icewatch.repeat")
	n.sshMethod = id("system.auth.ssh.method")
	n.sshSignature = id("system.auth.ssh.signature")
	n.sudoError = id("system.auth.sudo.error")
	n.tty = id("process.tty.name")
	n.remoteUser = id("system.auth.pam.remote_user")
	n.ianaNumber = id("network.iana_number")
	n.icmpType = id("iptables.icmp.type")
	n.icmpCode = id("iptables.icmp.code")
	n.ttl = id("iptables.ttl")
	n.length = id("iptables.length")
	n.packetID = id("iptables.id")
	n.flags = id("iptables.tcp.flags")
	n.connState = id("conn_state")
	n.origHost = id("id.orig_h")
	n.winlogChannel = id("winlog.channel")
	n.channel = id("Channel")
	n.eventID = id("EventID")
	n.winlogEventID = id("winlog.event_id")
	n.winlogProvider = id("winlog.provider_name")
	n.providerName = id("Provider_Name")
	n.sourceName = id("SourceName")
	n.windowsMessage = id("Message")
	n.computer = id("Computer")
	n.hostname = id("Hostname")
	n.winlogComputer = id("winlog.computer_name")
	n.eventType = id("event_type")
	n.flowBytesToServer = id("flow.bytes_toserver")
	n.namespace = id("db.namespace")
	n.queryText = id("db.query.text")
	n.pgSeverity = id("error_severity")
	n.pgBackend = id("backend_type")
	n.pgState = id("state_code")
	n.pgDatabase = id("dbname")
	n.pgRemote = id("remote_host")
	n.dnsName = id("dns.question.name")
	n.dnsType = id("dns.question.type")
	n.dnsRegistered = id("dns.question.registered_domain")
	n.zeekQuery = id("query")
	n.zeekQueryType = id("qtype_name")
	n.suricataQuery = id("dns.rrname")
	n.suricataQueryType = id("dns.rrtype")
	n.suricataSource = id("src_ip")
	n.assigned = id("vpn.assigned_ip")
	n.sensor = make(map[event.FieldID]sensorPart, len(sensorNames))
	for name, part := range sensorNames {
		n.sensor[id(name)] = part
	}
	n.journalMessage = id("MESSAGE")
	n.journalTransport = id("_TRANSPORT")
	n.journalCursor = id("__CURSOR")
	n.journalBoot = id("_BOOT_ID")
	n.journalSource = id("_SOURCE_REALTIME_TIMESTAMP")
	n.journalTime = id("__REALTIME_TIMESTAMP")
	n.journal = journalNames(id)
	n.aliases = aliases()
	n.stream = id("log.iostream")
	n.gelf.version, n.gelf.host, n.gelf.short = id("version"), id("host"), id("short_message")
	n.gelf.full, n.gelf.level = id("full_message"), id("level")
	n.otel = otelFields(id)
}

// numbers are the small numbers of syslog headers as text.
var numbers = func() (t [192]string) {
	for i := range t {
		t[i] = string(appendInt(nil, i))
	}
	return t
}()

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func smallNumber(n int) string { return numbers[n] }

var facilityNames = [24]string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

var severityNames = [8]string{"emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"}
