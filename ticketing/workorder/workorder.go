// Package workorder keeps the work orders that other systems have of our alerts
// and incidents. A connection describes such a system by templates of its HTTP
// requests; an order is made by a person or by a disposal rule, is told of every
// further change of its alert or incident, and takes back what the other system
// made of it, by a webhook and by asking.
//
// What goes out is written before it is sent and repeated until the system has
// it: at least once, each order's messages in their order, each under a delivery
// id that stays the same. It does not go by ticketing/outbox, since the answer
// counts: it holds the id under which the system knows the order.
package workorder

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("workorder: not found")
	ErrInvalid  = errors.New("workorder: invalid")
	ErrConflict = errors.New("workorder: conflict")
)

// The states of an order.
const (
	StateSending  = "sending" // the other system does not have it yet
	StateOpen     = "open"
	StateWorking  = "working"
	StateDone     = "done"
	StateRejected = "rejected"
	StateFailed   = "failed" // the other system will not have it; it can be sent again
)

// Subject is an alert, an incident or findings as a work order tells of it.
type Subject struct {
	ID          string            `json:"id"`
	Kind        string            `json:"kind"` // alert, incident or findings
	Tenant      string            `json:"tenant"`
	Title       string            `json:"title"`
	TitleEN     string            `json:"title_en"`
	Severity    string            `json:"severity"`
	Priority    string            `json:"priority"`
	Status      string            `json:"status"`
	Resolution  string            `json:"resolution"`
	Assignee    string            `json:"assignee"`
	Team        string            `json:"team"`
	System      string            `json:"system"`
	Item        string            `json:"item"`
	Owner       string            `json:"owner"`
	Unit        string            `json:"unit"`
	Description string            `json:"description"`
	Link        string            `json:"link"` // to the console
	OpenedAt    time.Time         `json:"opened_at"`
	Due         time.Time         `json:"due"` // zero where nothing is due
	Labels      map[string]string `json:"labels"`
	Facts       reach.Kept        `json:"-"` // who may see it
}

// Change is an entry of a timeline.
type Change struct {
	Seq    int64     `json:"-"`
	Object string    `json:"-"`
	Kind   string    `json:"kind"`
	Actor  string    `json:"actor"`
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
}

// Tickets is what the room asks of alerts and incidents.
type Tickets interface {
	// Subject reads an alert or incident, whoever asks; ErrNotFound where there
	// is none.
	Subject(ctx context.Context, id string) (Subject, error)
	// Happened reads what timelines tell after an entry, oldest first.
	Happened(ctx context.Context, after int64, limit int) ([]Change, error)
	LastHappened(ctx context.Context) (int64, error)
	// Note enters something into a timeline within a transaction.
	Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error
	// Close closes an alert or incident that is not closed.
	Close(ctx context.Context, id, actor, resolution, comment string) error
}

// Deps is what the room needs.
type Deps struct {
	Tickets Tickets       // required
	Seal    *seal.Box     // of the connections' secrets; required, and it must know Sealed
	Egress  *egress.Guard // of connections to other systems; default: one that allows nothing special
	Log     *slog.Logger
	Clock   func() time.Time
	// Ends says of which things it is closed by the order that is done, whatever the
	// connection says of alerts and incidents. Optional.
	Ends    func(object string) bool
	Timeout time.Duration // of a request; default 10s
	// GiveUp is how long a message is tried; after that it has failed and can be
	// sent again by hand. Default 72h.
	GiveUp time.Duration
}

const kindSecrets = "workorder"

// Sealed names what this room keeps sealed.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(kindSecrets, "workorder_connections", "id", "secrets")}
}

// Service keeps connections and orders. It is safe for concurrent use. It does
// not ask who may see an alert or incident: its callers do.
type Service struct {
	db   *state.DB
	deps Deps
	http sender
	wake chan struct{}

	mu   sync.Mutex
	busy map[string]bool // connections being served
}

// Open brings the tables up to date. Run must run.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Tickets == nil || deps.Seal == nil {
		return nil, errors.New("workorder: open: Deps.Tickets or Deps.Seal is nil")
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Timeout == 0 {
		deps.Timeout = 10 * time.Second
	}
	if deps.GiveUp == 0 {
		deps.GiveUp = 72 * time.Hour
	}
	if deps.Egress == nil {
		guard, err := egress.New(egress.Options{})
		if err != nil {
			return nil, fmt.Errorf("workorder: %w", err)
		}
		deps.Egress = guard
	}
	if err := db.Migrate(ctx, "workorder", migrations); err != nil {
		return nil, err
	}
	s := &Service{db: db, deps: deps, wake: make(chan struct{}, 1), busy: map[string]bool{}, http: newSender(deps.Egress, deps.Timeout, deps.Clock)}
	return s, s.begin(ctx)
}

func (s *Service) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// newID makes an id that nobody can guess.
func newID(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails
	return prefix + hex.EncodeToString(b[:])
}

// actorOf is under which name a connection enters timelines.
func actorOf(connection string) string { return "work-order:" + connection }
