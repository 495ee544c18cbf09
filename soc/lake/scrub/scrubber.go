package scrub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Options say how a running lake is watched.
type Options struct {
	Look   time.Duration // between looks for new parts; 10 s where it is 0
	Period time.Duration // in which every file is read once; 0 never reads again
	Rate   int64         // bytes a second that are read for it; 16 MiB where it is 0
}

// Run takes the sums of new parts and compares those of old ones until ctx
// ends. What it finds damaged goes to found, once each; the store stays open
// meanwhile, so nothing is moved.
func (s *Store) Run(ctx context.Context, o Options, found func(Finding)) {
	if o.Look <= 0 {
		o.Look = 10 * time.Second
	}
	if o.Rate <= 0 {
		o.Rate = 16 << 20
	}
	w := &watcher{store: s, opts: o, found: found, told: map[string]bool{}, lists: map[string]time.Time{},
		limit: rate.NewLimiter(rate.Limit(o.Rate), 1<<20)}
	// Comparing takes as long as it takes; new parts are looked for all the same.
	var wg sync.WaitGroup
	if o.Period > 0 {
		// What is due is looked up rarely: that reads the sums of all days.
		wg.Go(func() { every(ctx, max(o.Look, o.Period/1000), func() { w.compare(ctx) }) })
	}
	every(ctx, o.Look, func() {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("scrub: new parts have no checksums yet", "error", err)
		}
	})
	wg.Wait()
}

// every does something now and at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

type watcher struct {
	store *Store
	opts  Options
	found func(Finding)
	lists map[string]time.Time // when a table's list was last changed, as far as known
	limit *rate.Limiter

	mu   sync.Mutex // held while a ledger is changed
	told map[string]bool
}

// look brings the sums up to date with the lists of parts.
func (w *watcher) look(ctx context.Context) error {
	list, _, err := w.store.tables()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	var errs []error
	for _, t := range list {
		seen[filepath.Join(w.store.Sums, t.path)] = true
		info, err := os.Stat(filepath.Join(w.store.Dir, t.path, partsFile))
		if err != nil || info.ModTime().Equal(w.lists[t.path]) {
			continue
		}
		whole, err := w.update(ctx, t)
		if err != nil {
			errs = append(errs, err)
		} else if whole {
			w.lists[t.path] = info.ModTime()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	w.forget(seen)
	return errors.Join(errs...)
}

// update takes the sums of a table's new parts and lets go of those of parts
// that are no more. It tells whether every listed part has its sums now.
func (w *watcher) update(ctx context.Context, t table) (whole bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.store
	names, err := s.listed(t)
	if err != nil {
		return false, nil // replaced at this moment, or damaged: the next start will tell
	}
	l := s.readLedger(t)
	changed, whole := false, true
	for _, part := range names {
		if l.Parts[part] != nil {
			continue
		}
		p, err := s.take(t, part, func(int) error { return ctx.Err() })
		if errors.Is(err, fs.ErrNotExist) {
			whole = false // merged away meanwhile
			continue
		}
		if err != nil {
			return false, err
		}
		if f := s.checkPart(t, part, nil, 0, nil); f != nil {
			w.tell(*f) // damaged before it was ever summed
			continue
		}
		l.Parts[part], changed = p, true
	}
	if whole {
		for part := range l.Parts {
			if !slices.Contains(names, part) {
				delete(l.Parts, part)
				changed = true
				_ = os.RemoveAll(s.copyPath(t, part))
			}
		}
	}
	if !changed {
		return whole, nil
	}
	return whole, s.writeLedger(t, l)
}

// forget removes the sums of tables that are no more, such as those of days
// beyond retention.
func (w *watcher) forget(seen map[string]bool) {
	var gone []string
	_ = filepath.WalkDir(w.store.Sums, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == dataTable || d.Name() == indexTable) {
			if !seen[path] {
				gone = append(gone, path)
			}
			return filepath.SkipDir
		}
		return nil
	})
	for _, path := range gone {
		_ = os.RemoveAll(path)
		_ = os.Remove(filepath.Dir(path)) // the day, once both of its tables are gone
	}
}

// compare reads the parts that were not read for a period.
func (w *watcher) compare(ctx context.Context) {
	s := w.store
	list, _, err := s.tables()
	if err != nil {
		return
	}
	type due struct {
		t    table
		part string
		at   time.Time
	}
	var all []due
	before := time.Now().Add(-w.opts.Period)
	for _, t := range list {
		for part, p := range s.readLedger(t).Parts {
			if p.Checked.Before(before) {
				all = append(all, due{t, part, p.Checked})
			}
		}
	}
	slices.SortFunc(all, func(a, b due) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	for _, d := range all {
		known := s.readLedger(d.t).Parts[d.part]
		if known == nil {
			continue
		}
		f := s.checkPart(d.t, d.part, known, -1, func(n int) error { return w.limit.WaitN(ctx, n) })
		if ctx.Err() != nil {
			return
		}
		names, err := s.listed(d.t)
		if err == nil && !slices.Contains(names, d.part) {
			continue // merged away meanwhile
		}
		w.mu.Lock()
		if f != nil {
			w.tell(*f)
		} else if l := s.readLedger(d.t); l.Parts[d.part] != nil {
			l.Parts[d.part].Checked = time.Now().UTC()
			if err := s.writeLedger(d.t, l); err != nil {
				s.Log.Warn("scrub: when a part was compared is not noted", "error", err)
			}
		}
		w.mu.Unlock()
	}
}

func (w *watcher) tell(f Finding) {
	if key := f.Path + "\x00" + f.File; !w.told[key] {
		w.told[key] = true
		w.found(f)
	}
}

// Suspect notes that a part is to be compared whole at the next start, before
// the store is opened.
func (s *Store) Suspect(path string) error {
	list := s.Suspects()
	if slices.Contains(list, path) {
		return nil
	}
	raw, err := json.Marshal(append(list, path))
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	if err := os.MkdirAll(s.Sums, 0o700); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return replace(s.suspectPath(), raw)
}

// Suspects lists the parts that were noted.
func (s *Store) Suspects() (list []string) {
	raw, err := os.ReadFile(s.suspectPath())
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(path string) bool { return !filepath.IsLocal(path) })
}

// ClearSuspects forgets them.
func (s *Store) ClearSuspects() { _ = os.Remove(s.suspectPath()) }

func (s *Store) suspectPath() string { return filepath.Join(s.Sums, "suspects.json") }
