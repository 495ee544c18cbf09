package acceptance

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"icewatch/soc/client"
	"icewatch/soc/reach"
)

// compareEntities holds the pages of entities to what the viewer may see: events,
// alerts, items and judgements.
func (c *city) compareEntities(rnd *rand.Rand, viewer *client.Client, shows func(reach.Facts) bool, visible map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	get := func(as *client.Client, typ, part, value string, out any) error {
		q := url.Values{"value": {value}}
		if part != "head" && part != "judgements" {
			q.Set("since", "24h")
		}
		return as.Get(ctx, "/api/v1/entities/"+typ+"/"+part, q, out)
	}
	must := func(as *client.Client, typ, part, value string, out any) {
		c.t.Helper()
		if err := get(as, typ, part, value, out); err != nil {
			c.t.Fatalf("%s of %s %s: %v", part, typ, value, err)
		}
	}

	// Events of an account.
	user, want, hosts := "user-"+strconv.Itoa(rnd.IntN(6)), 0, map[string]bool{}
	for _, r := range c.rows {
		if r.user == user && shows(r.facts) {
			want++
			hosts[r.host] = true
		}
	}
	var b struct {
		Events int
		Facets []struct {
			Field  string
			Values []struct{ Value string }
		}
	}
	must(viewer, "system-user", "behaviour", user, &b)
	if b.Events != want {
		wrong("the behaviour of "+user, b.Events, want)
	}
	for _, f := range b.Facets {
		for _, v := range f.Values {
			if f.Field == "host.name" && !hosts[v.Value] {
				wrong("the hosts of "+user, v.Value, sorted(hosts))
			}
		}
	}
	var s struct{ Events int }
	if must(viewer, "app-user", "seen", user, &s); s.Events != want {
		wrong("when "+user+" was seen", s.Events, want)
	}
	var h struct {
		Names []struct{ Field, Value string }
	}
	must(viewer, "system-user", "history", user, &h)
	for _, n := range h.Names {
		if n.Field == "host.name" && !hosts[n.Value] {
			wrong("the history of "+user, n.Value, sorted(hosts))
		}
	}

	// Alerts about an account and a host: of what everybody's alerts are, those in reach.
	for _, of := range [][2]string{{"system-user", user}, {"device", c.rows[rnd.IntN(len(c.rows))].host}} {
		ids := func(as *client.Client) map[string]bool {
			var page struct{ Items []alert }
			q := url.Values{"value": {of[1]}, "since": {"24h"}, "limit": {"1000"}}
			if err := as.Get(ctx, "/api/v1/entities/"+of[0]+"/alerts", q, &page); err != nil {
				c.t.Fatal(err)
			}
			out := map[string]bool{}
			for _, a := range page.Items {
				out[a.ID] = true
			}
			return out
		}
		all, got := ids(c.admin), ids(viewer)
		maps.DeleteFunc(all, func(id string, _ bool) bool { return !visible[id] })
		if !maps.Equal(all, got) {
			wrong("alerts about "+of[0]+" "+of[1], sorted(got), sorted(all))
		}
		var p struct {
			Alerts int
			Chain  []struct{ ID string }
		}
		must(viewer, of[0], "portrait", of[1], &p)
		if p.Alerts != len(all) {
			wrong("the portrait of "+of[1], p.Alerts, len(all))
		}
		for _, l := range p.Chain {
			if !visible[l.ID] {
				wrong("the chain of "+of[1], l.ID, "what is in reach")
			}
		}
	}

	// An item is there for those who may see it.
	ids := slices.Sorted(maps.Keys(c.items))
	for range 5 {
		id := ids[rnd.IntN(len(ids))]
		if c.class[id] == "organisation" { // which has a page of another kind
			continue
		}
		var head struct{ Items []struct{ ID string } }
		err := get(viewer, "asset", "head", id, &head)
		if shown := err == nil && len(head.Items) == 1; shown != shows(c.items[id]) {
			wrong("the page of the asset "+id, shown, shows(c.items[id]))
		}
	}

	// Judgements are a whole tenant's.
	var judged struct {
		Items []struct{ Tenant, Value string }
	}
	must(viewer, "ip", "judgements", judgedAddress, &judged)
	for _, j := range judged.Items {
		if !shows(reach.Facts{Tenant: j.Tenant}) {
			wrong("judgements", j.Tenant, "of tenants in reach")
		}
	}
	if err := viewer.Get(ctx, "/api/v1/entity-judgements", nil, &judged); err != nil {
		c.t.Fatal(err)
	}
	for _, j := range judged.Items {
		if !shows(reach.Facts{Tenant: j.Tenant}) {
			wrong("own intelligence", j.Tenant, "of tenants in reach")
		}
	}
}

// judgedAddress is what every tenant of the test has judged.
const judgedAddress = "203.0.113.250"

// judge has every tenant, and the city, judge one address.
func (c *city) judge() {
	c.t.Helper()
	c.must(http.MethodPost, "/api/v1/entities/ip/judgements", map[string]any{"value": judgedAddress, "conclusion": "attacker", "note": "of the city"}, nil)
	for _, x := range c.town.Tenants {
		c.must(http.MethodPost, "/api/v1/entities/ip/judgements", map[string]any{"value": judgedAddress, "tenant": x.Slug, "conclusion": "suspicious", "note": "of " + x.Slug}, nil)
	}
}
