package centre

import (
	"context"
	"errors"

	"icewatch/cmdb"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
)

// items reads the CMDB for ticketing.
type items struct{ *cmdb.Service }

// Item implements ticketing.Items.
func (i items) Item(ctx context.Context, id string) (enrich.Item, bool, error) {
	card, err := i.Card(ctx, reach.All(), id)
	if errors.Is(err, cmdb.ErrNotFound) {
		return enrich.Item{}, false, nil
	}
	if err != nil {
		return enrich.Item{}, false, err
	}
	it := card.Item
	out := enrich.Item{ID: it.ID, Class: it.Class, Name: it.Name, Tenant: it.Tenant, Zone: it.Zone, Addresses: it.Addresses,
		Hostnames: it.Hostnames, Criticality: it.Criticality, Owner: it.Owner, Labels: it.Labels, SystemID: it.System,
		Unit: card.Facts.Unit, Region: card.Facts.Region, Industry: card.Facts.Industry, ReachLabels: card.Facts.Labels}
	if card.System != nil {
		out.SystemName = card.System.Name
	}
	return out, true, nil
}
