package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/template"
)

// Profile is what hosts are that are added by it: a host template.
type Profile struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	Name          string    `json:"name"`
	Note          string    `json:"note,omitempty"`
	Labels        []string  `json:"labels" nullable:"false"`
	Group         string    `json:"group,omitempty"`
	Configuration string    `json:"configuration,omitempty"`
	Plugins       []string  `json:"plugins" nullable:"false" doc:"Extension plug-ins: NAME, or NAME@VERSION"`
	Version       string    `json:"version,omitempty" doc:"Of the agent; the newest where it is absent"`
	Revision      int64     `json:"revision"`
	CreatedAt     time.Time `json:"created_at"`
	CreatedBy     string    `json:"created_by"`
	UpdatedAt     time.Time `json:"updated_at"`
	UpdatedBy     string    `json:"updated_by"`
}

// ProfileTemplate is a template that is applied to all hosts of a profile.
type ProfileTemplate struct {
	Template string            `json:"template" yaml:"template" minLength:"1" maxLength:"64"`
	Params   map[string]string `json:"params,omitempty" yaml:"params,omitempty" doc:"A secret that is left out of a change stays"`
	Secrets  []string          `json:"secrets,omitempty" yaml:"secrets,omitempty" nullable:"false" doc:"Parameters whose secret is kept; in a file those that have to be given after the import"`
	Task     string            `json:"task,omitempty" yaml:"-" doc:"Id of the task that it is"`
}

// ProfileDraft is what is written of a profile.
type ProfileDraft struct {
	Tenant        string            `json:"tenant" minLength:"1" maxLength:"63"`
	Name          string            `json:"name" minLength:"1" maxLength:"48"`
	Note          string            `json:"note,omitempty" maxLength:"2000"`
	Labels        []string          `json:"labels,omitempty" nullable:"false" maxItems:"32"`
	Group         string            `json:"group,omitempty" maxLength:"64"`
	Configuration string            `json:"configuration,omitempty" maxLength:"64"`
	Plugins       []string          `json:"plugins,omitempty" nullable:"false" maxItems:"50"`
	Version       string            `json:"version,omitempty" maxLength:"64"`
	Templates     []ProfileTemplate `json:"templates,omitempty" nullable:"false" maxItems:"30"`
}

// ProfileView is a profile with its templates and how many hosts came by it.
type ProfileView struct {
	Profile
	Templates []ProfileTemplate `json:"templates" nullable:"false"`
	Hosts     int               `json:"hosts"`
}

const (
	maxProfiles    = 500
	maxTaskHosts   = MaxBatch
	maxProfileName = 48 // its tasks are called by it and the template
)

// Profiles lists profiles by name.
func (s *Service) Profiles(a Asker) []ProfileView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []ProfileView{}
	for _, p := range s.profiles {
		if a.may(p.Tenant) {
			out = append(out, s.viewProfile(p))
		}
	}
	slices.SortFunc(out, func(x, y ProfileView) int { return cmpText(x.Name+x.ID, y.Name+y.ID) })
	return out
}

// viewProfile is for the API. s.mu is held.
func (s *Service) viewProfile(p *Profile) ProfileView {
	v := ProfileView{Profile: *p, Templates: []ProfileTemplate{}}
	for _, t := range sorted(s.tasks) {
		if t.Profile == p.ID {
			v.Templates = append(v.Templates, ProfileTemplate{t.Template, t.Params, t.Secrets, t.ID})
		}
	}
	for _, m := range s.agents {
		if m.Profile == p.ID && m.RevokedAt.IsZero() {
			v.Hosts++
		}
	}
	return v
}

// profile is one within reach. s.mu is held.
func (s *Service) profile(a Asker, id string) (*Profile, error) {
	p := s.profiles[id]
	if p == nil || !a.may(p.Tenant) {
		return nil, ErrNotFound
	}
	return p, nil
}

// ProfileOf is one profile.
func (s *Service) ProfileOf(a Asker, id string) (ProfileView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.profile(a, id)
	if err != nil {
		return ProfileView{}, err
	}
	return s.viewProfile(p), nil
}

// KeepProfile makes a profile (id is empty) or changes one. Its templates are tasks of all hosts that came by it:
// what changes of them is in force there at once. Labels, group, configuration and plug-ins are given when a
// host is added.
func (s *Service) KeepProfile(ctx context.Context, a Asker, id string, revision int64, d ProfileDraft) (ProfileView, error) {
	if n := len([]rune(d.Name)); strings.TrimSpace(d.Name) != d.Name || n == 0 || n > maxProfileName {
		return ProfileView{}, invalid("the name: want 1 to %d characters without spaces around", maxProfileName)
	}
	if !a.may(d.Tenant) {
		return ProfileView{}, ErrForbidden
	}
	if !s.deps.Tenant(d.Tenant) {
		return ProfileView{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	}
	if d.Version != "" && !release.IsVersion(d.Version) {
		return ProfileView{}, invalid("the version %q: want letters, digits, '.', '+', '_' and '-'", clip(d.Version, 64))
	}
	labels, err := cleanLabels(d.Labels)
	if err != nil {
		return ProfileView{}, err
	}
	before, err := s.putProfile(ctx, a, id, revision, d, labels)
	if err != nil {
		return ProfileView{}, err
	}
	id = before.ID
	// The tasks, one after the other; each is checked before, so that an error here is one of the store.
	s.mu.Lock()
	tasks := map[string]*Task{}
	for _, t := range s.tasks {
		if t.Profile == id {
			tasks[t.Template] = t
		}
	}
	s.mu.Unlock()
	for _, t := range d.Templates {
		old, task := tasks[t.Template], ""
		if old != nil {
			task = old.ID
			delete(tasks, t.Template)
		}
		if _, err := s.KeepTask(ctx, a, task, 0, TaskDraft{Tenant: d.Tenant, Name: clip(d.Name+" · "+t.Template, maxName-3), Template: t.Template, Params: t.Params, Profile: id}); err != nil {
			return ProfileView{}, fmt.Errorf("%w (template %s)", err, t.Template)
		}
	}
	for _, t := range tasks {
		if _, err := s.DeleteTask(ctx, a, t.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return ProfileView{}, err
		}
	}
	return s.ProfileOf(a, id)
}

// putProfile checks and stores a profile itself.
func (s *Service) putProfile(ctx context.Context, a Asker, id string, revision int64, d ProfileDraft, labels []string) (*Profile, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	p := &Profile{ID: roster.NewID(now), CreatedAt: now, CreatedBy: a.Name}
	kind := "profile-created"
	s.mu.Lock()
	err := func() error {
		if id != "" {
			old, err := s.profile(a, id)
			switch {
			case err != nil:
				return err
			case revision != 0 && revision != old.Revision:
				return conflict("the profile was changed since it was read")
			case old.Tenant != d.Tenant:
				return invalid("the tenant of a profile does not change: make another one")
			}
			x := *old
			p, kind = &x, "profile-changed"
		} else if len(s.profiles) >= maxProfiles {
			return conflict("there are %d profiles, the most there may be", len(s.profiles))
		}
		for _, o := range s.profiles {
			if o.ID != p.ID && o.Tenant == d.Tenant && o.Name == d.Name {
				return conflict("there is a profile %q already", d.Name)
			}
		}
		if g := s.groups[d.Group]; d.Group != "" && (g == nil || g.Tenant != d.Tenant) {
			return invalid("there is no group %q of the tenant %s", clip(d.Group, 64), d.Tenant)
		}
		if c := s.configurations[d.Configuration]; d.Configuration != "" && (c == nil || c.Tenant != "" && c.Tenant != d.Tenant) {
			return invalid("there is no configuration %q of the tenant %s", clip(d.Configuration, 64), d.Tenant)
		}
		if err := s.checkJoining(d.Tenant, Joining{Plugins: d.Plugins}); err != nil {
			return err
		}
		return s.checkTemplates(p.ID, d.Templates)
	}()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p.Tenant, p.Name, p.Note, p.Labels, p.Group, p.Configuration, p.Plugins, p.Version = d.Tenant, d.Name, clip(d.Note, maxNote), labels, d.Group, d.Configuration, orEmpty(d.Plugins), d.Version
	p.Revision++
	p.UpdatedAt, p.UpdatedBy = now, a.Name
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindProfile, ID: p.ID, Tenant: p.Tenant, Data: p}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.profiles[p.ID] = p
	s.note(roster.Operation{Tenant: p.Tenant, Object: "profile:" + p.ID, Kind: kind, Actor: a.Name, OK: true, Text: p.Name})
	return p, nil
}

// checkTemplates tells whether the templates of a profile can be applied, with secrets that are kept. s.mu is held.
func (s *Service) checkTemplates(profile string, list []ProfileTemplate) error {
	seen := map[string]bool{}
	for _, x := range list {
		tpl, ok := template.Get(x.Template)
		if !ok {
			return invalid("there is no template %q", clip(x.Template, 64))
		}
		if seen[x.Template] {
			return invalid("the template %s stands twice", x.Template)
		}
		seen[x.Template] = true
		values := maps.Clone(x.Params)
		if values == nil {
			values = map[string]string{}
		}
		for _, t := range s.tasks {
			if t.Profile == profile && t.Template == x.Template && sameTarget(tpl, t.Params, x.Params) {
				for k, v := range s.secrets.of(t.ID) {
					if values[k] == "" {
						values[k] = v
					}
				}
			}
		}
		if _, err := tpl.Render(values, func(string) string { return "******" }); err != nil {
			return invalid("the template %s: %v", x.Template, err)
		}
	}
	return nil
}

// DeleteProfile takes a profile away with its tasks; its hosts stay as they are otherwise.
func (s *Service) DeleteProfile(ctx context.Context, a Asker, id string) (ProfileView, error) {
	s.mu.Lock()
	p, err := s.profile(a, id)
	if err != nil {
		s.mu.Unlock()
		return ProfileView{}, err
	}
	v := s.viewProfile(p)
	now := s.now()
	for _, t := range s.tokens {
		if t.Profile == id && t.view(now).State == "valid" {
			s.mu.Unlock()
			return v, conflict("the enrolment token %s adds hosts by it: withdraw the token first", cmp.Or(t.Note, t.ID))
		}
	}
	s.mu.Unlock()
	for _, t := range v.Templates {
		if _, err := s.DeleteTask(ctx, a, t.Task); err != nil && !errors.Is(err, ErrNotFound) {
			return v, err
		}
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindProfile, ID: id}); err != nil {
		return v, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.profiles, id)
	for _, m := range s.agents {
		if m.Profile == id {
			m.Profile, m.dirty = "", true
		}
	}
	s.note(roster.Operation{Tenant: p.Tenant, Object: "profile:" + id, Kind: "profile-deleted", Actor: a.Name, OK: true, Text: p.Name})
	return v, nil
}
