package centre

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/soc/exposition"
	"icewatch/soc/usage"
)

// families says what the suite's metrics mean.
var families = exposition.NewCatalogue("icewatch_", exposition.Runtime, exposition.Suite)

// write prints the metrics of both processes.
func (g *gauge) write(to io.Writer, set *metrics.Set) {
	w := new(bytes.Buffer)
	g.samples(w, set)
	_ = families.Write(to, w.Bytes()) // whoever asked went away
}

func (g *gauge) samples(w io.Writer, set *metrics.Set) {
	set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
	g.more(w)
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
	g.series(w, st)
	for slug, n := range st.Tenants {
		fmt.Fprintf(w, "icewatch_tenant_events_total{tenant=%q} %d\n", slug, n)
	}
}

// maxSourceMetrics bounds the senders that have metrics of their own.
const maxSourceMetrics = 1000

// figures prints what the watch over the suite knows.
func (c *centre) figures(w io.Writer) {
	ctx := context.Background()
	known := map[string]bool{}
	for _, x := range c.conditions(ctx) {
		known[x.Kind+"/"+x.Key] = true
	}
	for _, x := range c.watch.Active() {
		if !known[x.Key] {
			fmt.Fprintf(w, "icewatch_condition{kind=%q,key=%q,severity=%q} 1\n", x.Kind, x.Key, x.Severity)
		}
	}
	for reason, n := range c.drops(ctx) {
		fmt.Fprintf(w, "icewatch_intake_dropped_events_total{reason=%q} %d\n", reason, n)
	}
	_, refused := c.gate.Lost()
	fmt.Fprintf(w, "icewatch_intake_refused_events_total %d\n", refused)
	o := c.gauge.observe(ctx)
	fmt.Fprintf(w, "icewatch_intake_lag_seconds %g\nicewatch_intake_queue_bytes %d\nicewatch_slow_searches_total %d\n", o.Lag.Seconds(), o.Held, c.slow.Count())
	if v, err := c.storage.View(); err == nil {
		for _, d := range v.Disks {
			fmt.Fprintf(w, "icewatch_disk_free_bytes{mount=%q} %d\nicewatch_disk_total_bytes{mount=%q} %d\n", d.Mount, d.Free, d.Mount, d.Total)
			if d.Growth != nil {
				fmt.Fprintf(w, "icewatch_disk_growth_bytes_per_second{mount=%q} %g\n", d.Mount, *d.Growth/86400)
			}
			if d.DaysLeft != nil {
				fmt.Fprintf(w, "icewatch_disk_full_in_seconds{mount=%q} %g\n", d.Mount, *d.DaysLeft*86400)
			}
		}
		for part, n := range v.Parts {
			fmt.Fprintf(w, "icewatch_storage_part_bytes{part=%q} %d\n", part, n)
		}
	}
	if st, err := c.lakeStats(ctx); err == nil {
		for class, x := range st.Stores {
			fmt.Fprintf(w, "icewatch_lake_class_rows{class=%q} %d\nicewatch_lake_class_bytes{class=%q} %d\n", class, x.Stored+x.Unflushed, class, x.DiskBytes)
		}
	}
	for _, s := range c.gate.Standings() {
		fmt.Fprintf(w, "icewatch_tenant_day_events{tenant=%q} %d\nicewatch_tenant_day_bytes{tenant=%q} %d\n", s.Tenant, s.Events, s.Tenant, s.Bytes)
		if s.Quota.Limited() {
			fmt.Fprintf(w, "icewatch_tenant_quota_used_ratio{tenant=%q} %g\n", s.Tenant, s.Quota.Share(s.Events, s.Bytes))
		}
	}
	list := c.senders.List(time.Now(), time.Duration(c.watchLimits.Get().SilenceMinutes)*time.Minute)
	states := map[string]int{"active": 0, "resting": 0, "silent": 0}
	for _, x := range list {
		switch {
		case x.SilentSince != nil:
			states["silent"]++
		case x.Rate > 0:
			states["active"]++
		default:
			states["resting"]++
		}
	}
	for state, n := range states {
		fmt.Fprintf(w, "icewatch_sources{state=%q} %d\n", state, n)
	}
	slices.SortFunc(list, func(a, b usage.Source) int { return cmp.Compare(b.Events, a.Events) })
	for _, x := range list[:min(len(list), maxSourceMetrics)] {
		labels := fmt.Sprintf("tenant=%q,collector=%q,zone=%q,peer=%q", x.Tenant, x.Collector, x.Zone, x.Peer)
		fmt.Fprintf(w, "icewatch_source_events_total{%s} %d\nicewatch_source_last_seen_timestamp_seconds{%s} %d\n", labels, x.Events, labels, x.LastSeen.Unix())
	}
}
