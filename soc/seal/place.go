package seal

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// Place is where a room keeps sealed values. A place is asked about tables of
// a data folder whose room has not been opened, so it must bear with tables
// that do not exist yet.
type Place interface {
	// Kinds are the first parts of the contexts that values here are sealed
	// for. No other place may name them.
	Kinds() []string
	// Each hands every value that is not empty, with its context, to f and
	// keeps within tx what f returns where that differs. Values are handed over
	// as they stand, which may be unsealed.
	Each(ctx context.Context, tx bun.Tx, f func(value, context string) (string, error)) error
}

// Column is the place of values that fill one column of a table with a rowid:
// each is sealed for "KIND:" and the row's key. Empty values are none.
func Column(kind, table, key, value string) Place { return column{kind, table, key, value} }

type column struct{ kind, table, key, value string }

// Kinds implements Place.
func (c column) Kinds() []string { return []string{c.kind} }

// chunk is how many rows Each holds in memory.
const chunk = 500

// Each implements Place.
func (c column) Each(ctx context.Context, tx bun.Tx, f func(value, context string) (string, error)) error {
	there, err := tableExists(ctx, tx, c.table)
	if err != nil || !there {
		return err
	}
	type row struct {
		ID    int64
		Key   string
		Value string
	}
	for last := int64(-1 << 63); ; {
		var rows []row
		err := tx.NewRaw("SELECT rowid AS id, CAST(? AS TEXT) AS key, ? AS value FROM ? WHERE rowid > ? AND ? <> '' ORDER BY rowid LIMIT ?",
			bun.Ident(c.key), bun.Ident(c.value), bun.Ident(c.table), last, bun.Ident(c.value), chunk).Scan(ctx, &rows)
		if err != nil {
			return fmt.Errorf("seal: read %s.%s: %w", c.table, c.value, err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			fresh, err := f(r.Value, c.kind+":"+r.Key)
			if err != nil {
				return err
			}
			if fresh != r.Value {
				if _, err := tx.NewRaw("UPDATE ? SET ? = ? WHERE rowid = ?", bun.Ident(c.table), bun.Ident(c.value), fresh, r.ID).Exec(ctx); err != nil {
					return fmt.Errorf("seal: write %s.%s: %w", c.table, c.value, err)
				}
			}
		}
		last = rows[len(rows)-1].ID
	}
}

func tableExists(ctx context.Context, tx bun.Tx, table string) (bool, error) {
	var n int
	if err := tx.NewRaw("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", table).Scan(ctx, &n); err != nil {
		return false, fmt.Errorf("seal: look for the table %s: %w", table, err)
	}
	return n > 0, nil
}
