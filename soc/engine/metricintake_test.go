package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/metrics"
)

// volatile is a metric store that holds samples in memory for a while and
// loses them when it is started anew.
type volatile struct {
	mu        sync.Mutex
	run       int
	away      error
	safe, new map[string]int // how often each sample was written, over all runs
	at        map[string]time.Time
	settle    time.Duration
}

func (v *volatile) Put(_ context.Context, account uint32, series []metrics.Series) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.away != nil {
		return "", v.away
	}
	for _, s := range series {
		for _, x := range s.Samples {
			key := fmt.Sprint(account, s.Name(), x.Time, x.Value)
			v.new[key]++
			v.at[key] = time.Now()
		}
	}
	return fmt.Sprint(v.run), nil
}

// restart begins a new run: what is not on the disk by then is lost.
func (v *volatile) restart() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.run++
	for key := range v.new {
		if time.Since(v.at[key]) > v.settle {
			v.safe[key]++
		}
	}
	v.new = map[string]int{}
}

func (v *volatile) held() (n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]bool{}
	for key := range v.safe {
		all[key] = true
	}
	for key := range v.new {
		all[key] = true
	}
	return len(all)
}

func (v *volatile) Ask(context.Context, []uint32, string, url.Values) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
func (v *volatile) Flush(context.Context) error { return nil }
func (v *volatile) Stats(context.Context) (metrics.Stats, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return metrics.Stats{Boot: fmt.Sprint(v.run)}, v.away
}
func (v *volatile) Snapshot(context.Context) (string, func() error, error) {
	return "", nil, metrics.ErrElsewhere
}
func (v *volatile) Close() error { return nil }

// metricBus is a bus with a sink for samples.
type metricBus struct {
	client *bus.Client
	sink   bus.MetricPublisher
	dir    string
	next   int
}

func newMetricBus(t *testing.T) *metricBus {
	t.Helper()
	b := &metricBus{dir: t.TempDir()}
	s, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(b.dir, "bus"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if b.client, err = s.Client(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	if b.sink, err = s.MetricPublisher(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.sink.Close)
	return b
}

// send makes n further samples durable, the last of them as old as said.
func (b *metricBus) send(t *testing.T, n int, age time.Duration) {
	t.Helper()
	s := metrics.Series{Labels: []metrics.Label{{Name: metrics.LabelName, Value: "numbers"}}}
	for range n {
		b.next++
		s.Samples = append(s.Samples, metrics.Sample{Time: time.Now().Add(-age).UnixMilli(), Value: float64(b.next)})
	}
	if err := b.sink.Append(t.Context(), metrics.Tenant{Account: 100, Slug: "a"}, []metrics.Series{s}); err != nil {
		t.Fatal(err)
	}
}

// stage is a new stage that settles quickly; its files are below the bus's.
func (b *metricBus) stage(board *condition.Board) *metricIntake {
	m := newMetricIntake(Options{Dir: b.dir}, b.client, &hold{}, &sampleHolds{}, board, slog.New(slog.DiscardHandler))
	m.unsettled, m.every = 300*time.Millisecond, 50*time.Millisecond
	return m
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestSamplesOutliveEngineAndStore(t *testing.T) {
	t.Parallel()
	b, board := newMetricBus(t), &condition.Board{}
	v := &volatile{safe: map[string]int{}, new: map[string]int{}, at: map[string]time.Time{}, settle: 200 * time.Millisecond}
	store := metrics.New(v, 24*time.Hour)
	run := func(m *metricIntake) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.run(ctx, store); close(done) }()
		return func() { cancel(); <-done }
	}
	m := b.stage(board)
	stop := run(m)
	for range 10 {
		b.send(t, 100, 0)
	}
	waitFor(t, "a thousand samples are held", func() bool { return v.held() == 1000 })
	// The store loses what it has in memory, while nothing comes in: the stage
	// finds out by itself and writes it again.
	v.restart()
	waitFor(t, "what the store lost is written again", func() bool { return v.held() == 1000 })
	waitFor(t, "all is settled", func() bool { s := m.told(); return s.Settled == s.Last && s.Last > 0 })
	stop()

	// The engine dies: the next one begins behind the last settled batch.
	b.send(t, 100, 0)
	m = b.stage(board)
	stop = run(m)
	waitFor(t, "what came without an engine is held", func() bool { return v.held() == 1100 })
	if got := m.told().Samples; got != 100 {
		t.Errorf("the second engine wrote %d samples; what was settled is not to be written again", got)
	}
	stop() // before they settle
	v.restart()
	m = b.stage(board)
	stop = run(m)
	waitFor(t, "what was lost with the second engine is written again", func() bool { return v.held() == 1100 })

	// The store is away: samples wait, and it is told.
	v.mu.Lock()
	v.away = errors.New("no route to the store")
	v.mu.Unlock()
	b.send(t, 10, 0)
	waitFor(t, "the wait is told of", func() bool { return len(board.List()) == 1 && board.List()[0].Kind == condition.ServerDown })
	v.mu.Lock()
	v.away = nil
	v.mu.Unlock()
	waitFor(t, "the samples are held after the wait", func() bool { return v.held() == 1110 && len(board.List()) == 0 })

	// Samples that the store does not hold are counted and told of.
	b.send(t, 7, 25*time.Hour)
	waitFor(t, "what is refused is told of", func() bool {
		return m.told().Refused[metrics.ReasonTime] == 7 && len(board.List()) == 1 && board.List()[0].Kind == condition.SamplesRefused
	})
	waitFor(t, "all is settled at the end", func() bool { s := m.told(); return s.Settled == s.Last })
	waitFor(t, "the bus lets go of all but the last", func() bool {
		st, err := b.client.MetricState(t.Context())
		return err == nil && st.Messages == 1
	})
	stop()
}

func TestABatchOfSamplesThatCannotBeReadIsSetAside(t *testing.T) {
	t.Parallel()
	b, board := newMetricBus(t), &condition.Board{}
	v := &volatile{safe: map[string]int{}, new: map[string]int{}, at: map[string]time.Time{}}
	m := b.stage(board)
	if err := m.store(t.Context(), metrics.New(v, 24*time.Hour), bus.Message{Sequence: 1, Data: []byte("no batch")}); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(b.dir, "damaged", "*", "metrics-1"))
	if err != nil || len(kept) != 1 || m.told().Damaged != 1 {
		t.Fatalf("%v %v %+v", kept, err, m.told())
	}
	if raw, err := os.ReadFile(kept[0]); err != nil || string(raw) != "no batch" {
		t.Errorf("%q %v", raw, err)
	}
}
