package centre

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/detections/policy"
	"icewatch/detections/ruleset"
	"icewatch/soc/api"
	"icewatch/soc/bus"
	"icewatch/soc/engine"
	"icewatch/soc/event"
)

// keeper keeps the rules in force: it watches the folders, compiles what
// changed to find its faults, hands it to the engine and holds the policy for
// ticketing.
type keeper struct {
	sources []ruleset.Source
	client  *bus.Client
	status  func(ctx context.Context) (engine.Status, error)
	log     *slog.Logger

	loading sync.Mutex
	seen    uint64 // fingerprint of the folders as last loaded
	state   atomic.Pointer[content]
}

type content struct {
	version  string
	rules    []ruleset.RuleInfo
	problems []ruleset.Problem
	policy   *policy.Set
}

var (
	_ api.Rules = (*keeper)(nil)
)

// load reads the folders and publishes them where they changed, or always if
// forced.
func (k *keeper) load(ctx context.Context, force bool) error {
	k.loading.Lock()
	defer k.loading.Unlock()
	print := fingerprint(k.sources)
	if !force && print == k.seen && k.state.Load() != nil {
		return nil
	}
	bundle := ruleset.Load(k.sources)
	old := k.state.Load()
	if old != nil && old.version == bundle.Version && !force {
		k.seen = print
		return nil
	}
	// Compiled here to name faults and list rules; the engine compiles its own.
	set, problems := ruleset.Compile(bundle, event.NewRegistry(0))
	data, err := bundle.Encode()
	if err != nil {
		return fmt.Errorf("centre: rules: %w", err)
	}
	if err := k.client.PublishControl(ctx, engine.TopicRules, data); err != nil {
		return fmt.Errorf("centre: rules: %w", err)
	}
	k.state.Store(&content{version: bundle.Version, rules: set.Rules(), problems: problems, policy: set.Policy()})
	k.seen = print
	for _, p := range problems {
		k.log.Warn("rules: not in force", "file", p.Path, "line", p.Line, "rule", p.RuleID, "reason", p.Reason)
	}
	k.log.Info("rules: loaded", "version", bundle.Version, "rules", len(set.Rules()), "rejected", len(problems))
	return nil
}

// watch looks at the folders until ctx ends.
func (k *keeper) watch(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := k.load(ctx, false); err != nil && ctx.Err() == nil {
				k.log.Error("rules: the change is not in force", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// fingerprint tells whether any file of the folders was touched.
func fingerprint(sources []ruleset.Source) uint64 {
	h := fnv.New64a()
	for _, s := range sources {
		_ = fs.WalkDir(s.FS, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // what cannot be read is named by the load
			}
			if info, err := d.Info(); err == nil {
				fmt.Fprintln(h, s.Name, path, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
	}
	return h.Sum64()
}

// Incident asks the policy in force; it implements ticketing.Policy.
func (k *keeper) Incident(ctx context.Context, in policy.IncidentInput) (policy.Decision, error) {
	return k.state.Load().policy.Incident(ctx, in)
}

// List implements api.Rules: the rules in force with their hits, and those
// that are not with the reason.
func (k *keeper) List(ctx context.Context) ([]api.RuleInfo, error) {
	st := k.state.Load()
	live, _ := k.status(ctx) // without the engine there are no hits to show
	out := make([]api.RuleInfo, 0, len(st.rules)+len(st.problems))
	for i := range st.rules {
		r := info(&st.rules[i])
		r.Hits = live.Hits[r.ID]
		if why, ok := live.Disabled[r.ID]; ok {
			r.Status, r.Reason = "rejected", "it failed while running: "+why
		}
		out = append(out, r)
	}
	for _, p := range st.problems {
		r := api.RuleInfo{ID: p.RuleID, Status: "rejected", Reason: p.Reason, Path: p.Path, Line: p.Line, Tactics: []string{}, Techniques: []string{}, Tags: []string{}}
		r.Title.ZH, r.Title.EN = p.Title, p.Title
		out = append(out, r)
	}
	return out, nil
}

func info(r *ruleset.RuleInfo) api.RuleInfo {
	return api.RuleInfo{ID: r.ID, Title: r.Title, Level: r.Level, Kind: r.Kind, Status: r.Status, Reason: r.Reason, Path: r.Path, Line: r.Line,
		Tactics: orEmpty(r.Tactics), Techniques: orEmpty(r.Techniques), Tags: orEmpty(r.Tags)}
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
		if live, err := k.status(ctx); err == nil {
			d.Hits = live.Hits[id]
		}
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
	return api.RuleReload{Active: len(st.rules), Rejected: len(st.problems)}, nil
}
