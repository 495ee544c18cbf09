package acceptance

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"icewatch/soc/client"
)

// weaken gives each host a finding, by who sees them all: a report that names them.
func (c *city) weaken(hosts map[string][]string) {
	c.t.Helper()
	report := "host,title,severity,port\n"
	for _, ids := range hosts {
		for _, id := range ids {
			report += id + ",Weak password,high,22\n"
		}
	}
	q := url.Values{"format": {"csv"}, "engine": {"isolation"}}
	if err := c.admin.Send(c.t.Context(), http.MethodPost, "/api/v1/finding-imports", q, http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(report), nil); err != nil {
		c.t.Fatal(err)
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
		Engines  map[string]int
		Counting int
	}
	if err := viewer.Get(ctx, "/api/v1/finding-figures", nil, &figures); err != nil || figures.Engines["isolation"] != len(hosts) {
		wrong("the figures of findings", figures.Engines["isolation"], len(hosts))
	}
	// Each host has one finding that counts, whichever unit it is of.
	var units struct{ Items []struct{ Counting int } }
	if err := viewer.Get(ctx, "/api/v1/finding-figures/units", nil, &units); err != nil {
		wrong("the progress of units", err, nil)
	}
	counting := 0
	for _, u := range units.Items {
		counting += u.Counting
	}
	if counting != figures.Counting || counting < len(hosts) {
		wrong("the findings of units", counting, figures.Counting)
	}
}
