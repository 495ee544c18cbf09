package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/lake"
	"icewatch/soc/pipeline"
)

// A batch is parsed once, and then detection, storage and the ledger of flows
// work on it side by side, each at its own pace and with a place on the bus of
// its own. A restart begins at the oldest of them, and each passes over what it
// has done.

// inFlight is how many batches are worked on at a time, at most.
const inFlight = 6

// batch is one batch of the bus on its way through the stages.
type batch struct {
	seq   uint64
	at    time.Time // when the bus took it
	recs  []intake.Record
	items []item
	floor uint64       // sender ids are remembered from this batch on, once it is done
	users atomic.Int32 // stages that still need it
}

// item is one event and where it goes. Stages only read it.
type item struct {
	ev     event.Event
	place  pipeline.Place
	stream string // names its stream in the lake
	repeat bool   // a sender's id came again: it is there already
}

// consume works the batches from the bus until ctx ends or a stage fails.
func (e *Engine) consume(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	raw := make(chan bus.Message, inFlight)
	free := make(chan *batch, inFlight)
	for range inFlight {
		free <- &batch{}
	}
	writers := make(chan *lake.Writer, writersInUse)
	for range cap(writers) {
		writers <- e.lake.NewWriter(e.reg)
	}
	// Each may hold all batches, so that a stage waits for a batch alone.
	toDetect, toStore, toEdges := make(chan *batch, inFlight), make(chan *batch, inFlight), make(chan *batch, inFlight)
	done := func(b *batch) {
		if b.users.Add(-1) == 0 {
			free <- b
		}
	}
	stages := []func() error{
		func() error {
			return e.client.Raw(ctx, e.from, func(m bus.Message) error {
				select {
				case raw <- m:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		},
		func() error {
			for {
				var b *batch
				select {
				case b = <-free:
				case <-ctx.Done():
					return nil
				}
				select {
				case m := <-raw:
					e.parse(m, b)
				case <-ctx.Done():
					return nil
				}
				b.users.Store(3)
				toDetect <- b
				toStore <- b
				toEdges <- b
			}
		},
		func() error { return e.detection(ctx, toDetect, done) },
		func() error { return e.storage(ctx, toStore, done, writers) },
		func() error { return e.handing(ctx, writers) },
		func() error { return e.edgesStage(ctx, toEdges, done) },
	}
	ended := make(chan error, len(stages))
	for _, stage := range stages {
		go func() {
			err := stage()
			cancel(err)
			ended <- err
		}()
	}
	var first error
	for range stages {
		if err := <-ended; first == nil && err != nil && !errors.Is(err, context.Canceled) {
			first = err
		}
	}
	return first
}

// parse makes events of a batch.
func (e *Engine) parse(m bus.Message, b *batch) {
	var err error
	b.seq, b.at = m.Sequence, m.Time
	b.recs, err = intake.DecodeBatch(b.recs[:0], m.Data)
	if err != nil {
		e.setBatchAside(m, err)
	}
	if e.parsed > 0 && m.Sequence > e.parsed+1 {
		e.missed(e.parsed+1, m.Sequence, e.parsedAt, m.Time)
	}
	e.parsed, e.parsedAt = m.Sequence, m.Time
	b.items = slices.Grow(b.items[:0], len(b.recs))[:len(b.recs)]
	for i := range b.recs {
		it, rec := &b.items[i], &b.recs[i]
		id := event.ID{Epoch: e.epoch, Sequence: m.Sequence, Index: uint32(i)}
		it.place = e.pipe.Fill(rec, id, &it.ev)
		it.stream = e.pipe.Stream(&it.ev)
		e.events.Add(1)
		if it.repeat = rec.ID != "" && e.seen.Repeated(it.ev.Tenant, rec.ID, id); it.repeat {
			e.repeats.Add(1)
			continue
		}
		e.count(it.ev.Tenant)
	}
	b.floor = min(e.seen.Floor(m.Sequence+1), m.Sequence+1)
}

// detection hands the events of each batch to the rules and makes durable what
// they raise.
func (e *Engine) detection(ctx context.Context, batches <-chan *batch, done func(*batch)) error {
	save, idle := time.NewTicker(5*time.Second), time.NewTicker(time.Second)
	defer save.Stop()
	defer idle.Stop()
	worked := time.Now()
	for {
		select {
		case b := <-batches:
			if b.seq > e.detected.Load() {
				if err := e.detectIn(ctx, b); err != nil {
					return err
				}
			}
			done(b)
			worked = time.Now()
		case <-idle.C:
			// What arrived before so long has been here by now, if nothing waits.
			const behind = 2 * time.Second
			if now := time.Now(); len(batches) == 0 && now.Sub(worked) > behind {
				if err := e.detectIdle(ctx, now.Add(-behind)); err != nil {
					return err
				}
			}
		case <-save.C:
			if err := e.saveDetection(); err != nil {
				e.log.Error("engine: the state of detection is not saved", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *Engine) detectIn(ctx context.Context, b *batch) error {
	e.pending = e.pending[:0]
	clear(e.byKey)
	e.halfway = true
	for i := range b.items {
		if it := &b.items[i]; !it.repeat {
			e.detect.Process(&it.ev, e.raise)
			e.meter.count(it.ev.Tenant, &b.recs[i])
		}
	}
	if err := e.publish(ctx); err != nil {
		return err
	}
	e.halfway = false
	e.detected.Store(b.seq)
	return nil
}

// Rows are handed to the lake many at a time: each handing-over becomes a part
// of its own there, sorted by stream, and small parts cost more to merge than to
// write.
const (
	handSize  = 24 << 20 // bytes of rows
	handAfter = 500 * time.Millisecond
)

// writersInUse is one that rows are laid out in and one that is handed over.
const writersInUse = 2

// load are rows on their way to the lake.
type load struct {
	writer *lake.Writer
	at     position // of the last batch in them
}

// storage takes in the events of each batch as rows. The rows of one load are
// laid out while those of the load before are handed over.
func (e *Engine) storage(ctx context.Context, batches <-chan *batch, done func(*batch), writers <-chan *lake.Writer) error {
	tick := time.NewTicker(handAfter)
	defer tick.Stop()
	before := e.begun // batches up to it are stored
	var (
		writer *lake.Writer
		at     position
	)
	hand := func() error {
		if writer == nil {
			return nil
		}
		select {
		case e.loads <- load{writer, at}:
			writer = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		select {
		case b := <-batches:
			if writer == nil {
				select {
				case writer = <-writers:
				case <-ctx.Done():
					return nil
				}
			}
			if b.seq > before.Stored {
				if err := e.storeIn(ctx, b, writer); err != nil {
					return err
				}
			}
			at = position{b.seq, b.floor, b.at}
			done(b)
			if writer.Size() >= handSize {
				if err := hand(); err != nil {
					return err
				}
			}
		case <-tick.C:
			if err := hand(); err != nil {
				return err
			}
		case <-ctx.Done():
			if writer != nil {
				e.loads <- load{writer, at} // there is room for one a writer
			}
			return nil
		}
	}
}

// rest hands over what was on its way when the stages ended.
func (e *Engine) rest(ctx context.Context) error {
	for !e.stuck {
		select {
		case l := <-e.loads:
			if err := e.handOver(ctx, l); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return errors.New("what came before them was not taken by the lake")
}

// handing gives the loads to the lake one after the other, and keeps the
// checkpoint.
func (e *Engine) handing(ctx context.Context, writers chan<- *lake.Writer) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ticks := 1; ; {
		select {
		case l := <-e.loads:
			if err := e.handOver(ctx, l); err != nil {
				return err
			}
			writers <- l.writer
		case <-second.C:
			if err := e.advance(); err != nil {
				return err
			}
			if ticks++; ticks%10 == 0 {
				e.trim(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// storeIn takes in the events of a batch for the lake.
func (e *Engine) storeIn(ctx context.Context, b *batch, writer *lake.Writer) error {
	if err := e.health.room.wait(ctx); err != nil {
		return err
	}
	held := e.stored[b.seq]
	var shown tailRanges
	for i := range b.items {
		it := &b.items[i]
		if it.repeat {
			continue
		}
		shown.add(it.ev.Time)
		if held.Has(it.ev.ID.Index) {
			e.replayed.Add(1)
			continue
		}
		if it.place.Account == 0 {
			return fmt.Errorf("engine: the tenant %q has no account", it.ev.Tenant)
		}
		if e.store(it, writer) && b.seq <= e.begun.Was {
			e.restored.Add(1)
		}
	}
	if b.seq <= e.through {
		delete(e.stored, b.seq)
	} else {
		e.stored = nil
	}
	e.tails.taken(b.seq, b.at, shown)
	return nil
}

// handOver gives the lake a load. While it cannot take it, everything waits.
func (e *Engine) handOver(ctx context.Context, l load) error {
	e.stuck = true
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := l.writer.Flush()
		if err == nil {
			break
		}
		if errors.Is(err, lake.ErrLost) {
			return fmt.Errorf("engine: events since batch %d have to be stored again: %w", e.ckpt.Stored+1, err)
		}
		e.log.Warn("engine: events wait for the lake", "batch", l.at.seq, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.at.seq > e.ckpt.Stored {
		e.marks = append(e.marks, mark{l.at, e.lake.Mark()})
	}
	for _, b := range e.tails.handed(l.at.seq) {
		e.arrivals.Add(b.seq, b.at, b.events, b.spans)
	}
	e.last.Store(l.at.seq)
	e.lastTime.Store(l.at.at.UnixNano())
	e.floor = l.at.floor
	e.stuck = false
	return nil
}

// store takes the event in for the lake, as it is or else bare.
func (e *Engine) store(it *item, writer *lake.Writer) bool {
	to := lake.Space{Account: it.place.Account, Class: it.place.Class}
	err := writer.Add(&it.ev, to, it.stream)
	if err == nil {
		return true
	}
	e.log.Warn("engine: an event is reduced to its raw text", "event", it.ev.ID.String(), "error", err)
	e.reduced.Add(1)
	bare := it.ev // detection may be reading the event itself
	bare.Fields = slices.Clone(bare.Fields)
	pipeline.Reduce(&bare)
	if err := writer.Add(&bare, to, it.stream); err != nil {
		// Older than retention by now, after a long time on the bus.
		e.unstored.Add(1)
		e.log.Error("engine: an event cannot be stored", "event", it.ev.ID.String(), "tenant", it.ev.Tenant, "error", err)
		return false
	}
	return true
}
