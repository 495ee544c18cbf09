package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
)

// sum is what one file was like when its part was new.
type sum struct {
	Size int64  `json:"size"`
	XXH  string `json:"xxh64"` // XXH64 of the content, hexadecimal
}

// partSums is what one part was like.
type partSums struct {
	Files    map[string]sum  `json:"files"`
	Metadata json.RawMessage `json:"metadata,omitempty"` // the content of metadata.json
	Checked  time.Time       `json:"checked"`            // when the files last agreed
}

// ledger is the sums of one table's parts by name.
type ledger struct {
	Parts map[string]*partSums `json:"parts"`
}

func (s *Store) ledgerPath(t table) string { return filepath.Join(s.Sums, t.path, "sums.json") }
func (s *Store) copyPath(t table, part string) string {
	return filepath.Join(s.Sums, t.path, "copies", part)
}

// readLedger reads the sums of a table. A ledger that is itself damaged is as
// none: it must never speak against a good part.
func (s *Store) readLedger(t table) ledger {
	l := ledger{Parts: map[string]*partSums{}}
	raw, err := os.ReadFile(s.ledgerPath(t))
	if errors.Is(err, fs.ErrNotExist) {
		return l
	}
	if err == nil {
		err = parseLedger(raw, &l)
	}
	if err != nil {
		s.Log.Warn("scrub: the checksums of a table are not usable and are taken anew", "file", s.ledgerPath(t), "error", err)
		return ledger{Parts: map[string]*partSums{}}
	}
	return l
}

// parseLedger reads a line with the sum of what follows, then the JSON.
func parseLedger(raw []byte, l *ledger) error {
	const head = 17
	if len(raw) < head || raw[head-1] != '\n' {
		return errors.New("the sum of the ledger itself is missing")
	}
	if hex64(xxhash.Sum64(raw[head:])) != string(raw[:head-1]) {
		return errors.New("the ledger does not agree with its own sum")
	}
	if err := json.Unmarshal(raw[head:], l); err != nil {
		return err
	}
	for name, p := range l.Parts {
		if p == nil || !partName(name) {
			return fmt.Errorf("the ledger names %.40q", name)
		}
	}
	if l.Parts == nil {
		l.Parts = map[string]*partSums{}
	}
	return nil
}

func (s *Store) writeLedger(t table, l ledger) error {
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	path := s.ledgerPath(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return replace(path, append([]byte(hex64(xxhash.Sum64(body))+"\n"), body...))
}

func hex64(v uint64) string {
	s := strconv.FormatUint(v, 16)
	return "0000000000000000"[:16-len(s)] + s
}

// sumFile reads a whole file through pace, which may slow it down.
func sumFile(path string, pace func(n int) error) (sum, error) {
	f, err := os.Open(path)
	if err != nil {
		return sum{}, err
	}
	defer f.Close()
	h := xxhash.New()
	buf := make([]byte, 256<<10)
	var size int64
	for {
		n, err := f.Read(buf)
		_, _ = h.Write(buf[:n])
		size += int64(n)
		if n > 0 {
			if err := pace(n); err != nil {
				return sum{}, err
			}
		}
		if errors.Is(err, io.EOF) {
			return sum{Size: size, XXH: hex64(h.Sum64())}, nil
		}
		if err != nil {
			return sum{}, err
		}
	}
}

// take writes down what a part is like. It fails where the part goes away
// meanwhile, as parts do that are merged.
func (s *Store) take(t table, part string, pace func(n int) error) (*partSums, error) {
	dir := filepath.Join(s.Dir, t.path, part)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	p := &partSums{Files: map[string]sum{}, Checked: time.Now().UTC()}
	for _, e := range entries {
		if p.Files[e.Name()], err = sumFile(filepath.Join(dir, e.Name()), pace); err != nil {
			return nil, err
		}
	}
	if p.Metadata, err = os.ReadFile(filepath.Join(dir, metadataFile)); err != nil {
		return nil, err
	}
	if !json.Valid(p.Metadata) {
		return nil, fmt.Errorf("%s is no JSON", metadataFile)
	}
	if !t.data {
		if err := copyFolder(dir, s.copyPath(t, part)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// replace replaces a file so that a crash leaves the old or the new one.
func replace(path string, data []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("scrub: write %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return nil
}

// copyFolder copies a folder of files, durably, so that it is there whole or
// not at all.
func copyFolder(from, to string) error {
	tmp := to + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	err := os.MkdirAll(tmp, 0o700)
	if err == nil {
		err = os.CopyFS(tmp, os.DirFS(from))
	}
	if err == nil {
		err = filepath.WalkDir(tmp, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return syncFolder(path) // fsync takes files and folders alike
		})
	}
	if err == nil {
		err = os.RemoveAll(to)
	}
	if err == nil {
		err = os.Rename(tmp, to)
	}
	if err != nil {
		_ = os.RemoveAll(tmp)
		return fmt.Errorf("scrub: copy %s: %w", from, err)
	}
	return syncFolder(filepath.Dir(to))
}
