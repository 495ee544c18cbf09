// Package snmptrap takes in SNMP notifications: traps of versions 1, 2c and 3,
// and informs, which are answered once they are on the disk. Version 3 is
// secured by users (USM, RFC 3414) with MD5, SHA or SHA-2 and with DES or AES.
//
// What is not allowed is not taken: the community must be one of those named;
// the user must be known, and the message at least as well secured as the user
// is set up for; the sender must be of the networks named. Of messages of
// version 3 the engine's boots and time are checked, so that what was recorded
// cannot be played again. For informs this listener is the authoritative
// engine: its id and its boots are kept over restarts.
//
// A record is a JSON object in the names of ECS, with the notification's
// objects by their names (package mib) and, all of them, as lines of text.
package snmptrap

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"icewatch/collectors"
	"icewatch/collectors/usm"
)

// Config is the configuration of a listener.
type Config struct {
	ID     string `yaml:"id" json:"-"`     // unique name, stored as icewatch.collector
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant all traps belong to; empty leaves it to the pipeline
	Zone   string `yaml:"zone" json:"-"`   // network zone of the devices

	Listen      string   `yaml:"listen" json:"listen" default:":9162" doc:"Address for datagrams, such as :9162. Ports below 1024, such as SNMP's own 162, need the right to open them."`
	Communities string   `yaml:"communities" json:"communities,omitempty" secret:"true" doc:"Communities of versions 1 and 2c that are taken in, one a line or parted by commas. None: these versions are refused."`
	Users       string   `yaml:"users" json:"users,omitempty" secret:"true" doc:"Users of version 3, one a line: name, authentication protocol (MD5, SHA, SHA-224, SHA-256, SHA-384, SHA-512), its passphrase, privacy protocol (DES, AES, AES-192, AES-256), its passphrase. What a user has is asked of each of his messages."`
	Sources     []string `yaml:"sources" json:"sources,omitempty" doc:"Networks of the devices that may send, such as 10.1.0.0/16. None: all may."`
	MIBs        []string `yaml:"mibs" json:"mibs,omitempty" doc:"Texts of MIB modules whose names are to be used."`
	EngineID    string   `yaml:"engine_id" json:"engine_id,omitempty" pattern:"^([0-9a-fA-F]{2}){5,32}$" doc:"Engine id for informs of version 3, 5 to 32 bytes in hexadecimal. Empty: one is made and kept."`

	// ReceiveBuffer is the kernel's buffer in bytes.
	ReceiveBuffer int `yaml:"receive_buffer" json:"-"`
}

// Kind is the word for this source in configurations.
const Kind = "snmptrap"

// NewFactory returns the factory of listeners.
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type: Kind,
		DefaultConfig: func() any {
			return &Config{ID: "snmp-traps", Listen: ":9162", ReceiveBuffer: 4 << 20}
		},
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("snmptrap: configuration of a trap listener expected, not %T", cfg)
			}
			return New(*c, deps)
		},
	}
}

// checked is what a Config says, read.
type checked struct {
	communities []string
	users       map[string]*usm.User
	sources     []netip.Prefix
	engineID    string
}

func (c *Config) check() (out checked, err error) {
	bad := func(option, format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("snmptrap: %s: %s: %s", c.ID, option, fmt.Sprintf(format, args...)))
	}
	if c.ID == "" {
		bad("id", "a listener on %q has none", c.Listen)
	}
	if _, _, e := net.SplitHostPort(c.Listen); e != nil {
		bad("listen", "%q is not an address; one such as :9162 is expected", c.Listen)
	}
	out.communities = strings.FieldsFunc(c.Communities, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
	for i, community := range out.communities {
		out.communities[i] = strings.TrimSpace(community)
	}
	users, e := usm.Parse(c.Users)
	if e != nil {
		bad("users", "%v", e)
	}
	out.users = map[string]*usm.User{}
	for _, u := range users {
		out.users[u.Name] = u
	}
	if len(out.communities) == 0 && len(users) == 0 && err == nil {
		bad("communities, users", "none is given, so that everything would be refused; name the community of the devices, or better a user of version 3")
	}
	for _, s := range c.Sources {
		p, e := netip.ParsePrefix(s)
		if addr, e2 := netip.ParseAddr(s); e != nil && e2 == nil {
			p, e = addr.Prefix(addr.BitLen())
		}
		if e != nil {
			bad("sources", "%q is not a network; one such as 10.1.0.0/16 is expected", s)
			continue
		}
		out.sources = append(out.sources, p.Masked())
	}
	if c.EngineID != "" {
		id, e := hex.DecodeString(c.EngineID)
		if e != nil || len(id) < 5 || len(id) > 32 {
			bad("engine_id", "%q is not 5 to 32 bytes in hexadecimal", c.EngineID)
		}
		out.engineID = string(id)
	}
	if c.ReceiveBuffer < 0 || c.ReceiveBuffer > 1<<30 {
		bad("receive_buffer", "%d is not between 0 and 1 GiB", c.ReceiveBuffer)
	}
	return out, err
}
