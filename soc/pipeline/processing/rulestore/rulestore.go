// Package rulestore keeps the processing rules: their order, who changed them
// last, and that nobody overwrites another's change unseen. Whoever opens it is
// told of each change, so that the engine gets the rules.
package rulestore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/event"
	"icewatch/soc/pipeline/processing"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such rule.
	ErrNotFound = errors.New("there is no such processing rule")
	// ErrStale says that the rule was changed since it was read.
	ErrStale = errors.New("the processing rule was changed meanwhile")
)

// Kept is a rule as it is kept.
type Kept struct {
	processing.Rule
	Revision  int64     `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
}

type row struct {
	bun.BaseModel `bun:"table:processing_rules,alias:p"`

	ID        string `bun:"id,pk"`
	Position  int64  `bun:"position"`
	Tenant    string `bun:"tenant"`
	Revision  int64  `bun:"revision"`
	Body      string `bun:"body"`
	UpdatedAt int64  `bun:"updated_at"`
	UpdatedBy string `bun:"updated_by"`
}

func (r *row) kept() (k Kept, err error) {
	if err := json.Unmarshal([]byte(r.Body), &k.Rule); err != nil {
		return k, fmt.Errorf("processing rule %s: %w", r.ID, err)
	}
	k.ID, k.Tenant = r.ID, r.Tenant
	k.Tags, k.Labels = append([]string{}, k.Tags...), append([]processing.Label{}, k.Labels...)
	k.Revision, k.UpdatedAt, k.UpdatedBy = r.Revision, time.UnixMilli(r.UpdatedAt).UTC(), r.UpdatedBy
	return k, nil
}

// Store keeps the rules. It is safe for concurrent use.
type Store struct {
	db      *state.DB
	changed func(context.Context, []processing.Rule) error
}

// Open prepares the table. changed is called with all rules in their order
// after each change, and by Publish; its error is that of the change, which is
// kept all the same.
func Open(ctx context.Context, db *state.DB, changed func(context.Context, []processing.Rule) error) (*Store, error) {
	if err := db.Migrate(ctx, "processing", migrations); err != nil {
		return nil, err
	}
	return &Store{db: db, changed: changed}, nil
}

// Publish hands the rules to whoever opened the store.
func (s *Store) Publish(ctx context.Context) error {
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	rules := make([]processing.Rule, len(list))
	for i := range list {
		rules[i] = list[i].Rule
	}
	return s.changed(ctx, rules)
}

// List returns all rules in their order.
func (s *Store) List(ctx context.Context) ([]Kept, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Order("position", "id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("processing rules: %w", err)
	}
	list := make([]Kept, 0, len(rows))
	for i := range rows {
		k, err := rows[i].kept()
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, nil
}

// Get returns one rule.
func (s *Store) Get(ctx context.Context, id string) (Kept, error) {
	var r row
	err := s.db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Kept{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return Kept{}, fmt.Errorf("processing rules: %w", err)
	}
	return r.kept()
}

// check tells what is wrong with a rule, or with the condition in it.
func check(r *processing.Rule) error {
	r.Name = strings.TrimSpace(r.Name)
	one := *r
	one.ID, one.Enabled = "rule", true
	_, problems := processing.Compile([]processing.Rule{one}, event.NewRegistry(0))
	return problems["rule"]
}

// Create keeps a new rule behind the others.
func (s *Store) Create(ctx context.Context, r processing.Rule, by string) (k Kept, err error) {
	if err := check(&r); err != nil {
		return k, err
	}
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	r.ID = "p-" + hex.EncodeToString(b)
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var at struct {
			N    int64
			Last int64
		}
		if err := tx.NewSelect().Model((*row)(nil)).ColumnExpr("count(*) AS n, coalesce(max(position), 0) AS last").Scan(ctx, &at.N, &at.Last); err != nil {
			return err
		}
		if at.N >= processing.MaxRules {
			return fmt.Errorf("%w: there are %d rules, which is the most", processing.ErrInvalid, at.N)
		}
		fresh, err := rowOf(r, at.Last+1, 1, by)
		if err != nil {
			return err
		}
		k, err = fresh.kept()
		if err != nil {
			return err
		}
		_, err = tx.NewInsert().Model(fresh).Exec(ctx)
		return err
	})
	if err != nil {
		return Kept{}, wrap(err)
	}
	return k, s.Publish(ctx)
}

func rowOf(r processing.Rule, position, revision int64, by string) (*row, error) {
	body, err := json.Marshal(r)
	return &row{ID: r.ID, Position: position, Tenant: r.Tenant, Revision: revision, Body: string(body), UpdatedAt: time.Now().UnixMilli(), UpdatedBy: by}, err
}

func wrap(err error) error {
	for _, known := range []error{processing.ErrInvalid, ErrNotFound, ErrStale} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("processing rules: %w", err)
}

// Update changes a rule that has the revision.
func (s *Store) Update(ctx context.Context, id string, revision int64, r processing.Rule, by string) (k Kept, err error) {
	if err := check(&r); err != nil {
		return k, err
	}
	r.ID = id
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var old row
		err := tx.NewSelect().Model(&old).Where("id = ?", id).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: %q", ErrNotFound, id)
		}
		if err != nil {
			return err
		}
		if old.Revision != revision {
			return fmt.Errorf("%w by %s: it has revision %d, yours is %d", ErrStale, old.UpdatedBy, old.Revision, revision)
		}
		fresh, err := rowOf(r, old.Position, revision+1, by)
		if err != nil {
			return err
		}
		if k, err = fresh.kept(); err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(fresh).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return Kept{}, wrap(err)
	}
	return k, s.Publish(ctx)
}

// Delete removes a rule.
func (s *Store) Delete(ctx context.Context, id string) error {
	res, err := s.db.NewDelete().Model((*row)(nil)).Where("id = ?", id).Exec(ctx)
	if err != nil {
		return wrap(err)
	}
	if n, err := res.RowsAffected(); err == nil && n == 0 {
		return fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return s.Publish(ctx)
}

// Order puts the rules into the order of ids, which names each once.
func (s *Store) Order(ctx context.Context, ids []string) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var have []string
		if err := tx.NewSelect().Model((*row)(nil)).Column("id").Scan(ctx, &have); err != nil {
			return err
		}
		a, b := slices.Clone(have), slices.Clone(ids)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			return fmt.Errorf("%w: the order must name each of the %d rules once", processing.ErrInvalid, len(have))
		}
		for i, id := range ids {
			if _, err := tx.NewUpdate().Model((*row)(nil)).Set("position = ?", i+1).Where("id = ?", id).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return wrap(err)
	}
	return s.Publish(ctx)
}
