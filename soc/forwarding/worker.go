package forwarding

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/valyala/fastjson"

	"icewatch/soc/export"
	"icewatch/soc/search"
)

const (
	// poll is how often a target that is up to date looks for more.
	poll = time.Second
	// A page looks at so many events: more where few of them pass the filter,
	// fewer where many do.
	minLook, firstLook, maxLook = 500, 2000, 20_000
	// What is sent at a time has at most so many events and about so many bytes.
	maxEvents, maxBytes = 1000, 2 << 20
	// firstWait and longestWait bound the pause after a failure; it doubles.
	firstWait, longestWait = 500 * time.Millisecond, 30 * time.Second
	// awayWait is the pause where the owner may not read.
	awayWait = 10 * time.Second
	// grace is how long a stop waits for the acknowledgement of what is on its
	// way, so that it is not sent again at the next start.
	grace = 5 * time.Second
	// slow is when a target that has not answered yet counts as failing.
	slow = 10 * time.Second
	// again is for how long what was sent is sent once more when the connection
	// to a target breaks that acknowledges nothing: it may not have read what
	// its machine has taken.
	again = 10 * time.Second
	// keepEvery is how often a place is noted that moved over events which the
	// filter keeps back.
	keepEvery = 5 * time.Second
	// maxDead is how many dead letters a target may have before it waits.
	maxDead = 10_000
)

// worker forwards to one target.
type worker struct {
	s      *Service
	t      *target
	p      *progress
	cancel context.CancelFunc
	done   chan struct{}

	snd    sender
	at     positionRow  // as it is noted in SQL
	taken  search.Place // the target took everything before it
	safe   search.Place // and has it for sure, or has had time to read it
	mark   search.Place // taken, when safe last moved on
	markAt time.Time
	kept   time.Time // when the place was last noted
	sentAt time.Time // when something was last sent
	dead   int       // dead letters there are
}

// page is what was read at a time.
type page struct {
	events []Event
	bytes  []int // of the rows of the events
	next   search.Place
	lost   bool
	more   bool
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer close(w.done)
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, longestWait) {
		begun := time.Now()
		err := w.work(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			w.failed(StateRetrying, err)
		}
		if errors.Is(err, errFromSafe) || time.Since(begun) > longestWait {
			wait = firstWait
		}
		sleep(ctx, wait)
	}
}

// errFromSafe says that a connection broke on which events may not have been
// read: they are read from the lake again.
var errFromSafe = errors.New("the connection broke; what was sent last is sent again")

// work forwards from the noted place on. It returns when that has to be begun
// anew.
func (w *worker) work(ctx context.Context) (err error) {
	if w.at, err = w.s.position(ctx, w.t.ID); err != nil {
		return err
	}
	if w.dead, err = w.s.deadOf(ctx, w.t.ID); err != nil {
		return err
	}
	if w.t.content.Kind == RemoteWrite {
		return w.samples(ctx)
	}
	if w.at.Epoch == "" {
		p, err := w.s.deps.Arrivals.Locate(ctx, ends[w.t.content.From])
		if err != nil {
			return fmt.Errorf("where it begins is not known yet: %w", err)
		}
		w.at.place(p)
		if err := w.keep(ctx, p); err != nil {
			return err
		}
	}
	w.taken, w.safe, w.mark, w.markAt = w.at.next(), w.at.next(), w.at.next(), time.Now()
	if w.snd, err = open(&w.t.content, w.t.secrets, w.s.deps.Dial, w.s.host); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	pages := make(chan page, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		w.read(reading, w.taken, pages)
	}()
	defer func() {
		stop()
		<-read
		if w.snd.Close() && !errors.Is(err, errFromSafe) {
			w.safe = w.taken
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if kerr := w.keep(end, w.safe); kerr != nil {
			w.s.deps.Log.Warn("forward: a target gets again what it was sent last", "target", w.t.Name, "error", kerr)
		}
	}()
	for {
		select {
		case p := <-pages:
			if err := w.deliver(ctx, p); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// read reads pages from a place on until ctx ends.
func (w *worker) read(ctx context.Context, from search.Place, pages chan<- page) {
	var parser fastjson.Parser
	look := firstLook
	for ctx.Err() == nil {
		p, err := w.readPage(ctx, &parser, from, look)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			state, wait := StateRetrying, poll
			if errors.Is(err, export.ErrAway) || errors.Is(err, export.ErrRefused) {
				state, wait = StateAway, awayWait
			}
			w.failed(state, err)
			sleep(ctx, wait)
			continue
		}
		switch {
		case len(p.events) > maxEvents*2:
			look = max(look/2, minLook)
		case len(p.events) < maxEvents/2 && p.more:
			look = min(look*2, maxLook)
		}
		select {
		case pages <- p:
		case <-ctx.Done():
			return
		}
		from = p.next
		if !p.more {
			sleep(ctx, poll)
		}
	}
}

// readPage reads what comes next, with the reach that the owner has now.
func (w *worker) readPage(ctx context.Context, parser *fastjson.Parser, from search.Place, look int) (p page, err error) {
	c := &w.t.content
	within, _, err := w.s.as(ctx, w.t.owner, c.Tenant, "", time.Time{})
	if err != nil {
		return p, err
	}
	a, err := w.s.deps.Arrivals.Arrivals(ctx, search.Arriving{Reach: within, Query: c.Filter, From: from, Events: look})
	if err != nil {
		return p, fmt.Errorf("events cannot be read: %w", err)
	}
	p.next, p.more, p.lost = a.Next, a.More, a.Lost
	for _, row := range a.Events {
		if !a.Lost && from.Before(row.ID) {
			continue
		}
		e, err := newEvent(parser, row, c.Original)
		if err != nil {
			return p, err
		}
		p.events, p.bytes = append(p.events, e), append(p.bytes, len(row.Row))
	}
	behind := time.Duration(0)
	if !a.Came.IsZero() {
		behind = time.Since(a.Came)
	}
	w.p.mu.Lock()
	w.p.behind = behind
	w.p.mu.Unlock()
	return p, nil
}

// deliver hands a page to the target, a part at a time.
func (w *worker) deliver(ctx context.Context, p page) error {
	if p.lost {
		w.at.Lost++
		w.s.deps.Log.Error("forward: the bus began anew: what a target had not got before that is not sent to it", "target", w.t.Name, "place", w.at.next(), "next", p.next)
	}
	for from := 0; from < len(p.events); {
		to, size := from, 0
		for to < len(p.events) && to-from < maxEvents && (to == from || size+p.bytes[to] <= maxBytes) {
			size += p.bytes[to]
			to++
		}
		if err := w.send(ctx, newBatch(p.events[from:to])); err != nil {
			return err
		}
		from = to
	}
	w.taken = p.next
	w.settle()
	if len(p.events) == 0 {
		w.well() // it waits for events, not for the target
	}
	if w.safe != w.at.next() && (len(p.events) > 0 || time.Since(w.kept) > keepEvery) {
		return w.keep(ctx, w.safe)
	}
	return nil
}

// send hands over a batch until nothing of it is open.
func (w *worker) send(ctx context.Context, b *Batch) error {
	wait := firstWait
	for b.left > 0 {
		for w.dead >= maxDead {
			w.failed(StateBlocked, fmt.Errorf("%d dead letters wait: have them sent again or discard them, then it goes on", w.dead))
			if !sleep(ctx, poll) {
				return ctx.Err()
			}
			var err error
			if w.dead, err = w.s.deadOf(ctx, w.t.ID); err != nil {
				return err
			}
		}
		err := w.once(ctx, b)
		if kerr := w.note(ctx, b); kerr != nil {
			return kerr
		}
		if err == nil {
			w.well()
			wait = firstWait
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.failed(StateRetrying, err)
		if !w.snd.Sure() && w.safe != w.taken && time.Since(w.sentAt) < again {
			return fmt.Errorf("%w: %w", errFromSafe, err)
		}
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, longestWait)
	}
	return nil
}

// once hands over the open events of a batch. A stop gives the target a while
// to acknowledge them.
func (w *worker) once(ctx context.Context, b *Batch) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	late := time.AfterFunc(slow, func() {
		err := fmt.Errorf("the target has not acknowledged what it was sent for %s", slow)
		if t, ok := w.snd.(interface{ Trouble() error }); ok && t.Trouble() != nil {
			err = fmt.Errorf("%w: %w", err, t.Trouble())
		}
		w.failed(StateRetrying, err)
	})
	defer late.Stop()
	return w.snd.Send(sending, b)
}

// note notes what became of a batch: its dead letters, and the place.
func (w *worker) note(ctx context.Context, b *Batch) error {
	n := b.reached()
	if n > 0 {
		id := b.Events[n-1].ID
		w.taken = search.Place{Epoch: id.Epoch, Sequence: id.Sequence, Index: id.Index + 1}
	}
	if b.taken == 0 && len(b.refused) == 0 {
		return nil
	}
	w.sentAt = time.Now()
	w.p.took(b.taken)
	w.at.Sent, w.at.Bytes, w.at.Repeated = w.at.Sent+int64(b.taken), w.at.Bytes+b.bytes, w.at.Repeated+int64(b.repeated)
	if b.taken > 0 {
		w.at.SentAt = w.sentAt.UnixMilli()
	}
	var dead []deadRow
	for _, r := range b.refused {
		dead = append(dead, deadRow{Target: w.t.ID, Event: b.Events[r.at].Key, Reason: r.reason, At: w.sentAt.UnixMilli()})
	}
	b.taken, b.bytes, b.repeated, b.refused = 0, 0, 0, nil
	w.settle()
	if err := w.keep(ctx, w.safe, dead...); err != nil {
		return err
	}
	if len(dead) > 0 {
		w.dead += len(dead)
		w.s.deps.Log.Warn("forward: a target does not want events: they are dead letters", "target", w.t.Name, "events", len(dead), "first", dead[0].Event, "reason", dead[0].Reason)
	}
	return nil
}

// settle moves the place on before which nothing is sent again.
func (w *worker) settle() {
	switch {
	case w.snd.Sure():
		w.safe = w.taken
	case time.Since(w.markAt) > again:
		// What was sent when safe moved last has had time to be read.
		w.safe, w.mark, w.markAt = w.mark, w.taken, time.Now()
	}
}

// keep notes a place, what was counted, and dead letters, all or nothing.
func (w *worker) keep(ctx context.Context, place search.Place, dead ...deadRow) error {
	// What was acknowledged must be noted although the suite stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	w.at.place(place)
	err := w.s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if len(dead) > 0 {
			if _, err := tx.NewInsert().Model(&dead).On("CONFLICT (target, event) DO UPDATE").Set("reason = EXCLUDED.reason, at = EXCLUDED.at").Exec(ctx); err != nil {
				return err
			}
		}
		_, err := tx.NewUpdate().Model(&w.at).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("the place of %s is not noted: %w", w.t.Name, err)
	}
	w.kept = time.Now()
	return nil
}

func (w *worker) failed(state string, err error) {
	if w.p.failed(state, clip(err.Error(), maxReason)) {
		w.s.deps.Log.Warn("forward: events wait for a target", "target", w.t.Name, "kind", w.t.content.Kind, "error", err)
	}
}

func (w *worker) well() {
	if w.p.fine() {
		w.s.deps.Log.Info("forward: a target takes events again", "target", w.t.Name, "kind", w.t.content.Kind)
	}
}

// sleep waits and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
