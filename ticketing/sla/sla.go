// Package sla keeps the clocks of incidents: when the first response and the
// solution are due, and how things stand now. A clock is a plain value that is
// stored with its incident; nothing here waits or remembers, so a restart
// cannot stop a clock.
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
	DueSoon  State = "due_soon" // running, at most the last quarter of the time left
	Breached State = "breached" // a due time passed without what was due
	Met      State = "met"      // resolved, everything in time
)

// soonShare is the share of the whole time that is left when a clock turns
// from OK to DueSoon: one part in four.
const soonShare = 4

// Target is the time a priority allows, counted from the opening.
type Target struct {
	Ack     time.Duration `yaml:"ack" json:"ack"`         // until somebody has acknowledged
	Resolve time.Duration `yaml:"resolve" json:"resolve"` // until it is closed
}

// Targets maps priorities, "P1" (most urgent) to "P4", to their targets.
type Targets map[string]Target

// Default returns the built-in targets: P1 15 min and 4 h, P2 30 min and 8 h,
// P3 4 h and 3 days, P4 1 day and 7 days.
func Default() Targets {
	const day = 24 * time.Hour
	return Targets{
		"P1": {Ack: 15 * time.Minute, Resolve: 4 * time.Hour},
		"P2": {Ack: 30 * time.Minute, Resolve: 8 * time.Hour},
		"P3": {Ack: 4 * time.Hour, Resolve: 3 * day},
		"P4": {Ack: day, Resolve: 7 * day},
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
// happened.
type Clock struct {
	Opened     time.Time
	AckDue     time.Time
	ResolveDue time.Time
	Acked      time.Time
	Resolved   time.Time
}

// Start begins a clock at opened. An unknown priority gets P4's targets.
func (t Targets) Start(priority string, opened time.Time) Clock {
	target := t.of(priority)
	return Clock{Opened: opened, AckDue: opened.Add(target.Ack), ResolveDue: opened.Add(target.Resolve)}
}

// Raise gives the clock the targets of a more urgent priority from now on. It
// never puts a due time off, and never into the past: who learns at this
// moment that it is urgent has the urgent target's time from this moment.
// It tells whether a due time moved.
func (t Targets) Raise(c *Clock, priority string, now time.Time) bool {
	target, moved := t.of(priority), false
	if due := now.Add(target.Ack); c.Acked.IsZero() && due.Before(c.AckDue) {
		c.AckDue, moved = due, true
	}
	if due := now.Add(target.Resolve); c.Resolved.IsZero() && due.Before(c.ResolveDue) {
		c.ResolveDue, moved = due, true
	}
	return moved
}

// Lower moves the due times of what has not happened yet to where a less urgent
// priority puts them, counted from the opening; none comes nearer.
func (t Targets) Lower(c *Clock, priority string) {
	target := t.of(priority)
	if due := c.Opened.Add(target.Ack); c.Acked.IsZero() && due.After(c.AckDue) {
		c.AckDue = due
	}
	if due := c.Opened.Add(target.Resolve); c.Resolved.IsZero() && due.After(c.ResolveDue) {
		c.ResolveDue = due
	}
}

func (t Targets) of(priority string) Target {
	if target, ok := t[priority]; ok {
		return target
	}
	return t["P4"]
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
	return done.After(c.ResolveDue)
}

// Due returns the due time that comes next: the acknowledgement's while nobody
// has acknowledged, else the solution's. It is zero once resolved.
func (c Clock) Due() time.Time {
	switch {
	case !c.Resolved.IsZero():
		return time.Time{}
	case c.Acked.IsZero() && c.AckDue.Before(c.ResolveDue):
		return c.AckDue
	default:
		return c.ResolveDue
	}
}

// State tells how the clock stands at now. A late acknowledgement stays a
// breach, whatever is done later.
func (c Clock) State(now time.Time) State {
	if c.AckLate(now) || c.ResolveLate(now) {
		return Breached
	}
	if !c.Resolved.IsZero() {
		return Met
	}
	due := c.Due()
	if left := due.Sub(now); left <= due.Sub(c.Opened)/soonShare {
		return DueSoon
	}
	return OK
}
