package inhibition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/state"
	"icewatch/ticketing/silence"
)

func rule(t testing.TB, id string, source, target []string, equal ...string) Rule {
	t.Helper()
	s, err1 := silence.ParseMatchers(source)
	g, err2 := silence.ParseMatchers(target)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return Rule{ID: id, Name: id, Source: s, Target: g, Equal: equal}
}

func TestMutes(t *testing.T) {
	t.Parallel()
	down := rule(t, "down", []string{"alertname=NodeDown"}, []string{"severity=~warning|low"}, "node", "site")
	grave := rule(t, "grave", []string{"severity=critical"}, []string{"severity!=low"}, "site")
	table := NewTable([]Rule{down, grave, {ID: "off", Off: true, Source: down.Source, Target: down.Target}})
	set := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for _, p := range pairs {
			name, value, _ := strings.Cut(p, "=")
			out[name] = value
		}
		return out
	}
	table.Fires("a", "t1", set("alertname=NodeDown", "node=n1", "site=s1", "severity=critical"))
	table.Fires("b", "city", set("alertname=NodeDown", "node=n2"))
	for _, c := range []struct {
		id, tenant string
		set        map[string]string
		want       []Muted
	}{
		{"x", "t1", set("severity=warning", "node=n1", "site=s1"), []Muted{{"down", "a"}, {"grave", "a"}}},
		{"x", "t2", set("severity=warning", "node=n1", "site=s1"), nil}, // another tenant's alert tells nothing
		{"x", "t1", set("severity=warning", "node=n1"), nil},            // the site differs
		{"x", "t2", set("severity=warning", "node=n2"), []Muted{{"down", "b"}}},
		{"x", "t1", set("severity=critical", "site=s1"), nil}, // both sides accept both
		{"a", "t1", set("alertname=NodeDown", "node=n1", "site=s1", "severity=critical"), nil},
	} {
		if got := table.Mutes(c.id, c.tenant, c.set); !slices.Equal(got, c.want) {
			t.Errorf("%s of %s, %v: muted by %v, want %v", c.id, c.tenant, c.set, got, c.want)
		}
	}
	table.Ends("a")
	if got := table.Mutes("x", "t1", set("severity=warning", "node=n1", "site=s1")); got != nil {
		t.Errorf("muted by %v after the end", got)
	}
}

// TestAgainstAll compares the index with asking every rule about every alert.
func TestAgainstAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		matchers := func() (list []string) {
			for range 1 + rnd.IntN(2) {
				op := []string{"=", "!=", "=~", "!~"}[rnd.IntN(4)]
				list = append(list, fmt.Sprintf(`l%d%s"v%d"`, rnd.IntN(3), op, rnd.IntN(3)))
			}
			return append(list, `there="yes"`)
		}
		var rules []Rule
		for n := range 1 + rnd.IntN(6) {
			rules = append(rules, rule(t, fmt.Sprint("r", n), matchers(), matchers(), []string{"l0", "l1", "l2"}[:rnd.IntN(3)]...))
		}
		table := NewTable(rules)
		sets, firing := map[string]map[string]string{}, map[string]bool{}
		for range 60 {
			id := fmt.Sprint("a", rnd.IntN(8))
			if rnd.IntN(4) == 0 {
				table.Ends(id)
				delete(firing, id)
				continue
			}
			set := map[string]string{"there": "yes"}
			for l := range 3 {
				if v := rnd.IntN(4); v < 3 {
					set[fmt.Sprint("l", l)] = fmt.Sprint("v", v)
				}
			}
			sets[id], firing[id] = set, true
			table.Fires(id, "t", set)
		}
		for id, set := range sets {
			var want []string
			for i := range rules {
				r := &rules[i]
				for other := range firing {
					same := !slices.ContainsFunc(r.Equal, func(n string) bool { return set[n] != sets[other][n] })
					both := silence.Matches(r.Source, set) && silence.Matches(r.Target, sets[other])
					if other != id && same && silence.Matches(r.Target, set) && silence.Matches(r.Source, sets[other]) && !both {
						want = append(want, r.ID)
						break
					}
				}
			}
			var got []string
			for _, m := range table.Mutes(id, "t", set) {
				got = append(got, m.Rule)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s is muted by %v, want %v", seed, id, got, want)
			}
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := Open(t.Context(), db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.Set(t.Context(), "zhang", rule(t, "", []string{"a=b"}, []string{"c=d"}, "e"))
	if err == nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("a rule without a name: %v", err)
	}
	r := rule(t, "", []string{"a=b"}, []string{`c=~"d.*"`}, "e")
	r.Name = "down"
	if made, err = s.Set(t.Context(), "zhang", r); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if err := s.Restore(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Target.String() != made.Target.String() || list[0].UpdatedBy != "zhang" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Delete(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func BenchmarkMutes100(b *testing.B) {
	var rules []Rule
	for n := range 100 {
		rules = append(rules, rule(b, fmt.Sprint("r", n), []string{fmt.Sprintf("alertname=Down%d", n)}, []string{"severity=warning", fmt.Sprintf("group=g%d", n)}, "site"))
	}
	table := NewTable(rules)
	for n := range 100 {
		table.Fires(fmt.Sprint(n), "t", map[string]string{"alertname": fmt.Sprint("Down", n), "site": "s"})
	}
	set := map[string]string{"alertname": "Disk", "severity": "warning", "group": "g7", "site": "s", "host": "h", "tenant": "t"}
	b.ReportAllocs()
	for b.Loop() {
		if len(table.Mutes("x", "t", set)) != 1 {
			b.Fatal("not muted")
		}
	}
}
