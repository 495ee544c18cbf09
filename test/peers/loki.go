package peers

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// lokiConfig is a single binary on local files. What differs from Loki's
// defaults: it takes lines of any age, and adds no labels of its own to what is
// pushed.
const lokiConfig = `auth_enabled: false
server: {http_listen_address: 127.0.0.1, http_listen_port: %[2]s, grpc_listen_address: 127.0.0.1, grpc_listen_port: 0, log_level: error}
common:
  instance_addr: 127.0.0.1
  path_prefix: %[1]s
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
  storage: {filesystem: {chunks_directory: %[1]s/chunks, rules_directory: %[1]s/rules}}
schema_config:
  configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
ingester: {lifecycler: {min_ready_duration: 0s}}
limits_config:
  reject_old_samples: false
  discover_log_levels: false
  discover_service_name: []
  allow_structured_metadata: true
  volume_enabled: true
query_range: {cache_results: false}
pattern_ingester: {enabled: false}
analytics: {reporting_enabled: false}
`

// LokiProgram is the path of loki or logcli as loki.sh builds them.
func LokiProgram(t testing.TB, name string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "loki-v*", name))
	if len(found) == 0 {
		Missing(t, name+" is not built: test/peers/loki.sh builds it")
	}
	return slices.Max(found)
}

// rulerConfig is what has Loki evaluate rules, each second, and send what fires.
const rulerConfig = `ruler:
  alertmanager_url: %[2]s
  alertmanager_client: {basic_auth_username: ruler, basic_auth_password: %[3]q}
  evaluation_interval: 1s
  poll_interval: 1s
  resend_delay: 1s
  rule_path: %[1]s/scratch
  storage: {type: local, local: {directory: %[1]s/alerting}}
  ring: {kvstore: {store: inmemory}}
`

// StartLoki starts a Loki and returns where it answers.
func StartLoki(t testing.TB) string {
	t.Helper()
	return startLoki(t, t.TempDir(), "")
}

// StartLokiRuler starts a Loki that evaluates rules, a file of rule groups, and
// sends their alerts to an Alertmanager, with a token as password. It returns
// where Loki answers.
func StartLokiRuler(t testing.TB, rules, alertmanager, token string) string {
	t.Helper()
	dir := t.TempDir()
	tenant := filepath.Join(dir, "alerting", "fake") // what Loki calls the only tenant there is
	if err := os.MkdirAll(tenant, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tenant, "rules.yml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return startLoki(t, dir, fmt.Sprintf(rulerConfig, dir, alertmanager, token))
}

func startLoki(t testing.TB, dir, more string) string {
	t.Helper()
	program := LokiProgram(t, "loki")
	port := FreePort(t)
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, append(fmt.Appendf(nil, lokiConfig, dir, port), more...), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-config.file="+config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // what it holds is thrown away
		_ = cmd.Wait()
		log.Close()
	})
	url := "http://127.0.0.1:" + port
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(url + "/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
			err = fmt.Errorf("it says %s", resp.Status)
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("Loki is not ready within 90 s: %v: %.2000s", err, text)
		}
	}
}
