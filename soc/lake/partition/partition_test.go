package partition

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

func TestSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a", 100_000)
	write("b/c", 50_000)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b", "a again")); err != nil {
		t.Fatal(err)
	}
	if n, err := Size(dir); err != nil || n < 150_000 || n > 170_000 {
		t.Errorf("%d bytes, %v; want 150,000 and the rest of a block or two: a hard link counts once", n, err)
	}
	if n, err := Size(filepath.Join(dir, "none")); err != nil || n != 0 {
		t.Errorf("a folder that is not there holds %d, %v", n, err)
	}
}

// TestClear drops days of a store of the lake's library, which then opens
// without them.
func TestClear(t *testing.T) {
	engine := t.TempDir()
	lake := filepath.Join(engine, "lake")
	store := filepath.Join(lake, "standard")
	if err := os.MkdirAll(lake, 0o700); err != nil {
		t.Fatal(err)
	}
	open := func() *logstorage.Storage {
		return logstorage.MustOpenStorage(store, &logstorage.StorageConfig{Retention: 30 * 24 * time.Hour, FlushInterval: time.Second})
	}
	rows := func(s *logstorage.Storage) uint64 {
		var st logstorage.StorageStats
		s.UpdateStats(&st)
		return st.RowsCount()
	}
	s := open()
	lr := logstorage.GetLogRows(nil, nil, nil, nil, "")
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for ago := range 5 {
		for range ago + 1 {
			lr.MustAdd(logstorage.TenantID{AccountID: 1}, today.AddDate(0, 0, -ago).UnixNano(), []logstorage.Field{{Name: "_msg", Value: "x"}}, nil)
		}
	}
	s.MustAddRows(lr)
	s.MustClose()

	list, err := List(lake)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 5 || list[0].Class != "standard" || list[0].Day != today.AddDate(0, 0, -4).Format(time.DateOnly) || list[0].Rows != 5 || list[0].Bytes <= 0 || list[4].Rows != 1 {
		t.Fatalf("partitions %+v", list)
	}
	if got := Classes(lake); !slices.Equal(got, []string{"standard"}) {
		t.Errorf("classes %q", got)
	}
	if gone, err := Clear(engine, lake); err != nil || gone != nil {
		t.Fatalf("without an order %v went, %v", gone, err)
	}
	order := append(slices.Clone(list[:2]), Partition{Class: "standard", Day: "2001-01-01"}, Partition{Class: "../x", Day: list[2].Day})
	if err := OrderClear(engine, order); err != nil || !ClearOrdered(engine) {
		t.Fatal(err)
	}
	// A crash left one behind, half done.
	if err := os.MkdirAll(filepath.Join(store, "20200101"+goneSuffix, "datadb"), 0o700); err != nil {
		t.Fatal(err)
	}
	gone, err := Clear(engine, lake)
	if err == nil || !strings.Contains(err.Error(), "no partition") {
		t.Errorf("a path out of the lake: %v", err)
	}
	if len(gone) != 2 || ClearOrdered(engine) {
		t.Errorf("gone %+v", gone)
	}
	if left, _ := filepath.Glob(filepath.Join(store, "*"+goneSuffix)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s = open()
	defer s.MustClose()
	if n := rows(s); n != 1+2+3 {
		t.Errorf("%d rows are left, want those of the three newest days", n)
	}
	if err := os.WriteFile(filepath.Join(engine, clearingFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Clear(engine, lake); err == nil || ClearOrdered(engine) {
		t.Errorf("a damaged order: %v", err)
	}
}
