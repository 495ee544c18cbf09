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

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/ticketing/topology"
)

// How alerts of faults become incidents. An alert that tells of a fault of a
// configuration item waits for a moment, since what a broken switch takes down
// is told of in no particular order. Then all that fails around the item is put
// into groups by who depends on whom (package topology), and each group becomes
// one incident of each tenant it touches, which names the likely root. What
// becomes known later may join groups: their incidents merge into the oldest.
//
// What fails and who holds it is read from SQL each time. Memory only knows who
// depends on whom: for each failing item the causes that a walk in the CMDB
// found, and for each cause who waits for it. So a storm costs a walk for each
// item, not for each alert, and a restart forgets nothing.

// Relations tell who depends on whom; items have numbers. It is asked outside
// of transactions.
type Relations interface {
	// Numbers returns the numbers of items by their ids, without those that are
	// no item's.
	Numbers(ctx context.Context, ids []string) (map[string]int32, error)
	// Causes lists items whose failure may reach an item, up to depth relations
	// away and about limit of them.
	Causes(ctx context.Context, item int32, depth, limit int) ([]topology.Cause, error)
	// Dependents lists items, limit at most, that directly depend on one.
	Dependents(ctx context.Context, item int32, limit int) ([]int32, error)
	// Named tells which items these are.
	Named(ctx context.Context, items []int32) (map[int32]NamedItem, error)
}

// NamedItem is what an incident tells of its root.
type NamedItem struct{ ID, Name, Class, Tenant string }

// Faults are the options of grouping by dependency.
type Faults struct {
	// Wait is how long an alert of a fault waits for others before it opens an
	// incident. Default 10s; 0s opens at once.
	Wait *time.Duration `yaml:"wait"`
	// Window is how long after a cause, or before it, its consequences may
	// begin. Default 15m.
	Window time.Duration `yaml:"window"`
	// Opens is the least level of a fault that opens an incident by itself.
	// Default medium.
	Opens detections.Level `yaml:"opens"`
	// Least is how many dependents of an item that tells nothing itself must
	// fail at once, and Share the least share of all of them, for it to be
	// inferred as their root. Defaults 3 and 0.5; a negative Least infers none.
	Least int     `yaml:"least"`
	Share float64 `yaml:"share"`
}

func (f Faults) withDefaults() Faults {
	if f.Wait == nil {
		wait := 10 * time.Second
		f.Wait = &wait
	}
	f.Window = cmp.Or(f.Window, 15*time.Minute)
	f.Opens = cmp.Or(f.Opens, detections.Medium)
	f.Least = cmp.Or(f.Least, 3)
	f.Share = cmp.Or(f.Share, 0.5)
	return f
}

func (f Faults) validate() error {
	switch {
	case *f.Wait < 0 || *f.Wait > time.Hour:
		return fmt.Errorf("wait: %s: want 0s to 1h", *f.Wait)
	case f.Window < time.Second || f.Window > 24*time.Hour:
		return fmt.Errorf("window: %s: want 1s to 24h", f.Window)
	case !slices.Contains(detections.Levels, f.Opens):
		return fmt.Errorf("opens: %q: want one of %v", f.Opens, detections.Levels)
	case f.Share < 0 || f.Share > 1:
		return fmt.Errorf("percent: %g: want 0 to 100", 100*f.Share)
	}
	return nil
}

// noteFaults tells which items have alerts of faults that no incident holds yet.
func (s *Service) noteFaults(touched []*alert, now time.Time) (noted bool) {
	if s.faults == nil {
		return false
	}
	var items []string
	for _, a := range touched {
		if a.Fault && !a.Held && a.Status != StatusClosed {
			items = append(items, a.Item)
		}
	}
	s.faults.note(items, now.Add(*s.faults.options.Wait))
	return len(items) > 0
}

// faultRow is what the open alerts of an item of a tenant tell together.
type faultRow struct {
	Tenant   string `bun:"tenant"`
	Item     string `bun:"item"`
	Incident string `bun:"incident"` // that holds them, "" for those that are free
	First    int64  `bun:"first"`
	Last     int64  `bun:"last"`
	Severity int    `bun:"severity"`
	Open     int    `bun:"open"`
}

// settleFaults groups the faults that have waited long enough.
func (s *Service) settleFaults(ctx context.Context, now time.Time) error {
	f := s.faults
	if f == nil {
		return nil
	}
	f.settling.Lock()
	defer f.settling.Unlock()
	if !f.read {
		if err := s.readFaults(ctx, now); err != nil {
			return err
		}
		f.read = true
	}
	if len(f.items) > 2*maxTogether { // most of them fail no more
		f.items, f.numbers, f.watched = map[string]*failing{}, map[int32]*failing{}, map[int32]map[int32]bool{}
		if err := s.readFaults(ctx, now); err != nil {
			return err
		}
	}
	ids := f.take(now)
	if len(ids) == 0 {
		return nil
	}
	if err := s.settleItems(ctx, ids, now); err != nil {
		f.note(ids, now.Add(time.Second))
		return err
	}
	return nil
}

// readFaults puts at hand what fails, after a start.
func (s *Service) readFaults(ctx context.Context, now time.Time) error {
	f := s.faults
	var rows []struct {
		Item string `bun:"item"`
		Free bool   `bun:"free"`
	}
	// Alerts that fired long ago explain nothing that begins now, unless they
	// are free still.
	since := now.Add(-2*f.options.Window - *f.options.Wait).UnixMilli()
	err := s.db.NewSelect().Model((*alertRow)(nil)).Column("item").ColumnExpr("max(NOT held) AS free").
		Where("fault = 1 AND status <> 'closed' AND (created_at > ? OR NOT held)", since).Group("item").OrderExpr("item").Limit(maxTogether).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("ticketing: read what fails: %w", err)
	}
	all := make([]string, 0, len(rows))
	for _, r := range rows {
		all = append(all, r.Item)
		if r.Free {
			f.note([]string{r.Item}, now)
		}
	}
	return f.know(ctx, all, now)
}

func (s *Service) settleItems(ctx context.Context, ids []string, now time.Time) error {
	f := s.faults
	if err := f.know(ctx, ids, now); err != nil {
		return err
	}
	items, more := f.around(ids)
	if more {
		s.log.Warn("ticketing: more items fail together than are looked at: the rest is grouped apart", "items", maxTogether)
	}
	found, err := s.faultsOf(ctx, items, now)
	if err != nil {
		return err
	}
	failures := make([]topology.Failure, 0, len(items))
	for _, x := range items {
		list := found[x.id]
		if len(list) == 0 {
			f.forget(x.id) // it fails no more
			continue
		}
		failure := topology.Failure{Item: x.number, First: list[0].First, Last: list[0].Last, Causes: x.causes}
		for _, l := range list {
			failure.First, failure.Last = min(failure.First, l.First), max(failure.Last, l.Last)
		}
		failures = append(failures, failure)
	}
	groups, names, err := s.groupFaults(ctx, failures)
	if err != nil {
		return err
	}
	seeds := map[string]bool{}
	for _, id := range ids {
		seeds[id] = true
	}
	var c *correlation
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		c = s.newCorrelation(tx, now)
		for _, g := range groups {
			if err := c.applyGroup(ctx, &g, found, names[g.Root], seeds); err != nil {
				return err
			}
		}
		return c.finishFaults(ctx)
	})
	if err != nil {
		return fmt.Errorf("ticketing: group what fails: %w", err)
	}
	s.count(func(st *Stats) { st.Incidents += uint64(c.opened) })
	s.note(ctx, c.changes...)
	if len(c.dirty) > 0 || len(c.emptied) > 0 {
		s.nudge()
		s.out.Wake()
	}
	return nil
}

// faultsOf reads what the alerts of items tell: those that are open, and those
// that recovered a moment ago, which still explain what follows.
func (s *Service) faultsOf(ctx context.Context, items []*failing, now time.Time) (map[string][]faultRow, error) {
	out := make(map[string][]faultRow, len(items))
	for part := range slices.Chunk(items, idsPerStatement) {
		ids := make([]string, 0, len(part))
		for _, x := range part {
			ids = append(ids, x.id)
		}
		var rows []faultRow
		err := s.db.NewRaw(`SELECT tenant, item, CASE WHEN held THEN incident_id ELSE '' END AS incident, min(first_seen) AS first, max(last_seen) AS last,
			max(severity) AS severity, sum(status <> 'closed') AS open FROM ticketing_alerts
			WHERE fault = 1 AND item IN (?) AND (status <> 'closed' OR resolution = ? AND closed_at > ?) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
			bun.In(ids), Recovered, now.Add(-s.faults.options.Window).UnixMilli()).Scan(ctx, &rows)
		if err != nil {
			return nil, fmt.Errorf("ticketing: read the faults of %d items: %w", len(part), err)
		}
		for _, r := range rows {
			out[r.Item] = append(out[r.Item], r)
		}
	}
	return out, nil
}

// groupFaults puts failures into groups, and names their roots.
func (s *Service) groupFaults(ctx context.Context, failures []topology.Failure) ([]topology.Group, map[int32]NamedItem, error) {
	f := s.faults
	var failed error
	counted := map[int32]int{}
	groups := topology.Partition(failures, topology.Options{Window: f.options.Window, Least: max(0, f.options.Least), Share: f.options.Share,
		Dependents: func(item int32) int {
			if n, known := counted[item]; known || item < 0 {
				return n
			}
			list, err := f.relations.Dependents(ctx, item, maxDependents)
			if err != nil {
				failed = err
			}
			counted[item] = len(list)
			return len(list)
		}})
	if failed != nil {
		return nil, nil, fmt.Errorf("ticketing: count what depends on a failing item: %w", failed)
	}
	var roots []int32
	for _, g := range groups {
		if g.Root >= 0 {
			roots = append(roots, g.Root)
		}
	}
	names, err := f.relations.Named(ctx, roots)
	if err != nil {
		return nil, nil, fmt.Errorf("ticketing: name what failed: %w", err)
	}
	return groups, names, nil
}

// applyGroup makes a group one incident of each tenant that it touches.
func (c *correlation) applyGroup(ctx context.Context, g *topology.Group, found map[string][]faultRow, root NamedItem, seeds map[string]bool) error {
	f := c.s.faults
	due := false
	tenants := map[string][]faultRow{}
	for _, number := range g.Items {
		x := f.numbers[number]
		if x == nil {
			continue
		}
		due = due || seeds[x.id]
		for _, l := range found[x.id] {
			if l.Open > 0 {
				tenants[l.Tenant] = append(tenants[l.Tenant], l)
			}
		}
	}
	if !due {
		return nil // nothing has become of it
	}
	if x := f.numbers[g.Root]; x != nil && root.ID == "" {
		root.ID = x.id
	}
	for _, tenant := range slices.Sorted(maps.Keys(tenants)) {
		if err := c.applyFaults(ctx, tenant, tenants[tenant], g, root); err != nil {
			return err
		}
	}
	return nil
}

// applyFaults has one incident of a tenant hold the alerts of its part of a
// group.
func (c *correlation) applyFaults(ctx context.Context, tenant string, list []faultRow, g *topology.Group, root NamedItem) error {
	var holders, items []string
	worst := 0
	for _, l := range list {
		holders, items, worst = union(holders, l.Incident), union(items, l.Item), max(worst, l.Severity)
	}
	if err := c.loadIncidents(ctx, c.tx, holders...); err != nil {
		return err
	}
	var into *incident
	for _, id := range holders {
		i := c.incidents[id]
		if i == nil || i.doc.Root == nil || c.claimed[id] {
			continue
		}
		if into == nil || cmp.Or(cmp.Compare(i.OpenedAt, into.OpenedAt), strings.Compare(i.ID, into.ID)) < 0 {
			into = i
		}
	}
	if into == nil && len(items) == 1 && worst < severityRank(c.s.faults.options.Opens) {
		return nil
	}
	loose, err := c.looseFaults(ctx, tenant, items, into)
	if err != nil {
		return err
	}
	if into == nil {
		if len(loose) == 0 {
			return nil // they were closed, or taken, in the meantime
		}
		first := loose[0]
		for _, a := range loose {
			if own := a.Item == root.ID; own && first.Item != root.ID || own == (first.Item == root.ID) && began(a, first) < 0 {
				first = a
			}
		}
		if into, err = c.openIncident(ctx, first, policy.Decision{}); err != nil {
			return err
		}
	}
	c.claimed[into.ID] = true
	c.nameRoot(into, tenant, items, list, g, root)
	c.know(into) // faults draw nothing in by themselves
	for _, a := range loose {
		if err := c.moveTo(ctx, into, a); err != nil {
			return err
		}
	}
	c.grew[into.ID] = true
	return nil
}

// looseFaults reads the open alerts of items that an incident does not hold yet,
// but for those that somebody put elsewhere by hand.
func (c *correlation) looseFaults(ctx context.Context, tenant string, items []string, into *incident) ([]*alert, error) {
	held := ""
	if into != nil {
		held = into.ID
	}
	var out []*alert
	for part := range slices.Chunk(items, idsPerStatement) {
		var rows []alertRow
		err := c.tx.NewSelect().Model(&rows).ColumnExpr("?", columnList(lightExprs)).
			Where("fault = 1 AND tenant = ? AND item IN (?) AND status <> 'closed' AND (NOT held OR incident_id <> ?)", tenant, bun.In(part), held).
			Where("NOT (held AND coalesce(json_extract(doc, '$.pinned'), 0))").OrderExpr("first_seen, id").Scan(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the alerts of %d failing items: %w", len(part), err)
		}
		for _, r := range rows {
			if a := c.light(r); a.Status != StatusClosed {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// moveTo puts an alert into an incident, and takes it from another that holds
// it.
func (c *correlation) moveTo(ctx context.Context, into *incident, a *alert) error {
	if a.Held && a.IncidentID == into.ID {
		return nil
	}
	if a.Held && a.IncidentID != "" {
		if err := c.loadIncidents(ctx, c.tx, a.IncidentID); err != nil {
			return err
		}
		if from := c.incidents[a.IncidentID]; from != nil {
			if err := c.loadMembers(ctx, c.tx, from); err != nil {
				return err
			}
			delete(c.members[from.ID], a.ID)
			c.left[from.ID] = into.ID
		}
	}
	c.attach(into, a)
	return nil
}

// finishFaults settles the incidents that alerts came into or left, of faults or
// by merge rules, closes those that are empty now, and writes everything back.
func (c *correlation) finishFaults(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(c.left)) {
		from, into := c.incidents[id], c.incidents[c.left[id]]
		open := false
		for _, m := range c.members[id] {
			open = open || m.Status != StatusClosed
		}
		if open {
			c.grew[id] = true
			continue
		}
		delete(c.grew, id)
		if into != nil {
			c.empty(from, into)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.grew)) {
		if err := c.settle(ctx, c.incidents[id]); err != nil {
			return err
		}
	}
	if err := c.save(ctx); err != nil {
		return err
	}
	for _, i := range c.emptied {
		if err := c.s.tell(ctx, c.tx, i, "resolved", "merged into "+i.doc.MergedInto, c.now); err != nil {
			return err
		}
		if err := c.s.saveIncident(ctx, c.tx, i); err != nil {
			return err
		}
	}
	return nil
}

// empty closes an incident whose alerts another one holds now.
func (c *correlation) empty(from, into *incident) {
	from.Status, from.ClosedAt, from.ClosedBy, from.Resolution = StatusClosed, c.now.UnixMilli(), SystemActor, "duplicate"
	from.ResolvedAt, from.TellAt, from.ToldAt = c.now.UnixMilli(), 0, c.now.UnixMilli()
	from.doc.MergedInto = into.ID
	into.doc.MergedFrom = union(into.doc.MergedFrom, from.ID)
	c.emptied = append(c.emptied, from)
	c.notes = append(c.notes,
		entry(from.ID, c.now, "closed", SystemActor, detections.Text{ZH: "并入事件 " + into.ID + "：它们由同一故障引起", EN: "Merged into incident " + into.ID + ": one fault is behind both"},
			map[string]any{"resolution": "duplicate", "incident_id": into.ID}),
		entry(into.ID, c.now, "alert", SystemActor, detections.Text{ZH: "并入事件 " + from.ID, EN: "Incident " + from.ID + " is merged into this one"}, map[string]any{"incident_id": from.ID}))
	c.changes = append(c.changes, Change{Actor: SystemActor, Action: "incident.merge", Object: from.ID, Tenant: from.Tenant, Detail: into.ID})
}
