package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"icewatch/soc/client"
	"icewatch/test/peers"
)

// password is the first administrator's in every suite of these tests.
const password = "Acceptance-2026-pw"

// bin is the folder of the binaries under test.
var bin string

// seed decides the random moments of a run.
var seed = uint64(time.Now().UnixNano())

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if s := os.Getenv("ICEWATCH_SEED"); s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				fmt.Fprintf(os.Stderr, "ICEWATCH_SEED=%s: %v\n", s, err)
				return 2
			}
			seed = n
		}
		bin = os.Getenv("ICEWATCH_BIN")
		if bin == "" {
			dir, err := os.MkdirTemp("", "icewatch-bin-")
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 2
			}
			defer os.RemoveAll(dir)
			build := exec.Command("go", "build", "-o", dir+"/", "icewatch/cmd/icewatch", "icewatch/cmd/icectl")
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
				return 2
			}
			bin = dir
		}
		if abs, err := filepath.Abs(bin); err == nil {
			bin = abs
		}
		return m.Run()
	}())
}

// peer returns the path of a program the test needs beside the suite.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
			if p := filepath.Join(dir, name); os.Getenv("PATH") != "" {
				if _, err := os.Stat(p); err == nil {
					return p
				}
			}
		}
		missing(t, name+" is not installed")
	}
	return path
}

// missing skips the test, or fails it where nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("ICEWATCH_CI") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// random returns a source for one test, the same for the same ICEWATCH_SEED.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("ICEWATCH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// suite is one running icewatch.
type suite struct {
	t      *testing.T
	dir    string // short, since it holds sockets
	data   string
	config string
	url    string
	syslog string // host:port, UDP and TCP
	admin  *client.Client
	binary []string // program and arguments before "serve"

	env      []string // more of its environment
	forgiven []string // words its log may hold, since the test brought them about

	mu  sync.Mutex
	cmd *exec.Cmd
	log *os.File
}

// newSuite starts a suite. extra is appended to its configuration file.
func newSuite(t *testing.T, extra string) *suite {
	t.Helper()
	s := prepare(t, extra)
	s.start()
	s.signIn()
	return s
}

// prepare lays out a suite without starting it.
func prepare(t *testing.T, extra string) *suite {
	t.Helper()
	// t.TempDir names folders after the test, which is too long for sockets.
	dir, err := os.MkdirTemp("", "iw-")
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{t: t, dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "icewatch.yaml"), binary: []string{filepath.Join(bin, "icewatch")}}
	httpPort, port := peers.FreePort(t), peers.FreePort(t)
	s.url, s.syslog = "http://127.0.0.1:"+httpPort, "127.0.0.1:"+port
	if !strings.Contains(extra, "flows:") {
		extra = "flows: {netflow: off, sflow: off}\n" + extra // suites run side by side
	}
	if !strings.Contains(extra, "agents:") {
		extra = "agents: {listen: off}\n" + extra
	}
	if !strings.Contains(extra, "otlp:") {
		extra = "otlp: {grpc: off, http: off}\n" + extra
	}
	if !strings.Contains(extra, "lake:") {
		extra = "lake: {flush_interval: 1s}\n" + extra // tests wait for checkpoints
	}
	text := fmt.Sprintf("data: %s\nhttp:\n  listen: 127.0.0.1:%s\nsyslog:\n  udp: %s\n  tcp: %s\n%s", s.data, httpPort, s.syslog, s.syslog, extra)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cleanUp)
	return s
}

func (s *suite) cleanUp() {
	s.stop()
	s.log.Close()
	text, _ := os.ReadFile(s.log.Name())
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if bytes.Contains(text, []byte(bad)) && !slices.Contains(s.forgiven, bad) {
			s.t.Errorf("the suite's log holds %q", bad)
		}
	}
	if s.t.Failed() {
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		s.t.Logf("the suite's log (last of %d lines):\n%s", len(lines), strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	os.RemoveAll(s.dir)
}

// start starts the suite and waits until it is ready.
func (s *suite) start() {
	s.t.Helper()
	s.launch()
	s.ready(90 * time.Second)
}

// launch starts the suite and does not wait.
func (s *suite) launch() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	args := append(append([]string{}, s.binary[1:]...), "serve", "--config", s.config)
	cmd := exec.Command(s.binary[0], args...)
	cmd.Env = append(cleanEnv(), "ICEWATCH_ADMIN_PASSWORD="+password)
	cmd.Env = append(cmd.Env, s.env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
}

// cleanEnv is the environment without what would steer the suite.
func cleanEnv() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ICEWATCH_") && !strings.HasPrefix(v, "XDG_") {
			out = append(out, v)
		}
	}
	return out
}

// ready waits until /readyz says so.
func (s *suite) ready(within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, "the suite is ready", func() error {
		if !s.running() {
			return errors.New("the suite has ended")
		}
		resp, err := http.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			body, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("%d %s", resp.StatusCode, body)
		}
		return nil
	})
}

func (s *suite) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil && syscall.Kill(s.cmd.Process.Pid, 0) == nil
}

// ended tells whether the suite has ended by itself.
func (s *suite) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return true
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	if err == nil && pid == s.cmd.Process.Pid {
		s.cmd = nil
		return true
	}
	return false
}

// signIn gets the administrator's session.
func (s *suite) signIn() {
	s.t.Helper()
	c, err := client.New(client.Options{URL: s.url, UserAgent: "acceptance"})
	if err != nil {
		s.t.Fatal(err)
	}
	session, err := c.Login(context.Background(), "admin", password)
	if err != nil {
		s.t.Fatal(err)
	}
	s.admin = c.With(session.Token, "")
}

// pid is the centre's process id.
func (s *suite) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// enginePID is the engine's process id, 0 where it is not known.
func (s *suite) enginePID() int {
	text, err := os.ReadFile(filepath.Join(s.data, "run", "engine.pid"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// kill ends the whole suite at once, as a power cut would.
func (s *suite) kill() {
	engine := s.enginePID()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.cmd.Process.Kill()
	if engine > 0 {
		_ = syscall.Kill(engine, syscall.SIGKILL)
	}
	_ = s.cmd.Wait()
	s.cmd = nil
}

// stop ends the suite with SIGTERM and waits for it.
func (s *suite) stop() {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.t.Errorf("the suite did not stop cleanly: %v", err)
		}
	case <-time.After(45 * time.Second):
		s.t.Error("the suite did not stop within 45 s of SIGTERM")
		_ = cmd.Process.Kill()
		<-done
	}
}

// icectl runs the command-line tool as the administrator and returns its
// standard output.
func (s *suite) icectl(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, "icectl"), args...)
	cmd.Env = append(cleanEnv(), "ICEWATCH_URL="+s.url, "ICEWATCH_TOKEN="+s.admin.Options().Token, "HOME="+s.dir, "LANG=C.UTF-8")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("icectl %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// token makes an access token and returns a client that uses it.
func (s *suite) token(tenant string, scopes ...string) *client.Client {
	s.t.Helper()
	made, err := s.admin.CreateToken(context.Background(), "acceptance "+tenant, tenant, scopes, time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.admin.With(made.Secret, "")
}

// always is a time range that holds everything that can be stored.
func always(query string) url.Values {
	return url.Values{"query": {query}, "start": {"1970-01-01T00:00:00Z"}, "end": {time.Now().Add(3 * time.Hour).UTC().Format(time.RFC3339)}, "limit": {"1000000"}}
}

// find returns all events of all times that match.
func (s *suite) find(query string) []map[string]any {
	s.t.Helper()
	rows, err := s.admin.Search(context.Background(), always(query))
	if err != nil {
		s.t.Fatalf("query %s: %v", query, err)
	}
	return rows
}

// expect waits until a query finds exactly n events, and returns them.
func (s *suite) expect(query string, n int, within time.Duration) []map[string]any {
	s.t.Helper()
	var rows []map[string]any
	eventually(s.t, within, fmt.Sprintf("%d events match %s", n, query), func() error {
		var err error
		if rows, err = s.admin.Search(context.Background(), always(query)); err != nil {
			return err
		}
		if len(rows) != n {
			return fmt.Errorf("%d events", len(rows))
		}
		return nil
	})
	return rows
}

// metrics reads /metrics, unlabelled values by name.
func (s *suite) metrics() map[string]float64 {
	s.t.Helper()
	var text []byte
	if err := s.admin.Get(context.Background(), "/metrics", nil, &text); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out
}

// balance checks the suite's own books: every record taken in is an event in
// the lake or a repeat of one, and nothing was dropped anywhere.
func (s *suite) balance() {
	s.t.Helper()
	eventually(s.t, 20*time.Second, "what came in is in the lake", func() error {
		m := s.metrics()
		rows := s.find("* | stats count() n")
		if len(rows) != 1 {
			return fmt.Errorf("%d rows", len(rows))
		}
		stored, err := strconv.ParseFloat(fmt.Sprint(rows[0]["n"]), 64)
		if err != nil {
			return err
		}
		if in := m["icewatch_bus_records_total"]; in == 0 || in != stored+m["icewatch_engine_repeated_events_total"] {
			return fmt.Errorf("%.0f came in, %.0f are stored and %.0f were repeats", in, stored, m["icewatch_engine_repeated_events_total"])
		}
		for _, name := range []string{"icewatch_lake_dropped_rows_total", "icewatch_engine_unstored_events_total", "icewatch_engine_damaged_batches_total"} {
			if v, ok := m[name]; !ok || v != 0 {
				return fmt.Errorf("%s is %v (reported: %v)", name, v, ok)
			}
		}
		return nil
	})
}

// sendTCP writes bytes to the syslog TCP port and closes the connection.
func (s *suite) sendTCP(parts ...[]byte) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.syslog)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range parts {
		if _, err := conn.Write(p); err != nil {
			s.t.Fatalf("syslog TCP: %v", err)
		}
	}
}

// sendUDP sends datagrams to the syslog UDP port.
func (s *suite) sendUDP(parts ...[]byte) {
	s.t.Helper()
	conn, err := net.Dial("udp", s.syslog)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range parts {
		if _, err := conn.Write(p); err != nil {
			s.t.Fatalf("syslog UDP: %v", err)
		}
	}
}

// post sends a body as a client and returns status and answer.
func post(t *testing.T, c *client.Client, path string, header map[string]string, body []byte) (int, string) {
	t.Helper()
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	resp, err := c.Do(ctx, http.MethodPost, path, nil, h, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	return resp.StatusCode, string(answer)
}

// eventually tries until f succeeds.
func eventually(t *testing.T, within time.Duration, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s: %v", within, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// text returns a field of a row, several values joined.
func text(row map[string]any, field string) string {
	switch v := row[field].(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, ",")
	default:
		data, _ := json.Marshal(v)
		return string(data)
	}
}
