package match

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"icewatch/detections"
	"icewatch/detections/logsource"
	"icewatch/detections/naive"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

const corpus = "../../../shared/corpora"

func parseOne(t testing.TB, text string) *sigma.Rule {
	t.Helper()
	rules, errs := sigma.Parse([]byte(text), nil)
	if len(errs) > 0 || len(rules) != 1 {
		t.Fatalf("rule does not load: %v\n%s", errs, text)
	}
	return rules[0]
}

func decode(t testing.TB, text string) flatEvent {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	ev := flatEvent{}
	flatten("", v, ev)
	return ev
}

func matches(p *Program, ev *event.Event) []int {
	var out []int
	p.NewMatcher().Match(ev, func(r int, _ func() []detections.Match) { out = append(out, r) })
	return out
}

// TestSpecification holds one sentence of the specification a case.
func TestSpecification(t *testing.T) {
	t.Parallel()
	f := func(name, detection, ev string, want bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			if !strings.Contains(detection, "condition:") {
				detection += "\ncondition: sel"
			}
			rule := parseOne(t, "title: x\nid: x\nlogsource: {product: test}\ndetection:\n"+indent(detection))
			reg := event.NewRegistry(0)
			p, errs := Compile([]*sigma.Rule{rule}, reg, nil)
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			flat := decode(t, ev)
			slow, err := naive.Parse([]byte(rule.Source))
			if err != nil {
				t.Fatal(err)
			}
			if got := slow.Match(naive.NewEvent(flat, "")); got != want {
				t.Errorf("%s\non %s\ngives %v to the naive evaluator", detection, ev, got)
			}
			if got := len(matches(p, toEvent(flat, reg))) == 1; got != want {
				t.Errorf("%s\non %s\ngives %v", detection, ev, got)
			}
		})
	}
	f("values ignore letter case", "sel: {a: FOO}", `{"a":"foo"}`, true)
	f("letters beyond ASCII too", "sel: {a: ÄÖ}", `{"a":"äö"}`, true)
	f("a value is the whole field", "sel: {a: foo}", `{"a":"foobar"}`, false)
	f("field names are exact", "sel: {a: foo}", `{"A":"foo"}`, false)
	f("star", "sel: {a: 'f*r'}", `{"a":"foobar"}`, true)
	f("star is also nothing", "sel: {a: 'foo*'}", `{"a":"foo"}`, true)
	f("question mark is one character", "sel: {a: 'f?o'}", `{"a":"fäo"}`, true)
	f("question mark is not none", "sel: {a: 'foo?'}", `{"a":"foo"}`, false)
	f("escaped star is plain", `sel: {a: 'f\*o'}`, `{"a":"f*o"}`, true)
	f("escaped star is no wildcard", `sel: {a: 'f\*o'}`, `{"a":"fxo"}`, false)
	f("single backslash is plain", `sel: {a: 'c:\win'}`, `{"a":"C:\\Win"}`, true)
	f("double backslash is one", `sel: {a: 'c:\\win'}`, `{"a":"C:\\Win"}`, true)
	f("backslash then wildcard", `sel: {a: 'c:\\*'}`, `{"a":"c:\\temp"}`, true)
	f("three backslashes and a star", `sel: {a: 'c:\\\*'}`, `{"a":"c:\\*"}`, true)
	f("four backslashes are two", `sel: {a: '\\\\host'}`, `{"a":"\\\\host"}`, true)
	f("list is or", "sel: {a: [x, y]}", `{"a":"y"}`, true)
	f("map is and", "sel: {a: x, b: y}", `{"a":"x","b":"z"}`, false)
	f("list of maps is or", "sel: [{a: x}, {b: y}]", `{"b":"y"}`, true)
	f("number equals its text", "sel: {a: 4688}", `{"a":"4688"}`, true)
	f("number equals number", "sel: {a: 4688}", `{"a":4688}`, true)
	f("quoted number equals number", "sel: {a: '4688'}", `{"a":4688}`, true)
	f("number is not part of a text", "sel: {a: 4688}", `{"a":"x4688"}`, false)
	f("boolean", "sel: {a: true}", `{"a":true}`, true)
	f("boolean as text", "sel: {a: 'true'}", `{"a":"True"}`, true)
	f("empty text", "sel: {a: ''}", `{"a":""}`, true)
	f("empty text is not absence", "sel: {a: ''}", `{"b":""}`, false)
	f("null is absence", "sel: {a: null}", `{"b":1}`, true)
	f("null is null", "sel: {a: null}", `{"a":null}`, true)
	f("null is not the empty text", "sel: {a: null}", `{"a":""}`, false)
	f("not null", "sel: {b: 1}\nf: {a: null}\ncondition: sel and not f", `{"a":"x","b":1}`, true)
	f("any value of an array", "sel: {a: y}", `{"a":["x","y"]}`, true)
	f("all over an array", "sel: {'a|all': [x, y]}", `{"a":["y","x"]}`, true)
	f("nested names are dotted", "sel: {a.b: x}", `{"a":{"b":"x"}}`, true)
	f("dotted names are flat", "sel: {a.b: x}", `{"a.b":"x"}`, true)
	f("keyword in any field", "sel: [needle]", `{"a":"x","b":"the Needle there"}`, true)
	f("keyword absent", "sel: [needle]", `{"needle":"x"}`, false)
	f("keywords are or", "sel: [zip, needle]", `{"b":"needle"}`, true)
	f("keywords all", "sel: {'|all': [one, two]}", `{"a":"one","b":"two"}`, true)
	f("keywords all, one missing", "sel: {'|all': [one, two]}", `{"a":"one"}`, false)
	f("keyword with wildcard", "sel: ['a*z']", `{"x":"b a12z c"}`, true)
	f("contains", "sel: {'a|contains': oba}", `{"a":"FooBar"}`, true)
	f("contains all", "sel: {'a|contains|all': [foo, bar]}", `{"a":"bar foo"}`, true)
	f("startswith", "sel: {'a|startswith': foo}", `{"a":"FOObar"}`, true)
	f("endswith", "sel: {'a|endswith': '\\bar.exe'}", `{"a":"c:\\bar.EXE"}`, true)
	f("endswith with wildcard inside", "sel: {'a|endswith': 'b?r'}", `{"a":"fobar"}`, true)
	f("cased", "sel: {'a|cased': Foo}", `{"a":"foo"}`, false)
	f("cased contains", "sel: {'a|contains|cased': Oo}", `{"a":"FOo"}`, true)
	f("neq", "sel: {'a|neq': x}", `{"a":"y"}`, true)
	f("neq of several", "sel: {'a|neq': [x, y]}", `{"a":"y"}`, false)
	f("exists", "sel: {'a|exists': true}", `{"a":null}`, true)
	f("exists not", "sel: {'a|exists': false}", `{"a":""}`, false)
	f("re is cased", "sel: {'a|re': 'fo+'}", `{"a":"FOO"}`, false)
	f("re is unanchored", "sel: {'a|re': 'o+b'}", `{"a":"foobar"}`, true)
	f("re i", "sel: {'a|re|i': 'FO+'}", `{"a":"foo"}`, true)
	f("re m", "sel: {'a|re|m': '^b'}", `{"a":"a\nb"}`, true)
	f("re without s", "sel: {'a|re': 'a.b'}", `{"a":"a\nb"}`, false)
	f("re s", "sel: {'a|re|s': 'a.b'}", `{"a":"a\nb"}`, true)
	f("cidr", "sel: {'a|cidr': [10.0.0.0/8, 192.168.0.0/16]}", `{"a":"192.168.3.4"}`, true)
	f("cidr outside", "sel: {'a|cidr': 10.0.0.0/8}", `{"a":"11.0.0.1"}`, false)
	f("cidr of IPv6", "sel: {'a|cidr': 'fe80::/10'}", `{"a":"fe80::1%eth0"}`, true)
	f("cidr on no address", "sel: {'a|cidr': 10.0.0.0/8}", `{"a":"10.0.0.1x"}`, false)
	f("lt", "sel: {'a|lt': 10}", `{"a":9}`, true)
	f("lte", "sel: {'a|lte': 10}", `{"a":"10"}`, true)
	f("gt", "sel: {'a|gt': 10}", `{"a":10}`, false)
	f("gte of a fraction", "sel: {'a|gte': 1.5}", `{"a":1.5}`, true)
	f("comparison of text", "sel: {'a|gt': 1}", `{"a":"many"}`, false)
	f("large whole numbers stay exact", "sel: {'a|gt': 9007199254740992}", `{"a":9007199254740993}`, true)
	f("windash", "sel: {'a|contains|windash': ' -f '}", `{"a":"cmd /f x"}`, true)
	f("windash en dash", "sel: {'a|windash|contains': ' -f '}", `{"a":"cmd –f x"}`, true)
	f("windash only for dashes", "sel: {'a|contains|windash': ' -f '}", `{"a":"cmd +f x"}`, false)
	f("base64", "sel: {'a|base64|contains': 'foobar'}", `{"a":"x Zm9vYmFy y"}`, true)
	f("base64offset 1", "sel: {'a|base64offset|contains': 'http://'}", `{"a":"eGh0dHA6Ly9hYg=="}`, true)
	f("wide base64offset", "sel: {'a|wide|base64offset|contains': 'ping'}", `{"a":"cABpAG4AZwA="}`, true)
	f("utf16 has a byte order mark", "sel: {'a|utf16|base64': 'A'}", `{"a":"//5BAA=="}`, true)
	f("utf16be", "sel: {'a|utf16be|base64': 'A'}", `{"a":"AEE="}`, true)
	f("fieldref", "sel: {'a|fieldref': b}", `{"a":"x","b":"X"}`, true)
	f("fieldref differs", "sel: {'a|fieldref': b}", `{"a":"x","b":"y"}`, false)
	f("fieldref neq", "sel: {'a|fieldref|neq': b}", `{"a":"x","b":"y"}`, true)
	f("fieldref startswith", "sel: {'a|fieldref|startswith': b}", `{"a":"xyz","b":"xy"}`, true)
	f("hour", "sel: {'a|hour': 3}", `{"a":"2024-05-01T03:04:05Z"}`, true)
	f("hour compared", "sel: {'a|hour|gte': 18}", `{"a":"2024-05-01 19:04:05"}`, true)
	f("month", "sel: {'a|month': 5}", `{"a":"2024-05-01"}`, true)
	f("no hour in a day", "sel: {'a|hour': 0}", `{"a":"2024-05-01"}`, false)
	f("no year in a time of day", "sel: {'a|year|lt': 1000}", `{"a":"03:04"}`, false)
	f("year of no date", "sel: {'a|year': 2024}", `{"a":"20240501x"}`, false)
	f("1 of", "s_a: {a: 1}\ns_b: {b: 1}\ncondition: 1 of s_*", `{"b":1}`, true)
	f("all of", "s_a: {a: 1}\ns_b: {b: 1}\ncondition: all of s_*", `{"b":1}`, false)
	f("any of them", "x: {a: 1}\ny: {b: 1}\ncondition: any of them", `{"b":1}`, true)
	f("2 of", "s_a: {a: 1}\ns_b: {b: 1}\ns_c: {c: 1}\ncondition: 2 of s_*", `{"b":1,"c":1}`, true)
	f("them leaves out underscores", "x: {a: 1}\n_y: {b: 1}\ncondition: all of them", `{"a":1}`, true)
	f("and binds more than or", "x: {a: 1}\ny: {b: 1}\nz: {c: 1}\ncondition: x or y and z", `{"a":1}`, true)
	f("not binds most", "x: {a: 1}\ny: {b: 1}\ncondition: not x and y", `{"b":1}`, true)
	f("parentheses", "x: {a: 1}\ny: {b: 1}\nz: {c: 1}\ncondition: (x or y) and z", `{"a":1}`, false)
	f("conditions of a list are or", "x: {a: 1}\ny: {b: 1}\ncondition: [x, y]", `{"b":1}`, true)
	f("bare star needs the field", "sel: {a: '*'}", `{"b":1}`, false)
	f("many values", "sel: {a: [1a, 2b, 3c, 4d, 5e, 6f, 7G]}", `{"a":"7g"}`, true)
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") + "\n" }

func TestEvidenceNamesSelectionAndValue(t *testing.T) {
	t.Parallel()
	rule := parseOne(t, "title: x\nid: x\nlogsource: {product: t}\ndetection:\n  img: {'Image|endswith': '\\cmd.exe'}\n  word: [secret]\n  f: {User: root}\n  condition: img and word and not f\n")
	reg := event.NewRegistry(0)
	p, _ := Compile([]*sigma.Rule{rule}, reg, nil)
	ev := toEvent(flatEvent{"Image": {`C:\CMD.exe`}, "Text": {"a Secret"}}, reg)
	var got []detections.Match
	p.NewMatcher().Match(ev, func(_ int, evidence func() []detections.Match) { got = evidence() })
	want := []detections.Match{{Selection: "img", Field: "Image", Value: `C:\CMD.exe`}, {Selection: "word", Field: "Text", Value: "a Secret"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestKeywordsReadTheRawTextButNotOurOwnFields(t *testing.T) {
	t.Parallel()
	rule := parseOne(t, "title: x\nid: x\nlogsource: {product: t}\ndetection:\n  k: [needle]\n  condition: k\n")
	reg := event.NewRegistry(0)
	p, _ := Compile([]*sigma.Rule{rule}, reg, nil)
	f := func(ev *event.Event, want bool) {
		t.Helper()
		if got := len(matches(p, ev)) > 0; got != want {
			t.Errorf("%+v: got %v", ev, got)
		}
	}
	f(&event.Event{Raw: "a needle"}, true)
	f(&event.Event{Raw: `{"needle":1}`}, false)
	f(&event.Event{Fields: []event.Field{{ID: event.CIName, Value: "needle"}}}, false)
	f(&event.Event{Fields: []event.Field{{ID: event.Message, Value: "needle"}}}, true)
}

// TestKeywordsAcrossTheMessage puts the border between the head of a raw text and
// the message behind it at every place: only what is before it is searched again.
func TestKeywordsAcrossTheMessage(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	var rules []*sigma.Rule
	for _, k := range []string{"'needle'", "'ed'", "'l'", "'<4> x*'", "'*the y'", "'<4> x needle in the y'", "'needle in the y'"} {
		// The decoy has the same beginning, so that a text is found by its end.
		rules = append(rules, parseOne(t, "title: x\nid: x\nlogsource: {product: t}\ndetection:\n  k: ["+k+"]\n  d: ['needle in the bay', 'needle in the eye']\n  condition: k or d\n"))
	}
	p, _ := Compile(rules, reg, nil)
	const raw = "<4> x needle in the y"
	for k := range len(raw) {
		ev := &event.Event{Raw: raw, Fields: []event.Field{{ID: event.Message, Value: raw[k:]}}}
		if got := matches(p, ev); len(got) != len(rules) {
			t.Errorf("message %q: rules %v match, not all %d", raw[k:], got, len(rules))
		}
	}
}

func TestWindashKeepsOtherBytes(t *testing.T) {
	t.Parallel()
	rule := parseOne(t, "title: x\nid: x\nlogsource: {product: t}\ndetection:\n  s: {'a|windash|cased': \"\\uFFFD-\"}\n  condition: s\n")
	reg := event.NewRegistry(0)
	p, _ := Compile([]*sigma.Rule{rule}, reg, nil)
	for value, want := range map[string]int{"\uFFFD/": 1, "\uFFFD―": 1, "\xff/": 0} {
		if got := matches(p, toEvent(flatEvent{"a": {value}}, reg)); len(got) != want {
			t.Errorf("%q: %d rules match, not %d", value, len(got), want)
		}
	}
}

func TestPanicTakesOutOneRule(t *testing.T) {
	t.Parallel()
	reg := event.NewRegistry(0)
	text := "title: x\nid: %d\nlogsource: {product: t}\ndetection:\n  s: {a: x, b%d: y}\n  condition: s\n"
	var rules []*sigma.Rule
	for i := range 3 {
		rules = append(rules, parseOne(t, fmt.Sprintf(text, i, i)))
	}
	p, _ := Compile(rules, reg, nil)
	p.nodes[p.rules[1].root] = node{op: opNot, from: 1 << 30} // no such operand: evaluating it panics
	m := p.NewMatcher()
	ev := toEvent(flatEvent{"a": {"x"}, "b0": {"y"}, "b1": {"y"}, "b2": {"y"}}, reg)
	for range 2 {
		var got []int
		m.Match(ev, func(r int, _ func() []detections.Match) { got = append(got, r) })
		if !slices.Equal(got, []int{0, 2}) {
			t.Fatalf("got %v", got)
		}
	}
	if len(m.Disabled()) != 1 || m.Disabled()[1] == "" {
		t.Errorf("disabled: %v", m.Disabled())
	}
}

func corpusRules(t testing.TB, under string) []*sigma.Rule {
	t.Helper()
	var rules []*sigma.Rule
	root := filepath.Join(corpus, "sigma/rules", under)
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the public rules are not here: %v", err)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, errs := sigma.Parse(data, nil)
		for _, e := range errs {
			t.Errorf("%s: %v", path, e)
		}
		rules = append(rules, parsed...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func corpusEvents(t testing.TB, every int) []flatEvent {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus, "windows/events.jsonl.gz"))
	if err != nil {
		t.Skipf("the public events are not here: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []flatEvent
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 16<<20)
	for i := 0; sc.Scan(); i++ {
		if i%every == 0 {
			out = append(out, decode(t, sc.Text()))
		}
	}
	return out
}

// BenchmarkMatch runs all Windows rules of the corpus over a share of its
// events, with and without routing.
func BenchmarkMatch(b *testing.B) {
	for _, routed := range []bool{true, false} {
		name := "unrouted"
		var table *logsource.Table
		if routed {
			name = "routed"
			data, err := os.ReadFile("../../rules/logsources.yml")
			if err != nil {
				b.Fatal(err)
			}
			parsed, fault := logsource.Parse(data)
			if fault != nil {
				b.Fatal(fault)
			}
			table = parsed
		}
		b.Run(name, func(b *testing.B) {
			reg := event.NewRegistry(0)
			p, _ := Compile(corpusRules(b, "windows"), reg, table)
			var events []*event.Event
			for _, flat := range corpusEvents(b, 7) {
				events = append(events, toEvent(flat, reg))
			}
			m := p.NewMatcher()
			emit := func(int, func() []detections.Match) {}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				m.Match(events[i%len(events)], emit)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			asked := uint64(0)
			for _, c := range m.Costs() {
				asked += c.Asked
			}
			b.ReportMetric(float64(asked)/float64(m.meter.events), "asked/event")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules := corpusRules(b, "")
	reg := event.NewRegistry(0)
	for b.Loop() {
		p, _ := Compile(rules, reg, nil)
		b.ReportMetric(float64(p.Size())/(1<<20), "MiB")
	}
}
