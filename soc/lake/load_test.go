package lake

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// add takes in one event of a stream.
func add(t *testing.T, w *Writer, stream string, seq uint64, text string) {
	t.Helper()
	ev := event.Event{ID: event.ID{Epoch: "e", Sequence: seq}, Time: time.Now().UnixNano(), Created: time.Now().UnixNano(), Tenant: "a", Raw: text}
	ev.Set(event.Message, text)
	if err := w.Add(&ev, Space{Account: 1}, stream); err != nil {
		t.Fatal(err)
	}
}

// TestFullBlocks: a load is handed over as soon as the library calls its block
// full, and not before: merges copy a full block, and encode another anew.
func TestFullBlocks(t *testing.T) {
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	rows := 0
	for ; !w.Full(); rows++ {
		add(t, w, "busy", uint64(rows), fmt.Sprintf("row %d %s", rows, strings.Repeat("x", rows%3000)))
	}
	if err := w.Take(time.Time{}).Hand(); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	var st logstorage.StorageStats
	l.stores[0].Backend.(*embedded).UpdateStats(&st)
	if st.InmemoryBlocks != 1 || st.InmemoryRowsCount != uint64(rows) {
		t.Fatalf("%d rows lie in %d blocks; one block of %d rows is right", st.InmemoryRowsCount, st.InmemoryBlocks, rows)
	}
	if most := uint64(blockSize + 8<<10); st.UncompressedInmemorySize < blockSize || st.UncompressedInmemorySize > most {
		t.Errorf("the library counts %d bytes in the block; %d to %d is right", st.UncompressedInmemorySize, blockSize, most)
	}
	if w.Full() || w.Size() != 0 {
		t.Errorf("after that, full: %v, %d bytes wait; nothing should", w.Full(), w.Size())
	}
}

func TestTake(t *testing.T) {
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	if _, waiting := w.Oldest(); waiting || w.Take(time.Now()) != nil {
		t.Fatal("a new writer has rows")
	}
	begun := time.Now()
	add(t, w, "quiet", 7, "one")
	add(t, w, "busy", 8, "two")
	if w.Take(time.Time{}) != nil || w.Take(begun.Add(-time.Second)) != nil {
		t.Error("rows are taken that neither fill a block nor waited long")
	}
	for seq := uint64(9); !w.Full(); seq++ {
		add(t, w, "busy", seq, strings.Repeat("x", 100_000))
	}
	full := w.Take(time.Time{})
	if full == nil || len(full.parts) != 1 || len(full.parts[0].rows) != 1 {
		t.Fatalf("taken: %+v; the rows of one stream are right", full)
	}
	if seq, waiting := w.Oldest(); !waiting || seq != 7 {
		t.Errorf("the oldest row that waits: batch %d, %v; 7 is right", seq, waiting)
	}
	add(t, w, "busy", 1000, "three")
	rest := w.Take(time.Now())
	if rest == nil || rest.parts[0].count != 2 {
		t.Fatalf("taken: %+v; two rows are right", rest)
	}
	if _, waiting := w.Oldest(); waiting {
		t.Error("a row waits after all were taken")
	}
	for _, load := range []*Load{rest, full, nil} {
		if err := load.Hand(); err != nil {
			t.Fatal(err)
		}
	}
	l.Flush()
	if got := rows(t, l, []uint32{1}, `"three" or "one"`, 10); len(got) != 2 {
		t.Errorf("found %d rows; 2 are right", len(got))
	}
}

// unwilling is a backend that takes nothing for some calls.
type unwilling struct {
	Backend
	times int
}

func (u *unwilling) Add(rows []*logstorage.LogRows) error {
	if u.times--; u.times >= 0 {
		return errors.New("not now")
	}
	return u.Backend.Add(rows)
}

// TestHandAgain: what a store did not take is still there, and none is handed
// over twice.
func TestHandAgain(t *testing.T) {
	l := openLake(t, t.TempDir())
	defer l.Close()
	l.stores[0].Backend = &unwilling{l.stores[0].Backend, 2}
	w := l.NewWriter(event.NewRegistry(0))
	for i := range 10 {
		add(t, w, fmt.Sprint("stream-", i%3), uint64(i), "row")
	}
	failed := 0
	for w.Flush() != nil {
		failed++
	}
	l.Flush()
	if got := rows(t, l, []uint32{1}, "*", 100); len(got) != 10 || failed != 2 || l.Stats().Rows != 10 {
		t.Errorf("after %d failures %d rows are found and %d counted; 10 and 10 after 2 are right", failed, len(got), l.Stats().Rows)
	}
}

// TestKindsOfTheirOwn: rows with the same fields get a stream of their own while
// many of them come, and share their dataset's else; a search finds both alike.
func TestKindsOfTheirOwn(t *testing.T) {
	l := openLake(t, t.TempDir())
	defer l.Close()
	reg := event.NewRegistry(0)
	w := l.NewWriter(reg)
	extra, _ := reg.Intern("only.here")
	seq := uint64(0)
	give := func(n, size int, rare bool) {
		t.Helper()
		for range n {
			seq++
			ev := event.Event{ID: event.ID{Epoch: "e", Sequence: seq}, Time: time.Now().UnixNano(), Created: time.Now().UnixNano(), Tenant: "a"}
			ev.Set(event.Message, strings.Repeat("x", size))
			if rare {
				ev.Add(extra, "y")
			}
			if err := w.Add(&ev, Space{Account: 7}, "d"); err != nil {
				t.Fatal(err)
			}
		}
	}
	shapes := func() (own, shared int) {
		for key := range w.streams {
			if key.shape != "" {
				own++
			} else {
				shared++
			}
		}
		return own, shared
	}
	const wait = 10 * time.Second
	now := time.Now()
	weigh := func(wait time.Duration) {
		now = now.Add(weighEvery)
		w.Waiting(wait, now)
	}
	w.Waiting(wait, now)
	give(20, worthOwn/20, false)
	give(20, 10, true)
	if own, shared := shapes(); own != 0 || shared != 1 {
		t.Fatalf("before kinds are weighed %d streams are of one kind and %d of several; none and one are right", own, shared)
	}
	weigh(wait)
	give(20, worthOwn/20, false)
	give(20, 10, true)
	if own, shared := shapes(); own != 1 || shared != 1 {
		t.Fatalf("then %d streams are of one kind and %d of several; one each is right", own, shared)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	weigh(time.Second) // rows wait too short now
	give(20, 1000, false)
	if own, shared := shapes(); own != 0 || shared != 1 {
		t.Fatalf("where rows are handed over at once %d streams are of one kind and %d of several; none and one are right", own, shared)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	for query, want := range map[string]int{"* | count() n": 100, "only.here:y | count() n": 40, `event.dataset:* | count() n`: 0} {
		if got := numbers(t, l, query); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %d", query, got, want)
		}
	}

	// However many kinds are worth it, no more than so many are kept apart.
	for i := range maxOwn + 50 {
		id, _ := reg.Intern(fmt.Sprintf("f%d", i))
		seq++
		ev := event.Event{ID: event.ID{Epoch: "e", Sequence: seq}, Time: time.Now().UnixNano(), Created: time.Now().UnixNano(), Tenant: "a"}
		ev.Add(id, strings.Repeat("x", worthOwn))
		if err := w.Add(&ev, Space{Account: 7}, "d"); err != nil {
			t.Fatal(err)
		}
	}
	weigh(wait)
	own := 0
	for _, p := range w.plans {
		for _, k := range p.kinds {
			if k.own {
				own++
			}
		}
	}
	if own != maxOwn {
		t.Errorf("%d kinds have a stream of their own; %d are right", own, maxOwn)
	}
}

// TestStreamsAreDueApart: of streams that begin together no more than a few are
// due in the same moment, and all of them in time.
func TestStreamsAreDueApart(t *testing.T) {
	l := openLake(t, t.TempDir())
	defer l.Close()
	w := l.NewWriter(event.NewRegistry(0))
	const wait, streams, steps = 10 * time.Second, 40, 10
	w.Waiting(wait, time.Now())
	for i := range streams {
		add(t, w, fmt.Sprint("stream ", i), uint64(i), "one")
	}
	now, taken := time.Now(), 0
	for i := range steps {
		// The moment at which a row has waited for 5.5, 6, … 10 s.
		at := now.Add(wait/2 + wait/2*time.Duration(i+1)/steps)
		if load := w.Take(at.Add(-wait)); load != nil {
			n := load.parts[0].count
			if taken += n; n > 2*streams/steps {
				t.Errorf("after %s %d of %d streams are due at once", at.Sub(now), n, streams)
			}
			if err := load.Hand(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if taken != streams {
		t.Errorf("after %s %d of %d streams were due; all are right", wait, taken, streams)
	}
}
