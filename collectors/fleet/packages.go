package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Upgrade is an upgrade package as it is kept.
type Upgrade struct {
	wire.Package
	Note  string             `json:"note,omitempty"`
	At    time.Time          `json:"at"`
	By    string             `json:"by"`
	Build release.BuildFacts `json:"build" doc:"What the file says of itself"`
}

// UpgradeView is a package with who signed it and who runs it.
type UpgradeView struct {
	Upgrade
	Verified bool   `json:"verified" doc:"The signature is the release key's"`
	Key      string `json:"key" doc:"SHA-256 of the release key that packages are signed by"`
	Running  int    `json:"running" doc:"Hosts within reach whose agents say that they are of this version and platform"`
}

// UpgradeDetail is a package with what is in it.
type UpgradeDetail struct {
	UpgradeView
	Contents release.PackageContents `json:"contents"`
	Intact   bool                    `json:"intact" doc:"The file is still the one that was signed"`
}

// UpgradeResult is what came of one file of an upload.
type UpgradeResult struct {
	Name    string       `json:"name" doc:"Of the file within the archive; empty where the upload is no archive"`
	OK      bool         `json:"ok"`
	Text    string       `json:"text,omitempty" doc:"Why it was not taken"`
	Package *UpgradeView `json:"package,omitempty"`
}

// AddPackage takes an agent's executable in and signs it. Its platform is read from the file, and
// its version where none is given.
func (s *Service) AddPackage(ctx context.Context, a Asker, version, note string, r io.Reader) (UpgradeView, error) {
	if !a.Within.Everything() {
		return UpgradeView{}, ErrForbidden
	}
	if version != "" && !release.IsVersion(version) {
		return UpgradeView{}, invalid("the version %q: want letters, digits, '.', '+', '_' and '-'", clip(version, 64))
	}
	sum, size, head, err := s.packages.Put(r)
	if err != nil {
		return UpgradeView{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	u, err := s.parsePackage(version, sum, size, head)
	if err == nil {
		for _, old := range s.upgradesByTime() {
			if old.Version == u.Version && old.OS == u.OS && old.Arch == u.Arch && old.SHA256 != sum {
				err = conflict("there is a package of version %s for %s/%s already: delete it first", u.Version, u.OS, u.Arch)
			}
		}
	}
	if err != nil {
		s.mu.Lock()
		kept := s.upgrades[sum] != nil // It was uploaded before.
		s.mu.Unlock()
		if !kept {
			err = errors.Join(err, s.packages.Remove(sum))
		}
		return UpgradeView{}, err
	}
	u.Note, u.At, u.By = clip(note, maxNote), s.now().UTC(), a.Name
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindPackage, ID: sum, Data: u}); err != nil {
		return UpgradeView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrades[sum] = &u
	s.note(roster.Operation{Object: "package:" + sum, Kind: "package-added", Actor: a.Name, OK: true, Text: u.name()})
	return s.viewUpgrade(a, &u), nil
}

// parsePackage reads what a file is and signs it.
func (s *Service) parsePackage(version, sum string, size int64, head []byte) (u Upgrade, err error) {
	system, arch, err := release.Platform(head)
	if err != nil {
		return u, invalid("the package: %v", err)
	}
	f, err := s.uploaded(sum)
	if err != nil {
		return u, err
	}
	defer f.Close()
	if u.Build, err = f.Facts(); err != nil {
		return u, err
	}
	switch {
	case u.Build.Other() != "":
		return u, invalid("the file is %s, and no %s", u.Build.Other(), release.Agent)
	case version == "" && u.Build.Version == "":
		return u, invalid("the file does not say of which version it is: give the version")
	case version == "":
		version = u.Build.Version
	case release.Numbered(u.Build.Version) && u.Build.Version != version:
		return u, invalid("the file says that it is of version %s, not %s", u.Build.Version, version)
	}
	u.Package = wire.Package{Version: version, OS: system, Arch: arch, SHA256: sum, Size: size, URL: wire.PathPackages + sum}
	u.Signature = s.authority.Sign(u.Package)
	return u, nil
}

// AddPackages takes in all packages of an archive (tar.gz or zip), or the one that data is: each
// is taken or refused for itself.
func (s *Service) AddPackages(ctx context.Context, a Asker, version, note string, data []byte) ([]UpgradeResult, error) {
	if !a.Within.Everything() {
		return nil, ErrForbidden
	}
	out := []UpgradeResult{}
	err := release.Unpack(data, func(name string, r io.Reader) error {
		res := UpgradeResult{Name: name}
		// What cannot be a package is not written to disk first.
		head := make([]byte, 4096)
		n, err := io.ReadFull(r, head)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if _, _, err = release.Platform(head[:n]); err != nil {
			res.Text = err.Error()
			out = append(out, res)
			return nil
		}
		v, err := s.AddPackage(ctx, a, version, note, io.MultiReader(bytes.NewReader(head[:n]), r))
		switch {
		case err == nil:
			res.OK, res.Package = true, &v
		case errors.Is(err, ErrInvalid), errors.Is(err, ErrConflict), errors.Is(err, release.ErrTooLarge):
			res.Text = err.Error()
		default:
			return err
		}
		out = append(out, res)
		return nil
	})
	if err != nil {
		if ctx.Err() != nil || len(out) > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
			return out, err
		}
		return out, invalid("%v", err)
	}
	return out, nil
}

// DeletePackage takes a package away.
func (s *Service) DeletePackage(ctx context.Context, a Asker, sum string) (Upgrade, error) {
	if !a.Within.Everything() {
		return Upgrade{}, ErrForbidden
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	u := s.upgrades[sum]
	s.mu.Unlock()
	if u == nil {
		return Upgrade{}, ErrNotFound
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindPackage, ID: sum}); err != nil {
		return Upgrade{}, err
	}
	s.mu.Lock()
	delete(s.upgrades, sum)
	s.note(roster.Operation{Object: "package:" + sum, Kind: "package-deleted", Actor: a.Name, OK: true, Text: u.name()})
	s.mu.Unlock()
	return *u, s.packages.Remove(sum)
}

func (u *Upgrade) name() string { return u.Version + " " + u.OS + "/" + u.Arch }

// Packages lists packages, the newest first.
func (s *Service) Packages(a Asker) []UpgradeView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []UpgradeView{}
	for _, u := range s.packagesLocked() {
		out = append(out, s.viewUpgrade(a, &u))
	}
	return out
}

// PackageDetail is one package with what is in it, read from the file as it lies there now.
func (s *Service) PackageDetail(a Asker, sum string) (UpgradeDetail, error) {
	s.mu.Lock()
	u := s.upgrades[sum]
	if u == nil {
		s.mu.Unlock()
		return UpgradeDetail{}, ErrNotFound
	}
	d := UpgradeDetail{UpgradeView: s.viewUpgrade(a, u)}
	s.mu.Unlock()
	f, err := s.packages.Open(sum)
	if errors.Is(err, release.ErrAbsent) {
		return d, conflict("the file of the package %s is not there any more: delete the package and upload it again", u.name())
	}
	if err != nil {
		return d, err
	}
	defer f.Close()
	if d.Contents, err = f.Contents(); err != nil {
		return d, err
	}
	d.Intact = d.Contents.SHA256 == sum
	if d.Build.Go == "" { // It was taken in before files were read.
		d.Build, err = f.Facts()
	}
	return d, err
}

// viewUpgrade says who signed a package and who runs it. s.mu is held.
func (s *Service) viewUpgrade(a Asker, u *Upgrade) UpgradeView {
	key := s.authority.ReleaseKey()
	sum := sha256.Sum256(key)
	v := UpgradeView{Upgrade: *u, Verified: ed25519.Verify(key, u.Signed(), u.Signature), Key: hex.EncodeToString(sum[:])}
	for _, m := range s.agents {
		if a.may(m.Tenant) && m.RevokedAt.IsZero() && !m.Scans() && number(m.Version) == u.Version && m.Facts.OS == u.OS && m.Facts.Arch == u.Arch {
			v.Running++
		}
	}
	return v
}

func (s *Service) upgradesByTime() []Upgrade {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packagesLocked()
}

func (s *Service) packagesLocked() []Upgrade {
	out := []Upgrade{}
	for _, u := range s.upgrades {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b Upgrade) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return cmpText(a.SHA256, b.SHA256)
	})
	return out
}
