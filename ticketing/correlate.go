package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
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
	s *Service
	*live
	tx   bun.Tx
	now  time.Time
	anew bool // ask the policy whatever is remembered

	touched  map[string]*alert
	beside   map[*alert][]*alert // what relations returned, of alerts that the policy was asked about
	attached map[string][]*alert // by incident, in this transaction
	rejudged map[string]bool     // free alerts judged anew: whether they join
	dirty    map[string]bool     // incidents that are written back whole
	gone     map[string]bool     // incidents that only went on
	grew     map[string]bool     // incidents that took alerts in and are to be settled at the end

	claimed map[string]bool   // incidents of faults that a group has taken
	left    map[string]string // incidents that alerts were taken from, and one they went to
	emptied []*incident       // that were merged into others
	notes   []timelineRow     // to be written beside what follows from the rest

	changes        []Change
	opened, failed int
}

func (s *Service) newCorrelation(tx bun.Tx, now time.Time) *correlation {
	return &correlation{
		s: s, live: s.live, tx: tx, now: now, touched: map[string]*alert{}, beside: map[*alert][]*alert{}, attached: map[string][]*alert{},
		rejudged: map[string]bool{}, dirty: map[string]bool{}, gone: map[string]bool{}, grew: map[string]bool{},
		claimed: map[string]bool{}, left: map[string]string{},
	}
}

// correlate judges the touched alerts, applies what follows, and writes back
// alerts and incidents. With anew the policy is asked about each of them,
// whatever it said before.
func (s *Service) correlate(ctx context.Context, tx bun.Tx, touched []*alert, now time.Time, anew bool) (*correlation, error) {
	c := s.newCorrelation(tx, now)
	c.anew = anew
	links := make([]link, 0, 2*len(touched))
	var holders []string
	for _, a := range touched {
		c.touch(a)
		links = append(links, sliceOf(a.ofLinks())...)
		if a.Held {
			holders = append(holders, a.IncidentID)
		}
	}
	if err := c.load(ctx, tx, links...); err != nil {
		return nil, err
	}
	if err := c.loadIncidents(ctx, tx, holders...); err != nil {
		return nil, err
	}
	for _, a := range touched {
		c.seat(a)
	}
	rose, err := c.follow(ctx, touched)
	if err != nil {
		return nil, err
	}
	for _, a := range rose {
		c.seat(a)
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
		d, judged := decisions[a.ID]
		i, err := c.place(ctx, a, d)
		if err != nil {
			return nil, err
		}
		if i == nil {
			continue
		}
		i.weigh(d)
		switch {
		case !judged && a.shape == a.shaped():
			err = c.goOn(ctx, i, a)
		case a.joined == c.turn && !i.drawsBy(a):
			err = c.join(ctx, i, a)
		default:
			err = c.settle(ctx, i)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.grew)) {
		if err := c.settle(ctx, c.incidents[id]); err != nil {
			return nil, err
		}
	}
	return c, c.save(ctx)
}

// touch makes an alert at hand one of those that are written back whole.
func (c *correlation) touch(a *alert) {
	c.touched[a.ID] = a
	a.stirred = c.turn
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

// judgeEvery is how long a decision may rest on how often, how long and with
// which values an alert has fired. Whatever else changes, the policy is asked
// at once; see live.seat.
const judgeEvery = 15 * time.Second

// recall returns what the policy said of an alert last, where nothing but its
// further firings has come since, and it said so no longer ago than that.
func (c *correlation) recall(a *alert, longest time.Duration) (policy.Decision, bool) {
	item, actor := c.version(a)
	d := &a.decided
	return d.Decision, !d.at.IsZero() && d.item == item && d.actor == actor && c.now.Sub(d.at) < longest
}

// ask asks the policy about an alert that is at hand whole.
func (c *correlation) ask(ctx context.Context, a *alert) (policy.Decision, error) {
	if c.s.merges.attacksOff.Load() {
		return policy.Decision{}, nil
	}
	d, err := c.s.policy.Incident(ctx, policy.IncidentInput{Alert: a.judged(), Related: c.related(a)})
	if err != nil {
		c.failed++
		c.s.log.Error("ticketing: the incident policy failed; it is asked again", "alert", a.ID, "rule", a.RuleID, "error", err)
		return d, err
	}
	item, actor := c.version(a)
	a.decided = decided{Decision: d, item: item, actor: actor, at: c.now}
	delete(c.again, a.ID)
	return d, nil
}

// judgeAll asks the policy about the touched alerts that no incident holds,
// and about those that an incident about another item holds: they may show
// that their own item is hit as well. An alert whose question failed keeps the
// mark to be asked again.
func (c *correlation) judgeAll(ctx context.Context, touched []*alert) map[string]policy.Decision {
	out := make(map[string]policy.Decision, len(touched))
	for _, a := range touched {
		if a.Fault || a.Status == StatusClosed || a.Held && (a.Item == "" || c.incidents[a.IncidentID] != nil && slices.Contains(c.incidents[a.IncidentID].items, a.Item)) {
			a.Judge = false
			delete(c.again, a.ID)
			continue
		}
		d, recalled := c.recall(a, judgeEvery)
		if recalled && !c.anew {
			c.again[a.ID] = true
		} else {
			var err error
			if d, err = c.ask(ctx, a); err != nil {
				a.Judge = true
				continue
			}
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
	var ids []string
	var links []link
	seen := map[string]bool{}
	for _, a := range touched {
		if a.Fault || !a.fresh && !a.raised || a.Held || a.Status == StatusClosed {
			continue
		}
		list, known := c.beside[a]
		if !known {
			list = c.relations(a)
		}
		for _, r := range list {
			if !r.Held && c.touched[r.ID] == nil && !seen[r.ID] {
				seen[r.ID] = true
				ids, links = append(ids, r.ID), append(links, sliceOf(r.ofLinks())...)
			}
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := c.load(ctx, c.tx, links...); err != nil {
		return nil, err
	}
	found, err := c.wholes(ctx, c.tx, ids...)
	if err != nil {
		return nil, err
	}
	var out []neighbour
	for _, a := range found {
		if a.Status == StatusClosed || a.Held {
			continue
		}
		if d, err := c.ask(ctx, a); err == nil && d.Open {
			a.Judge, a.Joins = false, true
			c.touch(a)
			out = append(out, neighbour{a, d})
		}
	}
	return out, nil
}

// related returns the other open alerts on the alert's item or by its actor
// within the window, gravest first. A server on the internet is guessed at by
// hundreds of addresses at a time: of one rule only a few such alerts are
// shown, since a policy asks what kinds there are and what this actor did, and
// takes time for each.
func (c *correlation) related(a *alert) []*policy.Alert {
	list := c.relations(a)
	c.beside[a] = list
	out := make([]*policy.Alert, 0, len(list))
	for _, r := range list {
		f, err := r.seen()
		if err != nil {
			c.s.log.Error("ticketing: a relation is left out", "error", err)
			continue
		}
		out = append(out, f)
	}
	return out
}

// relations chooses what related returns.
func (c *correlation) relations(a *alert) []*alert {
	item, actor := c.ranked(a.Tenant, link{linkItem, a.Item}), c.ranked(a.Tenant, link{linkActor, a.Actor})
	out := make([]*alert, 0, min(len(item)+len(actor), maxRelated))
	var room [maxRelated]ruleCount
	rules := room[:0]
	for len(out) < maxRelated && len(item)+len(actor) > 0 {
		from := &item
		if len(item) == 0 || len(actor) > 0 && rank(actor[0], item[0]) < 0 {
			from = &actor
		}
		r := (*from)[0]
		*from = (*from)[1:]
		if r == a || r.Status == StatusClosed || !c.near(a.spanned(), r.spanned()) {
			continue
		}
		if a.Actor == "" || r.Actor != a.Actor {
			if rules = counted(rules, r.ofRule()); rules[0].n > maxPerRule {
				continue
			}
		}
		if n := len(out); n > 0 && out[n-1] == r {
			continue // it is in both cohorts, which are in the same order
		}
		out = append(out, r)
	}
	return out
}

// ruleCount counts the alerts of a rule.
type ruleCount struct {
	rule uint64
	n    int
}

// counted counts one more alert of a rule, which comes first then: of a rule
// there are many one after the other, and of different rules few.
func counted(rules []ruleCount, rule uint64) []ruleCount {
	i := slices.IndexFunc(rules, func(c ruleCount) bool { return c.rule == rule })
	if i < 0 {
		i, rules = len(rules), append(rules, ruleCount{rule: rule})
	}
	rules[0], rules[i] = rules[i], rules[0]
	rules[0].n++
	return rules
}

var ruleSeed = maphash.MakeSeed()

// ofRule stands for the alert's rule.
func (a *alert) ofRule() uint64 {
	if a.rule == 0 {
		a.rule = maphash.String(ruleSeed, a.RuleID)
	}
	return a.rule
}

// reaches tells whether an alert is within an incident's time: an incident
// goes on as long as alerts follow, but takes in from before only what lies
// within the window of its gravest alerts, lest it gather weeks of noise.
func (c *correlation) reaches(i *incident, a *alert) bool {
	return a.LastSeen >= i.doc.Core-c.window && a.FirstSeen <= i.LastSeen+c.window
}

// find returns the open incident of the alert's tenant that draws it in by a
// link, the latest opened where there are several.
func (c *correlation) find(a *alert, by link) *incident {
	if by.value == "" {
		return nil
	}
	var best *incident
	for _, i := range c.drawing[tenantLink{a.Tenant, by}] {
		if i.Status == StatusClosed || !c.reaches(i, a) {
			continue
		}
		if best == nil || i.OpenedAt > best.OpenedAt || i.OpenedAt == best.OpenedAt && i.ID > best.ID {
			best = i
		}
	}
	return best
}

// place puts an alert where it belongs and returns the incident that changed
// by it, or nil.
func (c *correlation) place(ctx context.Context, a *alert, d policy.Decision) (*incident, error) {
	if a.Status == StatusClosed {
		return nil, nil
	}
	byItem, byActor := c.find(a, link{linkItem, a.Item}), c.find(a, link{linkActor, a.Actor})
	if a.Held {
		i := c.incidents[a.IncidentID]
		if i == nil {
			return nil, fmt.Errorf("alert %s: incident %s that holds it is not open", a.ID, a.IncidentID)
		}
		if d.Open && !i.apart() && !slices.Contains(i.items, a.Item) && (a.Actor == "" || slices.Contains(i.actors, a.Actor)) && byItem == nil {
			c.addItem(i, a.Item)
		}
		return i, nil
	}
	switch {
	case !d.Open && !d.Join:
		return nil, nil
	case byItem != nil:
		c.attach(byItem, a)
		return byItem, nil
	case !d.Open:
		if byActor != nil {
			c.attach(byActor, a)
		}
		return byActor, nil
	}
	if byActor == nil && a.Actor == "" {
		// Nothing says who did it, but alerts that led to this decision may
		// be held already, by their actor: it is the same intrusion on a
		// further item.
		var err error
		if byActor, err = c.holder(ctx, a); err != nil {
			return nil, err
		}
	}
	if byActor != nil {
		c.addItem(byActor, a.Item)
		c.attach(byActor, a)
		return byActor, nil
	}
	return c.openIncident(ctx, a, d)
}

// holder returns the incident that holds the gravest alert on the alert's
// item that is more than looking around.
func (c *correlation) holder(ctx context.Context, a *alert) (*incident, error) {
	co := c.cohort(a.Tenant, link{linkItem, a.Item})
	if co == nil {
		return nil, nil
	}
	var ids []string
	for _, r := range co.alerts {
		if r.Held {
			ids = append(ids, r.IncidentID)
		}
	}
	if err := c.loadIncidents(ctx, c.tx, ids...); err != nil {
		return nil, err
	}
	var best *alert
	for _, r := range co.alerts {
		if r == a || !r.Held || r.Recon || r.Status == StatusClosed || !c.near(a.spanned(), r.spanned()) {
			continue
		}
		i := c.incidents[r.IncidentID]
		if i == nil || i.Status == StatusClosed || i.doc.Merge != nil || !c.reaches(i, a) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(r.Severity, best.Severity), strings.Compare(best.ID, r.ID)) > 0 {
			best = r
		}
	}
	if best == nil {
		return nil, nil
	}
	return c.incidents[best.IncidentID], nil
}

// addItem makes an incident one about a further item.
func (c *correlation) addItem(i *incident, item string) {
	i.items, i.ranked = union(i.items, item), false
	c.know(i)
}

func (c *correlation) attach(i *incident, a *alert) {
	a.IncidentID, a.Held, a.stirred, a.joined = i.ID, true, c.turn, c.turn
	c.attached[i.ID] = append(c.attached[i.ID], a)
	if m := c.members[i.ID]; m != nil {
		m[a.ID] = a
	}
}

// goOn takes a further firing of an alert into the incident that holds it. It
// made nothing else of the alert, so that nothing else becomes of the incident,
// unless it lasts long enough now to take in what came later.
func (c *correlation) goOn(ctx context.Context, i *incident, a *alert) error {
	if c.dirty[i.ID] {
		return nil // it was settled with the alert as it is now
	}
	if a.keyed || a.Kept != i.Kept && (a.Item == i.doc.Item || i.doc.Item == "") || // the latest alert on the item tells who may see it
		i.AlertCount == 1 && i.doc.Title != a.doc.Title || !i.names(&a.doc) {
		return c.settle(ctx, i)
	}
	if a.LastSeen > i.LastSeen {
		i.LastSeen = a.LastSeen
		c.gone[i.ID] = true
	}
	took, err := c.gather(ctx, i)
	if err != nil || !took {
		return err
	}
	return c.settle(ctx, i)
}

// join goes on with an incident that took in an alert by which it draws in no
// others than before. What else becomes of it is worked out at the end, once for
// all that it takes in: it may have thousands of alerts.
func (c *correlation) join(ctx context.Context, i *incident, a *alert) error {
	c.grew[i.ID] = true
	i.LastSeen = max(i.LastSeen, a.LastSeen)
	took, err := c.gather(ctx, i)
	if err != nil || !took {
		return err
	}
	return c.settle(ctx, i)
}

// settle brings an incident into line with its alerts and takes in the free
// ones that belong to it, until nothing changes.
func (c *correlation) settle(ctx context.Context, i *incident) error {
	c.dirty[i.ID] = true
	delete(c.grew, i.ID)
	if err := c.loadMembers(ctx, c.tx, i); err != nil {
		return err
	}
	for _, a := range c.attached[i.ID] {
		c.members[i.ID][a.ID] = a
	}
	for {
		c.recompute(i)
		c.know(i)
		took, err := c.gather(ctx, i)
		if err != nil {
			return err
		}
		if !took {
			return c.describe(ctx, i)
		}
	}
}

// gather takes the free alerts into an incident that belong to it, and tells
// whether there were any.
func (c *correlation) gather(ctx context.Context, i *incident) (took bool, err error) {
	draws := slices.Clone(i.draws)
	links := make([]link, 0, len(draws))
	for _, by := range draws {
		links = append(links, by.link)
	}
	if err := c.load(ctx, c.tx, links...); err != nil {
		return false, err
	}
	for _, by := range draws {
		co := c.cohort(by.tenant, by.link)
		if co == nil {
			continue
		}
		for _, r := range slices.Clone(co.alerts) {
			if r.Held || r.Status == StatusClosed || !c.reaches(i, r) {
				continue
			}
			joins, err := c.joins(ctx, r)
			if err != nil {
				return false, err
			}
			if joins {
				c.attach(i, r)
				took = true
			}
		}
	}
	return took, nil
}

// rejudgeEvery is how long a free alert that did not fire keeps apart from an
// incident where nothing around it has changed: the policy itself may have.
const rejudgeEvery = 5 * time.Minute

// joins tells whether the policy lets a free alert join an incident. What was
// judged in an earlier transaction, before its relations were there, is judged
// again with them.
func (c *correlation) joins(ctx context.Context, r *alert) (bool, error) {
	if r.Joins || c.touched[r.ID] != nil {
		return r.Joins, nil
	}
	if known, ok := c.rejudged[r.ID]; ok {
		return known, nil
	}
	if err := c.load(ctx, c.tx, sliceOf(r.ofLinks())...); err != nil {
		return false, err
	}
	d, recalled := c.recall(r, rejudgeEvery)
	if !recalled {
		if _, err := c.wholes(ctx, c.tx, r.ID); err != nil {
			return false, err
		}
		var err error
		if d, err = c.ask(ctx, r); err != nil {
			d = policy.Decision{} // it stays free, and is judged again when it fires
		}
	}
	c.rejudged[r.ID] = d.Join || d.Open
	return c.rejudged[r.ID], nil
}
