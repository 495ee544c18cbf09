package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing"
	"icewatch/ticketing/webhook"
)

// row is an alert that was sent in, as long as it fires and for some time after.
type row struct {
	bun.BaseModel `bun:"table:alertmanager_pushed,alias:p"`
	Tenant        string `bun:"tenant,pk"`
	Fingerprint   string `bun:"fingerprint,pk"`
	Labels        string `bun:"labels"`
	Annotations   string `bun:"annotations"`
	URL           string `bun:"url"`
	StartsAt      int64  `bun:"starts_at"`
	EndsAt        int64  `bun:"ends_at"`
	UpdatedAt     int64  `bun:"updated_at"`
	Since         int64  `bun:"since"`
	Firing        int64  `bun:"firing"`
	Told          int64  `bun:"told"`
	Over          int64  `bun:"over"`
}

// keep is how long an alert that is over stays known.
const keep = 30 * 24 * time.Hour

// perStatement bounds how many rows one statement reads or writes.
const perStatement = 200

func rowKey(tenant, fingerprint string) string { return tenant + "\x00" + fingerprint }

// key is the alert's in ticketing.
func (r *row) key() string { return "pushed/" + r.Fingerprint }

func (r *row) time(ms int64) ticketing.Time { return ticketing.Time{Time: time.UnixMilli(ms).UTC()} }

func (r *row) labels() map[string]string      { return texts(r.Labels) }
func (r *row) annotations() map[string]string { return texts(r.Annotations) }

// texts reads an object that write wrote.
func texts(doc string) map[string]string {
	var out map[string]string
	_ = json.Unmarshal([]byte(doc), &out)
	return out
}

// take writes down what was sent. An alert is the same as another of its tenant
// when its labels are; it begins anew when it was over.
func (s *Service) take(ctx context.Context, tenant string, list []sentAlert, now time.Time) error {
	rows := make([]row, 0, len(list))
	for i := range list {
		a := &list[i]
		labels, err1 := json.Marshal(a.Labels)
		notes, err2 := json.Marshal(a.Annotations)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("alertmanager: encode an alert: %w", err)
		}
		rows = append(rows, row{Tenant: s.Place(tenant, fieldsOf(a.Labels)), Fingerprint: webhook.Fingerprint(a.Labels), Labels: string(labels), Annotations: string(notes), URL: a.GeneratorURL,
			StartsAt: a.StartsAt.UnixMilli(), EndsAt: a.EndsAt.UnixMilli(), UpdatedAt: now.UnixMilli(), Since: now.UnixMilli(), Firing: 1})
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(rows, perStatement) {
			if err := takePart(ctx, tx, part, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("alertmanager: take in %d alerts: %w", len(list), err)
	}
	return nil
}

func takePart(ctx context.Context, tx bun.Tx, part []row, now time.Time) error {
	prints := make([]string, 0, len(part))
	for _, r := range part {
		prints = append(prints, r.Fingerprint)
	}
	var have []row
	if err := tx.NewSelect().Model(&have).Where("fingerprint IN (?)", bun.In(prints)).Scan(ctx); err != nil {
		return fmt.Errorf("read the alerts that are known: %w", err)
	}
	known := make(map[string]*row, len(have))
	for i := range have {
		known[rowKey(have[i].Tenant, have[i].Fingerprint)] = &have[i]
	}
	changed := map[string]*row{}
	for i := range part {
		k := rowKey(part[i].Tenant, part[i].Fingerprint)
		if next := follow(known[k], part[i], now.UnixMilli()); next != nil {
			known[k], changed[k] = next, next
		}
	}
	if len(changed) == 0 {
		return nil
	}
	rows := make([]row, 0, len(changed))
	for _, r := range changed {
		rows = append(rows, *r)
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (tenant, fingerprint) DO UPDATE").
		Set("annotations = EXCLUDED.annotations, url = EXCLUDED.url, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at, updated_at = EXCLUDED.updated_at, since = EXCLUDED.since, firing = EXCLUDED.firing").
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("write %d alerts: %w", len(rows), err)
	}
	return nil
}

// follow is what an alert becomes by what was sent of it now; nil where it stays
// as it is: what nobody knows to fire cannot end.
func follow(have *row, sent row, now int64) *row {
	over := sent.EndsAt <= now
	switch {
	case have == nil && over:
		return nil
	case have == nil:
		return &sent
	case have.Over < have.Firing && have.EndsAt > now: // it fires
		sent.Firing, sent.Since, sent.Told, sent.Over = have.Firing, have.Since, have.Told, have.Over
		sent.StartsAt = min(sent.StartsAt, have.StartsAt)
		return &sent
	case over:
		return nil
	default: // it fires again
		sent.Firing, sent.Told, sent.Over = have.Firing+1, have.Told, have.Over
		return &sent
	}
}

// tell brings ticketing up to date. What fails is tried again by Run.
func (s *Service) tell(ctx context.Context) {
	s.telling.Lock()
	defer s.telling.Unlock()
	for ctx.Err() == nil {
		n, err := s.tellPart(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Error("alertmanager: alerts that were sent in wait for ticketing and will be tried again", "error", err)
		}
		if err != nil || n < perStatement {
			return
		}
	}
}

func (s *Service) tellPart(ctx context.Context) (int, error) {
	var rows []row
	now := s.Clock().UnixMilli()
	err := s.db.NewSelect().Model(&rows).Where("told < firing").WhereOr("over < firing AND ends_at <= ?", now).Limit(perStatement).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var occs []detections.Occurrence
	for i := range rows {
		r := &rows[i]
		if r.Told == r.Firing {
			continue
		}
		if r.Told > r.Over { // the firing before ended, and nobody said so yet
			if err := s.Tickets.Recover(ctx, r.Tenant, r.key(), ended(r)); err != nil {
				return 0, err
			}
		}
		occs = append(occs, s.occurrence(r))
	}
	if err := s.Tickets.Ingest(ctx, occs); err != nil {
		return 0, err
	}
	for i := range rows {
		r := &rows[i]
		over := max(r.Over, r.Firing-1)
		if r.EndsAt <= now {
			if err := s.Tickets.Recover(ctx, r.Tenant, r.key(), ended(r)); err != nil {
				return 0, err
			}
			over = r.Firing
		}
		_, err := s.db.NewUpdate().Model((*row)(nil)).Set("told = ?", r.Firing).Set("over = ?", over).
			Where("tenant = ? AND fingerprint = ? AND told <= ? AND over <= ?", r.Tenant, r.Fingerprint, r.Firing, over).Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("alertmanager: note what ticketing knows: %w", err)
		}
	}
	return len(rows), nil
}

// ended says in the alert's timeline why it is over.
func ended(r *row) detections.Text {
	if r.EndsAt <= r.UpdatedAt {
		return detections.Text{ZH: "发送方报告告警已恢复", EN: "Its sender says that it is over"}
	}
	return detections.Text{ZH: "发送方不再发送该告警", EN: "Its sender does not send it any more"}
}

// Run ends alerts whose time is over and tells what could not be told, until
// ctx ends.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for n := 0; ; n++ {
		s.tell(ctx)
		if n%3600 == 0 {
			_, err := s.db.NewDelete().Model((*row)(nil)).Where("over = firing AND updated_at < ?", s.Clock().Add(-keep).UnixMilli()).Exec(ctx)
			if err != nil && ctx.Err() == nil {
				s.Log.Warn("alertmanager: alerts that were over long ago stay known", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// sent reads what was sent of those alerts that others raised.
func (s *Service) sent(ctx context.Context, list []ticketing.Alert) (map[string]*row, error) {
	var prints []string
	for i := range list {
		if list[i].Rule.Kind == ticketing.Pushed {
			prints = append(prints, list[i].Fields[fieldFingerprint])
		}
	}
	out := make(map[string]*row, len(prints))
	for part := range slices.Chunk(prints, perStatement) {
		var rows []row
		if err := s.db.NewSelect().Model(&rows).Where("fingerprint IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("alertmanager: read what was sent of %d alerts: %w", len(part), err)
		}
		for i := range rows {
			out[rowKey(rows[i].Tenant, rows[i].Fingerprint)] = &rows[i]
		}
	}
	return out, nil
}

// Figures tell how the alerts that were sent in fare.
type Figures struct {
	Known  int64      // alerts that fired within the last 30 days
	Firing int64      // of these, those that fire now
	LastAt *time.Time // when one was sent last
}

// Pushed returns the figures of what was sent in.
func (s *Service) Pushed(ctx context.Context) (Figures, error) {
	var r struct{ Known, Firing, Last int64 }
	err := s.db.NewSelect().Model((*row)(nil)).ColumnExpr("count(*) AS known, count(*) FILTER (WHERE over < firing) AS firing, coalesce(max(updated_at), 0) AS last").Scan(ctx, &r)
	if err != nil {
		return Figures{}, fmt.Errorf("alertmanager: count what was sent in: %w", err)
	}
	f := Figures{Known: r.Known, Firing: r.Firing}
	if r.Last > 0 {
		t := time.UnixMilli(r.Last).UTC()
		f.LastAt = &t
	}
	return f, nil
}
