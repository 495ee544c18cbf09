// Package config is the suite's one configuration: a YAML file, over it the
// ICEWATCH_* variables of the environment, over these the command line. Every
// option has a default that works, and a documented place in icewatch.yaml.
package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"runtime"

	"icewatch/soc/egress"
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

// Bus configures the durable queue.
type Bus struct {
	MaxSize    Size `yaml:"max_size" doc:"Raw events that may wait for the engine, compressed; then senders are asked to wait."`
	MaxMetrics Size `yaml:"max_metrics" doc:"Samples of metrics from outside that may wait for the engine, compressed; then senders are asked to wait."`
	MinFree    Size `yaml:"min_free" doc:"Disk space to leave free; below it intake stops and loses nothing already taken."`
	Keep       int  `yaml:"keep" doc:"Batches kept after they are stored."`
}

// Memory says what the suite's processes do with the machine's memory.
type Memory struct {
	Garbage Size `yaml:"garbage" doc:"Memory that each of the two processes may leave to garbage before it is collected; 0 is a 16th of the machine's, 64 MiB at least. Less costs CPU."`
}

// Backup says where backups go.
type Backup struct {
	Dir string `yaml:"dir" doc:"Folder of the backups, on another disk or a mounted share; no other can be used over the API. Empty: backups are taken on the command line only."`
}

// Limits bounds what comes in.
type Limits struct {
	Fields    int `yaml:"fields" doc:"Fields one event may bring; the rest is kept in one JSON field."`
	Names     int `yaml:"names" doc:"Distinct field names one tenant may bring; the rest is kept in one JSON field."`
	SenderIDs int `yaml:"sender_ids" doc:"Senders' own event ids remembered, so that an event sent again is stored once."`
}

// Geo says from which databases places are taken.
type Geo struct {
	Files    []string `yaml:"files" doc:"Databases in MaxMind's format (MMDB), such as GeoLite2-City and GeoLite2-ASN or those of DB-IP and ip-location-db; each is held in memory, and one fills in what those before it lack. A file that is replaced is taken in within half a minute."`
	Language string   `yaml:"language" doc:"Of the names of countries, regions and cities: zh or en."`
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

// Platform names what this binary runs on.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
