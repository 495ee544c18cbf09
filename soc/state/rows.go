package state

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
)

// Rows writes many rows of one shape within a transaction, several of them by
// each prepared statement: what a statement costs beside its rows is paid once,
// and texts are bound instead of being read letter by letter as a part of it.
// It is for one goroutine. Call Flush after the last row, and Close in any case.
type Rows struct {
	tx          bun.Tx
	head, tail  string // before and behind the rows
	width, size int    // columns of a row, rows of a statement

	many, one *sql.Stmt
	args      []any
	have      int
}

// maxParameters is how many values one statement takes, below SQLite's 32,766.
const maxParameters = 1000

// NewRows makes one for "INSERT INTO table (columns) VALUES …" with what follows
// the rows, such as ON CONFLICT.
func NewRows(tx bun.Tx, table string, columns []string, tail string) *Rows {
	return &Rows{tx: tx, head: fmt.Sprintf("INSERT INTO %s (%s) VALUES ", table, strings.Join(columns, ", ")), tail: " " + tail,
		width: len(columns), size: max(1, maxParameters/len(columns))}
}

// Add takes a row, and writes those that have gathered where they are enough.
// The error of a row may come with a later one.
func (r *Rows) Add(ctx context.Context, values ...any) error {
	if len(values) != r.width {
		return fmt.Errorf("state: a row of %d values for %d columns", len(values), r.width)
	}
	r.args = append(r.args, values...)
	if r.have++; r.have < r.size {
		return nil
	}
	err := r.exec(ctx, &r.many, r.size, r.args)
	r.args, r.have = r.args[:0], 0
	return err
}

// Flush writes the rows that have gathered.
func (r *Rows) Flush(ctx context.Context) error {
	for at := 0; at < len(r.args); at += r.width {
		if err := r.exec(ctx, &r.one, 1, r.args[at:at+r.width]); err != nil {
			return err
		}
	}
	r.args, r.have = r.args[:0], 0
	return nil
}

func (r *Rows) exec(ctx context.Context, stmt **sql.Stmt, rows int, args []any) (err error) {
	// The transaction itself ends with its context. A statement that watched it,
	// too, would start a goroutine each time.
	ctx = context.WithoutCancel(ctx)
	if *stmt == nil {
		row := "(?" + strings.Repeat(", ?", r.width-1) + ")"
		*stmt, err = r.tx.Tx.PrepareContext(ctx, r.head+row+strings.Repeat(", "+row, rows-1)+r.tail)
		if err != nil {
			return err
		}
	}
	_, err = (*stmt).ExecContext(ctx, args...)
	return err
}

// Close lets go of the statements.
func (r *Rows) Close() {
	for _, s := range []*sql.Stmt{r.many, r.one} {
		if s != nil {
			s.Close()
		}
	}
}
