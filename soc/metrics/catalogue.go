package metrics

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Description is what a sender says of a metric.
type Description struct {
	Metric string
	Type   string // as Prometheus names it: counter, gauge, histogram, summary … or unknown
	Help   string
	Unit   string
}

// Bounds of a Catalogue.
const (
	maxDescriptions = 20_000  // of one tenant
	maxHelp         = 1 << 10 // bytes of a text
)

// Catalogue remembers what senders say of their metrics, by tenant. It is kept
// in memory: senders say it again and again (Prometheus every minute). It takes
// a number of metrics of each tenant and no more. The zero Catalogue is empty
// and ready; its methods are safe for concurrent use.
type Catalogue struct {
	mu      sync.RWMutex
	tenants map[string]map[string]Description // by slug and metric
}

// Add notes descriptions of a tenant's metrics. Of a metric the last counts.
func (c *Catalogue) Add(tenant string, list []Description) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.tenants[tenant]
	for _, d := range list {
		if d.Metric == "" || len(d.Metric) > MaxLabelValue {
			continue
		}
		old, ok := known[d.Metric]
		d.Help, d.Unit = cut(d.Help, maxHelp), cut(d.Unit, maxHelp)
		if ok && old == d || !ok && len(known) >= maxDescriptions {
			continue
		}
		if known == nil {
			if c.tenants == nil {
				c.tenants = map[string]map[string]Description{}
			}
			known = map[string]Description{}
			c.tenants[tenant] = known
		}
		// The texts may lie in a sender's request.
		d = Description{strings.Clone(d.Metric), strings.Clone(d.Type), strings.Clone(d.Help), strings.Clone(d.Unit)}
		known[d.Metric] = d
	}
}

// List gives what is known of the metrics of the tenants, or of the one that is
// named; all tenants where all is true. What two tenants say differently of a
// metric is listed twice.
func (c *Catalogue) List(tenants []string, all bool, metric string) []Description {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []Description
	for slug, known := range c.tenants {
		if !all && !slices.Contains(tenants, slug) {
			continue
		}
		if metric != "" {
			if d, ok := known[metric]; ok {
				out = append(out, d)
			}
			continue
		}
		for _, d := range known {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Description) int {
		return cmp.Or(strings.Compare(a.Metric, b.Metric), strings.Compare(a.Type, b.Type), strings.Compare(a.Help, b.Help), strings.Compare(a.Unit, b.Unit))
	})
	return slices.Compact(out)
}
