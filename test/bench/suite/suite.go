// Package suite runs a built icewatch for a measurement and tells what it uses.
package suite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"icewatch/soc/client"
)

// Suite is a running icewatch.
type Suite struct {
	Data  string // its data folder
	URL   string
	Admin *client.Client
	Log   string // file of what it says

	cmd *exec.Cmd
}

// Start runs the binary on a fresh folder below dir, and waits until it takes
// and answers. config is the configuration but for data and http.
func Start(ctx context.Context, binary, dir, config string) (*Suite, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	s := &Suite{Data: filepath.Join(dir, "data"), URL: "http://" + address, Log: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "icewatch.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "data: %s\nhttp: {listen: %s}\n%s", s.Data, address, config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(s.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	const pass = "Bench-mark-2026-harbour"
	s.cmd = exec.Command(binary, "serve", "--config", file)
	s.cmd.Env = append(os.Environ(), "ICEWATCH_ADMIN_PASSWORD="+pass)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.begin(ctx, pass); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w; the log is %s", err, s.Log)
	}
	return s, nil
}

func (s *Suite) begin(ctx context.Context, pass string) error {
	const patience = 2 * time.Minute
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(s.URL + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready within %s: %w", s.URL, patience, err)
		}
	}
	open, err := client.New(client.Options{URL: s.URL, Timeout: 10 * time.Minute})
	if err != nil {
		return err
	}
	session, err := open.Login(ctx, "admin", pass)
	if err != nil {
		return err
	}
	s.Admin = open.With(session.Token, "")
	return nil
}

// Token makes a token with which events of a tenant are sent.
func (s *Suite) Token(ctx context.Context, tenant string) (string, error) {
	made, err := s.Admin.CreateToken(ctx, "bench "+tenant, tenant, []string{"ingest"}, 24*time.Hour)
	return made.Secret, err
}

// Stop ends the suite and waits for it.
func (s *Suite) Stop() { Stop(s.cmd) }

// Stop asks a process to end, and kills it after a minute.
func Stop(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-done
	}
}

// FreeAddress is a loopback address at which nobody listens.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Metrics reads figures from the suite's private socket, by name.
func (s *Suite) Metrics(names ...string) ([]float64, error) {
	c := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", client.SocketPath(s.Data))
	}, DisableKeepAlives: true}}
	resp, err := c.Get("http://icewatch/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, found := make([]float64, len(names)), 0
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		for i, name := range names {
			v, ok := strings.CutPrefix(in.Text(), name+" ")
			if !ok {
				continue
			}
			if out[i], err = strconv.ParseFloat(v, 64); err != nil {
				return nil, fmt.Errorf("the metric %s: %w", name, err)
			}
			found++
		}
	}
	if found != len(names) {
		return nil, fmt.Errorf("%d of the metrics %v are there", found, names)
	}
	return out, nil
}

// Metric reads one figure.
func (s *Suite) Metric(name string) (float64, error) {
	v, err := s.Metrics(name)
	if err != nil {
		return 0, err
	}
	return v[0], nil
}

// CPU is the CPU seconds that the suite's processes have used.
func (s *Suite) CPU() float64 { return CPU(s.cmd.Process.Pid) }

// RSS is the memory of each of the suite's processes that is resident, in
// bytes, that of the centre first.
func (s *Suite) RSS() (list []float64) {
	for _, p := range s.Processes() {
		list = append(list, resident(p))
	}
	return list
}

// Processes are the process ids of the suite, that of the centre first.
func (s *Suite) Processes() []int { return family(s.cmd.Process.Pid) }

// Centre is the CPU seconds that the suite's first process has used, which
// takes events in and tells of alerts.
func (s *Suite) Centre() float64 { return of(s.cmd.Process.Pid) }

// CPU sums up the CPU seconds of a process and its children that live.
func CPU(pid int) (sum float64) {
	for _, p := range family(pid) {
		sum += of(p)
	}
	return sum
}

// of is the CPU seconds of one process.
func of(pid int) (sum float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Behind the name in parentheses: utime and stime are the 12th and 13th.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	for _, f := range fields[11:13] {
		n, _ := strconv.ParseFloat(f, 64)
		sum += n / 100
	}
	return sum
}

// resident is the memory of a process in bytes, as far as it is resident.
func resident(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	n, _ := strconv.ParseFloat(fields[1], 64)
	return n * float64(os.Getpagesize())
}

// family is a process and its children.
func family(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		more, _ := os.ReadFile(t)
		text = append(append(text, ' '), more...)
	}
	list, seen := []int{pid}, map[int]bool{pid: true}
	for _, f := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(f); err == nil && !seen[n] {
			seen[n] = true
			list = append(list, n)
		}
	}
	return list
}
