// Package scanner is the program icewatch-scanner: it takes runs from the suite,
// carries them out and sends what they found. Its rooms: wire (what both sides
// say), scope (what may be touched, and the only dialer), discover, check, templates
// (nuclei's engine), weak (passwords) and run (batches, state, windows). This package
// wires them and speaks with the suite over the agents' connection.
package scanner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"icewatch/collectors/agent/link"
	"icewatch/collectors/agent/program"
	"icewatch/collectors/agent/queue"
	fleet "icewatch/collectors/fleet/wire"
	"icewatch/collectors/scanner/run"
	"icewatch/collectors/scanner/templates"
	"icewatch/collectors/scanner/weak"
	"icewatch/collectors/scanner/wire"
)

// Options are what the scanner's host decides.
type Options struct {
	Dir       string   // of everything that the scanner keeps
	Allow     []string // ranges that every run is narrowed to; nil does not narrow
	Community string   // folder of the community's templates; "" none
	Version   string
	Log       *slog.Logger
}

// atOnce is how many runs are carried out at once; others wait.
const atOnce = 4

// checkEvery is how soon progress is told while runs are at work.
const checkEvery = 5 * time.Second

// Scanner is one running scanner.
type Scanner struct {
	Options
	client *link.Client
	feed   *link.Feed
	ledger *weak.Ledger
	slots  chan struct{}

	mu        sync.Mutex
	jobs      map[string]*run.Job
	wants     []string
	ended     []string
	described []wire.Templates
	sources   []templates.Source
	trouble   string
	attention chan struct{}
}

// Run runs the scanner until ctx ends.
func Run(ctx context.Context, o Options) error {
	id, err := link.LoadIdentity(o.Dir)
	if errors.Is(err, link.ErrNotEnrolled) {
		return errors.New("this host is not enrolled: run icewatch-scanner enrol with a token for scanners of the console")
	}
	if err != nil {
		return err
	}
	unlock, err := program.Lock(filepath.Join(o.Dir, "lock"), "scanner")
	if err != nil {
		return err
	}
	defer unlock()
	s := &Scanner{Options: o, jobs: map[string]*run.Job{}, slots: make(chan struct{}, atOnce), attention: make(chan struct{}, 1)}
	if s.client, err = link.NewClient(o.Dir, id, o.Log); err != nil {
		return err
	}
	defer s.client.Close()
	q, err := queue.Open(filepath.Join(o.Dir, "queue"), queue.Options{MaxBytes: 1 << 30, SegmentBytes: 8 << 20})
	if err != nil {
		return err
	}
	defer func() { _ = q.Close() }()
	s.feed = &link.Feed{Queue: q, Path: wire.PathResults, Type: wire.TypeResults, Encoding: wire.EncodingResults, Aside: link.AsideDir(filepath.Join(o.Dir, "refused"), 64<<20, o.Log)}
	if s.ledger, err = weak.OpenLedger(o.Dir); err != nil {
		return err
	}
	defer func() { _ = s.ledger.Close() }()
	if data, err := os.ReadFile(filepath.Join(o.Dir, "ended.json")); err == nil {
		_ = json.Unmarshal(data, &s.ended) // Without it a run that ended could be sent once more; nothing worse.
	}
	if err := s.read(); err != nil {
		return err
	}
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work.Go(func() { s.client.Send(ctx, s.feed) })
	jobs, wants, err := run.Load(s.options())
	if err != nil {
		return err
	}
	s.wants = wants
	for _, j := range jobs {
		s.start(ctx, &work, j)
	}
	return s.checkins(ctx, &work)
}

// read takes stock of the sources of templates.
func (s *Scanner) read() error {
	sources := []templates.Source{templates.Shipped()}
	updates, err := templates.Updates(s.Dir)
	if err != nil {
		return err
	}
	sources = append(sources, updates...)
	if s.Community != "" {
		sources = append(sources, templates.Folder(s.Community))
	}
	var described []wire.Templates
	for _, src := range sources {
		d, err := src.Describe()
		if err != nil {
			return fmt.Errorf("templates %s: %w", src.Name, err)
		}
		described = append(described, d)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources, s.described = sources, described
	return nil
}

func (s *Scanner) options() run.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return run.Options{Dir: s.Dir, Allow: s.Allow, Sources: s.sources, Ledger: s.ledger, Log: s.Log, Emit: s.emit}
}

// emit queues results on disk, and waits while there is no room.
func (s *Scanner) emit(ctx context.Context, results []wire.Result) error {
	body, err := wire.Pack(results)
	if err != nil {
		return err
	}
	if len(body) > wire.MaxBody && len(results) > 1 {
		half := len(results) / 2
		return errors.Join(s.emit(ctx, results[:half]), s.emit(ctx, results[half:]))
	}
	for {
		err := s.feed.Queue.Append(body, len(results))
		if !errors.Is(err, queue.ErrFull) {
			return err
		}
		s.setTrouble("the queue is full: the suite does not take results")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (s *Scanner) setTrouble(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = text
}

func (s *Scanner) start(ctx context.Context, work *sync.WaitGroup, j *run.Job) {
	s.mu.Lock()
	s.jobs[j.ID()] = j
	s.mu.Unlock()
	work.Go(func() {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-s.slots }()
		s.Log.Info("a run begins", "run", j.ID())
		err := j.Do(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Error("a run stopped and goes on at the next start", "run", j.ID(), "error", err)
				s.setTrouble("run " + j.ID() + ": " + err.Error())
			}
			return
		}
		s.Log.Info("a run ended", "run", j.ID())
		s.mu.Lock()
		delete(s.jobs, j.ID())
		s.ended = append(s.ended, j.ID())
		if len(s.ended) > 1000 {
			s.ended = s.ended[len(s.ended)-1000:]
		}
		data := fleet.Encode(s.ended)
		s.mu.Unlock()
		if err := link.WriteFile(filepath.Join(s.Dir, "ended.json"), data, 0o600); err != nil {
			s.Log.Warn("cannot note that a run ended", "error", err)
		}
		select {
		case s.attention <- struct{}{}:
		default:
		}
	})
}

// checkins speaks with the suite until ctx ends.
func (s *Scanner) checkins(ctx context.Context, work *sync.WaitGroup) error {
	var wait link.Backoff
	offline := false
	for ctx.Err() == nil {
		if time.Now().After(s.client.Identity().RenewAt()) {
			if err := s.client.Renew(ctx); err != nil {
				s.Log.Warn("the certificate cannot be renewed yet", "error", err)
			}
		}
		c := s.state()
		asked := time.Now()
		orders, err := s.ask(ctx, c)
		s.keep(c, err)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if !offline {
				s.Log.Warn("the suite is not reached; runs go on and results wait on disk", "error", err)
			}
			offline = true
			var refused *link.Refused
			least := time.Duration(0)
			if errors.As(err, &refused) {
				least = refused.RetryAfter
				if refused.Code == fleet.CodeRevoked || refused.Code == fleet.CodeIdentity {
					s.cancelAll("this scanner was revoked")
					least = 5 * time.Minute
				}
			}
			if !wait.Wait(ctx, least) {
				return nil
			}
			continue
		}
		if offline {
			s.Log.Info("the suite is reached again")
			offline = false
		}
		wait.Reset()
		if orders != nil {
			s.obey(ctx, work, orders)
		}
		if time.Since(asked) < time.Second {
			// A suite that answers at once is not asked in a circle.
			select {
			case <-ctx.Done():
			case <-s.attention:
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// ask checks in. While runs are at work it does not wait long, so that progress is told.
func (s *Scanner) ask(ctx context.Context, c *wire.Checkin) (*wire.Orders, error) {
	limit := wire.PollTime * 3 / 2
	busy := len(c.Runs) > 0
	if busy {
		limit = checkEvery
	}
	one, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var orders wire.Orders
	err := s.client.Call(one, wire.PathCheckin, c, &orders)
	if err != nil && busy && one.Err() != nil && ctx.Err() == nil {
		return nil, nil // The poll was left to tell more.
	}
	return &orders, err
}

func (s *Scanner) state() *wire.Checkin {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &wire.Checkin{Version: s.Version, Engines: map[string]string{"nuclei": templates.Version}, Templates: s.described, State: fleet.StateHealthy, Wants: slices.Clone(s.wants), Local: s.Allow}
	for _, j := range s.jobs {
		c.Runs = append(c.Runs, j.State())
	}
	for _, id := range s.wants {
		c.Runs = append(c.Runs, wire.RunState{ID: id, State: wire.StateWaiting})
	}
	st := s.feed.Queue.Stats()
	c.Queued = st.Items
	if t := s.feed.Trouble(); t != "" {
		c.State, c.Reason = fleet.StateDegraded, t
	} else if s.trouble != "" {
		c.State, c.Reason = fleet.StateDegraded, s.trouble
		s.trouble = ""
	}
	return c
}

// Status is what the command status prints.
type Status struct {
	At      int64         `json:"at"` // Unix seconds of the last checkin
	Error   string        `json:"error,omitempty"`
	Checkin *wire.Checkin `json:"checkin"`
}

func (s *Scanner) keep(c *wire.Checkin, err error) {
	st := Status{At: time.Now().Unix(), Checkin: c}
	if err != nil {
		st.Error = err.Error()
	}
	_ = link.WriteFile(filepath.Join(s.Dir, "status.json"), fleet.Encode(st), 0o600) // For show alone.
}

func (s *Scanner) cancelAll(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		s.Log.Warn("a run is ended", "run", j.ID(), "why", why)
		j.Cancel()
	}
}

// obey does what the suite orders.
func (s *Scanner) obey(ctx context.Context, work *sync.WaitGroup, o *wire.Orders) {
	s.mu.Lock()
	for id, j := range s.jobs {
		if slices.Contains(o.Cancel, id) {
			j.Cancel()
		}
		why := ""
		if slices.Contains(o.Pause, id) {
			why = "order of the suite" // Its first word tells the suite that it is its own.
		}
		j.Pause(why)
	}
	s.mu.Unlock()
	for _, id := range o.Cancel {
		s.forget(ctx, id)
	}
	changed, err := templates.Retain(s.Dir, o.Templates)
	if err != nil {
		s.Log.Error("a package of templates is not removed", "error", err)
	}
	for _, t := range o.Templates {
		new, err := templates.Install(ctx, s.Dir, t, s.client.Identity().ReleaseKey, s.client.Fetch)
		if err != nil {
			s.Log.Error("a package of templates is refused", "name", t.Name, "error", err)
			s.setTrouble("templates " + t.Name + ": " + err.Error())
		}
		changed = changed || new
	}
	if changed {
		if err := s.read(); err != nil {
			s.Log.Error("templates cannot be read", "error", err)
		}
	}
	for _, r := range o.Runs {
		s.mu.Lock()
		_, have := s.jobs[r.ID]
		wanted := slices.Contains(s.wants, r.ID)
		skip := have || slices.Contains(s.ended, r.ID) || len(s.jobs) >= wire.MaxRuns || slices.Contains(o.Cancel, r.ID)
		s.mu.Unlock()
		if skip {
			continue
		}
		j, err := run.New(s.options(), r)
		if err != nil {
			s.refuse(ctx, r.ID, err)
			continue
		}
		if wanted {
			s.mu.Lock()
			s.wants = slices.DeleteFunc(s.wants, func(id string) bool { return id == r.ID })
			s.mu.Unlock()
		}
		s.start(ctx, work, j)
	}
}

// forget ends a run that waits for its credentials.
func (s *Scanner) forget(ctx context.Context, id string) {
	s.mu.Lock()
	i := slices.Index(s.wants, id)
	if i >= 0 {
		s.wants = slices.Delete(s.wants, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		_ = os.RemoveAll(filepath.Join(s.Dir, "runs", filepath.Base(id)))
		s.end(ctx, id, wire.End{State: wire.EndCancelled})
	}
}

// refuse tells of an order that cannot be carried out.
func (s *Scanner) refuse(ctx context.Context, id string, why error) {
	s.Log.Error("a run is refused", "run", id, "error", why)
	if id != "" && len(id) <= 64 {
		s.end(ctx, id, wire.End{State: wire.EndFailed, Reason: why.Error()})
	}
}

func (s *Scanner) end(ctx context.Context, id string, e wire.End) {
	s.mu.Lock()
	s.ended = append(s.ended, id)
	s.mu.Unlock()
	// Of a run that never began, and of one whose beginning another process made: above whatever that counted.
	seq := uint64(1)<<52 | 1
	if err := s.emit(ctx, []wire.Result{{Run: id, Seq: seq, Kind: wire.KindEnd, At: time.Now().UnixMilli(), End: &e}}); err != nil {
		s.Log.Error("the end of a run cannot be told", "run", id, "error", err)
	}
}
