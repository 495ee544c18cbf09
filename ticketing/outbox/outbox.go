package outbox

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/webhook"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The states of a delivery attempt in the log.
const (
	Delivered = "delivered"
	Retrying  = "retrying"
	Failed    = "failed"
)

const pending = "pending"

// The errors of managing receivers.
var (
	ErrNotFound   = errors.New("no such receiver")
	ErrExists     = errors.New("there is a receiver of this name")
	ErrFromConfig = errors.New("the receiver stands in the configuration file and is changed there")
	ErrInvalid    = errors.New("invalid receiver")
)

// Deps is what the outbox needs.
type Deps struct {
	Config Config
	// Seal keeps the receivers' URLs and secrets: many a receiver's token
	// stands in its URL. It must know Sealed. Required.
	Seal *seal.Box
	// Egress guards connections to receivers that users made; those of the
	// configuration are the operator's own word and go anywhere. Default: a
	// guard that allows nothing special.
	Egress *egress.Guard
	Log    *slog.Logger     // default slog.Default()
	Clock  func() time.Time // default time.Now
	// Settled is called within the transaction that settles a notification,
	// delivered or failed for good. Optional.
	Settled func(ctx context.Context, tx bun.Tx, a Attempt) error
}

// Box is the outbox. It is safe for concurrent use.
type Box struct {
	db      *state.DB
	cfg     Config
	seal    *seal.Box
	fixed   map[string]receiver // from the configuration
	log     *slog.Logger
	clock   func() time.Time
	settled func(ctx context.Context, tx bun.Tx, a Attempt) error
	egress  *egress.Guard
	guarded *webhook.Sender // to receivers of SQL
	free    *webhook.Sender // to those of the configuration
	wake    chan struct{}

	mu   sync.Mutex
	busy map[string]bool // receivers being served
}

type receiver struct {
	bun.BaseModel `bun:"table:outbox_receivers,alias:r"`
	Name          string `bun:"name,pk"`
	URL           string `bun:"url"` // sealed in SQL, as the secret is; see plain
	SendResolved  bool   `bun:"send_resolved"`
	Secret        string `bun:"secret"`
	Tenants       string `bun:"tenants"`
	CreatedAt     int64  `bun:"created_at"`
	CreatedBy     string `bun:"created_by"`
}

type message struct {
	bun.BaseModel `bun:"table:outbox_messages,alias:m"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Delivery      string `bun:"delivery"`
	Receiver      string `bun:"receiver"`
	IncidentID    string `bun:"incident_id"`
	Tenant        string `bun:"tenant"`
	Kind          string `bun:"kind"`
	Body          string `bun:"body"`
	State         string `bun:"state"`
	Attempts      int    `bun:"attempts"`
	CreatedAt     int64  `bun:"created_at"`
	NextAt        int64  `bun:"next_at"`
	SettledAt     int64  `bun:"settled_at"`
	reach.Kept
}

// Attempt is one line of the delivery log.
type Attempt struct {
	bun.BaseModel `bun:"table:outbox_attempts,alias:t"`
	ID            int64  `bun:"id,pk,autoincrement"`
	Delivery      string `bun:"delivery"` // the same over a notification's attempts
	Receiver      string `bun:"receiver"`
	IncidentID    string `bun:"incident_id"`
	Tenant        string `bun:"tenant"`
	Kind          string `bun:"kind"`     // opened, changed, sla, resolved
	URLHost       string `bun:"url_host"` // host and port only: the rest may hold secrets
	Attempt       int    `bun:"attempt"`  // 1, 2, …
	Status        string `bun:"status"`   // delivered, retrying, failed
	HTTPStatus    int    `bun:"http_status"`
	Error         string `bun:"error"`
	At            int64  `bun:"at"`      // Unix milliseconds
	NextAt        int64  `bun:"next_at"` // Unix milliseconds; 0 where none follows
	reach.Kept           // of the incident, as of the notification
}

// Message is a notification for every receiver that wants it.
type Message struct {
	IncidentID string
	Tenant     string
	Facts      reach.Kept // of the incident: who may see that it was told of
	Kind       string     // opened, changed, sla, resolved
	Resolved   bool       // goes only to receivers that asked for it
	Only       string     // goes to this receiver alone; "" for all that want it
	// Unique tells this notification from the incident's others, so that its
	// delivery id can be derived.
	Unique string
	// Render makes the body for a receiver.
	Render func(receiver string) ([]byte, error)
}

// The kinds of what is sealed here; the id behind them is the receiver's name.
const (
	kindSecret = "receiver"
	kindURL    = "receiver-url"
)

// Sealed names what this room keeps sealed.
func Sealed() []seal.Place {
	return []seal.Place{
		seal.Column(kindSecret, "outbox_receivers", "name", "secret"),
		seal.Column(kindURL, "outbox_receivers", "name", "url"),
	}
}

// Open brings the tables up to date and makes the outbox. A receiver whose
// secret cannot be read is an error: it would send unsigned.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Box, error) {
	if err := deps.Config.Validate(); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	if deps.Seal == nil {
		return nil, errors.New("outbox: open: Deps.Seal is nil: receivers have secrets")
	}
	b := &Box{
		db: db, cfg: deps.Config.WithDefaults(), seal: deps.Seal, egress: deps.Egress, fixed: map[string]receiver{},
		log: deps.Log, clock: deps.Clock, settled: deps.Settled,
		wake: make(chan struct{}, 1), busy: map[string]bool{},
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	if b.clock == nil {
		b.clock = time.Now
	}
	for _, r := range b.cfg.Receivers {
		secret, err := r.secret()
		if err != nil {
			return nil, err
		}
		b.fixed[r.Name] = receiver{
			Name: r.Name, URL: r.URL, Secret: secret, Tenants: strings.Join(r.Tenants, ","),
			SendResolved: r.SendResolved == nil || *r.SendResolved,
		}
	}
	if b.egress == nil {
		guard, err := egress.New(egress.Options{})
		if err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		b.egress = guard
	}
	b.guarded = webhook.NewSender(b.egress.Transport(b.cfg.Timeout), b.cfg.Timeout, b.clock)
	b.free = webhook.NewSender(egress.Unguarded(b.cfg.Timeout), b.cfg.Timeout, b.clock)
	if err := db.Migrate(ctx, "outbox", migrations); err != nil {
		return nil, err
	}
	return b, nil
}

// Enqueue writes a notification for each receiver that wants it, within the
// transaction of the change it tells of, and returns how many that are. Call
// Wake after the commit.
func (b *Box) Enqueue(ctx context.Context, tx bun.Tx, m Message) (int, error) {
	all, err := b.all(ctx, tx)
	if err != nil {
		return 0, err
	}
	now := b.clock().UnixMilli()
	var rows []message
	for _, r := range all {
		if m.Resolved && !r.SendResolved || m.Only != "" && m.Only != r.Name {
			continue
		}
		if r.Tenants != "" && !slices.Contains(strings.Split(r.Tenants, ","), m.Tenant) {
			continue
		}
		body, err := m.Render(r.Name)
		if err != nil {
			return 0, fmt.Errorf("outbox: render %s of %s for receiver %s: %w", m.Kind, m.IncidentID, r.Name, err)
		}
		sum := sha256.Sum256([]byte(strings.Join([]string{m.IncidentID, m.Kind, m.Unique, r.Name}, "\x00")))
		rows = append(rows, message{
			Delivery: hex.EncodeToString(sum[:16]), Receiver: r.Name, IncidentID: m.IncidentID, Tenant: m.Tenant,
			Kind: m.Kind, Body: string(body), State: pending, CreatedAt: now, NextAt: now, Kept: m.Facts,
		})
	}
	if len(rows) == 0 {
		return 0, nil
	}
	if _, err := tx.NewInsert().Model(&rows).On("CONFLICT (delivery) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return 0, fmt.Errorf("outbox: write %d notifications of %s: %w", len(rows), m.IncidentID, err)
	}
	return len(rows), nil
}

// Wake makes Run look for work at once.
func (b *Box) Wake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// all returns every receiver, ordered by name; those of SQL are still sealed.
// One of the configuration hides one of SQL with the same name.
func (b *Box) all(ctx context.Context, db bun.IDB) ([]receiver, error) {
	var rows []receiver
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, fmt.Errorf("outbox: read the receivers: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r receiver) bool { _, hidden := b.fixed[r.Name]; return hidden })
	for _, r := range b.fixed {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, c receiver) int { return strings.Compare(a.Name, c.Name) })
	return rows, nil
}

// plain opens what is sealed of a receiver.
func (b *Box) plain(r receiver) (_ receiver, err error) {
	if _, fixed := b.fixed[r.Name]; fixed {
		return r, nil
	}
	if r.URL, err = b.seal.OpenString(r.URL, kindURL+":"+r.Name); err != nil {
		return r, fmt.Errorf("outbox: the url of receiver %s: %w", r.Name, err)
	}
	if r.Secret, err = b.seal.OpenString(r.Secret, kindSecret+":"+r.Name); err != nil {
		return r, fmt.Errorf("outbox: the secret of receiver %s: %w", r.Name, err)
	}
	return r, nil
}

// sealed is the opposite of plain.
func (b *Box) sealed(r receiver) (_ receiver, err error) {
	if r.URL, err = b.seal.SealString(r.URL, kindURL+":"+r.Name); err != nil {
		return r, fmt.Errorf("outbox: the url of receiver %s: %w", r.Name, err)
	}
	if r.Secret, err = b.seal.SealString(r.Secret, kindSecret+":"+r.Name); err != nil {
		return r, fmt.Errorf("outbox: the secret of receiver %s: %w", r.Name, err)
	}
	return r, nil
}

// ReceiverInfo is what may be shown of a receiver.
type ReceiverInfo struct {
	Name         string
	URL          string // without password and query values
	SendResolved bool
	Signed       bool
	Tenants      []string // empty for all
	FromConfig   bool
	CreatedAt    time.Time // zero for one of the configuration
	CreatedBy    string
}

func (b *Box) info(r receiver) ReceiverInfo {
	i := ReceiverInfo{Name: r.Name, URL: webhook.Redact(r.URL), SendResolved: r.SendResolved, Signed: r.Secret != "", CreatedBy: r.CreatedBy}
	if r.Tenants != "" {
		i.Tenants = strings.Split(r.Tenants, ",")
	}
	if _, fixed := b.fixed[r.Name]; fixed {
		i.FromConfig = true
	} else {
		i.CreatedAt = time.UnixMilli(r.CreatedAt).UTC()
	}
	return i
}

// Receivers lists every receiver by name.
func (b *Box) Receivers(ctx context.Context) ([]ReceiverInfo, error) {
	all, err := b.all(ctx, b.db)
	if err != nil {
		return nil, err
	}
	out := make([]ReceiverInfo, 0, len(all))
	for _, r := range all {
		if r, err = b.plain(r); err != nil {
			return nil, err
		}
		out = append(out, b.info(r))
	}
	return out, nil
}

// AddReceiver makes a receiver in SQL. It gets what happens from now on. A URL
// that the guard refuses is ErrInvalid.
func (b *Box) AddReceiver(ctx context.Context, actor string, r Receiver) (ReceiverInfo, error) {
	if err := r.check(); err != nil {
		return ReceiverInfo{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := b.egress.Check(ctx, r.URL); err != nil {
		return ReceiverInfo{}, fmt.Errorf("%w: url: %w", ErrInvalid, err)
	}
	for _, t := range r.Tenants {
		if t == "" || strings.Contains(t, ",") {
			return ReceiverInfo{}, fmt.Errorf("%w: tenants: %q is no slug", ErrInvalid, t)
		}
	}
	if _, ok := b.fixed[r.Name]; ok {
		return ReceiverInfo{}, fmt.Errorf("receiver %s: %w", r.Name, ErrExists)
	}
	row := receiver{
		Name: r.Name, URL: r.URL, Secret: r.Secret, SendResolved: r.SendResolved == nil || *r.SendResolved,
		Tenants: strings.Join(r.Tenants, ","), CreatedAt: b.clock().UnixMilli(), CreatedBy: actor,
	}
	kept, err := b.sealed(row)
	if err != nil {
		return ReceiverInfo{}, err
	}
	res, err := b.db.NewInsert().Model(&kept).On("CONFLICT (name) DO NOTHING").Returning("NULL").Exec(ctx)
	if err != nil {
		return ReceiverInfo{}, fmt.Errorf("outbox: add receiver %s: %w", r.Name, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return ReceiverInfo{}, fmt.Errorf("receiver %s: %w", r.Name, ErrExists)
	}
	return b.info(row), nil
}

// RemoveReceiver removes a receiver of SQL. What still waits for it is given
// up, which the delivery log says.
func (b *Box) RemoveReceiver(ctx context.Context, name string) error {
	if _, ok := b.fixed[name]; ok {
		return fmt.Errorf("receiver %s: %w", name, ErrFromConfig)
	}
	res, err := b.db.NewDelete().Model((*receiver)(nil)).Where("name = ?", name).Exec(ctx)
	if err != nil {
		return fmt.Errorf("outbox: remove receiver %s: %w", name, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("receiver %s: %w", name, ErrNotFound)
	}
	b.Wake()
	return nil
}

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
