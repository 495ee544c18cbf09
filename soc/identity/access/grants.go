package access

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"icewatch/soc/identity/policy"
)

// Grant gives a role to a user or to all of a group. What is not set does not
// bind; times of day and weekdays are those of the server's time zone.
type Grant struct {
	ID        string     `json:"id"`
	Role      string     `json:"role"`
	User      string     `json:"user"`  // id of a user, or
	Group     string     `json:"group"` // of a group
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Weekdays  []int      `json:"weekdays"` // 1 is Monday, 7 Sunday
	From      string     `json:"from"`     // "08:00"; with To
	To        string     `json:"to"`       // exclusive; before From: over midnight
	Networks  []string   `json:"networks"` // CIDRs the request must come from
	Reason    string     `json:"reason"`
	GrantedBy string     `json:"granted_by"`
	CreatedAt time.Time  `json:"created_at"`
}

// GrantQuery narrows a list of grants. Empty fields do not.
type GrantQuery struct {
	User, Group, Role string
	Via               bool // with User: also those by the user's groups
}

const grantColumns = "g.id, g.role, coalesce(g.user_id, ''), coalesce(g.group_id, ''), g.not_before, g.not_after, g.weekdays, g.from_time, g.to_time, g.networks, g.reason, g.granted_by, g.created_at"

// Grants lists grants, newest first, at most 10,000.
func (s *Store) Grants(ctx context.Context, q GrantQuery) ([]Grant, error) {
	where, args := []string{"1 = 1"}, []any{}
	switch {
	case q.User != "" && q.Via:
		where = append(where, "(g.user_id = ? OR g.group_id IN (SELECT group_id FROM access_members WHERE user_id = ?))")
		args = append(args, q.User, q.User)
	case q.User != "":
		where, args = append(where, "g.user_id = ?"), append(args, q.User)
	}
	if q.Group != "" {
		where, args = append(where, "g.group_id = ?"), append(args, q.Group)
	}
	if q.Role != "" {
		where, args = append(where, "g.role = ?"), append(args, q.Role)
	}
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+grantColumns+" FROM access_grants g WHERE "+strings.Join(where, " AND ")+" ORDER BY g.created_at DESC, g.id LIMIT 10000", args...)
	if err != nil {
		return nil, fmt.Errorf("access: list the grants: %w", err)
	}
	defer rows.Close()
	out := []Grant{}
	for rows.Next() {
		g, err := scanGrant(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// Grant returns one grant.
func (s *Store) Grant(ctx context.Context, id string) (Grant, error) {
	rows, err := s.db.Read.QueryContext(ctx, "SELECT "+grantColumns+" FROM access_grants g WHERE g.id = ?", id)
	if err != nil {
		return Grant{}, fmt.Errorf("access: read the grant %s: %w", id, err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return Grant{}, err
		}
		return Grant{}, fmt.Errorf("%w: grant %.80q", ErrNotFound, id)
	}
	return scanGrant(rows.Scan)
}

func scanGrant(scan func(...any) error) (Grant, error) {
	var g Grant
	var before, after *int64
	var from, to *int
	var weekdays, networks string
	var created int64
	if err := scan(&g.ID, &g.Role, &g.User, &g.Group, &before, &after, &weekdays, &from, &to, &networks, &g.Reason, &g.GrantedBy, &created); err != nil {
		return g, fmt.Errorf("access: read a grant: %w", err)
	}
	if err := json.Unmarshal([]byte(weekdays), &g.Weekdays); err != nil {
		return g, fmt.Errorf("access: the weekdays of the grant %s as stored: %w", g.ID, err)
	}
	if err := json.Unmarshal([]byte(networks), &g.Networks); err != nil {
		return g, fmt.Errorf("access: the networks of the grant %s as stored: %w", g.ID, err)
	}
	for ms, into := range map[*int64]**time.Time{before: &g.NotBefore, after: &g.NotAfter} {
		if ms != nil {
			t := fromMilli(*ms)
			*into = &t
		}
	}
	if from != nil && to != nil {
		g.From, g.To = clock(*from), clock(*to)
	}
	g.CreatedAt = fromMilli(created)
	return g, nil
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// minuteOf reads a time of day.
func minuteOf(text string) (*int, error) {
	if text == "" {
		return nil, nil
	}
	n := 24 * 60
	if text != "24:00" {
		t, err := time.Parse("15:04", text)
		if err != nil {
			return nil, fmt.Errorf("%w: %.20q is no time of day such as 08:00", ErrInvalid, text)
		}
		n = 60*t.Hour() + t.Minute()
	}
	return &n, nil
}

// CreateGrant gives the role.
func (s *Store) CreateGrant(ctx context.Context, g Grant) (Grant, error) {
	g.ID, g.CreatedAt = "grt_"+strings.ToLower(rand.Text()[:16]), s.now().UTC().Truncate(time.Millisecond)
	return g, s.keepGrant(ctx, &g)
}

// UpdateGrant replaces what binds the grant and its reason; role and holder stay.
func (s *Store) UpdateGrant(ctx context.Context, id string, to Grant) (Grant, error) {
	g, err := s.Grant(ctx, id)
	if err != nil {
		return g, err
	}
	to.ID, to.Role, to.User, to.Group, to.GrantedBy, to.CreatedAt = g.ID, g.Role, g.User, g.Group, g.GrantedBy, g.CreatedAt
	return to, s.keepGrant(ctx, &to)
}

func (s *Store) keepGrant(ctx context.Context, g *Grant) error {
	if _, err := s.Role(g.Role); err != nil {
		return fmt.Errorf("%w: there is no role %.80q", ErrInvalid, g.Role)
	}
	if (g.User == "") == (g.Group == "") {
		return fmt.Errorf("%w: a grant is for one user or for one group", ErrInvalid)
	}
	p, err := g.policy()
	if err != nil {
		return err
	}
	if len(g.Reason) > 2000 {
		return fmt.Errorf("%w: the reason is longer than 2000 bytes", ErrInvalid)
	}
	var user, group any
	holders := []string{g.User}
	if g.User != "" {
		user = g.User
	} else {
		group = g.Group
		members, err := s.Members(ctx, g.Group)
		if err != nil {
			return err
		}
		holders = nil
		for _, m := range members {
			holders = append(holders, m.ID)
		}
	}
	for _, id := range holders {
		direct, err := s.directRoles(ctx, id)
		if err != nil {
			return err
		}
		if !s.Separated() {
			continue
		}
		granted, err := s.grantedRoles(ctx, id)
		if err != nil {
			return err
		}
		if err := s.checkPowers("the user "+id, slices.Concat(direct, granted, []string{g.Role})); err != nil {
			return err
		}
	}
	weekdays, _ := json.Marshal(append([]int{}, g.Weekdays...)) // numbers and strings always encode
	networks, _ := json.Marshal(append([]string{}, g.Networks...))
	var before, after any
	if g.NotBefore != nil {
		before = p.NotBefore
	}
	if g.NotAfter != nil {
		after = p.NotAfter
	}
	_, err = s.db.ExecContext(ctx, `INSERT INTO access_grants (id, role, user_id, group_id, not_before, not_after, weekdays, from_time, to_time, networks, reason, granted_by, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET not_before = excluded.not_before, not_after = excluded.not_after, weekdays = excluded.weekdays,
		from_time = excluded.from_time, to_time = excluded.to_time, networks = excluded.networks, reason = excluded.reason`,
		g.ID, g.Role, user, group, before, after, string(weekdays), p.From, p.To, string(networks), g.Reason, g.GrantedBy, g.CreatedAt.UnixMilli())
	if err != nil {
		return fmt.Errorf("access: keep the grant %s: %w", g.ID, err)
	}
	s.tell()
	return nil
}

// DeleteGrant takes the role back.
func (s *Store) DeleteGrant(ctx context.Context, id string) error {
	res, err := s.db.ExecContext(ctx, "DELETE FROM access_grants WHERE id = ?", id)
	if err != nil {
		return fmt.Errorf("access: remove the grant %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%w: grant %.80q", ErrNotFound, id)
	}
	s.tell()
	return nil
}

// policy checks what binds the grant and says it in the policy's terms.
func (g *Grant) policy() (policy.Grant, error) {
	p := policy.Grant{ID: g.ID, Role: g.Role}
	if g.NotBefore != nil {
		p.NotBefore = g.NotBefore.UnixMilli()
	}
	if g.NotAfter != nil {
		p.NotAfter = g.NotAfter.UnixMilli()
		if p.NotAfter <= p.NotBefore || p.NotAfter <= 0 {
			return p, fmt.Errorf("%w: not_after must be later than not_before", ErrInvalid)
		}
	}
	for _, d := range g.Weekdays {
		if d < 1 || d > 7 || slices.Contains(p.Weekdays, d) {
			return p, fmt.Errorf("%w: weekdays are numbers from 1 (Monday) to 7, each once", ErrInvalid)
		}
		p.Weekdays = append(p.Weekdays, d)
	}
	var err error
	if p.From, err = minuteOf(g.From); err != nil {
		return p, err
	}
	if p.To, err = minuteOf(g.To); err != nil {
		return p, err
	}
	if (p.From == nil) != (p.To == nil) || p.From != nil && *p.From == *p.To {
		return p, fmt.Errorf("%w: from and to are given together and differ", ErrInvalid)
	}
	if len(g.Networks) > 100 {
		return p, fmt.Errorf("%w: more than 100 networks", ErrInvalid)
	}
	for i, n := range g.Networks {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(n))
		if err != nil {
			a, err := netip.ParseAddr(strings.TrimSpace(n))
			if err != nil {
				return p, fmt.Errorf("%w: %.60q is no network such as 10.1.0.0/16", ErrInvalid, n)
			}
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
		g.Networks[i] = prefix.Masked().String()
		p.Networks = append(p.Networks, g.Networks[i])
	}
	return p, nil
}

// Of returns the user's grants as the policy sees them: his own and those by
// the groups he is in.
func (s *Store) Of(ctx context.Context, userID string) ([]policy.Grant, error) {
	list, err := s.Grants(ctx, GrantQuery{User: userID, Via: true})
	if err != nil {
		return nil, err
	}
	out := make([]policy.Grant, 0, len(list))
	for i := range list {
		p, err := list[i].policy()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// InForce tells whether the grant holds at the time, for requests from the
// places it is bound to.
func (g Grant) InForce(at time.Time) bool {
	if g.NotBefore != nil && at.Before(*g.NotBefore) || g.NotAfter != nil && !at.Before(*g.NotAfter) {
		return false
	}
	at = at.Local()
	day := int(at.Weekday())
	if day == 0 {
		day = 7
	}
	if len(g.Weekdays) > 0 && !slices.Contains(g.Weekdays, day) {
		return false
	}
	if g.From == "" {
		return true
	}
	now := at.Format("15:04")
	if g.From < g.To {
		return g.From <= now && now < g.To
	}
	return g.From <= now || now < g.To
}
