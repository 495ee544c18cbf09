package centre

import (
	"context"
	"fmt"
	"io"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/engine"
	"icewatch/soc/exposition"
	"icewatch/soc/metrics"
	"icewatch/soc/tenancy"
)

// samples is the way of metrics from outside: whoever brings them hands them to
// sink, which makes them durable on the bus.
type samples struct {
	limits    metrics.Limits // by which they are screened before
	publisher bus.MetricPublisher
	sink      metrics.Sink       // with the tenants' quotas before it
	catalogue *metrics.Catalogue // what senders say of their metrics
}

// openSamples opens the way of metrics from outside.
func (c *centre) openSamples(context.Context) (err error) {
	c.samples.limits = metrics.Limits{Retention: time.Duration(c.Config.Metrics.Retention)}
	c.samples.catalogue = &metrics.Catalogue{}
	for _, families := range [][]exposition.Family{exposition.Runtime, exposition.Suite} {
		for _, f := range families {
			c.samples.catalogue.Add(tenancy.City, []metrics.Description{{Metric: f.Name, Type: string(f.Type), Help: f.Help}})
		}
	}
	if c.samples.publisher, err = c.bus.MetricPublisher(); err != nil {
		return err
	}
	c.later(func() error { c.samples.publisher.Close(); return nil })
	c.samples.sink = c.gate.Metrics(metricSink{c.samples.publisher, c.accounts})
	c.gauge.series = func(w io.Writer, st engine.Status) {
		held, err := c.client.MetricState(context.Background())
		if err == nil {
			c.samples.figures(w, st.Series, held)
		}
	}
	return nil
}

// metricSink knows the tenants' accounts. It implements metrics.Sink.
type metricSink struct {
	publisher bus.MetricPublisher
	accounts  func(slugs []string) []uint32
}

// Append implements metrics.Sink.
func (s metricSink) Append(ctx context.Context, tenant string, series []metrics.Series) error {
	accounts := s.accounts([]string{tenant})
	if tenant == "" || len(accounts) != 1 {
		return metrics.ErrNoTenant
	}
	return s.publisher.Append(ctx, metrics.Tenant{Account: accounts[0], Slug: tenant}, series)
}

// figures prints the metrics of the way of metrics.
func (s samples) figures(w io.Writer, st engine.MetricIntake, held bus.State) {
	p := s.publisher.Stats()
	one := func(name string, v any) { fmt.Fprintf(w, "%s %v\n", name, v) }
	one("icewatch_metrics_received_samples_total", p.Records)
	one("icewatch_metrics_received_bytes_total", p.Bytes)
	one("icewatch_metrics_pushed_back_total", p.Refused)
	one("icewatch_metrics_stored_samples_total", st.Samples)
	one("icewatch_metrics_damaged_batches_total", st.Damaged)
	one("icewatch_metrics_held_bytes", held.Bytes)
	one("icewatch_metrics_waiting_batches", held.Last-min(held.Last, st.Last))
	for _, reason := range []string{metrics.ReasonLabels, metrics.ReasonTime} {
		fmt.Fprintf(w, "icewatch_metrics_refused_samples_total{reason=%q} %d\n", reason, st.Refused[reason])
	}
}
