package mutation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"icewatch/detections/sigma"
)

// Shape is what is left of a rule when its literals are taken out: its log
// source, the fields with their modifiers and how the condition joins them, in an
// order that does not depend on how they are written; of a correlation its type,
// its fields, and the shapes of what it counts. Two rules of one shape are one
// model with two lists of values.
//
// The fields in kinds say what kind of event it is, as the log source does: their
// values belong to the shape. of gives the shape of a rule by its name or id.
func Shape(r *sigma.Rule, kinds map[string]bool, of func(string) string) string {
	switch {
	case r.Detection != nil:
		s := &shaper{kinds: kinds}
		return r.Logsource.String() + " " + s.expr(r.Detection.Condition, r.Detection.Selections)
	case r.Correlation != nil:
		c := r.Correlation
		var counted, relations []string
		for _, name := range c.Rules {
			counted = append(counted, "{"+of(name)+"}")
		}
		if c.Type != "temporal_ordered" {
			slices.Sort(counted)
		}
		for _, b := range c.Bounds {
			relations = append(relations, b.Relation)
		}
		slices.Sort(relations)
		var cases []string
		for _, one := range c.Cases {
			cases = append(cases, fmt.Sprint(one.Present, one.Absent))
		}
		return fmt.Sprintf("%s absent=%v city=%v by=%q fields=%q %v %v %v", c.Type, c.Absent, r.Custom.Scope == "city", slices.Sorted(slices.Values(c.GroupBy)), c.Fields, relations, cases, counted)
	}
	return ""
}

type shaper struct{ kinds map[string]bool }

func (s *shaper) expr(e *sigma.Expr, list []*sigma.Selection) string {
	if e == nil {
		return ""
	}
	switch e.Op {
	case sigma.ExprSelection:
		return s.group(list[e.Selection].Root)
	case sigma.ExprNot:
		return "not(" + s.expr(e.Args[0], list) + ")"
	}
	var parts []string
	for _, a := range e.Args {
		parts = append(parts, s.expr(a, list))
	}
	slices.Sort(parts)
	if e.Op == sigma.ExprOr {
		parts = slices.Compact(parts) // two alternatives of one shape are a longer list
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("%d/%d(%s)", e.Op, e.N, strings.Join(parts, " "))
}

func (s *shaper) group(g *sigma.Group) string {
	if g == nil {
		return ""
	}
	var parts []string
	for _, it := range g.Items {
		how := map[string]bool{}
		for _, v := range it.Values {
			how[kind(v)] = true
		}
		text := fmt.Sprintf("%s|%v|%v|%s", it.Field, it.All && len(it.Values) > 1, it.Negate, strings.Join(slices.Sorted(maps.Keys(how)), "+"))
		if s.kinds[it.Field] {
			var values []string
			for _, v := range it.Values {
				values = append(values, strings.ToLower(v.Text))
			}
			slices.Sort(values)
			text += "=" + strings.Join(values, ",")
		}
		parts = append(parts, text)
	}
	for _, sub := range g.Groups {
		parts = append(parts, s.group(sub))
	}
	slices.Sort(parts)
	if !g.All {
		parts = slices.Compact(parts)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("all=%v[%s]", g.All, strings.Join(parts, " "))
}

// kind is how a value is compared, without the value.
func kind(v sigma.Value) string {
	switch v.Op {
	case sigma.OpPattern:
		if len(v.Pattern) == 1 && v.Pattern[0].Wild == sigma.Star {
			return "any"
		}
		form := ""
		for i, p := range v.Pattern {
			if p.Wild == sigma.Star && (i == 0 || i == len(v.Pattern)-1) {
				form += map[bool]string{true: "<", false: ">"}[i == 0]
			}
		}
		return "text" + form
	case sigma.OpCompare:
		return fmt.Sprintf("compare%d.%d", v.Relation, v.Time)
	case sigma.OpRegex:
		return "regex"
	case sigma.OpCIDR:
		return "network"
	case sigma.OpExists:
		return fmt.Sprintf("exists=%v", v.Exists)
	case sigma.OpNull:
		return "null"
	case sigma.OpFieldRef:
		return "field=" + v.Field
	}
	return "number"
}
