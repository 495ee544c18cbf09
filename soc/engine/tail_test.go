package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/lake"
	"icewatch/soc/search"
)

// TestTailRanges holds few stretches against all times put in.
func TestTailRanges(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var r tailRanges
		var times []int64
		for range 1 + rnd.IntN(300) {
			at := int64(rnd.IntN(4)+1) * int64(time.Hour) * int64(1+rnd.IntN(1+rnd.IntN(50)))
			times = append(times, at+rnd.Int64N(int64(time.Minute)))
			r.add(times[len(times)-1])
		}
		spans := lake.Join(r.spans)
		if len(r.spans) > lake.MaxSpans || len(spans) > lake.MaxSpans {
			t.Fatalf("%d stretches", len(spans))
		}
		for _, at := range times {
			if !slices.ContainsFunc(spans, func(s lake.Span) bool { return s.From <= at && at <= s.To }) {
				t.Fatalf("%d is in none of %v", at, spans)
			}
		}
		for i := 1; i < len(spans); i++ {
			if spans[i].From <= spans[i-1].To {
				t.Fatalf("stretches overlap: %v", spans)
			}
		}
	}
	var r tailRanges
	now := time.Now().UnixNano()
	for _, at := range []int64{now, now - int64(90*24*time.Hour), now + 5} {
		r.add(at)
	}
	if s := lake.Join(r.spans); len(s) != 2 || s[0].From != s[0].To {
		t.Fatalf("one old event is a stretch of its own, not %v", s)
	}
}

// watcher follows a tail and notes what it is told.
type watcher struct {
	mu    sync.Mutex
	ids   []string
	drops uint64
	gaps  int
	ready chan struct{}
	once  sync.Once
	err   chan error
}

func (w *watcher) told(l *search.Tailed) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case l == nil:
		w.once.Do(func() { close(w.ready) })
	case l.Gap:
		w.gaps++
	case l.Dropped > 0:
		w.drops += l.Dropped
	default:
		w.ids = append(w.ids, l.ID)
	}
	return nil
}

func (w *watcher) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		w.mu.Lock()
		ids := slices.Clone(w.ids)
		w.mu.Unlock()
		if len(ids) >= n {
			time.Sleep(1200 * time.Millisecond) // no more must come
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.ids)
		}
	}
	t.Fatalf("%d events, want %d", len(w.ids), n)
	return nil
}

func TestTail(t *testing.T) {
	t.Parallel()
	lk, err := lake.Open(lake.Options{Dir: filepath.Join(t.TempDir(), "lake"), Classes: []lake.Class{{Name: lake.Standard, Retention: 90 * 24 * time.Hour}}, Memory: 256 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer lk.Close()
	e := &Engine{lake: lk, tails: newTails(), looks: seen(), epoch: "e1"}
	wr := lk.NewWriter(event.NewRegistry(0))
	// put stores a batch whose events have these ages and texts.
	put := func(seq uint64, account uint32, events ...any) {
		var r tailRanges
		for i := 0; i < len(events); i += 2 {
			ev := event.Event{ID: event.ID{Epoch: "e1", Sequence: seq, Index: uint32(i / 2)}, Time: time.Now().Add(-events[i].(time.Duration)).UnixNano(),
				Created: time.Now().UnixNano(), Tenant: fmt.Sprint("t", account), Raw: events[i+1].(string)}
			ev.Set(event.EventDataset, "test.log")
			ev.Set(event.Message, ev.Raw)
			if err := wr.Add(&ev, lake.Space{Account: account}, "host"); err != nil {
				t.Error(err)
			}
			r.add(ev.Time)
		}
		if err := wr.Flush(); err != nil {
			t.Error(err)
		}
		e.tails.taken(seq, time.Now(), r)
		e.tails.handed(math.MaxUint64)
	}
	follow := func(q question) (*watcher, context.CancelFunc) {
		w := &watcher{ready: make(chan struct{}), err: make(chan error, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { w.err <- e.tail(ctx, q, w.told) }()
		select {
		case <-w.ready:
		case err := <-w.err:
			t.Fatal(err)
		}
		return w, cancel
	}
	put(9, 1, time.Second, "alpha before")
	all, stop := follow(question{Accounts: []uint32{1}, Query: "message:alpha"})
	late, stopLate := follow(question{Accounts: []uint32{1}, Query: "*", ID: "e1-9-0"})
	lost, stopLost := follow(question{Accounts: []uint32{1}, Query: "*", ID: "e0-9-0"})
	scoped, stopScoped := follow(question{Accounts: []uint32{1, 2}, Filter: `message:beta`, Query: "*"})
	put(10, 1, time.Second, "alpha new", 80*24*time.Hour, "alpha old", time.Second, "beta", -30*time.Minute, "alpha ahead")
	put(11, 2, time.Second, "alpha of another tenant", time.Second, "beta of another tenant")
	put(12, 1, time.Second, "alpha last")
	if got, want := all.wait(t, 4), []string{"e1-10-0", "e1-10-1", "e1-10-3", "e1-12-0"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := late.wait(t, 5), []string{"e1-10-0", "e1-10-1", "e1-10-2", "e1-10-3", "e1-12-0"}; !slices.Equal(got, want) {
		t.Errorf("after e1-9-0: %v, want %v", got, want)
	}
	if got, want := scoped.wait(t, 2), []string{"e1-10-2", "e1-11-1"}; !slices.Equal(got, want) {
		t.Errorf("within a scope: %v, want %v", got, want)
	}
	if lost.wait(t, 5); lost.gaps != 1 || late.gaps != 0 {
		t.Errorf("%d gaps after an event of another bus, %d after one remembered", lost.gaps, late.gaps)
	}
	// In the middle of a batch.
	middle, stopMiddle := follow(question{Accounts: []uint32{1}, Query: "*", ID: "e1-10-1"})
	if got, want := middle.wait(t, 3), []string{"e1-10-2", "e1-10-3", "e1-12-0"}; !slices.Equal(got, want) {
		t.Errorf("after e1-10-1: %v, want %v", got, want)
	}
	// More than one look shows.
	var many []any
	for range maxTailRows + 234 {
		many = append(many, time.Second, "alpha flood")
	}
	put(13, 1, many...)
	if got := all.wait(t, 4+maxTailRows); len(got) != 4+maxTailRows || all.drops != 234 {
		t.Errorf("%d events and %d left out, want %d and 234", len(got)-4, all.drops, maxTailRows)
	}
	for _, cancel := range []func(){stop, stopLate, stopLost, stopScoped, stopMiddle} {
		cancel()
	}
	for _, w := range []*watcher{all, late, lost, scoped, middle} {
		if err := <-w.err; !errors.Is(err, context.Canceled) {
			t.Errorf("ended by %v", err)
		}
	}
	if e.tails.open != 0 {
		t.Errorf("%d tails are still open", e.tails.open)
	}
	for query, why := range map[string]string{"* | stats count()": "sort, count or limit", "* | fields message": "whole events", "message:(": "not valid",
		"a:in(b:c | fields a)": "query inside", "* | stream_context before 1": "stream_context", "* | sort by (_time)": "sort, count"} {
		err := e.tail(t.Context(), question{Accounts: []uint32{1}, Query: query}, func(*search.Tailed) error { return nil })
		var qe *search.QueryError
		if !errors.As(err, &qe) || !strings.Contains(qe.Reason, why) {
			t.Errorf("%s: %v", query, err)
		}
	}
	e.tails.close()
	if err := e.tail(t.Context(), question{Accounts: []uint32{1}, Query: "*"}, func(*search.Tailed) error { return nil }); err != nil {
		t.Errorf("when the engine stops: %v", err)
	}
}
