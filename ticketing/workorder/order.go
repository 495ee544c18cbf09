package workorder

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// The states of a message.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
)

// noteKind is the kind of the entries that this room makes in timelines. They
// are not told again.
const noteKind = "work_order"

// Order is a work order of an alert or incident in another system.
type Order struct {
	bun.BaseModel  `bun:"table:workorder_orders,alias:o" json:"-"`
	ID             string `bun:"id,pk" json:"id"`
	Connection     string `bun:"connection" json:"connection" doc:"Id"`
	ConnectionName string `bun:"-" json:"connection_name"`
	Object         string `bun:"object" json:"object" doc:"Id of an alert or incident"`
	Tenant         string `bun:"tenant" json:"tenant"`
	Title          string `bun:"title" json:"title"`
	External       string `bun:"external" json:"external,omitempty" doc:"Id in the other system"`
	Link           string `bun:"link" json:"link,omitempty" doc:"Where the other system shows it"`
	State          string `bun:"state" json:"state" enum:"sending,open,working,done,rejected,failed"`
	TheirState     string `bun:"their_state" json:"their_state,omitempty" doc:"In the words of the other system"`
	Handler        string `bun:"handler" json:"handler,omitempty" doc:"Who works on it there"`
	Note           string `bun:"note" json:"note,omitempty" doc:"What came out of it there"`
	MadeBy         string `bun:"made_by" json:"made_by"`
	MadeAt         int64  `bun:"made_at" json:"made_at" doc:"Unix milliseconds"`
	Reason         string `bun:"reason" json:"reason,omitempty" doc:"Id of the disposal rule that made it"`
	AfterSeq       int64  `bun:"after_seq" json:"-"`
	SyncedAt       int64  `bun:"synced_at" json:"synced_at,omitempty" doc:"Last word of the other system, Unix milliseconds"`
	PollAt         int64  `bun:"poll_at" json:"-"`
	Error          string `bun:"error" json:"error,omitempty" doc:"Of the last attempt, where it failed"`
	Waiting        int    `bun:"waiting,scanonly" json:"waiting" doc:"Messages that wait to be sent"`
	reach.Kept     `json:"-"`
}

// Message is one thing that an order's system is told.
type Message struct {
	bun.BaseModel `bun:"table:workorder_messages,alias:m" json:"-"`
	ID            int64  `bun:"id,pk,autoincrement" json:"id"`
	Order         string `bun:"work_order" json:"order"`
	Delivery      string `bun:"delivery" json:"delivery" doc:"The same over all attempts"`
	Kind          string `bun:"kind" json:"kind" enum:"create,update"`
	Body          string `bun:"body" json:"-"`
	State         string `bun:"state" json:"state" enum:"pending,delivered,failed"`
	Attempts      int    `bun:"attempts" json:"attempts"`
	HTTPStatus    int    `bun:"http_status" json:"http_status,omitempty"`
	Error         string `bun:"error" json:"error,omitempty"`
	MadeAt        int64  `bun:"made_at" json:"made_at" doc:"Unix milliseconds"`
	Since         int64  `bun:"since" json:"-"`
	NextAt        int64  `bun:"next_at" json:"next_at,omitempty" doc:"Of one that waits, Unix milliseconds"`
	SettledAt     int64  `bun:"settled_at" json:"settled_at,omitempty" doc:"Unix milliseconds"`
}

// maxPerObject bounds the orders of one alert or incident.
const maxPerObject = 20

// Make makes an order of an alert or incident. reason is the id of the rule
// that asks for it, which makes one order of a thing and no more; "" where a
// person does.
func (s *Service) Make(ctx context.Context, by, connection, object, reason string) (Order, error) {
	row, err := s.row(ctx, s.db, connection)
	if err != nil {
		return Order{}, err
	}
	c, err := s.view(row)
	if err != nil {
		return Order{}, err
	}
	sub, err := s.deps.Tickets.Subject(ctx, object)
	if err != nil {
		return Order{}, err
	}
	switch {
	case c.DeletedAt != 0 || !c.Enabled:
		return Order{}, fmt.Errorf("%w: the connection %q is switched off", ErrConflict, c.Name)
	case !c.covers(sub.Tenant):
		return Order{}, fmt.Errorf("%w: the connection %q may not be told of %s", ErrConflict, c.Name, sub.Tenant)
	}
	after, err := s.deps.Tickets.LastHappened(ctx)
	if err != nil {
		return Order{}, err
	}
	now := s.now().UnixMilli()
	o := Order{ID: newID("wo"), Connection: c.ID, ConnectionName: c.Name, Object: object, Tenant: sub.Tenant, Title: sub.Title, State: StateSending,
		MadeBy: by, MadeAt: now, Reason: reason, AfterSeq: after, Kept: sub.Facts}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var have []Order
		if err := tx.NewSelect().Model(&have).Where("object = ?", object).Scan(ctx); err != nil {
			return err
		}
		if len(have) >= maxPerObject {
			return fmt.Errorf("%w: %s has %d work orders, at most %d", ErrConflict, object, len(have), maxPerObject)
		}
		for _, h := range have {
			if h.Connection == c.ID && (reason != "" && h.Reason == reason || !slices.Contains([]string{StateDone, StateRejected, StateFailed}, h.State)) {
				return fmt.Errorf("%w: %q has the work order %s of it already, which is %s", ErrConflict, c.Name, cmp.Or(h.External, h.ID), h.State)
			}
		}
		if _, err := tx.NewInsert().Model(&o).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		if err := s.enqueue(ctx, tx, o.ID, "create", "", Data{Subject: sub}); err != nil {
			return err
		}
		return s.deps.Tickets.Note(ctx, tx, object, noteKind, by, detections.Text{ZH: "生成工单：" + c.Name, EN: "Work order made: " + c.Name}, map[string]any{"work_order": o.ID, "connection": c.Name})
	})
	if err != nil {
		return Order{}, fmt.Errorf("workorder: make an order of %s: %w", object, err)
	}
	o.Waiting = 1
	s.nudge()
	return o, nil
}

// MakeOnce makes an order for a rule, unless the system has one of the thing
// already: then it is done.
func (s *Service) MakeOnce(ctx context.Context, by, connection, object, rule string) error {
	_, err := s.Make(ctx, by, connection, object, rule)
	if !errors.Is(err, ErrConflict) {
		return err
	}
	have, failed := s.db.NewSelect().Model((*Order)(nil)).Where("object = ? AND connection = ?", object, connection).Exists(ctx)
	if failed != nil {
		return fmt.Errorf("workorder: look for the orders of %s: %w", object, failed)
	}
	if have {
		return nil
	}
	return err
}

// enqueue writes a message. unique tells it from the others of the order.
func (s *Service) enqueue(ctx context.Context, tx bun.Tx, order, kind, unique string, d Data) error {
	d.Order, d.Kind, d.Delivery = order, kind, order+"-"+cmp.Or(unique, kind)
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("pack a message of %s: %w", order, err)
	}
	now := s.now().UnixMilli()
	m := Message{Order: order, Delivery: d.Delivery, Kind: kind, Body: string(body), State: pending, MadeAt: now, Since: now, NextAt: now}
	_, err = tx.NewInsert().Model(&m).On("CONFLICT (delivery) DO NOTHING").Returning("NULL").Exec(ctx)
	return err
}

// Query asks for orders.
type Query struct {
	Reach      reach.Reach // the zero value shows nothing
	Object     string
	Connection string
	States     []string
	Q          string // part of the title, of an id or of who handles it
	Limit      int    // 0 for 50, at most 500
	Cursor     string
}

func (s *Service) orders() *bun.SelectQuery {
	return s.db.NewSelect().Model((*Order)(nil)).ColumnExpr("o.*").
		ColumnExpr("(SELECT count(*) FROM workorder_messages AS m WHERE m.work_order = o.id AND m.state = 'pending') AS waiting")
}

// Orders lists orders in reach, newest first: the page, how many match in all,
// and the cursor of the next page or "".
func (s *Service) Orders(ctx context.Context, q Query) (list []Order, total int, next string, err error) {
	sel := q.Reach.Within(s.orders(), "o")
	if q.Object != "" {
		sel = sel.Where("object = ?", q.Object)
	}
	if q.Connection != "" {
		sel = sel.Where("connection = ?", q.Connection)
	}
	if len(q.States) > 0 {
		sel = sel.Where("state IN (?)", bun.In(q.States))
	}
	if q.Q != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(q.Q)) + "%"
		sel = sel.Where(`lower(title || ' ' || id || ' ' || external || ' ' || object || ' ' || handler) LIKE ? ESCAPE '\'`, like)
	}
	n, err := sel.Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("workorder: count orders: %w", err)
	}
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 500)
	if q.Cursor != "" {
		at, id, ok := strings.Cut(q.Cursor, "-")
		ms, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			return nil, 0, "", fmt.Errorf("%w: cursor: it is not one that this list gave", ErrInvalid)
		}
		sel = sel.Where("(made_at, id) < (?, ?)", ms, id)
	}
	list = []Order{}
	if err := sel.OrderExpr("made_at DESC, id DESC").Limit(int64(q.Limit)+1).Scan(ctx, &list); err != nil {
		return nil, 0, "", fmt.Errorf("workorder: list orders: %w", err)
	}
	if len(list) > q.Limit {
		list = list[:q.Limit]
		last := list[q.Limit-1]
		next = strconv.FormatInt(last.MadeAt, 10) + "-" + last.ID
	}
	return list, int(n), next, s.named(ctx, list)
}

// named fills in what the orders' connections are called.
func (s *Service) named(ctx context.Context, list []Order) error {
	var rows []connectionRow
	if err := s.db.NewSelect().Model(&rows).Column("id", "name").Scan(ctx); err != nil {
		return fmt.Errorf("workorder: read the names of connections: %w", err)
	}
	for n := range list {
		if i := slices.IndexFunc(rows, func(r connectionRow) bool { return r.ID == list[n].Connection }); i >= 0 {
			list[n].ConnectionName = rows[i].Name
		}
	}
	return nil
}

// Order returns an order in reach with its messages, oldest first.
func (s *Service) Order(ctx context.Context, within reach.Reach, id string) (Order, []Message, error) {
	var list []Order
	if err := within.Within(s.orders(), "o").Where("o.id = ?", id).Scan(ctx, &list); err != nil {
		return Order{}, nil, fmt.Errorf("workorder: read order %q: %w", id, err)
	}
	if len(list) == 0 {
		return Order{}, nil, fmt.Errorf("%w: there is no work order %q", ErrNotFound, id)
	}
	if err := s.named(ctx, list); err != nil {
		return Order{}, nil, err
	}
	messages := []Message{}
	if err := s.db.NewSelect().Model(&messages).Where("work_order = ?", id).OrderExpr("id").Scan(ctx); err != nil {
		return Order{}, nil, fmt.Errorf("workorder: read the messages of %q: %w", id, err)
	}
	return list[0], messages, nil
}

// Again sends what was given up of an order once more, in its order. It tells
// how things stand now: what was said since must not be taken back by it.
func (s *Service) Again(ctx context.Context, by, id string) error {
	o, err := readOrder(ctx, s.db, id)
	if err != nil {
		return fmt.Errorf("workorder: send %s again: %w", id, err)
	}
	sub, err := s.deps.Tickets.Subject(ctx, o.Object)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var list []Message
		if err := tx.NewSelect().Model(&list).Where("work_order = ? AND state = ?", id, failed).OrderExpr("id").Scan(ctx); err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("%w: nothing of the work order was given up", ErrConflict)
		}
		now := s.now().UnixMilli()
		for i := range list {
			m := &list[i]
			var d Data
			if err := json.Unmarshal([]byte(m.Body), &d); err != nil {
				return fmt.Errorf("read message %d: %w", m.ID, err)
			}
			d.Subject = sub
			body, err := json.Marshal(d)
			if err != nil {
				return fmt.Errorf("pack message %d: %w", m.ID, err)
			}
			m.Body, m.State, m.NextAt, m.Since, m.SettledAt = string(body), pending, now, now, 0
			if _, err := tx.NewUpdate().Model(m).Column("body", "state", "next_at", "since", "settled_at").WherePK().Exec(ctx); err != nil {
				return err
			}
		}
		if _, err := tx.NewUpdate().Model((*Order)(nil)).Set("state = CASE state WHEN ? THEN ? ELSE state END", StateFailed, StateSending).Where("id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return s.deps.Tickets.Note(ctx, tx, o.Object, noteKind, by, detections.Text{ZH: "重新发送工单", EN: "Work order sent again"}, map[string]any{"work_order": id})
	})
	if err != nil {
		return fmt.Errorf("workorder: send %s again: %w", id, err)
	}
	s.nudge()
	return nil
}

func readOrder(ctx context.Context, db bun.IDB, id string) (o Order, err error) {
	err = db.NewSelect().Model(&o).Where("o.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return o, fmt.Errorf("%w: there is no work order %q", ErrNotFound, id)
	}
	return o, err
}

// Sync asks the other system for an order at once.
func (s *Service) Sync(ctx context.Context, id string) error {
	o, err := readOrder(ctx, s.db, id)
	if err != nil {
		return fmt.Errorf("workorder: read order %q: %w", id, err)
	}
	if o.External == "" {
		return fmt.Errorf("%w: the other system does not have the work order yet", ErrConflict)
	}
	return s.ask(ctx, &o)
}

// Trial is what became of trying a connection.
type Trial struct {
	Method  string            `json:"method"`
	Host    string            `json:"host"`
	Headers map[string]string `json:"headers" doc:"Without secrets"`
	Body    string            `json:"body"`
	Sent    bool              `json:"sent"`
	Status  int               `json:"http_status,omitempty"`
	Error   string            `json:"error,omitempty"`
	Answer  string            `json:"answer,omitempty" doc:"Its beginning"`
	ID      string            `json:"id,omitempty" doc:"What was taken from it"`
	State   string            `json:"state,omitempty"`
	Means   string            `json:"means,omitempty" doc:"What their state means here"`
	Took    int64             `json:"took_ms,omitempty"`
}

// Try makes the request that makes an order of a sample, and sends it where
// send says so. An id of a connection lends its secrets where none are given.
func (s *Service) Try(ctx context.Context, id string, c Content, x Secrets, send bool) (Trial, error) {
	if err := c.check(); err != nil {
		return Trial{}, err
	}
	var plain secrets
	if id != "" {
		r, err := s.row(ctx, s.db, id)
		if err != nil {
			return Trial{}, err
		}
		if plain, err = s.secretsOf(r); err != nil {
			return Trial{}, err
		}
	}
	plain = plain.with(x)
	if err := s.reachable(ctx, &c, plain); err != nil {
		return Trial{}, err
	}
	d := sampleData(plain)
	d.Delivery = newID("try-")
	m, err := c.create().make(d)
	if err != nil {
		return Trial{}, fmt.Errorf("%w: create.%w", ErrInvalid, err)
	}
	hide := func(text string) string {
		for _, v := range append([]string{plain.Token, plain.Key}, valuesOf(plain.Vars)...) {
			if len(v) > 3 {
				text = strings.ReplaceAll(text, v, "***")
			}
		}
		return text
	}
	t := Trial{Method: m.method, Host: hostOf(m.url), Headers: map[string]string{}, Body: hide(string(m.body))}
	for name, v := range m.headers {
		t.Headers[name] = hide(v)
	}
	if !send {
		return t, nil
	}
	began := time.Now()
	body, r := s.http.send(ctx, m, d.Delivery, plain.Key)
	t.Sent, t.Status, t.Took, t.Answer = true, r.HTTPStatus, time.Since(began).Milliseconds(), hide(clip(string(body), 2000))
	if r.Err != nil {
		t.Error = r.Err.Error()
		return t, nil
	}
	said, err := c.Answer.read(body)
	switch {
	case err != nil:
		t.Error = err.Error()
	case said.id == "":
		t.Error = "the answer holds no id at " + c.Answer.filled().ID
	}
	t.ID, t.State = said.id, said.state
	if said.state != "" {
		t.Means, _ = c.means(said.state)
	}
	return t, nil
}

func valuesOf(vars map[string]string) []string {
	out := make([]string, 0, len(vars))
	for _, v := range vars {
		out = append(out, v)
	}
	return out
}
