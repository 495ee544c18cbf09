package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
)

// Put writes many rows of one shape within a transaction by one prepared
// statement: texts are bound instead of being read letter by letter as a part of
// it. It writes a row at a time. A statement of several rows takes longer, not
// shorter: SQLite keeps what it would take to undo it alone, and the driver looks
// for each value among all of them. It is for one goroutine.
type Put struct {
	tx    bun.Tx
	text  string
	width int
	stmt  *sql.Stmt
}

// NewPut makes one for "INSERT INTO table (columns) VALUES …" with what follows
// the row, such as ON CONFLICT. It is prepared with the first row.
func NewPut(tx bun.Tx, table string, columns []string, tail string) *Put {
	return NewPutOf(tx, table, columns, slices.Repeat([]string{"?"}, len(columns)), tail)
}

// NewPutOf makes one that binds only those columns whose value is "?"; the others
// have the SQL given.
func NewPutOf(tx bun.Tx, table string, columns, values []string, tail string) *Put {
	p := &Put{tx: tx, text: fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) %s", table, strings.Join(columns, ", "), strings.Join(values, ", "), tail)}
	for _, v := range values {
		if v == "?" {
			p.width++
		}
	}
	return p
}

// Row writes a row.
func (p *Put) Row(ctx context.Context, values ...any) (err error) {
	if len(values) != p.width {
		return fmt.Errorf("state: a row of %d values for %d columns", len(values), p.width)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// The transaction itself ends with its context. A statement that watched it,
	// too, would start a goroutine each time.
	ctx = context.WithoutCancel(ctx)
	if p.stmt == nil {
		if p.stmt, err = p.tx.Tx.PrepareContext(ctx, p.text); err != nil {
			return err
		}
	}
	_, err = p.stmt.ExecContext(ctx, values...)
	return err
}

// Close lets go of the statement.
func (p *Put) Close() {
	if p.stmt != nil {
		p.stmt.Close()
	}
}
