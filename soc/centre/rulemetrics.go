package centre

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	rules "icewatch/detections/engine"
	"icewatch/soc/config"
)

// maxRuleMetrics bounds the rules that have metrics of their own: the costliest.
const maxRuleMetrics = 20

// figures prints the metrics of the rules.
func (k *keeper) figures(w io.Writer) {
	k.policies.figures(w)
	live, err := k.part.get(context.Background(), k.brief)
	if err != nil || live.Version == "" {
		return
	}
	p := &live.Phases
	fmt.Fprintf(w, "icewatch_rules_in_force %d\nicewatch_rules_info{version=%q} 1\nicewatch_rules_swaps_total %d\nicewatch_rules_program_bytes %d\n", live.Rules, live.Version, live.Swaps, live.Program)
	fmt.Fprintf(w, "icewatch_rules_compile_seconds %g\nicewatch_rules_change_seconds %g\nicewatch_rules_held_matches_total %d\n", p.Parse+p.Compile+p.Rest, p.Total, live.Held)
	v := &live.Windows
	fmt.Fprintf(w, "icewatch_correlation_groups %d\nicewatch_correlation_bytes %d\nicewatch_correlation_limit_bytes %d\n", v.Groups, v.Bytes, v.Limit)
	fmt.Fprintf(w, "icewatch_correlation_evicted_groups_total %d\nicewatch_correlation_closed_groups_total %d\nicewatch_correlation_late_events_total %d\nicewatch_correlation_cut_events_total %d\n",
		v.Evicted, v.ClosedGroups, v.Late, v.Cut)
	states := map[string]int{rules.Flooding: 0, rules.SetAside: 0, rules.Failed: 0}
	for _, t := range live.Throttled {
		states[t.State]++
	}
	for state, n := range states {
		fmt.Fprintf(w, "icewatch_rules_throttled{state=%q} %d\n", state, n)
	}
	ids := make([]string, 0, len(live.Costs))
	for id, c := range live.Costs {
		if c.Seconds > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(live.Costs[b].Seconds, live.Costs[a].Seconds), cmp.Compare(a, b))
	})
	for _, id := range ids[:min(len(ids), maxRuleMetrics)] {
		c := live.Costs[id]
		fmt.Fprintf(w, "icewatch_rule_seconds_total{rule=%q} %g\nicewatch_rule_asked_total{rule=%q} %d\nicewatch_rule_hits_total{rule=%q} %d\n", id, c.Seconds, id, c.Asked, id, c.Hits)
	}
}

func floodBound(c config.Flood) rules.Flood {
	return rules.Flood{Rate: c.Rate, Window: time.Duration(c.Window), Interval: time.Duration(c.Interval)}
}

func slowBound(c config.Slow) rules.Slow {
	return rules.Slow{Share: float64(c.Percent) / 100, Window: time.Duration(c.Window), Pause: time.Duration(c.Pause)}
}
