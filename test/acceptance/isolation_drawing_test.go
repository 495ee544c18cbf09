package acceptance

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"icewatch/soc/client"
)

// draw keeps a shared topology of all hosts, by who sees them all.
func (c *city) draw(hosts map[string][]string) {
	c.t.Helper()
	type node struct {
		Item string  `json:"item"`
		X    float64 `json:"x"`
		Y    float64 `json:"y"`
	}
	var nodes []node
	for _, slug := range slices.Sorted(maps.Keys(hosts)) {
		for _, id := range hosts[slug] {
			nodes = append(nodes, node{Item: id})
		}
	}
	var d struct{ ID string }
	if err := c.admin.JSON(c.t.Context(), http.MethodPost, "/api/v1/cmdb/topologies", nil, map[string]any{"name": "all hosts", "shared": true, "nodes": nodes}, &d); err != nil {
		c.t.Fatal(err)
	}
	c.drawing = d.ID
}

// compareDrawing holds the shared topology, and the graph of all hosts, against
// the hosts that a viewer may see.
func (c *city) compareDrawing(viewer *client.Client, hosts map[string]bool, wrong func(what string, got, want any)) {
	c.t.Helper()
	ctx := c.t.Context()
	var drawn struct {
		Nodes []struct{ Item string }
	}
	err := viewer.Get(ctx, "/api/v1/cmdb/topologies/"+c.drawing, nil, &drawn)
	if (err == nil) != (len(hosts) > 0) {
		wrong("the shared topology", err, sorted(hosts))
	}
	nodes := map[string]bool{}
	for _, n := range drawn.Nodes {
		nodes[n.Item] = true
	}
	if !maps.Equal(nodes, hosts) {
		wrong("the items of the shared topology", sorted(nodes), sorted(hosts))
	}
	var list struct{ Total int }
	if err := viewer.Get(ctx, "/api/v1/cmdb/topologies", url.Values{"q": {"all hosts"}}, &list); err != nil || (list.Total > 0) != (len(hosts) > 0) {
		wrong("the list of topologies", list.Total, len(hosts) > 0)
	}
	var graph struct {
		Items []struct{ ID string }
	}
	ids := slices.Sorted(maps.Keys(c.class))
	if err := viewer.JSON(ctx, http.MethodPost, "/api/v1/cmdb/graph", nil, map[string]any{"items": ids, "filter": "class = host"}, &graph); err != nil {
		wrong("the graph of all items", err, nil)
	}
	seen := map[string]bool{}
	for _, i := range graph.Items {
		if c.class[i.ID] == "host" {
			seen[i.ID] = true
		}
	}
	if !maps.Equal(seen, hosts) {
		wrong("the hosts of a graph", sorted(seen), sorted(hosts))
	}
}
