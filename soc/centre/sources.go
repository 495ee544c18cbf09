package centre

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/registry"
	"icewatch/collectors/syslog"
	"icewatch/soc/config"
)

// sources makes the collectors that the configuration names.
func (c *centre) sources(deps collectors.Deps) ([]collectors.Collector, error) {
	var out []collectors.Collector
	s := c.Config.Syslog
	// The first listeners keep the ids that they have always had: they are in
	// the events that are stored.
	listeners := append([]config.SyslogListener{{UDP: s.UDP, TCP: s.TCP, Tenant: s.Tenant, Zone: s.Zone}}, s.Listeners...)
	for i, l := range listeners {
		id := "syslog-"
		if i > 0 {
			id += l.ListenerName() + "-"
		}
		if on(l.UDP) {
			err := add(c, &out, deps, "syslog_udp", func(cfg *syslog.UDPConfig) {
				cfg.ID, cfg.Listen, cfg.Tenant, cfg.Zone = id+"udp", l.UDP, l.Tenant, l.Zone
			})
			if err != nil {
				return nil, err
			}
		}
		if on(l.TCP) {
			err := add(c, &out, deps, "syslog_tcp", func(cfg *syslog.TCPConfig) {
				cfg.ID, cfg.Listen, cfg.Tenant, cfg.Zone = id+"tcp", l.TCP, l.Tenant, l.Zone
				cfg.MaxConnections, cfg.MaxMessage, cfg.IdleTimeout = s.MaxConnections, int(s.MaxMessage), time.Duration(s.IdleTimeout)
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if err := c.flowSources(&out, deps); err != nil {
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
