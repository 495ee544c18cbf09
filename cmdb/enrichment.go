package cmdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
)

// partItems is how many item numbers share a part of what enrichment needs. A
// part is read, sent and taken in in milliseconds, so that one change among a
// million items costs no more than among a thousand.
const partItems = 1 << 10

// news is what the listener to changes has not taken yet.
type news struct {
	changed chan struct{}
	mu      sync.Mutex
	parts   map[int32]bool
	next    chan struct{} // closed by the next commit
}

// Changed delivers after changes, one value for any number of them, so that
// the centre can publish the parts that ChangedParts names. It is one channel,
// for one listener; a change while nobody listens is not lost.
func (s *Service) Changed() <-chan struct{} { return s.news.changed }

// ChangedParts names the parts that changed since the last call, in order.
func (s *Service) ChangedParts() []int32 {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	out := slices.Sorted(maps.Keys(s.news.parts))
	clear(s.news.parts)
	return out
}

// Retell has ChangedParts name parts once more that could not be published.
func (s *Service) Retell(parts []int32) {
	s.news.mu.Lock()
	for _, p := range parts {
		s.news.parts[p] = true
	}
	s.news.mu.Unlock()
	s.notify()
}

// Stir is closed by the next commit; any number may wait for it. What another
// process changes in the tables closes it not.
func (s *Service) Stir() <-chan struct{} {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return s.news.next
}

func (s *Service) notify() {
	select {
	case s.news.changed <- struct{}{}:
	default: // one is waiting already
	}
}

// tell has the parts named that a commit changed.
func (s *Service) tell(w *writer) {
	s.news.mu.Lock()
	for _, stored := range w.items {
		s.news.parts[stored.item.seq/partItems] = true
	}
	for _, n := range w.nodes {
		s.news.parts[n.seq/partItems] = true
	}
	for _, list := range [][]int32{w.gone, w.members} {
		for _, seq := range list {
			s.news.parts[seq/partItems] = true
		}
	}
	close(s.news.next)
	s.news.next = make(chan struct{})
	s.news.mu.Unlock()
	s.notify()
}

// noteMembers keeps the items that belong to systems whose name or owner
// changed: what enrichment says of them changes with it.
func (w *writer) noteMembers(ctx context.Context, changes []itemChange) error {
	var systems []string
	for _, c := range changes {
		if c.old != nil && c.new.Class == BusinessSystem && (c.old.Name != c.new.Name || c.old.Owner != c.new.Owner) {
			systems = append(systems, c.new.ID)
		}
	}
	for part := range slices.Chunk(systems, chunk) {
		var seqs []int32
		if err := w.tx.NewSelect().Model((*itemRow)(nil)).Column("seq").Where("i.system_id IN (?)", bun.In(part)).Scan(ctx, &seqs); err != nil {
			return fmt.Errorf("cmdb: read the members of systems: %w", err)
		}
		w.members = append(w.members, seqs...)
	}
	return nil
}

// Parts is how many parts there are of what enrichment needs.
func (s *Service) Parts(ctx context.Context) (int32, error) {
	var next int32
	if err := s.db.NewSelect().Table("cmdb_version").Column("next_seq").Where("id = 1").Scan(ctx, &next); err != nil {
		return 0, fmt.Errorf("cmdb: read how many items there are: %w", err)
	}
	return next/partItems + 1, nil
}

// Part returns what enrichment needs of the items of one part, of all tenants,
// as of one moment. Its version grows with every change.
func (s *Service) Part(ctx context.Context, part int32) (enrich.Snapshot, error) {
	snap := enrich.Snapshot{Part: part, Networks: []enrich.Network{}, Items: []enrich.Item{}}
	err := s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error { return s.part(ctx, tx, part, &snap) })
	if err != nil {
		return enrich.Snapshot{}, fmt.Errorf("cmdb: what enrichment needs of part %d: %w", part, err)
	}
	return snap, nil
}

// Snapshot is all parts in one, as of one moment.
func (s *Service) Snapshot(ctx context.Context) (enrich.Snapshot, error) {
	snap := enrich.Snapshot{Networks: []enrich.Network{}, Items: []enrich.Item{}}
	parts, err := s.Parts(ctx)
	if err != nil {
		return snap, err
	}
	err = s.db.view(ctx, func(ctx context.Context, tx bun.Tx) error {
		for part := range parts {
			if err := s.part(ctx, tx, part, &snap); err != nil {
				return fmt.Errorf("cmdb: make a snapshot: part %d: %w", part, err)
			}
		}
		return nil
	})
	return snap, err
}

// part adds the items of one part to a snapshot.
func (s *Service) part(ctx context.Context, tx bun.Tx, part int32, snap *enrich.Snapshot) error {
	if err := tx.QueryRowContext(ctx, "SELECT version FROM cmdb_version WHERE id = 1").Scan(&snap.Version); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	m := s.Model()
	var rows []itemRow
	if err := tx.NewSelect().Model(&rows).Where("i.seq BETWEEN ? AND ?", int64(part)*partItems, (int64(part)+1)*partItems-1).Order("i.seq").Scan(ctx); err != nil {
		return fmt.Errorf("read the items: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(r itemRow) bool {
		c := m.Class(r.Class)
		return c == nil || c.Addresses == model.NoAddresses && !c.Hostnames && c.Name != BusinessSystem
	})
	list, err := items(rows)
	if err != nil {
		return err
	}
	systems, err := systemsOf(ctx, tx, list)
	if err != nil {
		return err
	}
	for i := range list {
		it, c := &list[i], m.Class(list[i].Class)
		if c.Addresses == model.CIDRs {
			for _, a := range it.Addresses {
				snap.Networks = append(snap.Networks, enrich.Network{Zone: it.Zone, CIDR: a, Name: it.Name, Tenant: it.Tenant})
			}
			continue
		}
		snap.Items = append(snap.Items, enriched(c, it, systems[it.System], rows[i].Kept))
	}
	return nil
}

// systemsOf reads the business systems of some items.
func systemsOf(ctx context.Context, tx bun.Tx, list []Item) (map[string]*itemRow, error) {
	ids := map[string]bool{}
	for i := range list {
		if id := list[i].System; id != "" {
			ids[id] = true
		}
	}
	out := make(map[string]*itemRow, len(ids))
	for part := range slices.Chunk(slices.Sorted(maps.Keys(ids)), chunk) {
		var rows []itemRow
		if err := tx.NewSelect().Model(&rows).Column("id", "name", "owner").Where("i.id IN (?)", bun.In(part)).Scan(ctx); err != nil {
			return nil, fmt.Errorf("read the systems: %w", err)
		}
		for i := range rows {
			out[rows[i].ID] = &rows[i]
		}
	}
	return out, nil
}

// enriched is an item as enrichment knows it.
func enriched(c *Class, it *Item, system *itemRow, facts reach.Kept) enrich.Item {
	x := enrich.Item{
		ID: it.ID, Class: it.Class, Name: it.Name, Tenant: it.Tenant, Zone: it.Zone,
		Addresses: it.Addresses, Hostnames: it.Hostnames, Criticality: it.Criticality,
		Owner: it.Owner, Labels: it.Labels,
		Unit: facts.Unit, Region: facts.Region, Industry: facts.Industry, ReachLabels: facts.Labels,
	}
	if system != nil {
		x.SystemID, x.SystemName = system.ID, system.Name
		if x.Owner == "" {
			x.Owner = system.Owner
		}
	}
	if it.Class == BusinessSystem {
		x.SystemID, x.SystemName = it.ID, it.Name
	}
	if c.Hostnames {
		// The name of a host is a host name, where it can be one.
		if h, err := checkHostname(it.Name); err == nil && !slices.Contains(x.Hostnames, h) {
			x.Hostnames = append(slices.Clip(x.Hostnames), h)
		}
	}
	return x
}
