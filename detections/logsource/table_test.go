package logsource

import (
	"strings"
	"testing"

	"icewatch/detections/sigma"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	table, err := Parse([]byte("logsources:\n  - {product: w, any: [{c: '*'}]}\n  - {product: w, service: s, any: [{c: S}]}\n  - {category: k, any: [{m: [1, two]}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := Parse([]byte("unspecific: {m: json}\nlogsources:\n  - {product: w, any: [{d: x, e: y}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	table.Extend(more)
	f := func(ls sigma.Logsource, clauses, firstAlternatives int) {
		t.Helper()
		got := table.Resolve(ls)
		if len(got) != clauses || clauses > 0 && len(got[0].Alternatives) != firstAlternatives {
			t.Errorf("%s: %+v", ls, got)
		}
	}
	f(sigma.Logsource{}, 0, 0)
	f(sigma.Logsource{Product: "w"}, 1, 2)
	f(sigma.Logsource{Product: "w", Service: "s"}, 2, 2)
	f(sigma.Logsource{Product: "w", Service: "other", Category: "k"}, 2, 2)
	f(sigma.Logsource{Product: "x", Category: "k"}, 1, 1)
	if len(table.Unspecific["m"]) != 1 {
		t.Errorf("unspecific %v", table.Unspecific)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	f("logsources: [{any: [{a: b}]}]", "entry 1 needs")
	f("logsources: [{product: x}]", "entry 1 needs")
	f("logsources: [{product: x, any: [{}]}]", "empty alternative")
	f("logsources: [{product: x, any: [{a: {b: c}}]}]", "logsource table")
	f("logsources: {", "logsource table")
}
