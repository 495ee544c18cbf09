package forwarding

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of target.
const (
	Elasticsearch = "elasticsearch"
	Kafka         = "kafka"
	Syslog        = "syslog"
	Loki          = "loki"
	RemoteWrite   = "remote-write"
)

// Where a new target begins.
const (
	FromNow       = "now"
	FromBeginning = "beginning"
)

// The ways to sign in at a target that speaks HTTP.
const (
	AuthNone   = "none"
	AuthBasic  = "basic"
	AuthAPIKey = "api-key"
	AuthBearer = "bearer"
)

// The secrets of a target.
const (
	Password  = "password"   // password, API key or bearer token
	ClientKey = "client_key" // private key of the client certificate, PEM
)

// The formats of syslog.
const (
	RFC5424 = "rfc5424"
	CEF     = "cef"
)

// Content is what a target says, without its secrets.
type Content struct {
	Name        string `json:"name" doc:"1 to 64 letters, digits, '.', '_' and '-'"`
	Description string `json:"description,omitempty"`
	Kind        string `json:"kind" enum:"elasticsearch,kafka,syslog,loki,remote-write"`
	Enabled     bool   `json:"enabled"`
	Filter      string `json:"filter,omitempty" doc:"Which events go: LogsQL without pipes, everything by default. Of remote-write a series selector, such as {__name__=~\"node_.*\"}"`
	Tenant      string `json:"tenant,omitempty" doc:"Slugs separated by commas; all that the owner reaches by default"`
	From        string `json:"from,omitempty" enum:"now,beginning" doc:"Where a new target begins: now by default"`
	Original    bool   `json:"original,omitempty" doc:"Send event.original, the text as it came in, as well"`
	AlarmAfter  int    `json:"alarm_after_minutes,omitempty" doc:"How long it may fail before it is alarmed; 5 by default"`

	Elasticsearch *ElasticsearchOptions `json:"elasticsearch,omitempty"`
	Kafka         *KafkaOptions         `json:"kafka,omitempty"`
	Syslog        *SyslogOptions        `json:"syslog,omitempty"`
	Loki          *LokiOptions          `json:"loki,omitempty"`
	RemoteWrite   *RemoteWriteOptions   `json:"remote_write,omitempty"`
	TLS           *TLSOptions           `json:"tls,omitempty"`
}

// ElasticsearchOptions are those of an Elasticsearch or OpenSearch cluster, or
// of what speaks its _bulk.
type ElasticsearchOptions struct {
	URLs     []string `json:"urls" doc:"Nodes of the cluster"`
	Index    string   `json:"index,omitempty" doc:"Index or data stream; {tenant}, {dataset} and {date} are filled in. logs-icewatch-{tenant} by default"`
	Auth     string   `json:"auth,omitempty" enum:"none,basic,api-key" doc:"The secret is the password, or the API key as the cluster gave it (encoded)"`
	Username string   `json:"username,omitempty"`
	Template bool     `json:"template,omitempty" doc:"Install an index template with the types of our fields where the cluster has none of its name"`
}

// KafkaOptions are those of a Kafka cluster.
type KafkaOptions struct {
	Brokers     []string `json:"brokers" doc:"host:port"`
	Topic       string   `json:"topic" doc:"{tenant} and {dataset} are filled in"`
	TLS         bool     `json:"tls,omitempty"`
	Mechanism   string   `json:"mechanism,omitempty" enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512," doc:"How to sign in (SASL); the secret is the password"`
	Username    string   `json:"username,omitempty"`
	Compression string   `json:"compression,omitempty" enum:"zstd,lz4,snappy,gzip,none," doc:"zstd by default"`
}

// SyslogOptions are those of a syslog receiver.
type SyslogOptions struct {
	Address   string `json:"address" doc:"host:port"`
	Transport string `json:"transport" enum:"tls,tcp,udp" doc:"RFC 5425, RFC 6587 with octet counting, or RFC 5426"`
	Format    string `json:"format,omitempty" enum:"rfc5424,cef," doc:"RFC 5424 with structured data by default, or CEF within it"`
	Facility  *int   `json:"facility,omitempty" minimum:"0" maximum:"23" doc:"Of events that did not come by syslog; 16 (local0) by default"`
}

// LokiOptions are those of Grafana Loki.
type LokiOptions struct {
	URL      string            `json:"url" doc:"Of the server, or of its push API"`
	Tenant   string            `json:"tenant,omitempty" doc:"X-Scope-OrgID"`
	Auth     string            `json:"auth,omitempty" enum:"none,basic,bearer"`
	Username string            `json:"username,omitempty"`
	Labels   map[string]string `json:"labels,omitempty" doc:"Labels of the streams and the fields that fill them; tenant, dataset and host by default"`
}

// RemoteWriteOptions are those of what takes Prometheus remote write 1.0.
type RemoteWriteOptions struct {
	URL      string `json:"url"`
	Auth     string `json:"auth,omitempty" enum:"none,basic,bearer"`
	Username string `json:"username,omitempty"`
}

// TLSOptions say whom to trust, and who we are.
type TLSOptions struct {
	CA          string `json:"ca,omitempty" doc:"PEM certificates to trust in place of the system's"`
	ServerName  string `json:"server_name,omitempty" doc:"On the certificate; the host by default"`
	Certificate string `json:"client_certificate,omitempty" doc:"PEM; its key is the secret client_key"`
}

// Secrets are what a target signs in with, by name.
type Secrets map[string]string

const (
	maxName     = 64
	maxText     = 2000
	maxFilter   = 16 << 10
	maxServers  = 20
	maxPEM      = 64 << 10
	maxSecret   = 16 << 10
	maxLabels   = 10
	maxAlarm    = 7 * 24 * 60
	defaultPush = "/loki/api/v1/push"
)

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	topicPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)
	// Elasticsearch wants lower case, no "\/*?"<>| ,#:" and none of -_+ first.
	indexPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,199}$`)
	labelPattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)
	fieldPattern = regexp.MustCompile(`^[A-Za-z0-9@_][A-Za-z0-9@_.-]{0,127}$`)
)

// faults gathers what is wrong with a content.
type faults []string

func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, field+": "+fmt.Sprintf(format, args...))
}

// complete fills in what was left out.
func (c *Content) complete() {
	c.Name, c.Description, c.Filter = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description), strings.TrimSpace(c.Filter)
	if c.From == "" {
		c.From = FromNow
	}
	if c.AlarmAfter == 0 {
		c.AlarmAfter = 5
	}
	if e := c.Elasticsearch; e != nil && e.Index == "" {
		e.Index = "logs-icewatch-{tenant}"
	}
	for _, auth := range []*string{c.auth()} {
		if auth != nil && *auth == "" {
			*auth = AuthNone
		}
	}
	if k := c.Kafka; k != nil && k.Compression == "" {
		k.Compression = "zstd"
	}
	if s := c.Syslog; s != nil {
		if s.Format == "" {
			s.Format = RFC5424
		}
		if s.Facility == nil {
			local0 := 16
			s.Facility = &local0
		}
	}
	if l := c.Loki; l != nil && len(l.Labels) == 0 {
		l.Labels = map[string]string{"tenant": "icewatch.tenant", "dataset": "event.dataset", "host": "host.name"}
	}
}

// auth is the way to sign in of the content's kind, nil where there is none.
func (c *Content) auth() *string {
	switch {
	case c.Elasticsearch != nil:
		return &c.Elasticsearch.Auth
	case c.Loki != nil:
		return &c.Loki.Auth
	case c.RemoteWrite != nil:
		return &c.RemoteWrite.Auth
	}
	return nil
}

// username is whom to sign in as.
func (c *Content) username() string {
	switch {
	case c.Elasticsearch != nil:
		return c.Elasticsearch.Username
	case c.Loki != nil:
		return c.Loki.Username
	case c.RemoteWrite != nil:
		return c.RemoteWrite.Username
	case c.Kafka != nil:
		return c.Kafka.Username
	}
	return ""
}

// servers are the addresses of the target, for people and to tell whether they
// changed.
func (c *Content) servers() []string {
	switch {
	case c.Elasticsearch != nil:
		return c.Elasticsearch.URLs
	case c.Kafka != nil:
		return c.Kafka.Brokers
	case c.Syslog != nil:
		return []string{c.Syslog.Transport + "://" + c.Syslog.Address}
	case c.Loki != nil:
		return []string{c.Loki.URL}
	case c.RemoteWrite != nil:
		return []string{c.RemoteWrite.URL}
	}
	return nil
}

// check says everything that is wrong with a completed content.
func (c *Content) check(secrets Secrets) (wrong faults) {
	if !namePattern.MatchString(c.Name) {
		wrong.add("name", "%.80q: 1 to %d letters, digits, '.', '_' and '-' are right, a letter or digit first", c.Name, maxName)
	}
	if utf8.RuneCountInString(c.Description) > maxText {
		wrong.add("description", "%d characters are the most", maxText)
	}
	if len(c.Filter) > maxFilter {
		wrong.add("filter", "it has %d bytes: %d are the most", len(c.Filter), maxFilter)
	}
	if c.From != FromNow && c.From != FromBeginning {
		wrong.add("from", "%.20q: %s or %s is right", c.From, FromNow, FromBeginning)
	}
	if c.AlarmAfter < 1 || c.AlarmAfter > maxAlarm {
		wrong.add("alarm_after_minutes", "%d: 1 to %d is right", c.AlarmAfter, maxAlarm)
	}
	blocks := map[string]bool{Elasticsearch: c.Elasticsearch != nil, Kafka: c.Kafka != nil, Syslog: c.Syslog != nil, Loki: c.Loki != nil, RemoteWrite: c.RemoteWrite != nil}
	there, known := blocks[c.Kind]
	if !known {
		wrong.add("kind", "%.40q: elasticsearch, kafka, syslog, loki or remote-write is right", c.Kind)
		return wrong
	}
	for kind, there := range blocks {
		if there && kind != c.Kind {
			wrong.add(strings.ReplaceAll(kind, "-", "_"), "the kind is %s: leave the options of another kind out", c.Kind)
		}
	}
	if !there {
		wrong.add(strings.ReplaceAll(c.Kind, "-", "_"), "the options of the kind are missing")
	}
	if len(wrong) > 0 {
		return wrong
	}
	switch c.Kind {
	case Elasticsearch:
		c.Elasticsearch.check(&wrong)
	case Kafka:
		c.Kafka.check(&wrong)
	case Syslog:
		c.Syslog.check(&wrong)
	case Loki:
		c.Loki.check(&wrong)
	case RemoteWrite:
		checkURL(&wrong, "remote_write.url", c.RemoteWrite.URL)
	}
	if auth := c.auth(); auth != nil {
		c.checkAuth(&wrong, *auth)
	}
	c.checkTLS(&wrong, secrets)
	if c.Enabled {
		for _, name := range c.lacks(secrets) {
			wrong.add("secrets."+name, "it is missing: an enabled target needs it to sign in")
		}
	}
	for name, s := range secrets {
		if name != Password && name != ClientKey {
			wrong.add("secrets", "%.40q is no secret of a target: %s and %s are", name, Password, ClientKey)
		}
		if len(s) > maxSecret {
			wrong.add("secrets."+name, "it has %d bytes: %d are the most", len(s), maxSecret)
		}
	}
	return wrong
}

// lacks are the secrets that a completed content needs and that are not there.
func (c *Content) lacks(secrets Secrets) []string {
	var out []string
	if auth := c.auth(); (auth != nil && *auth != AuthNone || c.Kafka != nil && c.Kafka.Mechanism != "") && secrets[Password] == "" {
		out = append(out, Password)
	}
	if c.TLS != nil && c.TLS.Certificate != "" && secrets[ClientKey] == "" {
		out = append(out, ClientKey)
	}
	return out
}

func (c *Content) checkAuth(wrong *faults, auth string) {
	allowed := []string{AuthNone, AuthBasic, AuthBearer}
	if c.Kind == Elasticsearch {
		allowed = []string{AuthNone, AuthBasic, AuthAPIKey}
	}
	switch {
	case !slices.Contains(allowed, auth):
		wrong.add("auth", "%.20q: %s is right", auth, strings.Join(allowed, ", "))
	case auth == AuthBasic && c.username() == "":
		wrong.add("username", "signing in by name and password needs a name")
	}
}

func (c *Content) checkTLS(wrong *faults, secrets Secrets) {
	t := c.TLS
	if t == nil {
		return
	}
	if len(t.CA) > maxPEM || len(t.Certificate) > maxPEM {
		wrong.add("tls", "%d bytes of certificates are the most", maxPEM)
		return
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		wrong.add("tls.ca", "it holds no certificate in PEM form")
	}
	if t.Certificate != "" {
		if block, _ := pem.Decode([]byte(t.Certificate)); block == nil || block.Type != "CERTIFICATE" {
			wrong.add("tls.client_certificate", "it is no certificate in PEM form")
		} else if key := secrets[ClientKey]; key == "" {
			return
		} else if _, err := tls.X509KeyPair([]byte(t.Certificate), []byte(key)); err != nil {
			wrong.add("secrets.client_key", "it does not go with the client certificate: %s", err)
		}
	}
}

func (e *ElasticsearchOptions) check(wrong *faults) {
	if len(e.URLs) == 0 || len(e.URLs) > maxServers {
		wrong.add("elasticsearch.urls", "there are %d: 1 to %d is right", len(e.URLs), maxServers)
	}
	for _, u := range e.URLs {
		checkURL(wrong, "elasticsearch.urls", u)
	}
	if p, err := parsePattern(e.Index, "tenant", "dataset", "date"); err != nil {
		wrong.add("elasticsearch.index", "%s", err)
	} else if !indexPattern.MatchString(p.sample()) {
		wrong.add("elasticsearch.index", "%.80q: lower case letters, digits, '.', '_' and '-' are right, a letter or digit first", e.Index)
	}
}

func (k *KafkaOptions) check(wrong *faults) {
	if len(k.Brokers) == 0 || len(k.Brokers) > maxServers {
		wrong.add("kafka.brokers", "there are %d: 1 to %d is right", len(k.Brokers), maxServers)
	}
	for _, b := range k.Brokers {
		if err := hostPort(b); err != nil {
			wrong.add("kafka.brokers", "%s", err)
		}
	}
	if p, err := parsePattern(k.Topic, "tenant", "dataset"); err != nil {
		wrong.add("kafka.topic", "%s", err)
	} else if !topicPattern.MatchString(p.sample()) {
		wrong.add("kafka.topic", "%.80q: 1 to 200 letters, digits, '.', '_' and '-' are right", k.Topic)
	}
	if _, ok := codecs[k.Compression]; !ok {
		wrong.add("kafka.compression", "%.20q: zstd, lz4, snappy, gzip or none is right", k.Compression)
	}
	switch k.Mechanism {
	case "":
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if k.Username == "" {
			wrong.add("kafka.username", "%s needs it", k.Mechanism)
		}
		if k.Mechanism == "PLAIN" && !k.TLS {
			wrong.add("kafka.mechanism", "PLAIN sends the password as it is: set tls, or use SCRAM-SHA-512")
		}
	default:
		wrong.add("kafka.mechanism", "%.20q: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 is right", k.Mechanism)
	}
}

func (s *SyslogOptions) check(wrong *faults) {
	if s.Transport != "udp" && s.Transport != "tcp" && s.Transport != "tls" {
		wrong.add("syslog.transport", "%.20q: tls, tcp or udp is right", s.Transport)
	}
	if s.Format != RFC5424 && s.Format != CEF {
		wrong.add("syslog.format", "%.20q: %s or %s is right", s.Format, RFC5424, CEF)
	}
	if *s.Facility < 0 || *s.Facility > 23 {
		wrong.add("syslog.facility", "%d: 0 to 23 is right", *s.Facility)
	}
	if err := hostPort(s.Address); err != nil {
		wrong.add("syslog.address", "%s", err)
	}
}

func (l *LokiOptions) check(wrong *faults) {
	checkURL(wrong, "loki.url", l.URL)
	if len(l.Labels) > maxLabels {
		wrong.add("loki.labels", "there are %d: %d are the most", len(l.Labels), maxLabels)
	}
	for name, field := range l.Labels {
		if !labelPattern.MatchString(name) || !fieldPattern.MatchString(field) {
			wrong.add("loki.labels", "%.64q from %.128q: a label's name and a field's name are right", name, field)
		}
	}
}

func checkURL(wrong *faults, field, raw string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		wrong.add(field, "%.200q: a URL such as https://siem.example.gov.cn:9200 is right", raw)
	case u.User != nil:
		wrong.add(field, "it holds a user or password, which would show in logs: give them as username and secret")
	case u.RawQuery != "" || u.Fragment != "":
		wrong.add(field, "%.200q: a URL without ? and # is right", raw)
	}
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host != "" {
		if n, perr := strconv.ParseUint(port, 10, 16); perr == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("%.200q: host:port is right", s)
}

// config is the TLS setting of connections to a host.
func (c *Content) tlsConfig(host string, secrets Secrets) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	t := c.TLS
	if t == nil {
		return out, nil
	}
	if t.ServerName != "" {
		out.ServerName = t.ServerName
	}
	if t.CA != "" {
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("tls.ca holds no certificate in PEM form")
		}
	}
	if t.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(secrets[ClientKey]))
		if err != nil {
			return nil, fmt.Errorf("the client certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
