package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/test/peers"
)

// TestConsole drives the console in real Chromium: sign in, find the incident,
// acknowledge it, see the entry in its timeline; then the graph of relations and
// a trace from the victim to the attacker.
func TestConsole(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	if _, err := s.simulate("--seed", "42", "--duration", "15s", "--rate", "30"); err != nil {
		t.Fatal(err)
	}
	run("console.test.mjs", s.url)
	run("graph.test.mjs", s.url)
	run("suppressions.test.mjs", s.url)
}

// TestConsoleSearch drives the search page in real Chromium: text and click
// mode, statistics, context, marked words, charts, the live tail, and what is
// kept of searches: saved ones, history, exports, log groups; then flows,
// monitoring rules, masking, storage, usage and backups.
func TestConsoleSearch(t *testing.T) {
	t.Parallel()
	s, run := console(t, "flows: {netflow: 127.0.0.1:"+peers.FreePort(t)+", sflow: off}\n")
	if _, err := s.simulate("--seed", "7", "--duration", "15s", "--rate", "30"); err != nil {
		t.Fatal(err)
	}
	run("search.test.mjs", s.url)
	run("lake.test.mjs", s.url)
}

// TestConsoleProtocols drives the pages of what speaks other products'
// protocols in real Chromium: settings to connect with and their tokens, traces
// sent by OTLP, the map of services, LogQL, silences, forwarding to a socket.
func TestConsoleProtocols(t *testing.T) {
	t.Parallel()
	s, run := console(t, loopback)
	if _, err := s.simulate("--seed", "11", "--duration", "10s", "--rate", "30"); err != nil {
		t.Fatal(err)
	}
	run("protocols.test.mjs", s.url)
}

// TestConsoleAdministration drives the administrators' pages in real Chromium:
// the first steps, users and data scopes, second factors with a virtual
// security key, a forced sign-out, the audit log, the watermark.
func TestConsoleAdministration(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	// A security key belongs to a name, never to an address.
	run("admin.test.mjs", strings.Replace(s.url, "127.0.0.1", "localhost", 1))
}

// TestConsoleRules drives the rules in real Chromium: one is built, tried,
// saved, fires on an event over syslog, is switched off, changed and restored.
func TestConsoleRules(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	run("rules.test.mjs", s.url)
}

// TestConsolePolicies drives the pages of policies and maintenance windows, and
// an override of an incident's priority, in Chromium as people have it: with
// windows, and with what moves on the pages.
func TestConsolePolicies(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	if _, err := s.simulate("--seed", "7", "--duration", "10s", "--rate", "30"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "an incident opens", func() error {
		var page struct{ Total int }
		get(t, s, "/api/v1/incidents", &page)
		if page.Total == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	run("policies.test.mjs", s.url, "CHROMIUM="+peer(t, "chromium"), "MOTION=on")
}

// TestConsoleDuty drives duty and service levels in real Chromium: a team with
// its roster and escalation, overrides, notes, terms, report and holidays; and
// what mutes, merges and routes alerts.
func TestConsoleDuty(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	run("duty.test.mjs", s.url)
	run("noise.test.mjs", s.url)
}

// TestConsoleDispatch drives in real Chromium what hands alerts and incidents
// on: work orders, disposal rules, notices, daily reports, the table of
// transitions, and columns and views that people keep.
func TestConsoleDispatch(t *testing.T) {
	t.Parallel()
	s, run := console(t, loopback)
	run("dispatch.test.mjs", s.url)
	sighted := s.entities(t)
	run("accessible.test.mjs", s.url) // here, where most pages have something to show
	run("entity.test.mjs", s.url)
	sighted()
}

func TestConsoleAlertSources(t *testing.T) {
	t.Parallel()
	s, run := console(t, "")
	run("alertsources.test.mjs", s.url)
}

// TestConsoleInputs drives the pages of sources and parsers in real Chromium, and those of
// hosts and agents with the agent's own program and a real SSH server.
func TestConsoleInputs(t *testing.T) {
	t.Parallel()
	agent := filepath.Join(bin, "icewatch-agent")
	if _, err := os.Stat(agent); err != nil {
		missing(t, "icewatch-agent ("+agent+"; make agent)")
	}
	host := peers.StartShell(t, "ICEWATCH_AGENT_ROOT="+t.TempDir())
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(host.KeyPEM), 0o600); err != nil {
		t.Fatal(err)
	}
	s, run := console(t, "agents: {listen: '127.0.0.1:"+peers.FreePort(t)+"'}\n"+loopback)
	run("inputs.test.mjs", s.url)
	run("fleet.test.mjs", s.url, "AGENT="+agent, "SIMULATED_HOST="+simulatedHost(t), "SSH_ADDRESS="+host.Address, "SSH_USER="+host.User, "SSH_KEY="+key)
}

// headless returns the Chromium that tests drive: the build without windows where
// it is installed. It draws the same pages; a desk costs half of what it costs with
// windows, a page a sixth less.
func headless(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("chromium-headless-shell"); err == nil {
		return path
	}
	return peer(t, "chromium")
}

// console starts a suite of its own, with more lines of configuration, and returns it with what runs one of the
// console's tests against it, at the address given, with more of an environment.
func console(t *testing.T, extra string) (*suite, func(script, url string, env ...string)) {
	t.Helper()
	node, chromium := peer(t, "node"), headless(t)
	dir, err := filepath.Abs("../../soc/console")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); err != nil {
		missing(t, "playwright-core is not installed: run npm ci in soc/console")
	}
	s := newSuite(t, extra)
	return s, func(script, url string, env ...string) {
		t.Helper()
		limit := 8 * time.Minute
		if os.Getenv("ICEWATCH_SHOT_DIR") != "" {
			limit = 30 * time.Minute // a hundred pictures
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", "e2e/"+script)
		// The browser holds the output open: do not wait for it once node is gone.
		cmd.WaitDelay = 5 * time.Second
		cmd.Dir = dir
		cmd.Env = append(cleanEnv(), "BASE_URL="+url, "ICEWATCH_USERNAME=admin", "ICEWATCH_PASSWORD="+password, "CHROMIUM="+chromium, "HOME="+s.dir,
			"SYSLOG="+s.syslog, "WAIT_MS=45000", "SHOT_DIR="+os.Getenv("ICEWATCH_SHOT_DIR"))
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("the console's tests failed: %v\n%s", err, out)
		} else {
			t.Logf("%s", out)
		}
	}
}

// TestPictures takes a picture of each page of the console for docs/images,
// with two intrusions in a small city's telemetry (make screenshots).
func TestPictures(t *testing.T) {
	if os.Getenv("ICEWATCH_SHOT_DIR") == "" {
		t.Skip("ICEWATCH_SHOT_DIR is not set")
	}
	netflow := "127.0.0.1:" + peers.FreePort(t)
	backups := t.TempDir()
	s, run := console(t, "agents: {listen: '127.0.0.1:"+peers.FreePort(t)+"'}\n"+loopback+"flows: {netflow: "+netflow+", sflow: off}\nbackup: {dir: "+backups+"}\n")
	for _, args := range [][]string{{"--seed", "42", "--duration", "15s", "--rate", "30"}, {"--seed", "7", "--duration", "20s", "--rate", "40"}} {
		if _, err := s.simulate(args...); err != nil {
			t.Fatal(err)
		}
	}
	expose(t, s)
	run("pictures.mjs", s.url, "NETFLOW="+netflow, "BACKUPS="+backups, "AGENT="+filepath.Join(bin, "icewatch-agent"))
}

// expose gives hosts of the CMDB findings of several levels, and the library
// the vulnerabilities that they name.
func expose(t *testing.T, s *suite) {
	t.Helper()
	known, err := filepath.Glob("../../soc/exposure/library/testdata/*.*")
	if err != nil || len(known) == 0 {
		t.Fatal("samples of the library:", known, err)
	}
	if out, err := s.icectl(append([]string{"vulnerabilities", "import"}, known...)...); err != nil {
		t.Fatal(out, err)
	}
	var hosts struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if err := s.admin.Get(t.Context(), "/api/v1/cmdb/items", url.Values{"class": {"host"}, "limit": {"8"}}, &hosts); err != nil || len(hosts.Items) == 0 {
		t.Fatal("hosts:", hosts, err)
	}
	report := "host,名称,风险等级,端口,cve,修复建议\n"
	kinds := []string{"Apache Log4j2 远程代码执行,critical,8080,CVE-2021-44228,升级到 2.17.1", "SSH 弱口令,high,22,,更换口令并启用密钥登录",
		"Redis 未设口令,high,6379,,设置 requirepass 并只监听内网", "TLS 证书已过期,medium,443,,换发证书", "目录列表,low,80,,关闭 autoindex"}
	for i, host := range hosts.Items {
		for n, kind := range kinds {
			if (i+n)%3 != 0 {
				report += host.ID + "," + kind + "\n"
			}
		}
	}
	if err := s.admin.Send(t.Context(), http.MethodPost, "/api/v1/finding-imports", url.Values{"format": {"csv"}, "engine": {"季度漏扫"}},
		http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(report), nil); err != nil {
		t.Fatal(err)
	}
}
