package peers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// Elasticsearch is a server of one node on a port and a folder that it keeps
// when it is killed and started again.
type Elasticsearch struct {
	URL string // where it answers

	t    testing.TB
	args []string
	cmd  *exec.Cmd
	done <-chan error
	log  *logFile
}

// StartElasticsearch starts the server that elasticsearch.sh assembled, or that
// lies in the folder that ICEWATCH_ELASTICSEARCH names. It needs some ten
// seconds and 512 MiB.
func StartElasticsearch(t testing.TB) *Elasticsearch {
	t.Helper()
	home := os.Getenv("ICEWATCH_ELASTICSEARCH")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "elasticsearch-*")); len(found) > 0 {
			home = slices.Max(found)
		}
	}
	if home == "" {
		t.Skip("Elasticsearch is not assembled: test/peers/elasticsearch.sh does that (make test-peers)")
	}
	java := Program(t, "java")
	port := FreePort(t)
	s := &Elasticsearch{URL: "http://127.0.0.1:" + port, t: t}
	s.args = []string{java, "-Xmx512m", "-p", filepath.Join(home, "lib"), "--add-modules", "jdk.net,ALL-MODULE-PATH", "-cp", filepath.Join(home, "classes"),
		"Peer", home, filepath.Join(t.TempDir(), "data"), port, FreePort(t)}
	s.Start()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.end(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("Elasticsearch said:\n%s", s.log.tail())
		}
	})
	return s
}

// Start starts it again after Kill and waits until it answers.
func (s *Elasticsearch) Start() {
	s.t.Helper()
	out, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.log = &logFile{out.Name()}
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func(cmd *exec.Cmd) { done <- cmd.Wait(); close(done) }(s.cmd)
	s.done = done
	await(s.t, 2*time.Minute, "Elasticsearch", s.log, done, func() error {
		res, err := http.Get(s.URL + "/_cluster/health?wait_for_status=yellow&timeout=1s")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the health is answered with %s", res.Status)
		}
		return nil
	})
}

// Kill ends the server as a crash does.
func (s *Elasticsearch) Kill() { s.end(syscall.SIGKILL) }

func (s *Elasticsearch) end(how syscall.Signal) {
	_ = syscall.Kill(-s.cmd.Process.Pid, how)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.done
	}
	s.cmd = nil
}
