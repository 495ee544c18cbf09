package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/password"
)

// PolicyError says which rule a new password breaks.
type PolicyError = password.WeakError

// ErrBusy says that more sign-ins wait for their password to be checked than
// may; the client should come again shortly.
var ErrBusy = password.ErrBusy

// maxPassword bounds a password in bytes.
const maxPassword = password.MaxLength

// checkPassword holds a new password against the policy. names are the user's.
func (s *Service) checkPassword(pass string, names ...string) error {
	return s.policies.password().Check(pass, s.leaked, names...)
}

// keepPassword notes a user's new password, so that its age is known and it
// does not come again. Call it in the transaction that sets it.
func (s *Service) keepPassword(ctx context.Context, tx bun.Tx, userID, hash string) error {
	if !password.IsHash(hash) {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO identity_passwords (user_id, hash, set_at) VALUES (?, ?, ?)", userID, hash, s.now().UnixMilli()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM identity_passwords WHERE user_id = ? AND hash NOT IN
		(SELECT hash FROM identity_passwords WHERE user_id = ? ORDER BY set_at DESC, hash LIMIT ?)`, userID, userID, max(1, s.policies.password().History))
	return err
}

// passwordSet returns when the user's password was set; the zero time where it
// is none of ours.
func (s *Service) passwordSet(ctx context.Context, row *userRow) (time.Time, error) {
	if !password.IsHash(row.PasswordHash) {
		return time.Time{}, nil
	}
	var at int64
	err := s.db.Read.NewSelect().Table("identity_passwords").ColumnExpr("COALESCE(MAX(set_at), 0)").
		Where("user_id = ? AND hash = ?", row.ID, row.PasswordHash).Scan(ctx, &at)
	if err != nil {
		return time.Time{}, fmt.Errorf("identity: read the age of the password of %q: %w", row.Username, err)
	}
	if at == 0 {
		at = row.UpdatedAt // set by what does not keep it: no younger than this
	}
	return fromMilli(at), nil
}

// passwordEnds returns when the user's password must be changed; the zero time
// is never.
func (s *Service) passwordEnds(ctx context.Context, row *userRow) (time.Time, error) {
	days := s.policies.password().MaxAgeDays
	if days == 0 {
		return time.Time{}, nil
	}
	at, err := s.passwordSet(ctx, row)
	if err != nil || at.IsZero() {
		return time.Time{}, err
	}
	return at.AddDate(0, 0, days), nil
}

// wasPassword tells whether the password is one of those the policy remembers.
func (s *Service) wasPassword(ctx context.Context, row *userRow, next string) (bool, error) {
	var hashes []string
	err := s.db.Read.NewSelect().Table("identity_passwords").Column("hash").Where("user_id = ?", row.ID).
		Order("set_at DESC", "hash").Limit(int64(s.policies.password().History)).Scan(ctx, &hashes)
	if err != nil {
		return false, fmt.Errorf("identity: read the earlier passwords of %q: %w", row.Username, err)
	}
	if s.policies.password().History == 0 {
		hashes = nil
	}
	for _, hash := range hashes {
		if was, err := s.hasher.Verify(ctx, password.Known, next, hash, nil); err != nil || was {
			return was, err
		}
	}
	return false, nil
}

// rehash writes the hash of a password again where it was made with other
// parameters than new ones are. It is no change of the password.
func (s *Service) rehash(ctx context.Context, row *userRow, pass string) error {
	if !s.hasher.Stale(row.PasswordHash) {
		return nil
	}
	hash, err := s.hasher.Hash(ctx, pass)
	if err != nil {
		return err
	}
	old := row.PasswordHash
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE identity_users SET password_hash = ? WHERE id = ? AND password_hash = ?", hash, row.ID, old); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE identity_passwords SET hash = ? WHERE user_id = ? AND hash = ?", hash, row.ID, old)
		return err
	})
	if err != nil {
		return fmt.Errorf("identity: write the password hash of %q with new parameters: %w", row.Username, err)
	}
	row.PasswordHash = hash
	return nil
}

// verifyOwn checks the current password of somebody who is signed in. Wrong
// guesses count like failed sign-ins.
func (s *Service) verifyOwn(ctx context.Context, row *userRow, current string) error {
	limits := s.locks.own(row.Username)
	still := func() error { return s.locks.check(row.Username, limits) }
	if err := still(); err != nil {
		return err
	}
	switch {
	case !password.IsHash(row.PasswordHash):
		return invalid("this account has no password here: it is kept where the user signs in")
	case len(current) > password.MaxLength:
		return ErrUnauthenticated
	}
	ok, err := s.hasher.Verify(ctx, password.Known, current, row.PasswordHash, still)
	if err != nil {
		return err
	}
	if !ok {
		s.locks.fail(limits)
		return ErrUnauthenticated
	}
	s.locks.succeed(limits)
	return nil
}

// ChangePassword sets the caller's own password. It ends the user's other
// sessions.
func (s *Service) ChangePassword(ctx context.Context, p *Principal, current, next string) error {
	if p.Via != ViaSession {
		return invalid("only a user who is signed in has a password")
	}
	row, err := s.userRow(ctx, "u.id = ?", p.UserID)
	if err != nil {
		return err
	}
	if err := s.verifyOwn(ctx, row, current); err != nil {
		return err
	}
	if next == current {
		return &PolicyError{Rule: password.RuleHistory, Reason: "is the old one"}
	}
	if young := time.Duration(s.policies.password().MinAgeHours) * time.Hour; young > 0 && p.Pending != PendingPassword {
		at, err := s.passwordSet(ctx, row)
		if err != nil {
			return err
		}
		if end := at.Add(young); s.now().Before(end) {
			return &PolicyError{Rule: password.RuleAge, Reason: fmt.Sprintf("was set less than %d hours ago and can be changed from %s on", int(young.Hours()), end.Format(time.RFC3339))}
		}
	}
	if err := s.checkPassword(next, row.Username, row.DisplayName); err != nil {
		return err
	}
	if was, err := s.wasPassword(ctx, row, next); err != nil {
		return err
	} else if was {
		return &PolicyError{Rule: password.RuleHistory, Reason: fmt.Sprintf("is one of the last %d", s.policies.password().History)}
	}
	hash, err := s.hasher.Hash(ctx, next)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE identity_users SET password_hash = ?, must_change_password = ?, updated_at = ? WHERE id = ? AND password_hash = ?",
			hash, false, s.now().UnixMilli(), p.UserID, row.PasswordHash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return ErrUnauthenticated // somebody else was faster
		}
		if err := s.keepPassword(ctx, tx, p.UserID, hash); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM identity_sessions WHERE user_id = ? AND id <> ?", p.UserID, p.SessionID)
		return err
	})
	if errors.Is(err, ErrUnauthenticated) {
		return err
	}
	if err != nil {
		return fmt.Errorf("identity: change the password of %q: %w", row.Username, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == p.UserID })
	return nil
}
