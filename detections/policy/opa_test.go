package policy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"icewatch/detections/policy"
)

// TestRealOPA holds the suite to OPA's own program, which test/peers/opa.sh
// builds and ICEWATCH_OPA names: the shipped policies pass `opa test`, and a
// bundle that `opa build` has signed is in force.
func TestRealOPA(t *testing.T) {
	t.Parallel()
	opa := os.Getenv("ICEWATCH_OPA")
	if opa == "" {
		const absent = "ICEWATCH_OPA names no opa: build one by test/peers/opa.sh"
		if os.Getenv("ICEWATCH_CI") == "1" {
			t.Fatal(absent)
		}
		t.Skip(absent)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(opa, args...).CombinedOutput(); err != nil {
			t.Fatalf("opa %v: %v\n%s", args, err, out)
		}
	}
	run("test", "../../rules/policy")

	dir, by := t.TempDir(), newSigner(t)
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(filepath.Join(dir, "src"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("src/p.rego", "package icewatch.priority\n\ndecision := {\"priority\": data.lists.urgent, \"reasons\": []}\n")
	write("src/data.json", `{"lists": {"urgent": "P1"}}`)
	out := filepath.Join(dir, "policy.tar.gz")
	run("build", "--bundle", filepath.Join(dir, "src"), "--revision", "r9", "--signing-alg", "ES256", "--signing-key", write("private.pem", by.private), "--output", out)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	s, problems := policy.New([]policy.File{{Source: "own", Path: "own/policy.tar.gz", Data: data}}, policy.Keys{Required: true, Keys: map[string]policy.Key{"ours": by.key}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := answer(t, s); got != "P1" {
		t.Errorf("got %s", got)
	}
	if p := s.Packages()[0]; p.Revision != "r9" || p.SignedBy != "ours" {
		t.Errorf("package %+v", p)
	}
}
