package workdays

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DefaultZone is the zone of calendars that name none: China has one.
const DefaultZone = "Asia/Shanghai"

// Window is a part of the day on some days of the week. One whose end is not
// after its beginning goes on into the next day; "24:00" is the end of the day.
type Window struct {
	Days []int  `json:"days" minItems:"1" maxItems:"7" nullable:"false" doc:"1 is Monday, 7 is Sunday"`
	From string `json:"from" maxLength:"5" doc:"HH:MM"`
	To   string `json:"to" maxLength:"5" doc:"HH:MM; not after from: on the next day"`
}

// Spec says when a calendar is open. Without windows it always is: 7×24.
type Spec struct {
	Zone    string   `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone; Asia/Shanghai by default"`
	Windows []Window `json:"windows" maxItems:"50" nullable:"false" doc:"When it is open; none: always"`
	// Holidays has holidays close the calendar, and days that make up for them
	// open it with the windows of a Monday.
	Holidays bool `json:"holidays" doc:"Closed on holidays, open on days that make up for them as on a Monday"`
}

// WorkingHours is Monday to Friday from 9 to 12 and from 13:30 to 17:30, less
// the holidays.
func WorkingHours() Spec {
	days := []int{1, 2, 3, 4, 5}
	return Spec{Windows: []Window{{Days: days, From: "09:00", To: "12:00"}, {Days: days, From: "13:30", To: "17:30"}}, Holidays: true}
}

// Calendar is a Spec made ready. It is never changed. The nil pointer is always
// open.
type Calendar struct {
	zone     *time.Location
	week     [7][]minutes // by time.Weekday
	holidays *Holidays    // nil where they do not matter
}

// minutes of a day; to is up to 48 hours for what goes on into the next.
type minutes struct{ from, to int }

const dayMinutes = 24 * 60

// ParseClock reads HH:MM, up to 24:00, as minutes of the day.
func ParseClock(s string) (int, error) {
	if len(s) == 5 && s[2] == ':' {
		digit := func(i int) int { return int(s[i]) - '0' }
		h, m := digit(0)*10+digit(1), digit(3)*10+digit(4)
		ok := true
		for _, i := range []int{0, 1, 3, 4} {
			ok = ok && s[i] >= '0' && s[i] <= '9'
		}
		if ok && m < 60 && h*60+m <= dayMinutes {
			return h*60 + m, nil
		}
	}
	return 0, fmt.Errorf("%q: want a time of day such as 09:00, at most 24:00", s)
}

// Zone loads a time zone; "" is DefaultZone.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		name = DefaultZone
	}
	if name == "Local" {
		return nil, errors.New(`zone "Local": want an IANA name such as Asia/Shanghai, which means the same on every machine`)
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("zone %q: want an IANA name such as Asia/Shanghai: %w", name, err)
	}
	zones.Store(name, loc)
	return loc, nil
}

// zones remembers zones by name, since loading one reads a file and rosters ask
// for theirs at every turn. There are some six hundred.
var zones sync.Map

// Compile makes a spec ready, or says what is wrong with it. Holidays may be
// nil where none are known.
func (s Spec) Compile(h *Holidays) (*Calendar, error) {
	zone, err := Zone(s.Zone)
	if err != nil {
		return nil, err
	}
	c := &Calendar{zone: zone}
	if s.Holidays {
		if len(s.Windows) == 0 {
			return nil, errors.New("holidays: a calendar without windows is always open: name its windows, or leave holidays out")
		}
		c.holidays = h
		if h == nil {
			c.holidays = &Holidays{}
		}
	}
	for i, w := range s.Windows {
		from, err1 := ParseClock(w.From)
		to, err2 := ParseClock(w.To)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("windows[%d]: %w", i, err)
		}
		if from == dayMinutes {
			return nil, fmt.Errorf("windows[%d].from: 24:00 is the end of the day: want 00:00", i)
		}
		if to <= from {
			to += dayMinutes
		}
		if len(w.Days) == 0 {
			return nil, fmt.Errorf("windows[%d].days: it is empty: want days from 1 (Monday) to 7 (Sunday)", i)
		}
		for _, d := range w.Days {
			if d < 1 || d > 7 {
				return nil, fmt.Errorf("windows[%d].days: %d: want 1 (Monday) to 7 (Sunday)", i, d)
			}
			c.week[d%7] = append(c.week[d%7], minutes{from, to})
		}
	}
	for i := range c.week {
		slices.SortFunc(c.week[i], func(a, b minutes) int { return a.from - b.from })
	}
	return c, nil
}

func (c *Calendar) always() bool {
	if c == nil {
		return true
	}
	for _, w := range c.week {
		if len(w) > 0 {
			return false
		}
	}
	return true
}

// span is a stretch of time, the end not included.
type span struct{ from, to time.Time }

// day is midnight of the day on which t is, as a date without a zone: days are
// counted on it, so that no change of clocks gets in the way.
func (c *Calendar) day(t time.Time) time.Time {
	y, m, d := t.In(c.zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// windows returns what is open of a day that day made.
func (c *Calendar) windows(day time.Time) []minutes {
	if c.holidays == nil {
		return c.week[day.Weekday()]
	}
	switch is := c.holidays.Day(day); {
	case is.Name != "":
		return nil
	case is.MakeUp:
		return c.week[time.Monday]
	default:
		return c.week[day.Weekday()]
	}
}

// Wall is the first moment at which a clock of the zone shows the minute of the
// day, or, where it skips that, what comes after it. Minutes beyond 24 hours
// are of the next day.
func Wall(day time.Time, minute int, zone *time.Location) time.Time {
	y, m, d := day.Date()
	d += minute / dayMinutes
	minute %= dayMinutes
	t := time.Date(y, m, d, minute/60, minute%60, 0, 0, zone)
	if t.Hour()*60+t.Minute() != minute {
		// The clock skips it. time.Date answers by the zone before or after the
		// change, without saying which; the change itself is meant.
		start, end := t.ZoneBounds()
		if before := t.Add(-24 * time.Hour); start.After(before) {
			return start
		}
		return end
	}
	// Where the clock shows it twice, time.Date may answer either.
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, then := start.Add(-time.Second).In(zone).Zone()
	if earlier := t.Add(-time.Duration(then-now) * time.Second); then > now && earlier.Before(start) {
		return earlier
	}
	return t
}

// maxDaysAhead bounds how far Add looks: some forty years.
const maxDaysAhead = 15_000

// each calls f with the open spans that end after t, in order and apart from
// one another, until f says to stop or the bound is reached.
func (c *Calendar) each(t time.Time, f func(span) bool) {
	var held span      // not told yet: what follows may go on from it
	var told time.Time // up to here all is told
	day := c.day(t).AddDate(0, 0, -2)
	for range maxDaysAhead {
		for _, w := range c.windows(day) {
			s := span{later(Wall(day, w.from, c.zone), told), Wall(day, w.to, c.zone)}
			switch {
			case !s.to.After(t) || !s.to.After(s.from):
				continue
			case held.to.IsZero():
				held = s
			case s.from.After(held.to):
				if !f(held) {
					return
				}
				held = s
			case s.to.After(held.to):
				held.to = s.to
			}
		}
		// What begins on a later day begins after this one's midnight.
		if next := day.AddDate(0, 0, 1); !held.to.IsZero() && held.to.Before(Wall(next, 0, c.zone)) {
			if !f(held) {
				return
			}
			held = span{}
		}
		day = day.AddDate(0, 0, 1)
		if !held.to.IsZero() && held.to.Sub(held.from) > 14*24*time.Hour {
			// Open day after day without an end: told in parts.
			if !f(held) {
				return
			}
			told, held = held.to, span{}
		}
	}
}

// Open tells whether the calendar is open at t.
func (c *Calendar) Open(t time.Time) bool {
	if c.always() {
		return true
	}
	open := false
	c.each(t, func(s span) bool {
		open = !s.from.After(t) && s.to.After(t)
		return false
	})
	return open
}

// Between is how much of the time from a until b the calendar is open; zero
// where b is not after a.
func (c *Calendar) Between(a, b time.Time) time.Duration {
	if !b.After(a) {
		return 0
	}
	if c.always() {
		return b.Sub(a)
	}
	var sum time.Duration
	c.each(a, func(s span) bool {
		from, to := later(s.from, a), earlier(s.to, b)
		if to.After(from) {
			sum += to.Sub(from)
		}
		return s.to.Before(b)
	})
	return sum
}

// Add is the earliest time by which the calendar has been open for d since t;
// t itself where d is not positive. Where it does not open for so long within
// some forty years it is the end of what was looked at.
func (c *Calendar) Add(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return t
	}
	if c.always() {
		return t.Add(d)
	}
	end := t
	c.each(t, func(s span) bool {
		from := later(s.from, t)
		if left := s.to.Sub(from); left < d {
			d -= max(0, left)
			end = s.to
			return true
		}
		end, d = from.Add(d), 0
		return false
	})
	return end
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
