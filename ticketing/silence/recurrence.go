package silence

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them

	"github.com/teambition/rrule-go"
)

// Bounds of a recurrence.
const (
	maxRule   = 500 // bytes of its text
	leastLast = time.Minute
	mostLast  = 31 * 24 * time.Hour
)

// Recurrence makes a silence active again and again between its start and its
// end, in the words of iCalendar (RFC 5545, RRULE): FREQ=DAILY,
// FREQ=WEEKLY;BYDAY=SA,SU, FREQ=MONTHLY;BYMONTHDAY=1. The first time begins with
// the silence; each begins at the same time of the day by the clock of Zone,
// whatever daylight saving does, and lasts for Lasts.
type Recurrence struct {
	Rule  string
	Lasts time.Duration
	Zone  string // IANA time zone

	times *times // once it is compiled
}

// times finds the times of a rule. It remembers the one it found last: the
// library counts from the first each time.
type times struct {
	mu         sync.Mutex
	rule       *rrule.RRule
	from, next time.Time // next is zero where none follows
}

// compile reads the rule of a silence that begins at start.
func (r *Recurrence) compile(start time.Time) error {
	text := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(r.Rule)), "RRULE:")
	if len(text) > maxRule {
		return fmt.Errorf("recurrence: %d bytes, at most %d", len(text), maxRule)
	}
	zone, err := time.LoadLocation(r.Zone)
	if err != nil || r.Zone == "" || r.Zone == "Local" {
		return fmt.Errorf("zone %.64q: want an IANA time zone such as Asia/Shanghai", r.Zone)
	}
	if r.Lasts < leastLast || r.Lasts > mostLast {
		return fmt.Errorf("duration %s: want %s to %s", r.Lasts, leastLast, mostLast)
	}
	if strings.ContainsAny(text, "\r\n") || strings.Contains(text, "DTSTART") {
		return errors.New("recurrence: want one rule; it begins with the silence")
	}
	o, err := rrule.StrToROptionInLocation(text, zone)
	if err != nil {
		return fmt.Errorf("recurrence %.100q: %w: want a rule such as FREQ=WEEKLY;BYDAY=SA", r.Rule, err)
	}
	switch o.Freq {
	case rrule.DAILY, rrule.WEEKLY, rrule.MONTHLY, rrule.YEARLY:
	default:
		return fmt.Errorf("recurrence %.100q: want DAILY, WEEKLY, MONTHLY or YEARLY", r.Rule)
	}
	if len(o.Bysecond)+len(o.Byminute)+len(o.Byhour) > 0 {
		return fmt.Errorf("recurrence %.100q: the time of the day is that of the silence's start; leave BYHOUR, BYMINUTE and BYSECOND out", r.Rule)
	}
	o.Dtstart = start.In(zone).Truncate(time.Second)
	set, err := rrule.NewRRule(*o)
	if err != nil {
		return fmt.Errorf("recurrence %.100q: %w", r.Rule, err)
	}
	if set.After(o.Dtstart, true).IsZero() {
		return fmt.Errorf("recurrence %.100q: it never comes", r.Rule)
	}
	r.Rule, r.times = text, &times{rule: set}
	return nil
}

// at returns when the time began and ends that t falls into; ok is false where
// it falls into none.
func (r *Recurrence) at(t time.Time) (from, to time.Time, ok bool) {
	c := r.times
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from.IsZero() || t.Before(c.from) || !c.next.IsZero() && !t.Before(c.next) {
		c.from, c.next = c.rule.Before(t, true), c.rule.After(t, false)
	}
	if from = c.from; from.IsZero() {
		return from, to, false
	}
	to = from.Add(r.Lasts)
	return from, to, to.After(t)
}

// next is when the next time begins after t, zero where none does.
func (r *Recurrence) next(t time.Time) time.Time {
	r.times.mu.Lock()
	defer r.times.mu.Unlock()
	return r.times.rule.After(t, false)
}

// activeAt tells whether the silence mutes at a time, and until when.
func (s *Silence) activeAt(t time.Time) (until time.Time, active bool) {
	if t.Before(s.StartsAt) || !s.EndsAt.After(t) {
		return until, false
	}
	if s.Recurrence == nil {
		return s.EndsAt, true
	}
	_, to, ok := s.Recurrence.at(t)
	if !ok {
		return until, false
	}
	if to.After(s.EndsAt) {
		to = s.EndsAt
	}
	return to, true
}

// Times lists the next times of a recurring silence from t on, n of them at
// most; of one that is once, itself.
func (s *Silence) Times(t time.Time, n int) (out [][2]time.Time) {
	if s.Recurrence == nil {
		if s.EndsAt.After(t) {
			out = append(out, [2]time.Time{s.StartsAt, s.EndsAt})
		}
		return out
	}
	if from, to, ok := s.Recurrence.at(t); ok && from.Before(s.EndsAt) {
		out = append(out, [2]time.Time{from, to})
	}
	for at := t; len(out) < n; {
		if at = s.Recurrence.next(at); at.IsZero() || !at.Before(s.EndsAt) {
			return out
		}
		out = append(out, [2]time.Time{at, at.Add(s.Recurrence.Lasts)})
	}
	return out
}

// MutesAround tells whether the silence, had it been in force for years, would
// have muted what fired at t: always, where it is once.
func (s *Silence) MutesAround(t time.Time) bool {
	if s.Recurrence == nil {
		return true
	}
	zone := s.Recurrence.times.rule.OrigOptions.Dtstart.Location()
	for at := s.StartsAt.In(zone); ; {
		if !t.Before(at) {
			shifted := Recurrence{Rule: s.Recurrence.Rule, Lasts: s.Recurrence.Lasts, Zone: s.Recurrence.Zone}
			if shifted.compile(at) != nil {
				return false
			}
			_, _, ok := shifted.at(t)
			return ok
		}
		at = at.AddDate(-1, 0, 0)
	}
}

// Compile reads the recurrence of a silence that is not kept yet.
func (s *Silence) Compile() error {
	if s.Recurrence == nil {
		return nil
	}
	if err := s.Recurrence.compile(s.StartsAt); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}
