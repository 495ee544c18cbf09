package containers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPodman reads a real container of a real podman, in a folder of its own. It runs where
// ICEWATCH_PODMAN names podman's program (make test-containers), as root: it starts a container.
func TestPodman(t *testing.T) {
	program := os.Getenv("ICEWATCH_PODMAN")
	if program == "" {
		t.Skip("ICEWATCH_PODMAN names no podman")
	}
	dir, err := os.MkdirTemp("", "icewatch-podman-") // podman's paths are short
	if err != nil {
		t.Fatal(err)
	}
	fs := filepath.Join(dir, "fs")
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.Mkdir(fs, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(fs, "redis-server"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}
	if runtime, err := exec.LookPath("runc"); err == nil {
		args = append(args, "--runtime", runtime)
	}
	run := func(more ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, append(args[:len(args):len(args)], more...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("podman %s: %v\n%s", more[0], err, out)
		}
		return strings.TrimSpace(string(out))
	}
	t.Cleanup(func() {
		_ = exec.Command(program, append(args[:len(args):len(args)], "rm", "-f", "-a", "-t", "0")...).Run()
		_ = os.RemoveAll(dir)
	})
	id := run("run", "-d", "-i", "--name", "cache", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100", "--security-opt", "seccomp=unconfined", "--env", "ICEWATCH_TEST_LISTEN=127.0.0.1:6379", "--rootfs", fs, "/redis-server")
	id = id[strings.LastIndexByte(id, '\n')+1:]
	socket := filepath.Join(dir, "s")
	service := exec.Command(program, append(args[:len(args):len(args)], "system", "service", "-t", "0", "unix://"+socket)...)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Process.Kill(); _ = service.Wait() })
	p := Places{Sockets: []string{socket}, Proc: "/proc"}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		got, err := p.Read(t.Context())
		if err == nil && len(got) == 1 && len(got[0].Services) == 2 {
			c := got[0]
			s := c.Services[0]
			if c.ID != id || c.Name != "cache" || c.Engine != "podman" || c.State != "running" || c.PID == 0 || c.Started < time.Now().Unix()-600 || s.Address != "127.0.0.1" || s.Port != 6379 || s.Protocol != "tcp" || s.Process != "redis-server" || s.Service != "redis" || !s.Listening || s.PID != c.PID {
				t.Errorf("%+v", c)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v %v", got, err)
		}
	}
	run("stop", "-t", "0", "cache")
	got, err := p.Read(t.Context())
	if err != nil || len(got) != 1 || got[0].State != "exited" || len(got[0].Services) != 0 || got[0].PID != 0 {
		t.Errorf("%+v %v", got, err)
	}
}
