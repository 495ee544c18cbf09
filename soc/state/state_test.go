package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/uptrace/bun"
)

var counterMigrations = fstest.MapFS{
	"migrations/00001_counter.sql": {Data: []byte(`-- +goose Up
CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE marks (counter TEXT NOT NULL REFERENCES counters(name));
-- +goose Down
DROP TABLE marks;
DROP TABLE counters;
`)},
}

type counter struct {
	bun.BaseModel `bun:"table:counters"`
	Name          string `bun:"name,pk"`
	N             int64  `bun:"n"`
}

func openTest(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "state", "icewatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context(), "counter", counterMigrations); err != nil {
		t.Fatal(err)
	}
	return db
}

// The purpose of the room: no concurrent writer ever sees SQLITE_BUSY and no
// increment is lost, while readers go on.
func TestConcurrentWritesNeverFail(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	ctx := t.Context()
	if _, err := db.NewInsert().Model(&counter{Name: "c"}).Exec(ctx); err != nil {
		t.Fatal(err)
	}
	const writers, rounds = 16, 25
	var wg sync.WaitGroup
	errs := make(chan error, 2*writers)
	for range writers {
		wg.Go(func() {
			for range rounds {
				err := db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
					var c counter
					if err := tx.NewSelect().Model(&c).Where("name = ?", "c").Scan(ctx); err != nil {
						return err
					}
					c.N++
					_, err := tx.NewUpdate().Model(&c).WherePK().Exec(ctx)
					return err
				})
				if err != nil {
					errs <- fmt.Errorf("write: %w", err)
					return
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				var c counter
				if err := db.NewSelect().Model(&c).Where("name = ?", "c").Scan(ctx); err != nil {
					errs <- fmt.Errorf("read: %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	var c counter
	if err := db.NewSelect().Model(&c).Where("name = ?", "c").Scan(ctx); err != nil {
		t.Fatal(err)
	}
	if c.N != writers*rounds {
		t.Errorf("counter is %d, want %d", c.N, writers*rounds)
	}
}

func TestReadsGoOnBesideAnOpenTransaction(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	err := db.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(&counter{Name: "open"}).Exec(ctx); err != nil {
			return err
		}
		n, err := db.NewSelect().Model((*counter)(nil)).Count(ctx)
		if err != nil || n != 0 {
			return fmt.Errorf("outside the transaction: %d rows, %v; want 0", n, err)
		}
		if err := db.RunInTx(ctx, nil, func(context.Context, bun.Tx) error { return nil }); !errors.Is(err, ErrNestedTx) {
			return fmt.Errorf("nested RunInTx: %v, want ErrNestedTx", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	f := func(pragma, want string) {
		t.Helper()
		var got string
		if err := db.DB.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s is %q (%v), want %q", pragma, got, err, want)
		}
	}
	f("journal_mode", "wal")
	f("synchronous", "2")
	f("foreign_keys", "1")
	f("busy_timeout", "10000")
	f("cache_size", fmt.Sprintf("-%d", WriteCacheKiB))

	if _, err := db.Read.ExecContext(t.Context(), "DELETE FROM counters"); err == nil {
		t.Error("the read pool took a write")
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO marks VALUES ('none')"); err == nil {
		t.Error("a reference to nothing was taken")
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(db.Path() + suffix)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v (%v), want 0600", db.Path()+suffix, st.Mode(), err)
		}
	}
	st, err := os.Stat(filepath.Dir(db.Path()))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: mode %v (%v), want 0700", st.Mode(), err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("this is no database\n", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	f := func(path, want string) {
		t.Helper()
		db, err := Open(t.Context(), path)
		if err == nil {
			db.Close()
			t.Fatalf("%s: opened, want an error", path)
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %q, want the path and %q", path, err, want)
		}
	}
	f(text, "not a database")
	f(dir, "is a directory")
	f(filepath.Join(text, "below.db"), "not a directory")
}

func TestOddPathsAndReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a ?b=1#数据 %20.db")
	for i := range 3 {
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), "counter", counterMigrations); err != nil {
			t.Fatal(err)
		}
		if _, err := db.NewInsert().Model(&counter{Name: fmt.Sprint(i)}).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := db.NewSelect().Model((*counter)(nil)).Count(t.Context())
		if err != nil || int(n) != i+1 {
			t.Fatalf("open %d: %d rows (%v), want %d", i, n, err, i+1)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	ctx := t.Context()
	// A second room with the same version numbers has a version of its own.
	other := fstest.MapFS{"00001_other.sql": {Data: []byte("-- +goose Up\nCREATE TABLE other (a INTEGER);\n")}}
	if err := db.Migrate(ctx, "other", other); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO other VALUES (1)"); err != nil {
		t.Error(err)
	}

	f := func(name string, files fstest.MapFS, want string) {
		t.Helper()
		err := db.Migrate(ctx, name, files)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("migrate %q: %v, want %q", name, err, want)
		}
	}
	f("Bad name", other, "must match")
	f("empty", fstest.MapFS{}, "no migrations")
	f("wrong", fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABEL x;\n")}}, "syntax error")
	// A failed migration leaves nothing behind and may be tried again.
	if err := db.Migrate(ctx, "wrong", fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE x (a);\n")}}); err != nil {
		t.Error(err)
	}
	// An older release meets the data of a newer one.
	newer := fstest.MapFS{
		"00001_other.sql": other["00001_other.sql"],
		"00002_more.sql":  {Data: []byte("-- +goose Up\nALTER TABLE other ADD COLUMN b INTEGER;\n")},
	}
	if err := db.Migrate(ctx, "other", newer); err != nil {
		t.Fatal(err)
	}
	f("other", other, "at version 2, this release knows up to 1")
}
