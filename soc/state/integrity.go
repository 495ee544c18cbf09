package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrDamaged says that the file is no database any more, or not a whole one.
var ErrDamaged = errors.New("state: the database is damaged")

// checkTime bounds the look over the whole file at a start. A gigabyte takes
// about a second from a disk of today.
const checkTime = 30 * time.Second

// check looks over the whole file, so that damage is told of at the start and
// nothing is built upon it. A file too large for the time is taken as good.
func check(ctx context.Context, db *sql.DB, path string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	rows, err := db.QueryContext(ctx, "PRAGMA quick_check(5)")
	if err == nil {
		defer rows.Close()
		var faults []string
		for rows.Next() {
			var line string
			if err = rows.Scan(&line); err != nil {
				break
			}
			if line != "ok" {
				faults = append(faults, line)
			}
		}
		if err == nil {
			err = rows.Err()
		}
		if len(faults) > 0 {
			return damaged(path, errors.New(strings.Join(faults, "; ")))
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return explain(path, err)
	}
	return nil
}

// explain says what to do about an error that the file itself caused.
func explain(path string, err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return damaged(path, err)
	}
	return fmt.Errorf("state: open %s: %w", path, err)
}

func damaged(path string, err error) error {
	return fmt.Errorf("%w: %s: %w. Nothing was changed. Restore the last backup of it (`icewatch restore`), or copy what can be read with `sqlite3 %s .recover` into a new file; keep the damaged one and its -wal for that",
		ErrDamaged, path, err, path)
}

// code is SQLite's primary result code of an error, 0 where it has none.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// Fault tells what is wrong with the disk or the file where that is why
// something could not be read or written; "" where it is not.
func Fault(err error) string {
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return "the disk of the suite's state is full: free space, then try again"
	case sqlite3.SQLITE_READONLY:
		return "the disk of the suite's state is read-only: look at the disk and how it is mounted"
	case sqlite3.SQLITE_IOERR:
		return "the disk of the suite's state is full or fails: look at the server's log"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "the suite's state is damaged: stop the suite and restore a backup"
	}
	return ""
}
