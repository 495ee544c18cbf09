package centre

import "icewatch/soc/reach"

// refreshReach puts the tenants there are now in force for data scopes.
func (c *centre) refreshReach() {
	list := c.tenants.List()
	tenants := make([]reach.Tenant, len(list))
	for i, t := range list {
		tenants[i] = reach.Tenant{Slug: t.Slug, Unit: t.Unit, Region: t.Region, Industry: t.Industry, Labels: t.Labels}
	}
	c.reach.SetDirectory(reach.NewDirectory(tenants, nil))
}
