package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections/policy"
)

// What a correlation looks at, at most.
const (
	maxPerKey  = 200 // open alerts on one item, or by one actor: the gravest, then the latest
	maxRelated = 40  // of these, what a policy is shown
	maxPerRule = 3   // of these, those of one rule on the item by others than the alert's actor
	maxActors  = 20  // an incident's
)

// correlation is the work of one transaction: which of the touched alerts
// belong to an incident that is open, and which open one.
//
// What belongs together is decided on everything known, not on the order it
// came in. An alert belongs to an open incident of its own tenant that is about
// the alert's item, or whose actor is the alert's. An incident that opens or
// learns of a further item or actor takes in, until nothing is left, the free
// alerts that belong to it. Which item an incident is about, who its actors are
// and what it is called are worked out anew from all its alerts each time.
type correlation struct {
	s   *Service
	tx  bun.Tx
	now time.Time

	touched   map[string]*alert
	rows      map[string]*alertRow // every alert at hand, the touched among them
	byItem    map[string][]*alertRow
	byActor   map[string][]*alertRow
	asked     map[string]bool // items and actors whose alerts are at hand
	facts     map[string]policy.Alert
	incidents map[string]*incident
	members   map[string]map[string]*alertRow // by incident; only where read
	attached  map[string][]*alertRow          // by incident, in this transaction
	rejudged  map[string]bool                 // free alerts judged anew: whether they join
	dirty     map[string]bool

	changes        []Change
	opened, failed int
}

// correlate judges the touched alerts, applies what follows, and writes back
// alerts and incidents.
func (s *Service) correlate(ctx context.Context, tx bun.Tx, touched []*alert, now time.Time) (*correlation, error) {
	c := &correlation{
		s: s, tx: tx, now: now, touched: map[string]*alert{}, rows: map[string]*alertRow{},
		byItem: map[string][]*alertRow{}, byActor: map[string][]*alertRow{}, asked: map[string]bool{},
		facts: map[string]policy.Alert{}, incidents: map[string]*incident{}, members: map[string]map[string]*alertRow{},
		attached: map[string][]*alertRow{}, rejudged: map[string]bool{}, dirty: map[string]bool{},
	}
	var items, actors, holders []string
	for _, a := range touched {
		c.touched[a.ID] = a
		c.add(&a.alertRow)
		items, actors = append(items, a.Item), append(actors, a.Actor)
		if a.Held {
			holders = append(holders, a.IncidentID)
		}
	}
	if err := c.load(ctx, items, actors); err != nil {
		return nil, err
	}
	if err := c.loadIncidents(ctx, holders); err != nil {
		return nil, err
	}
	rose, err := c.follow(ctx, touched)
	if err != nil {
		return nil, err
	}
	for _, a := range rose {
		if !slices.Contains(touched, a) {
			touched = append(slices.Clip(touched), a)
		}
	}
	decisions := c.judgeAll(ctx, touched)
	more, err := c.neighbours(ctx, touched)
	if err != nil {
		return nil, err
	}
	order := slices.Clone(touched)
	for _, n := range more {
		decisions[n.alert.ID] = n.decision
		order = append(order, n.alert)
	}
	slices.SortFunc(order, func(a, b *alert) int {
		return cmp.Or(-compareBool(decisions[a.ID].Open, decisions[b.ID].Open), cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.ID, b.ID))
	})
	for _, a := range order {
		inc, err := c.place(ctx, a, decisions[a.ID])
		if err != nil {
			return nil, err
		}
		if inc != nil {
			inc.weigh(decisions[a.ID])
			if err := c.settle(ctx, inc); err != nil {
				return nil, err
			}
		}
	}
	return c, c.save(ctx)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func tenantKey(tenant, value string) string { return tenant + "\x00" + value }

// add puts an alert at hand, unless it is there already.
func (c *correlation) add(r *alertRow) {
	if _, there := c.rows[r.ID]; there {
		return
	}
	c.rows[r.ID] = r
	if r.Item != "" {
		k := tenantKey(r.Tenant, r.Item)
		c.byItem[k] = append(c.byItem[k], r)
	}
	if r.Actor != "" {
		k := tenantKey(r.Tenant, r.Actor)
		c.byActor[k] = append(c.byActor[k], r)
	}
}

// load puts at hand the open alerts on the items and by the actors, and the
// open incidents these draw alerts into.
func (c *correlation) load(ctx context.Context, items, actors []string) error {
	for _, l := range []struct {
		kind   string
		values []string
	}{{linkItem, items}, {linkActor, actors}} {
		var ask []string
		for _, v := range l.values {
			if k := l.kind + "\x00" + v; v != "" && !c.asked[k] {
				c.asked[k] = true
				ask = append(ask, v)
			}
		}
		for part := range slices.Chunk(ask, idsPerStatement) {
			var rows []*alertRow
			err := c.tx.NewRaw(`SELECT ? FROM (SELECT ?, row_number() OVER (PARTITION BY tenant, ? ORDER BY severity DESC, last_seen DESC, id) AS n
				FROM ticketing_alerts WHERE status <> 'closed' AND ? <> '' AND ? IN (?)) AS a WHERE n <= ?`,
				columnList(lightColumns), columnList(lightColumns), bun.Ident(l.kind), bun.Ident(l.kind), bun.Ident(l.kind), bun.In(part), maxPerKey).Scan(ctx, &rows)
			if err != nil {
				return fmt.Errorf("read the open alerts of %d %ss: %w", len(part), l.kind, err)
			}
			for _, r := range rows {
				c.add(r)
			}
			var ids []string
			err = c.tx.NewRaw(`SELECT DISTINCT i.id FROM ticketing_links AS l JOIN ticketing_incidents AS i ON i.id = l.incident_id
				WHERE l.kind = ? AND l.value IN (?) AND i.status <> 'closed'`, l.kind, bun.In(part)).Scan(ctx, &ids)
			if err != nil {
				return fmt.Errorf("look for open incidents of %d %ss: %w", len(part), l.kind, err)
			}
			if err := c.loadIncidents(ctx, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

func columnList(columns []string) bun.Safe { return bun.Safe(strings.Join(columns, ", ")) }

// loadIncidents puts incidents at hand with what draws alerts into them.
func (c *correlation) loadIncidents(ctx context.Context, ids []string) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" || c.incidents[id] != nil })
	slices.Sort(ids)
	ids = slices.Compact(ids)
	loaded, err := readIncidents(ctx, c.tx, ids)
	if err != nil {
		return err
	}
	for _, i := range loaded {
		c.incidents[i.ID] = i
	}
	return nil
}

// readIncidents reads incidents with their links. Ids that do not exist are
// left out.
func readIncidents(ctx context.Context, tx bun.IDB, ids []string) ([]*incident, error) {
	var out []*incident
	for part := range slices.Chunk(ids, idsPerStatement) {
		var rows []incidentRow
		if err := tx.NewSelect().Model(&rows).Where("id IN (?)", bun.In(part)).OrderExpr("id").Scan(ctx); err != nil {
			return nil, fmt.Errorf("read %d incidents: %w", len(part), err)
		}
		var links []linkRow
		if err := tx.NewSelect().Model(&links).Where("incident_id IN (?)", bun.In(part)).OrderExpr("value").Scan(ctx); err != nil {
			return nil, fmt.Errorf("read the links of %d incidents: %w", len(part), err)
		}
		byID := map[string]*incident{}
		for _, r := range rows {
			i := &incident{incidentRow: r}
			if err := i.unpack(); err != nil {
				return nil, err
			}
			byID[r.ID] = i
			out = append(out, i)
		}
		for _, l := range links {
			i := byID[l.IncidentID]
			if i == nil {
				continue
			}
			if l.Kind == linkItem {
				i.items = append(i.items, l.Value)
			} else {
				i.actors = append(i.actors, l.Value)
			}
		}
	}
	return out, nil
}

// judgeAll asks the policy about the touched alerts that no incident holds,
// and about those that an incident about another item holds: they may show
// that their own item is hit as well. An alert whose question failed keeps the
// mark to be asked again.
func (c *correlation) judgeAll(ctx context.Context, touched []*alert) map[string]policy.Decision {
	out := make(map[string]policy.Decision, len(touched))
	for _, a := range touched {
		if a.Status == StatusClosed || a.Held && (a.Item == "" || slices.Contains(c.incidents[a.IncidentID].items, a.Item)) {
			a.Judge = false
			continue
		}
		d, err := c.s.policy.Incident(ctx, policy.IncidentInput{Alert: a.judged(), Related: c.related(&a.alertRow)})
		if err != nil {
			c.failed++
			c.s.log.Error("ticketing: the incident policy failed; it is asked again", "alert", a.ID, "rule", a.RuleID, "error", err)
			a.Judge = true
			continue
		}
		a.Judge, a.Joins = false, d.Join || d.Open
		out[a.ID] = d
	}
	return out
}

// neighbour is an alert that did not fire, and what is thought of it now.
type neighbour struct {
	alert    *alert
	decision policy.Decision
}

// neighbours judges anew the free alerts that have got a new or graver relation
// in this transaction, and returns those that open an incident now. The policy
// looks at each alert from its own side: without this, whether a story makes an
// incident would depend on which of its alerts came last.
func (c *correlation) neighbours(ctx context.Context, touched []*alert) ([]neighbour, error) {
	var ids, items, actors []string
	seen := map[string]bool{}
	for _, a := range touched {
		if !a.fresh && !a.raised || a.Held || a.Status == StatusClosed {
			continue
		}
		for _, r := range c.relations(&a.alertRow) {
			if !r.Held && c.touched[r.ID] == nil && !seen[r.ID] {
				seen[r.ID] = true
				ids, items, actors = append(ids, r.ID), append(items, r.Item), append(actors, r.Actor)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := c.load(ctx, items, actors); err != nil {
		return nil, err
	}
	found, err := readAlerts(ctx, c.tx, ids)
	if err != nil {
		return nil, err
	}
	decisions := c.judgeAll(ctx, found)
	var out []neighbour
	for _, a := range found {
		if d := decisions[a.ID]; d.Open {
			c.promote(a)
			out = append(out, neighbour{a, d})
		}
	}
	return out, nil
}

// promote makes an alert at hand one of those that are written back whole.
func (c *correlation) promote(a *alert) {
	old := c.rows[a.ID]
	c.touched[a.ID], c.rows[a.ID] = a, &a.alertRow
	for _, list := range [][]*alertRow{c.byItem[tenantKey(a.Tenant, a.Item)], c.byActor[tenantKey(a.Tenant, a.Actor)]} {
		if n := slices.Index(list, old); n >= 0 {
			list[n] = &a.alertRow
		}
	}
}

// related returns the other open alerts on the alert's item or by its actor
// within the window, gravest first. A server on the internet is guessed at by
// hundreds of addresses at a time: of one rule only a few such alerts are
// shown, since a policy asks what kinds there are and what this actor did, and
// takes time for each.
func (c *correlation) related(a *alertRow) []policy.Alert {
	rows := c.relations(a)
	out := make([]policy.Alert, 0, len(rows))
	for _, r := range rows {
		f, ok := c.facts[r.ID]
		if !ok {
			if t := c.touched[r.ID]; t != nil {
				f = t.judged()
				f.Fields = nil
			} else if err := json.Unmarshal([]byte(r.Facts), &f); err != nil {
				c.s.log.Error("ticketing: an alert's facts cannot be read", "alert", r.ID, "error", err)
				continue
			}
			c.facts[r.ID] = f
		}
		out = append(out, f)
	}
	return out
}

// relations chooses what related returns.
func (c *correlation) relations(a *alertRow) []*alertRow {
	var rows []*alertRow
	seen := map[string]bool{a.ID: true}
	for _, list := range [][]*alertRow{c.byItem[tenantKey(a.Tenant, a.Item)], c.byActor[tenantKey(a.Tenant, a.Actor)]} {
		for _, r := range list {
			if !seen[r.ID] && r.Status != StatusClosed && c.near(a.FirstSeen, a.LastSeen, r.FirstSeen, r.LastSeen) {
				seen[r.ID] = true
				rows = append(rows, r)
			}
		}
	}
	slices.SortFunc(rows, func(a, b *alertRow) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.LastSeen, a.LastSeen), strings.Compare(a.ID, b.ID))
	})
	out := make([]*alertRow, 0, min(len(rows), maxRelated))
	perRule := map[string]int{}
	for _, r := range rows {
		if len(out) == maxRelated {
			break
		}
		if a.Actor == "" || r.Actor != a.Actor {
			if perRule[r.RuleID]++; perRule[r.RuleID] > maxPerRule {
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// near tells whether two spans of event time are within the window.
func (c *correlation) near(first1, last1, first2, last2 int64) bool {
	w := c.s.cfg.Window.Milliseconds()
	return first1-w <= last2 && first2-w <= last1
}

// reaches tells whether an alert is within an incident's time: an incident
// goes on as long as alerts follow, but takes in from before only what lies
// within the window of its gravest alerts, lest it gather weeks of noise.
func (c *correlation) reaches(i *incident, a *alertRow) bool {
	w := c.s.cfg.Window.Milliseconds()
	return a.LastSeen >= i.doc.Core-w && a.FirstSeen <= i.LastSeen+w
}

// find returns the open incident of the alert's tenant that draws it in by
// its item or its actor, the latest opened where there are several.
func (c *correlation) find(a *alertRow, value string, links func(*incident) []string) *incident {
	if value == "" {
		return nil
	}
	var best *incident
	for _, i := range c.incidents {
		if i.Status == StatusClosed || i.Tenant != a.Tenant || !slices.Contains(links(i), value) || !c.reaches(i, a) {
			continue
		}
		if best == nil || i.OpenedAt > best.OpenedAt || i.OpenedAt == best.OpenedAt && i.ID > best.ID {
			best = i
		}
	}
	return best
}

func itemsOf(i *incident) []string  { return i.items }
func actorsOf(i *incident) []string { return i.actors }

// place puts an alert where it belongs and returns the incident that changed
// by it, or nil.
func (c *correlation) place(ctx context.Context, a *alert, d policy.Decision) (*incident, error) {
	if a.Status == StatusClosed {
		return nil, nil
	}
	if a.Held {
		i := c.incidents[a.IncidentID]
		if d.Open && !slices.Contains(i.items, a.Item) && (a.Actor == "" || slices.Contains(i.actors, a.Actor)) &&
			c.find(&a.alertRow, a.Item, itemsOf) == nil {
			i.items = union(i.items, a.Item)
		}
		return i, nil
	}
	if !d.Open && !d.Join {
		return nil, nil
	}
	if i := c.find(&a.alertRow, a.Item, itemsOf); i != nil {
		return i, c.attach(i, &a.alertRow)
	}
	byActor := c.find(&a.alertRow, a.Actor, actorsOf)
	if !d.Open {
		if byActor == nil {
			return nil, nil
		}
		return byActor, c.attach(byActor, &a.alertRow)
	}
	if byActor == nil && a.Actor == "" {
		// Nothing says who did it, but alerts that led to this decision may
		// be held already, by their actor: it is the same intrusion on a
		// further item.
		if err := c.loadHolders(ctx, a); err != nil {
			return nil, err
		}
		byActor = c.holder(a)
	}
	if byActor != nil {
		byActor.items = union(byActor.items, a.Item)
		return byActor, c.attach(byActor, &a.alertRow)
	}
	return c.open(ctx, a, d)
}

// loadHolders puts the incidents at hand that hold other alerts on the item.
func (c *correlation) loadHolders(ctx context.Context, a *alert) error {
	var ids []string
	for _, r := range c.byItem[tenantKey(a.Tenant, a.Item)] {
		if r.Held {
			ids = append(ids, r.IncidentID)
		}
	}
	return c.loadIncidents(ctx, ids)
}

// holder returns the incident that holds the gravest alert on the alert's
// item that is more than looking around.
func (c *correlation) holder(a *alert) *incident {
	var best *alertRow
	for _, r := range c.byItem[tenantKey(a.Tenant, a.Item)] {
		if r.ID == a.ID || !r.Held || r.Recon || r.Status == StatusClosed || !c.near(a.FirstSeen, a.LastSeen, r.FirstSeen, r.LastSeen) {
			continue
		}
		i := c.incidents[r.IncidentID]
		if i == nil || i.Status == StatusClosed || !c.reaches(i, &a.alertRow) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(r.Severity, best.Severity), strings.Compare(best.ID, r.ID)) > 0 {
			best = r
		}
	}
	if best == nil {
		return nil
	}
	return c.incidents[best.IncidentID]
}

func (c *correlation) attach(i *incident, r *alertRow) error {
	r.IncidentID, r.Held = i.ID, true
	c.attached[i.ID] = append(c.attached[i.ID], r)
	if m := c.members[i.ID]; m != nil {
		m[r.ID] = r
	}
	return nil
}

// settle brings an incident into line with its alerts and takes in the free
// ones that belong to it, until nothing changes.
func (c *correlation) settle(ctx context.Context, i *incident) error {
	c.dirty[i.ID] = true
	if err := c.loadMembers(ctx, i); err != nil {
		return err
	}
	for {
		c.recompute(i)
		if err := c.load(ctx, i.items, i.actors); err != nil {
			return err
		}
		took := false
		for _, l := range []struct {
			values []string
			rows   map[string][]*alertRow
		}{{i.items, c.byItem}, {i.actors, c.byActor}} {
			for _, v := range l.values {
				for _, r := range l.rows[tenantKey(i.Tenant, v)] {
					if r.Held || r.Status == StatusClosed || !c.reaches(i, r) {
						continue
					}
					joins, err := c.joins(ctx, r)
					if err != nil {
						return err
					}
					if !joins {
						continue
					}
					if err := c.attach(i, r); err != nil {
						return err
					}
					took = true
				}
			}
		}
		if !took {
			return c.describe(ctx, i)
		}
	}
}

// joins tells whether the policy lets a free alert join an incident. What was
// judged in an earlier transaction, before its relations were there, is judged
// again with them.
func (c *correlation) joins(ctx context.Context, r *alertRow) (bool, error) {
	if r.Joins || c.touched[r.ID] != nil {
		return r.Joins, nil
	}
	if known, ok := c.rejudged[r.ID]; ok {
		return known, nil
	}
	if err := c.load(ctx, []string{r.Item}, []string{r.Actor}); err != nil {
		return false, err
	}
	doc, err := c.docOf(ctx, r.ID)
	if err != nil {
		return false, err
	}
	in := &alert{alertRow: *r, doc: *doc}
	d, err := c.s.policy.Incident(ctx, policy.IncidentInput{Alert: in.judged(), Related: c.related(r)})
	if err != nil {
		// The alert stays free; it is judged again when it fires.
		c.failed++
		c.s.log.Error("ticketing: the incident policy failed", "alert", r.ID, "rule", r.RuleID, "error", err)
	}
	c.rejudged[r.ID] = err == nil && (d.Join || d.Open)
	return c.rejudged[r.ID], nil
}

// loadMembers puts all alerts of an incident at hand.
func (c *correlation) loadMembers(ctx context.Context, i *incident) error {
	if c.members[i.ID] != nil {
		return nil
	}
	m := map[string]*alertRow{}
	c.members[i.ID] = m
	if !i.fresh {
		var rows []*alertRow
		if err := c.tx.NewSelect().Model(&rows).Column(lightColumns...).Where("incident_id = ?", i.ID).Scan(ctx); err != nil {
			return fmt.Errorf("read the alerts of incident %s: %w", i.ID, err)
		}
		for _, r := range rows {
			if there := c.rows[r.ID]; there != nil {
				r = there
			}
			if r.IncidentID == i.ID {
				m[r.ID] = r
			}
		}
	}
	for _, r := range c.attached[i.ID] {
		m[r.ID] = r
	}
	for _, a := range c.touched {
		if a.Held && a.IncidentID == i.ID {
			m[a.ID] = &a.alertRow
		}
	}
	return nil
}
