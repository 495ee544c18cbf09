package pipeline

import (
	"slices"
	"strings"
	"unicode"

	"icewatch/detections/sigma"
)

// rename changes field names: those of items, those that values refer to and
// those beside the items.
type rename struct {
	to   func(name string) []string // nil leaves the name as it is
	keep bool                       // the name before stays as a further one
}

func (a rename) apply(t *run, s *step) error {
	err := t.names(func(field []string) ([]string, error) {
		field, _ = a.list(t, s, field)
		return field, nil
	})
	if err != nil {
		return err
	}
	return t.walk(func(it *sigma.Item) (rewritten, error) {
		if !s.item.open(itemAt{t, it}) {
			return rewritten{item: it}, nil
		}
		changed := false
		for i := range it.Values {
			if v := &it.Values[i]; v.Op == sigma.OpFieldRef {
				if list, ok := a.list(t, s, append([]string{v.Field}, v.Also...)); ok {
					v.Field, v.Also, changed = list[0], list[1:], true
				}
			}
		}
		if list, ok := a.list(t, s, namesOf(it)); ok {
			it.Field, it.Also, changed = list[0], list[1:], true
		}
		if changed {
			t.mark(it, s.id)
		}
		return rewritten{item: it}, nil
	})
}

// list maps each of several names for one field.
func (a rename) list(t *run, s *step, old []string) (list []string, changed bool) {
	for _, name := range old {
		var to []string
		if s.field.open(fieldAt{t, name, nil}) {
			to = a.to(name)
		}
		if to == nil {
			list = appendNew(list, name)
			continue
		}
		changed = true
		if a.keep {
			to = appendNew(slices.Clip(to), name)
		}
		for _, n := range to {
			list = appendNew(list, n)
			t.passed(name, n, s.id)
		}
	}
	return list, changed
}

// passed notes that a step made one name of another.
func (t *run) passed(from, to, id string) {
	t.mapped[to] = true
	if t.fields[to] == nil {
		t.fields[to] = map[string]bool{}
	}
	for had := range t.fields[from] {
		t.fields[to][had] = true
	}
	t.fields[to][id] = true
}

func appendNew(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// renamed is a transformation of every name that is not a keyword search's.
func renamed(m *members, to func(string) []string) action {
	return rename{keep: m.boolean("keep", false), to: func(name string) []string {
		if name == "" {
			return nil
		}
		return to(name)
	}}
}

func nameMapping(m *members) action {
	table := m.mapping("mapping", true)
	return rename{keep: m.boolean("keep", false), to: func(name string) []string { return table.to[name] }}
}

func namePrefixMapping(m *members) action {
	table := m.mapping("mapping", true)
	return renamed(m, func(name string) []string {
		for _, prefix := range table.from {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				out := make([]string, len(table.to[prefix]))
				for i, to := range table.to[prefix] {
					out[i] = to + rest
				}
				return out
			}
		}
		return nil
	})
}

func namePrefix(m *members) action {
	prefix := m.needText("prefix")
	return renamed(m, func(name string) []string { return []string{prefix + name} })
}

func nameSuffix(m *members) action {
	suffix := m.needText("suffix")
	return renamed(m, func(name string) []string { return []string{name + suffix} })
}

func nameTransform(m *members) action {
	change, table := letterCase(m), m.mapping("mapping", false)
	return renamed(m, func(name string) []string {
		if to := table.to[name]; to != nil {
			return to
		}
		return []string{change(name)}
	})
}

// letterCase reads the parameter method.
func letterCase(m *members) func(string) string {
	switch m.choice("method", "lower", "upper", "snake_case") {
	case "upper":
		return strings.ToUpper
	case "snake_case":
		return snake
	}
	return strings.ToLower
}

// snake writes CommandLine as command_line and DNSQuery as dns_query.
func snake(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 && runes[i-1] != '_' && runes[i-1] != '.' &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
