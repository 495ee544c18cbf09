package centre

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"icewatch/collectors"
	"icewatch/collectors/flow"
)

// flowSources makes the flow listeners that the configuration names.
func (c *centre) flowSources(out *[]collectors.Collector, deps collectors.Deps) error {
	f := c.Config.Flows
	folder := filepath.Join(c.Config.Data, "flows")
	for _, l := range []struct{ protocol, listen string }{{flow.NetFlow, f.NetFlow}, {flow.SFlow, f.SFlow}} {
		if l.listen == "" || l.listen == "off" {
			continue
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("templates of flow exporters: %w", err)
		}
		err := add(c, out, deps, "flow", func(cfg *flow.Config) {
			cfg.ID, cfg.Protocol, cfg.Listen, cfg.Tenant, cfg.Zone = l.protocol, l.protocol, l.listen, f.Tenant, f.Zone
			if l.protocol == flow.NetFlow { // sFlow has no templates
				cfg.TemplateFile = filepath.Join(folder, "templates.json")
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mayBeTaken tells whether the suite goes on without a source whose address
// another program has: that of flows, where nobody has chosen it. Two suites,
// or a suite and the collector it replaces, can so run on one machine; the
// list of sources shows which has the port.
func (c *centre) mayBeTaken(s collectors.Collector, err error) bool {
	f, ok := s.(*flow.Collector)
	if !ok || !f.AtDefault() || !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	c.log.Warn("another program listens where flows are awaited: none are taken in here; name another address, or off, in flows."+f.Health().Kind, "error", err)
	return true
}
