package sla

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Span is a stretch of time: From is in it, To is not.
type Span struct{ From, To time.Time }

// Uptime is how available and how stable a system was over a time.
//
// The service time is the time without planned maintenance: no promise counts in a
// window, whether the system was down in it or not. What of an outage falls into one
// is told apart. Outages that overlap or touch are one; one that began before counts
// from the beginning of the time, one that lasts to its end. One that lies wholly in
// maintenance is none.
type Uptime struct {
	ServiceSeconds int64   `json:"service_seconds" doc:"The time without planned maintenance"`
	PlannedSeconds int64   `json:"planned_seconds" doc:"Of the time in maintenance windows"`
	DownSeconds    int64   `json:"down_seconds" doc:"Down within the service time"`
	DownPlanned    int64   `json:"down_planned_seconds" doc:"Down within maintenance windows; it counts for nothing"`
	Availability   float64 `json:"availability" doc:"Percent of the service time in which it was not down; 100 where there is no service time"`
	Outages        int     `json:"outages" doc:"How often it was down within the service time"`
	MTBFSeconds    int64   `json:"mtbf_seconds" doc:"Mean time between failures: service time in which it was up, for each outage; 0 without any"`
	MTTRSeconds    int64   `json:"mttr_seconds" doc:"Mean length of an outage within the service time; 0 without any"`
	LongestSeconds int64   `json:"longest_seconds" doc:"The longest outage within the service time"`
	Down           bool    `json:"down" doc:"It is down at the end of the time"`
}

// join puts spans in order within from and to, those that overlap or touch as one.
func join(list []Span, from, to time.Time) []Span {
	var out []Span
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Span) int { return a.From.Compare(b.From) })
	for _, s := range list {
		if s.From.Before(from) {
			s.From = from
		}
		if s.To.IsZero() || s.To.After(to) {
			s.To = to
		}
		switch n := len(out); {
		case !s.From.Before(s.To):
		case n > 0 && !s.From.After(out[n-1].To):
			if s.To.After(out[n-1].To) {
				out[n-1].To = s.To
			}
		default:
			out = append(out, s)
		}
	}
	return out
}

// shared is how long two lists that join made lie in one another.
func shared(a, b []Span) (sum time.Duration) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := a[i].From, a[i].To
		if b[j].From.After(from) {
			from = b[j].From
		}
		if b[j].To.Before(to) {
			to = b[j].To
		}
		sum += max(0, to.Sub(from))
		if a[i].To.Before(b[j].To) {
			i++
		} else {
			j++
		}
	}
	return sum
}

// Measure works the uptime out from from until to. An outage without an end lasts.
func Measure(from, to time.Time, outages, planned []Span) Uptime {
	var u Uptime
	down, windows := join(outages, from, to), join(planned, from, to)
	var window, lost time.Duration
	for _, w := range windows {
		window += w.To.Sub(w.From)
	}
	for _, d := range down {
		within := shared([]Span{d}, windows)
		u.DownPlanned += int64(within / time.Second)
		u.Down = u.Down || d.To.Equal(to)
		if alone := d.To.Sub(d.From) - within; alone > 0 {
			u.Outages++
			lost += alone
			u.LongestSeconds = max(u.LongestSeconds, int64(alone/time.Second))
		}
	}
	service := max(0, to.Sub(from)) - window
	u.ServiceSeconds, u.PlannedSeconds, u.DownSeconds, u.Availability = int64(service/time.Second), int64(window/time.Second), int64(lost/time.Second), 100
	if service > 0 {
		u.Availability = 100 * float64(service-lost) / float64(service)
	}
	if n := time.Duration(u.Outages); n > 0 {
		u.MTBFSeconds, u.MTTRSeconds = int64((service-lost)/n/time.Second), int64(lost/n/time.Second)
	}
	return u
}

// Stability is what is agreed on the availability and stability of systems.
type Stability struct {
	Systems []string `json:"systems,omitempty" doc:"For these business systems, by id; without any, for those of the level"`
	Level   int      `json:"level,omitempty" minimum:"0" maximum:"5" doc:"For systems of this MLPS level or a higher one; 0: for all"`
	Percent float64  `json:"percent" doc:"Availability at least, of the service time"`
	Outages int      `json:"outages_per_30_days,omitempty" minimum:"0" maximum:"10000" doc:"Outages at most in 30 days of service time; 0: it is not agreed on"`
}

// maxStability bounds the list of such targets.
const maxStability = 200

func (s *Stability) check() error {
	switch {
	case !(s.Percent > 0 && s.Percent <= 100): // not a number, too
		return fmt.Errorf("percent: %v: want more than 0, and 100 at most", s.Percent)
	case s.Level < 0 || s.Level > 5:
		return fmt.Errorf("level: %d: want 0 to 5", s.Level)
	case s.Outages < 0 || s.Outages > 10000:
		return fmt.Errorf("outages_per_30_days: %d: want 0 to 10000", s.Outages)
	case len(s.Systems) > 1000 || slices.Contains(s.Systems, ""):
		return fmt.Errorf("systems: %d of them: want 1000 at most, and none empty", len(s.Systems))
	}
	return nil
}

// DefaultStability is what counts where the terms say nothing: 99.9 % for systems of
// MLPS level 3 and above (43 min down in 30 days), 99.5 % for all others (3 h 36 min).
func DefaultStability() []Stability {
	return []Stability{{Level: 3, Percent: 99.9}, {Percent: 99.5}}
}

// StabilityOf is what is agreed for a system of an MLPS level (0 where it has none):
// what names the system, else what is for the highest level that it reaches. ok is
// false where nothing is.
func (t Terms) StabilityOf(system string, level int) (best Stability, ok bool) {
	list := t.Stability
	if list == nil {
		list = DefaultStability()
	}
	rank := func(s Stability) int { return cmp.Or(100*min(1, len(s.Systems)), s.Level) }
	for _, s := range list {
		fits := len(s.Systems) == 0 && level >= s.Level || slices.Contains(s.Systems, system)
		if fits && (!ok || rank(s) > rank(best)) {
			best, ok = s, true
		}
	}
	return best, ok
}

// month is what outages are agreed by.
const month = 30 * 24 * time.Hour

// Met tells whether an uptime keeps what is agreed.
func (s Stability) Met(u Uptime) bool {
	if u.Availability < s.Percent {
		return false
	}
	// Within less than 30 days as many are allowed as within 30.
	most := float64(s.Outages) * max(1, float64(u.ServiceSeconds)/month.Seconds())
	return s.Outages == 0 || float64(u.Outages) <= most
}
