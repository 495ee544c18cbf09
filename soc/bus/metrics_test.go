package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// numbered is a series whose samples' values are the numbers from..to.
func numbered(from, to int) metrics.Series {
	s := metrics.Series{Labels: []metrics.Label{{Name: metrics.LabelName, Value: "numbers"}}}
	for n := from; n < to; n++ {
		s.Samples = append(s.Samples, metrics.Sample{Time: int64(n), Value: float64(n)})
	}
	return s
}

// readNumbers counts the numbers on the stream of samples, by tenant.
func readNumbers(t *testing.T, c *Client, all int) map[string]int {
	t.Helper()
	got := map[string]int{}
	done := errors.New("all are read")
	count := 0
	err := c.Metrics(t.Context(), 1, func(m Message) error {
		list, err := metrics.DecodeBatch(m.Data)
		if err != nil {
			return err
		}
		for _, p := range list {
			for _, s := range p.Series {
				for _, x := range s.Samples {
					got[fmt.Sprintf("%s/%d", p.Tenant.Slug, int(x.Value))]++
					count++
				}
			}
		}
		if count >= all {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	return got
}

func TestSamplesSurviveAReopenBesideEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	p, err := s.MetricPublisher()
	if err != nil {
		t.Fatal(err)
	}
	const writers, each, size = 6, 20, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := p.Append(t.Context(), metrics.Tenant{Account: uint32(w), Slug: fmt.Sprint("t", w)}, []metrics.Series{numbered(i*size, (i+1)*size)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// One call of many samples becomes several messages.
	if err := p.Append(t.Context(), metrics.Tenant{Slug: "large"}, []metrics.Series{numbered(0, 100_000)}); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	const all = writers*each*size + 100_000
	if got := p.Stats().Records; got != all {
		t.Errorf("%d samples counted, want %d", got, all)
	}
	p.Close()
	s.Close()

	s = open(t, dir, 1<<30)
	defer s.Close()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := readNumbers(t, c, all)
	if len(got) != all {
		t.Errorf("%d numbers are there, want %d", len(got), all)
	}
	for name, n := range got {
		if n != 1 {
			t.Fatalf("%s is there %d times", name, n)
		}
	}
	if raw, err := c.RawState(t.Context()); err != nil || raw.Messages != 0 {
		t.Errorf("the raw stream holds samples: %+v %v", raw, err)
	}
	st, err := c.MetricState(t.Context())
	if err != nil || st.Epoch == "" || st.Last < 10 {
		t.Fatalf("%+v %v", st, err)
	}
	if err := c.TrimMetrics(t.Context(), st.Last); err != nil {
		t.Fatal(err)
	}
	if after, _ := c.MetricState(t.Context()); after.First != st.Last || after.Last != st.Last {
		t.Errorf("after the trim: %+v", after)
	}
}

func TestAFullStreamOfSamplesPushesBackAndEventsGoOn(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), MaxSize: 1 << 30, MaxMetrics: 64 << 10, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.MetricPublisher()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for n := 0; err == nil && n < 100; n++ {
		err = p.Append(t.Context(), metrics.Tenant{Slug: "a"}, []metrics.Series{numbered(n*1000, (n+1)*1000)})
	}
	if !errors.Is(err, intake.ErrFull) || p.Stats().Refused == 0 {
		t.Fatalf("a full stream answers %v", err)
	}
	events, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	if err := events.Append(context.Background(), []intake.Record{{Data: []byte("x")}}); err != nil {
		t.Errorf("events are refused because samples wait: %v", err)
	}
}
