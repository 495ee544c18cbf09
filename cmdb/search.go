package cmdb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

const (
	// maxCount is how many items a search counts.
	maxCount = 10_000
	// maxFrontier is how many items a path query follows at a time.
	maxFrontier = 20_000
	// maxEnds is how many ends of a path query are told.
	maxEnds = 1000
)

// search lists the items of a filter's expression.
func (s *Service) search(ctx context.Context, r reach.Reach, f *Filter, limit int) (Page, error) {
	e, err := query.ParseFilter(f.Expression)
	if err != nil {
		return Page{}, asFilterError(err)
	}
	after := int32(0)
	if f.Cursor != "" {
		if after, err = decodeSeq(f.Cursor); err != nil {
			return Page{}, err
		}
	}
	c := &compiler{m: s.Model(), within: r}
	plan, err := s.plan(ctx, s.db, c, e)
	if err != nil {
		return Page{}, err
	}
	var n int
	count := plan.apply(f.where(s.db.NewSelect().Model((*itemRow)(nil)).ColumnExpr("1 AS one")), 0).Limit(maxCount + 1)
	if err := s.db.NewSelect().TableExpr("(?) AS found", count).ColumnExpr("count(*)").Scan(ctx, &n); err != nil {
		return Page{}, fmt.Errorf("cmdb: count items: %w", err)
	}
	var rows []itemRow
	q := plan.apply(f.where(s.db.NewSelect().Model(&rows)), after)
	if err := q.Order("i.seq").Limit(int64(limit + 1)).Scan(ctx); err != nil {
		return Page{}, fmt.Errorf("cmdb: search items: %w", err)
	}
	list, err := items(rows)
	if err != nil {
		return Page{}, err
	}
	p := Page{Items: list, Total: min(n, maxCount), Capped: n > maxCount}
	if len(list) > limit {
		p.Items = list[:limit]
		p.Next = encodeSeq(list[limit-1].seq)
	}
	return p, nil
}

// apply adds the conditions of a plan to a query of items.
func (p *searchPlan) apply(q *bun.SelectQuery, after int32) *bun.SelectQuery {
	if p.from != "" {
		q = q.ModelTableExpr(p.from+"cmdb_items AS i").Where("d.item > ?", after)
	}
	for _, w := range p.where {
		q = q.Where(w.text, w.args...)
	}
	return q.Where("i.seq > ?", after)
}

func encodeSeq(seq int32) string {
	b, _ := json.Marshal(seq)
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeSeq(s string) (seq int32, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &seq)
	}
	if err != nil || seq < 0 {
		return 0, fmt.Errorf("%w: %q", ErrCursor, s)
	}
	return seq, nil
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
	c := &compiler{m: s.Model(), within: r}
	start, err := s.starts(ctx, c, p.From)
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
		if frontier, came[i], more, err = s.follow(ctx, g, c, &p.Steps[i], frontier); err != nil {
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

// starts are the items that a path query begins at, one more than are followed
// where there are too many.
func (s *Service) starts(ctx context.Context, c *compiler, n query.Node) ([]int32, error) {
	may := c.reachOf("i")
	q := s.db.NewSelect().Model((*itemRow)(nil)).Column("i.seq").Where(may.text, may.args...)
	if len(n.Classes) > 0 {
		names, err := c.classes(n.Classes, 1)
		if err != nil {
			return nil, err
		}
		q = q.Where("i.class IN (?)", bun.In(names))
	}
	if n.Filter != nil {
		plan, err := s.plan(ctx, s.db, c, n.Filter)
		if err != nil {
			return nil, err
		}
		q = plan.apply(q, 0)
	}
	var seqs []int32
	if err := q.Order("i.seq").Limit(maxFrontier+1).Scan(ctx, &seqs); err != nil {
		return nil, fmt.Errorf("cmdb: where the path begins: %w", err)
	}
	return seqs, nil
}

// follow takes one step of a path query.
func (s *Service) follow(ctx context.Context, g *graph.Graph, c *compiler, step *query.Step, frontier []int32) (next []int32, came map[int32]int32, more bool, err error) {
	way := graph.Direction(0)
	if step.Forward {
		way |= graph.Forward
	}
	if step.Backward {
		way |= graph.Backward
	}
	o, err := s.options(c.within, Scope{Types: step.Types}, func(*model.RelationType) graph.Direction { return way })
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
	if next, err = s.keep(ctx, c, step, next); err != nil {
		return nil, nil, false, err
	}
	return next, came, more, nil
}

// keep leaves of some items those that a step may come to.
func (s *Service) keep(ctx context.Context, c *compiler, step *query.Step, seqs []int32) ([]int32, error) {
	if len(step.To.Classes) == 0 && step.To.Filter == nil {
		return seqs, nil
	}
	var classes []string
	var where sqlText
	var err error
	if len(step.To.Classes) > 0 {
		if classes, err = c.classes(step.To.Classes, step.Pos); err != nil {
			return nil, err
		}
	}
	if step.To.Filter != nil {
		if where, err = c.where(step.To.Filter, "i"); err != nil {
			return nil, err
		}
	}
	var out []int32
	for start := 0; start < len(seqs); start += chunk {
		q := s.db.NewSelect().Model((*itemRow)(nil)).Column("i.seq").Where("i.seq IN (?)", bun.In(seqs[start:min(start+chunk, len(seqs))]))
		if len(classes) > 0 {
			q = q.Where(anyClass("i")+" IN (?)", bun.In(classes))
		}
		if where.text != "" {
			q = q.Where(where.text, where.args...)
		}
		var some []int32
		if err := q.Order("i.seq").Scan(ctx, &some); err != nil {
			return nil, fmt.Errorf("cmdb: filter the items of a step: %w", err)
		}
		out = append(out, some...)
	}
	return out, nil
}
