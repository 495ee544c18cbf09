# METADATA
# title: What a principal may do
# description: >
#   The one decision of the suite: may this principal do this operation now, from here?
#   data.operations  every operation there is: its scope and whether it can be confined to a part of the tree of units
#   data.roles       every role: scopes, operations, powers, and whether it is delegated
#   data.separation  whether the three powers (system, security, audit) are apart
#   data.admin       what the scope admin stands for at the moment
#   input            operation, subject, whether its reach is everything (everywhere), address, and the time as now (Unix ms), weekday (1 is Monday) and minute of the day
# entrypoint: true
package icewatch.access

import rego.v1

powers := {"system", "security", "audit"}

decision := {"allow": allow, "confined": confined}

scope := data.operations[input.operation].scope

# The roles that let their holder do the operation: everywhere, and in his own
# unit and below. The table is made from the rules below whenever the data
# changes, so that a decision is a few look-ups.
free_roles := data.table[input.operation].free

unit_roles := data.table[input.operation].unit

default allow := false

allow if scope == "any"

allow if {
	by_role
	within_limit
	not conflict
}

# What a delegated role gives holds in the subject's own unit and below only.
default confined := false

confined if {
	scope != "any"
	not free
	allow
}

by_role if free

by_role if {
	not free
	some r in input.subject.roles
	unit_roles[r]
}

by_role if {
	not free
	some g in input.subject.grants
	unit_roles[g.role]
	in_force(g)
}

# A service's token has no roles: its limit is all it has.
free if {
	input.subject.service
	suits_reach
}

free if {
	some r in input.subject.roles
	free_roles[r]
	suits_reach
}

free if {
	some g in input.subject.grants
	free_roles[g.role]
	in_force(g)
	suits_reach
}

# What administers the whole suite is for those whose reach is all of it.
suits_reach if not scope in powers

suits_reach if input.everywhere

table[id] := {"free": free_set, "unit": unit_set} if {
	some id, op in data.operations
	able_roles := {r | some r, role in data.roles; some s in {op.scope} | {x | some x in op.also}; permits(role, id, s)}
	free_set := {r: true | some r in able_roles; not data.roles[r].delegated}
	unit_set := {r: true | some r in able_roles; data.roles[r].delegated; can_confine(op)}
}

can_confine(op) if not op.scope in powers

can_confine(op) if op.confinable

permits(role, _, s) if s in role.scopes

permits(role, _, s) if {
	"admin" in role.scopes
	s in data.admin
}

permits(role, id, _) if id in role.operations

within_limit if not input.subject.limit

within_limit if permits(input.subject.limit, input.operation, scope)

# What one power keeps, another may have to look at.
within_limit if {
	some s in data.operations[input.operation].also
	permits(input.subject.limit, input.operation, s)
}

# The roles in force, direct and granted.
active contains r if some r in input.subject.roles

active contains g.role if {
	some g in input.subject.grants
	in_force(g)
}

# Nobody exercises two of the three powers, however he came by them.
conflict if {
	data.separation
	scope in powers
	count(held) > 1
}

held contains p if {
	some r in active
	some p in data.roles[r].powers
}

held contains p if {
	input.subject.service
	some p in input.subject.limit.powers
}

in_force(g) if count(unmet(g)) == 0

# What keeps a grant from being in force.
unmet(g) := {"grant_not_yet" | g.not_before > input.now} |
	{"grant_over" | g.not_after <= input.now} |
	{"grant_day" | g.weekdays; not input.weekday in g.weekdays} |
	{"grant_hours" | g.from; not within_hours(g)} |
	{"grant_place" | g.networks; not within_place(g)}

within_hours(g) if {
	g.from <= g.to
	input.minute >= g.from
	input.minute < g.to
}

# Over midnight.
within_hours(g) if {
	g.from > g.to
	input.minute >= g.from
}

within_hours(g) if {
	g.from > g.to
	input.minute < g.to
}

within_place(g) if {
	some n in g.networks
	net.cidr_contains(n, input.address)
}

# Why: asked for people, not on the way of a request.
reasons contains {"code": "any"} if scope == "any"

reasons contains {"code": "unknown_operation"} if not scope

reasons contains {"code": "role_allows", "role": r} if {
	some r in active
	free_roles[r]
}

reasons contains {"code": "role_allows_in_unit", "role": r} if {
	some r in active
	unit_roles[r]
}

reasons contains {"code": "not_delegable", "role": r} if {
	some r in active
	data.roles[r].delegated
	permits(data.roles[r], input.operation, scope)
	not unit_roles[r]
}

reasons contains {"code": "token_allows"} if {
	input.subject.service
	within_limit
}

reasons contains {"code": "token_limit"} if not within_limit

reasons contains {"code": "reach"} if not suits_reach

reasons contains {"code": "powers_conflict", "powers": sort(held)} if conflict

reasons contains {"code": code, "role": g.role, "grant": g.id} if {
	some g in input.subject.grants
	permits(data.roles[g.role], input.operation, scope)
	some code in unmet(g)
}

reasons contains {"code": "no_role", "roles": sort(able)} if {
	scope != "any"
	not by_role
}

# The roles that would do.
able contains r if some r, _ in free_roles

able contains r if some r, _ in unit_roles
