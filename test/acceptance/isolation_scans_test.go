package acceptance

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"icewatch/soc/client"
)

// scanned gives each tenant a range that a second person approved, a task, a scan that
// waits for a scanner, an engine, and a work order of its first host's finding.
func (c *city) scanned(slugs []string, hosts map[string][]string) {
	c.t.Helper()
	ctx := context.Background()
	c.person("approver", "admin")
	sess, err := c.admin.Login(ctx, "approver", "Own-Word-2026-approver")
	if err != nil {
		c.t.Fatal(err)
	}
	approver := c.admin.With(sess.Token, "")
	c.orders = map[string]string{}
	for _, slug := range slugs {
		var asked, task struct{ ID string }
		c.must(http.MethodPost, "/api/v1/scan-ranges", map[string]any{"tenant": slug, "cidr": "192.0.2.0/24", "reason": "isolation", "days": 1}, &asked)
		if err := approver.JSON(ctx, http.MethodPost, "/api/v1/scan-ranges/"+asked.ID+"/approve", nil, map[string]any{}, nil); err != nil {
			c.t.Fatal(err)
		}
		c.must(http.MethodPost, "/api/v1/scan-tasks", map[string]any{"tenant": slug, "name": "scan of " + slug, "kind": "discover"}, &task)
		c.must(http.MethodPost, "/api/v1/scan-tasks/"+task.ID+"/start", map[string]any{}, nil)
		c.must(http.MethodPost, "/api/v1/scan-engines", map[string]any{"tenant": slug, "name": "engine of " + slug, "kind": "nessus", "url": "https://127.0.0.1:1", "user": "a", "secret": "b"}, nil)
		var found struct{ Items []struct{ ID string } }
		host := hosts[slug][0]
		if err := c.admin.Get(ctx, "/api/v1/findings", url.Values{"engine": {"isolation"}, "item": {host}}, &found); err != nil || len(found.Items) == 0 {
			c.t.Fatalf("the finding of %s: %v, %v", host, found, err)
		}
		var order struct{ ID string }
		c.must(http.MethodPost, "/api/v1/finding-orders", map[string]any{"ids": []string{found.Items[0].ID}}, &order)
		c.orders[order.ID] = host
	}
}

// compareScans holds what is scanned, and the work orders of findings, against the tenants
// that lie wholly within what a viewer may see, and the hosts that he sees.
func (c *city) compareScans(viewer *client.Client, hosts map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	want, _ := c.wholly()
	for _, path := range []string{"scan-ranges", "scan-tasks", "scan-runs", "scan-engines"} {
		var page struct{ Items []struct{ Tenant string } }
		if err := viewer.Get(ctx, "/api/v1/"+path, url.Values{"limit": {"1000"}}, &page); err != nil {
			c.t.Fatal(err)
		}
		got := map[string]bool{}
		for _, x := range page.Items {
			got[x.Tenant] = true
		}
		if !maps.Equal(got, want) {
			wrong("the "+path, sorted(got), sorted(want))
		}
	}
	// What no scanner and no agent told yet: whatever there is, is of these tenants.
	for _, path := range []string{"surface/hosts", "surface/changes", "inventory-judgement", "scanners"} {
		var page struct{ Items []struct{ Tenant string } }
		if err := viewer.Get(ctx, "/api/v1/"+path, nil, &page); err != nil {
			c.t.Fatal(err)
		}
		for _, x := range page.Items {
			if !want[x.Tenant] {
				wrong("the "+path, x.Tenant, sorted(want))
			}
		}
	}
	var page struct{ Items []struct{ ID string } }
	if err := viewer.Get(ctx, "/api/v1/finding-orders", url.Values{"limit": {"1000"}}, &page); err != nil {
		c.t.Fatal(err)
	}
	got, orders := map[string]bool{}, map[string]bool{}
	for _, x := range page.Items {
		got[x.ID] = true
	}
	for id, host := range c.orders {
		if hosts[host] {
			orders[id] = true
		}
	}
	if !maps.Equal(got, orders) {
		wrong("the work orders of findings", sorted(got), sorted(orders))
	}
}

// compareThreats holds the views of threats against the alerts that a viewer sees: none
// is about more, or about a tenant of none of them.
func (c *city) compareThreats(alerts []alert, visible map[string]bool, get func(string, url.Values, any), wrong func(what string, got, want any)) {
	c.t.Helper()
	var tenants []string
	for _, a := range alerts {
		if visible[a.ID] {
			tenants = append(tenants, a.Tenant)
		}
	}
	var views struct {
		Items []struct {
			View   string
			Alerts int
		}
	}
	get("/api/v1/threats", nil, &views)
	if len(views.Items) == 0 {
		wrong("the views of threats", 0, "some")
	}
	for _, v := range views.Items {
		if v.Alerts > len(tenants) {
			wrong("the alerts of the view "+v.View, v.Alerts, len(tenants))
		}
		if v.Alerts == 0 {
			continue
		}
		var one struct{ Tenants []struct{ Value string } }
		get("/api/v1/threats/"+v.View, nil, &one)
		for _, x := range one.Tenants {
			if !slices.Contains(tenants, x.Value) {
				wrong("a tenant of the view "+v.View, x.Value, tenants)
			}
		}
	}
}
