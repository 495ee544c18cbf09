// Package monitor runs searches by a schedule: each monitor looks at a window
// of time again and again, in the name and with the reach that its owner has at
// that moment, holds what it finds against a condition, and raises an alert or
// begins an export. A time of the schedule counts once, whatever is killed in
// between; after a downtime there is one run, for the latest time missed.
package monitor

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/saved"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The states of a monitor.
const (
	Active   = "active"
	Disabled = "disabled"
	Paused   = "paused" // enabled, but its owner is away
)

// The outcomes of a run.
const (
	Running = "running"
	Met     = "met"
	NotMet  = "not_met"
	Failed  = "failed"
)

const (
	maxOfOwner  = 200
	maxInAll    = 2000
	keptRuns    = 500 // of each monitor
	warnAfter   = 3   // failures in a row
	shortest    = time.Minute
	longest     = 366 * 24 * time.Hour // of a window
	maxDelay    = 24 * time.Hour
	maxName     = 200
	maxBatch    = 1000
	concurrency = 2 // runs at a time: the engine runs a few searches at a time only
	maxMissed   = 100_000
)

// Run is one run of a monitor.
type Run struct {
	ID          int64     `json:"id"`
	DueAt       time.Time `json:"due_at"`
	StartedAt   time.Time `json:"started_at"`
	TookMS      int64     `json:"took_ms"`
	WindowStart time.Time `json:"window_start"`
	WindowEnd   time.Time `json:"window_end"`
	Rows        int64     `json:"rows"`
	Value       string    `json:"value" doc:"What a condition on a field looked at"`
	Outcome     string    `json:"outcome" enum:"running,met,not_met,failed"`
	Error       string    `json:"error"`
	Occurrence  string    `json:"occurrence" doc:"Id of what was raised"`
	Export      string    `json:"export_id"`
	Manual      bool      `json:"manual"`
	DryRun      bool      `json:"dry_run" doc:"It looked, and did nothing"`
	CatchUp     bool      `json:"catch_up" doc:"It stands for times that were missed as well"`
	Missed      int       `json:"missed"`
}

// Monitor is a search that runs by a schedule.
type Monitor struct {
	ID            string      `json:"id"`
	Name          string      `json:"name"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags" nullable:"false"`
	Search        string      `json:"search_id"`
	SearchChanged bool        `json:"search_changed" doc:"The saved search was changed or removed since; the monitor keeps its text"`
	Query         string      `json:"query"`
	Group         string      `json:"group"`
	Tenant        string      `json:"tenant"`
	Schedule      string      `json:"schedule"`
	TimeZone      string      `json:"time_zone"`
	Window        string      `json:"window"`
	Delay         string      `json:"delay"`
	Condition     Condition   `json:"condition"`
	Action        Action      `json:"action"`
	Enabled       bool        `json:"enabled"`
	State         string      `json:"state" enum:"active,disabled,paused"`
	PausedReason  string      `json:"paused_reason"`
	Health        string      `json:"health" enum:"new,ok,warning" doc:"warning: it failed three times in a row or more"`
	Failures      int         `json:"failures" doc:"In a row"`
	LastRun       *Run        `json:"last_run"`
	NextAt        *time.Time  `json:"next_at"`
	Owner         saved.Owner `json:"owner"`
	Mine          bool        `json:"mine"`
	Editable      bool        `json:"editable"`
	Revision      int64       `json:"revision"`
	CreatedAt     time.Time   `json:"created_at"`
	UpdatedAt     time.Time   `json:"updated_at"`
}

// Store is what monitors ask of the lake.
type Store interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
	Histogram(ctx context.Context, req search.Request, buckets int) (search.Histogram, error)
}

// Alarm tells people that a monitor of theirs fails.
type Alarm struct {
	Key    string // one for each monitor
	Detail detections.Text
}

// Deps is what the room needs of others.
type Deps struct {
	Search Store
	// Shape reads a query; a wrong one is an error that says what is wrong.
	Shape func(query string) (export.Shape, error)
	// Searches finds the saved searches that monitors are made from.
	Searches *saved.Store
	// Raise hands over what was found, to become an alert. It returns once that
	// is durable; the same occurrence may be raised again.
	Raise func(ctx context.Context, o detections.Occurrence) error
	// Export begins an export in the owner's name.
	Export func(ctx context.Context, o export.Owner, q export.Request) (export.Job, error)
	// Receiver tells whether there is a webhook receiver of the name, and Tell
	// has it told. unique is the same where it is told again of the same.
	Receiver func(ctx context.Context, name string) (bool, error)
	Tell     func(ctx context.Context, receiver, tenant, unique string, body []byte) error
	// Alarm and Clear tell that a monitor fails, and that it does not any more.
	Alarm func(ctx context.Context, a Alarm)
	Clear func(key string)
	// Link is a page of the console.
	Link func(page, id string) string
	Log  *slog.Logger
}

// Service keeps and runs monitors. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
	now  func() time.Time
	wake chan struct{}

	mu      sync.Mutex
	as      export.As
	base    context.Context // of manual runs, until Run ends
	running map[string]bool
	group   sync.WaitGroup
}

// Open prepares the tables. Runs that were under way when the process ended
// are done again when Run is called, since their time is still due.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if err := db.Migrate(ctx, "monitor", migrations); err != nil {
		return nil, err
	}
	_, err := db.NewUpdate().Model((*runRow)(nil)).Set("outcome = ?", Failed).Set("error = ?", "the suite stopped while it ran; a run by the schedule was done again").
		Where("outcome = ?", Running).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("monitor: mark the runs that were cut short: %w", err)
	}
	return &Service{db: db, deps: deps, now: time.Now, wake: make(chan struct{}, 1), running: map[string]bool{}}, nil
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func alarmKey(id string) string { return "search/" + id }
