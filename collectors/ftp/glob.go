package ftp

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// entry is a file or a folder of a server.
type entry struct {
	path    string
	size    int64
	time    time.Time // as the listing has it, often to the minute
	folder  bool
	regular bool
}

var errTooMany = errors.New("more files match than max_files allows: narrow the paths or move read files away")

func checkGlob(p string) error {
	if p == "" || strings.ContainsAny(p, "\r\n\x00") {
		return fmt.Errorf("%q is no path", p)
	}
	for _, s := range strings.Split(p, "/") {
		if s == ".." || strings.Contains(s, "**") && s != "**" {
			return fmt.Errorf("%q: '..' is not looked into, and ** stands alone between slashes", p)
		}
		if _, err := path.Match(s, "x"); err != nil {
			return fmt.Errorf("%q: %w", p, err)
		}
	}
	if strings.HasSuffix(p, "/") || strings.HasSuffix(p, "**") {
		return fmt.Errorf("%q names folders: a file's name or glob belongs at its end", p)
	}
	return nil
}

// walk finds the files of a server that match globs. Each folder is listed once.
type walk struct {
	list   func(dir string) ([]entry, error)
	depth  int
	most   int
	skip   func(path string) bool
	listed map[string][]entry
	found  map[string]entry
	faults []error // folders that could not be listed
}

// files returns what matches, by path.
func (w *walk) files(globs []string) ([]entry, error) {
	w.listed, w.found = map[string][]entry{}, map[string]entry{}
	for _, g := range globs {
		dir, segments := "", strings.Split(path.Clean(g), "/")
		if strings.HasPrefix(g, "/") {
			dir, segments = "/", segments[1:]
		}
		if err := w.match(dir, segments, 0); err != nil {
			return nil, err
		}
	}
	out := make([]entry, 0, len(w.found))
	for _, e := range w.found {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

func (w *walk) match(dir string, segments []string, deep int) error {
	first, rest := segments[0], segments[1:]
	if len(rest) > 0 && first != "**" && !strings.ContainsAny(first, `*?[\`) {
		return w.match(path.Join(dir, first), rest, deep)
	}
	entries, err := w.folder(dir)
	if err != nil {
		return err
	}
	if first == "**" {
		if err := w.match(dir, rest, deep); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := path.Base(e.path)
		if first == "**" {
			if e.folder && deep < w.depth {
				if err := w.match(e.path, segments, deep+1); err != nil {
					return err
				}
			}
			continue
		}
		if ok, _ := path.Match(first, name); !ok { // checkGlob tried the patterns.
			continue
		}
		switch {
		case len(rest) > 0 && e.folder:
			if err := w.match(e.path, rest, deep); err != nil {
				return err
			}
		case len(rest) == 0 && e.regular && !w.skip(e.path):
			w.found[e.path] = e
			if len(w.found) > w.most {
				return fmt.Errorf("%w (%d)", errTooMany, w.most)
			}
		}
	}
	return nil
}

// folder lists a folder. One that is refused is noted, and empty.
func (w *walk) folder(dir string) ([]entry, error) {
	if entries, ok := w.listed[dir]; ok {
		return entries, nil
	}
	entries, err := w.list(dir)
	if err != nil {
		if !lasting(err) {
			return nil, fmt.Errorf("list %s: %w", or(dir, "."), err)
		}
		w.faults = append(w.faults, fmt.Errorf("list %s: %w", or(dir, "."), err))
	}
	w.listed[dir] = entries
	return entries, nil
}

// plain tells whether a server's name of an entry is one: what is not could lead
// elsewhere.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\r\n\x00")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
