package ruleset

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// fresh is how long a file's time of change may not be trusted: two writes
// within the clock of a file system leave the same time and perhaps the same
// size, so that a file read so soon after its change is read once more.
const fresh = 2 * time.Second

// Loader reads sources again and again, and of files only those that changed
// since the time before. It is for one goroutine.
type Loader struct {
	sources []Source
	known   map[string]known // by File.Path
}

// known is a file as it was read.
type known struct {
	size    int64
	changed time.Time
	read    time.Time
	data    []byte
	sum     [sha256.Size]byte
}

// NewLoader makes a loader for the sources, in their order.
func NewLoader(sources []Source) *Loader { return &Loader{sources: sources, known: map[string]known{}} }

// Load reads all sources. It never fails as a whole: what cannot be read is
// among the bundle's problems. Tests beside the rules (*.test.yml,
// *_test.rego), hidden files and the folders of Beside are left out.
//
// A file is read again where its size or its time of change differ from the
// last time, or anew is true.
func (l *Loader) Load(anew bool) *Bundle {
	b := &Bundle{}
	begun := time.Now()
	b.Origin.Noticed = begun.UTC().Round(0)
	now := make(map[string]known, len(l.known))
	size := 0
	for _, src := range l.sources {
		fail := func(name string, err error) {
			b.Problems = append(b.Problems, Problem{Path: path.Join(src.Name, name), Reason: err.Error()})
		}
		if src.FS == nil {
			fail("", fmt.Errorf("the source has no files"))
			continue
		}
		err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				fail(name, err)
				if d != nil && d.IsDir() && name != "." {
					return fs.SkipDir
				}
				return nil
			}
			if base := path.Base(name); strings.HasPrefix(base, ".") && name != "." {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if d.IsDir() || !wanted(name) {
				return nil
			}
			info, err := d.Info()
			if err == nil && d.Type()&fs.ModeSymlink != 0 {
				if info, err = fs.Stat(src.FS, name); err != nil || !info.Mode().IsRegular() {
					return nil // a folder behind a link could be a loop
				}
			}
			if err != nil {
				fail(name, err)
				return nil
			}
			if !info.Mode().IsRegular() {
				return nil
			}
			full := path.Join(src.Name, name)
			k, had := l.known[full]
			if anew || !had || !k.is(info) {
				before := k.sum
				if k, err = l.read(src.FS, name, info); err != nil {
					fail(name, err)
					return nil
				}
				if len(l.known) > 0 && (!had || k.sum != before) && k.changed.After(b.Origin.Written) {
					b.Origin.Written = k.changed.UTC()
				}
			}
			if size += len(k.data); size > maxBundle || len(b.Files) >= maxFiles {
				return fmt.Errorf("more than %d files or %d MiB: the rest is left out", maxFiles, maxBundle>>20)
			}
			now[full] = k
			b.Files = append(b.Files, File{Source: src.Name, Path: full, Data: k.data, sum: k.sum})
			return nil
		})
		if err != nil {
			fail("", err)
		}
	}
	l.known = now
	b.Version = b.version()
	b.Origin.Read = time.Since(begun)
	return b
}

// is tells whether the file is still as it was read, as far as its size and
// its time of change tell.
func (k *known) is(info fs.FileInfo) bool {
	return k.size == info.Size() && k.changed.Equal(info.ModTime()) && !k.changed.IsZero() && k.read.Sub(k.changed) > fresh
}

func (l *Loader) read(fsys fs.FS, name string, info fs.FileInfo) (known, error) {
	k := known{size: info.Size(), changed: info.ModTime(), read: time.Now()}
	var err error
	if k.data, err = read(fsys, name); err != nil {
		return known{}, err
	}
	k.sum = sha256.Sum256(k.data)
	return k, nil
}
