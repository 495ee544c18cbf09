package sigma

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const head = "title: T\nid: i\nlogsource: {product: p}\n"

// TestReject holds one way to be wrong a case: the line and what is said.
func TestReject(t *testing.T) {
	t.Parallel()
	f := func(name, text string, line int, reason string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			rules, errs := Parse([]byte(text), nil)
			if len(rules) != 0 || len(errs) != 1 {
				t.Fatalf("%d rules, errors %v", len(rules), errs)
			}
			if errs[0].Line != line || !strings.Contains(errs[0].Reason, reason) {
				t.Errorf("got %v, want line %d: …%s…", errs[0], line, reason)
			}
		})
	}
	f("empty file", "", 1, "holds no rule")
	f("a list", "- a\n", 1, "not a map")
	f("broken YAML", "title: x\n\tdetection: y\n", 2, "not valid YAML")
	f("no title", "detection:\n  s: {a: b}\n  condition: s\n", 1, "title is missing")
	f("neither", "title: x\nlogsource: {product: p}\n", 1, "neither detection nor correlation")
	f("no condition", head+"detection:\n  s: {a: b}\n", 5, "no condition")
	f("no selection", head+"detection:\n  condition: s\n", 5, "no selection")
	f("undefined selection", head+"detection:\n  s: {a: b}\n  condition: s and t\n", 6, `"t", which is not defined`)
	f("pattern that fits nothing", head+"detection:\n  s: {a: b}\n  condition: s and not 1 of filter_*\n", 6, "no selection fits")
	f("open parenthesis", head+"detection:\n  s: {a: b}\n  condition: (s\n", 6, "closing parenthesis")
	f("two selections without operator", head+"detection:\n  s: {a: b}\n  condition: s s\n", 6, "unexpected")
	f("dangling and", head+"detection:\n  s: {a: b}\n  condition: s and\n", 6, "ends where")
	f("old aggregation", head+"detection:\n  s: {a: b}\n  condition: s | count() > 5\n", 6, "correlation rule")
	f("unknown modifier", head+"detection:\n  s:\n    a|sounds_like: b\n  condition: s\n", 6, `unknown modifier "sounds_like"`)
	f("flag without re", head+"detection:\n  s: {a|i: b}\n  condition: s\n", 5, "has to follow it")
	f("look-ahead", head+"detection:\n  s: {'a|re': '(?=x)'}\n  condition: s\n", 5, "regular expression")
	f("no network", head+"detection:\n  s: {'a|cidr': 10.0.0.0/99}\n  condition: s\n", 5, "no network")
	f("comparison with text", head+"detection:\n  s: {'a|gt': many}\n  condition: s\n", 5, "needs a number")
	f("exists without boolean", head+"detection:\n  s: {'a|exists': maybe}\n  condition: s\n", 5, "true or false")
	f("wildcard in base64", head+"detection:\n  s: {'a|base64': 'x*'}\n  condition: s\n", 5, "cannot encode the wildcard")
	f("placeholder without values", head+"detection:\n  s: {'a|expand': '%Admins%'}\n  condition: s\n", 5, "%Admins% has no values")
	f("null with contains", head+"detection:\n  s: {'a|contains': null}\n  condition: s\n", 5, "cannot be applied to null")
	f("map as value", head+"detection:\n  s: {a: {b: c}}\n  condition: s\n", 5, "has to have a value")
	f("empty list", head+"detection:\n  s: {a: []}\n  condition: s\n", 5, "has to have a value")
	f("key twice", head+"detection:\n  s:\n    a: b\n    a: c\n  condition: s\n", 7, "twice")
	f("unknown level", head+"level: urgent\ndetection:\n  s: {a: b}\n  condition: s\n", 4, "level")
	f("filter without condition", "title: x\nlogsource: {product: p}\nfilter:\n  rules: [a]\n", 4, "filter has no condition")
	f("Sigma 1 collection", "action: global\ntitle: x\n", 1, "action documents")
	f("correlation without type", "title: x\ncorrelation:\n  rules: [a]\n", 3, "no type")
	f("temporal", "title: x\ncorrelation:\n  type: temporal\n  rules: [a]\n", 3, "no timespan")
	f("value_count without field", "title: x\ncorrelation:\n  type: value_count\n  rules: [a]\n  timespan: 1m\n  condition: {gte: 3}\n", 3, "condition.field")
	f("timespan", "title: x\ncorrelation:\n  type: event_count\n  rules: [a]\n  timespan: soon\n", 5, "timespan")
	f("alias bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"+
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ntitle: x\n", 1, "too large")
}

func TestBrokenDocumentLeavesTheOthers(t *testing.T) {
	t.Parallel()
	text := "title: A\nid: a\nlogsource: {product: p}\ndetection:\n  s: {x: y}\n  condition: s\n---\n" +
		"title: B\nid: b\nlogsource: {product: p}\ndetection:\n  s: {x|nope: y}\n  condition: s\n---\n" +
		"title: C\nid: c\ncorrelation:\n  type: event_count\n  rules: [a]\n  timespan: 90m\n  group-by: [h]\n  condition: {gt: 2, lte: 9}\n"
	rules, errs := Parse([]byte(text), nil)
	if len(rules) != 2 || len(errs) != 1 || errs[0].RuleID != "b" || errs[0].Title != "B" || errs[0].Line != 12 {
		t.Fatalf("rules %v, errors %+v", rules, errs)
	}
	c := rules[1].Correlation
	if c == nil || c.Timespan != 90*time.Minute || c.Met(2) || !c.Met(3) || c.Met(10) {
		t.Errorf("correlation %+v", c)
	}
	if _, rising := c.Rising(); rising {
		t.Error("a condition with an upper bound is not rising")
	}
	if !strings.HasPrefix(rules[0].Source, "title: A") || strings.Contains(rules[0].Source, "title: B") || !strings.HasPrefix(rules[1].Source, "title: C") {
		t.Errorf("sources: %q, %q", rules[0].Source, rules[1].Source)
	}
}

func TestParsePattern(t *testing.T) {
	t.Parallel()
	lit := func(s string) Part { return Part{Text: s} }
	star, single := Part{Wild: Star}, Part{Wild: Single}
	f := func(text string, want ...Part) {
		t.Helper()
		if got := ParsePattern(text); !reflect.DeepEqual([]Part(got), want) {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	f("")
	f("abc", lit("abc"))
	f("a*b?c", lit("a"), star, lit("b"), single, lit("c"))
	f("**", star)
	f(`a\*b`, lit("a*b"))
	f(`a\\*`, lit(`a\`), star)
	f(`a\\\*`, lit(`a\*`))
	f(`\\\\`, lit(`\\`))
	f(`\\\`, lit(`\\`))
	f(`c:\dir\file`, lit(`c:\dir\file`))
	f(`end\`, lit(`end\`))
}

func TestPlaceholdersExpand(t *testing.T) {
	t.Parallel()
	opts := &Options{Placeholders: map[string][]string{"Admins": {"root", "adm*"}}}
	rules, errs := Parse([]byte(head+"detection:\n  s: {'a|expand|endswith': 'x\\%Admins%Admins%'}\n  condition: s\n"), opts)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var got []Pattern
	for _, v := range rules[0].Detection.Selections[0].Root.Items[0].Values {
		got = append(got, v.Pattern)
	}
	star := Part{Wild: Star}
	want := []Pattern{{star, {Text: "x%Adminsroot"}}, {star, {Text: "x%Adminsadm"}, star}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestAttackTags(t *testing.T) {
	t.Parallel()
	r := Rule{Tags: []string{"attack.credential_access", "attack.t1110.001", "attack.Credential-Access", "attack.g0016", "cve.2021-44228", "attack.T1046"}}
	tactics, techniques := r.Attack()
	if !reflect.DeepEqual(tactics, []string{"credential-access"}) && !reflect.DeepEqual(tactics, []string{"credential-access", "credential-access"}) {
		t.Errorf("tactics %v", tactics)
	}
	if !reflect.DeepEqual(techniques, []string{"T1110.001", "T1046"}) {
		t.Errorf("techniques %v", techniques)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	rules, errs := Parse([]byte("title: T\ndetection:\n  s: {a: b}\n  unused: {c: d}\n  condition: s\nicewatch: {colour: red}\n"), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var got []string
	for _, w := range rules[0].Warnings {
		got = append(got, w.Error())
	}
	for _, want := range []string{"icewatch.colour is not known", "id is missing", "logsource is missing", `"unused" is never reached`} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no warning %q in %v", want, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "detection:\n  s:\n    a|contains|all: [x, 'y*']\n    b|re|i: z\n  k: [one, 2]\n  condition: 1 of s* and not (k or s)\n"))
	f.Add([]byte("title: x\ncorrelation:\n  type: value_count\n  rules: [a]\n  timespan: 5m\n  condition: {field: u, gte: 3}\n"))
	f.Add([]byte("a: &a [*a]\n---\n{}"))
	f.Add([]byte("title: T\nlogsource: {product: p}\ndetection: {s: {'a|windash|base64offset|contains': '-x'}, condition: s}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		rules, errs := Parse(data, nil)
		if len(rules) == 0 && len(errs) == 0 && len(data) == 0 {
			t.Error("an empty file has to be an error")
		}
		for _, e := range errs {
			if e.Reason == "" {
				t.Error("an error without a reason")
			}
		}
	})
}
