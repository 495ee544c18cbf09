package jaeger

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/traces"
)

// invalid is an error about what was asked.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", traces.ErrInvalid, fmt.Sprintf(format, args...))
}

// query is a search as its parameters tell it.
type query struct {
	filter     traces.Filter
	start, end time.Time
	limit      int
	ids        []string // traces to read, in place of a search
}

// maxTime is the last moment in nanoseconds of Unix time.
const maxTime = math.MaxInt64

// params reads parameters and keeps the first error.
type params struct {
	c   *fiber.Ctx
	err error
}

func (p *params) fail(name, format string, args ...any) {
	if p.err == nil {
		p.err = invalid("unable to parse param '%s': %s", name, fmt.Sprintf(format, args...))
	}
}

func (p *params) text(name string) string { return strings.Clone(p.c.Query(name)) }

// texts are all values of a parameter that may be there several times.
func (p *params) texts(name string) (list []string) {
	for _, b := range p.c.Context().QueryArgs().PeekMulti(name) {
		list = append(list, string(b))
	}
	return list
}

// whole reads a whole number.
func (p *params) whole(name string, otherwise, least, most int64) int64 {
	text := p.c.Query(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		p.fail(name, "%q is not a whole number from %d to %d", text, least, most)
		return otherwise
	}
	return n
}

// time reads a Unix time in a unit.
func (p *params) time(name string, unit time.Duration, otherwise time.Time) time.Time {
	if p.c.Query(name) == "" {
		return otherwise
	}
	return time.Unix(0, p.whole(name, 0, 0, maxTime/int64(unit))*int64(unit)).UTC()
}

// duration reads a duration with its unit, such as 100ms.
func (p *params) duration(name string) time.Duration {
	text := p.c.Query(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		p.fail(name, "%q is not a duration with a unit, such as 100ms, 1.2s or 500us", text)
		return 0
	}
	return d
}

// tags reads the conditions on tags: name:value, any number of times, and JSON
// objects whose values are texts.
func (p *params) tags(plain, object string) (list []traces.Tag) {
	set := map[string]string{}
	for _, text := range p.texts(plain) {
		key, value, ok := strings.Cut(text, ":")
		if !ok || key == "" {
			p.fail(plain, "%q is not name:value", text)
		}
		set[key] = value
	}
	for _, text := range p.texts(object) {
		if text == "" {
			continue
		}
		var values map[string]string
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			p.fail(object, "a JSON object whose values are texts is expected: %s", err)
		}
		for k, v := range values {
			set[k] = v
		}
	}
	for k, v := range set {
		list = append(list, traces.Tag{Key: k, Value: v})
	}
	slices.SortFunc(list, func(a, b traces.Tag) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// parseSearch reads the parameters of /api/traces.
func (h *handler) parseSearch(c *fiber.Ctx) (query, error) {
	p := params{c: c}
	now := h.now()
	q := query{
		filter: traces.Filter{Service: p.text("service"), Operation: p.text("operation"), Tags: p.tags("tag", "tags"),
			MinDuration: p.duration("minDuration"), MaxDuration: p.duration("maxDuration")},
		start: p.time("start", time.Microsecond, now.Add(-lookBack)), end: p.time("end", time.Microsecond, now.Add(ahead)),
		limit: int(p.whole("limit", defaultLimit, 1, traces.MaxTraces)),
	}
	for _, text := range p.texts("traceID") {
		id, err := traces.ParseID(text)
		if err != nil {
			return q, err
		}
		q.ids = append(q.ids, id)
	}
	switch {
	case p.err != nil:
		return q, p.err
	case len(q.ids) > maxIDs:
		return q, invalid("%d traces are asked for by their ids; at most %d are possible in one request", len(q.ids), maxIDs)
	case len(q.ids) == 0 && q.filter.Service == "":
		return q, invalid("parameter 'service' is required")
	case q.filter.MaxDuration > 0 && q.filter.MaxDuration < q.filter.MinDuration:
		return q, invalid("'maxDuration' should be greater than 'minDuration'")
	}
	return q, checkRange(q.start, q.end)
}

// maxIDs is how many traces one request may ask for by their ids.
const maxIDs = 100

func checkRange(start, end time.Time) error {
	if !end.After(start) {
		return invalid("the time range is empty: it starts %s and ends %s", start.Format(time.RFC3339Nano), end.Format(time.RFC3339Nano))
	}
	return nil
}

// timeV3 reads a time as version 3 of the API has it.
func (p *params) timeV3(name string, required bool) (t time.Time) {
	text := p.c.Query(name)
	if text == "" {
		if required && p.err == nil {
			p.err = invalid("%s is required", name)
		}
		return t
	}
	// Grafana does not escape the plus of a zone, which so comes as a space.
	t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		p.fail(name, "%q is not a time of RFC 3339, such as 2026-01-02T15:04:05Z", text)
	}
	return t.UTC()
}
