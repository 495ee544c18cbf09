package monitor

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/export"
	"icewatch/soc/saved"
)

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
