package cmdb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// Database is where the CMDB keeps its tables. Statements are the same for both
// kinds; what differs is here.
type Database struct {
	*bun.DB // writes, and reads that need not be of one moment
	// view runs fn on one moment of the tables, change in one write
	// transaction; those run one after the other, which what a plan saw to be
	// free relies on.
	view, change func(ctx context.Context, fn func(context.Context, bun.Tx) error) error
	// room gives one large change more memory for pages until it is called
	// with false.
	room    func(ctx context.Context, more bool) error
	migrate func(context.Context) error
	tables  func(ctx context.Context, name string, sqlite, postgres fs.FS) error
	spool   string // where files are made that need not stay; "" is the system's place
	close   func() error
}

// bulkCacheKiB is SQLite's page cache during a large change: a file of a hundred
// thousand items goes all over the indexes of a million, whose pages would else
// be read and written many times each.
const bulkCacheKiB = 128 << 10

// OnState keeps the tables in the suite's own state, a SQLite file.
func OnState(db *state.DB) *Database {
	return &Database{
		DB: db.DB,
		view: func(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
			return db.Read.RunInTx(ctx, nil, fn)
		},
		change: func(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
			return db.RunInTx(ctx, nil, fn)
		},
		room: func(ctx context.Context, more bool) error {
			pages := state.WriteCacheKiB
			if more {
				pages = bulkCacheKiB
			}
			_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size = -%d", pages))
			return err
		},
		migrate: func(ctx context.Context) error { return db.Migrate(ctx, "cmdb", migrations) },
		tables: func(ctx context.Context, name string, sqlite, _ fs.FS) error {
			return db.Migrate(ctx, name, sqlite)
		},
		spool: filepath.Dir(db.Path()),
		close: func() error { return nil }, // the state is its owner's
	}
}

// postgresConnections is how many connections the CMDB holds at most.
const postgresConnections = 8

// postgresConnect is how long a connection may take to come about where the URL
// does not say.
const postgresConnect = 10 * time.Second

// Away tells whether an error says that PostgreSQL could not be asked: it is
// down, cannot be reached, or is being restarted.
func Away(err error) bool {
	var connect *pgconn.ConnectError
	var server *pgconn.PgError
	if errors.As(err, &server) {
		// Class 08 is connections, 57P administrators' shutdowns, 53300 too
		// many connections.
		return strings.HasPrefix(server.Code, "08") || strings.HasPrefix(server.Code, "57P") || server.Code == "53300"
	}
	return errors.As(err, &connect)
}

// byKeys has PostgreSQL go by the indexes in a write transaction. All that a
// write looks up has keys, but of tables that it fills itself the server knows
// no statistics yet, and would read them whole for each few hundred rows.
const byKeys = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "

// OpenPostgres keeps the tables in a PostgreSQL database, 14 or newer. url is a
// connection string as libpq reads it, such as
// postgres://icewatch@db.example/cmdb; its search_path decides the schema. The
// server is asked once; the error does not repeat the password.
func OpenPostgres(ctx context.Context, url string) (*Database, error) {
	conf, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("cmdb: PostgreSQL: %w", err)
	}
	if conf.ConnectTimeout == 0 {
		conf.ConnectTimeout = postgresConnect
	}
	// Statements carry their values, escaped, as they do for SQLite: preparing
	// each would fill the server's memory with texts that never come again.
	conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conf.RuntimeParams["standard_conforming_strings"] = "on"
	pool := stdlib.OpenDB(*conf)
	pool.SetMaxOpenConns(postgresConnections)
	pool.SetMaxIdleConns(postgresConnections)
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("cmdb: PostgreSQL at %s:%d, database %q as %q: %w", conf.Host, conf.Port, conf.Database, conf.User, err)
	}
	db := bun.NewDB(pool, pgdialect.New())
	return &Database{
		DB: db,
		view: func(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
			return db.RunInTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, fn)
		},
		change: func(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
			return db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
				if _, err := tx.ExecContext(ctx, byKeys+"SELECT version FROM cmdb_version WHERE id = 1 FOR UPDATE"); err != nil {
					return fmt.Errorf("cmdb: wait for other writers: %w", err)
				}
				return fn(ctx, tx)
			})
		},
		room:    func(context.Context, bool) error { return nil }, // the server has its own
		migrate: func(ctx context.Context) error { return migratePostgres(ctx, pool, "cmdb", postgresMigrations) },
		tables: func(ctx context.Context, name string, _, postgres fs.FS) error {
			return migratePostgres(ctx, pool, name, postgres)
		},
		close: db.Close,
	}, nil
}

// Close gives back what OpenPostgres took.
func (db *Database) Close() error { return db.close() }

// View runs fn on one moment of the tables.
func (db *Database) View(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	return db.view(ctx, fn)
}

// Change runs fn in a write transaction. Those run one after the other.
func (db *Database) Change(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	return db.change(ctx, fn)
}

// Migrate brings the tables of a room beside the CMDB up to date. name is the
// room's; its steps lie in the directory migrations of sqlite and in the
// directory postgres of postgres, by which of the two the database is.
func (db *Database) Migrate(ctx context.Context, name string, sqlite, postgres fs.FS) error {
	return db.tables(ctx, name, sqlite, postgres)
}

func migratePostgres(ctx context.Context, pool *sql.DB, name string, from fs.FS) error {
	files, err := fs.Sub(from, "postgres")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, pool, files, goose.WithTableName("goose_"+name), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("PostgreSQL: read the version of the tables: %w", err)
	}
	if current > target {
		return fmt.Errorf("PostgreSQL: the tables are at version %d, this release knows up to %d: start the newer release", current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("PostgreSQL: move the tables from version %d to %d: %w", current, target, err)
	}
	return nil
}
