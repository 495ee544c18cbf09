package filewatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/queue"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// read takes n records out of a queue.
func read(t *testing.T, q *queue.Queue, n int) (recs []intake.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(recs) < n {
		b, err := q.Next(ctx)
		if err != nil {
			t.Fatalf("%d records of %d: %v", len(recs), n, err)
		}
		if recs, err = intake.DecodeBatch(recs, b.Body); err != nil {
			t.Fatal(err)
		}
		if err := q.Ack(b); err != nil {
			t.Fatal(err)
		}
	}
	return recs
}

func newQueue(t *testing.T, max int64) *queue.Queue {
	t.Helper()
	q, err := queue.Open(t.TempDir(), queue.Options{MaxBytes: max})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

func swap(t *testing.T, w *Watcher, document string) error {
	t.Helper()
	d, err := wire.ParseDocument([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Prepare(d)
	if err != nil {
		return err
	}
	return w.Swap(t.Context(), p)
}

func TestFilesAreFollowedOverSwaps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	q := newQueue(t, 1<<22)
	sink := NewSink(q, 10*time.Millisecond)
	sink.SetLabels(map[string]string{"env": "test"})
	w, err := New(filepath.Join(dir, "positions"), sink, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Stop(context.Background()) })
	write(t, a, "one\ntwo\n")
	one := fmt.Sprintf("files:\n  - {name: app, paths: [%s], dataset: app.log, labels: {role: x}}\n", a)
	if err := swap(t, w, one); err != nil {
		t.Fatal(err)
	}
	recs := read(t, q, 2)
	attrs := fmt.Sprint(recs[1].Attrs)
	if string(recs[1].Data) != "two" || recs[1].ID == "" || recs[1].Collector != Collector || !strings.Contains(attrs, "{event.dataset app.log}") || !strings.Contains(attrs, "{labels.env test}") || !strings.Contains(attrs, "{labels.role x}") {
		t.Fatalf("%+v", recs[1])
	}
	// A change goes on where the former entry stopped, and begins the other file.
	write(t, b, "{\"m\":1}\n")
	if err := swap(t, w, strings.Replace(one, "app.log", "app.new", 1)+fmt.Sprintf("  - {name: json, paths: [%s], format: json}\n", b)); err != nil {
		t.Fatal(err)
	}
	write(t, a, "three\n")
	got := map[string]intake.Format{}
	for _, r := range read(t, q, 2) {
		got[string(r.Data)] = r.Format
	}
	if len(got) != 2 || got[`{"m":1}`] != intake.JSON {
		t.Fatalf("%v", got)
	}
	if ok, err := w.Pause(t.Context(), "json", true); !ok || err != nil || w.States()[1].State != "stopped" {
		t.Fatalf("%v %v %+v", ok, err, w.States())
	}
	if ok, _ := w.Pause(t.Context(), "nosuch", true); ok {
		t.Fatal("a source that is not there was paused")
	}
	if err := swap(t, w, "files:\n  - {name: app, paths: [/x], multiline: '^a'}\n"); err != nil {
		t.Fatal(err)
	}
	if n := q.Stats().Batches; n != 0 {
		t.Fatalf("%d batches more", n)
	}
}

func TestFullQueueMakesFilesWait(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	const lines = 20_000
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "%d %s\n", i, fmt.Sprintf("%x", []byte(fmt.Sprint(i*i, i*7, i*i*i)))) // little that compresses
	}
	write(t, path, text.String())
	q := newQueue(t, 384<<10)
	sink := NewSink(q, 2*time.Millisecond)
	w, err := New(filepath.Join(dir, "positions"), sink, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Stop(context.Background()) })
	if err := swap(t, w, fmt.Sprintf("files: [{name: app, paths: [%s]}]\n", path)); err != nil {
		t.Fatal(err)
	}
	for i, r := range read(t, q, lines) {
		if !strings.HasPrefix(string(r.Data), fmt.Sprintf("%d ", i)) {
			t.Fatalf("line %d is %s", i, r.Data)
		}
	}
	sink.Hold(true)
	if err := sink.Append(t.Context(), []intake.Record{{Data: []byte("x")}}); !errors.Is(err, intake.ErrFull) {
		t.Fatal(err)
	}
}
