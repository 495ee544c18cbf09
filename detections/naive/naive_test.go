package naive_test

import (
	"strings"
	"testing"

	"icewatch/detections/naive"
)

// TestParseErrors holds that what means nothing is no rule.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ detection, reason string }{
		{"[]", "detection is no map"},
		{"{s: {a: x}}", "no condition"},
		{"{s: {a: x}, condition: t}", `no selection "t"`},
		{"{s: {a: x}, condition: s and}", "ends where a selection is expected"},
		{"{s: {a: x}, condition: (s}", "closing bracket is missing"},
		{"{s: {a: x}, condition: s s}", `unexpected "s"`},
		{"{s: {a: x}, condition: 1 of t*}", `no selection is one of "t*"`},
		{"{s: {a: x}, condition: 2 of s*}", "cannot be"},
		{"{s: {a: x}, condition: 1 of}", "nothing after of"},
		{"{s: {a|contain: x}, condition: s}", `no modifier "contain"`},
		{"{s: {a|lt: x}, condition: s}", "no number"},
		{"{s: {a|exists: x}, condition: s}", "true or false"},
		{"{s: {a|re: '('}, condition: s}", "missing closing )"},
		{"{s: {a|cidr: x}, condition: s}", "unable to parse IP"},
		{"{s: {a|base64: 'x*'}, condition: s}", "wildcard cannot be encoded"},
		{"{s: {a|base64offset: ''}, condition: s}", "nothing is left"},
		{"{s: {a|expand: '%x%'}, condition: s}", "nothing is left"},
		{"{s: [null], condition: s}", "null is no keyword"},
		{"{s: {a: []}, condition: s}", "no value"},
		{"{s: [], condition: s}", "list is empty"},
		{"{s: {a: [[x]]}, condition: s}", "a list or a map"},
	} {
		_, err := naive.Parse([]byte("detection: " + c.detection))
		if err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: got %v, not %q", c.detection, err, c.reason)
		}
	}
}
