package access

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"icewatch/soc/identity/policy"
)

// LocalRole is what a connection on the local socket holds. It can be given to
// nobody.
const LocalRole = "local"

// maxRoles bounds the custom roles: the policy holds them all in memory.
const maxRoles = 500

// Role is a set of what may be done.
type Role struct {
	ID          string   `json:"id"`
	Name        Text     `json:"name"`
	Description Text     `json:"description"`
	Scopes      []string `json:"scopes"`
	Operations  []string `json:"operations"` // beyond those of the scopes
	Delegated   bool     `json:"delegated"`  // holds in the holder's own unit and below only
	BuiltIn     bool     `json:"built_in"`
}

// RoleChange changes what is not nil.
type RoleChange struct {
	Name        *Text
	Description *Text
	Scopes      *[]string
	Operations  *[]string
	Delegated   *bool
}

// builtIn are the roles every installation has.
var builtIn = []Role{
	{ID: "admin", Name: Text{ZH: "管理员", EN: "Administrator"}, Scopes: []string{policy.ScopeAdmin},
		Description: Text{ZH: "三权分立关闭时拥有全部权限；开启后仅为系统管理员", EN: "Everything while the three powers are not apart, the system administrator once they are"}},
	{ID: "system-admin", Name: Text{ZH: "系统管理员", EN: "System administrator"}, Scopes: []string{policy.ScopeSystem},
		Description: Text{ZH: "账号、组织、租户与系统设置", EN: "Accounts, units, tenants and settings of the suite"}},
	{ID: "security-admin", Name: Text{ZH: "安全管理员", EN: "Security administrator"}, Scopes: []string{policy.ScopeSecurity},
		Description: Text{ZH: "角色、授权、数据范围、登录策略、令牌与会话", EN: "Roles, grants, data scopes, sign-in policies, tokens and sessions"}},
	{ID: "audit-admin", Name: Text{ZH: "审计管理员", EN: "Audit administrator"}, Scopes: []string{policy.ScopeAudit},
		Description: Text{ZH: "审计日志的查询、校验与导出", EN: "Reads, verifies and exports the audit log"}},
	{ID: "unit-admin", Name: Text{ZH: "单位管理员", EN: "Unit administrator"}, Delegated: true, Operations: []string{
		"list-users", "get-user", "create-user", "update-user", "delete-user", "batch-users", "import-users", "export-users", "set-user-access", "copy-user-access",
		"create-unit", "update-unit", "delete-unit", "import-units", "export-units", "list-groups", "get-group", "list-members",
		"create-group", "update-group", "delete-group", "add-member", "remove-member", "list-grants", "create-grant", "update-grant", "delete-grant"},
		Description: Text{ZH: "管理本单位及下级单位的人员、岗位与授权", EN: "People, posts and grants of one's own unit and those below it"}},
	{ID: "operator", Name: Text{ZH: "运营人员", EN: "Operator"}, Scopes: []string{policy.ScopeRead, policy.ScopeRespond, policy.ScopeConfigure},
		Description: Text{ZH: "研判处置，并维护规则、资产与通知", EN: "Investigates and responds; keeps rules, items and receivers"}},
	{ID: "analyst", Name: Text{ZH: "分析员", EN: "Analyst"}, Scopes: []string{policy.ScopeRead, policy.ScopeRespond},
		Description: Text{ZH: "查询、研判与处置", EN: "Searches, investigates and responds"}},
	{ID: "viewer", Name: Text{ZH: "只读用户", EN: "Viewer"}, Scopes: []string{policy.ScopeRead},
		Description: Text{ZH: "只读", EN: "Reads"}},
}

func (s *Store) loadRoles(ctx context.Context) (map[string]Role, error) {
	roles := map[string]Role{}
	for _, r := range builtIn {
		r.BuiltIn = true
		r.Scopes, r.Operations = append([]string{}, r.Scopes...), append([]string{}, r.Operations...)
		roles[r.ID] = r
	}
	rows, err := s.db.QueryContext(ctx, "SELECT id, name_zh, name_en, about_zh, about_en, scopes, operations, delegated FROM access_roles")
	if err != nil {
		return nil, fmt.Errorf("access: read the roles: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Role
		var scopes, operations string
		if err := rows.Scan(&r.ID, &r.Name.ZH, &r.Name.EN, &r.Description.ZH, &r.Description.EN, &scopes, &operations, &r.Delegated); err != nil {
			return nil, fmt.Errorf("access: read the roles: %w", err)
		}
		for text, into := range map[string]*[]string{scopes: &r.Scopes, operations: &r.Operations} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				return nil, fmt.Errorf("access: the role %s as it is stored: %w", r.ID, err)
			}
		}
		roles[r.ID] = r
	}
	return roles, rows.Err()
}

// Roles lists the roles, those that are built in first.
func (s *Store) Roles() []Role {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Role, 0, len(s.roles))
	for _, r := range builtIn {
		out = append(out, s.roles[r.ID])
	}
	n := len(out)
	for _, r := range s.roles {
		if !r.BuiltIn {
			out = append(out, r)
		}
	}
	slices.SortFunc(out[n:], func(a, b Role) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Role returns one role.
func (s *Store) Role(id string) (Role, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.roles[id]
	if !ok {
		return r, fmt.Errorf("%w: role %.80q", ErrNotFound, id)
	}
	return r, nil
}

var rolePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CreateRole adds a role.
func (s *Store) CreateRole(ctx context.Context, r Role) (Role, error) {
	r.BuiltIn = false
	s.mu.Lock()
	_, taken := s.roles[r.ID]
	n := len(s.roles)
	s.mu.Unlock()
	switch {
	case !rolePattern.MatchString(r.ID):
		return r, fmt.Errorf("%w: the role's id %.80q must be 1 to 63 of a-z, 0-9 and '-'", ErrInvalid, r.ID)
	case r.ID == LocalRole:
		return r, fmt.Errorf("%w: the id %q is reserved", ErrInvalid, r.ID)
	case taken:
		return r, fmt.Errorf("%w: there is a role %q already", ErrConflict, r.ID)
	case n >= maxRoles:
		return r, fmt.Errorf("%w: there are %d roles, no more can be kept", ErrInvalid, n)
	}
	return r, s.keepRole(ctx, &r)
}

// UpdateRole changes a role that is not built in; those who hold it can do by
// it what it says from their next request on.
func (s *Store) UpdateRole(ctx context.Context, id string, ch RoleChange) (Role, error) {
	r, err := s.Role(id)
	if err != nil {
		return r, err
	}
	if r.BuiltIn {
		return r, fmt.Errorf("%w: %q is built in: make a role of your own from it", ErrInvalid, id)
	}
	if ch.Name != nil {
		r.Name = *ch.Name
	}
	if ch.Description != nil {
		r.Description = *ch.Description
	}
	if ch.Scopes != nil {
		r.Scopes = *ch.Scopes
	}
	if ch.Operations != nil {
		r.Operations = *ch.Operations
	}
	if ch.Delegated != nil {
		r.Delegated = *ch.Delegated
	}
	return r, s.keepRole(ctx, &r)
}

func (s *Store) keepRole(ctx context.Context, r *Role) error {
	if err := s.checkRole(r); err != nil {
		return err
	}
	s.mu.Lock()
	before, existed := s.roles[r.ID]
	s.roles[r.ID] = *r
	s.mu.Unlock()
	back := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if delete(s.roles, r.ID); existed {
			s.roles[r.ID] = before
		}
	}
	if s.Separated() && existed {
		if err := s.checkAll(ctx); err != nil {
			back()
			return err
		}
	}
	scopes, _ := json.Marshal(r.Scopes) // strings always encode
	operations, _ := json.Marshal(r.Operations)
	now := s.now().UnixMilli()
	_, err := s.db.ExecContext(ctx, `INSERT INTO access_roles (id, name_zh, name_en, about_zh, about_en, scopes, operations, delegated, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en, about_zh = excluded.about_zh,
		about_en = excluded.about_en, scopes = excluded.scopes, operations = excluded.operations, delegated = excluded.delegated, updated_at = excluded.updated_at`,
		r.ID, r.Name.ZH, r.Name.EN, r.Description.ZH, r.Description.EN, string(scopes), string(operations), r.Delegated, now, now)
	if err != nil {
		back()
		return fmt.Errorf("access: keep the role %s: %w", r.ID, err)
	}
	return s.refresh(ctx)
}

func (s *Store) checkRole(r *Role) error {
	if err := checkName(r.Name); err != nil {
		return err
	}
	if len(r.Description.ZH) > 2000 || len(r.Description.EN) > 2000 {
		return fmt.Errorf("%w: the description is longer than 2000 bytes", ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Scopes, r.Operations = distinct(r.Scopes), distinct(r.Operations)
	for _, sc := range r.Scopes {
		if !slices.Contains(policy.Scopes, sc) {
			return fmt.Errorf("%w: the scope %.80q is none of %s", ErrInvalid, sc, strings.Join(policy.Scopes, ", "))
		}
		if r.Delegated && (sc == policy.ScopeAdmin || slices.Contains(policy.Powers, sc)) {
			return fmt.Errorf("%w: a delegated role cannot hold the scope %q, which is the whole suite's: name single operations", ErrInvalid, sc)
		}
	}
	for _, id := range r.Operations {
		i := slices.IndexFunc(s.operations, func(o policy.Operation) bool { return o.ID == id })
		switch {
		case i < 0:
			return fmt.Errorf("%w: there is no operation %.80q", ErrInvalid, id)
		case r.Delegated && slices.Contains(policy.Powers, s.operations[i].Scope) && !s.operations[i].Confinable:
			return fmt.Errorf("%w: the operation %q concerns the whole suite and cannot be delegated", ErrInvalid, id)
		}
	}
	if len(r.Scopes)+len(r.Operations) == 0 {
		return fmt.Errorf("%w: the role permits nothing: give scopes or operations", ErrInvalid)
	}
	return nil
}

// DeleteRole removes a role that nobody holds.
func (s *Store) DeleteRole(ctx context.Context, id string) error {
	r, err := s.Role(id)
	if err != nil {
		return err
	}
	if r.BuiltIn {
		return fmt.Errorf("%w: %q is built in", ErrInvalid, id)
	}
	n, err := s.HoldersOf(ctx, id)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: %d users or grants have the role %q", ErrConflict, n, id)
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM access_roles WHERE id = ?", id); err != nil {
		return fmt.Errorf("access: remove the role %s: %w", id, err)
	}
	s.mu.Lock()
	delete(s.roles, id)
	s.mu.Unlock()
	return s.refresh(ctx)
}

// HoldersOf counts the users who have the role directly, and the grants of it.
func (s *Store) HoldersOf(ctx context.Context, id string) (int, error) {
	var n int
	err := s.db.Read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM identity_users u, json_each(u.roles) r WHERE r.value = ?)
		+ (SELECT count(*) FROM access_grants WHERE role = ?)`, id, id).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("access: count who has the role %s: %w", id, err)
	}
	return n, nil
}

// Holders counts, for each role, the users who have it directly and the grants
// of it.
func (s *Store) Holders(ctx context.Context) (map[string]int, error) {
	rows, err := s.db.Read.QueryContext(ctx, `SELECT role, count(*) FROM (SELECT r.value AS role FROM identity_users u, json_each(u.roles) r
		UNION ALL SELECT role FROM access_grants) GROUP BY role`)
	if err != nil {
		return nil, fmt.Errorf("access: count who has which role: %w", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var role string
		var n int
		if err := rows.Scan(&role, &n); err != nil {
			return nil, fmt.Errorf("access: count who has which role: %w", err)
		}
		out[role] = n
	}
	return out, rows.Err()
}

func checkName(n Text) error {
	if strings.TrimSpace(n.ZH) == "" && strings.TrimSpace(n.EN) == "" {
		return fmt.Errorf("%w: the name is missing", ErrInvalid)
	}
	for _, v := range []string{n.ZH, n.EN} {
		if len(v) > 200 || strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("%w: the name must be at most 200 bytes without control characters", ErrInvalid)
		}
	}
	return nil
}

func distinct(list []string) []string {
	out := []string{}
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
