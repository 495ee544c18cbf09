package state

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/uptrace/bun"
)

// kept are the statements that the write connection keeps.
func kept(t testing.TB, db *DB) map[string]wholeStmt {
	t.Helper()
	c, err := db.DB.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out map[string]wholeStmt
	if err := c.Raw(func(c any) error { out = c.(*conn).kept; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// Statements are prepared once, are not used twice at a time, outlive a change of
// the tables, a failure and a transaction that is undone, and are no more than so
// many.
func TestStatementsAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.ExecContext(ctx, "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL)"))
	const insert, read = "INSERT INTO words (id, word) VALUES (?, ?)", "SELECT * FROM words WHERE id >= ? ORDER BY id"
	for i := range 3 {
		must(db.DB.DB.ExecContext(ctx, insert, i, fmt.Sprint("w", i)))
	}
	first := kept(t, db)[insert]
	if first == nil {
		t.Fatalf("kept: %v", kept(t, db))
	}
	undone := fmt.Errorf("undone")
	if err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		must(tx.Tx.ExecContext(ctx, insert, 99, "gone"))
		return undone
	}); err != undone {
		t.Fatal(err)
	}
	if kept(t, db)[insert] != first {
		t.Error("the statement was prepared anew")
	}
	// Two results of the same statement at a time.
	must(nil, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		outer, err := tx.Tx.QueryContext(ctx, read, 0)
		if err != nil {
			return err
		}
		defer outer.Close()
		pairs := 0
		for outer.Next() {
			inner, err := tx.Tx.QueryContext(ctx, read, 1)
			if err != nil {
				return err
			}
			for inner.Next() {
				pairs++
			}
			if err := inner.Close(); err != nil {
				return err
			}
		}
		if pairs != 6 {
			t.Errorf("%d pairs, want 6", pairs)
		}
		return outer.Err()
	}))
	// A failure leaves the values of the next use alone.
	if _, err := db.DB.DB.ExecContext(ctx, insert, 1, "twice"); err == nil {
		t.Error("a key was taken twice")
	}
	must(db.DB.DB.ExecContext(ctx, insert, 7, "seven"))
	must(db.ExecContext(ctx, "ALTER TABLE words ADD COLUMN more TEXT NOT NULL DEFAULT 'm'"))
	must(db.DB.DB.ExecContext(ctx, insert, 8, "eight"))
	for name, pool := range map[string]*sql.DB{"writer": db.DB.DB, "readers": db.Read.DB} {
		rows, err := pool.QueryContext(ctx, read, 7)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for rows.Next() {
			var id int
			var word, more string
			must(nil, rows.Scan(&id, &word, &more))
			got += fmt.Sprintln(id, word, more)
		}
		must(nil, rows.Err())
		if got != "7 seven m\n8 eight m\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for i := range 2 * maxKept {
		must(db.DB.DB.ExecContext(ctx, fmt.Sprintf("UPDATE words SET word = ? WHERE id = ? AND %d = %[1]d", i), "x", i))
	}
	if n := len(kept(t, db)); n != maxKept {
		t.Errorf("%d statements are kept, want %d", n, maxKept)
	}
	// What binds nothing is kept where it is asked again.
	for i := range 2 * maxSeen {
		if n := 0; i%2 == 0 {
			must(nil, db.DB.DB.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM words WHERE id < %d", i)).Scan(&n))
		} else {
			must(nil, db.DB.DB.QueryRowContext(ctx, "SELECT count(*) FROM words WHERE id < 8").Scan(&n))
			if n != 4 {
				t.Fatalf("%d words, want 4", n)
			}
		}
	}
	if all := kept(t, db); all["SELECT count(*) FROM words WHERE id < 8"] == nil || all["SELECT count(*) FROM words WHERE id < 6"] != nil || len(all) != maxKept {
		t.Errorf("kept are %d: %v", len(all), slices.Sorted(maps.Keys(all)))
	}
	must(db.ExecContext(ctx, "VACUUM"))
	must(db.ExecContext(ctx, "DROP TABLE words"))
}

// BenchmarkPutOfOneRow writes a row of fifty columns in a transaction of its own.
func BenchmarkPutOfOneRow(b *testing.B) {
	db, err := Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	columns, text, values := []string{"id"}, "id INTEGER PRIMARY KEY", []any{0}
	for i := range 50 {
		columns, values = append(columns, fmt.Sprint("c", i)), append(values, "value")
		text += fmt.Sprintf(", c%d TEXT NOT NULL", i)
	}
	if _, err := db.ExecContext(b.Context(), "PRAGMA synchronous = OFF; CREATE TABLE words ("+text+")"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := db.RunInTx(b.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			put := NewPut(tx, "words", columns, "")
			defer put.Close()
			values[0] = values[0].(int) + 1
			return put.Row(ctx, values...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
