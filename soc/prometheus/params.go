package prometheus

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/model"
)

// bad is an error about a parameter.
func bad(name, format string, args ...any) error {
	return &failure{http.StatusBadRequest, badData, fmt.Sprintf("invalid parameter %q: ", name) + fmt.Sprintf(format, args...)}
}

// all are the values of a parameter, of the URL and of a posted form.
func all(c *fiber.Ctx, name string) (list []string) {
	for _, v := range c.Context().QueryArgs().PeekMulti(name) {
		list = append(list, string(v))
	}
	if c.Method() == http.MethodPost {
		for _, v := range c.Context().PostArgs().PeekMulti(name) {
			list = append(list, string(v))
		}
	}
	return list
}

// one is the first value of a parameter. A posted form goes before the URL, as
// in Prometheus.
func one(c *fiber.Ctx, name string) string {
	if c.Method() == http.MethodPost {
		if v := c.Context().PostArgs().Peek(name); v != nil {
			return string(v)
		}
	}
	return string(c.Context().QueryArgs().Peek(name))
}

// parameter is a value that must be there.
func (r *room) parameter(c *fiber.Ctx, name string) (string, error) {
	v := one(c, name)
	if v == "" {
		return "", bad(name, "it is missing")
	}
	return v, nil
}

// parseTime reads a Unix time in seconds or RFC 3339.
func parseTime(text string) (time.Time, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(s) || math.Abs(s) > 1e11 {
			// Prometheus names the ends of time with numbers beyond this.
			return time.Time{}, fmt.Errorf("the time %s is out of range", text)
		}
		whole, part := math.Modf(s)
		return time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp: a Unix time in seconds or RFC 3339 is expected", text)
	}
	return t.UTC(), nil
}

// parseDuration reads seconds or a duration such as 5m.
func parseDuration(text string) (time.Duration, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if d := s * float64(time.Second); d <= float64(math.MaxInt64) && d >= float64(math.MinInt64) {
			return time.Duration(d), nil
		}
		return 0, fmt.Errorf("cannot parse %q to a valid duration: it is out of range", text)
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration: seconds or a duration such as 5m are expected", text)
	}
	return time.Duration(d), nil
}

// time reads a parameter that is a time, and otherwise where it is missing. The
// ends of time that clients name become those of what is kept.
func (r *room) time(c *fiber.Ctx, name string, otherwise time.Time) (time.Time, error) {
	text := one(c, name)
	switch text {
	case "":
		return otherwise, nil
	case "-9223309901257974", "-292273086-05-16T16:47:06Z": // Prometheus' least time
		return r.oldest(), nil
	case "9223309901257974", "292277025-08-18T07:12:54.999999999Z": // and its greatest
		return r.now(), nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, bad(name, "%v", err)
	}
	return t, nil
}

// oldest is the time of the oldest samples that are kept.
func (r *room) oldest() time.Time { return r.now().Add(-r.Retention) }

// span reads start and end of a list. Without a start it begins at from.
func (r *room) span(c *fiber.Ctx, from time.Time) (start, end time.Time, err error) {
	if start, err = r.time(c, "start", from); err != nil {
		return start, end, err
	}
	if end, err = r.time(c, "end", r.now()); err != nil {
		return start, end, err
	}
	if end.Before(start) {
		return start, end, bad("end", "end timestamp must not be before start time")
	}
	return start, end, nil
}

// limit reads how many items a list may have; 0 is no limit.
func limit(c *fiber.Ctx) (int, error) {
	text := one(c, "limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, bad("limit", "%q is no whole number from 0 on", text)
	}
	return n, nil
}

// truncated is the warning where a list was longer than its limit.
const truncated = "results truncated due to limit"

// shorten cuts a list to its limit.
func shorten[T any](list []T, most int, warnings []string) ([]T, []string) {
	if most > 0 && len(list) > most {
		return list[:most], append(warnings, truncated)
	}
	return list, warnings
}

// within is the request's context, shortened by its parameter timeout.
func within(c *fiber.Ctx) (context.Context, context.CancelFunc, error) {
	text := one(c, "timeout")
	if text == "" {
		ctx, cancel := context.WithCancel(c.UserContext())
		return ctx, cancel, nil
	}
	d, err := parseDuration(text)
	if err != nil || d <= 0 {
		return nil, nil, bad("timeout", "%q is no duration such as 30s", text)
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), d)
	return ctx, cancel, nil
}
