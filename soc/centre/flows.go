package centre

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"icewatch/collectors"
	"icewatch/collectors/flow"
	"icewatch/soc/api"
	"icewatch/soc/flows"
	"icewatch/soc/search"
)

// flowAnalysis is soc/flows and the listeners as the API asks them.
type flowAnalysis struct {
	*flows.Service
	listeners atomic.Pointer[[]*flow.Collector]
}

var _ api.Flows = (*flowAnalysis)(nil)

// openFlows makes the analysis of flows, which searches by way of store.
func (c *centre) openFlows(store search.Store) *flowAnalysis {
	c.flows = &flowAnalysis{Service: flows.New(store, c.engine)}
	return c.flows
}

// Exporters implements api.Flows.
func (a *flowAnalysis) Exporters() (list []api.FlowExporter) {
	listeners := a.listeners.Load()
	if listeners == nil {
		return nil
	}
	for _, l := range *listeners {
		for _, e := range l.Exporters() {
			list = append(list, api.FlowExporter{Collector: l.Health().ID, Zone: l.Zone(), ExporterStats: e})
		}
	}
	return list
}

// flowSources makes the flow listeners that the configuration names.
func (c *centre) flowSources(out *[]collectors.Collector, deps collectors.Deps) error {
	f := c.Config.Flows
	folder := filepath.Join(c.Config.Data, "flows")
	var listeners []*flow.Collector
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
		listeners = append(listeners, (*out)[len(*out)-1].(*flow.Collector))
	}
	c.flows.listeners.Store(&listeners)
	return nil
}

// mayBeTaken tells whether the suite goes on without a source whose address
// another program has: that of flows, where nobody has chosen it. Two suites,
// or a suite and the collector it replaces, can so run on one machine; the
// list of sources shows which has the port.
func (c *centre) mayBeTaken(s collectors.Collector, err error) bool {
	if c.agentsTaken(s, err) {
		return true
	}
	f, ok := s.(*flow.Collector)
	if !ok || !f.AtDefault() || !errors.Is(err, syscall.EADDRINUSE) {
		return false
	}
	c.log.Warn("another program listens where flows are awaited: none are taken in here; name another address, or off, in flows."+f.Protocol(), "error", err)
	return true
}
