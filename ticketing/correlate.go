package ticketing

import (
	"cmp"
	"context"
	"fmt"
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
