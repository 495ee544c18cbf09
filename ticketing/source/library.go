package source

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"go.yaml.in/yaml/v3"
)

// Kept is a template with where it comes from.
type Kept struct {
	Template
	Own  bool      `json:"own,omitempty" doc:"Of the operator, not of the suite"`
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at,omitzero"`
	YAML string    `json:"yaml,omitempty" doc:"As it is written"`
}

type templateRow struct {
	bun.BaseModel `bun:"table:alert_templates,alias:t"`

	ID      string `bun:"id,pk"`
	Version int    `bun:"version,pk"`
	Doc     string `bun:"doc"`
	By      string `bun:"by"`
	At      int64  `bun:"at"`
	Removed bool   `bun:"removed"`
}

// Templates lists the suite's templates and the newest versions of the
// operator's, by id. One of the operator's stands before the suite's of the same
// id.
func (s *Service) Templates(ctx context.Context) ([]Kept, error) {
	var rows []templateRow
	err := s.db.NewSelect().Model(&rows).Where("version = (SELECT max(version) FROM alert_templates AS n WHERE n.id = t.id)").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("source: read the templates: %w", err)
	}
	byID := map[string]Kept{}
	for _, t := range s.builtin {
		byID[t.ID] = Kept{Template: t}
	}
	for _, r := range rows {
		if r.Removed {
			continue
		}
		// One that an added field broke is listed all the same: a source of it says why.
		t, _ := ParseTemplate([]byte(r.Doc), s.deps.Dictionary())
		t.ID, t.Version = r.ID, r.Version
		byID[r.ID] = Kept{Template: t, Own: true, By: r.By, At: time.UnixMilli(r.At).UTC(), YAML: r.Doc}
	}
	out := make([]Kept, 0, len(byID))
	for _, k := range byID {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Kept) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (s *Service) template(ctx context.Context, id string) (Template, error) {
	list, err := s.Templates(ctx)
	if err != nil {
		return Template{}, err
	}
	var ids []string
	for _, k := range list {
		if k.ID == id {
			return k.Template, nil
		}
		ids = append(ids, k.ID)
	}
	return Template{}, fmt.Errorf("%q is none that there is: want one of %s", clip(id, 64), strings.Join(ids, ", "))
}

// GetTemplate returns a template as it is written, and the versions there are of
// it, the newest first.
func (s *Service) GetTemplate(ctx context.Context, id string) (k Kept, versions []Kept, err error) {
	list, err := s.Templates(ctx)
	if err != nil {
		return k, nil, err
	}
	i := slices.IndexFunc(list, func(k Kept) bool { return k.ID == id })
	if i < 0 {
		return k, nil, ErrNotFound
	}
	k = list[i]
	if k.YAML == "" {
		text, err := yaml.Marshal(k.Template)
		if err != nil {
			return k, nil, fmt.Errorf("source: write the template %s: %w", id, err)
		}
		k.YAML = string(text)
	}
	var rows []templateRow
	if err := s.db.NewSelect().Model(&rows).Where("id = ? AND NOT removed", id).OrderExpr("version DESC").Limit(100).Scan(ctx); err != nil {
		return k, nil, fmt.Errorf("source: read the versions of %s: %w", id, err)
	}
	versions = []Kept{}
	for _, r := range rows {
		versions = append(versions, Kept{Template: Template{ID: r.ID, Version: r.Version}, Own: true, By: r.By, At: time.UnixMilli(r.At).UTC(), YAML: r.Doc})
	}
	return k, versions, nil
}

// PutTemplate keeps a template of the operator's. It becomes the next version of
// its id, whatever it says of its version. Sources follow it at once, so it is
// refused where one of them could not be read by it any more.
func (s *Service) PutTemplate(ctx context.Context, a Asker, text string) (Kept, error) {
	t, err := ParseTemplate([]byte(text), s.deps.Dictionary())
	if err != nil {
		return Kept{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, one := range s.users(t.ID) {
		if err := one.content.check(t); err != nil {
			return Kept{}, fmt.Errorf("%w: the alert source %q goes by this template: %w", ErrInvalid, one.Name, err)
		}
		if _, err := NewMapper(t, one.content.Mapping, one.content.Corrections, s.deps.Dictionary()); err != nil {
			return Kept{}, fmt.Errorf("%w: the alert source %q goes by this template: %w", ErrInvalid, one.Name, err)
		}
	}
	if err := s.nextVersion(ctx, templateRow{ID: t.ID, Doc: text, By: a.Name}); err != nil {
		return Kept{}, err
	}
	k, _, err := s.GetTemplate(ctx, t.ID)
	return k, err
}

// DeleteTemplate takes a template of the operator's away; the suite's of the same
// id is back then. It stays among the versions, so that it can be put again.
func (s *Service) DeleteTemplate(ctx context.Context, a Asker, id string) error {
	k, _, err := s.GetTemplate(ctx, id)
	if err != nil {
		return err
	}
	if !k.Own {
		return fmt.Errorf("%w: the template %s is part of the suite", ErrInvalid, id)
	}
	if users := s.users(id); len(users) > 0 && !slices.ContainsFunc(s.builtin, func(t Template) bool { return t.ID == id }) {
		return fmt.Errorf("%w: the alert source %q goes by it: give that another template first", ErrConflict, users[0].Name)
	}
	return s.nextVersion(ctx, templateRow{ID: id, Doc: k.YAML, By: a.Name, Removed: true})
}

func (s *Service) nextVersion(ctx context.Context, r templateRow) error {
	r.At = s.now().UnixMilli()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var last int
		if err := tx.NewSelect().Model((*templateRow)(nil)).ColumnExpr("coalesce(max(version), 0)").Where("id = ?", r.ID).Scan(ctx, &last); err != nil {
			return err
		}
		r.Version = last + 1
		_, err := tx.NewInsert().Model(&r).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("source: keep the template %s: %w", r.ID, err)
	}
	return s.Reload(ctx)
}

// users are the sources that go by a template, by name.
func (s *Service) users(template string) []*source {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*source
	for _, one := range s.sources {
		if one.content.Template == template {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, byName)
	return out
}
