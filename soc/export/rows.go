package export

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

type row struct {
	bun.BaseModel `bun:"table:exports,alias:e"`

	ID         string `bun:"id,pk"`
	Owner      string `bun:"owner"`
	OwnerName  string `bun:"owner_name"`
	Bound      string `bun:"bound"`
	Origin     string `bun:"origin"`
	Name       string `bun:"name"`
	Query      string `bun:"query"`
	Tenant     string `bun:"tenant"`
	Group      string `bun:"log_group"`
	StartAt    int64  `bun:"start_at"`
	EndAt      int64  `bun:"end_at"`
	Format     string `bun:"format"`
	BOM        bool   `bun:"bom"`
	Fields     string `bun:"fields"`
	MaxRows    int64  `bun:"max_rows"`
	Kept       bool   `bun:"kept"`
	State      string `bun:"state"`
	Attempts   int    `bun:"attempts"`
	Rows       int64  `bun:"rows"`
	Estimated  int64  `bun:"estimated"`
	Bytes      int64  `bun:"bytes"`
	Sheets     int    `bun:"sheets"`
	Notes      string `bun:"notes"`
	Error      string `bun:"error"`
	File       string `bun:"file"`
	CreatedAt  int64  `bun:"created_at"`
	StartedAt  int64  `bun:"started_at"`
	FinishedAt int64  `bun:"finished_at"`
	ExpiresAt  int64  `bun:"expires_at"`
}

func encode(list []string) string {
	b, _ := json.Marshal(append([]string{}, list...)) // strings always encode
	return string(b)
}

func decode(text string) []string {
	list := []string{}
	_ = json.Unmarshal([]byte(text), &list) // written by encode
	return list
}

func timeOf(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

func (r *row) owner() Owner {
	o := Owner{ID: r.Owner, Name: r.OwnerName}
	if list := decode(r.Bound); len(list) > 0 {
		o.Bound = list
	}
	return o
}

func (r *row) job(now time.Time) Job {
	j := Job{ID: r.ID, Name: r.Name, State: r.State, Format: r.Format, Query: r.Query, Tenant: r.Tenant, Group: r.Group, Start: time.UnixMilli(r.StartAt).UTC(),
		End: time.UnixMilli(r.EndAt).UTC(), Fields: decode(r.Fields), BOM: r.BOM, MaxRows: r.MaxRows, Rows: r.Rows, Bytes: r.Bytes, Sheets: r.Sheets, Notes: decode(r.Notes),
		Error: r.Error, Kept: r.Kept, Origin: r.Origin, Owner: r.owner(), CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), StartedAt: timeOf(r.StartedAt),
		FinishedAt: timeOf(r.FinishedAt), ExpiresAt: timeOf(r.ExpiresAt)}
	if r.Kept {
		j.ExpiresAt = nil
	}
	if r.Estimated >= 0 {
		n := r.Estimated
		j.Estimated = &n
		if part := float64(r.Rows) / float64(max(min(n, r.MaxRows), 1)); r.State == Running {
			part = min(part, 0.99) // the count may have changed; 1 says that the file is there
			j.Progress = &part
		}
	}
	if r.State == Done {
		whole := 1.0
		j.Progress = &whole
	}
	switch {
	case r.StartedAt == 0:
	case r.FinishedAt != 0:
		j.TookMS = r.FinishedAt - r.StartedAt
	default:
		j.TookMS = now.UnixMilli() - r.StartedAt
	}
	return j
}

func (s *Service) save(ctx context.Context, r *row) error {
	if _, err := s.db.NewUpdate().Model(r).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("export: write job %s: %w", r.ID, err)
	}
	return nil
}

func (s *Service) row(ctx context.Context, owner, id string) (*row, error) {
	r := new(row)
	sel := s.db.NewSelect().Model(r).Where("e.id = ?", id)
	if owner != "" {
		sel = sel.Where("e.owner = ?", owner)
	}
	err := sel.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %.64q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("export: read %s: %w", id, err)
	}
	return r, nil
}
