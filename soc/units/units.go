// Package units keeps the tree of organisations: the city, its bureaux,
// districts and counties, and what is below them. Users, tenants and
// configuration items belong to units; delegated administration and data
// scopes follow the tree.
package units

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
	"icewatch/soc/tenancy"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	// ErrNotFound says that there is no such unit.
	ErrNotFound = errors.New("there is no such unit")
	// ErrInvalid says that a unit cannot be kept like this; the error that wraps it says why.
	ErrInvalid = errors.New("the unit is not valid")
	// ErrConflict says that the code is taken, or that the unit is still in use.
	ErrConflict = errors.New("the unit is in use")
)

const (
	// Max bounds the units: the whole tree is held in memory, a few hundred
	// bytes each.
	Max = 100_000
	// MaxDepth bounds the levels of the tree.
	MaxDepth = 20
)

// Text is a name in the suite's two languages.
type Text = tenancy.Text

// Unit is one organisation.
type Unit struct {
	ID        string    `json:"id"`
	Parent    string    `json:"parent"` // "" at the top
	Name      Text      `json:"name"`
	Code      string    `json:"code"`     // the city's own code, unique where given
	Region    string    `json:"region"`   // administrative division; "" inherits
	Industry  string    `json:"industry"` // "" inherits
	Kind      string    `json:"kind"`     // bureau, district, county, department, company…: the city's own word
	Supports  string    `json:"supports"` // id of the supporting organisation that looks after its systems
	Labels    []string  `json:"labels"`
	Ceiling   string    `json:"ceiling"` // data scope nobody of the unit or below reaches beyond; "" is no bound
	Source    string    `json:"source"`  // "" where people keep it, else the directory it comes from
	Path      []string  `json:"path"`    // ids from the top to this unit
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Change changes what is not nil.
type Change struct {
	Parent   *string
	Name     *Text
	Code     *string
	Region   *string
	Industry *string
	Kind     *string
	Supports *string
	Labels   *[]string
}

type row struct {
	bun.BaseModel `bun:"table:units,alias:u"`

	ID        string `bun:"id,pk"`
	Parent    string `bun:"parent"`
	NameZH    string `bun:"name_zh"`
	NameEN    string `bun:"name_en"`
	Code      string `bun:"code"`
	Region    string `bun:"region"`
	Industry  string `bun:"industry"`
	Kind      string `bun:"kind"`
	Supports  string `bun:"supports"`
	Labels    string `bun:"labels"`
	Ceiling   string `bun:"ceiling"`
	Source    string `bun:"source"`
	CreatedAt int64  `bun:"created_at"`
	UpdatedAt int64  `bun:"updated_at"`
}

func toRow(u Unit) row {
	labels, _ := json.Marshal(append([]string{}, u.Labels...)) // strings always encode
	return row{ID: u.ID, Parent: u.Parent, NameZH: u.Name.ZH, NameEN: u.Name.EN, Code: u.Code, Region: u.Region, Industry: u.Industry, Kind: u.Kind,
		Supports: u.Supports, Labels: string(labels), Ceiling: u.Ceiling, Source: u.Source, CreatedAt: u.CreatedAt.UnixMilli(), UpdatedAt: u.UpdatedAt.UnixMilli()}
}

func (r *row) unit() (Unit, error) {
	u := Unit{ID: r.ID, Parent: r.Parent, Name: Text{ZH: r.NameZH, EN: r.NameEN}, Code: r.Code, Region: r.Region, Industry: r.Industry, Kind: r.Kind,
		Supports: r.Supports, Labels: []string{}, Ceiling: r.Ceiling, Source: r.Source, CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC()}
	if err := json.Unmarshal([]byte(r.Labels), &u.Labels); err != nil {
		return u, fmt.Errorf("units: the stored labels of %s: %w", r.ID, err)
	}
	return u, nil
}

// Store keeps the units. It is safe for concurrent use.
type Store struct {
	db   *state.DB
	now  func() time.Time
	tree atomic.Pointer[Tree]

	mu      sync.Mutex // one change at a time, so that the tree stays a tree
	changed []func(*Tree)
	inUse   []func(ctx context.Context, id string) (string, error)
}

// Open prepares the table and reads the tree.
func Open(ctx context.Context, db *state.DB) (*Store, error) {
	if err := db.Migrate(ctx, "units", migrations); err != nil {
		return nil, err
	}
	s := &Store{db: db, now: time.Now}
	return s, s.load(ctx)
}

// OnChange has f called with the new tree after each change. Call it before
// the store is in use.
func (s *Store) OnChange(f func(*Tree)) { s.changed = append(s.changed, f) }

// KeepWhile has f asked before a unit is removed: it says by what the unit is
// still used, or "". Call it before the store is in use.
func (s *Store) KeepWhile(f func(ctx context.Context, id string) (string, error)) {
	s.inUse = append(s.inUse, f)
}

// Tree returns the units as they are now.
func (s *Store) Tree() *Tree { return s.tree.Load() }

func (s *Store) load(ctx context.Context) error {
	var rows []row
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return fmt.Errorf("units: read the tree: %w", err)
	}
	list := make([]Unit, 0, len(rows))
	for i := range rows {
		u, err := rows[i].unit()
		if err != nil {
			return err
		}
		list = append(list, u)
	}
	t := newTree(list)
	s.tree.Store(t)
	for _, f := range s.changed {
		f(t)
	}
	return nil
}

// Create adds a unit. An empty ID gets one made.
func (s *Store) Create(ctx context.Context, u Unit) (Unit, error) {
	list, err := s.Apply(ctx, []Unit{u})
	if err != nil {
		return Unit{}, err
	}
	return list[0], nil
}

// Update changes a unit; a new parent moves it with all below it.
func (s *Store) Update(ctx context.Context, id string, ch Change) (Unit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.Tree().Get(id)
	if !ok {
		return u, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	for _, c := range []struct {
		to   *string
		from *string
	}{{&u.Parent, ch.Parent}, {&u.Code, ch.Code}, {&u.Region, ch.Region}, {&u.Industry, ch.Industry}, {&u.Kind, ch.Kind}, {&u.Supports, ch.Supports}} {
		if c.from != nil {
			*c.to = strings.TrimSpace(*c.from)
		}
	}
	if ch.Name != nil {
		u.Name = *ch.Name
	}
	if ch.Labels != nil {
		u.Labels = *ch.Labels
	}
	return s.put(ctx, u)
}

// SetCeiling bounds what anybody of the unit and below it can reach. The
// expression must have been checked by the caller.
func (s *Store) SetCeiling(ctx context.Context, id, expression string) (Unit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.Tree().Get(id)
	if !ok {
		return u, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	u.Ceiling = strings.TrimSpace(expression)
	return s.put(ctx, u)
}

func (s *Store) put(ctx context.Context, u Unit) (Unit, error) {
	list, err := s.apply(ctx, []Unit{u})
	if err != nil {
		return Unit{}, err
	}
	return list[0], nil
}

// Apply creates units and changes those whose ID exists, all or none, in one
// transaction. Parents may come in any order. It returns the units as they
// are now, in the order given.
func (s *Store) Apply(ctx context.Context, list []Unit) ([]Unit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(ctx, list)
}

func (s *Store) apply(ctx context.Context, list []Unit) ([]Unit, error) {
	rows, err := s.plan(list)
	if err != nil {
		return nil, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(rows, 500) {
			_, err := tx.NewInsert().Model(&part).On("CONFLICT (id) DO UPDATE").
				Set("parent = EXCLUDED.parent, name_zh = EXCLUDED.name_zh, name_en = EXCLUDED.name_en, code = EXCLUDED.code, region = EXCLUDED.region").
				Set("industry = EXCLUDED.industry, kind = EXCLUDED.kind, supports = EXCLUDED.supports, labels = EXCLUDED.labels").
				Set("ceiling = EXCLUDED.ceiling, source = EXCLUDED.source, updated_at = EXCLUDED.updated_at").Exec(ctx)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("units: keep %d units: %w", len(rows), err)
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	out := make([]Unit, len(rows))
	for i := range rows {
		out[i], _ = s.Tree().Get(rows[i].ID)
	}
	return out, nil
}

// plan checks the units together with those there are: what comes out must be
// a tree.
func (s *Store) plan(list []Unit) ([]row, error) {
	now := s.now().UTC().Truncate(time.Millisecond)
	have := s.Tree()
	all := make(map[string]Unit, have.Len()+len(list))
	codes := make(map[string]string, have.Len())
	for _, u := range have.All() {
		all[u.ID] = u
	}
	rows := make([]row, 0, len(list))
	list = slices.Clone(list)
	for i := range list {
		u := &list[i]
		if u.ID == "" {
			u.ID = "unit_" + strings.ToLower(rand.Text()[:16])
		}
		if err := u.check(); err != nil {
			return nil, err
		}
		if old, ok := all[u.ID]; ok {
			u.CreatedAt = old.CreatedAt
		} else {
			u.CreatedAt = now
		}
		u.UpdatedAt = now
		all[u.ID] = *u
		rows = append(rows, toRow(*u))
	}
	if len(all) > Max {
		return nil, fmt.Errorf("%w: there would be %d units, at most %d can be kept", ErrInvalid, len(all), Max)
	}
	for id, u := range all {
		if u.Code == "" {
			continue
		}
		if other, taken := codes[u.Code]; taken {
			return nil, fmt.Errorf("%w: the code %q is given to %s and %s", ErrConflict, u.Code, min(other, id), max(other, id))
		}
		codes[u.Code] = id
	}
	for _, u := range list {
		if u.Supports != "" {
			if _, ok := all[u.Supports]; !ok {
				return nil, fmt.Errorf("%w: supports names the unit %q, which does not exist", ErrInvalid, u.Supports)
			}
		}
		steps := 0
		for at := u; at.Parent != ""; steps++ {
			up, ok := all[at.Parent]
			switch {
			case !ok:
				return nil, fmt.Errorf("%w: %s names the parent %q, which does not exist", ErrInvalid, at.ID, at.Parent)
			case up.ID == u.ID:
				return nil, fmt.Errorf("%w: %s cannot be moved below itself", ErrInvalid, u.ID)
			case steps >= MaxDepth:
				return nil, fmt.Errorf("%w: %s would lie deeper than %d levels", ErrInvalid, u.ID, MaxDepth)
			}
			at = up
		}
	}
	return rows, nil
}

// Delete removes a unit that nothing belongs to any more.
func (s *Store) Delete(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.Tree()
	u, ok := t.Get(id)
	if !ok {
		return fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if n := len(t.Subtree(id)) - 1; n > 0 {
		return fmt.Errorf("%w: %d units lie below %s: move or remove them first", ErrConflict, n, u.ID)
	}
	for _, other := range t.All() {
		if other.Supports == id {
			return fmt.Errorf("%w: it is the supporting organisation of %s", ErrConflict, other.ID)
		}
	}
	for _, f := range s.inUse {
		by, err := f(ctx, id)
		if err != nil {
			return err
		}
		if by != "" {
			return fmt.Errorf("%w: %s", ErrConflict, by)
		}
	}
	if _, err := s.db.ExecContext(ctx, "DELETE FROM units WHERE id = ?", id); err != nil {
		return fmt.Errorf("units: remove %s: %w", id, err)
	}
	return s.load(ctx)
}

var idPattern = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N}._:-]{0,63}$`)

// check bounds and cleans one unit.
func (u *Unit) check() error {
	u.Name.ZH, u.Name.EN = strings.TrimSpace(u.Name.ZH), strings.TrimSpace(u.Name.EN)
	if !idPattern.MatchString(u.ID) {
		return fmt.Errorf("%w: the id %.80q must be 1 to 64 letters, digits and . _ : -", ErrInvalid, u.ID)
	}
	if u.Name.ZH == "" && u.Name.EN == "" {
		return fmt.Errorf("%w: %s has no name", ErrInvalid, u.ID)
	}
	for field, v := range map[string]string{"name.zh": u.Name.ZH, "name.en": u.Name.EN, "code": u.Code, "region": u.Region, "industry": u.Industry,
		"kind": u.Kind, "parent": u.Parent, "supports": u.Supports, "source": u.Source} {
		if len(v) > 200 || strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("%w: %s of %s must be at most 200 bytes without control characters", ErrInvalid, field, u.ID)
		}
	}
	if len(u.Ceiling) > 10_000 {
		return fmt.Errorf("%w: the ceiling of %s is longer than 10000 bytes", ErrInvalid, u.ID)
	}
	if len(u.Labels) > 50 {
		return fmt.Errorf("%w: %s has more than 50 labels", ErrInvalid, u.ID)
	}
	labels := []string{}
	for _, l := range u.Labels {
		l = strings.TrimSpace(l)
		if l == "" || len(l) > 100 || strings.ContainsFunc(l, unicode.IsControl) {
			return fmt.Errorf("%w: the label %.80q of %s must be 1 to 100 bytes without control characters", ErrInvalid, l, u.ID)
		}
		if !slices.Contains(labels, l) {
			labels = append(labels, l)
		}
	}
	u.Labels = labels
	return nil
}
