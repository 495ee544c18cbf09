package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Joining is what a host gets beside labels, group and configuration when it is added, by its line as
// over SSH.
type Joining struct {
	Profile string   `json:"profile,omitempty" maxLength:"64" doc:"Id of a host profile; what is given beside it counts before it, labels and plug-ins add up"`
	Plugins []string `json:"plugins,omitempty" nullable:"false" maxItems:"50" doc:"Extension plug-ins to be installed: NAME, or NAME@VERSION"`
	Tasks   []string `json:"tasks,omitempty" nullable:"false" maxItems:"50" doc:"Ids of collection tasks that the host takes part in"`
}

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
