// Package extension runs extension plug-ins (collectors/fleet/extension) on a host. Store
// keeps their packages: what is not signed by the suite's release key is never written as a
// program, and what was changed since is never started. Plugin is the input of
// telegraf that runs a program and reads what it prints: telegraf's own exec and execd give it all
// of the agent's environment and tell nothing of its processes, so that they could be
// neither bounded nor stopped.
package extension

import (
	"bytes"
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
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"icewatch/collectors/agent/link"
	format "icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/wire"
)

// ErrRefused is why a package is not taken or not run.
var ErrRefused = errors.New("the plug-in is refused")

// Store keeps packages in a folder: NAME/versions/VERSION has the archive, its signature and
// its files, NAME/data is the program's own, whatever its version. It is safe for concurrent use.
type Store struct {
	dir string
	key func() ed25519.PublicKey // the suite's release key

	changing sync.Mutex // one installation or removal at a time

	mu       sync.Mutex
	programs map[string]map[*Plugin]bool // that run, by package
	gone     float64                     // seconds of processor time of those that do not run any more
}

// NewStore keeps packages in a folder, which need not be there yet.
func NewStore(dir string, key func() ed25519.PublicKey) *Store {
	return &Store{dir: dir, key: key, programs: map[string]map[*Plugin]bool{}}
}

const (
	archiveFile   = "package.tar.gz"
	signatureFile = "signed.json"
	filesDir      = "files"
)

func (s *Store) versions(name string) string { return filepath.Join(s.dir, name, "versions") }

// Verify checks name, version and signature.
func (s *Store) Verify(e wire.Extension) error {
	if err := format.CheckName(e.Name, e.Version); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if key := s.key(); len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, e.Signed(), e.Signature) {
		return fmt.Errorf("%w: %s %s (%.12s) is not signed by this suite's release key", ErrRefused, e.Name, e.Version, e.SHA256)
	}
	if e.Size <= 0 || e.Size > format.MaxSize {
		return fmt.Errorf("%w: %s %s has %d bytes; at most %d are taken", ErrRefused, e.Name, e.Version, e.Size, format.MaxSize)
	}
	return nil
}

// Install checks a package, fetches its archive by fetch and puts it in place, beside other versions of
// it that are in use. keep are versions that stay.
func (s *Store) Install(ctx context.Context, e wire.Extension, keep []string, fetch func(ctx context.Context, dir string) (path string, err error)) (err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.Verify(e); err != nil {
		return err
	}
	into := filepath.Join(s.versions(e.Name), e.Version)
	if have, err := s.signed(e.Name, e.Version); err == nil && have.SHA256 == e.SHA256 {
		if _, err := s.Check(e.Name, e.Version); err == nil {
			// It is the one that was installed last now.
			now := time.Now()
			if err := os.Chtimes(filepath.Join(into, signatureFile), now, now); err != nil {
				return err
			}
			return s.tidy(e.Name, append(keep, e.Version))
		}
	}
	if err := os.MkdirAll(s.versions(e.Name), 0o700); err != nil {
		return fmt.Errorf("room for the plug-in: %w", err)
	}
	fresh, err := os.MkdirTemp(s.versions(e.Name), ".new-*")
	if err != nil {
		return fmt.Errorf("room for the plug-in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	got, err := fetch(ctx, fresh)
	if err != nil {
		return err
	}
	archive := filepath.Join(fresh, archiveFile)
	if err := os.Rename(got, archive); err != nil {
		return err
	}
	// The signature is over the hash, so that is what counts, whoever fetched it.
	if sum, err := hashOf(archive); err != nil || sum != e.SHA256 {
		return errors.Join(fmt.Errorf("%w: %s %s has the hash %.12s, not %.12s: it was changed on its way", ErrRefused, e.Name, e.Version, sum, e.SHA256), err)
	}
	m, err := unpack(archive, filepath.Join(fresh, filesDir))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s %s: %w", ErrRefused, e.Name, e.Version, err)
	case m.Name != e.Name || m.Version != e.Version:
		return fmt.Errorf("%w: it says that it is %s %s and is signed as %s %s", ErrRefused, m.Name, m.Version, e.Name, e.Version)
	case m.Program(runtime.GOOS, runtime.GOARCH) == "":
		return fmt.Errorf("%w: %s %s has no program for %s/%s; it has: %v", ErrRefused, e.Name, e.Version, runtime.GOOS, runtime.GOARCH, m.Platforms())
	}
	program := filepath.Join(fresh, filesDir, filepath.FromSlash(m.Program(runtime.GOOS, runtime.GOARCH)))
	if err := os.Chmod(program, 0o700); err != nil {
		return err
	}
	if err := link.WriteFile(filepath.Join(fresh, signatureFile), wire.Encode(e), 0o600); err != nil {
		return err
	}
	if err := os.RemoveAll(into); err != nil {
		return fmt.Errorf("the version that is there: %w", err)
	}
	if err := os.Rename(fresh, into); err != nil {
		return err
	}
	return s.tidy(e.Name, append(keep, e.Version))
}

// tidy removes versions that nobody needs.
func (s *Store) tidy(name string, keep []string) error {
	entries, err := os.ReadDir(s.versions(name))
	for _, d := range entries {
		if !slices.Contains(keep, d.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.versions(name), d.Name())))
		}
	}
	return err
}

// Remove takes all versions of a package away, and its data.
func (s *Store) Remove(name string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := format.CheckName(name, "0"); err != nil {
		return err
	}
	s.mu.Lock()
	n := len(s.programs[name])
	s.mu.Unlock()
	if n > 0 {
		return fmt.Errorf("the plug-in %s runs: the document in force still names it", name)
	}
	return os.RemoveAll(filepath.Join(s.dir, name))
}

// Installed lists what is there, by name: of several versions the one that was installed last.
func (s *Store) Installed() []wire.InstalledExtension {
	out := []wire.InstalledExtension{}
	names, _ := os.ReadDir(s.dir)
	for _, n := range names {
		var last fs.FileInfo
		versions, _ := os.ReadDir(s.versions(n.Name()))
		for _, v := range versions {
			// The signature's file is written by the installation alone.
			info, err := os.Stat(filepath.Join(s.versions(n.Name()), v.Name(), signatureFile))
			if err == nil && format.CheckName(n.Name(), v.Name()) == nil && (last == nil || info.ModTime().After(last.ModTime())) {
				last = info
				if len(out) == 0 || out[len(out)-1].Name != n.Name() {
					out = append(out, wire.InstalledExtension{Name: n.Name()})
				}
				out[len(out)-1].Version = v.Name()
			}
		}
	}
	return out
}

func (s *Store) signed(name, version string) (e wire.Extension, err error) {
	data, err := os.ReadFile(filepath.Join(s.versions(name), version, signatureFile))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(data, &e)
}

// Check tells whether a version is here as it was signed: archive, and each file of it.
func (s *Store) Check(name, version string) (*format.PluginManifest, error) {
	if err := format.CheckName(name, version); err != nil {
		return nil, err
	}
	e, err := s.signed(name, version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the plug-in %s %s is not installed on this host", name, version)
	}
	if err == nil {
		err = s.Verify(e)
	}
	if err == nil && (e.Name != name || e.Version != version) {
		err = fmt.Errorf("%w: the signature in its place is of %s %s", ErrRefused, e.Name, e.Version)
	}
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.versions(name), version)
	changed := func(what string) error {
		return fmt.Errorf("%w: %s %s: %s was changed on this host after it was installed: install it again", ErrRefused, name, version, what)
	}
	archive, err := os.Open(filepath.Join(dir, archiveFile))
	if err != nil {
		return nil, changed("the archive")
	}
	defer archive.Close()
	sum := sha256.New()
	known := map[string]bool{}
	c, err := format.Walk(io.TeeReader(archive, sum), func(file string, size int64, body io.Reader) error {
		known[filepath.FromSlash(file)] = true
		return same(filepath.Join(dir, filesDir, filepath.FromSlash(file)), size, body, changed(file))
	})
	if errors.Is(err, ErrRefused) {
		return nil, err
	}
	if _, rest := io.Copy(sum, archive); err != nil || rest != nil || hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return nil, changed("the archive")
	}
	// A file beside those of the archive could be loaded by the program.
	err = filepath.WalkDir(filepath.Join(dir, filesDir), func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(filepath.Join(dir, filesDir), path)
		if err != nil || !d.IsDir() && !known[rel] {
			return errors.Join(changed(rel), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.Manifest, nil
}

// mark is of all files of a version as the file system has them: another one says that something was
// touched since.
func (s *Store) mark(name, version string) string {
	h := sha256.New()
	dir := filepath.Join(s.versions(name), version)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(h, "%q %s %d %d %s\n", path, info.Mode(), info.Size(), info.ModTime().UnixNano(), touched(info))
		}
		return err
	})
	if err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// same compares a file with what it should have.
func same(path string, size int64, body io.Reader, changed error) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != size {
		return changed
	}
	f, err := os.Open(path)
	if err != nil {
		return changed
	}
	defer f.Close()
	var a, b [32 << 10]byte
	for {
		n, err := io.ReadFull(body, a[:])
		if n > 0 {
			if _, err := io.ReadFull(f, b[:n]); err != nil || !bytes.Equal(a[:n], b[:n]) {
				return changed
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// unpack writes an archive's files below a folder that nothing is in.
func unpack(archive, dir string) (*format.PluginManifest, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Whatever a name is, it cannot lead out of the folder.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := format.Walk(f, func(name string, _ int64, body io.Reader) error {
		if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(name)), 0o700); err != nil {
			return err
		}
		out, err := root.OpenFile(filepath.FromSlash(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, body)
		if err == nil {
			err = out.Sync()
		}
		return errors.Join(err, out.Close())
	})
	if err != nil {
		return nil, err
	}
	return c.Manifest, nil
}
