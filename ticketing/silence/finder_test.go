package silence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFinder: what is found is what is accepted when each silence is asked.
func TestFinder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	list := map[string]*Silence{}
	for n := range 200 {
		var texts []string
		for range 1 + r.IntN(3) {
			texts = append(texts, one("a", "b", "c")+one("=", "!=", "=~", "!~", "=")+fmt.Sprintf("%q", one("", "x", "y", "x|y", ".*")))
		}
		m, err := ParseMatchers(texts)
		if err != nil {
			t.Fatal(err)
		}
		list[fmt.Sprint(n)] = &Silence{ID: fmt.Sprint(n), Matchers: m}
	}
	f := newFinder(list)
	for range 300 {
		set := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			if v := one("", "x", "y", "z"); v != "" {
				set[name] = v
			}
		}
		var got, want []string
		for _, l := range f.accepting(set) {
			got = append(got, l.ID)
		}
		for id, l := range list {
			if Matches(l.Matchers, set) {
				want = append(want, id)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%v: found %v, accepted are %v", set, got, want)
		}
	}
}
