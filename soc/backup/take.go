package backup

import (
	"cmp"
	"context"
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
