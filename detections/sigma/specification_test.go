package sigma_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/detections/naive"
	"icewatch/detections/ruleset"
	"icewatch/detections/ruletest"
	"icewatch/soc/event"
)

const fixtures = "testdata/specification"

// fixture is one sentence of the specification: rules, and what has to come
// of them. The rule that is looked at has the id "rule" where it has one.
type fixture struct {
	Rule         string              `yaml:"rule"`         // one document or several
	Filters      string              `yaml:"filters"`      // Sigma filters in a file of their own
	Placeholders map[string][]string `yaml:"placeholders"` // values of the modifier expand
	Logsources   string              `yaml:"logsources"`   // a routing table; without one every rule is for every event
	Match        []yaml.Node         `yaml:"match"`        // events that match
	NoMatch      []yaml.Node         `yaml:"no_match"`     // events that do not
	Reads        map[string]any      `yaml:"reads"`        // attributes as they are read
	Test         string              `yaml:"test"`         // events over time, in the form of *.test.yml
	Refused      string              `yaml:"refused"`      // how the error begins that keeps the rule out
	Problem      string              `yaml:"problem"`      // how the one problem begins that lets the rule work
	Warning      string              `yaml:"warning"`      // part of the one finding of the linter
}

func readFixture(t *testing.T, name string) *fixture {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtures, name+".yml"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSpecification runs every fixture; docs/sigma.md says what each is for.
func TestSpecification(t *testing.T) {
	t.Parallel()
	for _, name := range fixtureNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := readFixture(t, name)
			reg := event.NewRegistry(0)
			set, problems := ruleset.CompileWith(f.bundle(t), reg, ruleset.Options{Unrouted: f.Logsources == ""})
			f.checkFindings(t, problems, set.Warnings())
			if f.Refused == "" && len(f.Match)+len(f.NoMatch)+len(f.Reads) == 0 && f.Test == "" && f.Problem == "" {
				t.Error("the fixture tests nothing")
			}
			f.checkReads(t, set)
			matcher := set.Program().NewMatcher()
			for _, want := range []bool{true, false} {
				events := f.Match
				if !want {
					events = f.NoMatch
				}
				for i := range events {
					got := false
					matcher.Match(toEvent(&events[i], reg), func(r int, _ func() []detections.Match) { got = got || set.Detections()[r].ID == "rule" })
					if got != want {
						t.Errorf("%v: matches is %v, want %v", fieldsOf(&events[i]), got, want)
					}
				}
			}
			f.checkNaive(t)
			if f.Test != "" {
				n, failures := ruletest.New(set, reg).File(name, []byte(f.Test))
				if n == 0 {
					t.Error("the test has no case")
				}
				for _, failure := range failures {
					t.Error(failure)
				}
			}
		})
	}
}

func (f *fixture) bundle(t *testing.T) *ruleset.Bundle {
	files := fstest.MapFS{"a.yml": {Data: []byte(f.Rule)}}
	if f.Filters != "" {
		files["b.yml"] = &fstest.MapFile{Data: []byte(f.Filters)}
	}
	if f.Logsources != "" {
		files["logsources.yml"] = &fstest.MapFile{Data: []byte(f.Logsources)}
	}
	if f.Placeholders != nil {
		data, err := yaml.Marshal(f.Placeholders)
		if err != nil {
			t.Fatal(err)
		}
		files[ruleset.PlaceholderFile] = &fstest.MapFile{Data: data}
	}
	return ruleset.Load([]ruleset.Source{{Name: "fixture", FS: files}})
}

func (f *fixture) checkFindings(t *testing.T, problems, warnings []ruleset.Problem) {
	t.Helper()
	lines := func(list []ruleset.Problem) (out []string) {
		for _, p := range list {
			out = append(out, fmt.Sprintf("line %d: %s", p.Line, p.Reason))
		}
		return out
	}
	check := func(what, want string, got []string) {
		t.Helper()
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	check("errors", f.Refused+f.Problem, lines(problems))
	check("findings", f.Warning, lines(warnings))
}

// checkReads compares the attributes of the rule that is looked at, or of the
// only one.
func (f *fixture) checkReads(t *testing.T, set *ruleset.Set) {
	t.Helper()
	if len(f.Reads) == 0 {
		return
	}
	rules := append(set.Correlations(), set.Detections()...)
	i := max(0, slices.IndexFunc(rules, func(r *ruleset.Rule) bool { return r.ID == "rule" }))
	if len(rules) == 0 {
		t.Fatal("no rule is in force")
	}
	r := rules[i]
	tactics, techniques := r.Attack()
	var related []string
	for _, rel := range r.Related {
		related = append(related, rel.Type+" "+rel.ID)
	}
	got := map[string]any{"title": r.Title, "id": r.ID, "name": r.Name, "related": related, "taxonomy": r.Taxonomy, "status": r.Status, "description": r.Description,
		"license": r.License, "author": r.Author, "references": r.References, "date": r.Date, "modified": r.Modified, "fields": r.Fields,
		"falsepositives": r.FalsePositives, "scope": r.Scope, "level": r.Level, "tags": r.Tags, "tactics": tactics, "techniques": techniques}
	if c := r.Correlation; c != nil {
		var bounds []string
		for _, b := range c.Bounds {
			bounds = append(bounds, fmt.Sprintf("%s %s", b.Relation, b))
		}
		got["bounds"], got["timespan"], got["generate"] = bounds, c.Timespan.String(), c.Generate
	}
	for name, want := range f.Reads {
		a, _ := json.Marshal(got[name])
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Errorf("%s is %s, want %s", name, a, b)
		}
	}
}

// checkNaive asks the evaluator that shares no code with the engine. Of
// filters and documents it knows nothing: here their conditions are joined.
func (f *fixture) checkNaive(t *testing.T) {
	t.Helper()
	if f.Logsources != "" || len(f.Match)+len(f.NoMatch) == 0 {
		return
	}
	rule := slices.IndexFunc(documents(t, f.Rule), func(doc map[string]any) bool { return doc["id"] == "rule" })
	all := []*naive.Rule{f.naive(t, documents(t, f.Rule)[max(0, rule)])}
	if f.Problem == "" || strings.Contains(f.Problem, "nowhere") {
		for _, doc := range documents(t, f.Filters) {
			if doc["logsource"].(map[string]any)["product"] != "linux" { // the one product that is not the rule's
				doc["detection"] = doc["filter"]
				delete(doc["detection"].(map[string]any), "rules")
				all = append(all, f.naive(t, doc))
			}
		}
	}
	for _, want := range []bool{true, false} {
		events := f.Match
		if !want {
			events = f.NoMatch
		}
		for i := range events {
			values := map[string][]any{}
			for _, v := range fieldsOf(&events[i]) {
				values[v.name] = append(values[v.name], v.value())
			}
			got := true
			for _, r := range all {
				got = got && r.Match(naive.NewEvent(values, ""))
			}
			if got != want {
				t.Errorf("%v: matches naively is %v, want %v", values, got, want)
			}
		}
	}
}

func (f *fixture) naive(t *testing.T, doc map[string]any) *naive.Rule {
	t.Helper()
	data, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if doc["filter"] == nil && strings.Count(f.Rule, "\n---\n") == 0 {
		data = []byte(f.Rule) // as it is written
	}
	r, err := naive.ParseWith(data, f.Placeholders)
	if err != nil {
		t.Fatalf("naively: %v", err)
	}
	return r
}

func documents(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

// field is one value of an event.
type field struct {
	name, text string
	kind       event.Kind
}

// value is how the naive evaluator takes it.
func (f field) value() any {
	switch f.kind {
	case event.Null:
		return nil
	case event.Bool:
		return f.text == "true"
	case event.Number:
		return json.Number(f.text)
	}
	return f.text
}

// fieldsOf flattens an event: members of objects by dots, elements of arrays
// under the name of the array.
func fieldsOf(n *yaml.Node) []field {
	var out []field
	var walk func(name string, n *yaml.Node)
	walk = func(name string, n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				sub := n.Content[i].Value
				if name != "" {
					sub = name + "." + sub
				}
				walk(sub, n.Content[i+1])
			}
		case yaml.SequenceNode:
			for _, e := range n.Content {
				walk(name, e)
			}
		default:
			f := field{name: name, text: n.Value}
			switch n.ShortTag() {
			case "!!int", "!!float":
				f.kind = event.Number
			case "!!bool":
				f.kind = event.Bool
			case "!!null":
				f.kind, f.text = event.Null, ""
			}
			out = append(out, f)
		}
	}
	walk("", n)
	return out
}

func toEvent(n *yaml.Node, reg *event.Registry) *event.Event {
	ev := &event.Event{}
	for _, f := range fieldsOf(n) {
		id, _ := reg.Intern(f.name)
		ev.Fields = append(ev.Fields, event.Field{ID: id, Value: f.text, Kind: f.kind})
	}
	return ev
}

func fixtureNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures, "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", fixtures, err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yml"))
	}
	return names
}

// TestPageNamesFixtures keeps docs/sigma.md and the fixtures together: every
// fixture stands in the table, every line has one, and none is made up.
func TestPageNamesFixtures(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/sigma.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([a-z0-9_]+)`")
	named := map[string]bool{}
	inside := false // a table of the specification
	for i, line := range strings.Split(string(page), "\n") {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")
		header := strings.HasPrefix(line, "| The specification says")
		if inside = header || inside && len(cells) > 2; !inside || header || strings.HasPrefix(line, "|---") {
			continue
		}
		list := quoted.FindAllStringSubmatch(cells[len(cells)-2], -1)
		if len(list) == 0 || len(cells) != 6 {
			t.Errorf("line %d of the page names no fixture or has not four columns: %s", i+1, line)
		}
		for _, m := range list {
			named[m[1]] = true
		}
	}
	var listed []string
	for name := range named {
		listed = append(listed, name)
	}
	slices.Sort(listed)
	if names := fixtureNames(t); !reflect.DeepEqual(listed, names) {
		for _, n := range names {
			if !named[n] {
				t.Errorf("fixture %s does not stand in docs/sigma.md", n)
			}
		}
		for _, n := range listed {
			if !slices.Contains(names, n) {
				t.Errorf("docs/sigma.md names the fixture %s, which is not there", n)
			}
		}
	}
}
