package rhythm

import (
	"math"
	"slices"
	"time"

	"icewatch/soc/rhythm/beat"
)

// The week is seen in hours: each hour of each weekday is a cell.
const (
	hours = 24
	cells = 7 * hours
	// slotsOfHour is how many slots an hour has.
	slotsOfHour = int(time.Hour / beat.Span)
	// weeks is how many weeks the longest gap and the largest slot are remembered.
	weeks = 5
)

const (
	// fade is what an observation of a cell counts once another comes: half after
	// four weeks.
	fade = 0.9857
	// prior is how many slots' worth the hour on all days of its sort has in a
	// cell of which little is known.
	prior = 6
	// leastGap is how many slots in which it should have sent a source must miss.
	leastGap = 3
	// days is how many days of a sort are remembered, leastDays how many must be,
	// and never is the first slot of a day without events.
	days      = 10
	leastDays = 5
	never     = -1
	// grace is how long a new source must have been sending to be judged, and
	// learnt in how many slots.
	grace  = 24 * time.Hour
	learnt = 12
	// leastFlood is how many events of a slot are never a flood.
	leastFlood = 1000
	// floodTimes is how many times its largest usual slot a flood is.
	floodTimes = 4
)

// model is what is learnt of one source. Counts fade, so that a source may
// change its ways.
type model struct {
	N    [cells]float32 `json:"n"`    // slots seen
	K    [cells]float32 `json:"k"`    // of these, with events
	Sum  [cells]float32 `json:"sum"`  // events in them
	Peak [cells]float32 `json:"peak"` // largest slot, fading
	// Gap are the longest gaps of the last weeks, in slots in which it should have
	// sent: time by its own clock, so that a night does not count where it never
	// sends at night.
	Gap    [weeks]float64 `json:"gap"`
	Most   [weeks]float64 `json:"most"` // likewise, the largest slots
	Week   int64          `json:"week"` // that the last of them are of
	Now    float64        `json:"now"`  // the present gap
	Active int            `json:"active"`
	Missed bool           `json:"missed"` // the present gap was alarmed, and is none of the usual ones
	// First are the slots of the last days, working days and days of rest apart, in
	// which it sent first; never where it did not. Today is the day at hand.
	First [2][]int16 `json:"first"`
	Today int16      `json:"today"`
	Day   int64      `json:"day"`
	High  int        `json:"high"` // slots of a flood in a row
	Low   int        `json:"low"`  // slots below, after a flood
}

func cellOf(t time.Time) int { return int(t.Weekday())*hours + t.Hour() }

func rest(day int) bool { return day == int(time.Sunday) || day == int(time.Saturday) }

// sort sums an hour up over the days that are like the given one. seen tells
// whether any hour of such days was seen.
func (m *model) sort(day, hour int) (n, k, sum, peak float64, seen bool) {
	for d := range 7 {
		if rest(d) != rest(day) {
			continue
		}
		c := d*hours + hour
		n, k, sum, peak = n+float64(m.N[c]), k+float64(m.K[c]), sum+float64(m.Sum[c]), max(peak, float64(m.Peak[c]))
		for h := range hours {
			seen = seen || m.N[d*hours+h] > 0
		}
	}
	return n, k, sum, peak, seen
}

// steady tells whether a source sends at night as by day, as machines do that
// know no weekends either.
func (m *model) steady() bool {
	least, most, known := 1.0, 0.0, 0
	for h := range hours {
		var n, k float64
		for d := range 7 {
			n, k = n+float64(m.N[d*hours+h]), k+float64(m.K[d*hours+h])
		}
		if n > 0 {
			least, most, known = min(least, k/n), max(most, k/n), known+1
		}
	}
	return known >= hours-2 && least >= most/2 && most > 0
}

// share is how likely it is that a source sends within a slot of that time; 0
// where nothing is known.
func (m *model) share(t time.Time) float64 {
	c := cellOf(t)
	day, hour := c/hours, c%hours
	n, k, _, _, seen := m.sort(day, hour)
	if !seen && m.steady() { // The first weekend of what works through the week.
		for d := range 7 {
			n, k = n+float64(m.N[d*hours+hour]), k+float64(m.K[d*hours+hour])
		}
	}
	if n == 0 {
		return 0
	}
	return (float64(m.K[c]) + prior*k/n) / (float64(m.N[c]) + prior)
}

// usual is how many events a slot of that time has on the average.
func (m *model) usual(t time.Time) float64 {
	c := cellOf(t)
	n, _, sum, _, _ := m.sort(c/hours, c%hours)
	if n == 0 {
		return 0
	}
	return (float64(m.Sum[c]) + prior*sum/n) / (float64(m.N[c]) + prior)
}

// limit is how many events of a slot are a flood.
func (m *model) limit(t time.Time) float64 {
	c := cellOf(t)
	day, hour := c/hours, c%hours
	high := 0.0
	for _, h := range []int{(hour + hours - 1) % hours, hour, (hour + 1) % hours} {
		_, _, _, peak, _ := m.sort(day, h)
		high = max(high, peak)
	}
	most := 0.0
	for _, x := range m.Most {
		most = max(most, x)
	}
	return max(leastFlood, floodTimes*max(high, most/2))
}

// longest is the longest gap of the last weeks.
func (m *model) longest() float64 { return slices.Max(m.Gap[:]) }

// patience is how long a gap may be, in slots in which it should have sent: one
// more than half as long again as the longest of the last weeks, and at least
// three, or up to nine the more it sends by chance: of a thousand gaps of such a
// source, one is seven times as long as the mean.
func (m *model) patience() float64 {
	var sent, dense float64
	for c := range cells {
		if m.N[c] > 0 {
			sent += float64(m.K[c])
			dense += float64(m.K[c]) * float64(m.K[c]/m.N[c])
		}
	}
	if sent > 0 {
		dense /= sent
	}
	return max(leastGap+6*(1-dense), 1.5*m.longest()+1)
}

// turn moves the weeks on.
func (m *model) turn(t time.Time) {
	week := t.Unix() / (7 * 24 * 3600)
	if m.Week == 0 {
		m.Week = week
	}
	for ; m.Week < week; m.Week++ {
		copy(m.Gap[:], m.Gap[1:])
		copy(m.Most[:], m.Most[1:])
		m.Gap[weeks-1], m.Most[weeks-1] = 0, 0
	}
}

func slotOfDay(t time.Time) int { return (t.Hour()*60 + t.Minute()) / int(beat.Span/time.Minute) }

func sortOf(t time.Time) int {
	if rest(int(t.Weekday())) {
		return 1
	}
	return 0
}

// date begins a new day, if t is of one. A day within an alarm tells nothing of
// what is usual.
func (m *model) date(t time.Time, silent bool) {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / (24 * 3600)
	if day == m.Day {
		return
	}
	if m.Day > 0 && (m.Today != never || !silent) {
		of := &m.First[sortOf(time.Unix(m.Day*24*3600, 0).UTC())]
		*of = append(*of, m.Today)
		*of = (*of)[max(0, len(*of)-days):]
	}
	m.Day, m.Today = day, never
}

// late tells whether a source that sent on each of the last days of this sort
// has not yet sent on this one, well after it had at the latest: an hour, or twice
// as long as its beginnings are apart, and after more than its longest gap.
func (m *model) late(t time.Time) bool {
	of := m.First[sortOf(t)]
	if m.Today != never || len(of) < leastDays {
		return false
	}
	for _, first := range of {
		if first == never {
			return false
		}
	}
	earliest, latest := int(slices.Min(of)), int(slices.Max(of))
	return slotOfDay(t) >= latest+max(slotsOfHour, 2*(latest-earliest)) && m.gathered() && m.Now > m.longest()+0.5
}

// gathered tells whether a source sends within a third of the day: only then
// does its day begin when it sends first.
func (m *model) gathered() bool {
	n := 0
	for h := range hours {
		var k float32
		for d := range 7 {
			k += m.K[d*hours+h]
		}
		if k > 0.5 {
			n++
		}
	}
	return n <= hours/3
}

// learn takes in a slot that is over. silent and flooding say what is alarmed:
// that is not learnt as usual.
func (m *model) learn(t time.Time, events uint64, silent, flooding bool) {
	m.turn(t)
	m.date(t, silent)
	if events > 0 && m.Today == never {
		m.Today = int16(slotOfDay(t))
	}
	c := cellOf(t)
	if events == 0 {
		m.Now += m.share(t)
		if silent {
			return
		}
	} else {
		if !m.Missed {
			m.Gap[weeks-1] = max(m.Gap[weeks-1], m.Now)
		}
		m.Now, m.Missed = 0, false
		m.Active++
	}
	m.N[c] = m.N[c]*fade + 1
	m.K[c] *= fade
	m.Sum[c] *= fade
	if events == 0 {
		return
	}
	m.K[c]++
	if flooding {
		events = uint64(min(float64(events), m.limit(t)/floodTimes))
	}
	m.Sum[c] += float32(events)
	m.Peak[c] = max(m.Peak[c]*0.995, float32(events))
	m.Most[weeks-1] = max(m.Most[weeks-1], float64(events))
}

// round makes a figure fit to be shown.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
