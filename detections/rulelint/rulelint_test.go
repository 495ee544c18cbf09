package rulelint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"icewatch/detections/ruleset"
	"icewatch/soc/event"
)

func lint(t *testing.T, o Options, files map[string]string) []Finding {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	b := ruleset.Load([]ruleset.Source{{Name: "r", FS: fsys}})
	set, problems := ruleset.CompileWith(b, event.NewRegistry(0), ruleset.Options{NoPolicies: true})
	list, err := Lint(b, set, problems, o)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func rule(id, detection string) string {
	return fmt.Sprintf("title: T %s\nid: %s\nstatus: test\nlogsource: {product: linux}\ndetection:\n%s", id, id, detection)
}

const (
	one = "5a1f0000-0000-4000-8000-000000000001"
	two = "5a1f0000-0000-4000-8000-000000000002"
)

// TestChecks has one rule for each thing that is found, and one in which there
// is nothing.
func TestChecks(t *testing.T) {
	t.Parallel()
	fields := map[string]bool{"url.path": true, "user.name": true, "source.ip": true}
	for _, c := range []struct{ name, detection, check, words string }{
		{"fine", "  s: {url.path|contains: /admin, user.name: root}\n  f: {source.ip: 10.0.0.1}\n  condition: s and not f\n", "", ""},
		{"field", "  s: {url.pat: /admin}\n  condition: s\n", Field, `did you mean "url.path"`},
		{"case of a field", "  s: {User.Name: /admin}\n  condition: s\n", "", ""},
		{"unused", "  s: {user.name: root}\n  f: {source.ip: 10.0.0.1}\n  condition: s\n", Doubtful, "f"},
		{"never", "  s: {user.name: root}\n  condition: s and not s\n", Unreachable, "never met"},
		{"always", "  s: {user.name: root}\n  condition: s or not s\n", Unreachable, "by every event"},
		{"no effect", "  s: {user.name: root}\n  f: {source.ip: 10.0.0.1}\n  condition: s or (s and f)\n", Unreachable, `depend on selection "f"`},
		{"contradiction", "  s:\n    user.name: root\n    user.name|contains: oo\n    user.name|cased: admin\n  condition: s\n", Unreachable, "two different values"},
		{"slow regex", "  s: {url.path|re: '^[a-z]+.[0-9]$'}\n  condition: s\n", Slow, "regular expression"},
		{"regex beside a literal", "  s: {url.path|re: '^[a-z]+.[0-9]$', user.name: root}\n  condition: s\n", "", ""},
		{"slow search", "  k: ['*a?b*', long word]\n  condition: k\n", Slow, "all values"},
		{"search that is anchored", "  k: ['*abc?d*', long word]\n  condition: k\n", "", ""},
	} {
		list := lint(t, Options{Fields: fields}, map[string]string{"a.yml": rule(one, c.detection)})
		if c.check == "" && len(list) > 0 {
			t.Errorf("%s: %v", c.name, list)
		}
		if c.check != "" && !slices.ContainsFunc(list, func(f Finding) bool {
			return f.Check == c.check && strings.Contains(f.Message, c.words) && f.Path == "r/a.yml" && f.Line > 0
		}) {
			t.Errorf("%s: %v", c.name, list)
		}
	}
}

// TestDuplicates tells rules that ask the same from models of one shape.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a.yml": rule(one, "  s: {url.path: /a}\n  condition: s\n"), "b.yml": rule(two, "  s: {url.path: /a}\n  condition: s\n")}
	if list := lint(t, Options{}, files); len(list) != 1 || list[0].Check != Duplicate || list[0].Severity != Warning || list[0].Path != "r/b.yml" {
		t.Error(list)
	}
	files["b.yml"] = rule(two, "  s: {url.path: /b}\n  condition: s\n")
	if list := lint(t, Options{}, files); len(list) != 0 {
		t.Error(list)
	}
	if list := lint(t, Options{Strict: true}, files); !slices.ContainsFunc(list, func(f Finding) bool { return f.Check == Duplicate && f.Severity == Error }) {
		t.Error(list)
	}
}

// TestStrict demands metadata and mapping.
func TestStrict(t *testing.T) {
	t.Parallel()
	list := lint(t, Options{Strict: true}, map[string]string{"a.yml": rule(one, "  s: {url.path: /a}\n  condition: s\n")})
	for _, want := range []string{"name is missing", "description is missing", "references is missing", "GB/Z 20986", "technique", "tactic"} {
		if !slices.ContainsFunc(list, func(f Finding) bool { return strings.Contains(f.Message, want) }) {
			t.Errorf("%q is not among %v", want, list)
		}
	}
}

// TestSARIF writes what code scanning reads.
func TestSARIF(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Write(&out, "sarif", []Finding{{Path: "a.yml", Line: 3, Check: Slow, Severity: Warning, Message: "m"}}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version string
		Runs    []struct {
			Tool    struct{ Driver struct{ Name string } }
			Results []struct {
				RuleID, Level string
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	at := got.Runs[0].Results[0]
	if got.Version != "2.1.0" || at.RuleID != Slow || at.Level != "warning" || at.Locations[0].PhysicalLocation.Region.StartLine != 3 || at.Locations[0].PhysicalLocation.ArtifactLocation.URI != "a.yml" {
		t.Errorf("%+v", got)
	}
}
