package forward

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The kinds of receiver.
const (
	KindSyslog = "syslog"
	KindKafka  = "kafka"
)

// Config is the setting audit-forward.
type Config struct {
	Targets []Target `json:"targets"`
}

// Target is one receiver of every audit record.
type Target struct {
	Name string `json:"name"`           // names its position: a new name begins anew
	Kind string `json:"kind"`           // syslog or kafka
	From string `json:"from,omitempty"` // where a new name begins: "now", the default, or "start"
	Off  bool   `json:"off,omitempty"`  // keeps the position and sends nothing

	// Of syslog: RFC 5424 over udp (RFC 5426), tcp (RFC 6587, octet counting)
	// or tls (RFC 5425).
	Transport string `json:"transport,omitempty"`
	Address   string `json:"address,omitempty"` // host:port

	// Of Kafka.
	Brokers      []string `json:"brokers,omitempty"` // host:port
	Topic        string   `json:"topic,omitempty"`
	TLS          bool     `json:"tls,omitempty"`
	Mechanism    string   `json:"mechanism,omitempty"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; "" signs in nowhere
	Username     string   `json:"username,omitempty"`
	PasswordFile string   `json:"password_file,omitempty"` // name of a file in the data folder's audit/secrets

	// Of whatever speaks TLS.
	CA         string `json:"ca,omitempty"`          // PEM certificates to trust in place of the system's
	ServerName string `json:"server_name,omitempty"` // on the certificate; the host by default
}

const (
	maxTargets = 10
	maxBrokers = 20
)

var (
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	topicPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
)

// Check says what is wrong with the setting.
func (c Config) Check() error {
	if len(c.Targets) > maxTargets {
		return fmt.Errorf("there are %d targets, want at most %d", len(c.Targets), maxTargets)
	}
	seen := map[string]bool{}
	for i := range c.Targets {
		t := &c.Targets[i]
		if !namePattern.MatchString(t.Name) {
			return fmt.Errorf("targets[%d]: the name %q: want 1 to 64 letters, digits, '.', '_' and '-', a letter or digit first", i, t.Name)
		}
		if seen[t.Name] {
			return fmt.Errorf("targets[%d]: the name %q is given twice", i, t.Name)
		}
		seen[t.Name] = true
		if err := t.check(); err != nil {
			return fmt.Errorf("target %s: %w", t.Name, err)
		}
	}
	return nil
}

func (t *Target) check() error {
	if t.From != "" && t.From != "now" && t.From != "start" {
		return fmt.Errorf("from is %q, want now or start", t.From)
	}
	if t.PasswordFile != "" && (t.PasswordFile != filepath.Base(t.PasswordFile) || strings.HasPrefix(t.PasswordFile, ".")) {
		return fmt.Errorf("password_file is %q, want the name of a file in audit/secrets of the data folder", t.PasswordFile)
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		return errors.New("ca holds no certificate in PEM form")
	}
	switch t.Kind {
	case KindSyslog:
		if t.Transport != "udp" && t.Transport != "tcp" && t.Transport != "tls" {
			return fmt.Errorf("transport is %q, want udp, tcp or tls", t.Transport)
		}
		return hostPort("address", t.Address)
	case KindKafka:
		if len(t.Brokers) == 0 || len(t.Brokers) > maxBrokers {
			return fmt.Errorf("there are %d brokers, want 1 to %d", len(t.Brokers), maxBrokers)
		}
		for _, b := range t.Brokers {
			if err := hostPort("broker", b); err != nil {
				return err
			}
		}
		if !topicPattern.MatchString(t.Topic) {
			return fmt.Errorf("topic is %q, want 1 to 249 letters, digits, '.', '_' and '-'", t.Topic)
		}
		switch t.Mechanism {
		case "":
		case "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN":
			if t.Username == "" || t.PasswordFile == "" {
				return fmt.Errorf("%s needs username and password_file", t.Mechanism)
			}
			if t.Mechanism == "PLAIN" && !t.TLS {
				return errors.New("PLAIN sends the password as it is: set tls, or use SCRAM-SHA-512")
			}
		default:
			return fmt.Errorf("mechanism is %q, want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", t.Mechanism)
		}
		return nil
	}
	return fmt.Errorf("kind is %q, want %s or %s", t.Kind, KindSyslog, KindKafka)
}

func hostPort(what, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host != "" {
		if n, perr := strconv.ParseUint(port, 10, 16); perr == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s is %q, want host:port", what, s)
}

// where names the receiver for people.
func (t *Target) where() string {
	if t.Kind == KindKafka {
		return strings.Join(t.Brokers, ",") + "/" + t.Topic
	}
	return t.Transport + "://" + t.Address
}

// tlsConfig is the TLS setting of connections to host.
func (t *Target) tlsConfig(host string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM([]byte(t.CA))
	}
	return c
}

// password reads the target's password.
func (t *Target) password(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, t.PasswordFile))
	if err != nil {
		return "", fmt.Errorf("the password: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
