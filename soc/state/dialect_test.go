package state

import (
	"path/filepath"
	"testing"

	"github.com/uptrace/bun"
)

// TestEveryStringIsTaken writes and finds strings that break out of literals
// or end them.
func TestEveryStringIsTaken(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE words (word TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	type word struct {
		bun.BaseModel `bun:"table:words"`
		Word          string `bun:"word"`
	}
	words := []string{"", "plain", "it's", "''", `\'`, "\x00", "a\x00b", "'\x00'); DROP TABLE words; --", "\x00中文\U0001F600", "?", "?0", "%_"}
	for _, w := range words {
		if _, err := db.NewInsert().Model(&word{Word: w}).Exec(t.Context()); err != nil {
			t.Errorf("write %q: %v", w, err)
		}
		var found []word
		if err := db.NewSelect().Model(&found).Where("word = ?", w).Scan(t.Context()); err != nil || len(found) != 1 || found[0].Word != w {
			t.Errorf("look for %q: %+v, %v", w, found, err)
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM words WHERE word IN (?)", bun.In([]string{w, "nowhere"})).Scan(&n); err != nil || n != 1 {
			t.Errorf("look for %q in a list: %d, %v", w, n, err)
		}
	}
	if n, err := db.NewSelect().Model((*word)(nil)).Count(t.Context()); err != nil || int(n) != len(words) {
		t.Errorf("%d words, %v", n, err)
	}
}
