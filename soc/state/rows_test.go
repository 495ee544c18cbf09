package state

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"
)

// Whole statements and what is left over are written alike, a conflict does what
// was said, and a row of another width is refused.
func TestRows(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL, times INTEGER NOT NULL DEFAULT 1)"); err != nil {
		t.Fatal(err)
	}
	const n = 1234 // two statements and 234 rows
	err = db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		rows := NewRows(tx, "words", []string{"id", "word"}, "ON CONFLICT (id) DO UPDATE SET times = times + 1")
		defer rows.Close()
		for i := range n {
			if err := rows.Add(ctx, i, fmt.Sprint("wort ", i, " 词")); err != nil {
				return err
			}
		}
		for _, i := range []int{3, 700, 1233} {
			if err := rows.Add(ctx, i, ""); err != nil {
				return err
			}
		}
		if err := rows.Add(ctx, 1); err == nil {
			t.Error("a row of one value was taken")
		}
		return rows.Flush(ctx)
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
	// A transaction whose context has ended writes nothing.
	ctx, cancel := context.WithCancel(t.Context())
	err = db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		rows := NewRows(tx, "words", []string{"id", "word"}, "")
		defer rows.Close()
		cancel()
		if err := rows.Add(ctx, n, "late"); err != nil {
			return err
		}
		return rows.Flush(ctx)
	})
	if err == nil {
		t.Error("a transaction whose context has ended was committed")
	}
	if have, err := db.NewSelect().Table("words").Count(t.Context()); err != nil || have != n {
		t.Errorf("%d rows, %v", have, err)
	}
}
