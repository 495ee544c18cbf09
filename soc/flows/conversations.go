package flows

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Conversation is all that two ends said to each other in a range of time.
type Conversation struct {
	Zone      string    `json:"zone"`
	A         *Peer     `json:"a"`
	B         *Peer     `json:"b"`
	BytesAB   int64     `json:"bytes_ab" doc:"From a to b"`
	BytesBA   int64     `json:"bytes_ba"`
	Packets   int64     `json:"packets"`
	Flows     int64     `json:"flows"`
	Services  []Port    `json:"services" nullable:"false" doc:"At most 20"`
	FirstSeen time.Time `json:"first_seen" doc:"In the range"`
	LastSeen  time.Time `json:"last_seen"`
}

// Conversations are the largest conversations.
type Conversations struct {
	Items  []Conversation `json:"items" nullable:"false"`
	Total  Sums           `json:"total" doc:"Of all flows of the range"`
	TookMS int64          `json:"took_ms"`
}

// maxServices bounds the services that a conversation names.
const maxServices = 20

// Conversations ranks pairs of ends by a metric, both directions together.
// Where place names an address, it is one end of each, and a of each.
func (s *Service) Conversations(ctx context.Context, r Range, metric string, limit int, place string) (Conversations, error) {
	begun := time.Now()
	out := Conversations{Items: []Conversation{}}
	if err := checkMetric(metric); err != nil {
		return out, err
	}
	var what []string
	var end string
	if place != "" {
		p, ok := ParsePlace(place, r.Zone)
		if !ok {
			return out, fmt.Errorf("%w: address %q is not one; 10.1.2.3 or zone|10.1.2.3 is expected", ErrInvalid, place)
		}
		if r.Zone != "" || strings.Contains(place, "|") {
			r.Zone = p.Zone
		}
		end = p.Address
		what = append(what, fmt.Sprintf(`("source.ip":=%q or "destination.ip":=%q)`, end, end))
	}
	f, err := r.filter(what...)
	if err != nil {
		return out, err
	}
	if out.Total, err = s.total(ctx, &r); err != nil {
		return out, err
	}
	// What a sent is what flows from a counted one way, and what flows to a
	// counted as the way back.
	query := f + " | stats by (" + quoteAll(ends) + ") " + sumUp + `, sum("icewatch.flow.source.bytes") sent, sum("icewatch.flow.destination.bytes") answered, min(_time) began, max(_time) ended` +
		" | " + ordered + ` | stats by ("icewatch.zone", a, b) ` + sumAgain +
		`, sum(sent) if ("source.ip":eq_field(a)) a_sent, sum(answered) if (!"source.ip":eq_field(a)) a_answered` +
		`, sum(sent) if (!"source.ip":eq_field(a)) b_sent, sum(answered) if ("source.ip":eq_field(a)) b_answered` +
		fmt.Sprintf(`, min(began) first, max(ended) last | sort by (%s desc, "icewatch.zone", a, b) limit %d`, metric, limit)
	err = s.ask(ctx, &r, query, limit, func(m row) error {
		t := m.sums()
		c := Conversation{Zone: m.zone(), BytesAB: m.number("a_sent") + m.number("a_answered"), BytesBA: m.number("b_sent") + m.number("b_answered"),
			Packets: t.Packets, Flows: t.Flows, FirstSeen: m.time("first"), LastSeen: m.time("last"), Services: []Port{}}
		c.A, c.B = &Peer{Zone: c.Zone, Address: m["a"]}, &Peer{Zone: c.Zone, Address: m["b"]}
		if c.B.Address == end {
			c.A, c.B, c.BytesAB, c.BytesBA = c.B, c.A, c.BytesBA, c.BytesAB
		}
		out.Items = append(out.Items, c)
		return nil
	})
	if err != nil {
		return out, err
	}
	slices.SortStableFunc(out.Items, func(a, b Conversation) int {
		x, y := Sums{a.BytesAB + a.BytesBA, a.Packets, a.Flows}, Sums{b.BytesAB + b.BytesBA, b.Packets, b.Flows}
		return compareSums(&y, &x, metric)
	})
	if err := s.services(ctx, &r, f, out.Items); err != nil {
		return out, err
	}
	var peers []*Peer
	for _, c := range out.Items {
		peers = append(peers, c.A, c.B)
	}
	err = s.names(ctx, r.Reach, peers)
	out.TookMS = time.Since(begun).Milliseconds()
	return out, err
}

// services fills in what the conversations were about.
func (s *Service) services(ctx context.Context, r *Range, f string, list []Conversation) error {
	if len(list) == 0 {
		return nil
	}
	pair := func(zone, x, y string) string {
		if x > y {
			x, y = y, x
		}
		return zone + "|" + x + "|" + y
	}
	at := map[string]*Conversation{}
	var these []string
	for i := range list {
		c := &list[i]
		at[pair(c.Zone, c.A.Address, c.B.Address)] = c
		x, y := c.A.Address, c.B.Address
		if x > y {
			x, y = y, x
		}
		these = append(these, fmt.Sprintf("(%s a:=%q b:=%q)", zoneIs(c.Zone), x, y))
	}
	type used struct {
		port  Port
		bytes int64
	}
	found := map[string][]used{}
	query := f + " | stats by (" + quoteAll(append(slices.Clone(ends), "network.transport", "server.port")) + `) sum("icewatch.flow.bytes") bytes | ` + ordered +
		" | filter (" + strings.Join(these, " or ") + `) | stats by ("icewatch.zone", a, b, "network.transport", "server.port") sum(bytes) bytes`
	err := s.ask(ctx, r, query, len(list)*1000, func(m row) error {
		port, _ := strconv.Atoi(m["server.port"])
		k := pair(m.zone(), m["a"], m["b"])
		found[k] = append(found[k], used{portOf(port, m["network.transport"]), m.number("bytes")})
		return nil
	})
	for k, list := range found {
		c := at[k]
		if c == nil {
			continue
		}
		slices.SortFunc(list, func(a, b used) int {
			return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.port.Port, b.port.Port), cmp.Compare(a.port.Transport, b.port.Transport))
		})
		for _, u := range list[:min(len(list), maxServices)] {
			c.Services = append(c.Services, u.port)
		}
	}
	return err
}
