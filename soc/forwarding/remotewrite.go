package forwarding

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"icewatch/soc/bus"
	"icewatch/soc/export"
	"icewatch/soc/metrics"
)

// Samples are the samples that came in, in the order in which they did;
// *bus.Client is one.
type Samples interface {
	Metrics(ctx context.Context, start uint64, handle func(bus.Message) error) error
	MetricState(ctx context.Context) (bus.State, error)
}

const (
	// maxSeries is how many series a request of remote write has at most.
	maxSeries = 2000
	// holdFor is how long the bus keeps samples for a target that does not say
	// again that it needs them, and holdEvery how often it says so.
	holdFor, holdEvery = 2 * time.Minute, 10 * time.Second
	// tenantLabel names the tenant of a series that has no such label.
	tenantLabel = "tenant"
)

// writeSender writes samples by Prometheus remote write 1.0. It is no sender of
// events: see samples.
type writeSender struct {
	url    string
	sign   func(*http.Request)
	client *http.Client
}

func openRemoteWrite(c *Content, secrets Secrets, dial Dialer) (*writeSender, error) {
	t, err := transport(c, secrets, dial)
	if err != nil {
		return nil, err
	}
	o := c.RemoteWrite
	return &writeSender{url: o.URL, sign: signer(o.Auth, o.Username, secrets[Password]), client: &http.Client{Transport: t, Timeout: sendTimeout, CheckRedirect: noRedirect}}, nil
}

// write sends series and returns their size as sent. A statusError of 4xx other
// than 429 says that they are not wanted, whatever one does.
func (s *writeSender) write(ctx context.Context, series []metrics.Series) (int, error) {
	body := snappy.Encode(nil, metrics.Encode(series))
	return len(body), post(ctx, s.client, s.url, body, http.Header{"Content-Type": {"application/x-protobuf"}, "Content-Encoding": {"snappy"},
		"X-Prometheus-Remote-Write-Version": {"0.1.0"}}, s.sign)
}

// Send implements sender: there are no events here.
func (s *writeSender) Send(_ context.Context, b *Batch) error {
	for _, i := range b.Open() {
		b.Refuse(i, "remote write takes samples, no events")
	}
	return nil
}

// Probe implements sender.
func (s *writeSender) Probe(ctx context.Context) (string, error) {
	now := time.Now().UnixMilli()
	_, err := s.write(ctx, []metrics.Series{{Labels: []metrics.Label{{Name: "__name__", Value: "icewatch_connection_test"}}, Samples: []metrics.Sample{{Time: now, Value: 1}}}})
	if err != nil {
		return "", err
	}
	return "one sample of icewatch_connection_test was taken", nil
}

// Sure implements sender.
func (s *writeSender) Sure() bool { return true }

// Close implements sender.
func (s *writeSender) Close() bool {
	s.client.CloseIdleConnections()
	return true
}

// parseSelector reads a series selector; "" is nil, which every series passes.
func parseSelector(text string) ([]*labels.Matcher, error) {
	if text == "" {
		return nil, nil
	}
	return parser.NewParser(parser.Options{}).ParseMetricSelector(text)
}

// passes tells whether a series passes a selector.
func passes(s *metrics.Series, selector []*labels.Matcher) bool {
	for _, m := range selector {
		value := ""
		for _, l := range s.Labels {
			if l.Name == m.Name {
				value = l.Value
			}
		}
		if !m.Matches(value) {
			return false
		}
	}
	return true
}

// samples forwards samples from the noted place on. It returns when that has
// to be begun anew.
func (w *worker) samples(ctx context.Context) error {
	snd, err := openRemoteWrite(&w.t.content, w.t.secrets, w.s.deps.Dial)
	if err != nil {
		return err
	}
	defer snd.Close()
	selector, err := parseSelector(w.t.content.Filter)
	if err != nil {
		return fmt.Errorf("the filter: %w", err)
	}
	st, err := w.s.deps.Samples.MetricState(ctx)
	if err != nil {
		return fmt.Errorf("samples cannot be read: %w", err)
	}
	switch {
	case w.at.Epoch == "" && w.t.content.From == FromNow:
		w.at.Epoch, w.at.Sequence = st.Epoch, st.Last+1
	case w.at.Epoch == "":
		w.at.Epoch, w.at.Sequence = st.Epoch, st.First
	case w.at.Epoch != st.Epoch || w.at.Sequence < st.First && st.Messages > 0:
		w.at.Lost++
		w.s.deps.Log.Error("forward: samples that a target had not got are not on the bus any more", "target", w.t.Name, "place", w.at.Sequence, "first", st.First)
		w.at.Epoch, w.at.Sequence = st.Epoch, st.First
	}
	w.at.Sequence = max(w.at.Sequence, 1)
	if err := w.keep(ctx, w.at.next()); err != nil {
		return err
	}
	holding, stop := context.WithCancel(ctx)
	defer stop()
	held := make(chan uint64, 1)
	go w.hold(holding, w.at.Sequence, held)
	if w.at.Sequence > st.Last {
		w.well()
	}
	return w.s.deps.Samples.Metrics(ctx, w.at.Sequence, func(m bus.Message) error {
		w.p.mu.Lock()
		w.p.behind = time.Since(m.Time)
		w.p.mu.Unlock()
		if err := w.batch(ctx, snd, m, selector); err != nil {
			return err
		}
		next := w.at.next()
		next.Sequence = m.Sequence + 1
		select {
		case <-held:
		default:
		}
		held <- next.Sequence
		return w.keep(ctx, next)
	})
}

// batch sends what passes of one batch.
func (w *worker) batch(ctx context.Context, snd *writeSender, m bus.Message, selector []*labels.Matcher) error {
	list, err := metrics.DecodeBatch(m.Data)
	if err != nil {
		w.s.deps.Log.Error("forward: a batch of samples cannot be read and is passed over", "target", w.t.Name, "batch", m.Sequence, "error", err)
		return nil
	}
	slugs, all, err := w.visible(ctx)
	if err != nil {
		return err
	}
	var out []metrics.Series
	for _, p := range list {
		if !all && !slugs[p.Tenant.Slug] {
			continue
		}
		for i := range p.Series {
			if s := &p.Series[i]; passes(s, selector) {
				out = append(out, ofTenant(*s, p.Tenant.Slug))
			}
		}
	}
	for len(out) > 0 {
		part := out[:min(len(out), maxSeries)]
		out = out[len(part):]
		if err := w.write(ctx, snd, m.Sequence, part); err != nil {
			return err
		}
	}
	return nil
}

// ofTenant is the series with its tenant as a label, where it has none of the
// name, in the order of names that remote write demands.
func ofTenant(s metrics.Series, slug string) metrics.Series {
	at := 0
	for i, l := range s.Labels {
		if l.Name == tenantLabel {
			return s
		}
		if l.Name < tenantLabel {
			at = i + 1
		}
	}
	list := make([]metrics.Label, 0, len(s.Labels)+1)
	list = append(append(append(list, s.Labels[:at]...), metrics.Label{Name: tenantLabel, Value: slug}), s.Labels[at:]...)
	return metrics.Series{Labels: list, Samples: s.Samples}
}

// visible are the tenants whose samples the owner may read at the moment.
func (w *worker) visible(ctx context.Context) (slugs map[string]bool, all bool, err error) {
	for {
		within, _, err := w.s.as(ctx, w.t.owner, w.t.content.Tenant, "", time.Time{})
		if err == nil {
			list, all := metrics.Visible(within)
			slugs = map[string]bool{}
			for _, s := range list {
				slugs[s] = true
			}
			return slugs, all, nil
		}
		if !errors.Is(err, export.ErrAway) && !errors.Is(err, export.ErrRefused) {
			return nil, false, err
		}
		w.failed(StateAway, err)
		if !sleep(ctx, awayWait) {
			return nil, false, ctx.Err()
		}
	}
}

// write sends series until the target takes them or says that it does not want
// them.
func (w *worker) write(ctx context.Context, snd *writeSender, seq uint64, series []metrics.Series) error {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		size, err := snd.write(ctx, series)
		var refused *statusError
		switch {
		case err == nil:
			n := metrics.Count(series)
			w.at.Sent, w.at.Bytes, w.at.SentAt = w.at.Sent+int64(n), w.at.Bytes+int64(size), time.Now().UnixMilli()
			w.p.took(n)
			w.well()
			return nil
		case errors.As(err, &refused) && refused.status/100 == 4 && refused.status != http.StatusTooManyRequests &&
			refused.status != http.StatusUnauthorized && refused.status != http.StatusForbidden && refused.status != http.StatusNotFound:
			w.s.deps.Log.Warn("forward: a target does not want samples", "target", w.t.Name, "batch", seq, "reason", refused.text)
			return w.keep(ctx, w.at.next(), deadRow{Target: w.t.ID, Event: fmt.Sprintf("samples-%d", seq), Reason: clip(err.Error(), maxReason), At: time.Now().UnixMilli()})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.failed(StateRetrying, err)
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// hold has the bus keep samples from a batch on, until ctx ends. The bus lets
// them go all the same before it is full.
func (w *worker) hold(ctx context.Context, from uint64, moved <-chan uint64) {
	t := time.NewTicker(holdEvery)
	defer t.Stop()
	for {
		if err := w.s.deps.HoldSamples(ctx, w.t.ID, from, holdFor); err != nil && ctx.Err() == nil {
			w.s.deps.Log.Warn("forward: samples are not held for a target", "target", w.t.Name, "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		select {
		case from = <-moved:
		default:
		}
	}
}
