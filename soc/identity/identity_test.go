package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/soc/identity/password"
	"icewatch/soc/identity/policy"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

const goodPassword = "moon-river-harbour"

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func open(t *testing.T, path string, opts ...Option) *Service {
	t.Helper()
	s, _ := openWith(t, path, opts...)
	return s
}

// openWith opens the room and the settings beside it.
func openWith(t *testing.T, path string, opts ...Option) (*Service, *settings.Store) {
	t.Helper()
	db, err := state.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	set, err := settings.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), db, set, slog.New(slog.DiscardHandler), append([]Option{withParams(password.Params{Memory: 64, Passes: 1, Threads: 1})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	// One operation a scope, called like it.
	var ops []policy.Operation
	for _, sc := range Scopes {
		ops = append(ops, policy.Operation{ID: sc, Scope: sc})
	}
	if err := s.Access().SetOperations(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	return s, set
}

// allows asks the policy whether the principal may do what is of the scope.
func allows(t *testing.T, s *Service, p *Principal, scope string) bool {
	t.Helper()
	d, err := s.Access().Engine().Decide(t.Context(), policy.Request{Subject: p.Subject, Operation: scope, Everywhere: p.AllTenants, Time: s.now()})
	if err != nil {
		t.Fatal(err)
	}
	return d.Allow
}

func fresh(t *testing.T) (*Service, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	return open(t, filepath.Join(t.TempDir(), "state.db"), WithClock(c.now)), c
}

func mustCreate(t *testing.T, s *Service, name string, roles []string, tenants ...string) User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), NewUser{Username: name, Password: goodPassword, Roles: roles, Tenants: tenants})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func mustLogin(t *testing.T, s *Service, name, password string) string {
	t.Helper()
	sess, err := s.Login(t.Context(), LoginRequest{Username: name, Password: password, Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	return sess.Token
}

func valid(t *testing.T, s *Service, secret string) bool {
	t.Helper()
	_, err := s.Authenticate(t.Context(), secret, "")
	if err != nil && !errors.Is(err, ErrUnauthenticated) {
		t.Fatal(err)
	}
	return err == nil
}

func TestEnsureAdmin(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	b, err := s.EnsureAdmin(t.Context(), "")
	if err != nil || !b.Created || b.Generated == "" || b.Username != "admin" {
		t.Fatalf("%+v, %v", b, err)
	}
	if err := s.checkPassword(b.Generated, "admin"); err != nil {
		t.Errorf("the generated password %q: %v", b.Generated, err)
	}
	mustLogin(t, s, "admin", b.Generated)
	if again, err := s.EnsureAdmin(t.Context(), "another-one-entirely"); err != nil || again.Created || again.Generated != "" {
		t.Errorf("a second time: %+v, %v", again, err)
	}

	given, _ := fresh(t)
	if b, err := given.EnsureAdmin(t.Context(), "short"); err != nil || !b.Created || !b.Weak || b.Generated != "" {
		t.Fatalf("%+v, %v", b, err)
	}
	sess, err := given.Login(t.Context(), LoginRequest{Username: "admin", Password: "short"})
	if err != nil || !sess.User.MustChangePassword || !sess.User.AllTenants {
		t.Fatalf("%+v, %v", sess.User, err)
	}
}

func TestSessionLimits(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	mustCreate(t, s, "li", []string{RoleAnalyst}, "a")
	idle := mustLogin(t, s, "li", goodPassword)
	used := mustLogin(t, s, "li", goodPassword)
	for range 3 {
		c.move(7 * time.Hour)
		if !valid(t, s, used) {
			t.Fatal("a session in use ended")
		}
	}
	if valid(t, s, idle) {
		t.Error("a session idle for 21 hours goes on")
	}
	c.move(3*time.Hour + time.Second)
	if valid(t, s, used) {
		t.Error("a session of more than 24 hours goes on")
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.db.NewSelect().Model((*sessionRow)(nil)).Count(t.Context()); err != nil || n != 0 {
		t.Errorf("%d sessions are left, %v", n, err)
	}
}

func TestSessionSurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	mustCreate(t, s, "li", []string{RoleViewer}, "a")
	secret := mustLogin(t, s, "li", goodPassword)
	again := open(t, path)
	p, err := again.Authenticate(t.Context(), secret, "")
	if err != nil || p.Username != "li" || !allows(t, s, p, ScopeRead) || allows(t, s, p, ScopeRespond) || p.AllTenants || !slices.Equal(p.Tenants, []string{"a"}) {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, column := range []string{"token_hash", "id", "user_agent"} {
		n, err := s.db.NewSelect().Model((*sessionRow)(nil)).Where("? = ?", column, secret).Count(t.Context())
		if err != nil || n != 0 {
			t.Errorf("the secret is stored in %s: %d, %v", column, n, err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	tok, secret, err := s.CreateToken(t.Context(), NewToken{Name: "shipper", Tenant: "a", Scopes: []string{ScopeIngest}, ExpiresIn: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Authenticate(t.Context(), secret, "")
	if err != nil || p.Via != ViaToken || p.AllTenants || !slices.Equal(p.Tenants, []string{"a"}) || !allows(t, s, p, ScopeIngest) || allows(t, s, p, ScopeRead) || p.Actor() != "token:shipper" {
		t.Fatalf("%+v, %v", p, err)
	}
	list, err := s.Tokens(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].LastUsedAt == nil || !list[0].LastUsedAt.Equal(c.now()) {
		t.Fatalf("%+v, %v", list, err)
	}
	c.move(time.Hour)
	if valid(t, s, secret) {
		t.Error("an expired token is good")
	}
	_, forever, err := s.CreateToken(t.Context(), NewToken{Name: "city", Scopes: []string{ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	c.move(20 * 365 * 24 * time.Hour)
	if p, err := s.Authenticate(t.Context(), forever, ""); err != nil || !p.AllTenants {
		t.Errorf("%+v, %v", p, err)
	}
	if err := s.RevokeToken(t.Context(), "", tok.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeToken(t.Context(), "", tok.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoking twice: %v", err)
	}
}

func TestRevocationBeatsReaders(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	for range 20 {
		tok, secret, err := s.CreateToken(t.Context(), NewToken{Name: "x", Scopes: []string{ScopeRead}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = s.Authenticate(context.Background(), secret, "")
					}
				}
			})
		}
		if err := s.RevokeToken(t.Context(), "", tok.ID); err != nil {
			t.Fatal(err)
		}
		if valid(t, s, secret) {
			t.Fatal("a revoked token is good")
		}
		close(stop)
		wg.Wait()
		if valid(t, s, secret) {
			t.Fatal("a revoked token came back from the cache")
		}
	}
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	mustCreate(t, s, "li", []string{RoleAnalyst}, "a")
	mine, other := mustLogin(t, s, "li", goodPassword), mustLogin(t, s, "li", goodPassword)
	p, err := s.Authenticate(t.Context(), mine, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(t.Context(), p, "wrong", "harbour-moon-river"); !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("with a wrong current password: %v", err)
	}
	if err := s.ChangePassword(t.Context(), p, goodPassword, "harbour-moon-river"); err != nil {
		t.Fatal(err)
	}
	if !valid(t, s, mine) || valid(t, s, other) {
		t.Errorf("mine %v, other %v", valid(t, s, mine), valid(t, s, other))
	}
	if _, err := s.Login(t.Context(), LoginRequest{Username: "li", Password: goodPassword}); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the old password: %v", err)
	}
	// Guessing the current password through a stolen session is backed off too.
	var locked *LockedError
	for range signIn.Tries {
		_ = s.ChangePassword(t.Context(), p, "wrong", "harbour-moon-river")
	}
	if err := s.ChangePassword(t.Context(), p, "harbour-moon-river", "moon-harbour-river-2"); !errors.As(err, &locked) {
		t.Errorf("after many guesses: %v", err)
	}
}

// The policies the tests count by.
var (
	signIn    = DefaultSignIn()
	firstLock = time.Duration(signIn.FirstLock) * time.Second
)

func TestBackOff(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	mustCreate(t, s, "li", []string{RoleViewer}, "a")
	quiet := signIn
	quiet.CaptchaAfter, quiet.CaptchaFlood = 0, 0
	s.policies.signIn = fixed(quiet)
	try := func(name, password, address string) error {
		_, err := s.Login(t.Context(), LoginRequest{Username: name, Password: password, Address: address})
		return err
	}
	var locked *LockedError
	for range signIn.Tries {
		if err := try("li", "wrong", "192.0.2.9"); !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
	}
	if err := try("li", goodPassword, "192.0.2.9"); !errors.As(err, &locked) || locked.After != firstLock {
		t.Fatalf("after %d failures: %v", signIn.Tries, err)
	}
	if err := try("LI ", goodPassword, "192.0.2.9"); !errors.As(err, &locked) {
		t.Fatalf("by another spelling: %v", err)
	}
	if err := try("li", goodPassword, "192.0.2.10"); err != nil {
		t.Fatalf("the user from elsewhere: %v", err)
	}
	c.move(firstLock)
	if err := try("li", "wrong", "192.0.2.9"); !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("after the lock: %v", err)
	}
	if err := try("li", goodPassword, "192.0.2.9"); !errors.As(err, &locked) || locked.After != 2*firstLock {
		t.Fatalf("the lock must double: %v", err)
	}
	c.move(2 * firstLock)
	if err := try("li", goodPassword, "192.0.2.9"); err != nil {
		t.Fatalf("the right password after the lock: %v", err)
	}
	if err := try("li", "wrong", "192.0.2.9"); !errors.Is(err, ErrUnauthenticated) {
		t.Fatalf("forgiven: %v", err)
	}

	// One who tries many names is stopped by address, an IPv6 one by /64.
	for i := range signIn.AddressTries {
		if err := try(fmt.Sprintf("name%d", i), "wrong", fmt.Sprintf("2001:db8::%x", i)); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := try("li", goodPassword, "2001:db8::ffff"); !errors.As(err, &locked) {
		t.Fatalf("after many names: %v", err)
	}
	if err := try("li", goodPassword, "2001:db8:0:1::1"); err != nil {
		t.Fatalf("another network: %v", err)
	}
	// Many who try one name slow it down, and only for a short time.
	for i := range signIn.AccountTries {
		_ = try("li", "wrong", fmt.Sprintf("198.51.100.%d", i))
	}
	if err := try("li", goodPassword, "203.0.113.5"); !errors.As(err, &locked) || locked.After > time.Duration(signIn.AccountLock)*time.Second {
		t.Fatalf("a spread attack: %v", err)
	}
	c.move(time.Duration(signIn.AccountLock) * time.Second)
	if err := try("li", goodPassword, "203.0.113.5"); err != nil {
		t.Fatalf("the right user after it: %v", err)
	}
	// Failures spread over a long time do not add up for an address.
	for i := range 2 * signIn.AddressTries {
		c.move(time.Minute)
		if err := try(fmt.Sprintf("slow%d", i), "wrong", "203.0.113.77"); !errors.Is(err, ErrUnauthenticated) {
			t.Fatalf("slow attempt %d: %v", i, err)
		}
	}
}

func TestLockoutIsBounded(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Now()}
	l := newLockout(fixed(signIn), c.now)
	for i := range maxKeys {
		l.fail(l.limitsOf(who{account: fmt.Sprint("user", i), address: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)}))
	}
	if len(l.keys) > maxKeys {
		t.Fatalf("%d keys", len(l.keys))
	}
}

// A storm of sign-ins is turned away rather than queued for hours or given
// memory without end.
func TestLoginStorm(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	s.hasher = password.NewHasher(password.Params{Memory: 4096, Passes: 8, Threads: 1})
	var wg sync.WaitGroup
	var mu sync.Mutex
	busy, wrong := 0, 0
	for i := range 400 {
		wg.Go(func() {
			_, err := s.Login(t.Context(), LoginRequest{Username: fmt.Sprint("u", i), Password: "x", Address: fmt.Sprintf("10.0.%d.%d", i>>8, i&255)})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrBusy):
				busy++
			case errors.Is(err, ErrUnauthenticated):
				wrong++
			default:
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if busy == 0 || wrong == 0 || busy+wrong != 400 {
		t.Errorf("busy %d, wrong %d", busy, wrong)
	}
}

func TestSessionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	mustCreate(t, s, "li", []string{RoleViewer}, "a")
	first := mustLogin(t, s, "li", goodPassword)
	if !valid(t, s, first) {
		t.Fatal("the first session")
	}
	last := ""
	for range DefaultSessions().PerUser {
		c.move(time.Second)
		last = mustLogin(t, s, "li", goodPassword)
	}
	if valid(t, s, first) || !valid(t, s, last) {
		t.Errorf("first %v, last %v", valid(t, s, first), valid(t, s, last))
	}
}

func TestLastUseReachesSQL(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	tok, secret, err := s.CreateToken(t.Context(), NewToken{Name: "x", Scopes: []string{ScopeRead}})
	if err != nil {
		t.Fatal(err)
	}
	c.move(time.Minute)
	if !valid(t, s, secret) {
		t.Fatal("the token")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	cancel()
	<-done
	row := new(tokenRow)
	if err := s.db.NewSelect().Model(row).Where("t.id = ?", tok.ID).Scan(t.Context()); err != nil || row.LastUsedAt == nil || *row.LastUsedAt != c.now().UnixMilli() {
		t.Fatalf("%+v, %v", row, err)
	}
}

func FuzzSecretKind(f *testing.F) {
	f.Add(newSecret(sessionPrefix))
	f.Add(newSecret(tokenPrefix))
	f.Add("iwt_")
	f.Add("iws_" + strings.Repeat("A", 48))
	f.Fuzz(func(t *testing.T, s string) {
		kind, ok := secretKind(s)
		if !ok {
			return
		}
		if kind != sessionPrefix && kind != tokenPrefix || len(s) != len(kind)+48 {
			t.Fatalf("%q was taken for a %q", s, kind)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	db, err := state.Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	set, err := settings.Open(b.Context(), db)
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), db, set, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	_, secret, err := s.CreateToken(b.Context(), NewToken{Name: "x", Scopes: []string{ScopeIngest}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Authenticate(b.Context(), secret, ""); err != nil {
			b.Fatal(err)
		}
	}
}
