package parse

import (
	"strings"

	"icewatch/soc/event"
)

// meaning says how the value of an attribute fills its field.
type meaning uint8

const (
	asText    meaning = iota
	asNumber          // where it is a whole number that is not negative
	asAddress         // the field's .address, and its .ip where it is one
	asPeer            // the other end of the connection: of who asks destination.*, of who serves source.*
	asPort            // the port of that end
)

// otelTable gives the attributes of OpenTelemetry's semantic conventions the
// fields of the Elastic Common Schema that mean the same, as Elastic's own
// intake of OTLP does. Of an attribute that was renamed, the old names follow
// the new one; where several come, the first in the record counts. What ECS has
// no field for keeps its name in the conventions, in its stable form. All other
// attributes are labels.<name>.
//
// Sources: OpenTelemetry semantic conventions 1.38 (opentelemetry.io/docs/
// specs/semconv), the renamings in its schema files 1.4 to 1.38 and in its
// guides of migration for HTTP and databases; ECS 9.
var otelTable = []struct {
	to   string
	as   meaning
	from string
}{
	// Resource: service, telemetry, deployment.
	{"service.name", asText, "service.name"},
	{"service.namespace", asText, "service.namespace"},
	{"service.version", asText, "service.version"},
	{"service.node.name", asText, "service.instance.id"},
	{"service.environment", asText, "deployment.environment.name deployment.environment"},
	{"service.language.name", asText, "telemetry.sdk.language"},
	{"service.runtime.name", asText, "process.runtime.name"},
	{"service.runtime.version", asText, "process.runtime.version"},

	// Resource: host, operating system, process.
	{"host.name", asText, "host.name"},
	{"host.id", asText, "host.id"},
	{"host.ip", asText, "host.ip"},
	{"host.mac", asText, "host.mac"},
	{"host.type", asText, "host.type"},
	{"host.architecture", asText, "host.arch"},
	{"host.os.type", asText, "os.type"},
	{"host.os.name", asText, "os.name"},
	{"host.os.version", asText, "os.version"},
	{"host.os.full", asText, "os.description"},
	{"process.pid", asNumber, "process.pid"},
	{"process.parent.pid", asNumber, "process.parent_pid"},
	{"process.name", asText, "process.executable.name"},
	{"process.executable", asText, "process.executable.path"},
	{"process.command_line", asText, "process.command_line"},
	{"process.args", asText, "process.command_args"},
	{"process.user.name", asText, "process.owner"},
	{"process.thread.id", asNumber, "thread.id"},
	{"process.thread.name", asText, "thread.name"},

	// Resource: container, Kubernetes, cloud.
	{"container.id", asText, "container.id"},
	{"container.name", asText, "container.name"},
	{"container.runtime", asText, "container.runtime.name container.runtime"},
	{"container.image.name", asText, "container.image.name"},
	{"container.image.tag", asText, "container.image.tags container.image.tag"},
	{"orchestrator.cluster.name", asText, "k8s.cluster.name"},
	{"kubernetes.namespace", asText, "k8s.namespace.name"},
	{"kubernetes.node.name", asText, "k8s.node.name"},
	{"kubernetes.pod.name", asText, "k8s.pod.name"},
	{"kubernetes.pod.uid", asText, "k8s.pod.uid"},
	{"kubernetes.pod.ip", asText, "k8s.pod.ip"},
	{"kubernetes.container.name", asText, "k8s.container.name"},
	{"kubernetes.deployment.name", asText, "k8s.deployment.name"},
	{"kubernetes.replicaset.name", asText, "k8s.replicaset.name"},
	{"kubernetes.statefulset.name", asText, "k8s.statefulset.name"},
	{"kubernetes.daemonset.name", asText, "k8s.daemonset.name"},
	{"kubernetes.job.name", asText, "k8s.job.name"},
	{"kubernetes.cronjob.name", asText, "k8s.cronjob.name"},
	{"cloud.provider", asText, "cloud.provider"},
	{"cloud.account.id", asText, "cloud.account.id"},
	{"cloud.region", asText, "cloud.region"},
	{"cloud.availability_zone", asText, "cloud.availability_zone cloud.zone"},
	{"cloud.service.name", asText, "cloud.platform"},
	{"cloud.instance.id", asText, "cloud.instance.id"},
	{"faas.name", asText, "faas.name"},

	// Spans and logs: HTTP and URL.
	{"http.request.method", asText, "http.request.method http.method"},
	{"http.response.status_code", asNumber, "http.response.status_code http.status_code"},
	{"http.request.body.bytes", asNumber, "http.request.body.size http.request_content_length"},
	{"http.response.body.bytes", asNumber, "http.response.body.size http.response_content_length"},
	{"http.request.bytes", asNumber, "http.request.size"},
	{"http.response.bytes", asNumber, "http.response.size"},
	{"http.version", asText, "http.flavor"},
	{"url.full", asText, "url.full http.url"},
	{"url.original", asText, "http.target"},
	{"url.path", asText, "url.path"},
	{"url.query", asText, "url.query"},
	{"url.scheme", asText, "url.scheme http.scheme"},
	{"url.domain", asText, "url.domain http.host"},
	{"user_agent.original", asText, "user_agent.original http.user_agent"},

	// Spans and logs: who speaks with whom.
	{"client", asAddress, "client.address http.client_ip"},
	{"client.port", asNumber, "client.port"},
	{"server", asAddress, "server.address net.host.name http.server_name net.peer.name"},
	{"server.port", asNumber, "server.port net.host.port"},
	{"source", asAddress, "source.address"},
	{"source.port", asNumber, "source.port"},
	{"destination", asAddress, "destination.address"},
	{"destination.port", asNumber, "destination.port"},
	{"", asPeer, "network.peer.address net.sock.peer.addr net.peer.ip"},
	{"", asPort, "network.peer.port net.sock.peer.port net.peer.port"},
	{"network.transport", asText, "network.transport net.transport"},
	{"network.protocol", asText, "network.protocol.name net.app.protocol.name net.protocol.name"},
	{"network.type", asText, "network.type"},

	// Spans and logs: users, errors, origin of a log record.
	{"user.id", asText, "user.id enduser.id"},
	{"user.name", asText, "user.name enduser.pseudo.id"},
	{"user.full_name", asText, "user.full_name"},
	{"user.email", asText, "user.email"},
	{"user.roles", asText, "user.roles enduser.role"},
	{"error.type", asText, "error.type exception.type"},
	{"error.message", asText, "exception.message error.message"},
	{"error.stack_trace", asText, "exception.stacktrace"},
	{"event.action", asText, "event.name"},
	{"event.dataset", asText, "event.dataset"},
	{"log.file.path", asText, "log.file.path"},
	{"log.file.name", asText, "log.file.name"},
	{"log.origin.function", asText, "code.function.name code.function"},
	{"log.origin.file.name", asText, "code.file.path code.filepath"},
	{"log.origin.file.line", asNumber, "code.line.number code.lineno"},
	{"file.path", asText, "file.path"},
	{"file.name", asText, "file.name"},

	// Spans: databases, remote calls, messages. ECS has no fields for them.
	{"db.system.name", asText, "db.system.name db.system"},
	{"db.namespace", asText, "db.namespace db.name"},
	{"db.collection.name", asText, "db.collection.name db.sql.table db.mongodb.collection"},
	{"db.operation.name", asText, "db.operation.name db.operation"},
	{"db.query.text", asText, "db.query.text db.statement"},
	{"rpc.system", asText, "rpc.system.name rpc.system"},
	{"rpc.service", asText, "rpc.service"},
	{"rpc.method", asText, "rpc.method"},
	{"messaging.system", asText, "messaging.system"},
	{"messaging.destination.name", asText, "messaging.destination.name messaging.destination"},
	{"messaging.operation.type", asText, "messaging.operation.type messaging.operation"},

	// What the scope says of itself.
	{"log.logger", asText, "otel.scope.name"},
}

// otelField is where an attribute goes.
type otelField struct {
	as meaning
	id event.FieldID // of an address, the field .address
	ip event.FieldID // of an address, the field .ip
}

// otelFields builds the table by attribute. id interns a name.
func otelFields(id func(name string) event.FieldID) map[string]otelField {
	m := make(map[string]otelField, 2*len(otelTable))
	for _, row := range otelTable {
		f := otelField{as: row.as}
		switch row.as {
		case asAddress:
			f.id, f.ip = id(row.to+".address"), id(row.to+".ip")
		case asPeer, asPort:
		default:
			f.id = id(row.to)
		}
		for _, name := range strings.Fields(row.from) {
			m[name] = f
		}
	}
	return m
}

// OTelField is the field of an event in which the value of an attribute lies:
// what is asked for where a client names the attribute as OpenTelemetry does.
// kind is the number of the span's kind in OTLP, 0 where it is not known.
func OTelField(attribute string, kind int) string {
	for _, row := range otelTable {
		for _, name := range strings.Fields(row.from) {
			if name != attribute {
				continue
			}
			end := "source"
			if asks(kind) {
				end = "destination"
			}
			switch row.as {
			case asAddress:
				return row.to + ".address"
			case asPeer:
				return end + ".ip"
			case asPort:
				return end + ".port"
			}
			return row.to
		}
	}
	return string(appendLabel(nil, attribute))
}

// asks tells whether a span is of the side that asks: client or producer.
func asks(kind int) bool { return kind == 3 || kind == 4 }

// appendLabel appends the field of an attribute that has none of its own. As
// with Elastic's intake, characters that would make an object of it, or a
// pattern, become underscores.
func appendLabel(b []byte, attribute string) []byte {
	b = append(b, "labels."...)
	for i := range len(attribute) {
		switch c := attribute[i]; c {
		case '.', '*', '"':
			b = append(b, '_')
		default:
			b = append(b, c)
		}
	}
	return b
}

// otlpField adds a value of an attribute to the event.
func (p *Parser) otlpField(o *otlpAttributes, key, value string, kind event.Kind) {
	f, known := p.names.otel[key]
	if known && kind != event.Null && p.otlpKnown(o, &f, value, kind) || o.mappedOnly {
		return
	}
	if key == "otel.scope.version" {
		return // event.original has it
	}
	p.path = appendLabel(p.path[:0], key)
	p.free(view(p.path), value, kind)
}

// otlpKnown fills the field of an attribute that the table names. It returns
// false where the value is none that the field can hold.
func (p *Parser) otlpKnown(o *otlpAttributes, f *otelField, value string, kind event.Kind) bool {
	switch f.as {
	case asNumber:
		if !isDigits(value) {
			return false
		}
		return p.otlpPut(o, f.id, value, event.Number)
	case asAddress:
		if isIP(value) && !p.ev.Has(f.id) {
			p.put(f.ip, value)
		}
		return p.otlpPut(o, f.id, value, event.String)
	case asPeer:
		if !isIP(value) {
			return false
		}
		if asks(o.kind) {
			return p.otlpPut(o, event.DestIP, value, event.String)
		}
		return p.otlpPut(o, event.SourceIP, value, event.String)
	case asPort:
		if !isPort(value) {
			return false
		}
		if asks(o.kind) {
			return p.otlpPut(o, event.DestPort, value, event.Number)
		}
		return p.otlpPut(o, event.SourcePort, value, event.Number)
	}
	return p.otlpPut(o, f.id, value, kind)
}

// otlpPut adds a value to a field that is empty, or whose former values are of
// the same attribute. Else it tells whether the field says the same already.
func (p *Parser) otlpPut(o *otlpAttributes, id event.FieldID, value string, kind event.Kind) bool {
	if have, ok := p.ev.Get(id); ok && !o.repeated {
		return have == value
	}
	if value == "" {
		return true
	}
	p.ev.Fields = append(p.ev.Fields, event.Field{ID: id, Kind: kind, Value: value})
	return true
}
