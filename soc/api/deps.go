// Package api is the suite's front door for people and programs: the REST API
// under /api/v1 with its OpenAPI description, the intake endpoints over HTTP,
// health and metrics, and the console's files.
//
// The frame denies by default. One middleware stands before the router and
// lets nobody past without a credential, save to the few public routes and
// to the console's files, which no route serves. Every route declares an
// operation and its scope, which Server.Check holds against the router's own
// list; soc/identity/policy decides who may do it, and soc/reach on which rows.
package api

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/cmdb"
	"icewatch/cmdb/approval"
	"icewatch/cmdb/drawing"
	"icewatch/cmdb/portrait"
	"icewatch/cmdb/risk"
	"icewatch/cmdb/subscription"
	"icewatch/cmdb/traffic"
	"icewatch/cmdb/view"
	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/detections"
	rules "icewatch/detections/engine"
	judging "icewatch/detections/verdict"
	"icewatch/soc/audit"
	"icewatch/soc/audit/forward"
	"icewatch/soc/export"
	"icewatch/soc/exposure/engine"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/installed"
	"icewatch/soc/exposure/library"
	"icewatch/soc/exposure/scan"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/exposure/surface"
	"icewatch/soc/exposure/template"
	"icewatch/soc/forwarding"
	"icewatch/soc/identity"
	"icewatch/soc/identity/policy"
	"icewatch/soc/inputs"
	"icewatch/soc/intake"
	"icewatch/soc/knowledge"
	"icewatch/soc/loki/logql"
	"icewatch/soc/masking"
	"icewatch/soc/pipeline/packbook"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
	"icewatch/soc/rulebook"
	"icewatch/soc/saved"
	"icewatch/soc/saved/monitor"
	"icewatch/soc/search"
	"icewatch/soc/settings"
	"icewatch/soc/tenancy"
	"icewatch/soc/traces"
	"icewatch/soc/units"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/maintenance"
	"icewatch/ticketing/source"
)

// Deps is what the API needs of the other rooms. Identity, Audit and Log are
// required; the routes of a part that is nil answer 503.
type Deps struct {
	Identity  *identity.Service
	Units     *units.Store
	Audit     Audit
	Forward   Forward // of audit records to receivers outside
	Settings  *settings.Store
	Keys      Keys        // the master keys of sealed secrets
	Provider  Provider    // single sign-on for other applications; nil registers no route
	Decisions *policy.Log // may be nil
	Own       *Settings   // of DeclareSettings; without it there is no wizard and no branding
	Tenants   Tenants
	Reach     *reach.Compiler // of data scopes; where it is nil, those with conditions show nothing
	CMDB      CMDB
	Approvals Approvals
	Inbox     Inbox // nil registers no route
	// Attachments keeps the files of items; nil registers no route.
	Attachments Attachments
	// ApprovalPolicy says which items are changed by approval only.
	ApprovalPolicy func() approval.Policy
	Risk           *risk.Service         // how much assets, systems and units are at risk; nil registers no route
	Drawings       *drawing.Store        // topologies that people drew; nil registers no route
	Views          *view.Store           // lists under a name, and what people follow; nil registers no route
	Subscriptions  *subscription.Service // to changes of the CMDB; nil registers no route
	Traffic        *traffic.Watch        // relations that traffic shows; nil registers no route
	Findings       portrait.Findings     // what is wrong with items; nil where nothing looks for it
	Search         search.Store
	Saved          *saved.Store     // searches under a name, log groups and histories; nil registers no route
	Exports        *export.Service  // nil registers no route
	Monitors       *monitor.Service // of scheduled searches; nil registers no route
	Masking        *masking.Store   // nil hides nothing
	Flows          Flows
	Entities       *Entities         // judgements of entities and alerts about them; nil registers no route
	Traces         *traces.Service   // nil answers that it is not available
	LogQL          *logql.Engine     // nil answers that it is not available
	Metrics        Metrics           // the metric lake
	Aside          intake.AsideStore // whole texts too long for an event
	Rules          Rules
	Knowledge      *knowledge.Store         // nil registers no route
	Taxonomy       func() *judging.Taxonomy // how the rules in force class alerts; nil before there are any
	Parsers        Parsers                  // nil registers no route
	OwnPacks       *packbook.Book           // packs that people make; nil registers no route
	Processing     Processing               // nil registers no route
	Policies       Policies
	// Maintenance holds the maintenance windows; nil answers that they are not
	// available.
	Maintenance *settings.Setting[maintenance.Schedule]
	Rulebook    *rulebook.Book // of the rules that people make
	Backtests   *Backtests     // of rules over the past; nil registers no route
	Intake      Intake
	Backups     Backups
	Ticketing   Ticketing
	Duty        *duty.Store // nil registers no route
	// AlertSources take in the alerts of other systems; nil registers no route.
	AlertSources *source.Service
	Incidents    Incidents // of the routes of duty and service levels; required with them

	Notifying     *Notifying    // contact points, routes, wordings, dispatch log; nil registers no route
	Casework      *Casework     // evidence, tasks, reports of incidents; nil registers no route
	Dispatch      *Dispatch     // work orders, disposal rules, archive and figures, beside Casework; nil registers no route
	ServiceLevels ServiceLevels // nil registers no route
	Watch         Watch         // over the suite itself
	Holdings      *Holdings

	Federation Federation // identity providers; nil: only local users sign in

	// Vulnerabilities are known ones, and Weaknesses the findings on assets; one that
	// is nil registers no route.
	Vulnerabilities  *library.Library
	Weaknesses       *finding.Service
	Scans            *scan.Service
	ScanScope        *scope.Service
	Surface          *surface.Service   // beside Scans
	Engines          *engine.Service    // scanners of other makers
	FindingTemplates *template.Shelf    // of reports of findings, beside Weaknesses
	Installed        *installed.Service // what judges inventories, beside Weaknesses

	// Forwarding sends events to other systems; nil registers no route.
	Forwarding *forwarding.Service

	// Inputs are the sources that administrators add; nil registers no route.
	Inputs *inputs.Service

	// Fleet is the agents on hosts; nil registers no route.
	Fleet *fleet.Service

	// Protocols are the APIs of other products that the suite speaks.
	Protocols []protocol.Protocol
	// Ingest takes events in over HTTP, at paths of these protocols. The frame has
	// found out who sends and read the body, as sent, within its bounds; the
	// handlers unpack it. IngestTenant tells them whose the events are.
	Ingest []Ingest

	// Console holds the built web console, index.html at its root; nil where
	// it was not built.
	Console fs.FS
	// Ready tells what keeps the suite from serving, by part; nil means always
	// ready. It is asked by /readyz, which needs no token, so it names states
	// and no secrets.
	Ready func(ctx context.Context) []PartHealth
	// RateLimits and Watermark are the settings in force; nil means none.
	RateLimits func() RateLimits
	Watermark  func() Watermark
	// WriteMetrics writes all processes' metrics in the Prometheus text format.
	WriteMetrics func(w io.Writer)

	Log     *slog.Logger
	Version string // the build's version, shown in the OpenAPI description

	MaxBody       int64         // bytes of an intake request as sent; default 64 MiB
	MaxUnpacked   int64         // bytes of an intake request once unpacked; default 256 MiB
	BodyMemory    int64         // bytes of all request bodies together; default MaxBody and MaxUnpacked
	SearchTimeout time.Duration // longest a search may take; default 1 minute
	StreamTimeout time.Duration // longest a streamed search may take; default 10 minutes
}

// Ingest is a handler of collectors that adds its routes to a router. Each of
// them will demand the scope ingest.
type Ingest interface{ Mount(router fiber.Router) }

// Audit is what the API asks of soc/audit.
type Audit interface {
	// Append makes the record durable before it returns.
	Append(ctx context.Context, rec audit.Record) error
	// Note records soon and merges repetitions: for what a stranger can cause
	// at will, so that he cannot fill the disk with it.
	Note(rec audit.Record)
	// Read makes durable that sensitive data was read, and merges repetitions.
	Read(ctx context.Context, rec audit.Record) error
	List(ctx context.Context, q audit.Query) (audit.Page, error)
	Actions(ctx context.Context) ([]string, error)
	Track(ctx context.Context, q audit.Query, limit int) (audit.Track, error)
	// Check verifies the log and records a break in it.
	Check(ctx context.Context) (audit.Report, error)
	Export(ctx context.Context, w io.Writer, from, to time.Time) (records int64, err error)
}

// Forward is what the API asks of soc/audit/forward.
type Forward interface {
	Status(ctx context.Context) ([]forward.Status, error)
}

// Tenant is a monitored tenant as the API shows it.
type Tenant struct {
	Slug            string          `json:"slug"`
	Name            detections.Text `json:"name"`
	Domain          string          `json:"domain"`
	ProtectionLevel int             `json:"protection_level" doc:"Level of the Chinese multi-level protection scheme, 1 to 5; 0 where it is not set"`
	AccountID       uint32          `json:"account_id"`
	Systems         int             `json:"systems" doc:"Business systems in the CMDB"`
}

// Tenants is what the API asks of soc/tenancy.
type Tenants interface {
	Get(slug string) (tenancy.Tenant, bool)
	List() []tenancy.Tenant
	Describe(ctx context.Context, slug string, c tenancy.Change) (tenancy.Tenant, error)
	SetClass(ctx context.Context, slug, class string) (tenancy.Tenant, error)
	Remove(ctx context.Context, slug, by, reason string) (tenancy.Removal, error)
	Restore(ctx context.Context, slug string, within time.Duration) (tenancy.Tenant, error)
	Removed() []tenancy.Removed
}

// RuleInfo is one rule of the running set, or one that was rejected.
type RuleInfo struct {
	ID         string           `json:"id"`
	Title      detections.Text  `json:"title"`
	Level      detections.Level `json:"level"`
	Kind       string           `json:"kind" doc:"sigma, correlation or filter"`
	Status     string           `json:"status" enum:"active,rejected,disabled"`
	Reason     string           `json:"reason,omitempty" doc:"Why it was rejected"`
	Path       string           `json:"path"`
	Line       int              `json:"line,omitempty"`
	Tactics    []string         `json:"tactics"`
	Techniques []string         `json:"techniques"`
	Tags       []string         `json:"tags"`
	Filters    []string         `json:"filters,omitempty" doc:"Ids of the Sigma filters that narrow it"`
	Knowledge  string           `json:"knowledge,omitempty" doc:"Id of the article of the knowledge base that it names"`
	Name       string           `json:"name,omitempty" doc:"Under which correlations may count it, beside its id"`
	Counts     []string         `json:"counts,omitempty" doc:"Of a correlation: the rules it counts, by name or id as they are written"`
	Hits       uint64           `json:"hits" doc:"Matches, of a correlation firings, since the rule is in force as it stands"`

	Cost     *rules.Cost     `json:"cost,omitempty" doc:"What it costs and brings; absent where it is not in force"`
	Throttle *rules.Throttle `json:"throttle,omitempty" doc:"That it does not run freely; absent where it does"`
	RuleKeeping
}

// RuleDetail is a rule with its text.
type RuleDetail struct {
	RuleInfo
	Source string `json:"source" doc:"The rule as it is written, YAML"`
}

// RuleReload is what a reload found.
type RuleReload struct {
	Active   int `json:"active"`
	Rejected int `json:"rejected"`

	Version string `json:"version" doc:"Of what was read: it is in force once rule-set says so"`
}

// RuleSet is the rules in force as a whole.
type RuleSet struct {
	Version   string           `json:"version" doc:"Of the set in force: a digest of all its files"`
	Loaded    string           `json:"loaded" doc:"Of the set that was last read"`
	InForce   bool             `json:"in_force" doc:"Whether these two are the same"`
	Since     time.Time        `json:"since" doc:"The set is in force since"`
	Rules     int              `json:"rules" doc:"In force, correlations too"`
	Rejected  int              `json:"rejected"`
	Swaps     uint64           `json:"swaps" doc:"How often a set was put in force since the engine started"`
	Program   int              `json:"program_bytes" doc:"Bytes that the matcher's program keeps"`
	Events    uint64           `json:"events" doc:"Events that detection saw since the engine started"`
	Held      uint64           `json:"held" doc:"Matches held back in floods since the engine started"`
	Phases    rules.Phases     `json:"phases"`
	Sets      []rules.SetUse   `json:"sets" nullable:"false" doc:"The last ten sets, the one in force at the end, and how many events each judged"`
	Throttled []rules.Throttle `json:"throttled" nullable:"false" doc:"Rules that do not run freely"`
	Windows   rules.Windows    `json:"windows" doc:"What correlations hold, what they lost for want of memory, and what changes of rules closed"`
}

// Rules is what the API asks of the rule set's keeper.
type Rules interface {
	List(ctx context.Context) ([]RuleInfo, error)
	// Get answers ErrNotFound where there is no such rule.
	Get(ctx context.Context, id string) (RuleDetail, error)
	Reload(ctx context.Context) (RuleReload, error)
	// RuleSet tells of the rules as a whole, as far as the engine answers.
	RuleSet(ctx context.Context) (RuleSet, error)
	// Apply puts what changed since the last time in force.
	Apply(ctx context.Context) error
	// Surroundings are what a rule is judged among before it is kept.
	Surroundings() rulebook.Surroundings
}

// CMDB is what the API asks of the room cmdb.
type CMDB interface {
	CMDBModels
	CMDBItems
	CMDBTopology
	CMDBFiles
	CMDBViews
	Classes() []cmdb.Class
	Items(ctx context.Context, scope reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	Get(ctx context.Context, scope reach.Reach, id string) (cmdb.Item, error)
	Relations(ctx context.Context, scope reach.Reach, id string) (cmdb.Relations, error)
	Propose(ctx context.Context, list []cmdb.Fields, remove []string, opts cmdb.ImportOptions) ([]cmdb.Proposal, cmdb.Report, error)
	Contacts(ctx context.Context, r reach.Reach, id string) ([]cmdb.Contact, error)
}

// IntakeStats sums up what came in and how far behind the pipeline is.
type IntakeStats struct {
	EventsTotal     uint64  `json:"events_total"`
	EventsPerSecond float64 `json:"events_per_second"`
	QueueMessages   uint64  `json:"queue_messages"`
	LagSeconds      float64 `json:"lag_seconds"`
	DroppedTotal    uint64  `json:"dropped_total"`
}

// Intake is what the API asks of the collectors and the bus.
type Intake interface {
	Sources(ctx context.Context) []collectors.Health
	Stats(ctx context.Context) IntakeStats
}

// PartHealth is the state of one part of the suite.
type PartHealth struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	State string `json:"state,omitempty"`
}

// TicketingOverview is the part of the overview that ticketing knows.
type TicketingOverview struct {
	Me struct {
		IncidentsOpen      int `json:"incidents_open"`
		IncidentsMine      int `json:"incidents_mine"`
		IncidentsBreaching int `json:"incidents_breaching"`
	} `json:"me"`
	Alerts struct {
		Open           int            `json:"open"`
		Unacknowledged int            `json:"unacknowledged"`
		BySeverity     map[string]int `json:"by_severity"`
	} `json:"alerts"`
	Incidents    []any `json:"incidents" doc:"The ten with the nearest deadline"`
	LatestAlerts []any `json:"latest_alerts" doc:"The ten latest"`
}

// Ticketing brings the routes for alerts, incidents, receivers and
// notifications, and its part of the overview.
type Ticketing interface {
	// Routes registers the routes with Register.
	Routes(s *Server)
	// Overview counts within the reach for the user of the given name.
	Overview(ctx context.Context, within reach.Reach, username string) (TicketingOverview, error)
}
