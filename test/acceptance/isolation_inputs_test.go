package acceptance

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"icewatch/soc/client"
	"icewatch/soc/reach"
)

// connect adds an input for each tenant, and one for all. Nobody answers it, which
// is refused at once: an alarm of each is among the alerts before they are compared.
func (c *city) connect(slugs []string) {
	c.t.Helper()
	for _, slug := range append([]string{""}, slugs...) {
		in := map[string]any{"name": "stream of " + slug, "kind": "kafka", "tenant": slug, "enabled": true,
			"settings": map[string]any{"brokers": []string{"127.0.0.1:1"}, "topics": []string{"logs"}, "group": "icewatch"}}
		if err := c.admin.JSON(c.t.Context(), http.MethodPost, "/api/v1/inputs", nil, in, nil); err != nil {
			c.t.Fatal(err)
		}
		if slug == "" {
			continue
		}
		for path, in := range map[string]map[string]any{
			"groups":         {"tenant": slug, "name": "group of " + slug},
			"profiles":       {"tenant": slug, "name": "profile of " + slug},
			"configurations": {"tenant": slug, "name": "configuration of " + slug, "selector": map[string]any{"everybody": true}},
			"tasks":          {"tenant": slug, "name": "task of " + slug, "template": "linux-host", "selector": map[string]any{"everybody": true}},
			"thresholds":     {"tenant": slug, "name": "rule of " + slug, "of": "host", "resource": "cpu", "above": 90, "minutes": 5, "selector": map[string]any{"everybody": true}},
		} {
			c.must(http.MethodPost, "/api/v1/fleet/"+path, in, nil)
		}
	}
}

// wholly is which of the test's tenants lie wholly within what the viewer may see, and
// whether everything does.
func (c *city) wholly() (whole map[string]bool, everything bool) {
	c.t.Helper()
	var preview struct {
		Everything bool
		Tenants    []struct{ Slug, Coverage string }
	}
	if err := c.admin.Get(c.t.Context(), "/api/v1/reach/preview", url.Values{"user": {"scoped"}}, &preview); err != nil {
		c.t.Fatal(err)
	}
	whole = map[string]bool{}
	for _, t := range preview.Tenants {
		// Catalogued tenants beside those of the test have nothing.
		if t.Coverage == "whole" && slices.ContainsFunc(c.town.Tenants, func(x reach.Tenant) bool { return x.Slug == t.Slug }) {
			whole[t.Slug] = true
		}
	}
	return whole, preview.Everything
}

// compareInputs holds the sources that a viewer sees against the tenants that
// lie wholly within what he may see. Their settings are for administrators.
func (c *city) compareInputs(viewer *client.Client, wrong func(string, any, any)) {
	c.t.Helper()
	ctx := c.t.Context()
	want, everything := c.wholly()
	got := map[string]bool{}
	var page struct {
		Items []struct{ Input, Tenant string }
	}
	if err := viewer.Get(ctx, "/api/v1/sources", nil, &page); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range page.Items {
		if !everything && (s.Input == "" || s.Tenant == "") {
			wrong("a source that all share", s, nil)
		}
		if s.Input != "" && s.Tenant != "" {
			got[s.Tenant] = true
		}
	}
	if !maps.Equal(got, want) {
		wrong("the inputs among the sources", sorted(got), sorted(want))
	}
	// What the fleet of agents is told, and its operation log.
	for _, path := range []string{"groups", "profiles", "configurations", "tasks", "thresholds", "operations"} {
		var page struct{ Items []struct{ Tenant string } }
		if err := viewer.Get(ctx, "/api/v1/fleet/"+path, url.Values{"limit": {"1000"}}, &page); err != nil {
			c.t.Fatal(err)
		}
		got := map[string]bool{}
		for _, x := range page.Items {
			got[x.Tenant] = true
		}
		if !maps.Equal(got, want) {
			wrong("the "+path+" of the fleet", sorted(got), sorted(want))
		}
	}
	for _, path := range []string{"/api/v1/fleet/tokens", "/api/v1/fleet/deployments", "/api/v1/fleet/host-keys", "/api/v1/inputs", "/api/v1/inputs/kinds", "/api/v1/inputs/export", "/api/v1/parsers/own"} {
		resp, err := viewer.Do(ctx, http.MethodGet, path, nil, nil, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			wrong(path, resp.StatusCode, http.StatusForbidden)
		}
	}
}
