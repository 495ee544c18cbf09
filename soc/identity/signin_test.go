package identity

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"icewatch/soc/identity/captcha"
	"icewatch/soc/identity/mfa"
	"icewatch/soc/identity/mfa/mfatest"
	"icewatch/soc/identity/password"
	"icewatch/soc/seal"
	"icewatch/soc/settings"
)

// solved is a captcha store whose every answer is "right".
type solved struct{ *captcha.Store }

func (solved) Answer(_, answer string) bool { return answer == "right" }

// try signs in and returns the session and the error.
func try(t *testing.T, s *Service, req LoginRequest) (Session, error) {
	t.Helper()
	if req.Username == "" {
		req.Username = "li"
	}
	if req.Password == "" {
		req.Password = goodPassword
	}
	if req.UserAgent == "" {
		req.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	}
	return s.Login(t.Context(), req)
}

// principal is the one behind a session.
func principal(t *testing.T, s *Service, sess Session) *Principal {
	t.Helper()
	p, err := s.Authenticate(t.Context(), sess.Token, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settle makes a user who needs not change the password first.
func settle(t *testing.T, s *Service, name string, roles []string, tenants ...string) User {
	t.Helper()
	u := mustCreate(t, s, name, roles, tenants...)
	if _, err := s.db.ExecContext(t.Context(), "UPDATE identity_users SET must_change_password = ? WHERE id = ?", false, u.ID); err != nil {
		t.Fatal(err)
	}
	return u
}

// What strangers do to an account, from everywhere and from the user's own
// network, keeps them out and not the user on a browser he has used before.
func TestKnownDevice(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	s.captcha = solved{}
	settle(t, s, "li", []string{RoleViewer}, "a")
	settle(t, s, "wang", []string{RoleViewer}, "a")
	first, err := try(t, s, LoginRequest{Address: "192.0.2.1"})
	if err != nil || first.Device == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	var locked *LockedError
	for i := range 3 * signIn.AccountTries {
		_, _ = try(t, s, LoginRequest{Password: "wrong", Captcha: "right", Address: fmt.Sprintf("198.51.%d.%d", i/200, i%200)})
	}
	for i := range 2 * signIn.AddressTries {
		_, _ = try(t, s, LoginRequest{Username: fmt.Sprint("name", i), Password: "wrong", Captcha: "right", Address: "192.0.2.1"})
	}
	if _, err := try(t, s, LoginRequest{Captcha: "right", Address: "203.0.113.1"}); !errors.As(err, &locked) {
		t.Errorf("a stranger with the right password: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1", Device: newSecret(devicePrefix)}); !errors.As(err, &locked) {
		t.Errorf("with a device cookie that nobody was given: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Username: "wang", Address: "192.0.2.1", Device: first.Device}); !errors.As(err, &locked) {
		t.Errorf("another user with the device cookie: %v", err)
	}
	again, err := try(t, s, LoginRequest{Address: "192.0.2.1", Device: first.Device})
	if err != nil || again.Device != "" {
		t.Fatalf("the right user on his browser: %+v, %v", again, err)
	}
	// The device has a patience of its own.
	for range signIn.Tries {
		if _, err := try(t, s, LoginRequest{Password: "wrong", Captcha: "right", Device: first.Device}); !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if _, err := try(t, s, LoginRequest{Captcha: "right", Device: first.Device}); !errors.As(err, &locked) {
		t.Errorf("the device, stolen: %v", err)
	}
	c.move(time.Duration(signIn.LongestLock) * time.Second)

	p := principal(t, s, again)
	devices, err := s.Devices(t.Context(), p.UserID, first.Device)
	if err != nil || len(devices) != 1 || !devices[0].Current || devices[0].Client != "Chrome 140, Linux" {
		t.Errorf("%+v, %v", devices, err)
	}
	// Half its life later the cookie is renewed, and the old one is void.
	c.move(time.Duration(signIn.DeviceDays) * 12 * time.Hour)
	renewed, err := try(t, s, LoginRequest{Address: "192.0.2.1", Device: first.Device})
	if err != nil || renewed.Device == "" {
		t.Fatalf("%+v, %v", renewed, err)
	}
	if d, err := s.knownDevice(t.Context(), first.Device); d != nil || err != nil {
		t.Errorf("the old cookie is known: %+v, %v", d, err)
	}
	if n, err := s.ForgetDevice(t.Context(), p.UserID, ""); n != 1 || err != nil {
		t.Errorf("forgetting: %d, %v", n, err)
	}
	if d, err := s.knownDevice(t.Context(), renewed.Device); d != nil || err != nil {
		t.Errorf("a forgotten device is known: %+v, %v", d, err)
	}
}

func TestCaptcha(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	s.captcha = solved{}
	settle(t, s, "li", []string{RoleViewer}, "a")
	var denied *DeniedError
	for i := range signIn.CaptchaAfter {
		if _, err := try(t, s, LoginRequest{Password: "wrong", Address: "192.0.2.1"}); !errors.As(err, &denied) || denied.CaptchaMissing || denied.CaptchaRequired != (i == signIn.CaptchaAfter-1) {
			t.Fatalf("failure %d: %+v", i, denied)
		}
	}
	before, _ := s.hasher.Count()
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); !errors.As(err, &denied) || !denied.CaptchaMissing {
		t.Fatalf("the right password without an answer: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1", Captcha: "guessed"}); !errors.As(err, &denied) || !denied.CaptchaWrong {
		t.Fatalf("with a wrong answer: %v", err)
	}
	if after, _ := s.hasher.Count(); after != before {
		t.Errorf("%d passwords were hashed without an answer", after-before)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.7"}); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1", Captcha: "right"}); err != nil {
		t.Errorf("with the right answer: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); err != nil {
		t.Errorf("after a success: %v", err)
	}
	// A flood from everywhere: whoever is not known must answer.
	for i := range 2 * signIn.CaptchaFlood {
		_, _ = try(t, s, LoginRequest{Username: fmt.Sprint("u", i), Password: "wrong", Address: fmt.Sprintf("10.0.%d.%d", i/200, i%200)})
	}
	if _, err := try(t, s, LoginRequest{Address: "203.0.113.9"}); !errors.As(err, &denied) || !denied.CaptchaMissing {
		t.Errorf("in a flood: %v", err)
	}
	if after, _ := s.hasher.Count(); after-before > uint64(signIn.CaptchaFlood)+10 {
		t.Errorf("%d passwords were hashed in the flood", after-before)
	}
}

func TestLocksSurviveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	u := settle(t, s, "li", []string{RoleViewer}, "a")
	s.captcha = solved{}
	for range signIn.Tries {
		_, _ = try(t, s, LoginRequest{Password: "wrong", Captcha: "right", Address: "192.0.2.1"})
	}
	if err := s.locks.save(t.Context(), s.db); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	again.captcha = solved{}
	var locked *LockedError
	if _, err := try(t, again, LoginRequest{Captcha: "right", Address: "192.0.2.1"}); !errors.As(err, &locked) {
		t.Fatalf("after a restart: %v", err)
	}
	locks := again.Locks()
	if len(locks) != 1 || locks[0].Kind != lockPair || locks[0].Account != "li" || locks[0].Network != "192.0.2.1" || locks[0].Failures != signIn.Tries {
		t.Fatalf("%+v", locks)
	}
	if _, err := again.RemoveLock(t.Context(), "bm90aGluZw"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing what is not there: %v", err)
	}
	if _, err := again.RemoveLock(t.Context(), locks[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, again, LoginRequest{Captcha: "right", Address: "192.0.2.1"}); err != nil {
		t.Fatalf("unlocked: %v", err)
	}
	again.locks.hold("li")
	if _, err := try(t, again, LoginRequest{Address: "192.0.2.1"}); !errors.As(err, &locked) || !locked.Held {
		t.Fatalf("held: %v", err)
	}
	if _, err := again.Unlock(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, open(t, path), LoginRequest{Address: "192.0.2.1"}); err != nil {
		t.Fatalf("unlocked, after a restart: %v", err)
	}
}

func TestPasswordHistoryAndAge(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	p := password.Default()
	p.History, p.MinAgeHours = 3, 1
	s.policies.password = fixed(p)
	settle(t, s, "li", []string{RoleViewer}, "a")
	now := goodPassword
	change := func(next, rule string) {
		t.Helper()
		sess, err := try(t, s, LoginRequest{Password: now})
		if err != nil {
			t.Fatal(err)
		}
		err = s.ChangePassword(t.Context(), principal(t, s, sess), now, next)
		var weak *PolicyError
		if rule == "" && err != nil || rule != "" && (!errors.As(err, &weak) || weak.Rule != rule) {
			t.Fatalf("to %q: %v, want %q", next, err, rule)
		}
		if err == nil {
			now = next
		}
	}
	change("harbour-moon-river-1", password.RuleAge)
	for i := range 3 {
		c.move(time.Hour)
		change(fmt.Sprint("harbour-moon-river-", i), "")
	}
	c.move(time.Hour)
	change("harbour-moon-river-0", password.RuleHistory)
	change("harbour-moon-river-1", password.RuleHistory)
	change(now, password.RuleHistory)
	change(goodPassword, "") // the fourth before

	c.move(time.Duration(p.MaxAgeDays-p.WarnDays) * 24 * time.Hour)
	sess, err := try(t, s, LoginRequest{Password: now})
	if err != nil || sess.User.MustChangePassword || sess.PasswordWarning || sess.PasswordExpires == nil {
		t.Fatalf("before the warning: %+v, %v", sess, err)
	}
	c.move(24 * time.Hour)
	if sess, err = try(t, s, LoginRequest{Password: now}); err != nil || !sess.PasswordWarning || sess.User.MustChangePassword {
		t.Fatalf("warned: %+v, %v", sess, err)
	}
	c.move(time.Duration(p.WarnDays) * 24 * time.Hour)
	if sess, err = try(t, s, LoginRequest{Password: now}); err != nil || !sess.User.MustChangePassword || principal(t, s, sess).Pending != PendingPassword {
		t.Fatalf("over age: %+v, %v", sess, err)
	}
	change("river-harbour-moon", "")
	if sess, err = try(t, s, LoginRequest{Password: now}); err != nil || principal(t, s, sess).Pending != "" {
		t.Fatalf("changed: %+v, %v", sess, err)
	}
}

func TestRehash(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	settle(t, s, "li", []string{RoleViewer}, "a")
	s.hasher = password.NewHasher(password.Params{Memory: 128, Passes: 1, Threads: 1})
	for range 2 {
		sess, err := try(t, s, LoginRequest{})
		if err != nil {
			t.Fatal(err)
		}
		row, err := s.userRow(t.Context(), "u.id = ?", sess.User.ID)
		if err != nil || !strings.Contains(row.PasswordHash, "m=128,") {
			t.Fatalf("%q, %v", row.PasswordHash, err)
		}
		if at, err := s.passwordSet(t.Context(), row); err != nil || !at.Equal(s.now()) {
			t.Fatalf("the password's age is lost: %s, %v", at, err)
		}
	}
}

func TestSessionsAreListedBoundAndEnded(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	u := settle(t, s, "li", []string{RoleViewer}, "a")
	other := settle(t, s, "wang", []string{RoleViewer}, "a")
	var mine []Session
	for i := range 3 {
		sess, err := try(t, s, LoginRequest{Address: fmt.Sprintf("192.0.2.%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, sess)
	}
	list, total, err := s.Sessions(t.Context(), u.ID, 2, 0)
	if err != nil || total != 3 || len(list) != 2 || list[0].Username != "li" || list[0].Channel != ChannelPassword || list[0].Client != "Chrome 140, Linux" {
		t.Fatalf("%+v, %d, %v", list, total, err)
	}
	id := principal(t, s, mine[0]).SessionID
	if err := s.EndSession(t.Context(), other.ID, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("ending another's session: %v", err)
	}
	if err := s.EndSession(t.Context(), u.ID, id); err != nil || valid(t, s, mine[0].Token) {
		t.Errorf("ending one's own: %v", err)
	}
	if n, err := s.EndSessions(t.Context(), u.ID, principal(t, s, mine[1]).SessionID); n != 1 || err != nil || !valid(t, s, mine[1].Token) || valid(t, s, mine[2].Token) {
		t.Errorf("ending the others: %d, %v", n, err)
	}

	f := func(binding, address string, want bool) {
		t.Helper()
		p := DefaultSessions()
		p.Binding = binding
		s.policies.sessions = fixed(p)
		if _, err := s.Authenticate(t.Context(), mine[1].Token, address); (err == nil) != want || err != nil && !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("bound by %s, from %s: %v", binding, address, err)
		}
	}
	f(BindingOff, "203.0.113.1", true)
	f(BindingNetwork, "203.0.113.1", false)
	f(BindingNetwork, "192.0.2.200", true)
	f(BindingAddress, "192.0.2.200", false)
	f(BindingAddress, "192.0.2.1", true)
	f(BindingAddress, "::ffff:192.0.2.1", false) // the API never spells it so
}

func TestOwnTokens(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	settle(t, s, "boss", []string{RoleAdmin}, "*")
	u := settle(t, s, "li", []string{RoleAnalyst}, "a", "b")
	sess, err := try(t, s, LoginRequest{})
	if err != nil {
		t.Fatal(err)
	}
	me := principal(t, s, sess)
	for _, n := range []NewToken{
		{Name: "x", Scopes: []string{ScopeSecurity}},
		{Name: "x", Scopes: []string{ScopeRead}, Tenant: "c"},
		{Name: "x", Scopes: []string{ScopeRead}, Addresses: []string{"everywhere"}},
	} {
		n.Owner = me
		if _, _, err := s.CreateToken(t.Context(), n); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	tok, secret, err := s.CreateToken(t.Context(), NewToken{Name: "mine", Scopes: []string{ScopeRead, ScopeRespond}, Tenant: "a", Owner: me, Addresses: []string{"192.0.2.7", "10.0.0.0/8"}, ExpiresIn: time.Hour})
	if err != nil || !slices.Equal(tok.Addresses, []string{"192.0.2.7/32", "10.0.0.0/8"}) {
		t.Fatalf("%+v, %v", tok, err)
	}
	p, err := s.Authenticate(t.Context(), secret, "10.9.8.7")
	if err != nil || p.Via != ViaToken || !allows(t, s, p, ScopeRespond) || allows(t, s, p, ScopeConfigure) || !p.listed("a") || p.listed("b") || p.Actor() != "token:mine" {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := s.Authenticate(t.Context(), secret, "192.0.2.8"); !errors.Is(err, ErrElsewhere) {
		t.Errorf("from elsewhere: %v", err)
	}
	if list, err := s.Tokens(t.Context(), u.ID); err != nil || len(list) != 1 || list[0].LastAddress != "10.9.8.7" {
		t.Errorf("%+v, %v", list, err)
	}
	// What the user may no longer do, his token may not either.
	if _, err := s.UpdateUser(t.Context(), u.ID, UserChange{Roles: &[]string{RoleViewer}, Tenants: &[]string{"b"}}); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Authenticate(t.Context(), secret, "10.9.8.7"); err != nil || allows(t, s, p, ScopeRespond) || p.listed("a") || p.listed("b") {
		t.Errorf("demoted: %+v, %v", p, err)
	}
	_, renewed, err := s.RotateToken(t.Context(), me, tok.ID)
	if err != nil || valid(t, s, secret) || !valid(t, s, renewed) {
		t.Errorf("rotated: %v", err)
	}
	c.move(11 * time.Minute)
	if _, _, err := s.CreateToken(t.Context(), NewToken{Name: "y", Scopes: []string{ScopeRead}, Owner: me}); !errors.Is(err, ErrConfirm) {
		t.Errorf("long after the sign-in: %v", err)
	}
	if err := s.Confirm(t.Context(), me, "wrong"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("confirming with a wrong password: %v", err)
	}
	if err := s.Confirm(t.Context(), me, goodPassword); err != nil {
		t.Fatal(err)
	}
	s.policies.tokens = fixed(TokenPolicy{LongestDays: 30})
	for life, ok := range map[time.Duration]bool{0: false, 31 * 24 * time.Hour: false, 30 * 24 * time.Hour: true} {
		if _, _, err := s.CreateToken(t.Context(), NewToken{Name: "y", Scopes: []string{ScopeRead}, Owner: me, ExpiresIn: life}); (err == nil) != ok {
			t.Errorf("a life of %s: %v", life, err)
		}
	}
	yes := true
	if _, err := s.UpdateUser(t.Context(), u.ID, UserChange{Disabled: &yes}); err != nil || valid(t, s, renewed) {
		t.Errorf("the token of a disabled user is good: %v", err)
	}
}

func TestSecondFactors(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	s.sealer = seal.Ephemeral(Sealed()...)
	u := settle(t, s, "li", []string{RoleViewer}, "a")
	sess, err := try(t, s, LoginRequest{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	me := principal(t, s, sess)
	e, err := s.BeginTOTP(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	code := func() string {
		t.Helper()
		code, err := totp.GenerateCode(e.Secret, c.now())
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	if _, err := s.FinishTOTP(t.Context(), me, e.ID, "000000"); !errors.Is(err, ErrWrongCode) {
		t.Fatal(err)
	}
	codes, err := s.FinishTOTP(t.Context(), me, e.ID, code())
	if err != nil || len(codes) != mfa.Codes {
		t.Fatalf("%q, %v", codes, err)
	}
	var stored string
	if err := s.db.NewSelect().Table("identity_totp").Column("secret").Scan(t.Context(), &stored); err != nil || strings.Contains(stored, e.Secret) {
		t.Errorf("the secret is stored as %q, %v", stored, err)
	}

	from := Entrance{Address: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"}
	step := func() string {
		t.Helper()
		var factor *FactorError
		if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); !errors.As(err, &factor) || !slices.Equal(factor.Factors, []string{FactorTOTP, FactorRecovery}) {
			t.Fatalf("the password alone: %v", err)
		}
		return factor.Challenge
	}
	if _, err := s.LoginTOTP(t.Context(), step(), code(), from); !errors.Is(err, ErrWrongCode) {
		t.Errorf("the code of the enrolment, again: %v", err)
	}
	c.move(30 * time.Second)
	challenge := step()
	if _, err := s.LoginTOTP(t.Context(), challenge, code(), Entrance{Address: "203.0.113.1", UserAgent: from.UserAgent}); !errors.Is(err, ErrOver) {
		t.Errorf("the second step from another network: %v", err)
	}
	challenge = step()
	in, err := s.LoginTOTP(t.Context(), challenge, " "+code()+" ", from)
	if err != nil || principal(t, s, in).Channel != "password+totp" {
		t.Fatalf("%+v, %v", in, err)
	}
	if _, err := s.LoginTOTP(t.Context(), challenge, code(), from); !errors.Is(err, ErrOver) {
		t.Errorf("the challenge, again: %v", err)
	}
	if _, err := s.LoginTOTP(t.Context(), step(), code(), from); !errors.Is(err, ErrWrongCode) {
		t.Errorf("the code, again: %v", err)
	}

	in, err = s.LoginRecovery(t.Context(), step(), strings.ToUpper(codes[3]), from)
	if err != nil || in.CodesLeft != mfa.Codes-1 {
		t.Fatalf("%+v, %v", in, err)
	}
	if _, err := s.LoginRecovery(t.Context(), step(), codes[3], from); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a recovery code, again: %v", err)
	}

	// Guessing codes ends the challenge, and then locks.
	var locked *LockedError
	wrong, over := 0, 0
	for range 4 * signIn.Tries {
		var factor *FactorError
		if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); !errors.As(err, &factor) {
			t.Fatal(err)
		}
		for range maxTries + 1 {
			_, err := s.LoginTOTP(t.Context(), factor.Challenge, "000000", from)
			switch {
			case errors.Is(err, ErrWrongCode):
				wrong++
			case errors.Is(err, ErrOver):
				over++
			case !errors.As(err, &locked):
				t.Fatal(err)
			}
		}
	}
	if locked == nil || wrong > signIn.Tries || over == 0 {
		t.Errorf("%d wrong codes were looked at, %d came too late, locked: %v", wrong, over, locked)
	}

	if err := s.ResetFactors(t.Context(), u.ID); err != nil || valid(t, s, in.Token) {
		t.Fatalf("reset: %v", err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}

func TestFactorPolicy(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	s.sealer = seal.Ephemeral(Sealed()...)
	settle(t, s, "li", []string{RoleViewer}, "a")
	settle(t, s, "boss", []string{RoleAdmin}, "a")
	p := DefaultSignIn()
	p.Factors, p.FactorRoles = FactorsByRole, []string{RoleAdmin}
	s.policies.signIn = fixed(p)
	sess, err := try(t, s, LoginRequest{})
	if err != nil || principal(t, s, sess).Pending != "" {
		t.Fatalf("one of whom none is demanded: %+v, %v", sess, err)
	}
	sess, err = try(t, s, LoginRequest{Username: "boss"})
	if err != nil || !sess.User.MustEnrolFactor || principal(t, s, sess).Pending != PendingFactor {
		t.Fatalf("one of whom a factor is demanded: %+v, %v", sess, err)
	}
	me := principal(t, s, sess)
	e, err := s.BeginTOTP(t.Context(), me)
	if err != nil {
		t.Fatal(err)
	}
	code, _ := totp.GenerateCode(e.Secret, c.now())
	if _, err := s.FinishTOTP(t.Context(), me, e.ID, code); err != nil {
		t.Fatal(err)
	}
	if me = principal(t, s, sess); me.Pending != "" {
		t.Errorf("enrolled, and still pending: %s", me.Pending)
	}
	if err := s.RemoveFactor(t.Context(), me, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("removing the last one: %v", err)
	}
}

func TestSecurityKeys(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	settle(t, s, "li", []string{RoleViewer}, "a")
	wang := settle(t, s, "wang", []string{RoleViewer}, "a")
	const site = "https://soc.example.org"
	party := virtualwebauthn.RelyingParty{ID: "soc.example.org", Name: "icewatch", Origin: site}
	sess, err := try(t, s, LoginRequest{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	me := principal(t, s, sess)
	device := virtualwebauthn.NewAuthenticatorWithOptions(virtualwebauthn.AuthenticatorOptions{UserHandle: []byte(me.UserID)})
	key := mfatest.SecurityKey(t)
	register := func(party virtualwebauthn.RelyingParty) ([]string, error) {
		t.Helper()
		e, err := s.BeginKey(t.Context(), me, site)
		if err != nil {
			t.Fatal(err)
		}
		options, err := virtualwebauthn.ParseAttestationOptions(string(e.Options))
		if err != nil {
			t.Fatal(err)
		}
		_, codes, err := s.FinishKey(t.Context(), me, e.ID, "my key", []byte(virtualwebauthn.CreateAttestationResponse(party, device, key, *options)))
		return codes, err
	}
	evil := virtualwebauthn.RelyingParty{ID: "soc.example.org", Name: "icewatch", Origin: "https://soc.examp1e.org"}
	if _, err := register(evil); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a key made on another site: %v", err)
	}
	codes, err := register(party)
	if err != nil || len(codes) != mfa.Codes {
		t.Fatalf("%q, %v", codes, err)
	}
	if _, err := register(party); !errors.Is(err, ErrInvalid) {
		t.Errorf("the same key twice: %v", err)
	}
	device.AddCredential(key)

	from := Entrance{Address: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"}
	answer := func(options mfa.Options, party virtualwebauthn.RelyingParty, device virtualwebauthn.Authenticator) []byte {
		t.Helper()
		o, err := virtualwebauthn.ParseAssertionOptions(string(options))
		if err != nil {
			t.Fatal(err)
		}
		key.Counter++
		return []byte(virtualwebauthn.CreateAssertionResponse(party, device, key, *o))
	}
	second := func(party virtualwebauthn.RelyingParty) (Session, error) {
		t.Helper()
		var factor *FactorError
		if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); !errors.As(err, &factor) || !slices.Contains(factor.Factors, FactorWebAuthn) {
			t.Fatal(err)
		}
		challenge, options, err := s.BeginWebAuthn(t.Context(), factor.Challenge, site, from)
		if err != nil {
			t.Fatal(err)
		}
		return s.FinishWebAuthn(t.Context(), challenge, answer(options, party, device), from)
	}
	in, err := second(party)
	if err != nil || principal(t, s, in).Channel != "password+webauthn" {
		t.Fatalf("%+v, %v", in, err)
	}
	if _, err := second(evil); !errors.Is(err, ErrWrongCode) {
		t.Errorf("an answer given to another site: %v", err)
	}
	key.Counter -= 2
	if _, err := second(party); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a copy of the key: %v", err)
	}
	key.Counter += 2

	alone := func(device virtualwebauthn.Authenticator) (Session, error) {
		t.Helper()
		challenge, options, err := s.BeginWebAuthn(t.Context(), "", site, from)
		if err != nil {
			t.Fatal(err)
		}
		return s.FinishWebAuthn(t.Context(), challenge, answer(options, party, device), from)
	}
	if in, err = alone(device); err != nil || in.User.Username != "li" || principal(t, s, in).Channel != ChannelWebAuthn {
		t.Fatalf("alone: %+v, %v", in, err)
	}
	idle := device
	idle.Options.UserNotVerified = true
	if _, err := alone(idle); !errors.Is(err, ErrWrongCode) {
		t.Errorf("alone, with a key that did not verify its user: %v", err)
	}
	thief := device
	thief.Options.UserHandle = []byte(wang.ID)
	if _, err := alone(thief); !errors.Is(err, ErrWrongCode) {
		t.Errorf("alone, as another user: %v", err)
	}
	p := DefaultSignIn()
	p.Passwordless = false
	s.policies.signIn = fixed(p)
	if _, _, err := s.BeginWebAuthn(t.Context(), "", site, from); !errors.Is(err, ErrInvalid) {
		t.Errorf("alone, where that is switched off: %v", err)
	}
	f, err := s.Factors(t.Context(), me.UserID)
	if err != nil || len(f.WebAuthn) != 1 || f.WebAuthn[0].Name != "my key" || f.WebAuthn[0].LastUsedAt == nil || f.CodesLeft != mfa.Codes {
		t.Fatalf("%+v, %v", f, err)
	}
	if _, err := s.RenameKey(t.Context(), &Principal{UserID: wang.ID}, f.WebAuthn[0].ID, "mine"); !errors.Is(err, ErrNotFound) {
		t.Errorf("renaming another's key: %v", err)
	}
	c.move(time.Hour)
	if err := s.RemoveFactor(t.Context(), me, f.WebAuthn[0].ID); !errors.Is(err, ErrConfirm) {
		t.Errorf("removing without a confirmation: %v", err)
	}
	if err := s.Confirm(t.Context(), me, goodPassword); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveFactor(t.Context(), me, f.WebAuthn[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.1"}); err != nil {
		t.Errorf("without any factor: %v", err)
	}
}

// A change of a policy holds at once, for sessions that are open too.
func TestPoliciesAreSettings(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	s, store := openWith(t, filepath.Join(t.TempDir(), "state.db"), WithClock(c.now))
	settle(t, s, "li", []string{RoleViewer}, "a")
	sess, err := try(t, s, LoginRequest{})
	if err != nil || !valid(t, s, sess.Token) {
		t.Fatal(err)
	}
	c.move(2 * time.Hour)
	if err := store.Set(t.Context(), "sessions", []byte(`{"idle_minutes":60}`), "admin"); err != nil {
		t.Fatal(err)
	}
	if valid(t, s, sess.Token) {
		t.Error("a session idle for two hours is open under a limit of one")
	}
	for name, doc := range map[string]string{
		"sessions":        `{"idle_minutes":0}`,
		"sign-in":         `{"factors":"sometimes"}`,
		"password-policy": `{"min_length":4}`,
		"tokens":          `{"longest_days":-1}`,
	} {
		if err := store.Set(t.Context(), name, []byte(doc), "admin"); !errors.Is(err, settings.ErrInvalid) {
			t.Errorf("%s %s: %v", name, doc, err)
		}
	}
}
