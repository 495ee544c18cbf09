package ticketing

import (
	"strings"
	"unicode/utf8"
)

// Pushed is the kind of the rule of an alert that another system raised and
// sent in with labels of its own. Its group is these labels, each under
// PushedLabel and its name.
const (
	Pushed      = "pushed"
	PushedLabel = "labels."
)

// maxLabel bounds a label's value, in bytes.
const maxLabel = 1024

// labels are what silences and Alertmanager's clients know the alert by. They
// tell it from all other open alerts and stay the same when it fires again, so
// that a silence made of them holds then, too: which alert and incident it is
// just now is not among them. An alert of our own has
//
//   - alertname, the rule's title, and rule_id;
//   - tenant and severity;
//   - ci, host, system and source_ip where they are known;
//   - the fields that its rule groups by, with "_" for what no label's name
//     may hold: user.name is user_name.
//
// A pushed alert has the labels that it came with, and tenant, ci and system
// beside them; a label tenant of its own is exported_tenant.
func (a *alert) labels() map[string]string {
	set := make(map[string]string, 8+len(a.doc.Group))
	put := func(name, value string) {
		if _, there := set[name]; !there && value != "" {
			set[name] = clipLabel(value)
		}
	}
	put("tenant", a.Tenant)
	if a.doc.Rule.Kind == Pushed {
		for _, p := range a.doc.Group {
			name := strings.TrimPrefix(p.Field, PushedLabel)
			if name == "tenant" && p.Value != a.Tenant {
				name = "exported_tenant"
			}
			put(name, p.Value)
		}
	} else {
		put("alertname", firstOf(a.doc.Rule.Title.EN, a.doc.Rule.Title.ZH, a.RuleID))
		put("rule_id", a.RuleID)
		put("severity", string(severityOf(a.Severity)))
		put("source_ip", a.SourceIP)
		put("host", a.doc.Fields["host.name"])
	}
	if a.doc.CI != nil {
		put("ci", firstOf(a.doc.CI.Name, a.doc.CI.ID))
	}
	if a.doc.System != nil {
		put("system", firstOf(a.doc.System.Name, a.doc.System.ID))
	}
	if a.doc.Rule.Kind != Pushed {
		for _, p := range a.doc.Group {
			put(labelName(p.Field), p.Value)
		}
	}
	return set
}

// matchable are the labels, and beside them what matchers may name although it
// changes: the alert, its incident, its priority, whether it is about a key asset
// and the labels for routing that the priority policy gives.
func (a *alert) matchable() map[string]string {
	set := a.labels()
	for name, value := range map[string]string{"alert": a.ID, "incident": a.IncidentID, "priority": priorityOf(a.Priority)} {
		if _, own := set[name]; !own && value != "" {
			set[name] = value
		}
	}
	if _, own := set["key_asset"]; !own && a.KeyAsset {
		set["key_asset"] = "true"
	}
	for name, value := range a.doc.Routing {
		if _, own := set[name]; !own && value != "" {
			set[name] = clipLabel(value)
		}
	}
	return set
}

// labelName makes a label's name of a field's.
func labelName(field string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, field)
}

func clipLabel(s string) string {
	if len(s) <= maxLabel {
		return strings.ToValidUTF8(s, "�")
	}
	cut := maxLabel
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.ToValidUTF8(s[:cut], "�")
}
