package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections/policy"
	"icewatch/soc/absent"
	"icewatch/soc/reach"
	"icewatch/soc/state"
	"icewatch/ticketing/observable"
)

// What is kept at hand at most. With more all is forgotten and read again as it
// is asked for, so that what goes on just now stays at hand.
const (
	maxLive = 20_000      // alerts, about a kilobyte each
	maxDocs = 4_000       // docs of these, some ten kilobytes each
	maxKeys = 4 * maxLive // keys of occurrences
)

// live keeps at hand what is open, from one transaction to the next, so that a
// firing costs what it changes and not what there is. SQL owns the state: live
// is filled from it as things are asked for, whatever changes in it is written
// by the same transaction, and after one that failed it is empty, as it is
// after a start. It is used within Service.write alone.
type live struct {
	alerts    map[string]*alert            // by id
	open      map[string]*alert            // by key: the alert that is open for it
	last      map[string]int               // by key: the latest generation; only of keys that were asked for
	cohorts   map[link]map[string]*cohort  // by what its alerts have in common, and by tenant
	incidents map[string]*incident         // by id
	drawn     map[link]bool                // whose open incidents are at hand
	drawing   map[tenantLink][]*incident   // incidents that draw alerts in by a link
	members   map[string]map[string]*alert // all alerts of an incident, closed ones too
	again     map[string]bool              // ids of alerts whose last decision rests on an older state of them

	window   int64              // milliseconds; see correlation.near
	known    absent.Set         // keys that SQL has alerts of, and perhaps others
	knows    bool               // known has all of them
	asked    bool               // for the keys that SQL has
	versions uint64             // of cohorts, counted over all of them
	grown    map[*cohort]bool   // in this transaction
	short    []link             // whose cohorts SQL has to fill up again
	docs     int                // of alerts
	turn     uint64             // counts transactions
	reopened atomic.Bool        // alerts were closed, opened or changed beside it
	sighted  []observable.Alert // alerts that this transaction made
}

// atHand is what memory knows of an alert beside what SQL has.
type atHand struct {
	whole   bool          // the doc and all columns are there, not lightColumns alone
	inSQL   bool          // it has a row
	stood   stood         // how it stands in SQL, where that is known
	saved   *alertRow     // as it stands in SQL, without what finish makes; nil where it does not
	facts   *policy.Alert // what a policy sees of it as a relation
	shown   *policy.Alert // what seen returned last, and of what
	glimpse glimpse
	shape   shape   // as its incident has seen it last
	links   [2]link // of its cohorts
	span    span    // as its cohorts have seen it
	decided decided
	rule    uint64 // stands for the rule; 0 before it is asked for
	used    uint64 // turn in which its doc was asked for last
	joined  uint64 // turn in which an incident took it in last
	stirred uint64 // turn in which it was touched, or taken into an incident, last
}

// shape is all of an alert that its incident is made of, but for how long it
// has gone on.
type shape struct {
	severity, priority, verdict     int
	first                           int64
	phase, item, actor, rule, title string
	tactics, techniques             string
	attacker, victim                string
	recon                           bool
	facts                           reach.Kept
}

func (a *alertRow) shaped() shape {
	return shape{
		severity: a.Severity, priority: a.Priority, verdict: a.Verdict, first: a.FirstSeen, phase: a.Phase, item: a.Item, actor: a.Actor,
		rule: a.RuleID, title: a.RuleTitle, tactics: a.Tactics, techniques: a.Techniques, attacker: a.Attacker, victim: a.Victim, recon: a.Recon, facts: a.Kept,
	}
}

// glimpse is all that what seen returns is made of.
type glimpse struct {
	facts           *policy.Alert
	span            span
	count, priority int
	status          Status
}

// decided is a decision of the incident policy and what it rests on.
type decided struct {
	policy.Decision
	item, actor uint64    // versions of the alert's cohorts
	at          time.Time // zero where there is none
}

func newLive(window time.Duration) *live {
	l := &live{window: window.Milliseconds()}
	l.forget()
	return l
}

// forget empties it, since alerts may have been changed beside it.
func (l *live) forget() {
	l.reopened.Store(true)
	l.clear()
}

// clear empties it; all is read again as it is asked for.
func (l *live) clear() {
	l.alerts, l.open, l.last = map[string]*alert{}, map[string]*alert{}, map[string]int{}
	l.cohorts, l.grown = map[link]map[string]*cohort{}, map[*cohort]bool{}
	l.incidents, l.members = map[string]*incident{}, map[string]map[string]*alert{}
	l.drawn, l.drawing = map[link]bool{}, map[tenantLink][]*incident{}
	l.docs, l.short = 0, nil
	if l.again == nil { // outlives the rest: it stands nowhere else
		l.again = map[string]bool{}
	}
}

type writing struct{}

// write runs a write transaction that may use what is at hand.
func (s *Service) write(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	if ctx.Value(writing{}) == s {
		return state.ErrNestedTx
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done, committing := false, false
	defer func() {
		if !done {
			s.live.forget()
		}
		s.standing.settle(done)
		if s.routed.settle(done) {
			s.nudge()
		}
		<-s.writer
	}()
	s.live.turn++
	s.live.sighted = nil
	err := s.db.RunInTx(context.WithValue(ctx, writing{}, s), nil, func(ctx context.Context, tx bun.Tx) error {
		err := fn(ctx, tx)
		committing = err == nil
		return err
	})
	if err != nil {
		s.standing.unsure = committing // nobody knows whether it is committed
		return err
	}
	s.live.bound()
	s.sightings.add(s.live.sighted)
	s.live.sighted = nil
	done = true
	return nil
}

// bound lets go of what is too much, between transactions.
func (l *live) bound() {
	if len(l.alerts) > maxLive || len(l.last) > maxKeys || len(l.again) > maxLive {
		l.clear()
		return
	}
	for c := range l.grown {
		c.trim()
	}
	clear(l.grown)
	for _, by := range l.short {
		delete(l.cohorts, by)
		delete(l.drawn, by)
	}
	l.short = nil
	if l.docs <= maxDocs {
		return
	}
	l.docs = 0
	for _, a := range l.alerts {
		switch {
		case a.whole && a.used < l.turn:
			if a.facts == nil {
				a.facts, a.Facts = a.related(), ""
			}
			a.whole, a.saved, a.doc = false, nil, alertDoc{}
		case a.whole:
			l.docs++
		}
	}
}

// keep puts an alert at hand that SQL does not have yet.
func (l *live) keep(a *alert) {
	l.alerts[a.ID], l.open[a.Key], l.last[a.Key] = a, a, a.Generation
	a.whole, a.used = true, l.turn
	l.docs++
	l.known.Add(a.Key)
}

// maxKnown is how many alerts SQL may have for their keys to be read once, after a
// start: it takes about a second for so many.
const maxKnown = 1_000_000

// knowKeys reads which keys there are, unless they are too many.
func (l *live) knowKeys(ctx context.Context, tx bun.Tx) error {
	if l.knows || l.asked {
		return nil
	}
	rows, err := tx.Tx.QueryContext(ctx, "SELECT key FROM ticketing_alerts LIMIT ?", maxKnown+1)
	if err != nil {
		return fmt.Errorf("read the keys of alerts: %w", err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var key string
		if err := rows.Scan(&key); err != nil {
			return fmt.Errorf("read the keys of alerts: %w", err)
		}
		l.known.Add(key)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the keys of alerts: %w", err)
	}
	l.knows, l.asked = n <= maxKnown, true
	return nil
}

// lightDoc is how long the document of an alert may be, in bytes, that waits at
// hand until a policy is to see something of it. What it sees of longer ones is
// taken out at once.
const lightDoc = 4 << 10

// light puts at hand what lightColumns say of an alert, unless it is there.
func (l *live) light(r alertRow) *alert {
	if a := l.alerts[r.ID]; a != nil {
		return a
	}
	a := &alert{alertRow: r}
	if a.Facts == "" && len(a.Doc) > lightDoc {
		if a.unpack() == nil { // else seen says so
			a.facts = a.related()
		}
		a.Doc, a.whole, a.doc = "", false, alertDoc{}
	}
	a.inSQL = true
	a.shape, a.links, a.span = r.shaped(), r.ofLinks(), r.spanned()
	l.alerts[r.ID] = a
	return a
}

// take puts a whole alert at hand. What the transaction has changed in one
// whose columns were at hand before stays.
func (l *live) take(r alertRow) (*alert, error) {
	a := l.light(r)
	a.used = l.turn
	if a.whole {
		return a, nil
	}
	incident, held := a.IncidentID, a.Held
	a.alertRow = r
	if err := a.unpack(); err != nil {
		return nil, err
	}
	a.Doc, a.Search = "", ""
	if a.facts != nil {
		a.Facts = ""
	}
	a.saved = a.bare()
	a.IncidentID, a.Held = incident, held
	l.docs++
	return a, nil
}

// wholes returns alerts whole, ordered by id. Ids that do not exist are left
// out.
func (l *live) wholes(ctx context.Context, tx bun.Tx, ids ...string) ([]*alert, error) {
	var out []*alert
	var missing []string
	for _, id := range ids {
		if a := l.alerts[id]; a != nil && a.whole {
			a.used = l.turn
			out = append(out, a)
		} else {
			missing = append(missing, id)
		}
	}
	for part := range slices.Chunk(missing, idsPerStatement) {
		var rows []alertRow
		if err := tx.NewSelect().Model(&rows).Where("id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("read %d alerts: %w", len(part), err)
		}
		for _, r := range rows {
			a, err := l.take(r)
			if err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *alert) int { return strings.Compare(a.ID, b.ID) })
	return slices.Compact(out), nil
}

// loadKeys puts at hand what is open for keys, whole.
func (l *live) loadKeys(ctx context.Context, tx bun.Tx, keys []string) error {
	if err := l.knowKeys(ctx, tx); err != nil {
		return err
	}
	var ask, light []string
	for _, k := range keys {
		if _, known := l.last[k]; !known {
			if l.knows && l.known.Lacks(k) {
				l.last[k] = 0
			} else {
				ask = append(ask, k)
			}
		} else if a := l.open[k]; a != nil && !a.whole {
			light = append(light, a.ID)
		}
	}
	for part := range slices.Chunk(ask, idsPerStatement) {
		var generations []struct {
			Key  string `bun:"key"`
			Last int    `bun:"last"`
		}
		if err := tx.NewSelect().Model((*alertRow)(nil)).Column("key").ColumnExpr("max(generation) AS last").
			Where("key IN (?)", bun.In(part)).Group("key").Scan(ctx, &generations); err != nil {
			return fmt.Errorf("read the generations of %d keys: %w", len(part), err)
		}
		for _, k := range part {
			l.last[k] = 0
		}
		if len(generations) == 0 {
			continue // all of them fire for the first time
		}
		before := make([]string, 0, len(generations))
		for _, g := range generations {
			l.last[g.Key] = g.Last
			before = append(before, g.Key)
		}
		var rows []alertRow
		if err := tx.NewSelect().Model(&rows).Where("key IN (?)", bun.In(before)).Where("status <> ?", StatusClosed).Scan(ctx); err != nil {
			return fmt.Errorf("read the open alerts of %d keys: %w", len(before), err)
		}
		for _, r := range rows {
			a, err := l.take(r)
			if err != nil {
				return err
			}
			l.open[r.Key] = a
		}
	}
	_, err := l.wholes(ctx, tx, light...)
	return err
}

// load puts at hand the open alerts of links, and the open incidents that these
// draw alerts into.
func (l *live) load(ctx context.Context, tx bun.Tx, links ...link) error {
	byKind := map[string][]string{}
	for _, by := range links {
		if by.value != "" && !l.drawn[by] {
			l.drawn[by] = true
			byKind[by.kind] = append(byKind[by.kind], by.value)
		}
	}
	for kind, values := range byKind {
		for part := range slices.Chunk(values, idsPerStatement) {
			var rows []alertRow
			err := tx.NewRaw(`SELECT ?, doc FROM (SELECT ?, row_number() OVER (PARTITION BY tenant, ? ORDER BY severity DESC, last_seen DESC, id) AS n
				FROM ticketing_alerts WHERE status <> 'closed' AND ? <> '' AND ? IN (?)) AS a WHERE n <= ?`,
				columnList(lightColumns), columnList(lightExprs), bun.Ident(kind), bun.Ident(kind), bun.Ident(kind), bun.In(part), maxPerKey).Scan(ctx, &rows)
			if err != nil {
				return fmt.Errorf("read the open alerts of %d %ss: %w", len(part), kind, err)
			}
			for _, r := range rows {
				// This transaction may have moved it already.
				if a := l.light(r); a.Status != StatusClosed {
					for _, by := range a.ofLinks() {
						if by.kind == kind && slices.Contains(part, by.value) {
							l.join(a, by)
						}
					}
				}
			}
			for _, v := range part {
				for _, c := range l.cohorts[link{kind, v}] {
					c.more = len(c.alerts) >= maxPerKey
				}
			}
			var ids []string
			err = tx.NewRaw(`SELECT DISTINCT i.id FROM ticketing_links AS l JOIN ticketing_incidents AS i ON i.id = l.incident_id
				WHERE l.kind = ? AND l.value IN (?) AND i.status <> 'closed'`, kind, bun.In(part)).Scan(ctx, &ids)
			if err != nil {
				return fmt.Errorf("look for open incidents of %d %ss: %w", len(part), kind, err)
			}
			if err := l.loadIncidents(ctx, tx, ids...); err != nil {
				return err
			}
		}
	}
	return nil
}

func columnList(columns []string) bun.Safe { return bun.Safe(strings.Join(columns, ", ")) }

// loadIncidents puts incidents at hand with what draws alerts into them.
func (l *live) loadIncidents(ctx context.Context, tx bun.Tx, ids ...string) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" || l.incidents[id] != nil })
	slices.Sort(ids)
	loaded, err := readIncidents(ctx, tx, slices.Compact(ids))
	if err != nil {
		return err
	}
	for _, i := range loaded {
		l.know(i)
	}
	return nil
}

// know puts an incident at hand as it is now, or lets go of one that is closed.
func (l *live) know(i *incident) {
	if old := l.incidents[i.ID]; old != nil {
		for _, by := range old.draws {
			l.drawing[by] = slices.DeleteFunc(l.drawing[by], func(o *incident) bool { return o == old })
			if len(l.drawing[by]) == 0 {
				delete(l.drawing, by)
			}
		}
	}
	i.draws = nil
	if i.Status == StatusClosed {
		delete(l.incidents, i.ID)
		delete(l.members, i.ID)
		return
	}
	if i.apart() { // nothing is drawn in by an item or actor
		l.incidents[i.ID] = i
		return
	}
	for _, item := range i.items {
		i.draws = append(i.draws, tenantLink{i.Tenant, link{linkItem, item}})
	}
	for _, actor := range i.actors {
		i.draws = append(i.draws, tenantLink{i.Tenant, link{linkActor, actor}})
	}
	for _, by := range i.draws {
		l.drawing[by] = append(l.drawing[by], i)
	}
	l.incidents[i.ID] = i
}

// loadMembers puts all alerts of an incident at hand that SQL knows to be its.
func (l *live) loadMembers(ctx context.Context, tx bun.Tx, i *incident) error {
	if l.members[i.ID] != nil {
		return nil
	}
	m := map[string]*alert{}
	l.members[i.ID] = m
	if i.fresh {
		return nil
	}
	var rows []alertRow
	if err := tx.NewSelect().Model(&rows).ColumnExpr("?", columnList(lightExprs)).Where("incident_id = ?", i.ID).Scan(ctx); err != nil {
		return fmt.Errorf("read the alerts of incident %s: %w", i.ID, err)
	}
	for _, r := range rows {
		if a := l.light(r); a.IncidentID == i.ID {
			m[a.ID] = a
		}
	}
	return nil
}

// fired names alerts, so many at most, that have fired since the policy was
// asked about them; they are none of those then.
func (l *live) fired(most int) []string {
	var ids []string
	for id := range l.again {
		if len(ids) == most {
			break
		}
		ids = append(ids, id)
		delete(l.again, id)
	}
	return ids
}

// drop lets go of alerts that were changed beside it, and of all that they are
// part of, so that it is read again.
func (l *live) drop(alerts ...*alert) {
	l.reopened.Store(true)
	for _, a := range alerts {
		for _, r := range []*alert{a, l.alerts[a.ID]} {
			if r == nil {
				continue
			}
			for _, by := range slices.Concat(r.links[:], sliceOf(r.ofLinks())) {
				delete(l.cohorts, by)
				delete(l.drawn, by)
			}
			delete(l.members, r.IncidentID)
			delete(l.open, r.Key)
			delete(l.last, r.Key)
		}
		delete(l.alerts, a.ID)
		delete(l.again, a.ID)
	}
}

// seen returns what a policy sees of an alert as a relation, with times and
// state as they are now. It is not to be changed.
func (a *alert) seen() (*policy.Alert, error) {
	if a.facts == nil {
		switch {
		case a.whole:
			a.facts = a.related()
		case a.Facts != "":
			a.facts = &policy.Alert{}
			if err := json.Unmarshal([]byte(a.Facts), a.facts); err != nil {
				a.facts = nil
				return nil, fmt.Errorf("ticketing: the facts of alert %s cannot be read: %w", a.ID, err)
			}
		default:
			from := alert{alertRow: a.alertRow}
			if err := from.unpack(); err != nil {
				return nil, err
			}
			a.facts, a.Doc = from.related(), ""
		}
		a.Facts = ""
	}
	now := glimpse{a.facts, a.spanned(), a.Count, a.Priority, a.Status}
	if a.shown == nil || a.glimpse != now {
		a.facts.Freeze() // it is shown to the policy again and again
		facts := *a.facts
		facts.First, facts.Last, facts.Count = when(a.FirstSeen), when(a.LastSeen), a.Count
		facts.Status, facts.Priority = string(a.Status), priorityOf(a.Priority)
		a.shown, a.glimpse = &facts, now
	}
	return a.shown, nil
}
