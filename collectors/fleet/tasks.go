package fleet

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/template"
	"icewatch/collectors/fleet/wire"
)

// Group is agents that share remote work.
type Group struct {
	ID        string    `json:"id"`
	Tenant    string    `json:"tenant"`
	Name      string    `json:"name"`
	Note      string    `json:"note,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
}

// GroupView is a group with its members and what they carry.
type GroupView struct {
	Group
	Members []GroupMember `json:"members" nullable:"false"`
	Tasks   int           `json:"tasks"`
	Idle    int           `json:"idle" doc:"Tasks that nobody runs at the moment"`
}

// GroupMember is an agent of a group.
type GroupMember struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	Load  int    `json:"load" doc:"Weight of the group's tasks that it runs"`
}

// Task collects something: on each host that it is for, or once in a group, on whichever
// member holds it.
type Task struct {
	ID       string                 `json:"id"`
	Tenant   string                 `json:"tenant"`
	Name     string                 `json:"name"`
	Template string                 `json:"template"`
	Category string                 `json:"category"`
	Params   map[string]string      `json:"params"`            // without secrets
	Secrets  []string               `json:"secrets,omitempty"` // names of those that are kept
	Document string                 `json:"document"`          // secrets are references
	Hosts    []string               `json:"hosts,omitempty"`   // ids
	Selector configuration.Selector `json:"selector"`
	Group    string                 `json:"group,omitempty"`   // runs once there
	Profile  string                 `json:"profile,omitempty"` // it is on all hosts that came by it
	// Deployment is the one by which its hosts come.
	Deployment string    `json:"deployment,omitempty"`
	Weight     int       `json:"weight,omitempty"`
	Enabled    bool      `json:"enabled"`
	Revision   int64     `json:"revision"`
	CreatedAt  time.Time `json:"created_at"`
	CreatedBy  string    `json:"created_by"`
	UpdatedAt  time.Time `json:"updated_at"`
	UpdatedBy  string    `json:"updated_by"`

	// What the holder told.
	fault string
	taken taken // by the last word of the member that runs a group's
}

func (t *Task) runsOn(m *member) bool {
	return t.Enabled && t.Tenant == m.Tenant && (slices.Contains(t.Hosts, m.ID) || t.Profile != "" && t.Profile == m.Profile || t.Selector.Match(m.subject()))
}

// partName makes the names of its inputs its own where they collide.
func (t *Task) partName() string { return strings.ToLower(t.ID[len(t.ID)-6:]) }

// TaskDraft applies a template.
type TaskDraft struct {
	Tenant   string                 `json:"tenant" minLength:"1" maxLength:"63"`
	Name     string                 `json:"name" minLength:"1" maxLength:"64"`
	Template string                 `json:"template" minLength:"1" maxLength:"64"`
	Params   map[string]string      `json:"params,omitempty" doc:"Values by parameter; a secret that is left out of a change stays"`
	Hosts    []string               `json:"hosts,omitempty" nullable:"false" maxItems:"1000"`
	Selector configuration.Selector `json:"selector,omitempty"`
	Group    string                 `json:"group,omitempty" maxLength:"64" doc:"Run it once, on a member of this group, instead of on each host"`
	Weight   int                    `json:"weight,omitempty" minimum:"1" maximum:"100"`
	Profile  string                 `json:"profile,omitempty" maxLength:"64" doc:"On all hosts that were added by this profile"`
	Enabled  *bool                  `json:"enabled,omitempty" doc:"true where it is absent"`
}

// TaskView is a task with how it fares.
type TaskView struct {
	ID         string                 `json:"id"`
	Tenant     string                 `json:"tenant"`
	Name       string                 `json:"name"`
	Template   string                 `json:"template"`
	Category   string                 `json:"category"`
	Params     map[string]string      `json:"params"`
	Secrets    []string               `json:"secrets" nullable:"false" doc:"Parameters whose secret is kept"`
	Document   string                 `json:"document"`
	Hosts      []string               `json:"hosts" nullable:"false"`
	Selector   configuration.Selector `json:"selector"`
	Group      string                 `json:"group,omitempty"`
	Weight     int                    `json:"weight"`
	Profile    string                 `json:"profile,omitempty"`
	Deployment string                 `json:"deployment,omitempty" doc:"By which its hosts get their agents"`
	Installing map[string]int         `json:"installing,omitempty" doc:"Hosts of the deployment by state"`
	Enabled    bool                   `json:"enabled"`
	Revision   int64                  `json:"revision"`
	UpdatedAt  time.Time              `json:"updated_at"`
	UpdatedBy  string                 `json:"updated_by"`
	State      string                 `json:"state" enum:"running,failing,waiting,off" doc:"waiting: no host that is online runs it yet"`
	Fault      string                 `json:"fault,omitempty" doc:"What is wrong, and where"`
	On         int                    `json:"on" doc:"Hosts that it is for; of a group's task those that run it"`
	Running    int                    `json:"running"`
	Failing    int                    `json:"failing"`
	Holder     string                 `json:"holder,omitempty" doc:"Of a group's task: id of the host that runs it"`
	HolderIs   string                 `json:"holder_name,omitempty"`
}

const (
	maxGroups = 500
	maxTasks  = 5000
)

// Templates lists the shipped templates.
func (s *Service) Templates() []template.Template { return template.All() }

// Preview shows what a template with parameters makes, without keeping it. Secrets are
// shown as stars.
func (s *Service) Preview(name string, params map[string]string) (string, error) {
	t, ok := template.Get(name)
	if !ok {
		return "", ErrNotFound
	}
	document, err := t.Render(params, func(string) string { return "******" })
	if err != nil {
		return "", invalid("%v", err)
	}
	return document, nil
}

// KeepTask applies a template as a new task (id is empty), or changes one.
func (s *Service) KeepTask(ctx context.Context, a Asker, id string, revision int64, d TaskDraft) (TaskView, error) {
	if err := errors.Join(checkName(d.Name), d.Selector.Check()); err != nil {
		return TaskView{}, err
	}
	if !a.may(d.Tenant) {
		return TaskView{}, ErrForbidden
	}
	tpl, ok := template.Get(d.Template)
	if !ok {
		return TaskView{}, invalid("there is no template %q", clip(d.Template, 64))
	}
	labels, err := cleanLabels(d.Selector.Labels)
	if err != nil {
		return TaskView{}, err
	}
	d.Selector.Labels = labels
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	t := &Task{ID: roster.NewID(now), CreatedAt: now, CreatedBy: a.Name}
	s.mu.Lock()
	err = func() error {
		if id != "" {
			old := s.tasks[id]
			if old == nil || !a.may(old.Tenant) {
				return ErrNotFound
			}
			if revision != 0 && revision != old.Revision {
				return conflict("the task was changed since it was read")
			}
			if old.Tenant != d.Tenant {
				return invalid("the tenant of a task does not change: make another one")
			}
			x := *old
			t = &x
		} else if len(s.tasks) >= maxTasks {
			return conflict("there are %d tasks, the most there may be", len(s.tasks))
		}
		if g := s.groups[d.Group]; d.Group != "" && (g == nil || g.Tenant != d.Tenant) {
			return invalid("there is no group %q of the tenant %s", clip(d.Group, 64), d.Tenant)
		}
		if d.Group != "" && !tpl.Remote {
			return invalid("the template %s collects from the host it runs on: it cannot be a group's", tpl.Name)
		}
		if p := s.profiles[d.Profile]; d.Profile != "" && (p == nil || p.Tenant != d.Tenant || d.Group != "") {
			return invalid("there is no host profile %q of the tenant %s, or the task is a group's", clip(d.Profile, 64), d.Tenant)
		}
		for _, h := range d.Hosts {
			if m := s.agents[h]; m == nil || m.Tenant != d.Tenant {
				return invalid("there is no host %q of the tenant %s", clip(h, 64), d.Tenant)
			}
		}
		return nil
	}()
	s.mu.Unlock()
	if err != nil {
		return TaskView{}, err
	}
	values := map[string]string{}
	if id != "" && t.Template == d.Template && sameTarget(tpl, t.Params, d.Params) {
		maps.Copy(values, s.secrets.of(id))
	}
	params := map[string]string{}
	for k, v := range d.Params {
		if p := tpl.Param(k); p != nil && p.Secret {
			if v != "" {
				values[k] = v
			}
		} else {
			params[k] = v
		}
	}
	filled := maps.Clone(params)
	maps.Copy(filled, values)
	document, err := tpl.Render(filled, func(name string) string { return reference(t.ID, name) })
	if err != nil {
		return TaskView{}, invalid("%v", err)
	}
	t.Tenant, t.Name, t.Template, t.Category, t.Params, t.Document = d.Tenant, d.Name, d.Template, tpl.Category, params, document
	t.Secrets = slices.Sorted(maps.Keys(values))
	t.Hosts, t.Selector, t.Group, t.Weight = orEmpty(d.Hosts), d.Selector, d.Group, max(d.Weight, 1)
	if d.Profile != "" {
		t.Profile = d.Profile // A task of a profile stays one.
	}
	t.Enabled = d.Enabled == nil || *d.Enabled
	t.Revision++
	t.UpdatedAt, t.UpdatedBy, t.fault = now, a.Name, ""
	if err := s.secrets.set(ctx, t.ID, values); err != nil {
		return TaskView{}, err
	}
	kind := "task-created"
	if id != "" {
		kind = "task-changed"
	}
	return s.putTask(ctx, a, t, kind)
}

// sameTarget tells whether a change leaves alone where a task connects to: only then
// secrets that are not given again stay.
func sameTarget(t template.Template, old, fresh map[string]string) bool {
	for _, p := range t.Params {
		if p.Target && old[p.Name] != fresh[p.Name] {
			return false
		}
	}
	return true
}

func (s *Service) putTask(ctx context.Context, a Asker, t *Task, kind string) (TaskView, error) {
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindTask, ID: t.ID, Tenant: t.Tenant, Data: t}); err != nil {
		return TaskView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.tasks[t.ID]
	s.tasks[t.ID] = t
	s.leaseTask(t)
	s.noteTask(t, nil, a.Name, kind, true, t.Name)
	if t.Group == "" || old != nil && old.Group == "" {
		s.changed() // a group's task is in no host's document
	}
	return s.viewTask(t), nil
}

// leaseTask tells the leases of a task. s.mu is held, or nobody else knows s.
func (s *Service) leaseTask(t *Task) {
	if t.Group != "" && t.Enabled {
		s.leases.SetTask(t.ID, t.Group, t.Weight, s.now())
	} else {
		s.leases.RemoveTask(t.ID)
	}
	for _, m := range s.agents {
		if s.leases.Changed(m.ID) {
			m.tell()
		}
	}
}

func (s *Service) noteTask(t *Task, m *member, actor, kind string, ok bool, text string) {
	o := roster.Operation{Tenant: t.Tenant, Object: "task:" + t.ID, Kind: kind, Actor: actor, OK: ok, Text: text}
	if m != nil {
		o.Agent, o.Host = m.ID, m.Name
	}
	s.note(o)
}

// viewTask is for the API. s.mu is held.
func (s *Service) viewTask(t *Task) TaskView {
	v := TaskView{ID: t.ID, Tenant: t.Tenant, Name: t.Name, Template: t.Template, Category: t.Category, Params: t.Params, Secrets: orEmpty(t.Secrets), Document: t.Document,
		Hosts: orEmpty(t.Hosts), Selector: t.Selector, Group: t.Group, Weight: max(t.Weight, 1), Enabled: t.Enabled, Revision: t.Revision, UpdatedAt: t.UpdatedAt, UpdatedBy: t.UpdatedBy, Profile: t.Profile, Deployment: t.Deployment}
	if d := s.deployments[t.Deployment]; d != nil {
		v.Installing = d.view().States
	}
	if !t.Enabled {
		v.State = "off"
		return v
	}
	now := s.now()
	if t.Group != "" {
		if m := s.agents[s.leases.Holder(t.ID)]; m != nil {
			v.Holder, v.HolderIs, v.On, v.Fault = m.ID, m.Name, 1, t.fault
			if t.fault != "" {
				v.Failing = 1
			} else {
				v.Running = 1
			}
		}
	} else {
		names := t.inputs()
		for _, m := range s.agents {
			if !m.RevokedAt.IsZero() || !t.runsOn(m) {
				continue
			}
			v.On++
			w := s.want(m)
			switch fault := s.taskFault(t, m, w, names); {
			case fault != "":
				v.Failing++
				if v.Fault == "" {
					v.Fault = m.Name + ": " + fault
				}
			case now.Sub(m.SeenAt) <= wire.OfflineAfter && m.Config == w.sum:
				v.Running++
			}
		}
	}
	switch {
	case v.Failing > 0:
		v.State = "failing"
	case v.Running > 0:
		v.State = "running"
	default:
		v.State = "waiting"
	}
	return v
}

// inputs are the names of the task's inputs in its own document.
func (t *Task) inputs() []string {
	d, err := wire.ParseDocument([]byte(t.Document))
	if err != nil {
		return nil
	}
	var out []string
	for _, in := range d.Inputs {
		out = append(out, in.Name)
	}
	return out
}

func (s *Service) taskFault(t *Task, m *member, w *composed, names []string) string {
	if w.err != nil {
		return w.err.Error()
	}
	if f := m.Fault; f != nil && f.SHA256 == w.sum {
		return faultText(f)
	}
	for _, in := range m.Inputs {
		if in.Error == "" || in.State != "failing" {
			continue
		}
		for _, n := range names {
			if in.Name == n || in.Name == n+"-"+t.partName() {
				return in.Name + ": " + in.Error
			}
		}
	}
	return ""
}

// TaskQuery chooses tasks.
type TaskQuery struct{ Text, Template, Category, State, Group, Host string }

// Tasks lists tasks by name.
func (s *Service) Tasks(a Asker, q TaskQuery) []TaskView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []TaskView{}
	for _, t := range s.tasks {
		if !a.may(t.Tenant) || q.Template != "" && q.Template != t.Template || q.Category != "" && q.Category != t.Category || q.Group != "" && q.Group != t.Group {
			continue
		}
		if q.Text != "" && !strings.Contains(strings.ToLower(t.Name+" "+t.Template), strings.ToLower(q.Text)) {
			continue
		}
		if q.Host != "" {
			if m := s.agents[q.Host]; m == nil || !(t.Group == "" && t.runsOn(m) || t.Group != "" && s.leases.Holder(t.ID) == q.Host) {
				continue
			}
		}
		if v := s.viewTask(t); q.State == "" || q.State == v.State {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(x, y TaskView) int { return cmpText(x.Name+x.ID, y.Name+y.ID) })
	return out
}

// Task is one task.
func (s *Service) Task(a Asker, id string) (TaskView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	if t == nil || !a.may(t.Tenant) {
		return TaskView{}, ErrNotFound
	}
	return s.viewTask(t), nil
}

// EnableTask switches a task on or off.
func (s *Service) EnableTask(ctx context.Context, a Asker, id string, on bool) (TaskView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	t := s.tasks[id]
	if t == nil || !a.may(t.Tenant) {
		s.mu.Unlock()
		return TaskView{}, ErrNotFound
	}
	x := *t
	s.mu.Unlock()
	x.Enabled, x.UpdatedAt, x.UpdatedBy = on, s.now().UTC(), a.Name
	x.Revision++
	kind := "task-stopped"
	if on {
		kind = "task-started"
	}
	return s.putTask(ctx, a, &x, kind)
}

// DeleteTask stops a task and forgets it.
func (s *Service) DeleteTask(ctx context.Context, a Asker, id string) (TaskView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	t := s.tasks[id]
	if t == nil || !a.may(t.Tenant) {
		s.mu.Unlock()
		return TaskView{}, ErrNotFound
	}
	v := s.viewTask(t)
	s.mu.Unlock()
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindTask, ID: id}); err != nil {
		return TaskView{}, err
	}
	s.mu.Lock()
	delete(s.tasks, id)
	s.leases.RemoveTask(id)
	for _, m := range s.agents {
		if s.leases.Changed(m.ID) {
			m.tell()
		}
	}
	s.noteTask(t, nil, a.Name, "task-deleted", true, t.Name)
	s.changed()
	s.mu.Unlock()
	return v, s.secrets.set(ctx, id, nil)
}

// GroupDraft is what is written of a group.
type GroupDraft struct {
	Tenant string `json:"tenant" minLength:"1" maxLength:"63"`
	Name   string `json:"name" minLength:"1" maxLength:"64"`
	Note   string `json:"note,omitempty" maxLength:"2000"`
}

// KeepGroup makes a group (id is empty) or changes one.
func (s *Service) KeepGroup(ctx context.Context, a Asker, id string, d GroupDraft) (GroupView, error) {
	if err := checkName(d.Name); err != nil {
		return GroupView{}, err
	}
	if !a.may(d.Tenant) {
		return GroupView{}, ErrForbidden
	}
	if !s.deps.Tenant(d.Tenant) {
		return GroupView{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	g := &Group{ID: roster.NewID(now), Tenant: d.Tenant, CreatedAt: now, CreatedBy: a.Name}
	s.mu.Lock()
	err := func() error {
		if id != "" {
			old := s.groups[id]
			if old == nil || !a.may(old.Tenant) {
				return ErrNotFound
			}
			if old.Tenant != d.Tenant {
				return invalid("the tenant of a group does not change: make another one")
			}
			x := *old
			g = &x
		} else if len(s.groups) >= maxGroups {
			return conflict("there are %d groups, the most there may be", len(s.groups))
		}
		for _, other := range s.groups {
			if other.ID != g.ID && other.Tenant == d.Tenant && other.Name == d.Name {
				return conflict("there is a group %q already", d.Name)
			}
		}
		return nil
	}()
	s.mu.Unlock()
	if err != nil {
		return GroupView{}, err
	}
	g.Name, g.Note = d.Name, clip(d.Note, maxNote)
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindGroup, ID: g.ID, Tenant: g.Tenant, Data: g}); err != nil {
		return GroupView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[g.ID] = g
	s.note(roster.Operation{Tenant: g.Tenant, Object: "group:" + g.ID, Kind: "group-changed", Actor: a.Name, OK: true, Text: g.Name})
	return s.viewGroup(g), nil
}

func (s *Service) viewGroup(g *Group) GroupView {
	v := GroupView{Group: *g, Members: []GroupMember{}}
	now := s.now()
	load := s.leases.Load(g.ID, now)
	for _, m := range s.agents {
		if m.Group == g.ID {
			v.Members = append(v.Members, GroupMember{m.ID, m.Name, m.standing(now), load[m.ID]})
		}
	}
	slices.SortFunc(v.Members, func(x, y GroupMember) int { return cmpText(x.Name+x.ID, y.Name+y.ID) })
	for _, t := range s.tasks {
		if t.Group == g.ID && t.Enabled {
			v.Tasks++
			if s.leases.Holder(t.ID) == "" {
				v.Idle++
			}
		}
	}
	return v
}

// Groups lists groups by name.
func (s *Service) Groups(a Asker) []GroupView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []GroupView{}
	for _, g := range s.groups {
		if a.may(g.Tenant) {
			out = append(out, s.viewGroup(g))
		}
	}
	slices.SortFunc(out, func(x, y GroupView) int { return cmpText(x.Name+x.ID, y.Name+y.ID) })
	return out
}

// DeleteGroup takes a group without tasks away; its members are in none then.
func (s *Service) DeleteGroup(ctx context.Context, a Asker, id string) (GroupView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	g := s.groups[id]
	if g == nil || !a.may(g.Tenant) {
		s.mu.Unlock()
		return GroupView{}, ErrNotFound
	}
	v := s.viewGroup(g)
	tasks := 0
	for _, t := range s.tasks {
		if t.Group == id {
			tasks++
		}
	}
	s.mu.Unlock()
	if tasks > 0 {
		return v, conflict("the group has %d tasks: delete or move them first", tasks)
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindGroup, ID: id}); err != nil {
		return v, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, id)
	for _, m := range s.agents {
		if m.Group == id {
			m.Group, m.dirty = "", true
			m.tell()
		}
	}
	s.note(roster.Operation{Tenant: g.Tenant, Object: "group:" + id, Kind: "group-deleted", Actor: a.Name, OK: true, Text: g.Name})
	s.changed()
	return v, nil
}
