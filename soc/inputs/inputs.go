// Package inputs keeps the sources that administrators add while the suite
// runs: a Kafka topic, a folder on an FTP server, one more syslog listener. An
// input says its kind, whose its events are and the settings of the kind; the
// room keeps it in SQL with its secrets sealed, runs its collector, starts it
// again after a change or a failure, and remembers how far it was read.
//
// A change touches the collector of that one input only. An input whose
// address is in use, or whose peer is away, is tried again with growing
// pauses; it never keeps the suite or another input from starting.
//
// Listeners and files of the machine itself are for those whose reach is the
// whole suite: they open ports and folders of the machine. Kinds that only
// reach out are for the administrators of a tenant too, for their own tenant;
// every connection out is judged by soc/egress.
package inputs

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/collectors"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such input, or that it is not within
	// the asker's reach.
	ErrNotFound = errors.New("there is no such input, or it is not within your reach")
	// ErrInvalid says that an input cannot be kept as it is; see Invalid.
	ErrInvalid = errors.New("the input is not valid")
	// ErrConflict says that a name is taken, that the input was changed since
	// it was read, or that there are too many.
	ErrConflict = errors.New("the input conflicts with what there is")
	// ErrForbidden says that the asker may not have such an input.
	ErrForbidden = errors.New("the input is not for you to have")
)

// Fault is what is wrong with one field of an input.
type Fault struct {
	Field   string `json:"field"` // such as name or settings.brokers[1]
	Message string `json:"message"`
}

// Invalid is everything that is wrong with an input. It is an ErrInvalid.
type Invalid struct{ Faults []Fault }

// Error names each field with what is wrong with it.
func (e *Invalid) Error() string {
	list := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		list[i] = f.Field + ": " + f.Message
	}
	return ErrInvalid.Error() + ": " + strings.Join(list, "; ")
}

// Unwrap makes it an ErrInvalid.
func (e *Invalid) Unwrap() error { return ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &Invalid{[]Fault{{field, fmt.Sprintf(format, args...)}}}
}

// The bounds of inputs.
const (
	MaxInputs    = 500 // in all
	MaxOfTenant  = 50  // of one tenant, made by administrators of tenants
	maxName      = 64
	maxNote      = 2000
	maxTags      = 20
	maxTag       = 64
	maxSettings  = 256 << 10
	keepDeleted  = 7 * 24 * time.Hour
	startTime    = 30 * time.Second
	stopTime     = 10 * time.Second
	tryTime      = 20 * time.Second
	triesAtOnce  = 4
	maxPlace     = 1 << 20
	maxPlaces    = 100_000 // of one input
	maxPlaceName = 1024
)

// sealKind is the kind of the inputs' sealed values.
const sealKind = "input"

// Sealed are the places of the room's sealed values.
func Sealed() []seal.Place {
	return []seal.Place{seal.Column(sealKind, "inputs", "id", "secrets")}
}

// Asker is who asks.
type Asker struct {
	Name   string // for what is kept: who made and who changed
	Within reach.Reach
}

// Deps is what the room needs of others.
type Deps struct {
	// Factories are the kinds of source there are.
	Factories []collectors.Factory
	// Collectors is what the collector of an input is given. The room adds its
	// places; waits tells whether its source keeps what is not taken and can
	// wait, so that nothing over a quota need be dropped.
	Collectors func(waits bool) collectors.Deps
	// Prepare fills what only the suite knows into the settings of an input,
	// such as where it keeps files and how it opens TLS.
	Prepare func(id string, cfg any) error
	// Forget removes what Prepare's places hold of an input that is gone.
	Forget func(id string)
	// Tenant tells whether there is a tenant.
	Tenant func(slug string) bool
	Box    *seal.Box
	Log    *slog.Logger
}

// Service keeps inputs and runs their collectors. It is safe for concurrent
// use.
type Service struct {
	db    *state.DB
	deps  Deps
	kinds map[string]*kind
	order []string // kinds as they are listed
	tries chan struct{}

	changing sync.Mutex // one change of which inputs run at a time
	mu       sync.Mutex
	ctx      context.Context // of the runs; nil before Run
	runs     map[string]*run
}

// Open prepares the tables and the kinds. Nothing runs before Run.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if err := db.Migrate(ctx, "inputs", migrations); err != nil {
		return nil, fmt.Errorf("inputs: %w", err)
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{db: db, deps: deps, kinds: map[string]*kind{}, tries: make(chan struct{}, triesAtOnce), runs: map[string]*run{}}
	for _, f := range deps.Factories {
		k, err := newKind(f)
		if err != nil {
			return nil, err
		}
		if k != nil {
			s.kinds[f.Type] = k
			s.order = append(s.order, f.Type)
		}
	}
	return s, nil
}

// Content is what an input says.
type Content struct {
	Name     string          `json:"name" doc:"1 to 64 characters, unique"`
	Kind     string          `json:"kind" doc:"One of those that list-input-kinds lists; it stays as it is"`
	Tenant   string          `json:"tenant,omitempty" doc:"Slug of whose the events are; empty leaves it to the pipeline (CMDB, network, device)"`
	Zone     string          `json:"zone,omitempty" doc:"Network zone of the addresses in its events"`
	Tags     []string        `json:"tags,omitempty" doc:"Words to find it by, 20 at most"`
	Note     string          `json:"note,omitempty" doc:"What it is for, for colleagues"`
	Enabled  bool            `json:"enabled"`
	Settings json.RawMessage `json:"settings,omitempty" doc:"Of the kind, by its schema. Secrets in it are sealed and never shown: one that is left out, or empty, stays as it is, null removes it"`
}

// View is an input as it is shown.
type View struct {
	ID string `json:"id" doc:"Stored with each event as icewatch.collector"`
	Content
	SecretsSet []string          `json:"secrets_set" nullable:"false" doc:"Which secrets of the settings are kept"`
	Revision   int64             `json:"revision"`
	CreatedAt  time.Time         `json:"created_at"`
	CreatedBy  string            `json:"created_by"`
	UpdatedAt  time.Time         `json:"updated_at"`
	UpdatedBy  string            `json:"updated_by"`
	DeletedAt  *time.Time        `json:"deleted_at,omitempty" doc:"It was deleted then, and can be restored for a week"`
	Health     collectors.Health `json:"health"`
}

type row struct {
	bun.BaseModel `bun:"table:inputs,alias:i"`

	ID        string `bun:"id,pk"`
	Name      string `bun:"name"`
	Kind      string `bun:"kind"`
	Tenant    string `bun:"tenant"`
	Zone      string `bun:"zone"`
	Tags      string `bun:"tags"`
	Note      string `bun:"note"`
	Settings  string `bun:"settings"`
	Secrets   string `bun:"secrets"`
	Enabled   bool   `bun:"enabled"`
	Revision  int64  `bun:"revision"`
	CreatedAt int64  `bun:"created_at"`
	CreatedBy string `bun:"created_by"`
	UpdatedAt int64  `bun:"updated_at"`
	UpdatedBy string `bun:"updated_by"`
	DeletedAt int64  `bun:"deleted_at"`
}

// content is what a row says, without its secrets.
func (r *row) content() Content {
	c := Content{Name: r.Name, Kind: r.Kind, Tenant: r.Tenant, Zone: r.Zone, Note: r.Note, Enabled: r.Enabled, Settings: json.RawMessage(r.Settings)}
	_ = json.Unmarshal([]byte(r.Tags), &c.Tags) // written by fill
	return c
}

// secrets opens the sealed secrets of a row.
func (s *Service) secrets(r *row) (secrets, error) {
	out := secrets{}
	if r.Secrets == "" {
		return out, nil
	}
	text, err := s.deps.Box.OpenString(r.Secrets, sealKind+":"+r.ID)
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	if err != nil {
		return nil, fmt.Errorf("inputs: the secrets of %s: %w", r.Name, err)
	}
	return out, nil
}

// fill puts a content and its secrets into a row.
func (s *Service) fill(r *row, c Content, kept secrets) error {
	tags, _ := json.Marshal(c.Tags) // texts always encode
	if c.Tags == nil {
		tags = []byte("[]")
	}
	r.Name, r.Kind, r.Tenant, r.Zone, r.Tags, r.Note, r.Enabled, r.Settings, r.Secrets = c.Name, c.Kind, c.Tenant, c.Zone, string(tags), c.Note, c.Enabled, string(c.Settings), ""
	if len(kept) == 0 {
		return nil
	}
	text, err := json.Marshal(kept)
	if err == nil {
		r.Secrets, err = s.deps.Box.SealString(string(text), sealKind+":"+r.ID)
	}
	if err != nil {
		return fmt.Errorf("inputs: keep the secrets of %s: %w", r.Name, err)
	}
	return nil
}

// view shows a row.
func (s *Service) view(r *row) (View, error) {
	kept, err := s.secrets(r)
	if err != nil {
		// The others are shown all the same; this one says why it cannot run.
		s.deps.Log.Error("the secrets of an input cannot be opened", "input", r.ID, "error", err)
	}
	v := View{ID: r.ID, Content: r.content(), SecretsSet: kept.names(), Revision: r.Revision, CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), CreatedBy: r.CreatedBy,
		UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), UpdatedBy: r.UpdatedBy, Health: s.healthOf(r)}
	if r.DeletedAt != 0 {
		t := time.UnixMilli(r.DeletedAt).UTC()
		v.DeletedAt = &t
	}
	return v, nil
}
