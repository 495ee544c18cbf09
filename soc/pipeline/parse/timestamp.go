package parse

import (
	"strings"
	"time"
)

const (
	secondNS = int64(time.Second)
	dayNS    = 24 * 3600 * secondNS
)

// clock is what a text says about a moment.
type clock struct {
	year, month, day, hour, minute, second int
	nanos                                  int64
	offset                                 int // seconds east of UTC
	zoned                                  bool
}

// moment turns c into Unix nanoseconds. A year of 0 is inferred: it is the
// latest year in which the moment is not more than a day after received, so
// that a line of 31 December read in January is last year's. ok is false for
// moments that do not exist, such as 30 February.
func (c *clock) moment(loc *time.Location, received int64) (t int64, ok bool) {
	if c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31 || c.hour > 23 || c.minute > 59 || c.second > 60 {
		return 0, false
	}
	if c.year != 0 {
		return c.in(c.year, loc)
	}
	now := time.Unix(0, received).In(loc).Year()
	// Nine years reach the next leap year even around a centennial one.
	for year := now + 1; year > now-9; year-- {
		t, ok := c.in(year, loc)
		if ok && t <= received+dayNS {
			return t, true
		}
	}
	return 0, false
}

func (c *clock) in(year int, loc *time.Location) (int64, bool) {
	if c.day > daysIn(year, c.month) || year < 1678 || year > 2261 {
		return 0, false
	}
	second := min(c.second, 59) // A leap second is the last of its minute.
	if c.zoned {
		return unixDay(year, c.month, c.day)*dayNS + (int64(c.hour)*3600+int64(c.minute)*60+int64(second)-int64(c.offset))*secondNS + c.nanos, true
	}
	return time.Date(year, time.Month(c.month), c.day, c.hour, c.minute, second, int(c.nanos), loc).UnixNano(), true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// unixDay counts the days from 1970-01-01 to a civil date.
func unixDay(year, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := year / 400
	yoe := year - era*400
	doy := (153*((month+9)%12)+2)/5 + day - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}

// digits reads up to limit digits.
func digits(s string, limit int) (n, size int) {
	for size < len(s) && size < limit && isDigit(s[size]) {
		n = n*10 + int(s[size]-'0')
		size++
	}
	return n, size
}

// month reads an English month's three letters, in any case.
func month(s string) int {
	if len(s) < 3 {
		return 0
	}
	key := [3]byte{s[0] | 0x20, s[1] | 0x20, s[2] | 0x20}
	switch key {
	case [3]byte{'j', 'a', 'n'}:
		return 1
	case [3]byte{'f', 'e', 'b'}:
		return 2
	case [3]byte{'m', 'a', 'r'}:
		return 3
	case [3]byte{'a', 'p', 'r'}:
		return 4
	case [3]byte{'m', 'a', 'y'}:
		return 5
	case [3]byte{'j', 'u', 'n'}:
		return 6
	case [3]byte{'j', 'u', 'l'}:
		return 7
	case [3]byte{'a', 'u', 'g'}:
		return 8
	case [3]byte{'s', 'e', 'p'}:
		return 9
	case [3]byte{'o', 'c', 't'}:
		return 10
	case [3]byte{'n', 'o', 'v'}:
		return 11
	case [3]byte{'d', 'e', 'c'}:
		return 12
	}
	return 0
}

// timeOfDay reads hh:mm:ss with an optional fraction.
func (c *clock) timeOfDay(s string) (rest string, ok bool) {
	var n int
	if c.hour, n = digits(s, 2); n == 0 || len(s) <= n || s[n] != ':' {
		return s, false
	}
	s = s[n+1:]
	if c.minute, n = digits(s, 2); n != 2 || len(s) <= n || s[n] != ':' {
		return s, false
	}
	s = s[n+1:]
	if c.second, n = digits(s, 2); n != 2 {
		return s, false
	}
	s = s[n:]
	if len(s) > 1 && (s[0] == '.' || s[0] == ',') && isDigit(s[1]) {
		s = s[1:]
		scale := int64(100_000_000)
		c.nanos = 0
		for s != "" && isDigit(s[0]) {
			c.nanos += int64(s[0]-'0') * scale
			scale /= 10
			s = s[1:]
		}
	}
	return s, true
}

// zone reads Z, UTC, GMT or a numeric offset, if there is one.
func (c *clock) zone(s string) string {
	if s == "" {
		return s
	}
	switch {
	case s[0] == 'Z' || s[0] == 'z':
		if len(s) == 1 || !isWordByte(s[1]) {
			c.zoned = true
			return s[1:]
		}
	case (hasPrefix(s, "UTC") || hasPrefix(s, "GMT")) && (len(s) == 3 || !isWordByte(s[3])):
		c.zoned = true
		if len(s) > 4 && (s[3] == '+' || s[3] == '-') {
			return c.zone(s[3:])
		}
		return s[3:]
	case s[0] == '+' || s[0] == '-':
		h, n := digits(s[1:], 2)
		if n != 2 {
			return s
		}
		tail := s[3:]
		if tail != "" && tail[0] == ':' {
			tail = tail[1:]
		}
		m, n := digits(tail, 2)
		if n == 1 || h > 18 || m > 59 {
			return s
		}
		c.offset = h*3600 + m*60
		if s[0] == '-' {
			c.offset = -c.offset
		}
		c.zoned = true
		return tail[n:]
	}
	return s
}

func isWordByte(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
}

// isoTime reads yyyy-mm-dd or yyyy/mm/dd, T or a blank, the time of day and an
// optional zone.
func isoTime(s string) (c clock, rest string, ok bool) {
	var n int
	if len(s) < 19 {
		return c, s, false
	}
	if c.year, n = digits(s, 4); n != 4 || s[4] != '-' && s[4] != '/' || s[7] != s[4] {
		return c, s, false
	}
	if c.month, n = digits(s[5:], 2); n != 2 {
		return c, s, false
	}
	if c.day, n = digits(s[8:], 2); n != 2 || s[10] != 'T' && s[10] != ' ' && s[10] != 't' {
		return c, s, false
	}
	if rest, ok = c.timeOfDay(s[11:]); !ok {
		return c, s, false
	}
	after := c.zone(rest)
	if !c.zoned && len(rest) > 1 && rest[0] == ' ' && (rest[1] == '+' || rest[1] == '-' || hasPrefix(rest[1:], "UTC")) {
		if tail := c.zone(rest[1:]); c.zoned {
			after = tail
		}
	}
	return c, after, true
}

// bsdTime reads the times of RFC 3164 as devices send them: "Nov  3 07:05:09",
// with a fraction, with a year before or behind the day's time or in front,
// and with a zone behind.
func bsdTime(s string) (c clock, rest string, ok bool) {
	if len(s) < 14 {
		return c, s, false
	}
	if isDigit(s[0]) { // 2026 Nov  3 07:05:09
		y, n := digits(s, 4)
		if n != 4 || s[4] != ' ' {
			return c, s, false
		}
		c.year, s = y, s[5:]
	}
	if c.month = month(s); c.month == 0 || len(s) < 14-5 || s[3] != ' ' {
		return c, s, false
	}
	s = strings.TrimLeft(s[3:], " ")
	var n int
	if c.day, n = digits(s, 2); n == 0 || len(s) <= n || s[n] != ' ' {
		return c, s, false
	}
	s = strings.TrimLeft(s[n:], " ")
	if c.year == 0 && len(s) > 5 && s[4] == ' ' {
		if y, n := digits(s, 4); n == 4 && y >= 1970 {
			c.year, s = y, strings.TrimLeft(s[4:], " ")
		}
	}
	if s, ok = c.timeOfDay(s); !ok {
		return c, s, false
	}
	tail := strings.TrimLeft(s, " ")
	if len(tail) >= 4 && c.year == 0 && (len(tail) == 4 || tail[4] == ' ' || tail[4] == ':') {
		if y, n := digits(tail, 4); n == 4 && y >= 1970 && y < 2262 {
			c.year, s = y, tail[4:]
			tail = strings.TrimLeft(s, " ")
		}
	}
	if after := c.zone(tail); c.zoned {
		s = after
	} else if n := zoneName(tail); n > 0 && n < len(tail) && tail[n] == ':' {
		// A zone's name without an offset: names such as CST stand for several
		// zones, so the configured location decides.
		s = tail[n:]
	}
	return c, s, true
}

// zoneName measures a name like CET or CEST at the start of s.
func zoneName(s string) int {
	n := 0
	for n < len(s) && s[n] >= 'A' && s[n] <= 'Z' {
		n++
	}
	if n < 3 || n > 5 {
		return 0
	}
	return n
}

// anyTime reads a time of any kind that JSON documents and key=value lines
// carry: ISO 8601, seconds, milliseconds, microseconds or nanoseconds since
// 1970, RFC 3164's, or that of an access log.
func anyTime(s string, loc *time.Location, received int64) (int64, bool) {
	s = trimSpace(s)
	if s == "" || len(s) > 64 {
		return 0, false
	}
	if c, rest, ok := isoTime(s); ok && trimSpace(rest) == "" {
		return c.moment(loc, received)
	}
	if isDigit(s[0]) {
		if t, ok := epoch(s); ok {
			return t, true
		}
	}
	if c, rest, ok := bsdTime(s); ok && trimSpace(rest) == "" {
		return c.moment(loc, received)
	}
	if c, ok := accessTime(s); ok {
		return c.moment(loc, received)
	}
	// ctime(3) puts the day of the week before: Mon Nov 23 09:58:01 2026.
	if len(s) > 4 && s[3] == ' ' {
		if c, rest, ok := bsdTime(strings.TrimLeft(s[4:], " ")); ok && trimSpace(rest) == "" {
			return c.moment(loc, received)
		}
	}
	if t, err := time.Parse(time.RFC1123Z, s); err == nil {
		return t.UnixNano(), true
	}
	return 0, false
}

// epoch reads a count of seconds or of a finer unit since 1970, told apart by
// its size: twelve digits of seconds reach the year 33658.
func epoch(s string) (int64, bool) {
	whole, n := int64(0), 0
	for n < len(s) && isDigit(s[n]) {
		if n >= 19 {
			return 0, false
		}
		whole = whole*10 + int64(s[n]-'0')
		n++
	}
	if n < 9 || whole < 0 {
		return 0, false
	}
	unit := int64(1)
	switch {
	case n <= 11:
		unit = secondNS
	case n <= 14:
		unit = int64(time.Millisecond)
	case n <= 17:
		unit = int64(time.Microsecond)
	}
	if whole > (1<<63-1)/unit-1 {
		return 0, false
	}
	t := whole * unit
	s = s[n:]
	if s == "" {
		return t, true
	}
	if s[0] != '.' || len(s) == 1 {
		return 0, false
	}
	for _, c := range []byte(s[1:]) {
		if !isDigit(c) {
			return 0, false
		}
		unit /= 10
		t += int64(c-'0') * unit
	}
	return t, true
}

// accessTime reads the common log format's 10/Oct/2000:13:55:36 -0700.
func accessTime(s string) (c clock, ok bool) {
	if len(s) < 20 || s[2] != '/' || s[6] != '/' || s[11] != ':' {
		return c, false
	}
	var n int
	if c.day, n = digits(s, 2); n != 2 {
		return c, false
	}
	if c.month = month(s[3:]); c.month == 0 {
		return c, false
	}
	if c.year, n = digits(s[7:], 4); n != 4 {
		return c, false
	}
	rest, ok := c.timeOfDay(s[12:])
	if !ok {
		return c, false
	}
	rest = c.zone(trimSpace(rest))
	return c, rest == ""
}
