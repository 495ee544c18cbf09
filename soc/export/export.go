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
	"database/sql"
	"embed"
	"encoding/json"
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
	"sync/atomic"
	"syscall"
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

// Limits bound exports. They can be changed while the suite runs.
type Limits struct {
	MaxRows    int64 `json:"max_rows" doc:"Of one export"`
	MaxBytes   int64 `json:"max_bytes" doc:"Of one export's file"`
	OwnerBytes int64 `json:"owner_bytes" doc:"Of one person's files together"`
	OwnerFiles int   `json:"owner_files" doc:"One person's files"`
	OwnerOpen  int   `json:"owner_open" doc:"One person's exports that wait or run"`
	TotalBytes int64 `json:"total_bytes" doc:"Of all files together"`
	Days       int   `json:"days" doc:"How long a file is kept that its owner did not keep"`
}

// DefaultLimits are in force until somebody changes them.
var DefaultLimits = Limits{MaxRows: 5_000_000, MaxBytes: 2048 * mib, OwnerBytes: 8192 * mib, OwnerFiles: 200, OwnerOpen: 5, TotalBytes: 32768 * mib, Days: 7}

// Check says what is wrong with limits.
func (l Limits) Check() error {
	for _, c := range []struct {
		name             string
		value, low, high int64
	}{
		{"max_rows", l.MaxRows, 1, 100_000_000}, {"max_bytes", l.MaxBytes, mib, 1 << 40}, {"owner_bytes", l.OwnerBytes, mib, 1 << 50},
		{"owner_files", int64(l.OwnerFiles), 1, 10_000}, {"owner_open", int64(l.OwnerOpen), 1, 100}, {"total_bytes", l.TotalBytes, mib, 1 << 50}, {"days", int64(l.Days), 1, 3650},
	} {
		if c.value < c.low || c.value > c.high {
			return fmt.Errorf("%s: it is %d: %d to %d are right", c.name, c.value, c.low, c.high)
		}
	}
	return nil
}

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

type row struct {
	bun.BaseModel `bun:"table:exports,alias:e"`

	ID         string `bun:"id,pk"`
	Owner      string `bun:"owner"`
	OwnerName  string `bun:"owner_name"`
	Bound      string `bun:"bound"`
	Origin     string `bun:"origin"`
	Name       string `bun:"name"`
	Query      string `bun:"query"`
	Tenant     string `bun:"tenant"`
	Group      string `bun:"log_group"`
	StartAt    int64  `bun:"start_at"`
	EndAt      int64  `bun:"end_at"`
	Format     string `bun:"format"`
	BOM        bool   `bun:"bom"`
	Fields     string `bun:"fields"`
	MaxRows    int64  `bun:"max_rows"`
	Kept       bool   `bun:"kept"`
	State      string `bun:"state"`
	Attempts   int    `bun:"attempts"`
	Rows       int64  `bun:"rows"`
	Estimated  int64  `bun:"estimated"`
	Bytes      int64  `bun:"bytes"`
	Sheets     int    `bun:"sheets"`
	Notes      string `bun:"notes"`
	Error      string `bun:"error"`
	File       string `bun:"file"`
	CreatedAt  int64  `bun:"created_at"`
	StartedAt  int64  `bun:"started_at"`
	FinishedAt int64  `bun:"finished_at"`
	ExpiresAt  int64  `bun:"expires_at"`
}

func encode(list []string) string {
	b, _ := json.Marshal(append([]string{}, list...)) // strings always encode
	return string(b)
}

func decode(text string) []string {
	list := []string{}
	_ = json.Unmarshal([]byte(text), &list) // written by encode
	return list
}

func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func (r *row) owner() Owner {
	o := Owner{ID: r.Owner, Name: r.OwnerName}
	if list := decode(r.Bound); len(list) > 0 {
		o.Bound = list
	}
	return o
}

func (r *row) job(now time.Time) Job {
	j := Job{ID: r.ID, Name: r.Name, State: r.State, Format: r.Format, Query: r.Query, Tenant: r.Tenant, Group: r.Group, Start: time.UnixMilli(r.StartAt).UTC(),
		End: time.UnixMilli(r.EndAt).UTC(), Fields: decode(r.Fields), BOM: r.BOM, MaxRows: r.MaxRows, Rows: r.Rows, Bytes: r.Bytes, Sheets: r.Sheets, Notes: decode(r.Notes),
		Error: r.Error, Kept: r.Kept, Origin: r.Origin, Owner: r.owner(), CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), StartedAt: timeOf(r.StartedAt),
		FinishedAt: timeOf(r.FinishedAt), ExpiresAt: timeOf(r.ExpiresAt)}
	if r.Kept {
		j.ExpiresAt = nil
	}
	if r.Estimated >= 0 {
		n := r.Estimated
		j.Estimated = &n
		if part := float64(r.Rows) / float64(max(min(n, r.MaxRows), 1)); r.State == Running {
			part = min(part, 0.99) // the count may have changed; 1 says that the file is there
			j.Progress = &part
		}
	}
	if r.State == Done {
		whole := 1.0
		j.Progress = &whole
	}
	switch {
	case r.StartedAt == 0:
	case r.FinishedAt != 0:
		j.TookMS = r.FinishedAt - r.StartedAt
	default:
		j.TookMS = now.UnixMilli() - r.StartedAt
	}
	return j
}

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

// recover puts jobs that ran when the process ended back into the queue, and
// sweeps the folder.
func (s *Service) recover(ctx context.Context) error {
	var broken []row
	if err := s.db.NewSelect().Model(&broken).Where("e.state = ?", Running).Scan(ctx); err != nil {
		return fmt.Errorf("export: read the jobs: %w", err)
	}
	for i := range broken {
		r := &broken[i]
		r.State, r.Rows, r.Bytes, r.Estimated = Queued, 0, 0, -1
		if r.Attempts >= maxAttempts {
			r.State, r.FinishedAt = Failed, s.now().UnixMilli()
			r.Error = fmt.Sprintf("the suite stopped %d times while it ran: narrow the time or the query", r.Attempts)
		} else {
			s.deps.Log.Info("export: begun anew, as the suite stopped while it ran", "export", r.ID, "attempt", r.Attempts+1)
		}
		if err := s.save(ctx, r); err != nil {
			return err
		}
	}
	var files []string
	if err := s.db.NewSelect().Model((*row)(nil)).Column("file").Where("file <> ''").Scan(ctx, &files); err != nil {
		return fmt.Errorf("export: read the files: %w", err)
	}
	there, err := os.ReadDir(s.deps.Dir)
	if err != nil {
		return fmt.Errorf("export: read the folder: %w", err)
	}
	for _, f := range there {
		if !slices.Contains(files, f.Name()) {
			if err := os.RemoveAll(filepath.Join(s.deps.Dir, f.Name())); err != nil {
				return fmt.Errorf("export: remove what was left half done: %w", err)
			}
		}
	}
	return nil
}

func (s *Service) save(ctx context.Context, r *row) error {
	if _, err := s.db.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("export: write job %s: %w", r.ID, err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
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
	if len(q.Fields) > maxFields {
		return invalid("fields: there are %d: %d are the most", len(q.Fields), maxFields)
	}
	seen := map[string]bool{}
	for _, f := range q.Fields {
		if f == "" || seen[f] {
			return invalid("fields: %q is empty or there twice", f)
		}
		seen[f] = true
	}
	if q.Name == "" {
		q.Name = "icewatch-" + s.now().Format("20060102-150405")
	}
	if n := utf8.RuneCountInString(q.Name); n > 120 || !utf8.ValidString(q.Name) || strings.ContainsFunc(q.Name, unicode.IsControl) {
		return invalid("name: 1 to 120 characters without control characters are right")
	}
	if _, err := s.deps.Shape(q.Query); err != nil {
		return err
	}
	return nil
}

// use is what an owner has.
type use struct {
	Open  int
	Files int
	Bytes int64
	Total int64 // of everybody
}

func (s *Service) use(ctx context.Context, owner string) (u use, err error) {
	err = s.db.Read.NewRaw(`SELECT count(*) FILTER (WHERE owner = ?0 AND state IN ('queued', 'running')), count(*) FILTER (WHERE owner = ?0 AND state = 'done'),
		coalesce(sum(bytes) FILTER (WHERE owner = ?0 AND state = 'done'), 0), coalesce(sum(bytes) FILTER (WHERE state = 'done'), 0) FROM exports`, owner).
		Scan(ctx, &u.Open, &u.Files, &u.Bytes, &u.Total)
	if err != nil {
		return u, fmt.Errorf("export: add up the files: %w", err)
	}
	return u, nil
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

// room says whether the disk has any left for exports.
func (s *Service) room() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.deps.Dir, &st); err != nil {
		return fmt.Errorf("export: ask the disk: %w", err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < s.deps.MinFree {
		return fmt.Errorf("%w: the disk has %d MiB free, and %d are left to what comes in", ErrRoom, free/mib, s.deps.MinFree/mib)
	}
	return nil
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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

func (s *Service) row(ctx context.Context, owner, id string) (*row, error) {
	r := new(row)
	sel := s.db.NewSelect().Model(r).Where("e.id = ?", id)
	if owner != "" {
		sel = sel.Where("e.owner = ?", owner)
	}
	err := sel.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %.64q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("export: read %s: %w", id, err)
	}
	return r, nil
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
		if n := utf8.RuneCountInString(name); n < 1 || n > 120 || strings.ContainsFunc(name, unicode.IsControl) {
			return Job{}, invalid("name: 1 to 120 characters without control characters are right")
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

// remove removes a file of the folder; that it is gone already is no error.
func (s *Service) remove(file string) error {
	if file == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(s.deps.Dir, file)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("export: remove a file: %w", err)
	}
	return nil
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

// Room is what exports may take, and what of it an owner has.
type Room struct {
	Limits
	Open  int   `json:"open" doc:"Mine that wait or run"`
	Files int   `json:"files" doc:"Mine"`
	Bytes int64 `json:"bytes" doc:"Of my files"`
}

// Room tells what exports may take, and what of it the owner has.
func (s *Service) Room(ctx context.Context, owner string) (Room, error) {
	u, err := s.use(ctx, owner)
	return Room{s.deps.Limits(), u.Open, u.Files, u.Bytes}, err
}

// Run runs the jobs until ctx ends; those that run then are begun anew at the
// next start. as tells what their owners may read.
func (s *Service) Run(ctx context.Context, as As) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		s.fill(ctx, slots, &wg, as)
		select {
		case <-s.wake:
		case <-tick.C:
			s.expire(ctx)
		case <-ctx.Done():
			wg.Wait()
			return
		}
	}
}

// fill begins jobs while there are jobs that wait and places to run them.
func (s *Service) fill(ctx context.Context, slots chan struct{}, wg *sync.WaitGroup, as As) {
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		default:
			return // the end of a job wakes us
		}
		r := s.next(ctx)
		if r == nil {
			<-slots
			return
		}
		wg.Go(func() {
			defer s.nudge()
			defer func() { <-slots }()
			s.work(ctx, r, as)
		})
	}
}

// next takes the oldest job that waits, of the owner with the fewest running:
// nobody's many jobs keep another waiting.
func (s *Service) next(ctx context.Context) *row {
	r := new(row)
	err := s.db.NewSelect().Model(r).Where("e.state = ?", Queued).
		OrderExpr("(SELECT count(*) FROM exports AS x WHERE x.owner = e.owner AND x.state = ?)", Running).Order("e.created_at", "e.id").Limit(1).Scan(ctx)
	if err != nil {
		if !errors.Is(err, sql.ErrNoRows) && ctx.Err() == nil {
			s.deps.Log.Error("export: the queue cannot be read", "error", err)
		}
		return nil
	}
	res, err := s.db.NewUpdate().Model((*row)(nil)).Set("state = ?", Running).Set("started_at = ?", s.now().UnixMilli()).Set("attempts = attempts + 1").
		Where("id = ?", r.ID).Where("state = ?", Queued).Exec(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.deps.Log.Error("export: a job cannot be begun", "export", r.ID, "error", err)
		}
		return nil
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		s.nudge() // cancelled this moment
		return nil
	}
	r.State, r.StartedAt, r.Attempts = Running, s.now().UnixMilli(), r.Attempts+1
	return r
}

// expire removes the files whose time is over, and forgets jobs without one.
func (s *Service) expire(ctx context.Context) {
	now := s.now()
	err := s.loosen(ctx, now)
	var old []row
	err = errors.Join(err, s.db.NewSelect().Model(&old).Where("e.state = ?", Done).Where("e.kept = ?", false).Where("e.expires_at <= ?", now.UnixMilli()).Scan(ctx))
	for i := range old {
		r := &old[i]
		file := r.File
		r.State, r.File = Expired, ""
		err = errors.Join(err, s.save(ctx, r), s.remove(file))
	}
	_, gone := s.db.NewDelete().Model((*row)(nil)).Where("state IN (?)", bun.In([]string{Failed, Cancelled, Expired})).
		Where("finished_at < ?", now.Add(-remembered).UnixMilli()).Exec(ctx)
	if err = errors.Join(err, gone); err != nil && ctx.Err() == nil {
		s.deps.Log.Error("export: old files are not removed yet", "error", err)
	}
}

// loosen lets what removed accounts kept expire like the rest.
func (s *Service) loosen(ctx context.Context, now time.Time) error {
	var owners []string
	if err := s.db.NewSelect().Model((*row)(nil)).ColumnExpr("DISTINCT owner").Where("kept = ?", true).Scan(ctx, &owners); err != nil {
		return fmt.Errorf("export: read who keeps files: %w", err)
	}
	for _, owner := range owners {
		gone, err := s.deps.Gone(ctx, owner)
		if err != nil {
			return err
		}
		if !gone {
			continue
		}
		_, err = s.db.NewUpdate().Model((*row)(nil)).Set("kept = ?", false).Set("expires_at = ?", now.AddDate(0, 0, s.deps.Limits().Days).UnixMilli()).
			Where("owner = ?", owner).Where("kept = ?", true).Exec(ctx)
		if err != nil {
			return fmt.Errorf("export: let the files of %s expire: %w", owner, err)
		}
	}
	return nil
}

// run is a job while it runs.
type run struct {
	cancel                 context.CancelCauseFunc
	rows, estimated, bytes atomic.Int64
}
