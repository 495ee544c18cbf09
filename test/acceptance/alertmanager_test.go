package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"icewatch/test/peers"
)

// desk is a suite that Alertmanager's clients speak to.
type desk struct {
	*suite
	secret string // of a token that may read, respond and send
	hook   *receiver
}

// TestAlertmanager has the real clients of Alertmanager at the suite: amtool,
// Prometheus, what Grafana asks, and a real Alertmanager beside it that is asked
// the same.
func TestAlertmanager(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	hook.refused = 2
	s := newSuite(t, loopback+fmt.Sprintf("notify:\n  webhooks:\n    - {name: duty, url: %q, secret: %q}\n", hook.URL, webhookSecret))
	d := &desk{suite: s, hook: hook, secret: s.token("", "read", "respond", "ingest").Options().Token}
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{{"golden", d.grafana}, {"amtool", d.amtool}, {"own", d.own}, {"muting", d.muting}, {"prometheus", d.prometheus}, {"beside", d.beside}, {"routed", d.routed}, {"reach", d.reach}, {"merging", d.merging}} {
		t.Run(part.name, part.run)
	}
}

// ask sends a request below /alertmanager.
func ask(t *testing.T, base, secret, method, path, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest(method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func (d *desk) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	return ask(t, d.url+"/alertmanager", d.secret, method, path, body)
}

// amAlert is an alert as clients read it.
type amAlert struct {
	Labels, Annotations map[string]string
	Fingerprint         string
	StartsAt, EndsAt    time.Time
	Status              struct {
		State                            string
		SilencedBy, InhibitedBy, MutedBy []string
	}
	Receivers []struct{ Name string }
}

// alerts lists what the filter finds.
func (d *desk) alerts(t *testing.T, query string) (list []amAlert) {
	t.Helper()
	status, answer := d.ask(t, http.MethodGet, "/api/v2/alerts?"+query, "")
	if err := json.Unmarshal([]byte(answer), &list); err != nil || status != 200 {
		t.Fatalf("alerts %s: %d %s", query, status, answer)
	}
	return list
}

func filter(matchers ...string) string { return url.Values{"filter": matchers}.Encode() }

func (d *desk) post(t *testing.T, alerts ...map[string]any) {
	t.Helper()
	body, _ := json.Marshal(alerts)
	if status, answer := d.ask(t, http.MethodPost, "/api/v2/alerts", string(body)); status != 200 {
		t.Fatalf("posting alerts: %d %s", status, answer)
	}
}

// amtool runs Debian's amtool against the suite.
func (d *desk) amtool(t *testing.T) {
	program := peer(t, "amtool")
	at := strings.Replace(d.url, "http://", "http://any:"+d.secret+"@", 1) + "/alertmanager"
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, append([]string{"--alertmanager.url=" + at}, args...)...)
		cmd.Env, cmd.Stdin = append(cleanEnv(), "HOME="+d.dir), strings.NewReader(stdin)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("amtool %s: %v: %s%s", strings.Join(args, " "), err, out.String(), errs.String())
		}
		return strings.TrimSpace(out.String())
	}
	holds := func(text string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%q is missing in\n%s", w, text)
			}
		}
	}
	run("", "alert", "add", "alertname=AmtoolDisk", "instance=tool-01:9100", "severity=warning", "--annotation=summary=Disk is nearly full")
	holds(run("", "alert", "query"), "AmtoolDisk", "Disk is nearly full", "active")
	holds(run("", "-o", "extended", "alert", "query", "alertname=~Amtool.*", "severity!=critical"), "AmtoolDisk", `tenant="unassigned"`, "Generator")
	if got := run("", "-o", "simple", "alert", "query", "alertname=AmtoolDisk", "severity=critical"); strings.Contains(got, "AmtoolDisk") {
		t.Errorf("a filter that does not match finds %s", got)
	}
	id := run("", "silence", "add", "alertname=AmtoolDisk", `instance=~"tool-0[12]:9100"`, "--author=zhang", "--comment=new disk comes", "--duration=1h")
	holds(run("", "silence", "query"), id, `alertname="AmtoolDisk"`, "(zhang)", "new disk comes")
	holds(run("", "silence", "query", "-q", "alertname=AmtoolDisk"), id)
	if got := run("", "alert", "query", "alertname=AmtoolDisk"); strings.Contains(got, "AmtoolDisk") {
		t.Errorf("the silenced alert is among the active ones: %s", got)
	}
	holds(run("", "alert", "query", "--silenced", "alertname=AmtoolDisk"), "AmtoolDisk", "suppressed")
	before := run("", "-o", "json", "silence", "query")
	run("", "silence", "update", "--duration=3h", "--comment=the disk is late", id)
	holds(run("", "silence", "query"), id, "the disk is late")
	run("", "silence", "expire", id)
	if got := run("", "silence", "query", "-q"); got != "" {
		t.Errorf("silences after the end: %s", got)
	}
	holds(run("", "silence", "query", "--expired", "--within=1h"), id)
	again := run(before, "silence", "import")
	holds(run("", "silence", "query"), again, "new disk comes")
	run("", "silence", "expire", again)
	holds(run("", "config", "show"), "receiver: icewatch", "name: duty")
	holds(run("", "config", "routes", "show"), "default-route", "receiver: duty")
	if got := run("", "config", "routes", "test", "tenant=any"); got != "duty" {
		t.Errorf("routes test says %q", got)
	}
	holds(run("", "cluster", "show"), "disabled")
	run("", "alert", "add", "alertname=AmtoolDisk", "instance=tool-01:9100", "severity=warning", "--end="+time.Now().Add(-time.Second).UTC().Format(time.RFC3339), "--start=2026-01-01T00:00:00Z")
	if got := d.alerts(t, filter("alertname=AmtoolDisk")); len(got) != 0 {
		t.Errorf("the alert that is over is listed: %+v", got)
	}
}

// notices are those the receiver got of an alert's name.
func (d *desk) notices(name string) (list []notice) {
	for _, n := range d.hook.all() {
		if slices.ContainsFunc(n.Alerts, func(a struct {
			Status       string            `json:"status"`
			Labels       map[string]string `json:"labels"`
			Annotations  map[string]string `json:"annotations"`
			StartsAt     time.Time         `json:"startsAt"`
			EndsAt       time.Time         `json:"endsAt"`
			GeneratorURL string            `json:"generatorURL"`
			Fingerprint  string            `json:"fingerprint"`
		}) bool {
			return a.Labels["alertname"] == name
		}) {
			list = append(list, n)
		}
	}
	return list
}

// muting: a silenced alert sends nothing, is shown as such everywhere, and is
// told of once its silence ends, also when the suite is killed in between.
func (d *desk) muting(t *testing.T) {
	sil := fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"Quiet.*","isRegex":true}],"startsAt":%q,"endsAt":%q,"createdBy":"zhang","comment":"works"}`,
		time.Now().UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	status, answer := d.ask(t, http.MethodPost, "/api/v2/silences", sil)
	var made struct{ SilenceID string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	critical := func(name, host string) map[string]any {
		return map[string]any{"labels": map[string]string{"alertname": name, "instance": host + ":9100", "severity": "critical"}, "annotations": map[string]string{"summary": name}}
	}
	d.post(t, critical("QuietDisk", "quiet-01"), critical("LoudDisk", "loud-01"))
	eventually(t, 20*time.Second, "the receiver is told of what is not silenced", func() error {
		if n := len(d.notices("LoudDisk")); n != 1 {
			return fmt.Errorf("%d notices", n)
		}
		return nil
	})
	a := d.alerts(t, filter("alertname=QuietDisk"))
	if len(a) != 1 || a[0].Status.State != "suppressed" || !slices.Equal(a[0].Status.SilencedBy, []string{made.SilenceID}) || a[0].Annotations["incident"] == "" {
		t.Fatalf("%+v", a)
	}
	d.kill()
	d.start()
	d.signIn()
	time.Sleep(2 * time.Second)
	if n := d.notices("QuietDisk"); len(n) != 0 {
		t.Fatalf("silenced, and the receiver was told: %+v", n)
	}
	var view struct {
		SilencedBy []string `json:"silenced_by"`
	}
	d.call(d.secret, http.MethodGet, "/api/v1/alerts/"+a[0].Annotations["alert"], "", 200, &view)
	if !slices.Equal(view.SilencedBy, []string{made.SilenceID}) {
		t.Errorf("the suite's own API: silenced by %v", view.SilencedBy)
	}
	d.call(d.secret, http.MethodPost, "/api/v1/silences/"+made.SilenceID+"/expire", "", 200, nil)
	eventually(t, 20*time.Second, "the receiver is told once the silence has ended", func() error {
		if n := len(d.notices("QuietDisk")); n != 1 {
			return fmt.Errorf("%d notices", n)
		}
		return nil
	})
	if n := d.notices("QuietDisk")[0]; n.Status != "firing" || n.GroupLabels["incident"] != a[0].Annotations["incident"] {
		t.Errorf("%+v", n)
	}
	var records struct {
		Items []struct{ Action, Object, Actor string }
	}
	if err := d.admin.Get(t.Context(), "/api/v1/audit", url.Values{"object": {"silence:" + made.SilenceID}}, &records); err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, r := range records.Items {
		actions = append(actions, r.Action)
	}
	if !slices.Contains(actions, "alertmanager-silence") || !slices.Contains(actions, "expire-silence") {
		t.Errorf("audited are %v", actions)
	}
}

// prometheus has a real Prometheus send an alert that fires and is over.
func (d *desk) prometheus(t *testing.T) {
	program := peer(t, "prometheus")
	var free atomic.Int64
	free.Store(3)
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "disk_free_percent{mountpoint=\"/data\"} %d\n", free.Load())
	}))
	t.Cleanup(metrics.Close)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yml", `groups:
- name: disks
  rules:
  - alert: PrometheusDisk
    expr: disk_free_percent < 10
    labels: {severity: critical, host: prom-01}
    annotations: {summary: "{{ $labels.mountpoint }} has {{ $value }} % left"}
`)
	write("prometheus.yml", fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s, external_labels: {site: hall}}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - path_prefix: /alertmanager
    authorization: {credentials: %s}
    static_configs: [{targets: [%q]}]
scrape_configs:
- job_name: disks
  static_configs: [{targets: [%q]}]
`, d.secret, strings.TrimPrefix(d.url, "http://"), strings.TrimPrefix(metrics.URL, "http://")))
	cmd := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:"+peers.FreePort(t))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said:\n%s", log.String())
		}
	})
	var fired amAlert
	eventually(t, 60*time.Second, "Prometheus' alert is listed", func() error {
		list := d.alerts(t, filter("alertname=PrometheusDisk"))
		if len(list) != 1 {
			return fmt.Errorf("%d alerts", len(list))
		}
		fired = list[0]
		return nil
	})
	for k, want := range map[string]string{"severity": "critical", "host": "prom-01", "mountpoint": "/data", "site": "hall", "job": "disks", "tenant": "unassigned"} {
		if fired.Labels[k] != want {
			t.Errorf("label %s is %q, want %q", k, fired.Labels[k], want)
		}
	}
	if fired.Annotations["summary"] != "/data has 3 % left" || fired.Annotations["incident"] == "" {
		t.Errorf("annotations %v", fired.Annotations)
	}
	free.Store(50)
	var over struct{ Status, Resolution string }
	eventually(t, 60*time.Second, "the alert closes when Prometheus says that it is over", func() error {
		d.call(d.secret, http.MethodGet, "/api/v1/alerts/"+fired.Annotations["alert"], "", 200, &over)
		if over.Status != "closed" {
			return fmt.Errorf("it is %s", over.Status)
		}
		return nil
	})
	if over.Resolution != "recovered" || len(d.alerts(t, filter("alertname=PrometheusDisk"))) != 0 {
		t.Errorf("it is closed as %q", over.Resolution)
	}
	eventually(t, 20*time.Second, "the receiver is told of both", func() error {
		n := d.notices("PrometheusDisk")
		if len(n) != 2 || n[0].Status != "firing" || n[1].Status != "resolved" {
			return fmt.Errorf("%d notices", len(n))
		}
		return nil
	})
}

// reach: who sees one tenant sees and silences that tenant's alerts alone.
func (d *desk) reach(t *testing.T) {
	slugs := d.slugs(2)
	one, two := slugs[0], slugs[1]
	a, b := d.token(one, "read", "respond", "ingest").Options().Token, d.token(two, "read", "respond", "ingest").Options().Token
	base := d.url + "/alertmanager"
	for _, secret := range []string{a, b} {
		if status, answer := ask(t, base, secret, http.MethodPost, "/api/v2/alerts", `[{"labels":{"alertname":"Apart","instance":"same-host"}}]`); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
	}
	body := fmt.Sprintf(`{"matchers":[{"name":"alertname","value":"Apart","isRegex":false}],"startsAt":"2026-01-01T00:00:00Z","endsAt":%q,"createdBy":"u","comment":"mine"}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	status, answer := ask(t, base, a, http.MethodPost, "/api/v2/silences", body)
	var made struct{ SilenceID string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	for _, tc := range []struct {
		secret, tenant, state string
	}{{a, one, "suppressed"}, {b, two, "active"}} {
		for _, path := range []string{"/api/v2/alerts?" + filter("alertname=Apart"), "/api/v2/alerts/groups?" + filter("alertname=Apart")} {
			_, answer := ask(t, base, tc.secret, http.MethodGet, path, "")
			if strings.Count(answer, `"tenant":"`+tc.tenant+`"`) == 0 || !strings.Contains(answer, `"state":"`+tc.state+`"`) || strings.Contains(answer, map[bool]string{true: two, false: one}[tc.tenant == one]) {
				t.Errorf("%s sees on %s: %s", tc.tenant, path, answer)
			}
		}
	}
	if got := d.alerts(t, filter("alertname=Apart")); len(got) != 2 {
		t.Errorf("the city sees %d alerts", len(got))
	}
	for _, r := range [][3]string{{http.MethodGet, "/api/v2/silence/" + made.SilenceID, ""}, {http.MethodDelete, "/api/v2/silence/" + made.SilenceID, ""},
		{http.MethodPost, "/api/v2/silences", strings.Replace(body, "{", `{"id":"`+made.SilenceID+`",`, 1)}} {
		if status, answer := ask(t, base, b, r[0], r[1], r[2]); status != 404 {
			t.Errorf("another's silence: %s %s: %d %s", r[0], r[1], status, answer)
		}
	}
	if _, answer := ask(t, base, b, http.MethodGet, "/api/v2/silences", ""); strings.Contains(answer, made.SilenceID) {
		t.Errorf("another's silence is listed: %s", answer)
	}
	if status, answer := ask(t, base, b, http.MethodPost, "/api/v2/silences", strings.Replace(body, `"matchers":[`, `"matchers":[{"name":"tenant","value":"`+one+`","isRegex":false},`, 1)); status != 400 {
		t.Errorf("silencing another's tenant: %d %s", status, answer)
	}
	reader := d.token(one, "read").Options().Token
	if status, answer := ask(t, base, reader, http.MethodPost, "/api/v2/silences", body); status != 403 || !strings.HasPrefix(answer, `"`) {
		t.Errorf("a reader silences: %d %s", status, answer)
	}
	if status, answer := ask(t, base, "", http.MethodGet, "/api/v2/alerts", ""); status != 401 {
		t.Errorf("a stranger: %d %s", status, answer)
	}
}

// volatile are the values that differ from run to run.
var volatile = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`INC-\d{8}-\d{4}`), "INCIDENT"},
	{regexp.MustCompile(`("(?:endsAt|startsAt|updatedAt|uptime)": ?)"2[^"]*"`), `$1"TIME"`},
	{regexp.MustCompile(`("(?:revision|branch|goVersion)": ?)"[^"]*"`), `$1"BUILD"`},
	{regexp.MustCompile(`("alert": ?)"[0-9a-f]{24}"`), `$1"ALERT"`},
	{regexp.MustCompile(`(/alerts/)[0-9a-f]{24}`), `${1}ALERT`},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://suite"},
}

func steady(answer string) string {
	for _, v := range volatile {
		answer = v.pattern.ReplaceAllString(answer, v.instead)
	}
	return answer
}

// withoutTheMachine leaves out of a list of groups those by which the suite
// tells of the machine it runs on, such as that its disk is nearly full.
func withoutTheMachine(answer string) string {
	var groups []json.RawMessage
	if json.Unmarshal([]byte(answer), &groups) != nil {
		return answer
	}
	kept := slices.DeleteFunc(groups, func(group json.RawMessage) bool {
		var g struct {
			Alerts []struct{ Labels map[string]string }
		}
		return json.Unmarshal(group, &g) == nil && len(g.Alerts) > 0 && strings.HasPrefix(g.Alerts[0].Labels["rule_id"], "icewatch-self-")
	})
	list, err := json.Marshal(kept)
	if err != nil {
		return answer
	}
	return string(list)
}

// grafana asks what Grafana's Alertmanager data source asks (its test, the
// lists of groups, alerts and silences, making, changing and ending a silence)
// and holds the answers against those that are written down.
// ICEWATCH_GOLDEN=update writes them down anew.
func (d *desk) grafana(t *testing.T) {
	d.post(t, map[string]any{"labels": map[string]string{"alertname": "GrafanaDisk", "instance": "graf-01:9100", "severity": "critical"},
		"annotations": map[string]string{"summary": "Disk is full"}, "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2036-01-02T03:04:05Z", "generatorURL": "http://prometheus/graph?g0"})
	var got strings.Builder
	id := ""
	for _, r := range [][3]string{
		{"GET", "/alertmanager/api/v2/status", ""}, // Mimir's place, which must not be there
		{"GET", "/api/v2/status", ""},
		{"GET", "/api/v2/receivers", ""},
		{"GET", "/api/v2/alerts/groups", ""},
		{"GET", "/api/v2/alerts/groups?active=true&silenced=false&inhibited=false", ""},
		{"GET", "/api/v2/alerts?filter=" + url.QueryEscape(`alertname="GrafanaDisk"`), ""},
		{"POST", "/api/v2/silences", `{"matchers":[{"isEqual":true,"isRegex":false,"name":"alertname","value":"GrafanaDisk"},{"isEqual":true,"isRegex":true,"name":"instance","value":"graf-.*"}],"startsAt":"2026-01-01T00:00:00.000Z","endsAt":"2036-01-01T00:00:00.000Z","createdBy":"admin","comment":"made in Grafana"}`},
		{"GET", "/api/v2/silences", ""},
		{"GET", "/api/v2/alerts/groups?silenced=true&active=false", ""},
		{"GET", "/api/v2/silence/ID", ""},
		{"POST", "/api/v2/silences", `{"id":"ID","matchers":[{"isEqual":true,"isRegex":false,"name":"alertname","value":"GrafanaDisk"}],"startsAt":"2026-01-01T00:00:00.000Z","endsAt":"2036-01-01T00:00:00.000Z","createdBy":"admin","comment":"wider"}`},
		{"GET", "/api/v2/silences", ""},
		{"DELETE", "/api/v2/silence/ID", ""},
		{"GET", "/api/v2/silences?active=true&pending=true&expired=false", ""},
		{"GET", "/api/v1/alerts", ""}, // the configuration of Mimir
	} {
		status, answer := d.ask(t, r[0], strings.ReplaceAll(r[1], "ID", id), strings.ReplaceAll(r[2], `"ID"`, `"`+id+`"`))
		var made struct{ SilenceID string }
		if json.Unmarshal([]byte(answer), &made) == nil && made.SilenceID != "" {
			id = made.SilenceID
		}
		answer = withoutTheMachine(answer)
		var pretty bytes.Buffer
		if json.Indent(&pretty, []byte(answer), "", "  ") == nil {
			answer = pretty.String()
		}
		fmt.Fprintf(&got, "%s %s %s\n%d\n%s\n\n", r[0], r[1], r[2], status, steady(answer))
	}
	const golden = "testdata/alertmanager-grafana.golden"
	if os.Getenv("ICEWATCH_GOLDEN") == "update" {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("answers differ from %s; look at what changed and run with ICEWATCH_GOLDEN=update\n%s", golden, got.String())
	}
	d.post(t, map[string]any{"labels": map[string]string{"alertname": "GrafanaDisk", "instance": "graf-01:9100", "severity": "critical"}, "startsAt": "2026-01-02T03:04:05Z", "endsAt": time.Now().UTC().Format(time.RFC3339)})
}

// own is the suite's own API of silences, as the console uses it.
func (d *desk) own(t *testing.T) {
	d.post(t, map[string]any{"labels": map[string]string{"alertname": "OwnDisk", "instance": "own-01:9100"}})
	type matcher struct {
		Name    string `json:"name"`
		Value   string `json:"value"`
		IsRegex bool   `json:"isRegex"`
		IsEqual bool   `json:"isEqual"`
	}
	type silence struct {
		ID        string
		Matchers  []matcher
		StartsAt  time.Time `json:"starts_at"`
		EndsAt    time.Time `json:"ends_at"`
		CreatedBy string    `json:"created_by"`
		Comment   string
		State     string
		Tenants   []string
		Editable  bool
	}
	var preview struct {
		Total int
		Items []struct {
			Labels map[string]string
		}
	}
	d.call(d.secret, http.MethodPost, "/api/v1/silences/preview", `{"matchers":[{"name":"alertname","value":"Own.*","isRegex":true}]}`, 200, &preview)
	if preview.Total != 1 || preview.Items[0].Labels["instance"] != "own-01:9100" {
		t.Errorf("preview %+v", preview)
	}
	body := func(matchers, comment string, hours int) string {
		return fmt.Sprintf(`{"matchers":[%s],"ends_at":%q,"comment":%q}`, matchers, time.Now().Add(time.Duration(hours)*time.Hour).UTC().Format(time.RFC3339), comment)
	}
	const one = `{"name":"alertname","value":"OwnDisk","isRegex":false}`
	var made, same, other silence
	d.call(d.secret, http.MethodPost, "/api/v1/silences", body(one, "works", 1), 201, &made)
	if made.State != "active" || made.Tenants != nil || !made.Editable || made.CreatedBy != "token:acceptance" || !slices.Equal(made.Matchers, []matcher{{"alertname", "OwnDisk", false, true}}) {
		t.Errorf("%+v", made)
	}
	if a := d.alerts(t, filter("alertname=OwnDisk")); len(a) != 1 || !slices.Equal(a[0].Status.SilencedBy, []string{made.ID}) {
		t.Errorf("%+v", a)
	}
	start := fmt.Sprintf(`{"starts_at":%q,`, made.StartsAt.Format(time.RFC3339Nano))
	d.call(d.secret, http.MethodPut, "/api/v1/silences/"+made.ID, strings.Replace(body(one, "longer", 5), "{", start, 1), 200, &same)
	if same.ID != made.ID || same.Comment != "longer" || !same.EndsAt.After(made.EndsAt) {
		t.Errorf("%+v", same)
	}
	d.call(d.secret, http.MethodPut, "/api/v1/silences/"+made.ID, strings.Replace(body(`{"name":"alertname","value":"Nobody","isRegex":false}`, "other", 5), "{", start, 1), 200, &other)
	if other.ID == made.ID {
		t.Error("other matchers kept the id")
	}
	d.call(d.secret, http.MethodGet, "/api/v1/silences/"+made.ID, "", 200, &same)
	if same.State != "expired" {
		t.Errorf("the old one is %s", same.State)
	}
	var page struct {
		Items []silence
		Total int
		Next  string
	}
	d.call(d.secret, http.MethodGet, "/api/v1/silences?state=active&q=other", "", 200, &page)
	if page.Total != 1 || page.Items[0].ID != other.ID {
		t.Errorf("%+v", page)
	}
	d.call(d.secret, http.MethodGet, "/api/v1/silences?limit=1", "", 200, &page)
	first, total := page.Items[0].ID, page.Total
	d.call(d.secret, http.MethodGet, "/api/v1/silences?limit=1&cursor="+page.Next, "", 200, &page)
	if total < 2 || page.Total != total || len(page.Items) != 1 || page.Items[0].ID == first {
		t.Errorf("the second page: %+v", page)
	}
	file := d.call(d.secret, http.MethodGet, "/api/v1/silences/export?state=active", "", 200, nil)
	var done struct{ Created, Updated, Skipped int }
	d.call(d.secret, http.MethodPost, "/api/v1/silences/import", string(file), 200, &done)
	if done.Created != 0 || done.Updated != 1 || done.Skipped != 0 {
		t.Errorf("importing what is there: %+v", done)
	}
	d.call(d.secret, http.MethodPost, "/api/v1/silences/"+other.ID+"/expire", "", 200, nil)
	d.call(d.secret, http.MethodPost, "/api/v1/silences/"+other.ID+"/expire", "", 200, nil) // once more is no error
	for _, wrong := range []struct {
		path, body string
		status     int
	}{
		{"/api/v1/silences", body(`{"name":"a","value":"(","isRegex":true}`, "x", 1), 422},
		{"/api/v1/silences", body(`{"name":"a","value":".*","isRegex":true}`, "x", 1), 422},
		{"/api/v1/silences", body(one, "", 1), 422},
		{"/api/v1/silences", body(one, "x", -1), 422},
		{"/api/v1/silences", strings.Replace(body(one, "x", 1), "{", `{"tenants":["nobody-is-called-so"],`, 1), 422},
		{"/api/v1/silences/import", `[{"matchers":[]}]`, 422},
		{"/api/v1/silences/import", `{"a":`, 422},
		{"/api/v1/silences/7e5d9c1e-5f5e-4a8e-9d3d-0f2f5f1f1f1f/expire", "", 404},
	} {
		d.call(d.secret, http.MethodPost, wrong.path, wrong.body, wrong.status, nil)
	}
}
