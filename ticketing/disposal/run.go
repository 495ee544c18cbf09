package disposal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"icewatch/ticketing/stepping"
	"icewatch/ticketing/workorder"
)

// actor is in whose name rules act.
const actor = "disposal-rule"

// pause is how often rules are asked.
const pause = 2 * time.Second

// Run has the rules deal with what is new until ctx ends.
func (s *Service) Run(ctx context.Context) {
	stepping.Work{Name: "disposal rules", Every: pause, Step: s.Step, Hourly: s.prune, Clock: s.now, Log: s.deps.Log}.Run(ctx)
}

// keep is how long records are kept.
const keep = 400 * 24 * time.Hour

func (s *Service) prune(ctx context.Context, now time.Time) error {
	if _, err := s.db.NewDelete().Model((*Record)(nil)).Where("at < ?", now.Add(-keep).UnixMilli()).Exec(ctx); err != nil {
		return fmt.Errorf("disposal: drop old records: %w", err)
	}
	return nil
}

const (
	cursorTimeline = "timeline"
	cursorAlerts   = "alerts"
	taken          = 200 // in one go
	// settling is how old an alert has to be before rules see it: alerts of one
	// millisecond may be written by several transactions.
	settling = time.Second
)

// begin leaves what is there at the first start alone.
func (s *Service) begin(ctx context.Context) error {
	last, err := s.deps.Tickets.LastHappened(ctx)
	if err != nil {
		return err
	}
	for name, seq := range map[string]int64{cursorTimeline: last, cursorAlerts: s.now().UnixMilli()} {
		if _, err := s.db.ExecContext(ctx, "INSERT INTO disposal_cursor (name, seq, id) VALUES (?, ?, '') ON CONFLICT (name) DO NOTHING", name, seq); err != nil {
			return fmt.Errorf("disposal: begin to follow: %w", err)
		}
	}
	return nil
}

func (s *Service) cursor(ctx context.Context, name string) (seq int64, id string, err error) {
	var c struct {
		Seq int64
		ID  string
	}
	if err := s.db.NewSelect().TableExpr("disposal_cursor").Column("seq", "id").Where("name = ?", name).Scan(ctx, &c); err != nil {
		return 0, "", fmt.Errorf("disposal: read the cursor %s: %w", name, err)
	}
	return c.Seq, c.ID, nil
}

func (s *Service) reached(ctx context.Context, name string, seq int64, id string) error {
	if _, err := s.db.NewUpdate().TableExpr("disposal_cursor").Set("seq = ?", seq).Set("id = ?", id).Where("name = ?", name).Exec(ctx); err != nil {
		return fmt.Errorf("disposal: write the cursor %s: %w", name, err)
	}
	return nil
}

// Step does once what Run does again and again.
func (s *Service) Step(ctx context.Context) error {
	rules, err := s.list(ctx, false)
	if err != nil {
		return err
	}
	if err := s.followTimelines(ctx, rules); err != nil {
		return err
	}
	if err := s.followAlerts(ctx, rules); err != nil {
		return err
	}
	return s.escalate(ctx, rules)
}

func (s *Service) followTimelines(ctx context.Context, rules []Rule) error {
	for {
		after, _, err := s.cursor(ctx, cursorTimeline)
		if err != nil {
			return err
		}
		list, err := s.deps.Tickets.Happened(ctx, after, taken)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, h := range list {
			switch h.Kind {
			case "opened":
				err = s.dispose(ctx, rules, OnIncident, h.Object)
			case "closed", "recovered":
				err = s.recovered(ctx, rules, h.Object)
			}
			if err != nil {
				return err
			}
		}
		if err := s.reached(ctx, cursorTimeline, list[len(list)-1].Seq, ""); err != nil || len(list) < taken {
			return err
		}
	}
}

func (s *Service) followAlerts(ctx context.Context, rules []Rule) error {
	for {
		at, id, err := s.cursor(ctx, cursorAlerts)
		if err != nil {
			return err
		}
		list, err := s.deps.Tickets.RaisedAfter(ctx, at, id, taken)
		if err != nil {
			return err
		}
		young := s.now().Add(-settling).UnixMilli()
		n := 0
		for ; n < len(list) && list[n].At <= young; n++ {
			if err := s.dispose(ctx, rules, OnAlert, list[n].ID); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
		if err := s.reached(ctx, cursorAlerts, list[n-1].At, list[n-1].ID); err != nil || n < taken {
			return err
		}
	}
}

// dispose has each rule that is for a thing do its part. The thing is read where
// some rule is for its kind: there may be many alerts, and no rule for any.
func (s *Service) dispose(ctx context.Context, rules []Rule, kind, object string) error {
	var sub workorder.Subject
	for i := range rules {
		r := &rules[i]
		if !r.Enabled || r.On != kind {
			continue
		}
		if sub.ID == "" {
			var err error
			if sub, err = s.deps.Tickets.Subject(ctx, object); err != nil {
				if errors.Is(err, workorder.ErrNotFound) {
					return nil // it is gone
				}
				return err
			}
		}
		if !r.matches(r.test, &sub, sub.OpenedAt) {
			continue
		}
		if err := s.act(ctx, r, &sub); err != nil {
			return err
		}
		if r.Last {
			return nil
		}
	}
	return nil
}

// act does what a rule says about a thing, and writes down what came of it. What
// cannot be done is written down as well and keeps nothing else from being done.
func (s *Service) act(ctx context.Context, r *Rule, sub *workorder.Subject) error {
	have, err := s.db.NewSelect().Model((*Record)(nil)).Where("rule = ? AND object = ?", r.ID, sub.ID).Exists(ctx)
	if err != nil || have {
		return err
	}
	now := s.now()
	done := []Outcome{}
	did := func(action, to string, err error) {
		o := Outcome{Action: action, To: to, At: now.UnixMilli()}
		if err != nil {
			o.Error = err.Error()
		}
		done = append(done, o)
	}
	if a := r.Assign; a != nil && (sub.Assignee == "" || a.Anew) {
		user, err := s.responsible(ctx, a, sub, now)
		if err == nil && sub.Assignee != user { // else it was cut off after that
			err = s.deps.Tickets.Assign(ctx, sub.ID, actor, user)
		}
		did("assign", user, err)
	}
	if r.WorkOrder != "" && s.deps.WorkOrder != nil {
		did("work_order", r.WorkOrder, s.deps.WorkOrder(ctx, r.WorkOrder, sub.ID, r.ID))
	}
	if r.Notice && s.deps.Notice != nil {
		did("notice", "", s.deps.Notice(ctx, *sub, r.ID))
	}
	if r.Tell != nil {
		for _, to := range r.Tell.Receivers {
			did("tell", to, s.deps.Tickets.Tell(ctx, to, *sub, "opened", r.ID+"\x00opened", r.Name))
		}
	}
	if r.Close != nil {
		did("close", r.Close.Resolution, s.deps.Tickets.Close(ctx, sub.ID, actor, r.Close.Resolution, r.Name+"："+r.Close.Comment))
	}
	if ctx.Err() != nil {
		return ctx.Err() // it was cut off: it is done again
	}
	rec := Record{Rule: r.ID, RuleName: r.Name, Object: sub.ID, Title: sub.Title, Tenant: sub.Tenant, At: now.UnixMilli(), Kept: sub.Facts}
	if r.Escalate != nil {
		rec.EscalateAt = now.Add(time.Duration(r.Escalate.After) * time.Minute).UnixMilli()
	}
	return s.write(ctx, &rec, done)
}

func (s *Service) write(ctx context.Context, rec *Record, done []Outcome) error {
	doc, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("disposal: pack a record: %w", err)
	}
	rec.Doc = string(doc)
	_, err = s.db.NewInsert().Model(rec).On("CONFLICT (rule, object) DO UPDATE").Set("done = EXCLUDED.done").Set("escalate_at = EXCLUDED.escalate_at").
		Set("told_recovery = EXCLUDED.told_recovery").Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("disposal: write what the rule %s did about %s: %w", rec.Rule, rec.Object, err)
	}
	return nil
}

// responsible finds whom a thing is assigned to.
func (s *Service) responsible(ctx context.Context, a *Assign, sub *workorder.Subject, at time.Time) (user string, err error) {
	switch a.To {
	case ToOwner:
		if s.deps.Owner != nil && sub.Owner != "" {
			user = s.deps.Owner(ctx, sub.Owner)
		}
		err = fmt.Errorf("the owner %q of it is no user of the suite", sub.Owner)
	case ToOnDuty:
		if s.deps.OnDuty != nil {
			user = s.deps.OnDuty(a.Team, at)
		}
		err = fmt.Errorf("nobody is on duty in the team %s", a.Team)
	}
	if user = cmp.Or(user, a.User); user != "" {
		err = nil
	}
	return user, err
}

// records are those of rules that still have something to do about a thing.
func (s *Service) records(ctx context.Context, where string, args ...any) ([]Record, error) {
	var list []Record
	if err := s.db.NewSelect().Model(&list).Where(where, args...).OrderExpr("seq").Limit(taken).Scan(ctx); err != nil {
		return nil, fmt.Errorf("disposal: read records: %w", err)
	}
	for i := range list {
		if err := json.Unmarshal([]byte(list[i].Doc), &list[i].Done); err != nil {
			return nil, fmt.Errorf("disposal: read record %d: %w", list[i].Seq, err)
		}
	}
	return list, nil
}

func find(rules []Rule, id string) *Rule {
	for i := range rules {
		if rules[i].ID == id && rules[i].Enabled {
			return &rules[i]
		}
	}
	return nil
}

// recovered tells those that want to know that a thing was closed.
func (s *Service) recovered(ctx context.Context, rules []Rule, object string) error {
	list, err := s.records(ctx, "object = ? AND NOT told_recovery", object)
	if err != nil || len(list) == 0 {
		return err
	}
	sub, err := s.deps.Tickets.Subject(ctx, object)
	if err != nil {
		return err
	}
	if sub.Status != "closed" {
		return nil // it was opened again since
	}
	for i := range list {
		rec := &list[i]
		rec.EscalateAt = 0
		if r := find(rules, rec.Rule); r != nil && r.Tell != nil && r.Tell.Recovery {
			for _, to := range r.Tell.Receivers {
				rec.add("recovery", to, s.now(), s.deps.Tickets.Tell(ctx, to, sub, "resolved", r.ID+"\x00resolved", r.Name))
			}
		}
		rec.ToldRecovery = true
		if err := s.write(ctx, rec, rec.Done); err != nil {
			return err
		}
	}
	return nil
}

func (r *Record) add(action, to string, at time.Time, err error) {
	o := Outcome{Action: action, To: to, At: at.UnixMilli()}
	if err != nil {
		o.Error = err.Error()
	}
	r.Done = append(r.Done, o)
}

// escalate goes on with what nobody has acknowledged in time.
func (s *Service) escalate(ctx context.Context, rules []Rule) error {
	now := s.now()
	list, err := s.records(ctx, "escalate_at > 0 AND escalate_at <= ?", now.UnixMilli())
	if err != nil {
		return err
	}
	for i := range list {
		rec := &list[i]
		due := rec.EscalateAt
		rec.EscalateAt = 0
		sub, err := s.deps.Tickets.Subject(ctx, rec.Object)
		if err != nil && !errors.Is(err, workorder.ErrNotFound) {
			return err
		}
		if r := find(rules, rec.Rule); r != nil && r.Escalate != nil && err == nil && sub.Status == "open" {
			if user := r.Escalate.User; user != "" {
				var err error
				if sub.Assignee != user {
					err = s.deps.Tickets.Assign(ctx, sub.ID, actor, user)
				}
				rec.add("escalate", user, now, err)
			}
			for _, to := range r.Escalate.Receivers {
				rec.add("escalate", to, now, s.deps.Tickets.Tell(ctx, to, sub, "escalation", r.ID+"\x00"+strconv.FormatInt(due, 10), r.Name))
			}
		}
		if err := s.write(ctx, rec, rec.Done); err != nil {
			return err
		}
	}
	return nil
}
