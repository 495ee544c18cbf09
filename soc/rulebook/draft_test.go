package rulebook

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

// TestDraft: a file takes along what its rules refer to, through correlations that
// count correlations, with the filters of each. A filter on a correlation, which
// would do nothing, is refused.
func TestDraft(t *testing.T) {
	t.Parallel()
	correlation := func(id, counts string) string {
		return "title: " + id + "\nname: " + id + "\nid: " + id + "\ncorrelation: {type: event_count, rules: [" + counts + "], group-by: [host.name], timespan: 1m, condition: {gte: 2}}\n"
	}
	filter := func(id, rule string) string {
		return "title: " + id + "\nid: " + id + "\nlogsource: {category: application}\nfilter: {rules: [" + rule + "], f: {user.name: borg}, condition: not f}\n"
	}
	known := map[string]ruleset.RuleInfo{
		"base":   {ID: "base", Source: ruleText("base", "x"), Filters: []string{"quiet"}},
		"quiet":  {ID: "quiet", Source: filter("quiet", "base")},
		"many":   {ID: "many", Kind: ruleset.KindCorrelation, Source: correlation("many", "base"), Counts: []string{"base"}},
		"chains": {ID: "chains", Kind: ruleset.KindCorrelation, Source: correlation("chains", "many"), Counts: []string{"many"}},
	}
	with := Surroundings{Rule: func(ref string) (Known, bool) {
		in, ok := known[ref]
		return Known{Info: in, Source: "builtin"}, ok
	}}
	for name, c := range map[string]struct {
		text      string
		ids, with []string
	}{
		"a rule":                        {ruleText("new", "x"), []string{"new"}, nil},
		"a changed rule":                {ruleText("base", "y"), []string{"base"}, []string{"quiet"}},
		"a filter on a rule":            {filter("new", "base"), []string{"base"}, []string{"base", "quiet"}},
		"a correlation":                 {correlation("new", "base"), []string{"new"}, []string{"base", "quiet"}},
		"a correlation of correlations": {correlation("new", "chains"), []string{"new"}, []string{"base", "chains", "many", "quiet"}},
		"a correlation and a filter":    {correlation("new", "many") + "---\n" + filter("f", "base"), []string{"base", "new"}, []string{"base", "many", "quiet"}},
	} {
		b, ids, err := Draft(c.text, with)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var beside []string
		for _, f := range b.Files {
			if f.Source == "known" {
				beside = append(beside, f.Path[len("known/"):len(f.Path)-len(".yml")])
			}
		}
		slices.Sort(ids)
		if slices.Sort(beside); !slices.Equal(ids, c.ids) || !slices.Equal(beside, c.with) {
			t.Errorf("%s: %q with %q, want %q with %q", name, ids, beside, c.ids, c.with)
		}
		if _, problems := ruleset.Compile(b, event.NewRegistry(0)); len(problems) > 0 {
			t.Errorf("%s: %+v", name, problems)
		}
	}
	for _, text := range []string{filter("new", "many"), filter("new", "base, many"), correlation("new", "base") + "---\n" + filter("f", "new")} {
		if _, _, err := Draft(text, with); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "counts") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
