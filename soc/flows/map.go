package flows

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/flows/ledger"
)

// Node is an end on a communication map.
type Node struct {
	ID    string `json:"id" doc:"zone|address"`
	Depth int    `json:"depth" doc:"Steps from the asset; 0 is the asset itself"`
	Peer
}

// Edge is a service between two nodes.
type Edge struct {
	Client        string    `json:"client" doc:"Id of a node"`
	Server        string    `json:"server" doc:"Id of a node"`
	Port          int       `json:"port"`
	Transport     string    `json:"transport"`
	Service       string    `json:"service"`
	BytesToServer int64     `json:"bytes_to_server"`
	BytesToClient int64     `json:"bytes_to_client"`
	Packets       int64     `json:"packets"`
	Flows         int64     `json:"flows"`
	FirstSeen     time.Time `json:"first_seen" doc:"Ever"`
	LastSeen      time.Time `json:"last_seen"`
	Days          int       `json:"days" doc:"On which it was seen"`
}

// Map is an asset's communication map.
type Map struct {
	Center    []string `json:"center" nullable:"false" doc:"Ids of the asset's own nodes"`
	Nodes     []Node   `json:"nodes" nullable:"false"`
	Edges     []Edge   `json:"edges" nullable:"false" doc:"The largest first within each step"`
	Truncated bool     `json:"truncated" doc:"There are more edges than these"`
}

// MaxDepth bounds the steps of a map.
const MaxDepth = 3

// Map shows whom the places talk to, and whom these talk to, depth steps far:
// at most limit edges, those last seen within the range.
func (s *Service) Map(ctx context.Context, r Range, places []ledger.Place, depth, limit int) (Map, error) {
	m := Map{Center: []string{}, Nodes: []Node{}, Edges: []Edge{}}
	at := map[ledger.Place]int{}
	node := func(p ledger.Place, depth int) {
		if _, known := at[p]; !known {
			at[p] = len(m.Nodes)
			m.Nodes = append(m.Nodes, Node{ID: nodeID(p), Depth: depth, Peer: Peer{Zone: p.Zone, Address: p.Address}})
		}
	}
	for _, p := range places {
		node(p, 0)
		m.Center = append(m.Center, nodeID(p))
	}
	type ends struct {
		client, server ledger.Place
		port, protocol int
	}
	have := map[ends]bool{}
	next := slices.Clone(places)
	for step := 1; step <= depth && len(next) > 0; step++ {
		if len(m.Edges) >= limit {
			m.Truncated = true // There may be more: nobody has looked.
			break
		}
		if len(next) > maxPlaces {
			next, m.Truncated = next[:maxPlaces], true
		}
		edges, more, err := s.edges(ctx, r, next, limit) // those it has among them
		if err != nil {
			return m, err
		}
		m.Truncated = m.Truncated || more
		next = nil
		for _, e := range edges {
			k := ends{ledger.Place{Zone: e.Zone, Address: e.Client}, ledger.Place{Zone: e.Zone, Address: e.Server}, e.Port, e.Protocol}
			if have[k] {
				continue
			}
			if len(m.Edges) >= limit {
				m.Truncated = true
				break
			}
			have[k] = true
			for _, p := range []ledger.Place{k.client, k.server} {
				if _, known := at[p]; !known {
					node(p, step)
					next = append(next, p)
				}
			}
			p := portOf(e.Port, transportOf(e.Protocol))
			m.Edges = append(m.Edges, Edge{Client: nodeID(k.client), Server: nodeID(k.server), Port: p.Port, Transport: p.Transport, Service: p.Name,
				BytesToServer: e.BytesToServer, BytesToClient: e.BytesToClient, Packets: e.Packets, Flows: e.Flows, FirstSeen: e.FirstSeen, LastSeen: e.LastSeen, Days: e.Days})
		}
	}
	peers := make([]*Peer, len(m.Nodes))
	for i := range m.Nodes {
		peers[i] = &m.Nodes[i].Peer
	}
	return m, s.names(ctx, r.Reach, peers)
}

// maxPlaces is how many places one step of a map asks for.
const maxPlaces = 500

func nodeID(p ledger.Place) string { return p.Zone + "|" + p.Address }

// edges asks the ledger, or the lake where the reach is narrowed by what the
// ledger does not keep: a filter of rows.
func (s *Service) edges(ctx context.Context, r Range, places []ledger.Place, limit int) ([]ledger.Edge, bool, error) {
	if needsRows(r) {
		return s.edgesOfRows(ctx, r, places, limit)
	}
	q := ledger.Query{Places: places, Since: r.Start, Limit: limit}
	if err := q.Within(r.Reach); err != nil {
		return nil, false, err
	}
	edges, more, err := s.ledger.Edges(ctx, q)
	if v := r.Reach.Veil(); v != nil {
		for i := range edges {
			edges[i].Client, edges[i].Server = v.Value("client.ip", edges[i].Client), v.Value("server.ip", edges[i].Server)
		}
	}
	return edges, more, err
}

// needsRows tells whether only the flows themselves can answer: where a filter
// picks rows, and where addresses are hidden, which the lake does for its rows
// and for what is asked of them.
func needsRows(r Range) bool {
	return r.Reach.LogsFilter() != "" || strings.TrimSpace(r.Filter) != "" ||
		slices.ContainsFunc([]string{"client.ip", "server.ip", "source.ip", "destination.ip"}, r.Reach.Veil().Hides)
}

// edgesOfRows makes edges of the flows of the range: first and last seen are
// those of the range.
func (s *Service) edgesOfRows(ctx context.Context, r Range, places []ledger.Place, limit int) ([]ledger.Edge, bool, error) {
	var ends []string
	for _, p := range places {
		ends = append(ends, fmt.Sprintf(`(%s ("client.ip":=%q or "server.ip":=%q))`, zoneIs(p.Zone), p.Address, p.Address))
	}
	f, err := r.filter("(" + strings.Join(ends, " or ") + ")")
	if err != nil {
		return nil, false, err
	}
	query := f + ` | stats by ("icewatch.zone", "client.ip", "server.ip", "server.port", "network.iana_number") ` + sumUp +
		`, sum("icewatch.flow.source.bytes") if ("source.ip":eq_field("client.ip")) c_sent, sum("icewatch.flow.destination.bytes") if (!"source.ip":eq_field("client.ip")) c_answered` +
		`, sum("icewatch.flow.source.bytes") if (!"source.ip":eq_field("client.ip")) s_sent, sum("icewatch.flow.destination.bytes") if ("source.ip":eq_field("client.ip")) s_answered` +
		fmt.Sprintf(`, min(_time) first, max(_time) last | sort by (bytes desc) limit %d`, limit+1)
	var edges []ledger.Edge
	err = s.ask(ctx, &r, query, limit+1, func(m row) error {
		t := m.sums()
		e := ledger.Edge{Zone: m.zone(), Client: m["client.ip"], Server: m["server.ip"], Protocol: -1, FirstSeen: m.time("first"), LastSeen: m.time("last"),
			BytesToServer: m.number("c_sent") + m.number("c_answered"), BytesToClient: m.number("s_sent") + m.number("s_answered"), Packets: t.Packets, Flows: t.Flows}
		e.Port, _ = strconv.Atoi(m["server.port"])
		if n, err := strconv.Atoi(m["network.iana_number"]); err == nil {
			e.Protocol = n
		}
		e.Days = int(e.LastSeen.Unix()/86400-e.FirstSeen.Unix()/86400) + 1
		edges = append(edges, e)
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	places = nil
	for _, e := range edges {
		places = append(places, ledger.Place{Zone: e.Zone, Address: e.Client}, ledger.Place{Zone: e.Zone, Address: e.Server})
	}
	if len(places) > 0 {
		_, internal, err := s.ledger.Places(ctx, places)
		if err != nil {
			return nil, false, err
		}
		for i := range edges {
			edges[i].ClientInternal, edges[i].ServerInternal = internal[2*i], internal[2*i+1]
		}
	}
	more := len(edges) > limit
	return edges[:min(len(edges), limit)], more, nil
}

// Offer is a service that an address offers or uses.
type Offer struct {
	Port          int       `json:"port"`
	Transport     string    `json:"transport"`
	Service       string    `json:"service"`
	Peers         int       `json:"peers" doc:"Addresses at the other end"`
	InternalPeers int       `json:"internal_peers"`
	BytesIn       int64     `json:"bytes_in" doc:"To the address"`
	BytesOut      int64     `json:"bytes_out"`
	Flows         int64     `json:"flows"`
	FirstSeen     time.Time `json:"first_seen"`
	LastSeen      time.Time `json:"last_seen"`
}

// Hour is an hour of an address.
type Hour struct {
	Time     time.Time `json:"time"`
	BytesIn  int64     `json:"bytes_in"`
	BytesOut int64     `json:"bytes_out"`
	Flows    int64     `json:"flows"`
}

// NewPeer is an end that was first seen lately.
type NewPeer struct {
	Peer      *Peer     `json:"peer"`
	Role      string    `json:"role" enum:"client,server" doc:"What the peer was"`
	Port      int       `json:"port"`
	Transport string    `json:"transport"`
	Service   string    `json:"service"`
	FirstSeen time.Time `json:"first_seen"`
	Bytes     int64     `json:"bytes"`
}

// Profile is what an address does.
type Profile struct {
	Peer      *Peer     `json:"peer"`
	FirstSeen time.Time `json:"first_seen" doc:"Ever; year 1 where it was never seen"`
	LastSeen  time.Time `json:"last_seen"`
	Offers    []Offer   `json:"offers" nullable:"false" doc:"Services it offers, the largest first"`
	Uses      []Offer   `json:"uses" nullable:"false" doc:"Services of others that it uses"`
	Hours     []Hour    `json:"hours" nullable:"false"`
	NewPeers  []NewPeer `json:"new_peers" nullable:"false" doc:"First seen in the last 24 hours, the latest first"`
	Peers     struct {
		Internal int `json:"internal"`
		External int `json:"external"`
	} `json:"peers"`
	Truncated bool `json:"truncated" doc:"There are more edges than were looked at"`
}

const (
	// maxProfileEdges bounds the edges that a profile looks at.
	maxProfileEdges = 20_000
	maxNewPeers     = 200
	newFor          = 24 * time.Hour
)

// Profile shows what an address offers and uses, since it is known, and how
// much it carried by hour in the range.
func (s *Service) Profile(ctx context.Context, r Range, place ledger.Place) (Profile, error) {
	p := Profile{Peer: &Peer{Zone: place.Zone, Address: place.Address}, Offers: []Offer{}, Uses: []Offer{}, Hours: []Hour{}, NewPeers: []NewPeer{}}
	ever := r
	if !needsRows(r) {
		ever.Start = time.Time{} // The ledger knows them all.
	}
	edges, more, err := s.edges(ctx, ever, []ledger.Place{place}, maxProfileEdges)
	if err != nil {
		return p, err
	}
	p.Truncated = more
	p.take(edges, place, s.now().Add(-newFor))
	peers := []*Peer{p.Peer}
	for _, n := range p.NewPeers {
		peers = append(peers, n.Peer)
	}
	if err := s.names(ctx, r.Reach, peers); err != nil {
		return p, err
	}
	return p, s.hours(ctx, r, place, &p)
}

// take fills in what edges tell.
func (p *Profile) take(edges []ledger.Edge, place ledger.Place, newSince time.Time) {
	type service struct {
		offered        bool
		port, protocol int
	}
	offers := map[service]*Offer{}
	firstMet := map[string]time.Time{} // of each peer, whatever the service
	internal := map[string]bool{}
	other := func(e *ledger.Edge) (address string, in, offered bool) {
		if e.Server == place.Address {
			return e.Client, e.ClientInternal, true
		}
		return e.Server, e.ServerInternal, false
	}
	for i := range edges {
		e := &edges[i]
		address, in, offered := other(e)
		k := service{offered, e.Port, e.Protocol}
		o := offers[k]
		if o == nil {
			port := portOf(e.Port, transportOf(e.Protocol))
			o = &Offer{Port: port.Port, Transport: port.Transport, Service: port.Name, FirstSeen: e.FirstSeen, LastSeen: e.LastSeen}
			offers[k] = o
		}
		o.Peers++
		if in {
			o.InternalPeers++
		}
		if offered {
			o.BytesIn, o.BytesOut = o.BytesIn+e.BytesToServer, o.BytesOut+e.BytesToClient
		} else {
			o.BytesIn, o.BytesOut = o.BytesIn+e.BytesToClient, o.BytesOut+e.BytesToServer
		}
		o.Flows += e.Flows
		o.FirstSeen, o.LastSeen = earlier(o.FirstSeen, e.FirstSeen), later(o.LastSeen, e.LastSeen)
		p.FirstSeen, p.LastSeen = earlier(p.FirstSeen, e.FirstSeen), later(p.LastSeen, e.LastSeen)
		firstMet[address] = earlier(firstMet[address], e.FirstSeen)
		internal[address] = in
	}
	for k, o := range offers {
		if k.offered {
			p.Offers = append(p.Offers, *o)
		} else {
			p.Uses = append(p.Uses, *o)
		}
	}
	for _, list := range [][]Offer{p.Offers, p.Uses} {
		slices.SortFunc(list, func(a, b Offer) int {
			if x, y := a.BytesIn+a.BytesOut, b.BytesIn+b.BytesOut; x != y {
				if x > y {
					return -1
				}
				return 1
			}
			return cmp.Or(a.Port-b.Port, cmp.Compare(a.Transport, b.Transport))
		})
	}
	for address, in := range internal {
		if _, err := netip.ParseAddr(address); err != nil {
			continue
		}
		if in {
			p.Peers.Internal++
		} else {
			p.Peers.External++
		}
	}
	for i := range edges {
		e := &edges[i]
		address, _, offered := other(e)
		if firstMet[address].Before(newSince) {
			continue
		}
		role := "server"
		if offered {
			role = "client"
		}
		port := portOf(e.Port, transportOf(e.Protocol))
		p.NewPeers = append(p.NewPeers, NewPeer{Peer: &Peer{Zone: e.Zone, Address: address}, Role: role, Port: port.Port, Transport: port.Transport, Service: port.Name,
			FirstSeen: e.FirstSeen, Bytes: e.BytesToServer + e.BytesToClient})
	}
	slices.SortStableFunc(p.NewPeers, func(a, b NewPeer) int { return b.FirstSeen.Compare(a.FirstSeen) })
	p.NewPeers = p.NewPeers[:min(len(p.NewPeers), maxNewPeers)]
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// maxHours bounds the hours of a profile.
const maxHours = 31 * 24

// hours fills in the volumes by hour.
func (s *Service) hours(ctx context.Context, r Range, place ledger.Place, p *Profile) error {
	if r.End.Sub(r.Start) > maxHours*time.Hour {
		r.Start = r.End.Add(-maxHours * time.Hour)
	}
	r.Zone = place.Zone
	f, err := r.filter(fmt.Sprintf(`("source.ip":=%q or "destination.ip":=%q)`, place.Address, place.Address))
	if err != nil {
		return err
	}
	first := floor(r.Start, time.Hour)
	for t := first; t.Before(r.End); t = t.Add(time.Hour) {
		p.Hours = append(p.Hours, Hour{Time: t})
	}
	from := fmt.Sprintf(`"source.ip":=%q`, place.Address)
	query := f + ` | stats by (_time:1h) count() flows` +
		`, sum("icewatch.flow.source.bytes") if (` + from + `) sent, sum("icewatch.flow.destination.bytes") if (!` + from + `) answered` +
		`, sum("icewatch.flow.source.bytes") if (!` + from + `) got, sum("icewatch.flow.destination.bytes") if (` + from + `) got_back`
	return s.ask(ctx, &r, query, len(p.Hours)+2, func(m row) error {
		if at := int(m.time("@timestamp").Sub(first) / time.Hour); at >= 0 && at < len(p.Hours) {
			h := &p.Hours[at]
			h.BytesOut, h.BytesIn, h.Flows = h.BytesOut+m.number("sent")+m.number("answered"), h.BytesIn+m.number("got")+m.number("got_back"), h.Flows+m.number("flows")
		}
		return nil
	})
}
