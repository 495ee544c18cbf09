package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestUpgradeKeepsData has an earlier build of the suite write a data folder
// and then starts the present one on it: every event is there as it was, under
// its id, and so is everything else; what the earlier one had taken in and not
// stored yet is stored by the present one. ICEWATCH_PREVIOUS is the earlier
// build's program; make test-upgrade builds it from the last tag.
func TestUpgradeKeepsData(t *testing.T) {
	previous := os.Getenv("ICEWATCH_PREVIOUS")
	if previous == "" {
		t.Skip("ICEWATCH_PREVIOUS names no earlier build: make test-upgrade does")
	}
	for _, end := range []string{"stopped", "killed"} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			rules := t.TempDir()
			if err := os.WriteFile(filepath.Join(rules, "own.yml"), []byte(strings.ReplaceAll(ownRule, "WORD", "wombat")), 0o644); err != nil {
				t.Fatal(err)
			}
			s := prepare(t, "")
			// Only options that an earlier build knows.
			config := fmt.Sprintf("data: %s\nhttp:\n  listen: %s\nsyslog:\n  udp: %s\n  tcp: %s\nrules:\n  dirs: [%s]\n",
				s.data, strings.TrimPrefix(s.url, "http://"), s.syslog, s.syslog, rules)
			if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			s.binary = []string{previous}
			s.start()
			s.signIn()
			from := time.Now().Add(-time.Hour)
			s.fillForUpgrade()
			s.settled()
			kept := s.everything()
			var want map[string]string
			if end == "killed" {
				// The last events are on the bus, and not in the lake's files.
				s.writeNumbered("e-licence", "late", 500)
				s.expect(`"late event"`, 500, 60*time.Second)
				want = s.digests(from, time.Now())
				s.kill()
			} else {
				want = s.digests(from, time.Now())
				s.stop()
			}
			to := time.Now()
			t.Logf("written by the earlier build: %v", want)

			s.binary = []string{filepath.Join(bin, "icewatch")}
			s.start()
			s.signIn()
			s.settled()
			// Between the last look and the end the suite may have told of itself.
			got := s.digests(from, to)
			for tenant, digest := range want {
				if tenant != "city" && got[tenant] != digest {
					t.Errorf("%s: %s after the upgrade, %s before", tenant, got[tenant], digest)
				}
			}
			now := s.everything()
			for path, items := range kept {
				for id, before := range items {
					if after, ok := now[path][id]; !ok {
						t.Errorf("%s: %s is gone", path, id)
					} else if where := differs(before, after); where != "" {
						t.Errorf("%s: %s is not what it was: %s", path, id, where)
					}
				}
			}
			if out, err := s.icectl("audit", "verify"); err != nil || !strings.Contains(out, "whole") {
				t.Errorf("the audit log: %s %v", out, err)
			}
			s.call("", http.MethodPost, "/api/v1/auth/login", `{"username":"keeper","password":"Own-Word-2026-keeper"}`, http.StatusOK, nil)
			s.writeNumbered("e-licence", "new", 50)
			s.expect(`"new event"`, 50, 30*time.Second)
			s.expect(`"early event 77"`, 1, 30*time.Second)
			rows := s.find(`"early event 78"`)
			if len(rows) != 1 || text(rows[0], "host.name") != "up-3" || text(rows[0], "upgrade.number") != "78" {
				t.Errorf("an event's fields after the upgrade: %v", rows)
			}
		})
	}
}

// writeNumbered posts events of a tenant.
func (s *suite) writeNumbered(tenant, word string, n int) {
	s.t.Helper()
	var body bytes.Buffer
	for i := range n {
		fmt.Fprintf(&body, "{\"create\":{\"_id\":\"%s-%d\"}}\n{\"message\":\"%s event %d\",\"host.name\":\"up-%d\",\"upgrade.number\":%d,\"source.ip\":\"192.0.2.%d\"}\n", word, i, word, i, i%5, i, i%250)
	}
	if status, answer := post(s.t, s.token(tenant, "ingest"), "/elastic/upgrade/_bulk", map[string]string{"Content-Type": "application/x-ndjson"}, body.Bytes()); status != http.StatusOK {
		s.t.Fatalf("bulk: %d %s", status, answer)
	}
}

// fillForUpgrade makes something of every kind that a suite keeps.
func (s *suite) fillForUpgrade() {
	t := s.t
	t.Helper()
	s.person("keeper", "viewer")
	ordered(t, s, http.MethodPut, "/api/v1/settings/watermark", `{"enabled":true}`)
	ordered(t, s, http.MethodPost, "/api/v1/units", `{"id":"bureau","name":{"zh":"测试局","en":"Test bureau"}}`)
	item := `[{"id":"upgrade-host","class":"host","name":"upgrade-host","tenant":"e-licence"}]`
	if err := s.admin.Send(context.Background(), http.MethodPost, "/api/v1/cmdb/import", url.Values{"format": {"yaml"}}, http.Header{"Content-Type": {"application/octet-stream"}}, strings.NewReader(item), nil); err != nil {
		t.Fatal(err)
	}
	s.writeNumbered("e-licence", "early", 2000)
	s.writeNumbered("document-easy", "other", 300)
	lines := make([][]byte, 0, 301)
	for i := range 300 {
		lines = append(lines, fmt.Appendf(nil, "<34>1 2026-01-01T00:00:00Z box app %d - - line %d 中文 of syslog\n", i, i))
	}
	s.sendTCP(append(lines, []byte("<13>Nov 26 00:00:00 zoo app: a wombat was here\n"))...)
	s.sendTCP([]byte("<13>zoo app: " + strings.Repeat("a long text ", 250_000) + "\n"))
	s.expect(`"early event"`, 2000, 60*time.Second)
	s.expect(`"of syslog"`, 300, 60*time.Second)
	eventually(t, 30*time.Second, "an alert comes", func() error {
		if len(s.list("/api/v1/alerts")) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
}

// list reads a list of the API, by id.
func (s *suite) list(path string) map[string]map[string]any {
	s.t.Helper()
	var page struct{ Items []map[string]any }
	get(s.t, s, path+"?limit=1000", &page)
	out := map[string]map[string]any{}
	for _, it := range page.Items {
		id, _ := it["id"].(string)
		if id == "" {
			id, _ = it["name"].(string) // of settings
		}
		out[id] = it
	}
	return out
}

// everything is what a suite keeps beside events, by path and id.
func (s *suite) everything() map[string]map[string]map[string]any {
	s.t.Helper()
	out := map[string]map[string]map[string]any{}
	for _, path := range []string{"/api/v1/alerts", "/api/v1/incidents", "/api/v1/cmdb/items", "/api/v1/users", "/api/v1/units", "/api/v1/roles"} {
		out[path] = s.list(path)
		for _, it := range out[path] {
			delete(it, "last_login_at")
		}
	}
	out["/api/v1/settings"] = map[string]map[string]any{}
	var page struct{ Items []map[string]any }
	get(s.t, s, "/api/v1/settings", &page)
	for _, it := range page.Items {
		// A default may change with a release, a decision may not.
		if !reflect.DeepEqual(it["value"], it["default"]) {
			out["/api/v1/settings"][fmt.Sprint(it["name"])] = map[string]any{"value": it["value"]}
		}
	}
	return out
}

// differs finds where a value holds less than it did; more is no difference.
func differs(before, after any) string {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		for k, v := range b {
			if !ok {
				break
			}
			if where := differs(v, a[k]); where != "" {
				return k + ": " + where
			}
		}
		if ok {
			return ""
		}
	default:
		if reflect.DeepEqual(before, after) {
			return ""
		}
	}
	was, _ := json.Marshal(before)
	is, _ := json.Marshal(after)
	return fmt.Sprintf("%.300s, before %.300s", is, was)
}
