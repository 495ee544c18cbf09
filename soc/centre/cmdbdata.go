package centre

import (
	"context"

	"icewatch/cmdb"
	"icewatch/cmdb/approval"
	"icewatch/cmdb/inbox"
	"icewatch/cmdb/traffic"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
)

// approvals is where changes of protected items wait, and which items those are.
type approvals struct {
	desk   *approval.Desk
	policy func() approval.Policy
}

// openApprovals opens the desk where changes of protected items wait, and puts
// in force which those are.
func (c *centre) openApprovals(ctx context.Context) (err error) {
	if c.approvals.desk, err = approval.Open(ctx, c.cmdb.Database(), c.cmdb, nil); err != nil {
		return err
	}
	check := func(p approval.Policy) error {
		if err := p.Check(); err != nil {
			return err
		}
		return cmdb.CheckClasses(c.cmdb.Model(), p.Classes)
	}
	// A class that is gone from the model since must not keep the suite from
	// starting: what is stored is checked as far as it does not need the model.
	started := false
	policy, err := settings.Declare(ctx, c.settings, "cmdb-approval", identity.ScopeSystem, approval.DefaultPolicy, func(p approval.Policy) error {
		if !started {
			return p.Check()
		}
		return check(p)
	}, func(p approval.Policy) { c.cmdb.Protect(p.Classes) })
	if err != nil {
		return err
	}
	started = true
	c.approvals.policy = policy.Get
	c.cmdb.Protect(policy.Get().Classes)
	return nil
}

// openInbox opens the inbox of what is unknown to the CMDB.
func (c *centre) openInbox(ctx context.Context) error {
	policy, err := settings.Declare(ctx, c.settings, "cmdb-inbox", identity.ScopeConfigure, inbox.DefaultPolicy, inbox.Policy.Check)
	if err != nil {
		return err
	}
	c.inbox, err = inbox.Open(ctx, c.cmdb.Database(), inbox.Deps{Lake: c.engine, Items: c.cmdb, Policy: policy.Get, Log: c.log})
	return err
}

// openKeyAssets declares which items are key assets without being marked, and
// follows them.
func (c *centre) openKeyAssets(ctx context.Context) error {
	nudge := make(chan struct{}, 1)
	// As in openApprovals: a field that is gone from the model since must not keep
	// the suite from starting.
	started := false
	policy, err := settings.Declare(ctx, c.settings, "cmdb-key-assets", identity.ScopeConfigure, cmdb.DefaultKeyPolicy, func(p cmdb.KeyPolicy) error {
		if err := p.Check(); err != nil || !started {
			return err
		}
		return c.cmdb.CheckKeyRules(context.Background(), p)
	}, func(cmdb.KeyPolicy) {
		select {
		case nudge <- struct{}{}:
		default: // one is waiting already
		}
	})
	if err != nil {
		return err
	}
	started = true
	c.background(func(ctx context.Context) { c.cmdb.RunKeyAssets(ctx, policy.Get, nudge) })
	return nil
}

// openTraffic opens what proposes relations from flows.
func (c *centre) openTraffic(ctx context.Context) error {
	policy, err := settings.Declare(ctx, c.settings, "cmdb-traffic", identity.ScopeConfigure, traffic.DefaultPolicy, traffic.Policy.Check)
	if err != nil {
		return err
	}
	c.traffic, err = traffic.Open(ctx, traffic.Deps{Lake: c.engine, Items: c.cmdb, Policy: policy.Get, Log: c.log})
	return err
}

// runInbox gathers what is unknown, and what talks to what, once events can be
// asked for.
func (c *centre) runInbox(context.Context) error {
	c.background(c.inbox.Run)
	c.background(c.traffic.Run)
	return nil
}
