package rulecli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInit lays a repository out that meets all of its own gates, and changes
// nothing where it is called again.
func TestInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	var out bytes.Buffer
	if err := Init(&out, dir); err != nil {
		t.Fatal(err)
	}
	hook, err := os.Stat(filepath.Join(dir, "hooks", "pre-commit"))
	if err != nil || hook.Mode()&0o111 == 0 {
		t.Error("the hook cannot be run", err)
	}
	out.Reset()
	if n, err := Lint(&out, &out, []string{dir}, LintOptions{}); err != nil || n != 0 {
		t.Errorf("lint: %d, %v\n%s", n, err, out.String())
	}
	out.Reset()
	if n, err := Test(&out, []string{dir}, Gates{Near: true, Mutate: true, Least: 100, Distinct: true}); err != nil || n != 0 {
		t.Errorf("test: %d, %v\n%s", n, err, out.String())
	}
	rule := filepath.Join(dir, "sigma", "linux", "sudoers_include_added.yml")
	mine := write(t, dir, "sigma/linux/sudoers_include_added.yml", "title: mine\n")
	out.Reset()
	if err := Init(&out, dir); err != nil || !strings.Contains(out.String(), "0 created") {
		t.Error(err, out.String())
	}
	if text, _ := os.ReadFile(mine); mine != rule || string(text) != "title: mine\n" {
		t.Errorf("%s was overwritten: %s", rule, text)
	}
}

// TestGates shows what each of them finds.
func TestGates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yml", "title: A\nid: a\nname: a\nlogsource: {product: linux}\ndetection:\n  s: {user.name: root, event.outcome: success}\n  f: {source.ip: 10.0.0.1}\n  condition: s and not f\n")
	write(t, dir, "b.yml", "title: B\nid: b\nname: b\nlogsource: {product: linux}\ndetection:\n  s: {user.name: [daemon, bin], event.outcome: failure}\n  g: {source.ip: 10.0.0.2}\n  condition: not g and s\n")
	write(t, dir, "a.test.yml", `rule: a
set: {host.os.type: linux}
cases:
  - {name: root, match: true, steps: [{event: {user.name: root, event.outcome: success, source.ip: 10.0.0.9}}]}
  - {name: another, match: false, steps: [{event: {user.name: rooty, event.outcome: success, source.ip: 10.0.0.9}}]}
`)
	write(t, dir, "b.test.yml", `rule: b
set: {host.os.type: linux}
cases:
  - {name: daemon, match: true, steps: [{event: {user.name: daemon, event.outcome: failure}}]}
  - {name: another, match: false, steps: [{event: {user.name: root, event.outcome: success}}]}
`)
	var out bytes.Buffer
	n, err := Test(&out, []string{dir}, Gates{Near: true, Mutate: true, Least: 95, Distinct: true})
	if err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	for _, want := range []string{
		"b.yml:1: rule b: no negative case differs from a positive one in one field",
		"with several lists of values: a, b",
		"a.yml:6: rule a: no test fails with s.event.outcome dropped",
		"a.yml:8: rule a: no test fails with condition.not f dropped",
		"of the mutants are killed, below 95 %",
		"2 models, 1 distinct after literals are normalised",
		"1 of 2 with a negative case one field away",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "a: no test fails with s.user.name dropped") {
		t.Error("a mutant that a test kills is said to survive")
	}
}
