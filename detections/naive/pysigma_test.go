package naive_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/detections/match"
	"icewatch/detections/naive"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
	"icewatch/test/peers"
)

// row is the sample as a row of a table: one value a name. arrays are the names
// that have several, of which a column holds none, and nulls those that are
// there without a value, which a column cannot tell from absence.
func (s sample) row() (row map[string]any, arrays, nulls map[string]bool) {
	row, arrays, nulls = map[string]any{}, map[string]bool{}, map[string]bool{}
	seen := map[string]bool{}
	var words []string
	for _, v := range s.values {
		if v.value != nil {
			words = append(words, fmt.Sprint(v.value))
		}
		switch {
		case seen[v.name]:
			arrays[v.name] = true
			delete(row, v.name)
		case v.value == nil:
			nulls[v.name] = true
		default:
			row[v.name] = v.value
		}
		seen[v.name] = true
	}
	if s.raw != "" {
		words = append(words, s.raw)
	}
	row[""] = strings.Join(words, "\n")
	return row, arrays, nulls
}

// peerLimits are rules in which pySigma or SQLite, and not we, leave the
// specification, by title, with the reason.
var peerLimits = map[string]string{
	"cidr of what is no address":          "pySigma makes the text pattern 10.* of 10.0.0.0/8, which 10.0.0.256 fits",
	"cidr of IPv6 written in another way": "pySigma makes text patterns of networks, which know one way of writing an address",
	"letters beyond ASCII":                "SQLite's LIKE folds the letters of ASCII only",
	"windash within a word":               "pySigma changes dashes only before a word; the specification asks for all permutations",
	"windash of a long dash":              "pySigma changes - and / only; the specification makes all five interchangeable",
	"week":                                "SQLite's %W counts from the first Monday of the year; ours is the week of ISO 8601",
	"hour of a day alone":                 "SQLite takes a date without a time for midnight; what is not written is not there",
	"re endswith":                         "pySigma adds .* before the expression and no anchor behind it, so it may match anywhere",
	"base64offset of one character":       "pySigma searches the empty text where no character of a variant is the value's alone; it is in every value",
	"number as another number's text":     "the column keeps texts, in which 2.0 is not 2; numbers are compared as numbers",
}

// againstPySigma compares the matcher with pySigma's queries in SQLite, rule by
// rule and event by event, and returns how many rules were compared and how many
// pairs matched.
func againstPySigma(t *testing.T, texts []string, events []sample) (compared, found int) {
	t.Helper()
	reg := event.NewRegistry(0)
	var rules []*sigma.Rule
	for _, text := range texts {
		parsed, errs := sigma.Parse([]byte(text), nil)
		if len(errs) > 0 || len(parsed) != 1 {
			t.Fatalf("%v in\n%s", errs, text)
		}
		rules = append(rules, parsed[0])
	}
	program, errs := match.Compile(rules, reg, nil)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("%s: %v", rules[i].Title, err)
		}
	}
	m := program.NewMatcher()
	rows := make([]map[string]any, len(events))
	arrays, nulls := make([]map[string]bool, len(events)), make([]map[string]bool, len(events))
	ours := make([][]bool, len(events))
	for i, s := range events {
		rows[i], arrays[i], nulls[i] = s.row()
		ours[i] = matched(m, s.fast(reg), make([]bool, len(rules)))
	}
	left, unsaid := 0, 0
	for i, answer := range peers.PySigma(t, texts, rows) {
		title := rules[i].Title
		reason, limited := peerLimits[title]
		if answer.Error != "" {
			left++
			t.Logf("left out, no query: %s: %s", title, answer.Error)
			continue
		}
		exists := strings.Contains(texts[i], "|exists")
		differences := 0
		for j := range events {
			if slices.ContainsFunc(answer.Fields, func(f string) bool { return arrays[j][f] || exists && nulls[j][f] }) {
				if ours[j][i] {
					unsaid++
				}
				continue
			}
			_, theirs := slices.BinarySearch(answer.Rows, j)
			if ours[j][i] {
				found++
			}
			if theirs == ours[j][i] {
				continue
			}
			differences++
			if !limited && differences <= 3 {
				slow, err := naive.Parse([]byte(texts[i]))
				if err != nil {
					t.Fatal(err)
				}
				t.Errorf("rule %s: pySigma says %v, we %v, the naive evaluator %v\n%s\non\n%s", title, theirs, ours[j][i], slow.Match(events[j].slow()), texts[i], events[j])
			}
		}
		switch {
		case limited && differences == 0:
			t.Errorf("rule %s does not differ: %q is no reason to leave it out", title, reason)
		case limited:
			left++
			t.Logf("left out, differs on %d events: %s: %s", differences, title, reason)
		default:
			compared++
		}
	}
	t.Logf("%d rules compared on %d events, %d matches equal, %d more on arrays and nulls; %d rules left out", compared, len(events), found, unsaid, left)
	return compared, found
}

// TestPySigma compares on rules and events that speak of every modifier that
// SQLite can express, and on the suite's own rules with the events of their
// tests.
func TestPySigma(t *testing.T) {
	t.Parallel()
	t.Run("fixtures", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile("testdata/rules.yml")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := os.ReadFile("testdata/events.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		var events []sample
		for line := range strings.Lines(string(lines)) {
			events = append(events, fromJSON(t, line))
		}
		compared, found := againstPySigma(t, strings.Split(string(text), "\n---\n"), events)
		if compared < 50 || found < 100 {
			t.Errorf("only %d rules with %d matches were compared", compared, found)
		}
	})
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		seed := number(t, "ICEWATCH_SEED", 1)
		t.Logf("ICEWATCH_SEED=%d", seed)
		w := newSQLWorld(rand.New(rand.NewPCG(uint64(seed), 8)))
		n := 300
		if whole() {
			n = 3000
		}
		var rules []string
		for len(rules) < n {
			text := strings.Replace(w.rule(), "title: x\nid: x\n", fmt.Sprintf("title: random %d\n", len(rules)), 1)
			if _, errs := sigma.Parse([]byte(text), nil); len(errs) == 0 {
				rules = append(rules, text)
			}
		}
		var events []sample
		for range 300 {
			events = append(events, w.event())
		}
		if compared, _ := againstPySigma(t, rules, events); compared*10 < n*8 {
			t.Errorf("only %d rules of %d were compared", compared, n)
		}
	})
	t.Run("own rules", func(t *testing.T) {
		t.Parallel()
		rules, events := ownRules(t)
		compared, found := againstPySigma(t, rules, events)
		if compared < 20 || found < 50 {
			t.Errorf("only %d rules with %d matches were compared", compared, found)
		}
	})
}

// ownRules are the detection rules of the suite and the events of their tests.
func ownRules(t *testing.T) (rules []string, events []sample) {
	t.Helper()
	files, err := filepath.Glob("../../rules/sigma/*/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("the suite's own rules are not here", err)
	}
	reg := event.NewRegistry(0)
	parser := parse.New(reg, parse.Options{Location: time.UTC})
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(path, ".test.yml") {
			rules = append(rules, string(text))
			continue
		}
		var file struct {
			Set   map[string]any
			Cases []struct {
				Set   map[string]any
				Lines []string
				Steps []struct {
					Line  string
					Event map[string]any
					Set   map[string]any
				}
			}
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, c := range file.Cases {
			for _, line := range c.Lines {
				events = append(events, parsed(parser, reg, line, file.Set, c.Set))
			}
			for _, s := range c.Steps {
				events = append(events, parsed(parser, reg, s.Line, file.Set, c.Set, s.Event, s.Set))
			}
		}
	}
	return rules, events
}

// parsed is a raw line as the pipeline makes it an event, with fields set over
// it. Its own text is left out: SQLite has one text for keywords, which the
// fields' values make.
func parsed(parser *parse.Parser, reg *event.Registry, line string, sets ...map[string]any) sample {
	var ev event.Event
	if line != "" {
		rec := intake.Record{Format: intake.Line, Received: 1, Data: []byte(line)}
		switch line[0] {
		case '<':
			rec.Format = intake.Syslog
		case '{':
			rec.Format = intake.JSON
		}
		parser.Parse(&rec, &ev)
	}
	var s sample
	for _, f := range ev.Fields {
		v := any(f.Value)
		switch f.Kind {
		case event.Null:
			v = nil
		case event.Number:
			v = json.Number(f.Value)
		case event.Bool:
			v = f.Value == "true"
		}
		s.values = append(s.values, named{reg.Name(f.ID), v})
	}
	for _, set := range sets {
		for name, v := range set {
			s.values = slices.DeleteFunc(s.values, func(n named) bool { return n.name == name })
			switch n := v.(type) {
			case int, int64, uint64, float64:
				v = json.Number(fmt.Sprint(n))
			}
			s.flatten(name, v)
		}
	}
	return s
}

// TestPySigmaCorpus compares on the public Windows rules and events: on a share
// of the events, or with ICEWATCH_WHOLE=1 on all.
func TestPySigmaCorpus(t *testing.T) {
	t.Parallel()
	every := 199
	if whole() {
		every = 1
	}
	root := filepath.Join(corpus, "sigma/rules/windows")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the public rules are not here: %v", err)
	}
	var rules []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yml") {
			return err
		}
		text, err := os.ReadFile(path)
		rules = append(rules, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var events []sample
	corpusEvents(t, every, func(_ int, line []byte) { events = append(events, fromJSON(t, string(line))) })
	if compared, _ := againstPySigma(t, rules, events); compared < 200 {
		t.Errorf("only %d rules were compared", compared)
	}
}
