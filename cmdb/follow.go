package cmdb

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
)

// What rooms beside the CMDB ask that keep something for each of its items.
// They see all items; whom they tell of one is for them to decide.

// Some returns those of some items that there are, in no order.
func (s *Service) Some(ctx context.Context, ids []string) ([]Item, error) {
	rows, err := s.rowsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	return items(rows)
}

func (s *Service) rowsOf(ctx context.Context, ids []string) ([]itemRow, error) {
	var out []itemRow
	for start := 0; start < len(ids); start += chunk {
		var rows []itemRow
		if err := s.db.NewSelect().Model(&rows).Where("i.id IN (?)", bun.In(ids[start:min(start+chunk, len(ids))])).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: read %d items: %w", len(ids), err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// Stirred names items that somebody or something changed after a mark, deleted
// ones too, and returns the mark for the next call: as long as it grows there
// may be more.
func (s *Service) Stirred(ctx context.Context, after int64) (ids []string, next int64, err error) {
	var rows []struct {
		ID     int64  `bun:"id"`
		ItemID string `bun:"item_id"`
	}
	err = s.db.NewSelect().Model((*historyRow)(nil)).Column("h.id", "h.item_id").Where("h.id > ?", after).Order("h.id").Limit(maxLimit).Scan(ctx, &rows)
	if err != nil {
		return nil, after, fmt.Errorf("cmdb: what changed after entry %d: %w", after, err)
	}
	next = after
	seen := map[string]bool{}
	for _, r := range rows {
		next = r.ID
		if !seen[r.ItemID] {
			seen[r.ItemID] = true
			ids = append(ids, r.ItemID)
		}
	}
	return ids, next, nil
}

// Assets names items that can be attacked or fail: those of classes with
// addresses, and business systems and organisations, ordered by id, a thousand
// at most after the one named.
func (s *Service) Assets(ctx context.Context, after string) (ids []string, err error) {
	err = s.db.NewSelect().Model((*itemRow)(nil)).Column("i.id").Where("i.class IN (?)", bun.In(s.AssetClasses())).Where("i.id > ?", after).
		Order("i.id").Limit(maxLimit).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("cmdb: list assets after %q: %w", after, err)
	}
	return ids, nil
}

// AssetClasses are the classes of assets; see Assets.
func (s *Service) AssetClasses() []string {
	var out []string
	m := s.Model()
	for _, name := range m.Concrete() {
		if c := m.Class(name); c.Addresses == model.IPs || name == BusinessSystem || name == Organisation {
			out = append(out, name)
		}
	}
	return out
}

// MembersOf names the items that belong to a business system, or to an
// organisation, ordered by id, a thousand at most after the one named.
func (s *Service) MembersOf(ctx context.Context, id, after string) (ids []string, err error) {
	err = s.db.NewSelect().Model((*itemRow)(nil)).Column("i.id").Where("(i.system_id = ? OR i.organisation_id = ?)", id, id).Where("i.id > ?", after).
		Order("i.id").Limit(maxLimit).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("cmdb: members of %q: %w", id, err)
	}
	return ids, nil
}

// ZonedAddress is an address in a network zone.
type ZonedAddress struct{ Zone, Address string }

// At names the items at some addresses, in canonical form; those that nothing
// is at are left out. A network is at no address.
func (s *Service) At(ctx context.Context, places []ZonedAddress) (map[ZonedAddress]string, error) {
	out := make(map[ZonedAddress]string, len(places))
	for start := 0; start < len(places); start += chunk {
		keys := make([][]any, 0, chunk)
		for _, p := range places[start:min(start+chunk, len(places))] {
			keys = append(keys, []any{p.Zone, p.Address})
		}
		var rows []addressRow
		if err := s.db.NewSelect().Model(&rows).Where("(zone, address) IN (?)", bun.In(keys)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("cmdb: what is at %d addresses: %w", len(places), err)
		}
		for _, r := range rows {
			out[ZonedAddress{r.Zone, r.Address}] = r.ItemID
		}
	}
	return out, nil
}
