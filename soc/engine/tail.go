package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/search"
)

// A live tail shows events as they are stored, whatever their own time. The
// lake's library cannot hold a row in memory against a query, so while tails
// are open each looks once a second at the batches stored since, by their
// numbers, and only within the times that their events have.

const (
	tailLook    = time.Second      // between two looks
	tailTimeout = 10 * time.Second // for one look
	tailBeat    = 5 * time.Second  // a sign of life, where there is nothing to tell
	maxTails    = 32
	maxTailRows = 1000 // of one look
	// tailMemory is how many batches are remembered, for tails that go on after
	// a broken connection.
	tailMemory = 20_000
)

// tailRanges gathers the event times of a batch, as few stretches.
type tailRanges struct {
	spans  []lake.Span
	events int
}

// add takes in one event's time in Unix nanoseconds.
func (r *tailRanges) add(t int64) {
	r.events++
	for i := len(r.spans) - 1; i >= 0; i-- {
		s := &r.spans[i]
		if t >= s.From-int64(lake.SpanGap) && t <= s.To+int64(lake.SpanGap) {
			s.From, s.To = min(s.From, t), max(s.To, t)
			return
		}
	}
	r.spans = append(r.spans, lake.Span{From: t, To: t})
	if len(r.spans) > lake.MaxSpans {
		r.spans = lake.Join(r.spans)
	}
}

// storedBatch is a batch whose events the lake has.
type storedBatch struct {
	seq    uint64
	at     time.Time // when the bus took it
	spans  []lake.Span
	events int
}

// tails remembers what was stored lately, and knows who looks.
type tails struct {
	mu      sync.Mutex
	waiting []storedBatch // taken in for the lake and not yet handed over
	recent  []storedBatch // in the order of being stored
	first   uint64        // number of recent[0] in that order
	floor   uint64        // every batch from this one on is in recent or has nothing
	open    int
	flushed uint64 // the lake shows what was stored before this number
	closed  chan struct{}
	once    sync.Once
}

func newTails() *tails { return &tails{closed: make(chan struct{})} }

// taken notes a batch whose events are about to be handed to the lake.
func (t *tails) taken(seq uint64, at time.Time, r tailRanges) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, storedBatch{seq, at, r.spans, r.events})
}

// handed notes that the lake has the events of the batches taken up to one, and
// returns these.
func (t *tails) handed(upTo uint64) (batches []storedBatch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for ; n < len(t.waiting) && t.waiting[n].seq <= upTo; n++ {
		b := t.waiting[n]
		if t.floor == 0 {
			t.floor = b.seq
		}
		if len(b.spans) > 0 {
			t.recent = append(t.recent, b)
		}
	}
	batches = slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	if n := len(t.recent) - tailMemory; n > tailMemory/10 {
		for _, b := range t.recent[:n] {
			t.floor = max(t.floor, b.seq+1)
		}
		t.recent = append(t.recent[:0:0], t.recent[n:]...)
		t.first += uint64(n)
	}
	return batches
}

// close ends all tails.
func (t *tails) close() { t.once.Do(func() { close(t.closed) }) }

func (t *tails) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open >= maxTails {
		return false
	}
	t.open++
	return true
}

func (t *tails) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
}

// begin is the place in the order of stored batches from which a tail goes on:
// after the last one, or that of the batch of an event. gap tells that it is no
// longer remembered.
func (t *tails) begin(after event.ID, epoch string) (place uint64, gap bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.first + uint64(len(t.recent))
	if after.Epoch == "" {
		return end, false
	}
	if after.Epoch != epoch || t.floor == 0 || after.Sequence < t.floor {
		return end, true
	}
	for i := range t.recent {
		if t.recent[i].seq >= after.Sequence {
			return t.first + uint64(i), false
		}
	}
	return end, false
}

// since returns the batches stored from a place on and the place after them.
func (t *tails) since(place uint64) ([]storedBatch, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.first + uint64(len(t.recent))
	if place >= end {
		return nil, end
	}
	return slices.Clone(t.recent[max(place, t.first)-t.first:]), end
}

// show makes the lake show what was stored before a place, once for all tails.
func (t *tails) show(l *lake.Lake, place uint64) {
	t.mu.Lock()
	done := t.flushed >= place
	t.mu.Unlock()
	if done {
		return
	}
	l.Flush()
	t.mu.Lock()
	t.flushed = max(t.flushed, place)
	t.mu.Unlock()
}

var errTooManyTails = fmt.Errorf("%d live tails are open, which is the most; close one", maxTails)

// tailLine is one line of a live tail's answer.
type tailLine struct {
	Tailed  *search.Tailed `json:"tailed,omitempty"`
	Verdict *verdict       `json:"verdict,omitempty"` // the last
}

func (e *Engine) tailHandlers(mux *http.ServeMux) {
	mux.HandleFunc("POST /tail", func(w http.ResponseWriter, r *http.Request) {
		var q question
		if err := json.NewDecoder(io.LimitReader(r.Body, maxQuestion)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := q.compile(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := flushing{w}
		say := func(l tailLine) error {
			b, err := json.Marshal(l)
			if err != nil {
				return err
			}
			_, err = out.Write(append(b, '\n'))
			return err
		}
		v := judge(e.tail(r.Context(), q, func(t *search.Tailed) error { return say(tailLine{Tailed: t}) }))
		_ = say(tailLine{Verdict: &v})
	})
}

// tail follows a question until ctx ends, the engine stops or emit fails; nil
// for emit is a sign of life.
func (e *Engine) tail(ctx context.Context, q question, emit func(*search.Tailed) error) error {
	lq := lake.Query{Accounts: q.Accounts, Filter: q.Filter, Veil: q.hidden, Group: q.Group, LogsQL: q.Query, Limit: maxTailRows}
	if err := e.lake.CheckTail(lq); err != nil {
		return err
	}
	if !e.tails.enter() {
		return errTooManyTails
	}
	defer e.tails.leave()
	after, _ := event.ParseID(q.ID)
	place, gap := e.tails.begin(after, e.epoch)
	if gap {
		if err := emit(&search.Tailed{Gap: true}); err != nil {
			return err
		}
	}
	if err := emit(nil); err != nil { // the query is good
		return err
	}
	look := time.NewTicker(tailLook)
	defer look.Stop()
	said := time.Now()
	for {
		e.look(ctx)
		batches, end := e.tails.since(place)
		if len(batches) > 0 {
			e.tails.show(e.lake, end)
			told, err := e.tailBatches(ctx, lq, batches, after, emit)
			if err != nil {
				return err
			}
			if told {
				said = time.Now()
			}
		}
		place = end
		if time.Since(said) > tailBeat {
			said = time.Now()
			if err := emit(nil); err != nil {
				return err
			}
		}
		select {
		case <-look.C:
		case <-e.tails.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tailBatches shows the events of batches that pass the query and come after
// the given one.
func (e *Engine) tailBatches(ctx context.Context, q lake.Query, batches []storedBatch, after event.ID, emit func(*search.Tailed) error) (told bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	seqs := make(map[uint64]bool, len(batches))
	low, high := uint64(math.MaxUint64), uint64(0)
	var spans []lake.Span
	for _, b := range batches {
		seqs[b.seq] = true
		low, high = min(low, b.seq), max(high, b.seq)
		spans = append(spans, b.spans...)
	}
	list, more, err := e.lake.Arrivals(ctx, q, low, high, lake.Join(spans))
	if err != nil {
		return false, err
	}
	for _, a := range list {
		// Another bus began its numbers anew; and a batch was shown before, or
		// its first part was.
		if a.ID.Epoch != e.epoch || !seqs[a.ID.Sequence] ||
			a.ID.Epoch == after.Epoch && (a.ID.Sequence < after.Sequence || a.ID.Sequence == after.Sequence && a.ID.Index <= after.Index) {
			continue
		}
		if err := emit(&search.Tailed{ID: a.ID.String(), Row: a.Row}); err != nil {
			return true, err
		}
		told = true
	}
	if more > 0 {
		return true, emit(&search.Tailed{Dropped: more})
	}
	return told, nil
}

// Tail implements search.Store.
func (c *Client) Tail(ctx context.Context, t search.Tailing, emit func(search.Tailed) error) error {
	q := c.within(t.Reach)
	q.Query, q.ID = t.Query, t.After
	resp, err := c.post(ctx, "tail", q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	in := bufio.NewReaderSize(resp.Body, 256<<10)
	for {
		b, err := readLine(in)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: the tail broke off", search.ErrUnavailable)
		}
		var l tailLine
		if err := json.Unmarshal(b, &l); err != nil {
			return fmt.Errorf("engine: tail: %w", err)
		}
		switch {
		case l.Verdict != nil && l.Verdict.Query != nil:
			return l.Verdict.Query
		case l.Verdict != nil && l.Verdict.Error == errTooManyTails.Error():
			return search.ErrTooMany
		case l.Verdict != nil && l.Verdict.Error != "":
			return errors.New(l.Verdict.Error)
		case l.Verdict != nil:
			return search.ErrUnavailable // the engine stops
		}
		told := search.Tailed{}
		if l.Tailed != nil {
			told = *l.Tailed
			if told.Row != nil {
				told.Row = t.Reach.Veil().Row(told.Row)
			}
		}
		if err := emit(told); err != nil {
			return err
		}
	}
}
