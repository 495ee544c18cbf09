package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"

	"modernc.org/sqlite"
)

// copyPages is how many pages CopyTo copies before it looks whether it may go
// on: at 4 KiB a page, 64 MiB.
const copyPages = 16 << 10

// CopyTo writes the state as it stands at one moment to a new SQLite file; see
// Copy.
func (db *DB) CopyTo(ctx context.Context, path string) error { return Copy(ctx, db.path, path) }

// Copy writes a SQLite file as it stands at one moment to a new one, page by
// page, while its readers and writers, in this process and others, go on. The
// copy is checked; one that fails is an error that says what SQLite found.
func Copy(ctx context.Context, from, path string) error {
	from, err := filepath.Abs(from)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return fmt.Errorf("state: copy: %w", err)
	}
	if err := prepareFile(path); err != nil {
		return err
	}
	// A connection of its own: no pool has one to spare for so long.
	pool, err := sql.Open("sqlite", dsn(from, "rw", fmt.Sprintf("cache_size(-%d)", readCacheKiB)))
	if err != nil {
		return fmt.Errorf("state: open %s for a copy: %w", from, err)
	}
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("state: open %s for a copy: %w", from, err)
	}
	defer conn.Close()
	// Within a read transaction the pages stay as they are: without it each
	// write of others would make the copy begin anew.
	if _, err := conn.ExecContext(ctx, "BEGIN DEFERRED; SELECT count(*) FROM sqlite_master"); err != nil {
		return fmt.Errorf("state: read %s for a copy: %w", from, err)
	}
	err = conn.Raw(func(c any) error { return copyPagesTo(ctx, c.(driver.Conn), path) })
	if _, end := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err == nil {
		err = end
	}
	if err != nil {
		return fmt.Errorf("state: copy %s to %s: %w", from, path, err)
	}
	return Check(ctx, path)
}

func copyPagesTo(ctx context.Context, c driver.Conn, path string) error {
	source, ok := c.(interface {
		NewBackup(dst string) (*sqlite.Backup, error)
	})
	if !ok {
		return fmt.Errorf("the driver's connection %T cannot be copied", c)
	}
	b, err := source.NewBackup(path)
	if err != nil {
		return err
	}
	for more := true; more && err == nil; {
		if err = ctx.Err(); err == nil {
			more, err = b.Step(copyPages)
		}
	}
	if end := b.Finish(); err == nil {
		err = end
	}
	return err
}

// Check has SQLite read a file that nobody else uses, and returns an error
// that says what is wrong with it.
func Check(ctx context.Context, path string) error {
	pool, err := sql.Open("sqlite", dsn(path, "rw"))
	if err != nil {
		return fmt.Errorf("state: check %s: %w", path, err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	var found string
	if err := pool.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return fmt.Errorf("state: check %s: %w", path, err)
	}
	if found != "ok" {
		return fmt.Errorf("state: check %s: the database is damaged: %s", path, found)
	}
	return nil
}
