package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/flows"
	"icewatch/soc/reach"
	"icewatch/soc/relation"
	"icewatch/soc/search"
)

// row is one row of a query's answer.
type row map[string]string

func (r row) zone() string {
	if z := r["icewatch.zone"]; z != "" {
		return z
	}
	return relation.DefaultZone
}

func (r row) time(name string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, r[name])
	return t.UTC()
}

func (r row) is(category string) bool { return strings.Contains(r["event.category"], category) }

func ask(ctx context.Context, s Searcher, req search.Request, each func(row) error) error {
	return s.Query(ctx, req, func(b []byte) error {
		var m row
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("relations: a row of the lake: %w", err)
		}
		return each(m)
	})
}

// eventSource tells of what devices and applications logged: sign-ins,
// programs started, requests and connections.
type eventSource struct {
	room   Searcher
	within reach.Reach
	names  *naming
}

func (s *eventSource) Name() string { return "events" }

// What rows are grouped by: all that an edge is made of.
const (
	by = `"icewatch.zone", "icewatch.ci.id", "source.ip", "destination.ip", "destination.port", "network.transport", "host.name", "user.name", "process.name", "process.parent.name", "url.domain", "dns.question.name", "event.category", "event.outcome"`
	// sums are of each group.
	sums    = `count() n, min(_time) began, max(_time) ended`
	noFlows = `!event.dataset:in("flow.netflow","flow.ipfix","flow.sflow","flow.sensor")`
)

func (s *eventSource) Edges(ctx context.Context, q relation.Question) (relation.Found, error) {
	out := relation.Found{Nodes: map[string]relation.Node{}}
	any := false
	for _, k := range []relation.Kind{relation.SignIn, relation.Started, relation.Request, relation.Access, relation.Same} {
		any = any || q.Filter.Wants(k)
	}
	if !any {
		return out, nil
	}
	var where []string
	for _, r := range q.Nodes {
		w, err := s.about(ctx, r)
		if err != nil {
			return out, err
		}
		if w != "" {
			where = append(where, w)
		}
	}
	if len(where) == 0 {
		return out, nil
	}
	if s.room == nil {
		return out, missing("search")
	}
	narrow := ""
	if p := ports("destination.port", q.Filter.Ports); p != "" {
		narrow = " " + p
	}
	req := search.Request{Reach: s.within, Start: q.Start, End: q.End, Limit: maxEdges + 1,
		Query: noFlows + " (" + strings.Join(where, " or ") + ")" + narrow + " | stats by (" + by + ") " + sums + fmt.Sprintf(" | sort by (n desc) limit %d", maxEdges+1)}
	at := map[string]int{}
	rows := 0
	put := func(e relation.Edge, m row) {
		if e.From == "" || e.To == "" || e.From == e.To || !q.Filter.Wants(e.Kind) {
			return
		}
		e.ID = fmt.Sprintf("%s %s %s %s/%d %s", e.Kind, e.From, e.To, e.Transport, e.Port, e.Label)
		n, _ := strconv.ParseInt(m["n"], 10, 64)
		e.Count, e.FirstSeen, e.LastSeen, e.Since = n, m.time("began"), m.time("ended"), q.Start
		if o := m["event.outcome"]; o == "success" || o == "failure" {
			e.Outcome = o
		}
		i, known := at[e.ID]
		if !known {
			at[e.ID] = len(out.Edges)
			out.Edges = append(out.Edges, e)
			return
		}
		out.Edges[i].Add(&e)
	}
	err := ask(ctx, s.room, req, func(m row) error {
		if rows++; rows > maxEdges {
			out.More = true
			return nil
		}
		host, err := s.names.host(ctx, m)
		if err != nil {
			return err
		}
		for _, e := range edgesOf(m, host) {
			put(e, m)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	if q.Filter.Wants(relation.Same) {
		same, err := s.same(ctx, q)
		if err != nil {
			return out, err
		}
		out.Edges = append(out.Edges, same...)
	}
	return out, s.names.settle(ctx, &out)
}

// host is the node of the machine that a group of events happened on: its
// configuration item's where that goes by the name, else the name itself.
func (n *naming) host(ctx context.Context, m row) (string, error) {
	name := m["host.name"]
	if name == "" {
		return "", nil
	}
	on, err := n.machine(ctx, m["icewatch.ci.id"])
	if err != nil {
		return "", err
	}
	if on.called(name) {
		return on.ref.ID(), nil
	}
	return relation.Ref{Type: relation.Host, Value: name}.ID(), nil
}

// meeting are events of a machine that tell whom it met.
const meeting = `(event.category:in("authentication","process","session","iam") or source.ip:* or destination.ip:* or dns.question.name:* or url.domain:*)`

// about is the LogsQL of events that have to do with an entity.
func (s *eventSource) about(ctx context.Context, r relation.Ref) (string, error) {
	switch r.Type {
	case relation.IP:
		zone, address := r.Place()
		at := fmt.Sprintf(`(%s (source.ip:=%q or destination.ip:=%[2]q))`, zoneIs(zone), address)
		if err := s.names.places(ctx, []string{r.ID()}); err != nil {
			return "", err
		}
		if item := s.names.known[r.ID()].Item; item != "" {
			at = fmt.Sprintf(`(%s or (icewatch.ci.id:=%q host.name:* %s))`, at, item, meeting)
		}
		return at, nil
	case relation.Item:
		return fmt.Sprintf(`(icewatch.ci.id:=%q host.name:* %s)`, r.Value, meeting), nil
	case relation.Host:
		return fmt.Sprintf(`(host.name:=%q %s)`, r.Value, meeting), nil
	case relation.User:
		return fmt.Sprintf(`user.name:=%q`, r.Value), nil
	case relation.Process:
		host, name, _ := strings.Cut(r.Value, "|")
		return fmt.Sprintf(`(host.name:=%q (process.name:=%q or process.parent.name:=%[2]q))`, host, name), nil
	case relation.Domain:
		return fmt.Sprintf(`(url.domain:i(%q) or dns.question.name:i(%[1]q))`, r.Value), nil
	}
	return "", nil
}

// edgesOf reads what a group of events tells of who met whom.
func edgesOf(m row, host string) (list []relation.Edge) {
	name := func(t relation.Type, value string) string {
		if value == "" {
			return ""
		}
		return relation.Ref{Type: t, Value: value}.ID()
	}
	var source, dest, user, process, parent, domain string
	if v := m["source.ip"]; v != "" {
		source = place(m.zone(), v)
	}
	if v := m["destination.ip"]; v != "" {
		dest = place(m.zone(), v)
	}
	user = name(relation.User, m["user.name"])
	if m["host.name"] != "" && m["process.name"] != "" {
		process = name(relation.Process, m["host.name"]+"|"+m["process.name"])
	}
	if m["host.name"] != "" && m["process.parent.name"] != "" {
		parent = name(relation.Process, m["host.name"]+"|"+m["process.parent.name"])
	}
	asked := m["url.domain"]
	if asked == "" {
		asked = m["dns.question.name"]
	}
	domain = name(relation.Domain, strings.TrimSuffix(strings.ToLower(asked), "."))
	port, _ := strconv.Atoi(m["destination.port"])
	transport := m["network.transport"]
	service := flows.ServiceOf(port, transport)
	query := queryOf(m)
	add := func(from, to string, kind relation.Kind, label string, port int, transport string) {
		list = append(list, relation.Edge{From: from, To: to, Kind: kind, Label: label, Port: port, Transport: transport, Query: query})
	}
	first := func(ids ...string) string {
		for _, id := range ids {
			if id != "" {
				return id
			}
		}
		return ""
	}
	switch {
	case m.is("authentication"):
		// From where, as whom, on what.
		add(source, first(host, dest), relation.SignIn, m["user.name"], port, transport)
		add(user, first(host, dest), relation.SignIn, "", 0, "")
		if user != "" {
			add(source, user, relation.SignIn, "", 0, "")
		}
	case m.is("process"):
		add(parent, process, relation.Started, "", 0, "")
		add(user, process, relation.Started, "", 0, "")
		add(host, process, relation.Started, "", 0, "")
	case m.is("web") || domain != "":
		add(first(source, host), first(domain, dest, host), relation.Request, service, port, transport)
	case source != "" && dest != "":
		add(source, dest, relation.Access, service, port, transport)
	case source != "" && host != "":
		add(source, host, relation.Access, service, port, transport)
	case dest != "" && host != "":
		add(host, dest, relation.Access, service, port, transport)
	case user != "" && host != "":
		add(user, host, relation.Access, "", 0, "")
	}
	// What a firewall on the machine saw passing by, its process did not do.
	if process != "" && dest != "" && dest != host && (source == "" || source == host) && !m.is("process") {
		add(process, dest, relation.Access, service, port, transport)
	}
	return list
}

// place is the id of an address, as it stands in the row where it is hidden.
func place(zone, value string) string {
	if addr, err := netip.ParseAddr(value); err == nil {
		value = addr.Unmap().WithZone("").String()
	}
	return relation.AtPlace(zone, value).ID()
}

// queryOf is the LogsQL that finds a group's events again.
func queryOf(m row) string {
	parts := []string{noFlows}
	for _, f := range []string{"source.ip", "destination.ip", "destination.port", "host.name", "user.name", "process.name", "process.parent.name", "url.domain", "dns.question.name", "event.category"} {
		if v := m[f]; v != "" {
			parts = append(parts, f+":="+strconv.Quote(v))
		}
	}
	return strings.Join(parts, " ")
}

// same tells which names and addresses are one machine's, as its own events
// say: host.name beside host.ip.
func (s *eventSource) same(ctx context.Context, q relation.Question) (list []relation.Edge, err error) {
	var where []string
	wanted := map[string]bool{}
	for _, r := range q.Nodes {
		switch r.Type {
		case relation.IP:
			zone, address := r.Place()
			where = append(where, fmt.Sprintf(`(%s host.ip:%q)`, zoneIs(zone), address))
		case relation.Host:
			where = append(where, fmt.Sprintf(`(host.name:=%q host.ip:*)`, r.Value))
		default:
			continue
		}
		wanted[r.ID()] = true
	}
	if len(where) == 0 {
		return nil, nil
	}
	have := map[string]bool{}
	req := search.Request{Reach: s.within, Start: q.Start, End: q.End, Limit: 500,
		Query: `host.name:* host.ip:* (` + strings.Join(where, " or ") + `) | stats by ("icewatch.zone", "icewatch.ci.id", "host.name", "host.ip") ` + sums + ` | sort by (n desc) limit 500`}
	err = ask(ctx, s.room, req, func(m row) error {
		host, err := s.names.host(ctx, m)
		if err != nil {
			return err
		}
		for _, address := range addresses(m["host.ip"]) {
			at := relation.AtPlace(m.zone(), address).ID()
			id := "same " + host + " " + at
			if have[id] || host == at || !wanted[host] && !wanted[at] {
				continue
			}
			have[id] = true
			n, _ := strconv.ParseInt(m["n"], 10, 64)
			list = append(list, relation.Edge{ID: id, From: host, To: at, Kind: relation.Same, Count: n, Query: fmt.Sprintf(`host.name:=%q host.ip:%q`, m["host.name"], address)})
		}
		return nil
	})
	return list, err
}

// addresses reads one address, or a list of them as JSON, and leaves out those
// that every machine has.
func addresses(text string) (out []string) {
	list := []string{text}
	if strings.HasPrefix(text, "[") {
		list = nil
		if json.Unmarshal([]byte(text), &list) != nil {
			return nil
		}
	}
	for _, v := range list {
		if a, err := netip.ParseAddr(v); err == nil && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() {
			out = append(out, a.Unmap().WithZone("").String())
		}
	}
	return out
}
