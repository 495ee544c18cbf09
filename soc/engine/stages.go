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
	"icewatch/soc/pipeline/processing"
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
	treat  processing.Outcome
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
		func() error { return e.storage(ctx, toStore, done) },
		func() error { return e.handing(ctx) },
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
	e.processBy(m.Sequence)
	b.items = slices.Grow(b.items[:0], len(b.recs))[:len(b.recs)]
	for i := range b.recs {
		it, rec := &b.items[i], &b.recs[i]
		id := event.ID{Epoch: e.epoch, Sequence: m.Sequence, Index: uint32(i)}
		it.place = e.pipe.Fill(rec, id, &it.ev)
		it.treat = e.treat.set.Apply(&it.ev)
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

// The state of detection is saved so often that it takes a two-hundredth of the
// time at most: it grows with the windows of rules to some hundred megabytes.
// What came after it is read again after a kill, so a save is never longer ago
// than a minute.
const (
	saveEvery = 5 * time.Second
	saveLate  = time.Minute
	saveShare = 200
)

// saveAfter is how long the next save waits after one that took so long.
func saveAfter(took time.Duration) time.Duration {
	return min(max(saveShare*took, saveEvery), saveLate)
}

// detection hands the events of each batch to the rules and makes durable what
// they raise.
func (e *Engine) detection(ctx context.Context, batches <-chan *batch, done func(*batch)) error {
	save, idle := time.NewTimer(saveEvery), time.NewTicker(time.Second)
	defer save.Stop()
	defer idle.Stop()
	written, writing := make(chan time.Duration, 1), false
	defer func() {
		if writing {
			<-written
		}
	}()
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
			// What arrived before so long is on the bus by now, and here, if nothing waits there.
			const behind = 2 * time.Second
			if now := time.Now(); len(batches) == 0 && now.Sub(worked) > behind && e.workedAll(ctx) {
				if err := e.detectIdle(ctx, now.Add(-behind)); err != nil {
					return err
				}
			}
		case <-save.C:
			began := time.Now()
			write, err := e.takeDetection()
			if err != nil {
				e.log.Error("engine: the state of detection is not saved", "error", err)
			}
			if write == nil {
				save.Reset(saveAfter(time.Since(began)))
				continue
			}
			// Writing hundreds of megabytes would hold up alerts.
			writing = true
			go func() {
				if err := write(); err != nil {
					e.log.Error("engine: the state of detection is not saved", "error", err)
				}
				written <- time.Since(began)
			}()
		case took := <-written:
			writing = false
			save.Reset(saveAfter(took))
		case <-ctx.Done():
			return nil
		}
	}
}

// workedAll tells whether detection has seen all that is on the bus. After a
// start it takes a while until the first batch comes: time must not pass for
// windows before their events are there.
func (e *Engine) workedAll(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	st, err := e.client.RawState(ctx)
	return err == nil && st.Last <= e.detected.Load()
}

func (e *Engine) detectIn(ctx context.Context, b *batch) error {
	e.pending = e.pending[:0]
	clear(e.byKey)
	e.halfway = true
	for i := range b.items {
		if it := &b.items[i]; !it.repeat {
			e.detect.Process(&it.ev, e.raise)
			e.meter.count(it.ev.Tenant, &b.recs[i])
			e.beats.Count(&it.ev, &b.recs[i])
		}
	}
	if err := e.publish(ctx); err != nil {
		return err
	}
	e.halfway = false
	e.detected.Store(b.seq)
	return nil
}

// Rows wait until those of their stream fill a block of the lake, and are handed
// over as they are where that takes too long: less is merged then, and a search
// shows an event some two seconds after it came (but see handUnseen). Where few
// events come there is time to merge, and no need to wait.
const (
	handTick  = 250 * time.Millisecond
	handAfter = 500 * time.Millisecond  // rows wait so long for others of their stream
	handLate  = 1500 * time.Millisecond // where many come
	handMany  = 8 << 20                 // bytes of rows that wait: many come
	handMost  = 128 << 20               // bytes of rows that wait, at most
)

// loadsWaiting is how many loads may wait for the lake while rows are laid out.
const loadsWaiting = 2

// load are rows on their way to the lake; none where only the position moved.
type load struct {
	rows *lake.Load
	// at is the last batch of which no row is on its way behind these.
	at position
	// handed is closed when they were handed over; nil: nobody waits for it.
	handed chan<- struct{}
}

// storage takes in the events of each batch as rows, and sends these on their
// way to the lake.
func (e *Engine) storage(ctx context.Context, batches <-chan *batch, done func(*batch)) error {
	tick := time.NewTicker(handTick)
	defer tick.Stop()
	var (
		writer = e.lake.NewWriter(e.reg)
		folder = processing.NewFolder[item](e.begun.Folds)
		came   time.Time  // when the last batch did, or one was made
		before = e.begun  // batches up to it are stored
		taken  []position // batches of which rows may be waiting
		at     position   // the last batch of which none is
		sent   position   // at, as handing was told
	)
	take := func(since time.Time) load {
		rows := writer.Take(since)
		oldest, waiting := writer.Oldest()
		for len(taken) > 0 && (!waiting || taken[0].seq < oldest) {
			at, taken = taken[0], taken[1:]
		}
		return load{rows: rows, at: at}
	}
	hand := func(since time.Time, handed chan<- struct{}) {
		l := take(since)
		if l.rows == nil && l.at.seq == sent.seq && handed == nil {
			return
		}
		l.handed = handed
		sent = l.at
		if ctx.Err() == nil {
			select {
			case e.loads <- l:
				return
			case <-ctx.Done():
			}
		}
		e.left = append(e.left, l) // in their order, behind those that were sent
	}
	defer func() { e.left = append(e.left, take(time.Now())) }()
	for {
		select {
		case b := <-batches:
			if b.seq > before.Stored {
				if err := e.storeIn(ctx, b, writer, folder); err != nil {
					return err
				}
			}
			came = time.Now()
			taken = append(taken, position{b.seq, b.floor, b.at, folder.Settled(b.seq)})
			done(b)
			switch {
			case writer.Size() >= handMost:
				hand(time.Now(), nil)
			case writer.Full():
				hand(time.Time{}, nil)
			}
		case handed := <-e.looks.first:
			hand(time.Now(), handed)
		case now := <-tick.C:
			wait := handAfter
			switch {
			case writer.Size() < handMany:
			case e.looks.lately():
				wait = handLate
			default:
				wait = e.opts.Unseen
			}
			hand(now.Add(-wait), nil)
			writer.Waiting(wait, now)
			if len(batches) == 0 && now.Sub(came) > windowWaits && folder.Due(now.Add(-windowWaits)) {
				came = now
				go e.tickWindows(ctx)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// rest hands over what was on its way when the stages ended.
func (e *Engine) rest(ctx context.Context) error {
	for !e.stuck {
		var l load
		select {
		case l = <-e.loads:
		default:
			if len(e.left) == 0 {
				return nil
			}
			l, e.left = e.left[0], e.left[1:]
		}
		if err := e.handOver(ctx, l); err != nil {
			return err
		}
	}
	return errors.New("what came before them was not taken by the lake")
}

// handing gives the loads to the lake one after the other, and keeps the
// checkpoint.
func (e *Engine) handing(ctx context.Context) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ticks := 1; ; {
		select {
		case l := <-e.loads:
			if err := e.handOver(ctx, l); err != nil {
				return err
			}
			if l.handed != nil {
				close(l.handed)
			}
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
func (e *Engine) storeIn(ctx context.Context, b *batch, writer *lake.Writer, folder *processing.Folder[item]) error {
	if err := e.health.room.wait(ctx); err != nil {
		return err
	}
	held := e.stored[b.seq]
	var shown tailRanges
	put := func(it *item) error {
		shown.add(it.ev.Time)
		if held.Has(it.ev.ID.Index) {
			e.replayed.Add(1)
			return nil
		}
		if it.place.Account == 0 {
			return fmt.Errorf("engine: the tenant %q has no account", it.ev.Tenant)
		}
		if e.store(it, writer) && b.seq <= e.begun.Was {
			e.restored.Add(1)
		}
		return nil
	}
	for i, s := range folder.Advance(b.at) {
		it := s.Extra
		it.ev = s.Event
		it.ev.ID = event.ID{Epoch: e.epoch, Sequence: b.seq, Index: uint32(len(b.items) + i)}
		if err := put(&it); err != nil {
			return err
		}
	}
	for i := range b.items {
		it := &b.items[i]
		switch {
		case it.repeat:
			continue
		case it.treat.Drop:
			e.dropped.Add(1)
			continue
		case it.treat.Window > 0:
			store, before := folder.Take(it.treat, b.seq, b.at, &it.ev, item{place: it.place, stream: it.stream})
			if before {
				shown.add(it.ev.Time)
			} else if !store {
				e.folded.Add(1)
			}
			if !store {
				continue
			}
		}
		if err := put(it); err != nil {
			return err
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
		err := l.rows.Hand()
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
	e.stuck = false
	if l.at.seq <= e.handed.seq {
		return nil // rows of later batches are among those that wait
	}
	e.handed = l.at
	if l.at.seq > e.ckpt.Stored {
		e.marks = append(e.marks, mark{l.at, e.lake.Mark()})
	}
	for _, b := range e.tails.handed(l.at.seq) {
		e.arrivals.Add(b.seq, b.at, b.events, b.spans)
	}
	e.last.Store(l.at.seq)
	e.lastTime.Store(l.at.at.UnixNano())
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
