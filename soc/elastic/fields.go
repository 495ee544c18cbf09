package elastic

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// kind is the type of a field as mappings name it.
type kind string

// The types that fields have here. The lake keeps text; the type says how a
// field is compared and how its values are shown.
const (
	keyword kind = "keyword"
	text    kind = "match_only_text"
	long    kind = "long"
	double  kind = "double"
	date    kind = "date"
	ip      kind = "ip"
	boolean kind = "boolean"
)

// Names of fields that mean something of their own.
const (
	fieldTime     = "@timestamp"
	fieldID       = "_id"
	fieldIndex    = "_index"
	columnID      = "event.id"
	columnSender  = "icewatch.sender_id"
	columnIndex   = "icewatch.index"
	columnDataset = "event.dataset"
	columnTenant  = "icewatch.tenant"
	columnType    = "data_stream.type"
	columnRaw     = "event.original"
)

// types are the fields of ECS 9 and of the suite that are no keywords, by their
// whole names.
var types = byName(map[kind]string{
	text: "message error.message event.original icewatch.overflow",
	long: "event.duration event.sequence event.severity log.offset log.origin.file.line log.syslog.priority log.syslog.facility.code " +
		"log.syslog.severity.code http.response.status_code process.exit_code process.uptime process.thread.id as.number source.as.number " +
		"destination.as.number client.as.number server.as.number dns.answers.ttl host.uptime network.packets network.bytes " +
		"icewatch.ci.criticality icewatch.flow.sampling icewatch.flow.bytes icewatch.flow.packets icewatch.flow.source.bytes " +
		"icewatch.flow.destination.bytes icewatch.flow.tcp_flags icewatch.flow.icmp.type icewatch.flow.icmp.code icewatch.flow.tos " +
		"icewatch.flow.sequence",
	double:  "event.risk_score event.risk_score_norm host.cpu.usage vulnerability.score.base",
	date:    "@timestamp event.created event.ingested event.start event.end process.start process.end file.accessed file.created file.ctime file.mtime package.installed icewatch.time_original",
	boolean: "process.interactive tls.established tls.resumed tls.client.supported icewatch.source.internal icewatch.destination.internal",
	ip:      "related.ip dns.resolved_ip",
})

// lastTypes are types by the last part of the name, as ECS has them wherever
// its field sets are nested.
var lastTypes = byName(map[kind]string{
	long: "bytes packets port pid ppid pgid size",
	ip:   "ip",
	date: "not_before not_after",
})

func byName(of map[kind]string) map[string]kind {
	m := map[string]kind{}
	for k, names := range of {
		for name := range strings.FieldsSeq(names) {
			m[name] = k
		}
	}
	return m
}

// lists are the fields that ECS keeps as arrays.
var lists = func() map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq("tags event.category event.type host.ip host.mac observer.ip observer.mac related.ip related.user related.hosts related.hash " +
		"process.args process.parent.args dns.header_flags dns.resolved_ip dns.answers.data dns.answers.name file.attributes container.image.tag user.roles " +
		"icewatch.marks rule.author threat.tactic.id threat.tactic.name threat.technique.id threat.technique.name vulnerability.category") {
		m[name] = true
	}
	return m
}()

// typeOf is the type of a field.
func typeOf(name string) kind {
	if k, ok := types[name]; ok {
		return k
	}
	if strings.HasPrefix(name, "labels.") {
		return keyword
	}
	if k, ok := lastTypes[name[strings.LastIndexByte(name, '.')+1:]]; ok {
		return k
	}
	return keyword
}

// resolved is a field as a query names it: its column in the lake and the type
// that counts. What mappings know as multi-fields is the field itself, whole
// (.keyword) or by its words (.text).
func resolved(name string) (column string, k kind) {
	if base, ok := strings.CutSuffix(name, ".keyword"); ok && base != "" {
		if k := typeOf(base); k != text {
			return columnOf(base), k
		}
		return columnOf(base), keyword
	}
	if base, ok := strings.CutSuffix(name, ".text"); ok && base != "" {
		return columnOf(base), text
	}
	return columnOf(name), typeOf(name)
}

func columnOf(name string) string {
	if name == fieldTime {
		return "_time"
	}
	return name
}

// quote writes a text or name for LogsQL.
func quote(s string) string { return strconv.Quote(s) }

// typed is a stored value in the type of its field; like is the value that the
// sender gave, nil where that is not known, and decides where the field is of
// no known type.
func typed(k kind, value string, like *fastjson.Value) any {
	if len(value) > 1 && value[0] == '[' && value[len(value)-1] == ']' && (like == nil || like.Type() == fastjson.TypeArray) {
		if list, ok := elements(k, value); ok {
			return list
		}
	}
	number := k == long || k == double
	flag := k == boolean
	if like != nil && like.Type() == fastjson.TypeArray {
		// The lake keeps an array of one value as the value.
		if inner := like.GetArray(); len(inner) > 0 {
			return []any{typed(k, value, inner[0])}
		}
		like = nil
	}
	if like != nil && k == keyword {
		number = like.Type() == fastjson.TypeNumber
		flag = like.Type() == fastjson.TypeTrue || like.Type() == fastjson.TypeFalse
	}
	switch {
	case number && isNumber(value):
		return json.Number(value)
	case flag && (value == "true" || value == "false"):
		return value == "true"
	}
	return value
}

// elements reads an array as the lake keeps it.
func elements(k kind, value string) ([]any, bool) {
	var raw []any
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if d.Decode(&raw) != nil || d.More() {
		return nil, false
	}
	for i, v := range raw {
		switch v := v.(type) {
		case string:
			if k != keyword && k != text {
				raw[i] = typed(k, v, nil)
			}
		case json.Number, bool:
		default:
			return nil, false
		}
	}
	return raw, true
}

// isNumber tells whether a text is a number as JSON writes it.
func isNumber(s string) bool {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	return json.Valid([]byte(s))
}

// source nests the fields of a row as documents have them. sent is the document
// as it was sent, nil where that is not known.
func source(row map[string]string, sent *fastjson.Value, keep func(name string) bool) map[string]any {
	out := map[string]any{}
	names := make([]string, 0, len(row))
	for name := range row {
		if keep(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		like := sentValue(sent, name)
		if v, ok := sameTime(name, row[name], like); ok {
			place(out, name, v)
			continue
		}
		place(out, name, typed(typeOf(name), row[name], like))
	}
	return out
}

// sameTime is a time as the sender wrote it, where it is that of the event.
func sameTime(name, value string, like *fastjson.Value) (string, bool) {
	if like == nil || like.Type() != fastjson.TypeString || typeOf(name) != date {
		return "", false
	}
	text := string(like.GetStringBytes())
	at, ok := timeOf(value)
	given, ok2 := timeOf(text)
	return text, ok && ok2 && at.Equal(given)
}

// place puts a value where its dotted name says. Where a value stands in the
// way, as with both a and a.b, the rest of the name stays dotted.
func place(out map[string]any, name string, v any) {
	for {
		head, rest, more := strings.Cut(name, ".")
		if !more || head == "" || rest == "" {
			break
		}
		inner, taken := out[head]
		if !taken {
			inner = map[string]any{}
			out[head] = inner
		}
		m, ok := inner.(map[string]any)
		if !ok {
			break
		}
		out, name = m, rest
	}
	if _, taken := out[name]; !taken {
		out[name] = v
	}
}

// sentValue finds a field in the document that was sent, nested or dotted.
func sentValue(sent *fastjson.Value, name string) *fastjson.Value {
	if sent == nil {
		return nil
	}
	if v := sent.Get(name); v != nil {
		return v
	}
	for at := range len(name) {
		if name[at] != '.' {
			continue
		}
		if inner := sent.Get(name[:at]); inner != nil && inner.Type() == fastjson.TypeObject {
			if v := sentValue(inner, name[at+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// sent is the document that a row was sent as, nil where it was none or is not
// to be seen.
func sent(p *fastjson.Parser, row map[string]string) *fastjson.Value {
	raw := row[columnRaw]
	if raw == "" || raw[0] != '{' {
		return nil
	}
	v, err := p.Parse(raw)
	if err != nil || v.Type() != fastjson.TypeObject {
		return nil
	}
	return v
}

// timeOf reads a time as the lake renders it, ok is false for what is none.
func timeOf(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// millis is a time as Elasticsearch shows it by default.
func millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
