package cmdb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bits-and-blooms/bitset"
	"github.com/uptrace/bun"

	"icewatch/cmdb/columns"
	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

const (
	// maxFrontier is how many items a path query follows at a time.
	maxFrontier = 20_000
	// maxEnds is how many ends of a path query are told.
	maxEnds = 1000
)

// look runs fn on the items in memory, with the relations where filters follow
// some. Who answers a question by it calls ready first.
func (s *Service) look(ctx context.Context, r reach.Reach, related bool, fn func(*finder) error) error {
	t, err := s.index.get(ctx, s.life)
	if err != nil {
		return err
	}
	f := &finder{s: s, m: s.Model(), within: r}
	if related {
		if f.g, err = s.topology.memory.get(ctx, s.life); err != nil {
			return err
		}
	}
	return t.Read(func(v columns.View) error {
		f.v = v
		return fn(f)
	})
}

// followsRelations tells whether a filter follows relations.
func followsRelations(e *query.Expr) bool {
	return e != nil && (e.Kind == query.Has || slices.ContainsFunc(e.Kids, followsRelations))
}

// filtered are the items in reach that a filter selects. The set is the
// caller's.
func (f *finder) filtered(filter *Filter, e *query.Expr) (*bitset.BitSet, error) {
	out := f.inReach().Clone()
	for _, c := range []struct {
		column string
		values []string
	}{
		{colClass, filter.Classes}, {colTenant, filter.Tenants}, {colZone, []string{filter.Zone}}, {colAddress, []string{canonicalAddress(filter.Address)}},
		{colLabel, []string{filter.Label}}, {colSystem, []string{filter.System}}, {colOrganisation, []string{filter.Organisation}},
	} {
		if len(c.values) > 0 && c.values[0] != "" {
			out.InPlaceIntersection(f.v.Column(c.column).Equal(c.values...))
		}
	}
	for _, word := range strings.Fields(strings.ToLower(filter.Query)) {
		anywhere := &bitset.BitSet{}
		f.v.Columns(func(name string, c *columns.Column) {
			if strings.HasPrefix(name, attrPrefix) || slices.Contains(queryColumns, name) {
				anywhere.InPlaceUnion(c.Contain(word))
			}
		})
		out.InPlaceIntersection(anywhere)
	}
	if e != nil {
		selected, err := f.items(e)
		if err != nil {
			return nil, err
		}
		out.InPlaceIntersection(selected)
	}
	return out, nil
}

// queryColumns are what a Filter's Query looks through besides attributes.
var queryColumns = []string{colID, colName, colOwner, colHostname, colAddress, colLabel}

// sortable are the fields that lists are sorted by, besides attributes.
var sortable = []string{colID, colClass, colName, colTenant, colZone, colOwner, colAddress, colHostname}

// order is how a list is sorted. field has a minus before it where the largest
// come first.
func (f *finder) order(field string, expression bool) (columns.Order, error) {
	switch {
	case field == "" && expression:
		return columns.Order{}, nil
	case field == "":
		return columns.Order{Columns: []string{colClass, colName}}, nil
	}
	name, descending := strings.CutPrefix(field, "-")
	o := columns.Order{Descending: descending}
	switch {
	case slices.Contains([]string{colCriticality, colCreated, colUpdated, colRevision}, name):
		o.Number = name
	case slices.Contains(sortable, name):
		o.Columns = []string{name}
	default:
		name = strings.TrimPrefix(name, attrPrefix)
		a := f.m.Attribute(name)
		if a == nil {
			return o, fmt.Errorf("%w: sort by %q: want %s, criticality, created, updated, revision or an attribute, a minus before it for the largest first",
				ErrQuery, field, strings.Join(sortable, ", "))
		}
		o.Columns, o.Numeric = []string{attrPrefix + name}, a.Type.Numeric()
	}
	return o, nil
}

// Items lists items in reach. What the tables say is read last: an item that
// changed in this very moment is told as it is now, or not at all.
func (s *Service) Items(ctx context.Context, r reach.Reach, f Filter) (Page, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	e, err := parseExpression(&f)
	if err != nil {
		return Page{}, err
	}
	var after *columns.Mark
	if f.Cursor != "" {
		if after, err = decodeMark(f.Cursor); err != nil {
			return Page{}, err
		}
	}
	if err := s.ready(ctx); err != nil {
		return Page{}, err
	}
	var p Page
	var seqs []int32
	err = s.look(ctx, r, followsRelations(e), func(found *finder) error {
		o, err := found.order(f.Sort, e != nil)
		if err != nil {
			return err
		}
		all, err := found.filtered(&f, e)
		if err != nil {
			return err
		}
		p.Total = int(all.Count())
		seqs = found.v.Sorted(all, o, after, limit+1)
		if len(seqs) > limit {
			seqs = seqs[:limit]
			p.Next = encodeMark(found.v.Mark(seqs[limit-1], o))
		}
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	p.Items = make([]Item, 0, len(seqs))
	err = s.itemsOf(ctx, s.db, r, seqs, func(it *Item, _ reach.Kept) error {
		p.Items = append(p.Items, *it)
		return nil
	})
	if err != nil {
		return Page{}, err
	}
	return p, nil
}

func parseExpression(f *Filter) (*query.Expr, error) {
	if f.Expression == "" {
		return nil, nil
	}
	e, err := query.ParseFilter(f.Expression)
	if err != nil {
		return nil, asFilterError(err)
	}
	return e, nil
}

// itemsOf reads the items of some numbers, in their order, with the facts that
// data scopes see of them. What is gone or out of reach is left out.
func (s *Service) itemsOf(ctx context.Context, db bun.IDB, r reach.Reach, seqs []int32, fn func(*Item, reach.Kept) error) error {
	for part := range slices.Chunk(seqs, chunk) {
		var rows []itemRow
		if err := db.NewSelect().Model(&rows).Where("i.seq IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return fmt.Errorf("cmdb: read items: %w", err)
		}
		at := make(map[int32]*itemRow, len(rows))
		for i := range rows {
			at[rows[i].Seq] = &rows[i]
		}
		for _, seq := range part {
			row := at[seq]
			if row == nil || !r.Match(row.FactsOf(row.Tenant)) {
				continue
			}
			it, err := row.item()
			if err != nil {
				return err
			}
			if err := fn(&it, row.Kept); err != nil {
				return err
			}
		}
	}
	return nil
}

// each calls fn for every item in reach that a filter selects, by class and
// name, with the facts that data scopes see of it.
func (s *Service) each(ctx context.Context, db bun.IDB, r reach.Reach, f *Filter, fn func(*Item, reach.Kept) error) error {
	e, err := parseExpression(f)
	if err != nil {
		return err
	}
	var seqs []int32
	err = s.look(ctx, r, followsRelations(e), func(found *finder) error {
		o, err := found.order(f.Sort, false)
		if err != nil {
			return err
		}
		all, err := found.filtered(f, e)
		if err != nil {
			return err
		}
		seqs = found.v.Sorted(all, o, nil, int(all.Count()))
		return nil
	})
	if err != nil {
		return err
	}
	return s.itemsOf(ctx, db, r, seqs, fn)
}

func encodeMark(m columns.Mark) string {
	b, _ := json.Marshal(m) // it always encodes
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeMark(s string) (*columns.Mark, error) {
	var m columns.Mark
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || m.Item < 0 {
		return nil, fmt.Errorf("%w: %q", ErrCursor, s)
	}
	return &m, nil
}

// parseTime reads a time of a filter: a date, or a time with its zone.
func parseTime(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2026-01-31 or 2026-01-31T08:00:00+08:00", s)
}

// End is an item at the end of a path query, with the items, one a step, of one
// way that leads to it.
type End struct {
	Item Ref   `json:"item"`
	Way  []Ref `json:"way" nullable:"false" doc:"From the first item on, without the last"`
}

// Ends are the answer to a path query.
type Ends struct {
	Ends []End `json:"ends" nullable:"false"`
	// More tells that there are more than are told, or that a step led to
	// more items than are followed.
	More bool `json:"more"`
}

// Query answers a path query of package query: the items at its end, within
// reach, each once. It passes through items in reach only.
func (s *Service) Query(ctx context.Context, r reach.Reach, text string) (Ends, error) {
	p, err := query.ParsePath(text)
	if err != nil {
		return Ends{}, asFilterError(err)
	}
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return Ends{}, err
	}
	out := Ends{Ends: []End{}}
	start, err := s.starts(ctx, r, p.From, maxFrontier+1)
	if err != nil {
		return Ends{}, err
	}
	if len(start) > maxFrontier {
		start, out.More = start[:maxFrontier], true
	}
	// came tells for each step from which item of the step before one came.
	frontier := start
	came := make([]map[int32]int32, len(p.Steps))
	for i := range p.Steps {
		var more bool
		if frontier, came[i], more, err = s.follow(ctx, g, r, &p.Steps[i], frontier); err != nil {
			return Ends{}, err
		}
		out.More = out.More || more
	}
	if len(frontier) > maxEnds {
		frontier, out.More = frontier[:maxEnds], true
	}
	ways := make([][]int32, len(frontier))
	var all []int32
	for i, at := range frontier {
		way := make([]int32, len(came)+1)
		way[len(came)] = at
		for j := len(came) - 1; j >= 0; j-- {
			at = came[j][at]
			way[j] = at
		}
		ways[i] = way
		all = append(all, way...)
	}
	refs, err := s.refs(ctx, r, all)
	if err != nil {
		return Ends{}, err
	}
	for _, way := range ways {
		end := End{Way: []Ref{}}
		for _, at := range way[:len(way)-1] {
			end.Way = append(end.Way, refs[at])
		}
		var ok bool
		if end.Item, ok = refs[way[len(way)-1]]; ok {
			out.Ends = append(out.Ends, end)
		}
	}
	return out, nil
}

// starts are the first items in reach that a path may begin at.
func (s *Service) starts(ctx context.Context, r reach.Reach, n query.Node, limit int) ([]int32, error) {
	var seqs []int32
	err := s.look(ctx, r, followsRelations(n.Filter), func(f *finder) error {
		all, err := f.node(&n, 1)
		if err == nil {
			seqs = f.v.Sorted(all, columns.Order{}, nil, limit)
		}
		return err
	})
	return seqs, err
}

// follow takes one step of a path query.
func (s *Service) follow(ctx context.Context, g *graph.Graph, r reach.Reach, step *query.Step, frontier []int32) (next []int32, came map[int32]int32, more bool, err error) {
	o, err := s.options(r, Scope{Types: step.Types}, func(*model.RelationType) graph.Direction { return direction(step) })
	if err != nil {
		return nil, nil, false, &FilterError{step.Pos, err.Error()}
	}
	came = map[int32]int32{}
	origin := make(map[int32]int32, len(frontier)) // item → item of the step before
	for _, at := range frontier {
		origin[at] = at
	}
	visited := map[int32]bool{}
	for n := 1; n <= step.Max && len(frontier) > 0; n++ {
		list, cut, err := g.Neighbours(ctx, frontier, maxFrontier, o)
		if err != nil {
			return nil, nil, false, fmt.Errorf("cmdb: follow a path: %w", err)
		}
		more = more || cut
		frontier = frontier[:0:0]
		further := make(map[int32]int32, len(list))
		for _, x := range list {
			if visited[x.Node] {
				continue
			}
			visited[x.Node] = n >= step.Min
			further[x.Node] = origin[x.From]
			frontier = append(frontier, x.Node)
			if _, known := came[x.Node]; n >= step.Min && !known {
				came[x.Node] = origin[x.From]
				next = append(next, x.Node)
			}
		}
		origin = further
	}
	if next, err = s.keep(ctx, r, step, next); err != nil {
		return nil, nil, false, err
	}
	return next, came, more, nil
}

// keep leaves of some items those that a step may come to.
func (s *Service) keep(ctx context.Context, r reach.Reach, step *query.Step, seqs []int32) ([]int32, error) {
	if len(step.To.Classes) == 0 && step.To.Filter == nil {
		return seqs, nil
	}
	var out []int32
	err := s.look(ctx, r, followsRelations(step.To.Filter), func(f *finder) error {
		allowed, err := f.node(&step.To, step.Pos)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if allowed.Test(uint(seq)) {
				out = append(out, seq)
			}
		}
		return nil
	})
	return out, err
}
