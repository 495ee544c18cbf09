package access

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// Kinds are what a group can be: people put together for any reason, a post
// (岗位) that people fill, a project that people work on.
var Kinds = []string{"group", "post", "project"}

// Group is people who are given roles together.
type Group struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"` // of Kinds
	Name        Text      `json:"name"`
	Description string    `json:"description"`
	Unit        string    `json:"unit"` // "" is the whole city's
	Members     int       `json:"members"`
	CreatedAt   time.Time `json:"created_at"`
}

// GroupChange changes what is not nil.
type GroupChange struct {
	Name        *Text
	Description *string
	Unit        *string
}

// Member is somebody in a group.
type Member struct {
	ID          string    `json:"id"`
	Username    string    `json:"username"`
	DisplayName string    `json:"display_name"`
	Unit        string    `json:"unit"`
	Since       time.Time `json:"since"`
}

// GroupQuery narrows a list of groups. Empty fields do not.
type GroupQuery struct {
	Kind, Query string
	Units       []string // nil is every unit
	User        string   // groups that the user is in
}

// Groups lists groups by name, at most 1000.
func (s *Store) Groups(ctx context.Context, q GroupQuery) ([]Group, error) {
	sel := s.db.NewSelect().TableExpr("access_groups AS g").
		ColumnExpr("g.id, g.kind, g.name_zh, g.name_en, g.description, g.unit, g.created_at, (SELECT count(*) FROM access_members m WHERE m.group_id = g.id)").
		OrderExpr("g.kind, g.name_zh, g.name_en, g.id").Limit(1000)
	if q.Kind != "" {
		sel = sel.Where("g.kind = ?", q.Kind)
	}
	if q.Query != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(q.Query)) + "%"
		sel = sel.Where(`lower(g.name_zh || ' ' || g.name_en || ' ' || g.description) LIKE ? ESCAPE '\'`, like)
	}
	if q.Units != nil {
		sel = sel.Where("g.unit IN (?)", bun.List(append([]string{"-"}, q.Units...)))
	}
	if q.User != "" {
		sel = sel.Where("g.id IN (SELECT group_id FROM access_members WHERE user_id = ?)", q.User)
	}
	rows, err := sel.Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("access: list the groups: %w", err)
	}
	defer rows.Close()
	out := []Group{}
	for rows.Next() {
		var g Group
		var at int64
		if err := rows.Scan(&g.ID, &g.Kind, &g.Name.ZH, &g.Name.EN, &g.Description, &g.Unit, &at, &g.Members); err != nil {
			return nil, fmt.Errorf("access: list the groups: %w", err)
		}
		g.CreatedAt = fromMilli(at)
		out = append(out, g)
	}
	return out, rows.Err()
}

// Group returns one group.
func (s *Store) Group(ctx context.Context, id string) (Group, error) {
	g := Group{ID: id}
	var at int64
	err := s.db.Read.QueryRowContext(ctx, `SELECT kind, name_zh, name_en, description, unit, created_at, (SELECT count(*) FROM access_members WHERE group_id = ?)
		FROM access_groups WHERE id = ?`, id, id).Scan(&g.Kind, &g.Name.ZH, &g.Name.EN, &g.Description, &g.Unit, &at, &g.Members)
	if errors.Is(err, sql.ErrNoRows) {
		return g, fmt.Errorf("%w: group %.80q", ErrNotFound, id)
	}
	if err != nil {
		return g, fmt.Errorf("access: read the group %s: %w", id, err)
	}
	g.CreatedAt = fromMilli(at)
	return g, nil
}

// CreateGroup makes a group.
func (s *Store) CreateGroup(ctx context.Context, g Group) (Group, error) {
	if !slices.Contains(Kinds, g.Kind) {
		return g, fmt.Errorf("%w: the kind %.80q is none of %s", ErrInvalid, g.Kind, strings.Join(Kinds, ", "))
	}
	g.ID, g.Members, g.CreatedAt = "grp_"+strings.ToLower(rand.Text()[:16]), 0, s.now().UTC().Truncate(time.Millisecond)
	return g, s.keepGroup(ctx, g)
}

// UpdateGroup changes a group.
func (s *Store) UpdateGroup(ctx context.Context, id string, ch GroupChange) (Group, error) {
	g, err := s.Group(ctx, id)
	if err != nil {
		return g, err
	}
	if ch.Name != nil {
		g.Name = *ch.Name
	}
	if ch.Description != nil {
		g.Description = *ch.Description
	}
	if ch.Unit != nil {
		g.Unit = *ch.Unit
	}
	return g, s.keepGroup(ctx, g)
}

func (s *Store) keepGroup(ctx context.Context, g Group) error {
	if err := checkName(g.Name); err != nil {
		return err
	}
	if len(g.Description) > 2000 {
		return fmt.Errorf("%w: the description is longer than 2000 bytes", ErrInvalid)
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO access_groups (id, kind, name_zh, name_en, description, unit, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, description = excluded.description, unit = excluded.unit, updated_at = excluded.updated_at`,
		g.ID, g.Kind, g.Name.ZH, g.Name.EN, g.Description, g.Unit, g.CreatedAt.UnixMilli(), s.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("access: keep the group %s: %w", g.ID, err)
	}
	return nil
}

// DeleteGroup removes a group with its grants: its members lose what it gave.
func (s *Store) DeleteGroup(ctx context.Context, id string) error {
	res, err := s.db.ExecContext(ctx, "DELETE FROM access_groups WHERE id = ?", id)
	if err != nil {
		return fmt.Errorf("access: remove the group %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%w: group %.80q", ErrNotFound, id)
	}
	s.tell()
	return nil
}

// Members lists who is in a group, by name, at most 10,000.
func (s *Store) Members(ctx context.Context, id string) ([]Member, error) {
	if _, err := s.Group(ctx, id); err != nil {
		return nil, err
	}
	rows, err := s.db.Read.QueryContext(ctx, `SELECT u.id, u.username, u.display_name, u.unit, m.since FROM access_members m JOIN identity_users u ON u.id = m.user_id
		WHERE m.group_id = ? ORDER BY u.username LIMIT 10000`, id)
	if err != nil {
		return nil, fmt.Errorf("access: list the members of %s: %w", id, err)
	}
	defer rows.Close()
	out := []Member{}
	for rows.Next() {
		var m Member
		var since int64
		if err := rows.Scan(&m.ID, &m.Username, &m.DisplayName, &m.Unit, &since); err != nil {
			return nil, fmt.Errorf("access: list the members of %s: %w", id, err)
		}
		m.Since = fromMilli(since)
		out = append(out, m)
	}
	return out, rows.Err()
}

// AddMember puts a user into a group; being in it already is no error.
func (s *Store) AddMember(ctx context.Context, id, userID string) error {
	if _, err := s.Group(ctx, id); err != nil {
		return err
	}
	direct, err := s.directRoles(ctx, userID)
	if err != nil {
		return err
	}
	if s.Separated() {
		granted, err := s.grantedRoles(ctx, userID)
		if err != nil {
			return err
		}
		given, err := s.rolesOfGroup(ctx, id)
		if err != nil {
			return err
		}
		if err := s.checkPowers("the user", slices.Concat(direct, granted, given)); err != nil {
			return err
		}
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO access_members (group_id, user_id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", id, userID, s.now().UnixMilli()); err != nil {
		return fmt.Errorf("access: add %s to %s: %w", userID, id, err)
	}
	s.tell()
	return nil
}

// RemoveMember takes a user out of a group.
func (s *Store) RemoveMember(ctx context.Context, id, userID string) error {
	res, err := s.db.ExecContext(ctx, "DELETE FROM access_members WHERE group_id = ? AND user_id = ?", id, userID)
	if err != nil {
		return fmt.Errorf("access: take %s out of %s: %w", userID, id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%w: %.80q is not in the group %.80q", ErrNotFound, userID, id)
	}
	s.tell()
	return nil
}

func (s *Store) rolesOfGroup(ctx context.Context, id string) ([]string, error) {
	return s.column(ctx, "SELECT role FROM access_grants WHERE group_id = ?", id)
}

// grantedRoles lists the roles that grants give the user, bound or not.
func (s *Store) grantedRoles(ctx context.Context, userID string) ([]string, error) {
	if userID == "" {
		return nil, nil
	}
	return s.column(ctx, `SELECT role FROM access_grants WHERE user_id = ?
		UNION SELECT g.role FROM access_grants g JOIN access_members m ON m.group_id = g.group_id WHERE m.user_id = ?`, userID, userID)
}

func (s *Store) directRoles(ctx context.Context, userID string) ([]string, error) {
	var exists bool
	if err := s.db.Read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM identity_users WHERE id = ?)", userID).Scan(&exists); err != nil {
		return nil, fmt.Errorf("access: read the user %s: %w", userID, err)
	}
	if !exists {
		return nil, fmt.Errorf("%w: user %.80q", ErrNotFound, userID)
	}
	return s.column(ctx, "SELECT r.value FROM identity_users u, json_each(u.roles) r WHERE u.id = ?", userID)
}

func (s *Store) column(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("access: read roles: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("access: read roles: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
