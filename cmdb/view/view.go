// Package view keeps what people look at the CMDB by: lists of items under a
// name, their own or shared, and the lines of business, network zones and items
// that they follow. A list is a question and not its answer: whoever opens a
// shared one gets the items within his own reach.
package view

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

const (
	maxName = 200 // characters
	maxOwn  = 200 // views of a person, deleted ones among them
)

// Everybody is a View's Share with all who may see the CMDB.
const Everybody = "*"

var (
	// ErrNotFound says that there is no such view, or none that the asker may
	// know of.
	ErrNotFound = errors.New("no such view")
	// ErrInvalid says what is wrong with a view, or with what is to be followed.
	ErrInvalid = errors.New("invalid view")
	// ErrConflict says that a view was changed since it was read.
	ErrConflict = errors.New("the view was changed meanwhile")
	// ErrForbidden says that the asker may see a view and not change it.
	ErrForbidden = errors.New("the view is somebody else's")
)

// List is which items a view shows, and how. What is empty does not narrow.
type List struct {
	Class   string   `json:"class" required:"false" maxLength:"64"`
	Text    string   `json:"q" required:"false" maxLength:"256" doc:"Words that all occur"`
	Filter  string   `json:"filter" required:"false" maxLength:"8192"`
	Sort    string   `json:"sort" required:"false" maxLength:"80" doc:"A field or attribute, a minus before it for the largest first"`
	Columns []string `json:"columns" required:"false" nullable:"false" maxItems:"50" doc:"Fields and attributes that it shows, in order; empty is as usual"`
}

// View is a list of items under a name.
type View struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Owner    string    `json:"owner"`
	Mine     bool      `json:"mine"`
	Editable bool      `json:"editable"`
	Share    string    `json:"share" doc:"Empty: the owner's own; *: everybody's; else the slug of the tenant whose people it is for"`
	Query    List      `json:"query"`
	Deleted  bool      `json:"deleted,omitempty"`
	Revision int64     `json:"revision"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

// Asker is who asks.
type Asker struct {
	User   string // id
	Name   string
	Within reach.Reach
	Manage bool // he may change what others share
}

// Items is what is asked of the CMDB.
type Items interface {
	Database() *cmdb.Database
	Items(ctx context.Context, r reach.Reach, f cmdb.Filter) (cmdb.Page, error)
	Get(ctx context.Context, r reach.Reach, id string) (cmdb.Item, error)
	Lines(ctx context.Context, r reach.Reach) (map[string]int, error)
}

// Store keeps the views beside the CMDB's items. It is safe for concurrent use.
type Store struct {
	db    *cmdb.Database
	items Items
	now   func() time.Time
}

// Open brings the tables up to date. The CMDB's own must be there already.
func Open(ctx context.Context, items Items) (*Store, error) {
	db := items.Database()
	if err := db.Migrate(ctx, "cmdb_views", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return &Store{db: db, items: items, now: time.Now}, nil
}

type row struct {
	bun.BaseModel `bun:"table:cmdb_views,alias:v"`
	ID            string `bun:"id,pk"`
	Owner         string `bun:"owner"`
	OwnerName     string `bun:"owner_name"`
	Name          string `bun:"name"`
	Share         string `bun:"share"`
	List          string `bun:"list"`
	Revision      int64  `bun:"revision"`
	Deleted       int    `bun:"deleted"`
	CreatedAt     int64  `bun:"created_at"`
	UpdatedAt     int64  `bun:"updated_at"`
}

// sees tells whether the asker may know of a view.
func (a *Asker) sees(r *row) bool {
	switch {
	case r.Owner == a.User && a.User != "":
		return true
	case r.Deleted != 0:
		return false
	case r.Share == Everybody:
		return true
	}
	return r.Share != "" && a.Within.CoversTenant(r.Share)
}

// edits tells whether the asker, who sees it, may change a view.
func (a *Asker) edits(r *row) bool { return r.Owner == a.User && a.User != "" || a.Manage }

func (r *row) view(a *Asker) (View, error) {
	v := View{ID: r.ID, Name: r.Name, Owner: r.OwnerName, Mine: r.Owner == a.User && a.User != "", Editable: a.edits(r), Share: r.Share, Deleted: r.Deleted != 0, Revision: r.Revision,
		Created: time.UnixMilli(r.CreatedAt).UTC(), Updated: time.UnixMilli(r.UpdatedAt).UTC()}
	if err := json.Unmarshal([]byte(r.List), &v.Query); err != nil {
		return v, fmt.Errorf("view: read %s: %w", r.ID, err)
	}
	return v, nil
}

// List lists the views that the asker may open, by name; with deleted, his own
// deleted ones instead, which can be restored.
func (s *Store) List(ctx context.Context, a Asker, deleted bool) ([]View, error) {
	var rows []row
	q := s.db.NewSelect().Model(&rows).OrderExpr("v.name, v.id")
	if deleted {
		q = q.Where("v.deleted <> 0 AND v.owner = ?", a.User)
	} else {
		q = q.Where("v.deleted = 0 AND (v.owner = ? OR v.share <> '')", a.User)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("view: list: %w", err)
	}
	out := []View{}
	for i := range rows {
		if !a.sees(&rows[i]) {
			continue
		}
		v, err := rows[i].view(&a)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (s *Store) find(ctx context.Context, a *Asker, id string) (*row, error) {
	r := &row{}
	err := s.db.NewSelect().Model(r).Where("v.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !a.sees(r) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("view: read %s: %w", id, err)
	}
	return r, nil
}

// Edit is what a view is to be.
type Edit struct {
	Name  string `json:"name" minLength:"1" maxLength:"800"`
	Share string `json:"share" required:"false" maxLength:"63" doc:"Empty: my own; *: everybody's; else the slug of a tenant within my reach"`
	Query List   `json:"query"`
}

// check says what is wrong with a view; the list is asked once, of nobody's
// items.
func (s *Store) check(ctx context.Context, a *Asker, e *Edit) error {
	e.Name = strings.TrimSpace(e.Name)
	if n := utf8.RuneCountInString(e.Name); n == 0 || n > maxName {
		return fmt.Errorf("%w: name: it has %d characters: want 1 to %d", ErrInvalid, n, maxName)
	}
	if e.Share != "" && e.Share != Everybody && !a.Within.CoversTenant(e.Share) {
		return fmt.Errorf("%w: share: there is no tenant %q within your reach", ErrInvalid, e.Share)
	}
	f := cmdb.Filter{Query: e.Query.Text, Expression: e.Query.Filter, Sort: e.Query.Sort, Limit: 1}
	if e.Query.Class != "" {
		f.Classes = []string{e.Query.Class}
	}
	if _, err := s.items.Items(ctx, reach.None(), f); err != nil {
		if errors.Is(err, cmdb.ErrQuery) || errors.Is(err, cmdb.ErrInvalid) {
			return fmt.Errorf("%w: query: %w", ErrInvalid, err)
		}
		return err
	}
	if e.Query.Columns == nil {
		e.Query.Columns = []string{}
	}
	return nil
}

// Create keeps a view of the asker.
func (s *Store) Create(ctx context.Context, a Asker, e Edit) (View, error) {
	if err := s.check(ctx, &a, &e); err != nil {
		return View{}, err
	}
	list, err := json.Marshal(e.Query)
	if err != nil {
		return View{}, fmt.Errorf("view: write %q: %w", e.Name, err)
	}
	own, err := s.db.NewSelect().Model((*row)(nil)).Where("v.owner = ?", a.User).Count(ctx)
	if err != nil {
		return View{}, fmt.Errorf("view: count: %w", err)
	}
	if own >= maxOwn {
		return View{}, fmt.Errorf("%w: you keep %d views, the most a person may: change one of them", ErrInvalid, own)
	}
	now := s.now().UnixMilli()
	r := &row{ID: "view-" + strings.ToLower(rand.Text()), Owner: a.User, OwnerName: a.Name, Name: e.Name, Share: e.Share, List: string(list), Revision: 1, CreatedAt: now, UpdatedAt: now}
	if _, err := s.db.NewInsert().Model(r).Exec(ctx); err != nil {
		return View{}, fmt.Errorf("view: keep %q: %w", e.Name, err)
	}
	return r.view(&a)
}

// Change puts another view in the place of one that was read at a revision.
func (s *Store) Change(ctx context.Context, a Asker, id string, revision int64, e Edit) (View, error) {
	r, err := s.find(ctx, &a, id)
	if err != nil {
		return View{}, err
	}
	if !a.edits(r) {
		return View{}, fmt.Errorf("%w: %s's: keep one of your own", ErrForbidden, r.OwnerName)
	}
	if e.Share == r.Share {
		a.Within = reach.All() // it stays shared as it was
	}
	if err := s.check(ctx, &a, &e); err != nil {
		return View{}, err
	}
	list, err := json.Marshal(e.Query)
	if err != nil {
		return View{}, fmt.Errorf("view: write %s: %w", id, err)
	}
	r.Name, r.Share, r.List = e.Name, e.Share, string(list)
	return s.save(ctx, &a, r, revision)
}

// save writes a view that was read at a revision.
func (s *Store) save(ctx context.Context, a *Asker, r *row, revision int64) (View, error) {
	there := r.Revision
	r.Revision, r.UpdatedAt = revision+1, s.now().UnixMilli()
	done, err := s.db.NewUpdate().Model(r).Column("name", "share", "list", "revision", "deleted", "updated_at").Where("v.id = ? AND v.revision = ?", r.ID, revision).Exec(ctx)
	if err != nil {
		return View{}, fmt.Errorf("view: change %s: %w", r.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return View{}, fmt.Errorf("%w: it is at revision %d, not %d", ErrConflict, there, revision)
	}
	return r.view(a)
}

// Delete takes a view away; its owner can restore it.
func (s *Store) Delete(ctx context.Context, a Asker, id string) error { return s.put(ctx, a, id, 1) }

// Restore brings a deleted view of the asker back.
func (s *Store) Restore(ctx context.Context, a Asker, id string) (View, error) {
	if err := s.put(ctx, a, id, 0); err != nil {
		return View{}, err
	}
	r, err := s.find(ctx, &a, id)
	if err != nil {
		return View{}, err
	}
	return r.view(&a)
}

func (s *Store) put(ctx context.Context, a Asker, id string, deleted int) error {
	r, err := s.find(ctx, &a, id)
	if err != nil {
		return err
	}
	if !a.edits(r) {
		return fmt.Errorf("%w: %s's", ErrForbidden, r.OwnerName)
	}
	r.Deleted = deleted
	_, err = s.save(ctx, &a, r, r.Revision)
	return err
}

// The kinds of what is followed.
const (
	Line = "line"
	Zone = "zone"
	Item = "item"
)

const maxFollowed = 200

type followedRow struct {
	bun.BaseModel `bun:"table:cmdb_followed,alias:f"`
	Owner         string `bun:"owner,pk"`
	Kind          string `bun:"kind,pk"`
	Name          string `bun:"name,pk"`
	Since         int64  `bun:"since"`
}

// Followed is what somebody follows, as he sees it now.
type Followed struct {
	Kind  string    `json:"kind" enum:"line,zone,item"`
	Key   string    `json:"key" doc:"Name of the line or zone, id of the item"`
	Name  string    `json:"name"`
	Class string    `json:"class,omitempty" doc:"Of an item"`
	Items int       `json:"items" doc:"Of a line or zone; of a system or organisation, those that belong to it"`
	Since time.Time `json:"since"`
}

// Following lists what the asker follows, longest first, without what is not
// within his reach now.
func (s *Store) Following(ctx context.Context, a Asker) ([]Followed, error) {
	var rows []followedRow
	if err := s.db.NewSelect().Model(&rows).Where("f.owner = ?", a.User).OrderExpr("f.since, f.kind, f.name").Scan(ctx); err != nil {
		return nil, fmt.Errorf("view: list what is followed: %w", err)
	}
	out := []Followed{}
	var lines map[string]int
	for _, r := range rows {
		f := Followed{Kind: r.Kind, Key: r.Name, Name: r.Name, Since: time.UnixMilli(r.Since).UTC()}
		var err error
		switch r.Kind {
		case Item:
			err = s.item(ctx, &a, &f)
		case Zone:
			f.Items, err = s.total(ctx, &a, cmdb.Filter{Zone: r.Name})
		case Line:
			if lines == nil {
				lines, err = s.items.Lines(ctx, a.Within)
			}
			f.Items = lines[r.Name]
		}
		if errors.Is(err, cmdb.ErrNotFound) || err == nil && f.Kind != Item && f.Items == 0 {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func (s *Store) total(ctx context.Context, a *Asker, f cmdb.Filter) (int, error) {
	f.Limit = 1
	p, err := s.items.Items(ctx, a.Within, f)
	return p.Total, err
}

// item fills in what is told of an item.
func (s *Store) item(ctx context.Context, a *Asker, f *Followed) error {
	it, err := s.items.Get(ctx, a.Within, f.Key)
	if err != nil {
		return err
	}
	f.Name, f.Class = it.Name, it.Class
	switch it.Class {
	case cmdb.BusinessSystem:
		f.Items, err = s.total(ctx, a, cmdb.Filter{System: it.ID})
	case cmdb.Organisation:
		f.Items, err = s.total(ctx, a, cmdb.Filter{Organisation: it.ID})
	}
	return err
}

// Follow has the asker follow something within his reach, or not any more.
func (s *Store) Follow(ctx context.Context, a Asker, kind, name string, follow bool) error {
	if !slices.Contains([]string{Line, Zone, Item}, kind) {
		return fmt.Errorf("%w: kind: %q: want %s, %s or %s", ErrInvalid, kind, Line, Zone, Item)
	}
	r := &followedRow{Owner: a.User, Kind: kind, Name: name, Since: s.now().UnixMilli()}
	if !follow {
		if _, err := s.db.NewDelete().Model(r).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("view: follow %s %q no more: %w", kind, name, err)
		}
		return nil
	}
	n, err := 0, error(nil)
	switch kind {
	case Item:
		_, err = s.items.Get(ctx, a.Within, name)
		n = 1
	case Zone:
		n, err = s.total(ctx, &a, cmdb.Filter{Zone: name})
	case Line:
		var lines map[string]int
		lines, err = s.items.Lines(ctx, a.Within)
		n = lines[name]
	}
	if err != nil {
		return err
	}
	if n == 0 || name == "" {
		return fmt.Errorf("%w: no item within your reach is in the %s %q", ErrInvalid, kind, name)
	}
	already, err := s.db.NewSelect().Model((*followedRow)(nil)).Where("f.owner = ?", a.User).Count(ctx)
	if err != nil {
		return fmt.Errorf("view: count what is followed: %w", err)
	}
	if already >= maxFollowed {
		return fmt.Errorf("%w: you follow %d, the most a person may: stop following one of them", ErrInvalid, already)
	}
	if _, err := s.db.NewInsert().Model(r).On("CONFLICT (owner, kind, name) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("view: follow %s %q: %w", kind, name, err)
	}
	return nil
}
