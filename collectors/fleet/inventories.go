package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// InventoriedHost is a host whose inventory is known, and when it was taken.
type InventoriedHost struct {
	Agent Agent
	Taken time.Time
}

// Inventories lists the hosts of all tenants whose inventory is known, for what the
// suite does by itself; without those whose agents were revoked.
func (s *Service) Inventories(ctx context.Context) ([]InventoriedHost, error) {
	taken, err := s.store.Inventories(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]InventoriedHost, 0, len(taken))
	for id, at := range taken {
		if m := s.agents[id]; m != nil && m.RevokedAt.IsZero() {
			out = append(out, InventoriedHost{m.Agent, time.Unix(at, 0).UTC()})
		}
	}
	return out, nil
}

// ReadInventory is the last inventory of a host of whatever tenant, for what the suite
// does by itself; ErrNotFound where there is none.
func (s *Service) ReadInventory(ctx context.Context, id string) (*wire.Inventory, error) {
	data, err := s.store.Inventory(ctx, id)
	if errors.Is(err, roster.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	var inv wire.Inventory
	if err := json.Unmarshal(data, &inv); err != nil {
		return nil, fmt.Errorf("fleet: the inventory of %s cannot be read: %w", id, err)
	}
	return &inv, nil
}
