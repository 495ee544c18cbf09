package identity

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/identity/access"
	"icewatch/soc/identity/captcha"
	"icewatch/soc/identity/mfa"
	"icewatch/soc/identity/password"
	"icewatch/soc/identity/policy"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// flushEvery is how far behind "last used" in SQL may be.
	flushEvery = 30 * time.Second
	// maxCached bounds the credentials kept in memory.
	maxCached = 50_000
)

// Service is the room's door. All methods are safe for concurrent use.
type Service struct {
	db     *state.DB
	log    *slog.Logger
	now    func() time.Time
	hasher *password.Hasher
	locks  *lockout
	access *access.Store

	tokenByHash *sql.Stmt

	policies policies
	leaked   []password.List // beside the one built in
	captcha  questions
	open     *mfa.Ceremonies[ceremony]
	sealer   Sealer                                // keeps TOTP secrets; nil refuses them
	abnormal func(ctx context.Context, a Abnormal) // is told of abnormal accesses; may be nil

	applications Applications // nil: no token of an application is good

	mu        sync.RWMutex
	directory Directory
	cache     map[string]*entry // by hash of the secret
	gen       uint64            // counts revocations: what was read before one is not cached after it
}

// questions asks what a program hardly answers; package captcha's store is one.
type questions interface {
	Ask() (id string, expires time.Time)
	Image(id string) ([]byte, error)
	Audio(id, language string) ([]byte, error)
	Answer(id, answer string) bool
}

// entry is a credential that was found valid. The ingest path meets nothing
// but this.
type entry struct {
	id          string // of the session or token
	userID      string // of a session, or of the owner of a token
	session     bool
	application bool // an application's token: its last use is not kept
	principal   *Principal
	expires     int64          // Unix ms; 0 is never
	idle        time.Duration  // a session ends when it is not used for so long
	networks    []netip.Prefix // of a token: where it may be used; none is anywhere
	place       atomic.Pointer[place]
	roamed      atomic.Bool  // of a session: it was seen in two networks at once
	client      string       // of a session: the User-Agent it was opened with
	used        atomic.Int64 // Unix ms
	dirty       atomic.Bool  // used is newer than in SQL
}

// valid tells whether the entry still holds at the time in Unix ms.
func (e *entry) valid(now int64) bool {
	if e.expires != 0 && now >= e.expires {
		return false
	}
	return !e.session || now-e.used.Load() < e.idle.Milliseconds()
}

// Option changes how Open sets the room up.
type Option func(*Service)

// WithClock sets the clock, for tests.
func WithClock(now func() time.Time) Option {
	return func(s *Service) { s.now = now }
}

// withParams sets argon2id's parameters, for tests that sign in a lot.
func withParams(p password.Params) Option {
	return func(s *Service) { s.hasher = password.NewHasher(p) }
}

// Sealer keeps secrets unreadable to who has the database alone; soc/seal's box
// is one. context ties a value to its place.
type Sealer interface {
	SealString(plaintext, context string) (string, error)
	OpenString(sealed, context string) (string, error)
}

// WithSeal lets users enrol TOTP, whose secrets must be sealed.
func WithSeal(box Sealer) Option {
	return func(s *Service) { s.sealer = box }
}

// WithLeaked adds lists of leaked passwords beside the one built in.
func WithLeaked(lists ...password.List) Option {
	return func(s *Service) { s.leaked = lists }
}

// Open prepares the tables and returns the service. Call Run beside it.
func Open(ctx context.Context, db *state.DB, set *settings.Store, log *slog.Logger, opts ...Option) (*Service, error) {
	if err := db.Migrate(ctx, "identity", migrations); err != nil {
		return nil, err
	}
	s := &Service{db: db, log: log, now: time.Now, cache: map[string]*entry{}, policies: defaultPolicies()}
	for _, o := range opts {
		o(s)
	}
	if s.hasher == nil {
		s.hasher = password.NewHasher(password.DefaultParams)
	}
	if err := s.declare(ctx, set); err != nil {
		return nil, err
	}
	s.captcha, s.open = captcha.New(s.now), mfa.NewCeremonies[ceremony](s.now)
	s.locks = newLockout(func() SignInPolicy { return s.policies.signIn() }, s.now)
	var err error
	if s.access, err = access.Open(ctx, db, set, policy.New(), log); err != nil {
		return nil, err
	}
	s.access.OnChange(s.ForgetUsers)
	if s.tokenByHash, err = db.Read.DB.PrepareContext(ctx, tokenByHash); err != nil {
		return nil, fmt.Errorf("identity: prepare the look-up of tokens: %w", err)
	}
	return s, s.locks.load(ctx, db)
}

// Access returns the room of roles, groups and grants.
func (s *Service) Access() *access.Store { return s.access }

// ForgetUsers has every user read anew, with what he holds, at his next request.
func (s *Service) ForgetUsers() {
	s.forgetWhere(func(_ string, e *entry) bool { return e.userID != "" })
}

// Run keeps in SQL close to the truth when what was last used and which
// sign-ins failed, and removes sessions that are over, until the context ends;
// then it writes what is left.
func (s *Service) Run(ctx context.Context) {
	tick, second := time.NewTicker(flushEvery), time.NewTicker(time.Second)
	defer tick.Stop()
	defer second.Stop()
	for {
		select {
		case <-second.C:
			if err := s.locks.save(ctx, s.db); err != nil && ctx.Err() == nil {
				s.log.Warn("could not note failed sign-ins", "error", err)
			}
		case <-tick.C:
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("could not note when sessions and tokens were used", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := errors.Join(s.flush(last), s.locks.save(last, s.db)); err != nil {
				s.log.Warn("could not note when sessions and tokens were used", "error", err)
			}
			return
		}
	}
}

// Authenticate returns the principal behind a session's or API token's secret.
// Any secret that is not good, for whatever reason, is ErrUnauthenticated.
// address is where it comes from; a session or token that is bound to another
// place is not good there. Without one the place is not looked at.
func (s *Service) Authenticate(ctx context.Context, secret, address string) (*Principal, error) {
	kind, ok := secretKind(secret)
	if !ok || kind == devicePrefix {
		return nil, ErrUnauthenticated
	}
	hash := hashSecret(secret)
	now := s.now().UnixMilli()
	s.mu.RLock()
	e, gen := s.cache[hash], s.gen
	s.mu.RUnlock()
	if e == nil {
		var err error
		switch kind {
		case sessionPrefix:
			e, err = s.loadSession(ctx, hash)
		case applicationPrefix:
			e, err = s.loadApplication(ctx, hash)
		default:
			e, err = s.loadToken(ctx, hash)
		}
		if err != nil {
			return nil, err
		}
		if !e.valid(now) {
			return nil, ErrUnauthenticated
		}
		if e, ok = s.keep(hash, e, gen); !ok {
			// Something was revoked while we read: perhaps this. Read again.
			return s.Authenticate(ctx, secret, address)
		}
	}
	if !e.valid(now) {
		s.forgetWhere(func(h string, _ *entry) bool { return h == hash })
		return nil, ErrUnauthenticated
	}
	if address != "" && !s.inPlace(ctx, e, address, now) {
		return nil, ErrElsewhere
	}
	e.used.Store(now)
	e.dirty.Store(!e.application)
	return e.principal, nil
}

// ErrElsewhere is an ErrUnauthenticated: the session or token is good, but not
// where it comes from.
var ErrElsewhere = fmt.Errorf("%w at the address it comes from", ErrUnauthenticated)

// inPlace tells whether a credential may be used from the address, and notes
// the address.
func (s *Service) inPlace(ctx context.Context, e *entry, address string, now int64) bool {
	p := e.place.Load()
	if e.session {
		if !s.policies.sessions().allows(p.home, address) {
			return false
		}
		if p.last != address && !s.moved(ctx, e, p.last, address, time.Duration(now-e.used.Load())*time.Millisecond) {
			return false
		}
	} else if !e.allowed(address) {
		return false
	}
	if p.last != address {
		e.place.Store(&place{home: p.home, last: address})
	}
	return true
}

// keep puts an entry into the cache, unless something was revoked since the
// generation it was read in.
func (s *Service) keep(hash string, e *entry, gen uint64) (*entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != gen {
		return nil, false
	}
	if other := s.cache[hash]; other != nil {
		return other, true
	}
	if len(s.cache) >= maxCached {
		// What was noted in SQL already may go; it is read again when needed.
		for h, x := range s.cache {
			if !x.dirty.Load() || len(s.cache) >= 2*maxCached {
				delete(s.cache, h)
			}
			if len(s.cache) < maxCached*9/10 {
				break
			}
		}
	}
	s.cache[hash] = e
	return e, true
}

// forgetWhere drops entries from the cache, at once and for requests that are
// reading them from SQL right now, too.
func (s *Service) forgetWhere(match func(hash string, e *entry) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen++
	for h, e := range s.cache {
		if match(h, e) {
			delete(s.cache, h)
		}
	}
}

// flush writes when credentials were last used and deletes sessions that are
// over.
func (s *Service) flush(ctx context.Context) error {
	now := s.now().UnixMilli()
	var dirty []*entry
	s.mu.Lock()
	for h, e := range s.cache {
		if e.dirty.Load() {
			dirty = append(dirty, e)
		} else if !e.valid(now) {
			delete(s.cache, h)
		}
	}
	s.mu.Unlock()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, e := range dirty {
			q := "UPDATE identity_tokens SET last_used_at = ?, last_address = ? WHERE id = ?"
			if e.session {
				q = "UPDATE identity_sessions SET last_seen_at = ?, last_address = ? WHERE id = ?"
			}
			if _, err := tx.ExecContext(ctx, q, e.used.Load(), e.place.Load().last, e.id); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM identity_sessions WHERE expires_at <= ? OR last_seen_at <= ?",
			now, now-s.policies.sessions().idle().Milliseconds())
		return err
	})
	if err != nil {
		return fmt.Errorf("identity: note the last use of %d credentials: %w", len(dirty), err)
	}
	for _, e := range dirty {
		e.dirty.Store(false)
	}
	return nil
}

// encodeList and decodeList keep a list of strings in one column.
func encodeList(list []string) string {
	if list == nil {
		list = []string{}
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "[]" // strings always encode
	}
	return string(b)
}

func decodeList(s string) ([]string, error) {
	list := []string{}
	if err := json.Unmarshal([]byte(s), &list); err != nil {
		return nil, fmt.Errorf("identity: the stored list %q: %w", s, err)
	}
	return list, nil
}

// invalid makes an error that says which value cannot be stored, and why.
func invalid(format string, args ...any) error {
	return invalidError{fmt.Sprintf(format, args...)}
}

type invalidError struct{ msg string }

func (e invalidError) Error() string        { return e.msg }
func (e invalidError) Is(target error) bool { return errors.Is(target, ErrInvalid) }

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
