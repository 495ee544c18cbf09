package finding

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/cmdb"
	"icewatch/soc/reach"
)

// Reassign gives the findings of an item to another one, whose host the first turned out
// to be, or is again: all of them, or only those at some addresses or names. They go by
// new ids, as what engines see there from now on does; history and work orders follow.
// What the other has already is closed. A change of before can no longer be undone.
func (s *Service) Reassign(ctx context.Context, actor, from, to string, hosts []string) error {
	card, err := s.Items.Card(ctx, reach.All(), to)
	if err != nil {
		return fmt.Errorf("finding: the item that findings go to: %w", err)
	}
	a := assetOf(&card)
	now := s.now()
	err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
		var rows []row
		q := tx.NewSelect().Model(&rows).Where("f.item_id = ?", from)
		if hosts != nil {
			q = q.Where("f.host IN (?)", bun.In(append([]string{""}, hosts...)))
		}
		if err := q.Order("f.id").Scan(ctx); err != nil {
			return err
		}
		w := writing{actor: actor, at: now}
		for i := range rows {
			if err := w.move(ctx, tx, &rows[i], from, a); err != nil {
				return err
			}
		}
		if err := w.flush(ctx, tx); err != nil {
			return err
		}
		if hosts != nil {
			return nil
		}
		// That it was looked at is true of the other.
		_, err := tx.NewDelete().Model((*lookedRow)(nil)).Where("item_id = ?", from).Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("finding: give the findings of %s to %s: %w", from, to, err)
	}
	return nil
}

// move gives a finding to an asset. key is what its id has of the asset that it is of.
func (w *writing) move(ctx context.Context, tx bun.Tx, old *row, key string, a *asset) error {
	f, err := old.unpack(w.at)
	if err != nil {
		return err
	}
	was := f.ID
	id := identity(a.tenant, a.key, f.Weakness, f.spot())
	if was != identity(f.Tenant, key, f.Weakness, f.spot()) {
		id = was // made in another way: it keeps what it is called
	}
	n, err := tx.NewSelect().Model((*row)(nil)).Where("f.id = ?", id).Count(ctx)
	if err != nil {
		return err
	}
	action := "asset " + a.name
	if n > 0 && id != was {
		id, action = was, action+", the same as "+id
		if slices.Contains(counting, f.State) {
			f.State, f.Closed = Closed, w.at
		}
	}
	if id != was {
		if err := rename(ctx, tx, was, id); err != nil {
			return err
		}
	}
	if f.Owner == "" {
		f.Owner = a.owner
	}
	f.ID, f.Item, f.Name, f.System, f.Unit, f.exposure, f.criticality = id, a.item, a.name, a.system, a.unit, a.exposure, a.criticality
	f.rate()
	old.ID = id
	return w.put(&f, old, a.facts, old.Reminded, action, "")
}

// Adopt gives what was found of a tenant where the CMDB knew nothing to the items that
// are there now: items are by address or name in a zone. What was found again since as
// the item's is closed.
func (s *Service) Adopt(ctx context.Context, actor, tenant, zone string, items map[string]string) error {
	zone = cmp.Or(zone, cmdb.DefaultZone)
	cards := map[string]*asset{}
	for part := range slices.Chunk(slices.Sorted(maps.Keys(items)), 400) {
		pick := func(db bun.IDB) ([]row, error) {
			var rows []row
			err := db.NewSelect().Model(&rows).Where("f.item_id = '' AND f.tenant = ? AND f.zone IN (?)", tenant, bun.In(spellings(zone))).Where("f.host IN (?)", bun.In(part)).Order("f.id").Scan(ctx)
			return rows, err
		}
		// Without anything to do no writer of the CMDB has to wait.
		rows, err := pick(s.db.DB)
		if err != nil {
			return fmt.Errorf("finding: what was found where nothing was known: %w", err)
		}
		for i := range rows {
			id := items[rows[i].Host]
			if _, ok := cards[id]; ok {
				continue
			}
			card, err := s.Items.Card(ctx, reach.All(), id)
			if err != nil {
				return fmt.Errorf("finding: the item that findings go to: %w", err)
			}
			if cards[id] = assetOf(&card); card.Item.Tenant != tenant {
				cards[id] = nil // another tenant's
			}
		}
		if len(rows) == 0 {
			continue
		}
		err = s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error {
			rows, err := pick(tx)
			if err != nil {
				return err
			}
			w := writing{actor: actor, at: s.now()}
			for i := range rows {
				if a := cards[items[rows[i].Host]]; a != nil {
					if err := w.move(ctx, tx, &rows[i], zone+"|"+rows[i].Host, a); err != nil {
						return err
					}
				}
			}
			return w.flush(ctx, tx)
		})
		if err != nil {
			return fmt.Errorf("finding: give findings to the items that are there now: %w", err)
		}
	}
	return nil
}

// spellings are a zone as findings have it: the usual one is often left out.
func spellings(zone string) []string {
	if zone == cmdb.DefaultZone {
		return []string{zone, ""}
	}
	return []string{zone}
}

// spot is where on its asset a finding is, as its id has it.
func (f *Finding) spot() string {
	place := "host"
	if f.Port > 0 {
		place = cmp.Or(f.Protocol, "tcp") + "/" + strconv.Itoa(f.Port)
	}
	// What has no CVE is called by the engine and its check.
	if strings.Contains(f.Weakness, ":") {
		place += " " + f.Path
	}
	return place
}

// rename gives a finding another id wherever it is named.
func rename(ctx context.Context, tx bun.Tx, from, to string) error {
	for _, x := range []struct{ table, set string }{{"exposure_findings", "id = ?"}, {"exposure_finding_history", "finding = ?, change = ''"}, {"exposure_finding_order_members", "finding = ?"}} {
		column, _, _ := strings.Cut(x.set, " ")
		if _, err := tx.NewUpdate().Table(x.table).Set(x.set, to).Where("? = ?", bun.Ident(column), from).Exec(ctx); err != nil {
			return fmt.Errorf("rename a finding: %w", err)
		}
	}
	return nil
}
