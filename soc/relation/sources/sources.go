// Package sources has the sources of relations: flows, events, alerts and the
// CMDB. Each asks within a reach, by the ordinary way of its own room, so that
// a caller sees on a graph what he sees elsewhere and no more.
package sources

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"icewatch/cmdb"
	"icewatch/soc/flows"
	"icewatch/soc/flows/ledger"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/soc/search"
	"icewatch/ticketing"
)

// FlowRoom is what is asked of soc/flows.
type FlowRoom interface {
	Edges(ctx context.Context, r flows.Range, places []ledger.Place, exact bool, limit int) (edges []ledger.Edge, ofRows, more bool, err error)
	Names(ctx context.Context, r reach.Reach, peers []*flows.Peer) error
}

// Searcher answers searches.
type Searcher interface {
	Query(ctx context.Context, req search.Request, emit func(row []byte) error) error
}

// AlertRoom is what is asked of ticketing.
type AlertRoom interface {
	Alerts(ctx context.Context, query ticketing.AlertQuery) (items []ticketing.Alert, total int, next string, err error)
}

// ItemRoom is what is asked of the CMDB.
type ItemRoom interface {
	Get(ctx context.Context, r reach.Reach, id string) (cmdb.Item, error)
	RelationsOf(ctx context.Context, r reach.Reach, id string, f cmdb.RelationFilter) (cmdb.RelationPage, error)
}

// Rooms are what the sources ask. A room that is nil is not asked, and the
// graph says so.
type Rooms struct {
	Flows  FlowRoom
	Search Searcher
	Alerts AlertRoom
	Items  ItemRoom
}

// maxEdges bounds what one question to a source answers.
const maxEdges = 5000

// Sources makes the sources for a caller's reach.
func (r Rooms) Sources(within reach.Reach) []relation.Source {
	names := &naming{rooms: r, within: within}
	return []relation.Source{
		&alertSource{r.Alerts, within, names},
		&eventSource{r.Search, within, names},
		&flowSource{r.Flows, within, names},
		&itemSource{r.Items, within, names},
	}
}

func missing(what string) error {
	return fmt.Errorf("%w: %s is not available", relation.ErrSkipped, what)
}

// Zones finds the network zones in which an address was seen within the range,
// the most frequent first.
func (r Rooms) Zones(ctx context.Context, q relation.Question, within reach.Reach, address string) ([]string, error) {
	if r.Search == nil {
		return nil, nil
	}
	var zones []string
	query := fmt.Sprintf(`("source.ip":=%[1]q or "destination.ip":=%[1]q or "client.ip":=%[1]q or "server.ip":=%[1]q) | stats by ("icewatch.zone") count() n | sort by (n desc) limit 16`, address)
	err := ask(ctx, r.Search, search.Request{Reach: within, Query: query, Start: q.Start, End: q.End, Limit: 16}, func(m row) error {
		if z := m.zone(); !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
		return nil
	})
	return zones, err
}

// naming finds out what addresses are.
type naming struct {
	rooms  Rooms
	within reach.Reach
}

// places fills nodes with what the ids of addresses among ids are.
func (n *naming) places(ctx context.Context, ids []string, nodes map[string]relation.Node) error {
	if n.rooms.Flows == nil {
		return nil
	}
	var peers []*flows.Peer
	var of []string
	for _, id := range ids {
		if _, have := nodes[id]; have {
			continue
		}
		r, err := relation.ParseRef(id)
		if err != nil || r.Type != relation.IP {
			continue
		}
		zone, address := r.Place()
		nodes[id] = relation.NodeOf(r)
		peers, of = append(peers, &flows.Peer{Zone: zone, Address: address}), append(of, id)
	}
	for start := 0; start < len(peers); start += 1000 {
		if err := n.rooms.Flows.Names(ctx, n.within, peers[start:min(start+1000, len(peers))]); err != nil {
			return err
		}
	}
	for i, p := range peers {
		node := nodes[of[i]]
		node.Internal = p.Internal
		if p.CI != nil {
			node.Item, node.Name, node.Class, node.Tenant, node.Criticality = p.CI.ID, p.CI.Name, p.CI.Class, p.CI.Tenant, p.CI.Criticality
			if p.CI.System != nil {
				node.System = p.CI.System.Name
			}
		}
		nodes[of[i]] = node
	}
	return nil
}

// inside marks which ends of edges are the city's.
func (n *naming) inside(ctx context.Context, edges []relation.Edge, nodes map[string]relation.Node) error {
	var ids []string
	for i := range edges {
		ids = append(ids, edges[i].From, edges[i].To)
	}
	slices.Sort(ids)
	if err := n.places(ctx, slices.Compact(ids), nodes); err != nil {
		return err
	}
	in := func(id string) bool {
		// A machine, an account or a program that logs to us is ours.
		return !strings.HasPrefix(id, string(relation.IP)+":") && !strings.HasPrefix(id, string(relation.Domain)+":") || nodes[id].Internal
	}
	for i := range edges {
		edges[i].FromInside, edges[i].ToInside = in(edges[i].From), in(edges[i].To)
	}
	return nil
}

// flowSource tells of connections that flow exporters counted.
type flowSource struct {
	room   FlowRoom
	within reach.Reach
	names  *naming
}

func (s *flowSource) Name() string { return "flows" }

func (s *flowSource) Edges(ctx context.Context, q relation.Question) (relation.Found, error) {
	var places []ledger.Place
	for _, r := range q.Nodes {
		if r.Type == relation.IP {
			zone, address := r.Place()
			places = append(places, ledger.Place{Zone: zone, Address: address})
		}
	}
	if len(places) == 0 || !q.Filter.Wants(relation.Flow) {
		return relation.Found{}, nil
	}
	if s.room == nil {
		return relation.Found{}, missing("the analysis of flows")
	}
	r := flows.Range{Reach: s.within, Start: q.Start, End: q.End, Filter: ports("server.port", q.Filter.Ports)}
	list, ofRows, more, err := s.room.Edges(ctx, r, places, q.Exact, maxEdges)
	if err != nil {
		return relation.Found{}, err
	}
	out := relation.Found{Nodes: map[string]relation.Node{}, More: more}
	for _, e := range list {
		if e.FirstSeen.After(q.End) {
			continue
		}
		from, to := relation.AtPlace(e.Zone, e.Client), relation.AtPlace(e.Zone, e.Server)
		transport := flows.TransportOf(e.Protocol)
		x := relation.Edge{ID: fmt.Sprintf("flow %s %s %s/%d", from.ID(), to.ID(), transport, e.Port), From: from.ID(), To: to.ID(), Kind: relation.Flow,
			Port: e.Port, Transport: transport, Label: flows.ServiceOf(e.Port, transport), Count: e.Flows, Bytes: e.BytesToServer + e.BytesToClient,
			FirstSeen: e.FirstSeen, LastSeen: e.LastSeen, Days: e.Days,
			Query: fmt.Sprintf(`event.dataset:in("flow.netflow","flow.ipfix","flow.sflow","flow.sensor") %s client.ip:=%q server.ip:=%q server.port:=%q`, zoneIs(e.Zone), e.Client, e.Server, strconv.Itoa(e.Port))}
		if ofRows {
			x.Since = q.Start
		}
		out.Edges = append(out.Edges, x)
	}
	return out, s.names.inside(ctx, out.Edges, out.Nodes)
}

func zoneIs(zone string) string {
	if zone == relation.DefaultZone {
		return `icewatch.zone:in("default","")`
	}
	return `icewatch.zone:=` + strconv.Quote(zone)
}

// ports is a filter of LogsQL for ranges of ports, "" where there is none.
func ports(field string, list []relation.Ports) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = fmt.Sprintf("%q:range[%d, %d]", field, p.From, p.To)
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, " or ") + ")"
}
