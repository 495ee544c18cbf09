// Package silence keeps silences: for a time, alerts whose labels match raise
// no notifications. A silence means what it means in Alertmanager, whose
// matchers these are; beside that it is bounded to what its maker could see
// when it was made, so that nobody mutes what is another's.
//
// SQL owns the silences. Those that are not over stand in memory as well,
// filled from SQL at the start, since every notification asks for them.
// Undoing a silence is ending it: what was silent and when stays on record.
package silence

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// State is where a silence stands in its life.
type State string

// The states of a silence.
const (
	Pending State = "pending" // it begins later
	Active  State = "active"
	Expired State = "expired"
)

// States lists the states, in the order in which silences are listed.
var States = []State{Active, Pending, Expired}

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound  = errors.New("silence: not found")
	ErrInvalid   = errors.New("silence: invalid")
	ErrForbidden = errors.New("silence: it mutes more than is within your reach")
)

// Limits of what is kept.
const (
	maxText = 10_000 // characters of a comment
	maxBy   = 500    // characters of a maker's name
	maxKept = 10_000 // silences that are not over
	keep    = 180 * 24 * time.Hour
)

// Silence mutes the alerts that its matchers accept, from StartsAt until EndsAt.
type Silence struct {
	ID          string
	Matchers    labels.Matchers
	StartsAt    time.Time
	EndsAt      time.Time
	UpdatedAt   time.Time
	CreatedBy   string
	Comment     string
	Annotations map[string]string
	Recurrence  *Recurrence // nil for one that is once
	NoData      bool        // what it mutes is dropped and counted, not kept
	Dropped     int         // so many firings
	Owner       string      // who answers for it
	Receiver    string      // who is told before it ends and when it has; "" for nobody

	// Terms are of the reach in which it mutes at most.
	Terms reach.Terms
}

// State tells where the silence stands at a time.
func (s *Silence) State(now time.Time) State {
	switch {
	case !s.EndsAt.After(now):
		return Expired
	default:
		if _, active := s.activeAt(now); active {
			return Active
		}
		return Pending
	}
}

// Deps is what the room needs.
type Deps struct {
	// Compile compiles the terms of a reach. Required.
	Compile func(tenants []string, expressions ...string) (reach.Reach, error)
	Clock   func() time.Time // default time.Now
	Log     *slog.Logger     // default slog.Default()
	Changed func()           // optional; called after a silence was made, changed or ended
}

// Store keeps the silences. It is safe for concurrent use.
type Store struct {
	db   *state.DB
	deps Deps

	writing sync.Mutex // one change at a time

	mu   sync.RWMutex
	find *finder             // of live
	live map[string]*Silence // pending and active, and such as ended a moment ago; none is changed in place
}

// Open brings the tables up to date and reads the silences that are not over.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.Compile == nil {
		return nil, errors.New("silence: open: Deps.Compile is nil: silences are bounded")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if err := db.Migrate(ctx, "silence", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db, deps: deps, live: map[string]*Silence{}}
	list, err := s.read(ctx, db.NewSelect().Where("ends_at > ?", s.now().UnixMilli()))
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		s.live[l.ID] = l
	}
	s.find = newFinder(s.live)
	return s, nil
}

func (s *Store) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

// Reach is what the silence may mute at most, with the tenants there are now;
// nothing where its terms do not compile any more.
func (s *Store) Reach(l *Silence) reach.Reach {
	r, err := s.deps.Compile(l.Terms.Tenants, l.Terms.Expressions...)
	if err != nil {
		s.deps.Log.Error("silence: what it may mute does not compile: it mutes nothing", "silence", l.ID, "error", err)
		return reach.None()
	}
	return r
}

// Mutes lists the ids of the active silences that mute an alert with these
// labels and facts, in order; nil where none does.
func (s *Store) Mutes(set map[string]string, f reach.Facts) []string {
	return s.accepting(set, f, func(*Silence) bool { return true })
}

// Drops lists the ids of the active silences without data collection that mute
// an alert with these labels and facts, in order.
func (s *Store) Drops(set map[string]string, f reach.Facts) []string {
	return s.accepting(set, f, func(l *Silence) bool { return l.NoData })
}

// accepting lists the ids of the active silences of some kind that mute an alert
// with these labels and facts, in order.
func (s *Store) accepting(set map[string]string, f reach.Facts, kind func(*Silence) bool) (ids []string) {
	now := s.now()
	s.mu.RLock()
	find := s.find
	s.mu.RUnlock()
	for _, l := range find.accepting(set) {
		if kind(l) && l.State(now) == Active && s.Reach(l).Match(f) {
			ids = append(ids, l.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// AnyDrops tells whether a silence without data collection is active.
func (s *Store) AnyDrops() bool {
	return s.anyActive(func(l *Silence) bool { return l.NoData })
}

// CountDropped adds to how many firings silences have dropped, within the
// transaction that leaves them out.
func (s *Store) CountDropped(ctx context.Context, tx bun.Tx, by map[string]int) error {
	for _, id := range slices.Sorted(maps.Keys(by)) {
		if _, err := tx.NewUpdate().Model((*row)(nil)).Set("dropped = dropped + ?", by[id]).Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("silence: count what silence %s dropped: %w", id, err)
		}
	}
	return nil
}

// Active lists the ids of the active silences, in order.
func (s *Store) Active() []string {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []string
	for id, l := range s.live {
		if l.State(now) == Active {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Any tells whether a silence is active: where none is, nothing has to be
// matched.
func (s *Store) Any() bool {
	return s.anyActive(func(*Silence) bool { return true })
}

func (s *Store) anyActive(kind func(*Silence) bool) bool {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.live {
		if kind(l) && l.State(now) == Active {
			return true
		}
	}
	return false
}

// NextEnd is when the next of the active silences ends, zero where none is
// active.
func (s *Store) NextEnd() time.Time {
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var next time.Time
	for _, l := range s.live {
		if until, active := l.activeAt(now); active && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return next
}

// Get reads a silence.
func (s *Store) Get(ctx context.Context, id string) (*Silence, error) {
	return s.get(ctx, s.db, id)
}

func (s *Store) get(ctx context.Context, db bun.IDB, id string) (*Silence, error) {
	list, err := s.read(ctx, db.NewSelect().Where("id = ?", id))
	if err == nil && len(list) == 0 {
		return nil, fmt.Errorf("silence %.64q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// List reads the silences in these states, all where none is given: the active
// ones first, the next to end first, then those to come, the next to begin
// first, then those that are over, the last to end first.
func (s *Store) List(ctx context.Context, states ...State) ([]*Silence, error) {
	now := s.now()
	q := s.db.NewSelect()
	if len(states) > 0 && !slices.Contains(states, Expired) {
		q = q.Where("ends_at > ?", now.UnixMilli())
	}
	list, err := s.read(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(states) > 0 {
		list = slices.DeleteFunc(list, func(l *Silence) bool { return !slices.Contains(states, l.State(now)) })
	}
	slices.SortStableFunc(list, func(a, b *Silence) int {
		x, y := a.State(now), b.State(now)
		if x != y {
			return slices.Index(States, x) - slices.Index(States, y)
		}
		order := map[State]int{Active: a.EndsAt.Compare(b.EndsAt), Pending: a.StartsAt.Compare(b.StartsAt), Expired: b.EndsAt.Compare(a.EndsAt)}[x]
		if order == 0 {
			return strings.Compare(a.ID, b.ID)
		}
		return order
	})
	return list, nil
}

// Prune forgets what has been over for half a year.
func (s *Store) Prune(ctx context.Context) error {
	_, err := s.db.NewDelete().Model((*row)(nil)).Where("ends_at < ?", s.now().Add(-keep).UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("silence: forget old silences: %w", err)
	}
	return nil
}
