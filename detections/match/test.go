package match

import (
	"fmt"
	"regexp"
	"strings"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

type testKind uint8

const (
	testExact testKind = iota
	testPrefix
	testSuffix
	testContains
	testAny
	testGlob
	testCompare
	testRegex
	testExists
	testNull
	testField
)

// form is the shape of the value a test looks at.
type form uint8

const (
	folded form = iota // lower case
	asIs
	foldedDash // lower case, dashes made one
	asIsDash
)

// test is one comparison of a value.
type test struct {
	kind     testKind
	form     form
	text     string
	pattern  sigma.Pattern
	number   sigma.Number
	relation sigma.Relation
	time     sigma.TimePart
	regex    *regexp.Regexp
	exists   bool
	slot     int32 // testField: the other field
	affix    sigma.Affix
}

// test compiles the comparisons that no column can make.
func (c *compiler) test(v *sigma.Value) (test, error) {
	switch v.Op {
	case sigma.OpCompare:
		return test{kind: testCompare, number: v.Number, relation: v.Relation, time: v.Time}, nil
	case sigma.OpRegex:
		re, err := regexp.Compile(v.Regex)
		if err != nil {
			return test{}, fmt.Errorf("regular expression %q: %w", v.Regex, err)
		}
		return test{kind: testRegex, regex: re}, nil
	case sigma.OpExists:
		return test{kind: testExists, exists: v.Exists}, nil
	case sigma.OpNull:
		return test{kind: testNull}, nil
	case sigma.OpFieldRef:
		slot, err := c.slot(append([]string{v.Field}, v.Also...)...)
		f := folded
		if v.Cased {
			f = asIs
		}
		return test{kind: testField, slot: slot, affix: v.Affix, form: f}, err
	}
	return test{}, fmt.Errorf("comparison %d is not known to the matcher", v.Op)
}

func compilePattern(v *sigma.Value) test {
	t := test{}
	switch {
	case v.Cased && v.Dash:
		t.form = asIsDash
	case v.Cased:
		t.form = asIs
	case v.Dash:
		t.form = foldedDash
	}
	pat := make(sigma.Pattern, len(v.Pattern))
	for i, part := range v.Pattern {
		if part.Wild == sigma.Literal {
			part.Text = t.form.shape(part.Text)
		}
		pat[i] = part
	}
	lit := func(i int) bool { return pat[i].Wild == sigma.Literal }
	star := func(i int) bool { return pat[i].Wild == sigma.Star }
	switch {
	case len(pat) == 0:
		t.kind = testExact
	case len(pat) == 1 && lit(0):
		t.kind, t.text = testExact, pat[0].Text
	case len(pat) == 1 && star(0):
		t.kind = testAny
	case len(pat) == 2 && lit(0) && star(1):
		t.kind, t.text = testPrefix, pat[0].Text
	case len(pat) == 2 && star(0) && lit(1):
		t.kind, t.text = testSuffix, pat[1].Text
	case len(pat) == 3 && star(0) && lit(1) && star(2):
		t.kind, t.text = testContains, pat[1].Text
	default:
		t.kind, t.pattern = testGlob, pat
	}
	return t
}

// shape brings a text into the form a test compares in.
func (f form) shape(s string) string {
	switch f {
	case folded:
		return lower(s)
	case foldedDash:
		return undash(lower(s))
	case asIsDash:
		return undash(s)
	}
	return s
}

// Where a test was met: a position among the event's values, or one of these.
const (
	nowhere = -1 // not met
	absent  = -2 // met by the field's absence
)

// where finds the first value of a field that meets the test.
func (m *Matcher) where(slot int32, t *test) int32 {
	i := m.next(slot, -1)
	switch t.kind {
	case testExists:
		switch {
		case (i >= 0) != t.exists:
			return nowhere
		case i < 0:
			return absent
		}
		return i
	case testNull:
		if i < 0 {
			return absent
		}
		for ; i >= 0; i = m.next(slot, i) {
			if m.kind(i) == event.Null {
				return i
			}
		}
		return nowhere
	}
	for ; i >= 0; i = m.next(slot, i) {
		if m.kind(i) != event.Null && m.meets(t, i) {
			return i
		}
	}
	return nowhere
}

// meets tells whether the value at i meets the test.
func (m *Matcher) meets(t *test, i int32) bool {
	switch t.kind {
	case testExact:
		return m.shaped(i, t.form) == t.text
	case testPrefix:
		return strings.HasPrefix(m.shaped(i, t.form), t.text)
	case testSuffix:
		return strings.HasSuffix(m.shaped(i, t.form), t.text)
	case testContains:
		return strings.Contains(m.shaped(i, t.form), t.text)
	case testAny:
		return true
	case testGlob:
		return glob(t.pattern, m.shaped(i, t.form))
	case testRegex:
		return t.regex.MatchString(m.value(i))
	case testCompare:
		if t.time != sigma.NoTime {
			part, ok := datePart(m.value(i), t.time)
			return ok && sigma.Number{Int: part, Float: float64(part), Integer: true}.Is(t.relation, t.number)
		}
		n, ok := sigma.ParseNumber(m.value(i))
		return ok && n.Is(t.relation, t.number)
	case testField:
		mine := m.shaped(i, t.form)
		for j := m.next(t.slot, -1); j >= 0; j = m.next(t.slot, j) {
			if m.kind(j) != event.Null && affixed(t.affix, mine, m.shaped(j, t.form)) {
				return true
			}
		}
	}
	return false
}

func affixed(a sigma.Affix, s, other string) bool {
	switch a {
	case sigma.Contains:
		return strings.Contains(s, other)
	case sigma.StartsWith:
		return strings.HasPrefix(s, other)
	case sigma.EndsWith:
		return strings.HasSuffix(s, other)
	}
	return s == other
}

// holds compares a text at the place that the kind of a term asks for.
func holds(kind termKind, value, text string) bool {
	switch kind {
	case termExact:
		return value == text
	case termPrefix:
		return strings.HasPrefix(value, text)
	case termSuffix:
		return strings.HasSuffix(value, text)
	}
	return strings.Contains(value, text)
}
