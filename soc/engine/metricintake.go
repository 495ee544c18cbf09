package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/metrics"
)

// MetricIntake is what the engine tells of samples that came in from outside.
type MetricIntake struct {
	Samples uint64            `json:"samples"` // handed to the metric lake since the start
	Refused map[string]uint64 `json:"refused"` // of the stream, those the lake does not hold, by reason
	Damaged uint64            `json:"damaged"` // batches that could not be read and were set aside
	Last    uint64            `json:"last"`    // last batch handed to the lake
	Settled uint64            `json:"settled"` // last batch that is on the lake's disk for certain
}

// metricPlace is the stage's memory of its place on the bus. It has a file of
// its own: samples and events wait for each other in nothing.
type metricPlace struct {
	Epoch   string `json:"epoch"`
	Settled uint64 `json:"settled"` // batches up to this one are on the lake's disk
}

// metricPlaceFile is its name in the engine's folder.
const metricPlaceFile = "metric-place.json"

// metricIntake carries samples from the bus to the metric lake.
//
// The lake keeps what it was given in memory for some seconds. So a batch counts
// as settled only once it was written longer ago than metrics.Unsettled and the
// store has not started anew since. A start goes on behind the last settled
// batch and writes the others again, which stores nothing twice.
type metricIntake struct {
	client *bus.Client
	file   string
	aside  string // folder for batches that cannot be read
	hold   *hold
	held   *sampleHolds
	board  *condition.Board
	log    *slog.Logger
	// unsettled is how long a batch may be in the store's memory only, and every
	// how often batches are looked at that may have settled.
	unsettled, every time.Duration

	place   metricPlace
	boot    string // of the store, by its last word
	written []writtenBatch
	counted uint64    // batches up to this one have had their refusals counted
	refused time.Time // when samples were last refused

	mu    sync.Mutex
	shown MetricIntake
}

// writtenBatch is a batch that is not settled yet.
type writtenBatch struct {
	seq uint64
	at  time.Time
}

const (
	// settleEvery is metricIntake.every.
	settleEvery = 5 * time.Second
	// refusalShown is how long a refusal is told of.
	refusalShown = time.Hour
)

// errRewound ends a reading of the bus that is to begin anew at the last
// settled batch.
var errRewound = errors.New("engine: the metric store started anew")

func newMetricIntake(o Options, client *bus.Client, h *hold, held *sampleHolds, board *condition.Board, log *slog.Logger) *metricIntake {
	return &metricIntake{client: client, file: filepath.Join(o.Dir, metricPlaceFile), aside: o.damaged(), hold: h, held: held, board: board, log: log,
		unsettled: metrics.Unsettled, every: settleEvery,
		shown: MetricIntake{Refused: map[string]uint64{}}}
}

// told is what others may know.
func (m *metricIntake) told() MetricIntake {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shown
	s.Refused = maps.Clone(s.Refused)
	return s
}

// run works the stream until ctx ends.
func (m *metricIntake) run(ctx context.Context, store *metrics.Store) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := m.begin(ctx)
		if err == nil {
			break
		}
		m.log.Warn("engine: the place in the stream of samples is not known; it is tried again", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	for ctx.Err() == nil {
		m.work(ctx, store)
	}
}

// begin finds the place on the bus. A place that cannot be trusted is none:
// all that is on the bus is written again.
func (m *metricIntake) begin(ctx context.Context) error {
	st, err := m.client.MetricState(ctx)
	if err != nil {
		return err
	}
	m.place = metricPlace{}
	if err := readJSON(m.file, &m.place); err != nil {
		m.log.Error("engine: the place in the stream of samples is damaged; all that is on the bus is written again", "error", err)
		m.place = metricPlace{}
	}
	if m.place.Epoch != st.Epoch {
		m.place = metricPlace{Epoch: st.Epoch}
	}
	if m.place.Settled > st.Last {
		// The bus' folder was put back to an earlier state.
		m.log.Error("engine: the stream of samples ends before the place; it is read from its beginning", "last", st.Last, "settled", m.place.Settled)
		m.place.Settled = 0
	}
	m.missed(m.place.Settled+1, st.First)
	if m.place.Settled+1 < st.First {
		m.place.Settled = st.First - 1
	}
	m.show(func(s *MetricIntake) { s.Last, s.Settled = m.place.Settled, m.place.Settled })
	m.log.Info("engine: samples are taken from the bus", "from_batch", m.place.Settled+1, "bus_last", st.Last)
	return nil
}

// missed tells of batches that the bus does not hold any more.
func (m *metricIntake) missed(want, got uint64) {
	if got <= want || got%bus.Jump == 0 || m.place.Settled == 0 {
		return
	}
	m.log.Error("engine: batches of samples are missing on the bus", "from", want, "to", got-1)
	m.board.Set(condition.Condition{Kind: condition.BusGap, Key: fmt.Sprint("metrics-", want), Severity: condition.High, Text: condition.Text{
		ZH: fmt.Sprintf("总线上缺少 %d 个指标批次（%d 至 %d），其中的样本未入库", got-want, want, got-1),
		EN: fmt.Sprintf("%d batches of samples (%d to %d) are missing on the bus and were not stored", got-want, want, got-1)}})
}

// work reads the bus from behind the last settled batch, until ctx ends or the
// store turns out to have started anew.
func (m *metricIntake) work(ctx context.Context, store *metrics.Store) {
	ctx, stop := context.WithCancelCause(ctx)
	m.written = nil
	next := m.place.Settled + 1
	looked := time.Now()
	// The stream may be silent when batches settle, so that a clock looks after
	// them beside it; both take turns.
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop(nil)
	wg.Go(func() {
		t := time.NewTicker(m.every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
			select {
			case <-turn:
				err := m.settle(ctx, store)
				turn <- struct{}{}
				if errors.Is(err, errRewound) {
					stop(err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	err := m.client.Metrics(ctx, next, func(msg bus.Message) error {
		select {
		case <-turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { turn <- struct{}{} }()
		m.missed(next, msg.Sequence)
		next = msg.Sequence + 1
		if err := m.store(ctx, store, msg); err != nil {
			return err
		}
		if time.Since(looked) < m.every {
			return nil
		}
		looked = time.Now()
		return m.settle(ctx, store)
	})
	if errors.Is(err, errRewound) || errors.Is(context.Cause(ctx), errRewound) {
		m.log.Warn("engine: the metric store started anew; samples are written again", "from_batch", m.place.Settled+1)
	} else if err != nil && ctx.Err() == nil {
		m.log.Error("engine: reading the stream of samples", "error", err)
	}
}

// store writes one batch, for as long as it takes.
func (m *metricIntake) store(ctx context.Context, store *metrics.Store, msg bus.Message) error {
	list, err := metrics.DecodeBatch(msg.Data)
	if err != nil {
		m.setAside(msg, err)
	}
	for _, p := range list {
		w, err := m.write(ctx, store, p)
		if err != nil {
			return err
		}
		if m.boot != "" && w.Boot != "" && w.Boot != m.boot {
			m.boot = w.Boot
			return errRewound
		}
		if w.Boot != "" {
			m.boot = w.Boot
		}
		m.show(func(s *MetricIntake) { s.Samples += uint64(w.Samples) })
		if msg.Sequence > m.counted && w.Dropped > 0 {
			m.tellRefused(p.Tenant, w)
		}
	}
	m.counted = max(m.counted, msg.Sequence)
	m.written = append(m.written, writtenBatch{msg.Sequence, time.Now()})
	m.show(func(s *MetricIntake) { s.Last = msg.Sequence })
	return nil
}

// write writes a portion until the store takes it. While it does not, samples
// wait on the bus, and the wait is told of.
func (m *metricIntake) write(ctx context.Context, store *metrics.Store, p metrics.Portion) (metrics.Written, error) {
	const key = "metric-intake"
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		w, err := store.Write(ctx, p.Tenant, p.Series)
		if err == nil {
			m.board.Clear(condition.ServerDown, key)
			return w, nil
		}
		if ctx.Err() != nil {
			return w, ctx.Err()
		}
		if m.board.Set(condition.Condition{Kind: condition.ServerDown, Key: key, Severity: condition.High, Text: condition.Text{
			ZH: "指标库不接收样本，样本在总线上等待：" + err.Error(), EN: "the metric lake takes no samples; they wait on the bus: " + err.Error()}}) {
			m.log.Error("engine: samples wait for the metric lake", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return w, ctx.Err()
		}
	}
}

// tellRefused counts samples that the lake does not hold. What a sender could
// be told was refused at the door; what comes here waited until it was too old.
func (m *metricIntake) tellRefused(t metrics.Tenant, w metrics.Written) {
	m.show(func(s *MetricIntake) {
		for reason, n := range w.Reasons {
			s.Refused[reason] += uint64(n)
		}
	})
	m.refused = time.Now()
	first := w.Refused[0]
	m.log.Warn("engine: samples were not stored", "tenant", t.Slug, "samples", w.Dropped, "metric", first.Metric, "reason", first.Reason)
	m.board.Set(condition.Condition{Kind: condition.SamplesRefused, Key: t.Slug, Severity: condition.Medium, Text: condition.Text{
		ZH: fmt.Sprintf("租户 %s 的样本未入库，最近一例：指标 %s，%s", t.Slug, first.Metric, first.Reason),
		EN: fmt.Sprintf("samples of the tenant %s were not stored, such as %s: %s", t.Slug, first.Metric, first.Reason)}})
}

// setAside keeps a batch that cannot be read, now or ever, with a note.
func (m *metricIntake) setAside(msg bus.Message, cause error) {
	m.show(func(s *MetricIntake) { s.Damaged++ })
	name := fmt.Sprintf("metrics-%d", msg.Sequence)
	folder, err := damage.New(m.aside, "bus")
	if err == nil {
		folder.Note.Severity = condition.High
		folder.Note.Text = condition.Text{
			ZH: fmt.Sprintf("总线指标批次 %d（接收于 %s）无法解码，已隔离到 %s", msg.Sequence, msg.Time.UTC().Format(time.RFC3339), folder.Path),
			EN: fmt.Sprintf("batch %d of samples, taken in at %s, cannot be decoded and is set aside in %s", msg.Sequence, msg.Time.UTC().Format(time.RFC3339), folder.Path)}
		folder.Note.Items = []damage.Item{{Path: name, Why: cause.Error(), Kept: name, From: msg.Time, To: msg.Time}}
		err = errors.Join(folder.Save(), os.WriteFile(filepath.Join(folder.Path, name), msg.Data, 0o600))
	}
	m.log.Error("engine: a batch of samples is damaged and set aside", "batch", msg.Sequence, "error", cause, "written", err)
}

// settle moves the place over batches that are on the lake's disk by now, and
// lets the bus forget them but for the last: a stream that was empty could begin
// its numbers anew. It is errRewound where the store started anew.
func (m *metricIntake) settle(ctx context.Context, store *metrics.Store) error {
	if !m.refused.IsZero() && time.Since(m.refused) > refusalShown {
		m.refused = time.Time{}
		for _, c := range m.board.List() {
			if c.Kind == condition.SamplesRefused {
				m.board.Clear(c.Kind, c.Key)
			}
		}
	}
	due := 0
	for due < len(m.written) && time.Since(m.written[due].at) > m.unsettled {
		due++
	}
	if due == 0 {
		return nil
	}
	st, err := store.Stats(ctx)
	if err != nil {
		return nil // it is asked again
	}
	if st.Boot != m.boot {
		m.boot = st.Boot
		return errRewound
	}
	m.moveTo(m.written[due-1].seq)
	m.written = m.written[due:]
	settled := m.place.Settled
	m.hold.unlessHeld(func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		st, err := m.client.MetricState(ctx)
		if err == nil {
			err = m.client.TrimMetrics(ctx, m.held.floor(settled, st.Bytes))
		}
		if err != nil && ctx.Err() == nil {
			m.log.Warn("engine: trimming the stream of samples", "error", err)
		}
	})
	return nil
}

// moveTo saves that all batches up to seq are settled. Where it cannot be saved
// the place stays, and the bus keeps them.
func (m *metricIntake) moveTo(seq uint64) {
	next := metricPlace{Epoch: m.place.Epoch, Settled: seq}
	if err := writeJSON(m.file, next); err != nil {
		m.board.Set(condition.Condition{Kind: condition.Unsaved, Key: metricPlaceFile, Severity: condition.High, Text: condition.Text{
			ZH: fmt.Sprintf("%s 无法保存：%v。不会丢失数据，但总线不会释放指标样本的空间", metricPlaceFile, err),
			EN: fmt.Sprintf("%s cannot be saved: %v; nothing is lost, but the bus lets no samples go", metricPlaceFile, err)}})
		return
	}
	m.board.Clear(condition.Unsaved, metricPlaceFile)
	m.place = next
	m.show(func(s *MetricIntake) { s.Settled = seq })
}

// closed notes that a store in this process was closed in order: all that was
// written is on its disk.
func (m *metricIntake) closed() {
	if n := len(m.written); n > 0 {
		m.moveTo(m.written[n-1].seq)
		m.written = nil
	}
}

func (m *metricIntake) show(f func(*MetricIntake)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.shown)
}
