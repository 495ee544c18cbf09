package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// Bounds of an archive of packages.
const (
	MaxFiles    = 32
	maxUnpacked = 4 << 30 // bytes of all files
)

var versionPattern = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)

// IsVersion tells whether a text may be a version: letters, digits, '.', '+', '_' and '-', at most 64.
func IsVersion(s string) bool { return versionPattern.MatchString(s) }

// Unpack calls each with the regular files of an archive (tar.gz or zip) in their order; data that
// is no archive is one file without a name. Names are for show: nothing is written by them. It
// ends where each fails.
func Unpack(data []byte, each func(name string, r io.Reader) error) error {
	files, left := 0, int64(maxUnpacked)
	one := func(name string, r io.Reader) error {
		if files++; files > MaxFiles {
			return fmt.Errorf("the archive has more than %d files", MaxFiles)
		}
		l := &io.LimitedReader{R: r, N: left}
		if err := each(clean(path.Base(strings.ReplaceAll(name, `\`, "/"))), l); err != nil {
			return err
		}
		if left = l.N; left <= 0 {
			return fmt.Errorf("the files of the archive exceed %d GiB together", maxUnpacked>>30)
		}
		return nil
	}
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return fmt.Errorf("the zip archive cannot be read: %w", err)
		}
		for _, f := range z.File {
			if !f.Mode().IsRegular() {
				continue
			}
			r, err := f.Open()
			if err != nil {
				return fmt.Errorf("the zip archive cannot be read at %q: %w", clean(f.Name), err)
			}
			if err := errors.Join(one(f.Name, r), r.Close()); err != nil {
				return err
			}
		}
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		g, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("the archive is no gzip: %w", err)
		}
		t := tar.NewReader(g)
		for {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("the archive is no tar.gz: %w", err)
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			if err := one(h.Name, t); err != nil {
				return err
			}
		}
	default:
		return each("", bytes.NewReader(data))
	}
	if files == 0 {
		return errors.New("the archive has no files")
	}
	return nil
}
