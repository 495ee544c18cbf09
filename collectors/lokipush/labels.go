package lokipush

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"icewatch/soc/intake"
)

// parseLabels reads a label set in Prometheus' notation, {a="b",c="d"}, with
// Go's string escapes or back quotes.
func parseLabels(s string) ([]intake.Attr, error) {
	rest := strings.TrimSpace(s)
	if rest == "" || rest[0] != '{' {
		return nil, errors.New("expected {")
	}
	rest = strings.TrimLeft(rest[1:], " \t\n")
	var attrs []intake.Attr
	for !strings.HasPrefix(rest, "}") {
		n := 0
		for n < len(rest) && isNameByte(rest[n], n) {
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("expected a label name at %q", clip(rest))
		}
		name := rest[:n]
		rest = strings.TrimLeft(rest[n:], " \t\n")
		if !strings.HasPrefix(rest, "=") {
			return nil, fmt.Errorf("expected = behind label %s", clip(name))
		}
		rest = strings.TrimLeft(rest[1:], " \t\n")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || quoted[0] == '\'' {
			return nil, fmt.Errorf("expected a quoted value of label %s", clip(name))
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("value of label %s: %w", clip(name), err)
		}
		attrs = append(attrs, intake.Attr{Name: name, Value: value})
		rest = strings.TrimLeft(rest[len(quoted):], " \t\n")
		if strings.HasPrefix(rest, ",") {
			rest = strings.TrimLeft(rest[1:], " \t\n")
		} else if !strings.HasPrefix(rest, "}") {
			return nil, fmt.Errorf("expected , or } behind label %s", clip(name))
		}
	}
	if rest != "}" {
		return nil, fmt.Errorf("unexpected text behind }: %q", clip(rest[1:]))
	}
	return attrs, nil
}

func isNameByte(c byte, at int) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || at > 0 && c >= '0' && c <= '9'
}

// isLabelName applies Prometheus' rule, [a-zA-Z_][a-zA-Z0-9_]*.
func isLabelName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isNameByte(s[i], i) {
			return false
		}
	}
	return s != ""
}
