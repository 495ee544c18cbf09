package event

import (
	"maps"
	"sync"
	"sync/atomic"
)

// The fields that code names. Anything else is interned when first seen.
const (
	_ FieldID = iota
	Message
	Tags
	Marks        // icewatch.marks: what was altered on the way in
	Overflow     // icewatch.overflow: JSON object of the fields beyond the limit
	Aside        // icewatch.aside: SHA-256 of the whole text where the event holds a cut one
	TimeOriginal // icewatch.time_original: the time as sent, where it had to be clamped
	SenderID     // icewatch.sender_id: the sender's own id, honoured for deduplication
	Zone         // icewatch.zone: network zone the sender sits in
	Collector    // icewatch.collector: the listener or source that took the event in
	Peer         // icewatch.peer: network address of the sender
	Labels       // icewatch.labels: stream labels as pushed, JSON object
	Metadata     // icewatch.metadata: structured metadata as pushed, JSON object

	CIID           // icewatch.ci.id: configuration item the event happened on
	CIName         // icewatch.ci.name
	CIClass        // icewatch.ci.class
	CICriticality  // icewatch.ci.criticality: 1 (least) to 5
	CIOwner        // icewatch.ci.owner
	CITenant       // icewatch.ci.tenant: whose the item is, where the event is the city's
	CILabels       // icewatch.ci.labels
	CISystem       // icewatch.ci.system.id: business system
	CISystemName   // icewatch.ci.system.name
	ReachUnit      // icewatch.reach.unit: what data scopes see, see soc/reach
	ReachRegion    // icewatch.reach.region
	ReachIndustry  // icewatch.reach.industry
	ReachLabels    // icewatch.reach.labels
	SourceCIID     // icewatch.source.ci.id
	SourceCIName   // icewatch.source.ci.name
	SourceCILabels // icewatch.source.ci.labels
	SourceInternal // icewatch.source.internal: true where the address is in a known network
	DestCIID       // icewatch.destination.ci.id
	DestCIName     // icewatch.destination.ci.name
	DestCILabels   // icewatch.destination.ci.labels
	DestInternal   // icewatch.destination.internal

	EventAction
	EventCategory
	EventCode
	EventDataset
	EventDuration
	EventKind
	EventModule
	EventOutcome
	EventProvider
	EventReason
	EventSeverity
	EventType
	HostName
	HostIP
	HostHostname
	HostOSType
	LogLevel
	LogFilePath
	LogOffset
	LogLogger
	SyslogPriority
	SyslogFacility
	SyslogFacilityName
	SyslogSeverity
	SyslogSeverityName
	SyslogAppname
	SyslogProcID
	SyslogMsgID
	SyslogHostname
	SyslogVersion
	SyslogStructuredData
	ObserverName
	ObserverIP
	ObserverType
	ObserverVendor
	ObserverProduct
	ObserverIngress
	ObserverEgress
	ProcessName
	ProcessPID
	ProcessExecutable
	ProcessCommandLine
	ProcessWorkingDirectory
	ProcessParentName
	ServiceName
	ServiceType
	UserName
	UserID
	UserDomain
	UserEffectiveName
	UserTargetName
	SourceIP
	SourcePort
	SourceDomain
	SourceAddress
	SourceBytes
	SourcePackets
	SourceMAC
	DestIP
	DestPort
	DestDomain
	DestAddress
	DestBytes
	DestMAC
	ClientIP
	NetworkTransport
	NetworkProtocol
	NetworkDirection
	NetworkBytes
	NetworkPackets
	NetworkType
	RuleName
	RuleID
	HTTPRequestMethod
	HTTPRequestReferrer
	HTTPRequestBytes
	HTTPVersion
	HTTPResponseStatus
	HTTPResponseBytes
	URLOriginal
	URLPath
	URLQuery
	URLDomain
	URLScheme
	UserAgentOriginal
	FilePath
	FileName
	GroupName
	ErrorMessage

	// Flows: see docs/flows.md.
	EventStart
	EventEnd
	ClientPort
	ServerIP
	ServerPort
	DestPackets
	SourceAS
	DestAS
	NetworkIANANumber
	NetworkCommunityID
	NetworkVLAN
	NetworkApplication
	ObserverIngressID
	ObserverEgressID
	FlowSampling         // icewatch.flow.sampling: packets that one counted packet stands for
	FlowBytes            // icewatch.flow.bytes: network.bytes times sampling
	FlowPackets          // icewatch.flow.packets: network.packets times sampling
	FlowSourceBytes      // icewatch.flow.source.bytes: source.bytes times sampling
	FlowDestBytes        // icewatch.flow.destination.bytes: destination.bytes times sampling
	FlowTCPFlags         // icewatch.flow.tcp_flags: bits of all packets together, RFC 9293, 3.1
	FlowICMPType         // icewatch.flow.icmp.type
	FlowICMPCode         // icewatch.flow.icmp.code
	FlowTOS              // icewatch.flow.tos
	FlowExporterDomain   // icewatch.flow.domain: source id, observation domain or sub-agent
	FlowExporterSequence // icewatch.flow.sequence: of the message it came in

	// Traces: see docs/opentelemetry.md.
	TraceID
	SpanID
	ParentID
	SpanName
	SpanKind
	SpanStatusMessage
	DataStreamType
	ServiceNamespace
	ServiceVersion
	ServiceNodeName
	ServiceEnvironment
	ErrorType
	ErrorStackTrace
	ClientAddress
	ServerAddress
	URLFull

	LogType     // icewatch.log_type: <vendor>/<product>/<name> of the parser pack that read the event, see docs/parsers.md
	RepeatCount // icewatch.repeat.count: how many events, repeats of an earlier one, this one stands for, see docs/processing.md
	lastKnown
)

var known = [lastKnown]string{
	Message: "message", Tags: "tags", Marks: "icewatch.marks", Overflow: "icewatch.overflow",
	Aside: "icewatch.aside", TimeOriginal: "icewatch.time_original", SenderID: "icewatch.sender_id",
	Zone: "icewatch.zone", Collector: "icewatch.collector", Peer: "icewatch.peer", Labels: "icewatch.labels", Metadata: "icewatch.metadata",
	CIID: "icewatch.ci.id", CIName: "icewatch.ci.name", CIClass: "icewatch.ci.class",
	CICriticality: "icewatch.ci.criticality", CIOwner: "icewatch.ci.owner", CITenant: "icewatch.ci.tenant", CILabels: "icewatch.ci.labels",
	CISystem: "icewatch.ci.system.id", CISystemName: "icewatch.ci.system.name",
	ReachUnit: "icewatch.reach.unit", ReachRegion: "icewatch.reach.region",
	ReachIndustry: "icewatch.reach.industry", ReachLabels: "icewatch.reach.labels",
	SourceCIID: "icewatch.source.ci.id", SourceCIName: "icewatch.source.ci.name",
	SourceCILabels: "icewatch.source.ci.labels", SourceInternal: "icewatch.source.internal",
	DestCIID: "icewatch.destination.ci.id", DestCIName: "icewatch.destination.ci.name",
	DestCILabels: "icewatch.destination.ci.labels", DestInternal: "icewatch.destination.internal",
	EventAction: "event.action", EventCategory: "event.category", EventCode: "event.code",
	EventDataset: "event.dataset", EventDuration: "event.duration", EventKind: "event.kind",
	EventModule: "event.module", EventOutcome: "event.outcome", EventProvider: "event.provider",
	EventReason: "event.reason", EventSeverity: "event.severity", EventType: "event.type",
	HostName: "host.name", HostIP: "host.ip", HostHostname: "host.hostname", HostOSType: "host.os.type",
	LogLevel: "log.level", LogFilePath: "log.file.path", LogOffset: "log.offset", LogLogger: "log.logger",
	SyslogPriority: "log.syslog.priority", SyslogFacility: "log.syslog.facility.code",
	SyslogFacilityName: "log.syslog.facility.name", SyslogSeverity: "log.syslog.severity.code",
	SyslogSeverityName: "log.syslog.severity.name", SyslogAppname: "log.syslog.appname",
	SyslogProcID: "log.syslog.procid", SyslogMsgID: "log.syslog.msgid", SyslogHostname: "log.syslog.hostname",
	SyslogVersion: "log.syslog.version", SyslogStructuredData: "log.syslog.structured_data",
	ObserverName: "observer.name", ObserverIP: "observer.ip", ObserverType: "observer.type",
	ObserverVendor: "observer.vendor", ObserverProduct: "observer.product",
	ObserverIngress: "observer.ingress.interface.name", ObserverEgress: "observer.egress.interface.name",
	ProcessName: "process.name", ProcessPID: "process.pid", ProcessExecutable: "process.executable",
	ProcessCommandLine: "process.command_line", ProcessWorkingDirectory: "process.working_directory",
	ProcessParentName: "process.parent.name", ServiceName: "service.name", ServiceType: "service.type",
	UserName: "user.name", UserID: "user.id", UserDomain: "user.domain",
	UserEffectiveName: "user.effective.name", UserTargetName: "user.target.name",
	SourceIP: "source.ip", SourcePort: "source.port", SourceDomain: "source.domain",
	SourceAddress: "source.address", SourceBytes: "source.bytes", SourcePackets: "source.packets",
	SourceMAC: "source.mac", DestIP: "destination.ip", DestPort: "destination.port",
	DestDomain: "destination.domain", DestAddress: "destination.address", DestBytes: "destination.bytes",
	DestMAC: "destination.mac", ClientIP: "client.ip", NetworkTransport: "network.transport",
	NetworkProtocol: "network.protocol", NetworkDirection: "network.direction", NetworkBytes: "network.bytes",
	NetworkPackets: "network.packets", NetworkType: "network.type", RuleName: "rule.name", RuleID: "rule.id",
	HTTPRequestMethod: "http.request.method", HTTPRequestReferrer: "http.request.referrer",
	HTTPRequestBytes: "http.request.bytes", HTTPVersion: "http.version",
	HTTPResponseStatus: "http.response.status_code", HTTPResponseBytes: "http.response.body.bytes",
	URLOriginal: "url.original", URLPath: "url.path", URLQuery: "url.query", URLDomain: "url.domain",
	URLScheme: "url.scheme", UserAgentOriginal: "user_agent.original", FilePath: "file.path",
	FileName: "file.name", GroupName: "group.name", ErrorMessage: "error.message",
	EventStart: "event.start", EventEnd: "event.end", ClientPort: "client.port", ServerIP: "server.ip", ServerPort: "server.port",
	DestPackets: "destination.packets", SourceAS: "source.as.number", DestAS: "destination.as.number",
	NetworkIANANumber: "network.iana_number", NetworkCommunityID: "network.community_id", NetworkVLAN: "network.vlan.id",
	NetworkApplication: "network.application", ObserverIngressID: "observer.ingress.interface.id", ObserverEgressID: "observer.egress.interface.id",
	FlowSampling: "icewatch.flow.sampling", FlowBytes: "icewatch.flow.bytes", FlowPackets: "icewatch.flow.packets",
	FlowSourceBytes: "icewatch.flow.source.bytes", FlowDestBytes: "icewatch.flow.destination.bytes", FlowTCPFlags: "icewatch.flow.tcp_flags",
	FlowICMPType: "icewatch.flow.icmp.type", FlowICMPCode: "icewatch.flow.icmp.code", FlowTOS: "icewatch.flow.tos",
	FlowExporterDomain: "icewatch.flow.domain", FlowExporterSequence: "icewatch.flow.sequence",
	TraceID: "trace.id", SpanID: "span.id", ParentID: "parent.id", SpanName: "span.name",
	SpanKind: "span.kind", SpanStatusMessage: "span.status.message", DataStreamType: "data_stream.type", ServiceNamespace: "service.namespace",
	ServiceVersion: "service.version", ServiceNodeName: "service.node.name", ServiceEnvironment: "service.environment", ErrorType: "error.type",
	ErrorStackTrace: "error.stack_trace", ClientAddress: "client.address", ServerAddress: "server.address", URLFull: "url.full",
	LogType: "icewatch.log_type", RepeatCount: "icewatch.repeat.count",
}

// Registry interns field names. It is safe for concurrent use; a look-up of a
// known name takes no lock. The zero value is not ready: use NewRegistry.
type Registry struct {
	mu    sync.Mutex
	state atomic.Pointer[registryState]
	limit int
}

// registryState never changes: a name that is new makes another. Since that
// copies what changes, new names gather in recent first.
type registryState struct {
	ids    map[string]FieldID
	recent map[string]FieldID
	names  []string
}

const mostRecent = 64

// NewRegistry makes a registry that holds the fields code names and at most
// limit further ones (0 means no bound).
func NewRegistry(limit int) *Registry {
	r := &Registry{limit: limit}
	st := &registryState{ids: make(map[string]FieldID, 2*len(known)), names: append([]string(nil), known[:]...)}
	for id, name := range known {
		if name != "" {
			st.ids[name] = FieldID(id)
		}
	}
	r.state.Store(st)
	return r
}

// Lookup returns the ID of a name that is already interned.
func (r *Registry) Lookup(name string) (FieldID, bool) { return r.state.Load().lookup(name) }

func (st *registryState) lookup(name string) (FieldID, bool) {
	id, ok := st.ids[name]
	if !ok && len(st.recent) > 0 {
		id, ok = st.recent[name]
	}
	return id, ok
}

// Intern returns the ID of a name and takes it in where it is new. ok is
// false, and nothing is taken in, where the registry is full.
func (r *Registry) Intern(name string) (id FieldID, ok bool) {
	if id, ok := r.Lookup(name); ok {
		return id, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.state.Load()
	if id, ok := old.lookup(name); ok {
		return id, true
	}
	if r.limit > 0 && len(old.names)-len(known) >= r.limit {
		return 0, false
	}
	// Readers of the old state do not look beyond its length.
	st := &registryState{ids: old.ids, names: append(old.names, name)}
	id = FieldID(len(st.names) - 1)
	if recent := old.recent; len(recent) < mostRecent {
		st.recent = make(map[string]FieldID, len(recent)+1)
		maps.Copy(st.recent, recent)
		st.recent[name] = id
	} else {
		st.ids = make(map[string]FieldID, len(old.ids)+2*mostRecent)
		maps.Copy(st.ids, old.ids)
		maps.Copy(st.ids, recent)
		st.ids[name] = id
	}
	r.state.Store(st)
	return id, true
}

// Name returns the name of an ID this registry gave out, else "".
func (r *Registry) Name(id FieldID) string {
	names := r.state.Load().names
	if int(id) >= len(names) {
		return ""
	}
	return names[id]
}

// IsKnown tells whether code names the field itself, so that it never counts
// against a tenant's limit of names.
func IsKnown(id FieldID) bool { return id > 0 && id < lastKnown }
