package fleet

import (
	"cmp"
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
	deployAtOnce   = 32 // hosts at a time, of all deployments, where Deps say nothing
	deployTime     = 24 * time.Hour
	deployOnline   = time.Minute // that a new agent has to be heard of
	maxDeployLines = 60          // of a host's log
	keptDeploys    = 100
	maxHostKeys    = 20_000
)

// StepOnline is the last step of an installation: the agent is heard of.
const StepOnline = "online"

// StepCollect follows where tasks, a profile or plug-ins came along: they run.
const StepCollect = "collect"

// Deployment installs, upgrades or removes agents over SSH. Its credentials are sealed
// apart from it, and deleted when it ends.
type Deployment struct {
	ID            string    `json:"id"`
	Tenant        string    `json:"tenant"`
	Kind          string    `json:"kind"`
	User          string    `json:"user"`
	Version       string    `json:"version,omitempty"`
	Purge         bool      `json:"purge,omitempty"`
	Token         string    `json:"token,omitempty"` // id of the enrolment token
	By            string    `json:"by"`
	At            time.Time `json:"at"`
	Until         time.Time `json:"until"`
	EndedAt       time.Time `json:"ended_at,omitzero"`
	Labels        []string  `json:"labels,omitempty"` // of Install, as Group and Configuration
	Group         string    `json:"group,omitempty"`
	Configuration string    `json:"configuration,omitempty"`
	RetryOf       string    `json:"retry_of,omitempty"`
	Joining
	Hosts         []*DeploymentHost `json:"hosts"`
	dirty, ending bool
	cancelled     bool // hosts that run are being cut off
}

// DeploymentHost is one host of a deployment.
type DeploymentHost struct {
	Address  string           `json:"address" doc:"HOST:PORT"`
	State    string           `json:"state" enum:"waiting,running,key-unknown,done,failed,cancelled"`
	Step     string           `json:"step,omitempty" enum:"connect,probe,upload,run,online,collect"`
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
	RetryOf string         `json:"retry_of,omitempty" doc:"The deployment whose failed hosts these are"`
	Hosts   int            `json:"hosts"`
	States  map[string]int `json:"states"`
}

func (d *Deployment) view() DeploymentView {
	v := DeploymentView{d.ID, d.Tenant, d.Kind, d.User, d.Version, d.By, d.At, d.Until, d.EndedAt, d.RetryOf, len(d.Hosts), map[string]int{}}
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
	Joining
}

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
	return s.deploy(ctx, a, d, "")
}

func (s *Service) deploy(ctx context.Context, a Asker, d DeploymentDraft, retryOf string) (DeploymentView, error) {
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
	x := &Deployment{ID: roster.NewID(now), Tenant: d.Tenant, Kind: d.Kind, User: d.User, Version: d.Version, Purge: d.Purge && d.Kind == deploy.Remove, By: a.Name, At: now, Until: now.Add(deployTime), RetryOf: retryOf, dirty: true}
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
	if d.Kind == deploy.Install && d.Profile != "" && d.Version == "" {
		s.mu.Lock()
		if p := s.profiles[d.Profile]; p != nil {
			d.Version = p.Version
			x.Version = p.Version
		}
		s.mu.Unlock()
	}
	secrets := map[string]string{"password": d.Password, "key": d.Key, "passphrase": d.Passphrase, "sudo": d.Sudo}
	switch d.Kind {
	case deploy.Install, deploy.Upgrade:
		if !slices.ContainsFunc(s.upgradesByTime(), func(u Upgrade) bool { return u.OS == "linux" && (d.Version == "" || u.Version == d.Version) }) {
			return DeploymentView{}, invalid("there is no package %sfor Linux: upload the executable icewatch-agent under packages first", strings.TrimLeft(clip(d.Version, 64)+" ", " "))
		}
	case deploy.Remove:
	default:
		return DeploymentView{}, invalid("kind: want install, upgrade or remove")
	}
	if d.Kind == deploy.Install {
		// Twice the hosts: one that was broken off comes again.
		token, err := s.CreateToken(ctx, a, TokenDraft{Tenant: d.Tenant, Note: "SSH " + x.ID, Labels: d.Labels, Group: d.Group, Configuration: d.Configuration, Uses: 2 * len(x.Hosts), Hours: int(deployTime / time.Hour), Joining: d.Joining})
		if err != nil {
			return DeploymentView{}, err
		}
		x.Token, secrets["token"] = token.ID, token.Text
		x.Labels, x.Group, x.Configuration, x.Joining = slices.Clone(d.Labels), d.Group, d.Configuration, d.Joining
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
	text := fmt.Sprintf("%d hosts as %s", len(x.Hosts), x.User)
	if retryOf != "" {
		text += ", which failed in " + retryOf
	}
	s.note(roster.Operation{Tenant: x.Tenant, Object: "deployment:" + x.ID, Kind: "deployment-" + x.Kind, Actor: a.Name, OK: true, Text: text})
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

// DeploymentRetry says how hosts that failed are tried again.
type DeploymentRetry struct {
	User       string `json:"user,omitempty" maxLength:"64" doc:"That of the deployment where it is absent"`
	Password   string `json:"password,omitempty" maxLength:"1024"`
	Key        string `json:"key,omitempty" maxLength:"32768" doc:"Private key, PEM"`
	Passphrase string `json:"passphrase,omitempty" maxLength:"1024" doc:"Of the key"`
	Sudo       string `json:"sudo_password,omitempty" maxLength:"1024" doc:"For sudo; the password where it is absent"`
	Cancelled  bool   `json:"cancelled,omitempty" doc:"Those that were cancelled, too"`
}

// RetryDeployment tries hosts that failed again, and no other. While a deployment goes on and
// no credentials are given they wait in it once more; else they are those of a new one,
// since credentials are forgotten at the end. The answer is the deployment they are in.
func (s *Service) RetryDeployment(ctx context.Context, a Asker, id string, r DeploymentRetry) (DeploymentView, error) {
	s.mu.Lock()
	d, err := s.deployment(a, id)
	if err != nil {
		s.mu.Unlock()
		return DeploymentView{}, err
	}
	var again []*DeploymentHost
	draft := DeploymentDraft{Tenant: d.Tenant, Kind: d.Kind, User: cmp.Or(r.User, d.User), Password: r.Password, Key: r.Key, Passphrase: r.Passphrase, Sudo: r.Sudo,
		Version: d.Version, Labels: d.Labels, Group: d.Group, Configuration: d.Configuration, Purge: d.Purge, Joining: d.Joining}
	for _, h := range d.Hosts {
		if h.State == DeployFailed || r.Cancelled && h.State == DeployCancelled {
			again = append(again, h)
			draft.Hosts = append(draft.Hosts, h.Address)
		}
	}
	given := r != DeploymentRetry{Cancelled: r.Cancelled}
	switch {
	case len(again) == 0:
		err = conflict("no host of the deployment has failed")
	case given: // A new one, below.
	case !d.EndedAt.IsZero() || d.ending || d.cancelled:
		err = invalid("the deployment has ended and its credentials are forgotten: give a password or a private key")
	default:
		for _, h := range again {
			h.State, h.Text, h.At = DeployWaiting, "", s.now().UTC()
		}
		d.dirty = true
		s.note(roster.Operation{Tenant: d.Tenant, Object: "deployment:" + d.ID, Kind: "deployment-retried", Actor: a.Name, OK: true, Text: fmt.Sprintf("%d hosts", len(again))})
	}
	v := d.view()
	s.mu.Unlock()
	if err != nil || !given {
		return v, err
	}
	return s.deploy(ctx, a, draft, id)
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
	d.dirty, d.cancelled = true, true
}
