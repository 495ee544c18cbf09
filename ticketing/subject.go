package ticketing

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"icewatch/detections"
	"icewatch/soc/enrich"
	"icewatch/soc/reach"
	"icewatch/soc/tenancy"
)

// subject is what an occurrence is about and who is behind it.
type subject struct {
	item     string // stands for the configuration item: its id, else "host:" zone and name
	ci       *CI
	system   *System
	owner    string
	actor    string // stands for who did it; "" where unknown or meaningless
	sourceIP string
	user     string
	fault    bool       // it tells of a configuration item that fails
	facts    reach.Kept // what data scopes see of the item
}

// atHome gives an occurrence on the city's own events to the tenant whose item
// it is about: a shared firewall tells of an attack, and the one who is
// attacked has to know. Enrichment says whose the item is on such events only.
func atHome(o *detections.Occurrence) { o.Tenant = Home(o.Tenant, o.Fields) }

// Home is the tenant whose an alert with these fields becomes, of what was
// raised for the tenant given.
func Home(tenant string, fields map[string]string) string {
	if owner := fields["icewatch.ci.tenant"]; owner != "" && (tenant == tenancy.City || tenant == tenancy.Unassigned) {
		return owner
	}
	return tenant
}

// lookup reads a field of an occurrence: of its last event, else of its group.
func lookup(o *detections.Occurrence, name string) string {
	if v := o.Fields[name]; v != "" {
		return v
	}
	for _, p := range o.Group {
		if p.Field == name {
			return p.Value
		}
	}
	return ""
}

// victim tells whose item an occurrence is about where that is not the item
// the event happened on: a device that stands between the two ends and only
// tells of their traffic is neither. It returns the item's id, or "" where the
// event is about the item it happened on.
func victim(o *detections.Occurrence) string {
	ci := lookup(o, "icewatch.ci.id")
	src, dst := lookup(o, "icewatch.source.ci.id"), lookup(o, "icewatch.destination.ci.id")
	if lookup(o, "source.ip") == "" || lookup(o, "destination.ip") == "" {
		return ""
	}
	if ci != "" && (ci == src || ci == dst) {
		return ""
	}
	if ci == "" && lookup(o, "host.name") != "" && lookup(o, "observer.name") == "" {
		// A host the CMDB does not know tells of itself: it may well be one
		// of the ends.
		if dst == "" || isOwn(o, lookup(o, "destination.ip")) {
			return ""
		}
	}
	if dst != "" {
		return dst
	}
	if src != "" && external(lookup(o, "destination.ip"), lookup(o, "icewatch.destination.internal")) {
		return src
	}
	return ""
}

// isOwn tells whether an address is one of the host's the event happened on.
func isOwn(o *detections.Occurrence, addr string) bool {
	for _, own := range splitValues(lookup(o, "host.ip")) {
		if own == addr {
			return true
		}
	}
	return false
}

// external tells whether an address lies outside of what is ours. internal is
// what enrichment says of it, "" where it says nothing.
func external(addr, internal string) bool {
	if internal == "true" {
		return false
	}
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return !(a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified())
}

// subjectOf reads who and what of an occurrence. other is the item that
// victim named, where the CMDB knows it and it is the same tenant's.
func subjectOf(o *detections.Occurrence, other *enrich.Item, ignore map[string]bool) subject {
	var s subject
	switch id := lookup(o, "icewatch.ci.id"); {
	case other != nil:
		s.item, s.facts = other.ID, reach.Kept{Unit: other.Unit, Region: other.Region, Industry: other.Industry, Labels: other.ReachLabels}
		s.ci = &CI{ID: other.ID, Name: other.Name, Class: other.Class, Criticality: other.Criticality, Owner: other.Owner, Labels: other.Labels}
		s.owner = other.Owner
		if other.SystemID != "" || other.SystemName != "" {
			s.system = &System{ID: other.SystemID, Name: other.SystemName}
		}
	case id != "":
		s.item = id
		s.facts = reach.Kept{Unit: lookup(o, reach.FieldUnit), Region: lookup(o, reach.FieldRegion),
			Industry: lookup(o, reach.FieldIndustry), Labels: lookup(o, reach.FieldLabels)}
		crit, _ := strconv.Atoi(lookup(o, "icewatch.ci.criticality"))
		s.owner = lookup(o, "icewatch.ci.owner")
		s.ci = &CI{
			ID: id, Name: firstOf(lookup(o, "icewatch.ci.name"), lookup(o, "host.name"), id), Class: lookup(o, "icewatch.ci.class"),
			Criticality: crit, Owner: s.owner, Labels: splitValues(lookup(o, "icewatch.ci.labels")),
		}
		if sid, name := lookup(o, "icewatch.ci.system.id"), lookup(o, "icewatch.ci.system.name"); sid != "" || name != "" {
			s.system = &System{ID: sid, Name: name}
		}
	default:
		name := firstOf(lookup(o, "host.name"), lookup(o, "host.hostname"), lookup(o, "observer.name"), firstValue(lookup(o, "host.ip")), lookup(o, "observer.ip"))
		if name == "" && lookup(o, "source.ip") != "" {
			name = lookup(o, "destination.ip")
		}
		if name != "" {
			s.item = "host:" + lookup(o, "icewatch.zone") + "/" + strings.ToLower(name)
			s.ci = &CI{Name: name}
		}
	}
	s.sourceIP = lookup(o, "source.ip")
	s.user = firstOf(lookup(o, "user.name"), lookup(o, "user.target.name"))
	s.actor = actorOf(o, ignore)
	return s
}

// actorOf names who is behind an occurrence by its source address, where that
// tells anything: not our own networks, whose addresses many share and which
// attackers only pass through, and not an item labelled as a scanner we
// ordered or a relay. A private address the CMDB does not know counts only
// within its network zone, since such addresses overlap.
func actorOf(o *detections.Occurrence, ignore map[string]bool) string {
	addr, err := netip.ParseAddr(lookup(o, "source.ip"))
	if err != nil {
		return ""
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return ""
	}
	if lookup(o, "icewatch.source.internal") == "true" || isOwn(o, lookup(o, "source.ip")) ||
		addr.IsPrivate() && lookup(o, "icewatch.source.ci.id") != "" {
		return ""
	}
	for _, l := range splitValues(lookup(o, "icewatch.source.ci.labels")) {
		if ignore[l] {
			return ""
		}
	}
	if addr.IsPrivate() {
		return lookup(o, "icewatch.zone") + "|" + addr.String()
	}
	return addr.String()
}

// actorAddress takes the zone off an actor again.
func actorAddress(actor string) string {
	if _, addr, ok := strings.Cut(actor, "|"); ok {
		return addr
	}
	return actor
}

// recon tells whether a rule speaks of looking around only. Everybody scans
// everybody: a scan draws no other alert to its source.
func recon(r *detections.RuleRef) bool {
	if len(r.Tactics) == 0 {
		return false
	}
	for _, t := range r.Tactics {
		switch strings.ToLower(strings.NewReplacer("_", "-", " ", "-").Replace(strings.TrimPrefix(t, "attack."))) {
		case "reconnaissance", "discovery", "ta0043", "ta0007":
		default:
			return false
		}
	}
	return true
}

// splitValues reads a flat field that may hold several values: a JSON array or
// a list with commas.
func splitValues(s string) []string {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil
	}
	if s[0] == '[' {
		var list []string
		if json.Unmarshal([]byte(s), &list) == nil {
			return list
		}
	}
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func firstValue(s string) string {
	if list := splitValues(s); len(list) > 0 {
		return list[0]
	}
	return ""
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
