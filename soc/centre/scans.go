package centre

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/engine"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/exposure/surface"
	"icewatch/soc/identity"
	"icewatch/soc/metrics"
	"icewatch/soc/settings"
)

// heldSurface names what discoveries find changed.
const heldSurface = "surface"

// openScans opens what has hosts scanned. It comes after the fleet, whose scanners do it.
func (c *centre) openScans(ctx context.Context) (err error) {
	db := c.cmdb.Database()
	secrets, err := credential.Open(ctx, c.db, c.seal)
	if err != nil {
		return err
	}
	if c.exposure.scope, err = scope.Open(ctx, db, nil); err != nil {
		return err
	}
	policy, err := settings.Declare(ctx, c.settings, "surface", identity.ScopeSystem, surface.DefaultPolicy, surface.Policy.Check)
	if err != nil {
		return err
	}
	c.exposure.surface, err = surface.Open(ctx, surface.Deps{Database: db, Items: c.cmdb, Offer: c.inbox.Offer, Policy: policy.Get, Samples: c.keepMeasured, Findings: c.exposure.findings.Reassign, Adopt: c.exposure.findings.Adopt, Log: c.log})
	if err != nil {
		return err
	}
	c.exposure.scans, err = scan.Open(ctx, scan.Deps{Database: db, Secrets: secrets, Scope: c.exposure.scope, Items: c.cmdb, Findings: c.exposure.findings, Fleet: c.fleet, Packages: filepath.Join(c.Config.Data, "scanner-templates"), Sign: c.fleet.Authority().SignText, Workday: c.workday, Seen: c.exposure.surface.Take, Log: c.log})
	if err != nil {
		return err
	}
	c.exposure.engines, err = engine.Open(ctx, engine.Deps{Database: db, Secrets: secrets, Egress: c.egress, Findings: c.exposure.findings, Log: c.log})
	if err != nil {
		return err
	}
	c.background(c.exposure.engines.Run)
	c.background(c.exposure.scans.Run)
	c.background(func(ctx context.Context) {
		every(ctx, 15*time.Second, func(int) {
			list, err := c.exposure.surface.Alarms(ctx)
			if err != nil {
				if ctx.Err() == nil {
					c.log.Error("what changed of the surface cannot be told of; it is tried again", "error", err)
				}
				return
			}
			c.watch.Hold(ctx, heldSurface, list)
		})
	})
	return nil
}

// workday tells whether people work on a day by the calendar of service levels.
func (c *centre) workday(at time.Time) bool {
	return c.levels.days.Load().Day(at).Worked
}

// keepMeasured puts what discoveries read of hosts among the metrics of their tenant:
// icewatch_discovered_… by address, zone and item.
func (c *centre) keepMeasured(ctx context.Context, tenant string, at time.Time, hosts []surface.SurfaceHost) error {
	const part = 2000
	var series []metrics.Series
	for i := range hosts {
		h := &hosts[i]
		labels := []metrics.Label{{Name: "address", Value: h.Address}, {Name: "zone", Value: h.Zone}}
		if h.Item != "" {
			labels = append(labels, metrics.Label{Name: "item", Value: h.Item})
		}
		for name, value := range h.Metrics {
			series = append(series, metrics.Series{Labels: append([]metrics.Label{{Name: metrics.LabelName, Value: "icewatch_discovered_" + name}}, labels...), Samples: []metrics.Sample{{Time: at.UnixMilli(), Value: value}}})
		}
	}
	for list := range slices.Chunk(series, part) {
		if err := c.samples.sink.Append(ctx, tenant, list); err != nil {
			return err
		}
	}
	return nil
}
