package acceptance

import (
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"icewatch/soc/client"
)

// handOn has all that happens be told, ordered and disposed of, before anything
// happens: a contact point, a work-order system and a rule.
func (c *city) handOn() {
	c.t.Helper()
	taker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"id": "T-1"}`))
	}))
	c.t.Cleanup(taker.Close)
	c.must(http.MethodPost, "/api/v1/contact-points", map[string]any{"name": "taker", "kind": "webhook", "settings": map[string]any{"url": taker.URL}, "every": true}, nil)
	var made struct{ Connection struct{ ID string } }
	c.must(http.MethodPost, "/api/v1/work-order-connections", map[string]any{"connection": map[string]any{"name": "taker", "enabled": true, "url": taker.URL}, "secrets": map[string]any{}}, &made)
	c.must(http.MethodPost, "/api/v1/disposal-rules", map[string]any{"name": "all", "enabled": true, "on": "incident", "work_order": made.Connection.ID, "tell": map[string]any{"receivers": []string{"taker"}}}, nil)
}

// handled is what was done about the incidents until somebody looks at it.
func (c *city) handled() {
	c.t.Helper()
	all := struct{ Items []alert }{}
	whole := url.Values{"limit": {"1000"}}
	if err := c.admin.Get(c.t.Context(), "/api/v1/incidents", whole, &all); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, time.Minute, "not every incident has its order", func() error {
		var orders struct{ Total int }
		c.must(http.MethodGet, "/api/v1/work-orders", nil, &orders)
		if orders.Total < len(all.Items) {
			return fmt.Errorf("%d of %d", orders.Total, len(all.Items))
		}
		return nil
	})
	for _, i := range all.Items {
		c.must(http.MethodPost, "/api/v1/incidents/"+i.ID+"/comments", map[string]any{"text": "isolation"}, nil)
	}
	for _, x := range c.town.Tenants {
		c.must(http.MethodPost, "/api/v1/notices", map[string]any{"kind": "warning", "name": "of " + x.Slug, "level": "low", "tenants": []string{x.Slug}}, nil)
	}
}

// compareTickets holds what is told of alerts and incidents beside their lists
// against those that the viewer may see.
func (c *city) compareTickets(rnd *rand.Rand, viewer *client.Client, alerts, incidents []alert, visible, seen map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	get := func(path string, query url.Values, out any) {
		c.t.Helper()
		if err := viewer.Get(ctx, path, query, out); err != nil {
			c.t.Fatalf("GET %s %v: %v", path, query, err)
		}
	}
	table := func(path string, query url.Values) (rows int) {
		c.t.Helper()
		resp, err := viewer.Do(ctx, http.MethodGet, path, query, nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		defer resp.Body.Close()
		r := csv.NewReader(resp.Body)
		r.FieldsPerRecord = -1
		records, err := r.ReadAll()
		if err != nil || resp.StatusCode != http.StatusOK {
			c.t.Fatalf("GET %s: %s, %v", path, resp.Status, err)
		}
		return len(records) - 1
	}
	hidden := map[string]bool{} // tenants not all of whose alerts are seen
	for _, a := range alerts {
		hidden[a.Tenant] = hidden[a.Tenant] || !visible[a.ID]
	}
	if n := table("/api/v1/alerts.csv", nil); n != len(visible) {
		wrong("the table of alerts", n, len(visible))
	}
	var compression struct{ Alerts int }
	if get("/api/v1/alerts/compression", url.Values{"days": {"3"}}, &compression); compression.Alerts != len(visible) {
		wrong("the compression", compression.Alerts, len(visible))
	}
	var sla struct {
		Lines []struct {
			Group     string
			Incidents int
		}
	}
	get("/api/v1/sla/report", url.Values{"by": {"priority"}}, &sla)
	if n := len(sla.Lines); n == 0 && len(seen) > 0 || n > 0 && sla.Lines[n-1].Incidents != len(seen) {
		wrong("the report of service levels", sla.Lines, len(seen))
	}
	if n := table("/api/v1/sla/report/export", url.Values{"by": {"priority"}, "format": {"csv"}}); n != len(sla.Lines) {
		wrong("the export of service levels", n, len(sla.Lines))
	}

	// What names an alert or incident names one that is seen, and of those all.
	for _, x := range []struct {
		path, field string
		all         bool // each incident has one
	}{
		{"/api/v1/deliveries", "incident_id", true}, {"/api/v1/notifications", "incident_id", false}, {"/api/v1/work-orders", "object", true},
		{"/api/v1/disposal-records", "object", true}, {"/api/v1/disposals", "object", true}, {"/api/v1/statutory-reports", "incident", false}, {"/api/v1/tasks", "incident", false},
	} {
		var page struct {
			Items []map[string]any
			Total int
		}
		get(x.path, url.Values{"limit": {"1000"}}, &page)
		named := map[string]bool{}
		for _, i := range page.Items {
			id, _ := i[x.field].(string)
			if named[id] = true; id != "" && !seen[id] && !visible[id] {
				wrong(x.path, id, "nothing of it")
			}
		}
		if page.Total > len(page.Items) {
			wrong(x.path+" counts", page.Total, len(page.Items))
		}
		if !x.all {
			continue
		}
		for id := range seen {
			if !named[id] {
				wrong(x.path, sorted(named), "something of "+id)
			}
		}
		if export, ok := map[string]string{"/api/v1/deliveries": "/api/v1/deliveries/export", "/api/v1/work-orders": "/api/v1/work-orders/export", "/api/v1/disposals": "/api/v1/disposals.csv"}[x.path]; ok {
			if n := table(export, url.Values{"format": {"csv"}}); n != page.Total {
				wrong(export, n, page.Total)
			}
		}
		if one, ok := map[string]string{"/api/v1/deliveries": "/api/v1/deliveries/", "/api/v1/work-orders": "/api/v1/work-orders/"}[x.path]; ok {
			var whole struct{ Items []map[string]any }
			if err := c.admin.Get(ctx, x.path, url.Values{"limit": {"1000"}}, &whole); err != nil {
				c.t.Fatal(err)
			}
			for _, i := range whole.Items {
				id, _ := i["id"].(string)
				object, _ := i[x.field].(string)
				if object == "" || rnd.IntN(10) > 0 {
					continue
				}
				if err := viewer.Get(ctx, one+id, nil, nil); (err == nil) != (seen[object] || visible[object]) {
					wrong(one+id, err, seen[object])
				}
			}
		}
	}
	var notices struct {
		Items []struct{ Tenants []string }
	}
	get("/api/v1/notices", url.Values{"limit": {"1000"}}, &notices)
	var board struct{ Total int }
	if get("/api/v1/notices/board", nil, &board); board.Total != len(notices.Items) {
		wrong("the board of notices", board.Total, len(notices.Items))
	}
	for _, n := range notices.Items {
		if slices.ContainsFunc(n.Tenants, func(t string) bool { return hidden[t] }) {
			wrong("a draft for "+strings.Join(n.Tenants, ","), "it is listed", "none")
		}
	}

	// What belongs to an incident is there for those who see it, and no others.
	if len(incidents) == 0 {
		return
	}
	i := incidents[rnd.IntN(len(incidents))]
	want := http.StatusNotFound
	if seen[i.ID] {
		want = http.StatusOK
	}
	for _, part := range []string{"", "/custody", "/evidence", "/moves", "/observables", "/plans", "/regroups", "/review", "/similar", "/statutory", "/tasks", "/report?format=docx", "/escalation", "/event-level"} {
		resp, err := viewer.Do(ctx, http.MethodGet, "/api/v1/incidents/"+i.ID+strings.Split(part, "?")[0], queryOf(part), nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body.Close()
		// There may be none; the chain of custody is for those who handle the incident.
		less := map[string]int{"/review": http.StatusNotFound, "/escalation": http.StatusNotFound, "/custody": http.StatusForbidden}[part]
		if got := resp.StatusCode; got != want && (want != http.StatusOK || got != less) {
			wrong("/incidents/"+i.ID+part, got, want)
		}
	}
	var similar struct{ Items []struct{ ID string } }
	if seen[i.ID] {
		get("/api/v1/incidents/"+i.ID+"/similar", nil, &similar)
	}
	for _, s := range similar.Items {
		if !seen[s.ID] {
			wrong("similar cases of "+i.ID, s.ID, sorted(maps.Clone(seen)))
		}
	}
}

func queryOf(part string) url.Values {
	_, raw, _ := strings.Cut(part, "?")
	q, _ := url.ParseQuery(raw)
	return q
}
