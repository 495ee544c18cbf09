package fleet

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Agent is a host's agent as it is kept.
type Agent struct {
	ID            string            `json:"id"`
	Tenant        string            `json:"tenant"`
	Kind          string            `json:"kind,omitempty"` // Collecting where it is empty, or Scanning
	Name          string            `json:"name"`           // of the host, by its own word
	Machine       string            `json:"machine,omitempty"`
	Labels        []string          `json:"labels,omitempty"`
	Group         string            `json:"group,omitempty"`
	Configuration string            `json:"configuration,omitempty"`
	Token         string            `json:"token,omitempty"`
	Serial        string            `json:"serial"`
	Next          string            `json:"next,omitempty"` // serial of a renewed certificate that was not used yet
	Key           string            `json:"key"`            // hex SHA-256 of the enrolled public key
	Certificate   []byte            `json:"certificate,omitempty"`
	NotAfter      time.Time         `json:"not_after"`
	EnrolledAt    time.Time         `json:"enrolled_at"`
	EnrolledBy    string            `json:"enrolled_by,omitempty"`
	RevokedAt     time.Time         `json:"revoked_at,omitzero"`
	RevokedBy     string            `json:"revoked_by,omitempty"`
	SeenAt        time.Time         `json:"seen_at,omitzero"`
	Address       string            `json:"address,omitempty"` // its connection came from
	Version       string            `json:"version,omitempty"`
	Modules       map[string]string `json:"modules,omitempty"`
	Facts         wire.Facts        `json:"facts"`
	Config        string            `json:"config,omitempty"` // SHA-256 in force
	ConfigAt      time.Time         `json:"config_at,omitzero"`
	Fault         *wire.Fault       `json:"fault,omitempty"`
	State         string            `json:"state,omitempty"`
	StateAt       time.Time         `json:"state_at,omitzero"`
	Reasons       []wire.Reason     `json:"reasons,omitempty"`
	Queue         wire.Queue        `json:"queue"`
	Usage         wire.Usage        `json:"usage"`
	Inputs        []wire.InputState `json:"inputs,omitempty"`
	Item          string            `json:"item,omitempty"`    // of the CMDB
	Profile       string            `json:"profile,omitempty"` // that it was added by
	Extensions    []HostExtension   `json:"extensions,omitempty"`
	Extends       bool              `json:"extends,omitempty"` // the agent knows of extension plug-ins
}

// What is enrolled.
const (
	Collecting = "agent"   // an agent, which collects
	Scanning   = "scanner" // a scanner, which looks at other hosts
)

func (a *Agent) kind() string { return cmp.Or(a.Kind, Collecting) }

// Scans tells whether it is a scanner.
func (a *Agent) Scans() bool { return a.Kind == Scanning }

// States of a host as the console shows them.
const (
	Online   = "online"
	Degraded = "degraded"
	Tripped  = "tripped"
	Offline  = "offline"
	Never    = "never" // enrolled, not heard of since
	Revoked  = "revoked"
)

func (a *Agent) standing(now time.Time) string {
	switch {
	case !a.RevokedAt.IsZero():
		return Revoked
	case a.SeenAt.IsZero():
		return Never
	case now.Sub(a.SeenAt) > wire.OfflineAfter:
		return Offline
	case a.State == wire.StateTripped:
		return Tripped
	case a.State == wire.StateDegraded:
		return Degraded
	}
	return Online
}

// Peer is the host's main address; invalid where it is not known.
func (a *Agent) Peer() netip.Addr {
	for _, x := range a.Facts.Addresses {
		if p, err := netip.ParseAddr(x); err == nil {
			return p.WithZone("")
		}
	}
	p, _ := netip.ParseAddr(a.Address)
	return p
}

func (a *Agent) subject() configuration.Subject {
	return configuration.Subject{ID: a.ID, Tenant: a.Tenant, Group: a.Group, Labels: a.Labels, OS: a.Facts.OS, Configuration: a.Configuration}
}

// Host is an agent as the API shows it.
type Host struct {
	ID            string      `json:"id"`
	Tenant        string      `json:"tenant"`
	Kind          string      `json:"kind" enum:"agent,scanner"`
	Name          string      `json:"name"`
	State         string      `json:"state" enum:"online,degraded,tripped,offline,never,revoked"`
	Addresses     []string    `json:"addresses" nullable:"false"`
	OS            string      `json:"os"`
	Platform      string      `json:"platform"`
	Release       string      `json:"release"`
	Arch          string      `json:"arch"`
	Virtual       string      `json:"virtual,omitempty" doc:"physical, or what it runs on; empty where it is not known"`
	Labels        []string    `json:"labels" nullable:"false"`
	Group         string      `json:"group,omitempty"`
	Version       string      `json:"version"`
	Profile       string      `json:"profile,omitempty" doc:"Id of the host profile that it was added by"`
	ProfileName   string      `json:"profile_name,omitempty"`
	Configuration FleetConfig `json:"configuration"`
	SeenAt        time.Time   `json:"seen_at,omitzero"`
	EnrolledAt    time.Time   `json:"enrolled_at"`
	Item          string      `json:"item,omitempty" doc:"Id in the CMDB"`
	CPU           float64     `json:"agent_cpu_percent" doc:"What the agent takes, of one core"`
	Memory        uint64      `json:"agent_memory_bytes"`
	Queued        int64       `json:"queued_bytes"`
	Lost          uint64      `json:"lost" doc:"Lines and samples that its queue dropped, since it was enrolled"`
	Wrong         string      `json:"wrong,omitempty" doc:"Why it is not well, in words"`
}

// FleetConfig is what a host runs, and what it is to run.
type FleetConfig struct {
	ID      string `json:"id,omitempty" doc:"Empty is the suite's default"`
	Name    string `json:"name,omitempty"`
	Version int64  `json:"version" doc:"That the host is to run"`
	Applied bool   `json:"applied" doc:"It runs it"`
	Refused string `json:"refused,omitempty" doc:"Why it refused it or went back, with input and line"`
}

// HostDetail is a host with all that is known of it.
type HostDetail struct {
	Host
	Facts       wire.Facts        `json:"facts"`
	Modules     map[string]string `json:"modules"`
	Reasons     []wire.Reason     `json:"reasons" nullable:"false"`
	Inputs      []wire.InputState `json:"inputs" nullable:"false"`
	Queue       wire.Queue        `json:"queue"`
	Usage       wire.Usage        `json:"usage"`
	Certificate struct {
		Serial   string    `json:"serial"`
		NotAfter time.Time `json:"not_after"`
	} `json:"certificate"`
	EnrolledBy string     `json:"enrolled_by"`
	RevokedAt  time.Time  `json:"revoked_at,omitzero"`
	RevokedBy  string     `json:"revoked_by,omitempty"`
	Address    string     `json:"address,omitempty" doc:"Its connection comes from"`
	Tasks      []TaskHere `json:"tasks" nullable:"false" doc:"Collection tasks that run here"`
	Assigned   string     `json:"assigned_configuration,omitempty" doc:"Chosen for this host by name"`
}

// TaskHere is a task on a host.
type TaskHere struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Leased bool   `json:"leased" doc:"It is the group's and runs here for now"`
}

// view makes a Host. s.mu is held.
func (s *Service) view(m *member) Host {
	now := s.now()
	h := Host{ID: m.ID, Tenant: m.Tenant, Kind: m.kind(), Name: m.Name, State: m.standing(now), Addresses: orEmpty(m.Facts.Addresses), OS: m.Facts.OS, Platform: m.Facts.Platform,
		Release: m.Facts.Release, Arch: m.Facts.Arch, Virtual: m.Facts.Virtual, Labels: orEmpty(m.Labels), Group: m.Group, Version: m.Version,
		SeenAt: m.SeenAt, EnrolledAt: m.EnrolledAt, Item: m.Item, CPU: m.Usage.CPUPercent, Memory: m.Usage.MemoryBytes, Queued: m.Queue.Bytes, Lost: m.Queue.DroppedLines + m.Queue.DroppedMetrics}
	if m.Scans() {
		return h
	}
	if p := s.profiles[m.Profile]; p != nil {
		h.Profile, h.ProfileName = p.ID, p.Name
	}
	w := s.want(m)
	h.Configuration = FleetConfig{ID: w.configuration, Version: w.version, Applied: m.Config == w.sum && w.sum != ""}
	if c := s.configurations[w.configuration]; c != nil {
		h.Configuration.Name = c.Name
	}
	if f := m.Fault; f != nil && !h.Configuration.Applied {
		h.Configuration.Refused = faultText(f)
	} else if w.err != nil {
		h.Configuration.Refused = w.err.Error()
	}
	for i, r := range m.Reasons {
		if i > 0 {
			h.Wrong += "; "
		}
		h.Wrong += r.Part + ": " + r.Text
	}
	return h
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// HostQuery chooses hosts. What is empty does not narrow.
type HostQuery struct {
	Text    string // part of name, address, label, id, platform
	Exact   bool   // Text is the whole of one of these
	State   string
	Tenant  string
	Label   string
	Group   string
	OS      string
	Version string
	Virtual string
	Kind    string
	Configuration,
	Sort string
}

func (q HostQuery) match(h *Host) bool {
	for _, x := range []struct{ want, have string }{{q.State, h.State}, {q.Tenant, h.Tenant}, {q.Group, h.Group}, {q.OS, h.OS}, {q.Version, h.Version}, {q.Virtual, h.Virtual}, {q.Kind, h.Kind}, {q.Configuration, h.Configuration.ID}} {
		if x.want != "" && x.want != x.have {
			return false
		}
	}
	if q.Label != "" && !slices.Contains(h.Labels, q.Label) {
		return false
	}
	if q.Text == "" {
		return true
	}
	for _, word := range strings.Fields(strings.ToLower(q.Text)) {
		if !slices.ContainsFunc(slices.Concat([]string{h.Name, h.ID, h.Platform, h.State}, h.Addresses, h.Labels), func(v string) bool {
			v = strings.ToLower(v)
			return v == word || !q.Exact && strings.Contains(v, word)
		}) {
			return false
		}
	}
	return true
}

// Hosts lists hosts by name.
func (s *Service) Hosts(a Asker, q HostQuery) []Host {
	s.mu.Lock()
	out := []Host{}
	for _, m := range s.agents {
		if !a.may(m.Tenant) {
			continue
		}
		if h := s.view(m); q.match(&h) {
			out = append(out, h)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(x, y Host) int {
		c := 0
		switch strings.TrimPrefix(q.Sort, "-") {
		case "seen":
			c = x.SeenAt.Compare(y.SeenAt)
		case "state":
			c = cmp.Compare(x.State, y.State)
		case "version":
			c = cmp.Compare(x.Version, y.Version)
		case "enrolled":
			c = x.EnrolledAt.Compare(y.EnrolledAt)
		default:
			c = cmp.Compare(x.Name, y.Name)
		}
		if strings.HasPrefix(q.Sort, "-") {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// Statistics count hosts.
type Statistics struct {
	Hosts     int            `json:"hosts"`
	Agents    int            `json:"agents" doc:"Those that are not revoked"`
	States    map[string]int `json:"states"`
	OS        map[string]int `json:"os"`
	Platforms map[string]int `json:"platforms"`
	Kinds     map[string]int `json:"kinds" doc:"physical, virtual, container, unknown"`
	Versions  map[string]int `json:"versions"`
	Labels    map[string]int `json:"labels"`
	Plugins   map[string]int `json:"plugins" doc:"Hosts by input that runs there"`
	Failing   int            `json:"failing_inputs"`
	Refused   int            `json:"refused" doc:"Hosts that refused their configuration"`
	// Performance is by version and platform.
	Performance []VersionPerformance `json:"performance" nullable:"false" doc:"What agents that are online take of their hosts, by version and platform"`
}

// Statistics counts the hosts within reach.
func (s *Service) Statistics(a Asker) Statistics {
	st := Statistics{States: map[string]int{}, OS: map[string]int{}, Platforms: map[string]int{}, Kinds: map[string]int{}, Versions: map[string]int{}, Labels: map[string]int{}, Plugins: map[string]int{}}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var online []*member
	for _, m := range s.agents {
		if !a.may(m.Tenant) {
			continue
		}
		st.Hosts++
		x := m.standing(now)
		st.States[x]++
		if x == Revoked {
			continue
		}
		st.Agents++
		if x != Offline && x != Never && m.Kind != Scanning {
			online = append(online, m)
		}
		st.OS[cmp.Or(m.Facts.OS, "unknown")]++
		st.Platforms[cmp.Or(strings.TrimSpace(m.Facts.Platform+" "+m.Facts.Release), "unknown")]++
		kind := m.Facts.Virtual
		switch kind {
		case "", "physical":
			kind = cmp.Or(kind, "unknown")
		case "docker", "podman", "lxc", "kubernetes", "containerd", "container":
			kind = "container"
		default:
			kind = "virtual"
		}
		st.Kinds[kind]++
		st.Versions[cmp.Or(m.Version, "unknown")]++
		for _, l := range m.Labels {
			st.Labels[l]++
		}
		plugins := map[string]bool{}
		for _, in := range m.Inputs {
			plugins[in.Plugin] = true
			if in.State == "failing" {
				st.Failing++
			}
		}
		for p := range plugins {
			st.Plugins[p]++
		}
		if w := s.want(m); m.Fault != nil && m.Fault.SHA256 == w.sum {
			st.Refused++
		}
	}
	st.Performance = performance(online)
	return st
}

// find is an agent within the asker's reach. s.mu is held.
func (s *Service) find(a Asker, id string) (*member, error) {
	m := s.agents[id]
	if m == nil || !a.may(m.Tenant) {
		return nil, ErrNotFound
	}
	return m, nil
}

// Host tells all of one host.
func (s *Service) Host(a Asker, id string) (HostDetail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(a, id)
	if err != nil {
		return HostDetail{}, err
	}
	d := HostDetail{Host: s.view(m), Facts: m.Facts, Modules: m.Modules, Reasons: orEmpty(m.Reasons), Inputs: orEmpty(m.Inputs), Queue: m.Queue, Usage: m.Usage,
		EnrolledBy: m.EnrolledBy, RevokedAt: m.RevokedAt, RevokedBy: m.RevokedBy, Address: m.Address, Tasks: []TaskHere{}, Assigned: m.Configuration}
	d.Certificate.Serial, d.Certificate.NotAfter = m.Serial, m.NotAfter
	if d.Modules == nil {
		d.Modules = map[string]string{}
	}
	for _, t := range sorted(s.tasks) {
		if t.Group != "" {
			if s.leases.Holder(t.ID) == m.ID {
				d.Tasks = append(d.Tasks, TaskHere{t.ID, t.Name, true})
			}
		} else if t.runsOn(m) {
			d.Tasks = append(d.Tasks, TaskHere{t.ID, t.Name, false})
		}
	}
	return d, nil
}

// Inventory is the last inventory of a host, JSON.
func (s *Service) Inventory(ctx context.Context, a Asker, id string) ([]byte, error) {
	s.mu.Lock()
	_, err := s.find(a, id)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	data, err := s.store.Inventory(ctx, id)
	if errors.Is(err, roster.ErrNotFound) {
		return nil, ErrNotFound
	}
	return data, err
}

// Document is what a host is to run, without secrets.
func (s *Service) Document(a Asker, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.find(a, id)
	if err != nil {
		return "", err
	}
	w := s.want(m)
	return w.shown, w.err
}

// HostChange is what may be changed of a host; nil stays.
type HostChange struct {
	Labels        *[]string `json:"labels,omitempty"`
	AddLabels     []string  `json:"add_labels,omitempty"`
	RemoveLabels  []string  `json:"remove_labels,omitempty"`
	Group         *string   `json:"group,omitempty" doc:"Id; empty takes it out"`
	Configuration *string   `json:"configuration,omitempty" doc:"Id of the configuration for this host; empty goes by group and label"`
}

// ChangeHosts changes hosts; all of them or none.
func (s *Service) ChangeHosts(ctx context.Context, a Asker, ids []string, c HostChange) ([]Host, error) {
	if len(ids) == 0 || len(ids) > MaxBatch {
		return nil, invalid("%d hosts; want 1 to %d", len(ids), MaxBatch)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	var list []*member
	var docs []roster.Document
	fresh := map[string]Agent{}
	err := func() error {
		for _, id := range ids {
			m, err := s.find(a, id)
			if err != nil {
				return err
			}
			x := m.Agent
			if c.Labels != nil {
				x.Labels = *c.Labels
			}
			x.Labels = slices.Concat(x.Labels, c.AddLabels)
			x.Labels = slices.DeleteFunc(x.Labels, func(l string) bool { return slices.Contains(c.RemoveLabels, l) })
			if x.Labels, err = cleanLabels(x.Labels); err != nil {
				return err
			}
			if c.Group != nil {
				if g := s.groups[*c.Group]; *c.Group != "" && (g == nil || g.Tenant != m.Tenant) {
					return invalid("there is no group %q of the tenant %s", clip(*c.Group, 64), m.Tenant)
				}
				x.Group = *c.Group
			}
			if c.Configuration != nil {
				if k := s.configurations[*c.Configuration]; *c.Configuration != "" && (k == nil || k.Tenant != "" && k.Tenant != m.Tenant) {
					return invalid("there is no configuration %q of the tenant %s", clip(*c.Configuration, 64), m.Tenant)
				}
				x.Configuration = *c.Configuration
			}
			fresh[id] = x
			list = append(list, m)
			docs = append(docs, roster.Document{Kind: roster.KindAgent, ID: id, Tenant: x.Tenant, Data: x})
		}
		return nil
	}()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Host{}
	for _, m := range list {
		x := fresh[m.ID]
		m.Labels, m.Group, m.Configuration = x.Labels, x.Group, x.Configuration
		m.dirty = true
		s.noteAgent(m, a.Name, "host-changed", true, strings.Join(m.Labels, ", "))
		m.tell()
	}
	s.changed()
	for _, m := range list {
		out = append(out, s.view(m))
	}
	return out, nil
}

// Revoke takes agents' identities away at once: their connections are cut and their
// certificates refused from now on.
func (s *Service) Revoke(ctx context.Context, a Asker, ids []string, why string) error {
	return s.end(ctx, a, ids, why, false)
}

// Delete revokes agents and forgets them. With offline set, those are left alone that are
// online.
func (s *Service) Delete(ctx context.Context, a Asker, ids []string, why string) error {
	return s.end(ctx, a, ids, why, true)
}

func (s *Service) end(ctx context.Context, a Asker, ids []string, why string, forget bool) error {
	if len(ids) == 0 || len(ids) > MaxBatch {
		return invalid("%d hosts; want 1 to %d", len(ids), MaxBatch)
	}
	s.mu.Lock()
	now := s.now().UTC()
	var docs []roster.Document
	var list []*member
	for _, id := range ids {
		m, err := s.find(a, id)
		if err != nil {
			s.mu.Unlock()
			return err
		}
		list = append(list, m)
	}
	// Refused before it is stored: what fails closed is no harm.
	for _, m := range list {
		if m.RevokedAt.IsZero() {
			m.RevokedAt, m.RevokedBy = now, a.Name
			s.noteAgent(m, a.Name, "revoked", true, why)
		}
		s.cut(m)
		s.leases.Leave(m.ID)
		if forget {
			s.noteAgent(m, a.Name, "deleted", true, why)
		}
		docs = append(docs, roster.Document{Kind: roster.KindAgent, ID: m.ID, Tenant: m.Tenant, Data: m.Agent})
	}
	s.mu.Unlock()
	if !forget {
		return s.store.Write(ctx, docs...)
	}
	if err := s.store.Forget(ctx, ids...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.agents, id)
	}
	return nil
}

// cut closes the agent's connections. s.mu is held.
func (s *Service) cut(m *member) {
	for _, hangup := range m.hangups {
		go hangup()
	}
	clear(m.hangups)
	m.tell()
}

func faultText(f *wire.Fault) string {
	e := wire.DocumentError{Part: f.Part, Line: f.Line, Text: f.Text}
	return clip(e.Error(), 1000)
}
