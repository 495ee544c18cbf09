package ruleset

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a folder must be quiet before it is read: who writes a
	// file, or unpacks many, is not interrupted half way.
	settle = 50 * time.Millisecond
	// atLatest is when it is read although it is not quiet.
	atLatest = 500 * time.Millisecond
	// restful is how many times as long as a look at the folders took nobody
	// looks again, so that thousands of rules cost a hundredth of a core at most.
	restful = 100
)

// Follow calls changed when something in the folders may have changed, until
// ctx ends: soon after the system tells of it, and besides at every interval,
// longer where looking takes long, since file systems of other machines tell
// nothing. Folders need not be there yet.
func Follow(ctx context.Context, dirs []string, every time.Duration, log *slog.Logger, changed func()) {
	poll := time.NewTimer(every)
	defer poll.Stop()
	var events <-chan fsnotify.Event
	var faults <-chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("rules: the system cannot tell of changes, so that the folders are looked at every "+every.String(), "error", err)
	} else {
		defer w.Close()
		events, faults = w.Events, w.Errors
	}
	complained := false
	watch := func(dir string) {
		dir, err := filepath.EvalSymlinks(dir) // a folder of rules may be a link
		if w == nil || err != nil {
			return
		}
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil
			}
			if path != dir && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			if err := w.Add(path); err != nil && !complained {
				complained = true
				log.Warn("rules: the system does not tell of changes in every folder; they are looked at every "+every.String(), "folder", path, "error", err)
			}
			return nil
		})
	}
	all := func() {
		for _, dir := range dirs {
			watch(dir)
		}
	}
	all()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var first time.Time // of the changes that were not told yet
	for {
		select {
		case ev, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if ev.Has(fsnotify.Create) {
				watch(ev.Name)
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(settle, time.Until(first.Add(atLatest)))))
		case _, ok := <-faults: // some changes went by
			if !ok {
				faults = nil
				continue
			}
			quiet.Reset(settle)
		case <-quiet.C:
			first = time.Time{}
			changed()
		case <-poll.C:
			begun := time.Now()
			all()
			changed()
			poll.Reset(max(every, restful*time.Since(begun)))
		case <-ctx.Done():
			return
		}
	}
}
