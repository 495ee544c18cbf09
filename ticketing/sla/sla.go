// Package sla keeps the clocks of incidents: when the first response and the
// solution are due, by the calendar of its priority and less its pauses, and how
// things stand now. A clock is a plain value that is stored with its incident;
// nothing here waits or remembers, so a restart cannot stop a clock.
package sla

import (
	"fmt"
	"time"
)

// State says how an incident stands against its clock.
type State string

// The states of a clock.
const (
	OK       State = "ok"       // running, time enough left
	DueSoon  State = "due_soon" // running, and the time of the warning has come
	Paused   State = "paused"   // stopped, for a reason that the terms allow
	Breached State = "breached" // a due time passed without what was due
	Met      State = "met"      // resolved, everything in time
)

// Target is the time a priority allows, counted from the opening.
type Target struct {
	Ack     time.Duration `yaml:"ack" json:"ack"`         // until somebody has acknowledged
	Resolve time.Duration `yaml:"resolve" json:"resolve"` // until it is closed
}

// Targets maps priorities, "P1" (most urgent) to "P4", to their targets.
type Targets map[string]Target

// Default returns the built-in targets: a major event (P1, P2) is responded to
// within 15 minutes, a general one within an hour; they are solved within 4 h,
// 6 h, 3 days and 7 days.
func Default() Targets {
	const day = 24 * time.Hour
	return Targets{
		"P1": {Ack: 15 * time.Minute, Resolve: 4 * time.Hour},
		"P2": {Ack: 15 * time.Minute, Resolve: 6 * time.Hour},
		"P3": {Ack: time.Hour, Resolve: 3 * day},
		"P4": {Ack: time.Hour, Resolve: 7 * day},
	}
}

// Merge returns the default targets with those of t in place of the default
// where t has them; a zero duration keeps the default.
func (t Targets) Merge() Targets {
	out := Default()
	for p, target := range t {
		d := out[p]
		if target.Ack > 0 {
			d.Ack = target.Ack
		}
		if target.Resolve > 0 {
			d.Resolve = target.Resolve
		}
		out[p] = d
	}
	return out
}

// Validate names the first target that cannot be kept.
func (t Targets) Validate() error {
	known := Default()
	for p, target := range t {
		if _, ok := known[p]; !ok {
			return fmt.Errorf("sla: priority %q: want one of P1, P2, P3, P4", p)
		}
		if target.Ack < 0 || target.Resolve < 0 {
			return fmt.Errorf("sla: %s: ack %s and resolve %s must not be negative", p, target.Ack, target.Resolve)
		}
	}
	for p, target := range t.Merge() {
		if target.Resolve < target.Ack {
			return fmt.Errorf("sla: %s: resolve %s is shorter than ack %s: it must be at least as long", p, target.Resolve, target.Ack)
		}
	}
	return nil
}

// Clock is the clock of one incident. Zero times are things that have not
// happened, or are not to happen.
type Clock struct {
	Opened      time.Time
	AckWarn     time.Time // when it is warned that the response comes due
	AckDue      time.Time
	ResolveDue  time.Time
	ResolveWarn time.Time
	Acked       time.Time
	Resolved    time.Time

	// Calendar is that by whose hours the time of the solution counts; "" is
	// around the clock.
	Calendar string
	// Paused is since when the time of the solution does not count.
	Paused time.Time

	// Of a device fault that was confirmed: its kind, and by when a solution
	// must be proposed, and was.
	Fault      string
	ProposeDue time.Time
	Proposed   time.Time
}

// counted is the time up to which the solution's clock has counted at now.
func (c Clock) counted(now time.Time) time.Time {
	if !c.Paused.IsZero() && c.Paused.Before(now) {
		return c.Paused
	}
	return now
}

// AckLate tells whether the acknowledgement was or is late at now.
func (c Clock) AckLate(now time.Time) bool {
	done := now
	if !c.Acked.IsZero() {
		done = c.Acked
	} else if !c.Resolved.IsZero() {
		done = c.Resolved
	}
	return done.After(c.AckDue)
}

// ResolveLate tells whether the solution was or is late at now.
func (c Clock) ResolveLate(now time.Time) bool {
	done := now
	if !c.Resolved.IsZero() {
		done = c.Resolved
	}
	return c.counted(done).After(c.ResolveDue)
}

// ProposeLate tells whether the proposal of a solution was or is late at now.
func (c Clock) ProposeLate(now time.Time) bool {
	if c.ProposeDue.IsZero() {
		return false
	}
	done := now
	if !c.Proposed.IsZero() {
		done = c.Proposed
	} else if !c.Resolved.IsZero() {
		done = c.Resolved
	}
	return c.counted(done).After(c.ProposeDue)
}

// Due returns the due time that comes next of those still to be kept. It is
// zero once resolved, and while the clock is paused and nothing else runs.
func (c Clock) Due() time.Time {
	if !c.Resolved.IsZero() {
		return time.Time{}
	}
	var due time.Time
	take := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if c.Acked.IsZero() {
		take(c.AckDue)
	}
	if c.Paused.IsZero() {
		take(c.ResolveDue)
		if c.Proposed.IsZero() {
			take(c.ProposeDue)
		}
	}
	return due
}

// WarnAt returns when it is to be warned next of a due time; zero where none is
// to be kept or its warning is past at now.
func (c Clock) WarnAt(now time.Time) time.Time {
	var at time.Time
	take := func(t time.Time) {
		if t.After(now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if c.Acked.IsZero() && c.Resolved.IsZero() {
		take(c.AckWarn)
	}
	if c.Resolved.IsZero() && c.Paused.IsZero() {
		take(c.ResolveWarn)
	}
	return at
}

// AckSoon tells whether the acknowledgement is to be given and its warning is
// due at now.
func (c Clock) AckSoon(now time.Time) bool {
	return c.Acked.IsZero() && c.Resolved.IsZero() && !c.AckWarn.IsZero() && !now.Before(c.AckWarn)
}

// ResolveSoon tells the same of the solution.
func (c Clock) ResolveSoon(now time.Time) bool {
	return c.Resolved.IsZero() && c.Paused.IsZero() && !c.ResolveWarn.IsZero() && !now.Before(c.ResolveWarn)
}

// State tells how the clock stands at now. A late acknowledgement stays a
// breach, whatever is done later.
func (c Clock) State(now time.Time) State {
	switch {
	case c.AckLate(now) || c.ResolveLate(now) || c.ProposeLate(now):
		return Breached
	case !c.Resolved.IsZero():
		return Met
	case !c.Paused.IsZero():
		return Paused
	case c.AckSoon(now) || c.ResolveSoon(now):
		return DueSoon
	default:
		return OK
	}
}
