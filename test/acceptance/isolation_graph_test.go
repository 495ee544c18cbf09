package acceptance

import (
	"maps"
	"net/http"

	"icewatch/soc/client"
	"icewatch/soc/reach"
)

// compareGraph holds what an account met on the graph of relations against the
// events of it that a viewer may see, and counts them.
func (c *city) compareGraph(viewer *client.Client, user string, shows func(reach.Facts) bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	want := map[string]int{}
	for _, r := range c.rows {
		if r.user == user && shows(r.facts) {
			id := "host:" + r.host // a machine that nobody knows
			if _, known := c.items[r.host]; known {
				id = "item:" + r.host
			}
			want[id]++
		}
	}
	var graph struct {
		Edges []struct {
			From, To, Kind string
			Count          int
		}
		Nodes []struct{ ID string }
	}
	if err := viewer.JSON(c.t.Context(), http.MethodPost, "/api/v1/graph/neighbours", nil, map[string]any{"nodes": []string{"user:" + user}, "limit": 2000, "kinds": []string{"access"}}, &graph); err != nil {
		c.t.Fatal(err)
	}
	got, nodes := map[string]int{}, map[string]int{}
	for _, e := range graph.Edges {
		got[e.To] += e.Count
	}
	for _, n := range graph.Nodes {
		if n.ID != "user:"+user {
			nodes[n.ID] = want[n.ID]
		}
	}
	if !maps.Equal(got, want) || !maps.Equal(nodes, want) {
		wrong("the graph of "+user, got, want)
	}
}
