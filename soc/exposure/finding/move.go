package finding

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

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
			f, err := rows[i].unpack(now)
			if err != nil {
				return err
			}
			was := f.ID
			id := identity(a.tenant, a.key, f.Weakness, f.spot())
			if was != identity(f.Tenant, from, f.Weakness, f.spot()) {
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
					f.State, f.Closed = Closed, now
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
			rows[i].ID = id
			if err := w.put(&f, &rows[i], a.facts, rows[i].Reminded, action, ""); err != nil {
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
