package sources

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"icewatch/cmdb"
	"icewatch/soc/flows"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/soc/search"
)

// naming finds out what addresses and items are, so that one machine is one
// node: a configuration item is where its address is, and a public address that
// is not the city's is the same in every zone.
type naming struct {
	rooms    Rooms
	within   reach.Reach
	machines map[string]machine       // by the item's id
	known    map[string]relation.Node // of addresses, by id
	seenIn   map[string][]string      // zones, by address
}

// machine is a configuration item as it stands on a graph.
type machine struct {
	ref   relation.Ref
	item  cmdb.Item
	found bool
}

func (r Rooms) naming(within reach.Reach) *naming {
	return &naming{rooms: r, within: within, machines: map[string]machine{}, known: map[string]relation.Node{}, seenIn: map[string][]string{}}
}

// machine finds an item: the node is its first address, or itself where it has
// none. One that is not within reach is as if it were not there.
func (n *naming) machine(ctx context.Context, id string) (machine, error) {
	if m, ok := n.machines[id]; ok || n.rooms.Items == nil || id == "" {
		return m, nil
	}
	it, err := n.rooms.Items.Get(ctx, n.within, id)
	m := machine{ref: relation.Ref{Type: relation.Item, Value: id}, item: it, found: err == nil}
	if err != nil && !errors.Is(err, cmdb.ErrNotFound) {
		return m, err
	}
	for _, a := range it.Addresses {
		if addr, err := netip.ParseAddr(a); err == nil { // a network's CIDR is none
			m.ref = relation.AtPlace(it.Zone, addr.String())
			break
		}
	}
	n.machines[id] = m
	return m, nil
}

// called tells whether a machine goes by a name.
func (m *machine) called(name string) bool {
	return m.found && (strings.EqualFold(m.item.Name, name) || slices.Contains(m.item.Hostnames, strings.ToLower(name)))
}

// zones finds the network zones in which an address was seen within the range,
// the most frequent first.
func (n *naming) zones(ctx context.Context, q relation.Question, address string) ([]string, error) {
	if zones, ok := n.seenIn[address]; ok || n.rooms.Search == nil {
		return zones, nil
	}
	var zones []string
	query := fmt.Sprintf(`("source.ip":=%[1]q or "destination.ip":=%[1]q or "client.ip":=%[1]q or "server.ip":=%[1]q) | stats by ("icewatch.zone") count() n | sort by (n desc) limit 16`, address)
	err := ask(ctx, n.rooms.Search, search.Request{Reach: n.within, Query: query, Start: q.Start, End: q.End, Limit: 16}, func(m row) error {
		if z := m.zone(); !slices.Contains(zones, z) {
			zones = append(zones, z)
		}
		return nil
	})
	if err == nil {
		n.seenIn[address] = zones
	}
	return zones, err
}

// places learns what the ids of addresses among ids are.
func (n *naming) places(ctx context.Context, ids []string) error {
	var peers []*flows.Peer
	var of []string
	for _, id := range ids {
		if _, have := n.known[id]; have {
			continue
		}
		r, err := relation.ParseRef(id)
		if err != nil || r.Type != relation.IP {
			continue
		}
		n.known[id] = relation.NodeOf(r)
		if zone, address := r.Place(); zone != relation.AnyZone {
			peers, of = append(peers, &flows.Peer{Zone: zone, Address: address}), append(of, id)
		}
	}
	if n.rooms.Flows == nil {
		return nil
	}
	for start := 0; start < len(peers); start += 1000 {
		if err := n.rooms.Flows.Names(ctx, n.within, peers[start:min(start+1000, len(peers))]); err != nil {
			return err
		}
	}
	for i, p := range peers {
		node := n.known[of[i]]
		node.Internal = p.Internal
		if p.CI != nil {
			node.Item, node.Name, node.Class, node.Tenant, node.Criticality = p.CI.ID, p.CI.Name, p.CI.Class, p.CI.Tenant, p.CI.Criticality
			if p.CI.System != nil {
				node.System = p.CI.System.Name
			}
		}
		n.known[of[i]] = node
	}
	return nil
}

// anywhere tells whether an address is the same in every zone.
func (n *naming) anywhere(id string) (string, bool) {
	node, ok := n.known[id]
	if !ok || node.Internal || node.Item != "" || node.Masked {
		return id, false
	}
	addr, err := netip.ParseAddr(node.Name)
	if err != nil || addr.IsPrivate() || !addr.IsGlobalUnicast() || node.Zone == relation.AnyZone {
		return id, false
	}
	return relation.AtPlace(relation.AnyZone, addr.String()).ID(), true
}

// settle names the ends of what a source found, brings public addresses into
// one, and marks which ends are the city's.
func (n *naming) settle(ctx context.Context, out *relation.Found) error {
	var ids []string
	for i := range out.Edges {
		ids = append(ids, out.Edges[i].From, out.Edges[i].To)
	}
	slices.Sort(ids)
	if err := n.places(ctx, slices.Compact(ids)); err != nil {
		return err
	}
	in := func(id string) bool {
		// A machine, an account or a program that logs to us is ours.
		return !strings.HasPrefix(id, string(relation.IP)+":") && !strings.HasPrefix(id, string(relation.Domain)+":") || n.known[id].Internal || n.known[id].Item != ""
	}
	at := map[string]int{}
	list := out.Edges[:0]
	for _, e := range out.Edges {
		e.FromInside, e.ToInside = in(e.From), in(e.To)
		for _, end := range []*string{&e.From, &e.To} {
			if id, ok := n.anywhere(*end); ok {
				// Ids of edges name their ends between blanks.
				e.ID = strings.TrimSuffix(strings.Replace(e.ID+" ", " "+*end+" ", " "+id+" ", 1), " ")
				*end = id
			}
			if node, ok := n.known[*end]; ok {
				out.Nodes[*end] = node
			} else if r, err := relation.ParseRef(*end); err == nil && r.Type == relation.IP {
				out.Nodes[*end] = relation.NodeOf(r)
			}
		}
		if e.From == e.To {
			continue
		}
		i, known := at[e.ID]
		if !known {
			at[e.ID] = len(list)
			list = append(list, e)
			continue
		}
		list[i].Add(&e)
	}
	out.Edges = list
	return nil
}

// Settle reads ids of entities as they stand on a graph: an address without a
// zone is one in each zone where it was seen, an item and a machine's name are
// where its address is, and a public address is the same everywhere.
func (r Rooms) Settle(ctx context.Context, within reach.Reach, q relation.Question, ids []string) ([]relation.Ref, error) {
	n := r.naming(within)
	var out []relation.Ref
	put := func(ref relation.Ref) error {
		if ref.Type == relation.IP {
			if err := n.places(ctx, []string{ref.ID()}); err != nil {
				return err
			}
			if id, ok := n.anywhere(ref.ID()); ok {
				ref, _ = relation.ParseRef(id)
			}
		}
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
		return nil
	}
	for _, id := range ids {
		ref, err := relation.ParseRef(id)
		if err != nil {
			return nil, err
		}
		list, err := n.standing(ctx, q, ref)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			if err := put(x); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// standing are the nodes that an entity is on a graph.
func (n *naming) standing(ctx context.Context, q relation.Question, ref relation.Ref) (list []relation.Ref, err error) {
	switch ref.Type {
	case relation.IP:
		zone, address := ref.Place()
		if ref.Value != address {
			return []relation.Ref{ref}, nil
		}
		zones, err := n.zones(ctx, q, address)
		if err != nil {
			return nil, err
		}
		for _, z := range zones {
			list = append(list, relation.AtPlace(z, address))
		}
		if len(list) == 0 {
			list = []relation.Ref{relation.AtPlace(zone, address)}
		}
		return list, nil
	case relation.Item:
		m, err := n.machine(ctx, ref.Value)
		if err != nil || !m.found {
			return []relation.Ref{ref}, err
		}
		return []relation.Ref{m.ref}, nil
	case relation.Host:
		if n.rooms.Search == nil {
			break
		}
		var items []string
		query := fmt.Sprintf(`host.name:=%q icewatch.ci.id:* | stats by ("icewatch.ci.id") count() n | sort by (n desc) limit 50`, ref.Value)
		err := ask(ctx, n.rooms.Search, search.Request{Reach: n.within, Query: query, Start: q.Start, End: q.End, Limit: 50}, func(m row) error {
			items = append(items, m["icewatch.ci.id"])
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, id := range items {
			m, err := n.machine(ctx, id)
			if err != nil {
				return nil, err
			}
			if m.called(ref.Value) {
				list = append(list, m.ref)
			}
		}
	}
	if len(list) == 0 {
		list = []relation.Ref{ref}
	}
	return list, nil
}
