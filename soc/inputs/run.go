package inputs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"icewatch/collectors"
	"icewatch/soc/reach"
)

// The pauses before an input that cannot be opened is tried again.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// run is the running of one input from a start to the next stop. It goes on
// trying until it is stopped.
type run struct {
	row  row
	stop context.CancelFunc
	done chan struct{}

	mu        sync.Mutex
	collector collectors.Collector // nil while it is not open
	failure   string               // why it is not
	last      collectors.Health    // of the collector before
}

// Run starts all inputs that are enabled, the oldest first, and keeps them
// running until ctx ends. It returns once all are stopped and what they had read
// is stored.
func (s *Service) Run(ctx context.Context) error {
	var list []row
	// A change either is in the list, or is put in force after it.
	s.changing.Lock()
	if err := s.db.NewSelect().Model(&list).Where("deleted_at = 0").Where("enabled").Order("created_at", "id").Scan(ctx); err != nil {
		s.changing.Unlock()
		return fmt.Errorf("inputs: read which are to run: %w", err)
	}
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	for _, r := range list {
		s.start(r, 10*time.Millisecond) // in their order, and none keeps the others waiting
	}
	s.changing.Unlock()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := s.purge(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.Warn("deleted inputs are not forgotten yet", "error", err)
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	s.ctx = nil
	runs := s.runs
	s.runs = map[string]*run{}
	s.mu.Unlock()
	for _, r := range runs {
		r.stop()
	}
	for _, r := range runs {
		<-r.done
	}
	return nil
}

// apply puts an input in force as the row says: its collector alone is stopped,
// and started where it is to run. An address is free for the next before this
// returns.
func (s *Service) apply(r row) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	old, running := s.runs[r.ID], s.ctx != nil
	if old != nil && old.row.Revision > r.Revision {
		s.mu.Unlock()
		return // a later change is in force already
	}
	delete(s.runs, r.ID)
	s.mu.Unlock()
	if old != nil {
		old.stop()
		<-old.done
	}
	if running && r.Enabled && r.DeletedAt == 0 {
		// Most open at once: whoever asked sees then how it went.
		s.start(r, 500*time.Millisecond)
	}
}

// start begins to run an input, and waits that long for it to open. The caller
// holds changing.
func (s *Service) start(r row, wait time.Duration) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.ctx))
	x := &run{row: r, stop: cancel, done: make(chan struct{})}
	s.mu.Lock()
	s.runs[r.ID] = x
	s.mu.Unlock()
	opened := make(chan struct{})
	go func() {
		defer close(x.done)
		s.keep(ctx, x, opened)
	}()
	select {
	case <-opened:
	case <-time.After(wait):
	}
}

// keep opens an input's collector, trying again where it fails, and closes it
// once ctx ends. opened is closed after the first attempt.
func (s *Service) keep(ctx context.Context, x *run, opened chan struct{}) {
	pause := firstPause
	for first := true; ; first = false {
		c, err := s.open(ctx, x.row)
		x.mu.Lock()
		if x.collector, x.failure = c, ""; err != nil {
			x.collector, x.failure = nil, failure(err)
		}
		x.mu.Unlock()
		if first {
			close(opened)
		}
		if err == nil {
			if !first {
				s.deps.Log.Info("an input is open at last", "input", x.row.ID, "name", x.row.Name)
			}
			break
		}
		if ctx.Err() == nil {
			s.deps.Log.Warn("an input cannot be opened: it is tried again", "input", x.row.ID, "name", x.row.Name, "error", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): // not all at once after a restart
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, lastPause)
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := guarded(func() error { return x.collector.Stop(end) }); err != nil {
		s.deps.Log.Error("an input did not stop in order", "input", x.row.ID, "name", x.row.Name, "error", err)
	}
}

// open makes an input's collector and starts it.
func (s *Service) open(ctx context.Context, r row) (collectors.Collector, error) {
	k := s.kinds[r.Kind]
	if k == nil {
		return nil, fmt.Errorf("this release has no inputs of the kind %.40q", r.Kind)
	}
	all, err := s.secrets(&r)
	if err != nil {
		return nil, err
	}
	doc, err := document([]byte(r.Settings))
	if err != nil {
		return nil, err
	}
	putSecrets(k.schema, doc, all)
	cfg, err := k.config(r.ID, r.Tenant, r.Zone, doc)
	if err != nil {
		return nil, err
	}
	if s.deps.Prepare != nil {
		if err := s.deps.Prepare(r.ID, cfg); err != nil {
			return nil, err
		}
	}
	deps := s.deps.Collectors(k.waits)
	deps.Places = s.places(r.ID)
	var c collectors.Collector
	err = guarded(func() (err error) { c, err = k.factory.New(cfg, deps); return err })
	if err != nil {
		return nil, err
	}
	begin, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := guarded(func() error { return c.Start(begin) }); err != nil {
		return nil, err
	}
	return c, nil
}

// failure says why an input is not open.
func failure(err error) string {
	if errors.Is(err, syscall.EADDRINUSE) {
		return "the address is in use by another program or input, and is tried again: " + err.Error()
	}
	return err.Error()
}

// healthOf tells how an input fares.
func (s *Service) healthOf(r *row) collectors.Health {
	s.mu.Lock()
	x := s.runs[r.ID]
	s.mu.Unlock()
	h := collectors.Health{ID: r.ID, Kind: r.Kind, State: collectors.StateOff}
	if x != nil {
		x.mu.Lock()
		c, why := x.collector, x.failure
		x.mu.Unlock()
		switch {
		case c != nil:
			h = c.Health()
		case why != "":
			h.State, h.Error = collectors.StateError, why
		}
	}
	h.ID, h.Kind, h.Input, h.Name, h.Tenant = r.ID, r.Kind, r.ID, r.Name, r.Tenant
	return h
}

// Health lists how the inputs fare that run, or are to, within a reach.
func (s *Service) Health(within reach.Reach) []collectors.Health {
	s.mu.Lock()
	rows := make([]row, 0, len(s.runs))
	for _, x := range s.runs {
		rows = append(rows, x.row)
	}
	s.mu.Unlock()
	var out []collectors.Health
	for i := range rows {
		if sees(Asker{Within: within}, rows[i].Tenant) {
			out = append(out, s.healthOf(&rows[i]))
		}
	}
	sortHealth(out)
	return out
}
