package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/deploy"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
)

// stepDeployments begins hosts that wait, and ends deployments that are through.
func (s *Service) stepDeployments(ctx context.Context) {
	now := s.now()
	s.mu.Lock()
	var ended, old []string
	list := sorted(s.deployments)
	for i, d := range list {
		if !d.EndedAt.IsZero() {
			if i < len(list)-keptDeploys {
				old = append(old, d.ID)
			}
			continue
		}
		if now.After(d.Until) {
			s.endDeployment(d, "nobody came back to it in a day")
		}
		open := false
		for _, h := range d.Hosts {
			if h.State == DeployWaiting && s.deploying < cmp.Or(s.deps.AtOnce, deployAtOnce) {
				s.deploying++
				var run context.Context
				run, h.cancel = context.WithCancelCause(ctx)
				h.State, h.Text, h.Step, h.At, h.Log = DeployRunning, "", "", now.UTC(), nil
				d.dirty = true
				address := h.Address
				s.deploys.Go(func() { s.deployHost(run, d, address) })
			}
			open = open || h.State == DeployWaiting || h.State == DeployRunning || h.State == DeployKey
		}
		if !open && !d.ending {
			d.ending = true
			ended = append(ended, d.ID)
		}
	}
	s.mu.Unlock()
	for _, id := range ended {
		if err := s.closeDeployment(ctx, id); err != nil && ctx.Err() == nil {
			s.log.Error("fleet: a deployment is not ended yet", "id", id, "error", err)
		}
	}
	if len(old) > 0 {
		var docs []roster.Document
		s.mu.Lock()
		for _, id := range old {
			delete(s.deployments, id)
			docs = append(docs, roster.Document{Kind: roster.KindDeployment, ID: id})
		}
		s.mu.Unlock()
		if err := s.store.Write(ctx, docs...); err != nil && ctx.Err() == nil {
			s.log.Error("fleet: old deployments are kept on", "error", err)
		}
	}
}

// closeDeployment forgets the credentials and makes the token worthless.
func (s *Service) closeDeployment(ctx context.Context, id string) error {
	s.mu.Lock()
	d := s.deployments[id]
	token := d.Token
	s.mu.Unlock()
	err := s.secrets.set(ctx, id, nil)
	if err == nil && token != "" {
		if _, err = s.WithdrawToken(ctx, Asker{Name: "system", Within: everything}, token); errors.Is(err, ErrNotFound) {
			err = nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d.ending = false
	if err == nil {
		d.EndedAt, d.dirty = s.now().UTC(), true
		v := d.view()
		s.note(roster.Operation{Tenant: d.Tenant, Object: "deployment:" + d.ID, Kind: "deployment-ended", Actor: "system", OK: v.States[DeployDone] == v.Hosts, Text: fmt.Sprintf("%d of %d hosts done", v.States[DeployDone], v.Hosts)})
	}
	return err
}

// deployHost carries a deployment out on one host.
func (s *Service) deployHost(ctx context.Context, d *Deployment, address string) {
	s.mu.Lock()
	h := d.host(address)
	trusted := ""
	if k := s.hostKeys[hostKeyID(d.Tenant, address)]; k != nil {
		trusted = k.Line
	}
	kind, version, purge := d.Kind, d.Version, d.Purge
	s.mu.Unlock()
	began := s.now()
	secrets := s.secrets.of(d.ID)
	tell := func(step, line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if step != "" {
			h.Step = step
		}
		if line != "" && len(h.Log) < maxDeployLines {
			h.Log = append(h.Log, DeploymentLine{s.now().UTC(), plain(line, 500)})
		}
		h.At, d.dirty = s.now().UTC(), true
	}
	r, err := deploy.Run(ctx, address, deploy.Credentials{User: d.User, Password: secrets["password"], Key: secrets["key"], Passphrase: secrets["passphrase"], Sudo: secrets["sudo"]},
		deploy.Order{Kind: kind, Purge: purge, Token: secrets["token"], Trusted: trusted, Dial: s.deps.Dial, Tell: tell, Program: func(os, arch string) (deploy.Program, error) { return s.program(version, os, arch) }})
	if err == nil && kind != deploy.Remove {
		tell(StepOnline, "")
		err = s.awaitAgent(ctx, d.Tenant, r.Agent, began)
	}
	if err == nil && kind == deploy.Install && (d.Profile != "" || len(d.Plugins)+len(d.Tasks) > 0) {
		tell(StepCollect, "")
		err = s.awaitCollecting(ctx, r.Agent)
	}
	if err == nil && kind == deploy.Remove && r.Agent != "" {
		s.revokeRemoved(ctx, d, address, r.Agent)
	}
	if err != nil {
		tell("", err.Error())
	}
	stopping := ctx.Err() != nil && !errors.Is(context.Cause(ctx), errCancelled)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deploying--
	h.cancel(nil)
	h.cancel, h.Platform, h.Agent, h.At, d.dirty = nil, r.Platform, r.Agent, s.now().UTC(), true
	var unknown *deploy.UnknownKey
	switch {
	case err == nil:
		h.State, h.Text = DeployDone, plain(r.Text, 500)
	case errors.Is(err, errCancelled):
		h.State, h.Text = DeployCancelled, plain(err.Error(), 500)
	case stopping:
		h.State = DeployWaiting // The suite stops; it goes on after its start.
		return
	case errors.As(err, &unknown) && unknown.Known == "":
		h.State, h.Text, h.Key = DeployKey, plain(err.Error(), 500), &DeploymentKey{unknown.Type, unknown.Fingerprint, unknown.Key}
		return
	default:
		h.State, h.Text = DeployFailed, plain(err.Error(), 500)
	}
	s.note(roster.Operation{Tenant: d.Tenant, Agent: known(s.agents, r.Agent), Host: address, Object: "deployment:" + d.ID, Kind: "deployed-" + kind, Actor: d.By, OK: h.State == DeployDone, Text: h.Text})
}

func known(agents map[string]*member, id string) string {
	if agents[id] == nil {
		return ""
	}
	return id
}

// program is the newest package of a version for a platform, "" any.
func (s *Service) program(version, os, arch string) (deploy.Program, error) {
	for _, u := range s.upgradesByTime() {
		if u.OS == os && u.Arch == arch && (version == "" || u.Version == version) {
			var f *release.File
			f, err := s.Package(u.SHA256)
			if err != nil {
				return deploy.Program{}, fmt.Errorf("the package %s for %s/%s: %w", u.Version, os, arch, err)
			}
			return deploy.Program{Version: u.Version, SHA256: u.SHA256, Size: u.Size, Body: f}, nil
		}
	}
	return deploy.Program{}, fmt.Errorf("there is no package %sfor %s/%s: upload the executable icewatch-agent for it", strings.TrimLeft(version+" ", " "), os, arch)
}

// awaitAgent waits until an agent was heard of since a moment.
func (s *Service) awaitAgent(ctx context.Context, tenant, id string, since time.Time) error {
	if id == "" {
		return errors.New("the host did not say which agent it is")
	}
	for end := s.now().Add(deployOnline); ; {
		s.mu.Lock()
		m := s.agents[id]
		ours := m != nil && m.Tenant == tenant
		heard := ours && m.SeenAt.After(since)
		s.mu.Unlock()
		switch {
		case !ours:
			return fmt.Errorf("the host says that it is agent %s, which is none of this tenant", clip(id, 26))
		case heard:
			return nil
		case s.now().After(end):
			return fmt.Errorf("the program is in place as agent %s, and was not heard of within %s: look at its service on the host, and whether it reaches %s", id, deployOnline, strings.Join(s.deps.URLs(), ", "))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// revokeRemoved takes the identity of a removed agent away, where it had the address: what a host
// says of itself is not enough to take another's.
func (s *Service) revokeRemoved(ctx context.Context, d *Deployment, address, id string) {
	host, _, _ := net.SplitHostPort(address)
	s.mu.Lock()
	m := s.agents[id]
	ours := m != nil && m.Tenant == d.Tenant && m.RevokedAt.IsZero() && (slices.Contains(m.Facts.Addresses, host) || sameHost(m.Address, host) || strings.EqualFold(m.Name, host))
	s.mu.Unlock()
	if !ours {
		return
	}
	if err := s.Revoke(ctx, Asker{Name: d.By, Within: everything}, []string{id}, "removed over SSH"); err != nil {
		s.log.Error("fleet: a removed agent is not revoked", "agent", id, "error", err)
	}
}

// sameHost tells whether from, an address with or without port, is the host.
func sameHost(from, host string) bool {
	if h, _, err := net.SplitHostPort(from); err == nil {
		from = h
	}
	return from != "" && from == host
}
