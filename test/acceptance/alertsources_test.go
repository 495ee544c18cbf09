package acceptance

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icewatch/test/peers"
)

// alertSource is a source of alerts as the tests make it.
type alertSource struct {
	Source struct{ ID string }
	Token  string
	Path   string
	Mail   string
}

// TestAlertSources takes in what real senders send: a Prometheus that pushes and
// resolves, a Zabbix's webhook, a mail, a line of syslog by logger. What was
// acknowledged outlives a kill; what cannot be mapped is replayed; nobody sees
// another tenant's sources, and no source names another tenant's item.
func TestAlertSources(t *testing.T) {
	t.Parallel()
	mail := "127.0.0.1:" + peers.FreePort(t)
	s := newSuite(t, "alert_mail: {listen: \""+mail+"\", domain: soc.example}\n")
	const a, b = "e-seal", "one-id-service"
	item := `{"class":"host","name":"seal-web-1","tenant":"` + a + `","hostnames":["seal-web-1"],"addresses":["10.9.8.7"],"criticality":5}`
	var host struct{ ID string }
	s.call(s.admin.Options().Token, "POST", "/api/v1/cmdb/items", item, 200, &host)
	made := func(body string) (x alertSource) {
		t.Helper()
		s.call(s.admin.Options().Token, "POST", "/api/v1/alert-sources", body, 201, &x)
		return x
	}
	type alert struct {
		ID, Tenant, Status, Severity, Resolution string
		Rule                                     struct{ ID string }
		Fields                                   map[string]string
		CI                                       *struct{ ID, Name string }
	}
	alerts := func(source alertSource) (list []alert) {
		t.Helper()
		var page struct{ Items []alert }
		get(t, s, "/api/v1/alerts?status=open,acknowledged,closed&limit=500", &page)
		for _, x := range page.Items {
			if x.Fields["alert.source"] == source.Source.ID {
				list = append(list, x)
			}
		}
		return list
	}
	until := func(what string, source alertSource, f func(list []alert) bool) {
		t.Helper()
		eventually(t, 60*time.Second, what, func() error {
			if list := alerts(source); !f(list) {
				return fmt.Errorf("there is %+v", list)
			}
			return nil
		})
	}
	post := func(path, body string, want int) string {
		t.Helper()
		return string(s.call("", "POST", path, body, want, nil))
	}

	// Zabbix tells of a problem on a's item, twice: by a's source and by b's.
	zabbix := made(`{"name":"zabbix","kind":"webhook","enabled":true,"tenant":"` + a + `","template":"zabbix"}`)
	foreign := made(`{"name":"zabbix of b","kind":"webhook","enabled":true,"tenant":"` + b + `","template":"zabbix"}`)
	problem := `{"event_id":"41","event_value":"1","event_name":"Disk is full","event_nseverity":"5","trigger_id":"7","host_name":"seal-web-1","host_ip":"10.9.8.7"}`
	post(zabbix.Path, problem, 200)
	post(foreign.Path, problem, 200)
	post("/alert-hooks/"+strings.Repeat("0", 40), problem, 401)
	until("the problem with its item", zabbix, func(list []alert) bool {
		return len(list) == 1 && list[0].Status == "open" && list[0].Severity == "critical" && list[0].CI != nil && list[0].CI.ID == host.ID && list[0].Tenant == a
	})
	until("the problem without another's item", foreign, func(list []alert) bool {
		// It is about b's own system, as the sender's host is none that b has.
		return len(list) == 1 && list[0].Tenant == b && (list[0].CI == nil || list[0].CI.ID != host.ID) && list[0].Fields["icewatch.ci.id"] != host.ID
	})

	// What cannot be mapped waits, outlives a kill, and is replayed.
	if said := post(zabbix.Path, `{"event_id":"42","problem":"Fan","host_name":"seal-web-1"}`, 202); !strings.Contains(said, "neither a name nor a title") {
		t.Errorf("a message without a name: %s", said)
	}
	post(zabbix.Path, `{"event_id":"41","event_value":"0","event_name":"Disk is full"}`, 200)
	s.kill()
	s.start()
	s.signIn()
	until("the end that was acknowledged before the kill", zabbix, func(list []alert) bool { return len(list) == 1 && list[0].Status == "closed" })
	var view struct{ Revision int }
	get(t, s, "/api/v1/alert-sources/"+zabbix.Source.ID, &view)
	s.call(s.admin.Options().Token, "PUT", "/api/v1/alert-sources/"+zabbix.Source.ID, fmt.Sprintf(`{"name":"zabbix","kind":"webhook","enabled":true,"tenant":"%s","template":"zabbix","mapping":{"fields":{"name":".problem // .event_name"}},"revision":%d}`, a, view.Revision), 200, nil)
	var replayed struct{ Done, Failed int }
	s.call(s.admin.Options().Token, "POST", "/api/v1/alert-sources/"+zabbix.Source.ID+"/messages/replay", `{}`, 200, &replayed)
	if replayed.Done != 1 || replayed.Failed != 0 {
		t.Errorf("replayed %+v", replayed)
	}
	until("the alert of the letter", zabbix, func(list []alert) bool { return len(list) == 2 })

	// A mail, as a device sends it.
	ups := made(`{"name":"ups","kind":"mail","enabled":true,"tenant":"` + a + `","template":"mail"}`)
	if err := smtp.SendMail(mail, nil, "ups@devices.example", []string{ups.Mail}, []byte("Subject: [CRITICAL] UPS battery low\r\n\r\nHost: seal-web-1\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := smtp.SendMail(mail, nil, "ups@devices.example", []string{"root@soc.example"}, []byte("Subject: x\r\n\r\n")); err == nil {
		t.Error("mail to nobody is taken")
	}
	until("the mail", ups, func(list []alert) bool { return len(list) == 1 && list[0].Severity == "critical" })

	s.foreignSources(t, b, zabbix)
	t.Run("syslog", func(t *testing.T) {
		logger := peer(t, "logger")
		events := made(`{"name":"syslog","kind":"events","enabled":true,"template":"events","events":{"filter":"message:\"link is down\""}}`)
		eventually(t, 60*time.Second, "the source runs", func() error {
			var x struct {
				Health struct {
					RunningSince *time.Time `json:"running_since"`
					Error        string
				}
			}
			get(t, s, "/api/v1/alert-sources/"+events.Source.ID, &x)
			if x.Health.RunningSince == nil {
				return fmt.Errorf("it does not: %s", x.Health.Error)
			}
			return nil
		})
		host, port, _ := net.SplitHostPort(s.syslog)
		for _, text := range []string{"link is down", "all is well"} {
			if out, err := exec.Command(logger, "--rfc5424", "-n", host, "-P", port, "-T", "-p", "daemon.crit", "-t", "switch", text).CombinedOutput(); err != nil {
				t.Fatalf("logger: %v: %s", err, out)
			}
		}
		until("one of two lines", events, func(list []alert) bool { return len(list) == 1 && list[0].Severity == "critical" })
	})
	t.Run("prometheus", func(t *testing.T) {
		prom := made(`{"name":"prometheus","kind":"alertmanager","enabled":true,"tenant":"` + a + `","template":"alertmanager-push"}`)
		var fault atomic.Int32
		fault.Store(1)
		target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "fault %d\n", fault.Load()) }))
		defer target.Close()
		suite, _ := url.Parse(s.url)
		where, _ := url.Parse(target.URL)
		rules := filepath.Join(t.TempDir(), "rules.yml")
		if err := os.WriteFile(rules, []byte("groups:\n- name: g\n  interval: 1s\n  rules:\n  - alert: Fault\n    expr: fault == 1\n    labels: {severity: critical, host: seal-web-1}\n    annotations: {summary: it is broken}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		peers.StartPrometheus(t, fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs: [{job_name: x, static_configs: [{targets: [%q]}]}]\nalerting: {alertmanagers: [{path_prefix: %s, static_configs: [{targets: [%q]}]}]}\n",
			rules, where.Host, prom.Path, suite.Host))
		until("Prometheus' alert", prom, func(list []alert) bool {
			return len(list) == 1 && list[0].Status == "open" && list[0].Severity == "critical" && list[0].CI != nil && list[0].CI.ID == host.ID
		})
		fault.Store(0)
		until("its end", prom, func(list []alert) bool {
			return len(list) == 1 && list[0].Status == "closed" && list[0].Resolution == "recovered"
		})
	})
}

// foreignSources: somebody of another tenant neither sees nor changes a source,
// by any route there is of it.
func (s *suite) foreignSources(t *testing.T, tenant string, source alertSource) {
	t.Helper()
	_, li := s.signedInUser("li", "admin", tenant)
	var list struct {
		Items []struct{ Name, Tenant string }
	}
	s.call(li, "GET", "/api/v1/alert-sources", "", 200, &list)
	if len(list.Items) != 1 || list.Items[0].Tenant != tenant {
		t.Errorf("li of %s sees %+v", tenant, list.Items)
	}
	if out := s.call(li, "GET", "/api/v1/alert-sources/export", "", 200, nil); strings.Contains(string(out), "e-seal") {
		t.Errorf("li's export holds another's source: %s", out)
	}
	path := "/api/v1/alert-sources/" + source.Source.ID
	for _, x := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"GET", path + "/messages", ""}, {"GET", path + "/messages/export", ""}, {"DELETE", path, ""},
		{"POST", path + "/disable", ""}, {"POST", path + "/enable", ""}, {"POST", path + "/token", ""}, {"POST", path + "/restore", ""},
		{"POST", path + "/messages/replay", "{}"}, {"POST", path + "/messages/discard", "{}"},
		{"PUT", path, `{"name":"x","kind":"webhook","enabled":true,"template":"zabbix","tenant":"` + tenant + `","revision":1}`},
		{"POST", "/api/v1/alert-sources/preview", `{"id":"` + source.Source.ID + `","name":"x","kind":"webhook","enabled":true,"template":"zabbix","tenant":"` + tenant + `"}`},
	} {
		s.call(li, x.method, x.path, x.body, 404, nil)
	}
	s.call(li, "POST", "/api/v1/alert-sources", `{"name":"mine","kind":"webhook","enabled":true,"template":"zabbix","tenant":"e-seal"}`, 422, nil)
	s.call(li, "POST", "/api/v1/alert-sources", `{"name":"mine","kind":"webhook","enabled":true,"template":"zabbix"}`, 422, nil)
	s.call(li, "PUT", "/api/v1/alert-sources/templates", `{"yaml":"id: x\nversion: 1\nkinds: [webhook]\ntitle: {en: x}\nformat: json\n"}`, 403, nil)
}
