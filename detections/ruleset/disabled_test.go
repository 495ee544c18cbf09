package ruleset

import (
	"strings"
	"testing"

	"icewatch/soc/event"
)

func TestRulesThatAreSwitchedOffAreListedAndTakeNoPart(t *testing.T) {
	t.Parallel()
	b := Load([]Source{{Name: "s", FS: files(map[string]string{"a.yml": sigmaRule("a", "1"), "b.yml": sigmaRule("b", "2"),
		"c.yml": "title: C\nid: c\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {gte: 2}}\n"})}})
	before := b.Version
	b.SetDisabled([]string{"gone", "a", "a"})
	if b.Version == before || len(b.Disabled) != 2 {
		t.Errorf("version %s, disabled %v", b.Version, b.Disabled)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	set, problems := Compile(back, event.NewRegistry(0))
	if len(set.Detections()) != 1 || set.Detections()[0].ID != "b" || len(set.Correlations()) != 0 {
		t.Errorf("in force are %v", set.Detections())
	}
	if len(problems) != 1 || problems[0].RuleID != "c" || !strings.Contains(problems[0].Reason, "switched off") {
		t.Errorf("problems %v", problems)
	}
	got := map[string]string{}
	for _, r := range set.Rules() {
		got[r.ID] = r.Status
	}
	if got["a"] != Disabled || got["b"] != Active || got["c"] != Rejected || len(got) != 3 {
		t.Errorf("listed %v", got)
	}
	b.SetDisabled(nil)
	if b.Version != before {
		t.Error("with nothing switched off the version is another one")
	}
}
