package mutation

import (
	"slices"
	"strings"
	"testing"

	"icewatch/detections/sigma"
)

func parse(t *testing.T, text string) *sigma.Rule {
	t.Helper()
	rules, errs := sigma.Parse([]byte(text), nil)
	if len(errs) > 0 || len(rules) != 1 {
		t.Fatal(errs)
	}
	return rules[0]
}

const web = `title: T
id: a
logsource: {category: webserver}
detection:
  selection:
    url.path|contains|all: [x, y]
    http.request.method|exists: true
  words: [alpha, beta]
  either:
    - a: 1
    - b|neq: 2
  filter_known: {source.ip: 10.0.0.1}
  filter_more: {user.name: root}
  condition: selection and (words or either) and not 1 of filter_*
`

// TestOf lists the mutants of a rule with everything that a condition has, each
// of which is a rule again and asks something else.
func TestOf(t *testing.T) {
	t.Parallel()
	r := parse(t, web)
	list, err := Of(r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	seen := map[string]bool{}
	for _, m := range list {
		got = append(got, m.Item+" "+m.Change)
		other := parse(t, m.Source)
		if meaning := other.Meaning(); meaning == r.Meaning() || seen[meaning] {
			t.Errorf("%s %s asks what the rule or another mutant asks:\n%s", m.Item, m.Change, m.Source)
		} else {
			seen[meaning] = true
		}
		if m.Line < 5 {
			t.Errorf("%s: line %d", m.Item, m.Line)
		}
	}
	want := []string{
		"selection.url.path|contains|all dropped", "selection.url.path|contains|all negated",
		"selection.http.request.method|exists dropped", "selection.http.request.method|exists negated",
		"words dropped", "words negated",
		"either[1] dropped", "either[1].a dropped", "either[1].a negated", "either[2] dropped", "either[2].b|neq dropped", "either[2].b|neq negated",
		"filter_known.source.ip dropped", "filter_known.source.ip negated", "filter_more.user.name dropped", "filter_more.user.name negated",
		"condition.selection dropped", "condition.selection negated", "condition.(words or either) dropped", "condition.words dropped", "condition.either dropped", "condition.either negated",
		"condition.not (filter_known or filter_more) dropped", "condition.filter_known dropped", "condition.filter_more dropped",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// TestCombinations chooses out of as many as a condition may name: all of them,
// which is one choice, and so many that the choices are not written out.
func TestCombinations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, k, want int }{{4, 2, 6}, {8, 7, 8}, {200, 200, 1}, {64, 63, 64}, {65, 64, 0}, {200, 100, 0}} {
		if got := combinations(c.n, c.k); len(got) != c.want {
			t.Errorf("%d of %d: %d choices, want %d", c.k, c.n, len(got), c.want)
		}
	}
}

// TestOfCorrelation lists those of correlations.
func TestOfCorrelation(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"type: value_count\n  rules: [a, b]\n  group-by: [source.ip]\n  timespan: 5m\n  condition: {field: user.name, gte: 5}": {
			"rules.a dropped", "rules.b dropped", "group-by.source.ip dropped", "timespan dropped", "condition.field dropped", "condition.gte dropped", "condition.gte negated"},
		"type: temporal_ordered\n  rules: [a, b]\n  group-by: [x, y]\n  timespan: 5m": {"rules.a dropped", "rules.b dropped", "group-by.x dropped", "group-by.y dropped", "timespan dropped", "order dropped"},
		"type: temporal\n  rules: [a, b]\n  timespan: 5m\n  condition: a and not b":   {"timespan dropped", "condition.a negated", "condition.b negated"},
	} {
		list, err := Of(parse(t, "title: T\nid: c\ncorrelation:\n  "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range list {
			got = append(got, m.Item+" "+m.Change)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\n got %v\nwant %v", text, got, want)
		}
	}
}

// TestShape holds models apart that ask in another way, and together those that
// only have other values.
func TestShape(t *testing.T) {
	t.Parallel()
	rule := func(selection, condition string) string {
		return Shape(parse(t, "title: T\nid: x\nlogsource: {product: linux}\ndetection:\n  s: "+selection+"\n  f: {user.name: root}\n  condition: "+condition+"\n"), map[string]bool{"event.code": true}, nil)
	}
	base := rule("{url.path|contains: a, x: 1}", "s and not f")
	for _, same := range []string{rule("{x: 7, url.path|contains: [b, c]}", "not f and s")} {
		if same != base {
			t.Errorf("%s\nis not\n%s", same, base)
		}
	}
	for _, other := range []string{rule("{url.path|startswith: a, x: 1}", "s and not f"), rule("{url.path|contains: a, x: 1}", "s or not f"),
		rule("{url.path|contains: a, x: 1, y: 1}", "s and not f"), rule("{url.path|contains|all: [a, b], x: 1}", "s and not f"), rule("{url.path|contains: a, x: null}", "s and not f")} {
		if other == base {
			t.Errorf("%s is one shape with another", other)
		}
	}
	if rule("{event.code: 1}", "s and not f") == rule("{event.code: 2}", "s and not f") {
		t.Error("kinds of events are not told apart")
	}
}
