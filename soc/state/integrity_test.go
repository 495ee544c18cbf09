package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun"
)

// written is a database of some size, closed.
func written(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE)"); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO things (name) VALUES (?)", fmt.Sprintf("thing %d %s", i, strings.Repeat("x", 100))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestADamagedDatabaseIsRefused harms the file: it is not opened, not changed,
// and the error says what to do.
func TestADamagedDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func([]byte) []byte{
		"cut":             func(b []byte) []byte { return b[:len(b)/2] },
		"no head":         func(b []byte) []byte { clear(b[:100]); return b },
		"a page of zeros": func(b []byte) []byte { clear(b[8192:12288]); return b },
		"garbage inside":  func(b []byte) []byte { copy(b[20480:], strings.Repeat("\xa5\x5a", 2048)); return b },
		"another file":    func(b []byte) []byte { return []byte(strings.Repeat("this is no database\n", 500)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := written(t)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			harmed := harm(raw)
			if err := os.WriteFile(path, harmed, 0o600); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), path)
			if err == nil {
				db.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "Restore the last backup") || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(harmed) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// TestATornLogLosesOnlyWhatWasNotCommitted cuts the write-ahead log, as a
// power cut may leave it: what was checkpointed is there.
func TestATornLogLosesOnlyWhatWasNotCommitted(t *testing.T) {
	t.Parallel()
	path := written(t)
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "torn"} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO things (name) VALUES (?)", name); err != nil {
			t.Fatal(err)
		}
	}
	// A copy of a running database is what a crash leaves.
	copied := filepath.Join(t.TempDir(), "s.db")
	for _, end := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + end)
		if err != nil {
			t.Fatal(err)
		}
		if end == "-wal" {
			raw = raw[:len(raw)-2000]
		}
		if err := os.WriteFile(copied+end, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	again, err := Open(t.Context(), copied)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var names []string
	if err := again.NewSelect().Table("things").Column("name").Where("name IN (?)", bun.In([]string{"kept", "torn"})).Scan(t.Context(), &names); err != nil || len(names) != 1 || names[0] != "kept" {
		t.Fatalf("%v %v", names, err)
	}
}

func TestFaultSpeaksOfDisksOnly(t *testing.T) {
	t.Parallel()
	if Fault(nil) != "" || Fault(errors.New("no space left on device")) != "" {
		t.Fatal("an error of another kind is a fault of the state")
	}
	path := written(t)
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA max_page_count=1"); err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "CREATE TABLE more AS SELECT * FROM things")
	if err == nil || !strings.Contains(Fault(err), "full") {
		t.Fatalf("%v: %q", err, Fault(err))
	}
}
