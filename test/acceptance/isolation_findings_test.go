package acceptance

import (
	"bytes"
	"maps"
	"net/http"
	"net/url"

	"icewatch/soc/client"
)

// weaken gives each host a finding, by who sees them all: a report for each zone.
func (c *city) weaken(hosts map[string][]string) {
	c.t.Helper()
	ctx := c.t.Context()
	known := map[string]bool{}
	for _, ids := range hosts {
		for _, id := range ids {
			known[id] = true
		}
	}
	var list struct {
		Items []struct {
			ID, Zone  string
			Addresses []string
		}
	}
	if err := c.admin.Get(ctx, "/api/v1/cmdb/items", url.Values{"class": {"host"}, "limit": {"1000"}}, &list); err != nil {
		c.t.Fatal(err)
	}
	reports := map[string]string{}
	for _, it := range list.Items {
		if known[it.ID] && len(it.Addresses) > 0 {
			reports[it.Zone] += it.Addresses[0] + ",Weak password,high,22\n"
			delete(known, it.ID)
		}
	}
	if len(known) > 0 {
		c.t.Fatalf("%d hosts have no address", len(known))
	}
	for zone, rows := range reports {
		q := url.Values{"format": {"csv"}, "zone": {zone}, "engine": {"isolation"}}
		body := bytes.NewReader([]byte("ip,title,severity,port\n" + rows))
		if err := c.admin.Send(ctx, http.MethodPost, "/api/v1/finding-imports", q, http.Header{"Content-Type": {"application/octet-stream"}}, body, nil); err != nil {
			c.t.Fatal(err)
		}
	}
}

// compareFindings holds the findings against the hosts that a viewer may see.
func (c *city) compareFindings(viewer *client.Client, hosts map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	var list struct {
		Items []struct{ ID, Item string }
	}
	if err := viewer.Get(ctx, "/api/v1/findings", url.Values{"engine": {"isolation"}, "limit": {"1000"}}, &list); err != nil {
		wrong("the findings", err, nil)
	}
	seen := map[string]bool{}
	for _, f := range list.Items {
		seen[f.Item] = true
	}
	if !maps.Equal(seen, hosts) {
		wrong("the items of findings", sorted(seen), sorted(hosts))
	}
	var figures struct {
		Engines map[string]int
	}
	if err := viewer.Get(ctx, "/api/v1/finding-figures", nil, &figures); err != nil || figures.Engines["isolation"] != len(hosts) {
		wrong("the figures of findings", figures.Engines["isolation"], len(hosts))
	}
}
