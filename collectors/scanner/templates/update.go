package templates

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"icewatch/collectors/scanner/wire"
)

// ErrPackage is why a package of templates is not taken.
var ErrPackage = errors.New("the package of templates is refused")

const updatesDir = "templates"

var packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Updates are the packages that were installed, one of each name.
func Updates(dir string) ([]Source, error) {
	entries, err := os.ReadDir(filepath.Join(dir, updatesDir))
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("templates of the suite: %w", err)
	}
	var out []Source
	for _, e := range entries {
		if e.IsDir() && packageName.MatchString(e.Name()) {
			out = append(out, Source{Kind: wire.SourceUpdate, Name: e.Name(), FS: os.DirFS(filepath.Join(dir, updatesDir, e.Name()))})
		}
	}
	return out, nil
}

// Install fetches a package, checks its signature before and its hash after, and
// puts it in the place of the former one of its name. It is false where the package is there already.
func Install(ctx context.Context, dir string, t wire.TemplatesFile, key ed25519.PublicKey, fetch func(ctx context.Context, path string, w io.Writer, limit int64) error) (bool, error) {
	if !packageName.MatchString(t.Name) || t.Size <= 0 || t.Size > wire.MaxTemplates {
		return false, fmt.Errorf("%w: name %q, %d bytes", ErrPackage, t.Name, t.Size)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, t.Signed(), t.Signature) {
		return false, fmt.Errorf("%w: %s is not signed by this suite's release key", ErrPackage, t.Name)
	}
	at := filepath.Join(dir, updatesDir, t.Name)
	if have, err := os.ReadFile(filepath.Join(at, "package.json")); err == nil {
		var known wire.TemplatesFile
		if json.Unmarshal(have, &known) == nil && known.SHA256 == t.SHA256 {
			return false, nil
		}
	}
	var data bytes.Buffer
	if err := fetch(ctx, wire.PathTemplates+t.SHA256, &data, t.Size); err != nil {
		return false, err
	}
	if sum := sha256.Sum256(data.Bytes()); hex.EncodeToString(sum[:]) != t.SHA256 {
		return false, fmt.Errorf("%w: %s was changed on its way", ErrPackage, t.Name)
	}
	return true, replace(at, data.Bytes(), t)
}

// Retain removes the packages that are installed and not named. It is true where
// there were any.
func Retain(dir string, named []wire.TemplatesFile) (bool, error) {
	have, err := Updates(dir)
	removed := false
	for _, src := range have {
		if slices.ContainsFunc(named, func(t wire.TemplatesFile) bool { return t.Name == src.Name }) {
			continue
		}
		if e := os.RemoveAll(filepath.Join(dir, updatesDir, src.Name)); e != nil {
			err = errors.Join(err, fmt.Errorf("templates of the suite: %w", e))
			continue
		}
		removed = true
	}
	return removed, err
}

// replace unpacks a package beside its place and changes them.
func replace(at string, data []byte, t wire.TemplatesFile) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(at), ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := unpack(data, func(name string, text []byte) error {
		return os.WriteFile(filepath.Join(tmp, name), text, 0o600)
	}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "package.json"), wire.Encode(t), 0o600); err != nil {
		return err
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	return os.Rename(tmp, at)
}

// unpack reads a gzipped tar of templates; each becomes a file of its number, so
// that no name in it is a path.
func unpack(data []byte, each func(name string, text []byte) error) error {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: it is no gzip: %w", ErrPackage, err)
	}
	r := tar.NewReader(io.LimitReader(z, 8*wire.MaxTemplates))
	for n := 0; ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return fmt.Errorf("%w: it has no templates", ErrPackage)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrPackage, err)
		}
		if h.Typeflag != tar.TypeReg || path.Ext(h.Name) != ".yaml" && path.Ext(h.Name) != ".yml" {
			continue
		}
		if n++; n > maxTemplates || h.Size > maxTemplate {
			return fmt.Errorf("%w: %.100q is too large, or one too many", ErrPackage, h.Name)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("%w: %.100q: %w", ErrPackage, h.Name, err)
		}
		if err := each(strings.Repeat("0", 6-len(strconv.Itoa(n)))+strconv.Itoa(n)+".yaml", text); err != nil {
			return err
		}
	}
}
