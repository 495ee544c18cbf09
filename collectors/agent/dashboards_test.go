//go:build linux

package agent_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/agent/agenttest"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/fleettest"
	"icewatch/test/peers"
)

// elsewhere are the metrics of dashboards whose servers this test does not have, by the
// documentation of telegraf's inputs rabbitmq and tomcat.
var elsewhere = []string{"rabbitmq_overview_connections", "rabbitmq_overview_consumers", "rabbitmq_overview_messages_published", "rabbitmq_overview_messages_ready", "rabbitmq_overview_messages_unacked",
	"tomcat_connector_current_threads_busy", "tomcat_connector_error_count", "tomcat_connector_max_threads", "tomcat_connector_request_count", "tomcat_jvm_memory_free", "tomcat_jvm_memory_max"}

// shown are the metrics that the queries of a Grafana dashboard and of the console's page of
// a host ask for.
func shown(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	name := regexp.MustCompile(`\b(?:cpu|mem|disk|diskio|net|processes|system|redis|nginx|mysql|postgresql|rabbitmq|tomcat)_[a-z0-9_]+`)
	var walk func(from string, v any)
	walk = func(from string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if text, ok := x.(string); ok && k == "expr" {
					for _, n := range name.FindAllString(text, -1) {
						out[n] = from
					}
				} else {
					walk(from, x)
				}
			}
		case []any:
			for _, x := range v {
				walk(from, x)
			}
		}
	}
	for _, board := range []string{"hosts", "databases", "middleware"} {
		data, err := os.ReadFile(filepath.Join("../../dashboards/grafana/en-US", board+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		walk(board, v)
	}
	page, err := os.ReadFile("../../soc/console/src/parts/fleet/figures.ts")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range name.FindAllString(string(page), -1) {
		out[n] = "the console"
	}
	return out
}

// TestDashboardsShowWhatIsSent holds dashboards and the console to the names under which a
// shipped agent sends the figures of this host and of real servers.
func TestDashboardsShowWhatIsSent(t *testing.T) {
	t.Parallel()
	bin := program(t)
	redis, nginx, postgres, mariadb := peers.StartRedis(t), peers.StartNginx(t), peers.StartPostgres(t), peers.StartMariaDB(t)
	f := fleettest.Start(t)
	c, err := f.KeepConfiguration(t.Context(), fleettest.Admin, "", 0, fleet.ConfigurationDraft{Tenant: "egov", Name: "all", Selector: configuration.Selector{Everybody: true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := net.SplitHostPort(mariadb.Address); err != nil {
		t.Fatal(err)
	}
	document := fmt.Sprintf(`inputs:
  - {plugin: cpu, interval: 1s, settings: {percpu: false, totalcpu: true}}
  - {plugin: mem, interval: 1s}
  - {plugin: system, interval: 1s}
  - {plugin: processes, interval: 1s}
  - {plugin: disk, interval: 1s}
  - {plugin: diskio, interval: 1s}
  - {plugin: net, interval: 1s, settings: {ignore_protocol_stats: true}}
  - {plugin: redis, interval: 1s, settings: {servers: ["tcp://%s"]}}
  - {plugin: nginx, interval: 1s, settings: {urls: [%q]}}
  - {plugin: postgresql, interval: 1s, settings: {address: %q}}
  - {plugin: mysql, interval: 1s, settings: {servers: ["%s:%s@tcp(%s)/?tls=false"]}}
inventory: {skip: [packages, certificates, processes, services, users, containers, ports]}
limits: {cpu_percent: 1000, memory_mb: 400, host: {cpu_percent: 100, memory_percent: 100, disk_percent: 100}}
`, redis, nginx, postgres, mariadb.User, mariadb.Password, mariadb.Address)
	soak := 0
	if _, err := f.Publish(t.Context(), fleettest.Admin, c.ID, fleet.Publication{AtOnce: true, Soak: &soak, Document: document}); err != nil {
		t.Fatal(err)
	}
	want := shown(t)
	if len(want) < 40 {
		t.Fatalf("only %d metrics are asked for: %v", len(want), want)
	}
	g := enrol(t, bin, f.Token(t, fleet.TokenDraft{}).String())
	g.start()
	var missing []string
	deadline := time.Now().Add(30 * time.Second)
	agenttest.Await(t, 60*time.Second, "the figures", func() bool {
		missing = missing[:0]
		for n, from := range want {
			if !slices.Contains(elsewhere, n) && len(f.Named(n)) == 0 {
				missing = append(missing, n+" of "+from)
			}
		}
		return len(missing) == 0 || time.Now().After(deadline)
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		t.Errorf("nothing is sent under the name of\n%s", strings.Join(missing, "\n"))
	}
	for _, n := range elsewhere {
		if want[n] == "" {
			t.Errorf("%s is shown nowhere", n)
		}
	}
}
