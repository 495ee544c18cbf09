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

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/template"
	"icewatch/collectors/fleet/wire"
)

// Joining is what a host gets beside labels, group and configuration when it is added, by its line as
// over SSH.
type Joining struct {
	Profile string   `json:"profile,omitempty" maxLength:"64" doc:"Id of a host profile; what is given beside it counts before it, labels and plug-ins add up"`
	Plugins []string `json:"plugins,omitempty" nullable:"false" maxItems:"50" doc:"Extension plug-ins to be installed: NAME, or NAME@VERSION"`
	Tasks   []string `json:"tasks,omitempty" nullable:"false" maxItems:"50" doc:"Ids of collection tasks that the host takes part in"`
}

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

// pluginOf parts NAME@VERSION; the version is the newest upload's where it is not given. s.mu is held.
func (s *Service) pluginOf(text string) (*Extension, error) {
	name, version, given := strings.Cut(text, "@")
	list := s.versionsOf(name)
	if len(list) == 0 {
		return nil, invalid("there is no plug-in %q: upload its package first", clip(name, 40))
	}
	if !given {
		return list[0], nil
	}
	if err := extension.CheckName(name, version); err != nil {
		return nil, invalid("the plug-in %q: %v", clip(text, 110), err)
	}
	if x := s.extensions[extensionKey(name, version)]; x != nil {
		return x, nil
	}
	return nil, invalid("there is no version %s of the plug-in %s: upload it first", version, name)
}

// checkJoining checks what hosts are to get. s.mu is held.
func (s *Service) checkJoining(tenant string, j Joining) error {
	if p := s.profiles[j.Profile]; j.Profile != "" && (p == nil || p.Tenant != tenant) {
		return invalid("there is no host profile %q of the tenant %s", clip(j.Profile, 64), tenant)
	}
	for _, text := range j.Plugins {
		if _, err := s.pluginOf(text); err != nil {
			return err
		}
	}
	for _, id := range j.Tasks {
		t := s.tasks[id]
		if t == nil || t.Tenant != tenant {
			return invalid("there is no task %q of the tenant %s", clip(id, 64), tenant)
		}
		if t.Group != "" {
			return invalid("the task %s is a group's: hosts take part in it by the group", t.Name)
		}
	}
	return nil
}

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

// joined is what a token gives to a host: its own word before the profile's; labels and plug-ins add up. s.mu is held.
func (s *Service) joined(t *Token) (x Token, version string) {
	x = *t
	p := s.profiles[t.Profile]
	if p == nil {
		x.Profile = ""
		return x, ""
	}
	if labels, err := cleanLabels(slices.Concat(p.Labels, t.Labels)); err == nil {
		x.Labels = labels
	}
	x.Group, x.Configuration = cmp.Or(t.Group, p.Group), cmp.Or(t.Configuration, p.Configuration)
	if x.Group != "" && s.groups[x.Group] == nil {
		x.Group = ""
	}
	named := map[string]bool{}
	for _, n := range t.Plugins {
		name, _, _ := strings.Cut(n, "@")
		named[name] = true
	}
	for _, n := range p.Plugins {
		if name, _, _ := strings.Cut(n, "@"); !named[name] {
			x.Plugins = append(slices.Clip(x.Plugins), n)
		}
	}
	return x, p.Version
}

// joinTasks are the tasks of a token with a host more, to be stored. s.mu is held.
func (s *Service) joinTasks(t *Token, agent string) []*Task {
	var out []*Task
	for _, id := range t.Tasks {
		task := s.tasks[id]
		if task == nil || task.Tenant != t.Tenant || slices.Contains(task.Hosts, agent) {
			continue
		}
		if len(task.Hosts) >= maxTaskHosts {
			s.noteTask(task, nil, "system", "task-full", false, fmt.Sprintf("it is on %d hosts, the most there may be by name: choose them by label", len(task.Hosts)))
			continue
		}
		x := *task
		x.Hosts = append(slices.Clone(task.Hosts), agent)
		x.Revision++
		out = append(out, &x)
	}
	return out
}

// orderJoining orders what a host that was just added is to get: plug-ins, and another version of the
// agent where the profile names one. Hosts of one token share a job. s.mu is held.
func (s *Service) orderJoining(m *member, t *Token, version string) {
	now := s.now().UTC()
	order := func(d JobDraft) {
		d.Hosts = []string{m.ID}
		origin := "token:" + t.ID
		var job *Job
		for _, j := range s.jobs {
			if j.Origin == origin && j.Kind == d.Kind && j.Plugin == d.Plugin && j.Version == d.Version && now.Add(time.Hour).Before(j.Until) && len(j.Outcomes) < MaxBatch {
				job = j
			}
		}
		if job == nil {
			job = &Job{ID: roster.NewID(now), Tenant: m.Tenant, Kind: d.Kind, Plugin: d.Plugin, Version: d.Version, Origin: origin, By: t.CreatedBy, At: now, Until: now.Add(7 * 24 * time.Hour), Outcomes: map[string]*Outcome{}}
			if d.Kind == wire.CommandUpgrade {
				for _, p := range s.packagesLocked() {
					if p.Version == d.Version {
						job.Packages = append(job.Packages, p.SHA256)
					}
				}
			}
		}
		o := &Outcome{Agent: m.ID, Host: m.Name, State: JobWaiting}
		why := s.cannotExtend(d, m)
		if d.Kind == wire.CommandUpgrade && s.packageFor(job, m) == nil {
			why = "there is no package of version " + d.Version + " for " + m.Facts.OS + "/" + m.Facts.Arch
		}
		if why != "" {
			o.State, o.Text, o.At = JobFailed, why, now
		}
		job.Outcomes[m.ID], job.dirty = o, true
		s.jobs[job.ID] = job
		s.note(roster.Operation{Tenant: m.Tenant, Agent: m.ID, Host: m.Name, Object: "job:" + job.ID, Kind: "ordered-" + d.Kind, Actor: t.CreatedBy, OK: why == "", Text: strings.TrimSpace(d.Plugin + " " + d.Version + " " + why)})
	}
	for _, text := range t.Plugins {
		x, err := s.pluginOf(text)
		if err != nil {
			s.noteAgent(m, "system", "plugin-missing", false, err.Error())
			continue
		}
		order(JobDraft{Kind: wire.CommandInstallExtension, Plugin: x.Name, Version: x.Version})
	}
	if version != "" && m.Version != version {
		order(JobDraft{Kind: wire.CommandUpgrade, Version: version})
	}
}

// TemplateInstall applies a template to hosts that have no agent yet: the agent is installed on them over
// SSH, or they enrol by a line, and they collect at once. It is one task.
type TemplateInstall struct {
	Task       TaskDraft        `json:"task" doc:"What is collected; hosts that have an agent can be named in it, too"`
	Deployment *DeploymentDraft `json:"deployment,omitempty" doc:"Hosts and how to sign in on them; kind is install"`
	Token      *TokenDraft      `json:"token,omitempty" doc:"Instead: a token whose line installs a host of the task"`
}

// TemplateInstalled is what came of it.
type TemplateInstalled struct {
	Task       TaskView        `json:"task"`
	Deployment *DeploymentView `json:"deployment,omitempty"`
	Token      *MadeToken      `json:"token,omitempty"`
}

// InstallTemplate begins it. Where the installation cannot begin there is no task either.
func (s *Service) InstallTemplate(ctx context.Context, a Asker, d TemplateInstall) (out TemplateInstalled, err error) {
	switch {
	case (d.Deployment == nil) == (d.Token == nil):
		return out, invalid("want one of deployment and token")
	case d.Task.Group != "":
		return out, invalid("a group's task is on no host of its own")
	case d.Deployment != nil && d.Deployment.Kind != "" && d.Deployment.Kind != "install":
		return out, invalid("deployment: kind is %q: want install", clip(d.Deployment.Kind, 20))
	case d.Deployment != nil && cmp.Or(d.Deployment.Tenant, d.Task.Tenant) != d.Task.Tenant, d.Token != nil && cmp.Or(d.Token.Tenant, d.Task.Tenant) != d.Task.Tenant:
		return out, invalid("the task and its hosts are of different tenants")
	}
	if out.Task, err = s.KeepTask(ctx, a, "", 0, d.Task); err != nil {
		return out, err
	}
	id := out.Task.ID
	if d.Deployment != nil {
		x := *d.Deployment
		x.Kind, x.Tenant, x.Tasks = "install", d.Task.Tenant, append(slices.Clone(x.Tasks), id)
		var v DeploymentView
		if v, err = s.Deploy(ctx, a, x); err == nil {
			out.Deployment = &v
			out.Task, err = s.installs(ctx, a, id, v.ID)
		}
	} else {
		x := *d.Token
		x.Tenant, x.Tasks = d.Task.Tenant, append(slices.Clone(x.Tasks), id)
		var v MadeToken
		if v, err = s.CreateToken(ctx, a, x); err == nil {
			out.Token = &v
		}
	}
	if err != nil && out.Deployment == nil {
		_, gone := s.DeleteTask(context.WithoutCancel(ctx), a, id)
		return TemplateInstalled{}, errors.Join(err, gone)
	}
	return out, err
}

// installs notes by which deployment a task's hosts come.
func (s *Service) installs(ctx context.Context, a Asker, task, deployment string) (TaskView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	t := s.tasks[task]
	if t == nil {
		s.mu.Unlock()
		return TaskView{}, ErrNotFound
	}
	x := *t
	s.mu.Unlock()
	x.Deployment = deployment
	return s.putTask(ctx, a, &x, "task-installing")
}

// awaitCollecting waits until a host that was just added runs what it is to run: its tasks, and the plug-ins
// that came with it.
func (s *Service) awaitCollecting(ctx context.Context, id string) error {
	for end := s.now().Add(deployOnline); ; {
		s.mu.Lock()
		m := s.agents[id]
		var why, refused string
		switch {
		case m == nil:
			refused = "the host is gone"
		default:
			w := s.want(m)
			if w.err != nil {
				refused = w.err.Error()
			} else if f := m.Fault; f != nil && f.SHA256 == w.sum {
				refused = faultText(f)
			} else if m.Config != w.sum {
				why = "it does not run its configuration and tasks yet"
			}
			for _, j := range s.jobs {
				if o := j.Outcomes[id]; o != nil && j.Origin != "" && j.Kind == wire.CommandInstallExtension {
					switch o.State {
					case JobWaiting, JobSent:
						why = "the plug-in " + j.Plugin + " is not installed yet"
					case JobFailed, JobExpired:
						refused = "the plug-in " + j.Plugin + ": " + o.Text
					}
				}
			}
		}
		s.mu.Unlock()
		switch {
		case refused != "":
			return fmt.Errorf("the agent is installed, but: %s", refused)
		case why == "":
			return nil
		case s.now().After(end):
			return fmt.Errorf("the agent is installed, but within %s: %s", deployOnline, why)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
}
