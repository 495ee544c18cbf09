package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"icewatch/detections/sigma"
)

// revalue changes the values of items one by one: to others, or nil leaves a
// value as it is.
type revalue func(t *run, v sigma.Value) ([]sigma.Value, error)

func (f revalue) apply(t *run, s *step) error {
	return t.rewrite(s, func(it *sigma.Item) (rewritten, error) {
		written := make([][]sigma.Value, len(it.Values))
		changed := false
		for i, v := range it.Values {
			made, err := f(t, v)
			if err != nil {
				return rewritten{}, err
			}
			if made == nil {
				made = []sigma.Value{v}
			} else {
				changed = true
			}
			written[i] = made
		}
		if !changed {
			return rewritten{item: it}, nil
		}
		it.Values = nil
		made := rewritten{group: sigma.Spread(it, written)}
		if g := made.group; len(g.Items) == 1 {
			made = rewritten{item: g.Items[0]}
		}
		t.markAll(made, s.id)
		return made, nil
	})
}

// ofPatterns is a revalue of texts.
func ofPatterns(f func(sigma.Pattern) []sigma.Pattern) revalue {
	return func(_ *run, v sigma.Value) ([]sigma.Value, error) {
		if v.Op != sigma.OpPattern {
			return nil, nil
		}
		var out []sigma.Value
		for _, p := range f(v.Pattern) {
			made := v
			made.Pattern = p
			out = append(out, made)
		}
		return out, nil
	}
}

// display writes a pattern with its wildcards, unescaped.
func display(p sigma.Pattern) string {
	var b strings.Builder
	for _, part := range p {
		switch part.Wild {
		case sigma.Star:
			b.WriteByte('*')
		case sigma.Single:
			b.WriteByte('?')
		case sigma.Placeholder:
			b.WriteString("%" + part.Text + "%")
		default:
			b.WriteString(part.Text)
		}
	}
	return b.String()
}

// mapParts sends the literals of a pattern through f.
func mapParts(p sigma.Pattern, f func(string) sigma.Pattern) sigma.Pattern {
	var out sigma.Pattern
	for _, part := range p {
		if part.Wild != sigma.Literal {
			out = join(out, part)
			continue
		}
		for _, made := range f(part.Text) {
			out = join(out, made)
		}
	}
	return out
}

// join appends a part: no two literals and no two stars stand side by side.
func join(p sigma.Pattern, part sigma.Part) sigma.Pattern {
	if n := len(p); n > 0 && p[n-1].Wild == part.Wild {
		switch part.Wild {
		case sigma.Literal:
			p[n-1].Text += part.Text
			return p
		case sigma.Star:
			return p
		}
	}
	if part.Wild == sigma.Literal && part.Text == "" {
		return p
	}
	return append(p, part)
}

func literal(s string) sigma.Pattern {
	if s == "" {
		return nil
	}
	return sigma.Pattern{{Text: s}}
}

func mapString(m *members) action {
	table := m.mapping("mapping", true)
	patterns := make(map[string][]sigma.Pattern, len(table.to))
	for from, list := range table.to {
		for _, to := range list {
			patterns[from] = append(patterns[from], sigma.ParsePattern(to))
		}
	}
	return ofPatterns(func(p sigma.Pattern) []sigma.Pattern { return patterns[display(p)] })
}

func changeCase(m *members) action {
	change := letterCase(m)
	return ofPatterns(func(p sigma.Pattern) []sigma.Pattern {
		return []sigma.Pattern{mapParts(p, func(s string) sigma.Pattern { return literal(change(s)) })}
	})
}

func replaceString(m *members) action {
	re := m.regex("regex", m.needText("regex"), false)
	m.need("replacement")
	with := goReplacement(m.text("replacement", ""))
	skip, interpret := m.boolean("skip_special", false), m.boolean("interpret_special", false)
	whole := ofPatterns(func(p sigma.Pattern) []sigma.Pattern {
		if !skip {
			return []sigma.Pattern{replacePlain(p, re, with)}
		}
		return []sigma.Pattern{mapParts(p, func(s string) sigma.Pattern {
			s = re.ReplaceAllString(s, with)
			if interpret {
				return fragment(s)
			}
			return literal(s)
		})}
	})
	return revalue(func(t *run, v sigma.Value) ([]sigma.Value, error) {
		if v.Op == sigma.OpNumber { // a number is its digits here
			v.Op, v.Pattern = sigma.OpPattern, literal(numeral(v.Number))
		}
		return whole(t, v)
	})
}

var groupReference = regexp.MustCompile(`\\\\|\\g<\w+>|\\\d{1,2}|\$`)

// goReplacement turns Python's references to groups (\1, \g<name>) into Go's.
func goReplacement(s string) string {
	return groupReference.ReplaceAllStringFunc(s, func(ref string) string {
		switch ref {
		case "$":
			return "$$"
		case `\\`:
			return `\`
		}
		return "${" + strings.Trim(ref, `\g<>`) + "}"
	})
}

// fragment reads a text in which a backslash is plain unless it escapes a wildcard.
func fragment(s string) sigma.Pattern {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && (i+1 == len(s) || s[i+1] != '*' && s[i+1] != '?') {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return sigma.ParsePattern(b.String())
}

// replacePlain replaces in the text of a pattern as rules write it: wildcards
// are * and ?, the plain characters are escaped. What no match covers stays.
func replacePlain(p sigma.Pattern, re *regexp.Regexp, with string) sigma.Pattern {
	var plain strings.Builder
	var units []sigma.Part // one for each character and wildcard
	var starts []int       // where each begins in plain
	add := func(part sigma.Part, text string) {
		units, starts = append(units, part), append(starts, plain.Len())
		plain.WriteString(text)
	}
	for _, part := range p {
		switch part.Wild {
		case sigma.Star:
			add(part, "*")
		case sigma.Single:
			add(part, "?")
		case sigma.Literal:
			for _, c := range part.Text {
				text := string(c)
				if c == '*' || c == '?' {
					text = `\` + text
				}
				add(sigma.Part{Text: string(c)}, text)
			}
		default:
			add(part, "")
		}
	}
	text := plain.String()
	var out sigma.Pattern
	keep := func(from, to int) {
		for i, at := range starts {
			if at >= from && (at < to || at == to && to == len(text)) {
				out = join(out, units[i])
			}
		}
	}
	pos := 0
	for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
		keep(pos, m[0])
		for _, part := range fragment(string(re.ExpandString(nil, with, text, m))) {
			out = join(out, part)
		}
		pos = m[1]
	}
	keep(pos, len(text))
	return out
}

func numeral(n sigma.Number) string {
	if n.Integer {
		return fmt.Sprint(n.Int)
	}
	return fmt.Sprint(n.Float)
}

func setValue(m *members) action {
	v := literalValue(m, "value")
	switch force := m.text("force_type", ""); {
	case force == "str" && v.Op != sigma.OpPattern:
		v.Op, v.Pattern = sigma.OpPattern, sigma.ParsePattern(v.Text)
	case force == "num" && v.Op != sigma.OpNumber:
		n, ok := sigma.ParseNumber(v.Text)
		if !ok {
			m.fail(errorf(v.Line, "set_value: %q is no number", v.Text))
		}
		v.Op, v.Number = sigma.OpNumber, n
	case force != "" && force != "str" && force != "num":
		m.fail(errorf(v.Line, "set_value: force_type is str or num, not %q", force))
	}
	return revalue(func(*run, sigma.Value) ([]sigma.Value, error) { return []sigma.Value{v}, nil })
}

func convertType(m *members) action {
	m.need("target_type")
	if m.choice("target_type", "str", "num") == "str" {
		return revalue(func(_ *run, v sigma.Value) ([]sigma.Value, error) {
			if v.Op != sigma.OpNumber {
				return nil, nil
			}
			v.Op, v.Pattern = sigma.OpPattern, literal(numeral(v.Number))
			return []sigma.Value{v}, nil
		})
	}
	return revalue(func(_ *run, v sigma.Value) ([]sigma.Value, error) {
		if v.Op != sigma.OpPattern {
			return nil, nil
		}
		n, ok := sigma.ParseNumber(display(v.Pattern))
		if !ok {
			return nil, fmt.Errorf("the value %q of line %d is no number", v.Text, v.Line)
		}
		v.Op, v.Number = sigma.OpNumber, n
		return []sigma.Value{v}, nil
	})
}

// maxValues bounds what placeholders make of one value.
const maxValues = 1024

// placeholders fills the %names% that modifier expand left in values, those
// that include and exclude say, with what f gives for a name.
func placeholders(m *members, f func(t *run, name string) ([]sigma.Pattern, error)) action {
	include, exclude := m.texts("include"), m.texts("exclude")
	if include != nil && exclude != nil {
		m.fail(errorf(m.line, "%s takes include or exclude, not both", m.what))
	}
	return revalue(func(t *run, v sigma.Value) ([]sigma.Value, error) {
		if v.Op != sigma.OpPattern || !slices.ContainsFunc(v.Pattern, func(p sigma.Part) bool { return p.Wild == sigma.Placeholder }) {
			return nil, nil
		}
		made := []sigma.Pattern{nil}
		for _, part := range v.Pattern {
			options := []sigma.Pattern{{part}}
			if part.Wild == sigma.Placeholder && (include == nil || slices.Contains(include, part.Text)) && !slices.Contains(exclude, part.Text) {
				var err error
				if options, err = f(t, part.Text); err != nil {
					return nil, err
				}
			}
			next := make([]sigma.Pattern, 0, len(made)*len(options))
			for _, p := range made {
				for _, o := range options {
					longer := slices.Clone(p)
					for _, part := range o {
						longer = join(longer, part)
					}
					next = append(next, longer)
				}
			}
			if made = next; len(made) > maxValues {
				return nil, fmt.Errorf("the placeholders of line %d make more than %d values", v.Line, maxValues)
			}
		}
		out := make([]sigma.Value, len(made))
		for i, p := range made {
			out[i] = v
			out[i].Pattern = p
		}
		return out, nil
	})
}

func wildcardPlaceholders(m *members) action {
	return placeholders(m, func(*run, string) ([]sigma.Pattern, error) { return []sigma.Pattern{{{Wild: sigma.Star}}}, nil })
}

func valuePlaceholders(m *members) action {
	return placeholders(m, func(t *run, name string) ([]sigma.Pattern, error) {
		values := t.pipeline.vars[name]
		if len(values) == 0 {
			return nil, fmt.Errorf("the pipeline has no values for the placeholder %%%s%% in its vars", name)
		}
		out := make([]sigma.Pattern, len(values))
		for i, v := range values {
			out[i] = sigma.ParsePattern(v)
		}
		return out, nil
	})
}
