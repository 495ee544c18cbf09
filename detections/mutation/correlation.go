package mutation

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// correlation makes the mutants of a correlation.
func (m *maker) correlation(n *yaml.Node) {
	c := m.rule.Correlation
	if n == nil || c == nil {
		return
	}
	expression := len(c.Cases) > 0
	for _, key := range []string{"rules", "group-by"} {
		list := value(n, key)
		if list == nil || list.Kind != yaml.SequenceNode || key == "rules" && (len(list.Content) < 2 || expression) {
			continue
		}
		for i, e := range list.Content {
			less := *list
			less.Content = slices.Delete(slices.Clone(list.Content), i, i+1)
			item := key + "." + behind(e).Value
			if len(less.Content) > 0 {
				m.with(list, less, item, Dropped, e.Line)
			} else {
				m.without(n, key, item, e.Line)
			}
		}
	}
	if span := value(n, "timespan"); span != nil && !c.Absent {
		m.with(span, *scalar("!!str", "366d"), "timespan", Dropped, span.Line)
	}
	if t := value(n, "type"); t != nil {
		switch c.Type {
		case "temporal_ordered":
			if !expression {
				m.with(t, *scalar("!!str", "temporal"), "order", Dropped, t.Line)
			}
		case "value_count":
			if cond := value(n, "condition"); cond != nil && cond.Kind == yaml.MappingNode {
				kind := *t
				*t = *scalar("!!str", "event_count")
				m.without(cond, "field", "condition.field", cond.Line)
				*t = kind
			}
		}
	}
	cond := value(n, "condition")
	if cond == nil || c.Absent {
		return
	}
	if cond.Kind == yaml.ScalarNode {
		m.expression(cond)
		return
	}
	for i := 0; i+1 < len(cond.Content); i += 2 {
		key, val := cond.Content[i], behind(cond.Content[i+1])
		opposite := map[string]string{"gt": "lte", "gte": "lt", "lt": "gte", "lte": "gt", "eq": "neq", "neq": "eq"}[key.Value]
		if opposite == "" {
			continue
		}
		item := "condition." + key.Value
		k, v := *key, *val
		if c.Numeric() || len(c.Bounds) > 1 {
			*key, *val = *scalar("!!str", "gte"), *scalar("!!int", "0")
			if clash := slices.ContainsFunc(c.Bounds, func(b sigma.Bound) bool { return b.Relation == "gte" }); clash && k.Value != "gte" {
				*key, *val = *scalar("!!str", "neq"), *scalar("!!float", "-1")
				if !c.Numeric() {
					*val = *scalar("!!int", "0")
				}
			}
			m.add(item, Dropped, k.Line)
		} else if n, err := strconv.Atoi(v.Value); err == nil && !(key.Value == "gte" && n <= 1) && !(key.Value == "gt" && n <= 0) {
			*key, *val = *scalar("!!str", "gte"), *scalar("!!int", "1")
			m.add(item, Dropped, k.Line)
		}
		if n, err := strconv.Atoi(v.Value); err != nil || !(key.Value == "gte" && n <= 1) && !(key.Value == "gt" && n <= 0) || c.Numeric() {
			*key, *val = *scalar("!!str", opposite), v
			m.add(item, Negated, k.Line)
		}
		*key, *val = k, v
	}
}

// without leaves a key out for the time of one mutant.
func (m *maker) without(n *yaml.Node, key, item string, line int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			less := *n
			less.Content = slices.Delete(slices.Clone(n.Content), i, i+2)
			m.with(n, less, item, Dropped, line)
			return
		}
	}
}

// expression makes the mutants of a temporal condition in words: each name
// negated, or no longer so.
func (m *maker) expression(cond *yaml.Node) {
	text := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(cond.Value)
	words := strings.Fields(text)
	operators := map[string]bool{"and": true, "or": true, "not": true, "(": true, ")": true}
	for i, w := range words {
		if operators[strings.ToLower(w)] {
			continue
		}
		other := slices.Clone(words)
		if i > 0 && strings.EqualFold(words[i-1], "not") {
			other = slices.Delete(other, i-1, i)
		} else {
			other = slices.Insert(other, i, "not")
		}
		m.with(cond, *scalar("!!str", strings.Join(other, " ")), "condition."+w, Negated, cond.Line)
	}
}
