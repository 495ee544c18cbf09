// Package export writes search results into files that other programs read:
// CSV, Excel workbooks, JSON and NDJSON. An export is a job: it is asked for,
// runs with the reach its owner has when it runs, shows how far it is, can be
// cancelled, survives a restart, and its file is fetched by its owner until it
// expires. Results are streamed to the disk; the memory a job needs does not
// grow with them.
package export

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such export, or that it is another's.
	ErrNotFound = errors.New("there is no such export, or it is not yours")
	// ErrInvalid says that an export cannot be asked for like this; the error
	// that wraps it says why.
	ErrInvalid = errors.New("the export cannot be made")
	// ErrState says that this cannot be done to an export in its state.
	ErrState = errors.New("the export is not in the right state")
	// ErrLimit says that the owner has as many or as large exports as he may.
	ErrLimit = errors.New("you have as many exports as you may")
	// ErrRoom says that the disk or the folder of exports has no room.
	ErrRoom = errors.New("there is no room for exports")
	// ErrExpired says that the file is not kept any more.
	ErrExpired = errors.New("the export has expired")
)

// The formats of files.
const (
	CSV    = "csv"
	XLSX   = "xlsx"
	JSON   = "json"
	NDJSON = "ndjson"
)

// The states of a job.
const (
	Queued    = "queued"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
	Expired   = "expired"
)

// OriginUser is the origin of what a person asked for himself.
const OriginUser = "user"

const (
	workers     = 2 // jobs at a time: the engine runs a few searches at a time only
	maxAttempts = 3 // after which a job that never ends is given up
	maxFields   = 1000
	remembered  = 30 * 24 * time.Hour // how long a job without a file is listed
	mib         = 1 << 20
)

// Owner is whose an export is.
type Owner struct {
	ID   string `json:"id"`
	Name string `json:"username"`
	// Bound are the tenants that the request was narrowed to, by a token's own
	// or by a header; nil for all that the owner reaches when the job runs.
	Bound []string `json:"-"`
}

// Request is what is asked for.
type Request struct {
	Query  string
	Tenant string // slugs separated by commas; "" for all
	Group  string // log group; "" for none
	Start  time.Time
	End    time.Time // exclusive
	Format string
	Fields []string // columns in their order; none for all that occur
	Rows   int64    // at most; 0 for as many as may be
	Name   string   // "" gets one made
	Kept   bool     // does not expire
	BOM    bool     // CSV begins with a byte order mark, which Excel needs to read UTF-8
	Origin string   // OriginUser, or what asked in the owner's name
}

// Job is an export.
type Job struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	State      string     `json:"state" enum:"queued,running,done,failed,cancelled,expired"`
	Format     string     `json:"format" enum:"csv,xlsx,json,ndjson"`
	Query      string     `json:"query"`
	Tenant     string     `json:"tenant"`
	Group      string     `json:"group"`
	Start      time.Time  `json:"start"`
	End        time.Time  `json:"end"`
	Fields     []string   `json:"fields" nullable:"false"`
	BOM        bool       `json:"bom"`
	MaxRows    int64      `json:"max_rows"`
	Rows       int64      `json:"rows" doc:"Written so far"`
	Estimated  *int64     `json:"estimated" doc:"Rows there are, as counted before; null where that cannot be told"`
	Progress   *float64   `json:"progress" doc:"0 to 1; null where it cannot be told"`
	Bytes      int64      `json:"bytes"`
	Sheets     int        `json:"sheets" doc:"Of a workbook"`
	Notes      []string   `json:"notes" nullable:"false" doc:"What the reader of the file should know"`
	Error      string     `json:"error"`
	Kept       bool       `json:"kept" doc:"Search results saved under a name: they do not expire"`
	Origin     string     `json:"origin" doc:"user, or monitor: and the id of a scheduled search"`
	Owner      Owner      `json:"owner"`
	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	TookMS     int64      `json:"took_ms"`
}

// Store is what exports ask of the lake.
type Store interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
	Histogram(ctx context.Context, req search.Request, buckets int) (search.Histogram, error)
	Fields(ctx context.Context, req search.Request, limit int) ([]search.ValueHits, error)
}

// Shape is what a query is made of.
type Shape struct {
	Pipes  bool // it makes other rows of those that its filter finds
	Slices bool // it can be run over one stretch of time after the other
}

// Deps is what the room needs of others.
type Deps struct {
	Search Store
	// Shape reads a query; a wrong one is an error that says what is wrong.
	Shape func(query string) (Shape, error)
	// Finished is told of each job that came to an end, for the audit log. It
	// may be nil.
	Finished func(ctx context.Context, j Job)
	// Gone tells whether an owner's account was removed: nobody can remove what
	// he kept then, so that it expires like the rest.
	Gone    func(ctx context.Context, owner string) (bool, error)
	Limits  func() Limits
	MinFree int64  // bytes of the disk that exports leave free
	Dir     string // of the files
	Log     *slog.Logger
}

// As tells what an owner may read at the moment, in the tenants (slugs
// separated by commas) and the log group of a request: its reach, and where its
// time begins. It is an error where the owner may not search any more.
type As func(ctx context.Context, o Owner, tenant, group string, start time.Time) (reach.Reach, time.Time, error)

// Service runs exports. It is safe for concurrent use.
type Service struct {
	db   *state.DB
	deps Deps
	now  func() time.Time
	wake chan struct{}

	mu      sync.Mutex
	running map[string]*run
	taking  sync.Mutex // one request at a time, so that limits hold
}

// Open prepares the table and the folder. What an earlier process left half
// done is begun anew once Run is called; files that no export knows are removed.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if err := db.Migrate(ctx, "export", migrations); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(deps.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("export: make the folder: %w", err)
	}
	s := &Service{db: db, deps: deps, now: time.Now, wake: make(chan struct{}, 1), running: map[string]*run{}}
	return s, s.recover(ctx)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// CheckFields says what is wrong with the columns that somebody chose.
func CheckFields(list []string) error {
	if len(list) > maxFields {
		return fmt.Errorf("there are %d: %d are the most", len(list), maxFields)
	}
	seen := map[string]bool{}
	for _, f := range list {
		if f == "" || seen[f] {
			return fmt.Errorf("%q is empty or there twice", f)
		}
		seen[f] = true
	}
	return nil
}

func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 120 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return invalid("name: 1 to 120 characters without control characters are right")
	}
	return nil
}

// check completes a request and says what is wrong with it.
func (s *Service) check(q *Request, l Limits) error {
	q.Query, q.Name = strings.TrimSpace(q.Query), strings.TrimSpace(q.Name)
	if !slices.Contains([]string{CSV, XLSX, JSON, NDJSON}, q.Format) {
		return invalid("format: it is %.32q: csv, xlsx, json or ndjson are right", q.Format)
	}
	if !q.End.After(q.Start) {
		return invalid("the time range is empty: it starts %s and ends %s", q.Start.Format(time.RFC3339), q.End.Format(time.RFC3339))
	}
	if q.Rows < 0 || q.Rows > l.MaxRows {
		return invalid("max_rows: it is %d: 1 to %d are right", q.Rows, l.MaxRows)
	}
	if q.Rows == 0 {
		q.Rows = l.MaxRows
	}
	if err := CheckFields(q.Fields); err != nil {
		return invalid("fields: %s", err)
	}
	if q.Name == "" {
		q.Name = "icewatch-" + s.now().Format("20060102-150405")
	}
	if err := checkName(q.Name); err != nil {
		return err
	}
	if _, err := s.deps.Shape(q.Query); err != nil {
		return err
	}
	return nil
}

// Create asks for an export.
func (s *Service) Create(ctx context.Context, o Owner, q Request) (Job, error) {
	l := s.deps.Limits()
	if err := s.check(&q, l); err != nil {
		return Job{}, err
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	u, err := s.use(ctx, o.ID)
	switch {
	case err != nil:
		return Job{}, err
	case u.Open >= l.OwnerOpen:
		return Job{}, fmt.Errorf("%w: %d wait or run: let one end or cancel it", ErrLimit, u.Open)
	case u.Files+u.Open >= l.OwnerFiles:
		return Job{}, fmt.Errorf("%w: there are %d files: remove some", ErrLimit, u.Files)
	case u.Bytes >= l.OwnerBytes:
		return Job{}, fmt.Errorf("%w: your files have %d MiB, and %d are the most: remove some", ErrLimit, u.Bytes/mib, l.OwnerBytes/mib)
	case u.Total >= l.TotalBytes:
		return Job{}, fmt.Errorf("%w: all files have %d MiB, and %d are the most: older ones must expire or be removed", ErrRoom, u.Total/mib, l.TotalBytes/mib)
	}
	if err := s.room(); err != nil {
		return Job{}, err
	}
	r := &row{ID: "export_" + strings.ToLower(rand.Text()[:16]), Owner: o.ID, OwnerName: o.Name, Bound: encode(o.Bound), Origin: q.Origin, Name: q.Name, Query: q.Query,
		Tenant: q.Tenant, Group: q.Group, StartAt: q.Start.UnixMilli(), EndAt: q.End.UnixMilli(), Format: q.Format, BOM: q.BOM, Fields: encode(q.Fields), MaxRows: q.Rows,
		Kept: q.Kept, State: Queued, Estimated: -1, Notes: "[]", CreatedAt: s.now().UnixMilli()}
	if r.Origin == "" {
		r.Origin = OriginUser
	}
	if _, err := s.db.NewInsert().Model(r).Returning("NULL").Exec(ctx); err != nil {
		return Job{}, fmt.Errorf("export: keep the job: %w", err)
	}
	s.nudge()
	return r.job(s.now()), nil
}

// Query selects jobs. Empty fields do not select.
type Query struct {
	Owner  string
	State  string
	Text   string // part of the name or query, in any case
	Origin string
	Kept   *bool
	Limit  int
	Cursor string
}

// List lists jobs, newest first.
func (s *Service) List(ctx context.Context, q Query) (items []Job, total int, next string, err error) {
	from := 0
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 31)
		if err != nil {
			return nil, 0, "", invalid("the cursor is none that a list gave")
		}
		from = int(n)
	}
	var rows []row
	sel := s.db.NewSelect().Model(&rows).Order("e.created_at DESC", "e.id")
	for column, value := range map[string]string{"owner": q.Owner, "state": q.State, "origin": q.Origin} {
		if value != "" {
			sel = sel.Where("e.? = ?", bun.Ident(column), value)
		}
	}
	if q.Kept != nil {
		sel = sel.Where("e.kept = ?", *q.Kept)
	}
	if q.Text != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(q.Text) + "%"
		sel = sel.Where(`(e.name LIKE ? ESCAPE '\' OR e.query LIKE ? ESCAPE '\')`, like, like)
	}
	found, err := sel.Limit(int64(max(q.Limit, 1))).Offset(int64(from)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("export: list: %w", err)
	}
	total = int(found)
	for i := range rows {
		items = append(items, s.live(&rows[i]))
	}
	if from+len(items) < total {
		next = strconv.Itoa(from + len(items))
	}
	return items, total, next, nil
}

// live is a job as it is this moment: while it runs, the figures are in memory.
func (s *Service) live(r *row) Job {
	s.mu.Lock()
	at := s.running[r.ID]
	s.mu.Unlock()
	if at != nil && r.State == Running {
		r.Rows, r.Estimated, r.Bytes = at.rows.Load(), at.estimated.Load(), at.bytes.Load()
	}
	return r.job(s.now())
}

// Get reads one job of the owner's.
func (s *Service) Get(ctx context.Context, owner, id string) (Job, error) {
	r, err := s.row(ctx, owner, id)
	if err != nil {
		return Job{}, err
	}
	return s.live(r), nil
}

// Change changes what is not nil.
type Change struct {
	Name *string
	Kept *bool
}

// Update renames a job, or keeps its file beyond the time that files are kept.
func (s *Service) Update(ctx context.Context, owner, id string, c Change) (Job, error) {
	r, err := s.row(ctx, owner, id)
	if err != nil {
		return Job{}, err
	}
	if c.Name != nil {
		name := strings.TrimSpace(*c.Name)
		if err := checkName(name); err != nil {
			return Job{}, err
		}
		r.Name = name
	}
	if c.Kept != nil && *c.Kept != r.Kept {
		if r.State == Expired {
			return Job{}, fmt.Errorf("%w: its file is gone", ErrExpired)
		}
		r.Kept = *c.Kept
		if !r.Kept && r.FinishedAt != 0 {
			r.ExpiresAt = s.now().AddDate(0, 0, s.deps.Limits().Days).UnixMilli()
		}
	}
	// The job may be ending this moment: its own columns stay untouched.
	if _, err := s.db.NewUpdate().Model(r).Column("name", "kept", "expires_at").WherePK().Exec(ctx); err != nil {
		return Job{}, fmt.Errorf("export: change %s: %w", id, err)
	}
	return s.live(r), nil
}

// Cancel ends a job that waits or runs. One that ended already is ErrState.
func (s *Service) Cancel(ctx context.Context, owner, id string) (Job, error) {
	r, err := s.row(ctx, owner, id)
	if err != nil {
		return Job{}, err
	}
	res, err := s.db.NewUpdate().Model((*row)(nil)).Set("state = ?", Cancelled).Set("finished_at = ?", s.now().UnixMilli()).
		Where("id = ?", id).Where("state IN (?)", bun.In([]string{Queued, Running})).Exec(ctx)
	if err != nil {
		return Job{}, fmt.Errorf("export: cancel %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return Job{}, fmt.Errorf("%w: it is %s already", ErrState, r.State)
	}
	s.mu.Lock()
	if at := s.running[id]; at != nil {
		at.cancel(errCancelled)
	}
	s.mu.Unlock()
	return s.Get(ctx, owner, id)
}

// Delete removes a job that does not run, with its file.
func (s *Service) Delete(ctx context.Context, owner, id string) (Job, error) {
	r, err := s.row(ctx, owner, id)
	if err != nil {
		return Job{}, err
	}
	if r.State == Queued || r.State == Running {
		return Job{}, fmt.Errorf("%w: it is %s: cancel it first", ErrState, r.State)
	}
	if _, err := s.db.NewDelete().Model(r).WherePK().Exec(ctx); err != nil {
		return Job{}, fmt.Errorf("export: remove %s: %w", id, err)
	}
	return r.job(s.now()), s.remove(r.File)
}

// File opens the file of a job that is done. The caller closes it.
func (s *Service) File(ctx context.Context, owner, id string) (Job, io.ReadSeekCloser, error) {
	r, err := s.row(ctx, owner, id)
	if err != nil {
		return Job{}, nil, err
	}
	switch r.State {
	case Done:
	case Expired:
		return Job{}, nil, fmt.Errorf("%w: it was kept until %s", ErrExpired, time.UnixMilli(r.ExpiresAt).UTC().Format(time.RFC3339))
	default:
		return Job{}, nil, fmt.Errorf("%w: it is %s, and has no file", ErrState, r.State)
	}
	f, err := os.Open(filepath.Join(s.deps.Dir, r.File))
	if err != nil {
		return Job{}, nil, fmt.Errorf("export: open the file of %s: %w", id, err)
	}
	return r.job(s.now()), f, nil
}
