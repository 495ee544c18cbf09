package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a point in time as people and programs give it: RFC 3339,
// a date, a Unix time in seconds (also with a fraction), milliseconds,
// microseconds or nanoseconds, "now", or a duration such as 15m, 1h30m, 7d or
// 2w, which means that long before now ("now-15m" means the same). A Unix time
// is told apart by its size, which is unambiguous from 1973 to 5138.
func ParseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	bad := func() (time.Time, error) {
		return time.Time{}, fmt.Errorf("%q is no time: give RFC 3339, a Unix time, or a duration before now like 15m or 7d", clip(s, 64))
	}
	if s == "" || len(s) > 64 {
		return bad()
	}
	if s == "now" {
		return now.UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UTC(), nil
	}
	if isDigits(strings.Replace(strings.TrimPrefix(s, "-"), ".", "", 1)) {
		return parseUnix(s, bad)
	}
	d, err := ParseDuration(strings.TrimPrefix(s, "now-"))
	if err != nil {
		return bad()
	}
	return now.Add(-d).UTC(), nil
}

// parseUnix reads a Unix time whose unit its size tells.
func parseUnix(s string, bad func() (time.Time, error)) (time.Time, error) {
	if whole, err := strconv.ParseInt(s, 10, 64); err == nil {
		size := whole
		if size < 0 {
			if size == math.MinInt64 {
				return bad()
			}
			size = -size
		}
		switch {
		case size < 1e11:
			return time.Unix(whole, 0).UTC(), nil
		case size < 1e14:
			return time.UnixMilli(whole).UTC(), nil
		case size < 1e17:
			return time.UnixMicro(whole).UTC(), nil
		default:
			return time.Unix(0, whole).UTC(), nil
		}
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || math.Abs(seconds) >= 1e11 {
		return bad()
	}
	floor := math.Floor(seconds)
	return time.Unix(int64(floor), int64(math.Round((seconds-floor)*1e6))*1000).UTC(), nil
}

// ParseDuration reads a duration as Go writes it, with d for days and w for
// weeks added: 90s, 1h30m, 7d, 1d12h. It is never negative.
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no duration: give one like 90s, 15m, 1h30m, 7d or 2w", clip(s, 64))
	if s == "" || len(s) > 64 || s[0] == '-' || s[0] == '+' {
		return 0, bad
	}
	var total time.Duration
	for s != "" {
		i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if i <= 0 {
			return 0, bad
		}
		j := i
		for j < len(s) && (s[j] < '0' || s[j] > '9') && s[j] != '.' {
			j++
		}
		number, unit := s[:i], s[i:j]
		s = s[j:]
		var d time.Duration
		switch unit {
		case "d", "w":
			f, err := strconv.ParseFloat(number, 64)
			day := 24 * time.Hour
			if unit == "w" {
				day *= 7
			}
			if err != nil || f*float64(day) >= math.MaxInt64 {
				return 0, bad
			}
			d = time.Duration(f * float64(day))
		default:
			var err error
			if d, err = time.ParseDuration(number + unit); err != nil {
				return 0, bad
			}
		}
		if total+d < total {
			return 0, bad
		}
		total += d
	}
	return total, nil
}

func isDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// TimeInput is the part of an operation's input that chooses a time range.
// Embed it.
type TimeInput struct {
	Start string `query:"start" doc:"From this time on: RFC 3339, a Unix time, or a duration before now"`
	End   string `query:"end" doc:"Before this time; now by default"`
	Since string `query:"since" doc:"In place of start: a duration before the end, like 15m or 7d"`
}

// timeRange reads the range; without a start it reaches back by the default
// given.
func (in TimeInput) timeRange(now time.Time, back time.Duration) (start, end time.Time, err error) {
	fail := func(name string, err error) (time.Time, time.Time, error) {
		return time.Time{}, time.Time{}, Problem(http.StatusBadRequest, "%s: %s", name, err)
	}
	end = now.UTC()
	if in.End != "" {
		if end, err = ParseTime(in.End, now); err != nil {
			return fail("end", err)
		}
	}
	switch {
	case in.Start != "" && in.Since != "":
		return fail("since", fmt.Errorf("give either start or since, not both"))
	case in.Start != "":
		if start, err = ParseTime(in.Start, now); err != nil {
			return fail("start", err)
		}
	case in.Since != "":
		d, derr := ParseDuration(in.Since)
		if derr == nil {
			start = end.Add(-d)
		} else if start, err = ParseTime(in.Since, now); err != nil {
			// Some clients give since as a point in time.
			return fail("since", derr)
		}
	default:
		start = end.Add(-back)
	}
	if !start.Before(end) {
		return fail("start", fmt.Errorf("%s is not before the end, %s", start.Format(time.RFC3339Nano), end.Format(time.RFC3339Nano)))
	}
	return start, end, nil
}
