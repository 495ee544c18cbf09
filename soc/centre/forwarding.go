package centre

import (
	"context"
	"fmt"
	"io"
	"time"

	"icewatch/soc/forwarding"
	"icewatch/soc/lake"
	"icewatch/soc/watch"
)

// openForwarding opens the forwarding of events to other systems.
func (c *centre) openForwarding(ctx context.Context) (err error) {
	c.forwarding, err = forwarding.Open(ctx, c.db, forwarding.Deps{Arrivals: c.engine, Samples: c.client, HoldSamples: c.engine.HoldSamples, Event: c.engine.Event, Box: c.seal, Log: c.log,
		CheckFilter: func(filter string) error { _, err := lake.CheckFilter(filter); return err },
		Tenant:      func(slug string) bool { _, ok := c.tenants.Get(slug); return ok },
		Keep:        c.shortestKept,
		Dial:        c.egress.Dialer(10 * time.Second).DialContext,
		CheckURL:    c.egress.Check,
		Alarm: func(ctx context.Context, a forwarding.Alarm) {
			c.watch.Raise(ctx, watch.Alarm{Kind: a.Kind, Key: a.Key, Detail: a.Detail})
		},
		Clear: c.watch.Clear})
	if err != nil {
		return err
	}
	before := c.gauge.more
	c.gauge.more = func(w io.Writer) {
		before(w)
		c.forwardFigures(w)
	}
	return nil
}

// runForwarding forwards once it is known who may read what.
func (c *centre) runForwarding(context.Context) error {
	c.background(func(ctx context.Context) { c.forwarding.Run(ctx, c.server.ReachAs) })
	return nil
}

// shortestKept is how long events of tenants are kept, the shortest of them;
// nil are all tenants.
func (c *centre) shortestKept(slugs []string) time.Duration {
	var shortest time.Duration
	policy := c.keeping()
	wanted := map[string]bool{}
	for _, s := range slugs {
		wanted[s] = true
	}
	for _, t := range c.tenants.List() {
		if slugs != nil && !wanted[t.Slug] {
			continue
		}
		if class, ok := policy.Class(t.Retention); ok && (shortest == 0 || class.Keep < shortest) {
			shortest = class.Keep
		}
	}
	return shortest
}

// forwardFigures prints how forwarding goes.
func (c *centre) forwardFigures(w io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := c.forwarding.Figures(ctx)
	if err != nil {
		c.log.Error("the figures of forwarding are not known", "error", err)
		return
	}
	for _, f := range list {
		one := func(name string, v any) { fmt.Fprintf(w, "icewatch_forward_%s{target=%q} %v\n", name, f.Name, v) }
		one("sent_events_total", f.Sent)
		one("sent_bytes_total", f.Bytes)
		one("repeated_events_total", f.Repeated)
		one("failures_total", f.Failures)
		one("dead_letters", f.Dead)
		one("waiting_events", f.LagEvents)
		one("lag_seconds", f.LagSeconds)
		one("up", boolean(f.Up))
	}
}
