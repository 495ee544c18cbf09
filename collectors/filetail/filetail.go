package filetail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// Collector follows files.
type Collector struct {
	cfg      Config
	deps     collectors.Deps
	log      *slog.Logger
	counters *collectors.Counters
	text     reading

	positions *positions
	files     []*file
	first     bool // the first scan ever, without a position file
	pruned    time.Time
	batch     []intake.Record
	size      int

	started atomic.Bool
	stopped atomic.Bool
	ctx     context.Context
	cancel  context.CancelFunc
	stop    chan struct{}
	done    chan struct{}
}

var _ collectors.Collector = (*Collector)(nil)

// A batch goes to the sink when it has this many bytes or records.
const (
	batchBytes   = 256 << 10
	batchRecords = 4096
)

// New makes a collector of files.
func New(cfg Config, deps collectors.Deps) (*Collector, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if cfg.Host == "" {
		cfg.Host, _ = os.Hostname() // Without one the field stays empty.
	}
	enc, err := cfg.encoding()
	if err != nil {
		return nil, err // check has said so.
	}
	text := reading{enc: enc, auto: cfg.Encoding == auto, maxBytes: cfg.MaxLine, maxLines: cfg.MaxLines, wait: time.Duration(cfg.MultilineSeconds) * time.Second}
	if cfg.Multiline != "" {
		if text.start, err = regexp.Compile(cfg.Multiline); err != nil {
			return nil, err // Likewise.
		}
	}
	return &Collector{cfg: cfg, text: text, deps: deps, log: deps.Log.With("collector", cfg.ID),
		counters: collectors.NewCounters(deps.Metrics, cfg.ID), stop: make(chan struct{}), done: make(chan struct{})}, nil
}

// Start reads the position file and begins to follow. Files need not exist
// yet.
func (c *Collector) Start(context.Context) error {
	if err := os.MkdirAll(filepath.Dir(c.cfg.PositionFile), 0o700); err != nil {
		return fmt.Errorf("filetail: %s: folder of the position file: %w", c.cfg.ID, err)
	}
	p, err := loadPositions(c.cfg.PositionFile)
	if err != nil {
		return err
	}
	c.first = p.dirty
	if err := p.save(); err != nil {
		return fmt.Errorf("filetail: %s: %w", c.cfg.ID, err)
	}
	c.positions = p
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.counters.Running(true)
	c.started.Store(true)
	go c.run()
	return nil
}

// Health tells how the collector fares.
func (c *Collector) Health() collectors.Health {
	return c.counters.Health(c.cfg.ID, "filetail", strings.Join(c.cfg.Paths, " "))
}

// Stop ends following. What was read and not acknowledged is read again at the
// next start, so nothing is given up.
func (c *Collector) Stop(ctx context.Context) error {
	if !c.started.Load() || c.stopped.Swap(true) {
		return nil
	}
	close(c.stop)
	defer context.AfterFunc(ctx, c.cancel)()
	<-c.done
	c.cancel()
	for _, t := range c.files {
		t.f.Close()
	}
	c.counters.Running(false)
	return nil
}

func (c *Collector) stopping() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

func (c *Collector) run() {
	defer close(c.done)
	for !c.stopping() {
		c.scan()
		c.first = false
		// A stream must be known on disk before its first record is sent.
		if c.positions.dirty && !c.save() {
			c.pause(time.Second)
			continue
		}
		if !c.read() {
			c.pause(c.cfg.PollInterval)
		}
	}
}

func (c *Collector) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.stop:
	}
}

func (c *Collector) fail(what string, err error) {
	c.counters.Failed(fmt.Errorf("%s: %w", what, err))
	c.log.Warn("filetail: "+what, "error", err)
}

func (c *Collector) save() bool {
	if err := c.positions.save(); err != nil {
		c.fail("save positions", err)
		return false
	}
	return true
}

// packed are endings of files that rotation has compressed.
var packed = []string{".gz", ".xz", ".zst", ".bz2", ".lz4", ".zip"}

// wanted lists the paths that the configuration names.
func (c *Collector) wanted() []string {
	var paths []string
	for _, pattern := range c.cfg.Paths {
		found, _ := filepath.Glob(pattern) // The patterns were checked by New.
		for _, path := range found {
			if !c.excluded(path) {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (c *Collector) excluded(path string) bool {
	if slices.Contains(packed, filepath.Ext(path)) {
		return true
	}
	for _, pattern := range c.cfg.Exclude {
		if ok, _ := filepath.Match(pattern, path); ok {
			return true
		}
		if ok, _ := filepath.Match(pattern, filepath.Base(path)); ok {
			return true
		}
	}
	return false
}

// scan looks for new, renamed, truncated and vanished files.
func (c *Collector) scan() {
	now := time.Now()
	for _, t := range c.files {
		t.present = false
	}
	for _, path := range c.wanted() {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if t := c.open(identify(info)); t != nil {
			t.present = true
			t.pos.Path = path
			continue
		}
		if len(c.files) >= c.cfg.MaxFiles {
			c.fail("open "+path, fmt.Errorf("%d files are followed already", c.cfg.MaxFiles))
			continue
		}
		c.begin(path, now)
	}
	c.findRenamed(now)
	for _, t := range slices.Clone(c.files) {
		t.pos.Seen = now
		c.check(t, now)
	}
	if now.Sub(c.pruned) > time.Hour {
		c.pruned = now
		c.positions.prune(now)
	}
}

// open returns the file of that identity, if it is being followed.
func (c *Collector) open(id identity) *file {
	for _, t := range c.files {
		if t.pos.identity == id && !t.closing {
			return t
		}
	}
	return nil
}

// begin opens a file that is not followed yet.
func (c *Collector) begin(path string, now time.Time) {
	f, err := os.Open(path)
	if err != nil {
		c.fail("open "+path, err)
		return
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		c.fail("open "+path, err)
		return
	}
	id := identify(info)
	pos, copied := c.positions.resume(id, path, f, info.Size())
	switch {
	case pos != nil && copied:
		// The copy goes on where the original was read to, under the same IDs.
		twin := *pos
		twin.identity, twin.Path, twin.Seen = id, path, now
		pos = &twin
		c.positions.add(pos)
	case pos != nil:
		pos.Path, pos.Seen = path, now
	default:
		pos = &position{Stream: newStream(), Path: path, identity: id, Seen: now}
		if c.first && c.cfg.ReadFrom == "end" {
			pos.Offset = info.Size()
		}
		pos.grow(f, info.Size())
		c.positions.add(pos)
	}
	c.files = append(c.files, newFile(f, pos, &c.text, now))
	c.log.Info("filetail: following", "path", path, "offset", pos.Offset, "stream", pos.Stream)
}

// findRenamed opens the files that were renamed out of the configuration's
// paths while the collector was not running, to read their last lines. It
// looks once for each position.
func (c *Collector) findRenamed(now time.Time) {
	for _, pos := range c.positions.list {
		if pos.identity == (identity{}) || c.follows(pos) || c.looked(pos) {
			continue
		}
		for _, path := range siblings(pos.Path) {
			info, err := os.Stat(path)
			if err != nil || identify(info) != pos.identity || info.Size() <= pos.Offset {
				continue
			}
			f, err := os.Open(path)
			if err != nil {
				continue
			}
			if !pos.matches(f) {
				f.Close()
				continue
			}
			t := newFile(f, pos, &c.text, now)
			t.present = false
			c.files = append(c.files, t)
			c.log.Info("filetail: reading the rest of a renamed file", "path", path, "offset", pos.Offset)
			break
		}
	}
}

func (c *Collector) follows(pos *position) bool {
	return slices.ContainsFunc(c.files, func(t *file) bool { return t.pos == pos })
}

// looked tells whether the position's file has been searched for since the
// start: only positions that the position file brought need it.
func (c *Collector) looked(pos *position) bool {
	if pos.searched {
		return true
	}
	pos.searched = true
	return false
}

// siblings lists the files that rotation may have made of path.
func siblings(path string) []string {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		if name := filepath.Join(dir, e.Name()); e.Type().IsRegular() && name != path && isSibling(path, name) {
			found = append(found, name)
		}
	}
	return found
}

// isSibling tells whether rotation may have made other of path: app.log
// becomes app.log.1 or app-20261123.log.
func isSibling(path, other string) bool {
	base := filepath.Base(path)
	stem := strings.TrimSuffix(base, filepath.Ext(base))
	if stem == "" {
		stem = base
	}
	return filepath.Dir(path) == filepath.Dir(other) && strings.HasPrefix(filepath.Base(other), stem) &&
		!slices.Contains(packed, filepath.Ext(other))
}

// check notices truncation and growth of a file, and closes what is over.
func (c *Collector) check(t *file, now time.Time) {
	info, err := t.f.Stat()
	if err != nil {
		c.fail("stat "+t.pos.Path, err)
		return
	}
	if t.dead {
		return
	}
	size := info.Size()
	touched := size != t.size || !info.ModTime().Equal(t.changed)
	if size < t.start+int64(len(t.buf)) || touched && !t.pos.matches(t.f) {
		c.truncated(t, now)
		return
	}
	t.changed = info.ModTime()
	if size != t.size {
		t.size, t.grown = size, now
		if t.pos.grow(t.f, size) {
			c.positions.dirty = true
		}
	}
	if !t.present && size <= t.start+int64(len(t.buf)) && now.Sub(t.grown) > c.cfg.RotateWait {
		t.closing = true
	}
}

// truncated gives the file a new stream. What was written to the old content
// after the last read is looked for in a copy beside it.
func (c *Collector) truncated(t *file, now time.Time) {
	old := t.pos
	c.log.Info("filetail: truncated", "path", old.Path, "read", old.Offset)
	t.closing, t.dead = true, true // What is in its buffer is the old content's last, unfinished line.
	for _, path := range siblings(old.Path) {
		info, err := os.Stat(path)
		if err != nil || identify(info) == old.identity || info.Size() < old.Offset || old.Prefix < copyPrefix {
			continue
		}
		if o := c.open(identify(info)); o != nil {
			if o.pos.Stream != old.Stream {
				continue
			}
			t.buf, t.event = nil, gathering{} // The scan has found the copy already.
			break
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if !old.matches(f) {
			f.Close()
			continue
		}
		// The copy has the whole of the unfinished line and event too.
		t.buf, t.event = nil, gathering{}
		twin := *old
		twin.identity, twin.Path, twin.Seen = identify(info), path, now
		c.positions.add(&twin)
		rest := newFile(f, &twin, &c.text, now)
		rest.present = slices.Contains(c.wanted(), path)
		c.files = append(c.files, rest)
		c.log.Info("filetail: reading the rest from the copy", "path", path, "offset", twin.Offset)
		break
	}
	f, err := os.Open(old.Path)
	if err != nil {
		return // Gone again: the next scan finds what comes.
	}
	info, err := f.Stat()
	if err != nil || identify(info) != old.identity {
		f.Close()
		return
	}
	fresh := &position{Stream: newStream(), Path: old.Path, identity: old.identity, Seen: now}
	fresh.grow(f, info.Size())
	c.positions.add(fresh)
	c.files = append(c.files, newFile(f, fresh, &c.text, now))
}

// read takes lines from all files. more is true where something was read.
func (c *Collector) read() (more bool) {
	for i := 0; i < len(c.files) && !c.stopping(); i++ {
		t := c.files[i]
		n, err := t.fill()
		if err != nil {
			c.fail("read "+t.pos.Path, err)
			continue
		}
		more = more || n > 0
		flush := t.closing && n == 0 || c.cfg.PartialTimeout > 0 && n == 0 && len(t.buf) > 0 && time.Since(t.grown) > c.cfg.PartialTimeout
		take := func(l line) { c.add(t, l) }
		switch {
		case n > 0 || flush:
			t.lines(flush, take)
		case t.idle(time.Now()):
			t.complete(take)
		default:
			continue
		}
		if c.size >= batchBytes || len(c.batch) >= batchRecords {
			if !c.flush() {
				return false
			}
		}
	}
	if !c.flush() {
		return false
	}
	c.files = slices.DeleteFunc(c.files, func(t *file) bool {
		if t.closing && len(t.buf) == 0 && t.event.lines == 0 {
			c.log.Info("filetail: done with", "path", t.pos.Path, "stream", t.pos.Stream)
			t.f.Close()
			return true
		}
		return false
	})
	return more
}

// markInvalid is the pipeline's mark for bytes that were no text and were replaced.
const markInvalid = "invalid_utf8"

// add makes a record of an event.
func (c *Collector) add(t *file, l line) {
	id := make([]byte, 0, 48)
	id = append(id, t.pos.Stream...)
	id = append(id, '-')
	id = strconv.AppendInt(id, l.offset, 10)
	id = append(id, '-')
	id = strconv.AppendInt(id, int64(l.size), 10)
	rec := intake.Record{Tenant: c.cfg.Tenant, Zone: c.cfg.Zone, Collector: c.cfg.ID, Format: intake.Line,
		Received: time.Now().UnixNano(), ID: string(id), Data: l.text,
		Attrs: []intake.Attr{{Name: "log.file.path", Value: t.pos.Path}, {Name: "log.offset", Value: strconv.FormatInt(l.offset, 10)}}}
	if c.cfg.Host != "" {
		rec.Attrs = append(rec.Attrs, intake.Attr{Name: "host.name", Value: c.cfg.Host})
	}
	if l.cut {
		rec.Marks = append(rec.Marks, collectors.MarkTruncated)
	}
	if l.open {
		rec.Marks = append(rec.Marks, collectors.MarkPartial)
	}
	if l.replaced {
		rec.Marks = append(rec.Marks, markInvalid)
	}
	c.size += len(l.text)
	if err := collectors.Fit(c.deps.Aside, &rec); err != nil {
		c.log.Warn("filetail: a long line could not be kept whole", "path", t.pos.Path, "error", err)
	}
	rec.Marks = slices.Compact(rec.Marks)
	c.batch = append(c.batch, rec)
}

// flush hands the batch to the sink, again and again until it takes it, and
// then moves the positions. It returns false where the collector stops before.
func (c *Collector) flush() bool {
	wait := 10 * time.Millisecond
	for len(c.batch) > 0 {
		err := c.deps.Sink.Append(c.ctx, c.batch)
		if err == nil {
			c.counters.Received(len(c.batch), c.size)
			c.counters.Failed(nil)
			clear(c.batch)
			c.batch, c.size = c.batch[:0], 0
			break
		}
		if c.ctx.Err() != nil || errors.Is(err, intake.ErrClosed) && c.stopping() {
			return false
		}
		c.fail("store lines", err)
		c.pause(wait)
		if c.stopping() {
			return false // They are read again at the next start.
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
	moved := false
	for _, t := range c.files {
		moved = t.commit() || moved
	}
	if moved || c.positions.dirty {
		c.save()
	}
	return true
}
