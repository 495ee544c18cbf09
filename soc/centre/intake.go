package centre

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/collectors"
	"icewatch/soc/api"
	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/engine"
)

// gauge is what the centre knows of the way from the collectors to the lake.
// The engine is asked once a second at most, so that watching costs nothing.
type gauge struct {
	health    []func() collectors.Health
	publisher *bus.Publisher
	client    *bus.Client
	engine    *engine.Client
	restarts  func() uint64
	// conditions is what is wrong with the suite at the moment.
	conditions func(ctx context.Context) []condition.Condition

	mu   sync.Mutex
	at   time.Time
	last engine.Status
	raw  bus.State
	lost map[string]uint64 // by the engine's word, by reason
	err  error

	rate  atomic.Uint64 // events a second over the last ten, times 1000
	bytes atomic.Uint64 // bytes a second, likewise
}

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
	return g.last, g.err
}

// measure follows the rate of intake until ctx ends.
func (g *gauge) measure(ctx context.Context) {
	const span = 10
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
		case <-ctx.Done():
			return
		}
	}
}

// Sources implements api.Intake.
func (g *gauge) Sources(context.Context) []collectors.Health {
	out := make([]collectors.Health, len(g.health))
	for i, h := range g.health {
		out[i] = h()
	}
	return out
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
		if st.LastBatch > 0 && !st.LastTime.IsZero() {
			s.LagSeconds = max(0, time.Since(st.LastTime).Seconds())
		}
	}
	for _, h := range g.health {
		s.DroppedTotal += h().Dropped
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

// write prints the metrics of both processes.
func (g *gauge) write(w io.Writer, set *metrics.Set) {
	set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
	p := g.publisher.Stats()
	one := func(name string, v any) { fmt.Fprintf(w, "%s %v\n", name, v) }
	one("icewatch_bus_records_total", p.Records)
	one("icewatch_bus_bytes_total", p.Bytes)
	one("icewatch_bus_batches_total", p.Batches)
	one("icewatch_bus_refused_total", p.Refused)
	one("icewatch_bus_disk_full", boolean(p.DiskFull))
	one("icewatch_engine_restarts_total", g.restarts())
	for _, c := range g.conditions(context.Background()) {
		fmt.Fprintf(w, "icewatch_condition{kind=%q,key=%q,severity=%q} 1\n", c.Kind, c.Key, c.Severity)
	}
	st, err := g.status(context.Background())
	one("icewatch_engine_up", boolean(err == nil && st.Ready))
	if err != nil {
		return
	}
	g.mu.Lock()
	raw := g.raw
	g.mu.Unlock()
	one("icewatch_bus_held_messages", raw.Messages)
	one("icewatch_bus_held_bytes", raw.Bytes)
	one("icewatch_bus_waiting_messages", raw.Last-min(raw.Last, st.LastBatch))
	one("icewatch_engine_events_total", st.Events)
	one("icewatch_engine_repeated_events_total", st.Repeats)
	one("icewatch_engine_replayed_events_total", st.Replayed)
	one("icewatch_engine_altered_events_total", st.Altered)
	one("icewatch_engine_restored_events_total", st.Restored)
	one("icewatch_engine_reduced_events_total", st.Reduced)
	one("icewatch_engine_unstored_events_total", st.Unstored)
	one("icewatch_engine_damaged_batches_total", st.BadBatches)
	one("icewatch_engine_occurrences_total", st.Occurrences)
	one("icewatch_rules_rejected", len(st.Problems))
	one("icewatch_lake_rows_total", st.Lake.Rows)
	one("icewatch_flow_edges", st.Flows.Edges)
	one("icewatch_flow_edges_evicted_total", st.Flows.Evicted)
	one("icewatch_lake_rows", st.Lake.Stored+st.Lake.Unflushed)
	one("icewatch_lake_bytes", st.Lake.DiskBytes)
	one("icewatch_lake_dropped_rows_total", st.Lake.Dropped)
	one("icewatch_lake_read_only", boolean(st.Lake.ReadOnly))
	one("icewatch_metrics_samples", st.Metrics.Samples)
	one("icewatch_metrics_active_series", st.Metrics.Active)
	one("icewatch_metrics_bytes", st.Metrics.DiskBytes)
	one("icewatch_metrics_dropped_samples_total", st.Metrics.Dropped)
	one("icewatch_metrics_read_only", boolean(st.Metrics.ReadOnly))
	for slug, n := range st.Tenants {
		fmt.Fprintf(w, "icewatch_tenant_events_total{tenant=%q} %d\n", slug, n)
	}
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}
