package ruleset

import (
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/detections"
	"icewatch/detections/pipeline"
	"icewatch/soc/event"
)

const nativeRule = `title: N
id: 11111111-1111-4111-8111-111111111111
name: native
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\a.exe'}, condition: s}
`

const nativeCount = `title: C
id: 22222222-2222-4222-8222-222222222222
correlation:
  type: value_count
  rules: [native]
  group-by: [who]
  timespan: 1m
  condition: {gte: 2, field: Image}
  aliases: {who: {native: User}}
`

const namesPipeline = `name: names
transformations:
- {type: field_name_mapping, keep: true, mapping: {Image: process.executable, User: [user.name]}, rule_conditions: [{type: logsource, product: windows}]}
`

func lookedAt(t *testing.T, set *Set, reg *event.Registry, field, value string) bool {
	t.Helper()
	var ev event.Event
	id, _ := reg.Intern(field)
	ev.Fields = append(ev.Fields, event.Field{ID: id, Value: value})
	hit := false
	set.Program().NewMatcher().Match(&ev, func(int, func() []detections.Match) { hit = true })
	return hit
}

func TestPipelines(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"a.yml":               {Data: []byte(nativeRule)},
		"c.yml":               {Data: []byte(nativeCount)},
		"pipelines/names.yml": {Data: []byte(namesPipeline)},
	}
	bundle := Load([]Source{{Name: "x", FS: files}})
	reg := event.NewRegistry(0)
	set, problems := Compile(bundle, reg)
	if len(problems) > 0 || len(set.Detections()) != 1 || len(set.Correlations()) != 1 {
		t.Fatalf("%v, %d rules, %d correlations", problems, len(set.Detections()), len(set.Correlations()))
	}
	for _, field := range []string{"Image", "process.executable"} {
		if !lookedAt(t, set, reg, field, `C:\a.exe`) {
			t.Errorf("the rule does not look at %s", field)
		}
	}
	f := set.Detections()[0].Feeds[0]
	if len(f.GroupBy) != 1 || strings.Join(f.GroupBy[0], " ") != "user.name User" || strings.Join(f.Fields[0], " ") != "process.executable Image" {
		t.Errorf("the correlation looks at %q and %q", f.GroupBy, f.Fields)
	}

	reg = event.NewRegistry(0)
	set, problems = CompileWith(bundle, reg, Options{Native: true})
	if len(problems) > 0 || lookedAt(t, set, reg, "process.executable", `C:\a.exe`) || !lookedAt(t, set, reg, "Image", `C:\a.exe`) {
		t.Errorf("without pipelines: %v", problems)
	}

	refuse, err := pipeline.Parse([]byte("name: strict\ntransformations: [{type: rule_failure, message: not here}]"))
	if err != nil {
		t.Fatal(err)
	}
	set, problems = CompileWith(bundle, event.NewRegistry(0), Options{Pipelines: []*pipeline.Pipeline{refuse}})
	if len(set.Detections()) != 0 || len(problems) != 2 || !strings.Contains(problems[0].Reason, `pipeline "strict": transformation of line 2 (rule_failure): not here`) {
		t.Errorf("refused: %v", problems)
	}

	files["pipelines/names.yml"] = &fstest.MapFile{Data: []byte("transformations:\n- {type: nope}")}
	_, problems = Compile(Load([]Source{{Name: "x", FS: files}}), event.NewRegistry(0))
	if len(problems) != 1 || problems[0].String() != `x/pipelines/names.yml:2: the transformation type "nope" is unknown` {
		t.Errorf("a broken pipeline: %v", problems)
	}
}

// A broken table is named with its line, and what a folder says twice too; the
// rest of the table holds.
func TestTableFaults(t *testing.T) {
	t.Parallel()
	own := fstest.MapFS{"logsources.yml": {Data: []byte("logsources:\n- {product: windows, any: [{Channel: '*'}]}\n")}}
	f := func(text string, want ...string) {
		t.Helper()
		theirs := fstest.MapFS{"logsources.yml": {Data: []byte(text)}}
		_, problems := Compile(Load([]Source{{Name: "a", FS: own}, {Name: "b", FS: theirs}}), event.NewRegistry(0))
		got := make([]string, len(problems))
		for i, p := range problems {
			got[i] = p.String()
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
	f("logsources:\n- {product: windows, any: [{host.os.type: windows}]}\n")
	f("logsources:\n- {product: windows}\n", "b/logsources.yml:2: an entry needs product, category or service, and at least one alternative in any")
	f("logsources:\n- product: windows\n  any:\n  - {channel: '*'}\n  - {Channel: '*'}\n", "b/logsources.yml:5: the table has this alternative for product=windows already")
}

// What pipelines made of a rule stays as long as both stay.
func TestPipelinesAreCached(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a.yml": {Data: []byte(nativeRule)}, "pipelines/names.yml": {Data: []byte(namesPipeline)}}
	var cache Cache
	compiled := func() *Rule {
		set, problems := cache.Compile(Load([]Source{{Name: "x", FS: files}}), event.NewRegistry(0), Options{})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return set.Detections()[0]
	}
	first := compiled()
	files["b.yml"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(nativeRule, "1", "3"))}
	if again := compiled(); again.Rule != first.Rule {
		t.Error("a rule that did not change went through the pipelines again")
	}
	files["pipelines/names.yml"] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(namesPipeline, "executable", "name"))}
	if again := compiled(); again.Detection.Selections[0].Root.Items[0].Field != "process.name" {
		t.Error("the changed pipeline is not in force")
	}
}
