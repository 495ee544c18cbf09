package query

import (
	"errors"
	"strings"
	"testing"
)

func TestParseFilter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`name = web-1`:                          `name = "web-1"`,
		`NAME = 'it''s'`:                        "",
		`a = 1 and b=2 or not c ~ "x y"`:        `a = "1" and b = "2" or not c ~ "x y"`,
		`a = 1 and (b = 2 or c = 3)`:            `a = "1" and (b = "2" or c = "3")`,
		`not (a = 1 and b = 2)`:                 `not (a = "1" and b = "2")`,
		`((a = 1))`:                             `a = "1"`,
		`a in (1, "二", 'x')`:                    `a in ("1", "二", "x")`,
		`a not in (1)`:                          `not a in ("1")`,
		`a exists AND b != 2`:                   `a exists and b != "2"`,
		`system.protection_level >= 3`:          `system.protection_level >= "3"`,
		`organisation.name ^= 大数据`:              `organisation.name ^= "大数据"`,
		`os ~ "a\"b\\c"`:                        `os ~ "a\"b\\c"`,
		`ip = 2001:db8::1 and net = 10.0.0.0/8`: `ip = "2001:db8::1" and net = "10.0.0.0/8"`,
		`android = 1`:                           `android = "1"`,
		`not.a = 1`:                             `not.a = "1"`,
		`has -runs_on-> host`:                   `has -runs_on-> host`,
		`has <-runs_on|depends_on- vm|host[a=1] and b = 2`: `has <-runs_on|depends_on- vm|host[a = "1"] and b = "2"`,
		`has -*1..3- * or has --> [a = 1]`:                 `has -*1..3- * or has --> [a = "1"]`,
		`has - runs_on * 2 -> host[has -x-> y]`:            `has -runs_on*2..2-> host[has -x-> y]`,
	} {
		e, err := ParseFilter(text)
		if want == "" {
			if err == nil {
				t.Errorf("%s: taken as %s", text, e)
			}
			continue
		}
		if err != nil || e.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, e, err, want)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`business_system[cii = true] <-belongs_to_system- application -runs_on*1..3-> host`: `business_system[cii = "true"] <-belongs_to_system- application -runs_on*1..3-> host`,
		`host`:           `host`,
		`[name = a]--vm`: `[name = "a"] -- vm`,
		`*-->*`:          `* --> *`,
	} {
		p, err := ParsePath(text)
		if err != nil || p.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, p, err, want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	filter := func(s string) error { _, err := ParseFilter(s); return err }
	path := func(s string) error { _, err := ParsePath(s); return err }
	for _, c := range []struct {
		parse    func(string) error
		text     string
		position int
		reason   string
	}{
		{filter, ``, 1, "the text ends: want a condition"},
		{filter, `名 = 1`, 1, "want a condition"},
		{filter, `a = "中文" oder b = 1`, 10, `"oder b = 1": want and, or`},
		{filter, `a = 1 and`, 10, "the text ends"},
		{filter, `a = 1 and or`, 11, `"or": want a condition`},
		{filter, `(a = 1`, 7, "want )"},
		{filter, `a`, 2, "want one of ="},
		{filter, `a =`, 4, "want a value"},
		{filter, `a = )`, 5, "want a value"},
		{filter, `a in 1`, 6, "want ( after in"},
		{filter, `a in (1 2)`, 9, "want , or )"},
		{filter, `a not like 1`, 7, "want in after not"},
		{filter, `a = "x`, 5, "quote is not closed"},
		{filter, `system. = 1`, 9, "want a field"},
		{filter, `has host`, 5, "want a step"},
		{filter, `has <-x-> host`, 10, "one way"},
		{filter, `has -x host`, 8, "want -> or -"},
		{filter, `has -x-> `, 10, "want a class"},
		{filter, `has -x*0-> host`, 8, "from 1 to 16"},
		{filter, `has -x*3..2-> host`, 12, "smaller number first"},
		{filter, `has -a|-> host`, 8, "want a name after |"},
		{filter, strings.Repeat("(", 50) + "a = 1", 34, "deeper than"},
		{filter, strings.Repeat("not ", 50) + "a = 1", 132, "deeper than"},
		{filter, "a = \x00", 1, "NUL"},
		{path, ``, 1, "want a class"},
		{path, `host [a = 1`, 12, "want ]"},
		{path, `host = 1`, 6, "want a step"},
		{path, "host" + strings.Repeat(" --> *", 9), 55, "more than 8 steps"},
	} {
		err := c.parse(c.text)
		var s *SyntaxError
		if !errors.As(err, &s) || s.Position != c.position || !strings.Contains(s.Reason, c.reason) {
			t.Errorf("%s: %v; want %q at %d", c.text, err, c.reason, c.position)
		}
	}
}

// FuzzParse reads any text: it is refused with a place in the text, or has a
// canonical form that is read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`a = 1 and (b ~ "x" or not c in (1, 2))`, `has -runs_on*1..3-> host[a exists]`, `system.a ^= "\""`, `host[a=1] <-x|y- vm -- *`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(err error) {
			var s *SyntaxError
			if !errors.As(err, &s) || s.Position < 1 || s.Position > len([]rune(text))+1 {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if e, err := ParseFilter(text); err != nil {
			check(err)
		} else if again, err := ParseFilter(e.String()); len(e.String()) <= maxText && (err != nil || again.String() != e.String()) {
			t.Fatalf("%q is %q, then %v, %v", text, e, again, err)
		}
		if p, err := ParsePath(text); err != nil {
			check(err)
		} else if again, err := ParsePath(p.String()); len(p.String()) <= maxText && (err != nil || again.String() != p.String()) {
			t.Fatalf("%q is %q, then %v, %v", text, p, again, err)
		}
	})
}
