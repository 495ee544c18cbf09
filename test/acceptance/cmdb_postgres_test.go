package acceptance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestTheCMDBOnPostgreSQL keeps the items on a server of their own, by the
// configuration alone, and takes it away: before a start, and under way.
func TestTheCMDBOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(peers.StartPostgres(t, "-c", "fsync=off"))
	if err != nil {
		t.Fatal(err)
	}
	cable := &cable{t: t, to: server.Host}
	cable.plug("127.0.0.1:0")
	t.Cleanup(cable.pull)
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("wombat-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Host = cable.listen
	s := newSuite(t, fmt.Sprintf("cmdb: {postgres: %q, password_file: %q}\n", server.String(), secret))
	if err := s.imports("- {id: pg-sys, class: business_system, name: On PostgreSQL, tenant: e-seal}\n- {id: pg-host, class: host, name: pg-1, tenant: e-seal, addresses: [10.88.0.5], system: pg-sys}\n"); err != nil {
		t.Fatal(err)
	}
	ask := func() (int, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, s.url+"/api/v1/cmdb/items?filter="+url.QueryEscape(`system.name ~ postgres and has -belongs_to_system-> *`), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.admin.Options().Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	found := func(what string) {
		t.Helper()
		eventually(t, time.Minute, what, func() error {
			if status, body := ask(); status != 200 || !strings.Contains(body, `"pg-host"`) || !strings.Contains(body, `"total":1`) {
				return fmt.Errorf("%d %s", status, body)
			}
			return nil
		})
	}
	found("the item is found")

	cable.pull()
	eventually(t, time.Minute, "that the database is away is told", func() error {
		if status, body := ask(); status != 503 || !strings.Contains(body, "the CMDB's database is not available") {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
	cable.plug(cable.listen)
	found("the item is found again")

	s.stop()
	s.start()
	s.signIn()
	found("the item is there after a restart")
	s.stop()

	cable.pull()
	cmd := exec.Command(s.binary[0], append(append([]string{}, s.binary[1:]...), "serve", "--config", s.config)...)
	cmd.Env, cmd.Dir = append(cleanEnv(), "ICEWATCH_ADMIN_PASSWORD="+password), s.dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cmdb.postgres: cmdb: PostgreSQL at "+cable.listen) {
		t.Errorf("a start without the database: %v\n%s", err, out)
	}
	log, err := os.ReadFile(s.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out)+string(log), "wombat-secret") {
		t.Error("the password is in the log")
	}
}

// cable leads to a server, and can be pulled.
type cable struct {
	t          *testing.T
	listen, to string

	mu    sync.Mutex
	at    net.Listener
	conns []net.Conn
}

// plug leads an address to the server.
func (c *cable) plug(listen string) {
	c.t.Helper()
	at, err := net.Listen("tcp", listen)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.listen = at, at.Addr().String()
	go func() {
		for {
			near, err := at.Accept()
			if err != nil {
				return // it was pulled
			}
			far, err := net.Dial("tcp", c.to)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near, far)
			c.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				}()
			}
		}
	}()
}

// pull takes the server away: connections end, and none comes about.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.Close()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}
