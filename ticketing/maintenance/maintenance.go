// Package maintenance knows maintenance windows: spans of time, once or every
// week, in which alerts about a configuration item, a business system or a whole
// tenant are expected. An alert in a window is kept and marked, and the priority
// policy, which is told of the windows, says that nobody is to be told of it.
package maintenance

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them

	"icewatch/detections/policy"
)

// Bounds of a schedule.
const (
	MaxWindows = 500
	maxScope   = 200
	maxName    = 200 // bytes
)

// Weekdays are the days of a weekly window.
var Weekdays = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// Schedule is all windows: the value of the setting maintenance.
type Schedule struct {
	Windows []Window `json:"windows"`
}

// Window is one maintenance window. It is either once, from Start to End, or
// weekly on Days between two times of the day in Zone; Start and End, where a
// weekly window has them, bound it. Where the time of its beginning is not
// before that of its end, it goes on into the next day.
type Window struct {
	ID      string    `json:"id" doc:"Lower case letters, digits and -; made where it is empty"`
	Name    string    `json:"name"`
	Reason  string    `json:"reason,omitempty"`
	Start   time.Time `json:"start,omitzero"`
	End     time.Time `json:"end,omitzero"`
	Weekly  *Weekly   `json:"weekly,omitempty"`
	Items   []string  `json:"items,omitempty" doc:"Ids of configuration items"`
	Systems []string  `json:"systems,omitempty" doc:"Ids of business systems"`
	Tenants []string  `json:"tenants,omitempty" doc:"Whole tenants"`
	Off     bool      `json:"off,omitempty" doc:"Kept, and not in force"`
}

// Weekly is a recurrence by days of the week and times of the day.
type Weekly struct {
	Days []string `json:"days" doc:"monday to sunday"`
	From string   `json:"from" doc:"HH:MM"`
	To   string   `json:"to" doc:"HH:MM; 24:00 is the day's end"`
	Zone string   `json:"zone" doc:"IANA time zone, Asia/Shanghai"`
}

// Check says what is wrong with a schedule.
func (s Schedule) Check() error {
	if len(s.Windows) > MaxWindows {
		return fmt.Errorf("%d windows: %d at most", len(s.Windows), MaxWindows)
	}
	seen := map[string]bool{}
	for i := range s.Windows {
		w := &s.Windows[i]
		if err := w.check(); err != nil {
			return fmt.Errorf("window %q: %w", w.ID, err)
		}
		if seen[w.ID] {
			return fmt.Errorf("window %q is given twice", w.ID)
		}
		seen[w.ID] = true
	}
	return nil
}

func (w *Window) check() error {
	if w.ID == "" || len(w.ID) > 64 || strings.Trim(w.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("its id is 1 to 64 lower case letters, digits and -")
	}
	if w.Name == "" || len(w.Name) > maxName || len(w.Reason) > 5*maxName {
		return fmt.Errorf("it needs a name of %d bytes at most, and a reason of %d at most", maxName, 5*maxName)
	}
	n := len(w.Items) + len(w.Systems) + len(w.Tenants)
	if n == 0 {
		return fmt.Errorf("it is about nothing: name items, systems or tenants")
	}
	if n > maxScope || slices.Contains(slices.Concat(w.Items, w.Systems, w.Tenants), "") {
		return fmt.Errorf("it names %d items, systems and tenants: %d at most, and none empty", n, maxScope)
	}
	if !w.Start.IsZero() && !w.End.IsZero() && !w.Start.Before(w.End) {
		return fmt.Errorf("its start %s is not before its end %s", w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339))
	}
	if w.Weekly == nil {
		if w.Start.IsZero() || w.End.IsZero() {
			return fmt.Errorf("it needs start and end, or weekly")
		}
		return nil
	}
	_, err := w.Weekly.parse()
	return err
}

// weekly is a Weekly that was read.
type weekly struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day
	zone     *time.Location
}

func (w *Weekly) parse() (weekly, error) {
	var out weekly
	if len(w.Days) == 0 {
		return out, fmt.Errorf("weekly.days is empty: name days such as sunday")
	}
	for _, d := range w.Days {
		i := slices.Index(Weekdays, d)
		if i < 0 {
			return out, fmt.Errorf("weekly.days: %q is none of %s", d, strings.Join(Weekdays, ", "))
		}
		out.days[(i+1)%7] = true
	}
	var err error
	if out.from, err = minutes(w.From); err != nil || out.from == 24*60 {
		return out, fmt.Errorf("weekly.from: %q is no time of the day such as 22:00", w.From)
	}
	if out.to, err = minutes(w.To); err != nil {
		return out, fmt.Errorf("weekly.to: %q is no time of the day such as 06:00", w.To)
	}
	if w.Zone == "" || w.Zone == "Local" {
		return out, fmt.Errorf("weekly.zone: %q: name a time zone such as Asia/Shanghai", w.Zone)
	}
	if out.zone, err = time.LoadLocation(w.Zone); err != nil {
		return out, fmt.Errorf("weekly.zone: %w: name a time zone such as Asia/Shanghai", err)
	}
	return out, nil
}

// minutes reads HH:MM, 00:00 to 24:00.
func minutes(s string) (int, error) {
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != 5 {
		return 0, fmt.Errorf("%q is not HH:MM", s)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// until returns when the window that holds the moment ends. ok is false where
// the moment is in none.
func (w *plan) until(at time.Time) (end time.Time, ok bool) {
	if !w.Start.IsZero() && at.Before(w.Start) || !w.End.IsZero() && !at.Before(w.End) {
		return time.Time{}, false
	}
	if w.Weekly == nil {
		return w.End, true
	}
	local := at.In(w.weekly.zone)
	// The window of this day, or the one of the day before that goes on.
	for back := range 2 {
		y, m, d := local.Date()
		if !w.weekly.days[time.Date(y, m, d-back, 12, 0, 0, 0, w.weekly.zone).Weekday()] {
			continue
		}
		from, to := w.on(y, m, d-back)
		if !at.Before(from) && at.Before(to) {
			if !w.End.IsZero() && w.End.Before(to) {
				to = w.End
			}
			return to, true
		}
	}
	return time.Time{}, false
}

// plan is a window made ready.
type plan struct {
	Window
	weekly weekly
}

// Calendar answers which windows an alert falls into. It is immutable.
type Calendar struct {
	plans                   []plan
	items, systems, tenants map[string][]int // places in plans
}

// New makes a calendar of a schedule that Check accepts. Windows that are off
// are left out.
func New(s Schedule) *Calendar {
	c := &Calendar{items: map[string][]int{}, systems: map[string][]int{}, tenants: map[string][]int{}}
	for _, w := range s.Windows {
		if w.Off {
			continue
		}
		p := plan{Window: w}
		if w.Weekly != nil {
			var err error
			if p.weekly, err = w.Weekly.parse(); err != nil {
				continue // Check has refused it
			}
		}
		n := len(c.plans)
		c.plans = append(c.plans, p)
		for _, part := range []struct {
			names []string
			into  map[string][]int
		}{{w.Items, c.items}, {w.Systems, c.systems}, {w.Tenants, c.tenants}} {
			for _, name := range part.names {
				part.into[name] = append(part.into[name], n)
			}
		}
	}
	return c
}

// InForce lists the windows, by id, in which an alert falls that is about the
// item (or "") of the business system (or "") of the tenant and whose last event
// is of that time.
func (c *Calendar) InForce(item, system, tenant string, at time.Time) []policy.Window {
	var out []policy.Window
	for _, list := range [][]int{c.items[item], c.systems[system], c.tenants[tenant]} {
		for _, n := range list {
			p := &c.plans[n]
			if slices.ContainsFunc(out, func(w policy.Window) bool { return w.ID == p.ID }) {
				continue
			}
			if end, ok := p.until(at); ok {
				out = append(out, policy.Window{ID: p.ID, Name: p.Name, Until: end.UTC()})
			}
		}
	}
	slices.SortFunc(out, func(a, b policy.Window) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Active tells, of the windows of a schedule, which are in force at the moment
// and until when.
func Active(s Schedule, at time.Time) map[string]time.Time {
	out := map[string]time.Time{}
	for _, p := range New(s).plans {
		if end, ok := p.until(at); ok {
			out[p.ID] = end.UTC()
		}
	}
	return out
}
