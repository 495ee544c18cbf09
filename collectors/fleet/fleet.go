// Package fleet looks after the agents on hosts: who they are (ca, roster), what they
// are told (configuration, task, lease, command, release) and what they tell (listener,
// which speaks wire to them). Service is the room's door for the API and for
// the listener; it holds the fleet in memory, and in SQL what must outlive it.
//
// An agent belongs to the tenant of the token that it was enrolled with, and its logs,
// metrics and inventory are that tenant's, whatever they say of themselves.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fleet/ca"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/lease"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

// Errors of the room. ErrInvalid and ErrConflict say more after a colon.
var (
	ErrNotFound  = errors.New("there is no such thing, or it is not within your reach")
	ErrInvalid   = errors.New("it is not valid")
	ErrConflict  = errors.New("it conflicts with what there is")
	ErrForbidden = errors.New("it is not for you to have")
	ErrToken     = errors.New("the enrolment token is unknown, used up, expired or withdrawn: make a new one in the console")
	ErrRevoked   = errors.New("the agent's certificate was revoked: enrol the host again with a new token")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func conflict(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrConflict, fmt.Sprintf(format, args...))
}

// Bounds of a fleet.
const (
	MaxAgents   = 20_000
	MaxBatch    = 1_000 // hosts of one batch operation
	maxLabels   = 32
	maxLabel    = 128
	maxName     = 64
	maxNote     = 2000
	flushEvery  = 5 * time.Second
	keepSeen    = time.Minute // how stale what is stored of a quiet agent may be
	repeatEnrol = 10 * time.Minute
)

// Asker is who asks.
type Asker struct {
	Name   string
	Within reach.Reach
}

// everything is the reach of the suite itself.
var everything = reach.All()

// may tells whether something of a tenant is the asker's to see and change.
func (a Asker) may(tenant string) bool {
	return a.Within.Everything() || tenant != "" && a.Within.CoversWhole(tenant)
}

// Deps is what the room needs of others.
type Deps struct {
	Database roster.Database // agents and all they are told
	State    *state.DB       // keys and secrets, which are sealed
	Box      *seal.Box
	Packages string // folder of upgrade packages
	Tenant   func(slug string) bool
	// Inventoried is told of each new inventory, for the CMDB. It answers the id of the host's item.
	Inventoried func(ctx context.Context, a Agent, inv *wire.Inventory) (item string, err error)
	URLs        func() []string // of the agents' listener, as hosts reach it
	Dial        collectors.Dial // to hosts, for deployments over SSH; nil is a plain dialer
	AtOnce      int             // hosts of deployments at a time; 0 is 32
	Log         *slog.Logger
	Now         func() time.Time
}

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place { return append(ca.Sealed(), secretPlace()) }

// Service is the fleet. It is safe for concurrent use.
type Service struct {
	deps      Deps
	store     *roster.Store
	authority *ca.Authority
	packages  *release.Shelf
	secrets   *secrets
	log       *slog.Logger
	now       func() time.Time
	started   time.Time

	enrolling sync.Mutex // one enrolment at a time
	changing  sync.Mutex // one change of configurations, tasks, groups, tokens and jobs at a time

	mu             sync.Mutex
	agents         map[string]*member
	tokens         map[string]*Token
	groups         map[string]*Group
	configurations map[string]*configuration.Configuration
	versions       map[string]*configuration.Version // by CONFIGURATION/NUMBER
	first          map[string]map[string]bool        // first stages, by configuration/version
	tasks          map[string]*Task
	jobs           map[string]*Job
	upgrades       map[string]*Upgrade
	deployments    map[string]*Deployment
	hostKeys       map[string]*HostKey
	thresholds     map[string]*Threshold
	reports        map[string]*TestReport
	profiles       map[string]*Profile
	extensions     map[string]*Extension           // by NAME/VERSION
	beyond         map[string]map[string]time.Time // since when, by threshold and subject
	deploying      int                             // hosts at the moment
	deploys        sync.WaitGroup                  // of them
	leases         *lease.Table
	composed       map[string]*composed
	operations     []roster.Operation // to be written
	epoch          int64              // grows with each change of what agents are to run
	force          *inForce
}

// member is an agent with what is not stored of it.
type member struct {
	Agent
	wake    chan struct{} // something is to be told
	hangups map[int]func()
	serial  int  // of hangups
	dirty   bool // what is stored is not this
	saved   time.Time
	told    map[string]bool // leases that it was told last
	granted time.Time       // when
	behind  bool            // it does not hold what it was told
	asked   string          // its group when it asked last

	wanted      *composed // what it is to run
	wantedEpoch int64
	wasWell     bool // before it took the configuration in force

	sending  float64   // kilobytes a second since the checkin before
	usedAt   time.Time // of the usage
	measured measured
	held     *held // containers of the host; nil where none were told
	changed  bool  // what is stored of it is not this
}

// Open opens the fleet.
func Open(ctx context.Context, deps Deps) (*Service, error) {
	s := &Service{deps: deps, log: deps.Log, now: deps.Now, agents: map[string]*member{}, first: map[string]map[string]bool{}, composed: map[string]*composed{}, beyond: map[string]map[string]time.Time{}, epoch: 1}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.deps.Dial == nil {
		s.deps.Dial = collectors.PlainDial
	}
	s.started = s.now()
	var err error
	if s.authority, err = ca.Open(ctx, deps.State, deps.Box); err != nil {
		return nil, err
	}
	if s.secrets, err = openSecrets(ctx, deps.State, deps.Box); err != nil {
		return nil, err
	}
	if s.packages, err = release.Open(deps.Packages); err != nil {
		return nil, err
	}
	if s.store, err = roster.Open(ctx, deps.Database); err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		s.store.Close()
		return nil, err
	}
	return s, nil
}

func (s *Service) load(ctx context.Context) (err error) {
	agents, err := roster.Load[Agent](ctx, s.store, roster.KindAgent)
	if err != nil {
		return err
	}
	for id, a := range agents {
		s.agents[id] = newMember(*a)
	}
	written, err := roster.Load[measured](ctx, s.store, roster.KindMeasured)
	if err != nil {
		return err
	}
	for id, x := range written {
		if m := s.agents[id]; m != nil {
			m.measured.Before = x.Before
		}
	}
	kept, err := roster.Load[held](ctx, s.store, roster.KindContainers)
	if err != nil {
		return err
	}
	for id, x := range kept {
		if m := s.agents[id]; m != nil {
			m.held = x
		}
	}
	if s.reports, err = roster.Load[TestReport](ctx, s.store, roster.KindTestReport); err != nil {
		return err
	}
	if s.tokens, err = roster.Load[Token](ctx, s.store, roster.KindToken); err != nil {
		return err
	}
	if s.groups, err = roster.Load[Group](ctx, s.store, roster.KindGroup); err != nil {
		return err
	}
	if s.configurations, err = roster.Load[configuration.Configuration](ctx, s.store, roster.KindConfiguration); err != nil {
		return err
	}
	if s.versions, err = roster.Load[configuration.Version](ctx, s.store, roster.KindVersion); err != nil {
		return err
	}
	if s.tasks, err = roster.Load[Task](ctx, s.store, roster.KindTask); err != nil {
		return err
	}
	if s.jobs, err = roster.Load[Job](ctx, s.store, roster.KindJob); err != nil {
		return err
	}
	if s.upgrades, err = roster.Load[Upgrade](ctx, s.store, roster.KindPackage); err != nil {
		return err
	}
	if s.thresholds, err = roster.Load[Threshold](ctx, s.store, roster.KindThreshold); err != nil {
		return err
	}
	if s.profiles, err = roster.Load[Profile](ctx, s.store, roster.KindProfile); err != nil {
		return err
	}
	if s.extensions, err = s.loadExtensions(ctx); err != nil {
		return err
	}
	if s.hostKeys, err = roster.Load[HostKey](ctx, s.store, roster.KindHostKey); err != nil {
		return err
	}
	if s.deployments, err = roster.Load[Deployment](ctx, s.store, roster.KindDeployment); err != nil {
		return err
	}
	for _, d := range s.deployments {
		for _, h := range d.Hosts {
			if h.State == DeployRunning {
				h.State = DeployWaiting // The suite ended in between: what was begun can be done again.
			}
		}
	}
	s.leases = lease.New(s.now())
	for _, t := range s.tasks {
		s.leaseTask(t)
	}
	return nil
}

func newMember(a Agent) *member {
	return &member{Agent: a, wake: make(chan struct{}, 1), hangups: map[int]func(){}, told: map[string]bool{}}
}

// Authority is the fleet's.
func (s *Service) Authority() *ca.Authority { return s.authority }

// Store is where batches' positions are.
func (s *Service) Store() *roster.Store { return s.store }

// Package opens an upgrade package by its hex SHA-256.
func (s *Service) Package(sum string) (*release.File, error) { return s.packages.Open(sum) }

// Close writes what waits.
func (s *Service) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.mu.Lock()
	for _, m := range s.agents {
		m.saved = time.Time{}
	}
	s.mu.Unlock()
	err := s.flush(ctx)
	s.store.Close()
	return err
}

// Run keeps the fleet until ctx ends: leases, roll-outs, jobs that end, and what is to
// be stored.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	defer s.deploys.Wait()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.stepLeases()
		s.stepRollouts(ctx)
		s.stepDeployments(ctx)
		if n%20 == 0 { // 5 s
			s.expireJobs(ctx)
			s.stepReports(ctx)
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("fleet: not stored yet", "error", err)
			}
		}
		if n%14_400 == 0 {
			if err := s.store.Trim(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("fleet: the operation log is not trimmed", "error", err)
			}
		}
	}
}

// flush stores agents that changed, jobs, and the operation log.
func (s *Service) flush(ctx context.Context) error {
	now := s.now()
	s.mu.Lock()
	var docs []roster.Document
	var done []*member
	var again []*bool // what stays to be written where that fails
	for _, m := range s.agents {
		if m.dirty || m.saved.IsZero() || m.SeenAt.After(m.saved) && now.Sub(m.saved) > keepSeen {
			docs = append(docs, roster.Document{Kind: roster.KindAgent, ID: m.ID, Tenant: m.Tenant, Data: m.Agent})
			m.dirty, m.saved = false, now
			done = append(done, m)
		}
		if m.changed {
			docs = append(docs, roster.Document{Kind: roster.KindMeasured, ID: m.ID, Tenant: m.Tenant, Data: measured{Before: m.measured.Before}})
			m.changed = false
			again = append(again, &m.changed)
		}
	}
	for _, j := range s.jobs {
		if j.dirty {
			docs = append(docs, roster.Document{Kind: roster.KindJob, ID: j.ID, Tenant: j.Tenant, Data: j.clone()})
			j.dirty = false
			again = append(again, &j.dirty)
		}
	}
	for _, d := range s.deployments {
		if d.dirty {
			docs = append(docs, roster.Document{Kind: roster.KindDeployment, ID: d.ID, Tenant: d.Tenant, Data: d.clone()})
			d.dirty = false
			again = append(again, &d.dirty)
		}
	}
	operations := s.operations
	s.operations = nil
	s.mu.Unlock()
	var errs []error
	for part := range slices.Chunk(docs, 500) {
		if err := s.store.Write(ctx, part...); err != nil {
			errs = append(errs, err)
		}
	}
	if err := s.store.Log(ctx, operations...); err != nil {
		errs = append(errs, err)
		s.mu.Lock()
		if len(s.operations) < 50_000 {
			s.operations = append(operations, s.operations...)
		}
		s.mu.Unlock()
	}
	if err := errors.Join(errs...); err != nil {
		s.mu.Lock()
		for _, m := range done {
			m.dirty = true
		}
		for _, dirty := range again {
			*dirty = true
		}
		s.mu.Unlock()
		return err
	}
	return nil
}

// note writes an operation soon. s.mu is held.
func (s *Service) note(o roster.Operation) {
	o.Time = s.now().UTC()
	s.operations = append(s.operations, o)
}

// noteAgent does so for an agent. s.mu is held.
func (s *Service) noteAgent(m *member, actor, kind string, ok bool, text string) {
	s.note(roster.Operation{Tenant: m.Tenant, Agent: m.ID, Host: m.Name, Kind: kind, Actor: actor, OK: ok, Text: clip(text, 2000)})
}

// tell wakes the checkin of an agent that waits. s.mu is held.
func (m *member) tell() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// changed says that what agents are to run may be another now, and wakes those for
// whom it is. s.mu is held.
func (s *Service) changed() {
	s.epoch++
	if len(s.composed) > 2000 {
		clear(s.composed)
	}
	for _, m := range s.agents {
		before := m.wanted
		if w := s.want(m); w != before {
			m.tell()
		}
	}
}

// Operations lists the operation log within the asker's reach.
func (s *Service) Operations(ctx context.Context, a Asker, q roster.OperationQuery) ([]roster.Operation, error) {
	if !a.Within.Everything() {
		slugs, _ := a.Within.TenantSlugs()
		q.Tenants = []string{}
		for _, t := range slugs {
			if a.may(t) {
				q.Tenants = append(q.Tenants, t)
			}
		}
	}
	if err := s.flush(ctx); err != nil {
		return nil, err
	}
	return s.store.Operations(ctx, q)
}

// cleanLabels trims, sorts and checks labels.
func cleanLabels(list []string) ([]string, error) {
	out := []string{}
	for _, l := range list {
		if l = strings.TrimSpace(l); l != "" {
			if len(l) > maxLabel || strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == ',' }) {
				return nil, invalid("the label %q: want at most %d bytes, without commas", clip(l, 80), maxLabel)
			}
			out = append(out, l)
		}
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) > maxLabels {
		return nil, invalid("%d labels; at most %d are taken", len(out), maxLabels)
	}
	return out, nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func checkName(name string) error {
	if n := len([]rune(name)); strings.TrimSpace(name) != name || n == 0 || n > maxName {
		return invalid("the name: want 1 to %d characters without spaces around", maxName)
	}
	return nil
}

func sorted[T any](m map[string]*T) []*T {
	out := make([]*T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
