package parse

import (
	"strconv"
	"strings"

	"icewatch/soc/event"
)

// gelf gives a record of the Graylog Extended Log Format
// (https://go2docs.graylog.org/current/getting_in_log_data/gelf.html) the
// fields that such records mean: a version of 1.x, a host and a short_message
// make one. The message is the long one where there is one; level is syslog's
// severity, unless a sender writes a word there; additional fields lose the
// underscore that marks them where nobody else has the name. A line within is
// recognised as any message within JSON is.
func (p *Parser) gelf(first int) {
	var version, host, short, full, level string
	for i := first; i < len(p.ev.Fields); i++ {
		switch f := &p.ev.Fields[i]; f.ID {
		case p.names.gelf.version:
			version = f.Value
		case p.names.gelf.host:
			host = f.Value
		case p.names.gelf.short, event.Message:
			short = f.Value
		case p.names.gelf.full:
			full = f.Value
		case p.names.gelf.level:
			level = f.Value
		}
	}
	if !hasPrefix(version, "1.") || host == "" || short == "" {
		return
	}
	kept := p.ev.Fields[:first]
	for _, f := range p.ev.Fields[first:] {
		name := p.reg.Name(f.ID)
		switch {
		case f.ID == p.names.gelf.version, f.ID == p.names.gelf.host, f.ID == p.names.gelf.short, f.ID == p.names.gelf.full:
			continue
		case f.ID == event.Message && full != "":
			f.Value = full
		case len(name) > 1 && name[0] == '_' && !reserved(name[1:]):
			if id, ok := p.reg.Lookup(name[1:]); ok {
				f.ID = id
			} else if id, ok := p.reg.Intern(strings.Clone(name[1:])); ok {
				f.ID = id
			}
			if target := p.names.aliases[name[1:]]; target != 0 {
				p.deferred = append(p.deferred, event.Field{ID: target, Kind: f.Kind, Value: f.Value})
			}
		}
		kept = append(kept, f)
	}
	p.ev.Fields = kept
	if !p.ev.Has(event.Message) {
		message := short
		if full != "" {
			message = full
		}
		p.ev.Add(event.Message, message)
	}
	p.ev.SetDefault(event.HostName, host)
	if n, err := strconv.Atoi(level); err == nil && n >= 0 && n < len(severityNames) {
		p.deferred = deferredExcept(p.deferred, event.LogLevel)
		p.putNumber(event.SyslogSeverity, smallNumber(n))
		p.put(event.SyslogSeverityName, severityNames[n])
		p.ev.SetDefault(event.LogLevel, severityNames[n])
	}
	p.isGELF = true
}

// deferredExcept drops what content says of a field.
func deferredExcept(list []event.Field, id event.FieldID) []event.Field {
	kept := list[:0]
	for _, f := range list {
		if f.ID != id {
			kept = append(kept, f)
		}
	}
	return kept
}
