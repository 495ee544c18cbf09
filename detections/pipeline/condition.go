package pipeline

import (
	"cmp"
	"slices"
	"strings"

	"icewatch/detections/sigma"
)

// ruleConditions are the conditions on whole rules, by pySigma's names.
var ruleConditions = map[string]func(*members) func(*run) bool{
	"logsource": func(m *members) func(*run) bool {
		ls := sigma.Logsource{Category: m.text("category", ""), Product: m.text("product", ""), Service: m.text("service", "")}
		if ls == (sigma.Logsource{}) {
			m.fail(errorf(m.line, "%s needs category, product or service", m.what))
		}
		return func(t *run) bool {
			of := t.rule.Logsource
			return t.rule.Correlation == nil && within(ls.Category, of.Category) && within(ls.Product, of.Product) && within(ls.Service, of.Service)
		}
	},
	"contains_detection_item": func(m *members) func(*run) bool {
		field, want := m.text("field", ""), literalValue(m, "value")
		return func(t *run) bool {
			return t.anyItem(func(it *sigma.Item) bool {
				return slices.Contains(namesOf(it), field) && slices.ContainsFunc(it.Values, func(v sigma.Value) bool { return same(&v, &want) })
			})
		}
	},
	"contains_field": func(m *members) func(*run) bool {
		field := m.needText("field")
		return func(t *run) bool {
			return t.anyItem(func(it *sigma.Item) bool { return slices.Contains(namesOf(it), field) })
		}
	},
	"processing_item_applied": func(m *members) func(*run) bool {
		id := m.needText("processing_item_id")
		return func(t *run) bool { return t.applied[id] }
	},
	"processing_state": func(m *members) func(*run) bool {
		f := readState(m)
		return func(t *run) bool { return f(t) }
	},
	"is_sigma_rule": func(*members) func(*run) bool {
		return func(t *run) bool { return t.rule.Correlation == nil }
	},
	"is_sigma_correlation_rule": func(*members) func(*run) bool {
		return func(t *run) bool { return t.rule.Correlation != nil }
	},
	"rule_attribute": readAttribute,
	"tag": func(m *members) func(*run) bool {
		tag := m.needText("tag")
		return func(t *run) bool { return slices.Contains(t.rule.Tags, tag) }
	},
}

// itemConditions are the conditions on items of a rule's searches.
var itemConditions = map[string]func(*members) func(itemAt) bool{
	"match_string": func(m *members) func(itemAt) bool {
		re, not := m.regex("pattern", m.needText("pattern"), true), m.boolean("negate", false)
		return ofValues(m, func(v *sigma.Value) bool {
			return (v.Op == sigma.OpPattern && re.MatchString(display(v.Pattern))) != not
		})
	},
	"match_value": func(m *members) func(itemAt) bool {
		want := literalValue(m, "value")
		return ofValues(m, func(v *sigma.Value) bool { return same(v, &want) })
	},
	"contains_wildcard": func(m *members) func(itemAt) bool {
		return ofValues(m, func(v *sigma.Value) bool {
			return v.Op == sigma.OpPattern && slices.ContainsFunc(v.Pattern, func(p sigma.Part) bool { return p.Wild == sigma.Star || p.Wild == sigma.Single })
		})
	},
	"is_null": func(m *members) func(itemAt) bool {
		return ofValues(m, func(v *sigma.Value) bool { return v.Op == sigma.OpNull })
	},
	"processing_item_applied": func(m *members) func(itemAt) bool {
		id := m.needText("processing_item_id")
		return func(at itemAt) bool { return at.run.items[at.item][id] }
	},
	"processing_state": func(m *members) func(itemAt) bool {
		f := readState(m)
		return func(at itemAt) bool { return f(at.run) }
	},
}

// fieldConditions are the conditions on names of fields.
var fieldConditions = map[string]func(*members) func(fieldAt) bool{
	"include_fields": included,
	"exclude_fields": func(m *members) func(fieldAt) bool {
		f := included(m)
		return func(at fieldAt) bool { return !f(at) }
	},
	"processing_item_applied": func(m *members) func(fieldAt) bool {
		id := m.needText("processing_item_id")
		return func(at fieldAt) bool {
			if at.item != nil {
				return at.run.items[at.item][id]
			}
			return at.run.fields[at.name][id]
		}
	},
	"processing_state": func(m *members) func(fieldAt) bool {
		f := readState(m)
		return func(at fieldAt) bool { return f(at.run) }
	},
}

func within(condition, of string) bool { return condition == "" || condition == of }

func included(m *members) func(fieldAt) bool {
	list := m.needTexts("fields")
	if m.choice("mode", "plain", "re") == "plain" {
		return func(at fieldAt) bool { return at.name != "" && slices.Contains(list, at.name) }
	}
	var tests []func(string) bool
	for _, expr := range list {
		tests = append(tests, m.regex("fields", expr, true).MatchString)
	}
	return func(at fieldAt) bool {
		return at.name != "" && slices.ContainsFunc(tests, func(f func(string) bool) bool { return f(at.name) })
	}
}

// ofValues is a condition on any or all of an item's values.
func ofValues(m *members, f func(*sigma.Value) bool) func(itemAt) bool {
	all := m.choice("cond", "any", "all") == "all"
	return func(at itemAt) bool {
		for i := range at.item.Values {
			if f(&at.item.Values[i]) != all {
				return !all
			}
		}
		return all
	}
}

// anyItem tells whether f holds of an item of the rule.
func (t *run) anyItem(f func(*sigma.Item) bool) bool {
	var in func(g *sigma.Group) bool
	in = func(g *sigma.Group) bool { return slices.ContainsFunc(g.Items, f) || slices.ContainsFunc(g.Groups, in) }
	return t.rule.Detection != nil && slices.ContainsFunc(t.rule.Detection.Selections, func(s *sigma.Selection) bool { return in(s.Root) })
}

// literalValue reads a value as a rule without modifiers would have it.
func literalValue(m *members, key string) sigma.Value {
	m.taken[key] = true
	n := m.at[key]
	if n == nil {
		n = m.need(key)
	}
	v := sigma.Value{Line: n.Line, Text: n.Value}
	switch n.ShortTag() {
	case "!!null":
		v.Op = sigma.OpNull
	case "!!int", "!!float":
		if num, ok := sigma.ParseNumber(n.Value); ok {
			v.Op, v.Number = sigma.OpNumber, num
			break
		}
		fallthrough
	default:
		v.Pattern = sigma.ParsePattern(m.scalar(n, key))
	}
	return v
}

// same tells whether two values are of the same kind and mean the same.
func same(a, b *sigma.Value) bool {
	switch {
	case a.Op != b.Op:
		return false
	case a.Op == sigma.OpPattern:
		return slices.Equal(a.Pattern, b.Pattern)
	case a.Op == sigma.OpNumber:
		return a.Number.Compare(b.Number) == 0
	}
	return a.Op == sigma.OpNull
}

// relations are the comparisons of state and attributes.
var relations = map[string]func(int) bool{
	"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 },
	"gte": func(c int) bool { return c >= 0 }, "gt": func(c int) bool { return c > 0 },
	"lte": func(c int) bool { return c <= 0 }, "lt": func(c int) bool { return c < 0 },
}

func readState(m *members) func(*run) bool {
	key, val, op := m.needText("key"), m.needText("val"), relations[m.choice("op", "eq", "ne", "gte", "gt", "lte", "lt")]
	return func(t *run) bool {
		have, ok := t.state[key]
		return ok && op != nil && op(compare(have, val))
	}
}

// compare orders numbers as numbers and other texts as texts.
func compare(a, b string) int {
	x, isNumber := sigma.ParseNumber(a)
	y, both := sigma.ParseNumber(b)
	if isNumber && both {
		return x.Compare(y)
	}
	return cmp.Compare(a, b)
}

// statuses are in pySigma's order of maturity.
var statuses = []string{"unsupported", "deprecated", "experimental", "test", "stable"}

// levels are in the order of severity.
var levels = []string{"informational", "low", "medium", "high", "critical"}

func readAttribute(m *members) func(*run) bool {
	name, value := m.needText("attribute"), m.needText("value")
	op := m.choice("op", "eq", "ne", "gte", "gt", "lte", "lt", "in", "not_in")
	rel := relations[op]
	ranked := func(order []string, have func(*run) string) func(*run) bool {
		want := slices.Index(order, strings.ToLower(value))
		if want < 0 || rel == nil {
			m.fail(errorf(m.line, "the attribute %s is compared with eq, ne, gte, gt, lte or lt to one of %s", name, strings.Join(order, ", ")))
			return nil
		}
		return func(t *run) bool { return rel(slices.Index(order, strings.ToLower(have(t))) - want) }
	}
	member := func(list func(*run) []string) func(*run) bool {
		return func(t *run) bool {
			switch op {
			case "in":
				return slices.Contains(list(t), value)
			case "not_in":
				return !slices.Contains(list(t), value)
			}
			return op == "ne" // a list is never equal to a single value
		}
	}
	equal := func(have func(*run) (string, bool)) func(*run) bool {
		if op != "eq" && op != "ne" {
			m.fail(errorf(m.line, "the attribute %s is compared with eq or ne, not %s", name, op))
		}
		return func(t *run) bool {
			s, ok := have(t)
			return ok && (s == value) == (op == "eq")
		}
	}
	text := func(f func(*sigma.Rule) string) func(*run) bool {
		return equal(func(t *run) (string, bool) { return f(t.rule), true })
	}
	switch name {
	case "level":
		return ranked(levels, func(t *run) string { return string(t.rule.Level) })
	case "status":
		return ranked(statuses, func(t *run) string { return t.rule.Status })
	case "tags":
		return member(func(t *run) []string { return t.rule.Tags })
	case "fields":
		return member(func(t *run) []string { return t.rule.Fields })
	case "id":
		return text(func(r *sigma.Rule) string { return r.ID })
	case "name":
		return text(func(r *sigma.Rule) string { return r.Name })
	case "title":
		return text(func(r *sigma.Rule) string { return r.Title })
	case "description":
		return text(func(r *sigma.Rule) string { return r.Description })
	case "author", "date", "modified", "license", "references", "falsepositives", "related", "scope", "taxonomy":
		m.fail(errorf(m.line, "the rule attribute %q cannot be asked for; those that can are id, name, title, description, level, status, tags and fields", name))
		return nil
	}
	return equal(func(t *run) (string, bool) { // set by set_custom_attribute
		s, ok := t.custom[name]
		return s, ok
	})
}
