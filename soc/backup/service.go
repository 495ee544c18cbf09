package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// ErrNoFolder says that the configuration names no folder for backups.
var ErrNoFolder = errors.New("no backup folder is configured: set backup.dir")

// ErrNoJob says that no job runs.
var ErrNoJob = errors.New("no backup job is at work")

// The triggers of a backup.
const (
	TriggerSchedule = "schedule"
	TriggerAPI      = "api"
	TriggerCommand  = "command"
)

// Schedule says when backups are taken without being asked for.
type Schedule struct {
	Enabled bool   `json:"enabled"`
	Cron    string `json:"cron" doc:"Minute, hour, day of the month, month, day of the week, in this machine's time zone"`
	Keep    int    `json:"keep" doc:"Backups kept; older ones are removed after each new one"`
	RateMiB int    `json:"rate_mib" doc:"MiB a second to read at most; 0 is no limit"`
	Verify  bool   `json:"verify" doc:"Whether what each new backup copied is read back and checked, and with it a thirtieth of the rest"`
}

// DefaultSchedule is off, since nobody has said yet where backups go.
var DefaultSchedule = Schedule{Cron: "30 2 * * *", Keep: 14, Verify: true}

// Check tells what is wrong with the schedule.
func (s Schedule) Check() error {
	if _, err := cron.ParseStandard(s.Cron); err != nil {
		return fmt.Errorf("cron: %q is no time such as \"30 2 * * *\": %w", s.Cron, err)
	}
	if s.Keep < 1 || s.Keep > 1000 {
		return fmt.Errorf("keep: %d backups would be kept; 1 to 1000 can be", s.Keep)
	}
	if s.RateMiB < 0 || s.RateMiB > 100_000 {
		return fmt.Errorf("rate_mib: %d is not a rate; 0 to 100000 is", s.RateMiB)
	}
	return nil
}

// Job is one piece of work on a backup folder.
type Job struct {
	Kind     string    `json:"kind" enum:"backup,verify,prune"`
	Name     string    `json:"name" doc:"Of the backup; empty until a new one is there"`
	Dir      string    `json:"dir"`
	State    string    `json:"state" enum:"running,succeeded,failed,cancelled"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Trigger  string    `json:"trigger" enum:"schedule,api,command"`
	By       string    `json:"by" doc:"User; empty for the schedule"`
	Error    string    `json:"error" doc:"What went wrong, or what a check found"`
	Figures
}

// The states of a job.
const (
	StateRunning   = "running"
	StateSucceeded = "succeeded"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

// Alarmer is told of backups that failed or are overdue, and that they no
// longer are. It must not block for long.
type Alarmer interface {
	Failed(ctx context.Context, dir string, err error)
	Overdue(ctx context.Context, dir string, since time.Time)
	Well(kind string) // kind: failed or overdue
}

// The kinds of what is told to an Alarmer.
const (
	AlarmFailed  = "failed"
	AlarmOverdue = "overdue"
)

// ServiceOptions are what a service needs.
type ServiceOptions struct {
	Dir      string // configured folder; "" is none
	Source   Source
	Schedule func() Schedule
	Alarm    Alarmer
	Log      *slog.Logger
}

// Service takes and checks backups of the running suite, one at a time, when
// asked and by its schedule. It is safe for concurrent use.
type Service struct {
	opts    ServiceOptions
	now     func() time.Time
	started time.Time

	mu      sync.Mutex
	job     *running
	last    *Job
	tried   time.Time // when the schedule last began one
	overdue bool
}

type running struct {
	job    Job
	prog   Progress
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func (r *running) view() Job {
	j := r.job
	j.Figures = r.prog.Figures()
	return j
}

// NewService makes a service; Run makes it keep its schedule.
func NewService(o ServiceOptions) *Service {
	// What a backup that was killed left keeps merged parts of the lake from
	// being gone.
	if err := tidy(o.Source.Data); err != nil {
		o.Log.Warn("backup: what an interrupted backup left in the data folder is not removed", "error", err)
	}
	return &Service{opts: o, now: time.Now, started: time.Now()}
}

// Request asks for a backup.
type Request struct {
	Dir      string // where to; "" is the configured folder
	Trigger  string
	By       string
	WithKeys bool
	Rate     int64 // bytes a second; 0 is no bound
}

// open opens a backup folder, which is made where it is empty.
func (s *Service) open(dir string) (*Repository, error) {
	if dir = cmp.Or(dir, s.opts.Dir); dir == "" {
		return nil, ErrNoFolder
	}
	return OpenOrInit(dir)
}

// OpenOrInit opens the repository of a folder; in an empty folder it makes one
// that is not encrypted.
func OpenOrInit(dir string) (*Repository, error) {
	r, err := Open(dir)
	if errors.Is(err, ErrNoRepository) {
		if err := Init(dir, InitOptions{}); err != nil {
			return nil, err
		}
		return Open(dir)
	}
	return r, err
}

// errCancelled is the cause of a job that somebody cancelled.
var errCancelled = errors.New("it was cancelled")

// start begins a job in the background. It outlives ctx.
func (s *Service) start(ctx context.Context, job Job, work func(ctx context.Context, p *Progress) (name string, err error)) (Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job != nil {
		return Job{}, fmt.Errorf("%w: a %s since %s", ErrBusy, s.job.job.Kind, s.job.job.Started.Format(time.RFC3339))
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	job.State, job.Started = StateRunning, s.now().UTC()
	r := &running{job: job, cancel: cancel, done: make(chan struct{})}
	r.prog.phase(PhaseWaiting)
	s.job = r
	go func() {
		defer close(r.done)
		defer cancel(nil)
		name, err := work(ctx, &r.prog)
		s.finish(ctx, r, name, err)
	}()
	return r.view(), nil
}

func (s *Service) finish(ctx context.Context, r *running, name string, err error) {
	s.mu.Lock()
	j := r.view()
	j.Finished, j.State = s.now().UTC(), StateSucceeded
	j.Name = cmp.Or(name, j.Name)
	if err != nil {
		j.State, j.Error = StateFailed, err.Error()
		if cause := context.Cause(ctx); cause != nil {
			j.State, j.Error = StateCancelled, cause.Error()
		}
	}
	s.job, s.last = nil, &j
	s.mu.Unlock()
	level := slog.LevelInfo
	if j.State == StateFailed {
		level = slog.LevelError
	}
	s.opts.Log.Log(ctx, level, "backup: "+j.Kind+" "+j.State, "backup", j.Name, "dir", j.Dir, "took", j.Finished.Sub(j.Started).Round(time.Millisecond), "copied_bytes", j.CopiedBytes, "error", j.Error)
	switch {
	case s.opts.Alarm == nil || j.Dir != s.opts.Dir:
	case j.State == StateFailed:
		s.opts.Alarm.Failed(context.WithoutCancel(ctx), j.Dir, err)
	case j.State == StateSucceeded && j.Kind == "backup":
		s.opts.Alarm.Well(AlarmFailed)
	}
}

// Start begins a backup in the background.
func (s *Service) Start(ctx context.Context, req Request) (Job, error) {
	repo, err := s.open(req.Dir)
	if err != nil {
		return Job{}, err
	}
	return s.start(ctx, Job{Kind: "backup", Dir: repo.Dir(), Trigger: req.Trigger, By: req.By}, func(ctx context.Context, p *Progress) (string, error) {
		sum, err := repo.Take(ctx, s.opts.Source, Options{Trigger: req.Trigger, By: req.By, WithKeys: req.WithKeys, Rate: req.Rate, Log: s.opts.Log}, p)
		if err != nil || req.Trigger != TriggerSchedule {
			return sum.Name, err
		}
		return sum.Name, s.afterwards(ctx, repo, sum.Name, p)
	})
}

// afterwards checks and prunes as the schedule says.
func (s *Service) afterwards(ctx context.Context, repo *Repository, name string, p *Progress) error {
	sch := s.opts.Schedule()
	if sch.Verify {
		damaged, err := repo.VerifyNew(ctx, name, int64(sch.RateMiB)<<20, p)
		if err := verdict(damaged, err); err != nil {
			return err
		}
	}
	if _, err := repo.Prune(ctx, sch.Keep, p); err != nil {
		return fmt.Errorf("the backup is taken, older ones are not removed: %w", err)
	}
	return nil
}

// verdict makes an error of what a check found.
func verdict(damaged []string, err error) error {
	if err != nil {
		return err
	}
	if n := len(damaged); n > 0 {
		return fmt.Errorf("%w in %d places, the first: %s", ErrDamaged, n, damaged[0])
	}
	return nil
}

// Verify begins a check of a backup in the configured folder.
func (s *Service) Verify(ctx context.Context, name, by string) (Job, error) {
	repo, err := s.open("")
	if err != nil {
		return Job{}, err
	}
	sum, err := repo.Get(name)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return Job{}, err
	}
	if err != nil {
		sum.Name = name
	}
	return s.start(ctx, Job{Kind: "verify", Name: sum.Name, Dir: repo.Dir(), Trigger: TriggerAPI, By: by}, func(ctx context.Context, p *Progress) (string, error) {
		damaged, err := repo.Verify(ctx, sum.Name, int64(s.opts.Schedule().RateMiB)<<20, p)
		return sum.Name, verdict(damaged, err)
	})
}

// Delete removes a backup of the configured folder and waits until it is gone.
func (s *Service) Delete(ctx context.Context, name, by string) error {
	repo, err := s.open("")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	_, err = s.start(ctx, Job{Kind: "prune", Name: name, Dir: repo.Dir(), Trigger: TriggerAPI, By: by}, func(ctx context.Context, p *Progress) (string, error) {
		_, err := repo.Delete(ctx, name, p)
		failed <- err
		return name, err
	})
	if err != nil {
		return err
	}
	return <-failed
}

// Get describes a backup of the configured folder.
func (s *Service) Get(name string) (Summary, error) {
	repo, err := s.open("")
	if err != nil {
		return Summary{}, err
	}
	return repo.Get(name)
}

// Job tells of the job at work, or of the last one since the start.
func (s *Service) Job() (Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.job != nil:
		return s.job.view(), nil
	case s.last != nil:
		return *s.last, nil
	}
	return Job{}, ErrNoJob
}

// Cancel breaks the job at work off.
func (s *Service) Cancel() (Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.job == nil {
		return Job{}, ErrNoJob
	}
	s.job.cancel(errCancelled)
	return s.job.view(), nil
}

// Overview is everything about backups at a glance.
type Overview struct {
	Configured bool       `json:"configured" doc:"Whether backup.dir is set"`
	Dir        string     `json:"dir"`
	Encrypted  bool       `json:"encrypted"`
	Free       int64      `json:"free_bytes"`
	Total      int64      `json:"total_bytes"`
	Running    *Job       `json:"running"`
	Last       *Job       `json:"last" doc:"Last finished job since the start"`
	Schedule   Schedule   `json:"schedule"`
	NextRun    *time.Time `json:"next_run"`
	Overdue    bool       `json:"overdue"`
	Problem    string     `json:"problem" doc:"Why the backup folder cannot be used"`
}

// Overview looks at the configured folder; the backups are the newest first.
func (s *Service) Overview() (Overview, []Summary) {
	s.mu.Lock()
	o := Overview{Configured: s.opts.Dir != "", Dir: s.opts.Dir, Schedule: s.opts.Schedule(), Last: s.last, Overdue: s.overdue}
	if s.job != nil {
		j := s.job.view()
		o.Running = &j
	}
	s.mu.Unlock()
	if !o.Configured {
		return o, nil
	}
	o.Free, o.Total = Space(o.Dir)
	repo, err := Open(o.Dir)
	var list []Summary
	if err == nil {
		o.Encrypted = repo.Encrypted()
		list, err = repo.List()
	}
	if err != nil && !errors.Is(err, ErrNoRepository) {
		o.Problem = err.Error()
	}
	if due := s.due(list); !due.IsZero() {
		o.NextRun = &due
	}
	return o, list
}

// due is when the schedule wants the next backup; zero is never. A time that
// passed while the suite stood still is made up for.
func (s *Service) due(list []Summary) time.Time {
	sch := s.opts.Schedule()
	when, err := cron.ParseStandard(sch.Cron)
	if !sch.Enabled || err != nil {
		return time.Time{}
	}
	from := s.started
	if len(list) > 0 {
		from = list[0].Started
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried.After(from) {
		from = s.tried
	}
	return when.Next(from.Local())
}

const (
	// watchEvery is how often the schedule is looked at.
	watchEvery = 10 * time.Second
	// overdueAfter is how long after its time a scheduled backup is missed.
	overdueAfter = 2 * time.Hour
)

// Run keeps the schedule until ctx ends; then it breaks the job at work off
// and waits for it.
func (s *Service) Run(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		s.tick(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			s.mu.Lock()
			job := s.job
			s.mu.Unlock()
			if job != nil {
				job.cancel(errors.New("the suite was stopped"))
				<-job.done
			}
			return
		}
	}
}

func (s *Service) tick(ctx context.Context) {
	if s.opts.Dir == "" {
		return
	}
	var list []Summary
	repo, err := Open(s.opts.Dir)
	if err == nil {
		list, err = repo.List()
	}
	if err != nil && !errors.Is(err, ErrNoRepository) {
		s.opts.Log.Warn("backup: the backup folder cannot be read", "error", err)
	}
	s.watchOverdue(ctx, list)
	due := s.due(list)
	if due.IsZero() || s.now().Before(due) {
		return
	}
	_, err = s.Start(ctx, Request{Trigger: TriggerSchedule, Rate: int64(s.opts.Schedule().RateMiB) << 20})
	if errors.Is(err, ErrBusy) {
		return // once the other job is done
	}
	s.mu.Lock()
	s.tried = s.now()
	s.mu.Unlock()
	if err != nil {
		s.opts.Log.Error("backup: the scheduled backup does not begin", "error", err)
		if s.opts.Alarm != nil {
			s.opts.Alarm.Failed(ctx, s.opts.Dir, err)
		}
	}
}

// watchOverdue tells where the schedule has not brought about a backup in
// time, whatever the reason.
func (s *Service) watchOverdue(ctx context.Context, list []Summary) {
	sch := s.opts.Schedule()
	when, err := cron.ParseStandard(sch.Cron)
	overdue := false
	var since time.Time
	if sch.Enabled && err == nil {
		from := s.started
		for _, b := range list {
			if b.Fault == "" {
				from = b.Started
				break
			}
		}
		since = when.Next(from.Local())
		overdue = s.now().After(since.Add(overdueAfter))
	}
	s.mu.Lock()
	busy, was := s.job != nil, s.overdue
	if busy && overdue {
		overdue = was // it is on its way
	}
	s.overdue = overdue
	s.mu.Unlock()
	if s.opts.Alarm == nil || overdue == was {
		return
	}
	if overdue {
		s.opts.Alarm.Overdue(ctx, s.opts.Dir, since)
	} else {
		s.opts.Alarm.Well(AlarmOverdue)
	}
}
