package cmdb

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/schema"
)

// bulkRows is how many rows one statement stores on PostgreSQL, and from how many
// items on a change is a large one.
const bulkRows = 5000

// insertAll stores rows of one table; one that is there already fails them all.
func insertAll[T any](ctx context.Context, tx bun.Tx, rows []T) error {
	return insert(ctx, tx, rows, "")
}

// insertNew stores those rows of one table that are not there yet.
func insertNew[T any](ctx context.Context, tx bun.Tx, rows []T) error {
	return insert(ctx, tx, rows, " ON CONFLICT DO NOTHING")
}

// insert stores rows without a text of SQL for each, which takes either
// database longer to read than the rows to store: PostgreSQL is given a list of
// each column, SQLite one prepared statement row by row.
func insert[T any](ctx context.Context, tx bun.Tx, rows []T, otherwise string) error {
	if len(rows) == 0 {
		return nil
	}
	table := tx.Dialect().Tables().Get(reflect.TypeFor[T]())
	fields := slices.DeleteFunc(slices.Clone(table.Fields), func(f *schema.Field) bool { return f.AutoIncrement })
	var names, places []string
	for i, f := range fields {
		names = append(names, string(f.SQLName))
		places = append(places, fmt.Sprintf("$%d", i+1))
	}
	into := fmt.Sprintf("INSERT INTO %s (%s) ", table.SQLName, strings.Join(names, ", "))
	if tx.Dialect().Name() != dialect.PG {
		return insertOneByOne(ctx, tx, into+"VALUES ("+strings.Repeat("?, ", len(fields)-1)+"?)"+otherwise, fields, rows)
	}
	for i, f := range fields {
		kind := "text"
		if isInteger(f) {
			kind = "bigint"
		}
		places[i] += "::" + kind + "[]"
	}
	query := into + "SELECT * FROM unnest(" + strings.Join(places, ", ") + ")" + otherwise
	for part := range slices.Chunk(rows, bulkRows) {
		args := []any{pgx.QueryExecModeExec}
		for _, f := range fields {
			args = append(args, listed(f, part))
		}
		if _, err := tx.Tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

func insertOneByOne[T any](ctx context.Context, tx bun.Tx, query string, fields []*schema.Field, rows []T) error {
	st, err := tx.Tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer st.Close()
	args := make([]any, len(fields))
	for i := range rows {
		row := reflect.ValueOf(&rows[i]).Elem()
		for j, f := range fields {
			switch v := row.FieldByIndex(f.Index); {
			case f.NullZero && v.IsZero():
				args[j] = nil
			case isInteger(f):
				args[j] = v.Int()
			default:
				args[j] = v.String()
			}
		}
		if _, err := st.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// listed is what rows have in a column, as PostgreSQL's driver sends it.
func listed[T any](f *schema.Field, rows []T) any {
	if isInteger(f) {
		out := make([]int64, len(rows))
		for i := range rows {
			out[i] = reflect.ValueOf(&rows[i]).Elem().FieldByIndex(f.Index).Int()
		}
		return out
	}
	out := make([]*string, len(rows))
	for i := range rows {
		if s := reflect.ValueOf(&rows[i]).Elem().FieldByIndex(f.Index).String(); s != "" || !f.NullZero {
			out[i] = &s
		}
	}
	return out
}

// isInteger tells integers from texts: the tables that are filled in bulk have
// nothing else.
func isInteger(f *schema.Field) bool { return f.StructField.Type.Kind() != reflect.String }
