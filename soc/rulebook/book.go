// Package rulebook keeps the rules that people make in the console: one YAML
// file a rule in a folder that may as well be a git working copy, every
// version of it with who and when, and the list of rules that are switched
// off, those that come with the suite included. It also judges a rule before
// it is kept: what is wrong with it and where, what it means in words, and
// what it would have found in events that are already stored.
//
// It is one more source of the rule set: the centre's keeper reads it last, so
// that a rule of the same id overrides the one that came with the suite.
package rulebook

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/detections/ruleset"
)

// SourceName is the source's name in the paths of the rule set.
const SourceName = "own"

// The folders and files below the book's own folder.
const (
	rulesDir   = "own"
	historyDir = "history"
	offFile    = "off.json"
)

// MaxSource is how many bytes the file of one rule may have.
const MaxSource = 1 << 20

// What the book refuses.
var (
	ErrNotFound = errors.New("no such rule")
	ErrInvalid  = errors.New("the rule is not valid")
	ErrConflict = errors.New("the rule has changed meanwhile")
)

// Entry is one rule of the book. A rule that counts others holds those it
// counts in the same file.
type Entry struct {
	ID        string    // of the file's main rule: the last correlation, else the first rule
	Rules     []string  // ids of all rules in the file
	Source    string    // the file
	File      string    // its path below the folder of rules
	Revision  int       // of the last version
	UpdatedAt time.Time // of the last version
	UpdatedBy string
}

// Book holds the rules. It is safe for concurrent use.
type Book struct {
	dir string
	now func() time.Time

	beside      map[string]Keeper // by folder
	importing   atomic.Int32
	required    atomic.Bool
	requiredToo atomic.Bool // of suppressions
	deciding    sync.Mutex  // over the proposals; taken before mu

	mu      sync.Mutex
	entries map[string]*Entry // by id of the main rule
	holds   map[string]string // id of any rule to that of its file's main rule
	off     map[string]Off
}

// Open opens the book in a folder, which it makes where it is not there.
func Open(dir string) (*Book, error) {
	b := &Book{dir: dir, now: time.Now}
	for _, d := range []string{rulesDir, historyDir, proposalsDir, testDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("rulebook: %w", err)
		}
	}
	if err := errors.Join(b.readOff(), b.readApproval()); err != nil {
		return nil, err
	}
	if err := b.Refresh(); err != nil {
		return nil, err
	}
	return b, nil
}

// Source is the book as a source of the rule set.
func (b *Book) Source() ruleset.Source {
	return ruleset.Source{Name: SourceName, FS: os.DirFS(b.Folder())}
}

// Folder is where the files of the rules lie.
func (b *Book) Folder() string { return filepath.Join(b.dir, rulesDir) }

// Importing tells that an import writes rules at this moment: what is there is
// a part of what is to come, and not worth putting in force.
func (b *Book) Importing() bool { return b.importing.Load() > 0 }

// Refresh reads the folder again. What somebody changed there by hand, or by a
// pull of git, becomes a version of its own.
func (b *Book) Refresh() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries, holds := map[string]*Entry{}, map[string]string{}
	before := make(map[string]*Entry, len(b.entries))
	for _, e := range b.entries {
		before[e.File] = e
	}
	root := os.DirFS(b.Folder())
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(path.Base(p), ".") && p != "." {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !isRule(p) {
			return nil
		}
		data, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		if e := before[p]; e != nil && e.Source == string(data) && entries[e.ID] == nil {
			entries[e.ID] = e
			for _, id := range e.Rules {
				holds[id] = e.ID
			}
			return nil
		}
		e := &Entry{Source: string(data), File: p}
		if e.ID, e.Rules = identities(data); e.ID == "" {
			// It is broken: it is still there to be mended, under its file's name.
			e.ID = strings.TrimSuffix(path.Base(p), path.Ext(p))
		}
		if _, twice := entries[e.ID]; twice {
			return nil // the rule set names the second file as a mistake
		}
		entries[e.ID] = e
		for _, id := range e.Rules {
			holds[id] = e.ID
		}
		return b.settle(e)
	})
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	b.entries, b.holds = entries, holds
	return nil
}

// settle takes an entry's revision from its history, to which it adds what was
// changed by hand.
func (b *Book) settle(e *Entry) error {
	versions, err := b.history(e.ID)
	if err != nil {
		return err
	}
	last := latest(versions)
	if last == nil || last.Source != e.Source || last.Action == Deleted {
		last, err = b.record(e.ID, Version{Revision: next(last), Action: Outside, Source: e.Source})
		if err != nil {
			return err
		}
	}
	e.Revision, e.UpdatedAt, e.UpdatedBy = last.Revision, last.At, last.By
	return nil
}

func isRule(name string) bool {
	return (strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")) && !strings.HasSuffix(name, ".test.yml") && !strings.HasSuffix(name, ".test.yaml")
}

// List returns the entries by id.
func (b *Book) List() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Entry, 0, len(b.entries))
	for _, e := range b.entries {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Get returns the entry that holds the rule, be it its main one or not.
func (b *Book) Get(id string) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(id)
	if e == nil {
		return Entry{}, false
	}
	return *e, true
}

func (b *Book) find(id string) *Entry {
	if e := b.entries[id]; e != nil {
		return e
	}
	return b.entries[b.holds[id]]
}

// Change says who changes a rule and why.
type Change struct {
	By       string
	Note     string
	Revision int    // that was read before the change; 0 where nothing is to be there
	Action   string // Created and Changed where it is empty
}

// Create takes in a rule. Rules without an id get one. It is ErrConflict where
// the book already holds a rule of one of the ids.
func (b *Book) Create(source string, c Change) (Entry, error) {
	ready, err := prepare(source, "")
	if err != nil {
		return Entry{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ready.ids {
		if e := b.find(id); e != nil {
			return Entry{}, fmt.Errorf("%w: a rule with the id %s is already kept in %s", ErrConflict, id, e.File)
		}
	}
	return b.write(&Entry{ID: ready.main, Rules: ready.ids, Source: ready.source}, c, Created)
}

// Update replaces a rule whose revision is still the one that was read. The id
// of its main rule stays: under another one it would be another rule.
func (b *Book) Update(id, source string, c Change) (before, after Entry, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := b.find(id)
	if had == nil {
		return before, after, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	before = *had
	if c.Revision != had.Revision {
		return before, after, fmt.Errorf("%w: revision %d was read, and it is at %d by %s", ErrConflict, c.Revision, had.Revision, cmp.Or(had.UpdatedBy, "hand"))
	}
	ready, err := prepare(source, had.ID)
	if err != nil {
		return before, after, err
	}
	if ready.main != had.ID {
		return before, after, fmt.Errorf("%w: the id of this rule is %s, not %s: a rule of another id is a new rule", ErrInvalid, had.ID, ready.main)
	}
	for _, x := range ready.ids {
		if e := b.find(x); e != nil && e != had {
			return before, after, fmt.Errorf("%w: a rule with the id %s is already kept in %s", ErrConflict, x, e.File)
		}
	}
	if ready.source == had.Source {
		return before, before, nil
	}
	after, err = b.write(&Entry{ID: had.ID, Rules: ready.ids, Source: ready.source, File: had.File}, c, Changed)
	return before, after, err
}

// write writes the file, then its version: where the machine stops between
// the two, the file is taken for changed by hand and nothing is lost.
func (b *Book) write(e *Entry, c Change, action string) (Entry, error) {
	if e.File == "" {
		e.File = fileName(e.ID) + ".yml"
	}
	if err := replaceFile(filepath.Join(b.dir, rulesDir, filepath.FromSlash(e.File)), []byte(e.Source)); err != nil {
		return Entry{}, err
	}
	versions, err := b.history(e.ID)
	if err != nil {
		return Entry{}, err
	}
	v, err := b.record(e.ID, Version{Revision: next(latest(versions)), By: c.By, Action: cmp.Or(c.Action, action), Note: c.Note, Source: e.Source})
	if err != nil {
		return Entry{}, err
	}
	e.Revision, e.UpdatedAt, e.UpdatedBy = v.Revision, v.At, v.By
	b.drop(e.ID)
	b.entries[e.ID] = e
	for _, id := range e.Rules {
		b.holds[id] = e.ID
	}
	return *e, nil
}

func (b *Book) drop(id string) {
	if e := b.entries[id]; e != nil {
		for _, x := range e.Rules {
			delete(b.holds, x)
		}
		delete(b.entries, id)
	}
}

// Delete removes a rule's file. Its versions stay, and with Restore it is back.
func (b *Book) Delete(id string, c Change) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(id)
	if e == nil {
		return Entry{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err := os.Remove(filepath.Join(b.dir, rulesDir, filepath.FromSlash(e.File))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fmt.Errorf("rulebook: %w", err)
	}
	was := *e
	b.drop(e.ID)
	_, err := b.record(was.ID, Version{Revision: was.Revision + 1, By: c.By, Action: Deleted, Note: c.Note, Source: was.Source})
	return was, err
}

// Restore puts a version back in force, as a new one. It brings back a rule
// that was deleted.
func (b *Book) Restore(id string, revision int, c Change) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	main := id
	if e := b.find(id); e != nil {
		main = e.ID
	}
	versions, err := b.history(main)
	if err != nil {
		return Entry{}, err
	}
	for i := range versions {
		v := &versions[i]
		if v.Revision != revision || v.Source == "" {
			continue
		}
		_, ids := identities([]byte(v.Source))
		for _, x := range ids {
			if e := b.find(x); e != nil && e.ID != main {
				return Entry{}, fmt.Errorf("%w: a rule with the id %s is by now kept in %s", ErrConflict, x, e.File)
			}
		}
		file := ""
		if e := b.entries[main]; e != nil {
			file = e.File
		}
		return b.write(&Entry{ID: main, Rules: ids, Source: v.Source, File: file}, c, Restored)
	}
	return Entry{}, fmt.Errorf("%w: %s has no revision %d", ErrNotFound, id, revision)
}
