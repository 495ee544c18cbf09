package match

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRequiredLiterals(t *testing.T) {
	t.Parallel()
	// Sets are written as their texts joined with spaces.
	f := func(expr string, want ...string) {
		t.Helper()
		var got []string
		for _, set := range requiredLiterals(expr) {
			slices.Sort(set)
			got = append(got, strings.Join(set, " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
	f("abc", "abc")
	f("(?i)AbC", "abc")
	f("a.*bcd", "bcd")
	f("foo|bar+", "ba foo")
	f("(ping|perl|php)x", "perlx phpx pingx")
	f("(?i)set.*&&.*(invoke|input).*\"", "input invoke", "set", "&&")
	f("abc.*xbcd.*bc", "xbcd", "abc")
	f("a*")
	f("(abc)?")
	f("abc|x*")
	f(`\d+\.\d+`, ".")
	f("(abc)+", "abc")
	f("x(abc)?y", "xabcy xy")
	f("^$")
	f("a|b|")
}

// TestLiteralsNeverHideAMatch tries random expressions on random texts.
func TestLiteralsNeverHideAMatch(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	atoms := []string{"a", "B", "ab", "[ab]", "[^a]", ".", `\d`, "1", "(a|Bc)", "(?:x|)", "^", "$", `\b`, "(?i:aB)", "k", "s"}
	ops := []string{"", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}"}
	matched := 0
	for range 6_000 {
		expr := ""
		if rng.IntN(3) == 0 {
			expr = "(?i)"
		}
		for range 1 + rng.IntN(4) {
			atom, op := atoms[rng.IntN(len(atoms))], ops[rng.IntN(len(ops))]
			if len(atom) > 1 && atom[0] != '(' && atom[0] != '[' && atom[0] != '\\' {
				atom = "(" + atom + ")"
			}
			expr += atom + op
			if rng.IntN(6) == 0 {
				expr += "|"
			}
		}
		re, err := regexp.Compile(expr)
		if err != nil {
			continue
		}
		literals := requiredLiterals(expr)
		for range 4 {
			text := ""
			for range rng.IntN(6) {
				text += []string{"a", "b", "A", "B", "c", "1", "x", "K", "s", " "}[rng.IntN(10)]
			}
			if !re.MatchString(text) {
				continue
			}
			matched++
			for _, set := range literals {
				if !slices.ContainsFunc(set, func(l string) bool { return strings.Contains(lower(text), l) }) {
					t.Fatalf("%s matches %q, which holds none of %q", expr, text, set)
				}
			}
		}
	}
	if matched == 0 {
		t.Error("nothing matched: the test tests nothing")
	}
}
