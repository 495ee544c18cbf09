// Package access keeps who may do what: roles, the groups, posts and projects
// that people belong to, and the grants that give a role to one of them,
// perhaps at times and in places only. It hands the policy engine what it
// decides on and holds the separation of the three powers: while it is on, no
// person comes to hold two of system, security and audit administration
// (GB/T 22239-2019, 8.1.5).
package access

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/soc/identity/policy"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such role, group or grant.
	ErrNotFound = errors.New("there is no such role, group or grant")
	// ErrInvalid says that something cannot be kept like this; the error that wraps it says why.
	ErrInvalid = errors.New("not valid")
	// ErrConflict says that a name is taken or a thing still in use.
	ErrConflict = errors.New("in use")
	// ErrPowers says that somebody would hold two of the three powers.
	ErrPowers = errors.New("the three powers are apart")
)

// Text is a name in the suite's two languages.
type Text = tenancy.Text

// Separation is the setting that keeps the three powers apart.
type Separation struct {
	Enabled bool `json:"enabled"`
}

// Store is the room's door. It is safe for concurrent use.
type Store struct {
	db     *state.DB
	log    *slog.Logger
	engine *policy.Engine
	now    func() time.Time

	separation *settings.Setting[Separation]
	opened     bool

	mu         sync.Mutex // guards what follows and orders changes of the policy's data
	roles      map[string]Role
	operations []policy.Operation
	changed    []func()
}

// Open prepares the tables, after those of soc/identity, and loads the roles.
// The engine refuses everything until SetOperations is called.
func Open(ctx context.Context, db *state.DB, set *settings.Store, engine *policy.Engine, log *slog.Logger) (*Store, error) {
	if err := db.Migrate(ctx, "access", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db, log: log, engine: engine, now: time.Now}
	var err error
	if s.roles, err = s.loadRoles(ctx); err != nil {
		return nil, err
	}
	s.separation, err = settings.Declare(ctx, set, "separation", policy.ScopeSecurity, Separation{}, s.checkSeparation, func(Separation) {
		if s.opened {
			s.refreshOrLog()
		}
	})
	s.opened = true
	return s, err
}

// Separated tells whether the three powers are apart.
func (s *Store) Separated() bool { return s.separation.Get().Enabled }

// Separate sets whether the three powers are apart.
func (s *Store) Separate(ctx context.Context, on bool, by string) error {
	return s.separation.Set(ctx, Separation{Enabled: on}, by)
}

// Engine returns the policy engine that the store feeds.
func (s *Store) Engine() *policy.Engine { return s.engine }

// OnChange has f called when what people hold may have changed beyond one
// user. Call it before the store is in use.
func (s *Store) OnChange(f func()) { s.changed = append(s.changed, f) }

func (s *Store) tell() {
	for _, f := range s.changed {
		f()
	}
}

// SetOperations tells what there is to be done; the engine decides from now on.
func (s *Store) SetOperations(ctx context.Context, ops []policy.Operation) error {
	s.mu.Lock()
	s.operations = slices.Clone(ops)
	s.mu.Unlock()
	return s.refresh(ctx)
}

// refresh hands the engine the roles as they are.
func (s *Store) refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := policy.Data{Operations: s.operations, Roles: map[string]policy.Role{}, Separation: s.Separated(), Admin: policy.AllScopes}
	local := policy.AllScopes
	if d.Separation {
		// The first administrator keeps the system; who owns the machine can read
		// and write its data anyway, and gets neither of the other two powers.
		d.Admin = []string{policy.ScopeSystem}
		local = []string{policy.ScopeIngest, policy.ScopeRead, policy.ScopeRespond, policy.ScopeConfigure, policy.ScopeSystem}
	}
	for id, r := range s.roles {
		d.Roles[id] = policy.Role{Scopes: r.Scopes, Operations: r.Operations, Delegated: r.Delegated}
	}
	d.Roles[LocalRole] = policy.Role{Scopes: local, Operations: []string{}}
	return s.engine.SetData(ctx, d)
}

func (s *Store) refreshOrLog() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.refresh(ctx); err != nil {
		s.log.Error("access: the change is not in force: decisions go by what was before", "error", err)
	}
}

// PowersOf unites the powers that roles reach into while the powers are apart.
func (s *Store) PowersOf(roles []string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, p := range policy.Powers {
		if slices.ContainsFunc(roles, func(id string) bool { return s.reaches(s.roles[id], p) }) {
			out = append(out, p)
		}
	}
	return out
}

// reaches tells whether a role reaches into the power while they are apart.
// The caller holds the lock.
func (s *Store) reaches(r Role, power string) bool {
	if r.Delegated {
		return false // acting for one's own unit is no power over the suite
	}
	if slices.Contains(r.Scopes, power) || power == policy.ScopeSystem && slices.Contains(r.Scopes, policy.ScopeAdmin) {
		return true
	}
	return slices.ContainsFunc(s.operations, func(o policy.Operation) bool {
		return o.Scope == power && slices.Contains(r.Operations, o.ID)
	})
}

// CheckHolder says whether a user with these direct roles, beside what grants
// give him, would hold two of the three powers. Roles that do not exist are
// ErrInvalid. userID is "" for a user who is about to be made.
func (s *Store) CheckHolder(ctx context.Context, userID string, direct []string) error {
	s.mu.Lock()
	for _, r := range direct {
		if _, ok := s.roles[r]; !ok {
			s.mu.Unlock()
			return fmt.Errorf("%w: there is no role %.80q", ErrInvalid, r)
		}
	}
	s.mu.Unlock()
	if !s.Separated() {
		return nil
	}
	granted, err := s.grantedRoles(ctx, userID)
	if err != nil {
		return err
	}
	return s.checkPowers("the user", append(slices.Clone(direct), granted...))
}

func (s *Store) checkPowers(who string, roles []string) error {
	if p := s.PowersOf(roles); len(p) > 1 {
		return fmt.Errorf("%w: %s would hold %s: take one of these roles away first: %s", ErrPowers, who, strings.Join(p, " and "), strings.Join(roles, ", "))
	}
	return nil
}

// checkSeparation refuses to separate the powers while somebody holds two of
// them, or while nobody could exercise one.
func (s *Store) checkSeparation(v Separation) error {
	if !v.Enabled || !s.opened {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.checkAll(ctx)
}

// holder is a user with all roles he holds, bound or not.
type holder struct {
	name     string
	disabled bool
	direct   []string
	roles    []string
}

func (s *Store) checkAll(ctx context.Context) error {
	holders, err := s.holders(ctx)
	if err != nil {
		return err
	}
	can := map[string]bool{}
	for _, h := range holders {
		if err := s.checkPowers("the user "+h.name, h.roles); err != nil {
			return err
		}
		if !h.disabled {
			for _, p := range s.PowersOf(h.direct) {
				can[p] = true
			}
		}
	}
	for _, p := range policy.Powers {
		if !can[p] {
			return fmt.Errorf("%w: nobody holds %s administration: give an enabled user such a role first", ErrPowers, p)
		}
	}
	return nil
}

// holders lists everybody who holds a role that reaches into a power.
func (s *Store) holders(ctx context.Context) ([]holder, error) {
	var reaching []string
	s.mu.Lock()
	for id, r := range s.roles {
		for _, p := range policy.Powers {
			if s.reaches(r, p) {
				reaching = append(reaching, id)
				break
			}
		}
	}
	s.mu.Unlock()
	// The list of roles is short; users are many: the database looks for those.
	args := make([]any, 0, 2*len(reaching))
	marks := strings.TrimSuffix(strings.Repeat("?,", len(reaching)), ",")
	for range 3 {
		for _, r := range reaching {
			args = append(args, r)
		}
	}
	rows, err := s.db.Read.QueryContext(ctx, `SELECT u.id, u.username, u.disabled, 1, r.value FROM identity_users u, json_each(u.roles) r WHERE r.value IN (`+marks+`)
		UNION SELECT u.id, u.username, u.disabled, 0, g.role FROM access_grants g JOIN identity_users u ON u.id = g.user_id WHERE g.role IN (`+marks+`)
		UNION SELECT u.id, u.username, u.disabled, 0, g.role FROM access_grants g JOIN access_members m ON m.group_id = g.group_id
			JOIN identity_users u ON u.id = m.user_id WHERE g.role IN (`+marks+`) ORDER BY 1`, args...)
	if err != nil {
		return nil, fmt.Errorf("access: list who holds a power: %w", err)
	}
	defer rows.Close()
	var out []holder
	last := ""
	for rows.Next() {
		var id, name, role string
		var disabled, direct bool
		if err := rows.Scan(&id, &name, &disabled, &direct, &role); err != nil {
			return nil, fmt.Errorf("access: list who holds a power: %w", err)
		}
		if id != last {
			out, last = append(out, holder{name: name, disabled: disabled}), id
		}
		h := &out[len(out)-1]
		h.roles = append(h.roles, role)
		if direct {
			h.direct = append(h.direct, role)
		}
	}
	return out, rows.Err()
}

// CheckRemains fails where nobody would be left to administer, now that a
// user was changed: an enabled user must hold the role admin directly, or each
// of the three powers where they are apart.
func (s *Store) CheckRemains(ctx context.Context, left [][]string) error {
	if !s.Separated() {
		if slices.ContainsFunc(left, func(roles []string) bool { return slices.Contains(roles, "admin") }) {
			return nil
		}
		return fmt.Errorf("%w: this is the last administrator over all tenants: make another one first", ErrInvalid)
	}
	for _, p := range policy.Powers {
		if !slices.ContainsFunc(left, func(roles []string) bool { return slices.Contains(s.PowersOf(roles), p) }) {
			return fmt.Errorf("%w: this is the last user with %s administration: make another one first", ErrInvalid, p)
		}
	}
	return nil
}

// ReachingRoles lists the roles that reach into any of the three powers, for
// whoever looks for administrators.
func (s *Store) ReachingRoles() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for id, r := range s.roles {
		if slices.ContainsFunc(policy.Powers, func(p string) bool { return s.reaches(r, p) }) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
