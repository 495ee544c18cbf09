package ticketing

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/reach"
	"icewatch/ticketing/inhibition"
)

// byInhibition begins what says that a rule of inhibition mutes an alert; the
// rule's id follows.
const byInhibition = "inhibition/"

// Inhibited says which rule mutes an alert, and by which other one.
type Inhibited struct {
	RuleID  string `json:"rule_id"`
	Rule    string `json:"rule" doc:"Its name"`
	AlertID string `json:"alert_id,omitempty" doc:"The alert that mutes it; absent where it is another tenant's"`
}

// reloadEvery is how soon after alerts were closed or opened by other means than
// firing what mutes others is read again.
const reloadEvery = 5 * time.Second

// inhibiting keeps at hand which open alerts may mute others.
type inhibiting struct {
	store *inhibition.Store

	mu     sync.RWMutex
	table  *inhibition.Table
	names  map[string]string // of rules, by id
	tenant map[string]string // of alerts that may mute others, by id
	read   time.Time
	rules  int // in force

	muted atomic.Uint64 // alerts left out of notifications
}

func openInhibiting(ctx context.Context, s *Service) (*inhibiting, error) {
	store, err := inhibition.Open(ctx, s.db, s.clock)
	if err != nil {
		return nil, err
	}
	h := &inhibiting{store: store, table: inhibition.NewTable(nil)}
	return h, nil
}

// any tells whether a rule is in force.
func (h *inhibiting) any() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return !h.table.Empty()
}

// sizes counts the rules in force, the open alerts that may mute others by them,
// and how often an alert was left out of a notification because of one.
func (h *inhibiting) sizes() (rules, sources int, muted uint64) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rules, h.table.Sources(), h.muted.Load()
}

// reloadInhibition reads the rules and the open alerts anew.
func (s *Service) reloadInhibition(ctx context.Context) error {
	h := s.inhibit
	rules, err := h.store.List(ctx)
	if err != nil {
		return fmt.Errorf("ticketing: %w", err)
	}
	table, names, tenant := inhibition.NewTable(rules), map[string]string{}, map[string]string{}
	inForce := 0
	for _, r := range rules {
		if names[r.ID] = r.Name; !r.Off {
			inForce++
		}
	}
	// What fires in the meantime is taken into the old table and lost with it:
	// so nobody may fire while the open alerts are read.
	s.live.reopened.Store(false)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !table.Empty() {
		if err := s.eachOpen(ctx, reach.All(), func(a *alert) bool {
			table.Fires(a.ID, a.Tenant, a.matchable())
			tenant[a.ID] = a.Tenant
			return true
		}); err != nil {
			return err
		}
	}
	h.table, h.names, h.tenant, h.read, h.rules = table, names, tenant, s.now(), inForce
	return nil
}

// freshenInhibition reads the open alerts anew where some were closed or opened,
// and tells whether it did.
func (s *Service) freshenInhibition(ctx context.Context, now time.Time) (bool, error) {
	h := s.inhibit
	h.mu.RLock()
	wait := h.table.Empty() || now.Sub(h.read) < reloadEvery && !now.Before(h.read)
	h.mu.RUnlock()
	if wait || !s.live.reopened.Load() {
		return false, nil
	}
	return true, s.reloadInhibition(ctx)
}

// firesInhibition takes alerts that have fired, after the commit.
func (s *Service) firesInhibition(alerts []*alert) {
	h := s.inhibit
	if len(alerts) == 0 || !h.any() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range alerts {
		if a.Status != StatusClosed {
			h.table.Fires(a.ID, a.Tenant, a.matchable())
			h.tenant[a.ID] = a.Tenant
		}
	}
}

// inhibitedBy tells by what an alert is inhibited now.
func (s *Service) inhibitedBy(a *alert) []Inhibited {
	h := s.inhibit
	if a.Status == StatusClosed || !h.any() {
		return nil
	}
	set := a.matchable()
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []Inhibited
	for _, m := range h.table.Mutes(a.ID, a.Tenant, set) {
		by := Inhibited{RuleID: m.Rule, Rule: h.names[m.Rule]}
		if h.tenant[m.Source] == a.Tenant {
			by.AlertID = m.Source
		}
		out = append(out, by)
	}
	return out
}

// mayInhibit tells whether all that a rule mutes is within a reach.
func mayInhibit(r reach.Reach, rule *inhibition.Rule) bool {
	if len(rule.Tenants) == 0 {
		return r.Everything()
	}
	return !slices.ContainsFunc(rule.Tenants, func(t string) bool { return !r.CoversWhole(t) })
}

// Inhibitions lists the rules of inhibition that mute nothing beyond a reach. Of
// another one whoever sees an alert that it mutes learns its name there.
func (s *Service) Inhibitions(ctx context.Context, r reach.Reach) ([]inhibition.Rule, error) {
	list, err := s.inhibit.store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	return slices.DeleteFunc(list, func(rule inhibition.Rule) bool { return !mayInhibit(r, &rule) }), nil
}

// SetInhibition makes a rule of inhibition, or changes the one whose id it
// carries. All that it mutes, and muted before, must be within the actor's reach.
func (s *Service) SetInhibition(ctx context.Context, by Actor, rule inhibition.Rule) (inhibition.Rule, error) {
	if rule.ID != "" {
		if err := s.ownInhibition(ctx, by, rule.ID); err != nil {
			return rule, err
		}
	}
	if !mayInhibit(by.Reach, &rule) {
		return rule, fmt.Errorf("%w: tenants: the rule mutes more than is within your reach: name tenants that are whole within it", inhibition.ErrInvalid)
	}
	made, err := s.inhibit.store.Set(ctx, by.Name, rule)
	if err != nil {
		return rule, err
	}
	s.note(ctx, Change{Actor: by.Name, Action: "inhibition.set", Object: made.ID, Detail: made.Name})
	return made, s.changedInhibition(ctx)
}

// DeleteInhibition takes a rule out of force; what it muted is told.
func (s *Service) DeleteInhibition(ctx context.Context, by Actor, id string) error {
	if err := s.ownInhibition(ctx, by, id); err != nil {
		return err
	}
	if err := s.inhibit.store.Delete(ctx, id); err != nil {
		return err
	}
	s.note(ctx, Change{Actor: by.Name, Action: "inhibition.delete", Object: id})
	return s.changedInhibition(ctx)
}

// RestoreInhibition brings back a rule that was deleted.
func (s *Service) RestoreInhibition(ctx context.Context, by Actor, id string) (inhibition.Rule, error) {
	if err := s.ownInhibition(ctx, by, id); err != nil {
		return inhibition.Rule{}, err
	}
	if err := s.inhibit.store.Restore(ctx, id); err != nil {
		return inhibition.Rule{}, err
	}
	s.note(ctx, Change{Actor: by.Name, Action: "inhibition.restore", Object: id})
	if err := s.changedInhibition(ctx); err != nil {
		return inhibition.Rule{}, err
	}
	return s.inhibit.store.Get(ctx, id)
}

// ownInhibition refuses a rule that mutes more than is within the actor's reach,
// as if there were none.
func (s *Service) ownInhibition(ctx context.Context, by Actor, id string) error {
	rule, err := s.inhibit.store.Get(ctx, id)
	if err == nil && !mayInhibit(by.Reach, &rule) {
		err = fmt.Errorf("rule %.64q: %w", id, inhibition.ErrNotFound)
	}
	return err
}

func (s *Service) changedInhibition(ctx context.Context) error {
	s.unmute.Store(true)
	defer s.nudge()
	return s.reloadInhibition(ctx)
}

// PreviewInhibition tells which open alerts in reach a rule would mute now: limit
// of them, and how many there are.
func (s *Service) PreviewInhibition(ctx context.Context, r reach.Reach, rule inhibition.Rule, limit int) (items []Alert, total int, err error) {
	if err := rule.Check(); err != nil {
		return nil, 0, err
	}
	rule.ID, rule.Off = "preview", false
	table := inhibition.NewTable([]inhibition.Rule{rule})
	if err := s.eachOpen(ctx, r, func(a *alert) bool {
		table.Fires(a.ID, a.Tenant, a.matchable())
		return true
	}); err != nil {
		return nil, 0, err
	}
	items = []Alert{}
	err = s.eachOpen(ctx, r, func(a *alert) bool {
		if len(table.Mutes(a.ID, a.Tenant, a.matchable())) > 0 {
			if total++; total <= limit {
				v := s.shown(a)
				v.veiled(r.Veil())
				items = append(items, v)
			}
		}
		return true
	})
	return items, total, err
}
