package export

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

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

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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

// run is a job while it runs.
type run struct {
	cancel                 context.CancelCauseFunc
	rows, estimated, bytes atomic.Int64
}
