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
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"icewatch/soc/state"
)

// Source is what a backup is taken of.
type Source struct {
	Data    string // the data folder
	KeyFile string // of the master keys, wherever it lies
	// Config is the configuration file the suite was started with; "" is none.
	Config string
	// Folders are further folders by the name they get in the backup, such as
	// those of rules.
	Folders map[string]string
	// CopyState copies the database, as it stands at one moment, to a new file.
	CopyState func(ctx context.Context, to string) error
	// BusStreams are the folders of the bus, below its own, that are copied
	// where the suite stands still.
	BusStreams []string
	// Elsewhere is what the suite keeps on servers that have backups of their
	// own: a backup says that it is not in it.
	Elsewhere []string
	// Running is the suite that runs on the data folder; nil where it stands
	// still and its caller has locked the folder.
	Running *Running
	Version string
}

// Running is what a backup asks of a running suite.
type Running struct {
	// Hold keeps everything on the bus until release is called. held tells
	// whether it has been kept without a gap.
	Hold func(ctx context.Context) (held func() error, release func(), err error)
	// Streams hands over the files of the bus, each with its path below the
	// bus's folder, and returns where the raw stream stood when that began.
	Streams func(ctx context.Context, each func(p string, size int64, r io.Reader) error) (Place, error)
	// Metrics freezes the metric lake and returns the folder until release is
	// called; "" where the metrics are kept by other servers. It may be nil.
	Metrics func(ctx context.Context) (dir string, release func(), err error)
	// Settle is how long the lake's library may hold the index of an event in
	// memory after the event itself is on the disk.
	Settle time.Duration
	// Tenants counts the events by tenant up to a time. It may be nil.
	Tenants func(ctx context.Context, until time.Time) ([]Tenant, error)
}

// Options of one backup.
type Options struct {
	Trigger string // schedule, api or command
	By      string // user
	// WithKeys takes the master keys and the key of the certificate into a
	// backup that is not encrypted. Into an encrypted one they always go.
	WithKeys bool
	// Rate bounds the reading in bytes a second; 0 is no bound.
	Rate int64
	Log  *slog.Logger
}

// unfinishedEvery is how often the list of what is copied already is kept, so
// that the next backup need not copy it again where this one breaks off.
const unfinishedEvery = 5 * time.Minute

// countTimeout bounds the count of events by tenant, without which a backup is
// as good.
const countTimeout = time.Minute

// taker takes one backup.
type taker struct {
	repo    *Repository
	src     Source
	opts    Options
	prog    *Progress
	pack    *packer
	sum     Summary
	tree    *tree
	prior   prior
	objects []object
	kept    time.Time
	release []func()
}

// Take takes a backup. What was acknowledged to a sender before the call is in
// it. Where it fails or ctx ends there is no backup, but what was copied need
// not be copied again by the next.
func (r *Repository) Take(ctx context.Context, src Source, o Options, p *Progress) (Summary, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p.phase(PhaseWaiting)
	unlock, err := r.lock(false)
	if err != nil {
		return Summary{}, err
	}
	defer unlock()
	t := &taker{repo: r, src: src, opts: o, prog: p}
	if t.pack, err = r.packer(newPace(o.Rate)); err != nil {
		return Summary{}, err
	}
	err = behindOthers(func() error { return t.take(ctx) })
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("backup: it was broken off: %w", context.Cause(ctx))
		}
		return Summary{}, err
	}
	p.phase(PhaseDone)
	return t.sum, nil
}

// start names the backup by the present second, which no other has.
func (t *taker) start(ctx context.Context) error {
	for {
		now := time.Now().UTC()
		name := now.Format(nameLayout)
		if _, err := os.Stat(t.repo.backupPath(name)); errors.Is(err, fs.ErrNotExist) {
			host, _ := os.Hostname()
			t.sum = Summary{Format: Format, Name: name, Started: now, Version: t.src.Version, Host: host, Trigger: t.opts.Trigger, By: t.opts.By,
				Encrypted: t.repo.Encrypted(), Tenants: []Tenant{}}
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *taker) take(ctx context.Context) (err error) {
	if err := t.start(ctx); err != nil {
		return err
	}
	if err := t.readPrior(); err != nil {
		return err
	}
	t.tree = newTree(t.src.Data, t.sum.Name, t.opts.Log)
	if err := tidy(t.src.Data); err != nil {
		return fmt.Errorf("backup: remove what an earlier backup left: %w", err)
	}
	defer func() {
		for _, release := range t.release {
			release()
		}
		if cleared := tidy(t.src.Data); err == nil && cleared != nil {
			t.opts.Log.Warn("backup: the links of this backup are not removed; the next one removes them", "error", cleared)
		}
		if err != nil {
			if kept := t.keepUnfinished(); kept != nil {
				t.opts.Log.Warn("backup: what was copied is not remembered; pruning removes it", "error", kept)
			}
		}
	}()
	if err := t.consistent(ctx); err != nil {
		return err
	}
	if err := t.rest(ctx); err != nil {
		return err
	}
	if run := t.src.Running; run != nil && run.Tenants != nil {
		limited, cancel := context.WithTimeout(ctx, countTimeout)
		list, err := run.Tenants(limited, t.sum.Started)
		cancel()
		if err != nil {
			t.opts.Log.Warn("backup: the events are not counted by tenant", "error", err)
		} else if list != nil {
			t.sum.Tenants = list
		}
	}
	if err := t.copy(ctx); err != nil {
		return err
	}
	return t.finish(ctx)
}

// prior is what earlier backups copied, by what it is found with.
type prior struct {
	byPath map[string]*object // by its first file
	byID   map[string]*object
}

func (t *taker) readPrior() error {
	t.prior = prior{map[string]*object{}, map[string]*object{}}
	names, err := t.repo.names()
	if err != nil {
		return err
	}
	// The newest that can be read shares most with this one.
	for _, name := range names {
		s, err := t.repo.Get(name)
		var objects []object
		if err == nil {
			objects, err = t.repo.list(s)
		}
		if err != nil {
			t.opts.Log.Warn("backup: an earlier backup cannot be built on", "backup", name, "error", err)
			continue
		}
		t.prior.add(objects)
		break
	}
	objects, _, err := readList(filepath.Join(t.repo.dir, unfinishedFile))
	if err == nil {
		t.prior.add(objects)
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.opts.Log.Warn("backup: what the interrupted backup copied is not known; it is copied again", "error", err)
	}
	return nil
}

func (p prior) add(objects []object) {
	for i := range objects {
		o := &objects[i]
		p.byID[o.ID] = o
		if len(o.Files) > 0 {
			p.byPath[o.Files[0].Path] = o
		}
	}
}

// has tells whether an object still lies where it was put.
func (t *taker) has(o *object) bool {
	st, err := os.Stat(t.repo.objectPath(o.Name))
	return err == nil && st.Size() == o.Stored
}

// same finds the object that holds a unit already: the same files, of the same
// size and time.
func (t *taker) same(u unit) *object {
	o := t.prior.byPath[u.entries[0].path]
	if o == nil || len(o.Files) != len(u.entries) {
		return nil
	}
	for i, e := range u.entries {
		if f := &o.Files[i]; e.modified == 0 || f.Path != e.path || f.Size != e.size || f.Modified != e.modified {
			return nil
		}
	}
	if !t.has(o) {
		return nil
	}
	return o
}

// put copies a unit where no earlier backup holds it.
func (t *taker) put(ctx context.Context, u unit) error {
	if o := t.same(u); o != nil {
		t.objects = append(t.objects, *o)
		t.prog.files(len(u.entries), o.bytes())
		return nil
	}
	o, err := t.pack.pack(ctx, u.entries, func(n int) { t.prog.bytes(n, true) })
	if err != nil {
		return err
	}
	o.From = t.sum.Name
	if old := t.prior.byID[o.ID]; old != nil && t.has(old) {
		// It was read for nothing, as only its content tells that it is the same.
		if err := os.Remove(t.repo.objectPath(o.Name)); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		o.Name, o.From, o.Stored, o.Sum = old.Name, old.From, old.Stored, old.Sum
	} else {
		t.sum.CopiedBytes += o.bytes()
		t.sum.CopiedFiles += len(o.Files)
		kept := o
		t.prior.byID[o.ID] = &kept
	}
	t.objects = append(t.objects, o)
	t.prog.files(len(u.entries), 0)
	if time.Since(t.kept) > unfinishedEvery {
		if err := t.keepUnfinished(); err != nil {
			return err
		}
	}
	return nil
}

// keepUnfinished keeps the list of what is copied already.
func (t *taker) keepUnfinished() error {
	t.kept = time.Now()
	if len(t.objects) == 0 {
		return nil
	}
	_, err := writeList(filepath.Join(t.repo.dir, unfinishedFile), t.objects)
	return full(t.repo.dir, err)
}

// errMoved says that the engine let go of something that the backup needs.
var errMoved = errors.New("the bus was trimmed meanwhile")

// consistentTries is how often the consistent part is begun anew where the
// engine was started again in the middle of it.
const consistentTries = 3

// consistent takes lake, database and bus so that they fit together.
func (t *taker) consistent(ctx context.Context) error {
	for try := 1; ; try++ {
		err := t.moment(ctx)
		if !errors.Is(err, errMoved) || try == consistentTries {
			return err
		}
		t.opts.Log.Warn("backup: lake and bus do not fit together and are taken anew", "try", try, "error", err)
		if err := tidy(t.src.Data); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		t.tree = newTree(t.src.Data, t.sum.Name, t.opts.Log)
		t.objects = nil
		t.sum.CopiedBytes, t.sum.CopiedFiles = 0, 0
	}
}

func (t *taker) moment(ctx context.Context) error {
	held := func() error { return nil }
	if run := t.src.Running; run != nil {
		h, release, err := run.Hold(ctx)
		if err != nil {
			return err
		}
		defer release()
		held = h
	}
	t.prog.phase(PhaseLake)
	place, err := t.engineFiles()
	if err != nil {
		return err
	}
	if err := t.metrics(ctx); err != nil {
		return err
	}
	if err := t.tree.engine(ctx); err != nil {
		return err
	}
	linked := time.Now()
	t.prog.phase(PhaseState)
	// The audit log's statements outside the database must not be younger than
	// its records in it.
	if err := t.tree.plain(ctx, auditDir, nil); err != nil {
		return err
	}
	if err := t.state(ctx); err != nil {
		return err
	}
	if run := t.src.Running; run != nil {
		select {
		case <-time.After(time.Until(linked.Add(run.Settle))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := t.tree.index(ctx); err != nil {
		return err
	}
	t.prog.phase(PhaseBus)
	if t.src.Running == nil {
		t.sum.Bus = place
		return t.stillBus(ctx)
	}
	at, err := t.src.Running.Streams(ctx, func(p string, size int64, r io.Reader) error {
		return t.fromBus(ctx, path.Join(busDir, p), size, r)
	})
	if err != nil {
		return err
	}
	if err := held(); err != nil {
		return fmt.Errorf("backup: %w: %w", errMoved, err)
	}
	at.Stored, at.Detected = place.Stored, place.Detected
	t.sum.Bus = at
	next := min(place.Stored, place.Detected) + 1
	if place.Epoch != "" && place.Epoch != at.Epoch {
		return fmt.Errorf("backup: %w: the engine was at epoch %s, the bus is at %s", errMoved, place.Epoch, at.Epoch)
	}
	if at.First > next && at.First <= at.Last {
		return fmt.Errorf("backup: %w: it begins at batch %d, and %d would be read next", errMoved, at.First, next)
	}
	return nil
}

// engineFiles takes the engine's place on the bus and what detection
// remembers.
func (t *taker) engineFiles() (Place, error) {
	files, at, err := readPlace(t.src.Data)
	for p, data := range files {
		t.tree.addBytes(engineDir, p, data)
	}
	return at, err
}

// PlaceOf tells where the engine of a data folder stands by its files: Epoch,
// Stored and Detected.
func PlaceOf(data string) (Place, error) {
	_, at, err := readPlace(data)
	return at, err
}

func readPlace(data string) (files map[string][]byte, at Place, err error) {
	var ckpt struct {
		Epoch  string
		Stored uint64
	}
	var detected struct {
		After uint64
	}
	files = map[string][]byte{}
	for p, v := range map[string]any{checkpoint: &ckpt, detection: &detected, metricPlace: new(any)} {
		file := filepath.Join(data, filepath.FromSlash(p))
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing was stored yet
		}
		if err != nil {
			return nil, at, fmt.Errorf("backup: %w", err)
		}
		// A checksum may follow the document.
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(v); err != nil {
			return nil, at, fmt.Errorf("backup: %s: %w", file, err)
		}
		files[p] = text
	}
	return files, Place{Epoch: ckpt.Epoch, Stored: ckpt.Stored, Detected: detected.After}, nil
}

// state copies the databases.
func (t *taker) state(ctx context.Context) error {
	to := filepath.Join(t.tree.stage, filepath.FromSlash(stateFile))
	if err := t.src.CopyState(ctx, to); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	t.tree.copied(stateFile, to)
	// The items come after what was told of them, and before the files that they
	// name.
	from := filepath.Join(t.src.Data, filepath.FromSlash(ledgerFile))
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	to = filepath.Join(t.tree.stage, filepath.FromSlash(ledgerFile))
	if err := state.Copy(ctx, from, to); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	t.tree.copied(ledgerFile, to)
	return nil
}

// metrics takes the metric lake as it freezes itself. A backup without it is
// better than none: it says so.
func (t *taker) metrics(ctx context.Context) error {
	run := t.src.Running
	if run == nil || run.Metrics == nil {
		return nil
	}
	t.tree.metrics = true
	dir, release, err := run.Metrics(ctx)
	if err == nil && release != nil {
		t.release = append(t.release, release)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		t.opts.Log.Warn("backup: the metric lake is left out", "error", err)
		t.tree.leftOut = append(t.tree.leftOut, metricsDir)
		return nil
	}
	if dir == "" {
		return nil // it is kept elsewhere
	}
	return t.tree.frozen(ctx, metricsDir, dir)
}

// fromBus takes one file of the running bus.
func (t *taker) fromBus(ctx context.Context, p string, size int64, r io.Reader) error {
	if size < looseSize {
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		t.tree.addBytes(path.Dir(p), p, data)
		return nil
	}
	// It is copied at once and not kept aside, and without a bound, since the
	// bus keeps everything until it is done.
	free := *t.pack
	free.pace = nil
	was := t.pack
	t.pack = &free
	defer func() { t.pack = was }()
	return t.put(ctx, unit{[]entry{{path: p, size: size, open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}}})
}

// stillBus takes the files of a bus that nobody uses.
func (t *taker) stillBus(ctx context.Context) error {
	for _, stream := range t.src.BusStreams {
		at := path.Join(busDir, stream)
		err := t.tree.plain(ctx, at, func(p string) bool { return p == path.Join(at, "obs") })
		if err != nil {
			return err
		}
	}
	return nil
}

// rest takes everything else in the data folder, and what lies outside of it.
func (t *taker) rest(ctx context.Context) error {
	keys := t.repo.Encrypted() || t.opts.WithKeys
	out := map[string]bool{stateFile: true, stateFile + "-wal": true, stateFile + "-shm": true, ledgerFile: true, ledgerFile + "-wal": true, ledgerFile + "-shm": true, path.Join(busDir, "jetstream"): true,
		auditDir: true, engineDir: true, keysFile: true}
	for _, p := range passing {
		out[p] = true
	}
	err := t.tree.plain(ctx, ".", func(p string) bool {
		if !keys && (p == keysDir || p == tlsDir) {
			t.tree.leftOut = append(t.tree.leftOut, p)
			return true
		}
		return out[p]
	})
	if err != nil {
		return err
	}
	outside := func(p, from string) error {
		err := t.tree.one(ctx, p, from, t.tree.stage, nil)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w (%s in the backup)", err, p)
		}
		return err
	}
	if keys {
		if err := outside(keysFile, t.src.KeyFile); err != nil {
			return err
		}
		t.sum.MasterKey = true
	}
	if t.src.Config != "" {
		if err := outside(path.Join(configDir, "icewatch.yaml"), t.src.Config); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.src.Folders)) {
		if err := outside(path.Join(configDir, name), t.src.Folders[name]); err != nil {
			return err
		}
	}
	return nil
}

// copy copies what was gathered.
func (t *taker) copy(ctx context.Context) error {
	units := t.tree.all()
	files, size := 0, int64(0)
	for _, u := range units {
		files += len(u.entries)
		for _, e := range u.entries {
			size += e.size
		}
	}
	t.prog.total(files, size)
	t.prog.phase(PhaseCopying)
	for _, u := range units {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.put(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// finish writes list and description; with the latter the backup is there.
func (t *taker) finish(ctx context.Context) error {
	t.prog.phase(PhaseWriting)
	seen := map[string]bool{}
	for _, o := range t.objects {
		for _, f := range o.Files {
			if seen[f.Path] {
				return fmt.Errorf("backup: %s was taken twice: such a backup could not be restored", f.Path)
			}
			seen[f.Path] = true
		}
		t.sum.Files += len(o.Files)
		t.sum.Bytes += o.bytes()
		t.sum.StoredBytes += o.Stored
	}
	t.sum.Classes = t.tree.classes()
	for _, c := range t.sum.Classes {
		t.sum.Rows += c.Rows
	}
	t.sum.LeftOut = append(append([]string{}, t.tree.leftOut...), t.src.Elsewhere...)
	slices.SortFunc(t.objects, func(a, b object) int { return cmp.Compare(a.Files[0].Path, b.Files[0].Path) })
	if err := ctx.Err(); err != nil {
		return err
	}
	path := t.repo.backupPath(t.sum.Name)
	var err error
	if t.sum.ListSum, err = writeList(path+listSuffix, t.objects); err != nil {
		return full(t.repo.dir, fmt.Errorf("backup: %w", errors.Join(err, ignoreMissing(os.Remove(path+listSuffix)))))
	}
	t.sum.Finished = time.Now().UTC()
	data, err := formatDescription(t.sum)
	if err == nil {
		err = replace(path, data)
	}
	if err != nil {
		return full(t.repo.dir, fmt.Errorf("backup: %w", errors.Join(err, ignoreMissing(os.Remove(path+listSuffix)))))
	}
	if err := ignoreMissing(os.Remove(filepath.Join(t.repo.dir, unfinishedFile))); err != nil {
		t.opts.Log.Warn("backup: the list of an interrupted backup is not removed", "error", err)
	}
	return nil
}
