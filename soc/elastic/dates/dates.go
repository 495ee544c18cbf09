// Package dates reads and shows times as Elasticsearch does: dates that say less
// than an instant, date math such as now-1d/d, formats of Java, time zones, and
// the dates in the names of indices.
package dates

import (
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/wire"
)

// Moment is a time that a query gives, with how much of it was said: a day is
// all of that day.
type Moment struct {
	From time.Time // the first instant
	To   time.Time // the first instant after it
}

// layouts are the forms of strict_date_optional_time, with how long what they
// say lasts.
var layouts = []struct {
	layout string
	unit   byte // of the part that is said last
}{
	{"2006-01-02T15:04:05.999999999", 'S'}, {"2006-01-02T15:04:05", 's'}, {"2006-01-02T15:04", 'm'}, {"2006-01-02T15", 'h'}, {"2006-01-02", 'd'}, {"2006-01", 'M'}, {"2006", 'y'},
}

// Parse reads a time: date math around now or behind ||, a date in the
// formats named, or milliseconds.
func Parse(s, formats string, zone *time.Location, now time.Time) (Moment, error) {
	s = strings.TrimSpace(s)
	base, math := s, ""
	if rest, ok := strings.CutPrefix(s, "now"); ok {
		return dateMath(Moment{now, now.Add(time.Millisecond)}, rest, zone, s)
	}
	if before, after, ok := strings.Cut(s, "||"); ok {
		base, math = before, after
	}
	m, err := parseDate(base, formats, zone)
	if err != nil {
		return m, err
	}
	return dateMath(m, math, zone, s)
}

// parseDate reads a date in one of the formats, which || parts.
func parseDate(s, formats string, zone *time.Location) (Moment, error) {
	if formats == "" {
		formats = "strict_date_optional_time||epoch_millis"
	}
	for f := range strings.SplitSeq(formats, "||") {
		switch f {
		case "epoch_millis":
			if ms, err := strconv.ParseFloat(s, 64); err == nil && ms > -1e15 && ms < 1e15 {
				t := time.UnixMilli(int64(ms)).UTC()
				return Moment{t, t.Add(time.Millisecond)}, nil
			}
		case "epoch_second":
			if sec, err := strconv.ParseFloat(s, 64); err == nil && sec > -1e12 && sec < 1e12 {
				t := time.UnixMilli(int64(sec * 1000)).UTC()
				return Moment{t, t.Add(time.Second)}, nil
			}
		case "strict_date_optional_time", "date_optional_time", "strict_date_optional_time_nanos", "strict_date_time", "date_time", "strict_date", "date",
			"yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ss.SSSZ", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd HH:mm:ss", "iso8601":
			if m, ok := isoDate(s, zone); ok {
				return m, nil
			}
		default:
			return Moment{}, wire.Unsupported("the date format [%s]", f)
		}
	}
	return Moment{}, wire.Invalid("parse_exception", "failed to parse date field [%s] with format [%s]", s, formats)
}

func isoDate(s string, zone *time.Location) (Moment, bool) {
	day, clock, timed := s, "", false
	if at := strings.IndexAny(s, "T "); at >= 0 {
		day, clock, timed = s[:at], s[at+1:], true
	}
	if timed {
		if i := strings.IndexAny(clock, "Z+-"); i >= 0 {
			in, ok := Zone(clock[i:])
			if !ok {
				return Moment{}, false
			}
			zone, clock = in, clock[:i]
		}
		clock = "T" + strings.Replace(clock, ",", ".", 1)
	}
	for _, l := range layouts {
		if strings.Contains(l.layout, "T") != timed || l.unit == 'S' && !strings.Contains(clock, ".") {
			continue
		}
		if t, err := time.ParseInLocation(l.layout, day+clock, zone); err == nil {
			to := t.Add(time.Millisecond)
			if l.unit != 'S' {
				to = Shift(t, l.unit, 1)
			}
			return Moment{t, to}, true
		}
	}
	return Moment{}, false
}

// Zone reads a time zone: Z, an offset, or a name of the IANA database.
func Zone(s string) (*time.Location, bool) {
	switch s {
	case "", "Z", "UTC", "utc":
		return time.UTC, true
	case "Local":
		return nil, false // of this machine: no zone that a client can mean
	}
	if s[0] == '+' || s[0] == '-' {
		for _, layout := range []string{"-07:00", "-0700", "-07"} {
			if t, err := time.Parse(layout, s); err == nil {
				_, offset := t.Zone()
				return time.FixedZone(s, offset), true
			}
		}
		return nil, false
	}
	zone, err := time.LoadLocation(s)
	return zone, err == nil
}

// dateMath applies +1h, -2d, /M … to a time.
func dateMath(m Moment, math string, zone *time.Location, whole string) (Moment, error) {
	fail := func() (Moment, error) {
		return Moment{}, wire.Invalid("parse_exception", "[%s] is no date math: expected now or a date with || behind it, then parts such as +1h, -2d or /d", whole)
	}
	for math != "" {
		op := math[0]
		math = math[1:]
		n, digits := 1, 0
		if op == '+' || op == '-' {
			for digits < len(math) && digits < 9 && math[digits] >= '0' && math[digits] <= '9' {
				digits++
			}
			if digits > 0 {
				n, _ = strconv.Atoi(math[:digits])
			}
			math = math[digits:]
		} else if op != '/' {
			return fail()
		}
		if math == "" || !strings.ContainsRune("yMwdhHms", rune(math[0])) {
			return fail()
		}
		unit := math[0]
		math = math[1:]
		switch op {
		case '+':
			m.From, m.To = Shift(m.From.In(zone), unit, n), Shift(m.To.In(zone), unit, n)
		case '-':
			m.From, m.To = Shift(m.From.In(zone), unit, -n), Shift(m.To.In(zone), unit, -n)
		default:
			m.From = Floor(m.From.In(zone), unit)
			m.To = Shift(m.From, unit, 1)
		}
	}
	if y := m.From.Year(); y < -9999 || y > 9999 {
		return fail()
	}
	return m, nil
}

// Shift adds n units in the calendar of the time's zone.
func Shift(t time.Time, unit byte, n int) time.Time {
	switch unit {
	case 'y':
		return addMonths(t, 12*n)
	case 'M':
		return addMonths(t, n)
	case 'w':
		return t.AddDate(0, 0, 7*n)
	case 'd':
		return t.AddDate(0, 0, n)
	case 'h', 'H':
		return t.Add(time.Duration(n) * time.Hour)
	case 'm':
		return t.Add(time.Duration(n) * time.Minute)
	}
	return t.Add(time.Duration(n) * time.Second)
}

// addMonths keeps the day, or takes the month's last.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).AddDate(0, n, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// Floor is the start of the unit that t lies in.
func Floor(t time.Time, unit byte) time.Time {
	y, mo, d := t.Date()
	switch unit {
	case 'y':
		return time.Date(y, 1, 1, 0, 0, 0, 0, t.Location())
	case 'M':
		return time.Date(y, mo, 1, 0, 0, 0, 0, t.Location())
	case 'w':
		return time.Date(y, mo, d-(int(t.Weekday())+6)%7, 0, 0, 0, 0, t.Location())
	case 'd':
		return time.Date(y, mo, d, 0, 0, 0, 0, t.Location())
	case 'h', 'H':
		return time.Date(y, mo, d, t.Hour(), 0, 0, 0, t.Location())
	case 'm':
		return time.Date(y, mo, d, t.Hour(), t.Minute(), 0, 0, t.Location())
	}
	return t.Truncate(time.Second)
}

// Stored reads a time as the lake renders it, false for what is none.
func Stored(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil
}

// Millis is a time as Elasticsearch shows it by default.
func Millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
