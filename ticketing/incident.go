package ticketing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"icewatch/detections"
	"icewatch/detections/policy"
	"icewatch/soc/state"
)

// openIncident opens an incident with an alert as its first.
func (c *correlation) openIncident(ctx context.Context, a *alert, d policy.Decision) (*incident, error) {
	day := c.now.In(c.s.zone).Format("20060102")
	var n int
	err := c.tx.NewRaw(`INSERT INTO ticketing_numbers (day, last) VALUES (?, 1)
		ON CONFLICT (day) DO UPDATE SET last = ticketing_numbers.last + 1 RETURNING last`, day).Scan(ctx, &n)
	if err != nil {
		return nil, fmt.Errorf("take an incident number of %s: %w", day, err)
	}
	// An alert opens one incident, and one more where it goes on after that
	// one was closed: so it is derived from both.
	sum := sha256.Sum256([]byte("incident\x00" + a.ID + "\x00" + a.IncidentID))
	i := &incident{
		incidentRow: incidentRow{
			ID: fmt.Sprintf("INC-%s-%04d", day, n), Derived: hex.EncodeToString(sum[:16]), Tenant: a.Tenant, Status: StatusOpen,
			Severity: a.Severity, Priority: a.Priority, FirstSeen: a.FirstSeen, LastSeen: a.LastSeen, OpenedAt: c.now.UnixMilli(),
		},
		fresh: true,
	}
	i.setClock(c.s.sla().Start(priorityOf(a.Priority), c.now))
	if a.Item != "" {
		i.items = []string{a.Item}
	}
	c.know(i)
	c.opened++
	c.attach(i, a)
	return i, nil
}

// weigh takes in what the policy makes of an incident's alerts together. What
// it said once stays: a later alert seen from another side does not undo it.
func (i *incident) weigh(d policy.Decision) {
	if !d.Open {
		return
	}
	if d.Severity != "" {
		i.doc.Severity = max(i.doc.Severity, severityRank(d.Severity))
	}
	if d.Priority != "" {
		p := priorityRank(d.Priority, d.Severity)
		if i.doc.Priority == 0 || p < i.doc.Priority {
			i.doc.Priority = p
		}
	}
	if len(d.Reasons) >= len(i.doc.Reasons) {
		i.doc.Reasons = d.Reasons
	}
}

// recompute works out from its alerts how grave an incident is, what it is
// about and who did it.
func (c *correlation) recompute(i *incident) {
	members := c.members[i.ID]
	if len(members) == 0 {
		return
	}
	before := i.Priority
	var tactics, techniques, phases []string
	type lists struct{ tactics, techniques, phase string }
	var last lists
	taken := map[lists]bool{last: true} // there are few different ones
	i.Severity, i.Priority, i.Verdict, i.KeyAsset, i.DataLevel, i.FirstSeen, i.LastSeen = 0, 4, 0, false, 0, math.MaxInt64, math.MinInt64
	for _, m := range members {
		i.Severity, i.Priority, i.Verdict = max(i.Severity, m.Severity), min(i.Priority, m.Priority), max(i.Verdict, m.Verdict)
		i.KeyAsset, i.DataLevel = i.KeyAsset || m.KeyAsset, max(i.DataLevel, m.DataLevel)
		i.FirstSeen, i.LastSeen = min(i.FirstSeen, m.FirstSeen), max(i.LastSeen, m.LastSeen)
		if l := (lists{m.Tactics, m.Techniques, m.Phase}); l != last && !taken[l] {
			last, taken[l] = l, true
			tactics, techniques = union(tactics, listOf(m.Tactics)...), union(techniques, listOf(m.Techniques)...)
			phases = phaseUnion(phases, m.Phase)
		}
	}
	i.AlertCount = len(members)
	i.doc.Tactics, i.doc.Techniques, i.doc.Phases, i.Phase = tactics, techniques, phases, furthest(phases)

	// The item with the gravest alerts: one of a level outweighs three of the
	// level below.
	score := map[string]int{}
	i.doc.Core, i.gravest, i.ranked = i.LastSeen, i.Severity, true
	for _, m := range members {
		if m.Severity == i.Severity {
			i.doc.Core = min(i.doc.Core, m.FirstSeen)
		}
		if !m.Recon && slices.Contains(i.items, m.Item) {
			score[m.Item] += 1 << (2 * m.Severity)
		}
	}
	i.Severity = max(i.Severity, i.doc.Severity)
	if i.doc.Priority > 0 {
		i.Priority = min(i.Priority, i.doc.Priority)
	}
	i.doc.Judged = i.Priority
	if i.doc.Override != nil {
		i.Priority = priorityRank(i.doc.Override.Priority, "")
		before = i.Priority // the clock is the analyst's as well
	}
	best := ""
	for _, item := range i.items {
		if best == "" || score[item] > score[best] {
			best = item
		}
	}
	if best != i.doc.Item {
		i.doc.Item, i.doc.CI = best, nil
	}
	i.grave, i.actors = principals(i, members)
	i.doc.Actors = nil
	for _, a := range i.actors {
		i.doc.Actors = union(i.doc.Actors, actorAddress(a))
	}
	if i.Priority < before && !i.fresh {
		clock := i.clock()
		if c.s.sla().Raise(&clock, priorityOf(i.Priority), c.now) {
			i.setClock(clock)
		}
	} else if i.fresh {
		i.setClock(c.s.sla().Start(priorityOf(i.Priority), c.now))
	}
}

// principals returns who is behind an incident: the actors of the gravest
// alerts on its items that name one and are more than looking around. Whoever
// merely scanned or knocked while somebody else got in is not among them, so
// that his deeds elsewhere stay apart.
func principals(i *incident, members map[string]*alert) (grave int, actors []string) {
	grave = -1
	for _, m := range members {
		if !i.blames(m) {
			continue
		}
		if m.Severity > grave {
			grave, actors = m.Severity, nil
		}
		if m.Severity == grave && amongFirst(actors, m.Actor) {
			actors = union(actors, m.Actor)
			actors = actors[:min(len(actors), maxActors)]
		}
	}
	return grave, actors
}

// blames tells whether an alert tells who is behind an incident.
func (i *incident) blames(a *alert) bool {
	return a.Actor != "" && !a.Recon && (len(i.items) == 0 || slices.Contains(i.items, a.Item))
}

// amongFirst tells whether an actor is, or would be, among the first maxActors.
func amongFirst(actors []string, actor string) bool {
	return len(actors) < maxActors || actor <= actors[maxActors-1]
}

// drawsBy tells whether an incident may draw in others by an alert that it took in
// than it did before, or from another time.
func (i *incident) drawsBy(a *alert) bool {
	return !i.ranked || a.Severity > i.gravest || a.Severity == i.gravest && a.FirstSeen < i.doc.Core ||
		i.blames(a) && (a.Severity > i.grave || a.Severity == i.grave && amongFirst(i.actors, a.Actor) && !slices.Contains(i.actors, a.Actor))
}

// describe fills in the item's details, system and owner, and the title.
func (c *correlation) describe(ctx context.Context, i *incident) error {
	// The latest alert on the item tells what it is, and who may see it.
	var source, any *alert
	for _, m := range c.members[i.ID] {
		any = m
		if (m.Item == i.doc.Item || i.doc.Item == "") &&
			(source == nil || cmp.Or(cmp.Compare(m.LastSeen, source.LastSeen), began(m, source)) > 0) {
			source = m
		}
	}
	if source != nil {
		i.Kept = source.Kept
		if i.doc.CI == nil {
			doc, err := c.docOf(ctx, source.ID)
			if err != nil {
				return err
			}
			i.doc.CI, i.doc.System, i.doc.Owner = doc.CI, doc.System, doc.Owner
			i.CIID, i.SystemID = "", ""
			if doc.CI != nil {
				i.CIID = doc.CI.ID
			}
			if doc.System != nil {
				i.SystemID = doc.System.ID
			}
		}
	}
	if i.doc.Root == nil {
		if err := c.parties(ctx, i); err != nil {
			return err
		}
	}
	if len(c.members[i.ID]) > 1 {
		i.doc.Title = title(i, c.members[i.ID])
		return nil
	}
	doc, err := c.docOf(ctx, any.ID)
	if err == nil {
		i.doc.Title = doc.Title
	}
	return err
}

// began orders alerts by when they began.
func began(a, b *alert) int {
	return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), cmp.Compare(b.Severity, a.Severity), strings.Compare(a.ID, b.ID))
}

// docOf returns the rest of an alert.
func (c *correlation) docOf(ctx context.Context, id string) (*alertDoc, error) {
	found, err := c.wholes(ctx, c.tx, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("read alert %s: there is none", id)
	}
	return &found[0].doc, nil
}

// maxSteps is how many steps a title names.
const maxSteps = 5

// title says in a sentence who did what to which item: the gravest rules of
// the members, in the order they began.
func title(i *incident, members map[string]*alert) detections.Text {
	type step struct {
		title    detections.Text
		severity int
		first    *alert
	}
	byRule := map[string]*step{}
	var s *step
	for _, m := range members {
		if s == nil || s.first.RuleID != m.RuleID { // as a rule there are many of one
			if s = byRule[m.RuleID]; s == nil {
				s = &step{first: m}
				byRule[m.RuleID] = s
			}
		}
		if began(m, s.first) < 0 {
			s.first = m
		}
		s.severity = max(s.severity, m.Severity)
	}
	inTime := func(a, b *step) int { return began(a.first, b.first) }
	steps := slices.SortedFunc(maps.Values(byRule), inTime)
	for _, s := range steps {
		_ = json.Unmarshal([]byte(s.first.RuleTitle), &s.title)
	}
	more := len(steps) > maxSteps
	if more {
		slices.SortStableFunc(steps, func(a, b *step) int { return cmp.Compare(b.severity, a.severity) })
		steps = steps[:maxSteps]
		slices.SortFunc(steps, inTime)
	}
	var zh, en []string
	for _, s := range steps {
		zh, en = append(zh, s.title.ZH), append(en, s.title.EN)
	}
	whatZH, whatEN := strings.Join(zh, "、"), strings.Join(en, ", ")
	if more {
		whatZH, whatEN = whatZH+"等", whatEN+" and more"
	}
	where := ""
	if i.doc.CI != nil {
		where = i.doc.CI.Name
	}
	switch {
	case i.doc.System != nil && where != "":
		where = firstOf(i.doc.System.Name, i.doc.System.ID) + "/" + where
	case i.doc.System != nil:
		where = firstOf(i.doc.System.Name, i.doc.System.ID)
	case where == "":
		where = i.Tenant
	}
	if i.doc.Root != nil {
		return faultTitle(i, detections.Text{ZH: whatZH, EN: whatEN})
	}
	if i.doc.Merge != nil {
		return mergeTitle(i, detections.Text{ZH: whatZH, EN: whatEN})
	}
	switch len(i.doc.Actors) {
	case 0:
		return detections.Text{ZH: where + " 疑似遭到入侵：" + whatZH, EN: "Suspected intrusion on " + where + ": " + whatEN}
	case 1:
		who := i.doc.Actors[0]
		return detections.Text{ZH: who + " 对 " + where + " 发起攻击：" + whatZH, EN: who + " attacks " + where + ": " + whatEN}
	default:
		n := len(i.doc.Actors)
		who := i.doc.Actors[0]
		return detections.Text{
			ZH: fmt.Sprintf("%s 等 %d 个地址对 %s 发起攻击：%s", who, n, where, whatZH),
			EN: fmt.Sprintf("%s and %d more attack %s: %s", who, n-1, where, whatEN),
		}
	}
}

// maxEntries is how many alerts get a timeline entry of their own when they
// are taken in together.
const maxEntries = 10

// save writes everything back: alerts, incidents, what draws alerts in,
// timelines and notifications.
func (c *correlation) save(ctx context.Context) error {
	byID := func(a, b *alert) int { return strings.Compare(a.ID, b.ID) }
	unsaved := slices.DeleteFunc(slices.SortedFunc(maps.Values(c.touched), byID), func(a *alert) bool { return !a.unsaved() })
	if err := saveAlerts(ctx, c.tx, unsaved); err != nil {
		return err
	}
	entries := slices.Clone(c.notes)
	for _, a := range unsaved {
		if a.Verdict > a.before {
			entries = append(entries, verdictEntry(a, c.now))
		}
	}
	ids := slices.Sorted(maps.Keys(c.dirty))
	for _, id := range ids {
		i, attached := c.incidents[id], c.attached[id]
		var light []string
		for _, r := range attached {
			if c.touched[r.ID] == nil {
				light = append(light, r.ID)
			}
			entries = append(entries, entry(r.ID, c.now, "alert", SystemActor,
				detections.Text{ZH: "并入事件 " + id, EN: "Taken into incident " + id}, map[string]any{"incident_id": id}))
		}
		for part := range slices.Chunk(light, idsPerStatement) {
			_, err := c.tx.NewUpdate().Model((*alertRow)(nil)).Set("incident_id = ?", id).Set("held = ?", true).
				Where("id IN (?)", bun.In(part)).Exec(ctx)
			if err != nil {
				return fmt.Errorf("take %d alerts into incident %s: %w", len(part), id, err)
			}
		}
		if i.fresh {
			entries = append(entries, entry(id, c.now, "opened", SystemActor, openedText(i), map[string]any{"reasons": orEmpty(i.doc.Reasons)}))
			entries = append(entries, c.s.assign(i, c.now)...)
			c.changes = append(c.changes, Change{Actor: SystemActor, Action: "incident.open", Object: id, Tenant: i.Tenant})
		}
		entries = append(entries, attachedEntries(i, attached, c.now)...)
		if !i.fresh {
			heard, err := c.heard(ctx, attached)
			switch {
			case err != nil:
				return err
			case heard:
				i.tellLater(c.now, c.s.cfg.GroupInterval)
			case len(attached) > 0:
				i.mute(mutedPart, c.now)
			}
		}
		if i.fresh {
			i.ToldAt = c.now.UnixMilli()
		}
	}
	if err := saveTimeline(ctx, c.tx, entries); err != nil {
		return err
	}
	for _, id := range ids {
		i := c.incidents[id]
		if i.fresh {
			if err := c.s.tell(ctx, c.tx, i, "opened", i.Derived, c.now); err != nil {
				return err
			}
		}
		if err := c.s.saveIncident(ctx, c.tx, i); err != nil {
			return err
		}
	}
	var gone []*incident
	for id := range c.gone {
		if !c.dirty[id] {
			gone = append(gone, c.incidents[id])
		}
	}
	if err := saveLasts(ctx, c.tx, gone); err != nil {
		return err
	}
	c.end()
	return nil
}

// end leaves alerts and incidents as the next transaction finds them.
func (c *correlation) end() {
	for _, a := range c.touched {
		a.fresh, a.merged, a.raised, a.keyed, a.before, a.by = false, false, false, false, a.Verdict, ""
		a.shape = a.shaped()
	}
	for id, list := range c.attached {
		c.incidents[id].fresh = false
		for _, a := range list {
			if a.saved != nil {
				a.saved.IncidentID, a.saved.Held = a.IncidentID, a.Held
			}
		}
	}
}

func openedText(i *incident) detections.Text {
	var zh, en []string
	for _, r := range i.doc.Reasons {
		r = bothLanguages(r)
		// Reasons are sentences; here they are parts of one.
		zh, en = append(zh, strings.TrimSuffix(r.ZH, "。")), append(en, strings.TrimSuffix(r.EN, "."))
	}
	t := detections.Text{ZH: "事件开立", EN: "Incident opened"}
	if len(zh) > 0 {
		t.ZH, t.EN = t.ZH+"："+strings.Join(zh, "；"), t.EN+": "+strings.Join(en, "; ")
	}
	return t
}

// attachedEntries tells of the alerts an incident took in.
func attachedEntries(i *incident, attached []*alert, now time.Time) []timelineRow {
	attached = slices.Clone(attached)
	slices.SortFunc(attached, func(a, b *alert) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.ID, b.ID))
	})
	if len(attached) > maxEntries {
		ids := make([]string, 0, len(attached))
		for _, r := range attached {
			ids = append(ids, r.ID)
		}
		return []timelineRow{entry(i.ID, now, "alert", SystemActor, takenIn(len(ids)), map[string]any{"alert_ids": ids})}
	}
	var out []timelineRow
	for _, r := range attached {
		var t detections.Text
		_ = json.Unmarshal([]byte(r.RuleTitle), &t)
		out = append(out, entry(i.ID, now, "alert", SystemActor,
			detections.Text{ZH: "并入告警：" + t.ZH, EN: "Alert taken in: " + t.EN},
			map[string]any{"alert_id": r.ID, "severity": severityOf(r.Severity)}))
	}
	return out
}

func takenIn(n int) detections.Text {
	return detections.Text{ZH: fmt.Sprintf("并入 %d 条告警", n), EN: fmt.Sprintf("%d alerts taken in", n)}
}

// tellLater plans a notification of a change, no sooner than the interval
// after the last one.
func (i *incident) tellLater(now time.Time, interval time.Duration) {
	if i.TellAt == 0 {
		i.TellAt = max(now.UnixMilli(), i.ToldAt+interval.Milliseconds())
	}
}

// saveIncident writes an incident and what draws alerts into it.
func (s *Service) saveIncident(ctx context.Context, tx bun.Tx, i *incident) error {
	if err := i.pack(); err != nil {
		return err
	}
	put := prepared{tx: tx, table: tx.Dialect().Tables().Get(reflect.TypeFor[incidentRow]())}
	put.columns, put.text = incidentInsert(put.table)
	defer put.close()
	if err := put.exec(ctx, reflect.ValueOf(&i.incidentRow).Elem()); err != nil {
		return fmt.Errorf("write incident %s: %w", i.ID, err)
	}
	if _, err := tx.Tx.ExecContext(ctx, "DELETE FROM ticketing_links WHERE incident_id = ?", i.ID); err != nil {
		return fmt.Errorf("clear the links of incident %s: %w", i.ID, err)
	}
	links := state.NewPut(tx, "ticketing_links", []string{"incident_id", "kind", "value"}, "")
	defer links.Close()
	for kind, values := range map[string][]string{linkItem: i.items, linkActor: i.actors} {
		for _, v := range values {
			if err := links.Row(ctx, i.ID, kind, v); err != nil {
				return fmt.Errorf("write the links of incident %s: %w", i.ID, err)
			}
		}
	}
	s.live.know(i)
	s.standing.stageIncident(&i.incidentRow)
	return nil
}

// incidentInsert is the statement that writes an incident, and the columns it binds.
func incidentInsert(table *schema.Table) (columns []string, text string) {
	for _, f := range table.Fields {
		columns = append(columns, f.Name)
	}
	changing := make([]string, 0, len(incidentColumns))
	for _, c := range incidentColumns {
		changing = append(changing, c+" = EXCLUDED."+c)
	}
	return columns, fmt.Sprintf("INSERT INTO ticketing_incidents (%s) VALUES (?%s) ON CONFLICT (id) DO UPDATE SET %s",
		strings.Join(columns, ", "), strings.Repeat(", ?", len(columns)-1), strings.Join(changing, ", "))
}

// incidentColumns are the columns that an incident's life changes.
var incidentColumns = append([]string{
	"severity", "priority", "status", "ci_id", "system_id", "assignee", "team", "first_seen", "last_seen", "alert_count",
	"ack_due", "resolve_due", "due", "acked_at", "resolved_at", "ack_breach", "resolve_breach", "acknowledged_at",
	"acknowledged_by", "closed_at", "closed_by", "resolution", "told_at", "tell_at", "muted_at", "muted_kind", "verdict", "phase", "key_asset", "data_level", "search", "doc",
	"archived_at", "archived_by", "reach_unit", "reach_region", "reach_industry", "reach_labels",
}, clockColumns...)
