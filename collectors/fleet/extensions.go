package fleet

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Extension is a package of an extension plug-in as it is kept. Its archive is on the same
// shelf as upgrade packages and signed by the same key.
type Extension struct {
	wire.Extension
	Manifest extension.PluginManifest `json:"manifest"`
	Files    int                      `json:"files"`
	Unpacked int64                    `json:"unpacked" doc:"Bytes of its files"`
	Note     string                   `json:"note,omitempty"`
	At       time.Time                `json:"at"`
	By       string                   `json:"by"`
}

const (
	maxExtensions     = 500 // packages
	maxHostExtensions = 50
)

func extensionKey(name, version string) string { return name + "/" + version }

// loadExtensions reads what is kept. One whose signature does not hold is left out: nothing of it would run.
func (s *Service) loadExtensions(ctx context.Context) (map[string]*Extension, error) {
	list, err := roster.Load[Extension](ctx, s.store, roster.KindExtension)
	if err != nil {
		return nil, err
	}
	for id, x := range list {
		if !ed25519.Verify(s.authority.ReleaseKey(), x.Signed(), x.Signature) || extensionKey(x.Name, x.Version) != id {
			s.log.Error("fleet: the signature of a plug-in package does not hold; it is left out", "plugin", id)
			delete(list, id)
		}
	}
	return list, nil
}

// AddExtension takes a package of an extension plug-in in, checks all of it and signs it. sum is its
// SHA-256 as whoever uploads it knows it; it is not checked where it is empty.
func (s *Service) AddExtension(ctx context.Context, a Asker, note, sum string, r io.Reader) (x Extension, err error) {
	if !a.Within.Everything() {
		return x, ErrForbidden
	}
	hash, size, _, err := s.packages.Put(io.LimitReader(r, extension.MaxSize+1))
	if err != nil {
		return x, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	defer func() {
		if err != nil && !s.onShelf(hash) {
			err = errors.Join(err, s.packages.Remove(hash))
		}
		if err != nil {
			s.mu.Lock()
			s.note(roster.Operation{Object: "plugin:" + cmp.Or(x.Name, hash[:12]), Kind: "plugin-refused", Actor: a.Name, Text: clip(err.Error(), 500)})
			s.mu.Unlock()
		}
	}()
	if size > extension.MaxSize {
		return x, invalid("the package exceeds %d MiB", extension.MaxSize>>20)
	}
	if sum != "" && !strings.EqualFold(sum, hash) {
		return x, invalid("the package has the SHA-256 %s, not %s: it was changed on its way", hash, clip(sum, 64))
	}
	f, err := s.uploaded(hash)
	if err != nil {
		return x, err
	}
	c, err := extension.Walk(f, nil)
	err = errors.Join(err, f.Close())
	if err != nil {
		return x, invalid("the package: %v", err)
	}
	m := c.Manifest
	x = Extension{Extension: wire.Extension{Name: m.Name, Version: m.Version, SHA256: hash, Size: size}, Manifest: *m, Files: c.Files, Unpacked: c.Bytes, Note: clip(note, maxNote), At: s.now().UTC(), By: a.Name}
	s.mu.Lock()
	old, n := s.extensions[extensionKey(x.Name, x.Version)], len(s.extensions)
	s.mu.Unlock()
	switch {
	case old != nil && old.SHA256 == hash:
		return *old, nil
	case old != nil:
		return x, conflict("there is a version %s of the plug-in %s already, and it is another one: give this one another version", x.Version, x.Name)
	case n >= maxExtensions:
		return x, conflict("there are %d packages of plug-ins, the most there may be: delete old ones", n)
	}
	x.Signature = s.authority.SignText(x.Signed())
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindExtension, ID: extensionKey(x.Name, x.Version), Data: x}); err != nil {
		return x, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extensions[extensionKey(x.Name, x.Version)] = &x
	s.note(roster.Operation{Object: "plugin:" + x.Name, Kind: "plugin-added", Actor: a.Name, OK: true, Text: x.Name + " " + x.Version + ", SHA-256 " + hash[:12]})
	return x, nil
}

// uploaded opens a file that was just put on the shelf. Who uploads the same file at the same time and is
// refused takes it away.
func (s *Service) uploaded(sum string) (*release.File, error) {
	f, err := s.packages.Open(sum)
	if errors.Is(err, release.ErrAbsent) {
		return nil, conflict("the same file was uploaded at the same time, and refused: upload it again to see why")
	}
	return f, err
}

// onShelf tells whether something that is kept has this hash.
func (s *Service) onShelf(hash string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.extensions {
		if x.SHA256 == hash {
			return true
		}
	}
	return s.upgrades[hash] != nil
}

// DeleteExtension takes a version of a plug-in away that no host has.
func (s *Service) DeleteExtension(ctx context.Context, a Asker, name, version string) (Extension, error) {
	if !a.Within.Everything() {
		return Extension{}, ErrForbidden
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	key := extensionKey(name, version)
	s.mu.Lock()
	x := s.extensions[key]
	hosts := 0
	for _, m := range s.agents {
		if h := m.extension(name); h != nil && h.Version == version && m.RevokedAt.IsZero() {
			hosts++
		}
	}
	s.mu.Unlock()
	switch {
	case x == nil:
		return Extension{}, ErrNotFound
	case hosts > 0:
		return *x, conflict("%d hosts have version %s of the plug-in %s: remove it there first, or install another version", hosts, version, name)
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindExtension, ID: key}); err != nil {
		return *x, err
	}
	s.mu.Lock()
	delete(s.extensions, key)
	s.note(roster.Operation{Object: "plugin:" + name, Kind: "plugin-deleted", Actor: a.Name, OK: true, Text: name + " " + version})
	s.mu.Unlock()
	if s.onShelf(x.SHA256) {
		return *x, nil
	}
	return *x, s.packages.Remove(x.SHA256)
}

// versionsOf are the packages of a plug-in, the newest upload first. s.mu is held.
func (s *Service) versionsOf(name string) []*Extension {
	var out []*Extension
	for _, x := range s.extensions {
		if x.Name == name {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *Extension) int { return cmp.Or(b.At.Compare(a.At), cmpText(b.Version, a.Version)) })
	return out
}

// ExtensionPackage opens the archive of a plug-in.
func (s *Service) ExtensionPackage(name, version string) (*release.File, error) {
	s.mu.Lock()
	x := s.extensions[extensionKey(name, version)]
	s.mu.Unlock()
	if x == nil {
		return nil, ErrNotFound
	}
	return s.packages.Open(x.SHA256)
}
