package ruletest

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"icewatch/rules"
	"icewatch/soc/intake"
)

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	f("cases:\n- {nome: x}\n", "line 2: field nome not found")
	f("cases:\n- {name: x, at: noon, lines: [a]}\n", `case "x": at: "noon" is no clock`)
	f("cases:\n- {name: x, steps: [{line: a}, {}]}\n", `case "x": step 2 needs either line or event`)
	f("cases:\n- {name: x, steps: [{line: a, event: {b: c}}]}\n", `case "x": step 1 needs either line or event`)
	f("cases:\n- {name: x, steps: [{line: a, every: soon}]}\n", "line 2")
}

// Steps may overlap: lines leave in the order of time, each with its own, and
// the last one not behind the moment that is asked for.
func TestLinesOfAStage(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte(`
items: [{name: 'web{id}', addresses: ['{net}.1.1']}]
cases:
- name: a
  at: '02:30'
  steps:
  - {line: '<13>{stamp} web{id} a: {n} {out}.9 {net}.1.1', repeat: 3, every: 10s}
  - {line: '{"t":"{time}","e":{epoch},"d":"{date} {clock}","c":"{clf}"}', after: -15s}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := &f.Cases[0]
	if got := c.Length(); got != 20*time.Second {
		t.Errorf("length %s", got)
	}
	zone := time.FixedZone("UTC+8", 8*3600)
	s := &Stage{Net: "10.9", Out: "198.18.3", ID: "-3", Tenant: "t"}
	lines, err := s.Lines(c, time.Date(2026, 3, 2, 2, 29, 59, 0, zone))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, l.Text)
	}
	want := []string{
		"<13>Mar  1 02:30:00 web-3 a: 1 198.18.3.9 10.9.1.1",
		`{"t":"2026-02-28T18:30:05.000Z","e":1772303405.000,"d":"2026-03-01 02:30:05","c":"01/Mar/2026:02:30:05 +0800"}`,
		"<13>Mar  1 02:30:10 web-3 a: 2 198.18.3.9 10.9.1.1",
		"<13>Mar  1 02:30:20 web-3 a: 3 198.18.3.9 10.9.1.1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if a, b := Format(got[0]), Format(got[1]); a != intake.Syslog || b != intake.JSON {
		t.Errorf("formats %d and %d", a, b)
	}
	items := s.Items(f, c)
	if len(items) != 1 || items[0].Name != "web-3" || items[0].Addresses[0] != "10.9.1.1" || items[0].Criticality != 3 || items[0].Class != "host" {
		t.Errorf("items %+v", items)
	}
}

func TestEventsAreNoLines(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte("cases:\n- {name: x, steps: [{event: {a: b}}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(Stage).Lines(&f.Cases[0], Start); err == nil || !strings.Contains(err.Error(), "step 1") {
		t.Errorf("%v", err)
	}
}

// Who looks for a scenario finds it in the documentation, with its chain.
func TestScenariosAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(rules.FS, "scenarios/*.test.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(rules.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, want := range []string{"| `" + strings.TrimSuffix(path.Base(file), ".test.yml") + "` |", "**`" + f.Rule + "`**"} {
			if !strings.Contains(string(doc), want) {
				t.Errorf("docs/scenarios.md does not have %s", want)
			}
		}
	}
}
