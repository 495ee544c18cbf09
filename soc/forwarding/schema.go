package forwarding

import (
	"encoding/json"
	"strings"
)

// kind is the sort of value that a field has.
type kind int

const (
	keyword kind = iota
	number
	boolean
	address
	date
	fulltext
)

// kinds are the fields that are no keywords, in the words of ECS 8.
var kinds = func() map[string]kind {
	m := map[string]kind{}
	for k, names := range map[kind]string{
		number: `event.duration event.severity event.risk_score event.sequence log.offset log.origin.file.line log.syslog.priority log.syslog.facility.code log.syslog.severity.code
			process.pid process.parent.pid process.exit_code process.thread.id source.port source.bytes source.packets source.nat.port source.as.number destination.port destination.bytes
			destination.packets destination.nat.port destination.as.number client.port client.bytes server.port server.bytes network.bytes network.packets network.vlan.id
			http.request.bytes http.request.body.bytes http.response.status_code http.response.bytes http.response.body.bytes url.port file.size
			icewatch.ci.criticality icewatch.flow.sampling icewatch.flow.bytes icewatch.flow.packets icewatch.flow.source.bytes icewatch.flow.destination.bytes
			icewatch.flow.tcp_flags icewatch.flow.icmp.type icewatch.flow.icmp.code icewatch.flow.tos icewatch.flow.domain icewatch.flow.sequence`,
		boolean:  `icewatch.source.internal icewatch.destination.internal`,
		address:  `host.ip observer.ip source.ip source.nat.ip destination.ip destination.nat.ip client.ip server.ip related.ip`,
		date:     `@timestamp event.created event.ingested event.start event.end icewatch.time_original`,
		fulltext: `message error.message event.reason`,
	} {
		for _, name := range strings.Fields(names) {
			m[name] = k
		}
	}
	return m
}()

func kindOf(name string) kind { return kinds[name] }

// maxKeyword is how long a text may be to be found by its whole value.
const maxKeyword = 1024

// indexTemplate is an index template of Elasticsearch for names of a pattern.
// Values that do not fit their type are kept and not indexed; what an object
// and a value both claim the name of is refused, and becomes a dead letter.
func indexTemplate(patterns []string, stream bool) []byte {
	type object = map[string]any
	properties := object{}
	for name, k := range kinds {
		var def object
		switch k {
		case number:
			def = object{"type": "long", "ignore_malformed": true}
			if name == "event.risk_score" {
				def["type"] = "float"
			}
		case boolean:
			def = object{"type": "boolean"}
		case address:
			def = object{"type": "ip", "ignore_malformed": true}
		case date:
			def = object{"type": "date", "ignore_malformed": true}
			if name == "@timestamp" {
				def = object{"type": "date_nanos"}
			}
		case fulltext:
			def = object{"type": "text"}
		}
		properties[name] = def
	}
	for _, name := range []string{"event.id", "icewatch.tenant", "event.dataset", "host.name"} {
		properties[name] = object{"type": "keyword", "ignore_above": maxKeyword}
	}
	properties[fieldOriginal] = object{"type": "keyword", "index": false, "doc_values": false}
	t := object{"index_patterns": patterns, "priority": 250, "_meta": object{"managed_by": "icewatch"},
		"template": object{
			"settings": object{"index.mapping.total_fields.limit": 5000},
			"mappings": object{
				"dynamic_templates": []object{{"strings": object{"match_mapping_type": "string", "mapping": object{"type": "keyword", "ignore_above": maxKeyword}}}},
				"date_detection":    false,
				"properties":        properties,
			},
		},
	}
	if stream {
		t["data_stream"] = object{}
	}
	b, _ := json.Marshal(t) // names and figures always encode
	return b
}
