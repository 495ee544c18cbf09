// Package evidence keeps what proves an incident: files, events and results of
// queries, each with its SHA-256, who added it, when and why, and a chain of
// custody for every incident that is only ever added to. An incident leaves
// the suite as a sealed archive that anybody verifies without the suite.
//
// Contents are in the suite's database, so that one transaction holds a
// content, its item and its entry in the chain, and every backup has them.
package evidence

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("evidence: not found")
	ErrInvalid  = errors.New("evidence: invalid")
	ErrConflict = errors.New("evidence: conflict")
	ErrTooLarge = errors.New("evidence: too large")
	ErrDamaged  = errors.New("evidence: damaged")
)

// Limits bound what is kept. The zero value of each takes the default.
type Limits struct {
	Item     int64 // bytes of one content; default 24 MiB
	Incident int64 // bytes of all items of an incident; default 256 MiB
	Items    int   // of an incident; default 500
	Total    int64 // bytes of all contents; default 4 GiB
}

func (l Limits) withDefaults() Limits {
	if l.Item == 0 {
		l.Item = 24 << 20
	}
	if l.Incident == 0 {
		l.Incident = 256 << 20
	}
	if l.Items == 0 {
		l.Items = 500
	}
	if l.Total == 0 {
		l.Total = 4 << 30
	}
	return l
}

// chunkSize is how much of a content one row holds.
const chunkSize = 256 << 10

// The kinds of items.
const (
	KindFile   = "file"
	KindEvents = "events"
	KindQuery  = "query"
)

// MediaCapture is the media type of packet captures, whether pcap or pcapng.
const MediaCapture = "application/vnd.tcpdump.pcap"

// Item is one piece of evidence.
type Item struct {
	bun.BaseModel `bun:"table:evidence_items,alias:e" json:"-"`
	ID            string `bun:"id,pk" json:"id"`
	Incident      string `bun:"incident" json:"incident"`
	Kind          string `bun:"kind" json:"kind" enum:"file,events,query"`
	Name          string `bun:"name" json:"name"`
	Media         string `bun:"media" json:"media"`
	Size          int64  `bun:"size" json:"size" doc:"Bytes"`
	SHA256        string `bun:"sha256" json:"sha256"`
	Reason        string `bun:"reason" json:"reason"`
	Query         string `bun:"query" json:"query,omitempty" doc:"What events were taken by"`
	Rows          int    `bun:"rows" json:"rows,omitempty" doc:"Events in it"`
	AddedBy       string `bun:"added_by" json:"added_by"`
	AddedAt       int64  `bun:"added_at" json:"added_at" doc:"Unix milliseconds"`
	WithdrawnBy   string `bun:"withdrawn_by" json:"withdrawn_by,omitempty"`
	WithdrawnAt   int64  `bun:"withdrawn_at" json:"withdrawn_at,omitempty" doc:"Unix milliseconds; its content is kept"`
}

// New is evidence to add.
type New struct {
	Kind   string
	Name   string
	Media  string
	Reason string // required
	Query  string // of events
	Rows   int    // of events
	Data   []byte
}

// Timeline writes into an incident's timeline, within the transaction that it
// tells of. ticketing.Service is one.
type Timeline interface {
	Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error
}

// Deps is what the room needs.
type Deps struct {
	Timeline Timeline // required
	Limits   Limits
	Clock    func() time.Time // default time.Now
}

// Locker keeps evidence. It is safe for concurrent use. It does not ask who may
// see an incident: its callers do.
type Locker struct {
	db       *state.DB
	timeline Timeline
	limits   Limits
	clock    func() time.Time
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Locker, error) {
	if deps.Timeline == nil {
		return nil, errors.New("evidence: open: Deps.Timeline is nil")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if err := db.Migrate(ctx, "evidence", migrations); err != nil {
		return nil, err
	}
	return &Locker{db: db, timeline: deps.Timeline, limits: deps.Limits.withDefaults(), clock: deps.Clock}, nil
}

// MaxItem is the largest content in bytes.
func (l *Locker) MaxItem() int64 { return l.limits.Item }

func (l *Locker) now() time.Time { return l.clock().UTC().Truncate(time.Millisecond) }

func (n *New) check(limits Limits) error {
	switch n.Kind {
	case KindFile, KindEvents, KindQuery:
	default:
		return fmt.Errorf("%w: kind %q: want file, events or query", ErrInvalid, n.Kind)
	}
	n.Name = cleanName(n.Name)
	n.Reason = strings.TrimSpace(n.Reason)
	if n.Media == "" || len(n.Media) > 100 {
		n.Media = "application/octet-stream"
	}
	switch {
	case n.Name == "":
		return fmt.Errorf("%w: name: it is empty", ErrInvalid)
	case n.Reason == "":
		return fmt.Errorf("%w: reason: it is empty: say what the evidence shows", ErrInvalid)
	case utf8.RuneCountInString(n.Reason) > 2000:
		return fmt.Errorf("%w: reason: %d characters, at most 2000", ErrInvalid, utf8.RuneCountInString(n.Reason))
	case len(n.Data) == 0:
		return fmt.Errorf("%w: %q is empty", ErrInvalid, n.Name)
	case int64(len(n.Data)) > limits.Item:
		return fmt.Errorf("%w: %q has %d bytes, at most %d", ErrTooLarge, n.Name, len(n.Data), limits.Item)
	}
	return nil
}

// cleanName makes of what a client calls a file a name that is safe to be shown
// and written: no folders, no control characters, 120 characters at most.
func cleanName(name string) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, name)
	name = strings.Trim(name, " .")
	if runes := []rune(name); len(runes) > 120 {
		ext := []rune(path.Ext(name))
		if len(ext) > 20 {
			ext = nil
		}
		name = string(runes[:120-len(ext)]) + string(ext)
	}
	if name == "/" {
		return ""
	}
	return name
}

// Add keeps evidence of an incident and enters it into its chain of custody.
// The same content twice is a conflict, so that each is there for one reason.
func (l *Locker) Add(ctx context.Context, incident, by string, n New) (Item, error) {
	if err := n.check(l.limits); err != nil {
		return Item{}, err
	}
	sum := sha256.Sum256(n.Data)
	it := Item{ID: "EV-" + token(), Incident: incident, Kind: n.Kind, Name: n.Name, Media: n.Media, Size: int64(len(n.Data)), SHA256: hex.EncodeToString(sum[:]),
		Reason: n.Reason, Query: n.Query, Rows: n.Rows, AddedBy: by, AddedAt: l.now().UnixMilli()}
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := l.room(ctx, tx, &it); err != nil {
			return err
		}
		if err := keep(ctx, tx, it.SHA256, n.Data); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&it).Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("write item %s: %w", it.ID, err)
		}
		return l.enter(ctx, tx, &it, by, ActionAdded, it.Reason, detections.Text{
			ZH: fmt.Sprintf("固定证据 %s（%s）：%s", it.Name, it.ID, it.Reason), EN: fmt.Sprintf("Evidence %s (%s) added: %s", it.Name, it.ID, it.Reason)})
	})
	if err != nil {
		return Item{}, fmt.Errorf("evidence: add %q to %s: %w", n.Name, incident, err)
	}
	return it, nil
}

// room refuses what is one too many, and the same content a second time.
func (l *Locker) room(ctx context.Context, tx bun.Tx, it *Item) error {
	var have struct {
		N     int    `bun:"n"`
		Bytes int64  `bun:"bytes"`
		Same  string `bun:"same"`
	}
	err := tx.NewSelect().Model((*Item)(nil)).ColumnExpr("count(*) AS n, coalesce(sum(size), 0) AS bytes, coalesce(max(CASE WHEN sha256 = ? THEN id END), '') AS same", it.SHA256).
		Where("incident = ?", it.Incident).Scan(ctx, &have)
	if err != nil {
		return fmt.Errorf("count the evidence of %s: %w", it.Incident, err)
	}
	var total int64
	if err := tx.NewSelect().Table("evidence_chunks").ColumnExpr("count(*)").Scan(ctx, &total); err != nil {
		return fmt.Errorf("count what is kept: %w", err)
	}
	switch {
	case have.Same != "":
		return fmt.Errorf("%w: the same content is there already as %s", ErrConflict, have.Same)
	case have.N >= l.limits.Items:
		return fmt.Errorf("%w: the incident has %d items, the most there may be", ErrTooLarge, have.N)
	case have.Bytes+it.Size > l.limits.Incident:
		return fmt.Errorf("%w: the incident has %d bytes of evidence, and %d more pass the %d there may be", ErrTooLarge, have.Bytes, it.Size, l.limits.Incident)
	case total*chunkSize+it.Size > l.limits.Total:
		return fmt.Errorf("%w: the suite keeps all the evidence it may, %d bytes", ErrTooLarge, l.limits.Total)
	}
	return nil
}

// keep writes a content in pieces, unless another incident has it already.
func keep(ctx context.Context, tx bun.Tx, sum string, data []byte) error {
	for n := 0; n*chunkSize < len(data); n++ {
		piece := data[n*chunkSize : min(len(data), (n+1)*chunkSize)]
		if _, err := tx.NewRaw("INSERT INTO evidence_chunks (sha256, n, data) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", sum, n, piece).Exec(ctx); err != nil {
			return fmt.Errorf("write piece %d of %s: %w", n, sum, err)
		}
	}
	return nil
}

// List returns the evidence of an incident in the order it was added.
func (l *Locker) List(ctx context.Context, incident string) ([]Item, error) {
	items := []Item{}
	if err := l.db.NewSelect().Model(&items).Where("incident = ?", incident).OrderExpr("added_at, id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("evidence: list of %s: %w", incident, err)
	}
	return items, nil
}

func (l *Locker) item(ctx context.Context, db bun.IDB, incident, id string) (it Item, err error) {
	err = db.NewSelect().Model(&it).Where("incident = ? AND id = ?", incident, id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return it, fmt.Errorf("%w: the incident %s has no evidence %q", ErrNotFound, incident, id)
	}
	if err != nil {
		return it, fmt.Errorf("evidence: read %q: %w", id, err)
	}
	return it, nil
}

// Item returns one item without its content.
func (l *Locker) Item(ctx context.Context, incident, id string) (Item, error) {
	return l.item(ctx, l.db, incident, id)
}

// Read hands a content out. That enters the chain of custody, before anything
// is handed out; a content that is not what was added is ErrDamaged.
func (l *Locker) Read(ctx context.Context, incident, id, by string) (it Item, data []byte, err error) {
	if it, err = l.Item(ctx, incident, id); err != nil {
		return it, nil, err
	}
	var b bytes.Buffer
	if err := l.copy(ctx, &b, &it); err != nil {
		return it, nil, err
	}
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return l.enter(ctx, tx, &it, by, ActionRead, "", detections.Text{})
	})
	if err != nil {
		return it, nil, fmt.Errorf("evidence: read %s: %w", id, err)
	}
	return it, b.Bytes(), nil
}

// copy writes a content piece by piece and checks it by its hash.
func (l *Locker) copy(ctx context.Context, w io.Writer, it *Item) error {
	h, size := sha256.New(), int64(0)
	for n := 0; size < it.Size; n++ {
		var piece []byte
		err := l.db.NewSelect().Table("evidence_chunks").Column("data").Where("sha256 = ? AND n = ?", it.SHA256, n).Scan(ctx, &piece)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %s: piece %d of its content is missing", ErrDamaged, it.ID, n)
		}
		if err != nil {
			return fmt.Errorf("evidence: read %s: %w", it.ID, err)
		}
		h.Write(piece)
		size += int64(len(piece))
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != it.SHA256 {
		return fmt.Errorf("%w: %s: its content has the SHA-256 %s, and %s was added: restore it from a backup", ErrDamaged, it.ID, got, it.SHA256)
	}
	return nil
}

// Withdraw says that an item is no evidence of the incident after all; its
// content and its entries stay. Restore takes that back.
func (l *Locker) Withdraw(ctx context.Context, incident, id, by, reason string) (Item, error) {
	if strings.TrimSpace(reason) == "" {
		return Item{}, fmt.Errorf("%w: reason: it is empty: say why it is no evidence", ErrInvalid)
	}
	return l.change(ctx, incident, id, by, ActionWithdrawn, reason, func(it *Item) error {
		if it.WithdrawnAt != 0 {
			return fmt.Errorf("%w: %s was withdrawn by %s already", ErrConflict, id, it.WithdrawnBy)
		}
		it.WithdrawnAt, it.WithdrawnBy = l.now().UnixMilli(), by
		return nil
	})
}

// Restore takes a withdrawal back.
func (l *Locker) Restore(ctx context.Context, incident, id, by string) (Item, error) {
	return l.change(ctx, incident, id, by, ActionRestored, "", func(it *Item) error {
		if it.WithdrawnAt == 0 {
			return fmt.Errorf("%w: %s is not withdrawn", ErrConflict, id)
		}
		it.WithdrawnAt, it.WithdrawnBy = 0, ""
		return nil
	})
}

func (l *Locker) change(ctx context.Context, incident, id, by, action, detail string, f func(it *Item) error) (it Item, err error) {
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if it, err = l.item(ctx, tx, incident, id); err != nil {
			return err
		}
		if err := f(&it); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(&it).Column("withdrawn_at", "withdrawn_by").WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("write item %s: %w", id, err)
		}
		text := detections.Text{ZH: "恢复证据 " + it.Name, EN: "Evidence " + it.Name + " restored"}
		if action == ActionWithdrawn {
			text = detections.Text{ZH: "撤回证据 " + it.Name + "：" + detail, EN: "Evidence " + it.Name + " withdrawn: " + detail}
		}
		return l.enter(ctx, tx, &it, by, action, detail, text)
	})
	if err != nil {
		return Item{}, fmt.Errorf("evidence: %s %s: %w", action, id, err)
	}
	return it, nil
}

// token is an id that nobody guesses.
func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}
