package saved

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// Who sees a search beside its owner.
const (
	Private   = "private"
	Unit      = "unit"      // the people of the owner's organisation and of those below it
	Everybody = "everybody" // who may search at all
)

// Range is the time a search is about: the last Since before it runs, or from
// Start (inclusive) to End (exclusive).
type Range struct {
	Since string     `json:"since,omitempty" doc:"How far back, such as 15m or 7d"`
	Start *time.Time `json:"start,omitempty"`
	End   *time.Time `json:"end,omitempty"`
}

// Content is what a search says, without whose it is.
type Content struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Folder      string          `json:"folder,omitempty" doc:"Names separated by /"`
	Tags        []string        `json:"tags,omitempty"`
	Query       string          `json:"query,omitempty" doc:"LogsQL"`
	Click       json.RawMessage `json:"click,omitempty" doc:"The console's tree of conditions; the server does not look into it"`
	Tenant      string          `json:"tenant,omitempty" doc:"Slugs separated by commas; all within reach by default"`
	Group       string          `json:"group,omitempty" doc:"Log group: its id; in files its path"`
	Time        Range           `json:"time,omitzero"`
	Columns     []string        `json:"columns,omitempty"`
	Chart       json.RawMessage `json:"chart,omitempty" doc:"The console's chart; the server does not look into it"`
	Visibility  string          `json:"visibility,omitempty" enum:"private,unit,everybody"`
}

// Owner is whose something is.
type Owner struct {
	ID   string `json:"id"`
	Name string `json:"username"`
}

// Search is a search kept under a name.
type Search struct {
	ID          string          `json:"id"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Folder      string          `json:"folder"`
	Tags        []string        `json:"tags" nullable:"false"`
	Query       string          `json:"query"`
	Click       json.RawMessage `json:"click"`
	Tenant      string          `json:"tenant"`
	Group       string          `json:"group"`
	Time        Range           `json:"time"`
	Columns     []string        `json:"columns" nullable:"false"`
	Chart       json.RawMessage `json:"chart"`
	Visibility  string          `json:"visibility"`
	Owner       Owner           `json:"owner"`
	Unit        string          `json:"unit"`
	Mine        bool            `json:"mine"`
	Editable    bool            `json:"editable" doc:"The asker may change and remove it"`
	Revision    int64           `json:"revision"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
}

// Content is what the search says.
func (s Search) Content() Content {
	return Content{Name: s.Name, Description: s.Description, Folder: s.Folder, Tags: s.Tags, Query: s.Query, Click: orNone(s.Click), Tenant: s.Tenant,
		Group: s.Group, Time: s.Time, Columns: s.Columns, Chart: orNone(s.Chart), Visibility: s.Visibility}
}

func orNone(doc json.RawMessage) json.RawMessage {
	if string(doc) == "null" {
		return nil
	}
	return doc
}

type searchRow struct {
	bun.BaseModel `bun:"table:saved_searches,alias:s"`

	ID          string `bun:"id,pk"`
	Owner       string `bun:"owner"`
	OwnerName   string `bun:"owner_name"`
	Unit        string `bun:"unit"`
	Name        string `bun:"name"`
	Description string `bun:"description"`
	Folder      string `bun:"folder"`
	Query       string `bun:"query"`
	Click       string `bun:"click"`
	Tenant      string `bun:"tenant"`
	Group       string `bun:"log_group"`
	Since       string `bun:"since"`
	StartAt     int64  `bun:"start_at"`
	EndAt       int64  `bun:"end_at"`
	Columns     string `bun:"columns"`
	Chart       string `bun:"chart"`
	Tags        string `bun:"tags"`
	Visibility  string `bun:"visibility"`
	Revision    int64  `bun:"revision"`
	CreatedAt   int64  `bun:"created_at"`
	UpdatedAt   int64  `bun:"updated_at"`
}

func (r *searchRow) fill(c Content) {
	r.Name, r.Description, r.Folder, r.Query, r.Click, r.Tenant, r.Group = c.Name, c.Description, c.Folder, c.Query, string(c.Click), c.Tenant, c.Group
	r.Since, r.StartAt, r.EndAt = c.Time.Since, millis(c.Time.Start), millis(c.Time.End)
	r.Columns, r.Chart, r.Tags, r.Visibility = encode(c.Columns), string(c.Chart), encode(c.Tags), c.Visibility
}

func (r *searchRow) search(a Asker) Search {
	doc := func(text string) json.RawMessage {
		if text == "" {
			return json.RawMessage("null")
		}
		return json.RawMessage(text)
	}
	mine := r.Owner == a.User
	return Search{ID: r.ID, Name: r.Name, Description: r.Description, Folder: r.Folder, Tags: decode(r.Tags), Query: r.Query, Click: doc(r.Click), Tenant: r.Tenant,
		Group: r.Group, Time: Range{r.Since, fromMillis(r.StartAt), fromMillis(r.EndAt)}, Columns: decode(r.Columns), Chart: doc(r.Chart), Visibility: r.Visibility,
		Owner: Owner{r.Owner, r.OwnerName}, Unit: r.Unit, Mine: mine, Editable: mine || a.Manage, Revision: r.Revision,
		CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC()}
}

func (r *searchRow) visible(a Asker) bool {
	return r.Owner == a.User || a.Manage || r.Visibility == Everybody || r.Visibility == Unit && r.Unit != "" && slices.Contains(a.Units, r.Unit)
}

// check completes a content and says everything that is wrong with it.
func (s *Store) check(a Asker, c *Content) faults {
	var f faults
	c.Name, c.Description = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description)
	f.text("name", c.Name, 1, maxName, false)
	f.text("description", c.Description, 0, maxText, true)
	parts := strings.FieldsFunc(c.Folder, func(r rune) bool { return r == '/' })
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	c.Folder = strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "/")
	f.text("folder", c.Folder, 0, maxName, false)
	c.Tags, c.Columns = f.list("tags", c.Tags, maxTags), f.list("columns", c.Columns, maxColumns)
	c.Query = strings.TrimSpace(c.Query)
	if len(c.Query) > MaxQuery {
		f.add("query", "it has %d bytes: %d are the most", len(c.Query), MaxQuery)
	} else if c.Query != "" && s.checks.Query != nil {
		if err := s.checks.Query(c.Query); err != nil {
			f.add("query", "%s", err)
		}
	}
	for field, doc := range map[string]*json.RawMessage{"click": &c.Click, "chart": &c.Chart} {
		if *doc = orNone(*doc); len(*doc) > maxDocument {
			f.add(field, "it has %d bytes: %d are the most", len(*doc), maxDocument)
		} else if len(*doc) > 0 && !json.Valid(*doc) {
			f.add(field, "it is not valid JSON")
		}
	}
	var slugs []string
	for slug := range strings.SplitSeq(c.Tenant, ",") {
		if slug = strings.TrimSpace(slug); slug == "" {
			continue
		}
		if s.checks.Tenant != nil && !s.checks.Tenant(slug) {
			f.add("tenant", "there is no tenant %.64q", slug)
		}
		slugs = append(slugs, slug)
	}
	c.Tenant = strings.Join(slugs, ",")
	if c.Group != "" {
		if g, ok := s.groups.Load().byID[c.Group]; !ok || g.Kind != KindGroup || !g.usable(a) {
			f.add("group", "there is no log group %.64q that you may use", c.Group)
		}
	}
	switch r := &c.Time; {
	case r.Since != "" && (r.Start != nil || r.End != nil):
		f.add("time", "give since, or start and end, not both")
	case r.Since != "":
		if _, err := ParseSpan(r.Since); err != nil {
			f.add("time.since", "%s", err)
		}
	case (r.Start == nil) != (r.End == nil):
		f.add("time", "start and end belong together")
	case r.Start != nil && !r.Start.Before(*r.End):
		f.add("time", "the start %s is not before the end %s", r.Start.Format(time.RFC3339), r.End.Format(time.RFC3339))
	}
	switch c.Visibility {
	case "":
		c.Visibility = Private
	case Private:
	case Unit, Everybody:
		if c.Visibility == Unit && a.Unit == "" {
			f.add("visibility", "you belong to no organisation that it could be shared with")
		}
	default:
		f.add("visibility", "it is %.64q: private, unit or everybody are right", c.Visibility)
	}
	return f
}

// SearchQuery selects searches. Empty fields do not select.
type SearchQuery struct {
	Text   string // part of the name, description or query, in any case
	Folder string // this folder and those below it
	Tag    string
	Group  string // id of a log group
	IDs    []string
	Mine   bool
	Limit  int
	Cursor string
}

// Searches lists the searches that the asker may see, by folder and name.
func (s *Store) Searches(ctx context.Context, a Asker, q SearchQuery) (items []Search, total int, next string, err error) {
	var rows []searchRow
	sel := s.db.NewSelect().Model(&rows).Order("s.folder", "s.name", "s.id")
	if q.Mine {
		sel = sel.Where("s.owner = ?", a.User)
	}
	if q.Group != "" {
		sel = sel.Where("s.log_group = ?", q.Group)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("saved: list the searches: %w", err)
	}
	text := strings.ToLower(q.Text)
	var found []Search
	for i := range rows {
		r := &rows[i]
		if !r.visible(a) || q.Folder != "" && r.Folder != q.Folder && !strings.HasPrefix(r.Folder, q.Folder+"/") ||
			q.Tag != "" && !slices.Contains(decode(r.Tags), q.Tag) || len(q.IDs) > 0 && !slices.Contains(q.IDs, r.ID) ||
			text != "" && !strings.Contains(strings.ToLower(r.Name+"\n"+r.Description+"\n"+r.Query), text) {
			continue
		}
		found = append(found, r.search(a))
	}
	items, next, err = page(found, q.Limit, q.Cursor)
	return items, len(found), next, err
}

// Search reads one search that the asker may see.
func (s *Store) Search(ctx context.Context, a Asker, id string) (Search, error) {
	row, err := s.searchRow(ctx, s.db, a, id)
	if err != nil {
		return Search{}, err
	}
	return row.search(a), nil
}

func (s *Store) searchRow(ctx context.Context, db bun.IDB, a Asker, id string) (*searchRow, error) {
	row := new(searchRow)
	err := db.NewSelect().Model(row).Where("s.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !row.visible(a) {
		return nil, fmt.Errorf("%w: search %.64q", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("saved: read the search %s: %w", id, err)
	}
	return row, nil
}

// CreateSearch keeps a new search of the asker's.
func (s *Store) CreateSearch(ctx context.Context, a Asker, c Content) (Search, error) {
	if err := s.check(a, &c).err(); err != nil {
		return Search{}, err
	}
	if c.Visibility != Private && !a.Share {
		return Search{}, fmt.Errorf("%w: sharing a search needs the operation share-saved-search; keep it private", ErrForbidden)
	}
	var row *searchRow
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		row, err = s.insert(ctx, tx, a, c)
		return err
	})
	if err != nil {
		return Search{}, err
	}
	return row.search(a), nil
}

// insert adds a checked search.
func (s *Store) insert(ctx context.Context, tx bun.Tx, a Asker, c Content) (*searchRow, error) {
	n, err := tx.NewSelect().Model((*searchRow)(nil)).Where("owner = ?", a.User).Count(ctx)
	if err != nil {
		return nil, fmt.Errorf("saved: count the searches of %s: %w", a.Name, err)
	}
	if n >= maxSearches {
		return nil, conflict("you keep %d searches, and no more are possible: remove some", n)
	}
	now := s.now().UnixMilli()
	row := &searchRow{ID: newID("search"), Owner: a.User, OwnerName: a.Name, Unit: a.Unit, Revision: 1, CreatedAt: now, UpdatedAt: now}
	row.fill(c)
	if err := nameFree(ctx, tx, row); err != nil {
		return nil, err
	}
	if _, err := tx.NewInsert().Model(row).Returning("NULL").Exec(ctx); err != nil {
		return nil, fmt.Errorf("saved: keep the search %q: %w", c.Name, err)
	}
	return row, nil
}

func nameFree(ctx context.Context, tx bun.Tx, row *searchRow) error {
	taken, err := tx.NewSelect().Model((*searchRow)(nil)).Where("owner = ?", row.Owner).Where("folder = ?", row.Folder).Where("name = ?", row.Name).
		Where("id <> ?", row.ID).Exists(ctx)
	if err != nil {
		return fmt.Errorf("saved: look for the name %q: %w", row.Name, err)
	}
	if taken {
		return conflict("there is a search %q in the folder %q already", row.Name, row.Folder)
	}
	return nil
}

// UpdateSearch replaces what a search says, where revision is the one in force.
// It returns how the search was as well.
func (s *Store) UpdateSearch(ctx context.Context, a Asker, id string, revision int64, c Content) (before, after Search, err error) {
	if err := s.check(a, &c).err(); err != nil {
		return before, after, err
	}
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		row, err := s.editable(ctx, tx, a, id)
		if err != nil {
			return err
		}
		if row.Revision != revision {
			return conflict("the search was changed in between: it is at revision %d, and you changed revision %d: read it again", row.Revision, revision)
		}
		before = row.search(a)
		after, err = s.replace(ctx, tx, a, row, c)
		return err
	})
	return before, after, err
}

// replace writes checked content into a row that the asker may change.
func (s *Store) replace(ctx context.Context, tx bun.Tx, a Asker, row *searchRow, c Content) (Search, error) {
	if c.Visibility != row.Visibility && c.Visibility != Private {
		if !a.Share {
			return Search{}, fmt.Errorf("%w: sharing a search needs the operation share-saved-search; keep it private", ErrForbidden)
		}
		if row.Owner == a.User {
			row.Unit = a.Unit
		}
	}
	row.fill(c)
	row.Revision++
	row.UpdatedAt = s.now().UnixMilli()
	if err := nameFree(ctx, tx, row); err != nil {
		return Search{}, err
	}
	if _, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
		return Search{}, fmt.Errorf("saved: change the search %s: %w", row.ID, err)
	}
	return row.search(a), nil
}

func (s *Store) editable(ctx context.Context, tx bun.Tx, a Asker, id string) (*searchRow, error) {
	row, err := s.searchRow(ctx, tx, a, id)
	if err != nil {
		return nil, err
	}
	if row.Owner != a.User && !a.Manage {
		return nil, fmt.Errorf("%w: the search belongs to %s: copy it and change the copy", ErrForbidden, row.OwnerName)
	}
	return row, nil
}

// DeleteSearch removes a search and returns what it was.
func (s *Store) DeleteSearch(ctx context.Context, a Asker, id string) (before Search, err error) {
	err = s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		row, err := s.editable(ctx, tx, a, id)
		if err != nil {
			return err
		}
		before = row.search(a)
		if _, err := tx.NewDelete().Model(row).WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("saved: remove the search %s: %w", id, err)
		}
		return nil
	})
	return before, err
}

// CopySearch keeps a private copy of the asker's own of a search he sees. An
// empty name gets one made.
func (s *Store) CopySearch(ctx context.Context, a Asker, id, name, folder string) (Search, error) {
	from, err := s.Search(ctx, a, id)
	if err != nil {
		return Search{}, err
	}
	c := from.Content()
	c.Visibility = Private
	if folder != "" {
		c.Folder = folder
	}
	made := name == ""
	if made {
		name = from.Name
	}
	c.Name = name
	for n := 2; ; n++ {
		out, err := s.CreateSearch(ctx, a, c)
		if !made || !errors.Is(err, ErrConflict) || n > 100 {
			return out, err
		}
		c.Name = fmt.Sprintf("%s (%d)", name, n)
	}
}

// Folder is a folder with how many searches lie in it.
type Folder struct {
	Folder string `json:"folder" doc:"Empty is the top"`
	Count  int    `json:"count"`
}

// Folders lists the folders of the searches that the asker may see.
func (s *Store) Folders(ctx context.Context, a Asker) ([]Folder, error) {
	all, _, _, err := s.Searches(ctx, a, SearchQuery{Limit: 1 << 30})
	if err != nil {
		return nil, err
	}
	out := []Folder{}
	for _, x := range all {
		if n := len(out); n > 0 && out[n-1].Folder == x.Folder {
			out[n-1].Count++
			continue
		}
		out = append(out, Folder{x.Folder, 1})
	}
	return out, nil
}
