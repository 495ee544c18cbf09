package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// unfinishedEvery is how often the list of what is copied already is kept, so
// that the next backup need not copy it again where this one breaks off.
const unfinishedEvery = 5 * time.Minute

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

// keepUnfinished keeps the list of what is copied already.
func (t *taker) keepUnfinished() error {
	t.kept = time.Now()
	if len(t.objects) == 0 {
		return nil
	}
	_, err := writeList(filepath.Join(t.repo.dir, unfinishedFile), t.objects)
	return full(t.repo.dir, err)
}
