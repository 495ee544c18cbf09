package backup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// alarms writes down what it is told.
type alarms struct {
	mu   sync.Mutex
	said []string
}

func (a *alarms) say(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, s)
}

func (a *alarms) Failed(context.Context, string, error)      { a.say("failed") }
func (a *alarms) Overdue(context.Context, string, time.Time) { a.say("overdue") }
func (a *alarms) Well(kind string)                           { a.say(kind + " over") }

func (a *alarms) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := strings.Join(a.said, ", ")
	a.said = nil
	return s
}

// service makes one whose clock stands at the beginning of an hour, four hours
// ago: backups are named by the real time, so the past can only be made up.
func service(t *testing.T, src Source, sch Schedule) (*Service, *alarms, *time.Time) {
	t.Helper()
	now := time.Now().Truncate(time.Hour).Add(-4 * time.Hour)
	a := &alarms{}
	s := NewService(ServiceOptions{Dir: filepath.Join(t.TempDir(), "backups"), Source: src, Schedule: func() Schedule { return sch }, Alarm: a, Log: slog.New(slog.DiscardHandler)})
	s.now = func() time.Time { return now }
	s.started = now
	return s, a, &now
}

// idle waits until no job runs.
func (s *Service) idle(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	job := s.job
	s.mu.Unlock()
	if job != nil {
		select {
		case <-job.done:
		case <-time.After(20 * time.Second):
			t.Fatal("the job does not end")
		}
	}
}

func TestScheduleTakesKeepsAndPrunes(t *testing.T) {
	t.Parallel()
	s, said, now := service(t, data(t), Schedule{Enabled: true, Cron: "0 * * * *", Keep: 1, Verify: true})
	tick := func() {
		s.tick(t.Context())
		s.idle(t)
	}
	tick()
	if _, err := s.Job(); !errors.Is(err, ErrNoJob) {
		t.Fatalf("before its time: %v", err)
	}
	*now = now.Add(4 * time.Hour)
	s.started = now.Add(-time.Hour)
	tick()
	job, err := s.Job()
	if err != nil || job.State != StateSucceeded || job.Trigger != TriggerSchedule {
		t.Fatalf("%+v, %v", job, err)
	}
	*now = now.Add(30 * time.Minute)
	tick()
	if again, _ := s.Job(); again.Name != job.Name {
		t.Errorf("between its times it takes %s", again.Name)
	}
	if got := said.take(); got != "failed over" {
		t.Errorf("said: %s", got)
	}
	if o, list := s.Overview(); len(list) != 1 || list[0].Verified.IsZero() || o.NextRun == nil || o.Overdue || !o.Configured {
		t.Errorf("%+v %+v", o, list)
	}
}

func TestFailedAndOverdueBackupsAlarm(t *testing.T) {
	t.Parallel()
	src := data(t)
	copyState := src.CopyState
	src.CopyState = func(context.Context, string) error { return errors.New("the disk is sick") }
	s, said, now := service(t, src, Schedule{Enabled: true, Cron: "0 * * * *", Keep: 3})
	tick := func() {
		s.tick(t.Context())
		s.idle(t)
	}
	*now = now.Add(61 * time.Minute)
	tick()
	if job, err := s.Job(); err != nil || job.State != StateFailed || !strings.Contains(job.Error, "sick") {
		t.Fatalf("%+v, %v", job, err)
	}
	tick() // not again at once
	if got := said.take(); got != "failed" {
		t.Errorf("said: %s", got)
	}
	*now = now.Add(3 * time.Hour)
	tick()
	if got := said.take(); got != "overdue, failed" {
		t.Errorf("said: %s", got)
	}
	s.opts.Source.CopyState = copyState
	if _, err := s.Start(t.Context(), Request{Trigger: TriggerAPI}); err != nil {
		t.Fatal(err)
	}
	s.idle(t)
	*now = time.Now()
	tick()
	if got := said.take(); got != "failed over, overdue over" {
		t.Errorf("said: %s", got)
	}
}

func TestOneJobAtATime(t *testing.T) {
	t.Parallel()
	src := data(t)
	begun := make(chan struct{})
	src.Running = &Running{
		Hold: func(ctx context.Context) (func() error, func(), error) {
			close(begun)
			<-ctx.Done()
			return nil, nil, ctx.Err()
		},
		Streams: func(context.Context, func(string, int64, io.Reader) error) (Place, error) { return Place{}, nil },
	}
	s, said, _ := service(t, src, DefaultSchedule)
	if _, err := s.Start(t.Context(), Request{Trigger: TriggerAPI, By: "me"}); err != nil {
		t.Fatal(err)
	}
	<-begun
	if _, err := s.Start(t.Context(), Request{}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second at the same time: %v", err)
	}
	if job, err := s.Cancel(); err != nil || job.State != StateRunning || job.By != "me" {
		t.Errorf("%+v, %v", job, err)
	}
	s.idle(t)
	if job, _ := s.Job(); job.State != StateCancelled || job.Finished.IsZero() {
		t.Errorf("%+v", job)
	}
	if _, err := s.Cancel(); !errors.Is(err, ErrNoJob) {
		t.Error(err)
	}
	if got := said.take(); got != "" {
		t.Errorf("who cancels is not alarmed: %s", got)
	}
	none := NewService(ServiceOptions{Schedule: func() Schedule { return DefaultSchedule }})
	if _, err := none.Start(t.Context(), Request{}); !errors.Is(err, ErrNoFolder) {
		t.Error(err)
	}
}

func TestScheduleCheck(t *testing.T) {
	t.Parallel()
	f := func(s Schedule, want string) {
		t.Helper()
		err := s.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
	f(DefaultSchedule, "")
	f(Schedule{Cron: "soon", Keep: 1}, `"soon" is no time`)
	f(Schedule{Cron: "0 0 * * *"}, "0 backups would be kept")
	f(Schedule{Cron: "0 0 * * *", Keep: 1, RateMiB: -1}, "-1 is not a rate")
}
