package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// smallFile is the size up to which a file's content is compared at a start.
	smallFile = 64 << 10
	// young is the age up to which a part's small files are compared at a start:
	// what a crash or a power cut spoils was written shortly before.
	young = 48 * time.Hour
)

// opening are the files that the library reads when it opens a part, and dies
// of where they are damaged: these are compared at every start.
var opening = []string{metadataFile, "metaindex.bin", "column_names.bin", "column_idxs.bin"}

// Quick looks over all tables as far as costs little: the lists of parts, the
// parts' metadata, the sizes of all files and the content of small ones. The
// store must be closed.
func (s *Store) Quick() ([]Finding, error) {
	list, findings, err := s.tables()
	if err != nil {
		return nil, err
	}
	for _, t := range list {
		names, f, ok := s.checkList(t)
		if f != nil {
			findings = append(findings, *f)
		}
		if !ok {
			continue
		}
		l := s.readLedger(t)
		for _, part := range names {
			if f := s.checkPart(t, part, l.Parts[part], smallFile, func(int) error { return nil }); f != nil {
				findings = append(findings, *f)
			}
		}
	}
	return findings, nil
}

// checkList reads a table's list of parts. A table that is not there yet is
// no finding: the library makes it, unless its sister is there.
func (s *Store) checkList(t table) (names []string, f *Finding, ok bool) {
	names, err := s.listed(t)
	if err == nil {
		return names, nil, true
	}
	if errors.Is(err, fs.ErrNotExist) {
		_, noTable := os.Stat(filepath.Join(s.Dir, t.path))
		if noTable != nil && !t.data {
			if _, err := os.Stat(filepath.Join(s.Dir, filepath.Dir(t.path), dataTable)); err == nil {
				return nil, &Finding{Path: t.path, Why: "the index is missing"}, false
			}
		}
		if noTable != nil || len(s.folders(t)) == 0 {
			return nil, nil, false // a partition whose making was interrupted
		}
	}
	names = s.folders(t)
	f = &Finding{Path: t.path, File: partsFile, Why: fmt.Sprintf("the list of parts cannot be used: %v", err)}
	return names, f, true
}

// Parts compares the whole content of the given parts, paths below the lake,
// with their sums. A part without sums is compared with its own metadata. The
// second result tells which parts there was nothing to compare with.
func (s *Store) Parts(ctx context.Context, parts []string) (damaged []Finding, unknown []string, err error) {
	for _, path := range parts {
		t, part := split(path)
		names, err := s.listed(t)
		if err != nil || !slices.Contains(names, part) {
			continue
		}
		known := s.readLedger(t).Parts[part]
		f := s.checkPart(t, part, known, -1, func(int) error { return ctx.Err() })
		switch {
		case ctx.Err() != nil:
			return damaged, unknown, ctx.Err()
		case f != nil:
			damaged = append(damaged, *f)
		case known == nil:
			unknown = append(unknown, path)
		}
	}
	return damaged, unknown, nil
}

// All compares the whole content of all parts, newest first, until ctx ends.
func (s *Store) All(ctx context.Context) ([]Finding, error) {
	list, _, err := s.tables()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, t := range list {
		names, err := s.listed(t)
		if err != nil {
			continue
		}
		for _, n := range names {
			paths = append(paths, filepath.Join(t.path, n))
		}
	}
	// Names count up, so that the newest come last within a table.
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(b), filepath.Base(a)) })
	damaged, _, err := s.Parts(ctx, paths)
	if ctx.Err() != nil {
		return damaged, nil
	}
	return damaged, err
}

func split(path string) (table, string) {
	dir := filepath.Dir(path)
	return table{dir, filepath.Base(dir) == dataTable}, filepath.Base(path)
}

// checkPart compares a part with what is known of it; nil means that they
// agree. Files up to upTo bytes are read, all where it is negative.
func (s *Store) checkPart(t table, part string, known *partSums, upTo int64, pace func(int) error) *Finding {
	dir := filepath.Join(s.Dir, t.path, part)
	found := func(file, format string, args ...any) *Finding {
		f := &Finding{Path: filepath.Join(t.path, part), File: file, Why: fmt.Sprintf(format, args...)}
		meta, err := readMetadata(dir)
		if known != nil {
			meta = metadata{}
			err = json.Unmarshal(known.Metadata, &meta)
		}
		if err == nil && t.data {
			f.Rows, f.From, f.To = meta.RowsCount, time.Unix(0, meta.MinTimestamp).UTC(), time.Unix(0, meta.MaxTimestamp).UTC()
		}
		return f
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return found("", "the part is listed and cannot be read: %v", err)
	}
	meta, err := readMetadata(dir)
	if err != nil {
		return found(metadataFile, "%v", err)
	}
	var total uint64
	sizes := map[string]int64{}
	old := false
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return found(e.Name(), "%v", err)
		}
		sizes[e.Name()] = info.Size()
		if e.Name() != metadataFile {
			total += uint64(info.Size())
		} else {
			old = time.Since(info.ModTime()) > young
		}
	}
	if known == nil {
		// The library wrote down itself how large the events' files are.
		if t.data && total != meta.CompressedSizeBytes {
			return found("", "its files have %d bytes, its metadata says %d", total, meta.CompressedSizeBytes)
		}
		return nil
	}
	for name, want := range known.Files {
		size, there := sizes[name]
		switch {
		case !there:
			return found(name, "the file is missing")
		case size != want.Size:
			return found(name, "it has %d bytes and had %d when it was new", size, want.Size)
		case upTo >= 0 && (size > upTo || old && !slices.Contains(opening, name)):
			continue
		}
		got, err := sumFile(filepath.Join(dir, name), pace)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		if err != nil {
			return found(name, "it cannot be read: %v", err)
		}
		if got != want {
			return found(name, "its content changed: the checksum is %s and was %s when it was new", got.XXH, want.XXH)
		}
	}
	return nil
}

// readMetadata reads what the library wrote of a part, and checks what it
// would die of.
func readMetadata(dir string) (metadata, error) {
	var m metadata
	raw, err := os.ReadFile(filepath.Join(dir, metadataFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("it cannot be parsed: %w", err)
	}
	count := max(m.RowsCount, m.ItemsCount)
	switch {
	case m.BlocksCount > count:
		return m, fmt.Errorf("%d blocks of %d rows", m.BlocksCount, count)
	case m.MinTimestamp > m.MaxTimestamp:
		return m, fmt.Errorf("its first time %d lies after its last %d", m.MinTimestamp, m.MaxTimestamp)
	case filepath.Base(filepath.Dir(dir)) == indexTable && (m.ItemsCount == 0 || m.BlocksCount == 0):
		return m, errors.New("a part of the index without items")
	}
	return m, nil
}

// Finding makes a finding of a listed part for a reason of the caller's own.
func (s *Store) Finding(path, why string) (Finding, bool) {
	t, part := split(path)
	if names, err := s.listed(t); err != nil || !slices.Contains(names, part) {
		return Finding{}, false
	}
	f := Finding{Path: path, Why: why}
	meta, err := readMetadata(filepath.Join(s.Dir, path))
	if err == nil && t.data {
		f.Rows, f.From, f.To = meta.RowsCount, time.Unix(0, meta.MinTimestamp).UTC(), time.Unix(0, meta.MaxTimestamp).UTC()
	}
	return f, true
}
