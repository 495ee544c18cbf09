package inputs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors"
)

// A file of inputs has none of their secrets, and tells which each has.

// fileVersion is the version of the file's form.
const fileVersion = 1

// MaxFile bounds a file of inputs in bytes.
const MaxFile = 4 << 20

type file struct {
	Version int         `json:"version"`
	Inputs  []fileEntry `json:"inputs"`
}

type fileEntry struct {
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Tenant   string          `json:"tenant,omitempty"`
	Zone     string          `json:"zone,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Note     string          `json:"note,omitempty"`
	Enabled  *bool           `json:"enabled,omitempty"` // true by default
	Settings json.RawMessage `json:"settings,omitempty"`
	Secrets  []string        `json:"secrets,omitempty"` // that it has: they are given apart
}

// Export writes the inputs that the asker may see as JSON or YAML.
func (s *Service) Export(ctx context.Context, a Asker, asYAML bool) ([]byte, error) {
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return nil, err
	}
	f := file{Version: fileVersion, Inputs: []fileEntry{}}
	for _, v := range list {
		f.Inputs = append(f.Inputs, fileEntry{v.Name, v.Kind, v.Tenant, v.Zone, v.Tags, v.Note, &v.Enabled, v.Settings, v.SecretsSet})
	}
	out, err := json.MarshalIndent(f, "", "  ")
	if err == nil && asYAML {
		var doc any
		if err = json.Unmarshal(out, &doc); err == nil {
			out, err = yaml.Marshal(doc)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("inputs: write them: %w", err)
	}
	return out, nil
}

// Imported is what an import did, or would do.
type Imported struct {
	Created   []string          `json:"created" nullable:"false" doc:"Names"`
	Updated   []string          `json:"updated" nullable:"false"`
	Unchanged []string          `json:"unchanged" nullable:"false"`
	Waiting   map[string]string `json:"waiting" doc:"Name, and the secrets that it lacks: it is paused until they are given"`
	Failed    map[string]string `json:"failed" doc:"Name and why"`
}

// Import takes in a file of inputs: one whose name is there already is changed
// where it differs, others are added; none is deleted. One that lacks a secret
// is paused until that is given. With dry nothing changes. Secrets may stand in
// the settings.
func (s *Service) Import(ctx context.Context, a Asker, data []byte, asYAML, dry bool) (Imported, error) {
	out := Imported{Created: []string{}, Updated: []string{}, Unchanged: []string{}, Waiting: map[string]string{}, Failed: map[string]string{}}
	f, err := readFile(data, asYAML)
	if err != nil {
		return out, err
	}
	list, err := s.List(ctx, a, Query{})
	if err != nil {
		return out, err
	}
	byName := map[string]string{}
	for _, v := range list {
		byName[v.Name] = v.ID
	}
	seen := map[string]bool{}
	for i, e := range f.Inputs {
		name := strings.TrimSpace(e.Name)
		if seen[name] {
			out.Failed[name] = fmt.Sprintf("the file has it twice: entry %d is not taken", i+1)
			continue
		}
		seen[name] = true
		done, err := s.take(ctx, a, byName[name], e, dry, out.Waiting)
		switch {
		case err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrNotFound):
			return out, err
		case err != nil:
			out.Failed[name] = err.Error()
			delete(out.Waiting, name)
		case done == created:
			out.Created = append(out.Created, name)
		case done == updated:
			out.Updated = append(out.Updated, name)
		default:
			out.Unchanged = append(out.Unchanged, name)
		}
	}
	return out, nil
}

// outcome is what became of an entry.
type outcome int

const (
	created outcome = iota
	updated
	unchanged
)

func readFile(data []byte, asYAML bool) (f file, err error) {
	if asYAML {
		var doc any
		err := yaml.Unmarshal(data, &doc)
		if err == nil {
			data, err = json.Marshal(doc)
		}
		if err != nil {
			return f, invalid("file", "it is no YAML: %s", err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, invalid("file", "it cannot be read: %s", err)
	}
	if f.Version != fileVersion {
		return f, invalid("version", "%d: %d is right", f.Version, fileVersion)
	}
	if len(f.Inputs) > MaxInputs {
		return f, invalid("inputs", "there are %d: %d are the most", len(f.Inputs), MaxInputs)
	}
	return f, nil
}

// take takes in one input of a file. id is that of the input of its name, ""
// where there is none.
func (s *Service) take(ctx context.Context, a Asker, id string, e fileEntry, dry bool, waiting map[string]string) (done outcome, err error) {
	c := Content{Name: e.Name, Kind: e.Kind, Tenant: e.Tenant, Zone: e.Zone, Tags: e.Tags, Note: e.Note, Enabled: e.Enabled == nil || *e.Enabled, Settings: e.Settings}
	var before *row
	newly := newID(c.Name)
	if id != "" {
		if before, err = s.managed(ctx, a, id, false); err != nil {
			return 0, err
		}
		newly = id
	}
	if lacks := s.lacking(before, c, e.Secrets); len(lacks) > 0 {
		c.Enabled = false
		waiting[strings.TrimSpace(e.Name)] = strings.Join(lacks, ", ")
	}
	checked, all, err := s.checked(a, newly, c, before)
	if err != nil {
		return 0, err
	}
	if before == nil {
		if !dry {
			_, err = s.Create(ctx, a, c)
		}
		return created, err
	}
	after := *before
	if err := s.fill(&after, checked, all); err != nil {
		return 0, err
	}
	kept, err := s.secrets(before)
	if err == nil && slices.Equal(kept.names(), all.names()) && same(kept, all) {
		after.Secrets = before.Secrets // sealed anew it looks different
		if after == *before {
			return unchanged, nil
		}
	}
	if dry {
		return updated, nil
	}
	return updated, s.change(ctx, a, &after)
}

func same(a, b secrets) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// lacking are the secrets that a file says an input has, and that neither it nor
// the input as it is holds.
func (s *Service) lacking(before *row, c Content, has []string) []string {
	k := s.kinds[c.Kind]
	if k == nil || len(has) == 0 {
		return nil
	}
	doc, err := document(c.Settings)
	if err != nil {
		return nil // said by checked
	}
	given := takeSecrets(k.schema, doc)
	if all, err := s.merged(k, before, doc, given); err == nil {
		given = all
	}
	var out []string
	for _, path := range has {
		if given[path] == nil {
			out = append(out, path)
		}
	}
	return out
}

func sortHealth(list []collectors.Health) {
	slices.SortFunc(list, func(a, b collectors.Health) int { return strings.Compare(a.ID, b.ID) })
}
