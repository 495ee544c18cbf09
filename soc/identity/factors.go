package identity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/mfa"
	"icewatch/soc/identity/policy"
	"icewatch/soc/seal"
)

// The second factors.
const (
	FactorTOTP     = "totp"
	FactorWebAuthn = "webauthn"
	FactorRecovery = "recovery" // stands in for one that is lost
)

const (
	// maxTries is how many codes one sign-in may try.
	maxTries = 5
	// maxUserKeys is how many WebAuthn keys a user may have.
	maxUserKeys = 20
	// issuer names the suite in authenticator apps.
	issuer = "icewatch"
	// kindTOTP is what TOTP secrets are sealed as.
	kindTOTP = "totp"
)

var (
	// ErrWrongCode says that a second factor's code or answer is wrong.
	ErrWrongCode = errors.New("identity: the code or the key's answer is wrong")
	// ErrOver says that a sign-in or enrolment that was begun is over, was
	// finished already, or was begun elsewhere.
	ErrOver = errors.New("identity: this was not begun here, or is over: begin again")
)

// CodeError is an ErrWrongCode of a user whose first factor was right.
type CodeError struct{ Username string }

// Error does not name the user.
func (e *CodeError) Error() string { return ErrWrongCode.Error() }

// Is tells errors.Is that this is an ErrWrongCode.
func (e *CodeError) Is(target error) bool { return target == ErrWrongCode }

// Sealed lists where the room keeps sealed secrets.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(kindTOTP, "identity_totp", "user_id", "secret")}
}

// FactorError says that the password was right and a second factor must be
// shown to go on.
type FactorError struct {
	Challenge string // names the sign-in in the next step
	ExpiresAt time.Time
	Factors   []string // that would do
}

// Error says so.
func (e *FactorError) Error() string {
	return "identity: a second factor is needed: " + strings.Join(e.Factors, ", ")
}

// ceremony is a proof that was begun: a sign-in that waits for a second
// factor, or a factor that is about to be enrolled.
type ceremony struct {
	enrols string // FactorTOTP or FactorWebAuthn; "" for a sign-in
	userID string // "" where a key alone will tell
	from   Entrance
	device *deviceRow
	tries  int
	secret string // of the TOTP to enrol
	party  *mfa.Party
	state  mfa.State // between the halves of WebAuthn
}

// keyRow is a WebAuthn key as SQL holds it.
type keyRow struct {
	bun.BaseModel `bun:"table:identity_keys,alias:k"`

	ID           string `bun:"id,pk"`
	UserID       string `bun:"user_id"`
	CredentialID string `bun:"credential_id"`
	Name         string `bun:"name"`
	Credential   string `bun:"credential"`
	CreatedAt    int64  `bun:"created_at"`
	LastUsedAt   *int64 `bun:"last_used_at"`
}

// Factors are a user's second factors.
type Factors struct {
	Policy   string `json:"policy" enum:"optional,roles,all"`
	Required bool   `json:"required" doc:"Of this user, by the policy"`
	TOTP     struct {
		Enabled   bool       `json:"enabled"`
		CreatedAt *time.Time `json:"created_at,omitempty"`
	} `json:"totp"`
	WebAuthn  []SecurityKey `json:"webauthn" nullable:"false"`
	CodesLeft int           `json:"recovery_codes_left"`
}

// SecurityKey is a WebAuthn key of a user.
type SecurityKey struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
	Synced     bool       `json:"synced" doc:"Copies of it are kept elsewhere, as phones do"`
}

func (r *keyRow) key() (SecurityKey, error) {
	k, err := mfa.ParseKey([]byte(r.Credential))
	if err != nil {
		return SecurityKey{}, err
	}
	out := SecurityKey{ID: r.ID, Name: r.Name, CreatedAt: fromMilli(r.CreatedAt), Synced: k.Synced()}
	if r.LastUsedAt != nil {
		at := fromMilli(*r.LastUsedAt)
		out.LastUsedAt = &at
	}
	return out, nil
}

// factors lists the kinds of second factor a user has; none where he has none.
func (s *Service) factors(ctx context.Context, userID string) ([]string, error) {
	var totp, keys, codes int
	err := s.db.Read.NewRaw(`SELECT (SELECT COUNT(*) FROM identity_totp WHERE user_id = ?), (SELECT COUNT(*) FROM identity_keys WHERE user_id = ?),
		(SELECT COUNT(*) FROM identity_recovery WHERE user_id = ?)`, userID, userID, userID).Scan(ctx, &totp, &keys, &codes)
	if err != nil {
		return nil, fmt.Errorf("identity: read the second factors of %q: %w", userID, err)
	}
	var out []string
	if totp > 0 {
		out = append(out, FactorTOTP)
	}
	if keys > 0 {
		out = append(out, FactorWebAuthn)
	}
	if len(out) > 0 && codes > 0 {
		out = append(out, FactorRecovery)
	}
	return out, nil
}

// needsFactor tells whether the policy demands a second factor of a user with
// these roles of his own. A role granted for some hours counts at all hours.
func (s *Service) needsFactor(ctx context.Context, userID string, direct []string) (bool, error) {
	p := s.policies.signIn()
	if p.Factors != FactorsByRole {
		return p.Factors == FactorsAll, nil
	}
	grants, err := s.access.Of(ctx, userID)
	if err != nil {
		return false, err
	}
	demands := func(role string) bool { return slices.Contains(p.FactorRoles, role) }
	return slices.ContainsFunc(direct, demands) || slices.ContainsFunc(grants, func(g policy.Grant) bool { return demands(g.Role) }), nil
}

// Factors describes a user's second factors.
func (s *Service) Factors(ctx context.Context, userID string) (Factors, error) {
	u, err := s.User(ctx, userID)
	if err != nil {
		return Factors{}, err
	}
	p := s.policies.signIn()
	f := Factors{Policy: p.Factors, WebAuthn: []SecurityKey{}}
	if f.Required, err = s.needsFactor(ctx, u.ID, u.Roles); err != nil {
		return Factors{}, err
	}
	var at int64
	err = s.db.Read.NewSelect().Table("identity_totp").Column("created_at").Where("user_id = ?", userID).Scan(ctx, &at)
	if err == nil {
		created := fromMilli(at)
		f.TOTP.Enabled, f.TOTP.CreatedAt = true, &created
	} else if !errors.Is(err, sql.ErrNoRows) {
		return Factors{}, fmt.Errorf("identity: read the TOTP of %q: %w", u.Username, err)
	}
	rows, err := s.keyRows(ctx, userID)
	if err != nil {
		return Factors{}, err
	}
	for i := range rows {
		k, err := rows[i].key()
		if err != nil {
			return Factors{}, err
		}
		f.WebAuthn = append(f.WebAuthn, k)
	}
	f.CodesLeft, err = s.codesLeft(ctx, userID)
	return f, err
}

func (s *Service) codesLeft(ctx context.Context, userID string) (int, error) {
	n, err := s.db.Read.NewSelect().Table("identity_recovery").Where("user_id = ?", userID).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("identity: count the recovery codes of %q: %w", userID, err)
	}
	return int(n), nil
}

func (s *Service) keyRows(ctx context.Context, userID string) ([]keyRow, error) {
	var rows []keyRow
	if err := s.db.NewSelect().Model(&rows).Where("k.user_id = ?", userID).Order("k.created_at", "k.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("identity: list the keys of %q: %w", userID, err)
	}
	return rows, nil
}

// keyOwner is a user as WebAuthn sees him.
func (s *Service) keyOwner(ctx context.Context, row *userRow) (mfa.Owner, error) {
	rows, err := s.keyRows(ctx, row.ID)
	if err != nil {
		return mfa.Owner{}, err
	}
	o := mfa.Owner{Handle: row.ID, Name: row.Username}
	for _, r := range rows {
		k, err := mfa.ParseKey([]byte(r.Credential))
		if err != nil {
			return mfa.Owner{}, err
		}
		o.Keys = append(o.Keys, k)
	}
	return o, nil
}

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
