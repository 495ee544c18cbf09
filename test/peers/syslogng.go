package peers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// SyslogNG starts a real syslog-ng with the statements of a configuration, the
// version's line apart. It is the one that test/peers/syslogng.sh unpacked, or the
// system's own.
func SyslogNG(t testing.TB, statements string) {
	t.Helper()
	home := os.Getenv("XDG_CACHE_HOME")
	if home == "" {
		user, _ := os.UserHomeDir()
		home = filepath.Join(user, ".cache")
	}
	home = filepath.Join(home, "icewatch", "syslog-ng")
	program := filepath.Join(home, "usr/sbin/syslog-ng")
	var env, options []string
	if _, err := os.Stat(program); err == nil {
		modules, _ := filepath.Glob(filepath.Join(home, "usr/lib/syslog-ng/[0-9]*"))
		libraries := []string{filepath.Join(home, "usr/lib/syslog-ng")}
		for _, at := range []string{"lib", "usr/lib"} { // packages of before the two became one have both
			found, _ := filepath.Glob(filepath.Join(home, at, "*-linux-gnu*"))
			libraries = append(libraries, found...)
		}
		env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
		options = append(options, "--module-path="+strings.Join(modules, ":"))
	} else if program, err = exec.LookPath("syslog-ng"); err != nil {
		Missing(t, "syslog-ng is not there (test/peers/syslogng.sh unpacks it)")
	}
	version := exec.Command(program, "--version")
	version.Env = env
	said, err := version.CombinedOutput()
	_, number, ok := strings.Cut(string(said), "Config version: ")
	if err != nil || !ok {
		t.Fatalf("syslog-ng --version: %v: %s", err, said)
	}
	number, _, _ = strings.Cut(number, "\n")
	dir := t.TempDir()
	conf := filepath.Join(dir, "syslog-ng.conf")
	if err := os.WriteFile(conf, []byte("@version: "+strings.TrimSpace(number)+"\noptions { time-reopen(1); dns-cache(no); use-dns(no); };\n"+statements), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append(options, "--foreground", "--no-caps", "--stderr", "--cfgfile="+conf, "--persist-file="+filepath.Join(dir, "persist"),
		"--pidfile="+filepath.Join(dir, "pid"), "--control="+filepath.Join(dir, "control"))...)
	cmd.Env = env
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("syslog-ng: %s", log.String())
		}
	})
}
