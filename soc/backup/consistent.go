package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"icewatch/soc/state"
)

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
