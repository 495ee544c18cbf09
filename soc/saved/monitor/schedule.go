package monitor

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	_ "time/tzdata" // time zones by name, on machines that have no list of them

	"github.com/robfig/cron/v3"
)

// Schedule is when a monitor runs.
type Schedule struct{ cron cron.Schedule }

// ParseSchedule reads a cron expression of five fields, or a word such as
// @hourly, in a time zone ("" is the machine's). One that runs more often than
// once a minute, or never, is refused.
func ParseSchedule(text, zone string, now time.Time) (Schedule, error) {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "TZ=") {
		return Schedule{}, errors.New("the time zone stands beside the schedule, not in it")
	}
	expression := text
	if zone != "" {
		if _, err := time.LoadLocation(zone); err != nil || strings.ContainsAny(zone, " \t\n") {
			return Schedule{}, fmt.Errorf("%.64q is no time zone: give one like Asia/Shanghai or UTC", zone)
		}
		expression = "CRON_TZ=" + zone + " " + text
	}
	c, err := cron.ParseStandard(expression)
	if err != nil {
		return Schedule{}, fmt.Errorf("%.100q is no schedule: five fields are right, such as */5 * * * * or 0 8 * * 1-5 (%s)", text, err)
	}
	s := Schedule{c}
	last := time.Time{}
	for t := range s.After(now, 20) {
		if d := t.Sub(last); d < shortest {
			return Schedule{}, fmt.Errorf("%.100q runs every %s: once a minute is the most", text, d)
		}
		last = t
	}
	if last.IsZero() {
		return Schedule{}, fmt.Errorf("%.100q never comes", text)
	}
	return s, nil
}

// After yields the next n times after t.
func (s Schedule) After(t time.Time, n int) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for range n {
			if t = s.next(t); t.IsZero() || !yield(t) {
				return
			}
		}
	}
}

// next is the next time after t, zero where there is none.
func (s Schedule) next(t time.Time) time.Time {
	// Without a zone of its own the expression goes by that of the time given.
	if t = s.cron.Next(t.In(time.Local)); t.IsZero() {
		return t
	}
	return t.UTC()
}
