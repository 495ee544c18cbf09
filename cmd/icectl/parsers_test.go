package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// try runs icectl with lines on its standard input.
func try(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, func(string) string { return "" }, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

const sshLine = "Nov 23 09:15:07 web-3 sshd[2219]: Failed password for invalid user admin from 203.0.113.9 port 42393 ssh2\n"

func TestParseNeedsNoServer(t *testing.T) {
	t.Parallel()
	code, out, summary := try(t, sshLine+"something unheard of\n", "parse", "-", "--zone", "UTC")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, summary)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var event map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &event); err != nil || len(lines) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	if event["source.ip"] != "203.0.113.9" || event["source.port"] != 42393.0 || event["event.outcome"] != "failure" {
		t.Errorf("%v", event)
	}
	if !strings.Contains(summary, "openbsd/openssh/auth") || !strings.Contains(summary, "(unrecognised)") || !strings.Contains(summary, "1 of 2 lines fell to a pack") {
		t.Errorf("summary %s", summary)
	}
	if code, _, errs := try(t, "", "parse", "-", "--zone", "Atlantis"); code != exitUsage || !strings.Contains(errs, "Asia/Shanghai") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestAPackIsMade drafts a pack for lines that none reads, and has its samples
// become what they should.
func TestAPackIsMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lines := "valve 3 moved to 40% by 10.1.2.3\nvalve 4 moved to 41% by 10.1.2.4\n"
	code, draft, errs := try(t, lines, "parsers", "suggest", "-")
	if code != exitOK || !strings.Contains(draft, "valve {number:int} moved to {number_2:int}% by {ip:ip}") {
		t.Fatalf("exit %d: %s%s", code, draft, errs)
	}
	draft = strings.NewReplacer("{ip:ip}", "{source.ip:ip}", "VENDOR", "Plant", "PRODUCT", "Boiler").Replace(draft)
	folder := filepath.Join(dir, "plant", "boiler")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pack.yml": draft, "samples.log": lines} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, _ := try(t, "", "parsers", "test", "--packs", dir); code != exitFailed || !strings.Contains(out, "plant/boiler/samples.log:1: it becomes") {
		t.Errorf("without golden events: exit %d: %s", code, out)
	}
	if code, out, errs := try(t, "", "parsers", "test", "--packs", dir, "--update"); code != exitOK {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := try(t, "", "parsers", "test", "--packs", dir); code != exitOK {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := try(t, "", "parsers", "explain", "valve 9 moved to 12% by 10.9.9.9", "--packs", dir); code != exitOK || !strings.Contains(out, "read by plant/boiler/type-1") || !strings.Contains(out, "10.9.9.9") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
