package centre

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"icewatch/soc/audit"
	"icewatch/soc/audit/events"
	"icewatch/soc/audit/forward"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
)

// auditDir holds what the audit log keeps outside the database.
func auditDir(data string) string { return filepath.Join(data, "audit") }

// openAudit opens the audit log, which needs the state, the master key and the
// settings, begins to watch it and to forward it.
func (c *centre) openAudit(ctx context.Context) (err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "icewatch"
	}
	c.events = events.New(host, c.log)
	c.audit, err = audit.Open(ctx, c.db, audit.Options{Dir: auditDir(c.Config.Data), Seal: c.seal, Watch: c.events.Watch, Log: c.log})
	if err != nil {
		return err
	}
	c.later(c.audit.Close)
	policy, err := settings.Declare(ctx, c.settings, "audit", identity.ScopeAudit, audit.DefaultPolicy(), audit.Policy.Check)
	if err != nil {
		return err
	}
	c.background(func(ctx context.Context) { c.audit.Run(ctx, policy.Get) })

	c.forward = forward.New(c.db, c.audit, forward.Options{Dial: c.egress.Dialer(10 * time.Second).DialContext,
		Secrets: filepath.Join(auditDir(c.Config.Data), "secrets"), Log: c.log})
	targets, err := settings.Declare(ctx, c.settings, "audit-forward", identity.ScopeAudit, forward.Config{Targets: []forward.Target{}}, forward.Config.Check, c.forward.Set)
	if err != nil {
		return err
	}
	c.forward.Set(targets.Get())
	c.background(c.forward.Run)
	return nil
}
