package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/uptrace/bun"
)

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

// expire removes the files whose time is over, and forgets jobs without one.
func (s *Service) expire(ctx context.Context) {
	now := s.now()
	err := s.loosen(ctx, now)
	var old []row
	err = errors.Join(err, s.db.NewSelect().Model(&old).Where("e.state = ?", Done).Where("e.kept = ?", false).Where("e.expires_at <= ?", now.UnixMilli()).Scan(ctx))
	for i := range old {
		err = errors.Join(err, s.discard(ctx, &old[i], now))
	}
	_, gone := s.db.NewDelete().Model((*row)(nil)).Where("state IN (?)", bun.In([]string{Failed, Cancelled, Expired})).
		Where("finished_at < ?", now.Add(-remembered).UnixMilli()).Exec(ctx)
	if err = errors.Join(err, gone); err != nil && ctx.Err() == nil {
		s.deps.Log.Error("export: old files are not removed yet", "error", err)
	}
}

// discard removes the file of a job whose time is over, unless its owner has kept
// it since the job was read.
func (s *Service) discard(ctx context.Context, r *row, now time.Time) error {
	res, err := s.db.NewUpdate().Model((*row)(nil)).Set("state = ?", Expired).Set("file = ''").
		Where("id = ?", r.ID).Where("state = ?", Done).Where("kept = ?", false).Where("expires_at <= ?", now.UnixMilli()).Exec(ctx)
	if err != nil {
		return fmt.Errorf("export: let %s expire: %w", r.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return s.remove(r.File)
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
