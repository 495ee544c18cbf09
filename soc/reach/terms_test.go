package reach_test

import (
	"testing"

	"icewatch/soc/reach"
)

// TestTerms: what a reach says of how it came about compiles to the same reach.
func TestTerms(t *testing.T) {
	dir := reach.NewDirectory([]reach.Tenant{{Slug: "a", Region: "north"}, {Slug: "b", Region: "south"}, {Slug: "c"}}, nil)
	var c reach.Compiler
	c.SetDirectory(dir)
	compile := func(tenants []string, expressions ...string) reach.Reach {
		t.Helper()
		r, err := c.Reach(tenants, expressions...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, r := range map[string]reach.Reach{
		"all":         reach.All(),
		"tenants":     reach.Tenants("b", "a"),
		"expression":  compile(nil, `region = "north"`),
		"both":        compile([]string{"a", "c"}, `label contains "x"`),
		"narrowed":    compile([]string{"a", "b"}, `region = "north"`).Narrow([]string{"a"}),
		"two":         compile(nil, `not region = "south"`).And(compile(nil, `label != "x"`)),
		"all but one": reach.All().Without("c").And(compile([]string{"a", "b"})),
	} {
		terms, ok := r.Terms()
		if !ok {
			t.Errorf("%s: no terms", name)
			continue
		}
		if again := compile(terms.Tenants, terms.Expressions...); again.Key() != r.Key() {
			t.Errorf("%s: terms %+v give another reach", name, terms)
		}
	}
	if _, ok := reach.None().Terms(); ok {
		t.Error("the reach over nothing has terms")
	}
	if _, ok := reach.Tenants("a").And(reach.Tenants("b")).Terms(); ok {
		t.Error("a reach that became nothing has terms")
	}
}

// TestCovers tells what surely contains what.
func TestCovers(t *testing.T) {
	var c reach.Compiler
	c.SetDirectory(reach.NewDirectory([]reach.Tenant{{Slug: "a"}, {Slug: "b"}}, nil))
	part, err := c.Reach([]string{"a"}, `label contains "x"`)
	if err != nil {
		t.Fatal(err)
	}
	a, ab, all := reach.Tenants("a"), reach.Tenants("a", "b"), reach.All()
	for _, tc := range []struct {
		name          string
		outer, inner  reach.Reach
		covers, other bool
	}{
		{"all and one", all, a, true, false},
		{"two and one", ab, a, true, false},
		{"one and a part of it", a, part, true, false},
		{"the same part", part, part, true, true},
		{"nothing", a, reach.None(), true, false},
		{"others", reach.Tenants("b"), a, false, false},
		{"a filter of the lake makes no difference", a.WithLogs("x:=1"), a, true, true},
	} {
		if got := tc.outer.Covers(tc.inner); got != tc.covers {
			t.Errorf("%s: outer covers inner: %v", tc.name, got)
		}
		if got := tc.inner.Covers(tc.outer); got != tc.other {
			t.Errorf("%s: inner covers outer: %v", tc.name, got)
		}
	}
}
