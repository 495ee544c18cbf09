package engine

import (
	"time"

	"icewatch/detections"
	"icewatch/detections/correlation"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// feeds finds the fields that correlations look at.
func (e *Engine) feeds(list []ruleset.Feed) (out []feed) {
	for _, f := range list {
		out = append(out, feed{correlation: f.Correlation, place: f.Place, groupBy: e.alternatives(f.GroupBy), fields: e.alternatives(f.Fields), then: e.feeds(f.Then)})
	}
	return out
}

// links is what the correlations of a chain look at of an event, in memory of
// their own.
func (e *Engine) links(ev *event.Event, feeds []feed) []correlation.Link {
	out := make([]correlation.Link, len(feeds))
	for i := range feeds {
		f := &feeds[i]
		l := correlation.Link{Group: appendFirst(nil, ev, f.groupBy), Values: appendFirst(nil, ev, f.fields)}
		if !e.counts[f.correlation].within(ev.Tenant) || len(l.Group) > 0 && !anyValue(l.Group) || len(l.Values) > 0 && !anyValue(l.Values) {
			l.None = true
		} else if len(f.then) > 0 {
			l.Then = e.links(ev, f.then)
		}
		out[i] = l
	}
	return out
}

// pass lets time pass for the correlations: windows that are over by then are
// judged, and silence is noticed.
func (e *Engine) pass(at time.Time, emit func(detections.Occurrence)) {
	e.clock = max(e.clock, at.UnixNano())
	e.state.Advance(at.UnixNano(), func(f correlation.Firing) { e.fired(f, emit) })
}
