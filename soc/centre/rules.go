package centre

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	rules "icewatch/detections/engine"
	"icewatch/detections/policy"
	"icewatch/detections/ruleset"
	"icewatch/detections/verdict"
	"icewatch/soc/api"
	"icewatch/soc/bus"
	"icewatch/soc/engine"
	"icewatch/soc/event"
	"icewatch/soc/rulebook"
)

// keeper keeps the rules in force: it follows the folders, looks for faults in
// what changed, hands it to the engine and holds the policy for ticketing.
type keeper struct {
	client *bus.Client
	book   *rulebook.Book // the last of the sources, and what is switched off
	trend  *ruleTrend
	report func(ctx context.Context) (engine.RuleSet, error) // the engine's own word
	brief  func(ctx context.Context) (engine.RuleSet, error) // of it what figures are made of
	log    *slog.Logger

	loading  sync.Mutex
	loader   *ruleset.Loader
	policies *policies
	cache    ruleset.Cache
	state    atomic.Pointer[content]

	whole, part word // of report and brief
}

// word is what the engine said last.
type word struct {
	mu   sync.Mutex
	at   time.Time
	said engine.RuleSet
	err  error
}

type content struct {
	version  string
	rules    []ruleset.RuleInfo
	problems []ruleset.Problem
	policy   *policy.Set
	taxonomy *verdict.Taxonomy
	support  []ruleset.File // see support
}

var (
	_ api.Rules = (*keeper)(nil)
)

// load reads the folders and publishes them where they changed, or always if
// forced.
func (k *keeper) load(ctx context.Context, force bool) error {
	k.loading.Lock()
	defer k.loading.Unlock()
	if k.book.Importing() && !force {
		return nil // whoever imports applies it all at the end
	}
	if err := k.book.Refresh(); err != nil {
		k.log.Error("rules: what was changed by hand has no version", "error", err)
	}
	bundle := k.loader.Load(force)
	bundle.SetDisabled(k.book.OffIDs())
	if old := k.state.Load(); old != nil && old.version == bundle.Version && !force {
		return nil
	}
	// For faults and names alone: the engine makes the program.
	set, problems := k.cache.Compile(bundle, event.NewRegistry(0), ruleset.Options{FaultsOnly: true, NoPolicies: true})
	policies, refused := k.policies.load(bundle)
	problems = append(problems, refused...)
	bundle.Origin.Check, bundle.Origin.Sent = set.Timing(), time.Now().UTC()
	data, err := bundle.Encode()
	if err != nil {
		return fmt.Errorf("centre: rules: %w", err)
	}
	if err := k.client.PublishControl(ctx, engine.TopicRules, data); err != nil {
		return fmt.Errorf("centre: rules: %w", err)
	}
	k.state.Store(&content{version: bundle.Version, rules: set.Rules(), problems: problems, policy: policies, taxonomy: set.Taxonomy(), support: support(bundle)})
	for _, p := range problems {
		k.log.Warn("rules: not in force", "file", p.Path, "line", p.Line, "rule", p.RuleID, "reason", p.Reason)
	}
	k.log.Info("rules: loaded", "version", bundle.Version, "rules", len(set.Rules()), "rejected", len(problems),
		"parsed", set.Timing().Parsed, "reused", set.Timing().Reused)
	return nil
}

// watch follows the folders until ctx ends.
func (k *keeper) watch(ctx context.Context, dirs []string, every time.Duration) {
	ruleset.Follow(ctx, dirs, every, k.log, func() {
		if err := k.load(ctx, false); err != nil && ctx.Err() == nil {
			k.log.Error("rules: the change is not in force", "error", err)
		}
	})
}

// told returns the engine's own word on the rules, at most a second old.
func (k *keeper) told(ctx context.Context) (engine.RuleSet, error) {
	return k.whole.get(ctx, k.report)
}

// get asks, unless it was asked within a second.
func (w *word) get(ctx context.Context, ask func(context.Context) (engine.RuleSet, error)) (engine.RuleSet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.at) >= time.Second {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		w.said, w.err = ask(ctx)
		w.at = time.Now()
	}
	return w.said, w.err
}

// Incident asks the policy in force; it implements ticketing.Policy.
func (k *keeper) Incident(ctx context.Context, in policy.IncidentInput) (policy.Decision, error) {
	return k.state.Load().policy.Incident(ctx, in)
}

// Taxonomy is how the rules in force class alerts, nil before there are any.
func (k *keeper) Taxonomy() *verdict.Taxonomy {
	if st := k.state.Load(); st != nil {
		return st.taxonomy
	}
	return nil
}

// List implements api.Rules: the rules in force with what they cost, and those
// that are not with the reason.
func (k *keeper) List(ctx context.Context) ([]api.RuleInfo, error) {
	st := k.state.Load()
	live, _ := k.told(ctx) // without the engine there are no costs to show
	throttled := byRule(live.Throttled)
	out := make([]api.RuleInfo, 0, len(st.rules)+len(st.problems))
	for i := range st.rules {
		r := info(&st.rules[i])
		running(&r, &live, throttled)
		out = append(out, r)
	}
	named := map[ruleset.Problem]bool{}
	reject := func(p ruleset.Problem) {
		named[p] = true
		if listed(out, p) {
			return
		}
		r := api.RuleInfo{ID: p.RuleID, Status: "rejected", Reason: p.Reason, Path: p.Path, Line: p.Line, Tactics: []string{}, Techniques: []string{}, Tags: []string{}}
		r.Title.ZH, r.Title.EN = p.Title, p.Title
		out = append(out, r)
	}
	for _, p := range st.problems {
		reject(p)
	}
	if live.Version == st.version {
		for _, p := range live.Problems { // those that only a program of all rules shows
			if !named[p] {
				reject(p)
			}
		}
	}
	k.complete(out)
	return out, nil
}

// running adds what the engine knows of a rule.
func running(r *api.RuleInfo, live *engine.RuleSet, throttled map[string]*rules.Throttle) {
	if c, ok := live.Costs[r.ID]; ok && r.Status == ruleset.Active {
		r.Hits, r.Cost = c.Hits, &c
	}
	if t := throttled[r.ID]; t != nil {
		r.Throttle = t
		if t.State == rules.Failed {
			r.Status, r.Reason = "rejected", t.Reason.EN
		}
	}
}

func byRule(list []rules.Throttle) map[string]*rules.Throttle {
	m := make(map[string]*rules.Throttle, len(list))
	for i := range list {
		m[list[i].Rule] = &list[i]
	}
	return m
}

// RuleSet implements api.Rules.
func (k *keeper) RuleSet(ctx context.Context) (api.RuleSet, error) {
	st := k.state.Load()
	out := api.RuleSet{Loaded: st.version, Rejected: len(st.problems), Sets: []rules.SetUse{}, Throttled: []rules.Throttle{}, Windows: rules.Windows{EvictedBy: map[string]uint64{}, Closed: []rules.Closing{}}}
	live, err := k.told(ctx)
	if err != nil {
		return out, nil // the engine is not there to put it in force
	}
	out.Version, out.InForce, out.Since, out.Swaps, out.Program, out.Rules = live.Version, live.Version == st.version, live.Since, live.Swaps, live.Program, live.Rules
	out.Phases, out.Events, out.Held, out.Windows = live.Phases, live.Events, live.Held, live.Windows
	out.Sets, out.Throttled = append(out.Sets, live.Sets...), append(out.Throttled, live.Throttled...)
	if out.InForce {
		out.Rejected = len(live.Problems)
	}
	return out, nil
}

func info(r *ruleset.RuleInfo) api.RuleInfo {
	return api.RuleInfo{ID: r.ID, Title: r.Title, Level: r.Level, Kind: r.Kind, Status: r.Status, Reason: r.Reason, Path: r.Path, Line: r.Line,
		Tactics: orEmpty(r.Tactics), Techniques: orEmpty(r.Techniques), Tags: orEmpty(r.Tags), Filters: r.Filters, Name: r.Name, Counts: r.Counts, Knowledge: r.Knowledge}
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// Get implements api.Rules.
func (k *keeper) Get(ctx context.Context, id string) (api.RuleDetail, error) {
	st := k.state.Load()
	for i := range st.rules {
		if st.rules[i].ID != id {
			continue
		}
		d := api.RuleDetail{RuleInfo: info(&st.rules[i]), Source: st.rules[i].Source}
		if live, err := k.told(ctx); err == nil {
			running(&d.RuleInfo, &live, byRule(live.Throttled))
		}
		one := []api.RuleInfo{d.RuleInfo}
		k.complete(one)
		d.RuleInfo = one[0]
		return d, nil
	}
	return api.RuleDetail{}, api.ErrNotFound
}

// Reload implements api.Rules.
func (k *keeper) Reload(ctx context.Context) (api.RuleReload, error) {
	if err := k.load(ctx, true); err != nil {
		return api.RuleReload{}, err
	}
	st := k.state.Load()
	return api.RuleReload{Active: len(st.rules), Rejected: len(st.problems), Version: st.version}, nil
}
