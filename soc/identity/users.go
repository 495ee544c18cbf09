package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// userRow is a user as SQL holds it.
type userRow struct {
	bun.BaseModel `bun:"table:identity_users,alias:u"`

	ID           string `bun:"id,pk"`
	Username     string `bun:"username"`
	DisplayName  string `bun:"display_name"`
	PasswordHash string `bun:"password_hash"`
	Roles        string `bun:"roles"`
	AllTenants   bool   `bun:"all_tenants"`
	Tenants      string `bun:"tenants"`
	Reach        string `bun:"reach"`
	Locale       string `bun:"locale"`
	MustChange   bool   `bun:"must_change_password"`
	Disabled     bool   `bun:"disabled"`
	CreatedAt    int64  `bun:"created_at"`
	UpdatedAt    int64  `bun:"updated_at"`
	LastLoginAt  *int64 `bun:"last_login_at"`
}

// user turns the row into what others see.
func (r *userRow) user() (User, error) {
	roles, err := decodeList(r.Roles)
	if err != nil {
		return User{}, err
	}
	tenants, err := decodeList(r.Tenants)
	if err != nil {
		return User{}, err
	}
	u := User{
		ID: r.ID, Username: r.Username, DisplayName: r.DisplayName, Roles: roles, Scopes: scopesOf(roles),
		AllTenants: r.AllTenants, Tenants: tenants, Reach: r.Reach, Locale: r.Locale, MustChangePassword: r.MustChange,
		Disabled: r.Disabled, CreatedAt: fromMilli(r.CreatedAt), UpdatedAt: fromMilli(r.UpdatedAt),
	}
	if r.LastLoginAt != nil {
		t := fromMilli(*r.LastLoginAt)
		u.LastLoginAt = &t
	}
	return u, nil
}

// principal is the user as the one who asks, in the given session.
func (u *User) principal(sessionID string) *Principal {
	p := &Principal{
		UserID: u.ID, Username: u.Username, DisplayName: u.DisplayName, Roles: u.Roles, Scopes: u.Scopes,
		Tenants: u.Tenants, AllTenants: u.AllTenants, Via: ViaSession, SessionID: sessionID,
	}
	if u.Reach != "" {
		p.Conditions = []string{u.Reach}
	}
	return p
}

var usernamePattern = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._@-]*$`)

// reserved are names that mean something else in timelines and the audit log.
var reserved = []string{"local", "system", "icewatch", "anonymous", "token"}

// foldUsername makes names that differ in case alone one name.
func foldUsername(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func checkUsername(name string) error {
	switch {
	case len(name) > 64 || !usernamePattern.MatchString(name):
		return invalid("the user name must be 1 to 64 bytes of letters, digits and . _ @ -, and begin with a letter or digit")
	case slices.Contains(reserved, name):
		return invalid("the user name %q is reserved", name)
	}
	return nil
}

func checkRoles(roles []string) error {
	for i, r := range roles {
		if !slices.Contains(Roles, r) {
			return invalid("the role %q is none of %s", r, strings.Join(Roles, ", "))
		}
		if slices.Contains(roles[:i], r) {
			return invalid("the role %q is given twice", r)
		}
	}
	if len(roles) == 0 {
		return invalid("a user needs at least one role of %s", strings.Join(Roles, ", "))
	}
	return nil
}

// splitTenants tells the "*" for all tenants from a list of slugs.
func splitTenants(tenants []string) (all bool, list []string, err error) {
	if slices.Contains(tenants, "*") {
		if len(tenants) > 1 {
			return false, nil, invalid("give either \"*\" for all tenants or their names, not both")
		}
		return true, []string{}, nil
	}
	list = []string{}
	for _, t := range tenants {
		if t == "" || len(t) > 128 {
			return false, nil, invalid("%q is no tenant's name", t)
		}
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return false, list, nil
}

func checkDisplayName(name string) error {
	if len(name) > 200 || !utf8.ValidString(name) {
		return invalid("the display name must be at most 200 bytes of UTF-8")
	}
	return nil
}

func checkLocale(locale string) error {
	if !slices.Contains([]string{"", "zh-CN", "zh", "en", "en-US"}, locale) {
		return invalid("the locale %q is none of zh-CN, en", locale)
	}
	return nil
}

// checkReach returns a data scope in its canonical form.
func checkReach(expression string) (string, error) {
	if strings.TrimSpace(expression) == "" {
		return "", nil
	}
	e, err := reach.Parse(expression)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return e.String(), nil
}

// Bootstrap is what EnsureAdmin did.
type Bootstrap struct {
	Created   bool
	Username  string
	Generated string // the password, where none was given: to be shown once and kept nowhere
	Weak      bool   // the password given would not meet the policy and must be changed
}

// EnsureAdmin makes the first administrator, "admin", where there is no user
// yet, with the password given or a generated one. Once there are users it
// does nothing, whatever the password.
func (s *Service) EnsureAdmin(ctx context.Context, password string) (Bootstrap, error) {
	n, err := s.db.NewSelect().Model((*userRow)(nil)).Count(ctx)
	if err != nil {
		return Bootstrap{}, fmt.Errorf("identity: count the users: %w", err)
	}
	b := Bootstrap{Username: "admin"}
	if n > 0 {
		return b, nil
	}
	if password == "" {
		b.Generated = generatePassword()
		password = b.Generated
	} else if len(password) > maxPassword {
		return Bootstrap{}, fmt.Errorf("identity: the first administrator's password is longer than %d bytes", maxPassword)
	} else {
		b.Weak = s.checkPassword(password, b.Username) != nil
	}
	hash, err := s.hasher.Hash(ctx, password)
	if err != nil {
		return Bootstrap{}, err
	}
	now := s.now().UnixMilli()
	row := &userRow{
		ID: newID("usr_"), Username: b.Username, DisplayName: "Administrator", PasswordHash: hash,
		Roles: encodeList([]string{RoleAdmin}), AllTenants: true, Tenants: "[]",
		MustChange: b.Weak || b.Generated != "", CreatedAt: now, UpdatedAt: now,
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		return s.keepPassword(ctx, tx, row.ID, hash)
	})
	if err != nil {
		return Bootstrap{}, fmt.Errorf("identity: create the first administrator: %w", err)
	}
	b.Created = true
	return b, nil
}

// User returns one user.
func (s *Service) User(ctx context.Context, id string) (User, error) {
	row, err := s.userRow(ctx, "u.id = ?", id)
	if err != nil {
		return User{}, err
	}
	return row.user()
}

func (s *Service) userRow(ctx context.Context, where string, arg any) (*userRow, error) {
	row := new(userRow)
	err := s.db.NewSelect().Model(row).Where(where, arg).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read a user: %w", err)
	}
	return row, nil
}

// Users lists all users by name.
func (s *Service) Users(ctx context.Context) ([]User, error) {
	var rows []userRow
	if err := s.db.NewSelect().Model(&rows).Order("u.username").Scan(ctx); err != nil {
		return nil, fmt.Errorf("identity: list the users: %w", err)
	}
	users := make([]User, 0, len(rows))
	for i := range rows {
		u, err := rows[i].user()
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// CreateUser makes a user, who must change the password at the first sign-in:
// somebody else knows it.
func (s *Service) CreateUser(ctx context.Context, n NewUser) (User, error) {
	name := foldUsername(n.Username)
	all, tenants, err := splitTenants(n.Tenants)
	scope, wrong := checkReach(n.Reach)
	if err := errors.Join(err, wrong, checkUsername(name), checkRoles(n.Roles), checkDisplayName(n.DisplayName), checkLocale(n.Locale)); err != nil {
		return User{}, firstOf(err)
	}
	if err := s.checkPassword(n.Password, name, n.DisplayName); err != nil {
		return User{}, err
	}
	if n.DisplayName == "" {
		n.DisplayName = name
	}
	hash, err := s.hasher.Hash(ctx, n.Password)
	if err != nil {
		return User{}, err
	}
	now := s.now().UnixMilli()
	row := &userRow{
		ID: newID("usr_"), Username: name, DisplayName: n.DisplayName, PasswordHash: hash, Roles: encodeList(n.Roles),
		AllTenants: all, Tenants: encodeList(tenants), Reach: scope, Locale: n.Locale, MustChange: true, CreatedAt: now, UpdatedAt: now,
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		taken, err := tx.NewSelect().Model((*userRow)(nil)).Where("u.username = ?", name).Exists(ctx)
		if err != nil {
			return err
		}
		if taken {
			return ErrExists
		}
		if _, err = tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		return s.keepPassword(ctx, tx, row.ID, hash)
	})
	if errors.Is(err, ErrExists) {
		return User{}, fmt.Errorf("user %q: %w", name, ErrExists)
	}
	if err != nil {
		return User{}, fmt.Errorf("identity: create the user %q: %w", name, err)
	}
	return row.user()
}

// firstOf takes the first of joined errors: one fault at a time is what a
// person can mend.
func firstOf(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) > 0 {
		return j.Unwrap()[0]
	}
	return err
}

// UpdateUser changes a user. What the user may do changes with the next
// request; a new password or disabling ends the user's sessions. The last
// administrator over all tenants can be neither disabled nor demoted.
func (s *Service) UpdateUser(ctx context.Context, id string, ch UserChange) (User, error) {
	var hash string
	if ch.Password != nil {
		row, err := s.userRow(ctx, "u.id = ?", id)
		if err != nil {
			return User{}, err
		}
		if err := s.checkPassword(*ch.Password, row.Username, row.DisplayName); err != nil {
			return User{}, err
		}
		if hash, err = s.hasher.Hash(ctx, *ch.Password); err != nil {
			return User{}, err
		}
	}
	row := new(userRow)
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.NewSelect().Model(row).Where("u.id = ?", id).Scan(ctx); errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		if err := ch.apply(row); err != nil {
			return err
		}
		if hash != "" {
			row.PasswordHash, row.MustChange = hash, true
		}
		row.UpdatedAt = s.now().UnixMilli()
		if _, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if hash != "" {
			if err := s.keepPassword(ctx, tx, id, hash); err != nil {
				return err
			}
		}
		if hash != "" || row.Disabled {
			if _, err := tx.ExecContext(ctx, "DELETE FROM identity_sessions WHERE user_id = ?", id); err != nil {
				return err
			}
		}
		if ch.Roles == nil && ch.Tenants == nil && ch.Reach == nil && ch.Disabled == nil {
			return nil
		}
		return keepsAdmin(ctx, tx)
	})
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) {
			return User{}, err
		}
		return User{}, fmt.Errorf("identity: change the user %q: %w", id, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == id })
	return row.user()
}

// apply checks the changes and puts them into the row.
func (ch UserChange) apply(row *userRow) error {
	if ch.DisplayName != nil {
		if err := checkDisplayName(*ch.DisplayName); err != nil {
			return err
		}
		row.DisplayName = *ch.DisplayName
	}
	if ch.Roles != nil {
		if err := checkRoles(*ch.Roles); err != nil {
			return err
		}
		row.Roles = encodeList(*ch.Roles)
	}
	if ch.Tenants != nil {
		all, list, err := splitTenants(*ch.Tenants)
		if err != nil {
			return err
		}
		row.AllTenants, row.Tenants = all, encodeList(list)
	}
	if ch.Reach != nil {
		scope, err := checkReach(*ch.Reach)
		if err != nil {
			return err
		}
		row.Reach = scope
	}
	if ch.Locale != nil {
		if err := checkLocale(*ch.Locale); err != nil {
			return err
		}
		row.Locale = *ch.Locale
	}
	if ch.Disabled != nil {
		row.Disabled = *ch.Disabled
	}
	return nil
}

// keepsAdmin fails where nobody would be left who can administer.
func keepsAdmin(ctx context.Context, tx bun.Tx) error {
	var rows []userRow
	if err := tx.NewSelect().Model(&rows).Column("roles").Where("NOT u.disabled AND u.all_tenants AND u.reach = ''").Scan(ctx); err != nil {
		return err
	}
	for i := range rows {
		roles, err := decodeList(rows[i].Roles)
		if err != nil {
			return err
		}
		if slices.Contains(roles, RoleAdmin) {
			return nil
		}
	}
	return invalid("this is the last administrator over all tenants: make another one first")
}
