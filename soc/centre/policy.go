package centre

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"icewatch/detections/policy"
	"icewatch/detections/policy/decisions"
	"icewatch/detections/ruleset"
	"icewatch/soc/api"
	"icewatch/soc/condition"
	"icewatch/soc/config"
	"icewatch/soc/settings"
	"icewatch/ticketing/maintenance"
)

// policies keeps the policies in force, tells of those that are not, and logs
// what they decide.
type policies struct {
	shelf  *policy.Shelf
	log    *decisions.Log
	board  *condition.Board
	keys   policy.Keys
	logger *slog.Logger

	mu       sync.Mutex
	since    time.Time
	set      *policy.Set
	problems []policy.Problem
}

var _ api.Policies = (*policies)(nil)

// openPolicies opens the policies' memory and the log of their decisions.
func (c *centre) openPolicies(ctx context.Context) (*policies, error) {
	keys, err := policyKeys(&c.Config.Rules.Policy)
	if err != nil {
		return nil, err
	}
	log, err := decisions.Open(ctx, c.db, decisions.Options{Keep: c.Config.Rules.Policy.Decisions, Rate: c.Config.Rules.Policy.DecisionRate, Service: c.Version, Log: c.log})
	if err != nil {
		return nil, err
	}
	shelf, err := policy.OpenShelf(filepath.Join(c.Config.Data, "rules", "policies.good"), keys, log.Record)
	if err != nil {
		return nil, err
	}
	c.background(log.Run)
	return &policies{shelf: shelf, log: log, board: &c.wrong, keys: keys, logger: c.log}, nil
}

// policyKeys reads the keys of the configuration.
func policyKeys(c *config.PolicyTrust) (policy.Keys, error) {
	keys := policy.Keys{Keys: map[string]policy.Key{}, Required: c.RequireSignature, Trusted: []string{builtinSource}}
	for _, k := range c.Keys {
		pem, err := os.ReadFile(k.File)
		if err != nil {
			return keys, fmt.Errorf("configuration: rules.policy.keys: %q: %w", k.Name, err)
		}
		key := policy.Key{PEM: string(pem), Algorithm: k.Algorithm}
		if err := key.Check(); err != nil {
			return keys, fmt.Errorf("configuration: rules.policy.keys: %q in %s: %w", k.Name, k.File, err)
		}
		keys.Keys[k.Name] = key
	}
	return keys, nil
}

// load puts the policies of a bundle in force and answers those that are not,
// with an alarm for each that stands until its file is mended or taken away.
func (p *policies) load(b *ruleset.Bundle) (*policy.Set, []ruleset.Problem) {
	set, problems, err := p.shelf.Load(b.Policies())
	if err != nil {
		p.logger.Warn("policies: the last good state is not remembered: a broken file would have nothing to fall back to after a restart", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set != set {
		p.set, p.since = set, time.Now().UTC()
		for _, pkg := range set.Packages() {
			if pkg.Asked {
				p.logger.Info("policies: in force", "package", pkg.Name, "source", pkg.Source, "revision", pkg.Revision, "signed_by", pkg.SignedBy)
			}
		}
	}
	standing := map[string]bool{}
	out := make([]ruleset.Problem, 0, len(problems))
	for _, f := range problems {
		out = append(out, ruleset.Problem{Path: f.Path, Line: f.Line, Reason: f.Reason})
		if standing[f.Path] {
			continue // the first of a file's faults is the alarm
		}
		standing[f.Path] = true
		zh, en := "内置策略或其他来源的策略仍然有效", "what it would have replaced stays in force"
		if f.Kept {
			zh, en = "上一个有效版本继续生效", "its last good state stays in force"
		}
		if p.board.Set(condition.Condition{Kind: condition.PolicyRefused, Key: f.Path, Severity: condition.High, Text: condition.Text{
			ZH: fmt.Sprintf("策略文件 %s 被拒绝（%s）：%s", f.Path, f.Reason, zh), EN: fmt.Sprintf("the policy %s is refused: %s; %s", f.Path, f.Reason, en)}}) {
			p.logger.Warn("policies: refused", "file", f.Path, "line", f.Line, "reason", f.Reason, "last_good_kept", f.Kept)
		}
	}
	for _, c := range p.board.List() {
		if c.Kind == condition.PolicyRefused && !standing[c.Key] {
			p.board.Clear(c.Kind, c.Key)
		}
	}
	p.problems = problems
	return set, out
}

// Status implements api.Policies.
func (p *policies) Status() api.PolicyStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := api.PolicyStatus{Since: p.since, Packages: p.set.Packages(), Problems: append([]policy.Problem{}, p.problems...), Stats: p.set.Stats(),
		RequireSignature: p.keys.Required, Keys: append([]string{}, slices.Sorted(maps.Keys(p.keys.Keys))...), LogDropped: p.log.Dropped()}
	if n := out.Stats.Decisions; n > 0 {
		out.Mean = float64(out.Stats.Took.Microseconds()) / float64(n)
	}
	return out
}

// Decisions implements api.Policies.
func (p *policies) Decisions(ctx context.Context, q decisions.Query) ([]decisions.Decision, bool, error) {
	if err := p.log.Flush(ctx); err != nil {
		return nil, false, err
	}
	return p.log.Find(ctx, q)
}

// figures prints the metrics of the policies.
func (p *policies) figures(w io.Writer) {
	st := p.Status()
	fmt.Fprintf(w, "icewatch_policy_decisions_total %d\nicewatch_policy_cached_total %d\nicewatch_policy_failures_total %d\nicewatch_policy_seconds_total %g\n",
		st.Stats.Decisions, st.Stats.Cached, st.Stats.Failed, st.Stats.Took.Seconds())
	fmt.Fprintf(w, "icewatch_policies_refused %d\nicewatch_policy_log_dropped_total %d\n", len(st.Problems), st.LogDropped)
}

// Priority asks the policy in force; it implements ticketing.Judge.
func (k *keeper) Priority(ctx context.Context, a policy.Alert) (policy.Judgement, error) {
	return k.state.Load().policy.Priority(ctx, a)
}

// openMaintenance declares the setting that holds the maintenance windows, and
// answers their calendar.
func (c *centre) openMaintenance(ctx context.Context) (err error) {
	use := func(s maintenance.Schedule) { c.calendar.Store(maintenance.New(s)) }
	c.windows, err = settings.Declare(ctx, c.settings, "maintenance", "", maintenance.Schedule{Windows: []maintenance.Window{}}, maintenance.Schedule.Check, use)
	if err != nil {
		return err
	}
	use(c.windows.Get())
	return nil
}

// InForce implements ticketing.Maintenance.
func (c *centre) InForce(item, system, tenant string, at time.Time) []policy.Window {
	return c.calendar.Load().InForce(item, system, tenant, at)
}
