package centre

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/api"
	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/engine"
	"icewatch/soc/reach"
)

// gauge is what the centre knows of the way from the collectors to the lake.
// The engine is asked once a second at most, so that watching costs nothing.
type gauge struct {
	health    []func() collectors.Health
	inputs    func(within reach.Reach) []collectors.Health // soc/inputs; nil while it is not open
	complete  atomic.Bool                                  // all ways in are listed
	publisher bus.Publisher
	client    *bus.Client
	engine    *engine.Client
	restarts  func() uint64
	// conditions is what is wrong with the suite at the moment.
	conditions func(ctx context.Context) []condition.Condition
	// series prints the metrics of samples on their way.
	series func(w io.Writer, st engine.Status)
	// more prints the metrics of the watch over the suite.
	more func(w io.Writer)

	mu   sync.Mutex
	at   time.Time
	last engine.Status
	raw  bus.State
	lost map[string]uint64 // by the engine's word, by reason
	err  error
	// caught is when nothing was last seen to wait for the engine.
	caught time.Time

	rate  atomic.Uint64 // events a second over the last ten, times 1000
	bytes atomic.Uint64 // bytes a second, likewise

	received [rateSpan + 1]map[string]uint64 // by way in, one a second; guarded by mu
	seconds  int                             // how many were noted
}

// rateSpan is over how many seconds rates are taken.
const rateSpan = 10

var _ api.Intake = (*gauge)(nil)

// status returns the engine's own word, at most a second old.
func (g *gauge) status(ctx context.Context) (engine.Status, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.at) < time.Second {
		return g.last, g.err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	g.last, g.err = g.engine.Status(ctx)
	if raw, err := g.client.RawState(ctx); err == nil {
		g.raw = raw
	}
	g.at = time.Now()
	if g.err == nil && g.raw.Last <= g.last.LastBatch {
		g.caught = g.at
	}
	return g.last, g.err
}

// lag is how long ago the oldest of what waits for the engine came, at most. Where
// nothing came for long, what waits is younger than the last that was stored.
func (g *gauge) lag(st engine.Status) time.Duration {
	if st.LastTime.IsZero() || st.LastBatch == 0 {
		return 0
	}
	g.mu.Lock()
	since := g.caught
	g.mu.Unlock()
	if since.Before(st.LastTime) {
		since = st.LastTime
	}
	return max(0, time.Since(since))
}

// measure follows the rate of intake until ctx ends.
func (g *gauge) measure(ctx context.Context) {
	const span = rateSpan
	var ring [span]bus.Stats
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-t.C:
			now, before := g.publisher.Stats(), ring[n%span]
			g.rate.Store((now.Records - before.Records) * 1000 / span)
			g.bytes.Store((now.Bytes - before.Bytes) * 1000 / span)
			ring[n%span] = now
			if g.complete.Load() {
				g.note()
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sources implements api.Intake.
func (g *gauge) Sources(context.Context) []collectors.Health {
	out := g.ways()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seconds == 0 {
		return out
	}
	span := min(g.seconds-1, rateSpan)
	now, before := g.received[(g.seconds-1)%len(g.received)], g.received[(g.seconds-1-span)%len(g.received)]
	for i := range out {
		// One that began anew within the span counts from nothing.
		if n, was := now[out[i].ID], before[out[i].ID]; span > 0 && n > was {
			out[i].Rate = float64(n-was) / float64(span)
		}
	}
	return out
}

// ways are how all ways in fare: those of the configuration, the doors over HTTP
// and the inputs.
func (g *gauge) ways() []collectors.Health {
	out := make([]collectors.Health, 0, len(g.health))
	for _, h := range g.health {
		out = append(out, h())
	}
	if g.inputs != nil {
		out = append(out, g.inputs(reach.All())...)
	}
	return out
}

// note remembers what each way in has received.
func (g *gauge) note() {
	all := g.ways()
	g.mu.Lock()
	defer g.mu.Unlock()
	m := make(map[string]uint64, len(all))
	for _, h := range all {
		m[h.ID] = h.Received
	}
	g.received[g.seconds%len(g.received)] = m
	g.seconds++
}

// Stats implements api.Intake.
func (g *gauge) Stats(ctx context.Context) api.IntakeStats {
	st, err := g.status(ctx)
	g.mu.Lock()
	raw := g.raw
	g.mu.Unlock()
	s := api.IntakeStats{EventsTotal: g.publisher.Stats().Records, EventsPerSecond: float64(g.rate.Load()) / 1000}
	if raw.Last > st.LastBatch && err == nil {
		s.QueueMessages = raw.Last - st.LastBatch
		s.LagSeconds = g.lag(st).Seconds()
	}
	for _, h := range g.ways() {
		s.DroppedTotal += h.Dropped
	}
	return s
}

// parts tells which parts are ready, for /readyz.
func (g *gauge) parts(ctx context.Context) []api.PartHealth {
	st, err := g.status(ctx)
	e := api.PartHealth{Name: "engine", Ready: err == nil && st.Ready, State: "ready"}
	if err != nil {
		e.State = "not answering"
	} else if st.Waiting {
		e.State = "waiting: its disk is full or cannot be written"
	} else if !st.Ready {
		e.State = "recovering"
	} else if i := slices.IndexFunc(st.Conditions, blocks); i >= 0 {
		e.Ready, e.State = false, "waiting: "+st.Conditions[i].Kind
	}
	b := api.PartHealth{Name: "intake", Ready: true, State: "ready"}
	if st := g.publisher.Stats(); st.DiskFull {
		b.Ready, b.State = false, "stopped: the disk is full"
	} else if st.Failing != "" {
		b.Ready, b.State = false, "stopped: "+st.Failing
	}
	return []api.PartHealth{e, b}
}

// blocks tells whether the engine waits while a condition stands.
func blocks(c condition.Condition) bool {
	return c.Kind == condition.DiskFull || c.Kind == condition.ReadOnly
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
