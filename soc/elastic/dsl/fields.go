package dsl

import (
	"encoding/json"
	"strings"
)

// Kind is the type of a field as mappings name it.
type Kind string

// The types that fields have here. The lake keeps text; the type says how a
// field is compared and how its values are shown.
const (
	Keyword Kind = "keyword"
	Text    Kind = "match_only_text"
	Long    Kind = "long"
	Double  Kind = "double"
	Date    Kind = "date"
	IP      Kind = "ip"
	Boolean Kind = "boolean"
)

// Names of fields that mean something of their own.
const (
	FieldTime     = "@timestamp"
	FieldID       = "_id"
	FieldIndex    = "_index"
	ColumnID      = "event.id"
	ColumnSender  = "icewatch.sender_id"
	ColumnIndex   = "icewatch.index"
	ColumnDataset = "event.dataset"
	ColumnTenant  = "icewatch.tenant"
	ColumnType    = "data_stream.type"
	ColumnRaw     = "event.original"
)

// types are the fields of ECS 9 and of the suite that are no keywords, by their
// whole names.
var types = byName(map[Kind]string{
	Text: "message error.message event.original icewatch.overflow",
	Long: "event.duration event.sequence event.severity log.offset log.origin.file.line log.syslog.priority log.syslog.facility.code " +
		"log.syslog.severity.code http.response.status_code process.exit_code process.uptime process.thread.id as.number source.as.number " +
		"destination.as.number client.as.number server.as.number dns.answers.ttl host.uptime network.packets network.bytes " +
		"icewatch.ci.criticality icewatch.flow.sampling icewatch.flow.bytes icewatch.flow.packets icewatch.flow.source.bytes " +
		"icewatch.flow.destination.bytes icewatch.flow.tcp_flags icewatch.flow.icmp.type icewatch.flow.icmp.code icewatch.flow.tos " +
		"icewatch.flow.sequence",
	Double:  "event.risk_score event.risk_score_norm host.cpu.usage vulnerability.score.base",
	Date:    "@timestamp event.created event.ingested event.start event.end process.start process.end file.accessed file.created file.ctime file.mtime package.installed icewatch.time_original",
	Boolean: "process.interactive tls.established tls.resumed tls.client.supported icewatch.source.internal icewatch.destination.internal",
	IP:      "related.ip dns.resolved_ip",
})

// lastTypes are types by the last part of the name, as ECS has them wherever
// its field sets are nested.
var lastTypes = byName(map[Kind]string{
	Long: "bytes packets port pid ppid pgid size",
	IP:   "ip",
	Date: "not_before not_after",
})

func byName(of map[Kind]string) map[string]Kind {
	m := map[string]Kind{}
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

// IsList tells whether ECS keeps a field as an array.
func IsList(column string) bool { return lists[column] }

// TypeOf is the type of a field.
func TypeOf(name string) Kind {
	if k, ok := types[name]; ok {
		return k
	}
	if strings.HasPrefix(name, "labels.") {
		return Keyword
	}
	if k, ok := lastTypes[name[strings.LastIndexByte(name, '.')+1:]]; ok {
		return k
	}
	return Keyword
}

// Resolve is a field as a query names it: its column in the lake and the type
// that counts. What mappings know as multi-fields is the field itself, whole
// (.keyword) or by its words (.text).
func Resolve(name string) (column string, k Kind) {
	if base, ok := strings.CutSuffix(name, ".keyword"); ok && base != "" {
		if k := TypeOf(base); k != Text {
			return columnOf(base), k
		}
		return columnOf(base), Keyword
	}
	if base, ok := strings.CutSuffix(name, ".text"); ok && base != "" {
		return columnOf(base), Text
	}
	return columnOf(name), TypeOf(name)
}

func columnOf(name string) string {
	if name == FieldTime {
		return "_time"
	}
	return name
}

// Outside is the name that a column has in rows.
func Outside(column string) string {
	if column == "_time" {
		return FieldTime
	}
	return column
}

// IsNumber tells whether a text is a number as JSON writes it.
func IsNumber(s string) bool {
	if s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return false
	}
	return json.Valid([]byte(s))
}
