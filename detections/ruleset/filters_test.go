package ruleset

import (
	"reflect"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/soc/event"
)

const (
	whoami = "title: Whoami\nid: whoami\nname: who_am_i\nlogsource: {product: windows, category: process_creation}\ndetection:\n  selection: {Image|endswith: \\whoami.exe}\n  selection2: {User: x}\n  condition: selection or selection2\n"
	logon  = "title: Logon\nid: logon\nlogsource: {product: windows, service: security}\ndetection:\n  selection: {EventID: 4624}\n  condition: selection\n"
	count  = "title: Count\nid: count\ncorrelation:\n  type: event_count\n  rules: [logon]\n  group-by: [User]\n  timespan: 1m\n  condition: {gte: 3}\n"
)

func sigmaFilter(source, rules, condition string) string {
	return "title: Administrators\nid: filter\nlogsource: " + source + "\nfilter:\n  rules: " + rules + "\n  selection: {User|startswith: adm_}\n  other: {User|endswith: _x}\n  condition: " + condition + "\n"
}

// matches tells which rules an event of the given fields meets.
func matches(set *Set, reg *event.Registry, fields map[string]string) string {
	ev := &event.Event{}
	for name, v := range fields {
		id, _ := reg.Intern(name)
		ev.Add(id, v)
	}
	var got []string
	set.Program().NewMatcher().Match(ev, func(r int, _ func() []detections.Match) { got = append(got, set.Detections()[r].ID) })
	return strings.Join(got, " ")
}

func TestFilters(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	f := func(name, filter, admin, other, problems string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			b := Load([]Source{{Name: "r", FS: files(map[string]string{"a.yml": whoami, "b.yml": logon, "c.yml": count, "f.yml": filter, "bad.yml": "title: Bad\nid: bad\n"})}})
			set, found := CompileWith(b, reg, Options{Unrouted: true})
			for user, want := range map[string]string{"adm_a": admin, "bob": other} {
				if got := matches(set, reg, map[string]string{"Image": `C:\whoami.exe`, "EventID": "4624", "User": user}); got != want {
					t.Errorf("%s: matches %q, want %q", user, got, want)
				}
			}
			var lines []string
			for _, p := range found {
				if p.Path == "r/f.yml" {
					lines = append(lines, p.Reason)
				}
			}
			if text := strings.Join(lines, "\n"); text != problems {
				t.Errorf("problems %q, want %q", text, problems)
			}
		})
	}
	f("exclusion by id", sigmaFilter("{product: windows}", "[whoami]", "not selection"), "logon", "whoami logon", "")
	f("exclusion by name", sigmaFilter("{product: windows}", "[who_am_i, whoami]", "not selection"), "logon", "whoami logon", "")
	f("several rules", sigmaFilter("{product: windows}", "[whoami, logon]", "not 1 of them"), "", "whoami logon", "")
	f("keep only", sigmaFilter("{product: windows}", "[whoami]", "selection"), "whoami logon", "logon", "")
	f("any", sigmaFilter("{product: windows}", "any", "not selection"), "", "whoami logon", "")
	f("any within the log source", sigmaFilter("{product: windows, service: security}", "any", "not selection"), "whoami", "whoami logon", "")
	f("own selections", sigmaFilter("{product: windows}", "[whoami]", "not (selection and other)"), "whoami logon", "whoami logon", "")
	f("unknown rule beside a known one", sigmaFilter("{product: windows}", "[whoami, nowhere]", "not selection"), "logon", "whoami logon",
		`filter: the rule "nowhere", which it names, does not exist`)
	f("unknown rule alone", sigmaFilter("{product: windows}", "nowhere", "not selection"), "whoami logon", "whoami logon",
		`the filter holds for no rule: the rule "nowhere", which it names, does not exist`)
	f("rejected rule", sigmaFilter("{product: windows}", "[whoami, bad]", "not selection"), "logon", "whoami logon", `filter: the rule "bad", which it names, is rejected itself`)
	f("correlation", sigmaFilter("{product: windows}", "[whoami, count]", "not selection"), "logon", "whoami logon",
		`filter: "count", which it names, is a correlation: name the rules that are counted`)
	f("log source", sigmaFilter("{product: windows, category: process_creation}", "[whoami, logon]", "not selection"), "logon", "whoami logon",
		`filter: the rule "logon" is for the log source product=windows service=security, which is not within the filter's product=windows category=process_creation`)
	f("broken", sigmaFilter("{product: windows}", "[whoami]", "nothing"), "whoami logon", "whoami logon", `condition names the selection "nothing", which is not defined`)
}

// TestFilterIsListed: people see what narrows a rule, and a correlation does
// not go on with what it counted under another filter.
func TestFilterIsListed(t *testing.T) {
	t.Parallel()
	with := map[string]string{"b.yml": logon, "c.yml": count, "f.yml": sigmaFilter("{product: windows}", "[logon]", "not selection")}
	set, problems := Compile(Load([]Source{{Name: "r", FS: files(with)}}), event.NewRegistry(0))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := map[string]string{}
	for _, r := range set.Rules() {
		got[r.ID] = r.Kind + " " + r.Status + " " + strings.Join(r.Filters, ",")
	}
	if want := map[string]string{"logon": "sigma active filter", "count": "correlation active ", "filter": "filter active "}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	delete(with, "f.yml")
	without, _ := Compile(Load([]Source{{Name: "r", FS: files(with)}}), event.NewRegistry(0))
	if without.StateRules()[0].Fingerprint == set.StateRules()[0].Fingerprint {
		t.Error("the filter does not show in the fingerprint")
	}
}

// TestFilterOfARuleElsewhere: a folder is also looked at without the rules
// that its filters are for.
func TestFilterOfARuleElsewhere(t *testing.T) {
	t.Parallel()
	b := Load([]Source{{Name: "r", FS: files(map[string]string{"f.yml": sigmaFilter("{product: windows}", "[whoami, nowhere]", "not selection")})}})
	_, problems := CompileWith(b, event.NewRegistry(0), Options{Elsewhere: map[string]bool{"whoami": true}})
	if len(problems) != 1 || strings.Contains(problems[0].Reason, "whoami") || !strings.Contains(problems[0].Reason, "nowhere") {
		t.Errorf("problems %v", problems)
	}
}

// TestCacheKeepsRulesUnfiltered: a rule that is parsed once is not changed by
// the filter of one set for the next.
func TestCacheKeepsRulesUnfiltered(t *testing.T) {
	t.Parallel()
	reg, cache := event.NewRegistry(0), &Cache{}
	list := map[string]string{"b.yml": logon, "f.yml": sigmaFilter("{product: windows}", "[logon]", "not selection")}
	admin := map[string]string{"EventID": "4624", "User": "adm_a"}
	for _, want := range []string{"", "logon", ""} {
		b := Load([]Source{{Name: "r", FS: files(list)}})
		if want == "logon" {
			b = Load([]Source{{Name: "r", FS: files(map[string]string{"b.yml": logon})}})
		}
		set, _ := cache.Compile(b, reg, Options{Unrouted: true})
		if got := matches(set, reg, admin); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPlaceholderFiles(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	rule := "title: T\nid: t\nlogsource: {product: p}\ndetection:\n  s: {'a|expand': '%Servers%'}\n  condition: s\n"
	compile := func(list ...map[string]string) (*Set, []Problem) {
		var sources []Source
		for i, l := range list {
			sources = append(sources, Source{Name: string(rune('a' + i)), FS: files(l)})
		}
		return CompileWith(Load(sources), reg, Options{Unrouted: true})
	}
	set, problems := compile(map[string]string{"r.yml": rule, "placeholders.yml": "Servers: [one, 'srv*']\nOthers: 5\n"}, map[string]string{"sub/placeholders.yml": "Others: []\n"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for value, want := range map[string]string{"one": "t", "SRV7": "t", "two": "", "%Servers%": ""} {
		if got := matches(set, reg, map[string]string{"a": value}); got != want {
			t.Errorf("%s: got %q", value, got)
		}
	}
	set, problems = compile(map[string]string{"r.yml": rule, "placeholders.yml": "Servers: one\n"}, map[string]string{"placeholders.yml": "Servers: two\n"})
	if len(problems) > 0 || matches(set, reg, map[string]string{"a": "one"}) != "" || matches(set, reg, map[string]string{"a": "two"}) != "t" {
		t.Errorf("a later source has to take the place of an earlier one: %v", problems)
	}
	_, problems = compile(map[string]string{"r.yml": rule, "placeholders.yml": "Servers: {a: b}\n"})
	if len(problems) != 2 || !strings.Contains(problems[0].Reason, "line 1: Servers has to be a value or a list") || !strings.Contains(problems[1].Reason, "%Servers% has no values") {
		t.Errorf("problems %v", problems)
	}
}
