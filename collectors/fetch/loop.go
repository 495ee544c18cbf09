// Package fetch is what the sources share that fetch instead of waiting to be
// sent to: the loop that goes on after every error, handing records over until
// they are durable, and TLS from PEM texts.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// A batch goes to the sink when it has this many bytes or records.
const (
	BatchBytes   = 256 << 10
	BatchRecords = 4096
)

// Waits after a round that failed; each is drawn between half of itself and
// itself, so that many sources do not come back to one server together.
const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// Loop runs a source's rounds until it is stopped. Its methods Health, Stop and
// Start are those of collectors.Collector.
type Loop struct {
	id, kind, target string
	deps             collectors.Deps
	counters         *collectors.Counters
	round            Round
	every            time.Duration
	log              *slog.Logger

	started, stopped atomic.Bool
	stop             chan struct{}
	done             chan struct{}
	// reading ends when Stop is called, storing when Stop may wait no longer.
	reading, storing context.Context
	cancel           []context.CancelFunc
}

// Partial is what a round returns that read all that could be read, though
// something is wrong with the rest: it is shown, and the next look comes as ever.
type Partial struct{ Err error }

// Error is the reason.
func (p *Partial) Error() string { return p.Err.Error() }

// Unwrap is the reason.
func (p *Partial) Unwrap() error { return p.Err }

// Round reads what there is. ctx ends when the source is to stop. more says
// that there was something and that the next look is due at once.
type Round func(ctx context.Context) (more bool, err error)

// NewLoop makes the loop of the source id. target is what Health names as read.
// A round without anything new is followed by a pause of every, which is drawn
// within a tenth of it.
func NewLoop(id, kind, target string, deps collectors.Deps, every time.Duration, round Round) *Loop {
	l := &Loop{id: id, kind: kind, target: target, deps: deps, counters: collectors.NewCounters(deps.Metrics, id), round: round, every: every,
		log: deps.Log.With("collector", id), stop: make(chan struct{}), done: make(chan struct{})}
	var stopReading, stopStoring context.CancelFunc
	l.reading, stopReading = context.WithCancel(context.Background())
	l.storing, stopStoring = context.WithCancel(context.Background())
	l.cancel = []context.CancelFunc{stopReading, stopStoring}
	return l
}

// Start begins. What cannot be reached is shown by Health and tried again, so
// it never fails.
func (l *Loop) Start(context.Context) error {
	l.counters.Running(true)
	l.started.Store(true)
	go l.run()
	return nil
}

// Health tells how the source fares.
func (l *Loop) Health() collectors.Health { return l.counters.Health(l.id, l.kind, l.target) }

// Stop ends the source. What was read and is not durable by then is read again
// at the next start, so nothing is given up.
func (l *Loop) Stop(ctx context.Context) error {
	if !l.started.Load() || l.stopped.Swap(true) {
		return nil
	}
	close(l.stop)
	l.cancel[0]()
	defer context.AfterFunc(ctx, l.cancel[1])()
	<-l.done
	l.cancel[1]()
	l.counters.Running(false)
	return nil
}

// Storing is the context for what makes records and places durable: it outlives
// the one that a round is given by as long as Stop may wait.
func (l *Loop) Storing() context.Context { return l.storing }

// Trouble shows err in Health while the round goes on; nil ends it.
func (l *Loop) Trouble(err error) { l.counters.Failed(err) }

// Rejected counts n records that were refused.
func (l *Loop) Rejected(n int) { l.counters.Rejected(n) }

func (l *Loop) run() {
	defer close(l.done)
	wait := firstWait
	for l.reading.Err() == nil {
		more, err := l.round(l.reading)
		var partial *Partial
		switch {
		case l.reading.Err() != nil:
			return
		case errors.As(err, &partial):
			l.counters.Failed(err)
			wait = firstWait
			l.pause(l.pausing())
		case err != nil:
			l.counters.Failed(err)
			l.log.Warn("the source cannot be read and is tried again", "error", err, "wait", wait)
			l.pause(wait/2 + rand.N(wait/2))
			wait = min(2*wait, lastWait)
		default:
			l.counters.Failed(nil)
			wait = firstWait
			if !more {
				l.pause(l.pausing())
			}
		}
	}
}

func (l *Loop) pausing() time.Duration { return l.every - l.every/10 + rand.N(l.every/5+1) }

func (l *Loop) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.stop:
	}
}

// Hand gives records to the sink until it takes them. Texts longer than
// intake.MaxData are kept aside. It fails only where the source stops before
// that; the records must then be read again.
func (l *Loop) Hand(recs []intake.Record) error {
	if len(recs) == 0 {
		return nil
	}
	size := 0
	for i := range recs {
		size += len(recs[i].Data)
		if err := collectors.Fit(l.deps.Aside, &recs[i]); err != nil {
			l.log.Warn("a long text could not be kept whole", "id", recs[i].ID, "error", err)
		}
	}
	wait := 10 * time.Millisecond
	for {
		err := l.deps.Sink.Append(l.storing, recs)
		if err == nil {
			l.counters.Received(len(recs), size)
			l.counters.Failed(nil)
			return nil
		}
		if l.storing.Err() != nil || l.reading.Err() != nil || errors.Is(err, intake.ErrClosed) {
			return fmt.Errorf("store %d records: %w", len(recs), err)
		}
		l.counters.Failed(fmt.Errorf("store records: %w", err))
		if !errors.Is(err, intake.ErrFull) {
			l.log.Warn("records could not be stored and wait", "records", len(recs), "error", err)
		}
		l.pause(wait)
		wait = min(2*wait, 500*time.Millisecond)
	}
}
