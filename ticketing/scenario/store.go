package scenario

import (
	"cmp"
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

// maxVersions is how many versions of a scenario are listed.
const maxVersions = 100

// Store keeps the scenarios in SQL with all their versions. It is safe for
// concurrent use.
type Store struct {
	db    *state.DB
	clock func() time.Time
}

// Kept is a scenario with what is known of its text.
type Kept struct {
	Scenario
	Version   int64 // 0 is what was shipped
	UpdatedAt time.Time
	UpdatedBy string
	Deleted   bool // of versions: it was deleted then; the rest is as it was before
}

type row struct {
	bun.BaseModel `bun:"table:scenario_versions,alias:v"`
	Version       int64  `bun:"version,pk,autoincrement"`
	ID            string `bun:"id"`
	Doc           string `bun:"doc"`
	At            int64  `bun:"at"`
	By            string `bun:"by"`
}

// Open brings the table up to date.
func Open(ctx context.Context, db *state.DB, clock func() time.Time) (*Store, error) {
	if err := db.Migrate(ctx, "scenario", migrations); err != nil {
		return nil, err
	}
	return &Store{db, clock}, nil
}

func (r *row) kept() (k Kept, err error) {
	if err = json.Unmarshal([]byte(r.Doc), &k.Scenario); err != nil {
		return k, fmt.Errorf("scenario: read version %d of %s: %w", r.Version, r.ID, err)
	}
	k.fill()
	k.ID, k.Version, k.UpdatedAt, k.UpdatedBy = r.ID, r.Version, time.UnixMilli(r.At).UTC(), r.By
	k.Shipped = slices.ContainsFunc(shipped(), func(s Scenario) bool { return s.ID == r.ID })
	return k, nil
}

// List reads the scenarios: those that are shipped in their order, then the
// others by name.
func (s *Store) List(ctx context.Context) ([]Kept, error) { return listed(ctx, s.db) }

func listed(ctx context.Context, db bun.IDB) ([]Kept, error) {
	var rows []row
	if err := db.NewSelect().Model(&rows).Where("version IN (SELECT max(version) FROM scenario_versions GROUP BY id)").Scan(ctx); err != nil {
		return nil, fmt.Errorf("scenario: read the scenarios: %w", err)
	}
	own := map[string]Kept{}
	for i := range rows {
		if rows[i].Doc == "" {
			continue
		}
		k, err := rows[i].kept()
		if err != nil {
			return nil, err
		}
		own[k.ID] = k
	}
	var out []Kept
	for _, sh := range shipped() {
		k, changed := own[sh.ID]
		if !changed {
			k = Kept{Scenario: sh}
		}
		delete(own, sh.ID)
		out = append(out, k)
	}
	mine := make([]Kept, 0, len(own))
	for _, k := range own {
		mine = append(mine, k)
	}
	slices.SortFunc(mine, func(a, b Kept) int {
		return cmp.Or(strings.Compare(a.Name.ZH+a.Name.EN, b.Name.ZH+b.Name.EN), strings.Compare(a.ID, b.ID))
	})
	return append(out, mine...), nil
}

// Get reads a scenario that is there.
func (s *Store) Get(ctx context.Context, id string) (Kept, error) { return one(ctx, s.db, id) }

func one(ctx context.Context, db bun.IDB, id string) (Kept, error) {
	all, err := listed(ctx, db)
	if err != nil {
		return Kept{}, err
	}
	if i := slices.IndexFunc(all, func(k Kept) bool { return k.ID == id }); i >= 0 {
		return all[i], nil
	}
	return Kept{}, fmt.Errorf("scenario %.64q: %w", id, ErrNotFound)
}

// Put makes scenarios, all or none: one whose id is there is changed, another is
// made. may, which may be nil, is asked about each that is changed before.
func (s *Store) Put(ctx context.Context, actor string, list []Scenario, may func(old *Kept) error) (out []Kept, err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out = nil
		all, err := listed(ctx, tx)
		if err != nil {
			return err
		}
		count := len(all)
		for _, sc := range list {
			if err := sc.Check(); err != nil {
				return err
			}
			at := slices.IndexFunc(all, func(k Kept) bool { return sc.ID != "" && k.ID == sc.ID })
			switch {
			case at >= 0:
				if may != nil {
					if err := may(&all[at]); err != nil {
						return err
					}
				}
			default:
				if count++; count > MaxScenarios {
					return fmt.Errorf("%w: there would be %d scenarios, at most %d: delete some that are not needed", ErrInvalid, count, MaxScenarios)
				}
				id, err := uuid.NewV7()
				if err != nil {
					return fmt.Errorf("scenario: make an id: %w", err)
				}
				sc.ID = id.String() // an id from elsewhere may be another's here, deleted or beyond reach
			}
			k, err := s.write(ctx, tx, actor, sc, false)
			if err != nil {
				return err
			}
			out = append(out, k)
		}
		return nil
	})
	return out, err
}

func (s *Store) write(ctx context.Context, tx bun.Tx, actor string, sc Scenario, deleted bool) (Kept, error) {
	now := s.clock().UTC().Truncate(time.Millisecond)
	r := row{ID: sc.ID, At: now.UnixMilli(), By: actor}
	if !deleted {
		doc, err := json.Marshal(sc)
		if err != nil {
			return Kept{}, fmt.Errorf("scenario: encode %s: %w", sc.ID, err)
		}
		r.Doc = string(doc)
	}
	if _, err := tx.NewInsert().Model(&r).Exec(ctx); err != nil {
		return Kept{}, fmt.Errorf("scenario: write %s: %w", sc.ID, err)
	}
	k := Kept{Scenario: sc, Version: r.Version, UpdatedAt: now, UpdatedBy: actor, Deleted: deleted}
	k.Shipped = slices.ContainsFunc(shipped(), func(o Scenario) bool { return o.ID == sc.ID })
	return k, nil
}

// Delete takes a scenario away; Restore brings it back. One that is shipped can
// only be switched off, or restored to what was shipped.
func (s *Store) Delete(ctx context.Context, actor, id string, may func(old *Kept) error) error {
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		k, err := one(ctx, tx, id)
		if err != nil {
			return err
		}
		if may != nil {
			if err := may(&k); err != nil {
				return err
			}
		}
		if k.Shipped {
			return fmt.Errorf("%w: the scenario %s is shipped and cannot be deleted: switch it off", ErrInvalid, id)
		}
		_, err = s.write(ctx, tx, actor, k.Scenario, true)
		return err
	})
}

// Versions lists the versions of a scenario, the newest first, maxVersions at
// most. One that was deleted has them still.
func (s *Store) Versions(ctx context.Context, id string) ([]Kept, error) {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Where("id = ?", id).OrderExpr("version DESC").Limit(maxVersions + 1).Scan(ctx); err != nil {
		return nil, fmt.Errorf("scenario: read the versions of %.64q: %w", id, err)
	}
	out := []Kept{}
	for i := range rows[:min(len(rows), maxVersions)] {
		r := rows[i]
		deleted := r.Doc == ""
		if deleted && i+1 < len(rows) {
			r.Doc = rows[i+1].Doc
		}
		if r.Doc == "" {
			continue
		}
		k, err := r.kept()
		if err != nil {
			return nil, err
		}
		k.Deleted = deleted
		out = append(out, k)
	}
	for _, sh := range shipped() {
		if sh.ID == id && len(rows) <= maxVersions {
			out = append(out, Kept{Scenario: sh})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("scenario %.64q: %w", id, ErrNotFound)
	}
	return out, nil
}

// Restore makes a scenario again what a version of it was, a deleted one too;
// version 0 is what was shipped.
func (s *Store) Restore(ctx context.Context, actor, id string, version int64, may func(old *Kept) error) (out Kept, err error) {
	versions, err := s.Versions(ctx, id)
	if err != nil {
		return Kept{}, err
	}
	i := slices.IndexFunc(versions, func(k Kept) bool { return k.Version == version })
	if i < 0 {
		return Kept{}, fmt.Errorf("version %d of the scenario %.64q: %w", version, id, ErrNotFound)
	}
	if may != nil { // what is in force, and what is to be
		for _, k := range []*Kept{&versions[0], &versions[i]} {
			if err := may(k); err != nil {
				return Kept{}, err
			}
		}
	}
	sc := versions[i].Scenario
	if err := sc.Check(); err != nil {
		return Kept{}, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		out, err = s.write(ctx, tx, actor, sc, false)
		return err
	})
	return out, err
}
