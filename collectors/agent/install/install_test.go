//go:build linux

package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallAndUninstall(t *testing.T) {
	t.Parallel()
	o := Default()
	o.Root = t.TempDir()
	var out strings.Builder
	for range 2 { // Twice is once.
		if err := Install(t.Context(), o, &out); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(o.Root, unitPath)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ExecStart=/opt/icewatch-agent/icewatch-agent run --dir /var/lib/icewatch-agent --config /etc/icewatch-agent/agent.yaml", "NoNewPrivileges=yes", "ReadWritePaths=/var/lib/icewatch-agent /opt/icewatch-agent"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	// systemd itself says whether it understands every line, where it is there.
	if tool, err := exec.LookPath("systemd-analyze"); err == nil {
		copied := filepath.Join(t.TempDir(), Name+".service")
		whole := strings.ReplaceAll(string(text), o.Program, "/bin/true")
		if err := os.WriteFile(copied, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command(tool, "verify", copied).CombinedOutput()
		if strings.Contains(string(said), Name) {
			t.Errorf("%v: %s", err, said)
		}
	}
	for path, mode := range map[string]os.FileMode{o.Program: 0o755, o.Dir: 0o700, o.Config: 0o600} {
		info, err := os.Stat(filepath.Join(o.Root, path))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, err, info)
		}
	}
	if err := Uninstall(t.Context(), o, false, &out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the unit is left")
	}
	if _, err := os.Stat(filepath.Join(o.Root, o.Dir)); err != nil {
		t.Error("what was not sent is gone")
	}
	if err := Uninstall(t.Context(), o, true, &out); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.Root, o.Dir)); err == nil {
		t.Error("the folder is left")
	}
	o.Dir = "/var/lib/a b"
	if err := Install(t.Context(), o, &out); err == nil || !strings.Contains(err.Error(), `"/var/lib/a b"`) {
		t.Error(err)
	}
}
