package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pack "icewatch/collectors/fleet/extension/extensiontest"
)

// TestPlugins checks a package before it goes out, finds the hosts that are named, and tells what came of each.
func TestPlugins(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "depth.tar.gz")
	if err := os.WriteFile(good, pack.Script(t, "name: depth\nversion: 1.0.0\nformat: influx", "echo depth value=1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, map[string]string{
		"POST " + pluginsPath:            `{"name":"depth","version":"1.0.0","sha256":"abc"}`,
		"GET " + pluginsPath:             `{"items":[{"name":"depth","kind":"uploaded","versions":["1.0.0"],"hosts":2,"running":1,"failing":1,"stopped":0,"samples_minute":60}]}`,
		"GET " + pluginsPath + "/depth":  `{"name":"depth","packages":[{"version":"1.0.0","sha256":"0123456789abcdef0","manifest":{"run":"interval","format":"influx","programs":{"linux":"bin/run"}}}],"hosts":[{"host":"A","name":"web1","state":"failing","version":"1.0.0","error":"exit status 3","process":{"restarts":4,"errors":5,"cpu_percent":1.5,"memory_bytes":2097152}}]}`,
		"GET /api/v1/fleet/hosts":        `{"items":[{"id":"A","name":"web1","kind":"agent"},{"id":"B","name":"web2","kind":"agent"},{"id":"C","name":"web2","kind":"agent"},{"id":"S","name":"scan","kind":"scanner"}]}`,
		"POST /api/v1/fleet/jobs":        `{"items":[{"id":"J1"}]}`,
		"GET /api/v1/fleet/jobs/J1":      `{"id":"J1","results":[{"agent":"A","host":"web1","state":"done","text":"version 1.0.0 is installed"}]}`,
		"DELETE " + pluginsPath + "/d/2": ``,
	})
	run := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, errs := call(t, s.URL, nil, "", args...); code != want || !strings.Contains(out+errs, says) {
			t.Errorf("%v: exit %d: %s%s, want %d and %q", args, code, out, errs, want, says)
		}
	}
	run(0, "depth 1.0.0: interval, influx, for linux; 2 files", "plugins", "check", good)
	run(0, "depth 1.0.0 is uploaded and signed", "plugins", "upload", good)
	run(1, "no gzip", "plugins", "upload", put(t, "bad.tar.gz", "PK"))
	run(0, "uploaded  1.0.0", "plugins", "list")
	run(0, "exit status 3", "plugins", "show", "depth")
	before := len(s.body)
	run(0, "web1  done  version 1.0.0 is installed", "plugins", "install", "depth", "--host", "web1", "--version", "1.0.0")
	var sent map[string]any
	for _, b := range s.body[before:] {
		if b != "" {
			if err := json.Unmarshal([]byte(b), &sent); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fmt.Sprint(sent["hosts"]) != "[A]" || sent["kind"] != "plugin-install" || sent["plugin"] != "depth" || sent["version"] != "1.0.0" {
		t.Errorf("%v", sent)
	}
	run(2, "on which hosts", "plugins", "remove", "depth")
	run(1, "2 hosts are called", "plugins", "stop", "depth", "--host", "web2")
	run(1, "no host", "plugins", "stop", "depth", "--host", "mail")
}

// TestProfiles lists profiles, and takes them out and in as YAML.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET " + profilesPath:                `{"items":[{"id":"P1","name":"web","tenant":"egov","labels":["role=web"],"plugins":["depth"],"templates":[{"template":"nginx"}],"hosts":3}]}`,
		"GET " + profilesPath + "/P1/export": `{"document":"name: web\n"}`,
		"POST " + profilesPath + "/import":   `{"id":"P1","name":"web","revision":2}`,
	})
	for want, args := range map[string][]string{
		"P1  web   egov    role=web  depth     nginx      3": {"profiles", "list"},
		"name: web\n":         {"profiles", "export", "P1"},
		"P1  web  revision 2": {"-t", "egov", "profiles", "import", put(t, "web.yaml", "name: web\n")},
	} {
		if code, out, errs := call(t, s.URL, nil, "", args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%v: exit %d: %s%s, want %q", args, code, out, errs, want)
		}
	}
	if code, _, errs := call(t, s.URL, nil, "", "profiles", "import", put(t, "x.yaml", "")); code != exitUsage || !strings.Contains(errs, "--tenant") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
