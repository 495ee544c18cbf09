package state

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"
)

// Rows are written, a conflict does what was said, and a row of another width or
// a transaction whose context has ended is refused.
func TestPut(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL, times INTEGER NOT NULL DEFAULT 1)"); err != nil {
		t.Fatal(err)
	}
	const n = 123
	err = db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		put := NewPut(tx, "words", []string{"id", "word"}, "ON CONFLICT (id) DO UPDATE SET times = times + 1")
		defer put.Close()
		for i := range n + 3 {
			if err := put.Row(ctx, i%n, fmt.Sprint("wort ", i, " 词")); err != nil {
				return err
			}
		}
		if err := put.Row(ctx, 1); err == nil {
			t.Error("a row of one value was taken")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ N, Again, Right int }
	if err := db.NewSelect().Table("words").ColumnExpr("count(*) AS n, sum(times - 1) AS again, sum(word = 'wort ' || id || ' 词') AS right").Scan(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if got.N != n || got.Again != 3 || got.Right != n {
		t.Errorf("%+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		put := NewPut(tx, "words", []string{"id", "word"}, "")
		defer put.Close()
		cancel()
		return put.Row(ctx, n, "late")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a transaction whose context has ended: %v", err)
	}
	if have, err := db.NewSelect().Table("words").Count(t.Context()); err != nil || have != n {
		t.Errorf("%d rows, %v", have, err)
	}
}
