package centre

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/registry"
	"icewatch/collectors/relp"
	"icewatch/collectors/syslog"
	"icewatch/soc/config"
	"icewatch/soc/transport"
)

// sources makes the collectors that the configuration names.
func (c *centre) sources(deps collectors.Deps) ([]collectors.Collector, error) {
	var out []collectors.Collector
	s := c.Config.Syslog
	// The first listeners' ids have no name in them: they are in the events that
	// are stored.
	first := config.SyslogListener{UDP: s.UDP, TCP: s.TCP, TLS: s.TLS, RELP: s.RELP, RELPTLS: s.RELPTLS, Tenant: s.Tenant, Zone: s.Zone}
	for i, l := range append([]config.SyslogListener{first}, s.Listeners...) {
		name := ""
		if i > 0 {
			name = l.ListenerName() + "-"
		}
		if err := c.syslogSources(&out, deps, name, l); err != nil {
			return nil, err
		}
	}
	if err := c.flowSources(&out, deps); err != nil {
		return nil, err
	}
	if err := c.trapSource(&out, deps); err != nil {
		return nil, err
	}
	if err := c.agentSource(&out, deps); err != nil {
		return nil, err
	}
	if len(c.Config.Files) == 0 {
		return out, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this machine: %w", err)
	}
	positions := filepath.Join(c.Config.Data, "files")
	if err := os.MkdirAll(positions, 0o700); err != nil {
		return nil, fmt.Errorf("positions of followed files: %w", err)
	}
	deps.Sink = c.gate.Keeping() // a file waits for its reader
	for i, set := range c.Config.Files {
		err := add(c, &out, deps, "filetail", func(cfg *filetail.Config) {
			cfg.ID, cfg.Paths, cfg.Tenant, cfg.Zone, cfg.Host = set.SetName(i), set.Paths, set.Tenant, set.Zone, host
			cfg.PositionFile = filepath.Join(positions, cfg.ID+".positions")
			if set.Encoding != "" {
				cfg.Encoding = set.Encoding
			}
			cfg.Multiline = set.Multiline
			if set.ReadFrom != "" {
				cfg.ReadFrom = set.ReadFrom
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// syslogSources makes the listeners of one network.
func (c *centre) syslogSources(out *[]collectors.Collector, deps collectors.Deps, name string, l config.SyslogListener) error {
	s := c.Config.Syslog
	var problems []error
	udp := func(id, listen string) error {
		return add(c, out, deps, "syslog_udp", func(cfg *syslog.UDPConfig) {
			cfg.ID, cfg.Listen, cfg.Tenant, cfg.Zone = "syslog-"+name+id, listen, l.Tenant, l.Zone
		})
	}
	stream := func(secured func() (net.Listener, error)) func(id, listen string) error {
		return func(id, listen string) error {
			return add(c, out, deps, "syslog_tcp", func(cfg *syslog.TCPConfig) {
				cfg.ID, cfg.Listen, cfg.Tenant, cfg.Zone, cfg.Open = "syslog-"+name+id, listen, l.Tenant, l.Zone, secured
				cfg.MaxConnections, cfg.MaxMessage, cfg.IdleTimeout = s.MaxConnections, int(s.MaxMessage), time.Duration(s.IdleTimeout)
			})
		}
	}
	acknowledged := func(secured func() (net.Listener, error)) func(id, listen string) error {
		return func(id, listen string) error {
			return add(c, out, deps, "relp", func(cfg *relp.Config) {
				cfg.ID, cfg.Listen, cfg.Tenant, cfg.Zone, cfg.Open = name+id, listen, l.Tenant, l.Zone, secured
				cfg.MaxConnections, cfg.MaxMessage = s.MaxConnections, int(s.MaxMessage)
			})
		}
	}
	for _, x := range []struct {
		id, listen string
		make       func(id, listen string) error
	}{
		{"udp", l.UDP, udp},
		{"tcp", l.TCP, stream(nil)},
		{"tls", l.TLS, stream(c.secured("syslog.tls", l.TLS))},
		{"relp", l.RELP, acknowledged(nil)},
		{"relp-tls", l.RELPTLS, acknowledged(c.secured("syslog.relp_tls", l.RELPTLS))},
	} {
		if on(x.listen) {
			problems = append(problems, x.make(x.id, x.listen))
		}
	}
	return errors.Join(problems...)
}

// secured opens an address by TLS with the suite's certificate, for senders
// that show one of their own where syslog.client_ca asks for it.
func (c *centre) secured(option, listen string) func() (net.Listener, error) {
	return func() (net.Listener, error) {
		cfg := c.Config.HTTP
		ln, err := transport.Listen(transport.Options{Option: option, Listen: listen, Raw: true, ClientCA: c.Config.Syslog.ClientCA,
			Provider: cfg.TLSProvider, Cert: cfg.TLSCert, Key: cfg.TLSKey, Dir: filepath.Join(c.Config.Data, "tls"), Log: c.log})
		if err != nil {
			return nil, err
		}
		if ln.Notice != "" {
			c.log.Info(option+": "+ln.Notice, "listen", listen)
		}
		c.background(ln.Run)
		return ln, nil
	}
}

// add makes one collector of a type that the registry lists.
func add[C any](c *centre, out *[]collectors.Collector, deps collectors.Deps, kind string, configure func(cfg *C)) error {
	f, ok := registry.Lookup(kind)
	if !ok {
		return fmt.Errorf("centre: the registry lists no source %q", kind)
	}
	cfg, ok := f.DefaultConfig().(*C)
	if !ok {
		return fmt.Errorf("centre: the source %q is configured by %T", kind, f.DefaultConfig())
	}
	configure(cfg)
	s, err := f.New(cfg, deps)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	*out = append(*out, s)
	c.gauge.health = append(c.gauge.health, s.Health)
	return nil
}
