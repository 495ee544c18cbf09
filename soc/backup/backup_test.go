package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icewatch/soc/state"
)

// data lays out a data folder as a suite that stands still leaves it.
func data(t *testing.T) Source {
	t.Helper()
	dir := t.TempDir()
	for p, text := range map[string]string{
		"engine/checkpoint.json":                      "{\"epoch\":\"e1\",\"stored\":7}\n#sum\n",
		"engine/detection.json":                       `{"epoch":"e1","after":6}`,
		"engine/damaged-batch-3":                      "damaged",
		"bus/jetstream/$G/streams/RAW/meta.inf":       "{}",
		"bus/jetstream/$G/streams/RAW/msgs/1.blk":     strings.Repeat("message ", 300_000),
		"bus/jetstream/$G/streams/RAW/obs/x/meta.inf": "a consumer",
		"aside/city/ab/abcd":                          strings.Repeat("long text ", 200_000),
		"audit/checkpoints":                           "signed",
		"keys/master":                                 "secret key",
		"tls/key.pem":                                 "private",
		"log/decisions.ndjson":                        "{}\n",
		"run/icewatch.pid":                            "1",
		"lock":                                        "",
		"files/a.positions":                           "10",
	} {
		put(t, filepath.Join(dir, p), text)
	}
	lakeDay(t, dir, "default", "20260101", "p1", "p2")
	lakeDay(t, dir, "long", "20260102", "q1")
	db, err := state.Open(t.Context(), filepath.Join(dir, "state", "icewatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (42)"); err != nil {
		t.Fatal(err)
	}
	ledger, err := state.Open(t.Context(), filepath.Join(dir, "state", "cmdb.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ledger.Close() })
	if _, err := ledger.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER); PRAGMA wal_checkpoint; INSERT INTO t VALUES (42)"); err != nil {
		t.Fatal(err)
	}
	// Another database, which its owner has open, and one that was set aside.
	edges, err := state.Open(t.Context(), filepath.Join(dir, "engine", "flows", "edges.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edges.Close() })
	if _, err := edges.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER); PRAGMA wal_checkpoint; INSERT INTO t VALUES (42)"); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "damaged", "x", "edges.db"), "SQLite format 3\x00 and then nonsense")
	put(t, filepath.Join(dir, "engine", "sums", "lake", "sums.json"), "{}")
	config := filepath.Join(t.TempDir(), "my.yaml")
	put(t, config, "data: x\n")
	return Source{Data: dir, KeyFile: filepath.Join(dir, "keys", "master"), Config: config, CopyState: db.CopyTo,
		BusStreams: []string{"jetstream/$G/streams/RAW"}, Version: "test"}
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lakeDay makes a partition of the lake.
func lakeDay(t testing.TB, dir, class, day string, names ...string) {
	t.Helper()
	p := filepath.Join(dir, "engine", "lake", class, "partitions", day)
	for _, n := range names {
		part(t, filepath.Join(p, "datadb", n), n)
	}
	list, _ := json.Marshal(names)
	put(t, filepath.Join(p, "datadb", "parts.json"), string(list))
	part(t, filepath.Join(p, "indexdb", "i1"), "index")
	put(t, filepath.Join(p, "indexdb", "parts.json"), `["i1"]`)
}

func part(t testing.TB, dir, text string) {
	put(t, filepath.Join(dir, "metadata.json"), `{"RowsCount":10}`)
	for i := range 5 {
		put(t, filepath.Join(dir, fmt.Sprintf("values.bin%d", i)), strings.Repeat(text, 1000+i))
	}
}

// sums maps the files below a folder to their checksums.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		sum := sha256.Sum256(b)
		p, _ := filepath.Rel(dir, path)
		out[p] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// database tells whether a file is one of the databases of data.
func database(p string) bool {
	return strings.HasPrefix(p, "state/") || strings.HasPrefix(p, "engine/flows/")
}

// answer reads the number in a database of data.
func answer(t *testing.T, path string) (n int) {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func repository(t *testing.T, o InitOptions) *Repository {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backups")
	if err := Init(dir, o); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func take(t *testing.T, r *Repository, src Source, o Options) Summary {
	t.Helper()
	s, err := r.Take(t.Context(), src, o, &Progress{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRestoredIsWhatWasBackedUp(t *testing.T) {
	t.Parallel()
	const passphrase = "correct horse battery"
	f := func(name string, init InitOptions, opts Options, keys bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := data(t)
			r := repository(t, init)
			s := take(t, r, src, opts)
			if s.MasterKey != keys || s.Rows != 30 || len(s.Classes) != 2 || s.Bus.Stored != 7 || s.Bus.Detected != 6 {
				t.Errorf("%+v", s)
			}
			want := sums(t, src.Data)
			want["configuration/icewatch.yaml"] = sums(t, filepath.Dir(src.Config))["my.yaml"]
			maps.DeleteFunc(want, func(p, _ string) bool {
				return p == "lock" || strings.HasPrefix(p, "run/") || strings.Contains(p, "/obs/") || database(p) || strings.HasPrefix(p, "engine/sums/") ||
					!keys && (strings.HasPrefix(p, "keys/") || strings.HasPrefix(p, "tls/"))
			})
			if init.Passphrase != "" {
				fresh, err := Open(r.Dir())
				if err != nil {
					t.Fatal(err)
				}
				to := filepath.Join(t.TempDir(), "x")
				if _, err := fresh.Restore(t.Context(), "", to, "", &Progress{}); !errors.Is(err, ErrLocked) {
					t.Errorf("without the passphrase: %v", err)
				}
				if err := fresh.Unlock("wrong horse battery"); !errors.Is(err, ErrLocked) {
					t.Errorf("with a wrong passphrase: %v", err)
				}
				if err := r.Unlock(passphrase); err != nil {
					t.Fatal(err)
				}
			}
			to := filepath.Join(t.TempDir(), "restored")
			if _, err := r.Restore(t.Context(), s.Name, to, "", &Progress{}); err != nil {
				t.Fatal(err)
			}
			got := sums(t, to)
			for _, p := range []string{"state/icewatch.db", "state/cmdb.db", "engine/flows/edges.db"} {
				if n := answer(t, filepath.Join(to, p)); n != 42 {
					t.Errorf("%s holds %d", p, n)
				}
			}
			maps.DeleteFunc(got, func(p, _ string) bool { return database(p) })
			if !maps.Equal(got, want) {
				t.Errorf("restored\n%v\nwant\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			if _, err := r.Restore(t.Context(), s.Name, to, "", &Progress{}); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("into a folder that is in use: %v", err)
			}
			if _, err := os.Stat(filepath.Join(src.Data, snapshotDir)); err == nil {
				t.Error("the links are still there")
			}
		})
	}
	f("plain", InitOptions{}, Options{}, false)
	f("plain with keys", InitOptions{}, Options{WithKeys: true}, true)
	f("encrypted", InitOptions{Passphrase: passphrase}, Options{}, true)
}

// TestSaysWhatIsElsewhere: a backup without the CMDB's server says so.
func TestSaysWhatIsElsewhere(t *testing.T) {
	src := data(t)
	src.Elsewhere = []string{"cmdb on postgres://db.example/cmdb"}
	if s := take(t, repository(t, InitOptions{}), src, Options{}); !slices.Contains(s.LeftOut, src.Elsewhere[0]) {
		t.Errorf("left out %v", s.LeftOut)
	}
}

// TestDamagedLedgerIsLeftOut damages a database that the engine can begin
// anew: the backup says that it is left out, and does not fail.
func TestDamagedLedgerIsLeftOut(t *testing.T) {
	t.Parallel()
	src := data(t)
	const ledger = "engine/flows/edges.db"
	path := filepath.Join(src.Data, filepath.FromSlash(ledger))
	if err := errors.Join(os.Remove(path+"-wal"), os.Remove(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	put(t, path, "SQLite format 3\x00"+strings.Repeat("damaged ", 1000))
	if s := take(t, repository(t, InitOptions{}), src, Options{}); !slices.Contains(s.LeftOut, ledger) {
		t.Errorf("left out %v", s.LeftOut)
	}
}

func TestSecondBackupCopiesWhatIsNew(t *testing.T) {
	t.Parallel()
	src := data(t)
	r := repository(t, InitOptions{})
	first := take(t, r, src, Options{})
	if first.CopiedBytes != first.Bytes {
		t.Errorf("the first copied %d of %d bytes", first.CopiedBytes, first.Bytes)
	}
	lakeDay(t, src.Data, "default", "20260103", "r1")
	second := take(t, r, src, Options{})
	if second.Bytes <= first.Bytes || second.CopiedBytes >= first.Bytes/4 || second.CopiedBytes == 0 {
		t.Errorf("the second copied %d of %d bytes", second.CopiedBytes, second.Bytes)
	}
	// What was copied by the first is not read with the second, save a share.
	p := &Progress{}
	if damaged, err := r.VerifyNew(t.Context(), second.Name, 0, p); err != nil || len(damaged) > 0 || p.Figures().FilesTotal >= second.Files {
		t.Errorf("%v, %v after %+v", damaged, err, p.Figures())
	}
	// The first is removed; what both share stays.
	out, err := r.Prune(t.Context(), 1, &Progress{})
	if err != nil || !slices.Equal(out.Backups, []string{first.Name}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if damaged, err := r.Verify(t.Context(), second.Name, 0, &Progress{}); err != nil || len(damaged) > 0 {
		t.Errorf("%v, %v", damaged, err)
	}
	to := filepath.Join(t.TempDir(), "restored")
	if _, err := r.Restore(t.Context(), "latest", to, src.KeyFile, &Progress{}); err != nil {
		t.Fatal(err)
	}
	if got := sums(t, to); got["keys/master"] == "" || got["engine/lake/default/partitions/20260103/datadb/r1/metadata.json"] == "" {
		t.Errorf("restored %v", slices.Sorted(maps.Keys(got)))
	}
	if _, err := r.Delete(t.Context(), second.Name, &Progress{}); err != nil {
		t.Fatal(err)
	}
	if left := sums(t, filepath.Join(r.Dir(), objectsDir)); len(left) > 0 {
		t.Errorf("objects that no backup needs: %v", left)
	}
}

func TestDamageIsNamedAndRefused(t *testing.T) {
	t.Parallel()
	src := data(t)
	r := repository(t, InitOptions{})
	s := take(t, r, src, Options{})
	objects, err := r.list(s)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what, path string, damage func(b []byte) []byte) {
		t.Helper()
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put(t, path, string(damage(slices.Clone(whole))))
		to := filepath.Join(t.TempDir(), "restored")
		if _, err := r.Restore(t.Context(), s.Name, to, "", &Progress{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: restore: %v; want one that names %s", what, err, path)
		}
		if entries, _ := os.ReadDir(to); len(entries) > 0 {
			t.Errorf("%s: restored %v", what, entries)
		}
		put(t, path, string(whole))
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	object := r.objectPath(objects[0].Name)
	f("a flipped bit in a file", object, flip)
	f("a file cut short", object, cut)
	f("a flipped bit in the list", r.backupPath(s.Name)+listSuffix, flip)
	f("a flipped bit in the description", r.backupPath(s.Name), flip)
	if err := os.Rename(object, object+"x"); err != nil {
		t.Fatal(err)
	}
	damaged, err := r.Verify(t.Context(), s.Name, 0, &Progress{})
	if err != nil || len(damaged) != 1 || !strings.Contains(damaged[0], object) || !strings.Contains(damaged[0], "missing") {
		t.Errorf("a missing file: %q, %v", damaged, err)
	}
	if got, err := r.Get(s.Name); err != nil || got.Verified.IsZero() || len(got.Damaged) != 1 {
		t.Errorf("the check is not kept: %+v, %v", got, err)
	}
	// The next backup copies anew what is missing, and then all is there.
	again := take(t, r, src, Options{})
	if damaged, err := r.Verify(t.Context(), again.Name, 0, &Progress{}); err != nil || len(damaged) > 0 {
		t.Errorf("after the next backup: %q, %v", damaged, err)
	}
	put(t, r.backupPath(s.Name), "nonsense")
	if _, err := r.Prune(t.Context(), 5, &Progress{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), s.Name) {
		t.Errorf("pruning beside a backup that cannot be read: %v", err)
	}
	list, err := r.List()
	if err != nil || len(list) != 2 || list[1].Fault == "" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestInterruptedLeavesNoBackup(t *testing.T) {
	t.Parallel()
	src := data(t)
	r := repository(t, InitOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	p := &Progress{}
	src.Running = &Running{
		Hold: func(context.Context) (func() error, func(), error) {
			return func() error { return nil }, func() {}, nil
		},
		Streams: func(_ context.Context, each func(string, int64, io.Reader) error) (Place, error) {
			err := each("jetstream/$G/streams/RAW/msgs/1.blk", 2<<20, strings.NewReader(strings.Repeat("x", 2<<20)))
			cancel()
			return Place{Epoch: "e1", First: 1, Last: 9}, err
		},
	}
	if _, err := r.Take(ctx, src, Options{}, p); !errors.Is(err, context.Canceled) {
		t.Fatalf("a backup that was broken off: %v", err)
	}
	if list, err := r.List(); err != nil || len(list) != 0 {
		t.Fatalf("it left %+v, %v", list, err)
	}
	if _, err := os.Stat(filepath.Join(src.Data, snapshotDir)); err == nil {
		t.Error("the links are still there")
	}
	// What it had copied is not copied again.
	s := take(t, r, src, Options{})
	if s.CopiedBytes > s.Bytes-2<<20 {
		t.Errorf("copied %d of %d bytes", s.CopiedBytes, s.Bytes)
	}
	if _, err := os.Stat(filepath.Join(r.Dir(), unfinishedFile)); err == nil {
		t.Error("the list of the interrupted backup is still there")
	}
}

// TestBusMustReachBackToTheLake gives a bus that was trimmed beyond the
// engine's place: such a backup would lose events.
func TestBusMustReachBackToTheLake(t *testing.T) {
	t.Parallel()
	src := data(t)
	r := repository(t, InitOptions{})
	tries := 0
	lost := errors.New("the engine was started again")
	var heldErr error
	first := uint64(8)
	src.Running = &Running{
		Hold: func(context.Context) (func() error, func(), error) {
			tries++
			return func() error { return heldErr }, func() {}, nil
		},
		Streams: func(context.Context, func(string, int64, io.Reader) error) (Place, error) {
			return Place{Epoch: "e1", First: first, Last: 9}, nil
		},
	}
	if _, err := r.Take(t.Context(), src, Options{}, &Progress{}); !errors.Is(err, errMoved) || tries != consistentTries {
		t.Errorf("detection would go on at 7, the bus begins at 8: %v after %d tries", err, tries)
	}
	first, heldErr = 7, lost
	if _, err := r.Take(t.Context(), src, Options{}, &Progress{}); !errors.Is(err, lost) {
		t.Errorf("the bus was not held: %v", err)
	}
	heldErr = nil
	take(t, r, src, Options{})
}

// TestTidyRemovesOnlyWhatBackupsLeft makes sure of the one function that
// removes anything from a data folder.
func TestTidyRemovesOnlyWhatBackupsLeft(t *testing.T) {
	t.Parallel()
	src := data(t)
	want := sums(t, src.Data)
	put(t, filepath.Join(src.Data, "snapshot", "x", "state", "icewatch.db"), "a copy")
	put(t, filepath.Join(src.Data, "engine", "snapshot", "x", "part", "values.bin"), "a link")
	if err := tidy(src.Data); err != nil {
		t.Fatal(err)
	}
	if got := sums(t, src.Data); !maps.Equal(got, want) {
		t.Errorf("left are\n%v\nwant\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// TestMetricsAreTakenFrozen gives a metric lake that freezes itself, with
// links as its library makes them, and one that does not answer.
func TestMetricsAreTakenFrozen(t *testing.T) {
	t.Parallel()
	src := data(t)
	living := filepath.Join(src.Data, "engine", "metrics")
	part(t, filepath.Join(living, "data", "small", "2026_11", "p1"), "living")
	put(t, filepath.Join(living, "data", "small", "2026_11", "parts.json"), `{"Small":["p1"],"Big":[]}`)
	put(t, filepath.Join(living, "cache", "x"), "cache")
	frozen := t.TempDir()
	part(t, filepath.Join(frozen, "elsewhere", "2026_11", "p0"), "frozen")
	if err := errors.Join(os.MkdirAll(filepath.Join(frozen, "snap", "data"), 0o700),
		os.Symlink(filepath.Join(frozen, "elsewhere"), filepath.Join(frozen, "snap", "data", "small"))); err != nil {
		t.Fatal(err)
	}
	released := 0
	var failure error
	src.Running = &Running{
		Hold: func(context.Context) (func() error, func(), error) {
			return func() error { return nil }, func() {}, nil
		},
		Streams: func(context.Context, func(string, int64, io.Reader) error) (Place, error) {
			return Place{Epoch: "e1", First: 1, Last: 9}, nil
		},
		Metrics: func(context.Context) (string, func(), error) {
			return filepath.Join(frozen, "snap"), func() { released++ }, failure
		},
	}
	r := repository(t, InitOptions{})
	restored := func() map[string]string {
		t.Helper()
		to := filepath.Join(t.TempDir(), "x")
		if _, err := r.Restore(t.Context(), "", to, "", &Progress{}); err != nil {
			t.Fatal(err)
		}
		return sums(t, to)
	}
	take(t, r, src, Options{})
	got := restored()
	if got["engine/metrics/data/small/2026_11/p0/metadata.json"] == "" || got["engine/metrics/data/small/2026_11/p1/metadata.json"] != "" || released != 1 {
		t.Errorf("frozen: released %d times, restored %v", released, slices.Sorted(maps.Keys(got)))
	}
	failure = errors.New("it does not answer")
	if s := take(t, r, src, Options{}); !slices.Contains(s.LeftOut, "engine/metrics") {
		t.Errorf("left out %v", s.LeftOut)
	}
	src.Running = nil
	take(t, r, src, Options{})
	got = restored()
	if got["engine/metrics/data/small/2026_11/p1/metadata.json"] == "" || got["engine/metrics/cache/x"] != "" {
		t.Errorf("of a suite that stands still: restored %v", slices.Sorted(maps.Keys(got)))
	}
}

// TestMergesMeanwhile takes backups while parts are merged and removed as the
// library does it, and looks for parts that are not whole.
func TestMergesMeanwhile(t *testing.T) {
	t.Parallel()
	src := data(t)
	day := filepath.Join(src.Data, "engine", "lake", "default", "partitions", "20260101", "datadb")
	list := func(names []string) {
		b, _ := json.Marshal(names)
		tmp := filepath.Join(day, "tmp.json")
		put(t, tmp, string(b))
		if err := os.Rename(tmp, filepath.Join(day, "parts.json")); err != nil {
			t.Error(err)
		}
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		names := []string{"p1", "p2"}
		for i := 0; !stop.Load(); i++ {
			n := fmt.Sprintf("m%d", i)
			part(t, filepath.Join(day, n), n)
			old := names
			names = []string{n}
			if i%3 > 0 {
				names = append(slices.Clone(old), n)
				old = nil
			}
			list(names)
			for _, o := range old {
				os.RemoveAll(filepath.Join(day, o))
			}
		}
	})
	r := repository(t, InitOptions{})
	for range 5 {
		s := take(t, r, src, Options{})
		to := filepath.Join(t.TempDir(), "restored")
		if _, err := r.Restore(t.Context(), s.Name, to, "", &Progress{}); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(to, "engine", "lake", "default", "partitions", "20260101", "datadb")
		b, err := os.ReadFile(filepath.Join(at, "parts.json"))
		var names []string
		if err = errors.Join(err, json.Unmarshal(b, &names)); err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, n := range names {
			if files, err := os.ReadDir(filepath.Join(at, n)); err != nil || len(files) != 6 {
				t.Errorf("the part %s has %d files, %v", n, len(files), err)
			}
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	used := t.TempDir()
	put(t, filepath.Join(used, "other"), "x")
	there := repository(t, InitOptions{}).Dir()
	f := func(dir string, o InitOptions, want string) {
		t.Helper()
		if err := Init(dir, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one with %q", err, want)
		}
	}
	f(used, InitOptions{}, "not empty")
	f(there, InitOptions{}, "holds backups already")
	f(t.TempDir(), InitOptions{Passphrase: "short"}, "12 is the least")
	f(t.TempDir(), InitOptions{Recipient: "age1nonsense"}, "no public key of age")
	if _, err := Open(used); !errors.Is(err, ErrNoRepository) {
		t.Error(err)
	}
	r, err := Open(there)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "20260101T000000Z/..", "x"} {
		if _, err := r.Get(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := r.Get("20260101T000000Z"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// FuzzLists reads what may come from a foreign disk.
func FuzzLists(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "list")
	if _, err := writeList(path, []object{{Name: "abc-def", Files: []file{{Path: "a/b", Size: 1}}}}); err != nil {
		f.Fatal(err)
	}
	list, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	text, err := formatDescription(Summary{Format: Format, Name: "20260101T000000Z"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseDescription(b)
		objects, err := decodeList(strings.NewReader(string(b)))
		if err != nil {
			return
		}
		for _, o := range objects {
			if strings.Contains(o.Name, "/") || strings.Contains(o.Name, ".") {
				t.Errorf("the object %q", o.Name)
			}
			for _, f := range o.Files {
				if !filepath.IsLocal(f.Path) {
					t.Errorf("the path %q", f.Path)
				}
			}
		}
	})
}
