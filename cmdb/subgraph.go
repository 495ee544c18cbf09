package cmdb

import (
	"context"
	"fmt"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/cmdb/query"
	"icewatch/soc/reach"
)

// Bounds of a Subgraph.
const (
	MaxSubgraph = 2000 // items
	maxLines    = 20_000
)

// Place is an item of a Subgraph.
type Place struct {
	Ref
	Tenant string `json:"tenant,omitempty"`
	Zone   string `json:"zone,omitempty"`
	System string `json:"system,omitempty" doc:"Id of its business system"`
}

// Subgraph are some items within reach, and how they hang together.
type Subgraph struct {
	Items     []Place `json:"items" nullable:"false"`
	Relations []Link  `json:"relations" nullable:"false" doc:"Between two of the items, each once"`
	More      bool    `json:"more,omitempty" doc:"There are more items or relations than are told"`
}

// Subgraph tells of the items named and of those that a filter selects, ""
// for none, as far as they are within reach, and the relations among them. Ids
// that nothing in reach has are passed over.
func (s *Service) Subgraph(ctx context.Context, r reach.Reach, ids []string, expression string) (Subgraph, error) {
	out := Subgraph{Items: []Place{}, Relations: []Link{}}
	if len(ids) > MaxSubgraph {
		return out, fmt.Errorf("%w: %d items: want at most %d", ErrTooLarge, len(ids), MaxSubgraph)
	}
	var found []int32
	if expression != "" {
		e, err := query.ParseFilter(expression)
		if err != nil {
			return out, asFilterError(err)
		}
		if err := s.ready(ctx); err != nil {
			return out, err
		}
		if found, err = s.starts(ctx, r, query.Node{Filter: e}, MaxSubgraph+1); err != nil {
			return out, err
		}
	}
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		places := map[int32]*Place{}
		var seqs []int32
		take := func(rows []itemRow) {
			for i := range rows {
				row := &rows[i]
				if places[row.Seq] != nil {
					continue
				}
				if len(seqs) == MaxSubgraph {
					out.More = true
					return
				}
				it, err := row.item()
				if err != nil {
					continue // what is kept of it cannot be read, and nothing of it is needed here
				}
				places[row.Seq] = &Place{Ref: *refOf(&it), Tenant: it.Tenant, Zone: it.Zone, System: it.System}
				seqs = append(seqs, row.Seq)
			}
		}
		for part := range slices.Chunk(ids, chunk) {
			var rows []itemRow
			if err := r.Within(tx.NewSelect().Model(&rows).Where("i.id IN (?)", bun.In(part)), "i").Order("i.seq").Scan(ctx); err != nil {
				return fmt.Errorf("cmdb: read items: %w", err)
			}
			take(rows)
		}
		for part := range slices.Chunk(found, chunk) {
			var rows []itemRow
			if err := r.Within(tx.NewSelect().Model(&rows).Where("i.seq IN (?)", bun.In(part)), "i").Order("i.seq").Scan(ctx); err != nil {
				return fmt.Errorf("cmdb: read items: %w", err)
			}
			take(rows)
		}
		for _, seq := range seqs {
			out.Items = append(out.Items, *places[seq])
		}
		seen := map[relationKey]bool{}
		for part := range slices.Chunk(seqs, chunk) {
			var rows []relationRow
			err := tx.NewSelect().Model(&rows).Where("r.from_seq IN (?)", bun.In(part)).Where("r.to_seq IN (?)", bun.In(seqs)).Order("r.from_seq", "r.type", "r.to_seq").Limit(maxLines + 1).Scan(ctx)
			if err != nil {
				return fmt.Errorf("cmdb: read relations: %w", err)
			}
			for _, row := range rows {
				k := relationKey{row.From, row.Type, row.To}
				if seen[k] {
					continue
				}
				if len(out.Relations) == maxLines {
					out.More = true
					return nil
				}
				seen[k] = true
				out.Relations = append(out.Relations, Link{From: places[row.From].ID, Type: row.Type, To: places[row.To].ID})
			}
		}
		return nil
	})
	if err != nil {
		return Subgraph{}, err
	}
	return out, nil
}
