package centre

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"icewatch/cmdb/discovered"
	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/listener"
	"icewatch/detections"
	"icewatch/soc/config"
	"icewatch/soc/watch"
)

// heldFleet names what the fleet of agents finds wrong.
const heldFleet = "fleet"

// openFleet opens the agents on hosts: who they are and what they are told. Their
// listener is a collector.
func (c *centre) openFleet(ctx context.Context) (err error) {
	feed := discovered.New(c.cmdb, c.Config.Agents.Zone)
	c.fleet, err = fleet.Open(ctx, fleet.Deps{Database: c.cmdb.Database(), State: c.db, Box: c.seal, Packages: filepath.Join(c.Config.Data, "agents"),
		Tenant: func(slug string) bool { _, ok := c.tenants.Get(slug); return ok }, URLs: c.agentURLs, Dial: c.egress.Dialer(20 * time.Second).DialContext, Inventoried: feed.Take, Log: c.log})
	if err != nil {
		return err
	}
	c.later(c.fleet.Close)
	c.background(c.fleet.Run)
	c.background(func(ctx context.Context) {
		every(ctx, 5*time.Second, func(int) {
			list := []watch.Alarm{}
			for _, a := range c.fleet.Alarms() {
				list = append(list, watch.Alarm{Kind: a.Kind, Key: a.Kind + "/" + a.Key, Severity: a.Severity, Fields: a.Fields, Detail: detections.Text{ZH: a.ZH, EN: a.EN}})
			}
			if ctx.Err() == nil {
				c.watch.Hold(ctx, heldFleet, list)
			}
		})
	})
	return nil
}

// agentURLs are how hosts reach the listener for agents; none where it is off.
func (c *centre) agentURLs() []string {
	cfg := c.Config.Agents
	if !on(cfg.Listen) || c.agentsOff.Load() {
		return nil
	}
	if len(cfg.URLs) > 0 {
		return cfg.URLs
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil
	}
	if at := c.agentsAt.Load(); at != nil {
		_, port, _ = net.SplitHostPort(*at)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = ""
		if u, err := url.Parse(c.Config.HTTP.ExternalURL); err == nil {
			host = u.Hostname()
		}
		if host == "" {
			if host, err = os.Hostname(); err != nil {
				return nil
			}
		}
	}
	return []string{"https://" + net.JoinHostPort(host, port)}
}

// agentSource makes the listener for agents.
func (c *centre) agentSource(out *[]collectors.Collector, deps collectors.Deps) error {
	cfg := c.Config.Agents
	if !on(cfg.Listen) {
		return nil
	}
	deps.Sink = c.gate.Keeping() // an agent keeps what is not taken
	l, err := listener.New(listener.Options{Listen: cfg.Listen, Zone: cfg.Zone, Fleet: c.fleet, Catalogue: c.samples.catalogue, Samples: c.samples.sink, Held: c.samples.limits, Scans: c.exposure.scans}, deps)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	*out = append(*out, &agentListener{l, c})
	c.gauge.health = append(c.gauge.health, l.Health)
	return nil
}

// agentListener tells the centre where agents are awaited.
type agentListener struct {
	*listener.Listener
	centre *centre
}

// Start implements collectors.Collector.
func (l *agentListener) Start(ctx context.Context) error {
	if err := l.Listener.Start(ctx); err != nil {
		return err
	}
	at := l.Address().String()
	l.centre.agentsAt.Store(&at)
	return nil
}

// agentsTaken says that another program has the port on which agents are awaited, and
// nobody has chosen it.
func (c *centre) agentsTaken(s collectors.Collector, err error) bool {
	if _, ok := s.(*agentListener); !ok || c.Config.Agents.Listen != config.DefaultAgents || !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	c.agentsOff.Store(true)
	c.log.Warn("another program listens where agents are awaited: none are served; name another address, or off, in agents.listen", "error", err)
	return true
}
