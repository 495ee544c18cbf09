package icewatch.incident_test

import data.icewatch.incident

alert(id, tactic) := {
	"id": id, "tenant": "t", "priority": "P3", "status": "open",
	"rule": {"id": concat("-", ["rule", id]), "level": "medium", "kind": "sigma", "tactics": [tactic], "techniques": [], "tags": []},
	"item": {"id": "host-1", "name": "web-1", "criticality": 3, "zone": "", "labels": []},
	"actor": {"ip": "203.0.113.9", "internal": false, "labels": []},
	"first": "2026-11-26T08:00:00Z", "last": "2026-11-26T08:00:00Z", "count": 1,
}

guess := object.union(alert("guess", "credential-access"), {"rule": object.union(alert("guess", "credential-access").rule, {"techniques": ["T1110.001"]})})

login := object.union(
	object.union(alert("login", "initial-access"), {"last": "2026-11-26T08:05:00Z"}),
	{"rule": object.union(alert("login", "initial-access").rule, {"tags": ["icewatch.login-success"]})},
)

# asked adds to an alert and its related ones what they show together.
asked(a, related) := {"alert": a, "related": related, "story": {
	"tactics": {t | some t in all[_].rule.tactics},
	"techniques": {t | some t in all[_].rule.techniques},
	"tags": {t | some t in all[_].rule.tags},
	"rules": count({r | r := all[_].rule.id}),
	"actors": count({i | i := all[_].actor.ip}),
}} if {
	all := array.concat([a], [r | some r in related; r.status != "closed"])
}

decided(a, related) := d if d := incident.decision with input as asked(a, related)

test_one_alert_opens_nothing if {
	d := decided(alert("a", "execution"), [])
	not d.open
	d.join
	d.severity == ""
}

test_a_minor_alert_alone_joins_nothing if {
	a := object.union(alert("a", "discovery"), {"rule": object.union(alert("a", "discovery").rule, {"level": "low"})})
	not decided(a, []).join
}

test_the_most_urgent_opens if {
	d := decided(object.union(alert("a", "execution"), {"priority": "P1"}), [])
	d.open
	d.join
	count(d.reasons) == 1
}

test_three_tactics_open if {
	not decided(alert("a", "execution"), [alert("b", "persistence")]).open
	d := decided(alert("a", "execution"), [alert("b", "persistence"), alert("c", "discovery")])
	d.open
	d.severity == "high"
	d.priority == "P2"
}

test_closed_alerts_do_not_count if {
	not decided(alert("a", "execution"), [alert("b", "persistence"), object.union(alert("c", "discovery"), {"status": "closed"})]).open
}

test_guessing_then_signing_in if {
	d := decided(login, [guess])
	d.open
	d.severity == "high"
	not decided(object.union(login, {"actor": {"ip": "198.51.100.1", "internal": false, "labels": []}}), [guess]).open
}

test_an_approved_scanner_opens_nothing if {
	scanner := object.union(object.union(alert("a", "discovery"), {"priority": "P1"}), {"actor": {"ip": "10.0.0.9", "internal": true, "labels": ["approved-scanner"]}})
	d := decided(scanner, [])
	not d.open
	not d.join
}
