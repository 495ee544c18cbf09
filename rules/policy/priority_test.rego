package icewatch.priority_test

import data.icewatch.priority

alert := {
	"tenant": "t",
	"rule": {"id": "r", "level": "high", "kind": "sigma", "tactics": [], "techniques": [], "tags": []},
	"item": {"id": "i", "criticality": 3, "zone": "", "labels": []},
	"actor": {"internal": false, "labels": []},
	"verdict": "", "phase": "", "direction": "",
	"intelligence": {"indicator": "", "type": "", "confidence": "", "provider": ""},
	"maintenance": [],
}

# changed is the alert with values at paths such as item/criticality replaced.
changed(values) := json.patch(alert, [{"op": "add", "path": path, "value": value} | some path, value in values])

decided(values) := d if d := priority.decision with input as changed(values)

cases := {
	"a high alert on an item of medium criticality": [{}, "P2"],
	"a critical one": [{"rule/level": "critical"}, "P1"],
	"on a critical item": [{"item/criticality": 5}, "P1"],
	"on a minor item": [{"item/criticality": 1}, "P3"],
	"on an item whose criticality is not known": [{"item/criticality": 0}, "P2"],
	"on an exposed item": [{"item/zone": "dmz"}, "P1"],
	"on an item that faces the internet": [{"item/labels": ["web", "internet-facing"]}, "P1"],
	"of an indicator that is known to be bad": [{"intelligence/confidence": "High"}, "P1"],
	"of an indicator that little is known of": [{"intelligence/confidence": "Low"}, "P2"],
	"that failed": [{"verdict": "failed"}, "P3"],
	"that succeeded": [{"verdict": "success"}, "P1"],
	"a medium one after which the item is compromised": [{"rule/level": "medium", "verdict": "compromised"}, "P1"],
	"a low one on an exposed item": [{"rule/level": "low", "item/zone": "dmz"}, "P4"],
	"an informational one on a critical, exposed item": [{"rule/level": "informational", "item/criticality": 5, "item/zone": "dmz"}, "P4"],
	"of an approved scanner": [{"rule/level": "critical", "actor/labels": ["approved-scanner"]}, "P4"],
	"all at once": [{"rule/level": "critical", "item/criticality": 5, "item/zone": "dmz", "intelligence/confidence": "High", "verdict": "compromised"}, "P1"],
	"a failed one of all levels low": [{"rule/level": "informational", "verdict": "failed"}, "P4"],
}

test_priorities if {
	every name, c in cases {
		said(name, c[1], decided(c[0]).priority)
	}
}

said(_, want, got) if want == got

said(name, want, got) if {
	want != got
	print(name, "is", got, "and not", want)
	false
}

test_reasons_in_both_languages if {
	every c in cases {
		d := decided(c[0])
		count(d.reasons) >= 2
		every r in d.reasons {
			r.zh != ""
			r.en != ""
		}
	}
}

test_maintenance_mutes if {
	not decided({}).muted
	d := decided({"maintenance": [{"id": "w", "name": "upgrade", "until": "2026-11-26T12:00:00Z"}]})
	d.muted
	d.priority == "P2"
	count(d.reasons) == 3
}

test_labels_for_routing if {
	decided({}).labels == {}
	decided({"item/zone": "dmz"}).labels == {"exposure": "external"}
	decided({"item/zone": "dmz", "intelligence/confidence": "Medium"}).labels == {"exposure": "external", "intelligence": "known-bad"}
}

test_every_level_on_every_criticality if {
	every level in ["critical", "high", "medium", "low", "informational"] {
		every criticality in numbers.range(0, 5) {
			decided({"rule/level": level, "item/criticality": criticality}).priority in {"P1", "P2", "P3", "P4"}
		}
	}
}
