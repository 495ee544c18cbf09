package outbox

import (
	"cmp"
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
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/egress"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing/channel"
	"icewatch/ticketing/linktoken"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
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
	// Person finds whom a notification is for by name. Optional: without it
	// nobody has an address of his own.
	Person func(ctx context.Context, name string) (channel.Person, bool)
	// Wording finds a wording by name, language and kind of channel. Optional:
	// without it, and where it fails, a notification has the default words.
	Wording func(ctx context.Context, name, language, kind string) (*wording.Wording, error)
	// Files finds what a notification carries whose annotation AttachmentKey names
	// it. Optional.
	Files func(ctx context.Context, ref string) ([]channel.File, error)
	// ExternalURL is where people reach the suite. Without it notifications
	// carry no links that acknowledge.
	ExternalURL string
	// Zone is that of times in texts. Default time.Local.
	Zone *time.Location
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
	guarded *webhook.Sender             // to receivers of SQL
	via     *channel.Via                // to contact points
	words   map[string]*wording.Wording // the default ones, by language
	deps    Deps
	free    *webhook.Sender // to those of the configuration
	key     linktoken.Key   // of links
	wake    chan struct{}

	mu   sync.Mutex
	busy map[string]bool // receivers being served
	gate atomic.Pointer[Gate]

	counts counts
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
	Thread        string `bun:"thread"`
	Route         string `bun:"route"`
	People        string `bun:"people"`
	Reached       string `bun:"reached"`
	Title         string `bun:"title"`
	Error         string `bun:"error"`
	Since         int64  `bun:"since"`
	SentAgainBy   string `bun:"sent_again_by"`
	LinkUsedAt    int64  `bun:"link_used_at"`
	LinkUsedBy    string `bun:"link_used_by"`
	LinkIncidents string `bun:"link_incidents"`
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
	Channel       string `bun:"channel"` // kind of the receiver
	Carried       string `bun:"carried"` // delivery that it was merged into; "" where it went by itself
	reach.Kept           // of the incident, as of the notification
}

// Message is a notification for every receiver that wants it.
type Message struct {
	IncidentID string
	Tenant     string
	Facts      reach.Kept // of the incident: who may see that it was told of
	Kind       string     // opened, changed, sla, resolved, or one that a Gate guards
	Resolved   bool       // goes only to receivers that asked for it
	Only       string     // goes to this receiver alone; "" for those that are told of every incident
	Thread     string     // what notifications about the same thing share; IncidentID where it is empty
	Route      string     // which route sends it, for the log
	People     []string   // names of the users whom it is for
	Sample     bool       // says nothing of any tenant, so it goes to a receiver that is bound to some as well
	// Unique tells this notification from the incident's others, so that its
	// delivery id can be derived.
	Unique string
	// Acknowledgeable says that its incident waits to be acknowledged: receivers
	// get a link that does it. Incidents are those that wait where it tells of
	// several, and IncidentID is empty then.
	Acknowledgeable bool
	Incidents       []string
	// Render makes the body for a receiver.
	Render func(to Addressee) ([]byte, error)
}

// Addressee is whom a body is made for.
type Addressee struct {
	Name string // of the receiver
	Link string // by which whoever reads it acknowledges the incident, or all of them; "" for none
}

// Delivery is the id of the notification to a receiver.
func (m *Message) Delivery(receiver string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{m.IncidentID, m.Kind, m.Unique, receiver}, "\x00")))
	return hex.EncodeToString(sum[:linktoken.IDBytes])
}

// AttachmentKey is the annotation that all alerts of a notification share which
// carries files.
const AttachmentKey = "attachment"

// The kinds of what is sealed here; the id behind them is the receiver's name.
const (
	kindSecret   = "receiver"
	kindURL      = "receiver-url"
	kindSettings = "receiver-settings"
	kindKey      = "outbox-link"
)

// Sealed names what this room keeps sealed.
func Sealed() []seal.Place {
	return []seal.Place{
		seal.Column(kindSecret, "outbox_receivers", "name", "secret"),
		seal.Column(kindURL, "outbox_receivers", "name", "url"),
		seal.Column(kindSettings, "outbox_settings", "receiver", "settings"),
		seal.Column(kindKey, "outbox_keys", "id", "secret"),
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
		wake: make(chan struct{}, 1), busy: map[string]bool{}, words: map[string]*wording.Wording{}, deps: deps,
	}
	for _, language := range []string{"zh", "en"} {
		w, err := wording.New(language, wording.Text{})
		if err != nil {
			return nil, fmt.Errorf("outbox: the default wording: %w", err)
		}
		b.words[language] = w
	}
	if b.deps.Zone == nil {
		b.deps.Zone = time.Local
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
			SendResolved: r.SendResolved == nil || *r.SendResolved, Kind: "webhook", Every: true, Language: "zh",
			Acknowledge: AcknowledgeSignedIn,
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
	b.via = channel.NewVia(b.egress, b.cfg.Timeout, b.clock)
	b.free = webhook.NewSender(egress.Unguarded(b.cfg.Timeout), b.cfg.Timeout, b.clock)
	if err := db.Migrate(ctx, "outbox", migrations); err != nil {
		return nil, err
	}
	if err := b.openKey(ctx); err != nil {
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
	at := b.clock()
	now := at.UnixMilli()
	var rows []message
	for _, r := range all {
		if r.Disabled || m.Resolved && !r.SendResolved || m.Only != "" && m.Only != r.Name || m.Only == "" && !r.Every {
			continue
		}
		if r.Tenants != "" && !m.Sample && !slices.Contains(strings.Split(r.Tenants, ","), m.Tenant) {
			continue
		}
		delivery, to := m.Delivery(r.Name), Addressee{Name: r.Name}
		if m.Acknowledgeable && r.Acknowledge != AcknowledgeNone {
			to.Link = b.linkTo(delivery, at)
		}
		body, err := m.Render(to)
		if err != nil {
			return 0, fmt.Errorf("outbox: render %s of %s for receiver %s: %w", m.Kind, m.IncidentID, r.Name, err)
		}
		rows = append(rows, message{
			Delivery: delivery, Receiver: r.Name, IncidentID: m.IncidentID, Tenant: m.Tenant,
			Kind: m.Kind, Body: string(body), State: pending, CreatedAt: now, NextAt: now, Kept: m.Facts,
			Thread: cmp.Or(m.Thread, m.IncidentID), Route: m.Route, People: strings.Join(m.People, ","), LinkIncidents: strings.Join(m.Incidents, ","),
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
