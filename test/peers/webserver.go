package peers

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// StartRedis starts a Redis and returns its address.
func StartRedis(t testing.TB) string {
	t.Helper()
	port := FreePort(t)
	cmd := exec.Command(Program(t, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	log, exited := start(t, cmd)
	address := "127.0.0.1:" + port
	await(t, 20*time.Second, "Redis", log, exited, func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return address
}

// StartNginx starts an Nginx and returns the URL of its page of figures.
func StartNginx(t testing.TB) string {
	t.Helper()
	program := Program(t, "nginx")
	dir, port := t.TempDir(), FreePort(t)
	file := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf("daemon off;\nmaster_process off;\nerror_log stderr;\npid %[1]s/pid;\nevents {}\nhttp {\n  access_log off;\n  client_body_temp_path %[1]s/body;\n  proxy_temp_path %[1]s/proxy;\n  fastcgi_temp_path %[1]s/fastcgi;\n  uwsgi_temp_path %[1]s/uwsgi;\n  scgi_temp_path %[1]s/scgi;\n  server { listen 127.0.0.1:%[2]s; location /status { stub_status; } }\n}\n", dir, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, exited := start(t, exec.Command(program, "-c", file, "-p", dir, "-e", "stderr"))
	url := "http://127.0.0.1:" + port + "/status"
	await(t, 20*time.Second, "Nginx", log, exited, func() error {
		resp, err := http.Get(url)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		return err
	})
	return url
}
