// Package plan keeps the library of disposal plans, the tasks of incidents,
// which a plan that is chosen for an incident makes, and the reviews in which an
// incident ends, whose actions are tasks again.
package plan

import (
	"cmp"
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
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("plan: not found")
	ErrInvalid  = errors.New("plan: invalid")
	ErrConflict = errors.New("plan: conflict")
)

// Limits of what people write.
const (
	maxPlans = 1000
	maxSteps = 50
	maxTasks = 200 // of an incident
	maxText  = 4000
)

// Step is one step of a plan: it becomes a task.
type Step struct {
	Title  string `json:"title" minLength:"1" maxLength:"200"`
	Detail string `json:"detail,omitempty" maxLength:"4000" doc:"What to do, and how it is checked"`
	Within int    `json:"within_minutes,omitempty" minimum:"0" maximum:"525600" doc:"Due so long after the plan was chosen; 0 for no due time"`
	Owner  string `json:"owner,omitempty" maxLength:"200" doc:"A user's name; empty for who has the incident"`
}

// Content is a plan as people write it. What it is for are alternatives within
// a list; lists that are empty fit everything.
type Content struct {
	Name        string   `json:"name" minLength:"1" maxLength:"120"`
	Description string   `json:"description,omitempty" maxLength:"4000"`
	Techniques  []string `json:"techniques,omitempty" maxItems:"100" nullable:"false" doc:"ATT&CK techniques it is for; T1110 takes T1110.001 too"`
	Rules       []string `json:"rules,omitempty" maxItems:"100" nullable:"false" doc:"Ids of rules it is for"`
	Severities  []string `json:"severities,omitempty" maxItems:"5" nullable:"false" doc:"critical, high, medium, low, informational"`
	Classes     []string `json:"classes,omitempty" maxItems:"50" nullable:"false" doc:"Classes of configuration items it is for"`
	Steps       []Step   `json:"steps" minItems:"1" maxItems:"50" nullable:"false"`
}

// Plan is a plan of the library.
type Plan struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
	Content
	UpdatedAt int64  `json:"updated_at" doc:"Unix milliseconds"`
	UpdatedBy string `json:"updated_by"`
	DeletedAt int64  `json:"deleted_at,omitempty" doc:"Unix milliseconds"`
	DeletedBy string `json:"deleted_by,omitempty"`
}

type planRow struct {
	bun.BaseModel `bun:"table:plan_plans"`
	ID            string `bun:"id,pk"`
	Revision      int64  `bun:"revision"`
	Name          string `bun:"name"`
	Doc           string `bun:"doc"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
	DeletedAt     int64  `bun:"deleted_at"`
	DeletedBy     string `bun:"deleted_by"`
}

func (r *planRow) plan() (p Plan, err error) {
	p = Plan{ID: r.ID, Revision: r.Revision, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, DeletedAt: r.DeletedAt, DeletedBy: r.DeletedBy}
	if err := json.Unmarshal([]byte(r.Doc), &p.Content); err != nil {
		return p, fmt.Errorf("plan: read %s: %w", r.ID, err)
	}
	return p, nil
}

// Timeline writes into an incident's timeline, within the transaction that it
// tells of. ticketing.Service is one.
type Timeline interface {
	Note(ctx context.Context, tx bun.IDB, object, kind, actor string, text detections.Text, data map[string]any) error
}

// Deps is what the room needs.
type Deps struct {
	Timeline Timeline                    // required
	Known    func(name string) (ok bool) // whether there is such a user; nil: everybody is
	Clock    func() time.Time            // default time.Now
}

// Store keeps plans, tasks and reviews. It is safe for concurrent use. It does
// not ask who may see an incident: its callers do.
type Store struct {
	db   *state.DB
	deps Deps
}

// Open brings the tables up to date.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	if deps.Timeline == nil {
		return nil, errors.New("plan: open: Deps.Timeline is nil")
	}
	if deps.Known == nil {
		deps.Known = func(string) bool { return true }
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	return &Store{db: db, deps: deps}, db.Migrate(ctx, "plan", migrations)
}

func (s *Store) now() time.Time { return s.deps.Clock().UTC().Truncate(time.Millisecond) }

func (c *Content) check() error {
	c.Name = strings.TrimSpace(c.Name)
	if n := utf8.RuneCountInString(c.Name); n == 0 || n > 120 {
		return fmt.Errorf("%w: name: %d characters, want 1 to 120", ErrInvalid, n)
	}
	if len(c.Steps) == 0 || len(c.Steps) > maxSteps {
		return fmt.Errorf("%w: steps: %d of them, want 1 to %d", ErrInvalid, len(c.Steps), maxSteps)
	}
	for i := range c.Steps {
		st := &c.Steps[i]
		if st.Title = strings.TrimSpace(st.Title); st.Title == "" || utf8.RuneCountInString(st.Title) > 200 || utf8.RuneCountInString(st.Detail) > maxText || st.Within < 0 {
			return fmt.Errorf("%w: steps[%d]: want a title of 1 to 200 characters, a detail of %d at most and within_minutes of 0 or more", ErrInvalid, i, maxText)
		}
	}
	for _, level := range c.Severities {
		if !slices.Contains(detections.Levels, detections.Level(level)) {
			return fmt.Errorf("%w: severities: %q: want critical, high, medium, low or informational", ErrInvalid, level)
		}
	}
	return nil
}

// Plans lists the library by name; with deleted, those that were deleted too.
func (s *Store) Plans(ctx context.Context, deleted bool) ([]Plan, error) {
	var rows []planRow
	q := s.db.NewSelect().Model(&rows).OrderExpr("name, id")
	if !deleted {
		q = q.Where("deleted_at = 0")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("plan: list plans: %w", err)
	}
	out := make([]Plan, 0, len(rows))
	for i := range rows {
		p, err := rows[i].plan()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Plan returns one plan.
func (s *Store) Plan(ctx context.Context, id string) (Plan, error) {
	r, err := readPlan(ctx, s.db, id)
	if err != nil {
		return Plan{}, err
	}
	return r.plan()
}

func readPlan(ctx context.Context, db bun.IDB, id string) (r planRow, err error) {
	err = db.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("%w: there is no plan %q", ErrNotFound, id)
	}
	if err != nil {
		return r, fmt.Errorf("plan: read %q: %w", id, err)
	}
	return r, nil
}

// Create adds a plan to the library.
func (s *Store) Create(ctx context.Context, by string, c Content) (Plan, error) {
	if err := c.check(); err != nil {
		return Plan{}, err
	}
	doc, err := json.Marshal(c)
	if err != nil {
		return Plan{}, err
	}
	r := planRow{ID: "DP-" + token(), Revision: 1, Name: c.Name, Doc: string(doc), UpdatedAt: s.now().UnixMilli(), UpdatedBy: by}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*planRow)(nil)).Count(ctx)
		if err != nil {
			return err
		}
		if n >= maxPlans {
			return fmt.Errorf("%w: there are %d plans, the most there may be", ErrConflict, n)
		}
		_, err = tx.NewInsert().Model(&r).Returning("NULL").Exec(ctx)
		return err
	})
	if err != nil {
		return Plan{}, fmt.Errorf("plan: create %q: %w", c.Name, err)
	}
	return r.plan()
}

// Update changes a plan; revision is the one it was read at, 0 for any. Tasks
// that it made stay as they are.
func (s *Store) Update(ctx context.Context, by, id string, revision int64, c Content) (Plan, error) {
	if err := c.check(); err != nil {
		return Plan{}, err
	}
	return s.change(ctx, id, func(r *planRow) error {
		if revision != 0 && revision != r.Revision {
			return fmt.Errorf("%w: %s changed the plan since: it has the revision %d, you read %d", ErrConflict, r.UpdatedBy, r.Revision, revision)
		}
		if r.DeletedAt != 0 {
			return fmt.Errorf("%w: %s deleted the plan: restore it first", ErrConflict, r.DeletedBy)
		}
		doc, err := json.Marshal(c)
		r.Revision, r.Name, r.Doc, r.UpdatedAt, r.UpdatedBy = r.Revision+1, c.Name, string(doc), s.now().UnixMilli(), by
		return err
	})
}

// Delete takes a plan out of the library; Restore brings it back.
func (s *Store) Delete(ctx context.Context, by, id string) (Plan, error) {
	return s.change(ctx, id, func(r *planRow) error {
		if r.DeletedAt != 0 {
			return fmt.Errorf("%w: %s deleted it already", ErrConflict, r.DeletedBy)
		}
		r.DeletedAt, r.DeletedBy = s.now().UnixMilli(), by
		return nil
	})
}

// Restore brings a plan back that was deleted.
func (s *Store) Restore(ctx context.Context, id string) (Plan, error) {
	return s.change(ctx, id, func(r *planRow) error {
		if r.DeletedAt == 0 {
			return fmt.Errorf("%w: it is not deleted", ErrConflict)
		}
		r.DeletedAt, r.DeletedBy = 0, ""
		return nil
	})
}

func (s *Store) change(ctx context.Context, id string, f func(r *planRow) error) (Plan, error) {
	var r planRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		if r, err = readPlan(ctx, tx, id); err != nil {
			return err
		}
		if err := f(&r); err != nil {
			return err
		}
		_, err = tx.NewUpdate().Model(&r).WherePK().Exec(ctx)
		return err
	})
	if err != nil {
		return Plan{}, fmt.Errorf("plan: change %s: %w", id, err)
	}
	return r.plan()
}

// Subject is what of an incident plans are chosen by.
type Subject struct {
	Severity   string
	Class      string // of the configuration item
	Techniques []string
	Rules      []string
}

// Choice is a plan that fits an incident, and why.
type Choice struct {
	Plan
	Score int               `json:"score" doc:"A rule counts 8, a technique 4, a class 2, a severity 1"`
	Why   []detections.Text `json:"why" nullable:"false"`
}

// Suggest returns the plans that fit, those that say most of it first. A plan
// that names something the incident does not have is none of them.
func (s *Store) Suggest(ctx context.Context, of Subject) ([]Choice, error) {
	all, err := s.Plans(ctx, false)
	if err != nil {
		return nil, err
	}
	out := []Choice{}
	for _, p := range all {
		if c, ok := p.fits(of); ok {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Choice) int { return cmp.Compare(b.Score, a.Score) })
	return out, nil
}

func (p *Plan) fits(of Subject) (Choice, bool) {
	c := Choice{Plan: *p, Why: []detections.Text{}}
	for _, test := range []struct {
		want, have []string
		score      int
		zh, en     string
	}{
		{p.Rules, of.Rules, 8, "规则", "rule"},
		{p.Techniques, of.Techniques, 4, "技术", "technique"},
		{p.Classes, []string{of.Class}, 2, "资产类别", "class"},
		{p.Severities, []string{of.Severity}, 1, "级别", "severity"},
	} {
		if len(test.want) == 0 {
			continue
		}
		at := slices.IndexFunc(test.want, func(w string) bool {
			return slices.ContainsFunc(test.have, func(h string) bool { return w == h || test.en == "technique" && strings.HasPrefix(h, w+".") })
		})
		if at < 0 {
			return c, false
		}
		c.Score += test.score
		c.Why = append(c.Why, detections.Text{ZH: test.zh + " " + test.want[at], EN: test.en + " " + test.want[at]})
	}
	return c, true
}

// token is an id that nobody guesses.
func token() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}
