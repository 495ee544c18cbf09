// Package sqltable reads the rows of a table, or of a query, that come into a
// PostgreSQL, a MySQL or a MariaDB, by a column that grows.
//
// Rows become visible in another order than their keys have: a transaction that
// drew a lower number may commit later, and many rows may share a time. So each
// look begins again at the key that was reached some seconds ago, rows that were
// seen since are left out, and a row's id is made of its contents, so that what
// is read again after a restart is stored once.
package sqltable

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them

	"icewatch/collectors"
	"icewatch/collectors/fetch"
)

// Kinds of databases.
const (
	Postgres = "postgres" // also what speaks its protocol
	MySQL    = "mysql"    // also MariaDB
)

// Where a source begins that has no place yet.
const (
	FromBeginning = "beginning"
	FromEnd       = "end"
)

// Config is the configuration of a source of rows.
type Config struct {
	ID     string `yaml:"id" json:"-"`
	Tenant string `yaml:"tenant" json:"-"`
	Zone   string `yaml:"zone" json:"-"`

	Database string `yaml:"database" json:"database" enum:"postgres,mysql" default:"postgres" doc:"postgres is also for what speaks its protocol, mysql also for MariaDB"`
	Address  string `yaml:"address" json:"address" minLength:"1" maxLength:"300" doc:"Server as host or host:port; without a port 5432 or 3306"`
	Name     string `yaml:"name" json:"name" minLength:"1" maxLength:"128" doc:"Name of the database"`
	Username string `yaml:"username" json:"username" minLength:"1" maxLength:"128" doc:"User to sign in as; it needs to read only"`
	Password string `yaml:"password" json:"password,omitempty" secret:"true" maxLength:"1024" doc:"Password of the user"`

	TLS           bool   `yaml:"tls" json:"tls,omitempty" doc:"Speak TLS with the server"`
	TLSCAPEM      string `yaml:"tls_ca_pem" json:"tls_ca_pem,omitempty" maxLength:"262144" doc:"PEM certificates of the authorities that the server's certificate is signed by; empty are those of this system"`
	TLSCertPEM    string `yaml:"tls_cert_pem" json:"tls_cert_pem,omitempty" maxLength:"65536" doc:"PEM certificate that this client shows"`
	TLSKeyPEM     string `yaml:"tls_key_pem" json:"tls_key_pem,omitempty" secret:"true" maxLength:"65536" doc:"PEM key of that certificate"`
	TLSServerName string `yaml:"tls_server_name" json:"tls_server_name,omitempty" maxLength:"253" doc:"Name that the server's certificate must have; empty is the host of the address"`

	Schema    string   `yaml:"schema" json:"schema,omitempty" maxLength:"128" doc:"Schema of the table; empty is the user's first"`
	Table     string   `yaml:"table" json:"table,omitempty" maxLength:"128" doc:"Table or view to read"`
	Query     string   `yaml:"query" json:"query,omitempty" maxLength:"20000" doc:"SELECT whose rows are read, instead of a table; without parameters, ORDER BY and LIMIT"`
	Columns   []string `yaml:"columns" json:"columns,omitempty" maxItems:"500" doc:"Columns to take; empty takes all"`
	Key       string   `yaml:"key" json:"key" minLength:"1" maxLength:"128" doc:"Column that grows with each row: a number, a time or a text in order; rows without a value in it are not read"`
	SecondKey string   `yaml:"second_key" json:"second_key,omitempty" maxLength:"128" doc:"Column that tells rows apart that have the same key; it makes looks cheaper where very many have"`
	Start     string   `yaml:"start" json:"start,omitempty" enum:"beginning,end" default:"beginning" doc:"Where to begin the first time"`

	TimeColumn string `yaml:"time_column" json:"time_column,omitempty" maxLength:"128" doc:"Column with the time of the event (a date or a timestamp)"`
	TimeZone   string `yaml:"time_zone" json:"time_zone,omitempty" maxLength:"64" doc:"Time zone of times that have none, such as Asia/Shanghai; empty is UTC"`

	IntervalSeconds int `yaml:"interval_seconds" json:"interval_seconds,omitempty" minimum:"1" maximum:"86400" default:"30" doc:"Seconds between two looks"`
	SettleSeconds   int `yaml:"settle_seconds" json:"settle_seconds,omitempty" minimum:"1" maximum:"3600" default:"60" doc:"How long a transaction may take: rows with lower keys that become visible this much later are still found"`
	BatchRows       int `yaml:"batch_rows" json:"batch_rows,omitempty" minimum:"10" maximum:"10000" default:"1000" doc:"Rows that are asked for at once"`
	TimeoutSeconds  int `yaml:"timeout_seconds" json:"timeout_seconds,omitempty" minimum:"1" maximum:"600" default:"30" doc:"Longest time of a query in seconds"`
}

// NewFactory returns the factory of sources of rows, "sqltable".
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type:          "sqltable",
		DefaultConfig: func() any { return DefaultConfig() },
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("sqltable: configuration of a source of rows expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: try,
	}
}

// DefaultConfig has every default filled in.
func DefaultConfig() *Config {
	return &Config{Database: Postgres, Start: FromBeginning, IntervalSeconds: 30, SettleSeconds: 60, BatchRows: 1000, TimeoutSeconds: 30}
}

// settings are what a configuration comes to.
type settings struct {
	Config
	location *time.Location
	timeout  time.Duration
}

var selects = regexp.MustCompile(`(?is)^\s*(select|with)\s`)

func (c Config) settle() (*settings, error) {
	s := &settings{Config: c, timeout: time.Duration(c.TimeoutSeconds) * time.Second}
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	port := map[string]int{Postgres: 5432, MySQL: 3306}[c.Database]
	var err error
	if port == 0 {
		bad("database is %q: postgres or mysql is meant", c.Database)
	} else if s.Address, err = fetch.Address(strings.TrimSpace(c.Address), port); err != nil {
		bad("address: %w", err)
	}
	for _, x := range [][2]string{{"name", c.Name}, {"username", c.Username}, {"key", c.Key}} {
		if x[1] == "" {
			bad("%s: one is needed", x[0])
		}
	}
	for _, x := range append([]string{c.Schema, c.Table, c.Key, c.SecondKey, c.TimeColumn, c.Name, c.Username}, c.Columns...) {
		if strings.ContainsRune(x, 0) {
			bad("%q has a NUL byte in it", x)
		}
	}
	s.Query = strings.TrimRight(strings.TrimSpace(c.Query), "; \t\r\n")
	switch {
	case (c.Table == "") == (s.Query == ""):
		bad("either table or query says what is read")
	case s.Query != "" && !selects.MatchString(s.Query):
		bad("query: a SELECT, or WITH … SELECT, is meant")
	case s.Query != "" && c.Schema != "":
		bad("schema is for a table; a query names its own")
	}
	if c.SecondKey != "" && c.SecondKey == c.Key {
		bad("second_key is the key itself")
	}
	if c.Start != FromBeginning && c.Start != FromEnd {
		bad("start is %q: beginning or end is meant", c.Start)
	}
	if s.location, err = time.LoadLocation(c.TimeZone); err != nil {
		bad("time_zone: %w", err)
	}
	if !c.TLS && (c.TLSCAPEM != "" || c.TLSCertPEM != "" || c.TLSKeyPEM != "") {
		bad("tls is off, but certificates are given: switch it on or take them out")
	}
	if _, err := s.secure().Config("tls_"); err != nil {
		problems = append(problems, err)
	}
	for _, b := range []struct {
		name            string
		is, least, most int
	}{{"interval_seconds", c.IntervalSeconds, 1, 86_400}, {"settle_seconds", c.SettleSeconds, 1, 3600}, {"batch_rows", c.BatchRows, 10, 10_000}, {"timeout_seconds", c.TimeoutSeconds, 1, 600}} {
		if b.is < b.least || b.is > b.most {
			bad("%s is %d: between %d and %d is meant", b.name, b.is, b.least, b.most)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("sqltable: %s: %w", c.ID, err)
	}
	return s, nil
}

func (c *Config) secure() fetch.TLS {
	return fetch.TLS{CA: c.TLSCAPEM, Cert: c.TLSCertPEM, Key: c.TLSKeyPEM, ServerName: c.TLSServerName}
}
