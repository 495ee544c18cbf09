package ruleset

import (
	"fmt"
	"slices"
	"strings"
)

// KindFilter is the kind of Sigma filters, see RuleInfo.
const KindFilter = "filter"

// filter applies the Sigma filters to the rules they are for, in the order of
// the bundle. It comes before pipelines: a filter's fields are renamed with
// those of its rule. A filter that names a rule which is not there is reported
// and holds for the others it names.
func (c *compiler) filter() {
	byName := map[string][]*Rule{}
	for _, r := range c.found {
		byName[r.ID] = append(byName[r.ID], r)
		if r.Name != "" && r.Name != r.ID {
			byName[r.Name] = append(byName[r.Name], r)
		}
	}
	for _, f := range c.found {
		if f.Filter == nil {
			continue
		}
		if f.Filter.Any {
			for _, r := range c.found {
				if r.Detection != nil && f.Logsource.Covers(r.Logsource) {
					c.narrow(r, f)
				}
			}
			c.set.infos = append(c.set.infos, f.Info)
			continue
		}
		var faults []string
		held := map[*Rule]bool{} // a rule that is named by id and by name
		for _, name := range f.Filter.Rules {
			if len(byName[name]) == 0 {
				if fault := c.missing(name); fault != "" {
					faults = append(faults, fault)
				}
			}
			for _, r := range byName[name] {
				switch {
				case r.Correlation != nil:
					faults = append(faults, fmt.Sprintf("%q, which it names, is a correlation: name the rules that are counted", name))
				case r.Filter != nil:
					faults = append(faults, fmt.Sprintf("%q, which it names, is a filter itself", name))
				case !f.Logsource.Covers(r.Logsource):
					faults = append(faults, fmt.Sprintf("the rule %q is for the log source %s, which is not within the filter's %s", name, r.Logsource, f.Logsource))
				case !held[r]:
					held[r] = true
					c.narrow(r, f)
				}
			}
		}
		if len(faults) > 0 && len(held) == 0 {
			c.rejectRule(f, f.Filter.Line, "the filter holds for no rule: %s", strings.Join(faults, "; "))
			continue
		}
		c.set.infos = append(c.set.infos, f.Info)
		for _, fault := range faults {
			c.problems = append(c.problems, Problem{Path: f.Info.Path, Line: f.Filter.Line, RuleID: f.ID, Title: f.Title, Reason: "filter: " + fault})
		}
	}
}

// narrow applies a filter to a rule.
func (c *compiler) narrow(r, filter *Rule) {
	r.Rule = filter.Rule.Apply(r.Rule)
	r.Info.Filters = append(r.Info.Filters, filter.ID)
}

// missing says what is wrong with a name that no rule in force has: nothing
// where the rule is only switched off, or elsewhere.
func (c *compiler) missing(name string) string {
	i := slices.IndexFunc(c.set.infos, func(in RuleInfo) bool { return in.ID == name || in.Name == name })
	switch {
	case i < 0 && c.opts.Elsewhere[name]:
	case i < 0:
		return fmt.Sprintf("the rule %q, which it names, does not exist", name)
	case c.set.infos[i].Status == Rejected:
		return fmt.Sprintf("the rule %q, which it names, is rejected itself", name)
	}
	return ""
}
