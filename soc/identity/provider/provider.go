// Package provider makes the suite an OpenID provider, so that one sign-in
// serves Grafana, the tenants' modules and every other application of the
// portal. It keeps the applications (their cards, who may use them, their
// menus, their OIDC client, what of the API they may call themselves), issues
// codes and tokens, and keeps the keys that sign them.
//
// The protocol is OpenID Connect Core 1.0 with the code flow alone, PKCE
// (RFC 7636), refresh token rotation and the other advice of RFC 9700, token
// revocation (RFC 7009), introspection (RFC 7662) and logout by the client.
// Requests and answers are read and written by zitadel/oidc; what they mean is
// decided here. Codes and tokens are random and kept as hashes, and every use
// of one asks whether the session it came from still holds: nothing outlives a
// sign-out or a disabled account.
package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/identity"
	"icewatch/soc/seal"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Path is where the provider answers; the issuer ends with it.
const Path = "/oidc"

// Identity is what the room asks about the people who sign in.
type Identity interface {
	Session(ctx context.Context, id string) (identity.SessionState, error)
	Standing(ctx context.Context, userID string) (identity.Standing, error)
	Logout(ctx context.Context, p *identity.Principal) error
	ForgetApplication(id string)
}

// Sealer keeps the signing keys unreadable at rest; soc/seal has one.
type Sealer interface {
	Seal(plaintext, context []byte) ([]byte, error)
	Open(sealed, context []byte) ([]byte, error)
}

// Sealed says where sealed values of the room lie.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(sealKind, "provider_signing_keys", "id", "private")}
}

// Fetcher fetches what users name by URL, within what soc/egress allows.
type Fetcher interface {
	Check(ctx context.Context, rawURL string) error
	Client(timeout time.Duration) *http.Client
}

// Event is something that belongs into the audit log.
type Event struct {
	User        string // user name; "" where an application acts for itself
	Session     string // the user's, where there is one
	Application string // id
	Action      string // one of those below
	Denied      bool
	Detail      string
}

// What an Event can be about.
const (
	EventSignIn      = "application-sign-in"
	EventSignOut     = "application-sign-out"
	EventOwnToken    = "application-token"        // an application got a token for itself
	EventCodeReused  = "application-code-reused"  // what the code brought was ended
	EventTokenReused = "application-token-reused" // likewise of a refresh token
)

// Deps is what the room needs of others.
type Deps struct {
	DB       *state.DB
	Settings *settings.Store
	Identity Identity
	Seal     Sealer
	Fetch    Fetcher // nil: versions are not fetched
	// Issuer is the provider's name to the world, such as
	// https://soc.example.gov.cn/oidc. Empty where the suite does not know under
	// which address people reach it: then nothing is issued, and Warning says
	// what to set.
	Issuer  string
	Warning string
	// Record notes an event in the audit log; nil drops it.
	Record func(ctx context.Context, e Event)
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Policy is what administrators decide about tokens: the setting oidc-provider.
type Policy struct {
	AccessTokenMinutes      int `json:"access_token_minutes"`      // life of a user's access and ID token, 1 to 60
	ApplicationTokenMinutes int `json:"application_token_minutes"` // life of an application's own token, 1 to 1440
	CodeSeconds             int `json:"code_seconds"`              // life of an authorization code, 10 to 600 (RFC 6749, 4.1.2)
	KeyDays                 int `json:"key_days"`                  // how long a key signs, 1 to 730
	KeyOverlapDays          int `json:"key_overlap_days"`          // how long it is published after, 1 to 60
}

// DefaultPolicy is in force until somebody decides otherwise.
var DefaultPolicy = Policy{AccessTokenMinutes: 15, ApplicationTokenMinutes: 60, CodeSeconds: 60, KeyDays: 90, KeyOverlapDays: 7}

func (p Policy) check() error {
	for _, x := range []struct {
		name          string
		value, lo, hi int
	}{
		{"access_token_minutes", p.AccessTokenMinutes, 1, 60},
		{"application_token_minutes", p.ApplicationTokenMinutes, 1, 1440},
		{"code_seconds", p.CodeSeconds, 10, 600},
		{"key_days", p.KeyDays, 1, 730},
		{"key_overlap_days", p.KeyOverlapDays, 1, 60},
	} {
		if x.value < x.lo || x.value > x.hi {
			return fmt.Errorf("%s is %d, it must be %d to %d", x.name, x.value, x.lo, x.hi)
		}
	}
	return nil
}

// Service is the room's door. It is safe for concurrent use.
type Service struct {
	Deps
	policy *settings.Setting[Policy]
	quiet  *slog.Logger
	http   http.Handler

	writing  sync.Mutex // one change of the applications at a time
	apps     atomic.Pointer[map[string]*registered]
	keys     keyring
	makeKey  func() (*rsa.PrivateKey, error) // tests take theirs from a store
	versions versions
}

// Open prepares the tables and loads the applications. Call Run beside it.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Record == nil {
		d.Record = func(context.Context, Event) {}
	}
	if err := d.DB.Migrate(ctx, "provider", migrations); err != nil {
		return nil, err
	}
	s := &Service{Deps: d, quiet: slog.New(errorsOnly{d.Log.Handler()})}
	s.makeKey = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, keyBits) }
	var err error
	if s.policy, err = settings.Declare(ctx, d.Settings, "oidc-provider", identity.ScopeSecurity, DefaultPolicy, Policy.check); err != nil {
		return nil, err
	}
	if err := s.loadApplications(ctx); err != nil {
		return nil, err
	}
	if err := s.loadKeys(ctx); err != nil {
		return nil, err
	}
	s.http = s.handler()
	return s, nil
}

// Origin returns the provider's name to the world, and what should be set where
// it has none or may be known under another.
func (s *Service) Origin() (issuer, warning string) { return s.Issuer, s.Warning }

// Run renews the signing key when its time has come and removes what is over,
// until the context ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		if err := errors.Join(s.renewKey(ctx), s.clean(ctx)); err != nil && ctx.Err() == nil {
			s.Log.Error("oidc: keys and tokens are not looked after", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// clean removes grants, tokens and assertions that are over.
func (s *Service) clean(ctx context.Context) error {
	now := s.Now().UnixMilli()
	for _, q := range []string{
		"DELETE FROM provider_tokens WHERE expires_at <= ?",
		"DELETE FROM provider_grants WHERE expires_at <= ? OR (code_used_at IS NULL AND code_expires_at <= ?)",
		"DELETE FROM provider_assertions WHERE expires_at <= ?",
	} {
		args := []any{now}
		if strings.Count(q, "?") == 2 {
			args = append(args, now)
		}
		if _, err := s.DB.ExecContext(ctx, q, args...); err != nil {
			return fmt.Errorf("oidc: remove what is over: %w", err)
		}
	}
	return nil
}

// invalid makes an error that says which value cannot be stored, and why; the
// API answers it with 422.
func invalid(format string, args ...any) error {
	return invalidError{fmt.Sprintf(format, args...)}
}

type invalidError struct{ text string }

func (e invalidError) Error() string        { return e.text }
func (e invalidError) Is(target error) bool { return target == identity.ErrInvalid }

// notFound is the error for an application that does not exist.
func notFound(id string) error {
	return fmt.Errorf("the application %q: %w", id, identity.ErrNotFound)
}

// errorsOnly passes on what is our own fault: a client's mistakes are its own
// to see, and anybody can make as many as he likes.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}

func (h errorsOnly) WithAttrs(a []slog.Attr) slog.Handler { return errorsOnly{h.Handler.WithAttrs(a)} }
func (h errorsOnly) WithGroup(n string) slog.Handler      { return errorsOnly{h.Handler.WithGroup(n)} }
