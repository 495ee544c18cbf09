// Package sources has the sources of relations: flows, events, alerts and the
// CMDB. Each asks within a reach, by the ordinary way of its own room, so that
// a caller sees on a graph what he sees elsewhere and no more.
package sources

import (
	"context"
	"fmt"
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

// Sources makes the sources for a caller's reach. They share what they learn of
// addresses and items, so they serve one question, or one trace.
func (r Rooms) Sources(within reach.Reach) []relation.Source {
	names := r.naming(within)
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
		if r.Type != relation.IP {
			continue
		}
		zone, address := r.Place()
		zones := []string{zone}
		if zone == relation.AnyZone {
			var err error
			if zones, err = s.names.zones(ctx, q, address); err != nil {
				return relation.Found{}, err
			}
		}
		for _, z := range zones {
			places = append(places, ledger.Place{Zone: z, Address: address})
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
	return out, s.names.settle(ctx, &out)
}

func zoneIs(zone string) string {
	switch zone {
	case relation.AnyZone:
		return "*"
	case relation.DefaultZone:
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
