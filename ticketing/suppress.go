package ticketing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/detections/suppression"
	"icewatch/soc/reach"
	"icewatch/ticketing/suppressing"
	"icewatch/ticketing/webhook"
)

// What a suppression does. A firing that meets one becomes part of an alert of its
// own, which is closed from the start with the resolution Suppressed: it is kept,
// found and counted, is in no incident, and nobody is told. It is another alert than
// the one that the same rule raises for the same group where no suppression is met,
// so that neither hides the other.

// Suppressed is the resolution of alerts that a suppression met.
const Suppressed = "suppressed"

// What AlertQuery.Suppressed may be beside the id of a suppression.
const (
	SuppressedNone = "none"
	SuppressedOnly = "only"
)

func suppressedBy(q *bun.SelectQuery, which string) *bun.SelectQuery {
	switch which {
	case SuppressedNone:
		return q.Where("suppressed_by = ''")
	case SuppressedOnly:
		return q.Where("suppressed_by <> ''")
	}
	return q.Where("suppressed_by = ?", which)
}

func suppressedConflict(a *alert) error {
	return &Conflict{Object: a.ID, Status: a.Status, By: a.ClosedBy, At: at(a.ClosedAt),
		Reason: fmt.Sprintf("alert %s cannot be reopened: the suppression %s met it: disable that, and what fires from then on is raised", a.ID, a.SuppressedBy)}
}

// assetOf is what an occurrence is about, as suppressions see it.
func assetOf(s *subject) (a suppression.Asset) {
	if s.ci != nil {
		a.ID, a.Name, a.Class = s.ci.ID, s.ci.Name, s.ci.Class
	}
	if s.system != nil {
		a.SystemID, a.SystemName = s.system.ID, s.system.Name
	}
	return a
}

// suppress takes out of the fresh occurrences those that meet a suppression, keeps
// them as alerts of their own, and remembers all of them for previews.
func (s *Service) suppress(ctx context.Context, tx bun.Tx, fresh *[]*detections.Occurrence, subjects map[*detections.Occurrence]subject, now time.Time) (hidden int, err error) {
	set := s.suppressions.Set()
	firings := make([]suppressing.Firing, 0, len(*fresh))
	kept := make([]*detections.Occurrence, 0, len(*fresh))
	met := map[string][]*detections.Occurrence{} // by the key of the alert that keeps them
	by := map[string]string{}                    // suppression of each key
	for _, o := range *fresh {
		about := subjects[o]
		f := suppressing.Firing{Occurrence: *o, Asset: assetOf(&about), Key: keyOf(o), Facts: about.facts.FactsOf(o.Tenant)}
		if about.ci != nil {
			f.Criticality = about.ci.Criticality
		}
		if f.By = set.Match(o, f.Asset, now); f.By == "" {
			kept = append(kept, o)
		} else {
			key := f.Key + "/suppressed/" + f.By
			met[key], by[key] = append(met[key], o), f.By
			hidden++
		}
		firings = append(firings, f)
	}
	if err := s.suppressions.Taken(ctx, tx, firings, now); err != nil {
		return 0, err
	}
	*fresh = kept
	if hidden == 0 {
		return 0, nil
	}
	alerts := map[string]*alert{} // by id
	keys := make([]string, 0, len(met))
	for key := range met {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for part := range slices.Chunk(keys, idsPerStatement) {
		ids := make([]string, len(part))
		for i, key := range part {
			ids[i] = alertID(key, 1)
		}
		var rows []alertRow
		if err := tx.NewSelect().Model(&rows).Where("id IN (?)", bun.In(ids)).Scan(ctx); err != nil {
			return 0, fmt.Errorf("read %d suppressed alerts: %w", len(ids), err)
		}
		for _, r := range rows {
			a := &alert{alertRow: r}
			if err := a.unpack(); err != nil {
				return 0, err
			}
			a.inSQL = true
			alerts[a.ID] = a
		}
	}
	touched := make([]*alert, 0, len(keys))
	for _, key := range keys {
		a := alerts[alertID(key, 1)]
		if a == nil {
			a = newAlert(key, 1, met[key][0], now)
			a.Status, a.Resolution, a.ClosedAt, a.ClosedBy, a.SuppressedBy = StatusClosed, Suppressed, now.UnixMilli(), SystemActor, by[key]
		}
		for _, o := range met[key] {
			a.merge(o, subjects[o])
		}
		touched = append(touched, a)
	}
	return hidden, saveAlerts(ctx, tx, touched)
}

// SuppressionView is a suppression as somebody sees it.
type SuppressionView struct {
	suppressing.Kept
	State    suppressing.State
	Effect   suppressing.SuppressionEffect
	Alerts   int  // that it suppressed and that are still kept, within reach
	Editable bool // all that it suppresses is within his reach
}

// maySuppress tells whether all that a suppression meets is within a reach.
func maySuppress(r reach.Reach, tenants []string) bool {
	if len(tenants) == 0 {
		return r.Everything()
	}
	return !slices.ContainsFunc(tenants, func(t string) bool { return !r.CoversWhole(t) })
}

// Suppressions lists the suppressions that suppress nothing beyond a reach.
func (s *Service) Suppressions(ctx context.Context, r reach.Reach) ([]SuppressionView, error) {
	list, err := s.suppressions.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	effects, err := s.suppressions.Effects(ctx)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	var rows []struct {
		ID string `bun:"suppressed_by"`
		N  int    `bun:"n"`
	}
	if err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").ColumnExpr("suppressed_by, count(*) AS n").Where("suppressed_by <> ''").GroupExpr("suppressed_by").Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("ticketing: count suppressed alerts: %w", err)
	}
	alerts := map[string]int{}
	for _, row := range rows {
		alerts[row.ID] = row.N
	}
	now := s.now()
	out := make([]SuppressionView, 0, len(list))
	for _, k := range list {
		if !maySuppress(r, k.Tenants) {
			continue
		}
		v := SuppressionView{Kept: k, State: k.State(now), Alerts: alerts[k.ID], Editable: true, Effect: suppressing.SuppressionEffect{Days: []suppressing.SuppressionEffectDay{}}}
		if e := effects[k.ID]; e != nil {
			v.Effect = *e
		}
		out = append(out, v)
	}
	return out, nil
}

// Suppression returns one of Suppressions.
func (s *Service) Suppression(ctx context.Context, r reach.Reach, id string) (SuppressionView, error) {
	list, err := s.Suppressions(ctx, r)
	if err != nil {
		return SuppressionView{}, err
	}
	if i := slices.IndexFunc(list, func(v SuppressionView) bool { return v.ID == id }); i >= 0 {
		return list[i], nil
	}
	return SuppressionView{}, fmt.Errorf("suppression %.64q: %w", id, suppressing.ErrNotFound)
}

// SetSuppressions makes suppressions, or changes those whose ids are there, all or
// nothing. All that they suppress, and suppressed before, must be within the
// actor's reach. It takes effect with the next firing.
func (s *Service) SetSuppressions(ctx context.Context, by Actor, list []suppression.Suppression) ([]suppressing.Kept, error) {
	for i := range list {
		if !maySuppress(by.Reach, list[i].Tenants) {
			return nil, fmt.Errorf("%w: tenants: the suppression %.64q suppresses more than is within your reach: name tenants that are whole within it", suppressing.ErrInvalid, list[i].Name)
		}
	}
	made, err := s.suppressions.Put(ctx, by.Name, list, func(old *suppressing.Kept) error {
		if old != nil && !maySuppress(by.Reach, old.Tenants) {
			return fmt.Errorf("suppression %.64q: %w", old.ID, suppressing.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range made {
		s.note(ctx, Change{Actor: by.Name, Action: "suppression.set", Object: made[i].ID, Detail: suppressionDetail(&made[i].Suppression)})
	}
	return made, nil
}

// suppressionDetail says in short what a suppression is, for the audit log.
func suppressionDetail(k *suppression.Suppression) string {
	d := fmt.Sprintf("%s; rules %s; until %s; owner %s", k.Name, cmp.Or(strings.Join(k.Rules, ","), "any"), k.Expires.UTC().Format(time.RFC3339), k.Owner)
	if k.Disabled {
		d += "; disabled"
	}
	return d
}

// DeleteSuppression takes a suppression away at once.
func (s *Service) DeleteSuppression(ctx context.Context, by Actor, id string) error {
	old, err := s.suppressions.Get(ctx, id)
	if err == nil && !maySuppress(by.Reach, old.Tenants) {
		err = fmt.Errorf("suppression %.64q: %w", id, suppressing.ErrNotFound)
	}
	if err == nil {
		err = s.suppressions.Delete(ctx, by.Name, id)
	}
	if err == nil {
		s.note(ctx, Change{Actor: by.Name, Action: "suppression.delete", Object: id, Detail: old.Name})
	}
	return err
}

// SuppressionVersions lists the versions of a suppression within reach, the newest
// first.
func (s *Service) SuppressionVersions(ctx context.Context, r reach.Reach, id string) ([]suppressing.Kept, error) {
	list, err := s.suppressions.Versions(ctx, id)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(k suppressing.Kept) bool { return !maySuppress(r, k.Tenants) })
	if len(list) == 0 {
		return nil, fmt.Errorf("suppression %.64q: %w", id, suppressing.ErrNotFound)
	}
	return list, nil
}

// PreviewSuppression tells what a suppression would have suppressed, and what speaks
// against it.
func (s *Service) PreviewSuppression(ctx context.Context, r reach.Reach, one suppression.Suppression) (suppressing.SuppressionPreview, error) {
	p, err := s.suppressions.Preview(ctx, one, r)
	if err != nil {
		return p, err
	}
	var confirmed, held []string
	for part := range slices.Chunk(p.Keys, idsPerStatement) {
		var rows []struct {
			ID         string `bun:"id"`
			Resolution string `bun:"resolution"`
		}
		if err := r.Within(s.db.NewSelect().Model((*alertRow)(nil)), "a").Column("id", "resolution").Where("key IN (?)", bun.In(part)).
			Where("(resolution = 'true_positive' OR incident_id <> '')").Where("last_seen >= ?", p.From.UnixMilli()).Scan(ctx, &rows); err != nil {
			return p, fmt.Errorf("ticketing: look what became of alerts: %w", err)
		}
		for _, row := range rows {
			if row.Resolution == "true_positive" {
				confirmed = append(confirmed, row.ID)
			} else {
				held = append(held, row.ID)
			}
		}
	}
	warn := func(kind string, ids []string, zh, en string) {
		if len(ids) > 0 {
			p.Warnings = append([]suppressing.SuppressionWarning{{Kind: kind, Alerts: ids[:min(len(ids), 20)],
				Text: detections.Text{ZH: fmt.Sprintf(zh, len(ids)), EN: fmt.Sprintf(en, len(ids))}}}, p.Warnings...)
		}
	}
	warn("incident", held, "会隐藏 %d 条已归入事件的告警", "It would have hidden %d alerts that became part of incidents")
	warn("confirmed", confirmed, "会隐藏 %d 条已确认为真实攻击的告警", "It would have hidden %d alerts that were concluded to be true")
	return p, nil
}

// DraftSuppression makes the narrowest suppression that meets some alerts: their
// rules, assets and tenants, and the fields of the rules' conditions and groups with
// the values that the alerts have. It is not kept.
func (s *Service) DraftSuppression(ctx context.Context, by Actor, ids []string) (suppression.Suppression, error) {
	d := suppression.Suppression{Owner: by.Name, Expires: s.now().Add(90 * 24 * time.Hour).Truncate(time.Second)}
	if len(ids) == 0 || len(ids) > maxBatch {
		return d, fmt.Errorf("%w: alerts: %d of them, want 1 to %d", ErrInvalid, len(ids), maxBatch)
	}
	veil := by.Reach.Veil()
	values := map[string][]string{}
	named := map[string]int{} // alerts that have a field
	add := func(list *[]string, v string) {
		if v != "" && !slices.Contains(*list, v) {
			*list = append(*list, v)
		}
	}
	everyAsset := true
	for n, id := range ids {
		detail, err := s.Alert(ctx, by.Reach, id)
		if err != nil {
			return d, err
		}
		a := detail.Alert
		if n == 0 {
			d.Name = firstOf(a.Rule.Title.ZH, a.Rule.Title.EN, a.Rule.ID)
			if a.CI != nil && a.CI.Name != "" {
				d.Name += " · " + a.CI.Name
			}
		}
		add(&d.Rules, a.Rule.ID)
		add(&d.Tenants, a.Tenant)
		if a.CI != nil && a.CI.ID != "" {
			add(&d.Assets.Items, a.CI.ID)
		} else {
			everyAsset = false
		}
		fields := map[string]string{}
		for _, m := range a.Evidence {
			fields[m.Field] = a.Fields[m.Field]
		}
		for _, g := range a.Group {
			fields[g.Field] = firstOf(a.Fields[g.Field], g.Value)
		}
		for name, v := range fields {
			if name == "" || v == "" || veil.Touches(name) || ofMoment[name] || strings.HasPrefix(name, "icewatch.ci.") || strings.HasSuffix(v, "…") {
				continue
			}
			named[name]++
			list := values[name]
			add(&list, v)
			values[name] = list
		}
	}
	if !everyAsset { // one without an item is told by its host
		d.Assets = suppression.Assets{}
	}
	sel := map[string]any{}
	for name, list := range values {
		if named[name] == len(ids) { // a field that one of them lacks cannot be asked for
			sel[name] = exactly(list)
		}
	}
	if len(sel) > 0 {
		d.Detection = map[string]any{"selection": sel, "condition": "selection"}
	} else if d.Assets.Empty() {
		return d, fmt.Errorf("%w: alerts: they have no field, and no item of the CMDB, in common by which they could be told from others", ErrInvalid)
	}
	slices.Sort(d.Rules)
	return d, nil
}

// ofMoment are fields whose values never come again.
var ofMoment = map[string]bool{"@timestamp": true, "event.id": true, "event.created": true, "event.ingested": true, "event.start": true, "event.end": true,
	"event.original": true, "event.sequence": true, "source.port": true, "process.pid": true, "icewatch.tenant": true}

// exactly makes values of a Sigma selection that mean exactly these texts: of a
// field with several values, any of them.
func exactly(list []string) any {
	var out []any
	for _, v := range list {
		each := []string{v}
		if strings.HasPrefix(v, "[") {
			var several []string
			if json.Unmarshal([]byte(v), &several) == nil && len(several) > 0 {
				each = several
			}
		}
		for _, v := range each {
			if v = literal.Replace(v); !slices.Contains(out, any(v)) {
				out = append(out, v)
			}
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	return out
}

var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)

// suppressionNotice is how long before a suppression ends its owner is told.
const suppressionNotice = 7 * 24 * time.Hour

// tellSuppressions tells whoever owns suppressions that they end soon, or have
// ended.
func (s *Service) tellSuppressions(ctx context.Context) error {
	list, err := s.suppressions.Notices(ctx, suppressionNotice)
	if err != nil {
		return fmt.Errorf("ticketing: %w", err)
	}
	for i := range list {
		n := &list[i]
		unique, status := "soon", webhook.Firing
		zh, en := "加白规则即将到期", "A suppression ends soon"
		if n.Over {
			unique, status, zh, en = "over", webhook.Resolved, "加白规则已到期，恢复告警", "A suppression has ended: its alerts are raised again"
		}
		alert := webhook.Alert{Status: status, StartsAt: n.UpdatedAt, EndsAt: n.Expires, GeneratorURL: strings.TrimRight(s.cfg.ExternalURL, "/") + "/suppressions?id=" + n.ID,
			Labels:      map[string]string{"alertname": "SuppressionEnds", "suppression": n.ID, "owner": n.Owner},
			Annotations: map[string]string{"summary": zh + "：" + n.Name, "summary_en": en + ": " + n.Name, "description": n.Reason, "description_en": n.Reason, "ends_at": s.local(n.Expires)}}
		body, err := json.Marshal(webhook.New(n.Receiver, s.cfg.ExternalURL, map[string]string{"suppression": n.ID}, []webhook.Alert{alert}, maxNotified))
		if err != nil {
			return fmt.Errorf("ticketing: encode the notice of suppression %s: %w", n.ID, err)
		}
		tenant := ""
		if len(n.Tenants) == 1 {
			tenant = n.Tenants[0]
		}
		// A receiver that is gone is no reason to ask for ever.
		if err := s.TellReceiver(ctx, n.Receiver, tenant, "suppression", n.ID+" "+fmt.Sprint(n.Expires.Unix())+" "+unique, body); err != nil {
			if errors.Is(err, context.Canceled) {
				return err
			}
			s.log.Warn("ticketing: the owner of a suppression is not told of its end", "suppression", n.ID, "receiver", n.Receiver, "error", err)
		}
		if err := s.suppressions.Told(ctx, n); err != nil {
			return fmt.Errorf("ticketing: %w", err)
		}
	}
	return nil
}
