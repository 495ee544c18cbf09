// Package generation is the policy by which alerts are raised to people: which of
// them tell of a risk of focus, which are told of at once, and which are gathered
// and told of together, every so many minutes or at times of the day. Nothing is
// lost by it: every alert is kept, shown and correlated as it comes.
package generation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/ticketing/silence"
)

// RaisingPolicy is the document that administrators write. The zero value changes
// nothing: every alert is told of at once.
type RaisingPolicy struct {
	Focus   []RiskOfFocus   `json:"focus" nullable:"false" maxItems:"100" doc:"Risks of focus: the first that an alert meets marks it. Such alerts are never gathered"`
	Periods []RaisingPeriod `json:"periods" nullable:"false" maxItems:"100" doc:"When the others are told of: the first that an alert meets decides; without one, at once"`
}

// RiskOfFocus is a kind of risk that matters now.
type RiskOfFocus struct {
	Name    string   `json:"name" minLength:"1" maxLength:"100"`
	Off     bool     `json:"off,omitempty" doc:"Kept, and not in force"`
	Tenants []string `json:"tenants,omitempty" maxItems:"1000" doc:"For whose alerts; all by default"`
	When    []string `json:"when" minItems:"1" maxItems:"50" nullable:"false" doc:"Lines of matchers such as technique=T1110, severity=~\"high|critical\"; those of one line hold together, the lines are alternatives"`
	Raise   bool     `json:"raise,omitempty" doc:"Their severity is one level higher"`
}

// The modes of a period.
const (
	Once  = "once"  // told of at once
	Every = "every" // gathered for so many minutes
	At    = "at"    // gathered until the next of the times
	Keep  = "keep"  // kept, and nobody is told
)

// RaisingPeriod says when alerts of a kind are told of.
type RaisingPeriod struct {
	Name    string   `json:"name" minLength:"1" maxLength:"100"`
	Off     bool     `json:"off,omitempty" doc:"Kept, and not in force"`
	Tenants []string `json:"tenants,omitempty" maxItems:"1000" doc:"For whose alerts; all by default"`
	When    []string `json:"when,omitempty" maxItems:"50" doc:"Lines of matchers, as those of focus; every alert by default"`
	Mode    string   `json:"mode" enum:"once,every,at,keep" doc:"once: told of at once; every: gathered, and told of together every so many minutes; at: gathered until the next of the times; keep: kept, and nobody is told"`
	Minutes int      `json:"minutes,omitempty" minimum:"1" maximum:"1440" doc:"Of every: how long a period is. Periods begin at midnight"`
	Times   []string `json:"times,omitempty" maxItems:"24" doc:"Of at: times of day such as 08:30, in the zone of the server"`
	Days    []int    `json:"days,omitempty" maxItems:"7" doc:"Of at: days of the week, 1 (Monday) to 7; every day by default"`
}

// Names are what matchers may name: an alert's facts that no mask hides.
var Names = []string{"attack", "data_level", "direction", "industry", "item_label", "item_class", "key_asset", "phase", "priority", "region", "risk", "rule", "rule_tag", "severity", "system", "tactic", "technique", "tenant", "threat", "unit", "verdict"}

// Facts are an alert's values by name. A name may have several: a matcher asks
// whether one of them fits, and != and !~ whether none does.
type Facts func(name string) []string

// Compiled is a policy that can be asked. It is safe for concurrent use.
type Compiled struct {
	focus   []rule[RiskOfFocus]
	periods []rule[RaisingPeriod]
	zone    *time.Location
}

type rule[T any] struct {
	of      T
	tenants []string
	lines   []labels.Matchers
}

// Default is the policy of a suite that nobody has changed: all at once.
func Default() RaisingPolicy {
	return RaisingPolicy{Focus: []RiskOfFocus{}, Periods: []RaisingPeriod{}}
}

// Check names the first thing in a policy that cannot be.
func (p RaisingPolicy) Check() error {
	_, err := p.Compile(time.UTC)
	return err
}

// Compile reads a policy. Times of day are of the zone.
func (p RaisingPolicy) Compile(zone *time.Location) (*Compiled, error) {
	c := &Compiled{zone: zone}
	if len(p.Focus) > 100 || len(p.Periods) > 100 {
		return nil, fmt.Errorf("%d risks of focus and %d periods: at most 100 of each", len(p.Focus), len(p.Periods))
	}
	seen := map[string]bool{}
	for i, f := range p.Focus {
		at := fmt.Sprintf("focus[%d]", i)
		lines, err := read(at, f.Name, f.When, seen)
		if err != nil {
			return nil, err
		}
		if len(lines) == 0 {
			return nil, fmt.Errorf("%s.when: it is empty: want at least one line such as severity=critical, or every alert would be of focus", at)
		}
		if !f.Off {
			c.focus = append(c.focus, rule[RiskOfFocus]{f, f.Tenants, lines})
		}
	}
	seen = map[string]bool{}
	for i, d := range p.Periods {
		at := fmt.Sprintf("periods[%d]", i)
		lines, err := read(at, d.Name, d.When, seen)
		if err != nil {
			return nil, err
		}
		if err := d.check(); err != nil {
			return nil, fmt.Errorf("%s.%w", at, err)
		}
		if !d.Off {
			c.periods = append(c.periods, rule[RaisingPeriod]{d, d.Tenants, lines})
		}
	}
	return c, nil
}

func (d RaisingPeriod) check() error {
	switch d.Mode {
	case Once, Keep:
	case Every:
		if d.Minutes < 1 || d.Minutes > 24*60 {
			return fmt.Errorf("minutes: %d: want 1 to 1440", d.Minutes)
		}
	case At:
		if len(d.Times) == 0 || len(d.Times) > 24 {
			return fmt.Errorf("times: %d of them: want 1 to 24, such as 08:30", len(d.Times))
		}
		for _, t := range d.Times {
			if _, err := time.Parse("15:04", t); err != nil {
				return fmt.Errorf("times: %.20q: want hours and minutes such as 08:30", t)
			}
		}
		for _, n := range d.Days {
			if n < 1 || n > 7 {
				return fmt.Errorf("days: %d: want 1 (Monday) to 7", n)
			}
		}
	default:
		return fmt.Errorf("mode: %.20q: want once, every, at or keep", d.Mode)
	}
	return nil
}

func read(at, name string, when []string, seen map[string]bool) ([]labels.Matchers, error) {
	switch {
	case strings.TrimSpace(name) == "":
		return nil, fmt.Errorf("%s.name: it is empty", at)
	case utf8.RuneCountInString(name) > 100 || !utf8.ValidString(name):
		return nil, fmt.Errorf("%s.name: want at most 100 characters of UTF-8", at)
	case seen[name]:
		return nil, fmt.Errorf("%s.name: %q is given twice", at, name)
	case len(when) > 50:
		return nil, fmt.Errorf("%s.when: %d lines: at most 50", at, len(when))
	}
	seen[name] = true
	var lines []labels.Matchers
	for n, text := range when {
		line, err := Line(text)
		if err != nil {
			return nil, fmt.Errorf("%s.when[%d]: %w", at, n, err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// maxLine bounds a line of matchers, in bytes.
const maxLine = 4096

// Line reads matchers with commas between them.
func Line(text string) (labels.Matchers, error) {
	if len(text) > maxLine {
		return nil, fmt.Errorf("%d bytes: at most %d", len(text), maxLine)
	}
	var out labels.Matchers
	for _, part := range split(text) {
		m, err := silence.ParseMatcher(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(Names, m.Name) {
			return nil, fmt.Errorf("%q is nothing that an alert is chosen by: want one of %s", m.Name, strings.Join(Names, ", "))
		}
		out = append(out, m)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the line is empty: want matchers such as severity=critical")
	}
	return out, nil
}

// split cuts a line at the commas outside of quotes.
func split(text string) (out []string) {
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				out, from = append(out, text[from:i]), i+1
			}
		}
	}
	out = append(out, text[from:])
	return slices.DeleteFunc(out, func(s string) bool { return strings.TrimSpace(s) == "" })
}

// Idle tells whether the policy changes nothing.
func (c *Compiled) Idle() bool { return c == nil || len(c.focus)+len(c.periods) == 0 }

// Focus returns the risk of focus that an alert tells of.
func (c *Compiled) Focus(tenant string, facts Facts) (f RiskOfFocus, is bool) {
	if r := first(c.focus, tenant, facts); r != nil {
		return r.of, true
	}
	return f, false
}

// Period returns what decides when an alert is told of that is of no focus.
func (c *Compiled) Period(tenant string, facts Facts) (p RaisingPeriod, is bool) {
	if r := first(c.periods, tenant, facts); r != nil {
		return r.of, true
	}
	return p, false
}

func first[T any](rules []rule[T], tenant string, facts Facts) *rule[T] {
	for i := range rules {
		r := &rules[i]
		if len(r.tenants) > 0 && !slices.Contains(r.tenants, tenant) {
			continue
		}
		if len(r.lines) == 0 || slices.ContainsFunc(r.lines, func(line labels.Matchers) bool { return holds(line, facts) }) {
			return r
		}
	}
	return nil
}

func holds(line labels.Matchers, facts Facts) bool {
	for _, m := range line {
		if !fits(m, facts(m.Name)) {
			return false
		}
	}
	return true
}

// fits tells whether a matcher holds for values: for one of them, or, where it
// denies, for all.
func fits(m *labels.Matcher, values []string) bool {
	if len(values) == 0 {
		return m.Matches("")
	}
	if m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp {
		return !slices.ContainsFunc(values, func(v string) bool { return !m.Matches(v) })
	}
	return slices.ContainsFunc(values, m.Matches)
}

// Due tells until when an alert that is raised at now is gathered; the zero time
// for never, when it is not gathered or only kept.
func (c *Compiled) Due(p RaisingPeriod, now time.Time) time.Time {
	local := now.In(c.zone)
	midnight := func(days int) time.Time {
		return time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, c.zone)
	}
	switch p.Mode {
	case Every:
		length := time.Duration(p.Minutes) * time.Minute
		from := midnight(0)
		due := from.Add(local.Sub(from)/length*length + length)
		if next := midnight(1); due.After(next) {
			due = next // the last period of a day ends with it
		}
		return due
	case At:
		var best time.Time
		for day := 0; day <= 7; day++ {
			of := midnight(day)
			weekday := (int(of.Weekday())+6)%7 + 1
			if len(p.Days) > 0 && !slices.Contains(p.Days, weekday) {
				continue
			}
			for _, text := range p.Times {
				clock, _ := time.Parse("15:04", text)
				t := time.Date(of.Year(), of.Month(), of.Day(), clock.Hour(), clock.Minute(), 0, 0, c.zone)
				if t.After(now) && (best.IsZero() || t.Before(best)) {
					best = t
				}
			}
			if !best.IsZero() {
				return best
			}
		}
	}
	return time.Time{}
}

// DataLevel is a level of data as matchers see it.
func DataLevel(n int) []string {
	if n == 0 {
		return nil
	}
	return []string{strconv.Itoa(n)}
}
