package duty

import (
	"context"
	"crypto/rand"
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

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/linktoken"
	"icewatch/ticketing/workdays"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound  = errors.New("duty: not found")
	ErrInvalid   = errors.New("duty: invalid")
	ErrConflict  = errors.New("duty: conflict")
	ErrForbidden = errors.New("duty: forbidden")
)

// maxTeams bounds the teams: all of them stand in memory.
const maxTeams = 5000

// Deps is what the room needs.
type Deps struct {
	// Incidents tells what waits to be acknowledged, and calls people.
	// ticketing.Service implements it. It may be set after Open with Serve.
	Incidents Incidents
	Seal      *seal.Box                   // of the key of links; required, and it must know Sealed
	Holidays  func() *workdays.Holidays   // in force; nil: only weekends are off
	Known     func(name string) (ok bool) // whether there is such a user; nil: everybody is
	Clock     func() time.Time            // default time.Now
	Log       *slog.Logger                // default slog.Default()
	URL       string                      // where people reach the console: links begin with it
}

// Store keeps the teams and all that hangs on them. It is safe for concurrent
// use.
type Store struct {
	db   *state.DB
	deps Deps
	key  linktoken.Key // of links

	writing sync.Mutex // one change of what is in the snapshot at a time
	roster  atomic.Pointer[Roster]
	wake    chan struct{}
}

// Sealed names what this room keeps sealed.
func Sealed() []seal.Place { return []seal.Place{seal.Column(kindKey, "duty_keys", "id", "secret")} }

// Open brings the tables up to date and reads the teams.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.Seal == nil {
		return nil, errors.New("duty: open: Deps.Seal is nil: links are signed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Holidays == nil {
		deps.Holidays = func() *workdays.Holidays { return nil }
	}
	if deps.Known == nil {
		deps.Known = func(string) bool { return true }
	}
	if err := db.Migrate(ctx, "duty", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db, deps: deps, wake: make(chan struct{}, 1)}
	if err := s.openKey(ctx); err != nil {
		return nil, err
	}
	return s, s.Refresh(ctx)
}

// Serve sets whose incidents escalate.
func (s *Store) Serve(i Incidents) { s.deps.Incidents = i }

func (s *Store) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

// Roster is the snapshot in force.
func (s *Store) Roster() *Roster {
	r := *s.roster.Load()
	r.Holidays = s.deps.Holidays()
	return &r
}

// Assign implements ticketing.Assigner: an incident goes to the first who is on
// duty for it.
func (s *Store) Assign(q ticketing.Assignment) ticketing.Assigned {
	ask := Question{Tenant: q.Tenant, Priority: q.Priority, Owners: []string{q.Owner}, At: q.At}
	if q.System != nil {
		ask.System, ask.SysName = q.System.ID, q.System.Name
	}
	a := s.Roster().OnDuty(ask)
	if a.Team == nil {
		return ticketing.Assigned{}
	}
	out := ticketing.Assigned{Team: a.Team.ID, TeamName: a.Team.Name, Why: a.Why}
	if len(a.People) > 0 {
		out.Assignee = a.People[0]
	}
	s.nudge()
	return out
}

var _ ticketing.Assigner = (*Store)(nil)

func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

type teamRow struct {
	bun.BaseModel `bun:"table:duty_teams,alias:t"`
	ID            string `bun:"id,pk"`
	Revision      int64  `bun:"revision"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	Doc           string `bun:"doc"`
}

type overrideRow struct {
	bun.BaseModel `bun:"table:duty_overrides,alias:o"`
	Seq           int64  `bun:"seq,pk,autoincrement"`
	ID            string `bun:"id"`
	Team          string `bun:"team"`
	Swap          string `bun:"swap"`
	Doc           string `bun:"doc"`
}

// Refresh reads the snapshot anew.
func (s *Store) Refresh(ctx context.Context) error {
	var teams []teamRow
	if err := s.db.NewSelect().Model(&teams).OrderExpr("id").Scan(ctx); err != nil {
		return fmt.Errorf("duty: read the teams: %w", err)
	}
	var overrides []overrideRow
	if err := s.db.NewSelect().Model(&overrides).OrderExpr("seq").Scan(ctx); err != nil {
		return fmt.Errorf("duty: read the overrides: %w", err)
	}
	r := &Roster{Teams: make([]Team, 0, len(teams)), Overrides: make([]Override, 0, len(overrides))}
	for _, row := range teams {
		t := Team{ID: row.ID, Revision: row.Revision, UpdatedAt: time.UnixMilli(row.UpdatedAt).UTC(), UpdatedBy: row.UpdatedBy}
		if err := json.Unmarshal([]byte(row.Doc), &t.Content); err != nil {
			return fmt.Errorf("duty: read the team %s: %w", row.ID, err)
		}
		r.Teams = append(r.Teams, t)
	}
	for _, row := range overrides {
		var o Override
		if err := json.Unmarshal([]byte(row.Doc), &o); err != nil {
			return fmt.Errorf("duty: read the override %s: %w", row.ID, err)
		}
		r.Overrides = append(r.Overrides, o)
	}
	s.roster.Store(r)
	return nil
}

// change writes within a transaction and puts the outcome in force.
func (s *Store) change(ctx context.Context, f func(ctx context.Context, tx bun.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.db.RunInTx(ctx, nil, f); err != nil {
		return err
	}
	s.nudge()
	return s.Refresh(ctx)
}

func newID() string { return strings.ToLower(rand.Text()[:16]) }

// Seen tells whether the team is of the reach's business: something that it
// looks after is. One that looks after everybody is seen by who sees
// everything.
func (t *Team) Seen(r reach.Reach) bool {
	if len(t.Tenants) == 0 {
		return r.Everything()
	}
	return slices.ContainsFunc(t.Tenants, func(slug string) bool { return r.Match(reach.Facts{Tenant: slug, Unit: t.Unit}) })
}

// Covered tells whether all that the team looks after is within the reach: only
// then may it be changed.
func (t *Team) Covered(r reach.Reach) bool {
	if len(t.Tenants) == 0 {
		return r.Everything()
	}
	return !slices.ContainsFunc(t.Tenants, func(slug string) bool { return !r.Match(reach.Facts{Tenant: slug, Unit: t.Unit}) })
}

// Has tells whether the user stands in the team.
func (t *Team) Has(user string) bool { return user != "" && slices.Contains(t.Members(), user) }

// Told tells whether somebody reads what the people of the team write to one
// another, notes and hand-overs: that is of any incident of theirs. So he stands in
// it, or all that it looks after is within his reach, every row of it.
func (t *Team) Told(by ticketing.Actor) bool {
	if t.Has(by.Name) {
		return true
	}
	if by.Reach.Veil() != nil { // who writes does not mask
		return false
	}
	if len(t.Tenants) == 0 {
		return by.Reach.Everything()
	}
	return !slices.ContainsFunc(t.Tenants, func(slug string) bool { return !by.Reach.CoversWhole(slug) })
}

// told reads a team whose notes and hand-overs the actor may read.
func (s *Store) told(by ticketing.Actor, id string) (Team, error) {
	t, err := s.Team(by, id)
	if err == nil && !t.Told(by) {
		err = fmt.Errorf("%w: notes and hand-overs are for those who stand in the team, and for who sees all that it looks after", ErrForbidden)
	}
	return t, err
}

// Teams lists the teams that an actor sees: those within his reach, and those
// in which he stands.
func (s *Store) Teams(by ticketing.Actor) []Team {
	out := []Team{}
	for _, t := range s.Roster().Teams {
		if t.Seen(by.Reach) || t.Has(by.Name) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Team) int { return strings.Compare(a.Name.ZH+"\x00"+a.ID, b.Name.ZH+"\x00"+b.ID) })
	return out
}

// Team reads one that the actor sees.
func (s *Store) Team(by ticketing.Actor, id string) (Team, error) {
	if t, ok := s.Roster().Team(id); ok && (t.Seen(by.Reach) || t.Has(by.Name)) {
		return *t, nil
	}
	return Team{}, fmt.Errorf("%w: there is no team %.40q, or it is not within your reach", ErrNotFound, id)
}

// own reads a team that the actor may change.
func (s *Store) own(by ticketing.Actor, id string) (Team, error) {
	t, err := s.Team(by, id)
	if err == nil && !t.Covered(by.Reach) {
		err = fmt.Errorf("%w: the team looks after more than is within your reach", ErrForbidden)
	}
	return t, err
}

// Put makes a team (id "") or changes one. A revision that is not the one in
// force is a conflict, so that nobody overwrites what he has not seen; 0 does
// not ask.
func (s *Store) Put(ctx context.Context, by ticketing.Actor, id string, revision int64, c Content) (Team, error) {
	if err := c.Check(); err != nil {
		return Team{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, m := range c.Members() {
		if !s.deps.Known(m) {
			return Team{}, fmt.Errorf("%w: there is no user %q", ErrInvalid, m)
		}
	}
	if id != "" {
		if _, err := s.own(by, id); err != nil {
			return Team{}, err
		}
	}
	now := s.now()
	t := Team{ID: id, Revision: 1, UpdatedAt: now, UpdatedBy: by.Name, Content: c}
	if !t.Covered(by.Reach) {
		return Team{}, fmt.Errorf("%w: the team would look after more than is within your reach: name its tenants", ErrForbidden)
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return Team{}, fmt.Errorf("duty: encode a team: %w", err)
	}
	err = s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		roster := s.roster.Load()
		if id == "" {
			if len(roster.Teams) >= maxTeams {
				return fmt.Errorf("%w: there are %d teams, which is the most there may be", ErrConflict, maxTeams)
			}
			t.ID = newID()
		} else {
			old, err := s.own(by, id)
			if err != nil {
				return err
			}
			if revision != 0 && revision != old.Revision {
				return fmt.Errorf("%w: %s changed the team on %s: read it again, it is at revision %d", ErrConflict, old.UpdatedBy, old.UpdatedAt.Format(time.RFC3339), old.Revision)
			}
			t.Revision = old.Revision + 1
		}
		row := teamRow{ID: t.ID, Revision: t.Revision, UpdatedAt: now.UnixMilli(), UpdatedBy: by.Name, Doc: string(doc)}
		_, err := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").
			Set("revision = EXCLUDED.revision, updated_at = EXCLUDED.updated_at, updated_by = EXCLUDED.updated_by, doc = EXCLUDED.doc").Returning("NULL").Exec(ctx)
		if err != nil {
			return fmt.Errorf("duty: write the team %s: %w", t.ID, err)
		}
		return nil
	})
	return t, err
}

// Delete removes a team with its overrides, swaps and notes. Its incidents stay
// whose they are, and are not called about any more.
func (s *Store) Delete(ctx context.Context, by ticketing.Actor, id string) (Team, error) {
	var t Team
	err := s.change(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if t, err = s.own(by, id); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model((*teamRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("duty: delete the team %s: %w", id, err)
		}
		return nil
	})
	return t, err
}

// AddOverride puts others on duty for a while. Who stands in the team may, and
// who may change it.
func (s *Store) AddOverride(ctx context.Context, by ticketing.Actor, o Override) (Override, error) {
	t, err := s.Team(by, o.Team)
	if err != nil {
		return o, err
	}
	if !t.Covered(by.Reach) && !t.Has(by.Name) {
		return o, fmt.Errorf("%w: the team looks after more than is within your reach", ErrForbidden)
	}
	o.From, o.To = o.From.UTC().Truncate(time.Millisecond), o.To.UTC().Truncate(time.Millisecond)
	o.ID, o.By, o.Swap, o.People = newID(), by.Name, "", orEmpty(o.People)
	if err := s.checkOverride(&t, &o); err != nil {
		return o, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return o, s.change(ctx, func(ctx context.Context, tx bun.Tx) error { return writeOverride(ctx, tx, o) })
}

func (s *Store) checkOverride(t *Team, o *Override) error {
	if _, ok := t.Line(o.Line); !ok {
		return fmt.Errorf("line: the team has no line %q", o.Line)
	}
	if !o.To.After(o.From) {
		return fmt.Errorf("to: %s: want a time after from, %s", o.To.Format(time.RFC3339), o.From.Format(time.RFC3339))
	}
	if o.To.Sub(o.From) > maxDuration {
		return errors.New("to: an override lasts 400 days at most: change the layers instead")
	}
	if len(o.Note) > 1000 {
		return errors.New("note: want at most 1000 bytes")
	}
	if err := checkPeople("people", o.People); err != nil {
		return err
	}
	for _, p := range append(slices.Clone(o.People), o.Replaces) {
		if p != "" && !s.deps.Known(p) {
			return fmt.Errorf("people: there is no user %q", p)
		}
	}
	return nil
}

func writeOverride(ctx context.Context, tx bun.Tx, o Override) error {
	doc, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("duty: encode an override: %w", err)
	}
	row := overrideRow{ID: o.ID, Team: o.Team, Swap: o.Swap, Doc: string(doc)}
	if _, err := tx.NewInsert().Model(&row).ExcludeColumn("seq").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("duty: write the override %s: %w", o.ID, err)
	}
	return nil
}

// RemoveOverride takes an override back. One that a swap made goes with the
// swap only.
func (s *Store) RemoveOverride(ctx context.Context, by ticketing.Actor, id string) (Override, error) {
	var o Override
	err := s.change(ctx, func(ctx context.Context, tx bun.Tx) error {
		list := s.roster.Load().Overrides
		i := slices.IndexFunc(list, func(o Override) bool { return o.ID == id })
		if i < 0 {
			return fmt.Errorf("%w: there is no override %.40q", ErrNotFound, id)
		}
		o = list[i]
		t, err := s.Team(by, o.Team)
		switch {
		case err != nil:
			return fmt.Errorf("%w: there is no override %.40q", ErrNotFound, id)
		case !t.Covered(by.Reach) && !t.Has(by.Name):
			return fmt.Errorf("%w: the team looks after more than is within your reach", ErrForbidden)
		case o.Swap != "":
			return fmt.Errorf("%w: a swap made it: undo the swap %s", ErrConflict, o.Swap)
		}
		if _, err := tx.NewDelete().Model((*overrideRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
			return fmt.Errorf("duty: delete the override %s: %w", id, err)
		}
		return nil
	})
	return o, err
}
