package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/access"
)

// UserQuery narrows and pages a list of users. Empty fields do not narrow.
type UserQuery struct {
	Query    string   // part of name, display name, e-mail or telephone
	Units    []string // ids; nil is every unit and none
	Role     string   // held directly or by grant
	Group    string   // id
	Tag      string
	Source   *string
	Disabled *bool
	Limit    int    // 50 where 0, at most 1000
	Cursor   string // Next of the page before
}

// UserPage is a part of the list, by user name.
type UserPage struct {
	Items []User
	Total int
	Next  string // "" on the last page
}

// Users lists users by name.
func (s *Service) Users(ctx context.Context, q UserQuery) (UserPage, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 1000)
	where := func(sel *bun.SelectQuery) *bun.SelectQuery {
		if q.Query != "" {
			like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(q.Query)) + "%"
			sel = sel.Where(`(u.username LIKE ? ESCAPE '\' OR lower(u.display_name) LIKE ? ESCAPE '\' OR lower(u.email) LIKE ? ESCAPE '\' OR u.phone LIKE ? ESCAPE '\')`,
				like, like, like, like)
		}
		if q.Units != nil {
			sel = sel.Where("u.unit IN (?)", bun.List(append([]string{"-"}, q.Units...)))
		}
		if q.Role != "" {
			sel = sel.Where(`(EXISTS (SELECT 1 FROM json_each(u.roles) r WHERE r.value = ?) OR u.id IN (SELECT user_id FROM access_grants WHERE role = ? AND user_id IS NOT NULL)
				OR u.id IN (SELECT m.user_id FROM access_members m JOIN access_grants g ON g.group_id = m.group_id WHERE g.role = ?))`, q.Role, q.Role, q.Role)
		}
		if q.Group != "" {
			sel = sel.Where("u.id IN (SELECT user_id FROM access_members WHERE group_id = ?)", q.Group)
		}
		if q.Tag != "" {
			sel = sel.Where("EXISTS (SELECT 1 FROM json_each(u.tags) t WHERE t.value = ?)", q.Tag)
		}
		if q.Source != nil {
			sel = sel.Where("u.source = ?", *q.Source)
		}
		if q.Disabled != nil {
			sel = sel.Where("u.disabled = ?", *q.Disabled)
		}
		return sel
	}
	total, err := where(s.db.NewSelect().Model((*userRow)(nil))).Count(ctx)
	if err != nil {
		return UserPage{}, fmt.Errorf("identity: count the users: %w", err)
	}
	var rows []userRow
	sel := where(s.db.NewSelect().Model(&rows)).Order("u.username").Limit(int64(q.Limit) + 1)
	if q.Cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(q.Cursor)
		if err != nil {
			return UserPage{}, invalid("the cursor is none that a list gave")
		}
		sel = sel.Where("u.username > ?", string(after))
	}
	if err := sel.Scan(ctx); err != nil {
		return UserPage{}, fmt.Errorf("identity: list the users: %w", err)
	}
	page := UserPage{Items: make([]User, 0, len(rows)), Total: int(total)}
	for i := range rows {
		if i == q.Limit {
			page.Next = base64.RawURLEncoding.EncodeToString([]byte(rows[i-1].Username))
			break
		}
		u, err := rows[i].user()
		if err != nil {
			return UserPage{}, err
		}
		page.Items = append(page.Items, u)
	}
	return page, nil
}

// UserByName returns the user of that name.
func (s *Service) UserByName(ctx context.Context, name string) (User, error) {
	row, err := s.userRow(ctx, "u.username = ?", foldUsername(name))
	if err != nil {
		return User{}, err
	}
	return row.user()
}

// DeleteUser removes an account with its sessions, memberships and grants at
// once. What it did stays in the audit log and in timelines under its name.
// The last administrator cannot be removed.
func (s *Service) DeleteUser(ctx context.Context, id string) (User, error) {
	var u User
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		row := new(userRow)
		if err := tx.NewSelect().Model(row).Where("u.id = ?", id).Limit(1).Scan(ctx); err != nil {
			return ErrNotFound
		}
		var err error
		if u, err = row.user(); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.keepsAdmin(ctx, tx, u.Roles)
	})
	if errors.Is(err, ErrNotFound) || errors.Is(err, access.ErrInvalid) {
		return u, err
	}
	if err != nil {
		return u, fmt.Errorf("identity: remove the user %q: %w", id, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == id })
	return u, nil
}

// CountUsers tells how many users belong to a unit.
func (s *Service) CountUsers(ctx context.Context, unit string) (int, error) {
	n, err := s.db.NewSelect().Model((*userRow)(nil)).Where("u.unit = ?", unit).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("identity: count the users of %q: %w", unit, err)
	}
	return int(n), nil
}

// Avatar returns a user's picture as PNG, or ErrNotFound where he has none.
func (s *Service) Avatar(ctx context.Context, userID string) ([]byte, error) {
	var image []byte
	rows, err := s.db.Read.QueryContext(ctx, "SELECT image FROM identity_avatars WHERE user_id = ?", userID)
	if err != nil {
		return nil, fmt.Errorf("identity: read the picture of %q: %w", userID, err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, errors.Join(ErrNotFound, rows.Err())
	}
	if err := rows.Scan(&image); err != nil {
		return nil, fmt.Errorf("identity: read the picture of %q: %w", userID, err)
	}
	return image, nil
}

// SetAvatar keeps a user's picture, which the caller has checked; nil removes it.
func (s *Service) SetAvatar(ctx context.Context, userID string, png []byte) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var at any
		query, args := "DELETE FROM identity_avatars WHERE user_id = ?", []any{userID}
		if png != nil {
			at = s.now().UnixMilli()
			query, args = "INSERT INTO identity_avatars (user_id, image) VALUES (?, ?) ON CONFLICT (user_id) DO UPDATE SET image = excluded.image", []any{userID, png}
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE identity_users SET avatar_at = ? WHERE id = ?", at, userID)
		return err
	})
	if err != nil {
		return fmt.Errorf("identity: keep the picture of %q: %w", userID, err)
	}
	return nil
}

// CheckUser says what keeps a user from being created, and creates nothing.
func (s *Service) CheckUser(ctx context.Context, n NewUser) error {
	name := foldUsername(n.Username)
	_, _, err := splitTenants(n.Tenants)
	err = errors.Join(err, checkUsername(name), checkDisplayName(n.DisplayName), checkLocale(n.Locale),
		checkProfile(n.Email, n.Phone, n.Tags, n.ValidFrom, n.ValidUntil))
	if err != nil {
		return firstOf(err)
	}
	if err := s.checkRoles(ctx, "", n.Roles); err != nil {
		return err
	}
	return s.checkPassword(n.Password, name, n.DisplayName)
}

// Changes tells whether the change would make the user any different.
func (ch UserChange) Changes(u User) bool {
	differs := func(to *string, is string) bool { return to != nil && *to != is }
	return differs(ch.DisplayName, u.DisplayName) || differs(ch.Email, u.Email) || differs(ch.Phone, u.Phone) || differs(ch.Unit, u.Unit) ||
		differs(ch.Locale, u.Locale) || ch.Roles != nil && !slices.Equal(*ch.Roles, u.Roles) || ch.Tags != nil && !slices.Equal(*ch.Tags, u.Tags) ||
		ch.Disabled != nil && *ch.Disabled != u.Disabled || ch.Password != nil || ch.Tenants != nil || ch.ValidFrom != nil || ch.ValidUntil != nil
}
