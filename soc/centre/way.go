package centre

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"icewatch/soc/api"
	"icewatch/soc/lake"
)

// historyLength is how many minutes the history of the intake holds.
const historyLength = 60

// history remembers how the way of events stood, a point a minute.
type history struct {
	mu     sync.Mutex
	points []api.WayPoint
}

func (h *history) add(w api.Way) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.points) == historyLength {
		h.points = slices.Delete(h.points, 0, 1)
	}
	h.points = append(h.points, api.WayPoint{At: time.Now().UTC().Truncate(time.Second), EventsPerSecond: w.EventsPerSecond, Lag: w.Lag, QueueBatches: w.QueueBatches})
}

func (h *history) list() []api.WayPoint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.points)
}

// way tells how the way of events stands.
func (c *centre) way(ctx context.Context) api.Way {
	g := c.gauge
	o := g.observe(ctx)
	p := g.publisher.Stats()
	stats := g.Stats(ctx)
	st, err := g.status(ctx)
	w := api.Way{EventsPerSecond: stats.EventsPerSecond, BytesPerSecond: float64(g.bytes.Load()) / 1000, Events: p.Records, QueueBatches: stats.QueueMessages, QueueBytes: o.Held,
		Lag: o.Lag.Seconds(), DiskFull: p.DiskFull, Engine: api.WayEngine{Up: err == nil, Restarts: g.restarts()}, History: c.past.list()}
	if size := uint64(c.Config.Bus.MaxSize); size > 0 {
		w.QueuePercent = 100 * float64(o.Held) / float64(size)
	}
	if err == nil {
		w.Engine.Ready, w.Engine.Uptime = st.Ready, st.Uptime
		w.Altered, w.Reduced, w.Repeats = st.Altered, st.Reduced, st.Repeats
	}
	_, over := c.gate.Lost()
	w.Drops, w.Refused = reasons(c.drops(ctx)), reasons(map[string]uint64{"quota": over, "full": p.Refused})
	return w
}

// reasons lists counts by reason, those of nothing too: a reason that stands at
// 0 is one that was looked at.
func reasons(counts map[string]uint64) []api.WayDrop {
	out := []api.WayDrop{}
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, api.WayDrop{Reason: reason, Total: counts[reason]})
	}
	return out
}

// lakeStats are the lake's own figures.
func (c *centre) lakeStats(ctx context.Context) (lake.Stats, error) {
	st, err := c.gauge.status(ctx)
	return st.Lake, err
}

// holdings is what the API shows of storage, intake and usage.
func (c *centre) holdings() *api.Holdings {
	return &api.Holdings{Storage: c.storage, Ledger: c.ledger, Gate: c.gate, Senders: c.senders, Rhythm: c.rhythm, Slow: c.slow, Lake: c.lakeStats, Way: c.way,
		Limits: c.watchLimits.Get, Rules: c.removal.Get}
}
