package peers

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Victoria is a VictoriaLogs or VictoriaMetrics server on a port and a folder
// that it keeps when it is killed and started again.
type Victoria struct {
	URL string // where it answers
	Dir string // where its data is

	t       testing.TB
	program string
	args    []string
	cmd     *exec.Cmd
	done    <-chan error
	log     *logFile
}

// StartVictoriaLogs starts a VictoriaLogs server as the lake needs it (it keeps
// 100 days, takes rows of 2,000 fields and adds nothing), with flags beside
// these.
func StartVictoriaLogs(t testing.TB, flags ...string) *Victoria {
	t.Helper()
	return startVictoria(t, "victoria-logs", append([]string{"-retentionPeriod=100d", "-inmemoryDataFlushInterval=1s", "-insert.maxFieldsPerLine=2000", "-defaultMsgValue="}, flags...))
}

// StartVictoriaMetrics starts a VictoriaMetrics server that keeps 100 days and
// a sample that is written twice once, with flags beside these.
func StartVictoriaMetrics(t testing.TB, flags ...string) *Victoria {
	t.Helper()
	return startVictoria(t, "victoria-metrics", append([]string{"-retentionPeriod=100d", "-inmemoryDataFlushInterval=1s", "-dedup.minScrapeInterval=1ms"}, flags...))
}

// startVictoria starts a server that victoria.sh built, or that lies in the
// folder that ICEWATCH_VICTORIA names. A flag given again goes before one given
// earlier.
func startVictoria(t testing.TB, program string, flags []string) *Victoria {
	t.Helper()
	home := os.Getenv("ICEWATCH_VICTORIA")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "victoria-*")); len(found) > 0 {
			home = slices.Max(found)
		}
	}
	path := filepath.Join(home, program)
	if _, err := os.Stat(path); home == "" || err != nil {
		Missing(t, program+" is not built: test/peers/victoria.sh builds it")
	}
	address := "127.0.0.1:" + FreePort(t)
	s := &Victoria{URL: "http://" + address, Dir: filepath.Join(t.TempDir(), "data"), t: t, program: path}
	s.args = append([]string{"-httpListenAddr=" + address, "-storageDataPath=" + s.Dir, "-loggerLevel=WARN"}, flags...)
	if slices.Contains(flags, "-tls") {
		s.URL = "https://" + address
	}
	s.Start()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.end(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", program, s.log.tail())
		}
	})
	return s
}

// Start starts the server on its data and waits until it answers.
func (s *Victoria) Start() {
	s.t.Helper()
	log, err := os.CreateTemp(s.t.TempDir(), "log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func(cmd *exec.Cmd) { done <- cmd.Wait(); close(done) }(s.cmd)
	s.done, s.log = done, &logFile{log.Name()}
	await(s.t, 20*time.Second, filepath.Base(s.program), s.log, s.done, func() error {
		if strings.HasPrefix(s.URL, "https") {
			c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.URL, "https://"), time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		}
		resp, err := http.Get(s.URL + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/health answers %d", resp.StatusCode)
		}
		return nil
	})
}

// Kill ends the server as a power cut would.
func (s *Victoria) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in order.
func (s *Victoria) Stop() { s.end(syscall.SIGTERM) }

// Freeze stops the server's process without ending it; Thaw lets it go on.
func (s *Victoria) Freeze() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	for range 100 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		if err == nil && strings.Contains(string(stat), ") T ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the server does not stand still")
}

// Thaw lets a frozen server go on.
func (s *Victoria) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *Victoria) end(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}
