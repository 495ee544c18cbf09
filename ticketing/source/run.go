package source

import (
	"context"
	"errors"
	"sync"
	"time"
)

// How often Run looks at what no message tells of.
const (
	pace      = time.Second      // ends that have come, and what could not be told
	lookEvery = 10 * time.Second // health
	wait0     = time.Second      // first pause of a source that fails to fetch; it doubles
	waitMost  = time.Minute
)

// Run tells ticketing what fires and what is over, fetches what sources fetch,
// and looks after their health, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick, look := time.NewTicker(pace), time.NewTicker(lookEvery)
	defer tick.Stop()
	defer look.Stop()
	defer s.stopTasks()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			s.reconcile(ctx)
		case <-s.wake:
			s.tell(ctx)
		case <-tick.C:
			s.tell(ctx)
			if err := s.tidy(ctx); err != nil && ctx.Err() == nil {
				s.deps.Log.Warn("alert sources: old messages stay", "error", err)
			}
			if n%3600 == 0 {
				if err := s.purge(ctx); err != nil && ctx.Err() == nil {
					s.deps.Log.Warn("alert sources: what was over long ago stays", "error", err)
				}
			}
		case <-look.C:
			if s.deps.Hold == nil {
				continue
			}
			now, err := s.alarms(ctx)
			if err != nil {
				if ctx.Err() == nil {
					s.deps.Log.Warn("alert sources: how they fare is not known", "error", err)
				}
				continue
			}
			s.deps.Hold(ctx, now)
		}
	}
}

// task fetches the messages of one source.
type task struct {
	source *source
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	since time.Time
	fault string
}

func (t *task) status() (since time.Time, fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.fault
}

// fine notes that fetching works, and failed that it does not.
func (t *task) fine(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault != "" || t.since.IsZero() {
		t.since, t.fault = now, ""
	}
}

func (t *task) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.fault = time.Time{}, clip(err.Error(), 500)
}

func (s *Service) taskOf(id string) *task {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tasks[id]
}

// fetches returns what fetches the messages of a source until ctx ends; nil for
// one that is sent its messages.
func (s *Service) fetches(one *source) func(ctx context.Context, t *task) error {
	switch one.content.Kind {
	case KindKafka:
		return s.consume
	case KindEvents:
		if s.deps.Arrivals != nil {
			return s.readEvents
		}
	}
	return nil
}

// reconcile starts and stops tasks so that they are those of the enabled sources
// as they are now.
func (s *Service) reconcile(ctx context.Context) {
	s.mu.Lock()
	var ended []*task
	for id, t := range s.tasks {
		if one := s.sources[id]; one == nil || !one.Enabled || one.Revision != t.source.Revision {
			t.cancel()
			delete(s.tasks, id)
			ended = append(ended, t)
		}
	}
	s.mu.Unlock()
	for _, t := range ended {
		<-t.done
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, one := range s.sources {
		fetch := s.fetches(one)
		if fetch == nil || !one.Enabled || s.tasks[id] != nil {
			continue
		}
		working, cancel := context.WithCancel(ctx)
		t := &task{source: one, cancel: cancel, done: make(chan struct{})}
		s.tasks[id] = t
		go s.work(working, t, fetch)
	}
}

// work fetches again and again, with pauses that grow while it fails.
func (s *Service) work(ctx context.Context, t *task, fetch func(context.Context, *task) error) {
	defer close(t.done)
	for wait := wait0; ; wait = min(2*wait, waitMost) {
		err := fetch(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("it ended without a reason")
		}
		if since, _ := t.status(); !since.IsZero() {
			wait = wait0 // it worked until now
		}
		t.failed(err)
		s.deps.Log.Warn("alert sources: a source cannot be fetched", "source", t.source.Name, "kind", t.source.content.Kind, "error", err)
		if !sleep(ctx, wait) {
			return
		}
	}
}

func (s *Service) stopTasks() {
	s.mu.Lock()
	tasks := s.tasks
	s.tasks = map[string]*task{}
	s.mu.Unlock()
	for _, t := range tasks {
		t.cancel()
		<-t.done
	}
}

// sleep waits and tells whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
