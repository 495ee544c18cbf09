package filetail

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// identity names a file whatever its path.
type identity struct {
	Dev   uint64 `json:"dev"`
	Inode uint64 `json:"inode"`
}

// position is how far one stream has been read.
type position struct {
	Stream string `json:"stream"` // random name of this content
	Path   string `json:"path"`   // where it was last seen
	identity
	Offset int64 `json:"offset"` // everything before has been acknowledged
	Skip   bool  `json:"skip"`   // the line at Offset is the rest of one that was cut
	// Encoding is what was found of the content, where it had to be found.
	Encoding string `json:"encoding,omitempty"`
	// Prefix is how many of the first bytes Hash covers.
	Prefix int       `json:"prefix"`
	Hash   string    `json:"hash"`
	Seen   time.Time `json:"seen"`

	searched bool // its file has been looked for since the start
}

const (
	maxPrefix    = 1024
	copyPrefix   = 64                  // a shorter beginning does not prove that two files are copies
	keepPosition = 30 * 24 * time.Hour // how long files that are gone are remembered
	maxPositions = 20_000
)

// hashPrefix hashes the first n bytes of a file. ok is false where it has
// fewer.
func hashPrefix(f io.ReaderAt, n int) (sum string, ok bool) {
	if n == 0 {
		return "", true
	}
	buf := make([]byte, n)
	if got, _ := f.ReadAt(buf, 0); got < n {
		return "", false
	}
	h := sha256.Sum256(buf)
	return hex.EncodeToString(h[:16]), true
}

// matches tells whether f still begins with what the position was made of.
func (p *position) matches(f io.ReaderAt) bool {
	sum, ok := hashPrefix(f, p.Prefix)
	return ok && sum == p.Hash
}

// grow lets the hash cover as much as the file has by now.
func (p *position) grow(f io.ReaderAt, size int64) bool {
	n := int(min(size, maxPrefix))
	if n <= p.Prefix {
		return false
	}
	sum, ok := hashPrefix(f, n)
	if ok {
		p.Prefix, p.Hash = n, sum
	}
	return ok
}

func newStream() string {
	var b [8]byte
	rand.Read(b[:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// positions is the position file.
type positions struct {
	path  string
	list  []*position
	dirty bool
}

type positionsFile struct {
	Version   int         `json:"version"`
	Positions []*position `json:"positions"`
}

// loadPositions reads the file at path; a missing one is empty. A damaged one
// is an error: to start over silently would double every line.
func loadPositions(path string) (*positions, error) {
	p := &positions{path: path}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		p.dirty = true
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("filetail: read positions: %w", err)
	}
	var file positionsFile
	if err := json.Unmarshal(data, &file); err != nil || file.Version != 1 {
		return nil, fmt.Errorf("filetail: position file %s is damaged or of another version (remove it to read all files anew): %v", path, err)
	}
	p.list = file.Positions
	return p, nil
}

// save writes the file so that a kill at any moment leaves the old or the new
// one.
func (p *positions) save() error {
	data, err := json.Marshal(positionsFile{1, p.list})
	if err != nil {
		return fmt.Errorf("filetail: encode positions: %w", err)
	}
	temp := p.path + ".new"
	if err := writeSync(temp, data); err != nil {
		return fmt.Errorf("filetail: write positions: %w", err)
	}
	if err := os.Rename(temp, p.path); err != nil {
		return fmt.Errorf("filetail: write positions: %w", err)
	}
	if err := syncDir(filepath.Dir(p.path)); err != nil {
		return fmt.Errorf("filetail: write positions: %w", err)
	}
	p.dirty = false
	return nil
}

func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// prune forgets the files that have been gone for long.
func (p *positions) prune(now time.Time) {
	p.list = slices.DeleteFunc(p.list, func(e *position) bool { return now.Sub(e.Seen) > keepPosition })
	if len(p.list) > maxPositions {
		slices.SortStableFunc(p.list, func(a, b *position) int { return a.Seen.Compare(b.Seen) })
		p.list = slices.Clone(p.list[len(p.list)-maxPositions:])
	}
}

// resume finds the position of a file: that of the same inode with the same
// beginning, or that of the file it is a copy of, as rotation by copying and
// truncating leaves it.
//
// Equal beginnings alone do not make a copy: logs often start with the same
// banner, and to take one for a copy would lose its lines. A copy's name is
// made of the original's, and the original is still in its place.
func (p *positions) resume(id identity, path string, f io.ReaderAt, size int64) (pos *position, copied bool) {
	for _, e := range p.list {
		if e.identity == id && size >= e.Offset && e.matches(f) {
			return e, false
		}
	}
	for i := len(p.list) - 1; i >= 0; i-- {
		e := p.list[i]
		if e.identity == id || e.Prefix < copyPrefix || size < e.Offset || path == e.Path || !isSibling(e.Path, path) || !e.matches(f) {
			continue
		}
		if info, err := os.Stat(e.Path); e.identity == (identity{}) || err == nil && identify(info) == e.identity {
			return e, true
		}
	}
	return nil, false
}

// add takes in the position of a new content. What its inode held before is
// remembered for its copies alone.
func (p *positions) add(e *position) {
	for _, o := range p.list {
		if o.identity == e.identity {
			o.identity = identity{}
		}
	}
	p.list = append(p.list, e)
	p.dirty = true
}
