package baseline

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScript checks a machine's files, brings them to the baseline, and finds
// nothing to do then.
func TestScript(t *testing.T) {
	t.Parallel()
	list, err := BuiltIn()
	if err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	root := t.TempDir()
	sshd := "# PermitRootLogin no\nPort 22\npermitrootlogin yes\nMaxAuthTries 4\nMatch User backup\n  PermitRootLogin yes\n"
	for name, text := range map[string]string{"etc/ssh/sshd_config": sshd, "etc/login.defs": "PASS_MAX_DAYS 99999\nUMASK\t\t022\n", "etc/shadow": "root:*:1::::::\n",
		"proc/sys/net/ipv4/tcp_syncookies": "1\n", "proc/sys/net/ipv4/conf/all/accept_redirects": "1\n", "proc/sys/net/ipv4/conf/all/accept_source_route": "0\n"} {
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(t.TempDir(), "b.sh")
	if err := os.WriteFile(script, []byte(list[0].Script()), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(mode string) (string, int) {
		t.Helper()
		cmd := exec.Command("sh", script, mode)
		cmd.Env = append(os.Environ(), "ROOT="+root)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := run("check")
	if code != 1 || !strings.Contains(out, "FAIL     ssh-no-root") || !strings.Contains(out, "pass     ssh-attempts") || !strings.Contains(out, "FAIL     shadow-mode") ||
		!strings.Contains(out, "pass     syncookies") || !strings.Contains(out, "FAIL     no-redirects") {
		t.Fatalf("%d\n%s", code, out)
	}
	if text, _ := os.ReadFile(filepath.Join(root, "etc/ssh/sshd_config")); string(text) != sshd {
		t.Error("check changed a file")
	}
	if out, code = run("apply"); code != 0 || !strings.Contains(out, "0 failed") {
		t.Fatalf("%d\n%s", code, out)
	}
	text, _ := os.ReadFile(filepath.Join(root, "etc/ssh/sshd_config"))
	if !strings.Contains(string(text), "PermitRootLogin no\n") || strings.Contains(string(text), "permitrootlogin yes") || !strings.HasSuffix(string(text), "Match User backup\n  PermitRootLogin yes\n") || !strings.Contains(string(text), "Port 22\n") {
		t.Errorf("%s", text)
	}
	if before, _ := os.ReadFile(filepath.Join(root, "etc/ssh/sshd_config.icewatch-before")); string(before) != sshd {
		t.Error("what was before is not kept")
	}
	if out, code = run("check"); code != 0 || strings.Contains(out, "FAIL") {
		t.Fatalf("%d\n%s", code, out)
	}
	if out, code = run("apply"); code != 0 || !strings.Contains(out, "0 changed, 0 failed") {
		t.Fatalf("%d\n%s", code, out)
	}
	if _, code = run("else"); code != 2 {
		t.Error("any word is taken for a mode")
	}
}

// TestParseRefuses what a shell could take for more than text.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const title = "title: {zh: z, en: e}"
	for _, control := range []string{
		"{id: a, " + title + ", file: /etc/x, key: K, value: '$(id)'}", "{id: a, " + title + ", file: '/etc/x;id', key: K, value: v}", "{id: a, " + title + ", file: /etc/../x, key: K, value: v}",
		"{id: a, " + title + ", file: /etc/x, key: 'K/', value: v}", "{id: a, " + title + ", file: /etc/x, mode: '777'}", "{id: a, " + title + ", sysctl: 'net;id', value: '1'}",
		"{id: a, " + title + ", file: /etc/x}", "{id: 'a b', " + title + ", file: /etc/x, key: K, value: v}", "{id: a, file: /etc/x, key: K, value: v}", "{id: a, " + title + ", file: /etc/x, key: K, value: v, what: x}",
		"{id: a, " + title + ", file: /etc/x, key: K, value: v, reload: 'x;id'}",
	} {
		if _, err := Parse([]byte("name: n\ntitle: {zh: z, en: e}\ncontrols:\n  - " + control + "\n")); err == nil {
			t.Errorf("%s is taken", control)
		}
	}
}
