package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
)

// sessionRow is a session as SQL holds it.
type sessionRow struct {
	bun.BaseModel `bun:"table:identity_sessions,alias:s"`

	ID         string `bun:"id,pk"`
	TokenHash  string `bun:"token_hash"`
	UserID     string `bun:"user_id"`
	Address    string `bun:"address"`
	UserAgent  string `bun:"user_agent"`
	CreatedAt  int64  `bun:"created_at"`
	LastSeenAt int64  `bun:"last_seen_at"`
	ExpiresAt  int64  `bun:"expires_at"`
}

// Login checks a user name and password and opens a session. A wrong name, a
// wrong password and a disabled account all take the same time and answer the
// same ErrUnauthenticated. After too many failures it answers *LockedError
// without looking at the password.
func (s *Service) Login(ctx context.Context, req LoginRequest) (Session, error) {
	name := foldUsername(req.Username)
	if len(name) > 256 {
		name = name[:256]
	}
	still := func() error { return s.locks.check(name, req.Address) }
	if err := still(); err != nil {
		return Session{}, err
	}
	row, err := s.userRow(ctx, "u.username = ?", name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Session{}, err
	}
	encoded := s.hasher.dummy
	if row != nil {
		encoded = row.PasswordHash
	}
	password := req.Password
	if len(password) > maxPassword {
		password, encoded = "", s.hasher.dummy
	}
	ok, err := s.hasher.verify(ctx, password, encoded, still)
	if err != nil {
		return Session{}, err
	}
	if !ok || row == nil || row.Disabled {
		s.locks.fail(name, req.Address)
		return Session{}, ErrUnauthenticated
	}
	s.locks.succeed(name, req.Address)

	now := s.now()
	secret := newSecret(sessionPrefix)
	sess := &sessionRow{
		ID: newID("ses_"), TokenHash: hashSecret(secret), UserID: row.ID, Address: clip(req.Address, 64), UserAgent: clip(req.UserAgent, 300),
		CreatedAt: now.UnixMilli(), LastSeenAt: now.UnixMilli(), ExpiresAt: now.Add(sessionLimit).UnixMilli(),
	}
	var ended int64
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.NewInsert().Model(sess).Exec(ctx); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM identity_sessions WHERE user_id = ? AND id NOT IN
			(SELECT id FROM identity_sessions WHERE user_id = ? ORDER BY created_at DESC, id LIMIT ?)`, row.ID, row.ID, maxSessions)
		if err != nil {
			return err
		}
		if ended, err = res.RowsAffected(); err != nil {
			return err
		}
		// Between the check and here somebody may have disabled the account.
		res, err = tx.ExecContext(ctx, "UPDATE identity_users SET last_login_at = ? WHERE id = ? AND NOT disabled AND password_hash = ?",
			now.UnixMilli(), row.ID, row.PasswordHash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return ErrUnauthenticated
		}
		return nil
	})
	if errors.Is(err, ErrUnauthenticated) {
		return Session{}, ErrUnauthenticated
	}
	if err != nil {
		return Session{}, fmt.Errorf("identity: open a session for %q: %w", name, err)
	}
	if ended > 0 {
		s.forgetWhere(func(_ string, e *entry) bool { return e.userID == row.ID })
	}
	u, err := row.user()
	if err != nil {
		return Session{}, err
	}
	return Session{Token: secret, ExpiresAt: fromMilli(sess.ExpiresAt), User: u}, nil
}

// Logout ends the session the principal came with. For other credentials it
// does nothing.
func (s *Service) Logout(ctx context.Context, p *Principal) error {
	if p == nil || p.SessionID == "" {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM identity_sessions WHERE id = ?", p.SessionID); err != nil {
		return fmt.Errorf("identity: end the session %q: %w", p.SessionID, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.id == p.SessionID })
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
	u, err := s.User(ctx, sess.UserID)
	if errors.Is(err, ErrNotFound) || err == nil && u.Disabled {
		return nil, ErrUnauthenticated
	}
	if err != nil {
		return nil, err
	}
	e := &entry{id: sess.ID, userID: u.ID, session: true, principal: u.principal(sess.ID), expires: sess.ExpiresAt}
	e.used.Store(sess.LastSeenAt)
	return e, nil
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "�")
}
