package fleet

import (
	"context"
	"strings"

	"go.yaml.in/yaml/v3"
)

// profileFile is a profile as a file: group and configuration go by name.
type profileFile struct {
	Name          string            `yaml:"name"`
	Note          string            `yaml:"note,omitempty"`
	Labels        []string          `yaml:"labels,omitempty"`
	Group         string            `yaml:"group,omitempty"`
	Configuration string            `yaml:"configuration,omitempty"`
	Plugins       []string          `yaml:"plugins,omitempty"`
	Version       string            `yaml:"agent_version,omitempty"`
	Templates     []ProfileTemplate `yaml:"templates,omitempty"`
}

const maxProfileFile = 256 << 10

// ExportProfile writes a profile as YAML, without secrets.
func (s *Service) ExportProfile(a Asker, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(a, id)
	if err != nil {
		return "", err
	}
	v := s.viewProfile(p)
	f := profileFile{Name: p.Name, Note: p.Note, Labels: p.Labels, Plugins: p.Plugins, Version: p.Version, Templates: v.Templates}
	if g := s.groups[p.Group]; g != nil {
		f.Group = g.Name
	}
	if c := s.configurations[p.Configuration]; c != nil {
		f.Configuration = c.Name
	}
	text, err := yaml.Marshal(f)
	return string(text), err
}

// ImportProfile takes a profile from YAML into a tenant: a new one, or in the place of the one of its name.
func (s *Service) ImportProfile(ctx context.Context, a Asker, tenant, text string) (ProfileView, error) {
	if !a.may(tenant) {
		return ProfileView{}, ErrForbidden // before a refusal could tell of what the tenant has
	}
	if len(text) > maxProfileFile {
		return ProfileView{}, invalid("the file has %d bytes; at most %d are taken", len(text), maxProfileFile)
	}
	dec := yaml.NewDecoder(strings.NewReader(text))
	dec.KnownFields(true)
	var f profileFile
	if err := dec.Decode(&f); err != nil {
		return ProfileView{}, invalid("the file: %s", clip(strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), " in type fleet.profileFile", ""), 400))
	}
	d := ProfileDraft{Tenant: tenant, Name: f.Name, Note: f.Note, Labels: f.Labels, Plugins: f.Plugins, Version: f.Version, Templates: f.Templates}
	id := ""
	s.mu.Lock()
	for _, g := range s.groups {
		if f.Group != "" && g.Tenant == tenant && g.Name == f.Group {
			d.Group = g.ID
		}
	}
	for _, c := range s.configurations {
		if f.Configuration != "" && (c.Tenant == tenant || c.Tenant == "") && c.Name == f.Configuration && (d.Configuration == "" || c.Tenant == tenant) {
			d.Configuration = c.ID
		}
	}
	for _, p := range s.profiles {
		if p.Tenant == tenant && p.Name == f.Name {
			id = p.ID
		}
	}
	s.mu.Unlock()
	switch {
	case f.Group != "" && d.Group == "":
		return ProfileView{}, invalid("group: there is no group %q of the tenant %s", clip(f.Group, 64), tenant)
	case f.Configuration != "" && d.Configuration == "":
		return ProfileView{}, invalid("configuration: there is no configuration %q of the tenant %s", clip(f.Configuration, 64), tenant)
	}
	return s.KeepProfile(ctx, a, id, 0, d)
}
