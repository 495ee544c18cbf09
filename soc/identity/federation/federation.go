// Package federation lets people sign in by identity providers of the city:
// OpenID Connect, SAML 2.0, and directories that speak LDAP. It keeps the
// providers, maps what they say of a person to roles, tenants and a unit, and
// takes users and units over from directories on a schedule. How the protocols
// go is told in the packages below it; what an account is, in soc/identity.
package federation

import (
	"context"
	"crypto/cipher"
	"crypto/x509"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
	"icewatch/soc/identity/federation/ldap"
	"icewatch/soc/identity/federation/oidc"
	"icewatch/soc/identity/federation/saml"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/soc/units"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such provider or run.
	ErrNotFound = errors.New("there is no such identity provider")
	// ErrExists says that the id is taken.
	ErrExists = errors.New("there is an identity provider of that id")
	// ErrInvalid says that a provider cannot be kept like this; the error that
	// wraps it names the field.
	ErrInvalid = errors.New("the identity provider cannot be kept")
	// ErrRunning says that a sync of the provider runs already.
	ErrRunning = errors.New("a sync of this provider is running")

	// ErrExpired says that a sign-in did not begin in this browser, or too long
	// ago.
	ErrExpired = errors.New("the sign-in did not begin here, or is over")
	// ErrUnmapped says that the mapping gives a person nothing.
	ErrUnmapped = errors.New("the mapping gives no role")
)

// Sealed is where the room keeps secrets.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column("identity-provider", "federation_providers", "id", "secrets"),
		seal.Column("federation-session", "federation_sessions", "session_id", "hint")}
}

// Accounts is what the room asks of soc/identity.
type Accounts interface {
	EnsureExternal(ctx context.Context, u identity.ExternalUser, create bool) (userID string, err error)
	Enter(ctx context.Context, userID string, from identity.Entrance) (identity.Session, error)
	EndSession(ctx context.Context, userID, id string) error
	EndExternal(ctx context.Context, provider, subject string) (int, error)
	ExternalAccounts(ctx context.Context, provider string) ([]identity.ExternalAccount, error)
	SyncExternal(ctx context.Context, users []identity.ExternalUser, dryRun bool) ([]identity.ExternalResult, error)
	DisableExternal(ctx context.Context, provider string, subjects []string) error
	CheckGrant(ctx context.Context, roles, tenants []string) error
}

// Units is what the room asks of soc/units.
type Units interface {
	Tree() *units.Tree
	Apply(ctx context.Context, list []units.Unit) ([]units.Unit, error)
}

// Egress guards the connections to addresses that administrators gave.
type Egress interface {
	ClientTrusting(timeout time.Duration, roots *x509.CertPool) *http.Client
	Dialer(timeout time.Duration) *net.Dialer
	Check(ctx context.Context, rawURL string) error
}

// Audit keeps what a sync changed.
type Audit interface {
	Append(ctx context.Context, rec audit.Record) error
}

// Deps is what the room needs of others.
type Deps struct {
	DB          *state.DB
	Seal        *seal.Box
	Accounts    Accounts
	Units       Units
	Egress      Egress
	Audit       Audit
	ExternalURL string // how browsers reach the suite; "" where it is not configured
	Log         *slog.Logger
	Now         func() time.Time // nil: time.Now
}

const (
	// dialTime bounds one step towards a provider.
	dialTime = 10 * time.Second
	// keepClient is how long what was discovered of a provider is believed.
	keepClient = time.Hour
	// metadataEvery is how often SAML metadata is read anew from its address.
	metadataEvery = 24 * time.Hour
	// sessionMemory is how long signing out at the provider is possible: no
	// session of ours lives longer.
	sessionMemory = 32 * 24 * time.Hour
)

// Service is the room's door. It is safe for concurrent use.
type Service struct {
	Deps
	now   func() time.Time
	flows cipher.AEAD

	mu      sync.RWMutex
	known   map[string]*entry // by id
	tickets map[string]ticket
	running map[string]context.CancelFunc // syncs, by provider
	base    context.Context               // ends what runs beside requests
	stop    context.CancelFunc
	jobs    sync.WaitGroup
}

// entry is a provider as it is in force, with what was made of it.
type entry struct {
	Provider
	secrets  secrets
	metadata string // SAML: as last read from metadata_url

	mu   sync.Mutex
	oidc *oidc.Client
	at   time.Time // when oidc was discovered
	saml *saml.Provider
	ldap *ldap.Directory
}

// Open prepares the tables and reads the providers. Call Run beside it.
func Open(ctx context.Context, deps Deps) (*Service, error) {
	if err := deps.DB.Migrate(ctx, "federation", migrations); err != nil {
		return nil, err
	}
	s := &Service{Deps: deps, now: deps.Now, known: map[string]*entry{}, tickets: map[string]ticket{}, running: map[string]context.CancelFunc{}}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.flows, err = newFlows(); err != nil {
		return nil, err
	}
	s.base, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	return s, s.interrupted(ctx)
}

// Run starts the syncs that are due, reads metadata anew and forgets what is
// over, until the context ends; then it waits for what it started.
func (s *Service) Run(ctx context.Context) {
	defer s.jobs.Wait()
	defer s.stop()
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		s.startDue(ctx)
		s.refreshMetadata(ctx)
		if err := s.forget(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("federation: could not forget what is over", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// forget removes what nobody can come back to.
func (s *Service) forget(ctx context.Context) error {
	now := s.now()
	s.mu.Lock()
	for id, t := range s.tickets {
		if now.After(t.expires) {
			delete(s.tickets, id)
		}
	}
	s.mu.Unlock()
	if _, err := s.DB.ExecContext(ctx, "DELETE FROM federation_used WHERE expires_at < ?", now.UnixMilli()); err != nil {
		return fmt.Errorf("federation: %w", err)
	}
	if _, err := s.DB.ExecContext(ctx, "DELETE FROM federation_sessions WHERE created_at < ?", now.Add(-sessionMemory).UnixMilli()); err != nil {
		return fmt.Errorf("federation: %w", err)
	}
	return nil
}

// get returns the provider in force.
func (s *Service) get(id string) (*entry, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.known[id]
	if !ok {
		return nil, fmt.Errorf("%w: %.40q", ErrNotFound, id)
	}
	return e, nil
}

// enabled returns the provider where it may be used.
func (s *Service) enabled(id, kind string) (*entry, error) {
	e, err := s.get(id)
	if err != nil {
		return nil, err
	}
	if !e.Enabled || e.Kind != kind {
		return nil, fmt.Errorf("%w: %.40q of the kind %s", ErrNotFound, id, kind)
	}
	return e, nil
}

// roots reads the authorities an administrator named; nil are the system's.
func roots(field, pem string) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, invalid(field, "it holds no certificate in PEM")
	}
	return pool, nil
}

// oidcConfig is what the protocol's package needs of a provider.
func (s *Service) oidcConfig(e *entry) (oidc.Config, error) {
	pool, err := roots("oidc.ca", e.OIDC.CA)
	if err != nil {
		return oidc.Config{}, err
	}
	return oidc.Config{Issuer: e.OIDC.Issuer, ClientID: e.OIDC.ClientID, ClientSecret: e.secrets.ClientSecret, Scopes: e.OIDC.Scopes,
		UserInfo: e.OIDC.UserInfo, RedirectURL: e.address("callback"), HTTP: s.Egress.ClientTrusting(dialTime, pool), Now: s.now}, nil
}

// oidcClient returns the client of a provider, discovering it anew each hour.
func (s *Service) oidcClient(ctx context.Context, e *entry) (*oidc.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.oidc != nil && s.now().Sub(e.at) < keepClient {
		return e.oidc, nil
	}
	cfg, err := s.oidcConfig(e)
	if err != nil {
		return nil, err
	}
	c, err := oidc.Discover(ctx, cfg)
	if err != nil {
		return nil, err
	}
	e.oidc, e.at = c, s.now()
	return c, nil
}

// samlConfig is what the protocol's package needs of a provider.
func (s *Service) samlConfig(e *entry) (saml.Config, error) {
	key, cert, err := saml.ParseKey([]byte(e.secrets.Key), []byte(e.SAML.Certificate))
	if err != nil {
		return saml.Config{}, fmt.Errorf("federation: %s: %w", e.ID, err)
	}
	metadata := e.SAML.MetadataXML
	if e.SAML.MetadataURL != "" {
		metadata = e.metadata
	}
	return saml.Config{EntityID: e.address("metadata"), ACS: e.address("acs"), Metadata: []byte(metadata), Key: key, Cert: cert,
		Sign: *e.SAML.SignRequests, Used: used{s, e.ID}}, nil
}

// samlProvider returns the provider as SAML sees it.
func (s *Service) samlProvider(e *entry) (*saml.Provider, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.saml != nil {
		return e.saml, nil
	}
	cfg, err := s.samlConfig(e)
	if err != nil {
		return nil, err
	}
	p, err := saml.New(cfg)
	if err != nil {
		return nil, invalid("saml.metadata", "%v", err)
	}
	e.saml = p
	return p, nil
}

// directory returns the provider as LDAP sees it.
func (s *Service) directory(e *entry) (*ldap.Directory, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ldap != nil {
		return e.ldap, nil
	}
	l := e.LDAP
	timeout := time.Duration(l.TimeoutSeconds) * time.Second
	attributes := []string{}
	for _, a := range []string{e.Attributes.Username, e.Attributes.DisplayName, e.Attributes.Email, e.Attributes.Groups, e.Attributes.Unit} {
		if a != "groups" && a != "dn" {
			attributes = append(attributes, a)
		}
	}
	for _, r := range e.Mapping.Rules {
		if r.Claim != "" && r.Claim != "groups" && r.Claim != "dn" {
			attributes = append(attributes, r.Claim)
		}
	}
	d, err := ldap.New(ldap.Config{URL: l.URL, StartTLS: l.StartTLS, Plaintext: l.Plaintext, CA: l.CA, ServerName: l.ServerName,
		BindDN: l.BindDN, BindPass: e.secrets.BindPassword, BaseDN: l.BaseDN, UserFilter: l.UserFilter, LoginAttributes: l.LoginAttributes,
		Subject: l.Subject, Attributes: attributes, GroupBaseDN: l.GroupBaseDN, GroupFilter: l.GroupFilter, MemberAttribute: l.MemberAttribute,
		Nested: l.NestedGroups, UnitFilter: l.UnitFilter, PageSize: l.PageSize, Timeout: timeout, Dial: s.Egress.Dialer(timeout).DialContext})
	if err != nil {
		return nil, fmt.Errorf("%w: ldap.%w", ErrInvalid, err)
	}
	e.ldap = d
	return d, nil
}
