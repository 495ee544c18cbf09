package sources

import (
	"context"
	"fmt"
	"net/netip"

	"icewatch/cmdb"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
)

// itemSource tells of relations between configuration items, and at which
// addresses and under which names they are.
type itemSource struct {
	room   ItemRoom
	within reach.Reach
	names  *naming
}

// maxItemRelations bounds the relations of one item.
const maxItemRelations = 1000

func (s *itemSource) Name() string { return "cmdb" }

func (s *itemSource) Edges(ctx context.Context, q relation.Question) (relation.Found, error) {
	out := relation.Found{Nodes: map[string]relation.Node{}}
	if !q.Filter.Wants(relation.Relation) && !q.Filter.Wants(relation.Same) {
		return out, nil
	}
	if s.room == nil {
		return out, missing("the CMDB")
	}
	var ids []string
	at := map[string]string{} // of an item → the node that was asked about
	for _, r := range q.Nodes {
		if r.Type == relation.IP {
			ids = append(ids, r.ID())
		}
	}
	if err := s.names.places(ctx, ids); err != nil {
		return out, err
	}
	for _, r := range q.Nodes {
		if r.Type == relation.Item {
			at[r.Value] = r.ID()
		} else if item := s.names.known[r.ID()].Item; item != "" {
			out.Nodes[r.ID()] = s.names.known[r.ID()]
			at[item] = r.ID()
		}
	}
	for item, node := range at {
		if err := s.around(ctx, item, node, q, &out); err != nil {
			return out, err
		}
	}
	return out, s.names.settle(ctx, &out)
}

// around adds what the CMDB says of one item, which stands on the graph as the
// node.
func (s *itemSource) around(ctx context.Context, item, node string, q relation.Question, out *relation.Found) error {
	m, err := s.names.machine(ctx, item)
	if err != nil || !m.found {
		return err // one that went, or is not within reach, is as if it were not there
	}
	it := m.item
	if m.ref.ID() == node && m.ref.Type == relation.Item {
		out.Nodes[node] = nodeOf(it.ID, it.Name, it.Class, it.Tenant, it.Criticality)
	}
	if q.Filter.Wants(relation.Same) {
		for _, a := range it.Addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil { // a network's CIDR
				continue
			}
			if to := relation.AtPlace(it.Zone, addr.String()).ID(); to != node {
				out.Edges = append(out.Edges, relation.Edge{ID: "same " + min(node, to) + " " + max(node, to), From: node, To: to, Kind: relation.Same, Label: it.Name})
			}
		}
	}
	if !q.Filter.Wants(relation.Relation) || q.Exact {
		return nil
	}
	page, err := s.room.RelationsOf(ctx, s.within, it.ID, cmdb.RelationFilter{Limit: maxItemRelations})
	if err != nil {
		return err
	}
	out.More = out.More || page.Next != ""
	for _, r := range page.Relations {
		other, err := s.names.machine(ctx, r.Item.ID)
		if err != nil {
			return err
		}
		to := other.ref.ID()
		if other.ref.Type == relation.Item {
			out.Nodes[to] = nodeOf(r.Item.ID, r.Item.Name, r.Item.Class, "", r.Item.Criticality)
		}
		from := node
		if !r.Forward {
			from, to = to, from
		}
		out.Edges = append(out.Edges, relation.Edge{ID: fmt.Sprintf("relation %s %s %s", from, r.Type, to), From: from, To: to, Kind: relation.Relation, Label: r.Type, Count: 1})
	}
	return nil
}

func nodeOf(id, name, class, tenant string, criticality int) relation.Node {
	n := relation.NodeOf(relation.Ref{Type: relation.Item, Value: id})
	n.Name, n.Class, n.Item, n.Tenant, n.Criticality = name, class, id, tenant, criticality
	return n
}
