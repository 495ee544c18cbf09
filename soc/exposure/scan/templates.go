package scan

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/release"
	"icewatch/collectors/scanner/wire"
)

// Bounds of packages of templates; those of one template and of how many are a scanner's.
const (
	maxTemplate  = 512 << 10
	maxTemplates = 50_000
	maxPackages  = 16
)

var packageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// TemplatesPackage is a package of templates that scanners fetch.
type TemplatesPackage struct {
	bun.BaseModel `bun:"table:exposure_scan_templates,alias:p" json:"-"`
	SHA256        string    `bun:"sha256,pk" json:"sha256"`
	Name          string    `bun:"name" json:"name"`
	Size          int64     `bun:"size" json:"size" doc:"Bytes"`
	Count         int       `bun:"count" json:"count" doc:"Templates in it"`
	Note          string    `bun:"note" json:"note,omitempty"`
	By            string    `bun:"actor" json:"by"`
	AtMs          int64     `bun:"at" json:"-"`
	At            time.Time `bun:"-" json:"at"`
	Signature     []byte    `bun:"signature" json:"signature" doc:"Ed25519 by the release key"`
}

// openTemplates opens the folder of packages and reads which there are.
func (s *Service) openTemplates(ctx context.Context) (err error) {
	if s.Packages == "" {
		return nil
	}
	if s.shelf, err = release.Open(s.Packages); err != nil {
		return fmt.Errorf("scan: the folder of templates: %w", err)
	}
	return s.readTemplates(ctx)
}

func (s *Service) readTemplates(ctx context.Context) error {
	var list []TemplatesPackage
	if err := s.Database.NewSelect().Model(&list).Order("p.name").Scan(ctx); err != nil {
		return fmt.Errorf("scan: read packages of templates: %w", err)
	}
	for i := range list {
		list[i].At = time.UnixMilli(list[i].AtMs).UTC()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packages = list
	s.tell()
	return nil
}

// TemplatePackages lists packages by name.
func (s *Service) TemplatePackages() []TemplatesPackage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]TemplatesPackage{}, s.packages...)
}

// wired are the packages as scanners are told of them. The lock is held.
func (s *Service) wired() []wire.TemplatesFile {
	var out []wire.TemplatesFile
	for _, p := range s.packages {
		out = append(out, wire.TemplatesFile{Name: p.Name, SHA256: p.SHA256, Size: p.Size, URL: wire.PathTemplates + p.SHA256, Signature: p.Signature})
	}
	return out
}

// Templates opens a package by its SHA-256 in hex.
func (s *Service) Templates(sum string) (*os.File, error) {
	if !slices.ContainsFunc(s.TemplatePackages(), func(p TemplatesPackage) bool { return p.SHA256 == sum }) {
		return nil, os.ErrNotExist
	}
	f, err := s.shelf.Open(sum)
	if errors.Is(err, release.ErrAbsent) {
		return nil, os.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return f.File, nil
}

// AddTemplates checks a package, a gzipped tar of *.yaml files, signs it and takes it in,
// in the place of the former one of its name.
func (s *Service) AddTemplates(ctx context.Context, actor, name, note string, data []byte) (TemplatesPackage, error) {
	if s.shelf == nil || s.Sign == nil {
		return TemplatesPackage{}, fmt.Errorf("%w: this suite keeps no packages of templates", ErrConflict)
	}
	if !packageName.MatchString(name) {
		return TemplatesPackage{}, invalid("the name %q: want 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit", clip(name, 64))
	}
	if len(data) == 0 || len(data) > wire.MaxTemplates {
		return TemplatesPackage{}, invalid("the package has %d bytes: want 1 to %d", len(data), wire.MaxTemplates)
	}
	count, err := countTemplates(data)
	if err != nil {
		return TemplatesPackage{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	had := s.TemplatePackages()
	former := slices.IndexFunc(had, func(p TemplatesPackage) bool { return p.Name == name })
	if former < 0 && len(had) >= maxPackages {
		return TemplatesPackage{}, fmt.Errorf("%w: there are %d packages, at most %d: remove one first", ErrConflict, len(had), maxPackages)
	}
	sum, size, _, err := s.shelf.Put(bytes.NewReader(data))
	if err != nil {
		return TemplatesPackage{}, fmt.Errorf("scan: keep a package of templates: %w", err)
	}
	for _, p := range had {
		if p.SHA256 == sum {
			return TemplatesPackage{}, fmt.Errorf("%w: this very package is there already, as %s", ErrConflict, p.Name)
		}
	}
	now := s.Now().UTC()
	p := TemplatesPackage{SHA256: sum, Name: name, Size: size, Count: count, Note: clip(note, 1000), By: actor, AtMs: now.UnixMilli(), At: now.Truncate(time.Millisecond)}
	p.Signature = s.Sign(wire.TemplatesFile{Name: name, SHA256: sum}.Signed())
	err = s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*TemplatesPackage)(nil)).Where("name = ?", name).Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(&p).Exec(ctx)
		return err
	})
	if err != nil {
		return TemplatesPackage{}, errors.Join(fmt.Errorf("scan: keep a package of templates: %w", err), s.shelf.Remove(sum))
	}
	if err := s.readTemplates(ctx); err != nil {
		return TemplatesPackage{}, err
	}
	if former >= 0 {
		err = s.shelf.Remove(had[former].SHA256)
	}
	return p, err
}

// RemoveTemplates takes a package away: no scanner fetches it any more.
func (s *Service) RemoveTemplates(ctx context.Context, sum string) (TemplatesPackage, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	had := s.TemplatePackages()
	i := slices.IndexFunc(had, func(p TemplatesPackage) bool { return p.SHA256 == sum })
	if i < 0 {
		return TemplatesPackage{}, fmt.Errorf("%w: no package of templates %s", ErrNotFound, clip(sum, 64))
	}
	if _, err := s.Database.NewDelete().Model((*TemplatesPackage)(nil)).Where("sha256 = ?", sum).Exec(ctx); err != nil {
		return TemplatesPackage{}, fmt.Errorf("scan: remove a package of templates: %w", err)
	}
	if err := s.readTemplates(ctx); err != nil {
		return TemplatesPackage{}, err
	}
	return had[i], s.shelf.Remove(sum)
}

// countTemplates reads a package through as a scanner does.
func countTemplates(data []byte) (int, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, invalid("the package is no gzip: want a tar of *.yaml files, packed by gzip")
	}
	r := tar.NewReader(io.LimitReader(z, 8*wire.MaxTemplates))
	for n := 0; ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return 0, invalid("the package has no *.yaml files")
			}
			return n, nil
		}
		if err != nil {
			return 0, invalid("the package breaks off, or is no tar of at most %d MiB, after %d templates: %v", 8*wire.MaxTemplates>>20, n, err)
		}
		if h.Typeflag != tar.TypeReg || path.Ext(h.Name) != ".yaml" && path.Ext(h.Name) != ".yml" {
			continue
		}
		name := clip(h.Name, 200)
		if n++; n > maxTemplates {
			return 0, invalid("the package has more than %d templates", maxTemplates)
		}
		if h.Size > maxTemplate {
			return 0, invalid("%q has %d bytes, at most %d", name, h.Size, maxTemplate)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return 0, invalid("%q cannot be read: %v", name, err)
		}
		var t struct {
			ID   string `yaml:"id"`
			Info struct {
				Name string `yaml:"name"`
			} `yaml:"info"`
		}
		if err := yaml.Unmarshal(text, &t); err != nil {
			return 0, invalid("%q is no YAML: %s", name, clip(err.Error(), 300))
		}
		if strings.TrimSpace(t.ID) == "" || strings.TrimSpace(t.Info.Name) == "" {
			return 0, invalid("%q is no template: it lacks %s", name, cmp.Or(map[bool]string{true: "id"}[strings.TrimSpace(t.ID) == ""], "info.name"))
		}
	}
}
