package ruleset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"icewatch/detections/correlation"
	"icewatch/detections/sigma"
)

// Feed is a correlation that counts a rule's matches.
type Feed struct {
	Correlation int // index into Set.Correlations
	Place       int // of the rule, in the correlation's list
	// The fields of this rule's events that make the group, and those whose
	// values count. Each has the names under which pipelines look for it: the
	// first one that the event has counts.
	GroupBy, Fields [][]string
	// Then are the correlations that count that one, in the order of
	// correlation.Rule.Then, with the fields of the same events.
	Then []Feed
}

const (
	// maxChain bounds how many correlations count each other in a row.
	maxChain = 8
	// maxPaths bounds the ways from a rule to the correlations behind it.
	maxPaths = 1000
)

// correlate links correlations to the rules they count.
func (c *compiler) correlate() {
	l := &linker{c: c, byName: map[string]*Rule{}, known: map[string]bool{}, place: map[*Rule]int{}, depth: map[*Rule]int{}, done: map[*Rule]bool{}}
	for _, r := range c.found {
		l.known[r.ID], l.known[r.Name] = true, true
		if r.Correlation != nil {
			l.byName[r.ID] = r
			if r.Name != "" {
				l.byName[r.Name] = r
			}
		}
	}
	for _, r := range c.set.detections {
		l.byName[r.ID] = r
		if r.Name != "" {
			l.byName[r.Name] = r
		}
	}
	for _, r := range c.found {
		if r.Correlation != nil {
			l.take(r)
		}
	}
	loud := map[*Rule]bool{}
	for _, r := range c.set.correlations {
		for _, base := range r.bases {
			base.Silent = true
			if r.Correlation.Generate {
				loud[base] = true
			}
		}
	}
	for r := range loud {
		r.Silent = false
	}
	for _, list := range [...][]*Rule{c.set.detections, c.set.correlations} {
		for _, r := range list {
			r.Silent = r.Silent || r.Custom.Counted || c.sources[r] == TestSource
		}
	}
	for at, r := range c.set.correlations {
		for place, base := range r.bases {
			if base.Detection == nil {
				continue
			}
			paths := 0
			feed, err := l.feed(base, []step{{r, at, place}}, &paths)
			if err != nil { // not where the pipelines took the rule itself
				c.problems = append(c.problems, Problem{Path: r.Info.Path, Line: r.Line, RuleID: r.ID, Title: r.Title, Reason: err.Error()})
				continue
			}
			base.Feeds = append(base.Feeds, feed)
		}
	}
}

// linker finds the rules that correlations name.
type linker struct {
	c      *compiler
	byName map[string]*Rule // detections in force, and all correlations
	known  map[string]bool
	place  map[*Rule]int  // of correlations in force, in the set
	depth  map[*Rule]int  // how many correlations in a row end with it
	done   map[*Rule]bool // correlations that were looked at
	path   []*Rule        // correlations on the way to the present one
}

// take brings a correlation into force behind those that it counts; false
// where it is refused.
func (l *linker) take(r *Rule) bool {
	if l.done[r] {
		_, in := l.place[r]
		return in
	}
	l.done[r] = true
	l.path = append(l.path, r)
	defer func() { l.path = l.path[:len(l.path)-1] }()
	var bases []*Rule
	depth := 0
	for _, ref := range r.Correlation.Rules {
		base, reason := l.find(ref)
		if reason != "" {
			l.c.rejectRule(r, r.Correlation.Line, "%s", reason)
			return false
		}
		if at := slices.Index(bases, base); at >= 0 {
			l.c.rejectRule(r, r.Correlation.Line, "it names the same rule twice, as %q and %q", r.Correlation.Rules[at], ref)
			return false
		}
		bases = append(bases, base)
		depth = max(depth, l.depth[base])
	}
	if depth++; depth > maxChain {
		l.c.rejectRule(r, r.Correlation.Line, "%d correlations in a row count each other, up to %d may", depth, maxChain)
		return false
	}
	at := len(l.c.set.correlations)
	for place, base := range bases {
		if base.Correlation != nil {
			base.then = append(base.then, correlation.Input{Rule: at, Place: place})
		}
	}
	r.bases = bases
	l.place[r], l.depth[r] = at, depth
	l.c.set.correlations = append(l.c.set.correlations, r)
	l.c.set.infos = append(l.c.set.infos, r.Info)
	return true
}

// find gives the rule that a correlation refers to, or why it cannot.
func (l *linker) find(ref string) (base *Rule, reason string) {
	base = l.byName[ref]
	switch {
	case base == nil && l.c.off[ref]:
		return nil, fmt.Sprintf("the rule %q it refers to is switched off", ref)
	case base == nil && l.known[ref]:
		return nil, fmt.Sprintf("the rule %q it refers to is rejected", ref)
	case base == nil:
		return nil, fmt.Sprintf("the rule %q it refers to does not exist", ref)
	case base.Correlation == nil:
		return base, ""
	}
	if at := slices.Index(l.path, base); at >= 0 {
		var names []string
		for _, r := range append(slices.Clone(l.path[at:]), base) {
			names = append(names, calledBy(r))
		}
		return nil, "it counts itself: " + strings.Join(names, " → ")
	}
	if !l.take(base) {
		return nil, fmt.Sprintf("the rule %q it refers to is rejected", ref)
	}
	return base, ""
}

// calledBy is the name that people use for a rule.
func calledBy(r *Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return r.ID
}

// step is a correlation on the way from a detection, and which of its rules
// the way comes from.
type step struct {
	*Rule
	at, place int
}

// feed says which fields of a detection's events the last correlation of a way
// looks at, and those behind it.
func (l *linker) feed(base *Rule, way []step, paths *int) (Feed, error) {
	last := way[len(way)-1]
	if *paths++; *paths > maxPaths {
		return Feed{}, fmt.Errorf("there are more than %d ways from the rule %q to the correlations behind it", maxPaths, calledBy(base))
	}
	f := Feed{Correlation: last.at, Place: last.place}
	var err error
	if f.GroupBy, err = l.c.names(base, fieldsOf(base, way, last.Correlation.GroupBy)); err != nil {
		return f, err
	}
	if f.Fields, err = l.c.names(base, fieldsOf(base, way, last.Correlation.Fields)); err != nil {
		return f, err
	}
	for _, next := range last.then {
		r := l.c.set.correlations[next.Rule]
		more, err := l.feed(base, append(slices.Clone(way), step{r, next.Rule, next.Place}), paths)
		if err != nil {
			return f, err
		}
		f.Then = append(f.Then, more)
	}
	return f, nil
}

// fieldsOf replaces alias names by the fields they stand for in a detection's
// events. Aliases of the correlations on the way hold too, so that what one
// groups by those behind it can use.
func fieldsOf(base *Rule, way []step, fields []string) []string {
	out := slices.Clone(fields)
	for i := range out {
		for at := len(way) - 1; at >= 0; at-- {
			c := way[at].Correlation
			names := []string{c.Rules[way[at].place]}
			for _, below := range way[:at] {
				names = append(names, below.Name, below.ID)
			}
			names = append(names, base.Name, base.ID)
			for _, name := range names {
				if field := c.Aliases[out[i]][name]; field != "" {
					out[i] = field
					break
				}
			}
		}
	}
	return out
}

// StateRules returns the correlations in the form the state wants. A rule's
// fingerprint covers what it counts and how its windows hold that, its terms the
// condition: windows stay valid when texts or a level change, in the rule or
// in those it counts, and mostly when its threshold does. It is worked out once,
// and the caller does not change it.
func (s *Set) StateRules() []correlation.Rule {
	s.stateOnce.Do(func() { s.state = s.stateRules() })
	return s.state
}

func (s *Set) stateRules() []correlation.Rule {
	prints := map[*Rule]string{}
	var print func(r *Rule) string
	print = func(r *Rule) string {
		if p, ok := prints[r]; ok {
			return p
		}
		parts := []string{r.Meaning()}
		if r.Correlation != nil {
			parts = []string{counted(r)}
			for _, base := range r.bases {
				parts = append(parts, print(base), looked(base, r, s))
				if base.Correlation != nil { // whose firings are counted: they depend on its condition
					parts = append(parts, terms(base))
				}
			}
		}
		prints[r] = digest(parts...)
		return prints[r]
	}
	out := make([]correlation.Rule, len(s.correlations))
	for i, r := range s.correlations {
		out[i] = correlation.Rule{ID: r.ID, Fingerprint: print(r), Terms: digest(terms(r)), Sigma: r.Correlation, City: r.Custom.Scope == "city", Silent: r.Silent, Then: r.then,
			Over: slices.ContainsFunc(r.bases, func(b *Rule) bool { return b.Correlation != nil })}
		if len(r.then) > 0 { // its entries keep what those look at
			parts := []string{out[i].Fingerprint}
			for _, next := range r.then {
				parts = append(parts, counted(s.correlations[next.Rule]))
			}
			out[i].Fingerprint = digest(parts...)
		}
	}
	return out
}

// digest is the same for the same parts, 128 bits in hex.
func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// counted is what decides what a correlation counts, and what its windows hold.
func counted(r *Rule) string {
	c := *r.Correlation
	_, rising := c.Rising()
	var opening []sigma.Case // what opens a window decides what is kept
	if slices.ContainsFunc(c.Cases, func(c sigma.Case) bool { return len(c.Absent) > 0 }) {
		opening = c.Cases
	}
	return fmt.Sprintf("%q %q %q %q %q %q %q %v %d %v %v %v%s", r.ID, r.Custom.Scope, r.Custom.Tenants, c.Type, c.Rules, c.GroupBy, c.Fields, c.Aliases, c.Timespan, c.Absent, rising, opening, travelOf(c))
}

// terms is how a correlation judges what it counted.
func terms(r *Rule) string {
	c := r.Correlation
	return fmt.Sprintf("%#v %v %v %d", c.Bounds, c.Cases, c.Percentile, c.Lateness)
}

// looked names the fields at which a correlation looks in the events of a
// detection that it counts, as the pipelines have them.
func looked(base, r *Rule, s *Set) string {
	for _, f := range base.Feeds {
		if s.correlations[f.Correlation] == r {
			return fmt.Sprintf("%q %q", f.GroupBy, f.Fields)
		}
	}
	return ""
}

// travelOf is what a correlation of places holds for possible, where it is one.
func travelOf(c sigma.Correlation) string {
	if c.Travel == nil {
		return ""
	}
	return fmt.Sprintf(" travel %v %v", c.Travel.KMH, c.Travel.LeastKM)
}
