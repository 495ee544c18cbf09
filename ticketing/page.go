package ticketing

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"
)

// Page asks for a part of a list.
type Page struct {
	Sort   string // a column, "-" before it for descending; "" for the list's own order
	Limit  int    // items at most; 0 for 50, at most 1000
	Cursor string // the next of the page before
}

// The columns lists sort by, under the names the API gives them.
var (
	alertSorts = map[string]string{
		"last_seen": "last_seen", "first_seen": "first_seen", "created_at": "created_at",
		"severity": "severity", "priority": "priority", "count": "count", "verdict": "verdict", "focus": focusFirst,
	}
	incidentSorts = map[string]string{
		"opened_at": "opened_at", "last_seen": "last_seen", "first_seen": "first_seen", "severity": "severity",
		"priority": "priority", "due": "due", "alert_count": "alert_count",
	}
)

// focusFirst orders alerts of a risk of focus before all others, and each by when
// they were seen last.
const focusFirst = "(focus * 100000000000000 + last_seen)"

const (
	defaultLimit = 50
	maxLimit     = 1000
	maxQuery     = 1000 // bytes of Q
)

// cursor stands for the last item of a page: the value it was sorted by, and
// its id.
type cursor struct {
	Sort  string `json:"s"`
	Value int64  `json:"v"`
	ID    string `json:"i"`
}

// order is a page's sort, read.
type order struct {
	name   string // as given
	column string
	desc   bool
	after  *cursor
	limit  int
}

func (p Page) read(sorts map[string]string, byDefault string) (order, error) {
	o := order{name: p.Sort, limit: p.Limit}
	if o.name == "" {
		o.name = byDefault
	}
	name, desc := strings.CutPrefix(o.name, "-")
	o.desc = desc
	column, ok := sorts[name]
	if !ok {
		known := make([]string, 0, len(sorts))
		for k := range sorts {
			known = append(known, k)
		}
		slices.Sort(known)
		return o, fmt.Errorf("%w: sort %q: want one of %s, with \"-\" before it for descending", ErrInvalid, p.Sort, strings.Join(known, ", "))
	}
	o.column = column
	if o.limit <= 0 {
		o.limit = defaultLimit
	}
	o.limit = min(o.limit, maxLimit)
	if p.Cursor != "" {
		data, err := base64.RawURLEncoding.DecodeString(p.Cursor)
		c := &cursor{}
		if err == nil {
			err = json.Unmarshal(data, c)
		}
		if err != nil || c.ID == "" {
			return o, fmt.Errorf("%w: cursor: it is not one that a list of this kind gave", ErrInvalid)
		}
		if c.Sort != o.name {
			return o, fmt.Errorf("%w: cursor: it belongs to the sort %q, not %q", ErrInvalid, c.Sort, o.name)
		}
		o.after = c
	}
	return o, nil
}

// apply orders a query and begins it after the cursor. It asks for one row
// more than the page holds, which tells whether another page follows.
func (o order) apply(q *bun.SelectQuery) *bun.SelectQuery {
	var column any = bun.Ident(o.column)
	if o.column == focusFirst {
		column = bun.Safe(focusFirst)
	}
	dir, cmp := "ASC", ">"
	if o.desc {
		dir, cmp = "DESC", "<"
	}
	if o.after != nil {
		q = q.Where("(?, id) "+cmp+" (?, ?)", column, o.after.Value, o.after.ID)
	}
	return q.OrderExpr("? "+dir+", id "+dir, column).Limit(int64(o.limit) + 1)
}

func (o order) next(value int64, id string) string {
	data, _ := json.Marshal(cursor{Sort: o.name, Value: value, ID: id})
	return base64.RawURLEncoding.EncodeToString(data)
}

// listed is a row of a list: its id, and its values in the columns that the
// list sorts by, which are what a cursor keeps.
type listed interface {
	place() (id string, values map[string]int64)
}

func (r alertRow) place() (string, map[string]int64) {
	return r.ID, map[string]int64{
		"last_seen": r.LastSeen, "first_seen": r.FirstSeen, "created_at": r.CreatedAt,
		"severity": int64(r.Severity), "priority": int64(r.Priority), "count": int64(r.Count), "verdict": int64(r.Verdict), focusFirst: r.ranked(),
	}
}

// ranked is the value of focusFirst.
func (r alertRow) ranked() int64 {
	if r.Focus {
		return 100000000000000 + r.LastSeen
	}
	return r.LastSeen
}

func (r incidentRow) place() (string, map[string]int64) {
	return r.ID, map[string]int64{
		"opened_at": r.OpenedAt, "last_seen": r.LastSeen, "first_seen": r.FirstSeen, "severity": int64(r.Severity),
		"priority": int64(r.Priority), "due": r.Due, "alert_count": int64(r.AlertCount),
	}
}

// list reads a page of rows, how many match in all, and the cursor of the next
// page or "".
func list[R listed](ctx context.Context, s *Service, what, alias string, sorts map[string]string, byDefault string, query AlertQuery) (rows []R, total int, next string, err error) {
	o, err := query.Page.read(sorts, byDefault)
	if err != nil {
		return nil, 0, "", err
	}
	if o.column == focusFirst {
		// Where none is of focus, the order is that of an index, and the cursors are the same.
		some, err := s.db.NewSelect().Model((*alertRow)(nil)).Where("focus = 1").Exists(ctx)
		if err != nil {
			return nil, 0, "", fmt.Errorf("ticketing: look for alerts of focus: %w", err)
		}
		if !some {
			o.column = "last_seen"
		}
	}
	q, err := filter(s.db.NewSelect().Model(&rows).ExcludeColumn("search"), alias, query)
	if err != nil {
		return nil, 0, "", err
	}
	// Counting comes first: the total does not depend on the cursor.
	n, err := q.Count(ctx)
	if err != nil {
		return nil, 0, "", fmt.Errorf("ticketing: count %s: %w", what, err)
	}
	if err := o.apply(q).Scan(ctx); err != nil {
		return nil, 0, "", fmt.Errorf("ticketing: list %s: %w", what, err)
	}
	if len(rows) > o.limit {
		rows = rows[:o.limit]
		id, values := rows[o.limit-1].place()
		next = o.next(values[o.column], id)
	}
	return rows, int(n), next, nil
}
