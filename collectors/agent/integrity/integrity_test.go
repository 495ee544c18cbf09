package integrity

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"icewatch/collectors/collecttest"
	"icewatch/collectors/fleet/wire"
)

type event struct {
	Action string `json:"event.action"`
	Path   string `json:"file.path"`
	Hash   string `json:"file.hash.sha256"`
	Old    string `json:"icewatch.file.previous.sha256"`
	Mode   string `json:"file.mode"`
}

func TestChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	dir, state := t.TempDir(), t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	passwd, hosts := put("passwd", "root"), put("hosts", "::1")
	put("skip.log", "x")
	sink := &collecttest.Sink{}
	plan := &wire.Integrity{Paths: []string{dir}, Exclude: []string{"*.log"}, Interval: wire.Duration(time.Hour)}
	w := New(state, sink, nil, slog.New(slog.DiscardHandler))
	w.Apply(plan)
	saved := func() bool { _, err := os.Stat(w.path); return err == nil }
	for end := time.Now().Add(5 * time.Second); !saved() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	n := 0
	expect := func(action, path, mode string) {
		t.Helper()
		n++
		var e event
		recs := sink.Wait(t, n)
		if err := json.Unmarshal(recs[n-1].Data, &e); err != nil || e.Action != action || e.Path != path || mode != "" && e.Mode != mode {
			t.Fatalf("event %d is %s, want %s of %s", n, recs[n-1].Data, action, path)
		}
		if action == "updated" && (e.Hash == "" || e.Old == "" || e.Hash == e.Old) {
			t.Fatalf("%+v", e)
		}
	}
	put("skip.log", "y")
	put("passwd", "root+")
	expect("updated", passwd, "0600")
	if err := os.Chmod(hosts, 0o644); err != nil {
		t.Fatal(err)
	}
	expect("attributes_modified", hosts, "0644")
	created := put("shadow", "a")
	expect("created", created, "")
	w.Stop()
	// While nobody looks: the same size and time, other bytes; and a file less.
	info, _ := os.Stat(passwd)
	put("passwd", "toor+")
	if err := os.Chtimes(passwd, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hosts); err != nil {
		t.Fatal(err)
	}
	w = New(state, sink, nil, slog.New(slog.DiscardHandler))
	w.Apply(plan)
	expect("deleted", hosts, "")
	expect("updated", passwd, "")
	w.Stop()
	// Nothing more to tell; a path that is new in the plan is a beginning.
	other := t.TempDir()
	_ = os.WriteFile(filepath.Join(other, "x"), nil, 0o600)
	wider := *plan
	wider.Paths = append(wider.Paths, other)
	w.Apply(&wider)
	time.Sleep(100 * time.Millisecond)
	_ = os.WriteFile(filepath.Join(other, "x"), []byte("1"), 0o600)
	expect("updated", filepath.Join(other, "x"), "")
	w.Stop()
	ids := map[string]bool{}
	for _, r := range sink.Records() {
		ids[r.ID] = true
	}
	if len(ids) != n || len(sink.Records()) != n {
		t.Fatalf("%d ids, %d records, %d events", len(ids), len(sink.Records()), n)
	}
	if s, ok := w.State(); ok {
		t.Fatalf("%+v", s)
	}
}
