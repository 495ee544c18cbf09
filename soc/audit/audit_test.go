package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/state"
)

func open(t *testing.T, path string) (*Log, *state.DB) {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); _ = db.Close() })
	return l, db
}

func fill(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		if err := l.Append(t.Context(), Record{Actor: fmt.Sprint("user", i%3), Action: "create-user", Object: fmt.Sprint("user:", i), Result: OK, Address: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChainAcrossRestartsAndWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	l, db := open(t, path)
	fill(t, l, 10)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), Record{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
	_ = db.Close()
	l, _ = open(t, path)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { fill(t, l, 25) })
	}
	wg.Wait()
	n, head, err := l.Verify(t.Context())
	if n != 210 || len(head) != 64 || err != nil {
		t.Fatalf("%d records, head %q, %v", n, head, err)
	}
}

// A flipped byte, a removed record and records that changed places are each
// found where they are.
func TestVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	f := func(name string, wantSeq int64, statements ...string) {
		t.Helper()
		l, db := open(t, filepath.Join(t.TempDir(), "state.db"))
		fill(t, l, 20)
		for _, q := range append([]string{"DROP TRIGGER audit_records_no_update", "DROP TRIGGER audit_records_no_delete"}, statements...) {
			if _, err := db.ExecContext(t.Context(), q); err != nil {
				t.Fatalf("%s: %s: %v", name, q, err)
			}
		}
		_, _, err := l.Verify(t.Context())
		var broken *BrokenError
		if !errors.As(err, &broken) || broken.Seq != wantSeq {
			t.Errorf("%s: got %v, want a break at %d", name, err, wantSeq)
		}
	}
	f("a changed text", 7, "UPDATE audit_records SET actor = 'nobody' WHERE seq = 7")
	f("a changed time", 7, "UPDATE audit_records SET time = time + 1 WHERE seq = 7")
	f("a changed hash", 7, "UPDATE audit_records SET hash = substr(hash, 1, 63) || 'g' WHERE seq = 7")
	f("text moved between fields", 7, "UPDATE audit_records SET actor = actor || action, action = '' WHERE seq = 7")
	f("a removed record", 7, "DELETE FROM audit_records WHERE seq = 7")
	f("a removed record, the rest moved up", 7, "DELETE FROM audit_records WHERE seq = 7", "UPDATE audit_records SET seq = seq + 999 WHERE seq > 7", "UPDATE audit_records SET seq = seq - 1000 WHERE seq > 7")
	f("the first removed", 1, "DELETE FROM audit_records WHERE seq = 1")
	f("two that changed places", 7, "UPDATE audit_records SET seq = 999 WHERE seq = 7", "UPDATE audit_records SET seq = 7 WHERE seq = 8", "UPDATE audit_records SET seq = 8 WHERE seq = 999")
}

func TestRecordsCannotBeChangedBySlip(t *testing.T) {
	t.Parallel()
	l, db := open(t, filepath.Join(t.TempDir(), "state.db"))
	fill(t, l, 1)
	for _, q := range []string{"UPDATE audit_records SET actor = 'x'", "DELETE FROM audit_records"} {
		if _, err := db.ExecContext(t.Context(), q); err == nil {
			t.Errorf("%s: want an error", q)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	l, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	fill(t, l, 30)
	if err := l.Append(t.Context(), Record{Time: time.UnixMilli(1000), Action: "odd", Object: `100%_\`, Result: Denied, Tenant: "a", Detail: "nul\x00 bad\xff" + strings.Repeat("x", 5000)}); err != nil {
		t.Fatal(err)
	}
	f := func(q Query, total, items int) Page {
		t.Helper()
		p, err := l.List(t.Context(), q)
		if err != nil || p.Total != total || len(p.Items) != items {
			t.Errorf("%+v: %d of %d, %v; want %d of %d", q, len(p.Items), p.Total, err, items, total)
		}
		return p
	}
	f(Query{}, 31, 31)
	f(Query{Actor: "user1"}, 10, 10)
	f(Query{Result: Denied}, 1, 1)
	f(Query{Tenant: "a", Address: "192.0.2.1"}, 0, 0)
	f(Query{Object: "user:2"}, 11, 11)
	f(Query{Object: "%"}, 1, 1)
	f(Query{Object: `_\`}, 1, 1)
	f(Query{Object: `' OR 1=1 --`}, 0, 0)
	f(Query{End: time.UnixMilli(1001)}, 1, 1)
	f(Query{Start: time.UnixMilli(1001)}, 30, 30)
	seen := map[int64]bool{}
	q := Query{Limit: 7}
	for {
		p := f(q, 31, min(7, 31-len(seen)))
		for _, r := range p.Items {
			if seen[r.Seq] {
				t.Fatalf("record %d twice", r.Seq)
			}
			seen[r.Seq] = true
		}
		if q.Before = p.Next; q.Before == 0 {
			break
		}
	}
	if len(seen) != 31 {
		t.Errorf("%d records on all pages", len(seen))
	}
}

func TestNotesAreMerged(t *testing.T) {
	t.Parallel()
	l, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	for range 1000 {
		l.Note(Record{Action: "access", Object: "GET /api/v1/users", Result: Denied, Address: "192.0.2.7"})
	}
	for i := range 3 * maxNotes {
		l.Note(Record{Action: "access", Object: fmt.Sprint("GET /", i), Result: Denied, Address: "192.0.2.8"})
		if i%100 == 0 {
			time.Sleep(2 * time.Millisecond) // let the writer keep up
		}
	}
	if len(l.notes.seen) > 2*maxNotes+1 {
		t.Errorf("%d notes are remembered", len(l.notes.seen))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := l.List(context.Background(), Query{Address: "192.0.2.7"})
	if err != nil || len(p.Items) != 2 || !strings.Contains(p.Items[0].Detail, "999 times") {
		t.Fatalf("%+v, %v", p.Items, err)
	}
	all, err := l.List(context.Background(), Query{})
	if err != nil || all.Total > maxNotes+10 {
		t.Errorf("%d records of a flood, %v", all.Total, err)
	}
	if _, _, err := l.Verify(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAppendAnswersForAFailingDisk(t *testing.T) {
	t.Parallel()
	l, db := open(t, filepath.Join(t.TempDir(), "state.db"))
	fill(t, l, 1)
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE audit_records RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), Record{Action: "x"}); err == nil {
		t.Fatal("a record that is not stored was acknowledged")
	}
	if _, err := db.ExecContext(t.Context(), "ALTER TABLE elsewhere RENAME TO audit_records"); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1)
	if n, _, err := l.Verify(t.Context()); n != 2 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
}
