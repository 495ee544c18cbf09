package centre

import (
	"context"

	"icewatch/cmdb"
	"icewatch/soc/exposure/installed"
	"icewatch/soc/exposure/version"
	"icewatch/soc/reach"
)

// versioned are the classes of the CMDB whose items have a product and a version.
var versioned = []string{"database", "middleware"}

// openInstalled opens what judges inventories by the library of vulnerabilities.
func (c *centre) openInstalled(ctx context.Context) (err error) {
	c.exposure.installed, err = installed.Open(ctx, c.cmdb.Database(), installed.Deps{Hosts: c.inventoried, Inventory: c.inventoryOf, Products: c.productsKnown, Library: c.exposure.library, Findings: c.exposure.findings, Log: c.log})
	if err != nil {
		return err
	}
	c.background(c.exposure.installed.Run)
	return nil
}

// inventoried lists the hosts whose agents sent an inventory.
func (c *centre) inventoried(ctx context.Context) ([]installed.Host, error) {
	list, err := c.fleet.Inventories(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]installed.Host, 0, len(list))
	for _, x := range list {
		a := &x.Agent
		h := installed.Host{ID: a.ID, Tenant: a.Tenant, Item: a.Item, Name: a.Name, Zone: c.Config.Agents.Zone, System: version.System{Platform: a.Facts.Platform, Release: a.Facts.Release}, Kernel: a.Facts.Kernel, Taken: x.Taken}
		if len(a.Facts.Addresses) > 0 {
			h.Address = a.Facts.Addresses[0]
		}
		out = append(out, h)
	}
	return out, nil
}

func (c *centre) inventoryOf(ctx context.Context, host string) (installed.Inventory, error) {
	inv, err := c.fleet.ReadInventory(ctx, host)
	if err != nil {
		return installed.Inventory{}, err
	}
	out := installed.Inventory{Packages: make([]version.Package, 0, len(inv.Packages)), Baseline: inv.Baseline}
	for _, p := range inv.Packages {
		out.Packages = append(out.Packages, version.Package{Name: p.Name, Version: p.Version, Arch: p.Arch, Source: p.SourcePackage, SourceVersion: p.SourceVersion})
	}
	return out, nil
}

// productsKnown lists the databases and middleware of the CMDB.
func (c *centre) productsKnown(ctx context.Context) ([]installed.Product, error) {
	var out []installed.Product
	f := cmdb.Filter{Classes: versioned, Limit: 1000}
	for {
		page, err := c.cmdb.Items(ctx, reach.All(), f)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			it := &page.Items[i]
			if it.Attributes["product"] != "" && it.Attributes["version"] != "" {
				out = append(out, installed.Product{Item: it.ID, Tenant: it.Tenant, Name: it.Name, Host: it.Attributes["host"], Vendor: it.Attributes["vendor"], Product: it.Attributes["product"], Version: it.Attributes["version"]})
			}
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return out, nil
		}
	}
}
