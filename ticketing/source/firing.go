package source

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing"
)

// perStatement bounds how many rows one statement reads or writes.
const perStatement = 200

// alertRow is an alert of a source, as long as it fires and for some time after.
type alertRow struct {
	bun.BaseModel `bun:"table:alert_source_alerts,alias:a"`

	Source      string `bun:"source,pk"`
	Fingerprint string `bun:"fingerprint,pk"`
	Tenant      string `bun:"tenant"`
	Doc         string `bun:"doc"`
	StartsAt    int64  `bun:"starts_at"`
	EndsAt      int64  `bun:"ends_at"`
	UpdatedAt   int64  `bun:"updated_at"`
	Since       int64  `bun:"since"`
	Firing      int64  `bun:"firing"`
	Version     int64  `bun:"version"`
	Told        int64  `bun:"told"`
	ToldFiring  int64  `bun:"told_firing"`
	Over        int64  `bun:"over"`
	Said        bool   `bun:"said"`
}

// key is the alert's in ticketing.
func (r *alertRow) key() string { return "source/" + r.Source + "/" + r.Fingerprint }

// fires tells whether it fires as far as was said until now.
func (r *alertRow) fires(now int64) bool {
	return r.Over < r.Firing && (r.EndsAt == 0 || r.EndsAt > now)
}

// follow brings the alerts that fire up to date by what a message said at a
// time. What was said later counts already, so that a dead letter that is
// replayed undoes nothing.
func (s *Service) follow(ctx context.Context, tx bun.Tx, one *source, alerts []Alert, at, now time.Time) error {
	for part := range slices.Chunk(alerts, perStatement) {
		prints := make([]string, 0, len(part))
		for i := range part {
			prints = append(prints, part[i].Fingerprint)
		}
		var have []alertRow
		if err := tx.NewSelect().Model(&have).Where("source = ? AND fingerprint IN (?)", one.ID, bun.In(prints)).Scan(ctx); err != nil {
			return fmt.Errorf("read the alerts that are known: %w", err)
		}
		known := make(map[string]*alertRow, len(have))
		for i := range have {
			known[have[i].Fingerprint] = &have[i]
		}
		changed := map[string]*alertRow{}
		for i := range part {
			a := &part[i]
			next := s.next(one, known[a.Fingerprint], a, at, now)
			if next != nil {
				known[a.Fingerprint], changed[a.Fingerprint] = next, next
			}
		}
		if len(changed) == 0 {
			continue
		}
		rows := make([]alertRow, 0, len(changed))
		for _, fp := range slices.Sorted(maps.Keys(changed)) {
			rows = append(rows, *changed[fp])
		}
		_, err := tx.NewInsert().Model(&rows).On("CONFLICT (source, fingerprint) DO UPDATE").
			Set("tenant = EXCLUDED.tenant, doc = EXCLUDED.doc, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at, updated_at = EXCLUDED.updated_at, since = EXCLUDED.since, firing = EXCLUDED.firing, version = EXCLUDED.version, said = EXCLUDED.said").
			Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("write %d alerts: %w", len(rows), err)
		}
	}
	return nil
}

// next is what an alert becomes by what was said of it; nil where it stays as it
// is: what nobody knows to fire cannot end.
func (s *Service) next(one *source, have *alertRow, a *Alert, at, now time.Time) *alertRow {
	if have != nil && at.UnixMilli() < have.UpdatedAt {
		return nil
	}
	fires := have != nil && have.fires(now.UnixMilli())
	if a.Status == Resolved {
		if !fires || a.EndsAt.UnixMilli() < have.StartsAt {
			return nil
		}
		next := *have
		next.EndsAt, next.UpdatedAt, next.Said = min(a.EndsAt.UnixMilli(), now.UnixMilli()), at.UnixMilli(), true
		return &next
	}
	told := *a
	told.StartsAt, told.EndsAt = time.Time{}, time.Time{}
	doc, _ := json.Marshal(told) // texts always encode
	next := alertRow{Source: one.ID, Fingerprint: a.Fingerprint, Doc: string(doc), StartsAt: a.StartsAt.UnixMilli(), UpdatedAt: at.UnixMilli(), Since: now.UnixMilli(), Firing: 1, Version: 1}
	if !a.EndsAt.IsZero() {
		next.EndsAt = a.EndsAt.UnixMilli()
	}
	switch {
	case have == nil:
	case fires:
		next.Since, next.Firing, next.Version, next.Tenant = have.Since, have.Firing, have.Version, have.Tenant
		next.StartsAt = min(next.StartsAt, have.StartsAt)
		if have.Doc != next.Doc {
			next.Version++
		}
	default: // it fires again
		next.Firing, next.Version = have.Firing+1, have.Version+1
	}
	if next.Tenant == "" {
		next.Tenant = s.deps.Place(one.where(a), one.fields(a))
	}
	if have != nil {
		next.Told, next.ToldFiring, next.Over = have.Told, have.ToldFiring, have.Over
	}
	return &next
}

// where is what an alert says of what it is about.
func (one *source) where(a *Alert) Where {
	return Where{Tenant: one.Tenant, Zone: a.Fields[fieldZone], Item: a.Fields[fieldItem], Host: a.Fields[fieldHost], IP: a.Fields[fieldIP]}
}

const dataset = "alertsource"

// fields are those of the alert in ticketing.
func (one *source) fields(a *Alert) map[string]string {
	out := map[string]string{"event.dataset": dataset, "event.kind": "alert", "event.provider": one.Name, "alert.source": one.ID, "alert.kind": one.content.Kind, "alert.fingerprint": a.Fingerprint}
	for _, f := range builtin {
		if v := a.Fields[f.Name]; v != "" && f.As != "" {
			out[f.As] = v
		}
	}
	for name, v := range a.Fields {
		if !slices.ContainsFunc(builtin, func(f Field) bool { return f.Name == name }) {
			out["alert."+name] = v
		}
	}
	out["rule.name"] = a.Name
	if t := first(a.Description.ZH, a.Description.EN); t != "" {
		out["message"] = t
	}
	return out
}

// occurrence is a firing as ticketing takes it in. Its id is derived, so that it
// counts once however often it is told.
func (s *Service) occurrence(one *source, r *alertRow) (detections.Occurrence, error) {
	var a Alert
	if err := json.Unmarshal([]byte(r.Doc), &a); err != nil {
		return detections.Occurrence{}, fmt.Errorf("source: the alert %s: %w", r.key(), err)
	}
	fields := one.fields(&a)
	w := one.where(&a)
	w.Tenant = r.Tenant
	s.deps.Place(w, fields)
	both := func(t detections.Text, n int) detections.Text {
		return detections.Text{ZH: clip(first(t.ZH, t.EN), n), EN: clip(first(t.EN, t.ZH), n)}
	}
	rule := detections.RuleRef{ID: "source-" + one.format.ID + "-" + clip(a.Name, 128), Title: both(a.Title, 256), Sentence: both(a.Title, 1000), Level: a.Severity, Kind: ticketing.Pushed, Tags: []string{"icewatch.source"}}
	if a.Description != (detections.Text{}) {
		rule.Sentence = both(a.Description, 1000)
	}
	if v := a.Fields[fieldRunbook]; v != "" {
		rule.Advice = detections.Text{ZH: "处置手册：" + clip(v, 1000), EN: "Runbook: " + clip(v, 1000)}
	}
	labels := maps.Clone(a.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	for name, v := range map[string]string{"alertname": a.Name, "severity": string(a.Severity), "source": one.Name, "host": first(a.Fields[fieldHost], a.Fields[fieldIP])} {
		if labels[name] == "" && v != "" {
			labels[name] = v
		}
	}
	o := detections.Occurrence{ID: fmt.Sprintf("source/%s/%s/%d/%d/%d", r.Source, r.Fingerprint, r.Since, r.Firing, r.Version), Key: r.key(), Tenant: r.Tenant,
		Time: time.UnixMilli(max(r.Since, r.UpdatedAt)).UTC(), From: time.UnixMilli(min(r.StartsAt, r.Since)).UTC(), Count: 1, Rule: rule, Fields: fields}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		o.Group = append(o.Group, detections.Pair{Field: ticketing.PushedLabel + name, Value: labels[name]})
	}
	for _, name := range []string{fieldEvidence, "metric", "value", "threshold"} {
		if v := a.Fields[name]; v != "" {
			o.Evidence = append(o.Evidence, detections.Match{Selection: one.Name, Field: name, Value: v})
		}
	}
	if t := a.Fields[fieldRiskType]; t != "" {
		o.Risk.Type = clip(t, 100)
	}
	return o, nil
}

// tell brings ticketing up to date. What fails is tried again by Run.
func (s *Service) tell(ctx context.Context) {
	s.telling.Lock()
	defer s.telling.Unlock()
	for ctx.Err() == nil {
		n, err := s.tellPart(ctx)
		if err != nil && ctx.Err() == nil {
			s.deps.Log.Error("alert sources: alerts wait for ticketing and will be tried again", "error", err)
		}
		if err != nil || n < perStatement {
			return
		}
	}
}

func (s *Service) tellPart(ctx context.Context) (int, error) {
	var rows []alertRow
	now := s.now().UnixMilli()
	err := s.db.NewSelect().Model(&rows).Where("told_firing < firing").WhereOr("told < version").WhereOr("over < firing AND ends_at > 0 AND ends_at <= ?", now).Limit(perStatement).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var occs []detections.Occurrence
	for i := range rows {
		r := &rows[i]
		if r.ToldFiring == r.Firing && r.Told == r.Version {
			continue
		}
		if r.ToldFiring > r.Over && r.ToldFiring < r.Firing { // the firing before ended, and nobody said so yet
			if err := s.deps.Tickets.Recover(ctx, r.Tenant, r.key(), ended(r)); err != nil {
				return 0, err
			}
		}
		one, err := s.any(ctx, r.Source)
		if err != nil {
			return 0, err
		}
		o, err := s.occurrence(one, r)
		if err != nil {
			return 0, err
		}
		occs = append(occs, o)
	}
	slices.SortStableFunc(occs, func(a, b detections.Occurrence) int { return cmp.Compare(a.Time.UnixMilli(), b.Time.UnixMilli()) })
	if err := s.deps.Tickets.Ingest(ctx, occs); err != nil {
		return 0, err
	}
	for i := range rows {
		r := &rows[i]
		over := max(r.Over, r.Firing-1)
		if r.EndsAt > 0 && r.EndsAt <= now {
			if err := s.deps.Tickets.Recover(ctx, r.Tenant, r.key(), ended(r)); err != nil {
				return 0, err
			}
			over = r.Firing
		}
		_, err := s.db.NewUpdate().Model((*alertRow)(nil)).Set("told = ?", r.Version).Set("told_firing = ?", r.Firing).Set("over = ?", over).
			Where("source = ? AND fingerprint = ? AND told <= ? AND over <= ?", r.Source, r.Fingerprint, r.Version, over).Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("source: note what ticketing knows: %w", err)
		}
	}
	return len(rows), nil
}

// any finds a source, one that was deleted too: its alerts still have to end.
func (s *Service) any(ctx context.Context, id string) (*source, error) {
	if one := s.byID(id); one != nil {
		return one, nil
	}
	var r row
	if err := s.db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); err != nil {
		return nil, fmt.Errorf("source: read the alert source %s: %w", id, err)
	}
	one, err := s.read(r)
	if err == nil {
		one.format.ID = one.content.Template
	}
	return one, err
}

// ended says in the alert's timeline why it is over.
func ended(r *alertRow) detections.Text {
	if r.Said {
		return detections.Text{ZH: "发送方报告告警已恢复", EN: "Its sender says that it is over"}
	}
	return detections.Text{ZH: "发送方不再发送该告警", EN: "Its sender does not send it any more"}
}
