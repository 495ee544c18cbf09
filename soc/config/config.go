// Package config is the suite's one configuration: a YAML file, over it the
// ICEWATCH_* variables of the environment, over these the command line. Every
// option has a default that works, and a documented place in icewatch.yaml.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/egress"
	"icewatch/soc/retention"
	"icewatch/soc/transport"
)

// Config is everything an operator can decide. The doc tags are the texts of
// the reference that `icewatch config print` writes.
type Config struct {
	Data      string    `yaml:"data" doc:"Folder of everything the suite keeps: bus, lake, state."`
	Log       Log       `yaml:"log" doc:"The suite's own log, on standard error."`
	HTTP      HTTP      `yaml:"http" doc:"Console, API and intake over HTTP."`
	Syslog    Syslog    `yaml:"syslog" doc:"Intake of syslog (RFC 5424, RFC 3164)."`
	Flows     Flows     `yaml:"flows" doc:"Intake of network flows."`
	SNMP      SNMP      `yaml:"snmp" doc:"Intake of SNMP notifications (docs/snmp.md)."`
	OTLP      OTLP      `yaml:"otlp" doc:"Intake of OpenTelemetry's logs, metrics and traces (OTLP) on the protocol's own ports; on http.listen it is served at /otlp/v1/* besides."`
	Agents    Agents    `yaml:"agents" doc:"The agents on hosts (docs/fleet.md)."`
	Files     []File    `yaml:"files" doc:"Log files of this machine to follow."`
	Relays    []string  `yaml:"relays" doc:"Networks of syslog relays. Behind a relay the HOSTNAME in the message names the device; any other sender is the device itself, whatever name it gives."`
	Identity  Identity  `yaml:"identity" doc:"Who may sign in; most of it is decided at run time, in the settings."`
	Bus       Bus       `yaml:"bus" doc:"The durable queue between intake and engine."`
	Lake      Lake      `yaml:"lake" doc:"The store of events."`
	Backup    Backup    `yaml:"backup" doc:"Backups of everything the suite keeps; how often is decided at run time, in the settings."`
	CMDB      CMDB      `yaml:"cmdb" doc:"Where the CMDB keeps its items."`
	Elastic   Elastic   `yaml:"elastic" doc:"The API of Elasticsearch."`
	Metrics   Metrics   `yaml:"metrics" doc:"The store of metrics: the suite's own, and those sent to it."`
	Memory    Memory    `yaml:"memory" doc:"What the suite's processes do with the machine's memory."`
	Limits    Limits    `yaml:"limits" doc:"Bounds on what one event, tenant or sender may bring."`
	Rules     Rules     `yaml:"rules" doc:"Detection content beside the built-in rules."`
	Parsers   Parsers   `yaml:"parsers" doc:"Parser packs beside those that come with the suite."`
	Geo       Geo       `yaml:"geo" doc:"Where in the world the addresses of events are."`
	Tenants   Tenants   `yaml:"tenants" doc:"Tenants beside the built-in catalogue of government applications."`
	AlertMail AlertMail `yaml:"alert_mail" doc:"Mails that become alerts, sent to alert sources of the kind mail."`
	Alerts    Alerts    `yaml:"alerts" doc:"How alerts become incidents."`
	Notify    Notify    `yaml:"notify" doc:"Who is told of incidents."`
	Security  Security  `yaml:"security" doc:"How the suite guards itself and its secrets."`
	SLA       []SLA     `yaml:"sla" doc:"How soon an incident must be acknowledged and resolved, by priority."`
}

// Log configures the suite's own log.
type Log struct {
	Level  string `yaml:"level" doc:"debug, info, warn or error."`
	Format string `yaml:"format" doc:"text or json."`
}

// HTTP configures console, API and intake over HTTP.
type HTTP struct {
	Listen      string `yaml:"listen" doc:"Address to listen on. On other than a loopback address the suite speaks HTTPS only."`
	TLSCert     string `yaml:"tls_cert" doc:"PEM file of the certificate chain. Without one, and where HTTPS is needed, a self-signed certificate is made in the data folder."`
	TLSKey      string `yaml:"tls_key" doc:"PEM file of the certificate's key."`
	TLSProvider string `yaml:"tls_provider" doc:"Who speaks TLS: standard is TLS 1.2 and 1.3."`
	Insecure    bool   `yaml:"insecure" doc:"Speak plain HTTP on any address: only behind a proxy that ends TLS on the same machine or network."`
	ExternalURL string `yaml:"external_url" doc:"How people reach the console, such as https://soc.example.gov.cn; used in notices, and the name of the OpenID provider (docs/oidc-provider.md), so it should not change later."`
	MaxBody     Size   `yaml:"max_body" doc:"Largest request body, as sent."`
	MaxUnpacked Size   `yaml:"max_unpacked" doc:"Largest request body once decompressed."`
}

// AlertMail configures the SMTP server of alert sources.
type AlertMail struct {
	Listen string `yaml:"listen" doc:"Address to listen on; off switches it off. On other than a loopback address it needs a certificate for STARTTLS, that of http."`
	Domain string `yaml:"domain" doc:"What stands behind the @ of the sources' addresses, and how the server greets."`
}

// Identity configures what must be known of signing in before the state opens.
type Identity struct {
	BreachList string `yaml:"breach_list" doc:"File of leaked passwords that nobody may choose, beside the list built in: plain words, one a line, or SHA-1 hashes ordered by hash, as Have I Been Pwned gives them. It is looked up on this machine only."`
}

// Syslog configures the syslog listeners.
type Syslog struct {
	UDP            string   `yaml:"udp" doc:"Address for datagrams; off switches it off."`
	TCP            string   `yaml:"tcp" doc:"Address for streams (RFC 6587: octet-counted or newline-framed); off switches it off."`
	TLS            string   `yaml:"tls" doc:"Address for streams over TLS (RFC 5425), usually :6514, with the certificate of http; off switches it off."`
	RELP           string   `yaml:"relp" doc:"Address for rsyslog's RELP, usually :2514: a message is acknowledged once it is on the disk. off switches it off."`
	RELPTLS        string   `yaml:"relp_tls" doc:"Address for RELP over TLS, with the certificate of http; off switches it off."`
	ClientCA       string   `yaml:"client_ca" doc:"PEM file of authorities: who sends over TLS must show a certificate that one of them signed. Empty: anybody may send."`
	Tenant         string   `yaml:"tenant" doc:"Tenant of everything that comes in here. Empty: decided by the sender's network or item in the CMDB."`
	Zone           string   `yaml:"zone" doc:"Network zone the senders sit in; addresses may repeat between zones."`
	MaxMessage     Size     `yaml:"max_message" doc:"Longest message read over TCP; what is longer is cut and marked."`
	MaxConnections int      `yaml:"max_connections" doc:"TCP connections at a time."`
	IdleTimeout    Duration `yaml:"idle_timeout" doc:"A TCP connection silent for so long is closed. Keep it long: a plain syslog sender loses the message by which it notices."`

	Listeners []SyslogListener `yaml:"listeners" doc:"Further listeners, one for each isolated network that sends here: an address belongs to the zone of the listener it is heard at, so that equal addresses of two networks stay two assets. The bounds above hold for each."`
}

// SyslogListener is a further pair of syslog listeners, for a network of its own.
type SyslogListener struct {
	Name    string `yaml:"name" doc:"Name of the listener, part of icewatch.collector of its events. Without one: its zone."`
	UDP     string `yaml:"udp" doc:"Address for datagrams; off or empty switches it off."`
	TCP     string `yaml:"tcp" doc:"Address for streams; off or empty switches it off."`
	TLS     string `yaml:"tls" doc:"Address for streams over TLS; off or empty switches it off."`
	RELP    string `yaml:"relp" doc:"Address for RELP; off or empty switches it off."`
	RELPTLS string `yaml:"relp_tls" doc:"Address for RELP over TLS; off or empty switches it off."`
	Tenant  string `yaml:"tenant" doc:"Tenant of everything that comes in here. Empty: decided by the sender's network or item in the CMDB."`
	Zone    string `yaml:"zone" doc:"Network zone the senders sit in."`
}

// ListenerName is the listener's name, or its zone's.
func (l SyslogListener) ListenerName() string {
	if l.Name != "" {
		return l.Name
	}
	return l.Zone
}

// Flows configures the flow listeners.
type Flows struct {
	NetFlow string `yaml:"netflow" doc:"Address for NetFlow v5, v9 and IPFIX datagrams; off switches it off."`
	SFlow   string `yaml:"sflow" doc:"Address for sFlow v5 datagrams; off switches it off."`
	Tenant  string `yaml:"tenant" doc:"Tenant of all flows that come in here. Empty: decided by the exporter's network or item in the CMDB; of an exporter that serves everybody, by the ends of the flow."`
	Zone    string `yaml:"zone" doc:"Network zone of the exporters and of the addresses they see; addresses may repeat between zones."`
}

// SNMP configures the listener of SNMP notifications.
type SNMP struct {
	Traps           string   `yaml:"traps" doc:"Address for traps and informs, such as :9162; off switches it off. SNMP's own port 162 needs the right to open it."`
	CommunitiesFile string   `yaml:"communities_file" doc:"File of the communities of versions 1 and 2c that are taken in, one a line. Empty: these versions are refused."`
	UsersFile       string   `yaml:"users_file" doc:"File of the users of version 3, one a line: NAME SHA-256 PASSPHRASE AES PASSPHRASE."`
	Sources         []string `yaml:"sources" doc:"Networks of the devices that may send. Empty: all may."`
	MIBDir          string   `yaml:"mib_dir" doc:"Folder of MIB modules whose names are used beside those built in."`
	Tenant          string   `yaml:"tenant" doc:"Tenant of everything that comes in here. Empty: decided by the device's network or item in the CMDB."`
	Zone            string   `yaml:"zone" doc:"Network zone the devices sit in."`
}

// OTLP configures the listeners of OpenTelemetry's protocol.
type OTLP struct {
	GRPC       string   `yaml:"grpc" doc:"Address of OTLP over gRPC; off switches it off. On other than a loopback address it speaks TLS only, with the certificate of http."`
	HTTP       string   `yaml:"http" doc:"Address of OTLP over HTTP (/v1/logs, /v1/metrics, /v1/traces); off switches it off. On other than a loopback address it speaks HTTPS only."`
	MaxMessage Size     `yaml:"max_message" doc:"Largest request over gRPC, once decompressed; over HTTP, http.max_body and http.max_unpacked hold."`
	Promote    []string `yaml:"promote" doc:"Attributes of a resource that become labels of all its metrics; the others are in target_info."`
}

// Agents configures the listener for agents.
type Agents struct {
	Listen string   `yaml:"listen" doc:"Address for agents: TLS 1.3 with certificates of the suite's own authority on both sides; off switches it off."`
	URLs   []string `yaml:"urls" doc:"How hosts reach that address, such as https://soc.example.gov.cn:8444; written into enrolment tokens and tried in order. Empty: the host of http.external_url or this machine's name, with the port of listen."`
	Zone   string   `yaml:"zone" doc:"Network zone the hosts sit in."`
}

// DefaultAgents is where agents are awaited if nobody says otherwise.
const DefaultAgents = ":8444"

// File configures one set of followed log files.
type File struct {
	Name      string   `yaml:"name" doc:"Name of this set; what was read is remembered under it, so keep it. Without one: files-1, files-2…"`
	Paths     []string `yaml:"paths" doc:"Files or glob patterns."`
	Tenant    string   `yaml:"tenant" doc:"Tenant of the lines. Empty: decided as for syslog from this machine."`
	Zone      string   `yaml:"zone" doc:"Network zone of this machine."`
	ReadFrom  string   `yaml:"read_from" doc:"beginning (the default) or end: where to start in files that are there at the first start."`
	Encoding  string   `yaml:"encoding" doc:"utf-8 (the default), gbk, gb18030, utf-16, utf-16le, utf-16be, or auto, which decides once a file between UTF-8 and GB18030. A byte order mark goes before it."`
	Multiline string   `yaml:"multiline" doc:"Regular expression of the first line of an event, such as ^\\d{4}-; lines that it does not match belong to the event before. Empty: each line is an event."`
}

var fileSet = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// SetName is the name of the i-th set.
func (f File) SetName(i int) string {
	if f.Name != "" {
		return f.Name
	}
	return fmt.Sprintf("files-%d", i+1)
}

// Bus configures the durable queue.
type Bus struct {
	MaxSize    Size `yaml:"max_size" doc:"Raw events that may wait for the engine, compressed; then senders are asked to wait."`
	MaxMetrics Size `yaml:"max_metrics" doc:"Samples of metrics from outside that may wait for the engine, compressed; then senders are asked to wait."`
	MinFree    Size `yaml:"min_free" doc:"Disk space to leave free; below it intake stops and loses nothing already taken."`
	Keep       int  `yaml:"keep" doc:"Batches kept after they are stored."`
}

// Lake configures the store of events.
type Lake struct {
	Retention      Duration `yaml:"retention" doc:"How long the class standard keeps events: of the tenants that name no other class, and the city's own. At least 180d, the legal minimum of security and audit logs (Cybersecurity Law of the PRC, article 21)."`
	Classes        []Class  `yaml:"classes" doc:"Further retention classes; a tenant belongs to one. Each has a store of its own in the lake. A list given here replaces the one below."`
	ColdDir        string   `yaml:"cold_dir" doc:"Folder on a larger, slower disk for old days (docs/storage.md). Empty: all days lie below the data folder."`
	ColdAfter      Duration `yaml:"cold_after" doc:"Age at which days of the class standard go to cold_dir; 0 is never."`
	FlowsClass     string   `yaml:"flows_class" doc:"Class of the flow records (NetFlow, IPFIX, sFlow) of all tenants. Empty: that of their tenant."`
	SecuritySets   []string `yaml:"security_datasets" doc:"Patterns of event.dataset of security and audit logs. These never go into a class shorter than 180d: where their tenant's is, they go to the shortest that is not."`
	SecurityOwners []string `yaml:"security_tenants" doc:"Tenants whose events all are security or audit logs. city and unassigned are in any case."`
	FlushInterval  Duration `yaml:"flush_interval" doc:"How long new events may be held in memory before they are written; what is not written yet is replayed from the bus after a crash."`
	Memory         Size     `yaml:"memory" doc:"Memory for caches and searches; 0 is a quarter of the machine's."`
	ScrubPeriod    Duration `yaml:"scrub_period" doc:"In which every file of the lake is read once and compared with its checksum, so that rot is found; 0 compares only at starts and only small files."`
	ScrubRate      Size     `yaml:"scrub_rate" doc:"Bytes a second that are read for it."`

	Remote LakeRemote `yaml:"remote" doc:"Servers that hold the events in place of this machine (docs/drivers.md)."`
}

// Memory says what the suite's processes do with the machine's memory.
type Memory struct {
	Garbage Size `yaml:"garbage" doc:"Memory that each of the two processes may leave to garbage before it is collected; 0 is a 16th of the machine's, 64 MiB at least. Less costs CPU."`
}

// Class is one retention class.
type Class struct {
	Name string   `yaml:"name" doc:"Name, as a tenant's retention names it. A name must not be given to another length later: what it holds stays where it is."`
	Keep Duration `yaml:"keep" doc:"How long its events are kept: whole days."`
	Cold Duration `yaml:"cold_after" doc:"Age at which its days go to lake.cold_dir: whole days; 0 is never."`
}

// Keeping is the policy of retention. The configuration must be valid.
func (l *Lake) Keeping() *retention.Policy {
	p := &retention.Policy{Classes: []retention.Class{{Name: retention.Standard, Keep: time.Duration(l.Retention), Cold: time.Duration(l.ColdAfter)}},
		Flows: l.FlowsClass, Security: l.SecuritySets, Tenants: l.SecurityOwners}
	for _, c := range l.Classes {
		p.Classes = append(p.Classes, retention.Class{Name: c.Name, Keep: time.Duration(c.Keep), Cold: time.Duration(c.Cold)})
	}
	return p
}

// Backup says where backups go.
type Backup struct {
	Dir string `yaml:"dir" doc:"Folder of the backups, on another disk or a mounted share; no other can be used over the API. Empty: backups are taken on the command line only."`
}

// within tells whether a path is a folder or lies below it.
func within(dir, p string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if p, err = filepath.Abs(p); err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, p)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// Limits bounds what comes in.
type Limits struct {
	Fields    int `yaml:"fields" doc:"Fields one event may bring; the rest is kept in one JSON field."`
	Names     int `yaml:"names" doc:"Distinct field names one tenant may bring; the rest is kept in one JSON field."`
	SenderIDs int `yaml:"sender_ids" doc:"Senders' own event ids remembered, so that an event sent again is stored once."`
}

// Rules configures detection content.
type Rules struct {
	Dirs     []string    `yaml:"dirs" doc:"Folders of Sigma rules and Rego policies; later folders override earlier ones by rule id. Changes take effect within seconds."`
	BuiltIn  bool        `yaml:"built_in" doc:"Whether the rules that come with the suite are in force. The policies and the table of log sources are in any case, unless a folder overrides them."`
	Interval Duration    `yaml:"interval" doc:"How often the folders are looked at besides, where the system does not tell of changes, as on network file systems."`
	Policy   PolicyTrust `yaml:"policy" doc:"Whose Rego policies are in force, and the log of what they decide."`
	Flood    Flood       `yaml:"flood" doc:"When a rule fires so much that it is throttled: everything is still counted, but not each match raises an occurrence of its own."`
	Slow     Slow        `yaml:"slow" doc:"When a rule takes so much of the engine's time that it is set aside for a while."`

	Correlation Correlation `yaml:"correlation" doc:"What correlations may hold of events (docs/correlation.md)."`
}

// Parsers says where parser packs are.
type Parsers struct {
	Dirs     []string `yaml:"dirs" doc:"Folders of parser packs, each <vendor>/<product>/pack.yml; later folders, and all of them before the suite's own, override packs of the same vendor and product. Changes take effect within seconds."`
	Interval Duration `yaml:"interval" doc:"How often the folders are looked at besides, where the system does not tell of changes."`
}

// Geo says from which databases places are taken.
type Geo struct {
	Files    []string `yaml:"files" doc:"Databases in MaxMind's format (MMDB), such as GeoLite2-City and GeoLite2-ASN or those of DB-IP and ip-location-db; each is held in memory, and one fills in what those before it lack. A file that is replaced is taken in within half a minute."`
	Language string   `yaml:"language" doc:"Of the names of countries, regions and cities: zh or en."`
}

// Correlation bounds the state of correlations.
type Correlation struct {
	Memory   Size     `yaml:"memory" doc:"Memory for groups of events; some 350 bytes each. Beyond it the groups that have been silent longest are dropped, counted, and an alarm says so."`
	Lateness Duration `yaml:"lateness" doc:"How much older than the newest of its group an event may be and still count, where the rule does not say."`
}

// PolicyTrust says whose policies are in force.
type PolicyTrust struct {
	Keys             []PolicyKey `yaml:"keys" doc:"Public keys that signatures of policy bundles (*.tar.gz in the folders of rules, made by opa build --bundle --signing-key) are verified with. A bundle that is signed by no key listed here is refused, and its last good state stays in force."`
	RequireSignature bool        `yaml:"require_signature" doc:"Whether policies that are not signed are refused: bundles without a signature, and plain Rego files in dirs. The suite's own policies are trusted in any case."`
	Decisions        int         `yaml:"decisions" doc:"Decisions of policies that the decision log keeps, the newest."`
	DecisionRate     int         `yaml:"decision_rate" doc:"Decisions that it takes a second; those beyond are counted and not kept."`
}

// PolicyKey is a public key that verifies policy bundles.
type PolicyKey struct {
	Name      string `yaml:"name" doc:"Shown beside what it has verified."`
	File      string `yaml:"file" doc:"Public key or certificate in PEM."`
	Algorithm string `yaml:"algorithm" doc:"Of JSON Web Signatures: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512; what opa build --signing-alg was given, there RS256 by default."`
}

// Flood bounds what one rule may raise.
type Flood struct {
	Rate     int      `yaml:"rate" doc:"Occurrences a second, on the average of the window, up to which a rule raises each; 0 is without bound."`
	Window   Duration `yaml:"window" doc:"Over which the rate is taken."`
	Interval Duration `yaml:"interval" doc:"A throttled rule raises one occurrence a group in so long, which says how many matches it stands for."`
}

// Slow bounds what one rule may take of the engine's time.
type Slow struct {
	Percent int      `yaml:"percent" doc:"Of one processor core's time that a rule may take all through the window; 0 is without bound."`
	Window  Duration `yaml:"window" doc:"Over which the time is taken."`
	Pause   Duration `yaml:"pause" doc:"For which a rule is set aside the first time; it doubles each time the rule is slow again, up to 1h."`
}

// Tenants configures tenants beside the built-in catalogue.
type Tenants struct {
	Dirs []string `yaml:"dirs" doc:"Folders laid out as tenants/ in the source: one folder a tenant with a tenant.yaml."`
}

// Notify configures receivers of notices.
type Notify struct {
	Webhooks []Webhook `yaml:"webhooks" doc:"Receivers of Alertmanager's webhook payload, version 4."`
}

// Webhook is one receiver.
type Webhook struct {
	Name         string `yaml:"name" doc:"Name in the delivery log."`
	URL          string `yaml:"url" doc:"Where to post to (http or https)."`
	Secret       string `yaml:"secret" doc:"Key of the HMAC-SHA256 signature in X-Icewatch-Signature. Better given as secret_file."`
	SecretFile   string `yaml:"secret_file" doc:"File that holds the secret."`
	SendResolved *bool  `yaml:"send_resolved" doc:"Whether closing an incident is told too; true if absent."`
}

// Security configures how the suite guards itself.
type Security struct {
	MasterKeyFile string `yaml:"master_key_file" doc:"File of the master keys that seal the suite's secrets. Empty: keys/master in the data folder, made at the first start; elsewhere is better, since a backup of the data then holds no key."`
	Egress        Egress `yaml:"egress" doc:"Where URLs that users give, such as webhooks, may lead. Loopback, link-local and metadata addresses and this machine's own are refused; receivers in this file are not bound by it."`
}

// Egress bounds the connections to URLs that users give.
type Egress struct {
	Allow   []string `yaml:"allow" doc:"Networks that may be reached whatever they are, such as 127.0.0.1/32 or, for one port, 10.0.0.5:9000."`
	Private bool     `yaml:"private" doc:"Whether private networks may be reached."`
}

// Guard makes the guard of outgoing connections.
func (e Egress) Guard() (*egress.Guard, error) {
	return egress.New(egress.Options{Allow: e.Allow, RefusePrivate: !e.Private})
}

// KeyFile is where the master keys lie.
func (c *Config) KeyFile() string {
	if c.Security.MasterKeyFile != "" {
		return c.Security.MasterKeyFile
	}
	return filepath.Join(c.Data, "keys", "master")
}

// SLA is the clock of one priority.
type SLA struct {
	Priority    string   `yaml:"priority" doc:"P1, P2, P3 or P4."`
	Acknowledge Duration `yaml:"acknowledge" doc:"Time to acknowledge."`
	Resolve     Duration `yaml:"resolve" doc:"Time to resolve."`
}

// Default returns the configuration of a fresh installation.
func Default() *Config {
	return &Config{
		Data: "./data",
		Log:  Log{Level: "info", Format: "text"},
		HTTP: HTTP{Listen: "127.0.0.1:8080", TLSProvider: transport.Standard, MaxBody: 64 << 20, MaxUnpacked: 256 << 20},
		Syslog: Syslog{UDP: ":5514", TCP: ":5514", TLS: "off", RELP: "off", RELPTLS: "off", Zone: "default", MaxMessage: 16 << 20,
			MaxConnections: 4096, IdleTimeout: Duration(24 * time.Hour)},
		Flows: Flows{NetFlow: ":2055", SFlow: ":6343", Zone: "default"},
		SNMP:  SNMP{Traps: "off", Zone: "default"},
		OTLP: OTLP{GRPC: "127.0.0.1:4317", HTTP: "127.0.0.1:4318", MaxMessage: 16 << 20,
			Promote: []string{"deployment.environment.name", "host.name", "k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name"}},
		Agents:    Agents{Listen: DefaultAgents, Zone: "default"},
		AlertMail: AlertMail{Listen: "off", Domain: "icewatch"},
		Relays:    []string{"127.0.0.0/8", "::1/128"},
		Bus:       Bus{MaxSize: 8 << 30, MaxMetrics: 2 << 30, MinFree: 512 << 20, Keep: 1000},
		Lake: Lake{Retention: Duration(retention.LegalMinimum), FlushInterval: Duration(5 * time.Second), ScrubPeriod: Duration(7 * 24 * time.Hour), ScrubRate: 16 << 20,
			Classes:      []Class{{Name: "short", Keep: Duration(30 * retention.Day)}, {Name: "long", Keep: Duration(365 * retention.Day)}, {Name: "archive", Keep: Duration(1095 * retention.Day)}},
			SecuritySets: []string{"icewatch.*", "*.auth", "*.audit", "*.security", "*.alert", "sudo.*", "pam.*", "iptables.*"}},
		Metrics: Metrics{Retention: Duration(180 * 24 * time.Hour), Interval: Duration(15 * time.Second)},
		Limits:  Limits{Fields: 500, Names: 1000, SenderIDs: 1_000_000},
		Rules: Rules{BuiltIn: true, Policy: PolicyTrust{Decisions: 100_000, DecisionRate: 100}, Interval: Duration(2 * time.Second), Flood: Flood{Rate: 200, Window: Duration(10 * time.Second), Interval: Duration(10 * time.Second)}, Slow: Slow{Percent: 20, Window: Duration(10 * time.Second), Pause: Duration(time.Minute)},
			Correlation: Correlation{Memory: 512 << 20, Lateness: Duration(5 * time.Minute)}},
		Parsers:  Parsers{Interval: Duration(2 * time.Second)},
		Geo:      Geo{Language: "zh"},
		Security: Security{Egress: Egress{Private: true}},
		Alerts: Alerts{Faults: Faults{Wait: Duration(10 * time.Second), Window: Duration(15 * time.Minute), Opens: "medium", Least: 3, Percent: 50},
			Flapping: Flapping{Changes: 6, Window: Duration(30 * time.Minute), Calm: Duration(15 * time.Minute)}, Storm: Storm{Rule: 20_000, Source: 100_000, Per: Duration(time.Minute)}},
		SLA: []SLA{
			{"P1", Duration(15 * time.Minute), Duration(4 * time.Hour)},
			{"P2", Duration(15 * time.Minute), Duration(6 * time.Hour)},
			{"P3", Duration(time.Hour), Duration(72 * time.Hour)},
			{"P4", Duration(time.Hour), Duration(7 * 24 * time.Hour)},
		},
	}
}

// Validate tells what cannot work, each with the option's path and what would
// be right.
func (c *Config) Validate() []Problem {
	var out []Problem
	bad := func(path, format string, args ...any) {
		out = append(out, Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	oneOf := func(path, v string, allowed ...string) {
		for _, a := range allowed {
			if v == a {
				return
			}
		}
		bad(path, "%q is not known; one of %s is expected", v, strings.Join(allowed, ", "))
	}
	address := func(path, v string, off bool) {
		if off && (v == "off" || v == "") {
			return
		}
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			bad(path, "%q is not an address; host:port is expected, such as 127.0.0.1:8080 or :5514", v)
			return
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			bad(path, "the port %q of %q is not a number from 0 to 65535", port, v)
		}
		if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil && strings.ContainsAny(host, " /") {
			bad(path, "%q is not a host", host)
		}
	}
	file := func(path, v string) {
		if v == "" {
			return
		}
		if st, err := os.Stat(v); err != nil {
			bad(path, "%q cannot be read: %v", v, err)
		} else if st.IsDir() {
			bad(path, "%q is a folder; a file is expected", v)
		}
	}
	atLeast := func(path string, v, least int64, unit string) {
		if v < least {
			bad(path, "%d is too little; at least %d%s is expected", v, least, unit)
		}
	}
	if strings.TrimSpace(c.Data) == "" {
		bad("data", "no folder is given; a path such as ./data is expected")
	}
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", c.Log.Format, "text", "json")
	address("http.listen", c.HTTP.Listen, false)
	file("http.tls_cert", c.HTTP.TLSCert)
	file("http.tls_key", c.HTTP.TLSKey)
	if (c.HTTP.TLSCert == "") != (c.HTTP.TLSKey == "") {
		bad("http.tls_cert", "tls_cert and tls_key belong together; give both or neither")
	}
	oneOf("http.tls_provider", c.HTTP.TLSProvider, transport.Providers()...)
	if c.HTTP.ExternalURL != "" && !isHTTP(c.HTTP.ExternalURL) {
		bad("http.external_url", "%q is not a URL; one such as https://soc.example.gov.cn is expected", c.HTTP.ExternalURL)
	}
	atLeast("http.max_body", int64(c.HTTP.MaxBody), 64<<10, " bytes (64KiB)")
	atLeast("http.max_unpacked", int64(c.HTTP.MaxUnpacked), int64(c.HTTP.MaxBody), " bytes, which is http.max_body,")
	address("alert_mail.listen", c.AlertMail.Listen, true)
	if d := c.AlertMail.Domain; d == "" || strings.ContainsAny(d, "@ \t") {
		bad("alert_mail.domain", "%q is no name behind an @; one such as soc.example.gov.cn is expected", d)
	}
	address("syslog.udp", c.Syslog.UDP, true)
	address("syslog.tcp", c.Syslog.TCP, true)
	address("syslog.tls", c.Syslog.TLS, true)
	address("syslog.relp", c.Syslog.RELP, true)
	address("syslog.relp_tls", c.Syslog.RELPTLS, true)
	atLeast("syslog.max_message", int64(c.Syslog.MaxMessage), 1024, " bytes (1KiB)")
	if c.Syslog.MaxMessage > 64<<20 {
		bad("syslog.max_message", "%d bytes are too many; at most 64MiB are read as one message", c.Syslog.MaxMessage)
	}
	atLeast("syslog.max_connections", int64(c.Syslog.MaxConnections), 1, "")
	atLeast("syslog.idle_timeout", int64(c.Syslog.IdleTimeout), int64(time.Second), " ns (1s)")
	listeners := map[string]bool{}
	for i, l := range c.Syslog.Listeners {
		at, name := fmt.Sprintf("syslog.listeners[%d]", i), l.ListenerName()
		if listeners[name] || !fileSet.MatchString(name) {
			bad(at+".name", "%q is given twice, or has other characters than letters, digits, dot, dash and underscore", name)
		}
		listeners[name] = true
		given := false
		for _, x := range [][2]string{{"udp", l.UDP}, {"tcp", l.TCP}, {"tls", l.TLS}, {"relp", l.RELP}, {"relp_tls", l.RELPTLS}} {
			if x[1] != "" {
				address(at+"."+x[0], x[1], true)
				given = given || x[1] != "off"
			}
		}
		if !given {
			bad(at, "none of udp, tcp, tls, relp and relp_tls is given; at least one address such as :5515 is expected")
		}
	}
	address("flows.netflow", c.Flows.NetFlow, true)
	address("flows.sflow", c.Flows.SFlow, true)
	address("snmp.traps", c.SNMP.Traps, true)
	file("snmp.communities_file", c.SNMP.CommunitiesFile)
	file("snmp.users_file", c.SNMP.UsersFile)
	for i, n := range c.SNMP.Sources {
		if _, err := netip.ParsePrefix(n); err != nil {
			if _, err := netip.ParseAddr(n); err != nil {
				bad(fmt.Sprintf("snmp.sources[%d]", i), "%q is not a network; one such as 10.1.0.0/16 or 10.1.2.3 is expected", n)
			}
		}
	}
	if t := c.SNMP.Traps; t != "off" && t != "" && c.SNMP.CommunitiesFile == "" && c.SNMP.UsersFile == "" {
		bad("snmp.traps", "everything would be refused: give communities_file, or better users_file")
	}
	address("agents.listen", c.Agents.Listen, true)
	for i, u := range c.Agents.URLs {
		if x, err := url.Parse(u); err != nil || x.Scheme != "https" || x.Host == "" || x.Path != "" {
			bad(fmt.Sprintf("agents.urls[%d]", i), "%q is not an address of agents; one such as https://soc.example.gov.cn:8444 is expected", u)
		}
	}
	address("otlp.grpc", c.OTLP.GRPC, true)
	address("otlp.http", c.OTLP.HTTP, true)
	atLeast("otlp.max_message", int64(c.OTLP.MaxMessage), 64<<10, " bytes (64KiB)")
	if c.OTLP.MaxMessage > 256<<20 {
		bad("otlp.max_message", "%d bytes are too many; at most 256MiB are read as one message", c.OTLP.MaxMessage)
	}
	sets := map[string]bool{}
	for i, f := range c.Files {
		name := f.SetName(i)
		if sets[name] || !fileSet.MatchString(name) {
			bad(fmt.Sprintf("files[%d].name", i), "%q is given twice, or has other characters than letters, digits, dot, dash and underscore", name)
		}
		sets[name] = true
		if f.ReadFrom != "" {
			oneOf(fmt.Sprintf("files[%d].read_from", i), f.ReadFrom, "beginning", "end")
		}
		if f.Encoding != "" {
			oneOf(fmt.Sprintf("files[%d].encoding", i), f.Encoding, "auto", "utf-8", "gbk", "gb18030", "utf-16", "utf-16le", "utf-16be")
		}
		if _, err := regexp.Compile(f.Multiline); err != nil {
			bad(fmt.Sprintf("files[%d].multiline", i), "%q is no regular expression: %v", f.Multiline, err)
		}
		if len(f.Paths) == 0 {
			bad(fmt.Sprintf("files[%d].paths", i), "no path is given; at least one file or pattern is expected")
		}
		for j, p := range f.Paths {
			if _, err := filepath.Match(p, ""); err != nil {
				bad(fmt.Sprintf("files[%d].paths[%d]", i, j), "%q is not a pattern: %v", p, err)
			}
		}
	}
	for i, r := range c.Relays {
		if _, err := netip.ParsePrefix(r); err != nil {
			if _, err := netip.ParseAddr(r); err != nil {
				bad(fmt.Sprintf("relays[%d]", i), "%q is not a network; one such as 10.1.0.0/16 or 10.1.2.3 is expected", r)
			}
		}
	}
	atLeast("bus.max_size", int64(c.Bus.MaxSize), 16<<20, " bytes (16MiB)")
	atLeast("bus.min_free", int64(c.Bus.MinFree), 0, "")
	atLeast("bus.max_metrics", int64(c.Bus.MaxMetrics), 16<<20, " bytes (16MiB)")
	atLeast("bus.keep", int64(c.Bus.Keep), 1, "")
	for _, f := range c.Lake.Keeping().Check() {
		bad(f.Option, "%s", f.Reason)
	}
	atLeast("lake.flush_interval", int64(c.Lake.FlushInterval), int64(time.Second), " ns (1s)")
	atLeast("lake.memory", int64(c.Lake.Memory), 0, "")
	atLeast("memory.garbage", int64(c.Memory.Garbage), 0, "")
	atLeast("lake.scrub_period", int64(c.Lake.ScrubPeriod), 0, "")
	atLeast("lake.scrub_rate", int64(c.Lake.ScrubRate), 64<<10, " bytes (64KiB)")
	if c.Lake.ColdDir == "" {
		for i, class := range c.Lake.Keeping().Classes {
			if class.Cold > 0 {
				bad([]string{"lake.cold_after", fmt.Sprintf("lake.classes[%d].cold_after", i-1)}[min(i, 1)], "days cannot go to a cold folder: lake.cold_dir names none")
			}
		}
	} else if len(c.Lake.Remote.Nodes) > 0 {
		bad("lake.cold_dir", "events are kept by the servers of lake.remote, so there is nothing here to move")
	}
	c.checkRemote(bad, file)
	atLeast("metrics.retention", int64(c.Metrics.Retention), int64(24*time.Hour), " ns (1d)")
	atLeast("metrics.interval", int64(c.Metrics.Interval), int64(time.Second), " ns (1s)")
	atLeast("limits.fields", int64(c.Limits.Fields), 10, "")
	atLeast("limits.names", int64(c.Limits.Names), 10, "")
	if c.Limits.Names > 1500 {
		bad("limits.names", "%d is too many; the lake holds at most 1500 names of a tenant's own", c.Limits.Names)
	}
	atLeast("limits.sender_ids", int64(c.Limits.SenderIDs), 1, "")
	atLeast("parsers.interval", int64(c.Parsers.Interval), int64(100*time.Millisecond), " ns (100ms)")
	atLeast("rules.interval", int64(c.Rules.Interval), int64(100*time.Millisecond), " ns (100ms)")
	atLeast("rules.policy.decisions", int64(c.Rules.Policy.Decisions), 1, "")
	atLeast("rules.policy.decision_rate", int64(c.Rules.Policy.DecisionRate), 1, "")
	named := map[string]bool{}
	for i, k := range c.Rules.Policy.Keys {
		if at := fmt.Sprintf("rules.policy.keys[%d]", i); k.Name == "" || k.File == "" || k.Algorithm == "" {
			bad(at, "name, file and algorithm are needed")
		} else if named[k.Name] {
			bad(at+".name", "%s is given twice", k.Name)
		}
		named[k.Name] = true
	}
	atLeast("rules.flood.rate", int64(c.Rules.Flood.Rate), 0, "")
	atLeast("rules.flood.window", int64(c.Rules.Flood.Window), int64(time.Second), " ns (1s)")
	atLeast("rules.flood.interval", int64(c.Rules.Flood.Interval), int64(time.Second), " ns (1s)")
	if p := c.Rules.Slow.Percent; p < 0 || p > 100 {
		bad("rules.slow.percent", "%d: 0 to 100 is expected", p)
	}
	atLeast("rules.slow.window", int64(c.Rules.Slow.Window), int64(time.Second), " ns (1s)")
	atLeast("rules.slow.pause", int64(c.Rules.Slow.Pause), int64(time.Second), " ns (1s)")
	atLeast("rules.correlation.memory", int64(c.Rules.Correlation.Memory), 1<<20, " (1MiB)")
	atLeast("rules.correlation.lateness", int64(c.Rules.Correlation.Lateness), int64(time.Second), " ns (1s)")
	folder := func(path string, v string) {
		if st, err := os.Stat(v); err != nil {
			bad(path, "%q cannot be read: %v", v, err)
		} else if !st.IsDir() {
			bad(path, "%q is not a folder", v)
		}
	}
	for i, d := range c.Rules.Dirs {
		folder(fmt.Sprintf("rules.dirs[%d]", i), d)
	}
	for i, d := range c.Parsers.Dirs {
		folder(fmt.Sprintf("parsers.dirs[%d]", i), d)
	}
	for i, f := range c.Geo.Files {
		if st, err := os.Stat(f); err != nil {
			bad(fmt.Sprintf("geo.files[%d]", i), "%q cannot be read: %v", f, err)
		} else if !st.Mode().IsRegular() {
			bad(fmt.Sprintf("geo.files[%d]", i), "%q is not a file", f)
		}
	}
	if c.Geo.Language != "zh" && c.Geo.Language != "en" {
		bad("geo.language", "%q: want zh or en", c.Geo.Language)
	}
	for i, d := range c.Tenants.Dirs {
		folder(fmt.Sprintf("tenants.dirs[%d]", i), d)
	}
	names := map[string]bool{}
	for i, w := range c.Notify.Webhooks {
		at := fmt.Sprintf("notify.webhooks[%d]", i)
		if w.Name == "" {
			bad(at+".name", "the receiver has no name")
		} else if names[w.Name] {
			bad(at+".name", "the name %q is given twice", w.Name)
		}
		names[w.Name] = true
		if !isHTTP(w.URL) {
			bad(at+".url", "%q is not a URL; one such as https://hooks.example.gov.cn/soc is expected", w.URL)
		}
		if w.Secret != "" && w.SecretFile != "" {
			bad(at+".secret", "secret and secret_file exclude each other; give one")
		}
		file(at+".secret_file", w.SecretFile)
	}
	c.checkCMDB(bad, file)
	c.checkElastic(bad, file)
	for i, network := range c.Security.Egress.Allow {
		if _, err := (Egress{Allow: []string{network}}).Guard(); err != nil {
			bad(fmt.Sprintf("security.egress.allow[%d]", i), "%v", err)
		}
	}
	seen := map[string]bool{}
	for i, s := range c.SLA {
		at := fmt.Sprintf("sla[%d]", i)
		oneOf(at+".priority", s.Priority, "P1", "P2", "P3", "P4")
		if seen[s.Priority] {
			bad(at+".priority", "%s is given twice", s.Priority)
		}
		seen[s.Priority] = true
		if s.Acknowledge <= 0 || s.Resolve < s.Acknowledge {
			bad(at, "acknowledge must be more than 0 and resolve not less than it")
		}
	}
	if dir := c.Backup.Dir; dir != "" && within(c.Data, dir) {
		bad("backup.dir", "%q lies in the data folder, with which it would be lost; a folder on another disk is expected", dir)
	}
	return out
}

func isHTTP(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// RelayPrefixes returns the relays as networks. The configuration must be valid.
func (c *Config) RelayPrefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range c.Relays {
		if p, err := netip.ParsePrefix(r); err == nil {
			out = append(out, p.Masked())
		} else if a, err := netip.ParseAddr(r); err == nil {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}

// Loopback tells whether the HTTP address can be reached from this machine only.
func (c *Config) Loopback() bool {
	host, _, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Duration is a length of time in YAML: 90s, 15m, 8h, 7d, 2w.
type Duration time.Duration

// ParseDuration reads a duration with the units ns to h, d and w.
func ParseDuration(s string) (Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if days, err := strconv.ParseFloat(n, 64); err == nil {
			return Duration(days * float64(24*time.Hour)), nil
		}
	}
	if n, ok := strings.CutSuffix(s, "w"); ok {
		if weeks, err := strconv.ParseFloat(n, 64); err == nil {
			return Duration(weeks * float64(7*24*time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a length of time; one such as 90s, 15m, 8h, 7d or 2w is expected", s)
	}
	return Duration(d), nil
}

// String prints whole days as such.
func (d Duration) String() string {
	if day := Duration(24 * time.Hour); d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Size is a number of bytes in YAML: 1048576, 64KiB, 16MiB, 8GiB, 500MB.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}}

// ParseSize reads a number of bytes.
func ParseSize(s string) (Size, error) {
	unit := int64(1)
	text := s
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			text, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n*float64(unit) > 1<<60 {
		return 0, fmt.Errorf("%q is not a size; one such as 64KiB, 16MiB or 8GiB is expected", s)
	}
	return Size(n * float64(unit)), nil
}

// String prints the largest binary unit that divides the size.
func (s Size) String() string {
	for _, u := range units[:4] {
		if int64(s) >= u.bytes && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Platform names what this binary runs on.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
