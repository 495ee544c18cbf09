package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/fleet/deploy"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
)

// States of a host of a deployment.
const (
	DeployWaiting   = "waiting"
	DeployRunning   = "running"
	DeployKey       = "key-unknown" // a person has to look at the host's key
	DeployDone      = "done"
	DeployFailed    = "failed"
	DeployCancelled = "cancelled"
)

// Bounds of deployments.
const (
	deployAtOnce   = 32 // connections at a time, of all deployments
	deployTime     = 24 * time.Hour
	deployOnline   = time.Minute // that a new agent has to be heard of
	maxDeployLines = 60          // of a host's log
	keptDeploys    = 100
	maxHostKeys    = 20_000
)

// StepOnline is the last step of an installation: the agent is heard of.
const StepOnline = "online"

// Deployment installs, upgrades or removes agents over SSH. Its credentials are sealed
// apart from it, and deleted when it ends.
type Deployment struct {
	ID            string            `json:"id"`
	Tenant        string            `json:"tenant"`
	Kind          string            `json:"kind"`
	User          string            `json:"user"`
	Version       string            `json:"version,omitempty"`
	Purge         bool              `json:"purge,omitempty"`
	Token         string            `json:"token,omitempty"` // id of the enrolment token
	By            string            `json:"by"`
	At            time.Time         `json:"at"`
	Until         time.Time         `json:"until"`
	EndedAt       time.Time         `json:"ended_at,omitzero"`
	Hosts         []*DeploymentHost `json:"hosts"`
	dirty, ending bool
}

// DeploymentHost is one host of a deployment.
type DeploymentHost struct {
	Address  string           `json:"address" doc:"HOST:PORT"`
	State    string           `json:"state" enum:"waiting,running,key-unknown,done,failed,cancelled"`
	Step     string           `json:"step,omitempty" enum:"connect,probe,upload,run,online"`
	Text     string           `json:"text,omitempty" doc:"What came of it, or why it failed"`
	Platform string           `json:"platform,omitempty"`
	Agent    string           `json:"agent,omitempty" doc:"Id of the host it is now, or was"`
	At       time.Time        `json:"at,omitzero"`
	Key      *DeploymentKey   `json:"key,omitempty" doc:"The host's key, which is to be trusted"`
	Log      []DeploymentLine `json:"log,omitempty" nullable:"false"`

	cancel context.CancelCauseFunc
}

// DeploymentKey is a host's key as a person sees it.
type DeploymentKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint" doc:"As ssh-keygen -lf shows it on the host"`
	Line        string `json:"line" doc:"In the form of authorized_keys"`
}

// DeploymentLine is a line of a host's log.
type DeploymentLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// DeploymentView is a deployment with its counts.
type DeploymentView struct {
	ID      string         `json:"id"`
	Tenant  string         `json:"tenant"`
	Kind    string         `json:"kind" enum:"install,upgrade,remove"`
	User    string         `json:"user"`
	Version string         `json:"version,omitempty"`
	By      string         `json:"by"`
	At      time.Time      `json:"at"`
	Until   time.Time      `json:"until" doc:"What has not begun by then is cancelled, and the credentials are forgotten"`
	EndedAt time.Time      `json:"ended_at,omitzero"`
	Hosts   int            `json:"hosts"`
	States  map[string]int `json:"states"`
}

func (d *Deployment) view() DeploymentView {
	v := DeploymentView{d.ID, d.Tenant, d.Kind, d.User, d.Version, d.By, d.At, d.Until, d.EndedAt, len(d.Hosts), map[string]int{}}
	for _, h := range d.Hosts {
		v.States[h.State]++
	}
	return v
}

func (d *Deployment) clone() *Deployment {
	x := *d
	x.Hosts = make([]*DeploymentHost, len(d.Hosts))
	for i, h := range d.Hosts {
		c := *h
		c.Log = slices.Clone(h.Log)
		x.Hosts[i] = &c
	}
	return &x
}

func (d *Deployment) host(address string) *DeploymentHost {
	for _, h := range d.Hosts {
		if h.Address == address {
			return h
		}
	}
	return nil
}

// DeploymentDraft orders a deployment. Its secrets are used for it alone, and forgotten at its end.
type DeploymentDraft struct {
	Tenant        string   `json:"tenant" minLength:"1" maxLength:"63"`
	Kind          string   `json:"kind" enum:"install,upgrade,remove"`
	Hosts         []string `json:"hosts" nullable:"false" minItems:"1" maxItems:"1000" doc:"Address or name, with :PORT where it is not 22"`
	User          string   `json:"user" minLength:"1" maxLength:"64"`
	Password      string   `json:"password,omitempty" maxLength:"1024"`
	Key           string   `json:"key,omitempty" maxLength:"32768" doc:"Private key, PEM"`
	Passphrase    string   `json:"passphrase,omitempty" maxLength:"1024" doc:"Of the key"`
	Sudo          string   `json:"sudo_password,omitempty" maxLength:"1024" doc:"For sudo; the password where it is absent"`
	Version       string   `json:"version,omitempty" maxLength:"64" doc:"Of the package; the newest for each platform where it is absent"`
	Labels        []string `json:"labels,omitempty" nullable:"false" maxItems:"32"`
	Group         string   `json:"group,omitempty" maxLength:"64"`
	Configuration string   `json:"configuration,omitempty" maxLength:"64"`
	Purge         bool     `json:"purge,omitempty" doc:"Of remove: identity, queue and settings of the host go, too"`
}

// HostKey is the key that a host is known by.
type HostKey struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Address     string    `json:"address"`
	Type        string    `json:"type"`
	Fingerprint string    `json:"fingerprint"`
	Line        string    `json:"line" doc:"In the form of authorized_keys"`
	By          string    `json:"by" doc:"Who looked at it and trusted it"`
	At          time.Time `json:"at"`
}

func hostKeyID(tenant, address string) string { return tenant + "/" + address }

var (
	userPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}$`)
	namePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?)*\.?$`)
)

// deployAddress reads HOST or HOST:PORT.
func deployAddress(text string) (string, error) {
	text = strings.TrimSpace(text)
	host, port := text, "22"
	if p, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		host = p.String()
	} else if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if _, bad := netip.ParseAddr(host); err != nil || n == 0 || len(host) > 253 || bad != nil && !namePattern.MatchString(host) {
		return "", invalid("the host %q: want an address or a name, such as 10.1.2.3, app1.example.gov.cn:2222 or [fd00::1]:22", clip(text, 80))
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// Deploy begins a deployment.
func (s *Service) Deploy(ctx context.Context, a Asker, d DeploymentDraft) (DeploymentView, error) {
	if !a.may(d.Tenant) {
		return DeploymentView{}, ErrForbidden
	}
	if !s.deps.Tenant(d.Tenant) {
		return DeploymentView{}, invalid("there is no tenant %q", clip(d.Tenant, 63))
	}
	if len(d.Hosts) == 0 || len(d.Hosts) > MaxBatch {
		return DeploymentView{}, invalid("%d hosts; want 1 to %d", len(d.Hosts), MaxBatch)
	}
	if !userPattern.MatchString(d.User) {
		return DeploymentView{}, invalid("the user %q: want the name of an account on the hosts", clip(d.User, 64))
	}
	c := deploy.Credentials{User: d.User, Password: d.Password, Key: d.Key, Passphrase: d.Passphrase, Sudo: d.Sudo}
	if err := c.Check(); err != nil {
		return DeploymentView{}, invalid("%v", err)
	}
	now := s.now().UTC()
	x := &Deployment{ID: roster.NewID(now), Tenant: d.Tenant, Kind: d.Kind, User: d.User, Version: d.Version, Purge: d.Purge && d.Kind == deploy.Remove, By: a.Name, At: now, Until: now.Add(deployTime), dirty: true}
	seen := map[string]bool{}
	for _, text := range d.Hosts {
		address, err := deployAddress(text)
		if err != nil {
			return DeploymentView{}, err
		}
		if !seen[address] {
			seen[address] = true
			x.Hosts = append(x.Hosts, &DeploymentHost{Address: address, State: DeployWaiting, At: now})
		}
	}
	secrets := map[string]string{"password": d.Password, "key": d.Key, "passphrase": d.Passphrase, "sudo": d.Sudo}
	switch d.Kind {
	case deploy.Install, deploy.Upgrade:
		if !slices.ContainsFunc(s.Packages(), func(u Upgrade) bool { return u.OS == "linux" && (d.Version == "" || u.Version == d.Version) }) {
			return DeploymentView{}, invalid("there is no package %sfor Linux: upload the executable icewatch-agent under packages first", strings.TrimLeft(clip(d.Version, 64)+" ", " "))
		}
	case deploy.Remove:
	default:
		return DeploymentView{}, invalid("kind: want install, upgrade or remove")
	}
	if d.Kind == deploy.Install {
		// Twice the hosts: one that was broken off comes again.
		token, err := s.CreateToken(ctx, a, TokenDraft{Tenant: d.Tenant, Note: "SSH " + x.ID, Labels: d.Labels, Group: d.Group, Configuration: d.Configuration, Uses: min(2*len(x.Hosts), MaxBatch), Hours: int(deployTime / time.Hour)})
		if err != nil {
			return DeploymentView{}, err
		}
		x.Token, secrets["token"] = token.ID, token.Text
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	err := s.secrets.set(ctx, x.ID, secrets)
	if err == nil {
		err = s.store.Write(ctx, roster.Document{Kind: roster.KindDeployment, ID: x.ID, Tenant: x.Tenant, Data: x.clone()})
	}
	if err != nil {
		return DeploymentView{}, errors.Join(err, s.secrets.set(context.WithoutCancel(ctx), x.ID, nil))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deployments[x.ID] = x
	s.note(roster.Operation{Tenant: x.Tenant, Object: "deployment:" + x.ID, Kind: "deployment-" + x.Kind, Actor: a.Name, OK: true, Text: fmt.Sprintf("%d hosts as %s", len(x.Hosts), x.User)})
	return x.view(), nil
}

// Deployments lists deployments, the newest first.
func (s *Service) Deployments(a Asker) []DeploymentView {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []DeploymentView{}
	for _, d := range sorted(s.deployments) {
		if a.may(d.Tenant) {
			out = append(out, d.view())
		}
	}
	slices.Reverse(out)
	return out
}

// deployment is one within reach. s.mu is held.
func (s *Service) deployment(a Asker, id string) (*Deployment, error) {
	d := s.deployments[id]
	if d == nil || !a.may(d.Tenant) {
		return nil, ErrNotFound
	}
	return d, nil
}

// Deployment is one deployment with its hosts, without their logs; those that need
// somebody come first.
func (s *Service) Deployment(a Asker, id string) (DeploymentView, []DeploymentHost, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(a, id)
	if err != nil {
		return DeploymentView{}, nil, err
	}
	out := []DeploymentHost{}
	for _, h := range d.Hosts {
		x := *h
		x.Log = nil
		out = append(out, x)
	}
	rank := map[string]int{DeployKey: 0, DeployFailed: 1, DeployRunning: 2, DeployWaiting: 3, DeployCancelled: 4, DeployDone: 5}
	slices.SortStableFunc(out, func(x, y DeploymentHost) int { return rank[x.State] - rank[y.State] })
	return d.view(), out, nil
}

// DeploymentLog is what was said on one host.
func (s *Service) DeploymentLog(a Asker, id, address string) (DeploymentHost, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(a, id)
	if err != nil {
		return DeploymentHost{}, err
	}
	h := d.host(address)
	if h == nil {
		return DeploymentHost{}, ErrNotFound
	}
	x := *h
	x.Log = slices.Clone(orEmpty(h.Log))
	return x, nil
}

// CancelDeployment ends a deployment: hosts that wait are left alone, connections to the
// others are cut.
func (s *Service) CancelDeployment(a Asker, id string) (DeploymentView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.deployment(a, id)
	if err != nil {
		return DeploymentView{}, err
	}
	if !d.EndedAt.IsZero() {
		return DeploymentView{}, conflict("the deployment has ended")
	}
	s.note(roster.Operation{Tenant: d.Tenant, Object: "deployment:" + d.ID, Kind: "deployment-cancelled", Actor: a.Name, OK: true})
	s.endDeployment(d, "cancelled by "+a.Name)
	return d.view(), nil
}

var errCancelled = errors.New("cancelled")

// endDeployment cancels what is left of one. s.mu is held.
func (s *Service) endDeployment(d *Deployment, why string) {
	for _, h := range d.Hosts {
		switch h.State {
		case DeployWaiting, DeployKey:
			h.State, h.Text, h.At, h.Key = DeployCancelled, why, s.now().UTC(), nil
		case DeployRunning:
			h.cancel(fmt.Errorf("%w: %s", errCancelled, why))
		}
	}
	d.dirty = true
}

// TrustedKey names a host's key that a person looked at.
type TrustedKey struct {
	Address     string `json:"address" maxLength:"270"`
	Fingerprint string `json:"fingerprint" maxLength:"64" doc:"As it was shown"`
}

// TrustKeys has hosts known from now on by the keys that they showed, and goes on with them.
func (s *Service) TrustKeys(ctx context.Context, a Asker, id string, keys []TrustedKey) (DeploymentView, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	now := s.now().UTC()
	var docs []roster.Document
	var fresh []*HostKey
	s.mu.Lock()
	d, err := s.deployment(a, id)
	if err == nil {
		for _, k := range keys {
			h := d.host(k.Address)
			if h == nil || h.State != DeployKey || h.Key == nil || h.Key.Fingerprint != k.Fingerprint {
				err = conflict("the host %s does not wait with the key %s: look at it again", clip(k.Address, 270), clip(k.Fingerprint, 64))
				break
			}
			x := &HostKey{ID: hostKeyID(d.Tenant, h.Address), Tenant: d.Tenant, Address: h.Address, Type: h.Key.Type, Fingerprint: h.Key.Fingerprint, Line: h.Key.Line, By: a.Name, At: now}
			fresh = append(fresh, x)
			docs = append(docs, roster.Document{Kind: roster.KindHostKey, ID: x.ID, Tenant: x.Tenant, Data: x})
		}
		if len(s.hostKeys)+len(fresh) > maxHostKeys {
			err = conflict("%d hosts are known already: forget old ones", len(s.hostKeys))
		}
	}
	s.mu.Unlock()
	if err != nil {
		return DeploymentView{}, err
	}
	if err := s.store.Write(ctx, docs...); err != nil {
		return DeploymentView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range fresh {
		s.hostKeys[k.ID] = k
		s.note(roster.Operation{Tenant: k.Tenant, Object: "host-key:" + k.ID, Kind: "host-key-trusted", Actor: a.Name, OK: true, Text: k.Address + " " + k.Type + " " + k.Fingerprint})
		if h := d.host(k.Address); h.State == DeployKey {
			h.State, h.Key, h.Text, h.At = DeployWaiting, nil, "", now
		}
	}
	d.dirty = true
	return d.view(), nil
}

// HostKeys lists the keys that hosts are known by.
func (s *Service) HostKeys(a Asker) []HostKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []HostKey{}
	for _, k := range sorted(s.hostKeys) {
		if a.may(k.Tenant) {
			out = append(out, *k)
		}
	}
	return out
}

// ForgetHostKey has a host be unknown again, such as one that was set up anew.
func (s *Service) ForgetHostKey(ctx context.Context, a Asker, tenant, address string) (HostKey, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	k := s.hostKeys[hostKeyID(tenant, address)]
	s.mu.Unlock()
	if k == nil || !a.may(k.Tenant) {
		return HostKey{}, ErrNotFound
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindHostKey, ID: k.ID}); err != nil {
		return HostKey{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hostKeys, k.ID)
	s.note(roster.Operation{Tenant: k.Tenant, Object: "host-key:" + k.ID, Kind: "host-key-forgotten", Actor: a.Name, OK: true, Text: k.Address + " " + k.Fingerprint})
	return *k, nil
}

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
			if h.State == DeployWaiting && s.deploying < deployAtOnce {
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
	for _, u := range s.Packages() {
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
