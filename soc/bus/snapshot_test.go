package bus

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"icewatch/soc/intake"
)

// TestSnapshotUnderLoadOpensAsABus takes a snapshot while records are written,
// puts its files into an empty folder and opens that as a bus.
func TestSnapshotUnderLoadOpensAsABus(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 1<<30)
	defer s.Close()
	p, err := s.Publisher()
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write := func(from, n int) {
		for i := range n {
			if err := p.Append(t.Context(), []intake.Record{{Data: fmt.Appendf(nil, "record %d", from+i)}}); err != nil {
				t.Error(err)
				return
			}
		}
	}
	const before = 300
	write(0, before)
	if err := c.TrimRaw(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.PublishOccurrences(t.Context(), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.TrimOccurrences(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var load sync.WaitGroup
	load.Go(func() {
		for i := before; !stop.Load(); i += 10 {
			write(i, 10)
		}
	})
	dir := t.TempDir()
	states := map[string]State{}
	for _, stream := range Streams {
		st, err := c.Snapshot(t.Context(), stream, func(name string, size int64, r io.Reader) error {
			path := filepath.Join(dir, filepath.FromSlash(StreamFolder(stream)), name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			data, err := io.ReadAll(r)
			if err != nil || int64(len(data)) != size {
				return fmt.Errorf("%s: %d of %d bytes: %w", name, len(data), size, err)
			}
			return os.WriteFile(path, data, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		states[stream] = st
	}
	stop.Store(true)
	load.Wait()
	p.Close()
	raw := states[rawStream]
	if raw.First != 20 || raw.Last < before || raw.Epoch == "" {
		t.Fatalf("the snapshot says of the raw stream: %+v", raw)
	}
	if _, err := c.Snapshot(t.Context(), "NONE", nil); err == nil {
		t.Error("a stream that does not exist has a snapshot")
	}

	again := open(t, dir, 1<<30)
	defer again.Close()
	c2, err := again.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	st, err := c2.RawState(t.Context())
	if err != nil || st.Epoch != raw.Epoch || st.First != raw.First || st.Last < raw.Last {
		t.Fatalf("the bus of the snapshot: %+v, %v; the snapshot began at %+v", st, err, raw)
	}
	texts, _ := read(t, c2, 20, before-19)
	for i, text := range texts {
		if want := fmt.Sprintf("record %d", i+19); text != want {
			t.Fatalf("record %d of the snapshot is %q, want %q", i, text, want)
		}
	}
	if st, err = c2.OccurrenceState(t.Context()); err != nil || st.First != 2 || st.Last != 3 {
		t.Fatalf("occurrences: %+v, %v", st, err)
	}
}
