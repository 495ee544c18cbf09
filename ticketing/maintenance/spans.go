package maintenance

import (
	"slices"
	"time"
)

// Span is a stretch of time: From is in it, To is not.
type Span struct{ From, To time.Time }

// maxSpanDays bounds how many days of a weekly window are looked at.
const maxSpanDays = 1500

// Spans lists when the windows for a business system (or "") of a tenant (or "")
// are in force from from until to, in order; those that overlap or touch are one.
// Windows for single items do not count: the system as a whole is not maintained.
// Of more than 1,500 days the first are looked at.
func (c *Calendar) Spans(system, tenant string, from, to time.Time) []Span {
	var out []Span
	add := func(w *plan, a, b time.Time) {
		for _, end := range []time.Time{w.End, to} {
			if !end.IsZero() && end.Before(b) {
				b = end
			}
		}
		for _, start := range []time.Time{w.Start, from} {
			if start.After(a) {
				a = start
			}
		}
		if a.Before(b) {
			out = append(out, Span{a.UTC(), b.UTC()})
		}
	}
	seen := map[int]bool{}
	for _, n := range slices.Concat(c.systems[system], c.tenants[tenant]) {
		if seen[n] {
			continue
		}
		seen[n] = true
		w := &c.plans[n]
		if w.Weekly == nil {
			add(w, w.Start, w.End)
			continue
		}
		y, m, d := from.In(w.weekly.zone).Date()
		for k := -1; k < maxSpanDays; k++ { // the window of the day before may go on
			a, b := w.on(y, m, d+k)
			if !a.Before(to) {
				break
			}
			if w.weekly.days[time.Date(y, m, d+k, 12, 0, 0, 0, w.weekly.zone).Weekday()] {
				add(w, a, b)
			}
		}
	}
	slices.SortFunc(out, func(a, b Span) int { return a.From.Compare(b.From) })
	merged := out[:0]
	for _, s := range out {
		if n := len(merged); n > 0 && !s.From.After(merged[n-1].To) {
			if s.To.After(merged[n-1].To) {
				merged[n-1].To = s.To
			}
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// on is the stretch of a weekly window that begins on a day, by the clock on the
// wall, so that a window keeps its times when summer time begins or ends.
func (w *plan) on(y int, m time.Month, d int) (from, to time.Time) {
	from = time.Date(y, m, d, 0, w.weekly.from, 0, 0, w.weekly.zone)
	last := d
	if w.weekly.to <= w.weekly.from {
		last++
	}
	return from, time.Date(y, m, last, 0, w.weekly.to, 0, 0, w.weekly.zone)
}
