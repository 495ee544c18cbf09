// Package parse turns raw records into events: it reads the syslog header,
// recognises what the message is (JSON, key=value, sshd, sudo, web access,
// firewall, …) and fills the fields of the Elastic Common Schema. Recognition
// dispatches on the program's name and the first bytes; there is no cascade of
// patterns, and values are substrings of the raw text.
package parse

import (
	"time"

	"icewatch/soc/event"
	"icewatch/soc/event/flatjson"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
)

// Marks that parsing puts on events (icewatch.marks).
const (
	MarkInvalidUTF8    = "invalid_utf8"    // invalid bytes were replaced by U+FFFD; icewatch.original_base64 has the bytes as sent, up to maxBase64
	MarkNUL            = "nul_bytes"       // each NUL byte was replaced by the six characters \u0000
	MarkBadJSON        = "bad_json"        // a record announced as JSON was not, and is kept as text
	MarkFieldsOverflow = "fields_overflow" // fields beyond the limit are in icewatch.overflow
	MarkBadTime        = "bad_time"        // @timestamp cannot be read and is kept as icewatch.time_original
	MarkReserved       = "reserved_field"  // fields whose names are the suite's own are in icewatch.overflow
	MarkFieldsCut      = "fields_cut"      // field values were cut to keep the row storable; event.original has them whole
	MarkInvalidValue   = "invalid_value"   // a value cannot be what its field holds, such as an address that is none, and was left out
)

// Options tune a Parser. The zero value gives the defaults.
type Options struct {
	// Location is the zone of times sent without one; nil is the server's own.
	Location *time.Location
	// MaxFields bounds the fields an event may get from its content; 0 is 500.
	MaxFields int
	// MaxDepth bounds how deep JSON is flattened; what lies deeper is kept as
	// JSON text in one field. 0 is 16.
	MaxDepth int
	// MaxRow bounds the bytes of raw text and field values together; 0 is
	// 960 KiB, which leaves room for enrichment in the lake's row of 1 MiB.
	MaxRow int
	// Packs are the parser packs in force; nil is none.
	Packs *pack.Live
}

// Parser fills events from records. It keeps scratch memory: use one Parser
// per goroutine.
type Parser struct {
	reg  *event.Registry
	opts Options

	ev      *event.Event
	rec     *intake.Record
	soft    bool // keep the fields that are there
	timed   bool // the text gave a time
	content int  // fields taken from free-form content so far
	base    int  // fields that the header gave, which content may supersede
	depth   int  // how many messages within messages
	program string

	jsonTime     string
	jsonTimeRank int
	deferred     []event.Field // values for ECS fields, where nothing better fills them

	flat     *flatjson.Decoder
	names    names
	recent   [64]knownName // by the number of fields before
	arena    arena
	path     []byte
	overflow overflow
	peers    peerNames
	labels   labelCache
	metadata labelCache
	channels map[string]string // dataset by Windows' channel
	headings headings
	matched  pack.Match
	writer   packWriter
	unread   bool
	isGELF   bool
	xmlParts []xmlPart
	journal  bool // it is an entry of the journal
}

// New returns a Parser that interns field names with reg.
func New(reg *event.Registry, opts Options) *Parser {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	if opts.MaxFields <= 0 {
		opts.MaxFields = 500
	}
	if opts.MaxDepth <= 0 {
		opts.MaxDepth = 16
	}
	if opts.MaxRow <= 0 {
		opts.MaxRow = 960 << 10
	}
	p := &Parser{reg: reg, opts: opts, channels: map[string]string{}}
	p.writer.p = p
	// Texts reach us without NUL bytes, and must leave us without; control
	// characters that programs forget to escape are no reason to lose fields.
	p.flat = flatjson.New(flatjson.Options{MaxDepth: opts.MaxDepth, DeepText: true, DropEmpty: true, Controls: true, NULText: true})
	p.names.init(reg)
	return p
}

// Parse fills ev from rec: Time, Created, Raw and Fields, which it expects
// empty (Event.Reset). It never fails: what cannot be recognised is kept as a
// message. ID, Tenant, zone, collector and peer are the pipeline's to fill.
//
// Time is the time the text gives, else rec.Time, else rec.Received; whether
// that is a plausible time is the pipeline's to judge. Raw and the field
// values point into rec.Data: it must not change for as long as ev is used.
func (p *Parser) Parse(rec *intake.Record, ev *event.Event) {
	p.ev, p.rec = ev, rec
	p.soft, p.timed, p.content, p.base, p.depth, p.program = false, false, 0, 0, 0, ""
	p.deferred, p.unread, p.journal, p.isGELF = p.deferred[:0], false, false, false
	p.overflow.reset()

	ev.Created = rec.Received
	ev.Time = rec.Received
	if rec.Time != 0 {
		ev.Time = rec.Time
	}
	for _, m := range rec.Marks {
		ev.Mark(m)
	}
	if rec.Aside != "" {
		p.put(event.Aside, rec.Aside)
	}
	if rec.ID != "" {
		p.put(event.SenderID, rec.ID)
	}
	raw := p.sanitise(rec.Data)
	ev.Raw = raw

	switch rec.Format {
	case intake.JSON:
		if !p.json(raw) {
			ev.Mark(MarkBadJSON)
			p.putMessage(raw)
			p.dataset("json.log", "json")
		}
	case intake.Syslog:
		p.syslog(raw)
	case intake.Flow:
		p.otherwise(p.flow(raw), raw)
	case intake.OTLPLog:
		p.otherwise(p.otlpLog(raw), raw)
	case intake.OTLPSpan:
		p.otherwise(p.otlpSpan(raw), raw)
	default:
		p.line(raw)
	}
	if len(rec.Attrs) > 0 {
		p.attributes(rec.Attrs)
	}
	if p.overflow.used() {
		p.put(event.Overflow, p.overflow.text())
	}
	p.fit()
	p.ev, p.rec = nil, nil
}

// otherwise keeps a record as text that is not of the shape which its collector
// writes.
func (p *Parser) otherwise(read bool, raw string) {
	if !read {
		p.ev.Mark(MarkBadJSON)
		p.putMessage(raw)
		p.dataset("generic.log", "generic")
	}
}

// Unrecognised tells whether nothing but the header of the latest record was
// read, so that a pack for its source is wanted.
func (p *Parser) Unrecognised() bool { return p.unread }

// line recognises one text without a known header.
func (p *Parser) line(text string) {
	if hasPrefix(text, "<?xml") && p.windowsXML(text) {
		p.putMessage(text)
		return
	}
	if p.heading(text) {
		return
	}
	if rest, ok := p.container(text); ok {
		p.message(rest)
		return
	}
	if h, ok := bareHeader(text, p.opts.Location, p.rec.Received); ok {
		p.header(&h)
		p.message(h.msg)
		return
	}
	p.message(text)
}

// container reads what container runtimes put before a line in the files that
// they keep (Kubernetes' CRI): TIME stdout|stderr F|P, where P is a part of a
// longer line.
func (p *Parser) container(text string) (rest string, ok bool) {
	if text == "" || !isDigit(text[0]) {
		return text, false
	}
	at := indexByte(text, ' ')
	if at < 20 || len(text) < at+10 || text[at+7] != ' ' || text[at+8] != 'F' && text[at+8] != 'P' || text[at+9] != ' ' {
		return text, false
	}
	stream := text[at+1 : at+7]
	if stream != "stdout" && stream != "stderr" {
		return text, false
	}
	c, tail, isTime := isoTime(text[:at])
	if !isTime || tail != "" {
		return text, false
	}
	t, ok := c.moment(p.opts.Location, p.rec.Received)
	if !ok {
		return text, false
	}
	p.setTime(t)
	p.put(p.names.stream, stream)
	return text[at+10:], true
}

// syslog reads a message that came over a syslog listener.
func (p *Parser) syslog(text string) {
	h := scanHeader(text, p.opts.Location, p.rec.Received)
	p.header(&h)
	p.message(h.msg)
}

// header fills the fields of a syslog header.
func (p *Parser) header(h *header) {
	if h.pri >= 0 {
		facility, severity := h.pri>>3, h.pri&7
		p.putNumber(event.SyslogPriority, smallNumber(h.pri))
		p.putNumber(event.SyslogFacility, smallNumber(facility))
		p.put(event.SyslogFacilityName, facilityNames[facility])
		p.putNumber(event.SyslogSeverity, smallNumber(severity))
		p.put(event.SyslogSeverityName, severityNames[severity])
		p.put(event.LogLevel, severityNames[severity])
	}
	if h.timed && !(p.soft && p.timed) {
		p.setTime(h.time)
	}
	if h.version != "" {
		p.putNumber(event.SyslogVersion, h.version)
	}
	if h.host != "" {
		p.put(event.SyslogHostname, h.host)
		p.put(event.HostName, h.host)
		if isIP(h.host) {
			p.put(event.HostIP, h.host)
		}
	} else if p.rec.Format == intake.Syslog && p.rec.Peer.IsValid() {
		// RFC 3164, 4.3.2: a relay names the sender by its address where the
		// message does not.
		name := p.peers.name(p.rec.Peer)
		p.put(event.HostName, name)
		p.put(event.HostIP, name)
	}
	if h.app != "" {
		p.program = h.app
		p.put(event.SyslogAppname, h.app)
		p.put(event.ProcessName, baseName(h.app))
	}
	if h.pid != "" {
		p.put(event.SyslogProcID, h.pid)
		if isDigits(h.pid) {
			p.putNumber(event.ProcessPID, h.pid)
		}
	}
	if h.msgid != "" {
		p.put(event.SyslogMsgID, h.msgid)
	}
	if h.sequence != "" {
		p.putNumber(p.names.eventSequence, h.sequence)
	}
	if h.sd != "" {
		p.structuredData(h.sd)
	}
}

// message recognises the text behind a header.
func (p *Parser) message(text string) {
	text = trimSpace(text)
	if text == "" {
		p.putMessage(text)
		p.dataset("syslog.log", "syslog")
		return
	}
	if text[0] == '{' || hasPrefix(text, "@cee:") {
		body := text
		if text[0] == '@' {
			body = trimSpace(text[len("@cee:"):])
		}
		if p.json(body) {
			return
		}
	}
	if text[0] == '<' && p.windowsXML(text) {
		p.putMessage(text)
		return
	}
	if p.byProgram(text) || p.byShape(text) || p.byPack(text) || p.byPrefix(text) {
		p.putMessage(text)
		return
	}
	p.putMessage(text)
	p.unread = !p.keyValues(text) && !p.soft
	if p.soft {
		return
	}
	if p.program != "" || p.rec.Format == intake.Syslog {
		p.dataset("syslog.log", "syslog")
		return
	}
	p.dataset("generic.log", "generic")
}

// byProgram dispatches on the name of the program that wrote the line.
func (p *Parser) byProgram(text string) bool {
	if p.program == "" {
		return false
	}
	name := baseName(p.program)
	// Old PAM writes the module beside the program: sshd(pam_unix)[123].
	if i := indexByte(name, '('); i > 0 {
		module := name[i:]
		name = name[:i]
		p.ev.Set(event.ProcessName, name)
		if hasPrefix(module, "(pam_") {
			return p.pam(name, "", text)
		}
	}
	switch name {
	case "sshd", "sshd-session", "sshd-auth":
		// Junos names the messages of its own server.
		return !hasPrefix(text, "SSHD_") && p.sshd(text)
	case "sudo":
		return p.sudo(text)
	case "kernel":
		return p.firewall(text)
	case "nginx":
		return p.access(text, "nginx") || p.nginxError(text)
	case "apache", "apache2", "httpd":
		return p.access(text, "apache") || p.apacheError(text)
	case "named":
		return p.named(text)
	case "dnsmasq":
		return p.dnsmasq(text)
	case "unbound":
		return p.unbound(text)
	case "openvpn":
		return p.openvpn(text)
	case "mysql-server_auditing":
		return p.serverAudit(text)
	case "mysqld", "mariadbd", "mysql":
		return p.mysqlDenied(text)
	case "postgres", "postgresql":
		return p.postgresql(text)
	}
	if hasPrefix(text, "pam_") {
		return p.pamLine(name, text)
	}
	return false
}

// byShape dispatches on the first bytes, for lines without a program's name.
func (p *Parser) byShape(text string) bool {
	if p.access(text, "") {
		return true
	}
	switch c := text[0]; {
	case c == '[':
		if p.apacheError(text) {
			return true
		}
	case c >= '0' && c <= '9':
		if p.nginxError(text) || p.serverAuditFile(text) || p.mysqlDenied(text) {
			return true
		}
	}
	return p.firewall(text)
}

// dataset names what the event was recognised as.
func (p *Parser) dataset(dataset, module string) {
	if p.ev.Has(event.EventDataset) {
		return
	}
	p.ev.Add(event.EventDataset, dataset)
	p.put(event.EventModule, module)
}

func (p *Parser) setTime(t int64) {
	p.ev.Time = t
	p.timed = true
}

// put appends a value, except where the event already has one and the present
// text is a second opinion.
func (p *Parser) put(id event.FieldID, value string) {
	if value == "" || id == 0 || p.soft && p.ev.Has(id) {
		return
	}
	p.ev.Fields = append(p.ev.Fields, event.Field{ID: id, Value: value})
}

func (p *Parser) putNumber(id event.FieldID, value string) {
	if value == "" || id == 0 || p.soft && p.ev.Has(id) {
		return
	}
	p.ev.Fields = append(p.ev.Fields, event.Field{ID: id, Kind: event.Number, Value: value})
}

func (p *Parser) putMessage(text string) {
	if text != "" && !p.ev.Has(event.Message) {
		p.ev.Add(event.Message, text)
	}
}

// putAddress fills the address fields of one side: its IP where text is one,
// else its domain.
func (p *Parser) putAddress(ip, domain, address event.FieldID, text string) {
	if text == "" {
		return
	}
	p.put(address, text)
	if isIP(text) {
		p.put(ip, text)
	} else {
		p.put(domain, text)
	}
}

func (p *Parser) putSource(text string) {
	if hasPrefix(text, "::ffff:") && isIP(text[7:]) {
		text = text[7:]
	}
	p.putAddress(event.SourceIP, event.SourceDomain, event.SourceAddress, text)
}

// fit cuts field values where raw text and fields together exceed a row. The
// raw text has them whole.
func (p *Parser) fit() {
	size := len(p.ev.Raw)
	for i := range p.ev.Fields {
		size += len(p.ev.Fields[i].Value)
	}
	if size <= p.opts.MaxRow {
		return
	}
	p.ev.Mark(MarkFieldsCut)
	for _, keep := range []int{32 << 10, 4 << 10, 256} {
		for i := range p.ev.Fields {
			f := &p.ev.Fields[i]
			if len(f.Value) > keep && f.ID != event.Aside {
				size -= len(f.Value)
				f.Value = cutText(f.Value, keep)
				size += len(f.Value)
				if size <= p.opts.MaxRow {
					return
				}
			}
		}
	}
}
