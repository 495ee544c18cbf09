package state

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"
)

// TestCopyIsOneMoment copies while a writer keeps two rows equal: in the copy
// they must be.
func TestCopyIsOneMoment(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE bulk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20000) SELECT i, hex(randomblob(200)) AS text FROM n"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.NewInsert().Model(&[]counter{{Name: "a"}, {Name: "b"}}).Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var writes atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if _, err := db.ExecContext(t.Context(), "UPDATE counters SET n = n + 1"); err != nil {
				t.Error(err)
				return
			}
			writes.Add(1)
		}
	})
	defer wg.Wait()
	defer stop.Store(true)
	dir := t.TempDir()
	for i := range 5 {
		path := filepath.Join(dir, string(rune('a'+i)), "copy.db")
		before := writes.Load()
		if err := db.CopyTo(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		at, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var list []counter
		if err := at.NewSelect().Model(&list).Scan(t.Context()); err != nil || len(list) != 2 {
			t.Fatalf("%v, %v", list, err)
		}
		if list[0].N != list[1].N || list[0].N < before {
			t.Errorf("the copy holds %d and %d after %d writes", list[0].N, list[1].N, before)
		}
		n, err := at.NewSelect().Model((*bulkRow)(nil)).Count(t.Context())
		if err != nil || n != 20000 {
			t.Errorf("%d rows, %v", n, err)
		}
		if err := at.Close(); err != nil {
			t.Error(err)
		}
	}
}

type bulkRow struct {
	bun.BaseModel `bun:"table:bulk"`
	I             int64 `bun:"i"`
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE bulk AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) SELECT i, hex(randomblob(200)) AS text FROM n"); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := db.CopyTo(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 64<<10), 100<<10); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v", err)
	}
}
