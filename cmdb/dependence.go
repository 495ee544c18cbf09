package cmdb

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/cmdb/graph"
	"icewatch/cmdb/model"
	"icewatch/soc/reach"
)

// Cause is an item whose failure may be why another fails.
type Cause struct {
	Item int32 // its number
	// Mutual tells that one relation alone joins the two whose failure goes
	// both ways: a host and its switch.
	Mutual bool
}

// Numbers returns the numbers of items by their ids. Ids that are no item's are
// left out.
func (s *Service) Numbers(ctx context.Context, ids []string) (map[string]int32, error) {
	out := make(map[string]int32, len(ids))
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(ids, chunk) {
			var rows []itemRow
			if err := tx.NewSelect().Model(&rows).Column("id", "seq").Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
				return fmt.Errorf("read the numbers of %d items: %w", len(part), err)
			}
			for i := range rows {
				out[rows[i].ID] = rows[i].Seq
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	return out, nil
}

// Named is an item with the tenant it belongs to.
type Named struct {
	Ref
	Tenant string
}

// Named returns what items are called by their numbers, whoever asks.
func (s *Service) Named(ctx context.Context, items []int32) (map[int32]Named, error) {
	out := make(map[int32]Named, len(items))
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for part := range slices.Chunk(items, chunk) {
			var rows []itemRow
			if err := tx.NewSelect().Model(&rows).Column("id", "class", "name", "tenant", "criticality", "owner", "seq").Where("i.seq IN (?)", bun.In(part)).Scan(ctx); err != nil {
				return fmt.Errorf("read the names of %d items: %w", len(part), err)
			}
			for _, r := range rows {
				out[r.Seq] = Named{Ref{ID: r.ID, Class: r.Class, Name: r.Name, Criticality: r.Criticality, Owner: r.Owner}, r.Tenant}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cmdb: %w", err)
	}
	return out, nil
}

// Causes lists the items whose failure would reach an item: against the way in
// which the types of relations say that failures go, up to depth relations away
// and about limit items. A relation whose failures go both ways is only taken
// as the last one towards a cause: two hosts on one switch would be each
// other's cause else.
func (s *Service) Causes(ctx context.Context, item int32, depth, limit int) ([]Cause, error) {
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return nil, err
	}
	up, mutual, err := s.impactOptions(true)
	if err != nil {
		return nil, err
	}
	list, _, err := g.Walk(ctx, item, depth, limit, up)
	if err != nil {
		return nil, fmt.Errorf("cmdb: look for what item %d depends on: %w", item, err)
	}
	out := make([]Cause, 0, len(list))
	from, known := []int32{item}, map[int32]bool{item: true}
	for _, r := range list {
		out, from = append(out, Cause{Item: r.Node}), append(from, r.Node)
		known[r.Node] = true
	}
	beside, _, err := g.Neighbours(ctx, from, limit, mutual)
	if err != nil {
		return nil, fmt.Errorf("cmdb: look for what item %d depends on: %w", item, err)
	}
	for _, r := range beside {
		if !known[r.Node] {
			known[r.Node] = true
			out = append(out, Cause{Item: r.Node, Mutual: r.From == item})
		}
	}
	return out, nil
}

// Dependents lists the items, limit at most, that one relation joins to an item
// and that its failure would reach.
func (s *Service) Dependents(ctx context.Context, item int32, limit int) ([]int32, error) {
	g, err := s.topologyGraph(ctx)
	if err != nil {
		return nil, err
	}
	down, mutual, err := s.impactOptions(false)
	if err != nil {
		return nil, err
	}
	for i := range down.Follow {
		down.Follow[i] |= mutual.Follow[i]
	}
	list, _, err := g.Neighbours(ctx, []int32{item}, limit+1, down)
	if err != nil {
		return nil, fmt.Errorf("cmdb: look for what depends on item %d: %w", item, err)
	}
	out := make([]int32, 0, len(list))
	for _, r := range list {
		if r.Node != item {
			out = append(out, r.Node)
		}
	}
	return out[:min(len(out), limit)], nil
}

// impactOptions are two searches: along the relations whose failures go one way,
// against it or with it, and along those whose failures go both ways.
func (s *Service) impactOptions(up bool) (one, both graph.Options, err error) {
	way := func(rel *model.RelationType) graph.Direction {
		switch d := impactWay[rel.Impact]; {
		case d == graph.Both:
			return 0
		case up:
			return against(d)
		default:
			return d
		}
	}
	if one, err = s.options(reach.All(), Scope{}, way); err != nil {
		return one, both, err
	}
	both, err = s.options(reach.All(), Scope{}, func(rel *model.RelationType) graph.Direction {
		if impactWay[rel.Impact] == graph.Both {
			return graph.Both
		}
		return 0
	})
	return one, both, err
}

// Called lists the ids of the items that have a name, or that id, in these
// tenants; of any tenant where none is given. There are two at most: whoever
// asks by name wants one.
func (s *Service) Called(ctx context.Context, name string, tenants ...string) (ids []string, err error) {
	err = s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for _, column := range []string{"id", "name"} {
			q := tx.NewSelect().Model((*itemRow)(nil)).Column("id").Where("i.? = ?", bun.Ident(column), name).OrderExpr("i.id").Limit(2)
			if len(tenants) > 0 {
				q = q.Where("i.tenant IN (?)", bun.In(tenants))
			}
			if err := q.Scan(ctx, &ids); err != nil || len(ids) > 0 {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cmdb: look for an item called %q: %w", name, err)
	}
	return ids, nil
}
