// Package transition says who may move an incident, an alert or a notice from
// which state to which. The table is data: administrators change it while the
// suite runs, and what it forbids is refused with the names of the roles that
// may.
package transition

import (
	"fmt"
	"slices"
	"strings"
)

// What moves from state to state.
const (
	Incident = "incident"
	Alert    = "alert"
	Notice   = "notice"
)

// states are those that each kind of thing has, in the order of its life.
var states = map[string][]string{
	Incident: {"open", "acknowledged", "closed"},
	Alert:    {"open", "acknowledged", "closed"},
	Notice:   {"draft", "review", "approved", "published", "closed"},
}

// admin is the role that no table shuts out: somebody must be able to move what
// a mistake in the table holds fast.
const admin = "admin"

// Move is one line of the table.
type Move struct {
	Of    string   `json:"of" enum:"incident,alert,notice"`
	From  string   `json:"from" doc:"A state: open, acknowledged, closed; of a notice draft, review, approved, published, closed"`
	To    string   `json:"to"`
	Roles []string `json:"roles" nullable:"false" doc:"Ids of the roles that may; empty for each that may respond at all"`
	Apart bool     `json:"apart,omitempty" doc:"Of a notice: not by the person who made the move before"`
}

// Table holds the moves that there are. What is not among them nobody makes,
// save an administrator.
type Table struct {
	Moves []Move `json:"moves" nullable:"false"`
}

// Default lets everybody who may respond work on incidents and alerts. A notice
// is submitted by who wrote it, approved by a security officer who did not
// submit it, and published by one.
func Default() Table {
	var t Table
	for _, of := range []string{Incident, Alert} {
		for _, m := range [][2]string{{"open", "acknowledged"}, {"open", "closed"}, {"acknowledged", "closed"}, {"acknowledged", "open"}, {"closed", "open"}} {
			t.Moves = append(t.Moves, Move{Of: of, From: m[0], To: m[1], Roles: []string{}})
		}
	}
	officers := []string{"operator", "security-admin"}
	for _, m := range []Move{
		{From: "draft", To: "review", Roles: []string{}},
		{From: "review", To: "approved", Roles: officers, Apart: true}, {From: "review", To: "draft", Roles: []string{}},
		{From: "approved", To: "published", Roles: officers}, {From: "approved", To: "draft", Roles: officers},
		{From: "published", To: "closed", Roles: officers}, {From: "closed", To: "published", Roles: officers},
	} {
		m.Of = Notice
		t.Moves = append(t.Moves, m)
	}
	return t
}

// Check names the first line that says nothing: of an unknown state, from a
// state to itself, or said before.
func (t Table) Check() error {
	seen := map[string]int{}
	for i, m := range t.Moves {
		known := states[m.Of]
		if known == nil {
			return fmt.Errorf("moves[%d].of: %q: want incident, alert or notice", i, m.Of)
		}
		for name, state := range map[string]string{"from": m.From, "to": m.To} {
			if !slices.Contains(known, state) {
				return fmt.Errorf("moves[%d].%s: %q: want one of %s", i, name, state, strings.Join(known, ", "))
			}
		}
		if m.From == m.To {
			return fmt.Errorf("moves[%d]: from %s to itself is no move", i, m.From)
		}
		if m.Apart && m.Of != Notice {
			return fmt.Errorf("moves[%d].apart: only notices have it", i)
		}
		for n, role := range m.Roles {
			if role == "" || strings.TrimSpace(role) != role {
				return fmt.Errorf("moves[%d].roles[%d]: %q: want the id of a role", i, n, role)
			}
		}
		key := m.Of + " " + m.From + " " + m.To
		if before, again := seen[key]; again {
			return fmt.Errorf("moves[%d]: %s from %s to %s stands in moves[%d] already", i, m.Of, m.From, m.To, before)
		}
		seen[key] = i
	}
	return nil
}

// Refused is answered to who may not make a move.
type Refused struct {
	Of, From, To string
	Roles        []string // that may
}

// Error implements error.
func (r *Refused) Error() string {
	who := "nobody but an administrator may: the table of transitions has no such move"
	if len(r.Roles) > 0 {
		who = "that is for the roles " + strings.Join(r.Roles, ", ")
	}
	return fmt.Sprintf("you may not move %s from %s to %s: %s", article(r.Of), r.From, r.To, who)
}

func article(of string) string {
	if of == Notice {
		return "a notice"
	}
	return "an " + of
}

// Find returns the line of a move; ok is false where there is none.
func (t Table) Find(of, from, to string) (m Move, ok bool) {
	i := slices.IndexFunc(t.Moves, func(m Move) bool { return m.Of == of && m.From == from && m.To == to })
	if i < 0 {
		return m, false
	}
	return t.Moves[i], true
}

// May refuses a move to who holds none of the roles that may make it.
func (t Table) May(of, from, to string, held []string) error {
	if slices.Contains(held, admin) {
		return nil
	}
	m, ok := t.Find(of, from, to)
	if ok && (len(m.Roles) == 0 || slices.ContainsFunc(held, func(r string) bool { return slices.Contains(m.Roles, r) })) {
		return nil
	}
	return &Refused{Of: of, From: from, To: to, Roles: m.Roles}
}

// Open lists the states that somebody may move a thing to from where it is.
func (t Table) Open(of, from string, held []string) []string {
	out := []string{}
	for _, to := range states[of] {
		if _, ok := t.Find(of, from, to); ok && t.May(of, from, to, held) == nil {
			out = append(out, to)
		}
	}
	return out
}
