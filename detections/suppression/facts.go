package suppression

import (
	"encoding/json"
	"strings"

	"icewatch/detections"
	"icewatch/soc/event"
)

// Facts are the fields that an alert has beside those of its event: what was made
// of it.
var Facts = []string{
	"alert.rule.id", "alert.rule.level", "alert.rule.kind", "alert.tenant",
	"alert.attacker.ip", "alert.attacker.name", "alert.attacker.user", "alert.attacker.zone", "alert.attacker.item", "alert.attacker.system",
	"alert.victim.ip", "alert.victim.name", "alert.victim.user", "alert.victim.zone", "alert.victim.item", "alert.victim.system",
	"alert.verdict", "alert.phase", "alert.direction", "alert.threat", "alert.attack", "alert.risk.class", "alert.risk.subclass", "alert.risk.type",
}

// Value reads a field of an occurrence: of its last event, else of its group, or
// what was made of it.
func Value(o *detections.Occurrence, name string) string {
	if v := o.Fields[name]; v != "" {
		return v
	}
	for i := range o.Group {
		if o.Group[i].Field == name {
			return o.Group[i].Value
		}
	}
	if strings.HasPrefix(name, "alert.") {
		return fact(o, name)
	}
	return ""
}

func fact(o *detections.Occurrence, name string) string {
	if rest, ok := strings.CutPrefix(name, "alert.attacker."); ok {
		return part(o.Attacker, rest)
	}
	if rest, ok := strings.CutPrefix(name, "alert.victim."); ok {
		return part(o.Victim, rest)
	}
	switch name {
	case "alert.rule.id":
		return o.Rule.ID
	case "alert.rule.level":
		return string(o.Rule.Level)
	case "alert.rule.kind":
		return o.Rule.Kind
	case "alert.tenant":
		return o.Tenant
	case "alert.verdict":
		return string(o.Verdict)
	case "alert.phase":
		return o.Phase
	case "alert.direction":
		return o.Direction
	case "alert.threat":
		return o.Threat
	case "alert.attack":
		return o.Attack
	case "alert.risk.class":
		return o.Risk.Class
	case "alert.risk.subclass":
		return o.Risk.Subclass
	case "alert.risk.type":
		return o.Risk.Type
	}
	return ""
}

func part(p *detections.Party, name string) string {
	if p == nil {
		return ""
	}
	switch name {
	case "ip":
		return p.IP
	case "name":
		return p.Name
	case "user":
		return p.User
	case "zone":
		return p.Zone
	case "item":
		return p.Item
	case "system":
		return p.System
	}
	return ""
}

// Put gives an event a value of an occurrence, in which several values of a field
// are a JSON array.
func Put(ev *event.Event, id event.FieldID, v string) {
	if v == "" {
		return
	}
	if v[0] == '[' {
		var list []string
		if json.Unmarshal([]byte(v), &list) == nil {
			for _, each := range list {
				ev.Add(id, each)
			}
			return
		}
	}
	ev.Add(id, v)
}
