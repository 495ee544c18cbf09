package peers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Prometheus is a real Prometheus server.
type Prometheus struct {
	URL string
	Dir string
}

// StartPrometheus starts Debian's Prometheus with a configuration and flags
// beside those that give it a port and a folder.
func StartPrometheus(t testing.TB, config string, flags ...string) *Prometheus {
	t.Helper()
	path := Program(t, "prometheus")
	address := "127.0.0.1:" + FreePort(t)
	p := &Prometheus{URL: "http://" + address, Dir: t.TempDir()}
	file := filepath.Join(p.Dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(p.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, append([]string{"--config.file=" + file, "--web.listen-address=" + address, "--storage.tsdb.path=" + filepath.Join(p.Dir, "data"), "--log.level=warn"}, flags...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, p.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait(); close(done) }()
	said := &logFile{log.Name()}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("prometheus said:\n%s", said.tail())
		}
	})
	await(t, 30*time.Second, "prometheus", said, done, func() error {
		resp, err := http.Get(p.URL + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/-/ready answers %d", resp.StatusCode)
		}
		return nil
	})
	return p
}
