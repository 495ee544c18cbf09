package routing

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"

	"icewatch/soc/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The errors of trees.
var (
	ErrNotFound = errors.New("no such routing")
	ErrChanged  = errors.New("the routing was changed meanwhile")
)

// Deps is what the store needs.
type Deps struct {
	// Known tells whether a tree of the scope may use a contact point: the
	// city's any, a tenant's one that is bound to the tenant alone. Optional.
	Known func(ctx context.Context, scope, receiver string) bool
	Clock func() time.Time // default time.Now
	Log   *slog.Logger     // default slog.Default()
}

// Store keeps trees and groups. It is safe for concurrent use.
type Store struct {
	db    *state.DB
	deps  Deps
	trees atomic.Pointer[map[string]*compiled] // in force, by scope
	busy  atomic.Bool                          // there are groups, or were since the start
}

// Version is a tree as it was written.
type Version struct {
	Version int64     `json:"version"`
	Scope   string    `json:"scope" doc:"A tenant; empty for the city's"`
	Tree    Tree      `json:"tree"`
	Note    string    `json:"note"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
}

type treeRow struct {
	bun.BaseModel `bun:"table:routing_trees,alias:t"`
	Version       int64  `bun:"version,pk,autoincrement"`
	Scope         string `bun:"scope"`
	Body          string `bun:"body"`
	Note          string `bun:"note"`
	At            int64  `bun:"at"`
	By            string `bun:"by"`
}

func (r treeRow) version() (Version, error) {
	v := Version{Version: r.Version, Scope: r.Scope, Note: r.Note, At: time.UnixMilli(r.At).UTC(), By: r.By}
	if err := json.Unmarshal([]byte(r.Body), &v.Tree); err != nil {
		return v, fmt.Errorf("routing: read version %d: %w", r.Version, err)
	}
	if v.Tree.Intervals == nil {
		v.Tree.Intervals = []Interval{}
	}
	return v, nil
}

// Open brings the tables up to date and reads the trees in force.
func Open(ctx context.Context, db *state.DB, deps Deps) (*Store, error) {
	s := &Store{db: db, deps: deps}
	if s.deps.Clock == nil {
		s.deps.Clock = time.Now
	}
	if s.deps.Log == nil {
		s.deps.Log = slog.Default()
	}
	if err := db.Migrate(ctx, "routing", migrations); err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	there, err := db.NewSelect().Model((*groupRow)(nil)).Exists(ctx)
	if err != nil {
		return nil, fmt.Errorf("routing: look for groups: %w", err)
	}
	s.busy.Store(there)
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	var rows []treeRow
	if err := s.db.NewSelect().Model(&rows).Where("version IN (SELECT max(version) FROM routing_trees GROUP BY scope)").Scan(ctx); err != nil {
		return fmt.Errorf("routing: read the trees: %w", err)
	}
	trees := map[string]*compiled{}
	for _, r := range rows {
		v, err := r.version()
		if err != nil {
			return err
		}
		c, err := compile(v.Tree, rand.Text, nil)
		if err != nil {
			return fmt.Errorf("routing: version %d of %q: %w", r.Version, r.Scope, err)
		}
		trees[r.Scope] = c
	}
	s.trees.Store(&trees)
	return nil
}

func (s *Store) inForce() map[string]*compiled { return *s.trees.Load() }

// Tree returns the tree in force. Where none was written it is one that tells
// nobody, of version 0.
func (s *Store) Tree(ctx context.Context, scope string) (Version, error) {
	var rows []treeRow
	if err := s.db.NewSelect().Model(&rows).Where("scope = ?", scope).OrderExpr("version DESC").Limit(1).Scan(ctx); err != nil {
		return Version{}, fmt.Errorf("routing: read the tree of %q: %w", scope, err)
	}
	if len(rows) == 0 {
		return Version{Scope: scope, Tree: Tree{Root: Route{ID: "root"}, Intervals: []Interval{}}}, nil
	}
	return rows[0].version()
}

// Versions lists the versions of a tree, newest first, a hundred at most.
func (s *Store) Versions(ctx context.Context, scope string) ([]Version, error) {
	var rows []treeRow
	if err := s.db.NewSelect().Model(&rows).Where("scope = ?", scope).OrderExpr("version DESC").Limit(100).Scan(ctx); err != nil {
		return nil, fmt.Errorf("routing: read the versions of %q: %w", scope, err)
	}
	out := make([]Version, 0, len(rows))
	for _, r := range rows {
		v, err := r.version()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Version reads one version of a scope's tree.
func (s *Store) Version(ctx context.Context, scope string, version int64) (Version, error) {
	var rows []treeRow
	if err := s.db.NewSelect().Model(&rows).Where("scope = ? AND version = ?", scope, version).Scan(ctx); err != nil {
		return Version{}, fmt.Errorf("routing: read version %d: %w", version, err)
	}
	if len(rows) == 0 {
		return Version{}, fmt.Errorf("version %d: %w", version, ErrNotFound)
	}
	return rows[0].version()
}

// Check tells what is wrong with a tree of a scope, and fills in ids.
func (s *Store) Check(ctx context.Context, scope string, t Tree) (Tree, error) {
	c, err := s.compile(ctx, scope, t)
	if err != nil {
		return t, err
	}
	return c.tree, nil
}

func (s *Store) compile(ctx context.Context, scope string, t Tree) (*compiled, error) {
	known := func(name string) bool { return s.deps.Known == nil || s.deps.Known(ctx, scope, name) }
	return compile(t, func() string { return strings.ToLower(rand.Text()[:12]) }, known)
}

// Save puts a tree in force from now on. base is the version that was read
// before the change; where another is in force it is ErrChanged.
func (s *Store) Save(ctx context.Context, scope, by, note string, base int64, t Tree) (Version, error) {
	c, err := s.compile(ctx, scope, t)
	if err != nil {
		return Version{}, err
	}
	body, err := json.Marshal(c.tree)
	if err != nil {
		return Version{}, fmt.Errorf("routing: write a tree: %w", err)
	}
	row := treeRow{Scope: scope, Body: string(body), Note: note, At: s.deps.Clock().UnixMilli(), By: by}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var last int64
		if err := tx.NewSelect().Model((*treeRow)(nil)).ColumnExpr("coalesce(max(version), 0)").Where("scope = ?", scope).Scan(ctx, &last); err != nil {
			return fmt.Errorf("routing: read the version of %q: %w", scope, err)
		}
		if last != base {
			return fmt.Errorf("version %d: %w: version %d is in force", base, ErrChanged, last)
		}
		_, err := tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	if err != nil {
		return Version{}, err
	}
	if err := s.load(ctx); err != nil {
		return Version{}, err
	}
	return row.version()
}

// Uses lists where a contact point is used: scopes in their order, "" for the
// city's.
func (s *Store) Uses(receiver string) []string {
	var out []string
	for scope, c := range s.inForce() {
		for _, name := range c.tree.receiversOf() {
			if name == receiver {
				out = append(out, scope)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Hit is a route that an alert reaches.
type Hit struct {
	Scope          string            `json:"scope" doc:"Whose tree; empty for the city's"`
	Route          string            `json:"route" doc:"Id"`
	Path           []string          `json:"path" nullable:"false" doc:"Names from the root"`
	Receivers      []string          `json:"receivers" nullable:"false"`
	GroupLabels    map[string]string `json:"group_labels"`
	GroupWait      string            `json:"group_wait"`
	GroupInterval  string            `json:"group_interval"`
	RepeatInterval string            `json:"repeat_interval"`
	HeldBy         string            `json:"held_by,omitempty" doc:"Interval of time by which it sends nothing at the moment"`
	Direct         bool              `json:"direct" doc:"It takes alerts without an incident too"`
	Resolved       bool              `json:"resolved" doc:"It tells when alerts are over"`
	EscalateAfter  string            `json:"escalate_after,omitempty"`
	EscalateTo     []string          `json:"escalate_to,omitempty"`
}

// Where says which routes an alert with these labels reaches at a time, in the
// trees in force: the city's and its tenant's. draft stands for the tree of its
// scope; nil for none.
func (s *Store) Where(ctx context.Context, set map[string]string, at time.Time, scopes []string, draft *Version) ([]Hit, error) {
	out := []Hit{}
	for _, scope := range scopes {
		c := s.inForce()[scope]
		if draft != nil && draft.Scope == scope {
			var err error
			if c, err = s.compile(ctx, scope, draft.Tree); err != nil {
				return nil, err
			}
		}
		if c == nil {
			continue
		}
		for _, n := range c.root.match(set) {
			h := Hit{Scope: scope, Route: n.route.ID, Path: n.path, Receivers: n.receivers, GroupLabels: n.labelsOf(set), Direct: n.direct, Resolved: !n.noResolved,
				GroupWait: short(n.wait), GroupInterval: short(n.interval), RepeatInterval: short(n.again), EscalateTo: n.route.EscalateTo}
			if h.Receivers == nil {
				h.Receivers = []string{}
			}
			if n.escalate > 0 {
				h.EscalateAfter = short(n.escalate)
			}
			h.HeldBy, _ = c.held(n, at)
			out = append(out, h)
		}
	}
	return out, nil
}
