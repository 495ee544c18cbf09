package cmdb

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/uptrace/bun"

	"icewatch/cmdb/model"
	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

// current returns an item as it will be: from the drafts, else as stored.
func (p *planner) current(id string) *Item {
	if d := p.byID[id]; d != nil {
		return &d.final
	}
	return p.stored[id]
}

// checkReferences makes sure that an item and what it belongs to fit together
// after the change, on both sides: a system and its members are of one tenant,
// and an organisation is of the item's tenant or shared.
func (p *planner) checkReferences(ctx context.Context) error {
	var moved []*draft
	for _, d := range p.drafts {
		if d.bad {
			continue
		}
		f := &d.final
		if f.System != "" {
			if sys := p.current(f.System); sys != nil && sys.Tenant != f.Tenant {
				p.fail(d, colSystem, "the item is of tenant %q, but system %q is of tenant %q: they must be equal", f.Tenant, sys.ID, sys.Tenant)
			}
		}
		if f.Organisation != "" {
			org := p.current(f.Organisation)
			cityLevel := f.Tenant == "" || f.Tenant == tenancy.City
			if org != nil && org.Tenant != "" && org.Tenant != f.Tenant && !cityLevel {
				p.fail(d, colOrganisation, "organisation %q is of tenant %q: want one of tenant %q or a shared one", org.ID, org.Tenant, f.Tenant)
			}
		}
		p.checkReferenceTenants(d)
		if d.old != nil && d.old.Tenant != f.Tenant && d.class.Rank < 2 {
			moved = append(moved, d)
		}
	}
	for _, d := range moved {
		// Members in the file were checked above; these are the others.
		var rows []itemRow
		err := p.db.NewSelect().Model(&rows).Column("id", "tenant", "class", "system_id").
			Where("i.system_id = ? OR i.organisation_id = ?", d.final.ID, d.final.ID).Scan(ctx)
		if err != nil {
			return fmt.Errorf("cmdb: members of %q: %w", d.final.ID, err)
		}
		rows = slices.DeleteFunc(rows, func(r itemRow) bool {
			return p.byID[r.ID] != nil || r.Tenant == d.final.Tenant || d.final.Tenant == "" && r.SystemID != d.final.ID
		})
		if len(rows) > 0 {
			p.fail(d, colTenant, "%d items that belong to it are of another tenant: move them in the same file", len(rows))
		}
	}
	return nil
}

// checkReferenceTenants sees that what reference attributes point to is of the
// item's tenant or shared.
func (p *planner) checkReferenceTenants(d *draft) {
	f := &d.final
	for i := range d.class.Attributes {
		a := &d.class.Attributes[i]
		if a.Type != model.Reference || f.Attributes[a.Name] == "" {
			continue
		}
		for _, id := range a.Each(f.Attributes[a.Name]) {
			if to := p.current(id); to != nil && to.Tenant != "" && to.Tenant != f.Tenant && f.Tenant != "" && f.Tenant != tenancy.City {
				p.fail(d, attrPrefix+a.Name, "item %q is of tenant %q: want one of tenant %q or a shared one", to.ID, to.Tenant, f.Tenant)
			}
		}
	}
}

// checkUnique makes sure that after the change no two items share a name
// within class and tenant, or an address within a zone.
func (p *planner) checkUnique(ctx context.Context) error {
	names := make(map[identityKey]*draft, len(p.drafts))
	addresses := make(map[addressKey]*draft, len(p.drafts))
	var wanted []addressKey
	var unread []string // identities that were not looked for beforehand
	taken := func(d *draft, column, what string, holder *Item, facts reach.Facts) {
		if !p.within.Match(facts) {
			p.fail(d, column, "%s is taken by an item outside of your reach", what)
			return
		}
		p.fail(d, column, "%s is taken by %s %q (%s)", what, holder.Class, holder.Name, holder.ID)
	}
	checkName := func(d *draft, holder *Item, facts reach.Facts) {
		// A holder in the file goes by its name there.
		if !d.bad && holder.ID != d.final.ID && p.byID[holder.ID] == nil {
			taken(d, colName, keyText(d.class, holder.identity), holder, facts)
		}
	}
	for _, d := range p.drafts {
		if d.bad {
			continue
		}
		f := &d.final
		k := identityKey{f.Class, f.Tenant, f.identity}
		if other := names[k]; other != nil {
			p.fail(d, colName, "%s is used in %s as well", keyText(d.class, f.identity), other.at())
			continue
		}
		names[k] = d
		switch {
		case p.looked[f.identity]:
			if holder := p.storedKeys[k]; holder != nil {
				checkName(d, holder, p.facts[holder.ID])
			}
		case d.old == nil || d.old.Tenant != f.Tenant || d.old.identity != f.identity:
			unread = append(unread, f.identity)
		}
		for _, a := range f.Addresses {
			k := addressKey{f.Zone, a}
			if other := addresses[k]; other != nil {
				p.fail(d, colAddresses, "address %s in zone %q is used in %s as well", a, f.Zone, other.at())
				continue
			}
			addresses[k] = d
			if d.old == nil || d.old.Zone != f.Zone || !slices.Contains(d.old.Addresses, a) {
				wanted = append(wanted, k)
			}
		}
	}
	if err := selectBy(ctx, p.db, "identity", unread, func(it Item, facts reach.Facts) {
		if d := names[identityKey{it.Class, it.Tenant, it.identity}]; d != nil {
			checkName(d, &it, facts)
		}
	}); err != nil {
		return err
	}

	holding, err := p.holding(ctx, wanted)
	if err != nil {
		return err
	}
	type clash struct {
		d       *draft
		address addressKey
	}
	clashes := map[string][]clash{}
	for _, r := range holding {
		k := addressKey{r.Zone, r.Address}
		// A holder in the file has its addresses as the file says.
		if d := addresses[k]; d != nil && d.final.ID != r.ItemID && p.byID[r.ItemID] == nil {
			clashes[r.ItemID] = append(clashes[r.ItemID], clash{d, k})
		}
	}
	var holders []string
	for id := range clashes {
		holders = append(holders, id)
	}
	return selectBy(ctx, p.db, "id", holders, func(it Item, facts reach.Facts) {
		for _, c := range clashes[it.ID] {
			taken(c.d, colAddresses, fmt.Sprintf("address %s in zone %q", c.address.address, c.address.zone), &it, facts)
		}
	})
}

// holding reads which of some addresses are items' already. They are asked for
// zone by zone, as the index has them: without the zone all addresses of the
// city would be gone through.
func (p *planner) holding(ctx context.Context, wanted []addressKey) ([]addressRow, error) {
	byZone := map[string][]string{}
	for _, k := range wanted {
		byZone[k.zone] = append(byZone[k.zone], k.address)
	}
	var out []addressRow
	for _, zone := range slices.Sorted(maps.Keys(byZone)) {
		list := byZone[zone]
		slices.Sort(list)
		for part := range slices.Chunk(list, chunk) {
			var rows []addressRow
			if err := p.db.NewSelect().Model(&rows).Where("a.zone = ? AND a.address IN (?)", zone, bun.In(part)).Scan(ctx); err != nil {
				return nil, fmt.Errorf("cmdb: look up addresses: %w", err)
			}
			out = append(out, rows...)
		}
	}
	return out, nil
}

// checkTree refuses organisations that are their own superiors.
func (p *planner) checkTree(ctx context.Context) error {
	touched := false
	for _, d := range p.drafts {
		touched = touched || d.want.Class == Organisation && d.final.Organisation != "" && (d.old == nil || d.old.Organisation != d.final.Organisation)
	}
	if !touched {
		return nil
	}
	var rows []itemRow
	err := p.db.NewSelect().Model(&rows).Column("id", "organisation_id").Where("i.class = ?", Organisation).Scan(ctx)
	if err != nil {
		return fmt.Errorf("cmdb: read the tree of organisations: %w", err)
	}
	parent := make(map[string]string, len(rows))
	for _, r := range rows {
		parent[r.ID] = r.OrganisationID
	}
	for _, d := range p.drafts {
		if d.want.Class == Organisation {
			parent[d.final.ID] = d.final.Organisation
		}
	}
	// Each organisation is walked once: those below a safe one are safe.
	safe := make(map[string]bool, len(parent))
	for _, d := range p.drafts {
		if d.want.Class != Organisation {
			continue
		}
		path := map[string]bool{}
		id := d.final.ID
		for id != "" && !safe[id] && !path[id] {
			path[id] = true
			id = parent[id]
		}
		if id != "" && path[id] {
			p.fail(d, colOrganisation, "the organisation would be its own superior")
			continue
		}
		for k := range path {
			safe[k] = true
		}
	}
	return nil
}
