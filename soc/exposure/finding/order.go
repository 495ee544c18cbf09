package finding

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// The states of a work order of findings.
const (
	OrderOpen      = "open"
	OrderDone      = "done"      // its findings are to be looked at again
	OrderWithdrawn = "withdrawn" // nobody repairs by it
)

// OrderPrefix begins the ids of work orders of findings.
const OrderPrefix = "FO-"

// torepair are the states of findings that have yet to be repaired.
var torepair = []State{StateOpen, Verified, Repair}

// FindingOrder is a work order: one or many findings of a tenant that somebody repairs.
type FindingOrder struct {
	bun.BaseModel `bun:"table:exposure_finding_orders,alias:o" json:"-"`
	ID            string    `bun:"id,pk" json:"id"`
	Tenant        string    `bun:"tenant" json:"tenant"`
	Title         string    `bun:"title" json:"title"`
	Owner         string    `bun:"owner" json:"owner,omitempty" doc:"Who repairs it"`
	DueAt         int64     `bun:"due_at" json:"-"`
	Due           time.Time `bun:"-" json:"due_at,omitzero" doc:"The earliest deadline of its findings"`
	Overdue       bool      `bun:"-" json:"overdue,omitempty"`
	State         string    `bun:"state" json:"state" enum:"open,done,withdrawn"`
	MadeBy        string    `bun:"made_by" json:"made_by"`
	MadeMs        int64     `bun:"made_at" json:"-"`
	MadeAt        time.Time `bun:"-" json:"made_at"`
	EndedMs       int64     `bun:"ended_at" json:"-"`
	EndedAt       time.Time `bun:"-" json:"ended_at,omitzero"`
	Note          string    `bun:"note" json:"note,omitempty" doc:"What came out of it"`
	Change        string    `bun:"change" json:"change,omitempty" doc:"What undo names to take the order back"`
	DoneChange    string    `bun:"done_change" json:"done_change,omitempty" doc:"What undo names to take back that it is done"`
	Findings      int       `bun:"findings,scanonly" json:"findings" doc:"How many it is of"`
	Left          int       `bun:"todo,scanonly" json:"left" doc:"Of these, those that have yet to be repaired"`
}

// FindingOrderEvent is something that happened to a work order.
type FindingOrderEvent struct {
	bun.BaseModel `bun:"table:exposure_finding_order_events,alias:e" json:"-"`
	ID            int64           `bun:"id,pk,autoincrement" json:"-"`
	Order         string          `bun:"order_id" json:"-"`
	AtMs          int64           `bun:"at" json:"-"`
	At            time.Time       `bun:"-" json:"at"`
	Actor         string          `bun:"actor" json:"actor"`
	ZH            string          `bun:"zh" json:"-"`
	EN            string          `bun:"en" json:"-"`
	Text          detections.Text `bun:"-" json:"text"`
	Told          int             `bun:"told" json:"-"`
}

type memberRow struct {
	bun.BaseModel `bun:"table:exposure_finding_order_members,alias:m"`
	Order         string `bun:"order_id"`
	Finding       string `bun:"finding"`
	Said          State  `bun:"said"`
}

func (o *FindingOrder) fill(now time.Time) {
	o.Due, o.MadeAt, o.EndedAt = when(o.DueAt), when(o.MadeMs), when(o.EndedMs)
	o.Overdue = o.State == OrderOpen && o.DueAt > 0 && o.DueAt < now.UnixMilli()
}

// say notes an event of an order. told says that no other system needs to hear of it.
func say(ctx context.Context, tx bun.IDB, order, actor string, at time.Time, text detections.Text, told bool) error {
	e := FindingOrderEvent{Order: order, AtMs: at.UnixMilli(), Actor: actor, ZH: clip(text.ZH, 2000), EN: clip(text.EN, 2000)}
	if told {
		e.Told = 1
	}
	if _, err := tx.NewInsert().Model(&e).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("finding: note what happened to %s: %w", order, err)
	}
	return nil
}

// MakeOrder makes a work order of findings that count and are not repaired, all of one
// tenant and none of an open order. Its deadline is their earliest; where title or owner
// is empty, they are taken from the findings. Those that nobody repairs yet are in repair
// from then on.
func (s *Service) MakeOrder(ctx context.Context, r reach.Reach, actor string, ids []string, title, owner string) (FindingOrder, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) == 0 || len(ids) > maxChosen {
		return FindingOrder{}, fmt.Errorf("%w: choose 1 to %d findings", ErrInvalid, maxChosen)
	}
	now := s.now()
	o := FindingOrder{ID: OrderPrefix + rand.Text()[:16], State: OrderOpen, MadeBy: actor, MadeMs: now.UnixMilli(), Change: rand.Text(), Findings: len(ids), Left: len(ids)}
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var owners []string
		var first Finding
		w := writing{change: o.Change, actor: actor, at: now}
		var members []memberRow
		for part := range slices.Chunk(ids, 300) {
			had, err := s.rows(ctx, tx, r, part)
			if err != nil {
				return err
			}
			var busy []string
			if err := tx.NewSelect().TableExpr("exposure_finding_order_members AS m").Join("JOIN exposure_finding_orders AS o ON o.id = m.order_id").
				ColumnExpr("m.finding || ' ' || o.id").Where("o.state = ? AND m.finding IN (?)", OrderOpen, bun.In(part)).Limit(1).Scan(ctx, &busy); err != nil {
				return fmt.Errorf("finding: look for work orders: %w", err)
			}
			if len(busy) > 0 {
				id, of, _ := strings.Cut(busy[0], " ")
				if had[id] == nil {
					return fmt.Errorf("%w: %s", ErrNotFound, clip(id, 60))
				}
				return fmt.Errorf("%w: %s is of the work order %s, which is open", ErrConflict, id, of)
			}
			for _, id := range part {
				old := had[id]
				if old == nil {
					return fmt.Errorf("%w: %s", ErrNotFound, clip(id, 60))
				}
				f, err := old.unpack(now)
				if err != nil {
					return err
				}
				switch {
				case !slices.Contains(torepair, f.State):
					return fmt.Errorf("%w: %s is %s: a work order is of what has yet to be repaired", ErrConflict, id, f.State)
				case o.Tenant != "" && f.Tenant != o.Tenant:
					return fmt.Errorf("%w: the findings are of several tenants (%s, %s): make a work order of each", ErrInvalid, o.Tenant, f.Tenant)
				}
				if o.Tenant = f.Tenant; f.Owner != "" && !slices.Contains(owners, f.Owner) {
					owners = append(owners, f.Owner)
				}
				if ms := millis(f.Due); ms > 0 && (o.DueAt == 0 || ms < o.DueAt) {
					o.DueAt = ms
				}
				if first.ID == "" || f.Priority > first.Priority {
					first = f
				}
				action := "work order " + o.ID
				if f.State != Repair {
					f.State = Repair
					action = "state " + string(Repair) + ", " + action
				}
				members = append(members, memberRow{Order: o.ID, Finding: id, Said: f.State})
				if err := w.put(&f, old, old.Kept, old.Reminded, action, ""); err != nil {
					return err
				}
			}
		}
		slices.Sort(owners)
		o.Owner = clip(cmp.Or(strings.TrimSpace(owner), strings.Join(owners, "、")), 200)
		if o.Title = clip(strings.TrimSpace(title), 300); o.Title == "" {
			o.Title = clip(cmp.Or(first.Name, first.Host)+" "+cmp.Or(first.Title.ZH, first.Title.EN, first.Weakness), 270)
			if len(ids) > 1 {
				o.Title += " +" + strconv.Itoa(len(ids)-1)
			}
		}
		if _, err := tx.NewInsert().Model(&o).Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("finding: keep a work order: %w", err)
		}
		for part := range slices.Chunk(members, 200) {
			if _, err := tx.NewInsert().Model(&part).Exec(ctx); err != nil {
				return fmt.Errorf("finding: keep what a work order is of: %w", err)
			}
		}
		n := strconv.Itoa(len(ids))
		if err := say(ctx, tx, o.ID, actor, now, detections.Text{ZH: "生成工单，共 " + n + " 项隐患", EN: "Work order made of findings: " + n}, false); err != nil {
			return err
		}
		return w.flush(ctx, tx)
	})
	o.fill(now)
	return o, err
}

// OrderQuestion narrows a list of work orders.
type OrderQuestion struct {
	ID      string
	Finding string
	State   string
	Words   string // part of the title, the id or the owner
	Limit   int    // 0 for 50, at most 500
	Offset  int
}

// orderQuery selects the orders all of whose findings are within reach.
func (s *Service) orderQuery(db bun.IDB, r reach.Reach, q OrderQuestion) *bun.SelectQuery {
	sel := db.NewSelect().Model((*FindingOrder)(nil))
	seen := r.Within(db.NewSelect().TableExpr("exposure_findings AS f").ColumnExpr("1").Where("f.id = m.finding"), "f")
	sel = sel.Where("NOT EXISTS (?)", db.NewSelect().TableExpr("exposure_finding_order_members AS m").ColumnExpr("1").Where("m.order_id = o.id").Where("NOT EXISTS (?)", seen))
	if q.ID != "" {
		sel = sel.Where("o.id = ?", q.ID)
	}
	if q.Finding != "" {
		sel = sel.Where("EXISTS (SELECT 1 FROM exposure_finding_order_members AS m WHERE m.order_id = o.id AND m.finding = ?)", q.Finding)
	}
	if q.State != "" {
		sel = sel.Where("o.state = ?", q.State)
	}
	if w := strings.ToLower(strings.TrimSpace(clip(q.Words, 200))); w != "" {
		sel = sel.Where("lower(o.title || ' ' || o.id || ' ' || o.owner) LIKE ? ESCAPE '!'", "%"+escape.Replace(w)+"%")
	}
	return sel
}

// Orders lists work orders all of whose findings are within reach, the newest first, and
// counts them.
func (s *Service) Orders(ctx context.Context, r reach.Reach, q OrderQuestion) ([]FindingOrder, int, error) {
	return s.ordersIn(ctx, s.db.DB, r, q)
}

func (s *Service) ordersIn(ctx context.Context, db bun.IDB, r reach.Reach, q OrderQuestion) ([]FindingOrder, int, error) {
	if q.State != "" && !slices.Contains([]string{OrderOpen, OrderDone, OrderWithdrawn}, q.State) {
		return nil, 0, fmt.Errorf("%w: state is open, done or withdrawn", ErrInvalid)
	}
	if q.Limit <= 0 || q.Limit > 500 {
		q.Limit = 50
	}
	list := []FindingOrder{}
	err := s.orderQuery(db, r, q).ColumnExpr("o.*").ColumnExpr("(SELECT count(*) FROM exposure_finding_order_members AS m WHERE m.order_id = o.id) AS findings").
		ColumnExpr("(SELECT count(*) FROM exposure_finding_order_members AS m JOIN exposure_findings AS f ON f.id = m.finding WHERE m.order_id = o.id AND f.state IN (?)) AS todo", bun.In(torepair)).
		OrderExpr("o.made_at DESC, o.id DESC").Offset(int64(max(q.Offset, 0))).Limit(int64(q.Limit)).Scan(ctx, &list)
	if err != nil {
		return nil, 0, fmt.Errorf("finding: list work orders: %w", err)
	}
	n, err := s.orderQuery(db, r, q).Count(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("finding: count work orders: %w", err)
	}
	now := s.now()
	for i := range list {
		list[i].fill(now)
	}
	return list, int(n), nil
}

// Order is a work order within reach with its findings, the most urgent first, and what
// happened to it, the latest first.
func (s *Service) Order(ctx context.Context, r reach.Reach, id string) (FindingOrder, []Finding, []FindingOrderEvent, error) {
	o, err := s.order(ctx, s.db.DB, r, id)
	if err != nil {
		return o, nil, nil, err
	}
	rows, err := s.members(ctx, s.db.DB, id)
	if err != nil {
		return o, nil, nil, err
	}
	now := s.now()
	list := make([]Finding, len(rows))
	for i := range rows {
		if list[i], err = rows[i].unpack(now); err != nil {
			return o, nil, nil, err
		}
		list[i].Text, list[i].Solution, list[i].Evidence = detections.Text{}, detections.Text{}, ""
	}
	events := []FindingOrderEvent{}
	if err := s.db.NewSelect().Model(&events).Where("e.order_id = ?", id).OrderExpr("e.id DESC").Limit(500).Scan(ctx); err != nil {
		return o, nil, nil, fmt.Errorf("finding: what happened to %s: %w", id, err)
	}
	for i := range events {
		events[i].At, events[i].Text = when(events[i].AtMs), detections.Text{ZH: events[i].ZH, EN: events[i].EN}
	}
	return o, list, events, nil
}

func (s *Service) order(ctx context.Context, db bun.IDB, r reach.Reach, id string) (FindingOrder, error) {
	if id == "" {
		return FindingOrder{}, ErrNotFound
	}
	list, _, err := s.ordersIn(ctx, db, r, OrderQuestion{ID: id})
	if err != nil {
		return FindingOrder{}, err
	}
	if len(list) == 0 {
		return FindingOrder{}, fmt.Errorf("%w: no work order %s", ErrNotFound, clip(id, 60))
	}
	return list[0], nil
}

func (s *Service) members(ctx context.Context, db bun.IDB, order string) ([]row, error) {
	var rows []row
	err := db.NewSelect().Model(&rows).Where("f.id IN (SELECT m.finding FROM exposure_finding_order_members AS m WHERE m.order_id = ?)", order).OrderExpr("f.priority DESC, f.id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding: what %s is of: %w", order, err)
	}
	return rows, nil
}

// OrderFacts is a work order with its findings, the most urgent first, whoever asks, and
// what data scopes see of it: what its findings have in common.
func (s *Service) OrderFacts(ctx context.Context, id string) (FindingOrder, []Finding, reach.Kept, error) {
	o, list, _, err := s.Order(ctx, reach.All(), id)
	if err != nil {
		return o, nil, reach.Kept{}, err
	}
	rows, err := s.members(ctx, s.db.DB, id)
	if err != nil {
		return o, nil, reach.Kept{}, err
	}
	var facts reach.Kept
	for i := range rows {
		if i == 0 {
			facts = rows[i].Kept
		}
		if rows[i].Kept != facts {
			facts = reach.Kept{} // only who sees the whole tenant
			break
		}
	}
	return o, list, facts, nil
}

// EndOrder says of an open order that it is done, by which its findings become fixed, to
// be looked at again, or that it is withdrawn, by which those in repair are open again.
func (s *Service) EndOrder(ctx context.Context, r reach.Reach, actor, id, state, note string) (FindingOrder, error) {
	if state != OrderDone && state != OrderWithdrawn {
		return FindingOrder{}, fmt.Errorf("%w: an order ends as done or withdrawn", ErrInvalid)
	}
	now, change := s.now(), rand.Text()
	var out FindingOrder
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		o, err := s.order(ctx, tx, r, id)
		if err != nil {
			return err
		}
		if o.State != OrderOpen {
			return fmt.Errorf("%w: the work order %s is %s already", ErrConflict, o.ID, o.State)
		}
		rows, err := s.members(ctx, tx, id)
		if err != nil {
			return err
		}
		from, to, text := torepair, Fixed, detections.Text{ZH: "工单已完成，隐患待复测", EN: "Done: its findings are to be re-tested"}
		if state == OrderWithdrawn {
			from, to, text = []State{Repair}, StateOpen, detections.Text{ZH: "工单已撤回", EN: "Withdrawn"}
		}
		w := writing{change: change, actor: actor, at: now}
		for i := range rows {
			f, err := rows[i].unpack(now)
			if err != nil {
				return err
			}
			if !slices.Contains(from, f.State) {
				continue
			}
			f.State = to
			if err := w.put(&f, &rows[i], rows[i].Kept, rows[i].Reminded, "state "+string(to)+", work order "+id, note); err != nil {
				return err
			}
		}
		o.State, o.EndedMs, o.Note = state, now.UnixMilli(), clip(strings.TrimSpace(note), 2000)
		if len(w.rows) > 0 {
			o.DoneChange = change
		}
		if err := w.flush(ctx, tx); err != nil {
			return err
		}
		if err := s.ended(ctx, tx, &o); err != nil {
			return err
		}
		if o.Note != "" {
			text.ZH, text.EN = text.ZH+"："+o.Note, text.EN+": "+o.Note
		}
		if err := say(ctx, tx, id, actor, now, text, false); err != nil {
			return err
		}
		out, err = s.order(ctx, tx, r, id)
		return err
	})
	return out, err
}

// ended writes how an order stands, and that it knows its findings' states.
func (s *Service) ended(ctx context.Context, tx bun.Tx, o *FindingOrder) error {
	if _, err := tx.NewUpdate().Model(o).Column("state", "ended_at", "note", "done_change").WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("finding: keep how %s stands: %w", o.ID, err)
	}
	return s.known(ctx, tx, o.ID)
}

func (s *Service) known(ctx context.Context, tx bun.Tx, order string) error {
	_, err := tx.ExecContext(ctx, "UPDATE exposure_finding_order_members SET said = (SELECT f.state FROM exposure_findings AS f WHERE f.id = finding) WHERE order_id = ? AND finding IN (SELECT id FROM exposure_findings)", order)
	if err != nil {
		return fmt.Errorf("finding: keep what %s knows: %w", order, err)
	}
	return nil
}

// undoOrders takes back what a change that is taken back did to work orders.
func (s *Service) undoOrders(ctx context.Context, tx bun.Tx, actor, change string, now time.Time) error {
	var list []FindingOrder
	if err := tx.NewSelect().Model(&list).Where("o.change = ? OR o.done_change = ?", change, change).Scan(ctx); err != nil {
		return fmt.Errorf("finding: work orders of a change: %w", err)
	}
	for i := range list {
		o := &list[i]
		text := detections.Text{ZH: "已撤销生成工单", EN: "Taken back that it was made"}
		if o.DoneChange == change {
			text = detections.Text{ZH: "已撤销工单结束", EN: "Taken back that it ended"}
			o.State, o.EndedMs, o.DoneChange, o.Note = OrderOpen, 0, "", ""
		} else {
			o.State, o.EndedMs = OrderWithdrawn, now.UnixMilli()
		}
		if err := s.ended(ctx, tx, o); err != nil {
			return err
		}
		if err := say(ctx, tx, o.ID, actor, now, text, false); err != nil {
			return err
		}
	}
	return nil
}

// NoteOrder notes what another system says of an order.
func (s *Service) NoteOrder(ctx context.Context, id, actor string, text detections.Text) error {
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := s.order(ctx, tx, reach.All(), id); err != nil {
			return err
		}
		return say(ctx, tx, id, actor, s.now(), text, true)
	})
}
