package saved

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// The kinds of nodes in the tree of log groups.
const (
	KindDirectory = "directory" // holds groups and directories
	KindGroup     = "group"     // rows of the lake
)

// Access says who may use a group. Where it names nobody, everybody may.
type Access struct {
	Roles []string `json:"roles" nullable:"false"`
	Units []string `json:"units" nullable:"false" doc:"Organisations, with those below them"`
	Users []string `json:"users" nullable:"false" doc:"Ids"`
}

func (a Access) open() bool { return len(a.Roles)+len(a.Units)+len(a.Users) == 0 }

func (a Access) names(p Asker) bool {
	in := func(list, of []string) bool {
		return slices.ContainsFunc(of, func(x string) bool { return slices.Contains(list, x) })
	}
	return slices.Contains(a.Users, p.User) || in(a.Roles, p.Roles) || in(a.Units, p.Units)
}

// Node is a directory or a group. A group is the rows of the lake that its
// filter lets through, of its tenants.
type Node struct {
	ID          string    `json:"id"`
	Parent      string    `json:"parent" doc:"Id of a directory; empty at the top"`
	Kind        string    `json:"kind" enum:"directory,group"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Position    int       `json:"position" doc:"Among those of the same parent, from 0"`
	Filter      string    `json:"filter" doc:"LogsQL without pipes; empty for every row"`
	Tenants     []string  `json:"tenants" nullable:"false" doc:"Slugs; none for all"`
	Span        string    `json:"span" doc:"How far a search in the group looks back at most, such as 30d"`
	Access      Access    `json:"access"`
	Confines    bool      `json:"confines" doc:"Who is named in access sees no rows but those of his confining groups"`
	Searches    int       `json:"searches" doc:"Common searches of the group that the asker may see"`
	Usable      bool      `json:"usable" doc:"The asker may search in it"`
	Revision    int64     `json:"revision"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// NodeContent is what a node says, without its place and access.
type NodeContent struct {
	Kind        string   `json:"kind" enum:"directory,group"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Filter      string   `json:"filter,omitempty"`
	Tenants     []string `json:"tenants,omitempty"`
	Span        string   `json:"span,omitempty"`
}

func (n Node) usable(a Asker) bool { return a.Groups || n.Access.open() || n.Access.names(a) }

type groupRow struct {
	bun.BaseModel `bun:"table:saved_groups,alias:g"`

	ID          string `bun:"id,pk"`
	Parent      string `bun:"parent"`
	Kind        string `bun:"kind"`
	Name        string `bun:"name"`
	Description string `bun:"description"`
	Position    int    `bun:"position"`
	Filter      string `bun:"filter"`
	Tenants     string `bun:"tenants"`
	Span        string `bun:"span"`
	Roles       string `bun:"roles"`
	Units       string `bun:"units"`
	Users       string `bun:"users"`
	Confines    bool   `bun:"confines"`
	Revision    int64  `bun:"revision"`
	CreatedAt   int64  `bun:"created_at"`
	UpdatedAt   int64  `bun:"updated_at"`
}

func (r *groupRow) node() Node {
	return Node{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Name: r.Name, Description: r.Description, Position: r.Position, Filter: r.Filter,
		Tenants: decode(r.Tenants), Span: r.Span, Access: Access{decode(r.Roles), decode(r.Units), decode(r.Users)}, Confines: r.Confines,
		Revision: r.Revision, CreatedAt: time.UnixMilli(r.CreatedAt).UTC(), UpdatedAt: time.UnixMilli(r.UpdatedAt).UTC()}
}

func rowOf(n Node) groupRow {
	return groupRow{ID: n.ID, Parent: n.Parent, Kind: n.Kind, Name: n.Name, Description: n.Description, Position: n.Position, Filter: n.Filter,
		Tenants: encode(n.Tenants), Span: n.Span, Roles: encode(n.Access.Roles), Units: encode(n.Access.Units), Users: encode(n.Access.Users),
		Confines: n.Confines, Revision: n.Revision, CreatedAt: n.CreatedAt.UnixMilli(), UpdatedAt: n.UpdatedAt.UnixMilli()}
}

func (s *Store) loadGroups(ctx context.Context) error {
	var rows []groupRow
	if err := s.db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return fmt.Errorf("saved: read the log groups: %w", err)
	}
	nodes := make([]Node, len(rows))
	for i := range rows {
		nodes[i] = rows[i].node()
	}
	s.groups.Store(newTree(nodes))
	return nil
}

// Groups lists the nodes that the asker may use, and the directories that lead
// to them, parents first.
func (s *Store) Groups(ctx context.Context, a Asker) ([]Node, error) {
	searches, _, _, err := s.Searches(ctx, a, SearchQuery{Limit: 1 << 30})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, x := range searches {
		count[x.Group]++
	}
	t := s.groups.Load()
	leads := map[string]bool{}
	for _, n := range t.ordered {
		if n.Kind == KindGroup && n.usable(a) || n.Kind == KindDirectory && a.Groups {
			for id := n.ID; id != "" && !leads[id]; id = t.byID[id].Parent {
				leads[id] = true
			}
		}
	}
	out := []Node{}
	for _, n := range t.ordered {
		if leads[n.ID] {
			n.Usable, n.Searches = n.Kind == KindGroup && n.usable(a), count[n.ID]
			out = append(out, shown(n, a))
		}
	}
	return out, nil
}

// shown leaves out who else may use a node, which is the business of those who
// keep it.
func shown(n Node, a Asker) Node {
	if !a.Groups {
		n.Access = Access{[]string{}, []string{}, []string{}}
	}
	return n
}

// Group reads one node that the asker may use.
func (s *Store) Group(ctx context.Context, a Asker, id string) (Node, error) {
	list, err := s.Groups(ctx, a)
	if err != nil {
		return Node{}, err
	}
	for _, n := range list {
		if n.ID == id {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("%w: log group %.64q", ErrNotFound, id)
}

// checkNode completes a content and says everything that is wrong with it.
func (s *Store) checkNode(c *NodeContent) faults {
	var f faults
	c.Name, c.Description, c.Filter, c.Span = strings.TrimSpace(c.Name), strings.TrimSpace(c.Description), strings.TrimSpace(c.Filter), strings.TrimSpace(c.Span)
	f.text("name", c.Name, 1, maxName, false)
	if strings.Contains(c.Name, "/") {
		f.add("name", "it holds a /, which separates names in a path")
	}
	f.text("description", c.Description, 0, maxText, true)
	switch c.Kind {
	case KindDirectory:
		if c.Filter != "" || len(c.Tenants) > 0 || c.Span != "" {
			f.add("kind", "a directory has no filter, tenants or span: put a group into it")
		}
		return f
	case KindGroup:
	default:
		f.add("kind", "it is %.64q: directory or group are right", c.Kind)
		return f
	}
	if len(c.Filter) > MaxQuery {
		f.add("filter", "it has %d bytes: %d are the most", len(c.Filter), MaxQuery)
	} else if c.Filter != "" && s.checks.Filter != nil {
		canonical, err := s.checks.Filter(c.Filter)
		if err != nil {
			f.add("filter", "%s", err)
		}
		c.Filter = canonical
	}
	c.Tenants = f.list("tenants", c.Tenants, maxGroups)
	for _, slug := range c.Tenants {
		if s.checks.Tenant != nil && !s.checks.Tenant(slug) {
			f.add("tenants", "there is no tenant %.64q", slug)
		}
	}
	if c.Span != "" {
		if _, err := ParseSpan(c.Span); err != nil {
			f.add("span", "%s", err)
		}
	}
	return f
}

// CreateGroup adds a directory or a group under parent, after those there are.
func (s *Store) CreateGroup(ctx context.Context, parent string, c NodeContent) (Node, error) {
	if err := s.checkNode(&c).err(); err != nil {
		return Node{}, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.groups.Load()
	if len(t.byID) >= maxGroups {
		return Node{}, conflict("there are %d directories and groups, and no more are possible", len(t.byID))
	}
	if err := t.place(parent, 1); err != nil {
		return Node{}, err
	}
	n := s.newNode(parent, c)
	for _, other := range t.byID {
		if other.Parent == parent {
			n.Position = max(n.Position, other.Position+1)
		}
	}
	if err := t.nameFree(n); err != nil {
		return Node{}, err
	}
	return n, s.keepGroups(ctx, n)
}

func (s *Store) newNode(parent string, c NodeContent) Node {
	now := s.now().UTC().Truncate(time.Millisecond)
	n := Node{ID: newID("group"), Parent: parent, Access: Access{[]string{}, []string{}, []string{}}, Revision: 1, CreatedAt: now, UpdatedAt: now, Usable: c.Kind == KindGroup}
	n.fill(c)
	return n
}

func (n *Node) fill(c NodeContent) {
	n.Kind, n.Name, n.Description, n.Filter, n.Tenants, n.Span = c.Kind, c.Name, c.Description, c.Filter, append([]string{}, c.Tenants...), c.Span
}

// keepGroups writes nodes and puts them in force; s.changing is held.
func (s *Store) keepGroups(ctx context.Context, nodes ...Node) error {
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, n := range nodes {
			row := rowOf(n)
			q := tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Returning("NULL")
			for _, c := range []string{"parent", "kind", "name", "description", "position", "filter", "tenants", "span", "roles", "units", "users", "confines", "revision", "updated_at"} {
				q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
			}
			if _, err := q.Exec(ctx); err != nil {
				return fmt.Errorf("saved: keep the log group %q: %w", n.Name, err)
			}
		}
		return nil
	})
	return errors.Join(err, s.loadGroups(context.WithoutCancel(ctx)))
}

// change changes one node of the given revision; 0 takes any.
func (s *Store) change(ctx context.Context, id string, revision int64, f func(t *tree, n *Node) error) (before, after Node, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.groups.Load()
	n, ok := t.byID[id]
	if !ok {
		return before, after, fmt.Errorf("%w: log group %.64q", ErrNotFound, id)
	}
	if revision != 0 && revision != n.Revision {
		return before, after, conflict("it was changed in between: it is at revision %d, and you changed revision %d: read it again", n.Revision, revision)
	}
	before = n
	if err := f(t, &n); err != nil {
		return before, after, err
	}
	n.Revision++
	n.UpdatedAt = s.now().UTC().Truncate(time.Millisecond)
	n.Usable = n.Kind == KindGroup
	if err := t.nameFree(n); err != nil {
		return before, after, err
	}
	return before, n, s.keepGroups(ctx, n)
}

// UpdateGroup replaces what a node says; its kind stays. Where the group
// confines, that is a matter of security: secure says that the asker may.
func (s *Store) UpdateGroup(ctx context.Context, id string, revision int64, c NodeContent, secure bool) (before, after Node, err error) {
	if err := s.checkNode(&c).err(); err != nil {
		return before, after, err
	}
	return s.change(ctx, id, revision, func(_ *tree, n *Node) error {
		if c.Kind != n.Kind {
			return invalid("kind: a %s stays one: make a new %s instead", n.Kind, c.Kind)
		}
		if n.Confines && !secure && (c.Filter != n.Filter || !slices.Equal(c.Tenants, n.Tenants)) {
			return fmt.Errorf("%w: the group confines what people see: its filter and tenants are changed by who may do the operation set-log-group-access", ErrForbidden)
		}
		n.fill(c)
		return nil
	})
}

// SetAccess says who may use a group and whether it confines them.
func (s *Store) SetAccess(ctx context.Context, id string, revision int64, a Access, confines bool) (before, after Node, err error) {
	var f faults
	a.Roles, a.Units = f.list("roles", a.Roles, maxAccess), f.list("units", a.Units, maxAccess)
	users := f.list("users", a.Users, maxAccess)
	a.Users = []string{}
	for _, name := range users {
		if s.checks.User == nil {
			a.Users = append(a.Users, name)
		} else if id, ok := s.checks.User(ctx, name); ok {
			a.Users = append(a.Users, id)
		} else {
			f.add("users", "there is no user %.64q", name)
		}
	}
	for _, role := range a.Roles {
		if s.checks.Role != nil && !s.checks.Role(role) {
			f.add("roles", "there is no role %.64q", role)
		}
	}
	for _, unit := range a.Units {
		if s.checks.Unit != nil && !s.checks.Unit(unit) {
			f.add("units", "there is no organisation %.64q", unit)
		}
	}
	if confines && a.open() {
		f.add("confines", "name the roles, organisations or users that the group confines")
	}
	if err := f.err(); err != nil {
		return before, after, err
	}
	return s.change(ctx, id, revision, func(t *tree, n *Node) error {
		if n.Kind != KindGroup {
			return invalid("a directory is shown to whoever may use something in it: set the access of its groups")
		}
		if confines && !n.Confines && len(t.confining) >= maxConfining {
			return conflict("%d groups confine people, and no more are possible", len(t.confining))
		}
		n.Access, n.Confines = a, confines
		return nil
	})
}

// MoveGroup puts a node under another directory, at a position among those there.
func (s *Store) MoveGroup(ctx context.Context, id, parent string, position int) (before, after Node, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.groups.Load()
	n, ok := t.byID[id]
	if !ok {
		return before, after, fmt.Errorf("%w: log group %.64q", ErrNotFound, id)
	}
	if t.under(parent, id) {
		return before, after, invalid("parent: a directory cannot lie in itself or below itself")
	}
	if err := t.place(parent, t.height(id)); err != nil {
		return before, after, err
	}
	before = n
	n.Parent = parent
	if err := t.nameFree(n); err != nil {
		return before, after, err
	}
	siblings := []Node{}
	for _, other := range t.ordered {
		if other.Parent == parent && other.ID != id {
			siblings = append(siblings, other)
		}
	}
	n.Revision++
	n.UpdatedAt = s.now().UTC().Truncate(time.Millisecond)
	n.Usable = n.Kind == KindGroup
	siblings = slices.Insert(siblings, min(max(position, 0), len(siblings)), n)
	for i := range siblings {
		siblings[i].Position = i
		if siblings[i].ID == id {
			n.Position = i
		}
	}
	return before, n, s.keepGroups(ctx, siblings...)
}

// DeleteGroup removes an empty directory, or a group. Searches that name the
// group keep their text; they say that it is gone when they run. secure is as
// for UpdateGroup.
func (s *Store) DeleteGroup(ctx context.Context, id string, secure bool) (before Node, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	t := s.groups.Load()
	n, ok := t.byID[id]
	if !ok {
		return before, fmt.Errorf("%w: log group %.64q", ErrNotFound, id)
	}
	for _, other := range t.byID {
		if other.Parent == id {
			return before, conflict("the directory %q is not empty: %q is in it", n.Name, other.Name)
		}
	}
	if n.Confines && !secure {
		return before, fmt.Errorf("%w: the group confines what people see: it is removed by who may do the operation set-log-group-access", ErrForbidden)
	}
	if _, err := s.db.NewDelete().Model((*groupRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
		return before, fmt.Errorf("saved: remove the log group %s: %w", id, err)
	}
	return n, s.loadGroups(context.WithoutCancel(ctx))
}
