package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// LogQuery asks for a part of the delivery log.
type LogQuery struct {
	Reach    reach.Reach // the zero value shows nothing
	Incident string      // "" for all
	Before   int64       // only attempts with a smaller id; 0 for the newest
	Limit    int
}

// Log returns attempts, newest first, and how many there are in all. more
// tells whether older ones follow.
func (b *Box) Log(ctx context.Context, q LogQuery) (attempts []Attempt, total int, more bool, err error) {
	where := func(s *bun.SelectQuery) *bun.SelectQuery {
		s = q.Reach.Within(s, "t")
		if q.Incident != "" {
			s = s.Where("incident_id = ?", q.Incident)
		}
		return s
	}
	n, err := where(b.db.NewSelect().Model((*Attempt)(nil))).Count(ctx)
	total = int(n)
	if err != nil {
		return nil, 0, false, fmt.Errorf("outbox: count the delivery log: %w", err)
	}
	s := where(b.db.NewSelect().Model(&attempts))
	if q.Before > 0 {
		s = s.Where("id < ?", q.Before)
	}
	if err := s.OrderExpr("id DESC").Limit(int64(q.Limit) + 1).Scan(ctx); err != nil {
		return nil, 0, false, fmt.Errorf("outbox: read the delivery log: %w", err)
	}
	if len(attempts) > q.Limit {
		return attempts[:q.Limit], total, true, nil
	}
	return attempts, total, false, nil
}

// ErrWaits says that a notification is under way, so it cannot be sent again.
var ErrWaits = errors.New("the notification is still waiting to be delivered")

// Delivery is one notification to one receiver, with how it stands.
type Delivery struct {
	ID          int64
	Delivery    string // id that the receiver sees
	Receiver    string
	Channel     string
	IncidentID  string
	Tenant      string
	Kind        string
	Title       string // what it said; "" before the first attempt
	Route       string // "" where no route sent it
	People      string // whom it was for by name, comma-separated
	State       string // pending, delivered, failed
	Attempts    int
	Error       string // of the last attempt
	CreatedAt   int64
	NextAt      int64
	SettledAt   int64
	SentAgainBy string
	Body        string // only of one that was asked for by itself
}

// DeliveryQuery asks for a part of the dispatch log.
type DeliveryQuery struct {
	Reach    reach.Reach // the zero value shows nothing
	Receiver string
	Channel  string
	Kind     string
	State    string
	Incident string
	Person   string
	Text     string // part of title or error
	From, To time.Time
	Before   int64
	Limit    int
}

func (q *DeliveryQuery) where(s *bun.SelectQuery) *bun.SelectQuery {
	s = q.Reach.Within(s, "m")
	for column, value := range map[string]string{"m.receiver": q.Receiver, "m.kind": q.Kind, "m.state": q.State, "m.incident_id": q.Incident} {
		if value != "" {
			s = s.Where("? = ?", bun.Ident(column), value)
		}
	}
	if q.Channel != "" {
		s = s.Where("coalesce(r.kind, 'webhook') = ?", q.Channel)
	}
	if q.Person != "" {
		s = s.Where("instr(',' || m.people || ',', ?) > 0", ","+q.Person+",")
	}
	if q.Text != "" {
		s = s.Where("instr(lower(m.title || ' ' || m.error), lower(?)) > 0", q.Text)
	}
	if !q.From.IsZero() {
		s = s.Where("m.created_at >= ?", q.From.UnixMilli())
	}
	if !q.To.IsZero() {
		s = s.Where("m.created_at < ?", q.To.UnixMilli())
	}
	return s
}

func (b *Box) deliveries() *bun.SelectQuery {
	return b.db.NewSelect().Model((*message)(nil)).Join("LEFT JOIN outbox_receivers AS r ON r.name = m.receiver")
}

const deliveryColumns = "m.id, m.delivery, m.receiver, coalesce(r.kind, 'webhook') AS channel, m.incident_id, m.tenant, m.kind, m.title, m.route, m.people, m.state, m.attempts, m.error, m.created_at, m.next_at, m.settled_at, m.sent_again_by"

// Deliveries lists notifications, newest first, and how many there are. more
// tells whether older ones follow.
func (b *Box) Deliveries(ctx context.Context, q DeliveryQuery) (list []Delivery, total int, more bool, err error) {
	var n int64
	if err := q.where(b.deliveries().ColumnExpr("count(*)")).Scan(ctx, &n); err != nil {
		return nil, 0, false, fmt.Errorf("outbox: count the notifications: %w", err)
	}
	s := q.where(b.deliveries().ColumnExpr(deliveryColumns))
	if q.Before > 0 {
		s = s.Where("m.id < ?", q.Before)
	}
	if err := s.OrderExpr("m.id DESC").Limit(int64(q.Limit)+1).Scan(ctx, &list); err != nil {
		return nil, 0, false, fmt.Errorf("outbox: read the notifications: %w", err)
	}
	if len(list) > q.Limit {
		list, more = list[:q.Limit], true
	}
	return list, int(n), more, nil
}

// Delivery reads one notification with what it says, and its attempts, oldest
// first. Beyond the reach it is ErrNoDelivery.
func (b *Box) Delivery(ctx context.Context, within reach.Reach, id string) (d Delivery, attempts []Attempt, err error) {
	var list []Delivery
	q := DeliveryQuery{Reach: within}
	if err := q.where(b.deliveries().ColumnExpr(deliveryColumns+", m.body")).Where("m.delivery = ?", id).Scan(ctx, &list); err != nil {
		return d, nil, fmt.Errorf("outbox: read notification %s: %w", id, err)
	}
	if len(list) == 0 {
		return d, nil, fmt.Errorf("notification %s: %w", id, ErrNoDelivery)
	}
	if err := b.db.NewSelect().Model(&attempts).Where("delivery = ?", id).OrderExpr("id").Scan(ctx); err != nil {
		return d, nil, fmt.Errorf("outbox: read the attempts of %s: %w", id, err)
	}
	return list[0], attempts, nil
}

// ErrNoDelivery says that there is no such notification.
var ErrNoDelivery = errors.New("no such notification")

// Again sends a notification that is settled once more, under the same id: a
// receiver that has it can drop it. Its age counts from now.
func (b *Box) Again(ctx context.Context, actor string, within reach.Reach, id string) (Delivery, error) {
	d, _, err := b.Delivery(ctx, within, id)
	if err != nil {
		return d, err
	}
	if d.Body == "" {
		return d, fmt.Errorf("notification %s: what it said is not kept any more: %w", id, ErrNoDelivery)
	}
	now := b.clock().UnixMilli()
	res, err := b.db.NewUpdate().Model((*message)(nil)).Where("delivery = ? AND state <> ?", id, pending).
		Set("state = ?", pending).Set("since = ?", now).Set("next_at = ?", now).Set("settled_at = 0").Set("reached = ''").Set("sent_again_by = ?", actor).Exec(ctx)
	if err != nil {
		return d, fmt.Errorf("outbox: send %s again: %w", id, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return d, fmt.Errorf("notification %s: %w", id, ErrWaits)
	}
	b.Wake()
	d, _, err = b.Delivery(ctx, within, id)
	return d, err
}
