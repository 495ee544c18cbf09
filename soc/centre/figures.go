package centre

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"icewatch/soc/config"
	"icewatch/soc/engine"
	"icewatch/soc/metrics"
	"icewatch/soc/metrics/self"
	"icewatch/soc/tenancy"
)

// keepFigures begins the history of the suite's own figures, which are the
// city's.
func (c *centre) keepFigures(context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this machine: %w", err)
	}
	scraper := &self.Scraper{Take: func(w io.Writer) { c.gauge.write(w, c.metrics) }, Instance: host, Interval: time.Duration(c.Config.Metrics.Interval), Log: c.log,
		Write: func(ctx context.Context, series []metrics.Series) (metrics.Written, error) {
			return c.engine.WriteMetrics(ctx, tenancy.City, series)
		}}
	c.background(scraper.Run)
	return nil
}

// lakeNodes are the servers that hold the lake's rows, as the engine takes them.
func lakeNodes(cfg *config.Config) []engine.LakeNode {
	var list []engine.LakeNode
	for _, n := range cfg.Lake.Remote.Nodes {
		list = append(list, engine.LakeNode{Class: n.Class, Options: n.Node()})
	}
	return list
}
