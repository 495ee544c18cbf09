package cmdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"icewatch/soc/state"
)

// movedTable is the table that says which version the items had when they were moved
// into the file.
const movedTable = "CREATE TABLE cmdb_moved (version INTEGER NOT NULL)"

// OpenFile keeps the tables in a SQLite file of their own. A large change writes
// for many seconds, and a SQLite file has one writer at a time: in the suite's
// state alerts and incidents would wait for it. Where the state holds the tables,
// as earlier releases had them, they are moved first: into a new file, which takes
// its name once it is whole, and then out of the state. What was interrupted goes
// on with the next call.
func OpenFile(ctx context.Context, path string, was *state.DB) (*Database, error) {
	if err := moveFile(ctx, path, was); err != nil {
		return nil, fmt.Errorf("cmdb: move the items from %s to %s: %w", was.Path(), path, err)
	}
	db, err := state.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	d := OnState(db)
	d.close = db.Close
	return d, nil
}

// stays tells whether a table whose name begins as the CMDB's do is the state's
// own: those of subscriptions, which are kept beside their deliveries.
func stays(table string) bool {
	return slices.Contains([]string{"cmdb_subscriptions", "cmdb_notices", "goose_cmdb_subscriptions"}, table)
}

func moveFile(ctx context.Context, path string, was *state.DB) error {
	tables, err := tablesOf(ctx, was.Read.DB)
	if err != nil || len(tables) == 0 {
		return err
	}
	switch _, err := os.Stat(path); {
	case err == nil:
		// They are moved, and the state was not rid of them; unless an earlier
		// release has run on it since.
		if err := same(ctx, path, was); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	default:
		slog.Info("cmdb: the items move into a file of their own, once", "file", path)
		if err := copyTables(ctx, path, was, tables); err != nil {
			return err
		}
	}
	return dropTables(ctx, was, tables)
}

// tablesOf names the tables that are to be moved, with what makes them.
func tablesOf(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'cmdb\_%' ESCAPE '\' OR name LIKE 'goose\_cmdb%' ESCAPE '\') ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list the tables: %w", err)
		}
		if !stays(name) {
			out = append(out, name)
		}
	}
	return out, rows.Err()
}

// same refuses to drop tables that are not those which were moved.
func same(ctx context.Context, path string, was *state.DB) error {
	db, err := state.Open(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	var then, now int64
	if err := db.Read.DB.QueryRowContext(ctx, "SELECT version FROM cmdb_moved").Scan(&then); err != nil {
		return fmt.Errorf("%s is there already and does not say which items were moved into it: take it, or the tables cmdb_* of %s, away: %w", path, was.Path(), err)
	}
	if err := was.Read.DB.QueryRowContext(ctx, "SELECT version FROM cmdb_version WHERE id = 1").Scan(&now); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	if then != now {
		return fmt.Errorf("both hold items: an earlier release has changed those in %s since they were moved (version %d, moved at %d). Move %s away to take these, or restore a backup", was.Path(), now, then, path)
	}
	return nil
}

// copyTables makes the file, with tables, indexes and all rows as they are.
func copyTables(ctx context.Context, path string, was *state.DB, tables []string) (err error) {
	making := path + ".moving"
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(making + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	db, err := state.Open(ctx, making)
	if err != nil {
		return err
	}
	if err = fillTables(ctx, db, was, tables); err != nil {
		return errors.Join(err, db.Close())
	}
	// Closed, the write-ahead log is folded into the file.
	if err := db.Close(); err != nil {
		return err
	}
	if err := state.Check(ctx, making); err != nil {
		return err
	}
	return os.Rename(making, path)
}

func fillTables(ctx context.Context, db, was *state.DB, tables []string) error {
	conn, err := db.DB.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	run := func(what, text string, args ...any) error {
		if _, err := conn.ExecContext(ctx, text, args...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	if err := run("attach the state", "ATTACH ? AS was", was.Path()); err != nil {
		return err
	}
	if err := run("begin", "PRAGMA foreign_keys = 0; BEGIN IMMEDIATE"); err != nil {
		return err
	}
	of := "('" + strings.Join(tables, "','") + "')" // names that SQLite told, of letters and underscores
	made := func(kind string) ([]string, error) {
		rows, err := conn.QueryContext(ctx, "SELECT sql FROM was.sqlite_master WHERE type = ? AND tbl_name IN "+of+" AND sql IS NOT NULL", kind)
		if err != nil {
			return nil, fmt.Errorf("list what is to be made: %w", err)
		}
		defer rows.Close()
		var out []string
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return nil, err
			}
			out = append(out, text)
		}
		return out, rows.Err()
	}
	create, err := made("table")
	if err != nil {
		return err
	}
	for _, text := range append(create, movedTable) {
		if err := run("make a table", text); err != nil {
			return err
		}
	}
	for _, t := range tables {
		if err := run("copy "+t, "INSERT INTO main."+t+" SELECT * FROM was."+t); err != nil {
			return err
		}
	}
	// Numbers that were given once are not given again.
	if err := run("copy the sequences", "DELETE FROM main.sqlite_sequence; INSERT INTO main.sqlite_sequence SELECT * FROM was.sqlite_sequence WHERE name IN "+of); err != nil {
		return err
	}
	for _, kind := range []string{"index", "trigger", "view"} {
		list, err := made(kind)
		if err != nil {
			return err
		}
		for _, text := range list {
			if err := run("make an "+kind, text); err != nil {
				return err
			}
		}
	}
	if err := run("note the version", "INSERT INTO cmdb_moved SELECT version FROM was.cmdb_version WHERE id = 1"); err != nil {
		return err
	}
	for _, t := range tables {
		var from, to int64
		if err := conn.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM was."+t+"), (SELECT count(*) FROM main."+t+")").Scan(&from, &to); err != nil || from != to {
			return fmt.Errorf("%s: %d of %d rows came over: %w", t, to, from, err)
		}
	}
	return run("commit", "COMMIT; PRAGMA foreign_keys = 1; DETACH was")
}

// dropTables takes the tables out of the state, in one transaction.
func dropTables(ctx context.Context, was *state.DB, tables []string) error {
	conn, err := was.DB.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var text strings.Builder
	text.WriteString("BEGIN IMMEDIATE;")
	for _, t := range tables {
		text.WriteString("DROP TABLE " + t + ";")
	}
	text.WriteString("COMMIT")
	if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = 0"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, text.String())
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	}
	if _, on := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = 1"); err == nil {
		err = on
	}
	if err != nil {
		return fmt.Errorf("take the tables out of the state: %w", err)
	}
	return nil
}
