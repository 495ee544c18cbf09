package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// A file of sources has none of their secrets and tokens; with the templates of
// the operator that they go by.

// fileVersion is the version of the file's form.
const fileVersion = 1

// MaxFile bounds a file of sources in bytes.
const MaxFile = 4 << 20

type file struct {
	Version   int       `yaml:"version"`
	Templates []string  `yaml:"templates,omitempty"`
	Sources   []Content `yaml:"sources"`
}

// Export writes the sources that the asker may see as YAML.
func (s *Service) Export(ctx context.Context, a Asker) ([]byte, error) {
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return nil, err
	}
	kept, err := s.Templates(ctx)
	if err != nil {
		return nil, err
	}
	f := file{Version: fileVersion, Sources: []Content{}}
	used := map[string]bool{}
	for _, v := range list {
		if !v.Builtin {
			f.Sources, used[v.Template] = append(f.Sources, v.Content), true
		}
	}
	for _, k := range kept {
		if k.Own && used[k.ID] {
			f.Templates = append(f.Templates, k.YAML)
		}
	}
	out, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("source: write the alert sources: %w", err)
	}
	return out, nil
}

// Imported is what an import did, or would do.
type Imported struct {
	Created []string          `json:"created" nullable:"false" doc:"Names"`
	Updated []string          `json:"updated" nullable:"false"`
	Failed  map[string]string `json:"failed" doc:"Name and why"`
	Tokens  map[string]string `json:"tokens" doc:"Tokens of the sources that were made, by name: they are told this once"`
}

// Import takes in a file of sources: one whose name is there already is changed,
// others are added. One that lacks its secret is disabled until that is given.
// With dry nothing changes.
func (s *Service) Import(ctx context.Context, a Asker, data []byte, dry bool) (Imported, error) {
	out := Imported{Created: []string{}, Updated: []string{}, Failed: map[string]string{}, Tokens: map[string]string{}}
	var f file
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return out, fmt.Errorf("%w: the file cannot be read: %w", ErrInvalid, err)
	}
	if f.Version != fileVersion {
		return out, fmt.Errorf("%w: the file's version is %d: %d is right", ErrInvalid, f.Version, fileVersion)
	}
	for i, text := range f.Templates {
		t, err := ParseTemplate([]byte(text), s.deps.Dictionary())
		if err != nil {
			return out, fmt.Errorf("%w: templates[%d]: %w", ErrInvalid, i, err)
		}
		if have, _, err := s.GetTemplate(ctx, t.ID); err == nil && have.YAML == text || dry {
			continue
		}
		if _, err := s.PutTemplate(ctx, a, text); err != nil {
			return out, err
		}
	}
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return out, err
	}
	byName := map[string]View{}
	for _, v := range list {
		byName[v.Name] = v
	}
	for _, c := range f.Sources {
		if err := s.importOne(ctx, a, byName, c, dry, &out); err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrConflict) {
				return out, err
			}
			out.Failed[c.Name] = err.Error()
		}
	}
	return out, nil
}

func (s *Service) importOne(ctx context.Context, a Asker, byName map[string]View, c Content, dry bool, out *Imported) error {
	if _, err := s.check(ctx, a, &c); err != nil {
		return err
	}
	have, there := byName[c.Name]
	if !there {
		c.Enabled = c.Enabled && c.lacks(nil) == nil
		out.Created = append(out.Created, c.Name)
		if dry {
			return nil
		}
		_, token, err := s.Create(ctx, a, c, nil)
		if err == nil {
			out.Tokens[c.Name] = token
		}
		return err
	}
	one, err := s.get(ctx, a, have.ID, false)
	if err != nil {
		return err
	}
	c.Enabled = c.Enabled && c.lacks(merge(one, &c, nil)) == nil
	out.Updated = append(out.Updated, c.Name)
	if dry {
		return nil
	}
	_, _, err = s.Update(ctx, a, have.ID, have.Revision, c, nil)
	return err
}

// CheckDictionary says whether the sources can do with a field dictionary: one
// that a source needs cannot be taken out of it.
func (s *Service) CheckDictionary(d Dictionary) error {
	if err := d.Check(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, one := range s.sources {
		if one.broken != nil {
			continue
		}
		if _, err := NewMapper(one.format, one.content.Mapping, one.content.Corrections, d); err != nil {
			return fmt.Errorf("the alert source %q needs it as it is: %w", one.Name, err)
		}
	}
	return nil
}
