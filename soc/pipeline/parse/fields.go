package parse

import (
	"strings"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// maxName bounds the name of a field from content, in bytes.
const maxName = 256

// free adds a field that content names: a JSON member, a key=value pair, a
// parameter of structured data. Fields over the limits go to the overflow.
// name may be scratch; value must last.
func (p *Parser) free(name, value string, kind event.Kind) {
	k := &p.recent[p.content%len(p.recent)]
	if k.name != name {
		*k = knownName{}
	}
	if p.admit(k, name, value, kind, reserved(name)) {
		p.place(k, value, kind)
	}
}

// admit tells whether content may give the event one more field by this name,
// and knows the name then. Where it may not, the field goes to the overflow.
func (p *Parser) admit(k *knownName, name, value string, kind event.Kind, reserved bool) bool {
	mark := ""
	switch {
	case reserved && !(p.rec.Collector == intake.Own && (hasPrefix(name, "icewatch.audit.") || name == "icewatch.repeat")):
		mark = MarkReserved
	case p.content >= p.opts.MaxFields || name == "" || len(name) > maxName || k.id == 0 && !p.know(k, name):
		mark = MarkFieldsOverflow
	default:
		return true
	}
	p.overflow.add(name, value, kind)
	p.ev.Mark(mark)
	return false
}

// place adds a field.
func (p *Parser) place(k *knownName, value string, kind event.Kind) {
	id := k.id
	if k.target == event.Message && kind == event.String && !p.ev.Has(event.Message) {
		id = event.Message // To keep the longest text of an event twice would be waste.
	}
	if p.base > 0 && p.hadBefore(id) {
		if p.soft {
			return
		}
		p.supersede(id)
	}
	p.content++
	p.ev.Fields = append(p.ev.Fields, event.Field{ID: id, Kind: kind, Value: value})
	if k.target != 0 && kind != event.Null && id != event.Message {
		p.deferred = append(p.deferred, event.Field{ID: k.target, Kind: kind, Value: value})
	}
}

// knownName is what there is to know of a field's name.
type knownName struct {
	name   string
	id     event.FieldID
	target event.FieldID // the ECS field that many programs mean by the name; 0 is none
}

// know looks a name up. Events of one kind have the same names in the same
// order, so each place remembers its last one. It returns false where the
// registry takes no more names.
func (p *Parser) know(k *knownName, name string) bool {
	id, ok := p.reg.Lookup(name)
	if !ok {
		if id, ok = p.reg.Intern(strings.Clone(name)); !ok {
			return false
		}
	}
	*k = knownName{p.reg.Name(id), id, p.names.aliases[name]}
	return true
}

// hadBefore tells whether the event had the field before the present content.
func (p *Parser) hadBefore(id event.FieldID) bool {
	for i := range p.ev.Fields[:p.base] {
		if p.ev.Fields[i].ID == id {
			return true
		}
	}
	return false
}

// supersede removes what the header said about a field that content names
// itself.
func (p *Parser) supersede(id event.FieldID) {
	kept := p.ev.Fields[:0]
	for i, f := range p.ev.Fields {
		if i < p.base && f.ID == id {
			continue
		}
		kept = append(kept, f)
	}
	p.base -= len(p.ev.Fields) - len(kept)
	p.ev.Fields = kept
}

// settle gives the usual short names of content their ECS fields, where
// nothing better filled these.
func (p *Parser) settle() {
	for _, f := range p.deferred {
		switch f.ID {
		case event.SourceIP, event.DestIP:
			if !isIP(f.Value) {
				continue
			}
		case event.SourcePort, event.DestPort:
			if !isPort(f.Value) {
				continue
			}
			f.Kind = event.Number
		case event.ProcessPID:
			if !isDigits(f.Value) {
				continue
			}
			f.Kind = event.Number
		case event.HTTPResponseStatus:
			if len(f.Value) != 3 || !isDigits(f.Value) {
				continue
			}
			f.Kind = event.Number
		case event.NetworkTransport:
			if f.Value = transport(f.Value); f.Value == "" {
				continue
			}
			f.Kind = event.String
		default:
			f.Kind = event.String
		}
		if f.Value != "" && !p.ev.Has(f.ID) {
			p.ev.Fields = append(p.ev.Fields, f)
		}
	}
	p.deferred = p.deferred[:0]
}

// reserved tells whether a name belongs to the suite or to its lake, so that
// no sender can forge it.
func reserved(name string) bool {
	if name == "" {
		return false
	}
	switch name[0] {
	case 'i':
		return hasPrefix(name, "icewatch.")
	case 'e':
		return name == "event.id" || name == "event.original" || name == "event.created" || name == "event.ingested"
	case '_':
		return name == "_time" || name == "_msg" || hasPrefix(name, "_stream")
	case '@':
		return name == "@timestamp"
	}
	return false
}

// aliases maps names that many programs use to the ECS field they mean.
func aliases() map[string]event.FieldID {
	m := make(map[string]event.FieldID, 128)
	for id, list := range map[event.FieldID]string{
		event.Message:            "msg log short_message",
		event.HostName:           "host hostname host_name host.hostname devname Computer ComputerName Hostname winlog.computer_name",
		event.LogLevel:           "level lvl severity loglevel log_level",
		event.LogLogger:          "logger",
		event.ServiceName:        "service service_name app application",
		event.SourceIP:           "src_ip srcip src source_ip sourceip client_ip clientip remote_addr remote_ip remoteip remip sip client.ip source.address client.address IpAddress SourceIp winlog.event_data.IpAddress winlog.event_data.SourceIp",
		event.SourcePort:         "src_port srcport sport spt source_port remote_port IpPort SourcePort winlog.event_data.IpPort winlog.event_data.SourcePort",
		event.DestIP:             "dst_ip dstip dst dest_ip destination_ip destip server_ip dip destination.address DestinationIp winlog.event_data.DestinationIp",
		event.DestPort:           "dst_port dstport dport dpt dest_port destination_port DestinationPort winlog.event_data.DestinationPort",
		event.UserName:           "user username user_name usr srcuser remote_user",
		event.EventAction:        "action act",
		event.EventOutcome:       "outcome",
		event.HTTPRequestMethod:  "method request_method http_method",
		event.HTTPResponseStatus: "status status_code http_status",
		event.URLOriginal:        "uri request_uri",
		event.UserAgentOriginal:  "user_agent http_user_agent useragent",
		event.NetworkTransport:   "proto protocol",
		event.ProcessPID:         "pid",
		event.ErrorMessage:       "err error",
	} {
		for _, name := range strings.Fields(list) {
			m[name] = id
		}
	}
	return m
}

// transport writes the names of transports the way ECS does.
func transport(s string) string {
	switch s {
	case "TCP", "tcp", "6":
		return "tcp"
	case "UDP", "udp", "17":
		return "udp"
	case "ICMP", "icmp", "1":
		return "icmp"
	case "ICMPv6", "IPv6-ICMP", "ipv6-icmp", "icmpv6", "58":
		return "ipv6-icmp"
	case "SCTP", "sctp", "132":
		return "sctp"
	case "GRE", "gre", "47":
		return "gre"
	case "ESP", "esp", "50":
		return "esp"
	case "AH", "ah", "51":
		return "ah"
	case "IGMP", "igmp", "2":
		return "igmp"
	case "UDPLITE", "udplite", "136":
		return "udplite"
	}
	return ""
}

// overflow collects the fields over the limit as one JSON object. Values of
// one name that follow each other become an array.
type overflow struct {
	buf   []byte
	last  string // name of the latest member
	start int    // where its value starts
	array bool
}

func (o *overflow) reset() { *o = overflow{} }

func (o *overflow) used() bool { return len(o.buf) > 0 }

func (o *overflow) add(name, value string, kind event.Kind) {
	if len(o.buf) > 0 && name == o.last {
		if !o.array {
			o.array = true
			o.buf = append(o.buf, 0)
			copy(o.buf[o.start+1:], o.buf[o.start:])
			o.buf[o.start] = '['
		}
		o.buf = append(o.buf, ',')
		o.value(value, kind)
		return
	}
	if len(o.buf) == 0 {
		o.buf = append(o.buf, '{')
	} else {
		o.close()
		o.buf = append(o.buf, ',')
	}
	o.last = strings.Clone(name)
	o.buf = event.AppendJSON(o.buf, name)
	o.buf = append(o.buf, ':')
	o.start = len(o.buf)
	o.value(value, kind)
}

func (o *overflow) close() {
	if o.array {
		o.buf = append(o.buf, ']')
		o.array = false
	}
}

func (o *overflow) value(value string, kind event.Kind) {
	switch kind {
	case event.Number, event.Bool:
		o.buf = append(o.buf, value...)
	case event.Null:
		o.buf = append(o.buf, "null"...)
	default:
		o.buf = event.AppendJSON(o.buf, value)
	}
}

func (o *overflow) text() string {
	o.close()
	return string(append(o.buf, '}'))
}
