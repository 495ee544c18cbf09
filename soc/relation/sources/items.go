package sources

import (
	"context"
	"errors"
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
	if err := s.names.places(ctx, ids, out.Nodes); err != nil {
		return out, err
	}
	for _, r := range q.Nodes {
		switch {
		case r.Type == relation.Item:
			at[r.Value] = r.ID()
		case r.Type == relation.IP && out.Nodes[r.ID()].Item != "":
			at[out.Nodes[r.ID()].Item] = r.ID()
		}
	}
	for item, node := range at {
		if err := s.around(ctx, item, node, q, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// around adds what the CMDB says of one item, which stands on the graph as the
// node.
func (s *itemSource) around(ctx context.Context, item, node string, q relation.Question, out *relation.Found) error {
	it, err := s.room.Get(ctx, s.within, item)
	if errors.Is(err, cmdb.ErrNotFound) {
		return nil // it went, or is not within reach: as if it were not there
	}
	if err != nil {
		return err
	}
	own := relation.Ref{Type: relation.Item, Value: it.ID}
	n := relation.NodeOf(own)
	n.Name, n.Class, n.Item, n.Tenant, n.Criticality = it.Name, it.Class, it.ID, it.Tenant, it.Criticality
	out.Nodes[n.ID] = n
	if q.Filter.Wants(relation.Same) {
		same := func(to relation.Ref) {
			if to.ID() != node {
				out.Edges = append(out.Edges, relation.Edge{ID: "same " + node + " " + to.ID(), From: node, To: to.ID(), Kind: relation.Same, Label: it.Name})
			}
		}
		if own.ID() == node {
			for _, a := range it.Addresses {
				if addr, err := netip.ParseAddr(a); err == nil { // a network's CIDR is none
					same(relation.AtPlace(it.Zone, addr.String()))
				}
			}
		}
		for _, name := range it.Hostnames {
			same(relation.Ref{Type: relation.Host, Value: name})
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
		other := relation.Ref{Type: relation.Item, Value: r.Item.ID}
		m := relation.NodeOf(other)
		m.Name, m.Class, m.Item, m.Criticality = r.Item.Name, r.Item.Class, r.Item.ID, r.Item.Criticality
		out.Nodes[m.ID] = m
		from, to := node, m.ID
		if !r.Forward {
			from, to = to, from
		}
		out.Edges = append(out.Edges, relation.Edge{ID: fmt.Sprintf("relation %s %s %s", from, r.Type, to), From: from, To: to, Kind: relation.Relation, Label: r.Type, Count: 1})
	}
	return nil
}
