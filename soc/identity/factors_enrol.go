package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/mfa"
)

// Enrolment is a factor that is about to be enrolled.
type Enrolment struct {
	ID      string
	Secret  string      // TOTP: base32, for typing in
	URI     string      // TOTP: for the QR code
	Options mfa.Options // WebAuthn: for the browser
}

// BeginTOTP makes a secret for an authenticator app. It is in force once
// FinishTOTP has seen a code of it; the one before goes then. The user must
// have confirmed.
func (s *Service) BeginTOTP(ctx context.Context, p *Principal) (Enrolment, error) {
	if err := s.confirmed(ctx, p); err != nil {
		return Enrolment{}, err
	}
	if s.sealer == nil {
		return Enrolment{}, errNoKey
	}
	secret, uri, err := mfa.NewTOTP(issuer, p.Username)
	if err != nil {
		return Enrolment{}, err
	}
	id, _ := s.open.Begin(ceremony{enrols: FactorTOTP, userID: p.UserID, secret: secret})
	return Enrolment{ID: id, Secret: secret, URI: uri}, nil
}

// enrolment takes an enrolment up again.
func (s *Service) enrolment(p *Principal, id, factor string) (ceremony, error) {
	c, ok := s.open.Take(id)
	if !ok || c.enrols != factor || c.userID != p.UserID || p.Via != ViaSession {
		return ceremony{}, ErrOver
	}
	return c, nil
}

// FinishTOTP enrols the secret that the code belongs to. It answers recovery
// codes where the user had none.
func (s *Service) FinishTOTP(ctx context.Context, p *Principal, id, code string) ([]string, error) {
	c, err := s.enrolment(p, id, FactorTOTP)
	if err != nil {
		return nil, err
	}
	step, ok, err := mfa.VerifyTOTP(c.secret, strings.TrimSpace(code), s.now(), 0)
	if err != nil {
		return nil, err
	}
	if !ok {
		if c.tries++; c.tries < maxTries {
			s.open.Resume(id, c)
		}
		return nil, ErrWrongCode
	}
	sealed, err := s.sealer.SealString(c.secret, kindTOTP+":"+p.UserID)
	if err != nil {
		return nil, fmt.Errorf("identity: seal a TOTP secret: %w", err)
	}
	return s.enrol(ctx, p, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO identity_totp (user_id, secret, last_step, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (user_id) DO UPDATE SET secret = excluded.secret, last_step = excluded.last_step, created_at = excluded.created_at`,
			p.UserID, sealed, step, s.now().UnixMilli())
		return err
	})
}

// enrol keeps a factor, and makes recovery codes where there are none.
func (s *Service) enrol(ctx context.Context, p *Principal, keep func(ctx context.Context, tx bun.Tx) error) ([]string, error) {
	codes := []string{}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := keep(ctx, tx); err != nil {
			return err
		}
		n, err := tx.NewSelect().Table("identity_recovery").Where("user_id = ?", p.UserID).Count(ctx)
		if err != nil || n > 0 {
			return err
		}
		codes, err = newCodes(ctx, tx, p.UserID)
		return err
	})
	if errors.Is(err, ErrInvalid) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("identity: enrol a second factor of %q: %w", p.Username, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == p.UserID })
	return codes, nil
}

func newCodes(ctx context.Context, tx bun.Tx, userID string) ([]string, error) {
	if _, err := tx.ExecContext(ctx, "DELETE FROM identity_recovery WHERE user_id = ?", userID); err != nil {
		return nil, err
	}
	codes, hashes := mfa.NewCodes()
	for _, h := range hashes {
		if _, err := tx.ExecContext(ctx, "INSERT INTO identity_recovery (user_id, code_hash) VALUES (?, ?)", userID, h); err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// BeginKey begins to add a security key at the site whose origin is given. The
// user must have confirmed.
func (s *Service) BeginKey(ctx context.Context, p *Principal, origin string) (Enrolment, error) {
	if err := s.confirmed(ctx, p); err != nil {
		return Enrolment{}, err
	}
	party, err := mfa.NewParty(origin)
	if err != nil {
		return Enrolment{}, err
	}
	row, err := s.userRow(ctx, "u.id = ?", p.UserID)
	if err != nil {
		return Enrolment{}, err
	}
	owner, err := s.keyOwner(ctx, row)
	if err != nil {
		return Enrolment{}, err
	}
	if len(owner.Keys) >= maxUserKeys {
		return Enrolment{}, invalid("a user has at most %d security keys: remove one first", maxUserKeys)
	}
	options, state, err := party.BeginRegistration(owner)
	if err != nil {
		return Enrolment{}, err
	}
	id, _ := s.open.Begin(ceremony{enrols: FactorWebAuthn, userID: p.UserID, party: party, state: state})
	return Enrolment{ID: id, Options: options}, nil
}

func checkKeyName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > 100 || !utf8.ValidString(name) {
		return "", invalid("the key's name must be 1 to 100 bytes of UTF-8")
	}
	return name, nil
}

// FinishKey adds the security key that answered. It answers recovery codes
// where the user had none.
func (s *Service) FinishKey(ctx context.Context, p *Principal, id, name string, answer []byte) (SecurityKey, []string, error) {
	name, err := checkKeyName(name)
	if err != nil {
		return SecurityKey{}, nil, err
	}
	c, err := s.enrolment(p, id, FactorWebAuthn)
	if err != nil {
		return SecurityKey{}, nil, err
	}
	row, err := s.userRow(ctx, "u.id = ?", p.UserID)
	if err != nil {
		return SecurityKey{}, nil, err
	}
	owner, err := s.keyOwner(ctx, row)
	if err != nil {
		return SecurityKey{}, nil, err
	}
	key, err := c.party.FinishRegistration(owner, c.state, answer)
	if errors.Is(err, mfa.ErrKey) {
		s.log.Warn("a new security key was refused", "user", row.Username, "error", err)
		return SecurityKey{}, nil, ErrWrongCode
	}
	if err != nil {
		return SecurityKey{}, nil, err
	}
	doc, err := key.Marshal()
	if err != nil {
		return SecurityKey{}, nil, fmt.Errorf("identity: encode a key: %w", err)
	}
	kept := &keyRow{ID: newID("key_"), UserID: p.UserID, CredentialID: key.ID(), Name: name, Credential: string(doc), CreatedAt: s.now().UnixMilli()}
	codes, err := s.enrol(ctx, p, func(ctx context.Context, tx bun.Tx) error {
		taken, err := tx.NewSelect().Model((*keyRow)(nil)).Where("k.credential_id = ?", kept.CredentialID).Exists(ctx)
		if err != nil {
			return err
		}
		if taken {
			return invalid("this security key is in use already")
		}
		_, err = tx.NewInsert().Model(kept).Exec(ctx)
		return err
	})
	if err != nil {
		return SecurityKey{}, nil, err
	}
	out, err := kept.key()
	return out, codes, err
}

// RenameKey gives one of the caller's keys another name.
func (s *Service) RenameKey(ctx context.Context, p *Principal, id, name string) (SecurityKey, error) {
	name, err := checkKeyName(name)
	if err != nil {
		return SecurityKey{}, err
	}
	rows, err := s.keyRows(ctx, p.UserID)
	if err != nil {
		return SecurityKey{}, err
	}
	i := slices.IndexFunc(rows, func(r keyRow) bool { return r.ID == id })
	if i < 0 {
		return SecurityKey{}, ErrNotFound
	}
	if _, err := s.db.ExecContext(ctx, "UPDATE identity_keys SET name = ? WHERE id = ?", name, id); err != nil {
		return SecurityKey{}, fmt.Errorf("identity: rename the key %q: %w", id, err)
	}
	rows[i].Name = name
	return rows[i].key()
}

// RemoveFactor removes one of the caller's factors: the key with the id, or
// TOTP where it is empty. The last one stays where the policy demands one. The
// recovery codes go with the last. The user must have confirmed.
func (s *Service) RemoveFactor(ctx context.Context, p *Principal, keyID string) error {
	if err := s.confirmed(ctx, p); err != nil {
		return err
	}
	needs, err := s.needsFactor(ctx, p.UserID, p.Roles)
	if err != nil {
		return err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		q := tx.NewDelete().Model((*keyRow)(nil)).Where("user_id = ? AND id = ?", p.UserID, keyID)
		if keyID == "" {
			q = tx.NewDelete().Table("identity_totp").Where("user_id = ?", p.UserID)
		}
		res, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return ErrNotFound
		}
		var left int
		if err := tx.NewRaw("SELECT (SELECT COUNT(*) FROM identity_totp WHERE user_id = ?) + (SELECT COUNT(*) FROM identity_keys WHERE user_id = ?)",
			p.UserID, p.UserID).Scan(ctx, &left); err != nil || left > 0 {
			return err
		}
		if needs {
			return invalid("the policy demands a second factor of you: enrol another one first")
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM identity_recovery WHERE user_id = ?", p.UserID)
		return err
	})
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("identity: remove a second factor of %q: %w", p.Username, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == p.UserID })
	return nil
}

// NewRecoveryCodes replaces the caller's recovery codes. The user must have
// confirmed.
func (s *Service) NewRecoveryCodes(ctx context.Context, p *Principal) (codes []string, err error) {
	if err := s.confirmed(ctx, p); err != nil {
		return nil, err
	}
	factors, err := s.factors(ctx, p.UserID)
	if err != nil {
		return nil, err
	}
	if len(factors) == 0 {
		return nil, invalid("recovery codes stand in for a second factor: enrol one first")
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		codes, err = newCodes(ctx, tx, p.UserID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("identity: make recovery codes for %q: %w", p.Username, err)
	}
	return codes, nil
}

// ResetFactors removes all factors of a user who has lost them, and ends his
// sessions: whoever found them must not go on.
func (s *Service) ResetFactors(ctx context.Context, userID string) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, table := range []string{"identity_totp", "identity_keys", "identity_recovery", "identity_sessions"} {
			if _, err := tx.NewDelete().Table(table).Where("user_id = ?", userID).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("identity: reset the second factors of %q: %w", userID, err)
	}
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID == userID && e.session })
	return nil
}
