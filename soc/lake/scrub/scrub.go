// Package scrub finds damage in the files of the lake and sets it aside.
//
// The storage library writes a part (a folder of files) once and never changes
// it, but it keeps no checksums, and it ends the whole process on a file that
// it cannot read. So this room keeps checksums of its own: what each part's
// files were like when the part was new is written down beside the lake, and a
// slow pass compares. What is found damaged is moved away with a note while
// the store is closed, so that the library opens the rest.
//
// A table is a folder of parts with a list of those that count, parts.json. A
// day's partition has two: datadb with the events, and indexdb with the names
// of their streams. Without its index an event is not found, and the index is
// small: of its parts a whole copy is kept, and put back in place of a damaged
// one.
package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	partsFile    = "parts.json"
	metadataFile = "metadata.json"
	dataTable    = "datadb"
	indexTable   = "indexdb"
	partitions   = "partitions"
)

// Store is the stores below one folder: where they are, where their sums are
// kept, and where damaged parts go. The sums may be removed at any time; they
// are taken anew then.
type Store struct {
	Dir     string // of the lake
	Sums    string // folder of checksums and copies, beside the lake
	Damaged string // folder under which each finding gets one of its own
	Log     *slog.Logger
}

// Finding is one damaged thing.
type Finding struct {
	Path string `json:"path"` // of a part, a list of parts or a partition, relative to the lake
	File string `json:"file,omitempty"`
	Why  string `json:"why"`
	// Rows is how many events the part held and From and To their times, as
	// far as they are known.
	Rows uint64    `json:"rows,omitempty"`
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Mended says that nothing is missing: a copy was put back.
	Mended bool `json:"mended,omitempty"`
}

// String says it in a line.
func (f Finding) String() string {
	s := f.Path
	if f.File != "" {
		s += "/" + f.File
	}
	return s + ": " + f.Why
}

// metadata is what the library writes of a part of events.
type metadata struct {
	FormatVersion       uint64
	CompressedSizeBytes uint64
	RowsCount           uint64
	BlocksCount         uint64
	MinTimestamp        int64
	MaxTimestamp        int64
	// Of a part of the index.
	ItemsCount uint64
}

// table is one folder of parts.
type table struct {
	path string // relative to the lake
	data bool   // holds events
}

// tables lists the tables below the lake, and partitions whose names the
// library would not bear.
func (s *Store) tables() (list []table, strange []Finding, err error) {
	err = filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		if filepath.Base(filepath.Dir(path)) != partitions {
			return nil
		}
		skip := filepath.SkipDir
		if d.Type()&fs.ModeSymlink != 0 {
			skip = nil // a day on another disk; the link is not followed anyway
		} else if !d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		if _, err := time.Parse("20060102", d.Name()); err != nil {
			strange = append(strange, Finding{Path: rel, Why: "the folder's name is no day: " + d.Name()})
			return skip
		}
		list = append(list, table{filepath.Join(rel, indexTable), false}, table{filepath.Join(rel, dataTable), true})
		return skip
	})
	if err != nil {
		return nil, nil, fmt.Errorf("scrub: list the parts of %s: %w", s.Dir, err)
	}
	return list, strange, nil
}

// listed reads which parts of a table count.
func (s *Store) listed(t table) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(s.Dir, t.path, partsFile))
	if err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, fmt.Errorf("it is no list of parts: %w", err)
	}
	for _, n := range names {
		if !partName(n) {
			return nil, fmt.Errorf("it names %.40q, which is no part", n)
		}
	}
	return names, nil
}

// partName tells whether the library may have given the name: 16 hex digits.
func partName(n string) bool {
	return len(n) == 16 && strings.Trim(n, "0123456789ABCDEF") == ""
}

// folders lists the parts that are in a table's folder, listed or not.
func (s *Store) folders(t table) []string {
	entries, _ := os.ReadDir(filepath.Join(s.Dir, t.path))
	var names []string
	for _, e := range entries {
		if e.IsDir() && partName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// Named lists the parts of the lake that a text names by their paths, such as
// the last words of a process that died of one.
func (s *Store) Named(text string) []string {
	var found []string
	for rest := text; ; {
		_, after, ok := strings.Cut(rest, s.Dir+string(filepath.Separator))
		if !ok {
			return found
		}
		rest = after
		end := strings.IndexFunc(after, func(r rune) bool { return strings.ContainsRune(" \t\n\r\"'`,;:)]}\\", r) })
		if end < 0 {
			end = len(after)
		}
		elements := strings.Split(filepath.Clean(after[:end]), string(filepath.Separator))
		for i, e := range elements {
			if i > 0 && partName(e) && (elements[i-1] == dataTable || elements[i-1] == indexTable) {
				if part := filepath.Join(elements[:i+1]...); !slices.Contains(found, part) {
					found = append(found, part)
				}
				break
			}
		}
	}
}
