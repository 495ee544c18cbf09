package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/outbox"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/webhook"
)

// maxNotified is how many alerts a notification lists; the rest is counted.
const maxNotified = 50

// tell writes a notification of the incident as it stands into the outbox.
// unique tells it from the incident's others of the same kind. Silenced alerts
// are left out of it, and where all are silenced it is held back: see mute.go.
// The incident is the caller's to save.
func (s *Service) tell(ctx context.Context, tx bun.Tx, i *incident, kind, unique string, now time.Time) error {
	var members []*alert // read once, and only where somebody has to know
	read, part := false, false
	if kind != "resolved" && s.quiet() {
		all, err := alertsOf(ctx, tx, i.ID)
		if err != nil {
			return err
		}
		heard, by := s.heardOf(all)
		if len(heard) == 0 && len(by) > 0 {
			return s.holdBack(ctx, tx, i, kind, by, now)
		}
		members, read, part = heard, true, len(by) > 0
	}
	if i.MutedKind == mutedWhole {
		if kind == "resolved" {
			return s.holdBack(ctx, tx, i, kind, nil, now) // nobody knows of it
		}
		kind, unique = "opened", i.Derived
	}
	i.MutedAt, i.MutedKind = 0, ""
	if part {
		i.mute(mutedPart, now)
	}
	if kind != "resolved" && s.routes != nil && !s.routes.Idle() {
		if !read {
			var err error
			if members, err = alertsOf(ctx, tx, i.ID); err != nil {
				return err
			}
			read = true
		}
		if err := s.route(ctx, tx, members, urgentKind(kind), now); err != nil {
			return err
		}
	}
	_, err := s.out.Enqueue(ctx, tx, outbox.Message{
		IncidentID: i.ID, Tenant: i.Tenant, Facts: i.Kept, Kind: kind, Resolved: i.Status == StatusClosed, Unique: unique, Acknowledgeable: i.Status == StatusOpen,
		Render: func(to outbox.Addressee) (_ []byte, err error) {
			if !read {
				if members, err = alertsOf(ctx, tx, i.ID); err != nil {
					return nil, err
				}
				read = true
			}
			alerts := make([]webhook.Alert, 0, len(members))
			for _, a := range members {
				alerts = append(alerts, s.notified(i, a))
			}
			if len(alerts) == 0 {
				alerts = append(alerts, s.notifiedIncident(i))
			}
			p := webhook.New(to.Name, s.cfg.ExternalURL, map[string]string{"incident": i.ID}, linked(alerts, to.Link), maxNotified)
			return json.Marshal(p)
		},
	})
	return err
}

// alertsOf reads the alerts of an incident, the gravest first.
func alertsOf(ctx context.Context, db bun.IDB, incident string) ([]*alert, error) {
	var rows []alertRow
	if err := db.NewSelect().Model(&rows).Where("incident_id = ?", incident).OrderExpr("severity DESC, first_seen, id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("read the alerts of %s: %w", incident, err)
	}
	out := make([]*alert, 0, len(rows))
	for _, r := range rows {
		a := &alert{alertRow: r}
		if err := a.unpack(); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// notified makes an alert of an incident as a notification carries it. While
// the incident goes on an alert ends only when it is closed itself; with the
// incident all end.
func (s *Service) notified(i *incident, a *alert) webhook.Alert {
	w := s.notifiedIncident(i)
	// What a receiver reads is what matchers of silences know.
	w.Labels = a.matchable()
	for name, value := range map[string]string{"rule_id": a.RuleID, "severity": string(severityOf(a.Severity))} {
		if w.Labels[name] == "" { // of a pushed alert
			w.Labels[name] = value
		}
	}
	w.Annotations["description"] = a.doc.Title.ZH
	w.Annotations["description_en"] = a.doc.Title.EN
	if f := a.doc.Flapping; f != nil && a.Status != StatusClosed {
		w.Annotations["flapping"] = fmt.Sprintf("自 %s 起抖动，已变化 %d 次，稳定后再通知", s.local(f.Since.Time), f.Changes)
		w.Annotations["flapping_en"] = fmt.Sprintf("It flaps since %s and has changed %d times; it is told of again when it is calm", s.local(f.Since.Time), f.Changes)
	}
	w.StartsAt = when(a.FirstSeen)
	w.GeneratorURL = s.link("alerts", a.ID)
	if a.Status == StatusClosed && w.Status == webhook.Firing {
		w.Status, w.EndsAt = webhook.Resolved, when(a.ClosedAt)
	}
	return w
}

// notifiedIncident makes what all alerts of an incident's notification share.
func (s *Service) notifiedIncident(i *incident) webhook.Alert {
	w := webhook.Alert{
		Status: webhook.Firing,
		Labels: map[string]string{
			"alertname": "incident", "incident": i.ID, "tenant": i.Tenant,
			"severity": string(severityOf(i.Severity)), "priority": priorityOf(i.Priority),
		},
		Annotations:  map[string]string{"summary": i.doc.Title.ZH, "summary_en": i.doc.Title.EN, "incident_url": s.link("incidents", i.ID)},
		StartsAt:     when(i.FirstSeen),
		GeneratorURL: s.link("incidents", i.ID),
	}
	if i.doc.CI != nil {
		w.Labels["ci"] = firstOf(i.doc.CI.Name, i.doc.CI.ID)
	}
	if i.doc.System != nil {
		w.Labels["system"] = firstOf(i.doc.System.Name, i.doc.System.ID)
	}
	if i.doc.Owner != "" {
		w.Annotations["owner"] = i.doc.Owner
	}
	if i.Status == StatusClosed {
		w.Status, w.EndsAt = webhook.Resolved, when(i.ClosedAt)
		w.Annotations["resolution"] = i.Resolution
	}
	return w
}

func (s *Service) link(kind, id string) string {
	return strings.TrimRight(s.cfg.ExternalURL, "/") + "/" + kind + "/" + url.PathEscape(id)
}

// delivered notes in the incident's timeline what became of a notification.
func (s *Service) delivered(ctx context.Context, tx bun.Tx, a outbox.Attempt) error {
	if a.IncidentID == "" {
		return nil // told by TellReceiver: it stands in the delivery log alone
	}
	t := detections.Text{ZH: "已通知接收方 " + a.Receiver, EN: "Receiver " + a.Receiver + " was notified"}
	if a.Status != outbox.Delivered {
		t = detections.Text{ZH: "通知接收方 " + a.Receiver + " 失败：" + a.Error, EN: "Receiver " + a.Receiver + " could not be notified: " + a.Error}
	}
	return saveTimeline(ctx, tx, []timelineRow{entry(a.IncidentID, when(a.At), "notified", SystemActor, t,
		map[string]any{"receiver": a.Receiver, "notification": a.Kind, "status": a.Status, "attempts": a.Attempt})})
}

// Run keeps clocks and deliveries going until ctx ends: it writes down
// breaches, tells of changes that were held back, asks the policy again where
// it failed, forgets old occurrences, and delivers. Everything it acts on
// stands in SQL, so a restart goes on where the last run ended.
func (s *Service) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.out.Run(ctx)
	}()
	defer func() { <-done }()
	var pruned, retried, unmuted, released time.Time
	var silences []string
	for ctx.Err() == nil {
		now := s.now()
		s.must(ctx, "write down breaches", s.breaches(ctx, now))
		s.must(ctx, "warn of what comes due", s.warnings(ctx, now))
		s.must(ctx, "tell of changes", s.tellDue(ctx, now))
		s.must(ctx, "group what fails", s.settleFaults(ctx, now))
		s.must(ctx, "end the flapping of alerts", s.calmDown(ctx, now))
		s.must(ctx, "merge alerts by rules", s.settleMerges(ctx, now))
		s.must(ctx, "tell what routes send", s.dispatch(ctx, now))
		// What is held back depends on silences; now and then it is looked at all
		// the same, since one may have ended while an incident was written.
		freed, err := s.freshenInhibition(ctx, now)
		s.must(ctx, "read what inhibits alerts", err)
		freed = s.unmute.Swap(false) || freed
		over, err := s.gatheredSince(ctx, released, now)
		s.must(ctx, "look whose period is over", err)
		freed, released = freed || over, now
		if active, d := s.muting.Active(), now.Sub(unmuted); freed || !slices.Equal(active, silences) || d >= 15*time.Second || d < 0 {
			silences, unmuted = active, now
			s.must(ctx, "tell of what silences held back", s.tellUnmuted(ctx, now))
		}
		more, err := s.judgeEvents(ctx)
		s.must(ctx, "grade data-security events", err)
		if more {
			s.nudge()
		}
		if d := now.Sub(retried); d >= 15*time.Second || d < 0 {
			s.must(ctx, "tell who owns silences of their end", s.tellOwners(ctx))
			s.must(ctx, "tell who owns suppressions of their end", s.tellSuppressions(ctx))
			retried = now
			s.must(ctx, "ask the policy again", s.judgeAgain(ctx, now))
		}
		if d := now.Sub(pruned); d >= 10*time.Minute || d < 0 {
			pruned = now
			s.must(ctx, "forget old occurrences", s.prune(ctx, now))
			s.must(ctx, "forget old silences", s.muting.Prune(ctx))
			s.must(ctx, "forget who has looked at alerts long ago", s.pruneReads(ctx, now))
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-time.After(s.untilDue(ctx)):
		}
	}
}

func (s *Service) must(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Error("ticketing: "+what, "error", err)
	}
}

// untilDue is how long Run may sleep. It looks again every second at most
// while something is near, so that a clock that jumps is noticed.
func (s *Service) untilDue(ctx context.Context) time.Duration {
	const idle = 10 * time.Second
	wait := idle
	for _, q := range []*bun.SelectQuery{
		s.db.NewSelect().Model((*incidentRow)(nil)).ColumnExpr("coalesce(min(due), 0)").Where("status <> 'closed' AND due > ?", s.now().UnixMilli()),
		s.db.NewSelect().Model((*incidentRow)(nil)).ColumnExpr("coalesce(min(tell_at), 0)").Where("tell_at > 0"),
		s.db.NewSelect().Model((*incidentRow)(nil)).ColumnExpr("coalesce(min(warn_at), 0)").Where("warn_at > 0"),
	} {
		var next int64
		if err := q.Scan(ctx, &next); err != nil || next == 0 {
			continue
		}
		wait = min(wait, time.Second, time.UnixMilli(next).Sub(s.clock())+time.Millisecond)
	}
	if s.gathers.Load() {
		var next int64
		err := s.db.NewSelect().Model((*alertRow)(nil)).ColumnExpr("coalesce(min(gathered), 0)").Where("gathered > ?", s.now().UnixMilli()).Where("status <> ?", StatusClosed).Scan(ctx, &next)
		if err == nil && next > 0 {
			wait = min(wait, time.Second, time.UnixMilli(next).Sub(s.clock())+time.Millisecond)
		}
	}
	if s.faults != nil {
		if next := s.faults.next(); !next.IsZero() {
			wait = min(wait, time.Second, next.Sub(s.clock())+time.Millisecond)
		}
	}
	if !s.nextGroup.IsZero() {
		wait = min(wait, time.Second, s.nextGroup.Sub(s.clock())+time.Millisecond)
	}
	if end := s.muting.NextEnd(); !end.IsZero() {
		wait = min(wait, time.Second, end.Sub(s.clock())+time.Millisecond)
	}
	return max(20*time.Millisecond, wait)
}

// breaches writes down, once each, the clocks that ran out.
func (s *Service) breaches(ctx context.Context, now time.Time) error {
	ms := now.UnixMilli()
	var ids []string
	err := s.db.NewSelect().Model((*incidentRow)(nil)).Column("id").Where("status <> 'closed' AND due > 0 AND due < ?", ms).
		Where("(ack_breach = 0 AND acked_at = 0 AND ack_due < ?) OR (paused_at = 0 AND (resolve_breach = 0 AND resolve_due < ? OR propose_breach = 0 AND proposed_at = 0 AND propose_due > 0 AND propose_due < ?))", ms, ms, ms).
		OrderExpr("due").Limit(idsPerStatement).Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("look for late incidents: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	err = s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := readIncidents(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, i := range list {
			entries := s.late(i, now)
			if len(entries) == 0 || i.Status == StatusClosed {
				continue
			}
			if err := saveTimeline(ctx, tx, entries); err != nil {
				return err
			}
			if err := s.tell(ctx, tx, i, "sla", strconv.FormatInt(ms, 10), now); err != nil {
				return err
			}
			i.ToldAt, i.TellAt = ms, 0
			if err := s.saveIncident(ctx, tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	s.out.Wake()
	return err
}

// late notes in an incident what is or was late and is not noted yet, and
// returns what enters its timeline. Actions call it as well: what was done late
// is late, even where nothing looked at the clock in between.
func (s *Service) late(i *incident, now time.Time) []timelineRow {
	c := i.clock()
	var entries []timelineRow
	if i.AckBreach == 0 && c.AckLate(now) {
		i.AckBreach = now.UnixMilli()
		entries = append(entries, entry(i.ID, now, "sla", SystemActor,
			detections.Text{ZH: "响应超时：应于 " + s.local(c.AckDue) + " 前确认", EN: "Response is late: it was due by " + s.local(c.AckDue)},
			map[string]any{"target": "ack", "due": at(i.AckDue), "state": sla.Breached}))
	}
	if i.ResolveBreach == 0 && c.ResolveLate(now) {
		i.ResolveBreach = now.UnixMilli()
		entries = append(entries, entry(i.ID, now, "sla", SystemActor,
			detections.Text{ZH: "处置超时：应于 " + s.local(c.ResolveDue) + " 前关闭", EN: "Solution is late: it was due by " + s.local(c.ResolveDue)},
			map[string]any{"target": "resolve", "due": at(i.ResolveDue), "state": sla.Breached}))
	}
	if i.ProposeBreach == 0 && c.ProposeLate(now) {
		i.ProposeBreach = now.UnixMilli()
		entries = append(entries, entry(i.ID, now, "sla", SystemActor,
			detections.Text{ZH: "解决方案超时：应于 " + s.local(c.ProposeDue) + " 前提出", EN: "The proposal of a solution is late: it was due by " + s.local(c.ProposeDue)},
			map[string]any{"target": "propose", "due": at(i.ProposeDue), "state": sla.Breached}))
	}
	return entries
}

// local writes a time for a text, in the suite's zone and with its offset: who
// reads it elsewhere is told the right moment, and the console in his own zone.
func (s *Service) local(t time.Time) string { return t.In(s.zone).Format(time.RFC3339) }

// tellDue tells of the changes whose time has come.
func (s *Service) tellDue(ctx context.Context, now time.Time) error {
	var ids []string
	if err := s.db.NewSelect().Model((*incidentRow)(nil)).Column("id").Where("tell_at > 0 AND tell_at <= ?", now.UnixMilli()).
		OrderExpr("tell_at").Limit(idsPerStatement).Scan(ctx, &ids); err != nil {
		return fmt.Errorf("look for changed incidents: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := readIncidents(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, i := range list {
			if i.TellAt == 0 {
				continue
			}
			if i.Status != StatusClosed {
				if err := s.tell(ctx, tx, i, "changed", strconv.FormatInt(i.TellAt, 10), now); err != nil {
					return err
				}
			}
			i.ToldAt, i.TellAt = now.UnixMilli(), 0
			if err := s.saveIncident(ctx, tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	s.out.Wake()
	return err
}

// judgeAgain asks the policy about alerts for which it failed, and about those
// that have fired since it was asked last.
func (s *Service) judgeAgain(ctx context.Context, now time.Time) error {
	var ids []string
	if err := s.db.NewSelect().Model((*alertRow)(nil)).Column("id").Where("judge = 1").OrderExpr("last_seen").
		Limit(idsPerStatement).Scan(ctx, &ids); err != nil {
		return fmt.Errorf("look for alerts to judge: %w", err)
	}
	var c *correlation
	err := s.write(ctx, func(ctx context.Context, tx bun.Tx) error {
		all := slices.Concat(ids, s.live.fired(idsPerStatement))
		alerts, err := s.live.wholes(ctx, tx, all...)
		alerts = slices.DeleteFunc(alerts, func(a *alert) bool { return a.Status == StatusClosed })
		if err != nil || len(alerts) == 0 {
			return err
		}
		c, err = s.correlate(ctx, tx, alerts, now, true)
		return err
	})
	if err != nil {
		return fmt.Errorf("judge alerts again: %w", err)
	}
	if c == nil {
		return nil
	}
	s.count(func(st *Stats) { st.Incidents += uint64(c.opened); st.PolicyErrors += uint64(c.failed) })
	s.note(ctx, c.changes...)
	s.out.Wake()
	return nil
}

// prune forgets occurrences that no replay can bring again.
func (s *Service) prune(ctx context.Context, now time.Time) error {
	before := now.Add(-s.cfg.KeepOccurrences).UnixMilli()
	for {
		res, err := s.db.NewDelete().Model((*occurrenceRow)(nil)).
			Where("id IN (SELECT id FROM ticketing_occurrences WHERE taken_at < ? LIMIT 5000)", before).Exec(ctx)
		if err != nil {
			return fmt.Errorf("forget occurrences: %w", err)
		}
		// In parts, so that a long absence does not hold up the writers.
		if n, _ := res.RowsAffected(); n < 5000 {
			return nil
		}
	}
}

// readAlerts reads alerts whole, ordered by id. Ids that do not exist are left
// out.
func readAlerts(ctx context.Context, db bun.IDB, ids []string) ([]*alert, error) {
	var out []*alert
	for part := range slices.Chunk(ids, idsPerStatement) {
		var rows []alertRow
		if err := db.NewSelect().Model(&rows).Where("id IN (?)", bun.In(part)).OrderExpr("id").Scan(ctx); err != nil {
			return nil, fmt.Errorf("read %d alerts: %w", len(part), err)
		}
		for _, r := range rows {
			a := &alert{alertRow: r}
			if err := a.unpack(); err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	return out, nil
}
