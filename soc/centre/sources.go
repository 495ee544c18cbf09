package centre

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/filetail"
	"icewatch/collectors/syslog"
)

// sources makes the collectors that the configuration names.
func (c *centre) sources(deps collectors.Deps) ([]collectors.Collector, error) {
	var out []collectors.Collector
	add := func(f collectors.Factory, cfg any) error {
		s, err := f.New(cfg, deps)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		out = append(out, s)
		c.gauge.health = append(c.gauge.health, s.Health)
		return nil
	}
	s := c.Config.Syslog
	on := func(addr string) bool { return addr != "" && addr != "off" }
	if on(s.UDP) {
		f := syslog.NewUDPFactory()
		cfg := f.DefaultConfig().(*syslog.UDPConfig)
		cfg.Listen, cfg.Tenant, cfg.Zone = s.UDP, s.Tenant, s.Zone
		if err := add(f, cfg); err != nil {
			return nil, err
		}
	}
	if on(s.TCP) {
		f := syslog.NewTCPFactory()
		cfg := f.DefaultConfig().(*syslog.TCPConfig)
		cfg.Listen, cfg.Tenant, cfg.Zone = s.TCP, s.Tenant, s.Zone
		cfg.MaxConnections, cfg.MaxMessage, cfg.IdleTimeout = s.MaxConnections, int(s.MaxMessage), time.Duration(s.IdleTimeout)
		if err := add(f, cfg); err != nil {
			return nil, err
		}
	}
	for i, set := range c.Config.Files {
		f := filetail.NewFactory()
		cfg := f.DefaultConfig().(*filetail.Config)
		cfg.ID, cfg.Paths, cfg.Tenant, cfg.Zone = set.SetName(i), set.Paths, set.Tenant, set.Zone
		cfg.PositionFile = filepath.Join(c.Config.Data, "files", cfg.ID+".positions")
		if set.ReadFrom != "" {
			cfg.ReadFrom = set.ReadFrom
		}
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("name of this machine: %w", err)
		}
		cfg.Host = host
		if err := os.MkdirAll(filepath.Dir(cfg.PositionFile), 0o700); err != nil {
			return nil, fmt.Errorf("positions of followed files: %w", err)
		}
		if err := add(f, cfg); err != nil {
			return nil, err
		}
	}
	return out, nil
}
