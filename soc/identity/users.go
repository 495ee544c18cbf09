package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/access"
	"icewatch/soc/identity/policy"
	"icewatch/soc/reach"
)

// userRow is a user as SQL holds it.
type userRow struct {
	bun.BaseModel `bun:"table:identity_users,alias:u"`

	ID           string `bun:"id,pk"`
	Username     string `bun:"username"`
	DisplayName  string `bun:"display_name"`
	Email        string `bun:"email"`
	Phone        string `bun:"phone"`
	Unit         string `bun:"unit"`
	Tags         string `bun:"tags"`
	Source       string `bun:"source"`
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
	ValidFrom    *int64 `bun:"valid_from"`
	ValidUntil   *int64 `bun:"valid_until"`
	AvatarAt     *int64 `bun:"avatar_at"`
}

// usable tells whether somebody may be signed in to the account at the time.
func (r *userRow) usable(at time.Time) bool {
	now := at.UnixMilli()
	return !r.Disabled && (r.ValidFrom == nil || now >= *r.ValidFrom) && (r.ValidUntil == nil || now < *r.ValidUntil)
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
	tags, err := decodeList(r.Tags)
	if err != nil {
		return User{}, err
	}
	u := User{
		ID: r.ID, Username: r.Username, DisplayName: r.DisplayName, Roles: roles, Email: r.Email, Phone: r.Phone, Unit: r.Unit, Tags: tags, Source: r.Source,
		AllTenants: r.AllTenants, Tenants: tenants, Reach: r.Reach, Locale: r.Locale, MustChangePassword: r.MustChange,
		Disabled: r.Disabled, CreatedAt: fromMilli(r.CreatedAt), UpdatedAt: fromMilli(r.UpdatedAt),
	}
	if r.AvatarAt != nil {
		u.AvatarURL = fmt.Sprintf("/api/v1/users/%s/avatar?v=%d", r.ID, *r.AvatarAt)
	}
	u.LastLoginAt, u.ValidFrom, u.ValidUntil = timeOf(r.LastLoginAt), timeOf(r.ValidFrom), timeOf(r.ValidUntil)
	return u, nil
}

func timeOf(ms *int64) *time.Time {
	if ms == nil {
		return nil
	}
	t := fromMilli(*ms)
	return &t
}

func milliOf(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func (u *User) conditions() []string {
	if u.Reach == "" {
		return nil
	}
	return []string{u.Reach}
}

// principal is the user as the one who asks, in the given session.
func (s *Service) principal(ctx context.Context, u *User, sessionID string) (*Principal, error) {
	grants, err := s.access.Of(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	subject, err := policy.Subject{Roles: u.Roles, Grants: grants}.Prepare()
	if err != nil {
		return nil, err
	}
	return &Principal{
		UserID: u.ID, Username: u.Username, DisplayName: u.DisplayName, Roles: u.Roles, Granted: rolesOf(grants), Unit: u.Unit,
		Tenants: u.Tenants, AllTenants: u.AllTenants, Conditions: u.conditions(), Via: ViaSession, SessionID: sessionID, Subject: subject,
	}, nil
}

// rolesOf lists the roles of grants.
func rolesOf(grants []policy.Grant) []string {
	list := make([]string, len(grants))
	for i, g := range grants {
		list[i] = g.Role
	}
	return list
}

// PrincipalOf returns a user as he would be if he asked, for whoever wants to
// know what he may do.
func (s *Service) PrincipalOf(ctx context.Context, userID string) (*Principal, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return nil, err
	}
	return s.principal(ctx, &u, "")
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

// checkRoles holds the roles of a user against those there are and against the
// separation of the three powers.
func (s *Service) checkRoles(ctx context.Context, userID string, roles []string) error {
	for i, r := range roles {
		if slices.Contains(roles[:i], r) {
			return invalid("the role %q is given twice", r)
		}
	}
	return s.access.CheckHolder(ctx, userID, roles)
}

// checkProfile bounds what a user record says of a person.
func checkProfile(email, phone string, tags []string, from, until *time.Time) error {
	if email != "" {
		if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
			return invalid("%.80q is no e-mail address", email)
		}
	}
	if phone != "" && !phonePattern.MatchString(phone) {
		return invalid("%.40q is no telephone number: digits, spaces, + - ( ) and an extension after x", phone)
	}
	if len(tags) > 50 {
		return invalid("more than 50 tags")
	}
	for _, t := range tags {
		if t == "" || len(t) > 100 || strings.ContainsFunc(t, unicode.IsControl) {
			return invalid("the tag %.80q must be 1 to 100 bytes without control characters", t)
		}
	}
	if from != nil && until != nil && !from.Before(*until) {
		return invalid("the account's life must begin before it ends")
	}
	return nil
}

var phonePattern = regexp.MustCompile(`^[+0-9(][0-9 ()-]{1,30}(x[0-9]{1,8})?$`)

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
		b.Generated = GeneratePassword()
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
		Roles: encodeList([]string{RoleAdmin}), AllTenants: true, Tenants: "[]", Tags: "[]",
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

// CreateUser makes a user, who must change the password at the first sign-in:
// somebody else knows it.
func (s *Service) CreateUser(ctx context.Context, n NewUser) (User, error) {
	name := foldUsername(n.Username)
	all, tenants, err := splitTenants(n.Tenants)
	scope, wrong := checkReach(n.Reach)
	if err := errors.Join(err, wrong, checkUsername(name), checkDisplayName(n.DisplayName), checkLocale(n.Locale),
		checkProfile(n.Email, n.Phone, n.Tags, n.ValidFrom, n.ValidUntil)); err != nil {
		return User{}, firstOf(err)
	}
	if err := s.checkRoles(ctx, "", n.Roles); err != nil {
		return User{}, err
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
		Email: n.Email, Phone: n.Phone, Unit: n.Unit, Tags: encodeList(n.Tags), Source: n.Source, ValidFrom: milliOf(n.ValidFrom), ValidUntil: milliOf(n.ValidUntil),
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
	if ch.Roles != nil {
		if err := s.checkRoles(ctx, id, *ch.Roles); err != nil {
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
		before, err := decodeList(row.Roles)
		if err != nil {
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
		if ch.Roles == nil && ch.Tenants == nil && ch.Reach == nil && ch.Disabled == nil && ch.ValidUntil == nil {
			return nil
		}
		return s.keepsAdmin(ctx, tx, before)
	})
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalid) || errors.Is(err, access.ErrInvalid) {
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
		row.Roles = encodeList(*ch.Roles)
	}
	for _, c := range []struct{ to, from *string }{{&row.Email, ch.Email}, {&row.Phone, ch.Phone}, {&row.Unit, ch.Unit}} {
		if c.from != nil {
			*c.to = strings.TrimSpace(*c.from)
		}
	}
	if ch.Tags != nil {
		row.Tags = encodeList(*ch.Tags)
	}
	if ch.ValidFrom != nil {
		row.ValidFrom = milliOf(*ch.ValidFrom)
	}
	if ch.ValidUntil != nil {
		row.ValidUntil = milliOf(*ch.ValidUntil)
	}
	tags, err := decodeList(row.Tags)
	if err != nil {
		return err
	}
	if err := checkProfile(row.Email, row.Phone, tags, timeOf(row.ValidFrom), timeOf(row.ValidUntil)); err != nil {
		return err
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

// keepsAdmin fails where nobody would be left who can administer, now that a
// user who had the roles before has changed or gone.
func (s *Service) keepsAdmin(ctx context.Context, tx bun.Tx, before []string) error {
	var rows []userRow
	roles := s.access.ReachingRoles()
	if !slices.ContainsFunc(before, func(r string) bool { return slices.Contains(roles, r) }) {
		return nil
	}
	err := tx.NewSelect().Model(&rows).Column("roles").Where("NOT u.disabled AND u.all_tenants AND u.reach = '' AND (u.valid_until IS NULL OR u.valid_until > ?)", s.now().UnixMilli()).
		Where("EXISTS (SELECT 1 FROM json_each(u.roles) r WHERE r.value IN (?))", bun.List(roles)).Limit(1000).Scan(ctx)
	if err != nil {
		return err
	}
	left := make([][]string, len(rows))
	for i := range rows {
		if left[i], err = decodeList(rows[i].Roles); err != nil {
			return err
		}
	}
	return s.access.CheckRemains(ctx, left)
}
