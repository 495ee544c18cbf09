package arrivals

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"icewatch/soc/lake"
)

// TestPagesCoverEverything holds pages against what was noted, across saves and
// crashes at random: each batch is in a page, and its events' times are within
// the page's spans.
func TestPagesCoverEverything(t *testing.T) {
	t.Parallel()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 1))
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "arrivals.db")
	open := func(stored uint64) *Ledger {
		l, err := Open(ctx, path, "e1", stored, 24*365*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open(0)
	defer func() { _ = l.Close() }()
	begin := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	const batches = 3000
	times, counts := make([]int64, batches+1), make([]int, batches+1)
	for seq := range batches + 1 {
		times[seq] = begin.Add(-time.Duration(rnd.IntN(5)*rnd.IntN(1000)) * time.Minute).UnixNano()
		counts[seq] = rnd.IntN(300)
	}
	stored := uint64(0)
	for seq := uint64(1); seq <= batches; seq++ {
		l.Add(seq, begin.Add(time.Duration(seq)*100*time.Millisecond), counts[seq], []lake.Span{{From: times[seq], To: times[seq]}})
		switch rnd.IntN(60) {
		case 0:
			stored = max(stored, seq-uint64(rnd.IntN(int(min(seq, 50)))))
			if err := l.Save(ctx, stored); err != nil {
				t.Fatal(err)
			}
		case 1: // a crash: what lies behind the checkpoint is noted again
			_ = l.Close()
			l = open(stored)
			seq = stored
		}
	}
	pages := 0
	for from := uint64(1); from <= batches; pages++ {
		p, err := l.Next(ctx, from, batches, 5000)
		if err != nil || p.Spans == nil || p.Through < from || p.Through > batches {
			t.Fatalf("the page from %d: %+v, %v", from, p, err)
		}
		for seq := from; seq <= p.Through; seq++ {
			within := false
			for _, s := range p.Spans {
				within = within || s.From <= times[seq] && times[seq] <= s.To
			}
			if !within {
				t.Fatalf("batch %d is not within the spans of the page from %d to %d", seq, from, p.Through)
			}
		}
		from = p.Through + 1
	}
	if pages < 50 || pages > 600 {
		t.Errorf("%d pages for %d batches", pages, batches)
	}
	if n, came, err := l.Behind(ctx, batches+1); err != nil || n != 0 || !came.IsZero() {
		t.Errorf("behind the last batch: %d, %s, %v", n, came, err)
	}
	if _, came, err := l.Behind(ctx, 1500); err != nil || came.Sub(begin) < 140*time.Second || came.Sub(begin) > 160*time.Second {
		t.Errorf("batch 1500 came %s after the first, %v", came.Sub(begin), err)
	}
	if seq, ok, err := l.Since(ctx, begin.Add(150*time.Second)); err != nil || !ok || seq > 1500 || seq < 1380 {
		t.Errorf("after 150 s: batch %d, %v, %v", seq, ok, err)
	}
	if _, ok, err := l.Since(ctx, time.Now()); ok || err != nil {
		t.Errorf("now: %v, %v", ok, err)
	}
}

// What was stored before the list began is looked for everywhere.
func TestUnknownBatches(t *testing.T) {
	t.Parallel()
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "arrivals.db"), "e1", 100, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Add(101, time.Now(), 5, []lake.Span{{From: 1, To: 2}})
	if p, err := l.Next(t.Context(), 90, 101, 1000); err != nil || p.Spans != nil || p.Through != 100 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := l.Next(t.Context(), 101, 101, 1000); err != nil || len(p.Spans) != 1 || p.Through != 101 {
		t.Errorf("%+v, %v", p, err)
	}
}
