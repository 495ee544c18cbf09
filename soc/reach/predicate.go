package reach

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type testKind uint8

const (
	never testKind = iota
	always
	every   // all of the parts hold
	either  // one of the parts holds
	negated // the part does not hold
	isOneOf // the row's value is one of values
	holds   // the row's value contains one of values
	present // the row has a value
)

// test is what is left of an expression for the rows of one tenant once all is
// decided that the tenant decides. Tests are not changed once they are made.
type test struct {
	kind  testKind
	parts []*test

	fact   fact
	values []string // sorted
	set    map[string]struct{}
	absent bool // the outcome for a row without a value of its own

	logsql string // the same as a filter of LogsQL
}

var (
	yes = &test{kind: always}
	no  = &test{kind: never}
)

// fields are the names under which the lake stores a row's facts.
var fields = map[fact]string{organisation: FieldUnit, region: FieldRegion, industry: FieldIndustry, label: FieldLabels}

// newTest makes a test of one fact, which is none of tenant.
func newTest(kind testKind, f fact, values []string, absent bool) *test {
	if f == label {
		// A label never holds the sign that separates them.
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.Contains(v, labelSeparator) })
	}
	if kind != present && len(values) == 0 && !absent {
		return no
	}
	t := &test{kind: kind, fact: f, absent: absent, values: slices.Compact(slices.Sorted(slices.Values(values)))}
	if kind == isOneOf {
		t.set = make(map[string]struct{}, len(values))
		for _, v := range values {
			t.set[v] = struct{}{}
		}
	}
	name := strconv.Quote(fields[f])
	var b strings.Builder
	switch {
	case kind == present:
		b.WriteString(name + ":*")
	case len(values) == 0:
	case f == label && kind == isOneOf:
		b.WriteString(name + ":~" + strconv.Quote(labelSeparator+alternatives(t.values)+labelSeparator))
	case kind == holds:
		b.WriteString(name + ":~" + strconv.Quote(alternatives(t.values)))
	default:
		writeIn(&b, name, t.values)
	}
	t.logsql = b.String()
	if absent {
		empty := name + `:""`
		if t.logsql == "" {
			t.logsql = empty
		} else {
			t.logsql = "(" + empty + " or " + t.logsql + ")"
		}
	}
	return t
}

// alternatives is the regular expression for any of the values.
func alternatives(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return "(?:" + strings.Join(quoted, "|") + ")"
}

// writeIn writes that a field is one of the values. Within in, "*" would mean
// any value, quoted or not, so it goes by a filter of its own.
func writeIn(b *strings.Builder, name string, values []string) {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		if v != "*" {
			quoted = append(quoted, strconv.Quote(v))
		}
	}
	list := name + ":in(" + strings.Join(quoted, ",") + ")"
	switch {
	case len(quoted) == len(values):
		b.WriteString(list)
	case len(quoted) == 0:
		b.WriteString(name + `:="*"`)
	default:
		b.WriteString("(" + list + " or " + name + `:="*")`)
	}
}

// not negates a test.
func not(t *test) *test {
	switch t.kind {
	case never:
		return yes
	case always:
		return no
	case negated:
		return t.parts[0]
	}
	return &test{kind: negated, parts: []*test{t}, logsql: "!(" + t.logsql + ")"}
}

// combine makes one test of several: every or either of them must hold.
func combine(kind testKind, tests ...*test) *test {
	neutral, final, word := yes, no, " and "
	if kind == either {
		neutral, final, word = no, yes, " or "
	}
	var parts []*test
	var seen map[string]bool // of many parts
	add := func(t *test) {
		if len(parts) == 16 && seen == nil {
			seen = make(map[string]bool, len(tests))
			for _, p := range parts {
				seen[p.logsql] = true
			}
		}
		if seen == nil && slices.ContainsFunc(parts, func(have *test) bool { return have.logsql == t.logsql }) || seen[t.logsql] {
			return
		}
		if seen != nil {
			seen[t.logsql] = true
		}
		parts = append(parts, t)
	}
	for _, t := range tests {
		switch t.kind {
		case final.kind:
			return final
		case neutral.kind:
		case kind:
			for _, p := range t.parts {
				add(p)
			}
		default:
			add(t)
		}
	}
	switch len(parts) {
	case 0:
		return neutral
	case 1:
		return parts[0]
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.logsql
	}
	return &test{kind: kind, parts: parts, logsql: "(" + strings.Join(texts, word) + ")"}
}

// match tells whether a row passes.
func (t *test) match(f *Facts) bool {
	switch t.kind {
	case never:
		return false
	case always:
		return true
	case every:
		for _, p := range t.parts {
			if !p.match(f) {
				return false
			}
		}
		return true
	case either:
		for _, p := range t.parts {
			if p.match(f) {
				return true
			}
		}
		return false
	case negated:
		return !t.parts[0].match(f)
	}
	if t.fact == label {
		return slices.ContainsFunc(f.Labels, t.matchValue)
	}
	value := f.Unit
	switch t.fact {
	case region:
		value = f.Region
	case industry:
		value = f.Industry
	}
	if value == "" {
		return t.absent
	}
	return t.matchValue(value)
}

func (t *test) matchValue(value string) bool {
	switch t.kind {
	case isOneOf:
		_, ok := t.set[value]
		return ok
	case holds:
		return slices.ContainsFunc(t.values, func(v string) bool { return strings.Contains(value, v) })
	}
	return value != ""
}

// sql writes the test as a condition on columns.
func (t *test) sql(b *strings.Builder, args *[]any, c *Columns) {
	switch t.kind {
	case never:
		b.WriteString("1 = 0")
		return
	case always:
		b.WriteString("1 = 1")
		return
	case every, either:
		word := " AND "
		if t.kind == either {
			word = " OR "
		}
		b.WriteByte('(')
		for i, p := range t.parts {
			if i > 0 {
				b.WriteString(word)
			}
			p.sql(b, args, c)
		}
		b.WriteByte(')')
		return
	case negated:
		b.WriteString("NOT (")
		t.parts[0].sql(b, args, c)
		b.WriteByte(')')
		return
	}
	column := map[fact]string{organisation: c.Unit, region: c.Region, industry: c.Industry, label: c.Labels}[t.fact]
	b.WriteByte('(')
	if t.absent {
		b.WriteString(column + " = ''")
		if len(t.values) > 0 {
			b.WriteString(" OR ")
		}
	}
	switch {
	case t.kind == present:
		b.WriteString(column + " <> ''")
	case len(t.values) == 0:
	case t.kind == isOneOf && t.fact != label:
		b.WriteString(column + " IN (")
		placeholders(b, args, t.values)
		b.WriteByte(')')
	default:
		for i, v := range t.values {
			if i > 0 {
				b.WriteString(" OR ")
			}
			if t.kind == isOneOf {
				v = labelSeparator + v + labelSeparator
			}
			b.WriteString("instr(" + column + ", ?) > 0")
			*args = append(*args, v)
		}
	}
	b.WriteByte(')')
}

func placeholders(b *strings.Builder, args *[]any, values []string) {
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('?')
		*args = append(*args, v)
	}
}
