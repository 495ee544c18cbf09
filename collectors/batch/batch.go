// Package batch gathers the small records of a listener and hands them to the
// sink many at a time, so that one fsync serves them all. It is for sources
// whose senders expect no acknowledgement: syslog, flows.
package batch

import (
	"context"
	"errors"
	"sync"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// A batch goes to the sink when it has this many records or bytes.
const (
	batchRecords = 4096
	batchBytes   = 256 << 10
)

// Batcher gathers the records of a listener and hands them to the sink: at
// the latest an interval after the first, together. While the sink works, the
// next batch grows; when that is full too, whoever adds waits.
type Batcher struct {
	deps     collectors.Deps
	counters *collectors.Counters
	source   string // for the log
	interval time.Duration

	mu     sync.Mutex
	room   sync.Cond // cur has been taken away, or the batcher closed
	cur    *batch
	closed bool // no more is taken

	wake chan struct{} // cur got its first record, or got full
	stop chan struct{}
	done chan struct{}
	// ctx is for the sink; it ends when the drain at the end has lasted too long.
	ctx    context.Context
	cancel context.CancelFunc
	lost   int // records given up at the end
}

// batch is records whose texts lie one behind the other in one piece of memory.
type batch struct {
	recs  []intake.Record
	ends  []int // where each record's text ends in text
	text  []byte
	first time.Time
}

func (b *batch) full() bool { return len(b.recs) >= batchRecords || len(b.text) >= batchBytes }

func (b *batch) reset() {
	clear(b.recs)
	b.recs, b.ends, b.text = b.recs[:0], b.ends[:0], b.text[:0]
	if cap(b.text) > 4*batchBytes {
		b.text = nil // One giant message should not be paid for ever after.
	}
}

// seal points the records at their texts, which no longer move.
func (b *batch) seal() {
	from := 0
	for i, end := range b.ends {
		b.recs[i].Data = b.text[from:end:end]
		from = end
	}
}

// New starts a batcher of the collector named source. A record waits at most
// interval for others.
func New(deps collectors.Deps, counters *collectors.Counters, source string, interval time.Duration) *Batcher {
	b := &Batcher{deps: deps, counters: counters, source: source, interval: interval, cur: new(batch),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	b.room.L = &b.mu
	b.ctx, b.cancel = context.WithCancel(context.Background())
	go b.run()
	return b
}

// Lock opens a run of Add calls.
func (b *Batcher) Lock() { b.mu.Lock() }

// Unlock ends it.
func (b *Batcher) Unlock() { b.mu.Unlock() }

// Add copies one record, whose data is text, into the present batch, between
// Lock and Unlock. It waits while there is no room. Where the batcher has been
// closed it counts the record as dropped.
func (b *Batcher) Add(rec intake.Record, text []byte) {
	size := len(text)
	if size > intake.MaxData {
		rec.Data = text
		b.mu.Unlock() // The store is slow; others need not wait for it.
		if err := collectors.Fit(b.deps.Aside, &rec); err != nil {
			b.deps.Log.Warn("a long message could not be kept whole", "collector", rec.Collector, "peer", rec.Peer, "error", err)
		}
		text, rec.Data = rec.Data, nil
		b.mu.Lock()
	}
	for b.cur.full() && !b.closed {
		b.signal()
		b.room.Wait()
	}
	if b.closed {
		b.counters.Dropped(1)
		b.lost++
		return
	}
	c := b.cur
	if len(c.recs) == 0 {
		c.first = time.Now()
		b.signal()
	}
	c.text = append(c.text, text...)
	c.ends = append(c.ends, len(c.text))
	c.recs = append(c.recs, rec)
	b.counters.Received(1, size)
	if c.full() {
		b.signal()
	}
}

func (b *Batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Batcher) run() {
	defer close(b.done)
	spare := new(batch)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	stopping := false
	for {
		b.mu.Lock()
		empty, full, first := len(b.cur.recs) == 0, b.cur.full(), b.cur.first
		b.mu.Unlock()
		switch {
		case empty && stopping:
			return
		case empty:
			select {
			case <-b.wake:
			case <-b.stop:
				stopping = true
			}
			continue
		case !full && !stopping:
			if left := b.interval - time.Since(first); left > 0 {
				timer.Reset(left)
				select {
				case <-timer.C:
				case <-b.wake:
					continue // It may be full now.
				case <-b.stop:
					stopping = true
				}
			}
		}
		b.mu.Lock()
		taken := b.cur
		b.cur, spare = spare, taken
		b.room.Broadcast()
		b.mu.Unlock()
		taken.seal()
		b.hand(taken)
		taken.reset()
	}
}

// Waits between attempts to hand a batch over.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

// hand gives a batch to the sink, again and again until it takes it or the
// drain at the end is over.
func (b *Batcher) hand(t *batch) {
	wait := firstRetry
	for {
		err := b.deps.Sink.Append(b.ctx, t.recs)
		if err == nil {
			b.counters.Failed(nil)
			return
		}
		b.counters.Failed(err)
		if errors.Is(err, intake.ErrClosed) || b.ctx.Err() != nil {
			b.giveUp(len(t.recs), err)
			return
		}
		if !errors.Is(err, intake.ErrFull) {
			b.deps.Log.Error("messages could not be stored and wait", "collector", b.source, "records", len(t.recs), "error", err)
		}
		select {
		case <-time.After(wait):
		case <-b.ctx.Done():
		}
		wait = min(2*wait, lastRetry)
	}
}

// giveUp counts what is lost, and lets nobody wait any longer.
func (b *Batcher) giveUp(n int, err error) {
	b.counters.Dropped(n)
	b.mu.Lock()
	b.closed = true
	b.lost += n + len(b.cur.recs)
	b.counters.Dropped(len(b.cur.recs))
	b.cur.reset()
	b.room.Broadcast()
	b.mu.Unlock()
	b.deps.Log.Error("messages were given up", "collector", b.source, "records", n, "error", err)
}

// Cancel ends the attempts to hand records over; what is left is given up.
func (b *Batcher) Cancel() { b.cancel() }

// Close hands over what is left, within ctx. No Add may be running or follow.
// It returns how many records were given up.
func (b *Batcher) Close(ctx context.Context) int {
	defer context.AfterFunc(ctx, b.cancel)()
	close(b.stop)
	<-b.done
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.lost
}
