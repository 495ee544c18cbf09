package traces

import (
	"fmt"
	"slices"
	"strings"

	"icewatch/soc/pipeline/parse"
)

// ParseTags reads conditions on attributes as logfmt has them, separated by
// spaces, values with spaces in quotes: http.request.method=GET error=true
// region="cn north".
func ParseTags(text string) ([]Tag, error) {
	var tags []Tag
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimLeft(rest, " \t\n") {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || key == "" || strings.ContainsAny(key, " \t\n\"") {
			return nil, fmt.Errorf("%w: the tags at %q: name=value is expected, with quotes around a value that has spaces", ErrInvalid, clip(rest))
		}
		value := after
		if strings.HasPrefix(after, `"`) {
			end := closing(after)
			if end < 0 {
				return nil, fmt.Errorf("%w: the tags at %q: the value's closing quote is missing", ErrInvalid, clip(rest))
			}
			value, rest = unquote(after[1:end]), after[end+1:]
			if rest != "" && !strings.ContainsAny(rest[:1], " \t\n") {
				return nil, fmt.Errorf("%w: the tags at %q: a space is expected after the closing quote", ErrInvalid, clip(rest))
			}
		} else if end := strings.IndexAny(after, " \t\n"); end >= 0 {
			value, rest = after[:end], after[end:]
		} else {
			rest = ""
		}
		tags = append(tags, Tag{key, value})
	}
	return tags, nil
}

// closing is the place of the quote that ends a text in quotes, -1 where there
// is none.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

func unquote(s string) string { return unescape.Replace(s) }

// logsQL is the condition that a tag sets on a row.
func (t Tag) logsQL() string {
	value := strings.ToLower(t.Value)
	switch t.Key {
	case "error":
		switch value {
		case "true", "1":
			return failed
		case "false", "0":
			return "!" + failed
		}
	case "otel.status_code", "status.code":
		switch value {
		case "error":
			return failed
		case "ok":
			return `"event.outcome":=success`
		case "unset":
			return `!"event.outcome":in(success,failure)`
		}
	case "span.kind":
		return is("span.kind", value)
	case "otel.status_description":
		return is("span.status.message", t.Value)
	}
	columns := columnsOf(t.Key)
	for i, c := range columns {
		columns[i] = is(c, t.Value)
	}
	return "(" + strings.Join(columns, " or ") + ")"
}

// columnsOf are the columns of a row that may hold an attribute: that which
// the parser of OTLP has for it, for either side of a call; the label of its
// name, where its value did not fit there; and its own name, as rows have it
// that came by another way.
func columnsOf(attribute string) []string {
	if attribute == "otel.library.name" { // the name before OpenTelemetry 1.10
		attribute = "otel.scope.name"
	}
	list := []string{parse.OTelField(attribute, 0), parse.OTelField(attribute, clientKind), "labels." + underscored.Replace(attribute), attribute}
	slices.Sort(list)
	return slices.Compact(list)
}

// clientKind is OTLP's number of the kind client.
const clientKind = 3

// underscored are the characters that names of labels do not have.
var underscored = strings.NewReplacer(".", "_", "*", "_", `"`, "_")
