package verdict

import (
	"net/netip"
	"strconv"
	"strings"

	"icewatch/detections"
)

// way is who attacks whom and where that goes.
type way struct {
	attacker, victim *detections.Party
	direction        string
	onHost           bool // the victim itself tells of it
	fromVictim       bool // the victim made the connection
}

// end is one end of a connection, or the machine that tells of itself.
type end struct {
	addr     netip.Addr
	name     string
	item     string
	system   string
	tenant   string
	zone     string
	internal bool
}

func (e end) known() bool { return e.addr.IsValid() || e.item != "" || e.name != "" }

// same tells whether two ends are one machine.
func (e end) same(o end) bool {
	return e.item != "" && e.item == o.item || e.addr.IsValid() && e.addr == o.addr || !e.addr.IsValid() && e.name != "" && strings.EqualFold(e.name, o.name)
}

func (e end) party(user string) *detections.Party {
	p := &detections.Party{Name: e.name, User: user, Zone: e.zone, Item: e.item, System: e.system, Tenant: e.tenant}
	if e.addr.IsValid() {
		p.IP = e.addr.String()
	}
	if *p == (detections.Party{}) {
		return nil
	}
	return p
}

// relays are labels of items whose address stands for others.
var relays = []string{"relay", "proxy", "nat", "waf", "load-balancer"}

// wayOf works out who attacks whom.
//
// Who opened the connection is the client where the event names one, else the
// source; a packet from a well-known port to a high one is an answer, and its
// receiver opened the connection. Behind a proxy of ours it is who the proxy
// says that it is, and a server behind destination NAT is the one that is
// reached. Who opened the connection attacks, but where a machine of ours talks
// to the outside as what broke into it would (command and control,
// exfiltration): then it is the victim. A machine that tells of itself is the
// victim of whoever it names, and where it names nobody, of its own user.
func wayOf(f facts, r *Rule, places Places) way {
	zone, tenant := f.get("icewatch.zone"), f.o.Tenant
	look := func(addr netip.Addr, side string) end { return endAt(f, places, zone, tenant, addr, side) }

	source, destination := look(f.addr("source.ip"), "source"), look(f.addr("destination.ip"), "destination")
	from, to := source, destination
	if answers(f) {
		from, to = destination, source
	}
	if c := f.addr("client.ip"); c.IsValid() && c != from.addr {
		if c == to.addr {
			from, to = to, from
		} else if !f.addr("server.ip").IsValid() || f.addr("server.ip") != from.addr {
			from = look(c, "client")
		}
	}
	if s := f.addr("server.ip"); s.IsValid() && s != to.addr && s != from.addr {
		to = look(s, "server")
	}
	if behind := forwarded(f, source, places, zone, tenant); behind.IsValid() && from.addr == source.addr {
		from = look(behind, "client")
	}
	if nat := f.addr("destination.nat.ip"); nat.IsValid() && to.addr == destination.addr && to.item == "" {
		if real := look(nat, "destination.nat"); real.internal {
			to = real
		}
	}
	host := hostOf(f, places, zone, tenant)
	watched := f.has("event.category", "network", "intrusion_detection") && to.known() && !host.same(from) && !host.same(to)
	own := !watched && host.known()
	if own && !to.known() && !host.same(from) {
		to = host
	}
	if !own && !from.known() && !to.known() && host.known() {
		own, to = true, host
	}

	w := way{direction: direction(from, to, host)}
	user := f.get("user.name", "source.user.name", "client.user.name")
	target := f.get("user.target.name", "destination.user.name", "server.user.name")
	w.fromVictim = r.leaves && from.known() && from.internal && to.known() && !to.internal
	attacker, victim := from, to
	switch {
	case r.claims.Attacker == "source":
	case r.claims.Attacker == "destination":
		attacker, victim = to, from
	case r.claims.Attacker == "host":
		attacker, victim = host, to
		if host.same(to) {
			victim = from
		}
	case w.fromVictim:
		attacker, victim = to, from
	}
	w.onHost = own && (!victim.known() || host.same(victim))
	if !victim.known() && own {
		victim = host
	}
	switch {
	case attacker.known() && !attacker.same(victim):
		// The account is the attacked one where somebody signs in from elsewhere.
		if target == "" && login(f) {
			target, user = user, ""
		}
		if w.fromVictim {
			target, user = user, ""
		}
		w.attacker, w.victim = attacker.party(user), victim.party(target)
	case own:
		w.victim = victim.party(target)
		if user != "" {
			w.attacker = &detections.Party{User: user, Name: victim.name, Item: victim.item, Zone: victim.zone, System: victim.system, Tenant: victim.tenant}
		}
	default:
		w.victim = victim.party(target)
	}
	return w
}

// endAt is the end with an address. side is how enrichment's fields call it;
// of others than source and destination only the CMDB tells.
func endAt(f facts, places Places, zone, tenant string, addr netip.Addr, side string) end {
	if !addr.IsValid() {
		return end{}
	}
	e := end{addr: addr}
	prefix := "icewatch." + side + "."
	e.item, e.name = f.get(prefix+"ci.id"), f.get(prefix+"ci.name")
	if e.item != "" && e.item == f.get("icewatch.ci.id") {
		e.system, e.tenant = f.get("icewatch.ci.system.name"), f.get("icewatch.ci.tenant", "icewatch.tenant")
	}
	switch f.get(prefix + "internal") {
	case "true":
		e.internal = true
	case "":
		e.internal = addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
	}
	if places == nil {
		return e
	}
	p := places(zone, tenant, addr)
	e.internal = e.internal || p.Internal
	e.zone = p.Zone
	if p.Item != "" {
		e.item, e.name, e.system, e.tenant = p.Item, p.Name, p.System, p.Tenant
	} else if e.tenant == "" {
		e.tenant = p.Tenant
	}
	return e
}

// hostOf is the machine that the event happened on.
func hostOf(f facts, places Places, zone, tenant string) end {
	name := f.get("host.name", "host.hostname")
	addr := f.addr("host.ip")
	e := end{addr: addr, name: name, internal: true}
	if addr.IsValid() && places != nil {
		p := places(zone, tenant, addr)
		e.zone = p.Zone
		if p.Item != "" {
			e.item, e.name, e.system, e.tenant = p.Item, p.Name, p.System, p.Tenant
		}
	}
	if id := f.get("icewatch.ci.id"); id != "" && e.item == "" && (name != "" || addr.IsValid()) &&
		id != f.get("icewatch.source.ci.id") {
		e.item, e.system, e.tenant = id, f.get("icewatch.ci.system.name"), f.get("icewatch.ci.tenant", "icewatch.tenant")
		if n := f.get("icewatch.ci.name"); n != "" {
			e.name = n
		}
	}
	return e
}

// forwarded is the address that a proxy of ours passes a request on for. Anybody
// can send the header: it counts only where the request comes from ourselves or
// from an item that is labelled as one that stands for others, and of the list
// the last address that is not ours, which our own proxy put there.
func forwarded(f facts, source end, places Places, zone, tenant string) netip.Addr {
	relay := false
	for _, l := range split(f.o.Fields["icewatch.source.ci.labels"]) {
		for _, known := range relays {
			relay = relay || l == known
		}
	}
	if !relay && !source.internal {
		return netip.Addr{}
	}
	list := f.get("network.forwarded_ip", "http.request.headers.x-forwarded-for", "http.request.headers.x_forwarded_for", "http.request.x_forwarded_for",
		"x_forwarded_for", "xff", "suricata.eve.http.xff", "suricata.eve.xff", "client.nat.ip")
	parts := strings.Split(list, ",")
	for i := len(parts) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(parts[i]))
		if err != nil {
			continue
		}
		a = a.Unmap().WithZone("")
		if i == 0 || !endAt(f, places, zone, tenant, a, "client").internal {
			return a
		}
	}
	return netip.Addr{}
}

// answers tells whether what is logged is an answer: from a well-known port to
// one that clients use, and nothing says who opened the connection.
func answers(f facts) bool {
	if f.get("client.ip", "server.ip") != "" || !f.has("event.category", "network", "intrusion_detection") {
		return false
	}
	from, err1 := strconv.Atoi(f.get("source.port"))
	to, err2 := strconv.Atoi(f.get("destination.port"))
	return err1 == nil && err2 == nil && from > 0 && from < 1024 && to >= 1024
}

// direction names where a connection goes, as ECS does in network.direction,
// and lateral where it goes from one machine of ours to another.
func direction(from, to, host end) string {
	switch {
	case !from.known() && !to.known():
		if host.known() {
			return "internal"
		}
		return ""
	case !from.known():
		if to.internal {
			return "internal"
		}
		return ""
	case !to.known():
		if from.internal {
			return "internal"
		}
		return ""
	case from.same(to) || from.addr.IsLoopback():
		return "internal"
	case from.internal && to.internal:
		return "lateral"
	case from.internal:
		return "outbound"
	case to.internal:
		return "inbound"
	default:
		return "external"
	}
}
