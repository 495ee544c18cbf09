package audit

import (
	"context"
	"errors"
	"fmt"
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
	l, err := Open(t.Context(), db, Options{Dir: filepath.Join(filepath.Dir(path), "audit")})
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
	r, err := l.Verify(t.Context())
	if r.Records != 210 || r.FirstSeq != 1 || r.LastSeq != 210 || len(r.Head) != 64 || !r.OK || r.Checkpoints != 1 || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
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
	if r, err := l.Verify(context.Background()); err != nil || !r.OK {
		t.Error(r.Breaks, err)
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
	if r, err := l.Verify(t.Context()); r.Records != 2 || !r.OK || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
}
