package ticketing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"icewatch/detections"
)

// How a storm of firings is met. What a rule or a source of alerts raises beyond
// its limit within a time is counted and not worked: a firing of an alert that is
// open raises that alert's count; one that would open an alert raises the count
// of one alert that stands for all of its rule, and says so. No firing is lost
// from the counts, and each still counts once; what is left out is their events
// and evidence, which the lake has, and their part in what the incident policy
// sees.
//
// It is the one place where the order in which firings come matters: those within
// the limit are worked as ever. Limits are kept in memory and begin anew after a
// start.

// Storm are the limits of intake.
type Storm struct {
	Rule   int           `yaml:"rule"`   // firings of one rule of one tenant; default 20000, negative for no limit
	Source int           `yaml:"source"` // firings of one source of pushed alerts; default 100000, negative for no limit
	Per    time.Duration `yaml:"per"`    // default 1m
}

func (l Storm) withDefaults() Storm {
	if l.Rule == 0 {
		l.Rule = 20_000
	}
	if l.Source == 0 {
		l.Source = 100_000
	}
	l.Per = cmp.Or(l.Per, time.Minute)
	return l
}

func (l Storm) validate() error {
	if l.Per < time.Second || l.Per > time.Hour {
		return fmt.Errorf("per: %s: want 1s to 1h", l.Per)
	}
	return nil
}

// stormGroup is the only field that the alert groups by which stands for all.
const stormGroup = "storm"

// storm counts firings against the limits.
type storm struct {
	limits Storm
	mu     sync.Mutex
	began  time.Time
	rules  map[[2]string]int // by tenant and rule
	source map[[2]string]int // by tenant and source
}

// split parts firings into those that are worked and those that are counted.
func (s *storm) split(fresh []*detections.Occurrence, now time.Time) (worked, over []*detections.Occurrence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := now.Sub(s.began); d >= s.limits.Per || d < 0 {
		s.began, s.rules, s.source = now, map[[2]string]int{}, map[[2]string]int{}
	}
	for n, o := range fresh {
		rule := [2]string{o.Tenant, o.Rule.ID}
		s.rules[rule]++
		beyond := s.limits.Rule >= 0 && s.rules[rule] > s.limits.Rule
		if name := sourceOf(o); name != "" {
			source := [2]string{o.Tenant, name}
			s.source[source]++
			beyond = beyond || s.limits.Source >= 0 && s.source[source] > s.limits.Source
		}
		switch {
		case beyond && over == nil:
			worked = slices.Clone(fresh[:n])
			over = append(over, o)
		case beyond:
			over = append(over, o)
		case over != nil:
			worked = append(worked, o)
		}
	}
	if over == nil {
		return fresh, nil
	}
	return worked, over
}

// sourceOf is the name of the source that pushed an alert; "" for our own rules.
func sourceOf(o *detections.Occurrence) string {
	if o.Rule.Kind != Pushed {
		return ""
	}
	for _, p := range o.Group {
		if p.Field == PushedLabel+"source" {
			return p.Value
		}
	}
	return ""
}

// count takes firings beyond the limit: it raises the counts of the alerts that
// are open for them, and of one alert for each rule for the rest. It returns the
// alerts that only counted, and those that are new and to be worked, each
// ordered by id.
func (l *live) count(ctx context.Context, tx bun.Tx, over []*detections.Occurrence, now time.Time) (raised, opened []*alert, entries []timelineRow, err error) {
	keys := map[string]bool{}
	for _, o := range over {
		keys[keyOf(o)], keys[stormKey(o)] = true, true
	}
	if err := l.loadKeys(ctx, tx, slices.Sorted(maps.Keys(keys))); err != nil {
		return nil, nil, nil, err
	}
	seen := map[*alert]bool{}
	for _, o := range over {
		k := keyOf(o)
		a := l.open[k]
		if a == nil {
			k = stormKey(o)
			a = l.open[k]
		}
		if a == nil {
			first := stormOf(o)
			a = newAlert(k, l.last[k]+1, first, now)
			l.keep(a)
			a.merge(first, subject{})
			a.Counted = 1
			a.before = a.Verdict
			seen[a] = true
			opened = append(opened, a)
			continue
		}
		if a.Counted == 0 {
			entries = append(entries, entry(a.ID, now, "counted", SystemActor, detections.Text{ZH: "触发超过接入上限，超出部分只计数", EN: "It fires beyond the limit of intake: what is beyond is counted alone"}, nil))
		}
		a.FirstSeen, a.LastSeen = min(a.FirstSeen, o.From.UnixMilli()), max(a.LastSeen, o.Time.UnixMilli())
		a.Count, a.Occurrences, a.Counted = a.Count+o.Count, a.Occurrences+1, a.Counted+1
		a.merged = true
		if !seen[a] {
			seen[a] = true
			raised = append(raised, a)
		}
	}
	byID := func(a, b *alert) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(raised, byID)
	slices.SortFunc(opened, byID)
	return raised, opened, entries, nil
}

// stormKey is the key of the alert that stands for all that a rule raises beyond
// its limit.
func stormKey(o *detections.Occurrence) string { return o.Tenant + "/" + stormGroup + "/" + o.Rule.ID }

// stormOf is the first firing of the alert that stands for all: about nothing
// but the rule.
func stormOf(o *detections.Occurrence) *detections.Occurrence {
	title := bothLanguages(ruleTitle(&o.Rule))
	out := detections.Occurrence{ID: o.ID, Key: o.Key, Rule: o.Rule, Tenant: o.Tenant, Time: o.Time, From: o.From, Count: o.Count, EventIDs: o.EventIDs,
		Group: []detections.Pair{{Field: stormGroup, Value: o.Rule.ID}}, Priority: o.Priority, Reasons: o.Reasons}
	out.Rule.Sentence = detections.Text{ZH: "告警风暴：“" + title.ZH + "”触发过多，超过接入上限的部分只计数", EN: "Storm of alerts: " + title.EN + " fires beyond the limit of intake; what is beyond is counted alone"}
	return &out
}
