// Package verdict judges a firing beyond its priority: how far the attack got,
// which phase of an intrusion it is of, who attacks whom, and what kind of risk
// it is. It reads what the event and its enrichment say and asks nobody.
package verdict

import (
	"slices"
	"strings"

	"icewatch/detections"
)

// phases says which phase of the kill chain an ATT&CK tactic is of. The two
// models do not divide an intrusion alike: tactics that a foothold is needed
// for and that serve to keep and widen it count as installation, those that
// serve the aim as actions on objectives. Names are those of ATT&CK for
// enterprise and for industrial control systems.
var phases = map[string]string{
	"reconnaissance":            "reconnaissance",
	"resource-development":      "weaponization",
	"initial-access":            "delivery",
	"execution":                 "exploitation",
	"privilege-escalation":      "exploitation",
	"credential-access":         "exploitation",
	"persistence":               "installation",
	"defense-evasion":           "installation",
	"stealth":                   "installation",
	"defense-impairment":        "installation",
	"evasion":                   "installation",
	"command-and-control":       "command-and-control",
	"discovery":                 "actions-on-objectives",
	"lateral-movement":          "actions-on-objectives",
	"collection":                "actions-on-objectives",
	"exfiltration":              "actions-on-objectives",
	"impact":                    "actions-on-objectives",
	"inhibit-response-function": "actions-on-objectives",
	"impair-process-control":    "actions-on-objectives",
}

// techniquePhases are techniques that are of another phase than their tactic:
// ATT&CK counts the exploitation of a server as initial access.
var techniquePhases = map[string]string{
	"T1190": "exploitation",
	"T1203": "exploitation",
	"T1210": "exploitation",
	"T1078": "exploitation",
	"T1133": "exploitation",
	"T1105": "installation",
}

// Phase returns the phase of the kill chain that a rule's tactics and
// techniques reach: the furthest, "" where none is known.
func Phase(tactics, techniques []string) string {
	furthest := -1
	reach := func(phase string) { furthest = max(furthest, slices.Index(detections.Phases, phase)) }
	outside := slices.ContainsFunc(tactics, func(t string) bool { return normal(t) == "reconnaissance" })
	for _, t := range tactics {
		if outside && normal(t) == "discovery" {
			continue // it tells of looking around, from within or from without: no more than that
		}
		reach(phases[normal(t)])
	}
	for _, t := range techniques {
		id, _, _ := strings.Cut(strings.ToUpper(t), ".")
		reach(techniquePhases[id])
	}
	if furthest < 0 {
		return ""
	}
	return detections.Phases[furthest]
}

// normal is a name as tags and tables may write it, in one form.
func normal(name string) string {
	return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(strings.TrimSpace(name)))
}
