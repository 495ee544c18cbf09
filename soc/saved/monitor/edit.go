package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/soc/export"
	"icewatch/soc/saved"
)

// Create adds a monitor in the name of the asker. o is whose its exports are; its
// Bound narrows the monitor to tenants, too.
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
