package observable

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("observable: not found")
	ErrInvalid  = errors.New("observable: invalid")
	ErrConflict = errors.New("observable: conflict")
)

// Noted is an observable that somebody added to an incident.
type Noted struct {
	bun.BaseModel `bun:"table:observable_noted" json:"-"`
	Incident      string `bun:"incident,pk" json:"incident"`
	Type          string `bun:"type,pk" json:"type"`
	Value         string `bun:"value,pk" json:"value"`
	Note          string `bun:"note" json:"note,omitempty"`
	AddedBy       string `bun:"added_by" json:"added_by"`
	AddedAt       int64  `bun:"added_at" json:"added_at" doc:"Unix milliseconds"`
	RemovedBy     string `bun:"removed_by" json:"removed_by,omitempty"`
	RemovedAt     int64  `bun:"removed_at" json:"removed_at,omitempty" doc:"Unix milliseconds"`
}

// maxNoted is how many observables people add to one incident.
const maxNoted = 500

// Alert is an alert as the index sees it.
type Alert struct {
	ID      string
	Created int64 // Unix milliseconds
	Found   []Observable
}

// Alerts reads alerts in the order they were created, after one of them.
type Alerts func(ctx context.Context, created int64, id string, limit int) ([]Alert, error)

// Timeline writes into an incident's timeline, within the transaction that it
// tells of. ticketing.Service is one.
type Timeline interface {
	Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error
}

// Deps is what the room needs.
type Deps struct {
	Timeline Timeline         // required
	Alerts   Alerts           // required; what Run indexes
	Clock    func() time.Time // default time.Now
	Log      *slog.Logger     // default slog.Default()
}

// Store keeps observables. It is safe for concurrent use. It does not ask who
// may see an incident or alert: its callers do.
type Store struct {
	db   *state.DB
	deps Deps
}

// Open brings the tables up to date. Run must run for the index to follow.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.Timeline == nil || deps.Alerts == nil {
		return nil, errors.New("observable: open: Deps.Timeline and Deps.Alerts are required")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	return &Store{db: db, deps: deps}, db.Migrate(ctx, "observable", migrations)
}

// indexEvery is how often Run looks for new alerts, and settle how old one must
// be: those of one transaction are all there by then.
const (
	indexEvery = 5 * time.Second
	settle     = 2 * time.Second
	perIndex   = 2000
)

// Run indexes new alerts until ctx ends, beside the taking in of alerts, which
// it never holds up for longer than it takes to write a few hundred short rows.
func (s *Store) Run(ctx context.Context) {
	tick := time.NewTicker(indexEvery)
	defer tick.Stop()
	for {
		for {
			n, err := s.Index(ctx)
			if err != nil && ctx.Err() == nil {
				s.deps.Log.Warn("observables: the index is behind", "error", err)
			}
			if err != nil || n < perIndex {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Index takes the next alerts in, and tells how many there were.
func (s *Store) Index(ctx context.Context) (int, error) {
	var at struct {
		Created int64  `bun:"created"`
		Alert   string `bun:"alert"`
	}
	if err := s.db.NewSelect().Table("observable_cursor").Column("created", "alert").Scan(ctx, &at); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("observable: read where the index is: %w", err)
	}
	list, err := s.deps.Alerts(ctx, at.Created, at.Alert, perIndex)
	if err != nil {
		return 0, err
	}
	youngest := s.deps.Clock().Add(-settle).UnixMilli()
	if i := slices.IndexFunc(list, func(a Alert) bool { return a.Created > youngest }); i >= 0 {
		list = list[:i]
	}
	if len(list) == 0 {
		return 0, nil
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		seen := state.NewPut(tx, "observable_seen", []string{"type", "value", "alert"}, "ON CONFLICT DO NOTHING")
		defer seen.Close()
		for _, a := range list {
			for _, o := range a.Found {
				if err := seen.Row(ctx, o.Type, o.Value, a.ID); err != nil {
					return err
				}
			}
		}
		last := list[len(list)-1]
		_, err := tx.NewRaw("INSERT INTO observable_cursor (one, created, alert) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET created = EXCLUDED.created, alert = EXCLUDED.alert", last.Created, last.ID).Exec(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("observable: index %d alerts: %w", len(list), err)
	}
	return len(list), nil
}

// Seen returns the ids of alerts that an observable was seen in, so many at
// most, and of incidents that somebody added it to.
func (s *Store) Seen(ctx context.Context, o Observable, limit int) (alerts, incidents []string, err error) {
	if err := s.db.NewSelect().Table("observable_seen").Column("alert").Where("type = ? AND value = ?", o.Type, o.Value).OrderExpr("alert").Limit(int64(limit)).Scan(ctx, &alerts); err != nil {
		return nil, nil, fmt.Errorf("observable: look for %s %q: %w", o.Type, o.Value, err)
	}
	err = s.db.NewSelect().Model((*Noted)(nil)).Column("incident").Where("type = ? AND value = ? AND removed_at = 0", o.Type, o.Value).OrderExpr("incident").Limit(int64(limit)).Scan(ctx, &incidents)
	if err != nil {
		return nil, nil, fmt.Errorf("observable: look for %s %q: %w", o.Type, o.Value, err)
	}
	return alerts, incidents, nil
}

// Noted lists what people added to an incident, removed ones too.
func (s *Store) Noted(ctx context.Context, incident string) ([]Noted, error) {
	out := []Noted{}
	if err := s.db.NewSelect().Model(&out).Where("incident = ?", incident).OrderExpr("type, value").Scan(ctx); err != nil {
		return nil, fmt.Errorf("observable: list of %s: %w", incident, err)
	}
	return out, nil
}

// Add adds an observable to an incident, or brings back one that was removed.
func (s *Store) Add(ctx context.Context, incident, by, typ, value, note string) (Noted, error) {
	o, err := Read(typ, value)
	if err != nil {
		return Noted{}, err
	}
	if utf8.RuneCountInString(note) > 1000 {
		return Noted{}, fmt.Errorf("%w: note: %d characters, at most 1000", ErrInvalid, utf8.RuneCountInString(note))
	}
	n := Noted{Incident: incident, Type: o.Type, Value: o.Value, Note: strings.TrimSpace(note), AddedBy: by, AddedAt: s.deps.Clock().UnixMilli()}
	return n, s.change(ctx, &n, by, detections.Text{ZH: "添加线索 " + o.Value, EN: "Observable added: " + o.Value}, func(old *Noted, count int) error {
		switch {
		case old != nil && old.RemovedAt == 0:
			return fmt.Errorf("%w: %s added %q already", ErrConflict, old.AddedBy, o.Value)
		case count >= maxNoted:
			return fmt.Errorf("%w: the incident has %d observables that people added, the most there may be", ErrConflict, count)
		}
		return nil
	})
}

// Remove takes an observable that somebody added off an incident; adding it
// again brings it back.
func (s *Store) Remove(ctx context.Context, incident, by string, o Observable) (Noted, error) {
	n := Noted{Incident: incident, Type: o.Type, Value: o.Value}
	return n, s.change(ctx, &n, by, detections.Text{ZH: "移除线索 " + o.Value, EN: "Observable removed: " + o.Value}, func(old *Noted, _ int) error {
		if old == nil || old.RemovedAt != 0 {
			return fmt.Errorf("%w: nobody added %s %q to %s", ErrNotFound, o.Type, o.Value, incident)
		}
		n = *old
		n.RemovedAt, n.RemovedBy = s.deps.Clock().UnixMilli(), by
		return nil
	})
}

func (s *Store) change(ctx context.Context, n *Noted, by string, text detections.Text, check func(old *Noted, count int) error) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var list []Noted
		if err := tx.NewSelect().Model(&list).Where("incident = ?", n.Incident).Scan(ctx); err != nil {
			return err
		}
		var old *Noted
		if i := slices.IndexFunc(list, func(x Noted) bool { return x.Type == n.Type && x.Value == n.Value }); i >= 0 {
			old = &list[i]
		}
		if err := check(old, len(list)); err != nil {
			return err
		}
		_, err := tx.NewInsert().Model(n).On("CONFLICT (incident, type, value) DO UPDATE").Set("note = EXCLUDED.note").Set("added_by = EXCLUDED.added_by").Set("added_at = EXCLUDED.added_at").
			Set("removed_by = EXCLUDED.removed_by").Set("removed_at = EXCLUDED.removed_at").Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		return s.deps.Timeline.Note(ctx, tx, n.Incident, "observable", by, text, map[string]any{"type": n.Type, "value": n.Value})
	})
	if err != nil {
		return fmt.Errorf("observable: %s of %s: %w", n.Type, n.Incident, err)
	}
	return nil
}
