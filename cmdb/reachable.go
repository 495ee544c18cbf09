package cmdb

import (
	"context"
	"fmt"

	"icewatch/soc/reach"
)

// Reachable counts the items in reach that have an address, which is what can be scanned, by
// the organisation that they belong to, their own or their system's; "" is of none.
func (s *Service) Reachable(ctx context.Context, r reach.Reach) (map[string]int, error) {
	var rows []struct {
		Unit string
		N    int
	}
	q := r.Within(s.db.NewSelect().Model((*itemRow)(nil)), "i").Join("LEFT JOIN cmdb_items AS y ON y.id = i.system_id").ColumnExpr("coalesce(i.organisation_id, y.organisation_id, '') AS unit, count(*) AS n").Where("i.id IN (SELECT a.item_id FROM cmdb_addresses AS a)").GroupExpr("1")
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, fmt.Errorf("cmdb: count what can be reached: %w", err)
	}
	out := make(map[string]int, len(rows))
	for _, x := range rows {
		out[x.Unit] += x.N
	}
	return out, nil
}
