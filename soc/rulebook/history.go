package rulebook

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What made a version.
const (
	Created  = "created"
	Changed  = "changed"
	Deleted  = "deleted"
	Restored = "restored"
	ByImport = "imported"
	Outside  = "outside" // the file was changed by hand
	Enabled  = "enabled"
	Switched = "disabled"
)

// Version is one line of a rule's history. Those of switching a rule on and
// off have no text and no revision of their own.
type Version struct {
	Revision int       `json:"revision,omitempty"` // from 1 on
	At       time.Time `json:"at"`
	By       string    `json:"by,omitempty"` // empty where the file was changed by hand
	Action   string    `json:"action"`
	Note     string    `json:"note,omitempty"`
	Source   string    `json:"source,omitempty"` // the file as it was; of a deletion as it was before
	ID       string    `json:"id"`
}

// Versions returns what happened to a rule, the latest first. Rules that came
// with the suite have been switched at most.
func (b *Book) Versions(id string) ([]Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.find(id); e != nil {
		id = e.ID
	}
	out, err := b.history(id)
	slices.Reverse(out)
	return out, err
}

// Deleted returns the last version of each rule that was deleted, the latest
// deletion first.
func (b *Book) Deleted() ([]Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	files, err := os.ReadDir(filepath.Join(b.dir, historyDir))
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	out := []Version{}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".jsonl")
		if !ok {
			continue
		}
		versions, err := b.read(name)
		if err != nil {
			return nil, err
		}
		if last := latest(versions); last != nil && last.Action == Deleted && b.find(last.ID) == nil {
			out = append(out, *last)
		}
	}
	slices.SortFunc(out, func(a, b Version) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}

// latest is the last version that has a text.
func latest(versions []Version) *Version {
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].Revision > 0 {
			return &versions[i]
		}
	}
	return nil
}

func next(last *Version) int {
	if last == nil {
		return 1
	}
	return last.Revision + 1
}

func (b *Book) history(id string) ([]Version, error) { return b.read(fileName(id)) }

func (b *Book) read(name string) ([]Version, error) {
	f, err := os.Open(filepath.Join(b.dir, historyDir, name+".jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	defer f.Close()
	var out []Version
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil // a last line without its end was cut off by a crash
		}
		if err != nil {
			return nil, fmt.Errorf("rulebook: %w", err)
		}
		var v Version
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("rulebook: history %s, line %d: %w", name, len(out)+1, err)
		}
		out = append(out, v)
	}
}

// record appends a version durably.
func (b *Book) record(id string, v Version) (*Version, error) {
	v.ID, v.At = id, b.now().UTC()
	line, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	path := filepath.Join(b.dir, historyDir, fileName(id)+".jsonl")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	end, err := whole(f)
	if err == nil {
		_, err = f.WriteAt(append(line, '\n'), end)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("rulebook: write %s: %w", path, err)
	}
	return &v, nil
}

// whole tells where the last whole line of a file ends, and cuts off what a
// crash left behind it.
func whole(f *os.File) (int64, error) {
	data, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	end := int64(strings.LastIndexByte(string(data), '\n') + 1)
	if end == int64(len(data)) {
		return end, nil
	}
	return end, f.Truncate(end)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// fileName names a rule's files: by its id, where that can name one.
func fileName(id string) string {
	if plainName.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "rule-" + hex.EncodeToString(sum[:12])
}

// replaceFile replaces a file so that a crash leaves the old or the new one.
func replaceFile(path string, data []byte) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new") // hidden from who reads the folder meanwhile
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("rulebook: write %s: %w", path, err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	return nil
}
