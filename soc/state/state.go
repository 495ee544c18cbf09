// Package state is the room of relational state: one SQLite file that holds
// what must survive a crash at once (users, tenants, items, alerts, incidents).
// It opens the file safely, gives every room its own migrations, and makes
// concurrent use safe: reads run side by side, writes queue for one connection,
// so that no caller ever has to handle "database is locked".
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the "sqlite" driver of database/sql
)

const (
	// readers is the size of the read pool. With the caches it bounds the
	// memory of the room: 4 × 2 + 32 MiB when all are full.
	readers = 4
	// readCacheKiB and WriteCacheKiB are the page cache of one connection in
	// KiB. The writer's is larger, so that an import of many rows does not
	// spill half-filled pages, and that what alerts are found by is not read again
	// and again while many are raised. It takes memory as it is filled.
	readCacheKiB  = 2048
	WriteCacheKiB = 32768
	// busyTimeout covers writers outside this process, such as the sqlite3
	// shell; inside it the single write connection leaves nothing to wait for.
	busyTimeout = 10 * time.Second
	// journalLimit is the size in bytes a write-ahead log is cut back to, and
	// checkpointPages how many pages of it are gathered before they are copied
	// into the file, 48 MiB: pages of indexes that one transaction after the other
	// writes are copied once.
	journalLimit    = 64 << 20
	checkpointPages = 12288
)

// ErrNestedTx is returned by RunInTx when it is called with the context of a
// transaction that is still open. With one write connection that call could
// only wait for itself.
var ErrNestedTx = errors.New("state: RunInTx inside RunInTx: use the transaction at hand")

// DB is the opened state. The embedded bun.DB sends SELECT queries built with
// NewSelect to a pool of read-only connections and everything else (inserts,
// updates, deletes, raw queries, transactions) to the one write connection.
// Inside a transaction use the bun.Tx for reads and writes alike: a write on
// the DB would wait for the transaction to end.
type DB struct {
	*bun.DB
	// Read is the read-only pool, for raw queries and long reads. It sees
	// what is committed; a write through it fails.
	Read *bun.DB

	path string
}

// Open opens or creates the SQLite file at path: write-ahead log, every commit
// fsynced (synchronous=FULL), foreign keys enforced, file mode 0600. Missing
// folders are made with mode 0700. The errors name the path.
func Open(ctx context.Context, path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("state: find the absolute path of %q: %w", path, err)
	}
	if err := prepareFile(abs); err != nil {
		return nil, err
	}

	writeSQL, err := open(dsn(abs, "rwc",
		fmt.Sprintf("cache_size(-%d)", WriteCacheKiB),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", fmt.Sprintf("journal_size_limit(%d)", journalLimit), fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages)))
	if err != nil {
		return nil, fmt.Errorf("state: open %s: %w", abs, err)
	}
	writeSQL.SetMaxOpenConns(1)
	writeSQL.SetMaxIdleConns(1)

	readSQL, err := open(dsn(abs, "rw", fmt.Sprintf("cache_size(-%d)", readCacheKiB), "query_only(1)", "foreign_keys(1)"))
	if err != nil {
		writeSQL.Close()
		return nil, fmt.Errorf("state: open %s for reading: %w", abs, err)
	}
	readSQL.SetMaxOpenConns(readers)
	readSQL.SetMaxIdleConns(readers)
	readSQL.SetConnMaxIdleTime(time.Minute)

	db := &DB{path: abs}
	db.Read = bun.NewDB(readSQL, dialect{sqlitedialect.New()})
	db.DB = bun.NewDB(writeSQL, dialect{sqlitedialect.New()}, bun.WithConnResolver(selectsTo{readSQL}))

	// The first query is what really opens the file and sets its mode, so a
	// file that is no database or a full disk shows here and not later.
	var mode string
	if err := writeSQL.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		db.Close()
		return nil, explain(abs, err)
	}
	if mode != "wal" {
		db.Close()
		return nil, fmt.Errorf("state: open %s: journal mode is %q, want \"wal\": the file system must support shared memory (no network share)", abs, mode)
	}
	var n int
	if err := readSQL.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&n); err != nil {
		db.Close()
		return nil, explain(abs, err)
	}
	if err := check(ctx, readSQL, abs); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

// Path returns the absolute path of the file.
func (db *DB) Path() string { return db.path }

// Close closes both pools. The last connection folds the write-ahead log into
// the file.
func (db *DB) Close() error {
	// Readers first: only the last connection to close may checkpoint, and
	// a read-only one cannot.
	err := errors.Join(db.Read.Close(), db.DB.Close())
	if err != nil {
		return fmt.Errorf("state: close %s: %w", db.path, err)
	}
	return nil
}

type txKey struct{}

// RunInTx runs fn in one write transaction and commits it where fn returns
// nil. Transactions run one after the other; each begins with the write lock,
// so that it never fails half-way because another one was faster. fn must hand
// its ctx on; a RunInTx below it returns ErrNestedTx instead of waiting for
// itself for ever.
func (db *DB) RunInTx(ctx context.Context, opts *sql.TxOptions, fn func(ctx context.Context, tx bun.Tx) error) error {
	if ctx.Value(txKey{}) == db {
		return ErrNestedTx
	}
	ctx = context.WithValue(ctx, txKey{}, db)
	return db.DB.RunInTx(ctx, opts, fn)
}

// selectsTo is the bun.ConnResolver that sends SELECT queries to the read pool.
type selectsTo struct{ read *sql.DB }

// ResolveConn implements bun.ConnResolver; nil means the write connection.
func (r selectsTo) ResolveConn(_ context.Context, q bun.Query) bun.IConn {
	if _, ok := q.(*bun.SelectQuery); ok {
		return r.read
	}
	return nil
}

// Close implements bun.ConnResolver. The pool is closed by DB.Close.
func (r selectsTo) Close() error { return nil }

// prepareFile makes the folder and the file with modes that keep others out.
// SQLite gives its -wal and -shm files the mode of the database file.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("state: make the folder of %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("state: open %s: %w", path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("state: stat %s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("state: open %s: it is a %s, want a regular file", path, st.Mode().Type())
	}
	if st.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return fmt.Errorf("state: take others' rights off %s (mode %o): %w", path, st.Mode().Perm(), err)
		}
	}
	return nil
}

// dsn builds the driver's data source name. The path is URL-escaped, since
// '?', '#' and '%' are legal in file names.
func dsn(path, mode string, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_txlock": {"immediate"}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "mmap_size(0)")
	// What a statement sets aside to undo itself, and what it sorts, is small:
	// it need not go through a file, which the pure-Go driver makes dear.
	q.Add("_pragma", "temp_store(MEMORY)")
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	if mode == "rw" {
		// A transaction of the read pool must not ask for the write lock.
		q.Set("_txlock", "deferred")
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}
