package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"icewatch/soc/identity/mfa"
)

// askFactor opens the second step of a sign-in.
func (s *Service) askFactor(row *userRow, from Entrance, device *deviceRow, factors []string) error {
	id, expires := s.open.Begin(ceremony{userID: row.ID, from: from, device: device})
	return &FactorError{Challenge: id, ExpiresAt: expires, Factors: factors}
}

// second takes a sign-in up again. It goes on only where it was begun: in the
// same network and the same browser. *LockedError tells of too many wrong codes.
func (s *Service) second(ctx context.Context, challenge string, from Entrance) (ceremony, *userRow, []limit, error) {
	c, ok := s.open.Take(challenge)
	if !ok || c.enrols != "" || network(c.from.Address) != network(from.Address) || c.from.UserAgent != from.UserAgent {
		return ceremony{}, nil, nil, ErrOver
	}
	if c.userID == "" {
		return c, nil, nil, nil
	}
	row, err := s.userRow(ctx, "u.id = ?", c.userID)
	if errors.Is(err, ErrNotFound) || err == nil && !row.usable(s.now()) {
		return ceremony{}, nil, nil, ErrOver
	}
	if err != nil {
		return ceremony{}, nil, nil, err
	}
	limits := s.locks.factor(c.device.who(row.Username, from.Address))
	if err := s.locks.check(row.Username, limits); err != nil {
		s.open.Resume(challenge, c)
		return ceremony{}, nil, nil, err
	}
	return c, row, limits, nil
}

// wrong counts a wrong code and leaves the sign-in open for another try.
func (s *Service) wrong(challenge string, c ceremony, row *userRow, limits []limit) error {
	s.note(row.Username, s.locks.fail(limits))
	if c.tries++; c.tries < maxTries {
		s.open.Resume(challenge, c)
	}
	return &CodeError{row.Username}
}

// passed opens the session of a sign-in whose second factor was good.
func (s *Service) passed(ctx context.Context, c ceremony, row *userRow, limits []limit, factor string) (Session, error) {
	s.locks.succeed(limits)
	c.from.Channel += "+" + factor
	return s.enter(ctx, row, c.from, c.device)
}

// LoginTOTP ends a sign-in with a time-based code.
func (s *Service) LoginTOTP(ctx context.Context, challenge, code string, from Entrance) (Session, error) {
	c, row, limits, err := s.second(ctx, challenge, from)
	if err != nil {
		return Session{}, err
	}
	if row == nil {
		return Session{}, ErrOver
	}
	ok, err := s.useTOTP(ctx, row.ID, code)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, s.wrong(challenge, c, row, limits)
	}
	return s.passed(ctx, c, row, limits, FactorTOTP)
}

// useTOTP takes a code of the user's, which then is used up.
func (s *Service) useTOTP(ctx context.Context, userID, code string) (bool, error) {
	var sealed string
	var last int64
	err := s.db.Read.NewSelect().Table("identity_totp").Column("secret", "last_step").Where("user_id = ?", userID).Scan(ctx, &sealed, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("identity: read the TOTP of %q: %w", userID, err)
	}
	if s.sealer == nil {
		return false, errNoKey
	}
	secret, err := s.sealer.OpenString(sealed, kindTOTP+":"+userID)
	if err != nil {
		return false, fmt.Errorf("identity: the TOTP secret of %q: %w", userID, err)
	}
	step, ok, err := mfa.VerifyTOTP(secret, strings.TrimSpace(code), s.now(), last)
	if err != nil || !ok {
		return false, err
	}
	// Of two who bring the same code at once, one is first.
	res, err := s.db.ExecContext(ctx, "UPDATE identity_totp SET last_step = ? WHERE user_id = ? AND last_step < ?", step, userID, step)
	if err != nil {
		return false, fmt.Errorf("identity: use up a code of %q: %w", userID, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

var errNoKey = errors.New("identity: there is no master key to seal TOTP secrets with")

// LoginRecovery ends a sign-in with a recovery code, which then is used up.
func (s *Service) LoginRecovery(ctx context.Context, challenge, code string, from Entrance) (Session, error) {
	c, row, limits, err := s.second(ctx, challenge, from)
	if err != nil {
		return Session{}, err
	}
	if row == nil {
		return Session{}, ErrOver
	}
	res, err := s.db.ExecContext(ctx, "DELETE FROM identity_recovery WHERE user_id = ? AND code_hash = ?", row.ID, mfa.HashCode(code))
	if err != nil {
		return Session{}, fmt.Errorf("identity: use up a recovery code of %q: %w", row.Username, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return Session{}, err
	} else if n != 1 {
		return Session{}, s.wrong(challenge, c, row, limits)
	}
	sess, err := s.passed(ctx, c, row, limits, FactorRecovery)
	if err != nil {
		return Session{}, err
	}
	sess.CodesLeft, err = s.codesLeft(ctx, row.ID)
	return sess, err
}

// BeginWebAuthn asks for a security key, at the site whose origin is given: one
// of the user's whose sign-in the challenge names, or, without a challenge, any
// that signs in alone. The challenge it returns names the sign-in from then on.
func (s *Service) BeginWebAuthn(ctx context.Context, challenge, origin string, from Entrance) (string, mfa.Options, error) {
	party, err := mfa.NewParty(origin)
	if err != nil {
		return "", nil, err
	}
	if challenge == "" {
		if !s.policies.signIn().Passwordless {
			return "", nil, invalid("signing in with a security key alone is switched off (setting sign-in, passwordless)")
		}
		device, err := s.knownDevice(ctx, from.Device)
		if err != nil {
			return "", nil, err
		}
		from.Channel = ChannelWebAuthn
		options, state, err := party.BeginAlone()
		if err != nil {
			return "", nil, err
		}
		id, _ := s.open.Begin(ceremony{from: from, device: device, party: party, state: state})
		return id, options, nil
	}
	c, row, _, err := s.second(ctx, challenge, from)
	if err != nil {
		return "", nil, err
	}
	if row == nil {
		return "", nil, ErrOver
	}
	owner, err := s.keyOwner(ctx, row)
	if err != nil {
		return "", nil, err
	}
	if len(owner.Keys) == 0 {
		s.open.Resume(challenge, c)
		return "", nil, invalid("this account has no security key")
	}
	options, state, err := party.BeginLogin(owner)
	if err != nil {
		return "", nil, err
	}
	c.party, c.state = party, state
	s.open.Resume(challenge, c)
	return challenge, options, nil
}

// FinishWebAuthn ends a sign-in with a security key's answer to BeginWebAuthn.
func (s *Service) FinishWebAuthn(ctx context.Context, challenge string, answer []byte, from Entrance) (Session, error) {
	c, row, limits, err := s.second(ctx, challenge, from)
	if err != nil {
		return Session{}, err
	}
	if c.party == nil {
		return Session{}, ErrOver
	}
	if row == nil {
		return s.alone(ctx, c, answer)
	}
	owner, err := s.keyOwner(ctx, row)
	if err != nil {
		return Session{}, err
	}
	key, err := c.party.FinishLogin(owner, c.state, answer)
	if errors.Is(err, mfa.ErrKey) {
		s.log.Warn("a security key was refused", "user", row.Username, "error", err)
		return Session{}, s.wrong(challenge, c, row, limits)
	}
	if err != nil {
		return Session{}, err
	}
	if err := s.keyUsed(ctx, row.ID, key); err != nil {
		return Session{}, err
	}
	return s.passed(ctx, c, row, limits, FactorWebAuthn)
}

// alone signs in whoever the key says.
func (s *Service) alone(ctx context.Context, c ceremony, answer []byte) (Session, error) {
	// A key that nobody can guess needs no patience; but what is sent in its
	// place costs us, so it counts against where it comes from.
	limits := slices.DeleteFunc(s.locks.limitsOf(who{address: c.from.Address}), func(l limit) bool { return l.kind != lockAddress })
	if err := s.locks.check("", limits); err != nil {
		return Session{}, err
	}
	var row *userRow
	_, key, err := c.party.FinishAlone(c.state, answer, func(handle string) (owner mfa.Owner, err error) {
		if row, err = s.userRow(ctx, "u.id = ?", handle); err != nil {
			return mfa.Owner{}, err
		}
		return s.keyOwner(ctx, row)
	})
	if errors.Is(err, mfa.ErrKey) || err == nil && !row.usable(s.now()) {
		s.log.Warn("a security key was refused", "address", c.from.Address, "error", err)
		s.note("", s.locks.fail(limits))
		return Session{}, ErrWrongCode
	}
	if err != nil {
		return Session{}, err
	}
	if err := s.locks.check(row.Username, nil); err != nil {
		return Session{}, err
	}
	if err := s.keyUsed(ctx, row.ID, key); err != nil {
		return Session{}, err
	}
	return s.enter(ctx, row, c.from, c.device)
}

// keyUsed keeps a key's new counter.
func (s *Service) keyUsed(ctx context.Context, userID string, key mfa.Key) error {
	doc, err := key.Marshal()
	if err != nil {
		return fmt.Errorf("identity: encode a key: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, "UPDATE identity_keys SET credential = ?, last_used_at = ? WHERE user_id = ? AND credential_id = ?",
		string(doc), s.now().UnixMilli(), userID, key.ID()); err != nil {
		return fmt.Errorf("identity: note the use of a key: %w", err)
	}
	return nil
}
