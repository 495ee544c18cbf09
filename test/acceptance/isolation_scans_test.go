package acceptance

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"icewatch/collectors/agent/link"
	"icewatch/collectors/agent/queue"
	fleet "icewatch/collectors/fleet/wire"
	"icewatch/collectors/scanner/wire"
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
		c.must(http.MethodPost, "/api/v1/scan-tasks", map[string]any{"tenant": slug, "name": "scan of " + slug, "kind": "discover", "unknown": "none"}, &task)
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
		c.saw(slug)
	}
}

// waitScanned waits until each tenant has a host, what is new of it, a scanner and a
// product that was judged.
func (c *city) waitScanned(slugs []string) {
	c.t.Helper()
	for _, path := range []string{"scanners", "surface/hosts", "surface/changes", "inventory-judgement"} {
		eventually(c.t, time.Minute, path, func() error {
			var page struct{ Items []struct{ Tenant string } }
			err := c.admin.Get(c.t.Context(), "/api/v1/"+path, nil, &page)
			if err == nil && len(page.Items) != len(slugs) {
				err = fmt.Errorf("%d of %d", len(page.Items), len(slugs))
			}
			return err
		})
	}
}

// saw enrols a scanner of a tenant, which ends the scan that waits with a host that
// nobody knows.
func (c *city) saw(slug string) {
	c.t.Helper()
	ctx, quiet, dir := c.t.Context(), slog.New(slog.DiscardHandler), c.t.TempDir()
	var made struct{ Token string }
	c.must(http.MethodPost, "/api/v1/scanner-tokens", map[string]any{"tenant": slug}, &made)
	id, err := link.Enrol(ctx, dir, made.Token, fleet.Facts{Hostname: "scanner-" + slug, OS: "linux"}, "1.0", false)
	if err != nil {
		c.t.Fatal(err)
	}
	scanner, err := link.NewClient(dir, id, quiet)
	if err != nil {
		c.t.Fatal(err)
	}
	checkin := wire.Checkin{Version: "1.0", State: fleet.StateHealthy}
	var orders wire.Orders
	if err := scanner.Call(ctx, wire.PathCheckin, checkin, &orders); err != nil || len(orders.Runs) != 1 {
		c.t.Fatalf("the orders of %s: %+v, %v", slug, orders, err)
	}
	run, now := orders.Runs[0].ID, time.Now().UnixMilli()
	body, err := wire.Pack([]wire.Result{
		{Run: run, Seq: 1, Kind: wire.KindHost, At: now, Host: &wire.Host{Address: "192.0.2.10", Found: []string{wire.ProbePing}}},
		{Run: run, Seq: 2, Kind: wire.KindEnd, At: now, End: &wire.End{State: wire.EndDone}}})
	if err != nil {
		c.t.Fatal(err)
	}
	q, err := queue.Open(filepath.Join(dir, "queue"), queue.Options{MaxBytes: 1 << 20})
	if err != nil {
		c.t.Fatal(err)
	}
	defer q.Close()
	if err := q.Append(body, 2); err != nil {
		c.t.Fatal(err)
	}
	feed := &link.Feed{Queue: q, Path: wire.PathResults, Type: wire.TypeResults, Encoding: wire.EncodingResults}
	sending, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { scanner.Send(sending, feed) })
	defer work.Wait()
	defer stop()
	eventually(c.t, 30*time.Second, "the results of "+slug, func() error {
		if sent, refused := feed.Sent(); sent != 2 || refused != 0 {
			return fmt.Errorf("%d sent, %d refused: %s", sent, refused, feed.Trouble())
		}
		return nil
	})
	// One that falls silent would be told of while alerts are counted.
	stay, leave := context.WithCancel(context.Background())
	var still sync.WaitGroup
	still.Go(func() {
		defer scanner.Close()
		for stay.Err() == nil {
			_ = scanner.Call(stay, wire.PathCheckin, checkin, &wire.Orders{})
			select {
			case <-stay.Done():
			case <-time.After(5 * time.Second):
			}
		}
	})
	c.t.Cleanup(func() { leave(); still.Wait() })
}

// compareScans holds what is scanned, and the work orders of findings, against the tenants
// that lie wholly within what a viewer may see, and the hosts that he sees.
func (c *city) compareScans(viewer *client.Client, hosts map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	want, _ := c.wholly()
	for _, path := range []string{"scan-ranges", "scan-tasks", "scan-runs", "scan-engines", "scanners", "surface/hosts", "surface/changes", "inventory-judgement"} {
		limit := url.Values{"limit": {"1000"}}
		if path == "inventory-judgement" || path == "scanners" {
			limit = nil
		}
		var page struct{ Items []struct{ Tenant string } }
		if err := viewer.Get(ctx, "/api/v1/"+path, limit, &page); err != nil {
			c.t.Fatal(path, err)
		}
		got := map[string]bool{}
		for _, x := range page.Items {
			got[x.Tenant] = true
		}
		if !maps.Equal(got, want) {
			wrong("the "+path, sorted(got), sorted(want))
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
