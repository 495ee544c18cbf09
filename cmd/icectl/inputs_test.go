package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const twoInputs = `{"items":[{"id":"input-core-abc","name":"core","kind":"kafka","tenant":"tax","enabled":true,"settings":{"brokers":["k:9092"]},"secrets_set":["password"],"health":{"state":"error","error":"away","received":7}},
{"id":"input-old-def","name":"old","kind":"ftp","enabled":false,"settings":{},"secrets_set":[],"health":{"state":"off"}}],"next":""}`

func TestInputsListAndGet(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /api/v1/inputs": twoInputs})
	code, out, errs := call(t, s.URL, nil, "", "inputs", "list", "--kind", "kafka")
	if code != 0 || !strings.Contains(out, "core") || !strings.Contains(out, "away") || !strings.Contains(out, "paused") || !strings.Contains(s.asked[0], "kind=kafka") {
		t.Fatalf("exit %d: %s%s %v", code, out, errs, s.asked)
	}
	code, out, _ = call(t, s.URL, nil, "", "inputs", "get", "core")
	if want := "version: 1\ninputs:\n  - name: core\n    kind: kafka\n    tenant: tax\n    enabled: true\n    settings:\n      brokers:\n        - k:9092\n    secrets:\n      - password\n"; code != 0 || out != want {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	if code, _, errs = call(t, s.URL, nil, "", "inputs", "get", "nothing"); code != 1 || !strings.Contains(errs, `no input "nothing"`) {
		t.Fatalf("exit %d: %s", code, errs)
	}
}

func TestInputsApply(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"POST /api/v1/inputs/import": `{"created":["core"],"updated":[],"unchanged":["files"],"waiting":{"core":"password"},"failed":{"bad":"settings.brokers: it is missing"}}`})
	dir := t.TempDir()
	for name, text := range map[string]string{"core.yml": "name: core\nkind: kafka\nsettings:\n  brokers: [k:9092]\n", "more.yaml": "version: 1\ninputs:\n- {name: files, kind: filetail}\n- {name: bad, kind: kafka}\n", "notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := call(t, s.URL, map[string]string{"PW": "hunter2"}, "", "inputs", "apply", dir, "--dry-run", "--secret", "core/sasl.password=env:PW")
	if code != 1 || !strings.Contains(out, "created   core  (paused: it waits for its secrets password)") || !strings.Contains(out, "refused   bad: settings.brokers") || !strings.Contains(out, "dry run") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if !strings.Contains(s.asked[0], "dry_run=true") || !strings.Contains(s.body[0], `"sasl":{"password":"hunter2"}`) || strings.Count(s.body[0], `"name"`) != 3 {
		t.Errorf("sent %s %s", s.asked[0], s.body[0])
	}
	f := func(want string, args ...string) {
		t.Helper()
		code, out, errs := call(t, s.URL, nil, "", append([]string{"inputs", "apply"}, args...)...)
		if code == 0 || !strings.Contains(out+errs, want) {
			t.Errorf("exit %d: %s%s, want %q", code, out, errs, want)
		}
	}
	f("list of processes", dir, "--secret", "core/password=hunter2")
	f("not set", dir, "--secret", "core/password=env:NONE")
	f("no input", dir, "--secret", "other/password=@"+filepath.Join(dir, "notes.txt"))
	f("no inputs", t.TempDir())
	wrong := filepath.Join(t.TempDir(), "wrong.yml")
	if err := os.WriteFile(wrong, []byte("nam: core\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("nam", wrong)
}

func TestInputsTryAndDelete(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /api/v1/inputs": twoInputs,
		"POST /api/v1/inputs/try":              `{"ok":false,"steps":["connected"],"error":"signing in: refused","records":["x"],"read":[{"text":"x\u001b[31m","read":{"log_type":"","dataset":"generic"}}]}`,
		"DELETE /api/v1/inputs/input-core-abc": ""})
	code, out, errs := call(t, s.URL, nil, "", "inputs", "try", "core")
	if code != 1 || !strings.Contains(out, "ok      connected") || !strings.Contains(out, "failed  signing in") || !strings.Contains(out, `[generic] x\x1b[31m`) {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if last := s.body[len(s.body)-1]; !strings.Contains(last, `"id":"input-core-abc"`) {
		t.Errorf("sent %s", last)
	}
	if code, out, errs = call(t, s.URL, nil, "", "inputs", "delete", "core"); code != 0 || !strings.Contains(out, "restore") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	code, _, errs = call(t, s.URL, nil, "name: a\nkind: k\n---\n", "inputs", "try", "-", "--name", "b")
	if code != 2 || !strings.Contains(errs, "--name") {
		t.Fatalf("exit %d: %s", code, errs)
	}
}
