package workorder

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/stepping"
	"icewatch/ticketing/webhook"
)

func hostOf(url string) string { return webhook.Host(url) }

// pause is how often Run looks for work that nobody woke it for.
const pause = 2 * time.Second

// Run follows timelines, sends messages and asks for orders until ctx ends.
func (s *Service) Run(ctx context.Context) {
	stepping.Work{Name: "work orders", Every: pause, Wake: s.wake, Step: s.Step, Hourly: s.prune, Clock: s.now, Log: s.deps.Log}.Run(ctx)
}

// keep is how long messages that were delivered are kept; orders stay.
const keep = 90 * 24 * time.Hour

func (s *Service) prune(ctx context.Context, now time.Time) error {
	if _, err := s.db.NewDelete().Model((*Message)(nil)).Where("state = ? AND settled_at < ?", delivered, now.Add(-keep).UnixMilli()).Exec(ctx); err != nil {
		return fmt.Errorf("workorder: drop old messages: %w", err)
	}
	return nil
}

// Step does once what Run does again and again: it follows what happened, sends
// all that is due and asks for the orders whose time has come.
func (s *Service) Step(ctx context.Context) error {
	if err := s.follow(ctx); err != nil {
		return err
	}
	var rows []connectionRow
	if err := s.db.NewSelect().Model(&rows).Where("deleted_at = 0").OrderExpr("id").Scan(ctx); err != nil {
		return fmt.Errorf("workorder: read connections: %w", err)
	}
	// A system that hangs keeps no other waiting.
	var all sync.WaitGroup
	for i := range rows {
		c, err := s.view(&rows[i])
		if err != nil {
			s.deps.Log.Error("work orders: a connection cannot be used", "error", err)
			continue
		}
		if !c.Enabled {
			continue
		}
		all.Go(func() {
			if err := s.serve(ctx, &rows[i], &c); err != nil && ctx.Err() == nil {
				s.deps.Log.Error("work orders", "connection", c.Name, "error", err)
			}
		})
	}
	all.Wait()
	return nil
}

const cursorName = "timeline"

// begin remembers where the timelines end when the room is opened for the first
// time: what came before is of no order.
func (s *Service) begin(ctx context.Context) error {
	last, err := s.deps.Tickets.LastHappened(ctx)
	if err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO workorder_cursor (name, seq) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", cursorName, last); err != nil {
		return fmt.Errorf("workorder: begin to follow: %w", err)
	}
	return nil
}

const followed = 500 // entries of timelines in one transaction

// follow makes messages of what happened to things that have orders. Where it
// stands is written with them.
func (s *Service) follow(ctx context.Context) error {
	for {
		var after int64
		if err := s.db.NewSelect().TableExpr("workorder_cursor").Column("seq").Where("name = ?", cursorName).Scan(ctx, &after); err != nil {
			return fmt.Errorf("workorder: read the cursor: %w", err)
		}
		list, err := s.deps.Tickets.Happened(ctx, after, followed)
		if err != nil || len(list) == 0 {
			return err
		}
		objects := map[string]bool{}
		for _, h := range list {
			objects[h.Object] = true
		}
		ids := make([]string, 0, len(objects))
		for id := range objects {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		var orders []Order
		if err := s.db.NewSelect().Model(&orders).Where("object IN (?)", bun.In(ids)).OrderExpr("made_at, id").Scan(ctx); err != nil {
			return fmt.Errorf("workorder: look for orders: %w", err)
		}
		if err := s.named(ctx, orders); err != nil {
			return err
		}
		subjects := map[string]Subject{}
		for _, o := range orders {
			if _, there := subjects[o.Object]; there {
				continue
			}
			if subjects[o.Object], err = s.deps.Tickets.Subject(ctx, o.Object); err != nil {
				return err
			}
		}
		err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			for _, h := range list {
				if h.Kind == noteKind {
					continue
				}
				for _, o := range orders {
					// What a system brought about itself it is not told.
					if o.Object != h.Object || h.Seq <= o.AfterSeq || h.Actor == actorOf(o.ConnectionName) {
						continue
					}
					if err := s.enqueue(ctx, tx, o.ID, "update", fmt.Sprint(h.Seq), Data{Subject: subjects[o.Object], Change: h}); err != nil {
						return err
					}
				}
			}
			_, err := tx.NewUpdate().TableExpr("workorder_cursor").Set("seq = ?", list[len(list)-1].Seq).Where("name = ?", cursorName).Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("workorder: follow timelines: %w", err)
		}
		if len(list) < followed {
			return nil
		}
	}
}

// Tell tells the systems that have orders of a thing what happened to it, where no
// timeline does. unique tells it from what else happened to the thing: it is told once.
func (s *Service) Tell(ctx context.Context, unique string, h Change) error {
	var orders []Order
	if err := s.db.NewSelect().Model(&orders).Where("object = ? AND made_at <= ?", h.Object, h.Time.UnixMilli()).OrderExpr("made_at, id").Scan(ctx); err != nil {
		return fmt.Errorf("workorder: look for the orders of %s: %w", h.Object, err)
	}
	if len(orders) == 0 {
		return nil
	}
	if err := s.named(ctx, orders); err != nil {
		return err
	}
	sub, err := s.deps.Tickets.Subject(ctx, h.Object)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, o := range orders {
			if h.Actor == actorOf(o.ConnectionName) {
				continue
			}
			if err := s.enqueue(ctx, tx, o.ID, "update", unique, Data{Subject: sub, Change: h}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("workorder: tell of %s: %w", h.Object, err)
	}
	s.nudge()
	return nil
}

// serve sends what is due to one system, and asks it for orders.
func (s *Service) serve(ctx context.Context, row *connectionRow, c *Connection) error {
	if !s.take(c.ID) {
		return nil
	}
	defer s.leave(c.ID)
	plain, err := s.secretsOf(row)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		var due []Message
		// The first of each order that waits: the others wait for it.
		err := s.db.NewSelect().Model(&due).Join("JOIN workorder_orders AS o ON o.id = m.work_order").
			Where("m.state = ? AND m.next_at <= ? AND o.connection = ?", pending, s.now().UnixMilli(), c.ID).
			Where("NOT EXISTS (SELECT 1 FROM workorder_messages AS e WHERE e.work_order = m.work_order AND e.id < m.id AND (e.state = ? OR e.state = ? AND e.kind = 'create'))", pending, failed).
			OrderExpr("m.id").Limit(50).Scan(ctx)
		if err != nil {
			return fmt.Errorf("workorder: read what is due: %w", err)
		}
		for i := range due {
			if err := s.attempt(ctx, c, plain, &due[i]); err != nil {
				return err
			}
		}
		if len(due) == 0 {
			break
		}
	}
	return s.poll(ctx, c)
}

func (s *Service) take(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Service) leave(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}

// attempt sends one message and writes down what became of it.
func (s *Service) attempt(ctx context.Context, c *Connection, plain secrets, m *Message) error {
	o, err := readOrder(ctx, s.db, m.Order)
	if err != nil {
		return fmt.Errorf("workorder: read order %q: %w", m.Order, err)
	}
	var d Data
	if err := json.Unmarshal([]byte(m.Body), &d); err != nil {
		return fmt.Errorf("workorder: read message %d: %w", m.ID, err)
	}
	d.External, d.Token, d.Vars = o.External, plain.Token, plain.Vars
	request := c.update()
	if m.Kind == "create" {
		request = c.create()
	}
	var body []byte
	var answer said
	r := webhook.Result{}
	if request.URL == "" { // it is not told of changes
	} else if out, err := request.make(d); err != nil {
		r.Err = err
	} else if body, r = s.http.send(ctx, out, m.Delivery, plain.Key); r.Err == nil {
		if answer, err = c.Answer.read(body); m.Kind == "create" || c.Answer.Success != "" {
			r.Err = err
		}
		if r.Err == nil && m.Kind == "create" && answer.id == "" {
			r.Err = fmt.Errorf("the answer holds no id at %s", c.Answer.filled().ID)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err() // it was cut off: it goes out again
	}
	now := s.now()
	return s.settled(ctx, c, &o, m, answer, r, now)
}

// settled writes what became of an attempt.
func (s *Service) settled(ctx context.Context, c *Connection, o *Order, m *Message, answer said, r webhook.Result, now time.Time) error {
	m.Attempts++
	m.HTTPStatus, m.Error = r.HTTPStatus, ""
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		switch {
		case r.Err == nil:
			m.State, m.SettledAt, m.NextAt = delivered, now.UnixMilli(), 0
		case r.Retry && now.UnixMilli()-m.Since < s.deps.GiveUp.Milliseconds():
			m.Error, m.NextAt = clip(r.Err.Error(), 500), now.Add(max(r.RetryAfter, backoff(m.Attempts))).UnixMilli()
		default:
			m.State, m.Error, m.SettledAt, m.NextAt = failed, clip(r.Err.Error(), 500), now.UnixMilli(), 0
		}
		if _, err := tx.NewUpdate().Model(m).Column("state", "attempts", "http_status", "error", "next_at", "settled_at").WherePK().Exec(ctx); err != nil {
			return err
		}
		o.Error = m.Error
		columns := []string{"error"}
		if m.Kind == "create" && m.State == delivered {
			o.External, o.State = answer.id, StateOpen
			if c.Poll > 0 {
				o.PollAt = now.Add(time.Duration(c.Poll) * time.Second).UnixMilli()
			}
			columns = append(columns, "external", "state", "poll_at")
			t := detections.Text{ZH: c.Name + " 已受理工单 " + o.External, EN: c.Name + " has the work order " + o.External}
			if err := s.deps.Tickets.Note(ctx, tx, o.Object, noteKind, actorOf(c.Name), t, map[string]any{"work_order": o.ID, "external": o.External}); err != nil {
				return err
			}
		}
		if m.Kind == "create" && m.State == failed {
			o.State = StateFailed
			columns = append(columns, "state")
			t := detections.Text{ZH: c.Name + " 未受理工单：" + m.Error, EN: c.Name + " does not take the work order: " + m.Error}
			if err := s.deps.Tickets.Note(ctx, tx, o.Object, noteKind, actorOf(c.Name), t, map[string]any{"work_order": o.ID}); err != nil {
				return err
			}
		}
		_, err := tx.NewUpdate().Model(o).Column(columns...).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("workorder: write what became of message %d: %w", m.ID, err)
	}
	if r.Err == nil && (answer.state != "" || answer.handler != "" || answer.note != "" || answer.link != "") {
		return s.apply(ctx, c, o.ID, answer)
	}
	return nil
}

// backoff is how long a message waits after so many attempts: 5 s, 10 s, and so
// on to 10 minutes.
func backoff(attempts int) time.Duration {
	return min(5*time.Second<<min(attempts-1, 10), 10*time.Minute)
}

// meanings of states that many systems have; compared without regard to case,
// spaces, dashes and underlines.
var meanings = map[string]string{
	"open": StateOpen, "new": StateOpen, "created": StateOpen, "pending": StateOpen, "todo": StateOpen, "submitted": StateOpen, "待处理": StateOpen, "待受理": StateOpen, "新建": StateOpen, "已创建": StateOpen,
	"working": StateWorking, "inprogress": StateWorking, "processing": StateWorking, "assigned": StateWorking, "accepted": StateWorking, "onhold": StateWorking, "处理中": StateWorking, "受理中": StateWorking, "进行中": StateWorking, "已受理": StateWorking, "已派单": StateWorking,
	"done": StateDone, "resolved": StateDone, "closed": StateDone, "completed": StateDone, "finished": StateDone, "已完成": StateDone, "已解决": StateDone, "已关闭": StateDone, "已办结": StateDone,
	"rejected": StateRejected, "cancelled": StateRejected, "canceled": StateRejected, "refused": StateRejected, "withdrawn": StateRejected, "已驳回": StateRejected, "已取消": StateRejected, "已撤销": StateRejected,
}

// means is what a state of theirs is here.
func (c *Content) means(theirs string) (string, bool) {
	for _, st := range c.States {
		if strings.EqualFold(strings.TrimSpace(st.Theirs), theirs) {
			return st.Ours, true
		}
	}
	m, ok := meanings[strings.NewReplacer(" ", "", "-", "", "_", "").Replace(strings.ToLower(theirs))]
	return m, ok
}

// apply takes in what a system says of an order. What it said before changes
// nothing, so that it may say it again.
func (s *Service) apply(ctx context.Context, c *Connection, id string, a said) error {
	o, err := readOrder(ctx, s.db, id)
	if err != nil {
		return fmt.Errorf("workorder: read order %q: %w", id, err)
	}
	// First, since an order that is written down as done is not looked at again.
	ends := c.Close || s.deps.Ends != nil && s.deps.Ends(o.Object)
	if m, _ := c.means(a.state); ends && m == StateDone && o.State != StateDone {
		comment := strings.TrimSpace("工单 " + o.External + " 已办结。" + a.note)
		if err := s.deps.Tickets.Close(ctx, o.Object, actorOf(c.Name), cmp.Or(c.Resolution, "true_positive"), comment); err != nil {
			return fmt.Errorf("workorder: close %s, whose work order %s is done: %w", o.Object, o.ID, err)
		}
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if o, err = readOrder(ctx, tx, id); err != nil {
			return err
		}
		before := o
		o.SyncedAt = s.now().UnixMilli()
		o.TheirState, o.Handler, o.Note, o.Link = cmp.Or(a.state, o.TheirState), cmp.Or(a.handler, o.Handler), cmp.Or(a.note, o.Note), cmp.Or(a.link, o.Link)
		if m, ok := c.means(a.state); ok {
			o.State = m
		}
		over := o.State == StateDone || o.State == StateRejected
		switch {
		case over || c.Poll == 0:
			o.PollAt = 0
		default:
			o.PollAt = s.now().Add(time.Duration(c.Poll) * time.Second).UnixMilli()
		}
		if _, err := tx.NewUpdate().Model(&o).Column("synced_at", "their_state", "handler", "note", "link", "state", "poll_at").WherePK().Exec(ctx); err != nil {
			return err
		}
		if o.TheirState == before.TheirState && o.State == before.State && o.Handler == before.Handler && o.Note == before.Note {
			return nil
		}
		zh, en := []string{c.Name + " 工单 " + o.External + "：" + o.TheirState}, []string{"Work order " + o.External + " of " + c.Name + ": " + o.TheirState}
		if o.Handler != "" {
			zh, en = append(zh, "处理人 "+o.Handler), append(en, "handled by "+o.Handler)
		}
		if o.Note != "" {
			zh, en = append(zh, o.Note), append(en, o.Note)
		}
		return s.deps.Tickets.Note(ctx, tx, o.Object, noteKind, actorOf(c.Name), detections.Text{ZH: strings.Join(zh, "，"), EN: strings.Join(en, ", ")},
			map[string]any{"work_order": o.ID, "state": o.State})
	})
	if err != nil {
		return fmt.Errorf("workorder: take in what %s says of %s: %w", c.Name, id, err)
	}
	return nil
}

// poll asks for the orders whose time has come.
func (s *Service) poll(ctx context.Context, c *Connection) error {
	if c.Poll == 0 {
		return nil
	}
	var due []Order
	if err := s.db.NewSelect().Model(&due).Where("connection = ? AND poll_at > 0 AND poll_at <= ? AND external <> ''", c.ID, s.now().UnixMilli()).
		OrderExpr("poll_at, id").Limit(100).Scan(ctx); err != nil {
		return fmt.Errorf("workorder: read the orders to ask for: %w", err)
	}
	for i := range due {
		if err := s.ask(ctx, &due[i]); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s.deps.Log.Warn("work orders: an order cannot be asked for", "connection", c.Name, "order", due[i].ID, "error", err)
			next := s.now().Add(time.Duration(c.Poll) * time.Second).UnixMilli()
			if _, err := s.db.NewUpdate().Model((*Order)(nil)).Set("poll_at = ?", next).Set("error = ?", clip(err.Error(), 500)).Where("id = ?", due[i].ID).Exec(ctx); err != nil {
				return fmt.Errorf("workorder: put off asking for %s: %w", due[i].ID, err)
			}
		}
	}
	return nil
}

// ask reads an order from the other system.
func (s *Service) ask(ctx context.Context, o *Order) error {
	row, err := s.row(ctx, s.db, o.Connection)
	if err != nil {
		return err
	}
	c, err := s.view(row)
	if err != nil {
		return err
	}
	plain, err := s.secretsOf(row)
	if err != nil {
		return err
	}
	if c.query().URL == "" {
		return fmt.Errorf("%w: the connection %q has no query", ErrConflict, c.Name)
	}
	m, err := c.query().make(Data{Kind: "query", Order: o.ID, External: o.External, Subject: Subject{ID: o.Object, Tenant: o.Tenant, Title: o.Title}, Token: plain.Token, Vars: plain.Vars})
	if err != nil {
		return fmt.Errorf("%w: query.%w", ErrConflict, err)
	}
	body, r := s.http.send(ctx, m, o.ID+"-query", plain.Key)
	if r.Err != nil {
		return fmt.Errorf("%w: ask %s for %s: %w", ErrConflict, c.Name, o.External, r.Err)
	}
	a, err := c.Answer.read(body)
	if err != nil {
		return fmt.Errorf("%w: ask %s for %s: %w", ErrConflict, c.Name, o.External, err)
	}
	return s.apply(ctx, &c, o.ID, a)
}

// Result takes in what a system sends by itself, of the connection that Known
// found. It names the order by our id or by its own.
func (s *Service) Result(ctx context.Context, connection string, body []byte) (Order, error) {
	row, err := s.row(ctx, s.db, connection)
	if err != nil {
		return Order{}, err
	}
	c, err := s.view(row)
	if err != nil {
		return Order{}, err
	}
	without := c.Answer
	without.Success = "" // is said of answers
	a, err := without.read(body)
	if err != nil {
		return Order{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if a.id == "" && a.order == "" {
		f := without.filled()
		return Order{}, fmt.Errorf("%w: the result names no order: want their id at %s, or ours at %s", ErrInvalid, f.ID, f.Order)
	}
	if a.state == "" && a.handler == "" && a.note == "" {
		return Order{}, fmt.Errorf("%w: the result says nothing: want a state, a handler or a note", ErrInvalid)
	}
	var list []Order
	q := s.db.NewSelect().Model(&list).Where("connection = ?", connection)
	if a.order != "" {
		q = q.Where("o.id = ?", a.order)
	} else {
		q = q.Where("external = ?", a.id)
	}
	if err := q.OrderExpr("made_at DESC").Limit(1).Scan(ctx); err != nil {
		return Order{}, fmt.Errorf("workorder: look for an order: %w", err)
	}
	if len(list) == 0 {
		return Order{}, fmt.Errorf("%w: this connection has no work order %q", ErrNotFound, cmp.Or(a.order, a.id))
	}
	if err := s.apply(ctx, &c, list[0].ID, a); err != nil {
		return Order{}, err
	}
	return readOrder(ctx, s.db, list[0].ID)
}
