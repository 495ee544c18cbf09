package sla

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/ticketing/workdays"
)

// The kinds of device faults: one whose service is seen from outside, and one
// that somebody has to travel to.
const (
	Online  = "online"
	Offline = "offline"
)

// Promise is what a priority allows.
type Promise struct {
	Priority       string `json:"priority" enum:"P1,P2,P3,P4"`
	AckMinutes     int    `json:"ack_minutes" minimum:"1" doc:"Until somebody has acknowledged, around the clock"`
	ResolveMinutes int    `json:"resolve_minutes" minimum:"1" doc:"Until it is closed, in the calendar's time"`
	Calendar       string `json:"calendar,omitempty" doc:"Key of a calendar; around the clock where it is empty"`
}

// NamedCalendar is a calendar under a key.
type NamedCalendar struct {
	Key  string          `json:"key"`
	Name detections.Text `json:"name"`
	workdays.Spec
}

// Reason is why a clock may be paused.
type Reason struct {
	Key  string          `json:"key"`
	Name detections.Text `json:"name"`
}

// Fault is what is promised once a device fault is confirmed, around the clock.
type Fault struct {
	ProposeMinutes     int `json:"propose_minutes" doc:"Until a solution is proposed"`
	OnlineWarnMinutes  int `json:"online_warn_minutes" doc:"Until it is warned that an online fault is to be recovered"`
	OnlineMinutes      int `json:"online_minutes" doc:"Until an online fault is recovered"`
	OfflineWarnMinutes int `json:"offline_warn_minutes"`
	OfflineMinutes     int `json:"offline_minutes"`
}

// Terms is what is agreed on service levels, as administrators write it.
type Terms struct {
	Promises    []Promise       `json:"promises" doc:"One a priority"`
	WarnPercent int             `json:"warn_percent" doc:"How much of the time is left when it is warned, in percent"`
	Fault       Fault           `json:"fault"`
	Calendars   []NamedCalendar `json:"calendars"`
	Reasons     []Reason        `json:"reasons" doc:"For which a clock may be paused"`
	Stability   []Stability     `json:"stability,omitzero" required:"false" nullable:"false" maxItems:"200" doc:"Availability and outages of systems: what names a system counts, else what is for the highest level that it reaches. Absent: 99.9 % from MLPS level 3 on, else 99.5 %"`
}

// DefaultTerms makes terms of targets, around the clock, with the working hours
// and the reasons that are common. A confirmed device fault gets a solution
// proposed within 2 h and is recovered within 1 to 2 h online, 4 to 6 h offline:
// the lower figure is the warning.
func DefaultTerms(t Targets) Terms {
	terms := Terms{WarnPercent: 25,
		Fault:     Fault{ProposeMinutes: 120, OnlineWarnMinutes: 60, OnlineMinutes: 120, OfflineWarnMinutes: 240, OfflineMinutes: 360},
		Calendars: []NamedCalendar{{Key: "working-hours", Name: detections.Text{ZH: "工作时间", EN: "Working hours"}, Spec: workdays.WorkingHours()}},
		Reasons: []Reason{
			{"customer", detections.Text{ZH: "等待用户答复", EN: "Waiting for the customer"}},
			{"supplier", detections.Text{ZH: "等待供应商", EN: "Waiting for a supplier"}},
			{"change-window", detections.Text{ZH: "等待变更窗口", EN: "Waiting for a change window"}},
			{"observation", detections.Text{ZH: "观察期", EN: "Under observation"}},
		}}
	merged := t.Merge()
	for _, p := range priorities {
		terms.Promises = append(terms.Promises, Promise{Priority: p, AckMinutes: minutes(merged[p].Ack), ResolveMinutes: minutes(merged[p].Resolve)})
	}
	return terms
}

var priorities = []string{"P1", "P2", "P3", "P4"}

// minutes rounds up, so that a promise of seconds is not one of nothing.
func minutes(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) }

const (
	maxMinutes = 366 * 24 * 60
	maxNamed   = 50
	maxName    = 100
)

var key = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Check names the first term that cannot be kept.
func (t Terms) Check() error {
	_, err := t.Compile(nil)
	return err
}

// Agreement is terms made ready. It is never changed.
type Agreement struct {
	terms     Terms
	promises  map[string]Promise
	calendars map[string]*workdays.Calendar
}

// Compile makes terms ready, with these holidays, or says what is wrong.
func (t Terms) Compile(h *workdays.Holidays) (*Agreement, error) {
	a := &Agreement{terms: t, promises: map[string]Promise{}, calendars: map[string]*workdays.Calendar{"": nil}}
	named := func(at, k string, name detections.Text) error {
		if !key.MatchString(k) {
			return fmt.Errorf("%s.key: %q: want small letters, digits and hyphens, 32 at most", at, k)
		}
		if name.ZH == "" || name.EN == "" || utf8.RuneCountInString(name.ZH) > maxName || utf8.RuneCountInString(name.EN) > maxName {
			return fmt.Errorf("%s.name: want a name in both languages, of %d characters at most", at, maxName)
		}
		return nil
	}
	if len(t.Calendars) > maxNamed || len(t.Reasons) > maxNamed {
		return nil, fmt.Errorf("%d calendars and %d reasons: want %d of each at most", len(t.Calendars), len(t.Reasons), maxNamed)
	}
	for i, c := range t.Calendars {
		at := fmt.Sprintf("calendars[%d]", i)
		if err := named(at, c.Key, c.Name); err != nil {
			return nil, err
		}
		if _, twice := a.calendars[c.Key]; twice {
			return nil, fmt.Errorf("%s.key: %q is given twice", at, c.Key)
		}
		made, err := c.Spec.Compile(h)
		if err != nil {
			return nil, fmt.Errorf("%s.%w", at, err)
		}
		a.calendars[c.Key] = made
	}
	for i, r := range t.Reasons {
		if err := named(fmt.Sprintf("reasons[%d]", i), r.Key, r.Name); err != nil {
			return nil, err
		}
	}
	if t.WarnPercent < 0 || t.WarnPercent > 100 {
		return nil, fmt.Errorf("warn_percent: %d: want 0 to 100", t.WarnPercent)
	}
	for i, p := range t.Promises {
		at := fmt.Sprintf("promises[%d]", i)
		switch _, twice := a.promises[p.Priority]; {
		case !slices.Contains(priorities, p.Priority):
			return nil, fmt.Errorf("%s.priority: %q: want P1, P2, P3 or P4", at, p.Priority)
		case twice:
			return nil, fmt.Errorf("%s.priority: %s is given twice", at, p.Priority)
		case p.AckMinutes < 1 || p.AckMinutes > maxMinutes || p.ResolveMinutes < 1 || p.ResolveMinutes > maxMinutes:
			return nil, fmt.Errorf("%s: ack_minutes %d and resolve_minutes %d: want 1 to %d", at, p.AckMinutes, p.ResolveMinutes, maxMinutes)
		case p.ResolveMinutes < p.AckMinutes:
			return nil, fmt.Errorf("%s: resolve_minutes %d is less than ack_minutes %d", at, p.ResolveMinutes, p.AckMinutes)
		}
		if _, ok := a.calendars[p.Calendar]; !ok {
			return nil, fmt.Errorf("%s.calendar: there is no calendar %q", at, p.Calendar)
		}
		a.promises[p.Priority] = p
	}
	for _, p := range priorities {
		if _, ok := a.promises[p]; !ok {
			return nil, fmt.Errorf("promises: %s is missing", p)
		}
	}
	if len(t.Stability) > maxStability {
		return nil, fmt.Errorf("stability: %d targets: want %d at most", len(t.Stability), maxStability)
	}
	for i := range t.Stability {
		if err := t.Stability[i].check(); err != nil {
			return nil, fmt.Errorf("stability[%d].%w", i, err)
		}
	}
	f := t.Fault
	if f.ProposeMinutes < 1 || f.OnlineWarnMinutes < 0 || f.OnlineMinutes < max(1, f.OnlineWarnMinutes) || f.OfflineWarnMinutes < 0 || f.OfflineMinutes < max(1, f.OfflineWarnMinutes) || max(f.ProposeMinutes, f.OnlineMinutes, f.OfflineMinutes) > maxMinutes {
		return nil, errors.New("fault: want minutes of 1 at least, and warnings not after what they warn of")
	}
	return a, nil
}

// Terms are those that the agreement was made of.
func (a *Agreement) Terms() Terms { return a.terms }

// Reason finds a reason for pausing.
func (a *Agreement) Reason(k string) (Reason, bool) {
	for _, r := range a.terms.Reasons {
		if r.Key == k {
			return r, true
		}
	}
	return Reason{}, false
}

func (a *Agreement) of(priority string) Promise {
	if p, ok := a.promises[priority]; ok {
		return p
	}
	return a.promises["P4"]
}

// until is what is left before a warning of a time of so many minutes.
func (a *Agreement) until(m int) time.Duration {
	d := time.Duration(m) * time.Minute
	return d - d*time.Duration(a.terms.WarnPercent)/100
}

// Start begins a clock at opened. An unknown priority gets P4's targets.
func (a *Agreement) Start(priority string, opened time.Time) Clock {
	p := a.of(priority)
	c := Clock{Opened: opened}
	c.AckWarn, c.AckDue = opened.Add(a.until(p.AckMinutes)), opened.Add(time.Duration(p.AckMinutes)*time.Minute)
	c.Calendar = p.Calendar
	cal := a.calendars[p.Calendar]
	c.ResolveWarn, c.ResolveDue = cal.Add(opened, a.until(p.ResolveMinutes)), cal.Add(opened, time.Duration(p.ResolveMinutes)*time.Minute)
	return c
}

// Raise gives the clock the targets of a more urgent priority from now on. It
// never puts a due time off, and never into the past: who learns at this
// moment that it is urgent has the urgent target's time from this moment. A
// clock that is paused stays so, and counts from its resumption. It tells
// whether a due time moved.
func (a *Agreement) Raise(c *Clock, priority string, now time.Time) bool {
	fresh, moved := a.Start(priority, now), false
	if c.Acked.IsZero() && fresh.AckDue.Before(c.AckDue) {
		c.AckWarn, c.AckDue, moved = fresh.AckWarn, fresh.AckDue, true
	}
	if !c.Resolved.IsZero() {
		return moved
	}
	at := c.counted(now)
	cal := a.calendars[fresh.Calendar]
	p := a.of(priority)
	if due := cal.Add(at, time.Duration(p.ResolveMinutes)*time.Minute); due.Before(c.ResolveDue) {
		c.Calendar, c.ResolveWarn, c.ResolveDue, moved = fresh.Calendar, cal.Add(at, a.until(p.ResolveMinutes)), due, true
	}
	return moved
}

// Lower moves the due times of what has not happened yet to where a less urgent
// priority puts them, counted from the opening; none comes nearer. The promises
// of a confirmed device fault stay, whatever its priority.
func (a *Agreement) Lower(c *Clock, priority string) {
	fresh := a.Start(priority, c.Opened)
	if c.Acked.IsZero() && fresh.AckDue.After(c.AckDue) {
		c.AckWarn, c.AckDue = fresh.AckWarn, fresh.AckDue
	}
	if c.Resolved.IsZero() && c.Fault == "" && fresh.ResolveDue.After(c.ResolveDue) {
		c.Calendar, c.ResolveWarn, c.ResolveDue = fresh.Calendar, fresh.ResolveWarn, fresh.ResolveDue
	}
}

// Pause stops the time of the solution.
func (c *Clock) Pause(now time.Time) { c.Paused = now }

// Resume lets the time of the solution go on: what was left of it when it was
// paused is left now. It returns how long it was paused.
func (a *Agreement) Resume(c *Clock, now time.Time) time.Duration {
	if c.Paused.IsZero() {
		return 0
	}
	paused := c.Paused
	c.Paused = time.Time{}
	if now.Before(paused) {
		return 0 // the clock of the machine was put back
	}
	later := func(cal *workdays.Calendar, t time.Time) time.Time {
		if !t.After(paused) {
			return t // it was past already
		}
		return cal.Add(now, cal.Between(paused, t))
	}
	cal := a.calendars[c.Calendar] // a calendar that is gone counts around the clock
	c.ResolveDue = later(cal, c.ResolveDue)
	if !c.ResolveWarn.IsZero() {
		c.ResolveWarn = later(cal, c.ResolveWarn)
	}
	if !c.ProposeDue.IsZero() && c.Proposed.IsZero() {
		c.ProposeDue = later(nil, c.ProposeDue)
	}
	return now.Sub(paused)
}

// Confirm says that it is a device fault, of a kind: from now on its promises
// count around the clock, where they are stricter.
func (a *Agreement) Confirm(c *Clock, kind string, now time.Time) error {
	f := a.terms.Fault
	warn, due := f.OnlineWarnMinutes, f.OnlineMinutes
	switch kind {
	case Online:
	case Offline:
		warn, due = f.OfflineWarnMinutes, f.OfflineMinutes
	default:
		return fmt.Errorf("fault %q: want online or offline", kind)
	}
	c.Fault = kind
	if c.Proposed.IsZero() {
		c.ProposeDue = now.Add(time.Duration(f.ProposeMinutes) * time.Minute)
	}
	if end := now.Add(time.Duration(due) * time.Minute); end.Before(c.ResolveDue) {
		c.Calendar, c.ResolveDue, c.ResolveWarn = "", end, now.Add(time.Duration(warn)*time.Minute)
	}
	return nil
}
