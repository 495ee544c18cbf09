package config

import (
	"fmt"
	"net/netip"
	"regexp"
)

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
