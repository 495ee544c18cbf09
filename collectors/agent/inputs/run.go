package inputs

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet/wire"
)

// Pace is how much the breaker lets inputs do.
type Pace int32

// Paces, in the order of stepping back.
const (
	PaceFull Pace = iota // every interval
	PaceSlow             // every fourth interval
	PaceHeld             // not at all
)

// slowBy is how many intervals PaceSlow makes one.
const slowBy = 4

// Input is one plug-in, built and perhaps running.
type Input struct {
	in      config.Input
	running *models.RunningInput
	secrets *redactor

	out    *Writer
	log    *slog.Logger
	pace   *atomic.Int32
	paused atomic.Bool // by a command

	cancel  context.CancelFunc
	done    chan struct{}
	reading *reading // of inputs that gather events; nil otherwise

	mu       sync.Mutex
	err      string // of the last gathering
	errAt    time.Time
	logged   string
	loggedAt time.Time
	good     uint64 // gatherings without an error
	failed   uint64 // gatherings with one, in a row
	panicked string
	samples  uint64
	busy     time.Duration // that gathering took
	cpu      time.Duration // of the processor, of the thread that gathers
	bytes    uint64        // given to the queue
	minute   [2]minute     // for the rates
}

// minute is what had come of an input by a time, Unix seconds.
type minute struct {
	at, samples, bytes uint64
	busy, cpu          time.Duration
}

// Key is that of its settings.
func (i *Input) Key() string { return i.in.Key() }

// Name is the input's name in the document.
func (i *Input) Name() string { return i.in.Name }

// Config is what it was made of.
func (i *Input) Config() *config.Input { return &i.in }

// Pause stops gathering until Pause(false).
func (i *Input) Pause(on bool) { i.paused.Store(on) }

// Start begins to gather. ctx bounds the start alone. A service plug-in that
// cannot start is an error; nothing runs then.
func (i *Input) Start(out *Writer, pace *atomic.Int32, log *slog.Logger) (err error) {
	i.out, i.pace, i.log = out, pace, log.With("input", i.in.Name, "plugin", i.in.Plugin)
	if x, ok := i.running.Input.(Extended); ok {
		x.Hold(func() bool { return i.paused.Load() || Pace(i.pace.Load()) == PaceHeld })
	}
	acc := i.accumulator()
	ctx, cancel := context.WithCancel(context.Background())
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the plug-in failed at its start: %v", p)
			}
		}()
		if err = i.readEvents(ctx); err == nil {
			err = i.running.Start(acc)
		}
	}()
	if err != nil {
		cancel()
		return i.in.Fault(0, "%s", i.secrets.clean(err.Error()))
	}
	i.cancel, i.done = cancel, make(chan struct{})
	go i.loop(ctx, acc)
	return nil
}

// Stop ends the input and waits for a gathering that is under way, at most for ctx.
func (i *Input) Stop(ctx context.Context) {
	if i.cancel == nil {
		return
	}
	i.cancel()
	select {
	case <-i.done:
	case <-ctx.Done():
		i.log.Warn("the input does not end its gathering and is left alone")
	}
	defer func() { _ = recover() }() // A plug-in that fails at its end is ended all the same.
	i.running.Stop()
}

// Gather gathers once, for a test of the settings.
func (i *Input) Gather(out *Writer, log *slog.Logger) error {
	i.out, i.log, i.pace = out, log, new(atomic.Int32)
	acc := i.accumulator()
	if err := i.running.Start(acc); err != nil {
		return i.in.Fault(0, "%s", i.secrets.clean(err.Error()))
	}
	defer i.running.Stop()
	i.gather(acc)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != "" {
		return i.in.Fault(0, "%s", i.err)
	}
	return nil
}

// loop gathers at multiples of the interval, each input a little later than the
// round moment so that not all do at once.
func (i *Input) loop(ctx context.Context, acc telegraf.Accumulator) {
	defer close(i.done)
	interval := i.running.Config.Interval
	h := fnv.New32a()
	_, _ = h.Write([]byte(i.in.Name))
	offset := time.Duration(h.Sum32()) * time.Millisecond % min(interval/2, 5*time.Second)
	i.gather(acc) // The first at once: a change shows what it does.
	tick := 0
	for {
		next := time.Now().Add(interval / 20).Truncate(interval).Add(interval + offset)
		if d := time.Until(next.Add(-interval)); d > interval/10 {
			next = next.Add(-interval)
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		tick++
		switch p := Pace(i.pace.Load()); {
		case i.paused.Load(), p == PaceHeld, p == PaceSlow && tick%slowBy != 0:
			continue
		}
		i.gather(acc)
	}
}

// gather has the plug-in gather once.
func (i *Input) gather(acc telegraf.Accumulator) {
	i.mu.Lock()
	before := i.errAt
	i.mu.Unlock()
	runtime.LockOSThread() // The thread's time is the gathering's.
	defer runtime.UnlockOSThread()
	began, worked := time.Now(), threadTime()
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				i.mu.Lock()
				i.panicked = fmt.Sprint(p)
				i.mu.Unlock()
				err = fmt.Errorf("the plug-in failed: %v", p)
			}
		}()
		if err := elsewhere(i.in.Plugin); err != nil {
			return err
		}
		err = i.running.Gather(acc)
		if i.reading != nil {
			i.remember()
		}
		return err
	}()
	if err != nil {
		acc.AddError(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.busy += time.Since(began)
	i.cpu += max(threadTime()-worked, 0)
	if i.errAt.Equal(before) {
		i.good++
		i.failed, i.err = 0, ""
	} else {
		i.failed++
	}
}

// elsewhere says so of a plug-in for Windows on another system: telegraf's own gathers nothing
// there and calls that well.
func elsewhere(plugin string) error {
	if strings.HasPrefix(plugin, "win_") && runtime.GOOS != "windows" {
		return fmt.Errorf("%s works on Windows alone", plugin)
	}
	return nil
}

// logAgain is how often the same error is logged.
const logAgain = 10 * time.Minute

// trouble notes an error of the plug-in.
func (i *Input) trouble(err error) {
	text := i.secrets.clean(err.Error())
	if len(text) > 1000 {
		text = text[:1000]
	}
	now := time.Now()
	i.mu.Lock()
	i.err, i.errAt = text, now
	say := text != i.logged || now.Sub(i.loggedAt) > logAgain
	if say {
		i.logged, i.loggedAt = text, now
	}
	i.mu.Unlock()
	if say {
		i.log.Warn("the input has trouble", "error", text)
	}
}

// Outcome is how the gatherings went.
type Outcome struct {
	Good   uint64 // without an error, since the start
	Failed uint64 // with one, in a row, the last ones
	Error  string // the last
	Panic  string // the plug-in broke down
}

// Outcome tells it.
func (i *Input) Outcome() Outcome {
	i.mu.Lock()
	defer i.mu.Unlock()
	return Outcome{Good: i.good, Failed: i.failed, Error: i.err, Panic: i.panicked}
}

// State tells how the input fares.
func (i *Input) State() wire.InputState {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := wire.InputState{Name: i.in.Name, Plugin: i.in.Plugin, State: "running", Error: i.err}
	if x, ok := i.running.Input.(Extended); ok {
		s.Extension = x.State()
		i.samples = s.Extension.Samples
	}
	i.rates(&s)
	if s.Extension != nil {
		s.CPU += s.Extension.CPUPercent
	}
	switch {
	case i.paused.Load():
		s.State, s.Error = "stopped", ""
	case Pace(i.pace.Load()) == PaceHeld:
		s.State, s.Error = "held", errHeld.Error()
	case i.err != "":
		s.State = "failing"
	}
	return s
}

// rates tells samples a minute, the data given to the queue, and how much of the time and of the
// processor gathering took, since the last whole minute.
func (i *Input) rates(s *wire.InputState) {
	now := minute{uint64(time.Now().Unix()), i.samples, i.bytes, i.busy, i.cpu}
	if i.minute[1].at == 0 {
		i.minute[1].at = now.at - 1
	}
	if now.at-i.minute[1].at >= 60 {
		i.minute[0], i.minute[1] = i.minute[1], now
	}
	from := i.minute[0]
	if from.at == 0 {
		from = i.minute[1]
	}
	if now.at <= from.at {
		return
	}
	span := float64(now.at - from.at)
	percent := func(d time.Duration) float64 { return math.Round(1e4*d.Seconds()/span) / 100 }
	s.Rate = (now.samples - from.samples) * 60 / (now.at - from.at)
	s.Busy, s.CPU = percent(now.busy-from.busy), percent(now.cpu-from.cpu)
	s.KBps = math.Round(100*float64(now.bytes-from.bytes)/1024/span) / 100
}

// accumulator takes what a plug-in gathers.
type accumulator struct {
	i         *Input
	precision time.Duration
}

func (i *Input) accumulator() telegraf.Accumulator {
	return &accumulator{i: i, precision: time.Millisecond}
}

var _ telegraf.Accumulator = (*accumulator)(nil)

// AddFields implements telegraf.Accumulator.
func (a *accumulator) AddFields(name string, fields map[string]any, tags map[string]string, t ...time.Time) {
	a.add(name, fields, tags, telegraf.Untyped, t)
}

// AddGauge implements telegraf.Accumulator.
func (a *accumulator) AddGauge(name string, fields map[string]any, tags map[string]string, t ...time.Time) {
	a.add(name, fields, tags, telegraf.Gauge, t)
}

// AddCounter implements telegraf.Accumulator.
func (a *accumulator) AddCounter(name string, fields map[string]any, tags map[string]string, t ...time.Time) {
	a.add(name, fields, tags, telegraf.Counter, t)
}

// AddSummary implements telegraf.Accumulator.
func (a *accumulator) AddSummary(name string, fields map[string]any, tags map[string]string, t ...time.Time) {
	a.add(name, fields, tags, telegraf.Summary, t)
}

// AddHistogram implements telegraf.Accumulator.
func (a *accumulator) AddHistogram(name string, fields map[string]any, tags map[string]string, t ...time.Time) {
	a.add(name, fields, tags, telegraf.Histogram, t)
}

func (a *accumulator) add(name string, fields map[string]any, tags map[string]string, kind telegraf.ValueType, t []time.Time) {
	at := time.Now()
	if len(t) > 0 {
		at = t[0]
	}
	a.AddMetric(metric.New(name, tags, fields, at, kind))
}

// AddMetric implements telegraf.Accumulator.
func (a *accumulator) AddMetric(m telegraf.Metric) {
	m.SetTime(m.Time().Round(a.precision))
	if m = a.i.running.MakeMetric(m); m == nil {
		return
	}
	if a.i.reading != nil {
		a.i.event(m)
		m.Accept()
		return
	}
	n, bytes := a.i.out.Add(m, a.i.in.Labels)
	m.Accept()
	a.i.mu.Lock()
	a.i.samples += uint64(n)
	a.i.bytes += uint64(bytes)
	a.i.mu.Unlock()
}

// SetPrecision implements telegraf.Accumulator.
func (a *accumulator) SetPrecision(d time.Duration) {
	if d > 0 {
		a.precision = d
	}
}

// AddError implements telegraf.Accumulator.
func (a *accumulator) AddError(err error) {
	if err != nil {
		a.i.trouble(err)
	}
}

// WithTracking implements telegraf.Accumulator. What is added counts as delivered
// as soon as it is in the batch that is about to become durable.
func (a *accumulator) WithTracking(most int) telegraf.TrackingAccumulator {
	return &tracking{accumulator: a, delivered: make(chan telegraf.DeliveryInfo, most)}
}

type tracking struct {
	*accumulator
	delivered chan telegraf.DeliveryInfo
}

// AddTrackingMetric implements telegraf.TrackingAccumulator.
func (t *tracking) AddTrackingMetric(m telegraf.Metric) telegraf.TrackingID {
	tracked, id := metric.WithTracking(m, t.deliver)
	t.AddMetric(tracked)
	return id
}

// AddTrackingMetricGroup implements telegraf.TrackingAccumulator.
func (t *tracking) AddTrackingMetricGroup(group []telegraf.Metric) telegraf.TrackingID {
	tracked, id := metric.WithGroupTracking(group, t.deliver)
	for _, m := range tracked {
		t.AddMetric(m)
	}
	return id
}

// Delivered implements telegraf.TrackingAccumulator.
func (t *tracking) Delivered() <-chan telegraf.DeliveryInfo { return t.delivered }

func (t *tracking) deliver(info telegraf.DeliveryInfo) {
	select {
	case t.delivered <- info:
	default:
		t.i.trouble(errors.New("the plug-in tracks more than it asked room for"))
	}
}
