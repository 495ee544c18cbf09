package inhibition

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store keeps the rules in SQL.
type Store struct {
	db    *state.DB
	clock func() time.Time
}

type row struct {
	bun.BaseModel `bun:"table:inhibition_rules,alias:r"`
	ID            string `bun:"id,pk"`
	Doc           string `bun:"doc"`
	DeletedAt     int64  `bun:"deleted_at"`
}

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, "inhibition", migrations); err != nil {
		return nil, err
	}
	return &Store{db, clock}, nil
}

// List reads the rules, by name.
func (s *Store) List(ctx context.Context) ([]Rule, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("deleted_at = 0").Scan(ctx); err != nil {
		return nil, fmt.Errorf("inhibition: read the rules: %w", err)
	}
	out := make([]Rule, 0, len(rows))
	for _, r := range rows {
		rule, err := r.rule()
		if err != nil {
			return nil, err
		}
		out = append(out, rule)
	}
	slices.SortFunc(out, func(a, b Rule) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return out, nil
}

func (r *row) rule() (out Rule, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &out); err != nil {
		err = fmt.Errorf("inhibition: read rule %s: %w", r.ID, err)
	}
	return out, err
}

// Get reads a rule, one that was deleted as well.
func (s *Store) Get(ctx context.Context, id string) (Rule, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return Rule{}, fmt.Errorf("inhibition: read rule %.64q: %w", id, err)
	}
	if len(rows) == 0 {
		return Rule{}, fmt.Errorf("rule %.64q: %w", id, ErrNotFound)
	}
	return rows[0].rule()
}

// Set makes a rule, or changes the one whose id it carries.
func (s *Store) Set(ctx context.Context, actor string, r Rule) (Rule, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	if r.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return r, fmt.Errorf("inhibition: make an id: %w", err)
		}
		r.ID = id.String()
	}
	if r.Equal == nil {
		r.Equal = []string{}
	}
	if r.Tenants == nil {
		r.Tenants = []string{}
	}
	r.UpdatedAt, r.UpdatedBy = s.clock().UTC().Truncate(time.Millisecond), actor
	doc, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("inhibition: encode rule %s: %w", r.ID, err)
	}
	return r, s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*row)(nil)).Where("deleted_at = 0 AND id <> ?", r.ID).Count(ctx)
		if err != nil {
			return fmt.Errorf("inhibition: count the rules: %w", err)
		}
		if n >= MaxRules {
			return fmt.Errorf("%w: there are %d rules, at most %d: delete some that are not needed", ErrInvalid, n, MaxRules)
		}
		if _, err := tx.NewInsert().Model(&row{ID: r.ID, Doc: string(doc)}).On("CONFLICT (id) DO UPDATE").
			Set("doc = EXCLUDED.doc, deleted_at = 0").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("inhibition: write rule %s: %w", r.ID, err)
		}
		return nil
	})
}

// Delete takes a rule out of force; Restore brings it back.
func (s *Store) Delete(ctx context.Context, id string) error {
	return s.mark(ctx, id, s.clock().UnixMilli())
}

// Restore brings back a rule that was deleted.
func (s *Store) Restore(ctx context.Context, id string) error { return s.mark(ctx, id, 0) }

func (s *Store) mark(ctx context.Context, id string, deleted int64) error {
	res, err := s.db.NewUpdate().Model((*row)(nil)).Set("deleted_at = ?", deleted).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return fmt.Errorf("inhibition: delete or restore rule %s: %w", id, err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("rule %.64q: %w", id, ErrNotFound)
	}
	return nil
}
