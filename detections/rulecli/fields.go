package rulecli

import (
	"strings"
	"time"

	"icewatch/detections/correlation"
	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// fields are the fields that correlations look at, beside the rules' own.
type fields struct {
	times []event.FieldID
	feeds [][]feedFields // by detection, one for each of its feeds
}

// feedFields holds for each field the names it can have.
type feedFields struct {
	group, values [][]event.FieldID
	then          []feedFields
}

// timeFields are where events of several origins carry their time; the first
// that can be read counts.
var timeFields = []string{"@timestamp", "TimeCreated", "SystemTime", "UtcTime", "EventTime", "timestamp", "time", "ts"}

var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"}

func newFields(set *ruleset.Set, reg *event.Registry) *fields {
	ids := func(names []string) (list []event.FieldID) {
		for _, name := range names {
			id, _ := reg.Intern(name) // This registry has no bound.
			list = append(list, id)
		}
		return list
	}
	each := func(fields [][]string) (list [][]event.FieldID) {
		for _, names := range fields {
			list = append(list, ids(names))
		}
		return list
	}
	var all func(feeds []ruleset.Feed) []feedFields
	all = func(feeds []ruleset.Feed) (list []feedFields) {
		for _, feed := range feeds {
			list = append(list, feedFields{group: each(feed.GroupBy), values: each(feed.Fields), then: all(feed.Then)})
		}
		return list
	}
	f := &fields{times: ids(timeFields)}
	for _, d := range set.Detections() {
		f.feeds = append(f.feeds, all(d.Feeds))
	}
	return f
}

// time is the event's time in Unix nanoseconds, 0 where it tells none.
func (f *fields) time(ev *event.Event) int64 {
	for _, id := range f.times {
		text := ev.Text(id)
		if text == "" {
			continue
		}
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, text); err == nil {
				return t.UnixNano()
			}
		}
	}
	return 0
}

// match is what a correlation counts of a detection's match; false where the
// event has none of the fields that it counts by.
func (f *fields) match(ev *event.Event, detection, feed int) (correlation.Match, bool) {
	names := f.feeds[detection][feed]
	m := correlation.Match{Group: values(ev, names.group), Values: values(ev, names.values)}
	if then := links(ev, names.then); then != nil {
		m.Then = func() []correlation.Link { return then }
	}
	return m, !empty(m.Group) && !empty(m.Values)
}

// links is what the correlations of a chain look at.
func links(ev *event.Event, feeds []feedFields) (list []correlation.Link) {
	for _, f := range feeds {
		l := correlation.Link{Group: values(ev, f.group), Values: values(ev, f.values), Then: links(ev, f.then)}
		l.None = empty(l.Group) || empty(l.Values)
		list = append(list, l)
	}
	return list
}

// values gives a value for each field, of the first of its names that has one.
// They are copies: the event's own end with it.
func values(ev *event.Event, fields [][]event.FieldID) []string {
	if len(fields) == 0 {
		return nil
	}
	out := make([]string, len(fields))
	for i, names := range fields {
		for _, id := range names {
			if out[i] == "" {
				out[i] = strings.Clone(ev.Text(id))
			}
		}
	}
	return out
}

// empty tells whether there are values and none of them says anything.
func empty(list []string) bool {
	for _, v := range list {
		if v != "" {
			return false
		}
	}
	return len(list) > 0
}
