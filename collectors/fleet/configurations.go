package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// ConfigurationDraft is what is written of a configuration.
type ConfigurationDraft struct {
	Tenant   string                 `json:"tenant,omitempty" maxLength:"63" doc:"Empty is for all tenants, and needs the reach over all"`
	Name     string                 `json:"name" minLength:"1" maxLength:"64"`
	Note     string                 `json:"note,omitempty" maxLength:"2000"`
	Priority int                    `json:"priority,omitempty" minimum:"0" maximum:"1000"`
	Selector configuration.Selector `json:"selector"`
}

// Progress is how far a roll-out came.
type Progress struct {
	Agents  int `json:"agents" doc:"That the configuration is for"`
	Online  int `json:"online"`
	Given   int `json:"given" doc:"That are to run the version being rolled out"`
	Applied int `json:"applied" doc:"Of these, those that run it"`
	Refused int `json:"refused"`
}

// ConfigurationView is a configuration with how far it came.
type ConfigurationView struct {
	configuration.Configuration
	Progress Progress `json:"progress"`
}

// Publication asks for a version to be rolled out.
type Publication struct {
	Document string `json:"document,omitempty" maxLength:"524288" doc:"YAML of a new version; empty publishes Version"`
	Version  int64  `json:"version,omitempty" minimum:"0" doc:"Of a former version, to be rolled out again"`
	Comment  string `json:"comment,omitempty" maxLength:"500"`
	AtOnce   bool   `json:"at_once,omitempty" doc:"To all at once instead of a tenth first"`
	Soak     *int   `json:"soak_seconds,omitempty" minimum:"0" maximum:"86400" doc:"How long it must go well on the first tenth; 60 where it is absent"`
	Revision int64  `json:"revision,omitempty" doc:"The one that was read: another one now is a conflict"`
}

const maxConfigurations = 500

// members are the agents that a configuration is chosen for. s.mu is held.
func (s *Service) members(c *configuration.Configuration) []*member {
	all := s.allConfigurations()
	var out []*member
	for _, m := range s.agents {
		if m.RevokedAt.IsZero() && configuration.Choose(all, m.subject()) == c {
			out = append(out, m)
		}
	}
	return out
}

// viewConfiguration is for one; s.mu is held.
func (s *Service) viewConfiguration(c *configuration.Configuration) ConfigurationView {
	v := ConfigurationView{Configuration: *c}
	now := s.now()
	for _, m := range s.members(c) {
		v.Progress.Agents++
		if now.Sub(m.SeenAt) <= wire.OfflineAfter {
			v.Progress.Online++
		}
		w := s.want(m)
		if w.version != c.Rollout.Version || w.configuration != c.ID {
			continue
		}
		v.Progress.Given++
		if m.Config == w.sum {
			v.Progress.Applied++
		} else if m.Fault != nil && m.Fault.SHA256 == w.sum || w.err != nil {
			v.Progress.Refused++
		}
	}
	return v
}

func (s *Service) findConfiguration(a Asker, id string, change bool) (*configuration.Configuration, error) {
	c := s.configurations[id]
	if c == nil || !a.may(c.Tenant) && (change || c.Tenant != "") {
		if c != nil && c.Tenant == "" && !a.Within.Nothing() {
			return nil, ErrForbidden
		}
		return nil, ErrNotFound
	}
	return c, nil
}

// Configurations lists configurations by name; those for all tenants are shown to all.
func (s *Service) Configurations(a Asker) []ConfigurationView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []ConfigurationView{}
	for _, c := range s.allConfigurations() {
		if _, err := s.findConfiguration(a, c.ID, false); err == nil {
			out = append(out, s.within(a, s.viewConfiguration(c), c))
		}
	}
	return out
}

// within hides what a configuration of all tenants tells of others' hosts.
func (s *Service) within(a Asker, v ConfigurationView, c *configuration.Configuration) ConfigurationView {
	if c.Tenant == "" && !a.Within.Everything() {
		v.Progress, v.Rollout.Reason, v.Rollout.Host = Progress{}, "", ""
	}
	return v
}

// Configuration is one with its versions, the newest first.
func (s *Service) Configuration(a Asker, id string) (ConfigurationView, []configuration.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.findConfiguration(a, id, false)
	if err != nil {
		return ConfigurationView{}, nil, err
	}
	list := []configuration.Version{}
	for n := c.Latest; n > 0; n-- {
		if v := s.versions[versionKey(id, n)]; v != nil {
			list = append(list, *v)
		}
	}
	return s.within(a, s.viewConfiguration(c), c), list, nil
}

// KeepConfiguration creates a configuration (id is empty) or changes one, but for its
// document.
func (s *Service) KeepConfiguration(ctx context.Context, a Asker, id string, revision int64, d ConfigurationDraft) (ConfigurationView, error) {
	if err := errors.Join(checkName(d.Name), d.Selector.Check()); err != nil {
		return ConfigurationView{}, err
	}
	if !a.may(d.Tenant) {
		return ConfigurationView{}, ErrForbidden
	}
	if d.Tenant != "" && !s.deps.Tenant(d.Tenant) {
		return ConfigurationView{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	}
	labels, err := cleanLabels(d.Selector.Labels)
	if err != nil {
		return ConfigurationView{}, err
	}
	d.Selector.Labels, d.Selector.Groups = labels, orEmpty(d.Selector.Groups)
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	x := configuration.Configuration{ID: roster.NewID(now), Rollout: configuration.Rollout{State: configuration.Done}}
	s.mu.Lock()
	if id != "" {
		c, err := s.findConfiguration(a, id, true)
		if err == nil && revision != 0 && revision != c.Revision {
			err = conflict("the configuration was changed since it was read")
		}
		if err == nil && c.Tenant != d.Tenant {
			err = invalid("the tenant of a configuration does not change: make another one")
		}
		if err != nil {
			s.mu.Unlock()
			return ConfigurationView{}, err
		}
		x = *c
	}
	n := len(s.configurations)
	for _, c := range s.configurations {
		if c.ID != x.ID && c.Tenant == d.Tenant && c.Name == d.Name {
			s.mu.Unlock()
			return ConfigurationView{}, conflict("there is a configuration %q already", d.Name)
		}
	}
	s.mu.Unlock()
	if id == "" && n >= maxConfigurations {
		return ConfigurationView{}, conflict("there are %d configurations, the most there may be", n)
	}
	x.Tenant, x.Name, x.Note, x.Priority, x.Selector = d.Tenant, d.Name, clip(d.Note, maxNote), d.Priority, d.Selector
	x.Revision++
	x.UpdatedAt, x.UpdatedBy = now, a.Name
	return s.putConfiguration(ctx, a, &x, nil, "configuration-changed", x.Name)
}

// putConfiguration stores a configuration, with a version where one is new, and puts it
// in force. s.changing is held.
func (s *Service) putConfiguration(ctx context.Context, a Asker, x *configuration.Configuration, v *configuration.Version, kind, text string) (ConfigurationView, error) {
	docs := []roster.Document{{Kind: roster.KindConfiguration, ID: x.ID, Tenant: x.Tenant, Data: x}}
	if v != nil {
		docs = append(docs, roster.Document{Kind: roster.KindVersion, ID: versionKey(x.ID, v.Number), Tenant: x.Tenant, Data: v})
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return ConfigurationView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configurations[x.ID] = x
	s.epoch++
	if v != nil {
		s.versions[versionKey(x.ID, v.Number)] = v
	}
	s.pickFirst(x)
	s.note(roster.Operation{Tenant: x.Tenant, Object: "configuration:" + x.ID, Kind: kind, Actor: a.Name, OK: true, Text: text})
	s.changed()
	return s.viewConfiguration(x), nil
}

// pickFirst chooses the first stage of a roll-out that has none. s.mu is held.
func (s *Service) pickFirst(c *configuration.Configuration) {
	if c.Rollout.State != configuration.Rolling && c.Rollout.State != configuration.Paused || c.Rollout.Percent >= 100 {
		return
	}
	key := versionKey(c.ID, c.Rollout.Version)
	var ids []string
	for _, m := range s.members(c) {
		if s.first[key][m.ID] {
			return // one of them is still there to try it
		}
		ids = append(ids, m.ID)
	}
	if len(ids) == 0 {
		return // whoever joins first is the first stage
	}
	now := s.now()
	defer s.changed()
	s.first[key] = configuration.First(ids, func(id string) bool { return now.Sub(s.agents[id].SeenAt) <= wire.OfflineAfter }, c.Rollout.Version)
}

// Publish rolls a version out.
func (s *Service) Publish(ctx context.Context, a Asker, id string, p Publication) (ConfigurationView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	s.mu.Lock()
	c, err := s.findConfiguration(a, id, true)
	if err == nil && p.Revision != 0 && p.Revision != c.Revision {
		err = conflict("the configuration was changed since it was read")
	}
	if err != nil {
		s.mu.Unlock()
		return ConfigurationView{}, err
	}
	x := *c
	former := s.versions[versionKey(id, p.Version)]
	s.mu.Unlock()
	var v *configuration.Version
	number := p.Version
	if p.Document != "" {
		if err := CheckDocument(p.Document); err != nil {
			return ConfigurationView{}, err
		}
		if err := s.checkExtensions(p.Document); err != nil {
			return ConfigurationView{}, err
		}
		if x.Latest >= configuration.MaxVersions {
			return ConfigurationView{}, conflict("it has %d versions, the most there may be: make a new configuration", x.Latest)
		}
		x.Latest++
		number = x.Latest
		v = &configuration.Version{Configuration: id, Number: number, Document: p.Document, SHA256: digest(p.Document), Comment: clip(p.Comment, 500), At: now, By: a.Name}
	} else if former == nil {
		return ConfigurationView{}, invalid("there is no version %d: give a document, or the number of a version", p.Version)
	}
	r := configuration.Rollout{Version: number, State: configuration.Rolling, Percent: configuration.FirstPercent, Soak: int(configuration.DefaultSoak / time.Second), Started: now, By: a.Name}
	// What is in force at most agents now is what is gone back to.
	switch x.Rollout.State {
	case configuration.Done:
		r.Previous = x.Rollout.Version
	default:
		r.Previous = x.Rollout.Previous
	}
	if p.AtOnce {
		r.Percent = 100
	}
	if p.Soak != nil {
		r.Soak = *p.Soak
	}
	x.Rollout = r
	x.Revision++
	x.UpdatedAt, x.UpdatedBy = now, a.Name
	s.mu.Lock()
	delete(s.first, versionKey(id, number))
	s.mu.Unlock()
	return s.putConfiguration(ctx, a, &x, v, "rollout-started", fmt.Sprintf("%s, version %d. %s", x.Name, number, clip(p.Comment, 500)))
}

// CheckDocument says what is wrong with a configuration document, with the line.
func CheckDocument(text string) error {
	if _, err := config.Read([]byte(text)); err != nil {
		return invalid("%v", err)
	}
	if m := secretPattern.FindString(text); m != "" {
		return invalid("%s: secrets are given with a task, not in a configuration", clip(m, 80))
	}
	return nil
}

// Steer pauses, resumes, completes or rolls back a roll-out.
func (s *Service) Steer(ctx context.Context, a Asker, id, word string) (ConfigurationView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	c, err := s.findConfiguration(a, id, true)
	if err != nil {
		s.mu.Unlock()
		return ConfigurationView{}, err
	}
	x := *c
	s.mu.Unlock()
	r := &x.Rollout
	underWay := r.State == configuration.Rolling || r.State == configuration.Paused
	switch {
	case word == "pause" && r.State == configuration.Rolling:
		r.State = configuration.Paused
	case word == "resume" && r.State == configuration.Paused:
		r.State, r.Settled = configuration.Rolling, time.Time{}
	case word == "complete" && underWay:
		r.State, r.Percent = configuration.Done, 100
	case word == "roll-back" && (underWay || r.State == configuration.Done) && r.Previous != 0:
		r.State, r.Percent, r.Reason, r.Host = configuration.RolledBack, 0, "by "+a.Name, ""
	case word == "roll-back" && r.Previous == 0:
		return ConfigurationView{}, conflict("there is no version before this one")
	default:
		return ConfigurationView{}, conflict("the roll-out is %s: it cannot be told to %s", r.State, word)
	}
	x.Revision++
	return s.putConfiguration(ctx, a, &x, nil, "rollout-"+word, fmt.Sprintf("%s, version %d", x.Name, r.Version))
}

// DeleteConfiguration takes a configuration away; its agents get what else is theirs.
func (s *Service) DeleteConfiguration(ctx context.Context, a Asker, id string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	c, err := s.findConfiguration(a, id, true)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	docs := []roster.Document{{Kind: roster.KindConfiguration, ID: id}}
	for n := c.Latest; n > 0; n-- {
		docs = append(docs, roster.Document{Kind: roster.KindVersion, ID: versionKey(id, n)})
	}
	s.mu.Unlock()
	if err := s.store.Write(ctx, docs...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.configurations, id)
	for n := c.Latest; n > 0; n-- {
		delete(s.versions, versionKey(id, n))
	}
	for _, m := range s.agents {
		if m.Configuration == id {
			m.Configuration, m.dirty = "", true
		}
	}
	s.note(roster.Operation{Tenant: c.Tenant, Object: "configuration:" + id, Kind: "configuration-deleted", Actor: a.Name, OK: true, Text: c.Name})
	s.changed()
	return nil
}

// stepRollouts moves roll-outs on.
func (s *Service) stepRollouts(ctx context.Context) {
	s.mu.Lock()
	var under []string
	for id, c := range s.configurations {
		if c.Rollout.State == configuration.Rolling {
			under = append(under, id)
		}
	}
	s.mu.Unlock()
	for _, id := range under {
		if err := s.stepRollout(ctx, id); err != nil && ctx.Err() == nil {
			s.log.Error("fleet: a roll-out does not move on", "configuration", id, "error", err)
		}
	}
}

func (s *Service) stepRollout(ctx context.Context, id string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	c := s.configurations[id]
	if c == nil || c.Rollout.State != configuration.Rolling {
		s.mu.Unlock()
		return nil
	}
	s.pickFirst(c)
	now := s.now()
	var stage []configuration.Standing
	for _, m := range s.members(c) {
		w := s.want(m)
		if w.configuration != c.ID || w.version != c.Rollout.Version {
			continue
		}
		st := configuration.Standing{ID: m.ID, Host: m.Name, Online: now.Sub(m.SeenAt) <= wire.OfflineAfter, Applied: m.Config == w.sum && w.sum != ""}
		switch {
		case w.err != nil:
			st.Refused = w.err.Error()
		case m.Fault != nil && m.Fault.SHA256 == w.sum:
			st.Refused = faultText(m.Fault)
		case st.Applied && m.wasWell && m.State == wire.StateDegraded && len(m.Reasons) > 0:
			st.Unwell = m.Reasons[0].Part + ": " + m.Reasons[0].Text
		}
		stage = append(stage, st)
	}
	slices.SortFunc(stage, func(a, b configuration.Standing) int { return cmpText(a.Host, b.Host) })
	x := *c
	moved := x.Rollout.Step(stage, now.UTC())
	s.mu.Unlock()
	if !moved {
		return nil
	}
	kind, text := "", fmt.Sprintf("%s, version %d", x.Name, x.Rollout.Version)
	switch {
	case x.Rollout.State == configuration.RolledBack:
		kind, text = "rollout-failed", text+": "+x.Rollout.Host+": "+x.Rollout.Reason
	case x.Rollout.State == configuration.Done:
		kind = "rollout-done"
	case c.Rollout.Percent < 100 && x.Rollout.Percent == 100:
		kind = "rollout-widened"
	}
	if kind == "" {
		// Only when it settled is remembered, and need not outlive a restart.
		s.mu.Lock()
		defer s.mu.Unlock()
		c.Rollout.Settled = x.Rollout.Settled
		return nil
	}
	_, err := s.putConfiguration(ctx, Asker{Name: "system"}, &x, nil, kind, text)
	return err
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
