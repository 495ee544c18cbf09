package fleet

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// States of a command on one host.
const (
	JobWaiting = "waiting" // the host was not heard of since
	JobSent    = "sent"
	JobDone    = "done"
	JobFailed  = "failed"
	JobExpired = "expired" // no answer in time
)

// Outcome is what came of a job on one host.
type Outcome struct {
	Agent string    `json:"agent"`
	Host  string    `json:"host"`
	State string    `json:"state" enum:"waiting,sent,done,failed,expired"`
	Text  string    `json:"text,omitempty"`
	At    time.Time `json:"at,omitzero"`
}

// Job is one command for many hosts.
type Job struct {
	ID       string              `json:"id"` // the command's, on each host
	Tenant   string              `json:"tenant"`
	Kind     string              `json:"kind"`
	Input    string              `json:"input,omitempty"`
	Packages []string            `json:"packages,omitempty"` // for upgrade: SHA-256, by platform
	Version  string              `json:"version,omitempty"`
	Plugin   string              `json:"plugin,omitempty"` // the extension plug-in's name
	Origin   string              `json:"origin,omitempty"` // token:ID where hosts that are added share it
	By       string              `json:"by"`
	At       time.Time           `json:"at"`
	Until    time.Time           `json:"until"`
	Outcomes map[string]*Outcome `json:"outcomes"`
	Report   string              `json:"report,omitempty"` // test report that was made after it

	dirty bool
}

func (j *Job) clone() *Job {
	x := *j
	x.Outcomes = make(map[string]*Outcome, len(j.Outcomes))
	for k, v := range j.Outcomes {
		o := *v
		x.Outcomes[k] = &o
	}
	return &x
}

// JobView is a job with its counts.
type JobView struct {
	ID      string         `json:"id"`
	Tenant  string         `json:"tenant"`
	Kind    string         `json:"kind"`
	Input   string         `json:"input,omitempty"`
	Version string         `json:"version,omitempty"`
	Plugin  string         `json:"plugin,omitempty" doc:"The extension plug-in"`
	By      string         `json:"by"`
	At      time.Time      `json:"at"`
	Until   time.Time      `json:"until"`
	Hosts   int            `json:"hosts"`
	States  map[string]int `json:"states"`
	Report  string         `json:"report,omitempty" doc:"Test report that was made after an upgrade"`
}

func (j *Job) view() JobView {
	v := JobView{j.ID, j.Tenant, j.Kind, j.Input, j.Version, j.Plugin, j.By, j.At, j.Until, len(j.Outcomes), map[string]int{}, j.Report}
	for _, o := range j.Outcomes {
		v.States[o.State]++
	}
	return v
}

// JobDraft orders something of hosts.
type JobDraft struct {
	Kind    string   `json:"kind" enum:"restart,reload,upgrade,uninstall,inventory,start,stop,plugin-install,plugin-remove,plugin-start,plugin-stop"`
	Hosts   []string `json:"hosts" nullable:"false" minItems:"1" maxItems:"1000"`
	Input   string   `json:"input,omitempty" maxLength:"64" doc:"Of start and stop: the name of the input"`
	Version string   `json:"version,omitempty" maxLength:"64" doc:"Of upgrade: which version; each host gets the package of its platform. Of plugin-install: which version, the newest where it is absent"`
	Plugin  string   `json:"plugin,omitempty" maxLength:"40" doc:"Of plugin-…: the name of the extension plug-in"`
	Minutes int      `json:"minutes,omitempty" minimum:"1" maximum:"10080" doc:"How long hosts that are away may come for it; 60 where it is absent"`
}

const keptJobs = 500

// Order sends a command to hosts of one or more tenants; each tenant's is a job of its own.
func (s *Service) Order(ctx context.Context, a Asker, d JobDraft) ([]JobView, error) {
	if len(d.Hosts) == 0 || len(d.Hosts) > MaxBatch {
		return nil, invalid("%d hosts; want 1 to %d", len(d.Hosts), MaxBatch)
	}
	if (d.Kind == wire.CommandStart || d.Kind == wire.CommandStop) && d.Input == "" {
		return nil, invalid("input: which one is to %s", d.Kind)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	minutes := d.Minutes
	if minutes <= 0 {
		minutes = 60
	}
	s.mu.Lock()
	jobs := map[string]*Job{}
	err := func() error {
		var packages []string
		if d.Kind == wire.CommandUpgrade {
			for _, p := range s.packagesLocked() {
				if p.Version == d.Version {
					packages = append(packages, p.SHA256)
				}
			}
			if len(packages) == 0 {
				return invalid("there is no package of version %q: upload one first", clip(d.Version, 64))
			}
		}
		if err := s.checkExtensionOrder(&d); err != nil {
			return err
		}
		for _, id := range d.Hosts {
			m, err := s.find(a, id)
			if err != nil {
				return err
			}
			j := jobs[m.Tenant]
			if j == nil {
				j = &Job{ID: roster.NewID(now), Tenant: m.Tenant, Kind: d.Kind, Input: d.Input, Version: d.Version, Plugin: d.Plugin, Packages: packages, By: a.Name, At: now, Until: now.Add(time.Duration(minutes) * time.Minute), Outcomes: map[string]*Outcome{}}
				jobs[m.Tenant] = j
			}
			o := &Outcome{Agent: id, Host: m.Name, State: JobWaiting}
			if !m.RevokedAt.IsZero() {
				o.State, o.Text, o.At = JobFailed, "the agent is revoked", now
			} else if d.Kind == wire.CommandUpgrade && s.packageFor(j, m) == nil {
				o.State, o.Text, o.At = JobFailed, "there is no package of version "+d.Version+" for "+m.Facts.OS+"/"+m.Facts.Arch, now
			} else if why := s.cannotExtend(d, m); why != "" {
				o.State, o.Text, o.At = JobFailed, why, now
			}
			j.Outcomes[id] = o
		}
		return nil
	}()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var docs []roster.Document
	for _, j := range sorted(jobs) {
		docs = append(docs, roster.Document{Kind: roster.KindJob, ID: j.ID, Tenant: j.Tenant, Data: j.clone()})
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []JobView
	for _, j := range sorted(jobs) {
		s.jobs[j.ID] = j
		for id := range j.Outcomes {
			if m := s.agents[id]; m != nil {
				s.note(roster.Operation{Tenant: m.Tenant, Agent: m.ID, Host: m.Name, Object: "job:" + j.ID, Kind: "ordered-" + d.Kind, Actor: a.Name, OK: true, Text: strings.TrimSpace(d.Input + d.Plugin + " " + d.Version)})
				s.extensionOrdered(m, j)
				m.tell()
			}
		}
		out = append(out, j.view())
	}
	return out, nil
}

// pending are the commands that an agent has not answered. s.mu is held.
func (s *Service) pending(m *member) []wire.Command {
	var out []wire.Command
	now := s.now()
	for _, j := range sorted(s.jobs) {
		o := j.Outcomes[m.ID]
		if o == nil || o.State != JobWaiting && o.State != JobSent || !now.Before(j.Until) {
			continue
		}
		c := wire.Command{ID: j.ID, Kind: j.Kind, Input: j.Input, Until: j.Until.Unix()}
		if j.Kind == wire.CommandUpgrade {
			if c.Package = s.packageFor(j, m); c.Package == nil {
				continue
			}
		}
		if j.Plugin != "" {
			if c.Extension = s.extensionOf(j); c.Extension == nil {
				continue
			}
		}
		out = append(out, c)
		if len(out) == 20 {
			break
		}
	}
	return out
}

func (s *Service) wasSent(m *member, job string) bool {
	j := s.jobs[job]
	return j != nil && j.Outcomes[m.ID].State == JobSent
}

func (s *Service) markSent(m *member, list []wire.Command) {
	for _, c := range list {
		if j := s.jobs[c.ID]; j != nil && j.Outcomes[m.ID].State == JobWaiting {
			j.Outcomes[m.ID].State, j.Outcomes[m.ID].At, j.dirty = JobSent, s.now().UTC(), true
		}
	}
}

// results takes what came of commands. s.mu is held.
func (s *Service) results(m *member, list []wire.Result) {
	for _, r := range list[:min(len(list), 100)] {
		j := s.jobs[r.ID]
		if j == nil {
			continue
		}
		o := j.Outcomes[m.ID]
		if o == nil || o.State == JobFailed || o.State == JobDone && (r.OK || j.Kind != wire.CommandUpgrade) {
			continue // But an upgrade that was in place may have been taken back since.
		}
		o.State, o.Text, o.At, j.dirty = JobDone, plain(r.Text, 1000), s.now().UTC(), true
		if !r.OK {
			o.State = JobFailed
		}
		s.note(roster.Operation{Tenant: m.Tenant, Agent: m.ID, Host: m.Name, Object: "job:" + j.ID, Kind: "result-" + j.Kind, Actor: "agent", OK: r.OK, Text: strings.TrimSpace(j.Plugin + " " + o.Text)})
		s.extensionResult(m, j, r.OK)
		if j.Kind == wire.CommandUninstall && r.OK {
			m.RevokedAt, m.RevokedBy, m.dirty = s.now().UTC(), j.By, true
			s.leases.Leave(m.ID)
			// Its connection ends by itself; the answer to this checkin is refused.
		}
	}
}

// expireJobs ends commands that nobody came for, and forgets old jobs.
func (s *Service) expireJobs(ctx context.Context) {
	now := s.now().UTC()
	s.mu.Lock()
	var old []string
	ids := slices.Sorted(maps.Keys(s.jobs))
	for i, id := range ids {
		j := s.jobs[id]
		open := false
		for _, o := range j.Outcomes {
			if o.State == JobWaiting || o.State == JobSent {
				if now.Before(j.Until) {
					open = true
				} else {
					o.Text = "the host did not come for it"
					if o.State == JobSent {
						o.Text = "the host took it and did not answer"
					}
					o.State, o.At, j.dirty = JobExpired, now, true
				}
			}
		}
		if !open && i < len(ids)-keptJobs {
			old = append(old, id)
		}
	}
	var docs []roster.Document
	for _, id := range old {
		delete(s.jobs, id)
		docs = append(docs, roster.Document{Kind: roster.KindJob, ID: id})
	}
	s.mu.Unlock()
	if err := s.store.Write(ctx, docs...); err != nil && ctx.Err() == nil {
		s.log.Error("fleet: old jobs are kept on", "error", err)
	}
}

// Jobs lists jobs, the newest first.
func (s *Service) Jobs(a Asker) []JobView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []JobView{}
	for _, j := range sorted(s.jobs) {
		if a.may(j.Tenant) {
			out = append(out, j.view())
		}
	}
	slices.Reverse(out)
	return out
}

// Job is one job with its results, those that failed first.
func (s *Service) Job(a Asker, id string) (JobView, []Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil || !a.may(j.Tenant) {
		return JobView{}, nil, ErrNotFound
	}
	list := []Outcome{}
	for _, o := range j.Outcomes {
		list = append(list, *o)
	}
	rank := map[string]int{JobFailed: 0, JobExpired: 1, JobWaiting: 2, JobSent: 3, JobDone: 4}
	slices.SortFunc(list, func(x, y Outcome) int {
		if d := rank[x.State] - rank[y.State]; d != 0 {
			return d
		}
		return cmpText(x.Host+x.Agent, y.Host+y.Agent)
	})
	return j.view(), list, nil
}

// packageFor is the package of a job for a host's platform; nil where there is none.
func (s *Service) packageFor(j *Job, m *member) *wire.Package {
	for _, sum := range j.Packages {
		if u := s.upgrades[sum]; u != nil && u.OS == m.Facts.OS && u.Arch == m.Facts.Arch {
			p := u.Package
			return &p
		}
	}
	return nil
}
