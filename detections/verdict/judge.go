package verdict

import (
	"encoding/json"
	"net/netip"
	"strings"

	"icewatch/detections"
)

// Place is what the CMDB knows of an address.
type Place struct {
	Internal bool   // it is ours
	Zone     string // name of its network, else of the network zone
	Item     string // id of the configuration item, "" where none has it
	Name     string // the item's
	System   string // name of its business system
	Tenant   string // whose item it is, else whose network
}

// Places looks an address of a network zone up, as far as a tenant may know.
type Places func(zone, tenant string, addr netip.Addr) Place

// Judge works out what is made of a firing of a rule: how far the attack got
// and by what that shows, its phase, who attacks whom, where it goes, and which
// kinds of threat, attack and risk it is. places may be nil: then the firing's
// enrichment has to do.
func (t *Taxonomy) Judge(r *Rule, o *detections.Occurrence, places Places) detections.Judgement {
	f := facts{o}
	j := detections.Judgement{Phase: r.phase, Risk: r.risk}
	if r.rest {
		j.Risk = t.riskOf(f, r.risk)
	}
	if r.attack != nil {
		j.Attack = r.attack.ID
		if r.attack.Fault {
			return j // nobody attacks, and nothing succeeds
		}
	}
	w := wayOf(f, r, places)
	j.Attacker, j.Victim, j.Direction = w.attacker, w.victim, w.direction
	j.Threat = threatOf(f, r, w)
	j.Verdict, j.VerdictReason = t.outcome(f, r, w)
	return j
}

// riskOf is the risk that the product which raised the event classed it as
// (soc/pipeline/pack), else that of the rest.
func (t *Taxonomy) riskOf(f facts, rest detections.Risk) detections.Risk {
	code := f.get("icewatch.risk.class")
	if code == "" {
		return rest
	}
	for _, tier := range [...]string{f.get("icewatch.risk.subclass"), f.get("icewatch.risk.type")} {
		if tier != "" {
			code += "." + tier
		}
	}
	if risk, ok := t.Find(code); ok {
		return risk
	}
	return rest
}

// threatOf says which class of threat an attack is of, "" where it stays on one
// machine.
func threatOf(f facts, r *Rule, w way) string {
	switch {
	case r.attack != nil && r.attack.Tunnel:
		return "tunnel"
	case (w.direction == "inbound" || w.direction == "external") && (r.attack != nil && r.attack.Website || f.http()):
		return "website"
	case w.direction == "lateral":
		return "lateral"
	case w.direction == "outbound":
		return "outbound"
	case w.direction == "inbound", w.direction == "external":
		return "external"
	default:
		return ""
	}
}

// facts reads the flat fields of a firing's last event, and the values that it
// is grouped by.
type facts struct{ o *detections.Occurrence }

// get returns the first value of the first of the fields that has one.
func (f facts) get(names ...string) string {
	for _, name := range names {
		v := f.o.Fields[name]
		if v == "" {
			for _, p := range f.o.Group {
				if p.Field == name {
					v = p.Value
				}
			}
		}
		if list := split(v); len(list) > 0 {
			return list[0]
		}
	}
	return ""
}

// has tells whether a field has a value among its values.
func (f facts) has(name string, values ...string) bool {
	for _, v := range split(f.o.Fields[name]) {
		for _, want := range values {
			if strings.EqualFold(v, want) {
				return true
			}
		}
	}
	return false
}

// addr returns the first address of the first of the fields that has one.
func (f facts) addr(names ...string) netip.Addr {
	for _, name := range names {
		for _, v := range split(f.get(name)) {
			if a, err := netip.ParseAddr(v); err == nil {
				return a.Unmap().WithZone("")
			}
		}
	}
	return netip.Addr{}
}

// http tells whether the event is a request to a web server.
func (f facts) http() bool {
	return f.get("http.request.method", "http.response.status_code", "url.original", "url.path", "cs-method", "sc-status", "suricata.eve.http.status") != ""
}

// split reads a flat field, which holds a JSON array where the event has
// several values.
func split(s string) []string {
	if s == "" {
		return nil
	}
	if s[0] == '[' {
		var list []string
		if json.Unmarshal([]byte(s), &list) == nil {
			return list
		}
	}
	return []string{s}
}
