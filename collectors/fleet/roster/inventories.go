package roster

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// Inventories are when the inventory of each host was taken, Unix seconds by agent.
func (s *Store) Inventories(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		Agent string
		Taken int64
	}
	err := s.db.View(ctx, func(ctx context.Context, tx bun.Tx) error {
		return tx.NewRaw("SELECT agent, taken FROM fleet_inventories").Scan(ctx, &rows)
	})
	if err != nil {
		return nil, fmt.Errorf("fleet: list inventories: %w", err)
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.Agent] = r.Taken
	}
	return out, nil
}
