package sources

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"icewatch/detections"
	"icewatch/soc/flows"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/ticketing"
)

// alertSource tells of alerts, from who attacks to who is attacked.
type alertSource struct {
	room   AlertRoom
	within reach.Reach
	names  *naming
}

// maxAlerts bounds the alerts that are looked at for one entity, latest first.
const maxAlerts = 1000

// maxAlertRefs bounds the alerts that an edge names.
const maxAlertRefs = 5

func (s *alertSource) Name() string { return "alerts" }

func (s *alertSource) Edges(ctx context.Context, q relation.Question) (relation.Found, error) {
	out := relation.Found{Nodes: map[string]relation.Node{}}
	// They are looked for whatever the kind, where what is unusual or a phase
	// is asked for: an alert marks what else lies between its two.
	f := &q.Filter
	if !f.Wants(relation.Alert) && len(f.Abnormal) == 0 && len(f.Phases) == 0 {
		return out, nil
	}
	if s.room == nil {
		return out, missing("ticketing")
	}
	if veil := s.within.Veil(); slices.ContainsFunc([]string{"source.ip", "destination.ip", "client.ip", "server.ip", "host.ip"}, veil.Touches) {
		return out, fmt.Errorf("%w: addresses are masked for you, so alerts cannot be looked for by them", relation.ErrSkipped)
	}
	edges := map[string]*relation.Edge{}
	counted := map[string]bool{}
	for _, r := range q.Nodes {
		base := ticketing.AlertQuery{Reach: s.within, Since: q.Start, Page: ticketing.Page{Limit: maxAlerts}}
		var asks []ticketing.AlertQuery
		switch r.Type {
		case relation.IP:
			_, address := r.Place()
			a, v := base, base
			a.Attacker, v.Victim = address, address
			asks = []ticketing.AlertQuery{a, v}
			if err := s.names.places(ctx, []string{r.ID()}); err != nil {
				return out, err
			}
			if item := s.names.known[r.ID()].Item; item != "" {
				on := base
				on.CI = item
				asks = append(asks, on)
			}
		case relation.Host, relation.User:
			base.Q = r.Value
			asks = []ticketing.AlertQuery{base}
		case relation.Item:
			base.CI = r.Value
			asks = []ticketing.AlertQuery{base}
		}
		for _, query := range asks {
			items, _, next, err := s.room.Alerts(ctx, query)
			if err != nil {
				return out, err
			}
			out.More = out.More || next != ""
			for i := range items {
				a := &items[i]
				if counted[a.ID] || a.FirstSeen.Time.After(q.End) {
					continue
				}
				counted[a.ID] = true
				if err := s.take(ctx, a, r, edges, out.Nodes); err != nil {
					return out, err
				}
			}
		}
	}
	for _, e := range edges {
		slices.SortFunc(e.Alerts, func(a, b relation.AlertRef) int { return b.At.Compare(a.At) })
		e.Alerts = e.Alerts[:min(len(e.Alerts), maxAlertRefs)]
		out.Edges = append(out.Edges, *e)
	}
	slices.SortFunc(out.Edges, func(a, b relation.Edge) int { return cmp.Compare(a.ID, b.ID) })
	return out, s.names.settle(ctx, &out)
}

// take makes an edge of an alert, or adds it to the one of its rule.
func (s *alertSource) take(ctx context.Context, a *ticketing.Alert, asked relation.Ref, edges map[string]*relation.Edge, nodes map[string]relation.Node) error {
	// What a party calls its zone is a network's name; the event says in which
	// network zone the addresses are.
	zone := cmp.Or(a.Fields["icewatch.zone"], relation.DefaultZone)
	from, err := s.party(ctx, a.Attacker, zone, asked)
	if err != nil {
		return err
	}
	victim := a.Victim
	if victim == nil && a.CI != nil {
		victim = &detections.Party{Item: a.CI.ID, Name: a.CI.Name}
	}
	to, err := s.party(ctx, victim, zone, asked)
	if err != nil {
		return err
	}
	if from.Value == "" || to.Value == "" || from == to {
		return nil
	}
	for _, p := range []struct {
		of  *detections.Party
		ref relation.Ref
	}{{a.Attacker, from}, {victim, to}} {
		if p.ref.Type == relation.Item {
			n := relation.NodeOf(p.ref)
			n.Name, n.Item = cmp.Or(p.of.Name, n.Name), p.ref.Value
			nodes[n.ID] = n
		}
	}
	id := fmt.Sprintf("alert %s %s %s", from.ID(), to.ID(), a.Rule.ID)
	first, last := a.FirstSeen.Time, a.LastSeen.Time
	e := edges[id]
	if e == nil {
		e = &relation.Edge{ID: id, From: from.ID(), To: to.ID(), Kind: relation.Alert, FirstSeen: first, LastSeen: last, Label: a.Rule.ID}
		e.Port, _ = strconv.Atoi(a.Fields["destination.port"])
		e.Transport = a.Fields["network.transport"]
		if name := flows.ServiceOf(e.Port, e.Transport); name != "" {
			e.Label = name
		}
		edges[id] = e
	}
	e.Count += int64(max(a.Count, 1))
	if first.Before(e.FirstSeen) {
		e.FirstSeen = first
	}
	if last.After(e.LastSeen) {
		e.LastSeen = last
	}
	for _, p := range a.Phases {
		if !slices.Contains(e.Phases, p) {
			e.Phases = append(e.Phases, p)
		}
	}
	switch {
	case a.Verdict == "failed" && e.Count == int64(max(a.Count, 1)):
		e.Outcome = "failure"
	case e.Outcome == "failure" && a.Verdict != "failed":
		e.Outcome = "mixed"
	}
	e.Alerts = append(e.Alerts, relation.AlertRef{ID: a.ID, Title: a.Title, Severity: a.Severity, At: last})
	return nil
}

// party is the entity that a party is: its address, else its machine, else its
// account. An address is in the zone of its item, else where it was asked
// about, else where the event was.
func (s *alertSource) party(ctx context.Context, p *detections.Party, zone string, asked relation.Ref) (relation.Ref, error) {
	if p == nil {
		return relation.Ref{}, nil
	}
	if addr, err := netip.ParseAddr(p.IP); err == nil {
		address := addr.Unmap().WithZone("").String()
		if p.Item != "" {
			m, err := s.names.machine(ctx, p.Item)
			if err != nil {
				return relation.Ref{}, err
			}
			zone = cmp.Or(m.item.Zone, zone)
		} else if at, a := asked.Place(); asked.Type == relation.IP && a == address {
			zone = at
		}
		return relation.AtPlace(zone, address), nil
	}
	switch {
	case p.Item != "":
		m, err := s.names.machine(ctx, p.Item)
		if err != nil || m.ref.Value != "" {
			return m.ref, err
		}
		return relation.Ref{Type: relation.Item, Value: p.Item}, nil
	case p.Name != "":
		return relation.Ref{Type: relation.Host, Value: p.Name}, nil
	case p.User != "":
		return relation.Ref{Type: relation.User, Value: p.User}, nil
	}
	return relation.Ref{}, nil
}
