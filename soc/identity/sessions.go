package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// confirmation is how long a user who has just proved to be there may change
// what his account hangs on.
const confirmation = 10 * time.Minute

// sessionRow is a session as SQL holds it, with its user's name.
type sessionRow struct {
	bun.BaseModel `bun:"table:identity_sessions,alias:s"`

	ID          string `bun:"id,pk"`
	TokenHash   string `bun:"token_hash"`
	UserID      string `bun:"user_id"`
	Address     string `bun:"address"`
	LastAddress string `bun:"last_address"`
	UserAgent   string `bun:"user_agent"`
	Channel     string `bun:"channel"`
	DeviceID    string `bun:"device_id"`
	Findings    string `bun:"findings"`
	CreatedAt   int64  `bun:"created_at"`
	LastSeenAt  int64  `bun:"last_seen_at"`
	ConfirmedAt int64  `bun:"confirmed_at"`
	ExpiresAt   int64  `bun:"expires_at"`
	Username    string `bun:"username,scanonly"`
}

// OpenSession is a session that is open, without its secret.
type OpenSession struct {
	ID          string    `json:"id"`
	UserID      string    `json:"user_id"`
	Username    string    `json:"username"`
	Current     bool      `json:"current"`
	Client      string    `json:"client"` // like "Chrome 140, Windows"
	Address     string    `json:"address"`
	LastAddress string    `json:"last_address"`
	Channel     string    `json:"channel"`
	DeviceID    string    `json:"device_id,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	LastSeenAt  time.Time `json:"last_seen_at"`
	ExpiresAt   time.Time `json:"expires_at"` // absolute limit
	IdleUntil   time.Time `json:"idle_until"` // where it is not used before
	Findings    []string  `json:"findings" nullable:"false"`
}

// Sessions lists open sessions, the last used first: of one user, or of all
// where userID is empty; of those, limit from offset on. It answers how many
// there are in all.
func (s *Service) Sessions(ctx context.Context, userID string, limit, offset int) ([]OpenSession, int, error) {
	// What the cache knows of their use is newer than SQL.
	if err := s.flush(ctx); err != nil {
		return nil, 0, err
	}
	var rows []sessionRow
	now := s.now()
	idle := s.policies.sessions().idle()
	q := s.db.NewSelect().Model(&rows).ColumnExpr("s.*, u.username").Join("JOIN identity_users AS u ON u.id = s.user_id").
		Where("s.expires_at > ? AND s.last_seen_at > ?", now.UnixMilli(), now.Add(-idle).UnixMilli())
	if userID != "" {
		q = q.Where("s.user_id = ?", userID)
	}
	total, err := q.Order("s.last_seen_at DESC", "s.id").Limit(int64(limit)).Offset(int64(offset)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("identity: list the sessions: %w", err)
	}
	out := make([]OpenSession, len(rows))
	for i, r := range rows {
		findings, err := decodeList(r.Findings)
		if err != nil {
			return nil, 0, err
		}
		out[i] = OpenSession{ID: r.ID, UserID: r.UserID, Username: r.Username, Client: clientName(r.UserAgent), Address: r.Address, LastAddress: r.LastAddress,
			Channel: r.Channel, DeviceID: r.DeviceID, CreatedAt: fromMilli(r.CreatedAt), LastSeenAt: fromMilli(r.LastSeenAt), ExpiresAt: fromMilli(r.ExpiresAt),
			IdleUntil: fromMilli(r.LastSeenAt).Add(idle), Findings: findings}
	}
	return out, int(total), nil
}

// EndSession ends one session at once: of the user, or anybody's where userID
// is empty.
func (s *Service) EndSession(ctx context.Context, userID, id string) error {
	n, err := s.endSessions(ctx, userID, "id = ?", id)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// EndSessions ends all sessions of a user at once, but for the one named, and
// answers how many there were.
func (s *Service) EndSessions(ctx context.Context, userID, but string) (int, error) {
	return s.endSessions(ctx, userID, "id <> ?", but)
}

func (s *Service) endSessions(ctx context.Context, userID, where, arg string) (int, error) {
	q := s.db.NewDelete().Model((*sessionRow)(nil)).Where(where, arg)
	if userID != "" {
		q = q.Where("user_id = ?", userID)
	}
	var ids []string
	if err := q.Returning("id").Scan(ctx, &ids); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("identity: end sessions of %q: %w", userID, err)
	}
	if len(ids) > 0 {
		gone := map[string]bool{}
		for _, id := range ids {
			gone[id] = true
		}
		s.forgetWhere(func(_ string, e *entry) bool { return gone[e.id] })
	}
	return len(ids), nil
}

// Logout ends the session the principal came with. For other credentials it
// does nothing.
func (s *Service) Logout(ctx context.Context, p *Principal) error {
	if p == nil || p.SessionID == "" {
		return nil
	}
	_, err := s.endSessions(ctx, p.UserID, "id = ?", p.SessionID)
	return err
}

// Confirm notes that the user of a session has proved again to be there, with
// the password. It is asked before what an account hangs on is changed.
func (s *Service) Confirm(ctx context.Context, p *Principal, current string) error {
	if p.Via != ViaSession {
		return invalid("only a user who is signed in can confirm")
	}
	row, err := s.userRow(ctx, "u.id = ?", p.UserID)
	if err != nil {
		return err
	}
	if err := s.verifyOwn(ctx, row, current); err != nil {
		return err
	}
	if _, err := s.db.ExecContext(ctx, "UPDATE identity_sessions SET confirmed_at = ? WHERE id = ?", s.now().UnixMilli(), p.SessionID); err != nil {
		return fmt.Errorf("identity: confirm the session %q: %w", p.SessionID, err)
	}
	return nil
}

// ErrConfirm says that the user must first prove again to be there.
var ErrConfirm = errors.New("identity: this needs a confirmation by password, or a fresh sign-in")

// confirmed answers ErrConfirm unless the user of the session has proved
// within the last minutes to be there.
func (s *Service) confirmed(ctx context.Context, p *Principal) error {
	if p.Via != ViaSession {
		return invalid("only a user who is signed in can do this")
	}
	var at int64
	err := s.db.NewSelect().Model((*sessionRow)(nil)).Column("confirmed_at").Where("id = ?", p.SessionID).Scan(ctx, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrUnauthenticated
	}
	if err != nil {
		return fmt.Errorf("identity: read the session %q: %w", p.SessionID, err)
	}
	if s.now().Sub(fromMilli(at)) > confirmation {
		return ErrConfirm
	}
	return nil
}

// loadSession reads a session by the hash of its secret.
func (s *Service) loadSession(ctx context.Context, hash string) (*entry, error) {
	sess := new(sessionRow)
	err := s.db.NewSelect().Model(sess).Where("s.token_hash = ?", hash).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, fmt.Errorf("identity: read a session: %w", err)
	}
	row, err := s.userRow(ctx, "u.id = ?", sess.UserID)
	if errors.Is(err, ErrNotFound) || err == nil && !row.usable(s.now()) {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, err
	}
	u, err := row.user()
	if err != nil {
		return nil, err
	}
	if row.ValidUntil != nil {
		sess.ExpiresAt = min(sess.ExpiresAt, *row.ValidUntil)
	}
	p, err := s.principal(ctx, &u, sess.ID)
	if err != nil {
		return nil, err
	}
	if p.Pending, err = s.pending(ctx, row, sess.Channel); err != nil {
		return nil, err
	}
	p.Channel = sess.Channel
	e := &entry{id: sess.ID, userID: u.ID, session: true, principal: p, client: sess.UserAgent, expires: sess.ExpiresAt, idle: s.policies.sessions().idle()}
	e.used.Store(sess.LastSeenAt)
	e.place.Store(&place{home: sess.Address, last: sess.LastAddress})
	return e, nil
}

// place is where a session was opened and last used.
type place struct{ home, last string }

// allows tells whether a session opened at home may be used from address.
func (p SessionPolicy) allows(home, address string) bool {
	switch p.Binding {
	case BindingAddress:
		return home == address
	case BindingNetwork:
		return neighbourhood(home) == neighbourhood(address)
	}
	return true
}

// neighbourhood is the network that an address is taken to be in where nothing
// is known of the real one: the /24 in IPv4, the /64 in IPv6.
func neighbourhood(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return address
	}
	return p.String()
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "�")
}
