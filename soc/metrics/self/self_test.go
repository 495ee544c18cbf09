package self

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"icewatch/soc/metrics"
)

// memory is a store that forgets what is not settled when it crashes.
type memory struct {
	run     int
	away    bool
	samples map[int64]float64
}

func (m *memory) write(_ context.Context, series []metrics.Series) (metrics.Written, error) {
	if m.away {
		return metrics.Written{}, errors.New("it is away")
	}
	for _, s := range series {
		m.samples[s.Samples[0].Time] = s.Samples[0].Value
	}
	return metrics.Written{Boot: fmt.Sprint(m.run)}, nil
}

func TestNothingIsLostWhenTheStoreCrashesOrIsAway(t *testing.T) {
	t.Parallel()
	m := &memory{samples: map[int64]float64{}}
	n := 0.0
	s := &Scraper{Instance: "here", Interval: 15 * time.Second, Log: slog.New(slog.DiscardHandler), Write: m.write,
		Take: func(w io.Writer) { n++; fmt.Fprintf(w, "taken_total %v\n", n) }}
	at := time.UnixMilli(1_800_000_000_000)
	ticks := func(k int) {
		for range k {
			at = at.Add(s.Interval)
			s.Tick(t.Context(), at)
		}
	}
	ticks(10)
	m.away = true
	ticks(20)
	if len(m.samples) != 10 {
		t.Fatalf("%d samples before the store was away, want 10", len(m.samples))
	}
	// It comes back without its last two samples.
	delete(m.samples, at.Add(-20*s.Interval).UnixMilli())
	delete(m.samples, at.Add(-21*s.Interval).UnixMilli())
	m.away, m.run = false, 1
	ticks(1)
	if len(m.samples) != 31 {
		t.Errorf("%d samples after a crash, want 31", len(m.samples))
	}
	ticks(10)
	if len(m.samples) != 41 || len(s.waiting) > 6 {
		t.Errorf("%d samples, want 41; %d are kept", len(m.samples), len(s.waiting))
	}
	m.away = true
	ticks(1000)
	if want := int(held/s.Interval) + 1; len(s.waiting) != want {
		t.Errorf("%d takings are kept while the store is away, want %d", len(s.waiting), want)
	}
}

func TestFiguresBecomeSeries(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(5000)
	got := parse("# HELP x\nx{tenant=\"公安\\\"\",job=\"other\"} 1.5\nnot a line\ny 2\n", "here", at)
	want := []metrics.Series{
		{Labels: []metrics.Label{{Name: "__name__", Value: "x"}, {Name: "job", Value: "icewatch"}, {Name: "instance", Value: "here"}, {Name: "tenant", Value: `公安"`}}, Samples: []metrics.Sample{{Time: 5000, Value: 1.5}}},
		{Labels: []metrics.Label{{Name: "__name__", Value: "y"}, {Name: "job", Value: "icewatch"}, {Name: "instance", Value: "here"}}, Samples: []metrics.Sample{{Time: 5000, Value: 2}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
