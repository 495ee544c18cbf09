package drawing

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed postgres/*.sql
var postgresMigrations embed.FS

// The actions that make versions.
const (
	actionCreated  = "created"
	actionUpdated  = "updated"
	actionDeleted  = "deleted"
	actionRestored = "restored"
)

// chunk is how many values one statement lists.
const chunk = 500

// Store keeps the drawings beside the CMDB's items. It is safe for concurrent
// use.
type Store struct {
	db  *cmdb.Database
	now func() time.Time
}

// Open brings the tables up to date. The CMDB's own must be there already.
func Open(ctx context.Context, db *cmdb.Database) (*Store, error) {
	if err := db.Migrate(ctx, "cmdb_drawings", migrations, postgresMigrations); err != nil {
		return nil, fmt.Errorf("drawing: %w", err)
	}
	return &Store{db: db, now: func() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }}, nil
}

type drawingRow struct {
	bun.BaseModel `bun:"table:cmdb_drawings,alias:d"`
	ID            string `bun:"id,pk"`
	Name          string `bun:"name"`
	Search        string `bun:"search"`
	Scenario      string `bun:"scenario"`
	Owner         string `bun:"owner"`
	OwnerName     string `bun:"owner_name"`
	Shared        int    `bun:"shared"`
	Revision      int64  `bun:"revision"`
	Deleted       int    `bun:"deleted"`
	CreatedAt     int64  `bun:"created_at"`
	UpdatedAt     int64  `bun:"updated_at"`
	UpdatedBy     string `bun:"updated_by"`
}

type versionRow struct {
	bun.BaseModel `bun:"table:cmdb_drawing_versions,alias:v"`
	Drawing       string `bun:"drawing,pk"`
	Revision      int64  `bun:"revision,pk"`
	Content       string `bun:"content"`
	Actor         string `bun:"actor"`
	Action        string `bun:"action"`
	At            int64  `bun:"at"`
}

type memberRow struct {
	bun.BaseModel `bun:"table:cmdb_drawing_items,alias:m"`
	Drawing       string `bun:"drawing,pk"`
	Item          string `bun:"item,pk"`
}

func (a *Asker) owns(r *drawingRow) bool { return a.Manage || r.Owner == a.User }

func (a *Asker) summary(r *drawingRow, items int) Summary {
	return Summary{ID: r.ID, Owner: r.OwnerName, Mine: r.Owner == a.User, Editable: a.owns(r), Items: items, Deleted: r.Deleted != 0, Revision: r.Revision,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC(), UpdatedBy: r.UpdatedBy}
}

// visible narrows a query to drawings that the asker may know of: his own, and
// shared ones that show nothing yet or an item that he may see.
func (a *Asker) visible(q *bun.SelectQuery, db bun.IDB) *bun.SelectQuery {
	if a.Manage {
		return q
	}
	any := db.NewSelect().Model((*memberRow)(nil)).ColumnExpr("1").Where("m.drawing = d.id")
	seen := a.Within.Within(any.Clone().Join("JOIN cmdb_items AS i ON i.id = m.item"), "i")
	return q.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("d.owner = ?", a.User).WhereOr("d.shared <> 0 AND d.deleted = 0 AND (NOT EXISTS (?) OR EXISTS (?))", any, seen)
	})
}

// find reads a drawing that the asker may know of.
func (s *Store) find(ctx context.Context, db bun.IDB, a *Asker, id string) (*drawingRow, error) {
	row := &drawingRow{}
	err := a.visible(db.NewSelect().Model(row).Where("d.id = ?", id), db).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("drawing: read %q: %w", id, err)
	}
	return row, nil
}

func content(ctx context.Context, db bun.IDB, id string, revision int64) (Content, error) {
	var c Content
	row := versionRow{Drawing: id, Revision: revision}
	err := db.NewSelect().Model(&row).WherePK().Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fmt.Errorf("%w: %q has no version %d", ErrNotFound, id, revision)
	}
	if err != nil {
		return c, fmt.Errorf("drawing: read version %d of %q: %w", revision, id, err)
	}
	if err := json.Unmarshal([]byte(row.Content), &c); err != nil {
		return c, fmt.Errorf("drawing: version %d of %q: %w", revision, id, err)
	}
	return c, nil
}

// present tells which of some items there are within a reach.
func present(ctx context.Context, db bun.IDB, r reach.Reach, ids []string) (map[string]bool, error) {
	out := make(map[string]bool, len(ids))
	for part := range slices.Chunk(ids, chunk) {
		var found []string
		q := db.NewSelect().TableExpr("cmdb_items AS i").Column("i.id").Where("i.id IN (?)", bun.In(part))
		if err := r.Within(q, "i").Scan(ctx, &found); err != nil {
			return nil, fmt.Errorf("drawing: which items there are: %w", err)
		}
		for _, id := range found {
			out[id] = true
		}
	}
	return out, nil
}

// Get returns a drawing with those of its nodes that are within reach.
func (s *Store) Get(ctx context.Context, a Asker, id string) (d Drawing, err error) {
	err = s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		row, err := s.find(ctx, tx, &a, id)
		if err != nil {
			return err
		}
		d, err = shown(ctx, tx, &a, row)
		return err
	})
	return d, err
}

func shown(ctx context.Context, db bun.IDB, a *Asker, row *drawingRow) (Drawing, error) {
	c, err := content(ctx, db, row.ID, row.Revision)
	if err != nil {
		return Drawing{}, err
	}
	may, err := present(ctx, db, a.Within, c.items())
	if err != nil {
		return Drawing{}, err
	}
	c.keep(may)
	return Drawing{a.summary(row, len(c.Nodes)), c}, nil
}

// List lists the drawings that the asker may see.
func (s *Store) List(ctx context.Context, a Asker, q Query) (Page, error) {
	from, limit := 0, q.Limit
	if limit == 0 {
		limit = 50
	}
	if q.Cursor != "" {
		var err error
		if from, err = strconv.Atoi(q.Cursor); err != nil || from < 0 {
			return Page{}, fmt.Errorf("%w: %q", cmdb.ErrCursor, q.Cursor)
		}
	}
	out := Page{Drawings: []Listed{}}
	err := s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		deleted := 0
		if q.Deleted {
			deleted = 1
		}
		find := func(model any) *bun.SelectQuery {
			sel := a.visible(tx.NewSelect().Model(model).Where("d.deleted = ?", deleted), tx)
			for _, w := range strings.Fields(strings.ToLower(q.Text)) {
				sel = sel.Where("instr(d.search, ?) > 0", w)
			}
			if q.Scenario != "" {
				sel = sel.Where("d.scenario = ?", q.Scenario)
			}
			if q.Mine {
				sel = sel.Where("d.owner = ?", a.User)
			}
			if q.Item != "" {
				of := tx.NewSelect().Model((*memberRow)(nil)).ColumnExpr("1").Join("JOIN cmdb_items AS i ON i.id = m.item").Where("m.drawing = d.id AND m.item = ?", q.Item)
				sel = sel.Where("EXISTS (?)", a.Within.Within(of, "i"))
			}
			return sel
		}
		n, err := find((*drawingRow)(nil)).Count(ctx)
		if err != nil {
			return fmt.Errorf("drawing: count: %w", err)
		}
		out.Total = int(n)
		var rows []drawingRow
		if err := find(&rows).Order("d.updated_at DESC", "d.id").Offset(int64(from)).Limit(int64(limit)).Scan(ctx); err != nil {
			return fmt.Errorf("drawing: list: %w", err)
		}
		for i := range rows {
			d, err := shown(ctx, tx, &a, &rows[i])
			if err != nil {
				return err
			}
			out.Drawings = append(out.Drawings, Listed{d.Summary, d.Name, d.Scenario, d.Description, d.Shared, d.Layout})
		}
		if from+len(rows) < out.Total {
			out.Next = strconv.Itoa(from + len(rows))
		}
		return nil
	})
	return out, err
}

// Create keeps a new drawing of the asker's.
func (s *Store) Create(ctx context.Context, a Asker, c Content) (d Drawing, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return d, fmt.Errorf("drawing: %w", err)
	}
	now := s.now().UnixMilli()
	row := &drawingRow{ID: id.String(), Owner: a.User, OwnerName: a.Name, CreatedAt: now}
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		if err := s.write(ctx, tx, &a, row, c, nil, actionCreated); err != nil {
			return err
		}
		d, err = shown(ctx, tx, &a, row)
		return err
	})
	return d, err
}

// Save replaces what a drawing says. revision is the one the asker read: where
// there is another one now, nothing is changed. Nodes that he does not see stay.
func (s *Store) Save(ctx context.Context, a Asker, id string, revision int64, c Content) (d Drawing, err error) {
	err = s.edit(ctx, &a, id, func(ctx context.Context, tx bun.Tx, row *drawingRow) error {
		if row.Deleted != 0 {
			return fmt.Errorf("%w: %q was deleted: restore it first", ErrConflict, row.Name)
		}
		if row.Revision != revision {
			return fmt.Errorf("%w: %q is at revision %d, not %d: %s changed it at %s", ErrConflict, row.Name, row.Revision, revision,
				row.UpdatedBy, time.UnixMilli(row.UpdatedAt).UTC().Format(time.RFC3339))
		}
		before, err := content(ctx, tx, id, row.Revision)
		if err != nil {
			return err
		}
		if err := s.write(ctx, tx, &a, row, c, before.Nodes, actionUpdated); err != nil {
			return err
		}
		d, err = shown(ctx, tx, &a, row)
		return err
	})
	return d, err
}

// Delete takes a drawing away; Restore brings it back.
func (s *Store) Delete(ctx context.Context, a Asker, id string) error {
	return s.edit(ctx, &a, id, func(ctx context.Context, tx bun.Tx, row *drawingRow) error {
		if row.Deleted != 0 {
			return fmt.Errorf("%w: %q", ErrNotFound, id)
		}
		c, err := content(ctx, tx, id, row.Revision)
		if err != nil {
			return err
		}
		return s.version(ctx, tx, &a, row, c, actionDeleted)
	})
}

// Versions lists what a drawing was, newest first.
func (s *Store) Versions(ctx context.Context, a Asker, id string) (out []Version, err error) {
	err = s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		if _, err := s.find(ctx, tx, &a, id); err != nil {
			return err
		}
		var rows []versionRow
		if err := tx.NewSelect().Model(&rows).Where("v.drawing = ?", id).Order("v.revision DESC").Scan(ctx); err != nil {
			return fmt.Errorf("drawing: versions of %q: %w", id, err)
		}
		for _, r := range rows {
			var c Content
			if err := json.Unmarshal([]byte(r.Content), &c); err != nil {
				return fmt.Errorf("drawing: version %d of %q: %w", r.Revision, id, err)
			}
			may, err := present(ctx, tx, a.Within, c.items())
			if err != nil {
				return err
			}
			c.keep(may)
			out = append(out, Version{r.Revision, r.Action, r.Actor, time.UnixMilli(r.At).UTC(), c.Name, len(c.Nodes)})
		}
		return nil
	})
	return out, err
}

// Restore makes a new version that says what an earlier one said; a deleted
// drawing is there again. Items that are gone meanwhile stay away.
func (s *Store) Restore(ctx context.Context, a Asker, id string, revision int64) (d Drawing, err error) {
	err = s.edit(ctx, &a, id, func(ctx context.Context, tx bun.Tx, row *drawingRow) error {
		c, err := content(ctx, tx, id, revision)
		if err != nil {
			return err
		}
		if err := s.write(ctx, tx, &a, row, c, c.Nodes, actionRestored); err != nil {
			return err
		}
		d, err = shown(ctx, tx, &a, row)
		return err
	})
	return d, err
}

// edit runs fn on a drawing that the asker may change.
func (s *Store) edit(ctx context.Context, a *Asker, id string, fn func(context.Context, bun.Tx, *drawingRow) error) error {
	return s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		row, err := s.find(ctx, tx, a, id)
		if err != nil {
			return err
		}
		if !a.owns(row) {
			return fmt.Errorf("%w: %q belongs to %s: keep a copy of your own", ErrForbidden, row.Name, row.OwnerName)
		}
		return fn(ctx, tx, row)
	})
}

// write makes the next version of a drawing. A node must be within the asker's
// reach, or one of before: of those the ones that he does not see stay, and the
// ones whose items are gone go.
func (s *Store) write(ctx context.Context, tx bun.Tx, a *Asker, row *drawingRow, c Content, before []Node, action string) error {
	if err := c.check(); err != nil {
		return err
	}
	was := Content{Nodes: before}
	may, err := present(ctx, tx, a.Within, append(c.items(), was.items()...))
	if err != nil {
		return err
	}
	there, err := present(ctx, tx, reach.All(), was.items())
	if err != nil {
		return err
	}
	old := map[string]bool{}
	for _, n := range before {
		old[n.Item] = true
	}
	for i, n := range c.Nodes {
		if !may[n.Item] && !old[n.Item] {
			return fmt.Errorf("%w: nodes[%d]: there is no item %q within your reach", ErrInvalid, i, n.Item)
		}
	}
	c.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n Node) bool { return !may[n.Item] })
	for _, n := range before {
		if there[n.Item] && !may[n.Item] {
			c.Nodes = append(c.Nodes, n)
		}
	}
	if len(c.Nodes) > MaxNodes {
		return fmt.Errorf("%w: nodes: %d with those that others see, at most %d", ErrInvalid, len(c.Nodes), MaxNodes)
	}
	return s.version(ctx, tx, a, row, c, action)
}

// version puts a content into force.
func (s *Store) version(ctx context.Context, tx bun.Tx, a *Asker, row *drawingRow, c Content, action string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	now := s.now().UnixMilli()
	row.Revision++
	row.Name, row.Scenario, row.Search = c.Name, c.Scenario, strings.ToLower(c.Name+"\n"+c.Scenario+"\n"+c.Description)
	row.Shared, row.Deleted = 0, 0
	if c.Shared {
		row.Shared = 1
	}
	if action == actionDeleted {
		row.Deleted = 1
	}
	row.UpdatedAt, row.UpdatedBy = now, a.Name
	if action == actionCreated {
		_, err = tx.NewInsert().Model(row).Exec(ctx)
	} else {
		_, err = tx.NewUpdate().Model(row).WherePK().Exec(ctx)
	}
	if err != nil {
		return fmt.Errorf("drawing: write %q: %w", row.Name, err)
	}
	v := versionRow{Drawing: row.ID, Revision: row.Revision, Content: string(text), Actor: a.Name, Action: action, At: now}
	if _, err := tx.NewInsert().Model(&v).Exec(ctx); err != nil {
		return fmt.Errorf("drawing: write version %d of %q: %w", row.Revision, row.Name, err)
	}
	if _, err := tx.NewDelete().Model((*versionRow)(nil)).Where("v.drawing = ? AND v.revision <= ?", row.ID, row.Revision-maxKept).Exec(ctx); err != nil {
		return fmt.Errorf("drawing: forget old versions of %q: %w", row.Name, err)
	}
	if _, err := tx.NewDelete().Model((*memberRow)(nil)).Where("m.drawing = ?", row.ID).Exec(ctx); err != nil {
		return fmt.Errorf("drawing: write the items of %q: %w", row.Name, err)
	}
	for part := range slices.Chunk(c.items(), chunk) {
		rows := make([]memberRow, len(part))
		for i, item := range part {
			rows[i] = memberRow{Drawing: row.ID, Item: item}
		}
		if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
			return fmt.Errorf("drawing: write the items of %q: %w", row.Name, err)
		}
	}
	return nil
}
