// Package ftp reads text files of servers over FTP, FTPS and SFTP: whole files
// once they are complete, or what grows.
//
// A server gives files no identity that lasts, so a content is known by its
// beginning and by what stands before the place that was read to: a file that
// was rotated or renamed is read on there, one that was begun anew from its
// beginning. Each content is a stream with a random name that is on disk before
// its first event is sent; an event's id is made of stream, offset and length,
// so that what is read again after a kill is stored once.
package ftp

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them

	"icewatch/collectors"
	"icewatch/collectors/fetch"
	"icewatch/collectors/textfile"
)

// Protocols.
const (
	FTP      = "ftp"           // nothing is secret, the password neither
	FTPS     = "ftps"          // FTP that changes to TLS before signing in (RFC 4217)
	Implicit = "ftps-implicit" // FTP within TLS
	SFTP     = "sftp"          // SSH
)

// What is read.
const (
	Complete = "complete" // a file, once its size and time are the same at two looks
	Growing  = "growing"  // new lines, at each look
)

// What becomes of a file that was read whole and is stored.
const (
	Keep   = "keep"
	Move   = "move"
	Delete = "delete"
)

// Config is the configuration of a source of files on a server.
type Config struct {
	ID     string `yaml:"id" json:"-"`
	Tenant string `yaml:"tenant" json:"-"`
	Zone   string `yaml:"zone" json:"-"`

	Protocol string `yaml:"protocol" json:"protocol" enum:"sftp,ftps,ftps-implicit,ftp" default:"sftp" doc:"ftp sends password and files for everybody to read"`
	Address  string `yaml:"address" json:"address" minLength:"1" maxLength:"300" doc:"Server as host or host:port; without a port 22, 21 or 990, as the protocol has it"`
	Username string `yaml:"username" json:"username" minLength:"1" maxLength:"256" doc:"User to sign in as"`
	Password string `yaml:"password" json:"password,omitempty" secret:"true" maxLength:"1024" doc:"Password of the user"`

	KeyPEM        string   `yaml:"key_pem" json:"key_pem,omitempty" secret:"true" maxLength:"65536" doc:"SFTP: private key of the user, in PEM"`
	KeyPassphrase string   `yaml:"key_passphrase" json:"key_passphrase,omitempty" secret:"true" maxLength:"1024" doc:"SFTP: passphrase of that key, where it has one"`
	HostKeys      []string `yaml:"host_keys" json:"host_keys,omitempty" maxItems:"20" doc:"SFTP: keys of the server, each as SHA256:… or as ssh-ed25519 AAAA…; a test without one tells the server's"`
	KnownHosts    string   `yaml:"known_hosts" json:"known_hosts,omitempty" maxLength:"262144" doc:"SFTP: the text of a known_hosts file, instead of or beside host_keys"`

	TLSCAPEM      string `yaml:"tls_ca_pem" json:"tls_ca_pem,omitempty" maxLength:"262144" doc:"FTPS: PEM certificates of the authorities that the server's certificate is signed by; empty are those of this system"`
	TLSCertPEM    string `yaml:"tls_cert_pem" json:"tls_cert_pem,omitempty" maxLength:"65536" doc:"FTPS: PEM certificate that this client shows"`
	TLSKeyPEM     string `yaml:"tls_key_pem" json:"tls_key_pem,omitempty" secret:"true" maxLength:"65536" doc:"FTPS: PEM key of that certificate"`
	TLSServerName string `yaml:"tls_server_name" json:"tls_server_name,omitempty" maxLength:"253" doc:"FTPS: name that the server's certificate must have; empty is the host of the address"`

	Paths    []string `yaml:"paths" json:"paths" minItems:"1" maxItems:"100" doc:"Files as globs (*, ?, [a-z]; ** is any number of folders), from / or from the folder after signing in"`
	Exclude  []string `yaml:"exclude" json:"exclude,omitempty" maxItems:"100" doc:"Globs of whole paths or of names to leave out"`
	MaxDepth int      `yaml:"max_depth" json:"max_depth,omitempty" minimum:"1" maximum:"32" default:"8" doc:"How many folders deep ** looks"`
	MaxFiles int      `yaml:"max_files" json:"max_files,omitempty" minimum:"1" maximum:"20000" default:"5000" doc:"Most files at a look; more are an error"`

	Read            string `yaml:"read" json:"read,omitempty" enum:"complete,growing" default:"complete" doc:"complete reads a file once it is the same at two looks, growing reads new lines at each look"`
	After           string `yaml:"after" json:"after,omitempty" enum:"keep,move,delete" default:"keep" doc:"What becomes of a complete file once all of it is stored"`
	MoveTo          string `yaml:"move_to" json:"move_to,omitempty" maxLength:"1024" doc:"Folder on the server that read files are moved to"`
	IntervalSeconds int    `yaml:"interval_seconds" json:"interval_seconds,omitempty" minimum:"1" maximum:"86400" default:"60" doc:"Seconds between two looks"`
	MaxFileBytes    int64  `yaml:"max_file_bytes" json:"max_file_bytes,omitempty" minimum:"1024" maximum:"1099511627776" default:"17179869184" doc:"Most bytes that are read of a file, unpacked; what is beyond is an error"`

	Encoding       string `yaml:"encoding" json:"encoding,omitempty" enum:"utf-8,gbk,gb18030,utf-16,utf-16le,utf-16be" default:"utf-8" doc:"Encoding of the text; a byte order mark of UTF-16 is seen by itself"`
	MultilineStart string `yaml:"multiline_start" json:"multiline_start,omitempty" maxLength:"1000" doc:"Regular expression (RE2) of the first line of an event; other lines belong to the event before. Empty: each line is one"`
	MaxLines       int    `yaml:"max_lines" json:"max_lines,omitempty" minimum:"1" maximum:"10000" default:"500" doc:"Most lines of an event"`
	MaxEventBytes  int    `yaml:"max_event_bytes" json:"max_event_bytes,omitempty" minimum:"1024" maximum:"67108864" default:"1048576" doc:"Longest event in bytes; of a longer one the beginning is kept, and marked"`
	TimeZone       string `yaml:"time_zone" json:"time_zone,omitempty" maxLength:"64" doc:"FTP: time zone of the server's listings, such as Asia/Shanghai; empty is UTC"`
	Host           string `yaml:"host" json:"host,omitempty" maxLength:"253" doc:"host.name of events that do not name one"`
}

// NewFactory returns the factory of sources of files on servers, "ftp".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type:          "ftp",
		DefaultConfig: func() any { return DefaultConfig() },
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("ftp: configuration of a source of files expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: try,
	}
}

// DefaultConfig has every default filled in.
func DefaultConfig() *Config {
	return &Config{Protocol: SFTP, MaxDepth: 8, MaxFiles: 5000, Read: Complete, After: Keep, IntervalSeconds: 60, MaxFileBytes: 16 << 30,
		Encoding: "utf-8", MaxLines: 500, MaxEventBytes: 1 << 20}
}

// settings are what a configuration comes to.
type settings struct {
	Config
	encoding textfile.Encoding
	start    *regexp.Regexp
	location *time.Location
}

var ports = map[string]int{FTP: 21, FTPS: 21, Implicit: 990, SFTP: 22}

// settle reports all that cannot work. trial lets a server's key be unknown, so
// that it can be told.
func (c Config) settle(trial bool) (*settings, error) {
	s := &settings{Config: c}
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	var err error
	port, known := ports[c.Protocol]
	if !known {
		bad("protocol is %q: sftp, ftps, ftps-implicit or ftp is meant", c.Protocol)
	} else if s.Address, err = fetch.Address(strings.TrimSpace(c.Address), port); err != nil {
		bad("address: %w", err)
	}
	if c.Username == "" {
		bad("username: one is needed to sign in")
	}
	if c.Protocol == SFTP {
		if c.Password == "" && c.KeyPEM == "" {
			bad("password or key_pem is needed to sign in")
		}
		if _, err := s.signers(); err != nil {
			problems = append(problems, err)
		}
		if _, err := s.hostKeys(); err != nil {
			problems = append(problems, err)
		} else if !trial && len(c.HostKeys) == 0 && strings.TrimSpace(c.KnownHosts) == "" {
			bad("host_keys or known_hosts: the server's key is needed, so that no other server is taken for it; a test tells which key it shows")
		}
	}
	if _, err := s.secure().Config("tls_"); err != nil {
		problems = append(problems, err)
	}
	if len(c.Paths) == 0 {
		bad("paths: none is named")
	}
	for i, p := range c.Paths {
		if err := checkGlob(p); err != nil {
			bad("paths[%d]: %w", i, err)
		}
	}
	for i, p := range c.Exclude {
		if _, err := path.Match(p, "x"); err != nil {
			bad("exclude[%d]: %q: %w", i, p, err)
		}
	}
	switch c.Read {
	case Complete, Growing:
	default:
		bad("read is %q: complete or growing is meant", c.Read)
	}
	switch {
	case c.After != Keep && c.After != Move && c.After != Delete:
		bad("after is %q: keep, move or delete is meant", c.After)
	case c.After != Keep && c.Read != Complete:
		bad("after is %s, which only a complete file can be: read must be complete", c.After)
	case (c.After == Move) != (c.MoveTo != ""):
		bad("after: move and move_to go together")
	case strings.ContainsAny(c.MoveTo, "\r\n\x00"):
		bad("move_to has a line end in it")
	}
	if s.encoding, err = textfile.Parse(c.Encoding); err != nil {
		bad("encoding: %w", err)
	}
	if c.MultilineStart != "" {
		if s.start, err = regexp.Compile(c.MultilineStart); err != nil {
			bad("multiline_start: %w", err)
		}
	}
	if s.location, err = time.LoadLocation(c.TimeZone); err != nil {
		bad("time_zone: %w", err)
	}
	for _, b := range []struct {
		name            string
		is, least, most int64
	}{{"max_depth", int64(c.MaxDepth), 1, 32}, {"max_files", int64(c.MaxFiles), 1, 20_000}, {"interval_seconds", int64(c.IntervalSeconds), 1, 86_400},
		{"max_file_bytes", c.MaxFileBytes, 1024, 1 << 40}, {"max_lines", int64(c.MaxLines), 1, 10_000}, {"max_event_bytes", int64(c.MaxEventBytes), 1024, 64 << 20}} {
		if b.is < b.least || b.is > b.most {
			bad("%s is %d: between %d and %d is meant", b.name, b.is, b.least, b.most)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("ftp: %s: %w", c.ID, err)
	}
	return s, nil
}

func (c *Config) secure() fetch.TLS {
	return fetch.TLS{CA: c.TLSCAPEM, Cert: c.TLSCertPEM, Key: c.TLSKeyPEM, ServerName: c.TLSServerName}
}
