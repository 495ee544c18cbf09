package forwarding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"icewatch/soc/export"
)

// A file of targets has none of their secrets, and tells which each needs.

// fileVersion is the version of the file's form.
const fileVersion = 1

// MaxFile bounds a file of targets in bytes.
const MaxFile = 4 << 20

type file struct {
	Version int         `json:"version"`
	Targets []fileEntry `json:"targets"`
}

type fileEntry struct {
	Content
	Secrets []string `json:"secrets,omitempty"` // that it needs
}

// Export writes the targets that the asker may see as JSON or YAML.
func (s *Service) Export(ctx context.Context, a Asker, asYAML bool) ([]byte, error) {
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return nil, err
	}
	f := file{Version: fileVersion, Targets: []fileEntry{}}
	for _, t := range list {
		f.Targets = append(f.Targets, fileEntry{t.Content, t.SecretsSet})
	}
	out, err := json.MarshalIndent(f, "", "  ")
	if err == nil && asYAML {
		var doc any
		if err = json.Unmarshal(out, &doc); err == nil {
			out, err = yaml.Marshal(doc)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("forward: write the targets: %w", err)
	}
	return out, nil
}

// Imported is what an import did, or would do.
type Imported struct {
	Created []string          `json:"created" nullable:"false" doc:"Names"`
	Updated []string          `json:"updated" nullable:"false"`
	Failed  map[string]string `json:"failed" doc:"Name and why"`
}

// Import takes in a file of targets, in the owner's name: one whose name is
// there already is changed, others are added. One that lacks a secret it needs
// is disabled, until that is given. With dry nothing changes.
func (s *Service) Import(ctx context.Context, a Asker, o export.Owner, data []byte, asYAML, dry bool) (Imported, error) {
	out := Imported{Created: []string{}, Updated: []string{}, Failed: map[string]string{}}
	if asYAML {
		var doc any
		err := yaml.Unmarshal(data, &doc)
		if err == nil {
			data, err = json.Marshal(doc)
		}
		if err != nil {
			return out, fmt.Errorf("%w: the file is no YAML: %w", ErrInvalid, err)
		}
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return out, fmt.Errorf("%w: the file cannot be read: %w", ErrInvalid, err)
	}
	if f.Version != fileVersion {
		return out, fmt.Errorf("%w: the file's version is %d: %d is right", ErrInvalid, f.Version, fileVersion)
	}
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return out, err
	}
	byName := map[string]string{}
	for _, t := range list {
		byName[t.Name] = t.ID
	}
	for _, e := range f.Targets {
		updated, err := s.take(ctx, a, o, byName[e.Name], e, dry)
		switch {
		case err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrConflict):
			return out, err
		case err != nil:
			out.Failed[e.Name] = err.Error()
		case updated:
			out.Updated = append(out.Updated, e.Name)
		default:
			out.Created = append(out.Created, e.Name)
		}
	}
	return out, nil
}

// take takes in one target of a file. id is that of the target of its name, ""
// where there is none.
func (s *Service) take(ctx context.Context, a Asker, o export.Owner, id string, e fileEntry, dry bool) (updated bool, err error) {
	c := e.Content
	var before *target
	secrets := Secrets{}
	if id != "" {
		if before, err = s.get(ctx, a, id); err != nil {
			return false, err
		}
		// Another address does not get the secrets of the one before.
		if secrets, err = merged(before, &c, nil); err != nil {
			secrets = Secrets{}
		}
	}
	c.complete()
	c.Enabled = c.Enabled && len(c.lacks(secrets)) == 0
	if err := s.check(ctx, &c, secrets); err != nil {
		return false, err
	}
	switch {
	case dry:
	case before != nil:
		r := before.targetRow
		if err := s.fill(&r, o, c, secrets); err != nil {
			return false, err
		}
		err = s.change(ctx, &r)
	default:
		_, err = s.Create(ctx, o, c, secrets)
	}
	return before != nil, err
}
