package template

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/detections"
)

//go:embed shipped/*.yaml
var shipped embed.FS

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// shippedIDs are the shipped templates; the first one is the default until another is chosen.
var shippedIDs = []string{"detailed", "notice"}

// FindingTemplate is a template as it is listed.
type FindingTemplate struct {
	ID      string          `json:"id"`
	Name    detections.Text `json:"name"`
	Shipped bool            `json:"shipped,omitempty" doc:"It comes with the suite and cannot be changed or deleted"`
	Default bool            `json:"default,omitempty" doc:"Reports are made by it where none is named"`
	By      string          `json:"by,omitempty" doc:"Who uploaded it last"`
	At      time.Time       `json:"at,omitzero"`
}

// Shelf keeps templates. It is safe for concurrent use.
type Shelf struct {
	db  *cmdb.Database
	now func() time.Time
}

type row struct {
	bun.BaseModel `bun:"table:exposure_templates,alias:t"`
	ID            string `bun:"id,pk"`
	Text          string `bun:"text"`
	Author        string `bun:"author"`
	At            int64  `bun:"at"`
}

// Open brings the tables up to date. They are kept beside the CMDB's items.
func Open(ctx context.Context, db *cmdb.Database) (*Shelf, error) {
	if err := db.Migrate(ctx, "exposure_templates", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return &Shelf{db: db, now: time.Now}, nil
}

// chosen is the default's id.
func (s *Shelf) chosen(ctx context.Context, db bun.IDB) (string, error) {
	var id string
	err := db.NewSelect().Table("exposure_template_choice").Column("template").Where("name = 'default'").Scan(ctx, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return shippedIDs[0], nil
	}
	if err != nil {
		return "", fmt.Errorf("template: which one is the default: %w", err)
	}
	return id, nil
}

// List lists the templates, the shipped ones first.
func (s *Shelf) List(ctx context.Context) ([]FindingTemplate, error) {
	chosen, err := s.chosen(ctx, s.db.DB)
	if err != nil {
		return nil, err
	}
	var out []FindingTemplate
	for _, id := range shippedIDs {
		text, err := shipped.ReadFile("shipped/" + id + ".yaml")
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		t, err := Parse(text)
		if err != nil {
			return nil, err
		}
		out = append(out, FindingTemplate{ID: id, Name: t.Name, Shipped: true, Default: id == chosen})
	}
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Order("t.at", "t.id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("template: list: %w", err)
	}
	for _, r := range rows {
		t, err := Parse([]byte(r.Text))
		if err != nil {
			t.Name = detections.Text{ZH: r.ID, EN: r.ID} // it can be downloaded, and replaced
		}
		out = append(out, FindingTemplate{ID: r.ID, Name: t.Name, Default: r.ID == chosen, By: r.Author, At: time.UnixMilli(r.At).UTC()})
	}
	return out, nil
}

// Text is a template as it was uploaded; "" is the default's id.
func (s *Shelf) Text(ctx context.Context, id string) ([]byte, error) {
	if id == "" {
		var err error
		if id, err = s.chosen(ctx, s.db.DB); err != nil {
			return nil, err
		}
	}
	if slices.Contains(shippedIDs, id) {
		return shipped.ReadFile("shipped/" + id + ".yaml")
	}
	var r row
	err := s.db.NewSelect().Model(&r).Where("t.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("template: read %s: %w", id, err)
	}
	return []byte(r.Text), nil
}

// Put keeps a template: a new one where id is "", else in place of that one. It answers
// the id.
func (s *Shelf) Put(ctx context.Context, actor, id string, text []byte) (string, error) {
	if slices.Contains(shippedIDs, id) {
		return "", ErrShipped
	}
	if _, err := Parse(text); err != nil {
		return "", err
	}
	err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		r := row{ID: id, Text: string(text), Author: actor, At: s.now().UnixMilli()}
		if id != "" {
			res, err := tx.NewUpdate().Model(&r).Column("text", "author", "at").WherePK().Exec(ctx)
			if err != nil {
				return fmt.Errorf("template: keep %s: %w", id, err)
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return errors.Join(ErrNotFound, err)
			}
			return nil
		}
		n, err := tx.NewSelect().Model((*row)(nil)).Count(ctx)
		if err != nil {
			return fmt.Errorf("template: count: %w", err)
		}
		if n >= maxKept {
			return fmt.Errorf("%w: %d templates are kept already: delete one", ErrInvalid, n)
		}
		r.ID = rand.Text()
		id = r.ID
		if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
			return fmt.Errorf("template: keep: %w", err)
		}
		return nil
	})
	return id, err
}

// Delete deletes a template. If it was the default, the first shipped one is again.
func (s *Shelf) Delete(ctx context.Context, id string) error {
	if slices.Contains(shippedIDs, id) {
		return ErrShipped
	}
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		res, err := tx.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx)
		if err != nil {
			return fmt.Errorf("template: delete %s: %w", id, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNotFound, err)
		}
		_, err = tx.NewDelete().Table("exposure_template_choice").Where("template = ?", id).Exec(ctx)
		return err
	})
}

// Choose makes a template the default.
func (s *Shelf) Choose(ctx context.Context, id string) error {
	if _, err := s.Text(ctx, id); err != nil || id == "" {
		return errors.Join(err, map[bool]error{true: ErrNotFound}[id == ""])
	}
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewRaw("INSERT INTO exposure_template_choice (name, template) VALUES ('default', ?) ON CONFLICT (name) DO UPDATE SET template = excluded.template", id).Exec(ctx)
		return err
	})
}
