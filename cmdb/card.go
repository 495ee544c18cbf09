package cmdb

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// relationLimit is how many members Relations names.
const relationLimit = 200

// Card returns an item in scope with what it belongs to. The business system
// and the organisation are named even where only the item is in scope: they are
// part of what the item is.
func (s *Service) Card(ctx context.Context, scope Scope, id string) (Card, error) {
	it, err := s.Get(ctx, scope, id)
	if err != nil {
		return Card{}, err
	}
	c := Card{Item: it, Owner: it.Owner}
	organisation := it.Organisation
	switch {
	case it.Class == BusinessSystem:
		c.System = refOf(&it)
	case it.System != "":
		sys, err := get(ctx, s.db, AllTenants(), it.System)
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
		org, err := get(ctx, s.db, AllTenants(), organisation)
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
// scope that belong to it.
func (s *Service) Relations(ctx context.Context, scope Scope, id string) (Relations, error) {
	card, err := s.Card(ctx, scope, id)
	if err != nil {
		return Relations{}, err
	}
	r := Relations{Members: []Ref{}, Counts: map[string]int{}}
	if card.System != nil && card.System.ID != id {
		r.System = card.System
	}
	if card.Organisation != nil && card.Organisation.ID != id {
		r.Organisation = card.Organisation
	}
	members := func(q *bun.SelectQuery) *bun.SelectQuery {
		return scope.within(q, "i.tenant").WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
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
		r.Members = append(r.Members, *refOf(&list[i]))
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
		r.Counts[c.Class] = c.N
	}
	return r, nil
}

func refOf(it *Item) *Ref {
	return &Ref{ID: it.ID, Class: it.Class, Name: it.Name, Criticality: it.Criticality, Owner: it.Owner}
}
