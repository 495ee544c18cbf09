package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"icewatch/soc/state"
)

// The folders and files of a data folder that a backup knows by name.
const (
	engineDir    = "engine"
	lakeDir      = "engine/lake"
	stateFile    = "state/icewatch.db"
	ledgerFile   = "state/cmdb.db" // the CMDB's items, where PostgreSQL does not have them
	busDir       = "bus"
	auditDir     = "audit"
	keysDir      = "keys"
	keysFile     = "keys/master"
	tlsDir       = "tls"
	snapshotDir  = "snapshot"      // links and copies while a backup is taken
	configDir    = "configuration" // of the suite, which lies elsewhere while it runs
	checkpoint   = "engine/checkpoint.json"
	detection    = "engine/detection.json"
	metricPlace  = "engine/metric-place.json"
	partsFile    = "parts.json"
	indexName    = "indexdb"
	dataName     = "datadb"
	restoringDir = "restoring"
	metricsDir   = "engine/metrics"
)

// passing are what no backup holds: what a process makes for itself, and what
// users can make again. The engine takes checksums of the lake anew where it
// has none, and the metric lake fills its caches. Up to where the bus has
// acknowledged would be a later word than the copy of the bus.
var passing = []string{"run", "lock", "exports", snapshotDir, configDir, restoringDir, engineDir + "/" + snapshotDir, "engine/sums", "bus/acknowledged",
	metricsDir + "/cache", metricsDir + "/snapshots", metricsDir + "/data/small/snapshots", metricsDir + "/data/big/snapshots", metricsDir + "/indexdb/snapshots"}

// looseSize is the size in bytes below which files are packed together.
const looseSize = 1 << 20

// tree gathers what a backup holds of a data folder.
type tree struct {
	data    string
	stage   string             // folder below data/snapshot, for copies and links
	links   string             // the same below data/engine, which may be a disk of its own
	cold    map[string]string  // and for days of the lake on another disk, by the day's folder
	metrics bool               // the metric lake's own folder is left alone: there is a snapshot of it
	units   []unit             // each becomes one object
	loose   map[string][]entry // small files by the folder they are packed with
	indexes []string           // of partitions whose data was taken
	counted map[string]Class   // tables of the lake's data by folder
	leftOut []string
	log     *slog.Logger
}

// unit is what goes into one object.
type unit struct{ entries []entry }

func newTree(data, name string, log *slog.Logger) *tree {
	return &tree{data: data, stage: filepath.Join(data, snapshotDir, name), links: filepath.Join(data, engineDir, snapshotDir, name),
		loose: map[string][]entry{}, cold: map[string]string{}, counted: map[string]Class{}, log: log}
}

// tidy removes what backups left in a data folder.
func tidy(data string) error {
	if data == "" {
		return nil
	}
	errs := []error{os.RemoveAll(filepath.Join(data, snapshotDir)), os.RemoveAll(filepath.Join(data, engineDir, snapshotDir))}
	days, _ := filepath.Glob(filepath.Join(data, lakeDir, "*", "partitions", "*"))
	for _, day := range days {
		if stage, ok := coldStage(day); ok {
			errs = append(errs, os.RemoveAll(stage))
		}
	}
	return errors.Join(errs...)
}

// coldStage is the folder for links of a day of the lake that lies on another
// disk, in the cold folder there. ok is false for other days.
func coldStage(day string) (stage string, ok bool) {
	if fi, err := os.Lstat(day); err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		return "", false
	}
	real, err := filepath.EvalSymlinks(day)
	return filepath.Join(filepath.Dir(filepath.Dir(real)), snapshotDir), err == nil
}

func (t *tree) at(p string) string { return filepath.Join(t.data, filepath.FromSlash(p)) }

// add takes a file that lies ready. Small ones are read at once and packed
// together by the folder with.
func (t *tree) add(with, p, from string, st fs.FileInfo) error {
	e := entry{path: p, size: st.Size(), modified: st.ModTime().UnixNano(), open: func() (io.ReadCloser, error) { return os.Open(from) }}
	if e.size >= looseSize {
		t.units = append(t.units, unit{[]entry{e}})
		return nil
	}
	data, err := readAtMost(from, looseSize)
	if err != nil {
		return err
	}
	t.addBytes(with, p, data)
	return nil
}

func (t *tree) addBytes(with, p string, data []byte) {
	t.loose[with] = append(t.loose[with], entry{path: p, size: int64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}})
}

// all lists the units, the loose files among them, in an order that is the
// same for the same files.
func (t *tree) all() []unit {
	out := slices.Clone(t.units)
	for _, list := range t.loose {
		slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
		// Many small files still make objects of a bounded size.
		for chunk := range slices.Chunk(list, 2000) {
			out = append(out, unit{chunk})
		}
	}
	slices.SortFunc(out, func(a, b unit) int { return cmp.Compare(a.entries[0].path, b.entries[0].path) })
	return out
}

// plain takes all files below a folder. A file is linked aside first where it
// is not small, so that it stays when it is replaced meanwhile.
func (t *tree) plain(ctx context.Context, top string, skip func(p string) bool) error {
	return t.walk(ctx, top, t.at(top), t.stage, skip)
}

func (t *tree) walk(ctx context.Context, p, dir, stage string, skip func(p string) bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := path.Join(p, e.Name())
		if skip != nil && skip(at) {
			continue
		}
		if err := t.one(ctx, at, filepath.Join(dir, e.Name()), stage, skip); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// one takes a file or a folder. A file that vanished is an fs.ErrNotExist.
func (t *tree) one(ctx context.Context, p, from, stage string, skip func(p string) bool) error {
	st, err := os.Lstat(from)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	switch {
	case st.IsDir():
		return t.walk(ctx, p, from, stage, skip)
	case !st.Mode().IsRegular():
		t.leftOut = append(t.leftOut, p)
		return nil
	case isDatabase(p, from):
		return t.database(ctx, p, from)
	case isDatabase(strings.TrimSuffix(p, "-wal"), strings.TrimSuffix(from, "-wal")), isDatabase(strings.TrimSuffix(p, "-shm"), strings.TrimSuffix(from, "-shm")):
		return nil // the copy of its database holds what is in it
	case st.Size() >= looseSize:
		if from, err = link(from, filepath.Join(stage, filepath.FromSlash(p))); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	if err := t.add(path.Dir(p), p, from, st); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// isDatabase tells whether a file is one of SQLite's, by its name too: what
// senders' texts begin with is at their will. One that was set aside as
// damaged is a file like any other.
func isDatabase(p, from string) bool {
	const magic = "SQLite format 3\x00"
	if path.Ext(p) != ".db" || strings.Contains(p, "damaged") {
		return false
	}
	f, err := os.Open(from)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

// database takes a SQLite file beside the state as it stands at one moment.
// Such a one is the engine's, which begins it anew where it is missing: one
// that is damaged is left out and fails no backup.
func (t *tree) database(ctx context.Context, p, from string) error {
	to := filepath.Join(t.stage, filepath.FromSlash(p))
	err := state.Copy(ctx, from, to)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.log.Warn("backup: a database is left out", "file", from, "error", err)
		t.leftOut = append(t.leftOut, p)
		return nil
	}
	t.copied(p, to)
	return nil
}

// copied takes a file that was copied for this backup.
func (t *tree) copied(p, from string) {
	size := int64(0)
	if st, err := os.Stat(from); err == nil {
		size = st.Size()
	}
	t.units = append(t.units, unit{[]entry{{path: p, size: size, open: func() (io.ReadCloser, error) { return os.Open(from) }}}})
}

// frozen takes a folder that nobody changes under another name, a unit for
// each folder in it. Links are followed.
func (t *tree) frozen(ctx context.Context, p, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	var u unit
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, from := path.Join(p, e.Name()), filepath.Join(dir, e.Name())
		st, err := os.Stat(from)
		switch {
		case err != nil:
			return fmt.Errorf("backup: %w", err)
		case st.IsDir():
			if err := t.frozen(ctx, at, from); err != nil {
				return err
			}
		case st.Mode().IsRegular():
			u.entries = append(u.entries, entry{path: at, size: st.Size(), modified: st.ModTime().UnixNano(), open: func() (io.ReadCloser, error) { return os.Open(from) }})
		}
	}
	if len(u.entries) > 0 {
		t.units = append(t.units, u)
	}
	return nil
}

// link gives a file a second name, which it returns. Where that cannot be (the
// file lies on another disk), it returns the first.
func link(from, to string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", err
	}
	err := os.Link(from, to)
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EOPNOTSUPP) {
		return from, nil
	}
	return to, err
}

// engine takes the engine's folder but for the indexes of the lake, which
// follow with index once the library has written them for all data taken here.
func (t *tree) engine(ctx context.Context) error { return t.engineFolder(ctx, engineDir) }

func (t *tree) engineFolder(ctx context.Context, p string) error {
	entries, err := os.ReadDir(t.at(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name })
	}
	switch {
	case has(dataName) && has(indexName):
		return t.partition(ctx, p)
	case has(indexName) && strings.HasPrefix(p, lakeDir+"/") && len(entries) == 1:
		return nil // a partition that is being made
	case has(partsFile):
		return t.table(ctx, p)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := path.Join(p, e.Name())
		switch {
		case slices.Contains(passing, at), at == metricsDir && t.metrics, e.Name() == "flock.lock", strings.HasSuffix(at, ".new"), at == checkpoint, at == detection, at == metricPlace:
			continue
		case e.IsDir():
			err = t.engineFolder(ctx, at)
		case path.Base(p) == "partitions" && e.Type()&fs.ModeSymlink != 0:
			stage, ok := coldStage(t.at(at))
			if !ok {
				return fmt.Errorf("backup: the day %s of the lake cannot be reached: its disk is not there", at)
			}
			t.cold[at] = filepath.Join(stage, filepath.Base(t.links))
			err = t.engineFolder(ctx, at)
		default:
			err = t.one(ctx, at, t.at(at), t.links, nil)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// partition takes the data of a day of the lake and notes its index for later.
// One that retention removes meanwhile is left out.
func (t *tree) partition(ctx context.Context, p string) error {
	err := t.table(ctx, path.Join(p, dataName))
	if errors.Is(err, fs.ErrNotExist) {
		t.drop(p)
		return nil
	}
	if err == nil {
		t.indexes = append(t.indexes, path.Join(p, indexName))
	}
	return err
}

// index takes the indexes of the partitions.
func (t *tree) index(ctx context.Context) error {
	for _, p := range t.indexes {
		if err := t.table(ctx, p); errors.Is(err, fs.ErrNotExist) {
			t.drop(path.Dir(p))
		} else if err != nil {
			return err
		}
	}
	t.dropRemoved()
	return nil
}

// dropRemoved leaves out the partitions that retention has removed since they
// were taken: their files may have been half removed already when they were.
func (t *tree) dropRemoved() {
	for _, p := range t.indexes {
		if _, err := os.Stat(t.at(p)); err != nil {
			t.drop(path.Dir(p))
		}
	}
}

// drop forgets what was taken below a folder.
func (t *tree) drop(p string) {
	below := func(e entry) bool { return strings.HasPrefix(e.path, p+"/") }
	t.units = slices.DeleteFunc(t.units, func(u unit) bool { return below(u.entries[0]) })
	for k, list := range t.loose {
		if list = slices.DeleteFunc(list, below); len(list) == 0 {
			delete(t.loose, k)
		} else {
			t.loose[k] = list
		}
	}
	for k := range t.counted {
		if strings.HasPrefix(k, p+"/") {
			delete(t.counted, k)
		}
	}
}

const (
	// tableTries is how often a table is looked at until its parts stand still
	// for as long as linking them takes, and tableWait the time between.
	tableTries = 200
	tableWait  = 20 * time.Millisecond
)

// table takes a table of one of the storage libraries: a folder with a list of
// parts and a folder for each, whose files never change. Parts are merged and
// removed meanwhile, but only after the list names them no more: what a later
// reading of the list still names was whole when it was linked.
func (t *tree) table(ctx context.Context, p string) error {
	linked := map[string][]entry{}
	for range tableTries {
		list, err := t.parts(p)
		if err != nil {
			return err
		}
		if whole := t.linkParts(p, list.names, linked); whole == nil {
			again, err := t.parts(p)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list.names, func(n string) bool { return !slices.Contains(again.names, n) }) {
				return t.keep(p, list, linked)
			}
		} else if !errors.Is(whole, fs.ErrNotExist) {
			return whole
		}
		select {
		case <-time.After(tableWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("backup: the parts in %s change faster than they can be linked, or one that its %s names is missing", t.at(p), partsFile)
}

// parts is a table's list of parts.
type parts struct {
	names []string // folders, relative to the table's
	text  []byte   // of the list
}

func (t *tree) parts(p string) (parts, error) {
	file := filepath.Join(t.at(p), partsFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && path.Base(p) == indexName {
		// An index that was made a moment ago has no list until something is
		// written to it.
		if _, err := os.Stat(t.at(p)); err != nil {
			return parts{}, fmt.Errorf("backup: %w", err)
		}
		return parts{text: []byte("[]")}, nil
	}
	if err != nil {
		return parts{}, fmt.Errorf("backup: %w", err)
	}
	l := parts{text: text}
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] == '{' {
		// Of metrics: the list in the folder of small parts names the big ones
		// of the same time too.
		var both struct{ Small, Big []string }
		if err := json.Unmarshal(text, &both); err != nil {
			return parts{}, fmt.Errorf("backup: %s: %w", file, err)
		}
		l.names = both.Small
		big := path.Join("..", "..", "big", path.Base(p))
		for _, name := range both.Big {
			l.names = append(l.names, path.Join(big, name))
		}
	} else if err := json.Unmarshal(text, &l.names); err != nil {
		return parts{}, fmt.Errorf("backup: %s: %w", file, err)
	}
	for _, name := range l.names {
		if !fs.ValidPath(path.Join(p, name)) || path.Base(name) == "." {
			return parts{}, fmt.Errorf("backup: %s: %q is no part", file, name)
		}
	}
	return l, nil
}

// linkParts links the files of the parts that are not linked yet.
func (t *tree) linkParts(p string, names []string, linked map[string][]entry) error {
	for _, name := range names {
		if linked[name] != nil {
			continue
		}
		at := path.Join(p, name)
		files, err := os.ReadDir(t.at(at))
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		var entries []entry
		for _, f := range files {
			e := entry{path: path.Join(at, f.Name())}
			st, err := f.Info()
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			if !st.Mode().IsRegular() {
				return fmt.Errorf("backup: %s is no regular file", t.at(e.path))
			}
			from, err := link(t.at(e.path), filepath.Join(t.linksOf(p), filepath.FromSlash(e.path)))
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("backup: %w", err)
			}
			if from == t.at(e.path) {
				return fmt.Errorf("backup: the file system of %s knows no hard links, without which parts that are merged meanwhile cannot be kept: stop the suite for the backup", from)
			}
			e.size, e.modified = st.Size(), st.ModTime().UnixNano()
			e.open = func() (io.ReadCloser, error) { return os.Open(from) }
			entries = append(entries, e)
		}
		if len(entries) == 0 {
			return fmt.Errorf("backup: %s: %w", t.at(at), fs.ErrNotExist)
		}
		linked[name] = entries
	}
	return nil
}

// linksOf is where the files of a table are linked to: on the disk they lie on.
func (t *tree) linksOf(table string) string {
	if stage, ok := t.cold[path.Dir(table)]; ok {
		return stage
	}
	return t.links
}

// keep takes a table as its list was.
func (t *tree) keep(p string, list parts, linked map[string][]entry) error {
	for _, name := range list.names {
		t.units = append(t.units, unit{linked[name]})
	}
	t.addBytes(path.Join(engineDir, "lists"), path.Join(p, partsFile), list.text)
	if path.Base(p) != dataName || !strings.HasPrefix(p, lakeDir+"/") {
		return nil
	}
	class, _, _ := strings.Cut(strings.TrimPrefix(p, lakeDir+"/"), "/")
	if class == "logs" {
		class = "standard"
	}
	sum := Class{Class: class}
	for _, name := range list.names {
		var meta struct{ RowsCount uint64 }
		for _, e := range linked[name] {
			sum.Bytes += e.size
			if path.Base(e.path) != "metadata.json" {
				continue
			}
			f, err := e.open()
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			err = json.NewDecoder(f).Decode(&meta)
			_ = f.Close()
			if err != nil {
				return fmt.Errorf("backup: %s: %w", t.at(e.path), err)
			}
		}
		sum.Rows += meta.RowsCount
	}
	t.counted[p] = sum
	return nil
}

// classes sums the lake's data up by class.
func (t *tree) classes() []Class {
	out := []Class{}
	for _, c := range t.counted {
		at := slices.IndexFunc(out, func(o Class) bool { return o.Class == c.Class })
		if at < 0 {
			out = append(out, c)
			continue
		}
		out[at].Rows += c.Rows
		out[at].Bytes += c.Bytes
	}
	slices.SortFunc(out, func(a, b Class) int { return cmp.Compare(a.Class, b.Class) })
	return out
}
