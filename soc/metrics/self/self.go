// Package self keeps a history of the suite's own figures in the metric lake:
// how fast events come in, how far the engine lags, how the storage grows.
//
// Every few seconds it takes what /metrics shows and writes it. What was written
// less than metrics.Unsettled ago it keeps, and writes it again when the store
// turns out to have started anew in between; while the store is away it keeps up
// to an hour. Written twice is stored once, so nothing is lost or doubled by a
// crash of the store.
package self

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"

	"icewatch/soc/metrics"
)

// Job is the label job of the suite's own figures.
const Job = "icewatch"

// held bounds how long takings are kept while the store is away.
const held = time.Hour

// Scraper takes the figures and writes them.
type Scraper struct {
	Take     func(w io.Writer) // in the text format of Prometheus
	Write    func(ctx context.Context, series []metrics.Series) (metrics.Written, error)
	Instance string        // the label instance: this machine's name
	Interval time.Duration // how often
	Log      *slog.Logger

	waiting []taking // not written yet, or not settled yet, oldest first
	boot    string   // of the store at the last write
	away    bool     // the last write failed
}

// taking is the figures of one time.
type taking struct {
	at      time.Time
	series  []metrics.Series
	written bool
}

// Run takes and writes until ctx ends.
func (s *Scraper) Run(ctx context.Context) {
	for {
		next := time.Now().Truncate(s.Interval).Add(s.Interval)
		select {
		case <-time.After(time.Until(next)):
			s.Tick(ctx, next)
		case <-ctx.Done():
			return
		}
	}
}

// Tick takes the figures as those of a time and writes what is not settled.
func (s *Scraper) Tick(ctx context.Context, at time.Time) {
	var b bytes.Buffer
	s.Take(&b)
	s.waiting = append(s.waiting, taking{at: at, series: parse(b.String(), s.Instance, at)})
	for at.Sub(s.waiting[0].at) > held {
		s.waiting = s.waiting[1:]
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.Interval, 5*time.Second))
	defer cancel()
	for again := true; again; {
		again = false
		for i := range s.waiting {
			if s.waiting[i].written {
				continue
			}
			w, err := s.Write(ctx, s.waiting[i].series)
			if err != nil {
				if !s.away && ctx.Err() == nil {
					s.Log.Warn("metrics: the suite's own figures wait", "error", err)
				}
				s.away = true
				return
			}
			s.away = false
			s.waiting[i].written = true
			if w.Dropped > 0 {
				s.Log.Warn("metrics: figures of the suite were refused", "samples", w.Dropped, "first", w.Refused[0])
			}
			if s.boot != w.Boot {
				// The store started anew since the last write: what it had only in
				// memory is gone, so the rest is written again.
				if s.boot != "" {
					for j := range i {
						s.waiting[j].written = false
						again = true
					}
				}
				s.boot = w.Boot
			}
		}
	}
	for len(s.waiting) > 0 && s.waiting[0].written && at.Sub(s.waiting[0].at) > metrics.Unsettled {
		s.waiting = s.waiting[1:]
	}
}

// parse reads the text format. Lines that are not of it are left out: they are
// the suite's own and tested.
func parse(text, instance string, at time.Time) []metrics.Series {
	var rows prometheus.Rows
	rows.UnmarshalWithErrLogger(text, func(string) {})
	list := make([]metrics.Series, 0, len(rows.Rows))
	for i := range rows.Rows {
		r := &rows.Rows[i]
		labels := []metrics.Label{{Name: metrics.LabelName, Value: r.Metric}, {Name: "job", Value: Job}, {Name: "instance", Value: instance}}
		for _, t := range r.Tags {
			if t.Key != "job" && t.Key != "instance" {
				labels = append(labels, metrics.Label{Name: t.Key, Value: t.Value})
			}
		}
		list = append(list, metrics.Series{Labels: labels, Samples: []metrics.Sample{{Time: at.UnixMilli(), Value: r.Value}}})
	}
	return list
}
