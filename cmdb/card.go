package cmdb

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"icewatch/soc/reach"
)

// relationLimit is how many members Relations names.
const relationLimit = 200

// Card returns an item in reach with what it belongs to. The business system
// and the organisation are named even where only the item is in reach: they are
// part of what the item is.
func (s *Service) Card(ctx context.Context, r reach.Reach, id string) (Card, error) {
	row, err := getRow(ctx, s.db, r, id)
	if err != nil {
		return Card{}, err
	}
	it, err := row.item()
	if err != nil {
		return Card{}, err
	}
	c := Card{Item: it, Owner: it.Owner, Facts: row.Kept}
	organisation := it.Organisation
	switch {
	case it.Class == BusinessSystem:
		c.System = refOf(&it)
	case it.System != "":
		sys, err := get(ctx, s.db, reach.All(), it.System)
		if err != nil {
			return Card{}, fmt.Errorf("cmdb: system of %q: %w", id, err)
		}
		c.System = refOf(&sys)
		if c.Owner == "" {
			c.Owner = sys.Owner
		}
		if organisation == "" {
			organisation = sys.Organisation
		}
	}
	switch {
	case organisation != "":
		org, err := get(ctx, s.db, reach.All(), organisation)
		if err != nil {
			return Card{}, fmt.Errorf("cmdb: organisation of %q: %w", id, err)
		}
		c.Organisation = refOf(&org)
	case it.Class == Organisation:
		c.Organisation = refOf(&it)
	}
	if t, ok := s.tenants.Get(it.Tenant); ok {
		c.Tenant = &TenantRef{Slug: t.Slug, Name: t.Name, ProtectionLevel: t.ProtectionLevel}
	}
	return c, nil
}

// Relations returns the items around one: what it belongs to, and those in
// reach that belong to it.
func (s *Service) Relations(ctx context.Context, r reach.Reach, id string) (Relations, error) {
	card, err := s.Card(ctx, r, id)
	if err != nil {
		return Relations{}, err
	}
	out := Relations{Members: []Ref{}, Counts: map[string]int{}}
	if card.System != nil && card.System.ID != id {
		out.System = card.System
	}
	if card.Organisation != nil && card.Organisation.ID != id {
		out.Organisation = card.Organisation
	}
	members := func(q *bun.SelectQuery) *bun.SelectQuery {
		return r.Within(q, "i").WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("i.system_id = ?", id).WhereOr("i.organisation_id = ?", id)
		})
	}
	var rows []itemRow
	if err := members(s.db.NewSelect().Model(&rows)).Order("i.class", "i.name", "i.id").Limit(relationLimit).Scan(ctx); err != nil {
		return Relations{}, fmt.Errorf("cmdb: members of %q: %w", id, err)
	}
	list, err := items(rows)
	if err != nil {
		return Relations{}, err
	}
	for i := range list {
		out.Members = append(out.Members, *refOf(&list[i]))
	}
	var counts []struct {
		Class string `bun:"class"`
		N     int    `bun:"n"`
	}
	err = members(s.db.NewSelect().Model((*itemRow)(nil)).ColumnExpr("i.class AS class, count(*) AS n")).Group("i.class").Scan(ctx, &counts)
	if err != nil {
		return Relations{}, fmt.Errorf("cmdb: count the members of %q: %w", id, err)
	}
	for _, c := range counts {
		out.Counts[c.Class] = c.N
	}
	return out, nil
}

func refOf(it *Item) *Ref {
	return &Ref{ID: it.ID, Class: it.Class, Name: it.Name, Criticality: it.Criticality, Owner: it.Owner}
}
