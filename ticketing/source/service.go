package source

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"icewatch/detections"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Tickets is what the room asks of ticketing.
type Tickets interface {
	Ingest(ctx context.Context, occs []detections.Occurrence) error
	Recover(ctx context.Context, tenant, key string, why detections.Text) error
}

// Where says what an alert is about, as its message names it.
type Where struct {
	Tenant string // whose it is; "" where the item decides
	Zone   string // network zone; "" is the default one
	Item   string // id or name of the configuration item
	Host   string
	IP     string
}

// Alarm says that something is wrong with a source.
type Alarm struct {
	Kind   string // alert-source-silent, alert-source-error or alert-source-dead
	Key    string
	Detail detections.Text
	Fields map[string]string
}

// Deps is what the room needs of others. Templates, Place and Tickets are
// required.
type Deps struct {
	Templates fs.FS  // the suite's own, in the folder TemplateDir
	Dir       string // of the templates in Templates
	Tickets   Tickets
	// Place adds to the fields of an alert what the CMDB knows of the item that it
	// is about, within the tenant's own, and tells whose the alert is.
	Place      func(w Where, fields map[string]string) (owner string)
	Dictionary func() Dictionary
	Tenant     func(slug string) bool // tells whether there is a tenant
	Box        *seal.Box              // of secrets; it must know Sealed
	// Dial opens connections to what users name, Client sends requests there
	// (soc/egress).
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Client *http.Client
	// Arrivals reads events in their order, and CheckFilter what they are chosen
	// by.
	Arrivals    search.Arrivals
	CheckFilter func(filter string) error
	// Reach is what a source of a tenant may read; "" is everything.
	Reach func(tenant string) (reach.Reach, error)
	// Hold tells people what is wrong with the sources now.
	Hold func(ctx context.Context, now []Alarm)
	// Others lists the ways in that are part of the suite, for those who reach
	// everything.
	Others func(ctx context.Context) ([]View, error)
	// MailDomain is what stands behind the @ of the sources' addresses; "" where no
	// mail is taken.
	MailDomain string
	Log        *slog.Logger     // default slog.Default()
	Clock      func() time.Time // default time.Now
}

const sealKind = "alert-source"

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(sealKind, "alert_sources", "id", "secrets")}
}

// Service keeps the sources and takes in their messages. It is safe for
// concurrent use.
type Service struct {
	db      *state.DB
	deps    Deps
	builtin []Template
	certs   certificates

	wake    chan struct{} // something is to be told
	changed chan struct{} // sources were changed
	telling sync.Mutex    // one goroutine tells ticketing

	mu      sync.RWMutex
	sources map[string]*source // by id; as the state has them
	tokens  map[string]*source // by the digest of the token
	tasks   map[string]*task   // of sources that fetch
}

// source is a source as it is in force.
type source struct {
	row
	content Content
	secrets Secrets
	mapper  *Mapper
	format  Template
	broken  error // why nothing can be mapped
	untidy  int   // messages since it was tidied; guarded by Service.mu
}

// Open brings the room's tables up to date and reads the sources. Run must run
// for alerts to be told.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Dictionary == nil {
		deps.Dictionary = func() Dictionary { return Dictionary{} }
	}
	if err := db.Migrate(ctx, "alertsource", migrations); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	s := &Service{db: db, deps: deps, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), tasks: map[string]*task{}}
	var err error
	if s.builtin, err = Builtin(deps.Templates, deps.Dir); err != nil {
		return nil, err
	}
	return s, s.Reload(ctx)
}

func (s *Service) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Reload reads the sources anew: the field dictionary or a template changed.
func (s *Service) Reload(ctx context.Context) error {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("removed_at = 0").Scan(ctx); err != nil {
		return fmt.Errorf("source: read the alert sources: %w", err)
	}
	list, err := s.Templates(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]Template, len(list))
	for _, t := range list {
		byID[t.ID] = t.Template
	}
	sources, tokens := make(map[string]*source, len(rows)), make(map[string]*source, len(rows))
	dict := s.deps.Dictionary()
	for _, r := range rows {
		one, err := s.read(r)
		if err != nil {
			return err
		}
		t, ok := byID[one.content.Template]
		if !ok {
			one.broken = fmt.Errorf("the template %q is not there any more: choose another, or restore it", one.content.Template)
		} else if one.mapper, err = NewMapper(t, one.content.Mapping, one.content.Corrections, dict); err != nil {
			one.broken = err
		}
		one.format = t
		sources[r.ID], tokens[r.Token] = one, one
	}
	s.mu.Lock()
	for id, one := range sources {
		if was := s.sources[id]; was != nil {
			one.untidy = was.untidy
		}
	}
	s.sources, s.tokens = sources, tokens
	s.mu.Unlock()
	poke(s.changed)
	return nil
}

// digest is what the state keeps of a token.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

var errUnknown = errors.New("there is no alert source of this address and token")

// Known finds the source that a request means: key is the token, or the id with
// the token as credential.
func (s *Service) Known(key, credential string) (id string, ok bool) {
	one, err := s.find(key, credential)
	if err != nil {
		return "", false
	}
	return one.ID, true
}

func (s *Service) find(key, credential string) (*source, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if one := s.tokens[digest(key)]; one != nil {
		return one, nil
	}
	if one := s.sources[key]; one != nil && credential != "" && subtle.ConstantTimeCompare([]byte(one.Token), []byte(digest(credential))) == 1 {
		return one, nil
	}
	return nil, errUnknown
}

func (s *Service) byID(id string) *source {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sources[id]
}

// MailAddress is where mail for a source of this token goes; "" where no mail is
// taken.
func (s *Service) MailAddress(token string) string {
	if s.deps.MailDomain == "" {
		return ""
	}
	return token + "@" + s.deps.MailDomain
}

// Dictionary is the field dictionary in force.
func (s *Service) Dictionary() Dictionary { return s.deps.Dictionary() }
