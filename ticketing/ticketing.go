// Package ticketing turns what detection raises into work: occurrences with
// the same key merge into alerts, alerts of one intrusion gather under one
// incident, an incident carries item, system, owner and a clock, and what
// people do with both is kept in a timeline. SQL owns all of that state; what
// goes out to others leaves through ticketing/outbox, written in the same
// transaction as the change it tells of.
//
// Nothing here depends on the order or the cutting of what comes in: the same
// occurrences, shuffled, split or replayed, give the same alerts and the same
// single incident.
package ticketing

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/detections/policy"
	"icewatch/detections/suppression"
	"icewatch/detections/verdict"
	"icewatch/soc/egress"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/eventlevel"
	"icewatch/ticketing/generation"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/scenario"
	"icewatch/ticketing/silence"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/suppressing"
	"icewatch/ticketing/wording"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SystemActor is the actor of what nobody in person did.
const SystemActor = "system"

// Policy decides whether alerts make an incident. *policy.Set implements it;
// rules reload while the suite runs, so the centre hands over a wrapper that
// asks the set in force. It is called inside a write transaction and must not
// use the database.
type Policy interface {
	Incident(ctx context.Context, in policy.IncidentInput) (policy.Decision, error)
}

var _ Policy = (*policy.Set)(nil)

// Items reads configuration items. It completes what an event carries only by
// id: the victim behind a firewall's log line. ok is false where there is no
// such item.
type Items interface {
	Item(ctx context.Context, id string) (item enrich.Item, ok bool, err error)
}

// Change is one thing done to an alert or incident, for an audit log.
type Change struct {
	Actor  string // username, "token:NAME" or SystemActor
	Action string // alert.acknowledge, incident.close, incident.open, …
	Object string // id of the alert or incident
	Tenant string
	Detail string // resolution, assignee; never a secret
}

// Config holds the options of the room under the key "ticketing" of the
// configuration file.
type Config struct {
	// Window is how far apart in event time alerts on one item or by one
	// actor may be to belong together. Default 24h.
	Window time.Duration `yaml:"window"`
	// KeepOccurrences is how long the ids of occurrences are remembered, so
	// that a replay adds nothing. It must be longer than the bus keeps
	// messages. Default 720h (30 days).
	KeepOccurrences time.Duration `yaml:"keep_occurrences"`
	// IgnoreActorLabels lists labels of configuration items whose address
	// says nothing about who acts: approved scanners, relays. Default
	// approved-scanner, relay, proxy, nat, jump-host, backup, monitoring.
	IgnoreActorLabels []string `yaml:"ignore_actor_labels"`
	// SLA overrides the targets of priorities, for example P1: {ack: 10m}.
	SLA sla.Targets `yaml:"sla"`
	// ExternalURL is where people reach the console; links in notifications
	// begin with it. Default http://127.0.0.1:8080.
	ExternalURL string `yaml:"external_url"`
	// GroupInterval is the least time between two notifications of changes to
	// one incident. Opening, closing and a breached clock are told at once.
	// Default 5m.
	GroupInterval time.Duration `yaml:"group_interval"`
	// Faults are how alerts of items that fail are grouped.
	Faults Faults `yaml:"faults"`
	// Flapping says when alerts are held as flapping.
	Flapping Flaps `yaml:"flapping"`
	// Storm are the limits of intake.
	Storm Storm `yaml:"storm"`
	// Webhooks are the receivers and how they are served.
	Webhooks outbox.Config `yaml:"webhooks"`
}

// WithDefaults returns the configuration with defaults in the empty places.
func (c Config) WithDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&c.Window, 24*time.Hour)
	set(&c.KeepOccurrences, 30*24*time.Hour)
	set(&c.GroupInterval, 5*time.Minute)
	if c.IgnoreActorLabels == nil {
		c.IgnoreActorLabels = []string{"approved-scanner", "relay", "proxy", "nat", "jump-host", "backup", "monitoring"}
	}
	if c.ExternalURL == "" {
		c.ExternalURL = "http://127.0.0.1:8080"
	}
	c.Faults = c.Faults.withDefaults()
	c.Flapping = c.Flapping.withDefaults()
	c.Storm = c.Storm.withDefaults()
	c.Webhooks = c.Webhooks.WithDefaults()
	return c
}

// Validate names the first option that cannot work, with its key.
func (c Config) Validate() error {
	c = c.WithDefaults()
	for _, o := range []struct {
		name string
		d    time.Duration
	}{{"window", c.Window}, {"keep_occurrences", c.KeepOccurrences}, {"group_interval", c.GroupInterval}} {
		if o.d <= 0 {
			return fmt.Errorf("ticketing.%s: %s: want a positive duration such as 24h", o.name, o.d)
		}
	}
	if err := c.SLA.Validate(); err != nil {
		return fmt.Errorf("ticketing.sla: %w", err)
	}
	if err := c.Faults.validate(); err != nil {
		return fmt.Errorf("ticketing.faults.%w", err)
	}
	if err := c.Flapping.validate(); err != nil {
		return fmt.Errorf("ticketing.flapping.%w", err)
	}
	if err := c.Storm.validate(); err != nil {
		return fmt.Errorf("ticketing.storm.%w", err)
	}
	if err := c.Webhooks.Validate(); err != nil {
		return fmt.Errorf("ticketing.webhooks.%w", err)
	}
	return nil
}

// Deps is what the room needs of others.
type Deps struct {
	Policy Policy // required
	// Judge decides how urgent alerts are. Without one it is as urgent as
	// whoever raised an alert says.
	Judge       Judge
	Maintenance Maintenance // optional
	Items       Items       // optional
	// Criticalities say what an item has become since an event named it; without
	// them what the event says stands. Optional.
	Criticalities Criticalities
	// KeyAssets mark the alerts and incidents of key assets. Optional.
	KeyAssets KeyAssets
	// DataLevels and DataFloors raise the severity of alerts about data that its
	// owner graded. Optional.
	DataLevels DataLevels
	DataFloors func() DataFloors
	// Generation is the policy by which alerts are raised to people. Optional.
	Generation func() *generation.Compiled
	// EventTerms are the table by which data-security events are graded, and
	// Attributes what it asks of the CMDB. Optional.
	EventTerms func() eventlevel.Terms
	Attributes Attributes
	// Relations tell who depends on whom. Without them every alert is grouped by
	// item and attacker. Optional.
	Relations Relations
	// Assigner gives incidents that open to who is on duty. Optional.
	Assigner Assigner
	// Moves refuses whoever acts in ctx a move from state to state; see
	// ticketing/transition. Without it nobody is refused.
	Moves func(ctx context.Context, of, from, to string) error
	// Taxonomy is how alerts are classed that come without a judgement, and what
	// statistics of attacks go by; nil for neither. Rules reload, so it is asked.
	Taxonomy func() *verdict.Taxonomy
	// SLA is what is agreed at the moment. Default: the targets of Config, around
	// the clock.
	SLA func() *sla.Agreement
	// Suppressions is told of the suppressions in force, at the start and after each
	// change. Optional.
	Suppressions func(ctx context.Context, in []suppression.Suppression) error
	// Routes say which contact points are told of which alerts. Optional.
	Routes *routing.Store
	// Person, Wording and Files are the outbox's: see outbox.Deps. Optional.
	Person  func(ctx context.Context, name string) (channel.Person, bool)
	Wording func(ctx context.Context, name, language, kind string) (*wording.Wording, error)
	Files   func(ctx context.Context, ref string) ([]channel.File, error)
	// Reach compiles what silences are bounded to. Default: one that knows no
	// tenants, which only takes reaches without conditions.
	Reach  *reach.Compiler
	Seal   *seal.Box     // of the receivers' secrets; required, and it must know outbox.Sealed
	Egress *egress.Guard // of connections to receivers that users made; see outbox.Deps
	Config Config
	Log    *slog.Logger                        // default slog.Default()
	Clock  func() time.Time                    // default time.Now
	Zone   *time.Location                      // whose date incident numbers carry; default time.Local
	Audit  func(ctx context.Context, c Change) // optional; called after the commit
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	standing      standings
	docs          docs
	db            *state.DB
	policy        Policy
	judge         Judge
	maintenance   Maintenance
	items         Items
	criticalities Criticalities
	keyAssets     KeyAssets
	dataLevels    DataLevels
	dataFloors    func() DataFloors
	generation    func() *generation.Compiled
	eventTerms    func() eventlevel.Terms
	attributes    Attributes
	assigner      Assigner
	moves         func(ctx context.Context, of, from, to string) error
	taxonomy      func() *verdict.Taxonomy
	classes       classes
	cfg           Config
	sla           func() *sla.Agreement
	log           *slog.Logger
	clock         func() time.Time
	zone          *time.Location
	audit         func(ctx context.Context, c Change)
	out           *outbox.Box
	muting        *silence.Store
	suppressions  *suppressing.Store
	scenarios     *scenario.Store
	routes        *routing.Store
	routed        routed
	nextGroup     time.Time // when a group of the routes is due; Run's alone
	inhibit       *inhibiting
	merges        *merges
	storm         *storm
	sightings     sightings
	ignore        map[string]bool

	// hushed tells that the policy has muted an alert that may still be open:
	// until then nobody looks for such.
	hushed atomic.Bool
	// gathers tells that an alert may be gathered: until then nobody looks for such.
	gathers atomic.Bool
	flaps   atomic.Bool // an alert may flap: look whether it is calm
	unmute  atomic.Bool // what mutes alerts has changed: see who is to be told

	live   *live
	faults *faults       // nil without relations
	writer chan struct{} // has one element while somebody writes what is at hand

	wake chan struct{} // tells Run that a due time may have come nearer

	mu    sync.Mutex // guards stats
	stats Stats
}

// Stats counts since the start.
type Stats struct {
	Occurrences  uint64    // taken in
	LastAt       time.Time // when the last of them was; zero before
	Duplicates   uint64    // seen before
	AlertsOpened uint64
	Incidents    uint64 // opened
	Suppressed   uint64 // firings that suppressions met, of Occurrences
	Counted      uint64 // firings beyond the limit of intake, of Occurrences
	PolicyErrors uint64 // decisions that failed and will be asked again
	JudgeErrors  uint64 // alerts whose priority followed the rule's level because the policy failed
}

// Open brings the room's tables up to date and makes the service. Run must
// run for clocks and deliveries to go on.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Policy == nil {
		return nil, errors.New("ticketing: open: Deps.Policy is nil: incidents need a policy")
	}
	if err := deps.Config.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		db: db, policy: deps.Policy, judge: deps.Judge, maintenance: deps.Maintenance, items: deps.Items, criticalities: deps.Criticalities, keyAssets: deps.KeyAssets, dataLevels: deps.DataLevels, dataFloors: deps.DataFloors, generation: deps.Generation, eventTerms: deps.EventTerms, attributes: deps.Attributes, taxonomy: deps.Taxonomy, assigner: deps.Assigner, moves: deps.Moves, cfg: deps.Config.WithDefaults(),
		log: deps.Log, clock: deps.Clock, zone: deps.Zone, audit: deps.Audit,
		ignore: map[string]bool{}, wake: make(chan struct{}, 1), writer: make(chan struct{}, 1),
	}
	s.routes = deps.Routes
	s.live = newLive(s.cfg.Window)
	s.storm = &storm{limits: s.cfg.Storm}
	s.flaps.Store(true)
	if deps.Relations != nil {
		s.faults = newFaults(deps.Relations, s.cfg.Faults)
	}
	if s.sla = deps.SLA; s.sla == nil {
		agreed, err := sla.DefaultTerms(s.cfg.SLA).Compile(nil)
		if err != nil {
			return nil, fmt.Errorf("ticketing.sla: %w", err)
		}
		s.sla = func() *sla.Agreement { return agreed }
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.zone == nil {
		s.zone = time.Local
	}
	for _, l := range s.cfg.IgnoreActorLabels {
		s.ignore[l] = true
	}
	if err := db.Migrate(ctx, "ticketing", migrations); err != nil {
		return nil, err
	}
	out, err := outbox.Open(ctx, db, outbox.Deps{
		Config: s.cfg.Webhooks, Seal: deps.Seal, Egress: deps.Egress, Log: s.log, Clock: s.clock, Settled: s.delivered,
		Person: deps.Person, Wording: deps.Wording, Files: deps.Files, Zone: s.zone, ExternalURL: s.cfg.ExternalURL,
	})
	if err != nil {
		return nil, err
	}
	s.out = out
	if deps.Reach == nil {
		deps.Reach = &reach.Compiler{}
	}
	s.muting, err = silence.Open(ctx, db, silence.Deps{Compile: deps.Reach.Reach, Clock: s.clock, Log: s.log, Changed: s.nudge})
	if err != nil {
		return nil, err
	}
	if s.suppressions, err = suppressing.Open(ctx, db, s.clock, s.log, deps.Suppressions); err != nil {
		return nil, err
	}
	if s.scenarios, err = scenario.Open(ctx, db, s.clock); err != nil {
		return nil, err
	}
	if s.inhibit, err = openInhibiting(ctx, s); err != nil {
		return nil, err
	}
	if err := s.reloadInhibition(ctx); err != nil {
		return nil, err
	}
	if s.merges, err = openMerges(ctx, s); err != nil {
		return nil, err
	}
	if err := s.reloadMerges(ctx); err != nil {
		return nil, err
	}
	muted, err := db.NewSelect().Model((*alertRow)(nil)).Where("muted = ?", true).Where("status <> ?", StatusClosed).Exists(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: look for muted alerts: %w", err)
	}
	s.hushed.Store(muted)
	gathered, err := db.NewSelect().Model((*alertRow)(nil)).Where("gathered <> 0").Where("status <> ?", StatusClosed).Exists(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: look for gathered alerts: %w", err)
	}
	s.gathers.Store(gathered)
	var newest int64
	if err := db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("coalesce(max(created_at), 0)").Scan(ctx, &newest); err != nil {
		return nil, fmt.Errorf("ticketing: look for the newest alert: %w", err)
	}
	if newest > 0 { // else there is none that it does not have
		s.sightings.after.at = max(s.now().UnixMilli(), newest+1)
	}
	return s, nil
}

// Outbox returns the outbox, which keeps receivers and deliveries.
func (s *Service) Outbox() *outbox.Box { return s.out }

// Stats returns the counters.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Service) count(f func(st *Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// now is the service's time, cut to the millisecond that SQL keeps.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) note(ctx context.Context, changes ...Change) {
	if s.audit == nil {
		return
	}
	for _, c := range changes {
		s.audit(ctx, c)
	}
}
