package policy

import (
	"encoding/json"
	"strconv"
	"strings"

	"icewatch/detections"
)

// FromOccurrence makes the alert a policy judges from an occurrence.
func FromOccurrence(o *detections.Occurrence) Alert {
	f := o.Fields
	criticality, _ := strconv.Atoi(f["icewatch.ci.criticality"])
	name := f["icewatch.ci.name"]
	if name == "" {
		name = f["host.name"]
	}
	return Alert{
		Tenant: o.Tenant,
		Rule: Rule{ID: o.Rule.ID, Level: o.Rule.Level, Kind: o.Rule.Kind,
			Tactics: o.Rule.Tactics, Techniques: o.Rule.Techniques, Tags: o.Rule.Tags},
		Item: Item{ID: f["icewatch.ci.id"], Name: name, Class: f["icewatch.ci.class"],
			Criticality: criticality, System: f["icewatch.ci.system.id"], Labels: Values(f["icewatch.ci.labels"])},
		Actor: Actor{IP: f["source.ip"], User: f["user.name"], Item: f["icewatch.source.ci.id"],
			Internal: f["icewatch.source.internal"] == "true", Labels: Values(f["icewatch.source.ci.labels"])},
		Priority: o.Priority,
		First:    o.From,
		Last:     o.Time,
		Count:    o.Count,
		Fields:   f,
	}.normal()
}

// Values reads a flat field that may hold several values: a JSON array, or a
// list with commas.
func Values(s string) []string {
	out := []string{}
	if strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &out) == nil {
		return out
	}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
