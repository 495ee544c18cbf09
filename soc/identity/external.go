package identity

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/access"
)

var (
	// ErrNoAccount says that an identity provider vouches for somebody who has
	// no account, where none is made at sign-in.
	ErrNoAccount = errors.New("there is no account for this user of the identity provider")
	// ErrDisabled says that somebody has proved who he is, and that his account
	// is disabled.
	ErrDisabled = errors.New("the account is disabled")
)

// noPassword is the hash of an account whose password is kept elsewhere: no
// password has it.
const noPassword = "!"

// ExternalUser is a user as an identity provider and the mapping of its claims
// describe him.
type ExternalUser struct {
	Provider    string // id of the provider
	Subject     string // the provider's name for him, for ever
	Username    string
	DisplayName string
	Email       string
	Unit        string   // id in soc/units, "" for none
	Roles       []string // all of his roles, not only new ones
	Tenants     []string // slugs, or "*" alone for all
	Disabled    bool     // the provider lets him in no more; only Provider and Subject are looked at then
}

// ExternalOutcome is what SyncExternal did with a user.
type ExternalOutcome string

// The outcomes.
const (
	ExternalUnchanged ExternalOutcome = "unchanged"
	ExternalCreated   ExternalOutcome = "created"
	ExternalChanged   ExternalOutcome = "changed"
	ExternalDisabled  ExternalOutcome = "disabled"
	ExternalEnabled   ExternalOutcome = "enabled" // he was disabled by a sync and is back
	ExternalFailed    ExternalOutcome = "failed"
)

// ExternalResult is what became of one user.
type ExternalResult struct {
	Username string
	Outcome  ExternalOutcome
	Detail   string // what changed, or why it failed
}

// ExternalAccount is an account that belongs to somebody at a provider.
type ExternalAccount struct {
	Subject  string
	UserID   string
	Username string
	Disabled bool
}

// external is an account with its link, as SQL holds them.
type external struct {
	userRow `bun:",extend"`

	Subject string `bun:"subject"`
	Gone    bool   `bun:"gone"`
}

// CheckGrant tells why no account can be given the roles and tenants: because
// one does not exist, or because the powers are kept apart.
func (s *Service) CheckGrant(ctx context.Context, roles, tenants []string) error {
	if _, _, err := splitTenants(tenants); err != nil {
		return err
	}
	return s.checkRoles(ctx, "", roles)
}

// ExternalAccounts lists the accounts of a provider by user name.
func (s *Service) ExternalAccounts(ctx context.Context, provider string) ([]ExternalAccount, error) {
	out := []ExternalAccount{}
	err := s.db.NewSelect().TableExpr("identity_external AS x").Join("JOIN identity_users AS u ON u.id = x.user_id").
		ColumnExpr("x.subject, x.user_id, u.username, u.disabled").Where("x.provider = ?", provider).Order("u.username").Scan(ctx, &out)
	if err != nil {
		return nil, fmt.Errorf("identity: list the accounts of the provider %q: %w", provider, err)
	}
	return out, nil
}

// EnsureExternal returns the account of somebody a provider vouches for,
// brought up to date with what it says: name, roles, tenants, unit. Where there
// is none it makes one, or answers ErrNoAccount unless create is set. An account
// that an administrator disabled is ErrDisabled. An account of the same user
// name that does not belong to him is never taken over: ErrExists.
func (s *Service) EnsureExternal(ctx context.Context, u ExternalUser, create bool) (userID string, err error) {
	known, err := s.linked(ctx, u.Provider, []string{u.Subject})
	if err != nil {
		return "", err
	}
	have := known[u.Subject]
	if have == nil && !create {
		return "", fmt.Errorf("%w: %q of %s", ErrNoAccount, clip(u.Username, 64), u.Provider)
	}
	if have != nil && have.Disabled && !have.Gone || u.Disabled {
		return "", fmt.Errorf("%w: %q", ErrDisabled, clip(u.Username, 64))
	}
	p, err := s.planExternal(ctx, u, have)
	if err != nil {
		return "", err
	}
	if p.outcome != ExternalUnchanged {
		if err := s.applyExternal(ctx, u.Provider, []*externalPlan{p}); err != nil {
			return "", err
		}
	}
	return p.row.ID, nil
}

// SyncExternal brings accounts up to date with what a directory says, and makes
// those that are missing. One that cannot be kept does not keep the others from
// it: the results, one for each user in order, tell. With dryRun nothing
// changes.
func (s *Service) SyncExternal(ctx context.Context, users []ExternalUser, dryRun bool) ([]ExternalResult, error) {
	if len(users) == 0 {
		return nil, nil
	}
	provider := users[0].Provider
	subjects := make([]string, len(users))
	for i, u := range users {
		if u.Provider != provider {
			return nil, fmt.Errorf("identity: a sync holds users of %q and of %q", provider, u.Provider)
		}
		subjects[i] = u.Subject
	}
	known, err := s.linked(ctx, provider, subjects)
	if err != nil {
		return nil, err
	}
	results := make([]ExternalResult, len(users))
	var plans []*externalPlan
	taken := map[string]bool{}
	for i, u := range users {
		res := &results[i]
		res.Username = foldUsername(u.Username)
		p, err := s.planExternal(ctx, u, known[u.Subject])
		if err == nil && p.outcome == ExternalCreated {
			if err = s.free(ctx, p.row.Username, ""); err == nil && taken[p.row.Username] {
				err = fmt.Errorf("user %q: %w: two entries of the directory have it", p.row.Username, ErrExists)
			}
			taken[p.row.Username] = true
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExists) && !errors.Is(err, ErrNoAccount) {
				return nil, err
			}
			res.Outcome, res.Detail = ExternalFailed, err.Error()
			continue
		}
		res.Outcome, res.Detail = p.outcome, strings.Join(p.changes, "; ")
		if res.Username == "" {
			res.Username = p.row.Username
		}
		if p.outcome != ExternalUnchanged {
			plans = append(plans, p)
		}
	}
	if dryRun || len(plans) == 0 {
		return results, nil
	}
	return results, s.applyExternal(ctx, provider, plans)
}

// DisableExternal disables the accounts of those whom a provider lets in no
// more, and ends their sessions. The last administrator's is not disabled: the
// error says so, and none is.
func (s *Service) DisableExternal(ctx context.Context, provider string, subjects []string) error {
	known, err := s.linked(ctx, provider, subjects)
	if err != nil {
		return err
	}
	var plans []*externalPlan
	for _, have := range known {
		p, err := s.planExternal(ctx, ExternalUser{Provider: provider, Subject: have.Subject, Disabled: true}, have)
		if err != nil {
			return err
		}
		if p.outcome == ExternalDisabled {
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 {
		return nil
	}
	return s.applyExternal(ctx, provider, plans)
}

// linked reads the accounts of subjects.
func (s *Service) linked(ctx context.Context, provider string, subjects []string) (map[string]*external, error) {
	out := make(map[string]*external, len(subjects))
	for part := range slices.Chunk(subjects, 500) {
		var rows []external
		err := s.db.NewSelect().Model(&rows).ColumnExpr("u.*, x.subject, x.gone").Join("JOIN identity_external AS x ON x.user_id = u.id").
			Where("x.provider = ? AND x.subject IN (?)", provider, bun.List(part)).Scan(ctx)
		if err != nil {
			return nil, fmt.Errorf("identity: read the accounts of the provider %q: %w", provider, err)
		}
		for i := range rows {
			out[rows[i].Subject] = &rows[i]
		}
	}
	return out, nil
}

// free tells whether nobody but the user has the name.
func (s *Service) free(ctx context.Context, name, userID string) error {
	other, err := s.userRow(ctx, "u.username = ?", name)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case other.ID != userID:
		return fmt.Errorf("user %q: %w by an account that does not belong to this user of the provider: rename one of them", name, ErrExists)
	}
	return nil
}

// externalPlan is how an account shall be.
type externalPlan struct {
	row     userRow
	subject string
	gone    bool
	outcome ExternalOutcome
	changes []string
	rights  bool // what he may do changes, or whether he may come in
}

// planExternal compares an account, nil where there is none, with what the
// provider says.
func (s *Service) planExternal(ctx context.Context, u ExternalUser, have *external) (*externalPlan, error) {
	p := &externalPlan{subject: u.Subject, outcome: ExternalUnchanged}
	if u.Subject == "" || len(u.Subject) > 1024 {
		return nil, invalid("the provider's name for the user must be 1 to 1024 bytes, not %d", len(u.Subject))
	}
	now := s.now().UnixMilli()
	if have != nil {
		p.row, p.gone = have.userRow, have.Gone
	}
	if u.Disabled {
		if have == nil {
			return nil, fmt.Errorf("%w, and the provider lets him in no more", ErrNoAccount)
		}
		if !p.row.Disabled {
			p.row.Disabled, p.gone, p.rights, p.row.UpdatedAt = true, true, true, now
			p.outcome, p.changes = ExternalDisabled, []string{"the provider lets him in no more"}
		}
		return p, nil
	}
	name := foldUsername(u.Username)
	all, tenants, err := splitTenants(u.Tenants)
	if err := errors.Join(err, checkUsername(name), checkDisplayName(u.DisplayName)); err != nil {
		return nil, firstOf(err)
	}
	if u.DisplayName == "" {
		u.DisplayName = name
	}
	// Directories hold many an address that is none; it is not worth a user.
	if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email || len(u.Email) > 254 {
		u.Email = ""
	}
	roles := slices.Sorted(slices.Values(u.Roles))
	tenants = slices.Sorted(slices.Values(tenants))
	set := func(what string, to *string, value string) bool {
		if *to == value {
			return false
		}
		*to = value
		p.changes = append(p.changes, what+" "+value)
		return true
	}
	if have == nil {
		p.row = userRow{ID: newID("usr_"), PasswordHash: noPassword, Tags: "[]", Source: u.Provider, CreatedAt: now}
		p.outcome = ExternalCreated
	}
	if p.row.Username != name {
		if err := s.free(ctx, name, p.row.ID); err != nil {
			return nil, err
		}
		set("username", &p.row.Username, name)
	}
	set("display_name", &p.row.DisplayName, u.DisplayName)
	set("email", &p.row.Email, u.Email)
	// A unit is a data scope: to move somebody changes what he sees.
	moved := set("unit", &p.row.Unit, u.Unit)
	if set("roles", &p.row.Roles, encodeList(roles)) {
		p.rights = true
		id := p.row.ID
		if have == nil {
			id = ""
		}
		if err := s.checkRoles(ctx, id, roles); errors.Is(err, access.ErrInvalid) || errors.Is(err, access.ErrPowers) {
			return nil, invalid("%v", err)
		} else if err != nil {
			return nil, err
		}
	}
	p.rights = set("tenants", &p.row.Tenants, encodeList(tenants)) || moved || p.rights
	if p.row.AllTenants != all {
		p.row.AllTenants, p.rights = all, true
		p.changes = append(p.changes, fmt.Sprintf("all_tenants %t", all))
	}
	back := p.row.Disabled && p.gone
	if back {
		p.row.Disabled, p.gone, p.rights = false, false, true
		p.changes = append(p.changes, "back at the provider")
	}
	if len(p.changes) == 0 {
		return p, nil
	}
	p.row.UpdatedAt = now
	switch {
	case have == nil:
	case back:
		p.outcome = ExternalEnabled
	default:
		p.outcome = ExternalChanged
	}
	return p, nil
}

// applyExternal makes the plans so, all or none.
func (s *Service) applyExternal(ctx context.Context, provider string, plans []*externalPlan) error {
	changed := map[string]bool{}
	fewer := false
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, p := range plans {
			if p.outcome == ExternalCreated {
				if _, err := tx.NewInsert().Model(&p.row).Exec(ctx); err != nil {
					return taken(err, p.row.Username)
				}
				if _, err := tx.ExecContext(ctx, "INSERT INTO identity_external (provider, subject, user_id, gone, linked_at) VALUES (?, ?, ?, FALSE, ?)",
					provider, p.subject, p.row.ID, p.row.CreatedAt); err != nil {
					return err
				}
				continue
			}
			// Only what the provider decides: the rest may have changed meanwhile.
			res, err := tx.NewUpdate().Model(&p.row).Column("username", "display_name", "email", "unit", "roles", "tenants", "all_tenants", "disabled", "updated_at").WherePK().Exec(ctx)
			if err != nil {
				return taken(err, p.row.Username)
			}
			if n, err := res.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				return ErrNotFound // removed meanwhile
			}
			if _, err := tx.ExecContext(ctx, "UPDATE identity_external SET gone = ? WHERE provider = ? AND subject = ?", p.gone, provider, p.subject); err != nil {
				return err
			}
			if p.row.Disabled {
				if _, err := tx.ExecContext(ctx, "DELETE FROM identity_sessions WHERE user_id = ?", p.row.ID); err != nil {
					return err
				}
			}
			changed[p.row.ID] = true
			fewer = fewer || p.rights
		}
		if !fewer {
			return nil
		}
		err := s.keepsAdmin(ctx, tx, s.access.ReachingRoles())
		if errors.Is(err, access.ErrInvalid) {
			return invalid("%v", err)
		}
		return err
	})
	if err != nil {
		if errors.Is(err, ErrInvalid) || errors.Is(err, ErrExists) || errors.Is(err, ErrNotFound) {
			return err
		}
		return fmt.Errorf("identity: keep %d accounts of the provider %q: %w", len(plans), provider, err)
	}
	if len(changed) > 0 {
		s.forgetWhere(func(_ string, e *entry) bool { return changed[e.userID] })
	}
	return nil
}

// taken says of an error whether it is that the user name is another's.
func taken(err error, name string) error {
	if err != nil && strings.Contains(err.Error(), "identity_users.username") {
		return fmt.Errorf("user %q: %w", name, ErrExists)
	}
	return err
}

// EndExternal ends the sessions of somebody at a provider that were opened with
// a second factor of ours on top ("oidc+totp"), and returns how many: these the
// provider does not know by a name of its own.
func (s *Service) EndExternal(ctx context.Context, provider, subject string) (int, error) {
	known, err := s.linked(ctx, provider, []string{subject})
	if err != nil || known[subject] == nil {
		return 0, err
	}
	return s.endSessions(ctx, known[subject].ID, "channel LIKE ?", ChannelOIDC+"+%")
}
