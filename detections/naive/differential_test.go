package naive_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/naive"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// batch is rules in one program and events for it.
type batch struct {
	rules  []string
	events []sample
	routed bool
	strict bool
	also   map[string][]string // further names of fields
}

// outcome is what the two evaluators say, and where they first differ.
type outcome struct {
	pairs, matches int
	rejected       int // rules that the parser takes for wrong
	differs        bool
	rule, event    int
	want, got      bool
	trouble        error // nothing could be compared
}

// run compares the matcher with the naive evaluator on each pair.
func (b *batch) run() outcome {
	var out outcome
	var fast []*sigma.Rule
	var slow []*naive.Rule
	var at []int
	for i, text := range b.rules {
		parsed, errs := sigma.Parse([]byte(text), &sigma.Options{Placeholders: placeholders})
		if len(errs) > 0 || len(parsed) != 1 {
			out.rejected++
			continue
		}
		r, err := naive.ParseWith([]byte(text), placeholders)
		if err != nil {
			out.trouble = fmt.Errorf("the naive evaluator cannot read what the parser can: %w\n%s", err, text)
			return out
		}
		r.Also = b.also
		addNames(parsed[0], b.also)
		fast, slow, at = append(fast, parsed[0]), append(slow, r), append(at, i)
	}
	var table *logsource.Table
	var slowTable *naive.Table
	if b.routed {
		parsed, fault := logsource.Parse([]byte(routing))
		if fault != nil {
			return outcome{trouble: fault}
		}
		table = parsed
		var err error
		if slowTable, err = naive.ParseTable([]byte(routing)); err != nil {
			return outcome{trouble: err}
		}
		table.Strict, slowTable.Strict = b.strict, b.strict
	}
	reg := event.NewRegistry(0)
	program, errs := match.Compile(fast, reg, table)
	for i, err := range errs {
		if err != nil {
			out.trouble = fmt.Errorf("does not compile: %w\n%s", err, b.rules[at[i]])
			return out
		}
	}
	m := program.NewMatcher()
	got := make([]bool, len(fast))
	for j, s := range b.events {
		got = matched(m, s.fast(reg), got)
		ev := s.slow()
		for i, r := range slow {
			want := r.Match(ev) && (slowTable == nil || slowTable.Applies(r, ev))
			out.pairs++
			if want {
				out.matches++
			}
			if want != got[i] {
				out.differs, out.rule, out.event, out.want, out.got = true, at[i], j, want, got[i]
				return out
			}
		}
	}
	for i, why := range m.Disabled() {
		out.trouble = fmt.Errorf("rule %d panicked: %s\n%s", i, why, b.rules[at[i]])
	}
	return out
}

// addNames gives the rule's fields their further names, as a pipeline does.
func addNames(r *sigma.Rule, also map[string][]string) {
	var walk func(g *sigma.Group)
	walk = func(g *sigma.Group) {
		for _, it := range g.Items {
			it.Also = also[it.Field]
			for i := range it.Values {
				it.Values[i].Also = also[it.Values[i].Field]
			}
		}
		for _, sub := range g.Groups {
			walk(sub)
		}
	}
	for _, s := range r.Detection.Selections {
		walk(s.Root)
	}
}

// randomBatch makes a batch of random rules and events.
func randomBatch(rng *rand.Rand, rules, events int) *batch {
	w := newWorld(rng)
	b := &batch{routed: w.chance(2), strict: w.chance(2)}
	if w.chance(3) {
		b.also = map[string][]string{w.fields[0]: {w.fields[1]}, w.fields[1]: {"unknown to the rules", w.fields[2]}}
	}
	for range rules {
		b.rules = append(b.rules, w.rule())
	}
	for range events {
		b.events = append(b.events, w.event())
	}
	return b
}

// smallest leaves out of a batch that differs what the difference does not need.
func (b *batch) smallest() *batch {
	first := b.run()
	small := *b
	try := func(change func(*batch)) bool {
		c := small
		c.rules, c.events = slices.Clone(small.rules), slices.Clone(small.events)
		change(&c)
		if o := c.run(); !o.differs {
			return false
		}
		small = c
		return true
	}
	if !try(func(c *batch) { c.events = c.events[first.event : first.event+1] }) {
		try(func(c *batch) { c.events = c.events[:first.event+1] })
	}
	if !try(func(c *batch) { c.rules = c.rules[first.rule : first.rule+1] }) {
		for size := len(small.rules) / 2; size > 0; size /= 2 {
			for at := 0; at+size <= len(small.rules); {
				if !try(func(c *batch) { c.rules = slices.Delete(c.rules, at, at+size) }) {
					at += size
				}
			}
		}
	}
	try(func(c *batch) { c.routed = false })
	try(func(c *batch) { c.also = nil })
	for again := true; again; {
		again = false
		for r := range small.rules {
			head, condition, _ := strings.Cut(small.rules[r], "  condition: ")
			for _, simple := range simpler(head, condition) {
				if try(func(c *batch) { c.rules[r] = head + "  condition: " + simple + "\n" }) {
					again = true
					break
				}
			}
			for line := 0; line < strings.Count(small.rules[r], "\n"); line++ {
				for try(func(c *batch) {
					lines := strings.SplitAfter(c.rules[r], "\n")
					c.rules[r] = strings.Join(slices.Delete(lines, line, line+1), "")
				}) {
					again = true
				}
			}
		}
		for e := range small.events {
			for v := 0; v < len(small.events[e].values); v++ {
				for try(func(c *batch) {
					if v < len(c.events[e].values) {
						c.events[e].values = slices.Delete(slices.Clone(c.events[e].values), v, v+1)
					} else {
						c.events = nil
					}
				}) {
					again = true
				}
			}
			if small.events[e].raw != "" && try(func(c *batch) { c.events[e].raw = "" }) {
				again = true
			}
		}
	}
	return &small
}

// simpler are the conditions to try in place of one: shorter ones of one
// selection.
func simpler(head, condition string) []string {
	var out []string
	for _, line := range strings.Split(head, "\n") {
		name := strings.TrimSuffix(strings.TrimPrefix(line, "  "), ":")
		if len(name) > 2 && name[len(name)-2] == '_' {
			out = append(out, name, "not "+name, "not not "+name)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) >= len(strings.TrimSpace(condition)) })
}

// report says where a batch differs, in as few words as possible.
func (b *batch) report() string {
	small := b.smallest()
	o := small.run()
	var text strings.Builder
	fmt.Fprintf(&text, "the specification says %v, the matcher %v (routed %v, strict %v, further names %v)\n", o.want, o.got, small.routed, small.strict, small.also)
	fmt.Fprintf(&text, "rule %d of %d:\n%sevent %d of %d:\n%s", o.rule+1, len(small.rules), small.rules[o.rule], o.event+1, len(small.events), small.events[o.event])
	for i, r := range small.rules {
		if i != o.rule {
			fmt.Fprintf(&text, "beside it:\n%s", r)
		}
	}
	return text.String()
}

// TestDifferential compares random rules on random events, in programs of
// different sizes. ICEWATCH_PAIRS says how many pairs, and
// ICEWATCH_SEED with which one to begin.
func TestDifferential(t *testing.T) {
	t.Parallel()
	pairs := number(t, "ICEWATCH_PAIRS", 200_000)
	if testing.Short() {
		pairs /= 4
	}
	seed := number(t, "ICEWATCH_SEED", 1)
	var total outcome
	written := 0
	for ; total.pairs < pairs; seed++ {
		rules := []int{200, 200, 50, 800}[seed%4]
		b := randomBatch(rand.New(rand.NewPCG(uint64(seed), 6)), rules, 200)
		o := b.run()
		switch {
		case o.trouble != nil:
			t.Fatalf("ICEWATCH_SEED=%d: %v", seed, o.trouble)
		case o.differs:
			t.Fatalf("ICEWATCH_SEED=%d: %s", seed, b.report())
		}
		written += len(b.rules)
		total.pairs += o.pairs
		total.matches += o.matches
		total.rejected += o.rejected
	}
	t.Logf("%d pairs, %d of them matches; %d of %d rules rejected", total.pairs, total.matches, total.rejected, written)
	if total.rejected*5 > written || total.matches*100 < total.pairs {
		t.Error("too little was compared: most rules have to be accepted, and enough has to match")
	}
}

func number(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s is no number", variable, text)
	}
	return n
}

// draws turns bytes into the choices that random rules and events consist of,
// so that the fuzzer's changes are changes of them.
type draws struct {
	bytes []byte
	rest  *rand.PCG
}

func (d *draws) Uint64() uint64 {
	if len(d.bytes) == 0 {
		return d.rest.Uint64()
	}
	b := uint64(d.bytes[0])
	d.bytes = d.bytes[1:]
	return b<<56 | b<<48 | b<<40 | b<<32 | b<<24 | b<<16 | b<<8 | b
}

// FuzzMatch compares the matcher with the naive evaluator on rules and events
// that the bytes choose.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("a few rules and a few events"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		h := fnv.New64a()
		h.Write(data)
		b := randomBatch(rand.New(&draws{data, rand.NewPCG(h.Sum64(), 7)}), 5, 5)
		switch o := b.run(); {
		case o.trouble != nil:
			t.Fatal(o.trouble)
		case o.differs:
			t.Fatal(b.report())
		}
	})
}
