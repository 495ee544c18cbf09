package cmdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

// fileWorld is a state, and beside it the file in which the items are.
type fileWorld struct {
	t     *testing.T
	dir   string
	state *state.DB
}

func newFileWorld(t *testing.T, dir string) *fileWorld {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(dir, "icewatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &fileWorld{t, dir, db}
}

func (w *fileWorld) path() string { return filepath.Join(w.dir, "cmdb.db") }

func (w *fileWorld) open(db *Database) *Service {
	w.t.Helper()
	tenants, err := tenancy.Open(w.t.Context(), w.state, catalogue("a"))
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := Open(w.t.Context(), db, tenants)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

// file opens the CMDB in its file.
func (w *fileWorld) file() *Service {
	w.t.Helper()
	db, err := OpenFile(w.t.Context(), w.path(), w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	return w.open(db)
}

func (w *fileWorld) left() int {
	w.t.Helper()
	left, err := tablesOf(w.t.Context(), w.state.Read.DB)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(left)
}

// TestMove: items that an earlier release kept in the state move into a file of
// their own with history, relations and the numbers that were given; what was
// interrupted goes on; what an earlier release changed since is not lost.
func TestMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newFileWorld(t, dir)
	before := w.open(OnState(w.state))
	mustImport(t, before, CSV, "class,id,name,tenant,system\nbusiness_system,shop,Shop,a,\nhost,web,web,a,shop\nhost,old,old,a,\n")
	if err := before.Delete(t.Context(), reach.All(), "li", "old"); err != nil {
		t.Fatal(err)
	}
	history := func(s *Service) string {
		t.Helper()
		list, err := s.History(t.Context(), reach.All(), "web", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	told := history(before)
	before.Close()

	if _, err := w.state.ExecContext(t.Context(), "CREATE TABLE cmdb_notices (id INTEGER); CREATE TABLE others (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	tables, err := tablesOf(t.Context(), w.state.Read.DB)
	if err != nil || len(tables) < 10 {
		t.Fatal(tables, err)
	}
	// Interrupted before the state was rid of them, with half a file of a try before.
	if err := os.WriteFile(w.path()+".moving", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyTables(t.Context(), w.path(), w.state, tables); err != nil {
		t.Fatal(err)
	}
	if w.left() == 0 {
		t.Fatal("the tables are gone before the file is opened")
	}
	after := w.file()
	if n := w.left(); n != 0 {
		t.Errorf("%d tables are left in the state", n)
	}
	var kept int
	if err := w.state.Read.DB.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_master WHERE name IN ('cmdb_notices', 'others')").Scan(&kept); err != nil || kept != 2 {
		t.Errorf("of the state's own tables %d of 2 stay: %v", kept, err)
	}
	if got := history(after); got != told {
		t.Errorf("history: %s, was %s", got, told)
	}
	it, err := after.Get(t.Context(), reach.All(), "web")
	if err != nil || it.System != "shop" {
		t.Errorf("%+v, %v", it, err)
	}
	// The number of what was deleted is not given again.
	mustImport(t, after, CSV, "class,id,name,tenant\nhost,new,new,a\n")
	fresh, err := after.Get(t.Context(), reach.All(), "new")
	if err != nil || fresh.seq <= it.seq+1 {
		t.Errorf("the new item has number %d, %v", fresh.seq, err)
	}
	after.Close()
	if again := w.file(); again.Model() == nil {
		t.Error("opened once more it has no model")
	}

	// An earlier release runs on the state once more and changes items there.
	back := w.open(OnState(w.state))
	mustImport(t, back, CSV, "class,id,name,tenant\nhost,late,late,a\n")
	if _, err := OpenFile(t.Context(), w.path(), w.state); err == nil || !strings.Contains(err.Error(), "both hold items") {
		t.Errorf("items of two places: %v", err)
	}
	if w.left() == 0 {
		t.Error("the later items are gone")
	}
}

// TestWritersGoOn: whoever writes into the state, as incidents do, does not wait
// for an import.
func TestWritersGoOn(t *testing.T) {
	t.Parallel()
	w := newFileWorld(t, t.TempDir())
	s := w.file()
	if _, err := w.state.ExecContext(t.Context(), "CREATE TABLE incidents (id INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	var longest atomic.Int64
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			began := time.Now()
			if _, err := w.state.ExecContext(t.Context(), "INSERT INTO incidents DEFAULT VALUES"); err != nil {
				t.Error(err)
				return
			}
			longest.Store(max(longest.Load(), int64(time.Since(began))))
			time.Sleep(2 * time.Millisecond)
		}
	}()
	began := time.Now()
	mustImport(t, s, CSV, bigLedger(importRows))
	took := time.Since(began)
	close(done)
	<-stopped
	t.Logf("an import of %d rows took %v; the longest wait of a writer was %v", importRows, took, time.Duration(longest.Load()))
	if wait := time.Duration(longest.Load()); took > 2*time.Second && wait > took/2 {
		t.Errorf("a writer waited %v of the %v that the import took", wait, took)
	}
}

// importRows is how many rows TestWritersGoOn imports; ICEWATCH_IMPORT_ROWS says
// otherwise.
var importRows = func() int {
	n := 20_000
	fmt.Sscan(os.Getenv("ICEWATCH_IMPORT_ROWS"), &n)
	return n
}()
