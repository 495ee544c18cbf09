// Package kafka reads topics of an Apache Kafka as one of a consumer group.
//
// The group's place moves on only over what the sink has made durable. A record
// that comes twice, after a kill or a rebalance, carries the same id both times:
// the topic's own id, which no other topic of any cluster has and which a topic
// made anew under the same name does not inherit, with partition and offset.
package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
)

// Formats of messages.
const (
	FormatAuto   = "auto"   // a JSON object, else a line
	FormatJSON   = "json"   // each message is a JSON object
	FormatLine   = "line"   // each message is a text
	FormatSyslog = "syslog" // each message is a syslog message
)

// SASL mechanisms.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Where a group begins that has no place yet.
const (
	FromBeginning = "beginning"
	FromEnd       = "end"
)

// Config is the configuration of a Kafka source.
type Config struct {
	ID     string `yaml:"id" json:"-"`
	Tenant string `yaml:"tenant" json:"-"`
	Zone   string `yaml:"zone" json:"-"`

	Brokers      []string `yaml:"brokers" json:"brokers" minItems:"1" maxItems:"50" doc:"Brokers to begin with, each host:port (without a port, 9092)"`
	Topics       []string `yaml:"topics" json:"topics,omitempty" maxItems:"500" doc:"Topics to read"`
	TopicPattern string   `yaml:"topic_pattern" json:"topic_pattern,omitempty" maxLength:"500" doc:"Regular expression (RE2) that the whole name of a topic must match; new topics are found within five minutes. Instead of topics"`
	Group        string   `yaml:"group" json:"group" minLength:"1" maxLength:"249" doc:"Consumer group; all members of a group share the partitions"`
	Start        string   `yaml:"start" json:"start,omitempty" enum:"beginning,end" default:"beginning" doc:"Where a group begins that has no place yet"`
	Format       string   `yaml:"format" json:"format,omitempty" enum:"auto,json,line,syslog" default:"auto" doc:"What each message is: auto takes a JSON object as such and all else as a line"`
	SplitLines   bool     `yaml:"split_lines" json:"split_lines,omitempty" doc:"Take each line of a message as an event of its own"`

	SASLMechanism string `yaml:"sasl_mechanism" json:"sasl_mechanism,omitempty" enum:",PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" doc:"How to sign in; empty does not"`
	Username      string `yaml:"username" json:"username,omitempty" maxLength:"256" doc:"User to sign in as"`
	Password      string `yaml:"password" json:"password,omitempty" secret:"true" maxLength:"1024" doc:"Password of the user"`

	TLS           bool   `yaml:"tls" json:"tls,omitempty" doc:"Speak TLS with the brokers"`
	TLSCAPEM      string `yaml:"tls_ca_pem" json:"tls_ca_pem,omitempty" maxLength:"262144" doc:"PEM certificates of the authorities that the brokers' certificates are signed by; empty are those of this system"`
	TLSCertPEM    string `yaml:"tls_cert_pem" json:"tls_cert_pem,omitempty" maxLength:"65536" doc:"PEM certificate that this client shows"`
	TLSKeyPEM     string `yaml:"tls_key_pem" json:"tls_key_pem,omitempty" secret:"true" maxLength:"65536" doc:"PEM key of that certificate"`
	TLSServerName string `yaml:"tls_server_name" json:"tls_server_name,omitempty" maxLength:"253" doc:"Name that the brokers' certificates must have; empty is the host dialled"`

	MaxMessageBytes int `yaml:"max_message_bytes" json:"max_message_bytes,omitempty" minimum:"1024" maximum:"104857600" default:"16777216" doc:"Longest message in bytes; of a longer one the beginning is kept, and marked"`
}

// NewFactory returns the factory of Kafka sources, "kafka".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type:          "kafka",
		DefaultConfig: func() any { return DefaultConfig() },
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("kafka: configuration of a Kafka source expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: try,
	}
}

// DefaultConfig has every default filled in.
func DefaultConfig() *Config {
	return &Config{Start: FromBeginning, Format: FormatAuto, MaxMessageBytes: 16 << 20}
}

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// check reports all that cannot work, and completes the brokers' addresses.
func (c *Config) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		bad("brokers: none is named; host:port of at least one is needed")
	}
	brokers := make([]string, len(c.Brokers))
	for i, b := range c.Brokers {
		a, err := fetch.Address(strings.TrimSpace(b), 9092)
		if err != nil {
			bad("brokers[%d]: %w", i, err)
		}
		brokers[i] = a
	}
	c.Brokers = brokers
	if (len(c.Topics) == 0) == (c.TopicPattern == "") {
		bad("either topics or topic_pattern says what is read")
	}
	for i, t := range c.Topics {
		if !topicName.MatchString(t) {
			bad("topics[%d]: %q is not a topic's name: letters, digits, '.', '_' and '-', at most 249", i, t)
		}
	}
	if _, err := regexp.Compile(c.TopicPattern); err != nil {
		bad("topic_pattern: %w", err)
	}
	if c.Group == "" {
		bad("group: a name is needed, under which Kafka keeps how far was read")
	}
	if c.Start != FromBeginning && c.Start != FromEnd {
		bad("start is %q: beginning or end is meant", c.Start)
	}
	switch c.Format {
	case FormatAuto, FormatJSON, FormatLine, FormatSyslog:
	default:
		bad("format is %q: auto, json, line or syslog is meant", c.Format)
	}
	switch c.SASLMechanism {
	case "":
		if c.Username != "" {
			bad("sasl_mechanism: one is needed to sign in as %q", c.Username)
		}
	case Plain, ScramSHA256, ScramSHA512:
		if c.Username == "" || c.Password == "" {
			bad("username and password are needed for %s", c.SASLMechanism)
		}
	default:
		bad("sasl_mechanism is %q: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 is meant", c.SASLMechanism)
	}
	if !c.TLS && (c.TLSCAPEM != "" || c.TLSCertPEM != "" || c.TLSKeyPEM != "") {
		bad("tls is off, but certificates are given: switch it on or take them out")
	}
	if _, err := c.secure().Config("tls_"); err != nil {
		problems = append(problems, err)
	}
	if c.MaxMessageBytes < 1024 || c.MaxMessageBytes > 100<<20 {
		bad("max_message_bytes is %d: between 1024 and 104857600 is meant", c.MaxMessageBytes)
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("kafka: %s: %w", c.ID, err)
	}
	return nil
}

func (c *Config) secure() fetch.TLS {
	return fetch.TLS{CA: c.TLSCAPEM, Cert: c.TLSCertPEM, Key: c.TLSKeyPEM, ServerName: c.TLSServerName}
}
