package ticketing

import (
	"hash/maphash"
	"slices"

	"icewatch/detections/policy"
)

// related returns the other open alerts on the alert's item or by its actor
// within the window, gravest first. A server on the internet is guessed at by
// hundreds of addresses at a time: of one rule only a few such alerts are
// shown, since a policy asks what kinds there are and what this actor did, and
// takes time for each.
func (c *correlation) related(a *alert) []*policy.Alert {
	list := c.relations(a)
	c.beside[a] = list
	out := make([]*policy.Alert, 0, len(list))
	for _, r := range list {
		f, err := r.seen()
		if err != nil {
			c.s.log.Error("ticketing: a relation is left out", "error", err)
			continue
		}
		out = append(out, f)
	}
	return out
}

// relations chooses what related returns.
func (c *correlation) relations(a *alert) []*alert {
	item, actor := c.ranked(a.Tenant, link{linkItem, a.Item}), c.ranked(a.Tenant, link{linkActor, a.Actor})
	out := make([]*alert, 0, min(len(item)+len(actor), maxRelated))
	var room [maxRelated]ruleCount
	rules := room[:0]
	for len(out) < maxRelated && len(item)+len(actor) > 0 {
		from := &item
		if len(item) == 0 || len(actor) > 0 && rank(actor[0], item[0]) < 0 {
			from = &actor
		}
		r := (*from)[0]
		*from = (*from)[1:]
		if r == a || r.Status == StatusClosed || !c.near(a.spanned(), r.spanned()) {
			continue
		}
		if a.Actor == "" || r.Actor != a.Actor {
			if rules = counted(rules, r.ofRule()); rules[0].n > maxPerRule {
				continue
			}
		}
		if n := len(out); n > 0 && out[n-1] == r {
			continue // it is in both cohorts, which are in the same order
		}
		out = append(out, r)
	}
	return out
}

// ruleCount counts the alerts of a rule.
type ruleCount struct {
	rule uint64
	n    int
}

// counted counts one more alert of a rule, which comes first then: of a rule
// there are many one after the other, and of different rules few.
func counted(rules []ruleCount, rule uint64) []ruleCount {
	i := slices.IndexFunc(rules, func(c ruleCount) bool { return c.rule == rule })
	if i < 0 {
		i, rules = len(rules), append(rules, ruleCount{rule: rule})
	}
	rules[0], rules[i] = rules[i], rules[0]
	rules[0].n++
	return rules
}

var ruleSeed = maphash.MakeSeed()

// ofRule stands for the alert's rule.
func (a *alert) ofRule() uint64 {
	if a.rule == 0 {
		a.rule = maphash.String(ruleSeed, a.RuleID)
	}
	return a.rule
}
