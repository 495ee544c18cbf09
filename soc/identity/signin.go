package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/password"
)

// How a user came in. A second factor stands behind a plus: "password+totp".
const (
	ChannelPassword = "password"
	ChannelLDAP     = "ldap"
	ChannelOIDC     = "oidc"
	ChannelSAML     = "saml"
	ChannelWebAuthn = "webauthn" // alone, without a password
)

// What a session must do before anything else is open to it.
const (
	PendingPassword = "password" // change the password
	PendingFactor   = "factor"   // enrol a second factor
)

// Entrance is where a sign-in comes from.
type Entrance struct {
	Address   string // the client's
	UserAgent string
	Device    string // the secret of the device cookie; "" where there is none
	Channel   string // one of the Channel constants
}

// LoginRequest is a sign-in with a password.
type LoginRequest struct {
	Username  string
	Password  string
	Address   string // the client's address, for the back-off and the session list
	UserAgent string
	Device    string // the secret of the device cookie
	CaptchaID string
	Captcha   string // the answer
}

// Session is a fresh session. Token and Device are known to the client only:
// the room keeps their hashes.
type Session struct {
	ID              string // no secret
	Channel         string // how the user signed in
	Token           string
	ExpiresAt       time.Time // absolute limit
	User            User
	Device          string // secret for the device cookie; "" where the client keeps what it has
	DeviceExpires   time.Time
	PasswordExpires *time.Time // when the password must be changed
	PasswordWarning bool       // that this is soon
	Findings        []string   // what is unusual about this access
	Alarming        []string   // those of them that are to raise an alert
	CodesLeft       int        // recovery codes; -1 where none was used now
}

// DeniedError is an ErrUnauthenticated that tells what the next try needs.
type DeniedError struct {
	CaptchaRequired bool // the next try must answer a CAPTCHA
	CaptchaMissing  bool // this one had to and did not, and the password was not looked at
	CaptchaWrong    bool // this one's answer was wrong, and the password was not looked at
}

// Error never says which part was wrong.
func (e *DeniedError) Error() string {
	if e.CaptchaMissing || e.CaptchaWrong {
		return "identity: a CAPTCHA must be answered"
	}
	return ErrUnauthenticated.Error()
}

// Is tells errors.Is that this is an ErrUnauthenticated.
func (e *DeniedError) Is(target error) bool { return target == ErrUnauthenticated }

// Directory checks passwords that are kept elsewhere, such as in LDAP. It is
// asked for names that are unknown here and for users without a password of
// ours; lock-out, CAPTCHA, second factor and session around it are ours.
type Directory interface {
	// Check answers the id of the local user the password is good for, whom
	// it has made or brought up to date; ErrUnauthenticated where the
	// password is wrong; ErrNotFound where the directory knows no such user.
	Check(ctx context.Context, username, password string) (userID string, err error)
}

// UseDirectory sets who checks passwords that are kept elsewhere; nil is
// nobody.
func (s *Service) UseDirectory(d Directory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.directory = d
}

// Login checks a user name and password and opens a session. A wrong name, a
// wrong password and a disabled account all take the same time and answer the
// same ErrUnauthenticated, which may be a *DeniedError. After too many failures
// it answers *LockedError without looking at the password; where the user has a
// second factor, *FactorError.
func (s *Service) Login(ctx context.Context, req LoginRequest) (Session, error) {
	name := foldUsername(req.Username)
	if len(name) > 256 {
		name = name[:256]
	}
	from := Entrance{Address: req.Address, UserAgent: req.UserAgent, Device: req.Device, Channel: ChannelPassword}
	guess, err := s.meet(ctx, name, from)
	if err != nil {
		return Session{}, err
	}
	if err := guess.question(req.CaptchaID, req.Captcha); err != nil {
		return Session{}, err
	}
	row, channel, err := s.verify(ctx, name, req.Password, guess)
	if err != nil {
		return Session{}, err
	}
	from.Channel = channel
	s.locks.succeed(guess.limits)
	if channel == ChannelPassword {
		if err := s.rehash(ctx, row, req.Password); err != nil {
			s.log.Warn("a password keeps its old hash", "user", row.Username, "error", err)
		}
	}
	factors, err := s.factors(ctx, row.ID)
	if err != nil {
		return Session{}, err
	}
	if len(factors) > 0 {
		return Session{}, s.askFactor(row, from, guess.device, factors)
	}
	return s.enter(ctx, row, from, guess.device)
}

// guess is somebody who tries to prove who he is.
type guess struct {
	s      *Service
	name   string
	device *deviceRow // where the client shows one
	limits []limit
	lane   password.Lane
}

// meet looks at who comes before anything is checked. It answers *LockedError
// where nothing will be.
func (s *Service) meet(ctx context.Context, name string, from Entrance) (*guess, error) {
	g := &guess{s: s, name: name, lane: password.Strangers}
	var err error
	if g.device, err = s.knownDevice(ctx, from.Device); err != nil {
		return nil, err
	}
	w := g.device.who(name, from.Address)
	if w.device != "" {
		g.lane = password.Known
	}
	g.limits = s.locks.limitsOf(w)
	return g, s.locks.check(name, g.limits)
}

// who is a sign-in under the name from a browser, which need not be known.
func (d *deviceRow) who(name, address string) who {
	w := who{account: name, address: address}
	if d != nil && d.Username == name {
		w.device = d.ID
	}
	return w
}

func (g *guess) still() error { return g.s.locks.check(g.name, g.limits) }

// question refuses a try that owes the answer to a CAPTCHA. It counts against
// where it comes from, lest a program hammer on, but not against the account.
func (g *guess) question(id, answer string) error {
	if !g.s.locks.suspects(g.limits) || g.s.captcha.Answer(id, answer) {
		return nil
	}
	var own []limit
	for _, l := range g.limits {
		if l.kind != lockAccount && l.kind != lockFlood {
			own = append(own, l)
		}
	}
	g.s.note(g.name, g.s.locks.fail(own))
	return &DeniedError{CaptchaRequired: true, CaptchaMissing: answer == "", CaptchaWrong: answer != ""}
}

// failed counts a failed try.
func (g *guess) failed() error {
	g.s.note(g.name, g.s.locks.fail(g.limits))
	return &DeniedError{CaptchaRequired: g.s.locks.suspects(g.limits)}
}

// note writes to the log what a failure has locked.
func (s *Service) note(name string, locked []string) {
	for _, kind := range locked {
		s.log.Warn("locked after too many failed sign-ins", "kind", kind, "account", clip(name, 64))
	}
}

// verify finds the user whose name and password these are.
func (s *Service) verify(ctx context.Context, name, pass string, g *guess) (*userRow, string, error) {
	row, err := s.userRow(ctx, "u.username = ?", name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, "", err
	}
	local := row != nil && password.IsHash(row.PasswordHash)
	s.mu.RLock()
	directory := s.directory
	s.mu.RUnlock()
	if !local && directory != nil && len(pass) <= password.MaxLength && pass != "" {
		id, err := directory.Check(ctx, name, pass)
		switch {
		case err == nil:
			if row, err = s.userRow(ctx, "u.id = ?", id); err != nil {
				return nil, "", err
			}
			if !row.usable(s.now()) {
				return nil, "", g.failed()
			}
			return row, ChannelLDAP, nil
		case errors.Is(err, ErrUnauthenticated):
			return nil, "", g.failed()
		case !errors.Is(err, ErrNotFound):
			return nil, "", err
		}
	}
	encoded := s.hasher.Dummy()
	if local {
		encoded = row.PasswordHash
	}
	if len(pass) > password.MaxLength {
		pass, encoded = "", s.hasher.Dummy()
	}
	ok, err := s.hasher.Verify(ctx, g.lane, pass, encoded, g.still)
	if err != nil {
		return nil, "", err
	}
	if !ok || !local || !row.usable(s.now()) {
		return nil, "", g.failed()
	}
	return row, ChannelPassword, nil
}

// Enter opens a session for a user who has proved elsewhere who he is: at an
// identity provider. Locks on the account hold for him too.
func (s *Service) Enter(ctx context.Context, userID string, from Entrance) (Session, error) {
	row, err := s.userRow(ctx, "u.id = ?", userID)
	if err != nil {
		return Session{}, err
	}
	if !row.usable(s.now()) {
		return Session{}, ErrUnauthenticated
	}
	if err := s.locks.check(row.Username, nil); err != nil {
		return Session{}, err
	}
	device, err := s.knownDevice(ctx, from.Device)
	if err != nil {
		return Session{}, err
	}
	// A provider that saw a second factor is believed; where it did not, and the
	// user has one here, it is asked for.
	if !hasSecond(from.Channel) {
		factors, err := s.factors(ctx, row.ID)
		if err != nil {
			return Session{}, err
		}
		if len(factors) > 0 {
			return Session{}, s.askFactor(row, from, device, factors)
		}
	}
	return s.enter(ctx, row, from, device)
}

// hasSecond tells whether a channel holds more than one proof.
func hasSecond(channel string) bool {
	return channel == ChannelWebAuthn || strings.Contains(channel, "+")
}

// enter opens the session of a user who has proved who he is.
func (s *Service) enter(ctx context.Context, row *userRow, from Entrance, device *deviceRow) (Session, error) {
	now := s.now()
	secret := newSecret(sessionPrefix)
	sess := &sessionRow{
		ID: newID("ses_"), TokenHash: hashSecret(secret), UserID: row.ID, Address: clip(from.Address, 64), LastAddress: clip(from.Address, 64),
		UserAgent: clip(from.UserAgent, 300), Channel: from.Channel, Findings: "[]", CreatedAt: now.UnixMilli(), LastSeenAt: now.UnixMilli(),
		ConfirmedAt: now.UnixMilli(), ExpiresAt: now.Add(s.policies.sessions().absolute()).UnixMilli(),
	}
	known := device != nil && device.UserID == row.ID
	findings, alarming, err := s.judge(ctx, row, from, known)
	if err != nil {
		return Session{}, err
	}
	sess.Findings = encodeList(findings)
	out := Session{ID: sess.ID, Channel: from.Channel, Token: secret, ExpiresAt: fromMilli(sess.ExpiresAt), Findings: findings, Alarming: alarming, CodesLeft: -1}
	var ended int64
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		// Between the check and here somebody may have disabled the account.
		res, err := tx.ExecContext(ctx, "UPDATE identity_users SET last_login_at = ? WHERE id = ? AND NOT disabled AND password_hash = ?",
			now.UnixMilli(), row.ID, row.PasswordHash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n != 1 {
			return ErrUnauthenticated
		}
		if out.Device, sess.DeviceID, out.DeviceExpires, err = s.rememberDevice(ctx, tx, row.ID, from, device); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(sess).Exec(ctx); err != nil {
			return err
		}
		if err := errors.Join(s.learn(ctx, tx, row.ID, from), s.noteAccess(ctx, tx, row.ID, accessSignIn, from.Address, from.UserAgent, from.Channel, findings)); err != nil {
			return err
		}
		res, err = tx.ExecContext(ctx, `DELETE FROM identity_sessions WHERE user_id = ? AND id NOT IN
			(SELECT id FROM identity_sessions WHERE user_id = ? ORDER BY created_at DESC, id LIMIT ?)`, row.ID, row.ID, s.policies.sessions().PerUser)
		if err != nil {
			return err
		}
		ended, err = res.RowsAffected()
		return err
	})
	if errors.Is(err, ErrUnauthenticated) {
		return Session{}, ErrUnauthenticated
	}
	if err != nil {
		return Session{}, fmt.Errorf("identity: open a session for %q: %w", row.Username, err)
	}
	if ended > 0 {
		s.forgetWhere(func(_ string, e *entry) bool { return e.userID == row.ID })
	}
	if out.User, err = row.user(); err != nil {
		return Session{}, err
	}
	ends, err := s.passwordEnds(ctx, row)
	if err != nil {
		return Session{}, err
	}
	if !ends.IsZero() {
		out.PasswordExpires = &ends
		out.PasswordWarning = now.AddDate(0, 0, s.policies.password().WarnDays).After(ends)
	}
	pending, err := s.pending(ctx, row, sess.Channel)
	out.User.MustChangePassword = out.User.MustChangePassword || pending == PendingPassword
	out.User.MustEnrolFactor = pending == PendingFactor
	return out, err
}

// pending tells what the user of a session must do before anything else, ""
// where nothing. Second factors of those who came by an identity provider are
// the provider's business.
func (s *Service) pending(ctx context.Context, row *userRow, channel string) (string, error) {
	if row.MustChange {
		return PendingPassword, nil
	}
	ends, err := s.passwordEnds(ctx, row)
	if err != nil {
		return "", err
	}
	if !ends.IsZero() && !s.now().Before(ends) {
		return PendingPassword, nil
	}
	if hasSecond(channel) {
		return "", nil
	}
	direct, err := decodeList(row.Roles)
	if err != nil {
		return "", err
	}
	if needs, err := s.needsFactor(ctx, row.ID, direct); err != nil || !needs {
		return "", err
	}
	factors, err := s.factors(ctx, row.ID)
	if err != nil || len(factors) > 0 {
		return "", err
	}
	return PendingFactor, nil
}

// Captcha opens a question and returns its id and until when it can be
// answered.
func (s *Service) Captcha() (id string, expires time.Time) { return s.captcha.Ask() }

// CaptchaImage draws an open question as PNG.
func (s *Service) CaptchaImage(id string) ([]byte, error) { return s.captcha.Image(id) }

// CaptchaAudio reads an open question aloud as WAV, in one of
// captcha.Languages.
func (s *Service) CaptchaAudio(id, language string) ([]byte, error) {
	return s.captcha.Audio(id, language)
}
