package match

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// anyField is the slot of a keyword search.
const anyField = -1

// predicate is one item of a rule compiled: a field and what its values are
// compared to. Equal items of different rules share one predicate.
type predicate struct {
	slot   int32
	all    bool
	negate bool
	tests  []test
	texts  map[string]struct{} // many exact texts, folded: tests holds the others
	cost   int
}

type testKind uint8

const (
	testExact testKind = iota
	testPrefix
	testSuffix
	testContains
	testAny
	testGlob
	testNumber
	testCompare
	testRegex
	testCIDR
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

// test is one value of a predicate.
type test struct {
	kind     testKind
	form     form
	text     string
	pattern  sigma.Pattern
	number   sigma.Number
	relation sigma.Relation
	time     sigma.TimePart
	regex    *regexp.Regexp
	literals []string // testRegex: one of them is in what matches, in lower case
	cidr     sigma.Prefix
	exists   bool
	slot     int32 // testField: the other field
	affix    sigma.Affix
}

// testCost orders tests and items: what is cheap is asked first.
var testCost = [...]int{testExact: 1, testPrefix: 1, testSuffix: 1, testContains: 4, testAny: 1, testGlob: 8,
	testNumber: 2, testCompare: 3, testRegex: 50, testCIDR: 5, testExists: 1, testNull: 1, testField: 4}

// compileItem makes the predicate of an item. slotOf gives the slot of a
// field name.
func compileItem(it *sigma.Item, slotOf func(string) (int32, error)) (predicate, error) {
	p := predicate{slot: anyField, all: it.All, negate: it.Negate}
	if it.Field != "" {
		s, err := slotOf(it.Field)
		if err != nil {
			return p, err
		}
		p.slot = s
	}
	for i := range it.Values {
		t, err := compileValue(&it.Values[i], slotOf)
		if err != nil {
			return p, err
		}
		p.cost += testCost[t.kind]
		p.tests = append(p.tests, t)
	}
	if p.slot == anyField {
		p.cost *= 20
	}
	if !p.all {
		p.gatherTexts()
	}
	return p, nil
}

// gatherTexts moves many exact texts of a list into a hash set.
func (p *predicate) gatherTexts() {
	n := 0
	for _, t := range p.tests {
		if t.kind == testExact && t.form == folded {
			n++
		}
	}
	if n < 6 {
		return
	}
	p.texts = make(map[string]struct{}, n)
	rest := p.tests[:0]
	for _, t := range p.tests {
		if t.kind == testExact && t.form == folded {
			p.texts[t.text] = struct{}{}
		} else {
			rest = append(rest, t)
		}
	}
	p.tests = rest
}

func compileValue(v *sigma.Value, slotOf func(string) (int32, error)) (test, error) {
	switch v.Op {
	case sigma.OpPattern:
		return compilePattern(v), nil
	case sigma.OpNumber:
		return test{kind: testNumber, number: v.Number}, nil
	case sigma.OpCompare:
		return test{kind: testCompare, number: v.Number, relation: v.Relation, time: v.Time}, nil
	case sigma.OpRegex:
		re, err := regexp.Compile(v.Regex)
		if err != nil {
			return test{}, fmt.Errorf("regular expression %q: %w", v.Regex, err)
		}
		return test{kind: testRegex, regex: re, literals: requiredLiterals(v.Regex)}, nil
	case sigma.OpCIDR:
		return test{kind: testCIDR, cidr: v.CIDR}, nil
	case sigma.OpExists:
		return test{kind: testExists, exists: v.Exists}, nil
	case sigma.OpNull:
		return test{kind: testNull}, nil
	case sigma.OpFieldRef:
		slot, err := slotOf(v.Field)
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

// positive tells whether the predicate can only hold where its field is there.
func (p *predicate) positive() bool {
	if p.negate || p.slot == anyField {
		return false
	}
	for _, t := range p.tests {
		if t.kind == testNull || t.kind == testExists && !t.exists {
			return false
		}
	}
	return true
}

// key is equal for predicates that are the same.
func (p *predicate) key(it *sigma.Item) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(p.slot)))
	if p.all {
		b.WriteString("&")
	}
	if p.negate {
		b.WriteString("!")
	}
	for i := range it.Values {
		v := it.Values[i]
		v.Line, v.Text = 0, ""
		fmt.Fprintf(&b, "\x00%#v", v)
	}
	return b.String()
}

// eval computes the predicate on the matcher's event.
func (m *Matcher) eval(p *predicate) bool {
	return m.found(p) != p.negate
}

func (m *Matcher) found(p *predicate) bool {
	if p.all {
		for i := range p.tests {
			if m.where(p, &p.tests[i]) == nowhere {
				return false
			}
		}
		return true
	}
	if len(p.texts) > 0 {
		for i := m.first(p.slot); i >= 0; i = m.following(p.slot, i) {
			if m.kind(i) != event.Null {
				if _, ok := p.texts[m.shaped(i, folded)]; ok {
					return true
				}
			}
		}
	}
	for i := range p.tests {
		if m.where(p, &p.tests[i]) != nowhere {
			return true
		}
	}
	return false
}

// Where a test was met: a position among the event's values, or one of these.
const (
	nowhere = -1 // not met
	absent  = -2 // met by the field's absence
)

// where finds the first value of the predicate's field that meets the test.
func (m *Matcher) where(p *predicate, t *test) int32 {
	i := m.first(p.slot)
	switch t.kind {
	case testExists:
		if (i >= 0) != t.exists {
			return nowhere
		}
		if i < 0 {
			return absent
		}
		return i
	case testNull:
		if i < 0 {
			return absent
		}
		for ; i >= 0; i = m.following(p.slot, i) {
			if m.kind(i) == event.Null {
				return i
			}
		}
		return nowhere
	}
	for ; i >= 0; i = m.following(p.slot, i) {
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
		return m.possible(t, i) && t.regex.MatchString(m.value(i))
	case testCIDR:
		return t.cidr.Holds(m.value(i))
	case testNumber:
		n, ok := sigma.ParseNumber(m.value(i))
		return ok && n.Compare(t.number) == 0
	case testCompare:
		if t.time != sigma.NoTime {
			part, ok := datePart(m.value(i), t.time)
			return ok && sigma.Number{Int: part, Float: float64(part), Integer: true}.Is(t.relation, t.number)
		}
		n, ok := sigma.ParseNumber(m.value(i))
		return ok && n.Is(t.relation, t.number)
	case testField:
		mine := m.shaped(i, t.form)
		for j := m.first(t.slot); j >= 0; j = m.following(t.slot, j) {
			if m.kind(j) != event.Null && affixed(t.affix, mine, m.shaped(j, t.form)) {
				return true
			}
		}
	}
	return false
}

// possible tells whether the value holds what the expression needs. Beyond
// ASCII, characters fold to one another in ways that lower case does not
// show (the long s, the Kelvin sign): there the expression itself decides.
func (m *Matcher) possible(t *test, i int32) bool {
	if len(t.literals) == 0 {
		return true
	}
	text := m.shaped(i, folded)
	if !m.forms[i].ascii {
		return true
	}
	for _, l := range t.literals {
		if strings.Contains(text, l) {
			return true
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
