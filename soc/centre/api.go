package centre

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"icewatch/collectors"
	"icewatch/collectors/elasticbulk"
	"icewatch/collectors/httppush"
	"icewatch/collectors/lokipush"
	"icewatch/collectors/remotewrite"
	"icewatch/collectors/webbody"
	"icewatch/soc/api"
	"icewatch/soc/console"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/identity/policy"
	"icewatch/soc/traces"
	"icewatch/soc/transport"
)

func (c *centre) openAPI(ctx context.Context) (err error) {
	cfg := c.Config
	deps := collectors.Deps{Sink: c.gate.Answering(), Aside: c.aside, Log: c.log, Metrics: c.metrics}
	limits := webbody.Limits{MaxBody: int(cfg.HTTP.MaxBody), MaxDecoded: int(cfg.HTTP.MaxUnpacked)}
	elastic := elasticbulk.New(deps.Sink, deps.Aside, api.IngestTenant, elasticbulk.Options{Limits: limits, Zone: cfg.Syslog.Zone, Metrics: c.metrics, Log: c.log})
	loki := lokipush.New(deps.Sink, deps.Aside, api.IngestTenant, lokipush.Options{Limits: limits, Zone: cfg.Syslog.Zone, Metrics: c.metrics, Log: c.log})
	push := httppush.New(deps.Sink, deps.Aside, api.IngestTenant, httppush.Options{Limits: limits, Zone: cfg.Syslog.Zone, Metrics: c.metrics, Log: c.log})
	c.newOTLP(deps, limits)
	samples := remotewrite.New(c.samples.sink, c.samples.catalogue, api.IngestTenant, remotewrite.Options{Limits: limits, Held: c.samples.limits, Metrics: c.metrics, Log: c.log})
	for _, h := range []func() collectors.Health{elastic.Health, loki.Health, push.Health, samples.Health} {
		c.gauge.health = append(c.gauge.health, h)
	}
	own, err := api.DeclareSettings(ctx, c.settings)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(cfg.Data, "log"), 0o700); err != nil {
		return fmt.Errorf("the data folder cannot be used: %w", err)
	}
	decisions := policy.NewLog(&lumberjack.Logger{Filename: filepath.Join(cfg.Data, "log", "decisions.ndjson"), MaxSize: 50, MaxBackups: 5, Compress: true}, c.log)
	c.later(decisions.Close)
	backtests, err := c.openBacktests(ctx)
	if err != nil {
		return err
	}
	entities, err := c.openEntities(ctx)
	if err != nil {
		return err
	}
	c.server, err = api.New(api.Deps{
		Backtests: backtests, Entities: entities,
		Vulnerabilities: c.exposure.library, Weaknesses: c.exposure.findings, Scans: c.exposure.scans, ScanScope: c.exposure.scope, Surface: c.exposure.surface, Engines: c.exposure.engines, Installed: c.exposure.installed, FindingTemplates: c.exposure.templates, Findings: finding.ForPortrait{Service: c.exposure.findings},
		Identity: c.identity, Audit: c.audit, Forward: c.forward, Settings: c.settings, Keys: c.seal, RateLimits: c.limits.Get, Watermark: c.watermark.Get, Own: own, Units: c.units, Decisions: decisions, Tenants: c.tenants, Reach: &c.reach, CMDB: c.cmdb, Drawings: c.drawings, Subscriptions: c.subscriptions, Views: c.kept, Traffic: c.traffic, Risk: c.risk, Approvals: c.approvals.desk, Inbox: c.inbox, Attachments: c.shelf, ApprovalPolicy: c.approvals.policy, Search: c.slow.Watch(c.engine, api.Caller), Masking: c.masking, Metrics: c.engine, Saved: c.saved, Exports: c.exports, Aside: c.aside, Rules: c.keeper, Knowledge: c.knowledge, Taxonomy: c.keeper.Taxonomy, Policies: c.keeper.policies, Maintenance: c.windows, Rulebook: c.keeper.book,
		Federation: c.sso, Provider: c.provider, Intake: c.gauge, Watch: c.watch, Holdings: c.holdings(), Backups: c.backups, Ticketing: api.NewTicketing(c.tickets), Duty: c.duty, Incidents: c.tickets, ServiceLevels: c.levels, Protocols: c.protocols(), Ingest: []api.Ingest{elastic, loki, push, samples},
		Casework: c.casework, Dispatch: &c.dispatch.Dispatch, AlertSources: c.alertSources, Notifying: &api.Notifying{Tickets: c.tickets, Routes: c.routes, Wordings: c.wordings},
		Flows: c.openFlows(c.engine), Parsers: c.openParsers(), Processing: treatment{c.processing, c.engine}, OwnPacks: c.packs, Traces: traces.New(c.engine), LogQL: c.logql(), Monitors: c.monitors, Forwarding: c.forwarding, Inputs: c.inputs, Fleet: c.fleet,
		Console: console.FS, Ready: c.gauge.parts, WriteMetrics: func(w io.Writer) { c.gauge.write(w, c.metrics) },
		Log: c.log, Version: c.Version, MaxBody: int64(cfg.HTTP.MaxBody), MaxUnpacked: int64(cfg.HTTP.MaxUnpacked),
	})
	if err != nil {
		return err
	}
	if err := c.openOTLP(); err != nil {
		return err
	}
	c.listener, err = transport.Listen(transport.Options{Listen: cfg.HTTP.Listen, Plain: cfg.HTTP.TLSCert == "" && (cfg.Loopback() || cfg.HTTP.Insecure),
		Provider: cfg.HTTP.TLSProvider, Cert: cfg.HTTP.TLSCert, Key: cfg.HTTP.TLSKey, Dir: filepath.Join(cfg.Data, "tls"), Log: c.log})
	if err != nil {
		return err
	}
	c.background(c.listener.Run)
	local := filepath.Join(c.run, "icewatch.sock")
	_ = os.Remove(local)
	peer, err := net.Listen("unix", local)
	if err != nil {
		return errors.Join(fmt.Errorf("centre: %w", err), c.listener.Close())
	}
	if err := os.Chmod(local, 0o600); err != nil {
		return fmt.Errorf("centre: %w", err)
	}
	var serving sync.WaitGroup
	for _, l := range []net.Listener{c.listener, peer} {
		serving.Go(func() {
			if err := c.server.Serve(l); err != nil {
				c.failed <- err
			}
		})
	}
	c.later(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := c.server.Shutdown(ctx)
		serving.Wait()
		return err
	})
	return nil
}
