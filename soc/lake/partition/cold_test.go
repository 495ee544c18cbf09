package partition

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// world is a lake of one class with a cold folder.
type world struct {
	t *testing.T
	Cold
	store string
	today time.Time
	n     int // rows added
}

func newWorld(t *testing.T) *world {
	t.Helper()
	engine := t.TempDir()
	w := &world{t: t, Cold: Cold{Dir: filepath.Join(t.TempDir(), "cold"), Engine: engine, Lake: filepath.Join(engine, "lake")}, today: time.Now().UTC().Truncate(24 * time.Hour)}
	w.store = filepath.Join(w.Lake, "standard")
	if err := os.MkdirAll(w.Lake, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Claim(); err != nil {
		t.Fatal(err)
	}
	return w
}

// with opens the lake's library.
func (w *world) with(f func(*logstorage.Storage)) {
	w.t.Helper()
	s := logstorage.MustOpenStorage(w.store, &logstorage.StorageConfig{Retention: 30 * 24 * time.Hour, FlushInterval: time.Second})
	defer s.MustClose()
	f(s)
}

// add adds rows of a day, each in a stream of its own.
func (w *world) add(s *logstorage.Storage, ago, rows int) {
	lr := logstorage.GetLogRows(nil, nil, nil, nil, "")
	defer logstorage.PutLogRows(lr)
	for range rows {
		w.n++
		f := []logstorage.Field{{Name: "n", Value: fmt.Sprint(w.n)}}
		lr.MustAdd(logstorage.TenantID{AccountID: 1}, w.today.AddDate(0, 0, -ago).Add(time.Duration(w.n)*time.Second).UnixNano(), f, f)
	}
	s.MustAddRows(lr)
	s.DebugFlush()
}

// rows counts what a query by streams finds, each row once.
func (w *world) rows() int {
	w.t.Helper()
	var mu sync.Mutex // blocks come from several goroutines
	found := map[string]int{}
	w.with(func(s *logstorage.Storage) {
		q, err := logstorage.ParseQuery(`{n!=""} | fields n`)
		if err != nil {
			w.t.Fatal(err)
		}
		err = s.RunQuery(w.t.Context(), []logstorage.TenantID{{AccountID: 1}}, q, func(_ uint, db *logstorage.DataBlock) {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range db.Columns {
				for _, v := range c.Values {
					found[strings.Clone(v)]++
				}
			}
		})
		if err != nil {
			w.t.Fatal(err)
		}
	})
	for n, times := range found {
		if times != 1 {
			w.t.Errorf("row %s is there %d times", n, times)
		}
	}
	return len(found)
}

func (w *world) day(ago int) Partition {
	return Partition{Class: "standard", Day: w.today.AddDate(0, 0, -ago).Format(time.DateOnly)}
}

// settle does what a start of the engine does.
func (w *world) settle() Settled {
	w.t.Helper()
	if _, err := Clear(w.Engine, w.Lake); err != nil {
		w.t.Fatal(err)
	}
	s, err := w.Settle(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// cool moves days while the lake is open, as far as that goes.
func (w *world) cool(days ...Partition) {
	w.t.Helper()
	w.with(func(*logstorage.Storage) {
		for _, p := range days {
			if err := w.Copy(w.t.Context(), p); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := w.Order(days); err != nil || !w.Ordered() {
			w.t.Fatal(err)
		}
	})
	if s := w.settle(); len(s.Moved) != len(days) || len(s.Away) > 0 || w.Ordered() {
		w.t.Fatalf("%+v", s)
	}
}

func (w *world) want(rows int, when string) {
	w.t.Helper()
	if n := w.rows(); n != rows {
		w.t.Errorf("%s: %d rows, want %d", when, n, rows)
	}
}

func (w *world) isCold(ago int) bool {
	w.t.Helper()
	list, err := List(w.Lake)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range list {
		if p.Class == "standard" && p.Day == w.day(ago).Day {
			if p.Rows == 0 || p.Bytes == 0 {
				w.t.Errorf("%+v", p)
			}
			return p.Cold
		}
	}
	w.t.Fatalf("there is no day %d days ago", ago)
	return false
}

func TestOldDaysMoveToTheColdFolder(t *testing.T) {
	w := newWorld(t)
	w.with(func(s *logstorage.Storage) {
		for ago := range 5 {
			w.add(s, ago, ago+1)
		}
	})
	w.cool(w.day(4), w.day(3))
	w.want(15, "two days are cold")
	if !w.isCold(4) || !w.isCold(3) || w.isCold(2) {
		t.Error("the wrong days are cold")
	}
	if left, _ := filepath.Glob(filepath.Join(w.store, "*.*")); len(left) != 0 && filepath.Base(left[0]) != "flock.lock" {
		t.Errorf("left behind: %q", left)
	}
	// What comes late goes to where its day is.
	w.with(func(s *logstorage.Storage) { w.add(s, 4, 3) })
	w.want(18, "late rows")

	// The cold disk is not mounted: the rest is there, and takes late rows.
	if err := os.Rename(w.Dir, w.Dir+"x"); err != nil {
		t.Fatal(err)
	}
	if s := w.settle(); len(s.Away) != 2 {
		t.Fatalf("%+v", s)
	}
	w.want(6, "without the cold disk")
	w.with(func(s *logstorage.Storage) { w.add(s, 4, 2) })
	if s := w.settle(); len(s.Away) != 2 {
		t.Fatalf("%+v", s)
	}
	w.want(8, "late rows meanwhile")
	if err := os.Rename(w.Dir+"x", w.Dir); err != nil {
		t.Fatal(err)
	}
	if s := w.settle(); len(s.Back) != 2 || len(s.Away) != 0 {
		t.Fatalf("%+v", s)
	}
	w.want(20, "the cold disk is back")
	if !w.isCold(4) {
		t.Error("the day with late rows is not cold")
	}

	// The lake's disk is lost, not the mark of whose it was.
	if err := os.RemoveAll(w.Lake); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.Lake, 0o700); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.want(4+5+3+2, "of the lake only the cold days are left")

	// Cleared by order, and by retention, which removes the link alone.
	if err := OrderClear(w.Engine, []Partition{w.day(3)}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if err := os.Remove(filepath.Join(w.store, partitionsFolder, w.today.AddDate(0, 0, -4).Format(dayLayout))); err != nil {
		t.Fatal(err)
	}
	gone, err := w.Sweep(func(string) time.Time { return w.today.AddDate(0, 0, -4) })
	if err != nil || len(gone) != 0 {
		t.Errorf("within retention %v went, %v", gone, err)
	}
	if gone, err = w.Sweep(func(string) time.Time { return w.today.AddDate(0, 0, -3) }); err != nil || len(gone) != 1 || gone[0] != w.day(4) {
		t.Errorf("after retention %v went, %v", gone, err)
	}
	if left, _ := filepath.Glob(filepath.Join(w.Dir, "standard", "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestAMoveIsFinishedAfterACrash stops a move after each of its steps.
func TestAMoveIsFinishedAfterACrash(t *testing.T) {
	for step, crash := range map[string]func(w *world, hot, cold string) error{
		"copied":       func(*world, string, string) error { return nil },
		"copied whole": func(_ *world, _, cold string) error { return os.Rename(cold+newSuffix, cold) },
		"linked": func(w *world, hot, cold string) error {
			return errors.Join(os.Rename(cold+newSuffix, cold), w.link(w.day(2), linkSuffix))
		},
		"hot away": func(w *world, hot, cold string) error {
			return errors.Join(os.Rename(cold+newSuffix, cold), w.link(w.day(2), linkSuffix), os.Rename(hot, beside(hot, goneSuffix)))
		},
		"swapped": func(w *world, hot, cold string) error {
			return errors.Join(os.Rename(cold+newSuffix, cold), w.link(w.day(2), linkSuffix), os.Rename(hot, beside(hot, goneSuffix)), os.Rename(beside(hot, linkSuffix), hot))
		},
	} {
		t.Run(step, func(t *testing.T) {
			w := newWorld(t)
			w.with(func(s *logstorage.Storage) {
				w.add(s, 2, 4)
				w.add(s, 0, 2)
				if err := w.Copy(t.Context(), w.day(2)); err != nil {
					t.Fatal(err)
				}
				w.add(s, 2, 1) // after the copy
			})
			hot, cold, err := w.place(w.day(2))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Order([]Partition{w.day(2), w.day(9), {Class: "standard", Day: "x"}}); err != nil {
				t.Fatal(err)
			}
			if step != "copied" && step != "copied whole" {
				// By then Settle has brought the copy up to date.
				if err := mirror(t.Context(), hot, cold+newSuffix); err != nil {
					t.Fatal(err)
				}
			}
			if err := crash(w, hot, cold); err != nil {
				t.Fatal(err)
			}
			if _, err := Clear(w.Engine, w.Lake); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Settle(t.Context()); err == nil {
				t.Error("a day that is none is not complained of")
			}
			w.want(7, "after the crash")
			if !w.isCold(2) {
				t.Error("the day is not cold")
			}
		})
	}
}

func TestAColdFolderBelongsToOneLake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Claim(); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := os.Mkdir(filepath.Join(w.Dir, "standard"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := Cold{Dir: w.Dir, Engine: t.TempDir()}
	if err := other.Claim(); !errors.Is(err, ErrForeign) {
		t.Errorf("another lake: %v", err)
	}
	// The mount point of a disk that is not there is no cold folder.
	w.Dir = t.TempDir()
	if err := w.Claim(); err == nil || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("without its disk: %v", err)
	}
}
