// Package suppressing keeps suppressions (detections/suppression) with all their
// versions, counts what each suppressed, remembers the firings of the last weeks,
// and says of a suppression what it would have suppressed of them.
//
// SQL owns it all. The suppressions in force are compiled in memory, since every
// firing is asked about them.
package suppressing

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/uptrace/bun"

	"icewatch/detections/suppression"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound = errors.New("suppressing: not found")
	ErrInvalid  = errors.New("suppressing: invalid")
)

// Bounds of what is kept and listed.
const (
	maxKept     = 2000 // suppressions that are not deleted
	maxVersions = 100
)

// Kept is a suppression as it is kept.
type Kept struct {
	suppression.Suppression
	Version   int64
	UpdatedAt time.Time
	UpdatedBy string
	Deleted   bool // of versions: it was deleted then; the rest is as it was before
}

// State is where a suppression stands.
type State string

// The states, in the order in which suppressions are listed.
const (
	Active   State = "active"
	Disabled State = "disabled"
	Expired  State = "expired"
)

// State tells where the suppression stands at a time.
func (k *Kept) State(now time.Time) State {
	switch {
	case !now.Before(k.Expires):
		return Expired
	case k.Disabled:
		return Disabled
	}
	return Active
}

// Store keeps the suppressions. It is safe for concurrent use.
type Store struct {
	db    *state.DB
	clock func() time.Time
	log   *slog.Logger

	set  atomic.Pointer[suppression.Set]
	pack *zstd.Encoder

	changed func(ctx context.Context, in []suppression.Suppression) error

	writing sync.Mutex // one change at a time, so that the set is of the newest
	meter   meter
	lines   []byte // of Taken, used again
}

type row struct {
	bun.BaseModel `bun:"table:suppressing_versions,alias:v"`
	Version       int64  `bun:"version,pk,autoincrement"`
	ID            string `bun:"id"`
	Doc           string `bun:"doc"`
	At            int64  `bun:"at"`
	By            string `bun:"by"`
}

// Open brings the tables up to date and compiles what is in force. changed, which may
// be nil, is told what is in force, now and after each change.
func Open(ctx context.Context, db *state.DB, clock func() time.Time, log *slog.Logger, changed func(ctx context.Context, in []suppression.Suppression) error) (*Store, error) {
	if err := db.Migrate(ctx, "suppressing", migrations); err != nil {
		return nil, err
	}
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("suppressing: %w", err)
	}
	s := &Store{db: db, clock: clock, log: log, pack: pack, changed: changed}
	return s, s.reload(ctx)
}

func (s *Store) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// Set is what is in force, expired ones among it: they meet nothing.
func (s *Store) Set() *suppression.Set { return s.set.Load() }

func (s *Store) reload(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	var in []suppression.Suppression
	for _, k := range list {
		if k.State(now) == Active {
			in = append(in, k.Suppression)
		}
	}
	set, faults := suppression.Compile(in)
	for _, f := range faults { // such as a rule of the language that a newer version has no more
		s.log.Error("suppressing: a suppression cannot be compiled: it suppresses nothing", "suppression", f.ID, "error", f.Reason)
	}
	s.set.Store(set)
	if s.changed == nil {
		return nil
	}
	if in == nil {
		in = []suppression.Suppression{}
	}
	if err := s.changed(ctx, in); err != nil {
		return fmt.Errorf("suppressing: tell what is in force: %w", err)
	}
	return nil
}

// List reads the suppressions: the active ones first, the next to end first, then
// the disabled ones, then those that are over, the last to end first.
func (s *Store) List(ctx context.Context) ([]Kept, error) {
	list, err := read(ctx, s.db)
	now := s.now()
	slices.SortFunc(list, func(a, b Kept) int {
		x, y := a.State(now), b.State(now)
		order := []State{Active, Disabled, Expired}
		if x != y {
			return slices.Index(order, x) - slices.Index(order, y)
		}
		by := a.Expires.Compare(b.Expires)
		if x == Expired {
			by = -by
		}
		if by == 0 {
			by = strings.Compare(a.ID, b.ID)
		}
		return by
	})
	return list, err
}

func read(ctx context.Context, db bun.IDB) ([]Kept, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("version IN (SELECT max(version) FROM suppressing_versions GROUP BY id)").Where("doc <> ''").Scan(ctx); err != nil {
		return nil, fmt.Errorf("suppressing: read the suppressions: %w", err)
	}
	out := make([]Kept, 0, len(rows))
	for i := range rows {
		k, err := rows[i].kept()
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

func (r *row) kept() (k Kept, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &k.Suppression); err != nil {
		return k, fmt.Errorf("suppressing: read version %d of suppression %s: %w", r.Version, r.ID, err)
	}
	k.ID, k.Version, k.UpdatedAt, k.UpdatedBy = r.ID, r.Version, time.UnixMilli(r.At).UTC(), r.By
	return k, nil
}

// Get reads a suppression that is there.
func (s *Store) Get(ctx context.Context, id string) (Kept, error) { return get(ctx, s.db, id) }

func get(ctx context.Context, db bun.IDB, id string) (Kept, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("id = ?", id).Order("version DESC").Limit(1).Scan(ctx); err != nil {
		return Kept{}, fmt.Errorf("suppressing: read suppression %.64q: %w", id, err)
	}
	if len(rows) == 0 || rows[0].Doc == "" {
		return Kept{}, fmt.Errorf("suppression %.64q: %w", id, ErrNotFound)
	}
	return rows[0].kept()
}

// Put makes suppressions, or changes those whose ids are there, all or nothing. One
// without an id gets one. What they say before is handed to may, which refuses what
// must not be changed; it is nil for one that is new.
func (s *Store) Put(ctx context.Context, actor string, list []suppression.Suppression, may func(old *Kept) error) (out []Kept, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out = nil
		now := s.now()
		for i := range list {
			one := list[i]
			where := func(err error) error {
				if len(list) > 1 {
					return fmt.Errorf("%w: suppression %d of %d (%.64s): %w", ErrInvalid, i+1, len(list), one.Name, err)
				}
				return fmt.Errorf("%w: %w", ErrInvalid, err)
			}
			if one.ID == "" {
				id, err := uuid.NewV7()
				if err != nil {
					return fmt.Errorf("suppressing: make an id: %w", err)
				}
				one.ID = id.String()
			}
			one.Expires = one.Expires.UTC().Truncate(time.Millisecond)
			old, err := get(ctx, tx, one.ID)
			known := &old
			if errors.Is(err, ErrNotFound) {
				known, err = nil, nil
			}
			if err != nil {
				return err
			}
			// What is over, or is only switched off, need not be worth another year.
			at := now
			if known != nil && known.Expires.Equal(one.Expires) {
				at = known.UpdatedAt
			}
			if err := one.Check(at); err != nil {
				return where(err)
			}
			if err := may(known); err != nil {
				return err
			}
			k, err := write(ctx, tx, actor, one, now)
			if err != nil {
				return err
			}
			out = append(out, k)
		}
		all, err := read(ctx, tx)
		if err == nil && len(all) > maxKept {
			err = fmt.Errorf("%w: that would make %d suppressions, at most %d: delete some that are over", ErrInvalid, len(all), maxKept)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, s.reload(ctx)
}

func write(ctx context.Context, tx bun.Tx, actor string, one suppression.Suppression, now time.Time) (Kept, error) {
	doc, err := json.Marshal(one)
	if err != nil {
		return Kept{}, fmt.Errorf("suppressing: encode suppression %s: %w", one.ID, err)
	}
	r := row{ID: one.ID, Doc: string(doc), At: now.UnixMilli(), By: actor}
	if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
		return Kept{}, fmt.Errorf("suppressing: write suppression %s: %w", one.ID, err)
	}
	if err := prune(ctx, tx, one.ID); err != nil {
		return Kept{}, err
	}
	return r.kept()
}

func prune(ctx context.Context, tx bun.Tx, id string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM suppressing_versions WHERE id = ? AND version NOT IN (SELECT version FROM suppressing_versions WHERE id = ? ORDER BY version DESC LIMIT ?)`, id, id, maxVersions)
	if err != nil {
		return fmt.Errorf("suppressing: forget old versions of %s: %w", id, err)
	}
	return nil
}

// Delete takes a suppression away. Its versions and what it suppressed stay.
func (s *Store) Delete(ctx context.Context, actor, id string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := get(ctx, tx, id); err != nil {
			return err
		}
		r := row{ID: id, At: s.now().UnixMilli(), By: actor}
		if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
			return fmt.Errorf("suppressing: delete suppression %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.reload(ctx)
}

// Versions lists the versions of a suppression, the newest first.
func (s *Store) Versions(ctx context.Context, id string) ([]Kept, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).Order("version DESC").Limit(maxVersions + 1).Scan(ctx); err != nil {
		return nil, fmt.Errorf("suppressing: read the versions of %.64q: %w", id, err)
	}
	var out []Kept
	for i := range rows {
		r := rows[i]
		deleted := r.Doc == ""
		if deleted {
			if i+1 == len(rows) {
				break
			}
			r.Doc = rows[i+1].Doc
		}
		k, err := r.kept()
		if err != nil {
			return nil, err
		}
		k.Deleted = deleted
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("suppression %.64q: %w", id, ErrNotFound)
	}
	return out, nil
}

// SuppressionEffect is what a suppression suppressed.
type SuppressionEffect struct {
	Firings int                    `json:"firings" doc:"Firings of rules that it suppressed"`
	Events  int                    `json:"events" doc:"Events behind them"`
	Last    *time.Time             `json:"last_day,omitempty" doc:"The last day on which it suppressed anything; absent where it never did"`
	Days    []SuppressionEffectDay `json:"days" nullable:"false" doc:"The last 30 days on which it suppressed anything, in order"`
}

// SuppressionEffectDay is what a suppression suppressed on a day.
type SuppressionEffectDay struct {
	Day     time.Time `json:"day"`
	Firings int       `json:"firings"`
}

const day = 24 * time.Hour

// Effects tells what suppressions have suppressed, by id.
func (s *Store) Effects(ctx context.Context) (map[string]*SuppressionEffect, error) {
	var rows []struct {
		ID      string `bun:"id"`
		Day     int64  `bun:"day"`
		Firings int    `bun:"firings"`
		Events  int    `bun:"events"`
	}
	if err := s.db.NewRaw(`SELECT id, day, sum(firings) AS firings, sum(events) AS events FROM suppressing_effects GROUP BY id, day ORDER BY id, day`).Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("suppressing: read the effects: %w", err)
	}
	out := map[string]*SuppressionEffect{}
	for _, r := range rows {
		e := out[r.ID]
		if e == nil {
			e = &SuppressionEffect{Days: []SuppressionEffectDay{}}
			out[r.ID] = e
		}
		at := time.UnixMilli(r.Day).UTC()
		e.Firings, e.Events, e.Last = e.Firings+r.Firings, e.Events+r.Events, &at
		if e.Days = append(e.Days, SuppressionEffectDay{Day: at, Firings: r.Firings}); len(e.Days) > 30 {
			e.Days = e.Days[1:]
		}
	}
	return out, nil
}

// Notice says that somebody is to be told of a suppression's end.
type Notice struct {
	Kept
	Over bool // it has come
}

// Notices lists of which ends nobody was told: those that come within before, and
// those that have come in the last week.
func (s *Store) Notices(ctx context.Context, before time.Duration) ([]Notice, error) {
	list, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var out []Notice
	for _, k := range list {
		over := !now.Before(k.Expires)
		if k.Receiver == "" || k.Disabled || k.Expires.Sub(now) > before || now.Sub(k.Expires) > 7*day {
			continue
		}
		told, err := s.db.NewSelect().Table("suppressing_told").Where("id = ? AND expires = ? AND over = ?", k.ID, k.Expires.UnixMilli(), over).Exists(ctx)
		if err != nil {
			return nil, fmt.Errorf("suppressing: look who was told: %w", err)
		}
		if !told {
			out = append(out, Notice{Kept: k, Over: over})
		}
	}
	return out, nil
}

// Told remembers that a notice is done.
func (s *Store) Told(ctx context.Context, n *Notice) error {
	if _, err := s.db.ExecContext(ctx, `INSERT OR IGNORE INTO suppressing_told (id, expires, over) VALUES (?, ?, ?)`, n.ID, n.Expires.UnixMilli(), n.Over); err != nil {
		return fmt.Errorf("suppressing: remember that it was told of %s: %w", n.ID, err)
	}
	return nil
}
