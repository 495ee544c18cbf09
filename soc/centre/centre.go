// Package centre is the suite's first process put together: it opens state,
// bus, identity, CMDB, rules and ticketing, supervises the engine, and starts
// the collectors and the API last. It stops in the reverse order, so that what
// was taken in is durable before the bus closes.
package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/cmdb"
	"icewatch/cmdb/attachment"
	"icewatch/cmdb/drawing"
	"icewatch/cmdb/inbox"
	"icewatch/cmdb/risk"
	"icewatch/cmdb/subscription"
	"icewatch/cmdb/traffic"
	"icewatch/cmdb/view"
	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/collectors/otlp"
	"icewatch/detections/ruleset"
	"icewatch/rules"
	"icewatch/soc/alertmanager"
	"icewatch/soc/api"
	"icewatch/soc/aside"
	"icewatch/soc/audit"
	"icewatch/soc/audit/events"
	"icewatch/soc/audit/forward"
	"icewatch/soc/backup"
	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/config"
	"icewatch/soc/egress"
	"icewatch/soc/engine"
	"icewatch/soc/export"
	"icewatch/soc/forwarding"
	"icewatch/soc/identity"
	"icewatch/soc/identity/federation"
	"icewatch/soc/identity/provider"
	"icewatch/soc/inputs"
	"icewatch/soc/knowledge"
	"icewatch/soc/masking"
	"icewatch/soc/pipeline/packbook"
	"icewatch/soc/pipeline/processing/rulestore"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
	"icewatch/soc/saved"
	"icewatch/soc/saved/monitor"
	"icewatch/soc/seal"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/supervisor"
	"icewatch/soc/tenancy"
	"icewatch/soc/transport"
	"icewatch/soc/units"
	"icewatch/soc/watch"
	"icewatch/tenants"
	"icewatch/ticketing"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/daily"
	"icewatch/ticketing/duty"
	"icewatch/ticketing/maintenance"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/source"
	"icewatch/ticketing/wording"
)

// Options are what the command line gives beside the configuration.
type Options struct {
	Config        *config.Config
	ConfigFile    string   // the configuration was read from; "" where there is none
	AdminPassword string   // of the first administrator; "" generates one
	Version       string   // of the build
	Engine        []string // command that runs the engine
	Log           *slog.Logger
	Out           io.Writer // where the newcomer is greeted
}

// Run runs the centre until ctx ends, then drains and stops.
func Run(ctx context.Context, o Options) (err error) {
	c := &centre{Options: o, log: o.Log, run: filepath.Join(o.Config.Data, "run"), metrics: metrics.NewSet()}
	// Each step of the start leaves here how it is undone.
	defer func() {
		for i := len(c.undo) - 1; i >= 0; i-- {
			err = errors.Join(err, c.undo[i]())
		}
		c.log.Info("stopped")
	}()
	for _, step := range []func(context.Context) error{c.folder, c.openState, c.openMasking, c.openFederation, c.openProvider, c.openBus, c.openCMDB, c.openRules, c.openDuty, c.openTicketing, c.runDuty, c.openSubscriptions, c.openCasework, c.openDispatch, c.openAlertmanager, c.openWatch, c.openPackbook, c.startEngine, c.openExposure, c.openRisk, c.openGate, c.openSamples, c.openBackups, c.openSaved, c.openForwarding, c.openInputs, c.openFleet, c.openScans, c.openInstalled, c.openAlertSources, c.openElastic, c.openAPI, c.runSaved, c.runInbox, c.runSubscriptions, c.runForwarding, c.keepFigures, c.runAlertMail, c.startCollectors, c.runInputs} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	c.greet()
	debug.FreeOSMemory() // a start compiles and hashes much that is not needed again
	settled := time.NewTimer(settling)
	defer settled.Stop()
	for {
		select {
		case <-settled.C:
			debug.FreeOSMemory()
		case <-ctx.Done():
			c.log.Info("stopping: what was taken in is made durable first")
			return nil
		case err := <-c.failed:
			return err
		}
	}
}

// settling is when the first rounds of all that runs beside a start are over:
// what they needed is given back once more.
const settling = 5 * time.Second

type centre struct {
	Options
	log     *slog.Logger
	run     string
	metrics *metrics.Set
	undo    []func() error
	failed  chan error

	db            *state.DB
	identity      *identity.Service
	sso           *federation.Service
	provider      *provider.Service
	audit         *audit.Log
	events        *events.Feed       // the audit log's, into the lake
	forward       *forward.Forwarder // the audit log's records, to others
	seal          *seal.Box
	egress        *egress.Guard // of connections to URLs that users gave
	units         *units.Store
	masking       *masking.Store
	processing    *rulestore.Store
	settings      *settings.Store
	limits        *settings.Setting[api.RateLimits]
	watermark     *settings.Setting[api.Watermark]
	tenants       *tenancy.Registry
	reach         reach.Compiler
	otlp          *otlp.Handler
	cmdb          *cmdb.Service
	drawings      *drawing.Store
	knowledge     *knowledge.Store
	kept          *view.Store
	traffic       *traffic.Watch
	subscriptions *subscription.Service
	approvals     approvals
	inbox         *inbox.Inbox
	risk          *risk.Service
	exposure      exposure          // vulnerabilities and findings
	shelf         *attachment.Shelf // files of the CMDB's items
	aside         *aside.Store
	bus           *bus.Server
	client        *bus.Client
	publisher     bus.Publisher
	samples       samples
	keeper        *keeper
	windows       *settings.Setting[maintenance.Schedule]
	calendar      atomic.Pointer[maintenance.Calendar] // of windows
	tickets       *ticketing.Service
	called        *naming // items by what alerts call them
	duty          *duty.Store
	routes        *routing.Store
	wordings      *wording.Store
	casework      *api.Casework
	levels        *serviceLevels
	watch         *watch.Watch

	alertmanager *alertmanager.Service
	alertSources *source.Service
	watched      // what the watch over the suite needs
	engine       *engine.Client
	saved        *saved.Store
	elastic      protocol.Protocol
	exports      *export.Service
	monitors     *monitor.Service
	super        *supervisor.Supervisor
	gauge        *gauge
	flows        *flowAnalysis
	wrong        condition.Board // what the centre itself finds wrong
	backups      *backup.Service
	holds        atomic.Int32 // backups that need what is on the bus
	server       *api.Server
	first        identity.Bootstrap
	listener     *transport.Listener

	forwarding *forwarding.Service    // events, to others
	inputs     *inputs.Service        // sources that administrators add
	fleet      *fleet.Service         // agents on hosts
	agentsAt   atomic.Pointer[string] // where they are awaited
	agentsOff  atomic.Bool            // another program has the port
	packs      *packbook.Book         // parser packs that people make

	dispatch dispatch // of alerts and incidents, to others
}

func (c *centre) later(undo func() error) { c.undo = append(c.undo, undo) }

// background runs f until the centre stops; stopping waits for it.
func (c *centre) background(f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	c.later(func() error {
		cancel()
		<-done
		return nil
	})
}

func (c *centre) openState(ctx context.Context) (err error) {
	if c.db, err = state.Open(ctx, filepath.Join(c.Config.Data, "state", "icewatch.db")); err != nil {
		return err
	}
	c.later(c.db.Close)
	if c.seal, err = seal.Open(ctx, c.db, c.Config.KeyFile(), sealed(c.Config.Data)...); err != nil {
		return err
	}
	if c.egress, err = c.Config.Security.Egress.Guard(); err != nil {
		return err
	}
	if c.settings, err = settings.Open(ctx, c.db); err != nil {
		return err
	}
	if c.limits, err = settings.Declare(ctx, c.settings, "rate-limits", identity.ScopeSecurity, api.DefaultRateLimits, api.RateLimits.Check); err != nil {
		return err
	}
	if c.watermark, err = settings.Declare(ctx, c.settings, "watermark", identity.ScopeSecurity, api.DefaultWatermark, api.Watermark.Check); err != nil {
		return err
	}
	if err = c.openAudit(ctx); err != nil {
		return err
	}
	if err = c.openIdentity(ctx); err != nil {
		return err
	}
	if c.units, err = units.Open(ctx, c.db); err != nil {
		return err
	}
	c.units.KeepWhile(func(ctx context.Context, id string) (string, error) {
		n, err := c.identity.CountUsers(ctx, id)
		if n == 0 {
			return "", err
		}
		return fmt.Sprintf("%d users belong to it", n), err
	})
	if c.first, err = c.identity.EnsureAdmin(ctx, c.AdminPassword); err != nil {
		return err
	}
	c.background(c.identity.Run)
	catalogues := []fs.FS{tenants.FS}
	for _, dir := range c.Config.Tenants.Dirs {
		catalogues = append(catalogues, os.DirFS(dir))
	}
	if c.tenants, err = tenancy.Open(ctx, c.db, catalogues...); err != nil {
		return err
	}
	c.refreshReach()
	c.units.KeepWhile(func(_ context.Context, id string) (string, error) { return c.tenantOf(id), nil })
	c.tenants.OnChange(c.tenantsChanged)
	c.units.OnChange(func(*units.Tree) { c.refreshReach() })
	if c.aside, err = aside.Open(filepath.Join(c.Config.Data, "aside"), int64(c.Config.Bus.MinFree)); err != nil {
		return err
	}
	c.aside.Damaged = c.damaged()
	return nil
}

func (c *centre) openBus(ctx context.Context) (err error) {
	c.bus, err = bus.Open(ctx, bus.Options{Dir: filepath.Join(c.Config.Data, "bus"), MaxSize: int64(c.Config.Bus.MaxSize), MaxMetrics: int64(c.Config.Bus.MaxMetrics),
		MinFree: int64(c.Config.Bus.MinFree), Damaged: c.damaged(), Floor: func(epoch string) uint64 { return engine.Given(filepath.Join(c.Config.Data, "engine"), epoch) }, Log: c.log})
	if err != nil {
		return err
	}
	c.later(func() error { c.bus.Close(); return nil })
	if err := c.bus.ListenUnix(filepath.Join(c.run, "bus.sock")); err != nil {
		return err
	}
	if c.client, err = c.bus.Client(); err != nil {
		return err
	}
	c.later(func() error { c.client.Close(); return nil })
	c.engine = engine.NewClient(filepath.Join(c.run, "engine.sock"), c.accounts)
	return nil
}

// accounts turns tenants into the lake's account ids.
func (c *centre) accounts(slugs []string) []uint32 {
	if slugs == nil {
		list := c.tenants.List()
		ids := make([]uint32, len(list))
		for i := range list {
			ids[i] = list[i].AccountID
		}
		return ids
	}
	ids := make([]uint32, 0, len(slugs))
	for _, slug := range slugs {
		if t, ok := c.tenants.Get(slug); ok {
			ids = append(ids, t.AccountID)
		}
	}
	return ids
}

func (c *centre) openCMDB(ctx context.Context) (err error) {
	database, err := c.cmdbDatabase(ctx)
	if err != nil {
		return err
	}
	if c.cmdb, err = cmdb.Open(ctx, database, c.tenants); err != nil {
		return err
	}
	c.later(func() error { c.cmdb.Close(); return nil })
	if err := c.openApprovals(ctx); err != nil {
		return err
	}
	if err := c.openInbox(ctx); err != nil {
		return err
	}
	if err := c.openKeyAssets(ctx); err != nil {
		return err
	}
	if c.shelf, err = attachment.Open(ctx, c.cmdb.Database(), filepath.Join(c.Config.Data, "attachments"), nil); err != nil {
		return err
	}
	c.background(c.shelf.Run)
	if c.drawings, err = drawing.Open(ctx, c.cmdb.Database()); err != nil {
		return err
	}
	if c.knowledge, err = knowledge.Open(ctx, c.db, time.Now); err != nil {
		return err
	}
	if c.kept, err = view.Open(ctx, c.cmdb); err != nil {
		return err
	}
	if err := c.openTraffic(ctx); err != nil {
		return err
	}
	if err := errors.Join(c.publishTenants(ctx), c.openProcessing(ctx)); err != nil {
		return err
	}
	return c.openAssets(ctx)
}

func (c *centre) openRules(ctx context.Context) error {
	sources := []ruleset.Source{{Name: "builtin", FS: rules.FS}}
	if !c.Config.Rules.BuiltIn {
		sources[0].FS = rules.Foundation
	}
	for _, dir := range c.Config.Rules.Dirs {
		sources = append(sources, ruleset.Source{Name: dir, FS: os.DirFS(dir)})
	}
	book, err := c.openRulebook()
	if err != nil {
		return err
	}
	sources = append(sources, book.Source(), book.TestSource())
	policies, err := c.openPolicies(ctx)
	if err != nil {
		return err
	}
	if err := c.openMaintenance(ctx); err != nil {
		return err
	}
	c.keeper = &keeper{policies: policies, loader: ruleset.NewLoader(sources), book: book, trend: openTrend(filepath.Join(c.Config.Data, "rules", "trend.json")), client: c.client, log: c.log,
		report: func(ctx context.Context) (engine.RuleSet, error) { return c.engine.RuleSet(ctx) },
		brief:  func(ctx context.Context) (engine.RuleSet, error) { return c.engine.RulesBrief(ctx, maxRuleMetrics) }}
	if err := c.keeper.load(ctx, true); err != nil {
		return err
	}
	c.background(func(ctx context.Context) {
		c.keeper.watch(ctx, append(slices.Clone(c.Config.Rules.Dirs), book.Folder(), book.TestFolder()), time.Duration(c.Config.Rules.Interval))
	})
	c.background(func(ctx context.Context) {
		c.keeper.trend.watch(ctx, c.ruleHits, 20*time.Second, func(err error) {
			if err != nil {
				c.log.Warn("rules: the trend of hits is not saved", "error", err)
			}
		})
	})
	return nil
}

func (c *centre) openTicketing(ctx context.Context) (err error) {
	if err := c.openNotify(ctx); err != nil {
		return err
	}
	cfg, err := ticketingConfig(c.Config)
	if err != nil {
		return err
	}
	c.called = &naming{cmdb: c.cmdb, log: c.log}
	floors, err := settings.Declare(ctx, c.settings, "data-level-floors", identity.ScopeConfigure, ticketing.DefaultDataFloors(), ticketing.DataFloors.Check)
	if err != nil {
		return err
	}
	raise, err := c.openGeneration(ctx)
	if err != nil {
		return err
	}
	terms, err := c.openEventLevels(ctx)
	if err != nil {
		return err
	}
	c.tickets, err = ticketing.Open(ctx, c.db, ticketing.Deps{Generation: raise, EventTerms: terms, Attributes: items{c.cmdb}, Policy: c.keeper, Judge: c.keeper, Maintenance: c, Items: items{c.cmdb}, Criticalities: c.cmdb, KeyAssets: c.cmdb, DataLevels: c.cmdb, DataFloors: floors.Get, Relations: relations{c.cmdb}, Taxonomy: c.keeper.Taxonomy, Assigner: c.duty, Moves: c.mayMove, SLA: c.levels.Agreement, Reach: &c.reach, Seal: c.seal, Egress: c.egress, Config: cfg, Log: c.log,
		Suppressions: c.tellSuppressions, Routes: c.routes, Person: c.person, Wording: c.wordings.Wording,
		Files: func(ctx context.Context, ref string) ([]channel.File, error) { return daily.Attachment(ctx, c.db, ref) }})
	if err != nil {
		return err
	}
	c.background(c.tickets.Run)
	if dirs := c.Config.Rules.Dirs; len(dirs) > 0 {
		c.background(func(ctx context.Context) {
			c.followSuppressions(ctx, dirs, max(time.Duration(c.Config.Rules.Interval), time.Second))
		})
	}
	first, err := c.client.OccurrenceState(ctx)
	if err != nil {
		return err
	}
	c.background(func(ctx context.Context) { c.takeOccurrences(ctx, first.First) })
	return nil
}

func (c *centre) startEngine(context.Context) error {
	cfg := c.Config
	options := engine.Options{Dir: filepath.Join(cfg.Data, "engine"), BusSocket: filepath.Join(c.run, "bus.sock"), QuerySocket: filepath.Join(c.run, "engine.sock"),
		FlushInterval: time.Duration(cfg.Lake.FlushInterval), LakeMemory: int64(cfg.Lake.Memory), Garbage: int64(cfg.Memory.Garbage),
		MinFree: int64(cfg.Bus.MinFree), Relays: cfg.RelayPrefixes(), FieldsMax: cfg.Limits.Fields, NamesMax: cfg.Limits.Names,
		SenderIDs: cfg.Limits.SenderIDs, Keep: uint64(cfg.Bus.Keep), LogLevel: cfg.Log.Level, LogFormat: cfg.Log.Format,
		PackDirs: c.packDirs(), PackInterval: time.Duration(cfg.Parsers.Interval), GeoFiles: cfg.Geo.Files, GeoEnglish: cfg.Geo.Language == "en",
		Flood: floodBound(cfg.Rules.Flood), Slow: slowBound(cfg.Rules.Slow), CorrelationMemory: int64(cfg.Rules.Correlation.Memory), Lateness: time.Duration(cfg.Rules.Correlation.Lateness),
		Damaged: c.damaged(), ScrubPeriod: time.Duration(cfg.Lake.ScrubPeriod), ScrubRate: int64(cfg.Lake.ScrubRate),
		ColdDir: cfg.Lake.ColdDir, LakeNodes: lakeNodes(cfg), Metrics: engine.MetricOptions{Retention: time.Duration(cfg.Metrics.Retention), Remote: cfg.Metrics.Remote.Options()}}
	c.super = supervisor.New(supervisor.Child{Name: "engine", Command: c.Engine, Options: mortal{options, func() supervisor.Death { return c.super.Last() }, c.keeping}, PIDFile: filepath.Join(c.run, "engine.pid"), Log: c.log,
		Inside: func(ctx context.Context) error {
			options.Keeping = *c.keeping()
			return engine.Run(ctx, options, c.log.With("process", "engine"))
		}})
	c.background(c.super.Run)
	var err error
	if c.publisher, err = c.bus.Publisher(); err != nil {
		return err
	}
	c.later(func() error { c.publisher.Close(); return nil })
	c.background(func(ctx context.Context) { c.events.Run(ctx, c.publisher) })
	c.gauge = &gauge{publisher: c.publisher, client: c.client, engine: c.engine, restarts: c.super.Restarts, conditions: c.conditions}
	c.background(c.gauge.measure)
	c.background(c.watchDisks)
	return nil
}

func (c *centre) startCollectors(ctx context.Context) error {
	deps := collectors.Deps{Sink: c.gate.Losing(), Aside: c.aside, Log: c.log, Metrics: c.metrics}
	sources, err := c.sources(deps)
	if err != nil {
		return err
	}
	for _, s := range sources {
		if err := s.Start(ctx); err != nil {
			if c.mayBeTaken(s, err) {
				continue
			}
			return err
		}
		c.later(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			return s.Stop(ctx)
		})
	}
	return nil
}
