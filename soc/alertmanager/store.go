package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/plainjson"
	"icewatch/soc/state"
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

// perStatement bounds how many rows one statement reads or writes, tellAtOnce
// how many alerts ticketing takes in at a time.
const (
	perStatement = 200
	tellAtOnce   = 1000
)

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

// end is when the row's firing is over. Nobody could say it again while the suite was
// away: what was to last so long beyond its last word has as long from the start on,
// but no longer than one that is sent without an end.
func (r *row) end(started int64) int64 {
	lasts := r.EndsAt - r.UpdatedAt
	if lasts <= 0 || r.UpdatedAt >= started {
		return r.EndsAt
	}
	return max(r.EndsAt, started+min(lasts, refreshed.Milliseconds()))
}

// isOver is end in SQL, of the start twice, the longest time and now.
const isOver = "CASE WHEN ends_at > updated_at AND updated_at < ? THEN max(ends_at, ? + min(ends_at - updated_at, ?)) ELSE ends_at END <= ?"

// arrival is an alert that was sent, and how it is kept.
type arrival struct {
	sent   *sentAlert
	row    row
	fields map[string]string // of its place, where they had to be found out
	born   bool              // this firing began with it: nobody has heard of it
}

// take takes in what was sent, and tells whether ticketing still has to know of
// something. An alert is the same as another of its tenant when its labels are;
// it begins anew when it was over. What begins is written down together with the
// alert that ticketing makes of it; what only fires on is kept at hand.
func (s *Service) take(ctx context.Context, tenant string, list []sentAlert, now time.Time) (news bool, err error) {
	came := make([]arrival, 0, len(list))
	var room []byte
	for i := range list {
		a := &list[i]
		room = plainjson.Object(room[:0], a.Labels)
		labels := string(room)
		room = plainjson.Object(room[:0], a.Annotations)
		notes := string(room)
		print := webhook.Fingerprint(a.Labels)
		var found map[string]string
		owner := s.hand.place(tenant, print, now, func() string {
			fields := fieldsOf(a.Labels)
			owner := s.Place(tenant, fields)
			if owner == tenant { // else it is another question whose fields these are
				found = fields
			}
			return owner
		})
		came = append(came, arrival{sent: a, fields: found, row: row{Tenant: owner, Fingerprint: print, Labels: labels, Annotations: notes, URL: a.GeneratorURL,
			StartsAt: a.StartsAt.UnixMilli(), EndsAt: a.EndsAt.UnixMilli(), UpdatedAt: now.UnixMilli(), Since: now.UnixMilli(), Firing: 1}})
	}
	write, from, err := s.decide(ctx, came, now)
	if err != nil || len(write) == 0 {
		return false, err
	}
	defer s.hand.settle(write)
	return s.write(ctx, write, from, now.UnixMilli())
}

// decide finds out what becomes of what was sent, and returns the rows that are to
// be written down, and from what they are. Until settle is called for these, they
// are this request's alone: others that bring the same alerts wait, and the rest
// goes on, so that one request is read while another one is written.
func (s *Service) decide(ctx context.Context, came []arrival, now time.Time) (write []row, from map[string]*arrival, err error) {
	h := s.hand
	h.taking.Lock()
	defer h.taking.Unlock()
	for slices.ContainsFunc(came, func(a arrival) bool { return h.writing[rowKey(a.row.Tenant, a.row.Fingerprint)] }) {
		h.written.Wait()
	}
	if err := s.bring(ctx, came); err != nil {
		return nil, nil, err
	}
	changed, longer := map[string]*row{}, map[string]*row{}
	from = map[string]*arrival{} // the last of each
	known := func(k string) *row {
		for _, m := range []map[string]*row{changed, longer} {
			if r := m[k]; r != nil {
				return r
			}
		}
		return s.hand.get(k)
	}
	for i := range came {
		k := rowKey(came[i].row.Tenant, came[i].row.Fingerprint)
		have := known(k)
		next := follow(have, came[i].row, now.UnixMilli(), s.started.UnixMilli())
		switch {
		case next == nil:
		case changed[k] == nil && extension(have, next):
			longer[k] = next
		default:
			came[i].born = have == nil || next.Firing > have.Firing || from[k] != nil && from[k].born
			changed[k], from[k] = next, &came[i]
			delete(longer, k)
		}
	}
	h.extend(sorted(longer))
	for k := range changed {
		h.writing[k] = true
	}
	return sorted(changed), from, nil
}

// settle ends the writing of rows.
func (h *hand) settle(rows []row) {
	h.taking.Lock()
	defer h.taking.Unlock()
	for i := range rows {
		delete(h.writing, rowKey(rows[i].Tenant, rows[i].Fingerprint))
	}
	h.written.Broadcast()
}

// write writes rows down, those that begin with the alerts that ticketing makes
// of them, and tells whether something is left to be told.
func (s *Service) write(ctx context.Context, rows []row, from map[string]*arrival, now int64) (news bool, err error) {
	begun := slices.Clone(rows)
	var occs []detections.Occurrence
	born := true // all of them were
	for i := range begun {
		r := &begun[i]
		s.hand.known.Add(rowKey(r.Tenant, r.Fingerprint))
		switch {
		case r.EndsAt > now && r.Told == r.Firing-1 && r.Over == r.Told:
			a := from[rowKey(r.Tenant, r.Fingerprint)]
			fields := a.fields
			if fields == nil {
				fields = fieldsOf(a.sent.Labels)
				s.Place(r.Tenant, fields)
			}
			occs = append(occs, occurrenceOf(r, a.sent.Labels, a.sent.Annotations, fields))
			born = born && a.born
			r.Told = r.Firing
		case r.EndsAt <= now || r.Told < r.Firing:
			news = true // after what ticketing knows of the firing before
		}
	}
	if len(occs) > 0 {
		err := s.Tickets.IngestBeside(ctx, occs, born, func(ctx context.Context, tx bun.Tx) error { return save(ctx, tx, begun) })
		if err == nil {
			s.hand.put(begun...)
			return news, nil
		}
		if ctx.Err() != nil {
			s.hand.drop(rows) // the last word may have been said all the same
			return false, err
		}
		// They are to be known all the same, and told as soon as that is possible.
		s.Log.Error("alertmanager: alerts that were sent in wait for ticketing and will be tried again", "alerts", len(occs), "error", err)
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { return save(ctx, tx, rows) })
	if err != nil {
		return false, fmt.Errorf("alertmanager: take in %d alerts: %w", len(rows), err)
	}
	// What SQL has of them is read again: they may be known there after all.
	s.hand.drop(rows)
	return true, nil
}

// columns are those of a row.
var columns = []string{"tenant", "fingerprint", "labels", "annotations", "url", "starts_at", "ends_at", "updated_at", "since", "firing", "told", "over"}

// save writes rows down. What ticketing knows of them by SQL stays known.
func save(ctx context.Context, tx bun.Tx, rows []row) error {
	put := state.NewPut(tx, "alertmanager_pushed", columns, `ON CONFLICT (tenant, fingerprint) DO UPDATE SET annotations = EXCLUDED.annotations, url = EXCLUDED.url,
		starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at, updated_at = EXCLUDED.updated_at, since = EXCLUDED.since, firing = EXCLUDED.firing, told = max(told, EXCLUDED.told)`)
	defer put.Close()
	for i := range rows {
		r := &rows[i]
		if err := put.Row(ctx, r.Tenant, r.Fingerprint, r.Labels, r.Annotations, r.URL, r.StartsAt, r.EndsAt, r.UpdatedAt, r.Since, r.Firing, r.Told, r.Over); err != nil {
			return fmt.Errorf("write %d alerts: %w", len(rows), err)
		}
	}
	return nil
}

// sorted lists rows by their keys.
func sorted(rows map[string]*row) []row {
	out := make([]row, 0, len(rows))
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[k])
	}
	return out
}

// bring puts at hand what SQL has of alerts.
func (s *Service) bring(ctx context.Context, came []arrival) error {
	if err := s.know(ctx); err != nil {
		return fmt.Errorf("alertmanager: read which alerts are known: %w", err)
	}
	missing := map[string][]string{} // fingerprints by tenant
	for i := range came {
		r := &came[i].row
		if k := rowKey(r.Tenant, r.Fingerprint); s.hand.get(k) == nil && !(s.hand.knows && s.hand.known.Lacks(k)) {
			missing[r.Tenant] = append(missing[r.Tenant], r.Fingerprint)
		}
	}
	for tenant, prints := range missing {
		have, err := s.read(ctx, tenant, prints)
		if err != nil {
			return fmt.Errorf("alertmanager: read the alerts that are known: %w", err)
		}
		have = slices.DeleteFunc(have, func(r row) bool { return s.hand.get(rowKey(r.Tenant, r.Fingerprint)) != nil })
		s.hand.put(have...)
	}
	return nil
}

// read reads rows of a tenant; those that there are not are left out.
func (s *Service) read(ctx context.Context, tenant string, prints []string) (rows []row, err error) {
	list, err := json.Marshal(prints)
	if err != nil {
		return nil, err
	}
	// The list comes first: SQLite would rather go through the table.
	err = s.db.NewSelect().Model(&rows).ModelTableExpr("(SELECT DISTINCT value FROM json_each(?)) AS j CROSS JOIN alertmanager_pushed AS p", string(list)).
		Where("p.tenant = ? AND p.fingerprint = j.value", tenant).Scan(ctx)
	return rows, err
}

// follow is what an alert becomes by what was sent of it now; nil where it stays
// as it is: what nobody knows to fire cannot end.
func follow(have *row, sent row, now, started int64) *row {
	over := sent.EndsAt <= now
	switch {
	case have == nil && over:
		return nil
	case have == nil:
		return &sent
	case have.Over < have.Firing && have.end(started) > now: // it fires
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
		if err != nil || n < tellAtOnce {
			return
		}
	}
}

func (s *Service) tellPart(ctx context.Context) (int, error) {
	var rows []row
	now, started := s.Clock().UnixMilli(), s.started.UnixMilli()
	// Two questions: one for both would go through the whole table.
	err := s.db.NewSelect().Model(&rows).Where("told < firing").Limit(tellAtOnce).Scan(ctx)
	if err == nil && len(rows) < tellAtOnce {
		var over []row
		err = s.db.NewSelect().Model(&over).Where("over < firing AND ends_at <= ? AND told >= firing AND "+isOver, now, started, started, refreshed.Milliseconds(), now).Limit(tellAtOnce - int64(len(rows))).Scan(ctx)
		rows = append(rows, over...)
	}
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	// What SQL has as over may fire on: then it has to know first.
	if s.hand.newer(rows, now) {
		if err := s.flush(ctx, true); err != nil {
			return 0, err
		}
		return tellAtOnce, nil
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
	overs := make([]int64, len(rows))
	for i := range rows {
		r := &rows[i]
		overs[i] = max(r.Over, r.Firing-1)
		if r.end(started) <= now {
			if err := s.Tickets.Recover(ctx, r.Tenant, r.key(), ended(r)); err != nil {
				return 0, err
			}
			overs[i] = r.Firing
		}
	}
	// In one transaction: each would wait for the disk by itself.
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		stmt, err := tx.Tx.PrepareContext(ctx, "UPDATE alertmanager_pushed SET told = ?, over = ? WHERE tenant = ? AND fingerprint = ? AND told <= ? AND over <= ?")
		if err != nil {
			return err
		}
		defer stmt.Close()
		for i := range rows {
			r := &rows[i]
			if _, err := stmt.ExecContext(ctx, r.Firing, overs[i], r.Tenant, r.Fingerprint, r.Firing, overs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("alertmanager: note what ticketing knows of %d alerts: %w", len(rows), err)
	}
	for i := range rows {
		s.hand.told(rowKey(rows[i].Tenant, rows[i].Fingerprint), rows[i].Firing, overs[i])
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
		if err := s.flush(ctx, false); err != nil && ctx.Err() == nil {
			s.Log.Error("alertmanager: until when alerts fire is not written down and will be tried again", "error", err)
		}
		s.tell(ctx)
		if n%3600 == 0 {
			_, err := s.db.NewDelete().Model((*row)(nil)).Where("over = firing AND updated_at < ?", s.Clock().Add(-keep).UnixMilli()).Exec(ctx)
			if err != nil && ctx.Err() == nil {
				s.Log.Warn("alertmanager: alerts that were over long ago stay known", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			if err := s.flush(context.WithoutCancel(ctx), true); err != nil {
				s.Log.Warn("alertmanager: until when alerts fire is not written down", "error", err)
			}
			return
		case <-t.C:
		}
	}
}

// sent reads what was sent of those alerts that others raised.
func (s *Service) sent(ctx context.Context, list []ticketing.Routed) (map[string]*row, error) {
	prints := map[string][]string{}
	for i := range list {
		if list[i].Rule.Kind == ticketing.Pushed {
			prints[list[i].Tenant] = append(prints[list[i].Tenant], list[i].Fields[fieldFingerprint])
		}
	}
	out := make(map[string]*row, len(list))
	for tenant, of := range prints {
		rows, err := s.read(ctx, tenant, of)
		if err != nil {
			return nil, fmt.Errorf("alertmanager: read what was sent of %d alerts: %w", len(of), err)
		}
		for i := range rows {
			k := rowKey(rows[i].Tenant, rows[i].Fingerprint)
			if out[k] = s.hand.get(k); out[k] == nil {
				out[k] = &rows[i]
			}
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
