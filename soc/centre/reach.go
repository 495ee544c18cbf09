package centre

import (
	"fmt"

	"icewatch/soc/reach"
)

// refreshReach puts the tenants and units there are now in force for data scopes.
func (c *centre) refreshReach() {
	list := c.tenants.List()
	tenants := make([]reach.Tenant, len(list))
	for i, t := range list {
		tenants[i] = reach.Tenant{Slug: t.Slug, Unit: t.Unit, Region: t.Region, Industry: t.Industry, Labels: t.Labels}
	}
	tree := c.units.Tree().All()
	units := make([]reach.Unit, len(tree))
	for i, u := range tree {
		units[i] = reach.Unit{ID: u.ID, Parent: u.Parent, Code: u.Code, Names: []string{u.Name.ZH, u.Name.EN}, Region: u.Region, Industry: u.Industry}
	}
	var removed []string
	for _, t := range c.tenants.Removed() {
		removed = append(removed, t.Slug)
	}
	c.reach.SetDirectory(reach.NewDirectory(tenants, units).WithRemoved(removed...))
}

// tenantOf says which tenant belongs to the unit, "" where none does.
func (c *centre) tenantOf(unit string) string {
	for _, t := range c.tenants.List() {
		if t.Unit == unit {
			return fmt.Sprintf("the tenant %s belongs to it", t.Slug)
		}
	}
	return ""
}
