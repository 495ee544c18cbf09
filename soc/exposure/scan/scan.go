// Package scan has hosts scanned: tasks say what, when and by which scanner, runs are
// what becomes of them, results what the scanners found. It is the suite's side of
// collectors/scanner/wire.
//
// Only what soc/exposure/scope approves is scanned; a scanner holds to that itself as
// well. A run lasts over restarts of either side: what a scanner sends again is kept
// once.
package scan

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/scanner/wire"
	"icewatch/soc/exposure/credential"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/scope"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// Engine is what findings name as the one that reports them.
const Engine = "icewatch-scanner"

var (
	// ErrNotFound says that there is no such task or run, or none in reach.
	ErrNotFound = errors.New("scan: there is no such task or run")
	// ErrInvalid says that what is asked makes no sense.
	ErrInvalid = errors.New("scan: invalid")
	// ErrConflict says that it cannot be done as things are.
	ErrConflict = errors.New("scan: conflict")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// The states of a run.
const (
	Waiting    = "waiting" // for a scanner
	Running    = "running"
	Paused     = "paused"     // by a person, or outside of its windows
	Cancelling = "cancelling" // the scanner has not stopped yet
	Judging    = "judging"    // the scanner is through; what it found is brought into the CMDB
	Done       = "done"
	Cancelled  = "cancelled"
	Expired    = "expired"
	Failed     = "failed"
)

// Ended tells whether a state is a run's last.
func Ended(s string) bool { return s == Done || s == Cancelled || s == Expired || s == Failed }

// Deps is what the room needs of others.
type Deps struct {
	Database *cmdb.Database
	Secrets  *credential.Store
	Scope    *scope.Service
	Items    interface {
		Items(ctx context.Context, r reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	}
	Findings *finding.Service
	Fleet    interface {
		Seen(id, from, version string) error
		Hosts(a fleet.Asker, q fleet.HostQuery) []fleet.Host
	}
	// Seen is told what a run that is over saw. It may be told again, after a restart.
	Seen func(ctx context.Context, run ScanRun, mode string, hosts []Seen) (ScanDiscovery, error)
	// Workday tells whether people work on a day; nil where nobody knows.
	Workday func(time.Time) bool
	// Packages is the folder of packages of templates, and Sign signs by the release key
	// that scanners know; without either there are no packages.
	Packages string
	Sign     func(text []byte) []byte
	Log      *slog.Logger
	Now      func() time.Time
}

// Service keeps tasks and runs and talks to scanners. It is safe for concurrent use;
// Run follows schedules.
type Service struct {
	Deps

	changing sync.Mutex // one change of tasks and runs at a time
	mu       sync.Mutex
	tasks    map[string]*ScanTask
	active   map[string]*run // runs that are not over
	scanners map[string]*scannerState
	secrets  map[string][]wire.Credential // by task
	wake     chan struct{}                // closed and made anew when there is something to tell
	judge    chan struct{}
	shelf    *release.Shelf
	packages []TemplatesPackage // by name
}

// run is a run with what its scanner is told.
type run struct {
	ScanRun
	orders wire.Run
	paused bool // by a person
	saved  time.Time
}

type taskRow struct {
	bun.BaseModel `bun:"table:exposure_scan_tasks,alias:t"`
	ID            string `bun:"id,pk"`
	Tenant        string `bun:"tenant"`
	Doc           string `bun:"doc"`
}

type runRow struct {
	bun.BaseModel `bun:"table:exposure_scan_runs,alias:r"`
	ID            string `bun:"id,pk"`
	Task          string `bun:"task"`
	Tenant        string `bun:"tenant"`
	State         string `bun:"state"`
	Created       int64  `bun:"created"`
	Doc           string `bun:"doc"`
	Orders        string `bun:"orders"`
}

// Open brings the tables up to date and reads what is under way.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if err := d.Database.Migrate(ctx, "exposure_scans", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	s := &Service{Deps: d, tasks: map[string]*ScanTask{}, active: map[string]*run{}, scanners: map[string]*scannerState{}, secrets: map[string][]wire.Credential{}, wake: make(chan struct{}), judge: make(chan struct{}, 1)}
	if err := s.openTemplates(ctx); err != nil {
		return nil, err
	}
	var tasks []taskRow
	if err := d.Database.NewSelect().Model(&tasks).Scan(ctx); err != nil {
		return nil, fmt.Errorf("scan: read tasks: %w", err)
	}
	for _, r := range tasks {
		var t ScanTask
		if err := json.Unmarshal([]byte(r.Doc), &t); err != nil {
			return nil, fmt.Errorf("scan: the task %s cannot be read: %w", r.ID, err)
		}
		s.tasks[t.ID] = &t
	}
	var runs []runRow
	if err := d.Database.NewSelect().Model(&runs).Where("r.state IN (?)", bun.In([]string{Waiting, Running, Paused, Cancelling, Judging})).Scan(ctx); err != nil {
		return nil, fmt.Errorf("scan: read runs: %w", err)
	}
	for _, r := range runs {
		x := &run{}
		if err := errors.Join(json.Unmarshal([]byte(r.Doc), &x.ScanRun), json.Unmarshal([]byte(r.Orders), &x.orders)); err != nil {
			return nil, fmt.Errorf("scan: the run %s cannot be read: %w", r.ID, err)
		}
		x.paused = x.PausedBy != ""
		s.active[x.ID] = x
	}
	for id := range s.tasks {
		var list []wire.Credential
		if _, err := d.Secrets.Get(id, &list); err != nil {
			return nil, err
		}
		s.secrets[id] = list
	}
	return s, nil
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

// tell wakes the scanners that wait. s.mu is held.
func (s *Service) tell() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// keep writes a run.
func (s *Service) keep(ctx context.Context, x *run) error {
	doc, err := json.Marshal(x.ScanRun)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	told := x.orders
	told.Credentials = nil
	orders, err := json.Marshal(told)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	r := runRow{ID: x.ID, Task: x.Task, Tenant: x.Tenant, State: x.State, Created: x.CreatedAt.UnixMilli(), Doc: string(doc), Orders: string(orders)}
	err = s.Database.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewInsert().Model(&r).On("CONFLICT (id) DO UPDATE").Set("state = EXCLUDED.state").Set("doc = EXCLUDED.doc").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("scan: keep the run %s: %w", x.ID, err)
	}
	return nil
}

// alter changes an active run, in memory and kept. The change is lost where it cannot
// be kept.
func (s *Service) alter(ctx context.Context, id string, change func(x *run) error) (ScanRun, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	had := s.active[id]
	if had == nil {
		s.mu.Unlock()
		return ScanRun{}, ErrNotFound
	}
	next := *had
	s.mu.Unlock()
	if err := change(&next); err != nil {
		return next.ScanRun, err
	}
	if err := s.keep(ctx, &next); err != nil {
		return ScanRun{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next.saved = s.now()
	if Ended(next.State) {
		delete(s.active, id)
	} else {
		s.active[id] = &next
	}
	s.tell()
	return next.ScanRun, nil
}

// Run starts what is due, ends what may no longer be scanned and judges what was
// found, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		s.Step(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.judge:
		}
	}
}

// Step does what Run does, once.
func (s *Service) Step(ctx context.Context) {
	s.due(ctx)
	s.mu.Lock()
	var ended, over []string
	for id, x := range s.active {
		switch {
		case x.State == Judging:
			ended = append(ended, id)
		case x.State != Cancelling && !s.covered(x):
			over = append(over, id)
		}
	}
	s.mu.Unlock()
	slices.Sort(ended)
	for _, id := range over {
		if _, err := s.end(ctx, id, "", "what it scans is no longer approved"); err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
			s.Log.Error("scan: a run whose ranges are no longer approved could not be ended; it is tried again", "run", id, "error", err)
		}
	}
	for _, id := range ended {
		if err := s.finish(ctx, id); err != nil && ctx.Err() == nil {
			s.Log.Error("scan: what a run found could not be taken over; it is tried again", "run", id, "error", err)
		}
	}
}

// covered tells whether all that a run may touch is still approved. s.mu is held.
func (s *Service) covered(x *run) bool {
	g := s.Scope.Of(x.Tenant, x.Zone)
	for _, text := range x.orders.Scope.Ranges {
		if p, err := scope.Parse(text); err != nil || !g.Covers(p) {
			return false
		}
	}
	for _, p := range g.Exclusions {
		if !slices.Contains(x.orders.Scope.Exclusions, p.String()) {
			return false // added since
		}
	}
	return true
}

func clip(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func byTime(a, b ScanRun) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
}
