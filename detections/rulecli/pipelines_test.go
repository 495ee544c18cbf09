package rulecli

import (
	"bytes"
	"strings"
	"testing"
)

// A rule in native names meets an event in ECS through the suite's pipelines
// or through a file, and not without.
func TestMatchPipelines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules/a.yml", proc)
	write(t, dir, "rules/pipelines/unused.yml", "name: never applied by itself\ntransformations: [{type: rule_failure, message: x}]\n")
	events := write(t, dir, "events.jsonl", strings.Join([]string{
		`{"Image":"C:\\whoami.exe"}`,
		`{"process":{"executable":"C:\\whoami.exe"}}`,
		`{"winlog":{"event_data":{"Image":"C:\\whoami.exe"}}}`,
		`{"own":"C:\\whoami.exe"}`,
	}, "\n"))
	own := write(t, dir, "own.yml", "name: own\ntransformations: [{type: field_name_mapping, keep: true, mapping: {Image: own}}]\n")
	f := func(want string, pipelines ...string) {
		t.Helper()
		var out, errw bytes.Buffer
		if err := Match(&out, &errw, MatchOptions{Rules: []string{dir + "/rules"}, Events: events, Pipelines: pipelines}); err != nil {
			t.Fatal(err)
		}
		got := ""
		for line := range strings.Lines(out.String()) {
			got += line[len(`{"event":`):][:1]
		}
		if got != want {
			t.Errorf("%q: events %s match, want %s\n%s", pipelines, got, want, errw.String())
		}
	}
	f("0")
	f("0", "none")
	f("012", "ecs")
	f("03", own)
	f("0123", "ecs", own)

	broken := write(t, dir, "broken.yml", "name: b\ntransformations:\n- {type: nope}\n")
	for name, want := range map[string]string{broken: broken + ":3: the transformation type", dir + "/nowhere.yml": "--pipeline is none, ecs or a file"} {
		if err := Match(&bytes.Buffer{}, &bytes.Buffer{}, MatchOptions{Rules: []string{dir + "/rules"}, Events: events, Pipelines: []string{name}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
