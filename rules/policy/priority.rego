# METADATA
# title: How urgent an alert is
# description: |
#   P1 (most urgent) to P4, from the rule's level, how critical the configuration
#   item is, whether it is exposed, what threat intelligence says and how the
#   attack ended. An alert in a maintenance window is muted: it is kept and
#   marked, and nobody is told.
#   Your own package icewatch.priority in a rule folder replaces this one;
#   docs/policy.md tells what is in input and what decision may hold.
package icewatch.priority

# Every alert is judged here. So all cases stand in tables and are looked up in
# one go: as rules of their own they would cost some microseconds each.
decision := {
	"priority": {true: "P4", false: names[base + (outcome - raised)]}[approved],
	"muted": muted,
	"labels": labels[exposed][known_bad],
	"reasons": array.concat(
		array.concat([level_text, criticality_text], raised_text[exposed][known_bad]),
		array.concat(verdict_text, other_text[approved][muted]),
	),
} if {
	level := input.rule.level
	criticality := input.item.criticality

	# An approved scanner does on our order what would else be an attack.
	approved := "approved-scanner" in input.actor.labels

	# Within reach of strangers.
	exposed := true in {input.item.zone in {"dmz", "internet", "external"}, "internet-facing" in input.item.labels}
	known_bad := input.intelligence.confidence in {"High", "Medium"}
	muted := input.maintenance != []

	# Where in names an alert stands by its level, then by the item's
	# criticality; 0 is unknown and taken as medium.
	base := {
		"critical": [4, 5, 4, 4, 4, 4],
		"high": [5, 6, 6, 5, 5, 4],
		"medium": [6, 7, 6, 6, 6, 5],
		"low": [7, 7, 7, 7, 7, 6],
		"informational": [8, 8, 8, 8, 8, 8],
	}[level][criticality]
	names := ["P1", "P1", "P1", "P1", "P1", "P2", "P3", "P4", "P4", "P4"]

	# Steps towards P1. Minor alerts are everywhere: neither exposure nor
	# intelligence makes these urgent.
	raised := {"critical": 1, "high": 1, "medium": 1, "low": 0, "informational": 0}[level] * {true: {true: 2, false: 1}, false: {true: 1, false: 0}}[exposed][known_bad]

	# Steps away from P1.
	outcome := object.get({"failed": 1, "success": -1, "compromised": -2}, input.verdict, 0)

	# Silences and receivers of notifications may match on these.
	labels := {
		true: {true: {"exposure": "external", "intelligence": "known-bad"}, false: {"exposure": "external"}},
		false: {true: {"intelligence": "known-bad"}, false: {}},
	}

	level_text := {
		"critical": {"zh": "规则级别为紧急。", "en": "The rule's level is critical."},
		"high": {"zh": "规则级别为高。", "en": "The rule's level is high."},
		"medium": {"zh": "规则级别为中。", "en": "The rule's level is medium."},
		"low": {"zh": "规则级别为低。", "en": "The rule's level is low."},
		"informational": {"zh": "规则级别为提示。", "en": "The rule's level is informational."},
	}[level]
	criticality_text := [
		{"zh": "资产重要性未知，按中等处理。", "en": "The asset's criticality is not known and taken as medium."},
		{"zh": "资产重要性为 1（1 至 5）。", "en": "The asset's criticality is 1 of 5."},
		{"zh": "资产重要性为 2（1 至 5）。", "en": "The asset's criticality is 2 of 5."},
		{"zh": "资产重要性为 3（1 至 5）。", "en": "The asset's criticality is 3 of 5."},
		{"zh": "资产重要性为 4（1 至 5）。", "en": "The asset's criticality is 4 of 5."},
		{"zh": "资产重要性为 5（1 至 5）。", "en": "The asset's criticality is 5 of 5."},
	][criticality]
	raised_text := {
		true: {
			true: [
				{"zh": "资产可被外部访问。", "en": "The asset is within reach of strangers."},
				{"zh": "威胁情报将其中的指标列为恶意。", "en": "Threat intelligence lists an indicator in it as malicious."},
			],
			false: [{"zh": "资产可被外部访问。", "en": "The asset is within reach of strangers."}],
		},
		false: {
			true: [{"zh": "威胁情报将其中的指标列为恶意。", "en": "Threat intelligence lists an indicator in it as malicious."}],
			false: [],
		},
	}
	verdict_text := object.get({
		"attempt": [{"zh": "攻击结果：尝试。", "en": "The attack is an attempt."}],
		"failed": [{"zh": "攻击结果：失败。", "en": "The attack failed."}],
		"success": [{"zh": "攻击结果：成功。", "en": "The attack succeeded."}],
		"compromised": [{"zh": "攻击结果：已失陷。", "en": "The asset is compromised."}],
	}, input.verdict, [])
	other_text := {
		true: {
			true: [
				{"zh": "来源是经批准的扫描器。", "en": "The source is an approved scanner."},
				{"zh": "处于维护窗口内，不发通知。", "en": "It falls into a maintenance window: nobody is told."},
			],
			false: [{"zh": "来源是经批准的扫描器。", "en": "The source is an approved scanner."}],
		},
		false: {
			true: [{"zh": "处于维护窗口内，不发通知。", "en": "It falls into a maintenance window: nobody is told."}],
			false: [],
		},
	}
}
