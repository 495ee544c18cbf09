package match

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/logsource"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// TestWhatIsRememberedIsWhatIsFound runs thousands of events, of fields with few
// values and with many, through one matcher, which remembers values and joins
// columns on the way, and each of them through a matcher of its own, which does
// neither.
func TestWhatIsRememberedIsWhatIsFound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	table, fault := logsource.Parse([]byte("logsources:\n  - {product: p, any: [{kind: 'a*'}]}\n  - {product: q, any: [{kind: '*b'}]}\n"))
	if fault != nil {
		t.Fatal(fault)
	}
	letters := []string{"a", "B", ":", "é", "K", "abcd", "-", "rm", "\x00", "10.1.2.3", "7"}
	word := func(least, most int) string {
		s := ""
		for range least + rng.IntN(most-least+1) {
			s += letters[rng.IntN(len(letters))]
		}
		return s
	}
	written := func(s string) string { return strings.ReplaceAll(s, "\x00", "n") } // in YAML
	names := []string{"f", "g", "h", "kind"}
	total := 0
	for round := range 5 {
		reg := event.NewRegistry(0)
		var rules []*sigma.Rule
		for i := range 60 {
			item := func() string {
				text := written(word(1, 3))
				switch rng.IntN(9) {
				case 0:
					return fmt.Sprintf("%s|contains: '%s'", names[rng.IntN(3)], text)
				case 1:
					return fmt.Sprintf("%s|startswith: '%s'", names[rng.IntN(3)], text)
				case 2:
					return fmt.Sprintf("%s|endswith|cased: '%s'", names[rng.IntN(3)], text)
				case 3:
					return fmt.Sprintf("%s|cidr: '10.%d.0.0/16'", names[rng.IntN(3)], rng.IntN(3))
				case 4:
					return fmt.Sprintf("%s: %d", names[rng.IntN(3)], rng.IntN(9))
				case 5:
					return fmt.Sprintf("%s|exists: %v", names[rng.IntN(3)], rng.IntN(2) == 0)
				case 6:
					return fmt.Sprintf("%s|re: '%s.*%s'", names[rng.IntN(3)], strings.ReplaceAll(text, ".", `\.`), "[ab]+")
				case 7:
					return fmt.Sprintf("%s: null", names[rng.IntN(3)])
				}
				return fmt.Sprintf("%s: ''", names[rng.IntN(3)])
			}
			selection := "\n    " + item() + "\n"
			if rng.IntN(3) == 0 {
				selection = fmt.Sprintf("\n    - '*%s*'\n    - '%s'\n", written(word(1, 2)), written(word(1, 1))+"x")
			}
			rules = append(rules, parseOne(t, fmt.Sprintf("title: x\nid: r%d\nlogsource: {product: %c}\ndetection:\n  s:%s  t:\n    %s\n  condition: s or t\n",
				i, "pqr"[rng.IntN(3)], selection, item())))
		}
		p, errs := Compile(rules, reg, table)
		for i, err := range errs {
			if err != nil {
				t.Fatalf("%v\n%s", err, rules[i].Source)
			}
		}
		var ids []event.FieldID
		for _, n := range append(names, "unasked") {
			id, _ := reg.Intern(n)
			ids = append(ids, id)
		}
		var few []string
		for range 12 {
			few = append(few, word(0, 4))
		}
		type result struct {
			rule     int
			evidence []detections.Match
		}
		run := func(m *Matcher, ev *event.Event) (out []result) {
			m.Match(ev, func(r int, evidence func() []detections.Match) {
				list := evidence()
				slices.SortFunc(list, func(a, b detections.Match) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
				out = append(out, result{r, list})
			})
			return out
		}
		m := p.NewMatcher()
		for n := range 1500 {
			ev := &event.Event{Raw: word(0, 12)}
			for i, id := range ids {
				for range rng.IntN(3) {
					f := event.Field{ID: id, Kind: []event.Kind{event.String, event.Number, event.Null}[min(2, rng.IntN(12))%3], Value: few[rng.IntN(len(few))]}
					switch {
					case i == 1 && n/300%2 == 1: // a field whose values hardly come again, for a while
						f.Value = word(3, 40)
					case names[min(i, 3)] == "kind" && i == 3:
						f.Value = []string{"a", "b", "ab", "c"}[n/10%4]
					}
					ev.Fields = append(ev.Fields, f)
				}
			}
			got, want := run(m, ev), run(p.NewMatcher(), ev)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("round %d, event %d: %+v: a matcher that remembers finds\n%v\nand one that does not\n%v", round, n, ev.Fields, got, want)
			}
			total += len(want)
		}
		remembered := 0
		for _, y := range m.memory.table {
			if y.plan != 0 {
				remembered++
			}
		}
		if remembered < 20 || len(m.router.joined) == 0 {
			t.Errorf("%d values were remembered and %d columns joined: the test tests little", remembered, len(m.router.joined))
		}
	}
	if total < 20_000 {
		t.Errorf("only %d matches: the test tests little", total)
	}
}
