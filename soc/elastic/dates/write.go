package dates

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/elastic/wire"
)

// Duration reads 30s, 1.5h, 7d.
func Duration(s string) (time.Duration, error) {
	at := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	if at > 0 {
		if unit, known := units[s[at:]]; known {
			n, err := strconv.ParseFloat(s[:at], 64)
			if d := n * float64(unit); err == nil && d < float64(1<<62) {
				return time.Duration(d), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is no duration", s)
}

// Format shows a time in a format of Elasticsearch, by default with
// milliseconds.
func Format(t time.Time, format string, zone *time.Location) (string, error) {
	t = t.In(zone)
	first, _, _ := strings.Cut(format, "||")
	switch first {
	case "", "strict_date_optional_time", "date_optional_time", "strict_date_time", "date_time", "iso8601":
		return t.Format("2006-01-02T15:04:05.000Z07:00"), nil
	case "strict_date_optional_time_nanos":
		return t.Format("2006-01-02T15:04:05.000999999Z07:00"), nil
	case "epoch_millis":
		return strconv.FormatInt(t.UnixMilli(), 10), nil
	case "epoch_second":
		return strconv.FormatInt(t.Unix(), 10), nil
	}
	return javaFormat(t, first)
}

// javaFormat shows a time by a pattern of letters, such as yyyy-MM-dd HH:mm.
func javaFormat(t time.Time, pattern string) (string, error) {
	parts := map[string]string{"yyyy": "2006", "uuuu": "2006", "yy": "06", "MM": "01", "MMM": "Jan", "dd": "02", "d": "2", "M": "1", "HH": "15", "mm": "04", "ss": "05",
		"SSS": "000", "XXX": "Z07:00", "Z": "-0700", "EEE": "Mon", "E": "Mon", "a": "PM", "hh": "03"}
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' {
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return "", wire.Unsupported("the date format [%s]", pattern)
			}
			b.WriteString(pattern[i+1 : i+1+end])
			i += end + 2
			continue
		}
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		word := pattern[i : i+n]
		i += n
		if c < 'A' || c > 'z' {
			b.WriteString(word)
			continue
		}
		layout, ok := parts[word]
		switch {
		case !ok:
			return "", wire.Unsupported("the date format [%s]", pattern)
		case word == "SSS":
			b.WriteString(t.Format(".000")[1:])
		default:
			b.WriteString(t.Format(layout))
		}
	}
	return b.String(), nil
}

// InName resolves the date math in the name of an index, such as
// <logstash-{now/d}-000001>.
func InName(name string, now time.Time) (string, error) {
	inner, ok := strings.CutPrefix(name, "<")
	if inner, ok = strings.CutSuffix(inner, ">"); !ok || !strings.HasPrefix(name, "<") {
		return name, nil
	}
	before, rest, _ := strings.Cut(inner, "{")
	math, after, closed := strings.Cut(rest, "}")
	format := "yyyy.MM.dd"
	if expression, form, ok := strings.Cut(math, "{"); ok {
		math, format = expression, form
		after, closed = strings.CutPrefix(after, "}")
	}
	if !closed || strings.ContainsAny(after, "{}") {
		return "", wire.Invalid("invalid_index_name_exception", "Invalid index name [%s], one date such as {now/d} or {now/d{yyyy.MM}} is expected in it", name)
	}
	m, err := Parse(math, "", time.UTC, now)
	if err != nil {
		return "", err
	}
	shown, err := Format(m.From, format, time.UTC)
	return before + shown + after, err
}
