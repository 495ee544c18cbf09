package policy

import (
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Shelf puts policies in force and remembers, over restarts too, the last good
// state of each file: where a file is broken, unsigned or wrongly signed, that
// state stays in force in its place. A file that is taken away is gone. It is
// safe for concurrent use.
type Shelf struct {
	keys   Keys
	path   string
	record func(*Record)

	mu   sync.Mutex
	good map[string]File // by path
	sum  [sha256.Size]byte
	set  *Set
	bad  []Problem
}

// OpenShelf opens the shelf that keeps its memory in the file at path; where
// that is empty, it forgets when the process ends. record, which may be nil, is
// told of decisions; it must not block.
func OpenShelf(path string, keys Keys, record func(*Record)) (*Shelf, error) {
	for name, k := range keys.Keys {
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("policy: key %q: %w", name, err)
		}
	}
	s := &Shelf{keys: keys, path: path, record: record, good: map[string]File{}}
	if path == "" {
		return s, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("policy: the last good policies: %w", err)
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(&s.good); err != nil {
		return nil, fmt.Errorf("policy: the last good policies: %s is damaged: %w; remove it to go on without them", path, err)
	}
	return s, nil
}

// Load puts the policies in files in force and says which are not. An error
// says that they are in force but could not be remembered.
func (s *Shelf) Load(files []File) (*Set, []Problem, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sumOf(files)
	if s.set != nil && s.sum == sum {
		return s.set, s.bad, nil
	}
	set, problems := New(files, s.keys)
	faulty := map[string]bool{}
	for _, p := range problems {
		faulty[p.Path] = true
	}
	if len(problems) > 0 {
		set, problems = s.fallBack(files, set, problems, faulty)
	}
	set.record = s.record
	s.set, s.bad, s.sum = set, problems, sum
	return set, problems, s.remember(files, faulty)
}

// fallBack puts the last good state of faulty files in their place, as far as
// there is one that works beside the other files.
func (s *Shelf) fallBack(files []File, set *Set, problems []Problem, faulty map[string]bool) (*Set, []Problem) {
	mended := slices.Clone(files)
	kept := map[string]bool{}
	for i := range mended {
		if old, ok := s.good[mended[i].Path]; ok && faulty[mended[i].Path] {
			mended[i].Data, kept[mended[i].Path] = old.Data, true
		}
	}
	if len(kept) == 0 {
		return set, problems
	}
	again, more := New(mended, s.keys)
	for _, p := range more {
		delete(kept, p.Path)
		if !faulty[p.Path] {
			// What is good among the new files is not good among the old ones.
			problems = append(problems, p)
		}
	}
	for i := range problems {
		problems[i].Kept = kept[problems[i].Path]
	}
	return again, problems
}

// remember keeps the files that are good now, and of the faulty ones what was
// good before.
func (s *Shelf) remember(files []File, faulty map[string]bool) error {
	good, changed := make(map[string]File, len(files)), false
	for _, f := range files {
		old, had := s.good[f.Path]
		if faulty[f.Path] {
			if had {
				good[f.Path] = old
			}
			continue
		}
		good[f.Path] = f
		changed = changed || !had || string(old.Data) != string(f.Data)
	}
	if !changed && len(good) == len(s.good) {
		return nil
	}
	s.good = good
	if s.path == "" {
		return nil
	}
	if err := save(s.path, good); err != nil {
		return fmt.Errorf("policy: remember the good policies in %s: %w", s.path, err)
	}
	return nil
}

// save writes the files beside path first, so that a crash leaves the old ones
// or the new ones.
func save(path string, files map[string]File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // there is none any more where all went well
	err = gob.NewEncoder(f).Encode(files)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func sumOf(files []File) [sha256.Size]byte {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%d:%s%d:%s%d:", len(f.Source), f.Source, len(f.Path), f.Path, len(f.Data))
		h.Write(f.Data)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
