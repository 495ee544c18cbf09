# METADATA
# title: Whether an alert makes an incident
# description: |
#   input.alert is the alert that has just changed, input.related the other
#   alerts, not closed, on the same configuration item or by the same actor
#   within the window that ticketing looks back, and input.story what all of
#   them show together. Your own package icewatch.incident in a rule folder
#   replaces this one; docs/policy.md tells what is in input and what decision
#   may hold.
package icewatch.incident

# Most alerts change nothing: they are told by what all alerts show together,
# without a look at each.
decision := {
	"open": false, "join": false, "severity": "", "priority": "",
	"reasons": [{"zh": "来源是经批准的扫描器，不构成事件。", "en": "The source is an approved scanner: no incident."}],
} if {
	"approved-scanner" in input.alert.actor.labels
} else := {"open": false, "join": join, "severity": "", "priority": "", "reasons": []} if {
	input.alert.priority != "P1"
	not intrusion_possible
	not guessed_possible
} else := {"open": open, "join": join, "severity": severity, "priority": priority, "reasons": [r | some r in reasons]}

intrusion_possible if {
	count(input.story.tactics) >= enough
	input.story.rules >= enough
}

guessed_possible if {
	"icewatch.login-success" in input.story.tags
	some technique in input.story.techniques
	startswith(technique, "T1110")
}

# How many tactics of ATT&CK, each by another rule, make an intrusion.
enough := 3

# The alerts that count together: not those of an approved scanner, and of the
# minor ones, with which strangers knock at every door, only those of an actor
# who is known to do more.
counted := array.concat([input.alert], [alert |
	some alert in input.related
	counts(alert)
])

counts(alert) if {
	alert.status != "closed"
	not "approved-scanner" in alert.actor.labels
	weighs(alert)
}

weighs(alert) if not minor(alert)

weighs(alert) if alert.actor.ip in serious_actors

minor_levels := {"low", "informational"}

minor(alert) if alert.rule.level in minor_levels

serious_actors contains input.alert.actor.ip

serious_actors contains alert.actor.ip if {
	some alert in input.related
	alert.status != "closed"
	not minor(alert)
}

# Those that count and are about the same item.
here := array.concat([input.alert], [alert |
	some i, alert in counted
	i > 0
	same_item(alert)
])

same_item(alert) if alert.item.id == input.alert.item.id

same_item(alert) if {
	not alert.item.id
	not input.alert.item.id
	alert.item.name == input.alert.item.name
}

tactics := {tactic | some tactic in counted[_].rule.tactics}

tactics_here := {tactic | some tactic in here[_].rule.tactics}

rules := {alert.rule.id | some alert in counted}

rules_here := {alert.rule.id | some alert in here}

# One rule may carry many tactics: the same number of rules is asked for. And
# a scan that touches many items must not open an incident on each because of
# what its actor did elsewhere: two tactics have to show here.
many_tactics if {
	intrusion_possible
	count(tactics) >= enough
	count(rules) >= enough
	count(tactics_here) >= 2
	count(rules_here) >= 2
}

guessing(alert) if {
	some t in alert.rule.techniques
	startswith(t, "T1110")
}

signed_in(alert) if "icewatch.login-success" in alert.rule.tags

guessers contains guess.actor.ip if {
	some guess in here
	guessing(guess)
	some login in here
	signed_in(login)
	guess.actor.ip == login.actor.ip
	time.parse_rfc3339_ns(login.last) >= time.parse_rfc3339_ns(guess.first)
}

guessed if {
	guessed_possible
	count(guessers) > 0
}

urgent if input.alert.priority == "P1"

default open := false

open if urgent

open if many_tactics

open if guessed

# Into an incident that is already open goes what is serious on its own, comes
# from somebody who is part of it, or is about an item of which another rule
# tells as well.
default join := false

join if {
	not input.alert.rule.level in minor_levels
} else if {
	some level in input.story.beside # which tells most of them without a look
	not level in minor_levels
} else if {
	with_actor
} else if {
	other_rule_here
} else := open

# Both are asked about many minor alerts. They are rules of their own, without an
# else, so that Rego looks at related alerts until one will do and at no more.
with_actor if {
	ip := input.alert.actor.ip
	some alert in input.related
	alert.actor.ip == ip
	counts(alert)
}

other_rule_here if {
	some alert in input.related
	alert.rule.id != input.alert.rule.id
	same_item(alert)
	counts(alert)
}

# The tactics of MITRE ATT&CK in Chinese.
tactic_zh := {
	"reconnaissance": "侦察", "resource-development": "资源开发", "initial-access": "初始访问",
	"execution": "执行", "persistence": "持久化", "privilege-escalation": "权限提升",
	"defense-evasion": "防御规避", "credential-access": "凭据访问", "discovery": "发现",
	"lateral-movement": "横向移动", "collection": "收集", "command-and-control": "命令与控制",
	"exfiltration": "渗出", "impact": "影响",
}

reasons contains {
	"zh": "告警的优先级为 P1。",
	"en": "The alert's priority is P1.",
} if {
	open
	urgent
}

reasons contains {
	"zh": sprintf("同一资产或同一来源的告警涉及 %d 个攻击战术：%s。", [count(tactics), concat("、", [object.get(tactic_zh, t, t) | some t in sort(tactics)])]),
	"en": sprintf("Alerts on the same asset or by the same source show %d tactics: %s.", [count(tactics), concat(", ", sort(tactics))]),
} if {
	open
	many_tactics
}

reasons contains {
	"zh": sprintf("%s 猜测口令之后登录成功。", [concat("、", sort(guessers))]),
	"en": sprintf("%s signed in after guessing passwords.", [concat(", ", sort(guessers))]),
} if {
	open
	guessed
}

# What the alerts mean together: an attack in several steps is high, and so is
# who got in by guessing; who got in and went on is critical.
default severity := ""

severity := "critical" if {
	guessed
	many_tactics
} else := "high" if {
	guessed
} else := "high" if {
	many_tactics
}

default priority := ""

priority := "P1" if {
	severity == "critical"
} else := "P1" if {
	severity == "high"
	input.alert.item.criticality >= 4
} else := "P2" if {
	severity == "high"
}
