package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/ticketing/silence"
)

// how a field's column is read.
type reading uint8

const (
	text  reading = iota + 1 // one value
	list                     // several with commas
	path                     // codes with a slash after each
	ranks                    // the place of a word in a list
	flag                     // 0 or 1
	rule                     // id of a rule: matched by its id and its name
	tagOf                    // id of a rule: matched by the rule's tags
)

type field struct {
	column string
	read   reading
	words  []string // of ranks, in order; "" has no word
}

// fields are what conditions may name. What a mask may hide, such as addresses
// and accounts, is not among them: nobody finds it out by a condition.
var fields = map[string]field{
	"rule":       {"rule_id", rule, nil},
	"rule_tag":   {"rule_id", tagOf, nil},
	"attack":     {"attack", text, nil},
	"risk":       {"risk", path, nil},
	"threat":     {"threat", text, nil},
	"direction":  {"direction", text, nil},
	"phase":      {"phase", text, nil},
	"tactic":     {"tactics", list, nil},
	"technique":  {"techniques", list, nil},
	"tag":        {"tags", list, nil},
	"tenant":     {"tenant", text, nil},
	"status":     {"status", text, nil},
	"resolution": {"resolution", text, nil},
	"severity":   {"severity", ranks, []string{"informational", "low", "medium", "high", "critical"}},
	"priority":   {"priority", ranks, []string{"", "P1", "P2", "P3", "P4"}},
	"verdict":    {"verdict", ranks, append([]string{"none"}, verdicts()...)},
	"key_asset":  {"key_asset", flag, nil},
}

func verdicts() (out []string) {
	for _, v := range detections.Verdicts {
		out = append(out, string(v))
	}
	return out
}

// Fields are the names that conditions may have, in order.
func Fields() []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func condition(s string) (*labels.Matcher, field, error) {
	if len(s) > maxMatcher {
		return nil, field{}, fmt.Errorf("%d bytes, at most %d", len(s), maxMatcher)
	}
	m, err := silence.ParseMatcher(s)
	if err != nil {
		return nil, field{}, err
	}
	f, ok := fields[m.Name]
	if !ok {
		return nil, field{}, fmt.Errorf("%q is no field of conditions: want one of %s", m.Name, strings.Join(Fields(), ", "))
	}
	return m, f, nil
}

// Rule is a rule of those in force, as conditions on rule and rule_tag see it.
type Rule struct {
	ID, Name string
	Tags     []string
}

// Source is what conditions are compiled by.
type Source struct {
	// Rules are those in force; it is asked once at most, and only where a
	// condition names rules other than by their ids.
	Rules func(ctx context.Context) ([]Rule, error)
	// Values are the different values of a column of the alerts that are asked
	// about.
	Values func(ctx context.Context, column string) ([]string, error)

	rules  map[string]*Rule // by id, once asked for
	values map[string][]string
}

// Clause is a condition as SQL on a table of alerts, for bun's Where.
type Clause struct {
	Where string
	Args  []any
}

// Nothing is the clause that no alert meets.
var Nothing = Clause{Where: "1 = 0"}

// Compile makes SQL of lines of conditions.
func Compile(ctx context.Context, lines [][]string, src *Source) (Clause, error) {
	if len(lines) == 0 {
		return Nothing, nil
	}
	var out Clause
	var or []string
	for _, line := range lines {
		var and []string
		for _, s := range line {
			m, f, err := condition(s)
			if err != nil {
				return Nothing, fmt.Errorf("%w: %s", ErrInvalid, err)
			}
			where, args, err := f.where(ctx, m, src)
			if err != nil {
				return Nothing, err
			}
			and, out.Args = append(and, where), append(out.Args, args...)
		}
		or = append(or, "("+strings.Join(and, " AND ")+")")
	}
	out.Where = "(" + strings.Join(or, " OR ") + ")"
	return out, nil
}

func (f field) where(ctx context.Context, m *labels.Matcher, src *Source) (string, []any, error) {
	column := bun.Ident(f.column)
	switch f.read {
	case flag:
		if m.Matches("true") == m.Matches("") { // it holds for both, or for none
			if m.Matches("true") {
				return "1 = 1", nil, nil
			}
			return "1 = 0", nil, nil
		}
		return "? = ?", []any{column, m.Matches("true")}, nil
	case ranks:
		in := []int{}
		for i, w := range f.words {
			if w != "" && m.Matches(w) {
				in = append(in, i)
			}
		}
		if len(in) == 0 {
			return "1 = 0", nil, nil
		}
		return "? IN (?)", []any{column, bun.In(in)}, nil
	case text:
		switch m.Type {
		case labels.MatchEqual:
			return "? = ?", []any{column, m.Value}, nil
		case labels.MatchNotEqual:
			return "? <> ?", []any{column, m.Value}, nil
		}
	}
	// What is left is judged by the values that there are: of a column like these
	// there are few.
	values, err := src.distinct(ctx, f.column)
	if err != nil {
		return "", nil, err
	}
	in := []string{}
	for _, v := range values {
		ok, err := f.accepts(ctx, m, v, src)
		if err != nil {
			return "", nil, err
		}
		if ok {
			in = append(in, v)
		}
	}
	if len(in) == 0 {
		return "1 = 0", nil, nil
	}
	return "? IN (?)", []any{column, bun.In(in)}, nil
}

// accepts tells whether a matcher holds for a column's value: of several parts
// any one may meet it, and != and !~ say that none does.
func (f field) accepts(ctx context.Context, m *labels.Matcher, value string, src *Source) (bool, error) {
	negated := m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp
	var parts []string
	switch f.read {
	case list:
		for part := range strings.SplitSeq(value, ",") {
			parts = append(parts, part)
			if top, _, sub := strings.Cut(part, "."); sub && f.column == "techniques" { // T1110 stands for its sub-techniques, too
				parts = append(parts, top)
			}
		}
	case path: // a class stands for all below it
		codes := strings.Split(strings.TrimSuffix(value, "/"), "/")
		for i := range codes {
			parts = append(parts, strings.Join(codes[:i+1], "."))
		}
	case rule, tagOf:
		r, err := src.rule(ctx, value)
		if err != nil {
			return false, err
		}
		if f.read == rule {
			parts = []string{value}
			if r != nil && r.Name != "" {
				parts = append(parts, r.Name)
			}
		} else if parts = []string{""}; r != nil && len(r.Tags) > 0 {
			parts = r.Tags
		}
	default:
		parts = []string{value}
	}
	fold := func(s string) string { return s }
	if f.read == path || f.read == tagOf || f.column == "techniques" {
		fold = strings.ToLower
	}
	for _, part := range parts {
		ok := m.Matches(part)
		if fold(part) != part || fold(m.Value) != m.Value {
			switch m.Type { // codes are the same in either case
			case labels.MatchEqual:
				ok = fold(part) == fold(m.Value)
			case labels.MatchNotEqual:
				ok = fold(part) != fold(m.Value)
			}
		}
		if ok != negated {
			return !negated, nil
		}
	}
	return negated, nil
}

func (s *Source) distinct(ctx context.Context, column string) ([]string, error) {
	if v, ok := s.values[column]; ok {
		return v, nil
	}
	v, err := s.Values(ctx, column)
	if err != nil {
		return nil, err
	}
	if s.values == nil {
		s.values = map[string][]string{}
	}
	s.values[column] = v
	return v, nil
}

func (s *Source) rule(ctx context.Context, id string) (*Rule, error) {
	if s.rules == nil {
		s.rules = map[string]*Rule{}
		if s.Rules != nil {
			all, err := s.Rules(ctx)
			if err != nil {
				return nil, fmt.Errorf("scenario: ask for the rules in force: %w", err)
			}
			for i := range all {
				s.rules[all[i].ID] = &all[i]
			}
		}
	}
	return s.rules[id], nil
}
