# How urgent an alert is: P1 (most urgent) to P4, from the rule's level and from
# how critical the configuration item is. Your own package icewatch.priority
# in a rule folder replaces this one.
#
# input: an alert without id, times, count and fields; see docs/rules.md.
package icewatch.priority

# Actors with these labels do on our order what would else be an attack.
approved_labels := {"approved-scanner"}

default criticality := 3

criticality := input.item.criticality if known

known if input.item.criticality > 0

matrix := {
	"critical": ["P2", "P1", "P1", "P1", "P1"],
	"high": ["P3", "P3", "P2", "P2", "P1"],
	"medium": ["P4", "P3", "P3", "P3", "P2"],
	"low": ["P4", "P4", "P4", "P4", "P3"],
	"informational": ["P4", "P4", "P4", "P4", "P4"],
}

approved if {
	some label in input.actor.labels
	label in approved_labels
}

priority := "P4" if approved

priority := matrix[input.rule.level][criticality - 1] if not approved

level_zh := {"critical": "严重", "high": "高", "medium": "中", "low": "低", "informational": "提示"}

reasons contains {
	"zh": sprintf("规则级别为%s。", [level_zh[input.rule.level]]),
	"en": sprintf("The rule's level is %s.", [input.rule.level]),
}

reasons contains {
	"zh": sprintf("资产重要性为 %d（1 至 5）。", [criticality]),
	"en": sprintf("The asset's criticality is %d of 5.", [criticality]),
} if known

reasons contains {
	"zh": "资产重要性未知，按中等处理。",
	"en": "The asset's criticality is not known and taken as medium.",
} if not known

reasons contains {
	"zh": "来源是经批准的扫描器。",
	"en": "The source is an approved scanner.",
} if approved

decision := {"priority": priority, "reasons": [r | some r in reasons]}
