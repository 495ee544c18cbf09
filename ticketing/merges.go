package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/reach"
	"icewatch/ticketing/merging"
)

// How merge rules make incidents. An alert that no incident holds after it was
// judged goes into the book of the first rule that accepts it. Soon after, Run
// puts the alerts of its key into groups; one that is large enough becomes an
// incident, which takes in what the group gains later. What other ways of
// grouping hold stays there, and an incident of a merge rule draws in nothing by
// itself.
//
// SQL owns which incident holds an alert. The book only knows which alerts are to
// be looked at together, and is read anew after a start and when rules change.

// Bounds of the book, in alerts: of all, and of one page. Beyond the first the
// oldest half of the pages is let go, beyond the second the oldest half of the
// page: what is alone so far then stays alone.
const (
	maxBooked = 50_000
	maxPaged  = 5_000
)

// Merged says of an incident which merge rule made it.
type Merged struct {
	RuleID string            `json:"rule_id"`
	Rule   string            `json:"rule" doc:"Its name then"`
	By     map[string]string `json:"by,omitempty" doc:"The labels that its alerts have in common"`
}

// apart tells that an incident draws in nothing by items and actors.
func (i *incident) apart() bool { return i.doc.Root != nil || i.doc.Merge != nil }

// booked is an alert in the book.
type booked struct {
	merging.Alert
	incident string // that holds it; "" where none does
}

// page is the alerts of one key of one rule.
type page struct {
	rule   *merging.Rule
	alerts map[string]*booked
	by     map[string]string
	last   int64 // Unix milliseconds, of the latest of its alerts
}

// merges are the merge rules in force and what they look at.
type merges struct {
	store *merging.Store
	// Whether the shipped ways of grouping are switched off.
	attacksOff, faultsOff atomic.Bool

	settling sync.Mutex // one at a time

	mu    sync.Mutex // guards what follows
	rules []merging.Rule
	pages map[[2]string]*page // by rule and key
	due   map[[2]string]bool
	at    map[string][2]string // of alerts, by id: the page that they stand on
}

func openMerges(ctx context.Context, s *Service) (*merges, error) {
	store, err := merging.Open(ctx, s.db, s.clock)
	if err != nil {
		return nil, err
	}
	return &merges{store: store}, nil
}

// reloadMerges reads the rules, and the open alerts that they may merge still.
func (s *Service) reloadMerges(ctx context.Context) error {
	m := s.merges
	all, err := m.store.List(ctx)
	if err != nil {
		return fmt.Errorf("ticketing: %w", err)
	}
	var rules []merging.Rule
	var widest time.Duration
	for _, r := range all {
		switch {
		case r.Kind == merging.Attack:
			m.attacksOff.Store(r.Off)
		case r.Kind == merging.Fault:
			m.faultsOff.Store(r.Off)
		case !r.Off:
			rules, widest = append(rules, r), max(widest, r.Window)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules, m.pages, m.due, m.at = rules, map[[2]string]*page{}, map[[2]string]bool{}, map[string][2]string{}
	if len(rules) == 0 {
		return nil
	}
	since := s.now().Add(-2 * widest)
	return s.eachOpen(ctx, reach.All(), func(a *alert) bool {
		if when(a.LastSeen).Before(since) || len(m.at) >= maxBooked {
			return false
		}
		m.book(a)
		return true
	})
}

// count counts the rules of the kind Alerts in force.
func (m *merges) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rules)
}

// book writes an alert down under the first rule that accepts it. The caller
// holds the lock.
func (m *merges) book(a *alert) {
	if a.Fault || a.Status == StatusClosed {
		m.strike(a.ID)
		return
	}
	set := a.matchable()
	for i := range m.rules {
		r := &m.rules[i]
		key, ok := r.Key(a.Tenant, set)
		if !ok {
			continue
		}
		at := [2]string{r.ID, key}
		if was, there := m.at[a.ID]; there && was != at {
			m.strike(a.ID)
		}
		p := m.pages[at]
		if p == nil {
			p = &page{rule: r, alerts: map[string]*booked{}, by: map[string]string{}}
			for _, name := range r.By {
				p.by[name] = set[name]
			}
			m.pages[at] = p
		}
		b := p.alerts[a.ID]
		if b == nil {
			b = &booked{}
			p.alerts[a.ID], m.at[a.ID] = b, at
		}
		b.Alert = merging.Alert{ID: a.ID, First: a.FirstSeen, Last: a.LastSeen, Text: r.TextOf(a.doc.Title.ZH+"\n"+a.doc.Title.EN, set)}
		if b.incident = ""; a.Held {
			b.incident = a.IncidentID
		}
		p.last = max(p.last, a.LastSeen)
		if b.incident == "" {
			m.due[at] = true
		}
		return
	}
	m.strike(a.ID)
}

// strike takes an alert out of the book.
func (m *merges) strike(id string) {
	at, there := m.at[id]
	if !there {
		return
	}
	delete(m.at, id)
	p := m.pages[at]
	if delete(p.alerts, id); len(p.alerts) == 0 {
		delete(m.pages, at)
		delete(m.due, at)
	}
}

// noteMerges takes alerts that have fired, after the commit, and tells whether
// there is anything to look at.
func (s *Service) noteMerges(alerts []*alert) bool {
	m := s.merges
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rules) == 0 {
		return false
	}
	for _, a := range alerts {
		m.book(a)
	}
	m.bound()
	return len(m.due) > 0
}

// bound keeps the book small.
func (m *merges) bound() {
	if len(m.at) <= maxBooked {
		return
	}
	keys := slices.SortedFunc(maps.Keys(m.pages), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(m.pages[a].last, m.pages[b].last), slices.Compare(a[:], b[:]))
	})
	for _, k := range keys {
		if len(m.at) <= maxBooked/2 {
			return
		}
		for id := range m.pages[k].alerts {
			m.strike(id)
		}
	}
}

// ripe is a group of alerts that a rule makes, or has made, one incident.
type ripe struct {
	rule    *merging.Rule
	by      map[string]string
	free    []string // ids of alerts that no incident holds
	holders []string // incidents that hold others of the group
}

// stirred returns what stands on the pages that are to be looked at.
func (m *merges) stirred() (out []page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, at := range slices.SortedFunc(maps.Keys(m.due), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		delete(m.due, at)
		p := m.pages[at]
		if p == nil {
			continue
		}
		for id, b := range p.alerts {
			if p.last-b.Last > 2*p.rule.Window.Milliseconds() {
				m.strike(id) // nothing that comes now belongs to it
			}
		}
		if len(p.alerts) > maxPaged {
			ids := slices.SortedFunc(maps.Keys(p.alerts), func(a, b string) int {
				return cmp.Or(cmp.Compare(p.alerts[a].Last, p.alerts[b].Last), strings.Compare(a, b))
			})
			for _, id := range ids[:len(ids)-maxPaged/2] {
				m.strike(id)
			}
		}
		seen := page{rule: p.rule, by: p.by, alerts: make(map[string]*booked, len(p.alerts))}
		for id, b := range p.alerts {
			one := *b
			seen.alerts[id] = &one
		}
		out = append(out, seen)
	}
	return out
}

// ripe returns the groups that may have become large enough. Texts are compared
// without the lock, which every firing waits for.
func (m *merges) ripe() (out []ripe) {
	for _, p := range m.stirred() {
		list := make([]merging.Alert, 0, len(p.alerts))
		for _, b := range p.alerts {
			list = append(list, b.Alert)
		}
		for _, members := range p.rule.Groups(list) {
			r := ripe{rule: p.rule, by: p.by}
			for _, a := range members {
				if b := p.alerts[a.ID]; b.incident == "" {
					r.free = append(r.free, a.ID)
				} else {
					r.holders = union(r.holders, b.incident)
				}
			}
			if len(r.free) > 0 && (len(r.holders) > 0 || len(r.free) >= p.rule.Least) {
				out = append(out, r)
			}
		}
	}
	return out
}

// hold writes down which incidents hold alerts, and lets go of closed ones.
func (m *merges) hold(alerts []looked) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range alerts {
		at, there := m.at[a.id]
		switch {
		case !there:
		case a.closed:
			m.strike(a.id)
		default:
			m.pages[at].alerts[a.id].incident = a.incident
		}
	}
}

// looked is what has become of an alert that was looked at.
type looked struct {
	id, incident string
	closed       bool
}

// settleMerges makes incidents of the alerts that merge rules put together.
func (s *Service) settleMerges(ctx context.Context, now time.Time) error {
	m := s.merges
	m.settling.Lock()
	defer m.settling.Unlock()
	groups := m.ripe()
	if len(groups) == 0 {
		return nil
	}
	var c *correlation
	var seen []looked
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		c, seen = s.newCorrelation(tx, now), nil
		for _, g := range groups {
			found, err := c.applyMerge(ctx, &g)
			if err != nil {
				return err
			}
			for _, a := range found {
				x := looked{id: a.ID, closed: a.Status == StatusClosed}
				if a.Held {
					x.incident = a.IncidentID
				}
				seen = append(seen, x)
			}
		}
		return c.finishFaults(ctx)
	})
	if err != nil {
		m.mu.Lock()
		for at := range m.pages { // all of them, once: it is not known which were left
			m.due[at] = true
		}
		m.mu.Unlock()
		return fmt.Errorf("ticketing: merge alerts by rules: %w", err)
	}
	m.hold(seen)
	s.count(func(st *Stats) { st.Incidents += uint64(c.opened) })
	s.note(ctx, c.changes...)
	if len(c.dirty) > 0 {
		s.nudge()
		s.out.Wake()
	}
	return nil
}

// applyMerge has one incident hold the alerts of a group, and returns those that
// it looked at.
func (c *correlation) applyMerge(ctx context.Context, g *ripe) ([]*alert, error) {
	found, err := c.wholes(ctx, c.tx, g.free...)
	if err != nil {
		return nil, err
	}
	var free []*alert
	for _, a := range found {
		if a.Status != StatusClosed && !a.Held && !a.Fault {
			free = append(free, a)
		}
	}
	if len(free) == 0 {
		return found, nil // they were closed, or taken, in the meantime
	}
	slices.SortFunc(free, began)
	if err := c.loadIncidents(ctx, c.tx, g.holders...); err != nil {
		return nil, err
	}
	var into *incident
	for _, id := range g.holders {
		i := c.incidents[id]
		if i == nil || i.doc.Merge == nil || i.doc.Merge.RuleID != g.rule.ID {
			continue
		}
		if into == nil || cmp.Or(cmp.Compare(i.OpenedAt, into.OpenedAt), strings.Compare(i.ID, into.ID)) < 0 {
			into = i
		}
	}
	switch {
	case into != nil:
	case len(free) < g.rule.Least:
		return found, nil
	default:
		if into, err = c.openIncident(ctx, free[0], policy.Decision{}); err != nil {
			return nil, err
		}
		into.doc.Merge = &Merged{RuleID: g.rule.ID, Rule: g.rule.Name, By: g.by}
		into.doc.Reasons = []detections.Text{mergeReason(g, len(free))}
		into.items = nil // it is about alerts, on whatever items
		c.know(into)
		free = free[1:]
	}
	for _, a := range free {
		c.attach(into, a)
	}
	c.grew[into.ID] = true
	return found, nil
}

func mergeReason(g *ripe, n int) detections.Text {
	var by []string
	for _, name := range g.rule.By {
		by = append(by, name+"="+g.by[name])
	}
	zh, en := "", ""
	if len(by) > 0 {
		zh, en = "，共同标签 "+strings.Join(by, "、"), ", with "+strings.Join(by, ", ")+" in common"
	}
	if s := g.rule.Similar; s != nil {
		zh += fmt.Sprintf("，文本相似度不低于 %.0f%%", 100*s.AtLeast)
		en += fmt.Sprintf(", their texts alike by %.0f %% or more", 100*s.AtLeast)
	}
	return detections.Text{ZH: fmt.Sprintf("归并规则“%s”：%d 条告警%s。", g.rule.Name, n, zh), EN: fmt.Sprintf("Merge rule %q: %d alerts%s.", g.rule.Name, n, en)}
}

// mergeTitle says what alerts a merge rule put together.
func mergeTitle(i *incident, steps detections.Text) detections.Text {
	var what []string
	for _, name := range slices.Sorted(maps.Keys(i.doc.Merge.By)) {
		if v := i.doc.Merge.By[name]; name != "alertname" && name != "rule_id" && name != "tenant" {
			what = append(what, v)
		}
	}
	where := strings.Join(what, " / ")
	if where != "" {
		where += "："
	}
	return detections.Text{ZH: fmt.Sprintf("%s%d 条告警：%s", where, i.AlertCount, steps.ZH), EN: fmt.Sprintf("%s%d alerts: %s", strings.ReplaceAll(where, "：", ": "), i.AlertCount, steps.EN)}
}
