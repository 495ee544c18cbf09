package rulecli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBuiltinRules is the rule repository's own gate: no finding, not even of the
// strict demands on metadata nor a field without a name, and every rule with
// positive and negative cases that pass.
func TestBuiltinRules(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if n, err := Lint(&out, &out, nil, LintOptions{Strict: true}); err != nil || n != 0 || strings.Contains(out.String(), " is not in the registry of fields") {
		t.Errorf("lint: %d findings, %v\n%s", n, err, out.String())
	}
	out.Reset()
	// The share of mutants only ever goes up: with the rules' tests, this number does.
	if n, err := Test(&out, nil, Gates{Mutate: true, Least: 95, Near: true, Distinct: true}); err != nil || n != 0 {
		t.Errorf("test: %d failures, %v\n%s", n, err, out.String())
	}
}

const proc = "title: Whoami <run>\nid: r1\nlogsource: {product: windows, category: process_creation}\ndetection:\n  s: {'Image|endswith': '\\whoami.exe'}\n  condition: s\n"

func TestMatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules/a.yml", proc)
	write(t, dir, "rules/sub/b.yaml", "title: Any\nid: r2\nlogsource: {product: windows}\ndetection:\n  s: {a.b: [1, 2]}\n  k: [needle]\n  condition: s or k\n")
	write(t, dir, "rules/bad.yml", "title: Bad\nid: r3\nlogsource: {product: windows}\ndetection:\n  s: {'a|zap': 1}\n  condition: s\n")
	write(t, dir, "rules/c.yml", "title: Base\nid: r4\nname: base\nlogsource: {product: windows}\ndetection:\n  s: {logon: failed}\n  condition: s\n---\n"+
		"title: Three\nid: r5\ncorrelation:\n  type: event_count\n  rules: [base]\n  group-by: [host]\n  timespan: 1m\n  condition: {gte: 3}\n")
	events := strings.Join([]string{
		`{"Image":"C:\\Windows\\whoami.exe","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1}`,
		``,
		`not json`,
		`{"Image":"C:\\Windows\\WHOAMI.exe","Channel":"Microsoft-Windows-Sysmon/Operational","EventID":11}`,
		`{"a":{"b":[3,2]}}`,
		`{"x":["y",{"z":"a Needle"}]}`,
		`{"logon":"failed","host":"h","@timestamp":"2026-01-01T00:00:01Z"}`,
		`{"logon":"failed","host":"h","@timestamp":"2026-01-01T00:00:02Z"}`,
		`{"logon":"failed","host":"h","@timestamp":"2026-01-01T00:00:03Z"}`,
		`{"Image":"c:\\whoami.exe"}`,
	}, "\n")
	plain := write(t, dir, "events.jsonl", events)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(events))
	_ = z.Close()
	compressed := write(t, dir, "events.bin", packed.String())

	line := func(n, rule, title string) string {
		return `{"event":` + n + `,"rule":"` + rule + `","title":"` + title + `"}` + "\n"
	}
	first, other := line("0", "r1", "Whoami <run>"), line("3", "r1", "Whoami <run>")
	rest := line("4", "r2", "Any") + line("5", "r2", "Any") + line("8", "r5", "Three") + line("9", "r1", "Whoami <run>")
	f := func(events string, routing bool, want string, threads ...int) {
		t.Helper()
		var out, errs bytes.Buffer
		if err := Match(&out, &errs, MatchOptions{Rules: []string{filepath.Join(dir, "rules")}, Events: events, Routing: routing, Threads: max(0, slices.Max(append(threads, 0)))}); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("routing %v: got\n%swant\n%s", routing, out.String(), want)
		}
		for _, said := range []string{"events: 8\n", "not JSON objects: 1\n", "rules loaded: 4\n", "rules rejected: 1\n", "bad.yml:5: unknown modifier \"zap\"", "line 2 is not a JSON object: offset 0: a JSON object was expected, not 'n'", "seconds: "} {
			if !strings.Contains(errs.String(), said) {
				t.Errorf("the summary lacks %q:\n%s", said, errs.String())
			}
		}
	}
	f(plain, false, first+other+rest)
	f(plain, false, first+other+rest, 3)
	f(compressed, false, first+other+rest)
	f(plain, true, first+rest)
}

func TestMatchErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "a.yml", proc)
	f := func(opts MatchOptions, want string) {
		t.Helper()
		err := Match(&bytes.Buffer{}, &bytes.Buffer{}, opts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", opts, err, want)
		}
	}
	f(MatchOptions{Rules: []string{filepath.Join(dir, "none")}, Events: rules}, "none")
	f(MatchOptions{Rules: []string{rules}, Events: filepath.Join(dir, "none.jsonl")}, "none.jsonl")
	f(MatchOptions{Rules: []string{rules}, Events: rules, Threads: -1}, "--threads -1: a number from 1 to 256")
	f(MatchOptions{Rules: []string{rules}, Events: rules, Threads: 257}, "--threads 257")
	f(MatchOptions{Rules: []string{rules}, Events: rules, Bench: -time.Second}, "--bench-time -1s: a duration")
	f(MatchOptions{Rules: []string{rules}, Events: write(t, dir, "empty.jsonl", "\n\n"), Bench: time.Millisecond}, "there is no event in")
}

// TestThreads compares one worker with several over many batches, with a
// correlation whose firings depend on the order of the events.
func TestThreads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "a.yml", proc+"---\n"+
		"title: Base\nid: r4\nname: base\nlogsource: {product: windows}\ndetection:\n  s: {logon: failed}\n  condition: s\n---\n"+
		"title: Many\nid: r5\ncorrelation:\n  type: value_count\n  rules: [base]\n  group-by: [host]\n  timespan: 10s\n  condition: {gte: 3, field: user}\n")
	var b strings.Builder
	for i := range 30_000 {
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 700 * time.Millisecond).Format(time.RFC3339Nano)
		fmt.Fprintf(&b, "{\"logon\":\"failed\",\"host\":\"h%d\",\"user\":\"u\\u00e9%d\",\"@timestamp\":%q,\"Image\":\"C:\\\\%d\\\\whoami.exe\"}\n", i%7%3, i%11, at, i%2)
		if i%1000 == 0 {
			b.WriteString("\nbroken\n")
		}
	}
	events := write(t, dir, "e.jsonl", b.String())
	run := func(threads int) (string, string) {
		var out, errs bytes.Buffer
		if err := Match(&out, &errs, MatchOptions{Rules: []string{rules}, Events: events, Threads: threads}); err != nil {
			t.Fatal(err)
		}
		said, _, _ := strings.Cut(errs.String(), "seconds: ")
		return out.String(), said
	}
	want, said := run(1)
	if strings.Count(want, `"r1"`) != 30_000 || strings.Count(want, `"r5"`) < 100 || !strings.Contains(said, "not JSON objects: 30\n") {
		t.Fatalf("one thread: %d lines, %s", strings.Count(want, "\n"), said)
	}
	for _, threads := range []int{2, 5} {
		if got, also := run(threads); got != want || also != said {
			t.Errorf("%d threads: %d bytes instead of %d, and\n%s", threads, len(got), len(want), also)
		}
	}
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

// TestOutputFails ends early, whoever still reads or matches.
func TestOutputFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "a.yml", proc)
	events := write(t, dir, "e.jsonl", strings.Repeat(`{"Image":"C:\\whoami.exe"}`+"\n", 100_000))
	for _, threads := range []int{1, 3} {
		err := Match(&failing{after: 200_000}, &bytes.Buffer{}, MatchOptions{Rules: []string{rules}, Events: events, Threads: threads})
		if err == nil || !strings.Contains(err.Error(), "write matches: disk full") {
			t.Errorf("%d threads: %v", threads, err)
		}
	}
}

func TestBench(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "a.yml", proc)
	events := write(t, dir, "e.jsonl", strings.Repeat(`{"Image":"C:\\whoami.exe"}`+"\n"+`{"Image":"C:\\ls.exe","x":[1,2]}`+"\n\nbroken\n", 700))
	for _, threads := range []int{1, 2} {
		var out, errs bytes.Buffer
		if err := Match(&out, &errs, MatchOptions{Rules: []string{rules}, Events: events, Threads: threads, Bench: 10 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"events: 1400, 42000 bytes, 2.0 fields each\n", "rules: 1, routing off, threads: ", "without JSON decoding: ", "with JSON decoding: ",
			" bytes/s (", "700 matches a pass)\n", "matches of a plain run: 700\n", "live heap after compile: ", "peak memory: "} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%d threads: no %q in\n%s%s", threads, want, out.String(), errs.String())
			}
		}
	}
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := write(t, dir, "a.yml", proc)
	events := write(t, dir, "e.jsonl", `{"pad":"`+strings.Repeat("x", 3<<20)+`","Image":"\\whoami.exe"}`+"\n"+`{"Image":"\\whoami.exe"}`)
	var out, errs bytes.Buffer
	if err := Match(&out, &errs, MatchOptions{Rules: []string{rules}, Events: events}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d matches\n%s", n, errs.String())
	}
}

func TestLintFindsMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yml", proc+"icewatch: {colour: red}\n")
	write(t, dir, "b.yml", proc)
	write(t, dir, "p.rego", "package icewatch.priority\ndecision := {\n")
	var out bytes.Buffer
	n, err := Lint(&out, &out, []string{dir}, LintOptions{})
	if err != nil || n < 3 {
		t.Errorf("%d findings, %v", n, err)
	}
	for _, want := range []string{"a.yml:7: icewatch.colour is not known", "b.yml:1: id r1 is already used by", "p.rego:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no finding %q in\n%s", want, out.String())
		}
	}
}

func TestFailingCasesAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yml", proc)
	write(t, dir, "a.test.yml", `rule: r1
cases:
  - {name: should fire, match: true, steps: [{event: {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, Image: 'c:\ls.exe'}}]}
  - {name: should not, match: false, steps: [{event: {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, Image: 'c:\whoami.exe'}}]}
  - {name: whom, rule: r9, match: false, steps: [{event: {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, Image: x}}]}
  - {name: nothing said, steps: [{event: {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, Image: x}}]}
  - {name: fine, fires: [r1], steps: [{event: {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, Image: '\whoami.exe'}}]}
`)
	write(t, dir, "b.test.yml", "cases:\n  - {nome: x}\n")
	var out bytes.Buffer
	n, err := Test(&out, []string{dir}, Gates{})
	if err != nil || n != 6 {
		t.Errorf("%d failures, %v", n, err)
	}
	for _, want := range []string{`"should fire": the rule does not fire`, `"should not": the rule fires 1 times`, `rule "r9" is not in force`, "expects nothing", "nome", "has no negative test"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}

// TestLintFilters: a filter for one of the suite's own rules is in order, one
// for a rule that nobody has is not.
func TestLintFilters(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{"ssh_root_login": "", "nowhere": `the rule "nowhere", which it names, does not exist`} {
		dir := t.TempDir()
		text := "title: F\nid: f\nlogsource: {product: linux}\nfilter:\n  rules: [" + rule + "]\n  selection: {user.name: bob}\n  condition: not selection\n"
		write(t, dir, "f.yml", text)
		var out strings.Builder
		found, err := Lint(&out, &out, []string{dir}, LintOptions{})
		if err != nil || (found > 0) != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d findings, %v: %s", rule, found, err, out.String())
		}
	}
}
