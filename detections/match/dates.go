package match

import (
	"strings"
	"time"

	"icewatch/detections/sigma"
)

// dateLayouts are the ways logs write a date, tried in turn. Sigma's time
// modifiers convert neither zones nor formats: the parts are those written.
var dateLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02T15:04:05.999999999-0700",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006/01/02 15:04:05.999999999",
	"02/Jan/2006:15:04:05 -0700",
	time.RFC1123Z, time.RFC1123, time.ANSIC, time.UnixDate,
	"1/2/2006 3:04:05 PM", "1/2/2006 15:04:05",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02", "2006/01/02", "15:04:05", "15:04",
}

// datePart takes a part out of a date as it is written.
func datePart(s string, part sigma.TimePart) (int64, bool) {
	if len(s) < 5 || len(s) > 64 {
		return 0, false
	}
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if !shows(layout, part) {
			return 0, false
		}
		switch part {
		case sigma.Minute:
			return int64(t.Minute()), true
		case sigma.Hour:
			return int64(t.Hour()), true
		case sigma.Day:
			return int64(t.Day()), true
		case sigma.Week:
			_, w := t.ISOWeek()
			return int64(w), true
		case sigma.Month:
			return int64(t.Month()), true
		case sigma.Year:
			return int64(t.Year()), true
		}
	}
	return 0, false
}

// shows tells whether dates of the layout have the part: a date alone has no
// hour, a time of day no year.
func shows(layout string, part sigma.TimePart) bool {
	if part == sigma.Minute || part == sigma.Hour {
		return strings.Contains(layout, ":04")
	}
	return strings.Contains(layout, "2006")
}
