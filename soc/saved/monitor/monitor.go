// Package monitor runs searches by a schedule: each monitor looks at a window
// of time again and again, in the name and with the reach that its owner has at
// that moment, holds what it finds against a condition, and raises an alert or
// begins an export. A time of the schedule counts once, whatever is killed in
// between; after a downtime there is one run, for the latest time missed.
package monitor

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them
	"unicode"
	"unicode/utf8"

	"github.com/robfig/cron/v3"
	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/export"
	"icewatch/soc/saved"
	"icewatch/soc/search"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The kinds of conditions and actions.
const (
	OnRows  = "rows"  // how many rows there are
	OnValue = "value" // whether a row's field meets it

	Alert  = "alert"
	Export = "export"
)

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

// Condition is what makes a run count.
type Condition struct {
	Kind  string  `json:"kind" enum:"rows,value"`
	Op    string  `json:"op" enum:">,>=,<,<=,=,!="`
	Value float64 `json:"value"`
	Field string  `json:"field,omitempty" doc:"Of kind value: met where some row's field meets it"`
}

// holds tells whether a figure meets the condition.
func (c Condition) holds(x float64) bool {
	switch c.Op {
	case ">":
		return x > c.Value
	case ">=":
		return x >= c.Value
	case "<":
		return x < c.Value
	case "<=":
		return x <= c.Value
	case "=":
		return x == c.Value
	}
	return x != c.Value
}

// Action is what is done where the condition is met.
type Action struct {
	Kind     string           `json:"kind" enum:"alert,export"`
	Severity detections.Level `json:"severity,omitempty" doc:"Of an alert"`
	Title    detections.Text  `json:"title,omitzero" doc:"Of an alert; the monitor's name by default"`
	Format   string           `json:"format,omitempty" enum:"csv,xlsx,json,ndjson" doc:"Of an export"`
	Fields   []string         `json:"fields,omitempty" doc:"Of an export"`
	Kept     bool             `json:"kept,omitempty" doc:"The export does not expire"`
	Receiver string           `json:"receiver,omitempty" doc:"Webhook receiver that is told of the export"`
}

// Content is what a monitor says.
type Content struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Search      string    `json:"search_id,omitempty" doc:"Saved search that it was made from"`
	Query       string    `json:"query,omitempty" doc:"LogsQL; that of the saved search by default"`
	Group       string    `json:"group,omitempty" doc:"Log group"`
	Tenant      string    `json:"tenant,omitempty" doc:"Searched in, and whose the alert is; the city's by default, for owners who reach everything"`
	Schedule    string    `json:"schedule" doc:"Cron: minute, hour, day of the month, month, day of the week"`
	TimeZone    string    `json:"time_zone,omitempty" doc:"IANA name; that of the server by default"`
	Window      string    `json:"window,omitempty" doc:"How much time before the time of the schedule a run looks at"`
	Delay       string    `json:"delay,omitempty" doc:"How long after it a run begins, for events that come late"`
	Condition   Condition `json:"condition"`
	Action      Action    `json:"action"`
}

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

// Content is what the monitor says.
func (m Monitor) Content() Content {
	return Content{m.Name, m.Description, m.Tags, m.Search, m.Query, m.Group, m.Tenant, m.Schedule, m.TimeZone, m.Window, m.Delay, m.Condition, m.Action}
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

type row struct {
	bun.BaseModel `bun:"table:monitors,alias:m"`

	ID        string `bun:"id,pk"`
	Owner     string `bun:"owner"`
	OwnerName string `bun:"owner_name"`
	Bound     string `bun:"bound"`
	Name      string `bun:"name"`
	Doc       string `bun:"doc"`
	SearchRev int64  `bun:"search_rev"`
	Enabled   bool   `bun:"enabled"`
	Paused    string `bun:"paused"`
	Failures  int    `bun:"failures"`
	DueAt     int64  `bun:"due_at"`
	Revision  int64  `bun:"revision"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

type runRow struct {
	bun.BaseModel `bun:"table:monitor_runs,alias:r"`

	ID          int64  `bun:"id,pk,autoincrement"`
	Monitor     string `bun:"monitor"`
	DueAt       int64  `bun:"due_at"`
	StartedAt   int64  `bun:"started_at"`
	TookMS      int64  `bun:"took_ms"`
	WindowStart int64  `bun:"window_start"`
	WindowEnd   int64  `bun:"window_end"`
	Rows        int64  `bun:"rows"`
	Value       string `bun:"value"`
	Outcome     string `bun:"outcome"`
	Error       string `bun:"error"`
	Occurrence  string `bun:"occurrence"`
	Export      string `bun:"export"`
	Manual      bool   `bun:"manual"`
	Dry         bool   `bun:"dry"`
	Missed      int    `bun:"missed"`
}

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func (r *runRow) run() Run {
	return Run{ID: r.ID, DueAt: at(r.DueAt), StartedAt: at(r.StartedAt), TookMS: r.TookMS, WindowStart: at(r.WindowStart), WindowEnd: at(r.WindowEnd), Rows: r.Rows,
		Value: r.Value, Outcome: r.Outcome, Error: r.Error, Occurrence: r.Occurrence, Export: r.Export, Manual: r.Manual, DryRun: r.Dry, CatchUp: r.Missed > 0, Missed: r.Missed}
}

func (r *row) content() (c Content, err error) {
	if err := json.Unmarshal([]byte(r.Doc), &c); err != nil {
		return c, fmt.Errorf("monitor: the stored text of %s: %w", r.ID, err)
	}
	return c, nil
}

func (r *row) fill(c Content) {
	b, _ := json.Marshal(c) // texts and figures always encode
	r.Name, r.Doc = c.Name, string(b)
}

func (r *row) exportOwner() export.Owner {
	o := export.Owner{ID: r.Owner, Name: r.OwnerName}
	_ = json.Unmarshal([]byte(r.Bound), &o.Bound) // written by encodeBound
	return o
}

func encodeBound(o export.Owner) string {
	if o.Bound == nil {
		return ""
	}
	b, _ := json.Marshal(o.Bound) // strings always encode
	return string(b)
}

func (r *row) visible(a saved.Asker) bool { return r.Owner == a.User || a.Manage }

// Schedule is when a monitor runs.
type Schedule struct{ cron cron.Schedule }

// ParseSchedule reads a cron expression of five fields, or a word such as
// @hourly, in a time zone ("" is the machine's). One that runs more often than
// once a minute, or never, is refused.
func ParseSchedule(text, zone string, now time.Time) (Schedule, error) {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "TZ=") {
		return Schedule{}, errors.New("the time zone stands beside the schedule, not in it")
	}
	expression := text
	if zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || strings.ContainsAny(zone, " \t\n") {
			return Schedule{}, fmt.Errorf("%.64q is no time zone: give one like Asia/Shanghai or UTC", zone)
		}
		expression = "CRON_TZ=" + zone + " " + text
	}
	c, err := cron.ParseStandard(expression)
	if err != nil {
		return Schedule{}, fmt.Errorf("%.100q is no schedule: five fields are right, such as */5 * * * * or 0 8 * * 1-5 (%s)", text, err)
	}
	s := Schedule{c}
	last := time.Time{}
	for t := range s.After(now, 20) {
		if d := t.Sub(last); d < shortest {
			return Schedule{}, fmt.Errorf("%.100q runs every %s: once a minute is the most", text, d)
		}
		last = t
	}
	if last.IsZero() {
		return Schedule{}, fmt.Errorf("%.100q never comes", text)
	}
	return s, nil
}

// After yields the next n times after t.
func (s Schedule) After(t time.Time, n int) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for range n {
			if t = s.next(t); t.IsZero() || !yield(t) {
				return
			}
		}
	}
}

// next is the next time after t, zero where there is none.
func (s Schedule) next(t time.Time) time.Time {
	// Without a zone of its own the expression goes by that of the time given.
	if t = s.cron.Next(t.In(time.Local)); t.IsZero() {
		return t
	}
	return t.UTC()
}

// check completes a content and says everything that is wrong with it.
func (s *Service) check(ctx context.Context, a saved.Asker, c *Content) error {
	var wrong []string
	bad := func(field, format string, args ...any) {
		wrong = append(wrong, field+": "+fmt.Sprintf(format, args...))
	}
	c.Name, c.Description, c.Query, c.Tenant = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description), strings.TrimSpace(c.Query), strings.TrimSpace(c.Tenant)
	if n := utf8.RuneCountInString(c.Name); n < 1 || n > maxName || strings.ContainsFunc(c.Name, unicode.IsControl) {
		bad("name", "1 to %d characters without control characters are right", maxName)
	}
	if utf8.RuneCountInString(c.Description) > 2000 {
		bad("description", "2000 characters are the most")
	}
	if len(c.Tags) > 20 || slices.ContainsFunc(c.Tags, func(t string) bool { return t == "" || utf8.RuneCountInString(t) > maxName }) {
		bad("tags", "20 of 1 to %d characters are the most", maxName)
	}
	if len(c.Query) > saved.MaxQuery {
		bad("query", "it has %d bytes: %d are the most", len(c.Query), saved.MaxQuery)
	} else if _, err := s.deps.Shape(c.Query); err != nil {
		bad("query", "%s", err)
	}
	if c.Group != "" {
		if _, err := s.deps.Searches.Scope(a, c.Group); err != nil {
			bad("group", "%s", err)
		}
	}
	if strings.Contains(c.Tenant, ",") {
		bad("tenant", "one tenant is right, whose the alert will be; or none, for a search over the whole city")
	}
	if _, err := ParseSchedule(c.Schedule, c.TimeZone, s.now()); err != nil {
		bad("schedule", "%s", err)
	}
	if d, err := saved.ParseSpan(c.Window); err != nil || d > longest {
		bad("window", "%.32q: a duration of at most 366d is right", c.Window)
	}
	if c.Delay != "" {
		if d, err := saved.ParseSpan(c.Delay); err != nil || d > maxDelay {
			bad("delay", "%.32q: a duration of at most 24h is right", c.Delay)
		}
	}
	cond := &c.Condition
	if !slices.Contains([]string{">", ">=", "<", "<=", "=", "!="}, cond.Op) {
		bad("condition.op", "%.8q: >, >=, <, <=, = or != are right", cond.Op)
	}
	switch cond.Kind {
	case OnRows:
		cond.Field = ""
		if cond.Value < 0 || cond.Value > maxRows {
			bad("condition.value", "it is %v: 0 to %d rows are right", cond.Value, maxRows)
		}
	case OnValue:
		if cond.Field == "" || len(cond.Field) > 512 {
			bad("condition.field", "name the field that is looked at")
		}
	default:
		bad("condition.kind", "%.32q: rows or value are right", cond.Kind)
	}
	switch act := &c.Action; act.Kind {
	case Alert:
		if act.Severity == "" {
			act.Severity = detections.Medium
		}
		if !slices.Contains(detections.Levels, act.Severity) {
			bad("action.severity", "%.32q: one of %v is right", act.Severity, detections.Levels)
		}
		if utf8.RuneCountInString(act.Title.ZH)+utf8.RuneCountInString(act.Title.EN) > 2*maxName {
			bad("action.title", "%d characters are the most", maxName)
		}
		act.Format, act.Fields, act.Receiver, act.Kept = "", nil, "", false
	case Export:
		act.Severity, act.Title = "", detections.Text{}
		if !slices.Contains([]string{export.CSV, export.XLSX, export.JSON, export.NDJSON}, act.Format) {
			bad("action.format", "%.32q: csv, xlsx, json or ndjson are right", act.Format)
		}
		if act.Receiver != "" {
			if there, err := s.deps.Receiver(ctx, act.Receiver); err != nil {
				return err
			} else if !there {
				bad("action.receiver", "there is no webhook receiver %.64q", act.Receiver)
			}
		}
	default:
		bad("action.kind", "%.32q: alert or export are right", act.Kind)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", saved.ErrInvalid, strings.Join(wrong, "; "))
	}
	return nil
}

// resolve takes what is left out from the saved search that is named, and
// returns that search's revision.
func (s *Service) resolve(ctx context.Context, a saved.Asker, c *Content) (int64, error) {
	if c.Search == "" {
		return 0, nil
	}
	from, err := s.deps.Searches.Search(ctx, a, c.Search)
	if err != nil {
		return 0, err
	}
	if c.Query == "" {
		c.Query = from.Query
		if c.Group == "" {
			c.Group = from.Group
		}
		if c.Tenant == "" {
			c.Tenant = from.Tenant
		}
	}
	if c.Window == "" {
		c.Window = from.Time.Since
	}
	return from.Revision, nil
}

// Create adds a monitor in the name of the asker. within bounds it to tenants,
// as for exports.
func (s *Service) Create(ctx context.Context, a saved.Asker, o export.Owner, c Content, enabled bool) (Monitor, error) {
	rev, err := s.resolve(ctx, a, &c)
	if err != nil {
		return Monitor{}, err
	}
	if err := s.check(ctx, a, &c); err != nil {
		return Monitor{}, err
	}
	now := s.now()
	r := &row{ID: "monitor_" + strings.ToLower(rand.Text()[:16]), Owner: o.ID, OwnerName: o.Name, Bound: encodeBound(o), SearchRev: rev, Enabled: enabled,
		Revision: 1, CreatedAt: now.UnixMilli(), UpdatedAt: now.UnixMilli()}
	r.fill(c)
	if err := r.plan(now); err != nil {
		return Monitor{}, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		mine, err := tx.NewSelect().Model((*row)(nil)).Where("owner = ?", o.ID).Count(ctx)
		if err != nil {
			return fmt.Errorf("monitor: count: %w", err)
		}
		all, err := tx.NewSelect().Model((*row)(nil)).Count(ctx)
		if err != nil {
			return fmt.Errorf("monitor: count: %w", err)
		}
		if mine >= maxOfOwner || all >= maxInAll {
			return fmt.Errorf("%w: you have %d scheduled searches and there are %d in all: %d and %d are the most", saved.ErrConflict, mine, all, maxOfOwner, maxInAll)
		}
		if err := nameFree(ctx, tx, r); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(r).Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("monitor: keep %q: %w", c.Name, err)
		}
		return nil
	})
	if err != nil {
		return Monitor{}, err
	}
	s.nudge()
	return s.show(ctx, a, r)
}

func nameFree(ctx context.Context, tx bun.Tx, r *row) error {
	taken, err := tx.NewSelect().Model((*row)(nil)).Where("owner = ?", r.Owner).Where("name = ?", r.Name).Where("id <> ?", r.ID).Exists(ctx)
	if err != nil {
		return fmt.Errorf("monitor: look for the name %q: %w", r.Name, err)
	}
	if taken {
		return fmt.Errorf("%w: there is a scheduled search %q already", saved.ErrConflict, r.Name)
	}
	return nil
}

// plan sets when the monitor is due next, from now on.
func (r *row) plan(now time.Time) error {
	c, err := r.content()
	if err != nil {
		return err
	}
	sched, err := ParseSchedule(c.Schedule, c.TimeZone, now)
	if err != nil {
		return fmt.Errorf("monitor: the schedule of %s: %w", r.ID, err)
	}
	r.DueAt = sched.next(now).UnixMilli()
	return nil
}

// show is a monitor as the asker sees it.
func (s *Service) show(ctx context.Context, a saved.Asker, r *row) (Monitor, error) {
	c, err := r.content()
	if err != nil {
		return Monitor{}, err
	}
	m := Monitor{ID: r.ID, Name: c.Name, Description: c.Description, Tags: append([]string{}, c.Tags...), Search: c.Search, Query: c.Query, Group: c.Group, Tenant: c.Tenant,
		Schedule: c.Schedule, TimeZone: c.TimeZone, Window: c.Window, Delay: c.Delay, Condition: c.Condition, Action: c.Action, Enabled: r.Enabled,
		State: Active, PausedReason: r.Paused, Health: "ok", Failures: r.Failures, Owner: saved.Owner{ID: r.Owner, Name: r.OwnerName}, Mine: r.Owner == a.User,
		Editable: r.visible(a), Revision: r.Revision, CreatedAt: at(r.CreatedAt), UpdatedAt: at(r.UpdatedAt)}
	switch {
	case !r.Enabled:
		m.State = Disabled
	case r.Paused != "":
		m.State = Paused
	default:
		next := at(r.DueAt)
		m.NextAt = &next
	}
	if c.Search != "" {
		from, err := s.deps.Searches.Search(ctx, a, c.Search)
		m.SearchChanged = err != nil || from.Revision != r.SearchRev
	}
	last := new(runRow)
	err = s.db.NewSelect().Model(last).Where("r.monitor = ?", r.ID).Order("r.id DESC").Limit(1).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		m.Health = "new"
	case err != nil:
		return Monitor{}, fmt.Errorf("monitor: read the last run of %s: %w", r.ID, err)
	default:
		run := last.run()
		m.LastRun = &run
	}
	if r.Failures >= warnAfter {
		m.Health = "warning"
	}
	return m, nil
}

// Query selects monitors. Empty fields do not select.
type Query struct {
	Text   string // part of the name, description or query, in any case
	State  string
	Health string
	Tag    string
	Mine   bool
	Limit  int
	Cursor string
}

// List lists the monitors that the asker may see, by name.
func (s *Service) List(ctx context.Context, a saved.Asker, q Query) (items []Monitor, total int, next string, err error) {
	var rows []row
	sel := s.db.NewSelect().Model(&rows).Order("m.name", "m.id")
	if q.Mine || !a.Manage {
		sel = sel.Where("m.owner = ?", a.User)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("monitor: list: %w", err)
	}
	from := 0
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 10, 31)
		if err != nil {
			return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", saved.ErrInvalid)
		}
		from = int(n)
	}
	text := strings.ToLower(q.Text)
	for i := range rows {
		m, err := s.show(ctx, a, &rows[i])
		if err != nil {
			return nil, 0, "", err
		}
		if q.State != "" && m.State != q.State || q.Health != "" && m.Health != q.Health || q.Tag != "" && !slices.Contains(m.Tags, q.Tag) ||
			text != "" && !strings.Contains(strings.ToLower(m.Name+"\n"+m.Description+"\n"+m.Query), text) {
			continue
		}
		if total++; total > from && len(items) < max(q.Limit, 1) {
			items = append(items, m)
		}
	}
	if from+len(items) < total {
		next = strconv.Itoa(from + len(items))
	}
	return items, total, next, nil
}

func (s *Service) row(ctx context.Context, db bun.IDB, a saved.Asker, id string) (*row, error) {
	r := new(row)
	err := db.NewSelect().Model(r).Where("m.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !r.visible(a) {
		return nil, fmt.Errorf("%w: scheduled search %.64q", saved.ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("monitor: read %s: %w", id, err)
	}
	return r, nil
}

// Get reads one monitor that the asker may see.
func (s *Service) Get(ctx context.Context, a saved.Asker, id string) (Monitor, error) {
	r, err := s.row(ctx, s.db, a, id)
	if err != nil {
		return Monitor{}, err
	}
	return s.show(ctx, a, r)
}

// Update replaces what a monitor says, where revision is the one in force. It
// runs in the name of who changed it last: nobody can have another's eyes look
// at what he writes.
func (s *Service) Update(ctx context.Context, a saved.Asker, o export.Owner, id string, revision int64, c Content, enabled bool) (before, after Monitor, err error) {
	rev, err := s.resolve(ctx, a, &c)
	if err != nil {
		return before, after, err
	}
	if err := s.check(ctx, a, &c); err != nil {
		return before, after, err
	}
	var r *row
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if r, err = s.row(ctx, tx, a, id); err != nil {
			return err
		}
		if r.Revision != revision {
			return fmt.Errorf("%w: it was changed in between: it is at revision %d, and you changed revision %d: read it again", saved.ErrConflict, r.Revision, revision)
		}
		old := *r
		if before, err = s.show(ctx, a, &old); err != nil {
			return err
		}
		r.fill(c)
		r.Owner, r.OwnerName, r.Bound, r.SearchRev, r.Enabled, r.Paused, r.Failures = o.ID, o.Name, encodeBound(o), rev, enabled, "", 0
		r.Revision++
		r.UpdatedAt = s.now().UnixMilli()
		if err := r.plan(s.now()); err != nil {
			return err
		}
		if err := nameFree(ctx, tx, r); err != nil {
			return err
		}
		if _, err := tx.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("monitor: change %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return before, after, err
	}
	s.deps.Clear(alarmKey(id))
	s.nudge()
	after, err = s.show(ctx, a, r)
	return before, after, err
}

// Copy adds a copy in the name of the asker, disabled. An empty name gets one
// made.
func (s *Service) Copy(ctx context.Context, a saved.Asker, o export.Owner, id, name string) (Monitor, error) {
	from, err := s.Get(ctx, a, id)
	if err != nil {
		return Monitor{}, err
	}
	c := from.Content()
	if name != "" {
		c.Name = name
		return s.Create(ctx, a, o, c, false)
	}
	for n := 2; ; n++ {
		c.Name = fmt.Sprintf("%s (%d)", from.Name, n)
		out, err := s.Create(ctx, a, o, c, false)
		if !errors.Is(err, saved.ErrConflict) || n > 100 {
			return out, err
		}
	}
}

// What Batch does to monitors.
const (
	Enable  = "enable"
	Disable = "disable"
	Remove  = "delete"
)

// BatchFailure is a monitor to which something was not done, and why.
type BatchFailure struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Batch does one thing to several monitors, each by itself.
func (s *Service) Batch(ctx context.Context, a saved.Asker, ids []string, action string) (done []string, failed []BatchFailure, err error) {
	done, failed = []string{}, []BatchFailure{}
	if len(ids) > maxBatch || !slices.Contains([]string{Enable, Disable, Remove}, action) {
		return done, failed, fmt.Errorf("%w: enable, disable or delete at most %d at once", saved.ErrInvalid, maxBatch)
	}
	for _, id := range ids {
		switch err := s.apply(ctx, a, id, action); {
		case err == nil:
			done = append(done, id)
		case errors.Is(err, saved.ErrNotFound):
			failed = append(failed, BatchFailure{id, err.Error()})
		default:
			return done, failed, err
		}
	}
	s.nudge()
	return done, failed, nil
}

func (s *Service) apply(ctx context.Context, a saved.Asker, id, action string) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		r, err := s.row(ctx, tx, a, id)
		if err != nil {
			return err
		}
		if action == Remove {
			if _, err := tx.NewDelete().Model((*runRow)(nil)).Where("monitor = ?", id).Exec(ctx); err != nil {
				return fmt.Errorf("monitor: remove the runs of %s: %w", id, err)
			}
			if _, err := tx.NewDelete().Model(r).WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("monitor: remove %s: %w", id, err)
			}
			return nil
		}
		if r.Enabled == (action == Enable) && r.Paused == "" {
			return nil
		}
		r.Enabled, r.Paused = action == Enable, ""
		if r.Enabled {
			r.Failures = 0
			if err := r.plan(s.now()); err != nil {
				return err
			}
		}
		r.Revision++
		r.UpdatedAt = s.now().UnixMilli()
		if _, err := tx.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("monitor: %s %s: %w", action, id, err)
		}
		return nil
	})
	if err == nil {
		s.deps.Clear(alarmKey(id))
	}
	return err
}

// Runs lists the runs of a monitor, newest first.
func (s *Service) Runs(ctx context.Context, a saved.Asker, id string, limit int, cursor string) (items []Run, total int, next string, err error) {
	if _, err := s.row(ctx, s.db, a, id); err != nil {
		return nil, 0, "", err
	}
	from, err := strconv.ParseUint("0"+cursor, 10, 31)
	if err != nil {
		return nil, 0, "", fmt.Errorf("%w: the cursor is none that a list gave", saved.ErrInvalid)
	}
	var rows []runRow
	found, err := s.db.NewSelect().Model(&rows).Where("r.monitor = ?", id).Order("r.id DESC").Limit(int64(max(limit, 1))).Offset(int64(from)).ScanAndCount(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("monitor: read the runs of %s: %w", id, err)
	}
	for i := range rows {
		items = append(items, rows[i].run())
	}
	if n := int(from) + len(items); n < int(found) {
		next = strconv.Itoa(n)
	}
	return items, int(found), next, nil
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func alarmKey(id string) string { return "search/" + id }
