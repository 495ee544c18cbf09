package rulecli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"icewatch/detections/mutation"
	"icewatch/detections/ruleset"
	"icewatch/detections/ruletest"
	"icewatch/detections/sigma"
)

// Gates are the demands on rules beyond that their tests pass.
type Gates struct {
	Near     bool    // a negative case of each rule differs from a positive one in one field
	Mutate   bool    // a test of the rule fails for each mutant
	Least    float64 // share of mutants that has to be killed, in percent
	Distinct bool    // no two rules are one model with other values
	JSON     bool    // print the numbers as JSON, in one line at the end
}

// Numbers are what the gates measured.
type Numbers struct {
	Rules     int                `json:"rules"` // in force, those that only count included
	Models    int                `json:"models"`
	Cases     int                `json:"cases"`
	Near      int                `json:"near"`      // rules with a negative case one field away
	Alerting  int                `json:"alerting"`  // rules that raise alerts
	Distinct  int                `json:"distinct"`  // models after literals are normalised
	Bare      int                `json:"bare"`      // the same, were the kind of event a literal too
	Mutation  *ruletest.Mutation `json:"mutation"`  // nil where it was not asked for
	Duplicate [][]string         `json:"duplicate"` // names of the models of one shape
	Failures  int                `json:"failures"`
}

// kinds are the fields that say what kind of event it is: what the log source
// is in Sigma. Their values are no literals.
var kinds = map[string]bool{"event.code": true, "event.action": true, "event.dataset": true, "event.module": true, "event.category": true, "event.type": true,
	"event.provider": true, "EventID": true, "Channel": true, "Provider_Name": true, "winlog.channel": true, "winlog.event_id": true, "observer.type": true}

// models groups the rules that raise alerts by their shape.
func models(set *ruleset.Set, kinds map[string]bool) (shapes map[string][]*ruleset.Rule, total int) {
	byName := map[string]*ruleset.Rule{}
	lists := [][]*ruleset.Rule{set.Detections(), set.Correlations()}
	for _, list := range lists {
		for _, r := range list {
			byName[r.ID] = r
			if r.Name != "" {
				byName[r.Name] = r
			}
		}
	}
	var of func(name string, depth int) string
	of = func(name string, depth int) string {
		r := byName[name]
		if r == nil || depth > 16 {
			return name
		}
		return mutation.Shape(native(r), kinds, func(below string) string { return of(below, depth+1) })
	}
	shapes = map[string][]*ruleset.Rule{}
	for _, list := range lists {
		for _, r := range list {
			if r.Silent {
				continue
			}
			total++
			shape := of(r.ID, 0)
			shapes[shape] = append(shapes[shape], r)
		}
	}
	return shapes, total
}

// native is the rule as it is written, before pipelines.
func native(r *ruleset.Rule) *sigma.Rule {
	if parsed, _ := sigma.Parse([]byte(r.Source), &sigma.Options{KeepPlaceholders: true}); len(parsed) == 1 {
		return parsed[0]
	}
	return r.Rule
}

// gate measures what is asked for and writes a line for each fault.
func (g *Gates) gate(w io.Writer, b *ruleset.Bundle, set *ruleset.Set, runner *ruletest.Runner, files []ruletest.Named) (n Numbers, failed int, err error) {
	n.Rules = len(set.Detections()) + len(set.Correlations())
	fail := func(format string, args ...any) {
		failed++
		fmt.Fprintf(w, format+"\n", args...)
	}
	for _, near := range runner.Nearest(files) {
		n.Alerting++
		switch {
		case near.Field != "":
			n.Near++
		case g.Near:
			fail("%s:%d: rule %s: no negative case differs from a positive one in one field", near.Rule.Info.Path, near.Rule.Line, called(near.Rule))
		}
	}
	shapes, total := models(set, kinds)
	n.Models, n.Distinct = total, len(shapes)
	bare, _ := models(set, nil)
	n.Bare = len(bare)
	n.Duplicate = [][]string{}
	for _, list := range shapes {
		if len(list) > 1 {
			var names []string
			for _, r := range list {
				names = append(names, called(r))
			}
			slices.Sort(names)
			n.Duplicate = append(n.Duplicate, names)
		}
	}
	slices.SortFunc(n.Duplicate, slices.Compare)
	if g.Distinct {
		for _, names := range n.Duplicate {
			fail("models of one shape, that is, one with several lists of values: %s", strings.Join(names, ", "))
		}
	}
	if g.Mutate {
		if n.Mutation, err = runner.Mutate(b, files); err != nil {
			return n, failed, fmt.Errorf("rules test: %w", err)
		}
		for _, s := range n.Mutation.Survivors {
			fmt.Fprintln(w, s)
		}
		for _, f := range n.Mutation.Faults {
			fail("%s", f)
		}
		if n.Mutation.Share() < g.Least {
			fail("%.1f %% of the mutants are killed, below %g %%", n.Mutation.Share(), g.Least)
		}
	}
	return n, failed, nil
}

func called(r *ruleset.Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return r.ID
}

// print writes the numbers.
func (n *Numbers) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(n)
	}
	fmt.Fprintf(w, "%d models, %d distinct after literals are normalised (%d were the kind of event a literal too), %d of %d with a negative case one field away\n", n.Models, n.Distinct, n.Bare, n.Near, n.Alerting)
	if m := n.Mutation; m != nil {
		fmt.Fprintf(w, "%d mutants of %d rules, %d killed (%.1f %%), %d survive, %d declared equivalent, %d are no rule\n", m.Mutants, m.Rules, m.Killed, m.Share(), len(m.Survivors), m.Equivalent, m.Invalid)
	}
	return nil
}
