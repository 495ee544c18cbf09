package naive

import (
	"regexp"
	"strconv"
	"time"
)

// number is a whole number of 64 bits, which is compared exactly, or else a
// double.
type number struct {
	whole  bool
	exact  int64
	double float64
}

// longest is how many bytes a number, a date or an address has at most.
const longest = 64

var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// toNumber reads a decimal number, as JSON writes it.
func toNumber(s string) (number, bool) {
	if len(s) > longest || !decimal.MatchString(s) {
		return number{}, false
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return number{true, n, float64(n)}, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return number{double: f}, err == nil
}

func (n number) less(o number) bool {
	if n.whole && o.whole {
		return n.exact < o.exact
	}
	return n.double < o.double
}

// relation compares as a modifier says; without one it is equality.
func relation(name string, field, rule number) bool {
	switch name {
	case "lt":
		return field.less(rule)
	case "lte":
		return !rule.less(field)
	case "gt":
		return rule.less(field)
	case "gte":
		return !field.less(rule)
	}
	return !field.less(rule) && !rule.less(field)
}

// The ways in which dates are written, and whether they show a day and a time.
var layouts = []struct {
	layout    string
	day, time bool
}{
	{"2006-01-02T15:04:05Z07:00", true, true},
	{"2006-01-02T15:04:05-0700", true, true},
	{"2006-01-02T15:04:05", true, true},
	{"2006-01-02 15:04:05Z07:00", true, true},
	{"2006-01-02 15:04:05 -0700", true, true},
	{"2006-01-02 15:04:05", true, true},
	{"2006/01/02 15:04:05", true, true},
	{"02/Jan/2006:15:04:05 -0700", true, true},
	{"Mon, 02 Jan 2006 15:04:05 -0700", true, true},
	{"Mon, 02 Jan 2006 15:04:05 MST", true, true},
	{"Mon Jan _2 15:04:05 2006", true, true},
	{"Mon Jan _2 15:04:05 MST 2006", true, true},
	{"1/2/2006 3:04:05 PM", true, true},
	{"1/2/2006 15:04:05", true, true},
	{"2006-01-02 15:04", true, true},
	{"2006-01-02T15:04", true, true},
	{"2006-01-02", true, false},
	{"2006/01/02", true, false},
	{"15:04:05", false, true},
	{"15:04", false, true},
}

// datePart extracts a part of a date. Time Modifiers: "it extracts a numeric
// value from a date. It is not designed to handle timezone or format
// conversions": the part is the one written, the week that of ISO 8601, and
// what is not written is not there.
func datePart(s, part string) (int, bool) {
	for _, l := range layouts {
		t, err := time.Parse(l.layout, s)
		if err != nil || len(s) > longest {
			continue
		}
		switch part {
		case "minute":
			return t.Minute(), l.time
		case "hour":
			return t.Hour(), l.time
		case "day":
			return t.Day(), l.day
		case "week":
			_, week := t.ISOWeek()
			return week, l.day
		case "month":
			return int(t.Month()), l.day
		}
		return t.Year(), l.day
	}
	return 0, false
}
