package policy_test

import (
	"io/fs"
	"strings"
	"testing"

	"icewatch/detections/policy"
	"icewatch/rules"
)

// shipped are the suite's own policies with their tests.
func shipped(t *testing.T) []policy.File {
	t.Helper()
	var files []policy.File
	err := fs.WalkDir(rules.FS, "policy", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(rules.FS, p)
		files = append(files, policy.File{Source: "builtin", Path: p, Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestShippedPoliciesPassTheirTests runs the policies' own tests as opa test does.
func TestShippedPoliciesPassTheirTests(t *testing.T) {
	t.Parallel()
	results, err := policy.Test(t.Context(), shipped(t), policy.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) < 10 {
		t.Errorf("%d tests: there are more", len(results))
	}
	for _, r := range results {
		if r.Failed || r.Skipped {
			t.Error(r)
		}
	}
}

func TestTestsThatFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, module, want string }{
		{"a test that fails, with what it printed", "test_a if {\n\tprint(\"why\")\n\tfalse\n}", "own_test.rego:2: own_test.test_a failed\n    why"},
		{"one that is undefined", "test_a if input.nothing", "test_a failed"},
		{"one still to do", "todo_test_a if false", "is still to do"},
		{"a conflict", "x := 1 if true\nx := 2 if true\ntest_a if x == 1", "conflict"},
		{"the network", "test_a if http.send({\"method\": \"get\", \"url\": \"http://x\"})", "http.send"},
		{"no Rego", "test_a if {", "own_test.rego"},
	} {
		results, err := policy.Test(t.Context(), []policy.File{{Source: "own", Path: "own_test.rego", Data: []byte("package own_test\n" + c.module + "\n")}}, policy.Keys{})
		text := ""
		if err != nil {
			text = err.Error()
		}
		for _, r := range results {
			text += r.String() + "\n"
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, text, c.want)
		}
	}
}
