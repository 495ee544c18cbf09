package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"icewatch/detections/correlation"
	"icewatch/soc/event"
)

func countOf(id, rules, more string) string {
	return fmt.Sprintf("title: %s\nid: %s\nname: name_%s\ncorrelation:\n  type: event_count\n  rules: [%s]\n  timespan: 1m\n  group-by: [who]\n  condition: {gte: 3}\n%s", id, id, id, rules, more)
}

func TestCorrelationsThatCannotBe(t *testing.T) {
	t.Parallel()
	row := map[string]string{"base.yml": sigmaRule("base", "x"), "row0.yml": countOf("row0", "base", "")}
	for i := 1; i <= maxChain; i++ {
		row[fmt.Sprintf("row%d.yml", i)] = countOf(fmt.Sprint("row", i), fmt.Sprint("row", i-1), "")
	}
	f := func(name string, with map[string]string, want ...string) {
		t.Helper()
		_, problems := Compile(Load([]Source{{Name: "s", FS: files(with)}}), event.NewRegistry(0))
		var got []string
		for _, p := range problems {
			got = append(got, p.RuleID+": "+p.Reason)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	f("of itself", map[string]string{"a.yml": countOf("a", "a", "")}, "a: it counts itself: name_a → name_a")
	f("of each other", map[string]string{"a.yml": countOf("a", "b", ""), "b.yml": countOf("b", "name_c", ""), "c.yml": countOf("c", "a", "")},
		`a: the rule "b" it refers to is rejected`, `b: the rule "name_c" it refers to is rejected`, "c: it counts itself: name_a → name_b → name_c → name_a")
	f("beside one that can be", map[string]string{"a.yml": sigmaRule("a", "x"), "b.yml": countOf("b", "a", ""), "c.yml": countOf("c", "b, name_b", "")},
		`c: it names the same rule twice, as "b" and "name_b"`)
	f("too many in a row", row, fmt.Sprintf("row%d: %d correlations in a row count each other, up to %d may", maxChain, maxChain+1, maxChain))
}

// TestChainOfRules looks at what a detection's events are looked at for, three
// correlations in a row.
func TestChainOfRules(t *testing.T) {
	t.Parallel()
	set, problems := Compile(Load([]Source{{Name: "s", FS: files(map[string]string{
		"d.yml": sigmaRule("d", "x"),
		"c.yml": countOf("c", "name_b", ""), // stands before what it counts
		"a.yml": strings.Replace(countOf("a", "d", ""), "  group-by", "  aliases: {who: {d: user.name}}\n  group-by", 1),
		"b.yml": strings.Replace(countOf("b", "a", "icewatch: {scope: city}\n"), "group-by: [who]", "group-by: [who, place]\n  aliases: {place: {a: host.name}}", 1),
	})}}), event.NewRegistry(0))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	place := map[string]int{}
	for i, r := range set.Correlations() {
		place[r.ID] = i
		if r.Silent != (r.ID != "c") {
			t.Errorf("%s: silent %v", r.ID, r.Silent)
		}
	}
	for _, r := range set.Rules() {
		if want := map[string][]string{"a": {"d"}, "b": {"a"}, "c": {"name_b"}}[r.ID]; !slices.Equal(r.Counts, want) {
			t.Errorf("%s is said to count %q, want %q", r.ID, r.Counts, want)
		}
	}
	rules := set.StateRules()
	if a := rules[place["a"]]; !slices.Equal(a.Then, []correlation.Input{{Rule: place["b"], Place: 0}}) || a.Over || !a.Silent {
		t.Errorf("a is %+v", a)
	}
	if b := rules[place["b"]]; !b.Over || !b.City {
		t.Errorf("b is %+v", b)
	}
	feed := set.Detections()[0].Feeds[0]
	for _, want := range []string{"a [[user.name]]", "b [[user.name] [host.name]]", "c [[user.name]]"} {
		if got := fmt.Sprint(set.Correlations()[feed.Correlation].ID, " ", feed.GroupBy); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(feed.Then) > 0 {
			feed = feed.Then[0]
		}
	}
}

// TestFingerprints tells which changes of a rule keep its windows, and which
// keep those that hold all events.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	compile := func(base, rule string) correlation.Rule {
		set, problems := Compile(Load([]Source{{Name: "s", FS: files(map[string]string{"a.yml": base, "b.yml": rule})}}), event.NewRegistry(0))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return set.StateRules()[0]
	}
	base, rule := sigmaRule("a", "x"), countOf("b", "a", "")
	was := compile(base, rule)
	changed := func(old, to string) string {
		if !strings.Contains(rule, old) {
			t.Fatalf("the rule has no %q", old)
		}
		return strings.Replace(rule, old, to, 1)
	}
	for name, c := range map[string]struct{ base, rule, stays string }{
		"nothing":                {base, rule, "both"},
		"the texts":              {base, "\n# moved\n" + countOf("b", "a", "level: critical\ndescription: more\n"), "both"},
		"texts of what counts":   {"# moved\n" + base + "level: low\ndescription: more\n", rule, "both"},
		"what is counted":        {sigmaRule("a", "y"), rule, "terms"},
		"the group":              {base, changed("[who]", "[whom]"), "terms"},
		"the threshold":          {base, changed("gte: 3", "gte: 4"), "print"},
		"the relation":           {base, changed("gte: 3", "gt: 3"), "print"},
		"when it is judged":      {base, changed("gte: 3", "lte: 3"), ""},
		"the timespan":           {base, changed("1m", "2m"), "terms"},
		"the scope":              {base, countOf("b", "a", "icewatch: {scope: city}\n"), "terms"},
		"how late events may be": {base, countOf("b", "a", "icewatch: {lateness: 1m}\n"), "print"},
	} {
		is := compile(c.base, c.rule)
		stays := map[[2]bool]string{{true, true}: "both", {true, false}: "print", {false, true}: "terms", {}: ""}[[2]bool{is.Fingerprint == was.Fingerprint, is.Terms == was.Terms}]
		if stays != c.stays {
			t.Errorf("a change of %s keeps %q, not %q", name, stays, c.stays)
		}
	}
}

// TestAChangedConditionBelow closes the windows of what counts a correlation.
func TestAChangedConditionBelow(t *testing.T) {
	t.Parallel()
	prints := func(inner string) map[string]string {
		set, problems := Compile(Load([]Source{{Name: "s", FS: files(map[string]string{"a.yml": sigmaRule("a", "x"), "b.yml": inner, "c.yml": countOf("c", "b", "")})}}), event.NewRegistry(0))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		out := map[string]string{}
		for _, r := range set.StateRules() {
			out[r.ID] = r.Fingerprint
		}
		return out
	}
	was, is := prints(countOf("b", "a", "")), prints(strings.Replace(countOf("b", "a", ""), "gte: 3", "gte: 4", 1))
	if was["b"] != is["b"] || was["c"] == is["c"] {
		t.Errorf("fingerprints %v became %v", was, is)
	}
}
