package centre

import (
	"context"
	"net/netip"
	"strings"

	"icewatch/collectors/webbody"
	"icewatch/soc/alertmanager"
	"icewatch/soc/api"
	"icewatch/soc/enrich"
	"icewatch/soc/event"
	"icewatch/soc/tenancy"
	"icewatch/ticketing"
)

// openAlertmanager opens the API that Alertmanager's clients speak.
func (c *centre) openAlertmanager(ctx context.Context) (err error) {
	cfg, err := ticketingConfig(c.Config)
	if err != nil {
		return err
	}
	cfg = cfg.WithDefaults()
	names := event.NewRegistry(1) // of the fields that enrichment adds
	c.alertmanager, err = alertmanager.New(ctx, c.db, alertmanager.Deps{
		Caller: api.ProtocolCaller{}, Tickets: c.tickets, Routes: c.routes, Place: func(tenant string, fields map[string]string) string { return c.place(names, tenant, fields) }, ExternalURL: cfg.ExternalURL, GroupInterval: cfg.GroupInterval, Version: c.Version, Log: c.log,
		Limits: webbody.Limits{MaxBody: int(c.Config.HTTP.MaxBody), MaxDecoded: int(c.Config.HTTP.MaxUnpacked)}})
	if err != nil {
		return err
	}
	c.background(c.alertmanager.Run)
	return nil
}

// place adds what the CMDB knows of the item that the fields of an alert name,
// and tells whose alert it is.
func (c *centre) place(names *event.Registry, tenant string, fields map[string]string) string {
	return c.placeIn(names, tenant, "", fields["host.name"], fields["host.ip"], fields)
}

// placeIn adds to fields what the CMDB knows of the item of a host in a network
// zone, as the pipeline does for events, and tells whose alert it is.
func (c *centre) placeIn(names *event.Registry, tenant, zone, host, ip string, fields map[string]string) string {
	addr, _ := netip.ParseAddr(ip)
	x := c.assets.Load()
	if x != nil && tenant == "" {
		tenant, _ = x.Tenant(zone, addr, host)
	}
	if tenant == "" {
		tenant = tenancy.Unassigned
	}
	if x == nil {
		return tenant
	}
	if it := c.named(tenant, host, fields); it != nil {
		c.called.tell(fields, it, tenant)
		return ticketing.Home(tenant, fields)
	}
	ev := event.Event{Tenant: tenant}
	for id, value := range map[event.FieldID]string{event.Zone: zone, event.HostName: host, event.SourceIP: fields["source.ip"], event.DestIP: fields["destination.ip"]} {
		if value != "" {
			ev.Add(id, value)
		}
	}
	if addr.IsValid() {
		ev.Add(event.HostIP, ip)
	}
	given := len(ev.Fields)
	x.Apply(&ev)
	added := map[event.FieldID][]string{}
	for _, f := range ev.Fields[given:] {
		added[f.ID] = append(added[f.ID], f.Value)
	}
	for id, values := range added {
		fields[names.Name(id)] = strings.Join(values, ",")
	}
	return ticketing.Home(tenant, fields)
}

// named is the item that an alert names itself: by its id or its name in a label
// of its own, or where no host of that name is known, as its host.
func (c *centre) named(tenant, host string, fields map[string]string) *enrich.Item {
	if name := fields[alertmanager.FieldItem]; name != "" {
		return c.called.find(context.Background(), tenant, name)
	}
	if host == "" || c.assets.Load().Named(host, tenant) {
		return nil
	}
	return c.called.find(context.Background(), tenant, host)
}
