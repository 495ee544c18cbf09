package ticketing

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/ticketing/transition"
)

// maxMerged is how many incidents one merge takes in.
const maxMerged = 20

// Regroup is a merge or a split of incidents, as it was done.
type Regroup struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind" enum:"merge,split"`
	Incident string   `json:"incident" doc:"That took alerts in, or that they were taken from"`
	Others   []string `json:"others" nullable:"false" doc:"Incidents that were merged into it, or the one that was split off"`
	Alerts   int      `json:"alerts" doc:"That went from one to the other"`
	At       Time     `json:"at" format:"date-time"`
	Actor    string   `json:"actor"`
	UndoneAt *Time    `json:"undone_at,omitempty" format:"date-time"`
	UndoneBy string   `json:"undone_by,omitempty"`
}

// regroupDoc is what it takes to undo a merge or a split.
type regroupDoc struct {
	Others []formerIncident `json:"others"`
	Moved  []string         `json:"moved,omitempty"` // of a split: alerts
}

// formerIncident is an incident as it stood before a merge closed it.
type formerIncident struct {
	ID         string   `json:"id"`
	Status     Status   `json:"status,omitempty"`
	ResolvedAt int64    `json:"resolved_at,omitempty"`
	Items      []string `json:"items,omitempty"`
	Alerts     []string `json:"alerts,omitempty"`
}

type regroupRow struct {
	bun.BaseModel `bun:"table:ticketing_regroups"`
	ID            string `bun:"id,pk"`
	Incident      string `bun:"incident"`
	At            int64  `bun:"at"`
	Actor         string `bun:"actor"`
	Kind          string `bun:"kind"`
	Doc           string `bun:"doc"`
	UndoneAt      int64  `bun:"undone_at"`
	UndoneBy      string `bun:"undone_by"`
}

func (r *regroupRow) view() (out Regroup, doc regroupDoc, err error) {
	if err := json.Unmarshal([]byte(r.Doc), &doc); err != nil {
		return out, doc, fmt.Errorf("ticketing: read regrouping %s: %w", r.ID, err)
	}
	out = Regroup{ID: r.ID, Kind: r.Kind, Incident: r.Incident, Others: []string{}, Alerts: len(doc.Moved), At: at(r.At), Actor: r.Actor, UndoneAt: maybe(r.UndoneAt), UndoneBy: r.UndoneBy}
	for _, o := range doc.Others {
		out.Others = append(out.Others, o.ID)
		out.Alerts += len(o.Alerts)
	}
	return out, doc, nil
}

// regrouping moves alerts between incidents within one transaction.
type regrouping struct {
	*correlation
	by     Actor
	tenant string   // of the incidents
	moved  []string // ids of alerts
	free   bool     // they may be moved by topology again: what put them there is undone
}

// regroup runs f over a correlation that has nothing at hand but what it loads,
// and writes back what f left dirty.
func (s *Service) regroup(ctx context.Context, by Actor, action string, f func(ctx context.Context, g *regrouping) (regroupRow, error)) (out Regroup, err error) {
	now := s.now()
	var changes []Change
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		s.live.forget()
		g := &regrouping{by: by, correlation: &correlation{s: s, live: s.live, tx: tx, now: now, touched: map[string]*alert{}, attached: map[string][]*alert{},
			rejudged: map[string]bool{}, dirty: map[string]bool{}, gone: map[string]bool{}, grew: map[string]bool{}}}
		row, err := f(ctx, g)
		if err != nil {
			return err
		}
		if err := g.pin(ctx); err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(g.dirty)) {
			i := g.incidents[id]
			g.recompute(i)
			if err := g.describe(ctx, i); err != nil {
				return err
			}
		}
		if err := g.save(ctx); err != nil {
			return err
		}
		// Closed alerts moved, too: nothing draws them in any more.
		if _, err := tx.NewUpdate().Model((*alertRow)(nil)).Set("held = ?", false).Where("incident_id IN (?) AND status = ? AND held", bun.In(slices.Sorted(maps.Keys(g.dirty))), StatusClosed).Exec(ctx); err != nil {
			return fmt.Errorf("let go of closed alerts: %w", err)
		}
		s.live.forget()
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("undone_at = EXCLUDED.undone_at").Set("undone_by = EXCLUDED.undone_by").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("write regrouping %s: %w", row.ID, err)
		}
		if out, _, err = row.view(); err != nil {
			return err
		}
		changes = []Change{{Actor: by.Name, Action: "incident." + action, Object: row.Incident, Tenant: g.tenant, Detail: fmt.Sprint(out.Others)}}
		return nil
	})
	if err != nil {
		return Regroup{}, fmt.Errorf("ticketing: %s: %w", action, err)
	}
	s.note(ctx, changes...)
	s.nudge()
	s.out.Wake()
	return out, nil
}

// take puts an incident and its alerts at hand. Who regroups must see all of
// them: he would move what he does not know of.
func (g *regrouping) take(ctx context.Context, id string, open bool) (*incident, error) {
	list, err := readIncidents(ctx, g.tx, []string{id})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || !g.by.Reach.Match(list[0].FactsOf(list[0].Tenant)) {
		return nil, fmt.Errorf("incident %q: %w", id, ErrNotFound)
	}
	i := list[0]
	g.tenant = i.Tenant
	if !g.by.Reach.CoversWhole(i.Tenant) {
		return nil, &Conflict{Object: id, Status: i.Status, Reason: fmt.Sprintf("incident %s may have alerts that are not within your reach: somebody who sees the whole of %s has to regroup it", id, i.Tenant)}
	}
	if open && i.Status == StatusClosed {
		return nil, incidentConflict(i, "regrouped")
	}
	if i.Status != StatusClosed {
		g.know(i)
		return i, g.loadMembers(ctx, g.tx, i)
	}
	return i, nil
}

// move takes an alert from one incident into another, both of them at hand.
func (g *regrouping) move(a *alert, from, to *incident) {
	delete(g.members[from.ID], a.ID)
	g.attach(to, a)
	g.moved = append(g.moved, a.ID)
	g.dirty[to.ID] = true
}

// pin keeps the alerts that were moved by hand where they are, whatever the
// relations of their items say.
func (g *regrouping) pin(ctx context.Context) error {
	list, err := g.wholes(ctx, g.tx, g.moved...)
	if err != nil {
		return err
	}
	for _, a := range list {
		a.doc.Pinned, a.saved = !g.free, nil // nil: SQL has another state of it
		g.touch(a)
	}
	return nil
}

// keepItems leaves an incident those of its items that its alerts are about.
func (g *regrouping) keepItems(i *incident, more ...string) {
	about := map[string]bool{}
	for _, m := range g.members[i.ID] {
		about[m.Item] = true
	}
	i.items = slices.DeleteFunc(union(slices.Clone(i.items), more...), func(item string) bool { return !about[item] })
	i.ranked = false
	g.know(i)
	g.dirty[i.ID] = true
}

func (g *regrouping) say(ctx context.Context, id, zh, en string, data map[string]any) error {
	return saveTimeline(ctx, g.tx, []timelineRow{entry(id, g.now, "related", g.by.Name, detections.Text{ZH: zh, EN: en}, data)})
}

// end closes an incident whose alerts have gone into another one.
func (g *regrouping) end(ctx context.Context, i *incident, into string) error {
	if err := g.s.mayMove(ctx, transition.Incident, i.Status, StatusClosed); err != nil {
		return err
	}
	i.doc.MergedInto = into
	if i.PausedAt > 0 {
		if err := saveTimeline(ctx, g.tx, []timelineRow{g.s.resume(i, g.by, g.now, "")}); err != nil {
			return err
		}
	}
	i.Status, i.ClosedAt, i.ClosedBy, i.Resolution = StatusClosed, g.now.UnixMilli(), g.by.Name, "duplicate"
	i.ResolvedAt, i.TellAt, i.ToldAt, i.AlertCount = g.now.UnixMilli(), 0, g.now.UnixMilli(), 0
	if err := g.say(ctx, i.ID, "并入事件 "+into, "Merged into incident "+into, map[string]any{"incident_id": into}); err != nil {
		return err
	}
	if err := g.s.tell(ctx, g.tx, i, "resolved", strconv.FormatInt(g.now.UnixMilli(), 10), g.now); err != nil {
		return err
	}
	delete(g.dirty, i.ID)
	return g.s.saveIncident(ctx, g.tx, i)
}

// Merge takes the alerts of other incidents of the same tenant into one, and
// closes those as duplicates of it.
func (s *Service) Merge(ctx context.Context, by Actor, id string, others []string) (Regroup, error) {
	others = slices.Compact(slices.Sorted(slices.Values(others)))
	if len(others) == 0 || len(others) > maxMerged || slices.Contains(others, id) {
		return Regroup{}, fmt.Errorf("%w: incidents: want 1 to %d others than %s", ErrInvalid, maxMerged, id)
	}
	return s.regroup(ctx, by, "merge", func(ctx context.Context, g *regrouping) (row regroupRow, err error) {
		into, err := g.take(ctx, id, true)
		if err != nil {
			return row, err
		}
		doc := regroupDoc{}
		for _, other := range others {
			from, err := g.take(ctx, other, true)
			if err != nil {
				return row, err
			}
			if from.Tenant != into.Tenant {
				return row, fmt.Errorf("%w: %s is of %s and %s of %s: only incidents of one tenant merge", ErrInvalid, id, into.Tenant, other, from.Tenant)
			}
			doc.Others = append(doc.Others, formerIncident{ID: other, Status: from.Status, ResolvedAt: from.ResolvedAt, Items: from.items, Alerts: slices.Sorted(maps.Keys(g.members[other]))})
			for _, a := range slices.SortedFunc(maps.Values(g.members[other]), began) {
				g.move(a, from, into)
			}
			g.keepItems(into, from.items...)
			into.doc.MergedFrom = union(into.doc.MergedFrom, other)
			if err := g.end(ctx, from, id); err != nil {
				return row, err
			}
			if err := g.say(ctx, id, "合并事件 "+other, "Incident "+other+" merged into this one", map[string]any{"incident_id": other}); err != nil {
				return row, err
			}
		}
		text, err := json.Marshal(doc)
		return regroupRow{ID: "RG-" + token(), Incident: id, At: g.now.UnixMilli(), Actor: by.Name, Kind: "merge", Doc: string(text)}, err
	})
}

// Split takes alerts out of an incident into one of their own.
func (s *Service) Split(ctx context.Context, by Actor, id string, alerts []string) (Regroup, error) {
	alerts = slices.Compact(slices.Sorted(slices.Values(alerts)))
	if len(alerts) == 0 || len(alerts) > maxBatch {
		return Regroup{}, fmt.Errorf("%w: alerts: %d of them, want 1 to %d", ErrInvalid, len(alerts), maxBatch)
	}
	return s.regroup(ctx, by, "split", func(ctx context.Context, g *regrouping) (row regroupRow, err error) {
		from, err := g.take(ctx, id, true)
		if err != nil {
			return row, err
		}
		var moved []*alert
		for _, a := range alerts {
			m := g.members[id][a]
			if m == nil {
				return row, fmt.Errorf("%w: alert %q is none of incident %s", ErrInvalid, a, id)
			}
			moved = append(moved, m)
		}
		if len(moved) == len(g.members[id]) {
			return row, fmt.Errorf("%w: these are all alerts of incident %s: leave it one at least", ErrInvalid, id)
		}
		slices.SortFunc(moved, began)
		delete(g.members[id], moved[0].ID)
		g.moved = append(g.moved, moved[0].ID)
		to, err := g.openIncident(ctx, moved[0], policy.Decision{})
		if err != nil {
			return row, err
		}
		// The same alerts may be split off again.
		to.Derived = "split " + token()
		g.members[to.ID] = map[string]*alert{moved[0].ID: moved[0]}
		g.dirty[to.ID] = true
		for _, a := range moved[1:] {
			g.move(a, from, to)
		}
		var items []string
		for _, a := range moved {
			items = union(items, a.Item)
		}
		g.keepItems(to, items...)
		g.keepItems(from)
		to.doc.Reasons = []detections.Text{{ZH: "由 " + by.Name + " 从事件 " + id + " 拆分", EN: "Split off incident " + id + " by " + by.Name}}
		if err := g.say(ctx, id, fmt.Sprintf("拆出 %d 条告警到事件 %s", len(moved), to.ID), fmt.Sprintf("%d alerts split off into incident %s", len(moved), to.ID), map[string]any{"incident_id": to.ID}); err != nil {
			return row, err
		}
		text, err := json.Marshal(regroupDoc{Others: []formerIncident{{ID: to.ID}}, Moved: alerts})
		return regroupRow{ID: "RG-" + token(), Incident: id, At: g.now.UnixMilli(), Actor: by.Name, Kind: "split", Doc: string(text)}, err
	})
}

// UndoRegroup takes a merge or a split back: alerts that are still where it put
// them return, what came since stays.
func (s *Service) UndoRegroup(ctx context.Context, by Actor, id, which string) (Regroup, error) {
	return s.regroup(ctx, by, "regroup-undo", func(ctx context.Context, g *regrouping) (row regroupRow, err error) {
		err = g.tx.NewSelect().Model(&row).Where("id = ? AND incident = ?", which, id).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return row, fmt.Errorf("%q of incident %q: %w", which, id, ErrNotFound)
		}
		if err != nil {
			return row, err
		}
		_, doc, err := row.view()
		if err != nil {
			return row, err
		}
		if row.UndoneAt != 0 {
			return row, &Conflict{Object: row.ID, By: row.UndoneBy, At: at(row.UndoneAt), Reason: fmt.Sprintf("%s was undone by %s already", row.ID, row.UndoneBy)}
		}
		row.UndoneAt, row.UndoneBy, g.free = g.now.UnixMilli(), by.Name, true
		one, err := g.take(ctx, id, true)
		if err != nil {
			return row, err
		}
		if row.Kind == "split" {
			return row, g.joinAgain(ctx, one, doc.Others[0].ID, doc.Moved)
		}
		for _, former := range doc.Others {
			if err := g.partAgain(ctx, one, former); err != nil {
				return row, err
			}
		}
		return row, nil
	})
}

// joinAgain undoes a split.
func (g *regrouping) joinAgain(ctx context.Context, one *incident, other string, moved []string) error {
	from, err := g.take(ctx, other, true)
	if err != nil {
		return err
	}
	var items []string
	for _, id := range moved {
		if a := g.members[other][id]; a != nil {
			items = union(items, a.Item)
			g.move(a, from, one)
		}
	}
	g.keepItems(one, items...)
	if len(g.members[other]) > 0 { // it has taken in others since
		g.keepItems(from)
		return g.say(ctx, one.ID, "撤销拆分 "+other, "The split of "+other+" is undone", map[string]any{"incident_id": other})
	}
	return g.end(ctx, from, one.ID)
}

// partAgain undoes the merge of one incident into another.
func (g *regrouping) partAgain(ctx context.Context, one *incident, former formerIncident) error {
	to, err := g.take(ctx, former.ID, false)
	if err != nil {
		return err
	}
	if to.Status == StatusClosed {
		to.Status, to.ClosedAt, to.ClosedBy, to.Resolution, to.ResolvedAt = former.Status, 0, "", "", former.ResolvedAt
		g.know(to)
		if err := g.loadMembers(ctx, g.tx, to); err != nil {
			return err
		}
	}
	for _, id := range former.Alerts {
		if a := g.members[one.ID][id]; a != nil {
			g.move(a, one, to)
		}
	}
	if len(g.members[to.ID]) == 0 || len(g.members[one.ID]) == 0 {
		return &Conflict{Object: to.ID, Status: to.Status, Reason: fmt.Sprintf("none of the alerts of %s is in %s any more, or no other would be left: there is nothing to take back", former.ID, one.ID)}
	}
	to.doc.MergedInto = ""
	one.doc.MergedFrom = slices.DeleteFunc(one.doc.MergedFrom, func(id string) bool { return id == to.ID })
	g.keepItems(to, former.Items...)
	g.keepItems(one)
	to.tellLater(g.now, g.s.cfg.GroupInterval)
	if err := g.say(ctx, to.ID, "撤销合并，从事件 "+one.ID+" 恢复", "The merge into "+one.ID+" is undone", map[string]any{"incident_id": one.ID}); err != nil {
		return err
	}
	return g.say(ctx, one.ID, "撤销合并 "+to.ID, "The merge of "+to.ID+" is undone", map[string]any{"incident_id": to.ID})
}

// Regroups lists the merges and splits of an incident, newest first.
func (s *Service) Regroups(ctx context.Context, incident string) ([]Regroup, error) {
	var rows []regroupRow
	if err := s.db.NewSelect().Model(&rows).Where("incident = ?", incident).OrderExpr("at DESC, id").Limit(100).Scan(ctx); err != nil {
		return nil, fmt.Errorf("ticketing: list the regroupings of %s: %w", incident, err)
	}
	out := []Regroup{}
	for i := range rows {
		r, _, err := rows[i].view()
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
