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
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
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
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.live {
		if l.NoData && l.State(now) == Active {
			return true
		}
	}
	return false
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
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.live {
		if l.State(now) == Active {
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

// Set makes a silence, or changes the one whose id it carries, within the reach
// given. As in Alertmanager only the end of an active silence may change, and
// its texts, and of one to come also when it begins; any other change ends the
// old silence and makes a new one, with a new id. So does a change of one that
// is over. A silence that began in the past begins now.
func (s *Store) Set(ctx context.Context, within reach.Reach, l Silence) (Silence, error) {
	made, err := s.SetAll(ctx, within, []Silence{l})
	if err != nil {
		return Silence{}, err
	}
	return made[0], nil
}

// SetAll is Set for several, all or nothing.
func (s *Store) SetAll(ctx context.Context, within reach.Reach, list []Silence) ([]Silence, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	var made []Silence
	var changed []*Silence
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		made, changed = nil, nil
		now := s.now()
		for n := range list {
			l := list[n]
			old, err := s.prepare(ctx, tx, within, &l, now)
			if err != nil {
				if len(list) > 1 {
					return fmt.Errorf("silence %d of %d: %w", n+1, len(list), err)
				}
				return err
			}
			if old != nil {
				changed = append(changed, old)
			}
			changed = append(changed, &l)
			made = append(made, l)
		}
		for _, l := range changed {
			if err := write(ctx, tx, l); err != nil {
				return err
			}
		}
		return s.room(now, changed)
	})
	if err != nil {
		return nil, err
	}
	s.take(changed)
	return made, nil
}

// prepare makes l complete and decides under which id it goes on. It returns
// the silence that ends for it, if one does.
func (s *Store) prepare(ctx context.Context, tx bun.Tx, within reach.Reach, l *Silence, now time.Time) (old *Silence, err error) {
	l.StartsAt, l.EndsAt = l.StartsAt.UTC().Truncate(time.Millisecond), l.EndsAt.UTC().Truncate(time.Millisecond)
	if l.StartsAt.Before(time.UnixMilli(1)) {
		l.StartsAt = now
	}
	if l.Recurrence != nil {
		own := *l.Recurrence
		l.Recurrence = &own
		if err := own.compile(l.StartsAt); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	if err := check(l, now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if l.ID != "" {
		if old, err = s.get(ctx, tx, l.ID); err != nil {
			return nil, err
		}
		if !within.Covers(s.Reach(old)) {
			return nil, fmt.Errorf("silence %s: %w", l.ID, ErrForbidden)
		}
		within = s.Reach(old) // whoever sees more does not widen it
	}
	if l.Terms, err = termsOf(within, l.Matchers); err != nil {
		return nil, err
	}
	l.UpdatedAt = now
	if old != nil {
		if goesOn(old, l, now) {
			return nil, nil
		}
		if old.State(now) == Expired {
			old = nil
		} else {
			end(old, now)
		}
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("silence: make an id: %w", err)
	}
	l.ID, l.Dropped = id.String(), 0
	if l.StartsAt.Before(now) && l.Recurrence == nil {
		l.StartsAt = now
	}
	return old, nil
}

// goesOn tells whether a silence may become another under the same id.
func goesOn(old, l *Silence, now time.Time) bool {
	if !slices.EqualFunc(old.Matchers, l.Matchers, func(a, b *labels.Matcher) bool { return a.Name == b.Name && a.Type == b.Type && a.Value == b.Value }) {
		return false
	}
	switch old.State(now) {
	case Active:
		if (old.Recurrence == nil) != (l.Recurrence == nil) || old.NoData != l.NoData || old.Recurrence != nil && (old.Recurrence.Rule != l.Recurrence.Rule || old.Recurrence.Lasts != l.Recurrence.Lasts || old.Recurrence.Zone != l.Recurrence.Zone) {
			return false
		}
		if old.StartsAt.Unix() != l.StartsAt.Unix() {
			return false
		}
		l.StartsAt = old.StartsAt
		return true
	case Pending:
		return !l.StartsAt.Before(now)
	default:
		return false
	}
}

// end makes a silence be over from now on; one to come never began.
func end(l *Silence, now time.Time) {
	if l.StartsAt.After(now) {
		l.StartsAt = now
	}
	l.EndsAt, l.UpdatedAt = now, now
}

func check(l *Silence, now time.Time) error {
	if err := CheckMatchers(l.Matchers); err != nil {
		return err
	}
	switch {
	case l.EndsAt.Before(time.UnixMilli(1)):
		return errors.New("end time: it is missing")
	case l.EndsAt.Before(l.StartsAt):
		return fmt.Errorf("end time %s: it must not be before the start time %s", l.EndsAt.Format(time.RFC3339), l.StartsAt.Format(time.RFC3339))
	case !l.EndsAt.After(now):
		return fmt.Errorf("end time %s: it can't be in the past", l.EndsAt.Format(time.RFC3339))
	case utf8.RuneCountInString(l.Owner) > maxBy || !utf8.ValidString(l.Owner) || len(l.Receiver) > maxBy:
		return fmt.Errorf("owner, receiver: want at most %d characters of UTF-8", maxBy)
	case strings.TrimSpace(l.CreatedBy) == "":
		return errors.New("created by: it is missing")
	case utf8.RuneCountInString(l.CreatedBy) > maxBy || !utf8.ValidString(l.CreatedBy):
		return fmt.Errorf("created by: want at most %d characters of UTF-8", maxBy)
	case utf8.RuneCountInString(l.Comment) > maxText || !utf8.ValidString(l.Comment):
		return fmt.Errorf("comment: want at most %d characters of UTF-8", maxText)
	}
	size := 0
	for k, v := range l.Annotations {
		size += len(k) + len(v)
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return fmt.Errorf("annotation %.40q: want UTF-8", k)
		}
	}
	if size > maxText {
		return fmt.Errorf("annotations: %d bytes, at most %d", size, maxText)
	}
	return nil
}

// termsOf bounds a silence to a reach and, where its matchers name one tenant,
// to that.
func termsOf(within reach.Reach, matchers labels.Matchers) (reach.Terms, error) {
	for _, m := range matchers {
		if m.Name == "tenant" && m.Type == labels.MatchEqual {
			within = within.Narrow([]string{m.Value})
		}
	}
	t, ok := within.Terms()
	if !ok {
		return t, fmt.Errorf("%w: it can mute nothing: no tenant that the matchers allow is within your reach", ErrInvalid)
	}
	return t, nil
}

// room refuses what would be too many silences at a time.
func (s *Store) room(now time.Time, changed []*Silence) error {
	ids := map[string]bool{}
	s.mu.RLock()
	for id, l := range s.live {
		if l.State(now) != Expired {
			ids[id] = true
		}
	}
	s.mu.RUnlock()
	for _, l := range changed {
		if l.State(now) == Expired {
			delete(ids, l.ID)
		} else {
			ids[l.ID] = true
		}
	}
	if len(ids) > maxKept {
		return fmt.Errorf("%w: that would make %d silences at a time, at most %d: end some that are not needed", ErrInvalid, len(ids), maxKept)
	}
	return nil
}

// Expire ends a silence now. One that is over stays as it is.
func (s *Store) Expire(ctx context.Context, within reach.Reach, id string) (Silence, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	l, err := s.Get(ctx, id)
	if err != nil {
		return Silence{}, err
	}
	if !within.Covers(s.Reach(l)) {
		return Silence{}, fmt.Errorf("silence %s: %w", id, ErrForbidden)
	}
	now := s.now()
	if l.State(now) == Expired {
		return *l, nil
	}
	end(l, now)
	if err := write(ctx, s.db, l); err != nil {
		return Silence{}, err
	}
	s.take([]*Silence{l})
	return *l, nil
}

// take puts changes in force and tells of them.
func (s *Store) take(changed []*Silence) {
	now := s.now()
	s.mu.Lock()
	maps.DeleteFunc(s.live, func(_ string, l *Silence) bool { return l.State(now) == Expired })
	for _, l := range changed {
		if l.State(now) == Expired {
			delete(s.live, l.ID)
		} else {
			s.live[l.ID] = l
		}
	}
	s.find = newFinder(s.live)
	s.mu.Unlock()
	if s.deps.Changed != nil {
		s.deps.Changed()
	}
}

// Prune forgets what has been over for half a year.
func (s *Store) Prune(ctx context.Context) error {
	_, err := s.db.NewDelete().Model((*row)(nil)).Where("ends_at < ?", s.now().Add(-keep).UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("silence: forget old silences: %w", err)
	}
	return nil
}

type row struct {
	bun.BaseModel `bun:"table:silence_silences,alias:s"`
	ID            string `bun:"id,pk"`
	Matchers      string `bun:"matchers"`
	StartsAt      int64  `bun:"starts_at"`
	EndsAt        int64  `bun:"ends_at"`
	UpdatedAt     int64  `bun:"updated_at"`
	CreatedBy     string `bun:"created_by"`
	Comment       string `bun:"comment"`
	Annotations   string `bun:"annotations"`
	Reach         string `bun:"reach"`
	Rule          string `bun:"rrule"`
	Lasts         int64  `bun:"lasts"`
	Zone          string `bun:"zone"`
	NoData        bool   `bun:"no_data"`
	Dropped       int    `bun:"dropped"`
	Owner         string `bun:"owner"`
	Receiver      string `bun:"receiver"`
	Noticed       string `bun:"noticed"`
}

func (s *Store) read(ctx context.Context, q *bun.SelectQuery) ([]*Silence, error) {
	var rows []row
	if err := q.Model(&rows).OrderExpr("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("silence: read silences: %w", err)
	}
	list := make([]*Silence, 0, len(rows))
	for _, r := range rows {
		l := &Silence{ID: r.ID, StartsAt: time.UnixMilli(r.StartsAt).UTC(), EndsAt: time.UnixMilli(r.EndsAt).UTC(),
			UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), CreatedBy: r.CreatedBy, Comment: r.Comment, NoData: r.NoData, Dropped: r.Dropped, Owner: r.Owner, Receiver: r.Receiver}
		err := errors.Join(json.Unmarshal([]byte(r.Matchers), &l.Matchers), json.Unmarshal([]byte(r.Reach), &l.Terms))
		if r.Rule != "" {
			l.Recurrence = &Recurrence{Rule: r.Rule, Lasts: time.Duration(r.Lasts) * time.Millisecond, Zone: r.Zone}
			err = errors.Join(err, l.Recurrence.compile(l.StartsAt))
		}
		if r.Annotations != "" {
			err = errors.Join(err, json.Unmarshal([]byte(r.Annotations), &l.Annotations))
		}
		if err != nil {
			return nil, fmt.Errorf("silence: read silence %s: %w", r.ID, err)
		}
		list = append(list, l)
	}
	return list, nil
}

func write(ctx context.Context, db bun.IDB, l *Silence) error {
	matchers, err1 := json.Marshal(l.Matchers)
	terms, err2 := json.Marshal(l.Terms)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("silence: encode silence %s: %w", l.ID, err)
	}
	r := row{ID: l.ID, Matchers: string(matchers), StartsAt: l.StartsAt.UnixMilli(), EndsAt: l.EndsAt.UnixMilli(), UpdatedAt: l.UpdatedAt.UnixMilli(),
		CreatedBy: l.CreatedBy, Comment: l.Comment, Reach: string(terms), NoData: l.NoData, Dropped: l.Dropped, Owner: l.Owner, Receiver: l.Receiver}
	if l.Recurrence != nil {
		r.Rule, r.Lasts, r.Zone = l.Recurrence.Rule, l.Recurrence.Lasts.Milliseconds(), l.Recurrence.Zone
	}
	if len(l.Annotations) > 0 {
		a, err := json.Marshal(l.Annotations)
		if err != nil {
			return fmt.Errorf("silence: encode silence %s: %w", l.ID, err)
		}
		r.Annotations = string(a)
	}
	_, err := db.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("matchers = EXCLUDED.matchers, starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at, updated_at = EXCLUDED.updated_at, created_by = EXCLUDED.created_by, comment = EXCLUDED.comment, annotations = EXCLUDED.annotations, reach = EXCLUDED.reach, rrule = EXCLUDED.rrule, lasts = EXCLUDED.lasts, zone = EXCLUDED.zone, no_data = EXCLUDED.no_data, owner = EXCLUDED.owner, receiver = EXCLUDED.receiver, noticed = ''").
		Returning("NULL").Exec(ctx)
	if err != nil {
		return fmt.Errorf("silence: write silence %s: %w", l.ID, err)
	}
	return nil
}

// Notice is that a silence ends soon, or has ended, for whoever owns it.
type Notice struct {
	Silence
	Over bool
}

// Notices lists what owners have to be told: of silences that end within a time
// and last longer than that, and of such as have ended. Told notes that they
// were.
func (s *Store) Notices(ctx context.Context, within time.Duration) ([]Notice, error) {
	now := s.now()
	list, err := s.read(ctx, s.db.NewSelect().Where("receiver <> ''").
		Where("noticed = '' AND ends_at > ? AND ends_at <= ? AND ends_at - starts_at > ? OR noticed <> 'over' AND ends_at <= ?",
			now.UnixMilli(), now.Add(within).UnixMilli(), within.Milliseconds(), now.UnixMilli()))
	if err != nil {
		return nil, err
	}
	var out []Notice
	for _, l := range list {
		out = append(out, Notice{*l, !l.EndsAt.After(now)})
	}
	return out, nil
}

// Told notes that the owner was told.
func (s *Store) Told(ctx context.Context, n *Notice) error {
	word := "soon"
	if n.Over {
		word = "over"
	}
	if _, err := s.db.NewUpdate().Model((*row)(nil)).Set("noticed = ?", word).Where("id = ?", n.ID).Exec(ctx); err != nil {
		return fmt.Errorf("silence: note that the owner of %s was told: %w", n.ID, err)
	}
	return nil
}
