// Package integrity watches files for changes of content, owner and mode. What
// was seen last lies in a file of the agent's, so that what changed while the agent
// was down is told, too. The kernel's notices make a change known at once; whole
// scans at an interval find what these missed.
package integrity

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

// Bounds.
const (
	maxFiles   = 100_000
	maxWatches = 4096 // folders with the kernel's notices; the rest is scanned
	defaultMax = 64 << 20
	batch      = 256
	settle     = 200 * time.Millisecond // a file that is being written is looked at when it rests
	// rest is how many times longer than it worked a scan rests: it takes a tenth
	// of a core at most.
	rest = 9
)

// Dataset is the event.dataset of the changes.
const Dataset = "agent.integrity"

// Watcher watches the files of one plan at a time.
type Watcher struct {
	path string // of what was seen last
	sink intake.Sink
	held func() bool
	log  *slog.Logger

	mu     sync.Mutex
	key    string
	cancel context.CancelFunc
	done   chan struct{}
	state  wire.InputState
}

// New keeps what was seen in dir. held tells whether scans are to wait; it may be nil.
func New(dir string, sink intake.Sink, held func() bool, log *slog.Logger) *Watcher {
	if held == nil {
		held = func() bool { return false }
	}
	return &Watcher{path: filepath.Join(dir, "integrity.json"), sink: sink, held: held, log: log}
}

// Check looks at a plan's patterns.
func Check(plan *wire.Integrity) error {
	if plan == nil {
		return nil
	}
	for _, p := range plan.Exclude {
		if _, err := filepath.Match(p, "x"); err != nil {
			return &wire.DocumentError{Part: "integrity", Text: fmt.Sprintf("exclude: %q is no pattern: %v", p, err)}
		}
	}
	return nil
}

// Apply puts a plan in force; nil ends the watch.
func (w *Watcher) Apply(plan *wire.Integrity) {
	text, _ := json.Marshal(plan)
	w.mu.Lock()
	same := w.key == string(text) && w.cancel != nil
	w.mu.Unlock()
	if same {
		return
	}
	w.Stop()
	if plan == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	w.key, w.cancel, w.done = string(text), cancel, make(chan struct{})
	w.state = wire.InputState{Name: "integrity", Plugin: "integrity", State: "running"}
	done := w.done
	w.mu.Unlock()
	go func() {
		defer close(done)
		w.run(ctx, *plan)
	}()
}

// Stop ends the watch.
func (w *Watcher) Stop() {
	w.mu.Lock()
	cancel, done := w.cancel, w.done
	w.cancel, w.key = nil, ""
	w.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// State tells how the watch fares; ok is false where there is none.
func (w *Watcher) State() (s wire.InputState, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state, w.cancel != nil
}

func (w *Watcher) trouble(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.State, w.state.Error = "running", ""
	if err != nil {
		w.state.State, w.state.Error = "failing", err.Error()
	}
}

// entry is what was seen of a file.
type entry struct {
	Size  int64  `json:"s"`
	Time  int64  `json:"t"` // of change, Unix nanoseconds
	Mode  uint32 `json:"m"`
	Owner string `json:"o,omitempty"`
	Hash  string `json:"h,omitempty"`
	Link  string `json:"l,omitempty"`
	// Inode is when anything of the file changed, which nobody can set back.
	Inode int64 `json:"c,omitempty"`
}

type seen struct {
	Paths []string         `json:"paths"` // of the plan: files outside are new, not created
	Files map[string]entry `json:"files"`
}

// scan is one look at the files of a plan.
type scan struct {
	w     *Watcher
	plan  wire.Integrity
	last  seen
	watch *fsnotify.Watcher
	full  bool
}

func (w *Watcher) run(ctx context.Context, plan wire.Integrity) {
	interval := time.Duration(plan.Interval)
	if interval == 0 {
		interval = time.Hour
	}
	s := &scan{w: w, plan: plan, last: w.load()}
	if s.plan.MaxSize == 0 {
		s.plan.MaxSize = defaultMax
	}
	var notices chan fsnotify.Event
	if watch, err := fsnotify.NewWatcher(); err != nil {
		w.log.Warn("the kernel gives no notices of changes; files are scanned alone", "error", err)
	} else {
		defer watch.Close()
		s.watch, notices = watch, watch.Events
		go func() {
			for range watch.Errors { //nolint:revive // A notice that was lost is found by the next scan.
			}
		}()
	}
	if err := s.whole(ctx); err != nil && ctx.Err() == nil {
		w.trouble(err)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	changed := map[string]bool{}
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-notices:
			if len(changed) < 10_000 {
				changed[e.Name] = true
			}
			if settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			w.trouble(s.some(ctx, changed))
			clear(changed)
		case <-ticker.C:
			if err := s.whole(ctx); ctx.Err() == nil {
				w.trouble(err)
			}
		}
	}
}

func (w *Watcher) load() (s seen) {
	if data, err := os.ReadFile(w.path); err == nil {
		if err := json.Unmarshal(data, &s); err != nil {
			w.log.Warn("what was seen of watched files is damaged; the watch begins anew", "error", err)
			s = seen{}
		}
	}
	if s.Files == nil {
		s.Files = map[string]entry{}
	}
	return s
}

func (w *Watcher) save(s seen) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(w.path), ".integrity-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), w.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// change is what is told of one file.
type change struct {
	path     string
	old, now *entry
}

func (s *scan) excluded(path string) bool {
	return slices.ContainsFunc(s.plan.Exclude, func(p string) bool {
		whole, _ := filepath.Match(p, path)
		base, _ := filepath.Match(p, filepath.Base(path))
		return whole || base || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/")
	})
}

// covered tells whether the plan of the last save had a path.
func covered(paths []string, path string) bool {
	return slices.ContainsFunc(paths, func(p string) bool {
		return path == p || strings.HasPrefix(path, strings.TrimSuffix(p, string(filepath.Separator))+string(filepath.Separator))
	})
}

// whole looks at every file.
func (s *scan) whole(ctx context.Context) error {
	found := map[string]entry{}
	var problems error
	var changes []change
	s.full = false
	worked := time.Now()
	for _, root := range s.plan.Paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) {
					problems = cmp.Or(problems, err)
				}
				return nil
			}
			if path != root && s.excluded(path) {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if d.IsDir() {
				s.notice(path)
			}
			if len(found) >= maxFiles {
				s.full = true
				return filepath.SkipAll
			}
			if e, ok := s.look(path); ok {
				found[path] = e
				if c, ok := s.compare(path, &e); ok {
					changes = append(changes, c)
				}
			}
			if spent := time.Since(worked); spent > 20*time.Millisecond {
				if err := s.pause(ctx, rest*spent); err != nil {
					return err
				}
				worked = time.Now()
			}
			return nil
		})
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			problems = cmp.Or(problems, err)
		}
	}
	for path := range s.last.Files {
		if _, ok := found[path]; !ok && covered(s.plan.Paths, path) && !s.excluded(path) && !s.full {
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				old := s.last.Files[path]
				changes = append(changes, change{path, &old, nil})
			} else if err != nil {
				found[path] = s.last.Files[path] // It cannot be looked at now.
			}
		}
	}
	if s.full {
		problems = cmp.Or(problems, fmt.Errorf("more than %d files; those beyond are not watched: name fewer paths or exclude some", maxFiles))
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	if err := s.tell(ctx, changes); err != nil {
		return err
	}
	same := len(changes) == 0 && len(found) == len(s.last.Files) && slices.Equal(s.last.Paths, s.plan.Paths)
	s.last = seen{Paths: s.plan.Paths, Files: found}
	if same {
		return problems
	}
	if err := s.w.save(s.last); err != nil {
		return fmt.Errorf("keep what was seen: %w", err)
	}
	return problems
}

// some looks at the files of notices.
func (s *scan) some(ctx context.Context, paths map[string]bool) error {
	var changes []change
	for path := range paths {
		if !covered(s.plan.Paths, path) || s.excluded(path) {
			continue
		}
		old, known := s.last.Files[path]
		e, ok := s.look(path)
		switch {
		case ok:
			if info, err := os.Lstat(path); err == nil && info.IsDir() && !known {
				return s.whole(ctx) // A new folder may have files already.
			}
			if c, is := s.compare(path, &e); is {
				changes = append(changes, c)
			}
		case known:
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				changes = append(changes, change{path, &old, nil})
			}
		}
	}
	if len(changes) == 0 {
		return nil
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.path, b.path) })
	if err := s.tell(ctx, changes); err != nil {
		return err
	}
	for _, c := range changes {
		if c.now == nil {
			delete(s.last.Files, c.path)
		} else {
			s.last.Files[c.path] = *c.now
		}
	}
	return s.w.save(s.last)
}

func (s *scan) notice(dir string) {
	if s.watch != nil && len(s.watch.WatchList()) < maxWatches {
		_ = s.watch.Add(dir) // Where it cannot be, the scans are left.
	}
}

func (s *scan) pause(ctx context.Context, d time.Duration) error {
	for {
		t := time.NewTimer(min(d, 2*time.Second))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		if !s.w.held() {
			return nil
		}
		d = time.Second
	}
}

// compare tells what is new of a file. Files that no plan had before are the
// beginning, not a change.
func (s *scan) compare(path string, e *entry) (change, bool) {
	old, known := s.last.Files[path]
	switch {
	case !known && !covered(s.last.Paths, path):
		return change{}, false
	case !known:
		return change{path, nil, e}, true
	case old.Hash != e.Hash, old.Size != e.Size, old.Mode != e.Mode, old.Owner != e.Owner, old.Link != e.Link, old.Hash == "" && old.Time != e.Time && !fs.FileMode(e.Mode).IsDir():
		return change{path, &old, e}, true
	}
	return change{}, false
}

// look sees a file. What did not change in size, time and mode keeps its hash.
func (s *scan) look(path string) (e entry, ok bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return e, false
	}
	e = entry{Time: info.ModTime().UnixNano(), Mode: uint32(info.Mode()), Owner: owner(info), Inode: changedAt(info)}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		e.Link, _ = os.Readlink(path)
	case info.Mode().IsRegular():
		e.Size = info.Size()
		if old, known := s.last.Files[path]; known && old.Size == e.Size && old.Time == e.Time && old.Inode == e.Inode && old.Hash != "" {
			e.Hash = old.Hash
			break
		}
		if e.Size <= s.plan.MaxSize {
			e.Hash = hash(path, s.plan.MaxSize)
		}
	case !info.IsDir():
		return e, false // Devices, sockets and pipes have no content.
	}
	return e, true
}

func hash(path string, most int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, most)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// tell makes the changes durable as events.
func (s *scan) tell(ctx context.Context, changes []change) error {
	for part := range slices.Chunk(changes, batch) {
		var recs []intake.Record
		for _, c := range part {
			recs = append(recs, c.record())
		}
		for {
			err := s.w.sink.Append(ctx, recs)
			if err == nil {
				break
			}
			if ctx.Err() != nil || errors.Is(err, intake.ErrClosed) {
				return fmt.Errorf("tell of changes: %w", err)
			}
			if err := s.pause(ctx, 500*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// record is an event of the Elastic Common Schema. Its id is made of what changed,
// so that the same change told twice is stored once.
func (c change) record() intake.Record {
	now := time.Now()
	doc := map[string]any{"@timestamp": now.UTC().Format(time.RFC3339Nano), "event.kind": "event", "event.category": "file", "event.dataset": Dataset,
		"event.module": "agent", "file.path": c.path, "file.name": filepath.Base(c.path), "file.directory": filepath.Dir(c.path)}
	action, kind := "updated", "change"
	switch {
	case c.old == nil:
		action, kind = "created", "creation"
	case c.now == nil:
		action, kind = "deleted", "deletion"
	case c.old.Hash == c.now.Hash && c.old.Size == c.now.Size && c.old.Link == c.now.Link && c.now.Hash != "":
		action = "attributes_modified"
	}
	doc["event.action"], doc["event.type"] = action, kind
	if e := c.now; e != nil {
		doc["file.size"], doc["file.mtime"], doc["file.mode"] = e.Size, time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), fmt.Sprintf("%04o", fs.FileMode(e.Mode).Perm())
		for name, v := range map[string]string{"file.hash.sha256": e.Hash, "file.owner": e.Owner, "file.target_path": e.Link} {
			if v != "" {
				doc[name] = v
			}
		}
	}
	if e := c.old; e != nil {
		doc["icewatch.file.previous.size"], doc["icewatch.file.previous.mode"] = e.Size, fmt.Sprintf("%04o", fs.FileMode(e.Mode).Perm())
		for name, v := range map[string]string{"icewatch.file.previous.sha256": e.Hash, "icewatch.file.previous.owner": e.Owner} {
			if v != "" {
				doc[name] = v
			}
		}
	}
	doc["message"] = action + " " + c.path
	text, _ := json.Marshal(doc) // Texts and numbers: it cannot fail.
	sum := sha256.New()
	for _, e := range []*entry{c.old, c.now} {
		if e == nil {
			fmt.Fprint(sum, "none;")
		} else {
			fmt.Fprintf(sum, "%+v;", *e)
		}
	}
	fmt.Fprint(sum, c.path)
	return intake.Record{Collector: "agent", Format: intake.JSON, Received: now.UnixNano(), Time: now.UnixNano(), ID: "integrity/" + hex.EncodeToString(sum.Sum(nil)[:16]), Data: text,
		Attrs: []intake.Attr{{Name: "event.dataset", Value: Dataset}}}
}
