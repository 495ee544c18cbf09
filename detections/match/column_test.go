package match

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/logsource"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// TestColumnsFindWhatComparingFinds puts random texts of every kind and length
// into one program and asks each on its own what the columns found together.
func TestColumnsFindWhatComparingFinds(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	letters := []string{"a", "b", "A", "B", "\x00", ".", "é", "É", "K", "中", "\xff", "abab", "BABA"}
	word := func(most int) string {
		s := ""
		for range rng.IntN(most + 1) {
			s += letters[rng.IntN(len(letters))]
		}
		return s
	}
	kinds := []string{"", "|startswith", "|endswith", "|contains"}
	found := 0
	for round := range 60 {
		reg := event.NewRegistry(0)
		most := 3 + round%12 // short texts in some columns, long ones alone in others
		var rules []*sigma.Rule
		type want struct {
			kind  int
			cased bool
			text  string
		}
		var wants []want
		for range 40 {
			w := want{kind: rng.IntN(4), cased: rng.IntN(3) == 0, text: word(most)}
			if round%3 == 0 {
				w.text += "abcdefgh"[:rng.IntN(9)]
			}
			parts := sigma.Pattern{}
			if w.text != "" {
				parts = sigma.Pattern{{Text: w.text}}
			}
			if w.kind >= 2 {
				parts = append(sigma.Pattern{{Wild: sigma.Star}}, parts...)
			}
			if w.kind == 1 || w.kind == 3 && w.text != "" {
				parts = append(parts, sigma.Part{Wild: sigma.Star})
			}
			wants = append(wants, w)
			rules = append(rules, &sigma.Rule{ID: fmt.Sprint(kinds[w.kind], w.text), Detection: &sigma.Detection{
				Selections: []*sigma.Selection{{Name: "s", Root: &sigma.Group{All: true, Items: []*sigma.Item{{Field: "f", Values: []sigma.Value{{Pattern: parts, Cased: w.cased}}}}}}},
				Condition:  &sigma.Expr{Op: sigma.ExprSelection},
			}})
		}
		p, errs := Compile(rules, reg, nil)
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
		id, _ := reg.Lookup("f")
		m := p.NewMatcher()
		for range 200 {
			value := word(12)
			for range rng.IntN(3) {
				value += wants[rng.IntN(len(wants))].text + word(2)
			}
			got := map[int]bool{}
			m.Match(&event.Event{Fields: []event.Field{{ID: id, Value: value}}}, func(r int, _ func() []detections.Match) { got[r] = true })
			for i, w := range wants {
				have, text := value, w.text
				if !w.cased {
					have, text = lower(have), lower(text)
				}
				if should := holds([]termKind{termExact, termPrefix, termSuffix, termContains}[w.kind], have, text); should != got[i] {
					t.Fatalf("f%s: %q (cased %v) of %q: found %v, comparing says %v", kinds[w.kind], w.text, w.cased, value, got[i], should)
				} else if should {
					found++
				}
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d texts were found: the test tests little", found)
	}
}

func TestFoldIsLower(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	var a arena
	for range 20_000 {
		b := make([]byte, rng.IntN(40))
		for i := range b {
			b[i] = byte(rng.IntN(256))
			if rng.IntN(4) > 0 {
				b[i] = byte(rng.IntN(128))
			}
		}
		a.reset()
		for _, s := range []string{string(b), string(b[len(b)/2:])} {
			start, length, plain := a.fold(s)
			if got := string(a.buf[start : start+length]); got != lower(s) || plain != ascii(s) {
				t.Fatalf("%q folds to %q (plain %v), want %q", s, got, plain, lower(s))
			}
			if a.buf[start-1] != 0 || strings.Trim(string(a.buf[start+length:start+length+margin]), "\x00") != "" {
				t.Fatalf("%q does not stand between zero bytes", s)
			}
		}
	}
}

// TestRoutesAreRememberedByWhatTheySay goes beyond every bound of what a
// router remembers and still gets each event's own log source.
func TestRoutesAreRememberedByWhatTheySay(t *testing.T) {
	t.Parallel()
	table, err := logsource.Parse([]byte("logsources:\n  - {product: p, any: [{kind: 'a*'}]}\n  - {product: q, any: [{kind: 'b*'}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	table.Strict = true
	reg := event.NewRegistry(0)
	rule := "title: x\nid: %s\nlogsource: {product: %[1]s}\ndetection:\n  s: {x: y}\n  condition: s\n"
	p, _ := Compile([]*sigma.Rule{parseOne(t, fmt.Sprintf(rule, "p")), parseOne(t, fmt.Sprintf(rule, "q"))}, reg, table)
	m := p.NewMatcher()
	kind, _ := reg.Lookup("kind")
	x, _ := reg.Lookup("x")
	for i := range 3 * maxRoutes {
		value := fmt.Sprintf("%c%d", 'a'+i%3, i)
		if i%7 == 0 {
			value += strings.Repeat("long", maxKeyValue)
		}
		got := ""
		m.Match(&event.Event{Fields: []event.Field{{ID: kind, Value: value}, {ID: x, Value: "y"}}}, func(r int, _ func() []detections.Match) { got += "pq"[r : r+1] })
		if want := []string{"p", "q", ""}[i%3]; got != want {
			t.Fatalf("%q goes to %q, want %q", value, got, want)
		}
		if len(m.router.known) > maxRoutes {
			t.Fatalf("%d routes are remembered", len(m.router.known))
		}
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	reg := event.NewRegistry(0)
	var rules []*sigma.Rule
	for i := range 50 {
		rules = append(rules, parseOne(t, fmt.Sprintf("title: x\nid: i%d\nlogsource: {product: t}\ndetection:\n  s: {a|contains: [foo%d, bar], b|re: 'x+%d'}\n  k: [word%d]\n  condition: s or k\n", i, i, i, i)))
	}
	p, _ := Compile(rules, reg, nil)
	ev := toEvent(flatEvent{"a": {"Some FOO and a BAR"}, "b": {"xxx"}, "c": {"naïve word"}}, reg)
	m := p.NewMatcher()
	run := func() { m.Match(ev, func(int, func() []detections.Match) {}) }
	run()
	if n := testing.AllocsPerRun(100, run); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
	costs := m.Costs()
	if costs[0].Asked < 100 || costs[0].Hits != 0 || costs[0].Time == 0 {
		t.Errorf("cost of a rule that was asked: %+v", costs[0])
	}
	m.SetAside(0, true)
	before := m.Costs()[0].Asked
	run()
	if m.Costs()[0].Asked != before {
		t.Error("a rule that is set aside is asked")
	}
	m.SetAside(0, false)
	run()
	if m.Costs()[0].Asked != before+1 {
		t.Error("a rule that is back is not asked")
	}
}
