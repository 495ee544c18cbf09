package finding

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// lookedFor is for how many days a look at an asset counts.
const lookedFor = 30

type lookedRow struct {
	bun.BaseModel `bun:"table:exposure_looked,alias:l"`
	ItemID        string `bun:"item_id,pk"`
	Tenant        string `bun:"tenant"`
	UnitID        string `bun:"unit_id"`
	At            int64  `bun:"at"`
	reach.Kept
}

// look finds the items of the CMDB that an engine looked at: those of the places that it
// names, and those on which it found something.
func (r *resolver) look(ctx context.Context, how Take, now time.Time) ([]lookedRow, error) {
	ids := map[string]bool{}
	var places []cmdb.ZonedAddress
	for _, list := range [][]Place{how.Complete, how.Looked} {
		for _, p := range list {
			if p.Item != "" {
				ids[p.Item] = true
			} else if a, err := netip.ParseAddr(p.Host); err == nil {
				places = append(places, cmdb.ZonedAddress{Zone: cmp.Or(p.Zone, cmdb.DefaultZone), Address: a.Unmap().String()})
			}
		}
	}
	if len(places) > 0 {
		at, err := r.s.Items.At(ctx, places)
		if err != nil {
			return nil, err
		}
		for _, id := range at {
			ids[id] = id != ""
		}
	}
	for id, a := range r.cards {
		ids[id] = a != nil
	}
	var out []lookedRow
	for id, ok := range ids {
		if !ok {
			continue
		}
		// What is beyond reach was not looked at in its name.
		a, err := r.find(ctx, &Sighting{Item: id})
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			continue
		}
		out = append(out, lookedRow{ItemID: id, Tenant: a.tenant, UnitID: a.unit, At: now.UnixMilli(), Kept: a.facts})
	}
	slices.SortFunc(out, func(a, b lookedRow) int { return cmp.Compare(a.ItemID, b.ItemID) })
	return out, nil
}

func noteLooked(ctx context.Context, tx bun.Tx, rows []lookedRow) error {
	for part := range slices.Chunk(rows, 300) {
		q := tx.NewInsert().Model(&part).On("CONFLICT (item_id) DO UPDATE")
		for _, c := range []string{"tenant", "unit_id", "at", "reach_unit", "reach_region", "reach_industry", "reach_labels"} {
			q = q.Set("? = EXCLUDED.?", bun.Ident(c), bun.Ident(c))
		}
		if _, err := q.Exec(ctx); err != nil {
			return fmt.Errorf("finding: keep what was looked at: %w", err)
		}
	}
	return nil
}

// coverage adds to figures how many of the assets that the CMDB knows were looked at.
func (s *Service) coverage(ctx context.Context, r reach.Reach, out *FindingFigures, now time.Time) error {
	since := now.AddDate(0, 0, -lookedFor).UnixMilli()
	type count struct {
		Unit string
		N    int
	}
	var looked []count
	q := r.Within(s.db.NewSelect().Model((*lookedRow)(nil)), "l").ColumnExpr("l.unit_id AS unit, count(*) AS n").Where("l.at >= ?", since).GroupExpr("l.unit_id")
	if err := q.Scan(ctx, &looked); err != nil {
		return err
	}
	known, err := s.Items.Reachable(ctx, r)
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, u := range out.Units {
		at[u.Unit] = i
	}
	unit := func(id string) *UnitFigures {
		i, ok := at[id]
		if !ok {
			if len(out.Units) >= 500 {
				return &UnitFigures{}
			}
			i = len(out.Units)
			at[id] = i
			out.Units = append(out.Units, UnitFigures{Unit: id})
		}
		return &out.Units[i]
	}
	ids := make([]string, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		unit(id).Known = known[id]
		out.Known += known[id]
	}
	out.Looked = 0
	for _, c := range looked {
		// An item without address, or one that was deleted since, is no more than the rest.
		u := unit(c.Unit)
		u.Looked = min(c.N, u.Known)
		out.Looked += u.Looked
	}
	return nil
}
