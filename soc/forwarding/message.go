package forwarding

import (
	"strconv"
	"strings"
)

// structuredID names our structured data. 32473 is the enterprise number that
// IANA has set aside for those who have none (RFC 5612).
const structuredID = "icewatch@32473"

// The longest parts of a message in characters (RFC 5424, 6).
const (
	maxHostname = 255
	maxAppName  = 48
	maxProcID   = 128
	maxMsgID    = 32
	maxParam    = 32
)

// messages writes events as syslog messages (RFC 5424).
type messages struct {
	host     string // for events that name none
	facility int    // of events that did not come by syslog
	cef      bool   // the text is CEF and there is no structured data
}

// append writes one message: its head from what the event says of its sender,
// its fields as structured data, its message as text.
func (m *messages) append(b []byte, e *Event) []byte {
	facility := m.facility
	if n, err := strconv.Atoi(e.text("log.syslog.facility.code")); err == nil && n >= 0 && n <= 23 {
		facility = n
	}
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(facility*8+severityOf(e)), 10)
	b = append(b, ">1 "...)
	b = e.Time.AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	host := e.first("host.name", "log.syslog.hostname", "observer.name", "host.ip")
	if host == "" {
		host = m.host
	}
	b = appendWord(b, host, maxHostname)
	b = appendWord(b, e.first("log.syslog.appname", "process.name", "service.name", "event.dataset"), maxAppName)
	b = appendWord(b, e.first("log.syslog.procid", "process.pid"), maxProcID)
	b = appendWord(b, e.first("log.syslog.msgid", "event.code", "event.action"), maxMsgID)
	if m.cef {
		return appendCEF(append(b, " - "...), e)
	}
	b = append(b, " ["+structuredID...)
	b = appendParam(b, "event.id", e.Key)
	for i := range e.fields {
		if f := &e.fields[i]; f.name != "message" && paramName(f.name) {
			b = appendParam(b, f.name, f.value)
		}
	}
	b = append(b, ']')
	if text := e.text("message"); text != "" {
		b = append(append(b, ' '), text...)
	}
	return b
}

// appendWord writes a part of the head: printable ASCII without spaces, "-"
// where there is none.
func appendWord(b []byte, s string, most int) []byte {
	b = append(b, ' ')
	n := len(b)
	for i := 0; i < len(s) && len(b)-n < most; i++ {
		if s[i] > ' ' && s[i] <= '~' {
			b = append(b, s[i])
		}
	}
	if len(b) == n {
		b = append(b, '-')
	}
	return b
}

// paramName tells whether a name can be one of structured data.
func paramName(s string) bool {
	return len(s) <= maxParam && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '=' || r == ']' || r == '"' })
}

// appendParam writes one parameter; '"', '\' and ']' are escaped.
func appendParam(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	for i := 0; i < len(value); i++ {
		if c := value[i]; c == '"' || c == '\\' || c == ']' {
			b = append(b, '\\')
		}
		b = append(b, value[i])
	}
	return append(b, '"')
}

// severities are the severities of syslog by the words of log.level.
var severities = map[string]int{"emerg": 0, "emergency": 0, "panic": 0, "alert": 1, "crit": 2, "critical": 2, "fatal": 2, "err": 3, "error": 3, "warn": 4, "warning": 4,
	"notice": 5, "info": 6, "information": 6, "informational": 6, "debug": 7, "trace": 7}

// severityOf is the event's severity in syslog's numbers; 6, informational,
// where it says none.
func severityOf(e *Event) int {
	if n, err := strconv.Atoi(e.text("log.syslog.severity.code")); err == nil && n >= 0 && n <= 7 {
		return n
	}
	if n, ok := severities[strings.ToLower(e.first("log.level", "log.syslog.severity.name"))]; ok {
		return n
	}
	return 6
}

// cefKeys are the keys of CEF's extension and the fields that fill them.
var cefKeys = []struct{ key, field string }{
	{"act", "event.action"}, {"app", "network.protocol"}, {"cat", "event.category"}, {"deviceExternalId", "observer.name"}, {"dhost", "destination.domain"},
	{"dst", "destination.ip"}, {"dpt", "destination.port"}, {"duser", "user.target.name"}, {"dvchost", "host.name"}, {"fname", "file.name"}, {"filePath", "file.path"},
	{"in", "destination.bytes"}, {"out", "source.bytes"}, {"outcome", "event.outcome"}, {"proto", "network.transport"}, {"reason", "event.reason"}, {"request", "url.original"},
	{"requestClientApplication", "user_agent.original"}, {"requestMethod", "http.request.method"}, {"shost", "source.domain"}, {"spid", "process.pid"}, {"sproc", "process.name"},
	{"spt", "source.port"}, {"src", "source.ip"}, {"suser", "user.name"}, {"cs1", "icewatch.tenant"}, {"cs2", "event.dataset"}, {"cs3", "rule.name"},
}

// appendCEF writes an event in ArcSight's Common Event Format, version 0.
func appendCEF(b []byte, e *Event) []byte {
	b = append(b, "CEF:0|icewatch|icewatch|1"...)
	name := e.first("rule.name", "event.action", "message")
	for _, part := range []string{e.first("event.code", "rule.id", "event.dataset"), clip(name, 500)} {
		b = append(b, '|')
		b = appendEscaped(b, part, "|")
	}
	b = append(b, '|')
	b = strconv.AppendInt(b, int64([...]int{10, 9, 8, 7, 5, 3, 2, 0}[severityOf(e)]), 10)
	b = append(b, "|rt="...)
	b = strconv.AppendInt(b, e.Time.UnixMilli(), 10)
	b = appendEscaped(append(b, " externalId="...), e.Key, "=")
	for _, k := range cefKeys {
		v := e.text(k.field)
		if v == "" {
			continue
		}
		b = append(append(append(b, ' '), k.key...), '=')
		b = appendEscaped(b, v, "=")
		if label, ok := map[string]string{"cs1": "tenant", "cs2": "dataset", "cs3": "rule"}[k.key]; ok {
			b = append(b, " "+k.key+"Label="+label...)
		}
	}
	if text := e.text("message"); text != "" {
		b = appendEscaped(append(b, " msg="...), text, "=")
	}
	return b
}

// appendEscaped writes a value of CEF: '\' and the separator are escaped, line
// ends are written as \n and \r.
func appendEscaped(b []byte, s, separator string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' || c == separator[0]:
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return b
}
