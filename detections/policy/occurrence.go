package policy

import (
	"cmp"
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
			Criticality: criticality, System: f["icewatch.ci.system.id"], Zone: f["icewatch.zone"], Labels: Values(f["icewatch.ci.labels"])},
		Actor: Actor{IP: f["source.ip"], User: f["user.name"], Item: f["icewatch.source.ci.id"],
			Internal: f["icewatch.source.internal"] == "true", Labels: Values(f["icewatch.source.ci.labels"])},
		Verdict: string(o.Verdict), Phase: o.Phase, Direction: cmp.Or(o.Direction, f["network.direction"]),
		Intelligence: Intelligence{Indicator: firstOf(f, "threat.indicator.name", "threat.indicator.ip", "threat.indicator.url.full", "threat.indicator.url.domain", "threat.indicator.file.hash.sha256"),
			Type: f["threat.indicator.type"], Confidence: f["threat.indicator.confidence"], Provider: firstOf(f, "threat.indicator.provider", "threat.feed.name")},
		Priority: o.Priority,
		First:    o.From,
		Last:     o.Time,
		Count:    o.Count,
		Fields:   f,
	}.normal()
}

// firstOf is the first of the fields that has a value.
func firstOf(f map[string]string, names ...string) string {
	for _, n := range names {
		if v := f[n]; v != "" {
			return v
		}
	}
	return ""
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
