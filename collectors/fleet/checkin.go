package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/lease"
	"icewatch/collectors/fleet/wire"
)

// composed is a document made of a configuration and tasks.
type composed struct {
	configuration string // id
	version       int64
	document, sum string
	shown         string // without secrets
	err           error
}

// want is what an agent is to run. s.mu is held.
func (s *Service) want(m *member) *composed {
	if m.wanted != nil && m.wantedEpoch == s.epoch {
		return m.wanted
	}
	key := ""
	var parts []configuration.Part
	out := &composed{}
	if c := configuration.Choose(s.allConfigurations(), m.subject()); c != nil {
		first := s.first[versionKey(c.ID, c.Rollout.Version)]
		if n := c.VersionFor(m.ID, first); n > 0 {
			if v := s.versions[versionKey(c.ID, n)]; v != nil {
				out.configuration, out.version = c.ID, n
				parts = append(parts, configuration.Part{Name: "configuration", Document: v.Document})
				key = versionKey(c.ID, n)
			}
		} else {
			out.configuration = c.ID
			key = versionKey(c.ID, 0)
		}
	}
	if len(parts) == 0 {
		parts = append(parts, configuration.Part{Name: "default", Document: configuration.Default})
	}
	var ids []string
	for _, t := range s.current().tasks[m.Tenant] {
		if t.runsOn(m) {
			parts = append(parts, configuration.Part{Name: t.partName(), Document: t.Document})
			ids = append(ids, t.ID)
			key += fmt.Sprintf("+%s@%d", t.ID, t.Revision)
		}
	}
	for _, x := range m.Extensions {
		key += fmt.Sprintf("~%s@%s/%v", x.Name, x.Version, x.runs())
	}
	if known := s.composed[key]; known != nil {
		m.wanted, m.wantedEpoch = known, s.epoch
		return known
	}
	if parts, out.err = s.extend(parts, m.Extensions); out.err == nil {
		out.shown, out.err = configuration.Merge(parts)
	}
	if out.err == nil {
		out.document, out.err = s.secrets.fill(out.shown, ids)
	}
	if out.err == nil {
		out.sum = digest(out.document)
	}
	s.composed[key] = out
	m.wanted, m.wantedEpoch = out, s.epoch
	return out
}

// inForce is what agents choose from, sorted.
type inForce struct {
	epoch          int64
	configurations []*configuration.Configuration
	tasks          map[string][]*Task // of hosts, by tenant
}

// current is what agents choose from now. s.mu is held.
func (s *Service) current() *inForce {
	if s.force == nil || s.force.epoch != s.epoch {
		f := &inForce{epoch: s.epoch, configurations: sorted(s.configurations), tasks: map[string][]*Task{}}
		for _, t := range sorted(s.tasks) {
			if t.Group == "" && t.Enabled {
				f.tasks[t.Tenant] = append(f.tasks[t.Tenant], t)
			}
		}
		s.force = f
	}
	return s.force
}

func (s *Service) allConfigurations() []*configuration.Configuration {
	return s.current().configurations
}

func versionKey(id string, n int64) string { return fmt.Sprintf("%s/%d", id, n) }

// Checkin takes what an agent tells of itself and answers as soon as there is something
// to tell it, or when the interval is over.
func (s *Service) Checkin(ctx context.Context, id, from string, c wire.Checkin) (wire.Orders, error) {
	if err := s.take(id, from, &c); err != nil {
		return wire.Orders{}, err
	}
	if c.Leaving {
		return wire.Orders{Interval: int(wire.PollTime / time.Second), Time: s.now().UnixMilli()}, nil
	}
	interval := wire.PollTime
	var timer *time.Timer
	for {
		orders, now, wait, wake, err := s.orders(id, &c, timer != nil)
		if err != nil || now {
			return orders, err
		}
		if interval = min(interval, wait); timer == nil {
			timer = time.NewTimer(interval)
			defer timer.Stop()
		}
		select {
		case <-wake:
		case <-timer.C:
			orders, _, _, _, err = s.orders(id, &c, false)
			return s.renewed(id, orders), err
		case <-ctx.Done():
			return wire.Orders{}, ctx.Err()
		}
	}
}

// take notes what an agent tells.
func (s *Service) take(id, from string, c *wire.Checkin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.agents[id]
	if m == nil || !m.RevokedAt.IsZero() {
		return ErrRevoked
	}
	now := s.now().UTC()
	if was := m.standing(now); was == Offline || was == Never {
		s.noteAgent(m, "agent", "online", true, "")
		m.dirty = true
	}
	m.SeenAt, m.Address = now, from
	version := plain(c.Version, 64)
	if version != m.Version && m.Version != "" {
		s.noteAgent(m, "agent", "version-changed", true, m.Version+" → "+version)
	}
	m.Version = version
	if len(c.Modules) > 0 && len(c.Modules) <= 200 && !maps.Equal(c.Modules, m.Modules) {
		m.Modules, m.dirty = map[string]string{}, true
		for k, v := range c.Modules {
			m.Modules[plain(k, 64)] = plain(v, 64)
		}
	}
	if c.Facts != nil {
		f := boundFacts(*c.Facts)
		if name := nameOf(f, from); name != m.Name {
			s.noteAgent(m, "agent", "renamed", true, m.Name+" → "+name)
			m.Name = name
		}
		if m.Facts.OS != f.OS {
			m.wanted = nil
		}
		m.Facts, m.dirty = f, true
		if m.Machine == "" {
			m.Machine = f.Machine
		}
	}
	state := c.State
	if state != wire.StateDegraded && state != wire.StateTripped {
		state = wire.StateHealthy
	}
	reasons := []wire.Reason{}
	for _, r := range c.Reasons[:min(len(c.Reasons), 32)] {
		reasons = append(reasons, wire.Reason{Part: plain(r.Part, 64), Text: plain(r.Text, 500), Since: r.Since})
	}
	if c.Config != m.Config {
		m.wasWell = m.State == wire.StateHealthy || m.State == ""
		m.Config, m.ConfigAt, m.dirty = plain(c.Config, 64), now, true
		if w := s.want(m); m.Config == w.sum {
			s.noteAgent(m, "agent", "config-applied", true, s.configurationText(w))
		}
	}
	if state != m.State {
		m.StateAt, m.dirty = now, true
		if m.State != "" || state != wire.StateHealthy {
			text := ""
			if len(reasons) > 0 {
				text = reasons[0].Part + ": " + reasons[0].Text
			}
			s.noteAgent(m, "agent", "state-"+state, state == wire.StateHealthy, text)
		}
	}
	m.sending = sendingRate(m.Usage, c.Usage, now.Sub(m.usedAt))
	m.State, m.Reasons, m.Queue, m.Usage, m.usedAt = state, reasons, c.Queue, c.Usage, now
	m.Inputs = nil
	for _, in := range c.Inputs[:min(len(c.Inputs), 2*wire.MaxInputs)] {
		m.Inputs = append(m.Inputs, wire.InputState{Name: plain(in.Name, 64), Plugin: plain(in.Plugin, 64), State: plain(in.State, 16), Error: plain(in.Error, 500), Rate: in.Rate, Busy: in.Busy, CPU: in.CPU, KBps: in.KBps, Extension: boundExtension(in.Extension)})
	}
	if m.measure(now) {
		m.changed = true
	}
	if f := c.ConfigError; f == nil {
		m.Fault = nil
	} else if m.Fault == nil || m.Fault.SHA256 != f.SHA256 || m.Fault.RolledBack != f.RolledBack {
		m.Fault, m.dirty = &wire.Fault{SHA256: plain(f.SHA256, 64), Part: plain(f.Part, 128), Line: f.Line, Text: plain(f.Text, 1000), RolledBack: f.RolledBack, At: f.At}, true
		kind := "config-refused"
		if f.RolledBack {
			kind = "config-rolled-back"
		}
		s.noteAgent(m, "agent", kind, false, faultText(m.Fault))
	}
	s.takeExtensions(m, c.Extensions)
	s.results(m, c.Results)
	m.asked = m.Group
	if g := s.groups[m.Group]; g != nil {
		holds := make([]lease.Grant, 0, len(c.Leases))
		for _, l := range c.Leases[:min(len(c.Leases), 1000)] {
			holds = append(holds, lease.Grant{Task: l.Task, Fence: l.Fence})
			if t := s.tasks[l.Task]; t != nil && s.leases.Holder(t.ID) == m.ID {
				t.fault, t.taken = plain(l.Error, 500), taken{l.CPU, float64(l.MemoryBytes) / (1 << 20), l.KBps, l.Busy, float64(l.Rate)}
			}
		}
		s.leases.Ask(id, m.Group, holds, now)
		m.behind = !sameTold(m.told, c.Leases)
	} else {
		m.behind = len(c.Leases) > 0
	}
	return nil
}

func sameTold(told map[string]bool, has []wire.LeaseState) bool {
	if len(told) != len(has) {
		return false
	}
	for _, l := range has {
		if !told[l.Task] {
			return false
		}
	}
	return true
}

// orders is what an agent is to be told; now says that it should be at once, and wait
// how long it may else wait.
func (s *Service) orders(id string, c *wire.Checkin, woken bool) (o wire.Orders, now bool, wait time.Duration, wake <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.agents[id]
	if m == nil || !m.RevokedAt.IsZero() {
		return o, false, 0, nil, ErrRevoked
	}
	at := s.now()
	o.Time, wait = at.UnixMilli(), wire.PollTime
	w := s.want(m)
	if w.err == nil && w.sum != c.Config && (m.Fault == nil || m.Fault.SHA256 != w.sum) {
		o.Config, now = &wire.Config{Version: w.version, SHA256: w.sum, Document: w.document}, true
	}
	if o.Commands = s.pending(m); len(o.Commands) > 0 {
		// Those it was given before and has not answered are told again, but not at once:
		// it may be at it.
		for _, x := range o.Commands {
			if !s.wasSent(m, x.ID) {
				now = true
			}
		}
	}
	if g := s.groups[m.Group]; g != nil {
		wait = lease.Renew
		now = now || s.leases.Changed(id)
	}
	now = now || m.asked != m.Group // it has to ask for the group's tasks
	// One that does not do as it was told is told again, and not in a loop.
	now = now || m.behind && at.Sub(m.granted) > 2*time.Second
	o.Interval = int(wait / time.Second)
	if now {
		s.grant(m, &o, at)
		s.markSent(m, o.Commands)
	}
	return o, now, wait, m.wake, nil
}

// renewed answers a checkin that waited its time: leases are prolonged.
func (s *Service) renewed(id string, o wire.Orders) wire.Orders {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.agents[id]; m != nil {
		at := s.now()
		m.SeenAt = at.UTC()
		o.Time = at.UnixMilli()
		s.grant(m, &o, at)
		s.markSent(m, o.Commands)
	}
	return o
}

// grant puts the leases of an agent into its orders. s.mu is held.
func (s *Service) grant(m *member, o *wire.Orders, at time.Time) {
	behind := m.behind
	m.granted, m.behind = at, false
	if s.groups[m.Group] == nil {
		if behind || len(m.told) > 0 {
			m.told, o.Leases = map[string]bool{}, &[]wire.Lease{}
		}
		return
	}
	list := []wire.Lease{}
	m.told = map[string]bool{}
	for _, g := range s.leases.Answer(m.ID, at) {
		t := s.tasks[g.Task]
		if t == nil {
			continue
		}
		document, err := s.secrets.fill(t.Document, []string{t.ID})
		if err != nil {
			t.fault = err.Error()
			continue
		}
		m.told[g.Task] = true
		list = append(list, wire.Lease{Task: g.Task, Fence: g.Fence, TTL: lease.TTL.Milliseconds(), Document: document, SHA256: digest(document)})
	}
	o.Leases = &list
}

// stepLeases gives tasks without a holder away.
func (s *Service) stepLeases() {
	s.mu.Lock()
	defer s.mu.Unlock()
	tell, moved := s.leases.Step(s.now())
	for _, id := range tell {
		if m := s.agents[id]; m != nil {
			m.tell()
		}
	}
	for _, mv := range moved {
		t, m := s.tasks[mv.Task], s.agents[mv.To]
		if t == nil || m == nil {
			continue
		}
		text := t.Name
		if from := s.agents[mv.From]; from != nil {
			text += ": " + from.Name + " → " + m.Name
		}
		s.noteTask(t, m, "system", "lease-moved", true, text)
	}
}

// TakeInventory keeps an inventory that an agent sent, JSON, and hands it on.
func (s *Service) TakeInventory(ctx context.Context, id string, data []byte) error {
	var inv wire.Inventory
	if err := json.Unmarshal(data, &inv); err != nil {
		return invalid("the inventory is not what wire.Inventory is: %v", err)
	}
	boundInventory(&inv)
	clean, err := json.Marshal(&inv)
	if err != nil {
		return err
	}
	if err := s.store.PutInventory(ctx, id, inv.Taken, clean); err != nil {
		return err
	}
	if err := s.keepContainers(ctx, id, &inv); err != nil {
		return err
	}
	s.mu.Lock()
	m := s.agents[id]
	if m == nil {
		s.mu.Unlock()
		return ErrRevoked
	}
	a := m.Agent
	s.mu.Unlock()
	if s.deps.Inventoried == nil {
		return nil
	}
	item, err := s.deps.Inventoried(ctx, a, &inv)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.noteAgent(m, "system", "inventory-refused", false, err.Error())
		s.log.Warn("fleet: an inventory does not go into the CMDB as a whole", "agent", id, "host", m.Name, "error", err)
		// It is kept; sending it again would not help.
	}
	if item != "" && item != m.Item {
		m.Item, m.dirty = item, true
		s.noteAgent(m, "system", "item-linked", true, item)
	}
	return nil
}

// Bounds of the lists of an inventory.
const maxInventory = 20_000

func boundInventory(i *wire.Inventory) {
	i.Facts = boundFacts(i.Facts)
	i.Disks = i.Disks[:min(len(i.Disks), 1000)]
	i.Interfaces = i.Interfaces[:min(len(i.Interfaces), 1000)]
	i.Packages = i.Packages[:min(len(i.Packages), maxInventory)]
	i.Processes = i.Processes[:min(len(i.Processes), maxInventory)]
	i.Ports = i.Ports[:min(len(i.Ports), maxInventory)]
	i.Users = i.Users[:min(len(i.Users), maxInventory)]
	i.Certificates = i.Certificates[:min(len(i.Certificates), maxInventory)]
	i.Containers = i.Containers[:min(len(i.Containers), maxInventory)]
	for n := range i.Containers {
		c := &i.Containers[n]
		c.Ports, c.Addresses, c.Services = c.Ports[:min(len(c.Ports), 200)], c.Addresses[:min(len(c.Addresses), 50)], c.Services[:min(len(c.Services), 200)]
	}
	i.Services = i.Services[:min(len(i.Services), maxInventory)]
	i.Errors = i.Errors[:min(len(i.Errors), 100)]
	i.Baseline = i.Baseline[:min(len(i.Baseline), 500)]
}

func (s *Service) configurationText(w *composed) string {
	if c := s.configurations[w.configuration]; c != nil {
		return fmt.Sprintf("%s, version %d", c.Name, w.version)
	}
	return cmp.Or(w.configuration, "default")
}
