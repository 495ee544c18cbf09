package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"icewatch/soc/intake"
)

func open(t testing.TB, dir string, max int64) *Server {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, MaxSize: max, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read collects the records of n batches' worth of records from start on.
func read(t *testing.T, c *Client, start uint64, n int) (texts []string, last uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	enough := errors.New("enough")
	err := c.Raw(ctx, start, func(m Message) error {
		recs, err := intake.DecodeBatch(nil, m.Data)
		if err != nil {
			return err
		}
		for _, r := range recs {
			texts = append(texts, string(r.Data))
		}
		last = m.Sequence
		if len(texts) >= n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("read %d of %d records: %v", len(texts), n, err)
	}
	return texts, last
}

func TestAcknowledgedRecordsSurviveAReopenInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := p.Append(t.Context(), []intake.Record{{Collector: "test", Data: fmt.Appendf(nil, "%d/%d", w, i)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := p.Stats().Records; got != writers*each {
		t.Fatalf("%d records counted, want %d", got, writers*each)
	}
	p.Close()
	if err := p.Append(t.Context(), []intake.Record{{}}); !errors.Is(err, intake.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
	c, _ := s.Client()
	before, err := c.RawState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Close()

	s = open(t, dir, 1<<30)
	defer s.Close()
	sock := filepath.Join(t.TempDir(), "bus.sock")
	if err := s.ListenUnix(sock); err != nil {
		t.Fatal(err)
	}
	c, err = Connect(sock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	after, err := c.RawState(t.Context())
	if err != nil || after != before || before.Epoch == "" {
		t.Fatalf("state %+v became %+v: %v", before, after, err)
	}
	texts, last := read(t, c, 1, writers*each)
	if last != before.Last {
		t.Fatalf("last sequence %d, want %d", last, before.Last)
	}
	next := map[string]int{}
	for _, text := range texts {
		var w, i int
		fmt.Sscanf(text, "%d/%d", &w, &i)
		key := fmt.Sprint(w)
		if next[key] != i {
			t.Fatalf("writer %d: record %d where %d was due", w, i, next[key])
		}
		next[key]++
	}
	if err := c.TrimRaw(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if st, _ := c.RawState(t.Context()); st.First != last || st.Last != last {
		t.Fatalf("after the trim: %+v", st)
	}
}

func TestAFullBusPushesBack(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<20)
	defer s.Close()
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	incompressible := make([]byte, 300<<10)
	for i := range incompressible {
		incompressible[i] = byte(i * i >> 3 * 31)
	}
	var full error
	stored := 0
	for range 200 {
		for i := range incompressible {
			incompressible[i] = incompressible[i]*167 + byte(i>>7) + 13
		}
		if full = p.Append(t.Context(), []intake.Record{{Data: incompressible}}); full != nil {
			break
		}
		stored++
	}
	if !errors.Is(full, intake.ErrFull) {
		t.Fatalf("after %d records: %v", stored, full)
	}
	c, _ := s.Client()
	defer c.Close()
	if st, _ := c.RawState(t.Context()); int(st.Messages) != stored {
		t.Fatalf("%d messages held, %d acknowledged", st.Messages, stored)
	}
}

func TestAFullDiskStopsIntake(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), MinFree: 1 << 60, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Append(t.Context(), []intake.Record{{Data: []byte("x")}}); !errors.Is(err, intake.ErrFull) {
		t.Fatalf("got %v", err)
	}
}

func TestControlHandsOverTheNewest(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<30)
	defer s.Close()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, v := range []string{"one", "two"} {
		if err := c.PublishControl(t.Context(), "rules", []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 4)
	done := make(chan error, 1)
	go func() { done <- c.Control(ctx, "rules", func(b []byte) { got <- string(b) }) }()
	if v := <-got; v != "two" {
		t.Fatalf("first %q", v)
	}
	if err := c.PublishControl(t.Context(), "rules", []byte("three")); err != nil {
		t.Fatal(err)
	}
	if v := <-got; v != "three" {
		t.Fatalf("then %q", v)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, b.TempDir(), 64<<30)
	defer s.Close()
	p, err := s.Publisher()
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	recs := make([]intake.Record, 500)
	for i := range recs {
		recs[i] = intake.Record{Collector: "bench", Data: fmt.Appendf(nil, "<34>1 2026-01-01T00:00:00Z web-%d sshd 4242 - - Failed password for root from 203.0.113.%d port 4242 ssh2", i%50, i%250)}
	}
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := p.Append(b.Context(), recs); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)*float64(len(recs))/b.Elapsed().Seconds(), "records/s")
}

// TestAControlStreamOnTheDiskMovesToMemory opens a bus that an earlier version
// left.
func TestAControlStreamOnTheDiskMovesToMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 1<<30)
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.js.DeleteStream(t.Context(), controlStream); err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: controlStream, Subjects: []string{controlPrefix + ">"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Close()
	s = open(t, dir, 1<<30)
	defer s.Close()
	if c, err = s.Client(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	st, err := c.js.Stream(t.Context(), controlStream)
	if err != nil || st.CachedInfo().Config.Storage != jetstream.MemoryStorage {
		t.Fatalf("%v", err)
	}
	if err := c.PublishControl(t.Context(), "rules", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

// TestControlPartsAreWholeAtTheMark joins before, while and after the parts of
// a topic are published: nobody takes for whole what is not.
func TestControlPartsAreWholeAtTheMark(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<30)
	defer s.Close()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	join := func() (parts func() map[string]string, whole chan map[string]string) {
		var mu sync.Mutex
		have := map[string]string{}
		copied := func() map[string]string { mu.Lock(); defer mu.Unlock(); return maps.Clone(have) }
		whole = make(chan map[string]string, 2)
		go func() {
			_ = c.ControlParts(t.Context(), "assets", func(name string, data []byte) {
				mu.Lock()
				defer mu.Unlock()
				have[name] = string(data)
			}, func() { whole <- copied() })
		}()
		return copied, whole
	}
	publish := func(topic, data string) {
		t.Helper()
		if err := c.PublishControl(t.Context(), topic, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	_, early := join()
	publish("assets.0", "a")
	publish("assets.1", "b")
	publish("assets.0", "c")
	select {
	case got := <-early:
		t.Fatalf("%v was taken for whole", got)
	default:
	}
	publish("assets", "")
	if got := <-early; got["0"] != "c" || got["1"] != "b" {
		t.Errorf("%v", got)
	}
	// A part that changed after the mark, and one that is new.
	publish("assets.1", "d")
	publish("assets.2", "e")
	now, late := join()
	if got := <-late; len(got) != 3 || got["0"] != "c" || got["1"] != "d" || got["2"] != "e" {
		t.Errorf("who comes later: %v", got)
	}
	publish("assets.0", "f")
	for deadline := time.Now().Add(time.Minute); now()["0"] != "f"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a change never came: %v", now())
		}
	}
}
