package api

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/cmdb"
	"icewatch/detections"
	"icewatch/soc/entity"
	"icewatch/soc/flows/ports"
	"icewatch/soc/identity"
	"icewatch/soc/search"
	"icewatch/ticketing"
)

// Bounds of the parts of an entity's page.
const (
	entityBars   = 60   // of events over time, about
	entityKinds  = 8    // kinds of events that are told apart over time
	entityTop    = 12   // values of a field
	entityPeers  = 500  // at the other end
	entityRows   = 5000 // of the lake that peers are made of
	entityNames  = 20   // names or addresses of a kind that it had
	peerServices = 20
)

// entityFacets are the fields whose values a behaviour tells, in the order of
// the page.
var entityFacets = []string{"event.dataset", "host.name", "observer.name", "event.action", "event.outcome", "network.transport", "network.protocol", "destination.port", "server.port",
	"user.name", "source.ip", "destination.ip", "process.name", "process.executable", "url.domain", "dns.question.name", "http.response.status_code", "service.name", "icewatch.tenant"}

// entityKind is a kind of events over time.
type entityKind struct {
	Kind   string `json:"kind" doc:"event.category; empty for events without one"`
	Events int64  `json:"events"`
	Values []int  `json:"values" nullable:"false" doc:"In the buckets"`
}

// entityPlace is where in the world an address is, as its events say.
type entityPlace struct {
	Country string `json:"country,omitempty"`
	Code    string `json:"code,omitempty" doc:"ISO 3166-1"`
	City    string `json:"city,omitempty"`
	AS      string `json:"as,omitempty" doc:"Number and name of the autonomous system"`
}

// entityBehaviour is what an entity did in a time.
type entityBehaviour struct {
	Start   time.Time      `json:"start"`
	End     time.Time      `json:"end"`
	Query   string         `json:"query" doc:"LogsQL of its events"`
	Events  int64          `json:"events"`
	First   *time.Time     `json:"first,omitempty" doc:"Of these events"`
	Last    *time.Time     `json:"last,omitempty"`
	StepMS  int64          `json:"step_ms"`
	Times   []time.Time    `json:"times" nullable:"false" doc:"Beginnings of the buckets"`
	Kinds   []entityKind   `json:"kinds" nullable:"false" doc:"Most events first; what is beyond eight is one, with the kind *"`
	Signins map[string]int `json:"signins" doc:"Sign-ins by event.outcome"`
	Facets  []search.Facet `json:"facets" nullable:"false"`
	Place   *entityPlace   `json:"place,omitempty"`
}

func whole(text string) int64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64) // large sums are written as 1.2e+10, and the sum of nothing as NaN
	if err != nil || !(f > 0 && f < math.MaxInt64) {
		return 0
	}
	return int64(f)
}

func instant(text string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil
	}
	t = t.UTC()
	return &t
}

func (r *entityReading) behaviour(ctx context.Context) (entityBehaviour, error) {
	out := entityBehaviour{Start: r.start, End: r.end, Query: r.filter, Times: []time.Time{}, Kinds: []entityKind{}, Facets: []search.Facet{}, Signins: map[string]int{}}
	err := r.ask(ctx, r.filter, " | stats count() n, min(_time) first, max(_time) last", 1, func(m map[string]string) error {
		if out.Events = whole(m["n"]); out.Events > 0 {
			out.First, out.Last = instant(m["first"]), instant(m["last"])
		}
		return nil
	})
	step := search.Step(r.end.Sub(r.start), entityBars)
	out.StepMS = step.Milliseconds()
	first := time.Unix(0, r.start.UnixNano()-r.start.UnixNano()%int64(step)).UTC() // buckets are counted from 1970, as the lake does
	for t := first; t.Before(r.end); t = t.Add(step) {
		out.Times = append(out.Times, t)
	}
	if err != nil || out.Events == 0 {
		return out, err
	}
	kinds := map[string]*entityKind{}
	err = r.ask(ctx, r.filter, ` | stats by (_time:`+step.String()+`, "event.category") count() n`, (len(out.Times)+2)*200, func(m map[string]string) error {
		k := kinds[m["event.category"]]
		if k == nil {
			k = &entityKind{Kind: m["event.category"], Values: make([]int, len(out.Times))}
			kinds[k.Kind] = k
		}
		n := whole(m["n"])
		k.Events += n
		if t := instant(cmp.Or(m["@timestamp"], m["_time"])); t != nil {
			if at := int(t.Sub(first) / step); at >= 0 && at < len(k.Values) {
				k.Values[at] += int(n)
			}
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for _, k := range kinds {
		out.Kinds = append(out.Kinds, *k)
	}
	slices.SortFunc(out.Kinds, func(a, b entityKind) int { return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Kind, b.Kind)) })
	if len(out.Kinds) > entityKinds {
		rest := entityKind{Kind: "*", Values: make([]int, len(out.Times))}
		for _, k := range out.Kinds[entityKinds-1:] {
			rest.Events += k.Events
			for i, n := range k.Values {
				rest.Values[i] += n
			}
		}
		out.Kinds = append(out.Kinds[:entityKinds-1], rest)
	}
	err = r.ask(ctx, r.filter+` "event.category":authentication`, ` | stats by ("event.outcome") count() n`, 20, func(m map[string]string) error {
		out.Signins[cmp.Or(m["event.outcome"], "unknown")] += int(whole(m["n"]))
		return nil
	})
	if err != nil {
		return out, err
	}
	f, err := r.s.deps.Search.Facets(ctx, search.Request{Reach: r.within, Query: r.filter, Start: r.start, End: r.end}, entityFacets, entityTop)
	if err != nil {
		return out, err
	}
	for _, x := range f.Facets {
		x.Values = slices.DeleteFunc(x.Values, func(v search.ValueHits) bool { return v.Value == "" })
		if len(x.Values) > 0 {
			out.Facets = append(out.Facets, x)
		}
	}
	if r.Type == entity.IP {
		out.Place, err = r.place(ctx)
	}
	return out, err
}

// place is where an address is, as the latest event that says so.
func (r *entityReading) place(ctx context.Context) (*entityPlace, error) {
	var out *entityPlace
	for _, side := range []string{"source", "destination"} {
		if out != nil {
			break
		}
		err := r.ask(ctx, entity.AnyOf(side+".ip", []string{r.Value})+` "`+side+`.geo.country_iso_code":*`, ` | fields "`+side+`.geo.country_name", "`+side+`.geo.country_iso_code", "`+side+`.geo.city_name", "`+side+`.as.number", "`+side+`.as.organization.name"`, 1, func(m map[string]string) error {
			as := m[side+".as.organization.name"]
			if n := m[side+".as.number"]; n != "" {
				as = strings.TrimSpace("AS" + n + " " + as)
			}
			out = &entityPlace{Country: m[side+".geo.country_name"], Code: m[side+".geo.country_iso_code"], City: m[side+".geo.city_name"], AS: as}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// entitySeen is when an entity was first and last seen.
type entitySeen struct {
	Events int64      `json:"events"`
	First  *time.Time `json:"first,omitempty"`
	Last   *time.Time `json:"last,omitempty"`
}

// alertsOf is the query of the entity's alerts in a role.
func (r *entityReading) alertsOf(role string) ticketing.AlertQuery {
	q := ticketing.AlertQuery{Reach: r.within, Since: r.start, Until: r.end.Add(-time.Millisecond), Involved: r.involved}
	own := r.places
	if r.Type == entity.IP {
		own = []string{r.Value}
	}
	switch role {
	case "attacker":
		q.Involved = &ticketing.Involved{Attackers: own}
		if r.Type == entity.SystemUser || r.Type == entity.AppUser || r.Type == entity.Mail || r.Type == entity.File || r.Type == entity.Domain && len(own) == 0 {
			q.Involved = r.involved // the only part that alerts know of them
		}
	case "victim":
		q.Involved = &ticketing.Involved{Victims: own}
		if ids := r.ids(); len(ids) > 0 {
			q.Involved = &ticketing.Involved{About: ids} // whatever address it had; equal ones of other zones are not it
		}
	}
	return q
}

// entityPortrait is what alerts say of an entity in a role.
type entityPortrait struct {
	ticketing.Portrait
	Role      string            `json:"role"`
	Partial   bool              `json:"partial,omitempty" doc:"Only the first 50,000 alerts are counted"`
	Suspicion *entity.Suspicion `json:"suspicion,omitempty" doc:"The machine that was presumably broken into first; absent where no alert tells of a break-in"`
}

func (r *entityReading) portrait(ctx context.Context, role string) (entityPortrait, error) {
	tickets := r.s.deps.Entities.Tickets
	query := r.alertsOf(role)
	p, partial, err := tickets.Portray(ctx, query)
	if err != nil {
		return entityPortrait{}, ticketProblem(err)
	}
	out := entityPortrait{Portrait: p, Role: role, Partial: partial}
	query.Verdicts = []string{string(detections.Success), string(detections.Compromised)}
	got, _, err := tickets.Portray(ctx, query)
	if err != nil {
		return out, ticketProblem(err)
	}
	var signs []entity.Sign
	for _, l := range append(slices.Clone(p.Chain), got.Chain...) {
		if slices.ContainsFunc(signs, func(s entity.Sign) bool { return s.ID == l.ID }) {
			continue
		}
		signs = append(signs, entity.Sign{ID: l.ID, From: l.FirstSeen.Time, To: l.LastSeen.Time, Attacker: sideOf(l.Attacker), Victim: sideOf(l.Victim),
			Succeeded: l.Verdict == detections.Success, Compromised: l.Verdict == detections.Compromised})
	}
	var failed error
	s, ok := entity.Suspect(signs, func(attacker, victim entity.Side) time.Time {
		if attacker.IP == "" || victim.IP == "" {
			return time.Time{}
		}
		var first *time.Time
		failed = errors.Join(failed, r.ask(ctx, entity.AnyOf("source.ip", []string{attacker.IP})+" "+entity.AnyOf("destination.ip", []string{victim.IP}), " | stats count() n, min(_time) first", 1, func(m map[string]string) error {
			if whole(m["n"]) > 0 {
				first = instant(m["first"])
			}
			return nil
		}))
		if first == nil {
			return time.Time{}
		}
		return *first
	})
	if ok {
		out.Suspicion = &s
	}
	return out, failed
}

func sideOf(p *detections.Party) entity.Side {
	if p == nil {
		return entity.Side{}
	}
	return entity.Side{Item: p.Item, Name: p.Name, IP: p.IP, Internal: p.Item != "" || p.Zone != "" || p.Tenant != ""}
}

// entityPeer is an address at the other end.
type entityPeer struct {
	Address  string    `json:"address"`
	Name     string    `json:"name,omitempty" doc:"Of the item there, where it is in reach"`
	Item     string    `json:"item,omitempty" doc:"Id of that item"`
	Internal bool      `json:"internal" doc:"It is ours"`
	Country  string    `json:"country,omitempty"`
	Code     string    `json:"code,omitempty" doc:"ISO 3166-1"`
	Abroad   bool      `json:"abroad" doc:"It is outside of China, as its place says"`
	Out      int64     `json:"out" doc:"Events from the entity to it"`
	In       int64     `json:"in" doc:"Events from it to the entity"`
	Bytes    int64     `json:"bytes" doc:"Of both directions, as flows and devices count them"`
	Services []string  `json:"services" nullable:"false" doc:"Transport and port, with the name of the service: 20 at most"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// entityPeersView is whom an entity communicates with.
type entityPeersView struct {
	Items     []entityPeer `json:"items" nullable:"false" doc:"Most events first, 500 at most"`
	Total     int          `json:"total" doc:"Peers that were found"`
	Abroad    int          `json:"abroad" doc:"Of these, outside of China"`
	Internal  int          `json:"internal" doc:"Of these, ours"`
	Partial   bool         `json:"partial,omitempty" doc:"There are more pairs of peer and port than were looked at"`
	Addresses []string     `json:"addresses" nullable:"false" doc:"The entity's own; empty where the peers are the addresses that its events name"`
}

// home are the codes of places that are not abroad.
var home = []string{"", "CN", "HK", "MO", "TW"}

func (r *entityReading) peers(ctx context.Context) (entityPeersView, error) {
	out := entityPeersView{Items: []entityPeer{}, Addresses: append([]string{}, r.places...)}
	found := map[string]*entityPeer{}
	add := func(side string, outward bool) func(m map[string]string) error {
		rows := 0
		return func(m map[string]string) error {
			if rows++; rows > entityRows {
				out.Partial = true
				return nil
			}
			ip := m[side+".ip"]
			if ip == "" || slices.Contains(r.places, ip) {
				return nil
			}
			p := found[ip]
			if p == nil {
				p = &entityPeer{Address: ip, Services: []string{}}
				found[ip] = p
			}
			n := whole(m["n"])
			if outward {
				p.Out += n
			} else {
				p.In += n
			}
			p.Bytes += whole(m["fb"]) + whole(m["sb"]) + whole(m["db"])
			p.Code, p.Country = cmp.Or(p.Code, m["code"]), cmp.Or(p.Country, m["country"])
			p.Internal = p.Internal || m["internal"] == "true"
			if f := instant(m["first"]); f != nil && (p.First.IsZero() || f.Before(p.First)) {
				p.First = *f
			}
			if l := instant(m["last"]); l != nil && l.After(p.Last) {
				p.Last = *l
			}
			if port := m["destination.port"]; port != "" && port != "0" {
				text := strings.TrimPrefix(m["network.transport"]+"/"+port, "/")
				if n, err := strconv.ParseUint(port, 10, 16); err == nil && ports.Name(uint16(n)) != "" {
					text += " " + ports.Name(uint16(n))
				}
				if !slices.Contains(p.Services, text) && len(p.Services) < peerServices {
					p.Services = append(p.Services, text)
				}
			}
			return nil
		}
	}
	pipes := func(side string) string {
		return ` "` + side + `.ip":* | stats by ("` + side + `.ip", "network.transport", "destination.port") count() n, sum("icewatch.flow.bytes") fb` +
			`, sum("source.bytes") if (!"icewatch.flow.bytes":*) sb, sum("destination.bytes") if (!"icewatch.flow.bytes":*) db, min(_time) first, max(_time) last` +
			`, max("` + side + `.geo.country_iso_code") code, max("` + side + `.geo.country_name") country, max("icewatch.` + side + `.internal") internal` +
			` | sort by (n desc, "` + side + `.ip", "destination.port") | limit ` + strconv.Itoa(entityRows+1)
	}
	asSource, asTarget := r.filter, r.filter
	if len(r.places) > 0 {
		zone := ""
		if r.Type == entity.IP && r.Zone != "" {
			zone = " " + entity.InZone(r.Zone)
		} else if len(r.items) == 1 && r.items[0].Zone != "" {
			zone = " " + entity.InZone(r.items[0].Zone)
		}
		asSource, asTarget = entity.AnyOf("source.ip", r.places)+zone, entity.AnyOf("destination.ip", r.places)+zone
	}
	if err := r.ask(ctx, asSource, pipes("destination"), entityRows+1, add("destination", true)); err != nil {
		return out, err
	}
	if err := r.ask(ctx, asTarget, pipes("source"), entityRows+1, add("source", false)); err != nil {
		return out, err
	}
	out.Total = len(found)
	for _, p := range found {
		p.Abroad = !slices.Contains(home, p.Code)
		if p.Abroad {
			out.Abroad++
		}
		if p.Internal {
			out.Internal++
		}
		out.Items = append(out.Items, *p)
	}
	slices.SortFunc(out.Items, func(a, b entityPeer) int {
		return cmp.Or(cmp.Compare(b.Out+b.In, a.Out+a.In), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Address, b.Address))
	})
	out.Items = out.Items[:min(len(out.Items), entityPeers)]
	return out, r.named(ctx, out.Items)
}

// named finds the items at the addresses of the first peers.
func (r *entityReading) named(ctx context.Context, list []entityPeer) error {
	if r.s.deps.CMDB == nil {
		return nil
	}
	for i := range list[:min(len(list), 100)] {
		p := &list[i]
		page, err := r.s.deps.CMDB.Items(ctx, r.within, cmdb.Filter{Address: p.Address, Zone: r.Zone, Limit: 2})
		if err != nil {
			return err
		}
		if len(page.Items) == 1 { // of several, in different zones, nobody knows which
			p.Item, p.Name = page.Items[0].ID, page.Items[0].Name
			p.Internal = true
		}
	}
	return nil
}

// entityName is a name, address or account that an entity was seen with.
type entityName struct {
	Field  string    `json:"field"`
	Value  string    `json:"value"`
	Events int64     `json:"events"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// entityHistory is what an entity was.
type entityHistory struct {
	Names   []entityName        `json:"names" nullable:"false" doc:"That its events name in the time, the latest first within each field"`
	Changes []cmdb.HistoryEntry `json:"changes" nullable:"false" doc:"Of the CMDB's items behind it, the latest first, 100 at most"`
}

// alongside are the fields that tell what else an entity is called.
var alongside = map[entity.Type][]string{
	entity.IP: {"host.name", "source.mac", "dns.question.name", "user.name"}, entity.Asset: {"host.name", "host.ip", "host.mac", "user.name"}, entity.Device: {"host.ip", "host.mac", "observer.ip", "icewatch.ci.name", "user.name"},
	entity.Website: {"destination.ip", "server.ip", "service.name"}, entity.Domain: {"dns.resolved_ip", "destination.ip", "source.ip"}, entity.File: {"file.path", "file.name", "file.hash.sha256", "process.hash.sha256", "host.name"},
	entity.Mail: {"source.ip", "email.subject", "user.name"}, entity.AppUser: {"source.ip", "client.ip", "user.name", "user.roles", "service.name"}, entity.SystemUser: {"source.ip", "host.name", "user.domain", "user.id"},
	entity.Organisation: {"icewatch.ci.name"},
}

func (r *entityReading) history(ctx context.Context) (entityHistory, error) {
	out := entityHistory{Names: []entityName{}, Changes: []cmdb.HistoryEntry{}}
	for _, field := range alongside[r.Type] {
		filter := r.filter
		switch { // an address is a host's where the host says so, not where somebody else names both
		case r.Type == entity.IP && field == "host.name":
			filter = `"host.ip":` + strconv.Quote(r.Value)
		case r.Type == entity.IP && (field == "source.mac" || field == "user.name"):
			filter = entity.AnyOf("source.ip", []string{r.Value})
		case r.Type == entity.IP && field == "dns.question.name":
			filter = `"dns.resolved_ip":` + strconv.Quote(r.Value)
		}
		if r.Type == entity.IP && r.Zone != "" && filter != r.filter {
			filter += " " + entity.InZone(r.Zone)
		}
		name := strconv.Quote(field)
		err := r.ask(ctx, filter+" "+name+":*", " | stats by ("+name+") count() n, min(_time) first, max(_time) last | sort by (last desc) | limit "+strconv.Itoa(entityNames), entityNames, func(m map[string]string) error {
			f, l := instant(m["first"]), instant(m["last"])
			if f == nil || l == nil || m[field] == "" {
				return nil
			}
			out.Names = append(out.Names, entityName{field, m[field], whole(m["n"]), *f, *l})
			return nil
		})
		if err != nil {
			return out, err
		}
	}
	for _, it := range r.items {
		list, err := r.s.deps.CMDB.History(ctx, r.within, it.ID, 0, 100)
		if err != nil {
			return out, err
		}
		out.Changes = append(out.Changes, list...)
	}
	slices.SortFunc(out.Changes, func(a, b cmdb.HistoryEntry) int { return cmp.Compare(b.ID, a.ID) })
	out.Changes = out.Changes[:min(len(out.Changes), 100)]
	return out, nil
}

func (s *Server) entityReadRoutes() {
	tickets := s.deps.Entities.Tickets
	Register(s, entityOperation("get-entity-behaviour", "/behaviour", "What an entity did in a time: events by kind, sources, protocols, sign-ins, processes, sites"), identity.ScopeRead,
		func(ctx context.Context, in *struct{ EntityPeriod }) (*Body[entityBehaviour], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (entityBehaviour, error) { return r.behaviour(ctx) })
		})
	Register(s, entityOperation("get-entity-seen", "/seen", "When an entity was first and last seen, in the last 400 days by default"), identity.ScopeRead,
		func(ctx context.Context, in *struct{ EntityPeriod }) (*Body[entitySeen], error) {
			if in.Start == "" && in.Since == "" {
				in.Since = "9599h"
			}
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (out entitySeen, err error) {
				err = r.ask(ctx, r.filter, " | stats count() n, min(_time) first, max(_time) last", 1, func(m map[string]string) error {
					if out.Events = whole(m["n"]); out.Events > 0 {
						out.First, out.Last = instant(m["first"]), instant(m["last"])
					}
					return nil
				})
				return out, err
			})
		})
	Register(s, entityOperation("get-entity-peers", "/peers", "Whom an entity communicates with: peers, ports, bytes, direction, abroad"), identity.ScopeRead,
		func(ctx context.Context, in *struct{ EntityPeriod }) (*Body[entityPeersView], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (entityPeersView, error) { return r.peers(ctx) })
		})
	Register(s, entityOperation("get-entity-history", "/history", "Names, addresses and accounts an entity was seen with, and changes of its items in the CMDB"), identity.ScopeRead,
		func(ctx context.Context, in *struct{ EntityPeriod }) (*Body[entityHistory], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (entityHistory, error) { return r.history(ctx) })
		})
	Register(s, entityOperation("get-entity-portrait", "/portrait", "An entity as attacker or victim: alerts counted, techniques, chain of events, states, how alerts were closed, the first break-in"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EntityPeriod
			Role string `query:"role" enum:"any,attacker,victim" default:"any" doc:"What part the entity plays in the alerts"`
		}) (*Body[entityPortrait], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (entityPortrait, error) { return r.portrait(ctx, in.Role) })
		})

	alerts := entityOperation("list-entity-alerts", "/alerts", "Alerts that tell of an entity, in a role, the latest first")
	Register(s, alerts, identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EntityPeriod
			PageInput
			Role string `query:"role" enum:"any,attacker,victim" default:"any"`
		}) (*Body[Page[ticketing.Alert]], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (Page[ticketing.Alert], error) {
				q := r.alertsOf(in.Role)
				q.Page = ticketing.Page{Limit: in.Limit, Cursor: in.Cursor}
				items, total, next, err := tickets.Alerts(ctx, q)
				return PageOf(items, total, next), ticketProblem(err)
			})
		})
	Register(s, entityOperation("list-entity-incidents", "/incidents", "Incidents with alerts that tell of an entity, the latest first"), identity.ScopeRead,
		func(ctx context.Context, in *struct {
			EntityPeriod
			PageInput
		}) (*Body[Page[ticketing.Incident]], error) {
			return readEntity(s, ctx, in.EntityPeriod, func(ctx context.Context, r *entityReading) (Page[ticketing.Incident], error) {
				items, total, next, err := tickets.Incidents(ctx, ticketing.IncidentQuery{Reach: r.within, Alerts: r.involved, Since: r.start, Until: r.end.Add(-time.Millisecond), Page: ticketing.Page{Limit: in.Limit, Cursor: in.Cursor}})
				return PageOf(items, total, next), ticketProblem(err)
			})
		})
}
